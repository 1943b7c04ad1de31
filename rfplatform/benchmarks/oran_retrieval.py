"""Whether retrieval finds the section that a heading stands over, and that a sentence was cut from.

Over the open O-RAN documents, each question asked of every entrant:

- "heading -> section": the heading is the question, its section is to be found. Headings are no
  part of the text that is searched: else the question would stand in the answer.
- "heading -> section, headings indexed": the same as it is in use, where they are.
- "sentence -> rest": a sentence is the question; it was removed from the section that is to be
  found. Headings are no part of the text here either.

Taken are all sections of at least `LEAST_TEXT` characters; for headings those whose heading has
another nowhere among all documents, for sentences those with a sentence of running text that stands
nowhere else, of which one is drawn with a fixed seed. What is searched are the chunks of the
sections that are asked for. A section is as good as its best chunk.

The figures depend on the choice: with sections from 200 characters, every MRR@10 without headings
is lower by 0.03 to 0.07. The targets are of another set of documents, chosen in another way.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.documents.chunk import Chunk, chunks
from rfplatform.documents.document import Block, Document, Section
from rfplatform.documents.read import read_document
from rfplatform.errors import MissingError
from rfplatform.retrieval.bm25 import Bm25
from rfplatform.retrieval.dense import Dense
from rfplatform.retrieval.embedding import Embedder, EmbeddingCache
from rfplatform.retrieval.fusion import Fused
from rfplatform.retrieval.glossary import Glossary
from rfplatform.retrieval.index import Bm25Retriever, DenseRetriever
from rfplatform.retrieval.minilm import MiniLM
from rfplatform.retrieval.ranking import best
from rfplatform.retrieval.retriever import Hit, Retriever
from rfplatform.shipped import DATA_VARIABLE, data_folder

DOCUMENTS = "oran/open_docs.jsonl.gz"
LEAST_TEXT = 300
"""Characters of a section that is asked for: about half a chunk."""
DEPTH, RECALL_AT, MRR_AT = 100, 5, 10
"""Chunks that a retriever is asked for; ranks of sections that count."""
SEED = 0
RESAMPLES = 2000
SENTENCE_WORDS = (8, 60)

HEADING, INDEXED, SENTENCE = (
    "heading -> section",
    "heading -> section, headings indexed",
    "sentence -> rest",
)
PLAIN, BM25, DENSE, FUSED = "plain BM25", "BM25", "dense", "fused"
ENTRANTS = (BM25, DENSE, FUSED)

TARGETS: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        (HEADING, BM25): 0.473,
        (HEADING, DENSE): 0.450,
        (HEADING, FUSED): 0.499,
        (SENTENCE, BM25): 0.479,
        (SENTENCE, DENSE): 0.432,
        (SENTENCE, FUSED): 0.503,
    }
)
"""Of the MRR@10: what was reached on 997 and 446 sections of a larger set of open documents."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")

Ranks = npt.NDArray[np.float64]
"""For each question the rank of its section, from 1; infinite where it was not found."""


@dataclass(frozen=True, eq=False)
class Task:
    """Questions, and the chunks of the sections that they ask for.

    Attributes
    ----------
    name : str
    chunks : tuple of Chunk
    questions : tuple of str
    answers : tuple of (str, int)
        Document and ordinal of each question's section.
    headings : bool
        Whether headings are searched, too.
    """

    name: str
    chunks: tuple[Chunk, ...]
    questions: tuple[str, ...]
    answers: tuple[tuple[str, int], ...]
    headings: bool

    def ranks(self, retriever: Retriever) -> Ranks:
        """Of each question's section among those of the chunks that were found."""
        found = []
        for question, answer in zip(self.questions, self.answers, strict=True):
            hits = retriever(question, DEPTH)
            order = list(dict.fromkeys((hit.chunk.document, hit.chunk.section) for hit in hits))
            found.append(order.index(answer) + 1 if answer in order else np.inf)
        return np.array(found, dtype=np.float64)


