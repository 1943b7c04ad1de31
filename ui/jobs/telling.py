"""How a job is told: its state, how far it is, and what it said last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

import streamlit as st

from pipelines.desk.jobs import Job
from rfplatform.errors import RfplatformError
from ui.markdown import plain
from ui.telling import tell
from ui.words import distinct, duration, number, percent

LIVE_S = 1.5
"""Time between two looks at what is not over."""

LOG_LINES = 40

Color = Literal["blue", "green", "red", "orange", "gray"]

KINDS: Mapping[str, tuple[str, str]] = {
    "map": ("Map", ":material/map:"),
    "calibrate": ("Calibration", ":material/tune:"),
    "batch": ("Batch", ":material/grid_view:"),
    "bench": ("Benchmark", ":material/leaderboard:"),
}
"""Kinds of jobs: their name and icon."""


class Told(NamedTuple):
    """What a state is called."""

    label: str
    icon: str
    color: Color


STATES: Mapping[str, Told] = {
    "queued": Told("Waiting", ":material/schedule:", "gray"),
    "running": Told("Running", ":material/play_circle:", "blue"),
    "stopping": Told("Stopping", ":material/pause_circle:", "orange"),
    "done": Told("Done", ":material/check_circle:", "green"),
    "failed": Told("Failed", ":material/error:", "red"),
    "cancelled": Told("Cancelled", ":material/cancel:", "gray"),
    "lost": Told("Lost", ":material/error:", "red"),
}


def kind_of(job: Job) -> tuple[str, str]:
    """The name and icon of a job's kind."""
    return KINDS.get(job.kind, (job.kind.capitalize(), ":material/work:"))


def state_badge(job: Job) -> None:
    """The job's state, in its colour."""
    told = STATES[job.state]
    label = "Done, stopped early" if is_partial(job) else told.label
    st.badge(label, icon=told.icon, color=told.color)


def is_partial(job: Job) -> bool:
    """Whether a map was written with the rays that it had when it was stopped."""
    return job.state == "done" and job.details.get("stopped_by") == "interrupted"


def age(job: Job) -> str:
    """When it ended or was made: "3 min 5 s ago"."""
    return f"{duration(time.time() - (job.ended or job.created))} ago"


def stamp(job: Job) -> str:
    """When it was made: "24 Nov 20:15". Of use where a text must not change by itself."""
    return time.strftime("%d %b %H:%M", time.localtime(job.created))


def names_of_jobs(jobs: Iterable[Job]) -> dict[str, str]:
    """Titles that tell jobs apart in a list, by their ids."""
    return distinct({job.id: f"{job.title} · {stamp(job)}" for job in jobs})


def times(job: Job) -> str:
    """How long it took or takes, and what is left of it."""
    if job.state == "queued":
        return f"waiting for {duration(time.time() - job.created)}"
    began = job.started or job.created
    said = [f"{duration((job.ended or time.time()) - began)}{'' if job.is_over else ' so far'}"]
    left_s = job.details.get("left_s")
    if job.state == "running" and left_s is not None:
        said.append(f"about {duration(left_s)} left")
    return " · ".join(said)


def progress(job: Job, *, brief: bool = False) -> None:
    """A bar with what the job does now, how long it has and what its noise is.

    Parameters
    ----------
    job : Job
    brief : bool
        Without the speed.
    """
    share = min(1.0, max(0.0, job.share or 0.0))
    shown = "" if job.share is None else f" · {percent(share)}"
    st.progress(share, text=f"{plain(job.message)}{shown}")
    said = [times(job)]
    if job.noise_db is not None:
        said.append(f"noise {number(job.noise_db, 1)} dB so far")
    rate = job.details.get("rays_per_s")
    if rate and not brief:
        said.append(f"{number(rate / 1e6, 2)} million rays/s")
    st.caption(" · ".join(said))


def last_words(job: Job) -> None:
    """Why a job failed, and the end of its log."""
    if job.state in ("failed", "lost"):
        tell(job.message)
    tail = job.log_tail(LOG_LINES)
    if tail:
        with st.expander("Last words of its log", icon=":material/notes:"):
            st.code(tail, language=None, wrap_lines=True)


def live(draw: Callable[[], None], *, active: bool) -> None:
    """Draw a part of a page, again and again while something in it is active."""
    st.fragment(draw, run_every=LIVE_S if active else None)()


def attempt(key: str, do: Callable[..., object], *arguments: object) -> None:
    """Do what a button asks for; what goes wrong is kept for `told_fault`."""
    try:
        do(*arguments)
    except RfplatformError as error:
        st.session_state[key] = str(error)


def told_fault(key: str) -> None:
    """Tell once what `attempt` kept."""
    fault = st.session_state.pop(key, None)
    if fault:
        tell(fault)
