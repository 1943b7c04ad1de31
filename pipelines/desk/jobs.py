"""Long work in processes of its own, which outlive the dashboard; all that is known is in files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pipelines.desk.draft import Draft
from pipelines.desk.kinds import Order, find_kind
from pipelines.desk.workspace import Workspace, read_json_file, write_json_file
from pipelines.map import FORMATS
from rfplatform.errors import InputError, RfplatformError
from rfplatform.staging import staged

State = Literal["queued", "running", "stopping", "done", "failed", "cancelled", "lost"]

OVER = frozenset({"done", "failed", "cancelled", "lost"})
ABOUT, STATE, LOG, STOP = "job.json", "state.json", "log.txt", "stop"
"""In a job's folder: what is fixed, how far it is, what its process says, the wish that it ends."""

VARIABLE = "RFPLATFORM_JOBS"
CORES_PER_JOB = 4
STARTS_WITHIN_S = 60.0
"""A process that has not said who it is for so long never will."""

PATIENCE_S = 10.0
"""Time that a job has to end by itself, before another wish ends its process."""

PARTING_S = 3.0
CLOCK_STEPS_S = 10.0
"""By which the start of a process may seem to move, when the clock is set."""

LOG_BYTES = 1 << 16
"""Of a log's end, that its last lines are sought in."""


