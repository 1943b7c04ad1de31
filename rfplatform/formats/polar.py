"""The two cuts of an antenna as polar plots on one sheet."""

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
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

_INK, _SOFT_INK, _FAINT_INK, _RULE = "#1b1f24", "#4b535c", "#7d858e", "#d3d7db"
_HORIZONTAL, _VERTICAL = "#31688e", "#b5563a"
_FONT = "DejaVu Sans"
_RANGE_DB = 40.0
_WIDTH_IN, _HEIGHT_IN = 10.0, 7.0


@dataclass(frozen=True, eq=False)
class PolarCut:
    """One curve.

    Attributes
    ----------
    angle_deg : ndarray
        Horizontally clockwise from boresight; vertically downwards from the horizon.
    gain_dbi : ndarray
        The same length.
    peak_deg : float
        Where the main lobe is.
    width_deg : float, optional
        Between its half-power points.
    """

    angle_deg: FloatArray
    gain_dbi: FloatArray
    peak_deg: float = 0.0
    width_deg: float | None = None


def write_polar(
    horizontal: PolarCut,
    vertical: PolarCut,
    path: str | os.PathLike[str],
    *,
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    comment: str = "",
    dpi: float = 160.0,
    overwrite: bool = False,
) -> None:
    """Draw both cuts in dB below the maximum, down to -40 dB, with the facts under them.

    Parameters
    ----------
    horizontal, vertical : PolarCut
        Boresight is up in the horizontal plot, seen from above; it is to the right in the
        vertical one, seen from the side.
    path : path-like
        The PNG file; it appears when it is whole.
    title, comment : str
    facts : sequence of tuple of str
        What and how much, such as ("Gain", "18.0 dBi"); at most eight are read well.
    dpi : float
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.
    """
    with staged(path, overwrite) as partial:
        figure = _draw(horizontal, vertical, title, facts, comment)
        metadata = {"Title": title, "Software": f"rfplatform {__version__}"}
        figure.savefig(partial, format="png", dpi=dpi, metadata=metadata)


def _draw(
    horizontal: PolarCut,
    vertical: PolarCut,
    title: str,
    facts: Sequence[tuple[str, str]],
    comment: str,
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), facecolor="white")
    maximum = max(float(np.max(cut.gain_dbi, initial=-np.inf)) for cut in (horizontal, vertical))
    _write(figure, 0.05, 0.935, _cut(title, 62), 16, weight="bold")
    _write(figure, 0.05, 0.896, _cut(comment, 120), 8, color=_SOFT_INK)
    for cut, left, heading, note, color, upright in (
        (horizontal, 0.075, "Horizontal", "from above, boresight up", _HORIZONTAL, True),
        (vertical, 0.565, "Vertical", "from the side, boresight to the right", _VERTICAL, False),
    ):
        axes: Any = figure.add_axes((left, 0.225, 0.36, 0.36 * _WIDTH_IN / _HEIGHT_IN), polar=True)
        _plot(axes, cut, maximum, color, upright=upright)
        _write(figure, left - 0.025, 0.845, heading, 11, weight="bold", color=color)
        _write(figure, left - 0.025, 0.818, note, 8, color=_SOFT_INK)
    _table(figure, facts)
    _write(figure, 0.05, 0.022, f"dB below the maximum of {maximum:.1f} dBi", 6.5, color=_FAINT_INK)
    _write(figure, 0.95, 0.022, f"rfplatform {__version__}", 6.5, color=_FAINT_INK, ha="right")
    return figure


def _plot(axes: PolarAxes, cut: PolarCut, maximum: float, color: str, *, upright: bool) -> None:
    """One cut, its half-power sector and its main lobe's direction."""
    axes.set_theta_zero_location("N" if upright else "E")
    axes.set_theta_direction(-1)
    angle = np.radians(cut.angle_deg)
    level = np.maximum(cut.gain_dbi - maximum, -_RANGE_DB)
    axes.set(ylim=(-_RANGE_DB, 2.0), yticks=[-30, -20, -10, -3, 0])
    axes.set_rlabel_position(135.0)
    axes.set_yticklabels(
        ["\N{MINUS SIGN}30", "\N{MINUS SIGN}20", "\N{MINUS SIGN}10", "\N{MINUS SIGN}3", ""],
        fontsize=6.5, color=_FAINT_INK, family=_FONT,
    )  # fmt: skip
    around = np.arange(0, 360, 30)
    signed = [a if a <= 180 else a - 360 for a in around.tolist()]
    labels = [f"{a}°".replace("-", "\N{MINUS SIGN}") for a in signed]
    if not upright:
        labels[3], labels[9] = "90° down", "up \N{MINUS SIGN}90°"
    axes.set_thetagrids(around, labels, fontsize=7.5, color=_SOFT_INK, family=_FONT)
    axes.tick_params(pad=2)
    axes.grid(color=_RULE, linewidth=0.6)
    axes.spines["polar"].set(color=_RULE, linewidth=0.8)
    peak = np.radians(cut.peak_deg)
    if cut.width_deg is not None and cut.width_deg < 350.0:
        half = np.radians(cut.width_deg) / 2
        sector = np.linspace(peak - half, peak + half, 60)
        axes.fill_between(sector, -_RANGE_DB, 0.0, color=color, alpha=0.13, linewidth=0)
        axes.plot([peak, peak], [-_RANGE_DB, 0.0], color=color, linewidth=0.8, dashes=(4, 3))
    axes.fill(angle, level, color=color, alpha=0.10, linewidth=0)
    axes.plot(angle, level, color=color, linewidth=1.6, solid_joinstyle="round")


def _table(figure: Figure, facts: Sequence[tuple[str, str]]) -> None:
    """Facts in a row of four, and those beyond in a second row."""
    for number, (what, value) in enumerate(facts[:8]):
        x, y = 0.05 + 0.235 * (number % 4), 0.142 - 0.062 * (number // 4)
        _write(figure, x, y, what, 7.5, color=_SOFT_INK)
        _write(figure, x, y - 0.026, _cut(value, 30), 9.5, weight="bold")


def _cut(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _write(figure: Figure, x: float, y: float, text: str, size_pt: float, **style: Any) -> None:  # noqa: ANN401
    """One line of text; a name's dollar signs are no formula."""
    line = figure.text(x, y, text, fontsize=size_pt, family=_FONT, parse_math=False)
    line.set(**({"color": _INK} | style))
