import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfplatform.errors import InputError
from rfplatform.planning.layers import (
    Assumptions,
    competitors,
    handover_boundary,
    planning_layers,
)
from rfplatform.planning.rate import peak_rate_bps

DARK = -np.inf


def test_servers_of_a_row_by_hand(make_map):
    radio_map = make_map(
        [
            [-60.0, -70.0, -80.0, DARK, -60.0],
            [-63.0, -64.0, -80.0, DARK, DARK],
            [-65.9, -64.1, DARK, DARK, DARK],
        ]
    )
    found = planning_layers(radio_map)
    assert found.best_server.tolist() == [[0, 1, 0, -1, 0]]  # The first of equals.
    assert found.best_server.dtype == np.int16
    np.testing.assert_allclose(found.dominance_db, [[3.0, 0.1, 0.0, np.nan, np.nan]], atol=1e-4)
    # Within 6 dB, the bound included.
    assert found.num_servers.tolist() == [[3, 3, 2, 0, 1]]
    assert planning_layers(radio_map, Assumptions(servers_within_db=5.0)).num_servers.tolist() == [
        [2, 2, 2, 0, 1]
    ]
    assert found.handover_boundary.tolist() == [[True, True, True, False, False]]


def test_weak_servers_do_not_count(make_map):
    # RSRP is 27.87 dB below RSS: -124.97 and -125.97 dBm.
    radio_map = make_map([[-97.1, -98.1], [-98.1, -98.1]])
    assert planning_layers(radio_map).num_servers.tolist() == [[1, 0]]
    lower = planning_layers(radio_map, Assumptions(servers_floor_dbm=-140.0))
    assert lower.num_servers.tolist() == [[2, 2]]


def test_other_carriers_are_no_competitors_but_may_serve(make_map):
    radio_map = make_map(
        [[-60.0, -75.0], [-61.0, -70.0], [-70.0, -79.0]], frequency_hz=[3.5e9, 3.7e9, 3.5e9]
    )
    found = planning_layers(radio_map)
    assert found.best_server.tolist() == [[0, 1]]
    np.testing.assert_allclose(found.dominance_db, [[10.0, np.nan]], atol=1e-4)
    assert found.num_servers.tolist() == [[1, 1]]


def test_the_best_server_is_that_of_rsrp_and_not_of_rss():
    """A wide carrier spreads its power over more resource elements."""
    from rfplatform.frame import Frame
    from rfplatform.radiomap import Grid, RadioMap, Sector

    sectors = (
        Sector("wide", "1", 0, 0, 9, power_dbm=40, frequency_hz=3.5e9, bandwidth_hz=100e6),
        Sector("narrow", "1", 0, 0, 9, power_dbm=37, frequency_hz=3.9e9, bandwidth_hz=20e6),
    )
    grid = Grid(Frame("EPSG:32635", 0.0, 0.0), 0, 0, 1.0, 1, 1)
    gain = np.full((2, 1, 1), -100.0, np.float32)
    radio_map = RadioMap(grid, sectors, gain, None, np.ones((1, 1), bool))
    assert radio_map.best_sector().item() == 0
    assert planning_layers(radio_map).best_server.item() == 1


def test_the_boundary_has_both_sides_and_no_diagonals():
    server = np.array([[0, 0, 1], [0, 2, 1], [0, 0, -1]], np.int16)
    assert handover_boundary(server).tolist() == [
        [False, True, True],
        [True, True, True],
        [False, True, False],
    ]
    # Without a server there is nothing to hand over to.
    assert not handover_boundary(np.array([[0, -1, 1]], np.int16)).any()


def test_rates_end_at_the_carriers_peak(make_map):
    radio_map = make_map([[-30.0, -110.0, DARK]])
    found = planning_layers(radio_map)
    assert found.rate_bps[0, 0] == pytest.approx(peak_rate_bps(found.carriers[0]), rel=1e-6)
    assert found.rate_bps[0, 1:].tolist() == [0, 0]
    assert found.cqi.tolist() == [[15, 0, 0]]
    more = planning_layers(radio_map, Assumptions(num_layers=4, downlink_share=0.5))
    assert more.rate_bps == pytest.approx(2 * found.rate_bps)


