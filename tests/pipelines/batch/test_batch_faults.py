"""A batch gives the same maps whatever is done to its processes, its disk and its files.

Real commands, real signals: see `faultloop`, which tries more of it by hand.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import socketserver
import threading
import time
from collections import Counter
from pathlib import Path

import faultloop
import pytest
from faultloop import Bench, Cluster, Trial

from pipelines.batch.cluster import local_cluster, remote_cluster
from pipelines.batch.engine import Engine, SchedulerLostError, Work
from rfplatform.errors import MissingError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.store import Store

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"))


def attempt(bench, fault, seed, *given, least=1):
    """A trial, of which nothing may be amiss."""
    place, trial = bench.place(), Trial(fault.__name__)
    fault(bench, random.Random(seed), place / "out", trial, *given)
    assert trial.violations == []
    assert trial.kills >= least
    return trial


def test_killed_workers_and_tracers_are_replaced(bench):
    """Four kills in one run: two of tracing processes, two of Dask's workers."""
    attempt(bench, faultloop.kill_both, 1, 2, least=3)


def test_a_stopped_command_takes_its_processes_along_and_goes_on(bench):
    """Killed, killed as it wrote, interrupted, and killed again: one line, and no map is hurt."""
    attempt(bench, faultloop.stop_in_turn, 2, least=3)


def test_a_scheduler_that_comes_back_is_found_again(bench):
    attempt(bench, faultloop.lose_scheduler, 5)


def test_a_full_disk_is_told_in_a_line_and_a_larger_one_goes_on(bench):
    try:
        attempt(bench, faultloop.fill_disk, 6)
    except PermissionError as error:
        pytest.skip(str(error))


def test_what_is_damaged_is_named_and_made_again(bench):
    attempt(bench, faultloop.corrupt, 7)


def test_two_batches_share_a_store(bench):
    attempt(bench, faultloop.two_at_once, 8, least=0)


def test_a_broken_extract_is_set_aside_and_read_when_it_is_mended(bench):
    attempt(bench, faultloop.break_extract, 9)


# What a worker makes; the workers import this module, as they do the pipelines.


def live(task: float) -> dict[str, float]:
    time.sleep(task)
    return {"slept": task}


def die(_: float) -> dict[str, float]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def tell_pid(task: float) -> dict[str, int]:
    time.sleep(task)
    return {"pid": os.getpid()}


def lack(_: float) -> dict[str, float]:
    raise MissingError("the bucket does not answer")


