"""A city and a map to a picture."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely import box

from pipelines.render import Config, drape_of, main, open_map, parse_size
from pipelines.scene import Config as SceneConfig
from pipelines.scene import main as make_scene
from rfplatform.blender import process
from rfplatform.blender.write import write_blend
from rfplatform.cli import main as cli
from rfplatform.errors import InputError, MissingError
from rfplatform.formats.palette import Palette
from rfplatform.formats.zarr import write_zarr
from rfplatform.frame import Frame
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.scene import Area, Building, Scene

needs_blender = pytest.mark.skipif(
    process.importlib.util.find_spec("bpy") is None, reason="bpy is not installed"
)

FRAME = Frame("EPSG:32635", 385_500.0, 6_671_800.0)
LON, LAT = FRAME.to_lonlat([-120.0, 120.0], [-80.0, 80.0])
SCENE = Scene(
    Area("Two halves", LON[0], LAT[0], LON[1], LAT[1]),
    FRAME,
    (Building(box(-10, 20, 10, 40), 0.0, 20.0, "levels", "brick", "way/1"),),
    attribution="© OpenStreetMap contributors, ODbL 1.0",
)
WEST_DBM, EAST_DBM = -95.0, -65.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A map of two levels, its local metres 30 m off the scene's, with a strip without a path."""
    folder = tmp_path_factory.mktemp("render")
    shifted = Frame("EPSG:32635", FRAME.origin_easting_m + 30.0, FRAME.origin_northing_m - 20.0)
    grid = Grid(shifted, -150.0, -60.0, 4.0, 60, 40)
    x = np.broadcast_to(grid.x_m() + 30.0, grid.shape)
    level = np.where(x < 0.0, WEST_DBM, EAST_DBM).astype(np.float32)
    level[:4] = -np.inf
    sector = Sector("Mast", "A", 50.0, 40.0, 25.0, 200.0, power_dbm=0.0, antenna="tr38901")
    radio_map = RadioMap(grid, (sector,), level[None], None, np.ones(grid.shape, dtype=bool))
    (folder / "map").mkdir()
    write_zarr(radio_map, folder / "map" / "radio_map.zarr", attribution=SCENE.attribution)
    return folder


@pytest.fixture(scope="module")
def rendered(folder):
    write_blend(SCENE, folder / "city.blend")
    config = Config(folder / "city.blend", folder / "map", size="640x420", samples=4)
    return main(config), folder / "city.png"


@needs_blender
def test_the_picture_shows_the_levels_in_the_legends_colours(rendered, folder):
    record, path = rendered
    assert record["out"] == str(path)
    assert (record["name"], record["unit"]) == ("RSS of the best sector", "dBm")
    assert record["area"] == {"name": "Two halves"}
    assert record["warnings"] == []
    json.dumps(record)
    with Image.open(path) as image:
        assert image.size == (640, 420)
        assert image.text["Copyright"] == SCENE.attribution
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # The lower part of the picture, above the legend: ground and paper alone.
    city = pixels[60:360]
    drape = drape_of(*open_map(folder / "map"), "best_rss_dbm", folder)
    places = []
    for level_dbm in (WEST_DBM, EAST_DBM):
        color = Palette.of(drape.values).rgba(np.array(level_dbm))[:3].astype(int)
        near = np.abs(city - color).max(axis=-1) <= 6
        # A large part of the picture has the colour of the level, whatever the light.
        assert near.mean() > 0.08, (level_dbm, near.mean())
        places.append(np.argwhere(near).mean(axis=0))
    assert places[0][1] < places[1][1]  # West is left of east.
    slab = (np.ptp(city, axis=-1) < 14) & (city.max(axis=-1) < 245) & (city.min(axis=-1) > 120)
    assert slab.mean() > 0.03  # The ground beside the map, and the strip without a path, are bare.


