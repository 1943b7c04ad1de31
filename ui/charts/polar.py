"""An antenna's two cuts as polar plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

RANGE_DB = 40.0
_CUTS = (
    ("horizontal_dbi", "from above", 90.0, "#1f8a70"),
    ("vertical_dbi", "from the side", 0.0, "#c8553d"),
)


def polar(antenna: Mapping[str, Any]) -> alt.HConcatChart:
    """Both cuts in dB below the maximum: boresight is up from above, to the right from the side.

    Parameters
    ----------
    antenna : mapping
        What `pipelines.antenna.described` told.
    """
    angle_deg = np.asarray(antenna["angle_deg"], float)
    keep = slice(None, None, max(1, len(angle_deg) // 360))
    maximum = max(max(antenna[name]) for name, *_ in _CUTS)
    both: alt.HConcatChart = alt.hconcat(
        *(
            _cut(angle_deg[keep], np.asarray(antenna[name])[keep] - maximum, title, up, color)
            for name, title, up, color in _CUTS
        )
    ).configure_view(strokeWidth=0)
    return both


def _cut(
    angle_deg: np.ndarray, level_db: np.ndarray, title: str, boresight_deg: float, color: str
) -> alt.LayerChart | alt.FacetChart:
    radius = np.clip(level_db + RANGE_DB, 0.0, None)
    around = np.radians(boresight_deg - angle_deg)
    curve = pd.DataFrame(
        {
            "x": radius * np.cos(around),
            "y": radius * np.sin(around),
            "order": np.arange(len(radius)),
            "angle": angle_deg,
            "level": level_db,
        }
    )
    circle = np.radians(np.arange(0, 361, 5))
    rings = pd.concat(
        pd.DataFrame({"x": r * np.cos(circle), "y": r * np.sin(circle), "ring": r,
                      "order": np.arange(len(circle))})
        for r in (10.0, 20.0, 30.0, 37.0, 40.0)
    )  # fmt: skip
    marks = pd.DataFrame(
        {"x": [1.0] * 4, "y": [10.0, 20.0, 30.0, 40.0], "text": ["−30", "−20", "−10", "0 dB"]}
    )
    plain: dict[str, Any] = {"axis": None, "scale": alt.Scale(domain=[-42.0, 42.0])}
    x, y = alt.X("x:Q", **plain), alt.Y("y:Q", **plain)
    grid = (
        alt.Chart(rings)
        .mark_line(strokeWidth=0.7, opacity=0.35, color="gray")
        .encode(x=x, y=y, detail="ring:N", order="order:Q")
    )
    text = (
        alt.Chart(marks)
        .mark_text(align="left", baseline="bottom", fontSize=9, opacity=0.6, color="gray")
        .encode(x=x, y=y, text="text:N")
    )
    line = (
        alt.Chart(curve)
        .mark_line(strokeWidth=2, color=color, fill=color, fillOpacity=0.15)
        .encode(
            x=x,
            y=y,
            order="order:Q",
            tooltip=[
                alt.Tooltip("angle:Q", title="angle, °", format=".0f"),
                alt.Tooltip("level:Q", title="dB", format=".1f"),
            ],
        )
    )
    return alt.layer(grid, line, text).properties(width=200, height=200, title=title)
