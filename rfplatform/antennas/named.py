"""Antennas by the names that a site list uses."""

from collections.abc import Mapping
from types import MappingProxyType

from rfplatform.antennas.dipole import HalfWaveDipole
from rfplatform.antennas.isotropic import Isotropic
from rfplatform.antennas.pattern import Antenna
from rfplatform.antennas.tr38901 import TR38901Element
from rfplatform.errors import unknown_name

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
    raise unknown_name("antenna", name, sorted(NAMED))
