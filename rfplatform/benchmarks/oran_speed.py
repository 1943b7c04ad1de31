"""How fast questions go through the engine, and words through an index of 100,000 chunks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.benchmarks.speed import peak_bytes
from rfplatform.errors import MissingError, WorkerError

if TYPE_CHECKING:
    from inspect_ai import Task

CHUNKS = 100_000
DOCUMENTS, SECTIONS = 2_000, 25
"""Which makes two chunks a section."""
WORDS = 130
VOCABULARY = 60_000
QUERIES = 200
TOP_K = 10
SEED = 7

BUILD_S, SEARCH_S = 120.0, 0.02


@dataclass(frozen=True)
class OranRun:
    """What something took.

    Attributes
    ----------
    seconds : float
        Wall time.
    cpu_s : float
    count : int
        Questions, chunks or queries.
    peak_mb : float
        Of the process's memory; 0 where it was not looked at.
    """

    seconds: float
    cpu_s: float
    count: int
    peak_mb: float = 0.0


# ----------------------------------------------------------------------------------------------
# The engine
# ----------------------------------------------------------------------------------------------


def _ours() -> Task:
    from rfplatform.oran.task import oran

    return oran()


def _inspects_own() -> Task:
    """The same questions with inspect's own multiple choice, as others ask them."""
    from inspect_ai import Task
    from inspect_ai.scorer import choice
    from inspect_ai.solver import multiple_choice

    return Task(dataset=_ours().dataset, solver=multiple_choice(), scorer=choice())


_TASKS: dict[str, Callable[[], Task]] = {"ours": _ours, "inspect": _inspects_own}


