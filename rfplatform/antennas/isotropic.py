"""The isotropic radiator."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray


@dataclass(frozen=True)
class Isotropic:
    """The same gain, 0 dBi, in every direction."""

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """0 dBi in the common shape of zenith `theta_rad` and azimuth `phi_rad`."""
        return np.zeros(np.broadcast_shapes(np.shape(theta_rad), np.shape(phi_rad)))
