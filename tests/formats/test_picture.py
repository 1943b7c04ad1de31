import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rfplatform.formats.palette import Palette
from rfplatform.formats.picture import round_length_m, write_png
from rfplatform.radiomap import Grid, RadioMap


def is_inked(picture, box) -> bool:
    left, top, right, bottom = box
    return bool((np.asarray(picture.convert("L"))[top:bottom, left:right] < 128).any())


def test_picture_of_a_town(radio_map, scene, tmp_path):
    path = tmp_path / "radio_map.png"
    write_png(radio_map, scene, path, dpi=60)
    with Image.open(path) as picture:
        assert picture.info["Title"] == "Examplestadt"
        assert picture.info["Copyright"] == "© OpenStreetMap contributors"
        width, height = picture.size
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        # The margins are clean: nothing is cut at an edge.
        assert (pixels[[0, 1, -1, -2]] == 255).all()
        assert (pixels[:, [0, 1, -1, -2]] == 255).all()
        assert is_inked(picture, (0, 0, width, height // 10))
    # Saturated colours cover much of the map, grey buildings much of the rest.
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    assert (spread > 60).mean() > 0.2
    building = np.abs(pixels - [0xDC, 0xDE, 0xE1]).max(axis=2) < 3
    assert building.mean() > 0.1


def test_north_is_up_and_east_is_right(scene, radio_map, tmp_path):
    grid = Grid(scene.frame, -40.0, -40.0, 4.0, 20, 20)
    levels = np.full((1, 20, 20), -np.inf, np.float32)
    levels[:, 14:, 12:] = -90.0  # A patch in the north-east.
    lit = RadioMap(grid, radio_map.sectors[:1], levels, None, np.ones((20, 20), bool))
    write_png(lit, replace(scene, buildings=()), tmp_path / "map.png", dpi=40)
    with Image.open(tmp_path / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    across = pixels[:, : int(0.86 * pixels.shape[1])]  # Without the colour bar.
    rows, columns = np.nonzero(across.max(axis=2) - across.min(axis=2) > 60)
    assert rows.max() < pixels.shape[0] / 2
    assert columns.min() > pixels.shape[1] / 2


@pytest.mark.parametrize(
    ("num_x", "num_y"), [(1, 1), (3, 2), (400, 4), (4, 400)], ids=lambda n: str(n)
)
def test_any_shape_fits_a_page(radio_map, scene, tmp_path, num_x, num_y):
    grid = Grid(scene.frame, -2.0 * num_x, -2.0 * num_y, 4.0, num_x, num_y)
    shape = (len(radio_map.sectors), num_y, num_x)
    levels = np.full(shape, -90.0, np.float32)
    levels[:, 0, 0] = -np.inf
    here = RadioMap(grid, radio_map.sectors, levels, None, np.ones(shape[1:], bool))
    title = "A long title with $dollars$ that goes on and on " * 4
    write_png(here, scene, tmp_path / "map.png", title=title, dpi=40)
    with Image.open(tmp_path / "map.png") as picture:
        width, height = (side / 40 for side in picture.size)
    assert 5 < width < 10
    assert 3.5 < height < 10


def test_a_dark_map_without_buildings(radio_map, scene, tmp_path):
    dark = replace(radio_map, path_gain_db=np.full_like(radio_map.path_gain_db, -np.inf))
    write_png(dark, replace(scene, buildings=(), attribution=""), tmp_path / "map.png", dpi=40)
    assert (tmp_path / "map.png").stat().st_size > 1000


def test_importing_writers_stays_light():
    code = (
        "import sys, rfplatform.formats.picture, rfplatform.formats.kmz, rfplatform.formats.zarr\n"
        "import rfplatform.formats.buildings\n"
        "heavy = {'matplotlib', 'xarray', 'zarr', 'rasterio', 'geopandas', 'pyproj', 'shapely'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE)
    assert found.returncode == 0, found.stderr


def test_pyplot_is_left_alone(radio_map, scene, tmp_path):
    write_png(radio_map, scene, tmp_path / "map.png", dpi=20)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@given(st.floats(1e-3, 1e7))
def test_scale_bars_are_round_and_fit(length_m):
    found = round_length_m(length_m)
    mantissa = found / 10.0 ** np.floor(np.log10(found) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-6
    assert found <= length_m * (1 + 1e-6)
    assert found > length_m / 2.5 * (1 - 1e-6)


class TestPalette:
    def test_scale_covers_the_bulk_in_steps_of_five(self):
        levels = np.concatenate([np.linspace(-97, -43, 1000), [-150.0, 10.0, np.nan, -np.inf]])
        palette = Palette.of(levels)
        assert (palette.low_dbm, palette.high_dbm) == (-100.0, -40.0)
        assert palette.extend == "both"
        assert palette.ticks_dbm().tolist() == [-100, -90, -80, -70, -60, -50, -40]

    @given(st.lists(st.floats(-200, 50), max_size=20))
    def test_any_levels_give_a_scale(self, levels):
        palette = Palette.of(np.array(levels, dtype=float))
        assert palette.high_dbm - palette.low_dbm >= 20
        assert len(palette.ticks_dbm()) >= 3

    def test_stronger_is_lighter_and_missing_is_clear(self):
        palette = Palette(-100.0, -40.0)
        rgba = palette.rgba(np.array([-100.0, -80.0, -60.0, -40.0, np.nan, -np.inf]))
        light = rgba[:4, :3].astype(float) @ [0.2126, 0.7152, 0.0722]
        assert np.all(np.diff(light) > 0)
        assert rgba[:, 3].tolist() == [255, 255, 255, 255, 0, 0]