@needs_blender
def test_refusals(rendered, folder, tmp_path):
    blend = rendered[1].with_suffix(".blend")
    for config, words in (
        (Config(blend, folder / "map"), "exists already"),
        (Config(blend, folder / "map", overwrite=True, layer="cheese"), 'no layer "cheese"'),
        (Config(blend, folder / "map", overwrite=True, size="10"), "WIDTHxHEIGHT"),
        (Config(blend, folder / "map", overwrite=True, size="10x10"), "must lie between"),
        (Config(blend, folder / "map", overwrite=True, samples=0), "samples 0"),
        (Config(blend, folder / "map", out=tmp_path / "x.jpg"), "ends in .png"),
        (Config(blend, tmp_path, overwrite=True), "no radio map there"),
        (Config(tmp_path / "no.blend", folder / "map"), "no such file"),
    ):
        with pytest.raises(InputError, match=words):
            main(config)
    assert not list(tmp_path.iterdir())


@needs_blender
@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Frame("EPSG:32634", 385_500.0, 6_671_800.0), "its CRS is"),
        (Frame("EPSG:32635", 395_500.0, 6_671_800.0), "lies elsewhere"),
    ],
)
def test_a_map_of_another_place(rendered, tmp_path, frame, words):
    grid = Grid(frame, -40.0, -40.0, 4.0, 20, 20)
    level = np.zeros((1, 20, 20), dtype=np.float32)
    sector = Sector("Mast", "A", 0.0, 0.0, 25.0)
    write_zarr(
        RadioMap(grid, (sector,), level, None, np.ones((20, 20), dtype=bool)), tmp_path / "x.zarr"
    )
    with pytest.raises(InputError, match=words):
        main(Config(rendered[1].with_suffix(".blend"), tmp_path / "x.zarr", overwrite=True))


@needs_blender
def test_scene_writes_a_blender_file(tmp_path):
    out = tmp_path / "scene"
    for blend, overwrite in ((tmp_path / "city.blend", False), (out / "city.blend", True)):
        record = make_scene(
            SceneConfig(
                "helsinki", bbox="24.9440,60.1660,24.9470,60.1675", out=out, overwrite=overwrite,
                blend=blend,
            )
        )  # fmt: skip
        assert blend.stat().st_size > 10_000
        assert record["stages_s"]["blender"] > 0
        assert record["options"]["blend"] == str(blend)
    assert "city.blend" in record["outputs"]
    with pytest.raises(InputError, match="exists already"):
        make_scene(SceneConfig("helsinki", out=tmp_path / "new", blend=tmp_path / "city.blend"))
    with pytest.raises(InputError, match=r"ends in \.blend"):
        make_scene(SceneConfig("helsinki", out=tmp_path / "new", blend=tmp_path / "city.obj"))
    assert not (tmp_path / "new").exists()


def test_without_blender(monkeypatch, folder, tmp_path, capsys):
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _: None)
    (tmp_path / "city.blend").write_bytes(b"x")
    with pytest.raises(MissingError, match=r"pip install rfplatform\[blender\]"):
        main(Config(tmp_path / "city.blend", folder / "map"))
    code = cli(["render", str(tmp_path / "city.blend"), "--radio-map", str(folder / "map")])
    assert code == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install rfplatform[blender]" in error


@needs_blender
def test_blenders_noise_stays_in_its_process(folder, tmp_path):
    bad = tmp_path / "bad.blend"
    bad.write_bytes(b"hello")
    command = [sys.executable, "-m", "rfplatform.cli", "render", str(bad), "--radio-map"]
    done = subprocess.run([*command, str(folder / "map")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {bad}: not a file that Blender opens")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "size"), [("1600x1000", (1600, 1000)), (" 800 X 600 ", (800, 600))]
)
def test_sizes(text, size):
    assert parse_size(text) == size
    with pytest.raises(InputError, match="WIDTHxHEIGHT"):
        parse_size(text.replace("0", "-"))
