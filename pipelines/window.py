"""One window of a training set: what decides it, its key, and its making on any worker."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pipelines.batch.tile import tracing_process
from rfplatform.errors import InputError
from rfplatform.formats.scene_parts import ABOUT, BUILDINGS, read_part
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import FileKind, FileSource
from rfplatform.propagation.lesson import (
    TeacherConfig,
    read_packed,
    trace_window,
    write_lesson,
)
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.windows import Town, WindowConfig
from rfplatform.registry.artifact import canonical_json
from rfplatform.scene import Scene

RECIPE = 1
"""Counts up when the same configuration gives other windows or other maps of them."""

FOLDER = "windows"
"""Of an output, with a file for each window."""


@dataclass(frozen=True)
class Extract:
    """Where a town's buildings are read from, again and again.

    Attributes
    ----------
    path : Path
        A file; or a folder with a scene that was downloaded.
    kind : str
        What kind of file; "parts" for such a folder.
    sha256 : str
        Of the file; of the folder's files together.
    """

    path: Path
    kind: FileKind | Literal["parts"]
    sha256: str

    def scene(self) -> Scene:
        """Read it.

        Raises
        ------
        InputError
            If it can't be read.
        """
        if self.kind == "parts":
            return read_part(self.path / BUILDINGS, self.path / ABOUT)
        return load_scene(FileSource(self.path, self.kind))


@dataclass(frozen=True)
class WindowTask:
    """A window to make: all that decides it, and where it goes.

    Attributes
    ----------
    town : str
    number : int
    extract : Extract
    seed : int
    windows : WindowConfig
    teacher : TeacherConfig
    path : Path
    """

    town: str
    number: int
    extract: Extract
    seed: int
    windows: WindowConfig
    teacher: TeacherConfig
    path: Path

    @property
    def key(self) -> str:
        """Hash of all that decides it."""
        return window_key(
            self.extract.sha256, self.town, self.number, self.seed, self.windows, self.teacher
        )


def window_key(
    extract_sha256: str,
    town: str,
    number: int,
    seed: int,
    windows: WindowConfig,
    teacher: TeacherConfig,
) -> str:
    """Hash of all that decides a window and its maps, as hexadecimal SHA-256.

    Parameters
    ----------
    extract_sha256 : str
        Of the town's extract.
    town : str
        Its name, from which places are drawn.
    number, seed : int
    windows : WindowConfig
    teacher : TeacherConfig
    """
    decides = {
        "extract": extract_sha256,
        "town": town,
        "number": number,
        "seed": seed,
        "windows": asdict(windows),
        "teacher": asdict(teacher),
        "recipe": RECIPE,
        "sionna-rt": importlib.metadata.version("sionna-rt"),
    }
    return hashlib.sha256(canonical_json(decides)).hexdigest()


def window_path(folder: Path, town: str, number: int) -> Path:
    """Where a window lies in an output's folder."""
    return folder / FOLDER / f"{town}-{number:05d}.npz"


def make_window(task: WindowTask, process: TracingProcess | None = None) -> dict[str, Any]:
    """Draw a window, trace it and write it.

    Parameters
    ----------
    task : WindowTask
    process : TracingProcess, optional
        By default this process's own, of one thread, for equal bits.

    Returns
    -------
    dict
        "undrawn": why it has none, or "".
    """
    town = _town(task.extract, task.town)
    try:
        window = town.window(task.number, task.windows, task.seed)
    except InputError as error:
        return {"undrawn": str(error)}
    traced = trace_window(window, task.windows, task.teacher, process or tracing_process())
    write_lesson(traced, task.path, task.key)
    return {"undrawn": ""}


@lru_cache(maxsize=1)
def _town(extract: Extract, name: str) -> Town:
    """Windows come town by town: the last one is kept."""
    return Town.of(name, extract.scene())


def is_made(task: WindowTask) -> bool:
    """Whether a window is there, whole, and decided by the same."""
    if not task.path.is_file():
        return False
    try:
        about = json.loads(read_packed(task.path)["about"].tobytes())
    except (InputError, ValueError):
        return False
    return isinstance(about, dict) and about.get("key") == task.key
