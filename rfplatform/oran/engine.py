"""Language models asked the benchmark's questions through inspect_ai; no answer is ever lost.

A run is a folder: its settings and inspect's logs. Each log of a run that is resumed holds what the
earlier ones hold, so that the one with most answers is the run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform.errors import InputError, MissingError, WorkerError
from rfplatform.oran.providers import keyless, redacted
from rfplatform.oran.questions import Question, select

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSampleSummary
    from inspect_ai.model import Model
    from numpy.typing import NDArray

MOST_FAILED = 50
"""So many questions without an answer end a run: its server is down, and waiting won't help."""

SETTINGS, LOCK = "run.json", ".lock"


@dataclass(frozen=True)
class Asking:
    """What a model is asked, and how: all that decides a run.

    Attributes
    ----------
    model : str
        PROVIDER/NAME in full; see `rfplatform.oran.providers.check_model`.
    questions : Path, optional
        Folder of the questions; by default the registry's.
    questions_digest : str
        Of those that are drawn from it.
    subset : tuple of str
        Difficulties; empty for all.
    limit : int, optional
    orbench_1500 : bool
    seed : int
        Of the draw of questions and of the options' order.
    as_published : bool
        Whether options keep their order.
    rag : Path, optional
        An index whose passages are shown; None without retrieval.
    rag_digest : str
        Of that index's contents.
    top_k : int
        Passages a question.
    epochs : int
        How many times each question is asked.
    """

    model: str
    questions: Path | None = None
    questions_digest: str = ""
    subset: tuple[str, ...] = ()
    limit: int | None = None
    orbench_1500: bool = False
    seed: int = 1
    as_published: bool = False
    rag: Path | None = None
    rag_digest: str = ""
    top_k: int = 5
    epochs: int = 1

    def of(self, questions: Sequence[Question]) -> Asking:
        """The same for these questions, by what they say."""
        told = json.dumps([(q.id, q.text, q.options, q.answer) for q in questions])
        return replace(self, questions_digest=hashlib.sha256(told.encode()).hexdigest()[:16])

    def draw(self, everything: Sequence[Question]) -> tuple[Question, ...]:
        """Those of all questions that are meant."""
        return select(
            everything,
            subset=self.subset,
            limit=self.limit,
            orbench_1500=self.orbench_1500,
            seed=self.seed,
        )

    def folder(self, out: Path) -> Path:
        """Where its run is kept, named by all that decides it.

        Questions and index count by what is in them, wherever they lie.
        """
        decides = {k: v for k, v in self.to_dict().items() if k not in ("questions", "rag")}
        if self.rag is None:
            del decides["top_k"]
        key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:10]
        kind = "rag" if self.rag else "closed-book"
        order = "as-published" if self.as_published else "shuffled"
        name = re.sub(r"[^A-Za-z0-9.]+", "-", self.model).strip("-.")
        return out / name / f"{kind}-{order}-{key}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        known = asdict(self)
        known["subset"] = list(self.subset)
        return {k: str(v) if isinstance(v, Path) else v for k, v in known.items()}

    def task_arguments(self) -> dict[str, Any]:
        """Of `rfplatform.oran.task.oran`."""
        return {
            "questions": str(self.questions.absolute()) if self.questions else None,
            "subset": ",".join(self.subset),
            "limit": self.limit,
            "orbench_1500": self.orbench_1500,
            "seed": self.seed,
            "as_published": self.as_published,
            "rag": str(self.rag.absolute()) if self.rag else None,
            "top_k": self.top_k,
        }


