"""Evaluate language models on ORAN-Bench-13K, with what knows nothing scored beside them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform import __version__
from rfplatform.benchmark import Row
from rfplatform.errors import InputError

if TYPE_CHECKING:
    from inspect_ai.model import Model
    from numpy.typing import NDArray
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from rfplatform.oran.engine import Answers, Asking, Patience
    from rfplatform.oran.published import Published
    from rfplatform.oran.questions import Question
    from rfplatform.oran.scores import Part, Score, Scores

NAME = "oran:13k"
"""What the rows are of."""

BASELINE = "longest-option"
"""What every score is shown beside in the rows: the best of the rules that a child could follow."""

BESIDE = ("always-2", "longest-option", "surface-logit", "surface-logit+position")
"""Floors that are scored with every model."""

OUT = Path("out/oran")

Tell = Callable[[str, int, int], None]
"""Told what is at work, how much of it is done, and of how much (0 where that is not known)."""


@dataclass(frozen=True)
class Config:
    """What is evaluated, and how.

    Attributes
    ----------
    models : tuple of str
        Models as PROVIDER/NAME, and floors by their names.
    base_url : str, optional
        Of the models' server.
    questions : Path, optional
        A folder of questions; by default the registry's ORAN-Bench-13K.
    subset : tuple of str
        Difficulties; empty for all.
    limit : int, optional
        So many questions, drawn with `seed`.
    orbench_1500 : bool
        500 of each difficulty, drawn with `seed`.
    rag : Path, optional
        An index; models are asked without it, too.
    top_k : int
        Passages a question.
    as_published : bool
        Keep the options' order.
    seed : int
    epochs : int
        Times that a model is asked everything.
    out : Path
        Where answers are kept.
    resume : bool
        Go on with what is in `out`.
    overwrite : bool
        Throw away what is in `out`.
    timeout_s, max_retries, max_connections, max_tokens : int
        See `rfplatform.oran.engine.Patience`.
    """

    models: tuple[str, ...]
    base_url: str | None = None
    questions: Path | None = None
    subset: tuple[str, ...] = ()
    limit: int | None = None
    orbench_1500: bool = False
    rag: Path | None = None
    top_k: int = 5
    as_published: bool = False
    seed: int = 1
    epochs: int = 1
    out: Path = OUT
    resume: bool = False
    overwrite: bool = False
    timeout_s: int = 120
    max_retries: int = 5
    max_connections: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, eq=False)
class Entrant:
    """What was scored.

    Attributes
    ----------
    name : str
    kind : {"model", "floor"}
    scores : Scores
    answers : Answers, optional
        Of a model.
    reused : bool
        Whether its answers were all there before.
    """

    name: str
    kind: str
    scores: Scores
    answers: Answers | None = None
    reused: bool = False


@dataclass(frozen=True, eq=False)
class Gain:
    """How much better one run is than another, over the same questions.

    Attributes
    ----------
    what : str
        Such as "openai/gpt-5.2: retrieval".
    part : Part
        Differences.
    """

    what: str
    part: Part


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that came of it.

    Attributes
    ----------
    rows : tuple of Row
        As every other benchmark's.
    entrants : tuple of Entrant
        Models first.
    gains : tuple of Gain
    asked, faults : mapping of str to int
        Rows by difficulty, and those that can't be answered by the reason.
    order : str
        "shuffled" or "as published".
    published : tuple of Published
        What others report.
    unfinished : mapping of str to str
        Models whose runs lack answers: how many, and why.
    command : str
        What makes it again.
    """

    rows: tuple[Row, ...]
    entrants: tuple[Entrant, ...]
    gains: tuple[Gain, ...]
    asked: Mapping[str, int]
    faults: Mapping[str, int]
    order: str
    published: tuple[Published, ...]
    unfinished: Mapping[str, str]
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with where it was run."""
        from dataclasses import asdict

        return {
            "rfplatform": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "command": self.command,
            "complete": not self.unfinished,
            "unfinished": dict(self.unfinished),
            "order": self.order,
            "questions": dict(self.asked),
            "unusable": dict(self.faults),
            "entrants": [_entrant_dict(e) for e in self.entrants],
            "gains": [{"what": g.what, **_part_dict(g.part)} for g in self.gains],
            "published": [asdict(p) for p in self.published],
            "rows": [row.to_dict() for row in self.rows],
        }


def _entrant_dict(entrant: Entrant) -> dict[str, Any]:
    told: dict[str, Any] = {"name": entrant.name, "kind": entrant.kind}
    if (answers := entrant.answers) is not None:
        told |= {
            "failed": answers.failed,
            "refused": answers.refused,
            "tokens": answers.tokens,
            "log": str(answers.log),
        }
    return told | {"scores": entrant.scores.to_dict()}


def _part_dict(part: Part) -> dict[str, Any]:
    from dataclasses import asdict

    return {"macro": asdict(part.macro), "weighted": asdict(part.weighted)}


# ----------------------------------------------------------------------------------------------
# The job
# ----------------------------------------------------------------------------------------------


def main(config: Config, *, tell: Tell | None = None) -> Evaluation:
    """Check everything, ask the models, and score them beside the floors.

    Parameters
    ----------
    config : Config
    tell : callable, optional

    Raises
    ------
    InputError
        If an option is wrong, or `out` holds answers and it is not said what to do with them.
    MissingError
        If the questions, a key or a server is missing.
    """
    from rfplatform.oran.engine import Patience, open_checked
    from rfplatform.oran.floors import FLOORS
    from rfplatform.oran.providers import check_model
    from rfplatform.oran.questions import count_faults, load_questions

    _check(config)
    told = tell or _silent
    floors = [name for name in config.models if name in FLOORS]
    models = [check_model(m, config.base_url) for m in config.models if m not in FLOORS]
    _check_unique([*floors, *models])
    if not models and (config.rag or config.base_url):
        raise InputError("--rag and --base-url are for models, and only floors are named")
    told("Reading the questions", 0, 0)
    everything = load_questions(config.questions)
    questions = _asking(config, "").draw(everything)
    askings = [asking.of(questions) for model in models for asking in _askings(config, model)]
    if askings:
        _check_out(config.out)
    _check_folders(config, askings, questions)
    if askings:
        told("Asking each model a trial question", 0, 0)
    opened = open_checked(models, config.base_url)
    if config.overwrite:
        _remove(askings, config.out)
    patience = Patience(
        config.timeout_s, config.max_retries, config.max_connections, config.max_tokens
    )
    entrants = [
        _asked(asking, everything, opened[asking.model], config.out, patience, told)
        for asking in askings
    ]
    told("Scoring", 0, 0)
    gains = _gains(config, askings, entrants, questions)
    known = [*floors, *(name for name in BESIDE if name not in floors)]
    entrants += _floors(known, everything, questions, None if config.as_published else config.seed)
    return Evaluation(
        _rows(entrants),
        tuple(entrants),
        gains,
        _counts(questions),
        {str(fault): count for fault, count in count_faults(questions).items()},
        "as published" if config.as_published else "shuffled",
        _published(),
        _unfinished(entrants),
        _command(config),
    )


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def _command(config: Config) -> str:
    """What to type for the same again; nothing in it is secret."""
    import shlex

    default = Config(())
    words = ["rfplatform", "bench", "oran", "--model", ",".join(config.models)]
    for name in ("base_url", "questions", "limit", "rag", "top_k", "seed", "epochs"):
        value = getattr(config, name)
        if value != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    if config.subset:
        words += ["--subset", ",".join(config.subset)]
    for name in ("orbench_1500", "as_published"):
        if getattr(config, name):
            words.append(f"--{name.replace('_', '-')}")
    return shlex.join(words)


def _check(config: Config) -> None:
    if not config.models:
        raise InputError("name a model: --model PROVIDER/NAME, or a floor such as longest-option")
    for name, value, least in (
        ("--top-k", config.top_k, 1),
        ("--epochs", config.epochs, 1),
        ("--timeout", config.timeout_s, 1),
        ("--max-retries", config.max_retries, 0),
        ("--max-connections", config.max_connections, 1),
        ("--max-tokens", config.max_tokens, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"{name} {value}: must be {least} or more")
    if config.resume and config.overwrite:
        raise InputError("give either --resume or --overwrite, not both")


def _check_unique(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f'model "{name}" is named twice')


def _asking(config: Config, model: str) -> Asking:
    from rfplatform.oran.engine import Asking

    return Asking(
        model,
        questions=config.questions,
        subset=config.subset,
        limit=config.limit,
        orbench_1500=config.orbench_1500,
        seed=config.seed,
        as_published=config.as_published,
        epochs=config.epochs,
    )


def _askings(config: Config, model: str) -> list[Asking]:
    """The runs of a model: with retrieval where it is asked for, and always without."""
    bare = _asking(config, model)
    if config.rag is None:
        return [bare]
    from rfplatform.oran.opened import opened
    from rfplatform.registry.artifact import File
    from rfplatform.retrieval.manifest import MANIFEST

    opened(config.rag)  # what is wrong with it is told before any question is asked
    digest = File.of(config.rag / MANIFEST).sha256[:16]
    return [bare, replace(bare, rag=config.rag, rag_digest=digest, top_k=config.top_k)]


def _check_folders(
    config: Config, askings: Sequence[Asking], questions: Sequence[Question]
) -> None:
    """Refuse to begin where answers are: neither lose them nor take them for new ones."""
    from rfplatform.oran.engine import state

    if config.resume or config.overwrite:
        return
    for asking in askings:
        if config.rag is not None and asking.rag is None:
            continue  # What a model knows by itself is only compared with.
        before = state(asking, config.out, questions)
        if before is not None:
            total = asking.epochs * len(questions)
            raise InputError(
                f"{asking.folder(config.out)}: holds a run with {total - before.failed:,} of "
                f"{total:,} answers; --resume goes on with it, --overwrite begins anew"
            )


def _check_out(out: Path) -> None:
    """Before the first question, not after it: whether answers can be kept there."""
    from tempfile import TemporaryFile

    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(
            f"--out {out}: answers can't be kept there ({error.strerror}); give another folder"
        ) from error


def _remove(askings: Sequence[Asking], out: Path) -> None:
    from rfplatform.oran.engine import remove

    for asking in askings:
        remove(asking, out)


def _asked(
    asking: Asking,
    everything: Sequence[Question],
    model: Model,
    out: Path,
    patience: Patience,
    told: Tell,
) -> Entrant:
    from rfplatform.oran.engine import run, state

    name = _called(asking)
    questions = asking.draw(everything)
    before = state(asking, out, questions)
    reused = before is not None and before.complete
    answers = run(
        asking,
        questions,
        model,
        out,
        patience=patience,
        tell=lambda done, total: told(f"Asking {name}", done, total),
    )
    scores = _score_of(everything, questions, answers.credit, answers.unparsed)
    return Entrant(name, "model", scores, answers, reused)


def _score_of(
    everything: Sequence[Question],
    questions: Sequence[Question],
    credit: NDArray[np.float64],
    unparsed: NDArray[np.bool_] | None = None,
) -> Scores:
    """Scores of a draw, weighted by the difficulties' sizes in all there are of those drawn."""
    from rfplatform.oran.scores import score

    drawn = {question.difficulty for question in questions}
    all_of_them = [question for question in everything if question.difficulty in drawn]
    unread = None if unparsed is None else _spread(all_of_them, questions, unparsed, fill=False)
    return score(all_of_them, _spread(all_of_them, questions, credit, fill=np.nan), unread)


