"""Levels between few samples, by Gaussian processes whose beliefs come from the literature.

With ten samples no likelihood can find a correlation distance, and with hundreds its best value is
one of many that explain them as well. So nothing is optimised here: a fixed set of hyperparameters
is drawn from beliefs about shadowing, each makes its own prediction, and the samples decide by
their likelihood how much each of them counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from rfplatform.antennas import antenna, sector_gain_dbi
from rfplatform.propagation.empirical import uma_nlos_db
from rfplatform.propagation.interpolation import Estimate, Offset, Points, Samples
from rfplatform.radiomap import Sector
from rfplatform.units import FloatArray, db_to_linear, linear_to_db

Belief = tuple[float, float]
"""Median of a quantity that is above 0, and the standard deviation of its logarithm."""

OFFSET_DB = 100.0
"""Standard deviation of the constant: powers, losses and phones may differ by anything."""

LEAST_SPREAD_DB = 0.5
POINTS_PER_CHUNK = 4096

_COUNTED = 0.9
"""Members that make up so much of the weight predict; the rest would change hundredths of a dB."""

_DIRECTIONS = 16


@dataclass(frozen=True)
class Kriging:
    """Bayesian model averaging over Gaussian processes on what a prior misses of the samples.

    level = prior + constant + trend + shadowing + noise, all of them Gaussian given the
    hyperparameters. The trend is linear in the logarithm of distance, in cosine and sine of the
    angle off boresight, and in the prior itself (a model that exaggerates its contrasts). The
    shadowing is a sum of fields whose correlation falls exponentially with distance (M. Gudmundson,
    Electronics Letters 27(23), 1991): a far and a near one over the plane, and one over the bearing
    from the mast, since what stands near the mast shadows everything behind it (angle-of-arrival
    correlation: K. Zayana, B. Guisnet, ICUPC 1998).

    Where points state a spread, the shadowing is larger where that is larger, and its median is
    that spread.

    Attributes
    ----------
    shadowing_db : (float, float)
        Belief in the standard deviation of far and near field together; 3GPP TR 38.901 Table
        7.5-6: 4 dB (LOS) to 6 dB (UMa NLOS) and 7.8 dB (UMi NLOS).
    far_m, near_m : (float, float)
        Beliefs in the distances over which correlation falls to 1/e: 37 and 50 m in urban macro
        cells, 10 and 13 m in street canyons (the same table).
    near_share : (float, float)
        Of the near field in the variance: the median, and the standard deviation of the log-odds.
    noise_db : (float, float)
        Belief in what differs from one sample to its neighbour.
    bearing_db : (float, float)
        Belief in the field over the bearing; a median of 0 leaves it out.
    bearing_deg, bearing_m : float
        Over which its correlation falls to 1/e, around the mast and away from it.
    slope_db, azimuth_db, contrast : float
        Standard deviations of the trend's coefficients: decibels for each tenfold distance, of the
        cosine and sine, and of the relative error of the prior's contrasts. From free space to
        urban macro slopes differ by 19 dB, which is taken as two standard deviations.
    members : int
        Hyperparameters drawn from the beliefs (a Sobol sequence), a power of 2.
    weighed : int
        Most samples that the members' likelihoods are computed on; predictions take all.
    """

    shadowing_db: Belief = (6.0, 0.35)
    far_m: Belief = (50.0, 0.5)
    near_m: Belief = (12.0, 0.4)
    near_share: tuple[float, float] = (0.5, 1.0)
    noise_db: Belief = (3.0, 0.3)
    bearing_db: Belief = (3.0, 0.6)
    bearing_deg: float = 12.0
    bearing_m: float = 150.0
    slope_db: float = 10.0
    azimuth_db: float = 5.0
    contrast: float = 0.3
    members: int = 32
    weighed: int = 400

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        """Levels at points; the prior itself without samples.

        Parameters
        ----------
        samples : Samples
        at : Points
        sector : Sector
            Whose mast and boresight the trend and the bearings are counted from.

        Returns
        -------
        Estimate
            The spread is that of a reading, its noise included.
        """
        if not len(samples):
            return Offset()(samples, at, sector)
        known, wanted = self._places(samples.points, at, sector)
        missed_db = np.asarray(samples.level_db, float) - known.prior_db
        constant_db = float(missed_db.mean())
        missed_db = missed_db - constant_db
        beliefs = _members(self, known.stated_db)
        weights = self._weights(beliefs, known, missed_db)
        best = np.argsort(-weights)
        # Up to and with the one that makes the share whole.
        best = best[: 1 + int(np.searchsorted(np.cumsum(weights[best]), _COUNTED))]
        mean_db, square = np.zeros(len(at)), np.zeros(len(at))
        apart = _Apart.between(self, known, known)
        for i in best:
            share = weights[i] / weights[best].sum()
            for part, mean, variance in _predicted(
                self, beliefs[i], known, apart, missed_db, wanted
            ):
                mean_db[part] += share * mean
                square[part] += share * (variance + mean**2)
        spread_db = np.sqrt(np.maximum(square - mean_db**2, LEAST_SPREAD_DB**2))
        return Estimate(wanted.prior_db + constant_db + mean_db, spread_db)

    def _weights(
        self, beliefs: tuple[_Member, ...], known: _Places, missed_db: FloatArray
    ) -> FloatArray:
        """How likely the samples are to each member, as shares of 1."""
        from scipy.linalg import solve_triangular

        few = np.arange(len(missed_db))
        if len(few) > self.weighed:
            few = np.random.default_rng(1).choice(few, self.weighed, replace=False)
        some, missed_db = known.part(few), missed_db[few]
        apart = _Apart.between(self, some, some)
        likely = np.empty(len(beliefs))
        for i, member in enumerate(beliefs):
            lower = _factor(member, apart)
            white = solve_triangular(lower, missed_db, lower=True, check_finite=False)
            likely[i] = -0.5 * white @ white - np.log(np.diag(lower)).sum()
        weights = np.exp(likely - likely.max())
        return np.asarray(weights / weights.sum())

    def _places(self, given: Points, at: Points, sector: Sector) -> tuple[_Places, _Places]:
        """Both sets of points as the covariance sees them, on the same scales."""
        priors_db = _lit(np.concatenate((given.prior_db, at.prior_db)))
        middle_db = float(priors_db.mean())
        stated_db, sizes = 0.0, np.ones(len(priors_db))
        if given.spread_db is not None and at.spread_db is not None:
            spread_db = np.concatenate((given.spread_db, at.spread_db)).astype(float)
            stated = np.isfinite(spread_db) & (spread_db > 0.0)
            if stated.any():
                stated_db = float(np.sqrt(np.mean(spread_db[stated] ** 2)))
                sizes = np.clip(np.where(stated, spread_db / stated_db, 1.0), 0.5, 2.0)
        x_m, y_m = np.concatenate((given.x_m, at.x_m)), np.concatenate((given.y_m, at.y_m))
        east, north = x_m - sector.x_m, y_m - sector.y_m
        along_m = np.hypot(east, north)
        bearing = np.arctan2(east, north)
        off = bearing - np.radians(sector.azimuth_deg)
        away_m = np.hypot(along_m, max(sector.height_m, 1.0))
        trend = np.column_stack(
            (
                np.full(len(x_m), OFFSET_DB),
                self.slope_db * (np.log10(away_m) - 2.0),
                self.azimuth_db * np.cos(off),
                self.azimuth_db * np.sin(off),
                self.contrast * (priors_db - middle_db),
            )
        )
        both = _Places(x_m, y_m, bearing, along_m, trend, sizes, priors_db, stated_db)
        count = len(given.x_m)
        return both.part(slice(0, count)), both.part(slice(count, None))


class _Member(NamedTuple):
    """One draw of the hyperparameters."""

    shadowing_db: float
    near_share: float
    far_m: float
    near_m: float
    noise_db: float
    bearing_db: float


@dataclass(frozen=True, eq=False)
class _Places:
    """Points with what their covariance depends on, [n] each; the trend [n, coefficients]."""

    x_m: FloatArray
    y_m: FloatArray
    bearing: FloatArray
    along_m: FloatArray
    trend: FloatArray
    sizes: FloatArray
    prior_db: FloatArray
    stated_db: float

    def part(self, index: slice | np.ndarray) -> _Places:
        return _Places(
            self.x_m[index],
            self.y_m[index],
            self.bearing[index],
            self.along_m[index],
            self.trend[index],
            self.sizes[index],
            self.prior_db[index],
            self.stated_db,
        )


@dataclass(frozen=True, eq=False)
class _Apart:
    """What all members' covariances between two sets of points have in common, [n, m] each."""

    apart_m: FloatArray
    trend: FloatArray
    sizes: FloatArray
    bearing: FloatArray | None

    @classmethod
    def between(cls, of: Kriging, a: _Places, b: _Places) -> _Apart:
        bearing = None
        if of.bearing_db[0] > 0.0:
            turn = np.abs((a.bearing[:, None] - b.bearing + np.pi) % (2.0 * np.pi) - np.pi)
            away_m = np.abs(a.along_m[:, None] - b.along_m)
            bearing = np.exp(-turn / np.radians(of.bearing_deg) - away_m / of.bearing_m)
        return cls(
            np.hypot(a.x_m[:, None] - b.x_m, a.y_m[:, None] - b.y_m),
            a.trend @ b.trend.T,
            a.sizes[:, None] * b.sizes,
            bearing,
        )

    def covariance(self, member: _Member) -> FloatArray:
        far = 1.0 - member.near_share
        shadowing = far * np.exp(self.apart_m * (-1.0 / member.far_m))
        shadowing += member.near_share * np.exp(self.apart_m * (-1.0 / member.near_m))
        shadowing *= member.shadowing_db**2 * self.sizes
        shadowing += self.trend
        if self.bearing is not None:
            shadowing += member.bearing_db**2 * self.bearing
        return np.asarray(shadowing)


