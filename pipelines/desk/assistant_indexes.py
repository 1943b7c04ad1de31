"""Indexes that the dashboard's assistant can ask: the registry's, and folders of the workspace."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines.desk.workspace import Workspace
from pipelines.scene import slug
from rfplatform.errors import InputError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from rfplatform.retrieval.manifest import MANIFEST, Manifest, read_manifest
from rfplatform.staging import staged

SCHEMA = "rfplatform.retrieval.index"
"""With which the schema of an index begins in the registry."""

MOST = 100
"""Of the registry's, the newest."""


@dataclass(frozen=True)
class Place:
    """An index that is here.

    Attributes
    ----------
    name : str
        "indexes/specs@0f3a..." in the registry, "specs" in the workspace's ``indexes/``.
    documents, passages : int
    made : str
        When it was registered, in ISO 8601; "" of a folder.
    """

    name: str
    documents: int
    passages: int
    made: str = ""


@dataclass(frozen=True)
class Found:
    """An index that is open to questions.

    Attributes
    ----------
    name : str
        As `Place.name`, with its version.
    path : Path
    digest : str
        Of all that is in it.
    manifest : Manifest
    """

    name: str
    path: Path
    digest: str
    manifest: Manifest


def list_indexes(ws: Workspace, registry: Registry) -> list[Place]:
    """Folders first, then the registry's, the newest first; damaged ones are left out.

    Raises
    ------
    InputError
        If the registry is damaged.
    """
    return [*_folders(ws), *_registered(registry)]


def find_index(ws: Workspace, registry: Registry, name: str) -> Found:
    """An index by name; the newest version where a name of the registry has none.

    Raises
    ------
    InputError
        If there is none of that name, or it is damaged.
    MissingError
        If its files are elsewhere, and can't be had.
    """
    if "/" in name:
        artifact = registry.get(name)
        if not artifact.schema.startswith(SCHEMA):
            raise InputError(f"{artifact.ref}: is no index of documents")
        return _found(artifact.ref, _unpacked(ws, registry, artifact))
    if name not in (folder.name for folder in _paths(ws)):
        raise InputError(f"no index {name[:80]!r} here: it was removed, or is on another server")
    return _found(name, ws.root / "indexes" / name)


def _paths(ws: Workspace) -> Iterator[Path]:
    """Folders of the workspace that look like indexes."""
    try:
        folders = sorted((ws.root / "indexes").iterdir())
    except OSError:
        return
    for folder in folders:
        if not folder.name.startswith(".") and (folder / MANIFEST).is_file():
            yield folder


def _folders(ws: Workspace) -> Iterator[Place]:
    for folder in _paths(ws):
        try:
            manifest = _manifest(folder)
        except InputError:
            continue
        yield Place(folder.name, len(manifest.documents), manifest.chunks)


def _registered(registry: Registry) -> Iterator[Place]:
    for entry in registry.entries("dataset", "indexes/", limit=MOST):
        artifact = registry.get(entry.ref)
        if not artifact.schema.startswith(SCHEMA):
            continue
        counts = artifact.facts.get("counts")
        known = counts if isinstance(counts, dict) else {}
        yield Place(
            artifact.ref,
            int(known.get("documents") or 0),
            int(known.get("chunks") or 0),
            artifact.created,
        )


def _found(name: str, path: Path) -> Found:
    manifest = _manifest(path)
    # The manifest tells every other file's hash.
    return Found(name, path, File.of(path / MANIFEST).sha256[:16], manifest)


def _manifest(path: Path) -> Manifest:
    place = path / MANIFEST
    about = place.stat()
    return _read(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=32)
def _read(path: Path, mtime_ns: int, size: int) -> Manifest:  # noqa: ARG001  (they tell a change)
    return read_manifest(path)


def _unpacked(ws: Workspace, registry: Registry, artifact: Artifact) -> Path:
    """An index of the registry as a folder; its files are checked once, and take no room twice."""
    digest = hashlib.sha256(artifact.ref.encode()).hexdigest()[:12]
    folder = ws.root / "assistant" / "indexes" / f"{slug(artifact.name)}-{digest}"
    if not (folder / MANIFEST).is_file():
        with staged(folder, overwrite=True) as part:
            part.mkdir()
            for file in artifact.files:
                _link(registry.path(artifact.ref, file.path), part / file.name)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
