"""Adjoining maps to one: blended over their seams in linear power."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.radiomap import BoolArray, Grid, RadioMap, Sector
from rfplatform.units import FloatArray, db_to_linear, linear_to_db

NEPERS_PER_DB = float(np.log(10.0) / 10.0)
"""Relative error of a power for each dB of its level's standard error."""

LAYERS = (
    "standard_error_db",
    "los",
    "raw_path_gain_db",
    "ground_m",
    "mean_delay_s",
    "delay_spread_s",
)
"""What a `RadioMap` may lack; a mosaic has those that all of its parts have."""


@dataclass(frozen=True)
class Seams:
    """How far a map fades on each side [m]: over its overlap with the neighbour there.

    A side without a neighbour has 0 and counts fully up to its border.
    """

    west_m: float = 0.0
    south_m: float = 0.0
    east_m: float = 0.0
    north_m: float = 0.0

    def weights(self, grid: Grid) -> tuple[FloatArray, FloatArray]:
        """Weights of a grid's columns and rows, [num_x] and [num_y]; a cell's is their product.

        Linear from 0 at the border to 1 at the overlap's other end, so that those of two
        neighbours add up to 1.
        """
        return (
            _ramps(grid.num_x, grid.resolution_m, self.west_m, self.east_m),
            _ramps(grid.num_y, grid.resolution_m, self.south_m, self.north_m),
        )


def _ramps(count: int, resolution_m: float, low_m: float, high_m: float) -> FloatArray:
    inside_m = (np.arange(count) + 0.5) * resolution_m
    weight = np.ones(count)
    for distance_m, over_m in ((inside_m, low_m), (inside_m[::-1], high_m)):
        if over_m > 0.0:
            weight = weight * np.minimum(distance_m / over_m, 1.0)
    return weight


@dataclass(frozen=True, eq=False)
class Part:
    """What one map brings into a mosaic, or into a block of it.

    Attributes
    ----------
    radio_map : RadioMap
        On cells of the mosaic's; its frame may have another origin.
    sector_ids : array_like of int, [num_sectors]
        Which of the mosaic's sectors its own are.
    weight : ndarray, [num_y, num_x]
        Positive; the parts' weights at a cell need not add up to 1.
    """

    radio_map: RadioMap
    sector_ids: Sequence[int]
    weight: FloatArray


def blend(
    grid: Grid,
    sectors: Sequence[Sector],
    parts: Sequence[Part],
    attrs: Mapping[str, Any] | None = None,
) -> tuple[RadioMap, BoolArray]:
    """One map of several that lie beside and over each other.

    Parameters
    ----------
    grid : Grid
    sectors : sequence of Sector
        In the grid's frame.
    parts : sequence of Part
        Inside of the grid.
    attrs : mapping, optional
        Of the map that is made.

    Returns
    -------
    radio_map : RadioMap
    covered : ndarray, [num_y, num_x], bool
        Cells that lie in a part; the others have no path, and are not outdoor.

    Notes
    -----
    With the weights w_i of the parts that cover a cell, scaled to a sum of 1, and their powers
    P_i (0 where a part does not have the sector):

    - the path gain and the raw one are those of sum w_i P_i;
    - the standard error is that of this sum for errors that are independent from part to part,
      as those of separate launches of rays are: variance sum w_i^2 s_i^2, with s_i = P_i
      (ln 10 / 10) e_i for an error of e_i dB;
    - the mean delay is weighted with w_i P_i, and the spread is that of the mixture;
    - the ground is sum w_i z_i;
    - outdoor and line of sight are as in the part with the largest weight (that has the sector).

    A cell that lies in one part alone keeps its values to the last bit.
    """
    placed, covered = _placed(grid, parts)
    shared = np.zeros(grid.shape, dtype=bool)
    for p in placed:
        shared[p.window] |= p.shared

    def empty(name: str, fill: float, dtype: npt.DTypeLike = np.float32) -> Any:  # noqa: ANN401
        if not parts or any(getattr(part.radio_map, name) is None for part in parts):
            return None
        return np.full((len(sectors), *grid.shape), fill, dtype=dtype)

    out = RadioMap(
        grid=grid,
        sectors=tuple(sectors),
        path_gain_db=np.full((len(sectors), *grid.shape), -np.inf, dtype=np.float32),
        standard_error_db=empty("standard_error_db", np.nan),
        outdoor=_outdoor(grid, placed, shared),
        los=empty("los", False, bool),
        raw_path_gain_db=empty("raw_path_gain_db", -np.inf),
        ground_m=_ground_m(grid, placed, shared),
        mean_delay_s=empty("mean_delay_s", np.nan),
        delay_spread_s=empty("delay_spread_s", np.nan),
        attrs=attrs or {},
    )
    owners: dict[int, list[tuple[_Placed, int]]] = {}
    for p in placed:
        for own, sector_id in enumerate(p.part.sector_ids):
            owners.setdefault(int(sector_id), []).append((p, own))
    for sector_id, having in owners.items():
        _fill(out, sector_id, having, shared)
    return out, covered


