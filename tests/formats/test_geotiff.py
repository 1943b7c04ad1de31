from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate

from rfplatform.errors import InputError
from rfplatform.formats.geotiff import BEST_RSS_BAND, write_geotiff
from rfplatform.planning.layers import planning_layers


@pytest.fixture(scope="module")
def tif(radio_map, planning, tmp_path_factory):
    path = tmp_path_factory.mktemp("tif") / "radio_map.tif"
    write_geotiff(radio_map, path, planning=planning, title="Town")
    return path


def test_it_is_a_valid_cog_with_overviews(tif):
    valid, errors, warnings = cog_validate(tif, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(tif) as source:
        assert source.overviews(1)
        assert source.compression.name == "deflate"


def test_bands_names_units_and_tags(radio_map, tif):
    with rasterio.open(tif) as source:
        labels = [s.label for s in radio_map.sectors]
        assert source.descriptions == (
            *labels, BEST_RSS_BAND, "SS-RSRP [dBm]", "SS-RSRQ [dB]", "SS-SINR [dB]", "best server",
            "server dominance [dB]", "servers within 6 dB", "handover boundary", "CQI",
            "downlink rate [bit/s]",
        )  # fmt: skip
        assert source.units == (
            *["dBm"] * (len(labels) + 2), "dB", "dB", None, "dB", None, None, None, "bit/s",
        )  # fmt: skip
        server = source.tags(len(labels) + 5)
        assert [server[f"value_{i}"] for i in range(len(labels))] == labels
        assert "38.215 clause 5.1.1" in source.tags(len(labels) + 2)["comment"]
        assert np.isnan(source.nodata)
        assert source.tags()["attribution"] == "© OpenStreetMap contributors"
        assert source.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "Town"
        assert source.tags()["solver"] == "raytraced"


def test_every_cell_lies_where_it_was(radio_map, tif):
    grid = radio_map.grid
    with rasterio.open(tif) as source:
        assert source.crs.to_epsg() == 32635
        assert source.transform.e < 0  # North is up.
        bands = source.read()
        rng = np.random.default_rng(0)
        for i, j in zip(
            rng.integers(grid.num_y, size=40), rng.integers(grid.num_x, size=40), strict=True
        ):
            point = grid.easting_m()[j], grid.northing_m()[i]
            sampled = next(source.sample([point]))
            expected = [*radio_map.rss_dbm()[:, i, j], radio_map.best_rss_dbm()[i, j]]
            expected = np.where(np.isneginf(expected), np.nan, expected)
            sampled = sampled[: len(expected)]
            assert np.array_equal(sampled, expected.astype(np.float32), equal_nan=True)
    lit = np.isfinite(radio_map.path_gain_db)
    assert np.array_equal(np.isnan(bands[: len(lit)]), ~lit[:, ::-1])


def test_planning_bands_hold_the_layers(radio_map, planning, tif):
    first = len(radio_map.sectors) + 1
    with rasterio.open(tif) as source:
        bands = source.read()[first:, ::-1]
    dark = planning.best_server < 0
    assert dark.any()
    for band, layer in zip(bands, planning.layers(), strict=True):
        expected = layer.values.astype(np.float32)
        if layer.name == "best_server":
            expected[dark] = np.nan
        assert np.array_equal(band, expected, equal_nan=True), layer.name


def test_ground_and_delays_are_bands_where_the_map_has_them(radio_map, tmp_path):
    shape = radio_map.path_gain_db.shape
    delay = np.linspace(1e-7, 5e-6, np.prod(shape)).reshape(shape).astype(np.float32)
    ground = np.full(shape[1:], 12.5, np.float32)
    full = replace(radio_map, ground_m=ground, mean_delay_s=delay, delay_spread_s=delay / 4)
    planned = planning_layers(full)
    write_geotiff(full, tmp_path / "full.tif", planning=planned)
    with rasterio.open(tmp_path / "full.tif") as source:
        assert source.descriptions[-3:] == ("mean delay [s]", "delay spread [s]", "ground [m]")
        assert source.units[-3:] == ("s", "s", "m")
        mean, spread, height = source.read([source.count - 2, source.count - 1, source.count])
    assert np.array_equal(mean[::-1], planned.mean_delay_s, equal_nan=True)
    np.testing.assert_allclose(spread, mean / 4, rtol=1e-6)
    assert (height == 12.5).all()


def test_without_planning_there_are_the_levels_alone(radio_map, tmp_path):
    write_geotiff(radio_map, tmp_path / "levels.tif")
    with rasterio.open(tmp_path / "levels.tif") as source:
        assert source.descriptions == (*(s.label for s in radio_map.sectors), BEST_RSS_BAND)
        assert set(source.units) == {"dBm"}


def test_a_failed_write_leaves_nothing(radio_map, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rasterio.shutil.copy", fail)
    with pytest.raises(OSError, match="No space"):
        write_geotiff(radio_map, tmp_path / "map.tif")
    assert not list(tmp_path.iterdir())


def test_overwrite_is_asked_for(radio_map, tif):
    with pytest.raises(InputError, match="--overwrite"):
        write_geotiff(radio_map, tif)
