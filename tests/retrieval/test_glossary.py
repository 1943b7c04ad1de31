import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.documents.document import Block, Document, Section
from rfplatform.errors import InputError
from rfplatform.retrieval.glossary import SHIPPED, Glossary

SHORT = Glossary.shipped()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What is RLC?", {"Radio Link Control"}),
        ("what is rlc?", {"Radio Link Control"}),
        ("the radio link control layer", {"RLC"}),
        ("Radio Link Controls", {"RLC"}),
        ("O-RUs", {"O-RAN Radio Unit"}),
        ("near-RT RIC", {"Near-Real-Time RAN Intelligent Controller"}),
        ("as it is", set()),
        ("AS security", {"Access Stratum"}),
        ("CP length", {"Control Plane", "Cyclic Prefix"}),
        ("E2 Application Protocol", {"E2AP"}),
        ("E2AP", {"E2 Application Protocol"}),
        ("physical resource block (PRB)", set()),
        ("", set()),
    ],
)
def test_queries_are_expanded_both_ways(query, expected):
    found = set(SHORT.expand(query))
    assert found == expected


def test_the_shipped_list_is_clean():
    entries = SHORT.entries
    assert len({short for short, _ in entries}) >= 450
    lines = [line for line in SHIPPED.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(entries), "an entry comes twice"
    for short, long in entries:
        assert short == short.strip()
        assert " " not in short or short.endswith((" RIC", " ID"))
        assert re.fullmatch(r"[A-Za-z0-9].*[A-Za-z0-9]", long)
        assert long[0].lower() in short.lower() or long.startswith(
            ("interface", "application", "3rd", "Transmitter", "any", "Extensible", "Interconnect")
        ), (short, long)


def test_abbreviations_have_the_initials_of_what_they_stand_for():
    """Letters of an abbreviation come in its meaning, in their order: no two are swapped."""
    odd = []
    for short, long in SHORT.entries:
        letters = [c for c in re.sub(r"[^A-Za-z]", "", short).lower() if c != "x"]
        rest = iter(long.lower())
        if not all(letter in rest for letter in letters):
            odd.append(short)
    assert set(odd) <= {"K8s", "O1", "O2", "R1", "Y1", "A1", "E2", "rApp"}, odd


@given(st.text())
def test_no_query_fails(query):
    assert isinstance(SHORT.expand(query), tuple)


def test_a_users_own_file_adds_to_it(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("# ours\n\nQXY\tQuality of Xylophones\nRLC\tRed Lamp Colour\n")
    own = SHORT.with_entries(Glossary.read(path))
    assert own.expand("QXY") == ("Quality of Xylophones",)
    assert own.expand("RLC") == ("Radio Link Control", "Red Lamp Colour")
    own.write(tmp_path / "all.tsv")
    assert Glossary.read(tmp_path / "all.tsv") == own


@pytest.mark.parametrize("text", ["RLC Radio Link Control", "RLC\t", "\tRadio", "a\tb\nc"])
def test_a_file_that_is_no_glossary_is_told(tmp_path, text):
    path = tmp_path / "own.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match="line"):
        Glossary.read(path)
    with pytest.raises(InputError):
        Glossary.read(tmp_path / "none.tsv")


def test_lists_of_abbreviations_in_documents_are_read():
    table = "| Abbreviation | Meaning |\n|---|---|\n| QXY | Quality of Xylophones |\n| a | b |"
    lines = "ABQ  Absolute Qualities\nABR\tAbsolute Riches\nABS: Absolute Silence\nno entry here"
    sections = (
        Section("3.3", "Abbreviations", 2, (), (Block(table, "table"), Block(lines))),
        Section("4", "General", 1, (), (Block("ZZZ  Zero Zebra Zoos"),)),
    )
    found = Glossary.of_documents([Document("d", "d", "", "", "", sections)])
    assert found.entries == (
        ("QXY", "Quality of Xylophones"),
        ("ABQ", "Absolute Qualities"),
        ("ABR", "Absolute Riches"),
        ("ABS", "Absolute Silence"),
    )
