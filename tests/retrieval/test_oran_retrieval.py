import numpy as np
import pytest
from tiny_bert import chunk

from rfplatform.benchmark import evaluate
from rfplatform.benchmarks import oran_retrieval as benchmark
from rfplatform.benchmarks.oran_retrieval import (
    BM25,
    DOCUMENTS,
    FUSED,
    HEADING,
    INDEXED,
    ORAN_RETRIEVAL,
    PLAIN,
    SENTENCE,
    TARGETS,
    PlainBm25,
    Question,
    Study,
    Task,
    gain_interval,
    heading_task,
    mean_reciprocal_rank,
    recall,
    sentence_task,
)
from rfplatform.documents.document import Block, Document, Section
from rfplatform.documents.read import read_document
from rfplatform.errors import MissingError
from rfplatform.retrieval.embedding import EmbeddingCache
from rfplatform.retrieval.encoder import OnnxFolder
from rfplatform.retrieval.retriever import Hit
from rfplatform.shipped import data_folder

FILLER = "word number {} stands here, among others that are of no use to anyone. "


def _text(key: str) -> str:
    long = " ".join(FILLER.format(f"{key}{i}") for i in range(5))
    return f"{long}\nThis sentence about {key} is the one that may be drawn here. The end of {key}."


def _document(name: str, *titles: str) -> Document:
    sections = (Section("", t, 1, (), (Block(_text(f"{name}{i}")),)) for i, t in enumerate(titles))
    return Document(name, name, "", "", "", tuple(sections))


DOCUMENTS_HERE = [
    _document("alpha", "Fronthaul", "General", "Subscription"),
    _document("beta", "general", "Policy", ""),
]


def test_headings_that_come_twice_are_not_asked():
    task = heading_task(DOCUMENTS_HERE)
    assert task.questions == ("Fronthaul", "Subscription", "Policy")
    assert task.answers == (("alpha", 0), ("alpha", 2), ("beta", 1))
    assert {(c.document, c.section) for c in task.chunks} == set(task.answers)


def test_the_sentence_that_is_asked_is_nowhere_in_what_is_searched():
    task = sentence_task(DOCUMENTS_HERE)
    assert len(task.questions) == 6
    assert task.questions == sentence_task(DOCUMENTS_HERE).questions
    searched = " ".join(" ".join(c.text.split()) for c in task.chunks)
    for question in task.questions:
        assert len(question.split()) >= 8
        assert question not in searched
    for (name, ordinal), question in zip(task.answers, task.questions, strict=True):
        document = next(d for d in DOCUMENTS_HERE if d.name == name)
        assert question in " ".join(document.sections[ordinal].text.split())


def test_ranks_are_of_sections_by_their_best_chunk():
    order = [("a", 0), ("a", 0), ("b", 1), ("a", 0), ("b", 0)]
    hits = [Hit(chunk("x", name, section), 1.0) for name, section in order]
    task = Task("t", (), ("q",) * 3, (("a", 0), ("b", 0), ("c", 0)), headings=False)
    assert list(task.ranks(lambda *_: hits)) == [1, 3, np.inf]


def test_scores_by_hand():
    ranks = np.array([1, 2, 5, 6, 10, 11, np.inf])
    expected = (1 + 1 / 2 + 1 / 5 + 1 / 6 + 1 / 10) / 7
    assert mean_reciprocal_rank(ranks) == pytest.approx(expected)
    assert recall(ranks) == pytest.approx(3 / 7)
    gain, low, high = gain_interval(np.ones(50), np.full(50, 2.0))
    assert (gain, low, high) == (0.5, 0.5, 0.5)


def test_the_interval_is_as_wide_as_the_normal_one():
    random = np.random.default_rng(0)
    ranks, other = (random.integers(1, 11, 400).astype(float) for _ in range(2))
    gain, low, high = gain_interval(ranks, other)
    gains = 1 / ranks - 1 / other
    half = 1.96 * gains.std() / np.sqrt(400)
    assert gain == pytest.approx(gains.mean())
    assert low == pytest.approx(gain - half, abs=0.1 * half)
    assert high == pytest.approx(gain + half, abs=0.1 * half)


def test_the_plain_baseline_is_bm25s():
    import bm25s

    task = heading_task(DOCUMENTS_HERE)
    words = [c.text.lower().replace(",", " ").replace(".", " ").split() for c in task.chunks]
    model = bm25s.BM25()
    model.index(words, show_progress=False)
    query = "sentence about alpha2"
    scores = model.get_scores(query.split())
    found = PlainBm25(task.chunks, headings=False)(query, 1)
    assert found[0].chunk == task.chunks[int(np.argmax(scores))]
    assert found[0].score == pytest.approx(scores.max())
    assert PlainBm25(task.chunks, headings=False)("qqqq", 1) == []


def test_all_entrants_run_through_the_one_loop(tmp_path, monkeypatch, tiny_model):
    study = Study(
        DOCUMENTS_HERE,
        lambda: OnnxFolder(tiny_model).load(),
        EmbeddingCache(tmp_path / "e.sqlite"),
    )
    monkeypatch.setattr(benchmark, "Study", lambda _documents: study)
    monkeypatch.setattr(benchmark, "read_document", lambda _path: ())
    monkeypatch.setattr(
        benchmark.Benchmark, "cases", lambda *_: benchmark.cases_of(tmp_path), raising=True
    )
    rows = evaluate(ORAN_RETRIEVAL)
    assert len(rows) == 18
    assert {r.target for r in rows if r.metric == "MRR@10"} == {None, *TARGETS.values()}
    fused = next(r for r in rows if r.case == f"{SENTENCE}: {FUSED}")
    assert fused.value == mean_reciprocal_rank(study.ranks(Question(study, SENTENCE, FUSED)))
    assert fused.baseline_value == mean_reciprocal_rank(
        study.ranks(Question(study, SENTENCE, PLAIN))
    )
    assert "95 %" in fused.note
    indexed = next(r for r in rows if r.case == f"{INDEXED}: {BM25}")
    assert indexed.value == 1.0


def test_without_an_embedder_bm25_is_scored(monkeypatch, tmp_path):
    def absent():
        raise MissingError("no weights")

    monkeypatch.setattr(benchmark, "Study", lambda _: Study(DOCUMENTS_HERE, absent))
    monkeypatch.setattr(benchmark, "read_document", lambda _path: ())
    cases = list(benchmark.cases_of(tmp_path))
    assert [bool(case.skip) for case in cases] == [False, True, True] * 3
    assert cases[1].skip == "no weights"


def test_without_the_documents_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("RFPLATFORM_DATA", str(tmp_path))
    (row,) = evaluate(ORAN_RETRIEVAL)
    assert "RFPLATFORM_DATA" in row.skipped


@pytest.mark.skipif(
    not (data_folder() / DOCUMENTS).is_file(), reason="the open O-RAN documents are not there"
)
def test_bm25_meets_its_targets_on_the_open_documents():
    study = Study(read_document(data_folder() / DOCUMENTS))
    for name in (HEADING, SENTENCE):
        task = study.tasks[name]
        assert len(task.questions) > 300
        scores = [
            mean_reciprocal_rank(study.ranks(Question(study, name, entrant)))
            for entrant in (BM25, PLAIN)
        ]
        assert scores[0] >= TARGETS[name, BM25]
        assert scores[0] > scores[1] + 0.02
