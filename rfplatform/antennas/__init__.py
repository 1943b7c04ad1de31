"""Antenna patterns: isotropic, half-wave dipole and the element of TR 38.901."""

from rfplatform.antennas.dipole import HalfWaveDipole
from rfplatform.antennas.isotropic import Isotropic
from rfplatform.antennas.named import NAMED, antenna
from rfplatform.antennas.orientation import sector_gain_dbi, sector_orientation_rad
from rfplatform.antennas.pattern import Antenna
from rfplatform.antennas.tr38901 import TR38901Element

__all__ = [
    "NAMED",
    "Antenna",
    "HalfWaveDipole",
    "Isotropic",
    "TR38901Element",
    "antenna",
    "sector_gain_dbi",
    "sector_orientation_rad",
]
