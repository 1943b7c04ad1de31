"""The map of the Measurements page, whatever it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.desk.measured import Measured
from ui.background import background_over
from ui.components.map import (
    Bounds,
    Legend,
    MapEvent,
    Overlay,
    PointLayer,
    SectorMarker,
    SiteMarker,
    map_view,
)
from ui.plan.shown import Shown
from ui.urls import points_url, tile_url

KEY = "measurements_map"
HEIGHT = "clamp(400px, calc(100dvh - 24rem), 640px)"

RSRP, SPREAD, CHANGE = "ss_rsrp_dbm", "standard_error_db", "ss_rsrp_difference_db"
"""Layers of a map that are shown here."""

LEVEL_COLORS = (
    "#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58",
    "#b5de2b", "#fde725",
)  # fmt: skip
ERROR_COLORS = (
    "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d",
    "#b2182b",
)  # fmt: skip

_LEVEL_TIPS = {"level_dbm": "Measured, dBm", "cell": "Cell", "device": "Device"}
_ERROR_TIPS = {"error_db": "Map less measured, dB", **_LEVEL_TIPS, "readings": "Readings"}


def level_points(found: Measured, layer: Mapping[str, Any] | None) -> PointLayer:
    """Points by what was measured, in the colours of the map under them if there is one."""
    scale: Mapping[str, Any]
    if layer is None:
        low, high = (float(v) for v in found.stats["levels_dbm"])
        # A span of tens, and never one of a few decibels, which would show noise as structure.
        low = 10.0 * math.floor(low / 10.0)
        high = max(10.0 * math.ceil(high / 10.0), low + 20.0)
        scale = {
            "kind": "scale", "range": [low, high], "colors": list(LEVEL_COLORS),
            "ticks": [low, (low + high) / 2, high],
        }  # fmt: skip
    else:
        scale = layer["legend"]
    low, high = scale["range"]
    legend = Legend("Measured RSRP", "dBm", scale)
    return PointLayer(
        points_url(found.key), "level_dbm", (low, high), scale["colors"], _LEVEL_TIPS, legend
    )


def error_points(found: Measured, title: str) -> PointLayer:
    """Points by what the map says less what was measured."""
    quantiles = (found.stats["all"] or {}).get("quantiles_db") or [-5.0, 5.0]
    reach = max(5.0, 5.0 * math.ceil(max(abs(quantiles[0]), abs(quantiles[-1])) / 5.0))
    scale = {
        "kind": "scale", "range": [-reach, reach], "colors": list(ERROR_COLORS),
        "ticks": [-reach, 0.0, reach],
    }  # fmt: skip
    legend = Legend(title, "dB", scale, "Red: the map is too strong. Grey: nothing to compare.")
    return PointLayer(
        points_url(found.key), "error_db", (-reach, reach), ERROR_COLORS, _ERROR_TIPS, legend
    )


def overlay_of(
    shown: Shown,
    layer: Mapping[str, Any],
    *,
    title: str = "",
    opacity: float = 0.8,
    with_legend: bool = True,
) -> Overlay:
    """A layer of a map."""
    return Overlay(
        tile_url(shown.kind, shown.name, layer["name"]),
        tuple(shown.display["bounds"]),
        title,
        opacity,
        Legend(layer["title"], layer["unit"], layer["legend"]) if with_legend else None,
    )


def draw(
    bounds: Bounds,
    *,
    overlays: Sequence[Overlay] = (),
    points: PointLayer | None = None,
    shown: Shown | None = None,
) -> MapEvent | None:
    """Draw the map; it is the same for all that the page shows, so that it stays where it is.

    Parameters
    ----------
    bounds : tuple of float
        Where it opens.
    overlays : sequence of Overlay
    points : PointLayer, optional
    shown : Shown, optional
        Whose sites are marked.
    """
    return map_view(
        key=KEY,
        background=background_over(bounds),
        overlays=overlays,
        sites=() if shown is None else sites_of(shown.display),
        points=points,
        mode="none",
        height=HEIGHT,
        label="Map of the measurements",
    )


def sites_of(display: Mapping[str, Any]) -> list[SiteMarker]:
    """The sites of a map, as it was made."""
    sectors: dict[str, list[Mapping[str, Any]]] = {}
    for sector in display["sectors"]:
        sectors.setdefault(sector["site"], []).append(sector)
    return [
        SiteMarker(
            name,
            group[0]["lon"],
            group[0]["lat"],
            tuple(
                SectorMarker(
                    str(one["sector"]), one["azimuth_deg"], one["color"], one["omnidirectional"]
                )
                for one in group
            ),
        )
        for name, group in sectors.items()
    ]
