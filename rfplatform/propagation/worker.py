"""A child process that answers requests, so that its abort is an error here and no more.

The two sides speak over the child's standard input and output: a line of JSON, then the raw
bytes of the arrays that it lists. Nothing is pickled. What the child writes to its standard
error is kept: it is its last words.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
        # A session of its own: Ctrl-C reaches the caller alone, which decides what to keep.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def ask(self, request: str, /, **values: object) -> Reply:
        """Send one request and wait for its answer.

        Raises
        ------
        WorkerError
            If the child died or reports an error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, {"request": request, "values": values}, {})
            message, arrays = _receive(self._process.stdout)
        except (EOFError, OSError, ValueError) as error:
            raise WorkerError(self._obituary()) from error
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
    """Ask Linux to end this process with its parent, however that one ends."""
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
