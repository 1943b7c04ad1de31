"""A map of a Blender file against the map of the scene that it was written from."""

import importlib.util
import json

import geopandas as gpd
import numpy as np
import pytest
import shapely

from pipelines.map import Config, main
from rfplatform.errors import InputError
from rfplatform.formats.zarr import read_zarr

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bpy") is None, reason="bpy (Blender) is not installed"
)

SITE = ("7.4030,43.7021,20",)
QUICK = {"solver": "raytraced", "rays_per_sector": 2e6, "target_noise_db": 0.0, "max_depth": 3,
         "formats": ("zarr",), "resolution_m": 4.0}  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Nine houses of two materials, and their Blender file."""
    from rfplatform.blender.write import write_blend
    from rfplatform.geodata.load import load_scene
    from rfplatform.geodata.place import parse_area

    folder = tmp_path_factory.mktemp("town")
    boxes = [
        shapely.box(lon, lat, lon + 2e-4, lat + 1.5e-4)
        for lon in (7.4020, 7.4026, 7.4032)
        for lat in (43.7014, 43.7018, 43.7023)
    ]
    table = {
        "height": [8.0 + 2.0 * i for i in range(9)],
        "building:material": ["brick", "concrete", "concrete"] * 3,
    }
    path = folder / "town.gpkg"
    gpd.GeoDataFrame(table, geometry=boxes, crs="EPSG:4326").to_file(path)
    blend = folder / "town.blend"
    write_blend(load_scene(parse_area(str(path))), blend)
    return path, blend


def test_maps_agree_within_their_standard_error(town, tmp_path):
    made = []
    for name, area in (("direct", town[0]), ("blend", town[1])):
        record = main(Config(str(area), site=SITE, out=tmp_path / name, **QUICK))
        made.append(read_zarr(tmp_path / name / "radio_map.zarr"))
    assert record["solids"]["sha256"]
    direct, blend = made
    assert direct.grid == blend.grid
    # Tops come from rays down on a raster of 1 m: a cell on a wall's line may fall on either side.
    assert (direct.outdoor == blend.outdoor).mean() > 0.98
    both = direct.outdoor & blend.outdoor
    off_db = (blend.path_gain_db - direct.path_gain_db)[:, both]
    error_db = np.hypot(direct.standard_error_db, blend.standard_error_db)[:, both]
    known = np.isfinite(off_db) & np.isfinite(error_db)
    assert known.mean() > 0.9
    assert abs(np.median(off_db[known])) < 0.1
    # 95 % of normal errors lie within two of their standard deviations.
    assert (np.abs(off_db[known]) <= 2.0 * error_db[known] + 0.1).mean() > 0.9


def test_the_record_names_the_blender_file_and_a_box_crops(town, tmp_path):
    box = "7.4022,43.7015,7.4034,43.7024"
    config = Config(str(town[1]), site=SITE, bbox=box, out=tmp_path / "out", **QUICK)
    main(config)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["inputs"]["area"]["path"] == str(town[1])
    assert record["area"]["width_m"] < 110.0


def test_options_that_do_not_fit_are_refused(town):
    with pytest.raises(InputError, match="says itself where it lies"):
        main(Config(str(town[1]), site=SITE, origin="7,43", **QUICK))
    with pytest.raises(InputError, match="for Blender files"):
        main(Config(str(town[0]), site=SITE, default_material="concrete", **QUICK))
    with pytest.raises(InputError, match="unknown radio material"):
        main(Config(str(town[1]), site=SITE, default_material="concret", **QUICK))
