"""A place on Earth as the solvers see it: an area, its buildings, and the frame they lie in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.frame import Frame, utm_crs
from rfplatform.terrain import Terrain
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from pathlib import Path

    from shapely import Polygon

HeightSource = Literal["height", "levels", "neighbours", "default"]
"""Where a building's height comes from, the most trustworthy first."""

HEIGHT_SOURCES: tuple[HeightSource, ...] = ("height", "levels", "neighbours", "default")

GROUND_MARGIN_M = 50.0
"""How far the ground goes on beyond the area and the buildings."""


@dataclass(frozen=True)
class Area:
    """A box on Earth in WGS 84, longitude before latitude.

    Raises
    ------
    InputError
        If the box is empty, out of range or crosses the antimeridian.
    """

    name: str
    west_deg: float
    south_deg: float
    east_deg: float
    north_deg: float

    def __post_init__(self) -> None:
        box = f"{self.west_deg},{self.south_deg},{self.east_deg},{self.north_deg}"
        if not np.all(np.isfinite(self.bounds_deg)):
            raise InputError(f"area {box}: every bound must be a number (W,S,E,N in degrees)")
        if not (-180 <= self.west_deg <= 180 and -180 <= self.east_deg <= 180):
            raise InputError(f"area {box}: longitudes must lie in -180..180 (W,S,E,N)")
        if not (-80 <= self.south_deg <= 84 and -80 <= self.north_deg <= 84):
            raise InputError(
                f"area {box}: latitudes must lie in -80..84, where UTM is defined "
                "(W,S,E,N: longitude before latitude)"
            )
        if self.west_deg >= self.east_deg or self.south_deg >= self.north_deg:
            raise InputError(
                f"area {box}: west must be less than east and south less than north (W,S,E,N)"
            )

    @property
    def bounds_deg(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return self.west_deg, self.south_deg, self.east_deg, self.north_deg

    @property
    def center_deg(self) -> tuple[float, float]:
        """Longitude and latitude of the centre."""
        return (self.west_deg + self.east_deg) / 2, (self.south_deg + self.north_deg) / 2

    def contains(self, lon_deg: float, lat_deg: float) -> bool:
        """Whether a point lies in the box, its border included."""
        return (
            self.west_deg <= lon_deg <= self.east_deg
            and self.south_deg <= lat_deg <= self.north_deg
        )

    def frame(self) -> Frame:
        """The UTM frame around the box's centre, its origin rounded to whole metres."""
        from pyproj import Transformer

        crs = utm_crs(*self.center_deg)
        easting, northing = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(
            *self.center_deg
        )
        return Frame(crs, float(round(easting)), float(round(northing)))

    def bounds_m(self, frame: Frame) -> tuple[float, float, float, float]:
        """West, south, east, north of the box in local metres (of its 4 x 33 border points)."""
        t = np.linspace(0.0, 1.0, 33)
        lon = self.west_deg + t * (self.east_deg - self.west_deg)
        lat = self.south_deg + t * (self.north_deg - self.south_deg)
        x, y = frame.from_lonlat(
            np.concatenate([lon, lon, np.full_like(t, lon[0]), np.full_like(t, lon[-1])]),
            np.concatenate([np.full_like(t, lat[0]), np.full_like(t, lat[-1]), lat, lat]),
        )
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())


@dataclass(frozen=True)
class LocalArea:
    """A box in the local metres of a scene that lies nowhere on Earth.

    Raises
    ------
    InputError
        If the box is empty or has a bound that is no number.
    """

    name: str
    west_m: float
    south_m: float
    east_m: float
    north_m: float

    def __post_init__(self) -> None:
        bounds = (self.west_m, self.south_m, self.east_m, self.north_m)
        box = ",".join(f"{bound:g}" for bound in bounds)
        if not np.all(np.isfinite(bounds)):
            raise InputError(f"area {box}: every bound must be a number (W,S,E,N in local metres)")
        if self.west_m >= self.east_m or self.south_m >= self.north_m:
            raise InputError(
                f"area {box}: west must be less than east and south less than north "
                "(W,S,E,N in local metres)"
            )

    def contains_m(self, x_m: float, y_m: float) -> bool:
        """Whether a point lies in the box, its border included."""
        return self.west_m <= x_m <= self.east_m and self.south_m <= y_m <= self.north_m

    def bounds_m(self, frame: Frame) -> tuple[float, float, float, float]:  # noqa: ARG002
        """West, south, east, north; a frame is asked for as `Area.bounds_m` needs one."""
        return self.west_m, self.south_m, self.east_m, self.north_m