@lru_cache(maxsize=32)
def _members(of: Kriging, stated_db: float) -> tuple[_Member, ...]:
    """Hyperparameters spread evenly over the beliefs."""
    from scipy.stats import norm, qmc

    drawn = norm.ppf(qmc.Sobol(6, seed=1).random(of.members).clip(1e-3, 1.0 - 1e-3))
    odds = np.log(of.near_share[0] / (1.0 - of.near_share[0])) + of.near_share[1] * drawn[:, 1]
    shadowing = (stated_db, of.shadowing_db[1]) if stated_db > 0.0 else of.shadowing_db

    def believed(belief: Belief, column: int) -> FloatArray:
        return np.asarray(belief[0] * np.exp(belief[1] * drawn[:, column]))

    columns = (
        believed(shadowing, 0),
        1.0 / (1.0 + np.exp(-odds)),
        believed(of.far_m, 2),
        believed(of.near_m, 3),
        believed(of.noise_db, 4),
        believed(of.bearing_db, 5),
    )
    return tuple(_Member(*map(float, row)) for row in zip(*columns, strict=True))


def _factor(member: _Member, apart: _Apart) -> FloatArray:
    """Lower triangle of the samples' covariance."""
    from scipy.linalg import cholesky

    total = apart.covariance(member)
    total[np.diag_indices_from(total)] += member.noise_db**2
    return np.asarray(cholesky(total, lower=True, overwrite_a=True, check_finite=False))


