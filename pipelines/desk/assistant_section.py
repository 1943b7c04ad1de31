"""A section of an indexed document as it is read: its text, what is marked in it, where it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pipelines.desk.assistant_indexes import Found
from pipelines.desk.workspace import Workspace
from rfplatform.documents.document import BlockKind, Document, Section
from rfplatform.errors import InputError
from rfplatform.oran.neutral import printable
from rfplatform.retrieval.index import open_index

_JOINT = "\n\n"

Mark = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """A paragraph, a table or a listing.

    Attributes
    ----------
    kind : {"text", "table", "code"}
    text : str
        A table is in Markdown, a row a line.
    page : int or None
    marks : tuple of (int, int)
        Begin and end of what is marked, in order.
    """

    kind: BlockKind
    text: str
    page: int | None
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Neighbour:
    """Another section of the document: its ordinal, and its heading."""

    ordinal: int
    heading: str


@dataclass(frozen=True)
class Reading:
    """A section, and where it stands.

    Attributes
    ----------
    document, title, version, licence : str
        Of the document.
    ordinal, count : int
        Which of the document's sections it is, from 0, and how many there are.
    heading : str
        "" for what stands before the first.
    page : int or None
    parents : tuple of Neighbour
        The sections above it, outermost first.
    before, after : Neighbour or None
    parts : tuple of Part
    marked : {"quote", "passage", ""}
        What the marks are of.
    """

    document: str
    title: str
    version: str
    licence: str
    ordinal: int
    count: int
    heading: str
    page: int | None
    parents: tuple[Neighbour, ...]
    before: Neighbour | None
    after: Neighbour | None
    parts: tuple[Part, ...]
    marked: Literal["quote", "passage", ""]


def read_section(
    ws: Workspace,
    index: Found,
    document: str,
    ordinal: int,
    *,
    quotes: Sequence[str] = (),
    passages: Sequence[str] = (),
) -> Reading:
    """A section of a document.

    Parameters
    ----------
    ws : Workspace
    index : Found
    document : str
        Its name in the index.
    ordinal : int
    quotes : sequence of str
        To be marked, white space aside.
    passages : sequence of str
        To be marked where no quote stands in the section.

    Raises
    ------
    InputError
        If the index holds no such section.
    """
    try:
        held = _document(index.path, index.digest, document)
    except InputError as error:
        raise InputError(ws.own_words(error)) from error
    if not 0 <= ordinal < len(held.sections):
        raise InputError(f"{document}: has no section {ordinal + 1}: it was changed since")
    section = held.sections[ordinal]
    texts = [printable(block.text) for block in section.blocks]
    whole = _JOINT.join(texts)
    marked: Literal["quote", "passage", ""] = "quote"
    marks = [mark for quote in quotes for mark in _quoted(quote, whole)]
    if not marks:
        marked, marks = "passage", [m for text in passages for m in _passed(text, whole)]
    return Reading(
        printable(held.name),
        printable(held.title),
        printable(held.version),
        printable(held.licence),
        ordinal,
        len(held.sections),
        printable(section.heading),
        section.page,
        tuple(_parents(held.sections, ordinal)),
        _neighbour(held.sections, ordinal - 1),
        _neighbour(held.sections, ordinal + 1),
        tuple(_parts(section, texts, _merged(marks))),
        marked if marks else "",
    )


@lru_cache(maxsize=8)
def _document(path: Path, digest: str, name: str) -> Document:  # noqa: ARG001  (it tells a change)
    index = open_index(path)
    # A page knows names as they can be shown.
    shown = {printable(document.name): document.name for document in index.documents}
    return index.document(shown.get(name, name))


def _neighbour(sections: Sequence[Section], ordinal: int) -> Neighbour | None:
    if not 0 <= ordinal < len(sections):
        return None
    return Neighbour(ordinal, printable(sections[ordinal].heading))


def _parents(sections: Sequence[Section], ordinal: int) -> Iterator[Neighbour]:
    """The nearest sections before it that have the headings above it."""
    above = sections[ordinal].parents
    for depth, heading in enumerate(above):
        for place in range(ordinal - 1, -1, -1):
            one = sections[place]
            if one.heading == heading and one.parents == above[:depth]:
                yield Neighbour(place, printable(heading))
                break


def _quoted(quote: str, text: str) -> Iterator[Mark]:
    """Where a quote stands, which is a passage's own words on one line."""
    words = quote.split()
    found = re.search(r"\s+".join(map(re.escape, words)), text) if words else None
    if found is not None:
        yield found.span()


def _passed(passage: str, text: str) -> Iterator[Mark]:
    """Where a passage stands; of a table that was cut, each of its lines."""
    at = text.find(passage)
    if at >= 0:
        yield at, at + len(passage)
        return
    begin = 0
    for line in passage.splitlines():
        at = text.find(line, begin) if line.strip() else -1
        if at >= 0:
            begin = at + len(line)
            yield at, begin


def _merged(marks: Sequence[Mark]) -> list[Mark]:
    """In order, and none over another."""
    merged: list[Mark] = []
    for begin, end in sorted(marks):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _parts(section: Section, texts: Sequence[str], marks: Sequence[Mark]) -> Iterator[Part]:
    at = 0
    for block, text in zip(section.blocks, texts, strict=True):
        end = at + len(text)
        inside = [(max(a, at) - at, min(b, end) - at) for a, b in marks if a < end and b > at]
        yield Part(block.kind, text, block.page, tuple(inside))
        at = end + len(_JOINT)
