"""What every antenna is: a gain in each direction of its own frame."""

from typing import Protocol

import numpy.typing as npt

from rfplatform.units import FloatArray


class Antenna(Protocol):
    """A gain pattern; implementations are frozen dataclasses.

    The antenna's own frame is that of 3GPP TR 38.901 clause 7.1: boresight along x
    (zenith 90 degrees, azimuth 0), z up, azimuth counter-clockwise from x to y. Seen from
    above, a positive azimuth is to the left of boresight.
    """

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """Gain over an isotropic radiator.

        Parameters
        ----------
        theta_rad : array_like
            Zenith angle, 0 (straight up) to pi.
        phi_rad : array_like
            Azimuth from boresight; broadcast against `theta_rad`. Any multiple of 2 pi may be
            added.

        Returns
        -------
        ndarray
            Gain in dBi, in the two angles' common shape. -inf in a true null.
        """
        ...


SLANT_DEG = {"V": 0.0, "H": 90.0, "+45": 45.0, "-45": -45.0}
"""Slants of linear polarizations, as in TR 38.901 clause 7.3.2: 0 is vertical."""


def slant_deg(antenna: Antenna) -> float:
    """Slant of an antenna's polarization; vertical (0) where it has no ``polarization``.

    Parameters
    ----------
    antenna : Antenna
        Its ``polarization``, if any, is a key of `SLANT_DEG`.
    """
    return SLANT_DEG[getattr(antenna, "polarization", "V")]
