"""Many maps at once, on any number of machines, whatever happens to them on the way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.batch.cluster import default_workers, local_cluster, remote_cluster
from pipelines.batch.course import TOPIC, Course, Existing, Progress
from pipelines.batch.engine import SchedulerLostError, connection, last_words
from pipelines.batch.jobs import read_jobs
from pipelines.batch.tile import SceneTask, made_by, make_scene
from pipelines.batch.worklist import job_maps, plan_job
from pipelines.scene import Report, slug
from rfplatform.errors import InputError, MissingError, RfplatformError
from rfplatform.registry.store import Store

if TYPE_CHECKING:
    from distributed import Client


RECONNECT_S = 60.0
"""How long a scheduler that went away is waited for."""

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
        exists, seen = Existing(store), set[str]()
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
    course = Course(
        store,
        slug(config.jobs.stem),
        progress or (lambda _: None),
        config.retries,
        config.retry_failed,
        config.verify,
    )
    with course.told():
        tell(f"Looking at {len(jobs):,} jobs")
        course.begin(jobs)
        if course.engine.waiting:
            tell("Starting the workers")
            _run(course, config)
        tell("Writing the collection")
        return course.finish()


def _run(course: Course, config: Config) -> None:
    """On the cluster, and on it again if its scheduler comes back."""
    silent_since: float | None = None
    while True:
        try:
            with _cluster(config, course.store) as client:
                silent_since = None
                with connection():
                    client.subscribe_topic(TOPIC, course.heard)
                course.engine.run(client)
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
            course.word()
            time.sleep(2.0)


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