def _engine(which: str, count: int) -> OranRun:
    """Ask so many questions in a process of its own: imports and memory are that task's alone."""
    child = [sys.executable, "-m", "rfplatform.benchmarks.oran_speed", which, str(count)]
    done = subprocess.run(child, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WorkerError(f"the engine ended: {done.stderr.strip().splitlines()[-1:]}")
    return OranRun(**json.loads(done.stdout.splitlines()[-1]))


def _ask(which: str, count: int) -> OranRun:
    from inspect_ai import eval  # noqa: A004
    from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, get_model, modelapi

    class Instant(ModelAPI):
        """Answers at once, so that only the engine takes time."""

        async def generate(
            self,
            input: Any,  # noqa: A002, ANN401, ARG002  (inspect_ai's)
            tools: Any,  # noqa: ANN401, ARG002
            tool_choice: Any,  # noqa: ANN401, ARG002
            config: Any,  # noqa: ANN401, ARG002
        ) -> ModelOutput:
            output = ModelOutput.from_content(self.model_name, "ANSWER: B")
            # Without it, inspect_ai would count tokens with a file that it downloads.
            output.usage = ModelUsage(input_tokens=100, output_tokens=3, total_tokens=103)
            return output

    modelapi(name="instant")(Instant)
    task = _TASKS[which]()
    task.dataset = task.dataset[:count]
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        started, cpu = time.perf_counter(), time.process_time()
        (log,) = eval(
            task,
            model=get_model("instant/b"),
            log_dir=folder,
            display="none",
            log_level="critical",
            log_model_api=False,
            score_display=False,
            ctl_server=False,
            fail_on_error=False,
        )
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
    if log.status != "success" or log.results is None:
        raise WorkerError("the engine did not end well")
    return OranRun(took, cpu, log.results.completed_samples, peak_bytes() / 1e6)


# ----------------------------------------------------------------------------------------------
# The index
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Words:
    """Documents, and what is looked for in them."""

    folder: Path
    queries: tuple[str, ...]


def _write_documents(folder: Path) -> tuple[str, ...]:
    """Sections of words as rare as those of a language (Zipf); headings are what is looked for."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 11))) for _ in range(VOCABULARY)])
    shares = 1.0 / np.arange(1, VOCABULARY + 1)
    bounds = np.cumsum(shares / shares.sum())

    def draw(count: int) -> str:
        return " ".join(words[np.searchsorted(bounds, rng.random(count))])

    headings: list[str] = []
    for number in range(DOCUMENTS):
        parts = []
        for section in range(SECTIONS):
            headings.append(draw(5))
            sentences = ". ".join(draw(13) for _ in range(WORDS // 13))
            parts.append(f"# {section + 1} {headings[-1]}\n\n{sentences}.\n")
        (folder / f"{number:04d}.md").write_text("\n".join(parts), encoding="utf-8")
    chosen = rng.choice(len(headings), QUERIES, replace=False)
    return tuple(headings[i] for i in chosen)


def _build(words: _Words) -> OranRun:
    from rfplatform.retrieval.index import build_index

    started, cpu = time.perf_counter(), time.process_time()
    index = build_index([words.folder], words.folder.parent / "index")
    return OranRun(time.perf_counter() - started, time.process_time() - cpu, index.manifest.chunks)


def _build_fts(words: _Words) -> OranRun:
    """The same chunks, read and cut as ours, in SQLite's FTS5."""
    import sqlite3

    from rfplatform.documents.chunk import chunks
    from rfplatform.documents.read import read_documents

    started, cpu = time.perf_counter(), time.process_time()
    with sqlite3.connect(words.folder.parent / "fts.sqlite") as db:
        db.execute("CREATE VIRTUAL TABLE c USING fts5(heading, text, tokenize='porter')")
        count = 0
        for document in read_documents([words.folder]):
            rows = [(chunk.heading, chunk.text) for chunk in chunks(document)]
            count += len(rows)
            db.executemany("INSERT INTO c VALUES (?, ?)", rows)
    db.close()
    return OranRun(time.perf_counter() - started, time.process_time() - cpu, count)


def _search(words: _Words) -> OranRun:
    from rfplatform.retrieval.index import open_index

    retriever = open_index(words.folder.parent / "index").retriever()
    retriever("warm up", TOP_K)
    return _timed(lambda query: len(retriever(query, TOP_K)), words.queries)


def _search_fts(words: _Words) -> OranRun:
    import sqlite3

    asked = "SELECT heading, text FROM c WHERE c MATCH ? ORDER BY bm25(c) LIMIT ?"
    db = sqlite3.connect(words.folder.parent / "fts.sqlite")

    def search(query: str) -> int:
        return len(db.execute(asked, (" OR ".join(query.split()), TOP_K)).fetchall())

    run = _timed(search, words.queries)
    db.close()
    return run


def _timed(search: Callable[[str], int], queries: Sequence[str]) -> OranRun:
    started, cpu = time.perf_counter(), time.process_time()
    found = [search(query) for query in queries]
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    if not all(found):
        raise WorkerError("a search found nothing")
    return OranRun(took, cpu, len(queries))


# ----------------------------------------------------------------------------------------------
# The benchmark
# ----------------------------------------------------------------------------------------------

_PAIRS: dict[str, tuple[Callable[[Any], OranRun], Callable[[Any], OranRun]]] = {
    "engine": (lambda count: _engine("ours", count), lambda count: _engine("inspect", count)),
    "index": (_build, _build_fts),
    "search": (_search, _search_fts),
}


def _cases() -> Iterator[Case]:
    from rfplatform.oran.questions import load_questions

    try:
        count = sum(bool(question.options) for question in load_questions())
    except MissingError as error:
        yield Case("engine", skip=str(error))
    else:
        yield Case(
            "engine",
            ("engine", count),
            "engine",
            note=f"{count:,} questions to a model that answers at once; "
            "the rival is inspect_ai's own multiple choice",
        )
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as name:
        folder = Path(name, "documents")
        folder.mkdir()
        words = _Words(folder, _write_documents(folder))
        note = f"{DOCUMENTS:,} made-up documents, reading and cutting included; rival: SQLite FTS5"
        yield Case("index", ("index", words), "index", note=note)
        yield Case("search", ("search", words), "search", note=f"{QUERIES} queries, one by one")


def _of(case: str, number: Callable[[OranRun], float]) -> Callable[[OranRun, str], float]:
    """A metric that applies to one case alone."""
    return lambda run, truth: number(run) if truth == case else float("nan")


ORAN_SPEED: Benchmark[OranRun] = Benchmark(
    "speed:oran",
    "Questions through the engine without waiting for a model; indexing and searching chunks",
    _cases,
    (
        Metric("questions per CPU s", "1/s", _of("engine", lambda r: r.count / r.cpu_s), "higher"),
        Metric("peak memory", "MB", _of("engine", lambda r: r.peak_mb)),
        Metric("chunks", "", _of("index", lambda r: r.count), "higher", CHUNKS),
        Metric("time", "s", _of("index", lambda r: r.seconds), target=BUILD_S),
        Metric("CPU", "s", _of("index", lambda r: r.cpu_s)),
        Metric("a search", "s", _of("search", lambda r: r.seconds / r.count), target=SEARCH_S),
        Metric("its CPU", "s", _of("search", lambda r: r.cpu_s / r.count)),
    ),
    baseline=Predictor("rival", lambda asked: _PAIRS[asked[0]][1](asked[1])),
    subject=Predictor("rfplatform", lambda asked: _PAIRS[asked[0]][0](asked[1])),
)


if __name__ == "__main__":
    from dataclasses import asdict

    sys.stdout.write(json.dumps(asdict(_ask(sys.argv[1], int(sys.argv[2])))) + "\n")
