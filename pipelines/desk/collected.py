"""What is shown of a batch: what it would do, its maps on the ground, and what it set aside."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.batch.collection import CATALOG, members_of, write_catalog
from pipelines.batch.failures import Failure, remembered
from pipelines.batch.faults import JobsError
from pipelines.batch.run import Config, plan
from pipelines.desk.workspace import Workspace
from pipelines.map import COVERAGE_DBM
from rfplatform.errors import InputError, RfplatformError, WorkerError
from rfplatform.registry.store import Store

LEVELS_DBM = COVERAGE_DBM
"""Levels of received power that the share of the outdoor cells is known for."""

TIME_LIMIT_S = 180.0

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class CollectedMap:
    """One map of a batch.

    Attributes
    ----------
    ref : str
        Its name in the batch's store.
    job, area, title : str
        `title` is the area, and the tile where there are several.
    bounds : tuple of float, optional
        West, south, east, north in degrees; None: it lies nowhere on Earth.
    shares : mapping
        Of the outdoor cells, by the level of `LEVELS_DBM` that they reach.
    facts : mapping
        "solver", "sectors", "resolution_m", "cells" (such as "125 x 216"), "noise_db",
        "median_ss_rsrp_dbm", "median_ss_sinr_db", "median_rate_bps", "rays", "seconds",
        "size_bytes", "finished" (ISO 8601); None where it is not known.
    files : mapping
        Where its files are, by their names.
    """

    ref: str
    job: str
    area: str
    title: str
    bounds: Bounds | None
    shares: Mapping[float, float | None]
    facts: Mapping[str, Any]
    files: Mapping[str, Path]


def collected(out: Path) -> list[CollectedMap]:
    """The maps of a batch, also of one that has not ended yet.

    Parameters
    ----------
    out : Path
        The batch's output.
    """
    import geopandas as gpd

    if (out / CATALOG).is_file():
        return _rows(gpd.read_parquet(out / CATALOG), out)
    if not out.is_dir():
        return []
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        try:
            write_catalog(Store(folder), members_of(Store(str(out))))
        except InputError:  # no map is finished yet
            return []
        return _rows(gpd.read_parquet(Path(folder) / CATALOG), out)


def set_aside(out: Path) -> list[Failure]:
    """What a batch gave up, with its last words, by job."""
    if not out.is_dir():
        return []
    found = remembered(Store(str(out))).values()
    return sorted(found, key=lambda failure: (failure.job, failure.what))


def planned(workspace: Workspace, jobs_file: str) -> dict[str, Any]:
    """What a batch would do: see `pipelines.batch.run.plan`. Areas are read in a child process.

    Parameters
    ----------
    workspace : Workspace
    jobs_file : str
        "upload:NAME".

    Raises
    ------
    JobsError
        All that is wrong with the jobs, in its lines.
    WorkerError
        It took too long, or failed.
    """
    path = workspace.resolved(jobs_file)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pipelines.desk.collected", path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WorkerError(
            f"looking at the areas took more than {TIME_LIMIT_S:g} s; the batch can be started "
            "all the same"
        ) from None
    if not ended.stdout.strip():
        last = (ended.stderr.strip().splitlines() or ["out of memory?"])[-1]
        raise WorkerError(f"looking at the jobs failed: {last[:300]}")
    told: dict[str, Any] = json.loads(ended.stdout.replace(f"{path}: ", ""))
    if "error" in told:
        raise JobsError(told["error"], told["lines"])
    return told


def _rows(table: Any, out: Path) -> list[CollectedMap]:  # noqa: ANN401  (geopandas has no types)
    bounds = table.geometry.bounds.to_numpy().tolist()
    return [_row(row, box, out) for row, box in zip(table.to_dict("records"), bounds, strict=True)]


def _row(row: Mapping[str, Any], box: list[float], out: Path) -> CollectedMap:
    known = {name: _plain(value) for name, value in row.items() if name != "geometry"}
    tile = (known["tile_column"], known["tile_row"])
    west, south, east, north = box
    return CollectedMap(
        ref=known["ref"],
        job=known["job"] or "",
        area=known["area"],
        title=known["area"] if tile[0] is None else f"{known['area']}, tile {tile[0]}/{tile[1]}",
        bounds=(west, south, east, north) if math.isfinite(west) else None,
        shares={level: known[f"share_from_minus_{-level:g}_dbm"] for level in LEVELS_DBM},
        facts={
            "solver": known["solver"],
            "sectors": known["num_sectors"],
            "resolution_m": known["resolution_m"],
            "cells": f"{known['num_x']} × {known['num_y']}",
            **{
                name: known[name]
                for name in (
                    "noise_db", "median_ss_rsrp_dbm", "median_ss_sinr_db", "median_rate_bps",
                    "rays", "seconds", "size_bytes",
                )
            },
            "finished": None if known["finished"] is None else known["finished"].isoformat(),
        },
        files={
            Path(known[name]).name: out / known[name]
            for name in known
            if name.endswith("_path") and known[name]
        },
    )  # fmt: skip


def _plain(value: Any) -> Any:  # noqa: ANN401  (a cell of a table)
    """None for what pandas has for it."""
    import pandas as pd

    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value


def main(jobs_file: str) -> int:
    """Tell what a batch would do, or what is wrong with its jobs, as JSON."""
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        try:
            told = plan(Config(Path(jobs_file), out=folder))
        except RfplatformError as error:
            told = {"error": str(error), "lines": getattr(error, "lines", ())}
    sys.stdout.write(json.dumps(told, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
