"""Scores of maps, each by a second route: closed forms, slow loops, and draws."""

import numpy as np
import pytest

from rfplatform import metrics


def masked_ssim(x_db, y_db, cells, range_db):
    """Eqs. 13 to 17 of Wang et al., a window at a time, as they are written."""
    half = metrics.SSIM_WINDOW // 2
    low, high = range_db
    x, y = (np.clip((level - low) / (high - low), 0, 1) for level in (x_db, y_db))
    scores = []
    for row, column in np.argwhere(cells):
        weights, xs, ys = [], [], []
        for i in range(row - half, row + half + 1):
            for j in range(column - half, column + half + 1):
                if 0 <= i < len(x) and 0 <= j < x.shape[1] and cells[i, j]:
                    away2 = (i - row) ** 2 + (j - column) ** 2
                    weights.append(np.exp(-away2 / (2 * metrics.SSIM_SIGMA**2)))
                    xs.append(x[i, j])
                    ys.append(y[i, j])
        w = np.array(weights) / np.sum(weights)
        mx, my = w @ xs, w @ ys
        dx, dy = np.array(xs) - mx, np.array(ys) - my
        c1, c2 = metrics.SSIM_K1**2, metrics.SSIM_K2**2
        top = (2 * mx * my + c1) * (2 * (w @ (dx * dy)) + c2)
        scores.append(top / ((mx**2 + my**2 + c1) * (w @ dx**2 + w @ dy**2 + c2)))
    return float(np.mean(scores))


def test_errors_in_db_are_those_of_a_list_worked_out_by_hand():
    told = np.array([1.0, 5.0, -np.inf, 2.0, 9.0])
    true = np.array([0.0, 3.0, 1.0, -np.inf, 12.0])
    # The errors are 1, 2 and -3.
    assert metrics.mae_db(told, true) == pytest.approx(2.0)
    assert metrics.bias_db(told, true) == pytest.approx(0.0)
    assert metrics.rmse_db(told, true) == pytest.approx(np.sqrt(14 / 3))
    cells = np.array([True, True, True, True, False])
    assert metrics.bias_db(told, true, cells) == pytest.approx(1.5)


def test_groups_are_scored_apart_and_those_without_a_cell_left_out():
    told = np.array([[1.0, 2.0], [3.0, -np.inf]])
    groups = np.array([[7, 2], [2, 5]])
    scores = metrics.rmse_by_group_db(told, np.zeros((2, 2)), groups)
    assert list(scores) == [2, 7]
    assert scores[2] == pytest.approx(np.sqrt(6.5))
    assert scores[7] == 1.0
    cells = np.array([[False, True], [False, True]])
    assert metrics.rmse_by_group_db(told, np.zeros((2, 2)), groups, cells) == {2: 2.0}


def test_ssim_is_that_of_a_loop_over_windows():
    rng = np.random.default_rng(3)
    cells = rng.random((17, 23)) < 0.7
    true = rng.uniform(-170.0, -50.0, cells.shape)
    told = true + rng.normal(0.0, 8.0, cells.shape)
    told[rng.random(cells.shape) < 0.1] = -np.inf
    slow = masked_ssim(told, true, cells, (-150.0, -70.0))
    assert 0.1 < slow < 0.99
    assert metrics.ssim(told, true, cells, (-150.0, -70.0)) == pytest.approx(slow, abs=1e-9)


def test_ssim_of_flat_maps_is_its_luminance_and_no_building_matters():
    cells = np.ones((20, 20), bool)
    cells[5:12, 5:12] = False
    told, true = np.full(cells.shape, -110.0), np.full(cells.shape, -90.0)
    told[~cells], true[~cells] = -60.0, -np.inf
    x, y, c1 = 0.5, 0.7, metrics.SSIM_K1**2
    expected = (2 * x * y + c1) / (x**2 + y**2 + c1)
    assert metrics.ssim(told, true, cells, (-160.0, -60.0)) == pytest.approx(expected, abs=1e-9)
    assert metrics.ssim(true, true, cells) == pytest.approx(1.0)
    assert np.isnan(metrics.ssim(told, true, np.zeros_like(cells)))


def test_coverage_f1_is_that_of_a_count_by_hand():
    true = np.array([-90.0, -100.0, -100.1, -np.inf, -80.0, -80.0])
    told = np.array([-95.0, -120.0, -99.0, -np.inf, -80.0, -np.inf])
    cells = np.array([True, True, True, True, True, False])
    # Covered: the first, second and fifth; told: the first, third and fifth.
    assert metrics.coverage_f1(told, true, -100.0, cells) == pytest.approx(4 / 6)
    assert np.isnan(metrics.coverage_f1(told, true, 0.0, cells))


def test_the_interval_of_an_honest_spread_holds_its_nominal_share():
    rng = np.random.default_rng(1)
    mean, spread = rng.normal(0.0, 20.0, 100_000), rng.uniform(0.5, 9.0, 100_000)
    truth = rng.normal(mean, spread)
    for nominal in (0.5, 0.8, 0.9):
        assert metrics.picp(mean, spread, truth, nominal) == pytest.approx(nominal, abs=0.005)
    # By hand: 1.28 spreads hold 80 %.
    zero, one = np.zeros(4), np.ones(4)
    assert metrics.picp(zero, one, np.array([1.27, -1.27, 1.29, -1.29])) == 0.5
    assert np.isnan(metrics.picp(zero, one * np.nan, zero))


def test_crps_is_the_integral_that_defines_it():
    from scipy.integrate import quad
    from scipy.stats import norm

    for mean, spread, truth in ((0.0, 1.0, 0.3), (-5.0, 4.0, 3.0), (2.0, 0.2, 1.9)):
        distribution = norm(mean, spread)
        below, _ = quad(lambda y, d=distribution: d.cdf(y) ** 2, mean - 60, truth)
        above, _ = quad(lambda y, d=distribution: (1 - d.cdf(y)) ** 2, truth, mean + 60)
        score = metrics.crps_normal(np.array([mean]), np.array([spread]), np.array([truth]))
        assert score == pytest.approx(below + above, rel=1e-5)


def test_crps_without_a_spread_is_the_absolute_error_and_cells_choose():
    mean, truth = np.array([1.0, 2.0, 5.0]), np.array([3.0, 1.0, -np.inf])
    assert metrics.crps_normal(mean, np.zeros(3), truth) == pytest.approx(1.5)
    cells = np.array([False, True, True])
    assert metrics.crps_normal(mean, np.full(3, 1e-9), truth, cells) == pytest.approx(1.0)
    assert np.isnan(metrics.crps_normal(mean, np.zeros(3), truth, cells & False))
