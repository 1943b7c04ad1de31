"""A radio map and a drive test: the map as it was measured, with what is known of its error.

The level that is compared is SS-RSRP, the power of one resource element, on both sides. What then
still differs by a constant (the sector's true power, cables, the body of the car, LTE's reference
signals against NR's) is an offset of the cell, and what one phone reads more than another an
offset of the device. Everything is scored on blocks of 64 m that the fit has not seen, offsets of
devices included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError, MissingError, unknown_name
from rfplatform.planning.numerology import Numerology, numerologies
from rfplatform.planning.quality import ss_rsrp_dbm
from rfplatform.propagation.interpolation import METHODS as WAYS
from rfplatform.propagation.interpolation import (
    PRIOR_SPREAD_DB,
    Constant,
    Estimate,
    Interpolator,
    Offset,
    Points,
    Samples,
)
from rfplatform.propagation.kriging import Kriging
from rfplatform.propagation.measurements import (
    BLOCK_M,
    IntArray,
    Measurements,
    Pixels,
    block_ids,
    rasterized,
)
from rfplatform.radiomap import BoolArray, Grid, RadioMap, Sector
from rfplatform.scene import Scene
from rfplatform.units import FloatArray, linear_to_db

Z80 = 1.2815515655446004
"""Standard deviations from a normal distribution's mean to its 10th and 90th percentile."""

DEVICE_SPREAD_DB = 6.0
"""How far devices are believed to differ; it only counts where hardly anything tells."""

SNAP_M = 12.0
"""A reading where the map has no path (in a building, by GPS) takes the nearest that has."""

BOOTSTRAPS = 1000

_BLOCK_SPREAD_DB, _PIXEL_SPREAD_DB = 15.0, 5.0
"""Of blocks' means around the map and of pixels around their block's, for the devices' offsets."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What a method may know beside the samples.

    Attributes
    ----------
    radio_map : RadioMap
        As it was, uncalibrated.
    rsrp_dbm : ndarray, [num_sectors, num_y, num_x]
        SS-RSRP of it.
    element_dbm : ndarray, [num_sectors]
        Power into the antenna for each resource element: RSRP less path gain.
    scene : Scene, optional
        What the map was made of.
    """

    radio_map: RadioMap
    rsrp_dbm: FloatArray
    element_dbm: FloatArray
    scene: Scene | None = None

    @classmethod
    def of(cls, radio_map: RadioMap, scs_hz: float | None, scene: Scene | None = None) -> Ground:
        """A map with its levels.

        Raises
        ------
        InputError
            If the subcarrier spacing does not suit a sector.
        """
        carriers = numerologies(radio_map.sectors, scs_hz)
        return cls(
            radio_map,
            ss_rsrp_dbm(radio_map, carriers),
            _element_dbm(radio_map.sectors, carriers),
            scene,
        )


