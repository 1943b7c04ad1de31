"""The registry's index: one SQLite file that knows which artifacts there are, and their parents.

    refs        every "name@version" that was ever named, an artifact or not
    artifacts   those that are here, or in a store that is known
    bodies      what only one artifact's page shows: configuration, facts, run (JSON, deflated)
    parents     edges; a parent may be a mere name
    files       what each artifact consists of, found by hash too

Numbers stand for names everywhere else, so that a million artifacts stay small; whoever only lists
or cleans reads no JSON. Writers take turns (``BEGIN IMMEDIATE``), readers never wait.
"""

# ruff: noqa: S608  (only texts of this file are pasted into SQL; values are bound)

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rfplatform.errors import InputError, MissingError, NoSpaceError, unknown_name
from rfplatform.registry.artifact import Artifact, File, check_name, parse_ref
from rfplatform.registry.store import PARTIAL, Store
from rfplatform.staging import sync_folder

VERSION = 1
BUSY_S = 120.0
"""How long a writer waits for the others."""

_SCHEMA = f"""
CREATE TABLE refs (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, UNIQUE (name, version)
);
CREATE TABLE stores (id INTEGER PRIMARY KEY, url TEXT NOT NULL UNIQUE);
INSERT INTO stores VALUES (0, '');
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY REFERENCES refs, kind TEXT NOT NULL, created TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, kept INTEGER NOT NULL, store INTEGER NOT NULL REFERENCES stores,
    digest BLOB NOT NULL
);
CREATE INDEX artifacts_by_time ON artifacts (created);
CREATE INDEX artifacts_by_kind ON artifacts (kind, created);
CREATE INDEX artifacts_kept ON artifacts (id) WHERE kept;
CREATE TABLE bodies (id INTEGER PRIMARY KEY REFERENCES artifacts, body BLOB NOT NULL);
CREATE TABLE parents (
    child INTEGER NOT NULL REFERENCES artifacts, position INTEGER NOT NULL,
    parent INTEGER NOT NULL REFERENCES refs, PRIMARY KEY (child, position)
) WITHOUT ROWID;
CREATE INDEX parents_by_parent ON parents (parent);
CREATE TABLE files (
    artifact INTEGER NOT NULL REFERENCES artifacts, position INTEGER NOT NULL,
    sha256 BLOB NOT NULL, size_bytes INTEGER NOT NULL, path TEXT NOT NULL, url TEXT NOT NULL,
    PRIMARY KEY (artifact, position)
) WITHOUT ROWID;
CREATE INDEX files_by_sha256 ON files (sha256);
PRAGMA user_version = {VERSION};
"""

TABLES = (("files", "artifact"), ("parents", "child"), ("bodies", "id"), ("artifacts", "id"))
"""What holds something of an artifact, and under which column."""

_BODY = ("title", "licence", "citation", "schema", "config", "facts", "run")
_GLOB = "*?["
_LAST = "\x7f"  # sorts after all that a name may consist of
_FEW = 10_000
_NEAR = 8


@dataclass(frozen=True)
class Entry:
    """An artifact as a listing shows it.

    Attributes
    ----------
    name, version : str
    kind : str
        Empty where only the name is known: a parent that is not here.
    created : str
        ISO 8601, UTC.
    size_bytes : int
        Of all files.
    kept : bool
        Whether `gc` leaves it, and all that it was made from.
    store_url : str
        Where its files are; empty for the registry's own folder.
    """

    name: str
    version: str
    kind: str = ""
    created: str = ""
    size_bytes: int = 0
    kept: bool = False
    store_url: str = ""

    @property
    def ref(self) -> str:
        """Its full name: "name@version"."""
        return f"{self.name}@{self.version}"

    @property
    def here(self) -> bool:
        """Whether more than its name is known."""
        return bool(self.kind)


