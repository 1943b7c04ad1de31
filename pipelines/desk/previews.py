"""Warm processes that answer the dashboard: areas, quick maps, profiles, differences."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.desk.draft import Draft
from pipelines.desk.workspace import Workspace
from rfplatform.errors import InputError, MissingError, RfplatformError, WorkerError

PROCESSES = 2
TIME_LIMIT_S = 90.0
"""Of one request; the slowest is a box of a city whose buildings come over the network."""

_ERRORS: Mapping[int, type[RfplatformError]] = {
    kind.exit_code: kind for kind in (InputError, MissingError)
}


class Previews:
    """A few `pipelines.desk.preview_process`, handed out one request at a time.

    Parameters
    ----------
    workspace : Workspace
    processes : int
    time_limit_s : float
        After which a request's process is ended and replaced.

    Notes
    -----
    Safe to call from any thread. The process that was used last is used first: it has the area.
    """

    def __init__(
        self,
        workspace: Workspace,
        processes: int = PROCESSES,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._workspace = workspace
        self._time_limit_s = time_limit_s
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)  # Started when it is first needed.

    def area(self, draft: Draft) -> str:
        """Open and draw a draft's area; its folder's name in the workspace's areas."""
        return str(self.ask({"do": "area", "draft": draft.to_dict()})["area"])

    def map(self, draft: Draft) -> tuple[str, str]:
        """Map a draft at once; the names of its preview and of its area."""
        answer = self.ask({"do": "map", "draft": draft.to_dict()})
        return str(answer["preview"]), str(answer["area"])

    def profile(self, draft: Draft, sector: str, lon_deg: float, lat_deg: float) -> dict[str, Any]:
        """What lies between a sector and a point."""
        return self.ask(
            {
                "do": "profile",
                "draft": draft.to_dict(),
                "sector": sector,
                "lon": lon_deg,
                "lat": lat_deg,
            }
        )

    def difference(self, first: Path, second: Path, titles: tuple[str, str]) -> str:
        """Compare two displays; the preview's name."""
        request = {"do": "difference", "first": str(first), "second": str(second)}
        return str(self.ask({**request, "titles": titles})["preview"])

    def display(self, out: Path, folder: Path) -> Path:
        """Make what is shown of a finished map, where it is missing."""
        return Path(self.ask({"do": "display", "out": str(out), "folder": str(folder)})["display"])

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Put one request to a process.

        Raises
        ------
        InputError, MissingError
            What the process said.
        WorkerError
            It failed, died, or took too long; the next request gets a new one.
        """
        process = self._idle.get()
        try:
            if process is None or not process.is_alive:
                process = _Process(self._workspace)
            answer = process.ask(request, self._time_limit_s)
        except BaseException:
            # Whatever it still says would be taken for the answer to the next request.
            if process is not None:
                process.end()
            process = None
            raise
        finally:
            self._idle.put(process)
        if "error" in answer:
            told = self._workspace.own_words(answer["error"])
            raise _ERRORS.get(answer["exit_code"], WorkerError)(told)
        return answer

    def close(self) -> None:
        """End the processes that are idle."""
        kept = []
        with suppress(queue.Empty):
            while True:
                kept.append(self._idle.get_nowait())
        for process in kept:
            if process is not None:
                process.end()
            self._idle.put(None)


class _Process:
    """One child, with a thread that reads its answers, so that waiting can end."""

    def __init__(self, workspace: Workspace) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "pipelines.desk.preview_process", str(workspace.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._next(time.monotonic() + 60.0)

    @property
    def is_alive(self) -> bool:
        return self._child.poll() is None

    def ask(self, request: Mapping[str, Any], time_limit_s: float) -> dict[str, Any]:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
        except OSError as error:
            self.end()
            raise WorkerError("the process for quick maps ended; try again") from error
        return self._next(time.monotonic() + time_limit_s)

    def end(self) -> None:
        self._child.kill()
        self._child.wait()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _next(self, until: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            self.end()
            raise WorkerError(
                "this takes too long for a quick look: take a smaller area, or start a job"
            ) from None
        if line is None:
            self.end()
            raise WorkerError("the process for quick maps ended (out of memory?); try again")
        answer: dict[str, Any] = json.loads(line)
        return answer
