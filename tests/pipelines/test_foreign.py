"""Scenes made elsewhere, from the AREA of a command to files: folders laid out as others do."""

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr

from pipelines.map import Config, main
from pipelines.scene import Config as SceneConfig
from pipelines.scene import main as make_scene
from rfplatform.errors import InputError
from rfplatform.formats.mitsuba import write_ply
from rfplatform.formats.zarr import read_zarr
from rfplatform.frame import Frame
from rfplatform.geodata.place import parse_area
from rfplatform.geodata.sites import SiteRow, read_sites, write_sites

pytestmark = pytest.mark.filterwarnings("ignore:'crs' was not provided")

QUAD = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
BOX = np.array(
    [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
     [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]], dtype=np.int32,
)  # fmt: skip


def corners(half_x, half_y, *heights):
    plan = [(-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)]
    return np.array([(x, y, z) for z in heights for x, y in plan], dtype=np.float32)


def moved(vertices, x, y):
    return vertices + np.array([x, y, 0], dtype=np.float32)


@pytest.fixture(scope="module")
def geo2sigmap(tmp_path_factory):
    """As Geo2SigMap writes it: scene.xml beside mesh/, a ground, and a mesh for each building."""
    folder = tmp_path_factory.mktemp("made") / "campus"
    (folder / "mesh").mkdir(parents=True)
    meshes = {
        "ground": (corners(150, 100, 0), QUAD, "mat-itu_wet_ground"),
        "building_0": (moved(corners(20, 10, 0, 15), -60, 20), BOX, "mat-itu_concrete"),
        "building_1": (moved(corners(10, 30, 0, 25), 40, -20), BOX, "mat-itu_concrete"),
    }
    shapes = []
    for name, (vertices, faces, material) in meshes.items():
        write_ply(folder / "mesh" / f"{name}.ply", vertices, faces)
        shapes.append(
            f'<shape type="ply" id="mesh-{name}">'
            f'<string name="filename" value="mesh/{name}.ply"/>'
            f'<ref id="{material}" name="bsdf"/><boolean name="face_normals" value="true"/></shape>'
        )
    bsdfs = "".join(
        f'<bsdf type="twosided" id="{name}"><bsdf type="diffuse">'
        '<rgb name="reflectance" value="0.5 0.5 0.5"/></bsdf></bsdf>'
        for name in ("mat-itu_concrete", "mat-itu_wet_ground")
    )
    (folder / "scene.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<scene version="2.1.0">'
        '<default name="spp" value="4096"/><integrator type="path" id="elm__0"/>'
        f"{bsdfs}{''.join(shapes)}</scene>\n"
    )
    return folder


@pytest.fixture(scope="module")
def bostontwin(tmp_path_factory):
    """As BostonTwin does: a tile's XML in a folder of tiles; meshes moved, a stretched ground."""
    folder = tmp_path_factory.mktemp("made") / "scenes"
    (folder / "meshes").mkdir(parents=True)
    write_ply(folder / "meshes" / "rectangle.ply", corners(1, 1, 0), QUAD)
    write_ply(folder / "meshes" / "BOS_G_5_BLDG_0012.ply", corners(15, 15, 0, 40), BOX)
    (folder / "BOS_G_5.xml").write_text(
        '<scene version="2.1.0">'
        '<bsdf type="diffuse" id="mat-itu_concrete"/><bsdf type="diffuse" id="mat-itu_wet_ground"/>'
        '<shape type="ply" id="BOS_G_5_BLDG_0012">'
        '<string name="filename" value="meshes/BOS_G_5_BLDG_0012.ply"/>'
        '<transform name="to_world"><translate x="1030" y="520" z="0"/></transform>'
        '<ref id="mat-itu_concrete"/></shape>'
        '<shape type="ply" id="ground"><string name="filename" value="meshes/rectangle.ply"/>'
        '<transform name="to_world"><scale value="120"/><translate x="1000" y="500" z="0"/>'
        '</transform><ref id="mat-itu_wet_ground"/></shape></scene>'
    )
    (folder / "BOS_G_6.xml").write_text('<scene version="2.1.0"></scene>')
    return folder / "BOS_G_5.xml"


