"""What is shown of a drive test: its points, and how far a map is off at them.

The drive test is another's file, so that it is read in a child process, which writes
``points.geojson`` and ``stats.json`` into a folder of the workspace's previews and ends.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.calibrate import HELD_OUT, REPORT, assumptions_of, read_map
from pipelines.desk.workspace import Workspace, read_json_file, write_json_file
from pipelines.map import RECORD
from rfplatform.errors import InputError, WorkerError
from rfplatform.formats.drive_test import Columns, DriveTest, read_drive_test
from rfplatform.frame import Frame
from rfplatform.propagation.calibration import METHODS, Ground, Observed, match_cells, observe
from rfplatform.propagation.measurements import Measurements, measurements_of, rasterized
from rfplatform.radiomap import Grid, Sector
from rfplatform.staging import staged
from rfplatform.units import FloatArray

SHOWN_POINTS = 5_000
"""More would hide each other."""

PIXEL_M = 5.0
"""Readings this close are one point, where no map says how close."""

TIME_LIMIT_S = 120.0
MEMORY_BYTES = 6 << 30
"""Of the child; a drive test is a few hundred megabytes at most, a map a few gigabytes."""

POINTS, STATS = "points.geojson", "stats.json"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_VERSION = 1
"""Of what the child writes: raised where it changes, so that nothing older is shown."""

TextArray = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Measured:
    """What is known of a drive test, or of a calibration's predictions.

    Attributes
    ----------
    key : str
        Its folder in the workspace's previews.
    folder : Path
        With `POINTS`: "level_dbm", "error_db" (map less measured, null where the map says
        nothing), "cell", "device" and "readings" of each.
    stats : mapping
        "readings", "rows", "rejected" (reasons and how many), "bounds" (degrees, of all but
        outliers), "levels_dbm" (lowest and highest), "points" (how many there are, and are
        shown), "cells" (readings of each), "matched" (measured cells to sectors), "unclear"
        (cells that could be several sectors, and why), "beyond" (readings beyond the map),
        "note" (why nothing is compared), and "all", "by_cell", "by_device": "name", "pixels",
        "bias_db", "rmse_db" and "quantiles_db" each.
    """

    key: str
    folder: Path
    stats: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What the child is asked: a drive test and perhaps a map, or a calibration's table.

    Attributes
    ----------
    folder : str
        Where the answer goes.
    drive_test : str
        Its file.
    columns : mapping, optional
    radio_map : str, optional
        A map's output.
    cells : mapping
    held_out : str, optional
        In place of a drive test: the table of a calibration.
    """

    folder: str
    drive_test: str = ""
    columns: Mapping[str, str] | None = None
    radio_map: str | None = None
    cells: Mapping[str, str] = field(default_factory=dict)
    held_out: str | None = None


def measured(
    workspace: Workspace,
    measurements: str,
    *,
    columns: Mapping[str, str] | None = None,
    radio_map: Path | None = None,
    cells: Mapping[str, str] | None = None,
) -> Measured:
    """Points of a drive test, and what a map is off at them.

    Parameters
    ----------
    workspace : Workspace
    measurements : str
        "upload:NAME".
    columns : mapping, optional
        Fields of `Columns` to columns of the table; None: by their names.
    radio_map : Path, optional
        What ``rfplatform map`` wrote; None: the levels alone.
    cells : mapping, optional
        Measured cells to sectors' labels, beside those that are found by their names.

    Raises
    ------
    InputError
        The drive test or the map can't be used, and why.
    WorkerError
        The child took too long, or died.
    """
    request = Request(
        folder="",
        drive_test=workspace.resolved(measurements),
        columns=columns,
        radio_map=None if radio_map is None else str(radio_map),
        cells={name: label for name, label in (cells or {}).items() if label},
    )
    return _answered(workspace, request, [] if radio_map is None else [radio_map / RECORD])


def predicted(workspace: Workspace, calibrated: Path) -> Measured:
    """What a calibration said of readings while their block was left out.

    Parameters
    ----------
    workspace : Workspace
    calibrated : Path
        What ``rfplatform calibrate`` wrote.

    Raises
    ------
    InputError
        There is no such table, as where all readings lie in one block.
    """
    path = calibrated / HELD_OUT
    if not path.is_file():
        raise InputError(
            "nothing was left out to score this calibration: all readings lie in one block"
        )
    return _answered(workspace, Request(folder="", held_out=str(path)), [path])


def report_of(calibrated: Path) -> dict[str, Any] | None:
    """What a calibration tells of itself (``calibration.json``); None where there is none."""
    return read_json_file(calibrated / REPORT)


def methods() -> dict[str, str]:
    """Ways of calibration, in one line each, "auto" first."""
    best = "all of these, and the one with the least error on blocks left out"
    return {"auto": best, **{name: method.summary for name, method in METHODS.items()}}


