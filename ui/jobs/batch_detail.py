"""A batch: how far it is, what it set aside, and its maps on the ground."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import streamlit as st

from pipelines.batch.collection import CATALOG
from pipelines.desk.collected import LEVELS_DBM, CollectedMap, collected, set_aside
from pipelines.desk.jobs import Job
from ui.background import background_over, united
from ui.components.map import AreaMarker, map_view
from ui.files import KNOWN, file_button, file_buttons
from ui.markdown import plain
from ui.words import duration, number, percent, size

KEY = "jobs_map"
LOOKED_S = 15.0
"""How old what is shown of a running batch's maps may be."""

CLASSES = (
    (0.95, "#2c7fb8", "95 % or more"),
    (0.85, "#41b6c4", "85 to 95 %"),
    (0.70, "#a1dab4", "70 to 85 %"),
    (0.50, "#fecc5c", "50 to 70 %"),
    (0.0, "#e8603c", "less than 50 %"),
)
"""Shares of the outdoor area that is served, from where on, and their colours."""

_UNKNOWN = "#9aa5ad"


def batch_counts(job: Job) -> None:
    """How many maps are done, failed and waiting."""
    told = job.details
    maps, done = told.get("maps"), told.get("done")
    if maps is None:
        return
    columns = st.columns(4)
    columns[0].metric("Maps done", f"{done or 0:,} of {maps:,}")
    columns[1].metric("Set aside", f"{told.get('failed') or 0:,}")
    if job.is_active:
        columns[2].metric("Running", f"{told.get('running') or 0:,}")
        columns[3].metric("Waiting", f"{told.get('waiting') or 0:,}")
        for text in list(told.get("now") or [])[:4]:
            st.caption(f":material/arrow_right: {plain(text)}")
        return
    columns[2].metric("There already", f"{told.get('already') or 0:,}")
    took_s = (job.ended or time.time()) - (job.started or job.created)
    columns[3].metric("Took", duration(took_s))


def batch_results(job: Job) -> None:
    """What was set aside, and the maps that there are."""
    _failures(job)
    maps = _collected(str(job.out), _changed(job))
    if not maps:
        st.caption("No map is finished.")
        return
    st.markdown("##### Its maps")
    _on_the_map(job, maps)
    file_buttons(job.out, "jobs.file", title="Files")


def _failures(job: Job) -> None:
    failures = set_aside(job.out)
    if not failures:
        return
    st.markdown(f"##### Set aside ({len(failures):,})")
    st.dataframe(
        [asdict(one) for one in failures],
        hide_index=True,
        alt="What was set aside",
        column_order=["job", "what", "last_words", "attempts", "failed"],
        column_config={
            "job": st.column_config.TextColumn("Job", width=90),
            "what": st.column_config.TextColumn("What", width=150),
            "last_words": st.column_config.TextColumn("Last words", width=300),
            "attempts": st.column_config.NumberColumn("Tries", width=50),
            "failed": st.column_config.DatetimeColumn("When", format="distance", width=110),
        },
    )
    if job.is_over:
        st.caption("**Try what failed again** makes these once more, and nothing that is done.")


def _changed(job: Job) -> str:
    """Another text when there may be other maps."""
    catalog = job.out / CATALOG
    written = catalog.stat().st_mtime_ns if catalog.is_file() else 0
    return f"{written} {time.time() // LOOKED_S if job.is_active else ''}"


@st.cache_data(max_entries=16, show_spinner=False)
def _collected(out: str, changed: str) -> list[CollectedMap]:  # noqa: ARG001  (when to look again)
    return collected(Path(out))