@dataclass(frozen=True, eq=False)
class Building:
    """A prism: a footprint extruded from its base to its top.

    Attributes
    ----------
    footprint : shapely.Polygon
        Valid, in local metres; its holes are courtyards.
    base_m, top_m : float
        Heights above `ground_m`; the base is above 0 for parts that hang (``min_height``).
    height_source : str
        One of `HEIGHT_SOURCES`.
    material : str
        An ITU-R P.2040 material of walls and roof ("concrete", "brick", ...).
    osm_id : str
        Where it came from: "way/123", "relation/45", or the row of a footprint file.
    ground_m : float
        The z that its heights are counted from: the lowest point of the terrain under it, or
        under the outline that it is a part of; 0 on flat ground.
    outline_id : str
        The `osm_id` of the outline that it is a part of; "" for a building of its own.
    """

    footprint: Polygon
    base_m: float
    top_m: float
    height_source: HeightSource
    material: str
    osm_id: str
    ground_m: float = 0.0
    outline_id: str = ""

    @property
    def base_z_m(self) -> float:
        """Where the prism begins, in the scene's z."""
        return self.ground_m + self.base_m

    @property
    def top_z_m(self) -> float:
        """Where the prism ends, in the scene's z."""
        return self.ground_m + self.top_m


@dataclass(frozen=True, eq=False)
class Solids:
    """What stands in a scene made elsewhere: its triangles in a file, and how high they reach.

    Attributes
    ----------
    xml : Path
        A Mitsuba scene that the ray tracer loads as it is: ground, terrain and buildings.
    west_m, south_m, resolution_m : float
        South-western corner and cell of the raster of heights.
    top_z_m : ndarray, [num_y, num_x], float32
        Where a ray straight down on a cell's centre first meets something that is not the
        ground, in the scene's z; NaN where it meets the ground alone. Row 0 is south.
    """

    xml: Path
    west_m: float
    south_m: float
    resolution_m: float
    top_z_m: npt.NDArray[np.float32]

    def top_m(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> FloatArray:
        """`top_z_m` of the cells that points lie in; NaN outside."""
        num_y, num_x = self.top_z_m.shape
        column = np.floor((np.asarray(x_m, dtype=float) - self.west_m) / self.resolution_m)
        row = np.floor((np.asarray(y_m, dtype=float) - self.south_m) / self.resolution_m)
        inside = (column >= 0) & (column < num_x) & (row >= 0) & (row < num_y)
        top = self.top_z_m[
            np.clip(row, 0, num_y - 1).astype(np.intp),
            np.clip(column, 0, num_x - 1).astype(np.intp),
        ]
        return np.where(inside, top, np.nan).astype(float)


@dataclass(frozen=True, eq=False)
class Scene:
    """Buildings on the ground, flat or not.

    Attributes
    ----------
    area : Area or LocalArea
        What was asked for. Buildings that its border cuts are kept whole. A `LocalArea` where
        the frame has no CRS.
    frame : Frame
        The local metres that everything is in.
    buildings : tuple of Building
    ground_material : str
        An ITU-R P.2040 material.
    attribution : str
        What every picture and file made from this scene must carry.
    counts : mapping of str to int
        What happened on the way here: footprints repaired, skipped, split ...
    terrain : Terrain, optional
        The ground; without it, it is flat and at z = 0.
    solids : Solids, optional
        What stands there where the scene was made elsewhere; `buildings` is empty then.
    """

    area: Area | LocalArea
    frame: Frame
    buildings: tuple[Building, ...]
    ground_material: str = "medium_dry_ground"
    attribution: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    terrain: Terrain | None = None
    solids: Solids | None = None

    def ground_m(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> FloatArray:
        """Height of the ground at points in local metres, in the scene's z."""
        if self.terrain is not None:
            return self.terrain.height_m(x_m, y_m)
        return np.zeros(np.broadcast_shapes(np.shape(x_m), np.shape(y_m)))

    def ground_bounds_m(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the ground under the area and every building, with a margin.

        Local metres.
        """
        west, south, east, north = self.area.bounds_m(self.frame)
        for b in self.buildings:
            low_x, low_y, high_x, high_y = b.footprint.bounds
            west, south = min(west, low_x), min(south, low_y)
            east, north = max(east, high_x), max(north, high_y)
        m = GROUND_MARGIN_M
        return west - m, south - m, east + m, north + m

    def height_sources(self) -> dict[str, int]:
        """How many buildings took their height from each source, zeros included."""
        found = Counter(b.height_source for b in self.buildings)
        return {source: found[source] for source in HEIGHT_SOURCES}
