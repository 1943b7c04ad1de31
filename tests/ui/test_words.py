from __future__ import annotations

import re

import pytest

pytest.importorskip("streamlit")
from ui.markdown import plain
from ui.words import distinct, duration, number, percent, size


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (-87.84, 1, "−87.8"),
        (-0.04, 1, "0.0"),
        (1234567.0, 0, "1,234,567"),
        (None, 1, "–"),
        (float("nan"), 0, "–"),
    ],
)
def test_numbers_have_a_minus_and_thousands(value: float | None, digits: int, said: str) -> None:
    assert number(value, digits) == said


def test_shares_durations_and_sizes() -> None:
    assert percent(0.654, 1) == "65.4 %"
    assert percent(None) == "–"
    assert [duration(s) for s in (-3, 59.4, 60, 3725, 3 * 86400)] == [
        "0 s", "59 s", "1 min 0 s", "1 h 2 min", "3 days",
    ]  # fmt: skip
    assert [size(n) for n in (999, 20_000, 8.4e6, 3.2e9)] == ["999 B", "20 kB", "8 MB", "3.2 GB"]


def test_equal_names_are_told_apart() -> None:
    assert distinct({"a": "town.osm", "b": "city.osm", "c": "town.osm"}) == {
        "a": "town.osm", "b": "city.osm", "c": "town.osm (2)",
    }  # fmt: skip


def test_text_of_others_is_no_markup() -> None:
    marked = plain("<b>x</b> [a](http://b) :material/x: $y$ **z**\n# head")
    assert "\n" not in marked
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(r"\\.", "", marked))
