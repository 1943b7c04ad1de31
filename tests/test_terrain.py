"""The ground as triangles: one surface, whether it is asked for heights or for its mesh."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.tri import LinearTriInterpolator, Triangulation

from rfplatform.terrain import Terrain, grid_faces, welded_at_ridges


def hills(num_y=7, num_x=9, resolution_m=10.0, seed=3):
    heights = np.random.default_rng(seed).uniform(-5.0, 30.0, (num_y, num_x))
    return Terrain(-20.0, 5.0, resolution_m, heights.astype(np.float32))


def test_heights_are_those_of_the_mesh():
    terrain = hills()
    vertices, faces = terrain.mesh()
    x_m, y_m, z_m = vertices.astype(float).T
    planes = LinearTriInterpolator(Triangulation(x_m, y_m, faces), z_m)
    rng = np.random.default_rng(0)
    x = rng.uniform(terrain.west_m + 0.01, terrain.east_m - 0.01, 200)
    y = rng.uniform(terrain.south_m + 0.01, terrain.north_m - 0.01, 200)
    np.testing.assert_allclose(terrain.height_m(x, y), planes(x, y), atol=1e-4)


def test_triangles_face_up_and_cover_the_rectangle_once():
    terrain = hills()
    vertices, faces = terrain.mesh()
    a, b, c = (vertices[faces[:, k], :2].astype(float) for k in range(3))
    doubled = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (doubled > 0).all()
    assert doubled.sum() / 2 == pytest.approx(80.0 * 60.0)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_heights_stay_within_those_of_the_nodes_and_go_on_level_outside(x, y):
    terrain = hills()
    height = terrain.height_m(x, y)
    assert terrain.heights_m.min() - 1e-4 <= height <= terrain.heights_m.max() + 1e-4
    inside = np.clip(x, -20.0, 60.0), np.clip(y, 5.0, 65.0)
    assert height == pytest.approx(terrain.height_m(*inside))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1)])
def test_a_single_row_or_column_of_nodes_has_heights(shape):
    terrain = Terrain(0.0, 0.0, 10.0, np.full(shape, 7.0, np.float32))
    assert terrain.height_m(5.0, 5.0) == 7.0


def test_only_ridges_stay_joined():
    ridge = np.array([[0, 0, 0], [10, 10, 10], [0, 0, 0]], np.float32)
    for heights, shared in ((ridge, 4), (-ridge, 0), (0 * ridge, 0)):
        vertices, faces = Terrain(0.0, 0.0, 10.0, heights).mesh()
        apart, renumbered = welded_at_ridges(vertices, faces, 5.0)
        np.testing.assert_array_equal(apart[renumbered], vertices[faces])
        # Two edges of the crest, each with two ends that two triangles have in common.
        assert faces.size - len(apart) == shared


def test_grid_faces_of_a_square_come_in_its_order():
    faces = grid_faces(3, 4)
    assert len(faces) == 2 * 2 * 3
    np.testing.assert_array_equal(faces[2 * 4], [5, 6, 10])  # row 1, column 1
