import gzip
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pipelines.desk.uploads as uploads
from pipelines.desk.uploads import (
    KINDS,
    find_upload,
    list_uploads,
    shown_name,
    store_upload,
)
from pipelines.desk.workspace import Workspace, read_json_file
from pipelines.map import example_sites, read_rows
from rfplatform.errors import InputError
from rfplatform.geodata.place import BuiltIn
from rfplatform.geodata.sites import SiteRow

SITES = example_sites("helsinki").read_bytes()
PANEL = Path("data/antennas/panel-65deg-18dbi.msi").read_bytes()
HEADER = "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,"
HEADER += "bandwidth_hz,antenna\n"
DRIVE = "Latitude,Longitude,RSRP (dBm),PCI\n" + "".join(
    f"{60.16 + i * 1e-4},{24.94},{-80 - i},{i % 3}\n" for i in range(20)
)
SQUARE = [[24.93, 60.16], [24.931, 60.16], [24.931, 60.161], [24.93, 60.161], [24.93, 60.16]]


def geojson(ring=SQUARE, **properties):
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


@pytest.fixture
def ws(tmp_path):
    return Workspace.open(tmp_path / "ws")


def refusal(ws, kind, name, data):
    """What is said of a bad file, of which nothing may be left."""
    before = sorted(p.name for p in ws.uploads.iterdir())
    with pytest.raises(InputError) as caught:
        store_upload(ws, kind, name, data)
    assert sorted(p.name for p in ws.uploads.iterdir()) == before
    text = str(caught.value)
    assert text.startswith(f"{shown_name(name)}: ")
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert str(ws.root) not in text
    assert ".part-" not in text
    return text


def geotiff(path, heights=None, **profile):
    import rasterio
    from rasterio.transform import from_origin

    heights = np.arange(400.0).reshape(20, 20) if heights is None else heights
    profile = {"crs": "EPSG:32635", "transform": from_origin(385000, 6673000, 10, 10), **profile}
    with rasterio.open(
        path, "w", driver="GTiff", width=20, height=20, count=1, dtype="float32", **profile
    ) as target:
        target.write(heights.astype("float32"), 1)
    return path.read_bytes()


# --- what is good


def test_area_of_openstreetmap(ws):
    path = BuiltIn("helsinki").path()
    with path.open("rb") as file:
        file.read(7)
        kept = store_upload(ws, "area", "Helsinki centre.osm.PBF", file)
    assert kept.name.endswith(".osm.pbf")
    assert kept.text == f"upload:{kept.name}"
    assert Path(ws.resolved(kept.text)).read_bytes() == path.read_bytes()
    assert kept.original == "Helsinki centre.osm.PBF"
    assert kept.size == path.stat().st_size
    assert kept.summary["num_buildings"] > 400
    assert kept.summary["attribution"].startswith("© OpenStreetMap")
    west, south, east, north = kept.summary["bounds"]
    assert 24.9 < west < east < 25.0
    assert 60.1 < south < north < 60.2
    assert 0.0 < kept.summary["tagged_heights_share"] <= 1.0
    assert not kept.summary["needs_box"]
    record = read_json_file(ws.uploads / f"{kept.name}.json")
    assert set(record) == {"original", "kind", "size", "summary", "sha256"}
    assert record["sha256"].startswith(kept.name[:16])
    assert find_upload(ws, kept.text) == kept


def test_area_of_footprints(ws):
    kept = store_upload(ws, "area", "a.json", geojson(height=12))
    assert kept.summary["num_buildings"] == 1
    assert kept.summary["tagged_heights_share"] == 1.0
    far = [[24, 60], [25, 60], [25, 61], [24, 61], [24, 60]]
    large = store_upload(ws, "area", "large.geojson", geojson(far)).summary
    assert large["needs_box"]
    assert large["tagged_heights_share"] is None
    assert large["area_km2"] > 5000
    assert {u.original for u in list_uploads(ws, "area")} == {"a.json", "large.geojson"}


