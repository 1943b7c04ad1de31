"""Ways to make a radio map of a window from its buildings, its sectors and some samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

import numpy as np

from rfplatform.benchmarks.unseen import UnseenWindow
from rfplatform.propagation.empirical import FreeSpace, TR38901UMa, TR38901UMi
from rfplatform.propagation.features import Coarse
from rfplatform.propagation.interpolation import (
    Estimate,
    GaussianProcess,
    Interpolator,
    LogDistance,
    NearestNeighbours,
    Offset,
    Points,
    Samples,
)
from rfplatform.radiomap import Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.scene import Scene
from rfplatform.units import FloatArray

AGAIN, TENTH, COARSE = "teacher, second run", "ray tracing, 4e5 rays", "ray tracing, 1e6 rays"
GEO2SIGMAP, CASCADE, DENOISER = "geo2sigmap", "cascade", "cascade, 1e6 rays"

Entrant: TypeAlias = Callable[[UnseenWindow, int, Samples | None], Estimate]
"""Levels of one sector at all outdoor cells of a window, in their order, from its samples, if any.

The samples' prior is TR 38.901 UMa. -inf: no path. A spread of NaN: none is stated.
"""

Form = Literal["free space", "UMa", "UMi"]
Kind = Literal["closed form", "interpolation", "learned", "traced"]

_FORMS: Mapping[Form, Callable[[], RadioMapSolver]] = MappingProxyType(
    {
        "free space": lambda: FreeSpace().load(),
        "UMa": lambda: TR38901UMa().load(),
        "UMi": lambda: TR38901UMi().load(),
    }
)


@lru_cache(maxsize=64)
def _closed_form_db(window: UnseenWindow, form: Form) -> FloatArray:
    """A closed form at the outdoor cells, [num_sectors, n]."""
    made = _FORMS[form]()(window.scene, window.sectors, window.grid)
    return np.asarray(made.path_gain_db[:, window.outdoor])


def _points(window: UnseenWindow, sector: int, form: Form) -> Points:
    return Points(*window.cells_m(), _closed_form_db(window, form)[sector])


def samples_of(window: UnseenWindow, sector: int, count: int, form: Form = "UMa") -> Samples | None:
    """The first samples of a sector; None of none.

    Parameters
    ----------
    window : UnseenWindow
    sector : int
    count : int
    form : str
        The closed form that becomes their prior.
    """
    cells = window.sampled(sector)[:count]
    if not count:
        return None
    return Samples(_points(window, sector, form).at(cells), window.truth_db(sector)[cells])


def interpolated(form: Form, way: Interpolator) -> Entrant:
    """An entrant that knows samples and a closed form, and nothing else."""

    def estimate(window: UnseenWindow, sector: int, samples: Samples | None) -> Estimate:
        at = _points(window, sector, form)
        count = 0 if samples is None else len(samples)
        own = samples_of(window, sector, count, form) or Samples(
            at.at(np.zeros(0, int)), np.zeros(0)
        )
        return way(own, at, window.sectors[sector])

    return estimate


def traced(name: str) -> Entrant:
    """One of a window's tracings."""

    def estimate(window: UnseenWindow, sector: int, _: Samples | None) -> Estimate:
        levels = window.traced[name]
        return Estimate(
            levels.path_gain_db[sector][window.outdoor],
            levels.standard_error_db[sector][window.outdoor],
        )

    return estimate


def of_map(radio_map: RadioMap, window: UnseenWindow) -> Estimate:
    """What a map of one sector says of a window's outdoor cells."""
    mean_db = radio_map.path_gain_db[0][window.outdoor]
    error_db = radio_map.standard_error_db
    spread_db = np.full(mean_db.shape, np.nan) if error_db is None else error_db[0][window.outdoor]
    return Estimate(mean_db, spread_db)


class Conditional(Protocol):
    """A learned map that can be told samples and a coarse map, one of each for every sector."""

    def __call__(
        self,
        scene: Scene,
        sectors: Sequence[Sector],
        grid: Grid,
        samples: Sequence[Samples | None],
        coarse: Sequence[Coarse | None],
    ) -> RadioMap: ...


def learned(load: Callable[[], Conditional], *, with_rays: bool = False) -> Entrant:
    """A network as an entrant.

    Parameters
    ----------
    load : callable
        Called once, before its first map. `MissingError` from it skips the network's cases.
    with_rays : bool
        Whether it is shown the coarse map.
    """
    loaded = cache(load)

    def estimate(window: UnseenWindow, sector: int, samples: Samples | None) -> Estimate:
        levels = window.traced["coarse"]
        coarse = Coarse(levels.path_gain_db[sector], levels.standard_error_db[sector])
        radio_map = loaded()(
            window.scene,
            [window.sectors[sector]],
            window.grid,
            [samples],
            [coarse if with_rays else None],
        )
        return of_map(radio_map, window)

    return estimate


def _geo2sigmap() -> Conditional:
    from rfplatform.propagation.geo2sigmap import Geo2SigMap

    return Geo2SigMap().load_conditional()


def _cascade() -> Conditional:
    from rfplatform.propagation.cascade import Cascade

    return Cascade().load_conditional()


@dataclass(frozen=True)
class Entry:
    """An entrant of the table.

    Attributes
    ----------
    kind : str
    estimate : Entrant
    with_none, with_some : bool
        Whether it takes part without samples, and with some.
    rival : str
        The entrant that it is shown beside; by default the best that learned nothing.
    """

    kind: Kind
    estimate: Entrant
    with_none: bool = True
    with_some: bool = True
    rival: str = ""


def _needs_samples(form: Form, way: Interpolator) -> Entry:
    return Entry("interpolation", interpolated(form, way), with_none=False)


ENTRANTS: Mapping[str, Entry] = MappingProxyType(
    {
        "free space": Entry("closed form", interpolated("free space", Offset())),
        "UMa": Entry("closed form", interpolated("UMa", Offset())),
        "UMi": Entry("closed form", interpolated("UMi", Offset())),
        "log-distance + azimuth": _needs_samples("UMa", LogDistance()),
        "kNN": _needs_samples("UMa", NearestNeighbours()),
        "Gaussian process": _needs_samples("UMa", GaussianProcess()),
        "Gaussian process over UMa": _needs_samples("UMa", GaussianProcess(trend="prior")),
        GEO2SIGMAP: Entry("learned", learned(_geo2sigmap)),
        CASCADE: Entry("learned", learned(_cascade)),
        DENOISER: Entry("learned", learned(_cascade, with_rays=True), rival=COARSE),
        COARSE: Entry("traced", traced("coarse"), with_some=False),
        TENTH: Entry("traced", traced("tenth"), with_some=False),
        AGAIN: Entry("traced", traced("again"), with_some=False),
    }
)
"""Everyone who takes part, in the table's order."""