@dataclass(frozen=True)
class Index:
    """An index file, which the first writer makes.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """A connection for several transactions; the file is made if need be.

        Raises
        ------
        InputError
            If the file is damaged, no index, or that of a newer rfplatform.
        MissingError
            If it can't be opened, or others write for longer than `BUSY_S`.
        NoSpaceError
            If the disk is full.
        """
        try:
            if not self.path.exists():
                self._make()
            with closing(_connect(self.path)) as db:
                _check_version(db, self.path)
                yield db
        except sqlite3.DatabaseError as error:
            if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
                raise  # a fault of this file's
            raise self._told(error) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state throughout; an empty one where no file is."""
        if not self.path.exists():
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
                empty.executescript(_SCHEMA)
                yield empty
            return
        with self.opened() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block's changes are made, or none."""
        with self.opened() as db, turn(db):
            yield db

    def _make(self) -> None:
        """Make it aside and link it into place: no one ever sees half an index."""
        aside = self.path.parent / PARTIAL / f"{self.path.name}.{secrets.token_hex(4)}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            with closing(_connect(aside)) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.executescript(_SCHEMA)
            try:
                os.link(aside, self.path)
            except FileExistsError:
                return  # another process was faster
            sync_folder(self.path.parent)
        except OSError as error:
            raise MissingError(f"{self.path}: can't be made ({error.strerror})") from error
        finally:
            aside.unlink(missing_ok=True)

    def _told(self, error: sqlite3.DatabaseError) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return NoSpaceError(f"{self.path}: the disk is full: free some and run the same again")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return InputError(
                f"{self.path}: is damaged or no index ({error}): restore it from a copy, or move "
                "it away and pull or record its artifacts again"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return MissingError(f"{self.path}: others have been writing for long; run it again")
        return MissingError(f"{self.path}: {error}")


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cache_size = -65536")
    return db


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise InputError(
            f"{path}: is an index of a newer rfplatform (its form is {version}, this one knows "
            f"{VERSION}): update rfplatform, or use another folder (RFPLATFORM_HOME)"
        )
    if version < VERSION:
        raise InputError(f"{path}: is no index of a registry: choose another folder")


@contextmanager
def turn(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction during which no one else writes."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite may have rolled it back, as when the disk is full
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


# --------------------------------------------------------------------------------------------------
# Writing
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Row:
    """An artifact made ready for the index, which takes longer than to write it.

    Attributes
    ----------
    artifact : Artifact
    digest : bytes
        Of all that makes it what it is.
    body : bytes
        What no other table holds of it.
    """

    artifact: Artifact
    digest: bytes
    body: bytes

    @classmethod
    def of(cls, artifact: Artifact) -> Row:
        """That of an artifact.

        Raises
        ------
        InputError
            If its configuration, facts or run are no JSON values.
        """
        values = {key: value for key in _BODY if (value := getattr(artifact, key))}
        try:
            text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            digest = bytes.fromhex(artifact.digest())
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{artifact.ref}: configuration, facts and run must be JSON values ({error})"
            ) from error
        # A small hash table: to clear the usual one takes longer than to deflate a record.
        deflate = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 6)
        return cls(artifact, digest, deflate.compress(text.encode()) + deflate.flush())


def insert(db: sqlite3.Connection, rows: Iterable[Row], store_url: str, *, kept: bool) -> int:
    """Write artifacts whose files are in a store; how many of them were not here before.

    One that is here already stays, and is at home from now on if either says so. It is kept if
    either says so.

    Raises
    ------
    InputError
        If something else of one's name and version is here. One whose folder is gone gives way.
    """
    db.execute("INSERT OR IGNORE INTO stores (url) VALUES (?)", (store_url,))
    (store,) = db.execute("SELECT id FROM stores WHERE url = ?", (store_url,)).fetchone()
    ids: dict[str, int] = {}
    new = 0
    for row in rows:
        key = _intern(db, row.artifact.ref, ids)
        there = refuse_another(db, row)
        if there == "same":
            db.execute(
                "UPDATE artifacts SET kept = max(kept, ?),"
                " store = CASE store WHEN 0 THEN 0 ELSE ? END WHERE id = ?",
                (kept, store, key),
            )
            continue
        if there == "gone":
            delete(db, key)
        _insert(db, key, row, store, kept, ids)
        new += 1
    return new


