"""Which place on Earth: the built-in one, an upload, or a box."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from rfplatform.errors import InputError
from rfplatform.geodata.place import parse_bbox
from ui.plan import state
from ui.telling import tell
from ui.uploading import names_of_uploads, uploaded

_BUILT_IN = {"helsinki": "Central Helsinki"}


def area_panel() -> None:
    """Choose the area; another area begins a plan without sites."""
    areas = _BUILT_IN | names_of_uploads("area")
    current = state.draft().area
    areas.setdefault(current, current)
    st.selectbox(
        "Area",
        list(areas),
        index=list(areas).index(current),
        format_func=areas.__getitem__,
        key=f"plan.area_choice.{current}",
        on_change=lambda: _choose(st.session_state[f"plan.area_choice.{current}"]),
        help="Where to plan. Buildings, streets and water come from OpenStreetMap.",
    )
    with st.popover("Add an area", icon=":material/add_location_alt:", width="stretch"):
        _upload()
        st.divider()
        _box()
        st.divider()
        _terrain()
    if state.draft().bbox is None:
        st.toggle(
            "Plan a part of it",
            key=state.key("cropping"),
            on_change=lambda: state.put("placing", False),
            help="Then drag a rectangle on the map: runs of a part are quicker.",
        )
    else:
        st.button(
            "Show the whole area again",
            icon=":material/zoom_out_map:",
            on_click=lambda: state.change(replace(state.draft(), bbox=None)),
            width="stretch",
        )


def _terrain() -> None:
    """Give the area ground, or take it away."""
    draft = state.draft()
    upload = uploaded(
        "terrain",
        "Elevation model",
        help="GeoTIFF (.tif) or SRTM (.hgt, .hgt.zip) over the area; without one the ground is "
        "flat.",
    )
    if upload is not None:
        state.change(replace(draft, terrain=upload.text))
        st.rerun()
    if draft.terrain is not None:
        st.button(
            "Flat ground again",
            icon=":material/horizontal_rule:",
            on_click=lambda: state.change(replace(state.draft(), terrain=None)),
        )


def _choose(area: str) -> None:
    if area == state.draft().area:
        return
    state.put("view", "")
    state.put("at", "")
    state.change(
        state.default_draft()
        if area in _BUILT_IN
        else replace(state.draft(), area=area, bbox=None, terrain=None, rows=())
    )


def _upload() -> None:
    upload = uploaded(
        "area",
        "Map data",
        help="An OpenStreetMap extract (.osm.pbf, .osm) or building footprints (.geojson, .gpkg, "
        ".parquet). Extracts of any town are at download.geofabrik.de and BBBike.",
    )
    if upload is not None:
        _choose(upload.text)
        st.rerun()


def _box() -> None:
    with st.form("plan.box", border=False):
        text = st.text_input(
            "Or a box",
            placeholder="24.93,60.16,24.95,60.18",
            help="West, south, east and north in degrees. The buildings are fetched from "
            "OpenStreetMap, so the server needs the internet.",
        )
        if st.form_submit_button("Fetch", icon=":material/download:") and text.strip():
            try:
                box = parse_bbox(text)
            except InputError as error:
                tell(error)
                return
            _choose(",".join(f"{edge:.9g}" for edge in box.bounds_deg))
            st.rerun()
