# ruff: noqa: T201  (a command of its own)
"""Break running batches at random moments, and look whether the same maps come out.

    python tests/pipelines/batch/faultloop.py --times 100 [--kind worker] [--seed 7]

Every trial is a real command in its own folder, with real signals to real processes. What it leaves
is compared, byte for byte, with an undisturbed run. Prints a line for each trial and a summary;
exits with 1 if anything was not as it has to be. Nothing is resumed.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pipelines.registry import clean, verify
from rfplatform.errors import InputError, MissingError
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store

RFPLATFORM = str(Path(sys.executable).with_name("rfplatform"))
DASK = str(Path(sys.executable).with_name("dask"))
MARK = "FAULTLOOP_RUN"
"""Environment variable by which every process that came of a command is found, orphans as well."""

ENOUGH_S = 240.0
"""For a command to finish, on a machine with a lot else to do."""
GONE_S = 5.0
"""For the processes of a command to follow it."""

SITES = "11.5715,48.1412,25;11.5760,48.1436,25;11.5795,48.1460,25"
JOBS = {
    "closed": "name,area,site,solver,tile_m,tile_margin_m,tile_overlap_m,resolution,formats\n"
    f'c,town.geojson,"{SITES}",tr38901-umi,240,160,16,8,tif\n',
    "traced": "name,area,site,solver,tile_m,tile_margin_m,tile_overlap_m,resolution,rays,"
    "target_noise,formats\n"
    f'r,town.geojson,"{SITES}",raytraced,320,80,16,8,2e5,0,tif\n',
}


# ----------------------------------------------------------------------------------------------
# A town, its jobs, and the truth
# ----------------------------------------------------------------------------------------------


Ring = list[list[float]]


def houses() -> list[tuple[Ring, float]]:
    """A hundred and more in rows, with their heights."""
    rnd, found = random.Random(1), []
    for i in range(12):
        for j in range(12):
            x, y = 11.57 + 0.0009 * i, 48.14 + 0.0006 * j
            w, h = 0.0003 + 0.0002 * rnd.random(), 0.0002 + 0.0001 * rnd.random()
            ring = [[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]]
            found.append((ring, round(5 + 20 * rnd.random(), 1)))
    return found


def write_town(path: Path) -> None:
    """Write the houses as GeoJSON."""
    features = [
        {
            "type": "Feature",
            "properties": {"building": "yes", "height": height_m},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }
        for ring, height_m in houses()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def write_extract(path: Path) -> None:
    """Write the houses as an OpenStreetMap extract."""
    import osmium
    from osmium.osm.mutable import Node, Way

    writer = osmium.SimpleWriter(str(path))
    number = 0
    nodes, ways = [], []
    for ring, height_m in houses():
        first = number + 1
        for corner in ring[:-1]:
            number += 1
            nodes.append(Node(id=number, location=tuple(corner), version=1))
        refs = [*range(first, number + 1), first]
        tags = {"building": "yes", "height": str(height_m)}
        ways.append(Way(id=len(ways) + 1, nodes=refs, tags=tags, version=1))
    for node in nodes:
        writer.add_node(node)
    for way in ways:
        writer.add_way(way)
    writer.close()


Truth = dict[str, tuple[str, dict[str, str]]]
"""For every artifact its digest, and the SHA-256 of its files."""


def truth_of(store: Store) -> Truth:
    """What a store says that it holds."""
    found = {}
    for ref in store.refs():
        artifact = store.artifact(ref)
        found[ref] = artifact.digest(), {file.path: file.sha256 for file in artifact.files}
    return found


@dataclass
class Bench:
    """A folder for trials, with what comes out where nothing goes wrong."""

    folder: Path
    truth: dict[str, Truth] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    trials: int = 0

    def __post_init__(self) -> None:
        # What a shell starts in the background ignores Ctrl-C, and so would the commands.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_town(self.folder / "town.geojson")
        for name, text in JOBS.items():
            self.jobs(name).write_text(text)

    def jobs(self, name: str) -> Path:
        return self.folder / f"{name}.csv"

    def know(self, name: str) -> None:
        """Run a jobs file once without any fault, unless that was done."""
        if name in self.truth:
            return
        out = self.folder / f"truth-{name}"
        command = Command(self, self.jobs(name), out)
        code = command.wait()
        if code:
            raise AssertionError(f"an undisturbed run exits with {code}: {command.said()}")
        self.seconds[name] = command.seconds
        self.truth[name] = truth_of(Store(str(out)))

    def place(self) -> Path:
        """An own folder for a trial."""
        self.trials += 1
        place = self.folder / f"trial-{self.trials}"
        place.mkdir()
        return place


# ----------------------------------------------------------------------------------------------
# Commands and their processes
# ----------------------------------------------------------------------------------------------


class Command:
    """A running ``rfplatform batch``, in a process group and with a temporary folder of its own."""

    def __init__(self, bench: Bench, jobs: Path, out: Path, *options: str, tmp: Path | None = None):
        self.mark = secrets.token_hex(8)
        self.tmp = tmp or bench.folder / f"tmp-{self.mark}"
        self.tmp.mkdir(exist_ok=True)
        self.error, self.output = (bench.folder / f"{self.mark}.{n}" for n in ("err", "out"))
        if "--scheduler" not in options and "--workers" not in options:
            options = ("--workers", "1", *options)
        self.started = time.monotonic()
        with self.error.open("wb") as err, self.output.open("wb") as out_file:
            self.process = subprocess.Popen(
                [RFPLATFORM, "batch", str(jobs), "--out", str(out), "--json", *options],
                env=environment(bench, self.mark, self.tmp),
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err,
                start_new_session=True,
            )
        self.seconds = 0.0

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def wait(self, timeout_s: float = ENOUGH_S) -> int:
        """Its exit code; a command that hangs is ended, and -99."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            end_all(self.mark)
            self.process.wait()
            code = -99
        self.seconds = time.monotonic() - self.started
        return code

    def said(self) -> str:
        return self.error.read_text(errors="replace").strip()

    def told(self) -> dict[str, object]:
        return json.loads(self.output.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        return processes(self.mark, "spawn_main")

    def tracers(self) -> list[psutil.Process]:
        return processes(self.mark, "propagation.raytraced")

    def left_behind(self) -> list[str]:
        """Temporary folders that are still there."""
        return sorted(p.name for p in self.tmp.iterdir() if p.name.startswith("rfplatform-"))


def environment(bench: Bench, mark: str, tmp: Path) -> dict[str, str]:
    return {
        **os.environ,
        MARK: mark,
        "TMPDIR": str(tmp),
        "RFPLATFORM_HOME": str(bench.folder / "home"),
    }


def processes(mark: str, word: str = "") -> list[psutil.Process]:
    """All that came of a command and live, with a word in their command lines."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if (
                process.environ().get(MARK) == mark
                and process.status() != psutil.STATUS_ZOMBIE
                and word in " ".join(process.cmdline())
            ):
                found.append(process)
    return found


def end_all(mark: str) -> None:
    for process in processes(mark):
        with suppress(psutil.Error):
            process.kill()


def survivors(mark: str, within_s: float = GONE_S) -> list[str]:
    """Processes of a command that is over which outlive it; they are ended."""
    until = time.monotonic() + within_s
    while (found := processes(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    told = []
    for process in found:
        with suppress(psutil.Error):
            told.append(f"process outlives its command: {' '.join(process.cmdline())[:120]}")
    end_all(mark)
    return told


def wait_for(what: Callable[[], object], command: Command, pause_s: float = 0.05) -> bool:
    """Until something is so; False if the command is over before."""
    until = time.monotonic() + ENOUGH_S
    while not what():
        if command.over or time.monotonic() > until:
            return False
        time.sleep(pause_s)
    return True


def some_moment(bench: Bench, rnd: random.Random, out: Path, jobs: str, command: Command) -> None:
    """Wait until so many of the maps that are to be made exist, or for a part of the start."""
    maps = [ref for ref in bench.truth[jobs] if ref.startswith("maps/")]
    wanted = rnd.randrange(-len(maps) // 3, len(maps))
    if wanted < 0:
        time.sleep(rnd.uniform(0.0, bench.seconds[jobs] / 3))
        return
    folder = out / "artifacts" / "maps"
    wait_for(lambda: len(list(folder.glob("*/*.json"))) >= wanted, command)
    time.sleep(rnd.uniform(0.0, 1.0))


# ----------------------------------------------------------------------------------------------
# What has to be so afterwards
# ----------------------------------------------------------------------------------------------


def whole_so_far(out: Path) -> list[str]:
    """What exists in a store must be whole at any time, also right after a kill."""
    store, found = Store(str(out)), []
    for ref in store.refs() if out.is_dir() else ():
        try:
            found += store.faults(store.artifact(ref))
        except (InputError, MissingError) as error:
            found.append(str(error))
    for name in ("catalog.parquet", "failures.csv"):
        path = out / name
        if path.exists() and not path.stat().st_size:
            found.append(f"{name} is empty")
    return found


def finished(bench: Bench, jobs: str, out: Path, command: Command, code: int) -> list[str]:
    """What is wrong with a store after a command that ended by itself and made everything."""
    found = survivors(command.mark)
    if code:
        return [*found, f"exit {code}: {command.said()[-300:]}"]
    if command.said():
        found.append(f"it says {command.said()[-300:]!r}")
    found += [f"left {name} in the temporary folder" for name in command.left_behind()]
    store, truth = Store(str(out)), bench.truth[jobs]
    try:
        here = truth_of(store)
    except (InputError, MissingError) as error:
        return [*found, str(error)]
    found += [f"{ref} is missing" for ref in truth.keys() - here.keys()]
    found += [f"{ref} should not be" for ref in here.keys() - truth.keys()]
    for ref in truth.keys() & here.keys():
        if here[ref] != truth[ref]:
            found.append(f"{ref} is not what an undisturbed run makes")
    found += whole_so_far(out)
    if (out / "failures.csv").exists() or store.objects("failures"):
        found.append("failures are told of")
    found += _cleaned(bench, store, here)
    return found


def _cleaned(bench: Bench, store: Store, here: Truth) -> list[str]:
    """Nothing is lost by a cleaning, and nothing stays that no record names."""
    named = {sha256 for _, files in here.values() for sha256 in files.values()}
    loose = [place for place in store.stored_files() if place.split("/")[2] not in named]
    loose += store.partial_files()
    registry, found = Registry(bench.folder / "home"), []
    for dry_run in (True, False):
        time.sleep(0.02)  # what is younger than the clock's tick counts as young
        told = clean(registry, store=store.url, dry_run=dry_run, older_than_h=0.0)
        if told["files"] != len(loose):
            found.append(f"a cleaning finds {told['files']} files, where {len(loose)} are loose")
    left = [place for place in store.stored_files() if place.split("/")[2] not in named]
    if left or store.partial_files():
        found.append(f"{len(left)} files are left after a cleaning")
    found += [
        f"after a cleaning: {f['detail']}" for f in verify(registry, store=store.url)["faults"]
    ]
    return found


def settled(
    bench: Bench, jobs: str, out: Path, *options: str, tmp: Path | None = None
) -> list[str]:
    """Run a batch to its end, and look."""
    command = Command(bench, bench.jobs(jobs), out, *options, tmp=tmp)
    return finished(bench, jobs, out, command, command.wait())


# ----------------------------------------------------------------------------------------------
# The faults
# ----------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """What came of one."""

    kind: str
    kills: int = 0
    violations: list[str] = field(default_factory=list)
    notes: str = ""
    seconds: float = 0.0


Fault = Callable[[Bench, random.Random, Path, Trial], None]


def _kill_some(
    command: Command,
    found: Callable[[], list[psutil.Process]],
    rnd: random.Random,
    times: int,
    pause_s: float,
) -> int:
    """Kill one of the processes, some time after there is one; again so many times."""
    kills, last = 0, -1
    for _ in range(times):
        if not wait_for(lambda: any(p.pid != last for p in found()), command):  # noqa: B023
            break
        time.sleep(rnd.uniform(0.0, pause_s))
        if command.over or not (there := found()):
            continue
        victim = rnd.choice(there)
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            kills, last = kills + 1, victim.pid
    return kills


def kill_workers(bench: Bench, rnd: random.Random, out: Path, trial: Trial, times: int = 3) -> None:
    """SIGKILL Dask's worker processes: the batch goes on by itself."""
    bench.know("closed")
    # As many retries as kills, since chance may choose the same map each time.
    options = "--workers", "2", "--retries", str(times + 2)
    command = Command(bench, bench.jobs("closed"), out, *options)
    trial.kills = _kill_some(command, command.workers, rnd, times, bench.seconds["closed"] / 3)
    trial.violations += finished(bench, "closed", out, command, command.wait())


def kill_tracers(bench: Bench, rnd: random.Random, out: Path, trial: Trial, times: int = 2) -> None:
    """SIGKILL the ray tracer's processes: the batch goes on by itself."""
    bench.know("traced")
    command = Command(bench, bench.jobs("traced"), out, "--retries", str(times + 2))
    trial.kills = _kill_some(command, command.tracers, rnd, times, bench.seconds["traced"] / 4)
    trial.violations += finished(bench, "traced", out, command, command.wait())


def kill_both(bench: Bench, rnd: random.Random, out: Path, trial: Trial, times: int = 2) -> None:
    """Workers and tracers of one run, in turn."""
    bench.know("traced")
    options = "--workers", "2", "--retries", str(2 * times + 2)
    command = Command(bench, bench.jobs("traced"), out, *options)
    pause_s = bench.seconds["traced"] / 6
    for _ in range(times):
        trial.kills += _kill_some(command, command.tracers, rnd, 1, pause_s)
        trial.kills += _kill_some(command, command.workers, rnd, 1, pause_s)
    trial.violations += finished(bench, "traced", out, command, command.wait())


def kill_command_once(
    bench: Bench, rnd: random.Random, out: Path, trial: Trial, jobs: str = "closed"
) -> None:
    """SIGKILL the command: its processes follow it, and what exists is whole."""
    bench.know(jobs)
    command = Command(bench, bench.jobs(jobs), out)
    some_moment(bench, rnd, out, jobs, command)
    trial.kills += not command.over
    command.kill()
    trial.violations += survivors(command.mark) + whole_so_far(out)
    trial.notes += f"{len(command.left_behind())} temporary folders left; "


def kill_command(bench: Bench, rnd: random.Random, out: Path, trial: Trial, times: int = 2) -> None:
    """SIGKILL the command, again and again; the same command goes on."""
    for _ in range(times):
        kill_command_once(bench, rnd, out, trial)
    trial.violations += settled(bench, "closed", out)


def kill_traced(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """As `kill_command`, while rays are traced."""
    kill_command_once(bench, rnd, out, trial, "traced")
    trial.violations += settled(bench, "traced", out)


def kill_writers_once(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """SIGKILL all processes at once while something is being written."""
    bench.know("closed")
    partial = out / "partial"

    def writing() -> list[str]:
        try:
            return os.listdir(partial)  # noqa: PTH208  (quick)
        except FileNotFoundError:
            return []

    command = Command(bench, bench.jobs("closed"), out)
    some_moment(bench, rnd, out, "closed", command)
    before = set(writing())
    wait_for(lambda: set(writing()) - before, command, 0.0)
    trial.kills += not command.over
    # Stopped first: nobody sees another die and tells of it.
    there = processes(command.mark)
    for process in there:
        with suppress(psutil.Error):
            process.suspend()
    for process in there:
        with suppress(psutil.Error):
            process.kill()
    command.process.wait()
    trial.notes += f"{len(writing())} half-written files; "
    trial.violations += survivors(command.mark) + whole_so_far(out)


def kill_writers(bench: Bench, rnd: random.Random, out: Path, trial: Trial, times: int = 2) -> None:
    """As `kill_writers_once`; the same command goes on."""
    for _ in range(times):
        kill_writers_once(bench, rnd, out, trial)
    trial.violations += settled(bench, "closed", out)


def interrupt_once(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """SIGINT to the command's process group, as Ctrl-C in a terminal sends it; once or twice."""
    bench.know("closed")
    began = time.time()
    command = Command(bench, bench.jobs("closed"), out)
    states = out / "status"
    wait_for(lambda: any(p.stat().st_mtime > began for p in states.glob("*.json")), command)
    some_moment(bench, rnd, out, "closed", command)
    for _ in range(rnd.choice((1, 1, 2))):
        if not command.over:
            os.killpg(command.process.pid, signal.SIGINT)
            trial.kills += 1
            time.sleep(0.3)
    asked = time.monotonic()
    code = command.wait(60.0)
    took_s = time.monotonic() - asked
    if code not in (0, 130):
        trial.violations.append(f"exit {code} after an interrupt: {command.said()[-300:]}")
    if code == 130 and len(command.said().splitlines()) != 1:
        trial.violations.append(f"an interrupt says {command.said()[-600:]!r}")
    trial.violations += survivors(command.mark) + whole_so_far(out)
    trial.violations += [f"left {name}" for name in command.left_behind()]
    trial.notes += f"exit {code} after {took_s:.0f} s: {command.said()[-100:]}; "


def interrupt(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """As `interrupt_once`; the same command goes on."""
    interrupt_once(bench, rnd, out, trial)
    trial.violations += settled(bench, "closed", out)


def stop_in_turn(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """One command after another in one store, each stopped in another way; then one to the end."""
    for stop in (kill_command_once, kill_writers_once, interrupt_once, kill_command_once):
        stop(bench, rnd, out, trial)
    trial.violations += settled(bench, "closed", out)


def interrupt_terminal(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """The key itself, in a terminal."""
    bench.know("closed")
    mark, tmp = secrets.token_hex(8), bench.folder / f"tmp-{secrets.token_hex(4)}"
    tmp.mkdir()
    master, slave = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [RFPLATFORM, "batch", str(bench.jobs("closed")), "--out", str(out), "--workers", "2"],
        env={**environment(bench, mark, tmp), "TERM": "xterm", "COLUMNS": "100"},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(slave)
    os.set_blocking(master, False)
    said = b""
    maps, wanted = out / "artifacts" / "maps", rnd.randrange(1, 6)
    pressed, until = False, 0.0
    while process.poll() is None:
        with suppress(BlockingIOError, OSError):
            said += os.read(master, 65536)
        if not pressed and len(list(maps.glob("*/*.json"))) >= wanted:
            os.write(master, b"\x03")
            pressed, trial.kills, until = True, 1, time.monotonic() + 60.0
        if pressed and time.monotonic() > until:
            trial.violations.append("goes on after Ctrl-C")
            break
        time.sleep(0.02)
    with suppress(BlockingIOError, OSError):
        said += os.read(master, 65536)
    os.close(master)
    code = process.wait()
    text = said.decode(errors="replace")
    if "Traceback" in text or code not in (0, 130) or (code == 130 and "interrupted" not in text):
        trial.violations.append(f"exit {code} after Ctrl-C: {text[-500:]!r}")
    trial.notes = f"exit {code}: {text.splitlines()[-1:]}"
    trial.violations += survivors(mark) + whole_so_far(out)
    trial.violations += settled(bench, "closed", out)


# Of disks


@contextmanager
def small_disk(place: Path, size_kib: int) -> Iterator[Callable[[int], None]]:
    """A disk of a given size; yields what enlarges it.

    Raises
    ------
    PermissionError
        Where nothing may be mounted.
    """
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        raise PermissionError("nothing can be mounted here")
    try:

        def resize(kib: int) -> None:
            subprocess.run(["mount", "-o", f"remount,size={kib}k", str(place)], check=True)

        yield resize
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill_disk(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """The store's disk is full: one line, and nothing is half-written or counted as failed."""
    bench.know("closed")
    room_kib = rnd.randrange(100, 600)
    with small_disk(out, room_kib) as resize:
        command = Command(bench, bench.jobs("closed"), out)
        code = command.wait()
        _full(command, code, trial)
        trial.violations += survivors(command.mark) + whole_so_far(out)
        store = Store(str(out))
        if store.partial_files():
            trial.violations.append("a full disk leaves half-written files")
        if store.objects("failures") or (out / "failures.csv").exists():
            trial.violations.append("a full disk is counted as a map's failure")
        trial.notes = f"{room_kib} KiB: exit {code}: {command.said()}"
        resize(64 << 10)
        trial.violations += settled(bench, "closed", out)
    trial.kills = 1


def fill_temporary(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """The disk of temporary files is full."""
    bench.know("closed")
    room_kib = rnd.randrange(8, 120)
    tmp = out.with_name("tmp")
    with small_disk(tmp, room_kib) as resize:
        command = Command(bench, bench.jobs("closed"), out, tmp=tmp)
        code = command.wait()
        _full(command, code, trial)
        trial.notes = f"{room_kib} KiB: exit {code}: {command.said()}"
        trial.violations += survivors(command.mark) + whole_so_far(out)
        if Store(str(out)).objects("failures"):
            words = (out / "failures.csv").read_text()[:400]
            trial.violations.append(f"a full disk is counted as a map's failure: {words}")
        resize(64 << 10)
        trial.violations += settled(bench, "closed", out, tmp=tmp)
    trial.kills = 1


def _full(command: Command, code: int, trial: Trial) -> None:
    if code == 0:  # it had room enough
        return
    said = command.said()
    if code != 4 or len(said.splitlines()) != 1 or "free some" not in said:
        trial.violations.append(f"a full disk: exit {code}, {said[-600:]!r}")


# Of contents


def corrupt(bench: Bench, rnd: random.Random, out: Path, trial: Trial, times: int = 3) -> None:
    """Damage files and records of a finished batch: found, named, and made again."""
    bench.know("closed")
    shutil.copytree(bench.folder / "truth-closed", out)
    store, harmed = Store(str(out)), []
    sizes_tell = True
    for _ in range(times):
        ref = rnd.choice(sorted(store.refs()))
        how = rnd.choice(("flip", "truncate", "remove", "record"))
        if ref.startswith("collections/"):  # it has no files
            how = "record"
        if how == "record":
            name, version = ref.split("@")
            path = out / "artifacts" / name / f"{version}.json"
            _damage(path, rnd.choice(("flip", "truncate")), rnd, anywhere=False)
        else:
            try:
                file = rnd.choice(store.artifact(ref).files)
            except (InputError, MissingError):
                continue
            path = Path(store.place_of(file))
            if not path.exists():
                continue
            sizes_tell &= how != "flip"
            _damage(path, how, rnd)
        harmed.append((ref, how))
    found = {f["ref"] for f in verify(Registry(bench.folder / "home"), store=store.url)["faults"]}
    for ref, how in harmed:
        # Records may go along without their files, where others were made from them.
        if ref not in found and not (how == "remove" and ref.startswith("inputs/")):
            trial.violations.append(f"verify does not name {ref} ({how})")
    trial.kills = len(harmed)
    trial.notes = ", ".join(f"{how} {ref.split('@')[0]}" for ref, how in harmed)
    options = () if sizes_tell and rnd.random() < 0.5 else ("--verify",)
    again = settled_after_damage(bench, out, *options)
    trial.violations += [f"{violation} [{trial.notes} {options}]" for violation in again]


def settled_after_damage(bench: Bench, out: Path, *options: str) -> list[str]:
    """As `settled`; what is damaged is warned of."""
    command = Command(bench, bench.jobs("closed"), out, *options)
    code = command.wait()
    lines = command.said().splitlines()
    odd = [line for line in lines if not line.startswith("warning: ")]
    found = [] if not odd else [f"it says {odd!r}"]
    command.error.write_text("")
    if code:
        return [f"exit {code}: {' '.join(lines)[-300:]}"]
    return found + finished(bench, "closed", out, command, code)


def _damage(path: Path, how: str, rnd: random.Random, *, anywhere: bool = True) -> None:
    body = bytearray(path.read_bytes())
    if how == "remove":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(body[: rnd.randrange(len(body))])
    else:
        # Of a record, its first brace: any other byte might be in a text that stays one.
        body[rnd.randrange(len(body)) if anywhere else 0] ^= 0x20
        path.write_bytes(body)


def two_at_once(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """Two batches in one store: both end well, and hardly a map is made twice."""
    bench.know("closed")
    first = Command(bench, bench.jobs("closed"), out, "--workers", "1")
    time.sleep(rnd.uniform(0.0, bench.seconds["closed"] / 2))
    second = Command(bench, bench.jobs("closed"), out, "--workers", "1")
    codes = first.wait(), second.wait()
    if any(codes):
        trial.violations.append(f"exits {codes}: {first.said()} {second.said()}")
        return
    made = sum(int(str(command.told()["made"])) for command in (first, second))
    maps = int(str(first.told()["maps"]))
    trial.notes = f"{made - maps} of {maps} maps made twice"
    trial.kills = 0
    if made < maps:
        trial.violations.append(f"{made} maps made of {maps}")
    trial.violations += finished(bench, "closed", out, first, codes[0])
    trial.violations += finished(bench, "closed", out, second, codes[1])


def break_extract(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """An extract that was cut short is set aside; mended, it is read after all."""
    bench.know("closed")
    extract, jobs = out.with_name("extract.osm.pbf"), bench.folder / f"{out.parent.name}.csv"
    write_extract(extract)
    whole = extract.read_bytes()
    extract.write_bytes(whole[: rnd.randrange(len(whole) - 1)])
    head, row = JOBS["closed"].splitlines()
    jobs.write_text(f'{head}\nb,{extract},"{SITES}",tr38901-umi,,,,8,tif\n{row}\n')
    command = Command(bench, jobs, out)
    code, failures = command.wait(), out / "failures.csv"
    trial.kills, words = 1, failures.read_text() if failures.exists() else ""
    trial.notes = f"exit {code}: {words.splitlines()[-1:]}"
    if code != 5 or "b," not in words:
        trial.violations.append(f"exit {code}, {words!r}, {command.said()[-300:]!r}")
    maps = {ref for ref in bench.truth["closed"] if ref.startswith("maps/")}
    trial.violations += [f"{ref} is missing" for ref in maps - set(Store(str(out)).refs())]
    trial.violations += survivors(command.mark) + whole_so_far(out)
    extract.write_bytes(whole)
    command = Command(bench, jobs, out, "--retry-failed")
    if code := command.wait():
        trial.violations.append(f"mended: exit {code}: {command.said()[-300:]!r}")
    if failures.exists() or Store(str(out)).objects("failures"):
        trial.violations.append(f"mended, and still told of: {failures.read_text()}")
    if command.told()["made"] != 1:
        trial.violations.append(f"mended: {command.told()['made']} maps made")


# Of schedulers


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


class Cluster:
    """A ``dask scheduler`` and its workers, as someone would start them by hand."""

    def __init__(self, bench: Bench, **variables: str) -> None:
        self._bench, self.mark = bench, secrets.token_hex(8)
        self._variables = variables
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._tmp = bench.folder / f"tmp-{self.mark}"
        self._tmp.mkdir()
        self._log = (bench.folder / f"{self.mark}.cluster").open("ab")
        self.start_scheduler()
        self.start_workers()
        self._await_scheduler()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        env = environment(self._bench, self.mark, self._tmp) | self._variables
        return subprocess.Popen(
            [DASK, *arguments], env=env,
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def start_scheduler(self) -> None:
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"
        )

    def _await_scheduler(self) -> None:
        """A machine may need longer to import Dask than a command would wait."""
        until = time.monotonic() + ENOUGH_S
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.1)

    def start_workers(self) -> None:
        count = ("--nworkers", "2", "--nthreads", "1", "--no-dashboard")
        self.workers = self._start("worker", self.address, *count)

    def close(self) -> None:
        for process in (self.scheduler, self.workers):
            process.kill()
            process.wait()
        end_all(self.mark)
        self._log.close()


def lose_scheduler(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """SIGKILL a scheduler, which comes back: the command goes on."""
    bench.know("closed")
    cluster = Cluster(bench)
    try:
        command = Command(bench, bench.jobs("closed"), out, "--scheduler", cluster.address)
        some_moment(bench, rnd, out, "closed", command)
        trial.kills = int(not command.over)
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        time.sleep(rnd.uniform(0.0, 5.0))
        cluster.workers.kill()
        cluster.workers.wait()
        cluster.start_scheduler()
        cluster.start_workers()
        trial.violations += finished(bench, "closed", out, command, command.wait())
    finally:
        cluster.close()


def lose_nannies(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """SIGKILL all of a scheduler's workers with their nannies; others come."""
    bench.know("closed")
    cluster = Cluster(bench)
    try:
        command = Command(bench, bench.jobs("closed"), out, "--scheduler", cluster.address)
        some_moment(bench, rnd, out, "closed", command)
        trial.kills = int(not command.over)
        cluster.workers.kill()
        cluster.workers.wait()
        cluster.start_workers()
        trial.violations += finished(bench, "closed", out, command, command.wait())
    finally:
        cluster.close()


def lose_scheduler_for_good(bench: Bench, rnd: random.Random, out: Path, trial: Trial) -> None:
    """SIGKILL a scheduler, which stays away: exit 3, and the same command goes on elsewhere."""
    bench.know("closed")
    cluster = Cluster(bench)
    try:
        command = Command(bench, bench.jobs("closed"), out, "--scheduler", cluster.address)
        some_moment(bench, rnd, out, "closed", command)
        trial.kills = int(not command.over)
        cluster.scheduler.kill()
        cluster.scheduler.wait()
        began = time.monotonic()
        code = command.wait()
        trial.notes = f"exit {code} after {time.monotonic() - began:.0f} s: {command.said()}"
        if code not in (0, 3) or len(command.said().splitlines()) != (code == 3):
            trial.violations.append(f"a lost scheduler: exit {code}, {command.said()[-600:]!r}")
        trial.violations += survivors(command.mark) + whole_so_far(out)
    finally:
        cluster.close()
    trial.violations += settled(bench, "closed", out)


FAULTS: dict[str, Fault] = {
    "worker": kill_workers,
    "tracer": kill_tracers,
    "both": kill_both,
    "command": kill_command,
    "traced": kill_traced,
    "writer": kill_writers,
    "interrupt": interrupt,
    "in-turn": stop_in_turn,
    "terminal": interrupt_terminal,
    "disk": fill_disk,
    "temporary": fill_temporary,
    "corrupt": corrupt,
    "extract": break_extract,
    "two": two_at_once,
    "scheduler": lose_scheduler,
    "nannies": lose_nannies,
    "scheduler-gone": lose_scheduler_for_good,
}
OFTEN = ("worker", "in-turn", "command", "writer", "both", "interrupt", "in-turn", "corrupt")
RARELY = (
    "tracer",
    "traced",
    "terminal",
    "disk",
    "temporary",
    "extract",
    "two",
    "scheduler",
    "nannies",
)


def attempt(bench: Bench, kind: str, seed: int) -> Trial:
    """One trial; its folder is removed where all is well."""
    trial, place = Trial(kind), bench.place()
    began = time.monotonic()
    try:
        FAULTS[kind](bench, random.Random(seed), place / "out", trial)
    except PermissionError as error:
        trial.notes = f"left out: {error}"
    trial.seconds = time.monotonic() - began
    if not trial.violations:
        shutil.rmtree(place)
    return trial


def kinds_of(times: int, seed: int) -> Iterator[str]:
    """What to try: mostly quick kills, everything now and then."""
    rnd = random.Random(seed)
    for i in range(times):
        yield rnd.choice(RARELY) if i % 4 == 3 else OFTEN[i % len(OFTEN)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--kind", choices=sorted(FAULTS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="for the trials; kept where any fails")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="faultloop-"))
    bench, trials = Bench(folder), list[Trial]()
    kinds = (
        (given.kind[i % len(given.kind)] for i in range(given.times))
        if given.kind
        else kinds_of(given.times, given.seed)
    )
    for i, kind in enumerate(kinds):
        trial = attempt(bench, kind, given.seed * 100_003 + i)
        trials.append(trial)
        state = "VIOLATION" if trial.violations else "well"
        done = f"{i + 1:4} {kind:14} {trial.kills} faults {trial.seconds:5.0f} s"
        print(f"{done}  {state}  {trial.notes}", flush=True)
        for violation in trial.violations:
            print(f"       ! {violation}", flush=True)
    return _summary(trials, folder)


def _summary(trials: list[Trial], folder: Path) -> int:
    count, kills, wrong = Counter[str](), Counter[str](), Counter[str]()
    for trial in trials:
        count[trial.kind] += 1
        kills[trial.kind] += trial.kills
        wrong[trial.kind] += bool(trial.violations)
    for kind in sorted(count):
        print(f"{kind:14} {count[kind]:4} trials {kills[kind]:4} faults {wrong[kind]:3} violated")
    seconds = sum(trial.seconds for trial in trials)
    print(
        f"{len(trials)} trials, {kills.total()} faults, {wrong.total()} violated; "
        f"{seconds / max(len(trials), 1):.1f} s each"
    )
    if not wrong.total():
        shutil.rmtree(folder)
    return int(wrong.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
