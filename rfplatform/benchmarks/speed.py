"""How fast it is: scenes, ray tracing and the command line, each against a named rival.

Rivals run in the same process or in the same kind of process, in turn with what they are compared
with, so that a ratio holds on a busy machine where seconds do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.errors import InputError, MissingError
from rfplatform.shipped import DATA_VARIABLE, data_folder

if TYPE_CHECKING:
    from rfplatform.propagation.raytraced import RayTraced, Tracer
    from rfplatform.radiomap import Grid, Sector
    from rfplatform.scene import Building, Scene


# ----------------------------------------------------------------------------------------------
# speed:scene
# ----------------------------------------------------------------------------------------------

BUILDINGS_PER_S, FILE_TO_SCENE_S, PEAK_MEMORY_GB = 20_000.0, 30.0, 2.0

Builder = Literal["ours", "trimesh"]
_Writer: TypeAlias = "Callable[[Scene, Path], None]"


@dataclass(frozen=True)
class SceneRun:
    """A process that made a scene from a file.

    Attributes
    ----------
    buildings : int
    read_s : float
        To load the libraries, and from the file to buildings with heights.
    mesh_s, mesh_cpu_s : float
        From there to meshes on disk: by the clock, and of all cores' time together.
    peak_bytes : int
        Most memory that the process held at a time, with the libraries that it loads.
    """

    buildings: int
    read_s: float
    mesh_s: float
    mesh_cpu_s: float
    peak_bytes: int


def _scene_cases() -> Iterator[Case]:
    from rfplatform.geodata.place import BuiltIn

    yield Case("helsinki", BuiltIn("helsinki").path(), note="the built-in extract")
    monaco = data_folder() / "osm" / "monaco.osm.pbf"
    if monaco.is_file():
        note = "published builders: Geo2SigMap's makes 1,583 buildings/s of 8,238 of Monaco"
        yield Case("monaco", monaco, note=note)
    else:
        where = f"set {DATA_VARIABLE} to a folder that holds it"
        yield Case("monaco", skip=f"osm/monaco.osm.pbf is not there: {where}")


def _run_scene(builder: Builder, path: Path) -> SceneRun:
    """Make a scene in a process of its own, whose memory is measured."""
    command = [sys.executable, "-m", __name__, builder, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last_words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == _MISSING:
        raise MissingError(last_words)
    if done.returncode:
        raise InputError(f"{path}: the scene could not be made by {builder} ({last_words})")
    return SceneRun(**json.loads(done.stdout))


def _make_scene(builder: Builder, path: Path) -> SceneRun:
    """What the process does."""
    from rfplatform.geodata.load import load_scene
    from rfplatform.geodata.place import FileSource

    started = time.perf_counter()
    # Libraries are loaded on the clock of the whole way, and before that of the meshes.
    write = _our_writer() if builder == "ours" else _trimesh_writer()
    scene = load_scene(FileSource(path, "osm"))
    read, read_cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        write(scene, Path(folder))
        written, written_cpu = time.perf_counter(), time.process_time()
    return SceneRun(
        len(scene.buildings),
        read - started,
        written - read,
        written_cpu - read_cpu,
        peak_bytes(),
    )


def _our_writer() -> _Writer:
    """All buildings at once, a file for each material and kind of surface."""
    from rfplatform.formats.mitsuba import write_scene

    def write(scene: Scene, folder: Path) -> None:
        write_scene(scene, folder)

    return write


def _trimesh_writer() -> _Writer:
    """The usual way: extrude and export a building at a time, a file each."""
    try:
        from trimesh.creation import extrude_polygon
    except ImportError as error:
        raise MissingError("the rival needs trimesh: pip install trimesh") from error

    def write_building(building: Building, path: Path) -> None:
        height_m = building.top_m - building.base_m
        mesh = extrude_polygon(building.footprint, height_m, engine="earcut")
        mesh.apply_translation([0.0, 0.0, building.base_m])
        mesh.export(path)

    def write(scene: Scene, folder: Path) -> None:
        for number, building in enumerate(scene.buildings):
            write_building(building, folder / f"building-{number}.ply")

    return write


def peak_bytes() -> int:
    """The most memory that this process has held, without what its parent held."""
    import resource

    status = Path("/proc/self/status")
    if status.is_file():  # `getrusage` begins with the size of the process that forked this one
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


SCENE: Benchmark[SceneRun] = Benchmark(
    "speed:scene",
    "OpenStreetMap file to a scene of meshes on disk, each time in a new process",
    _scene_cases,
    (
        Metric(
            "geometry to meshes, one core",
            "buildings/s",
            lambda run, _: run.buildings / run.mesh_cpu_s,
            "higher",
            BUILDINGS_PER_S,
        ),
        Metric(
            "file to scene",
            "s",
            lambda run, _: run.read_s + run.mesh_s,
            "lower",
            FILE_TO_SCENE_S,
        ),
        Metric(
            "file to scene",
            "buildings/s",
            lambda run, _: run.buildings / (run.read_s + run.mesh_s),
            "higher",
        ),
        Metric("peak memory", "GB", lambda run, _: run.peak_bytes / 1e9, "lower", PEAK_MEMORY_GB),
    ),
    baseline=Predictor("trimesh, a building at a time", lambda path: _run_scene("trimesh", path)),
    subject=Predictor("rfplatform", lambda path: _run_scene("ours", path)),
    repeats=3,
)


# ----------------------------------------------------------------------------------------------
# speed:raytraced
# ----------------------------------------------------------------------------------------------

MASTS_DEG = ((24.93865, 60.16780), (24.94812, 60.17290), (24.95183, 60.16533))
"""Longitude and latitude of three masts on roofs of central Helsinki."""

FEW_RAYS, DEFAULT_RAYS = 4_000_000, 20_000_000
"""Rays a sector: a quick look, and what `rfplatform map` spends by default."""

TIME_RATIO = 1.10


@dataclass(frozen=True, eq=False)
class TraceJob:
    """A budget of rays to spend, and the worker to spend it in."""

    config: RayTraced
    trace: Tracer
    scene: Scene
    sectors: tuple[Sector, ...]
    grid: Grid


@dataclass(frozen=True)
class TraceRun:
    """How long a map took, and the rays of all its sectors."""

    seconds: float
    rays: int


def _trace_cases() -> Iterator[Case]:
    from rfplatform.benchmarks import helsinki
    from rfplatform.geodata.sites import parse_site_option, place_sectors
    from rfplatform.propagation.raytraced import RayTraced, tracer

    scene, grid = helsinki.scene(), helsinki.grid()
    options = [f"{lon},{lat},3,{azimuth}" for lon, lat in MASTS_DEG for azimuth in (0, 120, 240)]
    rows = [
        parse_site_option(text, number=number, frequency_hz=3.5e9)
        for number, text in enumerate(options, start=1)
    ]
    sectors = place_sectors(rows, scene)
    for name, some, rays in (
        ("one sector, few rays", sectors[:1], FEW_RAYS),
        ("one sector", sectors[:1], DEFAULT_RAYS),
        ("nine sectors", sectors, FEW_RAYS),
    ):
        config = RayTraced(rays_per_sector=rays, target_noise_db=0.0)
        with tracer(scene, some, grid, config) as trace:
            note = f"helsinki, {grid.resolution_m:g} m, {rays / 1e6:g}e6 rays a sector"
            yield Case(name, TraceJob(config, trace, scene, some, grid), note=note)


def _solve(job: TraceJob) -> TraceRun:
    started = time.perf_counter()
    job.config.solve_with(job.trace, job.scene, job.sectors, job.grid)
    return _trace_run(job, started)


def _bare(job: TraceJob) -> TraceRun:
    """One call of Sionna's solver for each group of sectors that can share one."""
    started = time.perf_counter()
    for group in range(len(job.trace.groups)):
        job.trace.trace(group, job.config.rays_per_sector, job.config.seed, "all")
    return _trace_run(job, started)


