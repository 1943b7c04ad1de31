"""The download of a file: kept when it is cut off, gone on with later, checked by its SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from rfplatform.errors import InputError, MissingError, NoSpaceError
from rfplatform.registry.artifact import File
from rfplatform.registry.store import read_range

SCHEMES = ("https", "http", "file", "s3", "gs")
BLOCK_BYTES = 1 << 16
"""What a connection that breaks may cost: requests gives no part of a block."""
RANGE_BYTES = 8 << 20
TIMEOUT_S = 60.0
"""Silence of a server after which a download stops; what has arrived is kept."""

Progress = Callable[[str, int, int | None], None]
"""Told a file's path, the bytes of it that are there, and how many it has where that is known."""


@dataclass(frozen=True)
class PublicFile:
    """A file that can be had.

    Attributes
    ----------
    path : str
        What it is called in its artifact.
    url : str
    sha256 : str
        "" where it is not known beforehand.
    size_bytes : int, optional
    shipped : bool
        Whether it comes with rfplatform; its URL is then one of this machine.
    """

    path: str
    url: str
    sha256: str = ""
    size_bytes: int | None = None
    shipped: bool = False


def part_name(file: PublicFile) -> str:
    """Name of the file that a download grows in; one for each contents."""
    known = file.sha256 or f"unpinned-{hashlib.sha256(file.url.encode()).hexdigest()}"
    return f"{known}.part"


def download(file: PublicFile, part: Path, progress: Progress | None = None) -> File:
    """Bring a file to a place, whole and as it is said to be.

    Parameters
    ----------
    file : PublicFile
    part : Path
        Where it arrives. What an earlier download left there is gone on with, if its SHA-256 is
        known and the server can.
    progress : callable, optional

    Returns
    -------
    File
        What it is, with the SHA-256 that was found.

    Raises
    ------
    InputError
        If what the server sends is something else: nothing is kept.
    MissingError
        If the server can't be reached or stops on the way: what has arrived is kept.
    """
    fault = ""
    with _alone(part, file):
        # A second try, as a beginning from an earlier download may be of something else.
        for begun in (True, False) if _is_begun(file, part) else (False,):
            fault = _transfer(file, part, progress, begun=begun)
            if not fault:
                found = File.of(part, file.path)
                fault = _fault(file, found.size_bytes, found.sha256)
                if not fault:
                    return File(file.path, found.sha256, found.size_bytes, _public_url(file))
        part.unlink()
    raise InputError(f"{file.url}: {fault}; nothing of it was kept")


def _is_begun(file: PublicFile, part: Path) -> bool:
    """Whether an earlier download's part may be gone on with."""
    if not file.sha256:  # nothing would tell a mixture of two versions
        return False
    there = part.stat().st_size if part.exists() else 0
    return there > 0 and (file.size_bytes is None or there <= file.size_bytes)


def _fault(file: PublicFile, size_bytes: int, sha256: str = "") -> str:
    """What is wrong with contents; "" where nothing is, as far as it is known."""
    if file.size_bytes is not None and size_bytes != file.size_bytes:
        return f"has {size_bytes:,} bytes in place of {file.size_bytes:,}"
    if file.sha256 and sha256 and sha256 != file.sha256:
        return f"its SHA-256 is {sha256[:12]}..., not {file.sha256[:12]}... as listed"
    return ""


def _public_url(file: PublicFile) -> str:
    return "" if file.shipped else file.url


def _transfer(file: PublicFile, part: Path, progress: Progress | None, *, begun: bool) -> str:
    """Have a downloader write what is missing; return what is wrong with it, or raise.

    Raises
    ------
    MissingError
        If it stops on the way; what has arrived is kept.
    """
    with part.open("ab" if begun else "wb", buffering=0) as target:
        sink = _Sink(target, file, progress)
        if sink.there == file.size_bytes:
            return ""
        is_web = urlsplit(file.url).scheme in ("http", "https")
        try:
            (_from_web if is_web else _from_file_system)(file.url, sink)
        except _Unlike as unlike:
            return str(unlike)
        except OSError as error:
            raise _stopped(sink, error) from error
        os.fsync(target.fileno())
        if file.size_bytes is not None and sink.there < file.size_bytes:
            raise _stopped(sink, EOFError())
    return ""


