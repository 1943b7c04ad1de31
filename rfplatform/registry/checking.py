"""Whether what is stored is what was recorded: every file read and hashed anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from rfplatform.errors import InputError, MissingError
from rfplatform.registry import index
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.store import CHUNK_BYTES, Store

if TYPE_CHECKING:
    from rfplatform.registry.registry import Registry

Problem = Literal["missing", "unreadable", "size", "contents", "record", "index"]
_PAGE = 1000
_REMEMBERED = 65_536


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was recorded.

    Attributes
    ----------
    ref : str
        The artifact.
    path : str
        Its file; empty where its record is at fault.
    problem : {"missing", "unreadable", "size", "contents", "record", "index"}
        "record": the artifact's record can't be read. "index": the index names an artifact that
        its store doesn't hold.
    detail : str
        What and where, in a line.
    """

    ref: str
    path: str
    problem: Problem
    detail: str

    def __str__(self) -> str:
        return f"{self.ref}: {self.path}{' ' if self.path else ''}{self.detail}"


def fault_of(ref: str, file: File, store: Store) -> Fault | None:
    """Read a file of an artifact in a store; None where it is what was recorded."""
    found = _problem(file, store)
    return Fault(ref, file.path, *found) if found else None


def _problem(file: File, store: Store) -> tuple[Problem, str] | None:
    place = store.place_of(file)
    digest, size = hashlib.sha256(), 0
    try:
        if store.size_of(file) is None:
            return "missing", f"is not at {place}"
        with store.open_file(file) as stream:
            while block := stream.read(CHUNK_BYTES):
                digest.update(block)
                size += len(block)
    except (MissingError, OSError) as error:
        return "unreadable", f"at {place} can't be read ({error})"
    if size != file.size_bytes:
        return "size", f"at {place} has {size:,} bytes, not {file.size_bytes:,}"
    if digest.hexdigest() != file.sha256:
        found, known = digest.hexdigest()[:12], file.sha256[:12]
        return "contents", f"at {place} was changed (SHA-256 {found}, not {known})"
    return None


def verify_artifact(
    artifact: Artifact, store: Store, progress: Callable[[str], None] | None = None
) -> list[Fault]:
    """Faults of one artifact's files in a store."""
    if progress is not None:
        progress(artifact.ref)
    return _faults(artifact, store, _problem)


def verify_home(registry: Registry, progress: Callable[[str], None] | None = None) -> list[Fault]:
    """Faults of all artifacts whose files are in the registry's own folder."""
    problem = lru_cache(_REMEMBERED)(_problem)  # many artifacts share a file
    faults: list[Fault] = []
    for key in _keys(registry, ""):
        with registry.index.reading() as db:
            try:
                artifact = index.load(db, key)
            except InputError as error:
                faults.append(Fault(index.entry(db, key).ref, "", "record", str(error)))
                continue
            except LookupError:  # dropped meanwhile
                continue
        if progress is not None:
            progress(artifact.ref)
        found = _faults(artifact, registry.store, problem)
        if found and not registry.has(artifact.ref):
            continue
        faults += found
    return faults


def verify_store(
    store: Store, registry: Registry, progress: Callable[[str], None] | None = None
) -> list[Fault]:
    """Faults of all artifacts of another store, and of what the registry recorded of it.

    Of one that was pushed for its lineage alone (`Store.is_bare`), no file needs to be there.
    """
    problem = lru_cache(_REMEMBERED)(_problem)
    faults: list[Fault] = []
    for ref in store.refs():
        if progress is not None:
            progress(ref)
        try:
            artifact = store.artifact(ref)
        except (InputError, MissingError) as error:
            faults.append(Fault(ref, "", "record", str(error)))
            continue
        found = _faults(artifact, store, problem)
        missing = [fault for fault in found if fault.problem == "missing"]
        if missing and store.is_bare(ref):
            found = [fault for fault in found if fault not in missing]
        faults += found
    for key in _keys(registry, store.url):
        with registry.index.reading() as db:
            ref = index.entry(db, key).ref
        if not store.has_artifact(ref):
            faults.append(Fault(ref, "", "index", f"is not at {store.url}, where it was recorded"))
    return faults


def _faults(
    artifact: Artifact,
    store: Store,
    problem: Callable[[File, Store], tuple[Problem, str] | None],
) -> list[Fault]:
    faults = []
    for file in artifact.files:
        found = problem(file, store)
        # A file that can be had elsewhere need not be here.
        if found and not (found[0] == "missing" and file.url):
            faults.append(Fault(artifact.ref, file.path, *found))
    return faults


def _keys(registry: Registry, store_url: str) -> Iterator[int]:
    """A store's artifacts, page by page, so that no reader holds the index for hours."""
    last = -1
    while True:
        with registry.index.reading() as db:
            page = index.ids_after(db, last, store_url, _PAGE)
        if not page:
            return
        yield from page
        last = page[-1]
