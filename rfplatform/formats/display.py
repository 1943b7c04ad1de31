"""What is shown of a map on a screen: a GeoTIFF of its layers, and a JSON that explains them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.formats.classes import SERVER_COLORS
from rfplatform.formats.picture import OMNIDIRECTIONAL
from rfplatform.planning.layers import PlanningLayers
from rfplatform.planning.quality import ss_rsrp_dbm
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from rfplatform.radiomap import Grid, RadioMap

RASTER, ABOUT = "display.tif", "display.json"
SECTOR_BAND = "sector:"
OUTDOOR_BAND = "outdoor"

NUM_COLORS = 32
_TICK_EVERY = (1, 2, 4, 5, *(m * 10**n for n in range(1, 9) for m in (1, 2, 5)))
BLOCK_CELLS = 256
SMALL_CELLS = 512
"""Longest edge of a raster that needs neither overviews nor compression."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """How a layer of numbers is drawn.

    Attributes
    ----------
    colormap : str
        A perceptually uniform one, which the colour-blind tell apart, too.
    step : float
        Ends of the scale are multiples of it.
    bin : float
        Width of the histogram's bins.
    shown : float
        How many of the layer's units are one of the screen's.
    unit : str, optional
        In place of the layer's.
    threshold : float, optional
        From which on a cell counts as covered, at first.
    lowest : float, optional
        The scale begins there.
    ends : tuple of float, optional
        Of the scale, whatever the values: colours of one map then mean the same in the next.
    symmetric : bool
        About 0.
    """

    colormap: str = "viridis"
    step: float = 5.0
    bin: float = 1.0
    shown: float = 1.0
    unit: str | None = None
    threshold: float | None = None
    lowest: float | None = None
    ends: tuple[float, float] | None = None
    symmetric: bool = False


SCALES: Mapping[str, Scale] = {
    "ss_rsrp_dbm": Scale(threshold=-100.0, ends=(-125.0, -60.0)),
    "ss_rsrq_db": Scale("cividis", step=1.0, bin=0.5, threshold=-15.0),
    "ss_sinr_db": Scale("plasma", threshold=0.0, ends=(-10.0, 30.0)),
    "path_gain_db": Scale("viridis"),
    "rate_bps": Scale("cividis", 10.0, 5.0, 1e6, "Mbit/s", threshold=30.0, lowest=0.0),
    "dominance_db": Scale("cividis", threshold=6.0, lowest=0.0),
    "num_servers": Scale("plasma", 1.0, 1.0, lowest=0.0),
    "cqi": Scale("viridis", 1.0, 1.0, lowest=0.0),
    "serving_mean_delay_s": Scale("magma", 0.5, 0.1, 1e-6, "µs", lowest=0.0),
    "serving_delay_spread_s": Scale("magma", 0.1, 0.02, 1e-6, "µs", lowest=0.0),
    "standard_error_db": Scale("magma_r", 1.0, 0.25, ends=(0.0, 10.0)),
}

ORDER = (
    "ss_rsrp_dbm",
    "ss_sinr_db",
    "best_server",
    "path_gain_db",
    "rate_bps",
    "dominance_db",
    "num_servers",
    "cqi",
    "ss_rsrq_db",
    "serving_mean_delay_s",
    "serving_delay_spread_s",
    "standard_error_db",
    "los",
)
"""Layers as a screen lists them; a map has those that it has."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A layer that is shown.

    Attributes
    ----------
    name, title, unit, comment : str
    values : ndarray, [num_y, num_x], float32
        Row 0 is south; NaN where there is nothing. In the unit of the screen.
    scale : Scale or None
        None: classes.
    items : sequence of tuple
        Value, label and colour of every class.
    """

    name: str
    title: str
    unit: str
    comment: str
    values: Values
    scale: Scale | None = None
    items: Sequence[tuple[int, str, str]] = ()


def write_display(
    radio_map: RadioMap,
    planning: PlanningLayers,
    folder: Path,
    *,
    title: str = "",
    attribution: str = "",
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `RASTER` and, when that is whole, `ABOUT` into an existing folder.

    Parameters
    ----------
    radio_map : RadioMap
        In a frame on Earth.
    planning : PlanningLayers
        Of it.
    folder : Path
    title, attribution : str
        In place of those in the map's `attrs`.
    facts : mapping, optional
        More of them, as plain JSON values.

    Returns
    -------
    dict
        What `ABOUT` holds: the place, the sectors with their colours, the layers with legend,
        threshold and distribution over the outdoor cells, bands, and facts.
    """
    outdoor = radio_map.outdoor
    listed = _layers(radio_map, planning)
    rsrp_dbm = ss_rsrp_dbm(radio_map, planning.carriers)
    names = [
        *(layer.name for layer in listed),
        *(f"{SECTOR_BAND}{i}" for i in range(len(radio_map.sectors))),
        OUTDOOR_BAND,
    ]

    def bands() -> Iterator[Values]:
        for layer in listed:
            yield _outdoors(layer.values, outdoor)
        for level in rsrp_dbm:
            yield _outdoors(level, outdoor)
        yield outdoor.astype(np.float32)

    write_raster(folder / RASTER, radio_map.grid, names, bands())
    attrs = radio_map.attrs
    about = {
        "title": title or str(attrs.get("title", "Radio map")),
        "attribution": attribution or str(attrs.get("attribution", "")),
        "solver": str(attrs.get("solver", "")),
        **place_of(radio_map.grid),
        "sectors": _sectors(radio_map),
        "layers": [
            described(layer, number, outdoor) for number, layer in enumerate(listed, start=1)
        ],
        "sector_bands": [len(listed) + 1 + i for i in range(len(radio_map.sectors))],
        "outdoor_band": len(names),
        "facts": {**_facts(radio_map, planning), **(facts or {})},
    }
    write_about(about, folder)
    return about