def _from_web(url: str, sink: _Sink) -> None:
    from pooch import HTTPDownloader

    def look(response: Any, *_: object, **__: object) -> None:  # noqa: ANN401  (requests')
        """See where the server begins and how much it has, before anything is written."""
        sink.reached = True
        begin, _, total = response.headers.get("Content-Range", "").partition("/")
        if response.status_code == 416 and sink.there:
            raise _Unlike("is shorter than what an earlier download left")
        if response.status_code == 206 and begin.startswith(f"bytes {sink.there}-"):
            sink.expect(total)
        elif response.status_code in (200, 206):
            sink.restart()
            sink.expect(response.headers.get("Content-Length", ""))

    headers = {"Accept-Encoding": "identity"}  # bytes as they are hashed
    if sink.there:
        headers["Range"] = f"bytes={sink.there}-"
    HTTPDownloader(
        chunk_size=BLOCK_BYTES, timeout=TIMEOUT_S, headers=headers, hooks={"response": look}
    )(url, sink, None)


def _from_file_system(url: str, sink: _Sink) -> None:
    """Read from whatever fsspec knows: ``file:``, ``s3:``, ``gs:``."""
    while sink.there != sink.file.size_bytes:
        block = read_range(url, sink.there, sink.there + RANGE_BYTES)
        if not block:
            break
        sink.write(block)


class _Unlike(Exception):  # noqa: N818  (ends a transfer)
    """What is there is not what the list says, which needs no whole download to see."""


class _Sink:
    """What a downloader writes to: a part that grows, and tells how far it is."""

    def __init__(self, target: IO[bytes], file: PublicFile, progress: Progress | None) -> None:
        self._target, self._progress = target, progress
        self.file = file
        self.there = target.seek(0, os.SEEK_END)
        self.reached = False

    def expect(self, total: str) -> None:
        """Compare what a server says it has in all; "" and "*" where it does not say."""
        if total.isdigit() and (fault := _fault(self.file, int(total))):
            raise _Unlike(fault)

    def write(self, block: bytes) -> int:
        """Append a block."""
        size = self.file.size_bytes
        if size is not None and self.there + len(block) > size:
            raise _Unlike(f"has more than {size:,} bytes")  # no disk need be filled with it
        self.reached = True
        rest = memoryview(block)
        while rest:
            written = self._target.write(rest)
            self.there += written
            rest = rest[written:]
        if self._progress is not None:
            self._progress(self.file.path, self.there, size)
        return len(block)

    def flush(self) -> None:
        """Nothing: there is no buffer."""

    def restart(self) -> None:
        """Forget what is there."""
        self._target.seek(0)
        self._target.truncate()
        self.there = 0


def _stopped(sink: _Sink, error: Exception) -> MissingError:
    """The one line about a transfer that ended too soon."""
    file = sink.file
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(f"{file.path}: {error.strerror}: free some and fetch again")
    response = getattr(error, "response", None)
    if response is not None:
        return MissingError(f"{file.url}: the server says {response.status_code} {response.reason}")
    if isinstance(error, FileNotFoundError):
        return MissingError(f"{file.url}: is not there")
    host = urlsplit(file.url).hostname or file.url
    of = f" of {file.size_bytes:,}" if file.size_bytes is not None else ""
    again = "fetch again to go on from there" if file.sha256 else "fetch again"
    if sink.reached:
        return MissingError(f"{file.path}: {host} stopped after {sink.there:,}{of} bytes; {again}")
    kept = f" ({sink.there:,}{of} bytes are kept from before)" if sink.there else ""
    return MissingError(f"{file.path}: {host} can't be reached; is this machine online?{kept}")


@contextmanager
def _alone(part: Path, file: PublicFile) -> Iterator[None]:
    """Hold a part against other processes that download the same."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingError(f"{part.parent}: {error.strerror}") from error
    if os.name != "posix":
        yield  # two at once spoil each other's part there, which its hash tells
        return
    import fcntl

    with part.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MissingError(
                f"{file.path}: another process is downloading it; fetch again when it is done"
            ) from None
        try:
            yield
        except BaseException:
            if part.exists() and not part.stat().st_size:
                part.unlink()
            raise
