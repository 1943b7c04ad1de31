"""The loop that brings work to a cluster: as much as fits, and again where it failed.

Only so many tasks are handed over as can run, so that the death of a worker is blamed on the task
that ran there and on no other, and so that a scheduler holds a few tasks of a million.
"""

from __future__ import annotations

import contextlib
import queue
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.batch.cluster import GPU, replace_lost, slots
from rfplatform.errors import InputError, MissingError, NoSpaceError, RfplatformError, WorkerError

if TYPE_CHECKING:
    from distributed import Client, Future

TICK_S = 0.5
ANSWER_S = 30.0
"""For a worker to say what it made."""

UNMANNED_S = 120.0
"""So long a cluster may be without a worker."""

LACKING_PER_WORKER = 5
"""Tasks in a row that find a machine or the network wanting, for each worker: then the batch stops
and blames no task."""


class SchedulerLostError(WorkerError):
    """The scheduler went away; what was not finished is still to do."""


@contextlib.contextmanager
def connection() -> Iterator[None]:
    """What can't be reached of the cluster is its scheduler."""
    from distributed.client import ClosedClientError

    try:
        yield
    except (OSError, ClosedClientError) as error:
        raise _lost(error) from error


def _lost(error: Exception) -> SchedulerLostError:
    return SchedulerLostError(f"the Dask scheduler went away ({error})")


@dataclass(eq=False)
class Work:
    """One call to make on some worker.

    Attributes
    ----------
    key : str
        What tells it from others; failures are remembered by it.
    label : str
        For people.
    call : callable
        Importable on the workers; takes `task` and returns a dictionary.
    task : object
    traces : bool
        Whether it traces rays: on a cluster with GPUs it is for those workers alone.
    attempts : int
        So far.
    """

    key: str
    label: str
    call: Callable[[Any], dict[str, Any]]
    task: Any
    traces: bool = False
    attempts: int = 0


