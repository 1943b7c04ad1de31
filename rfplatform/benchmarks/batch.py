"""What a batch costs beside its maps: workers that wait, and processes that start anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.errors import WorkerError
from rfplatform.shipped import DATA_VARIABLE, data_folder

if TYPE_CHECKING:
    from rfplatform.radiomap import Grid, Sector
    from rfplatform.scene import Scene

TILES_A_SIDE, TILE_M = 8, 400.0
CENTER_DEG = 7.42, 43.737
RAYS = 1_000_000
EFFICIENCY = 0.85
OVERHEAD_MS = 50.0
PROCESS_TILES = 8


@dataclass(frozen=True)
class BatchRun:
    """Maps that were made one after another by each of some workers.

    Attributes
    ----------
    maps, workers : int
    span_s : float
        From the first map's beginning to the last one's end.
    gap_s : float
        Mean time between the end of a map and the beginning of the next on the same worker; NaN
        where nothing was handed over.
    """

    maps: int
    workers: int
    span_s: float
    gap_s: float = float("nan")


@dataclass(frozen=True)
class _Jobs:
    """A jobs file's row, to be run on so many workers."""

    solver: str
    rays: int
    folder: Path
    extract: Path


@dataclass(frozen=True, eq=False)
class _Tiles:
    """Tiles to trace in one process or in one each."""

    tiles: Sequence[tuple[Scene, tuple[Sector, ...], Grid]]


def _extract() -> Path | Case:
    """Monaco, or why it can't be had."""
    path = data_folder() / "osm" / "monaco.osm.pbf"
    if path.is_file():
        return path
    return Case("*", skip=f"osm/{path.name} is not there: set {DATA_VARIABLE} to its folder")


def _batches(solver: str, rays: int, note: str) -> Iterator[Case]:
    extract = _extract()
    if isinstance(extract, Case):
        yield extract
        return
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        jobs = _Jobs(solver, rays, Path(folder), extract)
        _write_sites(jobs.folder)
        _run(jobs, 1, only=2)  # kernels are compiled once a machine, whoever comes first
        yield Case("64 tiles of Monaco", jobs, note=note)


def _traced_batch() -> Iterator[Case]:
    return _batches("raytraced", RAYS, f"a sector and {RAYS:.0e} rays a tile")


def _light_batch() -> Iterator[Case]:
    return _batches("free-space", 0, "a sector a tile, free space")


def _processes() -> Iterator[Case]:
    extract = _extract()
    if isinstance(extract, Case):
        yield extract
        return
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        tiles = _Tiles(_tiles(extract, Path(folder)))
        _traced(tiles, warm=True)
        yield Case(f"{PROCESS_TILES} tiles of Monaco", tiles, note=f"{RAYS:.0e} rays a tile")


def _centers() -> list[tuple[float, float]]:
    """Longitude and latitude of the tiles' centres."""
    from rfplatform.frame import Frame

    frame = Frame.at(*CENTER_DEG)
    half = TILES_A_SIDE / 2
    east = np.floor(frame.origin_easting_m / TILE_M - half) * TILE_M
    north = np.floor(frame.origin_northing_m / TILE_M - half) * TILE_M
    steps = (np.arange(TILES_A_SIDE) + 0.5) * TILE_M
    x, y = np.meshgrid(east + steps, north + steps)
    lon, lat = Frame(frame.crs, 0.0, 0.0).to_lonlat(x.ravel(), y.ravel())
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def _write_sites(folder: Path) -> None:
    head = (
        "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,"
        "bandwidth_hz,antenna"
    )
    rows = [
        f"s{i},1,{lon:.7f},{lat:.7f},25,0,0,43,3.5e9,20e6,isotropic"
        for i, (lon, lat) in enumerate(_centers())
    ]
    (folder / "sites.csv").write_text("\n".join([head, *rows]) + "\n")
    (folder / "some.csv").write_text("\n".join([head, *rows[:2]]) + "\n")