def write_about(about: Mapping[str, Any], folder: Path) -> None:
    """Write `ABOUT`, which says that a display is whole."""
    text = json.dumps(about, ensure_ascii=False, allow_nan=False)
    (folder / ABOUT).write_text(text, encoding="utf-8")


def _layers(radio_map: RadioMap, planning: PlanningLayers) -> list[Shown]:
    server = planning.best_server
    found: dict[str, Shown] = {}
    for layer in planning.layers():
        if layer.name in SCALES:
            scale = SCALES[layer.name]
            unit = scale.unit or ("" if layer.units == "1" else layer.units)
            values = (layer.values / np.float32(scale.shown)).astype(np.float32)
            title = layer.title[:1].upper() + layer.title[1:]
            found[layer.name] = Shown(layer.name, title, unit, layer.comment, values, scale)
    servers = np.where(server < 0, np.nan, server).astype(np.float32)
    items = [
        (i, sector.label, SERVER_COLORS[i % len(SERVER_COLORS)])
        for i, sector in enumerate(radio_map.sectors)
    ]
    found["best_server"] = Shown(
        "best_server", "Best server", "", "the sector with the highest SS-RSRP", servers,
        items=items,
    )  # fmt: skip
    found["path_gain_db"] = Shown(
        "path_gain_db", "Path gain", "dB", "of the best server, its antenna's gain included",
        _served(radio_map.path_gain_db, server), SCALES["path_gain_db"],
    )  # fmt: skip
    if radio_map.standard_error_db is not None:
        found["standard_error_db"] = Shown(
            "standard_error_db", "Standard error", "dB",
            "one standard deviation of the solver's own error, of the best server",
            _served(radio_map.standard_error_db, server), SCALES["standard_error_db"],
        )  # fmt: skip
    if radio_map.los is not None:
        found["los"] = Shown(
            "los", "Line of sight", "", "whether the best server sees the cell",
            _served(radio_map.los.astype(np.float32), server),
            items=[(0, "not in sight", "#7a5195"), (1, "in sight", "#ffa600")],
        )  # fmt: skip
    return [found[name] for name in ORDER if name in found]


def _served(layers: FloatArray, server: npt.NDArray[np.int16]) -> Values:
    values = np.take_along_axis(layers, np.maximum(server, 0)[None].astype(np.intp), axis=0)[0]
    return np.where((server < 0) | ~np.isfinite(values), np.nan, values).astype(np.float32)


