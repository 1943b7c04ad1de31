"""Ways to tell measured levels: a prior map, a way from samples to levels, and what they may see.

An entrant is asked for some pixels of a set and given samples: pixels of the same set, or, where
nothing of the cell was measured, pixels of other cells by the same device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from rfplatform.benchmarks.map_entrants import Conditional
from rfplatform.benchmarks.survey import IntArray, MeasuredSet, Survey
from rfplatform.planning.numerology import numerologies
from rfplatform.propagation.empirical import FreeSpace, TR38901UMa
from rfplatform.propagation.interpolation import (
    Constant,
    Estimate,
    GaussianProcess,
    Interpolator,
    LogDistance,
    NearestNeighbours,
    Offset,
    Points,
    Samples,
)
from rfplatform.propagation.kriging import Kriging, macro_street_db
from rfplatform.radiomap import RadioMap, Sector
from rfplatform.units import FloatArray, linear_to_db

Kind = Literal["plain", "ours", "published"]
Level: TypeAlias = tuple[FloatArray, FloatArray | None]
"""Path gain at cells, [n], and its stated spread, if any."""

Prior = Callable[[Survey, Sector, IntArray, IntArray], Level]
"""A map before any measurement, at rows and columns of the survey's grid."""

CASCADE, GEO2SIGMAP, KRIGING = "cascade", "geo2sigmap", "kriging over street-level macro"


@dataclass(frozen=True)
class Entrant:
    """A way to tell a set's levels.

    Attributes
    ----------
    kind : str
        "plain": a baseline; "published": another's network; "ours".
    prior : callable
    way : Interpolator, optional
        From samples of the set to levels; None: only the prior and an offset.
    network : callable, optional
        Loads a network that takes the samples itself, in place of `way`.
    turned : bool
        Whether samples of other cells are moved to the same distance and angle off boresight of
        this one, for ways that know no prior. Otherwise they stay in place, and what the prior
        misses of them is what counts.
    """

    kind: Kind
    prior: Prior
    way: Interpolator | None = None
    network: Callable[[], Conditional] | None = None
    turned: bool = False

    def with_samples(self) -> bool:
        """Whether it takes part where there are samples beyond an offset."""
        return self.way is not None or self.network is not None

    def before(self, survey: Survey, of: MeasuredSet, at: IntArray) -> Points:
        """Pixels of a set, with what the prior says there."""
        return _points(self.prior, survey, of, of.sector, at)

    def offset(self, survey: Survey, of: MeasuredSet, known: IntArray, at: IntArray) -> Estimate:
        """The prior, and the mean difference of the samples from it."""
        samples = Samples(self.before(survey, of, known), of.level_dbm[known])
        return Offset()(samples, self.before(survey, of, at), of.sector)

    def estimate(self, survey: Survey, of: MeasuredSet, known: IntArray, at: IntArray) -> Estimate:
        """Levels of some pixels of a set from others of it."""
        samples = Samples(self.before(survey, of, known), of.level_dbm[known])
        if self.network is not None:
            return _by_network(self.network, survey, of, samples, at)
        return (self.way or Offset())(samples, self.before(survey, of, at), of.sector)

    def unseen(self, survey: Survey, of: MeasuredSet, at: IntArray) -> Estimate:
        """Levels of a set from what the same device measured of other cells.

        On a prior, each other cell's residuals are first moved to the mean over those cells, since
        their powers differ. A network that takes samples takes none of another sector: it is its
        prior and an offset here.
        """
        others = survey.others(of)
        asked = self.before(survey, of, at)
        if self.turned:
            parts = [_turned(other, of.sector) for other in others]
            points = Points(*(np.concatenate(p) for p in zip(*parts, strict=True)))
            level_db = np.concatenate([other.level_dbm for other in others])
        else:
            points, level_db = self._moved(survey, of, others)
        way = Offset() if self.network is not None else (self.way or Offset())
        return way(Samples(points, level_db), asked, of.sector)

    def _moved(
        self, survey: Survey, of: MeasuredSet, others: tuple[MeasuredSet, ...]
    ) -> tuple[Points, FloatArray]:
        here, missed_db = [], []
        for other in others:
            whole = np.arange(len(other))
            here.append(_points(self.prior, survey, other, of.sector, whole))
            missed_db.append(other.level_dbm - self.before(survey, other, whole).prior_db)
        middle_db = np.mean([m.mean() for m in missed_db])
        level_db = [
            p.prior_db + m - m.mean() + middle_db for p, m in zip(here, missed_db, strict=True)
        ]
        spreads = [p.spread_db for p in here if p.spread_db is not None]
        points = Points(
            np.concatenate([p.x_m for p in here]),
            np.concatenate([p.y_m for p in here]),
            np.concatenate([p.prior_db for p in here]),
            np.concatenate(spreads) if spreads else None,
        )
        return points, np.concatenate(level_db)


