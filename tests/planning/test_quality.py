import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfplatform.frame import Frame
from rfplatform.planning.layers import best_server
from rfplatform.planning.numerology import numerologies
from rfplatform.planning.quality import serving_quality, ss_rsrp_dbm
from rfplatform.radiomap import Grid, RadioMap, Sector

FULL_DB = 10 * np.log10(1 / 12)  # -10.79 dB
EMPTY_DB = 10 * np.log10(1 / 2)  # -3.01 dB: two of twelve elements are sent.
NOISELESS = -300.0


def quality(radio_map, load=1.0, noise_figure_db=NOISELESS):
    carriers = numerologies(radio_map.sectors)
    server = best_server(ss_rsrp_dbm(radio_map, carriers))
    return serving_quality(radio_map, carriers, server, load=load, noise_figure_db=noise_figure_db)


def test_rsrp_is_the_power_of_one_of_the_resource_elements(make_map):
    radio_map = make_map([[-60.0, -np.inf]])
    carriers = numerologies(radio_map.sectors)
    rsrp = ss_rsrp_dbm(radio_map, carriers)
    assert rsrp.dtype == np.float32
    # 51 blocks of 12 elements in 20 MHz at 30 kHz.
    assert rsrp[0, 0, 0] == pytest.approx(-60 - 10 * np.log10(612), abs=1e-4)
    assert rsrp[0, 0, 1] == -np.inf
    assert quality(radio_map).ss_rsrp_dbm[0].tolist() == pytest.approx(rsrp[0, 0].tolist())


@pytest.mark.parametrize(("load", "expected"), [(1.0, FULL_DB), (0.0, EMPTY_DB)])
def test_rsrq_of_a_cell_alone_without_noise(make_map, load, expected):
    found = quality(make_map([[-60.0]]), load)
    assert found.ss_rsrq_db[0, 0] == pytest.approx(expected, abs=1e-4)
    assert expected == pytest.approx({1.0: -10.7918, 0.0: -3.0103}[load], abs=1e-4)


def test_two_equal_cells(make_map):
    found = quality(make_map([[-60.0], [-60.0]]))
    assert found.ss_sinr_db[0, 0] == pytest.approx(0.0, abs=1e-4)
    assert found.ss_rsrq_db[0, 0] == pytest.approx(FULL_DB - 10 * np.log10(2), abs=1e-4)
    half = quality(make_map([[-60.0], [-60.0]]), 0.5)
    assert half.ss_sinr_db[0, 0] == pytest.approx(10 * np.log10(2), abs=1e-4)
    # Each sends 1/6 + 5/6 x 1/2 = 7/12 of the elements.
    assert half.ss_rsrq_db[0, 0] == pytest.approx(-10 * np.log10(14), abs=1e-4)


def test_an_unloaded_network_has_the_signal_to_noise_ratio(make_map):
    found = quality(make_map([[-80.0], [-83.0]]), 0.0, noise_figure_db=7.0)
    # kTB of 612 elements of 30 kHz at 290 K.
    noise_dbm = -173.9752 + 10 * np.log10(612 * 30e3) + 7
    assert found.ss_sinr_db[0, 0] == pytest.approx(-80 - noise_dbm, abs=1e-3)


def test_the_load_is_of_each_sector(make_map):
    found = quality(make_map([[-60.0, -80.0], [-70.0, -60.0]]), [1.0, 0.1])
    # Where sector 0 serves, sector 1 disturbs with a tenth; and the other way round with all.
    assert found.ss_sinr_db[0].tolist() == pytest.approx([20.0, 20.0], abs=1e-4)


