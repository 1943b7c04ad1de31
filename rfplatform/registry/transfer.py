"""Artifacts between a registry and other stores: files first, whole and verified, records last."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rfplatform.errors import InputError, unknown_name
from rfplatform.registry import index
from rfplatform.registry.artifact import Artifact, File, parse_ref
from rfplatform.registry.checking import fault_of
from rfplatform.registry.fetching import fetch
from rfplatform.registry.index import Row
from rfplatform.registry.store import Store

if TYPE_CHECKING:
    import sqlite3

    from rfplatform.registry.registry import Progress, Registry

_AT_ONCE = 8
"""Records that are asked for or sent at one time, since each is small and far away."""


def local_path(registry: Registry, ref: str, file: File, store_url: str) -> Path:
    """Where a file lies on this machine, verified; fetched first where it is elsewhere.

    Parameters
    ----------
    registry : Registry
    ref : str
        The artifact.
    file : File
    store_url : str
        Where its files are; empty for the registry's own folder.
    """
    home, store = registry.store, Store(store_url) if store_url else registry.store
    for near in dict.fromkeys((home, store)):
        if near.folder is None or near.size_of(file) is None:
            continue
        if fault := fault_of(ref, file, near):
            raise InputError(f"{fault}: {_remedy(file, near, home)}")
        return Path(near.place_of(file))
    source = _source(file, store)
    if source is None:
        raise InputError(
            f"{ref}: {file.path} is not at {store.url}: add or pull the artifact again"
        )
    return _fetched(registry, ref, file, source, None)


def _remedy(file: File, near: Store, home: Store) -> str:
    if near != home:
        return "make it again there, or restore it from a copy"
    if file.url:
        return "remove it there, and it is fetched anew"
    return "add or pull the artifact again, which replaces it"


def _source(file: File, store: Store) -> str | None:
    """Where a file that is not at home can be had."""
    if store.folder is None or store.has_file(file):
        return store.place_of(file)
    return file.url or None


def _fetched(
    registry: Registry, ref: str, file: File, source: str, progress: _Bytes | None
) -> Path:
    try:
        return fetch(file, source, registry.store, progress.within if progress else None)
    except InputError as error:
        raise InputError(f"{ref}: {error}") from error


class _Bytes:
    """Bytes done of several files, told in one count."""

    def __init__(self, progress: Progress | None, files: Iterable[File]) -> None:
        self._progress, self._total = progress, sum(f.size_bytes for f in files)
        self._what, self._before, self._size = "", 0, 0

    def next(self, what: str, size: int) -> None:
        self._what, self._before, self._size = what, self._before + self._size, size
        self.within(0)

    def within(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._what, self._before + done, self._total)

    def end(self) -> None:
        self.next("", 0)


def push(
    registry: Registry, ref: str, store: Store, *, with_parents: bool, progress: Progress | None
) -> Artifact:
    """Copy an artifact to another store: its files, then its record.

    Files that are there are not sent again, so that an interrupted push goes on. Records of all
    that it was made from go along, so that its lineage is known there. Files that have a URL and
    are not at home are left where they are.

    Parameters
    ----------
    registry : Registry
    ref : str
        "name@version", or the newest of a "name".
    store : Store
    with_parents : bool
        Send the files of all that it was made from, too.
    progress : callable, optional

    Returns
    -------
    Artifact

    Raises
    ------
    InputError
        If it is unknown, a file of it was changed, or something else has its name and version
        there, or that of something that it was made from.
    MissingError
        If the store can't be reached.
    """
    artifact = registry.get(ref)
    ancestors = registry.ancestors(artifact.ref)
    with ThreadPoolExecutor(_AT_ONCE) as several:
        list(several.map(lambda made: _refuse_another(store, made), (artifact, *ancestors)))
    moved = [
        (made.ref, file)
        for made in (artifact, *(ancestors if with_parents else ()))
        for file in made.files
    ]
    done = _Bytes(progress, (file for _, file in moved))
    for made_ref, file in moved:
        done.next(f"{made_ref} {file.path}", file.size_bytes)
        if store.has_file(file) or (file.url and not _is_near(registry, made_ref, file)):
            continue
        store.put_file(registry.path(made_ref, file.path), file)
    done.end()
    with ThreadPoolExecutor(_AT_ONCE) as several:
        list(several.map(lambda made: store.put_artifact(made, bare=not with_parents), ancestors))
    return store.put_artifact(artifact)


def _is_near(registry: Registry, ref: str, file: File) -> bool:
    url = registry.entry(ref).store_url
    return registry.store.has_file(file) or bool(url and Store(url).has_file(file))


def _refuse_another(store: Store, artifact: Artifact) -> None:
    there = store.find_artifact(artifact.ref)
    if there is not None and there.digest() != artifact.digest():
        raise InputError(
            f"{artifact.ref} conflicts with what is at {store.url} under that name and version: "
            "push another version"
        )


def pull(
    registry: Registry, ref: str, store: Store, *, with_parents: bool, progress: Progress | None
) -> Artifact:
    """Take an artifact in from another store; nothing is here before all of it is.

    Bytes that arrived are kept for the next try. Records of all that it was made from come along.

    Parameters
    ----------
    registry : Registry
    ref : str
        "name@version", or the newest there of a "name".
    store : Store
    with_parents : bool
        Take in the files of all that it was made from, too.
    progress : callable, optional

    Returns
    -------
    Artifact

    Raises
    ------
    InputError
        If it is not there, or a file there was changed or cut short; if something else has its
        name and version here, or that of something that it was made from.
    MissingError
        If the store can't be reached.
    """
    artifact = _named(store, ref)
    above = store.with_ancestors(artifact.parents)
    ancestors = [made for made in above if made.ref != artifact.ref]
    row, rows = Row.of(artifact), [Row.of(made) for made in ancestors]
    registry.refuse_another([row, *rows])
    moved = [
        (made.ref, file)
        for made in (artifact, *(ancestors if with_parents else ()))
        for file in made.files
        if not file.url or registry.store.has_file(file) or store.has_file(file)
    ]
    refs = {file: made_ref for made_ref, file in moved}
    done = _Bytes(progress, refs)

    def put(file: File) -> None:
        done.next(f"{refs[file]} {file.path}", file.size_bytes)
        if registry.store.has_file(file):
            if fault_of(refs[file], file, registry.store) is None:
                return
            Path(registry.store.place_of(file)).unlink(missing_ok=True)
        _fetched(registry, refs[file], file, store.place_of(file), done)

    def write(db: sqlite3.Connection) -> Artifact:
        index.insert(db, rows, "" if with_parents else store.url, kept=False)
        index.insert(db, [row], "", kept=True)
        return index.load(db, index.find(db, artifact.ref))

    pulled = registry.settle(list(refs), put, write)
    done.end()
    return pulled


def _named(store: Store, ref: str) -> Artifact:
    """What a name stands for in a store: where it has no version, the newest."""
    name, version = parse_ref(ref)
    if version is not None and (found := store.find_artifact(ref)) is not None:
        return found
    versions = sorted(store.versions(name))
    if not versions:
        raise InputError(f"{name} is not at {store.url}: see what is there")
    if version is not None:
        raise unknown_name(f"version of {name} at {store.url},", version, versions)
    there = [made for made in store.artifacts(f"{name}@{v}" for v in versions) if made is not None]
    return max(there, key=lambda artifact: (artifact.created, artifact.version))
