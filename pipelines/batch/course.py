"""The course of a batch: what there is to make, what came of it, and what is told meanwhile."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.batch import failures
from pipelines.batch.collection import each_member, put_collection, write_catalog, write_stac
from pipelines.batch.engine import Engine, Work, last_words
from pipelines.batch.failures import Failure, failure
from pipelines.batch.jobs import Job
from pipelines.batch.status import Status, forget_ended, read_statuses, write_status
from pipelines.batch.tile import MapTask, SceneTask, make_map, make_scene
from pipelines.batch.worklist import PlannedJob, job_maps, plan_job
from rfplatform.errors import InputError, MissingError, NoSpaceError, RfplatformError
from rfplatform.propagation.raytraced import TraceProgress
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store

Progress = Callable[[Status], None]

WORD_S = 1.0
"""Between two words on how far a batch is."""

HEARTBEAT_S = 10.0
"""Between two signs of life of a batch that is busy with something else."""

TOPIC = "rfplatform-rays"
"""Of Dask events by which workers tell how many rays a map has had."""


def make_map_on_worker(task: MapTask) -> dict[str, Any]:
    """Make a map on a Dask worker, which tells of its rays meanwhile."""
    from distributed import get_worker

    worker, ref, told = get_worker(), task.ref, time.monotonic()

    def progress(now: TraceProgress) -> None:
        nonlocal told
        if time.monotonic() - told > WORD_S:
            told = time.monotonic()
            worker.log_event(TOPIC, {"map": ref, "rays": now.rays})

    return make_map(task, progress=progress)


class Existing:
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
class Course:
    """A run of a batch: what it knows of its jobs, and what it tells.

    Attributes
    ----------
    store : Store
    name : str
        The jobs file's, for the collection.
    progress : callable
        Told how far it is.
    retries, retry_failed, verify : int, bool, bool
        See `pipelines.batch.run.Config`.
    members : dict of str to list of str
        Jobs of every map that is asked for, by its full name; of those, `done` exist.
    failed, remembered : dict of str to Failure
        What is given up of this batch, and what the store remembers, of other batches, too.
    by_scene : dict of str to list of PlannedJob
        Jobs that wait for a scene.
    """

    store: Store
    name: str
    progress: Progress
    retries: int = 2
    retry_failed: bool = False
    verify: bool = False
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
    sizes: Mapping[str, int] | None = None
    names: set[str] = field(default_factory=set)
    scenes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.exists = Existing(self.store)
        self.engine = Engine(self.retries, self._done, self._failed, self._tick)
        self._last_word = 0.0

    # What there is to do

    def begin(self, jobs: Iterable[Job]) -> None:
        """Plan all jobs; one that can't be planned is set aside."""
        if self.store.folder is None:
            self.sizes = self.store.stored_files()  # in place of a request for each file
        self.remembered = failures.remembered(self.store)
        self.beside_others = any(status.alive for status in read_statuses(self.store))
        forget_ended(self.store)
        for job in jobs:
            self.word()
            self.names.add(job.name)
            key = _job_key(job.name)
            try:
                planned = plan_job(job, self.store, verify=self.verify)
                self._forget(key)
            except NoSpaceError:
                raise
            except RfplatformError as error:
                self._set_aside(failure(job.name, "job", 1, last_words(error, 1), key))
                continue
            ref = planned.scene_ref
            self.scenes.add(ref)
            if not isinstance(planned.scene, SceneTask) or self._is_whole(ref):
                self._add_maps(planned)
            elif self._wanted(ref):
                self.by_scene[ref].append(planned)
                if len(self.by_scene[ref]) == 1:
                    label = f"scene-{planned.scene.name}"
                    self.engine.add(Work(ref, label, make_scene, planned.scene), first=True)

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
                traces = planned.job.config.solver in ("raytraced", "cascade")
                fresh.append(Work(ref, task.label, make_map_on_worker, task, traces))
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
            artifact = self.store.artifact(ref)
            faults = self.store.faults(artifact, contents=self.verify, sizes=self.sizes)
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
        if self.retry_failed:
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
        collection = put_collection(self.store, self.name, jobs)
        write_catalog(self.store, each_member(self.store))
        write_stac(self.store, each_member(self.store))
        try:
            registry = Registry.default()
            registry.record(self.store.with_ancestors(sorted(self.done)), self.store.url)
            registry.record([collection], self.store.url, kept=True)
        except RfplatformError as error:
            self.warnings.append(f"the registry does not know of these maps: {error}")
        return collection.ref


def _job_key(name: str) -> str:
    """Under which it is remembered that a job's inputs could not be had."""
    return f"job {name}"
