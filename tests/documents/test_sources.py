"""Which files are read, in which order and by which names; faults of any file."""

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rfplatform.documents.read import READERS, SUFFIXES, read_document, read_documents, sources
from rfplatform.errors import InputError, MissingError


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "b.md": "# B\nwords", "a/z.txt": "words", "a/a.rst": "words", ".hidden.md": "no",
        ".git/c.md": "no", "picture.png": "no", "a/code.py": "no", "a/code.cc": "no",
        "UPPER.MD": "# Upper\nwords",
    }.items():  # fmt: skip
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"


def test_folders_are_read_by_name_without_what_is_hidden(folder):
    told = []
    found = sources([folder], report=told.append)
    assert [s.name for s in found] == ["UPPER.MD", "a/a.rst", "a/z.txt", "b.md"]
    assert found[2].sha256 == hashlib.sha256(b"words").hexdigest()
    assert len(told) == 1
    assert told[0].startswith(f"{folder}: passed over files that are no documents (1 .")
    assert all(kind in told[0] for kind in ("1 .cc", "1 .py", "1 .png"))
    documents = list(read_documents([folder], licence="MIT"))
    assert [(d.name, d.sha256) for d in documents] == [(s.name, s.sha256) for s in found]
    assert {d.licence for d in documents} == {"MIT"}
    assert list(read_documents([folder], licence="MIT")) == documents


def test_a_file_that_is_given_twice_is_read_once(folder):
    found = sources([folder / "b.md", folder, folder / "a"])
    assert [s.name for s in found] == ["UPPER.MD", "a/a.rst", "a/z.txt", "b.md"]


def test_only_what_changed_has_another_digest(folder):
    before = {s.name: s.sha256 for s in sources([folder])}
    (folder / "b.md").write_text("# B\nother words")
    after = {s.name: s.sha256 for s in sources([folder])}
    assert {name for name in after if after[name] != before[name]} == {"b.md"}


def test_paths_that_cannot_be_read_are_refused_before_anything_is(folder, tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        sources([folder, tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"picture\.png: unknown kind of document \(known: \.pdf"):
        sources([folder / "picture.png"])
    (tmp_path / "old.doc").write_bytes(b"x")
    with pytest.raises(InputError, match=r"old\.doc: .*save it as \.docx"):
        sources([tmp_path / "old.doc"])
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="no documents"):
        sources([tmp_path / "other"])
    (tmp_path / "other/b.md").write_text("# Other\nwords")
    with pytest.raises(InputError, match=r'both be named "b\.md": give the folder that holds both'):
        sources([folder, tmp_path / "other"])
    assert {s.name for s in sources([tmp_path])} == {
        "docs/UPPER.MD", "docs/a/a.rst", "docs/a/z.txt", "docs/b.md", "other/b.md",
    }  # fmt: skip


def test_one_fault_ends_the_reading_or_all_are_collected(folder):
    (folder / "a/bad.txt").write_bytes(b"\xff\xff words")
    (folder / "a/empty.md").write_bytes(b" \n")
    (folder / "c.yang").write_text("module x {")
    with pytest.raises(InputError, match=r"bad\.txt: not UTF-8"):
        list(read_documents([folder]))
    faults = []
    documents = list(read_documents([folder], on_fault=faults.append))
    assert [d.name for d in documents] == ["UPPER.MD", "a/a.rst", "a/z.txt", "b.md"]
    assert [str(f).removeprefix(f"{folder}/").split(":")[0] for f in faults] == [
        "a/bad.txt", "a/empty.md", "c.yang",
    ]  # fmt: skip
    assert all("\n" not in str(f) for f in faults)


def test_a_missing_library_is_not_the_files_fault(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(MissingError, match=r"markdown_it.*pip install 'rfplatform\[oran\]'"):
        list(read_documents([folder / "b.md"], on_fault=lambda _: None))


def test_what_is_too_large_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("rfplatform.documents.read.MOST_BYTES", 3)
    with pytest.raises(InputError, match="more than 0: split it"):
        read_document(folder / "b.md")


MAGIC = [b"", b"%PDF-1.4\n", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"module m {", b'{"text": "',
         b"M DEFINITIONS ::= BEGIN\n", b"<table><tr><td>", b"# a\n\n- b\n",
         b"===\n.. a::\n\n"]  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    st.sampled_from(MAGIC),
    st.one_of(
        st.binary(max_size=300),
        st.text("#*_`|-=<>{}[]():;.\"'\\\t\n abAB01", max_size=300).map(str.encode),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    ),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_bytes_give_documents_or_one_line(tmp_path, suffix, magic, data):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(magic + data)
    faults = []
    documents = list(read_documents([path], on_fault=faults.append))
    assert bool(documents) != bool(faults)
    for fault in map(str, faults):
        assert fault.startswith(str(path))
        assert "\n" not in fault
        assert len(fault) < 600
    for document in documents:
        document.title.encode()
        for section in document.sections:
            section.heading.encode()
            assert all(block.text.strip() for block in section.blocks)
            section.text.encode()


def test_our_own_slips_are_not_hidden_as_faults_of_files():
    """The readers of text formats take any text: what they raise, they mean."""
    for suffix in (".md", ".rst", ".txt", ".html"):
        for text in (
            "",
            "a",
            "#",
            "-",
            "|",
            "\t",
            "\f",
            "1\tA",
            "..",
            "=",
            "<",
            "::\n\n a",
            "- -\n-",
        ):
            READERS[suffix](text.encode())
