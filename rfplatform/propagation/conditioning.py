"""A predicted map moved by what was measured in it: kriging with the map's own spread.

What a prediction misses is taken as a sum of four fields: one constant (power, losses), a slope
over the logarithm of the distance, a smooth field (terrain, clutter; Gudmundson 1991) and a rough
one whose size is the spread that the prediction states. The covariance is fixed; nothing is
fitted, so that a single sample is used as well as hundreds; its numbers were chosen once, over
traced windows of the two validation towns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

CELLS_PER_CHUNK = 1 << 15


@dataclass(frozen=True)
class Misfit:
    """How large what a prediction misses is taken to be.

    Attributes
    ----------
    offset_db : float
        Standard deviation of the constant: 6 dB where powers are known, 30 dB where they are not.
    slope_db : float
        Of the slope, a decade of distance.
    smooth_db, smooth_m : float
        Of the smooth field, and the distance over which its correlation falls to 1/e.
    rough_share, rough_m : float
        Share of the predicted variance that neighbouring cells have in common, and over which
        distance.
    noise_db : float
        Of a sample: fading that the mean over a cell leaves, and the receiver's error.
    """

    offset_db: float = 6.0
    slope_db: float = 5.0
    smooth_db: float = 4.0
    smooth_m: float = 80.0
    rough_share: float = 0.9
    rough_m: float = 40.0
    noise_db: float = 1.0


@dataclass(frozen=True, eq=False)
class Place:
    """Points, with what their covariance depends on; arrays of [n].

    Attributes
    ----------
    x_m, y_m : ndarray
        Local metres.
    log_distance : ndarray
        Of ten, from the antenna in metres.
    spread_db : ndarray
        Stated by the prediction.
    """

    x_m: FloatArray
    y_m: FloatArray
    log_distance: FloatArray
    spread_db: FloatArray

    def part(self, index: slice | npt.NDArray[np.intp]) -> Place:
        """Some of the points."""
        return Place(
            self.x_m[index], self.y_m[index], self.log_distance[index], self.spread_db[index]
        )


@dataclass(frozen=True, eq=False)
class Kriged:
    """What a prediction misses, at points; arrays of [n].

    Attributes
    ----------
    offset_db : float
        The constant.
    trend_db : ndarray
        Slope and smooth field, without the constant.
    rough_db : ndarray
        The rough field.
    spread_db : ndarray
        One standard deviation of what is still not known, of the level itself.
    """

    offset_db: float
    trend_db: FloatArray
    rough_db: FloatArray
    spread_db: FloatArray

    @property
    def mean_db(self) -> FloatArray:
        """All of it."""
        return self.offset_db + self.trend_db + self.rough_db


def krige(
    missed_db: FloatArray,
    samples: Place,
    at: Place,
    misfit: Misfit,
    noise_db: FloatArray | float | None = None,
) -> Kriged:
    """Estimate what a prediction misses everywhere from what it misses at samples.

    Parameters
    ----------
    missed_db : ndarray, [num_samples]
        Measured minus predicted.
    samples, at : Place
    misfit : Misfit
    noise_db : float or ndarray, [num_samples], optional
        Of the samples; `Misfit.noise_db` by default.

    Returns
    -------
    Kriged
        Best linear unbiased under the covariance (simple kriging, Cressie 1993, section 3.2).
    """
    count = len(at.x_m)
    own = at.spread_db.astype(float)
    if not len(missed_db):
        prior = misfit.offset_db**2 + misfit.smooth_db**2
        return Kriged(0.0, np.zeros(count), np.zeros(count), np.sqrt(own**2 + prior))
    noise = np.broadcast_to(
        np.asarray(misfit.noise_db if noise_db is None else noise_db, float), missed_db.shape
    )
    middle = float(np.mean(samples.log_distance))
    constant, trend, rough = _covariances(samples, samples, misfit, middle)
    rest = (1.0 - misfit.rough_share) * samples.spread_db.astype(float) ** 2
    total = constant + trend + rough + np.diag(noise**2 + rest)
    lower = np.linalg.cholesky(total)
    whitened = np.linalg.inv(lower)
    weights = whitened.T @ (whitened @ missed_db)
    trend_db, rough_db, variance = np.empty(count), np.empty(count), np.empty(count)
    narrow, few = whitened.T.astype(np.float32), weights.astype(np.float32)
    for first in range(0, count, CELLS_PER_CHUNK):
        part = slice(first, first + CELLS_PER_CHUNK)
        here = at.part(part)
        constant_at, trend_at, rough_at = _covariances(here, samples, misfit, middle)
        trend_db[part], rough_db[part] = trend_at @ few, rough_at @ few
        trend_at += rough_at
        trend_at += np.float32(constant_at)
        explained = np.square(trend_at @ narrow)
        slope = misfit.slope_db**2 * (here.log_distance - middle) ** 2
        before = misfit.offset_db**2 + slope + misfit.smooth_db**2 + here.spread_db**2
        variance[part] = before - explained.sum(axis=1)
    offset_db = float(misfit.offset_db**2 * weights.sum())
    # What no other cell shares stays unknown, sampled or not.
    least = (1.0 - misfit.rough_share) * own**2
    return Kriged(offset_db, trend_db, rough_db, np.sqrt(np.maximum(variance, least)))


def _covariances(
    of: Place, samples: Place, misfit: Misfit, middle: float
) -> tuple[float, FloatArray, FloatArray]:
    """Of the constant, of slope and smooth field, and of the rough field, [num_of, num_samples]."""
    apart_m = np.hypot(
        (of.x_m[:, None] - samples.x_m[None, :]).astype(np.float32),
        (of.y_m[:, None] - samples.y_m[None, :]).astype(np.float32),
    )
    trend = np.exp(apart_m * np.float32(-1.0 / misfit.smooth_m))
    trend *= np.float32(misfit.smooth_db**2)
    away, away_too = (
        (misfit.slope_db * (p.log_distance - middle)).astype(np.float32) for p in (of, samples)
    )
    trend += np.outer(away, away_too)
    apart_m *= np.float32(-1.0 / misfit.rough_m)
    rough = np.exp(apart_m, out=apart_m)
    rough *= of.spread_db.astype(np.float32)[:, None]
    rough *= (misfit.rough_share * samples.spread_db).astype(np.float32)[None, :]
    return misfit.offset_db**2, trend, rough