def test_area_of_a_database(ws, tmp_path):
    import geopandas as gpd
    from shapely.geometry import Polygon

    table = gpd.GeoDataFrame({"height": [9.0]}, geometry=[Polygon(SQUARE)], crs="EPSG:4326")
    table.to_file(tmp_path / "a.gpkg", driver="GPKG")
    table.to_parquet(tmp_path / "a.parquet")
    for name in ("a.gpkg", "a.parquet"):
        kept = store_upload(ws, "area", name, (tmp_path / name).read_bytes())
        assert kept.summary["num_buildings"] == 1
    base = sqlite3.connect(tmp_path / "a.gpkg")
    base.execute("CREATE VIEW other AS SELECT readfile('/etc/passwd')")
    base.commit()
    base.close()
    assert "view" in refusal(ws, "area", "view.gpkg", (tmp_path / "a.gpkg").read_bytes())


def test_sites(ws):
    kept = store_upload(ws, "sites", "sites.csv", SITES)
    rows = tuple(SiteRow(**row) for row in kept.summary["rows"])
    wanted = read_rows(example_sites("helsinki"), 3.5e9)
    assert rows == tuple(replace(row, row=0) for row in wanted)
    assert kept.summary["num_sectors"] == len(rows)
    assert kept.summary["num_sites"] == len({row.site for row in rows})


def test_sites_with_uploaded_antennas(ws):
    row = "a,1,24.94,60.165,30,0,0,43,3.5e9,20e6,{}\n"
    text = refusal(ws, "sites", "s.csv", (HEADER + row.format("panel.msi")).encode())
    assert "row 2: antenna 'panel.msi'" in text
    panel = store_upload(ws, "antenna", "panel.msi", PANEL)
    for antenna in ("panel.msi", panel.text):
        kept = store_upload(ws, "sites", "s.csv", (HEADER + row.format(antenna)).encode())
        assert kept.summary["rows"][0]["antenna"] == panel.text
    # What stands beside it is found from where the list is kept, too.
    assert read_rows(ws.uploads / kept.name, 3.5e9)[0].antenna == ws.resolved(panel.text)
    own = str(Path("data/antennas/panel-65deg-18dbi.msi").resolve())
    assert "antenna" in refusal(ws, "sites", "s.csv", (HEADER + row.format(own)).encode())


def test_measurements(ws):
    bad = "95,24.9,-80,1\n60.1,24.9,,1\n"
    found = store_upload(ws, "measurements", "drive.csv", (DRIVE + bad).encode()).summary
    assert found["columns"] == ["Latitude", "Longitude", "RSRP (dBm)", "PCI"]
    assert found["mapping"]["rsrp"] == "RSRP (dBm)"
    assert found["mapping"]["cell"] == "PCI"
    assert (found["rows"], found["accepted"], found["rejected"]) == (22, 20, 2)
    assert sum(found["reasons"].values()) == 2
    assert found["rsrp_dbm"] == [-99.0, -80.0]
    assert found["cells"] == {"0": 7, "1": 7, "2": 6}
    assert found["bounds"] == pytest.approx([24.94, 60.16, 24.94, 60.1619])
    assert len(found["first_rows"]) == 5


def test_measurements_whose_columns_are_not_known_can_be_asked_for(ws):
    kept = store_upload(ws, "measurements", "d.csv", b"breite;laenge;pegel\n60,1;24,9;-80\n")
    assert kept.summary["missing"] == ["latitude", "longitude", "rsrp"]
    assert kept.summary["columns"] == ["breite", "laenge", "pegel"]
    assert kept.summary["first_rows"] == [["60,1", "24,9", "-80"]]


def test_antenna(ws):
    found = store_upload(ws, "antenna", "Panel 65.msi", PANEL).summary
    assert found["gain_dbi"] == pytest.approx(18, abs=1)
    assert found["horizontal_width_deg"] == pytest.approx(65, abs=3)
    assert len(found["angle_deg"]) == len(found["horizontal_dbi"]) == len(found["vertical_dbi"])
    assert np.diff(found["angle_deg"]) == pytest.approx(2.0)
    assert len(found["angle_deg"]) in (180, 181)


def test_terrain(ws, tmp_path):
    found = store_upload(ws, "terrain", "dem.tif", geotiff(tmp_path / "d.tif")).summary
    assert found["resolution"] == [10.0, 10.0]
    assert found["crs"] == "EPSG:32635"
    assert found["height_range_m"] == [0.0, 399.0]
    west, south, east, north = found["bounds"]
    assert 24.9 < west < east < 25.0
    assert 60.1 < south < north < 60.2


