"""Antenna patterns: catalog names, TR 38.901 elements and arrays, and pattern files."""

from rfplatform.antennas.array import ElementArray
from rfplatform.antennas.cuts import Cut, CutPattern
from rfplatform.antennas.dipole import HalfWaveDipole
from rfplatform.antennas.isotropic import Isotropic
from rfplatform.antennas.msi import read_msi, write_msi
from rfplatform.antennas.named import (
    FILE_SUFFIXES,
    NAMED,
    antenna,
    is_file,
    read_pattern,
    resolved,
    resolved_beside,
)
from rfplatform.antennas.nsma import read_nsma
from rfplatform.antennas.orientation import sector_gain_dbi, sector_orientation_rad
from rfplatform.antennas.panel import example_panel
from rfplatform.antennas.pattern import Antenna, slant_deg
from rfplatform.antennas.shape import Shape, measure
from rfplatform.antennas.tr38901 import TR38901Element

__all__ = [
    "FILE_SUFFIXES",
    "NAMED",
    "Antenna",
    "Cut",
    "CutPattern",
    "ElementArray",
    "HalfWaveDipole",
    "Isotropic",
    "Shape",
    "TR38901Element",
    "antenna",
    "example_panel",
    "is_file",
    "measure",
    "read_msi",
    "read_nsma",
    "read_pattern",
    "resolved",
    "resolved_beside",
    "sector_gain_dbi",
    "sector_orientation_rad",
    "slant_deg",
    "write_msi",
]
