"""How a training went, as one picture: the loss, and scores in dB beside their baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rfplatform import __version__
from rfplatform.staging import staged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _SOFT_INK, _FAINT_INK, _RULE = "#1b1f24", "#4b535c", "#7d858e", "#d3d7db"
_LOSS, _VALIDATION = "#31688e", "#b5563a"
_LINES = ("#31688e", "#b5563a", "#35a06b", "#8a6bb0", "#c99a2e", "#5f6b76", "#c2527f", "#2f9ba8")
_FONT = "DejaVu Sans"
_WIDTH_IN, _HEIGHT_IN = 11.0, 4.6


def write_learning_curves(
    history: Sequence[Mapping[str, float]],
    path: str | os.PathLike[str],
    *,
    title: str,
    baselines: Mapping[str, tuple[str, float]] | None = None,
    best_epoch: int = -1,
    dpi: float = 140.0,
    overwrite: bool = False,
) -> None:
    """Draw the losses on the left, the scores in dB with their baselines on the right.

    Parameters
    ----------
    history : sequence of mapping
        Of each epoch: "epoch" (from 0), "loss", "val_loss" where it is known, and scores, of which
        those with names that end in "_db" are drawn.
    path : path-like
        PNG.
    title : str
    baselines : mapping of str to (str, float), optional
        By a score's name, what it is compared with: dashed, in the score's colour.
    best_epoch : int
        Of the weights that were kept; -1: none.
    dpi : float
    overwrite : bool
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.06, 0.93, title, fontsize=13, color=_INK, family=_FONT, weight="bold")
    if 0 <= best_epoch < len(history):
        kept = f"{len(history)} epochs; the weights of epoch {best_epoch + 1} are kept"
        figure.text(0.94, 0.93, kept, fontsize=9, color=_SOFT_INK, family=_FONT, ha="right")
    loss, scores = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.94, top=0.83, bottom=0.13, wspace=0.2)
    epochs = [int(row["epoch"]) + 1 for row in history]
    _losses(loss, epochs, history)
    _scores(scores, epochs, history, baselines or {})
    for axes, name in ((loss, "Loss"), (scores, "Scores over validation towns [dB]")):
        _dress(axes, name)
        if 0 <= best_epoch < len(epochs):
            axes.axvline(epochs[best_epoch], color=_FAINT_INK, linewidth=0.8, linestyle=":")
    with staged(path, overwrite) as partial:
        figure.savefig(
            partial, dpi=dpi, format="png", metadata={"Software": f"rfplatform {__version__}"}
        )


def _losses(axes: Axes, epochs: Sequence[int], history: Sequence[Mapping[str, float]]) -> None:
    for name, label, colour in (
        ("loss", "training", _LOSS),
        ("val_loss", "validation", _VALIDATION),
    ):
        if history and all(name in row for row in history):
            _line(axes, epochs, [row[name] for row in history], label, colour)


def _scores(
    axes: Axes,
    epochs: Sequence[int],
    history: Sequence[Mapping[str, float]],
    baselines: Mapping[str, tuple[str, float]],
) -> None:
    levels = {value for _, value in baselines.values()}
    names = [name for name in (history[0] if history else {}) if name.endswith("_db")]
    # A score that is a baseline all along is drawn as one.
    names = [n for n in names if n in baselines or {row[n] for row in history} - levels]
    for i, name in enumerate(names):
        colour = _LINES[i % len(_LINES)]
        _line(axes, epochs, [row[name] for row in history], score_label(name), colour)
        if name in baselines:
            label, level = baselines[name]
            axes.axhline(
                level, color=colour, linewidth=1.1, linestyle="--", label=f"{label} {level:.2f}"
            )


def score_label(name: str) -> str:
    """A score's name for people: "val_rmse_with_coarse_db" is "RMSE with coarse"."""
    words = name.removeprefix("val_").removesuffix("_db").split("_")
    return " ".join(word.upper() if word in ("rmse", "mae") else word for word in words)


def _line(
    axes: Axes, epochs: Sequence[int], values: Sequence[float], label: str, colour: str
) -> None:
    mark = "o" if len(epochs) == 1 else None
    axes.plot(epochs, values, color=colour, linewidth=1.5, marker=mark, markersize=4, label=label)


def _dress(axes: Axes, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(name, fontsize=10, color=_SOFT_INK, family=_FONT, loc="left")
    axes.set_xlabel("epoch", fontsize=9, color=_SOFT_INK, family=_FONT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=_SOFT_INK, labelsize=8, length=0)
    axes.grid(color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=_SOFT_INK)
