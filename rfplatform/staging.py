"""Outputs that are whole or not there: written beside their place and moved when done."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rfplatform.errors import InputError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def require_free(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a path that holds something already, before any work is done.

    Parameters
    ----------
    path : path-like
        Where a file or a directory is to be written. An empty directory counts as free.
    overwrite : bool
        Accept whatever is there.

    Raises
    ------
    InputError
        If something is there and `overwrite` is false.
    """
    place = Path(path)
    if overwrite or not place.exists():
        return
    if place.is_dir() and not any(place.iterdir()):
        return
    raise InputError(f"{place} exists already: choose another path or pass --overwrite")


@contextmanager
def staged(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A temporary sibling of `path` that takes its place when the block ends without an error.

    The block writes a file or a directory at the yielded path, which does not exist yet. On any
    error, an interrupt included, what was written is removed and `path` is left as it was.

    Parameters
    ----------
    path : path-like
        Where the output belongs. A symbolic link is followed; missing parents are made, and
        removed again on an error.
    overwrite : bool
        Replace what is there. A directory is exchanged in one step where the file system can
        (Linux), so that at no moment nothing is there.

    Yields
    ------
    Path
        Where to write. It keeps the suffix of `path`.

    Raises
    ------
    InputError
        At entry if `path` exists and `overwrite` is false, or if its folder can't be made.
    """
    require_free(path, overwrite=overwrite)
    place = Path(os.path.realpath(path))
    made = _make_parents(place)
    partial = place.with_name(f".{place.stem}.{secrets.token_hex(4)}.partial{place.suffix}")
    placed = False
    try:
        yield partial
        _sync(partial)
        require_free(place, overwrite=overwrite)
        _move(partial, place)
        placed = True
        sync_folder(place.parent)
    finally:
        if not placed:
            _remove(partial)
            for folder in made:
                # Someone else may have put something there meanwhile: then it stays.
                with suppress(OSError):
                    folder.rmdir()


def _make_parents(place: Path) -> list[Path]:
    """Make the missing parents of a place; those that were made, the innermost first."""
    missing = [p for p in place.parents if not p.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{place.parent}: the folder can't be made ({error.strerror}): choose another path"
        ) from error
    return missing


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Bring a file, or every file and folder of a directory, to the disk."""
    if not path.is_dir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return
    for folder, _, names in os.walk(path):
        for name in names:
            with Path(folder, name).open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk: a file that was moved into it survives a power cut."""
    if os.name != "posix":
        return  # Windows can't open a folder to sync it.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems can't sync folders; their renames are durable by themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _move(partial: Path, place: Path) -> None:
    """Move into place; what is there ends up removed, and only after the new has taken over."""
    if not place.exists() or not (partial.is_dir() or place.is_dir()):
        partial.replace(place)
    elif _exchange(partial, place):
        _remove(partial)
    else:
        old = place.with_name(f".{place.stem}.{secrets.token_hex(4)}.old{place.suffix}")
        place.rename(old)
        try:
            partial.rename(place)
        except OSError:
            old.rename(place)
            raise
        _remove(old)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two paths in one step (Linux renameat2); False where that does not exist."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    paths = os.fsencode(first), os.fsencode(second)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), os.fspath(second))
