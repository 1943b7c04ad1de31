"""What a designer asks of a pattern: beam widths, side lobes, front-to-back ratio, tilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.antennas.cuts import CutPattern
from rfplatform.antennas.pattern import Antenna
from rfplatform.units import FloatArray, db_to_linear, linear_to_db

STEP_DEG = 0.1
BACK_DEG = 30.0
"""The worst front-to-back ratio is over so much to either side of the back."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A pattern measured.

    Attributes
    ----------
    max_gain_dbi : float
    azimuth_deg, tilt_deg : float
        Of the main lobe: clockwise from boresight, and below the horizon.
    horizontal_width_deg, vertical_width_deg : float, optional
        Between the points 3 dB below the maximum, on the cone of the tilt and in the vertical
        plane of the main lobe; None if there is no such point.
    front_to_back_db : float, optional
        Maximum over gain in the opposite direction of azimuth, at the tilt; None without a
        main lobe in azimuth.
    worst_front_to_back_db : float, optional
        The least within 30 degrees of that direction.
    upper_side_lobe_db : float, optional
        The highest lobe above the main one, in the front half of the vertical plane, relative to
        the maximum; None without one.
    directivity_dbi : float
        Maximum over the mean of all directions, integrated.
    angle_deg : ndarray
        Angles of both cuts, -180..180.
    horizontal_dbi, vertical_dbi : ndarray
        The cuts: clockwise from boresight, and downwards from the horizon.
    """

    max_gain_dbi: float
    azimuth_deg: float
    tilt_deg: float
    horizontal_width_deg: float | None
    vertical_width_deg: float | None
    front_to_back_db: float | None
    worst_front_to_back_db: float | None
    upper_side_lobe_db: float | None
    directivity_dbi: float
    angle_deg: FloatArray
    horizontal_dbi: FloatArray
    vertical_dbi: FloatArray


def measure(antenna: Antenna) -> Shape:
    """Measure any antenna's pattern, in steps of 0.1 degrees.

    Parameters
    ----------
    antenna : Antenna
    """
    azimuth_deg, tilt_deg, gain = main_lobe(antenna)
    half = round(180.0 / STEP_DEG)
    angle = np.arange(-half, half + 1) * STEP_DEG
    horizontal = gain_towards(antenna, angle, np.full_like(angle, tilt_deg))
    vertical = gain_in_plane(antenna, angle, azimuth_deg)
    has_azimuth = bool(horizontal.max() - horizontal.min() > 1e-6)
    back = azimuth_deg + 180.0 + np.arange(-BACK_DEG, BACK_DEG + STEP_DEG / 2, STEP_DEG)
    behind = gain_towards(antenna, back, np.full_like(back, tilt_deg))
    return Shape(
        gain,
        azimuth_deg,
        tilt_deg,
        _width(angle, horizontal, azimuth_deg),
        _width(angle, vertical, tilt_deg),
        gain - float(behind[len(behind) // 2]) if has_azimuth else None,
        gain - float(behind.max()) if has_azimuth else None,
        _upper_side_lobe(angle, vertical, tilt_deg),
        gain - float(linear_to_db(_mean_gain(antenna))),
        angle,
        horizontal,
        vertical,
    )


def gain_towards(
    antenna: Antenna, azimuth_deg: npt.ArrayLike, down_deg: npt.ArrayLike
) -> FloatArray:
    """Gain at azimuths clockwise from boresight and angles below the horizon, in dBi."""
    return antenna.gain_dbi(np.radians(np.add(down_deg, 90.0)), -np.radians(azimuth_deg))


def gain_in_plane(
    antenna: Antenna, down_deg: npt.ArrayLike, azimuth_deg: float = 0.0
) -> FloatArray:
    """Gain around the vertical circle through an azimuth: angles downwards over the horizon."""
    down = np.mod(np.asarray(down_deg, dtype=float) + 180.0, 360.0) - 180.0
    over = np.abs(down) > 90.0
    below = np.where(over, np.sign(down) * (180.0 - np.abs(down)), down)
    return gain_towards(antenna, azimuth_deg + np.where(over, 180.0, 0.0), below)


def main_lobe(antenna: Antenna) -> tuple[float, float, float]:
    """Azimuth (clockwise), angle below the horizon and gain of the maximum.

    Where several directions are equal, as on a flat top, it is the middle of those around the
    one that is nearest to boresight.
    """
    azimuth, down = np.meshgrid(np.arange(-180.0, 180.0), np.arange(-90.0, 90.5))
    step = 1.0
    best_azimuth = best_down = gain = 0.0
    for finer in (0.1, 0.01):
        level = gain_towards(antenna, azimuth, down)
        gain = float(level.max())
        top = level >= gain - 1e-6
        off = np.where(top, np.hypot(azimuth, down), np.inf)
        nearest = np.unravel_index(int(np.argmin(off)), off.shape)
        best_azimuth, best_down = float(azimuth[nearest]), float(down[nearest])
        around = np.arange(-1.5 * step, 1.5 * step + finer / 2, finer)
        azimuth, down = np.meshgrid(best_azimuth + around, best_down + around)
        down = np.clip(down, -90.0, 90.0)
        step = finer
    level = gain_towards(antenna, azimuth, down)
    gain = float(level.max())
    top = level >= gain - 1e-6
    if top[:, 0].all() or np.ptp(level[level.shape[0] // 2]) < 1e-6:
        best_azimuth = 0.0 if abs(best_azimuth) < 1e-6 else best_azimuth
    else:
        best_azimuth = float(azimuth[top].mean())
    best_down = float(down[top].mean())
    return round(best_azimuth, 2) + 0.0, round(best_down, 2) + 0.0, gain


def remarks(pattern: CutPattern, shape: Shape) -> list[str]:
    """Where a file's statements and its cuts disagree by more than rounding.

    A stated gain above the directivity can't be, but the directivity is that of an interpolation:
    1.5 dB are left to it. More than 4 dB of losses are unlikely.
    """
    found = list(pattern.remarks)
    excess = pattern.gain_dbi_max - shape.directivity_dbi
    if excess > 1.5 or excess < -4.0:
        found.append(
            f"the stated gain of {pattern.gain_dbi_max:.1f} dBi and the cuts' directivity of "
            f"{shape.directivity_dbi:.1f} dBi differ by {abs(excess):.1f} dB"
        )
    if pattern.gain_dbi_max - shape.max_gain_dbi > 0.3:
        found.append(
            f"the cuts stay {pattern.gain_dbi_max - shape.max_gain_dbi:.1f} dB below the stated "
            "gain everywhere"
        )
    for what, stated, measured, allowed in (
        ("horizontal beam width", pattern.horizontal_width_deg, shape.horizontal_width_deg, 0.15),
        ("vertical beam width", pattern.vertical_width_deg, shape.vertical_width_deg, 0.15),
    ):
        # Omnidirectional antennas state 0 or 360.
        if stated and measured and stated < 360.0 and abs(stated - measured) > allowed * measured:
            found.append(f"the stated {what} is {stated:g} degrees, the cut's {measured:.1f}")
    tilt = pattern.electrical_tilt_deg
    if tilt is not None and abs(tilt - shape.tilt_deg) > 1.0:
        found.append(
            f"the stated electrical tilt is {tilt:g} degrees, the vertical cut's main lobe lies "
            f"at {shape.tilt_deg:.1f}; the cut is what counts"
        )
    return found


def _width(angle: FloatArray, level: FloatArray, peak_deg: float) -> float | None:
    """Between the half-power points on either side of the peak, linear in dB in between."""
    ring, values = angle[:-1], level[:-1]
    start = int(np.argmin(np.abs((ring - peak_deg + 180.0) % 360.0 - 180.0)))
    half = values[start] - 3.0
    ends = []
    for way in (1, -1):
        rolled = np.roll(values, -start) if way == 1 else np.roll(values[::-1], start + 1)
        below = np.flatnonzero(rolled < half)
        if not len(below):
            return None
        last = int(below[0])
        before, after = float(rolled[last - 1]), float(rolled[last])
        part = 1.0 if np.isinf(after) else (before - half) / (before - after)
        ends.append((last - 1 + part) * STEP_DEG)
    return float(sum(ends)) if sum(ends) < 360.0 else None


def _upper_side_lobe(angle: FloatArray, level: FloatArray, tilt_deg: float) -> float | None:
    """The highest level above the main lobe's first minimum, relative to the maximum."""
    above = (angle >= -90.0) & (angle <= tilt_deg)
    upwards = level[above][::-1]
    falling = np.flatnonzero(np.diff(upwards) > 1e-9)
    if not len(falling):
        return None
    return float(upwards[int(falling[0]) :].max() - upwards.max())


def _mean_gain(antenna: Antenna) -> float:
    """Mean of the linear gain over the sphere, at the middles of half-degree cells."""
    theta = np.radians(np.arange(0.25, 180.0, 0.5))[:, None]
    phi = np.radians(np.arange(-179.75, 180.0, 0.5))[None, :]
    power = db_to_linear(antenna.gain_dbi(theta, phi))
    return float(np.average(power.mean(axis=1), weights=np.sin(theta[:, 0])))
