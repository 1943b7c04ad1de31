"""Measured cells in their scene, and the ways to hold a part of them back.

A pixel is a cell of 4 m of the scene's grid: the mean in dB of one device's readings of one cell in
it. A set is all pixels of one cell by one device. What is held back is chosen by place and seed
alone, never by level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rfplatform.benchmark import Given
from rfplatform.errors import InputError
from rfplatform.formats.drive_test import read_drive_test
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import BlendFile, SceneFile, parse_area
from rfplatform.geodata.sites import SiteRow, place_sectors, read_sites
from rfplatform.propagation.calibration import match_cells
from rfplatform.propagation.measurements import block_ids, measurements_of, rasterized
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import outdoor_mask
from rfplatform.scene import Area, Scene
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from rfplatform.propagation.measurements import Measurements

PIXEL_M = 4.0
FOLDS = 5
SEED = 1

MOST_SAMPLES = 200
"""Random samples are the first of this many; the pixels beyond them are scored at every K."""

LEAST_SCORED = 50
"""A set of fewer pixels than this and `MOST_SAMPLES` together is left out."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MeasuredSet:
    """The pixels of one cell by one device, arrays of [n].

    Attributes
    ----------
    cell, device : str
    sector : Sector
    row, column : ndarray of int
        Of the survey's grid.
    x_m, y_m : ndarray
        Centres in local metres.
    level_dbm : ndarray
        RSRP.
    block : ndarray of int
        Number of the block of 64 m that it lies in.
    """

    cell: str
    device: str
    sector: Sector
    row: IntArray
    column: IntArray
    x_m: FloatArray
    y_m: FloatArray
    level_dbm: FloatArray
    block: IntArray

    def __len__(self) -> int:
        return len(self.level_dbm)

    @property
    def label(self) -> str:
        """Cell and device, for tables."""
        return f"{self.cell} {self.device}".strip()

    def order(self, repeat: int) -> IntArray:
        """All pixels in random order, the same for every entrant."""
        return np.random.default_rng((SEED, repeat)).permutation(len(self))

    def folds(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Pixels to learn from and pixels to score: a fifth of the blocks each time."""
        blocks = np.random.default_rng(SEED).permutation(np.unique(self.block))
        for first in range(min(FOLDS, len(blocks))):
            held = np.isin(self.block, blocks[first::FOLDS])
            if not held.all():
                yield np.flatnonzero(~held), np.flatnonzero(held)


@dataclass(frozen=True, eq=False)
class Survey:
    """Sets in their scene.

    Attributes
    ----------
    scene : Scene
    grid : Grid
        Of `PIXEL_M`, over the scene's area.
    sets : tuple of MeasuredSet
        Those with enough pixels.
    notes : tuple of str
        What was left out, and why.
    """

    scene: Scene
    grid: Grid
    sets: tuple[MeasuredSet, ...]
    notes: tuple[str, ...]

    @cached_property
    def sectors(self) -> tuple[Sector, ...]:
        """The measured sectors, each once."""
        return tuple(dict.fromkeys(s.sector for s in self.sets))

    def others(self, of: MeasuredSet) -> tuple[MeasuredSet, ...]:
        """What the same device measured of other cells."""
        return tuple(s for s in self.sets if s.device == of.device and s.cell != of.cell)


def read_survey(given: Given, *, least: int = MOST_SAMPLES + LEAST_SCORED) -> Survey:
    """Read a drive test, the extract of its scene and the site list of its cells.

    Parameters
    ----------
    given : Given
    least : int
        Pixels of a set that takes part.

    Returns
    -------
    Survey
        Readings outside the scene's box, pixels inside buildings, and cells that are no sector of
        the list or whose mast lies outside the box are left out, and told in `notes`.

    Raises
    ------
    InputError
        A file can't be used, no cell is a sector's, or no set has enough pixels.
    """
    drive_test = read_drive_test(given.measurements)
    source = parse_area(given.area)
    if isinstance(source, SceneFile | BlendFile):
        raise InputError(
            f"--area {given.area}: the measurements' scene must be made of footprints (.osm.pbf)"
        )
    scene = load_scene(source)
    measurements = measurements_of(drive_test, scene.frame)
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, PIXEL_M)
    notes = [f"{len(drive_test.faults)} bad rows left out"] if drive_test.faults else []
    sectors = _sectors(read_sites(given.sites), scene, notes)
    cells = match_cells(sorted(set(measurements.cell.tolist())), sectors)
    sets = _sets(measurements, cells, sectors, scene, grid, notes)
    kept = tuple(s for s in sets if len(s) >= least)
    if few := [f"{s.label} ({len(s)})" for s in sets if len(s) < least]:
        notes.append(f"fewer than {least} pixels: {', '.join(few)}")
    if not kept:
        raise InputError(
            f"{given.measurements}: no cell has {least} pixels of {PIXEL_M:g} m by one device in "
            f"{Path(given.area).name} ({'; '.join(notes)})"
        )
    return Survey(scene, grid, kept, tuple(notes))


def _sectors(rows: tuple[SiteRow, ...], scene: Scene, notes: list[str]) -> tuple[Sector, ...]:
    """Those that stand in the scene."""
    area = scene.area
    assert isinstance(area, Area)
    inside = [row for row in rows if area.contains(row.lon_deg, row.lat_deg)]
    if not inside:
        raise InputError(f"none of {len(rows)} sectors of the site list stands in {area.name}")
    if outside := [row.label for row in rows if row not in inside]:
        notes.append(f"masts outside the scene: {', '.join(outside)}")
    return place_sectors(inside, scene)


def _sets(
    measurements: Measurements,
    cells: Mapping[str, int],
    sectors: tuple[Sector, ...],
    scene: Scene,
    grid: Grid,
    notes: list[str],
) -> list[MeasuredSet]:
    names = [str(name) for name in np.unique(measurements.cell)]
    if unknown := [name for name in names if name not in cells]:
        notes.append(f"cells that are no sector of the list: {', '.join(unknown)}")
    read = measurements.at(np.isin(measurements.cell, list(cells)))
    pixels = rasterized(read, grid)
    outdoor = outdoor_mask(scene, grid)[pixels.row, pixels.column]
    notes.append(
        f"{len(read) - pixels.outside} of {len(read)} readings lie in the scene's box, in "
        f"{len(pixels)} pixels, of which {int((~outdoor).sum())} inside buildings are left out; "
        f"readings of a pixel differ by {pixels.spread_db:.1f} dB (standard deviation)"
    )
    pixels = pixels.at(outdoor)
    sets = []
    for cell, device in sorted(set(zip(pixels.cell.tolist(), pixels.device.tolist(), strict=True))):
        own = pixels.at((pixels.cell == cell) & (pixels.device == device))
        sets.append(
            MeasuredSet(
                cell,
                device,
                sectors[cells[cell]],
                own.row,
                own.column,
                own.x_m,
                own.y_m,
                own.rsrp_dbm,
                block_ids(own.x_m, own.y_m),
            )
        )
    return sets
