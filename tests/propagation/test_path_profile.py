"""The way from an antenna to a receiver against closed forms, and against the map's sight lines."""

import json
import math

import numpy as np
import pytest
from shapely.geometry import Polygon, box

from rfplatform.errors import InputError
from rfplatform.frame import Frame
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import parse_area
from rfplatform.propagation.path_profile import path_profile
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import outdoor_mask
from rfplatform.scene import Area, Building, Scene, Solids
from rfplatform.terrain import Terrain
from rfplatform.units import wavelength_m

FRAME = Frame("EPSG:32635", 385_000.0, 6_672_000.0)
AREA = Area("test", 24.93, 60.16, 24.95, 60.18)


def building(footprint, top_m, base_m=0.0, ground_m=0.0, osm_id="way/1", outline_id=""):
    return Building(
        footprint, base_m, top_m, "height", "concrete", osm_id, ground_m, outline_id=outline_id
    )


def scene(*buildings, **more):
    return Scene(AREA, FRAME, buildings, **more)


def sector(x_m=0.0, y_m=0.0, z_m=30.0, frequency_hz=3.5e9):
    return Sector("A", "1", x_m, y_m, z_m, frequency_hz=frequency_hz)


def test_one_house_between():
    house = building(box(400, -10, 500, 10), 20)
    profile = path_profile(scene(house), sector(), 1000.0, 0.0, 1.5, num_points=1001)
    np.testing.assert_allclose(profile.distance_m, np.arange(1001.0))
    np.testing.assert_array_equal(profile.ground_m, 0.0)
    x = profile.distance_m
    np.testing.assert_array_equal(profile.top_m, np.where((x >= 400) & (x < 500), 20.0, 0.0))
    np.testing.assert_allclose(profile.line_m, 30.0 - 28.5 * x / 1000.0)
    assert profile.num_buildings == 1
    # The line is at 15.75 m where it leaves the house: 4.25 m below the roof.
    assert not profile.is_los
    slant_m = math.hypot(1000.0, 28.5)
    radius_m = math.sqrt(wavelength_m(3.5e9) * slant_m * 0.25)
    assert profile.fresnel_m[500] == pytest.approx(radius_m, rel=1e-9)
    assert profile.obstruction == pytest.approx(4.25 / radius_m, rel=1e-6)
    assert profile.antenna_height_m == 30.0
    assert profile.receiver_height_m == 1.5


def test_the_fresnel_radius_at_the_middle_of_a_level_way():
    # In practical units: 550 sqrt(d1 d2 / ((d1 + d2) f)) with km and MHz.
    profile = path_profile(scene(), sector(z_m=30.0, frequency_hz=1e9), 2000.0, 0.0, 30.0, 3)
    assert profile.fresnel_m[1] == pytest.approx(550 * math.sqrt(1 * 1 / (2 * 1000)), rel=0.005)
    assert profile.fresnel_m[1] == pytest.approx(math.sqrt(wavelength_m(1e9) * 500.0))
    np.testing.assert_array_equal(profile.fresnel_m[[0, 2]], 0.0)
    # The ground is 30 m below all the way, most of it in radii where the zone is widest.
    assert profile.obstruction == pytest.approx(-30.0 / profile.fresnel_m[1], rel=1e-5)


@pytest.mark.parametrize(("top_m", "seen"), [(29.0, True), (29.999, True), (30.001, False)])
def test_a_screen_of_half_a_metre_is_not_lost_between_the_points(top_m, seen):
    screen = building(box(500, -50, 500.5, 50), top_m)
    profile = path_profile(scene(screen), sector(), 1000.0, 0.0, 30.0, num_points=11)
    assert profile.is_los is seen
    assert profile.top_m.tolist() == [0.0] * 5 + [top_m] + [0.0] * 5
    nu = (top_m - 30.0) * math.sqrt(2.0 / wavelength_m(3.5e9) * (1 / 500 + 1 / 500))
    assert math.sqrt(2.0) * profile.obstruction == pytest.approx(nu, rel=1e-3, abs=1e-5)


def test_below_a_bridge_is_in_sight():
    bridge = building(box(40, -50, 60, 50), 9, base_m=6)
    below = path_profile(scene(bridge), sector(z_m=4.0), 100.0, 0.0, 1.5)
    assert below.is_los
    assert below.top_m.max() == 9.0
    assert below.obstruction < 0
    assert not path_profile(scene(bridge), sector(z_m=12.0), 100.0, 0.0, 1.5).is_los


def test_courtyards_and_parts():
    block = Polygon(box(20, -20, 60, 20).exterior, [box(30, -10, 50, 10).exterior])
    tower = building(box(22, -5, 26, 5), 40, osm_id="way/2", outline_id="way/1")
    other = building(box(80, -5, 90, 5), 8, osm_id="way/3")
    passed_by = building(box(70, 5, 90, 50), 50, osm_id="way/4")
    found = path_profile(
        scene(building(block, 10), tower, other, passed_by), sector(), 100.0, 0.0, 1.5, 101
    )
    assert found.num_buildings == 2
    expected = np.zeros(101)
    expected[20:30] = expected[50:60] = 10.0
    expected[22:26], expected[80:90] = 40.0, 8.0
    np.testing.assert_array_equal(found.top_m, expected)


