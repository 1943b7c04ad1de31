"""Sites: placed by a click, taken from a list, undone and written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from pipelines.desk.sectors import placed, without, without_lines
from rfplatform.geodata.sites import SiteRow
from ui.markdown import plain
from ui.plan import state
from ui.uploading import uploaded

_SHAPES: dict[str, tuple[tuple[float, ...], str]] = {
    "3 sectors": ((0.0, 120.0, 240.0), "tr38901"),
    "1 sector": ((0.0,), "tr38901"),
    "Omni": ((0.0,), "dipole"),
}
"""Azimuths and antenna of what a click places."""


def sites_panel() -> None:
    """Place sites, and take or give lists of them."""
    past, future = state.get("past", []), state.get("future", [])
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.toggle(
            "Place a site",
            key=state.key("placing"),
            on_change=lambda: state.put("cropping", False),
            help="Then click on the map. Esc, or this switch, ends it. Drag a site to move it.",
        )
        st.button(
            "", icon=":material/undo:", help="Undo", on_click=state.undo, disabled=not past,
            key="plan.undo", type="tertiary",
        )  # fmt: skip
        st.button(
            "", icon=":material/redo:", help="Redo", on_click=state.redo, disabled=not future,
            key="plan.redo", type="tertiary",
        )  # fmt: skip
    if state.get("placing"):
        _template()
    site, _ = state.get("selected") or ("", None)
    if site in {row.site for row in state.draft().rows}:
        st.button(
            f"Remove {plain(site)}",
            icon=":material/delete:",
            on_click=lambda: state.change(without(state.draft(), site)),
            width="stretch",
        )
    with st.popover("Site list", icon=":material/table_view:", width="stretch"):
        _list()


def _template() -> None:
    """What the next click places; kept for the next time, which a widget's own value is not."""
    shape, height_m, downtilt_deg = _kept_template()
    shape = st.segmented_control(
        "New site", list(_SHAPES), default=shape, key="plan.new.shape", width="stretch",
        required=True,
    )  # fmt: skip
    height, tilt = st.columns(2)
    height_m = height.number_input(
        "Height, m", 0.5, 300.0, height_m, 1.0, key="plan.new.height",
        help="Of the antenna above the ground, or above the roof where the click meets one.",
    )  # fmt: skip
    downtilt_deg = tilt.number_input(
        "Downtilt, °", -30.0, 60.0, downtilt_deg, 1.0, key="plan.new.downtilt",
        help="Below the horizon.",
    )  # fmt: skip
    state.put("template", (shape, height_m, downtilt_deg))


def _kept_template() -> tuple[str, float, float]:
    """Shape, height in m and downtilt in degrees of what a click places."""
    kept: tuple[str, float, float] = state.get("template", ("3 sectors", 5.0, 6.0))
    return kept


def place_at(lon_deg: float, lat_deg: float) -> str:
    """Put a site of the chosen kind on the table; its name."""
    shape, height_m, downtilt_deg = _kept_template()
    azimuths_deg, antenna = _SHAPES[shape]
    like = _radio_of(state.draft().rows)
    changed, name = placed(
        state.draft(),
        lon_deg,
        lat_deg,
        azimuths_deg=azimuths_deg,
        height_m=height_m,
        downtilt_deg=downtilt_deg if antenna != "dipole" else 0.0,
        antenna=antenna,
        **like,
    )
    state.change(changed)
    return name


def _radio_of(rows: tuple[SiteRow, ...]) -> dict[str, Any]:
    """Power and carrier of the last sector: a network's sites are alike."""
    if not rows:
        return {}
    names = ("power_dbm", "frequency_hz", "bandwidth_hz")
    return {name: getattr(rows[-1], name) for name in names}


def _list() -> None:
    upload = uploaded(
        "sites",
        "Site list (CSV)",
        help="One row a sector, with the columns site, sector, lon, lat, height_m, azimuth_deg, "
        "downtilt_deg, power_dbm, frequency_hz, bandwidth_hz, antenna.",
    )
    if upload is not None:
        rows = tuple(SiteRow(**row) for row in upload.summary["rows"])
        state.change(replace(state.draft(), rows=without_lines(rows)))
        st.rerun()
    st.button(
        "Remove all sites",
        icon=":material/delete_sweep:",
        disabled=not state.draft().rows,
        on_click=lambda: state.change(replace(state.draft(), rows=())),
        width="stretch",
    )
