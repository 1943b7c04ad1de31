"""The whole job, from an area and a site list to files that others open."""

import hashlib
import json
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr

import rfplatform
from pipelines.map import FORMATS, Config, coverage, example_sites, main
from pipelines.scene import require_memory, slug
from rfplatform.errors import InputError, MissingError
from rfplatform.formats.zarr import read_zarr
from rfplatform.frame import Frame
from rfplatform.geodata.place import BuiltIn
from rfplatform.radiomap import Grid, RadioMap, Sector

BBOX = "24.9440,60.1660,24.9500,60.1690"
SITES = ("24.94536,60.16801,5,90", "24.9470,60.1675,12")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("map") / "helsinki"
    config = Config("helsinki", site=SITES, bbox=BBOX, solver="tr38901-umi", out=out)
    stages: list[str] = []
    record = main(config, report=stages.append)
    assert stages == ["Reading the buildings", "Solving 2 sectors", "Writing the outputs"]
    return out, record


def test_everything_is_there_and_nothing_else(made):
    out, record = made
    names = {*FORMATS.values(), "scene", "run.json"}
    assert {p.name for p in out.iterdir()} == names == set(record["outputs"])
    scene = {"scene.xml", "shells.xml", "meshes", "buildings.parquet", "building_heights.tif"}
    assert {p.name for p in (out / "scene").iterdir()} == scene
    assert [p.name for p in out.parent.iterdir()] == ["helsinki"]