def _outdoors(values: FloatArray, outdoor: npt.NDArray[np.bool_]) -> Values:
    return np.where(outdoor & np.isfinite(values), values, np.nan).astype(np.float32)


def write_raster(path: Path, grid: Grid, names: Sequence[str], bands: Iterator[Values]) -> None:
    """Write bands one by one as a GeoTIFF that is quick to write and to read in part.

    Parameters
    ----------
    path : Path
    grid : Grid
    names : sequence of str
        Of the bands.
    bands : iterator of ndarray, [num_y, num_x]
        Row 0 is south.
    """
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import from_origin

    frame = grid.frame
    large = max(grid.shape) > SMALL_CELLS
    blocks = {"tiled": True, "blockxsize": BLOCK_CELLS, "blockysize": BLOCK_CELLS}
    packed = {**blocks, "compress": "zstd", "zstd_level": 1, "predictor": 3} if large else {}
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": len(names),
        "height": grid.num_y,
        "width": grid.num_x,
        "crs": frame.on_earth(),
        "transform": from_origin(
            grid.west_m + frame.origin_easting_m,
            grid.north_m + frame.origin_northing_m,
            grid.resolution_m,
            grid.resolution_m,
        ),
        "nodata": np.nan,
        "interleave": "band",
        "bigtiff": "if_safer",
        **packed,
    }
    with rasterio.Env(GDAL_NUM_THREADS="2"):
        with rasterio.open(path, "w", **profile) as raster:
            for number, values in enumerate(bands, start=1):
                raster.write(values[::-1], number)
            raster.descriptions = tuple(names)
        if large:
            steps = [2**n for n in range(1, 12) if max(grid.shape) / 2 ** (n - 1) > BLOCK_CELLS]
            with rasterio.open(path, "r+") as raster:
                # A mean of decibels is the level of nothing: overviews keep cells as they are.
                raster.build_overviews(steps, Resampling.nearest)


def place_of(grid: Grid) -> dict[str, Any]:
    """Where a grid lies, in degrees and metres."""
    # An edge is no parallel and no meridian: between its corners it bulges.
    x, y = np.linspace([grid.west_m, grid.south_m], [grid.east_m, grid.north_m], 33).T
    edges_x = [x, x, np.full_like(y, x[0]), np.full_like(y, x[-1])]
    edges_y = [np.full_like(x, y[0]), np.full_like(x, y[-1]), y, y]
    lon, lat = grid.frame.to_lonlat(edges_x, edges_y)
    return {
        "bounds": [round(float(edge), 7) for edge in (lon.min(), lat.min(), lon.max(), lat.max())],
        "crs": grid.frame.on_earth(),
        "resolution_m": grid.resolution_m,
        "num_x": grid.num_x,
        "num_y": grid.num_y,
        "receiver_height_m": grid.receiver_height_m,
    }


def _sectors(radio_map: RadioMap) -> list[dict[str, Any]]:
    sectors, frame = radio_map.sectors, radio_map.grid.frame
    x, y = np.array([s.x_m for s in sectors]), np.array([s.y_m for s in sectors])
    lon, lat = frame.to_lonlat(x, y)
    turn_deg = frame.true_north_deg(x, y)
    return [
        {
            "site": s.site,
            "sector": s.name,
            "label": s.label,
            "lon": round(float(lon[i]), 7),
            "lat": round(float(lat[i]), 7),
            "azimuth_deg": round(float((s.azimuth_deg - turn_deg[i]) % 360.0), 2),
            "downtilt_deg": s.downtilt_deg,
            "height_m": round(s.height_m, 2),
            "power_dbm": s.power_dbm,
            "frequency_hz": s.frequency_hz,
            "antenna": Path(s.antenna).name,
            "omnidirectional": s.antenna in OMNIDIRECTIONAL,
            "color": SERVER_COLORS[i % len(SERVER_COLORS)],
        }
        for i, s in enumerate(sectors)
    ]


def _facts(radio_map: RadioMap, planning: PlanningLayers) -> dict[str, Any]:
    outdoor, attrs = radio_map.outdoor, radio_map.attrs
    count = int(outdoor.sum())
    served = int((outdoor & (planning.best_server >= 0)).sum())
    known = ("noise_db", "stopped_by", "rays_traced_per_sector", "model", "method", "standard")
    return {
        "outdoor_km2": count * radio_map.grid.resolution_m**2 / 1e6,
        "served_share": served / count if count else None,
        "warnings": list(planning.notes),
        **{name: attrs[name] for name in known if attrs.get(name) is not None},
    }