def _trace_run(job: TraceJob, started: float) -> TraceRun:
    seconds = time.perf_counter() - started
    return TraceRun(seconds, job.config.rays_per_sector * len(job.sectors))


RAYTRACED: Benchmark[TraceRun] = Benchmark(
    "speed:raytraced",
    "A whole map with its standard error against one bare call with the same rays",
    _trace_cases,
    (
        Metric("time", "s", lambda run, _: run.seconds, "lower", TIME_RATIO, target_is_ratio=True),
        Metric("rays", "rays/s", lambda run, _: run.rays / run.seconds, "higher"),
    ),
    baseline=Predictor("bare Sionna RT, same worker", _bare),
    subject=Predictor("rfplatform", _solve),
    repeats=3,
    warm_ups=1,
)


# ----------------------------------------------------------------------------------------------
# speed:start
# ----------------------------------------------------------------------------------------------

HELP_CPU_S = 0.4
HEAVY_MODULES = ("tensorflow", "sionna", "xarray", "geopandas")
"""What help must not wait for."""

_HELP = (
    "import sys; from rfplatform.cli import main; code = main(['--help']); "
    "sys.stderr.write(' '.join(sys.modules)); sys.exit(code)"
)


@dataclass(frozen=True)
class StartRun:
    """CPU time of a process, user and system, and the heavy modules that it imported."""

    cpu_s: float
    heavy: tuple[str, ...]


def _start(code: str) -> StartRun:
    import resource

    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = cpu_s()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    used_s = cpu_s() - before
    words = done.stderr.split()
    if done.returncode:
        raise InputError(f"rfplatform --help failed ({' '.join(words[-12:]) or 'no message'})")
    return StartRun(used_s, tuple(name for name in HEAVY_MODULES if name in words))


def _start_cases() -> Sequence[Case]:
    return [Case("rfplatform --help", _HELP)]


START: Benchmark[StartRun] = Benchmark(
    "speed:start",
    "What the command line costs before it does anything",
    _start_cases,
    (
        Metric("CPU time", "s", lambda run, _: run.cpu_s, "lower", HELP_CPU_S),
        Metric("heavy imports", "modules", lambda run, _: len(run.heavy), "lower", 0),
    ),
    baseline=Predictor("python -c pass", lambda _: _start("pass")),
    subject=Predictor("rfplatform", _start),
    repeats=5,
    warm_ups=1,
)

SPEED: tuple[Benchmark[Any], ...] = (SCENE, RAYTRACED, START)


_MISSING = 4
"""Exit code of the process below where a library is missing."""


def _main(builder: str, path: str) -> int:
    try:
        run = _make_scene("ours" if builder == "ours" else "trimesh", Path(path))
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return _MISSING
    json.dump(vars(run), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
