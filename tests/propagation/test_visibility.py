import tracemalloc

import numpy as np
import pytest
import shapely
from shapely.geometry import LineString, Point, Polygon, box

from rfplatform.frame import Frame
from rfplatform.propagation import visibility
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Area, Building, Scene

FRAME = Frame("EPSG:32635", 385_000.0, 6_672_000.0)
AREA = Area("test", 24.93, 60.16, 24.95, 60.18)


def building(footprint, top_m, base_m=0.0):
    return Building(footprint, base_m, top_m, "height", "concrete", "way/1")


def scene(*buildings):
    return Scene(AREA, FRAME, buildings)


def sector(x_m, y_m, z_m, name="1"):
    return Sector("A", name, x_m, y_m, z_m)


def grid(size_m=100.0, resolution_m=2.0, receiver_height_m=1.5):
    n = round(size_m / resolution_m)
    return Grid(FRAME, -size_m / 2, -size_m / 2, resolution_m, n, n, receiver_height_m)


def blocked_by(prism, source, cell, receiver_height_m):
    """The second route: cut the ray's plan by the footprint, and look at its heights there."""
    x, y, z = source
    ray = LineString([(x, y), cell])
    pieces = shapely.get_parts(prism.footprint.intersection(ray))
    for piece in pieces[(shapely.get_dimensions(pieces) == 1) & ~shapely.is_empty(pieces)]:
        along = [ray.project(Point(c)) / ray.length for c in (piece.coords[0], piece.coords[-1])]
        heights = [z + t * (receiver_height_m - z) for t in along]
        if min(heights) < prism.top_m and max(heights) > prism.base_m:
            return True
    return False


def exact(scene_, source, grid_):
    tree = shapely.STRtree([b.footprint for b in scene_.buildings])
    seen = np.ones(grid_.shape, dtype=bool)
    for j, y in enumerate(grid_.y_m()):
        for i, x in enumerate(grid_.x_m()):
            near = tree.query(LineString([source[:2], (x, y)]), predicate="intersects")
            seen[j, i] = not any(
                blocked_by(scene_.buildings[b], source, (x, y), grid_.receiver_height_m)
                for b in near
            )
    return seen


def random_scene(rng, count=25):
    buildings = []
    for _ in range(count):
        x, y = rng.uniform(-60, 60, 2)
        corners = rng.integers(5, 9)
        turns = (np.arange(corners) + rng.uniform(0, 0.9, corners)) * 2 * np.pi / corners
        radius = rng.uniform(3, 12, len(turns))
        footprint = Polygon(np.c_[x + radius * np.cos(turns), y + radius * np.sin(turns)])
        if rng.random() < 0.3:
            footprint = footprint.difference(Point(x, y).buffer(1.5, 3))
        if rng.random() < 0.5:
            footprint = footprint.reverse()
        base_m = rng.choice([0.0, 0.0, 3.0, 8.0])
        buildings += [
            building(part, base_m + rng.integers(2, 16), base_m)
            for part in shapely.get_parts(footprint)
            if part.area > 1
        ]
    return scene(*buildings)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("source_z_m", [1.5, 6.0, 18.0, 40.0, 0.7])
def test_random_scenes_agree_with_exact_ray_cutting(seed, source_z_m):
    rng = np.random.default_rng(seed)
    city = random_scene(rng)
    source = (*rng.uniform(-70, 70, 2), source_z_m)
    cells = grid(resolution_m=100 / 30, receiver_height_m=[1.5, 5.0, 12.0][seed % 3])
    ours = line_of_sight(city, [sector(*source)], cells)[0]
    assert (ours == exact(city, source, cells)).mean() > 0.999


def test_random_scenes_are_neither_all_seen_nor_all_dark():
    share = line_of_sight(
        random_scene(np.random.default_rng(0)), [sector(0, -45, 18)], grid()
    ).mean()
    assert 0.1 < share < 0.9


def test_without_buildings_everything_is_seen():
    assert line_of_sight(scene(), [sector(0, 0, 10)], grid()).all()


def test_without_sectors_the_result_is_empty():
    assert line_of_sight(scene(), [], grid()).shape == (0, 50, 50)


def test_a_wall_casts_the_shadow_of_similar_triangles():
    # 10 m high, 20 m from an antenna at 30 m: rays over its top come down to 1.5 m at
    # 22 (30 - 1.5) / (30 - 10) = 31.35 m.
    wall = scene(building(box(20, -40, 22, 40), 10))
    cells = Grid(FRAME, 0.02, -0.05, 0.1, 500, 1)
    seen = line_of_sight(wall, [sector(0, 0, 30)], cells)[0, 0]
    x = cells.x_m()
    # Cells inside the wall are not seen either.
    np.testing.assert_array_equal(seen, (x < 20) | (x > 22 * 28.5 / 20))