def test_directions():
    for x_m, y_m, azimuth_deg in [(0, 100, 0), (100, 0, 90), (0, -100, 180), (-100, 100, 315)]:
        found = path_profile(scene(), sector(z_m=101.5), x_m, y_m, 1.5)
        assert found.azimuth_deg == pytest.approx(azimuth_deg)
        slope_deg = math.degrees(math.atan2(-100.0, math.hypot(x_m, y_m)))
        assert found.elevation_deg == pytest.approx(slope_deg)


def test_a_receiver_below_the_antenna_is_refused():
    with pytest.raises(InputError, match="A/1"):
        path_profile(scene(), sector(), 0.5, 0.5, 1.5)


def test_a_hill_between():
    # A ridge across the way, 50 m high, and houses on its far side.
    x = np.arange(-100.0, 1101.0, 10.0)
    ridge_m = np.maximum(0.0, 50.0 - np.abs(x - 500.0) / 4.0)
    ground = Terrain(-100.0, -100.0, 10.0, np.tile(ridge_m, (21, 1)).astype(np.float32))
    house = building(box(600, -10, 620, 10), 10, ground_m=20.0)
    hilly = scene(house, terrain=ground)
    profile = path_profile(hilly, sector(z_m=30.0), 1000.0, 0.0, 1.5, 1001)
    np.testing.assert_allclose(
        profile.ground_m, np.maximum(0.0, 50.0 - np.abs(profile.distance_m - 500.0) / 4.0)
    )
    np.testing.assert_array_equal(profile.top_m[605:620], 30.0)
    assert not profile.is_los
    assert profile.obstruction == pytest.approx((50.0 - 15.75) / profile.fresnel_m[500], rel=1e-3)
    assert path_profile(hilly, sector(z_m=130.0), 1000.0, 0.0, 1.5).is_los
    # On the ridge, at 50 m, an antenna of 20 m is at z = 70.
    on_top = path_profile(hilly, sector(x_m=500.0, z_m=70.0), 1000.0, 0.0, 1.5)
    assert on_top.antenna_height_m == pytest.approx(20.0)
    assert on_top.num_buildings == 1


def test_a_scene_made_elsewhere(tmp_path):
    top_m = np.full((20, 200), np.nan, dtype=np.float32)
    top_m[:, 40:60] = 12.0
    top_m[:, 100:101] = 25.0
    solids = Solids(tmp_path / "scene.xml", 0.0, -10.0, 1.0, top_m)
    profile = path_profile(scene(solids=solids), sector(z_m=30.0), 190.0, 0.0, 1.5, 191)
    expected = np.zeros(191)
    expected[40:60], expected[100] = 12.0, 25.0
    np.testing.assert_array_equal(profile.top_m, expected)
    assert profile.num_buildings == 2
    assert not profile.is_los
    assert path_profile(scene(solids=solids), sector(z_m=30.0), 95.0, 0.0, 1.5).is_los
    # An antenna in the cell of the wall that it is mounted on sees the street.
    mounted = sector(x_m=59.9, z_m=8.0)
    assert path_profile(scene(solids=solids), mounted, 90.0, 0.0, 1.5).is_los


def test_it_is_plain_json():
    told = path_profile(scene(building(box(40, -5, 50, 5), 9)), sector(), 100.0, 0, 1.5).to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert len(told["distance_m"]) == len(told["top_m"]) == len(told["fresnel_m"]) == 256
    assert told["distance_m"][1] == pytest.approx(100 / 255, abs=1e-3)
    assert told["is_los"] is True
    assert told["num_buildings"] == 1
    assert path_profile(scene(), sector(), 1.5, 0, 1.5).to_dict()["obstruction"] is None


@pytest.mark.parametrize("z_m", [12.0, 35.0])
def test_helsinki_is_seen_as_on_the_map(z_m):
    city = load_scene(parse_area("helsinki"))
    grid = Grid.covering(city.area.bounds_m(city.frame), city.frame, 5.0)
    rng = np.random.default_rng(1)
    outdoor = np.argwhere(outdoor_mask(city, grid))
    row, column = outdoor[len(outdoor) // 2]
    antenna = sector(float(grid.x_m()[column]), float(grid.y_m()[row]), z_m)
    seen = line_of_sight(city, [antenna], grid)[0]
    cells = [(r, c) for r, c in rng.integers(0, grid.shape, (300, 2)) if (r, c) != (row, column)]
    ours = [
        path_profile(city, antenna, grid.x_m()[c], grid.y_m()[r], grid.receiver_height_m).is_los
        for r, c in cells
    ]
    expected = [seen[r, c] for r, c in cells]
    assert ours == expected
    assert 0.02 < np.mean(expected) < 0.98
