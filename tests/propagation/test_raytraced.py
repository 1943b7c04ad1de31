"""The ray tracer on small scenes whose answer is known; each test opens one worker."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import shapely

from rfplatform.benchmarks.closed_forms import free_space_gain, knife_edge_gain, two_ray_gain
from rfplatform.errors import InputError
from rfplatform.geodata.terrain import stand_on
from rfplatform.propagation.raytraced import RayTraced, trace_groups
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Area, Building, Scene
from rfplatform.terrain import Terrain
from rfplatform.units import linear_to_db

AREA = Area("plain", 24.99, 0.005, 25.0, 0.015)
FAST = {"rays_per_sector": 400_000, "target_noise_db": 0.0}


def plain(*buildings):
    return Scene(AREA, AREA.frame(), tuple(buildings))


def block(west, south, east, north, top_m=20.0, base_m=0.0, material="concrete"):
    return Building(shapely.box(west, south, east, north), base_m, top_m, "height", material, "b")


def grid(half_m=200.0, resolution_m=4.0):
    num = round(2 * half_m / resolution_m)
    return Grid(AREA.frame(), -half_m, -half_m, resolution_m, num, num, 1.5)


def test_line_of_sight_alone_is_friis_and_needs_no_rays():
    sector = Sector("a", "1", 13.0, -7.0, 30.0, 130.0, 6.0, antenna="tr38901")
    made = RayTraced(max_depth=0, **FAST).load()(plain(), [sector], grid())
    truth = linear_to_db(free_space_gain(sector, grid()))
    assert np.abs(made.path_gain_db[0] - truth).max() < 0.1
    assert made.los.all()
    assert (made.standard_error_db == 0).all()
    assert made.attrs["stopped_by"] == "rays"


def test_ground_reflection_is_fresnels_and_the_far_cells_are_the_weak_ones():
    sector = Sector("a", "1", 0.0, 0.0, 30.0)
    solver = RayTraced(max_depth=1, rays_per_sector=2_000_000, target_noise_db=0.0)
    made = solver.load()(plain(), [sector], grid())
    truth = linear_to_db(two_ray_gain(sector, grid(), "medium_dry_ground"))
    difference = made.path_gain_db[0] - truth
    assert np.sqrt(np.mean(difference**2)) < 0.5
    assert abs(np.mean(difference)) < 0.1


def test_what_lies_behind_a_house_is_lit_over_its_roof_edge():
    """Needs walls and roof in one mesh: as separate shapes Sionna sees no edge between them."""
    house = block(-150.0, 0.0, 150.0, 8.0)
    sector = Sector("a", "1", 0.0, -100.0, 24.0)
    strip = Grid(AREA.frame(), -10.0, 80.0, 4.0, 5, 60, 1.5)
    solver = RayTraced(max_depth=1, rays_per_sector=4_000_000, target_noise_db=0.0)
    made = solver.load()(plain(house), [sector], strip)
    assert not made.los.any()
    assert np.isfinite(made.path_gain_db).mean() > 0.95
    mean_db = linear_to_db((10 ** (made.path_gain_db[0] / 10)).mean())
    truth_db = linear_to_db(knife_edge_gain(sector, strip, 8.0, 20.0).mean())
    assert mean_db == pytest.approx(truth_db, abs=3.0)
    dark = RayTraced(max_depth=1, diffraction=False, **FAST).load()(plain(house), [sector], strip)
    assert not np.isfinite(dark.path_gain_db).any()


def test_every_sector_keeps_its_antenna_carrier_and_direction():
    house = block(60.0, 60.0, 90.0, 90.0)
    sectors = [
        Sector("a", "east", 0.0, 0.0, 25.0, 90.0, 6.0, antenna="tr38901"),
        Sector("a", "low", 0.0, 0.0, 25.0, frequency_hz=700e6, antenna="dipole"),
        Sector("a", "north", 0.0, 0.0, 25.0, 0.0, 6.0, antenna="tr38901"),
        Sector("b", "high", 50.0, -80.0, 12.0, frequency_hz=28e9),
    ]
    assert trace_groups(sectors) == [(0, 2), (1,), (3,)]
    solver = RayTraced(max_depth=2, **FAST)
    together = solver.load()(plain(house), sectors, grid())
    assert [s.label for s in together.sectors] == ["a/east", "a/low", "a/north", "b/high"]
    for i in (1, 3):  # groups of one: the same launches alone
        alone = solver.load()(plain(house), [sectors[i]], grid())
        assert alone.path_gain_db[0] == pytest.approx(together.path_gain_db[i], abs=1e-3)
    strongest = [np.unravel_index(np.argmax(m), m.shape) for m in together.path_gain_db]
    x, y = grid().x_m(), grid().y_m()
    assert x[strongest[0][1]] > 20
    assert abs(y[strongest[0][0]]) < 10
    assert y[strongest[2][0]] > 20
    assert abs(x[strongest[2][1]]) < 10
    loss_db = together.path_gain_db[1].max() - together.path_gain_db[3].max()
    assert loss_db > 10  # 40 times the frequency


def test_same_seed_same_map_and_indoors_is_nothing_never_zero():
    house = block(-40.0, -40.0, 40.0, 40.0)
    sector = Sector("a", "1", 0.0, 0.0, 25.0, mount="roof")
    solver = RayTraced(max_depth=2, **FAST)
    seen = []
    one = solver.load(seen.append)(plain(house), [sector], grid(100.0))
    two = solver.load()(plain(house), [sector], grid(100.0))
    # Threads add up in any order: the last bits of a float32 differ, not the map.
    assert one.path_gain_db == pytest.approx(two.path_gain_db, abs=1e-3)
    assert one.standard_error_db == pytest.approx(two.standard_error_db, abs=1e-2, nan_ok=True)
    indoor = ~one.outdoor
    assert indoor.any()
    assert np.isneginf(one.path_gain_db[0][indoor]).all()
    assert np.isnan(one.standard_error_db[0][indoor]).all()
    assert not (one.path_gain_db == 0).any()
    spent = [p.rays for p in seen]
    assert spent == sorted(spent)
    assert spent[-1] <= seen[-1].rays_budget == 2 * 400_000


def test_a_target_that_is_reached_stops_the_trace():
    sector = Sector("a", "1", 0.0, 0.0, 30.0)
    solver = RayTraced(max_depth=1, rays_per_sector=40_000_000, target_noise_db=3.0)
    made = solver.load()(plain(), [sector], grid(40.0))
    assert made.attrs["stopped_by"] == "noise"
    assert made.attrs["noise_db"] <= 3.0
    assert made.attrs["rays_traced_per_sector"] < 40_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"rays_per_sector": 10},
        {"max_depth": -1},
        {"target_noise_db": float("nan")},
        {"seed": -1},
    ],
)
def test_impossible_options_are_refused_in_one_line(wrong):
    with pytest.raises(InputError) as error:
        RayTraced(**wrong)
    assert "\n" not in str(error.value)


def test_the_caller_never_imports_sionna_nor_tensorflow():
    program = (
        "import sys, rfplatform.propagation.raytraced, pipelines.map;"
        "print([m for m in ('sionna', 'mitsuba', 'drjit', 'tensorflow') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def level(height_m):
    """Level ground as terrain, 20 m nodes."""
    heights = np.full((61, 61), height_m, dtype=np.float32)
    return Terrain(-600.0, -600.0, 20.0, heights)


def test_level_terrain_is_flat_ground_at_another_height():
    """Both ways through Sionna: its planar map, and its map on a mesh that we mend."""
    house = block(-150.0, 0.0, 150.0, 8.0)
    strip = Grid(AREA.frame(), -20.0, -60.0, 4.0, 10, 80, 1.5)
    solver = RayTraced(
        max_depth=2, rays_per_sector=4_000_000, target_noise_db=0.0, reconstruct=False
    )
    flat = solver.load()(plain(house), [Sector("a", "1", 0.0, -100.0, 24.0)], strip)
    raised = stand_on(plain(house), level(70.0))
    high = Sector("a", "1", 0.0, -100.0, 94.0, ground_m=70.0)
    made = solver.load()(raised, [high], strip)
    np.testing.assert_array_equal(made.outdoor, flat.outdoor)
    assert (made.los != flat.los).mean() < 0.01
    np.testing.assert_array_equal(made.ground_m, 70.0)
    reached = np.isfinite(made.path_gain_db) & np.isfinite(flat.path_gain_db)
    assert reached.sum() > 0.98 * np.isfinite(flat.path_gain_db).sum()
    off_db = (made.path_gain_db - flat.path_gain_db)[reached]
    assert abs(np.median(off_db)) < 0.1
    # Behind the house there is nothing but diffraction over its roof's edge.
    behind = reached & ~flat.los
    assert behind.sum() > 100
    assert abs(np.mean((made.path_gain_db - flat.path_gain_db)[behind])) < 0.5


def test_a_ridge_is_a_knife_edge():
    y = np.arange(-600.0, 601.0, 20.0)
    profile = np.maximum(40.0 * (1.0 - np.abs(y) / 60.0), 0.0)
    heights = np.repeat(profile[:, None], len(y), axis=1).astype(np.float32)
    scene = replace(plain(), terrain=Terrain(-600.0, -600.0, 20.0, heights))
    grid_behind = Grid(scene.frame, -20.0, 100.0, 4.0, 10, 100, 1.5)
    sector = Sector("m", "1", 0.0, -250.0, 45.0)
    solver = RayTraced(max_depth=1, rays_per_sector=4_000_000, target_noise_db=0.0)
    made = solver.load()(scene, [sector], grid_behind)
    assert not made.los.any()
    truth = linear_to_db(knife_edge_gain(sector, grid_behind, 0.0, 40.0))
    off_db = (made.path_gain_db[0] - truth)[np.isfinite(made.path_gain_db[0])]
    assert len(off_db) > 0.7 * truth.size
    assert abs(np.median(off_db)) < 2.0


def test_line_of_sight_on_hills_agrees_with_the_walk_of_the_closed_forms():
    x = np.arange(-600.0, 601.0, 30.0)
    heights = 15.0 * (1.0 + np.sin(x[None, :] / 60.0) * np.cos(x[:, None] / 80.0))
    hills = Terrain(-600.0, -600.0, 30.0, heights.astype(np.float32))
    scene = stand_on(plain(block(-30.0, 20.0, 10.0, 60.0), block(60.0, -90.0, 80.0, 30.0)), hills)
    ground_m = float(scene.ground_m(0.0, 0.0))
    sector = Sector("m", "1", 0.0, 0.0, ground_m + 12.0, ground_m=ground_m)
    made = RayTraced(max_depth=0, **FAST).load()(scene, [sector], grid())
    walked = line_of_sight(scene, [sector], grid())
    assert 0.1 < made.los.mean() < 0.9
    assert (made.los == walked)[:, made.outdoor].mean() > 0.97


def test_delays_are_those_of_the_direct_and_the_reflected_path():
    sector = Sector("a", "1", 0.0, 0.0, 30.0)
    field = grid(half_m=100.0, resolution_m=10.0)
    x, y = np.meshgrid(field.x_m(), field.y_m())
    direct_s, mirrored_s = (
        np.sqrt(x**2 + y**2 + dz**2) / 299_792_458.0 for dz in (30.0 - 1.5, 30.0 + 1.5)
    )
    alone = RayTraced(max_depth=0, delay_points=40, **FAST).load()(plain(), [sector], field)
    known = np.isfinite(alone.mean_delay_s[0])
    assert known.sum() == 40
    np.testing.assert_allclose(alone.mean_delay_s[0][known], direct_s[known], rtol=1e-4)
    np.testing.assert_allclose(alone.delay_spread_s[0][known], 0.0, atol=1e-12)

    config = RayTraced(max_depth=1, diffraction=False, delay_points=40, **FAST)
    two = config.load()(plain(), [sector], field)
    gap_s = (mirrored_s - direct_s)[known]
    late = (two.mean_delay_s[0][known] - direct_s[known]) / gap_s
    # Two paths with shares 1 - s and s: the mean lies s of the gap late, the spread is
    # sqrt(s (1 - s)) of it; and the reflected share is Fresnel's.
    assert ((late > 0.0) & (late < 0.5)).all()
    np.testing.assert_allclose(
        two.delay_spread_s[0][known] / gap_s, np.sqrt(late * (1.0 - late)), atol=0.02
    )
    share = 1.0 - free_space_gain(sector, field) / two_ray_gain(sector, field, "medium_dry_ground")
    np.testing.assert_allclose(late, share[known], atol=0.03)
