"""Building heights from tags, with their provenance; never random.

In this order: ``height``; ``building:levels`` (and ``roof:levels``); the median of the tagged
neighbours; one default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rfplatform.scene import HEIGHT_SOURCES, HeightSource
from rfplatform.units import FloatArray

LEVEL_HEIGHT_M = 3.0
"""Height of a storey, as the OpenStreetMap wiki's "Simple 3D Buildings" advises."""

DEFAULT_HEIGHT_M = 10.0
"""Height of a building with no tag and no tagged neighbour: three storeys."""

NEIGHBOUR_RADIUS_M = 100.0
"""How far a tagged neighbour may lie, from centroid to centroid."""

MAX_HEIGHT_M = 1000.0
"""Anything above is a typing error: the tallest building stands at 828 m."""

_NUMBER = r"(\d+(?:[.,]\d+)?|[.,]\d+)"
_FOOT = r"(?:'|′|’|ft\.?|feet|foot)"
_INCH = r"(?:''|′′|’’|\"|″|”|in\.?|inch(?:es)?)"
_METRES = re.compile(rf"^\+?{_NUMBER}\s*(?:m|meters?|metres?)?\.?$", re.IGNORECASE)
_FEET = re.compile(rf"^{_NUMBER}\s*{_FOOT}\s*(?:{_NUMBER}\s*{_INCH}?)?$", re.IGNORECASE)
_INCHES = re.compile(rf"^{_NUMBER}\s*{_INCH}$", re.IGNORECASE)


def parse_length_m(text: str) -> float | None:
    """Metres of an OpenStreetMap length: ``12``, ``12 m``, ``12,5``, ``40'``, ``40'6"``, ``40 ft``.

    Returns
    -------
    float or None
        None where the text is no length (OpenStreetMap wiki, "Map features/Units").
    """
    text = text.strip()
    if match := _METRES.match(text):
        return _number(match[1])
    if match := _FEET.match(text):
        return (_number(match[1]) * 12 + (_number(match[2]) if match[2] else 0.0)) * 0.0254
    if match := _INCHES.match(text):
        return _number(match[1]) * 0.0254
    return None


def parse_levels(text: str) -> float | None:
    """Storeys of a ``building:levels`` value; the highest of a list ("3;5"), None if no number."""
    values = [part.strip() for part in text.split(";")]
    if not all(re.fullmatch(_NUMBER, value) for value in values):
        return None
    return max(_number(value) for value in values)


def tagged_height_m(tags: Mapping[str, str]) -> tuple[float, HeightSource] | None:
    """Height above ground that a building's own tags give, and which tag; None without one."""
    height_m = parse_length_m(tags.get("height", ""))
    if height_m is not None and 0 < height_m <= MAX_HEIGHT_M:
        # A table that `rfplatform scene` wrote says where its heights come from.
        told = tags.get("height_source")
        return height_m, next((s for s in HEIGHT_SOURCES if s == told), "height")
    levels = parse_levels(tags.get("building:levels", ""))
    if levels is None:
        return None
    height_m = (levels + (parse_levels(tags.get("roof:levels", "")) or 0.0)) * LEVEL_HEIGHT_M
    return (height_m, "levels") if 0 < height_m <= MAX_HEIGHT_M else None


def tagged_base_m(tags: Mapping[str, str]) -> float:
    """Height above ground at which a building or part begins (``min_height``), 0 by default."""
    base_m = parse_length_m(tags.get("min_height", ""))
    if base_m is None:
        base_m = (parse_levels(tags.get("building:min_level", "")) or 0.0) * LEVEL_HEIGHT_M
    return base_m


def fill_heights(
    tagged_m: Sequence[float | None], centroids_m: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Heights of the buildings that no tag tells, from their tagged neighbours.

    Parameters
    ----------
    tagged_m : sequence of float or None, [num]
    centroids_m : ndarray, [num, 2]

    Returns
    -------
    heights_m : ndarray, [num]
        The median of the tagged heights within `NEIGHBOUR_RADIUS_M`, else `DEFAULT_HEIGHT_M`;
        tagged heights are returned as they are.
    from_neighbours : ndarray of bool, [num]
    """
    from scipy.spatial import cKDTree

    heights_m = np.array([np.nan if h is None else h for h in tagged_m], dtype=float)
    known = np.isfinite(heights_m)
    from_neighbours = np.zeros(len(heights_m), dtype=bool)
    missing = np.flatnonzero(~known)
    if known.any() and len(missing):
        tree = cKDTree(centroids_m[known])
        tagged = heights_m[known]
        near = tree.query_ball_point(centroids_m[missing], NEIGHBOUR_RADIUS_M)
        for building, neighbours in zip(missing, near, strict=True):
            if neighbours:
                heights_m[building] = np.median(tagged[neighbours])
                from_neighbours[building] = True
    heights_m[np.isnan(heights_m)] = DEFAULT_HEIGHT_M
    return heights_m, from_neighbours


def _number(text: str) -> float:
    return float(text.replace(",", "."))