def _spread(
    everything: Sequence[Question],
    questions: Sequence[Question],
    values: NDArray[Any],
    fill: float,
) -> NDArray[Any]:
    """Values of a draw among those of all questions, shape (..., all)."""
    place = {question.id: i for i, question in enumerate(everything)}
    whole = np.full((*values.shape[:-1], len(everything)), fill, values.dtype)
    whole[..., [place[question.id] for question in questions]] = values
    return whole


def _called(asking: Asking) -> str:
    return f"{asking.model} + RAG" if asking.rag else asking.model


def _floors(
    names: Sequence[str],
    everything: Sequence[Question],
    questions: Sequence[Question],
    seed: int | None,
) -> list[Entrant]:
    """Scored on the same questions in the same order; what learns does so on all there are."""
    from rfplatform.oran.floors import FLOORS
    from rfplatform.oran.questions import shuffled

    shown = [shuffled(question, seed) for question in everything]
    place = {question.id: i for i, question in enumerate(everything)}
    drawn = [place[question.id] for question in questions]
    return [
        Entrant(name, "floor", _score_of(everything, questions, FLOORS[name](shown)[drawn]))
        for name in names
    ]


def _gains(
    config: Config,
    askings: Sequence[Asking],
    entrants: Sequence[Entrant],
    questions: Sequence[Question],
) -> tuple[Gain, ...]:
    """What retrieval gains, and what the options' published order does where both are known."""
    from rfplatform.oran.engine import Asking, state
    from rfplatform.oran.scores import gain

    found: list[Gain] = []
    known: dict[Asking, NDArray[np.float64]] = {
        asking: entrant.answers.credit
        for asking, entrant in zip(askings, entrants, strict=True)
        if entrant.answers is not None
    }
    for asking, credit in known.items():
        if asking.rag is not None:
            bare = known[replace(asking, rag=None, rag_digest="", top_k=Asking.top_k)]
            what = f"{asking.model}: with retrieval, over without"
            found.append(Gain(what, gain(questions, credit, bare)))
        twin = state(replace(asking, as_published=not asking.as_published), config.out, questions)
        if twin is not None and twin.complete:
            pair = (credit, twin.credit) if asking.as_published else (twin.credit, credit)
            what = f"{_called(asking)}: options as published, over shuffled"
            found.append(Gain(what, gain(questions, *pair)))
    return tuple(found)


