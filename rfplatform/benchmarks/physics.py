"""Is the map right? Against closed forms, an exact solver, and a converged reference.

Every score has a bare call of Sionna's solver beside it, with the same rays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.benchmark import Benchmark, Case, Metric, Outcome, Predictor
from rfplatform.benchmarks import helsinki
from rfplatform.benchmarks.closed_forms import free_space_gain, knife_edge_gain, two_ray_gain
from rfplatform.metrics import (
    error_quantile_db,
    finite_in_both,
    rmse_db,
    share_falsely_reached,
    share_reached,
)
from rfplatform.propagation.raytraced import RayTraced, Tracer, tracer
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.rasterize import outdoor_share
from rfplatform.scene import Area, Building, Scene
from rfplatform.units import FloatArray, db_to_linear, linear_to_db

REFERENCE_RAYS = (1_000_000, 4_000_000, 16_000_000)
CONVERGENCE_RAYS = (250_000, 1_000_000, 4_000_000, 16_000_000, 64_000_000)
LEVELS_DB = (-np.inf, -140.0, -120.0, -100.0, np.inf)
NUM_POINTS = 300
MEDIAN_OF_NORMAL = 0.6745
"""Median of |x| for a standard normal x: what a median error is compared through."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A scene with an open worker, and how to trace it."""

    trace: Tracer
    scene: Scene
    sector: Sector
    grid: Grid
    config: RayTraced


def _ours(setting: Setting) -> RadioMap:
    config = setting.config
    return config.solve_with(setting.trace, setting.scene, [setting.sector], setting.grid)


def _raw(setting: Setting) -> RadioMap:
    from dataclasses import replace

    config = replace(setting.config, reconstruct=False)
    return config.solve_with(setting.trace, setting.scene, [setting.sector], setting.grid)


def _bare(setting: Setting, rays: int | None = None) -> RadioMap:
    """One call of Sionna's solver, on our terms: outdoors, over the cells' outdoor part."""
    from rfplatform.rasterize import outdoor_mask

    gain = setting.trace.trace(0, rays or setting.config.rays_per_sector, 1, "all")
    outdoor = outdoor_mask(setting.scene, setting.grid)
    gain = np.where(outdoor, gain / outdoor_share(setting.scene, setting.grid), 0.0)
    return RadioMap(
        setting.grid,
        (setting.sector,),
        linear_to_db(gain).astype(np.float32),
        None,
        outdoor,
        attrs={"solver": "bare sionna-rt"},
    )


OURS = Predictor[RadioMap]("rfplatform", _ours)
BARE = Predictor[RadioMap]("bare sionna-rt", _bare)


def open_setting(scene: Scene, sector: Sector, grid: Grid, config: RayTraced) -> Iterator[Setting]:
    """One setting, whose worker lives while its case runs."""
    with tracer(scene, [sector], grid, config) as trace:
        yield Setting(trace, scene, sector, grid, config)


# --- closed forms -----------------------------------------------------------------------------


def _plain(buildings: Sequence[Building] = ()) -> Scene:
    """Flat ground of about 1.1 km by 1.1 km on the equator's grid, with what stands on it."""
    area = Area("plain", 24.99, 0.005, 25.0, 0.015)
    return Scene(area, area.frame(), tuple(buildings))


def _free_space_cases() -> Iterator[Case]:
    scene = _plain()
    grid = Grid(scene.frame, -400.0, -400.0, 4.0, 200, 200, 1.5)
    config = RayTraced(max_depth=0, rays_per_sector=4_000_000, diffraction=False)
    for antenna, azimuth_deg, downtilt_deg in (
        ("isotropic", 0.0, 0.0),
        ("dipole", 0.0, 0.0),
        ("tr38901", 130.0, 6.0),
    ):
        sector = Sector("mast", "1", 13.0, -7.0, 30.0, azimuth_deg, downtilt_deg, antenna=antenna)
        truth = linear_to_db(free_space_gain(sector, grid))[None]
        for setting in open_setting(scene, sector, grid, config):
            yield Case(antenna, setting, truth)


