"""Plan: sites on a map, what they cover, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import streamlit as st

from rfplatform.errors import RfplatformError
from ui.context import previews
from ui.markdown import plain
from ui.plan import state
from ui.plan.area_panel import area_panel
from ui.plan.canvas import canvas, take_event
from ui.plan.downloads import downloads
from ui.plan.layer_panel import coverage, layer_choice, map_choice, threshold_of
from ui.plan.model_panel import model_panel
from ui.plan.point_panel import POINT_TAB, point_panel
from ui.plan.runs_panel import runs_panel
from ui.plan.sectors_table import antennas, sectors_table
from ui.plan.shown import Shown, difference, finished_runs, of_run, quick
from ui.plan.sites_panel import sites_panel
from ui.telling import tell

Overlays = list[tuple[Shown, Mapping[str, Any], float | None]]


def page() -> None:
    """Draw the page."""
    _adopt()
    take_event()
    if finished := state.get("finished"):
        st.toast(f"{plain(finished)}: done. Choose it under Map.", icon=":material/check_circle:")
        state.put("finished", "")
    with st.sidebar:
        area_panel()
        sites_panel()
        with st.expander("Quick map", icon=":material/bolt:"):
            model_panel()
        with st.expander("Run a full map", icon=":material/route:", expanded=True):
            runs_panel()
    quick_map, area = _quick()
    left, right = st.columns([2.75, 1.0], gap="small")
    overlays: Overlays = []
    with right:
        map_choice(finished_runs())
        shown = _chosen(quick_map)
        if shown is not None:
            overlays = _overlays(shown, quick_map)
    # Before the charts: a browser draws in this order, and the map is what is waited for.
    if area:
        with left:
            canvas(area, overlays)
    if overlays:
        with right:
            coverage(*overlays[0])
    _drawer(overlays[0][0] if overlays else None)
    state.publish_link()


def _adopt() -> None:
    try:
        state.adopt_link()
    except RfplatformError as error:
        tell(error, before="The link can't be opened: ")
        state.put("link", {})
        st.query_params.clear()
        state.adopt_link()


def _quick() -> tuple[Shown | None, str]:
    """The quick map, if it can be made, and the key of its area; else of the last that opened."""
    draft, area = state.draft(), str(state.get("last_area") or "")
    shown = None
    try:
        shown, area = quick(draft)
    except RfplatformError as error:
        tell(error)
        with suppress(RfplatformError):
            area = previews().area(draft)
    state.put("last_area", area)
    return shown, area


def _chosen(quick_map: Shown | None) -> Shown | None:
    run = state.get("run")
    if not run:
        if quick_map is None:
            st.info(
                "Place a site: turn on **Place a site** at the left and click on the map, or take "
                "a site list.",
                icon=":material/add_location:",
            )
        return quick_map
    try:
        return of_run(run)
    except RfplatformError as error:
        tell(error)
        return quick_map


def _overlays(shown: Shown, quick_map: Shown | None) -> Overlays:
    other = _versus(quick_map)
    if other is not None and state.get("how") == "difference":
        try:
            shown, other = difference(other, shown), None
        except RfplatformError as error:
            tell(error)
    layer = layer_choice(shown)
    threshold = threshold_of(layer)
    overlays: Overlays = [(shown, layer, threshold)]
    if other is not None and layer["name"] in other.layers:
        # Both in the colours of the first, or they could not be compared.
        overlays.append((other, other.layers[layer["name"]], threshold))
    elif other is not None:
        st.info(f"{plain(other.title)} has no {layer['title']}.", icon=":material/layers_clear:")
    return overlays


def _versus(quick_map: Shown | None) -> Shown | None:
    versus = state.get("versus")
    if not versus:
        return None
    try:
        return quick_map if versus == "quick" else of_run(versus)
    except RfplatformError as error:
        tell(error)
        return None


def _drawer(shown: Shown | None) -> None:
    """What belongs to the map and is looked at less; only the open one is drawn."""
    drawers: dict[str, Callable[[], None]] = {
        ":material/table_rows: Sectors": sectors_table,
        POINT_TAB: lambda: point_panel(shown),
        ":material/settings_input_antenna: Antennas": antennas,
        ":material/download: Download": lambda: downloads(shown),
    }
    tabs = st.tabs(list(drawers), key=state.key("tab"), on_change="rerun")
    for tab, draw in zip(tabs, drawers.values(), strict=True):
        if tab.open:
            with tab:
                draw()
