"""Radio maps of towns that no training saw: every way to make one, side by side.

A case is one entrant with so many samples of the truth; its baseline is the best entrant that
learned nothing, chosen afterwards by its error on these very windows. `draw` writes them all into
one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.benchmarks import unseen
from rfplatform.benchmarks.map_entrants import AGAIN, CASCADE, DENOISER, ENTRANTS
from rfplatform.benchmarks.map_scores import (
    SAMPLES,
    SCORES,
    Prediction,
    Question,
    Score,
    Study,
    root_mean_square_db,
    shown,
)
from rfplatform.benchmarks.map_tables import draw
from rfplatform.errors import MissingError

RATIO_AT_NONE = 0.65
"""Target of `cascade` without samples, over the best closed form."""


def _cases() -> Iterator[Case]:
    drawn = []
    for town, count in unseen.TOWNS.items():
        try:
            drawn += unseen.draw(town, count)
        except MissingError as error:
            yield Case(town, skip=str(error))
    if not drawn:
        return
    with unseen.traced(drawn, unseen.cache_folder()) as windows:
        study = Study(windows, ENTRANTS)
        for number, window in enumerate(drawn):
            yield _case(
                f"{window.town} {window.number}: {AGAIN}",
                Question(study, AGAIN, 0, number),
                f"{len(window.sectors)} sectors, {window.building_share:.0%} of it built",
            )
    yield from cases_of(study)


def cases_of(study: Study) -> Iterator[Case]:
    """Every entrant with every number of samples that it takes."""
    for samples in SAMPLES:
        for name, entry in study.entrants.items():
            question = Question(study, name, samples)
            case = f"K = {samples}: {shown(name, entry.kind, samples)}"
            if samples and not entry.with_some:
                continue  # It takes none; its scores are those of K = 0, on the same cells.
            if not samples and not entry.with_none:
                yield Case(case, skip="it is made of samples, and there are none")
                continue
            note = ""
            if entry.kind == "learned":
                best = study.rival(question)
                note = f"beside {best.label}"
            yield _case(case, question, note)


def _case(name: str, question: Question, note: str = "") -> Case:
    return Case(name, question, question, note)


def _asked(score: Score, when: Callable[[Question], bool]) -> Callable[[Prediction, Any], float]:
    """A metric's function that applies to some cases alone."""

    def compute(prediction: Prediction, question: Question) -> float:
        return score(prediction) if when(question) else float("nan")

    return compute


def _common_rmse_db(prediction: Prediction, question: Question) -> float:
    """RMSE over the cells that the entrant and what it is shown beside both reach."""
    if not question.whole():
        return float("nan")
    both = question.study.predict(question), question.study.rival(question)
    reached = np.logical_and(*(np.isfinite(made.told_db) for made in both))
    return root_mean_square_db(prediction, reached)


def _metrics() -> tuple[Metric[Prediction], ...]:
    """The RMSE, which has a target in some cases, and what is scored beside it."""

    def at_none(question: Question) -> bool:
        return question.has_target() and question.entrant == CASCADE and not question.samples

    def otherwise(question: Question) -> bool:
        return question.has_target() and not at_none(question)

    def without(question: Question) -> bool:
        return not question.has_target()

    def common(*, denoised: bool) -> Callable[[Prediction, Any], float]:
        def compute(prediction: Prediction, question: Question) -> float:
            counts = (question.entrant == DENOISER) == denoised
            return _common_rmse_db(prediction, question) if counts else float("nan")

        return compute

    shared = "RMSE where it and its rival have a path"

    return (
        Metric("RMSE", "dB", _asked(root_mean_square_db, at_none), "lower", RATIO_AT_NONE, True),
        Metric("RMSE", "dB", _asked(root_mean_square_db, otherwise), "lower", 1.0, True),
        Metric("RMSE", "dB", _asked(root_mean_square_db, without)),
        # Beside few rays, which miss many cells, this is the harder test.
        Metric(shared, "dB", common(denoised=True), "lower", 1.0, True),
        Metric(shared, "dB", common(denoised=False)),
        *(
            Metric(name, unit, _asked(score, Question.whole), better)
            for name, (unit, better, score) in SCORES.items()
        ),
    )


UNSEEN: Benchmark[Prediction] = Benchmark(
    "maps:unseen-town",
    "Radio maps of towns that no training saw, with and without samples, against the teacher's",
    _cases,
    _metrics(),
    baseline=Predictor("best that learned nothing", lambda asked: asked.study.rival(asked)),
    subject=Predictor("entrant", lambda asked: asked.study.predict(asked)),
    draw=draw,
)
