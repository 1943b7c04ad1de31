"""Displays of finished maps, what they tell at a point, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.calibrate import assumptions_of, read_map
from pipelines.desk.workspace import read_json_file
from rfplatform.errors import InputError
from rfplatform.formats.display import (
    ABOUT,
    OUTDOOR_BAND,
    RASTER,
    Scale,
    Shown,
    described,
    place_of,
    write_about,
    write_display,
    write_raster,
)
from rfplatform.frame import Frame
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid
from rfplatform.staging import staged

COVERED_DBM = -100.0
"""SS-RSRP from which on a cell counts as covered, for what a change gains and loses."""

_COMPARED = (
    ("ss_rsrp_dbm", "ss_rsrp_difference_db", "SS-RSRP difference"),
    ("ss_sinr_db", "ss_sinr_difference_db", "SS-SINR difference"),
)
_DIVERGING = Scale("RdBu", 2.0, 0.5, symmetric=True)
_CHANGES = (
    (0, "covered by neither", "#b8bec4"),
    (1, "covered by both", "#7d8ea3"),
    (2, "gained", "#2166ac"),
    (3, "lost", "#b2182b"),
)

Values = npt.NDArray[np.float32]


def display_of_output(out: Path, folder: Path) -> dict[str, Any]:
    """Make the display of what `rfplatform map` or `calibrate` wrote.

    Parameters
    ----------
    out : Path
        The output's directory, with its Zarr store.
    folder : Path
        The display's; it appears when it is whole.

    Raises
    ------
    InputError
        If there is no map, or one that lies nowhere on Earth.
    """
    radio_map, record = read_map(out)
    radio_map.grid.frame.on_earth()
    planning = planning_layers(radio_map, assumptions_of(record))
    with staged(folder, overwrite=True) as partial:
        partial.mkdir()
        return write_display(
            radio_map, planning, partial, facts={"warnings": [str(w) for w in record["warnings"]]}
        )


def read_display(folder: Path) -> dict[str, Any] | None:
    """What a display holds; None where there is none."""
    return read_json_file(folder / ABOUT)


def required_display(folder: Path) -> dict[str, Any]:
    """What a display holds.

    Raises
    ------
    InputError
        If there is none.
    """
    about = read_display(folder)
    if about is None:
        raise InputError("there is no such map; make it again")
    return about


def levels_at(folder: Path, lon_deg: float, lat_deg: float) -> dict[str, Any]:
    """What a map tells at a point.

    Parameters
    ----------
    folder : Path
        The map's display.
    lon_deg, lat_deg : float

    Returns
    -------
    dict
        "inside" the map; "outdoor"; "values" of the layers by name; "sectors" with "label" and
        "rsrp_dbm", the strongest first; "server", the label of the best. What is missing is None.

    Raises
    ------
    InputError
        If there is no such display.
    """
    import rasterio

    about = required_display(folder)
    x, y = Frame(about["crs"], 0.0, 0.0).from_lonlat([lon_deg], [lat_deg])
    nothing: dict[str, Any] = {
        "inside": False, "outdoor": False, "values": {}, "sectors": [], "server": None,
    }  # fmt: skip
    if not (np.isfinite(x[0]) and np.isfinite(y[0])):
        return nothing  # Half a world from its zone, a projection has no places.
    with rasterio.open(folder / RASTER) as raster:
        row, column = raster.index(float(x[0]), float(y[0]))
        if not (0 <= row < raster.height and 0 <= column < raster.width):
            return nothing
        found = raster.read(window=((row, row + 1), (column, column + 1)))[:, 0, 0]

    def value(band: int) -> float | None:
        level = float(found[band - 1])
        return level if np.isfinite(level) else None

    sectors = [
        {"label": sector["label"], "rsrp_dbm": value(band)}
        for sector, band in zip(about["sectors"], about["sector_bands"], strict=False)
    ]
    sectors.sort(key=lambda s: -np.inf if s["rsrp_dbm"] is None else s["rsrp_dbm"], reverse=True)
    values = {layer["name"]: value(layer["band"]) for layer in about["layers"]}
    server = values.get("best_server")
    return {
        "inside": True,
        "outdoor": bool(found[about["outdoor_band"] - 1]),
        "values": values,
        "sectors": sectors,
        "server": None if server is None else about["sectors"][int(server)]["label"],
    }


def difference(
    first: Path,
    second: Path,
    folder: Path,
    *,
    titles: tuple[str, str] = ("first", "second"),
    covered_dbm: float = COVERED_DBM,
) -> dict[str, Any]:
    """Make the display of one map less another.

    Parameters
    ----------
    first, second : Path
        Displays. The result is the second less the first, on the first's grid; the second is
        taken there by its nearest cells.
    folder : Path
        The result's; it appears when it is whole.
    titles : tuple of str
        What the two are called.
    covered_dbm : float
        SS-RSRP from which on a cell counts as covered.

    Raises
    ------
    InputError
        If the maps have no outdoor cell in common.
    """
    a, b = required_display(first), required_display(second)
    grid = _grid_of(first, a)
    before, after = _bands(first, a, None), _bands(second, b, first)
    outdoor = (before[OUTDOOR_BAND] > 0) & (after[OUTDOOR_BAND] > 0)
    if not outdoor.any():
        raise InputError(f"{titles[0]} and {titles[1]} have no place in common")
    layers = [
        Shown(
            name, title, "dB", f"{titles[1]} less {titles[0]}", after[of] - before[of], _DIVERGING
        )
        for of, name, title in _COMPARED
    ]
    rsrp_before, rsrp_after = before["ss_rsrp_dbm"], after["ss_rsrp_dbm"]
    was, becomes = rsrp_before >= covered_dbm, rsrp_after >= covered_dbm  # NaN is not covered.
    change = np.select([was & becomes, becomes, was], [1, 2, 3], 0).astype(np.float32)
    comment = f"from {covered_dbm:g} dBm SS-RSRP on"
    layers.append(Shown("coverage_change", "Coverage change", "", comment, change, items=_CHANGES))
    count = int(outdoor.sum())
    facts = {
        "outdoor_km2": count * grid.resolution_m**2 / 1e6,
        "gained_share": float((outdoor & (change == 2)).sum() / count),
        "lost_share": float((outdoor & (change == 3)).sum() / count),
        **_spread(layers[0].values[outdoor]),
    }
    about = {
        "title": f"{titles[1]} less {titles[0]}",
        "attribution": a["attribution"],
        "solver": "",
        **place_of(grid),
        "sectors": b["sectors"],
        "layers": [described(layer, n, outdoor) for n, layer in enumerate(layers, start=1)],
        "sector_bands": [],
        "outdoor_band": len(layers) + 1,
        "facts": facts,
    }
    with staged(folder, overwrite=True) as partial:
        partial.mkdir()
        bands = [np.where(outdoor, layer.values, np.nan).astype(np.float32) for layer in layers]
        names = [*(layer.name for layer in layers), OUTDOOR_BAND]
        write_raster(partial / RASTER, grid, names, iter([*bands, outdoor.astype(np.float32)]))
        write_about(about, partial)
    return about


def _spread(values: Values) -> dict[str, Any]:
    """How much two maps differ, over the cells that both reach."""
    known = values[np.isfinite(values)].astype(float)
    if not known.size:
        return {"cells_compared": 0}
    low, middle, high = np.percentile(known, [5, 50, 95])
    return {
        "cells_compared": int(known.size),
        "median_db": round(float(middle), 3),
        "mean_db": round(float(known.mean()), 3),
        "rmse_db": round(float(np.sqrt(np.mean(known**2))), 3),
        "percentile_5_db": round(float(low), 3),
        "percentile_95_db": round(float(high), 3),
    }


def _grid_of(folder: Path, about: Mapping[str, Any]) -> Grid:
    import rasterio

    with rasterio.open(folder / RASTER) as raster:
        west, north = raster.transform.c, raster.transform.f
        resolution_m = about["resolution_m"]
        return Grid(
            Frame(about["crs"], 0.0, 0.0),
            west,
            north - raster.height * resolution_m,
            resolution_m,
            raster.width,
            raster.height,
            about["receiver_height_m"],
        )


def _bands(folder: Path, about: Mapping[str, Any], onto: Path | None) -> dict[str, Values]:
    """What is compared, [num_y, num_x] with row 0 south, on another display's grid if given."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    wanted = {layer["name"]: layer["band"] for layer in about["layers"]}
    missing = [of for of, *_ in _COMPARED if of not in wanted]
    if missing:
        raise InputError(f"{about['title']}: has no {missing[0]} to compare")
    bands = {of: wanted[of] for of, *_ in _COMPARED} | {OUTDOOR_BAND: about["outdoor_band"]}
    with rasterio.open(folder / RASTER) as raster:
        if onto is None:
            return {name: raster.read(band)[::-1] for name, band in bands.items()}
        with rasterio.open(onto / RASTER) as target:
            values = np.full((len(bands), *target.shape), np.nan, np.float32)
            reproject(
                rasterio.band(raster, list(bands.values())),
                values,
                src_nodata=np.nan,
                dst_nodata=np.nan,
                dst_crs=target.crs,
                dst_transform=target.transform,
                resampling=Resampling.nearest,
            )
    return dict(zip(bands, values[:, ::-1], strict=True))
