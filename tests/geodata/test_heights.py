"""Heights from tags and neighbours."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.geodata.heights import (
    DEFAULT_HEIGHT_M,
    LEVEL_HEIGHT_M,
    NEIGHBOUR_RADIUS_M,
    fill_heights,
    parse_length_m,
    parse_levels,
    tagged_base_m,
    tagged_height_m,
)

FOOT_M, INCH_M = 0.3048, 0.0254


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("12", 12.0),
        (" 12 ", 12.0),
        ("12 m", 12.0),
        ("12m", 12.0),
        ("12 M", 12.0),
        ("12.50 metres", 12.5),
        ("12,5", 12.5),
        ("12,5 m", 12.5),
        ("+7", 7.0),
        (".5", 0.5),
        ("0", 0.0),
        ("40'", 40 * FOOT_M),
        ("40′", 40 * FOOT_M),
        ("40’", 40 * FOOT_M),
        ("40 ft", 40 * FOOT_M),
        ("40ft.", 40 * FOOT_M),
        ("40 feet", 40 * FOOT_M),
        ("1 foot", FOOT_M),
        ("40'6\"", 40 * FOOT_M + 6 * INCH_M),
        ("40' 6\"", 40 * FOOT_M + 6 * INCH_M),
        ("40'6''", 40 * FOOT_M + 6 * INCH_M),
        ("40′6″", 40 * FOOT_M + 6 * INCH_M),
        ("40’6”", 40 * FOOT_M + 6 * INCH_M),
        ("40 ft 6 in", 40 * FOOT_M + 6 * INCH_M),
        ("5'6", 5 * FOOT_M + 6 * INCH_M),
        ("30\"", 30 * INCH_M),
        ("30 inches", 30 * INCH_M),
    ],
)  # fmt: skip
def test_lengths(text, metres):
    assert parse_length_m(text) == pytest.approx(metres, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "high", "-3", "-3 m", "12;15", "10-12", "~12", "12 km", "1e3", "nan", "inf",
     "1.234.567", "12 m 30", "'6\"", "6\"40'", "12 stories", "0x10", "12\n13"],
)  # fmt: skip
def test_no_lengths(text):
    assert parse_length_m(text) is None


@given(st.integers(0, 10**6), st.sampled_from([".", ","]), st.sampled_from(["", "m", " m"]))
def test_metres_round_trip(millimetres, point, unit):
    text = f"{millimetres / 1000:.3f}".replace(".", point) + unit
    assert parse_length_m(text) == pytest.approx(millimetres / 1000, abs=1e-9)


@given(
    st.integers(0, 3000),
    st.integers(0, 11),
    st.sampled_from([("'", '"'), ("′", "″"), (" ft ", " in"), ("' ", "''")]),
)
def test_feet_round_trip(feet, inches, signs):
    metres = parse_length_m(f"{feet}{signs[0]}{inches}{signs[1]}")
    assert metres is not None
    assert divmod(round(metres / INCH_M), 12) == (feet, inches)


@given(st.text() | st.from_regex(r"[0-9.,'\" ftinm;+-]{0,12}", fullmatch=True))
def test_any_text_is_a_length_or_none(text):
    for parse in (parse_length_m, parse_levels):
        value = parse(text)
        assert value is None or value >= 0
    for tags in ({"height": text}, {"building:levels": text, "roof:levels": text}):
        found = tagged_height_m(tags)
        assert found is None or 0 < found[0] < math.inf
    assert tagged_base_m({"min_height": text, "building:min_level": text}) >= 0


@pytest.mark.parametrize(
    ("text", "levels"),
    [("5", 5), ("2.5", 2.5), ("2,5", 2.5), ("3;5", 5), ("7; 2", 7), ("", None), ("-1", None),
     ("3-4", None), ("five", None), ("3;", None)],
)  # fmt: skip
def test_levels(text, levels):
    assert parse_levels(text) == levels


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"height": "14", "building:levels": "9"}, (14.0, "height")),
        ({"building:levels": "4"}, (4 * LEVEL_HEIGHT_M, "levels")),
        ({"building:levels": "4", "roof:levels": "1"}, (5 * LEVEL_HEIGHT_M, "levels")),
        ({"building:levels": "4", "roof:levels": "?"}, (4 * LEVEL_HEIGHT_M, "levels")),
        ({"height": "tall", "building:levels": "2"}, (2 * LEVEL_HEIGHT_M, "levels")),
        ({"height": "0", "building:levels": "2"}, (2 * LEVEL_HEIGHT_M, "levels")),
        ({"height": "-5"}, None),
        ({"height": "99999"}, None),
        ({"building:levels": "0"}, None),
        ({"building:levels": "0", "roof:levels": "1"}, (LEVEL_HEIGHT_M, "levels")),
        ({"roof:levels": "1"}, None),
        ({}, None),
    ],
)
def test_which_tag_tells_the_height(tags, expected):
    assert tagged_height_m(tags) == expected


def test_base():
    assert tagged_base_m({}) == 0.0
    assert tagged_base_m({"min_height": "4,5 m", "building:min_level": "9"}) == 4.5
    assert tagged_base_m({"building:min_level": "2"}) == 2 * LEVEL_HEIGHT_M
    assert tagged_base_m({"min_height": "-2"}) == 0.0


def test_neighbours_then_default():
    near, far = NEIGHBOUR_RADIUS_M - 1, NEIGHBOUR_RADIUS_M + 1
    centroids = np.array([[0, 0], [near, 0], [0, near], [0, -far], [500, 500], [500 + far, 500]])
    heights, from_neighbours = fill_heights([None, 9.0, 15.0, 90.0, None, 60.0], centroids)
    # Only the first two lie near enough to the first building, and nothing to the fifth.
    assert heights.tolist() == [12.0, 9.0, 15.0, 90.0, DEFAULT_HEIGHT_M, 60.0]
    assert from_neighbours.tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize("tagged", [[], [None, None], [3.0, 4.0]])
def test_none_or_all_tagged(tagged):
    heights, from_neighbours = fill_heights(tagged, np.zeros((len(tagged), 2)))
    assert heights.tolist() == [DEFAULT_HEIGHT_M if h is None else h for h in tagged]
    assert not from_neighbours.any()


@given(st.lists(st.none() | st.floats(1, 100), max_size=25), st.randoms(use_true_random=False))
def test_neighbours_against_brute_force(tagged, random):
    centroids = np.array([[random.uniform(0, 400), random.uniform(0, 400)] for _ in tagged])
    heights, from_neighbours = fill_heights(tagged, centroids.reshape(-1, 2))
    for i, own in enumerate(tagged):
        near = [
            h
            for h, c in zip(tagged, centroids, strict=True)
            if h is not None and math.dist(c, centroids[i]) <= NEIGHBOUR_RADIUS_M
        ]
        if own is not None:
            assert heights[i] == own
        else:
            assert heights[i] == pytest.approx(np.median(near) if near else DEFAULT_HEIGHT_M)
        assert from_neighbours[i] == (own is None and bool(near))
