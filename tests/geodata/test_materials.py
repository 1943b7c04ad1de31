"""Materials of ITU-R P.2040 from tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.geodata.materials import DEFAULT_MATERIAL, ITU_MATERIALS, itu_material

# Rec. ITU-R P.2040-3, table 3, as Sionna names its rows.
P2040 = {"concrete", "brick", "plasterboard", "wood", "glass", "marble", "metal"}


@pytest.mark.parametrize(
    ("tag", "material"),
    [("brick", "brick"), (" Brick ", "brick"), ("timber_framing", "wood"), ("steel", "metal"),
     ("glass;concrete", "glass"), ("sandstone", "marble"), ("plaster", "concrete"),
     ("cheese", "concrete"), ("", "concrete"), (";", "concrete"), (None, "concrete")],
)  # fmt: skip
def test_materials(tag, material):
    assert itu_material(tag) == material


def test_every_material_is_one_of_the_recommendation():
    assert set(ITU_MATERIALS.values()) | {DEFAULT_MATERIAL} <= P2040


@given(st.text())
def test_any_text_gives_a_material(text):
    assert itu_material(text) in P2040
