"""Elevation models read back from files whose heights are known."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from rfplatform.errors import InputError
from rfplatform.geodata.terrain import load_terrain, lowest_under, stand_on
from rfplatform.propagation.empirical import FreeSpace, TR38901RMa, TR38901UMa
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import ground_raster, outdoor_mask, top_raster
from rfplatform.scene import Area, Building, Scene
from rfplatform.terrain import Terrain

AREA = Area("slope", 7.401, 43.7005, 7.405, 43.7035)


def scene(*buildings):
    return Scene(AREA, AREA.frame(), buildings)


def block(x0, y0, x1, y1, top_m=10.0, base_m=0.0, name="b", outline=""):
    footprint = shapely.box(x0, y0, x1, y1)
    return Building(footprint, base_m, top_m, "height", "concrete", name, outline_id=outline)


def plane(x, y):
    return 100.0 + 0.1 * x - 0.05 * y


def write_utm(path, height=plane, step=5.0, half=600.0, nodata=-9999.0, **kwargs):
    """A GeoTIFF in the scene's own CRS whose pixels' centres have the height of a function."""
    frame = AREA.frame()
    count = int(2 * half / step)
    x = -half + (np.arange(count) + 0.5) * step
    values = height(*np.meshgrid(x, -x)).astype(np.float32)
    west, north = frame.origin_easting_m - half, frame.origin_northing_m + half
    profile = {"crs": frame.crs, "transform": from_origin(west, north, step, step), **kwargs}
    with rasterio.open(
        path, "w", driver="GTiff", dtype="float32", count=1, height=count, width=count,
        nodata=nodata, **profile,
    ) as out:  # fmt: skip
        out.write(values, 1)
    return path


def write_hgt(path, height_of, zipped=False):
    """An SRTM tile of 1201 x 1201 nodes: N43E007."""
    nodes = np.linspace(0.0, 1.0, 1201)
    lon, lat = np.meshgrid(7.0 + nodes, 44.0 - nodes)
    data = np.round(height_of(lon, lat)).astype(">i2").tobytes()
    if not zipped:
        path.write_bytes(data)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("N43E007.hgt", data)
    return path


def test_a_plane_comes_back_exactly(tmp_path):
    terrain = load_terrain(write_utm(tmp_path / "dem.tif"), scene(), 20.0)
    x, y = np.random.default_rng(1).uniform(-150.0, 150.0, (2, 50))
    np.testing.assert_allclose(terrain.height_m(x, y), plane(x, y), atol=1e-3)
    assert terrain.max_error_m < 1e-3
    assert terrain.num_voids == 0
    assert terrain.source == "dem.tif"
    west, south, east, north = scene().ground_bounds_m()
    assert terrain.west_m <= west
    assert terrain.south_m <= south
    assert terrain.east_m >= east
    assert terrain.north_m >= north


def test_the_stated_error_bounds_what_is_found_by_dense_sampling(tmp_path):
    def bumps(x, y):
        return 50.0 + 10.0 * np.sin(x / 20.0) * np.cos(y / 25.0)

    path = write_utm(tmp_path / "dem.tif", bumps)
    coarse, fine = (load_terrain(path, scene(), r) for r in (40.0, 10.0))
    assert fine.max_error_m < coarse.max_error_m / 3
    x, y = np.random.default_rng(2).uniform(-150.0, 150.0, (2, 4000))
    # The model itself is bilinear between samples 5 m apart: within 0.2 m of the function.
    for terrain in (coarse, fine):
        found = np.abs(terrain.height_m(x, y) - bumps(x, y)).max()
        assert 0.5 * terrain.max_error_m < found < terrain.max_error_m + 0.2


@pytest.mark.parametrize("zipped", [False, True])
def test_an_srtm_tile_in_degrees(tmp_path, zipped):
    path = tmp_path / ("N43E007.hgt.zip" if zipped else "N43E007.hgt")
    write_hgt(path, lambda lon, lat: 1e4 * (lon - 7.4) + 2e4 * (lat - 43.7), zipped)
    terrain = load_terrain(path, scene(), 30.0)
    lon, lat = 7.4031, 43.7022
    x, y = AREA.frame().from_lonlat(lon, lat)
    # Whole metres, a sample every 70 to 90 m.
    assert terrain.height_m(x, y) == pytest.approx(1e4 * 0.0031 + 2e4 * 0.0022, abs=1.0)


def test_voids_are_filled_and_counted(tmp_path):
    def holed(x, y):
        return np.where(np.hypot(x, y) < 30.0, -9999.0, plane(x, y))

    terrain = load_terrain(write_utm(tmp_path / "dem.tif", holed), scene(), 20.0)
    assert terrain.num_voids > 50
    x = np.linspace(-25.0, 25.0, 11)
    np.testing.assert_allclose(terrain.height_m(x, 0 * x), plane(x, 0 * x), atol=1.5)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("nothing.tif", lambda _: None, "no such file"),
        ("text.tif", lambda path: path.write_text("not a raster"), "can't be read as elevation"),
        ("sea.tif", lambda path: write_utm(path, half=100.0), "does not cover"),
        ("nowhere.tif", lambda path: write_utm(path, crs=None), "no CRS"),
        ("void.tif", lambda path: write_utm(path, lambda x, _: 0 * x - 9999.0), "voids alone"),
        ("feet.tif", lambda path: write_utm(path, lambda x, _: 0 * x + 3e4), "no metres above"),
    ],
)
def test_bad_models_get_one_line(tmp_path, name, make, words):
    make(tmp_path / name)
    with pytest.raises(InputError, match=words) as caught:
        load_terrain(tmp_path / name, scene(), 30.0)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_resolutions_out_of_range(tmp_path):
    path = write_utm(tmp_path / "dem.tif")
    for resolution_m in (0.0, float("nan"), 5000.0):
        with pytest.raises(InputError, match="terrain resolution"):
            load_terrain(path, scene(), resolution_m)


def test_buildings_stand_on_the_lowest_ground_under_them():
    rng = np.random.default_rng(5)
    terrain = Terrain(-200.0, -200.0, 10.0, rng.uniform(0.0, 20.0, (41, 41)).astype(np.float32))
    shapes = [
        shapely.affinity.rotate(shapely.box(x, y, x + w, y + 13.0), turn)
        for x, y, w, turn in rng.uniform([-150, -150, 5, 0], [120, 120, 40, 90], (30, 4))
    ]
    lowest = lowest_under(shapes, terrain)
    for shape, low in zip(shapes, lowest, strict=True):
        x0, y0, x1, y1 = shape.bounds
        xx, yy = np.meshgrid(np.arange(x0, x1, 0.1), np.arange(y0, y1, 0.1))
        inside = shapely.contains_xy(shape, xx, yy)
        sampled = terrain.height_m(xx[inside], yy[inside]).min()
        # A sample can't be lower; and it is hardly higher: slopes are at most 2 in 1.
        assert sampled - 0.5 < low <= sampled + 1e-6


def test_parts_of_one_outline_stand_on_the_same_ground():
    heights = np.tile(np.arange(0.0, 41.0, dtype=np.float32), (41, 1))
    terrain = Terrain(-200.0, -200.0, 10.0, heights)
    placed = stand_on(
        scene(
            block(0, 0, 10, 10, outline="way/1", name="way/2"),
            block(20, 0, 30, 10, outline="way/1", base_m=5.0, name="way/3"),
            block(40, 0, 50, 10, name="way/4"),
        ),
        terrain,
    )
    assert [b.ground_m for b in placed.buildings] == [20.0, 20.0, 24.0]
    assert placed.buildings[1].base_z_m == 25.0
    assert placed.terrain is terrain


def slope_scene(*buildings):
    """Ground that rises to the east by 1 in 2."""
    x = np.arange(-300.0, 301.0, 20.0)
    heights = np.tile(0.5 * (x + 300.0), (len(x), 1)).astype(np.float32)
    return stand_on(scene(*buildings), Terrain(-300.0, -300.0, 20.0, heights))


def test_a_slope_behind_a_house_may_rise_above_its_roof():
    made = slope_scene(block(-10.0, -10.0, 30.0, 10.0, top_m=12.0))
    grid = Grid(made.frame, -40.0, -2.0, 4.0, 30, 1, 1.5)
    np.testing.assert_allclose(ground_raster(made, grid)[0], 0.5 * (grid.x_m() + 300.0), atol=1e-3)
    assert made.buildings[0].ground_m == pytest.approx(145.0)
    # Roof at 157 m: receivers stand above it from x = 11 m on, where ground + 1.5 m exceeds it.
    inside = ~outdoor_mask(made, grid)[0]
    np.testing.assert_array_equal(inside, (grid.x_m() > -10.0) & (grid.x_m() < 11.0))
    assert np.isneginf(top_raster(made, grid)[0, 0])


def test_free_space_takes_the_slope_into_its_distances():
    made = slope_scene()
    grid = Grid(made.frame, -200.0, -2.0, 4.0, 100, 1, 1.5)
    ground_m = float(made.ground_m(0.0, 0.0))
    sector = Sector("m", "1", 0.0, 0.0, ground_m + 30.0, ground_m=ground_m)
    gain = FreeSpace().load()(made, [sector], grid).path_gain_db[0, 0]
    distance = np.sqrt(grid.x_m() ** 2 + (0.5 * grid.x_m() + 1.5 - 30.0) ** 2)
    wavelength = 299_792_458.0 / 3.5e9
    np.testing.assert_allclose(gain, 20 * np.log10(wavelength / (4 * np.pi * distance)), atol=0.01)


def test_effective_heights_count_from_the_mean_terrain_on_the_way():
    """Level ground at another height changes nothing; a slope does, by P.1546's mean."""
    flat = scene()
    level = stand_on(flat, Terrain(-300.0, -300.0, 20.0, np.full((31, 31), 50.0, np.float32)))
    grid = Grid(flat.frame, 60.0, -60.0, 10.0, 10, 12, 1.5)
    for solver in (TR38901UMa(), TR38901RMa()):
        low = solver.load()(flat, [Sector("m", "1", 0.0, 0.0, 25.0)], grid)
        high = solver.load()(level, [Sector("m", "1", 0.0, 0.0, 75.0, ground_m=50.0)], grid)
        np.testing.assert_allclose(high.path_gain_db, low.path_gain_db, atol=1e-4)
        assert high.los.all()
        np.testing.assert_array_equal(high.ground_m, 50.0)
    assert low.ground_m is None


def test_a_ridge_hides_what_lies_behind_it():
    x = np.arange(-300.0, 301.0, 10.0)
    profile = np.maximum(30.0 - np.abs(x), 0.0)
    terrain = Terrain(-300.0, -300.0, 10.0, np.tile(profile, (61, 1)).astype(np.float32))
    made = replace(scene(), terrain=terrain)
    grid = Grid(made.frame, 50.0, -2.0, 4.0, 50, 1, 1.5)
    sector = Sector("m", "1", -100.0, 0.0, 40.0)
    los = FreeSpace().load()(made, [sector], grid).los[0, 0]
    # The line over the crest (30 m high, 100 m away) falls by 1 in 10: it meets 1.5 m at x = 285.
    np.testing.assert_array_equal(los, grid.x_m() > 285.0)
