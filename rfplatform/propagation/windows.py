"""Windows of towns for networks to learn on: where they lie, and the sectors that light them.

Everything is drawn from a seed, the town's name and the window's number alone, so that a data set
can be made again, and on any number of machines, from the extracts and the seed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rfplatform.errors import InputError
from rfplatform.frame import LOCAL
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import height_raster, outdoor_mask
from rfplatform.scene import Building, LocalArea, Scene

if TYPE_CHECKING:
    from shapely import STRtree

CELLS = 128
"""Cells of a window along each side, as in Geo2SigMap."""

MARGIN_M = 128.0
"""Of buildings around a window that take part in the tracing."""

SECTOR_REACH_M = 384.0
"""Masts stand within so much of a window's centre along each axis, so that a network also meets
windows that are lit from outside, as those of a larger map are."""

CARRIERS_HZ = (0.8e9, 1.8e9, 2.6e9, 3.5e9, 3.66e9, 4.9e9)
HEIGHT_SPREAD = 0.45
"""Of the logarithm of heights that OpenStreetMap doesn't tell, within a window."""

TRIES = 200
"""Centres that are drawn before a town counts as having no window of the share asked for."""


@dataclass(frozen=True)
class WindowConfig:
    """What windows are like.

    Attributes
    ----------
    resolution_m : float
        Edge of a cell; a window has `CELLS` x `CELLS`.
    receiver_height_m : float
        Above ground.
    least_share, most_share : float
        Of a window's area under buildings.
    masts : int
        Places that antennas stand at in a window, each with an isotropic antenna or two sectors.
    isotropic_share, roof_share : float
        Of the masts with an isotropic antenna, and of those on a roof.
    """

    resolution_m: float = 4.0
    receiver_height_m: float = 1.5
    least_share: float = 0.06
    most_share: float = 0.7
    masts: int = 3
    isotropic_share: float = 0.3
    roof_share: float = 0.65

    def __post_init__(self) -> None:
        if not 0 <= self.least_share < self.most_share <= 1:
            raise InputError(
                f"building share {self.least_share:g} to {self.most_share:g}: must ascend in 0..1"
            )
        if self.masts < 1:
            raise InputError(f"masts {self.masts}: must be 1 or more")

    @property
    def size_m(self) -> float:
        """Edge of a window."""
        return CELLS * self.resolution_m

    def grid(self) -> Grid:
        """A window's cells, in its own local metres with the centre at (0, 0)."""
        half = self.size_m / 2
        return Grid(LOCAL, -half, -half, self.resolution_m, CELLS, CELLS, self.receiver_height_m)

    def surroundings(self) -> Grid:
        """Cells of a window and of everything around it that an antenna can stand in."""
        cells = CELLS + 2 * int(np.ceil(MARGIN_M / self.resolution_m))
        half = cells * self.resolution_m / 2
        return replace(self.grid(), west_m=-half, south_m=-half, num_x=cells, num_y=cells)


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a town, turned and moved so that its centre is (0, 0), with its sectors.

    Attributes
    ----------
    town : str
    number : int
    center_m : tuple of float
        In the town's local metres.
    turned_deg : float
        Counter-clockwise.
    building_share : float
    scene : Scene
        In local metres without a CRS.
    sectors : tuple of Sector
    """

    town: str
    number: int
    center_m: tuple[float, float]
    turned_deg: float
    building_share: float
    scene: Scene
    sectors: tuple[Sector, ...]


@dataclass(frozen=True, eq=False)
class Town:
    """A scene to draw windows from; made once, for its index.

    Attributes
    ----------
    name : str
    scene : Scene
        On flat ground.
    """

    name: str
    scene: Scene
    index: STRtree

    @classmethod
    def of(cls, name: str, scene: Scene) -> Town:
        """Index a scene.

        Raises
        ------
        InputError
            If it has no buildings.
        """
        from shapely import STRtree

        if not scene.buildings:
            raise InputError(f"{name}: has no buildings to learn from")
        return cls(name, scene, STRtree([b.footprint for b in scene.buildings]))

    def window(self, number: int, config: WindowConfig, seed: int) -> Window:
        """Draw a window.

        Parameters
        ----------
        number : int
            Of the window; another number is another window.
        config : WindowConfig
        seed : int

        Raises
        ------
        InputError
            If none of many random places has a share of buildings within the bounds.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode()), number])
        grid = config.grid()
        centers = np.array([(b.centroid.x, b.centroid.y) for b in self.index.geometries])
        share = 0.0
        for _ in range(TRIES):
            # Beside a building: towns are small, and their extracts' boxes hold much nothing.
            x, y = centers[rng.integers(len(centers))] + rng.uniform(-128.0, 128.0, 2)
            turned_deg = float(rng.uniform(0.0, 360.0))
            scene = self._around((x, y), turned_deg, config, rng)
            share = float(np.mean(height_raster(scene, grid) > 0.0))
            if config.least_share <= share <= config.most_share:
                sectors = tuple(_sectors(scene, config, rng))
                return Window(
                    self.name, number, (float(x), float(y)), turned_deg, share, scene, sectors
                )
        raise InputError(
            f"{self.name}: none of {TRIES} places has {config.least_share:.0%} to "
            f"{config.most_share:.0%} of its area under buildings (the last had {share:.0%})"
        )

    def _around(
        self,
        center_m: tuple[float, float],
        turned_deg: float,
        config: WindowConfig,
        rng: np.random.Generator,
    ) -> Scene:
        """The buildings around a place, turned and moved."""
        from shapely import box
        from shapely.affinity import rotate, translate

        x, y = center_m
        half = config.size_m / 2 + MARGIN_M
        reach = half * np.sqrt(2.0)
        found = np.sort(self.index.query(box(x - reach, y - reach, x + reach, y + reach)))
        extent = box(-half, -half, half, half)
        typical_m = float(np.exp(rng.uniform(np.log(6.0), np.log(24.0))))
        buildings: list[Building] = []
        for i in found:
            old = self.scene.buildings[i]
            moved = translate(rotate(old.footprint, turned_deg, origin=(x, y)), -x, -y)
            factor = float(np.exp(rng.normal(0.0, HEIGHT_SPREAD)))
            if not moved.intersects(extent):
                continue
            top_m = old.top_m
            if old.height_source in ("default", "neighbours"):
                # Nothing is known of it; one height for all would teach that roofs are level.
                top_m = max(typical_m * factor, old.base_m + 2.5)
            buildings.append(replace(old, footprint=moved, top_m=top_m))
        area = LocalArea(f"{self.name} window", -half, -half, half, half)
        return Scene(area, LOCAL, tuple(buildings), self.scene.ground_material)


