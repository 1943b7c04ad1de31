"""The ground as triangles over a regular grid of heights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray


@dataclass(frozen=True, eq=False)
class Terrain:
    """Heights at the nodes of a regular grid; between them, the planes of two triangles a square.

    Every square is cut along its diagonal from south-west to north-east. `height_m` and `mesh`
    describe the same surface.

    Attributes
    ----------
    west_m, south_m : float
        The south-western node in local metres.
    resolution_m : float
        Distance between nodes.
    heights_m : ndarray, [num_y, num_x], float32
        Height of every node above the elevation model's datum: the scene's z. Row 0 is south.
    max_error_m : float
        The largest vertical distance found between this surface and the elevation model that it
        was made from.
    num_voids : int
        Samples of the elevation model that had no value and were filled from their neighbours.
    source : str
        Where the heights come from: a file's name.
    """

    west_m: float
    south_m: float
    resolution_m: float
    heights_m: npt.NDArray[np.float32]
    max_error_m: float = 0.0
    num_voids: int = 0
    source: str = ""

    @property
    def east_m(self) -> float:
        """The last column of nodes."""
        return float(self.west_m + (self.heights_m.shape[1] - 1) * self.resolution_m)

    @property
    def north_m(self) -> float:
        """The last row of nodes."""
        return float(self.south_m + (self.heights_m.shape[0] - 1) * self.resolution_m)

    def height_m(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> FloatArray:
        """Height of the ground at points in local metres, broadcast against each other.

        Beyond the border the ground goes on level from the border.
        """
        num_y, num_x = self.heights_m.shape
        u = (np.asarray(x_m, dtype=float) - self.west_m) / self.resolution_m
        v = (np.asarray(y_m, dtype=float) - self.south_m) / self.resolution_m
        u, v = np.clip(u, 0.0, num_x - 1.0), np.clip(v, 0.0, num_y - 1.0)
        column = np.minimum(u.astype(np.intp), max(num_x - 2, 0))
        row = np.minimum(v.astype(np.intp), max(num_y - 2, 0))
        u, v = u - column, v - row
        flat = np.ascontiguousarray(self.heights_m).ravel()
        here = row * num_x + column
        right, up = (1 if num_x > 1 else 0), (num_x if num_y > 1 else 0)
        south_west, north_east = flat[here], flat[here + right + up]
        # In the lower triangle the way to the north-eastern corner leads over the south-eastern.
        corner = np.where(u >= v, flat[here + right], flat[here + up])
        first, second = np.maximum(u, v), np.minimum(u, v)
        return np.asarray(
            south_west + first * (corner - south_west) + second * (north_east - corner), dtype=float
        )

    def mesh(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Vertices [num_nodes, 3] and faces [num_faces, 3], counter-clockwise seen from above."""
        num_y, num_x = self.heights_m.shape
        x = self.west_m + np.arange(num_x) * self.resolution_m
        y = self.south_m + np.arange(num_y) * self.resolution_m
        xx, yy = np.meshgrid(x, y)
        vertices = np.stack([xx, yy, self.heights_m], axis=-1).reshape(-1, 3).astype(np.float32)
        return vertices, grid_faces(num_y, num_x)


def grid_faces(num_y: int, num_x: int) -> npt.NDArray[np.int32]:
    """Two triangles a square over [num_y, num_x] nodes; squares in order, row by row.

    Triangles 2 i and 2 i + 1 are those of square i, cut from its south-western to its
    north-eastern node; counter-clockwise where rows go north and columns east.
    """
    node = np.arange(num_y * num_x, dtype=np.int32).reshape(num_y, num_x)
    south_west, south_east = node[:-1, :-1].ravel(), node[:-1, 1:].ravel()
    north_west, north_east = node[1:, :-1].ravel(), node[1:, 1:].ravel()
    lower = np.stack([south_west, south_east, north_east], axis=1)
    upper = np.stack([south_west, north_east, north_west], axis=1)
    return np.stack([lower, upper], axis=1).reshape(-1, 3)


def welded_at_ridges(
    vertices_m: npt.NDArray[np.float32], faces: npt.NDArray[np.int32], least_fold_deg: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """The same triangles, joined only along edges that fold away by an angle or more.

    A ray tracer diffracts at every edge that two triangles share, and spreads its samples over all
    of them by length: of the thousands of edges of a hillside, nearly all are no ridge.

    Parameters
    ----------
    vertices_m : ndarray, [num_vertices, 3]
    faces : ndarray, [num_faces, 3]
        Counter-clockwise seen from above, each inner edge shared by two.
    least_fold_deg : float
        By how much the surface must fold downwards over an edge for it to stay one.

    Returns
    -------
    tuple of ndarray
        Vertices and faces, as many faces and in the same order.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    corners = vertices_m[faces].astype(float)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    # Half-edge k of face f runs from its corner k to its corner k + 1; its twin runs back.
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    num_vertices = np.int64(len(vertices_m))
    key, back = start * num_vertices + end, end * num_vertices + start
    order = np.argsort(key)
    place = np.minimum(np.searchsorted(key[order], back), len(key) - 1)
    twin = order[place]
    is_pair = (key[twin] == back) & (np.arange(len(key)) < twin)
    half, twin = np.flatnonzero(is_pair), twin[is_pair]
    first, second = half // 3, twin // 3
    along = (vertices_m[end[half]] - vertices_m[start[half]]).astype(float)
    across = np.cross(normal[first], normal[second])
    # Over a ridge the normals turn apart: their cross product lies along the first's edge.
    fold = np.arctan2(
        (across * along).sum(axis=1) / np.linalg.norm(along, axis=1),
        (normal[first] * normal[second]).sum(axis=1),
    )
    ridge = np.degrees(fold) >= least_fold_deg
    half, twin = half[ridge], twin[ridge]
    # Corner c of all faces is the start of half-edge c; a twin starts where its half ends.
    next_corner = np.roll(np.arange(len(start)).reshape(-1, 3), -1, axis=1).ravel()
    joined = np.concatenate([half, next_corner[half]]), np.concatenate([next_corner[twin], twin])
    graph = coo_matrix((np.ones(len(joined[0])), joined), shape=(len(start), len(start)))
    _, label = connected_components(graph, directed=False)
    _, first_corner, renumbered = np.unique(label, return_index=True, return_inverse=True)
    return vertices_m[start[first_corner]], renumbered.reshape(-1, 3).astype(np.int32)
