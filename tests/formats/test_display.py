"""What is shown of a map: every band against the arrays, and what the JSON says of them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from pyproj import Geod, Transformer
from rasterio.warp import transform_bounds

from pipelines.map import example_sites, read_rows
from rfplatform.errors import InputError
from rfplatform.formats.display import (
    ABOUT,
    ORDER,
    RASTER,
    SCALES,
    SERVER_COLORS,
    Scale,
    Shown,
    described,
    place_of,
    share_at_least,
    write_display,
)
from rfplatform.frame import LOCAL, Frame
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import BuiltIn
from rfplatform.geodata.sites import place_sectors
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid, RadioMap, Sector

FRAME = Frame("EPSG:32635", 385_520.0, 6_671_830.0)
SUBCARRIERS = 51 * 12
"""Of 20 MHz at a spacing of 30 kHz: TS 38.101-1 Table 5.3.2-1."""


@pytest.fixture(scope="module")
def delayed(radio_map):
    """The town's map with delays, and one sector without its power."""
    rng = np.random.default_rng(2)
    known = np.isfinite(radio_map.path_gain_db)
    delay_s = np.where(known, rng.uniform(1e-7, 4e-6, known.shape), np.nan).astype(np.float32)
    powers = [replace(s, power_dbm=40.0 + i) for i, s in enumerate(radio_map.sectors)]
    return replace(
        radio_map, sectors=tuple(powers), mean_delay_s=delay_s, delay_spread_s=delay_s / 7
    )


