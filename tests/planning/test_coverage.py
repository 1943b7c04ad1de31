import json

import numpy as np
import pytest

from rfplatform.planning.coverage import coverage_statistics, describe
from rfplatform.planning.layers import Assumptions, planning_layers

OFFSET_DB = 10 * np.log10(612)  # RSS over RSRP


@pytest.fixture
def four_cells(make_map):
    rsrp = np.array([[-79.0, -95.0, -np.inf, -50.0], [-99.0, -85.0, -np.inf, -60.0]])
    return make_map(rsrp + OFFSET_DB, resolution_m=100.0, outdoor=[[True, True, True, False]])


def test_areas_and_shares_are_of_the_outdoor_area(four_cells):
    found = coverage_statistics(four_cells, planning_layers(four_cells))
    assert found["outdoor_km2"] == pytest.approx(0.03)
    assert found["served"] == {"km2": 0.02, "share": pytest.approx(2 / 3, abs=1e-4)}
    rsrp = found["at_least"]["ss_rsrp_dbm"]
    assert list(rsrp) == ["-80", "-90", "-100", "-110", "-120"]
    assert [area["km2"] for area in rsrp.values()] == [0.01, 0.02, 0.02, 0.02, 0.02]
    # SINR without noise to speak of: 20 and 10 dB.
    sinr = {level: area["km2"] for level, area in found["at_least"]["ss_sinr_db"].items()}
    assert sinr == {"20": 0.0, "13": 0.01, "5": 0.02, "0": 0.02, "-3": 0.02}
    assert next(iter(found["at_least"]["rate_bps"])) == "500000000"
    assert found["several_servers_share"] == 0.0
    assert found["boundary_share"] == 1.0
    assert found["medians"]["ss_rsrp_dbm"] == pytest.approx(-82.0, abs=0.01)


def test_the_sectors_areas_sum_to_the_served_area(four_cells):
    found = coverage_statistics(four_cells, planning_layers(four_cells))
    assert list(found["sectors"]) == ["S0/1", "S1/1"]
    assert sum(s["km2"] for s in found["sectors"].values()) == found["served"]["km2"]
    assert found["sectors"]["S1/1"]["median_ss_rsrp_dbm"] == pytest.approx(-85.0, abs=0.01)


def test_levels_can_be_chosen(four_cells):
    found = coverage_statistics(
        four_cells, planning_layers(four_cells), {"ss_rsrp_dbm": (-82.5,), "cqi": (1,)}
    )
    assert found["at_least"]["ss_rsrp_dbm"] == {"-82.5": {"km2": 0.01, "share": 0.3333}}
    assert found["at_least"]["cqi"]["1"]["km2"] == 0.02


def test_a_dark_map_and_one_without_outdoors(make_map):
    for radio_map in (
        make_map([[-np.inf]]),
        make_map([[-60.0]], outdoor=[[False]]),
    ):
        found = coverage_statistics(radio_map, planning_layers(radio_map))
        assert found["served"] == {"km2": 0.0, "share": 0.0}
        assert found["medians"] == {"ss_rsrp_dbm": None, "ss_sinr_db": None, "rate_bps": None}
        assert found["sectors"]["S0/1"]["median_rate_bps"] is None


def test_the_record_is_json_with_assumptions_and_carriers(four_cells):
    record = describe(four_cells, planning_layers(four_cells, Assumptions(load=0.5)))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["assumptions"]["load"] == 0.5
    assert record["carriers"]["S0/1"] == {
        "frequency_range": "FR1", "scs_hz": 30e3, "num_rb": 51, "peak_rate_bps": 109145610,
    }  # fmt: skip
