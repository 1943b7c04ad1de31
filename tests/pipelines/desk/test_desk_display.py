"""Displays of finished maps: what they tell at a point, and how two of them differ."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

import pipelines.map
from pipelines.calibrate import read_map
from pipelines.desk.display import (
    COVERED_DBM,
    difference,
    display_of_output,
    levels_at,
    read_display,
)
from pipelines.desk.workspace import write_json_file
from rfplatform.errors import InputError
from rfplatform.formats.display import ABOUT, RASTER, share_at_least, write_display
from rfplatform.formats.tiles import render_tile
from rfplatform.formats.zarr import write_zarr
from rfplatform.frame import LOCAL, Frame
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid, RadioMap, Sector

FRAME = Frame("EPSG:32635", 385_520.0, 6_671_830.0)
SUBCARRIERS = 51 * 12
BBOX = "24.9440,60.1660,24.9500,60.1690"
SITE = "24.9470,60.1675,10"


def lonlat_of(frame, x_m, y_m):
    to_lonlat = Transformer.from_crs(frame.crs, "EPSG:4326", always_xy=True)
    return to_lonlat.transform(
        np.asarray(x_m) + frame.origin_easting_m, np.asarray(y_m) + frame.origin_northing_m
    )


def a_map(
    resolution_m=4.0,
    *,
    frame=FRAME,
    shape=(90, 120),
    corner_m=(-240.0, -180.0),
    power_dbm=46.0,
    seed=None,
    outdoor=True,
):
    """Three sectors of a smooth field of Earth's own: the same in any frame and on any grid."""
    grid = Grid(frame, *corner_m, resolution_m, shape[1], shape[0])
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    lon, lat = lonlat_of(frame, x, y)
    # Metres that know nothing of the frame, from the middle of the town.
    east, north = (lon - 24.94) * 55_400.0, (lat - 60.165) * 111_300.0
    gains, sectors = [], []
    for i, (x0, y0) in enumerate([(-100.0, -60.0), (120.0, 40.0), (0.0, 150.0)]):
        gain = -95 - 30 * np.log10(1 + np.hypot(east - x0, north - y0) / 100)
        if seed is not None:
            gain = gain + rng.normal(0, 8, shape)
            gain[rng.random(shape) < 0.1] = -np.inf
        gains.append(gain)
        sectors.append(Sector("Site", str(i), x0, y0, 30.0, power_dbm=power_dbm))
    streets = rng.random(shape) < 0.7 if seed is not None else np.full(shape, outdoor)
    gain_db = np.array(gains, np.float32)
    return RadioMap(grid, tuple(sectors), gain_db, None, streets, attrs={"attribution": "Ours"})


def written(radio_map, folder):
    folder.mkdir(exist_ok=True)
    write_display(radio_map, planning_layers(radio_map), folder)
    return folder


def bands_of(folder):
    with rasterio.open(folder / RASTER) as raster:
        return dict(zip(raster.descriptions, raster.read()[:, ::-1], strict=True))


def rsrp_of(radio_map):
    power = np.array([s.power_dbm for s in radio_map.sectors])[:, None, None]
    return radio_map.path_gain_db.astype(float) + power - 10 * np.log10(SUBCARRIERS)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    radio_map = a_map(seed=3)
    return radio_map, written(radio_map, tmp_path_factory.mktemp("noisy"))


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    return written(a_map(), tmp_path_factory.mktemp("smooth"))


# ---------------------------------------------------------------------------------- of an output


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    out = tmp_path_factory.mktemp("map") / "out"
    config = pipelines.map.Config(
        "helsinki", bbox=BBOX, site=(SITE,), solver="tr38901-umi", formats=("zarr",), out=out,
        noise_figure_db=9.0, load=0.4,
    )  # fmt: skip
    return out, pipelines.map.main(config)


def test_of_what_a_map_wrote(output, tmp_path):
    out, record = output
    folder = tmp_path / "job" / "display"
    about = display_of_output(out, folder)
    assert read_display(folder) == json.loads((folder / ABOUT).read_text()) == about
    assert sorted(path.name for path in folder.iterdir()) == [ABOUT, RASTER]
    assert [path.name for path in folder.parent.iterdir()] == ["display"]
    assert about["title"] == record["area"]["name"]
    assert "OpenStreetMap" in about["attribution"]
    assert about["solver"] == "tr38901-umi"
    assert about["facts"]["warnings"] == record["warnings"]
    radio_map, _ = read_map(out)
    # With the assumptions of the record: load and noise figure are in the SINR.
    mw = 10 ** ((radio_map.path_gain_db[0].astype(float) + radio_map.sectors[0].power_dbm) / 10)
    noise_dbm = -173.975 + 10 * np.log10(SUBCARRIERS * 30e3) + 9.0
    sinr_db = 10 * np.log10(np.maximum(mw, 1e-30)) - noise_dbm
    expected = np.where(radio_map.outdoor & (mw > 0), sinr_db, np.nan)
    np.testing.assert_allclose(bands_of(folder)["ss_sinr_db"], expected, atol=0.02)
    display_of_output(out, folder)  # Again, over the one that is there.
    assert read_display(folder) == about


