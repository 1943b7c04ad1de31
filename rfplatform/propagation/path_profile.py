"""The way from an antenna to a receiver, cut upright along its straight line, for people to see."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.units import FloatArray, wavelength_m

if TYPE_CHECKING:
    from rfplatform.radiomap import Sector
    from rfplatform.scene import Scene

NEAREST_EDGE_M = 1.0
"""Edges nearer to either end have no clearance: there the Fresnel zone has no width."""

FINEST_STEP_M = 0.25
"""Ground and rasters of heights are looked at half a cell apart, and never finer than this."""

_DECIMALS = 3


@dataclass(frozen=True, eq=False)
class PathProfile:
    """What lies between an antenna and a receiver.

    Attributes
    ----------
    distance_m : ndarray, [num_points]
        Along the ground, from 0 below the antenna to the receiver.
    ground_m : ndarray, [num_points]
        z of the ground.
    top_m : ndarray, [num_points]
        z of the highest building from this point to the next; of the ground where there is none.
    line_m : ndarray, [num_points]
        z of the straight line from the antenna to the receiver.
    fresnel_m : ndarray, [num_points]
        Radius of the first Fresnel zone: sqrt(lambda d1 d2 / (d1 + d2)), ITU-R P.526-15,
        Annex 1, Eq. 2.
    is_los : bool
        Whether the line meets neither ground nor buildings.
    num_buildings : int
        That the line passes over, through or below; parts count as the building that they are of.
    obstruction : float or None
        The largest height of an edge above the line, in Fresnel radii there; negative: the line
        is clear of everything by as much, and from -0.6 down it is as good as in free space.
        The parameter nu of ITU-R P.526-15, Section 4.1, is sqrt(2) times this. None: the ends
        are too close for any edge between them.
    antenna_height_m, receiver_height_m : float
        Above the ground under each.
    azimuth_deg : float
        From the antenna to the receiver, clockwise from grid north.
    elevation_deg : float
        From the antenna to the receiver, negative below the horizon.
    """

    distance_m: FloatArray
    ground_m: FloatArray
    top_m: FloatArray
    line_m: FloatArray
    fresnel_m: FloatArray
    is_los: bool
    num_buildings: int
    obstruction: float | None
    antenna_height_m: float
    receiver_height_m: float
    azimuth_deg: float
    elevation_deg: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values under the attributes' names, in millimetres and thousandths."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class _Line:
    """The straight line over the ground from the antenna (0) to the receiver (`length_m`)."""

    x_m: float
    y_m: float
    to_x_m: float
    to_y_m: float
    z_m: float
    to_z_m: float
    length_m: float
    wavelength_m: float

    def at(self, distance_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Places of points in local metres."""
        share = distance_m / self.length_m
        return (
            self.x_m + share * (self.to_x_m - self.x_m),
            self.y_m + share * (self.to_y_m - self.y_m),
        )

    def height_m(self, distance_m: FloatArray) -> FloatArray:
        return self.z_m + distance_m / self.length_m * (self.to_z_m - self.z_m)

    def fresnel_m(self, distance_m: FloatArray) -> FloatArray:
        share = distance_m / self.length_m
        slant_m = math.hypot(self.length_m, self.to_z_m - self.z_m)
        between = np.maximum(share * (1.0 - share), 0.0)
        return np.asarray(np.sqrt(self.wavelength_m * slant_m * between))

    def fine_m(self, step_m: float) -> FloatArray:
        """Distances of points at most a step apart, both ends included."""
        return np.linspace(0.0, self.length_m, 1 + math.ceil(self.length_m / step_m))


@dataclass(frozen=True, eq=False)
class _Obstacles:
    """Stretches of the way over which something stands: from where to where, and its z."""

    start_m: FloatArray
    end_m: FloatArray
    base_m: FloatArray
    top_m: FloatArray
    num_buildings: int