def _unfinished(entrants: Sequence[Entrant]) -> dict[str, str]:
    lacking: dict[str, str] = {}
    for entrant in entrants:
        if entrant.answers is not None and not entrant.answers.complete:
            answers = entrant.answers
            why = f" (first: {answers.fault})" if answers.fault else ""
            lacking[entrant.name] = (
                f"{answers.failed:,} of {answers.credit.size:,} lack an answer{why}"
            )
    return lacking


def _counts(questions: Sequence[Question]) -> dict[str, int]:
    from collections import Counter

    return dict(Counter(str(question.difficulty) for question in questions))


def _published() -> tuple[Published, ...]:
    from rfplatform.oran.published import PUBLISHED

    return PUBLISHED


# ----------------------------------------------------------------------------------------------
# Rows
# ----------------------------------------------------------------------------------------------


def _rows(entrants: Sequence[Entrant]) -> tuple[Row, ...]:
    """A row for each entrant and score, with the baseline's beside it."""
    baseline = next(e for e in entrants if e.name == BASELINE)
    beside = {case: score.value for case, score in _cases(baseline.scores).items()}
    rows: list[Row] = []
    for entrant in entrants:
        names = (entrant.name, BASELINE)
        for case, score in _cases(entrant.scores).items():
            note = f"95 % {score.low:.3f} to {score.high:.3f}, {score.count:,} questions"
            rows.append(
                Row(
                    NAME,
                    case,
                    "accuracy",
                    "",
                    *names,
                    (score.value,),
                    (beside.get(case, float("nan")),),
                    "higher",
                    note=note + _caveat(entrant),
                )
            )
        if entrant.kind == "model":
            unparsed = entrant.scores.unparsed
            rows.append(Row(NAME, "unparsed", "share of answers", "", *names, (unparsed,), (0.0,)))
    return tuple(rows)