@dataclass(frozen=True, eq=False)
class _Placed:
    """A part where it lies in the mosaic, and what it has to do with the others."""

    part: Part
    window: tuple[slice, slice]
    shared: BoolArray
    """[num_y, num_x] of the part: cells that another part covers, too."""
    slots: npt.NDArray[np.intp]
    """Places of its shared cells in the list of all those of the mosaic."""
    share: FloatArray
    """Weight at its shared cells, scaled."""


def _placed(grid: Grid, parts: Sequence[Part]) -> tuple[list[_Placed], BoolArray]:
    """The parts, and the cells that they cover."""
    windows = [_window(grid, part.radio_map.grid) for part in parts]
    count = np.zeros(grid.shape, dtype=np.uint16)
    total = np.zeros(grid.shape)
    for part, window in zip(parts, windows, strict=True):
        count[window] += 1
        total[window] += part.weight
    shared = count > 1
    slot = np.full(grid.shape, -1, dtype=np.intp)
    slot[shared] = np.arange(np.count_nonzero(shared))
    placed = []
    for part, window in zip(parts, windows, strict=True):
        mine = shared[window]
        share = np.asarray(part.weight, dtype=float)[mine] / total[window][mine]
        placed.append(_Placed(part, window, mine, slot[window][mine], share))
    return placed, count > 0


def _outdoor(grid: Grid, placed: Sequence[_Placed], shared: BoolArray) -> BoolArray:
    out = np.zeros(grid.shape, dtype=bool)
    num_shared = np.count_nonzero(shared)
    chosen, heaviest = np.zeros(num_shared, dtype=bool), np.zeros(num_shared)
    for p in placed:
        np.copyto(out[p.window], p.part.radio_map.outdoor, where=~p.shared)
        _choose(chosen, heaviest, p, p.part.radio_map.outdoor[p.shared])
    out[shared] = chosen
    return out


def _ground_m(grid: Grid, placed: Sequence[_Placed], shared: BoolArray) -> FloatArray | None:
    out = np.full(grid.shape, np.nan, dtype=np.float32)
    total_m = np.zeros(np.count_nonzero(shared))
    for p in placed:
        ground_m = p.part.radio_map.ground_m
        if ground_m is None:
            return None
        np.copyto(out[p.window], ground_m, where=~p.shared)
        total_m[p.slots] += p.share * ground_m[p.shared]
    out[shared] = total_m
    return out if placed else None


def _window(grid: Grid, inner: Grid) -> tuple[slice, slice]:
    """Rows and columns of a grid that another one of the same cells covers."""
    column = (
        inner.west_m + inner.frame.origin_easting_m - grid.west_m - grid.frame.origin_easting_m
    ) / grid.resolution_m
    row = (
        inner.south_m + inner.frame.origin_northing_m - grid.south_m - grid.frame.origin_northing_m
    ) / grid.resolution_m
    left, low = round(column), round(row)
    if abs(column - left) > 1e-3 or abs(row - low) > 1e-3:
        raise ValueError(f"cells of {inner} do not fall on those of {grid}")
    if min(left, low) < 0 or left + inner.num_x > grid.num_x or low + inner.num_y > grid.num_y:
        raise ValueError(f"{inner} reaches beyond {grid}")
    return slice(low, low + inner.num_y), slice(left, left + inner.num_x)


def _choose(
    chosen: npt.NDArray[Any], heaviest: FloatArray, p: _Placed, values: npt.NDArray[Any]
) -> None:
    """Take a part's values where its weight is the largest so far."""
    leads = p.share > heaviest[p.slots]
    slots = p.slots[leads]
    chosen[slots], heaviest[slots] = values[leads], p.share[leads]