def _largest_db(prediction: RadioMap, truth: FloatArray) -> float:
    """Over all cells but those within 10 m of the mast's foot, where a dipole has its null."""
    x, y = np.meshgrid(prediction.grid.x_m(), prediction.grid.y_m())
    mast = prediction.sectors[0]
    away = np.hypot(x - mast.x_m, y - mast.y_m) > 10.0
    return float(np.max(np.abs(prediction.path_gain_db - truth)[:, away]))


def _two_ray_cases() -> Iterator[Case]:
    scene = _plain()
    grid = Grid(scene.frame, -400.0, -400.0, 4.0, 200, 200, 1.5)
    config = RayTraced(max_depth=1, rays_per_sector=4_000_000, target_noise_db=0.0)
    sector = Sector("mast", "1", 13.0, -7.0, 30.0)
    truth = linear_to_db(two_ray_gain(sector, grid, scene.ground_material))[None]
    for setting in open_setting(scene, sector, grid, config):
        yield Case("flat medium-dry ground, 30 m", setting, truth)


def rms_difference_db(prediction: RadioMap, truth: FloatArray) -> float:
    """Over all cells in which both have a path."""
    return rmse_db(prediction.path_gain_db, truth)


def mean_level_off_db(prediction: RadioMap, truth: FloatArray) -> float:
    """How far the mean level (in linear power) is off."""
    both = np.isfinite(truth)
    mean = np.mean(db_to_linear(prediction.path_gain_db[both]))
    return float(abs(linear_to_db(mean / np.mean(db_to_linear(truth[both])))))


def _knife_edge_cases() -> Iterator[Case]:
    """A wall, 300 m long; what lies straight behind it is lit by its upper edge."""
    import shapely

    top_m, far_face_y_m = 20.0, 8.0
    footprint = shapely.box(-150.0, 0.0, 150.0, far_face_y_m)
    wall = Building(footprint, 0.0, top_m, "height", "concrete", "wall")
    scene = _plain([wall])
    sector = Sector("mast", "1", 0.0, -100.0, 24.0)
    # A strip straight behind: every path crosses the edge at nearly a right angle.
    grid = Grid(scene.frame, -10.0, 80.0, 4.0, 5, 100, 1.5)
    config = RayTraced(max_depth=1, rays_per_sector=16_000_000, target_noise_db=0.0)
    truth = linear_to_db(knife_edge_gain(sector, grid, far_face_y_m, top_m))[None]
    for setting in open_setting(scene, sector, grid, config):
        yield Case("concrete wall, 20 m high, 8 m thick", setting, truth)


# --- the exact path solver --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _ExactPoints:
    """Rows and columns of cells, and the exact gain at their centres."""

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    gain_db: FloatArray
    los: npt.NDArray[np.bool_]

    def of(self, prediction: RadioMap) -> FloatArray:
        return np.asarray(prediction.path_gain_db[0][self.rows, self.columns], dtype=float)


def _path_solver_cases() -> Iterator[Case]:
    config = RayTraced(max_depth=3, rays_per_sector=16_000_000, target_noise_db=0.0)
    scene, sector, grid = helsinki.scene(), helsinki.sector(), helsinki.grid()
    for setting in open_setting(scene, sector, grid, config):
        rows, columns = _random_outdoor_cells(scene, grid).T
        x, y = grid.x_m()[columns], grid.y_m()[rows]
        points = np.stack([x, y, np.full(len(x), grid.receiver_height_m)], axis=1)
        gain_db = linear_to_db(setting.trace.point_gains(points)[0])
        los = setting.trace.line_of_sight()[1][0][rows, columns] > 0.5
        note = (
            f"cell means against exact paths to {NUM_POINTS} random cells' centres, depth 3. Out "
            "of sight the path solver, which looks for candidates with rays as well, misses paths: "
            "it is a lower bound there"
        )
        yield Case("central Helsinki", setting, _ExactPoints(rows, columns, gain_db, los), note)


def _random_outdoor_cells(scene: Scene, grid: Grid) -> npt.NDArray[np.intp]:
    """Row and column of random cells that lie outdoors altogether."""
    whole = np.argwhere(outdoor_share(scene, grid) == 1.0)
    return np.random.default_rng(1).choice(whole, NUM_POINTS, replace=False)


