"""Terrain: a ridge against knife-edge theory, and what ground that is not flat costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.benchmarks.closed_forms import knife_edge_gain
from rfplatform.benchmarks.physics import (
    OURS,
    Setting,
    mean_level_off_db,
    open_setting,
    rms_difference_db,
)
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.scene import Area, Scene
from rfplatform.terrain import Terrain
from rfplatform.units import FloatArray, linear_to_db

RIDGE_TOP_M, RIDGE_HALF_WIDTH_M, NODES_M = 40.0, 60.0, 20.0
RIDGE_RMS_DB, RIDGE_MEAN_DB = 3.0, 2.0
"""Those of `physics:knife-edge`: the theory knows neither the wedge's angle nor polarization."""

TRACED_RAYS = 4_000_000


def _ridge() -> Terrain:
    """A straight ridge along x, its crest at y = 0, on flat ground."""
    y = np.arange(-600.0, 601.0, NODES_M)
    profile = np.maximum(RIDGE_TOP_M * (1.0 - np.abs(y) / RIDGE_HALF_WIDTH_M), 0.0)
    heights = np.repeat(profile[:, None], len(y), axis=1).astype(np.float32)
    return Terrain(-600.0, -600.0, NODES_M, heights, source="a straight ridge")


def _ridge_cases() -> Iterator[Case]:
    area = Area("ridge", 24.99, 0.005, 25.0, 0.015)
    scene = Scene(area, area.frame(), (), terrain=_ridge())
    # In the ridge's shadow, from 40 m behind its foot on; narrow, so that its ends don't matter.
    grid = Grid(scene.frame, -40.0, 100.0, 4.0, 20, 100, 1.5)
    sector = Sector("mast", "1", 0.0, -250.0, RIDGE_TOP_M + 5.0)
    truth = linear_to_db(knife_edge_gain(sector, grid, 0.0, RIDGE_TOP_M))[None]
    config = RayTraced(max_depth=1, rays_per_sector=16_000_000, target_noise_db=0.0)
    for setting in open_setting(scene, sector, grid, config):
        yield Case("a 40 m ridge, 20 m nodes", setting, truth)


def _flat(setting: Setting) -> RadioMap:
    """What flat ground would show: free space."""
    from rfplatform.propagation.empirical import FreeSpace

    scene = replace(setting.scene, terrain=None)
    return FreeSpace().load()(scene, [setting.sector], setting.grid)


def _reached(prediction: RadioMap, _: FloatArray) -> float:
    return float(100.0 * np.isfinite(prediction.path_gain_db[:, prediction.outdoor]).mean())


RIDGE: Benchmark[RadioMap] = Benchmark(
    "physics:terrain",
    "Diffraction over a ridge of the terrain against the Fresnel-Kirchhoff knife edge",
    _ridge_cases,
    (
        Metric("RMS difference", "dB", rms_difference_db, "lower", RIDGE_RMS_DB),
        Metric("mean level off by", "dB", mean_level_off_db, "lower", RIDGE_MEAN_DB),
        Metric("cells reached", "%", _reached, "higher"),
    ),
    baseline=Predictor("free space over flat ground", _flat),
    subject=OURS,
)


@dataclass(frozen=True)
class TerrainRun:
    """Seconds to put a scene on its ground and write its meshes, and to trace it."""

    build_s: float
    trace_s: float


@dataclass(frozen=True, eq=False)
class _Town:
    """A town with a mast, and hills to put under it."""

    scene: Scene
    hills: Terrain
    grid: Grid


def _town_cases() -> Iterator[Case]:
    from rfplatform.geodata.load import load_scene
    from rfplatform.geodata.place import BuiltIn

    scene = load_scene(BuiltIn("helsinki"))
    west, south, east, north = scene.ground_bounds_m()
    x, y = np.arange(west - 30.0, east + 60.0, 30.0), np.arange(south - 30.0, north + 60.0, 30.0)
    xx, yy = np.meshgrid(x, y)
    heights = 20.0 * (1.0 + np.sin(xx / 150.0) * np.cos(yy / 200.0))
    hills = Terrain(float(x[0]), float(y[0]), 30.0, heights.astype(np.float32), source="hills")
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, 4.0)
    yield Case("helsinki", _Town(scene, hills, grid), note="20 m waves of ground, 30 m nodes")


def _timed(town: _Town, terrain: Terrain | None) -> TerrainRun:
    import tempfile

    from rfplatform.formats.mitsuba import write_scene
    from rfplatform.geodata.terrain import stand_on

    started = time.perf_counter()
    scene = town.scene if terrain is None else stand_on(town.scene, terrain)
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        write_scene(scene, Path(folder))
    built = time.perf_counter()
    ground_m = float(scene.ground_m(0.0, 0.0))
    mast = Sector("mast", "1", 0.0, 0.0, ground_m + 60.0, ground_m=ground_m)
    config = RayTraced(rays_per_sector=TRACED_RAYS, target_noise_db=0.0)
    # The solver's own clock, without the worker's start, which is the same for both.
    made = config.load()(scene, [mast], town.grid)
    return TerrainRun(built - started, float(made.attrs["solve_s"]))


COST: Benchmark[TerrainRun] = Benchmark(
    "speed:terrain",
    "Meshes and tracing on hills against the same town on flat ground",
    _town_cases,
    (
        Metric("buildings and ground to meshes", "s", lambda run, _: run.build_s),
        Metric("tracing", "s", lambda run, _: run.trace_s, "lower", 3.0, target_is_ratio=True),
    ),
    baseline=Predictor("flat ground", lambda town: _timed(town, None)),
    subject=Predictor("rfplatform", lambda town: _timed(town, town.hills)),
    repeats=3,
    warm_ups=1,
)

TERRAIN: tuple[Benchmark[Any], ...] = (RIDGE, COST)