def _fill(
    out: RadioMap,
    sector_id: int,
    having: Sequence[tuple[_Placed, int]],
    shared: BoolArray,
) -> None:
    """Write one sector's layers from the parts that have it."""
    for name in ("path_gain_db", *LAYERS):
        target = getattr(out, name)
        if target is not None and name != "ground_m":
            for p, own in having:
                layer = getattr(p.part.radio_map, name)[own]
                np.copyto(target[sector_id][p.window], layer, where=~p.shared)
    sums = _sums(having, int(np.count_nonzero(shared)))
    power = sums["power"]
    lit = power > 0.0
    out.path_gain_db[sector_id][shared] = linear_to_db(power)
    if out.raw_path_gain_db is not None:
        out.raw_path_gain_db[sector_id][shared] = linear_to_db(sums["raw"])
    if out.los is not None:
        out.los[sector_id][shared] = sums["los"].astype(bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        if out.standard_error_db is not None:
            error_db = np.sqrt(sums["variance"]) / power / NEPERS_PER_DB
            out.standard_error_db[sector_id][shared] = np.where(lit, error_db, np.nan)
        if out.mean_delay_s is not None:
            mean_s = sums["delay"] / sums["timed"]
            out.mean_delay_s[sector_id][shared] = mean_s
            if out.delay_spread_s is not None:
                variance = sums["delay_square"] / sums["timed"] - mean_s**2
                out.delay_spread_s[sector_id][shared] = np.sqrt(np.maximum(variance, 0.0))


def _sums(having: Sequence[tuple[_Placed, int]], num_shared: int) -> dict[str, FloatArray]:
    """Sums over the parts at the shared cells."""
    names = ("power", "raw", "variance", "timed", "delay", "delay_square", "los")
    sums: dict[str, FloatArray] = {name: np.zeros(num_shared) for name in names}
    heaviest = np.zeros(num_shared)
    for p, own in having:
        radio_map = p.part.radio_map

        def at(layer: FloatArray, p: _Placed = p, own: int = own) -> FloatArray:
            return np.asarray(layer[own][p.shared], dtype=float)

        power = p.share * db_to_linear(at(radio_map.path_gain_db))
        sums["power"][p.slots] += power
        if radio_map.raw_path_gain_db is not None:
            sums["raw"][p.slots] += p.share * db_to_linear(at(radio_map.raw_path_gain_db))
        if radio_map.standard_error_db is not None:
            error_db = np.nan_to_num(at(radio_map.standard_error_db))
            sums["variance"][p.slots] += (power * NEPERS_PER_DB * error_db) ** 2
        if radio_map.los is not None:
            _choose(sums["los"], heaviest, p, radio_map.los[own][p.shared])
        if radio_map.mean_delay_s is not None:
            mean_s = at(radio_map.mean_delay_s)
            # Delays are known at some cells alone.
            known = np.where(np.isfinite(mean_s), power, 0.0)
            mean_s = np.nan_to_num(mean_s)
            spread_s = (
                np.nan_to_num(at(radio_map.delay_spread_s))
                if radio_map.delay_spread_s is not None
                else 0.0
            )
            sums["timed"][p.slots] += known
            sums["delay"][p.slots] += known * mean_s
            sums["delay_square"][p.slots] += known * (mean_s**2 + spread_s**2)
    return sums


def level_at_cuts_dbm(grid: Grid, sectors: Sequence[Sector], parts: Sequence[Part]) -> FloatArray:
    """How strong a sector still is where a part that has it gives way to one that has it not.

    Parameters
    ----------
    grid, sectors, parts : Grid, sequence of Sector, sequence of Part
        As for `blend`.

    Returns
    -------
    ndarray, [num_sectors]
        Received signal strength [dBm] that a tenth of such cells reach; -inf where there are none,
        or where it is hardly received there.
    """
    placed, _ = _placed(grid, parts)
    num_shared = int(sum(np.count_nonzero(p.shared) for p in placed))
    found = np.full(len(sectors), -np.inf)
    for i, sector in enumerate(sectors):
        having = np.zeros(num_shared)
        level_db = np.full(num_shared, -np.inf)
        for p in placed:
            for own in np.flatnonzero(np.asarray(p.part.sector_ids) == i):
                having[p.slots] += p.share
                gain_db = p.part.radio_map.path_gain_db[own][p.shared]
                level_db[p.slots] = np.maximum(level_db[p.slots], gain_db)
        cut = (having > 0.0) & (having < 1.0 - 1e-6)
        if cut.any():
            levels_db = np.sort(level_db[cut])
            found[i] = float(levels_db[int(0.9 * len(levels_db))]) + sector.power_dbm
    return found


def moved(sector: Sector, grid: Grid, to: Grid) -> Sector:
    """A sector of one frame in another of the same CRS."""
    return replace(
        sector,
        x_m=sector.x_m + (grid.frame.origin_easting_m - to.frame.origin_easting_m),
        y_m=sector.y_m + (grid.frame.origin_northing_m - to.frame.origin_northing_m),
    )
