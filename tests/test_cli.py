"""The command as a user meets it: exit codes, one line for an error, JSON alone on stdout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

import pipelines.map
from pipelines.map import FORMATS
from rfplatform import __version__, cli
from rfplatform.catalog import SOLVERS
from rfplatform.geodata.place import BuiltIn

BBOX = "24.9440,60.1660,24.9500,60.1690"
SITE = "24.9470,60.1675,10"
QUICK = ("--bbox", BBOX, "--site", SITE, "--solver", "free-space", "--formats", "tif")

NO_BUILDINGS = """<?xml version="1.0"?>
<osm version="0.6">
  <node id="1" lat="50.000" lon="8.000"/><node id="2" lat="50.005" lon="8.005"/>
</osm>
"""
HEADER = "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,bandwidth_hz"


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def site_list(path: Path, **cells: object) -> str:
    row = {
        "site": "A", "sector": "1", "lon": 24.947, "lat": 60.1675, "height_m": 10,
        "azimuth_deg": 0, "downtilt_deg": 0, "power_dbm": 43, "frequency_hz": 3.5e9,
        "bandwidth_hz": 20e6, "antenna": "isotropic",
    } | cells  # fmt: skip
    path.write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
    return str(path)


def truncated(path: Path) -> str:
    path.write_bytes(BuiltIn("helsinki").path().read_bytes()[:20_000])
    return str(path)


def unreadable(path: Path) -> str:
    path.write_bytes(b"no geodata at all")
    return str(path)


def without_columns(path: Path) -> str:
    path.write_text("site,sector,lon,lat\nA,1,24.947,60.1675\n")
    return str(path)


BAD_INPUT = {
    "missing file": (lambda d: [str(d / "town.osm.pbf")], "no such file"),
    "unknown kind of file": (lambda d: [unreadable(d / "town.shp")], "can't read this kind"),
    "unreadable pbf": (
        lambda d: [unreadable(d / "town.osm.pbf"), "--site", SITE],
        "not a readable OpenStreetMap",
    ),
    "unreadable geojson": (
        lambda d: [unreadable(d / "town.geojson"), "--site", SITE],
        "can't be read as footp",
    ),
    "truncated": (lambda d: [truncated(d / "town.osm.pbf"), "--site", SITE], "truncated"),
    "bbox outside": (lambda _: ["helsinki", "--bbox", "-74.02,40.7,-74,40.71"], "lies outside"),
    "bbox swapped": (
        lambda _: ["helsinki", "--bbox", "60.166,24.944,60.169,24.95"],
        "did you mean 24.944,60.166,24.95,60.169",
    ),
    "bbox empty": (lambda _: ["helsinki", "--bbox", "24.95,60.16,24.94,60.17"], "west must be"),
    "site outside": (lambda _: ["helsinki", "--site", "-24.9,60.17,30"], "outside the area"),
    "site swapped": (lambda _: ["helsinki", "--site", "60.1675,24.947,30"], "look swapped"),
    "site out of range": (lambda _: ["helsinki", "--site", "24.9,160,30"], "lat '160' must lie"),
    "site height negative": (lambda _: ["helsinki", "--site", "24.947,60.1675,-3"], "positive"),
    "site height nan": (lambda _: ["helsinki", "--site", "24.947,60.1675,nan"], "finite"),
    "sites and site": (
        lambda d: ["helsinki", "--sites", site_list(d / "s.csv"), "--site", SITE],
        "not both",
    ),
    "no sites": (lambda d: [str(d / "empty.osm")], "no sites"),
    "sites missing": (lambda d: ["helsinki", "--sites", str(d / "s.csv")], "no such file"),
    "columns missing": (
        lambda d: ["helsinki", "--sites", without_columns(d / "s.csv")],
        "lacks height_m, azimuth_deg, downtilt_deg, power_dbm, frequency_hz, bandwidth_hz, antenna",
    ),
    "antenna": (
        lambda d: ["helsinki", "--sites", site_list(d / "s.csv", antenna="tr38900")],
        "row 2: unknown antenna 'tr38900'; did you mean tr38901",
    ),
    "power nan": (
        lambda d: ["helsinki", "--sites", site_list(d / "s.csv", power_dbm="nan")],
        "row 2: power_dbm 'nan' must be a finite number",
    ),
    "frequency negative": (
        lambda d: ["helsinki", "--sites", site_list(d / "s.csv", frequency_hz="-3.5e9")],
        "row 2: frequency_hz",
    ),
    "carrier negative": (lambda _: ["helsinki", "--frequency", "-1"], "frequency -1 Hz"),
    "carrier nan": (lambda _: ["helsinki", "--frequency", "nan"], "frequency nan Hz"),
    "resolution too fine": (
        lambda _: ["helsinki", "--resolution", "0.01"],
        r"106,356 x 169,686 cells need [\d,.]+ GiB of memory and [\d,.]+ GiB is free",
    ),
    "resolution negative": (lambda _: ["helsinki", "--resolution", "-4"], "resolution -4 m"),
    "resolution nan": (lambda _: ["helsinki", "--resolution", "nan"], "resolution nan m"),
    "resolution no number": (lambda _: ["helsinki", "--resolution", "fine"], "--resolution"),
    "receiver height": (lambda _: ["helsinki", "--receiver-height", "0"], "receiver height 0 m"),
    "receiver height nan": (lambda _: ["helsinki", "--receiver-height", "nan"], "height nan m"),
    "noise figure": (lambda _: ["helsinki", "--noise-figure", "nan"], "noise figure nan dB"),
    "load": (lambda _: ["helsinki", "--load", "70"], "did you mean 0.7"),
    "spacing in kHz": (lambda _: ["helsinki", "--scs", "30"], "is it in kHz"),
    "spacing of another range": (
        lambda _: ["helsinki", "--bbox", BBOX, "--site", SITE, "--scs", "120e3"],
        "can have 15, 30, 60 kHz",
    ),
    "servers within": (lambda _: ["helsinki", "--servers-within", "-1"], "servers within -1 dB"),
    "margin": (lambda _: ["helsinki", "--margin", "nan"], "margin nan dB"),
    "rays nan": (lambda _: ["helsinki", "--rays", "nan"], "rays nan"),
    "rays infinite": (lambda _: ["helsinki", "--rays", "inf"], "rays inf"),
    "target noise": (lambda _: ["helsinki", "--target-noise", "-1"], "target noise -1.0 dB"),
    "depth": (lambda _: ["helsinki", "--max-depth", "-1"], "max depth -1"),
    "seed": (lambda _: ["helsinki", "--seed", "-1"], "seed -1"),
    "solver": (
        lambda _: ["helsinki", "--solver", "tr38901"],
        r"did you mean tr38901-\w+ or tr38901",
    ),
    "solver's range": (
        lambda _: ["helsinki", "--solver", "tr38901-rma", "--receiver-height", "20"],
        "receiver height 20 m is outside the range",
    ),
    "format": (lambda _: ["helsinki", "--formats", "tif,pgn"], "did you mean png"),
    "no format": (lambda _: ["helsinki", "--formats", ","], "at least one of zarr"),
    "option": (lambda _: ["helsinki", "--ray", "5"], "No such option: --ray"),
    "no area": (lambda _: [], "Missing argument"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_leaves_nothing(case, tmp_path, capsys):
    (tmp_path / "empty.osm").write_text(NO_BUILDINGS)
    arguments, words = BAD_INPUT[case]
    given = arguments(tmp_path)
    before = sorted(tmp_path.iterdir())

    assert cli.main(["map", *given, *(["--out", "made/map"] if given else [])]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(words, err) or words in err
    assert sorted(tmp_path.iterdir()) == before


def test_existing_output_is_kept_without_overwrite(tmp_path, capsys):
    assert cli.main(["map", "helsinki", *QUICK, "--out", "made"]) == 0
    before = (tmp_path / "made" / "run.json").read_bytes()
    capsys.readouterr()
    assert cli.main(["map", "helsinki", *QUICK, "--out", "made"]) == 2
    assert "made exists already" in capsys.readouterr().err
    assert (tmp_path / "made" / "run.json").read_bytes() == before
    assert cli.main(["map", "helsinki", *QUICK, "--seed", "7", "--out", "made", "--overwrite"]) == 0
    assert json.loads((tmp_path / "made" / "run.json").read_text())["options"]["seed"] == 7
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_overwrite_never_deletes_what_is_not_its_own(tmp_path, capsys):
    made = tmp_path / "made"
    assert cli.main(["map", "helsinki", *QUICK, "--out", "made"]) == 0
    (made / "radio_map.tif.aux.xml").write_text("statistics")
    (made / "thesis.tex").write_text("years of work")
    capsys.readouterr()
    assert cli.main(["map", "helsinki", *QUICK, "--out", "made", "--overwrite"]) == 2
    assert "holds thesis.tex, which --overwrite would delete" in capsys.readouterr().err
    assert (made / "thesis.tex").read_text() == "years of work"
    (made / "thesis.tex").unlink()
    assert cli.main(["map", "helsinki", *QUICK, "--out", "made", "--overwrite"]) == 0


def test_an_input_inside_the_output_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "made").mkdir()
    sites = site_list(tmp_path / "made" / "sites.csv")
    given = ["map", "helsinki", "--sites", sites, "--solver", "free-space"]
    assert cli.main([*given, "--out", "made", "--overwrite"]) == 2
    assert "holds the input" in capsys.readouterr().err
    assert Path(sites).is_file()


def test_json_stands_alone_on_standard_output():
    given = ["map", "helsinki", *QUICK, "--rays", "5e5", "--out", "made", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "rfplatform.cli", *given],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["out"] == "made"
    assert record["options"]["solver"] == "free-space"
    assert record["warnings"] == ["--rays does nothing with --solver free-space"]
    assert done.stderr == f"warning: {record['warnings'][0]}\n"


def test_summary_tells_what_a_planner_asks_first(capsys):
    given = ["--bbox", BBOX, "--site", SITE, "--site", "24.94536,60.16801,5,90"]
    assert cli.main(["map", "helsinki", *given, "--solver", "tr38901-umi", "--formats", "tif"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in ("Central Helsinki", "EPSG:32635", "median of neighbours", "out/helsinki/",
                  "roof +", "tr38901-umi", "outdoor cells", "dB SINR", "radio_map.tif",
                  "SS-RSRP ≥ −100 dBm", "km²", "Mbit/s", "load 100%",
                  "OpenStreetMap contributors"):  # fmt: skip
        assert words in out
    assert "KMZ" not in out
    assert "radio_map.kmz" not in out


def test_an_extract_without_buildings_is_flat_ground_and_said(tmp_path, capsys):
    (tmp_path / "field.osm").write_text(NO_BUILDINGS)
    given = ["field.osm", "--site", "8.002,50.002,30", "--solver", "free-space"]
    assert cli.main(["map", *given, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "warning: field holds no buildings" in err
    record = json.loads(out)
    assert record["buildings"]["count"] == 0
    assert record["coverage"]["reached"] == 1.0
    assert {p.name for p in Path("out/field").iterdir()} == {*FORMATS.values(), "scene", "run.json"}


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_negative_longitudes_are_values_not_options(flags, tmp_path, capsys):
    shapes = [shapely.box(-74.012 + k / 1e3, 40.705, -74.0116 + k / 1e3, 40.7056) for k in range(5)]
    table = gpd.GeoDataFrame({"height": [20.0] * 5}, geometry=shapes, crs="EPSG:4326")
    table.to_file(tmp_path / "blocks.geojson")
    box = ["--bbox", "-74.013,40.704,-74.005,40.707"]
    site = ["--site", "-74.009,40.7053,12"]
    given = ["blocks.geojson", *box, *site, "--solver", "free-space", "--formats", "tif"]
    assert cli.main(["map", *flags, *given]) == 0
    capsys.readouterr()


def test_a_western_box_is_an_area(monkeypatch, capsys):
    asked = []

    def stop(place):
        asked.append(place)
        raise KeyboardInterrupt

    monkeypatch.setattr("rfplatform.geodata.load.download_buildings", stop)
    area = "-74.02,40.70,-74.00,40.71"
    assert cli.main(["map", area, "--site", "-74.01,40.705,30"]) == 130
    assert asked[0].bounds_deg == (-74.02, 40.70, -74.00, 40.71)
    assert capsys.readouterr().err == "interrupted: nothing was written\n"
    assert not Path("out").exists()


def test_missing_network_exits_with_4(monkeypatch, capsys):
    from rfplatform.errors import MissingError

    def offline(_):
        raise MissingError("no network: give a file instead")

    monkeypatch.setattr("rfplatform.geodata.load.download_buildings", offline)
    assert cli.main(["scene", "Some Town"]) == 4
    assert capsys.readouterr().err == "error: no network: give a file instead\n"


def test_a_fault_of_its_own_is_one_line_and_debug_shows_where(monkeypatch, capsys):
    def broken(*_, **__):
        raise ZeroDivisionError("of\ntwo lines")

    monkeypatch.setattr(pipelines.map, "main", broken)
    assert cli.main(["map", "helsinki"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ZeroDivisionError: of two lines" in err
    assert "--debug" in err
    with pytest.raises(ZeroDivisionError):
        cli.main(["map", "helsinki", "--debug"])


def test_scene_alone(capsys):
    assert cli.main(["scene", "helsinki", "--bbox", BBOX, "--out", "made", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    names = {p.name for p in Path("made").iterdir()}
    assert names == {"scene.xml", "shells.xml", "meshes", "buildings.parquet",
                     "building_heights.tif", "scene.json"}  # fmt: skip
    table = gpd.read_parquet("made/buildings.parquet")
    assert table.crs.to_epsg() == 32635
    assert len(table) == record["buildings"]["count"] == sum(
        record["buildings"]["height_sources"].values()
    ) == sum(record["buildings"]["materials"].values())  # fmt: skip


def test_version_and_help(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rfplatform {__version__}\n"
    assert cli.main(["map", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(name in text for name in SOLVERS)
    assert all(name in text for name in FORMATS)


def test_help_is_quick_and_imports_nothing_heavy():
    program = (
        "import sys, time\nfrom rfplatform import cli\ncode = cli.main(['--help'])\n"
        "print(code, time.process_time(), *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    code, seconds, *modules = done.stderr.split()
    assert code == "0"
    assert "doctor" in done.stdout
    heavy = {"tensorflow", "sionna", "mitsuba", "xarray", "geopandas", "pandas", "numpy", "scipy",
             "shapely", "matplotlib", "rasterio", "pyproj", "osmnx"}  # fmt: skip
    assert not heavy & set(modules)
    # 0.4 s on an idle machine; the rest is for one that is not.
    assert float(seconds) < 1.0


DRIVER = """
import os, signal, sys
import psutil
import pipelines.map
from rfplatform import cli