def test_srtm_tile_is_kept_as_geotiff(ws):
    import rasterio

    tile = np.full((1201, 1201), 7, ">i2")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("N60E024.hgt", tile.tobytes())
    kept = store_upload(ws, "terrain", "tile.hgt.zip", packed.getvalue())
    again = store_upload(ws, "terrain", "N60E024.hgt", tile.tobytes())
    assert kept.name == again.name
    assert kept.name.endswith(".tif")
    assert kept.summary["bounds"] == pytest.approx([24, 60, 25, 61], abs=0.01)
    with rasterio.open(ws.resolved(kept.text)) as source:
        assert source.read(1)[0, 0] == 7
    assert "N60E024.hgt" in refusal(ws, "terrain", "tile.hgt", tile.tobytes())


def test_jobs(ws):
    from pipelines.batch.jobs import read_jobs

    area = store_upload(ws, "area", "a.json", geojson(height=12))
    sites = store_upload(ws, "sites", "sites.csv", SITES)
    rows = f"helsinki,{sites.text},tr38901-uma\n{area.text},{sites.text},raytraced\n"
    rows += f'"24.93,60.16,24.95,60.17",{sites.text},raytraced\n'
    kept = store_upload(ws, "jobs", "jobs.csv", f"area,sites,solver\n{rows}".encode())
    assert kept.summary["num_jobs"] == 3
    assert kept.summary["areas"] == {"helsinki": 1, area.text: 1, "24.93,60.16,24.95,60.17": 1}
    assert kept.summary["solvers"] == {"tr38901-uma": 1, "raytraced": 2}
    jobs = read_jobs(ws.resolved(kept.text))
    assert jobs[0].config.sites == Path(ws.resolved(sites.text))
    assert jobs[1].config.area == ws.resolved(area.text)
    toml = b'area = "helsinki"\nsolver = ["tr38901-umi", "tr38901-uma"]\n[[jobs]]\n'
    assert store_upload(ws, "jobs", "jobs.toml", toml).summary["num_jobs"] == 2
    table = io.BytesIO()
    pd.DataFrame({"area": ["helsinki"], "frequency": [2.6e9]}).to_parquet(table)
    assert store_upload(ws, "jobs", "jobs.parquet", table).summary["num_jobs"] == 1


def test_same_again_is_no_second_copy(ws, monkeypatch):
    first = store_upload(ws, "sites", "a.csv", SITES)
    monkeypatch.setattr(uploads, "_checked", lambda *_: pytest.fail("checked again"))
    second = store_upload(ws, "sites", "b.csv", io.BytesIO(SITES))
    assert second == replace(first, original="b.csv")
    assert len(list(ws.uploads.iterdir())) == 2
    assert list_uploads(ws) == [second]


# --- what is bad


@pytest.mark.parametrize("kind", KINDS)
def test_suffix_size_and_nothing(ws, kind, monkeypatch):
    good = f"a{KINDS[kind].suffixes[0]}"
    monkeypatch.setattr(uploads, "_checked", lambda *_: pytest.fail("checked"))
    assert "must end in" in refusal(ws, kind, "a.exe", b"x")
    assert "empty" in refusal(ws, kind, good, b"")
    assert "Blender and Mitsuba" in refusal(ws, kind, "scene.blend", b"BLENDER")
    assert "Blender and Mitsuba" in refusal(ws, kind, "scene.xml", b"<scene/>")
    small = replace(KINDS[kind], max_bytes=3_000_000)
    monkeypatch.setattr(uploads, "KINDS", {**KINDS, kind: small})
    assert "larger than 3 MB" in refusal(ws, kind, good, bytes(3_000_001))
    assert "larger than 3 MB" in refusal(ws, kind, good, io.BytesIO(bytes(3_000_001)))


JUNK = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("area", "junk.osm.pbf"),
        ("area", "junk.gpkg"),
        ("area", "junk.parquet"),
        ("sites", "junk.csv"),
        ("measurements", "junk.csv"),
        ("terrain", "junk.tif"),
        ("terrain", "N60E024.hgt"),
        ("terrain", "junk.hgt.zip"),
        ("jobs", "junk.csv"),
        ("jobs", "junk.parquet"),
    ],
)
def test_junk(ws, kind, name):
    refusal(ws, kind, name, JUNK)


