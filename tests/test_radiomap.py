import json

import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.frame import Frame
from rfplatform.radiomap import Grid, RadioMap, Sector, band_overlap

FRAME = Frame("EPSG:32635", 385_000.0, 6_672_000.0)
SECTORS = (
    Sector("North gate", "1", 10.0, 20.0, 25.0, 30.0, 6.0, 46.0, antenna="tr38901"),
    Sector("North gate", "2", 10.0, 20.0, 25.0, 150.0, 6.0, 43.0, mount="roof"),
)
GRID = Grid(FRAME, -8.0, -4.0, 4.0, 3, 2)


def make_map(**changes) -> RadioMap:
    gain = np.array(
        [[[-80, -90, -np.inf], [-70, -np.inf, -100]], [[-85, -80, -np.inf], [-75, -90, -95]]],
        dtype=np.float32,
    )
    fields = {
        "grid": GRID,
        "sectors": SECTORS,
        "path_gain_db": gain,
        "standard_error_db": np.where(np.isfinite(gain), 1.5, np.nan).astype(np.float32),
        "outdoor": np.array([[True, True, False], [True, True, True]]),
        "los": np.isfinite(gain),
        "raw_path_gain_db": gain - 1,
        "attrs": {"solver": "raytraced", "rays": 10, "batches": [1, 2], "interrupted": False},
    }
    return RadioMap(**(fields | changes))


class TestLayers:
    def test_best_sector_is_the_strongest_and_none_where_dark(self):
        # RSS: sector 1 is 46 dBm above its gain, sector 2 is 43 dBm.
        assert make_map().best_sector().tolist() == [[0, 1, -1], [0, 1, 1]]
        assert make_map().best_rss_dbm().tolist() == [[-34, -37, -np.inf], [-24, -47, -52]]

    def test_sinr_against_hand_made_powers(self):
        sinr = make_map().sinr_db([-60.0, -60.0])
        # Cell (0, 0): -34 dBm served, -42 dBm interferes, -60 dBm of noise.
        expected = -34 - 10 * np.log10(10**-4.2 + 10**-6.0)
        assert sinr[0, 0] == pytest.approx(expected, abs=1e-4)
        # Cell (1, 1) hears one sector alone: SNR.
        assert sinr[1, 1] == pytest.approx(-47 + 60, abs=1e-4)
        assert sinr[0, 2] == -np.inf

    def test_bands_apart_do_not_interfere(self):
        near = Sector("a", "1", 0, 0, 10, frequency_hz=3.5e9, bandwidth_hz=20e6)
        half = Sector("a", "2", 0, 0, 10, frequency_hz=3.51e9, bandwidth_hz=20e6)
        far = Sector("a", "3", 0, 0, 10, frequency_hz=2.6e9, bandwidth_hz=20e6)
        assert band_overlap([near, half, far]).tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]

    def test_wrong_shape_and_equal_labels_are_refused(self):
        with pytest.raises(ValueError, match="outdoor"):
            make_map(outdoor=np.ones((3, 2), bool))
        with pytest.raises(ValueError, match="not unique"):
            make_map(sectors=(SECTORS[0], SECTORS[0]))


class TestGrid:
    def test_lines_are_multiples_of_the_resolution(self):
        grid = Grid.covering((-9.0, -3.0, 3.5, 4.0), FRAME, 4.0)
        assert (grid.west_m, grid.south_m, grid.num_x, grid.num_y) == (-12.0, -4.0, 4, 2)
        assert grid.easting_m()[0] == 385_000 - 12 + 2
        assert grid.northing_m()[-1] == 6_672_000 + 2

    @pytest.mark.parametrize("resolution", [0.0, -1.0, float("nan")])
    def test_resolution_must_be_positive(self, resolution):
        with pytest.raises(InputError, match="resolution"):
            Grid.covering((0, 0, 1, 1), FRAME, resolution)


class TestToXarray:
    def test_coordinates_are_cell_centres_in_the_projected_crs(self):
        ds = make_map().to_xarray()
        assert ds["path_gain_db"].dims == ("sector", "y", "x")
        assert ds["x"].to_numpy().tolist() == [384_994, 384_998, 385_002]
        assert ds["y"].to_numpy().tolist() == [6_671_998, 6_672_002]
        assert ds["x"].attrs["standard_name"] == "projection_x_coordinate"
        assert ds.rio.crs.to_epsg() == 32635
        west, south, east, north = ds.rio.bounds()
        assert (west, east) == (384_992, 385_004)
        assert {south, north} == {6_671_996, 6_672_004}

    def test_values_and_missing(self):
        radio_map = make_map()
        ds = radio_map.to_xarray(noise_figure_db=3.0)
        gain = ds["path_gain_db"].to_numpy()
        assert not np.isinf(gain).any()
        assert np.array_equal(np.isnan(gain), np.isneginf(radio_map.path_gain_db))
        assert ds["rss_dbm"].sel(sector="North gate/2", x=384_994, y=6_672_002) == -75 + 43
        assert ds["best_sector"].dtype == np.int16
        assert ds["best_sector"].attrs["flag_values"].dtype == np.int16
        assert ds["best_sector"].attrs["flag_meanings"].split() == [
            "no_path", "North_gate_1", "North_gate_2",
        ]  # fmt: skip
        # kTB of 20 MHz at 290 K is -100.96 dBm; with 3 dB of noise figure -97.96 dBm.
        assert ds["sinr_db"][1, 1] == pytest.approx(-47 + 97.96, abs=0.01)

    def test_sector_coordinates(self):
        ds = make_map().to_xarray()
        assert ds["sector"].to_numpy().tolist() == ["North gate/1", "North gate/2"]
        assert ds["mount"].to_numpy().tolist() == ["ground", "roof"]
        lon, lat = FRAME.to_lonlat(10.0, 20.0)
        assert ds["lon_deg"][0] == lon
        assert ds["lat_deg"][0] == lat
        assert set(ds.coords) >= {
            "site", "height_m", "azimuth_deg", "downtilt_deg", "power_dbm", "frequency_hz",
            "bandwidth_hz", "antenna",
        }  # fmt: skip

    def test_every_level_has_units_and_a_name(self):
        for name, variable in make_map().to_xarray().data_vars.items():
            assert variable.attrs["long_name"]
            assert variable.encoding["grid_mapping"] == "spatial_ref"
            suffix = str(name).rsplit("_", 1)[-1]
            assert variable.attrs.get("units") == {"db": "dB", "dbm": "dBm"}.get(suffix)

    def test_absent_layers_stay_absent(self):
        ds = make_map(standard_error_db=None, los=None, raw_path_gain_db=None).to_xarray()
        assert not {"standard_error_db", "los", "raw_path_gain_db"} & set(ds)

    def test_global_attributes(self):
        attrs = make_map().to_xarray().attrs
        assert attrs["Conventions"] == "CF-1.11"
        assert attrs["rays"] == 10
        assert attrs["batches"] == "[1, 2]"
        exact = json.loads(attrs["radio_map"])
        assert exact["attrs"]["interrupted"] is False
        assert exact["grid"]["num_x"] == 3

    def test_one_cell(self):
        one = RadioMap(
            Grid(FRAME, 0.0, 0.0, 4.0, 1, 1), SECTORS[:1], np.full((1, 1, 1), -np.inf, np.float32),
            None, np.ones((1, 1), bool),
        )  # fmt: skip
        ds = one.to_xarray()
        assert ds["best_sector"].item() == -1
        assert ds.rio.resolution() == (4.0, 4.0)
