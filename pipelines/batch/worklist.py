"""From jobs to what there is to make: scenes first, then the maps of their tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.batch.inputs import licence_of, local_file, put_input
from pipelines.batch.jobs import Job
from pipelines.batch.tile import MapTask, SceneTask, put_scene
from pipelines.batch.tiling import Bounds, TileBox, tile_boxes
from pipelines.map import Plan, checked
from pipelines.scene import opened
from rfplatform.antennas import is_file
from rfplatform.formats.scene_parts import ABOUT, read_about
from rfplatform.geodata.load import load_scene, source_name, source_path
from rfplatform.geodata.place import BuiltIn, FileSource, SceneFile
from rfplatform.geodata.sites import SiteRow, require_inside
from rfplatform.propagation.survey import mesh_files
from rfplatform.registry.store import Store
from rfplatform.scene import Area, Scene


@dataclass(frozen=True, eq=False)
class PlannedJob:
    """A job whose options are checked and whose inputs are in the store.

    Attributes
    ----------
    job : Job
    plan : Plan
    inputs : dict of str to str
        See `pipelines.batch.tile.MapTask`.
    scene : SceneTask or str
        What has to be prepared, or the scene that has been; "" for one made elsewhere.
    """

    job: Job
    plan: Plan
    inputs: dict[str, str]
    scene: SceneTask | str

    @property
    def scene_ref(self) -> str:
        """Full name of the prepared scene."""
        return self.scene.ref if isinstance(self.scene, SceneTask) else self.scene


def plan_job(job: Job, store: Store, *, verify: bool = False) -> PlannedJob:
    """Check a job and put what it reads into the store; see `put_input` for `verify`.

    Raises
    ------
    InputError
        Anything wrong with what was asked for.
    MissingError
        The network, or the store, can't be had.
    """
    with opened(job.config.area, job.config.default_material) as (source, notes):
        plan = checked(job.config, source, notes)
        inputs = _put_files(plan, job.config.terrain, store, verify)
        if isinstance(source, SceneFile):
            inputs["area"] = _put_scene_file(source, store, verify)
            return PlannedJob(job, plan, inputs, "")
        return PlannedJob(job, plan, inputs, _scene(plan, store, verify))


def _put_files(plan: Plan, terrain: Path | None, store: Store, verify: bool) -> dict[str, str]:
    """Put the antennas' files and the elevation model into the store; their names there."""
    inputs = {
        path: put_input(store, {Path(path).name: Path(path)}, Path(path).name, verify=verify).ref
        for path in sorted({row.antenna for row in plan.rows if is_file(row.antenna)})
    }
    if terrain is not None:
        inputs["terrain"] = put_input(
            store, {terrain.name: terrain}, terrain.name, verify=verify
        ).ref
    return inputs


def _put_scene_file(source: SceneFile, store: Store, verify: bool) -> str:
    """Put a scene made elsewhere into the store, with its meshes."""
    folder = source.path.parent
    files = {name: folder / name for name in (source.path.name, *mesh_files(source.path))}
    parents: tuple[str, ...] = ()
    if source.original is not None:
        parents = (
            put_input(
                store,
                {source.original.name: source.original},
                source.original.name,
                verify=verify,
            ).ref,
        )
    licence = licence_of(source.attribution)
    return put_input(store, files, source.name, licence, parents, verify=verify).ref


def _scene(plan: Plan, store: Store, verify: bool) -> SceneTask | str:
    source, bbox = plan.source, plan.bbox
    assert bbox is None or isinstance(bbox, Area)
    path = source_path(source)
    if path is None:  # from the network, now: what is downloaded is what is kept
        assert not isinstance(source, SceneFile)
        return put_scene(store, load_scene(source, bbox), source_name(source)).ref  # type: ignore[arg-type]
    kind = source.kind if isinstance(source, FileSource) else "osm"
    there = put_input(store, {path.name: path}, path.name, verify=verify)
    title = "Central Helsinki" if isinstance(source, BuiltIn) else source_name(source)
    return SceneTask(
        store.url, there.ref, FileSource(Path(path.name), kind), bbox, source_name(source), title
    )


@dataclass(frozen=True, eq=False)
class JobMaps:
    """The maps of a job.

    Attributes
    ----------
    tasks : tuple of MapTask
    num_empty : int
        Tiles that no sector reaches, of which there is no map.
    """

    tasks: tuple[MapTask, ...]
    num_empty: int = 0


def job_maps(planned: PlannedJob, store: Store) -> JobMaps:
    """The maps to make of a job whose scene is prepared.

    Raises
    ------
    InputError
        Sites outside the area; no site that reaches any tile.
    """
    job, plan, ref = planned.job, planned.plan, planned.scene_ref
    name = source_name(plan.source)

    def task(rows: tuple[SiteRow, ...], box: TileBox | None) -> MapTask:
        used = {"area", "terrain", *(row.antenna for row in rows)}
        inputs = {what: where for what, where in planned.inputs.items() if what in used}
        reached = replace(plan, rows=rows)
        return MapTask(store.url, reached, job.config, ref, inputs, box, name)

    if not ref:
        return JobMaps((task(plan.rows, None),))
    scene = read_about(local_file(store, store.artifact(ref).file(ABOUT)))
    require_inside(plan.rows, scene)
    if job.tile_m is None:
        return JobMaps((task(plan.rows, None),))
    boxes = tile_boxes(
        _projected_bounds(scene),
        job.tile_m,
        job.tile_margin_m,
        job.tile_overlap_m,
        job.config.resolution_m,
    )
    reaching = _rows_within(plan.rows, boxes, scene)
    tasks = tuple(task(rows, box) for rows, box in zip(reaching, boxes, strict=True) if rows)
    return JobMaps(tasks, len(boxes) - len(tasks))


def _projected_bounds(scene: Scene) -> Bounds:
    west, south, east, north = scene.area.bounds_m(scene.frame)
    e, n = scene.frame.origin_easting_m, scene.frame.origin_northing_m
    return west + e, south + n, east + e, north + n


def _rows_within(
    rows: tuple[SiteRow, ...], boxes: list[TileBox], scene: Scene
) -> list[tuple[SiteRow, ...]]:
    """For every tile the rows whose sites lie in it or in its margin."""
    import numpy as np

    x, y = scene.frame.from_lonlat(
        np.array([row.lon_deg for row in rows]), np.array([row.lat_deg for row in rows])
    )
    easting, northing = x + scene.frame.origin_easting_m, y + scene.frame.origin_northing_m
    found = []
    for box in boxes:
        west, south, east, north = box.scene_bounds_m
        inside = (easting >= west) & (easting <= east) & (northing >= south) & (northing <= north)
        found.append(tuple(rows[i] for i in np.flatnonzero(inside).tolist()))
    return found
