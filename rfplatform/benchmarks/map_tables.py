"""All entrants in one table and two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rfplatform.benchmark import Outcome
from rfplatform.benchmarks.map_scores import (
    INTERVAL,
    SAMPLES,
    SCORES,
    THRESHOLDS_DBM,
    Prediction,
    interval_share,
    resampled,
    root_mean_square_db,
)
from rfplatform.metrics import SSIM_RANGE_DB

_COLORS = {"closed form": "#999999", "interpolation": "#0072b2", "learned": "#d55e00"}


def table_of(outcomes: Sequence[Outcome[Prediction]]) -> list[dict[str, Any]]:
    """A row for each entrant and number of samples: every score, and what it stands beside."""
    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        question, made, rival = outcome.case.inputs, outcome.prediction, outcome.baseline
        if not question.whole():
            continue
        low, high = resampled(made, rival)
        rows.append(
            {
                "samples": made.samples,
                "entrant": made.label,
                "RMSE [dB]": root_mean_square_db(made),
                **{
                    f"{name} [{unit}]" if unit else name: score(made)
                    for name, (unit, _, score) in SCORES.items()
                },
                f"share within the {INTERVAL:.0%} interval": interval_share(made),
                "beside": rival.label,
                "RMSE over its": root_mean_square_db(made) / root_mean_square_db(rival),
                "95 % from": low,
                "95 % to": high,
            }
        )
    return rows


_TOLD = {
    "RMSE [dB]": ".2f",
    "MAE [dB]": ".2f",
    "bias [dB]": "+.2f",
    "RMSE in sight [dB]": ".2f",
    "RMSE out of sight [dB]": ".2f",
    "cells without a path [share]": ".1%",
    "RMSE where both have a path [dB]": ".2f",
    "SSIM": ".3f",
    **{f"coverage F1 at {level:g} dBm": ".3f" for level in THRESHOLDS_DBM},
    f"share within the {INTERVAL:.0%} interval": ".1%",
    "CRPS [dB]": ".2f",
}


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table's most telling columns."""

    def told(row: Mapping[str, Any], name: str) -> str:
        value = row[name]
        text = "" if np.isnan(value) else format(value, _TOLD[name])
        if name == "RMSE [dB]":
            return f"{text} ({row['RMSE, 95 % from [dB]']:.1f} to {row['RMSE, 95 % to [dB]']:.1f})"
        return text

    lines = ["| K | entrant | " + " | ".join(_TOLD) + " |", "|---" * (len(_TOLD) + 2) + "|"]
    for row in rows:
        values = " | ".join(told(row, name) for name in _TOLD)
        lines.append(f"| {row['samples']} | {row['entrant']} | {values} |")
    return "\n".join(lines) + "\n"


def draw(outcomes: Sequence[Outcome[Prediction]], out: Path) -> Sequence[Path]:
    """All scores as CSV and Markdown, the error against the samples, and one sector's maps."""
    import csv

    rows = table_of(outcomes)
    if not rows:
        return []
    table, text = out / "unseen-town.csv", out / "unseen-town.md"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    text.write_text(_markdown(rows), encoding="utf-8")
    predictions = [o.prediction for o in outcomes if o.case.inputs.whole()]
    return [table, text, _draw_errors(predictions, out), _draw_maps(predictions, out)]


def _draw_errors(predictions: Sequence[Prediction], out: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    axes = figure.subplots()
    place = {samples: i for i, samples in enumerate(SAMPLES)}
    kinds = {p.entrant: p.kind for p in predictions}
    for number, (name, kind) in enumerate(kinds.items()):
        own = [p for p in predictions if p.entrant == name]
        errors = [root_mean_square_db(p) for p in own]
        if kind == "traced":
            axes.axhline(errors[0], color="black", ls=":", lw=1)
            axes.annotate(name, (len(SAMPLES) - 1, errors[0]), ha="right", va="bottom", fontsize=8)
            continue
        spans = np.array([resampled(p) for p in own]).T
        off = np.abs(spans - errors)
        x = [place[p.samples] + 0.03 * (number - len(kinds) / 2) for p in own]
        mark = "o^svD"[[n for n in kinds if kinds[n] == kind].index(name) % 5]
        color = _COLORS[kind]
        axes.errorbar(x, errors, off, None, f"{mark}-", color=color, label=name, ms=4, capsize=2)
    axes.set_xticks(list(place.values()), [str(samples) for samples in place])
    axes.set(xlabel="Samples of each sector", ylabel="RMSE [dB]")
    axes.set_ylim(bottom=0.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path = out / "unseen-town.png"
    figure.savefig(path, dpi=160)
    return path


def _draw_maps(predictions: Sequence[Prediction], out: Path) -> Path:
    """The first sector of the first window: the truth, and what is told without samples."""
    from matplotlib.figure import Figure

    own = [p for p in predictions if not p.samples]
    window = own[0].windows[0]
    layers = {"truth": window.truth_db(0), **{p.entrant: p.estimates[0][0].mean_db for p in own}}
    columns = 4
    rows = -(-len(layers) // columns)
    figure = Figure(figsize=(3.0 * columns, 3.1 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    low_db, high_db = SSIM_RANGE_DB
    for axes, (name, level_db) in zip(panels, layers.items(), strict=False):
        shown_db = np.full(window.grid.shape, np.nan)
        shown_db[window.outdoor] = np.where(np.isfinite(level_db), level_db, np.nan)
        image = axes.imshow(shown_db, origin="lower", cmap="viridis", vmin=low_db, vmax=high_db)
        axes.set_title(name, fontsize=9)
        axes.set_facecolor("#dddddd")
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    for axes in panels[len(layers) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=panels.tolist(), label="Path gain [dB]", shrink=0.6)
    path = out / "maps.png"
    figure.savefig(path, dpi=130)
    return path
