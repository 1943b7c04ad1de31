"""The measure of relevance: by hand, by a second route, and where its threshold comes from."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rfplatform.benchmark import evaluate
from rfplatform.benchmarks import oran_relevance as bench
from rfplatform.benchmarks.oran_relevance import (
    BY_HAND,
    OFF_TOPIC,
    ORAN_RELEVANCE,
    Asked,
    Corpus,
    Scores,
    asked_by_hand,
    half,
    made_of,
    project,
)
from rfplatform.documents.chunk import Chunk
from rfplatform.documents.document import Block, Document, Section
from rfplatform.errors import MissingError
from rfplatform.oran.relevance import BEST_OF, LEAST_RELEVANCE, WordShare
from rfplatform.retrieval.glossary import Glossary
from rfplatform.retrieval.retriever import Hit

FREQUENCIES = {"handov": 30, "cell": 400, "measur": 100}
SIZE = 1000


def weight(frequency: int, size: int = SIZE) -> float:
    return math.log((size + 3000) / (frequency + 9))


def hit(text: str, heading: str = "", parents: tuple[str, ...] = ()) -> Hit:
    return Hit(Chunk("a#0", "a", "A", "", "", 0, heading, parents, None, text), 1.0)


def measure(expand=lambda _: (), **frequencies: int) -> WordShare:
    known = frequencies or FREQUENCIES
    return WordShare(lambda token: known.get(token, 0), SIZE, expand)


def test_the_share_of_the_words_weights_is_that_of_the_best_hit():
    question = "What does a handover measure in a cell?"
    hits = [hit("of a cell"), hit("a handover is measured"), hit("nothing")]
    total = weight(30) + weight(400) + weight(100)
    assert measure()(question, hits) == pytest.approx((weight(30) + weight(100)) / total)
    assert measure()(question, hits[:1]) == pytest.approx(weight(400) / total)
    assert measure()(question, [hit("measured handovers of cells")]) == pytest.approx(1.0)


def test_a_word_that_no_chunk_holds_weighs_most():
    share = measure()("handover lasagne", [hit("handover")])
    assert share == pytest.approx(weight(30) / (weight(30) + weight(0)))
    assert share < 0.5


def test_headings_count_as_the_text_does_and_words_of_asking_do_not():
    found = [hit("It is easy.", "4.2 Handover", ("4 Cells",))]
    assert measure()("How many kinds of handover does a cell need, for example?", found) == 1.0
    # But where it has no others: mean, show and purpose.
    share = measure()("What does it mean to show the purpose?", [hit("the purpose")])
    assert share == pytest.approx(1 / 3)


def test_an_abbreviation_and_what_it_stands_for_are_one():
    glossary = Glossary((("RIC", "RAN Intelligent Controller"), ("UE", "User Equipment")))
    plain, known = measure(), measure(glossary.expand)
    for question, text in (
        ("RIC", "The RAN intelligent controller"),
        ("RAN intelligent controller", "A RIC"),
        ("Which user equipment has a RIC?", "Any UE has the RAN Intelligent Controller."),
    ):
        assert plain(question, [hit(text)]) < 0.5
        assert known(question, [hit(text)]) == pytest.approx(1.0)
    assert known("RIC", [hit("an intelligent controller of light")]) == 0.0


def test_nothing_found_or_nothing_asked_is_nothing():
    assert measure()("handover", []) == 0.0
    assert measure()("", [hit("handover")]) == 0.0
    assert measure()("what is the", [hit("what is the")]) == 0.0


def test_more_hits_than_are_looked_at_change_nothing():
    far = [hit("nothing")] * BEST_OF
    assert measure()("handover", [*far, hit("handover")]) == 0.0


def test_the_measure_does_not_grow_with_the_index():
    """Ten times as many chunks of the same kind: another score of BM25, the same share."""
    question, hits = "handover measure cell lasagne", [hit("handover of a cell")]
    small = measure()(question, hits)
    tenfold = {token: 10 * count for token, count in FREQUENCIES.items()}
    large = WordShare(lambda token: tenfold.get(token, 0), 10 * SIZE)(question, hits)
    assert large == pytest.approx(small, abs=0.1)


# ----------------------------------------------------------------------------------------------
# The benchmark, on documents of our own
# ----------------------------------------------------------------------------------------------


def document(name: str, *sentences: str) -> Document:
    section = Section("1", "Text", 1, (), tuple(Block(text) for text in sentences))
    return Document(f"open.jsonl.gz#{name}", name, "", "", "0" * 64, (section,))


@pytest.fixture(scope="module")
def corpus():
    return Corpus.of(
        [
            document("o-ran-sc/oam/a.rst", "The mediator translates alarms of radio units slowly."),
            document("o-ran-sc/oam/b.rst", "A mediator knows alarms. Fans are cooled by water."),
            document("o-ran-sc/doc/c.rst", "The scheduler assigns resource blocks to users."),
        ]
    )


def test_a_removed_source_is_as_if_it_had_never_been_there(corpus):
    """The second route: an index of the other documents alone."""
    asked = Asked("Which mediator translates alarms?", corpus.documents[0].name)
    for removed, left in (("document", corpus.documents[1:]), ("project", corpus.documents[2:])):
        without = Corpus.of(left)
        nowhere = replace(asked, document="")
        assert corpus.relevance(asked, removed) == pytest.approx(without.relevance(nowhere))
        assert corpus.relevance(asked, removed) < corpus.relevance(asked) == 1.0
    kept = corpus.kept(asked.document, "document")
    assert [corpus.frequency(t, kept) for t in ("mediat", "translat", "x")] == [1, 0, 0]


def test_projects_and_halves_are_told_by_names():
    assert project("x.jsonl#o-ran-sc/oam/docs/a.rst") == "o-ran-sc/oam"
    assert project("x#onosproject/sdran-docs/onos-mlb/README.md").endswith("sdran-docs/onos-mlb")
    assert half("x.jsonl#o-ran-sc/oam/a.rst") == half("y#o-ran-sc/oam/a.rst")
    assert {half(name) for name in BY_HAND} == {0, 1}


def test_made_questions_ask_for_the_subject_of_what_one_document_says():
    same = "Every node supports the same things as all other nodes do."
    documents = [
        document("a", "The E2 node supports the RIC services of its own model. Short one.", same),
        document("b", same),
    ]
    (made,) = made_of(documents)
    assert made == Asked("What supports the RIC services of its own model?", documents[0].name)


def test_auc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    good, bad = rng.integers(0, 9, 60) / 9 + 0.2, rng.integers(0, 9, 40) / 9
    truth = np.r_[np.ones(60), np.zeros(40)]
    assert Scores(good, bad, 0.0).auc == pytest.approx(roc_auc_score(truth, np.r_[good, bad]))


# ----------------------------------------------------------------------------------------------
# On the open documents
# ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened():
    try:
        return Corpus.of(bench.open_documents())
    except MissingError as missing:
        pytest.skip(str(missing))


def test_the_threshold_is_what_calibration_gives(opened):
    by_hand = asked_by_hand(opened.documents)
    assert len(by_hand) == sum(map(len, BY_HAND.values())) >= 60  # every source is there
    assert bench.calibrated(opened) == pytest.approx(LEAST_RELEVANCE, abs=0.01)


def test_questions_of_everyday_life_are_refused_and_those_of_the_documents_are_not(opened):
    assert len(OFF_TOPIC) == 40
    off = [opened.relevance(Asked(text)) for text in OFF_TOPIC]
    assert np.mean(np.array(off) < LEAST_RELEVANCE) >= 0.95
    scored = [q for q in asked_by_hand(opened.documents) if half(q.document) == 1]
    own = np.array([opened.relevance(asked) for asked in scored])
    gone = np.array([opened.relevance(asked, "project") for asked in scored])
    assert np.mean(own < LEAST_RELEVANCE) <= 0.10
    assert np.mean(gone < LEAST_RELEVANCE) >= 0.35


def test_the_benchmark_says_what_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setenv("RFPLATFORM_DATA", str(tmp_path))
    (row,) = evaluate(ORAN_RELEVANCE)
    assert "open_docs.jsonl.gz is not there" in row.skipped
