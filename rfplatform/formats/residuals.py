"""What a calibrated map still misses, on one sheet: where, how much, how far out, how surely."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform import __version__
from rfplatform.staging import staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _SOFT_INK, _FAINT_INK, _RULE = "#1b1f24", "#4b535c", "#7d858e", "#d3d7db"
_BLUE, _RED = "#31688e", "#b5563a"
_FONT = "DejaVu Sans"
_BINS = 8


@dataclass(frozen=True, eq=False)
class Residuals:
    """Predictions of readings that the fit has not seen.

    Attributes
    ----------
    x_m, y_m : ndarray, [n]
        Eastings and northings, or local metres.
    distance_m : ndarray, [n]
        From the antenna.
    error_db : ndarray, [n]
        Prediction less measurement.
    before_db : ndarray, [n]
        The same of the map as it was, its offset set.
    spread_db : ndarray, [n]
        What the prediction says of its own error.
    """

    x_m: FloatArray
    y_m: FloatArray
    distance_m: FloatArray
    error_db: FloatArray
    before_db: FloatArray
    spread_db: FloatArray


def write_residuals(
    residuals: Residuals,
    masts: Sequence[tuple[float, float]],
    path: str | os.PathLike[str],
    *,
    title: str,
    subtitle: str = "",
    dpi: float = 150.0,
) -> None:
    """Draw the residuals as a map, a histogram, over distance, and their stated spread's test.

    Parameters
    ----------
    residuals : Residuals
    masts : sequence of (x, y)
        In the same metres.
    path : path-like
        The PNG file; it appears when it is whole.
    title, subtitle : str
    dpi : float
    """
    with staged(path) as partial:
        figure = _draw(residuals, masts, title, subtitle)
        metadata = {"Title": title, "Software": f"rfplatform {__version__}"}
        figure.savefig(partial, format="png", dpi=dpi, metadata=metadata)


def _draw(
    residuals: Residuals, masts: Sequence[tuple[float, float]], title: str, subtitle: str
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 9.6), facecolor="white")
    figure.text(0.055, 0.955, title, fontsize=16, weight="bold", color=_INK, family=_FONT)
    figure.text(0.055, 0.928, subtitle, fontsize=9.5, color=_SOFT_INK, family=_FONT)
    boxes = ((0.055, 0.075, 0.47, 0.80), (0.605, 0.665, 0.365, 0.21),
             (0.605, 0.37, 0.365, 0.21), (0.605, 0.075, 0.365, 0.21))  # fmt: skip
    panels = [figure.add_axes(box) for box in boxes]
    _map(figure, panels[0], residuals, masts)
    _histogram(panels[1], residuals)
    _over_distance(panels[2], residuals)
    _reliability(panels[3], residuals)
    figure.text(0.97, 0.015, f"rfplatform {__version__}", fontsize=7, color=_FAINT_INK, ha="right")
    return figure


def _map(
    figure: Figure, axes: Axes, residuals: Residuals, masts: Sequence[tuple[float, float]]
) -> None:
    reach = max(5.0, float(np.ceil(np.quantile(np.abs(residuals.error_db), 0.95) / 5.0) * 5.0))
    # The largest errors last, so that none hides under a small one.
    order = np.argsort(np.abs(residuals.error_db))
    x0, y0 = float(residuals.x_m.min()), float(residuals.y_m.min())
    width = max(float(np.ptp(residuals.x_m)), float(np.ptp(residuals.y_m)), 1.0)
    size = float(np.clip(9e5 / width**2 * 4.0, 2.0, 14.0))
    dots = axes.scatter(
        residuals.x_m[order] - x0,
        residuals.y_m[order] - y0,
        c=residuals.error_db[order],
        s=size,
        cmap="RdBu_r",
        vmin=-reach,
        vmax=reach,
        linewidths=0,
    )
    for x, y in sorted(set(masts)):
        axes.plot(x - x0, y - y0, marker="^", color=_INK, markersize=9, markeredgecolor="white")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_facecolor("#eceef0")
    _style(axes, "Where: prediction less measurement", "metres to the east", "metres to the north")
    bar = figure.colorbar(dots, ax=axes, orientation="horizontal", fraction=0.035, pad=0.075)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=_SOFT_INK, length=0)
    bar.set_label("dB   red: the map is too strong   ▲ mast", fontsize=8.5, color=_SOFT_INK)


def _histogram(axes: Axes, residuals: Residuals) -> None:
    reach = float(np.quantile(np.abs(residuals.before_db), 0.99))
    reach = max(reach, float(np.quantile(np.abs(residuals.error_db), 0.99)), 1.0)
    edges = np.linspace(-reach, reach, 61)
    draw: Any = axes.hist
    for values, color, name, style in (
        (residuals.before_db, _FAINT_INK, "map + offset", {"histtype": "step", "linewidth": 1.3}),
        (residuals.error_db, _BLUE, "calibrated", {"alpha": 0.75}),
    ):
        rmse = float(np.sqrt(np.mean(values**2)))
        shown = np.clip(values, -reach, reach)
        draw(shown, edges, color=color, label=f"{name}, {rmse:.1f} dB", **style)
    axes.axvline(0.0, color=_INK, linewidth=0.8)
    axes.legend(fontsize=8, frameon=False, loc="upper left", labelcolor=_SOFT_INK)
    _style(axes, "How much: errors on blocks left out", "dB (RMSE in the legend)", "pixels")


def _over_distance(axes: Axes, residuals: Residuals) -> None:
    edges = np.unique(np.quantile(residuals.distance_m, np.linspace(0, 1, _BINS + 1)))
    which = np.clip(np.searchsorted(edges, residuals.distance_m, "right") - 1, 0, len(edges) - 2)
    for values, color, name in (
        (residuals.before_db, _FAINT_INK, "map + offset"),
        (residuals.error_db, _BLUE, "calibrated"),
    ):
        middle, rmse = [], []
        for i in range(max(len(edges) - 1, 1)):
            own = which == i
            if own.any():
                middle.append(float(residuals.distance_m[own].mean()))
                rmse.append(float(np.sqrt(np.mean(values[own] ** 2))))
        axes.plot(middle, rmse, "o-", color=color, label=name, markersize=4, linewidth=1.4)
    axes.set_ylim(bottom=0.0)
    axes.legend(fontsize=8, frameon=False, loc="lower right", labelcolor=_SOFT_INK)
    _style(axes, "How far out: RMSE over distance", "metres from the antenna", "dB")


def _reliability(axes: Axes, residuals: Residuals) -> None:
    from scipy.stats import norm

    stated = np.linspace(0.05, 0.95, 19)
    scaled = -residuals.error_db / residuals.spread_db
    seen = [float(np.mean(scaled <= norm.ppf(level))) for level in stated]
    axes.plot([0, 1], [0, 1], color=_RULE, linewidth=1.2)
    axes.plot(stated, seen, "o-", color=_RED, markersize=4, linewidth=1.4)
    for level, name in ((0.1, "P10"), (0.5, "P50"), (0.9, "P90")):
        share = float(np.mean(scaled <= norm.ppf(level)))
        text = f"{name}: {share:.0%} below"
        beside = (7, -12) if level < 0.9 else (-34, -22)
        axes.annotate(
            text, (level, share), beside, textcoords="offset points", fontsize=8, color=_SOFT_INK
        )
    axes.set_xlim(0, 1.12)
    axes.set_ylim(0, 1)
    _style(axes, "How surely: readings below each quantile", "stated share", "counted share")


def _style(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10.5, weight="bold", color=_INK, loc="left", family=_FONT)
    axes.set_xlabel(x, fontsize=8.5, color=_SOFT_INK)
    axes.set_ylabel(y, fontsize=8.5, color=_SOFT_INK)
    axes.tick_params(labelsize=8, colors=_SOFT_INK, length=3, color=_RULE)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_RULE)
