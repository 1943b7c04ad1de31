"""How far a batch is, in its store: written while it runs, read from any other shell."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rfplatform.errors import InputError
from rfplatform.registry.store import Store

PLACE = "status"
SILENT_S = 60.0
"""A batch that has said nothing for so long runs no more."""

State = Literal["running", "done", "interrupted", "stopped"]


@dataclass(frozen=True)
class Status:
    """Where a run of a batch stands.

    Attributes
    ----------
    run : str
        Tells runs apart.
    state : str
        "stopped" is by an error.
    maps, done, already, failed, running, waiting : int
        Maps known so far; those that exist, of which some did before; those that were given up;
        those on a worker; those that wait. Maps of areas that are still being read are not known.
    scenes_waiting : int
        Areas that are still to be read.
    workers : int
        Tasks that the cluster can run at once.
    rays : int
        Traced in this run.
    rays_per_s, left_s : float or None
        Over this run, all workers together; seconds left. None: not known yet.
    elapsed_s : float
    now : tuple of str
        What runs.
    heartbeat : float
        Unix time when this was written.
    host, pid : str, int
        Of the command.
    """

    run: str
    state: State
    maps: int
    done: int
    already: int
    failed: int
    running: int
    waiting: int
    scenes_waiting: int
    workers: int
    rays: int
    rays_per_s: float | None
    left_s: float | None
    elapsed_s: float
    now: tuple[str, ...]
    heartbeat: float
    host: str
    pid: int

    @property
    def alive(self) -> bool:
        """Whether the run goes on, by its last word."""
        return self.state == "running" and time.time() - self.heartbeat < SILENT_S

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with "alive"."""
        return {**asdict(self), "now": list(self.now), "alive": self.alive}


def write_status(store: Store, status: Status) -> None:
    """Leave word in the store."""
    body = json.dumps(asdict(status)).encode()
    store.put_object(f"{PLACE}/{status.run}.json", body)


def read_statuses(store: Store) -> list[Status]:
    """Those of all runs that are remembered, the latest first."""
    found = []
    for place in store.objects(PLACE):
        body = store.object_at(place)
        if body is not None and (status := _parsed(body)) is not None:
            found.append(status)
    return sorted(found, key=lambda s: -s.heartbeat)


def _parsed(body: bytes) -> Status | None:
    """None for what another version wrote."""
    try:
        values: Mapping[str, Any] = json.loads(body)
        return Status(**{**values, "now": tuple(values["now"])})
    except (ValueError, TypeError, KeyError):
        return None


def latest_status(store: Store) -> Status:
    """The run that spoke last.

    Raises
    ------
    InputError
        If no batch has run there.
    """
    found = read_statuses(store)
    if not found:
        raise InputError(f"{store.url}: no batch has run there yet; check --out")
    return found[0]


def forget_ended(store: Store, keep: int = 10) -> None:
    """Forget all but the last runs that are over."""
    over = [status for status in read_statuses(store) if not status.alive]
    for status in over[keep:]:
        store.remove(f"{PLACE}/{status.run}.json")
