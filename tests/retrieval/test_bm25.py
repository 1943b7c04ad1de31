import functools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import chunk

from rfplatform.errors import InputError
from rfplatform.retrieval.bm25 import ARRAYS, Bm25, Bm25Index
from rfplatform.retrieval.ranking import best
from rfplatform.retrieval.tokens import token_lists

TEXTS = [
    "The E2 node sends a report to the near-RT RIC.",
    "Fronthaul split 7-2x lies between O-DU and O-RU; the O-RU holds the low PHY.",
    "A policy of the non-RT RIC reaches the near-RT RIC over A1.",
    "Nothing here.",
    "",
    "RIC RIC RIC: the RIC hosts xApps. " * 5,
]
CHUNKS = [chunk(text, f"{i}.md", heading=f"Part {i}") for i, text in enumerate(TEXTS)]


def lucene(query: str, texts: list[str], k1: float, b: float) -> list[float]:
    """BM25 as Lucene has it, term by term."""
    documents = [Counter(tokens) for tokens in token_lists(texts)]
    lengths = [sum(d.values()) for d in documents]
    mean = sum(lengths) / len(lengths)
    scores = []
    for document, length in zip(documents, lengths, strict=True):
        score = 0.0
        for token in next(token_lists([query])):
            holding = sum(token in d for d in documents)
            if document[token]:
                idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
                tf = document[token]
                score += idf * tf / (tf + k1 * (1 - b + b * length / mean))
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["near-RT RIC", "O-RU split", "who sends a report", "ric"])
@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_scores_are_the_formula(query, k1, b):
    index = Bm25(k1, b, headings=0, parents=0).build(CHUNKS)
    expected = lucene(query, TEXTS, k1, b)
    found = index.search(query, len(TEXTS))
    assert list(found.positions) == sorted(
        (i for i, score in enumerate(expected) if score), key=lambda i: -expected[i]
    )
    np.testing.assert_allclose(found.scores, sorted(filter(None, expected))[::-1], rtol=1e-5)


def test_headings_count_as_often_as_they_are_asked_to():
    under = chunk("Text.", heading="Subscription", parents=("E2 procedures",))
    others = [chunk("Subscription of something.", "b.md"), chunk("Procedures", "c.md")]
    none, one = Bm25(headings=0, parents=0), Bm25(headings=1, parents=1)
    assert list(none.build([under, *others]).search("subscription", 3).positions) == [1]
    assert set(one.build([under, *others]).search("subscription", 3).positions) == {0, 1}
    assert 0 in one.build([under, *others]).search("e2", 3).positions
    many = Bm25(headings=9, parents=0).build([under, *others])
    assert many.search("subscription", 3).positions[0] == 0


def test_other_words_count_less_and_find_what_the_own_do_not():
    index = Bm25().build(CHUNKS)
    alone = index.search("fronthaul", 6)
    both = index.search("fronthaul", 6, also=["near-RT RIC", "fronthaul"], also_weight=0.1)
    assert both.positions[0] == alone.positions[0] == 1
    assert both.scores[0] == alone.scores[0]
    assert set(both.positions) == {0, 1, 2, 5}
    own = index.search("near-RT RIC", 6)
    rest = both.scores[np.isin(both.positions, own.positions)]
    np.testing.assert_allclose(np.sort(rest), np.sort(own.scores) * np.float32(0.1), rtol=1e-6)


BUILT = functools.cache(lambda: [Bm25().build(of) for of in (CHUNKS, CHUNKS[4:5], [])])
QUERIES = st.one_of(st.text(), st.lists(st.sampled_from(["RIC", "E2", "?", "", "O-RU"])))


@given(query=QUERIES, top_k=st.integers(-1, 9))
def test_no_query_fails(query, top_k):
    query = query if isinstance(query, str) else " ".join(query)
    for index in BUILT():
        found = index.search(query, top_k)
        assert len(found.positions) == len(found.scores) <= max(top_k, 0)
        assert (found.scores > 0).all()


