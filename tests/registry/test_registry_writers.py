"""Several processes at one registry: writers, cleaners, fetchers, and kills in the middle of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store

BEGIN = """
import os, sys, time
from pathlib import Path
from rfplatform.errors import InputError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
folder, number = Path(sys.argv[1]), int(sys.argv[2])
registry = Registry(folder / "home")

def add(ref, contents, kept=True, parents=(), **values):
    name, version = ref.split("@")
    local = folder / f"local-{number}.bin"
    local.write_bytes(contents)
    made = Artifact(name, version, "radio-map", (File.of(local, "a.bin"),), parents, **values)
    return registry.add(made, {"a.bin": local}, kept=kept)

(folder / f"ready-{number}").write_text("")
while not (folder / "go").exists():
    time.sleep(0.002)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def start(folder, *scripts):
    """Start processes, and let them begin at one time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN + script, folder, str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, script in enumerate(scripts)
    ]
    for number, process in enumerate(processes):
        while not (folder / f"ready-{number}").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
    (folder / "go").write_text("")
    return processes


def finish(processes):
    done = [process.communicate(timeout=120) for process in processes]
    for process, (_, errors) in zip(processes, done, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in done]


def test_four_writers_lose_nothing(folder):
    script = """
for i in range(50):
    add(f"maps/n{number}-{i}@1", b"%d %d" % (number, i), parents=(f"inputs/n{i}@1",))
    if i % 5 == 0:
        registry.record([Artifact(f"inputs/n{i}", "1", "dataset")], "/elsewhere")
        registry.entries(limit=10)
"""
    finish(start(folder, *[script] * 4))
    registry = Registry(folder / "home")
    assert registry.count("radio-map") == 200
    assert registry.count("dataset") == 10
    assert registry.verify() == []
    assert len(registry.children("inputs/n7@1")) == 4
    assert len(registry.store.stored_files()) == 200
    assert registry.store.partial_files() == {}
    assert not [p for p in registry.home.iterdir() if p.name.startswith(".")]


def test_of_two_writers_of_a_version_one_wins(folder):
    script = """
for i in range(20):
    try:
        add(f"maps/n{i}@1", b"of %d" % number)
    except InputError as error:
        assert f"maps/n{i}@1 conflicts" in str(error), error
        print("lost", i)
    else:
        print("won", i)
    while not (folder / f"done-{1 - number}-{i - 1}").exists() and i:
        time.sleep(0.001)
    (folder / f"done-{number}-{i}").write_text("")
"""
    first, second = finish(start(folder, script, script))
    registry = Registry(folder / "home")
    for i in range(20):
        winners = [n for n, out in enumerate((first, second)) if f"won {i}\n" in out]
        losers = [n for n, out in enumerate((first, second)) if f"lost {i}\n" in out]
        assert len(winners) == len(losers) == 1
        assert registry.path(f"maps/n{i}", "a.bin").read_text() == f"of {winners[0]}"
    assert registry.verify() == []


def test_writers_of_the_same_all_win(folder):
    script = "[add(f'maps/n{i}@1', b'%d' % i, run={'of': number}) for i in range(20)]"
    finish(start(folder, script, script, script))
    registry = Registry(folder / "home")
    assert registry.count() == 20
    assert registry.verify() == []


def test_no_cleaning_takes_what_is_about_to_be_named(folder):
    # Contents that are dropped at once by one, and put again to be kept by another.
    writer = """
