"""Sections cut into chunks that retrieval can weigh, each with a pointer to its section."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rfplatform.documents.document import Block, Document, Section
from rfplatform.errors import InputError

SIZE = 640
"""Characters; some 210 tokens of a sentence encoder whose limit is 256."""
OVERLAP = 120
_JOINT = "\n\n"

_SENTENCE_END = re.compile(
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bFig\.)(?<!\bNo\.)"
    r"(?<=[.!?])[)\]\"'\u2019\u201d]*\s+(?=[\"'(\[\u2018\u201cA-Z0-9])"
    r"|\n+"
)
_BLANKS = re.compile(r"\s+")
_SEPARATOR = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")


@dataclass(frozen=True)
class Chunk:
    """A window of a section's text.

    Attributes
    ----------
    id : str
        Unique in an index and stable while the document does not change.
    document : str
        `Document.name`.
    title, version, licence : str
        The document's.
    section : int
        Ordinal of its section in `Document.sections`.
    heading : str
        Number and title of that section.
    parents : tuple of str
        The headings above it.
    page : int, optional
        On which it begins.
    text : str
        What the document says there, and nothing else. Of a table that was cut, each part begins
        with the table's caption and header.
    """

    id: str
    document: str
    title: str
    version: str
    licence: str
    section: int
    heading: str
    parents: tuple[str, ...]
    page: int | None
    text: str


def chunks(document: Document, *, size: int = SIZE, overlap: int = OVERLAP) -> list[Chunk]:
    """Cut a document, section by section.

    A window ends between paragraphs, else between sentences or lines, else between words; no
    window crosses a section. A table that fits stays whole, a longer one is cut between rows.

    Parameters
    ----------
    document : Document
    size : int
        Most characters of a chunk.
    overlap : int
        Most characters that a chunk shares with the one before it. Whole sentences or lines are
        shared where one fits; where a paragraph was cut inside a sentence, whole words are.

    Returns
    -------
    list of Chunk
        In reading order. A section with a heading alone gives none.

    Raises
    ------
    InputError
        If the overlap is negative or not below half the size, or the size below 40 characters.
    """
    if size < 40 or not 0 <= overlap < size / 2:
        raise InputError(
            f"chunks of {size} characters with {overlap} of overlap: the size must be at least 40 "
            "and the overlap below half of it"
        )
    return [
        Chunk(
            id=f"{document.name}#{ordinal}.{window}",
            document=document.name,
            title=document.title,
            version=document.version,
            licence=document.licence,
            section=ordinal,
            heading=section.heading,
            parents=section.parents,
            page=page,
            text=text,
        )
        for ordinal, section in enumerate(document.sections)
        for window, (text, page) in enumerate(_windows(section, size, overlap))
    ]


def _windows(section: Section, size: int, overlap: int) -> Iterator[tuple[str, int | None]]:
    run: list[Block] = []
    for block in section.blocks:
        if block.kind != "table" or len(block.text) <= size:
            run.append(block)
            continue
        caption = ""
        if run and run[-1].kind == "text" and _is_caption(run[-1].text, size):
            caption = run.pop().text
        yield from _run_windows(run, section.page, size, overlap)
        run = []
        for text in _table_windows(caption, block.text, size):
            yield text, block.page or section.page
    yield from _run_windows(run, section.page, size, overlap)


def _is_caption(text: str, size: int) -> bool:
    return text[:5].lower() == "table" and len(text) <= size / 4


# ----------------------------------------------------------------------------------------------
# Running text, listings and small tables
# ----------------------------------------------------------------------------------------------


def _run_windows(
    run: Sequence[Block], page: int | None, size: int, overlap: int
) -> Iterator[tuple[str, int | None]]:
    if not run:
        return
    text = _JOINT.join(block.text for block in run)
    starts, tables = [], []
    at = 0
    for block in run:
        starts.append(at)
        if block.kind == "table":
            tables.append((at, at + len(block.text)))
        at += len(block.text) + len(_JOINT)
    for begin, end in _cuts(text, starts, tables, size, overlap):
        yield text[begin:end], run[bisect_right(starts, begin) - 1].page or page


def _cuts(
    text: str, paragraphs: list[int], tables: list[tuple[int, int]], size: int, overlap: int
) -> Iterator[tuple[int, int]]:
    """Where the windows of a text begin and end.

    `paragraphs` are where blocks begin, `tables` the spans within which no window may end.
    """
    sentences: list[int] = []
    if len(text) > size:
        sentences = [match.end() for match in _SENTENCE_END.finditer(text)]
        if tables:
            sentences = [at for at in sentences if not _inside(at, tables)]
    begin = told = 0
    while (left := len(text) - begin) > size:
        # The last two windows are of like length, rather than a full one and a scrap.
        limit = size if left > 1.5 * size else min(size, (left + overlap) // 2 + size // 8)
        low, high = max(begin + limit // 2, told + 1), begin + limit
        end = _last(paragraphs, low, high + len(_JOINT)) or _last(sentences, low, high)
        if end is None and (table := _around(high, tables)):
            end = table[0] if table[0] > max(told, begin) else table[1]
        whole = end is not None
        if end is None:
            end = _word_border(text, low, high)
        stop = begin + len(text[begin:end].rstrip())
        if stop <= max(begin, told):  # Nothing but blanks, as in a listing.
            begin = end
            continue
        yield begin, stop
        told = stop
        begin = _overlapped(text, sentences, max(begin + 1, stop - overlap), end, whole)
        if (table := _around(end + 1, tables)) and table[1] - begin > size:
            begin = end
    yield begin, len(text)


def _overlapped(text: str, sentences: list[int], floor: int, end: int, whole: bool) -> int:
    """Where the next window begins: not before `floor`, at `end` if nothing whole fits between."""
    index = bisect_left(sentences, floor)
    if index < len(sentences) and sentences[index] < end:
        return sentences[index]
    if whole:
        return end
    word = _BLANKS.search(text, floor, end)
    return end if word is None else word.end()


def _last(borders: list[int], low: int, high: int) -> int | None:
    """The last border in [low, high]."""
    index = bisect_right(borders, high) - 1
    return borders[index] if index >= 0 and borders[index] >= low else None


def _around(at: int, spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The span that `at` lies inside of, not on its borders."""
    index = bisect_right(spans, (at, 0)) - 1
    return spans[index] if index >= 0 and spans[index][0] < at < spans[index][1] else None


