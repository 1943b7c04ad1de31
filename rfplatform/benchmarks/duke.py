"""Measured levels of real cells: every way to tell them from few pixels, side by side.

The protocol, for each set (the pixels of one cell by one device), scored on pixels that the
entrant was not shown, by the mean over sets:

- "offset only": nothing of the cell is known but one constant for each cell and device, because
  its transmit power is not published: an error without any constant would tell the power alone. It
  is the mean difference of 200 random pixels from the prior, scored on all others. This is K = 0.
- "K = 10" to "K = 200": that many random pixels of the set, scored on the same pixels as "offset
  only". Everything, a device's offset included, is fitted on these samples alone.
- "64 m blocks": a fifth of the blocks is held back each time, all other pixels of the set are
  known.
- "unseen cell": nothing of the cell, its offset included; all that the same device measured of the
  other cells is known.

Pixels of another device of the same cell are never shown: with K = 10 there are 10 pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from rfplatform.benchmark import Benchmark, Case, Given, Metric, Outcome, Predictor
from rfplatform.benchmarks.survey import MOST_SAMPLES, IntArray, MeasuredSet, Survey, read_survey
from rfplatform.benchmarks.survey_entrants import ENTRANTS, Entrant
from rfplatform.metrics import crps_normal, picp
from rfplatform.propagation.interpolation import Estimate
from rfplatform.shipped import DATA_VARIABLE, data_folder
from rfplatform.units import FloatArray

SAMPLES = (10, 25, 50, 100, 200)
REPEATS = 5
INTERVAL = 0.8
OFFSET, BLOCKS, UNSEEN = "offset only", "64 m blocks", "unseen cell"
PROTOCOLS = (OFFSET, *(f"K = {count}" for count in SAMPLES), BLOCKS, UNSEEN)

TARGETS_DB: Mapping[str, float] = MappingProxyType(
    {OFFSET: 9.5, "K = 10": 8.5, "K = 200": 4.6, BLOCKS: 6.0}
)
"""Of the mean RMSE over the sets, for the entrants of rfplatform."""

QUOTED = (
    "Quoted, not run here: Geo2SigMap's authors report 6.04 dB for their cascade (mean, protocol "
    "not known). On all six cells of the same campaign, in 512 m windows: Gaussian process 5.02 "
    "and kNN 5.11 dB at K = 200; Gaussian process 6.64 in 64 m blocks and 9.8 at K = 10; about 13 "
    "with only an offset."
)


@dataclass(frozen=True)
class SetScore:
    """How far an entrant is off in one set, by one draw of samples.

    Attributes
    ----------
    label : str
        Of the set.
    repeat : int
        Number of the draw.
    pixels : int
        That were scored.
    rmse_db, mae_db, bias_db : float
    centred_db : float
        RMSE with the mean error of these pixels taken away: what is left if the power is known.
    within : float
        Share of the readings in the stated interval of `INTERVAL`; NaN where no spread is stated.
    crps_db : float
        NaN where no spread is stated.
    """

    label: str
    repeat: int
    pixels: int
    rmse_db: float
    mae_db: float
    bias_db: float
    centred_db: float
    within: float
    crps_db: float


@dataclass(frozen=True)
class Prediction:
    """All scores of an entrant by one protocol."""

    entrant: str
    protocol: str
    scores: tuple[SetScore, ...]

    def by_set(self, name: str) -> dict[str, float]:
        """A score of each set, as the mean over the draws."""
        found: dict[str, list[float]] = {}
        for score in self.scores:
            found.setdefault(score.label, []).append(float(getattr(score, name)))
        return {label: float(np.mean(values)) for label, values in found.items()}

    def mean(self, name: str) -> float:
        """A score's mean over the sets."""
        return float(np.mean(list(self.by_set(name).values())))

    def between_draws(self) -> float:
        """Standard deviation over the draws of the mean RMSE over the sets; NaN of one draw."""
        repeats = sorted({score.repeat for score in self.scores})
        means = [np.mean([s.rmse_db for s in self.scores if s.repeat == r]) for r in repeats]
        return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")


