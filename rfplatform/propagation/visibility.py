"""Which cells a sector sees past the scene's buildings, by their exact shadows.

From a point source, a prism casts a shadow on the plane of the receivers: the union of its
footprint scaled about the source over a range of factors, since a ray that crosses height z at
the fraction lambda of its way passes over the footprint's point Q if it ends at Q / lambda. The
outline of that union consists of the footprint's edges that face the source, scaled by the least
factor, those that face away, scaled by the greatest, and radial lines where one kind meets the
other. The winding number of these closed outlines around a cell's centre counts the shadows over
it; summed along each row, it costs a few operations an edge instead of a march for every cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.radiomap import BoolArray, Grid, Sector
from rfplatform.rasterize import ground_raster, outdoor_mask, top_raster
from rfplatform.scene import Scene
from rfplatform.units import FloatArray

IntArray = npt.NDArray[np.intp]

CROSSINGS_PER_CHUNK = 1 << 20
"""How many crossings of an edge with a row are held at once: about 100 MB."""

COARSEST_SURFACE_M = 5.0
"""Cells of the raster of tops are half the grid's, and never larger than this."""

CELLS_PER_WALK = 1 << 18
"""How many cells are walked from at once; their temporary arrays take some 20 MB."""

NEAREST_EDGE_M = 1e-3
"""An antenna on a wall counts as this far from it, to keep endless shadows finite."""


