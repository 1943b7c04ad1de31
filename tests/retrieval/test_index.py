import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rfplatform.documents.chunk import chunks
from rfplatform.documents.read import read_document
from rfplatform.errors import InputError
from rfplatform.registry.registry import Registry
from rfplatform.retrieval import index as index_module
from rfplatform.retrieval.bm25 import Bm25
from rfplatform.retrieval.dense import Dense
from rfplatform.retrieval.embedding import EmbeddingCache
from rfplatform.retrieval.encoder import OnnxFolder
from rfplatform.retrieval.glossary import Glossary
from rfplatform.retrieval.index import build_index, index_artifact, open_index

E2 = """# E2 interface

The near-RT RIC asks an E2 node for reports.

## Subscription

The RIC sends a subscription request. The node answers with a report of its cells.

| Parameter | Meaning |
|---|---|
| period | time between two reports |
"""
FRONTHAUL = """# Fronthaul

Split 7-2x lies between the O-DU and the O-RU.

## Abbreviations

| FHQ | Fronthaul Queue |
|---|---|
| ZZQ | Zigzag Quality |
"""
POLICY = "# Policy\n\nA policy of the non-RT RIC reaches the near-RT RIC over A1.\n"
NOTES = json.dumps({"name": "one", "text": "The zigzag quality is high.", "licence": "MIT"})
QUERIES = ["subscription report", "O-RU split", "policy RIC", "ZZQ", "zigzag", "", "qqqq"]


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "e2.md").write_text(E2)
    (folder / "fronthaul.md").write_text(FRONTHAUL)
    (folder / "notes.jsonl").write_text(NOTES)
    return folder


@pytest.fixture
def made(tmp_path, docs):
    return build_index([docs], tmp_path / "index")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_index_holds_its_documents(made, docs):
    expected = [d for path in sorted(docs.iterdir()) for d in read_document(path)]
    assert [d.name for d in made.documents] == [d.name for d in expected]
    assert [made.document(d.name) for d in expected] == expected
    cut = [c for d in expected for c in chunks(d)]
    assert list(made.chunks) == cut
    assert made.chunks[1:3] == cut[1:3]
    assert made.chunks[-1] == cut[-1]
    with pytest.raises(IndexError):
        made.chunks[len(cut)]
    hit = made.retriever()("subscription request", 1)[0]
    assert hit.chunk.heading == "Subscription"
    section = made.section(hit.chunk)
    assert section.title == "Subscription"
    assert "period" in section.text
    assert made.documents[-1].licence == "MIT"
    assert made.manifest.to_dict()["counts"]["chunks"] == len(cut)
    with pytest.raises(InputError, match="no document"):
        made.document("x")


def test_abbreviations_find_what_they_stand_for(made):
    assert ("ZZQ", "Zigzag Quality") in made.glossary.entries
    documents = [hit.chunk.document for hit in made.retriever()("ZZQ", 9)]
    assert documents == ["fronthaul.md", "notes.jsonl#one"]
    plain = made.retriever(glossary=Glossary(()))
    assert [hit.chunk.document for hit in plain("ZZQ", 9)] == ["fronthaul.md"]


@pytest.fixture
def dense(tiny_model, tmp_path):
    return {
        "embedder": OnnxFolder(tiny_model).load(),
        "cache": EmbeddingCache(tmp_path / "cache.sqlite"),
    }


def test_changes_give_what_a_fresh_index_is(tmp_path, docs, dense, monkeypatch):
    """Adding, changing and removing: byte by byte, and only what changed is read."""
    read = []
    monkeypatch.setattr(
        index_module,
        "read_document",
        lambda path, *rest: read.append(path.name) or read_document(path, *rest),
    )
    out = tmp_path / "index"
    build_index([docs], out, **dense)
    assert read == ["e2.md", "fronthaul.md", "notes.jsonl"]
    (docs / "policy.md").write_text(POLICY)
    (docs / "e2.md").write_text(E2 + "\n## Deletion\n\nA subscription can be deleted.\n")
    (docs / "notes.jsonl").unlink()
    read.clear()
    changed = build_index([docs], out, **dense)
    assert read == ["e2.md", "policy.md"]
    dense["cache"] = EmbeddingCache(tmp_path / "another.sqlite")
    fresh = build_index([docs], tmp_path / "fresh", **dense)
    assert files(out) == files(tmp_path / "fresh")
    for kind in ("bm25", "dense", "fused"):
        one, other = (i.retriever(kind, embedder=dense["embedder"]) for i in (changed, fresh))
        for query in QUERIES:
            assert one(query, 5) == other(query, 5)
    read.clear()
    build_index([docs], out, **dense)
    assert read == []
    assert files(out) == files(tmp_path / "fresh")