@dataclass(frozen=True)
class Job:
    """Long work, as it stood when it was looked at.

    Attributes
    ----------
    id : str
        By which jobs sort in the order of their making.
    kind : str
        Of `pipelines.desk.kinds.KINDS`.
    title : str
    options : mapping
        What the ``start_...`` function of the kind was given, as plain JSON values.
    state : str
        "stopping" is between the wish to cancel and the end; "lost" a process that is gone
        without a word.
    message : str
        What it does now, or why it failed, in one line.
    share, noise_db : float or None
        Of the work, 0..1; of a trace so far. None: not known.
    created, started, ended : float, float or None, float or None
        Unix seconds.
    exit_code : int or None
        None where it is not over, or is lost.
    folder : Path
    details : mapping
        Of a trace: "rays", "rays_budget", "rays_per_s", "batches", "num_batches", "elapsed_s",
        "left_s", and at the end "stopped_by". Of a batch: "maps", "done", "already", "failed",
        "running", "waiting", "scenes_waiting", "rays", "rays_per_s", "left_s", "now", and at the
        end "failures". Of maps, at the end: "warnings".
    """

    id: str
    kind: str
    title: str
    options: Mapping[str, Any]
    state: State
    message: str
    share: float | None
    noise_db: float | None
    created: float
    started: float | None
    ended: float | None
    exit_code: int | None
    folder: Path
    details: Mapping[str, Any]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in OVER

    @property
    def is_active(self) -> bool:
        """Whether it waits, works or is about to end."""
        return not self.is_over

    @property
    def out(self) -> Path:
        """Where its results are."""
        return self.folder / "out"

    @property
    def display(self) -> Path:
        """Where what is shown of its map is."""
        return self.folder / "display"

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that its process said."""
        try:
            with (self.folder / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def slots() -> int:
    """Jobs that may compute at once: one for every four cores, or what RFPLATFORM_JOBS says."""
    asked = os.environ.get(VARIABLE, "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, (os.cpu_count() or 1) // CORES_PER_JOB)


# ----------------------------------------------------------------------------------------------
# Start
# ----------------------------------------------------------------------------------------------


def start_map(
    ws: Workspace,
    draft: Draft,
    *,
    title: str = "",
    solver: str = "raytraced",
    rays_per_sector: float | None = None,
    target_noise_db: float | None = None,
    model: str = "",
    formats: Sequence[str] = tuple(FORMATS),
) -> Job:
    """Start a map of a draft.

    Parameters
    ----------
    ws : Workspace
    draft : Draft
    title : str
        By default the area's name.
    solver, rays_per_sector, target_noise_db, model
        See `pipelines.map.Config`; None is its default.
    formats : sequence of str
        Of `pipelines.map.FORMATS`; zarr, which is shown and calibrated, is written at any rate.

    Raises
    ------
    InputError
        Anything wrong that can be known at once; then no job is left.
    """
    options = {
        "draft": draft.to_dict(),
        "solver": solver,
        "rays_per_sector": rays_per_sector,
        "target_noise_db": target_noise_db,
        "model": model,
        "formats": list(dict.fromkeys(("zarr", *formats))),
    }
    return _start(ws, "map", title or f"Map of {draft.area}", options)


def start_calibrate(
    ws: Workspace,
    *,
    map_job: Job,
    measurements: str,
    columns: Mapping[str, str] | None = None,
    method: str = "auto",
    cells: Mapping[str, str] | None = None,
    title: str = "",
) -> Job:
    """Start the calibration of a finished map on a drive test.

    Parameters
    ----------
    ws : Workspace
    map_job : Job
    measurements : str
        "upload:NAME", or a path.
    columns : mapping, optional
        Fields of `rfplatform.formats.drive_test.Columns` to columns; by default they are found by
        their names.
    method : str
    cells : mapping, optional
        Measured cells to sectors' labels ("site/sector"); by default found by their names.
    title : str
        By default the map's, and "calibrated".

    Raises
    ------
    InputError
        Anything wrong that can be known at once; then no job is left.
    """
    if map_job.kind != "map":
        raise InputError(f"{map_job.title}: is no map that can be calibrated")
    options = {
        "map": map_job.id,
        "measurements": _absolute(ws, measurements),
        "columns": {name: column for name, column in (columns or {}).items() if column},
        "method": method,
        "cells": dict(cells or {}),
    }
    return _start(ws, "calibrate", title or f"{map_job.title}, calibrated", options)


def start_batch(
    ws: Workspace, *, jobs_file: str, workers: int | None = None, title: str = ""
) -> Job:
    """Start a batch of maps.

    Parameters
    ----------
    ws : Workspace
    jobs_file : str
        "upload:NAME", or a path.
    workers : int, optional
        By default as many as the machine holds.
    title : str
        By default the file's name.

    Raises
    ------
    InputError
        Anything wrong with the jobs; then no job is left.
    """
    options = {
        "jobs_file": _absolute(ws, jobs_file),
        "workers": workers,
        "retry_failed": False,
    }
    return _start(ws, "batch", title or Path(jobs_file).name, options)


def start_bench(ws: Workspace, *, name: str | None, title: str = "") -> Job:
    """Start a benchmark ("speed:start"), a family of them ("speed"), or all (None).

    Raises
    ------
    InputError
        If there is none of that name; then no job is left.
    """
    return _start(ws, "bench", title or name or "All benchmarks", {"name": name})


def _absolute(ws: Workspace, text: str) -> str:
    """An upload as it is named, a path from anywhere."""
    return text if ws.resolved(text) != text else str(Path(text).expanduser().absolute())


def _start(
    ws: Workspace,
    kind: str,
    title: str,
    options: Mapping[str, Any],
    *,
    results_of: Job | None = None,
) -> Job:
    """Check the options, make the job's folder and start its process.

    The results of an earlier job, if one is given, move to the new one, and a link is left.
    """
    check = find_kind(kind).check
    name, created = _new_id(ws)
    folder = ws.jobs / name
    with staged(folder) as part:
        part.mkdir()
        order = Order(ws, part, options)
        try:
            check(order)
        except RfplatformError as error:
            raise InputError(order.own_words(error)) from error
        about = {"id": name, "kind": kind, "title": title, "created": created, "options": options}
        write_json_file(about, part / ABOUT)
        waiting = {"state": "queued", "message": "Starting"}
        write_json_file(waiting, part / STATE)
    if results_of is not None and results_of.out.is_dir():
        held = results_of.out.resolve()
        held.rename(folder / "out")
        held.symlink_to(folder / "out")
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.desk.job_process", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    # Else it would stay among the processes after its end, for as long as this one lives.
    threading.Thread(target=process.wait, name=f"awaits-{name}", daemon=True).start()
    return find_job(ws, name)


def _new_id(ws: Workspace) -> tuple[str, float]:
    """A name that no job has, by the time; and that."""
    while True:
        created = time.time()
        moment = f"{datetime.fromtimestamp(created, UTC):%Y%m%d-%H%M%S}"
        name = f"{moment}-{int(created % 1.0 * 65536):04x}"
        if not (ws.jobs / name).exists():
            return name, created


# ----------------------------------------------------------------------------------------------
# Look
# ----------------------------------------------------------------------------------------------


def find_job(ws: Workspace, id: str) -> Job:  # noqa: A002  (what it is called everywhere)
    """The job of an id.

    Raises
    ------
    InputError
        If there is none.
    """
    found = _read(ws.inside(ws.jobs, id))
    if found is None:
        raise InputError(f"no job {id!r} here: it was removed, or ran on another server")
    return found


def list_jobs(ws: Workspace, kind: str | None = None) -> list[Job]:
    """All jobs, or those of a kind; the newest first."""
    folders = sorted((f for f in ws.jobs.iterdir() if not f.name.startswith(".")), reverse=True)
    found = [_read(folder) for folder in folders]
    return [job for job in found if job is not None and kind in (None, job.kind)]


def _read(folder: Path) -> Job | None:
    about = read_json_file(folder / ABOUT)
    if about is None:
        return None
    told = _told(folder, about["created"])
    return Job(
        id=folder.name,
        kind=about["kind"],
        title=about["title"],
        options=about["options"],
        state=told["state"],
        message=told["message"],
        share=told.get("share"),
        noise_db=told.get("noise_db"),
        created=about["created"],
        started=told.get("started"),
        ended=told.get("ended"),
        exit_code=told.get("exit_code"),
        folder=folder,
        details=told.get("details") or {},
    )


def _told(folder: Path, created: float) -> dict[str, Any]:
    """What the job's process wrote last, and what is to be thought of it."""
    told = _state(folder)
    if told["state"] in OVER:
        return told
    lives = _lives(told, created)
    if not lives:
        told = _state(folder)  # it may have said its last word meanwhile
        if told["state"] in OVER:
            return told
    is_unwanted = (folder / STOP).exists()
    if lives:
        return {**told, "state": "stopping", "message": "Stopping"} if is_unwanted else told
    ended = {"ended": told.get("heartbeat") or created}
    if is_unwanted:
        return {**told, **ended, "state": "cancelled", "message": "cancelled"}
    words = "its process ended without a word (killed, or out of memory)"
    return {**told, **ended, "state": "lost", "message": words}