def _predicted(
    of: Kriging,
    member: _Member,
    known: _Places,
    apart: _Apart,
    missed_db: FloatArray,
    wanted: _Places,
) -> Iterator[tuple[slice, FloatArray, FloatArray]]:
    """Mean of what the prior misses, and variance of a reading, part by part."""
    from scipy.linalg import solve_triangular

    lower = _factor(member, apart)
    white = solve_triangular(lower, missed_db, lower=True, check_finite=False)
    for first in range(0, len(wanted.x_m), POINTS_PER_CHUNK):
        part = slice(first, first + POINTS_PER_CHUNK)
        here = wanted.part(part)
        across = _Apart.between(of, known, here).covariance(member)
        across = solve_triangular(lower, across, lower=True, overwrite_b=True, check_finite=False)
        total = member.shadowing_db**2 * here.sizes**2 + (here.trend**2).sum(axis=1)
        total += member.noise_db**2 + (member.bearing_db**2 if of.bearing_db[0] > 0.0 else 0.0)
        yield part, white @ across, total - (across**2).sum(axis=0)


def _lit(prior_db: FloatArray) -> FloatArray:
    """A prior with its lowest twentieth where it found no path."""
    prior_db = np.asarray(prior_db, dtype=float)
    lit = np.isfinite(prior_db)
    if lit.all():
        return prior_db
    return np.where(lit, prior_db, np.quantile(prior_db[lit], 0.05) if lit.any() else 0.0)


