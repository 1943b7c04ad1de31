"""A scene on a grid: heights of ground and buildings, and the cells outside buildings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from shapely import Polygon

    from rfplatform.radiomap import BoolArray, Grid
    from rfplatform.scene import Scene, Solids
    from rfplatform.units import FloatArray


def height_raster(scene: Scene, grid: Grid) -> npt.NDArray[np.float32]:
    """Top of the highest building over every cell's centre, above the ground it stands on.

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
    if scene.solids is not None:
        top_m = _solid_tops(scene.solids, grid) - ground_raster(scene, grid)
        return np.asarray(np.fmax(top_m, 0.0), dtype=np.float32)
    # Painted from the lowest to the highest, so that the highest wins where they overlap.
    ordered = sorted(scene.buildings, key=lambda b: b.top_z_m)
    return _paint(((b.footprint, b.top_m) for b in ordered), grid)


def ground_raster(scene: Scene, grid: Grid) -> npt.NDArray[np.float32]:
    """Z of the ground at every cell's centre, [num_y, num_x], float32; row 0 is south."""
    return scene.ground_m(grid.x_m()[None, :], grid.y_m()[:, None]).astype(np.float32)


def ground_layer(scene: Scene, grid: Grid) -> npt.NDArray[np.float32] | None:
    """`ground_raster` as a map's layer; None where the ground is flat."""
    return None if scene.terrain is None else ground_raster(scene, grid)


def top_raster(scene: Scene, grid: Grid) -> npt.NDArray[np.float32]:
    """Highest building's z over every cell's centre, [num_y, num_x], float32; -inf: none."""
    if scene.solids is not None:
        top_m = _solid_tops(scene.solids, grid)
        return np.where(np.isnan(top_m), -np.inf, top_m).astype(np.float32)
    ordered = sorted(scene.buildings, key=lambda b: b.top_z_m)
    return _paint(((b.footprint, b.top_z_m) for b in ordered), grid, nothing=-np.inf)


def outdoor_mask(scene: Scene, grid: Grid) -> BoolArray:
    """Cells whose centre lies outside every building that stands at the receivers' height.

    Parts that begin at or above the receivers (bridges between houses, overhangs) leave the
    cells under them outdoor, and so do buildings that end below them, as where a slope rises
    behind a house above its roof.

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
    if scene.solids is not None:
        receiver_m = ground_raster(scene, grid) + height_m
        # NaN, where nothing stands, compares false.
        return np.asarray(~(_solid_tops(scene.solids, grid) > receiver_m))
    if scene.terrain is None:
        standing = (b for b in scene.buildings if b.base_z_m < height_m < b.top_z_m)
        return np.asarray(_paint(((b.footprint, 1.0) for b in standing), grid) == 0.0)
    receiver_m = ground_raster(scene, grid) + height_m
    # What stands on the ground goes up from below every receiver: its highest top decides.
    grounded = sorted((b for b in scene.buildings if b.base_m <= 0.0), key=lambda b: b.top_z_m)
    top_m = _paint(((b.footprint, b.top_z_m) for b in grounded), grid, nothing=-np.inf)
    inside = top_m > receiver_m
    for b in scene.buildings:
        if b.base_m > 0.0:
            covered = _paint([(b.footprint, 1.0)], grid) > 0.0
            inside |= covered & (b.base_z_m < receiver_m) & (receiver_m < b.top_z_m)
    return np.asarray(~inside)


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


def _solid_tops(solids: Solids, grid: Grid) -> FloatArray:
    return solids.top_m(grid.x_m()[None, :], grid.y_m()[:, None])


def _paint(
    shapes: Iterable[tuple[Polygon, float]], grid: Grid, nothing: float = 0.0
) -> npt.NDArray[np.float32]:
    """Burn values where polygons cover cell centres, later ones over earlier ones."""
    from rasterio.features import rasterize
    from rasterio.transform import from_origin
    from shapely.geometry import box

    extent = box(grid.west_m, grid.south_m, grid.east_m, grid.north_m)
    near = [(polygon, value) for polygon, value in shapes if polygon.intersects(extent)]
    if not near:
        return np.full(grid.shape, nothing, dtype=np.float32)
    north_up: npt.NDArray[np.float32] = rasterize(
        near,
        out_shape=grid.shape,
        transform=from_origin(grid.west_m, grid.north_m, grid.resolution_m, grid.resolution_m),
        fill=nothing,
        dtype="float32",
    )
    return north_up[::-1].copy()
