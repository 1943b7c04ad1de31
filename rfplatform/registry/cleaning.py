"""Removing what nothing needs: artifacts that nothing kept came from, files that no one names.

Who adds an artifact puts its files first and names them afterwards. Such files survive a cleaning
because they are young; and, in the registry's own folder, because files go only while no one else
writes the index, and who names files looks, in its turn, whether they are still there.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from rfplatform.errors import InputError
from rfplatform.registry import index
from rfplatform.registry.artifact import parse_ref
from rfplatform.registry.store import FILES, FOLDERS, PARTIAL, Store

if TYPE_CHECKING:
    from rfplatform.registry.registry import Registry

UNUSED_S = 30 * 86_400.0
"""After which a copy of another store's file goes: it can be had again."""

_PAGE = 256
_NAMED_BY = 10
_TABLES = """
CREATE TEMP TABLE dropped (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE needed (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE unneeded (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE loose (sha256 BLOB PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Cleaning:
    """What a cleaning removed, or would remove.

    Attributes
    ----------
    artifacts : int
        Of the index, whether their files are at home or in another store, where they stay.
    files, size_bytes : int
        Contents that no artifact names any more, what interrupted writers left, and copies of
        other stores' files that were not used for long.
    needed_by : mapping of str to tuple of str
        What was to be dropped and stays, and kept artifacts that were made from it (some of them).
    dry_run : bool
        Whether all of it is still there.
    """

    artifacts: int
    files: int
    size_bytes: int
    needed_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dry_run: bool = False


def clean_home(
    registry: Registry, drop: Sequence[str], *, dry_run: bool, older_than_s: float
) -> Cleaning:
    """Clean the index and the registry's own folder. See `Registry.gc`."""
    before = time.time() - older_than_s
    artifacts = files = size = 0
    needed_by: dict[str, tuple[str, ...]] = {}
    if registry.index.path.exists() or drop:
        with registry.index.opened() as db:
            db.executescript(_TABLES)
            with nullcontext() if dry_run else index.turn(db):
                needed_by = _judge(db, [_only(db, ref) for ref in drop])
                (artifacts,) = db.execute("SELECT count(*) FROM unneeded").fetchone()
                if not dry_run:
                    _forget(db)
            files, size = _clean_files(db, registry.store, before, dry_run=dry_run)
    for more, bytes_more in (
        _clean_part(registry.store, PARTIAL, before, dry_run=dry_run),
        *_clean_cache(registry.cache, before, dry_run=dry_run),
    ):
        files, size = files + more, size + bytes_more
    return Cleaning(artifacts, files, size, needed_by, dry_run)


def _only(db: sqlite3.Connection, ref: str) -> int:
    """The number of what is to be dropped, which must be told from other versions."""
    name, version = parse_ref(ref)
    there = index.versions(db, name) if version is None else ()
    if len(there) > 1:
        raise InputError(f"{ref}: which version is to be dropped? There are {', '.join(there)}")
    return index.find(db, ref)


def _judge(db: sqlite3.Connection, dropped: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """Fill the temporary tables; those that were to be dropped, and who needs them."""
    db.executemany("INSERT OR IGNORE INTO dropped VALUES (?)", [(key,) for key in dropped])
    db.execute(
        """
        INSERT INTO needed
        WITH RECURSIVE reached (id) AS (
            SELECT id FROM artifacts WHERE kept AND id NOT IN (SELECT id FROM dropped)
            UNION SELECT parent FROM reached JOIN parents ON child = reached.id
        )
        SELECT id FROM reached
        """
    )
    db.execute(
        "INSERT INTO unneeded SELECT id FROM artifacts WHERE id NOT IN (SELECT id FROM needed)"
    )
    db.execute(
        "INSERT OR IGNORE INTO loose SELECT sha256 FROM files JOIN unneeded ON id = artifact"
    )
    return {
        index.entry(db, key).ref: _needing(db, key)
        for key in dropped
        if db.execute("SELECT 1 FROM needed WHERE id = ?", (key,)).fetchone()
    }


def _needing(db: sqlite3.Connection, key: int) -> tuple[str, ...]:
    """Some of the kept artifacts that were made from one, directly or not."""
    found = db.execute(
        """
        WITH RECURSIVE made (id) AS (
            SELECT child FROM parents WHERE parent = ?
            UNION SELECT child FROM made JOIN parents ON parent = made.id
        )
        SELECT name || '@' || version FROM made JOIN artifacts USING (id) JOIN refs USING (id)
        WHERE kept AND id NOT IN (SELECT id FROM dropped) LIMIT ?
        """,
        (key, _NAMED_BY),
    )
    return tuple(sorted(ref for (ref,) in found))


def _forget(db: sqlite3.Connection) -> None:
    db.execute("UPDATE artifacts SET kept = 0 WHERE id IN (SELECT id FROM dropped)")
    for table, column in index.TABLES:
        db.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM unneeded)")  # noqa: S608
    db.execute(
        "DELETE FROM refs WHERE id NOT IN (SELECT id FROM artifacts)"
        " AND id NOT IN (SELECT parent FROM parents)"
    )


