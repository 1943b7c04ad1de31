"""How often each level occurs, in the colours of the map, with the threshold across."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

HEIGHT = 150


def histogram(layer: Mapping[str, Any], threshold: float | None) -> alt.LayerChart | alt.FacetChart:
    """A histogram of a layer's outdoor cells.

    Parameters
    ----------
    layer : mapping
        Of ``display.json``, with a distribution and a legend that is a scale.
    threshold : float, optional
        Bars below it are faint.
    """
    found, legend = layer["distribution"], layer["legend"]
    edges = np.asarray(found["edges"], float)
    share = 100.0 * np.asarray(found["counts"], float) / max(found["outdoor_cells"], 1)
    low, high = legend["range"]
    shown = (edges[1:] > low - 0.15 * (high - low)) & (edges[:-1] < high + 0.15 * (high - low))
    table = pd.DataFrame(
        {
            "from": edges[:-1],
            "to": edges[1:],
            "share": share,
            "color": _colors(legend, (edges[:-1] + edges[1:]) / 2),
            "faint": False if threshold is None else edges[:-1] < threshold,
        }
    )[shown]
    unit = layer["unit"]
    bars = (
        alt.Chart(table)
        .mark_bar(binSpacing=0.5)
        .encode(
            x=alt.X("from:Q", bin="binned", title=unit, axis=alt.Axis(tickCount=6, grid=False)),
            x2="to:Q",
            y=alt.Y("share:Q", title="%", axis=alt.Axis(tickCount=3, titleAngle=0)),
            color=alt.Color("color:N", scale=None),
            opacity=alt.condition("datum.faint", alt.value(0.3), alt.value(1.0)),
            tooltip=[
                alt.Tooltip("from:Q", title=f"from {unit}"),
                alt.Tooltip("to:Q", title=f"to {unit}"),
                alt.Tooltip("share:Q", title="% of outdoor area", format=".1f"),
            ],
        )
    )
    rule = (
        alt.Chart(pd.DataFrame({"at": [] if threshold is None else [threshold]}))
        .mark_rule(strokeWidth=1.5, strokeDash=[4, 3], color="#d1495b")
        .encode(x="at:Q")
    )
    return alt.layer(bars, rule).properties(height=HEIGHT)


def _colors(legend: Mapping[str, Any], values: np.ndarray) -> list[str]:
    low, high = legend["range"]
    colors = legend["colors"]
    at = np.clip((values - low) / (high - low), 0.0, 1.0) * (len(colors) - 1)
    return [colors[round(float(i))] for i in at]


def server_shares(layer: Mapping[str, Any]) -> alt.Chart | None:
    """How much each class of a layer covers; None where that is not told."""
    found, items = layer.get("distribution"), layer["legend"].get("items")
    if not found or not items:
        return None
    counts = dict(zip(found["edges"], found["counts"], strict=False))
    total = max(found["outdoor_cells"], 1)
    table = pd.DataFrame(
        [
            {"label": item["label"], "share": 100.0 * counts.get(item["value"], 0) / total,
             "color": item["color"]}
            for item in items
        ]
    )  # fmt: skip
    bars: alt.Chart = (
        alt.Chart(table)
        .mark_bar(cornerRadius=2)
        .encode(
            y=alt.Y(
                "label:N", sort=None, title=None, axis=alt.Axis(labelLimit=140, labelOverlap=False)
            ),
            x=alt.X("share:Q", title="% of outdoor area", axis=alt.Axis(tickCount=4)),
            color=alt.Color("color:N", scale=None),
            tooltip=["label:N", alt.Tooltip("share:Q", format=".1f", title="% of outdoor area")],
        )
        .properties(height=alt.Step(18))
    )
    return bars
