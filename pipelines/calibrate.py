"""A finished map and a drive test to the map as measured, with what is known of its error."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.map import FORMATS, RECORD, Clock, coverage, write_map
from pipelines.scene import (
    Report,
    describe_file,
    open_scene,
    opened,
    parse_where,
    plain,
    require_output,
    versions,
    write_json,
)
from rfplatform.errors import InputError, RfplatformError
from rfplatform.formats.drive_test import DriveTest, read_drive_test
from rfplatform.planning.coverage import describe as describe_planning
from rfplatform.planning.layers import Assumptions, PlanningLayers, planning_layers
from rfplatform.propagation.calibration import (
    Calibration,
    CalibrationConfig,
    Ground,
    calibrate,
    match_cells,
    observe,
    scores_by,
)
from rfplatform.propagation.measurements import measurements_of
from rfplatform.radiomap import RadioMap
from rfplatform.scene import Scene
from rfplatform.staging import staged
from rfplatform.units import FloatArray

STORE = FORMATS["zarr"]
REPORT, OFFSETS, HELD_OUT, REJECTED = (
    "calibration.json",
    "offsets.csv",
    "held_out.csv",
    "rejected_rows.csv",
)
QUANTILES, PICTURE = "quantiles.tif", "residuals.png"
OWN = {RECORD, REPORT, OFFSETS, HELD_OUT, REJECTED, QUANTILES, PICTURE, *FORMATS.values()}
LISTED_ROWS = 100
"""Bad rows that the report lists; all are in `REJECTED`."""


@dataclass(frozen=True)
class Config:
    """What to calibrate, on what, and how.

    Attributes
    ----------
    radio_map : Path
        The directory that ``rfplatform map`` wrote.
    measurements : Path
        The drive test.
    columns : str, optional
        A name of `rfplatform.formats.drive_test.PRESETS`, or a TOML file; by default columns are
        found by their names.
    method : str
        "auto", or a name of `rfplatform.propagation.calibration.METHODS`.
    cells : tuple of str
        ``MEASURED=SITE/SECTOR`` each, or a TOML file of such lines; by default cells are found by
        the sectors' labels and names.
    block_m : float
        Edge of the blocks that are left out in scoring.
    folds, seed : int
    out : Path, optional
        The directory to write; by default the map's, with "-calibrated".
    overwrite : bool
        Replace an earlier output.
    """

    radio_map: Path
    measurements: Path
    columns: str | None = None
    method: str = "auto"
    cells: tuple[str, ...] = ()
    block_m: float = 64.0
    folds: int = 5
    seed: int = 1
    out: Path | None = None
    overwrite: bool = False


def main(config: Config, *, report: Report | None = None) -> dict[str, Any]:
    """Calibrate a map and write it with its evidence, or write nothing.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        The map's record, with coverage and planning of the calibrated one, "calibration" (what
        ``calibration.json`` holds) and "out".

    Raises
    ------
    InputError
        Anything wrong with what was asked for.
    """
    tell = report or (lambda _: None)
    clock = Clock()
    how = CalibrationConfig(config.method, config.block_m, config.folds, config.seed)
    given = read_cells(config.cells)
    source = config.radio_map.resolve()
    out = config.out or source.with_name(f"{source.name}-calibrated")
    require_output(
        out,
        overwrite=config.overwrite,
        own=OWN,
        inputs=[config.measurements, config.radio_map / RECORD],
    )
    tell("Reading the map")
    radio_map, record = read_map(config.radio_map)
    tell("Reading the measurements")
    drive_test = read_drive_test(config.measurements, config.columns)
    measurements = measurements_of(drive_test, radio_map.grid.frame)
    cells = match_cells(measurements.cell.tolist(), radio_map.sectors, given)
    scene, scene_notes = scene_of(record, radio_map)
    assumptions = assumptions_of(record)
    ground = Ground.of(radio_map, assumptions.scs_hz, scene)
    observed = observe(ground, measurements, cells, config.block_m)
    clock.lap("reading")
    found = calibrate(ground, observed, how, tell)
    clock.lap("calibration")

    tell("Writing the outputs")
    planning = planning_layers(found.radio_map, assumptions)
    about = describe_calibration(found, drive_test, cells, radio_map, how)
    notes = [*about["notes"], *scene_notes]
    formats = [name for name in FORMATS if name in {*record["options"]["formats"], "zarr", "tif"}]
    if scene is None and "png" in formats:
        formats.remove("png")
    with staged(out, config.overwrite) as partial:
        partial.mkdir()
        _write(found, planning, scene, formats, drive_test, about, partial)
        clock.lap("outputs")
        written = {
            **record,
            "solver": {k: v for k, v in found.radio_map.attrs.items() if k not in _TITLES},
            "coverage": coverage(found.radio_map, assumptions.noise_figure_db),
            "planning": describe_planning(found.radio_map, planning),
            "calibration": about,
            "warnings": [*record["warnings"], *notes],
            "stages_s": clock.laps,
            "options": {**record["options"], "calibration": plain(asdict(config))},
            "versions": versions(),
            "inputs": {**record["inputs"], "measurements": describe_file(config.measurements)},
            "outputs": sorted([*(p.name for p in partial.iterdir()), RECORD]),
        }
        write_json(plain(written), partial / RECORD)
    return {**written, "warnings": notes, "out": str(out)}


_TITLES = ("title", "attribution")
_ASSUMED = ("load", "scs_hz", "noise_figure_db", "servers_within_db", "margin_db")


def assumptions_of(record: Mapping[str, Any]) -> Assumptions:
    """What a map's record says that its planning layers assume."""
    options = record["options"]
    return Assumptions(**{n: options[n] for n in _ASSUMED if options.get(n) is not None})


