"""An area on Earth to a scene on disk: Mitsuba XML with PLY meshes, buildings and their heights."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rfplatform import __version__, libllvm
from rfplatform.errors import InputError, MissingError
from rfplatform.frame import LOCAL, LOCAL_METRES, Frame
from rfplatform.geodata.load import load_scene, source_name, source_path
from rfplatform.geodata.place import (
    BlendFile,
    SceneFile,
    Source,
    parse_area,
    parse_bbox,
    parse_box_m,
    parse_origin,
)
from rfplatform.geodata.terrain import DEFAULT_RESOLUTION_M, on_terrain
from rfplatform.propagation.survey import Survey, surveyed_scene
from rfplatform.radiomap import Grid
from rfplatform.scene import Area, LocalArea, Scene
from rfplatform.staging import require_free, staged
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
        A built-in extract, a file, ``W,S,E,N``, a place name or a scene made elsewhere.
    bbox : str, optional
        ``W,S,E,N`` to keep of it; in local metres for a scene without an origin.
    origin : str, optional
        ``LON,LAT`` of the (0, 0) of a scene made elsewhere, whose y axis then is grid north.
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
    blend : Path, optional
        A Blender file to write, too.
    """

    area: str
    bbox: str | None = None
    origin: str | None = None
    terrain: Path | None = None
    terrain_resolution_m: float = DEFAULT_RESOLUTION_M
    resolution_m: float = 1.0
    out: Path | None = None
    overwrite: bool = False
    blend: Path | None = None


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
    if isinstance(source, BlendFile):
        raise InputError(f"{source.path}: is a scene already; `rfplatform map` takes it as it is")
    bbox, frame = parse_where(source, config.bbox, config.origin)
    out = config.out or Path("out") / f"{slug(source_name(source))}-scene"
    require_output(
        out,
        overwrite=config.overwrite,
        own=SCENE_FILES | {RECORD} | _names_inside(config.blend, out),
        inputs=[source_path(source), config.terrain],
    )
    if config.blend is not None:
        require_blend(config.blend, overwrite=config.overwrite)
    tell("Reading the buildings")
    scene, survey = open_scene(source, bbox, frame, config.terrain, config.terrain_resolution_m)
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, config.resolution_m)
    require_memory(grid, BYTES_PER_HEIGHT_CELL)
    scene_s = time.perf_counter() - started
    tell("Writing the scene")
    written = time.perf_counter()
    with staged(out, config.overwrite) as partial:
        partial.mkdir()
        write_scene_files(scene, grid, partial)
        outputs_s = {"outputs": round(time.perf_counter() - written, 2)}
        if config.blend is not None:
            tell("Writing the Blender file")
            outputs_s["blender"] = _write_blend(scene, config.blend, out, partial)
        record = {
            **describe(scene, survey),
            "input": describe_input(source),
            "terrain_input": describe_file(config.terrain),
            "warnings": scene_warnings(scene, survey),
            "options": plain(asdict(config)),
            "versions": versions(),
            "stages_s": {
                "scene": round(scene_s, 2),
                **outputs_s,
            },
            "outputs": sorted([*(p.name for p in partial.iterdir()), RECORD]),
        }
        write_json(record, partial / RECORD)
    return {**record, "out": str(out)}


def require_blend(path: Path, *, overwrite: bool) -> None:
    """Refuse a Blender file that can't be written, before any work is done."""
    from rfplatform.blender.process import require_blender

    if path.suffix.lower() != ".blend":
        raise InputError(f"{path}: a Blender file's name ends in .blend")
    require_free(path, overwrite=overwrite)
    require_blender()


def _names_inside(blend: Path | None, out: Path) -> set[str]:
    """The name of a Blender file that belongs into the output's directory."""
    return {blend.name} if blend is not None and blend.resolve().parent == out.resolve() else set()


def _write_blend(scene: Scene, path: Path, out: Path, partial: Path) -> float:
    """Write a Blender file; into the staged directory where it belongs there. Seconds taken."""
    from rfplatform.blender.write import write_blend

    started = time.perf_counter()
    write_blend(scene, partial / path.name if _names_inside(path, out) else path, overwrite=True)
    return round(time.perf_counter() - started, 2)