def _caveat(entrant: Entrant) -> str:
    if entrant.answers is None or entrant.answers.complete:
        return ""
    return f"; unfinished, {entrant.answers.failed:,} lack an answer"


def _cases(scores: Scores) -> dict[str, Score]:
    """Scores by the names of their cases; those that no question fell into are left out."""
    every: dict[str, Score] = {
        **scores.all_rows.by_difficulty,
        "macro": scores.all_rows.macro,
        "weighted": scores.all_rows.weighted,
        "macro, usable rows": scores.usable.macro,
        "weighted, usable rows": scores.usable.weighted,
        "negated": scores.negated,
        "not negated": scores.plain,
        "provided context": scores.with_context,
        "no provided context": scores.without_context,
    }
    return {case: score for case, score in every.items() if score.count}


# ----------------------------------------------------------------------------------------------
# What is shown
# ----------------------------------------------------------------------------------------------


def render(result: Evaluation) -> RenderableType:
    """A line for each model and floor; then what retrieval gains, and what others report."""
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    title = Rule(Text(" ORAN-Bench-13K ", style="bold cyan"), align="left", style="cyan")
    return Group(
        title,
        Text(_what_was_asked(result), style="dim"),
        Text(),
        *_tables(result),
        *_remarks(result),
        Text(),
        _quoted(result),
        *(
            Text(f"unfinished: {name}: {why}", style="bold red")
            for name, why in result.unfinished.items()
        ),
    )


