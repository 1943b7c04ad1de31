"""The map that is on the screen, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from pipelines.desk.display import read_display
from pipelines.desk.draft import Draft
from pipelines.desk.jobs import Job, find_job, list_jobs
from rfplatform.errors import InputError
from ui.context import previews, workspace
from ui.plan import state
from ui.urls import Kind


@dataclass(frozen=True, eq=False)
class Shown:
    """A map on the screen.

    Attributes
    ----------
    kind, name : str
        Of its tiles, see `ui.urls.tile_url`.
    folder : Path
        Its display.
    display : mapping
        What ``display.json`` holds.
    title : str
    """

    kind: Kind
    name: str
    folder: Path
    display: Mapping[str, Any]
    title: str

    @property
    def layers(self) -> dict[str, Mapping[str, Any]]:
        """By their names."""
        return {layer["name"]: layer for layer in self.display["layers"]}


def quick(draft: Draft) -> tuple[Shown | None, str]:
    """The quick map of a draft, made if it is not there (None without sites); its area's key.

    Raises
    ------
    RfplatformError
        Why there is none.
    """
    if not draft.rows:
        return None, previews().area(draft)
    # Most runs of the script change nothing of the draft: they need not wait for others' maps.
    known = state.get("quick")
    if known is None or known[0] != draft or read_display(_preview(known[1])) is None:
        known = (draft, *previews().map(draft))
        state.put("quick", known)
    _, name, area = known
    return _opened("previews", name, _preview(name), "Quick map"), area


def _preview(name: str) -> Path:
    return workspace().previews / name


def of_run(run: str) -> Shown:
    """The map of a finished run.

    Raises
    ------
    InputError
        If there is none.
    """
    job = find_job(workspace(), run)
    if job.state != "done":
        raise InputError(f"{job.title}: {job.state}; there is no map to show")
    if read_display(job.display) is None:
        previews().display(job.out, job.display)
    return _opened("jobs", job.id, job.display, job.title)


def difference(first: Shown, second: Shown) -> Shown:
    """The second map less the first.

    Raises
    ------
    InputError
        If they have nothing in common.
    """
    name = previews().difference(first.folder, second.folder, (first.title, second.title))
    title = f"{second.title} − {first.title}"
    return _opened("previews", name, _preview(name), title)


def finished_runs() -> list[Job]:
    """Maps that can be shown, the newest first."""
    return [
        job
        for job in list_jobs(workspace())
        if job.kind in ("map", "calibrate") and job.state == "done"
    ]


def _opened(kind: Kind, name: str, folder: Path, title: str) -> Shown:
    display = _display(str(folder), (folder / "display.json").stat().st_mtime_ns)
    return Shown(kind, name, folder, display, title)


@st.cache_data(max_entries=64, show_spinner=False)
def _display(folder: str, _changed: int) -> Mapping[str, Any]:
    found = read_display(Path(folder))
    if found is None:
        raise InputError("the map is gone; make it again")
    return found
