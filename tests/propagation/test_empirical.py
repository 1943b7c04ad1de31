import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from rfplatform.errors import InputError
from rfplatform.frame import Frame
from rfplatform.propagation.empirical import (
    FreeSpace,
    TR38901RMa,
    TR38901UMa,
    TR38901UMi,
    free_space_db,
    rma_los_db,
    rma_nlos_db,
    uma_los_db,
    uma_nlos_db,
    umi_los_db,
    umi_nlos_db,
)
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Area, Building, Scene

FRAME = Frame("EPSG:32635", 385_000.0, 6_672_000.0)
AREA = Area("test", 24.93, 60.16, 24.95, 60.18)
TR38901 = [TR38901UMa(), TR38901UMi(), TR38901RMa()]
SOLVERS = [FreeSpace(), *TR38901]


def building(footprint, top_m):
    return Building(footprint, 0.0, top_m, "height", "concrete", "way/1")


def scene(*buildings):
    return Scene(AREA, FRAME, buildings)


def sector(**changes):
    return replace(Sector("A", "1", 0.0, 0.0, 25.0, frequency_hz=3.5e9), **changes)


def row(num_x=100, resolution_m=10.0, west_m=0.0, receiver_height_m=1.5):
    """Cells in one row to the east of the origin, with their centres at y = 0."""
    return Grid(FRAME, west_m, -resolution_m / 2, resolution_m, num_x, 1, receiver_height_m)


# --- the formulas, against numbers worked out by hand from Table 7.4.1-1 ---


def test_free_space_at_1_km_and_3_5_ghz():
    # The engineers' form: 92.45 + 20 log10(f/GHz) + 20 log10(d/km).
    assert free_space_db(1000.0, 3.5e9) == pytest.approx(92.45 + 20 * math.log10(3.5), abs=0.01)


@pytest.mark.parametrize(
    ("formula_db", "d2d_m", "frequency_hz", "h_bs_m", "h_ut_m", "expected_db"),
    [
        # d3D = sqrt(1000**2 + 23.5**2) = 1000.2761, log10 = 3.00011988
        # 13.54 + 39.08 * 3.00011988 + 20 * 0.54406804 = 13.54 + 117.244685 + 10.881361
        (uma_nlos_db, 1000.0, 3.5e9, 25.0, 1.5, 141.666046),
        # d'_BP = 4 * 24 * 0.5 * 3.5e9 / 3e8 = 560 m, so 200 m is before it:
        # log10(d3D = 201.3759) = 2.30400743; 28 + 22 * 2.30400743 + 10.881361
        (uma_los_db, 200.0, 3.5e9, 25.0, 1.5, 89.569524),
        # ... and 1 km beyond: 28 + 40 * 3.00011988 + 10.881361
        # - 9 * log10(560**2 + 23.5**2 = 314152.25) = 9 * 5.49714017
        (uma_los_db, 1000.0, 3.5e9, 25.0, 1.5, 109.411894),
        # d'_BP = 4 * 9 * 0.5 * 28e9 / 3e8 = 1680 m; d3D = sqrt(100**2 + 8.5**2) = 100.3606,
        # log10 = 2.00156324; 32.4 + 21 * 2.00156324 + 20 * 1.44715803
        (umi_los_db, 100.0, 28e9, 10.0, 1.5, 103.375989),
        # 22.4 + 35.3 * 2.00156324 + 21.3 * 1.44715803
        (umi_nlos_db, 100.0, 28e9, 10.0, 1.5, 123.879648),
        # d'_BP = 4 * 9 * 0.5 * 2e9 / 3e8 = 120 m; d3D = sqrt(300**2 + 8.5**2) = 300.1204,
        # log10 = 2.47729555; 32.4 + 40 * 2.47729555 + 6.0206 - 9.5 log10(14400 + 72.25)
        (umi_los_db, 300.0, 2e9, 10.0, 1.5, 97.987328),
        # RMa with h = 5 m: 0.03 * 5**1.72 = 0.477914, 0.044 * 5**1.72 = 0.700940 and
        # d_BP = 2 pi * 35 * 1.5 * 0.8e9 / 3e8 = 879.645943 m, so 500 m is before it:
        # d3D = sqrt(500**2 + 33.5**2) = 501.120993, log10 = 2.699943;
        # 20 log10(40 pi * 501.120993 * 0.8 / 3) + 0.477914 * 2.699943 - 0.700940
        # + 0.002 * 0.69897 * 501.120993
        (rma_los_db, 500.0, 0.8e9, 35.0, 1.5, 85.792361),
        # ... and 1 km beyond: PL1(879.645943) = 91.325608, + 40 log10(1000.561 / 879.645943)
        (rma_los_db, 1000.0, 0.8e9, 35.0, 1.5, 93.563034),
    ],
)
def test_values_worked_out_by_hand(formula_db, d2d_m, frequency_hz, h_bs_m, h_ut_m, expected_db):
    d3d_m = math.hypot(d2d_m, h_bs_m - h_ut_m)
    loss_db = formula_db(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m)
    assert loss_db == pytest.approx(expected_db, abs=2e-4)


