"""Levels of a sector from a few measured ones: offset, regression, neighbours, Gaussian process.

Every way takes the samples of one sector and the points that are asked for, and returns a mean
and a spread for each. None looks at anything but samples, points and the sector; with too few
samples each falls back to the physical model, and says by its spread how little that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from rfplatform.radiomap import Sector
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

PRIOR_SPREAD_DB = 9.0
"""What a model that was made for no place in particular leaves of measured levels, its offset set.

C. Phillips, D. Sicker, D. Grunwald, "Bounding the error of path loss models", IEEE DySPAN 2011:
8 to 9 dB in towns for the best of 30 models, after fitting.
"""

PRIOR_WEIGHT = 4.0
"""Samples' worth of belief in `PRIOR_SPREAD_DB`."""

SLOPE_DB, SLOPE_SPREAD_DB = -39.08, 10.0
"""Decibels for each tenfold distance, and how sure: 3GPP TR 38.901 Table 7.4.1-1, UMa NLOS; 20 in
free space lies two standard deviations off."""

AZIMUTH_SPREAD_DB = 8.0
"""Of the cosine and sine of the angle off boresight: half of a panel's front-to-back ratio."""

FLOOR_DB = 0.5
"""No prediction claims to be surer than this."""


@dataclass(frozen=True, eq=False)
class Points:
    """Where levels of one sector are asked for.

    Attributes
    ----------
    x_m, y_m : ndarray, [n]
        Local metres.
    prior_db : ndarray, [n]
        Level by a physical model, in the samples' unit up to a constant. -inf: it found no path.
    spread_db : ndarray or None, [n]
        The model's own stated spread, where it has one.
    """

    x_m: FloatArray
    y_m: FloatArray
    prior_db: FloatArray
    spread_db: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.x_m)

    def at(self, index: np.ndarray) -> Points:
        """Those of an index or mask."""
        spread_db = None if self.spread_db is None else self.spread_db[index]
        return Points(self.x_m[index], self.y_m[index], self.prior_db[index], spread_db)


@dataclass(frozen=True, eq=False)
class Samples:
    """What was measured of one sector.

    Attributes
    ----------
    points : Points
    level_db : ndarray, [n]
        RSRP in dBm, or path gain in dB.
    """

    points: Points
    level_db: FloatArray

    def __len__(self) -> int:
        return len(self.level_db)

    def at(self, index: np.ndarray) -> Samples:
        """Those of an index or mask."""
        return Samples(self.points.at(index), self.level_db[index])


@dataclass(frozen=True, eq=False)
class Estimate:
    """Levels as they are believed to be.

    Attributes
    ----------
    mean_db : ndarray, [n]
    spread_db : ndarray, [n]
        One standard deviation of a reading from the mean.
    """

    mean_db: FloatArray
    spread_db: FloatArray


class Interpolator(Protocol):
    """A way from the samples of a sector to its levels anywhere."""

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate: ...


@dataclass(frozen=True)
class Constant:
    """The samples' mean everywhere: what any other way must beat."""

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        if not len(samples):
            return Offset()(samples, at, sector)
        level_db = np.asarray(samples.level_db, dtype=float)
        mean_db = float(level_db.mean())
        spread_db = math.sqrt(_variance(level_db - mean_db, 1) * (1.0 + 1.0 / len(samples)))
        return Estimate(np.full(len(at), mean_db), np.full(len(at), spread_db))


@dataclass(frozen=True)
class Offset:
    """The physical model and the mean difference of the samples from it."""

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:  # noqa: ARG002
        if not len(samples):
            # The model's own spread, and that of an offset which nothing tells.
            unknown = 2.0 * PRIOR_SPREAD_DB**2 + _stated(at)
            return Estimate(_filled_prior(at, at), _floored(np.sqrt(unknown)))
        residual_db = samples.level_db - _filled_prior(samples.points, at)
        offset_db = float(residual_db.mean())
        variance = _variance(residual_db - offset_db, 1)
        # What the samples show beyond what the model states of itself holds everywhere.
        stated = _stated(samples.points)
        beyond = max(variance - float(np.mean(stated)), 0.0)
        spread_db = np.sqrt(beyond + _stated(at) + variance / len(samples))
        return Estimate(_filled_prior(at, samples.points) + offset_db, _floored(spread_db))


