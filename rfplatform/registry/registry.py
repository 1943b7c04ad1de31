"""The registry: a folder of files, and an index of what they are and what came of what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rfplatform.errors import InputError, MissingError
from rfplatform.registry import index
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.index import Entry, Index, Row
from rfplatform.registry.lineage import Lineage, ancestors, lineage
from rfplatform.registry.store import Store

if TYPE_CHECKING:
    import sqlite3

    from rfplatform.registry.checking import Fault
    from rfplatform.registry.cleaning import Cleaning

HOME_VARIABLE = "RFPLATFORM_HOME"
"""Environment variable: the folder of the registry that commands use."""

_BATCH = 2000
_ATTEMPTS = 20

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Called with what is being moved, the bytes done and the bytes in all."""


@dataclass(frozen=True)
class Registry:
    """A registry in a folder; nothing is made before something is added.

    The folder holds ``files/`` and ``partial/`` as every store does, and ``index.sqlite``. Several
    processes may read and write it at once.

    Attributes
    ----------
    home : Path
    """

    home: Path

    @classmethod
    def default(cls) -> Registry:
        """That of `HOME_VARIABLE`, else the one in the user's data folder."""
        if home := os.environ.get(HOME_VARIABLE):
            return cls(Path(home).expanduser())
        from platformdirs import user_data_dir

        return cls(Path(user_data_dir("rfplatform", appauthor=False)))

    @cached_property
    def store(self) -> Store:
        """Its own files."""
        return Store(os.fspath(self.home))

    @cached_property
    def cache(self) -> Store:
        """Copies of other stores' files, to be read; `gc` removes what was not used for long."""
        return Store(os.fspath(self.home / "cache"))

    @property
    def index(self) -> Index:
        """Its index."""
        return Index(self.home / "index.sqlite")

    # What is here

    def get(self, ref: str) -> Artifact:
        """An artifact: "name@version", or the newest of a "name".

        Raises
        ------
        InputError
            If there is none; the message lists near misses. If its record is damaged.
        """
        with self.index.reading() as db:
            return index.load(db, index.find(db, ref))

    def entry(self, ref: str) -> Entry:
        """As `get`, what a listing shows of it."""
        with self.index.reading() as db:
            return index.entry(db, index.find(db, ref))

    def has(self, ref: str) -> bool:
        """Whether an artifact is here, or in a store that was recorded."""
        with self.index.reading() as db:
            return index.is_there(db, ref)

    def entries(
        self,
        kind: str | None = None,
        name: str | None = None,
        *,
        limit: int = -1,
        offset: int = 0,
    ) -> list[Entry]:
        """A listing, the newest first.

        Parameters
        ----------
        kind : str, optional
            Only those of a kind.
        name : str, optional
            Only those whose name begins so, or a pattern with ``*``, ``?`` or ``[...]``.
        limit, offset : int
            A page; all by default.
        """
        with self.index.reading() as db:
            return index.entries(db, kind, name, limit, offset)

    def count(self, kind: str | None = None, name: str | None = None) -> int:
        """How many `entries` there are in all."""
        with self.index.reading() as db:
            return index.count(db, kind, name)

    def versions(self, name: str) -> list[str]:
        """A name's versions, the newest first."""
        with self.index.reading() as db:
            return index.versions(db, name)

    def parents(self, ref: str) -> list[Entry]:
        """What an artifact was made from, in its order; some may not be `here`, but named only."""
        with self.index.reading() as db:
            return index.parents(db, index.find_named(db, ref))

    def children(self, ref: str, kind: str | None = None, *, limit: int = -1) -> list[Entry]:
        """What was made from an artifact, the newest first; all of it, or so many of a kind."""
        with self.index.reading() as db:
            return index.children(db, index.find_named(db, ref), kind, limit)

    def count_children(self, ref: str) -> int:
        """How many `children` there are in all."""
        with self.index.reading() as db:
            return index.count_children(db, index.find_named(db, ref))

    def lineage(self, ref: str) -> Lineage:
        """All that an artifact was made from, as a tree in which each is expanded once."""
        with self.index.reading() as db:
            return lineage(db, index.find_named(db, ref))

    def ancestors(self, ref: str) -> list[Artifact]:
        """All that is here of what an artifact was made from, directly or not."""
        with self.index.reading() as db:
            return [index.load(db, key) for key in ancestors(db, index.find(db, ref))]

    # Adding

    def add(
        self, artifact: Artifact, local: Mapping[str, Path] | None = None, *, kept: bool = True
    ) -> Artifact:
        """Take an artifact and its files in; the same again changes nothing.

        Parameters
        ----------
        artifact : Artifact
        local : mapping of str to Path
            Where its files are, by their paths in the artifact. Those with a URL may be missing,
            and those that are here already.
        kept : bool
            Whether `gc` leaves it, and all that it was made from.

        Returns
        -------
        Artifact
            The one that is here from now on: that of an earlier or a faster writer of the same.

        Raises
        ------
        InputError
            If another one of that name and version is here, or a file is not what it is said to be.
        NoSpaceError
            If the disk is full; nothing that finished is lost.
        """
        row, local = Row.of(artifact), dict(local or {})
        for path in local:
            artifact.file(path)
        self.refuse_another([row])
        files = [f for f in artifact.files if f.path in local or not self._is_elsewhere(f)]
        for file in files:
            if file.path not in local and not self.store.has_file(file):
                raise InputError(f"{artifact.ref}: no local file is given for {file.path}")

        def put(file: File) -> None:
            if file.path in local:
                self._put(artifact.ref, file, local[file.path])

        def write(db: sqlite3.Connection) -> Artifact:
            index.insert(db, [row], "", kept=kept)
            return index.load(db, index.find(db, artifact.ref))

        return self.settle(files, put, write)

    def _is_elsewhere(self, file: File) -> bool:
        return bool(file.url) and not self.store.has_file(file)

    def _put(self, ref: str, file: File, local: Path) -> None:
        from rfplatform.registry.checking import fault_of

        if not local.is_file():
            raise InputError(f"{ref}: {local} (its {file.path}) is no file")
        if self.store.has_file(file) and fault_of(ref, file, self.store):
            Path(self.store.place_of(file)).unlink(missing_ok=True)  # damaged: put it anew
        try:
            self.store.put_file(local, file)
        except InputError as error:
            raise InputError(f"{ref}: {local}: {error}") from error

    def settle(
        self,
        files: Sequence[File],
        put: Callable[[File], None],
        write: Callable[[sqlite3.Connection], Artifact],
    ) -> Artifact:
        """Put files at home and write what names them, so that no cleaning comes in between.

        Parameters
        ----------
        files : sequence of File
        put : callable
            Puts one at home, if it is not there.
        write : callable
            Writes to the index, in a transaction in which all files are there.

        Returns
        -------
        Artifact
            What `write` returned.
        """
        for _ in range(_ATTEMPTS):
            for file in files:
                put(file)
            with self.index.writing() as db:
                if all(self.store.has_file(file) for file in files):
                    return write(db)
        raise MissingError(f"{self.home}: files vanish while they are added; is a gc running?")

    def record(self, artifacts: Iterable[Artifact], store_url: str, *, kept: bool = False) -> int:
        """Index artifacts whose files stay in another store.

        They are written in batches of some thousands; after an error, batches before it are here.

        Parameters
        ----------
        artifacts : iterable of Artifact
        store_url : str
            A folder or a URL.
        kept : bool
            Whether `gc` leaves them. Of a collection it leaves the version that was recorded last:
            those that were recorded of that store before are kept no more.

        Returns
        -------
        int
            How many were not here before.

        Raises
        ------
        InputError
            If another one of a name and version is here.
        """
        store = self._other(store_url)
        rest, new = iter(artifacts), 0
        while rows := [Row.of(artifact) for artifact in islice(rest, _BATCH)]:
            with self.index.writing() as db:
                new += index.insert(db, rows, store.url, kept=kept)
                for row in rows:
                    if kept and row.artifact.kind == "collection":
                        index.keep_newest(db, row, store.url)
        return new

    def _other(self, store_url: str) -> Store:
        store = Store(store_url)
        if store.url == self.store.url:
            raise InputError(f"{store_url}: is the registry's own folder: name another store")
        return store

    def refuse_another(self, rows: Iterable[Row]) -> None:
        """Find conflicts before any file is moved."""
        with self.index.reading() as db:
            for row in rows:
                index.refuse_another(db, row)

    # Files

    def path(self, ref: str, file_path: str) -> Path:
        """Where a file of an artifact lies on this machine, verified.

        A file that is elsewhere is fetched first, and kept.

        Raises
        ------
        InputError
            If there is no such file, or it was changed or cut short; the message says where.
        MissingError
            If its store can't be reached.
        """
        from rfplatform.registry.transfer import local_path

        with self.index.reading() as db:
            key = index.find(db, ref)
            artifact, store_url = index.load(db, key), index.entry(db, key).store_url
        return local_path(self, artifact.ref, artifact.file(file_path), store_url)

    def push(
        self,
        ref: str,
        url: str,
        *,
        with_parents: bool = False,
        progress: Progress | None = None,
    ) -> Artifact:
        """Copy an artifact to another store, files first. See `transfer.push`."""
        from rfplatform.registry.transfer import push

        return push(self, ref, self._other(url), with_parents=with_parents, progress=progress)

    def pull(
        self,
        ref: str,
        url: str,
        *,
        with_parents: bool = False,
        progress: Progress | None = None,
    ) -> Artifact:
        """Take an artifact in from another store. See `transfer.pull`."""
        from rfplatform.registry.transfer import pull

        return pull(self, ref, self._other(url), with_parents=with_parents, progress=progress)

    # Upkeep

    def verify(
        self,
        ref: str | None = None,
        store: Store | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> list[Fault]:
        """Read and hash every file anew.

        Parameters
        ----------
        ref : str, optional
            Only this artifact, in its own store or the one given.
        store : Store, optional
            All artifacts of another store, and what was recorded of it; by default those at home.
        progress : callable, optional
            Called with every artifact's name.

        Returns
        -------
        list of Fault
            Empty where everything is as it was recorded.
        """
        from rfplatform.registry import checking

        if ref is not None:
            if store is None:
                url = self.entry(ref).store_url
                return checking.verify_artifact(
                    self.get(ref), Store(url) if url else self.store, progress
                )
            artifact = self.get(ref) if self.has(ref) else store.artifact(ref)
            return checking.verify_artifact(artifact, store, progress)
        if store is None or store.url == self.store.url:
            return checking.verify_home(self, progress)
        return checking.verify_store(store, self, progress)

    def gc(
        self,
        drop: Iterable[str] = (),
        *,
        dry_run: bool = False,
        older_than_s: float = 3600.0,
        store: Store | None = None,
    ) -> Cleaning:
        """Remove what nothing needs.

        Kept artifacts and all that they were made from are needed. The others leave the index, and
        their files this folder; files of other stores stay. Files that never belonged to an
        artifact go when they are older than `older_than_s`, as do those that interrupted writers
        left, and what lies in `cache` and was not used for 30 days.

        Parameters
        ----------
        drop : iterable of str
            Artifacts to keep no longer.
        dry_run : bool
            Only tell what would go.
        older_than_s : float
        store : Store, optional
            Clean this one instead: files that no record in it names, and what interrupted writers
            left. No writer may take longer than `older_than_s` from a file to its artifact; of a
            URL, none may be at work, since a file that is reused there does not become young.

        Raises
        ------
        InputError
            If something to drop is unknown, or one of several versions.
        """
        from rfplatform.registry import cleaning

        if store is None or store.url == self.store.url:
            return cleaning.clean_home(
                self, tuple(drop), dry_run=dry_run, older_than_s=older_than_s
            )
        if tuple(drop):
            raise InputError("artifacts are dropped from the registry, not from another store")
        return cleaning.clean_store(store, dry_run=dry_run, older_than_s=older_than_s)