@dataclass(eq=False)
class Study:
    """A survey, and what has been told of it."""

    survey: Survey
    entrants: Mapping[str, Entrant] = field(default_factory=lambda: ENTRANTS)
    _made: dict[tuple[str, str], Prediction] = field(default_factory=dict)

    def takes_part(self, name: str, protocol: str) -> bool:
        """Whether a protocol has something for an entrant to do that it didn't do before.

        An offset alone is scored once, and in a cell that nothing was measured of; who knows no
        prior has nothing without samples, but for the constant.
        """
        entrant = self.entrants[name]
        if protocol == OFFSET:
            return entrant.way is None or name == "constant"
        return entrant.with_samples() or protocol == UNSEEN

    def predict(self, question: Question) -> Prediction:
        """An entrant's scores by a protocol."""
        key = question.entrant, question.protocol
        if key not in self._made:
            entrant = self.entrants[question.entrant]
            scores = [
                score
                for of in self.survey.sets
                for score in _scores(entrant, self.survey, of, question.protocol)
            ]
            self._made[key] = Prediction(question.entrant, question.protocol, tuple(scores))
        return self._made[key]

    def rival(self, question: Question) -> Prediction:
        """The best of the plain ways, by its error on these very pixels."""
        return min(
            (
                self.predict(Question(self, name, question.protocol))
                for name, entrant in self.entrants.items()
                if entrant.kind == "plain" and self.takes_part(name, question.protocol)
            ),
            key=lambda prediction: prediction.mean("rmse_db"),
        )


@dataclass(frozen=True, eq=False)
class Question:
    """What a case asks: one entrant by one protocol."""

    study: Study
    entrant: str
    protocol: str

    def target_db(self) -> float | None:
        """What it is to reach, if anything."""
        ours = self.study.entrants[self.entrant].kind == "ours"
        return TARGETS_DB.get(self.protocol) if ours else None


def _scores(entrant: Entrant, survey: Survey, of: MeasuredSet, protocol: str) -> Iterator[SetScore]:
    if protocol == BLOCKS:
        held, means, spreads = [], [], []
        for known, asked in of.folds():
            told = entrant.estimate(survey, of, known, asked)
            held.append(asked)
            means.append(told.mean_db)
            spreads.append(told.spread_db)
        whole = Estimate(np.concatenate(means), np.concatenate(spreads))
        yield _score(of, np.concatenate(held), whole, 0)
        return
    if protocol == UNSEEN:
        if survey.others(of):
            every = np.arange(len(of))
            yield _score(of, every, entrant.unseen(survey, of, every), 0)
        return
    for repeat in range(REPEATS):
        order = of.order(repeat)
        asked = order[MOST_SAMPLES:]
        if protocol == OFFSET:
            told = entrant.offset(survey, of, order[:MOST_SAMPLES], asked)
        else:
            count = int(protocol.removeprefix("K = "))
            told = entrant.estimate(survey, of, order[:count], asked)
        yield _score(of, asked, told, repeat)


def _score(of: MeasuredSet, asked: IntArray, told: Estimate, repeat: int) -> SetScore:
    true_dbm = of.level_dbm[asked]
    errors: FloatArray = told.mean_db - true_dbm
    stated = bool(np.isfinite(told.spread_db).all())
    return SetScore(
        of.label,
        repeat,
        len(asked),
        float(np.sqrt(np.mean(errors**2))),
        float(np.mean(np.abs(errors))),
        float(errors.mean()),
        float(errors.std()),
        picp(told.mean_db, told.spread_db, true_dbm, INTERVAL) if stated else float("nan"),
        crps_normal(told.mean_db, told.spread_db, true_dbm) if stated else float("nan"),
    )


# --- cases ------------------------------------------------------------------------------------


def _own_cases() -> Iterator[Case]:
    folder = data_folder()
    given = Given(
        folder / "measurements" / "duke_cbrs_acd.csv",
        str(folder / "osm" / "duke_west_abcd.osm.pbf"),
        folder / "measurements" / "duke_sites.csv",
    )
    absent = [p for p in (given.measurements, Path(given.area), given.sites) if not p.is_file()]
    if absent:
        names = ", ".join(p.relative_to(folder).as_posix() for p in absent)
        where = f"set {DATA_VARIABLE} to a folder that holds it, or give --measurements, --area"
        yield Case("duke", skip=f"{names} is not there: {where} and --sites")
        return
    yield from cases_of(given)


def cases_of(given: Given) -> Iterable[Case]:
    """The cases of any measured cells; every fault of the files is told before the first."""
    study = Study(read_survey(given))
    return _cases(study)


def _cases(study: Study) -> Iterator[Case]:
    """Every protocol with every entrant that takes part in it."""
    sets = ", ".join(f"{s.label} ({len(s)} pixels)" for s in study.survey.sets)
    about = "; ".join((sets, *study.survey.notes))
    lone = not any(study.survey.others(s) for s in study.survey.sets)
    for protocol in PROTOCOLS:
        if protocol == UNSEEN and lone:
            yield Case(protocol, skip="no device measured two of these cells")
            continue
        for name in study.entrants:
            if study.takes_part(name, protocol):
                question = Question(study, name, protocol)
                yield Case(f"{protocol}: {name}", question, question, about)
                # Told once, with the first.
                about = ""