@pytest.fixture(scope="module")
def made(delayed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("display")
    about = write_display(delayed, planning_layers(delayed), folder)
    with rasterio.open(folder / RASTER) as raster:
        bands = dict(zip(raster.descriptions, raster.read()[:, ::-1], strict=True))
    return folder, about, bands


def flat_map(values_db, *, frame=FRAME, outdoor=None, resolution_m=4.0) -> RadioMap:
    """One sector whose SS-RSRP is what is given."""
    values_db = np.asarray(values_db, np.float32)
    sector = Sector("A", "1", 1.0, 2.0, 25.0, 30.0, 4.0, 43.0)
    gain_db = values_db - np.float32(43.0) + np.float32(10 * np.log10(SUBCARRIERS))
    grid = Grid(frame, 0.0, 0.0, resolution_m, values_db.shape[1], values_db.shape[0])
    outside = np.ones(values_db.shape, bool) if outdoor is None else outdoor
    return RadioMap(grid, (sector,), gain_db[None], None, outside, attrs={"title": "Flat"})


def shown(radio_map, folder, **more):
    return write_display(radio_map, planning_layers(radio_map), folder, **more)


def layers_of(about):
    return {layer["name"]: layer for layer in about["layers"]}


# ----------------------------------------------------------------------------------- the raster


def test_the_raster_lies_on_the_grid(made, delayed):
    folder, about, _ = made
    grid = delayed.grid
    with rasterio.open(folder / RASTER) as raster:
        assert raster.crs.to_epsg() == 32635
        assert raster.shape == grid.shape == (about["num_y"], about["num_x"])
        assert raster.xy(0, 0) == pytest.approx((grid.easting_m()[0], grid.northing_m()[-1]))
        assert raster.xy(*np.subtract(grid.shape, 1)) == pytest.approx(
            (grid.easting_m()[-1], grid.northing_m()[0])
        )
        assert set(raster.dtypes) == {"float32"}
        assert np.isnan(raster.nodata)
        names = raster.descriptions
    assert [about["layers"][i]["name"] for i in range(len(ORDER))] == list(ORDER)
    assert names[: len(ORDER)] == ORDER
    assert [layer["band"] for layer in about["layers"]] == list(range(1, len(ORDER) + 1))
    assert [names[band - 1] for band in about["sector_bands"]] == [f"sector:{i}" for i in range(9)]
    assert names[about["outdoor_band"] - 1] == "outdoor"
    assert len(names) == about["outdoor_band"]


def test_every_band_by_another_way(made, delayed):
    _, _, bands = made
    outdoor = delayed.outdoor
    power_dbm = np.array([s.power_dbm for s in delayed.sectors])[:, None, None]
    rsrp_dbm = delayed.path_gain_db.astype(float) + power_dbm - 10 * np.log10(SUBCARRIERS)
    best = rsrp_dbm.argmax(axis=0)
    lit = outdoor & np.isfinite(rsrp_dbm.max(axis=0))
    assert 0.2 < lit.mean() < 0.9

    def same(name, values, where=lit, **tolerance):
        expected = np.where(where & np.isfinite(values), values, np.nan)
        np.testing.assert_allclose(bands[name], expected, err_msg=name, **tolerance)

    def of_best(values):
        return np.choose(best, values)

    same("ss_rsrp_dbm", rsrp_dbm.max(axis=0), rtol=1e-6)
    same("best_server", best)
    same("path_gain_db", of_best(delayed.path_gain_db))
    same("standard_error_db", of_best(delayed.standard_error_db))
    same("los", of_best(delayed.los))
    same("serving_mean_delay_s", of_best(delayed.mean_delay_s) * 1e6, rtol=1e-5)
    same("serving_delay_spread_s", of_best(delayed.delay_spread_s) * 1e6, rtol=1e-5)
    for i in range(9):
        same(f"sector:{i}", rsrp_dbm[i], outdoor, rtol=1e-6)
    np.testing.assert_array_equal(bands["outdoor"], outdoor)
    # All sectors are in one band: the second is the best of the others.
    second_dbm = np.sort(rsrp_dbm, axis=0)[-2]
    dominance_db = rsrp_dbm.max(axis=0, where=lit, initial=-999.0) - second_dbm
    same("dominance_db", dominance_db, atol=2e-5)
    near = (rsrp_dbm >= np.maximum(rsrp_dbm.max(axis=0) - 6, -125)).sum(axis=0)
    assert (bands["num_servers"] == near)[lit].mean() > 0.9999  # But for ties of rounding.
    noise_mw = 10 ** ((-173.975 + 10 * np.log10(SUBCARRIERS * 30e3) + 7) / 10)
    mw = 10 ** ((rsrp_dbm + 10 * np.log10(SUBCARRIERS)) / 10)
    sinr = mw.max(axis=0) / (mw.sum(axis=0) - mw.max(axis=0) + noise_mw)
    same("ss_sinr_db", 10 * np.log10(np.maximum(sinr, 1e-30)), atol=0.01)
    in_mbps = planning_layers(delayed).rate_bps / 1e6
    same("rate_bps", in_mbps, outdoor, rtol=1e-5)


def test_a_large_raster_has_overviews_of_true_cells(tmp_path):
    rng = np.random.default_rng(4)
    radio_map = flat_map(rng.uniform(-120, -60, (300, 700)))
    shown(radio_map, tmp_path)
    with rasterio.open(tmp_path / RASTER) as raster:
        assert raster.overviews(1) == [2, 4]
        assert raster.block_shapes[0] == (256, 256)
        whole = raster.read(1)
        half = raster.read(1, out_shape=(150, 350))
    blocks = whole.reshape(150, 2, 350, 2)
    assert (blocks == half[:, None, :, None]).any(axis=(1, 3)).all()


def test_a_small_raster_has_none(tmp_path):
    shown(flat_map(np.full((10, 512), -90.0)), tmp_path)
    with rasterio.open(tmp_path / RASTER) as raster:
        assert raster.overviews(1) == []


# ------------------------------------------------------------------------------------- the JSON


def test_it_is_strict_json_and_what_was_returned(made):
    folder, about, _ = made
    text = (folder / ABOUT).read_text(encoding="utf-8")

    def refuse(name):
        raise AssertionError(name)

    assert json.loads(text, parse_constant=refuse) == json.loads(json.dumps(about)) == about
    assert not re.search(r"[\[ :]-0(\.0+)?[,\]}]", text)
    assert {path.name for path in folder.iterdir()} == {ABOUT, RASTER}


def test_who_made_it_of_what(made, delayed, tmp_path):
    _, about, bands = made
    assert about["title"] == "Radio map"
    assert about["solver"] == "raytraced"
    assert "OpenStreetMap" in about["attribution"]
    facts = about["facts"]
    lit = np.isfinite(bands["ss_rsrp_dbm"])
    assert facts["outdoor_km2"] == pytest.approx(delayed.outdoor.sum() * 16 / 1e6)
    assert facts["served_share"] == pytest.approx(lit.sum() / delayed.outdoor.sum())
    assert (facts["noise_db"], facts["stopped_by"]) == (0.8, "rays")
    other = shown(
        flat_map([[-90.0]]), tmp_path, title="Mine", attribution="Ours", facts={"warnings": ["w"]}
    )
    assert (other["title"], other["attribution"]) == ("Mine", "Ours")
    assert other["facts"]["warnings"] == ["w"]
    assert shown(flat_map([[-90.0]]), tmp_path)["title"] == "Flat"


def test_distributions_are_those_of_the_bands(made, delayed):
    _, about, bands = made
    for layer in about["layers"]:
        values = bands[layer["name"]][delayed.outdoor]
        known = values[np.isfinite(values)].astype(float)
        told = layer["distribution"]
        assert told["outdoor_cells"] == delayed.outdoor.sum()
        assert told["cells_with_value"] == known.size == sum(told["counts"])
        if layer["legend"]["kind"] == "classes":
            counted = [int((known == item["value"]).sum()) for item in layer["legend"]["items"]]
            assert told["counts"] == counted
            assert layer["median"] is None
            continue
        assert layer["median"] == pytest.approx(np.median(known), abs=1e-3)
        edges = np.array(told["edges"])
        assert edges.size == len(told["counts"]) + 1
        np.testing.assert_allclose(np.diff(edges), SCALES[layer["name"]].bin, rtol=1e-4)
        if SCALES[layer["name"]].bin >= 0.25:  # Whole in binary: no cell is at a border by luck.
            np.testing.assert_array_equal(np.histogram(known, edges)[0], told["counts"])


def test_shares_are_numpy_s(made, delayed):
    _, about, bands = made
    tried = 0
    for layer in about["layers"]:
        told = layer["threshold"]
        if told is None:
            continue
        values = bands[layer["name"]][delayed.outdoor]
        assert told["min"] <= told["value"] <= told["max"]
        for threshold in np.arange(told["min"], told["max"] + told["step"] / 2, told["step"]):
            with np.errstate(invalid="ignore"):
                expected = float((values >= threshold).sum() / values.size)
            assert share_at_least(layer, float(threshold)) == pytest.approx(expected, abs=1e-12)
            tried += 1
    assert tried > 150
    rsrp = layers_of(about)["ss_rsrp_dbm"]
    assert share_at_least(rsrp, -1000.0) == about["facts"]["served_share"]
    assert share_at_least(rsrp, 1000.0) == 0.0


def test_a_cell_on_an_edge_is_covered():
    values = [[-100.0, -99.999, -100.001, -105.0, -95.0]]
    layer = Shown("x", "X", "dBm", "", np.array(values, np.float32), SCALES["ss_rsrp_dbm"])
    told = described(layer, 1, np.ones((1, 5), bool))
    assert share_at_least(told, -100.0) == 0.6
    assert share_at_least(told, -100.5) == 0.6  # Between two edges, the upper one counts.
    assert share_at_least(told, -101.0) == 0.8
    assert share_at_least(told, -105.0) == 1.0


def test_legends_are_readable(made, delayed):
    _, about, bands = made
    for layer in about["layers"]:
        legend = layer["legend"]
        if legend["kind"] == "classes":
            assert all(re.fullmatch(r"#[0-9a-f]{6}", item["color"]) for item in legend["items"])
            continue
        scale = SCALES[layer["name"]]
        low, high = legend["range"]
        assert high - low >= 4 * scale.step - 1e-9
        for end in (low, high):
            assert end / scale.step == pytest.approx(round(end / scale.step), abs=1e-6)
        assert all(low <= tick <= high for tick in legend["ticks"])
        assert 3 <= len(legend["ticks"]) <= 7
        assert len(set(np.round(np.diff(legend["ticks"]), 6))) == 1
        assert len(legend["colors"]) == 32
        values = bands[layer["name"]]
        inside = (values >= low) & (values <= high)
        assert inside.sum() >= 0.9 * np.isfinite(values).sum(), layer["name"]
    servers = layers_of(about)["best_server"]["legend"]["items"]
    assert [item["label"] for item in servers] == [s.label for s in delayed.sectors]
    assert [item["color"] for item in servers] == [s["color"] for s in about["sectors"]]
    assert [item["color"] for item in servers] == list(SERVER_COLORS[:9])
    units = {layer["name"]: layer["unit"] for layer in about["layers"]}
    assert units["rate_bps"] == "Mbit/s"
    assert units["serving_mean_delay_s"] == units["serving_delay_spread_s"] == "µs"
    assert units["cqi"] == units["num_servers"] == units["best_server"] == ""


@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [
        (Scale(), -0.2, 37.0),
        (Scale(), -44.0, -0.2),
        (Scale(), -3.0, 41.0),
        (Scale("magma", 0.1, 0.02, lowest=0.0), 0.01, 0.013),
        (Scale("magma", 0.5, 0.1, lowest=0.0), 0.0, 900.0),
        (Scale("RdBu", 2.0, 0.5, symmetric=True), 0.0, 0.0),
        (Scale("RdBu", 2.0, 0.5, symmetric=True), -31.0, 3.0),
        (Scale("cividis", 10.0, 5.0, lowest=0.0), 30.0, 7000.0),
        (Scale("viridis", 1.0, 1.0), 1e4, 2.2e4),
        (Scale(ends=(-125.0, -60.0)), -20.0, -10.0),
    ],
)
def test_legends_of_any_values(scale, low, high):
    values = np.linspace(low, high, 1000, dtype=np.float32)[None]
    told = described(Shown("x", "X", "", "", values, scale), 1, np.ones(values.shape, bool))
    first, last = told["legend"]["range"]
    assert last - first >= 4 * scale.step - 1e-9
    assert 3 <= len(told["legend"]["ticks"]) <= 7
    assert all(first <= tick <= last for tick in told["legend"]["ticks"])
    assert "-0.0" not in map(str, [first, last, *told["legend"]["ticks"]])
    if scale.ends is not None:
        assert (first, last) == scale.ends
    elif scale.symmetric:
        assert first == -last
        assert 0.0 in told["legend"]["ticks"]
    assert sum(told["distribution"]["counts"]) == 1000


