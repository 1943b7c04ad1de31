import numpy as np
import pytest

from rfplatform.propagation.interpolation import (
    METHODS,
    GaussianProcess,
    LogDistance,
    NearestNeighbours,
    Offset,
    Points,
    Samples,
)
from rfplatform.radiomap import Sector

SECTOR = Sector("S", "1", 0.0, 0.0, 25.0, azimuth_deg=30.0)


def points(n, rng, spread_db=None):
    x, y = rng.uniform(-300, 300, (2, n))
    distance = np.sqrt(x**2 + y**2 + 25.0**2)
    prior = -20.0 - 35.0 * np.log10(distance)
    return Points(x, y, prior, None if spread_db is None else np.full(n, spread_db))


def shadowing(x, y):
    """A smooth field of some 6 dB that no trend explains."""
    return 6.0 * np.sin(x / 40.0) * np.cos(y / 55.0) + 4.0 * np.sin((x + y) / 60.0)


def truth(p):
    off = np.arctan2(p.x_m, p.y_m) - np.radians(30.0)
    return p.prior_db - 12.0 + 5.0 * np.cos(off) + shadowing(p.x_m, p.y_m)


def case(n, seed=0, noise_db=1.0):
    rng = np.random.default_rng(seed)
    known, wanted = points(n, rng), points(800, rng)
    return Samples(known, truth(known) + rng.normal(0, noise_db, n)), wanted


def rmse(estimate, wanted):
    return float(np.sqrt(np.mean((estimate.mean_db - truth(wanted)) ** 2)))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 40])
def test_any_number_of_samples_gives_finite_levels_and_spreads(name, count):
    samples, wanted = case(count)
    found = METHODS[name](samples, wanted, SECTOR)
    assert found.mean_db.shape == found.spread_db.shape == (800,)
    assert np.isfinite(found.mean_db).all()
    assert (found.spread_db > 0).all()
    assert np.isfinite(found.spread_db).all()


@pytest.mark.parametrize("name", METHODS)
def test_no_points_are_an_empty_answer(name):
    samples, wanted = case(20)
    none = wanted.at(np.zeros(800, dtype=bool))
    assert METHODS[name](samples, none, SECTOR).mean_db.shape == (0,)


@pytest.mark.parametrize("name", ["offset", "log-distance", "knn", "gp", "gp-prior"])
def test_without_samples_the_prior_stands_and_its_spread_is_wide(name):
    samples, wanted = case(0)
    found = METHODS[name](samples, wanted, SECTOR)
    np.testing.assert_allclose(found.mean_db, wanted.prior_db)
    assert found.spread_db.min() > 9.0


def test_two_samples_shift_the_prior():
    samples, wanted = case(2, noise_db=0.0)
    mean = METHODS["gp"](samples, wanted, SECTOR).mean_db - wanted.prior_db
    expected = np.mean(samples.level_db - samples.points.prior_db)
    np.testing.assert_allclose(mean, expected)


def test_a_constant_error_of_the_prior_is_found():
    rng = np.random.default_rng(3)
    known, wanted = points(30, rng), points(50, rng)
    found = Offset()(Samples(known, known.prior_db - 17.5), wanted, SECTOR)
    np.testing.assert_allclose(found.mean_db, wanted.prior_db - 17.5)
    assert found.spread_db.max() < 4.0


def test_a_stated_spread_differs_from_point_to_point():
    rng = np.random.default_rng(3)
    known, wanted = points(30, rng, 2.0), points(50, rng, 2.0)
    wanted.spread_db[0] = 15.0
    found = Offset()(Samples(known, known.prior_db), wanted, SECTOR)
    assert found.spread_db[0] > 15.0
    assert found.spread_db[1] < 6.0


