"""Few rays in, a converged map out: the cascade on coarse traces of the Helsinki case.

The truth is the reference of 1e9 rays. Neither it nor Helsinki's buildings were seen in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.benchmarks import helsinki
from rfplatform.benchmarks.physics import open_setting
from rfplatform.metrics import rmse_db
from rfplatform.propagation.cascade import NAME, Seen, network_of, seen_by, survey
from rfplatform.propagation.features import Coarse
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.radiomap import BoolArray, RadioMap
from rfplatform.units import FloatArray

RAYS = (250_000, 1_000_000, 4_000_000)
BARE_16E6_DB = 6.4
"""About what one bare call of 16e6 rays misses the reference by (`physics:filter` has 6.9 dB)."""


@dataclass(frozen=True, eq=False)
class _Traced:
    """The case with one coarse trace, which both sides are given."""

    coarse: RadioMap

    @cached_property
    def seen(self) -> Seen:
        shown = seen_by(helsinki.scene(), self.coarse.sectors, self.coarse.grid)[0]
        error_db = self.coarse.standard_error_db
        assert error_db is not None
        return replace(shown, coarse=Coarse(self.coarse.path_gain_db[0], error_db[0]))


@dataclass(frozen=True, eq=False)
class _Map:
    """A map of the case and its stated error, [num_y, num_x]."""

    path_gain_db: FloatArray
    spread_db: FloatArray


@dataclass(frozen=True, eq=False)
class _Truth:
    reference_db: FloatArray
    reached: BoolArray
    both: BoolArray


def _cases() -> Iterator[Case]:
    network_of("")  # without weights or Keras there is nothing to trace for
    scene, sector, grid = helsinki.scene(), helsinki.sector(), helsinki.grid()
    reference = helsinki.reference()
    reached = reference.outdoor & np.isfinite(reference.path_gain_db)
    for rays in RAYS:
        config = RayTraced(rays_per_sector=rays, target_noise_db=0.0)
        for setting in open_setting(scene, sector, grid, config):
            coarse = config.solve_with(setting.trace, scene, [sector], grid)
        both = reached & np.isfinite(coarse.path_gain_db[0])
        note = f"the trace reaches {both.sum() / reached.sum():.0%} of the reference's cells"
        truth = _Truth(reference.path_gain_db, reached, both)
        yield Case(f"{rays:,} rays", _Traced(coarse), truth, note)


def _denoised(case: _Traced) -> _Map:
    made = survey(case.seen, network_of(""))
    return _Map(made.path_gain_db, made.spread_db)


def _filtered(case: _Traced) -> _Map:
    error_db = case.coarse.standard_error_db
    assert error_db is not None
    return _Map(case.coarse.path_gain_db[0], error_db[0])


def _where_traced(prediction: _Map, truth: _Truth) -> float:
    return rmse_db(prediction.path_gain_db, truth.reference_db, truth.both)


def _everywhere(prediction: _Map, truth: _Truth) -> float:
    """Over all of the reference's cells; NaN for a map that does not reach them all."""
    if not np.isfinite(prediction.path_gain_db[truth.reached]).all():
        return float("nan")
    return rmse_db(prediction.path_gain_db, truth.reference_db, truth.reached)


def _stated(prediction: _Map, truth: _Truth) -> float:
    """Stated over true error, both as root mean squares, over cells that the trace reaches."""
    true_db = _where_traced(prediction, truth)
    return float(np.sqrt(np.nanmean(prediction.spread_db[truth.both] ** 2)) / true_db)


DENOISER: Benchmark[_Map] = Benchmark(
    "maps:denoiser",
    "Few rays through the cascade, against the ray tracer's own filter and 1e9 rays (Helsinki)",
    _cases,
    (
        Metric("RMSE where traced", "dB", _where_traced, "lower", BARE_16E6_DB),
        Metric("RMSE where traced, ratio", "dB", _where_traced, "lower", 1.0, True),
        Metric("RMSE over all cells", "dB", _everywhere),
        Metric("stated over true error", "", _stated, "higher"),
    ),
    baseline=Predictor("filtered ray tracing", _filtered),
    subject=Predictor(NAME, _denoised),
)