def read_map(folder: Path) -> tuple[RadioMap, dict[str, Any]]:
    """A finished map with its record.

    Raises
    ------
    InputError
        If the directory is not what ``rfplatform map`` wrote, with Zarr among its formats.
    """
    from rfplatform.formats.zarr import read_zarr

    path = folder / RECORD
    if not folder.is_dir() or not path.is_file():
        raise InputError(f"{folder}: no map there: give the directory that `rfplatform map` wrote")
    if not (folder / STORE).is_dir():
        raise InputError(f"{folder}: has no {STORE}: make the map with zarr among its --formats")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("options", "inputs", "area", "warnings") if key not in record]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    if missing:
        raise InputError(f"{path}: lacks {missing[0]}: is it of `rfplatform map`?")
    return read_zarr(folder / STORE), record


def read_cells(texts: Sequence[str]) -> dict[str, str]:
    """Measured cells to sectors' labels, of ``A=site/sector`` or of TOML files with such lines.

    Raises
    ------
    InputError
        If one is neither.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, label = text.partition("=")
        if equals and name.strip() and label.strip():
            found[name.strip()] = label.strip()
        elif text.lower().endswith(".toml"):
            found.update(_cells_file(Path(text)))
        else:
            raise InputError(
                f"--cells {text!r}: give MEASURED=SITE/SECTOR, or a TOML file of such lines"
            )
    return found


def _cells_file(path: Path) -> dict[str, str]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: can't be read as TOML: {error}") from error
    for name, label in table.items():
        if not isinstance(label, str):
            raise InputError(f'{path}: {name}: give the sector\'s label as a text, "site/sector"')
    return table


def scene_of(record: Mapping[str, Any], radio_map: RadioMap) -> tuple[Scene | None, list[str]]:
    """The scene that a map was made of, read again; None, with a note, where that fails."""
    options = record["options"]
    try:
        with opened(options["area"], options.get("default_material")) as (source, _):
            bbox, frame = parse_where(source, options.get("bbox"), options.get("origin"))
            terrain = options.get("terrain")
            scene, _ = open_scene(
                source,
                bbox,
                frame,
                None if terrain is None else Path(terrain),
                options.get("terrain_resolution_m", 30.0),
            )
    except (RfplatformError, KeyError) as error:
        return None, [f"no picture of the map: its area can't be read again ({error})"]
    if scene.frame != radio_map.grid.frame:
        return None, ["no picture of the map: its area is not what it was when it was made"]
    return scene, []


def describe_calibration(
    found: Calibration,
    drive_test: DriveTest,
    cells: Mapping[str, int],
    radio_map: RadioMap,
    how: CalibrationConfig,
) -> dict[str, Any]:
    """Everything that is told of a calibration, as plain JSON values."""
    observed = found.observed
    pixels = observed.pixels
    unmatched = {
        str(name): int(count)
        for name, count in zip(*np.unique(drive_test.cell, return_counts=True), strict=True)
        if name not in cells
    }
    notes = list(found.notes)
    if drive_test.faults:
        first = "; ".join(f"row {f.row}: {f.reason}" for f in drive_test.faults[:3])
        notes.append(
            f"{len(drive_test.faults):,} of {drive_test.rows:,} rows left out ({first}"
            + ("; ..." if len(drive_test.faults) > 3 else "")
            + f"): all in {REJECTED}"
        )
    if unmatched:
        listed = ", ".join(f"{name!r}" for name in list(unmatched)[:5])
        notes.append(
            f"{sum(unmatched.values()):,} readings of cells that the map does not have ({listed})"
        )
    if pixels.outside:
        notes.append(f"{pixels.outside:,} readings lie beyond the map and are left out")
    silent = [s.label for i, s in enumerate(radio_map.sectors) if i not in observed.sector]
    if silent:
        notes.append(
            f"nothing was measured of {', '.join(silent[:5])}: these take the mean offset of the "
            "others"
        )
    distance_m = _distance_m(found)
    groups = {
        **{f"cell {c.name}": _labels(found) == c.name for c in found.cells},
        **{f"device {d.name}": pixels.device == d.name for d in found.devices if d.name},
        **{
            f"{low:g} to {high:g} m": (distance_m >= low) & (distance_m < high)
            for low, high in ((0, 100), (100, 200), (200, 400), (400, 800), (800, 1e9))
        },
    }
    described: dict[str, Any] = plain(
        {
            "method": found.method,
            "asked": how.method,
            "scores": [asdict(score) for score in found.scores],
            "parts": [asdict(score) for score in scores_by(found, groups, how)],
            "protocol": {
                "block_m": how.block_m,
                "blocks": len(np.unique(observed.block)),
                "folds": how.folds,
                "seed": how.seed,
                "pixel_m": pixels.grid.resolution_m,
            },
            "cells": [asdict(cell) for cell in found.cells],
            "devices": [asdict(device) for device in found.devices],
            "matched": {name: radio_map.sectors[i].label for name, i in cells.items()},
            "unmatched": unmatched,
            "rows": drive_test.rows,
            "readings": int(pixels.count.sum()),
            "pixels": len(pixels),
            "beyond_the_map": pixels.outside,
            "spread_within_pixels_db": pixels.spread_db,
            "columns": asdict(drive_test.columns),
            "measured": _when(drive_test.time_s),
            "rejected": {
                "count": len(drive_test.faults),
                "reasons": drive_test.reasons(),
                "rows": [asdict(fault) for fault in drive_test.faults[:LISTED_ROWS]],
            },
            "notes": notes,
        }
    )
    return described


def _when(time_s: FloatArray) -> list[str] | None:
    """The first and the last time, where there are times."""
    if np.isnan(time_s).all():
        return None
    ends = (float(np.nanmin(time_s)), float(np.nanmax(time_s)))
    return [datetime.fromtimestamp(end, UTC).isoformat(timespec="seconds") for end in ends]


def _distance_m(found: Calibration) -> FloatArray:
    """Of every pixel from its sector's antenna, along the ground."""
    observed, sectors = found.observed, found.radio_map.sectors
    x_m = np.array([s.x_m for s in sectors])[observed.sector]
    y_m = np.array([s.y_m for s in sectors])[observed.sector]
    return np.asarray(np.hypot(observed.points.x_m - x_m, observed.points.y_m - y_m))


