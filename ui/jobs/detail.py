"""One job: how far it is, what can be done with it, and what it made."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pipelines.desk.display import read_display
from pipelines.desk.jobs import Job, cancel, find_job, remove, retry
from pipelines.desk.uploads import find_upload
from rfplatform.errors import InputError
from ui.context import workspace
from ui.files import file_buttons
from ui.jobs.batch_detail import batch_counts, batch_results
from ui.jobs.telling import (
    attempt,
    is_partial,
    kind_of,
    last_words,
    live,
    progress,
    state_badge,
    times,
)
from ui.links import page_link
from ui.markdown import plain
from ui.words import number, percent

_KEPT = {
    "map": "A ray-traced map is written with the rays so far, noisier than it was to be, and says "
    "so. Of any other map nothing is left.",
    "calibrate": "Nothing is left of an unfinished calibration.",
    "batch": "Maps that are finished stay. **Try again** makes only those that are missing.",
    "bench": "Nothing is left of an unfinished benchmark.",
}


def detail(
    job: Job, *, select: Callable[[str], None], close: Callable[[], None], fault: str
) -> None:
    """Draw a job.

    Parameters
    ----------
    job : Job
    select : callable
        Opens another job, by its id.
    close : callable
    fault : str
        The session's key for what goes wrong on a click.
    """
    kind, icon = kind_of(job)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {icon} {plain(job.title)}")
        st.space("stretch")
        state_badge(job)
    st.caption(" · ".join([kind, *map(plain, _asked(job))]))
    live(lambda: _live_part(job.id), active=job.is_active)
    _actions(job, select, close, fault)
    if job.is_over:
        _results(job)
    elif job.kind == "batch":
        batch_results(job)


def _live_part(name: str) -> None:
    try:
        job = find_job(workspace(), name)
    except InputError:  # it was removed in another window
        return
    if job.is_active:
        progress(job)
    if job.kind == "batch":
        batch_counts(job)


def _asked(job: Job) -> list[str]:
    """What the job was to do, in a few words."""
    options = job.options
    if job.kind == "map":
        draft = options.get("draft") or {}
        rows = draft.get("rows") or []
        return [
            _called(str(draft.get("area", ""))),
            "1 sector" if len(rows) == 1 else f"{len(rows):,} sectors",
            str(options.get("solver", "")),
            f"cells of {draft.get('resolution_m', 0):g} m",
        ]
    if job.kind == "calibrate":
        return [f"method {options.get('method', 'auto')}"]
    if job.kind == "batch":
        return [_called(str(options.get("jobs_file", "")))]
    return [str(options.get("name") or "all")]


def _called(text: str) -> str:
    """An upload as its user called it; anything else as it is."""
    try:
        return find_upload(workspace(), text).original
    except InputError:
        return text.rsplit("/", 1)[-1]


def _actions(
    job: Job, select: Callable[[str], None], close: Callable[[], None], fault: str
) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if job.is_active:
            _cancel(job, fault)
            return
        if job.state == "done":
            _open(job)
        st.button(
            _retry_label(job),
            key="jobs.retry",
            icon=":material/replay:",
            help="Makes what is missing, in a new job; all that is done moves there."
            if job.kind == "batch"
            else "Starts the same as a new job.",
            on_click=attempt,
            args=(fault, lambda: select(retry(workspace(), job.id).id)),
        )
        with st.popover("Remove", icon=":material/delete:"):
            st.markdown("The job and all its files go for good.")
            st.button(
                "Remove it",
                key="jobs.remove",
                type="primary",
                on_click=attempt,
                args=(fault, lambda: _removed(job, close)),
            )


def _retry_label(job: Job) -> str:
    if job.kind == "batch" and job.details.get("failed"):
        return "Try what failed again"
    return "Run again" if job.state == "done" else "Try again"


def _removed(job: Job, close: Callable[[], None]) -> None:
    remove(workspace(), job.id)
    close()


def _cancel(job: Job, fault: str) -> None:
    is_stopping = job.state == "stopping"
    with st.popover("Stop", icon=":material/stop_circle:"):
        st.markdown(_KEPT.get(job.kind, ""))
        st.button(
            "Stop it",
            key="jobs.cancel",
            type="primary",
            disabled=is_stopping,
            on_click=attempt,
            args=(fault, cancel, workspace(), job.id),
        )
        if is_stopping:
            st.caption("It was asked to stop, and ends what it is at.")
            st.button(
                "End it at once, and keep nothing",
                key="jobs.force",
                on_click=attempt,
                args=(fault, lambda: cancel(workspace(), job.id, force=True)),
            )


def _open(job: Job) -> None:
    if job.kind in ("map", "calibrate"):
        page_link("plan", "Open the map", ":material/map:", run=job.id)
    if job.kind == "calibrate":
        page_link("measurements", "Before and after", ":material/compare:", job=job.id)
    if job.kind == "map":
        page_link("measurements", "Compare with measurements", ":material/timeline:", map=job.id)
    if job.kind == "bench":
        page_link("benchmarks", "Open the scores", ":material/leaderboard:", job=job.id)


def _results(job: Job) -> None:
    last_words(job)
    if job.state == "done" and job.kind in ("map", "calibrate"):
        if is_partial(job):
            st.warning(
                "It was stopped: the map holds the rays that it had by then.",
                icon=":material/timelapse:",
            )
        _map_facts(job)
    if job.kind == "batch":
        batch_results(job)
    else:
        file_buttons(job.out, "jobs.file", title="Files")


def _map_facts(job: Job) -> None:
    facts = (read_display(job.display) or {}).get("facts") or {}
    noise_db = job.noise_db if job.noise_db is not None else facts.get("noise_db")
    columns = st.columns(4)
    columns[0].metric("Took", times(job))
    columns[1].metric("Served", percent(facts.get("served_share")), help="Of the outdoor area.")
    columns[2].metric("Outdoor area", f"{number(facts.get('outdoor_km2'), 2)} km²")
    noise = "none" if noise_db is None else f"{number(noise_db, 1)} dB"
    columns[3].metric("Noise", noise, help="Standard error of a traced level; others have none.")
    for text in list(job.details.get("warnings") or [])[:5]:
        st.warning(plain(text), icon=":material/warning:")
    if fault := job.details.get("display_error"):
        st.warning(plain(fault), icon=":material/layers_clear:")
    picture = job.out / "radio_map.png"
    if picture.is_file():
        st.image(str(picture), caption=plain(job.title))
