"""Radio materials by the names that Blender files give them, and the colours to show them in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

Rgb = tuple[float, float, float]

COLORS: Mapping[str, Rgb] = MappingProxyType(
    {
        "vacuum": (0.90, 0.95, 1.00),
        "concrete": (0.62, 0.61, 0.58),
        "brick": (0.58, 0.25, 0.17),
        "plasterboard": (0.86, 0.83, 0.76),
        "wood": (0.50, 0.33, 0.18),
        "glass": (0.42, 0.65, 0.72),
        "clear_acrylic": (0.70, 0.80, 0.84),
        "ceiling_board": (0.90, 0.89, 0.85),
        "chipboard": (0.66, 0.50, 0.32),
        "plywood": (0.72, 0.56, 0.36),
        "marble": (0.82, 0.79, 0.74),
        "floorboard": (0.55, 0.40, 0.25),
        "vinyl_tile": (0.55, 0.58, 0.62),
        "carpet_tile": (0.42, 0.38, 0.40),
        "asphalt_concrete": (0.22, 0.22, 0.23),
        "metal": (0.56, 0.60, 0.65),
        "very_dry_ground": (0.64, 0.57, 0.44),
        "medium_dry_ground": (0.42, 0.43, 0.34),
        "wet_ground": (0.26, 0.29, 0.24),
    }
)
"""The materials of ITU-R P.2040-3 (table 3) and those that Sionna RT adds, each with its colour
in linear sRGB."""

GROUND_MATERIALS = frozenset({"very_dry_ground", "medium_dry_ground", "wet_ground"})


def radio_material(name: str) -> str | None:
    """The radio material that a Blender material's name stands for; None where it is none.

    "itu_concrete", "concrete", "Concrete.001" (Blender's name for a copy) and "mat-itu_concrete"
    (what Mitsuba's exporter makes of it) are all concrete.
    """
    plain = re.sub(r"\.\d{3,}$", "", name.strip().lower())
    plain = re.sub(r"^mat-", "", plain)
    plain = re.sub(r"^itu[_\- ]", "", plain)
    plain = re.sub(r"[\- ]+", "_", plain)
    return plain if plain in COLORS else None