@pytest.fixture(scope="module")
def traced(geo2sigmap, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "campus"
    config = Config(
        str(geo2sigmap),
        site=("0,0,10", "-60,20,3,90"),
        rays_per_sector=2e5,
        target_noise_db=0.0,
        max_depth=3,
        out=out,
    )
    return out, main(config)


def test_a_folder_of_geo2sigmap_is_traced_in_local_metres(traced, geo2sigmap):
    out, record = traced
    assert record["crs"] is None
    assert record["origin"] is None
    assert record["coordinates"] == "local metres, no CRS"
    assert record["area"]["bounds_deg"] is None
    assert record["area"]["bounds_m"] == [-130.0, -100.0, 100.0, 80.0]
    assert record["solids"]["xml"] == str(geo2sigmap / "scene.xml")
    assert record["solids"]["sha256"] == record["inputs"]["area"]["sha256"]
    assert record["solids"]["ground_names"] == ["mesh-ground"]
    assert record["solids"]["materials"] == {"concrete": 2, "wet_ground": 1}
    assert record["terrain"] is None
    assert any("no KMZ" in warning for warning in record["warnings"])
    assert json.loads((out / "run.json").read_text())["crs"] is None
    assert {p.name for p in (out / "scene").iterdir()} == {"building_heights.tif"}
    on_ground, on_roof = record["sectors"]
    assert (on_ground["mount"], on_ground["height_above_ground_m"]) == ("ground", 10.0)
    assert (on_roof["mount"], on_roof["height_above_ground_m"]) == ("roof", 18.0)
    assert (on_roof["x_m"], on_roof["y_m"], on_roof["lon_deg"]) == (-60.0, 20.0, None)


def test_its_files_say_that_they_have_no_crs(traced):
    out, _ = traced
    assert not (out / "radio_map.kmz").exists()
    with xr.open_zarr(out / "radio_map.zarr", decode_coords="all") as data:
        assert "spatial_ref" not in data.coords
        assert "lon_deg" not in data.coords
        assert data.attrs["crs"] == "local metres, no CRS"
        assert data["x"].attrs["units"] == "m"
        assert float(data["x"].min()) == -130.0  # multiples of the 4 m cell, from -132
        assert "grid_mapping" not in data["path_gain_db"].attrs
    with rasterio.open(out / "radio_map.tif") as file:
        assert file.crs is None
        assert file.tags()["crs"] == "local metres, no CRS"
        assert file.bounds.left == -132.0
    made = read_zarr(out / "radio_map.zarr")
    assert made.grid.frame.crs is None
    with rasterio.open(out / "scene" / "building_heights.tif") as file:
        heights = file.read(1)[::-1]
    x, y = made.grid.x_m(), made.grid.y_m()
    inside = (np.abs(x + 60) < 20)[None, :] & (np.abs(y - 20) < 10)[:, None]
    assert heights[inside] == pytest.approx(15.0, abs=1e-3)
    assert not made.outdoor[inside].any()
    assert made.outdoor.sum() == made.outdoor.size - np.count_nonzero(heights > 1.5)


def test_the_ray_tracer_and_the_shadow_of_the_raster_agree(traced):
    """Line of sight by rays at triangles, and by the two boxes in closed form."""
    made = read_zarr(traced[0] / "radio_map.zarr")
    x, y = np.meshgrid(made.grid.x_m(), made.grid.y_m())
    seen = np.ones(x.shape, dtype=bool)
    for cx, cy, hx, hy, top in ((-60, 20, 20, 10, 15), (40, -20, 10, 30, 25)):
        for t in np.linspace(0.0, 1.0, 2001):  # from the antenna at (0, 0, 10) to the receiver
            under = 10.0 + t * (1.5 - 10.0) < top
            seen &= ~(under & (np.abs(t * x - cx) < hx) & (np.abs(t * y - cy) < hy))
    agree = (made.los[0] == seen)[made.outdoor]
    assert agree.mean() > 0.985  # cells that a shadow's border cuts may differ


def test_an_origin_places_a_scene(geo2sigmap, tmp_path):
    out = tmp_path / "placed"
    config = Config(
        str(geo2sigmap), origin="11.575,48.1374", site=("11.575,48.1374,10",),
        solver="tr38901-umi", formats=("zarr", "tif", "kmz"), out=out,
    )  # fmt: skip
    record = main(config)
    frame = Frame.at(11.575, 48.1374)
    assert record["crs"] == frame.crs == "EPSG:32632"
    assert record["origin"]["easting_m"] == frame.origin_easting_m
    assert (record["sectors"][0]["x_m"], record["sectors"][0]["y_m"]) == (0.0, 0.0)
    west, south, east, north = record["area"]["bounds_deg"]
    assert west < 11.575 < east
    assert south < 48.1374 < north
    assert (out / "radio_map.kmz").is_file()
    with rasterio.open(out / "radio_map.tif") as file:
        assert file.crs.to_string() == "EPSG:32632"
        left = frame.origin_easting_m - 130.0
        assert left - 16.0 < file.bounds.left <= left


def test_a_tile_of_bostontwin_with_a_site_list(bostontwin, tmp_path):
    rows = [SiteRow("mast", "a", np.nan, np.nan, 12.0, local_m=(960.0, 480.0))]
    write_sites(rows, tmp_path / "sites.csv")
    assert (tmp_path / "sites.csv").read_text().startswith("site,sector,x_m,y_m,height_m")
    assert read_sites(tmp_path / "sites.csv")[0].local_m == (960.0, 480.0)
    record = main(
        Config(
            str(bostontwin), sites=tmp_path / "sites.csv", solver="free-space",
            formats=("tif", "gpkg"), bbox="900,400,1100,600", out=tmp_path / "out",
        )
    )  # fmt: skip
    assert record["area"]["bounds_m"] == [900.0, 400.0, 1100.0, 600.0]
    assert record["solids"]["highest_z_m"] == pytest.approx(40.0, abs=0.01)
    assert record["solids"]["covered"] == pytest.approx(30**2 / 200**2, rel=0.05)
    assert record["solids"]["cells_without_ground"] == 0
    contours = gpd.read_file(tmp_path / "out" / "contours.gpkg")
    assert contours.crs is None


def test_the_scene_alone(bostontwin, tmp_path):
    record = make_scene(SceneConfig(str(bostontwin), out=tmp_path / "scene"))
    assert record["outputs"] == ["building_heights.tif", "scene.json"]
    assert record["area"]["bounds_m"] == [965.0, 455.0, 1095.0, 585.0]


def refusal(area, **options):
    with pytest.raises(InputError) as caught:
        main(Config(str(area), solver="free-space", **options))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_can_t_be_is_refused_before_a_mesh_is_loaded(geo2sigmap, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a mesh was loaded")

    monkeypatch.setattr("pipelines.scene.surveyed_scene", never)
    out, site = tmp_path / "out", ("0,0,10",)
    assert "expected X,Y,HEIGHT" in refusal(geo2sigmap, site=("0,0",), out=out)
    assert "--origin LON,LAT" in refusal(geo2sigmap, site=site, formats=("kmz",), out=out)
    assert "origin 'Munich'" in refusal(geo2sigmap, site=site, origin="Munich", out=out)
    assert "on Earth already" in refusal("helsinki", origin="24.9,60.1", out=out)
    assert "in local metres" in refusal(geo2sigmap, site=site, bbox="0,0,x,9", out=out)
    message = refusal(geo2sigmap, site=site, terrain=geo2sigmap / "scene.xml", out=out)
    assert "ground of its own" in message
    assert not out.exists()


def test_degrees_in_a_scene_without_a_crs(geo2sigmap, tmp_path):
    sites = tmp_path / "sites.csv"
    write_sites([SiteRow("mast", "a", 11.5, 48.1, 12.0)], sites)
    message = refusal(geo2sigmap, sites=sites, out=tmp_path / "out")
    assert "row 2" in message
    assert "--origin LON,LAT" in message
    write_sites([SiteRow("mast", "a", np.nan, np.nan, 12.0, local_m=(999.0, 0.0))], sites)
    message = refusal(geo2sigmap, sites=sites, out=tmp_path / "out")
    assert "at x 999 m, y 0 m: outside the area campus" in message


def test_a_broken_scene_is_refused(geo2sigmap, tmp_path):
    text = (geo2sigmap / "scene.xml").read_text()
    (tmp_path / "scene.xml").write_text(text)
    message = refusal(tmp_path / "scene.xml", site=("0,0,10",), out=tmp_path / "out")
    assert "3 of 3 meshes are missing: mesh/building_0.ply" in message
    assert parse_area(str(tmp_path)).path == tmp_path / "scene.xml"
