"""Where a batch runs: a cluster of this machine's own, or any Dask scheduler's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    from distributed import Client

WORKER_BYTES = 3 << 30
"""Memory that a worker and its ray tracer take for a tile of a kilometre or two."""

CONNECT_S = 20.0
GPU = "GPU"
"""Tag of workers with a GPU: ``dask worker --resources GPU=1``."""


def default_workers() -> int:
    """As many as there are cores, and as the free memory holds."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, int(psutil.virtual_memory().available // WORKER_BYTES)))


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
    from distributed import Client, LocalCluster

    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.comm.timeouts.connect": f"{CONNECT_S}s",
        # A worker's own memory is watched by the batch; pausing and spilling would only stall it.
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
            memory_limit=0,
            resources={GPU: 1} if shutil.which("nvidia-smi") and workers == 1 else None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


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
