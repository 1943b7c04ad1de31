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
    (which would open a seam to the wall), by GEOS's constrained Delaunay triangulation.

    Raises
    ------
    InputError
        If a footprint can't be triangulated; it names the building.
    """
    polygons = np.array([b.footprint for b in buildings], dtype=object)
    # Exterior rings are walked counter-clockwise, holes clockwise: outside is on the right.
    rings, ring_polygon = shapely.get_rings(shapely.orient_polygons(polygons), return_index=True)
    xy, point_ring = shapely.get_coordinates(rings, return_index=True)
    # The last point of a ring repeats its first.
    last = np.append(np.flatnonzero(np.diff(point_ring)), len(xy) - 1) if len(xy) else []
    open_points = np.ones(len(xy), dtype=bool)
    open_points[last] = False
    xy, point_ring = xy[open_points], point_ring[open_points]
    num_points = len(xy)
    ring_size = np.bincount(point_ring, minlength=len(rings))
    ring_start = np.cumsum(ring_size) - ring_size

    here = np.arange(num_points, dtype=np.int32)
    following = here + 1
    following[ring_start + ring_size - 1] = ring_start

    point_building = ring_polygon[point_ring] if num_points else np.zeros(0, dtype=np.intp)
    base = np.array([b.base_m for b in buildings], dtype=np.float32)
    top = np.array([b.top_m for b in buildings], dtype=np.float32)
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
        found = mapbox_earcut.triangulate_float64(
            points - points[0], np.cumsum(sizes).astype(np.uint32)
        ).reshape(-1, 3)
        # Every triangulation that uses all the points of a polygon has n + 2 h - 2 triangles.
        if len(found) != len(points) + 2 * (len(sizes) - 1) - 2:
            found = _constrained_delaunay(buildings[building], points)
        triangles.append(found.astype(np.int32) + np.int32(start))
    if not triangles:
        return np.zeros((0, 3), dtype=np.int32), np.zeros(0, dtype=np.int32)
    owner = np.repeat(np.arange(len(triangles), dtype=np.int32), [len(t) for t in triangles])
    flat = np.concatenate(triangles)
    a, b, c = xy[flat[:, 0]], xy[flat[:, 1]], xy[flat[:, 2]]
    clockwise = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) < (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    flat[clockwise] = flat[clockwise][:, ::-1]
    return flat, owner


def _rings_of_buildings(
    ring_polygon: npt.NDArray[np.intp],
    ring_start: npt.NDArray[np.intp],
    ring_size: npt.NDArray[np.intp],
) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]:
    """Each building with its first point and the sizes of its rings; rings lie in order."""
    first = np.flatnonzero(np.diff(ring_polygon, prepend=-1))
    end = np.append(first[1:], len(ring_polygon))
    for building, (low, high) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        yield building, int(ring_start[low]), ring_size[low:high]


def _constrained_delaunay(building: Building, points: npt.NDArray[np.float64]) -> IntArray:
    corners = shapely.get_coordinates(
        shapely.get_exterior_ring(
            shapely.get_parts(shapely.constrained_delaunay_triangles(building.footprint))
        )
    ).reshape(-1, 4, 2)[:, :3]
    index = {tuple(p): i for i, p in enumerate(points.tolist())}
    try:
        return np.array([[index[tuple(p)] for p in t] for t in corners.tolist()], dtype=np.int32)
    except KeyError as error:
        raise InputError(
            f"building {building.osm_id}: its footprint can't be triangulated; "
            "repair it, or leave it out"
        ) from error