def test_what_has_no_known_word_finds_nothing():
    index = Bm25().build(CHUNKS)
    for query in ("", "   ", "the", "zzzz qqqq", "\ud800"):
        assert len(index.search(query, 5).positions) == 0


@pytest.mark.parametrize("chunks", [CHUNKS, [], CHUNKS[4:5]])
def test_saved_and_read_it_is_the_same(tmp_path, chunks):
    config = Bm25()
    built = config.build(chunks)
    built.save(tmp_path)
    for path in tmp_path.glob("*.npy"):
        assert b"O" not in path.read_bytes()[:80].split(b"descr")[1][:12]
    read = Bm25Index.load(tmp_path, config, len(chunks))
    for query in ("near-RT RIC", "O-RU"):
        for one, other in zip(built.search(query, 9), read.search(query, 9), strict=True):
            assert one.tobytes() == other.tobytes()


def _pickled(folder):
    np.save(folder / "bm25.data.npy", np.array([{}], dtype=object), allow_pickle=True)


def _cut(folder):
    path = folder / "bm25.indices.npy"
    path.write_bytes(path.read_bytes()[:-8])


def _beyond(folder):
    indices = np.load(folder / "bm25.indices.npy")
    indices[3] = 99
    np.save(folder / "bm25.indices.npy", indices)


def _backwards(folder):
    indptr = np.load(folder / "bm25.indptr.npy")
    indptr[1] = 5000
    np.save(folder / "bm25.indptr.npy", indptr)


@pytest.mark.parametrize(
    "spoil",
    [
        _pickled,
        _cut,
        _beyond,
        _backwards,
        lambda f: (f / "bm25.vocabulary.json").write_text('["a"]'),
        lambda f: (f / "bm25.vocabulary.json").write_text('{"a": 1}'),
        lambda f: (f / "bm25.vocabulary.json").write_text("["),
        lambda f: (f / "bm25.data.npy").unlink(),
        lambda f: np.save(f / "bm25.data.npy", np.zeros(3)),
    ],
)
def test_damaged_files_are_told(tmp_path, spoil):
    Bm25().build(CHUNKS).save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError) as error:
        Bm25Index.load(tmp_path, Bm25(), len(CHUNKS))
    assert "\n" not in str(error.value)


def test_an_index_of_other_chunks_is_told(tmp_path):
    Bm25().build(CHUNKS).save(tmp_path)
    with pytest.raises(InputError):
        Bm25Index.load(tmp_path, Bm25(), 2)


@pytest.mark.parametrize(
    "wrong",
    [{"k1": -1}, {"b": 2}, {"b": -0.1}, {"headings": -1}, {"variant": "bm25+"}, {"k1": math.nan}],
)
def test_impossible_hyperparameters_are_told(wrong):
    with pytest.raises(InputError):
        Bm25(**wrong)


@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire"])
def test_every_variant_finds_the_right_chunk(variant):
    index = Bm25(variant=variant).build(CHUNKS)
    assert index.search("fronthaul split", 3).positions[0] == 1


@given(
    st.lists(st.integers(-3, 3), max_size=30),
    st.integers(-1, 12),
    st.sampled_from([-np.inf, 0.0]),
)
def test_the_best_are_those_of_a_plain_sort(values, top_k, above):
    scores = np.array(values, dtype=np.float32)
    order = sorted((i for i, v in enumerate(values) if v > above), key=lambda i: (-values[i], i))
    found = best(scores, top_k, above)
    assert list(found.positions) == order[: max(top_k, 0)]
    assert list(found.scores) == [values[i] for i in found.positions]


def test_arrays_are_plain(tmp_path):
    Bm25().build(CHUNKS).save(tmp_path)
    for name, kind in ARRAYS.items():
        assert np.load(tmp_path / f"bm25.{name}.npy", allow_pickle=False).dtype == kind