def test_the_record_tells_how_it_was_made(made):
    out, record = made
    written = json.loads((out / "run.json").read_text())
    assert written == {k: v for k, v in record.items() if k != "out"}
    path = BuiltIn("helsinki").path()
    assert written["inputs"]["area"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert written["inputs"]["sites"] is None
    assert written["crs"] == "EPSG:32635"
    assert written["options"]["site"] == list(SITES)
    assert written["options"]["seed"] == 1
    assert set(written["versions"]) == {
        "rfplatform", "python", "sionna-rt", "mitsuba", "drjit", "numpy", "libllvm",
    }  # fmt: skip
    assert written["versions"]["numpy"] == np.__version__
    assert set(written["stages_s"]) == {"scene", "solver", "outputs"}
    assert sum(written["buildings"]["height_sources"].values()) == written["buildings"]["count"] > 0
    assert [s["mount"] for s in written["sectors"]] == ["roof", "ground"]
    # 18 m of roof and 5 m of mast.
    assert written["sectors"][0]["height_above_ground_m"] == pytest.approx(23.0)
    assert written["sectors"][1]["height_above_ground_m"] == pytest.approx(12.0)
    assert written["attribution"] == "© OpenStreetMap contributors, ODbL 1.0"


def test_zarr_tif_and_record_tell_the_same(made):
    out, record = made
    grid = record["grid"]
    with xr.open_zarr(out / "radio_map.zarr", decode_coords="all") as dataset:
        assert dataset.rio.crs.to_epsg() == 32635
        assert dataset.attrs["title"] == "Central Helsinki"
        assert dataset.attrs["attribution"] == record["attribution"]
        assert list(dataset.sector.values) == ["site 1/1", "site 2/1"]
        best = dataset["best_rss_dbm"].to_numpy()
        outdoor = dataset["outdoor"].to_numpy()
        bounds = dataset.rio.bounds()
    assert best.shape == (grid["num_y"], grid["num_x"])
    assert bounds[:2] == (grid["west_easting_m"], grid["south_northing_m"])
    with rasterio.open(out / "radio_map.tif") as source:
        assert source.crs.to_epsg() == 32635
        assert source.bounds[:2] == bounds[:2]
        assert source.descriptions[:4] == (
            "site 1/1", "site 2/1", "best RSS [dBm]", "SS-RSRP [dBm]",
        )  # fmt: skip
        np.testing.assert_array_equal(source.read(3)[::-1], best)
    assert record["coverage"]["outdoor_cells"] == outdoor.sum()
    with np.errstate(invalid="ignore"):
        share = (best[outdoor] >= -80).mean()
    assert record["coverage"]["rss_at_least_dbm"]["-80"] == pytest.approx(share, abs=1e-4)
    assert read_zarr(out / "radio_map.zarr").sectors[0].mount == "roof"


def test_planning_layers_are_in_every_file_and_the_record(made):
    out, record = made
    planning = record["planning"]
    assert planning["assumptions"]["load"] == 1.0
    assert planning["carriers"]["site 1/1"]["num_rb"] == 51
    statistics = planning["coverage"]
    with xr.open_zarr(out / "radio_map.zarr", decode_coords="all") as dataset:
        rsrp = dataset["ss_rsrp_dbm"].to_numpy()
        outdoor = dataset["outdoor"].to_numpy().astype(bool)
        cell_m2 = record["grid"]["resolution_m"] ** 2
    with np.errstate(invalid="ignore"):
        km2 = (rsrp[outdoor] >= -100).sum() * cell_m2 / 1e6
    assert statistics["at_least"]["ss_rsrp_dbm"]["-100"]["km2"] == pytest.approx(km2)
    with rasterio.open(out / "radio_map.tif") as source:
        band = source.descriptions.index("SS-RSRP [dBm]") + 1
        np.testing.assert_array_equal(source.read(band)[::-1], rsrp)
    bands = gpd.read_file(out / "contours.gpkg", layer="ss_rsrp_dbm")
    assert bands.loc[bands["from_dbm"] >= -100, "area_m2"].sum() / 1e6 == pytest.approx(km2)
    servers = gpd.read_file(out / "contours.gpkg", layer="best_server").set_index("sector")
    for label, sector in statistics["sectors"].items():
        assert servers.loc[label, "area_m2"] / 1e6 == pytest.approx(sector["km2"])
    with zipfile.ZipFile(out / "radio_map.kmz") as archive:
        assert "files/ss_sinr_db_legend.png" in archive.namelist()


def test_the_load_is_told_and_changes_the_sinr_alone(tmp_path):
    def made_with(name, **options):
        config = Config("helsinki", site=SITES, bbox=BBOX, solver="free-space", formats=("tif",),
                        resolution_m=20.0, out=tmp_path / name, **options)  # fmt: skip
        return main(config)["planning"]

    full = made_with("full")
    half = made_with("half", load=0.5, scs_hz=15e3, servers_within_db=3.0, margin_db=1.0)
    assert half["assumptions"] | {"load": 0.5, "scs_hz": 15e3, "servers_within_db": 3.0,
                                  "margin_db": 1.0} == half["assumptions"]  # fmt: skip
    medians = full["coverage"]["medians"], half["coverage"]["medians"]
    assert medians[1]["ss_sinr_db"] > medians[0]["ss_sinr_db"]
    # 51 blocks of 30 kHz or 106 of 15 kHz.
    lower = medians[0]["ss_rsrp_dbm"] - medians[1]["ss_rsrp_dbm"]
    assert lower == pytest.approx(10 * np.log10(106 / 51), abs=0.02)


def test_a_bandwidth_that_nr_lacks_is_warned_of(tmp_path):
    sites = tmp_path / "sites.csv"
    sites.write_text(
        "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,"
        "bandwidth_hz,antenna\nA,1,24.947,60.1675,10,0,0,43,3.5e9,12e6,isotropic\n"
    )
    config = Config("helsinki", sites=sites, bbox=BBOX, solver="free-space", formats=("tif",),
                    resolution_m=20.0, out=tmp_path / "a")  # fmt: skip
    assert main(config)["warnings"] == [
        "NR has no channel of 12 MHz at 30 kHz spacing in FR1: taken as 30 resource blocks, a "
        "guard of 10%"
    ]


def test_the_other_files_open(made):
    out, record = made
    with zipfile.ZipFile(out / "radio_map.kmz") as archive:
        assert archive.testzip() is None
        assert "Central Helsinki" in archive.read("doc.kml").decode()
    assert (out / "radio_map.png").read_bytes().startswith(b"\x89PNG")
    table = gpd.read_parquet(out / "scene" / "buildings.parquet")
    assert (table.crs.to_epsg(), len(table)) == (32635, record["buildings"]["count"])
    with rasterio.open(out / "scene" / "building_heights.tif") as heights:
        assert heights.shape == (record["grid"]["num_y"], record["grid"]["num_x"])
        assert heights.read(1).max() == pytest.approx(table["height_m"].max(), abs=30.0)


def test_only_some_formats(tmp_path):
    config = Config("helsinki", site=SITES[:1], bbox=BBOX, solver="free-space",
                    formats=("png", "png"), out=tmp_path / "a")  # fmt: skip
    assert main(config)["outputs"] == ["radio_map.png", "run.json", "scene"]


def test_the_demo_at_coarse_resolution(tmp_path):
    told = []
    config = Config("helsinki", resolution_m=20.0, rays_per_sector=1e5, out=tmp_path / "demo")
    record = main(config, progress=told.append)
    assert len(record["sectors"]) == 9
    assert {s["site"] for s in record["sectors"]} == {"Torni", "Kaisaniemi", "Eteläranta"}
    assert {s["mount"] for s in record["sectors"]} == {"roof"}
    assert told
    assert told[-1].rays <= told[-1].rays_budget
    assert record["solver"]["stopped_by"] in ("rays", "noise")
    assert record["solver"]["rays_traced_per_sector"] > 0
    assert record["coverage"]["reached"] > 0.8
    assert -75 < record["coverage"]["median_best_rss_dbm"] < -30
    radio_map = read_zarr(tmp_path / "demo" / "radio_map.zarr")
    assert radio_map.standard_error_db is not None
    assert radio_map.raw_path_gain_db is not None
    assert np.isneginf(radio_map.path_gain_db[:, ~radio_map.outdoor]).all()
    assert record["inputs"]["sites"]["path"].endswith("helsinki.csv")


def test_a_failing_solver_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pipelines.map.write_scene_files", fail)
    config = Config(
        "helsinki", site=SITES, bbox=BBOX, solver="free-space", out=tmp_path / "a" / "b"
    )
    with pytest.raises(OSError, match="disk full"):
        main(config)
    assert list(tmp_path.iterdir()) == []


def test_options_that_change_nothing_are_told(tmp_path):
    config = Config("helsinki", bbox="24.9352,60.1642,24.9534,60.1791", solver="free-space",
                    resolution_m=50.0, seed=3, reconstruct=False, frequency_hz=28e9,
                    formats=("tif",), out=tmp_path / "a")  # fmt: skip
    warnings = main(config)["warnings"]
    assert warnings == [
        "--seed, --no-filter do nothing with --solver free-space",
        "--frequency 28 GHz is not used: every row of the site list has its own",
    ]


def test_coverage_is_counted_over_outdoor_cells():
    outdoor = np.array([[True, True, True, False]])
    sectors = (
        Sector("A", "1", 0, 0, 10, power_dbm=40.0),
        Sector("B", "1", 0, 0, 10, power_dbm=20.0),
    )
    gain = np.array([[[-125.0, -141.0, -np.inf, -50.0]], [[-130.0, -np.inf, -np.inf, -50.0]]])
    grid = Grid(Frame("EPSG:32632", 0.0, 0.0), 0.0, 0.0, 1.0, 4, 1)
    found = coverage(RadioMap(grid, sectors, gain.astype(np.float32), None, outdoor))
    assert found["outdoor_cells"] == 3
    assert found["reached"] == pytest.approx(2 / 3, abs=1e-4)
    assert list(found["rss_at_least_dbm"]) == ["-80", "-90", "-100", "-110", "-120"]
    # Best RSS: -85, -101 and nothing.
    shares = list(found["rss_at_least_dbm"].values())
    assert shares == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3], abs=1e-4)
    assert found["median_best_rss_dbm"] == pytest.approx(-93.0)
    dark = RadioMap(grid, sectors, np.full_like(gain, -np.inf), None, np.zeros_like(outdoor))
    assert coverage(dark)["reached"] == 0.0
    assert coverage(dark)["median_sinr_db"] is None