def _what_was_asked(result: Evaluation) -> str:
    total = sum(result.asked.values())
    parts = ", ".join(f"{count:,} {name}" for name, count in result.asked.items())
    faults = ", ".join(f"{count} with {name}" for name, count in result.faults.items())
    unusable = sum(result.faults.values())
    told = f"{total:,} question{'s' * (total != 1)} ({parts}), options {result.order}"
    if not unusable:
        return f"{told}; all usable"
    return f"{told}; {unusable} unusable ({faults}), {total - unusable:,} usable"


_DIFFICULTIES = {
    "easy": "easy",
    "medium": "medium",
    "hard": "hard",
    "macro": "macro",
    "weighted": "weighted",
}
_APART = {
    "macro, usable rows": "macro",
    "weighted, usable rows": "weighted",
    "negated": "negated",
    "not negated": "others",
    "provided context": "context",
    "no provided context": "without",
}
"""Cases that are shown, and what they are called in the tables."""


def _tables(result: Evaluation) -> list[RenderableType]:
    from rich.text import Text

    all_rows, usable = _table(result, _DIFFICULTIES), _table(result, _APART)
    all_rows.add_column("95 %", justify="right", no_wrap=True, style="dim")
    usable.add_column("unparsed", justify="right", no_wrap=True)
    for entrant in result.entrants:
        scores = _cases(entrant.scores)
        model = entrant.kind == "model"
        name = Text(entrant.name, style="bold" if model else "")
        weighted = scores["weighted"]
        interval = f"{_share(weighted.low)}–{_share(weighted.high)}"
        unparsed = f"{entrant.scores.unparsed:.1%}" if model else ""
        for table, cases, last in (
            (all_rows, _DIFFICULTIES, interval),
            (usable, _APART, unparsed),
        ):
            shown = (_score(scores.get(case), bold=model) for case in cases)
            table.add_row(name, *shown, Text(last))
    return [all_rows, Text(), Text("Usable rows alone, and kinds of questions", "dim"), usable]


def _table(result: Evaluation, cases: Mapping[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    longest = max(len(entrant.name) for entrant in result.entrants)
    table.add_column("", overflow="fold", min_width=min(longest, 22))
    for name in cases.values():
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _score(score: Score | None, *, bold: bool) -> Text:
    from rich.text import Text

    if score is None:
        return Text("–", style="dim")
    return Text(_share(score.value), style="bold" if bold else "")


def _share(value: float) -> str:
    """Three digits without the zero before the point, as accuracies are printed."""
    return f"{value:.3f}".removeprefix("0")


def _remarks(result: Evaluation) -> list[Text]:
    from rich.text import Text

    remarks = [
        Text("95 %: of weighted, by bootstrap over questions of the same words", style="dim")
    ]
    for entrant in result.entrants:
        if entrant.answers is None:
            continue
        if entrant.scores.repeats > 1:
            remarks.append(
                Text(
                    f"{entrant.name}: mean of {entrant.scores.repeats} repeats, which differ by "
                    f"{entrant.scores.spread:.3f} (standard deviation of weighted)",
                    style="dim",
                )
            )
        if entrant.answers.refused:
            remarks.append(
                Text(f"{entrant.name}: {entrant.answers.refused:,} answers were refused", "yellow")
            )
    for gain in result.gains:
        score = gain.part.weighted
        remarks.append(
            Text(
                f"{gain.what}: {score.value:+.3f} weighted (95 % {score.low:+.3f} to "
                f"{score.high:+.3f}), {gain.part.macro.value:+.3f} macro; "
                f"paired over {score.count:,} questions",
                style="bold",
            )
        )
    return remarks


def _quoted(result: Evaluation) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [Text("Reported by others, not measured here", style="dim")]
    sources = list(dict.fromkeys(p.source for p in result.published))
    for source in sources:
        told = "; ".join(
            f"{p.name} {_share(p.value)}" + (f" {p.measure}" if p.measure != "accuracy" else "")
            for p in result.published
            if p.source == source
        )
        questions = next(p.questions for p in result.published if p.source == source)
        lines.append(Text(f"{questions}: {told} [{source}]", style="dim"))
    return Group(*lines)
