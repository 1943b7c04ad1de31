"""What networks are trained to make small."""

from __future__ import annotations

from keras import ops

from rfplatform.nn import Tensor

LEAST_LOG_SPREAD, MOST_LOG_SPREAD = -4.0, 1.5
"""Bounds of the logarithm of a spread, in units of the residuals' scale: 0.2 to 45 dB for 10 dB."""

BETA = 0.5
"""How far a cell's weight follows its variance (Seitzer et al. 2022, Eq. 4): at 1 the mean is
learned as by least squares, at 0 as by likelihood, where hard cells are given up early."""


def log_spread(raw: Tensor) -> Tensor:
    """The logarithm of the spread that a network's second output stands for, softly bounded."""
    middle = (MOST_LOG_SPREAD + LEAST_LOG_SPREAD) / 2.0
    half = (MOST_LOG_SPREAD - LEAST_LOG_SPREAD) / 2.0
    return middle + half * ops.tanh((raw - middle) / half)


def censored_nll(truth: Tensor, predicted: Tensor) -> Tensor:
    """Negative log-likelihood of levels with a predicted spread, known or known to be low.

    Parameters
    ----------
    truth : tensor, [batch, height, width, 4]
        The residual, its weight; for cells in which no path was found, the residual of a level
        that would have been found, and its weight.
    predicted : tensor, [batch, height, width, 2]
        Mean residual and raw spread (`log_spread`).

    Returns
    -------
    tensor
        The weighted mean over cells.
    """
    residual, weight = truth[..., 0], truth[..., 1]
    ceiling, dark = truth[..., 2], truth[..., 3]
    mean, log_sigma = predicted[..., 0], log_spread(predicted[..., 1])
    sigma = ops.exp(log_sigma)
    z = (residual - mean) / sigma
    # Half by likelihood, half by plain squares, which is what maps are scored by.
    eased = ops.stop_gradient(sigma) ** (2.0 * BETA)
    known = eased * (0.5 * z * z + log_sigma)
    # Where nothing was found the level lies below the ceiling: a hinge, at rest below it.
    above = ops.relu(mean - ceiling)
    total = ops.sum(weight * known) + ops.sum(dark * 0.5 * above * above)
    return total / (ops.sum(weight) + ops.sum(dark) + 1e-6)


def geo2sigmap_loss(truth: Tensor, predicted: Tensor) -> Tensor:
    """Geo2SigMap's loss: 0.7 of the error over all cells, 0.3 over the masked ones.

    Parameters
    ----------
    truth : tensor, [batch, height, width, 3]
        Level, weight and mask.
    predicted : tensor, [batch, height, width, 1]
    """
    level, weight, mask = truth[..., 0], truth[..., 1], truth[..., 2]
    squared = (level - predicted[..., 0]) ** 2
    everywhere = ops.sum(weight * squared) / (ops.sum(weight) + 1e-6)
    masked = weight * mask
    return 0.7 * everywhere + 0.3 * ops.sum(masked * squared) / (ops.sum(masked) + 1e-6)
