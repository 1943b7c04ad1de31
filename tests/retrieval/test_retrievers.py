"""Dense search, fusion, re-ranking and Qdrant: what they find, by a second route."""

import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_bert import WORDS, chunk, write_tokenizer

from rfplatform.errors import InputError, MissingError
from rfplatform.retrieval.dense import Dense, DenseIndex
from rfplatform.retrieval.embedding import unit_length
from rfplatform.retrieval.encoder import OnnxFolder
from rfplatform.retrieval.fusion import Fused, fuse
from rfplatform.retrieval.index import DenseRetriever
from rfplatform.retrieval.qdrant import Qdrant, QdrantChunks
from rfplatform.retrieval.rerank import OnnxReranker, Reranked, RerankUrl
from rfplatform.retrieval.retriever import Hit

CHUNKS = [
    chunk(f"{' '.join(words)}.", f"{i}.md", heading="Policy")
    for i, words in enumerate(
        np.random.default_rng(1).choice(WORDS[4:], (40, 6)).tolist(),
    )
]


# Dense


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_dense_search_is_exact(tmp_path, precision):
    random = np.random.default_rng(0)
    vectors = unit_length(random.normal(size=(40_000, 8))).astype(precision)
    DenseIndex(vectors).save(tmp_path)
    index = DenseIndex.load(tmp_path, len(vectors))
    query = unit_length(random.normal(size=(1, 8)))[0]
    cosines = vectors.astype(np.float64) @ query
    found = index.search(query, 10)
    assert list(found.positions) == np.argsort(-cosines)[:10].tolist()
    np.testing.assert_allclose(found.scores, np.sort(cosines)[::-1][:10], atol=1e-6)


def test_headings_go_before_the_text(tiny_model):
    embedder = OnnxFolder(tiny_model).load()
    built = Dense().build(CHUNKS[:3], embedder)
    assert (built.vectors == embedder([f"Policy\n{c.text}" for c in CHUNKS[:3]])).all()
    bare = Dense(headings=False).build(CHUNKS[:3], embedder)
    assert (bare.vectors == embedder([c.text for c in CHUNKS[:3]])).all()


def test_a_vector_of_another_size_is_told():
    index = DenseIndex(np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match="3"):
        index.search([1.0, 0.0], 2)
    assert len(DenseIndex(np.zeros((0, 0), dtype=np.float32)).search([1.0], 2).positions) == 0


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 4)), np.zeros((3, 4), dtype=int)])
def test_vectors_of_other_chunks_are_told(tmp_path, array):
    np.save(tmp_path / "vectors.npy", array)
    with pytest.raises(InputError):
        DenseIndex.load(tmp_path, 3)
    np.save(tmp_path / "vectors.npy", np.array([{}, {}, {}]), allow_pickle=True)
    with pytest.raises(InputError):
        DenseIndex.load(tmp_path, 3)


# Fusion


def _hits(order: list[int]) -> list[Hit]:
    return [Hit(CHUNKS[i], -float(rank)) for rank, i in enumerate(order)]


def test_fusion_by_hand():
    found = fuse([_hits([0, 1, 2]), _hits([1, 3])], 9, k=60)
    assert [(hit.chunk.document, hit.score) for hit in found] == [
        ("1.md", 1 / 62 + 1 / 61),
        ("0.md", 1 / 61),
        ("3.md", 1 / 62),
        ("2.md", 1 / 63),
    ]


@given(
    st.lists(st.permutations(range(8)).map(lambda p: p[:5]), min_size=1, max_size=3),
    st.integers(0, 60),
    st.integers(0, 9),
)
def test_fusion_is_the_sum_over_all_rankings(orders, k, top_k):
    found = fuse([_hits(order) for order in orders], top_k, k)
    sums = defaultdict(float)
    for order in orders:
        for rank, number in enumerate(order):
            sums[f"{number}.md"] += 1 / (k + rank + 1)
    assert len(found) == min(top_k, len(sums))
    for hit in found:
        assert hit.score == pytest.approx(sums[hit.chunk.document])
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    others = set(sums) - {hit.chunk.document for hit in found}
    assert all(sums[o] <= found[-1].score + 1e-12 for o in others if found)