for i in range(60):
    add(f"maps/n{number}-{i}@1", b"contents %d" % ((i + 1) // 2), kept=i % 2 == 0)
"""
    # Someone's files, never named and old, of the same contents.
    orphans = """
for i in range(100):
    local = folder / "orphan" / "a.bin"
    local.parent.mkdir(exist_ok=True)
    local.write_bytes(b"contents %d" % (i % 30))
    try:
        os.utime(registry.store.place_of(registry.store.put_file(local)), (0, 0))
    except FileNotFoundError:
        pass  # gone already
"""
    cleaner = """
while not (folder / "stop").exists():
    registry.gc(older_than_s=5)
    time.sleep(0.002)
"""
    *writers, cleaning = start(folder, writer, writer, writer, orphans, cleaner)
    finish(writers)
    (folder / "stop").write_text("")
    finish([cleaning])
    registry = Registry(folder / "home")
    assert registry.verify() == []
    assert {e.ref for e in registry.entries() if e.kept} == {
        f"maps/n{number}-{i}@1" for number in range(3) for i in range(0, 60, 2)
    }
    registry.gc(older_than_s=-60)
    assert registry.count() == 90
    assert len(registry.store.stored_files()) == 30
    assert registry.store.partial_files() == {}


def test_no_cleaning_of_a_store_takes_what_is_about_to_be_named(folder):
    writer = """
from rfplatform.registry.store import Store
store = Store(str(folder / "out"))
for i in range(100):
    local = folder / f"local-{number}.bin"
    local.write_bytes(b"contents %d" % (i % 4))
    file = store.put_file(local)
    if i % 4 < 2:
        store.put_artifact(Artifact(f"maps/n{number}-{i}", "1", "radio-map", (file,)))
    else:
        try:
            os.utime(store.place_of(file), (0, 0))  # an old orphan, soon to be put again
        except FileNotFoundError:
            pass  # the other writer's, gone already
"""
    cleaner = """
from rfplatform.registry.store import Store
while not (folder / "stop").exists():
    registry.gc(store=Store(str(folder / "out")), older_than_s=5)
"""
    *writers, cleaning = start(folder, writer, writer, cleaner)
    finish(writers)
    (folder / "stop").write_text("")
    finish([cleaning])
    store, registry = Store(str(folder / "out")), Registry(folder / "home")
    assert len(list(store.refs())) == 100
    assert registry.verify(store=store) == []


def test_a_kill_leaves_whole_artifacts_and_orphans_that_gc_finds(folder):
    script = """
for i in range(10_000):
    add(f"maps/n{number}-{i}@1", os.urandom(300_000))
"""
    registry = Registry(folder / "home")
    for attempt in range(4):
        for stale in (*folder.glob("ready-*"), folder / "go"):
            stale.unlink(missing_ok=True)
        before = registry.count()
        processes = start(folder, script.replace("maps/n", f"maps/r{attempt}-"))
        until = time.monotonic() + 60
        while registry.count() < before + 3:
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(0.0017 * attempt)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].communicate()
        assert registry.verify() == []
        assert registry.count() >= before + 3
    # As if the kill had come between a file and its artifact.
    (folder / "orphan.bin").write_bytes(b"orphan")
    registry.store.put_file(folder / "orphan.bin")
    named = {registry.store.place_of(registry.get(e.ref).files[0]) for e in registry.entries()}
    there = registry.store.stored_files()
    left = len(there) - len(named) + len(registry.store.partial_files())
    assert left >= 1
    assert registry.gc().files == 0  # all young
    assert registry.gc(older_than_s=-60).files == left
    assert {f"{registry.store.url}/{place}" for place in registry.store.stored_files()} == named
    assert registry.store.partial_files() == {}
    assert registry.verify() == []


def remote_with(folder, size_bytes):
    source = folder / "big.bin"
    source.write_bytes(os.urandom(size_bytes))
    store = Store(str(folder / "remote"))
    made = Artifact("inputs/big", "1", "dataset", (File.of(source),))
    store.put_file(source)
    return store, store.put_artifact(made)


def test_a_killed_pull_goes_on(folder):
    store, made = remote_with(folder, 300_000)
    slow = """
from rfplatform.registry import fetching
fetching.RANGE_BYTES = 10_000
registry.pull("inputs/big", str(folder / "remote"), progress=lambda *_: time.sleep(0.02))
"""
    (process,) = start(folder, slow)
    registry = Registry(folder / "home")
    part = registry.home / "partial" / f"{made.files[0].sha256}.part"
    while not part.exists() or part.stat().st_size < 50_000:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    got = part.stat().st_size
    assert 50_000 <= got < 300_000
    assert registry.count() == 0
    done = []
    registry.pull("inputs/big", store.url, progress=lambda _, n, __: done.append(n))
    assert done[1] > got  # it began there: 300 kB come in one range
    assert registry.verify() == []
    assert registry.store.partial_files() == {}


def test_who_pulls_the_same_waits(folder):
    remote_with(folder, 200_000)
    script = """
from rfplatform.registry import fetching
fetching.RANGE_BYTES = 10_000
done = []
def slowly(_, n, __):
    done.append(n)
    time.sleep(0.005)
registry.pull("inputs/big", str(folder / "remote"), progress=slowly)
print(len(set(done) - {0, 200_000}))
"""
    told = sorted(int(out) for out in finish(start(folder, script, script, script)))
    assert told == [0, 0, 19]  # one fetched, the others found it
    registry = Registry(folder / "home")
    assert registry.verify() == []
    assert registry.store.partial_files() == {}
    assert Path(registry.path("inputs/big", "big.bin")).stat().st_size == 200_000
