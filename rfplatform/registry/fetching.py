"""A file from a URL into a folder: in ranges, going on where an earlier try stopped, verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rfplatform.errors import InputError
from rfplatform.registry.artifact import File
from rfplatform.registry.store import CHUNK_BYTES, PARTIAL, Store, place_file, read_range, told

RANGE_BYTES = 8 << 20


def fetch(
    file: File, source: str, home: Store, progress: Callable[[int], None] | None = None
) -> Path:
    """Fetch a file into a folder's store, unless it is there.

    What arrived is kept in ``partial/<sha256>.part`` until it is whole, whatever ends this
    process. Several processes that want one file wait for the first.

    Parameters
    ----------
    file : File
    source : str
        Path or URL.
    home : Store
        A folder.
    progress : callable, optional
        Called with the bytes that are there by now.

    Raises
    ------
    InputError
        If nothing is at the source, or not all of the file, or something else.
    MissingError
        If the source can't be reached. The next call goes on from here.
    """
    assert home.folder is not None
    place = Path(home.place_of(file))
    part = home.folder / PARTIAL / f"{file.sha256}.part"
    while not home.has_file(file):
        with told(str(part)):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("ab+") as target:
                _wait_for_others(target)
                if not _is_at(target, part):
                    continue  # the other one finished
                if home.has_file(file):
                    part.unlink(missing_ok=True)
                    break
                try:
                    _receive(target, file, source, progress)
                except InputError:
                    part.unlink(missing_ok=True)
                    raise
                os.fsync(target.fileno())
                if os.name != "posix":
                    target.close()  # Windows moves no open file
                place_file(part, place)
    return place


def _receive(
    target: IO[bytes], file: File, source: str, progress: Callable[[int], None] | None
) -> None:
    """Bring an open file to its full contents, from what it holds."""
    target.seek(0)
    digest = hashlib.sha256()
    while block := target.read(CHUNK_BYTES):
        digest.update(block)
    resumed = done = target.tell()
    while done < file.size_bytes:
        try:
            block = read_range(source, done, min(done + RANGE_BYTES, file.size_bytes))
        except FileNotFoundError:
            raise InputError(f"{file.path} is not at {source}") from None
        if not block:
            raise InputError(
                f"{file.path}: {source} has only {done:,} of its {file.size_bytes:,} bytes: it "
                "was cut short; push it anew"
            )
        target.write(block)
        target.flush()
        digest.update(block)
        done += len(block)
        if progress is not None:
            progress(done)
    if done == file.size_bytes and digest.hexdigest() == file.sha256:
        return
    if resumed:  # the first part may have been the wrong one
        target.truncate(0)
        _receive(target, file, source, progress)
        return
    raise InputError(
        f"{file.path}: what is at {source} is not what was recorded (SHA-256 "
        f"{digest.hexdigest()[:12]}, not {file.sha256[:12]}): it was changed; push it anew"
    )


def _wait_for_others(target: IO[bytes]) -> None:
    """Let one process at a time write; on Windows all may, and the hash tells if they did."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(target, fcntl.LOCK_EX)


def _is_at(target: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(target.fileno()), path.stat())
    except FileNotFoundError:
        return False