def test_rma_nlos_by_hand():
    # W = 20, h = 5, h_BS = 35, h_UT = 1.5, 700 MHz, 2 km.
    d3d_m = math.hypot(2000, 33.5)
    terms_db = [
        161.04,
        -7.1 * 1.30103,
        7.5 * 0.69897,
        -(24.37 - 3.7 / 49) * 1.544068,
        (43.42 - 3.1 * 1.544068) * (math.log10(d3d_m) - 3),
        20 * -0.154902,
        -(3.2 * math.log10(17.625) ** 2 - 4.97),
    ]
    loss_db = rma_nlos_db(2000.0, d3d_m, 0.7e9, 35.0, 1.5, 5.0, 20.0)
    assert loss_db == pytest.approx(sum(terms_db), abs=1e-3)


def test_rma_beyond_the_breakpoint_falls_with_the_fourth_power():
    # d_BP = 2 pi * 35 * 1.5 * 0.8e9 / 3e8 = 879.6 m.
    at_db = [rma_los_db(d, d, 0.8e9, 35.0, 1.5) for d in (2000.0, 4000.0)]
    assert at_db[1] - at_db[0] == pytest.approx(40 * math.log10(2))


@pytest.mark.parametrize("h_ut_m", [1.5, 13.0, 16.0, 22.5])
@pytest.mark.parametrize("formula_db", [uma_los_db, umi_los_db, rma_los_db])
def test_continuous_along_the_ground(formula_db, h_ut_m):
    d2d_m = np.geomspace(10, 5000, 400_000)
    d3d_m = np.hypot(d2d_m, 35 - h_ut_m)
    loss_db = formula_db(d2d_m, d3d_m, 2e9, 35.0, h_ut_m)
    # Steps between samples are under 0.001 dB. RMa's own step, as the standard writes it, is
    # 20 log10(d3D / d_BP) at the breakpoint; UMa's and UMi's come from the rounded coefficients.
    assert np.abs(np.diff(loss_db)).max() < 0.06


def test_uma_environment_height_is_1_m_below_13_m():
    d2d_m = np.array([300.0, 1000.0, 4000.0])
    d3d_m = np.hypot(d2d_m, 25 - 12.9)
    breakpoint_m = 4 * 24 * 11.9 * 2e9 / 3e8
    expected_db = np.where(
        d2d_m <= breakpoint_m,
        28 + 22 * np.log10(d3d_m),
        28 + 40 * np.log10(d3d_m) - 9 * np.log10(breakpoint_m**2 + (25 - 12.9) ** 2),
    ) + 20 * np.log10(2)
    np.testing.assert_allclose(uma_los_db(d2d_m, d3d_m, 2e9, 25.0, 12.9), expected_db)


