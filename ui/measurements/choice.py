"""What is compared: a drive test with its columns, and a map with its cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pipelines.desk.jobs import Job, list_jobs
from pipelines.desk.uploads import Upload, find_upload
from ui.context import workspace
from ui.jobs.telling import names_of_jobs
from ui.markdown import plain
from ui.uploading import names_of_uploads, uploaded
from ui.words import number

KIND = "measurements"
TEST, MAP = "measurements.test", "measurements.map"
"""The session's keys: the upload's text and the map's id, None for no map."""

_FIELDS = {
    "longitude": "Longitude",
    "latitude": "Latitude",
    "rsrp": "RSRP",
    "cell": "Cell",
    "device": "Device",
    "time": "Time",
}
_NEEDED = ("longitude", "latitude", "rsrp")

FORMAT = """longitude,latitude,RSRP,cell,device
24.94512,60.17061,-84.5,Torni/1,phone 1
24.94518,60.17064,-86.0,Torni/1,phone 1"""


def drive_test() -> Upload | None:
    """Choose a drive test, or upload one."""
    tests = names_of_uploads(KIND)
    help_text = (
        "A table (CSV) with longitude, latitude and RSRP in dBm; cell, device "
        "and time are used where there are any."
    )
    if not tests:
        fresh = uploaded(KIND, "Drive test", help=help_text)
    else:
        with st.popover("Upload another", icon=":material/upload:", width="stretch"):
            fresh = uploaded(KIND, "Drive test", help=help_text)
    if fresh is not None:
        st.session_state[TEST] = fresh.text
    if not tests:
        return None
    if st.session_state.get(TEST) not in tests:
        st.session_state[TEST] = next(iter(tests))
    text = st.selectbox("Drive test", list(tests), format_func=tests.__getitem__, key=TEST)
    return find_upload(workspace(), text)


def columns_of(upload: Upload) -> Mapping[str, str] | None:
    """Which column holds what, by the form or as it was guessed; None while one is missing."""
    summary = upload.summary
    guessed: dict[str, str] = {
        name: column for name, column in (summary.get("mapping") or {}).items() if column
    }
    kept = f"measurements.columns.{upload.name}"
    mapping: dict[str, str] = st.session_state.get(kept, guessed)
    missing = [_FIELDS[name] for name in _NEEDED if name not in mapping]
    with st.expander("Columns", icon=":material/view_column:", expanded=bool(missing)):
        if missing:
            st.warning(f"Say which column is {' and '.join(missing)}.", icon=":material/help:")
        told = _form(upload, mapping)
        if told is not None:
            st.session_state[kept] = told
            st.rerun()
    return None if missing else mapping


def _form(upload: Upload, mapping: Mapping[str, str]) -> dict[str, str] | None:
    """The form; its mapping when it is sent."""
    summary = upload.summary
    options = [None, *summary.get("columns", [])]
    with st.form(f"measurements.form.{upload.name}", border=False):
        found: dict[str, str | None] = {}
        for number_, (name, label) in enumerate(_FIELDS.items()):
            if number_ % 2 == 0:
                pair = st.columns(2)
            column = mapping.get(name)
            found[name] = pair[number_ % 2].selectbox(
                f"{label}{' *' if name in _NEEDED else ''}",
                options,
                index=options.index(column) if column in options else 0,
                format_func=lambda text: "none" if text is None else str(text),
                key=f"measurements.column.{upload.name}.{name}",
            )
        st.caption("\\* needed. First rows:")
        st.dataframe(_first_rows(summary), hide_index=True, height=150, alt="First rows")
        if not st.form_submit_button("Use these columns", icon=":material/check:"):
            return None
    kept = {name: text for name, text in mapping.items() if name not in _FIELDS}
    return {**kept, **{name: text for name, text in found.items() if text}}


def _first_rows(summary: Mapping[str, Any]) -> pd.DataFrame:
    rows = summary.get("first_rows") or []
    return pd.DataFrame(rows, columns=summary.get("columns") if rows else None, dtype=str)


def finished_maps() -> list[Job]:
    """Maps that can be compared, the newest first."""
    return [job for job in list_jobs(workspace(), "map") if job.state == "done"]


def map_job(maps: list[Job]) -> Job | None:
    """Choose the map; None for the levels alone."""
    known, names = {job.id: job for job in maps}, names_of_jobs(maps)
    if st.session_state.get(MAP) not in known and st.session_state.get(MAP) is not None:
        st.session_state[MAP] = None
    if MAP not in st.session_state and maps:
        st.session_state[MAP] = maps[0].id
    chosen = st.selectbox(
        "Map",
        [None, *known],
        format_func=lambda name: "no map: levels alone" if name is None else names[name],
        key=MAP,
        help="Finished ray-traced, learned and closed-form maps of the Jobs page.",
    )
    return known.get(chosen or "")


def cells_given(stats: Mapping[str, Any], sectors: list[str], key: str) -> dict[str, str]:
    """A table of measured cells and their sectors; what it says beside the names that match.

    Parameters
    ----------
    stats : mapping
        Of the comparison by names alone.
    sectors : list of str
        Labels of the map's sectors.
    key : str
        Another for each drive test and map.
    """
    counts = sorted(stats["cells"].items(), key=lambda item: -item[1])
    table = pd.DataFrame(
        {
            "cell": [name for name, _ in counts],
            "readings": [count for _, count in counts],
            "sector": pd.Series([stats["matched"].get(name) for name, _ in counts], dtype=object),
        }
    )
    matched = len(stats["matched"])
    title = f"Cells: {matched} of {len(counts)} are sectors of the map"
    with st.expander(title, icon=":material/link:", expanded=matched == 0):
        edited = st.data_editor(
            table,
            key=f"measurements.cells.{key}",
            hide_index=True,
            disabled=["cell", "readings"],
            column_config={
                "cell": "Measured cell",
                "readings": st.column_config.NumberColumn("Readings", format="localized"),
                "sector": st.column_config.SelectboxColumn(
                    "Sector of the map", options=sectors, width="medium"
                ),
            },
            height=min(260, 38 + 35 * max(1, len(counts))),
        )
        st.caption("Cells without a sector are left out. Names that match are taken by themselves.")
    given = dict(zip(edited["cell"], edited["sector"], strict=True))
    return {
        str(name): str(label)
        for name, label in given.items()
        if isinstance(label, str) and label and label != stats["matched"].get(name)
    }


def reading_words(stats: Mapping[str, Any]) -> str:
    """How many readings there are, and how many can't be used and why."""
    said = [f"{number(stats['readings'])} readings"]
    points = stats["points"]
    if points["shown"] < points["all"]:
        said.append(f"{number(points['shown'])} of {number(points['all'])} points shown")
    if stats.get("beyond"):
        said.append(f"{number(stats['beyond'])} beyond the map")
    said += [
        f"{number(count)} rows left out: {plain(why)}" for why, count in stats["rejected"].items()
    ]
    return " · ".join(said)
