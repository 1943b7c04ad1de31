"""What entrants say of windows, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from rfplatform.benchmarks import unseen
from rfplatform.benchmarks.map_entrants import CASCADE, DENOISER, Entry, Kind, samples_of
from rfplatform.benchmarks.unseen import UnseenWindow
from rfplatform.metrics import bias_db, coverage_f1, crps_normal, mae_db, picp, rmse_db, ssim
from rfplatform.propagation.interpolation import Estimate
from rfplatform.radiomap import BoolArray
from rfplatform.units import FloatArray

SAMPLES = (0, 10, 50, 200)
"""How many cells of the truth an entrant is given in every sector, without any noise added."""

FLOOR_DB = -170.0
"""Path gain that an entrant is scored with where it has no path and the truth has one."""

CLASSES_M = (0.0, 100.0, 300.0, np.inf)
"""Distances from the mast, along the ground, that errors are told apart by."""

THRESHOLDS_DBM = (-100.0, -110.0)
"""RSS from which on a cell counts as covered, at the sectors' 43 dBm."""

INTERVAL = 0.8
RESAMPLED = 2000
"""Draws of windows, with replacement, for the interval of 95 %."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells that count, of all sectors of some windows in one row, [n] each.

    Attributes
    ----------
    true_db : ndarray
        Path gain; -inf: the truth has no path.
    los : ndarray of bool
    distance_m : ndarray
        From the mast, along the ground.
    power_dbm : ndarray
        Of the sector.
    window : ndarray of int
        The number of the window among these.
    """

    true_db: FloatArray
    los: BoolArray
    distance_m: FloatArray
    power_dbm: FloatArray
    window: npt.NDArray[np.intp]


@lru_cache(maxsize=1024)
def _kept(window: UnseenWindow, sector: int) -> BoolArray:
    """Outdoor cells but those that any K takes samples from: the same for every entrant, [n]."""
    kept = np.ones(int(window.outdoor.sum()), dtype=bool)
    kept[window.sampled(sector)] = False
    return kept


@lru_cache(maxsize=64)
def _cells(windows: tuple[UnseenWindow, ...]) -> Cells:
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    for number, window in enumerate(windows):
        x_m, y_m = window.cells_m()
        for i, sector in enumerate(window.sectors):
            kept = _kept(window, i)
            count = int(kept.sum())
            columns.append(
                (
                    window.truth_db(i)[kept],
                    window.los[i][window.outdoor][kept],
                    np.hypot(x_m - sector.x_m, y_m - sector.y_m)[kept],
                    np.full(count, sector.power_dbm),
                    np.full(count, number),
                )
            )
    return Cells(*(np.concatenate(column) for column in zip(*columns, strict=True)))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What an entrant says of all sectors of some windows.

    Attributes
    ----------
    entrant, kind : str
    samples : int
        How many it was given in every sector.
    windows : tuple of UnseenWindow
    estimates : tuple of tuple of Estimate
        Of every sector of every window, at its outdoor cells.
    """

    entrant: str
    kind: Kind
    samples: int
    windows: tuple[UnseenWindow, ...]
    estimates: tuple[tuple[Estimate, ...], ...]

    @property
    def label(self) -> str:
        """The entrant's name in tables."""
        return shown(self.entrant, self.kind, self.samples)

    @property
    def cells(self) -> Cells:
        """What is known of the cells that count."""
        return _cells(self.windows)

    @property
    def told_db(self) -> FloatArray:
        """Path gain at the cells that count, [n]; -inf: no path."""
        return np.concatenate([e.mean_db[kept] for e, kept in self._kept()])

    @property
    def scored_db(self) -> FloatArray:
        """The same, with `FLOOR_DB` where there is no path."""
        told_db = self.told_db
        return np.where(np.isfinite(told_db), told_db, FLOOR_DB)

    @property
    def spread_db(self) -> FloatArray:
        """Stated spread at the cells that count, [n]; NaN: none.

        Who states one is taken to be sure of the floor where it has no path.
        """
        spread_db = np.concatenate([e.spread_db[kept] for e, kept in self._kept()])
        if not np.isfinite(spread_db).any():
            return spread_db
        return np.where(np.isfinite(self.told_db), spread_db, 0.0)

    @cached_property
    def squares(self) -> tuple[FloatArray, FloatArray]:
        """Sum of the squared errors of each window, and how many there are."""
        of, count = self.cells, len(self.windows)
        reached = np.isfinite(of.true_db)
        errors = (self.scored_db - of.true_db.astype(float))[reached]
        window = of.window[reached]
        return (
            np.bincount(window, errors**2, count).astype(float),
            np.bincount(window, minlength=count).astype(float),
        )

    @cached_property
    def ssim(self) -> float:
        """Mean over the sectors, on the cells that count."""
        scores = []
        for window, estimates in zip(self.windows, self.estimates, strict=True):
            for i, estimate in enumerate(estimates):
                told_db = np.full(window.grid.shape, -np.inf)
                told_db[window.outdoor] = estimate.mean_db
                cells = window.outdoor.copy()
                cells[window.outdoor] = _kept(window, i)
                scores.append(ssim(told_db, window.traced["truth"].path_gain_db[i], cells))
        return float(np.mean(scores))

    def _kept(self) -> Iterator[tuple[Estimate, BoolArray]]:
        for window, estimates in zip(self.windows, self.estimates, strict=True):
            for i, estimate in enumerate(estimates):
                yield estimate, _kept(window, i)