def _sectors(scene: Scene, config: WindowConfig, rng: np.random.Generator) -> Sequence[Sector]:
    sectors: list[Sector] = []
    for mast in range(config.masts):
        x, y, z = _mast(scene, config, rng)
        frequency_hz = float(rng.choice(CARRIERS_HZ))
        place = Sector(f"mast{mast + 1}", "1", x, y, z, frequency_hz=frequency_hz)
        if rng.random() < config.isotropic_share:
            sectors.append(place)
            continue
        first_deg = float(rng.uniform(0.0, 360.0))
        for name, azimuth_deg in (("1", first_deg), ("2", first_deg + rng.uniform(90.0, 270.0))):
            sectors.append(
                replace(
                    place,
                    name=name,
                    azimuth_deg=float(azimuth_deg % 360.0),
                    downtilt_deg=float(rng.uniform(0.0, 12.0)),
                    antenna="tr38901",
                )
            )
    return sectors


def _mast(
    scene: Scene, config: WindowConfig, rng: np.random.Generator
) -> tuple[float, float, float]:
    """An antenna above a roof, or outdoors above the ground."""
    reach = min(SECTOR_REACH_M, config.size_m / 2 + MARGIN_M - 1.0)
    if rng.random() < config.roof_share:
        inside = [
            b
            for b in scene.buildings
            if max(map(abs, b.footprint.representative_point().coords[0])) < reach
        ]
        if inside:
            areas = np.array([b.footprint.area for b in inside])
            chosen = inside[rng.choice(len(inside), p=areas / areas.sum())]
            point = chosen.footprint.representative_point()
            top_m = max(b.top_m for b in scene.buildings if b.footprint.contains(point))
            return float(point.x), float(point.y), top_m + float(rng.uniform(2.0, 6.0))
    around = config.surroundings()
    free = np.argwhere(outdoor_mask(scene, around))
    row, column = free[rng.integers(len(free))]
    height_m = float(np.exp(rng.uniform(np.log(8.0), np.log(45.0))))
    return float(around.x_m()[column]), float(around.y_m()[row]), height_m
