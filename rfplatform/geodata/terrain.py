"""Elevation models: a GeoTIFF or SRTM tile to the terrain of a scene, and buildings put on it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.frame import Frame
from rfplatform.scene import Building, Scene
from rfplatform.terrain import Terrain
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from rasterio.windows import Window

DEFAULT_RESOLUTION_M = 30.0
RESOLUTION_RANGE_M = (1.0, 1000.0)
MAX_NODES = 4_000_000
SRTM_VOID = -32768
HEIGHT_RANGE_M = (-500.0, 9000.0)
"""The shore of the Dead Sea lies at -430 m, Mount Everest at 8849 m."""
CHECKS_PER_NODE = 4
"""The mesh is compared with the model so many times between two nodes, each way."""


@dataclass(frozen=True, eq=False)
class _Model:
    """An elevation model's samples around an area: values at pixels' centres, row 0 on top."""

    heights_m: FloatArray
    transform: Any
    crs: str
    num_voids: int

    def height_m(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Bilinear interpolation at points in the model's CRS."""
        from scipy.ndimage import map_coordinates

        column, row = ~self.transform * (x, y)
        at = np.array([row - 0.5, column - 0.5])
        return np.asarray(map_coordinates(self.heights_m, at, order=1, mode="nearest"))


def load_terrain(path: Path, scene: Scene, resolution_m: float = DEFAULT_RESOLUTION_M) -> Terrain:
    """Make the ground under a scene from an elevation model.

    Heights are interpolated bilinearly between the model's samples, and meshed on a grid of
    `resolution_m`. Samples without a value are filled from their neighbours and counted.

    Parameters
    ----------
    path : Path
        A GeoTIFF or any raster that GDAL reads, in any CRS, one band of metres; or a tile of SRTM
        (``.hgt``, ``.hgt.zip``), whose name says where it lies.
    scene : Scene
        Its area and buildings, with a margin, are what the ground is made for.
    resolution_m : float
        Distance between the nodes, 1 to 1000 m.

    Returns
    -------
    Terrain
        `max_error_m` is the largest distance from the model found at its own samples and at a
        grid four times as fine as the mesh.

    Raises
    ------
    InputError
        No such file, not a raster, no CRS, not metres, not covering the area, nothing but voids.
    """
    low, high = RESOLUTION_RANGE_M
    if not low <= resolution_m <= high:
        raise InputError(f"terrain resolution {resolution_m:g} m: must lie in {low:g}..{high:g} m")
    west, south, east, north = scene.ground_bounds_m()
    # Nodes at whole multiples in the projected CRS, so that neighbouring areas share them.
    first_e = np.floor((west + scene.frame.origin_easting_m) / resolution_m)
    first_n = np.floor((south + scene.frame.origin_northing_m) / resolution_m)
    last_e = np.ceil((east + scene.frame.origin_easting_m) / resolution_m)
    last_n = np.ceil((north + scene.frame.origin_northing_m) / resolution_m)
    num_x, num_y = int(last_e - first_e) + 1, int(last_n - first_n) + 1
    if num_x * num_y > MAX_NODES:
        raise InputError(
            f"terrain resolution {resolution_m:g} m: {num_x:,} x {num_y:,} nodes are too many; "
            "take a coarser --terrain-resolution or a smaller --bbox"
        )
    west = float(first_e * resolution_m - scene.frame.origin_easting_m)
    south = float(first_n * resolution_m - scene.frame.origin_northing_m)
    x = west + np.arange(num_x) * resolution_m
    y = south + np.arange(num_y) * resolution_m
    model = _read(path, scene.frame, x, y)
    heights_m = _interpolated(model, scene.frame, *np.meshgrid(x, y)).astype(np.float32)
    terrain = Terrain(
        west, south, resolution_m, heights_m, num_voids=model.num_voids, source=path.name
    )
    return replace(terrain, max_error_m=_max_error_m(terrain, model, scene.frame))


def on_terrain(scene: Scene, path: Path | None, resolution_m: float) -> Scene:
    """The scene on the ground of an elevation model; as it is where there is none.

    See `load_terrain` for parameters and errors, and `stand_on` for how buildings are put there.
    """
    if path is None:
        return scene
    return stand_on(scene, load_terrain(path, scene, resolution_m))