@contextmanager
def opened(area: str, default_material: str | None = None) -> Iterator[tuple[Source, list[str]]]:
    """What AREA is, and what to warn of; a Blender file lies exported meanwhile.

    Parameters
    ----------
    area : str
    default_material : str, optional
        For what has no radio material in a Blender file.
    """
    source = parse_area(area)
    if not isinstance(source, BlendFile):
        if default_material is not None:
            raise InputError("--default-material is for Blender files (.blend)")
        yield source, []
        return
    from rfplatform.blender.read import read_blend

    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        made = read_blend(source.path, folder, default_material)
        notes = []
        if made.num_defaulted:
            notes.append(f"{made.num_defaulted} objects took the material {default_material}")
        if made.num_hidden:
            notes.append(f"{made.num_hidden} hidden objects of the Blender file are left out")
        if not made.ground_ids:
            notes.append('the Blender file has no collection "Terrain": its ground was guessed')
        yield (
            SceneFile(
                made.xml,
                source.name,
                made.area_name,
                made.attribution,
                frame=None if made.frame.crs is None else made.frame,
                ground_ids=made.ground_ids or None,
                area=Area(made.area_name, *made.bounds_deg) if made.bounds_deg else None,
                original=source.path,
            ),
            notes,
        )


def parse_where(
    source: Source, bbox: str | None, origin: str | None
) -> tuple[Area | LocalArea | None, Frame]:
    """The box to keep and, of a scene made elsewhere, the frame that it lies in.

    Raises
    ------
    InputError
        Either can't be read, or an origin is given for an area that lies on Earth already.
    """
    if not isinstance(source, SceneFile):
        if origin is not None:
            raise InputError(
                f"origin {origin!r}: is for scenes made elsewhere (Mitsuba XML); "
                "this area lies on Earth already"
            )
        return (None if bbox is None else parse_bbox(bbox)), LOCAL
    if source.frame is not None:
        if origin is not None:
            raise InputError(f"origin {origin!r}: {source.title} says itself where it lies")
        return (None if bbox is None else parse_bbox(bbox)), source.frame
    if origin is None:
        return (None if bbox is None else parse_box_m(bbox)), LOCAL
    return (None if bbox is None else parse_bbox(bbox)), Frame.at(*parse_origin(origin))


def open_scene(
    source: Source,
    bbox: Area | LocalArea | None,
    frame: Frame,
    terrain: Path | None,
    terrain_resolution_m: float,
) -> tuple[Scene, Survey | None]:
    """Make the scene of a source, whatever it is; the survey is that of one made elsewhere.

    Parameters
    ----------
    source : Source
    bbox, frame : Area or LocalArea or None, Frame
        From `parse_where`.
    terrain, terrain_resolution_m : Path or None, float
        The elevation model, and the distance between the nodes of the ground.

    Raises
    ------
    InputError
        The source can't be used; or an elevation model is given for a scene made elsewhere,
        which has ground of its own.
    MissingError
        The network or the ray tracer is needed and does not answer.
    """
    if isinstance(source, SceneFile):
        if terrain is not None:
            raise InputError(f"{terrain}: {source.title} has ground of its own: omit --terrain")
        return surveyed_scene(
            source.path,
            name=source.title,
            attribution=source.attribution,
            frame=frame,
            ground_ids=source.ground_ids,
            area=bbox or source.area,
        )
    assert not isinstance(bbox, LocalArea)
    assert not isinstance(source, BlendFile)
    scene = load_scene(source, bbox)
    return on_terrain(scene, terrain, terrain_resolution_m), None


def write_scene_files(scene: Scene, grid: Grid, directory: Path) -> None:
    """Write `SCENE_FILES` into an existing directory; the grid is that of the heights.

    Of a scene made elsewhere only the heights: its XML stays where it is.
    """
    from rfplatform.formats.buildings import (
        write_buildings_parquet,
        write_height_geotiff,
        write_terrain_geotiff,
    )
    from rfplatform.formats.mitsuba import write_scene

    if scene.solids is None:
        write_scene(scene, directory)
        write_buildings_parquet(scene, directory / "buildings.parquet")
    write_height_geotiff(scene, grid, directory / "building_heights.tif")
    if scene.terrain is not None:
        write_terrain_geotiff(scene, grid, directory / "terrain.tif")