def test_uma_environment_height_is_averaged_as_it_is_drawn():
    # The second route: draw h_E by Note 1 and average the loss.
    rng = np.random.default_rng(1)
    d2d_m, h_ut_m, h_bs_m, ghz = 900.0, 19.6, 25.0, 0.6
    d3d_m = math.hypot(d2d_m, h_bs_m - h_ut_m)
    c = ((h_ut_m - 13) / 10) ** 1.5 * 1.25 * (d2d_m / 100) ** 3 * math.exp(-d2d_m / 150)
    h_e = np.where(rng.random(200_000) < 1 / (1 + c), 1.0, rng.choice([12.0, 15.0, 18.0], 200_000))
    breakpoint_m = 4 * (h_bs_m - h_e) * (h_ut_m - h_e) * ghz * 1e9 / 3e8
    loss_db = np.where(
        d2d_m <= breakpoint_m,
        28 + 22 * np.log10(d3d_m),
        28 + 40 * np.log10(d3d_m) - 9 * np.log10(breakpoint_m**2 + (h_bs_m - h_ut_m) ** 2),
    ) + 20 * np.log10(ghz)
    assert loss_db.std() > 1
    assert uma_los_db(d2d_m, d3d_m, ghz * 1e9, h_bs_m, h_ut_m) == pytest.approx(
        loss_db.mean(), abs=0.1
    )


def test_without_height_above_the_environment_there_is_no_breakpoint():
    with pytest.raises(InputError, match="effective environment height of 1 m"):
        uma_los_db(100.0, 100.0, 2e9, 1.0, 1.5)
    with pytest.raises(InputError, match="effective environment height of 12 m"):
        uma_los_db(100.0, 100.0, 2e9, 11.0, 13.0)
    with pytest.raises(InputError, match="effective environment height"):
        umi_los_db(100.0, 100.0, 2e9, math.nan, 1.5)


URBAN = st.tuples(
    st.floats(10, 5000), st.floats(0.5e9, 100e9), st.floats(24, 60), st.floats(1.5, 22.5)
)


@given(URBAN, st.sampled_from([(uma_los_db, uma_nlos_db), (umi_los_db, umi_nlos_db)]))
def test_urban_nlos_is_never_below_los(where, formulas_db):
    d2d_m, frequency_hz, h_bs_m, h_ut_m = where
    d3d_m = math.hypot(d2d_m, h_bs_m - h_ut_m)
    los_db, nlos_db = (f(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m) for f in formulas_db)
    assert nlos_db >= los_db > 0


@given(
    st.floats(10, 5000),
    st.floats(0.5e9, 30e9),
    st.floats(10, 150),
    st.floats(1, 10),
    st.floats(5, 50),
    st.floats(5, 50),
)
def test_rma_nlos_is_never_below_los(d2d_m, frequency_hz, h_bs_m, h_ut_m, h_m, w_m):
    d3d_m = math.hypot(d2d_m, h_bs_m - h_ut_m)
    los_db = rma_los_db(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m, h_m)
    assert rma_nlos_db(d2d_m, d3d_m, frequency_hz, h_bs_m, h_ut_m, h_m, w_m) >= los_db > 0


# --- the maps ---


@pytest.mark.parametrize("solver", SOLVERS)
def test_maps_are_formula_plus_antenna_gain(solver):
    cells = row()
    antenna_z_m = 25.0
    east = sector(azimuth_deg=90.0, antenna="tr38901")
    radio_map = solver.load()(scene(), [east], cells)
    x = cells.x_m()
    d2d = np.maximum(x, 10.0)
    tilt_deg = np.degrees(np.arctan2(antenna_z_m - 1.5, x))
    gain_dbi = 8 - np.minimum(12 * (tilt_deg / 65) ** 2, 30)
    if isinstance(solver, FreeSpace):
        loss_db = free_space_db(np.hypot(x, antenna_z_m - 1.5), 3.5e9)
    else:
        los_db = {"UMa": uma_los_db, "UMi": umi_los_db, "RMa": rma_los_db}
        formula_db = los_db[type(solver).__name__[-3:]]
        loss_db = formula_db(d2d, np.hypot(d2d, antenna_z_m - 1.5), 3.5e9, antenna_z_m, 1.5)
    assert radio_map.los.all()
    assert radio_map.standard_error_db is None
    assert radio_map.path_gain_db.dtype == np.float32
    np.testing.assert_allclose(radio_map.path_gain_db[0, 0], gain_dbi - loss_db, atol=1e-3)