def test_files_are_added_and_removed_by_name(tmp_path, docs, made):
    (tmp_path / "policy.md").write_text(POLICY)
    added = build_index([tmp_path / "policy.md"], made.path, keep=True)
    assert [s.name for s in added.manifest.sources] == [
        "e2.md",
        "fronthaul.md",
        "notes.jsonl",
        "policy.md",
    ]
    removed = build_index([], made.path, keep=True, remove=["policy.md", "notes.jsonl"])
    assert [d.name for d in removed.documents] == ["e2.md", "fronthaul.md"]
    (docs / "notes.jsonl").unlink()
    build_index([docs], tmp_path / "fresh")
    assert files(made.path) == files(tmp_path / "fresh")
    with pytest.raises(InputError, match=r"x\.md"):
        build_index([], made.path, keep=True, remove=["x.md"])
    with pytest.raises(InputError, match="nothing to index"):
        build_index([], made.path, keep=True, remove=["e2.md", "fronthaul.md"])
    assert files(made.path) == files(tmp_path / "fresh")


def test_other_settings_and_readers_are_applied_to_all(tmp_path, docs, made, monkeypatch):
    smaller = build_index([docs], made.path, size=80, overlap=20, bm25=Bm25(k1=0.9))
    assert smaller.manifest.bm25 == Bm25(k1=0.9)
    assert len(smaller.chunks) > 6
    build_index([docs], tmp_path / "fresh", size=80, overlap=20, bm25=Bm25(k1=0.9))
    assert files(made.path) == files(tmp_path / "fresh")
    monkeypatch.setattr(index_module, "READERS_VERSION", "next")
    told = []
    build_index([docs], made.path, report=told.append)
    assert sum(line.startswith("Reading ") for line in told) == 3
    told.clear()
    monkeypatch.setattr(index_module, "READERS_VERSION", "the one after")
    kept = build_index([docs / "e2.md"], made.path, keep=True, report=told.append)
    assert sum(line.startswith("Reading ") for line in told) == 1
    assert [s.readers for s in kept.manifest.sources] == ["the one after", "next", "next"]


def test_an_interrupted_run_leaves_the_old_index(made, docs, monkeypatch):
    before = files(made.path)
    (docs / "policy.md").write_text(POLICY)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(index_module.Bm25Index, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_index([docs], made.path)
    assert files(made.path) == before
    assert sorted(p.name for p in made.path.parent.iterdir()) == ["docs", "index"]


def test_a_file_that_cant_be_read_ends_the_work_or_is_told(tmp_path, docs):
    (docs / "broken.docx").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"broken\.docx"):
        build_index([docs], tmp_path / "index")
    assert not (tmp_path / "index").exists()
    faults = []
    index = build_index([docs], tmp_path / "index", on_fault=faults.append)
    assert len(faults) == 1
    assert len(index.manifest.sources) == 3
    again = []
    build_index([docs], tmp_path / "index", on_fault=again.append)
    assert len(again) == 1


def test_dense_needs_the_embedder_that_made_it(tmp_path, docs, dense, tiny_model, made):
    with pytest.raises(InputError, match="no vectors"):
        made.retriever("dense", embedder=dense["embedder"])
    index = build_index([docs], tmp_path / "dense", dense=Dense(precision="float16"), **dense)
    assert index.vectors.vectors.dtype == np.float16
    other = OnnxFolder(tiny_model, query_prefix="node ").load()
    with pytest.raises(InputError, match=dense["embedder"].name):
        index.retriever(embedder=other)
    with pytest.raises(InputError, match="needs its embedder"):
        index.retriever("dense")
    with pytest.raises(InputError, match="unknown"):
        index.retriever("sparse")
    assert len(index.retriever(embedder=dense["embedder"])("subscription", 3)) == 3


