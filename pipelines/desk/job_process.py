"""The process of a job: ``python -m pipelines.desk.job_process FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, NamedTuple

from pipelines.desk.jobs import (
    ABOUT,
    STATE,
    STOP,
    Job,
    State,
    find_job,
    list_jobs,
    slots,
)
from pipelines.desk.kinds import Kind, Order, Word, find_kind
from pipelines.desk.workspace import Workspace, read_json_file, write_json_file
from rfplatform.errors import InputError, RfplatformError

NICENESS = 10
WORD_S = 0.3
"""Between two words on how far it is."""

TURN_S = 0.3
"""Between two looks at the queue."""

INTERRUPTED, TERMINATED, UNEXPECTED = 130, 143, 1
"""Exit codes."""


class TerminatedError(BaseException):
    """The end of the process was asked for, without delay (SIGTERM)."""


class End(NamedTuple):
    """How a job ended."""

    state: State
    word: Word
    exit_code: int


class Ledger:
    """A job's ``state.json``, which its process alone writes.

    Parameters
    ----------
    folder : Path
        The job's.
    """

    def __init__(self, folder: Path) -> None:
        import psutil

        self._place = folder / STATE
        self._written = 0.0
        self._values: dict[str, Any] = {
            "state": "queued",
            "message": "Waiting for its turn",
            "pid": os.getpid(),
            "create_time": psutil.Process().create_time(),
            "details": {},
        }
        self._write()

    def begin(self) -> None:
        """It is the job's turn."""
        self._values |= {"state": "running", "message": "Starting", "started": time.time()}
        self._write()

    def tell(self, word: Word) -> None:
        """How far it is: a new step is told at once, numbers now and then."""
        self._take(word)
        if word.share is None or time.monotonic() - self._written >= WORD_S:
            with suppress(OSError):  # the disk may be full for a while
                self._write()

    def end(self, end: End) -> None:
        """It is over."""
        self._take(end.word)
        self._values |= {"state": end.state, "ended": time.time(), "exit_code": end.exit_code}
        self._write()

    def _take(self, word: Word) -> None:
        known = {"share": word.share, "noise_db": word.noise_db}
        self._values |= {name: value for name, value in known.items() if value is not None}
        self._values["message"] = word.message
        self._values["details"] |= word.details

    def _write(self) -> None:
        write_json_file({**self._values, "heartbeat": time.time()}, self._place)
        self._written = time.monotonic()


def main(folder: Path) -> int:
    """Wait for a slot, do the work of a job, and leave its last word; returns the exit code."""
    os.nice(NICENESS)
    _be_deaf(signal.SIGINT)  # the wish that goes with it is looked for before the work begins
    workspace = Workspace(folder.parent.parent)
    ledger = Ledger(folder)
    about = read_json_file(folder / ABOUT)
    assert about is not None
    order = Order(workspace, folder, about["options"])
    with ExitStack() as held:  # the slot, till the end is told
        end = _ended(find_kind(about["kind"]), order, ledger, held)
        _be_deaf(signal.SIGINT, signal.SIGTERM)
        ledger.end(end)
    return end.exit_code


def _ended(kind: Kind, order: Order, ledger: Ledger, held: ExitStack) -> End:
    """Do the work, whatever comes of it."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminate)
        if (order.folder / STOP).exists():
            return End("cancelled", Word("cancelled"), INTERRUPTED)
        held.enter_context(_turn(order.workspace, order.folder.name))
        ledger.begin()
        word = kind.run(order, ledger.tell)
        _be_deaf(signal.SIGINT)  # what there is to show is soon made
        if kind.is_map:
            _draw(order, ledger)
        return End("done", word, 0)
    except KeyboardInterrupt:
        return End("cancelled", Word("cancelled"), INTERRUPTED)
    except TerminatedError:
        if (order.folder / STOP).exists():
            return End("cancelled", Word("cancelled"), TERMINATED)
        words = "ended from outside, as when the machine shuts down; start it again"
        return End("failed", Word(words), TERMINATED)
    except RfplatformError as error:
        return End("failed", Word(order.own_words(error)), error.exit_code)
    except Exception as error:  # noqa: BLE001  (whatever it is, the user is told)
        traceback.print_exc()
        words = f"unexpected error: {type(error).__name__}: {order.own_words(error)}"
        return End("failed", Word(words), UNEXPECTED)


def _draw(order: Order, ledger: Ledger) -> None:
    """Make what is shown of the map; a fault in that costs no finished map."""
    ledger.tell(Word("Drawing the map"))
    try:
        from pipelines.desk.display import display_of_output

        display_of_output(order.out, order.folder / "display")
    except (Exception, TerminatedError) as error:  # noqa: BLE001  (the same)
        traceback.print_exc()
        words = f"the map can't be shown ({type(error).__name__}: {order.own_words(error)})"
        ledger.tell(Word("Drawing the map", details={"display_error": words}))


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise TerminatedError


def _be_deaf(*numbers: signal.Signals) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _turn(workspace: Workspace, id: str) -> IO[bytes]:  # noqa: A002
    """Wait till no older job waits and a slot is free; it is held for as long as the file is."""
    ahead = [job for job in list_jobs(workspace) if job.id < id]
    while True:
        ahead = [job for job in ahead if _waits(workspace, job)]
        held = None if ahead else _free_slot(workspace)
        if held is not None:
            return held
        time.sleep(TURN_S)


def _waits(workspace: Workspace, job: Job) -> bool:
    try:
        return find_job(workspace, job.id).state == "queued"
    except InputError:  # removed meanwhile
        return False


def _free_slot(workspace: Workspace) -> IO[bytes] | None:
    """A file that this process has locked, for as long as it is open; None where all are taken."""
    import fcntl

    for number in range(slots()):
        file = (workspace.jobs / f".slot-{number}").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return file
    return None


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
