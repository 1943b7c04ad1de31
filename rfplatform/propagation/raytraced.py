"""Ray-traced radio maps with Sionna RT: the only file that knows it.

The top half runs in the caller and never imports Sionna; the bottom half is the worker process,
started as ``python -m rfplatform.propagation.raytraced``.
"""

from __future__ import annotations

import gc
import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rfplatform.antennas import (
    Antenna,
    antenna,
    sector_gain_dbi,
    sector_orientation_rad,
    slant_deg,
)
from rfplatform.errors import InputError
from rfplatform.propagation.montecarlo import (
    MAX_RAYS_PER_SECTOR,
    MIN_RAYS_PER_SECTOR,
    MIN_ROUNDS,
    Round,
    RunningMean,
    rounds,
)
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.worker import Arrays, Worker, serve
from rfplatform.radiomap import Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.scene import Scene
from rfplatform.terrain import Terrain, grid_faces
from rfplatform.units import FloatArray, db_to_linear, linear_to_db, wavelength_m

SUBCELLS = 4
"""Line of sight is evaluated at SUBCELLS x SUBCELLS points of every cell."""

NEAR_CELLS = 48
"""Within so many cells of the antenna its free-space gain is averaged over those points too."""

MAX_SAMPLES_PER_LAUNCH = 40_000_000
"""Rays of all sectors of one launch; what bounds the worker's memory."""


POINTS_PER_CALL = 100
"""Receivers that the exact path solver is given at once."""

MAX_DELAY_POINTS = 100_000

MAX_ERROR_DB = 20.0
"""The largest standard error that is stated: beyond, a level is as good as unknown."""

EDGE_TABLE_SIZE = 1 << 17
"""Slots of Sionna's table of diffracting edges. With its own 10,000 it drops, by collisions, one
edge in seven of central Helsinki's 2,600, and with them 1.3 dB of the diffracted power."""

EDGE_CLEARANCE_M = 0.01
"""How far from its edge a diffracted path starts, so that the edge's own faces don't end it."""

PATTERN_STEP_DEG = 0.25
"""Between the nodes of the table that Sionna looks a pattern up in."""

Interactions = Literal["specular", "diffraction", "all"]
"""What a launch is for. "all" is one bare call of Sionna's solver, line of sight included."""


@dataclass(frozen=True)
class TraceProgress:
    """Where a trace stands, after every launch.

    Attributes
    ----------
    rays, rays_budget : int
        Over all sectors; reflections and diffraction are counted apart.
    rounds, num_rounds : int
        Finished by every sector, and the most there will be.
    noise_db : float
        Median standard error over outdoor cells with a path; NaN before it is known.
    elapsed_s : float
        Since the first ray.
    """

    rays: int
    rays_budget: int
    rounds: int
    num_rounds: int
    noise_db: float
    elapsed_s: float


