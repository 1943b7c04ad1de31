"""An area on Earth to a scene on disk: Mitsuba XML with PLY meshes, buildings and their heights."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rfplatform import __version__, libllvm
from rfplatform.errors import InputError, MissingError
from rfplatform.formats.staging import require_free, staged
from rfplatform.geodata.load import load_scene, source_name, source_path
from rfplatform.geodata.place import Source, parse_area, parse_bbox
from rfplatform.geodata.terrain import DEFAULT_RESOLUTION_M, on_terrain
from rfplatform.radiomap import Grid
from rfplatform.scene import Scene
from rfplatform.terrain import Terrain

Report = Callable[[str], None]
"""Told in a few words what is done next."""

SCENE_FILES = frozenset(
    {
        "scene.xml",
        "shells.xml",
        "meshes",
        "buildings.parquet",
        "building_heights.tif",
        "terrain.tif",
    }
)
RECORD = "scene.json"
RESOLUTION_RANGE_M = (0.01, 1000.0)

BYTES_PER_HEIGHT_CELL = 24
"""Of working memory for the raster of heights, with the copies that writing it takes."""

_PACKAGES = ("sionna-rt", "mitsuba", "drjit", "numpy")


@dataclass(frozen=True)
class Config:
    """What scene to make, and where to write it.

    Attributes
    ----------
    area : str
        A built-in extract, a file, ``W,S,E,N`` or a place name.
    bbox : str, optional
        ``W,S,E,N`` to keep of it.
    terrain : Path, optional
        An elevation model for the ground, see `rfplatform.geodata.terrain.load_terrain`.
    terrain_resolution_m : float
        Distance between the nodes of the ground.
    resolution_m : float
        Of the raster of building heights.
    out : Path, optional
        The directory to write; by default ``out/`` and the area's name and "-scene".
    overwrite : bool
        Replace an earlier output.
    """

    area: str
    bbox: str | None = None
    terrain: Path | None = None
    terrain_resolution_m: float = DEFAULT_RESOLUTION_M
    resolution_m: float = 1.0
    out: Path | None = None
    overwrite: bool = False


def main(config: Config, *, report: Report | None = None) -> dict[str, Any]:
    """Write ``scene.xml``, ``shells.xml``, ``meshes/``, buildings, heights and ``scene.json``.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        What ``scene.json`` holds, and "out".

    Raises
    ------
    InputError
        Anything wrong with what was asked for; then nothing is written.
    MissingError
        The network is needed and does not answer.
    """
    tell = report or _silent
    started = time.perf_counter()
    require_resolution(config.resolution_m)
    source = parse_area(config.area)
    bbox = parse_bbox(config.bbox) if config.bbox is not None else None
    out = config.out or Path("out") / f"{slug(source_name(source))}-scene"
    require_output(
        out,
        overwrite=config.overwrite,
        own=SCENE_FILES | {RECORD},
        inputs=[source_path(source), config.terrain],
    )
    tell("Reading the buildings")
    scene = load_scene(source, bbox)
    scene = on_terrain(scene, config.terrain, config.terrain_resolution_m)
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, config.resolution_m)
    require_memory(grid, BYTES_PER_HEIGHT_CELL)
    scene_s = time.perf_counter() - started
    tell("Writing the scene")
    written = time.perf_counter()
    with staged(out, config.overwrite) as partial:
        partial.mkdir()
        write_scene_files(scene, grid, partial)
        record = {
            **describe(scene),
            "input": describe_input(source),
            "terrain_input": describe_file(config.terrain),
            "warnings": scene_warnings(scene),
            "options": plain(asdict(config)),
            "versions": versions(),
            "stages_s": {
                "scene": round(scene_s, 2),
                "outputs": round(time.perf_counter() - written, 2),
            },
            "outputs": sorted([*(p.name for p in partial.iterdir()), RECORD]),
        }
        write_json(record, partial / RECORD)
    return {**record, "out": str(out)}


def write_scene_files(scene: Scene, grid: Grid, directory: Path) -> None:
    """Write `SCENE_FILES` into an existing directory; the grid is that of the heights."""
    from rfplatform.formats.buildings import (
        write_buildings_parquet,
        write_height_geotiff,
        write_terrain_geotiff,
    )
    from rfplatform.formats.mitsuba import write_scene

    write_scene(scene, directory)
    write_buildings_parquet(scene, directory / "buildings.parquet")
    write_height_geotiff(scene, grid, directory / "building_heights.tif")
    if scene.terrain is not None:
        write_terrain_geotiff(scene, grid, directory / "terrain.tif")


def describe(scene: Scene) -> dict[str, Any]:
    """Where a scene lies and what stands in it, as plain JSON values."""
    west, south, east, north = scene.area.bounds_m(scene.frame)
    return {
        "area": {
            "name": scene.area.name,
            "bounds_deg": list(scene.area.bounds_deg),
            "width_m": round(east - west, 1),
            "height_m": round(north - south, 1),
        },
        "crs": scene.frame.crs,
        "origin": {
            "easting_m": scene.frame.origin_easting_m,
            "northing_m": scene.frame.origin_northing_m,
        },
        "buildings": {
            "count": len(scene.buildings),
            "height_sources": scene.height_sources(),
            "materials": dict(sorted(Counter(b.material for b in scene.buildings).items())),
            "events": dict(scene.counts),
        },
        "ground_material": scene.ground_material,
        "terrain": describe_terrain(scene.terrain),
        "attribution": scene.attribution,
    }


def describe_terrain(terrain: Terrain | None) -> dict[str, Any] | None:
    """Where the ground's heights come from and how true they are; None: it is flat."""
    if terrain is None:
        return None
    return {
        "source": terrain.source,
        "resolution_m": terrain.resolution_m,
        "lowest_m": round(float(terrain.heights_m.min()), 2),
        "highest_m": round(float(terrain.heights_m.max()), 2),
        "max_error_m": round(terrain.max_error_m, 2),
        "voids_filled": terrain.num_voids,
    }


