"""Many maps at once, on any number of machines, whatever happens to them on the way."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.batch import failures
from pipelines.batch.cluster import default_workers, local_cluster, remote_cluster
from pipelines.batch.collection import each_member, put_collection, write_catalog, write_stac
from pipelines.batch.engine import Engine, SchedulerLostError, Work, last_words
from pipelines.batch.failures import Failure, failure
from pipelines.batch.jobs import Job, read_jobs
from pipelines.batch.status import Status, forget_ended, read_statuses, write_status
from pipelines.batch.tile import MapTask, SceneTask, made_by, make_map, make_scene
from pipelines.batch.worklist import PlannedJob, job_maps, plan_job
from pipelines.scene import slug
from rfplatform.errors import InputError, MissingError, NoSpaceError, RfplatformError
from rfplatform.propagation.raytraced import TraceProgress
from rfplatform.registry.artifact import Artifact
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store

if TYPE_CHECKING:
    from distributed import Client

Report = Callable[[str], None]
Progress = Callable[[Status], None]

RECONNECT_S = 60.0
"""How long a scheduler that went away is waited for."""

WORD_S = 1.0
"""Between two words on how far a batch is."""

HEARTBEAT_S = 10.0
"""Between two signs of life of a batch that is busy with something else."""

TOPIC = "rfplatform-rays"
"""Of Dask events by which workers tell how many rays a map has had."""

MARKS = "marks"
"""Where workers are shown that they see the same store."""


@dataclass(frozen=True)
class Config:
    """What to make, where, and on what.

    Attributes
    ----------
    jobs : Path
        See `pipelines.batch.jobs.read_jobs`.
    out : str, optional
        A folder or a URL; by default ``out/`` and the jobs file's name.
    workers : int, optional
        Of this machine; by default as many as it holds.
    scheduler : str, optional
        Address of a Dask scheduler, in place of workers of this machine.
    retries : int
        Times that a failed map is tried again before it is set aside.
    retry_failed : bool
        Try again what earlier runs set aside.
    verify : bool
        Look at the contents of what is there already, not only at its size.
    """

    jobs: Path
    out: str | None = None
    workers: int | None = None
    scheduler: str | None = None
    retries: int = 2
    retry_failed: bool = False
    verify: bool = False

    def store(self) -> Store:
        """Where the maps go."""
        return Store(self.out or str(Path("out") / slug(self.jobs.stem)))


def plan(config: Config) -> dict[str, Any]:
    """Tell what a batch would do, and do nothing.

    Returns
    -------
    dict
        "out", "jobs" (name, solver, maps that no job before has, how many of them are done, sectors
        traced, tiles without a sector, and what is wrong with it), and sums.

    Raises
    ------
    InputError
        Anything wrong with the jobs.
    """
    import tempfile

    jobs, store = read_jobs(config.jobs), config.store()
    told: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        aside = Store(folder)
        exists, seen = _Done(store), set[str]()
        for job in jobs:
            about = {"job": job.name, "solver": job.config.solver, "fault": ""}
            try:
                planned = plan_job(job, aside)
                if isinstance(planned.scene, SceneTask):
                    make_scene(planned.scene)
                maps = job_maps(planned, aside)
            except RfplatformError as error:
                told.append({**about, **dict.fromkeys(_COUNTS, 0), "fault": last_words(error, 1)})
                continue
            fresh = [task for task in maps.tasks if task.ref not in seen]
            seen.update(task.ref for task in fresh)
            counts = (
                len(fresh),
                sum(exists(task.ref) for task in fresh),
                sum(len(task.plan.rows) for task in fresh),
                maps.num_empty,
            )
            told.append({**about, **dict(zip(_COUNTS, counts, strict=True))})
    sums = {name: sum(job[name] for job in told) for name in _COUNTS}
    return {"out": store.url, "jobs": told, **sums}


_COUNTS = ("maps", "done", "sectors", "empty")


def main(
    config: Config, *, progress: Progress | None = None, report: Report | None = None
) -> dict[str, Any]:
    """Make what is missing of a batch.

    Every map is an artifact of the store `out`, named by the hash of what decides it: what is
    there is not made again, whoever made it. A map that fails is tried again, then set aside with
    its last words, in ``failures.csv``, while all others go on.

    Parameters
    ----------
    config : Config
    progress : callable, optional
        Told about once a second how far it is.
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        "out", "jobs", "maps", "done", "made", "failed" (a list), "empty" (tiles that no sector
        reaches), "rays", "rays_per_s", "seconds", "collection", "warnings".

    Raises
    ------
    InputError
        The jobs have faults, all of which are listed; or the workers can't see `out`.
    MissingError
        No scheduler answers; the disk is full.
    WorkerError
        The scheduler went away, and did not come back.
    """
    tell = report or (lambda _: None)
    if config.scheduler is not None and config.workers is not None:
        raise InputError("--workers is for this machine's own cluster: leave it or --scheduler out")
    if config.workers is not None and config.workers < 1:
        raise InputError(f"workers {config.workers}: must be 1 or more")
    if config.retries < 0:
        raise InputError(f"retries {config.retries}: must be 0 or more")
    jobs, store = read_jobs(config.jobs), config.store()
    batch = _Batch(config, store, progress or (lambda _: None))
    with batch.told():
        tell(f"Looking at {len(jobs):,} jobs")
        batch.begin(jobs)
        if batch.engine.waiting:
            tell("Starting the workers")
            _run(batch, config)
        tell("Writing the collection")
        return batch.finish()


def _run(batch: _Batch, config: Config) -> None:
    """On the cluster, and on it again if its scheduler comes back."""
    silent_since: float | None = None
    while True:
        try:
            with _cluster(config, batch.store) as client:
                silent_since = None
                client.subscribe_topic(TOPIC, batch.heard)
                batch.engine.run(client)
                return
        except (SchedulerLostError, MissingError) as error:
            lost = isinstance(error, SchedulerLostError)
            if config.scheduler is None or (not lost and silent_since is None):
                raise
            now = time.monotonic()
            silent_since = silent_since or now
            if now - silent_since > RECONNECT_S:
                raise SchedulerLostError(
                    f"the Dask scheduler at {config.scheduler} went away and did not come back: "
                    "nothing finished is lost; start it and run the same again"
                ) from error
            batch.word()
            time.sleep(2.0)


def _make_map(task: MapTask) -> dict[str, Any]:
    """Make a map on a Dask worker, which tells of its rays meanwhile."""
    from distributed import get_worker

    worker, ref, told = get_worker(), task.ref, time.monotonic()

    def progress(now: TraceProgress) -> None:
        nonlocal told
        if time.monotonic() - told > WORD_S:
            told = time.monotonic()
            worker.log_event(TOPIC, {"map": ref, "rays": now.rays})

    return make_map(task, progress=progress)


@contextmanager
def _cluster(config: Config, store: Store) -> Iterator[Client]:
    if config.scheduler is None:
        with local_cluster(config.workers or default_workers()) as client:
            yield client
        return
    with remote_cluster(config.scheduler) as client:
        _require_like_minded(client, store)
        yield client


def _require_like_minded(client: Client, store: Store) -> None:
    """Refuse workers that would make other maps, or put them elsewhere."""
    mine = secrets.token_hex(8)
    place = f"{MARKS}/{mine}"
    store.put_object(place, mine.encode())
    try:
        theirs = client.run(_what_a_worker_sees, store.url, place)
    except ModuleNotFoundError as error:
        raise MissingError(f"a worker lacks {error.name}: install rfplatform there") from error
    finally:
        store.remove(place)
    for address, (mark, versions) in theirs.items():
        if versions != made_by("raytraced"):
            raise InputError(
                f"worker {address} has {versions}, this machine {made_by('raytraced')}: "
                "install the same versions"
            )
        if mark != mine:
            raise InputError(
                f"worker {address} does not see {store.url}: give --out as a URL, or as a folder "
                "that all machines share"
            )


def _what_a_worker_sees(url: str, place: str) -> tuple[str | None, dict[str, Any]]:
    found = Store(url).object_at(place)
    return None if found is None else found.decode(), made_by("raytraced")


class _Done:
    """Which artifacts of a store exist, in one listing a name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._versions: dict[str, set[str]] = {}

    def __call__(self, ref: str) -> bool:
        name, _, version = ref.partition("@")
        if name not in self._versions:
            self._versions[name] = self._store.versions(name)
        return version in self._versions[name]

    def forget(self, ref: str) -> None:
        """It exists no more."""
        name, _, version = ref.partition("@")
        self._versions[name].discard(version)