def _inside(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    return _around(at, spans) is not None


def _word_border(text: str, low: int, high: int) -> int:
    """Behind the last blanks that begin in [low, high]; `high` if a word is longer than that."""
    at = max(text.rfind(blank, low, high + 1) for blank in " \n\t")
    if at < 0:
        return high
    blanks = _BLANKS.match(text, at)
    return at if blanks is None else blanks.end()


# ----------------------------------------------------------------------------------------------
# Tables
# ----------------------------------------------------------------------------------------------


def _table_windows(caption: str, table: str, size: int) -> Iterator[str]:
    lines = table.split("\n")
    num_header = 2 if len(lines) > 1 and _SEPARATOR.fullmatch(lines[1]) else 0
    header = "\n".join(lines[:num_header])
    prefix = _JOINT.join(part for part in (caption, header) if part)
    rows = lines[num_header:]
    if len(prefix) > size / 2:
        prefix, rows = "", [caption, *lines] if caption else lines
    room = size - len(prefix) - 1
    held: list[str] = []
    held_size = 0
    for row in rows:
        for begin, end in _cuts(row, [0], [], room, 0):
            if held and held_size + end - begin > room:
                yield "\n".join([prefix, *held]) if prefix else "\n".join(held)
                held, held_size = [], 0
            held.append(row[begin:end])
            held_size += end - begin + 1
    if held or prefix:
        yield "\n".join([prefix, *held]) if prefix else "\n".join(held)
