"""A child process that answers requests, so that its abort is an error here and no more.

The two sides speak over the child's standard input and output: a line of JSON, then the raw
bytes of the arrays that it lists. Nothing is pickled. What the child writes to its standard
error is kept: it is its last words.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from rfplatform.errors import WorkerError

Arrays = dict[str, npt.NDArray[Any]]
RAY_TRACING = "the ray-tracing worker"
LAST_BREATH_S = 5.0
"""How long a child that ended its answers may take to end itself."""

Handler = Callable[..., "tuple[dict[str, Any], Arrays]"]


@dataclass(frozen=True)
class Reply:
    """What a worker answers: plain values and arrays."""

    values: Mapping[str, Any]
    arrays: Arrays


class Worker:
    """A running child; use it as a context manager, so that it never outlives its use.

    Parameters
    ----------
    module : str
        Run as ``python -m module``; it must call `serve`.
    environment : mapping
        Variables to add to this process's own.
    name : str
        What its errors call it.
    relief : str
        What to do where memory does not suffice.

    Notes
    -----
    The child outlives the thread that asks for it, but never this process.
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        name: str = RAY_TRACING,
        relief: str = "give it fewer rays or a smaller area",
    ) -> None:
        self._name, self._relief = name, relief
        self._last_words: deque[str] = deque(maxlen=40)
        self._answer_due = False
        self._process = _started([sys.executable, "-m", module], {**os.environ, **environment})
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def ready(self) -> bool:
        """Whether it lives and owes no answer, as it does to a sender that was interrupted."""
        return not self._answer_due and self._process.poll() is None

    def ask(self, request: str, /, **values: object) -> Reply:
        """Send one request and wait for its answer.

        Raises
        ------
        WorkerError
            If the child died or reports an error, or still owes the answer to a request whose
            sender was interrupted.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._answer_due and self._process.poll() is None:
            raise WorkerError(f"{self._name} was interrupted before it had answered; start another")
        self._answer_due = True
        try:
            _send(self._process.stdin, {"request": request, "values": values}, {})
            message, arrays = _receive(self._process.stdout)
        except (EOFError, OSError, ValueError) as error:
            raise WorkerError(self._obituary()) from error
        self._answer_due = False
        if "error" in message:
            raise WorkerError(message["error"])
        return Reply(message["values"], arrays)

    def close(self) -> None:
        """End the child, at once."""
        self._process.kill()
        self._process.wait()
        self._listener.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # bytes to a child that is gone
                    continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text := line.decode(errors="replace").strip():
                self._last_words.append(text)

    def _obituary(self) -> str:
        try:  # its pipe ends a little before it does
            code = self._process.wait(timeout=LAST_BREATH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = None
        self._listener.join(timeout=5)
        words = " | ".join(list(self._last_words)[-3:]) or "it said nothing"
        if code is None:
            hint = "it answered what can't be read, and was ended"
        elif code == -signal.SIGKILL:
            hint = f"killed, most likely for want of memory: {self._relief}"
        elif code < 0:
            hint = f"ended by {_signal_name(-code)}; `rfplatform doctor` tests the set-up"
        else:
            hint = f"exit code {code}; `rfplatform doctor` tests the set-up"
        return f"{self._name} died ({hint}); its last words: {words}"


def _started(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A child of the starting thread.

    Linux ends a child that asked to die with its parent when the *thread* that started it ends:
    that must be one which lives as long as this process, whoever asks.
    """
    started: Future[subprocess.Popen[bytes]] = Future()
    _starting_thread(os.getpid()).put((started, command, environment))
    return started.result()


_Start = tuple["Future[subprocess.Popen[bytes]]", list[str], Mapping[str, str]]


@cache
def _starting_thread(pid: int) -> queue.SimpleQueue[_Start]:  # noqa: ARG001  (a fork has no threads)
    """Orders for the thread of a process that starts its children."""
    orders: queue.SimpleQueue[_Start] = queue.SimpleQueue()
    # A daemon: it must not end before threads that still work when the main one is through.
    threading.Thread(target=_start_all, args=(orders,), name="starts-workers", daemon=True).start()
    return orders


def _start_all(orders: queue.SimpleQueue[_Start]) -> None:
    while True:
        _start(*orders.get())


def _start(
    started: Future[subprocess.Popen[bytes]], command: list[str], environment: Mapping[str, str]
) -> None:
    try:
        # A session of its own: Ctrl-C reaches the caller alone, which decides what to keep.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except Exception as error:  # noqa: BLE001  (whatever it is, the asker is told)
        started.set_exception(error)
    else:
        started.set_result(process)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def serve(handlers: Mapping[str, Handler], name: str = RAY_TRACING) -> None:
    """Answer requests from standard input until it ends; the child's whole life.

    A handler takes the request's values as keywords and returns values and arrays. An exception
    becomes an error for the caller and the child goes on.
    """
    _die_with_parent()
    # Libraries may print: the answers get a descriptor of their own.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            message, _ = _receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            values, arrays = handlers[message["request"]](**message["values"])
            _send(answers, {"values": values}, arrays)
        except Exception as error:  # noqa: BLE001  (whatever it is, the caller is told)
            text = (str(error).strip() or type(error).__name__).splitlines()
            import traceback

            traceback.print_exc()
            _send(answers, {"error": f"{name} failed: {text[-1]}"}, {})


def _die_with_parent() -> None:
    """Ask Linux to end this process with the thread that started it, however that one ends."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """The memory of a contiguous array, of any type without references."""
    return array.reshape(-1).view(np.uint8).data


def _send(pipe: IO[bytes], message: dict[str, Any], arrays: Arrays) -> None:
    listed = [[name, str(a.dtype), list(a.shape)] for name, a in arrays.items()]
    pipe.write(json.dumps({**message, "arrays": listed}).encode() + b"\n")
    for array in arrays.values():
        pipe.write(_bytes_of(np.ascontiguousarray(array)))
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], Arrays]:
    line = pipe.readline()
    if not line:
        raise EOFError
    message = json.loads(line)
    arrays: Arrays = {}
    for name, dtype, shape in message.pop("arrays"):
        array = np.empty(shape, dtype=dtype)
        view = _bytes_of(array)
        filled = 0
        while filled < len(view):
            count = pipe.readinto(view[filled:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            filled += count
        arrays[name] = array
    return message, arrays
