"""Web Mercator tiles of a display, as PNG files with few colours."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.formats.display import ABOUT, RASTER, SECTOR_BAND

if TYPE_CHECKING:
    from pyproj import Transformer

TILE_PIXELS = 512
DEEPEST = 24
NUM_SHADES = 240
FAINT_RGBA = (128, 134, 140, 90)
"""Of cells below the threshold: a hole in coverage is to be seen, and not mistaken for no path."""

_HALF_WORLD_M = math.pi * 6378137.0
_NOTHING, _FAINT = 0, 1

Bounds = tuple[float, float, float, float]


def render_tile(
    folder: Path,
    layer: str,
    z: int,
    x: int,
    y: int,
    *,
    threshold: float | None = None,
    ends: tuple[float, float] | None = None,
    size: int = TILE_PIXELS,
) -> bytes:
    """A tile of a layer, transparent where there is nothing.

    Parameters
    ----------
    folder : Path
        A display's, see `rfplatform.formats.display`.
    layer : str
        A name of its layers, or "sector:N" for the SS-RSRP of one sector.
    z, x, y : int
        Of the usual scheme: y counts from the north.
    threshold : float, optional
        Cells below are drawn faintly.
    ends : tuple of float, optional
        Of the scale, in place of the layer's own: those of a map that this one is seen beside.
    size : int
        Pixels of an edge.

    Raises
    ------
    InputError
        If there is no such display, layer or tile.
    """
    if not (0 <= z <= DEEPEST and 0 <= x < 1 << z and 0 <= y < 1 << z):
        raise InputError(f"tile {z}/{x}/{y}: there is none")
    about = _about(folder)
    entry, band = _entry(about, layer)
    box = tile_bounds_m(z, x, y)
    rows, columns = _pixels(box, _mercator_bounds(about), size)
    shape = rows.stop - rows.start, columns.stop - columns.start
    if min(shape) <= 0:
        return _empty(size)
    values = _read(folder / RASTER, about, band, _part(box, rows, columns, size), shape)
    index = np.full((size, size), _NOTHING, np.uint8)
    legend = entry["legend"]
    if ends is not None and legend["kind"] == "scale":
        if not ends[0] < ends[1]:
            raise InputError(f"range {ends[0]:g},{ends[1]:g}: must ascend")
        legend = {**legend, "range": ends}
    index[rows, columns] = _indices(values, legend, threshold)
    if not index.any():
        return _empty(size)
    return _png(index, _palette(json.dumps(entry["legend"])))


def tile_etag(
    folder: Path,
    layer: str,
    z: int,
    x: int,
    y: int,
    *,
    threshold: float | None = None,
    ends: tuple[float, float] | None = None,
) -> str:
    """An HTTP entity tag of a tile, which is another where the display is.

    Raises
    ------
    InputError
        If there is no such display.
    """
    changed = _changed(folder)
    return f'"{changed:x}-{layer}-{z}-{x}-{y}-{threshold}-{ends}"'


def tile_bounds_m(z: int, x: int, y: int) -> Bounds:
    """West, south, east, north of a tile in Web Mercator (EPSG:3857) metres."""
    edge = 2.0 * _HALF_WORLD_M / (1 << z)
    west, north = x * edge - _HALF_WORLD_M, _HALF_WORLD_M - y * edge
    return west, north - edge, west + edge, north


def _changed(folder: Path) -> int:
    try:
        return (folder / ABOUT).stat().st_mtime_ns
    except OSError:
        raise InputError("there is no such map") from None


def _about(folder: Path) -> Mapping[str, Any]:
    return _parsed(folder, _changed(folder))


@lru_cache(maxsize=64)
def _parsed(folder: Path, _changed: int) -> Mapping[str, Any]:
    about: Mapping[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return about


def _entry(about: Mapping[str, Any], layer: str) -> tuple[Mapping[str, Any], int]:
    entries = {entry["name"]: entry for entry in about["layers"]}
    if layer in entries:
        return entries[layer], entries[layer]["band"]
    for number, band in enumerate(about.get("sector_bands", ())):
        if layer == f"{SECTOR_BAND}{number}":
            return entries["ss_rsrp_dbm"], band
    raise InputError(f"no layer {layer[:40]!r} in this map (there is: {', '.join(entries)})")


def _mercator_bounds(about: Mapping[str, Any]) -> Bounds:
    west, south, east, north = about["bounds"]

    def up(lat: float) -> float:
        return _HALF_WORLD_M / math.pi * math.log(math.tan(math.pi / 4 + math.radians(lat) / 2))

    scale = _HALF_WORLD_M / 180.0
    return west * scale, up(south), east * scale, up(north)


def _pixels(box: Bounds, within: Bounds, size: int) -> tuple[slice, slice]:
    """Rows and columns of a tile that a map lies on.

    Beyond, nothing is computed: far from its zone, a projection has no places at all.
    """
    pixel_m = (box[2] - box[0]) / size

    def between(low_m: float, high_m: float) -> slice:
        first, last = math.floor(low_m / pixel_m), math.ceil(high_m / pixel_m)
        return slice(max(0, first), min(size, last))

    return (
        between(box[3] - within[3], box[3] - within[1]),
        between(within[0] - box[0], within[2] - box[0]),
    )


def _part(box: Bounds, rows: slice, columns: slice, size: int) -> Bounds:
    """Where some pixels of a tile lie."""
    pixel_m = (box[2] - box[0]) / size
    return (
        box[0] + columns.start * pixel_m,
        box[3] - rows.stop * pixel_m,
        box[0] + columns.stop * pixel_m,
        box[3] - rows.start * pixel_m,
    )


def _read(
    path: Path, about: Mapping[str, Any], band: int, box: Bounds, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """A band over a box, by the nearest cell, as so many rows and columns; row 0 is north.

    A third of the time that GDAL's warped VRT takes, which looks at each pixel's place by itself.
    """
    import rasterio

    easting_m, northing_m = _nodes(box, about["crs"])
    with rasterio.open(path) as raster:
        cell = raster.transform.a
        column = (easting_m - raster.transform.c) / cell
        row = (raster.transform.f - northing_m) / cell
        first, left = max(0, int(row.min())), max(0, int(column.min()))
        last = min(raster.height, int(row.max()) + 1)
        right = min(raster.width, int(column.max()) + 1)
        if first >= last or left >= right:
            return np.full(shape, np.nan, np.float32)
        # Of several cells under a pixel one is enough: then an overview holds it.
        step = max(1, (right - left) // shape[1])
        height, width = -(-(last - first) // step), -(-(right - left) // step)
        cells = np.full((height + 2, width + 2), np.nan, np.float32)
        cells[1:-1, 1:-1] = raster.read(
            band, window=((first, last), (left, right)), out_shape=(height, width)
        )
    # What lies beyond falls on the border of NaN.
    i = _spread((row - first) * (height / (last - first)) + 1.0, shape, height + 1)
    j = _spread((column - left) * (width / (right - left)) + 1.0, shape, width + 1)
    return cells.ravel().take(i * np.int32(width + 2) + j)


_NODES = 9
"""Along an edge of a box, places are computed exactly at so many points and interpolated between:
over 80 km that is wrong by 2 m, a hundredth of a pixel."""


def _nodes(box: Bounds, crs: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Easting and northing of a box's nodes; row 0 is north."""
    west, south, east, north = box
    across, down = np.meshgrid(np.linspace(west, east, _NODES), np.linspace(north, south, _NODES))
    easting_m, northing_m = _to(crs).transform(across, down)
    return easting_m, northing_m