def keep_newest(db: sqlite3.Connection, row: Row, store_url: str) -> None:
    """Of a name's versions in a store keep this one alone, which is the newest from now on."""
    db.execute(
        "UPDATE artifacts SET kept = 0 WHERE store = (SELECT id FROM stores WHERE url = ?)"
        " AND id IN (SELECT id FROM refs WHERE name = ? AND version != ?)",
        (store_url, row.artifact.name, row.artifact.version),
    )
    db.execute(
        "UPDATE artifacts SET created = ? WHERE id = (SELECT id FROM refs WHERE name = ?"
        " AND version = ?)",
        (row.artifact.created, row.artifact.name, row.artifact.version),
    )


def _insert(
    db: sqlite3.Connection, key: int, row: Row, store: int, kept: bool, ids: dict[str, int]
) -> None:
    made = row.artifact
    db.execute(
        "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, made.kind, made.created, made.size_bytes, int(kept), store, row.digest),
    )
    db.execute("INSERT INTO bodies VALUES (?, ?)", (key, row.body))
    db.executemany(
        "INSERT INTO parents VALUES (?, ?, ?)",
        [(key, i, _intern(db, parent, ids)) for i, parent in enumerate(made.parents)],
    )
    db.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
        [
            (key, i, bytes.fromhex(f.sha256), f.size_bytes, f.path, f.url)
            for i, f in enumerate(made.files)
        ],
    )


def _intern(db: sqlite3.Connection, ref: str, ids: dict[str, int]) -> int:
    if ref not in ids:
        name, version = parse_ref(ref)
        if version is None:
            raise InputError(f"parent {ref}: a version is needed, as in {name}@VERSION")
        found = db.execute(
            "SELECT id FROM refs WHERE name = ? AND version = ?", (name, version)
        ).fetchone()
        if found is None:
            ids[ref] = int(
                db.execute(
                    "INSERT INTO refs (name, version) VALUES (?, ?)", (name, version)
                ).lastrowid
                or 0
            )
        else:
            ids[ref] = found[0]
    return ids[ref]


def is_there(db: sqlite3.Connection, ref: str) -> bool:
    """Whether "name@version" is an artifact, or any version of a "name"."""
    name, version = parse_ref(ref)
    found = db.execute(
        "SELECT 1 FROM refs JOIN artifacts USING (id)"
        " WHERE name = ? AND ? IN (version, '') LIMIT 1",
        (name, version or ""),
    )
    return found.fetchone() is not None


def refuse_another(db: sqlite3.Connection, row: Row) -> Literal["absent", "same", "gone"]:
    """What is here of an artifact's name and version: "gone" is what was in a folder no longer.

    Raises
    ------
    InputError
        If it is something else.
    """
    name, version = row.artifact.name, row.artifact.version
    here = db.execute(
        "SELECT digest, url FROM refs JOIN artifacts USING (id)"
        " JOIN stores ON stores.id = store WHERE name = ? AND version = ?",
        (name, version),
    ).fetchone()
    if here is None:
        return "absent"
    digest, url = here
    if digest == row.digest:
        return "same"
    if url and (folder := Store(url).folder) and not folder.exists():
        return "gone"
    ref = row.artifact.ref
    place = f"at {url}" if url else "in this registry"
    raise InputError(
        f"{ref} conflicts with what is {place} under that name and version: choose another "
        f"version, or drop the other first (gc, drop {ref})"
    )


def delete(db: sqlite3.Connection, key: int) -> None:
    """Remove an artifact; its name stays, as it may be another's parent."""
    for table, column in TABLES:
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,))


# --------------------------------------------------------------------------------------------------
# Reading
# --------------------------------------------------------------------------------------------------

_ENTRY = "refs.name, refs.version, kind, created, size_bytes, kept, stores.url"


