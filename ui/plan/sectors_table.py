"""The sectors as a table that can be edited, with the antenna of the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from pipelines.antenna import described
from pipelines.desk.sectors import TABLE, as_table, from_table
from pipelines.desk.uploads import list_uploads
from rfplatform.errors import InputError
from rfplatform.geodata.sites import SiteRow, sites_csv
from ui.charts.polar import polar
from ui.context import workspace
from ui.plan import state
from ui.telling import tell
from ui.uploading import names_of_uploads, uploaded
from ui.words import number

_NAMED = ("tr38901", "isotropic", "dipole", "tr38901?rows=8&columns=4")


def sectors_table() -> None:
    """Edit the sectors; what is wrong is told in one line, and the map stays as it was."""
    draft = state.draft()
    table = pd.DataFrame(as_table(draft.rows), columns=list(TABLE))
    edited = st.data_editor(
        table,
        key=f"plan.table.{state.get('table_number', 0)}",
        num_rows="dynamic",
        hide_index=True,
        width="stretch",
        height=min(420, 74 + 35 * (len(table) + 1)),
        column_config=_columns(),
    )
    if not edited.equals(table):
        try:
            records: list[dict[str, Any]] = edited.to_dict("records")  # type: ignore[assignment]
            rows = from_table(workspace(), records)
        except InputError as error:
            tell(error, after=". The map shows the table as it was before.")
            return
        changed = replace(draft, rows=rows)
        if changed != draft:
            state.change(changed)
            st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            "Heights are above the ground, or above the roof where the site stands on one; "
            "azimuths clockwise from true north."
        )
        st.space("stretch")
        st.download_button(
            "Site list",
            sites_csv(_as_files(draft.rows)),
            "sites.csv",
            "text/csv",
            icon=":material/download:",
            disabled=not draft.rows,
            on_click="ignore",
        )


def _as_files(rows: Sequence[SiteRow]) -> list[SiteRow]:
    """Rows whose uploaded antennas have the names of their files, as a list beside them needs."""
    names = {upload.text: upload.original for upload in list_uploads(workspace(), "antenna")}
    return [replace(row, antenna=names.get(row.antenna, row.antenna)) for row in rows]


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "site": column.TextColumn("Site", width="small", required=True),
        "sector": column.TextColumn("Sector", width="small", required=True),
        "lon": column.NumberColumn("Longitude", format="%.6f", width="small"),
        "lat": column.NumberColumn("Latitude", format="%.6f", width="small"),
        "height_m": column.NumberColumn("Height, m", min_value=0.1, max_value=1000.0, step=0.5),
        "azimuth_deg": column.NumberColumn("Azimuth, °", min_value=-360.0, max_value=360.0, step=5),
        "downtilt_deg": column.NumberColumn("Tilt, °", min_value=-90.0, max_value=90.0, step=1.0),
        "power_dbm": column.NumberColumn("Power, dBm", min_value=-100.0, max_value=150.0, step=1.0),
        "frequency_mhz": column.NumberColumn("Carrier, MHz", min_value=30.0, step=1.0),
        "bandwidth_mhz": column.NumberColumn("Bandwidth, MHz", min_value=0.001, step=5.0),
        "antenna": column.TextColumn(
            "Antenna",
            width="medium",
            help="tr38901, isotropic, dipole, an array such as tr38901?rows=8&columns=4&beam=1, "
            "or an uploaded pattern; see Antennas.",
        ),
    }


def antennas() -> None:
    """Look at an antenna, give it to sectors, or upload a pattern."""
    draft = state.draft()
    uploads = names_of_uploads("antenna")
    used = dict.fromkeys(row.antenna for row in draft.rows)
    names = list(dict.fromkeys([*used, *uploads, *_NAMED]))
    if (new := state.get("new_antenna")) in names:
        state.put("antenna", new)
        state.put("new_antenna", "")
    left, right = st.columns([1.0, 1.7], gap="medium")
    with left:
        chosen = st.selectbox(
            "Antenna", names, format_func=lambda name: uploads.get(name, name),
            key=state.key("antenna"),
        )  # fmt: skip
        sites = list(dict.fromkeys(row.site for row in draft.rows))
        targets = st.multiselect(
            "Give it to", sites, placeholder="sites", key=state.key("antenna_sites")
        )
        st.button(
            "Set",
            icon=":material/done:",
            disabled=not targets,
            on_click=_give,
            args=(chosen, tuple(targets)),
        )
        _upload()
    with right:
        try:
            about = _described(chosen)
        except InputError as error:
            tell(error)
            return
        st.altair_chart(polar(about), alt="Pattern from above and from the side")
        widths = "  ·  ".join(
            f"{label} {number(about[name], digits)}{unit}"
            for label, name, digits, unit in (
                ("Gain", "gain_dbi", 1, " dBi"),
                ("horizontal beam", "horizontal_width_deg", 0, "°"),
                ("vertical beam", "vertical_width_deg", 0, "°"),
                ("front to back", "front_to_back_db", 0, " dB"),
            )
            if about.get(name) is not None
        )
        st.caption(widths)


@st.cache_data(max_entries=64, show_spinner=False)
def _described(antenna: str) -> dict[str, Any]:
    path = workspace().resolved(antenna)
    try:
        return described(path)
    except InputError as error:  # an upload's place on the server is nobody's concern
        raise InputError(str(error).replace(f"{path}: ", "")) from error


def _give(antenna: str, sites: tuple[str, ...]) -> None:
    draft = state.draft()
    rows = tuple(replace(r, antenna=antenna) if r.site in sites else r for r in draft.rows)
    state.change(replace(draft, rows=rows))


def _upload() -> None:
    upload = uploaded(
        "antenna",
        "Upload a pattern",
        help="MSI Planet (.msi, .pln, .pla) or NSMA (.adf).",
    )
    if upload is not None:
        state.put("new_antenna", upload.text)
        st.rerun()
