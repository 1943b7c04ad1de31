"""A large area in tiles: boxes on one lattice, each with an overlap and a margin."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

Bounds = tuple[float, float, float, float]
"""West, south, east, north in eastings and northings [m]."""

SLIVER = 0.25
"""A border tile narrower than this share of a whole one is given to its neighbour."""


@dataclass(frozen=True)
class TileBox:
    """Where a tile lies, in a projected CRS.

    Attributes
    ----------
    column, row : int
        On the CRS's lattice of such tiles, to the east and to the north.
    core_bounds_m : tuple of float
        What is its own: the cores of an area's tiles cover it without an overlap.
    grid_bounds_m : tuple of float
        What is mapped: the core and half the overlap on the sides where there is a neighbour.
    scene_bounds_m : tuple of float
        Whose buildings and sectors count: the grid and the margin around it, within the area.
    margin_m, overlap_m : float
    """

    column: int
    row: int
    core_bounds_m: Bounds
    grid_bounds_m: Bounds
    scene_bounds_m: Bounds
    margin_m: float
    overlap_m: float


def tile_boxes(
    bounds_m: Bounds, tile_m: float, margin_m: float, overlap_m: float, resolution_m: float
) -> list[TileBox]:
    """Cut an area into tiles.

    Their borders are whole multiples of `tile_m` in the projected CRS; only those on the area's own
    border are cut by it.

    Parameters
    ----------
    bounds_m : tuple of float
        The area's; grown to whole multiples of the resolution, as its grid would be.
    tile_m, margin_m, overlap_m : float
        The edge of a core, a whole multiple of the resolution; and see `TileBox`.
    resolution_m : float
        Edge of a cell.

    Returns
    -------
    list of TileBox
        Row by row from the south, each row from the west.
    """
    west, south, east, north = _on_cells(bounds_m, resolution_m)
    columns, rows = _edges(west, east, tile_m), _edges(south, north, tile_m)
    half_m = overlap_m / 2
    boxes = []
    for low, high in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            grid = (
                max(left - half_m, west),
                max(low - half_m, south),
                min(right + half_m, east),
                min(high + half_m, north),
            )
            scene = (
                max(grid[0] - margin_m, west),
                max(grid[1] - margin_m, south),
                min(grid[2] + margin_m, east),
                min(grid[3] + margin_m, north),
            )
            column, row = ((a + b) // (2 * tile_m) for a, b in ((left, right), (low, high)))
            core = (left, low, right, high)
            boxes.append(TileBox(int(column), int(row), core, grid, scene, margin_m, overlap_m))
    return boxes


def _on_cells(bounds_m: Bounds, resolution_m: float) -> Bounds:
    """The bounds grown to cell borders, as `Grid.covering` grows them."""
    west, south, east, north = bounds_m
    low = [float(np.floor(v / resolution_m + 1e-6) * resolution_m) for v in (west, south)]
    high = [float(np.ceil(v / resolution_m - 1e-6) * resolution_m) for v in (east, north)]
    return low[0], low[1], high[0], high[1]


def _edges(low: float, high: float, step: float) -> list[float]:
    """Where tiles begin and end along an axis."""
    first, last = int(np.floor(low / step)) + 1, int(np.ceil(high / step))
    inner = [
        k * step
        for k in range(first, last)
        if k * step - low >= SLIVER * step and high - k * step >= SLIVER * step
    ]
    return [low, *inner, high]