def shown(entrant: str, kind: Kind, samples: int) -> str:
    """An entrant's name in tables: with samples, a closed form has an offset."""
    return f"{entrant} + offset" if kind == "closed form" and samples else entrant


@dataclass(eq=False)
class Study:
    """The windows, traced or being traced, and what has been predicted of them."""

    windows: Sequence[Future[UnseenWindow]]
    entrants: Mapping[str, Entry]
    _made: dict[tuple[str, int, int], tuple[Estimate, ...]] = field(default_factory=dict)
    _predictions: dict[tuple[str, int, int | None], Prediction] = field(default_factory=dict)

    def predict(self, question: Question) -> Prediction:
        """What an entrant says."""
        key = question.entrant, question.samples, question.window
        if key not in self._predictions:
            chosen = range(len(self.windows)) if question.window is None else (question.window,)
            self._predictions[key] = Prediction(
                question.entrant,
                self.entrants[question.entrant].kind,
                question.samples,
                tuple(self.windows[number].result() for number in chosen),
                tuple(self._estimates(question, number) for number in chosen),
            )
        return self._predictions[key]

    def rival(self, question: Question) -> Prediction:
        """What it is shown beside."""
        if named := self.entrants[question.entrant].rival:
            return self.predict(replace(question, entrant=named, samples=0))
        return min(
            (
                self.predict(replace(question, entrant=name))
                for name, entry in self.entrants.items()
                if entry.kind in ("closed form", "interpolation")
                and (entry.with_some if question.samples else entry.with_none)
            ),
            key=root_mean_square_db,
        )

    def _estimates(self, question: Question, number: int) -> tuple[Estimate, ...]:
        entrant, count = question.entrant, question.samples
        key = entrant, count, number
        if key not in self._made:
            window, estimate = self.windows[number].result(), self.entrants[entrant].estimate
            self._made[key] = tuple(
                _small(estimate(window, i, samples_of(window, i, count)))
                for i in range(len(window.sectors))
            )
        return self._made[key]


def _small(estimate: Estimate) -> Estimate:
    """In single precision: there are some hundreds of maps to hold."""
    return Estimate(*(np.asarray(v, np.float32) for v in (estimate.mean_db, estimate.spread_db)))


@dataclass(frozen=True, eq=False)
class Question:
    """What a case asks.

    Attributes
    ----------
    study : Study
    entrant : str
    samples : int
    window : int, optional
        One window alone; all of them by default.
    """

    study: Study
    entrant: str
    samples: int = 0
    window: int | None = None

    def whole(self) -> bool:
        """Whether it asks for all windows."""
        return self.window is None

    def has_target(self) -> bool:
        """Whether its error must be below its rival's."""
        return self.whole() and self.entrant in (CASCADE, DENOISER)


Score: TypeAlias = Callable[[Prediction], float]


def root_mean_square_db(prediction: Prediction, cells: BoolArray | None = None) -> float:
    """RMSE over the cells that count and in which the truth has a path, or some of them."""
    return rmse_db(prediction.scored_db, prediction.cells.true_db, cells)


def _mae_db(prediction: Prediction) -> float:
    return mae_db(prediction.scored_db, prediction.cells.true_db)