def test_there_is_no_map(tmp_path):
    with pytest.raises(InputError, match="no map there"):
        display_of_output(tmp_path / "gone", tmp_path / "display")
    assert not (tmp_path / "display").exists()
    assert read_display(tmp_path / "display") is None


def test_a_map_in_local_metres(output, tmp_path):
    _, record = output
    (tmp_path / "out").mkdir()
    away = a_map()
    local = replace(away, grid=replace(away.grid, frame=LOCAL))
    write_zarr(local, tmp_path / "out" / "radio_map.zarr")
    write_json_file({k: v for k, v in record.items() if k != "out"}, tmp_path / "out" / "run.json")
    with pytest.raises(InputError, match="--origin") as told:
        display_of_output(tmp_path / "out", tmp_path / "display")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "display").exists()


# ------------------------------------------------------------------------------------ at a point


def test_levels_are_those_of_the_arrays(noisy):
    radio_map, folder = noisy
    rng = np.random.default_rng(1)
    rsrp_dbm = rsrp_of(radio_map)
    x = rng.uniform(-240, 240, 300)
    y = rng.uniform(-180, 180, 300)
    seen = {"indoors": 0, "dark": 0, "lit": 0}
    for lon, lat, x_m, y_m in zip(*lonlat_of(FRAME, x, y), x, y, strict=True):
        row, column = int((y_m + 180) / 4), int((x_m + 240) / 4)
        told = levels_at(folder, lon, lat)
        assert told["inside"]
        assert told["outdoor"] == radio_map.outdoor[row, column]
        listed = {s["label"]: s["rsrp_dbm"] for s in told["sectors"]}
        assert set(listed) == {"Site/0", "Site/1", "Site/2"}
        levels = [s["rsrp_dbm"] for s in told["sectors"] if s["rsrp_dbm"] is not None]
        assert levels == sorted(levels, reverse=True)
        assert all(s["rsrp_dbm"] is None for s in told["sectors"][len(levels) :])
        here = rsrp_dbm[:, row, column]
        if not told["outdoor"]:
            assert set(told["values"].values()) == {None}
            assert levels == []
            assert told["server"] is None
            seen["indoors"] += 1
            continue
        for i, level in enumerate(here):
            found = listed[f"Site/{i}"]
            assert found is None if np.isinf(level) else found == pytest.approx(level, abs=1e-4)
        best = int(here.argmax())
        lit = bool(np.isfinite(here).any())
        seen["lit" if lit else "dark"] += 1
        assert told["server"] == (f"Site/{best}" if lit else None)
        assert told["values"]["ss_rsrp_dbm"] == (pytest.approx(here[best]) if lit else None)
        assert told["values"]["best_server"] == (best if lit else None)
    assert seen["lit"] > 100
    assert seen["indoors"] > 50
    json.dumps(levels_at(folder, *lonlat_of(FRAME, 0.0, 0.0)), allow_nan=False)


def test_borders_of_the_map(noisy):
    _, folder = noisy
    for x, y, inside in [
        (-239.9, -179.9, True), (239.9, 179.9, True), (-239.9, 179.9, True),
        (-240.1, 0.0, False), (240.1, 0.0, False), (0.0, 180.1, False), (0.0, -180.1, False),
    ]:  # fmt: skip
        assert levels_at(folder, *lonlat_of(FRAME, x, y))["inside"] is inside


@pytest.mark.parametrize("place", [(117.0, 0.0), (-63.0, -60.0), (24.9, -89.0), (200.0, 10.0)])
def test_far_away_nothing_is_told(noisy, place):
    told = levels_at(noisy[1], *place)
    assert (told["inside"], told["outdoor"], told["server"]) == (False, False, None)
    assert (told["values"], told["sectors"]) == ({}, [])


def test_no_map_no_levels(tmp_path):
    with pytest.raises(InputError, match="no such map") as told:
        levels_at(tmp_path, 24.9, 60.1)
    assert str(tmp_path) not in str(told.value)