def _off_db(
    prediction: RadioMap, exact: _ExactPoints, *, quantile: float, los: bool | None = None
) -> float:
    cells = np.ones_like(exact.los) if los is None else exact.los == los
    return error_quantile_db(exact.of(prediction), exact.gain_db, quantile, cells)


def _missed(prediction: RadioMap, exact: _ExactPoints) -> float:
    """Share of the points with an exact path that the map puts more than 3 dB below it."""
    known = np.isfinite(exact.gain_db)
    return float((exact.of(prediction) < exact.gain_db - 3.0)[known].mean())


# --- the reference of 1e9 rays ----------------------------------------------------------------


def _helsinki_cases(rays: Sequence[int]) -> Iterator[Case]:
    reference = helsinki.reference()
    config = RayTraced(rays_per_sector=rays[0], target_noise_db=0.0)
    scene, sector, grid = helsinki.scene(), helsinki.sector(), helsinki.grid()
    for setting in open_setting(scene, sector, grid, config):
        for count in rays:
            spend = RayTraced(rays_per_sector=count, target_noise_db=0.0)
            yield Case(
                f"{count:.3g} rays",
                Setting(setting.trace, scene, sector, grid, spend),
                reference,
            )


def _rmse_db(prediction: RadioMap, reference: helsinki.Reference) -> float:
    return rmse_db(prediction.path_gain_db[0], reference.path_gain_db, reference.outdoor)


def _median_error_db(prediction: RadioMap, reference: helsinki.Reference) -> float:
    return error_quantile_db(
        prediction.path_gain_db[0], reference.path_gain_db, cells=reference.outdoor
    )


def _covered(prediction: RadioMap, reference: helsinki.Reference) -> float:
    return share_reached(prediction.path_gain_db[0], reference.outdoor)


def _falsely_lit(prediction: RadioMap, reference: helsinki.Reference) -> float:
    return share_falsely_reached(
        prediction.path_gain_db[0], reference.path_gain_db, reference.outdoor
    )


def _true_over_stated(
    prediction: RadioMap,
    reference: helsinki.Reference,
    *,
    los: bool | None = None,
    level_db: tuple[float, float] = (-np.inf, np.inf),
) -> float:
    """Median true error over the median that the stated standard error stands for."""
    if prediction.standard_error_db is None:
        return float("nan")
    ours_db, truth_db = prediction.path_gain_db[0], reference.path_gain_db
    cells = finite_in_both(ours_db, truth_db, reference.outdoor)
    cells &= (reference.path_gain_db >= level_db[0]) & (reference.path_gain_db < level_db[1])
    if los is not None:
        cells &= reference.los == los
    stated_db = MEDIAN_OF_NORMAL * np.median(prediction.standard_error_db[0][cells])
    return float(error_quantile_db(ours_db, truth_db, cells=cells) / stated_db)


def _miscalibrated(prediction: RadioMap, reference: helsinki.Reference, **cells: Any) -> float:  # noqa: ANN401
    """How far true over stated is from 1."""
    return abs(_true_over_stated(prediction, reference, **cells) - 1.0)


def _error_metrics() -> list[Metric[RadioMap]]:
    cells: list[tuple[str, dict[str, Any]]] = [
        ("line of sight", {"los": True}),
        ("no line of sight", {"los": False}),
    ]
    for low, high in pairwise(LEVELS_DB):
        name = (
            f"{low:g} to {high:g} dB"
            if np.isfinite([low, high]).all()
            else (f"below {high:g} dB" if np.isinf(low) else f"above {low:g} dB")
        )
        cells.append((name, {"level_db": (low, high)}))
    return [
        Metric(
            f"true / stated error, {name}: off by", "", partial(_miscalibrated, **of), "lower", 0.25
        )
        for name, of in cells
    ]


