"""Prisms are closed manifolds: volume, area, Euler characteristic, normals."""

import numpy as np
import pytest
import shapely
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, affinity, box

from rfplatform.errors import InputError
from rfplatform.mesh import Surface, prism_mesh
from rfplatform.scene import Building

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]


def building(footprint, base_m=0.0, top_m=10.0):
    return Building(footprint, base_m, top_m, "height", "concrete", "way/1")


def solid_of(mesh):
    return trimesh.Trimesh(mesh.vertices_m.astype(float), mesh.faces, process=False)


def normals(mesh):
    a, b, c = (mesh.vertices_m[mesh.faces[:, k]].astype(float) for k in range(3))
    return np.cross(b - a, c - a) / 2


def assert_closed(buildings):
    """Everything that a mesh of separate prisms must be; returns it."""
    mesh = prism_mesh(buildings)
    solid = solid_of(mesh)
    holes = sum(len(b.footprint.interiors) for b in buildings)
    assert mesh.vertices_m.dtype == np.float32
    assert mesh.faces.dtype == mesh.building.dtype == np.int32
    assert mesh.surface.dtype == np.int8
    assert solid.is_watertight
    assert solid.is_winding_consistent
    # A prism with h courtyards is a torus of h holes: V - E + F = 2 - 2 h.
    assert solid.euler_number == 2 * len(buildings) - 2 * holes
    volume = sum(b.footprint.area * (b.top_m - b.base_m) for b in buildings)
    assert solid.volume == pytest.approx(volume, rel=1e-4)

    vector = normals(mesh)
    size = np.linalg.norm(vector, axis=1)
    assert size.min() > 0
    assert (vector[mesh.surface == Surface.ROOF, 2] > 0).all()
    assert (vector[mesh.surface == Surface.FLOOR, 2] < 0).all()
    assert np.abs(vector[mesh.surface == Surface.WALL, 2]).max() < 1e-6 * size.max()
    for surface, area in (
        (Surface.ROOF, sum(b.footprint.area for b in buildings)),
        (Surface.FLOOR, sum(b.footprint.area for b in buildings)),
        (Surface.WALL, sum(b.footprint.length * (b.top_m - b.base_m) for b in buildings)),
    ):
        assert size[mesh.surface == surface].sum() == pytest.approx(area, rel=1e-4)
    return mesh


def star(rng, num, radius_m, center):
    """A star-shaped ring: angles in order, no two close, radii at random."""
    angle = (np.arange(num) + rng.uniform(0.1, 0.9, num)) / num * 2 * np.pi
    radius = rng.uniform(0.4, 1.0, num) * radius_m
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) + center


