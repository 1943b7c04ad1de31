import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from pipelines.desk.draft import Draft
from pipelines.desk.jobs import (
    STATE,
    STOP,
    cancel,
    find_job,
    list_jobs,
    remove,
    retry,
    slots,
    start_batch,
    start_bench,
    start_calibrate,
    start_map,
)
from pipelines.desk.kinds import KINDS, Order
from pipelines.desk.workspace import Workspace, read_json_file, write_json_file
from pipelines.map import example_sites, read_rows
from rfplatform.errors import InputError, WorkerError

BBOX = "24.936,60.166,24.942,60.1695"
SITE = "24.9386,60.1679,30"
ROWS = tuple(replace(row, row=0) for row in read_rows(example_sites("helsinki"), 3.5e9))
DRAFT = Draft(bbox=BBOX, rows=ROWS[:2], resolution_m=16.0)


@pytest.fixture
def ws(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_JOBS", "1")
    workspace = Workspace.open(tmp_path / "ws")
    yield workspace
    for job in list_jobs(workspace):
        if job.is_active:
            cancel(workspace, job.id, force=True)


def quick(ws, draft=DRAFT, **more):
    return start_map(ws, draft, **{"solver": "tr38901-uma", "formats": (), **more})


def broken(ws):
    """A map that fails as soon as its area is read."""
    (ws.uploads / "0123456789.osm").write_text("<osm/>")
    return quick(ws, replace(DRAFT, area="upload:0123456789.osm", bbox=None))


def slow(ws):
    """A map whose trace takes a while, and its first batch a second or two."""
    draft = replace(DRAFT, rows=DRAFT.rows[:1])
    return start_map(ws, draft, rays_per_sector=5e7, target_noise_db=0.0, formats=())


def awaited(ws, job, what, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while not what(job := find_job(ws, job.id)):
        assert time.monotonic() < deadline, (job, job.log_tail())
        time.sleep(0.05)
    return job


def over(job):
    return job.is_over


def process_of(job):
    return psutil.Process(read_json_file(job.folder / STATE)["pid"])


def is_gone(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(processes, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not all(map(is_gone, processes)):
        time.sleep(0.05)
    return all(map(is_gone, processes))


@pytest.fixture(scope="module")
def held_up():
    """A process that holds the only slot of the workspace that it is told."""
    code = (
        "import sys, fcntl; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    started = []

    def hold(workspace):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(workspace.jobs / ".slot-0")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout.readline() == b"held\n"
        started.append(process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A map job that a process started which is over since, and its workspace."""
    ws = Workspace.open(tmp_path_factory.mktemp("finished") / "ws")
    place = ws.root / "draft.json"
    write_json_file(DRAFT.to_dict(), place)
    code = (
        "import sys; from pipelines.desk.jobs import *; from pipelines.desk.draft import *; "
        "from pipelines.desk.workspace import *; ws = Workspace.open(sys.argv[1]); "
        "draft = Draft.from_dict(read_json_file(Path(sys.argv[2]))); "
        "job = start_map(ws, draft, solver='tr38901-uma', formats=('tif',), title='Two sectors'); "
        "assert job.is_active and job.state in ('queued', 'running'); print(job.id)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(ws.root), str(place)],
        capture_output=True, text=True, check=True, cwd=ws.root,
    )  # fmt: skip
    return ws, awaited(ws, find_job(ws, told.stdout.strip()), over)


def test_the_life_of_a_map_job(finished):
    ws, job = finished
    assert (job.state, job.exit_code, job.share) == ("done", 0, 1.0), job.log_tail()
    assert job.title == "Two sectors"
    assert Draft.from_dict(job.options["draft"]) == DRAFT
    assert job.created <= job.started <= job.ended
    record = json.loads((job.out / "run.json").read_text())
    assert [s["site"] for s in record["sectors"]] == ["Torni", "Torni"]
    assert {"radio_map.zarr", "radio_map.tif"} < set(record["outputs"])
    assert (job.folder / "sites.csv").is_file()
    assert list_jobs(ws, "map") == [job]
    assert list_jobs(ws, "batch") == []
    assert "display_error" not in job.details, job.details
    assert (job.display / "display.json").is_file()


def test_jobs_wait_for_the_slot_in_their_order(ws, held_up):
    holder = held_up(ws)
    first, second = broken(ws), broken(ws)
    assert first.id < second.id
    assert [job.id for job in list_jobs(ws)] == [second.id, first.id]
    for job in (first, second):
        waiting = awaited(ws, job, lambda job: job.message == "Waiting for its turn")
        assert waiting.state == "queued"
        assert waiting.started is None
    assert process_of(first).nice() >= 10

    with pytest.raises(InputError, match="not over yet"):
        remove(ws, first.id)
    with pytest.raises(InputError, match="not over yet"):
        retry(ws, first.id)

    third = quick(ws)
    cancel(ws, third.id)  # before it has said who it is, or after
    third = awaited(ws, third, over)
    assert (third.state, third.exit_code) == ("cancelled", 130)
    assert not third.out.exists()
    cancel(ws, third.id)  # over: nothing comes of it
    assert find_job(ws, third.id) == third

    holder.kill()
    second, first = awaited(ws, second, over), find_job(ws, first.id)
    assert first.is_over
    assert first.started < first.ended <= second.started


def test_a_cancelled_trace_keeps_the_map_of_the_rays_so_far(ws):
    job = awaited(ws, slow(ws), lambda job: job.details.get("batches", 0) >= 1)
    assert job.state == "running"
    assert 0 < job.share < 1
    assert {"rays", "rays_per_s", "left_s"} <= set(job.details)
    family = [process_of(job), *process_of(job).children(recursive=True)]
    assert len(family) >= 2
    cancel(ws, job.id)
    assert (job.folder / STOP).exists()
    assert find_job(ws, job.id).state in ("stopping", "done")
    done = awaited(ws, job, over)
    assert done.state == "done", done.log_tail()
    assert done.details["stopped_by"] == "interrupted"
    record = json.loads((done.out / "run.json").read_text())
    assert record["solver"]["stopped_by"] == "interrupted"
    assert all_gone(family)


def test_the_ray_tracer_dies_with_its_job(ws):
    job = awaited(ws, slow(ws), lambda job: job.details.get("rays"))
    process = process_of(job)
    family = [process, *process.children(recursive=True)]
    assert len(family) >= 2
    os.killpg(process.pid, signal.SIGKILL)
    lost = awaited(ws, job, over)
    assert lost.state == "lost"
    assert lost.message == "its process ended without a word (killed, or out of memory)"
    assert lost.exit_code is None
    assert lost.ended is not None
    assert all_gone(family)

    again = awaited(ws, retry(ws, job.id), lambda job: job.message.startswith("Solving"))
    assert again.options == job.options
    awaited(ws, again, lambda job: process_of(job).children())
    family = [process_of(again), *process_of(again).children(recursive=True)]
    cancel(ws, again.id, force=True)
    forced = awaited(ws, again, over)
    assert forced.state == "cancelled"
    assert not forced.out.exists()
    assert all_gone(family)


def test_a_process_of_the_same_number_is_not_the_job(ws, held_up):
    held_up(ws)
    job = awaited(ws, quick(ws), lambda job: job.message == "Waiting for its turn")
    cancel(ws, job.id)
    job = awaited(ws, job, over)
    (job.folder / STOP).unlink()
    told = read_json_file(job.folder / STATE)
    live = {"state": "running", "pid": os.getpid(), "ended": None, "exit_code": None}
    write_json_file({**told, **live, "create_time": 1e9}, job.folder / STATE)
    assert find_job(ws, job.id).state == "lost"
    started = psutil.Process().create_time()
    write_json_file({**told, **live, "create_time": started}, job.folder / STATE)
    assert find_job(ws, job.id).state == "running"
    (job.folder / STATE).unlink()
    (job.folder / STATE).write_text("{")  # a disk that was full
    assert find_job(ws, job.id).state == "queued"
    about = read_json_file(job.folder / "job.json")
    write_json_file({**about, "created": time.time() - 3600}, job.folder / "job.json")
    assert find_job(ws, job.id).state == "lost"


def test_what_is_wrong_at_once_leaves_nothing(ws, tmp_path):
    faulty = tmp_path / "jobs.csv"
    faulty.write_text("name,area,resolution\na,helsinki,-4\n")
    (ws.uploads / "0123456789.csv").write_text("a,b\n1,2\n")
    wrong = [
        (lambda: quick(ws, solver="raytracd"), "unknown solver"),
        (lambda: quick(ws, Draft(bbox=BBOX)), "no sectors"),
        (lambda: quick(ws, rays_per_sector=-1.0), "rays"),
        (lambda: quick(ws, formats=("jpg",)), "unknown format"),
        (lambda: quick(ws, Draft(area="upload:no.osm", rows=ROWS)), "no such upload"),
        (lambda: quick(ws, Draft(terrain="upload:no.tif", rows=ROWS)), "no such upload"),
        (lambda: start_bench(ws, name="speeed"), "unknown benchmark"),
        (lambda: start_batch(ws, jobs_file=str(faulty)), "resolution"),
        (lambda: start_batch(ws, jobs_file="upload:0123456789.csv"), "upload:0123456789.csv"),
    ]
    for start, words in wrong:
        with pytest.raises(InputError, match=words) as told:
            start()
        assert str(ws.root) not in str(told.value)
        assert list(ws.jobs.iterdir()) == []
    with pytest.raises(InputError):
        find_job(ws, "../drafts")


def test_what_is_wrong_later_fails_in_the_users_words(ws):
    job = awaited(ws, broken(ws), over)
    assert job.state == "failed"
    assert job.exit_code == 2
    assert "upload:0123456789.osm" in job.message
    assert str(ws.root) not in job.message
    assert not job.out.exists()

    remove(ws, job.id)
    assert list(ws.jobs.iterdir()) == [ws.jobs / ".slot-0"]
    assert list_jobs(ws) == []
    with pytest.raises(InputError, match="no job"):
        find_job(ws, job.id)


def test_a_bug_is_told_and_its_traceback_is_in_the_log(ws, held_up):
    holder = held_up(ws)
    job = awaited(ws, quick(ws), lambda job: job.message == "Waiting for its turn")
    (job.folder / "sites.csv").unlink()
    (job.folder / "sites.csv").mkdir()
    holder.kill()
    job = awaited(ws, job, over)
    assert job.state == "failed"
    assert job.message.startswith("unexpected error: IsADirectoryError: ")
    assert str(ws.root) not in job.message
    assert "Traceback" in job.log_tail(100)
    assert len(job.log_tail(2).splitlines()) == 2


def test_a_batch_and_its_retry_share_their_maps(ws, tmp_path):
    jobs = tmp_path / "jobs.csv"
    jobs.write_text(
        "name,area,bbox,site,solver,resolution,formats\n"
        f'a,helsinki,"{BBOX}","{SITE}",free-space,16,tif\n'
        f'b,helsinki,"{BBOX}","24.9,60.1,30",free-space,16,tif\n'
    )
    job = awaited(ws, start_batch(ws, jobs_file=str(jobs), workers=1), over)
    assert (job.state, job.title) == ("done", "jobs.csv"), job.log_tail()
    assert job.message == "done: 1 of 1 maps, 1 set aside"
    assert (job.details["maps"], job.details["made"], job.details["failed"]) == (1, 1, 1)
    assert job.details["failures"][0]["job"] == "b"
    again = awaited(ws, retry(ws, job.id), over)
    assert (again.state, again.details["already"], again.details["made"]) == ("done", 1, 0)
    assert again.details["failed"] == 1
    assert job.out.resolve() == again.out
    third = awaited(ws, retry(ws, job.id), over)
    assert third.details["already"] == 1
    assert job.out.resolve() == again.out.resolve() == third.out
    remove(ws, job.id)
    assert third.out.is_dir()


def test_a_batch_without_a_map_failed(tmp_path, monkeypatch):
    one = {"job": "b", "what": "job", "last_words": f"{tmp_path}/uploads/x.osm: bad"}
    counts = dict.fromkeys(("maps", "done", "made", "already", "empty", "rays", "rays_per_s"), 0)
    record = {**counts, "failed": [one], "warnings": []}
    monkeypatch.setattr("pipelines.batch.run.main", lambda *_, **__: record)
    options = {"jobs_file": "jobs.csv", "workers": None, "retry_failed": False}
    told = []
    with pytest.raises(WorkerError, match=r"^no map could be made: b: upload:x\.osm: bad$"):
        KINDS["batch"].run(Order(Workspace(tmp_path), tmp_path, options), told.append)
    assert told[-1].details["failed"] == 1


def test_a_map_is_calibrated_on_an_upload(finished):
    ws, made = finished
    lines = ["lat;lon;level;pci"]
    lines += [
        f"{60.1665 + i * 1e-4:.5f};{24.9370 + j * 2e-4:.5f};{-85.0 - i - j / 7};7"
        for i in range(20)
        for j in range(20)
    ]
    (ws.uploads / "drive.csv").write_text("\n".join(lines))
    columns = {"latitude": "lat", "longitude": "lon", "rsrp": "level", "cell": "pci"}
    given = {"map_job": made, "measurements": "upload:drive.csv", "cells": {"7": "Torni/1"}}
    with pytest.raises(InputError, match="strength"):
        start_calibrate(ws, **given, columns={**columns, "rsrp": "strength"})
    with pytest.raises(InputError, match="method"):
        start_calibrate(ws, **given, columns=columns, method="guess")
    assert len(list_jobs(ws)) == 1
    job = awaited(ws, start_calibrate(ws, **given, columns=columns, method="offset"), over)
    assert job.state == "done", (job.message, job.log_tail())
    assert job.kind == "calibrate"
    assert job.details["method"] == "offset"
    assert (job.out / "calibration.json").is_file()
    assert "display_error" not in job.details, job.details
    assert (job.display / "display.json").is_file()
    with pytest.raises(InputError, match="no map"):
        start_calibrate(ws, map_job=job, measurements="upload:drive.csv")


def test_a_benchmark_leaves_its_scores(ws):
    job = awaited(ws, start_bench(ws, name="speed:start"), over)
    assert job.state == "done", job.message
    assert json.loads((job.out / "result.json").read_text())["rows"]


def test_slots(monkeypatch):
    for text, cores, number in (
        ("3", 1, 3), ("", 4, 1), ("", 2, 1), ("", 16, 4), ("many", None, 1), ("0", 8, 2)
    ):  # fmt: skip
        monkeypatch.setenv("RFPLATFORM_JOBS", text)
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert slots() == number
