"""Headings and blocks in reading order: numbers, levels, parents."""

import pytest

from rfplatform.documents.document import Block
from rfplatform.documents.outline import Heading, depth, markdown_table, sections, split_number
from rfplatform.documents.text import Numbers


@pytest.mark.parametrize(
    ("text", "number", "title"),
    [
        ("7.2.1\tGeneral", "7.2.1", "General"),
        ("3. Scope", "3", "Scope"),
        ("4) Items", "4", "Items"),
        ("5.3.5a Void", "5.3.5a", "Void"),
        ("5.3.5.x New", "5.3.5.x", "New"),
        ("A.3 Rates", "A.3", "Rates"),
        ("Annex B (informative): Examples", "Annex B", "(informative): Examples"),
        ("APPENDIX 1 - Lists", "APPENDIX 1", "- Lists"),
        ("5G Core", "", "5G Core"),
        ("3GPP terms", "", "3GPP terms"),
        ("2024 releases", "", "2024 releases"),
        ("E2 interface", "", "E2 interface"),
        ("O-RAN", "", "O-RAN"),
        ("A plain heading", "", "A plain heading"),
        ("1.2", "1.2", ""),
        ("", "", ""),
    ],
)
def test_numbers_are_told_from_titles(text, number, title):
    assert split_number(text) == (number, title)


def test_depth():
    assert [depth(n) for n in ("7", "7.2", "7.2.1", "A.3", "Annex A")] == [1, 2, 3, 2, 1]


def test_parents_are_the_open_headings_above():
    found = sections(
        [
            Block("Before."),
            Heading("One", 1, "1", page=3),
            Heading("Deep", 3, "1.1.1"),
            Block("Words.", page=4),
            Heading("Two", 2, "1.2"),
            Heading("Next", 1, "2"),
            Block("  \n "),
        ]
    )
    assert [(s.heading, s.parents) for s in found] == [
        ("", ()),
        ("1 One", ()),
        ("1.1.1 Deep", ("1 One",)),
        ("1.2 Two", ("1 One",)),
        ("2 Next", ()),
    ]
    assert [s.page for s in found] == [None, 3, 4, None, None]
    assert found[4].blocks == ()


def test_control_characters_and_halves_of_pairs_are_dropped():
    (section,) = sections([Block("a\x00b\ud800c\u00add\r\ne")])
    assert section.text == "abcd\ne"


def test_tables():
    assert markdown_table([["a", "b"], ["1|2", ""], [], ["x\ny"]]) == (
        "| a | b |\n| --- | --- |\n| 1\\|2 |  |\n| x y |  |"
    )
    # Columns and rows without a word are left out.
    assert markdown_table([["a", "", "b"], ["", "", ""], ["1", "", "2"]]) == (
        "| a | b |\n| --- | --- |\n| 1 | 2 |"
    )
    assert markdown_table([["", ""]]) == ""


@pytest.mark.parametrize(
    ("last", "fitting", "others"),
    [
        ("", ["1", "2", "A"], ["2.1.1.1", "40"]),
        ("3", ["4", "3.1", "3a", "6", "A"], ["3", "2", "40", "2.9"]),
        ("3.9", ["3.10", "4", "3.9.1", "4.1"], ["3.8", "3.9", "2", "3.40"]),
        ("12.2", ["13", "A", "A.1"], ["1", "12.1"]),
        ("A.1", ["A.2", "B", "A.1.1"], ["1", "A.1"]),
    ],
)
def test_which_number_can_follow_which(last, fitting, others):
    numbers = Numbers()
    numbers.take(last)
    assert [n for n in fitting if not numbers.may_follow(n)] == []
    assert [n for n in others if numbers.may_follow(n)] == []