@pytest.fixture(scope="module")
def client():
    """A cluster of two workers, which import this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with local_cluster(2) as client:
            yield client


def test_a_worker_that_dies_before_its_answer_is_taken_costs_nothing(client):
    """While the batch is busy with one answer, the worker that has the next one dies."""
    done: dict[str, dict[str, int]] = {}

    def take(work: Work, result: dict[str, int]) -> None:
        if not done:
            time.sleep(1.5)  # the other one ends meanwhile
            for pid in set(client.run(os.getpid).values()) - {result["pid"]}:
                os.kill(pid, signal.SIGKILL)
            time.sleep(1.5)
        done[work.key] = result

    engine = Engine(0, take, lambda work, words: pytest.fail(f"{work.key}: {words}"), lambda: None)
    for key, seconds in (("a", 0.2), ("b", 0.5)):
        engine.add(Work(key, key, tell_pid, seconds))
    engine.run(client)
    assert set(done) == {"a", "b"}


class Exchange(socketserver.ThreadingTCPServer):
    """Lines to a scheduler, of which the one breaks on which an answer is asked a second time."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.address, self._port = f"tcp://127.0.0.1:{self.server_address[1]}", port
        self._asked = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, _) -> None:
        with request, socket.create_connection(("127.0.0.1", self._port)) as there:
            back = threading.Thread(target=self._pump, args=(there, request))
            back.start()
            self._pump(request, there)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                self._asked += b"\xa2op\xa6gather" in part
                if self._asked == 2:
                    break
                target.sendall(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_line_that_breaks_as_an_answer_is_awaited_loses_the_scheduler_and_no_work(bench):
    cluster = Cluster(bench, PYTHONPATH=str(Path(__file__).parent))
    done: list[str] = []
    engine = Engine(
        0,
        lambda work, _: done.append(work.key),
        lambda work, words: pytest.fail(f"{work.key}: {words}"),
        lambda: None,
    )
    for key in "ab":
        engine.add(Work(key, key, live, 0.2))
    try:
        with Exchange(cluster.port) as exchange, remote_cluster(exchange.address) as client:
            client.wait_for_workers(2, timeout=60)
            with pytest.raises(SchedulerLostError, match=r"went away \(in .*gather"):
                engine.run(client)
            exchange.shutdown()
    finally:
        cluster.close()
    assert len(done) == 1
    assert [(work.key, work.attempts) for work in engine.waiting] == [
        (key, 0) for key in "ab" if key not in done
    ]


def test_what_every_task_lacks_stops_the_batch_and_blames_none(client):
    failed: list[str] = []
    engine = Engine(2, lambda *_: None, lambda work, _: failed.append(work.key), lambda: None)
    for i in range(40):
        engine.add(Work(f"w{i}", f"w{i}", lack, 0.0))
    with pytest.raises(MissingError, match="every map fails alike: the bucket does not answer"):
        engine.run(client)
    assert failed == []
    assert len(engine.waiting) == 40


def test_what_kills_its_worker_is_set_aside_and_no_other(client):
    """Two poisonous tasks among twelve others, on two workers."""
    done, failed = Counter[str](), dict[str, str]()
    works = [Work(f"w{i}", f"w{i}", live, 0.05) for i in range(12)]
    works[3:3] = [Work("p1", "p1", die, 0.0), Work("p2", "p2", die, 0.0)]
    engine = Engine(
        1,
        lambda work, _: done.update([work.key]),
        lambda work, words: failed.update({work.key: words}),
        lambda: None,
    )
    for work in works:
        engine.add(work)
    engine.run(client)
    assert set(failed) == {"p1", "p2"}
    assert all("its worker died under it, 2 times" in words for words in failed.values())
    assert done == Counter(f"w{i}" for i in range(12))
    assert {work.key: work.attempts for work in works if work.call is live} == dict.fromkeys(
        done, 1
    )


def test_what_is_moved_into_place_is_on_the_disk_before_and_its_folder_after(tmp_path, monkeypatch):
    """The order that a power cut asks for: contents, name, folder; files before their artifact."""
    events: list[tuple[str, str]] = []
    fsync, replace, link = os.fsync, os.replace, os.link

    def name_of(handle: int) -> str:
        return str(Path(f"/proc/self/fd/{handle}").readlink())

    def synced(handle: int) -> None:
        events.append(("sync", name_of(handle)))
        fsync(handle)

    def replaced(source, target, **options) -> None:
        events.append(("move", os.fspath(target)))
        replace(source, target, **options)

    def linked(source, target, **options) -> None:
        events.append(("move", os.fspath(target)))
        link(source, target, **options)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "link", linked)
    store, local = Store(str(tmp_path / "store")), tmp_path / "a.txt"
    local.write_text("contents")
    file = store.put_file(local)
    store.put_artifact(Artifact("maps/a", "1", "radio-map", (file,)))
    store.put_object("status/a.json", b"{}")

    moves = [i for i, (what, _) in enumerate(events) if what == "move"]
    assert len(moves) == 3
    for begin, move, end in zip([0, *moves[:-1]], moves, [*moves[1:], len(events)], strict=True):
        target = Path(events[move][1])
        assert any(
            what == "sync" and Path(place).name.endswith(target.name)
            for what, place in events[begin:move]
        ), f"{target} has its name before its contents are on the disk"
        after = {place for what, place in events[move:end] if what == "sync"}
        # Its folder, and the folder that holds each folder which was made for it.
        assert str(target.parent) in after
        assert str(target.parent.parent) in after
    assert "/files/" in events[moves[0]][1]
    assert "/artifacts/" in events[moves[1]][1]


def test_a_damaged_file_is_replaced_by_who_puts_it_again(tmp_path):
    store, local = Store(str(tmp_path / "store")), tmp_path / "a.txt"
    local.write_text("contents")
    file = store.put_file(local)
    place = Path(store.place_of(file))
    place.write_text("CONTENTS")
    assert store.put_file(local) == file
    assert place.read_text() == "contents"
    assert File.of(place).sha256 == file.sha256
    shutil.rmtree(tmp_path / "store")