def _points(prior: Prior, survey: Survey, of: MeasuredSet, sector: Sector, at: IntArray) -> Points:
    level_db, spread_db = prior(survey, sector, of.row[at], of.column[at])
    return Points(of.x_m[at], of.y_m[at], level_db, spread_db)


def _turned(other: MeasuredSet, sector: Sector) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Places around a sector as another's pixels lie around that, and a prior of nothing."""
    was = other.sector
    turn = np.radians(sector.azimuth_deg - was.azimuth_deg)
    east, north = other.x_m - was.x_m, other.y_m - was.y_m
    # Azimuths count clockwise.
    x_m = sector.x_m + east * np.cos(turn) + north * np.sin(turn)
    y_m = sector.y_m - east * np.sin(turn) + north * np.cos(turn)
    return x_m, y_m, np.zeros(len(other))


def _by_network(
    load: Callable[[], Conditional],
    survey: Survey,
    of: MeasuredSet,
    samples: Samples,
    at: IntArray,
) -> Estimate:
    element_dbm = _element_dbm(of.sector)
    given = Samples(samples.points, samples.level_db - element_dbm)
    made = load()(survey.scene, [of.sector], survey.grid, [given], [None])
    level_db, spread_db = _read(made, of.row[at], of.column[at])
    unknown = np.full(len(at), np.nan)
    return Estimate(level_db + element_dbm, unknown if spread_db is None else spread_db)


def _element_dbm(sector: Sector) -> float:
    """Power into the antenna for each resource element."""
    (carrier,) = numerologies([sector])
    return float(sector.power_dbm - linear_to_db(carrier.num_subcarriers))


def _read(made: RadioMap, row: IntArray, column: IntArray) -> Level:
    spread_db = made.standard_error_db
    level_db = made.path_gain_db[0][row, column].astype(float)
    return level_db, None if spread_db is None else spread_db[0][row, column].astype(float)


# --- priors -----------------------------------------------------------------------------------


def _nothing(survey: Survey, sector: Sector, row: IntArray, column: IntArray) -> Level:  # noqa: ARG001
    return np.zeros(len(row)), None


def _macro(survey: Survey, sector: Sector, row: IntArray, column: IntArray) -> Level:
    x_m, y_m = survey.grid.x_m()[column], survey.grid.y_m()[row]
    return macro_street_db(sector, x_m, y_m, survey.grid.receiver_height_m), None


@lru_cache(maxsize=64)
def _closed_form(form: FreeSpace | TR38901UMa, survey: Survey, sector: Sector) -> RadioMap:
    return form.load()(survey.scene, [sector], survey.grid)


def _of_form(form: FreeSpace | TR38901UMa) -> Prior:
    def prior(survey: Survey, sector: Sector, row: IntArray, column: IntArray) -> Level:
        return _read(_closed_form(form, survey, sector), row, column)

    return prior


@cache
def _geo2sigmap() -> Conditional:
    from rfplatform.propagation.geo2sigmap import Geo2SigMap

    return Geo2SigMap().load_conditional()


@cache
def _cascade() -> Conditional:
    from rfplatform.propagation.cascade import UNKNOWN_POWER, Cascade

    return Cascade().load_conditional(UNKNOWN_POWER)


@lru_cache(maxsize=64)
def _without(load: Callable[[], Conditional], survey: Survey, sector: Sector) -> RadioMap:
    return load()(survey.scene, [sector], survey.grid, [None], [None])


def _of_network(load: Callable[[], Conditional]) -> Prior:
    def prior(survey: Survey, sector: Sector, row: IntArray, column: IntArray) -> Level:
        return _read(_without(load, survey, sector), row, column)

    return prior


def _network(kind: Kind, load: Callable[[], Conditional]) -> Entrant:
    return Entrant(kind, _of_network(load), network=load)


def without_prior(way: Interpolator) -> Entrant:
    """A baseline that knows nothing but samples and where the mast stands."""
    return Entrant("plain", _nothing, way, turned=True)


ENTRANTS: Mapping[str, Entrant] = MappingProxyType(
    {
        "constant": without_prior(Constant()),
        "free space + offset": Entrant("plain", _of_form(FreeSpace())),
        "UMa + offset": Entrant("plain", _of_form(TR38901UMa())),
        "street-level macro + offset": Entrant("ours", _macro),
        "log-distance + azimuth": without_prior(LogDistance()),
        "kNN": without_prior(NearestNeighbours()),
        "Gaussian process": without_prior(GaussianProcess()),
        "Gaussian process over street-level macro": Entrant(
            "ours", _macro, GaussianProcess(trend="prior")
        ),
        KRIGING: Entrant("ours", _macro, Kriging()),
        GEO2SIGMAP: _network("published", _geo2sigmap),
        CASCADE: _network("ours", _cascade),
        "kriging over cascade": replace(Entrant("ours", _of_network(_cascade)), way=Kriging()),
    }
)
"""Everyone who takes part, in the table's order."""