@pytest.mark.parametrize("nothing", ["no path", "no street"])
def test_a_map_of_nothing(tmp_path, nothing):
    radio_map = flat_map(np.full((6, 8), -90.0))
    if nothing == "no path":
        radio_map = replace(radio_map, path_gain_db=np.full((1, 6, 8), -np.inf, np.float32))
    else:
        radio_map = replace(radio_map, outdoor=np.zeros((6, 8), bool))
    about = shown(radio_map, tmp_path)
    assert json.loads((tmp_path / ABOUT).read_text()) == about
    rsrp = layers_of(about)["ss_rsrp_dbm"]
    assert rsrp["median"] is None
    assert share_at_least(rsrp, -100.0) == 0.0
    assert about["facts"]["served_share"] == (0.0 if nothing == "no path" else None)


def test_local_metres_have_no_display(tmp_path):
    with pytest.raises(InputError, match="--origin") as told:
        shown(flat_map([[-90.0]], frame=LOCAL), tmp_path)
    assert "\n" not in str(told.value)
    assert not (tmp_path / ABOUT).exists()


# ------------------------------------------------------------------------------ where things lie


@pytest.mark.parametrize("crs", ["EPSG:32635", "EPSG:3067", "EPSG:32756", "EPSG:2056"])
def test_the_bounds_hold_every_cell(crs):
    centre = {"EPSG:32756": (151.2, -33.9), "EPSG:2056": (8.5, 47.4)}.get(crs, (24.95, 60.17))
    easting, northing = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*centre)
    grid = Grid(Frame(crs, easting, northing), -30_000.0, -25_000.0, 100.0, 600, 500)
    told = place_of(grid)
    edges = (easting - 3e4, northing - 2.5e4, easting + 3e4, northing + 2.5e4)
    # Between its corners, an edge of 60 km bulges by a hundred metres.
    assert told["bounds"] == pytest.approx(
        transform_bounds(crs, "EPSG:4326", *edges, densify_pts=501), abs=2e-6
    )
    assert (told["crs"], told["resolution_m"]) == (crs, 100.0)
    assert (told["num_x"], told["num_y"], told["receiver_height_m"]) == (600, 500, 1.5)


