"""How far two maps are apart, in dB and in cells: pure numpy, for every benchmark alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

BoolArray = npt.NDArray[np.bool_]


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