def _read(path: Path, frame: Frame, x: FloatArray, y: FloatArray) -> _Model:
    """The part of a raster that covers a grid of local points, voids filled."""
    import rasterio
    from rasterio.errors import RasterioIOError

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}; --terrain takes a GeoTIFF, .hgt or .hgt.zip")
    try:
        with rasterio.open(path) as source:
            if source.crs is None:
                raise InputError(f"{path}: has no CRS, so that it can't be placed; assign one")
            unit = (source.units[0] or "m").casefold()
            if unit not in ("m", "metre", "meter", "metres", "meters", ""):
                raise InputError(f"{path}: heights in {unit!r}; convert them to metres")
            window = _window(path, source, frame, x, y)
            values = source.read(1, window=window, masked=True).astype(float)
            transform, crs = source.window_transform(window), source.crs.to_wkt()
    except RasterioIOError as error:
        raise InputError(
            f"{path}: can't be read as elevation ({_first_line(error)}); --terrain takes a "
            "GeoTIFF, .hgt or .hgt.zip"
        ) from None
    known = ~np.ma.getmaskarray(values) & np.isfinite(values.data) & (values.data != SRTM_VOID)
    if not known.any():
        raise InputError(f"{path}: has no heights in this area, voids alone; use another model")
    low, high = values.data[known].min(), values.data[known].max()
    if low < HEIGHT_RANGE_M[0] or high > HEIGHT_RANGE_M[1]:
        raise InputError(
            f"{path}: heights from {low:g} to {high:g} are no metres above the sea; is it an "
            "elevation model?"
        )
    return _Model(_filled(values.data, known), transform, crs, int((~known).sum()))


def _window(path: Path, source: Any, frame: Frame, x: FloatArray, y: FloatArray) -> Window:  # noqa: ANN401
    """Pixels around the grid, two more on each side."""
    from pyproj import Transformer
    from rasterio.windows import Window

    border_x = np.concatenate([x, x, np.full(len(y), x[0]), np.full(len(y), x[-1])])
    border_y = np.concatenate([np.full(len(x), y[0]), np.full(len(x), y[-1]), y, y])
    to_model = Transformer.from_crs(frame.crs, source.crs.to_wkt(), always_xy=True)
    column, row = ~source.transform * to_model.transform(
        border_x + frame.origin_easting_m, border_y + frame.origin_northing_m
    )
    if not (np.isfinite(column).all() and np.isfinite(row).all()):
        raise InputError(f"{path}: its CRS is not defined in this area")
    inside = (column >= 0) & (column <= source.width) & (row >= 0) & (row <= source.height)
    if not inside.all():
        raise InputError(
            f"{path}: does not cover the area and 50 m around it "
            f"({inside.mean():.0%} of the border lies in it); give a model that does, or a "
            "smaller --bbox"
        )
    left, top = max(int(column.min()) - 2, 0), max(int(row.min()) - 2, 0)
    right = min(int(column.max()) + 3, source.width)
    bottom = min(int(row.max()) + 3, source.height)
    return Window(left, top, right - left, bottom - top)


