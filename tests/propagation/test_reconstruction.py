"""The filter keeps energy, stays within a visibility, and leaves alone what is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.propagation import reconstruction
from rfplatform.propagation.reconstruction import LOS_ERROR

SHAPE = (24, 31)


def reconstruct(power, error, los, lit, steps):
    return reconstruction.reconstruct(power, error, los, np.where(lit, 1 + los, 0), steps)


def noisy_map(seed, share_hit=0.3):
    rng = np.random.default_rng(seed)
    power = rng.exponential(1e-11, SHAPE) * (rng.random(SHAPE) < share_hit)
    error = power * rng.uniform(0.3, 1.0, SHAPE)
    return power, error


def masks(seed):
    rng = np.random.default_rng(seed)
    lit = np.ones(SHAPE, dtype=bool)
    for _ in range(4):
        y, x = rng.integers(0, SHAPE[0] - 4), rng.integers(0, SHAPE[1] - 5)
        lit[y : y + 4, x : x + 5] = False
    los = np.zeros(SHAPE, dtype=bool)
    los[:, : SHAPE[1] // 2] = True
    return los & lit, lit


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_energy_is_kept_within_each_visibility_and_never_negative(seed, steps):
    power, error = noisy_map(seed)
    los, lit = masks(seed)
    smooth, smooth_error = reconstruct(power[None], error[None], los[None], lit, steps)
    for cells in (los, lit & ~los):
        assert smooth[0][cells].sum() == pytest.approx(power[cells].sum(), rel=1e-12)
    assert (smooth >= 0).all()
    assert (smooth[0][~lit] == 0).all()
    assert np.isfinite(smooth_error).all()


def test_power_never_crosses_a_wall_nor_slips_between_corners_nor_out_of_sight():
    lit = np.ones((9, 9), dtype=bool)
    lit[4, :4] = lit[3, 4:] = False  # two buildings that touch at a corner
    power = np.zeros((9, 9))
    power[:3, :7] = np.random.default_rng(0).exponential(1.0, (3, 7))
    power[1, 3] = 0.0  # a hole, which is filled
    los = np.zeros((9, 9), dtype=bool)
    los[:, 7:] = True
    smooth, _ = reconstruct(power[None], power[None], los[None], lit, 40)
    assert smooth[0][4:].sum() == 0.0
    assert smooth[0][:, 7:].sum() == 0.0
    assert smooth[0][:3, :7].min() > 0.0


def test_a_hole_is_filled_and_a_dark_border_is_not():
    power = np.zeros((7, 12))
    power[:, :6] = 1.0
    power[3, 2] = 0.0
    los, lit = np.zeros((7, 12), dtype=bool), np.ones((7, 12), dtype=bool)
    smooth, _ = reconstruct(power[None], power[None], los[None], lit, 5)
    assert smooth[0][3, 2] > 0.3
    assert smooth[0][:, 6:].sum() == 0.0


def test_a_known_map_is_left_alone():
    power, _ = noisy_map(1, share_hit=1.0)
    los, lit = np.zeros(SHAPE, dtype=bool), np.ones(SHAPE, dtype=bool)
    smooth, _ = reconstruct(power[None], 1e-6 * power[None], los[None], lit, 3)
    assert smooth[0] == pytest.approx(power, rel=1e-6)


def test_error_of_a_flat_noisy_street_is_what_averaging_leaves():
    """Second route: many noisy realisations of a flat map, filtered, and their own spread."""
    rng = np.random.default_rng(2)
    los, lit = np.ones((40, 40), dtype=bool), np.ones((40, 40), dtype=bool)
    sigma = 0.9
    filtered = []
    for _ in range(60):
        power = 1.0 + sigma * rng.standard_normal((40, 40))
        smooth, error = reconstruct(power[None], np.full((1, 40, 40), sigma), los[None], lit, 2)
        filtered.append(smooth[0])
    inner = (slice(8, -8), slice(8, -8))
    spread = np.std(filtered, axis=0)[inner].mean()
    # The stated error carries a factor for lattices, which these independent samples don't need.
    assert error[0][inner].mean() / LOS_ERROR == pytest.approx(spread, rel=0.1)


def test_without_steps_power_stays_and_errors_are_shared():
    power, error = noisy_map(3)
    los, lit = masks(3)
    same, pooled = reconstruct(power[None], error[None], los[None], lit, 0)
    assert (same[0] == np.where(lit, power, 0)).all()
    assert (pooled[0] ** 2).sum() == pytest.approx((np.where(lit, error, 0) ** 2).sum())


def test_an_unknown_error_leaves_the_power():
    power, _ = noisy_map(4)
    los, lit = masks(4)
    unknown = np.full_like(power, np.nan)
    same, error = reconstruct(power[None], unknown[None], los[None], lit, 2)
    assert (same[0] == np.where(lit, power, 0)).all()
    assert np.isnan(error).all()
