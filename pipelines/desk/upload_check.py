"""The check of an uploaded file, in a process of its own that may take and do little.

``python -m pipelines.desk.upload_check KIND PATH`` writes one line of JSON: a "summary", or an
"error" in words. Standard input tells the limits and what else is uploaded.

Summaries, by kind:

- area: "num_buildings", "bounds" (west, south, east, north in degrees), "area_km2", "attribution",
  "needs_box" (it is too large to be mapped whole), "tagged_heights_share" and "heights" (how many
  buildings, by where their height is from), both None where it needs a box
- sites: "rows" (fields of `SiteRow`), "num_sites", "num_sectors", "bounds"
- measurements: "columns", "mapping", "missing" (fields of `Columns` that no column was found for),
  "first_rows" (texts), "rows"; and, if nothing is missing, "accepted", "rejected", "reasons",
  "bounds", "cells" (the 50 most frequent, with their readings), "num_cells", "rsrp_dbm" (lowest
  and highest)
- antenna: what `pipelines.antenna.described` tells, its cuts every 2 degrees
- terrain: "bounds", "crs", "width", "height", "resolution" (x and y, "resolution_unit"),
  "height_range_m"
- jobs: "num_jobs", "names" (the first 100), "areas" and "solvers" (how many jobs each), "num_tiled"
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pipelines.desk.workspace import UPLOADED, finite
from rfplatform.errors import InputError

LARGEST_KM2 = 400.0
"""What is larger is mapped in parts."""

CUT_STEP_DEG = 2
MOST_CELLS = 50
MOST_NAMES = 100
FIRST_ROWS = 5
MOST_FAULTS = 3

_TERRAIN_FILE_BYTES = 80_000_000
_PREVIEW_PIXELS = 512
_MARKERS = (b"<OGRVRTDataSource", b"<VRTDataset", b"<GDALTileIndexDataset", b"gdal_streamed_alg")
_MARKED_BYTES = 1 << 20
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TILE = re.compile(r"[NS]\d{2}[EW]\d{3}", re.IGNORECASE)
_TILE_BYTES = {2 * 1201 * 1201, 2 * 3601 * 3601, 2 * 1801 * 3601}
_BOX = re.compile(r"[-+0-9.eE]+(\s*,\s*[-+0-9.eE]+){3}")
_WGS84_KM_PER_DEG = 111.32


@dataclass(frozen=True)
class Known:
    """What the parent process tells.

    Attributes
    ----------
    original : str
        The user's name of the file.
    uploads : tuple of mapping
        "name", "kind" and "original" of what is uploaded already.
    """

    original: str
    uploads: tuple[Mapping[str, str], ...] = ()

    def names(self, kind: str) -> set[str]:
        """Stored names of a kind."""
        return {upload["name"] for upload in self.uploads if upload["kind"] == kind}


def main(arguments: Sequence[str]) -> int:
    """Check KIND PATH, with a request on standard input.

    Parameters
    ----------
    arguments : sequence of str
    """
    kind, path = arguments
    request = json.loads((not sys.stdin.isatty() and sys.stdin.read()) or "{}")
    _limit(kind, request.get("time_limit_s"), request.get("memory_limit_bytes"))
    known = Known(request.get("original", Path(path).name), tuple(request.get("uploads", ())))
    try:
        answer: dict[str, Any] = {"summary": CHECKS[kind](Path(path), known)}
    except InputError as error:
        answer = {"error": _worded(error)}
    sys.stdout.write(json.dumps(finite(answer), ensure_ascii=False) + "\n")
    return 0


def _worded(error: InputError) -> str:
    """One line, with the first of several faults."""
    text = str(error)
    lines = [line for line in getattr(error, "lines", ()) if line not in text]
    more = f"; and {len(lines) - MOST_FAULTS} more" if len(lines) > MOST_FAULTS else ""
    listed = f": {'; '.join(lines[:MOST_FAULTS])}{more}" if lines else ""
    return " ".join(f"{text}{listed}".split())


def _limit(kind: str, time_limit_s: float | None, memory_limit_bytes: int | None) -> None:
    """Take from this process what it won't need; nothing on systems that know no limits."""
    try:
        import resource
    except ImportError:
        return
    # A tile of SRTM alone is written, as GeoTIFF.
    file_bytes = _TERRAIN_FILE_BYTES if kind == "terrain" else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, memory_limit_bytes))
    if time_limit_s is not None:
        # Two cores for as long, as readers have threads.
        seconds = 2 * math.ceil(time_limit_s)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


