"""Learned and ray-traced maps: started here, followed here, and opened when they are done."""

from __future__ import annotations

import streamlit as st

from pipelines.desk.jobs import Job, cancel, list_jobs, start_map
from rfplatform.errors import RfplatformError
from ui.context import workspace
from ui.jobs.telling import STATES, age, attempt, live, progress, told_fault
from ui.markdown import plain
from ui.plan import state
from ui.telling import tell

_EFFORT = {
    "Draft": (2e6, 0.0),
    "Standard": (2e7, 1.0),
    "Fine": (1e8, 0.5),
}
"""Rays a sector, and the noise in dB that ends the trace early."""

SHOWN = 4
_FAULT = "plan.run_fault"


def runs_panel() -> None:
    """Start a run of what is on the table."""
    kind = st.segmented_control(
        "Run",
        ["Ray traced", "Learned"],
        default="Ray traced",
        key=state.key("run_kind"),
        width="stretch",
        required=True,
        help="Ray traced: reflections and diffraction at every building, with its standard "
        "error. Learned: a neural network that was trained on traced towns, in seconds.",
    )
    effort = "Standard"
    if kind != "Learned":
        effort = st.select_slider(
            "Effort", list(_EFFORT), value="Standard", key=state.key("effort"),
            help="Rays that each sector may spend: 2, 20 or 100 million. More rays, less noise.",
        )  # fmt: skip
    if st.button(
        "Start the run",
        icon=":material/play_arrow:",
        type="primary",
        width="stretch",
        disabled=not state.draft().rows,
        help="It goes on when you close the page; see Jobs.",
    ):
        _start(kind, effort)
    live(_list, active=any(job.is_active for job in list_jobs(workspace(), "map")))


def _start(kind: str, effort: str) -> None:
    rays, noise_db = _EFFORT[effort]
    try:
        if kind == "Learned":
            start_map(workspace(), state.draft(), solver="cascade", title=_title("learned"))
        else:
            start_map(
                workspace(),
                state.draft(),
                solver="raytraced",
                rays_per_sector=rays,
                target_noise_db=noise_db,
                title=_title(f"ray traced, {effort.lower()}"),
            )
    except RfplatformError as error:
        tell(error)


def _title(how: str) -> str:
    draft = state.draft()
    sites = len({row.site for row in draft.rows})
    return f"{sites} {'site' if sites == 1 else 'sites'}, {how}"


def _list() -> None:
    """The newest runs, and all that are at work."""
    told_fault(_FAULT)
    jobs = list_jobs(workspace(), "map")
    active = {job.id for job in jobs if job.is_active}
    ended = state.get("active", set()) - active
    state.put("active", active)
    for number, job in enumerate(jobs):
        if number < SHOWN or job.is_active:
            _show(job)
    if ended:
        done = [job.title for job in jobs if job.id in ended and job.state == "done"]
        state.put("finished", ", ".join(done))
        st.rerun()  # The whole page: a run can now be chosen.


def _show(job: Job) -> None:
    with st.container(border=True, gap="xsmall"):
        if job.is_active:
            _show_active(job)
            return
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if job.state == "done":
                # In a fragment a callback would draw the fragment alone.
                if st.button(
                    plain(job.title),
                    key=f"plan.open.{job.id}",
                    icon=":material/check_circle:",
                    type="tertiary",
                    help=f"{age(job)}. Show this map.",
                ):
                    state.open_run(job)
                    st.rerun()
            else:
                told = STATES[job.state]
                st.markdown(f"{told.icon} {plain(job.title)}: **{told.label.lower()}**")
        if job.state in ("failed", "lost"):
            st.caption(plain(job.message))


def _show_active(job: Job) -> None:
    st.markdown(f"**{plain(job.title)}**")
    progress(job, brief=True)
    is_traced = job.options.get("solver") == "raytraced"
    st.button(
        "Stop",
        key=f"plan.stop.{job.id}",
        icon=":material/stop_circle:",
        disabled=job.state == "stopping",
        help="The map keeps the rays so far." if is_traced else "Nothing is left of the run.",
        on_click=attempt,
        args=(_FAULT, cancel, workspace(), job.id),
    )
