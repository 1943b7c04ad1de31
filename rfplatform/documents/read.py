"""Files and folders of documents -> documents, whatever their formats."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from rfplatform.documents.asn1 import read_asn1
from rfplatform.documents.content import Content
from rfplatform.documents.document import Document
from rfplatform.documents.docx import read_docx
from rfplatform.documents.html import read_html
from rfplatform.documents.jsonl import Record, records
from rfplatform.documents.markdown import read_markdown
from rfplatform.documents.outline import printable
from rfplatform.documents.pdf import read_pdf
from rfplatform.documents.rst import read_rst
from rfplatform.documents.source import (
    Report,
    Source,
    file_sha256,
    found_files,
    listed_suffixes,
    suffix_of,
)
from rfplatform.documents.text import read_text
from rfplatform.documents.version import version_in_name
from rfplatform.documents.yang import read_yang
from rfplatform.errors import InputError, RfplatformError

Reader = Callable[[bytes], Content]

READERS: Mapping[str, Reader] = MappingProxyType(
    {
        ".pdf": read_pdf,
        ".docx": read_docx,
        ".html": read_html,
        ".htm": read_html,
        ".md": read_markdown,
        ".markdown": read_markdown,
        ".rst": read_rst,
        ".txt": read_text,
        ".yang": read_yang,
        ".asn1": read_asn1,
        ".asn": read_asn1,
    }
)
"""What reads a file of one document, by its suffix."""

COLLECTIONS = (".jsonl", ".jsonl.gz")
"""Suffixes of files of many documents, a line each."""

SUFFIXES = (*READERS, *COLLECTIONS)

MOST_BYTES = 500_000_000
"""Of a file; what is larger is no document."""

_BINARY = frozenset({".pdf", ".docx"})


def sources(paths: Sequence[Path], *, report: Report | None = None) -> tuple[Source, ...]:
    """Which files `read_documents` would read, without parsing them.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    report : callable, optional
        Told which files of folders are of unknown kinds, and passed over.

    Returns
    -------
    tuple of Source
        By name. Names are unique.

    Raises
    ------
    InputError
        If a path is not there, a file that was named is of an unknown kind, nothing can be read,
        or two files have one name.
    """
    files = found_files(paths, SUFFIXES, report)
    return tuple(Source(name, path, file_sha256(path)) for name, path in files)


def read_documents(
    paths: Sequence[Path],
    *,
    licence: str = "",
    report: Report | None = None,
    on_fault: Callable[[InputError], None] | None = None,
) -> Iterator[Document]:
    """Read files, and all that is below folders.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders. Hidden files are passed over.
    licence : str
        Of the documents that state none.
    report : callable, optional
        Told which files of folders are of unknown kinds, and passed over.
    on_fault : callable, optional
        Given each file's error; the others are read. Without it the first fault is raised.

    Yields
    ------
    Document
        By the names of their files.

    Raises
    ------
    InputError
        As `sources` does, before anything is read; as `read_document` does, unless `on_fault`
        takes it.
    MissingError
        If a library is not installed.
    """
    for name, path in found_files(paths, SUFFIXES, report):
        try:
            found = read_document(path, name, licence)
        except InputError as fault:
            if on_fault is None:
                raise
            on_fault(fault)
        else:
            yield from found


def read_document(path: Path, name: str = "", licence: str = "") -> tuple[Document, ...]:
    """Read a file.

    Parameters
    ----------
    path : Path
        Its suffix tells its format.
    name : str
        Of the document; the file's name by default. Those of a JSON lines file are named
        "FILE#RECORD", so that they are unique where files are.
    licence : str
        Where the document states none.

    Returns
    -------
    tuple of Document
        One, or one for each line of a JSON lines file.

    Raises
    ------
    InputError
        If the file can't be read as what its suffix says, or holds no text.
    MissingError
        If a library is not installed.
    """
    name = name or path.name
    suffix = suffix_of(path.name, SUFFIXES)
    if suffix is None:
        raise InputError(f"{path}: unknown kind of document ({listed_suffixes(SUFFIXES)})")
    data = _bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if suffix not in COLLECTIONS:
        content = _content(READERS[suffix], data, str(path))
        if not any(section.blocks for section in content.sections):
            raise InputError(f"{path}: holds no text: leave it out")
        return (_document(content, name, digest, licence),)
    try:
        found = [(record, f"{name}#{record.name}") for record in records(data)]
    except InputError as fault:
        raise InputError(f"{path}: {fault}") from fault
    if not found:
        raise InputError(f"{path}: holds no text: leave it out")
    return tuple(_of_record(record, own, str(path), digest, licence) for record, own in found)


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(
                f"{path}: {size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f}: split it"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    if not data.strip():
        raise InputError(f"{path}: is empty: leave it out, or copy it anew")
    return data


def _content(reader: Reader, data: bytes, where: str) -> Content:
    try:
        return reader(data)
    except RfplatformError as fault:
        # MissingError is the machine's, not the file's.
        raise (
            InputError(f"{where}: {fault}") if isinstance(fault, InputError) else fault
        ) from fault
    except RecursionError as error:
        raise InputError(f"{where}: nested too deeply to be read") from error
    except Exception as error:
        # A parser may trip over a broken file in any way; its user gets one line of it.
        said = " ".join(str(error).split())[:200]
        kind = type(error).__name__
        raise InputError(f"{where}: broken ({kind}: {said}): open and save it anew") from error


def _document(content: Content, name: str, sha256: str, licence: str) -> Document:
    return Document(
        name=name,
        title=" ".join(printable(content.title).split()) or name,
        version=content.version or version_in_name(name),
        licence=content.licence or licence,
        sha256=sha256,
        sections=content.sections,
        notes=content.notes,
    )


def _of_record(record: Record, name: str, where: str, sha256: str, licence: str) -> Document:
    suffix = suffix_of(record.path, READERS)
    # The text of a PDF or of Word is no longer either.
    reader = read_text if suffix is None or suffix in _BINARY else READERS[suffix]
    data = record.text.encode("utf-8", "replace").replace(b"\0", b"")
    content = _content(reader, data, f"{where}, line {record.line:,}")
    content = replace(
        content,
        title=record.title or content.title,
        version=record.version or content.version,
        licence=record.licence or content.licence,
    )
    document = _document(content, name, sha256, licence)
    if any(section.blocks for section in document.sections):
        return document
    return replace(document, notes=(*document.notes, "holds no text"))