# -------------------------------------------------------------------------------- two of them


def test_a_map_less_itself_is_nothing(noisy, tmp_path):
    radio_map, folder = noisy
    about = difference(folder, folder, tmp_path / "less")
    bands = bands_of(tmp_path / "less")
    source = bands_of(folder)
    with rasterio.open(folder / RASTER) as was, rasterio.open(tmp_path / "less" / RASTER) as now:
        assert (now.transform, now.crs, now.shape) == (was.transform, was.crs, was.shape)
    assert about["bounds"] == read_display(folder)["bounds"]
    for of in ("rsrp", "sinr"):
        values = bands[f"ss_{of}_difference_db"]
        known = np.isfinite(source["ss_rsrp_dbm"])
        np.testing.assert_array_equal(np.isfinite(values), known)
        assert not values[known].any()
    assert set(np.unique(bands["coverage_change"][radio_map.outdoor])) <= {0.0, 1.0}
    facts = about["facts"]
    assert facts["gained_share"] == facts["lost_share"] == facts["rmse_db"] == 0.0
    assert facts["cells_compared"] == known.sum()
    assert facts["outdoor_km2"] == pytest.approx(radio_map.outdoor.sum() * 16e-6)
    assert read_display(tmp_path / "less") == about


def test_three_decibels_more(noisy, tmp_path):
    radio_map, folder = noisy
    louder = replace(
        radio_map, sectors=tuple(replace(s, power_dbm=49.0) for s in radio_map.sectors)
    )
    second = written(louder, tmp_path / "louder")
    about = difference(folder, second, tmp_path / "less", titles=("now", "then"))
    bands = bands_of(tmp_path / "less")
    known = bands["ss_rsrp_difference_db"][np.isfinite(bands["ss_rsrp_difference_db"])]
    np.testing.assert_allclose(known, 3.0, atol=1e-4)
    assert about["title"] == "then less now"
    assert about["layers"][0]["median"] == 3.0
    assert about["facts"]["median_db"] == about["facts"]["percentile_95_db"] == 3.0
    before = rsrp_of(radio_map).max(axis=0)
    gained = radio_map.outdoor & (before < COVERED_DBM) & (before + 3 >= COVERED_DBM)
    assert gained.sum() > 20
    np.testing.assert_array_equal(bands["coverage_change"] == 2, gained)
    assert about["facts"]["gained_share"] == pytest.approx(gained.sum() / radio_map.outdoor.sum())
    assert about["facts"]["lost_share"] == 0.0
    counts = about["layers"][2]["distribution"]["counts"]
    assert sum(counts) == radio_map.outdoor.sum()
    assert counts[2] == gained.sum()
    assert [s["power_dbm"] for s in about["sectors"]] == [49.0] * 3
    # The other way round, what was gained is lost; and other levels count if they are asked for.
    back = difference(second, folder, tmp_path / "back")
    assert back["layers"][0]["median"] == -3.0
    assert back["facts"]["lost_share"] == about["facts"]["gained_share"]
    other = difference(folder, second, tmp_path / "other", covered_dbm=-80.0)
    gained = radio_map.outdoor & (before < -80) & (before + 3 >= -80)
    assert other["facts"]["gained_share"] == pytest.approx(gained.sum() / radio_map.outdoor.sum())


def test_what_only_one_of_them_reaches(tmp_path):
    first, second = a_map(), a_map()
    first.path_gain_db[:, :30] = -np.inf
    second.path_gain_db[:, -10:] = -np.inf
    second.outdoor[:, :20] = False
    a, b = written(first, tmp_path / "a"), written(second, tmp_path / "b")
    about = difference(a, b, tmp_path / "less", covered_dbm=-200.0)
    bands = bands_of(tmp_path / "less")
    rows = slice(20, None)
    change = bands["coverage_change"][:, rows]
    assert (change[:30] == 2).all()
    assert (change[30:-10] == 1).all()
    assert (change[-10:] == 3).all()
    assert np.isnan(bands["coverage_change"][:, :20]).all()
    assert about["facts"]["gained_share"] == pytest.approx(30 / 90)
    assert about["facts"]["lost_share"] == pytest.approx(10 / 90)
    assert about["facts"]["cells_compared"] == 50 * 100
    assert np.isfinite(bands["ss_rsrp_difference_db"]).sum() == 50 * 100