def test_dark_cells_of_the_prior_are_taken_as_weak_ones():
    rng = np.random.default_rng(4)
    known, wanted = points(30, rng), points(50, rng)
    wanted.prior_db[:5] = -np.inf
    known.prior_db[0] = -np.inf
    found = Offset()(Samples(known, known.x_m * 0 - 90.0), wanted, SECTOR)
    assert np.isfinite(found.mean_db).all()
    assert (found.mean_db[:5] < np.median(found.mean_db[5:])).all()


def test_the_regression_finds_slope_and_azimuth():
    rng = np.random.default_rng(5)
    known, wanted = points(60, rng), points(100, rng)

    def level(p):
        off = np.arctan2(p.x_m, p.y_m) - np.radians(30.0)
        return -60.0 - 22.0 * np.log10(np.hypot(p.x_m, p.y_m) ** 2 + 625.0) / 2 + 7 * np.cos(off)

    found = LogDistance()(Samples(known, level(known)), wanted, SECTOR)
    assert np.abs(found.mean_db - level(wanted)).max() < 3.0


def test_neighbours_meet_their_sample_and_are_less_sure_far_away():
    samples, wanted = case(200)
    here = NearestNeighbours()(samples, samples.points, SECTOR)
    assert np.abs(here.mean_db - samples.level_db).mean() < 4.0
    far = Points(np.array([2000.0]), np.array([0.0]), np.array([-120.0]))
    spread = NearestNeighbours()(samples, far, SECTOR).spread_db[0]
    assert spread > NearestNeighbours()(samples, wanted, SECTOR).spread_db.mean()


def test_more_samples_help_and_the_process_beats_its_trend():
    few, wanted = case(20)
    many, _ = case(200)
    process = GaussianProcess()
    with_many = rmse(process(many, wanted, SECTOR), wanted)
    assert with_many < 3.0
    assert with_many < rmse(process(few, wanted, SECTOR), wanted)
    assert with_many < rmse(LogDistance()(many, wanted, SECTOR), wanted)


@pytest.mark.parametrize("name", ["offset", "log-distance", "knn", "gp", "gp-prior"])
@pytest.mark.parametrize("count", [15, 150])
def test_four_fifths_of_the_truth_lie_within_the_stated_interval(name, count):
    inside = []
    for seed in range(4):
        samples, wanted = case(count, seed)
        found = METHODS[name](samples, wanted, SECTOR)
        inside.append(np.abs(found.mean_db - truth(wanted)) < 1.2816 * found.spread_db)
    assert 0.68 < np.mean(inside) < 0.98


def test_a_subset_fits_the_kernel_and_all_samples_predict():
    many, wanted = case(300)
    subset = GaussianProcess(fit_points=100)(many, wanted, SECTOR)
    whole = GaussianProcess(fit_points=100)(many.at(np.arange(100)), wanted, SECTOR)
    assert rmse(subset, wanted) < rmse(whole, wanted)
    again = GaussianProcess(fit_points=100)(many, wanted, SECTOR)
    np.testing.assert_array_equal(subset.mean_db, again.mean_db)


def test_samples_at_one_place_are_no_trouble():
    at = Points(np.zeros(6) + 10.0, np.zeros(6), np.zeros(6) - 80.0)
    samples = Samples(at, np.array([-90.0, -91, -92, -93, -94, -95]))
    _, wanted = case(3)
    for method in METHODS.values():
        assert np.isfinite(method(samples, wanted, SECTOR).mean_db).all()


def test_more_samples_than_the_process_can_bear_are_averaged_in_squares():
    many, wanted = case(900)
    thinned = GaussianProcess(most_points=200)(many, wanted, SECTOR)
    assert rmse(thinned, wanted) < 4.0


def test_far_from_every_sample_the_process_is_its_trend():
    samples, _ = case(60)
    far = Points(np.array([9000.0]), np.array([0.0]), np.array([-150.0]))
    found = GaussianProcess()(samples, far, SECTOR)
    trend = LogDistance()(samples, far, SECTOR)
    np.testing.assert_allclose(found.mean_db, trend.mean_db)
    assert found.spread_db[0] > 5.0