def path_profile(
    scene: Scene,
    sector: Sector,
    x_m: float,
    y_m: float,
    receiver_height_m: float,
    num_points: int = 256,
) -> PathProfile:
    """Cut a scene along the straight line from a sector's antenna to a receiver.

    Prisms are met exactly where their footprints are (on flat ground that is what
    `rfplatform.propagation.visibility.line_of_sight` says; on slopes, that goes by a raster and
    may miss a corner). Ground with slopes and what stands in a scene made elsewhere are looked at
    every half cell of their rasters.

    Parameters
    ----------
    scene : Scene
    sector : Sector
    x_m, y_m : float
        The receiver in the scene's local metres.
    receiver_height_m : float
        Above the ground there.
    num_points : int
        Of the arrays, 2 or more.

    Raises
    ------
    InputError
        If the receiver is less than a metre away from below the antenna.
    """
    line = _line(scene, sector, x_m, y_m, receiver_height_m)
    obstacles = _of_buildings(scene, line) if scene.solids is None else _of_solids(scene, line)
    distance_m = np.linspace(0.0, line.length_m, num_points)
    ground_m = scene.ground_m(*line.at(distance_m))
    edge_m, above_m = _edges(scene, line, obstacles)
    between = (edge_m >= NEAREST_EDGE_M) & (edge_m <= line.length_m - NEAREST_EDGE_M)
    ratio = above_m[between] / line.fresnel_m(edge_m[between])
    return PathProfile(
        distance_m,
        ground_m,
        np.maximum(ground_m, _tops(obstacles, line.length_m, num_points)),
        line.height_m(distance_m),
        line.fresnel_m(distance_m),
        not bool(_is_blocked(line, obstacles) or _is_underground(scene, line)),
        obstacles.num_buildings,
        float(ratio.max()) if ratio.size else None,
        sector.z_m - float(ground_m[0]),
        receiver_height_m,
        math.degrees(math.atan2(x_m - sector.x_m, y_m - sector.y_m)) % 360.0,
        math.degrees(math.atan2(line.to_z_m - line.z_m, line.length_m)),
    )


def _line(scene: Scene, sector: Sector, x_m: float, y_m: float, receiver_height_m: float) -> _Line:
    length_m = math.hypot(x_m - sector.x_m, y_m - sector.y_m)
    if length_m < NEAREST_EDGE_M:
        raise InputError(
            f"the receiver is below the antenna of {sector.label}: choose a point "
            f"{NEAREST_EDGE_M:g} m or more away from it"
        )
    to_z_m = float(scene.ground_m(x_m, y_m)) + receiver_height_m
    wavelength = wavelength_m(sector.frequency_hz)
    return _Line(sector.x_m, sector.y_m, x_m, y_m, sector.z_m, to_z_m, length_m, wavelength)


def _of_buildings(scene: Scene, line: _Line) -> _Obstacles:
    """Where the line enters and leaves each footprint, courtyards and all."""
    import shapely

    buildings = scene.buildings
    footprints = np.array([b.footprint for b in buildings], dtype=object)
    drawn = shapely.LineString([(line.x_m, line.y_m), (line.to_x_m, line.to_y_m)])
    shapely.prepare(drawn)
    met = np.flatnonzero(shapely.intersects(drawn, footprints))
    pieces, of = shapely.get_parts(shapely.intersection(footprints[met], drawn), return_index=True)
    # A touched corner is a point, and stands in nobody's way.
    long = (shapely.get_dimensions(pieces) == 1) & ~shapely.is_empty(pieces)
    pieces, of = pieces[long], met[of[long]]
    ends = [shapely.line_locate_point(drawn, shapely.get_point(pieces, i)) for i in (0, -1)]
    crossed = [buildings[i] for i in of]
    return _Obstacles(
        np.minimum(*ends),
        np.maximum(*ends),
        # What stands on the ground goes on below it.
        np.array([b.base_z_m if b.base_m > 0.0 else -np.inf for b in crossed], dtype=float),
        np.array([b.top_z_m for b in crossed], dtype=float),
        len({b.outline_id or b.osm_id for b in crossed}),
    )