def test_an_antenna_below_the_top_leaves_an_endless_shadow():
    wall = scene(building(box(20, -5, 22, 5), 10))
    cells = Grid(FRAME, 0, -0.5, 1, 10_000, 1)
    seen = line_of_sight(wall, [sector(0, 0, 8)], cells)[0, 0]
    np.testing.assert_array_equal(seen, cells.x_m() < 20)


@pytest.mark.parametrize("z_m", [10.0, 10.0 + 1e-9, 10.0 - 1e-9])
def test_an_antenna_level_with_a_roof_does_not_see_behind_it(z_m):
    wall = scene(building(box(20, -5, 22, 5), 10))
    cells = Grid(FRAME, 0, -0.5, 1, 500, 1)
    seen = line_of_sight(wall, [sector(0, 0, z_m)], cells)[0, 0]
    np.testing.assert_array_equal(seen, cells.x_m() < 20)


def test_rays_pass_below_a_part_that_hangs():
    bridge = scene(building(box(10, -50, 12, 50), 9, base_m=6))
    cells = Grid(FRAME, 0, -0.5, 1, 50, 1)
    assert line_of_sight(bridge, [sector(0, 0, 4)], cells).all()
    seen = line_of_sight(bridge, [sector(0, 0, 8)], cells)[0, 0]
    # Down from 8 m, a ray is below 6 m at 10 m already when it ends before 32.5 m.
    np.testing.assert_array_equal(seen, cells.x_m() < 10 * 6.5 / 2)


def test_courtyards_are_open():
    block = Polygon(box(-20, -20, 20, 20).exterior, [box(-10, -10, 10, 10).exterior])
    cells = Grid(FRAME, -30, -0.5, 1, 60, 1)
    seen = line_of_sight(scene(building(block, 10)), [sector(0, 0, 5)], cells)[0, 0]
    np.testing.assert_array_equal(seen, np.abs(cells.x_m()) < 10)


def test_a_roof_hides_only_what_lies_below_its_edge():
    # On a roof of 20 m, 5 m above it and 10 m from its edge: the street is seen from
    # 10 (25 - 1.5) / 5 = 47 m on.
    house = scene(building(box(-10, -10, 10, 10), 20))
    cells = Grid(FRAME, 0, -0.05, 0.1, 1000, 1)
    seen = line_of_sight(house, [sector(0, 0, 25)], cells)[0, 0]
    np.testing.assert_array_equal(seen, cells.x_m() > 47)


def test_inside_a_building_nothing_is_seen():
    house = scene(building(box(-10, -10, 10, 10), 20))
    seen = line_of_sight(house, [sector(30, 0, 10), sector(0, 0, 10, "2")], grid(resolution_m=1))
    assert not seen[0, 40:60, 40:60].any()
    assert seen[0, :, 61:].all()
    assert not seen[1].any()


def test_an_antenna_on_a_wall_sees_its_side_of_the_street():
    house = scene(building(box(-10, -10, 10, 10), 20))
    cells = grid(resolution_m=1)
    seen = line_of_sight(house, [sector(10.01, 0, 6)], cells)[0]
    np.testing.assert_array_equal(seen, np.broadcast_to(cells.x_m() > 10.01, cells.shape))


def test_sectors_of_one_position_are_computed_once(monkeypatch):
    calls = []
    shadows = visibility._shadows
    monkeypatch.setattr(visibility, "_shadows", lambda *a: calls.append(a) or shadows(*a))
    city = random_scene(np.random.default_rng(3))
    sectors = [sector(0, 0, 20, "1"), sector(5, 0, 20, "2"), sector(0, 0, 20, "3")]
    seen = line_of_sight(city, sectors, grid())
    assert len(calls) == 2
    np.testing.assert_array_equal(seen[0], seen[2])
    assert (seen[0] != seen[1]).any()


def test_small_chunks_change_nothing(monkeypatch):
    city = random_scene(np.random.default_rng(4))
    whole = line_of_sight(city, [sector(0, 0, 20)], grid())
    monkeypatch.setattr(visibility, "CROSSINGS_PER_CHUNK", 7)
    np.testing.assert_array_equal(line_of_sight(city, [sector(0, 0, 20)], grid()), whole)


def test_memory_stays_bounded_by_the_chunks(monkeypatch):
    # In one piece, it takes 129 MB.
    monkeypatch.setattr(visibility, "CROSSINGS_PER_CHUNK", 1 << 16)
    houses = [
        building(box(x, y, x + 6, y + 6), 10 + (x + y) % 7)
        for x in range(-400, 400, 10)
        for y in range(-400, 400, 10)
    ]
    city = scene(*houses)
    tracemalloc.start()
    line_of_sight(city, [sector(0.5, 0.5, 11)], grid(800, 1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
