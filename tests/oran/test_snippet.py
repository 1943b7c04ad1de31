"""Snippets: the words that were looked for are in them, and marked."""

from hypothesis import given
from hypothesis import strategies as st

from rfplatform.oran.snippet import snippet

LONG = " ".join(f"filler{n}" for n in range(60))


def marked(text: str, *wanted: str, width: int = 240) -> list[str]:
    found = snippet(text, wanted, width)
    return [found.text[a:b] for a, b in found.marks]


def test_a_short_text_is_shown_whole_with_its_words_marked_in_any_form():
    found = snippet("The O-DU hosts\n RLC, and (MAC).", ["hosting of MAC in an O-DU"])
    assert found.text == "The O-DU hosts RLC, and (MAC)."
    assert [found.text[a:b] for a, b in found.marks] == ["O-DU", "hosts", "MAC"]


def test_the_stretch_with_most_of_the_words_is_shown():
    text = f"handover {LONG} a handover of cells is measured {LONG}"
    found = snippet(text, ["handover cells measured"], 100)
    assert "handover of cells is measured" in found.text
    assert found.text.startswith("… ")
    assert found.text.endswith(" …")
    assert len(found.text) <= 104


def test_other_words_for_it_are_marked_as_well():
    assert marked("the RAN intelligent controller", "RIC", "RAN Intelligent Controller") == [
        "RAN",
        "intelligent",
        "controller",
    ]


def test_a_text_without_the_words_is_shown_from_its_beginning():
    found = snippet(f"Beginning {LONG}", ["handover"], 60)
    assert found.text.startswith("Beginning filler0")
    assert found.marks == ()


def test_a_table_is_shown_as_its_cells():
    text = "Ports:\n\n| Use | Value |\n| :-- | ---: |\n| E2 \\| A1 | 36422 |\n| O1 | |\n\n|x| is 2."
    found = snippet(text, ["E2 value"])
    assert found.text == "Ports: Use · Value; E2 | A1 · 36422; O1; |x| is 2."
    assert [found.text[a:b] for a, b in found.marks] == ["Value", "E2"]


def test_no_escape_reaches_a_terminal():
    assert snippet("\x1b[31mhandover\x1b[0m", ["handover"]).text == "handover"


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=300), st.integers(10, 80))
def test_any_text_has_a_snippet_whose_marks_lie_in_it(text, width):
    found = snippet(text, [text[:20]], width)
    assert all(0 <= a < b <= len(found.text) for a, b in found.marks)
    assert "\n" not in found.text
