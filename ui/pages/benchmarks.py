"""Benchmarks: every score with its baseline beside it, its target, and how it came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from pipelines import bench
from pipelines.desk.jobs import Job, cancel, list_jobs, start_bench
from pipelines.desk.scores import Scores, all_scores, job_scores, scores_of
from pipelines.desk.workspace import Workspace
from rfplatform.errors import RfplatformError
from rfplatform.registry.registry import Registry
from ui.context import workspace
from ui.jobs.telling import attempt, live, progress, told_fault
from ui.links import page_link
from ui.listed import selection, side_by_side
from ui.markdown import plain
from ui.telling import tell
from ui.words import distinct

BENCHMARK, JOB = "benchmark", "job"
"""Query parameters of what is open, and of the job or report whose scores are meant."""

_FAULT = "benchmarks.fault"
_TABLE = "benchmarks.table"
_FAMILIES = {"physics": "Physics", "speed": "Speed", "maps": "Maps", "oran": "O-RAN"}


def page() -> None:
    """Draw the page."""
    ws = workspace()
    st.header("Benchmarks", anchor=False)
    listed = bench.listed()
    scores = _scores(ws)
    newest = {b["name"]: next(iter(scores_of(scores, b["name"])), None) for b in listed}
    family = st.pills(
        "Family",
        list(dict.fromkeys(_family(b["name"]) for b in listed)),
        format_func=lambda name: _FAMILIES.get(name, name.capitalize()),
        key="family",
        bind="query-params",
        help="What they measure: the physics of traced maps, how fast things are, how good maps "
        "are.",
    )
    shown = sorted(
        (b for b in listed if family in (None, _family(b["name"]))),
        key=lambda b: (
            list(_FAMILIES).index(_family(b["name"]))
            if _family(b["name"]) in _FAMILIES
            else len(_FAMILIES)
        ),
    )
    if not any(newest.values()):
        st.info(
            "Nothing was scored here yet. Choose a benchmark and run it.",
            icon=":material/leaderboard:",
        )
    name = _asked(ws, listed, scores) or next(
        (b["name"] for b in shown if newest[b["name"]]), shown[0]["name"]
    )
    left, right = side_by_side(420)
    with left:
        _list(shown, newest, name)
    with right:
        _details(ws, listed, name, scores_of(scores, name))


def _asked(
    ws: Workspace, listed: Sequence[Mapping[str, str]], scores: Sequence[Scores]
) -> str | None:
    """The benchmark that the URL asks for, by its name or as the first of a job or a report."""
    if BENCHMARK in st.query_params:
        return st.query_params[BENCHMARK]
    wanted = st.query_params.get(JOB)
    scored = (row["benchmark"] for run in scores if run.name == wanted for row in run.rows)
    ordered = (
        b["name"]
        for job in list_jobs(ws, "bench")
        if job.id == wanted
        for b in listed
        if job.options.get("name") in (None, b["name"], _family(b["name"]))
    )
    return next(scored, None) or next(ordered, None)


def _family(name: str) -> str:
    return name.partition(":")[0]


def _scores(ws: Workspace) -> list[Scores]:
    registry = Registry.default()
    try:
        return all_scores(ws, registry)
    except RfplatformError as error:
        st.warning(f"Reports can't be read: {plain(error)}", icon=":material/warning:")
        return job_scores(ws)


def _list(
    listed: Sequence[Mapping[str, str]], newest: Mapping[str, Scores | None], name: str
) -> None:
    import pandas as pd

    names = [b["name"] for b in listed]
    table = pd.DataFrame(
        {
            "Benchmark": names,
            "Targets": [_targets(newest[b]) for b in names],
            "Last run": [_time(newest[b]) for b in names],
        }
    )
    st.session_state[_TABLE] = selection(names.index(name) if name in names else None)
    column = st.column_config
    st.dataframe(
        table,
        key=_TABLE,
        height="content",
        hide_index=True,
        placeholder="–",
        on_select=lambda: _chosen(names),
        selection_mode="single-row",
        alt="Benchmarks",
        column_config={
            "Benchmark": column.TextColumn(width=170, pinned=True),
            "Targets": column.TextColumn(width=100, help="Of the newest run: how many are met."),
            "Last run": column.DatetimeColumn(width=92, format="YYYY-MM-DD"),
        },
    )


def _targets(scores: Scores | None) -> str | None:
    if scores is None:
        return None
    verdicts = [row["met"] for row in scores.rows if row.get("met") is not None]
    if not verdicts:
        return "no target" if any(not row.get("skipped") for row in scores.rows) else "skipped"
    icon = "✓" if all(verdicts) else "✗"
    return f"{icon} {sum(verdicts)} of {len(verdicts)} met"


def _time(scores: Scores | None) -> datetime | None:
    return datetime.fromtimestamp(scores.time, UTC) if scores else None


def _chosen(names: Sequence[str]) -> None:
    rows = st.session_state[_TABLE]["selection"]["rows"]
    if rows:
        st.query_params[BENCHMARK] = names[rows[0]]


# ----------------------------------------------------------------------------------------------
# One of them
# ----------------------------------------------------------------------------------------------


def _details(
    ws: Workspace, listed: Sequence[Mapping[str, str]], name: str, runs: Sequence[Scores]
) -> None:
    about = next((b for b in listed if b["name"] == name), None)
    if about is None:
        st.error(
            f"The link can't be opened: there is no benchmark {plain(name)}.",
            icon=":material/link_off:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        with st.container(width="stretch", gap="xsmall"):
            st.subheader(plain(name), anchor=False)
            st.markdown(plain(about["summary"]))
            st.caption(f"Baseline: {plain(about['baseline'])}")
        if st.button(
            "Run",
            icon=":material/play_arrow:",
            type="primary",
            help="On this machine, which other work slows down: from a second to many minutes. "
            "It goes on when you close the page.",
        ):
            _start(ws, name)
    _watched(ws, name)
    if not runs:
        st.caption(
            f"No scores yet. Run it here, or with `rfplatform bench {name} --register`, which "
            "keeps them in the registry."
        )
        return
    run = _run(runs)
    _origin(run)
    rows = [row for row in run.rows if row.get("metric") and not row.get("skipped")]
    if rows:
        _table(rows)
    _notes(run.rows)
    if rows:
        _plots(rows, runs)


def _start(ws: Workspace, name: str) -> None:
    try:
        start_bench(ws, name=name)
        if JOB in st.query_params:
            del st.query_params[JOB]
    except RfplatformError as error:
        tell(error)


def _run(runs: Sequence[Scores]) -> Scores:
    if len(runs) == 1:
        return runs[0]
    names = {run.name: run for run in runs}
    wanted = st.query_params.get(JOB)
    called = distinct(
        {run.name: f"{_moment(run.time)}, rfplatform {run.version or '?'}" for run in runs}
    )
    chosen = st.selectbox(
        "Scores of",
        list(called),
        index=list(called).index(wanted) if wanted in called else 0,
        format_func=called.__getitem__,
        help="The newest run first.",
        key=f"benchmarks.run.{runs[0].name}",
        width=360,
    )
    return names.get(chosen, runs[0])


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d %b %Y, %H:%M} UTC"


def _origin(run: Scores) -> None:
    parts = [
        f"Scored {_moment(run.time)}",
        f"rfplatform {run.version}" if run.version else "",
        f"Python {run.python}" if run.python else "",
        f"{run.cpus} CPUs" if run.cpus else "",
        run.platform,
    ]
    st.caption(" · ".join(plain(part) for part in parts if part))
    if run.source == "report":
        page_link("registry", "Open the report", ":material/lab_profile:", artifact=run.name)
    if run.differences:
        st.caption(
            f":material/info: Measured with {' and '.join(run.differences)}: compare with what is "
            "measured here only with care."
        )
    if run.given:
        files = ", ".join(plain(value) for value in run.given.values())
        st.caption(f":material/attach_file: On files of your own: {files}")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from ui.charts.scores import columns, table

    frame = table(rows)
    if len(set(frame["Baseline is"])) == 1:
        frame = frame.drop(columns="Baseline is")
    st.dataframe(
        frame,
        hide_index=True,
        column_config=columns(rows),
        height="content" if len(frame) <= 12 else 460,
        alt="Scores, each beside its baseline",
    )


def _notes(rows: Sequence[Mapping[str, Any]]) -> None:
    skips = {row["case"]: row["skipped"] for row in rows if row.get("skipped")}
    notes = {row["case"]: row["note"] for row in rows if row.get("note")}
    for case, reason in skips.items():
        where = "" if case == "*" else f" ({plain(case)})"
        st.warning(f"Skipped{where}: {plain(reason)}", icon=":material/skip_next:")
    if notes:
        with st.expander("Notes", icon=":material/notes:"):
            for case, note in notes.items():
                st.markdown(f"**{plain(case)}:** {plain(note)}")


def _plots(rows: Sequence[Mapping[str, Any]], runs: Sequence[Scores]) -> None:
    from ui.charts.scores import by_case, metric_of

    metrics = list(dict.fromkeys(metric_of(row) for row in rows if row.get("value") is not None))
    if not metrics:
        return
    name = rows[0]["benchmark"]
    metric = metrics[0]
    if len(metrics) > 1:
        metric = st.selectbox(
            "Plot",
            metrics,
            key=f"benchmarks.metric.{name}",
            width=360,
            help="One metric at a time.",
        )
    meant = [row for row in rows if metric_of(row) == metric]
    st.altair_chart(
        by_case(meant), width="stretch", alt=f"{metric}: score and baseline of each case"
    )
    _history(meant, metric, runs)


def _history(rows: Sequence[Mapping[str, Any]], metric: str, runs: Sequence[Scores]) -> None:
    """How a score went from run to run, where there are several on the same files."""
    from ui.charts.scores import metric_of, over_time

    cases = [str(row["case"]) for row in rows]
    told = {
        case: [
            ({"time": run.time, "version": run.version, "platform": run.platform}, row)
            for run in runs
            for row in run.rows
            if row["case"] == case and row.get("metric") and metric_of(row) == metric
            and row.get("value") is not None
        ]
        for case in cases
    }  # fmt: skip
    told = {case: found for case, found in told.items() if len(found) > 1}
    if not told:
        return
    st.markdown("**From run to run**")
    case = next(iter(told))
    if len(told) > 1:
        case = st.selectbox(
            "Case", list(told), key=f"benchmarks.case.{rows[0]['benchmark']}", width=360
        )
    st.altair_chart(over_time(told[case]), width="stretch", alt=f"{metric} of {case}, run by run")


# ----------------------------------------------------------------------------------------------
# At work
# ----------------------------------------------------------------------------------------------


def _watched(ws: Workspace, name: str) -> None:
    """Its newest job; looked at again each second while it is at work."""
    active = any(job.is_active for job in _jobs(ws, name)[:1])
    live(lambda: _progress(ws, name, active), active=active)


def _jobs(ws: Workspace, name: str) -> list[Job]:
    """Jobs that run this benchmark, alone or with others; the newest first."""
    meant = (None, name, _family(name))
    return [job for job in list_jobs(ws, "bench") if job.options.get("name") in meant]


def _progress(ws: Workspace, name: str, was_active: bool) -> None:
    told_fault(_FAULT)
    job = next(iter(_jobs(ws, name)), None)
    if job is None:
        return
    if job.is_active:
        with st.container(border=True, gap="xsmall"):
            progress(job)
            st.button(
                "Stop",
                icon=":material/stop_circle:",
                disabled=job.state == "stopping",
                help="Nothing is left of an unfinished benchmark.",
                on_click=attempt,
                args=(_FAULT, cancel, ws, job.id),
            )
    elif was_active:
        st.rerun()  # The whole page: there are scores now.
    elif job.state in ("failed", "lost"):
        tell(job.message, before="The last run failed: ")