def _of_solids(scene: Scene, line: _Line) -> _Obstacles:
    """The raster of tops, half a cell after half a cell; one building is a run of them."""
    assert scene.solids is not None
    cell_m = scene.solids.resolution_m
    bound_m = line.fine_m(max(cell_m / 2.0, FINEST_STEP_M))
    middle_m = (bound_m[:-1] + bound_m[1:]) / 2.0
    top_m = scene.solids.top_m(*line.at(middle_m))
    stands = ~np.isnan(top_m)
    runs = np.flatnonzero(stands & ~np.concatenate([[False], stands[:-1]]))
    # The wall or roof that carries an antenna fills its cell: it does not hide what it carries.
    stands &= middle_m > cell_m
    start_m, end_m = bound_m[:-1][stands], bound_m[1:][stands]
    hanging = np.full(len(start_m), -np.inf)
    return _Obstacles(start_m, end_m, hanging, top_m[stands], len(runs))


def _is_blocked(line: _Line, obstacles: _Obstacles) -> bool:
    enters_m, leaves_m = line.height_m(obstacles.start_m), line.height_m(obstacles.end_m)
    below_top = np.minimum(enters_m, leaves_m) < obstacles.top_m
    above_base = np.maximum(enters_m, leaves_m) > obstacles.base_m
    return bool((below_top & above_base).any())


def _is_underground(scene: Scene, line: _Line) -> bool:
    fine_m, ground_m = _ground(scene, line)
    return bool((ground_m > line.height_m(fine_m)).any())


def _edges(scene: Scene, line: _Line, obstacles: _Obstacles) -> tuple[FloatArray, FloatArray]:
    """Distances at which ground and obstacles begin and end, and their heights above the line."""
    fine_m, ground_m = _ground(scene, line)
    edge_m = np.concatenate([obstacles.start_m, obstacles.end_m])
    line_m = line.height_m(edge_m)
    # A line below what hangs is clear of it by the distance to its base.
    base_m, top_m = np.tile(obstacles.base_m, 2), np.tile(obstacles.top_m, 2)
    above_m = np.minimum(top_m - line_m, line_m - base_m)
    return (
        np.concatenate([fine_m, edge_m]),
        np.concatenate([ground_m - line.height_m(fine_m), above_m]),
    )


def _ground(scene: Scene, line: _Line) -> tuple[FloatArray, FloatArray]:
    step_m = 1.0 if scene.terrain is None else scene.terrain.resolution_m / 2.0
    fine_m = line.fine_m(max(step_m, FINEST_STEP_M))
    return fine_m, scene.ground_m(*line.at(fine_m))


def _tops(obstacles: _Obstacles, length_m: float, num_points: int) -> FloatArray:
    """Highest top from every point to the next; nothing between two points is lost."""
    step_m = length_m / (num_points - 1)
    # A billionth of slack: by rounding, a wall at a point must not begin before it.
    first = np.floor(obstacles.start_m / step_m + 1e-9).astype(np.intp)
    after = np.ceil(obstacles.end_m / step_m - 1e-9).astype(np.intp)
    after = np.maximum(after, first + 1)
    tops = np.full(num_points, -np.inf)
    for begin, end, top_m in zip(first, after, obstacles.top_m, strict=True):
        tops[begin:end] = np.maximum(tops[begin:end], top_m)
    return tops


def _plain(value: npt.NDArray[Any] | float | None) -> list[float] | float | None:
    if isinstance(value, np.ndarray):
        # Adding zero turns -0 into 0.
        rounded: list[float] = (np.round(value, _DECIMALS) + 0.0).tolist()
        return rounded
    return round(value, _DECIMALS) if isinstance(value, float) else value
