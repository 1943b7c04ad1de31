"""The errors that a user can cause or mend; each message says what, where and what to do."""

from collections.abc import Iterable
from typing import ClassVar


class RfplatformError(Exception):
    """Base of every error that is shown as one line, without a traceback."""

    exit_code: ClassVar[int] = 1
    """What the command exits with."""


class InputError(RfplatformError):
    """The input can't be used: a file, an option, a place."""

    exit_code = 2


class WorkerError(RfplatformError):
    """A worker process died or failed; the message carries its last words."""

    exit_code = 3


class MissingError(RfplatformError):
    """Something that the machine lacks (a library, the network)."""

    exit_code = 4


class NoSpaceError(MissingError):
    """The disk that is written to is full."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is none of those known: near misses, then all of them."""
    import difflib

    names = list(known)
    near = difflib.get_close_matches(name.strip().lower(), names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return InputError(f'unknown {kind} "{name}"{hint} (known: {", ".join(names)})')