def test_other_carriers_neither_interfere_nor_count_in_the_rssi(make_map):
    apart = quality(make_map([[-60.0], [-61.0]], frequency_hz=[3.5e9, 3.6e9]), 1.0, 7.0)
    alone = quality(make_map([[-60.0]]), 1.0, 7.0)
    assert apart.ss_sinr_db == pytest.approx(alone.ss_sinr_db, abs=1e-4)
    assert apart.ss_rsrq_db == pytest.approx(alone.ss_rsrq_db, abs=1e-4)
    # Half of the power falls into the band.
    beside = quality(make_map([[-60.0], [-60.0]], frequency_hz=[3.5e9, 3.51e9]))
    assert beside.ss_sinr_db[0, 0] == pytest.approx(10 * np.log10(2), abs=1e-4)


def test_no_server_no_level(make_map):
    found = quality(make_map([[-np.inf], [-np.inf]]), 1.0, 7.0)
    for layer in (found.ss_rsrp_dbm, found.ss_rsrq_db, found.ss_sinr_db):
        assert layer[0, 0] == -np.inf
        assert layer.dtype == np.float32


def test_the_definitions_element_by_element():
    """A slow second route: every element of the server's band, its power drawn or not."""
    sectors = (
        Sector("a", "1", 0, 0, 9, power_dbm=30, frequency_hz=2.0e9, bandwidth_hz=10e6),
        Sector("b", "1", 0, 0, 9, power_dbm=33, frequency_hz=2.0e9, bandwidth_hz=20e6),
    )
    grid = Grid(Frame("EPSG:32635", 0.0, 0.0), 0, 0, 1.0, 1, 1)
    gain = np.array([[[-90.0]], [[-94.0]]], np.float32)
    radio_map = RadioMap(grid, sectors, gain, None, np.ones((1, 1), bool))
    found = quality(radio_map, [0.7, 0.4], 9.0)
    # 52 blocks of 15 kHz in 10 MHz; b's 20 MHz surround them, so that half its power falls in.
    elements = 52 * 12
    own = 10 ** ((30 - 90) / 10) / elements
    other = 0.5 * 10 ** ((33 - 94) / 10) / elements
    noise = 1.380649e-23 * 290 * 15e3 * 1e3 * 10**0.9
    assert found.ss_rsrp_dbm[0, 0] == pytest.approx(10 * np.log10(own), abs=1e-4)
    assert found.ss_sinr_db[0, 0] == pytest.approx(
        10 * np.log10(own / (0.4 * other + noise)), abs=1e-4
    )
    sent = [1 / 6 + 5 / 6 * load for load in (0.7, 0.4)]
    rssi = elements * (sent[0] * own + sent[1] * other + noise)
    assert found.ss_rsrq_db[0, 0] == pytest.approx(10 * np.log10(52 * own / rssi), abs=1e-4)


LEVELS = st.lists(st.floats(-130.0, -30.0), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(levels=LEVELS, low=st.floats(0.0, 1.0), high=st.floats(0.0, 1.0), factor=st.floats(0, 15))
def test_more_load_and_more_noise_never_help(levels, low, high, factor):
    low, high = sorted((low, high))
    sectors = tuple(Sector(f"S{i}", "1", 0, 0, 9, power_dbm=0.0) for i in range(len(levels)))
    grid = Grid(Frame("EPSG:32635", 0.0, 0.0), 0, 0, 1.0, 1, 1)
    gain = np.array(levels, np.float32)[:, None, None]
    radio_map = RadioMap(grid, sectors, gain, None, np.ones((1, 1), bool))
    calm, busy = quality(radio_map, low, 7.0), quality(radio_map, high, 7.0 + factor)
    assert busy.ss_sinr_db[0, 0] <= calm.ss_sinr_db[0, 0] + 1e-4
    assert busy.ss_rsrq_db[0, 0] <= calm.ss_rsrq_db[0, 0] + 1e-4
    # A full band alone is the most a receiver sees; the quality never exceeds an empty cell's.
    assert busy.ss_rsrq_db[0, 0] <= EMPTY_DB + 1e-4


def test_a_load_out_of_range_is_refused(make_map):
    with pytest.raises(ValueError, match=r"0\.\.1"):
        quality(make_map([[-60.0]]), 1.5)