def find(db: sqlite3.Connection, ref: str) -> int:
    """The number of an artifact: of "name@version", or of the newest of a "name".

    Raises
    ------
    InputError
        If there is none; the message lists near misses.
    """
    name, version = parse_ref(ref)
    found = db.execute(
        "SELECT artifacts.id FROM refs JOIN artifacts USING (id) WHERE name = ?"
        + (" AND version = ?" if version else "")
        + " ORDER BY created DESC, artifacts.id DESC LIMIT 1",
        (name, version) if version else (name,),
    ).fetchone()
    if found is None:
        raise _unknown(db, ref, name)
    return int(found[0])


def find_named(db: sqlite3.Connection, ref: str) -> int:
    """As `find`, and the number of a "name@version" that is only some artifact's parent."""
    name, version = parse_ref(ref)
    found = db.execute(
        "SELECT id FROM refs WHERE name = ? AND version = ?", (name, version)
    ).fetchone()
    return find(db, ref) if found is None else int(found[0])


def _unknown(db: sqlite3.Connection, ref: str, name: str) -> InputError:
    """Near misses are looked for among the name's versions, else among its neighbours and first."""
    refs = "SELECT name || '@' || version FROM refs JOIN artifacts USING (id) WHERE name = ?"
    versions = [r for (r,) in db.execute(f"{refs} ORDER BY created DESC LIMIT 500", (name,))]
    if versions:
        return unknown_name("artifact", ref, _nearest(ref, versions))
    names = "SELECT DISTINCT name FROM refs JOIN artifacts USING (id) WHERE name"
    near = [
        found
        for condition in ("< ? ORDER BY name DESC", ">= ? ORDER BY name", "!= ? ORDER BY name")
        for (found,) in db.execute(f"{names} {condition} LIMIT 500", (name,))
    ]
    if not near:
        return InputError(f'unknown artifact "{ref}": the registry is empty')
    return unknown_name("artifact", ref, _nearest(name, near))


def _nearest(wanted: str, names: Sequence[str]) -> list[str]:
    import difflib

    names = sorted(set(names))
    if len(names) <= _NEAR:
        return names
    near = difflib.get_close_matches(wanted, names, n=_NEAR, cutoff=0.3)
    return [*near, "..."]


def entry(db: sqlite3.Connection, key: int) -> Entry:
    """An artifact's line."""
    return _entries(db, "WHERE refs.id = ?", (key,))[0]


def _entries(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Entry]:
    """Entries of refs, whether or not they are artifacts."""
    found = db.execute(
        f"SELECT {_ENTRY} FROM refs LEFT JOIN artifacts USING (id)"
        f" LEFT JOIN stores ON stores.id = store {rest}",
        values,
    )
    return [_entry(*row) for row in found]


def _entry(
    name: str,
    version: str,
    kind: str | None,
    created: str,
    size_bytes: int,
    kept: int,
    store_url: str,
) -> Entry:
    if kind is None:
        return Entry(name, version)
    return Entry(name, version, kind, created, size_bytes, bool(kept), store_url)


def load(db: sqlite3.Connection, key: int) -> Artifact:
    """Read an artifact.

    Raises
    ------
    InputError
        If its record is damaged.
    LookupError
        If there is none of that number.
    """
    found = db.execute(
        "SELECT name, version, kind, created, body FROM refs JOIN artifacts USING (id)"
        " JOIN bodies USING (id) WHERE refs.id = ?",
        (key,),
    ).fetchone()
    if found is None:
        raise LookupError(key)
    name, version, kind, created, body = found
    files = db.execute(
        "SELECT path, sha256, size_bytes, url FROM files WHERE artifact = ? ORDER BY position",
        (key,),
    )
    ancestors = db.execute(
        "SELECT name || '@' || version FROM parents JOIN refs ON refs.id = parent"
        " WHERE child = ? ORDER BY position",
        (key,),
    )
    try:
        return Artifact(
            name,
            version,
            kind,
            tuple(File(path, sha256.hex(), size, url) for path, sha256, size, url in files),
            tuple(ref for (ref,) in ancestors),
            created=created,
            **json.loads(zlib.decompress(body)),
        )
    except (zlib.error, TypeError, ValueError) as error:
        raise InputError(f"{name}@{version}: its record is damaged ({error})") from error


