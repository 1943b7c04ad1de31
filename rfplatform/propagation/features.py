"""What the networks see of a sector in a scene: one code for training and for maps.

Channels are in the order of `CHANNELS`, scaled to about one. All that depends on a compass
direction is in the two of `DIRECTIONS`, so that a turned or mirrored window is made by turning
the arrays and those two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.antennas import antenna, sector_gain_dbi
from rfplatform.propagation.profiles import profiles
from rfplatform.radiomap import BoolArray, Grid, Sector
from rfplatform.units import FloatArray, wavelength_m

Raster = npt.NDArray[np.float32]

CHANNELS = (
    "building_height",
    "outdoor",
    "line_of_sight",
    "log_distance",
    "antenna_above_receiver",
    "towards_antenna_x",
    "towards_antenna_y",
    "antenna_gain",
    "free_space_gain",
    "diffraction_loss",
    "shadow_depth",
    "edge_distance",
    "roof_slope",
    "roof_distance",
    "built_length",
    "lit_wall",
    "log_frequency",
)
"""Geometry and closed forms; always known."""

COARSE_CHANNELS = (
    "coarse_known",
    "coarse_reached",
    "coarse_residual",
    "coarse_error",
    "coarse_pull",
)
"""A coarse traced map and its standard error; zeros where there is none. The pull is the residual
times the trust in it: what a first guess moves the closed form by."""

BASE_CHANNEL = len(CHANNELS) + COARSE_CHANNELS.index("coarse_pull")
DOUBTED_ERROR_DB = 8.0
"""A coarse level with as large a standard error moves the first guess half of its way."""

DIRECTIONS = (CHANNELS.index("towards_antenna_x"), CHANNELS.index("towards_antenna_y"))

LEAST_GAIN_DBI = -30.0
MOST_DIFFRACTION_DB = 60.0
LOSS_SHARE = 0.5
"""Of the diffraction loss over roofs that the prior counts: reflections fill up about the other
half (over traced windows of the training towns: 12.2 dB RMSE, against 17.4 dB with all of it,
21.0 dB with none, and 14.9 dB of TR 38.901 UMa)."""

RESIDUAL_SCALE_DB = 10.0
"""Residuals are learned in units of this."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A scene as the networks see it.

    Attributes
    ----------
    raster : Grid
        Covers the cells that are asked for and, as far as it can, the antennas.
    height_m : ndarray, [num_y, num_x], float32
        Tops of buildings above ground, 0 where none stands.
    ground_m : ndarray, [num_y, num_x], float32, or None
        z of the ground; None: flat, at 0.
    """

    raster: Grid
    height_m: Raster
    ground_m: Raster | None = None

    def top_m(self) -> Raster:
        """Z of roofs, and of the ground elsewhere."""
        return self.height_m if self.ground_m is None else self.ground_m + self.height_m


@dataclass(frozen=True, eq=False)
class Coarse:
    """A traced map of few rays, [num_y, num_x] each.

    Attributes
    ----------
    path_gain_db : ndarray
        -inf: no path.
    standard_error_db : ndarray
        NaN: none.
    """

    path_gain_db: FloatArray
    standard_error_db: FloatArray


@dataclass(frozen=True, eq=False)
class Features:
    """Of one sector on one grid.

    Attributes
    ----------
    channels : ndarray, [num_y, num_x, len(CHANNELS)], float32
    prior_db : ndarray, [num_y, num_x], float32
        Path gain by the closed form that residuals are counted from: free space, the antenna's
        gain and a share of the diffraction loss over roofs.
    """

    channels: npt.NDArray[np.float32]
    prior_db: Raster


def features(
    surface: Surface, outdoor: BoolArray, los: BoolArray, sector: Sector, grid: Grid
) -> Features:
    """Geometry and closed forms of a sector.

    Parameters
    ----------
    surface : Surface
    outdoor, los : ndarray, [num_y, num_x] of `grid`, bool
        Cells outside buildings, and those that see the sector.
    sector : Sector
    grid : Grid
        A part of the surface's raster, on its cells.
    """
    raster = surface.raster
    rows, columns = _part(raster, grid)
    height_m = surface.height_m[rows, columns]
    ground_m = np.float32(0.0) if surface.ground_m is None else surface.ground_m[rows, columns]
    receiver_m = ground_m + np.float32(grid.receiver_height_m)
    dx = (sector.x_m - grid.x_m()).astype(np.float32)[None, :]
    dy = (sector.y_m - grid.y_m()).astype(np.float32)[:, None]
    dz = np.broadcast_to(np.float32(sector.z_m) - receiver_m, grid.shape)
    along_m = np.maximum(np.hypot(dx, dy), np.float32(1.0))
    away_m = np.hypot(along_m, dz)
    gain_dbi = np.maximum(
        sector_gain_dbi(
            antenna(sector.antenna), sector.azimuth_deg, sector.downtilt_deg, -dx, -dy, -dz
        ),
        LEAST_GAIN_DBI,
    ).astype(np.float32)
    wavelength = wavelength_m(sector.frequency_hz)
    free_db = gain_dbi - np.float32(20.0) * np.log10(np.float32(4.0 * np.pi / wavelength) * away_m)
    way = profiles(surface.top_m(), surface.height_m > 0.0, raster, sector, grid, receiver_m)
    loss_db = np.minimum(way.diffraction_db, np.float32(MOST_DIFFRACTION_DB))
    # What sees the antenna loses nothing but where the way grazes an edge.
    loss_db = np.where(los, np.minimum(loss_db, np.float32(6.0)), loss_db)
    shadow_m = np.clip(way.shadow_m - receiver_m, -20.0, 60.0)
    lit_m = np.clip(height_m - np.maximum(way.shadow_m - ground_m, 0.0), 0.0, 60.0)
    layers = (
        height_m / 20.0,
        outdoor,
        los,
        np.log10(away_m) - 2.0,
        dz / 30.0,
        dx / along_m,
        dy / along_m,
        gain_dbi / 10.0,
        (free_db + 90.0) / 20.0,
        loss_db / 20.0,
        shadow_m / 20.0,
        way.edge_m / along_m,
        np.clip(way.roof_slope, -1.0, 3.0),
        way.roof_m / 50.0,
        np.log1p(way.built_m / 30.0),
        lit_m / 20.0,
        np.float32(np.log2(sector.frequency_hz / 2.0e9)),
    )
    channels = np.empty((*grid.shape, len(CHANNELS)), dtype=np.float32)
    for i, layer in enumerate(layers):
        channels[..., i] = layer
    prior_db = free_db - np.float32(LOSS_SHARE) * loss_db
    return Features(channels, prior_db.astype(np.float32))


def coarse_channels(coarse: Coarse | None, prior_db: Raster) -> npt.NDArray[np.float32]:
    """A coarse map as the networks see it, [num_y, num_x, len(COARSE_CHANNELS)], float32."""
    channels = np.zeros((*prior_db.shape, len(COARSE_CHANNELS)), dtype=np.float32)
    if coarse is None:
        return channels
    reached = np.isfinite(coarse.path_gain_db)
    residual = np.where(reached, coarse.path_gain_db - prior_db, 0.0) / RESIDUAL_SCALE_DB
    error = np.where(reached, np.nan_to_num(coarse.standard_error_db, nan=20.0), 0.0)
    channels[..., 0] = 1.0
    channels[..., 1] = reached
    channels[..., 2] = np.clip(residual, -6.0, 6.0)
    channels[..., 3] = np.minimum(error, 20.0) / 5.0
    channels[..., 4] = channels[..., 2] / (1.0 + (error / DOUBTED_ERROR_DB) ** 2)
    return channels


def turned(
    arrays: npt.NDArray[np.float32], quarter_turns: int, *, mirrored: bool, directions: bool
) -> npt.NDArray[np.float32]:
    """A window turned by quarter turns counter-clockwise, after it was mirrored about y.

    Parameters
    ----------
    arrays : ndarray, [num_y, num_x, num_channels]
        Row 0 is south.
    quarter_turns : int
    mirrored : bool
        Whether x is mirrored first.
    directions : bool
        Whether the channels are those of `CHANNELS`, of which two turn as a vector.
    """
    if mirrored:
        arrays = arrays[:, ::-1]
    # Rows go north: a counter-clockwise turn on the map is a clockwise one of the array.
    arrays = np.rot90(arrays, -quarter_turns, axes=(0, 1))
    if not directions:
        return np.ascontiguousarray(arrays)
    arrays = arrays.copy()
    i, j = DIRECTIONS
    x = -arrays[..., i] if mirrored else arrays[..., i].copy()
    y = arrays[..., j].copy()
    for _ in range(quarter_turns % 4):
        x, y = -y, x
    arrays[..., i], arrays[..., j] = x, y
    return arrays


def _part(raster: Grid, grid: Grid) -> tuple[slice, slice]:
    """Where a grid's cells lie in a raster of the same cells."""
    column = round((grid.west_m - raster.west_m) / raster.resolution_m)
    row = round((grid.south_m - raster.south_m) / raster.resolution_m)
    return slice(row, row + grid.num_y), slice(column, column + grid.num_x)