class ConditionalSolver(Protocol):
    """A solver that also takes what was measured: path gain in dB, of each sector or None."""

    def __call__(
        self,
        scene: Scene,
        sectors: Sequence[Sector],
        grid: Grid,
        samples: Sequence[Samples | None],
    ) -> RadioMap: ...


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A conditional solver as a way of interpolation.

    Attributes
    ----------
    solve : ConditionalSolver
    ground : Ground
        With its scene.
    """

    solve: ConditionalSolver
    ground: Ground

    def __post_init__(self) -> None:
        if self.ground.scene is None:
            # As what is not installed: auto goes on without it.
            raise MissingError(
                "the map's area can't be read again, which a learned method needs: put it back, "
                "or take another --method"
            )

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        ground = self.ground
        assert ground.scene is not None
        index = ground.radio_map.sectors.index(sector)
        shift_db = float(ground.element_dbm[index])
        points = replace(samples.points, prior_db=samples.points.prior_db - shift_db)
        given = Samples(points, samples.level_db - shift_db) if len(samples) else None
        grid = ground.radio_map.grid
        found = self.solve(ground.scene, [sector], grid, [given])
        if found.standard_error_db is None:
            raise TypeError("a learned method must state its spread")
        row, column = _cells_of(at, grid)
        gain_db = found.path_gain_db[0][row, column]
        return Estimate(
            np.asarray(gain_db + shift_db, dtype=float),
            np.asarray(found.standard_error_db[0][row, column], dtype=float),
        )


class Method(NamedTuple):
    """How a method is loaded, and what it does in one line."""

    load: Callable[[Ground], Interpolator]
    summary: str


def _always(way: Interpolator) -> Callable[[Ground], Interpolator]:
    return lambda _: way


def _learned(ground: Ground) -> Interpolator:
    from rfplatform.propagation.cascade import UNKNOWN_POWER, Cascade

    return Conditioned(Cascade().load_conditional(UNKNOWN_POWER), ground)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "offset": Method(_always(WAYS["offset"]), "the map and one number for each cell"),
        "log-distance": Method(
            _always(WAYS["log-distance"]), "a line over the logarithm of distance, and azimuth"
        ),
        "knn": Method(_always(WAYS["knn"]), "the five nearest readings"),
        "gp": Method(_always(WAYS["gp"]), "a Gaussian process around log-distance"),
        "gp-prior": Method(_always(WAYS["gp-prior"]), "a Gaussian process around the map"),
        "kriging": Method(_always(Kriging()), "averaged Gaussian processes around the map"),
        "cascade": Method(_learned, "the learned map, told what was measured"),
    }
)
"""What ``--method`` takes, beside "auto", which takes the one with the least error."""


@dataclass(frozen=True)
class _Uncalibrated:
    """The map as it is, whatever was measured."""

    def __call__(self, samples: Samples, at: Points, sector: Sector) -> Estimate:
        none = samples.at(np.zeros(len(samples), dtype=bool))
        return Offset()(none, at, sector)


BASELINES: Mapping[str, Interpolator] = MappingProxyType(
    {
        "uncalibrated": _Uncalibrated(),
        "constant": Constant(),
        "offset": WAYS["offset"],
        "log-distance": WAYS["log-distance"],
        "knn": WAYS["knn"],
    }
)
"""What every report shows beside the method: the map as it was, a cell's mean, plain methods."""


@dataclass(frozen=True)
class CalibrationConfig:
    """How a map is calibrated and scored.

    Attributes
    ----------
    method : str
        A name of `METHODS`, or "auto".
    block_m : float
        Edge of the blocks that are left out.
    folds : int
        Groups of blocks, of which each is left out once.
    seed : int
        Of the groups and of the bootstrap.
    """

    method: str = "auto"
    block_m: float = BLOCK_M
    folds: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        if self.method != "auto" and self.method not in METHODS:
            raise unknown_name("method", self.method, ["auto", *METHODS])
        if not self.block_m > 0:
            raise InputError(f"blocks of {self.block_m:g} m: must be positive")
        if self.folds < 2:
            raise InputError(f"folds {self.folds}: must be at least 2")


@dataclass(frozen=True, eq=False)
class Observed:
    """Pixels of measured cells that the map has, with what it says there.

    Attributes
    ----------
    pixels : Pixels
    sector : ndarray, [n], int
        Index of the map's sector.
    points : Points
        With the map's SS-RSRP and its standard error.
    block : ndarray, [n], int
    """

    pixels: Pixels
    sector: IntArray
    points: Points
    block: IntArray

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def level_dbm(self) -> FloatArray:
        """What was measured."""
        return self.pixels.rsrp_dbm

    def at(self, index: BoolArray | IntArray) -> Observed:
        """Those of an index or mask."""
        return Observed(
            self.pixels.at(index), self.sector[index], self.points.at(index), self.block[index]
        )


@dataclass(frozen=True)
class Deviation:
    """A constant difference: of a cell from the map, or of a device from the mean device.

    Attributes
    ----------
    name : str
    offset_db : float
    standard_error_db : float
    readings, pixels : int
    """

    name: str
    offset_db: float
    standard_error_db: float
    readings: int
    pixels: int