def described(layer: Shown, band: int, outdoor: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A layer's entry: legend, threshold, distribution over the outdoor cells, median.

    Parameters
    ----------
    layer : Shown
    band : int
        Its number in the raster, from 1.
    outdoor : ndarray, [num_y, num_x], bool
    """
    known = layer.values[outdoor]
    known = known[np.isfinite(known)].astype(float)
    about = {"name": layer.name, "title": layer.title, "unit": layer.unit,
             "comment": layer.comment, "band": band}  # fmt: skip
    counted = {"outdoor_cells": int(outdoor.sum()), "cells_with_value": int(known.size)}
    if layer.scale is None:
        values = [value for value, *_ in layer.items]
        counts = [int((known == value).sum()) for value in values]
        return {
            **about,
            "legend": {
                "kind": "classes",
                "items": [{"value": v, "label": t, "color": c} for v, t, c in layer.items],
            },
            "threshold": None,
            "distribution": {"edges": values, "counts": counts, **counted},
            "median": None,
        }
    legend = _legend(layer.scale, known)
    edges, counts_ = _histogram(known, layer.scale.bin)
    return {
        **about,
        "legend": legend,
        "threshold": _threshold(layer.scale, legend["range"]),
        "distribution": {"edges": edges, "counts": counts_, **counted},
        "median": round(float(np.median(known)), 3) if known.size else None,
    }


def _legend(scale: Scale, known: FloatArray) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    low, high = np.percentile(known, [1, 99]) if known.size else (0.0, scale.step)
    step = scale.step
    low, high = step * float(np.floor(low / step)), step * float(np.ceil(high / step))
    if scale.ends is not None:
        low, high = scale.ends
    elif scale.symmetric:
        high = max(abs(low), abs(high), 2 * step)
        low = -high
    elif scale.lowest is not None:
        low = scale.lowest
    # A few units stretched over all colours would show noise as if it were structure.
    high = max(high, low + 4 * step)
    every = next(m for m in _TICK_EVERY if (high - low) / (m * step) <= 6)
    first = np.ceil(low / (every * step)) * every * step
    ticks = np.arange(first, high + 0.01 * step, every * step)
    colors = colormaps[scale.colormap](np.linspace(0.0, 1.0, NUM_COLORS))
    return {
        "kind": "scale",
        # Plus 0: else a scale may show -0.
        "range": [round(low, 6) + 0.0, round(high, 6) + 0.0],
        "colors": [to_hex(color) for color in colors],
        "ticks": [round(float(tick), 6) + 0.0 for tick in ticks],
    }


def _histogram(known: FloatArray, width: float) -> tuple[list[float], list[int]]:
    if not known.size:
        return [0.0, width], [0]
    first, last = int(np.floor(known.min() / width)), int(np.floor(known.max() / width)) + 1
    number = np.floor(known / width).astype(np.int64) - first
    counts = np.bincount(number, minlength=last - first)
    edges = np.round(np.arange(first, last + 1) * width, 6)
    return edges.tolist(), counts.tolist()


def _threshold(scale: Scale, within: Sequence[float]) -> dict[str, float] | None:
    if scale.threshold is None:
        return None
    low, high = min(within[0], scale.threshold), max(within[1], scale.threshold)
    return {"min": low, "max": high, "step": scale.bin, "value": scale.threshold}


def share_at_least(layer: Mapping[str, Any], threshold: float) -> float:
    """The share of the outdoor cells at or above a threshold, from a layer's distribution.

    Parameters
    ----------
    layer : mapping
        Of `ABOUT`.
    threshold : float
        A bin's edge; between two, the upper one counts.
    """
    found = layer["distribution"]
    edges = np.asarray(found["edges"][:-1], float)
    counts = np.asarray(found["counts"], float)
    covered = counts[edges >= threshold - 1e-6].sum()
    return float(covered / found["outdoor_cells"]) if found["outdoor_cells"] else 0.0
