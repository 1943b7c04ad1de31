"""A map is calibrated on a drive test: the start, how far it is, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pipelines.desk.jobs import Job, cancel, find_job, list_jobs, start_calibrate
from pipelines.desk.measured import methods
from pipelines.desk.uploads import Upload
from rfplatform.errors import InputError, RfplatformError
from ui.charts.residuals import method_scores
from ui.context import workspace
from ui.files import file_buttons
from ui.jobs.telling import attempt, last_words, live, progress, stamp, told_fault
from ui.links import page_link
from ui.markdown import plain
from ui.telling import tell
from ui.words import distinct, number, percent

JOB = "measurements.job"
"""The session's key of the calibration that is open."""

_FAULT = "measurements.fault"
_SLOW = ("auto", "kriging", "cascade")


def calibrations(map_job: Job, upload: Upload) -> list[Job]:
    """Those of this map on this drive test, the newest first."""
    return [
        job
        for job in list_jobs(workspace(), "calibrate")
        if job.options.get("map") == map_job.id and job.options.get("measurements") == upload.text
    ]


def start(
    map_job: Job,
    upload: Upload,
    *,
    columns: Mapping[str, str],
    cells: Mapping[str, str],
    stats: Mapping[str, Any],
) -> None:
    """Choose a method, and start.

    Parameters
    ----------
    map_job : Job
    upload : Upload
    columns, cells : mapping
        As `pipelines.desk.jobs.start_calibrate` takes them.
    stats : mapping
        Of the comparison: what can't be compared can't be calibrated on.
    """
    ways = methods()
    method = st.selectbox(
        "Method",
        list(ways),
        format_func=lambda name: f"{name}: {ways[name]}",
        key="measurements.method",
        help="Each is scored on blocks of 64 m that it was not fitted to.",
    )
    words = ways[method][:1].upper() + ways[method][1:]
    st.caption(f"{words}. {'It takes minutes.' if method in _SLOW else ''}")
    unclear = [name for name in stats["unclear"] if name not in cells]
    if unclear:
        st.warning(
            f"{plain(', '.join(unclear[:3]))}: could be several sectors. Say which under Cells.",
            icon=":material/help:",
        )
    if st.button(
        "Calibrate the map",
        icon=":material/tune:",
        type="primary",
        width="stretch",
        key="measurements.calibrate",
        disabled=stats["all"] is None or bool(unclear),
        help="It goes on when you close the page; see Jobs.",
    ):
        try:
            job = start_calibrate(
                workspace(),
                map_job=map_job,
                measurements=upload.text,
                columns=columns,
                method=method,
                cells=cells,
            )
        except RfplatformError as error:
            tell(error)
        else:
            st.session_state[JOB] = job.id
            st.rerun()


def chosen(jobs: list[Job]) -> Job | None:
    """Which of several is open; the newest if none was chosen."""
    if not jobs:
        st.session_state.pop(JOB, None)
        return None
    known = {job.id: job for job in jobs}
    if st.session_state.get(JOB) not in known:
        done = [job.id for job in jobs if job.state == "done"]
        st.session_state[JOB] = (done or list(known))[0]
    if len(jobs) > 1:
        names = distinct(
            {job.id: f"{job.options.get('method', 'auto')} · {stamp(job)}" for job in jobs}
        )
        st.selectbox("Calibration", list(names), format_func=names.__getitem__, key=JOB)
    return known[st.session_state[JOB]]


def followed(job: Job) -> None:
    """How far a calibration is, or why there is none."""
    live(lambda: _watched(job.id), active=job.is_active)
    if job.state in ("failed", "lost"):
        last_words(job)
        page_link("jobs", "Open the job", ":material/pending_actions:", job=job.id)
    elif job.state == "cancelled":
        st.info("This calibration was stopped; nothing is left of it.", icon=":material/cancel:")


def _watched(name: str) -> None:
    try:
        job = find_job(workspace(), name)
    except InputError:  # removed in another window
        return
    told_fault(_FAULT)
    was_active = st.session_state.get("measurements.active") == name
    st.session_state["measurements.active"] = name if job.is_active else None
    if job.is_active:
        progress(job)
        st.button(
            "Stop",
            key="measurements.stop",
            icon=":material/stop_circle:",
            disabled=job.state == "stopping",
            help="Nothing is left of an unfinished calibration.",
            on_click=attempt,
            args=(_FAULT, cancel, workspace(), name),
        )
    elif was_active:
        st.rerun()  # The whole page: there is something to show.


def before_and_after(report: Mapping[str, Any]) -> None:
    """The error before and after, on blocks left out, and all methods beside it."""
    scores = {score["method"]: score for score in report["scores"]}
    before, after = scores.get("uncalibrated"), scores.get(report["method"])
    if before is None or after is None:
        st.info(
            "All readings lie in one block of 64 m: nothing could be left out to score the "
            "calibration.",
            icon=":material/info:",
        )
        return
    columns = st.columns(4)
    columns[0].metric(
        "RMSE before", f"{number(before['rmse_db'], 1)} dB", help="Of the map as it was."
    )
    columns[1].metric(
        "RMSE after",
        f"{number(after['rmse_db'], 1)} dB",
        delta=f"{number(after['rmse_db'] - before['rmse_db'], 1)} dB",
        delta_color="green" if after["rmse_db"] < before["rmse_db"] else "red",
        delta_arrow="down" if after["rmse_db"] < before["rmse_db"] else "up",
        help=f"In blocks that were left out of the fit; 95 % interval "
        f"{number(after['low_db'], 1)} to {number(after['high_db'], 1)} dB.",
    )
    columns[2].metric(
        "Bias after",
        f"{number(after['bias_db'], 1)} dB",
        help=f"Before: {number(before['bias_db'], 1)} dB. Map less measured.",
    )
    columns[3].metric(
        "Within P10 to P90",
        percent(after["picp80"]),
        help="Of the left-out points; 80 % where the stated spread is right.",
    )
    protocol = report["protocol"]
    st.caption(
        f"{number(after['points'])} points in {number(protocol['blocks'])} blocks of "
        f"{protocol['block_m']:g} m; each was predicted while its block was left out, in "
        f"{protocol['folds']} groups. Lines: 95 % interval over blocks."
    )
    st.altair_chart(
        method_scores(report["scores"], report["method"]), alt="RMSE of each method, in dB"
    )
    for note in list(report.get("notes") or [])[:5]:
        st.caption(f":material/info: {plain(note)}")


def offsets(report: Mapping[str, Any]) -> None:
    """What cells and devices read beyond the map."""
    rows = [
        {"what": what, **one}
        for what, key in (("Cell", "cells"), ("Device", "devices"))
        for one in report.get(key) or []
        if one["name"]
    ]
    if not rows:
        return
    st.markdown("##### Offsets")
    st.dataframe(
        rows,
        hide_index=True,
        alt="Offsets of cells and devices",
        column_order=["what", "name", "offset_db", "standard_error_db", "readings"],
        column_config={
            "what": "",
            "name": "Name",
            "offset_db": st.column_config.NumberColumn("Offset, dB", format="%+.1f"),
            "standard_error_db": st.column_config.NumberColumn("± dB", format="%.1f"),
            "readings": st.column_config.NumberColumn("Readings", format="localized"),
        },
    )


def downloads(job: Job) -> None:
    """All that the calibration wrote."""
    file_buttons(job.out, "measurements.file", title="Files")