def test_fused_asks_all_deep_enough():
    asked = []

    def one(query, top_k):
        asked.append((query, top_k))
        return _hits([0, 1])[:top_k]

    assert len(Fused((one, one), depth=7)("q", 1)) == 1
    Fused((one,), depth=7)("q", 30)
    assert asked == [("q", 7), ("q", 7), ("q", 30)]
    for wrong in ({"retrievers": ()}, {"k": -1}, {"depth": 0}):
        with pytest.raises(InputError):
            Fused(**{"retrievers": (one,), **wrong})


# Re-ranking


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """A model that counts the texts' words "ric" and takes away the length: logits by hand."""
    from onnx import TensorProto, checker, helper, numpy_helper

    folder = tmp_path_factory.mktemp("cross")
    write_tokenizer(folder)
    ric = np.zeros((len(WORDS), 1), dtype=np.float32)
    ric[WORDS.index("ric")] = 1.0
    names = ["input_ids", "attention_mask", "token_type_ids"]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Gather", ["ric", "input_ids"], ["each"]),
                helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
                helper.make_node("Unsqueeze", ["second", "last"], ["wide"]),
                helper.make_node("Mul", ["each", "wide"], ["of second"]),
                helper.make_node("ReduceSum", ["of second", "middle"], ["logits"], keepdims=0),
            ],
            "cross",
            [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "t"]) for n in names],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 1])],
            [
                numpy_helper.from_array(ric, "ric"),
                numpy_helper.from_array(np.array([2]), "last"),
                numpy_helper.from_array(np.array([1]), "middle"),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    checker.check_model(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def test_a_cross_encoder_has_the_last_word(cross_encoder):
    reranker = OnnxReranker(cross_encoder).load()
    texts = ["e2", "ric ric", "ric", ""]
    assert list(reranker("ric ric ric", texts)) == [0, 2, 1, 0]
    chunks = [chunk(text, f"{i}.md") for i, text in enumerate(texts)]

    def found(_query, top_k):
        return [Hit(c, 1.0) for c in chunks][:top_k]

    hits = Reranked(found, reranker, depth=4)("e2", 3)
    assert [(h.chunk.document, h.score) for h in hits] == [
        ("1.md", 2.0),
        ("2.md", 1.0),
        ("0.md", 0.0),
    ]
    assert Reranked(lambda *_: [], reranker)("e2", 3) == []


def test_an_encoder_is_no_reranker(tiny_model):
    with pytest.raises(InputError, match="no logits"):
        OnnxReranker(tiny_model).load()("e2", ["ric"])


@pytest.mark.parametrize(
    ("form", "key", "field", "wrapped"),
    [("cohere", "documents", "relevance_score", True), ("tei", "texts", "score", False)],
)
def test_a_reranking_server_is_asked_in_its_own_form(server, form, key, field, wrapped):
    def answer(_path, body):
        rows = [{"index": i, field: len(text)} for i, text in enumerate(body[key])][::-1]
        return 200, {"results": rows} if wrapped else rows

    server.answer = answer
    scores = RerankUrl(server.url, "m", form).load()("q", ["a", "ccc", "bb"])
    assert list(scores) == [1, 3, 2]
    assert server.asked[0][0] == "/v1/rerank"
    assert server.asked[0][1]["query"] == "q"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"results": [{"index": 0, "relevance_score": 1}]},
        {"results": [{"index": 9, "relevance_score": 1}]},
        {"results": [{"index": 0, "relevance_score": "x"}, {"index": 1}]},
        {"results": "no"},
    ],
)
def test_answers_without_all_scores_are_told(server, answer):
    server.answer = lambda *_: (200, answer)
    with pytest.raises(InputError, match="score for each text"):
        RerankUrl(server.url).load()("q", ["a", "b"])


