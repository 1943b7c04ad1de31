"""Where a batch runs: a cluster of this machine's own, or any Dask scheduler's."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rfplatform.errors import InputError, MissingError, WorkerError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

WORKER_BYTES = 3 << 30
"""Memory that a worker and its ray tracer take for a tile of a kilometre or two."""

CONNECT_S = 10.0
STARTS = 5
"""Of a cluster of this machine, before it is given up: a worker may be killed as it starts."""

REPLACED_AFTER_S = 60.0
"""A worker that has not come back for so long is ended for good, and another one is started."""

GPU = "GPU"
"""Tag of workers with a GPU: ``dask worker --resources GPU=1``."""


def default_workers() -> int:
    """As many as there are cores, and as the free memory holds; one where there is a GPU."""
    import psutil

    if has_gpu():
        return 1

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, int(psutil.virtual_memory().available // WORKER_BYTES)))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, by its tools."""
    return shutil.which("nvidia-smi") is not None


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """A scheduler in this process, and workers of one thread each in their own.

    A worker that dies is replaced, and its task fails at once: how often it is tried again is
    the batch's business.

    Parameters
    ----------
    workers : int
    """
    import dask
    from distributed import Client

    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.comm.timeouts.connect": f"{CONNECT_S}s",
        "distributed.deploy.lost-worker-timeout": f"{REPLACED_AFTER_S}s",
        # What a worker needs is known beforehand (`require_feasible`), and its ray tracer is a
        # process that Dask does not see: pausing and spilling would only stall it.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
    }
    with (
        _deafened() as deafen,
        # What a killed worker leaves in it goes at the end.
        tempfile.TemporaryDirectory(prefix="rfplatform-", ignore_cleanup_errors=True) as folder,
        dask.config.set(settings),
        _started(workers, folder) as cluster,
        Client(cluster) as client,
    ):
        try:
            yield client
        except KeyboardInterrupt:
            deafen()
            raise


@contextmanager
def _deafened() -> Iterator[Callable[[], None]]:
    """What makes the process deaf to a second Ctrl-C, till the block ends.

    The first one ends the workers, which takes some seconds; a second one in the midst of it would
    end in Dask's tracebacks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGINT)

    def deafen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    try:
        yield deafen
    finally:
        signal.signal(signal.SIGINT, before)


def _started(workers: int, folder: str) -> LocalCluster:
    from distributed import LocalCluster

    failed = None
    for _ in range(STARTS):
        try:
            with _interrupts_held_back():
                return LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=50,
                    memory_limit=0,
                    local_directory=folder,
                    env=dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder),
                    resources={GPU: 1} if has_gpu() and workers == 1 else None,
                )
        except RuntimeError as error:
            failed = error
    raise WorkerError(f"the workers died as they started ({failed})") from failed


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait, and never reach the threads that start here, nor what they start.

    A terminal sends it to all processes: the workers would die of it, each with a traceback, while
    this one still decides how to end.
    """
    from multiprocessing import resource_tracker

    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # who starts it lets Ctrl-C through from then on
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def replace_lost(client: Client) -> None:
    """Start workers of this machine's own cluster anew where Dask gave up on them.

    It restarts a worker that dies, but not one that dies as it restarts.
    """
    from distributed.core import Status

    cluster: Any = client.cluster
    if cluster is None:
        return

    def replace() -> None:
        for name, worker in list(cluster.workers.items()):
            if worker.status in (Status.closed, Status.failed):
                del cluster.workers[name]
        cluster.scale(len(cluster.worker_spec))

    cluster.loop.add_callback(replace)


@contextmanager
def remote_cluster(address: str) -> Iterator[Client]:
    """The cluster of a scheduler that runs already.

    Raises
    ------
    InputError
        If the address is none.
    MissingError
        If nobody answers there.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S)
    except ValueError as error:
        raise InputError(f"scheduler {address!r}: {error}; give tcp://HOST:8786") from error
    except OSError as error:
        raise MissingError(
            f"no Dask scheduler answers at {address}: start one with `dask scheduler`"
        ) from error
    with client:
        yield client


def slots(client: Client) -> dict[str, int]:
    """Tasks that the cluster can run at once: all of them (""), and those with a GPU."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {
        "": sum(int(w["nthreads"]) for w in workers),
        GPU: sum(int(w.get("resources", {}).get(GPU, 0)) for w in workers),
    }
