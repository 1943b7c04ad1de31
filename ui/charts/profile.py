"""What lies between an antenna and a point, cut along the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

HEIGHT = 230


def way(profile: Mapping[str, Any]) -> alt.LayerChart | alt.FacetChart:
    """Ground, buildings, the straight line, and 60 % of the first Fresnel zone around it.

    Parameters
    ----------
    profile : mapping
        What `rfplatform.propagation.path_profile` told.
    """
    table = pd.DataFrame(
        {
            "distance": profile["distance_m"],
            "ground": profile["ground_m"],
            "top": profile["top_m"],
            "line": profile["line_m"],
        }
    )
    radius = 0.6 * np.asarray(profile["fresnel_m"], float)
    table["low"], table["high"] = table["line"] - radius, table["line"] + radius
    bottom = float(table["ground"].min())
    table["bottom"] = bottom - 0.05 * (float(table[["top", "high"]].max().max()) - bottom)
    x = alt.X("distance:Q", title="distance from the antenna, m", axis=alt.Axis(grid=False))
    base = alt.Chart(table)
    y = alt.Scale(zero=False, nice=False)
    buildings = base.mark_area(color="#8d99a6", opacity=0.75, interpolate="step-after").encode(
        x=x, y=alt.Y("top:Q", title="height, m", scale=y), y2="ground:Q"
    )
    ground = base.mark_area(color="#a58e6f", opacity=0.9).encode(x=x, y="ground:Q", y2="bottom:Q")
    zone = base.mark_area(color="#3a86c8", opacity=0.16).encode(x=x, y="low:Q", y2="high:Q")
    line = base.mark_line(color="#3a86c8", strokeWidth=1.8).encode(
        x=x,
        y="line:Q",
        tooltip=[
            alt.Tooltip("distance:Q", title="distance, m", format=".0f"),
            alt.Tooltip("line:Q", title="line, m", format=".1f"),
            alt.Tooltip("top:Q", title="building top, m", format=".1f"),
            alt.Tooltip("ground:Q", title="ground, m", format=".1f"),
        ],
    )
    return alt.layer(ground, buildings, zone, line).properties(height=HEIGHT)