def _clean_files(
    db: sqlite3.Connection, store: Store, before: float, *, dry_run: bool
) -> tuple[int, int]:
    """Remove files at home that no artifact names: those just dropped, and older ones."""
    files = size = 0
    places = _places(store, FILES)
    while page := list(islice(places, _PAGE)):
        # No one can name a file in this turn; who does in the next sees that it has gone.
        with nullcontext() if dry_run else index.turn(db):
            for place, size_bytes, written in page:
                sha256 = _sha256(place)
                if sha256 is None or _is_named(db, sha256):
                    continue
                loose = db.execute("SELECT 1 FROM loose WHERE sha256 = ?", (sha256,)).fetchone()
                limit = float("inf") if loose else before
                if _removed(store, place, written, limit, dry_run=dry_run):
                    files, size = files + 1, size + size_bytes
    return files, size


def _is_named(db: sqlite3.Connection, sha256: bytes) -> bool:
    found = db.execute(
        "SELECT 1 FROM files WHERE sha256 = ? AND artifact NOT IN (SELECT id FROM unneeded)"
        " LIMIT 1",
        (sha256,),
    )
    return found.fetchone() is not None


def clean_store(store: Store, *, dry_run: bool, older_than_s: float) -> Cleaning:
    """Remove files of a store that no record in it names, and what interrupted writers left.

    Raises
    ------
    InputError
        If a record can't be read: what it names is not known then, and nothing is removed.
    """
    before = time.time() - older_than_s
    files = size = 0
    with closing(sqlite3.connect("", isolation_level=None)) as db:  # in a temporary file
        db.execute("BEGIN")
        db.execute("CREATE TABLE named (sha256 BLOB PRIMARY KEY) WITHOUT ROWID")
        try:
            for artifact in store.artifacts(store.refs()):
                named = artifact.files if artifact is not None else ()  # or just removed
                db.executemany(
                    "INSERT OR IGNORE INTO named VALUES (?)",
                    [(bytes.fromhex(file.sha256),) for file in named],
                )
        except InputError as error:
            raise InputError(
                f"{error}: mend or remove that record first; nothing was removed"
            ) from error
        for place, size_bytes, written in _places(store, FILES):
            sha256 = _sha256(place)
            if (
                sha256 is None
                or db.execute("SELECT 1 FROM named WHERE sha256 = ?", (sha256,)).fetchone()
            ):
                continue
            if _removed(store, place, written, before, dry_run=dry_run):
                files, size = files + 1, size + size_bytes
    more, bytes_more = _clean_part(store, PARTIAL, before, dry_run=dry_run)
    files, size = files + more, size + bytes_more
    return Cleaning(0, files, size, dry_run=dry_run)


def _removed(store: Store, place: str, written: float, before: float, *, dry_run: bool) -> bool:
    """Whether a place was, or would be, removed: it is if it was last written before a time."""
    if not dry_run:
        return store.remove_idle(place, before)
    if store.folder is None:
        written = time.time() - store.age_s(place)
    return written < before


def _clean_cache(cache: Store, before: float, *, dry_run: bool) -> Iterator[tuple[int, int]]:
    """Remove what was not used for long, and what interrupted writers left of it."""
    yield _clean_part(cache, PARTIAL, before, dry_run=dry_run)
    unused = min(before, time.time() - UNUSED_S)
    for part in (FILES, FOLDERS):
        yield _clean_part(cache, part, unused, dry_run=dry_run)


def _clean_part(store: Store, part: str, before: float, *, dry_run: bool) -> tuple[int, int]:
    """Remove what was last written, or made young, before a time."""
    files = size = 0
    for place, size_bytes, written in list(_places(store, part)):
        if _removed(store, place, written, before, dry_run=dry_run):
            files, size = files + 1, size + size_bytes
    return files, size


def _sha256(place: str) -> bytes | None:
    """The hash that a place stands for; None where it is none that a store made."""
    parts = place.split("/")
    if len(parts) != 4 or len(parts[2]) != 64:
        return None
    try:
        return bytes.fromhex(parts[2])
    except ValueError:
        return None


def _places(store: Store, part: str) -> Iterator[tuple[str, int, float]]:
    """Places, sizes and times of writing of a store's files, as they are come upon."""
    if store.folder is None:
        sizes: Iterable[tuple[str, int]] = (
            store.stored_files() if part == FILES else store.partial_files()
        ).items()
        yield from ((place, size, 0.0) for place, size in sizes)
        return
    folders = [store.folder / part]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                inside = list(found)
        except FileNotFoundError:
            continue  # removed by another cleaning, or never made
        for item in inside:
            if item.is_dir(follow_symlinks=False):
                folders.append(store.folder / os.path.relpath(item.path, store.folder))
            else:
                try:
                    stat = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                place = os.path.relpath(item.path, store.folder).replace(os.sep, "/")
                yield place, stat.st_size, stat.st_mtime
