"""A ray-tracing process that serves many maps: libraries, kernels and scenes stay loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rfplatform.errors import InputError, WorkerError
from rfplatform.propagation.worker import Worker

TRACING_MODULE = "rfplatform.propagation.raytraced"


class TracingProcess:
    """The ray tracer's process, started when it is first needed; a context manager.

    Importing Sionna, loading kernels and loading a scene cost 2 to 4 s a map in a fresh process,
    hardly anything in one that has done it before. A map's values do not depend on the maps
    before it.

    Threads that share one take turns, a map each.

    Parameters
    ----------
    threads : int, optional
        Of the CPU's; all of them by default. With 1, the same request gives the same bits, in
        this process or in another on a machine of the same kind with the same libLLVM: several
        threads add float32 in any order. It decides nothing on a GPU, whose additions have no
        order either: equal bits are not promised there.
    memory_limit_bytes : int, optional
        A process whose resident memory exceeds this after a map is ended, and the next map gets a
        fresh one.

    Attributes
    ----------
    maps : int
        Served so far.
    starts : int
        Processes started so far.
    rss_bytes : int
        Resident memory of the process after its last map; 0 before the first.

    Raises
    ------
    InputError
        If a number is less than 1.
    """

    def __init__(self, threads: int | None = None, memory_limit_bytes: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"threads {threads}: must be 1 or more")
        if memory_limit_bytes is not None and memory_limit_bytes < 1:
            raise InputError(f"memory limit {memory_limit_bytes} bytes: must be 1 or more")
        self.threads, self.memory_limit_bytes = threads, memory_limit_bytes
        self.maps, self.starts, self.rss_bytes = 0, 0, 0
        self._turn = threading.Lock()
        self._worker: Worker | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None while there is none."""
        worker = self._worker
        return worker.pid if worker is not None and worker.ready else None

    @contextmanager
    def map(self) -> Iterator[Worker]:
        """The worker, for one map: ``with process.map() as worker``.

        Whatever goes wrong meanwhile ends the process; the next map gets a fresh one.
        """
        with self._turn:
            worker = self._running()
            try:
                yield worker
            except BaseException:
                self.close()
                raise
            self._after_map(worker)

    def close(self) -> None:
        """End the process, at once, even under a map; another map starts it again."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> Worker:
        worker = self._worker
        if worker is not None and worker.ready:
            return worker
        self.close()
        worker = self._worker = Worker(TRACING_MODULE, environment())
        self.starts += 1
        try:
            worker.ask("start", threads=self.threads)
        except BaseException:
            self.close()
            raise
        return worker

    def _after_map(self, worker: Worker) -> None:
        import psutil

        self.maps += 1
        try:
            if worker.ready:  # not where the user cut the map short and took what there was
                worker.ask("rest")
                self.rss_bytes = int(psutil.Process(worker.pid).memory_info().rss)
        except (WorkerError, psutil.Error):  # the map is whole; only its process is lost
            self.close()
        limit = self.memory_limit_bytes
        if not worker.ready or (limit is not None and self.rss_bytes > limit):
            self.close()


def environment() -> dict[str, str]:
    """Variables for a process that imports Sionna: which libLLVM, unless there is a GPU."""
    import shutil

    from rfplatform import libllvm
    from rfplatform.errors import MissingError

    try:
        return libllvm.environment(libllvm.find())
    except MissingError:
        if shutil.which("nvidia-smi"):
            return {}
        raise
