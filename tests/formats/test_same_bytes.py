"""The same map, written at another time by another process, is the same files."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

WRITE = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from conftest import make_map, make_scene, make_sectors

from rfplatform.formats.buildings import write_buildings_parquet, write_height_geotiff
from rfplatform.formats.contours import write_contours
from rfplatform.formats.geotiff import write_geotiff
from rfplatform.formats.kmz import write_kmz
from rfplatform.formats.picture import write_png
from rfplatform.formats.zarr import write_zarr
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid

out = Path(sys.argv[1])
scene = make_scene(290.0, 210.0)
grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, 1.0)
radio_map = make_map(scene, make_sectors(0.3)[:2], grid)
planning = planning_layers(radio_map)
write_zarr(radio_map, out / "radio_map.zarr.zip", planning=planning)
write_zarr(radio_map, out / "radio_map.zarr", planning=planning)
write_geotiff(radio_map, out / "radio_map.tif", planning=planning)
write_kmz(radio_map, out / "radio_map.kmz", planning=planning)
write_contours(radio_map, planning, out / "contours.gpkg")
write_png(radio_map, scene, out / "radio_map.png", dpi=100.0)
write_buildings_parquet(scene, out / "buildings.parquet")
write_height_geotiff(scene, grid, out / "building_heights.tif")
"""

# Neither the order of sets, nor the zone, nor how many threads there are may decide.
FIRST = {"PYTHONHASHSEED": "1", "TZ": "UTC", "GDAL_NUM_THREADS": "1"}
SECOND = {
    "PYTHONHASHSEED": "2",
    "TZ": "Asia/Tokyo",
    "GDAL_NUM_THREADS": "4",
    "OMP_NUM_THREADS": "3",
    "BLOSC_NTHREADS": "3",
    "PYTHONUTF8": "1",
}
ZIP_TICK_S = 2.0
"""The finest step of the times in a ZIP archive."""

FILES = (
    "building_heights.tif",
    "buildings.parquet",
    "contours.gpkg",
    "radio_map.kmz",
    "radio_map.png",
    "radio_map.tif",
    "radio_map.zarr.zip",
)


def started(out: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    out.mkdir()
    here = Path(__file__)
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, str(out), str(here.parent)],
        cwd=here.parents[2],
        env={**os.environ, **variables},
    )


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("same")
    first = started(folder / "first", FIRST)
    time.sleep(ZIP_TICK_S + 0.5)
    second = started(folder / "second", SECOND)
    assert (first.wait(), second.wait()) == (0, 0)
    return hashes(folder / "first"), hashes(folder / "second")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_the_same_bytes(written, name):
    first, second = written
    assert first[name] == second[name]


def test_a_store_in_a_directory_is_the_same_files_and_nothing_is_missed(written):
    first, second = written
    assert first == second
    assert {name.split("/")[0] for name in first} == {*FILES, "radio_map.zarr"}
