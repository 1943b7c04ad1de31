"""Antennas by the names that a site list uses."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from rfplatform.antennas.dipole import HalfWaveDipole
from rfplatform.antennas.isotropic import Isotropic
from rfplatform.antennas.pattern import Antenna
from rfplatform.antennas.tr38901 import TR38901Element
from rfplatform.errors import InputError

NAMED: Mapping[str, Antenna] = MappingProxyType(
    {"isotropic": Isotropic(), "dipole": HalfWaveDipole(), "tr38901": TR38901Element()}
)
"""Read-only, so that a name means the same everywhere."""


def antenna(name: str) -> Antenna:
    """Look an antenna up by name.

    Raises
    ------
    InputError
        If there is none of that name; the message lists near misses and all known names.
    """
    if name in NAMED:
        return NAMED[name]
    near = difflib.get_close_matches(name.strip().lower(), NAMED, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputError(f'unknown antenna "{name}"{hint} (known: {", ".join(sorted(NAMED))})')
