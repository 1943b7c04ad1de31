"""A batch is started here: its jobs file, a look at what it would do, and the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pipelines.desk.collected import planned
from pipelines.desk.jobs import start_batch
from pipelines.desk.uploads import Upload, find_upload
from rfplatform.errors import RfplatformError
from ui.context import workspace
from ui.markdown import plain
from ui.telling import tell
from ui.uploading import names_of_uploads, uploaded

KIND = "jobs"
PLANNED = "jobs.planned"
_COLUMNS = ("area", "sites", "terrain")
"""Of a jobs file, that may name an upload of that kind."""

_EXAMPLE = """name,area,site,solver,resolution
centre,helsinki,"24.945,60.170,25,90",tr38901-uma,8
low,helsinki,"24.945,60.170,15,90",tr38901-uma,8
"""


def batch_start(select: Callable[[str], None]) -> None:
    """Draw it.

    Parameters
    ----------
    select : callable
        Opens the job that was started, by its id.
    """
    stored = uploaded(
        KIND,
        "Jobs file",
        help="A row for each map: options of `rfplatform map` as columns. Areas are helsinki, "
        "boxes W,S,E,N, or uploads, by the names that stand under Names of uploads.",
    )
    _uploads()
    files = names_of_uploads(KIND)
    if not files:
        st.caption("A row for each map, as in this example:")
        st.download_button(
            "Example",
            _EXAMPLE,
            "jobs.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        return
    if stored is not None:
        st.session_state["jobs.file"] = stored.text
    text = st.selectbox("Start with", list(files), format_func=files.__getitem__, key="jobs.file")
    chosen = find_upload(workspace(), text)
    workers = st.number_input(
        "Workers", 0, 256, 0, key="jobs.workers", help="0: as many as this machine holds."
    )
    with st.container(horizontal=True):
        look = st.button("Look first", icon=":material/visibility:", key="jobs.look")
        start = st.button("Start", icon=":material/play_arrow:", type="primary", key="jobs.start")
    if look:
        _look(chosen)
    if start:
        _start(chosen, int(workers) or None, select)
    told = st.session_state.get(PLANNED)
    if told and told["of"] == chosen.text:
        _summary(told)


def _uploads() -> None:
    """What a jobs file can name; files of the server are none of it."""
    rows = [
        {"of": kind, "file": name, "called": text}
        for kind in _COLUMNS
        for text, name in names_of_uploads(kind).items()
    ]
    if not rows:
        return
    with st.popover("Names of uploads", icon=":material/link:"):
        st.caption("What stands for a file in the columns area, sites and terrain:")
        st.dataframe(
            rows,
            hide_index=True,
            alt="Names of uploads",
            column_config={"of": "Column", "file": "File", "called": "Name in a jobs file"},
        )


def _look(upload: Upload) -> None:
    with st.spinner("Reading the areas: this may take a minute"):
        try:
            told = planned(workspace(), upload.text)
        except RfplatformError as error:
            told = {"error": str(error), "lines": getattr(error, "lines", ())}
    st.session_state[PLANNED] = {**told, "of": upload.text}


def _summary(told: Mapping[str, Any]) -> None:
    if "error" in told:
        _tell(str(told["error"]), told["lines"])
        return
    st.markdown(
        f"**{told['maps']:,} maps** of {len(told['jobs']):,} jobs, with {told['sectors']:,} "
        "sectors in all"
        + (f"; {told['empty']:,} tiles that no sector reaches" if told["empty"] else "")
        + "."
    )
    has_faults = any(job["fault"] for job in told["jobs"])
    st.dataframe(
        told["jobs"],
        hide_index=True,
        column_order=["job", "solver", "maps", "sectors", *(["fault"] if has_faults else [])],
        column_config={
            "job": "Job",
            "solver": "Solver",
            "maps": st.column_config.NumberColumn("Maps", format="localized"),
            "sectors": st.column_config.NumberColumn("Sectors", format="localized"),
            "fault": "What is wrong",
        },
    )
    if has_faults:
        st.caption("Jobs with a fault are set aside when the batch runs; all others are made.")


def _start(upload: Upload, workers: int | None, select: Callable[[str], None]) -> None:
    try:
        job = start_batch(
            workspace(),
            jobs_file=upload.text,
            workers=workers,
            title=Path(upload.original).stem,
        )
    except RfplatformError as error:
        _tell(str(error), getattr(error, "lines", ()))
        return
    select(job.id)
    st.rerun()


def _tell(summary: str, lines: Sequence[str]) -> None:
    """What is wrong with a jobs file: in a line, and fault by fault."""
    tell(summary, after="".join(f"\n- {plain(line)}" for line in lines))