@dataclass(frozen=True)
class Score:
    """How far a method is off where it has not been fitted.

    Attributes
    ----------
    method : str
    points : int
        Pixels of a cell and a device.
    rmse_db, mae_db, bias_db : float
        Prediction less measurement.
    low_db, high_db : float
        The RMSE's interval of 95 %, by a bootstrap over blocks.
    picp80 : float
        Share of the measurements within the stated P10..P90; 0.8 where the spread is honest.
    spread_db : float
        Mean of the stated spread.
    """

    method: str
    points: int
    rmse_db: float
    mae_db: float
    bias_db: float
    low_db: float
    high_db: float
    picp80: float
    spread_db: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a method said of pixels that it had not seen, in the order of the observed ones.

    Attributes
    ----------
    mean_dbm, spread_db : ndarray, [n]
        With the device's offset.
    """

    mean_dbm: FloatArray
    spread_db: FloatArray


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated map with its evidence.

    Attributes
    ----------
    radio_map : RadioMap
        Its path gain is the median; `standard_error_db` one standard deviation of a pixel's mean
        reading from it.
    rsrp_dbm : ndarray, [num_sectors, num_y, num_x], float32
        Its SS-RSRP, as the mean device reads it.
    method : str
    scores : tuple of Score
        Of every method that was scored, baselines first; empty where all lies in one block.
    observed : Observed
    held_out : mapping of str to HeldOut
        By method.
    devices, cells : tuple of Deviation
        Cells by the label of their sector.
    notes : tuple of str
        What could not be done.
    """

    radio_map: RadioMap
    rsrp_dbm: npt.NDArray[np.float32]
    method: str
    scores: tuple[Score, ...]
    observed: Observed
    held_out: Mapping[str, HeldOut]
    devices: tuple[Deviation, ...]
    cells: tuple[Deviation, ...]
    notes: tuple[str, ...] = field(default=())

    def quantiles_dbm(self) -> dict[str, npt.NDArray[np.float32]]:
        """P10, P50 and P90 of every sector's SS-RSRP, [num_sectors, num_y, num_x] each.

        P10 is exceeded by nine of ten pixels of such a place. NaN where there is no path.
        """
        assert self.radio_map.standard_error_db is not None
        middle = np.where(np.isfinite(self.rsrp_dbm), self.rsrp_dbm, np.nan)
        wide = np.float32(Z80) * self.radio_map.standard_error_db
        return {"p10": middle - wide, "p50": middle, "p90": middle + wide}


