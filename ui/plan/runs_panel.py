"""Learned and ray-traced maps: started here, followed here, and opened when they are done."""

from __future__ import annotations

import time

import streamlit as st

from pipelines.desk.jobs import Job, cancel, list_jobs, start_map
from rfplatform.errors import RfplatformError
from ui.context import workspace
from ui.markdown import plain
from ui.plan import state
from ui.telling import tell
from ui.words import duration, number

_EFFORT = {
    "Draft": (2e6, 0.0),
    "Standard": (2e7, 1.0),
    "Fine": (1e8, 0.5),
}
"""Rays a sector, and the noise in dB that ends the trace early."""

SHOWN = 4
WATCHED_S = 1.0


def runs_panel() -> None:
    """Start a run of what is on the table."""
    kind = st.segmented_control(
        "Run",
        ["Ray traced", "Learned"],
        default="Ray traced",
        key=state.key("run_kind"),
        width="stretch",
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
        _start(kind or "Ray traced", effort)
    _watched()


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


def _watched() -> None:
    """The newest runs; looked at again each second while one is at work."""
    active = any(job.is_active for job in list_jobs(workspace(), "map")[:SHOWN])
    st.fragment(_list, run_every=WATCHED_S if active else None)()


def _list() -> None:
    jobs = list_jobs(workspace(), "map")[:SHOWN]
    ended = {job.id for job in jobs if job.is_over}
    before = state.get("ended")
    state.put("ended", ended)
    for job in jobs:
        _show(job)
    if before is not None and ended - before:
        finished = next(job for job in jobs if job.id in ended - before)
        if finished.state == "done":
            state.put("finished", finished.title)
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
                    help=f"{_age(job)}. Show this map.",
                ):
                    state.open_run(job)
                    st.rerun()
            else:
                st.markdown(f":material/error: {plain(job.title)}: **{job.state}**")
        if job.state in ("failed", "lost"):
            st.caption(plain(job.message))


def _show_active(job: Job) -> None:
    noise = "" if job.noise_db is None else f" · noise {number(job.noise_db, 1)} dB so far"
    st.markdown(f"**{plain(job.title)}**")
    st.progress(job.share or 0.0, text=f"{plain(job.message)}{noise}")
    with st.container(horizontal=True, vertical_alignment="center"):
        elapsed = time.time() - (job.started or job.created)
        st.caption(f"{duration(elapsed)}")
        st.space("stretch")
        st.button(
            "Stop",
            key=f"plan.stop.{job.id}",
            icon=":material/stop_circle:",
            disabled=job.state == "stopping",
            help="A ray-traced map keeps the rays so far.",
            on_click=cancel,
            args=(workspace(), job.id),
        )


def _age(job: Job) -> str:
    return f"{duration(time.time() - (job.ended or job.created))} ago"
