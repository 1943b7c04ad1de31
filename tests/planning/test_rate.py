import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfplatform.planning.numerology import numerology
from rfplatform.planning.rate import (
    CQI_TABLES,
    MAX_CODE_RATE,
    MCS_TABLES,
    attainable_efficiency,
    cqi,
    mcs_efficiency,
    peak_rate_bps,
    sinr_required_db,
    symbol_rate_hz,
)

# The column "spectral efficiency" of TS 38.214, which the standard prints beside Q_m and R.
PRINTED = {
    "mcs 64qam": (
        0.2344, 0.3066, 0.3770, 0.4902, 0.6016, 0.7402, 0.8770, 1.0273, 1.1758, 1.3262, 1.3281,
        1.4766, 1.6953, 1.9141, 2.1602, 2.4063, 2.5703, 2.5664, 2.7305, 3.0293, 3.3223, 3.6094,
        3.9023, 4.2129, 4.5234, 4.8164, 5.1152, 5.3320, 5.5547,
    ),
    "mcs 256qam": (
        0.2344, 0.3770, 0.6016, 0.8770, 1.1758, 1.4766, 1.6953, 1.9141, 2.1602, 2.4063, 2.5703,
        2.7305, 3.0293, 3.3223, 3.6094, 3.9023, 4.2129, 4.5234, 4.8164, 5.1152, 5.3320, 5.5547,
        5.8906, 6.2266, 6.5703, 6.9141, 7.1602, 7.4063,
    ),
    "cqi 64qam": (
        0.1523, 0.2344, 0.3770, 0.6016, 0.8770, 1.1758, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223,
        3.9023, 4.5234, 5.1152, 5.5547,
    ),
    "cqi 256qam": (
        0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152,
        5.5547, 6.2266, 6.9141, 7.4063,
    ),
}  # fmt: skip


@pytest.mark.parametrize("column", PRINTED)
def test_efficiencies_are_those_that_the_standard_prints(column):
    kind, name = column.split()
    table = (MCS_TABLES if kind == "mcs" else CQI_TABLES)[name]
    assert [s.efficiency for s in table] == pytest.approx(PRINTED[column], abs=6e-5)
    assert [s.index for s in table] == list(range(kind == "cqi", len(table) + (kind == "cqi")))


def test_shannon_and_back():
    sinr_db = np.linspace(-20.0, 40.0, 61)
    efficiency = attainable_efficiency(sinr_db, 3.0)
    assert sinr_required_db(efficiency, 3.0) == pytest.approx(sinr_db, abs=1e-9)
    assert attainable_efficiency(3.0, 3.0) == pytest.approx(1.0)
    assert attainable_efficiency(-np.inf, 3.0) == 0.0


@pytest.mark.parametrize("name", MCS_TABLES)
def test_the_best_mcs_at_or_below_the_bound(name):
    sinr_db = np.random.default_rng(2).uniform(-15.0, 40.0, 400)
    known = np.array([s.efficiency for s in MCS_TABLES[name]])
    bound = np.log2(1 + 10 ** ((sinr_db - 3.0) / 10))
    slow = [known[known <= b].max(initial=0.0) for b in bound]
    assert mcs_efficiency(sinr_db, 3.0, name) == pytest.approx(slow, abs=1e-6)
    steps = np.array([s.efficiency for s in CQI_TABLES[name]])
    assert cqi(sinr_db, 3.0, name).tolist() == [(steps <= b).sum() for b in bound]


def test_thresholds_are_met_exactly_and_nothing_is_decoded_below():
    lowest_db = float(sinr_required_db(MCS_TABLES["256qam"][0].efficiency, 3.0))
    assert lowest_db == pytest.approx(-4.54, abs=0.01)
    found = mcs_efficiency([lowest_db - 1e-6, lowest_db, np.nan, -np.inf, np.inf], 3.0)
    assert found.tolist() == pytest.approx([0, 240 / 1024, 0, 0, 7.40625])
    assert cqi([-30.0, 60.0], 3.0).tolist() == [0, 15]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    sinr_db=st.floats(-30, 50),
    more_db=st.floats(0, 20),
    margin_db=st.floats(0, 10),
    name=st.sampled_from(["64qam", "256qam"]),
)
def test_more_sinr_never_lowers_the_rate_and_margin_is_sinr(sinr_db, more_db, margin_db, name):
    low, high = mcs_efficiency([sinr_db, sinr_db + more_db], margin_db, name)
    assert low <= high
    assert low <= attainable_efficiency(sinr_db, margin_db) + 1e-6
    assert cqi(sinr_db + more_db, margin_db, name) >= cqi(sinr_db, margin_db, name)
    # Up to the rounding of a step.
    assert mcs_efficiency(sinr_db + more_db, margin_db + more_db, name) == pytest.approx(
        mcs_efficiency(sinr_db, margin_db, name), abs=0.4
    )


@pytest.mark.parametrize(
    ("bandwidth_hz", "frequency_hz", "scs_hz", "table", "order", "layers", "mbit_s"),
    [
        # 100 MHz at 30 kHz with 4 layers of 256QAM: the often quoted 2.34 Gbit/s.
        (100e6, 3.5e9, 30e3, "256qam", 8, 4, 2337.0),
        (20e6, 2.1e9, 15e3, "256qam", 8, 1, 113.4),
        (20e6, 2.1e9, 15e3, "64qam", 6, 1, 85.1),
        (400e6, 28e9, 120e3, "64qam", 6, 2, 3232.3),
    ],
)
def test_the_peak_is_the_maximum_data_rate_of_38_306(
    bandwidth_hz, frequency_hz, scs_hz, table, order, layers, mbit_s
):
    carrier = numerology(bandwidth_hz, frequency_hz, scs_hz)
    overhead = 0.18 if frequency_hz > 24e9 else 0.14
    mu = round(np.log2(scs_hz / 15e3))
    symbol_s = 1e-3 / (14 * 2**mu)
    # TS 38.306 clause 4.1.2, scaling factor 1.
    expected = layers * order * MAX_CODE_RATE * carrier.num_rb * 12 / symbol_s * (1 - overhead)
    found = peak_rate_bps(carrier, table=table, num_layers=layers)
    assert found == pytest.approx(expected, rel=1e-12)
    assert found / 1e6 == pytest.approx(mbit_s, rel=1e-3)
    assert peak_rate_bps(carrier, table=table, num_layers=layers, downlink_share=0.75) == (
        pytest.approx(0.75 * expected)
    )


def test_symbols_of_a_second():
    # 106 blocks x 12 x 14 symbols x 1000 slots, 14 % of overhead.
    assert symbol_rate_hz(numerology(20e6, 2.1e9)) == pytest.approx(106 * 12 * 14_000 * 0.86)
