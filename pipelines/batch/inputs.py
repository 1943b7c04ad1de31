"""What a batch reads: copied into its store once, by hash, and found again by every worker."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from pipelines.scene import slug
from rfplatform.errors import InputError, MissingError
from rfplatform.geodata.place import FILE_KINDS
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import FOLDERS, Store

OSM_LICENCE = "ODbL-1.0"

_DAY_S = 86_400.0


def licence_of(attribution: str) -> str:
    """The licence of what was made from data with an attribution, as an SPDX identifier."""
    return OSM_LICENCE if "OpenStreetMap" in attribution else ""


def hash_of_files(files: Iterable[File], parents: Iterable[str] = ()) -> str:
    """SHA-256 of several files by their hashes and paths, and of what they were made from."""
    lines = (*(f"{file.sha256} {file.path}" for file in files), *parents)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def input_artifact(
    files: tuple[File, ...], name: str, licence: str = "", parents: tuple[str, ...] = ()
) -> Artifact:
    """Files that belong together as a data set, the same for everyone who reads them.

    Parameters
    ----------
    files : tuple of File
    name : str
        For people; such as "monaco.osm.pbf".
    licence : str
        As an SPDX identifier, where it is known; that of OpenStreetMap's extracts is.
    parents : tuple of str
        What it was made from.

    Returns
    -------
    Artifact
        Its version is the beginning of its file's SHA-256, or of several's.
    """
    alone = len(files) == 1 and not parents
    is_osm = any(name.lower().endswith(end) for end, kind in FILE_KINDS.items() if kind == "osm")
    return Artifact(
        f"inputs/{slug(name)}",
        (files[0].sha256 if alone else hash_of_files(files, parents))[:16],
        "dataset",
        files,
        parents,
        title=name,
        licence=licence or (OSM_LICENCE if is_osm else ""),
    )


def put_input(
    store: Store,
    files: Mapping[str, Path],
    name: str,
    licence: str = "",
    parents: tuple[str, ...] = (),
    *,
    verify: bool = False,
) -> Artifact:
    """Put files that belong together into a store, as a data set named by what is in them.

    Parameters
    ----------
    store : Store
    files : mapping of str to Path
        Where each lies within the data set, and on this machine.
    name, licence, parents
        See `input_artifact`.
    verify : bool
        Whether to read what is there already, or to look at its size alone; what is damaged is
        put anew.
    """
    known = tuple(_hashed(path, where) for where, path in sorted(files.items()))
    made = input_artifact(known, name, licence, parents)
    try:
        there = store.find_artifact(made.ref)
    except InputError:  # its record is damaged
        store.remove_artifact(made.ref)
        there = None
    # A file that an artifact names stays; one that none does may be about to be cleaned up.
    if there is not None and not verify and all(map(store.has_file, known)):
        return there
    for file in known:
        store.put_file(files[file.path], file)
    return store.put_artifact(there or made)


def _hashed(path: Path, where: str) -> File:
    state = path.stat()
    return _hashed_once(path, where, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _hashed_once(path: Path, where: str, _changed: int, _size: int) -> File:
    """Jobs of one batch share their inputs, and so do maps of one worker."""
    return File.of(path, where)


def local_file(store: Store, file: File) -> Path:
    """A file of a store on this machine: where it lies, or a copy in the cache.

    Its contents are looked at once in a process.

    Raises
    ------
    MissingError
        If it is not there.
    InputError
        If its contents are not what its SHA-256 says.
    """
    if store.folder is not None:
        place = Path(store.place_of(file))
        if not store.has_file(file):
            raise MissingError(f"{place}: is not there, or is cut short")
        if not _is_whole(place, file):
            raise InputError(
                f"{place}: its contents are not what its SHA-256 says: run the batch with --verify"
            )
        return place
    cache = Registry.default().cache
    place = Path(cache.place_of(file))
    if not _is_whole(place, file):
        place.unlink(missing_ok=True)
        cache.copy_file(file, store)
    return place


def local_folder(store: Store, artifact: Artifact) -> Path:
    """A folder on this machine that holds an artifact's files by their paths; it is kept.

    Raises
    ------
    MissingError, InputError
        See `local_file`.
    """
    cache, inside = Registry.default().cache, f"{FOLDERS}/{artifact.digest()}"
    folder = Path(cache.url, inside)
    for file in artifact.files:
        if not _is_whole(folder / file.path, file):
            cache.put_object(f"{inside}/{file.path}", local_file(store, file))
    return folder


def _is_whole(place: Path, file: File) -> bool:
    """Whether a file is here and what it is said to be; if so, it counts as used today."""
    try:
        if place.stat().st_size != file.size_bytes:
            return False
        if _hashed(place, file.path).sha256 != file.sha256:
            return False
        if time.time() - place.stat().st_mtime > _DAY_S:
            os.utime(place)
    except FileNotFoundError:
        return False
    except PermissionError:
        pass  # another user's file: theirs to clean up
    return True