@dataclass(eq=False)
class Engine:
    """What is to do, what runs, and what to tell of it.

    Attributes
    ----------
    retries : int
        Times that a failed task is tried again.
    done : callable
        Told of each task that is finished, with what it returned.
    failed : callable
        Told of each that is given up, with its last words.
    tick : callable
        Called about twice a second.
    waiting, running : deque, dict
        Work to hand over; and what is on a worker, by the names that Dask has for it.
    workers, gpus : int
        Tasks that the cluster can run at once; and those that trace, where there are GPUs.
    lost_worker : bool
        Whether a worker died since the cluster was looked at.
    lacking : int
        Tasks in a row that failed since a machine lacks something.
    manned : float
        When there was a worker last.
    """

    retries: int
    done: Callable[[Work, dict[str, Any]], None]
    failed: Callable[[Work, str], None]
    tick: Callable[[], None]
    waiting: deque[Work] = field(default_factory=deque)
    running: dict[str, tuple[Work, Future[Any]]] = field(default_factory=dict)
    workers: int = 0
    gpus: int = 0
    lost_worker: bool = False
    lacking: int = 0
    manned: float = 0.0

    def add(self, work: Work, *, first: bool = False) -> None:
        """Put work behind what waits, or before it."""
        (self.waiting.appendleft if first else self.waiting.append)(work)

    def run(self, client: Client) -> None:
        """Until nothing is left.

        Raises
        ------
        SchedulerLostError
            What ran waits again.
        MissingError
            Task after task finds that the machine lacks the same; or there are no workers.
        NoSpaceError
            Of the first task that found the disk full.
        """
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._look(client)
        looked = time.monotonic()
        try:
            while self.waiting or self.running:
                self._hand_over(client, answers)
                with contextlib.suppress(queue.Empty):
                    self._take(client, answers.get(timeout=TICK_S))
                # A dead worker's place is not given away: what came there would wait behind
                # another task, and be blamed for its death, too.
                if self.lost_worker or time.monotonic() - looked > TICK_S:
                    self._look(client)
                    looked = time.monotonic()
                    self.tick()
        finally:
            for work, future in self.running.values():
                future.cancel()
                self.waiting.appendleft(work)
            self.running.clear()

    def _look(self, client: Client) -> None:
        """See how much can run, and start workers anew that are gone for good."""
        self.lost_worker = False
        if client.status != "running":
            raise SchedulerLostError("the Dask scheduler went away")
        with connection():
            replace_lost(client)
            capacity = slots(client)
        self.workers, self.gpus = capacity[""], max(capacity[GPU], min(self.gpus, 1))
        now = time.monotonic()
        self.manned = now if self.workers or not self.manned else self.manned
        if now - self.manned > UNMANNED_S:
            raise MissingError(
                "no worker has been there for a while: start some with `dask worker`, and run the "
                "same again"
            )

    def _hand_over(self, client: Client, answers: queue.SimpleQueue[str]) -> None:
        """Submit as much as can run, in order, passing over what has to wait for a GPU."""
        passed: list[Work] = []
        while self.waiting and len(self.running) < max(self.workers, 1):
            work = self.waiting.popleft()
            # Where there was a GPU once, tracing waits for it.
            tag = GPU if work.traces and self.gpus else ""
            if tag and self._num_tracing() >= self.gpus:
                passed.append(work)
                if len(passed) > self.workers:
                    break
                continue
            work.attempts += 1
            name = f"{work.label}-{secrets.token_hex(6)}"
            with connection():
                future = client.submit(
                    work.call, work.task, key=name, pure=False, resources={GPU: 1} if tag else None
                )
            self.running[name] = work, future
            future.add_done_callback(lambda _, name=name: answers.put(name))
        self.waiting.extendleft(reversed(passed))

    def _num_tracing(self) -> int:
        return sum(work.traces for work, _ in self.running.values())

    def _take(self, client: Client, name: str) -> None:
        """Deal with a task that ended, however it did."""
        from distributed.scheduler import KilledWorker

        work, future = self.running.pop(name)
        if future.status == "finished":
            self._take_result(work, future)
            return
        if future.status != "error":
            # Its worker died after it was finished, or the scheduler is gone.
            self._again(work)
            if client.status != "running":
                raise SchedulerLostError("the Dask scheduler went away")
            return
        error = future.exception()
        self.lost_worker = isinstance(error, KilledWorker)
        if isinstance(error, NoSpaceError) or _is_full(error):
            self._again(work)
            raise error if isinstance(error, NoSpaceError) else _no_space(error)
        self._count_lacking(work, error)
        if isinstance(error, InputError) or work.attempts > self.retries:
            self.failed(work, last_words(error, work.attempts))
        else:
            self.waiting.append(work)

    def _take_result(self, work: Work, future: Future[Any]) -> None:
        from concurrent.futures import CancelledError

        from distributed.scheduler import KilledWorker

        try:
            result = future.result(timeout=ANSWER_S)
        except (CancelledError, KilledWorker, TimeoutError, RfplatformError):
            # Its worker died before it had answered. What it made is there: asked again, it is
            # soon done.
            self._again(work)
        except OSError as error:  # a timeout is one, too
            self._again(work)
            raise _lost(error) from error
        else:
            self.lacking = 0
            self.done(work, result)

    def _again(self, work: Work) -> None:
        """It is no fault of its own that it did not end."""
        self.waiting.appendleft(work)
        work.attempts -= 1

    def _count_lacking(self, work: Work, error: BaseException | None) -> None:
        """Stop where it is the machine's or the network's fault, not a task's."""
        if not isinstance(error, MissingError):
            self.lacking = 0
            return
        self.lacking += 1
        if self.lacking > LACKING_PER_WORKER * max(self.workers, 1):
            self._again(work)
            raise MissingError(f"every map fails alike: {error}")


def _is_full(error: BaseException | None) -> bool:
    import errno

    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _no_space(error: BaseException | None) -> NoSpaceError:
    return NoSpaceError(f"a worker's disk is full ({error}): free some and run the same again")


def last_words(error: BaseException | None, attempts: int) -> str:
    """What is told of a task that was given up, on one line."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        times = "once" if attempts == 1 else f"{attempts} times"
        return f"its worker died under it, {times}: most likely for want of memory"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, RfplatformError) else f"{type(error).__name__}: {text}"