def _labels(found: Calibration) -> np.ndarray:
    labels = np.array([s.label for s in found.radio_map.sectors])
    return np.asarray(labels[found.observed.sector])


def _write(
    found: Calibration,
    planning: PlanningLayers,
    scene: Scene | None,
    formats: Sequence[str],
    drive_test: DriveTest,
    about: Mapping[str, Any],
    folder: Path,
) -> None:
    from rfplatform.formats.quantiles import add_to_zarr, write_quantiles

    # Without a scene no picture is among the formats, which alone needs one.
    write_map(found.radio_map, planning, scene, formats, folder)  # type: ignore[arg-type]
    quantiles_dbm = found.quantiles_dbm()
    add_to_zarr(folder / STORE, found.radio_map, quantiles_dbm)
    write_quantiles(found.radio_map, planning.best_server, quantiles_dbm, folder / QUANTILES)
    write_json(dict(about), folder / REPORT)
    _write_csv(
        folder / OFFSETS,
        ("kind", "name", "offset_db", "standard_error_db", "readings", "pixels"),
        [
            (kind, d.name, f"{d.offset_db:.2f}", f"{d.standard_error_db:.2f}", d.readings, d.pixels)
            for kind, deviations in (("cell", found.cells), ("device", found.devices))
            for d in deviations
        ],
    )
    if drive_test.faults:
        _write_csv(
            folder / REJECTED, ("row", "reason"), [(f.row, f.reason) for f in drive_test.faults]
        )
    if found.method in found.held_out:
        _write_held_out(found, folder)