@st.composite
def stars_with_holes(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num = draw(st.integers(5, 40))
    center = rng.uniform(-1000, 1000, 2)
    outline = star(rng, num, 50.0, center)
    # Within a third of the least radius of a star there is room for holes side by side.
    spots = np.array([[-4.0, -4.0], [4.0, -4.0], [0.0, 5.0]])
    inner = Polygon(outline)
    holes = []
    for spot in spots[: draw(st.integers(0, 3))]:
        hole = star(rng, draw(st.integers(4, 12)), 3.0, center + spot)
        if inner.contains_properly(Polygon(hole)):
            holes.append(hole)
    base_m = draw(st.sampled_from([0.0, 3.0]))
    return building(Polygon(outline, holes), base_m, base_m + draw(st.floats(1.0, 100.0)))


@settings(deadline=None, max_examples=150)
@given(st.lists(stars_with_holes(), min_size=1, max_size=3))
def test_random_stars_with_holes(buildings):
    assert all(b.footprint.is_valid for b in buildings)
    assert_closed(buildings)


@pytest.mark.parametrize(
    "footprint",
    [
        Polygon(SQUARE),
        Polygon(SQUARE[::-1]),
        Polygon(SQUARE, [[(2, 2), (8, 2), (8, 8), (2, 8)]]),
        Polygon(SQUARE, [[(2, 2), (2, 8), (8, 8), (8, 2)]]),
        Polygon([(0, 0), (5, 0), (10, 0), (10, 10), (0, 10)]),
        Polygon([(0, 0), (5, 0), (10, 0), (10, 10), (0, 10)], [[(2, 2), (4, 2), (4, 4), (3, 4)]]),
        Polygon([(0, 0), (9, 0), (9, 3), (6, 3), (6, 6), (3, 6), (3, 9), (0, 9)]),
        box(0, 0, 30, 30) - box(3, 3, 9, 27) - box(12, 3, 18, 27) - box(21, 3, 27, 27),
        Polygon([(0, 0), (4, 0), (4, 1), (8, 1), (8, 0), (12, 0), (12, 8), (0, 8)]),
        affinity.translate(Polygon(SQUARE), 20_000, -20_000),
        Polygon([(0, 0, 7), (10, 0, 7), (10, 10, 7)]),
    ],
)
def test_awkward_footprints(footprint):
    assert_closed([building(footprint)])


def test_corners_in_line_make_no_flat_triangle():
    """Found in Monaco: corners of two bays exactly in line with one between, 1.8 m apart."""
    footprint = Polygon(
        [
            (973.9358222502051, 1403.0786216231063), (974.0106226042844, 1398.5219141552225),
            (975.7817911135498, 1398.4883807022125), (975.8118323116214, 1395.821300022304),
            (977.585104267695, 1395.898831914179), (977.5550623637391, 1398.5659125717357),
            (979.3283335539745, 1398.6434449115768), (979.2472214295412, 1402.8669576887041),
        ]
    )  # fmt: skip
    assert_closed([building(footprint)])


def test_buildings_share_no_vertex_and_faces_know_their_building():
    wall_to_wall = [building(box(10 * i, 0, 10 * i + 10, 10), top_m=5.0 + i) for i in range(4)]
    mesh = assert_closed(wall_to_wall)
    assert len(mesh.vertices_m) == 4 * 8
    for i in range(4):
        own = mesh.vertices_m[mesh.faces[mesh.building == i]].reshape(-1, 3)
        assert own.min(axis=0).tolist() == [10 * i, 0, 0]
        assert own.max(axis=0).tolist() == [10 * i + 10, 10, 5 + i]
        others = np.unique(mesh.faces[mesh.building != i])
        assert not np.isin(mesh.faces[mesh.building == i], others).any()


def test_order_of_surfaces_and_count_of_triangles():
    mesh = prism_mesh([building(box(0, 0, 9, 9) - box(3, 3, 6, 6))])
    # 8 walls of two triangles; roof and floor of n + 2 h - 2 each.
    assert np.bincount(mesh.surface).tolist() == [16, 8, 8]


def test_subset_keeps_the_triangles_it_is_asked_for():
    mesh = prism_mesh([building(box(0, 0, 9, 9)), building(box(20, 0, 29, 9))])
    keep = (mesh.surface == Surface.ROOF) & (mesh.building == 1)
    part = mesh.subset(keep)
    assert len(part.vertices_m) == 4
    assert (part.building == 1).all()
    np.testing.assert_array_equal(part.vertices_m[part.faces], mesh.vertices_m[mesh.faces[keep]])


def test_no_buildings():
    mesh = prism_mesh([])
    assert mesh.vertices_m.shape == mesh.faces.shape == (0, 3)
    assert mesh.surface.shape == mesh.building.shape == (0,)


@pytest.mark.parametrize(
    "hole", [[(0, 0), (6, 2), (2, 6)], [(5, 0), (7, 3), (3, 3)]], ids=["corner", "edge"]
)
def test_rings_that_touch_are_refused(hole):
    touching = Polygon(SQUARE, [hole])
    assert touching.is_valid
    with pytest.raises(InputError, match="way/1"):
        prism_mesh([building(touching)])


def test_footprints_are_left_as_they_are():
    footprint = Polygon(SQUARE[::-1])
    before = shapely.get_coordinates(footprint).tolist()
    prism_mesh([building(footprint)])
    assert shapely.get_coordinates(footprint).tolist() == before
