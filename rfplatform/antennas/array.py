"""A panel of equal elements that are fed to form one beam."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rfplatform.antennas.pattern import SLANT_DEG
from rfplatform.antennas.tr38901 import TR38901Element
from rfplatform.errors import InputError
from rfplatform.units import FloatArray, linear_to_db

MAX_ELEMENTS = 256
"""Of a row or a column."""


@dataclass(frozen=True)
class ElementArray:
    """A uniform planar array as one composite pattern: element gain times array factor.

    The panel lies in the y-z plane, as in 3GPP TR 38.901 clause 7.3. The weights have equal
    magnitude and unit norm, ``w_n = exp(-j 2 pi n u) / sqrt(N)``, so that the power fed into the
    array is that of one element; in each dimension

    ``|AF|^2 = sin^2(N x / 2) / (N sin^2(x / 2))``, ``x = 2 pi (d s - u)``,

    where d is the spacing in wavelengths and s the direction's cosine along that dimension
    (C. A. Balanis, *Antenna Theory*, Eq. 6-10c, squared and divided by N). The largest is N, and
    ``gain = element + 10 log10(|AF_rows|^2 |AF_columns|^2)``: at boresight the element's gain plus
    10 log10 of the number of elements. The element's pattern is the embedded one: mutual coupling
    is taken to be in it already.

    Attributes
    ----------
    element : TR38901Element
    rows, columns : int
        Elements one above the other, and side by side.
    vertical_spacing, horizontal_spacing : float
        Between neighbours, in wavelengths.
    polarization : str
        A key of `SLANT_DEG`: "V", "H", "+45" or "-45". One polarization is fed.
    beam : int
        Horizontal DFT beam, ``-columns < beam < columns``: ``u = beam / columns``, which points
        to the azimuth ``arcsin(beam / (columns d))``. Positive is counter-clockwise (to the left,
        seen from above); half the columns or more appear on the other side, as DFT beams do.
    vertical_beam : int
        Likewise of the rows, positive upwards.
    tilt_deg : float
        Electrical tilt below the horizon, ``u = -d sin(tilt)``; not together with
        `vertical_beam`.
    """

    element: TR38901Element = field(default_factory=TR38901Element)
    rows: int = 1
    columns: int = 1
    vertical_spacing: float = 0.5
    horizontal_spacing: float = 0.5
    polarization: str = "V"
    beam: int = 0
    vertical_beam: int = 0
    tilt_deg: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            if not 1 <= getattr(self, name) <= MAX_ELEMENTS:
                raise InputError(
                    f"antenna {name} {getattr(self, name)}: must lie in 1..{MAX_ELEMENTS}"
                )
        for name in ("vertical_spacing", "horizontal_spacing"):
            if not 0.05 <= getattr(self, name) <= 20.0:
                raise InputError(
                    f"antenna {name} {getattr(self, name):g}: must lie in 0.05..20 wavelengths"
                )
        if self.polarization not in SLANT_DEG:
            raise InputError(
                f"antenna polarization {self.polarization!r}: must be one of {', '.join(SLANT_DEG)}"
            )
        for name, among in (("beam", "columns"), ("vertical_beam", "rows")):
            if not abs(getattr(self, name)) < getattr(self, among):
                most = getattr(self, among) - 1
                raise InputError(
                    f"antenna {name} {getattr(self, name)}: must lie in {-most}..{most} "
                    f"for {among}={most + 1}"
                )
        if not -90.0 <= self.tilt_deg <= 90.0:
            raise InputError(f"antenna tilt_deg {self.tilt_deg:g}: must lie in -90..90")
        if self.tilt_deg and self.vertical_beam:
            raise InputError("antenna tilt_deg and vertical_beam exclude each other: give one")

    def gain_dbi(self, theta_rad: npt.ArrayLike, phi_rad: npt.ArrayLike) -> FloatArray:
        """Gain of the beam in dBi.

        Parameters
        ----------
        theta_rad, phi_rad : array_like
            Zenith angle, and azimuth from boresight; broadcast against each other.

        Returns
        -------
        ndarray
            In the two angles' common shape; -inf in a null.
        """
        theta = np.asarray(theta_rad, dtype=float)
        phi = np.asarray(phi_rad, dtype=float)
        up = self.vertical_spacing * np.cos(theta)
        left = self.horizontal_spacing * np.sin(theta) * np.sin(phi)
        up_0 = self.vertical_beam / self.rows
        if self.tilt_deg:
            up_0 = -self.vertical_spacing * np.sin(np.radians(self.tilt_deg))
        factor = _array_factor(self.rows, up - up_0)
        factor = factor * _array_factor(self.columns, left - self.beam / self.columns)
        return np.asarray(self.element.gain_dbi(theta, phi) + linear_to_db(factor))


def _array_factor(number: int, cycles: FloatArray) -> FloatArray:
    """|AF|^2 of a uniform row, where `cycles` is x / 2 pi."""
    if number == 1:
        return np.ones_like(cycles)
    # It repeats with every cycle; near a whole one both sines vanish, and the ratio is N.
    x = np.pi * (cycles - np.round(cycles))
    peak = np.abs(x) < 1e-7
    sine = np.where(peak, 1.0, np.sin(x))
    return np.where(peak, float(number), (np.sin(number * x) / sine) ** 2 / number)
