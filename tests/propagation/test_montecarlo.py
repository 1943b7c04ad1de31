"""Rounds of rays and the mean over them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.propagation.montecarlo import (
    MIN_RAYS_PER_SECTOR,
    MIN_ROUNDS,
    ROUNDS_PER_DIFFRACTION,
    RunningMean,
    rounds,
)

BUDGETS = st.integers(MIN_RAYS_PER_SECTOR, 10**9)
SEEDS = st.integers(0, 2**31 - 1)
LIMITS = st.integers(10**6, 4 * 10**7)


def counts(budget, seed, limit):
    """Specular and diffraction launches, those without rays left out."""
    planned = rounds(budget, seed, limit)
    diffraction = [r.diffraction_rays for r in planned if r.diffraction_rays]
    return [r.specular_rays for r in planned], diffraction


@given(BUDGETS, SEEDS, LIMITS)
def test_rounds_make_the_budget_twice(budget, seed, limit):
    specular, diffraction = counts(budget, seed, limit)
    assert len(specular) >= MIN_ROUNDS
    assert len(specular) == ROUNDS_PER_DIFFRACTION * len(diffraction)
    for launches in (specular, diffraction):
        assert all(type(rays) is int and 0 < rays <= limit for rays in launches)
        assert sum(launches) == budget
        mean = budget / len(launches)
        assert min(launches) == pytest.approx(0.8 * mean, abs=1.5)
        assert max(launches) == pytest.approx(1.2 * mean, abs=1.5)


@given(BUDGETS, SEEDS, LIMITS)
def test_lattices_differ(budget, seed, limit):
    for launches in counts(budget, seed, limit):
        step = 0.4 * budget / len(launches) / (len(launches) - 1)
        apart = np.diff(np.sort(launches))
        assert (apart >= step - 1).all()
        # Below a percent two lattices resemble each other.
        if len(launches) <= 24:
            assert (apart >= 0.01 * budget / len(launches) - 1).all()


@given(BUDGETS, SEEDS, SEEDS, LIMITS)
def test_a_seed_decides_the_order_alone(budget, seed, other, limit):
    assert rounds(budget, seed, limit) == rounds(budget, seed, limit)
    for ours, theirs in zip(counts(budget, seed, limit), counts(budget, other, limit), strict=True):
        assert sorted(ours) == sorted(theirs)


def test_seeds_do_change_the_order():
    orders = {tuple(counts(40_000_000, seed, 10**7)[0]) for seed in range(8)}
    assert len(orders) == 8


@given(BUDGETS, SEEDS, LIMITS)
def test_diffraction_comes_with_the_first_round_and_evenly(budget, seed, limit):
    launched = [r.diffraction_rays > 0 for r in rounds(budget, seed, limit)]
    period = [True] + [False] * (ROUNDS_PER_DIFFRACTION - 1)
    assert launched == period * (len(launched) // ROUNDS_PER_DIFFRACTION)


WEIGHTED = st.lists(
    st.tuples(st.floats(0, 1e3), st.floats(0, 1e3), st.integers(800, 1200)),
    min_size=2,
    max_size=20,
)


@given(WEIGHTED)
def test_mean_and_error_against_numpy(batches):
    running = RunningMean((2,))
    for a, b, rays in batches:
        running.add(np.array([a, b]), rays)
    x = np.array([(a, b) for a, b, _ in batches])
    w = np.array([rays for *_, rays in batches], dtype=float)
    share = w / w.sum()
    mean = np.average(x, axis=0, weights=w)
    biased = np.average((x - mean) ** 2, axis=0, weights=w)
    error = np.sqrt(biased * (share**2).sum() / (1 - (share**2).sum()))
    assert running.num_batches == len(batches)
    assert running.rays == w.sum()
    np.testing.assert_allclose(running.mean(), mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(running.standard_error(), error, rtol=1e-6, atol=1e-9)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20))
def test_equal_batches_give_the_textbook_error(values):
    running = RunningMean(())
    for value in values:
        running.add(np.float64(value), 1000)
    textbook = np.std(values, ddof=1) / np.sqrt(len(values))
    assert running.standard_error() == pytest.approx(textbook, rel=1e-6, abs=1e-6)


def test_error_is_unknown_before_two_batches():
    running = RunningMean((2, 3))
    assert np.isnan(running.standard_error()).all()
    running.add(np.ones((2, 3)), 1000)
    assert np.isnan(running.standard_error()).all()
    assert (running.mean() == 1).all()
    running.add(np.ones((2, 3)), 900)
    assert (running.standard_error() == 0).all()


def test_small_powers_keep_their_digits():
    """Path gains lie around 1e-12 and are added as float32."""
    rng = np.random.default_rng(1)
    x = (rng.exponential(1e-12, (12, 50))).astype(np.float32)
    running = RunningMean((50,))
    for row in x:
        running.add(row, 10**6)
    np.testing.assert_allclose(running.mean(), x.astype(float).mean(axis=0), rtol=1e-12)
    error = x.astype(float).std(axis=0, ddof=1) / np.sqrt(12)
    np.testing.assert_allclose(running.standard_error(), error, rtol=1e-9)


def test_stated_error_is_the_true_one():
    """Over many repeats, the mean of the squared errors is the mean of the stated squares."""
    rng = np.random.default_rng(7)
    rays, _ = counts(12_000, 3, 10**7)
    running = RunningMean((20_000,))
    for count in rays:
        # A batch is a mean over its rays: its variance falls with their number.
        running.add(rng.normal(5.0, 40.0 / np.sqrt(count), 20_000), int(count))
    true = np.mean((running.mean() - 5.0) ** 2)
    assert np.mean(running.standard_error() ** 2) == pytest.approx(true, rel=0.05)