@dataclass(frozen=True)
class Patience:
    """How long a model is waited for.

    Attributes
    ----------
    timeout_s : int
        For one attempt at an answer.
    max_retries : int
        Further attempts after a timeout, a refused connection, 429 or 5xx, ever longer apart.
    max_connections : int, optional
        Questions that are asked at once; by default as many as the server bears.
    max_tokens : int, optional
        Of an answer.
    """

    timeout_s: int = 120
    max_retries: int = 5
    max_connections: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """What a run has so far.

    Attributes
    ----------
    credit : ndarray, shape (epochs, n)
        1 for a right answer, 0 for a wrong or unreadable one, and for a row that nobody can be
        asked since it has no options; NaN where no answer came yet.
    unparsed : ndarray of bool, shape (epochs, n)
        Answers in which no option could be read.
    refused : int
        Of these, those that the provider's filter stopped.
    failed : int
        Questions (times epochs) that were to be asked and have no answer.
    fault : str
        What went wrong at the first of them that failed; "" if they were only not reached.
    tokens : mapping of str to int
        "input" and "output".
    log : Path
    """

    credit: NDArray[np.float64]
    unparsed: NDArray[np.bool_]
    refused: int
    failed: int
    fault: str
    tokens: dict[str, int] = field(default_factory=dict)
    log: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether every question has its answer."""
        return self.failed == 0


# ----------------------------------------------------------------------------------------------
# A run
# ----------------------------------------------------------------------------------------------


def state(asking: Asking, out: Path, questions: Sequence[Question]) -> Answers | None:
    """What a run in a folder has so far; None if there is none."""
    folder = asking.folder(out)
    return _read(folder, asking, questions) if (folder / SETTINGS).is_file() else None


def run(
    asking: Asking,
    questions: Sequence[Question],
    model: Model,
    out: Path,
    *,
    patience: Patience = Patience(),
    tell: Callable[[int, int], None] | None = None,
) -> Answers:
    """Begin a run, or go on with one: only questions without an answer are asked.

    Parameters
    ----------
    asking : Asking
    questions : sequence of Question
        Those that `asking` draws.
    model : Model
    out : Path
        The run's folder lies in it.
    patience : Patience
    tell : callable, optional
        Told how many have an answer, and of how many.

    Returns
    -------
    Answers
        Not complete if some questions got no answer; another call asks these again.

    Raises
    ------
    InputError
        If another process works on this run.
    KeyboardInterrupt
        If it is interrupted; what was answered stays.
    """
    folder = asking.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder), keyless(asking.model, model.api.base_url):
        settings = folder / SETTINGS
        if not settings.is_file():
            settings.write_text(json.dumps(asking.to_dict(), indent=2) + "\n", encoding="utf-8")
        before = _recovered(folder, asking, questions)
        if before is not None and before.complete:
            return before
        with _telling(tell, before, asking, questions):
            log = _evaluate(asking, model, folder, patience, before)
        now = _read(folder, asking, questions)
    if log.status == "cancelled":
        raise KeyboardInterrupt
    if now is None:
        error = log.error.message if log.error else "no question was asked"
        raise WorkerError(f"inspect_ai ended without a log of answers: {redacted(error)}")
    if now.complete:
        _prune(folder, now)
    return now


def _evaluate(
    asking: Asking, model: Model, folder: Path, patience: Patience, before: Answers | None
) -> EvalLog:
    from inspect_ai import Epochs, eval, eval_retry  # noqa: A004
    from inspect_ai.log import read_eval_log

    from rfplatform.oran.task import oran

    if before is not None and before.log is not None:
        log = read_eval_log(str(before.log))
        # Server, paths and patience are today's, not those of when the run began.
        log.eval.model_base_url = model.api.base_url
        log.eval.task_args = log.eval.task_args_passed = asking.task_arguments()
        log.plan.config.max_tokens = patience.max_tokens
        try:
            logs = eval_retry(
                log,
                log_dir=str(folder),
                display="none",
                log_level="critical",
                fail_on_error=MOST_FAILED,
                max_retries=patience.max_retries,
                attempt_timeout=patience.timeout_s,
                max_connections=patience.max_connections,
                ctl_server=False,
            )
        except IndexError:  # Interrupted early, it takes the first of no logs.
            raise KeyboardInterrupt from None
        return _first(logs)
    logs = eval(
        oran(**asking.task_arguments()),
        model=model,
        epochs=Epochs(asking.epochs, "mean"),
        log_dir=str(folder),
        display="none",
        log_level="critical",
        fail_on_error=MOST_FAILED,
        log_model_api=False,
        log_images=False,
        score_display=False,
        ctl_server=False,
        max_retries=patience.max_retries,
        attempt_timeout=patience.timeout_s,
        max_connections=patience.max_connections,
        max_tokens=patience.max_tokens,
    )
    return _first(logs)


def _first(logs: Sequence[EvalLog]) -> EvalLog:
    """The one log; inspect_ai gives none where it was interrupted early."""
    if not logs:
        raise KeyboardInterrupt
    return logs[0]


@contextmanager
def _telling(
    tell: Callable[[int, int], None] | None,
    before: Answers | None,
    asking: Asking,
    questions: Sequence[Question],
) -> Iterator[None]:
    from rfplatform.oran.task import TELL

    if tell is None:
        yield
        return
    total = asking.epochs * sum(bool(q.options) for q in questions)
    done = total - before.failed if before else 0
    tell(done, total)

    def one_more() -> None:
        nonlocal done
        done += 1
        tell(done, total)

    token = TELL.set(one_more)
    try:
        yield
    finally:
        TELL.reset(token)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another process is at work on this run") from None
        yield


def remove(asking: Asking, out: Path) -> None:
    """Remove a run, answers and all."""
    folder = asking.folder(out)
    if folder.is_dir():
        with _locked(folder):
            shutil.rmtree(folder)


# ----------------------------------------------------------------------------------------------
# Its logs
# ----------------------------------------------------------------------------------------------


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.eval"), reverse=True)


def _recovered(folder: Path, asking: Asking, questions: Sequence[Question]) -> Answers | None:
    """What a run has, with what a killed process had not yet written into its log."""
    from inspect_ai.log import read_eval_log, recover_eval_log
    from inspect_ai.log._recover import RecoveryNotAvailable

    for path in _logs(folder):
        if _unreadable(path):
            # A process was killed while it wrote: kept for whoever wants to look into it.
            path.rename(path.with_suffix(".damaged"))
            continue
        if read_eval_log(str(path), header_only=True).status == "started":
            try:
                recover_eval_log(str(path), overwrite=True, cleanup=False)
            except RecoveryNotAvailable:
                continue  # All that was answered is in the log.
    return _read(folder, asking, questions)


def _unreadable(path: Path) -> bool:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            return not {"header.json", "_journal/start.json"} & set(archive.namelist())
    except BadZipFile:
        return True


def _read(folder: Path, asking: Asking, questions: Sequence[Question]) -> Answers | None:
    """The answers of that log which has most of them."""
    best: Answers | None = None
    for path in _logs(folder):
        if not _unreadable(path):
            found = _answers(path, asking, questions)
            if best is None or found.failed < best.failed:
                best = found
    return best


def _answers(path: Path, asking: Asking, questions: Sequence[Question]) -> Answers:
    from inspect_ai.log import read_eval_log_sample_summaries

    column = {q.id: i for i, q in enumerate(questions)}
    options = np.array([bool(q.options) for q in questions])
    shape = (asking.epochs, len(questions))
    credit = np.where(options, np.nan, 0.0) * np.ones(shape)
    unparsed = np.zeros(shape, bool)
    refused, fault = 0, ""
    tokens = {"input": 0, "output": 0}
    for sample in read_eval_log_sample_summaries(str(path)):
        if sample.id not in column or not 1 <= sample.epoch <= asking.epochs:
            raise InputError(
                f"{path}: holds question {sample.id}, which this run does not ask: the questions "
                "have changed; begin anew with --overwrite"
            )
        where = (sample.epoch - 1, column[str(sample.id)])
        answer = _answer(sample)
        if answer is None:
            fault = fault or redacted(sample.error or "")
            continue
        credit[where], unparsed[where], stopped = answer
        refused += unparsed[where] and stopped
        for used in sample.model_usage.values():
            tokens["input"] += used.input_tokens
            tokens["output"] += used.output_tokens
    failed = int(np.isnan(credit).sum())
    return Answers(credit, unparsed, int(refused), failed, fault, tokens, path)


def _answer(sample: EvalSampleSummary) -> tuple[float, bool, bool] | None:
    """Credit, whether it could not be read, whether a filter stopped it; None without an answer."""
    from rfplatform.oran.task import ANSWERED, STOPPED

    if sample.error or not sample.scores:
        return None
    (score,) = sample.scores.values()
    about = score.metadata or {}
    return (
        float(score.value == "C"),
        about.get(ANSWERED) is None,
        about.get(STOPPED) == "content_filter",
    )


def _prune(folder: Path, kept: Answers) -> None:
    """Remove the logs of which the last one holds all."""
    for path in _logs(folder):
        if path != kept.log:
            path.unlink()


def open_checked(specs: Sequence[str], base_url: str | None) -> dict[str, Model]:
    """Models by their full names, each of which has answered a trial question.

    Raises
    ------
    InputError, MissingError
        As `rfplatform.oran.providers.open_model` and `probe`.
    """
    import asyncio

    from rfplatform.oran.providers import check_model, open_model, probe

    opened = {check_model(spec, base_url): open_model(spec, base_url) for spec in specs}

    async def ask() -> None:
        for model in opened.values():
            await probe(model)

    try:
        asyncio.run(ask())
    except OSError as error:
        raise MissingError(f"no model can be asked: {redacted(error)}") from None
    return opened
