"""The antenna element of 3GPP TR 38.901."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.units import FloatArray

_LIMITS = {
    "max_gain_dbi": (-30.0, 60.0),
    "horizontal_beamwidth_deg": (1.0, 360.0),
    "vertical_beamwidth_deg": (1.0, 360.0),
    "side_lobe_db": (0.0, 200.0),
    "max_attenuation_db": (0.0, 200.0),
}


@dataclass(frozen=True)
class TR38901Element:
    """The radiation power pattern of a single element, 3GPP TR 38.901 Table 7.3-1.

    ``A_V = -min(12 ((theta - 90)/theta_3dB)**2, SLA_V)``,
    ``A_H = -min(12 (phi/phi_3dB)**2, A_max)`` and ``A = G_max - min(-(A_V + A_H), A_max)``, with
    the angles in degrees. With the standard's values: 8 dBi at boresight, 3 dB less at 32.5
    degrees from it in either plane, -22 dBi at the back.

    Attributes
    ----------
    max_gain_dbi : float
        G_max, at boresight.
    horizontal_beamwidth_deg, vertical_beamwidth_deg : float
        phi_3dB and theta_3dB, between the half-power points.
    side_lobe_db : float
        SLA_V: the vertical cut's largest attenuation.
    max_attenuation_db : float
        A_max: the largest attenuation, of the horizontal cut and of both together.
    """

    max_gain_dbi: float = 8.0
    horizontal_beamwidth_deg: float = 65.0
    vertical_beamwidth_deg: float = 65.0
    side_lobe_db: float = 30.0
    max_attenuation_db: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), _LIMITS[field.name]
            # A comparison with NaN is false, so that it is refused too.
            if not low <= value <= high:
                raise InputError(f"antenna {field.name} {value:g}: must lie in {low:g}..{high:g}")

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """Gain in dBi, `max_gain_dbi` at boresight.

        Parameters
        ----------
        theta_rad, phi_rad : array_like
            Zenith angle, and azimuth from boresight; broadcast against each other.

        Returns
        -------
        ndarray
            In the two angles' common shape, at most `max_attenuation_db` below the maximum.
        """
        theta = np.asarray(theta_rad, dtype=float)
        # The table has phi in -180..180 degrees.
        phi = np.mod(np.asarray(phi_rad, dtype=float) + np.pi, 2.0 * np.pi) - np.pi
        theta_3db, phi_3db = np.radians(
            [self.vertical_beamwidth_deg, self.horizontal_beamwidth_deg]
        )
        vertical_db = np.minimum(12.0 * ((theta - 0.5 * np.pi) / theta_3db) ** 2, self.side_lobe_db)
        horizontal_db = np.minimum(12.0 * (phi / phi_3db) ** 2, self.max_attenuation_db)
        return np.asarray(
            self.max_gain_dbi - np.minimum(vertical_db + horizontal_db, self.max_attenuation_db)
        )