# ----------------------------------------------------------------------------------------------
# Areas
# ----------------------------------------------------------------------------------------------


def _area(path: Path, known: Known) -> dict[str, Any]:
    del known
    from rfplatform.geodata.build import build_scene
    from rfplatform.geodata.footprints import read_footprint_file
    from rfplatform.geodata.osm import read_osm_file
    from rfplatform.geodata.place import FileSource, parse_area
    from rfplatform.scene import Area

    source = parse_area(str(path))
    if not isinstance(source, FileSource):
        raise InputError(f"{path}: not a file of buildings")
    if source.kind == "osm":
        footprints = read_osm_file(path)
    else:
        _require_self_contained(path)
        footprints = read_footprint_file(path)
    west, south, east, north = Area("", *footprints.bounds_deg).bounds_deg
    middle = math.radians((south + north) / 2)
    area_km2 = (east - west) * math.cos(middle) * (north - south) * _WGS84_KM_PER_DEG**2
    about = {
        "num_buildings": len(footprints.geometry),
        "bounds": [west, south, east, north],
        "area_km2": round(area_km2, 3),
        "attribution": footprints.attribution,
        "needs_box": area_km2 > LARGEST_KM2,
        "tagged_heights_share": None,
        "heights": None,
    }
    if about["needs_box"]:
        return about
    scene = build_scene(footprints, "")
    heights = scene.height_sources()
    tagged, count = heights.get("height", 0) + heights.get("levels", 0), len(scene.buildings)
    return {
        **about,
        "num_buildings": count,
        "tagged_heights_share": tagged / count if count else None,
        "heights": dict(heights),
    }


def _require_self_contained(path: Path) -> None:
    """Refuse what is not what its name says, and what makes its reader open anything else."""
    with path.open("rb") as file:
        start = file.read(_MARKED_BYTES)
    if path.suffix in (".parquet", ".geoparquet"):
        if not start.startswith(b"PAR1"):
            raise InputError(f"{path}: not a Parquet file")
        return
    if path.suffix == ".gpkg":
        _require_plain_geopackage(path, start)
        return
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"{"):
        raise InputError(f"{path}: not GeoJSON: it must begin with {{")
    if any(marker in start for marker in _MARKERS):
        raise InputError(f"{path}: names other files to read; give a GeoJSON file of polygons")
    _require_driver(path, "GeoJSON")


def _require_plain_geopackage(path: Path, start: bytes) -> None:
    import sqlite3
    from contextlib import closing

    if not start.startswith(b"SQLite format 3\0"):
        raise InputError(f"{path}: not a GeoPackage")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as base:
            schema = base.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path}: can't be read as a GeoPackage ({error})") from error
    # A view or a virtual table may call whatever the reader knows, files included.
    for kind, name, sql in schema:
        is_virtual = re.match(
            r"\s*CREATE\s+VIRTUAL\b(?!.*\bUSING\s+rtree\b)", sql or "", re.I | re.S
        )
        if kind == "view" or is_virtual:
            what = "view" if kind == "view" else "virtual table"
            raise InputError(f"{path}: holds a {what} ({name}); write it with plain tables alone")
    _require_driver(path, "GPKG")


def _require_driver(path: Path, driver: str) -> None:
    import pyogrio
    from pyogrio.errors import DataSourceError

    try:
        found = pyogrio.read_info(path)["driver"]
    except DataSourceError as error:
        raise InputError(f"{path}: can't be read as {driver} ({_first_line(error)})") from error
    if found != driver:
        raise InputError(f"{path}: is {found} inside; give {driver}")