def entries(
    db: sqlite3.Connection, kind: str | None, name: str | None, limit: int, offset: int
) -> list[Entry]:
    """Entries, the newest first. See `Registry.entries`."""
    conditions, values = _matching(kind, name)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    # Few names: look each of them up, and sort. Many: walk from the newest, till a page is full.
    few = name is not None and _are_few(db, name)
    tables = "refs CROSS JOIN artifacts" if few else "artifacts CROSS JOIN refs"
    found = db.execute(
        f"SELECT {_ENTRY} FROM {tables} ON refs.id = artifacts.id"
        f" JOIN stores ON stores.id = store {where}"
        " ORDER BY created DESC, artifacts.id DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [_entry(*row) for row in found]


def count(db: sqlite3.Connection, kind: str | None, name: str | None) -> int:
    """How many `entries` there are in all."""
    conditions, values = _matching(kind, name)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    tables = "artifacts" if name is None else "refs CROSS JOIN artifacts USING (id)"
    (found,) = db.execute(f"SELECT count(*) FROM {tables} {where}", values).fetchone()
    return int(found)


def _matching(kind: str | None, name: str | None) -> tuple[list[str], list[str]]:
    conditions, values = [], []
    if kind is not None:
        conditions, values = ["kind = ?"], [kind]
    if name is not None:
        prefix, pattern = _pattern(name)
        conditions += ["name >= ?", "name < ?", "name GLOB ?"]
        values += [prefix, prefix + _LAST, pattern]
    return conditions, values


def _pattern(name: str) -> tuple[str, str]:
    """The plain beginning of all names that are meant, and their glob pattern."""
    prefix = name
    for mark in _GLOB:
        prefix = prefix.split(mark, 1)[0]
    return prefix, name if prefix != name else f"{name}*"


def _are_few(db: sqlite3.Connection, name: str) -> bool:
    prefix, _ = _pattern(name)
    (found,) = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM refs WHERE name >= ? AND name < ? LIMIT ?)",
        (prefix, prefix + _LAST, _FEW),
    ).fetchone()
    return bool(found < _FEW)


def parents(db: sqlite3.Connection, key: int) -> list[Entry]:
    """What an artifact was made from, in its own order."""
    rest = "JOIN parents ON parent = refs.id WHERE child = ? ORDER BY position"
    return _entries(db, rest, (key,))


def children(
    db: sqlite3.Connection, key: int, kind: str | None = None, limit: int = -1
) -> list[Entry]:
    """What was made from an artifact, the newest first."""
    rest = (
        "WHERE refs.id IN (SELECT child FROM parents WHERE parent = ?) AND ? IN (kind, '')"
        " ORDER BY created DESC, refs.id DESC LIMIT ?"
    )
    return _entries(db, rest, (key, kind or "", limit))


def count_children(db: sqlite3.Connection, key: int) -> int:
    """How many `children` there are in all."""
    (found,) = db.execute(
        "SELECT count(DISTINCT child) FROM parents WHERE parent = ?", (key,)
    ).fetchone()
    return int(found)


def ids_after(db: sqlite3.Connection, key: int, store_url: str, limit: int) -> list[int]:
    """Numbers of a store's artifacts, page by page: those after a number."""
    return [
        found
        for (found,) in db.execute(
            "SELECT id FROM artifacts WHERE id > ?"
            " AND store = (SELECT id FROM stores WHERE url = ?) ORDER BY id LIMIT ?",
            (key, store_url, limit),
        )
    ]


def versions(db: sqlite3.Connection, name: str) -> list[str]:
    """A name's versions, the newest first."""
    return [
        version
        for (version,) in db.execute(
            "SELECT version FROM refs JOIN artifacts USING (id) WHERE name = ?"
            " ORDER BY created DESC, id DESC",
            (check_name(name),),
        )
    ]