@dataclass(frozen=True)
class LogDistance:
    """Ridge regression on the logarithm of distance and the azimuth off boresight.

    level = a + b log10(d / 100 m) + c cos(phi) + s sin(phi), with d the distance from the antenna
    in space and phi the azimuth off its boresight. The coefficients are drawn towards those of
    3GPP's urban macro cell (`SLOPE_DB`) and an omnidirectional antenna, as Gaussian beliefs with
    the spreads above; the level itself is free. With that, ten samples are enough. It does not use
    the physical model, unless there are fewer than three samples.
    """

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        if len(samples) < 3:
            return Offset()(samples, at, sector)
        trend = _Trend.fitted(samples, sector)
        mean_db, variance = trend(at, sector)
        return Estimate(mean_db, _floored(np.sqrt(variance + trend.noise)))


@dataclass(frozen=True)
class NearestNeighbours:
    """The nearest samples, weighted by the inverse of their distance.

    Attributes
    ----------
    k : int
        How many.
    """

    k: int = 5

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        if len(samples) < 3:
            return Offset()(samples, at, sector)
        places = np.column_stack((samples.points.x_m, samples.points.y_m))
        level_db = np.asarray(samples.level_db, dtype=float)
        mean_db, nearest_m = self._mean(places, level_db, np.column_stack((at.x_m, at.y_m)))
        return Estimate(mean_db, _floored(np.sqrt(self._variance(places, level_db, nearest_m))))

    def _mean(
        self, places: FloatArray, level_db: FloatArray, wanted: FloatArray, skip: int = 0
    ) -> tuple[FloatArray, FloatArray]:
        """Weighted means, and distances to the nearest; `skip`: without the sample itself."""
        from scipy.spatial import cKDTree

        count = min(self.k + skip, len(places))
        distance_m, index = cKDTree(places).query(wanted, k=np.arange(1 + skip, count + 1))
        weight = 1.0 / np.maximum(distance_m, 1.0)
        mean_db = (weight * level_db[index]).sum(axis=1) / weight.sum(axis=1)
        return np.asarray(mean_db), np.asarray(distance_m[:, 0])

    def _variance(
        self, places: FloatArray, level_db: FloatArray, nearest_m: FloatArray
    ) -> FloatArray:
        """Squared error by the distance to the nearest sample.

        A line through how far each sample is missed by the others, not above what the mean of all
        would be off.
        """
        from scipy.optimize import nnls

        without, apart_m = self._mean(places, level_db, places, skip=1)
        squared = (level_db - without) ** 2
        # The belief of a general model, as samples that lie as far apart as these do.
        rows = np.column_stack((np.ones(len(squared)), apart_m))
        belief = math.sqrt(PRIOR_WEIGHT) * np.array([[1.0, float(apart_m.mean())]])
        a, b = nnls(
            np.vstack((rows, belief)),
            np.append(squared, math.sqrt(PRIOR_WEIGHT) * PRIOR_SPREAD_DB**2),
        )[0]
        most = _variance(level_db - level_db.mean(), 1) * (1.0 + 1.0 / self.k)
        return np.asarray(np.minimum(a + b * nearest_m, max(most, float(squared.mean()))))


