"""What stands between an antenna and every cell: one sweep of a raster of heights in polar steps.

Along each of many directions the raster is sampled outwards in steps of a cell. Running maxima
along the way give the antenna's horizon at every step; a look back over the last steps gives the
roof nearest to the receiver. From the two edges come the shadow's height and the diffraction loss
of Epstein and Peterson's construction with ITU-R P.526's single knife edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.radiomap import Grid, Sector
from rfplatform.units import wavelength_m

Raster = npt.NDArray[np.float32]

LOOK_BACK_M = 100.0
"""How far before a receiver its nearest roof is looked for."""

NEAREST_EDGE_M = 1.0
"""An edge counts as at least this far from either end, where its formula has a pole."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """Of every cell of a grid, [num_y, num_x], float32.

    Attributes
    ----------
    shadow_m : ndarray
        z that a receiver needs to see the antenna over everything before it; -inf: any.
    edge_m : ndarray
        Distance along the ground from the antenna to the horizon's edge, 0 without one.
    roof_slope : ndarray
        Slope from the receiver up to the steepest edge within `LOOK_BACK_M` towards the antenna.
    roof_m : ndarray
        Distance along the ground from the receiver to that edge, 0 without one.
    built_m : ndarray
        Length of the way that lies over buildings.
    diffraction_db : ndarray
        Loss over the horizon's and the roof's edge, 0 or more.
    """

    shadow_m: Raster
    edge_m: Raster
    roof_slope: Raster
    roof_m: Raster
    built_m: Raster
    diffraction_db: Raster


def profiles(
    top_m: Raster,
    built: npt.NDArray[np.bool_],
    raster: Grid,
    sector: Sector,
    grid: Grid,
    receiver_m: npt.ArrayLike,
) -> Profiles:
    """Sweep a raster from a sector's antenna.

    Parameters
    ----------
    top_m : ndarray, [num_y, num_x] of `raster`, float32
        z of what a way must pass above: roofs, and the ground elsewhere.
    built : ndarray, the same shape, bool
        Where buildings stand.
    raster : Grid
        Of `top_m`; outside of it nothing stands.
    sector : Sector
    grid : Grid
        Cells that are asked for.
    receiver_m : array_like, [num_y, num_x] or scalar
        z of the receivers.
    """
    step_m = raster.resolution_m
    dx = (grid.x_m() - sector.x_m)[None, :]
    dy = (grid.y_m() - sector.y_m)[:, None]
    away_m = np.hypot(dx, dy).astype(np.float32)
    num_steps = int(np.ceil(away_m.max() / step_m)) + 2
    # As many directions as leave neighbours a cell apart at the far end.
    num_ways = int(np.ceil(2.0 * np.pi * num_steps))
    turn = np.arange(num_ways, dtype=np.float32) * np.float32(2.0 * np.pi / num_ways)
    reach_m = np.arange(num_steps, dtype=np.float32) * np.float32(step_m)
    tops, standing = _sampled(top_m, built, raster, sector, turn, reach_m)

    angle = np.mod(np.arctan2(dy, dx), 2.0 * np.pi) * (num_ways / (2.0 * np.pi))
    way = np.rint(angle).astype(np.int32) % num_ways
    step = np.clip(np.rint(away_m / step_m).astype(np.int32), 0, num_steps - 1)
    at = way.astype(np.intp) * num_steps + step

    antenna_m = np.float32(sector.z_m)
    horizon, edge_step = _horizon(tops, antenna_m, reach_m)
    horizon, edge_step = np.maximum(horizon.ravel()[at], np.float32(-1e6)), edge_step.ravel()[at]
    ground_m = np.broadcast_to(np.asarray(receiver_m, np.float32), grid.shape)
    roof_slope, roof_steps = _roof(tops, way, step, ground_m, step_m)
    shadow_m = antenna_m + horizon * away_m
    built_m = np.cumsum(standing, axis=1, dtype=np.float32).ravel()[at] * np.float32(step_m)
    flat = tops.ravel()
    base = way.astype(np.intp) * num_steps
    loss_db = _two_edges_db(
        np.float32(wavelength_m(sector.frequency_hz)),
        antenna_m,
        ground_m,
        away_m,
        (edge_step * np.float32(step_m), flat[base + edge_step]),
        ((step - roof_steps) * np.float32(step_m), flat[base + np.maximum(step - roof_steps, 0)]),
        edge_step > 0,
        # Ground and roofs below the line to the antenna are no edges in its way.
        (roof_steps > 0) & (roof_slope * away_m > antenna_m - ground_m) & (shadow_m > ground_m),
    )
    return Profiles(
        shadow_m.astype(np.float32),
        (edge_step * np.float32(step_m)).astype(np.float32),
        roof_slope,
        (roof_steps * np.float32(step_m)).astype(np.float32),
        built_m,
        loss_db,
    )


def _sampled(
    top_m: Raster,
    built: npt.NDArray[np.bool_],
    raster: Grid,
    sector: Sector,
    turn: Raster,
    reach_m: Raster,
) -> tuple[Raster, npt.NDArray[np.bool_]]:
    """The raster along every way, [num_ways, num_steps]."""
    column = np.float32((sector.x_m - raster.west_m) / raster.resolution_m)
    row = np.float32((sector.y_m - raster.south_m) / raster.resolution_m)
    steps = reach_m / np.float32(raster.resolution_m)
    columns = np.floor(column + np.cos(turn)[:, None] * steps).astype(np.int32) + 1
    rows = np.floor(row + np.sin(turn)[:, None] * steps).astype(np.int32) + 1
    # A frame of nothing around the raster takes in whatever lies outside.
    np.clip(columns, 0, raster.num_x + 1, out=columns)
    np.clip(rows, 0, raster.num_y + 1, out=rows)
    at = rows * (raster.num_x + 2) + columns
    lowest = np.float32(top_m.min(initial=0.0))
    tops = np.pad(top_m, 1, constant_values=lowest).ravel()[at]
    return tops, np.pad(built, 1, constant_values=False).ravel()[at]


def _horizon(
    tops: Raster, antenna_m: np.float32, reach_m: Raster
) -> tuple[Raster, npt.NDArray[np.int32]]:
    """Steepest slope down to what lies before every step, and the step that it is at."""
    slope = np.full_like(tops, -np.inf)
    slope[:, 1:] = (tops[:, 1:] - antenna_m) / reach_m[1:]
    steepest = np.maximum.accumulate(slope, axis=1)
    here = np.where(slope >= steepest, np.arange(tops.shape[1], dtype=np.int32), np.int32(0))
    where = np.maximum.accumulate(here, axis=1)
    # What stands at the step itself does not hide it.
    before = np.full_like(steepest, -np.inf)
    before[:, 1:] = steepest[:, :-1]
    first = np.zeros_like(where)
    first[:, 1:] = where[:, :-1]
    return before, first


def _roof(
    tops: Raster,
    way: npt.NDArray[np.int32],
    step: npt.NDArray[np.int32],
    receiver_m: Raster,
    step_m: float,
) -> tuple[Raster, npt.NDArray[np.int32]]:
    """Steepest slope from every receiver back towards the antenna, and how many steps away."""
    flat, base = tops.ravel(), way * np.int32(tops.shape[1])
    steepest = np.full(way.shape, -np.inf, dtype=np.float32)
    steps = np.zeros(way.shape, dtype=np.int32)
    for back in range(1, int(LOOK_BACK_M / step_m) + 1):
        at = step - np.int32(back)
        slope = (flat[base + np.maximum(at, 0)] - receiver_m) / np.float32(back * step_m)
        better = (slope > steepest) & (at > 0)
        np.copyto(steepest, slope, where=better)
        np.copyto(steps, np.int32(back), where=better)
    return np.maximum(steepest, np.float32(-1.0)), steps


def _two_edges_db(
    wavelength: np.float32,
    antenna_m: np.float32,
    receiver_m: Raster,
    away_m: Raster,
    first: tuple[Raster, Raster],
    last: tuple[Raster, Raster],
    has_first: npt.NDArray[np.bool_],
    has_last: npt.NDArray[np.bool_],
) -> Raster:
    """Diffraction loss over two edges, or over the one that both are (Epstein and Peterson).

    Each edge is given by its distance from the antenna and its z.
    """
    first_m, first_z = first
    last_m, last_z = last
    apart = has_first & has_last & (last_m - first_m > 1.0)
    direct = knife_edge_db(antenna_m, receiver_m, away_m, first_m, first_z, wavelength)
    direct = np.where(has_first, direct, np.float32(0.0))
    # The first edge as seen on the way to the last, and the last on the way from the first.
    over_first = knife_edge_db(antenna_m, last_z, last_m, first_m, first_z, wavelength)
    over_last = knife_edge_db(
        first_z, receiver_m, away_m - first_m, last_m - first_m, last_z, wavelength
    )
    alone = knife_edge_db(antenna_m, receiver_m, away_m, last_m, last_z, wavelength)
    single = np.maximum(direct, np.where(has_last, alone, np.float32(0.0)))
    return np.where(apart, np.maximum(over_first + over_last, single), single).astype(np.float32)


def knife_edge_db(
    start_z_m: npt.ArrayLike,
    end_z_m: npt.ArrayLike,
    away_m: Raster,
    edge_m: Raster,
    edge_z_m: Raster,
    wavelength: np.float32,
) -> Raster:
    """Loss of one knife edge, J(v) of ITU-R P.526-15, Eqs. 26 and 31.

    Parameters
    ----------
    start_z_m, end_z_m : array_like
        z of the way's two ends.
    away_m, edge_m : array_like
        Distance along the ground from the start to the end and to the edge.
    edge_z_m : array_like
    wavelength : float
        In metres.
    """
    d1 = np.maximum(edge_m, np.float32(NEAREST_EDGE_M))
    d2 = np.maximum(away_m - edge_m, np.float32(NEAREST_EDGE_M))
    line_m = start_z_m + (np.asarray(end_z_m) - start_z_m) * (d1 / (d1 + d2))
    v = (edge_z_m - line_m) * np.sqrt(np.float32(2.0) / wavelength * (1.0 / d1 + 1.0 / d2))
    raised = np.maximum(v, np.float32(-0.78)) - np.float32(0.1)
    loss = np.float32(6.9) + np.float32(20.0) * np.log10(np.sqrt(raised**2 + 1.0) + raised)
    return np.asarray(np.maximum(loss, np.float32(0.0)), dtype=np.float32)