def _write_held_out(found: Calibration, folder: Path) -> None:
    """What was predicted of every pixel while its block was left out, as a table and a picture."""
    from rfplatform.formats.residuals import Residuals, write_residuals

    observed, said = found.observed, found.held_out[found.method]
    grid = found.radio_map.grid
    error_db = said.mean_dbm - observed.level_dbm
    places: tuple[FloatArray, FloatArray]
    if grid.frame.crs is None:
        names, places, digits = ("x_m", "y_m"), (observed.points.x_m, observed.points.y_m), 2
    else:
        names, digits = ("longitude", "latitude"), 7
        places = grid.frame.to_lonlat(observed.points.x_m, observed.points.y_m)
    rows = zip(
        *places, _labels(found), observed.pixels.device, observed.pixels.count,
        observed.level_dbm, said.mean_dbm, said.spread_db, error_db, strict=True,
    )  # fmt: skip
    _write_csv(
        folder / HELD_OUT,
        (*names, "sector", "device", "readings", "measured_dbm", "predicted_dbm", "spread_db",
         "error_db"),
        [
            (f"{x:.{digits}f}", f"{y:.{digits}f}", label, device, count,
             *(f"{value:.2f}" for value in values))
            for x, y, label, device, count, *values in rows
        ],
    )  # fmt: skip
    east, north = grid.frame.origin_easting_m, grid.frame.origin_northing_m
    score = next(s for s in found.scores if s.method == found.method)
    write_residuals(
        Residuals(
            observed.points.x_m + east,
            observed.points.y_m + north,
            _distance_m(found),
            error_db,
            found.held_out["offset"].mean_dbm - observed.level_dbm,
            said.spread_db,
        ),
        [(s.x_m + east, s.y_m + north) for s in found.radio_map.sectors],
        folder / PICTURE,
        title=f"{found.radio_map.attrs.get('title', 'Radio map')}, calibrated",
        subtitle=(
            f"{found.method}: RMSE {score.rmse_db:.1f} dB [{score.low_db:.1f} to "
            f"{score.high_db:.1f}], {score.points:,} pixels of {grid.resolution_m:g} m, each "
            "predicted while its block was left out"
        ),
    )


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