Score = Callable[[Prediction], float]


def _asked(score: Score, protocol: str | None) -> Callable[[Prediction, Question], float]:
    """The RMSE of the cases with this target; None: of those without any."""

    def compute(prediction: Prediction, question: Question) -> float:
        has = question.protocol if question.target_db() is not None else None
        return score(prediction) if has == protocol else float("nan")

    return compute


def _mean(prediction: Prediction, _: Question, *, name: str) -> float:
    return prediction.mean(name)


def _rmse_db(prediction: Prediction) -> float:
    return prediction.mean("rmse_db")


def _end(prediction: Prediction, _: Question, *, which: Literal["best", "worst"]) -> float:
    values = prediction.by_set("rmse_db").values()
    return min(values) if which == "best" else max(values)


def _draw(outcomes: Sequence[Outcome[Prediction]], out: Path) -> Sequence[Path]:
    """Every set's scores as CSV, the means as Markdown."""
    predictions = [outcome.prediction for outcome in outcomes]
    table, text = out / "measured.csv", out / "measured.md"
    columns = ("pixels", "rmse_db", "mae_db", "bias_db", "centred_db", "within", "crps_db")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("protocol", "entrant", "set", "draw", *columns))
        for p in predictions:
            for s in p.scores:
                values = (getattr(s, column) for column in columns)
                writer.writerow((p.protocol, p.entrant, s.label, s.repeat, *values))
    labels = list(dict.fromkeys(s.label for p in predictions for s in p.scores))
    head = ["entrant", "RMSE [dB]", *labels, "MAE [dB]", "bias [dB]", "own mean taken away [dB]"]
    lines = []
    for protocol in PROTOCOLS:
        own = [p for p in predictions if p.protocol == protocol]
        if not own:
            continue
        target = f", target {TARGETS_DB[protocol]:g} dB" if protocol in TARGETS_DB else ""
        lines += [f"## {protocol}{target}", "", "| " + " | ".join(head) + " |"]
        lines += ["|---" * len(head) + "|", *(_line(p, labels) for p in own), ""]
    text.write_text("\n".join([*lines, QUOTED, ""]), encoding="utf-8")
    return [table, text]


def _line(prediction: Prediction, labels: Sequence[str]) -> str:
    by_set = prediction.by_set("rmse_db")
    between = prediction.between_draws()
    spread = "" if np.isnan(between) else f" ± {between:.2f}"
    cells = [
        prediction.entrant,
        f"{prediction.mean('rmse_db'):.2f}{spread}",
        *(f"{by_set[label]:.2f}" if label in by_set else "" for label in labels),
        f"{prediction.mean('mae_db'):.2f}",
        f"{prediction.mean('bias_db'):+.2f}",
        f"{prediction.mean('centred_db'):.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


DUKE: Benchmark[Prediction] = Benchmark(
    "maps:duke",
    "Measured levels of real cells, from an offset alone to 200 pixels, in blocks, and unseen",
    _own_cases,
    (
        *(
            Metric("RMSE", "dB", _asked(_rmse_db, protocol), "lower", target_db)
            for protocol, target_db in TARGETS_DB.items()
        ),
        Metric("RMSE", "dB", _asked(_rmse_db, None)),
        Metric("RMSE, standard deviation over draws", "dB", lambda p, _: p.between_draws()),
        Metric("RMSE, best set", "dB", partial(_end, which="best")),
        Metric("RMSE, worst set", "dB", partial(_end, which="worst")),
        Metric("RMSE, own mean taken away", "dB", partial(_mean, name="centred_db")),
        Metric("MAE", "dB", partial(_mean, name="mae_db")),
        Metric("bias", "dB", partial(_mean, name="bias_db")),
        Metric("CRPS", "dB", partial(_mean, name="crps_db")),
        Metric(
            f"share within the {INTERVAL:.0%} interval, off by",
            "",
            lambda p, _: abs(p.mean("within") - INTERVAL),
        ),
    ),
    baseline=Predictor("best plain way", lambda asked: asked.study.rival(asked)),
    subject=Predictor("entrant", lambda asked: asked.study.predict(asked)),
    draw=_draw,
    dataset_of=cases_of,
)