solve, launches = pipelines.map.main, 0

def main(config, *, progress=None, report=None):
    def after(now):
        global launches
        launches += 1
        if launches == AT:
            ACTION
    return solve(config, progress=after, report=report)

pipelines.map.main = main
sys.exit(cli.main())
"""
KILL_WORKER = "[child.kill() for child in psutil.Process().children()]"
RAYS = 2e6
PRESS_CTRL_C = "os.kill(os.getpid(), signal.SIGINT)"


def traced(tmp_path: Path, action: str, at: int) -> subprocess.CompletedProcess:
    """A long trace of one sector, to which something happens after some launches."""
    out = ("--formats", "tif", "--out", str(tmp_path / "made" / "map"))
    effort = ("--resolution", "20", "--rays", str(RAYS), "--target-noise", "0")
    given = ["map", "helsinki", "--site", SITE, *effort, *out]
    program = DRIVER.replace("AT:", f"{at}:").replace("ACTION", action)
    return subprocess.run(
        [sys.executable, "-c", program, *given],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_worker_killed_while_tracing_leaves_one_line_and_nothing_else(tmp_path):
    done = traced(tmp_path, KILL_WORKER, at=2)
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: the ray-tracing worker died (killed")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_tracing_keeps_the_map_so_far_and_says_so(tmp_path):
    done = traced(tmp_path, PRESS_CTRL_C, at=4)
    assert done.returncode == 130, done.stderr
    made = tmp_path / "made" / "map"
    assert done.stderr == f"interrupted: {made} holds the map of the rays so far\n"
    assert "interrupted" in done.stdout
    record = json.loads((made / "run.json").read_text())
    assert record["solver"]["stopped_by"] == "interrupted"
    assert 0 < record["solver"]["rays_traced_per_sector"] < 0.9 * RAYS
    assert any(warning.startswith("interrupted") for warning in record["warnings"])
    assert record["coverage"]["reached"] > 0.2
    assert [p.name for p in made.parent.iterdir()] == ["map"]


def test_ctrl_c_before_there_is_a_map_leaves_nothing(tmp_path):
    done = traced(tmp_path, PRESS_CTRL_C, at=1)
    assert done.returncode == 130
    assert done.stderr == "interrupted: nothing was written\n"
    assert list(tmp_path.iterdir()) == []
