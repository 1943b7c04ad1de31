"""A sector panel of our own, computed, for examples and checks: no maker's data."""

from __future__ import annotations

import numpy as np

from rfplatform.antennas.cuts import Cut, CutPattern
from rfplatform.units import linear_to_db

ROWS, SPACING = 10, 0.8
GAIN_DBI = 18.0
"""The pattern's directivity is 18.6 dBi; the rest are losses."""

TAPER = 0.45
"""Amplitude of the outermost rows over the middle ones'."""


def example_panel() -> CutPattern:
    """A 65-degree panel with 4 degrees of electrical downtilt and 30 dB front-to-back ratio.

    The vertical cut is the array factor of ten rows, 0.8 wavelengths apart, fed in phase for 4
    degrees below the horizon and with a parabolic taper, times an element of 70 degrees (``12
    (v/70)^2`` dB, 30 dB at most); the horizontal cut is ``12 (phi/65)^2`` dB, 30 dB at most. The
    nulls are filled to 40 dB, as those of real panels are.
    """
    down = np.arange(360.0)
    place = np.arange(ROWS) - (ROWS - 1) / 2
    weight = 1.0 - (1.0 - TAPER) * (place / place.max()) ** 2
    phase = 2.0 * np.pi * SPACING * (np.sin(np.radians(down)) - np.sin(np.radians(4.0)))
    factor = np.abs((weight * np.exp(1j * phase[:, None] * place)).sum(axis=1) / weight.sum())
    off = np.abs((down + 180.0) % 360.0 - 180.0)
    element = np.minimum(12.0 * (off / 70.0) ** 2, 30.0)
    vertical = np.minimum(element - 2.0 * linear_to_db(factor), 40.0)
    # Behind, the reflector leaves a broad lobe that follows no array factor.
    vertical = np.where(off > 100.0, 30.0 + 10.0 * np.sin(np.radians(off)) ** 2, vertical)
    horizontal = np.minimum(12.0 * (off / 65.0) ** 2, 30.0)
    vertical -= vertical.min()
    angles = tuple(down.tolist())
    return CutPattern(
        GAIN_DBI,
        Cut(angles, tuple(np.round(horizontal, 2).tolist())),
        Cut(angles, tuple(np.round(vertical, 2).tolist())),
        name="Example panel 65 deg 18 dBi",
        make="rfplatform",
        frequency_mhz=(3400.0, 3800.0),
        electrical_tilt_deg=4.0,
        polarization="+45",
        horizontal_width_deg=65.0,
        front_to_back_db=30.0,
        comments=(
            "Computed, no real product: 10 rows 0.8 wavelengths apart, parabolic taper to 0.45, "
            "fed for 4 deg downtilt",
            "Elements of 70 deg, nulls filled to 40 dB; horizontal cut 12 (phi/65)^2 dB, 30 dB "
            "at most",
        ),
    )
