"""What the Plan page shows: kept in the session, written into the URL, and taken from a link."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import streamlit as st

from pipelines.desk.draft import Draft
from pipelines.desk.jobs import Job, find_job
from pipelines.desk.sectors import without_lines
from pipelines.map import example_sites, read_rows
from rfplatform.errors import InputError
from rfplatform.geodata.sites import DEFAULT_FREQUENCY_HZ
from ui.context import workspace

How = Literal["one", "side", "difference"]

LINKED = ("plan", "layer", "run", "versus", "how", "at", "view")
"""Query parameters; each is a key of the session with "plan." before it."""

MOST_STEPS = 100
"""Drafts that undo goes back through."""


def key(name: str) -> str:
    """The session's key of a query parameter."""
    return f"plan.{name}"


def get(name: str, default: Any = None) -> Any:  # noqa: ANN401  (of any widget)
    """A value of the page."""
    return st.session_state.get(key(name), default)


def put(name: str, value: Any) -> None:  # noqa: ANN401
    """Set a value of the page."""
    st.session_state[key(name)] = value


def adopt_link() -> None:
    """Take over what the URL says, where it is not what this page wrote there.

    Raises
    ------
    InputError
        If the link names a plan or a run that is not here; the page then shows the default.
    """
    told = {name: st.query_params[name] for name in LINKED if name in st.query_params}
    if told and told != get("link"):
        _open(_draft_of_link(told))
        put("link", told)
        for name in LINKED:
            # A link with a plan is whole: what it does not name is not shown.
            if name != "plan" and (name in told or "plan" in told):
                put(name, told.get(name, ""))
    if get("draft") is None:
        _open(default_draft())


def _draft_of_link(told: Mapping[str, str]) -> Draft | None:
    """The plan that a link names, or that its run was made of; None where that is not known."""
    if "plan" in told:
        return Draft.opened(workspace(), told["plan"])
    if "run" in told:
        job = find_job(workspace(), told["run"])
        with suppress(InputError):
            return draft_of(job)
    return None


def publish_link() -> None:
    """Write what is shown into the URL."""
    values = {name: str(get(name)) for name in LINKED if name != "plan" and get(name)}
    values["plan"] = draft().saved(workspace())
    put("link", values)
    if values != {k: v for k, v in st.query_params.items() if k in LINKED}:
        st.query_params.from_dict(values)


def default_draft() -> Draft:
    """Central Helsinki with its example sites."""
    rows = read_rows(example_sites("helsinki"), DEFAULT_FREQUENCY_HZ)
    return Draft("helsinki", rows=without_lines(rows))


def draft() -> Draft:
    """What is on the table."""
    found: Draft = st.session_state[key("draft")]
    return found


def _open(opened: Draft | None) -> None:
    """Put a draft on the table; what lay there before can be had again by undo."""
    if opened is None:
        return
    before = get("draft")
    if before is None:
        put("draft", opened)
        renew_table()
        return
    if (before.area, before.bbox) != (opened.area, opened.bbox):
        put("view", "")
        put("at", "")
    change(opened)


def open_run(job: Job) -> None:
    """Show a run, with the draft that it was made of on the table, where that is known."""
    with suppress(InputError):
        change(draft_of(job))
    put("run", job.id)


def change(changed: Draft) -> None:
    """Put another draft on the table; the quick map of it is shown, and undo leads back."""
    if changed == draft():
        return
    put("past", [*get("past", []), draft()][-MOST_STEPS:])
    put("future", [])
    put("draft", changed)
    put("run", "")
    renew_table()


def undo() -> None:
    """Back to the draft before."""
    _step("past", "future")


def redo() -> None:
    """Forward again."""
    _step("future", "past")


def _step(take: str, give: str) -> None:
    drafts = list(get(take, []))
    if drafts:
        put(give, [*get(give, []), draft()])
        put("draft", drafts.pop())
        put(take, drafts)
        put("run", "")
        renew_table()


def renew_table() -> None:
    """Have the table of sectors forget what was typed: it is in the draft, or given up."""
    put("table_number", get("table_number", 0) + 1)


def draft_of(job: Job) -> Draft:
    """The draft that a run was made of, or the map that it calibrated.

    Raises
    ------
    InputError
        If the run is no map of a draft.
    """
    if "map" in job.options:
        return draft_of(find_job(workspace(), job.options["map"]))
    if "draft" not in job.options:
        raise InputError(f"{job.title}: is no map of a plan")
    return Draft.from_dict(job.options["draft"])
