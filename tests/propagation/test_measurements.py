import numpy as np
import pytest

from rfplatform.frame import Frame
from rfplatform.propagation.measurements import Measurements, block_ids, rasterized
from rfplatform.radiomap import Grid

GRID = Grid(Frame("EPSG:32635", 385_000.0, 6_672_000.0), -8.0, -8.0, 4.0, 4, 5)


def readings(*rows):
    x, y, rsrp, cell, device = zip(*rows, strict=True)
    return Measurements(
        np.array(x, float), np.array(y, float), np.array(rsrp, float), np.array(cell),
        np.array(device),
    )  # fmt: skip


def test_readings_of_a_pixel_are_averaged_in_db_for_each_cell_and_device():
    found = rasterized(
        readings(
            (0.5, 0.5, -80, "A", "p"),
            (3.5, 3.9, -90, "A", "p"),
            (1.0, 1.0, -70, "A", "s"),
            (1.0, 1.0, -60, "B", "p"),
            (-8.0, -8.0, -100, "A", "p"),
            (8.0, 0.0, -50, "A", "p"),
        ),
        GRID,
    )
    rows = list(
        zip(found.cell, found.device, found.row, found.column, found.rsrp_dbm, found.count,
            strict=True)
    )  # fmt: skip
    assert rows == [
        ("A", "p", 0, 0, -100.0, 1),
        ("A", "p", 2, 2, -85.0, 2),
        ("A", "s", 2, 2, -70.0, 1),
        ("B", "p", 2, 2, -60.0, 1),
    ]
    assert found.outside == 1
    assert found.spread_db == pytest.approx(np.sqrt(50.0))
    assert found.x_m.tolist() == [-6.0, 2.0, 2.0, 2.0]
    assert found.y_m.tolist() == [-6.0, 2.0, 2.0, 2.0]


def test_no_reading_within_the_grid_is_an_empty_table():
    found = rasterized(readings((100.0, 0.0, -80, "A", "p")), GRID)
    assert len(found) == 0
    assert found.outside == 1
    assert np.isnan(found.spread_db)


def test_columns_must_be_as_long_as_each_other():
    with pytest.raises(ValueError, match="different lengths"):
        Measurements(np.zeros(2), np.zeros(2), np.zeros(3), np.array(["", ""]), np.array(["", ""]))


def test_blocks_part_points_at_multiples_of_their_edge():
    x = np.array([0.0, 63.9, 64.0, -0.1, 0.0])
    y = np.array([0.0, 63.9, 0.0, 0.0, 64.0])
    found = block_ids(x, y)
    assert found[0] == found[1]
    assert len(set(found.tolist())) == 4