def test_a_reranker_orders_the_hits(made):
    def shortest(query, texts):
        assert query == "RIC"
        return -np.array([len(text) for text in texts], dtype=np.float32)

    hits = made.retriever(reranker=shortest)("RIC", 9)
    scores = [-len(f"{hit.chunk.heading}\n{hit.chunk.text}".strip()) for hit in hits]
    assert [hit.score for hit in hits] == scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("place", ["nothing", "file.txt", "folder"])
def test_what_is_no_index_is_told(tmp_path, place, docs):
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is no index"):
        open_index(tmp_path / place)
    if place != "nothing":
        with pytest.raises(InputError, match="exists already"):
            build_index([docs], tmp_path / place)
    assert (tmp_path / "folder" / "mine.txt").read_text() == "x"


def _manifest(**changes):
    def spoil(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def _in_manifest(key, **changes):
    def spoil(folder):
        path = folder / "manifest.json"
        found = json.loads(path.read_text())
        found[key][0].update(changes)
        path.write_text(json.dumps(found))

    return spoil


def _cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "manifest.json").write_text("{"),
        lambda f: (f / "manifest.json").write_text("[]"),
        lambda f: (f / "manifest.json").write_text("[" * 100_000),
        _manifest(schema="rfplatform-index/0"),
        _manifest(documents=[{}]),
        _manifest(documents=None),
        _manifest(bm25={"k1": -1}),
        _manifest(bm25={"cmd": "x"}),
        _manifest(files=[{"path": "../x", "sha256": "0" * 64, "size_bytes": 1}]),
        _manifest(dense={"embedder": "x", "config": {}}),
        _in_manifest("documents", chunks=99),
        _in_manifest("documents", name=5),
        _in_manifest("documents", notes=None),
        _in_manifest("documents", sections=True),
        _in_manifest("sources", sha256=None),
        _in_manifest("documents", first_chunk=1),
        _in_manifest("documents", sections=-1),
        *(lambda f, n=n: (f / n).unlink() for n in ("chunks.arrow", "bm25.data.npy")),
        *map(_cut, ("chunks.arrow", "sections.arrow", "bm25.indices.npy", "glossary.tsv")),
    ],
)
def test_damage_is_told_in_one_line(made, docs, spoil):
    spoil(made.path)
    for use in (lambda: open_index(made.path), lambda: build_index([docs], made.path)):
        with pytest.raises(InputError) as error:
            use()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["chunks.arrow", "sections.arrow"])
@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_never_crash(made, name, seed):
    """With the size as it was: an error in one line, or a text that differs."""
    path = made.path / name
    body = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(body), 8):
        body[place] ^= int(random.integers(1, 256))
    path.write_bytes(body)
    with pytest.raises(InputError, match="was changed"):
        open_index(made.path, verify=True)
    with contextlib.suppress(InputError):
        index = open_index(made.path)
        for hit in index.retriever()("RIC subscription split", 9):
            index.section(hit.chunk)


def test_an_index_is_an_artifact_with_its_sources(made, tmp_path):
    registry = Registry(tmp_path / "home")
    artifact, local = index_artifact(made, "indexes/specs")
    kept = registry.add(artifact, local)
    assert kept.facts["sources"] == {s.name: s.sha256 for s in made.manifest.sources}
    assert kept.facts["counts"]["documents"] == 3
    assert kept.licence == "MIT"
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in kept.files:
        shutil.copy(registry.path(kept.ref, file.path), copy / file.path)
    assert open_index(copy, verify=True).retriever()("zigzag", 1)[0].chunk.text
    assert index_artifact(open_index(copy), "indexes/specs")[0].ref == kept.ref