def _draw_convergence(outcomes: Sequence[Outcome[RadioMap]], out: Path) -> Sequence[Path]:
    """Error and reached cells against rays, ours and a bare call's."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    rays = [outcome.case.inputs.config.rays_per_sector for outcome in outcomes]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels: list[tuple[str, Callable[[RadioMap, Any], float]]] = [
        ("Error against 1e9 rays (RMSE) [dB]", _rmse_db),
        ("Median error [dB]", _median_error_db),
        ("Outdoor cells reached", _covered),
    ]
    for axes, (label, score) in zip(figure.subplots(1, 3), panels, strict=True):
        for name, color, maps in (
            ("rfplatform", "#0072b2", [o.prediction for o in outcomes]),
            ("one bare call", "#d55e00", [o.baseline for o in outcomes]),
        ):
            scores = [score(m, o.case.truth) for m, o in zip(maps, outcomes, strict=True)]
            axes.plot(rays, scores, "o-", color=color, label=name)
        axes.set(xscale="log", xlabel="Rays", title=label)
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[2].yaxis.set_major_formatter(PercentFormatter(1.0, 0))
    figure.axes[0].legend(frameon=False)
    path = out / "convergence.png"
    figure.savefig(path, dpi=160)
    return [path]


PHYSICS: tuple[Benchmark[RadioMap], ...] = (
    Benchmark(
        "physics:free-space",
        "Free space against the closed form, at every cell",
        _free_space_cases,
        [Metric("largest difference", "dB", _largest_db, "lower", 0.1)],
        BARE,
        OURS,
    ),
    Benchmark(
        "physics:two-ray",
        "Line of sight and ground reflection against Friis and Fresnel (powers added)",
        _two_ray_cases,
        [
            Metric("RMS difference", "dB", rms_difference_db, "lower", 0.5),
            Metric("mean level off by", "dB", mean_level_off_db, "lower", 0.1),
        ],
        BARE,
        OURS,
    ),
    Benchmark(
        "physics:knife-edge",
        "Diffraction over a wall's edge against the Fresnel-Kirchhoff knife edge",
        _knife_edge_cases,
        [
            # A right-angled concrete wedge is no thin screen: the two agree to about 3 dB.
            Metric("RMS difference", "dB", rms_difference_db, "lower", 3.0),
            Metric("mean level off by", "dB", mean_level_off_db, "lower", 2.0),
        ],
        BARE,
        OURS,
    ),
    Benchmark(
        "physics:path-solver",
        "The map against Sionna's exact path solver at random outdoor cells of Helsinki",
        _path_solver_cases,
        [
            Metric("in sight: median", "dB", partial(_off_db, quantile=0.5, los=True), target=0.5),
            Metric("in sight: p90", "dB", partial(_off_db, quantile=0.9, los=True), target=1.0),
            Metric("all: median", "dB", partial(_off_db, quantile=0.5)),
            Metric("all: p90", "dB", partial(_off_db, quantile=0.9)),
            Metric("points missed by 3 dB", "share", _missed, target=1.0, target_is_ratio=True),
        ],
        BARE,
        OURS,
    ),
    Benchmark(
        "physics:standard-error",
        "The stated standard error against the true error over 1e9 rays",
        partial(_helsinki_cases, REFERENCE_RAYS),
        _error_metrics(),
        Predictor("launches' spread, unfiltered", _raw),
        OURS,
    ),
    Benchmark(
        "physics:convergence",
        "Error against rays, beside one bare call with the same rays",
        partial(_helsinki_cases, CONVERGENCE_RAYS),
        [
            Metric("RMSE", "dB", _rmse_db, "lower", 1.0, target_is_ratio=True),
            Metric("median error", "dB", _median_error_db, "lower", 1.0, target_is_ratio=True),
            Metric("outdoor cells reached", "share", _covered, "higher", 1.0, target_is_ratio=True),
            Metric("lit though the reference is dark", "share", _falsely_lit, "lower", 0.02),
        ],
        BARE,
        OURS,
        draw=_draw_convergence,
    ),
    Benchmark(
        "physics:filter",
        "4e6 filtered rays against 16e6 bare ones",
        partial(_helsinki_cases, (4_000_000,)),
        [
            Metric("RMSE", "dB", _rmse_db, "lower", 1.0, target_is_ratio=True),
            Metric("median error", "dB", _median_error_db, "lower"),
            Metric("outdoor cells reached", "share", _covered, "higher"),
            Metric("lit though the reference is dark", "share", _falsely_lit, "lower", 0.02),
        ],
        Predictor("bare sionna-rt, 16e6 rays", partial(_bare, rays=16_000_000)),
        OURS,
    ),
)