def test_delays_are_those_of_the_server(make_map):
    delay = np.array([[[1e-6, 2e-6, np.nan]], [[3e-6, 4e-6, np.nan]]], np.float32)
    radio_map = make_map(
        [[-60.0, -70.0, DARK], [-70.0, -60.0, DARK]], mean_delay_s=delay, delay_spread_s=delay / 8
    )
    found = planning_layers(radio_map)
    np.testing.assert_array_equal(found.mean_delay_s, np.float32([[1e-6, 4e-6, np.nan]]))
    np.testing.assert_array_equal(found.delay_spread_s, found.mean_delay_s / 8)
    assert [layer.name for layer in found.layers()][-2:] == [
        "serving_mean_delay_s", "serving_delay_spread_s",
    ]  # fmt: skip
    assert planning_layers(make_map([[-60.0]])).mean_delay_s is None


def test_layers_have_names_units_and_definitions(make_map):
    layers = planning_layers(make_map([[-60.0, DARK], [-61.0, DARK]])).layers()
    assert [layer.band for layer in layers] == [
        "SS-RSRP [dBm]", "SS-RSRQ [dB]", "SS-SINR [dB]", "best server", "server dominance [dB]",
        "servers within 6 dB", "handover boundary", "CQI", "downlink rate [bit/s]",
    ]  # fmt: skip
    for layer in layers:
        assert layer.comment
        assert layer.values.shape == (1, 2)
        assert not np.isinf(layer.values.astype(float)).any()
    assert layers[3].flags == {-1: "no server", 0: "S0/1", 1: "S1/1"}


BAD = {
    "load": ({"load": 1.1}, "load 1.1"),
    "load in per cent": ({"load": 50.0}, r"did you mean 0\.5"),
    "load nan": ({"load": float("nan")}, "load nan"),
    "spacing in kHz": ({"scs_hz": 30.0}, "is it in kHz"),
    "spacing": ({"scs_hz": 31e3}, "subcarrier spacing 31000 Hz"),
    "within": ({"servers_within_db": -1.0}, "servers within -1 dB"),
    "floor": ({"servers_floor_dbm": 10.0}, "floor of the servers 10 dBm"),
    "margin": ({"margin_db": float("nan")}, "margin nan dB"),
    "table": ({"mcs_table": "1024qam"}, "must be one of 64qam, 256qam"),
    "layers": ({"num_layers": 0}, "layers 0"),
    "share": ({"downlink_share": 0.0}, "downlink share 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_assumptions_out_of_range(case):
    values, message = BAD[case]
    with pytest.raises(InputError, match=message):
        Assumptions(**values)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    levels=st.lists(
        st.one_of(st.just(-np.inf), st.floats(-140, -40, width=32)), min_size=1, max_size=6
    ),
    near_db=st.floats(0, 20),
    far_db=st.floats(0, 20),
)
def test_a_wider_window_never_counts_fewer(levels, near_db, far_db):
    near_db, far_db = sorted((near_db, far_db))
    rsrp = np.array(levels, np.float32)[:, None, None]
    best = np.argmax(rsrp, axis=0) if np.isfinite(rsrp).any() else np.array([[-1]])
    everyone = np.ones((len(levels), len(levels)), bool)
    second, near = competitors(
        rsrp, best.astype(np.int16), everyone, within_db=near_db, floor_dbm=-200.0
    )
    _, far = competitors(rsrp, best.astype(np.int16), everyone, within_db=far_db, floor_dbm=-200.0)
    assert near[0, 0] <= far[0, 0] <= len(levels)
    assert (near[0, 0] >= 1) == np.isfinite(rsrp).any()
    assert second[0, 0] == (np.sort(rsrp.ravel())[-2] if len(levels) > 1 else -np.inf)