@dataclass(eq=False)
class Study:
    """The documents, and what was found in them so far."""

    documents: Sequence[Document]
    embedder: Callable[[], Embedder] = field(default=lambda: MiniLM().load())
    cache: EmbeddingCache = field(default_factory=EmbeddingCache.default)
    _found: dict[tuple[str, str], Ranks] = field(default_factory=dict)

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """All three, by name."""
        heading = heading_task(self.documents)
        indexed = replace(heading, name=INDEXED, headings=True)
        return {task.name: task for task in (heading, indexed, sentence_task(self.documents))}

    def ranks(self, question: Question) -> Ranks:
        """An entrant's ranks in a task; worked out once."""
        key = question.task, question.entrant
        if key not in self._found:
            task = self.tasks[question.task]
            self._found[key] = task.ranks(self._retriever(task, question.entrant))
        return self._found[key]

    def _retriever(self, task: Task, entrant: str) -> Retriever:
        if entrant == PLAIN:
            return PlainBm25(task.chunks, task.headings)
        parts: list[Retriever] = []
        if entrant in (BM25, FUSED):
            config = Bm25() if task.headings else Bm25(headings=0, parents=0)
            built = config.build(task.chunks)
            parts.append(Bm25Retriever(task.chunks, built, Glossary.shipped()))
        if entrant in (DENSE, FUSED):
            embedder = self._embedder
            made = Dense(task.headings).build(task.chunks, embedder, self.cache)
            parts.append(DenseRetriever(task.chunks, made, embedder))
        return parts[0] if len(parts) == 1 else Fused(tuple(parts))

    @cached_property
    def _embedder(self) -> Embedder:
        return self.embedder()


@dataclass(frozen=True, eq=False)
class Question:
    """What a case asks: an entrant in a task."""

    study: Study
    task: str
    entrant: str


class PlainBm25:
    """BM25 as `bm25s` has it by default, over words in lower case: no stems, no stop words."""

    def __init__(self, of: Sequence[Chunk], headings: bool) -> None:
        import bm25s

        self.chunks = of
        self._model = bm25s.BM25()
        texts = (f"{c.heading} {c.text}" if headings else c.text for c in of)
        self._model.index([_plain(text) for text in texts], show_progress=False)

    def __call__(self, query: str, top_k: int) -> list[Hit]:
        known = [word for word in _plain(query) if word in self._model.vocab_dict]
        if not known:
            return []
        found = best(self._model.get_scores(known), top_k, above=0.0)
        return [Hit(self.chunks[i], float(s)) for i, s in zip(*found, strict=True)]