def _filled(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Voids by inverse distance from the known samples around (GDAL's algorithm), else nearest."""
    if known.all():
        return np.asarray(values, dtype=float)
    from rasterio.fill import fillnodata
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    whole = np.where(known, values, 0.0).astype(np.float32)
    filled = fillnodata(whole, mask=known.astype(np.uint8), max_search_distance=100.0)
    far = ~known & (distance_transform_edt(~known) > 90.0)
    return np.where(known, values, np.where(far, values[tuple(nearest)], filled)).astype(float)


def _interpolated(model: _Model, frame: Frame, x: FloatArray, y: FloatArray) -> FloatArray:
    from pyproj import Transformer

    to_model = Transformer.from_crs(frame.crs, model.crs, always_xy=True)
    return model.height_m(
        *to_model.transform(x + frame.origin_easting_m, y + frame.origin_northing_m)
    )


def _max_error_m(terrain: Terrain, model: _Model, frame: Frame) -> float:
    """Largest distance between the mesh and the model, at the model's samples and between nodes."""
    from pyproj import Transformer

    rows, columns = np.indices(model.heights_m.shape)
    from_model = Transformer.from_crs(model.crs, frame.crs, always_xy=True)
    easting, northing = from_model.transform(*(model.transform * (columns + 0.5, rows + 0.5)))
    x, y = easting - frame.origin_easting_m, northing - frame.origin_northing_m
    inside = (x >= terrain.west_m) & (x <= terrain.east_m)
    inside &= (y >= terrain.south_m) & (y <= terrain.north_m)
    at_samples = np.abs(terrain.height_m(x[inside], y[inside]) - model.heights_m[inside])
    worst = float(at_samples.max(initial=0.0))
    step = terrain.resolution_m / CHECKS_PER_NODE
    fine_x = np.arange(terrain.west_m, terrain.east_m + step / 2, step)
    for block in np.array_split(
        np.arange(terrain.south_m, terrain.north_m + step / 2, step), 1 + len(fine_x) // 1000
    ):
        xx, yy = np.meshgrid(fine_x, block)
        off = np.abs(terrain.height_m(xx, yy) - _interpolated(model, frame, xx, yy))
        worst = max(worst, float(off.max(initial=0.0)))
    return worst


def stand_on(scene: Scene, terrain: Terrain) -> Scene:
    """The scene with its buildings on a terrain, each at the lowest point under it.

    The parts of one outline stand on the lowest point under any of them, as their heights in
    OpenStreetMap count from there; what is under no part of a building is left as it is.

    Parameters
    ----------
    scene : Scene
    terrain : Terrain
        In the scene's frame.
    """
    lowest_m = lowest_under([b.footprint for b in scene.buildings], terrain)
    of_outline: dict[str, float] = defaultdict(lambda: np.inf)
    for building, low_m in zip(scene.buildings, lowest_m.tolist(), strict=True):
        key = building.outline_id or building.osm_id
        of_outline[key] = min(of_outline[key], low_m)

    def placed(building: Building) -> Building:
        return replace(building, ground_m=of_outline[building.outline_id or building.osm_id])

    return replace(scene, terrain=terrain, buildings=tuple(placed(b) for b in scene.buildings))


def lowest_under(footprints: list[Any], terrain: Terrain) -> FloatArray:
    """Lowest point of the terrain under each polygon, [num_polygons].

    A surface of flat triangles is lowest over a polygon at one of its corners, where one of its
    edges crosses a triangle's, or at a node inside: these are all looked at.
    """
    import shapely

    if not footprints:
        return np.zeros(0)
    polygons = np.array(footprints, dtype=object)
    points, owner = shapely.get_coordinates(polygons), _owners(polygons)
    lowest = np.full(len(polygons), np.inf)
    np.minimum.at(lowest, owner, terrain.height_m(points[:, 0], points[:, 1]))
    same = owner[1:] == owner[:-1]
    start, end, edge_owner = points[:-1][same], points[1:][same], owner[1:][same]
    # Grid lines and diagonals: x, y and y - x at whole multiples of the resolution.
    to_grid = (np.array([terrain.west_m, terrain.south_m]), terrain.resolution_m)
    a, b = ((p - to_grid[0]) / to_grid[1] for p in (start, end))
    for first, last in (
        (a[:, 0], b[:, 0]),
        (a[:, 1], b[:, 1]),
        (a[:, 1] - a[:, 0], b[:, 1] - b[:, 0]),
    ):
        edge, share = _crossings(first, last)
        at = start[edge] + share[:, None] * (end - start)[edge]
        np.minimum.at(lowest, edge_owner[edge], terrain.height_m(at[:, 0], at[:, 1]))
    vertices, _ = terrain.mesh()
    tree = shapely.STRtree(polygons)
    node, polygon = tree.query(shapely.points(vertices[:, :2]), predicate="within")
    np.minimum.at(lowest, polygon, vertices[node, 2].astype(float))
    return lowest


def _owners(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.intp]:
    import shapely

    return np.repeat(np.arange(len(polygons)), shapely.get_num_coordinates(polygons))


def _crossings(first: FloatArray, last: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Where runs from `first` to `last` pass whole numbers: the run, and the share of its way."""
    low, high = np.ceil(np.minimum(first, last)), np.floor(np.maximum(first, last))
    number = np.maximum(high - low + 1, 0).astype(np.intp)
    number[first == last] = 0
    run = np.repeat(np.arange(len(first)), number)
    offset = np.arange(len(run)) - np.repeat(np.cumsum(number) - number, number)
    share = (low[run] + offset - first[run]) / (last - first)[run]
    return run, share


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
