"""Jobs: what runs, what ran, what failed and why; and batches of many maps."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pipelines.desk.jobs import Job, find_job, list_jobs
from rfplatform.errors import InputError
from ui.context import workspace
from ui.jobs.batch_start import batch_start
from ui.jobs.detail import detail
from ui.jobs.telling import KINDS, STATES, age, kind_of, live, progress, times, told_fault
from ui.markdown import plain

SHOWN = 15
"""Jobs that are listed before somebody asks for more."""

FAULT = "jobs.fault"
ALL = "All kinds"

_STYLE = """
[class*="st-key-jobs-open-"] button { min-height: 0; padding: .15rem 0; font-weight: 600; }
"""

_GROUPS = {
    "All states": tuple(STATES),
    "Active": ("queued", "running", "stopping"),
    "Done": ("done",),
    "Failed": ("failed", "lost"),
    "Cancelled": ("cancelled",),
}


def page() -> None:
    """Draw the page."""
    st.html(f"<style>{_STYLE}</style>")
    left, right = st.columns([1.0, 1.9], gap="medium")
    with left:
        st.subheader("Jobs", anchor=False)
        told_fault(FAULT)
        with st.expander("Start a batch of maps", icon=":material/add:"):
            batch_start(_select)
        kind, states = _filters()
        jobs = list_jobs(workspace())
        live(lambda: _list(kind, states), active=any(job.is_active for job in jobs))
    with right, st.container(border=True):
        _selected(_open_id(jobs))


def _filters() -> tuple[str, tuple[str, ...]]:
    """The kind and the states that are listed."""
    first, second = st.columns(2)
    kind = first.selectbox(
        "Kind",
        [ALL, *KINDS],
        format_func=lambda kind: ALL if kind == ALL else KINDS[kind][0],
        key="jobs.kind",
        label_visibility="collapsed",
    )
    group = second.selectbox("State", list(_GROUPS), key="jobs.state", label_visibility="collapsed")
    return kind, _GROUPS[group]


def _list(kind: str, states: tuple[str, ...]) -> None:
    jobs = list_jobs(workspace())
    _redraw_page_when_one_ends(jobs)
    if not jobs:
        st.info(
            "No jobs yet. Long work is listed here: ray-traced maps that you start on the Plan "
            "page, calibrations of the Measurements page, batches and benchmarks.",
            icon=":material/inbox:",
        )
        return
    found = [job for job in jobs if kind in (ALL, job.kind) and job.state in states]
    if not found:
        st.info("No job is of this kind and state.", icon=":material/filter_alt_off:")
    limit = st.session_state.get("jobs.limit", SHOWN)
    opened = _open_id(jobs)
    for job in found[:limit]:
        _row(job, is_open=job.id == opened)
    if len(found) > limit:
        st.button(
            f"Show more ({len(found) - limit:,})",
            key="jobs.more",
            width="stretch",
            on_click=lambda: st.session_state.update({"jobs.limit": limit + 3 * SHOWN}),
        )


def _redraw_page_when_one_ends(jobs: Sequence[Job]) -> None:
    """What hangs on a job's end, its results and whether to look again, is outside of the list."""
    active = {job.id for job in jobs if job.is_active}
    before = st.session_state.get("jobs.active", active)
    st.session_state["jobs.active"] = active
    if before - active:
        st.rerun()


def _row(job: Job, *, is_open: bool) -> None:
    told, (kind, icon) = STATES[job.state], kind_of(job)
    with st.container(border=is_open, gap=None):
        # In a fragment a callback would draw the fragment alone, and not the job.
        if st.button(
            plain(job.title),
            key=f"jobs.open.{job.id}",
            icon=icon,
            type="tertiary",
            help="Show this job.",
        ):
            _select(job.id)
            st.rerun()
        state = f":{told.color}[{told.icon} {told.label}]"
        if job.is_active:
            progress(job, brief=True)
        elif job.state in ("failed", "lost"):
            st.markdown(f":small[{state} · {kind} · {age(job)}]")
            st.caption(plain(_shortened(job.message)))
        else:
            st.markdown(f":small[{state} · {kind} · {age(job)} · took {times(job)}]")


def _shortened(text: str, most: int = 140) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _select(name: str) -> None:
    st.query_params["job"] = name


def _open_id(jobs: Sequence[Job]) -> str | None:
    """The job that the URL names, else the newest."""
    named: str | None = st.query_params.get("job")
    return named or next((job.id for job in jobs), None)


def _selected(name: str | None) -> None:
    if name is None:
        st.caption("A job that is chosen at the left opens here, with its results and its files.")
        return
    try:
        job = find_job(workspace(), name)
    except InputError as error:
        st.warning(plain(error), icon=":material/search_off:")
        st.button("Close", on_click=_close)
        return
    detail(job, select=_select, close=_close, fault=FAULT)


def _close() -> None:
    st.query_params.pop("job", None)
