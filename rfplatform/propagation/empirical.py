"""Path loss from closed formulas: free space, and UMa, UMi and RMa of 3GPP TR 38.901.

The formulas of TR 38.901 are those of its Table 7.4.1-1 (Release 16 and later), without shadow
fading. What the standard draws at random is decided here: line of sight comes from the scene's
own geometry instead of the probabilities of Table 7.4.2-1, and the effective environment height
of Note 1 enters as the mean, in dB, over its distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.antennas import antenna, sector_gain_dbi
from rfplatform.errors import InputError
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import BoolArray, Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.rasterize import ground_layer, outdoor_mask
from rfplatform.scene import Scene
from rfplatform.units import FloatArray, wavelength_m

STANDARD = "3GPP TR 38.901 Table 7.4.1-1"
SPEED_OF_LIGHT_38901_M_S = 3.0e8
"""What Notes 1 and 5 of Table 7.4.1-1 prescribe, rather than the exact value."""
ENVIRONMENT_HEIGHT_M = 1.0
"""h_E of Note 1 in UMi, and in UMa for receivers below 13 m."""
CELLS_PER_CHUNK = 1 << 18
"""How many cells are computed at once; each temporary array of a chunk takes 2 MB."""

TERRAIN_SAMPLES = 17
"""Points of a way that its mean terrain height is taken from."""
LOWEST_EFFECTIVE_HEIGHT_M = 5.0
"""Of a base station over terrain, for UMa and UMi: ground that rises towards the receiver may
leave less, or none, of its height, where their formulas have no meaning."""

Progress = Callable[..., object]
PathLoss = Callable[[npt.ArrayLike, npt.ArrayLike, float, float | FloatArray, float], FloatArray]
"""In dB, of d2d_m, d3d_m, frequency_hz, h_bs_m and h_ut_m."""


def free_space_db(d3d_m: npt.ArrayLike, frequency_hz: float) -> FloatArray:
    """Free-space path loss, ``20 log10(4 pi d f / c)`` (ITU-R P.525-4, Eq. 3).

    Parameters
    ----------
    d3d_m : array_like
        Distance, above 0.
    frequency_hz : float
    """
    return 20.0 * np.log10(4.0 * np.pi * np.asarray(d3d_m, float) / wavelength_m(frequency_hz))


def uma_los_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
) -> FloatArray:
    """Path loss of urban macro with line of sight (TR 38.901 Table 7.4.1-1, UMa LOS).

    ``PL1 = 28.0 + 22 log10(d3D) + 20 log10(fc)`` up to the breakpoint of Note 1,
    ``d'_BP = 4 (h_BS - h_E)(h_UT - h_E) fc / c``, and beyond it ``PL2 = 28.0 + 40 log10(d3D)
    + 20 log10(fc) - 9 log10(d'_BP**2 + (h_BS - h_UT)**2)``.

    h_E is 1 m with the probability ``1 / (1 + C(d2D, h_UT))`` and otherwise uniform over
    12, 15, ... up to h_UT - 1.5 m (12 m alone where that is less). The result is the mean over
    it. As C is 0 for h_UT < 13 m, receivers near the ground have h_E = 1 m.

    Parameters
    ----------
    d2d_m, d3d_m : array_like
        Distance along the ground and between the antennas, 10 m to 5 km along the ground.
    frequency_hz : float
        0.5 to 100 GHz (Note 2).
    h_bs_m, h_ut_m : float
        Heights above ground: about 25 m, and 1.5 to 22.5 m.

    Returns
    -------
    ndarray
        Path loss in dB, positive.

    Raises
    ------
    InputError
        If a height does not exceed h_E, where there is no breakpoint.
    """
    d2d = np.asarray(d2d_m, dtype=float)
    loss = partial(_two_slopes_db, d2d, d3d_m, frequency_hz, h_bs_m, h_ut_m, 28.0, 22.0, 9.0)
    low_db = loss(ENVIRONMENT_HEIGHT_M)
    if h_ut_m < 13.0:
        return low_db
    # Note 1: C(d2D, h_UT) = ((h_UT - 13) / 10)**1.5 g(d2D).
    g = np.where(d2d > 18.0, 1.25 * (d2d / 100.0) ** 3 * np.exp(-d2d / 150.0), 0.0)
    probability_low = 1.0 / (1.0 + ((h_ut_m - 13.0) / 10.0) ** 1.5 * g)
    heights_m = np.arange(12.0, max(h_ut_m - 1.5, 12.0) + 1e-9, 3.0)
    high_db = np.mean([loss(float(h)) for h in heights_m], axis=0)
    return np.asarray(probability_low * low_db + (1.0 - probability_low) * high_db)


def uma_nlos_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
) -> FloatArray:
    """Path loss of urban macro without line of sight (TR 38.901 Table 7.4.1-1, UMa NLOS).

    ``max(PL_UMa-LOS, 13.54 + 39.08 log10(d3D) + 20 log10(fc) - 0.6 (h_UT - 1.5))``; not the
    optional formula. Parameters, ranges and result as in `uma_los_db`.
    """
    nlos_db = (
        13.54 + 39.08 * np.log10(d3d_m) + 20.0 * np.log10(frequency_hz / 1e9) - 0.6 * (h_ut_m - 1.5)
    )
    return np.asarray(np.maximum(uma_los_db(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m), nlos_db))


def umi_los_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
) -> FloatArray:
    """Path loss of an urban street canyon with line of sight (Table 7.4.1-1, UMi LOS).

    ``PL1 = 32.4 + 21 log10(d3D) + 20 log10(fc)`` up to the breakpoint of Note 1,
    ``d'_BP = 4 (h_BS - 1)(h_UT - 1) fc / c``, and beyond it ``PL2 = 32.4 + 40 log10(d3D)
    + 20 log10(fc) - 9.5 log10(d'_BP**2 + (h_BS - h_UT)**2)``. Parameters, ranges and result as in
    `uma_los_db`, for base stations at about 10 m.
    """
    return _two_slopes_db(
        d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m, 32.4, 21.0, 9.5, ENVIRONMENT_HEIGHT_M
    )


def umi_nlos_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
) -> FloatArray:
    """Path loss of an urban street canyon without line of sight (Table 7.4.1-1, UMi NLOS).

    ``max(PL_UMi-LOS, 22.4 + 35.3 log10(d3D) + 21.3 log10(fc) - 0.3 (h_UT - 1.5))``; not the
    optional formula. Parameters, ranges and result as in `umi_los_db`.
    """
    nlos_db = (
        22.4 + 35.3 * np.log10(d3d_m) + 21.3 * np.log10(frequency_hz / 1e9) - 0.3 * (h_ut_m - 1.5)
    )
    return np.asarray(np.maximum(umi_los_db(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m), nlos_db))


def rma_los_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
    average_building_height_m: float = 5.0,
) -> FloatArray:
    """Path loss of rural macro with line of sight (TR 38.901 Table 7.4.1-1, RMa LOS).

    ``PL1 = 20 log10(40 pi d3D fc / 3) + min(0.03 h**1.72, 10) log10(d3D)
    - min(0.044 h**1.72, 14.77) + 0.002 log10(h) d3D`` up to the breakpoint of Note 5,
    ``d_BP = 2 pi h_BS h_UT fc / c``, and beyond it ``PL2 = PL1(d_BP) + 40 log10(d3D / d_BP)``.

    As the standard writes it, PL1(d_BP) takes d_BP for d3D while the breakpoint counts along the
    ground, which leaves a step of up to some hundredths of a dB.

    Parameters
    ----------
    d2d_m, d3d_m : array_like
        Distance along the ground and between the antennas, 10 m to 10 km along the ground.
    frequency_hz : float
        0.5 to 30 GHz (Note 2).
    h_bs_m, h_ut_m : float
        Heights above ground: 10 to 150 m, and 1 to 10 m.
    average_building_height_m : float
        h, 5 to 50 m.

    Returns
    -------
    ndarray
        Path loss in dB, positive.
    """
    d3d = np.asarray(d3d_m, dtype=float)
    h = average_building_height_m
    frequency_ghz = frequency_hz / 1e9
    breakpoint_m = 2.0 * np.pi * h_bs_m * h_ut_m * frequency_hz / SPEED_OF_LIGHT_38901_M_S

    def before_db(distance_m: npt.ArrayLike) -> FloatArray:
        return np.asarray(
            20.0 * np.log10(40.0 * np.pi * frequency_ghz / 3.0)
            + (20.0 + min(0.03 * h**1.72, 10.0)) * np.log10(distance_m)
            - min(0.044 * h**1.72, 14.77)
            + 0.002 * np.log10(h) * np.asarray(distance_m)
        )

    beyond_db = before_db(breakpoint_m) + 40.0 * np.log10(d3d / breakpoint_m)
    return np.where(np.asarray(d2d_m) <= breakpoint_m, before_db(d3d), beyond_db)


def rma_nlos_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
    average_building_height_m: float = 5.0,
    street_width_m: float = 20.0,
) -> FloatArray:
    """Path loss of rural macro without line of sight (TR 38.901 Table 7.4.1-1, RMa NLOS).

    ``max(PL_RMa-LOS, 161.04 - 7.1 log10(W) + 7.5 log10(h) - (24.37 - 3.7 (h / h_BS)**2)
    log10(h_BS) + (43.42 - 3.1 log10(h_BS)) (log10(d3D) - 3) + 20 log10(fc)
    - (3.2 log10(11.75 h_UT)**2 - 4.97))``.

    Parameters as in `rma_los_db`, up to 5 km, and the street width W, 5 to 50 m.
    """
    h = average_building_height_m
    log_bs = np.log10(h_bs_m)
    nlos_db = (
        161.04
        - 7.1 * np.log10(street_width_m)
        + 7.5 * np.log10(h)
        - (24.37 - 3.7 * (h / h_bs_m) ** 2) * log_bs
        + (43.42 - 3.1 * log_bs) * (np.log10(d3d_m) - 3.0)
        + 20.0 * np.log10(frequency_hz / 1e9)
        - (3.2 * np.log10(11.75 * h_ut_m) ** 2 - 4.97)
    )
    los_db = rma_los_db(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m, average_building_height_m)
    return np.asarray(np.maximum(los_db, nlos_db))


def _two_slopes_db(
    d2d_m: npt.ArrayLike,
    d3d_m: npt.ArrayLike,
    frequency_hz: float,
    h_bs_m: float | FloatArray,
    h_ut_m: float,
    offset_db: float,
    slope_db: float,
    breakpoint_slope_db: float,
    environment_height_m: float,
) -> FloatArray:
    """PL1 before and PL2 beyond the breakpoint of Note 1, of UMa and of UMi."""
    lowest_bs_m = float(np.min(h_bs_m, initial=np.inf))
    if not min(lowest_bs_m, h_ut_m) > environment_height_m:
        raise InputError(
            f"antenna heights of {lowest_bs_m:g} m (base station) and {h_ut_m:g} m (receiver) must "
            f"exceed the effective environment height of {environment_height_m:g} m ({STANDARD}, "
            "Note 1); raise them or choose another solver"
        )
    breakpoint_m = (
        4.0
        * (h_bs_m - environment_height_m)
        * (h_ut_m - environment_height_m)
        * (frequency_hz / SPEED_OF_LIGHT_38901_M_S)
    )
    log_d3d = np.log10(d3d_m)
    frequency_db = offset_db + 20.0 * np.log10(frequency_hz / 1e9)
    before_db = frequency_db + slope_db * log_d3d
    beyond_db = (
        frequency_db
        + 40.0 * log_d3d
        - breakpoint_slope_db * np.log10(breakpoint_m**2 + (h_bs_m - h_ut_m) ** 2)
    )
    return np.asarray(np.where(np.asarray(d2d_m) <= breakpoint_m, before_db, beyond_db))


_RMA = "tr38901-rma"


@dataclass(frozen=True)
class _Validity:
    """Where Table 7.4.1-1 says that a scenario's formulas apply; UMa and UMi give no h_BS range."""

    frequency_hz: tuple[float, float]
    h_bs_m: tuple[float, float] | None
    h_ut_m: tuple[float, float]
    los_m: tuple[float, float]
    nlos_m: tuple[float, float]


_URBAN = _Validity((0.5e9, 100e9), None, (1.5, 22.5), (10.0, 5000.0), (10.0, 5000.0))
_RURAL = _Validity((0.5e9, 30e9), (10.0, 150.0), (1.0, 10.0), (10.0, 10_000.0), (10.0, 5000.0))


@dataclass(frozen=True)
class _Model:
    """A scenario of TR 38.901, ready to be evaluated."""

    name: str
    los_db: PathLoss
    nlos_db: PathLoss
    validity: _Validity
    nominal_bs_height_m: float | None = None
    parameters: Mapping[str, float] | None = None


def _check(
    solver: str, what: str, value: float, bounds: tuple[float, float], unit: str = "m"
) -> None:
    low, high = bounds
    # Written so that NaN fails, too.
    if not low <= value <= high:
        raise InputError(
            f"{solver}: {what} {value:g} {unit} is outside the range of {STANDARD} "
            f"({low:g}..{high:g} {unit}); change it or choose another solver"
        )


@dataclass(frozen=True)
class FreeSpace:
    """Free space between the antennas, as if no building stood between them.

    Cells inside buildings are -inf all the same, so that the map covers the same cells as every
    other. Closer than a wavelength, where the far field has not formed, the loss at one wavelength
    stands; `RadioMap.attrs` counts these cells.
    """

    def load(self, progress: Progress | None = None) -> RadioMapSolver:  # noqa: ARG002
        """Return the solver; `progress` is not called, as the map is made in one go."""
        return _free_space_map


@dataclass(frozen=True)
class TR38901UMa:
    """Urban macro of TR 38.901: base stations above the roofs (nominally 25 m)."""

    def load(self, progress: Progress | None = None) -> RadioMapSolver:  # noqa: ARG002
        """Return the solver; `progress` is not called, as the map is made in one go."""
        model = _Model("tr38901-uma", uma_los_db, uma_nlos_db, _URBAN, nominal_bs_height_m=25.0)
        return partial(_tr38901_map, model)


@dataclass(frozen=True)
class TR38901UMi:
    """Urban micro, street canyon, of TR 38.901: base stations below the roofs (nominally 10 m)."""

    def load(self, progress: Progress | None = None) -> RadioMapSolver:  # noqa: ARG002
        """Return the solver; `progress` is not called, as the map is made in one go."""
        model = _Model("tr38901-umi", umi_los_db, umi_nlos_db, _URBAN, nominal_bs_height_m=10.0)
        return partial(_tr38901_map, model)


@dataclass(frozen=True)
class TR38901RMa:
    """Rural macro of TR 38.901.

    Attributes
    ----------
    average_building_height_m : float, optional
        h, 5 to 50 m. By default the mean of the scene's buildings, brought into that range, and
        the standard's 5 m where there are none.
    street_width_m : float
        W, 5 to 50 m.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    average_building_height_m: float | None = None
    street_width_m: float = 20.0

    def __post_init__(self) -> None:
        if self.average_building_height_m is not None:
            _check(_RMA, "average building height", self.average_building_height_m, (5.0, 50.0))
        _check(_RMA, "street width", self.street_width_m, (5.0, 50.0))

    def load(self, progress: Progress | None = None) -> RadioMapSolver:  # noqa: ARG002
        """Return the solver; `progress` is not called, as the map is made in one go."""

        def solve(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> RadioMap:
            h = self.average_building_height_m
            if h is None:
                tops_m = [b.top_m for b in scene.buildings]
                h = float(np.clip(np.mean(tops_m), 5.0, 50.0)) if tops_m else 5.0
            street = {"average_building_height_m": h, "street_width_m": self.street_width_m}
            model = _Model(
                _RMA,
                partial(rma_los_db, average_building_height_m=h),
                partial(rma_nlos_db, **street),
                _RURAL,
                parameters=street,
            )
            return _tr38901_map(model, scene, sectors, grid)

        return solve


def _free_space_map(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> RadioMap:
    outdoor = outdoor_mask(scene, grid)
    path_gain_db = np.full((len(sectors), *grid.shape), -np.inf, dtype=np.float32)
    num_near = 0
    for i, sector in enumerate(sectors):
        if not (np.isfinite(sector.frequency_hz) and sector.frequency_hz > 0):
            raise InputError(
                f"free-space: sector {sector.label}: frequency {sector.frequency_hz:g} Hz must be "
                "a positive number"
            )
        nearest_m = wavelength_m(sector.frequency_hz)
        for cells, dx, dy, dz in _chunks(scene, sector, grid, outdoor):
            d3d_m = np.sqrt(dx**2 + dy**2 + dz**2)
            num_near += int((d3d_m < nearest_m).sum())
            loss_db = free_space_db(np.maximum(d3d_m, nearest_m), sector.frequency_hz)
            path_gain_db[i].flat[cells] = _gain_dbi(sector, dx, dy, dz) - loss_db
    attrs = {
        "solver": "free-space",
        "standard": "ITU-R P.525-4",
        "outdoor_cells": int(outdoor.sum()),
        "sector_cells_below_minimum_distance": num_near,
    }
    los = line_of_sight(scene, sectors, grid)
    return RadioMap(
        grid,
        tuple(sectors),
        path_gain_db,
        None,
        outdoor,
        los,
        ground_m=ground_layer(scene, grid),
        attrs=attrs,
    )


def _tr38901_map(model: _Model, scene: Scene, sectors: Sequence[Sector], grid: Grid) -> RadioMap:
    """Evaluate a scenario at the centre of each outdoor cell.

    Closer than the standard's least distance (10 m along the ground) the loss at that distance
    stands. Beyond the greatest the formulas are extrapolated. `RadioMap.attrs` counts both, over
    all sectors. Cells inside buildings are -inf: outdoor-to-indoor loss (clause 7.4.3) is not
    part of these formulas.

    Raises
    ------
    InputError
        If a carrier, an antenna's height or the receivers' is out of the standard's range.
    """
    valid = model.validity
    h_ut_m = grid.receiver_height_m
    _check(model.name, "receiver height", h_ut_m, valid.h_ut_m)
    for sector in sectors:
        where = f"sector {sector.label}: "
        ghz = valid.frequency_hz[0] / 1e9, valid.frequency_hz[1] / 1e9
        _check(model.name, f"{where}frequency", sector.frequency_hz / 1e9, ghz, "GHz")
        if valid.h_bs_m is not None:
            _check(model.name, f"{where}antenna height above ground", sector.height_m, valid.h_bs_m)

    outdoor = outdoor_mask(scene, grid)
    los = line_of_sight(scene, sectors, grid)
    path_gain_db = np.full((len(sectors), *grid.shape), -np.inf, dtype=np.float32)
    num_near = num_far = num_clipped = 0
    lowest_bs_m, highest_bs_m = valid.h_bs_m or (LOWEST_EFFECTIVE_HEIGHT_M, np.inf)
    for i, sector in enumerate(sectors):
        for cells, dx, dy, dz in _chunks(scene, sector, grid, outdoor):
            h_bs_m = _effective_height_m(scene, sector, dx, dy)
            if scene.terrain is not None:
                num_clipped += int((h_bs_m < lowest_bs_m).sum() + (h_bs_m > highest_bs_m).sum())
                h_bs_m = np.clip(h_bs_m, lowest_bs_m, highest_bs_m)
            sees = los[i].flat[cells]
            loss_db = np.empty(len(cells))
            for formula_db, of_this, (least_m, most_m) in (
                (model.los_db, sees, valid.los_m),
                (model.nlos_db, ~sees, valid.nlos_m),
            ):
                ground_m = np.hypot(dx[of_this], dy[of_this])
                num_near += int((ground_m < least_m).sum())
                num_far += int((ground_m > most_m).sum())
                d2d_m = np.maximum(ground_m, least_m)
                d3d_m = np.hypot(d2d_m, dz[of_this])
                loss_db[of_this] = formula_db(
                    d2d_m, d3d_m, sector.frequency_hz, h_bs_m[of_this], h_ut_m
                )
            path_gain_db[i].flat[cells] = _gain_dbi(sector, dx, dy, dz) - loss_db
    attrs: dict[str, Any] = {
        "solver": model.name,
        "standard": STANDARD,
        **(model.parameters or {}),
        "outdoor_cells": int(outdoor.sum()),
        "minimum_distance_m": valid.los_m[0],
        "maximum_distance_los_m": valid.los_m[1],
        "maximum_distance_nlos_m": valid.nlos_m[1],
        "sector_cells_below_minimum_distance": num_near,
        "sector_cells_beyond_maximum_distance": num_far,
    }
    if scene.terrain is not None:
        attrs["effective_height"] = "ITU-R P.1546-6 Annex 5, 4.3"
        attrs["sector_cells_with_clipped_height"] = num_clipped
    if model.nominal_bs_height_m is not None:
        # Table 7.4.1-1 names this height only; say how far the sectors are from it.
        attrs["nominal_bs_height_m"] = model.nominal_bs_height_m
        attrs["lowest_bs_height_m"] = min((s.height_m for s in sectors), default=None)
        attrs["highest_bs_height_m"] = max((s.height_m for s in sectors), default=None)
    return RadioMap(
        grid,
        tuple(sectors),
        path_gain_db,
        None,
        outdoor,
        los,
        ground_m=ground_layer(scene, grid),
        attrs=attrs,
    )


def _gain_dbi(sector: Sector, dx: FloatArray, dy: FloatArray, dz: FloatArray) -> FloatArray:
    pattern = antenna(sector.antenna)
    return sector_gain_dbi(pattern, sector.azimuth_deg, sector.downtilt_deg, dx, dy, dz)


def _effective_height_m(scene: Scene, sector: Sector, dx: FloatArray, dy: FloatArray) -> FloatArray:
    """Height of an antenna above the mean terrain on the way to each of some points.

    On terrain, the mean is over the ways' parts from a fifth of their length to their end, as
    ITU-R P.1546-6 (Annex 5, 4.3) has it for paths shorter than 15 km. On flat ground it is the
    height above ground.
    """
    if scene.terrain is None:
        return np.full(len(dx), sector.height_m)
    shares = np.linspace(0.2, 1.0, TERRAIN_SAMPLES)
    mean_m = np.zeros(len(dx))
    for share in shares:
        mean_m += scene.ground_m(sector.x_m + share * dx, sector.y_m + share * dy)
    return np.asarray(sector.z_m - mean_m / TERRAIN_SAMPLES)


def _chunks(
    scene: Scene, sector: Sector, grid: Grid, outdoor: BoolArray
) -> Iterator[tuple[npt.NDArray[np.intp], FloatArray, FloatArray, FloatArray]]:
    """Outdoor cells' flat indices and the way to them from a sector's antenna [m], in parts."""
    cells = np.flatnonzero(outdoor)
    x, y = grid.x_m(), grid.y_m()
    for first in range(0, len(cells), CELLS_PER_CHUNK):
        part = cells[first : first + CELLS_PER_CHUNK]
        row, column = np.divmod(part, grid.num_x)
        receiver_m = scene.ground_m(x[column], y[row]) + grid.receiver_height_m
        yield part, x[column] - sector.x_m, y[row] - sector.y_m, receiver_m - sector.z_m
