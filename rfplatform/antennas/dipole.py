"""The vertical half-wave dipole."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray, linear_to_db

DIRECTIVITY = 1.643
"""Of a half-wave dipole (C. A. Balanis, Antenna Theory, Eq. 4-91): 2.16 dBi."""


@dataclass(frozen=True)
class HalfWaveDipole:
    """A half-wave dipole along z: omnidirectional, 2.16 dBi at the horizon, nulls at the poles.

    Its power pattern is that of C. A. Balanis, *Antenna Theory: Analysis and Design*,
    Eq. 4-84: ``G = 1.643 (cos(pi/2 cos(theta)) / sin(theta))**2``, without losses.
    """

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """Gain in dBi in the common shape of the angles; the azimuth makes no difference.

        Parameters
        ----------
        theta_rad, phi_rad : array_like
            Zenith angle, and azimuth from boresight.

        Returns
        -------
        ndarray
            -inf at the poles.
        """
        theta = np.asarray(theta_rad, dtype=float)
        sin_theta = np.sin(theta)
        # Below 1e-9 rad from a pole the quotient's limit, pi/4 sin(theta), is 0 in every digit
        # that matters, while 0/0 would be NaN.
        pole = np.abs(sin_theta) < 1e-9
        field = np.cos(0.5 * np.pi * np.cos(theta)) / np.where(pole, 1.0, sin_theta)
        gain_dbi = linear_to_db(DIRECTIVITY * np.where(pole, 0.0, field) ** 2)
        return np.array(np.broadcast_arrays(gain_dbi, phi_rad)[0])