@pytest.mark.parametrize("how", ["coarser", "finer", "another zone", "a part"])
def test_on_another_grid_it_is_close(smooth, tmp_path, how):
    zone = Frame("EPSG:32634", 718_200.0, 6_677_000.0)
    # About the middle of the others in the next zone, whose north is turned by five degrees.
    east, north = Transformer.from_crs(FRAME.crs, zone.crs, always_xy=True).transform(
        FRAME.origin_easting_m, FRAME.origin_northing_m
    )
    other = {
        "coarser": lambda: a_map(8.0, shape=(45, 60)),
        "finer": lambda: a_map(1.0, shape=(360, 480)),
        "another zone": lambda: a_map(frame=Frame(zone.crs, east, north)),
        "a part": lambda: a_map(shape=(40, 50), corner_m=(-41.0, 13.0)),
    }[how]()
    second = written(other, tmp_path / "second")
    for number, (first, last) in enumerate([(smooth, second), (second, smooth)]):
        about = difference(first, last, tmp_path / f"less{number}")
        values = bands_of(tmp_path / f"less{number}")["ss_rsrp_difference_db"]
        known = values[np.isfinite(values)]
        # The field is steepest at a site: 13 dB in 100 m, and a cell's half diagonal is 6 m.
        assert np.abs(known).max() < 1.5
        assert abs(known.mean()) < 0.02 if how == "another zone" else abs(known.mean()) < 0.1
        grid = bands_of(first)["outdoor"]
        assert values.shape == grid.shape
        share = known.size / grid.size
        assert share == pytest.approx(1.0) if how in ("coarser", "finer") else share > 0.1
        assert about["resolution_m"] == read_display(first)["resolution_m"]


def test_a_difference_is_a_display(noisy, smooth, tmp_path):
    about = difference(noisy[1], smooth, tmp_path / "less", titles=("a", "b"))
    bands = bands_of(tmp_path / "less")
    assert [layer["band"] for layer in about["layers"]] == [1, 2, 3]
    assert list(bands)[about["outdoor_band"] - 1] == "outdoor"
    assert about["sector_bands"] == []
    for layer in about["layers"][:2]:
        low, high = layer["legend"]["range"]
        assert low == -high
        assert 0.0 in layer["legend"]["ticks"]
        assert layer["threshold"] is None
        # Red is less, and blue is more; the middle is pale.
        first, middle, last = (layer["legend"]["colors"][i] for i in (0, 16, -1))
        assert int(first[1:3], 16) > int(first[5:], 16)
        assert int(last[1:3], 16) < int(last[5:], 16)
        assert min(bytes.fromhex(middle[1:])) > 220
    values = bands["ss_rsrp_difference_db"]
    counted = share_at_least(about["layers"][0], 0.0)
    with np.errstate(invalid="ignore"):
        assert counted == pytest.approx((values >= 0).sum() / (bands["outdoor"] > 0).sum())
    lon, lat = lonlat_of(FRAME, *np.array([[-239.0], [-179.0]]) + 4.0 * 20)
    told = levels_at(tmp_path / "less", lon[0], lat[0])
    assert told["inside"]
    assert told["sectors"] == []
    assert told["server"] is None
    assert set(told["values"]) == {layer["name"] for layer in about["layers"]}
    level = told["values"]["ss_rsrp_difference_db"]
    assert level is None or level == pytest.approx(float(values[20, 20]))
    assert len(render_tile(tmp_path / "less", "coverage_change", 14, 9327, 4743)) > 100
    with pytest.raises(InputError):
        render_tile(tmp_path / "less", "sector:0", 14, 9327, 4743)


def test_nothing_in_common(noisy, tmp_path):
    _, folder = noisy
    aside = written(a_map(corner_m=(300.0, 0.0)), tmp_path / "aside")
    far = written(a_map(frame=Frame("EPSG:32756", 334_000.0, 6_252_000.0)), tmp_path / "far")
    indoors = written(a_map(outdoor=False), tmp_path / "indoors")
    for first, second in [(folder, aside), (aside, folder), (folder, far), (folder, indoors)]:
        with pytest.raises(InputError, match=r"^now and then have no place in common$"):
            difference(first, second, tmp_path / "less", titles=("now", "then"))
        assert not (tmp_path / "less").exists()


def test_what_can_t_be_compared(noisy, tmp_path):
    _, folder = noisy
    for pair in ((folder, tmp_path / "gone"), (tmp_path / "gone", folder)):
        with pytest.raises(InputError, match="no such map"):
            difference(*pair, tmp_path / "less")
    difference(folder, folder, tmp_path / "less")
    with pytest.raises(InputError, match="has no ss_rsrp_dbm to compare"):
        difference(folder, tmp_path / "less", tmp_path / "twice")
    assert not (tmp_path / "twice").exists()