def matched_cells(
    names: Iterable[str], sectors: Sequence[Sector], given: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, str]]:
    """Which sector each measured cell is, and which could be several, with the reason.

    Parameters
    ----------
    names : iterable of str
    sectors : sequence of Sector
    given : mapping of str to str
        Cells' names to sectors' labels.
    """
    found: dict[str, int] = {}
    unclear: dict[str, str] = {}
    for name in names:
        own = {name: given[name]} if name in given else None
        try:
            found |= match_cells([name], sectors, own)
        except InputError as error:
            # What is no sector's name is left out; only what could be several has to be told.
            if "could be" in str(error):
                unclear[name] = str(error)
    return found, unclear


def _answered(workspace: Workspace, request: Request, sources: Sequence[Path]) -> Measured:
    """From the workspace where it is known; a child finds it out once."""
    changed = [(str(path), path.stat().st_mtime_ns) for path in sources if path.is_file()]
    text = json.dumps([_VERSION, asdict(request), changed], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:20]
    folder = workspace.previews / key
    stats = read_json_file(folder / STATS)
    if stats is None:
        _ask_child(Request(**{**asdict(request), "folder": str(folder)}))
        stats = read_json_file(folder / STATS)
    if stats is None:
        raise WorkerError("the measurements were read, but nothing was kept of it: disk full?")
    os.utime(folder)  # What was looked at last goes last.
    return Measured(key, folder, stats)


def _ask_child(request: Request) -> None:
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pipelines.desk.measured"],
            input=json.dumps(asdict(request)),
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WorkerError(
            f"reading the measurements took more than {TIME_LIMIT_S:g} s: cut the file in parts"
        ) from None
    if ended.returncode == InputError.exit_code and ended.stdout.strip():
        raise InputError(ended.stdout.strip())
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["out of memory?"])[-1]
        raise WorkerError(f"reading the measurements failed: {last[:300]}")