# ----------------------------------------------------------------------------------------------
# Sites and antennas
# ----------------------------------------------------------------------------------------------


def _sites(path: Path, known: Known) -> dict[str, Any]:
    from rfplatform.antennas import NAMED
    from rfplatform.geodata.sites import read_sites

    rows = read_sites(path, known_antennas=NAMED, resolve_antenna=_antenna_names(known))
    if any(row.local_m is not None for row in rows):
        raise InputError(f"{path}: sites in local metres have no place on Earth; give lon and lat")
    lon, lat = [row.lon_deg for row in rows], [row.lat_deg for row in rows]
    left_out = ("row", "local_m")
    return {
        "rows": [{k: v for k, v in asdict(r).items() if k not in left_out} for r in rows],
        "num_sites": len({row.site for row in rows}),
        "num_sectors": len(rows),
        "bounds": [min(lon), min(lat), max(lon), max(lat)],
    }


def _antenna_names(known: Known) -> Callable[[str], str | None]:
    """What an antenna that is no plain name becomes; a file is never looked for."""
    from rfplatform.antennas import antenna, is_file

    patterns = [upload for upload in known.uploads if upload["kind"] == "antenna"]
    texts = {
        called: UPLOADED + upload["name"]
        for upload in reversed(patterns)
        for called in (upload["original"], upload["name"], UPLOADED + upload["name"])
    }

    def resolve(text: str) -> str | None:
        if text in texts:
            return texts[text]
        if is_file(text):
            raise InputError(f"antenna {text!r}: no such pattern was uploaded; upload it first")
        if "?" not in text:
            return None
        antenna(text)
        return text

    return resolve


def _antenna(path: Path, known: Known) -> dict[str, Any]:
    from pipelines.antenna import described

    found = described(str(path))
    angles = found["angle_deg"]
    chosen: list[int] = []
    for i, angle in enumerate(angles):
        if not chosen or angle - angles[chosen[-1]] >= CUT_STEP_DEG - 1e-6:
            chosen.append(i)
    if found["name"] == path.stem:
        found["name"] = Path(known.original).stem
    for name in ("angle_deg", "horizontal_dbi", "vertical_dbi"):
        found[name] = [round(found[name][i], 3) for i in chosen]
    return {**found, "antenna": known.original}


# ----------------------------------------------------------------------------------------------
# Measurements
# ----------------------------------------------------------------------------------------------


def _measurements(path: Path, known: Known) -> dict[str, Any]:
    del known
    import csv

    import numpy as np

    from rfplatform.formats.drive_test import Columns, read_drive_test, table_rows

    first: list[list[str]] = []
    count = 0
    try:
        for _, cells in table_rows(path):
            count += 1
            if count <= 1 + FIRST_ROWS:
                first.append(cells)
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table ({error})") from error
    if not first:
        raise InputError(f"{path}: empty; its first row must name the columns")
    header = first[0]
    if not all(name.isprintable() for name in header):
        raise InputError(f"{path}: not a CSV table: control characters in its first row")
    mapping = _mapping(header)
    missing = [name for name in ("latitude", "longitude", "rsrp") if name not in mapping]
    about = {
        "columns": header,
        "mapping": mapping,
        "missing": missing,
        "first_rows": [[*cells, *[""] * len(header)][: len(header)] for cells in first[1:]],
        "rows": count - 1,
    }
    if missing:
        return about
    found = read_drive_test(path, Columns(**mapping))
    names, counts = np.unique(found.cell, return_counts=True)
    most = sorted(zip(counts.tolist(), names.tolist(), strict=True), reverse=True)[:MOST_CELLS]
    return {
        **about,
        "accepted": len(found),
        "rejected": found.rows - len(found),
        "reasons": found.reasons(),
        "bounds": [
            float(bound)
            for bound in (
                found.lon_deg.min(), found.lat_deg.min(), found.lon_deg.max(), found.lat_deg.max()
            )
        ],
        "cells": {str(name): int(count) for count, name in most if name},
        "num_cells": int((names != "").sum()),
        "rsrp_dbm": [float(found.rsrp_dbm.min()), float(found.rsrp_dbm.max())],
    }  # fmt: skip


