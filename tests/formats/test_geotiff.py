import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate

from rfplatform.errors import InputError
from rfplatform.formats.geotiff import BEST_RSS_BAND, write_geotiff


@pytest.fixture(scope="module")
def tif(radio_map, tmp_path_factory):
    path = tmp_path_factory.mktemp("tif") / "radio_map.tif"
    write_geotiff(radio_map, path, title="Town")
    return path


def test_it_is_a_valid_cog_with_overviews(tif):
    valid, errors, warnings = cog_validate(tif, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(tif) as source:
        assert source.overviews(1)
        assert source.compression.name == "deflate"


def test_bands_names_units_and_tags(radio_map, tif):
    with rasterio.open(tif) as source:
        assert source.descriptions == (*(s.label for s in radio_map.sectors), BEST_RSS_BAND)
        assert set(source.units) == {"dBm"}
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
            assert np.array_equal(sampled, expected.astype(np.float32), equal_nan=True)
    lit = np.isfinite(radio_map.path_gain_db)
    assert np.array_equal(np.isnan(bands[:-1]), ~lit[:, ::-1])


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
