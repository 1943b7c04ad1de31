"""The map itself, and what a click on it does to the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from pipelines.desk.area import read_area
from pipelines.desk.sectors import moved
from rfplatform.formats.classes import SERVER_COLORS
from rfplatform.formats.picture import OMNIDIRECTIONAL
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
    map_event,
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


def canvas(
    area: str,
    overlays: list[tuple[Shown, Mapping[str, Any], float | None]],
) -> None:
    """Draw the map.

    Parameters
    ----------
    area : str
        The area's key.
    overlays : list of tuple
        A map, its layer and the threshold; two of them stand side by side.
    """
    about = read_area(workspace().areas / area)
    if about is None:  # it was opened once, and is gone
        return
    map_view(
        key=KEY,
        background=_background(area, about),
        overlays=[_overlay(*one, overlays[0][1]) for one in overlays],
        sites=_markers(overlays[0][0] if overlays else None),
        selected=state.get("selected"),
        mode=_mode(),
        pin=point(),
        camera=_camera(),
        height=HEIGHT,
        report_view=True,
        label="Map of the plan",
    )
    for warning in about.get("warnings", ()):
        st.caption(f":material/warning: {plain(warning)}")


def take_event() -> None:
    """Do what was done on the map since the last run, before anything is drawn."""
    _keep_view()
    event = map_event(KEY)
    if event is not None:
        _do(event)


def _mode() -> Mode:
    if state.get("placing"):
        return "place"
    return "box" if state.get("cropping") else "inspect"


def _background(area: str, about: Mapping[str, Any]) -> Background:
    urls = area_urls(area)
    return Background(
        urls["background"],
        urls["buildings"],
        tuple(about["bounds"]),
        about.get("attribution", ""),
    )


def _overlay(
    shown: Shown, layer: Mapping[str, Any], threshold: float | None, first: Mapping[str, Any]
) -> Overlay:
    """A map's layer, in the colours of the first one's, or they could not be compared."""
    ends = None if layer is first else first["legend"].get("range")
    return Overlay(
        tile_url(shown.kind, shown.name, layer["name"], threshold, ends),
        tuple(shown.display["bounds"]),
        shown.title,
        legend=Legend(
            layer["title"], layer["unit"], layer["legend"] if ends is None else first["legend"]
        ),
    )


def _markers(shown: Shown | None) -> list[SiteMarker]:
    """The sites on the table, in the colours of the best-server layer."""
    colors = {s["label"]: s["color"] for s in shown.display["sectors"]} if shown else {}
    places: dict[str, tuple[float, float]] = {}
    sectors: dict[str, list[SectorMarker]] = {}
    for number, row in enumerate(state.draft().rows):
        places.setdefault(row.site, (row.lon_deg, row.lat_deg))
        color = colors.get(row.label, SERVER_COLORS[number % len(SERVER_COLORS)])
        sectors.setdefault(row.site, []).append(
            SectorMarker(row.sector, row.azimuth_deg, color, row.antenna in OMNIDIRECTIONAL)
        )
    return [
        SiteMarker(name, lon, lat, tuple(sectors[name]), movable=True)
        for name, (lon, lat) in places.items()
    ]


def _do(event: MapEvent) -> None:
    draft = state.draft()
    match event.kind:
        case "place":
            assert event.lon is not None
            assert event.lat is not None
            state.put("selected", (place_at(event.lon, event.lat), None))
        case "cancel":
            _end_modes()
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
            _end_modes()
            text = ",".join(f"{edge:.6f}" for edge in event.bounds)
            state.change(replace(draft, bbox=text))
        case "click":
            state.put("at", f"{event.lon:.6f},{event.lat:.6f}")
            state.put("tab", POINT_TAB)


def _end_modes() -> None:
    for name in ("placing", "cropping"):
        state.put(name, False)


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
