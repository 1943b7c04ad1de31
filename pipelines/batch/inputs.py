"""What a batch reads: copied into its store once, by hash, and found again by every worker."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pipelines.scene import slug
from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.store import Store

OSM_LICENCE = "ODbL-1.0"


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
    name : str
        For people; such as "monaco.osm.pbf".
    licence : str
        As an SPDX identifier, where it is known.
    parents : tuple of str
        What it was made from.
    verify : bool
        Whether to read what is there already, or to look at its size alone; what is damaged is
        put anew.

    Returns
    -------
    Artifact
        Its version is the beginning of its file's SHA-256, or of several's.
    """
    known = tuple(_hashed(path, where) for where, path in sorted(files.items()))
    version = known[0].sha256 if len(known) == 1 else _together(known)
    made = Artifact(
        f"inputs/{slug(name)}",
        version[:16],
        "dataset",
        known,
        parents,
        title=name,
        licence=licence,
    )
    for file in known:
        if verify or not store.has_file(file):
            store.put_file(files[file.path], file)
    if store.has_artifact(made.ref):
        try:
            return store.artifact(made.ref)
        except InputError:
            store.remove_artifact(made.ref)  # its record is damaged
    return store.put_artifact(made)


def _hashed(path: Path, where: str) -> File:
    state = path.stat()
    return _hashed_once(path, where, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _hashed_once(path: Path, where: str, _changed: int, _size: int) -> File:
    """Jobs of one batch share their inputs."""
    return File.of(path, where)


def _together(files: tuple[File, ...]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(f"{f.sha256} {f.path}" for f in files).encode()).hexdigest()


def local_file(store: Store, file: File) -> Path:
    """A file of a store on this machine: where it lies, or a verified copy in the cache.

    Raises
    ------
    MissingError
        If it is not there.
    InputError
        If its contents are not what its SHA-256 says.
    """
    if store.folder is not None:
        if not store.has_file(file):
            raise MissingError(f"{store.place_of(file)}: is not there, or is cut short")
        return Path(store.place_of(file))
    cache = _cache()
    cache.copy_file(file, store)
    return Path(cache.place_of(file))


def local_folder(store: Store, artifact: Artifact) -> Path:
    """A folder on this machine that holds an artifact's files by their paths; it is kept."""
    assert _cache().folder is not None
    folder = Path(_cache().url) / "folders" / artifact.digest()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        for file in artifact.files:
            place = aside / PurePosixPath(file.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(local_file(store, file), place)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _cache() -> Store:
    import platformdirs

    home = os.environ.get("RFPLATFORM_HOME")
    return Store(str(Path(home or platformdirs.user_cache_dir("rfplatform")) / "cache"))
