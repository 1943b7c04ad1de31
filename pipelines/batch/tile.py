"""One map of a batch: what decides it, its key, and its making on whatever machine it falls to."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import shapely

from pipelines.batch.inputs import licence_of, local_file, local_folder
from pipelines.batch.tiling import Bounds, TileBox
from pipelines.map import Clock, Config, Plan, describe_map, require_feasible, titled, write_map
from pipelines.scene import (
    describe,
    open_scene,
    plain,
    scene_warnings,
    slug,
    versions,
    write_json,
)
from rfplatform import __version__
from rfplatform.antennas import is_file
from rfplatform.catalog import SolverConfig
from rfplatform.errors import InputError
from rfplatform.formats.buildings import (
    write_buildings_parquet,
    write_height_geotiff,
    write_terrain_geotiff,
)
from rfplatform.formats.scene_parts import ABOUT, BUILDINGS, around, read_part, write_parts
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import FileSource, SceneFile
from rfplatform.geodata.sites import SiteRow, place_sectors
from rfplatform.geodata.terrain import on_terrain
from rfplatform.planning.layers import PlanningLayers, planning_layers
from rfplatform.propagation.cascade import Cascade
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.raytraced import RayTraced, TraceProgress
from rfplatform.propagation.survey import Survey
from rfplatform.propagation.unet import require_keras
from rfplatform.radiomap import Grid, RadioMap, RadioMapSolver
from rfplatform.registry.artifact import Artifact, canonical_json
from rfplatform.registry.store import Store
from rfplatform.scene import Area, Scene

LEARNED = ("cascade", "geo2sigmap")
RECIPE = 1
"""Counts up when the same configuration gives other files."""

RECORD = "map.json"
SCHEMA = "radio map: CF-1.11 Zarr v3 in a ZIP, Cloud Optimized GeoTIFF, record as JSON"
VERSION_DIGITS = 20
TIMINGS = ("solve_s", "rays_per_s")
"""Attributes of a map that differ from run to run."""

TRACING_MEMORY_BYTES = 2 << 30
"""A ray tracer that has grown larger is ended after its map, and the next map gets a fresh one."""


@dataclass(frozen=True)
class SceneTask:
    """A scene to prepare, so that maps of any part of it can be made at once.

    Attributes
    ----------
    store : str
        The batch's store.
    input : str
        The data set ("name@version") of the footprints.
    source : FileSource
        Its path is within the data set.
    bbox : Area, optional
    name, title : str
        The area's name, short and for people.
    """

    store: str
    input: str
    source: FileSource
    bbox: Area | None
    name: str
    title: str

    @property
    def ref(self) -> str:
        """Full name of the artifact."""
        decides = {
            "input": self.input,
            "bbox": None if self.bbox is None else list(self.bbox.bounds_deg),
            "title": self.title,
            **made_by("scene"),
        }
        return f"scenes/{slug(self.name)}@{_hash(decides)[:16]}"


@dataclass(frozen=True)
class MapTask:
    """A map to make: everything that decides its files, and where they go.

    Attributes
    ----------
    store : str
        The batch's store.
    plan : Plan
        Solver, rows (those alone that reach the map) and assumptions. Files that it names are
        paths on the machine that planned; `inputs` says where they are to be found.
    config : Config
    scene : str
        A prepared scene; "" for one made elsewhere, which is among the inputs.
    inputs : mapping of str to str
        Data sets by what they are for: "area", "terrain", and the paths of antenna files.
    box : TileBox, optional
        The tile; None for a whole area.
    area : str
        The area's name.
    """

    store: str
    plan: Plan = field(repr=False)
    config: Config
    scene: str
    inputs: Mapping[str, str]
    box: TileBox | None
    area: str

    def key(self) -> str:
        """SHA-256 of everything that decides the files."""
        rows = [
            {**asdict(row), "row": 0, "antenna": self.inputs.get(row.antenna, row.antenna)}
            for row in self.plan.rows
        ]
        return _hash(
            {
                "options": self.options(),
                "rows": plain(rows),  # a site in local metres has no longitude: NaN
                "scene": self.scene or plain(_decisive(self.plan)),
                "inputs": sorted(self.inputs.values()),
                "box": None if self.box is None else plain(asdict(self.box)),
                **made_by(self.config.solver),
            }
        )

    @property
    def ref(self) -> str:
        """Full name of the artifact."""
        return f"maps/{slug(self.area)}@{self.key()[:VERSION_DIGITS]}"

    @property
    def label(self) -> str:
        """For people."""
        return self.area if self.box is None else f"{self.area} {self.box.column},{self.box.row}"

    def options(self) -> dict[str, Any]:
        """The options that decide the map, without a path of any machine."""
        given = asdict(self.config)
        elsewhere = {"area", "sites", "site", "terrain", "out", "overwrite"}
        if self.scene:  # which part of the area is in the scene's own name
            elsewhere |= {"bbox", "origin"}
        if not self.config.model:
            elsewhere.add("model")
        # As a number also where the solver's own was taken, and one for those that trace none.
        given["rays_per_sector"] = float(
            getattr(self.plan.solver, "rays_per_sector", RayTraced.rays_per_sector)
        )
        return {
            **{name: plain(value) for name, value in given.items() if name not in elsewhere},
            "area": self.area,
            "formats": list(self.plan.formats),
        }


def _decisive(plan: Plan) -> dict[str, Any]:
    """What decides a map in a scene made elsewhere, beside its files."""
    source = plan.source
    assert isinstance(source, SceneFile)
    kept = {k: v for k, v in asdict(source).items() if k not in ("path", "original")}
    return {**kept, "frame": asdict(plan.frame)}


def made_by(solver: str) -> dict[str, Any]:
    """Versions that decide a result."""
    found: dict[str, Any] = {"rfplatform": __version__, "recipe": RECIPE}
    if solver in ("raytraced", "cascade"):
        found["sionna-rt"] = importlib.metadata.version("sionna-rt")
    if solver in LEARNED:
        require_keras()
        found["keras"] = importlib.metadata.version("keras")
    return found


def _hash(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def make_scene(task: SceneTask) -> dict[str, Any]:
    """Prepare a scene and put it into the store, unless it is there.

    Returns
    -------
    dict
        "ref" of the artifact and "seconds".
    """
    started = time.perf_counter()
    store = Store(task.store)
    if not store.has_artifact(task.ref):
        found = store.artifact(task.input)
        path = local_file(store, found.files[0])
        scene = load_scene(replace(task.source, path=path), task.bbox)
        titled_scene = replace(scene, area=replace(scene.area, name=task.title))
        version = task.ref.partition("@")[2]
        put_scene(store, titled_scene, task.name, version, (task.input,))
    return {"ref": task.ref, "seconds": time.perf_counter() - started}


def put_scene(
    store: Store, scene: Scene, name: str, version: str | None = None, parents: tuple[str, ...] = ()
) -> Artifact:
    """Put a scene of footprints into a store, to be read back in parts.

    Parameters
    ----------
    store : Store
    scene : Scene
        On flat ground.
    name : str
        The area's short name.
    version : str, optional
        By default the beginning of the contents' hash.
    parents : tuple of str
        What it was made from.
    """
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        write_parts(scene, Path(folder))
        files = tuple(store.put_file(Path(folder, file)) for file in (BUILDINGS, ABOUT))
    made = Artifact(
        f"scenes/{slug(name)}",
        version or _hash([file.sha256 for file in files])[:16],
        "scene",
        files,
        parents,
        title=scene.area.name,
        licence=licence_of(scene.attribution),
        schema="footprints with heights, GeoParquet; their frame as JSON",
        facts={
            "buildings": len(scene.buildings),
            "height_sources": scene.height_sources(),
            "attribution": scene.attribution,
            "crs": scene.frame.crs,
        },
        run={"versions": versions(), "host": socket.gethostname()},
    )
    _settle(store, made)
    return made


Report = Callable[[TraceProgress], None]


def make_map(
    task: MapTask, process: TracingProcess | None = None, progress: Report | None = None
) -> dict[str, Any]:
    """Make a map and put it into the store, unless it is there.

    Parameters
    ----------
    task : MapTask
    process : TracingProcess, optional
        What traces rays; by default this process's own (`tracing_process`).
    progress : callable, optional
        Told how far the solver is.

    Returns
    -------
    dict
        "ref" of the artifact, "seconds", "rays" of all sectors, and whether it was there
        "already".
    """
    store, ref = Store(task.store), task.ref
    if store.has_artifact(ref):
        return {"ref": ref, "seconds": 0.0, "rays": 0, "already": True}
    clock, started = Clock(), time.perf_counter()
    with _scene_of(task, store) as (scene, survey), _folder() as folder:
        rows = tuple(_with_local_antenna(row, task, store) for row in task.plan.rows)
        sectors = place_sectors(rows, scene)
        grid = _grid(task, scene)
        require_feasible(task.config, sectors, grid)
        clock.lap("scene")
        solved = _solver(task.plan.solver, process, progress)(scene, sectors, grid)
        clock.lap("solver")
        seen = _seen(scene, task, grid)
        radio_map = titled(_reproducible(solved), seen)
        planning = planning_layers(radio_map, task.plan.assumptions)
        about = _about(task, seen, survey, radio_map, planning)
        _write(task, radio_map, planning, seen, about, folder)
        clock.lap("outputs")
        files = tuple(store.put_file(path) for path in sorted(folder.iterdir()))
    clock.lap("store")
    seconds, rays = time.perf_counter() - started, _rays(solved)
    name, _, version = ref.partition("@")
    is_ours = _settle(
        store,
        Artifact(
            name,
            version,
            "radio-map",
            files,
            _parents(task),
            title=task.label,
            licence=licence_of(scene.attribution),
            schema=SCHEMA,
            config=task.options(),
            facts=_facts(task, seen, radio_map, about),
            run={
                "seconds": round(seconds, 3),
                "stages_s": clock.laps,
                "rays": rays,
                "rays_per_s": solved.attrs.get("rays_per_s"),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "platform": platform.platform(),
                "versions": versions(),
                "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            },
        ),
    )
    return {"ref": ref, "seconds": seconds, "rays": rays, "already": not is_ours}


def _settle(store: Store, artifact: Artifact) -> bool:
    """Make an artifact exist, unless a faster maker did, be it with other bits (a GPU's)."""
    try:
        store.put_artifact(artifact)
    except InputError:
        if not store.has_artifact(artifact.ref):
            raise
        return False
    return True


@cache
def tracing_process() -> TracingProcess:
    """The process's own ray tracer: one thread, for equal bits; recycled when it has grown."""
    return TracingProcess(threads=1, memory_limit_bytes=TRACING_MEMORY_BYTES)


def _solver(
    config: SolverConfig, process: TracingProcess | None, progress: Report | None
) -> RadioMapSolver:
    if isinstance(config, RayTraced | Cascade):
        return config.load(progress, process or tracing_process())
    return config.load(progress)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        yield Path(folder)


@contextmanager
def _scene_of(task: MapTask, store: Store) -> Iterator[tuple[Scene, Survey | None]]:
    """The scene that a map is made in; its files lie on this machine meanwhile."""
    if task.scene:
        parts = store.artifact(task.scene)
        buildings, about = (local_file(store, parts.file(name)) for name in (BUILDINGS, ABOUT))
        box = None if task.box is None else task.box.scene_bounds_m
        terrain = task.inputs.get("terrain")
        model = None if terrain is None else local_file(store, store.artifact(terrain).files[0])
        scene = read_part(buildings, about, box)
        yield on_terrain(scene, model, task.config.terrain_resolution_m), None
        return
    source = task.plan.source
    assert isinstance(source, SceneFile)
    folder = local_folder(store, store.artifact(task.inputs["area"]))
    here = replace(source, path=folder / source.path.name)
    yield open_scene(here, task.plan.bbox, task.plan.frame, None, task.config.terrain_resolution_m)


def _with_local_antenna(row: SiteRow, task: MapTask, store: Store) -> SiteRow:
    ref = task.inputs.get(row.antenna)
    if ref is None:
        return row
    return replace(row, antenna=str(local_file(store, store.artifact(ref).files[0])))


def _grid(task: MapTask, scene: Scene) -> Grid:
    frame = scene.frame
    bounds_m = scene.area.bounds_m(frame)
    if task.box is not None:
        west, south, east, north = task.box.grid_bounds_m
        e, n = frame.origin_easting_m, frame.origin_northing_m
        bounds_m = west - e, south - n, east - e, north - n
    return Grid.covering(bounds_m, frame, task.config.resolution_m, task.config.receiver_height_m)


def _seen(scene: Scene, task: MapTask, grid: Grid) -> Scene:
    """The scene as the map's files tell of it: without the margin around a tile."""
    if task.box is None:
        return scene
    area = around(task.label, _projected(grid), scene.frame.on_earth())
    box = shapely.box(grid.west_m, grid.south_m, grid.east_m, grid.north_m)
    inside = tuple(b for b in scene.buildings if b.footprint.intersects(box))
    return replace(scene, area=area, buildings=inside)


def _projected(grid: Grid) -> Bounds:
    """West, south, east, north of a grid in eastings and northings."""
    e, n = grid.frame.origin_easting_m, grid.frame.origin_northing_m
    return grid.west_m + e, grid.south_m + n, grid.east_m + e, grid.north_m + n


def _reproducible(radio_map: RadioMap) -> RadioMap:
    """Without what differs from run to run, and from machine to machine."""
    return replace(
        radio_map,
        sectors=tuple(
            replace(s, antenna=Path(s.antenna).name) if is_file(s.antenna) else s
            for s in radio_map.sectors
        ),
        attrs={k: v for k, v in radio_map.attrs.items() if k not in TIMINGS},
    )


def _rays(radio_map: RadioMap) -> int:
    """Rays of all sectors, reflections and diffraction together; 0 of a closed form."""
    each = ("rays_traced_per_sector", "diffraction_rays_traced_per_sector")
    return len(radio_map.sectors) * sum(int(radio_map.attrs.get(name, 0)) for name in each)


def _about(
    task: MapTask,
    scene: Scene,
    survey: Survey | None,
    radio_map: RadioMap,
    planning: PlanningLayers,
) -> dict[str, Any]:
    """What `RECORD` holds."""
    of_scene, of_map = (
        describe(scene, survey),
        describe_map(task.config, task.plan.rows, radio_map, planning),
    )
    if of_scene["solids"] is not None:
        of_scene["solids"]["xml"] = Path(of_scene["solids"]["xml"]).name
    return {
        **of_scene,
        **of_map,
        "warnings": [*scene_warnings(scene, survey), *of_map["warnings"]],
        "options": task.options(),
        "inputs": sorted(_parents(task)),
        "tile": _tile(task.box),
    }


def _tile(box: TileBox | None) -> dict[str, Any] | None:
    if box is None:
        return None
    names = ("column", "row", "core_bounds_m", "margin_m", "overlap_m")
    return dict(plain({name: getattr(box, name) for name in names}))


def _write(
    task: MapTask,
    radio_map: RadioMap,
    planning: PlanningLayers,
    scene: Scene,
    about: dict[str, Any],
    folder: Path,
) -> None:
    """Write the artifact's files."""
    write_map(radio_map, planning, scene, task.plan.formats, folder, zipped=True)
    if scene.solids is None:
        write_buildings_parquet(scene, folder / BUILDINGS)
    write_height_geotiff(scene, radio_map.grid, folder / "building_heights.tif")
    if scene.terrain is not None:
        write_terrain_geotiff(scene, radio_map.grid, folder / "terrain.tif")
    write_json(about, folder / RECORD)


def _parents(task: MapTask) -> tuple[str, ...]:
    made_in = (task.scene,) if task.scene else ()
    return tuple(dict.fromkeys((*made_in, *sorted(task.inputs.values()))))


def _facts(
    task: MapTask, scene: Scene, radio_map: RadioMap, about: Mapping[str, Any]
) -> dict[str, Any]:
    on_earth = scene.frame.crs is not None
    taken = ("grid", "sectors", "solver", "coverage", "planning", "tile", "warnings")
    return {
        "area": task.area,
        "bounds_deg": about["area"]["bounds_deg"],
        "footprint_lonlat": _footprint(radio_map.grid) if on_earth else None,
        "crs": scene.frame.crs,
        "bounds_m": list(_projected(radio_map.grid)),
        **{name: about[name] for name in taken},
        "buildings": about["buildings"]["count"],
        "attribution": scene.attribution,
    }


def _footprint(grid: Grid) -> list[list[float]]:
    """The grid's border as a closed ring of longitudes and latitudes, counter-clockwise."""
    x = [grid.west_m, grid.east_m, grid.east_m, grid.west_m, grid.west_m]
    y = [grid.south_m, grid.south_m, grid.north_m, grid.north_m, grid.south_m]
    lon, lat = grid.frame.to_lonlat(x, y)
    return [[round(a, 8), round(b, 8)] for a, b in zip(lon.tolist(), lat.tolist(), strict=True)]