# Qdrant


@pytest.fixture
def collection(tiny_model):
    qdrant_client = pytest.importorskip("qdrant_client")
    embedder = OnnxFolder(tiny_model).load()
    client = qdrant_client.QdrantClient(":memory:")
    yield QdrantChunks(client, "specs", embedder, "memory")
    client.close()


def test_qdrant_finds_what_exact_search_finds(collection):
    synced = collection.sync(CHUNKS)
    assert (synced.written, synced.removed, synced.kept) == (len(CHUNKS), 0, 0)
    built = Dense().build(CHUNKS, collection.embedder)
    exact = DenseRetriever(CHUNKS, built, collection.embedder)
    for query in ("fronthaul split", "e2 node sends a report"):
        here, there = exact(query, 5), collection(query, 5)
        assert [h.chunk for h in there] == [h.chunk for h in here]
        np.testing.assert_allclose([h.score for h in there], [h.score for h in here], atol=1e-5)
    assert collection("", 5) == []
    assert collection("e2", 0) == []


def test_qdrant_is_told_only_what_changed(collection):
    collection.sync(CHUNKS[:30])
    changed = chunk("a power report of the cell", "3.md")
    wanted = [c for c in CHUNKS[:35] if c.document not in ("3.md", "7.md")] + [changed]
    synced = collection.sync(wanted)
    assert (synced.written, synced.removed, synced.kept) == (6, 2, 28)
    assert collection.client.count("specs").count == len(wanted)
    found = {h.chunk.document: h.chunk for h in collection("power report", 99)}
    assert found["3.md"] == changed
    assert "7.md" not in found
    assert collection.sync(wanted).written == 0


def test_qdrants_faults_are_one_line(collection, tiny_model):
    with pytest.raises(InputError, match="does not exist"):
        collection("e2", 3)
    collection.sync(CHUNKS[:2])
    other = OnnxFolder(tiny_model, query_prefix="node ").load()
    mixed = QdrantChunks(collection.client, "specs", other, "memory")
    with pytest.raises(InputError, match=other.name):
        mixed("e2", 3)

    class Wide:
        name = "wide"

        def __call__(self, texts, role="passage"):
            assert role
            return unit_length(np.ones((len(texts), 99)))

    with pytest.raises(InputError, match="99 dimensions"):
        QdrantChunks(collection.client, "specs", Wide(), "memory").sync(CHUNKS)
    away = Qdrant("http://127.0.0.1:9", "specs", timeout_s=1).connect(other)
    with pytest.raises(MissingError) as error:
        away("e2", 3)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError):
        Qdrant("127.0.0.1:6333", "specs").connect(other)
    with pytest.raises(InputError) as refused:
        Qdrant("http://me:secret@host", "specs").connect(other)
    assert "secret" not in str(refused.value)


def test_points_of_others_are_told(collection):
    from qdrant_client import models

    collection.sync(CHUNKS[:1])
    vector = collection.embedder(["e2"])[0].tolist()
    point = models.PointStruct(id=7, vector=vector, payload={"chunk": {"text": "e2"}})
    collection.client.upsert("specs", [point])
    with pytest.raises(InputError, match="no chunk"):
        collection("e2", 3)


@pytest.mark.filterwarnings("ignore:Api key is used")
def test_a_refused_key_is_told_without_it(server, tiny_model, monkeypatch):
    pytest.importorskip("qdrant_client")
    monkeypatch.setenv("QDRANT_API_KEY", "very-secret")
    url = server.url.removesuffix("/v1")
    collection = Qdrant(url, "specs", timeout_s=5).connect(OnnxFolder(tiny_model).load())
    with pytest.raises((InputError, MissingError)) as error:
        collection("e2", 3)
    assert "very-secret" not in json.dumps(str(error.value))
    assert "\n" not in str(error.value)
