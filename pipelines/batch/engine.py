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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.batch.cluster import GPU, replace_lost, slots
from rfplatform.errors import InputError, NoSpaceError, RfplatformError, WorkerError

if TYPE_CHECKING:
    from distributed import Client, Future

TICK_S = 0.5
ANSWER_S = 30.0
"""For a worker to say what it made."""


class SchedulerLostError(WorkerError):
    """The scheduler went away; what was not finished is still to do."""


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
    workers : int
        Tasks that the cluster can run at once.
    """

    retries: int
    done: Callable[[Work, dict[str, Any]], None]
    failed: Callable[[Work, str], None]
    tick: Callable[[], None]
    waiting: deque[Work] = field(default_factory=deque)
    running: dict[str, tuple[Work, Future[Any]]] = field(default_factory=dict)
    workers: int = 0
    lost_worker: bool = False

    def add(self, work: Work, *, first: bool = False) -> None:
        """Put work behind what waits, or before it."""
        (self.waiting.appendleft if first else self.waiting.append)(work)

    def run(self, client: Client) -> None:
        """Until nothing is left.

        Raises
        ------
        SchedulerLostError
            What ran waits again.
        NoSpaceError
            Of the first task that found the disk full.
        """
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        capacity, looked = slots(client), time.monotonic()
        self.workers = capacity[""]
        try:
            while self.waiting or self.running:
                self._hand_over(client, capacity, answers)
                with contextlib.suppress(queue.Empty):
                    self._take(answers.get(timeout=TICK_S))
                now = time.monotonic()
                # A dead worker's place is not given away: what came there would wait behind
                # another task, and be blamed for its death, too.
                if self.lost_worker or now - looked > TICK_S:
                    self.lost_worker = False
                    if client.status != "running":
                        raise SchedulerLostError("the Dask scheduler went away")
                    replace_lost(client)
                    capacity, looked = slots(client), now
                    self.workers = capacity[""]
                    self.tick()
        except OSError as error:  # of the connection: workers' own errors come as answers
            raise SchedulerLostError(f"the Dask scheduler went away ({error})") from error
        finally:
            for work, future in self.running.values():
                future.cancel()
                self.waiting.appendleft(work)
            self.running.clear()

    def _hand_over(
        self, client: Client, capacity: dict[str, int], answers: queue.SimpleQueue[str]
    ) -> None:
        """Submit as much as can run, in order, passing over what has to wait for a GPU."""
        passed: list[Work] = []
        while self.waiting and len(self.running) < max(capacity[""], 1):
            work = self.waiting.popleft()
            tag = GPU if work.traces and capacity[GPU] else ""
            if tag and self._num_tracing() >= capacity[GPU]:
                passed.append(work)
                if len(passed) > capacity[""]:
                    break
                continue
            work.attempts += 1
            name = f"{work.label}-{secrets.token_hex(6)}"
            future = client.submit(
                work.call, work.task, key=name, pure=False, resources={GPU: 1} if tag else None
            )
            self.running[name] = work, future
            future.add_done_callback(lambda _, name=name: answers.put(name))
        self.waiting.extendleft(reversed(passed))

    def _num_tracing(self) -> int:
        return sum(work.traces for work, _ in self.running.values())

    def _take(self, name: str) -> None:
        """Deal with a task that ended, however it did."""
        from distributed.scheduler import KilledWorker

        work, future = self.running.pop(name)
        if future.status == "finished":
            self._take_result(work, future)
            return
        if future.status in ("cancelled", "lost"):
            self.waiting.appendleft(work)
            work.attempts -= 1
            raise SchedulerLostError("the Dask scheduler went away")
        error = future.exception()
        self.lost_worker = isinstance(error, KilledWorker)
        if isinstance(error, NoSpaceError) or _is_full(error):
            self.waiting.appendleft(work)
            raise error if isinstance(error, NoSpaceError) else _no_space(error)
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
            self.waiting.appendleft(work)
            work.attempts -= 1
        else:
            self.done(work, result)


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