def line_of_sight(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> BoolArray:
    """Whether the straight line from a sector's antenna to a cell's centre meets nothing.

    On terrain, and in a scene made elsewhere, to the accuracy of a raster of the buildings' tops
    with cells half as large as the grid's, at most `COARSEST_SURFACE_M`; parts that hang count as
    solid down to the ground there.

    Exact, up to rounding, for prisms on flat ground: footprints are taken as they are, with
    their courtyards, and rays pass below parts whose base is above them. A roof blocks its own
    antenna's rays that cross the roof's edge from above, as it does on the street below. An
    antenna inside a building (not above its top) sees nothing outdoors, and a cell inside a
    building is not seen.

    Parameters
    ----------
    scene : Scene
    sectors : sequence of Sector
        Only their positions count; those that share one are computed once.
    grid : Grid
        Cells' centres, at its receiver height.

    Returns
    -------
    ndarray, [num_sectors, num_y, num_x], bool
    """
    if scene.terrain is not None or scene.solids is not None:
        return _walked(scene, sectors, grid)
    edges = _edges(scene)
    seen = np.empty((len(sectors), *grid.shape), dtype=bool)
    first_at: dict[tuple[float, float, float], int] = {}
    for i, sector in enumerate(sectors):
        position = (sector.x_m, sector.y_m, sector.z_m)
        first = first_at.setdefault(position, i)
        seen[i] = seen[first] if first < i else _shadows(edges, position, grid) == 0
    return seen


def _walked(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> BoolArray:
    """Line of sight, over a raster of tops that covers the grid and every antenna."""
    if not sectors:
        return np.empty((0, *grid.shape), dtype=bool)
    step_m = min(grid.resolution_m / 2, COARSEST_SURFACE_M)
    xs, ys = [s.x_m for s in sectors], [s.y_m for s in sectors]
    west, south = min(grid.west_m, *xs) - step_m, min(grid.south_m, *ys) - step_m
    east, north = max(grid.east_m, *xs) + step_m, max(grid.north_m, *ys) + step_m
    num_x, num_y = int(np.ceil((east - west) / step_m)), int(np.ceil((north - south) / step_m))
    surface = Grid(grid.frame, west, south, step_m, num_x, num_y, grid.receiver_height_m)
    top_m = top_raster(scene, surface)
    receiver_m = ground_raster(scene, grid) + grid.receiver_height_m
    outdoor = outdoor_mask(scene, grid)
    seen = np.zeros((len(sectors), *grid.shape), dtype=bool)
    first_at: dict[tuple[float, float, float], int] = {}
    for i, sector in enumerate(sectors):
        first = first_at.setdefault((sector.x_m, sector.y_m, sector.z_m), i)
        if first < i:
            seen[i] = seen[first]
            continue
        cells = np.flatnonzero(outdoor)
        for part in np.array_split(cells, 1 + len(cells) // CELLS_PER_WALK):
            row, column = np.divmod(part, grid.num_x)
            at = (grid.x_m()[column], grid.y_m()[row], receiver_m.flat[part])
            seen[i].flat[part] = _walk(scene, top_m, surface, sector, *at)
    return seen


def _walk(
    scene: Scene,
    top_m: npt.NDArray[np.float32],
    surface: Grid,
    sector: Sector,
    x_m: FloatArray,
    y_m: FloatArray,
    z_m: FloatArray,
) -> BoolArray:
    """Whether the way from points to an antenna stays above ground and roofs, step by step.

    The first step from either end is left out: the roof that a mast stands on and the ground below
    a receiver are no obstacles to themselves.
    """
    dx, dy, dz = sector.x_m - x_m, sector.y_m - y_m, sector.z_m - z_m
    distance_m = np.hypot(dx, dy)
    step_m = surface.resolution_m
    seen = np.ones(len(x_m), dtype=bool)
    going = np.flatnonzero(distance_m > 2 * step_m)
    walked_m = step_m
    while len(going):
        share = walked_m / distance_m[going]
        x, y = x_m[going] + share * dx[going], y_m[going] + share * dy[going]
        column = ((x - surface.west_m) / step_m).astype(np.intp)
        row = ((y - surface.south_m) / step_m).astype(np.intp)
        highest_m = np.maximum(top_m[row, column], scene.ground_m(x, y))
        free = highest_m <= z_m[going] + share * dz[going]
        seen[going[~free]] = False
        walked_m += step_m
        going = going[free & (distance_m[going] > walked_m + step_m)]
    return seen


@dataclass(frozen=True, eq=False)
class _Edges:
    """Footprints' edges with the interior on their left, building by building.

    ``start`` and ``end`` are [num_edges, 2] in metres; ``next_edge`` holds the index of the edge
    that goes on where one ends; ``first_edge`` the index of each building's first.
    """

    start: FloatArray
    end: FloatArray
    next_edge: IntArray
    first_edge: IntArray
    building: IntArray
    base_m: FloatArray
    top_m: FloatArray


def _edges(scene: Scene) -> _Edges:
    import shapely

    buildings = [b for b in scene.buildings if not b.footprint.is_empty]
    rings, owner = shapely.get_rings([b.footprint for b in buildings], return_index=True)
    # Of each polygon's rings, the shell comes first.
    is_hole = np.diff(owner, prepend=-1) == 0
    wrong = shapely.is_ccw(rings) == is_hole
    rings[wrong] = shapely.reverse(rings[wrong])
    points, ring = shapely.get_coordinates(rings, return_index=True)
    # A ring's last point repeats its first, so it starts no edge.
    starts = np.flatnonzero(np.diff(ring, append=-1) == 0)
    ring = ring[starts]
    is_last = np.diff(ring, append=-1) != 0
    first_of_ring = np.flatnonzero(np.diff(ring, prepend=-1) != 0)
    next_edge = np.arange(1, len(starts) + 1)
    next_edge[is_last] = first_of_ring
    building = owner[ring]
    return _Edges(
        points[starts],
        points[starts + 1],
        next_edge,
        np.flatnonzero(np.diff(building, prepend=-1) != 0),
        building,
        np.array([b.base_m for b in buildings], dtype=float),
        np.array([b.top_m for b in buildings], dtype=float),
    )


def _shadows(edges: _Edges, position: tuple[float, float, float], grid: Grid) -> IntArray:
    """How many buildings stand between a position and each cell, [num_y, num_x]."""
    if not len(edges.start):
        return np.zeros(grid.shape, dtype=np.intp)
    source = np.array(position[:2])
    start, end = edges.start - source, edges.end - source
    near, far = _scales(edges, position[2], start, end, source, grid)
    casts = (far > near)[edges.building]
    near_edge = near[edges.building][:, None]
    far_edge = far[edges.building][:, None]
    # Seen from the source, the interior lies before the edge: rays leave the footprint there.
    faces_away = start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0] > 0
    scale = np.where(faces_away[:, None], far_edge, near_edge)
    turns = casts & (faces_away != faces_away[edges.next_edge])
    scale_next = scale[edges.next_edge]
    lines = np.concatenate(
        [
            np.hstack([start * scale, end * scale])[casts],
            np.hstack([end * scale, end * scale_next])[turns],
        ]
    )
    return _winding(lines + np.tile(source, 2), grid)


def _scales(
    edges: _Edges,
    source_z_m: float,
    start: FloatArray,
    end: FloatArray,
    source: FloatArray,
    grid: Grid,
) -> tuple[FloatArray, FloatArray]:
    """Least and greatest factor of each building's shadow; the same where it casts none."""
    drop_m = grid.receiver_height_m - source_z_m
    if drop_m == 0.0:
        blocks = (edges.base_m < source_z_m) & (source_z_m < edges.top_m)
        enter, leave = np.zeros(len(blocks)), blocks.astype(float)
    else:
        # The fractions of its way, from the source, at which a ray is at the base and the top.
        at = np.sort([(edges.base_m - source_z_m) / drop_m, (edges.top_m - source_z_m) / drop_m], 0)
        # Adding zero turns -0 (an antenna level with a top) into 0, the inverse of which is +inf.
        enter, leave = np.clip(at, 0.0, 1.0) + 0.0
    # Shadows end where the grid does: far edges scaled by this lie outside of it altogether.
    corners = [(x, y) for x in (grid.west_m, grid.east_m) for y in (grid.south_m, grid.north_m)]
    reach_m = float(np.hypot(*(np.array(corners) - source).T).max())
    nearest_m = np.minimum.reduceat(_distance_m(start, end), edges.first_edge)
    end_of_grid = reach_m / np.maximum(nearest_m, NEAREST_EDGE_M)
    with np.errstate(divide="ignore"):
        near, far = 1.0 / leave, np.minimum(1.0 / enter, np.maximum(end_of_grid, 1.0))
    casts = (leave > enter) & (far > near)
    return np.where(casts, near, 1.0), np.where(casts, far, 1.0)


def _distance_m(start: FloatArray, end: FloatArray) -> FloatArray:
    """Distance of line segments, [n, 2] each, from the origin."""
    along = end - start
    length2 = np.maximum((along**2).sum(axis=1), np.finfo(float).tiny)
    t = np.clip(-(start * along).sum(axis=1) / length2, 0.0, 1.0)
    return np.asarray(np.hypot(*(start + t[:, None] * along).T))


def _winding(lines: FloatArray, grid: Grid) -> IntArray:
    """Winding number of closed outlines around each cell's centre, [num_y, num_x].

    Parameters
    ----------
    lines : ndarray, [num_lines, 4]
        x, y of their starts and of their ends, interior to the left.
    """
    resolution_m = grid.resolution_m
    x0, y0, x1, y1 = lines.T
    # Rows whose centres lie in [lower, upper) of each line; the half-open rule counts a corner
    # between two lines once.
    row0, row1 = (
        np.clip(np.ceil((y - grid.south_m) / resolution_m - 0.5), 0, grid.num_y).astype(np.intp)
        for y in (y0, y1)
    )
    first_row, num_rows = np.minimum(row0, row1), np.abs(row1 - row0)
    crossing = np.flatnonzero(num_rows)
    width = grid.num_x + 1
    steps = np.zeros(grid.num_y * width)
    for chunk in _chunks(crossing, num_rows[crossing]):
        line = np.repeat(chunk, num_rows[chunk])
        offset = np.arange(len(line)) - np.repeat(
            np.cumsum(num_rows[chunk]) - num_rows[chunk], num_rows[chunk]
        )
        row = first_row[line] + offset
        y = grid.south_m + (row + 0.5) * resolution_m
        x = x0[line] + (y - y0[line]) * ((x1 - x0)[line] / (y1 - y0)[line])
        column = np.clip(np.ceil((x - grid.west_m) / resolution_m - 0.5), 0, grid.num_x)
        # Going south, the interior is to the east: cells from this column on are one deeper.
        depth = np.where(row1[line] < row0[line], 1.0, -1.0)
        steps += np.bincount(row * width + column.astype(np.intp), depth, len(steps))
    depth = np.cumsum(steps.reshape(grid.num_y, width), axis=1)[:, :-1]
    return np.rint(depth).astype(np.intp)


def _chunks(items: IntArray, weights: IntArray) -> list[IntArray]:
    """Split items in order so that no part of several weighs more than a chunk's crossings."""
    chunk = np.cumsum(weights) // CROSSINGS_PER_CHUNK
    return np.split(items, np.flatnonzero(np.diff(chunk)) + 1) if len(items) else []
