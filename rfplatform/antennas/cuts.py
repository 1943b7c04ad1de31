"""An antenna known by its horizontal and its vertical cut, as pattern files give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

MEETING_DEG = 10.0
"""Within so much of the direction where the cuts meet, the vertical one gives way if they differ
there."""


@dataclass(frozen=True)
class Cut:
    """Attenuation around a full circle.

    Attributes
    ----------
    angle_deg : tuple of float
        Strictly increasing, 0 <= angle < 360.
    attenuation_db : tuple of float
        Below the antenna's maximum, 0 or more.
    """

    angle_deg: tuple[float, ...]
    attenuation_db: tuple[float, ...]

    def level_db(self, angle_deg: npt.ArrayLike) -> FloatArray:
        """Minus the attenuation at angles of any shape, linear in dB in between, periodic."""
        return np.asarray(
            np.interp(
                np.asarray(angle_deg, dtype=float),
                self.angle_deg,
                -np.array(self.attenuation_db),
                period=360.0,
            )
        )


@dataclass(frozen=True)
class CutPattern:
    """Two cuts interpolated to all directions.

    The method is the horizontal projection interpolation of F. Gil, A. R. Claro, J. M. Ferreira,
    C. Pardelinha and L. M. Correia, "A 3D interpolation method for base-station-antenna radiation
    patterns", IEEE Antennas and Propagation Magazine 43(2), 2001: the horizontal cut H, plus what
    the front half V_f and the back half V_b of the vertical cut lose at that elevation, weighted
    by the azimuth's distance from them (levels in dB, phi in -pi..pi):

    ``G = H(phi) - (1 - |phi|/pi) (H(0) - V_f(theta)) - |phi|/pi (H(pi) - V_b(theta))``

    It is exact on both cuts, the back half of the vertical one included, which the summing of
    attenuations and the cross-weighted sum (T. G. Vasiliadis, A. G. Dimitriou and G. D. Sergiadis,
    IEEE Trans. Antennas Propag. 53(7), 2005) are not.

    The horizontal cut is that through the vertical one's maximum, the cone on which antennas with
    an electrical tilt are measured; or that at the horizon, where its level at boresight says so.
    The electrical tilt is *in* the vertical cut, and is not applied again; the downtilt of a
    sector turns the whole antenna besides. Where two cuts of a file contradict each other at the
    directions that they share, the vertical one is bent to the horizontal one within
    `MEETING_DEG`, so that the horizontal cut always holds. Nowhere is the gain above both H(phi)
    and V_b(theta), which the sum could otherwise exceed beside a null at the back.

    Attributes
    ----------
    gain_dbi_max : float
        Gain at attenuation 0.
    horizontal : Cut
        Angles *clockwise* from boresight, seen from above.
    vertical : Cut
        Angles from the horizon at boresight *downwards*: 90 straight down, 180 the horizon at the
        back, 270 straight up.
    name, make : str
    frequency_mhz : tuple of float
        Lowest and highest; empty where not stated.
    electrical_tilt_deg : float, optional
        As stated; what the vertical cut holds is measured by `rfplatform.antennas.shape`.
    polarization : str
        A key of `rfplatform.antennas.pattern.SLANT_DEG`.
    horizontal_width_deg, vertical_width_deg, front_to_back_db : float, optional
        As stated.
    comments : tuple of str
    remarks : tuple of str
        What the reader had to decide about the file.
    """

    gain_dbi_max: float
    horizontal: Cut
    vertical: Cut
    name: str = ""
    make: str = ""
    frequency_mhz: tuple[float, ...] = ()
    electrical_tilt_deg: float | None = None
    polarization: str = "V"
    horizontal_width_deg: float | None = None
    vertical_width_deg: float | None = None
    front_to_back_db: float | None = None
    comments: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """Gain in dBi.

        Parameters
        ----------
        theta_rad, phi_rad : array_like
            Zenith angle, and azimuth (counter-clockwise) from boresight; broadcast against each
            other.

        Returns
        -------
        ndarray
            In the two angles' common shape.
        """
        down_deg = np.degrees(np.asarray(theta_rad, dtype=float)) - 90.0
        phi_deg = np.degrees(np.asarray(phi_rad, dtype=float))
        around_deg = np.abs(np.mod(phi_deg + 180.0, 360.0) - 180.0)
        meeting_deg = self.meeting_deg
        ahead, behind = (float(self.horizontal.level_db(angle)) for angle in (0.0, 180.0))
        front = _bent(self.vertical, down_deg, down_deg - meeting_deg, meeting_deg, ahead)
        back = _bent(
            self.vertical, 180.0 - down_deg, down_deg - meeting_deg, 180.0 - meeting_deg, behind
        )
        share = around_deg / 180.0
        side = self.horizontal.level_db(-phi_deg)
        level = side - (1.0 - share) * (ahead - front) - share * (behind - back)
        return np.asarray(self.gain_dbi_max + np.minimum(level, np.maximum(side, back)))

    @property
    def meeting_deg(self) -> float:
        """Angle below the horizon at which the horizontal cut is taken."""
        front_deg = np.linspace(-90.0, 90.0, 1801)
        level = self.vertical.level_db(front_deg)
        peak_deg = float(front_deg[level >= level.max() - 1e-9].mean())
        ahead = float(self.horizontal.level_db(0.0))
        off_at_peak = abs(float(self.vertical.level_db(peak_deg)) - ahead)
        off_at_horizon = abs(float(self.vertical.level_db(0.0)) - ahead)
        return peak_deg if off_at_peak <= off_at_horizon else 0.0


def _bent(
    cut: Cut, angle_deg: FloatArray, off_deg: FloatArray, meeting_deg: float, level_db: float
) -> FloatArray:
    """The vertical cut, made to pass through the horizontal one's level where the two meet."""
    mismatch_db = level_db - float(cut.level_db(meeting_deg))
    near = np.maximum(0.0, 1.0 - np.abs(off_deg) / MEETING_DEG)
    return cut.level_db(angle_deg) + mismatch_db * near
