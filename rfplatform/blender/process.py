"""Blender in a process of its own, where its noise, its crashes and its libraries stay."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rfplatform.doctor import BLENDER_REMEDY
from rfplatform.errors import InputError, MissingError
from rfplatform.propagation.worker import Arrays, Reply, Worker

NAME = "Blender"
WORKER = "rfplatform.blender.worker"


def require_blender() -> None:
    """Refuse to go on where Blender's Python module is not installed.

    Raises
    ------
    MissingError
    """
    if importlib.util.find_spec("bpy") is None:
        raise MissingError(
            "Blender's Python module (bpy) is not installed: "
            f"{BLENDER_REMEDY} (it exists for Python 3.11 and 3.13)"
        )


def ask_blender(request: str, values: dict[str, Any], arrays: Arrays | None = None) -> Reply:
    """Send one request to a Blender that lives no longer than its answer.

    Parameters
    ----------
    request : str
        One that `rfplatform.blender.worker` handles.
    values : dict
        Plain JSON values.
    arrays : dict of ndarray, optional
        They travel in an ``.npz`` file, whose path becomes the value "arrays".

    Raises
    ------
    MissingError
        Blender is not installed.
    InputError
        Blender can't use what it was given; the answer says why.
    WorkerError
        Blender died, or failed in a way of its own.
    """
    require_blender()
    with _shared(arrays) as shared, Worker(WORKER, {}, NAME, "take a smaller area") as blender:
        reply = blender.ask(request, **values, **shared)
    if "problem" in reply.values:
        raise InputError(reply.values["problem"])
    return reply


@contextmanager
def _shared(arrays: Arrays | None) -> Iterator[dict[str, str]]:
    if arrays is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        yield {"arrays": str(path)}
