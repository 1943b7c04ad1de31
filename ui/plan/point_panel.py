"""What is received at a point, and what lies between it and an antenna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pipelines.desk.display import levels_at
from rfplatform.errors import RfplatformError
from ui.charts.profile import way
from ui.context import previews
from ui.markdown import plain
from ui.plan import state
from ui.plan.shown import Shown
from ui.telling import tell
from ui.words import number

POINT_TAB = ":material/my_location: Point"


def point_panel(shown: Shown | None) -> None:
    """Levels of every sector at the chosen point, and the profile to one of them."""
    at = point()
    if at is None or shown is None:
        st.info(
            "Click anywhere on the map: every sector's level there, and the ground and the "
            "buildings on the way to it.",
            icon=":material/ads_click:",
        )
        return
    lon_deg, lat_deg = at
    found = levels_at(shown.folder, lon_deg, lat_deg)
    if not found["inside"]:
        st.info("This point lies outside the map.", icon=":material/wrong_location:")
        return
    left, right = st.columns([1.0, 1.8], gap="medium")
    with left:
        st.markdown(f"**{number(lat_deg, 6)}° N, {number(lon_deg, 6)}° E**")
        if not found["outdoor"]:
            st.caption("Indoors, for which the map says nothing.")
        if found["sectors"]:
            _levels(found)
        else:
            _values(shown, found["values"])
    with right:
        if found["sectors"]:
            _profile(found, lon_deg, lat_deg)


def point() -> tuple[float, float] | None:
    """The chosen point."""
    text = str(state.get("at") or "")
    try:
        lon_deg, lat_deg = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return lon_deg, lat_deg


def _values(shown: Shown, values: Mapping[str, float | None]) -> None:
    """What a map says that has no levels of sectors, as a difference of two."""
    for name, layer in shown.layers.items():
        value, items = values[name], layer["legend"].get("items")
        if items is None:
            said = f"{number(value, 1)} {layer['unit']}"
        else:
            said = next((item["label"] for item in items if item["value"] == value), "–")
        st.markdown(f"{plain(layer['title'])}: **{plain(said)}**")


def _levels(found: Mapping[str, Any]) -> None:
    sectors = found["sectors"]
    table = pd.DataFrame(
        [
            {
                "Sector": s["label"],
                "SS-RSRP": s["rsrp_dbm"],
                "serves": s["label"] == found["server"],
            }
            for s in sectors
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        alt="Levels of all sectors at the point",
        width="stretch",
        height=min(300, 38 + 35 * max(1, len(table))),
        column_config={
            "SS-RSRP": st.column_config.ProgressColumn(
                "SS-RSRP, dBm", format="%.1f", min_value=-140.0, max_value=-40.0
            ),
            "serves": st.column_config.CheckboxColumn("Serves", width="small"),
        },
    )


def _profile(found: Mapping[str, Any], lon_deg: float, lat_deg: float) -> None:
    known = {row.label for row in state.draft().rows}
    labels = [s["label"] for s in found["sectors"] if s["label"] in known]
    if not labels:
        st.caption("The sectors of this map are no longer on the table.")
        return
    label = st.selectbox("Profile from", labels, key=state.key("profile_of"))
    try:
        profile = previews().profile(state.draft(), label, lon_deg, lat_deg)
    except RfplatformError as error:
        tell(error)
        return
    st.altair_chart(way(profile), width="stretch", alt=f"Profile from {label} to the point")
    sight = "in sight" if profile["is_los"] else "not in sight"
    distance_m = profile["distance_m"][-1]
    st.caption(
        f"{number(distance_m)} m along the ground, {sight}; "
        f"{profile['num_buildings']} buildings on the way. "
        "Blue: the straight line and 60 % of the first Fresnel zone."
    )
