"""Kriging against a dense Gaussian process written out, and its limits."""

import numpy as np
import pytest

from rfplatform.propagation.conditioning import Misfit, Place, krige

RNG = np.random.default_rng(3)


def places(n):
    return Place(
        RNG.uniform(0, 400, n),
        RNG.uniform(0, 400, n),
        RNG.uniform(1.0, 2.8, n),
        RNG.uniform(2.0, 9.0, n),
    )


def covariance(a, b, misfit, middle):
    apart = np.hypot(a.x_m[:, None] - b.x_m, a.y_m[:, None] - b.y_m)
    return (
        misfit.offset_db**2
        + misfit.slope_db**2 * np.outer(a.log_distance - middle, b.log_distance - middle)
        + misfit.smooth_db**2 * np.exp(-apart / misfit.smooth_m)
        + misfit.rough_share * np.outer(a.spread_db, b.spread_db) * np.exp(-apart / misfit.rough_m)
    )


def test_it_is_the_gaussian_process_written_out():
    misfit, samples, at = Misfit(), places(12), places(30)
    missed_db = RNG.normal(0, 8, 12)
    middle = samples.log_distance.mean()
    own = (1 - misfit.rough_share) * samples.spread_db**2 + misfit.noise_db**2
    total = covariance(samples, samples, misfit, middle) + np.diag(own)
    cross = covariance(at, samples, misfit, middle)
    mean = cross @ np.linalg.solve(total, missed_db)
    prior = np.diag(covariance(at, at, misfit, middle)) + (1 - misfit.rough_share) * (
        at.spread_db**2
    )
    variance = prior - np.einsum("ij,ji->i", cross, np.linalg.solve(total, cross.T))
    found = krige(missed_db, samples, at, misfit)
    np.testing.assert_allclose(found.mean_db, mean, atol=1e-3)
    np.testing.assert_allclose(found.spread_db, np.sqrt(variance), rtol=1e-3)


def test_without_samples_nothing_moves():
    at = places(5)
    found = krige(np.zeros(0), places(0), at, Misfit())
    assert (found.mean_db == 0.0).all()
    assert (found.spread_db >= at.spread_db).all()


def test_an_unknown_constant_is_taken_out_whole():
    misfit, samples, at = Misfit(offset_db=30.0), places(40), places(40)
    missed_db = RNG.normal(0, 4, 40)
    low = krige(missed_db, samples, at, misfit)
    high = krige(missed_db - 60.0, samples, at, misfit)
    np.testing.assert_allclose(high.mean_db, low.mean_db - 60.0, atol=1.5)
    assert high.offset_db == pytest.approx(low.offset_db - 60.0, abs=1.5)


def test_a_sure_prediction_is_hardly_moved_by_one_sample():
    at = Place(np.array([0.0, 4.0]), np.zeros(2), np.full(2, 2.0), np.array([0.5, 12.0]))
    found = krige(np.array([10.0]), at.part(np.array([1])), at, Misfit())
    assert abs(found.rough_db[0]) < 0.5
    assert found.rough_db[1] > 3.0


def test_the_spread_falls_near_samples_and_noise_counts():
    at = Place(np.array([0.0, 300.0]), np.zeros(2), np.full(2, 2.0), np.full(2, 8.0))
    sample = at.part(np.array([0]))
    found = krige(np.array([3.0]), sample, at, Misfit())
    assert found.spread_db[0] < found.spread_db[1]
    noisy = krige(np.array([3.0]), sample, at, Misfit(), noise_db=20.0)
    assert abs(noisy.mean_db[0]) < abs(found.mean_db[0])