def describe(scene: Scene, survey: Survey | None = None) -> dict[str, Any]:
    """Where a scene lies and what stands in it, as plain JSON values."""
    west, south, east, north = scene.area.bounds_m(scene.frame)
    on_earth = scene.frame.crs is not None
    return {
        "area": {
            "name": scene.area.name,
            "bounds_deg": list(scene.area.bounds_deg) if isinstance(scene.area, Area) else None,
            "bounds_m": [round(bound, 3) for bound in (west, south, east, north)],
            "width_m": round(east - west, 1),
            "height_m": round(north - south, 1),
        },
        "crs": scene.frame.crs,
        "coordinates": "projected" if on_earth else LOCAL_METRES,
        "origin": {
            "easting_m": scene.frame.origin_easting_m,
            "northing_m": scene.frame.origin_northing_m,
        }
        if on_earth
        else None,
        "buildings": {
            "count": len(scene.buildings),
            "height_sources": scene.height_sources(),
            "materials": dict(sorted(Counter(b.material for b in scene.buildings).items())),
            "events": dict(scene.counts),
        },
        "ground_material": scene.ground_material,
        "terrain": describe_terrain(scene.terrain),
        "solids": None if survey is None else _describe_survey(survey),
        "attribution": scene.attribution,
    }


def _describe_survey(survey: Survey) -> dict[str, Any]:
    """What stands in a scene made elsewhere, and which of its shapes are the ground."""
    top_m = survey.solids.top_z_m
    standing = np.isfinite(top_m)
    return {
        "xml": str(survey.solids.xml),
        "sha256": sha256(survey.solids.xml),
        "shapes": survey.num_shapes,
        "triangles": survey.num_faces,
        "materials": dict(survey.materials),
        "ground_by": survey.ground_by,
        "ground_shapes": len(survey.ground),
        "ground_names": list(survey.ground[:20]),
        "resolution_m": round(survey.solids.resolution_m, 6),
        "covered": round(float(standing.mean()), 4),
        "highest_z_m": round(float(top_m[standing].max()), 2) if standing.any() else None,
        "cells_without_ground": survey.num_without_ground,
    }


def describe_terrain(terrain: Terrain | None) -> dict[str, Any] | None:
    """Where the ground's heights come from and how true they are; None: it is flat."""
    if terrain is None:
        return None
    return {
        "source": terrain.source,
        "resolution_m": terrain.resolution_m,
        "lowest_m": round(float(terrain.heights_m.min()), 2) + 0.0,  # no minus zero
        "highest_m": round(float(terrain.heights_m.max()), 2),
        "max_error_m": round(terrain.max_error_m, 2),
        "voids_filled": terrain.num_voids,
    }


def scene_warnings(scene: Scene, survey: Survey | None = None) -> list[str]:
    """What a reader of the results must know about a scene."""
    if survey is not None:
        return _survey_warnings(scene, survey)
    if scene.buildings:
        return []
    return [f"{scene.area.name} holds no buildings: the ground is empty"]


def _survey_warnings(scene: Scene, survey: Survey) -> list[str]:
    warnings = []
    if survey.ground_by == "nothing":
        warnings.append(
            f"{scene.area.name} has no shape that looks like ground: receivers stand on a level "
            "at the scene's lowest point, and nothing reflects there"
        )
    elif survey.ground_by == "shape":
        warnings.append(
            f"{scene.area.name}: no shape is named as ground; the widest flat one, "
            f"{survey.ground[0]!r}, is taken for it"
        )
    if survey.num_without_ground and survey.ground_by != "nothing":
        cells = survey.solids.top_z_m.size
        warnings.append(
            f"{survey.num_without_ground / cells:.1%} of the area has no ground below it: there "
            "receivers stand at the height of the nearest ground"
        )
    if not np.isfinite(survey.solids.top_z_m).any():
        warnings.append(f"{scene.area.name}: nothing stands above the ground")
    return warnings


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
