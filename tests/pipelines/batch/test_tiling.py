import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.batch.tiling import SLIVER, tile_boxes


@given(
    west=st.floats(-1e6, 1e6),
    south=st.floats(-1e6, 1e6),
    width=st.floats(50, 5000),
    height=st.floats(50, 5000),
    overlap=st.sampled_from([0.0, 16.0, 64.0]),
)
def test_cores_cover_the_area_once(west, south, width, height, overlap):
    bounds = (west, south, west + width, south + height)
    boxes = tile_boxes(bounds, 400.0, 100.0, overlap, 4.0)
    cores = np.array([b.core_bounds_m for b in boxes])
    area = ((cores[:, 2] - cores[:, 0]) * (cores[:, 3] - cores[:, 1])).sum()
    low, high = cores[:, :2].min(axis=0), cores[:, 2:].max(axis=0)
    assert area == pytest.approx(np.prod(high - low))
    assert (low <= np.array(bounds[:2]) + 1e-3).all()
    assert (high >= np.array(bounds[2:]) - 1e-3).all()
    assert np.allclose(np.concatenate([low, high]) % 4.0 % 4.0, 0) or np.allclose(
        (np.concatenate([low, high]) / 4.0).round() * 4.0, np.concatenate([low, high])
    )
    edges = cores[:, 2:] - cores[:, :2]
    assert (edges <= 400.0 * (1 + 2 * SLIVER) + 8.0).all()
    assert len({(b.column, b.row) for b in boxes}) == len(boxes)


def test_a_larger_area_keeps_the_inner_tiles():
    small = tile_boxes((0, 0, 2000, 2000), 500, 100, 64, 4)
    large = tile_boxes((-1000, -1000, 3000, 3000), 500, 100, 64, 4)
    # Those of the small area whose margin is not cut by its border.
    inner = [b for b in small if b.column in (1, 2) and b.row in (1, 2)]
    assert len(inner) == 4
    assert set(inner) <= set(large)


def test_neighbours_overlap_and_the_border_does_not():
    left, right = tile_boxes((0, 0, 1000, 500), 500, 100, 64, 4)
    assert left.grid_bounds_m == (0, 0, 532, 500)
    assert right.grid_bounds_m == (468, 0, 1000, 500)
    assert left.scene_bounds_m == (0, 0, 632, 500)
    assert right.scene_bounds_m == (368, 0, 1000, 500)


def test_no_tile_is_a_sliver():
    boxes = tile_boxes((-30, 0, 1040, 400), 500, 0, 0, 4)
    assert [b.core_bounds_m[0::2] for b in boxes] == [(-32, 500), (500, 1040)]


def test_an_area_smaller_than_a_tile_is_one():
    (only,) = tile_boxes((10, 10, 90, 90), 500, 50, 64, 4)
    assert only.core_bounds_m == (8, 8, 92, 92)
    assert only.grid_bounds_m == only.core_bounds_m
