"""Path gains that are known exactly, written independently of the solvers that they check."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.antennas import antenna, sector_gain_dbi
from rfplatform.radiomap import Grid, Sector
from rfplatform.units import FloatArray, db_to_linear, wavelength_m

VACUUM_PERMITTIVITY_F_M = 8.854_187_8128e-12
SLAB_THICKNESS_M = 0.1
"""Sionna takes every surface for a slab of this thickness."""

GROUND_PROPERTIES = {"medium_dry_ground": (15.0, -0.1, 0.035, 1.63)}
"""a, b, c, d of ITU-R P.2040-3 Table 3, with the frequency in GHz."""

_Complex = npt.NDArray[np.complexfloating[Any, Any]]


def free_space_gain(sector: Sector, grid: Grid, points_per_cell: int = 10) -> FloatArray:
    """Friis' formula with the antenna's gain, averaged over each cell, [num_y, num_x]."""
    fine = _points(grid, points_per_cell)
    gain = _friis(sector, *fine, grid.receiver_height_m)
    return _cell_means(gain, points_per_cell)


def two_ray_gain(
    sector: Sector, grid: Grid, ground_material: str, points_per_cell: int = 10
) -> FloatArray:
    """Direct and ground-reflected power, added without regard to phase, [num_y, num_x].

    A map is a mean over cells of many wavelengths, in which the cross term of the two rays
    vanishes. For a vertically polarized, untilted antenna the ground sees the TM polarization
    alone; its reflection is that of a slab (ITU-R P.2040-3, Eqs. 37 and 43).
    """
    x, y = _points(grid, points_per_cell)
    below = _friis(sector, x, y, -grid.receiver_height_m)
    distance = np.hypot(x - sector.x_m, y - sector.y_m)
    incidence = np.arctan2(distance, sector.z_m + grid.receiver_height_m)
    reflection = slab_reflection_tm(ground_material, sector.frequency_hz, incidence)
    gain = _friis(sector, x, y, grid.receiver_height_m) + below * np.abs(reflection) ** 2
    return _cell_means(gain, points_per_cell)


def slab_reflection_tm(
    material: str, frequency_hz: float, incidence_rad: npt.NDArray[np.floating]
) -> _Complex:
    """Reflection coefficient of a slab for the TM polarization (ITU-R P.2040-3, Eqs. 37, 43, 44).

    Parameters
    ----------
    material : str
        A key of `GROUND_PROPERTIES`.
    frequency_hz : float
    incidence_rad : ndarray
        From the normal.
    """
    a, b, c, d = GROUND_PROPERTIES[material]
    f_ghz = frequency_hz / 1e9
    loss = c * f_ghz**d / (2.0 * np.pi * frequency_hz * VACUUM_PERMITTIVITY_F_M)
    eta = complex(a * f_ghz**b, -loss)
    cos, root = np.cos(incidence_rad), np.sqrt(eta - np.sin(incidence_rad) ** 2)
    face = (eta * cos - root) / (eta * cos + root)
    through = np.exp(-2j * 2.0 * np.pi * SLAB_THICKNESS_M / wavelength_m(frequency_hz) * root)
    return np.asarray(face * (1.0 - through) / (1.0 - face**2 * through))


def knife_edge_gain(
    sector: Sector, grid: Grid, edge_y_m: float, edge_z_m: float, points_per_cell: int = 4
) -> FloatArray:
    """Power that passes a single horizontal edge along x, [num_y, num_x].

    Free space times the Fresnel-Kirchhoff loss of an infinitely thin screen (ITU-R P.526-15,
    Eqs. 26 and 30, with the Fresnel integrals themselves). It knows neither the wedge's angle nor
    polarization, which matter little while the direction changes by less than about 15 degrees.
    """
    from scipy.special import fresnel

    x, y = _points(grid, points_per_cell)
    run_in, run_out = edge_y_m - sector.y_m, y - edge_y_m
    # Height of the edge over the line from antenna to receiver, in the plane across the edge.
    share = run_in / (run_in + run_out)
    line_z_m = sector.z_m + (grid.receiver_height_m - sector.z_m) * share
    wavelength = wavelength_m(sector.frequency_hz)
    nu = (edge_z_m - line_z_m) * np.sqrt(2.0 / wavelength * (1.0 / run_in + 1.0 / run_out))
    sine, cosine = fresnel(nu)
    passed = ((1.0 - cosine - sine) ** 2 + (cosine - sine) ** 2) / 4.0
    return _cell_means(_friis(sector, x, y, grid.receiver_height_m) * passed, points_per_cell)


def _friis(
    sector: Sector, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], z_m: float
) -> FloatArray:
    dx, dy, dz = x - sector.x_m, y - sector.y_m, z_m - sector.z_m
    gain_dbi = sector_gain_dbi(
        antenna(sector.antenna), sector.azimuth_deg, sector.downtilt_deg, dx, dy, dz
    )
    spread = (wavelength_m(sector.frequency_hz) / (4.0 * np.pi)) ** 2 / (dx**2 + dy**2 + dz**2)
    return np.asarray(db_to_linear(gain_dbi) * spread)


def _points(grid: Grid, per_cell: int) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    step = grid.resolution_m / per_cell
    x = grid.west_m + (np.arange(grid.num_x * per_cell) + 0.5) * step
    y = grid.south_m + (np.arange(grid.num_y * per_cell) + 0.5) * step
    points_x, points_y = np.meshgrid(x, y)
    return points_x, points_y


def _cell_means(fine: FloatArray, per_cell: int) -> FloatArray:
    rows, columns = fine.shape
    blocks = fine.reshape(rows // per_cell, per_cell, columns // per_cell, per_cell)
    return np.asarray(blocks.mean(axis=(1, 3)))