@pytest.mark.parametrize("solver", TR38901)
def test_behind_a_building_nlos_holds_and_inside_it_nothing(solver):
    city = scene(building(box(300, -50, 400, 50), 30.0))
    cells = row(100)
    radio_map = solver.load()(city, [sector()], cells)
    x = cells.x_m()
    inside = (x > 300) & (x < 400)
    np.testing.assert_array_equal(radio_map.outdoor[0], ~inside)
    np.testing.assert_array_equal(radio_map.los[0, 0], x < 300)
    gain_db = radio_map.path_gain_db[0, 0]
    np.testing.assert_array_equal(np.isneginf(gain_db), inside)
    nlos_db = {"UMa": uma_nlos_db, "UMi": umi_nlos_db}
    behind = x > 400
    d3d = np.hypot(x[behind], 23.5)
    name = type(solver).__name__[-3:]
    if name == "RMa":
        expected_db = rma_nlos_db(x[behind], d3d, 3.5e9, 25.0, 1.5, 30.0, 20.0)
    else:
        expected_db = nlos_db[name](x[behind], d3d, 3.5e9, 25.0, 1.5)
    np.testing.assert_allclose(gain_db[behind], -expected_db, atol=1e-3)


def test_free_space_ignores_buildings_but_not_the_mask():
    city = scene(building(box(300, -50, 400, 50), 30.0))
    open_map, city_map = (FreeSpace().load()(s, [sector()], row()) for s in (scene(), city))
    outdoor = city_map.outdoor
    np.testing.assert_array_equal(
        city_map.path_gain_db[0][outdoor], open_map.path_gain_db[0][outdoor]
    )
    assert np.isneginf(city_map.path_gain_db[0][~outdoor]).all()
    assert not city_map.los.all()


def test_cells_out_of_the_distances_are_counted():
    cells = row(1200)
    two = [sector(), sector(name="2", azimuth_deg=120.0)]
    attrs = TR38901UMa().load()(scene(), two, cells).attrs
    x = cells.x_m()
    assert attrs["solver"] == "tr38901-uma"
    assert attrs["sector_cells_below_minimum_distance"] == 2 * (x < 10).sum() == 2
    assert attrs["sector_cells_beyond_maximum_distance"] == 2 * (x > 5000).sum() == 1400
    assert attrs["outdoor_cells"] == 1200
    rma = TR38901RMa().load()(scene(), two, cells).attrs
    assert rma["sector_cells_beyond_maximum_distance"] == 2 * (x > 10_000).sum() == 400
    dark = scene(building(box(20, -5, 29, 5), 100.0))
    rma = TR38901RMa().load()(dark, two, cells).attrs
    assert rma["sector_cells_beyond_maximum_distance"] == 2 * (x > 5000).sum()


@pytest.mark.parametrize("solver", SOLVERS)
def test_attributes_are_plain_json(solver):
    attrs = solver.load()(scene(building(box(50, 0, 60, 9), 9.0)), [sector()], row()).attrs
    assert json.loads(json.dumps(attrs, allow_nan=False)) == attrs


def test_closer_than_10_m_the_loss_at_10_m_stands():
    cells = Grid(FRAME, -10, -10, 1.0, 20, 20)
    gain_db = TR38901UMi().load()(scene(), [sector(z_m=10.0)], cells).path_gain_db[0]
    assert gain_db.max() == pytest.approx(
        -umi_los_db(10.0, math.hypot(10, 8.5), 3.5e9, 10.0, 1.5), abs=1e-3
    )


