"""Measured levels in a scene's local metres, as means over a map's cells and in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.formats.drive_test import DriveTest
from rfplatform.frame import Frame
from rfplatform.radiomap import Grid
from rfplatform.units import FloatArray

BLOCK_M = 64.0
"""Edge of the blocks that cross-validation leaves out: beyond the 50 m over which shadowing is
alike (3GPP TR 38.901 Table 7.5-6)."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Readings of the power of a resource element, one a row.

    Attributes
    ----------
    x_m, y_m : ndarray, [n]
        Local metres of a frame.
    rsrp_dbm : ndarray, [n]
    cell : ndarray, [n], str
        Whose signal it is, as the measuring device calls it; "" where it doesn't say.
    device : ndarray, [n], str
        Which device measured; "" where it isn't said.
    """

    x_m: FloatArray
    y_m: FloatArray
    rsrp_dbm: FloatArray
    cell: npt.NDArray[np.str_]
    device: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.x_m, self.y_m, self.rsrp_dbm, self.cell, self.device)}
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.rsrp_dbm)

    def at(self, index: npt.NDArray[np.bool_] | IntArray) -> Measurements:
        """Those of an index or mask."""
        return Measurements(
            self.x_m[index],
            self.y_m[index],
            self.rsrp_dbm[index],
            self.cell[index],
            self.device[index],
        )


def measurements_of(drive_test: DriveTest, frame: Frame) -> Measurements:
    """The readings of a drive test in a frame's local metres.

    Raises
    ------
    InputError
        If the frame has no CRS.
    """
    x_m, y_m = frame.from_lonlat(drive_test.lon_deg, drive_test.lat_deg)
    return Measurements(x_m, y_m, drive_test.rsrp_dbm, drive_test.cell, drive_test.device)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Readings of one cell by one device within one cell of a grid, as their mean.

    Attributes
    ----------
    grid : Grid
    row, column : ndarray, [n], int
        Which cell of the grid.
    rsrp_dbm : ndarray, [n]
        Mean in dB of the readings.
    count : ndarray, [n], int
        How many they are.
    cell, device : ndarray, [n], str
    spread_db : float
        Standard deviation of readings around their pixel's mean, pooled over the pixels with more
        than one; NaN where none has. What no map of this resolution can get below, for one reading.
    outside : int
        Readings that lie beyond the grid and are left out.
    """

    grid: Grid
    row: IntArray
    column: IntArray
    rsrp_dbm: FloatArray
    count: IntArray
    cell: npt.NDArray[np.str_]
    device: npt.NDArray[np.str_]
    spread_db: float = float("nan")
    outside: int = 0

    def __len__(self) -> int:
        return len(self.rsrp_dbm)

    @property
    def x_m(self) -> FloatArray:
        """Local x of the pixels' centres."""
        return self.grid.x_m()[self.column]

    @property
    def y_m(self) -> FloatArray:
        """Local y of the pixels' centres."""
        return self.grid.y_m()[self.row]

    def at(self, index: npt.NDArray[np.bool_] | IntArray) -> Pixels:
        """Those of an index or mask."""
        return Pixels(
            self.grid,
            self.row[index],
            self.column[index],
            self.rsrp_dbm[index],
            self.count[index],
            self.cell[index],
            self.device[index],
            self.spread_db,
            self.outside,
        )


def rasterized(measurements: Measurements, grid: Grid) -> Pixels:
    """Means over a grid's cells of the readings of each measured cell by each device.

    Parameters
    ----------
    measurements : Measurements
        In the grid's frame.
    grid : Grid

    Returns
    -------
    Pixels
        Ordered by cell, device, row and column. Decibels are averaged, not powers: fading is
        closer to symmetric in dB, and a mean of powers would follow the strongest reading.
    """
    column = np.floor((measurements.x_m - grid.west_m) / grid.resolution_m).astype(np.int64)
    row = np.floor((measurements.y_m - grid.south_m) / grid.resolution_m).astype(np.int64)
    inside = (row >= 0) & (row < grid.num_y) & (column >= 0) & (column < grid.num_x)
    row, column, read = row[inside], column[inside], measurements.at(inside)
    cells, cell = np.unique(read.cell.astype(np.str_), return_inverse=True)
    devices, device = np.unique(read.device.astype(np.str_), return_inverse=True)
    keys = np.column_stack((cell, device, row, column)).astype(np.int64).reshape(-1, 4)
    found, which, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    mean_dbm = np.bincount(which, read.rsrp_dbm, len(found)) / np.maximum(count, 1)
    squares = float(((read.rsrp_dbm - mean_dbm[which]) ** 2).sum()) if len(which) else 0.0
    freedom = int((count - 1).sum())
    return Pixels(
        grid,
        found[:, 2],
        found[:, 3],
        mean_dbm,
        count.astype(np.int64),
        cells[found[:, 0]],
        devices[found[:, 1]],
        float(np.sqrt(squares / freedom)) if freedom else float("nan"),
        int((~inside).sum()),
    )


def block_ids(x_m: FloatArray, y_m: FloatArray, edge_m: float = BLOCK_M) -> IntArray:
    """A number for each square block that a point lies in, the same for points of the same block.

    Parameters
    ----------
    x_m, y_m : ndarray, [n]
        Local metres; blocks' borders are multiples of the edge.
    edge_m : float
    """
    column = np.floor(np.asarray(x_m) / edge_m).astype(np.int64)
    row = np.floor(np.asarray(y_m) / edge_m).astype(np.int64)
    return np.asarray(row * (1 << 32) + column, dtype=np.int64)