@dataclass(frozen=True)
class RayTraced:
    """Ray tracing with Sionna RT, until a stated noise is reached.

    Line of sight is evaluated exactly (antenna gain and free-space loss at the points of a cell
    that see the antenna); everything else is traced in batches on different launch lattices, from
    whose spread the standard error comes.

    Attributes
    ----------
    max_depth : int
        Most reflections of a path.
    rays_per_sector : int
        Budget; the trace stops earlier when the noise is reached.
    target_noise_db : float
        Median standard error over outdoor cells with a path at which to stop; 0 never stops.
    seed : int
        Decides the order of the launch lattices and the samples on diffracting edges.
    diffraction, diffuse_reflection, refraction : bool
        First-order diffraction; scattering; paths through walls (into and out of buildings).
    reconstruct : bool
        Whether to pass the traced part through the reconstruction filter.
    delay_points : int
        Outdoor cells, drawn at random, at whose centres the exact path solver gives the mean delay
        and the delay spread; the other cells have none. A radio map of Sionna's knows no delays,
        and the path solver takes some tenths of a second a cell and sector.
    """

    max_depth: int = 8
    rays_per_sector: int = 20_000_000
    target_noise_db: float = 1.0
    seed: int = 1
    diffraction: bool = True
    diffuse_reflection: bool = False
    refraction: bool = False
    reconstruct: bool = True
    delay_points: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.delay_points <= MAX_DELAY_POINTS:
            raise InputError(
                f"delay points {self.delay_points}: must lie in 0..{MAX_DELAY_POINTS:,}"
            )
        if not 0 <= self.max_depth <= 64:
            raise InputError(f"max depth {self.max_depth}: must lie in 0..64")
        if not MIN_RAYS_PER_SECTOR <= self.rays_per_sector <= MAX_RAYS_PER_SECTOR:
            raise InputError(
                f"rays {self.rays_per_sector}: must lie in {MIN_RAYS_PER_SECTOR}..1e12 (a sector)"
            )
        if not (np.isfinite(self.target_noise_db) and self.target_noise_db >= 0):
            raise InputError(f"target noise {self.target_noise_db} dB: must be 0 or more")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed {self.seed}: must lie in 0..2147483647")

    def load(
        self,
        progress: Callable[[TraceProgress], None] | None = None,
        process: TracingProcess | None = None,
    ) -> RadioMapSolver:
        """The solver; `progress` is called after every launch.

        Every map is traced in a process of its own, or in the one that is given, which stays the
        caller's to close.
        """

        def solve(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> RadioMap:
            with tracer(scene, sectors, grid, self, process) as trace:
                return self.solve_with(trace, scene, sectors, grid, progress)

        return solve

    def solve_with(
        self,
        trace: Tracer,
        scene: Scene,
        sectors: Sequence[Sector],
        grid: Grid,
        progress: Callable[[TraceProgress], None] | None = None,
    ) -> RadioMap:
        """Solve in a worker that is open on this scene, these sectors and this grid already."""
        return _solve(self, trace, scene, tuple(sectors), grid, progress)


@dataclass(frozen=True, eq=False)
class Tracer:
    """An open worker with a scene loaded, and the groups that its sectors are traced in.

    Sectors of one mast with one antenna and carrier are launched together: Sionna gives all
    transmitters of a launch the same antenna, and shares its diffraction samples among the edges
    that any of them sees.
    """

    worker: Worker
    groups: tuple[tuple[int, ...], ...]

    def line_of_sight(self) -> tuple[FloatArray, FloatArray]:
        """Path gain (linear) and visible share of every cell, [num_sectors, num_y, num_x]."""
        arrays = self.worker.ask("line_of_sight").arrays
        return arrays["gain"], arrays["share"]

    def trace(self, group: int, rays: int, seed: int, interactions: Interactions) -> FloatArray:
        """One launch: path gain (linear) of a group's sectors, [in group, num_y, num_x]."""
        reply = self.worker.ask(
            "trace", group=group, rays=rays, seed=seed, interactions=interactions
        )
        return reply.arrays["gain"]

    def point_gains(self, points_m: npt.NDArray[np.floating]) -> FloatArray:
        """Path gain (linear) by Sionna's exact path solver, [num_sectors, num_points]."""
        return self._points(points_m)["gain"]

    def point_delays(self, points_m: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Mean delay and RMS delay spread [s] by the exact path solver, [num_sectors, num_points].

        Both are moments of the power delay profile (ITU-R P.1407-8, Eqs. 1 and 3), delays counted
        from the antenna's emission; NaN without a path.
        """
        arrays = self._points(points_m)
        return arrays["mean_delay_s"], arrays["delay_spread_s"]

    def _points(self, points_m: npt.NDArray[np.floating]) -> Arrays:
        points = np.asarray(points_m, dtype=float).tolist()
        return self.worker.ask("point_gains", points_m=points).arrays


@contextmanager
def tracer(
    scene: Scene,
    sectors: Sequence[Sector],
    grid: Grid,
    config: RayTraced,
    process: TracingProcess | None = None,
) -> Iterator[Tracer]:
    """Open a scene in a worker: ``with tracer(scene, sectors, grid, config) as trace``.

    Without a process, in one that ends with it.
    """
    if process is None:
        with (
            TracingProcess() as own,
            tracer(scene, sectors, grid, config, own) as trace,
        ):
            yield trace
        return
    groups = tuple(trace_groups(sectors))
    with process.map() as worker:
        key = geometry_key(scene)
        if not worker.ask("holds", key=key).values["held"]:
            _hold(worker, key, scene)
        worker.ask(
            "open",
            sectors=[asdict(s) for s in sectors],
            groups=groups,
            grid={k: v for k, v in asdict(grid).items() if k != "frame"},
            config=asdict(config),
        )
        yield Tracer(worker, groups)


def _hold(worker: Worker, key: str, scene: Scene) -> None:
    """Have a worker load a scene, over files that live no longer."""
    from rfplatform.formats.mitsuba import write_scene

    with tempfile.TemporaryDirectory(prefix="rfplatform-") as name:
        folder = Path(name)
        if scene.solids is None:
            write_scene(scene, folder)
        if scene.terrain is not None:
            np.savez(folder / "terrain.npz", **_nodes(scene.terrain))
        worker.ask(
            "hold",
            key=key,
            scene=str(scene.solids.xml if scene.solids else folder / "shells.xml"),
            # Thousands of shapes of a scene made elsewhere cost up to twice the time of a few.
            merge_shapes=scene.solids is not None,
            terrain=str(folder / "terrain.npz") if scene.terrain is not None else None,
        )


def geometry_key(scene: Scene) -> str:
    """Hash of all that a scene's triangles and materials are made of.

    Scenes of one key are traced alike, whatever their names. Of a scene made elsewhere, the text
    and the sizes and times of the files that it names stand for the triangles.
    """
    digest = hashlib.sha256(scene.ground_material.encode())
    if scene.solids is not None:
        digest.update(_stamp(scene.solids.xml))
    elif scene.terrain is None:
        digest.update(np.array(scene.ground_bounds_m()).tobytes())
    if scene.terrain is not None:
        for name, value in _nodes(scene.terrain).items():
            digest.update(f"{name} {np.shape(value)}".encode() + np.asarray(value).tobytes())
    for b in scene.buildings:
        numbers = np.array([b.ground_m, b.base_m, b.top_m])
        digest.update(b.footprint.wkb + numbers.tobytes() + b.material.encode())
    return digest.hexdigest()


def _stamp(xml: Path) -> bytes:
    """A Mitsuba scene's text, and what the file system says of the files that it names."""
    import xml.etree.ElementTree as ET
    from string import Template

    text = xml.read_bytes()
    root = ET.fromstring(text)  # noqa: S314  (surveyed before: no document type, no entities)
    given = {d.get("name", ""): d.get("value", "") for d in root.iter("default")}
    named = {value for element in root.iter() for value in element.attrib.values()}
    paths = {xml, *(xml.parent / Template(value).safe_substitute(given) for value in named)}
    stats = {str(path): path.stat() for path in paths if path.is_file()}
    return text + repr([(k, s.st_size, s.st_mtime_ns) for k, s in sorted(stats.items())]).encode()


def _nodes(terrain: Terrain) -> dict[str, Any]:
    """What the worker needs of a terrain."""
    return {
        "west_m": terrain.west_m,
        "south_m": terrain.south_m,
        "resolution_m": terrain.resolution_m,
        "heights_m": terrain.heights_m,
    }


def trace_groups(sectors: Sequence[Sector]) -> list[tuple[int, ...]]:
    """Indices of the sectors that share a mast, an antenna and a carrier."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, s in enumerate(sectors):
        key = (s.antenna, s.frequency_hz, s.x_m, s.y_m, s.z_m)
        groups.setdefault(key, []).append(i)
    return [tuple(members) for members in groups.values()]


@dataclass(eq=False)
class _Traced:
    """The launches so far of one kind of path: a running mean for each group of sectors."""

    means: list[RunningMean]
    groups: Sequence[tuple[int, ...]]
    diffusion_steps: int

    def num_launches(self) -> int:
        """Launches that every group has had."""
        return min(m.num_batches for m in self.means)

    def power(self) -> FloatArray:
        """Path gain (linear) as traced, sectors in their order."""
        return np.concatenate([m.mean() for m in self.means])[self._order()]

    def estimate(
        self, los: npt.NDArray[np.bool_], visibility: npt.NDArray[np.int_], *, smooth: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Path gain (linear) and its standard error, sectors in their order."""
        from rfplatform.propagation.reconstruction import reconstruct

        error = np.concatenate([m.standard_error() for m in self.means])[self._order()]
        steps = self.diffusion_steps if smooth else 0
        return reconstruct(self.power(), error, los, visibility, steps)

    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(np.concatenate([np.array(g) for g in self.groups]))


@dataclass(eq=False)
class _Estimate:
    """What is known of every cell so far: line of sight exactly, the rest from its launches.

    Arrays are [num_sectors, num_y, num_x], or [num_y, num_x] where all sectors share them.
    """

    line_of_sight: FloatArray
    los: npt.NDArray[np.bool_]
    outdoor: npt.NDArray[np.bool_]
    lit: npt.NDArray[np.bool_]
    share: FloatArray
    kinds: dict[Interactions, _Traced]

    def total(self, *, smooth: bool) -> tuple[FloatArray, FloatArray]:
        """Path gain (linear) and its standard error."""
        # 0: without power; then outdoors and not, each seen by the antenna and not.
        place = np.where(self.lit, np.where(self.outdoor, 1, 3), 0)
        visibility = np.where(place > 0, place + self.los, 0)
        total, variance = self.line_of_sight, np.zeros_like(self.line_of_sight)
        for traced in self.kinds.values():
            power, error = traced.estimate(self.los, visibility, smooth=smooth)
            total, variance = total + power, variance + error**2
        return total, np.sqrt(variance)

    def rays(self, kind: Interactions) -> int:
        """Rays of a kind that every sector has had."""
        return min(mean.rays for mean in self.kinds[kind].means) if kind in self.kinds else 0

    def raw(self) -> FloatArray:
        """Path gain (linear) as it was traced."""
        return self.line_of_sight + sum(traced.power() for traced in self.kinds.values())


def _nothing_traced(config: RayTraced, trace: Tracer, scene: Scene, grid: Grid) -> _Estimate:
    """The estimate before the first ray."""
    from rfplatform.propagation.reconstruction import DIFFRACTED_STEPS, SPECULAR_STEPS
    from rfplatform.rasterize import outdoor_mask, outdoor_share

    outdoor = outdoor_mask(scene, grid)
    lit = np.ones_like(outdoor) if config.refraction else outdoor
    # A cell's mean is over its part outside buildings: a facade must not dim the street.
    share = np.ones(grid.shape) if config.refraction else outdoor_share(scene, grid)
    line_of_sight, visible = trace.line_of_sight()
    # Without a reflection or an edge there is line of sight alone, which is exact.
    steps: dict[Interactions, int] = {"specular": SPECULAR_STEPS} if config.max_depth else {}
    if config.max_depth and config.diffraction:
        steps["diffraction"] = DIFFRACTED_STEPS
    return _Estimate(
        line_of_sight / share,
        (visible / share > 0.5) & outdoor,
        outdoor,
        lit,
        share,
        {
            kind: _Traced(
                [RunningMean((len(g), *grid.shape)) for g in trace.groups], trace.groups, number
            )
            for kind, number in steps.items()
        },
    )


def _solve(
    config: RayTraced,
    trace: Tracer,
    scene: Scene,
    sectors: tuple[Sector, ...],
    grid: Grid,
    progress: Callable[[TraceProgress], None] | None,
) -> RadioMap:
    from rfplatform.rasterize import ground_layer

    started = time.monotonic()
    now = _nothing_traced(config, trace, scene, grid)
    first_ray = time.monotonic()
    spent, stopped_by = _trace_rounds(config, trace, now, progress)
    rays_per_s = spent / max(time.monotonic() - first_ray, 1e-9)
    total, error = now.total(smooth=config.reconstruct)
    noise_db = _noise_db(total, error, now.outdoor)
    delays: tuple[FloatArray | None, FloatArray | None] = (None, None)
    if config.delay_points and stopped_by != "interrupted":
        delays = _delays(config, trace, scene, grid, now.outdoor)
    return RadioMap(
        grid,
        sectors,
        path_gain_db=_in_db(total, now.lit),
        standard_error_db=_relative_db(total, error, now.lit),
        outdoor=now.outdoor,
        los=now.los,
        raw_path_gain_db=_in_db(now.raw(), now.lit) if config.reconstruct else None,
        ground_m=ground_layer(scene, grid),
        mean_delay_s=delays[0],
        delay_spread_s=delays[1],
        attrs={
            "solver": "raytraced",
            **asdict(config),
            "rounds": now.kinds["specular"].num_launches() if now.kinds else 0,
            "rays_traced_per_sector": now.rays("specular"),
            "diffraction_rays_traced_per_sector": now.rays("diffraction"),
            "noise_db": noise_db if np.isfinite(noise_db) else None,
            "stopped_by": stopped_by,
            "solve_s": round(time.monotonic() - started, 2),
            "rays_per_s": round(rays_per_s),
        },
    )


def _delays(
    config: RayTraced, trace: Tracer, scene: Scene, grid: Grid, outdoor: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Mean delay and delay spread at randomly drawn outdoor cells, NaN elsewhere."""
    cells = np.flatnonzero(outdoor)
    drawn = np.random.default_rng(config.seed).permutation(cells)[: config.delay_points]
    row, column = np.divmod(np.sort(drawn), grid.num_x)
    x, y = grid.x_m()[column], grid.y_m()[row]
    points = np.stack([x, y, scene.ground_m(x, y) + grid.receiver_height_m], axis=1)
    layers = []
    for values in trace.point_delays(points):
        layer = np.full((len(values), *grid.shape), np.nan, dtype=np.float32)
        layer[:, row, column] = values
        layers.append(layer)
    return layers[0], layers[1]


def _trace_rounds(
    config: RayTraced,
    trace: Tracer,
    now: _Estimate,
    progress: Callable[[TraceProgress], None] | None,
) -> tuple[int, Literal["rays", "noise", "interrupted"]]:
    """Launch until the budget is spent, the noise is reached or the user has had enough.

    Returns the rays of all sectors and what ended it.
    """
    plan = _plan(config, trace.groups) if now.kinds else []
    num_sectors = sum(len(g) for g in trace.groups)
    budget = config.rays_per_sector * num_sectors * len(now.kinds)
    noise_db, spent, first_ray = float("nan"), 0, time.monotonic()
    try:
        for i, round_ in enumerate(plan):
            for kind, group, rays in _launches(round_, now.kinds, trace.groups):
                gain = trace.trace(group, rays, _launch_seed(config.seed, i), kind)
                now.kinds[kind].means[group].add(gain / now.share, rays)
                spent += rays * len(trace.groups[group])
                if progress is not None:
                    elapsed_s = time.monotonic() - first_ray
                    progress(TraceProgress(spent, budget, i, len(plan), noise_db, elapsed_s))
            if i + 1 >= MIN_ROUNDS and config.target_noise_db > 0:
                noise_db = _noise_db(*now.total(smooth=config.reconstruct), now.outdoor)
                if noise_db <= config.target_noise_db:
                    return spent, "noise"
    except KeyboardInterrupt:
        if min(traced.num_launches() for traced in now.kinds.values()) == 0:
            raise
        return spent, "interrupted"
    return spent, "rays"


def _plan(config: RayTraced, groups: Sequence[tuple[int, ...]]) -> list[Round]:
    largest = max(len(g) for g in groups)
    return rounds(config.rays_per_sector, config.seed, MAX_SAMPLES_PER_LAUNCH // largest)


def _launch_seed(seed: int, round_number: int) -> int:
    """A seed for a launch; those of neighbouring seeds have none in common."""
    return int(np.random.SeedSequence([seed, round_number]).generate_state(1)[0] >> 1)


def _launches(
    round_: Round, kinds: Iterable[Interactions], groups: Sequence[tuple[int, ...]]
) -> Iterator[tuple[Interactions, int, int]]:
    """Kind, group and rays of every launch of a round."""
    rays = {"specular": round_.specular_rays, "diffraction": round_.diffraction_rays}
    for kind in kinds:
        if rays[kind]:
            for group in range(len(groups)):
                yield kind, group, rays[kind]


def _noise_db(total: FloatArray, error: FloatArray, outdoor: npt.NDArray[np.bool_]) -> float:
    """Median standard error in dB over outdoor cells with a path, of all sectors together.

    Cells that are seen but that no ray has met yet have no error to state, and don't count.
    """
    reached = outdoor & (total > 0)
    if not reached.any():
        return float("nan")
    if np.isnan(error[reached]).any():
        return float("nan")
    met = reached & (error > 0)
    return float(np.median(_decibels_of(error[met] / total[met]))) if met.any() else 0.0


def _decibels_of(relative_error: FloatArray) -> FloatArray:
    """Standard error in dB of a level whose power has a relative standard error.

    4.34 dB times the relative error, as for small ones, which also states larger ones best (the
    errors' tails are heavier than a lognormal's); at most `MAX_ERROR_DB`.
    """
    return np.asarray(np.minimum(10.0 / np.log(10.0) * relative_error, MAX_ERROR_DB))


def _in_db(power: FloatArray, lit: npt.NDArray[np.bool_]) -> FloatArray:
    return linear_to_db(np.where(lit, power, 0.0)).astype(np.float32)


def _relative_db(total: FloatArray, error: FloatArray, lit: npt.NDArray[np.bool_]) -> FloatArray:
    reached = lit & (total > 0)
    relative = np.divide(error, total, out=np.full(total.shape, np.nan), where=reached)
    return np.asarray(_decibels_of(relative), dtype=np.float32)


# ----------------------------------------------------------------------------------------------
# The worker process. Nothing below runs in the caller.
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Geometry:
    """A loaded scene, the terrain in it, and what it is known by."""

    key: str
    scene: Any
    terrain: Terrain | None


@dataclass(eq=False)
class _Session:
    """What the worker holds for one map."""

    scene: Any
    terrain: Terrain | None
    sectors: list[Sector]
    groups: list[list[int]]
    grid: dict[str, Any]
    config: RayTraced
    edge_table_size: int
    active_group: int | None = None
    surface: Any = None
    """The receivers' surface over terrain, and the scene extended by it."""

    def receiver_m(
        self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Heights of receivers at points, as z, broadcast against each other."""
        height_m = float(self.grid["receiver_height_m"])
        if self.terrain is None:
            return np.full(np.broadcast_shapes(x.shape, y.shape), height_m)
        return np.asarray(self.terrain.height_m(x, y) + height_m)


@dataclass(eq=False)
class _State:
    """What the worker holds from map to map; nothing of it decides a map's values.

    One scene and no more: Dr.Jit compiles the materials of every scene that lives into each
    kernel, so that with two of different materials every pair wants kernels of its own, at 3 s,
    where loading central Helsinki takes 0.1 s.
    """

    edge_table_size: int = 0
    geometry: _Geometry | None = None
    session: _Session | None = None


def _handlers() -> dict[str, Callable[..., tuple[dict[str, Any], Arrays]]]:
    state = _State()

    def current() -> _Session:
        if state.session is None:
            raise ValueError("no scene is open")
        return state.session

    def line_of_sight() -> tuple[dict[str, Any], Arrays]:
        gain, share = _line_of_sight(current())
        return {}, {"gain": gain, "share": share}

    def trace(
        group: int, rays: int, seed: int, interactions: Interactions
    ) -> tuple[dict[str, Any], Arrays]:
        return {}, {"gain": _trace(current(), group, rays, seed, interactions)}

    def point_gains(points_m: list[list[float]]) -> tuple[dict[str, Any], Arrays]:
        return {}, _point_paths(current(), np.array(points_m))

    return {
        **_opening_handlers(state),
        "line_of_sight": line_of_sight,
        "trace": trace,
        "point_gains": point_gains,
        **_survey_handlers(),
    }


def _opening_handlers(state: _State) -> dict[str, Callable[..., tuple[dict[str, Any], Arrays]]]:
    """What comes before a map's first ray, and after its last."""

    def start(threads: int | None) -> tuple[dict[str, Any], Arrays]:
        import drjit

        if threads is not None:
            drjit.set_thread_count(threads)  # before the first kernel
        import mitsuba
        import sionna.rt as rt

        state.edge_table_size = rt.RadioMapSolver._WEDGE_INTERSECTIONS_SIZE
        return {"variant": mitsuba.variant()}, {}

    def holds(key: str) -> tuple[dict[str, Any], Arrays]:
        return {"held": state.geometry is not None and state.geometry.key == key}, {}

    def hold(
        key: str, scene: str, merge_shapes: bool, terrain: str | None
    ) -> tuple[dict[str, Any], Arrays]:
        state.geometry = state.session = None
        gc.collect()
        state.geometry = _loaded(key, scene, merge_shapes, terrain)
        return {}, {}

    def open_scene(
        sectors: list[dict[str, Any]],
        groups: list[list[int]],
        grid: dict[str, Any],
        config: dict[str, Any],
    ) -> tuple[dict[str, Any], Arrays]:
        assert state.geometry is not None
        scene, terrain = state.geometry.scene, state.geometry.terrain
        _strip(scene)
        session = _Session(
            scene,
            terrain,
            [Sector(**s) for s in sectors],
            groups,
            grid,
            RayTraced(**config),
            state.edge_table_size,
        )
        if terrain is not None and np.ptp(terrain.heights_m) > 0.0:
            session.surface = _receiver_surface(session)  # level ground needs a plane alone
        state.session = session
        return {}, {}

    def rest() -> tuple[dict[str, Any], Arrays]:
        import drjit

        state.session = None
        if state.geometry is not None:
            _strip(state.geometry.scene)
        gc.collect()
        drjit.flush_malloc_cache()
        return {}, {}

    return {"start": start, "holds": holds, "hold": hold, "open": open_scene, "rest": rest}


def _loaded(key: str, scene: str, merge_shapes: bool, terrain: str | None) -> _Geometry:
    import sionna.rt as rt

    loaded = rt.load_scene(scene, merge_shapes=merge_shapes)
    for material in loaded.radio_materials.values():
        _extend_frequency_range(material)
    if terrain is None:
        return _Geometry(key, loaded, None)
    with np.load(terrain) as nodes:
        return _Geometry(
            key,
            loaded,
            Terrain(
                float(nodes["west_m"]),
                float(nodes["south_m"]),
                float(nodes["resolution_m"]),
                nodes["heights_m"],
            ),
        )


def _strip(scene: Any) -> None:  # noqa: ANN401
    """Take a former map's transmitters and receivers out of a scene."""
    for name in [*scene.transmitters, *scene.receivers]:
        scene.remove(name)


def _extend_frequency_range(material: Any) -> None:  # noqa: ANN401
    """Let a P.2040 material be used outside its table's range, by the nearest range's formula.

    Ground is tabulated from 1 to 10 GHz and concrete from 1 to 100 GHz only (ITU-R P.2040-3,
    Table 3); bare Sionna refuses a 700 MHz carrier, or any at 28 GHz that meets the ground.
    """
    from sionna.rt.radio_materials.itu import ITU_MATERIALS_PROPERTIES

    if getattr(material, "itu_type", None) is None:
        return  # A material with properties of its own has them at any carrier.
    ranges = ITU_MATERIALS_PROPERTIES[material.itu_type]

    def properties(frequency_hz: Any) -> tuple[Any, Any]:  # noqa: ANN401
        f_ghz = float(frequency_hz[0]) / 1e9
        nearest = min(ranges, key=lambda r: max(r[0] / f_ghz, f_ghz / r[1], 1.0))
        a, b, c, d = ranges[nearest]
        return _unbaked(a * f_ghz**b), _unbaked(c * f_ghz**d)

    material.frequency_update_callback = properties


def _activate(session: _Session, group: int) -> list[Sector]:
    """Give the scene the carrier, the antenna and the transmitters of a group."""
    import sionna.rt as rt

    sectors = [session.sectors[i] for i in session.groups[group]]
    if session.active_group == group:
        return sectors
    scene = session.scene
    for name in list(scene.transmitters):
        scene.remove(name)
    scene.frequency = _unbaked(sectors[0].frequency_hz)
    scene.tx_array = scene.rx_array = _array(sectors[0].antenna)
    for i, s in enumerate(sectors):
        orientation = list(sector_orientation_rad(s.azimuth_deg, s.downtilt_deg))
        scene.add(
            rt.Transmitter(f"sector-{i}", position=[s.x_m, s.y_m, s.z_m], orientation=orientation)
        )
    session.active_group = group
    return sectors


def _unbaked(value: float) -> Any:  # noqa: ANN401
    """A number that is read by kernels rather than written into them.

    Otherwise every carrier is other code, and 3 s of compiling.
    """
    import drjit as dr
    import mitsuba as mi

    number = mi.Float(value)
    dr.make_opaque(number)
    return number


def _array(antenna_name: str) -> Any:  # noqa: ANN401
    """One element with our pattern of that name, in its polarization."""
    import sionna.rt as rt

    built_in = {"isotropic": "iso", "dipole": "hw_dipole", "tr38901": "tr38901"}
    if antenna_name in built_in:
        pattern, polarization = built_in[antenna_name], "V"
    else:
        pattern, polarization = _registered_pattern(antenna(antenna_name))
    return rt.PlanarArray(
        num_rows=1,
        num_cols=1,
        vertical_spacing=0.5,
        horizontal_spacing=0.5,
        pattern=pattern,
        polarization=polarization,
    )


def _registered_pattern(pattern: Antenna) -> tuple[str, str]:
    """Make a pattern and its polarization known to Sionna; the names that they got."""
    import sionna.rt as rt
    from sionna.rt.antenna_pattern import PolarizedAntennaPattern

    amplitude = _tabulated(pattern)
    slant = slant_deg(pattern)

    def factory(
        *, polarization: str, polarization_model: str = "tr38901_2"
    ) -> PolarizedAntennaPattern:
        return PolarizedAntennaPattern(
            v_pattern=amplitude, polarization=polarization, polarization_model=polarization_model
        )

    # Registering again replaces what was there; a scene has one array at a time.
    rt.register_antenna_pattern("rfplatform", factory)
    polarization = f"slant {slant:g}"
    rt.register_polarization(polarization, [float(np.radians(slant))])
    return "rfplatform", polarization


def _tabulated(pattern: Antenna) -> Callable[[Any, Any], Any]:
    """Amplitude over zenith and azimuth, linear between the nodes of a table on the device."""
    import drjit as dr
    import mitsuba as mi

    complex_number: Any = mi.Complex2f  # its stub is no type
    num_theta, num_phi = round(180 / PATTERN_STEP_DEG) + 1, round(360 / PATTERN_STEP_DEG)
    theta = np.linspace(0.0, np.pi, num_theta)[:, None]
    phi = np.linspace(-np.pi, np.pi, num_phi, endpoint=False)[None, :]
    nodes = np.sqrt(db_to_linear(pattern.gain_dbi(theta, phi))).astype(np.float32)
    table = mi.Float(nodes.ravel())
    dr.eval(table)

    def amplitude(theta: Any, phi: Any) -> Any:  # noqa: ANN401
        row = dr.clip(theta * ((num_theta - 1) / np.pi), 0.0, num_theta - 1.0)
        turns = (phi + np.pi) / (2.0 * np.pi)
        column = (turns - dr.floor(turns)) * float(num_phi)
        top: Any = dr.minimum(mi.UInt32(row), num_theta - 2)
        # Rounding may put the fraction of a turn at 1 itself.
        left: Any = dr.minimum(mi.UInt32(column), num_phi - 1)
        right = dr.select(left + 1 == num_phi, mi.UInt32(0), left + 1)
        down, across = row - mi.Float(top), column - mi.Float(left)

        def between(row: Any) -> Any:  # noqa: ANN401
            start = dr.gather(mi.Float, table, row * num_phi + left)
            return dr.lerp(start, dr.gather(mi.Float, table, row * num_phi + right), across)

        return complex_number(dr.lerp(between(top), between(top + 1), down), 0.0)

    return amplitude


def _plane(session: _Session) -> dict[str, Any]:
    g = session.grid
    width_m, depth_m = g["num_x"] * g["resolution_m"], g["num_y"] * g["resolution_m"]
    height_m = float(session.receiver_m(np.zeros(1), np.zeros(1))[0])  # over level ground
    center = [g["west_m"] + width_m / 2, g["south_m"] + depth_m / 2, height_m]
    # A millimetre less, so that rounding in float32 never adds a row.
    return {
        "center": center,
        "orientation": [0.0, 0.0, 0.0],
        "size": [width_m - 1e-3, depth_m - 1e-3],
        "cell_size": [g["resolution_m"], g["resolution_m"]],
    }


def _receiver_surface(session: _Session) -> tuple[Any, Any]:
    """Two triangles a cell at the receivers' height above the terrain, and the scene with them."""
    import mitsuba as mi
    from sionna.rt.scene_utils import extend_scene_with_mesh

    g = session.grid
    x = g["west_m"] + np.arange(g["num_x"] + 1) * g["resolution_m"]
    y = g["south_m"] + np.arange(g["num_y"] + 1) * g["resolution_m"]
    xx, yy = np.meshgrid(x, y)
    vertices = np.stack([xx, yy, session.receiver_m(xx, yy)], axis=-1).reshape(-1, 3)
    faces = grid_faces(len(y), len(x))
    # Rays pass through it, but Sionna wants every mesh to have a radio material.
    properties = mi.Properties()
    properties["mesh_bsdf"] = next(iter(session.scene.radio_materials.values()))
    mesh = mi.Mesh("receivers", len(vertices), len(faces), props=properties)
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = mi.Float(vertices.ravel())
    parameters["faces"] = mi.UInt(faces.ravel().astype(np.uint32))
    parameters.update()
    return mesh, extend_scene_with_mesh(session.scene.mi_scene, mesh)


def _mend_diffraction(*, over_terrain: bool) -> None:
    """Mend two faults of Sionna 2.2, by which a map on a mesh loses its diffracted paths.

    Its test for leaks follows such a path with a ray towards a point one metre on and lets the ray
    end there, so that it never meets the measurement surface: of the three rays that the function
    spawns for a mesh, the third must not end. And the path itself starts so close to the edge that
    it often meets one of the edge's own faces: it must start `EDGE_CLEARANCE_M` off it.
    """
    import itertools

    from sionna.rt.radio_map_solvers import radio_map_solver as module
    from sionna.rt.utils import spawn_ray_to, spawn_ray_towards

    if not over_terrain:
        module.spawn_ray_to, module.spawn_ray_towards = spawn_ray_to, spawn_ray_towards
        return
    calls = itertools.count(1)

    def bounded_but_for_the_third(start: Any, target: Any) -> Any:  # noqa: ANN401
        if next(calls) % 3:
            return spawn_ray_to(start, target)
        return spawn_ray_towards(start, target)

    def clear_of_the_edge(start: Any, target: Any, normal: Any) -> Any:  # noqa: ANN401
        return spawn_ray_towards(start + EDGE_CLEARANCE_M * normal, target)

    module.spawn_ray_to = bounded_but_for_the_third
    module.spawn_ray_towards = clear_of_the_edge


def _measured_on(session: _Session) -> dict[str, Any]:
    """Where Sionna's solver is to measure: a plane, or the receivers' surface over terrain."""
    if session.surface is None:
        return _plane(session)
    mesh, extended = session.surface
    return {"measurement_surface": mesh, "modified_scene": extended}


def _cells(session: _Session, radio_map: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401
    """Path gain of cells, [in group, num_y, num_x]."""
    gain = np.array(radio_map.path_gain, dtype=np.float32)
    if session.surface is None:
        return gain
    # A cell's mean over the ground plan: each of its triangles covers half of it.
    shape = (gain.shape[0], session.grid["num_y"], session.grid["num_x"], 2)
    return np.asarray(gain.reshape(shape).mean(axis=-1))


def _strongest(session: _Session, group: int) -> npt.NDArray[np.float32]:
    """What no diffracted path exceeds: free space with the antenna's largest gain.

    A sample that leaves a ridge and grazes the receivers' surface, which lies but a metre above,
    has a weight that grows without bound.
    """
    g = session.grid
    x = g["west_m"] + (np.arange(g["num_x"]) + 0.5) * g["resolution_m"]
    y = g["south_m"] + (np.arange(g["num_y"]) + 0.5) * g["resolution_m"]
    z = session.receiver_m(x[None, :], y[:, None])
    theta, phi = np.meshgrid(np.linspace(0.0, np.pi, 181), np.linspace(-np.pi, np.pi, 361))
    limits = []
    for i in session.groups[group]:
        s = session.sectors[i]
        distance2 = (x[None, :] - s.x_m) ** 2 + (y[:, None] - s.y_m) ** 2 + (z - s.z_m) ** 2
        largest = db_to_linear(antenna(s.antenna).gain_dbi(theta, phi).max())
        limits.append(largest * (wavelength_m(s.frequency_hz) / (4.0 * np.pi)) ** 2 / distance2)
    return np.stack(limits).astype(np.float32)


def _trace(
    session: _Session, group: int, rays: int, seed: int, interactions: Interactions
) -> npt.NDArray[np.float32]:
    import sionna.rt as rt

    _activate(session, group)
    config = session.config
    rt.RadioMapSolver._WEDGE_INTERSECTIONS_SIZE = (
        session.edge_table_size if interactions == "all" else EDGE_TABLE_SIZE
    )
    _mend_diffraction(over_terrain=session.surface is not None)
    radio_map = rt.RadioMapSolver()(
        session.scene,
        **_measured_on(session),
        samples_per_tx=rays,
        max_depth=config.max_depth,
        los=interactions == "all",
        specular_reflection=interactions != "diffraction",
        diffuse_reflection=config.diffuse_reflection and interactions != "diffraction",
        refraction=config.refraction and interactions != "diffraction",
        diffraction=config.diffraction and interactions != "specular",
        seed=seed,
    )
    gain = _cells(session, radio_map)
    if session.surface is not None and interactions == "diffraction":
        gain = np.minimum(gain, _strongest(session, group))
    expected = (len(session.groups[group]), session.grid["num_y"], session.grid["num_x"])
    if gain.shape != expected:
        raise ValueError(f"Sionna returned a map of shape {gain.shape}, expected {expected}")
    if not np.isfinite(gain).all():
        raise ValueError(
            f"Sionna returned {np.count_nonzero(~np.isfinite(gain))} cells that are no numbers; "
            "look for degenerate triangles in the scene"
        )
    return gain


def _line_of_sight(
    session: _Session,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Free-space gain where the antenna is seen, averaged over each cell, and the share seen."""
    grid, sectors = session.grid, session.sectors
    shape = (len(sectors), grid["num_y"], grid["num_x"])
    gain = np.zeros(shape, dtype=np.float32)
    share = np.zeros(shape, dtype=np.float32)
    for rows in _row_blocks(grid):
        for members in _masts(sectors):
            seen = _seen(session, sectors[members[0]], rows)
            seen_share = seen.mean(axis=(1, 3), dtype=np.float32)
            for i in members:
                share[i, rows] = seen_share
                gain[i, rows] = _free_space(session, sectors[i], rows, seen, seen_share)
    return gain, share


def _row_blocks(grid: dict[str, Any]) -> Iterator[slice]:
    step = max(1, 1_000_000 // grid["num_x"])
    for start in range(0, grid["num_y"], step):
        yield slice(start, min(start + step, grid["num_y"]))


def _masts(sectors: Sequence[Sector]) -> list[list[int]]:
    masts: dict[tuple[float, float, float], list[int]] = {}
    for i, s in enumerate(sectors):
        masts.setdefault((s.x_m, s.y_m, s.z_m), []).append(i)
    return list(masts.values())


def _subcell_axes(
    grid: dict[str, Any], rows: slice, per_cell: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    res = grid["resolution_m"]
    x = grid["west_m"] + (np.arange(grid["num_x"] * per_cell) + 0.5) * res / per_cell
    num_y = (rows.stop - rows.start) * per_cell
    y = grid["south_m"] + rows.start * res + (np.arange(num_y) + 0.5) * res / per_cell
    return x, y


def _seen(session: _Session, sector: Sector, rows: slice) -> npt.NDArray[np.bool_]:
    """Whether each point of each cell sees the antenna, [num_rows, SUBCELLS, num_x, SUBCELLS]."""
    import drjit as dr
    import mitsuba as mi

    x, y = _subcell_axes(session.grid, rows, SUBCELLS)
    px, py = dr.meshgrid(mi.Float(x), mi.Float(y))
    points = mi.Point3f(px, py, mi.Float(session.receiver_m(x[None, :], y[:, None]).ravel()))
    to_antenna = mi.Point3f(sector.x_m, sector.y_m, sector.z_m) - points
    distance = dr.norm(to_antenna)
    # A hair short of both ends, lest the mast's own roof or the wall beside a point blocks it.
    rays: Any = mi.Ray3f  # its stub wants a time and wavelengths too
    ray = rays(points, to_antenna / distance)
    ray.maxt = distance - 1e-2
    seen = ~np.array(session.scene.mi_scene.ray_test(ray))
    return seen.reshape(rows.stop - rows.start, SUBCELLS, session.grid["num_x"], SUBCELLS)


def _free_space(
    session: _Session,
    sector: Sector,
    rows: slice,
    seen: npt.NDArray[np.bool_],
    seen_share: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Mean over each cell's points of the gain where seen; at its centre alone when far away."""
    grid = session.grid
    x, y = _subcell_axes(grid, rows, 1)
    receiver_m = session.receiver_m(x[None, :], y[:, None])
    gain = _free_space_gain(sector, x[None, :], y[:, None], receiver_m) * seen_share
    near_x = np.flatnonzero(np.abs(x - sector.x_m) < NEAR_CELLS * grid["resolution_m"])
    near_y = np.flatnonzero(np.abs(y - sector.y_m) < NEAR_CELLS * grid["resolution_m"])
    if len(near_x) and len(near_y):
        fine_x, fine_y = _subcell_axes(grid, rows, SUBCELLS)
        box_x, box_y = slice(near_x[0], near_x[-1] + 1), slice(near_y[0], near_y[-1] + 1)
        points_x = fine_x.reshape(-1, SUBCELLS)[box_x].reshape(1, -1)
        points_y = fine_y.reshape(-1, SUBCELLS)[box_y].reshape(-1, 1)
        fine = _free_space_gain(
            sector, points_x, points_y, session.receiver_m(points_x, points_y)
        ).reshape(box_y.stop - box_y.start, SUBCELLS, box_x.stop - box_x.start, SUBCELLS)
        gain[box_y, box_x] = (fine * seen[box_y, :, box_x]).mean(axis=(1, 3))
    return np.asarray(gain)


def _free_space_gain(
    sector: Sector,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    z: npt.NDArray[np.float64],
) -> FloatArray:
    """Friis: antenna gain times (wavelength / (4 pi distance))^2, for an isotropic receiver."""
    dx, dy, dz = x - sector.x_m, y - sector.y_m, z - sector.z_m
    gain_dbi = sector_gain_dbi(
        antenna(sector.antenna), sector.azimuth_deg, sector.downtilt_deg, dx, dy, dz
    )
    factor = (wavelength_m(sector.frequency_hz) / (4.0 * np.pi)) ** 2
    return np.asarray(db_to_linear(gain_dbi) * factor / (dx**2 + dy**2 + dz**2))


def _point_paths(session: _Session, points_m: npt.NDArray[np.float64]) -> Arrays:
    """Power and delays of the paths to points, by the exact (image-method) path solver."""
    import sionna.rt as rt

    scene, config = session.scene, session.config
    shape = (len(session.sectors), len(points_m))
    gain, mean, spread = np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    for group, members in enumerate(session.groups):
        session.active_group = None
        _activate(session, group)
        scene.rx_array = rt.PlanarArray(
            num_rows=1,
            num_cols=1,
            vertical_spacing=0.5,
            horizontal_spacing=0.5,
            pattern="iso",
            polarization="VH",
        )
        for start in range(0, len(points_m), POINTS_PER_CALL):
            block = points_m[start : start + POINTS_PER_CALL]
            for i, point in enumerate(block):
                scene.add(rt.Receiver(f"point-{i}", position=point.tolist()))
            paths = rt.PathSolver()(
                scene,
                max_depth=config.max_depth,
                samples_per_src=2_000_000,
                max_num_paths_per_src=5_000_000,
                los=True,
                specular_reflection=True,
                diffuse_reflection=False,
                refraction=config.refraction,
                diffraction=config.diffraction,
                synthetic_array=True,
                seed=config.seed,
            )
            real, imag = (np.array(part) for part in paths.a)
            # [receivers, antennas, transmitters, antennas, paths]
            power = (real.astype(float) ** 2 + imag.astype(float) ** 2).sum(axis=(1, 3))
            total, moments = _delay_moments(power, np.array(paths.tau, dtype=float))
            here = list(members), slice(start, start + len(block))
            gain[here] = total.T
            mean[here], spread[here] = (moment.T for moment in moments)
            for i in range(len(block)):
                scene.remove(f"point-{i}")
    session.active_group = None
    return {"gain": gain, "mean_delay_s": mean, "delay_spread_s": spread}


def _delay_moments(
    power: npt.NDArray[np.float64], delay_s: npt.NDArray[np.float64]
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    """Total power, mean delay and RMS spread over the last axis; NaN without power."""
    total = power.sum(axis=-1)
    share = np.divide(
        power, total[..., None], out=np.full(power.shape, np.nan), where=total[..., None] > 0
    )
    mean = (share * delay_s).sum(axis=-1)
    spread = np.sqrt((share * (delay_s - mean[..., None]) ** 2).sum(axis=-1))
    return np.asarray(total), (np.asarray(mean), np.asarray(spread))


def _survey_handlers() -> dict[str, Callable[..., tuple[dict[str, Any], Arrays]]]:
    """What `rfplatform.propagation.survey` asks of a scene made elsewhere."""
    meshes: list[Any] = []
    parts: dict[str, Any] = {}

    def shapes(scene: str) -> tuple[dict[str, Any], Arrays]:
        import sionna.rt as rt

        try:
            loaded = rt.load_scene(scene, merge_shapes=False).mi_scene
            meshes[:] = loaded.shapes()
            return {"shapes": [_shape_facts(mesh) for mesh in meshes]}, {}
        except Exception as error:  # noqa: BLE001  (it is the file's fault, whatever it is)
            lines = [line.strip(" \u203a") for line in str(error).splitlines() if line.strip()]
            return {"fault": lines[-1] if lines else type(error).__name__}, {}

    def split(ground: list[int]) -> tuple[dict[str, Any], Arrays]:
        rest = [i for i in range(len(meshes)) if i not in set(ground)]
        parts.update(ground=_joined(meshes, ground), rest=_joined(meshes, rest))
        return {}, {}

    def cast(on: str, x_m: list[float], y_m: list[float]) -> tuple[dict[str, Any], Arrays]:
        return {}, {"z_m": _cast_down(parts[on], np.array(x_m), np.array(y_m))}

    return {"shapes": shapes, "split": split, "cast": cast}


def _shape_facts(mesh: Any) -> dict[str, Any]:  # noqa: ANN401
    vertices = np.array(mesh.vertex_positions_buffer()).reshape(-1, 3)
    if not len(vertices) or not np.isfinite(vertices).all():
        raise ValueError(f"shape {mesh.id()!r} has no vertices, or some that are no numbers")
    return {
        "name": mesh.id(),
        "material": mesh.bsdf().id(),
        "low_m": vertices.min(axis=0).tolist(),
        "high_m": vertices.max(axis=0).tolist(),
        "num_faces": int(mesh.face_count()),
    }


def _joined(meshes: Sequence[Any], chosen: Sequence[int]) -> tuple[Any, float] | None:
    """A scene of one mesh made of several, and how high it reaches; None of none.

    One mesh, because rays through thousands of shapes cost as many times more to set up.
    """
    import mitsuba as mi

    if not chosen:
        return None
    vertices = [np.array(meshes[i].vertex_positions_buffer()).reshape(-1, 3) for i in chosen]
    faces = [np.array(meshes[i].faces_buffer()).reshape(-1, 3) for i in chosen]
    firsts = np.cumsum([0, *(len(v) for v in vertices[:-1])])
    all_vertices = np.concatenate(vertices)
    all_faces = np.concatenate([f + first for f, first in zip(faces, firsts, strict=True)])
    mesh = mi.Mesh("joined", vertex_count=len(all_vertices), face_count=len(all_faces))
    values = mi.traverse(mesh)
    values["vertex_positions"] = mi.Float(all_vertices.ravel().astype(np.float32))
    values["faces"] = mi.UInt32(all_faces.ravel().astype(np.uint32))
    values.update()
    return mi.load_dict({"type": "scene", "joined": mesh}), float(all_vertices[:, 2].max())


def _cast_down(
    part: tuple[Any, float] | None, x_m: FloatArray, y_m: FloatArray
) -> npt.NDArray[np.float32]:
    """Z where rays straight down at points first meet a mesh, [num_y, num_x]; NaN: nowhere."""
    import drjit as dr
    import mitsuba as mi

    z = np.full((len(y_m), len(x_m)), np.nan, dtype=np.float32)
    if part is None:
        return z
    scene, top_m = part
    rows = max(1, 4_000_000 // len(x_m))
    rays: Any = mi.Ray3f  # its stub wants a time and wavelengths too
    for start in range(0, len(y_m), rows):
        px, py = dr.meshgrid(mi.Float(x_m), mi.Float(y_m[start : start + rows]))
        ray = rays(mi.Point3f(px, py, top_m + 1.0), mi.Vector3f(0.0, 0.0, -1.0))
        hit = scene.ray_intersect_preliminary(ray)
        met = np.array(hit.is_valid())
        z.reshape(-1)[start * len(x_m) : start * len(x_m) + len(met)] = np.where(
            met, top_m + 1.0 - np.array(hit.t), np.nan
        )
    return z


if __name__ == "__main__":
    serve(_handlers())