def _run(jobs: _Jobs, workers: int, only: int | None = None) -> BatchRun:
    """Run a batch as a user would, and look at what its maps tell."""
    sites = jobs.folder / ("sites.csv" if only is None else "some.csv")
    place = jobs.folder / "jobs.toml"
    rays = f"rays = {jobs.rays}\ntarget_noise = 0\n" if jobs.rays else ""
    place.write_text(
        f'{rays}[[jobs]]\narea = "{jobs.extract}"\nsites = "{sites}"\nsolver = "{jobs.solver}"\n'
        f"tile_m = {TILE_M}\ntile_margin_m = 100\ntile_overlap_m = 64\n"
    )
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as out:
        command = [sys.executable, "-m", "rfplatform.cli", "batch", str(place), "--json"]
        done = subprocess.run(
            [*command, "--out", out, "--workers", str(workers)],
            env={**os.environ, "RFPLATFORM_HOME": str(jobs.folder / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise WorkerError(f"the batch ended with {done.returncode}: {done.stderr.strip()}")
        return _told(out, json.loads(done.stdout)["done"], workers)


def _told(out: str, maps: int, workers: int) -> BatchRun:
    from rfplatform.registry.store import Store

    store = Store(out)
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for ref in store.refs():
        if ref.startswith("maps/"):
            run = store.artifact(ref).run
            end = datetime.fromisoformat(run["finished"]).timestamp()
            spans[run["pid"]].append((end - run["seconds"], end))
    gaps = [
        after[0] - before[1] for each in spans.values() for before, after in pairwise(sorted(each))
    ]
    times = [time for each in spans.values() for time in each]
    span_s = max(end for _, end in times) - min(start for start, _ in times)
    return BatchRun(maps, workers, span_s, float(np.mean(gaps)) if gaps else float("nan"))


def _tiles(extract: Path, folder: Path) -> list[tuple[Scene, tuple[Sector, ...], Grid]]:
    """Some of the tiles, as a worker would open them."""
    from rfplatform.formats.scene_parts import ABOUT, BUILDINGS, read_part, write_parts
    from rfplatform.geodata.load import load_scene
    from rfplatform.geodata.place import FileSource
    from rfplatform.radiomap import Grid, Sector

    write_parts(load_scene(FileSource(extract, "osm")), folder)
    tiles: list[tuple[Scene, tuple[Sector, ...], Grid]] = []
    for lon, lat in _centers()[:: len(_centers()) // PROCESS_TILES]:
        scene = read_part(folder / BUILDINGS, folder / ABOUT)
        x, y = (float(v) for v in scene.frame.from_lonlat(lon, lat))
        e, n = x + scene.frame.origin_easting_m, y + scene.frame.origin_northing_m
        half = TILE_M / 2 + 100.0
        part = read_part(
            folder / BUILDINGS, folder / ABOUT, (e - half, n - half, e + half, n + half)
        )
        grid = Grid.covering((-half, -half, half, half), part.frame, 4.0)
        tiles.append((part, (Sector("s", "1", 0.0, 0.0, 40.0),), grid))
    return tiles


def _traced(tiles: _Tiles, *, warm: bool) -> BatchRun:
    from rfplatform.propagation.process import TracingProcess
    from rfplatform.propagation.raytraced import RayTraced

    config = RayTraced(rays_per_sector=RAYS, target_noise_db=0.0)
    started = time.perf_counter()
    with TracingProcess(threads=1) as process:
        for scene, sectors, grid in tiles.tiles:
            config.load(process=process)(scene, sectors, grid)
            if not warm:
                process.close()
    return BatchRun(len(tiles.tiles), 1, time.perf_counter() - started)


def _pace(run: BatchRun) -> float:
    return 60.0 * run.maps / run.span_s / run.workers


_GAP: Metric[BatchRun] = Metric(
    "between two maps of a worker", "ms", lambda run, _: 1e3 * run.gap_s, "lower", OVERHEAD_MS
)
_PACE: Metric[BatchRun] = Metric(
    "pace of a worker", "maps/min", lambda run, _: _pace(run), "higher"
)
_ONE, _TWO = (
    Predictor(name, partial(_run, workers=n)) for n, name in ((1, "one worker"), (2, "two workers"))
)

BATCH: tuple[Benchmark[BatchRun], ...] = (
    Benchmark(
        "speed:batch",
        "Ray-traced tiles: what each of two workers gets done beside what one does alone",
        _traced_batch,
        (replace(_PACE, target=EFFICIENCY, target_is_ratio=True), _GAP),
        baseline=_ONE,
        subject=_TWO,
    ),
    Benchmark(
        "speed:batch-overhead",
        "Tiles that are hardly any work: what handing them over costs",
        _light_batch,
        (_GAP, _PACE),
        baseline=_ONE,
        subject=_TWO,
    ),
    Benchmark(
        "speed:tracing-process",
        "A ray tracer that is kept open from tile to tile against a fresh one for each",
        _processes,
        (_PACE,),
        baseline=Predictor("a fresh process a tile", partial(_traced, warm=False)),
        subject=Predictor("one process", partial(_traced, warm=True)),
    ),
)