def _spread(
    nodes: npt.NDArray[np.float64], shape: tuple[int, int], last: int
) -> npt.NDArray[np.int32]:
    """Whole numbers at a box's pixels, from values at its nodes, within 0..last."""
    down, across = (_hats(size) for size in shape)
    values = down @ nodes @ across.T
    np.clip(values, 0, last, out=values)
    return values.astype(np.int32)


def _hats(size: int) -> npt.NDArray[np.float64]:
    """Hat functions of the nodes at the pixels' centres, [size, nodes]."""
    at = (np.arange(size) + 0.5) / size * (_NODES - 1)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(_NODES)))


@lru_cache(maxsize=16)
def _to(crs: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs("EPSG:3857", crs, always_xy=True)


def _indices(
    values: npt.NDArray[np.float32], legend: Mapping[str, Any], threshold: float | None
) -> npt.NDArray[np.uint8]:
    """Number of each pixel's colour in `_palette`."""
    if legend["kind"] == "classes":
        wanted = np.full(values.shape, _NOTHING, np.uint8)
        for number, item in enumerate(legend["items"][: 255 - _FAINT]):
            wanted[values == item["value"]] = number + _FAINT + 1
        return wanted
    low, high = legend["range"]
    shade = (values - np.float32(low)) * np.float32(NUM_SHADES / (high - low))
    np.clip(shade, 0, NUM_SHADES - 1, out=shade)
    with np.errstate(invalid="ignore"):
        index = shade.astype(np.uint8) + np.uint8(_FAINT + 1)
    if threshold is not None:
        index[values < threshold] = _FAINT
    index[np.isnan(values)] = _NOTHING
    return index


@lru_cache(maxsize=64)
def _palette(legend: str) -> npt.NDArray[np.uint8]:
    """Colours of a legend, [number, 4]: nothing, faint, and then its own."""
    about = json.loads(legend)
    if about["kind"] == "classes":
        own = _rgb([item["color"] for item in about["items"][: 255 - _FAINT]])
    else:
        known = _rgb(about["colors"])
        at = (np.arange(NUM_SHADES) + 0.5) / NUM_SHADES * (len(known) - 1)
        own = np.column_stack([np.interp(at, np.arange(len(known)), c) for c in known.T])
    table = np.zeros((len(own) + _FAINT + 1, 4), np.uint8)
    table[_FAINT] = FAINT_RGBA
    table[_FAINT + 1 :, :3] = np.round(own)
    table[_FAINT + 1 :, 3] = 255
    return table


def _rgb(names: list[str]) -> npt.NDArray[np.float64]:
    return np.array([list(bytes.fromhex(name[1:7])) for name in names], float).reshape(-1, 3)


def _png(index: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    image = Image.fromarray(index, mode="P")
    image.putpalette(palette[:, :3].tobytes(), "RGB")
    body = io.BytesIO()
    image.save(body, "PNG", transparency=palette[:, 3].tobytes(), compress_level=1)
    return body.getvalue()


@lru_cache(maxsize=4)
def _empty(size: int) -> bytes:
    return _png(np.zeros((size, size), np.uint8), np.zeros((1, 4), np.uint8))