def _plain(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


# ----------------------------------------------------------------------------------------------
# The questions
# ----------------------------------------------------------------------------------------------


def heading_task(documents: Sequence[Document]) -> Task:
    """All sections with enough text whose heading no other section has."""
    count = Counter(_key(s.title) for d in documents for s in d.sections)
    asked = {
        (d.name, ordinal): s.title
        for d in documents
        for ordinal, s in enumerate(d.sections)
        if s.title and count[_key(s.title)] == 1 and len(s.text) >= LEAST_TEXT
    }
    return _task(HEADING, documents, asked)


def sentence_task(documents: Sequence[Document]) -> Task:
    """All sections that have enough text without one sentence, which stands nowhere else."""
    count = Counter(
        _key(sentence)
        for d in documents
        for s in d.sections
        for block in s.blocks
        for sentence in _SENTENCE_END.split(block.text)
    )
    draw = random.Random(SEED)  # noqa: S311
    asked: dict[tuple[str, int], str] = {}
    changed = []
    for document in documents:
        own = list(document.sections)
        for ordinal, section in enumerate(own):
            sentences = [
                (number, sentence)
                for number, block in enumerate(section.blocks)
                if block.kind == "text"
                for sentence in _SENTENCE_END.split(block.text)
                if _is_sentence(sentence) and count[_key(sentence)] == 1
            ]
            if not sentences:
                continue
            rest = _without(section, *draw.choice(sentences))
            if len(rest[0].text) >= LEAST_TEXT:
                own[ordinal], asked[document.name, ordinal] = rest
        changed.append(replace(document, sections=tuple(own)))
    return _task(SENTENCE, changed, asked)


def _without(section: Section, number: int, sentence: str) -> tuple[Section, str]:
    blocks = list(section.blocks)
    left = blocks[number].text.replace(sentence, "", 1).strip()
    blocks[number] = replace(blocks[number], text=left)
    kept: tuple[Block, ...] = tuple(block for block in blocks if block.text)
    return replace(section, blocks=kept), " ".join(sentence.split())


def _is_sentence(text: str) -> bool:
    least, most = SENTENCE_WORDS
    return text.endswith((".", "!", "?")) and least <= len(text.split()) <= most


def _key(text: str) -> str:
    return " ".join(text.lower().split())


def _task(name: str, documents: Sequence[Document], asked: Mapping[tuple[str, int], str]) -> Task:
    searched = (
        chunk
        for document in documents
        for chunk in chunks(document)
        if (chunk.document, chunk.section) in asked
    )
    return Task(name, tuple(searched), tuple(asked.values()), tuple(asked), headings=False)


# ----------------------------------------------------------------------------------------------
# The scores
# ----------------------------------------------------------------------------------------------


def mean_reciprocal_rank(ranks: Ranks) -> float:
    """Mean of one over the rank, 0 beyond the tenth."""
    return float(np.where(ranks <= MRR_AT, 1 / ranks, 0.0).mean())


def recall(ranks: Ranks) -> float:
    """Share of the questions whose section is among the first five."""
    return float((ranks <= RECALL_AT).mean())


def gain_interval(ranks: Ranks, other: Ranks) -> tuple[float, float, float]:
    """How much the MRR@10 is above another's over the same questions, and between what 95 % lie.

    The interval is a percentile bootstrap over the questions, paired.
    """
    own, others = (np.where(r <= MRR_AT, 1 / r, 0.0) for r in (ranks, other))
    gains = own - others
    draws = np.random.default_rng(SEED).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.quantile(gains[draws].mean(axis=1), (0.025, 0.975))
    return float(gains.mean()), float(low), float(high)


def _cases() -> Iterator[Case]:
    path = data_folder() / DOCUMENTS
    if not path.is_file():
        yield Case(
            "open documents",
            skip=f"{DOCUMENTS} is not there: set {DATA_VARIABLE} to a folder that holds it",
        )
        return
    yield from cases_of(path)


def cases_of(path: Path) -> Iterator[Case]:
    """Every task for every entrant, over the documents of a file."""
    study = Study(read_document(path))
    for task in study.tasks.values():
        for entrant in ENTRANTS:
            name = f"{task.name}: {entrant}"
            question = Question(study, task.name, entrant)
            try:
                note = _note(question)
            except MissingError as error:
                yield Case(name, skip=str(error))
                continue
            yield Case(name, question, question, note)


def _note(question: Question) -> str:
    study, task = question.study, question.study.tasks[question.task]
    ranks = study.ranks(question)
    rivals = [PLAIN, BM25] if question.entrant == FUSED else [PLAIN]
    gains = []
    for rival in rivals:
        other = study.ranks(replace(question, entrant=rival))
        gain, low, high = gain_interval(ranks, other)
        gains.append(f"{gain:+.3f} over {rival} (95 %: {low:+.3f} to {high:+.3f})")
    about = f"{len(task.questions):,} sections, {len(task.chunks):,} chunks; "
    return about + ", ".join(gains)


def _asked(
    score: Callable[[Ranks], float], of: tuple[str, str] | None
) -> Callable[[Ranks, Question], float]:
    """A score in the cases with this target; None: in those without any."""

    def compute(ranks: Ranks, question: Question) -> float:
        key = question.task, question.entrant
        return score(ranks) if of == (key if key in TARGETS else None) else float("nan")

    return compute


def _metric(
    of: tuple[str, str] | None, target: float | None, better: Literal["higher"] = "higher"
) -> Metric[Ranks]:
    return Metric(f"MRR@{MRR_AT}", "", _asked(mean_reciprocal_rank, of), better, target)


ORAN_RETRIEVAL: Benchmark[Ranks] = Benchmark(
    "oran:retrieval",
    "Finding a section by its heading, or by a sentence that was removed: BM25, dense and fused",
    _cases,
    (
        *(_metric(of, target) for of, target in TARGETS.items()),
        _metric(None, None),
        Metric(f"recall@{RECALL_AT}", "", lambda ranks, _: recall(ranks), "higher"),
    ),
    baseline=Predictor(PLAIN, lambda q: q.study.ranks(replace(q, entrant=PLAIN))),
    subject=Predictor("retriever", lambda q: q.study.ranks(q)),
)