@dataclass(eq=False)
class _Batch:
    """A run: what it knows of its jobs, and what it tells."""

    config: Config
    store: Store
    progress: Progress
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    started: float = field(default_factory=time.monotonic)
    warnings: list[str] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    done: set[str] = field(default_factory=set)
    already: int = 0
    num_empty: int = 0
    rays: int = 0
    made: int = 0
    failed: dict[str, Failure] = field(default_factory=dict)
    remembered: dict[str, Failure] = field(default_factory=dict)
    table_is_old: bool = False
    by_scene: dict[str, list[PlannedJob]] = field(default_factory=lambda: defaultdict(list))
    beside_others: bool = False
    rays_underway: dict[str, int] = field(default_factory=dict)
    said: Status | None = None
    names: set[str] = field(default_factory=set)
    scenes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.exists = _Done(self.store)
        self.engine = Engine(self.config.retries, self._done, self._failed, self._tick)
        self._last_word = 0.0

    # What there is to do

    def begin(self, jobs: Iterable[Job]) -> None:
        """Plan all jobs; one that can't be planned is set aside."""
        self.remembered = failures.remembered(self.store)
        self.beside_others = any(status.alive for status in read_statuses(self.store))
        forget_ended(self.store)
        for job in jobs:
            self.word()
            self.names.add(job.name)
            key = _job_key(job.name)
            try:
                planned = plan_job(job, self.store, verify=self.config.verify)
                self._forget(key)
            except NoSpaceError:
                raise
            except RfplatformError as error:
                self._set_aside(failure(job.name, "job", 1, last_words(error, 1), key))
                continue
            ref = planned.scene_ref
            self.scenes.add(ref)
            if isinstance(planned.scene, SceneTask) and not self._is_whole(ref):
                self.by_scene[ref].append(planned)
                if len(self.by_scene[ref]) == 1 and self._wanted(ref):
                    label = f"scene-{planned.scene.name}"
                    self.engine.add(Work(ref, label, make_scene, planned.scene), first=True)
            else:
                self._add_maps(planned)

    def _add_maps(self, planned: PlannedJob) -> None:
        key = _job_key(planned.job.name)
        try:
            maps = job_maps(planned, self.store)
        except RfplatformError as error:
            self._set_aside(failure(planned.job.name, "job", 1, last_words(error, 1), key))
            return
        self.num_empty += maps.num_empty
        fresh = []
        for task in maps.tasks:
            ref = task.ref
            known = ref in self.members
            self.members[ref].append(planned.job.name)
            if known:
                continue
            if self._is_whole(ref):
                self.already += 1
                self.done.add(ref)
                self._forget(ref)
            elif self._wanted(ref):
                traces = planned.job.config.solver == "raytraced"
                fresh.append(Work(ref, task.label, _make_map, task, traces))
        if self.beside_others and fresh:
            # Another batch is at work here: begin elsewhere, and meet what it has done.
            turn = secrets.randbelow(len(fresh))
            fresh = fresh[turn:] + fresh[:turn]
        for work in fresh:
            self.engine.add(work)

    def _is_whole(self, ref: str) -> bool:
        """Whether an artifact exists with all its files; a damaged one exists no more."""
        if not self.exists(ref):
            return False
        try:
            faults = self.store.faults(self.store.artifact(ref), contents=self.config.verify)
        except InputError as error:
            faults = [str(error)]
        except MissingError:  # another batch has just found it damaged
            faults = ["its record is gone"]
        if faults:
            self.warnings.append(f"{ref} is damaged and is made again: {faults[0]}")
            self.store.remove_artifact(ref)
            self.exists.forget(ref)
        return not faults

    def _wanted(self, key: str) -> bool:
        """Whether to make something: not what an earlier run has set aside."""
        if self.config.retry_failed:
            self._forget(key)
        elif key in self.remembered:
            self.failed[key] = self.remembered[key]
        return key not in self.failed

    # What happens to it

    def _done(self, work: Work, result: dict[str, Any]) -> None:
        if result["ref"] != work.key:
            words = "its worker has other versions of rfplatform or Sionna RT than this machine"
            self._failed(work, words)
            return
        self._forget(work.key)
        if isinstance(work.task, SceneTask):
            for planned in self.by_scene.pop(work.key, []):
                self._add_maps(planned)
            return
        self.done.add(work.key)
        self.rays_underway.pop(work.key, None)
        self.rays += result["rays"]
        if result["already"]:
            self.already += 1
        else:
            self.made += 1

    def heard(self, event: tuple[float, Any]) -> None:
        """Take a worker's word on its rays; called by the cluster's own thread."""
        word = event[1]
        if word["map"] not in self.done:
            self.rays_underway[word["map"]] = word["rays"]

    def _failed(self, work: Work, words: str) -> None:
        if isinstance(work.task, SceneTask):
            jobs = ", ".join(planned.job.name for planned in self.by_scene.pop(work.key, []))
        else:
            assert isinstance(work.task, MapTask)
            jobs = ", ".join(dict.fromkeys(self.members[work.key]))
        self._set_aside(failure(jobs, work.label, work.attempts, words, work.key))

    def _set_aside(self, failed: Failure) -> None:
        self.failed[failed.key] = failed
        failures.remember(self.store, failed)
        self.table_is_old = True

    def _forget(self, key: str) -> None:
        self.failed.pop(key, None)
        if self.remembered.pop(key, None) is not None:
            failures.forget(self.store, key)
            self.table_is_old = True

    def _write_table(self) -> None:
        """Of all that is remembered: other batches on this store have failures, too."""
        if self.table_is_old:
            failures.write_table(self.store, list(failures.remembered(self.store).values()))
            self.table_is_old = False

    def _forget_the_outdated(self) -> None:
        """Forget what earlier runs set aside of these jobs and what they no longer ask for."""
        asked = {*self.members, *self.scenes, *map(_job_key, self.names)}
        for key, one in list(self.remembered.items()):
            if key not in asked and self.names.issuperset(one.job.split(", ")):
                self._forget(key)

    # What is told

    def _tick(self) -> None:
        self.word()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell how it ends, whatever the end is."""
        state: Any = "stopped"
        try:
            with self._heart():
                yield
            state = "done"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            with suppress(RfplatformError):
                self.word(state)

    def word(self, state: Any = "running") -> None:  # noqa: ANN401
        """Say how far it is, if the last word is a while ago."""
        if state == "running" and time.monotonic() - self._last_word < WORD_S:
            return
        self._last_word = time.monotonic()
        self.said = self.status(state)
        write_status(self.store, self.said)
        self._write_table()
        self.progress(self.said)

    @contextmanager
    def _heart(self) -> Iterator[None]:
        """Let it be known that the run goes on, also while a step takes long."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_S):
                said = self.said
                if said is not None and time.time() - said.heartbeat > HEARTBEAT_S:
                    with suppress(RfplatformError):
                        write_status(self.store, replace(said, heartbeat=time.time()))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def status(self, state: Any = "running") -> Status:  # noqa: ANN401
        """How far it is."""
        elapsed_s = time.monotonic() - self.started
        running = [work for work, _ in self.engine.running.values()]
        waiting = [work for work in self.engine.waiting if isinstance(work.task, MapTask)]
        underway = dict(self.rays_underway)
        rays = self.rays + sum(underway.get(work.key, 0) for work in running)
        left_s = None
        if self.made and elapsed_s:
            left_s = (len(waiting) + len(running) / 2) * elapsed_s / self.made
        return Status(
            run=self.run,
            state=state,
            maps=len(self.members),
            done=len(self.done),
            already=self.already,
            failed=len(self.failed),
            running=len(running),
            waiting=len(waiting),
            scenes_waiting=len(self.by_scene),
            workers=self.engine.workers,
            rays=rays,
            rays_per_s=rays / elapsed_s if rays else None,
            left_s=left_s,
            elapsed_s=elapsed_s,
            now=tuple(work.label for work in running),
            heartbeat=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    def finish(self) -> dict[str, Any]:
        """Write the collection and the failures, and tell what came of it."""
        self._forget_the_outdated()
        self._write_table()
        seconds = time.monotonic() - self.started
        return {
            "out": self.store.url,
            "maps": len(self.members),
            "done": len(self.done),
            "made": self.made,
            "already": self.already,
            "empty": self.num_empty,
            "failed": [vars(one) for one in self.failed.values()],
            "rays": self.rays,
            "rays_per_s": self.rays / seconds if self.rays else None,
            "seconds": round(seconds, 2),
            "collection": self._collect() if self.done else None,
            "warnings": self.warnings,
        }

    def _collect(self) -> str:
        """Write the collection of what is done, and make the registry know of all of it."""
        jobs: dict[str, list[str]] = defaultdict(list)
        for ref in sorted(self.done):
            for job in dict.fromkeys(self.members[ref]):
                jobs[job].append(ref)
        collection = put_collection(self.store, slug(self.config.jobs.stem), jobs)
        write_catalog(self.store, each_member(self.store))
        write_stac(self.store, each_member(self.store))
        try:
            registry = Registry.default()
            registry.record(_with_ancestors(self.store, sorted(self.done)), self.store.url)
            registry.record([collection], self.store.url, kept=True)
        except RfplatformError as error:
            self.warnings.append(f"the registry does not know of these maps: {error}")
        return collection.ref


def _job_key(name: str) -> str:
    """Under which it is remembered that a job's inputs could not be had."""
    return f"job {name}"


def _with_ancestors(store: Store, refs: Iterable[str]) -> Iterator[Artifact]:
    """Artifacts and all that they were made from, each once."""
    seen: set[str] = set()
    waiting = deque(refs)
    while waiting:
        ref = waiting.popleft()
        if ref not in seen:
            seen.add(ref)
            artifact = store.artifact(ref)
            waiting.extend(artifact.parents)
            yield artifact