# ----------------------------------------------------------------------------------------------
# In the child
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Points:
    """Means of readings of one cell and device, with what a map says less each."""

    lon_deg: FloatArray
    lat_deg: FloatArray
    level_dbm: FloatArray
    error_db: FloatArray
    cell: TextArray
    device: TextArray
    readings: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.level_dbm)

    def at(self, index: npt.NDArray[Any]) -> _Points:
        return _Points(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def joined(self, other: _Points) -> _Points:
        return _Points(
            *(
                np.concatenate((getattr(self, name), getattr(other, name)))
                for name in self.__dataclass_fields__
            )
        )


def _compared(request: Request) -> tuple[_Points, dict[str, Any]]:
    columns = None if request.columns is None else Columns(**request.columns)
    drive_test = _read(Path(request.drive_test), columns)
    names, counts = np.unique(drive_test.cell, return_counts=True)
    about: dict[str, Any] = {
        "readings": len(drive_test),
        "rows": drive_test.rows,
        "rejected": drive_test.reasons(),
        "cells": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
        "matched": {},
        "unclear": {},
        "beyond": 0,
        "note": "",
    }
    if request.radio_map is None:
        frame = Frame.at(float(np.median(drive_test.lon_deg)), float(np.median(drive_test.lat_deg)))
        return _levels(measurements_of(drive_test, frame), frame, PIXEL_M), about
    radio_map, record = read_map(Path(request.radio_map))
    ground = Ground.of(radio_map, assumptions_of(record).scs_hz)
    measurements = measurements_of(drive_test, radio_map.grid.frame)
    matched, about["unclear"] = matched_cells(map(str, names), radio_map.sectors, request.cells)
    about["matched"] = {name: radio_map.sectors[i].label for name, i in matched.items()}
    on_map = _inside(measurements, radio_map.grid)
    compared = on_map & np.isin(measurements.cell, list(matched))
    about["beyond"] = int((~on_map).sum())
    grid = radio_map.grid
    rest = _levels(measurements.at(~compared), grid.frame, grid.resolution_m)
    if not compared.any():
        about["note"] = _why_none(on_map, about)
        return rest, about
    observed = observe(ground, measurements.at(compared), matched)
    labels = [sector.label for sector in radio_map.sectors]
    return _errors(observed, labels, grid.frame).joined(rest), about


def _read(path: Path, columns: Columns | None) -> DriveTest:
    """The drive test; its errors without the name under which the workspace keeps it."""
    try:
        return read_drive_test(path, columns)
    except InputError as error:
        raise InputError(str(error).replace(f"{path}: ", "")) from error


def _why_none(on_map: npt.NDArray[np.bool_], about: Mapping[str, Any]) -> str:
    if not on_map.any():
        return (
            "No reading lies on this map: it is of another area, or longitude and latitude are "
            "swapped."
        )
    if not about["matched"]:
        return "No measured cell has the name of a sector of this map: say below which is which."
    return "Nothing was measured on this map of the cells that belong to its sectors."


def _inside(measurements: Measurements, grid: Grid) -> npt.NDArray[np.bool_]:
    x_m, y_m = measurements.x_m, measurements.y_m
    inside = (x_m >= grid.west_m) & (x_m < grid.east_m)
    return np.asarray(inside & (y_m >= grid.south_m) & (y_m < grid.north_m))


def _levels(measurements: Measurements, frame: Frame, edge_m: float) -> _Points:
    """Means over squares, of readings that nothing is held against."""
    known = measurements.at(np.isfinite(measurements.x_m) & np.isfinite(measurements.y_m))
    if not len(known):
        none, text = np.empty(0), np.empty(0, dtype=np.str_)
        return _Points(none, none, none, none, text, text, np.empty(0, dtype=np.int64))
    west, south = float(known.x_m.min()), float(known.y_m.min())
    east, north = float(known.x_m.max()), float(known.y_m.max())
    grid = Grid.covering((west, south, east + edge_m, north + edge_m), frame, edge_m)
    pixels = rasterized(known, grid)
    lon_deg, lat_deg = frame.to_lonlat(pixels.x_m, pixels.y_m)
    return _Points(
        lon_deg,
        lat_deg,
        pixels.rsrp_dbm,
        np.full(len(pixels), np.nan),
        pixels.cell,
        pixels.device,
        pixels.count,
    )


def _errors(observed: Observed, labels: Sequence[str], frame: Frame) -> _Points:
    pixels = observed.pixels
    lon_deg, lat_deg = frame.to_lonlat(pixels.x_m, pixels.y_m)
    error_db = observed.points.prior_db - pixels.rsrp_dbm
    return _Points(
        lon_deg,
        lat_deg,
        pixels.rsrp_dbm,
        np.where(np.isfinite(error_db), error_db, np.nan),
        np.array(labels)[observed.sector],
        pixels.device,
        pixels.count,
    )


def _held_out(path: Path) -> tuple[_Points, dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "longitude" not in rows[0]:
        raise InputError("this calibration lies nowhere on Earth: its map has no coordinates")

    def numbers(name: str) -> FloatArray:
        return np.array([row[name] for row in rows], dtype=float)

    points = _Points(
        numbers("longitude"),
        numbers("latitude"),
        numbers("measured_dbm"),
        numbers("error_db"),
        np.array([row["sector"] for row in rows]),
        np.array([row["device"] for row in rows]),
        np.array([row["readings"] for row in rows], dtype=np.int64),
    )
    return points, {"readings": int(points.readings.sum())}


def _summary(name: str, error_db: FloatArray) -> dict[str, Any]:
    return {
        "name": name,
        "pixels": len(error_db),
        "bias_db": float(np.mean(error_db)),
        "rmse_db": float(np.sqrt(np.mean(error_db**2))),
        "quantiles_db": [float(q) for q in np.quantile(error_db, QUANTILES)],
    }


def _grouped(names: TextArray, error_db: FloatArray) -> list[dict[str, Any]]:
    return [_summary(str(name), error_db[names == name]) for name in np.unique(names) if str(name)]


def _described(points: _Points, shown: int) -> dict[str, Any]:
    known = np.isfinite(points.error_db)
    error_db = points.error_db[known]
    # All but the outermost hundredth: a phone without a good fix may be anywhere.
    (west, east), (south, north) = (
        np.quantile(places, (0.01, 0.99)) for places in (points.lon_deg, points.lat_deg)
    )
    return {
        "bounds": [float(west), float(south), float(east), float(north)],
        "levels_dbm": [float(points.level_dbm.min()), float(points.level_dbm.max())],
        "points": {"all": len(points), "shown": shown},
        "all": _summary("all", error_db) if len(error_db) else None,
        "by_cell": _grouped(points.cell[known], error_db),
        "by_device": _grouped(points.device[known], error_db),
    }


def _geojson(points: _Points) -> dict[str, Any]:
    rows = zip(
        points.lon_deg, points.lat_deg, points.level_dbm, points.error_db, points.cell,
        points.device, points.readings, strict=True,
    )  # fmt: skip
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [round(lon, 6), round(lat, 6)]},
                "properties": {
                    "level_dbm": round(level, 1),
                    "error_db": None if np.isnan(error) else round(error, 1),
                    "cell": str(cell),
                    "device": str(device),
                    "readings": int(readings),
                },
            }
            for lon, lat, level, error, cell, device, readings in (
                (float(o), float(a), float(v), float(e), c, d, n) for o, a, v, e, c, d, n in rows
            )
        ],
    }


def write_measured(request: Request) -> None:
    """Find out what is asked and write it, whole or not at all."""
    if request.held_out is not None:
        points, about = _held_out(Path(request.held_out))
    else:
        points, about = _compared(request)
    chosen = np.arange(len(points))
    if len(points) > SHOWN_POINTS:
        chosen = np.sort(np.random.default_rng(1).choice(chosen, SHOWN_POINTS, replace=False))
    with staged(request.folder, overwrite=True) as partial:
        partial.mkdir()
        write_json_file(_geojson(points.at(chosen)), partial / POINTS)
        write_json_file({**about, **_described(points, len(chosen))}, partial / STATS)


def _limit_memory() -> None:
    """So that a hostile file ends this process alone; not on systems that know no limits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main() -> int:
    """Answer the request on standard input; an error's line goes to standard output."""
    _limit_memory()
    try:
        write_measured(Request(**json.load(sys.stdin)))
    except InputError as error:
        sys.stdout.write(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