@dataclass(frozen=True)
class GaussianProcess:
    """Gaussian process on what a trend leaves of the samples (scikit-learn).

    The kernel is s^2 exp(-d / L) + n^2, the correlation of shadowing over distance by M. Gudmundson
    (Electronics Letters 27(23), 1991). s, L and n are found by marginal likelihood, with log-normal
    beliefs around 3GPP's urban macro cell (TR 38.901 Table 7.5-6: shadowing of 6 dB, 50 m between
    places that share 1/e of it), so that ten samples cannot make them absurd.

    Attributes
    ----------
    trend : str
        "log-distance": the regression of `LogDistance`; "prior": the physical model and an offset.
    fit_points : int
        Most samples that the marginal likelihood is computed on; the prediction takes all.
    most_points : int
        Where there are more samples than this, those of a square are taken as their mean, the
        square the smallest that does.
    nu : float
        Smoothness of the Matern kernel; 0.5 is the exponential.
    seed : int
        Of the choice of `fit_points`.
    """

    trend: Literal["log-distance", "prior"] = "log-distance"
    fit_points: int = 600
    most_points: int = 2000
    nu: float = 0.5
    seed: int = 1

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        if len(samples) < 3:
            return Offset()(samples, at, sector)
        samples = _thinned(samples, self.most_points)
        if self.trend == "prior":
            level_db = _filled_prior(at, samples.points)
            residual_db = samples.level_db - _filled_prior(samples.points, at)
            offset_db = float(residual_db.mean())
            residual_db, mean_db = residual_db - offset_db, level_db + offset_db
            extra = np.full(len(at), _variance(residual_db, 1) / len(samples))
        else:
            trend = _Trend.fitted(samples, sector)
            residual_db = samples.level_db - trend(samples.points, sector)[0]
            mean_db, extra = trend(at, sector)
        left_db, spread_db = self._residual(samples.points, residual_db, at)
        # The process draws the level back to the trend away from the samples, whose own
        # uncertainty it does not know.
        return Estimate(mean_db + left_db, _floored(np.hypot(spread_db, np.sqrt(extra))))

    def _residual(
        self, points: Points, residual_db: FloatArray, at: Points
    ) -> tuple[FloatArray, FloatArray]:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        places = np.column_stack((points.x_m, points.y_m))
        kernel = ConstantKernel(_SHADOWING[0], (1.0, 400.0)) * Matern(
            _SHADOWING[1], (5.0, 500.0), nu=self.nu
        ) + WhiteKernel(_SHADOWING[2], (0.25, 200.0))
        few = np.arange(len(places))
        if len(few) > self.fit_points:
            few = np.random.default_rng(self.seed).choice(len(few), self.fit_points, replace=False)
        fitted = GaussianProcessRegressor(kernel, optimizer=_most_likely)
        fitted.fit(places[few], residual_db[few])
        if len(few) < len(places):
            fitted = GaussianProcessRegressor(fitted.kernel_, optimizer=None)
            fitted.fit(places, residual_db)
        return _predicted(fitted, np.column_stack((at.x_m, at.y_m)))


METHODS: Mapping[str, Interpolator] = MappingProxyType(
    {
        "constant": Constant(),
        "offset": Offset(),
        "log-distance": LogDistance(),
        "knn": NearestNeighbours(),
        "gp": GaussianProcess(),
        "gp-prior": GaussianProcess(trend="prior"),
    }
)
"""By the names that reports and ``--method`` use."""

_CHUNK = 2048
"""Points that the Gaussian process predicts at once: 2048 x 4096 samples take 64 MB."""

_REACH = 6.0
"""Distances of correlation beyond which a sample tells nothing (1/400 of its residual)."""

_SHADOWING = (6.0**2, 50.0, 3.0**2)
"""Variance [dB^2], distance of correlation [m] and variance within a place [dB^2], the middle of
the beliefs."""

_BELIEF_SPREAD = np.array([1.0, 0.7, 1.0])
"""Standard deviations of the logarithms of `_SHADOWING`."""