def _on_the_map(job: Job, maps: Sequence[CollectedMap]) -> None:
    jobs = sorted({one.job for one in maps if one.job})
    left, right = st.columns([1.0, 1.0])
    level_dbm = right.selectbox(
        "Served from",
        LEVELS_DBM,
        index=list(LEVELS_DBM).index(-100.0),
        format_func=lambda level: f"{number(level)} dBm",
        key="jobs.level",
        help="Received power of the whole carrier, of the best server, outdoors.",
    )
    own = left.selectbox(
        "Maps of", ["all jobs", *jobs], key=f"jobs.of.{job.id}", disabled=len(jobs) < 2
    )
    shown = [one for one in maps if own in ("all jobs", one.job)]
    placed = [one for one in shown if one.bounds is not None]
    chosen = st.session_state.get(f"jobs.map.{job.id}")
    if placed:
        event = map_view(
            key=KEY,
            background=background_over(united([one.bounds for one in placed if one.bounds])),
            areas=[_marker(one, level_dbm, one.ref == chosen) for one in placed],
            height=420,
            label="Maps of the batch",
        )
        _legend()
        if event is not None and event.kind == "area":
            st.session_state[f"jobs.map.{job.id}"] = chosen = event.area
    found = next((one for one in shown if one.ref == chosen), None)
    if found is not None:
        _facts(found, level_dbm)
    elif placed:
        st.caption("Click a rectangle for what its map says.")
    with st.expander(f"Table of {len(shown):,} maps", icon=":material/table_rows:"):
        st.dataframe(
            [
                {
                    "map": one.title,
                    "job": one.job,
                    "served": one.shares.get(level_dbm),
                    "rsrp": one.facts["median_ss_rsrp_dbm"],
                    "noise": one.facts["noise_db"],
                    "seconds": one.facts["seconds"],
                }
                for one in shown
            ],
            hide_index=True,
            alt="Maps of the batch",
            column_config={
                "map": "Map",
                "job": "Job",
                "served": st.column_config.NumberColumn("Served", format="percent"),
                "rsrp": st.column_config.NumberColumn("Median SS-RSRP, dBm", format="%.1f"),
                "noise": st.column_config.NumberColumn("Noise, dB", format="%.1f"),
                "seconds": st.column_config.NumberColumn("Took, s", format="%.0f"),
            },
        )


def _marker(one: CollectedMap, level_dbm: float, is_chosen: bool) -> AreaMarker:
    assert one.bounds is not None
    share = one.shares.get(level_dbm)
    label = f"{percent(share)}{' ◂' if is_chosen else ''}"
    return AreaMarker(one.ref, label, one.bounds, f"{one.title}\n{one.job}", color_of(share))


def color_of(share: float | None) -> str:
    """The colour of a served share."""
    if share is None:
        return _UNKNOWN
    return next(color for least, color, _ in CLASSES if share >= least)


def _legend() -> None:
    swatches = "".join(
        f'<span style="white-space:nowrap"><i style="display:inline-block;width:.8em;height:.8em;'
        f'border-radius:2px;background:{color};margin:0 .35em 0 0"></i>{words}</span>'
        for _, color, words in reversed(CLASSES)
    )
    st.html(
        '<div style="display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.82rem;opacity:.85">'
        f"<span>Served outdoors:</span>{swatches}</div>"
    )


def _facts(one: CollectedMap, level_dbm: float) -> None:
    facts = one.facts
    with st.container(border=True):
        st.markdown(f"**{plain(one.title)}**  \n:gray[{plain(one.job)}]")
        columns = st.columns(4)
        columns[0].metric("Served", percent(one.shares.get(level_dbm), 1))
        columns[1].metric("Median SS-RSRP", f"{number(facts['median_ss_rsrp_dbm'], 1)} dBm")
        columns[2].metric("Median SS-SINR", f"{number(facts['median_ss_sinr_db'], 1)} dB")
        noise_db = facts["noise_db"]
        columns[3].metric("Noise", "none" if noise_db is None else f"{number(noise_db, 1)} dB")
        said = [
            plain(facts["solver"]),
            f"{facts['sectors']} sectors",
            f"{facts['cells']} cells of {facts['resolution_m']:g} m",
            size(facts["size_bytes"] or 0),
        ]
        if facts["seconds"] is not None:
            said.append(f"made in {duration(facts['seconds'])}")
        st.caption(" · ".join(said))
        with st.container(horizontal=True):
            for name, path in one.files.items():
                if path.is_file():
                    label, words = KNOWN.get(name, (name, "A file of this map."))
                    file_button(path, label, words, f"jobs.collected.{name}")