def scene_warnings(scene: Scene) -> list[str]:
    """What a reader of the results must know about a scene."""
    if scene.buildings:
        return []
    return [f"{scene.area.name} holds no buildings: the ground is empty"]


def describe_file(path: Path | None) -> dict[str, str] | None:
    """An input file and its SHA-256."""
    return None if path is None else {"path": str(path), "sha256": sha256(path)}


def describe_input(source: Source) -> dict[str, str] | None:
    """The file that a scene was read from and its SHA-256; None for the network."""
    return describe_file(source_path(source))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str | None]:
    """What the results depend on; None for what is not there."""
    found: dict[str, str | None] = {
        "rfplatform": __version__,
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    try:
        version = libllvm.find().version
        found["libllvm"] = ".".join(map(str, version)) if version else None
    except MissingError:
        found["libllvm"] = None
    return found


def slug(name: str) -> str:
    """A name as a folder's: ASCII letters, digits and single hyphens, in lower case."""
    plain_text = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9.]+", "-", plain_text).strip("-.")[:80] or "area"


def require_resolution(resolution_m: float) -> None:
    """Refuse a cell size that is no positive number of a sensible size."""
    low, high = RESOLUTION_RANGE_M
    if not low <= resolution_m <= high:
        raise InputError(f"resolution {resolution_m:g} m: must lie in {low:g}..{high:g} m")


def require_output(
    out: Path, *, overwrite: bool, own: Collection[str], inputs: Iterable[Path | None]
) -> None:
    """Refuse a directory that can't be written, or whose replacement would lose something.

    Parameters
    ----------
    out : Path
    overwrite : bool
    own : collection of str
        Names that an earlier run left there, and side files of them ("radio_map.tif.aux.xml");
        with any other in it, the directory is not replaced.
    inputs : iterable of Path
        Files that the run reads; None is passed over.
    """
    require_free(out, overwrite=overwrite)
    parent = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not parent.is_dir():
        raise InputError(f"{out}: {parent} is a file: choose another --out")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{out}: {parent} can't be written to: choose another --out")
    place = out.resolve()
    for path in inputs:
        if path is not None and place in path.resolve().parents:
            raise InputError(f"{out}: holds the input {path}: choose another --out")
    if not out.is_dir():
        return
    foreign = sorted(
        entry.name
        for entry in out.iterdir()
        if entry.name not in own and not entry.name.startswith(tuple(f"{name}." for name in own))
    )
    if foreign:
        listed = ", ".join(foreign[:3]) + (" ..." if len(foreign) > 3 else "")
        raise InputError(
            f"{out}: holds {listed}, which --overwrite would delete: choose another --out"
        )


def require_memory(grid: Grid, bytes_per_cell: int) -> None:
    """Refuse a grid that the free memory can't hold, with the number and the limit."""
    import psutil

    cells = grid.num_x * grid.num_y
    needed, free = cells * bytes_per_cell, psutil.virtual_memory().available
    if needed <= free:
        return
    # Two digits, rounded up: what is advised must fit.
    coarser = grid.resolution_m * math.sqrt(needed / free)
    digit = 10.0 ** (math.floor(math.log10(coarser)) - 1)
    raise InputError(
        f"resolution {grid.resolution_m:g} m: {grid.num_x:,} x {grid.num_y:,} cells need "
        f"{gib(needed)} of memory and {gib(free)} is free: take --resolution "
        f"{math.ceil(coarser / digit) * digit:.3g} or coarser, or a smaller --bbox"
    )


def gib(count: float) -> str:
    """Bytes in GiB, for people."""
    return f"{count / 2**30:,.1f} GiB"


def plain(value: object) -> Any:  # noqa: ANN401  (JSON has no narrower type)
    """A value as JSON can hold it: paths and tuples become text and lists, NaN null."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case Path():
            return str(value)
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def write_json(record: dict[str, Any], path: Path) -> None:
    """Write a record for people and programs."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _silent(_: str) -> None:
    """Report to nobody."""
