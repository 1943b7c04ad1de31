"""The antenna element of 3GPP TR 38.901."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

MAX_GAIN_DBI = 8.0
BEAMWIDTH_RAD = np.radians(65.0)
"""Half-power beamwidth, the same in both planes."""
SIDE_LOBE_DB = 30.0
"""SLA_V: the vertical cut's largest attenuation."""
MAX_ATTENUATION_DB = 30.0
"""A_max: the largest attenuation, of the horizontal cut and of both together."""


@dataclass(frozen=True)
class TR38901Element:
    """The radiation power pattern of a single element, 3GPP TR 38.901 Table 7.3-1.

    ``A_V = -min(12 ((theta - 90)/65)**2, 30)``, ``A_H = -min(12 (phi/65)**2, 30)`` and
    ``A = 8 dBi - min(-(A_V + A_H), 30)``, with the angles in degrees: 8 dBi at boresight,
    3 dB less at 32.5 degrees from it in either plane, -22 dBi at the back.
    """

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """Gain in dBi, 8 at boresight.

        Parameters
        ----------
        theta_rad, phi_rad : array_like
            Zenith angle, and azimuth from boresight; broadcast against each other.

        Returns
        -------
        ndarray
            In the two angles' common shape, from -22 to 8 dBi.
        """
        theta = np.asarray(theta_rad, dtype=float)
        # The table has phi in -180..180 degrees.
        phi = np.mod(np.asarray(phi_rad, dtype=float) + np.pi, 2.0 * np.pi) - np.pi
        vertical_db = np.minimum(12.0 * ((theta - 0.5 * np.pi) / BEAMWIDTH_RAD) ** 2, SIDE_LOBE_DB)
        horizontal_db = np.minimum(12.0 * (phi / BEAMWIDTH_RAD) ** 2, MAX_ATTENUATION_DB)
        return np.asarray(
            MAX_GAIN_DBI - np.minimum(vertical_db + horizontal_db, MAX_ATTENUATION_DB)
        )