def _predicted(
    process: GaussianProcessRegressor, wanted: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Means and standard deviations, in portions, and only where a sample has a say."""
    from scipy.spatial import cKDTree

    parameters = process.kernel_.get_params()
    reach_m = _REACH * parameters["k1__k2__length_scale"]
    alone = parameters["k1__k1__constant_value"] + parameters["k2__noise_level"]
    mean_db, spread_db = np.zeros(len(wanted)), np.full(len(wanted), math.sqrt(alone))
    if not len(wanted):
        return mean_db, spread_db
    nearest_m, _ = cKDTree(process.X_train_).query(wanted, distance_upper_bound=reach_m)
    near = np.flatnonzero(np.isfinite(nearest_m))
    for start in range(0, len(near), _CHUNK):
        some = near[start : start + _CHUNK]
        mean_db[some], spread_db[some] = process.predict(wanted[some], return_std=True)
    return mean_db, spread_db


def _thinned(samples: Samples, most: int) -> Samples:
    """Samples with those of a square taken as their mean, the square as large as it must be."""
    if len(samples) <= most:
        return samples
    x_m, y_m = samples.points.x_m, samples.points.y_m
    edge_m = 2.0
    while True:
        squares = np.column_stack((np.floor(x_m / edge_m), np.floor(y_m / edge_m)))
        _, which = np.unique(squares, axis=0, return_inverse=True)
        count = np.bincount(which.ravel())
        if len(count) <= most:
            break
        edge_m *= 1.25

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(which.ravel(), values) / count)

    points = samples.points
    prior_db = _filled_prior(points, points)
    spread_db = None if points.spread_db is None else np.sqrt(mean(_stated(points)))
    return Samples(Points(mean(x_m), mean(y_m), mean(prior_db), spread_db), mean(samples.level_db))


def _most_likely(
    objective: Callable[..., tuple[float, FloatArray]], start: FloatArray, bounds: FloatArray
) -> tuple[FloatArray, float]:
    """Parameters of the largest posterior: scikit-learn's likelihood, and the beliefs."""
    from scipy.optimize import minimize

    middle = np.log(_SHADOWING)

    def negative(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective(theta, eval_gradient=True)
        off = (theta - middle) / _BELIEF_SPREAD
        return value + 0.5 * float(off @ off), gradient + off / _BELIEF_SPREAD

    found = minimize(negative, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return found.x, float(found.fun)


@dataclass(frozen=True, eq=False)
class _Trend:
    """Coefficients with their covariance, and the variance around the trend."""

    coefficients: FloatArray
    covariance: FloatArray
    noise: float

    @classmethod
    def fitted(cls, samples: Samples, sector: Sector) -> _Trend:
        rows = _features(samples.points, sector)
        level_db = np.asarray(samples.level_db, dtype=float)
        # Around the samples' mean the free level is as good as known, and the system well behaved.
        start = np.array([level_db.mean(), SLOPE_DB, 0.0, 0.0])
        belief = np.array([1e4, SLOPE_SPREAD_DB, AZIMUTH_SPREAD_DB, AZIMUTH_SPREAD_DB]) ** -2.0
        noise = PRIOR_SPREAD_DB**2
        for _ in range(10):
            precision = rows.T @ rows / noise + np.diag(belief)
            covariance = np.linalg.inv(precision)
            step = covariance @ (rows.T @ (level_db - rows @ start)) / noise
            coefficients = start + step
            used = float(np.trace(rows @ covariance @ rows.T)) / noise if len(rows) < 50 else 4.0
            noise = _variance(level_db - rows @ coefficients, min(used, 4.0))
        return cls(coefficients, covariance, noise)

    def __call__(self, at: Points, sector: Sector) -> tuple[FloatArray, FloatArray]:
        """Mean, and the variance of the mean."""
        rows = _features(at, sector)
        variance = np.einsum("ij,jk,ik->i", rows, self.covariance, rows)
        return rows @ self.coefficients, variance


def _features(at: Points, sector: Sector) -> FloatArray:
    east, north = at.x_m - sector.x_m, at.y_m - sector.y_m
    distance_m = np.sqrt(east**2 + north**2 + max(sector.height_m, 1.0) ** 2)
    off = np.arctan2(east, north) - math.radians(sector.azimuth_deg)
    return np.column_stack(
        (np.ones(len(at)), np.log10(distance_m / 100.0), np.cos(off), np.sin(off))
    )


def _variance(residual_db: FloatArray, used: float) -> float:
    """Variance of residuals after `used` fitted numbers, with the belief of a general model."""
    freedom = max(len(residual_db) - used, 0.0)
    total = PRIOR_WEIGHT * PRIOR_SPREAD_DB**2 + float(residual_db @ residual_db)
    return total / (PRIOR_WEIGHT + freedom)


def _filled_prior(points: Points, others: Points) -> FloatArray:
    """The physical model's level; where it found no path, one as low as its lowest twentieth."""
    prior_db = np.asarray(points.prior_db, dtype=float)
    dark = ~np.isfinite(prior_db)
    if not dark.any():
        return prior_db
    everywhere = np.concatenate((prior_db, np.asarray(others.prior_db, dtype=float)))
    lit = everywhere[np.isfinite(everywhere)]
    return np.where(dark, np.quantile(lit, 0.05) if len(lit) else 0.0, prior_db)


def _stated(points: Points) -> FloatArray:
    """Variance that the model states of itself; 0 where it states none."""
    if points.spread_db is None:
        return np.zeros(len(points))
    return np.asarray(np.nan_to_num(np.asarray(points.spread_db, dtype=float) ** 2))


def _floored(spread_db: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(spread_db, FLOOR_DB))
