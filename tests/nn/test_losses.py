"""Losses, by hand and by a slow route."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.nn.losses import (
    LEAST_LOG_SPREAD,
    MOST_LOG_SPREAD,
    censored_nll,
    geo2sigmap_loss,
    log_spread,
)


def cells(*rows):
    """One row of cells: [1, 1, cells, values]."""
    return np.array([[rows]], dtype=np.float32)


def soft(raw):
    middle, half = (
        (MOST_LOG_SPREAD + LEAST_LOG_SPREAD) / 2,
        (MOST_LOG_SPREAD - LEAST_LOG_SPREAD) / 2,
    )
    return middle + half * math.tanh((raw - middle) / half)


def slowly(truth, predicted):
    """The loss of every cell on its own, in double precision."""
    total, weights = 0.0, 0.0
    for row, (mean, raw) in zip(truth.reshape(-1, 4), predicted.reshape(-1, 2), strict=True):
        residual, weight, ceiling, dark = map(float, row)
        sigma = math.exp(soft(float(raw)))
        nll = 0.5 * ((residual - mean) / sigma) ** 2 + math.log(sigma)
        total += weight * sigma * nll
        if mean > ceiling:
            total += dark * 0.5 * (mean - ceiling) ** 2
        weights += weight + dark
    return total / (weights + 1e-6)


def test_the_spread_is_bounded_and_nearly_itself_between():
    assert float(log_spread(-100.0)) == pytest.approx(LEAST_LOG_SPREAD)
    assert float(log_spread(100.0)) == pytest.approx(MOST_LOG_SPREAD)
    assert float(log_spread(-1.25)) == pytest.approx(-1.25)
    raw = np.linspace(-8.0, 6.0, 200)
    made = np.asarray(log_spread(raw.astype(np.float32)))
    assert (np.diff(made) > 0).all()
    assert abs(float(log_spread(0.0))) < 0.25


def test_a_known_cell_by_hand():
    """Sigma is exp(-1.25) = 0.2865, z = 1: the loss is 0.2865 * (0.5 - 1.25)."""
    sigma = math.exp(-1.25)
    truth, predicted = cells((sigma, 1.0, 0.0, 0.0)), cells((0.0, -1.25))
    assert float(censored_nll(truth, predicted)) == pytest.approx(sigma * (0.5 - 1.25), rel=1e-5)


def test_a_dark_cell_costs_only_above_its_ceiling():
    below = cells((0.0, 0.0, -2.0, 0.1)), cells((-2.5, 0.0))
    above = cells((0.0, 0.0, -2.0, 0.1)), cells((-1.0, 0.0))
    assert float(censored_nll(*below)) == 0.0
    assert float(censored_nll(*above)) == pytest.approx(0.5, rel=1e-4)


def test_cells_without_weight_count_nothing():
    truth = cells((1.0, 1.0, 0.0, 0.0), (99.0, 0.0, 0.0, 0.0))
    predicted = cells((0.5, 0.0), (-7.0, 3.0))
    alone = censored_nll(truth[:, :, :1], predicted[:, :, :1])
    assert float(censored_nll(truth, predicted)) == pytest.approx(float(alone), rel=1e-5)
    assert float(censored_nll(0 * truth, predicted)) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_censored_nll_is_what_the_slow_route_gives(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(2, 3, 4, 4), scale=2.0).astype(np.float32)
    truth[..., 1] = rng.random((2, 3, 4)) * (rng.random((2, 3, 4)) < 0.7)
    truth[..., 3] = 0.1 * (truth[..., 1] == 0)
    predicted = rng.normal(size=(2, 3, 4, 2), scale=2.0).astype(np.float32)
    assert float(censored_nll(truth, predicted)) == pytest.approx(
        slowly(truth, predicted), rel=2e-4, abs=1e-4
    )


def test_geo2sigmap_loss_by_hand():
    """Errors 1, 2, 3; the mask has the second, the third has no weight: 0.7 * 2.5 + 0.3 * 4."""
    truth = cells((1.0, 1.0, 0.0), (2.0, 1.0, 1.0), (3.0, 0.0, 1.0))
    predicted = cells((0.0,), (0.0,), (0.0,))
    loss = float(geo2sigmap_loss(truth, predicted))
    assert loss == pytest.approx(0.7 * (1.0 + 4.0) / 2.0 + 0.3 * 4.0, rel=1e-5)
