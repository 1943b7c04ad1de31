import json
import warnings
import zipfile
from dataclasses import replace

import fsspec
import numpy as np
import pytest
import xarray as xr
from zarr.storage import ZipStore

from rfplatform.errors import InputError
from rfplatform.formats.zarr import read_zarr, write_zarr
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import RadioMap


@pytest.fixture(scope="module")
def store(radio_map, planning, tmp_path_factory):
    path = tmp_path_factory.mktemp("zarr") / "radio_map.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        write_zarr(
            radio_map, path, planning=planning, noise_figure_db=5.0, title="Town",
            attribution="© those",
        )  # fmt: skip
    return path


def test_round_trip(radio_map, store):
    again = read_zarr(store)
    assert again.grid == radio_map.grid
    assert again.sectors == radio_map.sectors
    assert again.attrs == radio_map.attrs
    for name in ("path_gain_db", "raw_path_gain_db", "standard_error_db", "outdoor", "los"):
        written, read = getattr(radio_map, name), getattr(again, name)
        assert read.dtype == written.dtype
        assert np.array_equal(read, written, equal_nan=written.dtype.kind == "f"), name
    assert np.isneginf(again.path_gain_db).any()


def test_xarray_opens_it_with_crs_and_without_warnings(radio_map, store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = xr.open_dataset(store, engine="zarr", decode_coords="all").load()
    assert ds.rio.crs.to_epsg() == 32635
    assert ds["rss_dbm"].rio.crs.to_epsg() == 32635
    assert ds["sector"].to_numpy().tolist() == [s.label for s in radio_map.sectors]
    assert ds.attrs["title"] == "Town"
    assert ds.attrs["attribution"] == "© those"
    assert np.nanmin(ds["best_rss_dbm"].to_numpy()) < -50
    assert not (ds["best_rss_dbm"] == 0).any()
    assert ds["best_sector"].dtype == np.int16


def test_planning_layers_are_cf_variables_with_the_crs(radio_map, planning, store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds = xr.open_dataset(store, engine="zarr", decode_coords="all").load()
    for layer in planning.layers():
        variable = ds[layer.name]
        assert variable.rio.crs.to_epsg() == 32635
        assert np.array_equal(variable, layer.values, equal_nan=layer.values.dtype.kind == "f")
        assert (variable.attrs["long_name"], variable.attrs["comment"]) == (
            layer.title, layer.comment,
        )  # fmt: skip
        if layer.flags is None:
            assert variable.attrs["units"] == layer.units
        else:
            assert len(variable.attrs["flag_meanings"].split()) == len(variable.flag_values)
    assert ds["ss_rsrp_dbm"].attrs["ancillary_variables"] == "best_server"
    best = ds["sector_ss_rsrp_dbm"].max("sector")
    np.testing.assert_allclose(best, ds["ss_rsrp_dbm"], atol=1e-4)
    assert ds["num_rb"].to_numpy().tolist() == [51] * len(radio_map.sectors)
    assert json.loads(ds.attrs["planning"])["margin_db"] == 3.0


def test_ground_delays_and_antennas_above_it_come_back(radio_map, tmp_path):
    shape = radio_map.path_gain_db.shape
    delay = np.linspace(1e-7, 5e-6, np.prod(shape)).reshape(shape).astype(np.float32)
    high = tuple(replace(s, z_m=s.z_m + 0.1, ground_m=12.34) for s in radio_map.sectors)
    full = replace(
        radio_map, sectors=high, ground_m=np.full(shape[1:], 12.5, np.float32),
        mean_delay_s=delay, delay_spread_s=delay / 4,
    )  # fmt: skip
    write_zarr(full, tmp_path / "full.zarr", planning=planning_layers(full))
    again = read_zarr(tmp_path / "full.zarr")
    assert again.sectors == high
    for name in ("ground_m", "mean_delay_s", "delay_spread_s"):
        assert np.array_equal(getattr(again, name), getattr(full, name)), name
    with xr.open_zarr(tmp_path / "full.zarr") as ds:
        assert ds["serving_mean_delay_s"].attrs["units"] == "s"
        assert ds["height_m"].to_numpy() == pytest.approx([s.z_m - 12.34 for s in high])


def test_it_is_version_3_float32_compressed_and_chunked_by_sector(radio_map, store):
    root = json.loads((store / "zarr.json").read_text())
    assert root["zarr_format"] == 3
    array = json.loads((store / "path_gain_db" / "zarr.json").read_text())
    assert array["data_type"] == "float32"
    assert array["fill_value"] == "NaN"
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [1, *radio_map.grid.shape]
    assert "blosc" in {codec["name"] for codec in array["codecs"]}
    labels = json.loads((store / "sector" / "zarr.json").read_text())
    assert labels["data_type"] == "string"


def test_a_map_of_one_layer_and_one_cell(radio_map, tmp_path):
    grid = type(radio_map.grid)(radio_map.grid.frame, 0.25, -3.125, 4.0, 1, 1, 10.0)
    one = RadioMap(
        grid, radio_map.sectors[:1], np.full((1, 1, 1), -np.inf, np.float32), None,
        np.ones((1, 1), bool),
    )  # fmt: skip
    write_zarr(one, tmp_path / "one.zarr")
    again = read_zarr(tmp_path / "one.zarr")
    assert again.grid == grid
    assert np.isneginf(again.path_gain_db).all()
    assert again.standard_error_db is None
    assert again.los is None
    assert again.raw_path_gain_db is None
    assert (again.ground_m, again.mean_delay_s, again.delay_spread_s) == (None, None, None)


@pytest.fixture(scope="module")
def zipped(radio_map, planning, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "radio_map.zarr.zip"
    write_zarr(radio_map, path, planning=planning)
    return path


def test_a_zip_file_holds_the_same_map(radio_map, zipped):
    again = read_zarr(zipped)
    assert (again.grid, again.sectors) == (radio_map.grid, radio_map.sectors)
    assert np.array_equal(again.path_gain_db, radio_map.path_gain_db)
    assert [p.name for p in zipped.parent.iterdir()] == [zipped.name]


@pytest.mark.parametrize(
    "through",
    [
        "ZipStore",
        pytest.param(
            "fsspec",
            marks=pytest.mark.skipif(
                fsspec.__version__ < "2026.7",
                reason="fsspec 2026.6, which inspect_ai holds, can't",
            ),
        ),
    ],
)
def test_xarray_opens_a_zip_file_as_the_docstring_says(radio_map, zipped, through):
    store = ZipStore(zipped, mode="r") if through == "ZipStore" else f"zip::{zipped}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with xr.open_zarr(store, decode_coords="all") as ds:
            assert ds.rio.crs.to_epsg() == 32635
            assert np.nanmax(ds["best_rss_dbm"]) == radio_map.best_rss_dbm().max()


def test_a_zip_file_is_stored_sorted_and_undated(zipped):
    with zipfile.ZipFile(zipped) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(set(names))
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_overwrite_is_asked_for(radio_map, store):
    with pytest.raises(InputError, match="--overwrite"):
        write_zarr(radio_map, store)


def test_reading_what_is_not_a_map(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        read_zarr(tmp_path / "nothing.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(InputError, match="not a radio map"):
        read_zarr(tmp_path / "empty.zarr")
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "other.zarr", consolidated=False)
    with pytest.raises(InputError, match="not a radio map"):
        read_zarr(tmp_path / "other.zarr")
    (tmp_path / "text.zarr.zip").write_text("no archive")
    with pytest.raises(InputError, match="not a radio map"):
        read_zarr(tmp_path / "text.zarr.zip")
    with pytest.raises(InputError, match="no such directory or ZIP file"):
        read_zarr(tmp_path / "nothing.zarr.zip")
