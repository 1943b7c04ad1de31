"""Resource blocks of a 5G NR carrier: how much of its bandwidth is transmitted, and in what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rfplatform.errors import InputError
from rfplatform.radiomap import Sector

SUBCARRIERS_PER_BLOCK = 12
SYMBOLS_PER_SLOT = 14
FALLBACK_GUARD_SHARE = 0.1
"""Share of a bandwidth that the tables lack which is taken as guard (that of LTE, TS 36.101)."""

WIDE_SPACING_FROM_HZ = 2.5e9
"""Carrier from which FR1 takes 30 kHz by default: the TDD bands n41, n77 and n78 lie above."""

FR1_HZ, FR2_HZ = (410e6, 7.125e9), (24.25e9, 71e9)
"""TS 38.101-1 Table 5.1-1 and TS 38.101-2 Table 5.1-1."""

FrequencyRange = Literal["FR1", "FR2"]


def _row(widths_mhz: Sequence[int], blocks: Sequence[int]) -> dict[float, int]:
    return {mhz * 1e6: count for mhz, count in zip(widths_mhz, blocks, strict=True)}


_FR1_MHZ = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100)
RESOURCE_BLOCKS: Mapping[FrequencyRange, Mapping[float, Mapping[float, int]]] = {
    "FR1": {
        15e3: _row(_FR1_MHZ[:10], (25, 52, 79, 106, 133, 160, 188, 216, 242, 270)),
        30e3: _row(_FR1_MHZ, (11, 24, 38, 51, 65, 78, 92, 106, 119, 133, 162, 189, 217, 245, 273)),
        60e3: _row(_FR1_MHZ[1:], (11, 18, 24, 31, 38, 44, 51, 58, 65, 79, 93, 107, 121, 135)),
    },
    "FR2": {
        60e3: _row((50, 100, 200), (66, 132, 264)),
        120e3: _row((50, 100, 200, 400), (32, 66, 132, 264)),
        480e3: _row((400, 800, 1600), (66, 124, 248)),
        960e3: _row((400, 800, 1600, 2000), (33, 62, 124, 148)),
    },
}
"""N_RB by frequency range, subcarrier spacing and channel bandwidth in Hz.

3GPP TS 38.101-1 Table 5.3.2-1 (FR1) and TS 38.101-2 Table 5.3.2-1 (FR2).
"""

SPACINGS_HZ = tuple(sorted({scs for rows in RESOURCE_BLOCKS.values() for scs in rows}))


@dataclass(frozen=True)
class Numerology:
    """How a carrier is cut into resource elements.

    Attributes
    ----------
    frequency_range : str
        "FR1" or "FR2".
    scs_hz : float
        Subcarrier spacing.
    num_rb : int
        Resource blocks of 12 subcarriers that are transmitted.
    note : str
        What the standard's tables lacked and was assumed; "" where they have it.
    """

    frequency_range: FrequencyRange
    scs_hz: float
    num_rb: int
    note: str = ""

    @property
    def num_subcarriers(self) -> int:
        """Resource elements of a symbol."""
        return SUBCARRIERS_PER_BLOCK * self.num_rb

    @property
    def transmitted_hz(self) -> float:
        """Bandwidth without the guards."""
        return self.num_subcarriers * self.scs_hz

    @property
    def slots_per_s(self) -> float:
        """Slots of 14 symbols: 1000 at 15 kHz (TS 38.211 Table 4.3.2-1)."""
        return 1000.0 * self.scs_hz / 15e3


def numerology(bandwidth_hz: float, frequency_hz: float, scs_hz: float | None = None) -> Numerology:
    """Subcarrier spacing and resource blocks of a carrier.

    Parameters
    ----------
    bandwidth_hz : float
        Channel bandwidth, guards included.
    frequency_hz : float
        Carrier; it tells FR1 from FR2. Below 24.25 GHz FR1's tables are taken.
    scs_hz : float, optional
        Subcarrier spacing. By default 15 kHz below 2.5 GHz, 30 kHz in the rest of FR1 and
        120 kHz in FR2, or the next wider one that has an entry for the bandwidth.

    Returns
    -------
    Numerology
        With a `note` where the bandwidth has no entry: then
        N_RB = floor(0.9 bandwidth / (12 spacing)), a guard of 10 % as in LTE; and where the
        carrier lies outside of NR's frequency ranges.

    Raises
    ------
    InputError
        If the frequency range lacks the spacing, or not even one resource block fits.
    """
    name: FrequencyRange = "FR2" if frequency_hz >= FR2_HZ[0] else "FR1"
    rows = RESOURCE_BLOCKS[name]
    carrier = f"{frequency_hz / 1e9:g} GHz"
    if scs_hz is None:
        scs_hz = _default_spacing(bandwidth_hz, frequency_hz, name)
    elif scs_hz not in rows:
        known = ", ".join(f"{scs / 1e3:g}" for scs in rows)
        raise InputError(
            f"subcarrier spacing {scs_hz / 1e3:g} kHz: a carrier of {carrier} ({name}) can have "
            f"{known} kHz; give one of these in Hz"
        )
    notes = []
    low_hz, high_hz = FR1_HZ if name == "FR1" else FR2_HZ
    if not low_hz <= frequency_hz <= high_hz:
        notes.append(f"{carrier} lies outside of NR's frequency ranges: taken as {name}")
    num_rb = rows[scs_hz].get(round(bandwidth_hz), 0)
    if not num_rb:
        block_hz = SUBCARRIERS_PER_BLOCK * scs_hz
        # A millionth of a block of slack against the rounding of the product.
        num_rb = int((1.0 - FALLBACK_GUARD_SHARE) * bandwidth_hz / block_hz + 1e-6)
        width = f"{bandwidth_hz / 1e6:g} MHz"
        if num_rb < 1:
            raise InputError(
                f"bandwidth {width}: no resource block of {block_hz / 1e3:g} kHz fits beside a "
                f"guard of {FALLBACK_GUARD_SHARE:.0%}; take a wider band or a narrower spacing"
            )
        notes.append(
            f"NR has no channel of {width} at {scs_hz / 1e3:g} kHz spacing in {name}: taken as "
            f"{num_rb} resource blocks, a guard of {FALLBACK_GUARD_SHARE:.0%}"
        )
    return Numerology(name, scs_hz, num_rb, "; ".join(notes))


def _default_spacing(bandwidth_hz: float, frequency_hz: float, name: FrequencyRange) -> float:
    if name == "FR2":
        usual_hz = 120e3
    else:
        usual_hz = 30e3 if frequency_hz >= WIDE_SPACING_FROM_HZ else 15e3
    wider = (s for s, row in RESOURCE_BLOCKS[name].items() if s >= usual_hz)
    fitting = (s for s in wider if round(bandwidth_hz) in RESOURCE_BLOCKS[name][s])
    return next(fitting, usual_hz)


def numerologies(sectors: Sequence[Sector], scs_hz: float | None = None) -> tuple[Numerology, ...]:
    """The numerology of every sector, in order.

    Raises
    ------
    InputError
        Names the sector that the spacing or the bandwidth does not suit.
    """
    found = []
    for sector in sectors:
        try:
            found.append(numerology(sector.bandwidth_hz, sector.frequency_hz, scs_hz))
        except InputError as error:
            raise InputError(f"sector {sector.label}: {error}") from error
    return tuple(found)