def test_sectors_look_where_the_site_list_says(tmp_path):
    """On Earth: from the list, and along a line of a hundred metres in the grid."""
    rows = read_rows(example_sites("helsinki"), 3.5e9)
    scene = load_scene(BuiltIn("helsinki"))
    sectors = place_sectors(rows, scene)
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, 64.0)
    gain_db = np.full((len(sectors), *grid.shape), -100.0, np.float32)
    radio_map = RadioMap(grid, sectors, gain_db, None, np.ones(grid.shape, bool))
    told = shown(radio_map, tmp_path)["sectors"]
    assert len(told) == len(rows) > 3
    geod = Geod(ellps="WGS84")
    for row, sector, entry in zip(rows, sectors, told, strict=True):
        assert (entry["site"], entry["sector"]) == (row.site, row.sector)
        assert entry["label"] == sector.label
        assert (entry["lon"], entry["lat"]) == pytest.approx((row.lon_deg, row.lat_deg), abs=1e-6)
        assert abs((entry["azimuth_deg"] - row.azimuth_deg + 180) % 360 - 180) < 0.02
        angle = np.radians(sector.azimuth_deg)
        ahead = scene.frame.to_lonlat(
            sector.x_m + 100 * np.sin(angle), sector.y_m + 100 * np.cos(angle)
        )
        azimuth_deg, *_ = geod.inv(entry["lon"], entry["lat"], *ahead)
        assert abs((entry["azimuth_deg"] - azimuth_deg + 180) % 360 - 180) < 0.02
        assert not entry["omnidirectional"]
        assert entry["power_dbm"] == row.power_dbm
        assert entry["height_m"] == pytest.approx(sector.z_m - sector.ground_m, abs=0.01)


def test_antennas_that_look_everywhere(tmp_path):
    radio_map = flat_map([[-90.0]])
    told = shown(radio_map, tmp_path)["sectors"][0]
    assert (told["antenna"], told["omnidirectional"]) == ("isotropic", True)
    given = replace(radio_map.sectors[0], antenna="tr38901")
    told = shown(replace(radio_map, sectors=(given,)), tmp_path)["sectors"][0]
    assert (told["antenna"], told["omnidirectional"]) == ("tr38901", False)