def macro_street_db(
    sector: Sector, x_m: FloatArray, y_m: FloatArray, receiver_height_m: float = 1.5
) -> FloatArray:
    """Path gain to receivers on the ground around a macro mast: the prior that needs no scene.

    TR 38.901's UMa NLOS everywhere, because what is free of buildings is seldom free of trees and
    people; and the antenna's pattern as power leaves through it, that is, averaged over the azimuth
    spread of departure: a Laplacian (K. Pedersen, P. Mogensen, B. Fleury, IEEE Transactions on
    Vehicular Technology 49(2), 2000) of the median spread of TR 38.901 Table 7.5-6, UMa NLOS.

    Nothing in it is fitted, but that it is this form was chosen with a look at what 35 combinations
    of closed form and pattern leave of the levels of `maps:duke`'s own three cells with an offset
    (7 forms, 5 ways to count antenna and woods): it was second (8.2 dB, with the bare pattern 8.2,
    free space 9.0, UMa with line of sight past buildings 11.0).

    Parameters
    ----------
    sector : Sector
    x_m, y_m : ndarray, [n]
        Local metres, on ground as high as the mast's.
    receiver_height_m : float
        1.5 to 22.5 m.

    Returns
    -------
    ndarray, [n]
        dB.
    """
    east, north = np.asarray(x_m) - sector.x_m, np.asarray(y_m) - sector.y_m
    height_m = max(sector.height_m, receiver_height_m + 1.0)
    # The formulas begin at 10 m.
    along_m = np.maximum(np.hypot(east, north), 10.0)
    down_m = height_m - receiver_height_m
    away_m = np.hypot(along_m, down_m)
    # Below 6 GHz the table is read at 6 GHz (its note 6).
    spread_deg = 10.0 ** (1.5 - 0.1144 * np.log10(max(sector.frequency_hz / 1e9, 6.0)))
    pattern, bearing = antenna(sector.antenna), np.arctan2(east, north)
    power = np.zeros(len(along_m))
    for turn in np.radians(spread_deg) * _laplacian(_DIRECTIONS):
        toward = (along_m * np.sin(bearing + turn), along_m * np.cos(bearing + turn), -down_m)
        gain_dbi = sector_gain_dbi(pattern, sector.azimuth_deg, sector.downtilt_deg, *toward)
        power += db_to_linear(gain_dbi) / _DIRECTIONS
    loss_db = uma_nlos_db(along_m, away_m, sector.frequency_hz, height_m, receiver_height_m)
    return np.asarray(linear_to_db(power) - loss_db)


def _laplacian(count: int) -> FloatArray:
    """Middles of as many equally likely parts of a Laplacian of unit standard deviation."""
    below = (np.arange(count) + 0.5) / count - 0.5
    return np.asarray(-np.sign(below) * np.log(1.0 - 2.0 * np.abs(below)) / np.sqrt(2.0))