def test_memory_is_refused_with_number_limit_and_a_way_out(monkeypatch):
    free = type("Memory", (), {"available": 2**30})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    grid = Grid(Frame("EPSG:32632", 0.0, 0.0), 0.0, 0.0, 1.0, 4096, 4096)
    require_memory(grid, 64)
    with pytest.raises(InputError, match=r"4,096 x 4,096 cells need 4\.0 GiB .* 1\.0 GiB is free"):
        require_memory(grid, 256)
    with pytest.raises(InputError, match=r"--resolution 2 or coarser"):
        require_memory(grid, 256)


def test_the_example_list_is_found_in_a_checkout_and_in_a_wheel(tmp_path, monkeypatch):
    assert example_sites("helsinki").is_file()
    package = tmp_path / "site-packages" / "rfplatform"
    monkeypatch.setattr(rfplatform, "__file__", str(package / "__init__.py"))
    with pytest.raises(MissingError, match="give --sites"):
        example_sites("helsinki")
    path = package / "data" / "sites" / "helsinki.csv"
    path.parent.mkdir(parents=True)
    path.write_text("site")
    assert example_sites("helsinki") == path


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Alte Brücke, Köln", "alte-brucke-koln"), ("8.0,50.0,8.1,50.1", "8.0-50.0-8.1-50.1"),
     ("-74.02,40.7", "74.02-40.7"), ("東京", "area"), ("../../etc", "etc")],
)  # fmt: skip
def test_slugs_are_plain_names(name, expected):
    assert slug(name) == expected
    assert Path(slug(name)).name == slug(name)
