"""Buildings on a grid: their heights, and the cells outside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from shapely import Polygon

    from rfplatform.radiomap import BoolArray, Grid
    from rfplatform.scene import Scene


def height_raster(scene: Scene, grid: Grid) -> npt.NDArray[np.float32]:
    """Top of the highest building over every cell's centre.

    Parameters
    ----------
    scene : Scene
        Buildings in the grid's frame.
    grid : Grid

    Returns
    -------
    ndarray, [num_y, num_x], float32
        Metres above ground, 0 where no building covers the cell's centre. Row 0 is south.
    """
    # Painted from the lowest to the highest, so that the highest wins where they overlap.
    ordered = sorted(scene.buildings, key=lambda b: b.top_m)
    return _paint(((b.footprint, b.top_m) for b in ordered), grid)


def outdoor_mask(scene: Scene, grid: Grid) -> BoolArray:
    """Cells whose centre lies outside every building that stands at the receivers' height.

    Parts that begin at or above the receivers (bridges between houses, overhangs) leave the
    cells under them outdoor, and so do buildings that end below them.

    Parameters
    ----------
    scene : Scene
        Buildings in the grid's frame.
    grid : Grid
        Its `receiver_height_m` decides which parts hang above.

    Returns
    -------
    ndarray, [num_y, num_x], bool
        Row 0 is south.
    """
    height_m = grid.receiver_height_m
    standing = (b for b in scene.buildings if b.base_m < height_m < b.top_m)
    return np.asarray(_paint(((b.footprint, 1.0) for b in standing), grid) == 0.0)


def outdoor_share(scene: Scene, grid: Grid, per_cell: int = 4) -> npt.NDArray[np.float32]:
    """Share of every cell's area outside buildings, from `per_cell` x `per_cell` points.

    Returns
    -------
    ndarray, [num_y, num_x], float32
        At least one point's share, also in cells that lie inside a building altogether.
    """
    fine = replace(
        grid,
        resolution_m=grid.resolution_m / per_cell,
        num_x=grid.num_x * per_cell,
        num_y=grid.num_y * per_cell,
    )
    outside = outdoor_mask(scene, fine).reshape(grid.num_y, per_cell, grid.num_x, per_cell)
    share = outside.mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(np.maximum(share, per_cell**-2), dtype=np.float32)


def _paint(shapes: Iterable[tuple[Polygon, float]], grid: Grid) -> npt.NDArray[np.float32]:
    """Burn values where polygons cover cell centres, later ones over earlier ones."""
    from rasterio.features import rasterize
    from rasterio.transform import from_origin
    from shapely.geometry import box

    extent = box(grid.west_m, grid.south_m, grid.east_m, grid.north_m)
    near = [(polygon, value) for polygon, value in shapes if polygon.intersects(extent)]
    if not near:
        return np.zeros(grid.shape, dtype=np.float32)
    north_up: npt.NDArray[np.float32] = rasterize(
        near,
        out_shape=grid.shape,
        transform=from_origin(grid.west_m, grid.north_m, grid.resolution_m, grid.resolution_m),
        fill=0.0,
        dtype="float32",
    )
    return north_up[::-1].copy()