def match_cells(
    names: Sequence[str], sectors: Sequence[Sector], given: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Which sector each measured cell is.

    Parameters
    ----------
    names : sequence of str
        As the drive test has them.
    sectors : sequence of Sector
    given : mapping of str to str, optional
        Cells' names to sectors' labels, which go before everything.

    Returns
    -------
    dict
        Names to indices; a name that is no sector's is left out. Without `given`, a cell is the
        sector of that label, else of that name (also as "PCI 12", "cell 12" or "12"), in any case.
        Where nothing says the cell, it is the map's only sector.

    Raises
    ------
    InputError
        If a name could be several sectors, `given` names none, or no cell is matched.
    """
    known = sorted({str(name) for name in names})
    labels = {sector.label.casefold(): i for i, sector in enumerate(sectors)}
    found: dict[str, int] = {}
    for name, label in (given or {}).items():
        if label.casefold() not in labels:
            raise InputError(
                f"--cells {name}={label}: the map has no such sector (it has: "
                f"{_listed([s.label for s in sectors])})"
            )
        if name not in known:
            raise InputError(
                f"--cells {name}={label}: nothing was measured of such a cell (measured: "
                f"{_listed(known)})"
            )
        found[name] = labels[label.casefold()]
    for name in known:
        if name in found:
            continue
        if not name and len(sectors) == 1:
            found[name] = 0
            continue
        same = [i for i, s in enumerate(sectors) if _key(s.label) == _key(name)] or [
            i for i, s in enumerate(sectors) if name and _key(s.name) == _key(name)
        ]
        if len(same) > 1:
            raise InputError(
                f"measured cell {name!r} could be {_listed([sectors[i].label for i in same])}: "
                f"say which with --cells {name}=SITE/SECTOR"
            )
        if same:
            found[name] = same[0]
    if not found:
        if known == [""]:
            raise InputError(
                f"the measurements don't say their cell, and the map has {len(sectors)} sectors: "
                "name the column with --columns"
            )
        raise InputError(
            f"no measured cell ({_listed(known)}) has the name of a sector "
            f"({_listed([s.label for s in sectors])}): say which is which with --cells "
            f"{known[-1]}={sectors[0].label}"
        )
    return found


def observe(
    ground: Ground,
    measurements: Measurements,
    cells: Mapping[str, int],
    block_m: float = BLOCK_M,
) -> Observed:
    """Pixels of the measured cells, with what the map says there.

    Parameters
    ----------
    ground : Ground
    measurements : Measurements
        In the map's frame.
    cells : mapping
        From `match_cells`; what is measured of others is left out.
    block_m : float

    Raises
    ------
    InputError
        If none lies on the map.
    """
    radio_map = ground.radio_map
    pixels = rasterized(measurements.at(np.isin(measurements.cell, list(cells))), radio_map.grid)
    if not len(pixels):
        raise InputError(
            f"none of {len(measurements)} readings of the map's cells lies on the map: is it of "
            "another area, or are latitude and longitude swapped?"
        )
    sector = np.array([cells[str(name)] for name in pixels.cell], dtype=np.int64)
    prior_dbm = np.full(len(pixels), -np.inf)
    stated = radio_map.standard_error_db
    spread_db = None if stated is None else np.full(len(pixels), np.nan)
    for i in np.unique(sector):
        own = sector == i
        row, column = _lit(ground.rsrp_dbm[i], pixels.row[own], pixels.column[own], radio_map.grid)
        prior_dbm[own] = ground.rsrp_dbm[i][row, column]
        if spread_db is not None and stated is not None:
            spread_db[own] = stated[i][row, column]
    points = Points(pixels.x_m, pixels.y_m, prior_dbm, spread_db)
    return Observed(pixels, sector, points, block_ids(points.x_m, points.y_m, block_m))


def device_offsets(observed: Observed) -> dict[str, tuple[float, float]]:
    """What each device reads above the mean of all devices, and the standard error of that [dB].

    By generalised least squares over all cells at once: level - map = cell + block of the cell +
    device + rest, with blocks and rest random of the spreads above, so that devices are compared
    where they were in the same block, and a map that is wrong in a block does not count as a
    device. Devices are drawn towards 0 by `DEVICE_SPREAD_DB`, and their mean is 0.
    """
    names, device = np.unique(observed.pixels.device, return_inverse=True)
    _, sector = np.unique(observed.sector, return_inverse=True)
    prior_dbm = observed.points.prior_db
    lit = np.isfinite(prior_dbm)
    lowest = float(np.quantile(prior_dbm[lit], 0.05)) if lit.any() else 0.0
    rest_db = observed.level_dbm - np.where(lit, prior_dbm, lowest)
    num_sectors, count = int(sector.max()) + 1, len(rest_db)
    rows = np.zeros((count, num_sectors + len(names)))
    rows[np.arange(count), sector] = 1.0
    rows[np.arange(count), num_sectors + device] = 1.0
    _, group = np.unique(np.column_stack((sector, observed.block)), axis=0, return_inverse=True)
    group = group.ravel()
    size = np.bincount(group)
    rest, blocks = _PIXEL_SPREAD_DB**2, _BLOCK_SPREAD_DB**2
    # The inverse of (rest I + blocks 11') within a block (Sherman and Morrison).
    share = blocks / (rest * (rest + size * blocks))
    sums = np.column_stack([np.bincount(group, rows[:, j]) for j in range(rows.shape[1])])
    level = np.bincount(group, rest_db)
    belief = np.r_[np.full(num_sectors, 1e-6), np.full(len(names), DEVICE_SPREAD_DB**-2.0)]
    precision = rows.T @ rows / rest - (sums.T * share) @ sums + np.diag(belief)
    right = rows.T @ rest_db / rest - (sums.T * share) @ level
    covariance = np.linalg.inv(precision)
    centred = np.eye(len(names)) - 1.0 / len(names)
    offsets = centred @ (covariance @ right)[num_sectors:]
    errors = np.sqrt(
        np.maximum(np.diag(centred @ covariance[num_sectors:, num_sectors:] @ centred), 0.0)
    )
    return {
        str(name): (float(value), float(error))
        for name, value, error in zip(names, offsets, errors, strict=True)
    }


def calibrate(
    ground: Ground,
    observed: Observed,
    config: CalibrationConfig | None = None,
    report: Callable[[str], None] | None = None,
) -> Calibration:
    """Score the methods, take one, and fit it to everything.

    Parameters
    ----------
    ground : Ground
    observed : Observed
    config : CalibrationConfig, optional
    report : callable, optional
        Told what is done next.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError, MissingError
        If the method asked for can't be loaded.
    """
    config, tell = config or CalibrationConfig(), report or (lambda _: None)
    notes: list[str] = []
    ways = _loaded(ground, config, notes)
    folds = _folds(observed.block, config)
    held_out: dict[str, HeldOut] = {}
    if folds is None:
        notes.append(
            f"all readings lie in one block of {config.block_m:g} m: nothing can be scored"
            + (", and auto takes offset" if config.method == "auto" else "")
        )
    else:
        for name, way in {**BASELINES, **ways}.items():
            tell(f"Scoring {name}")
            held_out[name] = _held_out(way, ground, observed, folds)
    scores = tuple(_scored(name, found, observed, config) for name, found in held_out.items())
    method = config.method
    if method == "auto":
        candidates = [s for s in scores if s.method in ways]
        method = min(candidates, key=lambda s: s.rmse_db).method if candidates else "offset"
    constant = next((s for s in scores if s.method == "constant"), None)
    own = next((s for s in scores if s.method == method), None)
    if own and constant and own.rmse_db >= constant.rmse_db:
        notes.append(
            f"{method} is no better than each cell's mean level ({own.rmse_db:.1f} against "
            f"{constant.rmse_db:.1f} dB): does the map have the right sectors and azimuths?"
        )
    tell(f"Fitting {method}")
    devices = device_offsets(observed)
    cells = _cell_deviations(ground, observed, devices)
    radio_map, rsrp_dbm = _fitted(ways[method], ground, observed, devices, cells)
    about = {
        "method": method,
        "pixels": len(observed),
        "readings": int(observed.pixels.count.sum()),
        "rmse_db": None if own is None else round(own.rmse_db, 3),
    }
    return Calibration(
        replace(radio_map, attrs={**ground.radio_map.attrs, "calibration": about}),
        rsrp_dbm,
        method,
        scores,
        observed,
        held_out,
        _device_deviations(observed, devices),
        tuple(cells[i] for i in sorted(cells)),
        tuple(notes),
    )


def scores_by(
    calibration: Calibration, groups: Mapping[str, BoolArray], config: CalibrationConfig
) -> tuple[Score, ...]:
    """The chosen method's score on parts of the pixels, under the parts' names."""
    found = calibration.held_out.get(calibration.method)
    if found is None:
        return ()
    scores = []
    for name, mask in groups.items():
        if mask.any():
            part = HeldOut(found.mean_dbm[mask], found.spread_db[mask])
            scores.append(_scored(name, part, calibration.observed.at(mask), config))
    return tuple(scores)


def _loaded(ground: Ground, config: CalibrationConfig, notes: list[str]) -> dict[str, Interpolator]:
    if config.method != "auto":
        return {config.method: METHODS[config.method].load(ground)}
    ways: dict[str, Interpolator] = {}
    for name, method in METHODS.items():
        try:
            ways[name] = method.load(ground)
        except (InputError, MissingError) as error:
            notes.append(f"{name} was not tried: {error}")
    return ways


def _folds(block: IntArray, config: CalibrationConfig) -> IntArray | None:
    """The fold of every pixel, all pixels of a block in one; None where there is but one block."""
    blocks, which = np.unique(block, return_inverse=True)
    if len(blocks) < 2:
        return None
    order = np.random.default_rng(config.seed).permutation(len(blocks))
    return np.asarray((order % min(config.folds, len(blocks)))[which], dtype=np.int64)


def _held_out(way: Interpolator, ground: Ground, observed: Observed, folds: IntArray) -> HeldOut:
    mean_dbm, spread_db = np.zeros(len(observed)), np.zeros(len(observed))
    is_raw = isinstance(way, _Uncalibrated)
    for fold in np.unique(folds):
        known = observed.at(folds != fold)
        devices = {} if is_raw else device_offsets(known)
        for i in np.unique(observed.sector[folds == fold]):
            asked = np.flatnonzero((folds == fold) & (observed.sector == i))
            samples = _samples(known, int(i), devices)
            found = way(samples, observed.points.at(asked), ground.radio_map.sectors[i])
            shift_db = _device_shift(observed.pixels.device[asked], devices)
            mean_dbm[asked] = found.mean_db + shift_db
            spread_db[asked] = found.spread_db
    return HeldOut(mean_dbm, spread_db)


def _device_shift(
    names: npt.NDArray[np.str_], devices: Mapping[str, tuple[float, float]]
) -> FloatArray:
    return np.array([devices.get(str(name), (0.0, 0.0))[0] for name in names], dtype=float)


def _samples(
    observed: Observed, sector: int, devices: Mapping[str, tuple[float, float]]
) -> Samples:
    """A sector's pixels as the mean device reads them, those of several devices as one."""
    own = observed.at(observed.sector == sector)
    level_dbm = own.level_dbm - _device_shift(own.pixels.device, devices)
    places = np.column_stack((own.pixels.row, own.pixels.column))
    _, first, which, count = np.unique(
        places, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return Samples(own.points.at(first), np.bincount(which.ravel(), level_dbm) / count)


def _scored(name: str, found: HeldOut, observed: Observed, config: CalibrationConfig) -> Score:
    error_db = found.mean_dbm - observed.level_dbm
    _, which = np.unique(observed.block, return_inverse=True)
    squares, size = np.bincount(which, error_db**2), np.bincount(which)
    drawn = np.random.default_rng(config.seed).integers(len(size), size=(BOOTSTRAPS, len(size)))
    rmse_db = np.sqrt(squares[drawn].sum(axis=1) / size[drawn].sum(axis=1))
    low_db, high_db = np.quantile(rmse_db, (0.025, 0.975))
    return Score(
        name,
        len(error_db),
        float(np.sqrt(np.mean(error_db**2))),
        float(np.mean(np.abs(error_db))),
        float(np.mean(error_db)),
        float(low_db),
        float(high_db),
        float(np.mean(np.abs(error_db) <= Z80 * found.spread_db)),
        float(np.mean(found.spread_db)),
    )


def _device_deviations(
    observed: Observed, devices: Mapping[str, tuple[float, float]]
) -> tuple[Deviation, ...]:
    pixels = observed.pixels
    return tuple(
        Deviation(name, *found, int(pixels.count[own].sum()), int(own.sum()))
        for name, found in devices.items()
        for own in [pixels.device == name]
    )


def _cell_deviations(
    ground: Ground, observed: Observed, devices: Mapping[str, tuple[float, float]]
) -> dict[int, Deviation]:
    """Mean difference of each measured cell from the map, its error from the blocks' means."""
    found = {}
    for i in np.unique(observed.sector):
        own = observed.at(observed.sector == i)
        rest_db = own.level_dbm - _device_shift(own.pixels.device, devices) - own.points.prior_db
        lit = np.isfinite(rest_db)
        if not lit.any():
            continue
        _, which = np.unique(own.block[lit], return_inverse=True)
        size = np.bincount(which)
        offset_db = float(rest_db[lit].mean())
        # Blocks, not pixels, are independent: the error of a ratio of two sums over blocks.
        sums = np.bincount(which, rest_db[lit] - offset_db)
        error_db = (
            math.sqrt(float(sums @ sums) * len(size) / (len(size) - 1)) / float(size.sum())
            if len(size) > 1
            else PRIOR_SPREAD_DB
        )
        found[int(i)] = Deviation(
            ground.radio_map.sectors[i].label,
            offset_db,
            error_db,
            int(own.pixels.count.sum()),
            len(own),
        )
    return found


def _fitted(
    way: Interpolator,
    ground: Ground,
    observed: Observed,
    devices: Mapping[str, tuple[float, float]],
    cells: Mapping[int, Deviation],
) -> tuple[RadioMap, npt.NDArray[np.float32]]:
    """The map by a method that knows all samples, and its SS-RSRP."""
    radio_map, grid = ground.radio_map, ground.radio_map.grid
    level_dbm = np.full(ground.rsrp_dbm.shape, -np.inf, dtype=np.float32)
    spread_db = np.full(ground.rsrp_dbm.shape, np.nan, dtype=np.float32)
    stated = radio_map.standard_error_db
    measured = set(np.unique(observed.sector).tolist())
    for i, sector in enumerate(radio_map.sectors):
        wanted = radio_map.outdoor | np.isfinite(ground.rsrp_dbm[i])
        if i not in measured:
            wanted = np.isfinite(ground.rsrp_dbm[i])
        row, column = np.nonzero(wanted)
        at = Points(
            grid.x_m()[column],
            grid.y_m()[row],
            ground.rsrp_dbm[i][row, column].astype(float),
            None if stated is None else stated[i][row, column].astype(float),
        )
        samples = _samples(observed, i, devices)
        found = (
            way(samples, at, sector) if i in measured else _of_others(samples, at, sector, cells)
        )
        level_dbm[i][row, column] = found.mean_db
        spread_db[i][row, column] = found.spread_db
    gain_db = level_dbm - ground.element_dbm.astype(np.float32)[:, None, None]
    calibrated = replace(
        radio_map, path_gain_db=gain_db, standard_error_db=spread_db, raw_path_gain_db=None
    )
    return calibrated, level_dbm


def _of_others(
    samples: Samples, at: Points, sector: Sector, cells: Mapping[int, Deviation]
) -> Estimate:
    """A cell that nobody measured: the map with the mean offset of those that were."""
    alone = Offset()(samples, at, sector)
    if not cells:
        return alone
    offsets = np.array([c.offset_db for c in cells.values()])
    # Of so few cells the spread of the offsets is hardly known: one belief beside them.
    around = PRIOR_SPREAD_DB**2 + float(((offsets - offsets.mean()) ** 2).sum())
    extra = around / len(offsets) * (1.0 + 1.0 / len(offsets))
    # `alone` holds the variance of an unknown offset, which this one takes the place of.
    own = np.maximum(alone.spread_db**2 - PRIOR_SPREAD_DB**2, 0.0)
    return Estimate(alone.mean_db + float(offsets.mean()), np.sqrt(own + extra))


def _lit(
    level_dbm: FloatArray, row: IntArray, column: IntArray, grid: Grid
) -> tuple[IntArray, IntArray]:
    """The nearest cell with a path, where a cell has none and one is near."""
    from scipy.ndimage import distance_transform_edt

    dark = ~np.isfinite(level_dbm)
    if not dark[row, column].any() or dark.all():
        return row, column
    away, (rows, columns) = distance_transform_edt(dark, return_indices=True)
    near = away[row, column] * grid.resolution_m <= SNAP_M
    return (
        np.where(near, rows[row, column], row),
        np.where(near, columns[row, column], column),
    )


def _cells_of(at: Points, grid: Grid) -> tuple[IntArray, IntArray]:
    column = np.floor((at.x_m - grid.west_m) / grid.resolution_m).astype(np.int64)
    row = np.floor((at.y_m - grid.south_m) / grid.resolution_m).astype(np.int64)
    return np.clip(row, 0, grid.num_y - 1), np.clip(column, 0, grid.num_x - 1)


def _element_dbm(sectors: Sequence[Sector], carriers: Sequence[Numerology]) -> FloatArray:
    power_dbm = np.array([s.power_dbm for s in sectors], dtype=float)
    return power_dbm - linear_to_db([c.num_subcarriers for c in carriers])


def _key(name: str) -> str:
    """A name without case, and without the word that a tool or a planner puts before a number."""
    text = name.strip().casefold()
    for word in ("pci", "cell", "sector"):
        rest = text.removeprefix(word).lstrip(" :=_-#")
        if rest != text and rest:
            return rest
    return text


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(n) for n in names[:8]) + (" ..." if len(names) > 8 else "")
