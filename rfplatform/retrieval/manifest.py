"""What an index says of itself: ``manifest.json``, checked word for word when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rfplatform.errors import InputError
from rfplatform.registry.artifact import File
from rfplatform.retrieval.bm25 import Bm25
from rfplatform.retrieval.dense import Dense

MANIFEST = "manifest.json"
SCHEMA = "rfplatform-index/1"


@dataclass(frozen=True)
class IndexedSource:
    """A file that was read.

    Attributes
    ----------
    name, sha256 : str
    licence : str
        That was given for documents that state none.
    readers : str
        Version of what read it.
    """

    name: str
    sha256: str
    licence: str
    readers: str


@dataclass(frozen=True)
class IndexedDocument:
    """A document of an index, without its text.

    Attributes
    ----------
    name, title, version, licence, sha256 : str
        As `Document`'s.
    source : str
        Name of the file that it was read from.
    notes : tuple of str
        What the reader could not make out.
    first_section, sections : int
        Where its sections begin in the index, and how many there are.
    first_chunk, chunks : int
    """

    name: str
    title: str
    version: str
    licence: str
    sha256: str
    source: str
    notes: tuple[str, ...]
    first_section: int
    sections: int
    first_chunk: int
    chunks: int


@dataclass(frozen=True)
class DenseMade:
    """With which embedder the vectors were made, and how."""

    embedder: str
    config: Dense


@dataclass(frozen=True)
class Manifest:
    """How an index was made, and of what.

    Attributes
    ----------
    size, overlap : int
        Of the chunks, in characters.
    bm25 : Bm25
    dense : DenseMade, optional
        None where there are no vectors.
    sources : tuple of IndexedSource
        By name.
    documents : tuple of IndexedDocument
        By name.
    files : tuple of File
        All others of the index.
    """

    size: int
    overlap: int
    bm25: Bm25
    dense: DenseMade | None
    sources: tuple[IndexedSource, ...]
    documents: tuple[IndexedDocument, ...]
    files: tuple[File, ...] = ()

    @property
    def sections(self) -> int:
        """Of all documents."""
        return sum(document.sections for document in self.documents)

    @property
    def chunks(self) -> int:
        """Of all documents."""
        return sum(document.chunks for document in self.documents)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "schema": SCHEMA,
            "counts": {
                "sources": len(self.sources),
                "documents": len(self.documents),
                "sections": self.sections,
                "chunks": self.chunks,
            },
            **asdict(self),
        }

    def write(self, folder: Path) -> None:
        """Write it into an index's folder."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """That of an index.

    Raises
    ------
    InputError
        If the folder is no index, or one that another version wrote, or its manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: is no index: make one with rfplatform oran index")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({error}): index the documents anew") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{folder}: is no index of this version (schema {schema!r}, not {SCHEMA!r}): index the "
            "documents anew into another folder"
        )
    try:
        return _parsed(found)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(f"{path}: is damaged ({error}): index the documents anew") from error


def _parsed(found: Mapping[str, Any]) -> Manifest:
    dense = found["dense"]
    manifest = Manifest(
        int(found["size"]),
        int(found["overlap"]),
        Bm25(**found["bm25"]),
        None if dense is None else DenseMade(str(dense["embedder"]), Dense(**dense["config"])),
        tuple(IndexedSource(**source) for source in found["sources"]),
        tuple(IndexedDocument(**{**d, "notes": tuple(d["notes"])}) for d in found["documents"]),
        tuple(File(**file) for file in found["files"]),
    )
    entries: list[IndexedSource | IndexedDocument] = [*manifest.sources, *manifest.documents]
    for entry in entries:
        for of in fields(entry):
            kind = type(getattr(entry, of.name)).__name__
            if of.type in ("str", "int") and kind != of.type:
                raise TypeError(f"{of.name} of {entry.name!r} must be of type {of.type}")
    sections = chunks = 0
    for document in manifest.documents:
        if (document.first_section, document.first_chunk) != (sections, chunks):
            raise ValueError(f"{document.name} is not where it should be")
        if document.sections < 0 or document.chunks < 0:
            raise ValueError(f"{document.name} has a negative size")
        sections += document.sections
        chunks += document.chunks
    if any("/" in file.path for file in manifest.files):
        raise ValueError("a file lies in another folder")
    return manifest