def test_free_space_stops_at_a_wavelength():
    cells = Grid(FRAME, -1.5, -1.5, 1.0, 3, 3)
    radio_map = FreeSpace().load()(scene(), [sector(z_m=1.5)], cells)
    assert radio_map.path_gain_db[0].max() == pytest.approx(-20 * math.log10(4 * math.pi), abs=1e-3)
    assert radio_map.attrs["sector_cells_below_minimum_distance"] == 1


def test_rma_takes_the_mean_height_of_the_scene_within_the_range():
    def height(*tops_m):
        city = scene(
            *(building(box(500, 50 * i, 510, 50 * i + 9), t) for i, t in enumerate(tops_m))
        )
        return TR38901RMa().load()(city, [sector()], row()).attrs["average_building_height_m"]

    assert height() == 5.0
    assert height(10.0, 20.0) == 15.0
    assert height(2.0) == 5.0
    assert height(200.0) == 50.0
    set_by_hand = TR38901RMa(12.0).load()(scene(), [sector()], row())
    assert set_by_hand.attrs["average_building_height_m"] == 12.0


@pytest.mark.parametrize(
    ("solver", "changes", "receiver_height_m", "message"),
    [
        (
            TR38901UMa(),
            {"frequency_hz": 0.4e9},
            1.5,
            r"sector A/1: frequency 0\.4 GHz.*0\.5\.\.100",
        ),
        (TR38901UMi(), {"frequency_hz": 101e9}, 1.5, r"frequency 101 GHz"),
        (TR38901RMa(), {"frequency_hz": 31e9}, 1.5, r"tr38901-rma: .*0\.5\.\.30 GHz"),
        (TR38901UMa(), {"frequency_hz": math.nan}, 1.5, "frequency nan GHz"),
        (FreeSpace(), {"frequency_hz": -1.0}, 1.5, "frequency -1 Hz must be a positive number"),
        (FreeSpace(), {"frequency_hz": math.nan}, 1.5, "must be a positive number"),
        (TR38901RMa(), {"z_m": 9.0}, 1.5, r"antenna height above ground 9 m.*10\.\.150 m"),
        (TR38901UMa(), {"z_m": 0.9}, 1.5, "effective environment height"),
        (TR38901UMa(), {}, 1.0, r"receiver height 1 m.*1\.5\.\.22\.5 m"),
        (TR38901UMi(), {}, 23.0, "receiver height 23 m"),
        (TR38901RMa(), {}, 11.0, r"receiver height 11 m.*1\.\.10 m"),
        (TR38901UMa(), {"antenna": "tr38900"}, 1.5, "did you mean tr38901"),
    ],
)
def test_out_of_range_is_one_clear_line(solver, changes, receiver_height_m, message):
    with pytest.raises(InputError, match=message) as error:
        solver.load()(scene(), [sector(**changes)], row(receiver_height_m=receiver_height_m))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values",
    [{"average_building_height_m": 4.0}, {"street_width_m": 51.0}, {"street_width_m": math.nan}],
)
def test_rma_street_out_of_range(values):
    with pytest.raises(InputError, match=r"5\.\.50 m"):
        TR38901RMa(**values)


def test_chunks_change_nothing(monkeypatch):
    cells = Grid(FRAME, -200, -200, 4.0, 100, 100)
    city = scene(building(box(20, 20, 60, 80), 30.0))
    whole = TR38901UMa().load()(city, [sector()], cells)
    monkeypatch.setattr("rfplatform.propagation.empirical.CELLS_PER_CHUNK", 777)
    parts = TR38901UMa().load()(city, [sector()], cells)
    np.testing.assert_array_equal(whole.path_gain_db, parts.path_gain_db)
    assert whole.attrs == parts.attrs


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_million_cells_take_seconds_at_most(solver):
    cells = Grid(FRAME, -2000, -2000, 4.0, 1000, 1000)
    started = time.process_time()
    solver.load()(scene(), [sector(antenna="tr38901")], cells)
    # Measured: about 0.1 s; the bound leaves room for a loaded machine.
    assert time.process_time() - started < 2.0