def _mapping(header: Sequence[str]) -> dict[str, str]:
    """Which column holds what, by the names that are known or those of a preset."""
    from rfplatform.formats.drive_test import AUTO, PRESETS, plain_name

    plain = {plain_name(name): name for name in reversed(header)}
    found = {
        of: next((plain[name] for name in names if name in plain), None)
        for of, names in AUTO.items()
    }
    if None in (found["latitude"], found["longitude"], found["rsrp"]):
        for columns in PRESETS.values():
            if {columns.latitude, columns.longitude, columns.rsrp} <= set(header):
                stated = {field.name: getattr(columns, field.name) for field in fields(columns)}
                found = {of: name for of, name in stated.items() if name in header}
                break
    return {of: name for of, name in found.items() if name is not None}


# ----------------------------------------------------------------------------------------------
# Terrain
# ----------------------------------------------------------------------------------------------


def _terrain(path: Path, known: Known) -> dict[str, Any]:
    if path.name.endswith((".hgt", ".hgt.zip")):
        path = _tile_as_geotiff(path, known)
    return _raster(path)


def _raster(path: Path) -> dict[str, Any]:
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    with path.open("rb") as file:
        if not file.read(4).startswith(_TIFF):
            raise InputError(f"{path}: not a GeoTIFF inside, whatever its name says")
    try:
        with rasterio.open(path, driver="GTiff") as source:
            if source.crs is None:
                raise InputError(f"{path}: has no CRS, so that it can't be placed; assign one")
            unit = (source.units[0] or "m").casefold()
            if unit not in ("m", "metre", "meter", "metres", "meters", ""):
                raise InputError(f"{path}: heights in {unit!r}; convert them to metres")
            bounds = transform_bounds(source.crs, "EPSG:4326", *source.bounds)
            return {
                "bounds": list(bounds),
                "crs": source.crs.to_string(),
                "width": source.width,
                "height": source.height,
                "resolution": [abs(step) for step in source.res],
                "resolution_unit": "degrees" if source.crs.is_geographic else "m",
                "height_range_m": _height_range_m(path, source),
            }
    except RasterioError as error:
        raise InputError(f"{path}: can't be read as elevation ({_first_line(error)})") from error


def _height_range_m(path: Path, source: Any) -> list[float]:  # noqa: ANN401  (rasterio's)
    """Lowest and highest of a part of the samples."""
    import numpy as np

    from rfplatform.geodata.terrain import HEIGHT_RANGE_M, SRTM_VOID

    shape = tuple(min(size, _PREVIEW_PIXELS) for size in source.shape)
    values = source.read(1, out_shape=shape, masked=True).astype(float)
    known = values.compressed()
    known = known[np.isfinite(known) & (known != SRTM_VOID)]
    if not len(known):
        raise InputError(f"{path}: has no heights, voids alone; use another model")
    low, high = float(known.min()), float(known.max())
    if low < HEIGHT_RANGE_M[0] or high > HEIGHT_RANGE_M[1]:
        raise InputError(
            f"{path}: heights from {low:g} to {high:g} are no metres above the sea; is it an "
            "elevation model?"
        )
    return [low, high]