def _bias_db(prediction: Prediction) -> float:
    return bias_db(prediction.scored_db, prediction.cells.true_db)


def _sight_rmse_db(prediction: Prediction, *, los: bool) -> float:
    return root_mean_square_db(prediction, prediction.cells.los == los)


def _distance_rmse_db(prediction: Prediction, *, least_m: float, most_m: float) -> float:
    distance_m = prediction.cells.distance_m
    return root_mean_square_db(prediction, (distance_m >= least_m) & (distance_m < most_m))


def _shared_rmse_db(prediction: Prediction) -> float:
    return rmse_db(prediction.told_db, prediction.cells.true_db)


def _dark_share(prediction: Prediction) -> float:
    reached = np.isfinite(prediction.cells.true_db)
    return float(np.mean(~np.isfinite(prediction.told_db[reached])))


def _ssim(prediction: Prediction) -> float:
    return prediction.ssim


def _f1(prediction: Prediction, *, threshold_dbm: float) -> float:
    of = prediction.cells
    told_dbm, true_dbm = prediction.told_db + of.power_dbm, of.true_db + of.power_dbm
    return coverage_f1(told_dbm, true_dbm, threshold_dbm, np.ones_like(of.los))


def interval_share(prediction: Prediction) -> float:
    """Share of the truths within the central interval of `INTERVAL`."""
    true_db = prediction.cells.true_db
    return picp(prediction.scored_db, prediction.spread_db, true_db, INTERVAL)


def _picp_off(prediction: Prediction) -> float:
    return abs(interval_share(prediction) - INTERVAL)


def _crps_db(prediction: Prediction) -> float:
    return crps_normal(prediction.scored_db, prediction.spread_db, prediction.cells.true_db)


def resampled(prediction: Prediction, over: Prediction | None = None) -> tuple[float, float]:
    """Interval of 95 % of the RMSE in dB, or of its ratio, over draws of windows.

    Windows are drawn with replacement, as many as there are, and the same for both.

    Parameters
    ----------
    prediction : Prediction
    over : Prediction, optional
        Whose RMSE it is divided by.
    """
    squares, counts = prediction.squares
    rng = np.random.default_rng(unseen.SEED)
    chosen = rng.integers(len(counts), size=(RESAMPLED, len(counts)))
    below = counts if over is None else over.squares[0]
    ratio = np.sqrt(squares[chosen].sum(axis=1) / below[chosen].sum(axis=1))
    low, high = np.quantile(ratio, (0.025, 0.975))
    return float(low), float(high)


def _interval_end(prediction: Prediction, *, end: int) -> float:
    return resampled(prediction)[end]


def _between_m(least_m: float, most_m: float) -> str:
    if not least_m:
        return f"within {most_m:g} m"
    return f"from {least_m:g} to {most_m:g} m" if np.isfinite(most_m) else f"beyond {least_m:g} m"


SCORES: Mapping[str, tuple[str, Literal["lower", "higher"], Score]] = MappingProxyType(
    {
        "RMSE, 95 % from": ("dB", "lower", partial(_interval_end, end=0)),
        "RMSE, 95 % to": ("dB", "lower", partial(_interval_end, end=1)),
        "MAE": ("dB", "lower", _mae_db),
        "bias": ("dB", "lower", _bias_db),
        "RMSE in sight": ("dB", "lower", partial(_sight_rmse_db, los=True)),
        "RMSE out of sight": ("dB", "lower", partial(_sight_rmse_db, los=False)),
        **{
            f"RMSE {_between_m(least_m, most_m)}": (
                "dB",
                "lower",
                partial(_distance_rmse_db, least_m=least_m, most_m=most_m),
            )
            for least_m, most_m in pairwise(CLASSES_M)
        },
        "RMSE where both have a path": ("dB", "lower", _shared_rmse_db),
        "cells without a path": ("share", "lower", _dark_share),
        "SSIM": ("", "higher", _ssim),
        **{
            f"coverage F1 at {level:g} dBm": ("", "higher", partial(_f1, threshold_dbm=level))
            for level in THRESHOLDS_DBM
        },
        "CRPS": ("dB", "lower", _crps_db),
        f"share within the {INTERVAL:.0%} interval, off by": ("", "lower", _picp_off),
    }
)
"""Unit, direction and function of every score but the RMSE itself."""
