"""The buildings of a scene as triangles: watertight prisms, built in numpy over all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import mapbox_earcut
import numpy as np
import numpy.typing as npt
import shapely

from rfplatform.errors import InputError

if TYPE_CHECKING:
    from rfplatform.scene import Building

IntArray = npt.NDArray[np.int32]

MIN_WIDTH_M = 1e-4
"""Triangles narrower than this may lose their area, or turn over, in float32."""


class Surface(IntEnum):
    """What a triangle is a piece of."""

    WALL = 0
    ROOF = 1
    FLOOR = 2


@dataclass(frozen=True, eq=False)
class PrismMesh:
    """Triangles of many prisms; each prism is a closed manifold with outward normals.

    Attributes
    ----------
    vertices_m : ndarray, [num_vertices, 3], float32
        Local east, north, up. Walls, roof and floor of one building share their vertices; two
        buildings never do.
    faces : ndarray, [num_faces, 3], int32
        Counter-clockwise seen from outside.
    surface : ndarray, [num_faces], int8
        A `Surface` for each face.
    building : ndarray, [num_faces], int32
        Index of the building that each face belongs to.
    """

    vertices_m: npt.NDArray[np.float32]
    faces: IntArray
    surface: npt.NDArray[np.int8]
    building: IntArray

    def subset(self, keep: npt.NDArray[np.bool_]) -> PrismMesh:
        """The faces that are kept, with the vertices that they use, renumbered."""
        used, faces = np.unique(self.faces[keep], return_inverse=True)
        return PrismMesh(
            self.vertices_m[used],
            faces.reshape(-1, 3).astype(np.int32),
            self.surface[keep],
            self.building[keep],
        )


def prism_mesh(buildings: Sequence[Building]) -> PrismMesh:
    """Extrude footprints from base to top.

    Roofs and floors are triangulated by mapbox_earcut; where it leaves out a collinear vertex
    (which would open a seam to the wall) or makes a triangle without width, by GEOS's constrained
    Delaunay triangulation.

    Raises
    ------
    InputError
        If a footprint can't be triangulated, as where two of its rings touch; it names the
        building.
    """
    polygons = np.array([b.footprint for b in buildings], dtype=object)
    # Exterior rings are walked counter-clockwise, holes clockwise: outside is on the right.
    rings, ring_polygon = shapely.get_rings(shapely.orient_polygons(polygons), return_index=True)
    xy, point_ring = shapely.get_coordinates(rings, return_index=True)
    # The last point of a ring repeats its first.
    open_points = np.diff(point_ring, append=-1) == 0
    xy, point_ring = xy[open_points], point_ring[open_points]
    num_points = len(xy)
    ring_size = np.bincount(point_ring, minlength=len(rings))
    ring_start = np.cumsum(ring_size) - ring_size

    here = np.arange(num_points, dtype=np.int32)
    following = here + 1
    following[ring_start + ring_size - 1] = ring_start

    point_building = ring_polygon[point_ring] if num_points else np.zeros(0, dtype=np.intp)
    base = np.array([b.base_z_m for b in buildings], dtype=np.float32)
    top = np.array([b.top_z_m for b in buildings], dtype=np.float32)
    # Vertices: first every point at its base, then every point at its top.
    vertices = np.empty((2 * num_points, 3), dtype=np.float32)
    vertices[:num_points, :2] = vertices[num_points:, :2] = xy
    vertices[:num_points, 2] = base[point_building]
    vertices[num_points:, 2] = top[point_building]

    up = np.int32(num_points)
    walls = np.concatenate(
        [
            np.stack([here, following, following + up], axis=1),
            np.stack([here, following + up, here + up], axis=1),
        ]
    )
    wall_building = np.tile(point_building, 2)
    flat, flat_building = _triangulate(buildings, xy, ring_polygon, ring_start, ring_size)
    return PrismMesh(
        vertices,
        np.concatenate([walls, flat + up, flat[:, ::-1]]).astype(np.int32),
        np.repeat(
            np.array([Surface.WALL, Surface.ROOF, Surface.FLOOR], dtype=np.int8),
            [len(walls), len(flat), len(flat)],
        ),
        np.concatenate([wall_building, flat_building, flat_building]).astype(np.int32),
    )


def _triangulate(
    buildings: Sequence[Building],
    xy: npt.NDArray[np.float64],
    ring_polygon: npt.NDArray[np.intp],
    ring_start: npt.NDArray[np.intp],
    ring_size: npt.NDArray[np.intp],
) -> tuple[IntArray, IntArray]:
    """Counter-clockwise triangles over the points of every footprint, and whose they are."""
    triangles: list[IntArray] = []
    for building, start, sizes in _rings_of_buildings(ring_polygon, ring_start, ring_size):
        points = np.ascontiguousarray(xy[start : start + sizes.sum()])
        # Near the origin for the sake of exact orientation tests.
        found: IntArray = (
            mapbox_earcut.triangulate_float64(
                points - points[0], np.cumsum(sizes).astype(np.uint32)
            )
            .reshape(-1, 3)
            .astype(np.int32)
        )
        if len(found) != _num_triangles(sizes):
            found = _constrained_delaunay(buildings[building], points, sizes)
        triangles.append(found + np.int32(start))
    if not triangles:
        return np.zeros((0, 3), dtype=np.int32), np.zeros(0, dtype=np.int32)
    owner = np.repeat(np.arange(len(triangles), dtype=np.int32), [len(t) for t in triangles])
    flat = np.concatenate(triangles)
    # Corners that lie in line without being neighbours: another cut has no such triangle.
    for building in np.unique(owner[_width_m(xy, flat) < MIN_WIDTH_M]).tolist():
        low, high = np.searchsorted(ring_polygon, [building, building + 1])
        start, sizes = int(ring_start[low]), ring_size[low:high]
        points = xy[start : start + sizes.sum()]
        low, high = np.searchsorted(owner, [building, building + 1])
        flat[low:high] = start + _constrained_delaunay(buildings[building], points, sizes)
    clockwise = _doubled_area_m2(xy, flat) < 0
    flat[clockwise] = flat[clockwise][:, ::-1]
    return flat, owner


def _num_triangles(ring_sizes: npt.NDArray[np.intp]) -> int:
    """Triangles of any triangulation that uses every point of a polygon: n + 2 h - 2."""
    return int(ring_sizes.sum()) + 2 * (len(ring_sizes) - 1) - 2


def _doubled_area_m2(xy: npt.NDArray[np.float64], faces: IntArray) -> npt.NDArray[np.float64]:
    """Twice the signed area; negative where the corners run clockwise."""
    a, b, c = xy[faces[:, 0]], xy[faces[:, 1]], xy[faces[:, 2]]
    left = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1])
    return np.asarray(left - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def _width_m(xy: npt.NDArray[np.float64], faces: IntArray) -> npt.NDArray[np.float64]:
    """The least height of each triangle."""
    sides = xy[faces] - xy[np.roll(faces, 1, axis=1)]
    longest = np.sqrt((sides**2).sum(axis=2).max(axis=1))
    return np.asarray(np.abs(_doubled_area_m2(xy, faces)) / longest)


def _rings_of_buildings(
    ring_polygon: npt.NDArray[np.intp],
    ring_start: npt.NDArray[np.intp],
    ring_size: npt.NDArray[np.intp],
) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]:
    """Each building with its first point and the sizes of its rings; rings lie in order."""
    first = np.flatnonzero(np.diff(ring_polygon, prepend=-1))
    end = np.append(first, len(ring_polygon))[1:]
    for building, (low, high) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        yield building, int(ring_start[low]), ring_size[low:high]


def _constrained_delaunay(
    building: Building, points: npt.NDArray[np.float64], ring_sizes: npt.NDArray[np.intp]
) -> IntArray:
    corners = shapely.get_coordinates(
        shapely.get_exterior_ring(
            shapely.get_parts(shapely.constrained_delaunay_triangles(building.footprint))
        )
    ).reshape(-1, 4, 2)[:, :3]
    index = {tuple(p): i for i, p in enumerate(points.tolist())}
    try:
        found = np.array([[index[tuple(p)] for p in t] for t in corners.tolist()], dtype=np.int32)
    except KeyError:  # a corner that is no point of the footprint
        found = np.zeros((0, 3), dtype=np.int32)
    # Rings that touch share a point, and with it the edges above it: no closed manifold.
    if len(found) != _num_triangles(ring_sizes):
        raise InputError(
            f"building {building.osm_id}: its footprint can't be triangulated (its rings touch, "
            "or a point is repeated); repair it, or leave it out"
        )
    return found