def _tile_as_geotiff(path: Path, known: Known) -> Path:
    """An SRTM tile as GeoTIFF beside it, as its own name alone tells where it lies."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.shutil import copy

    from pipelines.desk.uploads import CONVERTED

    data, inner = _unzipped(path) if path.suffix == ".zip" else (path.read_bytes(), "")
    name = _TILE.match(known.original) or _TILE.match(inner)
    if name is None:
        raise InputError(f"{path}: an SRTM tile is called as where it lies, such as N60E024.hgt")
    if len(data) not in _TILE_BYTES:
        raise InputError(f"{path}: {len(data):,} bytes are not an SRTM tile's; it is cut or broken")
    tile = path.with_name(f"{name[0].upper()}.hgt")
    tile.write_bytes(data)
    converted = path.with_name(CONVERTED)
    try:
        with rasterio.open(tile, driver="SRTMHGT") as source:
            copy(source, converted, driver="GTiff", compress="deflate", tiled=True)
    except RasterioError as error:
        raise InputError(f"{path}: can't be read as an SRTM tile ({_first_line(error)})") from error
    finally:
        tile.unlink()
    return converted


def _unzipped(path: Path) -> tuple[bytes, str]:
    """The one tile of an archive, and its name; never more of it than a tile has."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            tiles = [one for one in archive.infolist() if one.filename.lower().endswith(".hgt")]
            if len(tiles) != 1:
                raise InputError(f"{path}: holds {len(tiles)} .hgt files; it must hold one")
            if tiles[0].file_size not in _TILE_BYTES:
                raise InputError(
                    f"{path}: {tiles[0].file_size:,} bytes unpacked are not an SRTM tile's"
                )
            with archive.open(tiles[0]) as file:
                data = file.read(max(_TILE_BYTES) + 1)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{path}: can't be unpacked ({error})") from error
    return data, Path(tiles[0].filename).name


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


# ----------------------------------------------------------------------------------------------
# Jobs
# ----------------------------------------------------------------------------------------------


def _jobs(path: Path, known: Known) -> dict[str, Any]:
    from pipelines.batch.faults import Faults
    from pipelines.batch.jobs import read_jobs
    from pipelines.batch.table import read_table

    faults = Faults()
    noun, rows = read_table(path, faults)
    # What is named is looked at before anything of that name could be opened.
    for row in rows:
        for of, cell in row.cells.items():
            if isinstance(cell.raw, str) and (wrong := _wrong_reference(of, cell.raw, known)):
                faults.add(row.where, wrong)
    if faults:
        raise faults.error(path, [row.where for row in rows], noun)
    jobs = read_jobs(path)

    def said(area: str) -> str:
        name = Path(area).name
        return UPLOADED + name if name in known.names("area") else area

    return {
        "num_jobs": len(jobs),
        "names": [job.name for job in jobs[:MOST_NAMES]],
        "areas": dict(Counter(said(job.config.area) for job in jobs).most_common(MOST_NAMES)),
        "solvers": dict(Counter(job.config.solver for job in jobs)),
        "num_tiled": sum(job.tile_m is not None for job in jobs),
    }


def _wrong_reference(of: str, text: str, known: Known) -> str:
    """What is wrong with a cell that names something; "" if nothing is."""
    text = text.strip()
    match of:
        case "area":
            is_known = text.casefold() == "helsinki" or _BOX.fullmatch(text) is not None
            wanted = '"helsinki", a box W,S,E,N in degrees, or an uploaded area as upload:NAME'
        case "sites":
            is_known, wanted = False, "an uploaded site list as upload:NAME"
        case "terrain":
            is_known, wanted = False, "an uploaded elevation model as upload:NAME"
        case "model":
            is_known, wanted = not re.search(r"[/\\]|\.\.", text), "a model as NAME@VERSION"
        case _:
            return ""
    if is_known or (of != "model" and text in known.names(of)):
        return ""
    if text.startswith(UPLOADED):
        return f"{of} {text[:60]!r}: no such upload of this kind"
    return f"{of} {text[:60]!r}: jobs of the dashboard name no other files or places; give {wanted}"


CHECKS: Mapping[str, Callable[[Path, Known], dict[str, Any]]] = {
    "area": _area,
    "sites": _sites,
    "measurements": _measurements,
    "antenna": _antenna,
    "terrain": _terrain,
    "jobs": _jobs,
}
"""What looks at a file, by its kind."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
