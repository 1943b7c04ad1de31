"""How far maps are off from what was measured: by cell, by device, by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from ui.words import number

ROW_PX = 44
_BAR, _RULE, _QUIET, _CHOSEN = "#3a9cba", "#d1495b", "#8fa3b0", "#2f8fac"


def residual_boxes(groups: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Map less measured, a row for each group: 5 to 95 % as a line, 25 to 75 % as a box.

    Parameters
    ----------
    groups : sequence of mapping
        "name", "pixels", "bias_db", "rmse_db", "quantiles_db" (5, 25, 50, 75, 95 %) each.
    """
    names = ("p5", "p25", "p50", "p75", "p95")
    table = pd.DataFrame(
        [
            {
                "label": f"{one['name']}|bias {number(one['bias_db'], 1)}, "
                f"RMSE {number(one['rmse_db'], 1)} dB",
                "pixels": one["pixels"],
                "bias": one["bias_db"],
                "rmse": one["rmse_db"],
                **dict(zip(names, one["quantiles_db"], strict=True)),
            }
            for one in groups
        ]
    )
    axis = alt.Axis(
        labelExpr="split(datum.value, '|')", labelLimit=220, labelLineHeight=15, title=None,
        ticks=False, domain=False, labelPadding=10, labelOverlap=False, labelOffset=-7,
    )  # fmt: skip
    row = alt.Y("label:N", sort=None, axis=axis)
    title = "Map less measured, dB"
    tooltip = [
        alt.Tooltip("pixels:Q", title="points", format=","),
        *(
            alt.Tooltip(f"{name}:Q", title=said, format=".1f")
            for name, said in (
                ("bias", "bias, dB"), ("rmse", "RMSE, dB"), ("p5", "5 % below, dB"),
                ("p50", "median, dB"), ("p95", "95 % below, dB"),
            )
        ),
    ]  # fmt: skip
    base = alt.Chart(table).encode(y=row, tooltip=tooltip)
    line = base.mark_rule(strokeWidth=2, color=_BAR).encode(
        x=alt.X("p5:Q", title=title, axis=alt.Axis(grid=True, tickCount=7)), x2="p95:Q"
    )
    box = base.mark_bar(size=15, color=_BAR, opacity=0.55, cornerRadius=2).encode(
        x="p25:Q", x2="p75:Q"
    )
    middle = base.mark_tick(size=15, thickness=2.5, color=_BAR).encode(x="p50:Q")
    zero = alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(
        strokeDash=[4, 3], strokeWidth=1.5, color=_RULE
    )
    layers: Any = alt.layer(zero.encode(x="at:Q"), line, box, middle)
    chart: alt.LayerChart = layers.properties(height=alt.Step(ROW_PX))
    return chart


def method_scores(scores: Sequence[Mapping[str, Any]], taken: str) -> alt.LayerChart:
    """RMSE on blocks left out, a row for each method, with its interval of 95 %.

    Parameters
    ----------
    scores : sequence of mapping
        "method", "rmse_db", "low_db", "high_db", "bias_db", "picp80" each.
    taken : str
        The method that made the map.
    """
    table = pd.DataFrame(
        [
            {
                **{name: score[name] for name in ("rmse_db", "low_db", "high_db", "bias_db")},
                "label": _called(score["method"], taken),
                "inside": 100.0 * score["picp80"],
                "text": f"{number(score['rmse_db'], 1)} dB",
                "color": _CHOSEN if score["method"] == taken else _QUIET,
            }
            for score in sorted(scores, key=lambda score: -float(score["rmse_db"]))
        ]
    )
    axis = alt.Axis(title=None, ticks=False, domain=False, labelLimit=220, labelPadding=8)
    base = alt.Chart(table).encode(
        y=alt.Y("label:N", sort=None, axis=axis),
        tooltip=[
            alt.Tooltip("rmse_db:Q", title="RMSE, dB", format=".2f"),
            alt.Tooltip("low_db:Q", title="95 % interval from, dB", format=".1f"),
            alt.Tooltip("high_db:Q", title="to, dB", format=".1f"),
            alt.Tooltip("bias_db:Q", title="bias, dB", format="+.1f"),
            alt.Tooltip("inside:Q", title="within P10 to P90, %", format=".0f"),
        ],
    )
    bars = base.mark_bar(size=16, cornerRadiusEnd=2).encode(
        x=alt.X(
            "rmse_db:Q",
            title="RMSE in blocks left out, dB",
            axis=alt.Axis(tickCount=6),
            # Room for the number at the end of the longest.
            scale=alt.Scale(domain=[0.0, 1.12 * float(table["high_db"].max())]),
        ),
        color=alt.Color("color:N", scale=None),
    )
    whiskers = base.mark_rule(strokeWidth=1.5, color="#5b6b77").encode(x="low_db:Q", x2="high_db:Q")
    said = base.mark_text(align="left", dx=6, fontSize=12, color=_QUIET).encode(
        x="high_db:Q", text="text:N"
    )
    layers: Any = alt.layer(bars, whiskers, said)
    chart: alt.LayerChart = layers.properties(height=alt.Step(26))
    return chart


_NAMES = {
    "uncalibrated": "the map as it was",
    "constant": "a cell's mean level",
}


def _called(method: str, taken: str) -> str:
    name = _NAMES.get(method, method)
    return f"{name} (taken)" if method == taken else name
