"""How a sector's antenna is turned in the world, and its gain towards a point."""

import numpy as np
import numpy.typing as npt

from rfplatform.antennas.pattern import Antenna
from rfplatform.units import FloatArray


def sector_orientation_rad(azimuth_deg: float, downtilt_deg: float) -> tuple[float, float, float]:
    """Angles (alpha, beta, gamma) that turn the antenna's frame into the world's.

    They are bearing, downtilt and slant of 3GPP TR 38.901 clause 7.1.3: rotations about z, then
    y, then x, so that ``R = Rz(alpha) Ry(beta) Rx(gamma)`` takes a direction from the antenna's
    frame to east-north-up (Eq. 7.1-4).

    Parameters
    ----------
    azimuth_deg : float
        Boresight, clockwise from north (+y).
    downtilt_deg : float
        Boresight below the horizon, positive downwards.

    Returns
    -------
    tuple of float
        In radians; gamma is 0.
    """
    return float(np.radians(90.0 - azimuth_deg)), float(np.radians(downtilt_deg)), 0.0


def sector_gain_dbi(
    antenna: Antenna,
    azimuth_deg: float,
    downtilt_deg: float,
    dx: npt.ArrayLike,
    dy: npt.ArrayLike,
    dz: npt.ArrayLike,
) -> FloatArray:
    """Gain of a mounted antenna in world directions.

    Parameters
    ----------
    antenna : Antenna
    azimuth_deg, downtilt_deg : float
        Boresight, clockwise from north and below the horizon.
    dx, dy, dz : array_like
        Where to: east, north and up from the antenna, broadcast against each other. Only the
        direction counts, not the length; the zero vector is taken as straight up.

    Returns
    -------
    ndarray
        Gain in dBi, in the common shape of the three.
    """
    alpha, beta, _ = sector_orientation_rad(azimuth_deg, downtilt_deg)
    east, north, up = (np.asarray(d, dtype=float) for d in (dx, dy, dz))
    # The transpose of Rz(alpha) Ry(beta): from the world into the antenna's frame.
    ahead = np.cos(alpha) * east + np.sin(alpha) * north
    left = np.cos(alpha) * north - np.sin(alpha) * east
    x = np.cos(beta) * ahead - np.sin(beta) * up
    z = np.sin(beta) * ahead + np.cos(beta) * up
    # arctan2 keeps its accuracy near the poles, where arccos loses half the digits.
    return antenna.gain_dbi(np.arctan2(np.hypot(x, left), z), np.arctan2(left, x))