def _state(folder: Path) -> dict[str, Any]:
    return {"state": "queued", "message": "Starting", **(read_json_file(folder / STATE) or {})}


def _lives(told: Mapping[str, Any], created: float) -> bool:
    if told.get("pid") is None:
        return time.time() - created < STARTS_WITHIN_S
    return _process(told) is not None


def _process(told: Mapping[str, Any]) -> Any:  # noqa: ANN401  (psutil has no types)
    """The process that a state is of; None where it is gone, even if another has its number."""
    import psutil

    if told.get("pid") is None:
        return None
    try:
        process = psutil.Process(told["pid"])
        moved_s = abs(process.create_time() - told["create_time"])
        is_it = moved_s < CLOCK_STEPS_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_it else None


# ----------------------------------------------------------------------------------------------
# Change
# ----------------------------------------------------------------------------------------------


def cancel(ws: Workspace, id: str, *, force: bool = False) -> None:  # noqa: A002
    """Ask a job to end; one that is over is left as it is.

    A ray-traced map is written with the rays so far, and ends "done" with "stopped_by"
    "interrupted"; a batch keeps the maps that are finished; anything else leaves nothing.

    Parameters
    ----------
    ws : Workspace
    id : str
    force : bool
        End its processes at once, which another call does, too, `PATIENCE_S` after the first.

    Raises
    ------
    InputError
        If there is no such job.
    """
    job = find_job(ws, id)
    if job.is_over:
        return
    stop = job.folder / STOP
    asked_s = time.time() - stop.stat().st_mtime if stop.exists() else None
    if asked_s is None:
        stop.touch()
    process = _process(_state(job.folder))
    if process is None:  # it looks for the wish when it starts
        return
    if force or (asked_s is not None and asked_s >= PATIENCE_S):
        _end(process)
    elif asked_s is None:
        _signal(process, signal.SIGINT)


def _end(process: Any) -> None:  # noqa: ANN401  (psutil has no types)
    """End a job's process and all that it started."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        family = process.children(recursive=True)
        _signal(process, signal.SIGTERM)
        with suppress(psutil.TimeoutExpired):
            process.wait(PARTING_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for relative in family:
            _signal(relative, signal.SIGKILL)


def _signal(process: Any, number: signal.Signals) -> None:  # noqa: ANN401
    import psutil

    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def retry(ws: Workspace, id: str) -> Job:  # noqa: A002
    """Start the same again, as a new job.

    The maps of a batch move to the new job, which makes only what is missing, and tries again what
    was set aside.

    Raises
    ------
    InputError
        If there is no such job, it is not over, or its options serve no more.
    """
    job = find_job(ws, id)
    _require_over(job)
    if job.kind != "batch":
        return _start(ws, job.kind, job.title, job.options)
    if job.out.is_dir():
        _require_over(find_job(ws, job.out.resolve().parent.name))  # whose the maps are by now
    options = {**job.options, "retry_failed": True}
    return _start(ws, job.kind, job.title, options, results_of=job)


def remove(ws: Workspace, id: str) -> None:  # noqa: A002
    """Remove a job with its results.

    Raises
    ------
    InputError
        If there is no such job, or it is not over.
    """
    job = find_job(ws, id)
    _require_over(job)
    gone = job.folder.with_name(f".{job.id}.removed")
    job.folder.rename(gone)  # so that nobody sees half of it
    shutil.rmtree(gone, ignore_errors=True)


def _require_over(job: Job) -> None:
    if job.is_active:
        raise InputError(f"{job.title}: is not over yet; cancel it first")
