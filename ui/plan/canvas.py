"""The map itself, and what a click on it does to the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from pipelines.desk.area import read_area
from pipelines.desk.sectors import moved
from rfplatform.geodata.sites import SiteRow
from ui.components.map import (
    Background,
    Camera,
    Legend,
    MapEvent,
    Mode,
    Overlay,
    SectorMarker,
    SiteMarker,
    camera_of,
    map_view,
)
from ui.context import workspace
from ui.markdown import plain
from ui.plan import state
from ui.plan.point_panel import POINT_TAB, point
from ui.plan.shown import Shown
from ui.plan.sites_panel import place_at
from ui.urls import area_urls, tile_url

KEY = "plan_map"
HEIGHT = "max(430px, calc(100dvh - 12.5rem))"
_OMNIDIRECTIONAL = ("isotropic", "dipole")
_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7b5ea7", "#8c6d31",
)  # fmt: skip


def canvas(
    area: str,
    overlays: list[tuple[Shown, Mapping[str, Any], float | None]],
) -> None:
    """Draw the map, and do what was done on it.

    Parameters
    ----------
    area : str
        The area's key.
    overlays : list of tuple
        A map, its layer and the threshold; two of them stand side by side.
    """
    event = map_view(
        key=KEY,
        background=_background(area),
        overlays=[_overlay(*one) for one in overlays],
        sites=_markers(overlays[0][0] if overlays else None),
        selected=state.get("selected"),
        mode=_mode(),
        pin=point(),
        camera=_camera(),
        height=HEIGHT,
        report_view=True,
        label="Map of the plan",
    )
    _keep_view()
    for warning in _about(area).get("warnings", ()):
        st.caption(f":material/warning: {plain(warning)}")
    if event is not None and _done(event):
        st.rerun()


def _mode() -> Mode:
    if state.get("placing"):
        return "place"
    return "box" if state.get("cropping") else "inspect"


def _about(area: str) -> Mapping[str, Any]:
    return read_area(workspace().areas / area) or {}


def _background(area: str) -> Background:
    about = _about(area)
    urls = area_urls(area)
    return Background(
        urls["background"],
        urls["buildings"],
        tuple(about["bounds"]),
        about.get("attribution", ""),
    )


def _overlay(shown: Shown, layer: Mapping[str, Any], threshold: float | None) -> Overlay:
    return Overlay(
        tile_url(shown.kind, shown.name, layer["name"], threshold),
        tuple(shown.display["bounds"]),
        shown.title,
        legend=Legend(layer["title"], layer["unit"], layer["legend"]),
    )


def _markers(shown: Shown | None) -> list[SiteMarker]:
    """The sites on the table, in the colours of the best-server layer."""
    rows = state.draft().rows
    colors = {s["label"]: s["color"] for s in shown.display["sectors"]} if shown else {}
    sites: dict[str, list[SiteRow]] = {}
    for row in rows:
        sites.setdefault(row.site, []).append(row)
    return [
        SiteMarker(
            name,
            group[0].lon_deg,
            group[0].lat_deg,
            tuple(
                SectorMarker(
                    row.sector,
                    row.azimuth_deg,
                    colors.get(row.label, _COLORS[number % len(_COLORS)]),
                    row.antenna in _OMNIDIRECTIONAL,
                )
                for number, row in enumerate(group)
            ),
            movable=True,
        )
        for name, group in sites.items()
    ]


def _done(event: MapEvent) -> bool:
    """Do what was asked for on the map; whether the page has to be drawn again."""
    draft = state.draft()
    match event.kind:
        case "place":
            assert event.lon is not None
            assert event.lat is not None
            state.put("selected", (place_at(event.lon, event.lat), None))
        case "cancel":
            state.put("end_modes", True)
        case "move":
            assert event.site is not None
            assert event.lon is not None
            assert event.lat is not None
            state.put("selected", (event.site, None))
            state.change(moved(draft, event.site, event.lon, event.lat))
        case "site" | "sector":
            assert event.site is not None
            state.put("selected", (event.site, event.sector))
        case "box":
            assert event.bounds is not None
            state.put("end_modes", True)
            text = ",".join(f"{edge:.6f}" for edge in event.bounds)
            state.change(replace(draft, bbox=text))
        case "click":
            state.put("at", f"{event.lon:.6f},{event.lat:.6f}")
            state.put("tab", POINT_TAB)
        case _:
            return False
    return True


def _camera() -> Camera | None:
    """Where a link wants the map to open."""
    parts = str(state.get("view") or "").split(",")
    try:
        return Camera(*(float(part) for part in parts))
    except (TypeError, ValueError):
        return None


def _keep_view() -> None:
    view = camera_of(KEY)
    if view is not None:
        text = f"{view.lon:.6f},{view.lat:.6f},{view.zoom:.2f},{view.bearing:.0f},{view.pitch:.0f}"
        state.put("view", text)
