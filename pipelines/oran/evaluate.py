"""Evaluate language models on ORAN-Bench-13K, with what knows nothing scored beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.oran.evaluation import Entrant, Evaluation, Gain, rows_of
from rfplatform.errors import InputError

if TYPE_CHECKING:
    from inspect_ai.model import Model
    from numpy.typing import NDArray

    from rfplatform.oran.engine import Asking, Patience
    from rfplatform.oran.published import Published
    from rfplatform.oran.questions import Question
    from rfplatform.oran.scores import Scores

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
        _asked(asking, everything, questions, opened[asking.model], config.out, patience, told)
        for asking in askings
    ]
    told("Scoring", 0, 0)
    gains = _gains(config, askings, entrants, questions)
    known = [*floors, *(name for name in BESIDE if name not in floors)]
    entrants += _floors(known, everything, questions, None if config.as_published else config.seed)
    return Evaluation(
        rows_of(entrants),
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
    questions: Sequence[Question],
    model: Model,
    out: Path,
    patience: Patience,
    told: Tell,
) -> Entrant:
    from rfplatform.oran.engine import run, state

    name = _called(asking)
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
