"""Random fields have the correlation that they are asked for; samples lie where they may."""

import numpy as np
import pytest

from rfplatform.propagation.worlds import BLOCK_CELLS, WorldConfig, draw_world, random_field


def test_a_field_falls_to_one_over_e_at_its_length():
    rng = np.random.default_rng(1)
    products = []
    for _ in range(60):
        field = random_field((128, 128), 6.0, rng)
        assert field.std() == pytest.approx(1.0, abs=1e-3)
        products.append((field * np.roll(field, 6, axis=1)).mean())
    assert np.mean(products) == pytest.approx(np.exp(-1.0), abs=0.05)


def test_samples_are_known_cells_and_repeat_with_the_seed():
    known = np.zeros((64, 64), dtype=bool)
    known[10:40, 5:50] = True
    flat = np.zeros((64, 64), np.float32)

    def drawn(seed):
        return draw_world(known, flat + 2.0, flat, 4.0, WorldConfig(), np.random.default_rng(seed))

    for seed in range(20):
        world = drawn(seed)
        assert known[world.row, world.column].all()
        assert len(set(zip(world.row, world.column, strict=True))) == len(world.row) >= 1
        np.testing.assert_array_equal(world.moved_db, drawn(seed).moved_db)


def test_as_traced_moves_nothing_and_blocks_leave_gaps():
    known = np.ones((128, 128), dtype=bool)
    flat = np.zeros((128, 128), np.float32)
    config = WorldConfig(blocks_share=1.0)
    rng = np.random.default_rng(2)
    world = draw_world(known, flat, flat, 4.0, config, rng, num_samples=200, as_traced=True)
    assert (world.moved_db == 0.0).all()
    blocks = set(zip(world.row // BLOCK_CELLS, world.column // BLOCK_CELLS, strict=True))
    assert len(blocks) < 64
