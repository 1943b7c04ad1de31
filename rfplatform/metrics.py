"""How far two maps are apart, in dB and in cells, for every benchmark alike: numpy and scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

BoolArray = npt.NDArray[np.bool_]

SSIM_WINDOW = 11
"""Cells along each side of the window of `ssim`, as in Wang et al."""
SSIM_SIGMA = 1.5
"""Of that window's Gaussian weights, in cells, as in Wang et al."""
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Of the constants that keep `ssim` finite on flat parts, as in Wang et al."""
SSIM_RANGE_DB = (-160.0, -60.0)
"""Path gains that `ssim` takes for 0 and for 1, unless it is told others."""


def finite_in_both(
    predicted_db: FloatArray, truth_db: FloatArray, cells: BoolArray | None = None
) -> BoolArray:
    """Cells in which both maps have a path, among those asked for."""
    both = np.isfinite(predicted_db) & np.isfinite(truth_db)
    return both if cells is None else both & cells


def errors_db(
    predicted_db: FloatArray, truth_db: FloatArray, cells: BoolArray | None = None
) -> FloatArray:
    """Prediction minus truth where both have a path, as a flat list."""
    both = finite_in_both(predicted_db, truth_db, cells)
    return np.asarray(predicted_db[both].astype(float) - truth_db[both])


def rmse_db(
    predicted_db: FloatArray, truth_db: FloatArray, cells: BoolArray | None = None
) -> float:
    """Root mean square of `errors_db`; NaN where no cell counts."""
    errors = errors_db(predicted_db, truth_db, cells)
    return float(np.sqrt(np.mean(errors**2))) if errors.size else float("nan")


def error_quantile_db(
    predicted_db: FloatArray,
    truth_db: FloatArray,
    quantile: float = 0.5,
    cells: BoolArray | None = None,
) -> float:
    """A quantile of the absolute `errors_db`, by default the median; NaN where no cell counts."""
    errors = errors_db(predicted_db, truth_db, cells)
    return float(np.quantile(np.abs(errors), quantile)) if errors.size else float("nan")


def share_reached(predicted_db: FloatArray, cells: BoolArray) -> float:
    """Share of the cells that have a path."""
    return float(np.isfinite(predicted_db)[cells].mean())


def share_falsely_reached(
    predicted_db: FloatArray, truth_db: FloatArray, cells: BoolArray
) -> float:
    """Share of the cells that have a path though the truth has none."""
    return float((np.isfinite(predicted_db) & ~np.isfinite(truth_db))[cells].mean())


def mae_db(predicted_db: FloatArray, truth_db: FloatArray, cells: BoolArray | None = None) -> float:
    """Mean of the absolute `errors_db`; NaN where no cell counts."""
    errors = errors_db(predicted_db, truth_db, cells)
    return float(np.mean(np.abs(errors))) if errors.size else float("nan")


def bias_db(
    predicted_db: FloatArray, truth_db: FloatArray, cells: BoolArray | None = None
) -> float:
    """Mean of `errors_db`: above 0 where the prediction is too high; NaN where no cell counts."""
    errors = errors_db(predicted_db, truth_db, cells)
    return float(np.mean(errors)) if errors.size else float("nan")


def rmse_by_group_db(
    predicted_db: FloatArray,
    truth_db: FloatArray,
    group: npt.NDArray[np.integer],
    cells: BoolArray | None = None,
) -> dict[int, float]:
    """`rmse_db` of each group of cells.

    Parameters
    ----------
    predicted_db, truth_db : ndarray
    group : ndarray of int, the same shape
        The number of each cell's group.
    cells : ndarray of bool, the same shape, optional
        Those that count.

    Returns
    -------
    dict
        From the number of every group in which a cell counts, in ascending order.
    """
    counted = finite_in_both(predicted_db, truth_db, cells)
    return {
        int(number): rmse_db(predicted_db, truth_db, counted & (group == number))
        for number in np.unique(group[counted])
    }


def ssim(
    predicted_db: FloatArray,
    truth_db: FloatArray,
    cells: BoolArray,
    range_db: tuple[float, float] = SSIM_RANGE_DB,
) -> float:
    """Structural similarity of two maps, from -1 to 1.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE Trans. Image Processing 13(4), 2004, Eqs. 13 to 17: a window of
    `SSIM_WINDOW` x `SSIM_WINDOW` cells with Gaussian weights of `SSIM_SIGMA` cells,
    K1 = `SSIM_K1`, K2 = `SSIM_K2`, and levels in `range_db` brought to 0..1, so that L = 1.

    Cells that don't count, as those inside buildings, are no part of any window: the weights of
    the others add up to 1 in each, at the map's border too. The mean is over the windows around
    the cells that count.

    Parameters
    ----------
    predicted_db, truth_db : ndarray, [num_y, num_x]
        Levels outside the range count as its ends; -inf (no path) as the lower one.
    cells : ndarray, [num_y, num_x], bool
        Those that count.
    range_db : tuple of float
        The levels that become 0 and 1.

    Returns
    -------
    float
        NaN where no cell counts.
    """
    from scipy.ndimage import correlate1d

    if not cells.any():
        return float("nan")
    low_db, high_db = range_db
    x, y = (
        np.where(cells, np.clip((level - low_db) / (high_db - low_db), 0.0, 1.0), 0.0)
        for level in (predicted_db.astype(float), truth_db.astype(float))
    )
    away = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (away / SSIM_SIGMA) ** 2)

    def windowed(values: FloatArray) -> FloatArray:
        along_y = correlate1d(values, weights, axis=0, mode="constant")
        return np.asarray(correlate1d(along_y, weights, axis=1, mode="constant")[cells])

    total = windowed(cells.astype(float))
    mean_x, mean_y = windowed(x) / total, windowed(y) / total
    var_x = windowed(x * x) / total - mean_x**2
    var_y = windowed(y * y) / total - mean_y**2
    covariance = windowed(x * y) / total - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (var_x + var_y + c2)))


def coverage_f1(
    predicted_dbm: FloatArray, truth_dbm: FloatArray, threshold_dbm: float, cells: BoolArray
) -> float:
    """F1 of "this cell is covered": 2 TP / (2 TP + FP + FN).

    Parameters
    ----------
    predicted_dbm, truth_dbm : ndarray
        A cell is covered from the threshold on; -inf is not.
    threshold_dbm : float
    cells : ndarray of bool, the same shape
        Those that count.

    Returns
    -------
    float
        NaN where neither map covers any cell.
    """
    told, true = predicted_dbm[cells] >= threshold_dbm, truth_dbm[cells] >= threshold_dbm
    claims = int(told.sum() + true.sum())
    return 2.0 * int((told & true).sum()) / claims if claims else float("nan")


def picp(
    mean_db: FloatArray,
    spread_db: FloatArray,
    truth_db: FloatArray,
    nominal: float = 0.8,
    cells: BoolArray | None = None,
) -> float:
    """Share of the truths within the central interval of a stated normal distribution.

    The prediction interval's coverage probability: as large as `nominal` where the spread is
    honest, larger where it is too wide.

    Parameters
    ----------
    mean_db, spread_db, truth_db : ndarray
        Of the distribution, and what came of it. Values that are not finite don't count.
    nominal : float
        What the interval should hold, within 0..1.
    cells : ndarray of bool, the same shape, optional
        Those that count.

    Returns
    -------
    float
        NaN where no cell counts.
    """
    from scipy.special import ndtri

    errors, spreads = _stated(mean_db, spread_db, truth_db, cells)
    within = np.abs(errors) <= ndtri(0.5 + nominal / 2.0) * spreads
    return float(np.mean(within)) if errors.size else float("nan")


def crps_normal(
    mean_db: FloatArray,
    spread_db: FloatArray,
    truth_db: FloatArray,
    cells: BoolArray | None = None,
) -> float:
    """Mean continuous ranked probability score of normal distributions; lower is better.

    ``spread (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))`` with ``z = (truth - mean) / spread``
    (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA
    102(477), 2007, section 4.2, with the sign of a loss). Without a spread it is the absolute
    error, which is its limit.

    Parameters
    ----------
    mean_db, spread_db, truth_db : ndarray
        As in `picp`.
    cells : ndarray of bool, the same shape, optional

    Returns
    -------
    float
        In dB. NaN where no cell counts.
    """
    from scipy.special import ndtr

    errors, spreads = _stated(mean_db, spread_db, truth_db, cells)
    if not errors.size:
        return float("nan")
    known = spreads > 0
    z = errors[known] / spreads[known]
    density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    scores = np.abs(errors)
    scores[known] = spreads[known] * (
        z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi)
    )
    return float(np.mean(scores))


def _stated(
    mean_db: FloatArray, spread_db: FloatArray, truth_db: FloatArray, cells: BoolArray | None
) -> tuple[FloatArray, FloatArray]:
    """Truth minus mean, and the spread, where all are known, as flat lists."""
    counted = finite_in_both(mean_db, truth_db, cells) & np.isfinite(spread_db)
    return -errors_db(mean_db, truth_db, counted), spread_db[counted].astype(float)
