"""A Blender file and a radio map to a picture: the city with the map over its ground."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.scene import Report
from rfplatform.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from rfplatform.blender.render import Drape, Mast
    from rfplatform.radiomap import RadioMap, Sector

STORE = "radio_map.zarr"
LAYER = "best_rss_dbm"
SHOWN_UNITS = {"s": (1e9, "ns"), "bit s-1": (1e-6, "Mbit/s"), "bit/s": (1e-6, "Mbit/s")}
"""Units that people read in others, with the factor."""


@dataclass(frozen=True)
class Config:
    """What to show, and where to write it.

    Attributes
    ----------
    blend : Path
        A ``.blend`` file.
    radio_map : Path
        What ``rfplatform map`` wrote: its directory, or the ``radio_map.zarr`` in it.
    layer : str
        A raster of the map: "best_rss_dbm", "sinr_db", ...
    out : Path, optional
        The PNG file; by default the Blender file's name with ``.png``.
    size : str
        Width and height in pixels, "1600x1000".
    samples : int
        Rays a pixel.
    overwrite : bool
        Replace an earlier picture.
    """

    blend: Path
    radio_map: Path
    layer: str = LAYER
    out: Path | None = None
    size: str = "1600x1000"
    samples: int = 24
    overwrite: bool = False


def main(config: Config, *, report: Report | None = None) -> dict[str, Any]:
    """Render the picture.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        "out", "area", "attribution", "layer", "name", "unit", "size", "seconds", "warnings" ...;
        plain JSON values.

    Raises
    ------
    InputError
        Anything wrong with what was asked for; then nothing is written.
    MissingError
        Blender's Python module is not installed.
    """
    from rfplatform.blender.process import require_blender
    from rfplatform.blender.render import render_scene, require_size
    from rfplatform.staging import require_free

    tell = report or (lambda _: None)
    started = time.perf_counter()
    size = parse_size(config.size)
    require_size(size)
    if not 1 <= config.samples <= 4096:
        raise InputError(f"samples {config.samples}: must lie in 1..4096")
    out = config.out or config.blend.with_suffix(".png")
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the picture is a PNG: give a name that ends in .png")
    if not config.blend.is_file():
        raise InputError(f"{config.blend}: no such file; `rfplatform scene AREA --blend` makes one")
    require_free(out, overwrite=config.overwrite)
    require_blender()
    tell("Reading the radio map")
    radio_map, layers = open_map(config.radio_map)
    drape = drape_of(radio_map, layers, config.layer, config.radio_map)
    tell("Rendering")
    shown = render_scene(
        config.blend,
        drape,
        out,
        attribution=str(layers.attrs.get("attribution", "")),
        size=size,
        samples=config.samples,
        overwrite=config.overwrite,
    )
    return {
        "out": str(out),
        "blend": str(config.blend),
        "radio_map": str(config.radio_map),
        "area": {"name": shown.title},
        "attribution": shown.attribution,
        "layer": config.layer,
        "name": drape.name,
        "unit": drape.unit,
        "size": list(size),
        "seconds": round(time.perf_counter() - started, 2),
        "warnings": []
        if np.isfinite(drape.values).any()
        else [f"{config.layer} has no value anywhere: the ground is bare"],
    }


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of "1600x1000"."""
    found = re.fullmatch(r"\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*", text)
    if found is None:
        raise InputError(f'size "{text}": give WIDTHxHEIGHT in pixels, such as 1600x1000')
    return int(found[1]), int(found[2])


def open_map(path: Path) -> tuple[RadioMap, xr.Dataset]:
    """A radio map and all its layers, from its directory or its store."""
    import xarray as xr

    from rfplatform.formats.zarr import read_zarr

    store = path / STORE if (path / STORE).is_dir() else path
    if not (store / "zarr.json").is_file():
        raise InputError(
            f"{path}: no radio map there: give the directory that `rfplatform map` wrote (with "
            "zarr among its --formats)"
        )
    radio_map = read_zarr(store)
    with xr.open_zarr(store, consolidated=False, decode_coords="all") as stored:
        return radio_map, stored.load()


def drape_of(radio_map: RadioMap, layers: xr.Dataset, layer: str, source: Path) -> Drape:
    """A raster of levels with its place, its legend and the masts.

    Raises
    ------
    InputError
        If there is no such layer; those that there are are listed.
    """
    from rfplatform.blender.render import Drape

    known = [
        str(name)
        for name, variable in layers.data_vars.items()
        if variable.dims == ("y", "x") and variable.dtype.kind == "f"
    ]
    if layer not in known:
        listed = ", ".join(known) or "none"
        raise InputError(f'{source}: no layer "{layer}" to show (there is: {listed})')
    grid, found = radio_map.grid, layers[layer]
    unit = str(found.attrs.get("units", ""))
    scale, unit = SHOWN_UNITS.get(unit, (1.0, unit))
    values = found.to_numpy().astype(float) * scale
    name = str(found.attrs.get("long_name", layer))
    return Drape(
        values=np.where(radio_map.outdoor & np.isfinite(values), values, np.nan),
        west_m=grid.west_m,
        south_m=grid.south_m,
        resolution_m=grid.resolution_m,
        frame=grid.frame,
        name=name[:1].upper() + name[1:],
        unit=unit,
        masts=_masts(radio_map.sectors),
    )


def _masts(sectors: Sequence[Sector]) -> tuple[Mast, ...]:
    """One for each site, in the middle of its antennas."""
    from rfplatform.blender.render import Mast
    from rfplatform.formats.picture import OMNIDIRECTIONAL

    sites: dict[str, list[Sector]] = {}
    for sector in sectors:
        sites.setdefault(sector.site, []).append(sector)
    return tuple(
        Mast(
            site,
            float(np.mean([s.x_m for s in group])),
            float(np.mean([s.y_m for s in group])),
            max(s.z_m for s in group),
            max(s.height_m for s in group),
            tuple(dict.fromkeys(s.azimuth_deg for s in group if s.antenna not in OMNIDIRECTIONAL)),
        )
        for site, group in sites.items()
    )
