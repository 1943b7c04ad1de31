import pytest

from rfplatform.errors import InputError
from rfplatform.planning.numerology import (
    RESOURCE_BLOCKS,
    SPACINGS_HZ,
    numerologies,
    numerology,
)
from rfplatform.radiomap import Sector

# Minimum guard bands in kHz of TS 38.101-1 Table 5.3.3-1 and TS 38.101-2 Table 5.3.3-1: another
# table of the standards, tied to N_RB by (bandwidth - 12 N_RB SCS - SCS) / 2.
GUARDS_KHZ = {
    ("FR1", 15e3): (242.5, 312.5, 382.5, 452.5, 522.5, 592.5, 572.5, 552.5, 712.5, 692.5),
    ("FR1", 30e3): (505, 665, 645, 805, 785, 945, 925, 905, 1065, 1045, 825, 965, 925, 885, 845),
    ("FR1", 60e3): (
        1010, 990, 1330, 1310, 1290, 1630, 1610, 1590, 1570, 1530, 1490, 1450, 1410, 1370
    ),
    ("FR2", 60e3): (1210, 2450, 4930),
    ("FR2", 120e3): (1900, 2420, 4900, 9860),
    ("FR2", 480e3): (9680, 42640, 85520),
    ("FR2", 960e3): (9440, 42400, 85280, 147040),
}  # fmt: skip


@pytest.mark.parametrize(("name", "scs_hz"), GUARDS_KHZ)
def test_blocks_leave_the_guard_bands_of_the_standard(name, scs_hz):
    rows = RESOURCE_BLOCKS[name][scs_hz]
    guards_khz = [(width - 12 * count * scs_hz - scs_hz) / 2e3 for width, count in rows.items()]
    assert guards_khz == list(GUARDS_KHZ[name, scs_hz])


def test_every_row_is_checked():
    assert set(GUARDS_KHZ) == {
        (name, scs) for name, rows in RESOURCE_BLOCKS.items() for scs in rows
    }
    assert SPACINGS_HZ == (15e3, 30e3, 60e3, 120e3, 480e3, 960e3)


@pytest.mark.parametrize(
    ("bandwidth_hz", "frequency_hz", "expected"),
    [
        (20e6, 0.8e9, ("FR1", 15e3, 106)),
        (20e6, 2.4999e9, ("FR1", 15e3, 106)),
        (20e6, 2.5e9, ("FR1", 30e3, 51)),
        (100e6, 3.5e9, ("FR1", 30e3, 273)),
        (60e6, 2.1e9, ("FR1", 30e3, 162)),  # No channel of 60 MHz at 15 kHz.
        (100e6, 28e9, ("FR2", 120e3, 66)),
        (800e6, 60e9, ("FR2", 480e3, 124)),
        (2000e6, 60e9, ("FR2", 960e3, 148)),
    ],
)
def test_defaults(bandwidth_hz, frequency_hz, expected):
    found = numerology(bandwidth_hz, frequency_hz)
    assert (found.frequency_range, found.scs_hz, found.num_rb) == expected
    assert found.note == ""
    assert found.transmitted_hz < bandwidth_hz
    assert found.slots_per_s == found.scs_hz / 15


def test_a_bandwidth_without_a_channel_takes_a_guard_of_a_tenth_and_says_so():
    found = numerology(200e6, 3.5e9, 30e3)
    assert found.num_rb == 500  # 0.9 x 200 MHz / 360 kHz
    assert "no channel of 200 MHz at 30 kHz" in found.note
    # LTE's channels, whose guard is the tenth: 20 MHz would be 100 blocks.
    assert numerology(19.999e6, 0.8e9).num_rb == 99
    assert numerology(12e6, 0.8e9).num_rb == 60


@pytest.mark.parametrize("frequency_hz", [100e6, 10e9, 140e9])
def test_a_carrier_outside_of_nr_is_said(frequency_hz):
    found = numerology(100e6, frequency_hz)
    assert "outside of NR's frequency ranges" in found.note
    assert found.frequency_range == ("FR2" if frequency_hz > 24.25e9 else "FR1")


def test_a_spacing_that_the_range_lacks_is_refused_with_the_sector():
    sectors = (
        Sector("Low", "1", 0, 0, 10, frequency_hz=3.5e9),
        Sector("High", "1", 0, 0, 10, frequency_hz=28e9, bandwidth_hz=100e6),
    )
    with pytest.raises(InputError, match=r"sector High/1: subcarrier spacing 30 kHz.*60, 120, 480"):
        numerologies(sectors, 30e3)
    assert [c.num_rb for c in numerologies(sectors, 60e3)] == [24, 132]


def test_a_band_narrower_than_a_block_is_refused():
    with pytest.raises(InputError, match="no resource block of 180 kHz fits"):
        numerology(150e3, 0.8e9)