def test_bad_areas(ws):
    whole = BuiltIn("helsinki").path().read_bytes()
    assert "truncated" in refusal(ws, "area", "cut.osm.pbf", whole[: len(whole) // 2])
    vrt = "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/etc/passwd"
    vrt += "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    assert "GeoJSON" in refusal(ws, "area", "vrt.geojson", vrt.encode())
    assert "other files" in refusal(ws, "area", "vrt.json", f"{{{vrt}".encode())
    pipeline = b'{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline"}'
    assert "other files" in refusal(ws, "area", "alg.json", pipeline)
    assert "no polygons" in refusal(
        ws, "area", "none.json", b'{"type": "FeatureCollection", "features": []}'
    )


def test_bad_sites(ws):
    assert "height_m" in refusal(ws, "sites", "s.csv", b"site,sector,lon,lat\na,1,24.9,60.1\n")
    row = "a,1,24.94,95,30,0,0,43,3.5e9,20e6,isotropic\n"
    assert "row 2" in refusal(ws, "sites", "s.csv", (HEADER + row).encode())
    assert "no sectors" in refusal(ws, "sites", "s.csv", HEADER.encode())
    local = HEADER.replace("lon,lat", "x_m,y_m") + "a,1,0,0,30,0,0,43,3.5e9,20e6,isotropic\n"
    assert "lon and lat" in refusal(ws, "sites", "s.csv", local.encode())


def test_bad_measurements(ws):
    assert "no rows" in refusal(ws, "measurements", "d.csv", b"lat,lon,rsrp\n")
    assert "none of 1" in refusal(ws, "measurements", "d.csv", b"lat,lon,rsrp\n95,24,-80\n")
    assert "empty" in refusal(ws, "measurements", "d.csv", b"\n\n")
    assert "UTF-8" in refusal(ws, "measurements", "d.csv", b"lat,lon,rsrp\n\xff\xfe,24,-80\n")


def test_bad_antennas(ws):
    assert "line" in refusal(ws, "antenna", "p.msi", PANEL[: len(PANEL) // 2])
    assert "line" in refusal(ws, "antenna", "p.adf", b"REVNUM:,NSMA WG16.99.050\n")


def test_bad_terrain(ws, tmp_path):
    geotiff(tmp_path / "other.tif")
    vrt = f"<VRTDataset rasterXSize='20' rasterYSize='20'><SRS>EPSG:32635</SRS><VRTRasterBand \
dataType='Float32' band='1'><SimpleSource><SourceFilename>{tmp_path / 'other.tif'}\
</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    assert "not a GeoTIFF inside" in refusal(ws, "terrain", "dem.tif", vrt.encode())
    assert "CRS" in refusal(ws, "terrain", "d.tif", geotiff(tmp_path / "d.tif", crs=None))
    high = geotiff(tmp_path / "d.tif", np.full((20, 20), 20_000.0))
    assert "no metres" in refusal(ws, "terrain", "d.tif", high)
    voids = geotiff(tmp_path / "d.tif", np.full((20, 20), np.nan))
    assert "voids alone" in refusal(ws, "terrain", "d.tif", voids)


def test_bad_jobs(ws):
    for areas in (("/etc/a.osm.pbf", "../a.osm", "http://a/b.osm"), ("Paris", "sionna:munich")):
        rows = "\n".join(areas)
        text = refusal(ws, "jobs", "jobs.csv", f"area\n{rows}\n".encode())
        assert all(f"area '{area}'" in text for area in areas)
    missing = "upload:0123456789abcdef.csv"
    for sites in (example_sites("helsinki").resolve(), missing):
        text = refusal(ws, "jobs", "j.csv", f"area,sites\nhelsinki,{sites}\n".encode())
        assert "upload" in text
    cells = b"area,terrain,model\nhelsinki,/vsicurl/x.tif,../x@1\n"
    text = refusal(ws, "jobs", "j.csv", cells)
    assert "terrain '/vsicurl/x.tif'" in text
    assert "model '../x@1'" in text
    assert "no area" in refusal(ws, "jobs", "j.toml", b'[[jobs]]\nsolver = "fspl"\n')


def test_zip_bombs(ws, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("N60E024.hgt", bytes(60_000_000))
    assert "unpacked" in refusal(ws, "terrain", "N60E024.hgt.zip", packed.getvalue())
    small = replace(KINDS["measurements"], memory_limit_bytes=400_000_000)
    monkeypatch.setattr(uploads, "KINDS", {**KINDS, "measurements": small})
    bomb = gzip.compress(b"lat,lon,rsrp\n") + 50 * gzip.compress(b" " * 10_000_000)
    assert "more than 0.4 GB" in refusal(ws, "measurements", "bomb.csv", bomb)


# --- names


def test_names_are_shown_and_nothing_else(ws):
    kept = store_upload(ws, "sites", "../../etc/passwd.csv", SITES)
    assert kept.original == "passwd.csv"
    assert sorted(ws.uploads.iterdir()) == [
        ws.uploads / kept.name,
        ws.uploads / f"{kept.name}.json",
    ]
    kept = store_upload(ws, "sites", "a\n\x1b[31m<b>\u202e'\"x\x00.csv", SITES)
    assert kept.original == "a[31m<b>'\"x.csv"
    refusal(ws, "sites", "\r\n\x07<script>.csv", JUNK)
    name = shown_name("long" * 100 + ".csv")
    assert len(name) <= 80
    assert name.endswith(".csv")
    assert shown_name("\x00") == "file"


@pytest.mark.parametrize(
    "text", ["upload:../x", "upload:0123456789abcdef.csv", "upload:", "sites.csv", "/etc/passwd"]
)
def test_what_was_not_uploaded(ws, text):
    with pytest.raises(InputError, match="no such upload"):
        find_upload(ws, text)


# --- limits


def check_by(monkeypatch, tmp_path, body):
    """Let a script take the place of the check, with its limits."""
    (tmp_path / "slow_check.py").write_text(
        f"import sys, json\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from pipelines.desk import upload_check\n"
        f"def hostile(path, known):\n    {body}\n"
        "upload_check.CHECKS = {'sites': hostile}\n"
        "sys.exit(upload_check.main(sys.argv[1:]))\n"
    )
    environment = uploads._environment

    def with_script(folder):
        known = environment(folder)
        return {**known, "PYTHONPATH": f"{known['PYTHONPATH']}{os.pathsep}{tmp_path}"}

    monkeypatch.setattr(uploads, "_CHECK", "slow_check")
    monkeypatch.setattr(uploads, "_environment", with_script)


def test_a_check_that_takes_too_long_is_ended(ws, tmp_path, monkeypatch):
    body = (
        "import subprocess, time; "
        f"subprocess.Popen(['sh', '-c', 'sleep 2; touch {tmp_path}/alive']); time.sleep(60)"
    )
    check_by(monkeypatch, tmp_path, body)
    monkeypatch.setattr(uploads, "KINDS", {"sites": replace(KINDS["sites"], time_limit_s=1.0)})
    start = time.monotonic()
    assert "within 1 s" in refusal(ws, "sites", "s.csv", SITES)
    assert time.monotonic() - start < 3.0
    time.sleep(max(0.0, start + 3.5 - time.monotonic()))
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("b = [bytearray(10**6) for _ in range(10**5)]", "more than 0.5 GB"),
        ("import os; os.abort()", "could not be read"),
        ("open('more', 'w').write('x' * 10)", "could not be read"),
        ("raise ValueError('\\n/etc')", "could not be read"),
        ("sys.exit(0)", "could not be read"),
        ("return {k: v for k, v in __import__('os').environ.items() if 'SECRET' in k}", None),
    ],
)
def test_what_a_check_may_not_do(ws, tmp_path, monkeypatch, body, said):
    monkeypatch.setenv("SECRET_KEY", "x")
    check_by(monkeypatch, tmp_path, body)
    small = replace(KINDS["sites"], memory_limit_bytes=500_000_000)
    monkeypatch.setattr(uploads, "KINDS", {"sites": small})
    if said is None:
        assert store_upload(ws, "sites", "s.csv", SITES).summary == {}
        return
    assert said in refusal(ws, "sites", "s.csv", SITES)


def test_check_starts_fast(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(SITES)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.desk.upload_check", "sites", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert time.monotonic() - start < 1.5
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["summary"]["num_sectors"] > 0
