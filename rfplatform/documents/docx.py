"""Word files -> sections (python-docx)."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from rfplatform.documents.content import Content
from rfplatform.documents.document import Block
from rfplatform.documents.library import library
from rfplatform.documents.licence import licence_in
from rfplatform.documents.numbering import BULLET, numbering_of
from rfplatform.documents.outline import (
    Heading,
    depth,
    markdown_table,
    one_line,
    sections,
    split_number,
)
from rfplatform.documents.version import version_on_cover
from rfplatform.errors import InputError

MOST_UNPACKED_BYTES = 1_000_000_000
MOST_PART_BYTES = 300_000_000
"""Of one XML part; the largest of 3GPP's specifications is near 80 MB."""

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_WORDS = {f"{_W}t", f"{_M}t"}
_SIGNS = {
    f"{_W}tab": "\t",
    f"{_W}br": "\n",
    f"{_W}cr": "\n",
    f"{_W}noBreakHyphen": "-",
    f"{_W}ptab": "\t",
}
# What was deleted or moved away, what another application shows, and what only describes.
_UNREAD = {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}pPr", f"{_W}rPr", f"{_MC}Fallback"}
_BOX = f"{_W}txbxContent"
_WRAPPERS = {f"{_W}ins", f"{_W}moveTo", f"{_W}customXml", f"{_W}smartTag", f"{_MC}AlternateContent",
             f"{_MC}Choice", f"{_W}sdtContent"}  # fmt: skip
_HEADING_STYLE = re.compile(r"heading (?P<level>[1-9])\b|h(?P<h>6)$", re.IGNORECASE)
_CONTENTS_STYLE = re.compile(
    r"(?:toc(?: heading| ?\d)?|tt)$|table of (?:figures|authorities)", re.IGNORECASE
)
_CODE_STYLE = re.compile(
    r"pl$|.*(?:\bcode|source|preformatted|listing|macro|asn\.?1)", re.IGNORECASE
)
_ITEM = re.compile(r"(?:[-–—•*]|\(?\w{1,4}[.)]|NOTE(?: \d+)?:)\t")
_ANNEX = re.compile(r"(?:annex|appendix)\b", re.IGNORECASE)
_NO_TITLE = re.compile(
    r"3GPP T[SR] ab\.cde|(?:microsoft )?word\b.*|title|document\d*", re.IGNORECASE
)


def read_docx(data: bytes) -> Content:
    """Read a Word file as it shows with all changes accepted.

    Headings are known by style or outline level, their numbers by a tab behind them or by
    Word's own count. Merged cells are said once across and on each line down. The table of
    contents is left out. Word files have no pages before they are laid out.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content

    Raises
    ------
    InputError
        If it is encrypted, no Word file, or unpacks to too much.
    """
    _check(data)
    with library():
        from docx import Document
        from docx.opc.exceptions import PackageNotFoundError
    try:
        word = Document(BytesIO(data))
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        said = " ".join(str(error).split())
        raise InputError(f"no Word document ({said}): open and save it as .docx anew") from error
    flow = _Flow(word)
    found = sections(flow.items())
    cover = found[0].text if found and not found[0].heading else ""
    title = (word.core_properties.title or "").strip()
    if not title or _NO_TITLE.fullmatch(title):
        title = flow.title or _first_line(cover)
    return Content(
        found,
        title=title,
        version=version_on_cover(cover[:6_000]),
        licence=licence_in(cover),
    )


def _check(data: bytes) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(
            "encrypted, or of a Word before 2007: remove the password and save it as .docx"
        )
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise InputError(f"no Word document ({error}): open and save it as .docx anew") from error
    # Python's zipfile reads no more of a part than it is said to hold.
    total = sum(part.file_size for part in parts)
    largest = max((p.file_size for p in parts if p.filename.endswith((".xml", ".rels"))), default=0)
    if total > MOST_UNPACKED_BYTES or largest > MOST_PART_BYTES:
        raise InputError(f"unpacks to {max(total, largest) / 1e6:,.0f} MB: too much for a document")


def _first_line(cover: str) -> str:
    line = cover.strip().split("\n", 1)[0]
    return line if len(line) <= 200 and not line.startswith("|") else ""


class _Styles:
    """What the chain of a style's bases says of a paragraph."""

    def __init__(self, root: Any) -> None:  # noqa: ANN401  (an element of lxml)
        self._styles = {s.get(f"{_W}styleId"): s for s in root.findall(f"{_W}style")}
        self._default = next(
            (
                key
                for key, style in self._styles.items()
                if style.get(f"{_W}type") == "paragraph" and style.get(f"{_W}default") == "1"
            ),
            "",
        )

    def id_of(self, paragraph: Any) -> str:  # noqa: ANN401
        return _attribute(paragraph, "pPr/pStyle") or self._default

    def chain(self, style_id: str) -> list[tuple[str, Any]]:
        """The style and its bases, the nearest first."""
        found: list[tuple[str, Any]] = []
        seen = set()
        while style_id in self._styles and style_id not in seen:
            seen.add(style_id)
            found.append((style_id, self._styles[style_id]))
            style_id = _attribute(self._styles[style_id], "basedOn")
        return found

    def name(self, style_id: str) -> str:
        style = self._styles.get(style_id)
        return style_id if style is None else _attribute(style, "name") or style_id


class _Flow:
    """A document's body, read from its beginning to its end."""

    def __init__(self, word: Any) -> None:  # noqa: ANN401  (python-docx names its class Document too)
        self.title = ""
        self._body = word.element.body
        self._styles = _Styles(word.styles.element)
        part = next(
            (r.target_part for r in word.part.rels.values() if r.reltype.endswith("/numbering")),
            None,
        )
        self._numbering = numbering_of(None if part is None else part.element)
        self._known: dict[str, tuple[int | None, bool, bool, str, int]] = {}

    def items(self) -> Iterator[Heading | Block]:
        """Headings and blocks; lines of a list, and of a listing, as one block."""
        held: list[str] = []
        kind = ""
        for what, item in self._walk(self._body):
            if what != kind and held:
                yield _together(held, kind)
                held = []
            kind = what
            if isinstance(item, str):
                held.append(item)
            else:
                yield item
        if held:
            yield _together(held, kind)

    def _walk(self, parent: Any) -> Iterator[tuple[str, str | Heading | Block]]:  # noqa: ANN401
        for child in parent:
            if child.tag == f"{_W}p":
                yield from self._paragraph(child)
            elif child.tag == f"{_W}tbl":
                yield from self._table(child)
            elif child.tag == f"{_W}sdt":
                if "Table of Contents" not in _attribute(child, "sdtPr/docPartObj/docPartGallery"):
                    yield from self._walk(child)
            elif child.tag in _WRAPPERS:
                yield from self._walk(child)

    def _paragraph(self, paragraph: Any) -> Iterator[tuple[str, str | Heading | Block]]:  # noqa: ANN401
        style = self._styles.id_of(paragraph)
        level, is_contents, is_code, list_id, list_level = self._facts(style)
        own = _attribute(paragraph, "pPr/outlineLvl")
        if own.isdigit():
            level = int(own) + 1 if int(own) < 9 else None
        text = _text(paragraph)
        if is_contents or (not text.strip() and not _boxes(paragraph)):
            return
        if own_list := _attribute(paragraph, "pPr/numPr/numId"):
            list_id = "" if own_list == "0" else own_list
            list_level = 0
        if own_level := _attribute(paragraph, "pPr/numPr/ilvl"):
            list_level = int(own_level) if own_level.isdigit() else 0
        label = self._numbering.next(list_id, list_level) if list_id and text.strip() else ""
        if level is not None and text.strip():
            yield "heading", _heading(text, label, level)
        elif is_code:
            yield "code", text.replace("\t", "    ").rstrip()
        elif text.strip():
            if self._styles.name(style).lower() == "title" and not self.title:
                self.title = " ".join(text.split())
            yield _spoken(text, label)
        for box in _boxes(paragraph):
            yield from self._walk(box)

    def _facts(self, style_id: str) -> tuple[int | None, bool, bool, str, int]:
        """Heading level, whether it is of a table of contents or code, list and list level."""
        if style_id in self._known:
            return self._known[style_id]
        level: int | None = None
        list_id, list_level = "", 0
        chain = self._styles.chain(style_id)
        for key, style in chain:
            outline = _attribute(style, "pPr/outlineLvl")
            found = _HEADING_STYLE.match(self._styles.name(key))
            if level is None and outline.isdigit():
                level = int(outline) + 1
            elif level is None and found:
                level = int(found["level"] or found["h"])
            if not list_id and (own := _attribute(style, "pPr/numPr/numId")):
                list_id = own
                given = _attribute(style, "pPr/numPr/ilvl")
                list_level = (
                    int(given) if given.isdigit() else self._numbering.level_of_style(own, key)
                )
        name = self._styles.name(style_id)
        is_contents = _CONTENTS_STYLE.match(name) is not None
        facts = (
            None if level is None or level > 9 or is_contents else level,
            is_contents,
            _CODE_STYLE.match(name) is not None,
            "" if list_id == "0" else list_id,
            list_level,
        )
        self._known[style_id] = facts
        return facts

    def _table(self, table: Any) -> Iterator[tuple[str, str | Heading | Block]]:  # noqa: ANN401
        rows = [row for row in _rows(table) if row]
        if sum(map(len, rows)) == 1:  # A frame around paragraphs, such as a listing.
            yield from self._walk(rows[0][0][0])
            return
        yield "table", Block(markdown_table(list(_spread(rows))), "table")


def _heading(text: str, label: str, level: int) -> Heading:
    label = label.rstrip(".:").strip()
    if label and label != BULLET:
        return Heading(" ".join(text.split()), _level_of(label, level), label)
    number, title = split_number(text)
    return Heading(title, _level_of(number, level) if number else level, number)


def _level_of(number: str, level: int) -> int:
    """By the number where there is one: 3GPP's annexes are of "Heading 8", their clauses of 1."""
    return depth(number) if "." in number or _ANNEX.match(number) or number.isdigit() else level


def _spoken(text: str, label: str) -> tuple[str, str | Block]:
    """A line of a list, or a paragraph."""
    said = one_line(text.replace("\t", " "))
    if label:
        return "list", f"{label} {said}"
    return ("list", said) if _ITEM.match(text) else ("text", Block(said))


def _together(lines: list[str], kind: str) -> Block:
    return Block("\n".join(lines), "code" if kind == "code" else "text")


def _text(paragraph: Any) -> str:  # noqa: ANN401
    """All that a paragraph says, but for what was deleted and for its text boxes."""
    parts: list[str] = []
    waiting = list(reversed(paragraph))
    while waiting:
        element = waiting.pop()
        tag = element.tag
        if tag in _WORDS:
            parts.append(element.text or "")
        elif tag in _SIGNS:
            if tag != f"{_W}tab" or element.getparent().tag == f"{_W}r":
                parts.append(_SIGNS[tag])
        elif tag not in _UNREAD and tag != _BOX:
            waiting += reversed(element)
    return "".join(parts)


def _boxes(paragraph: Any) -> list[Any]:  # noqa: ANN401
    """Text boxes that are drawn at a paragraph."""
    return [
        box
        for box in paragraph.iter(_BOX)
        if not any(above.tag in _UNREAD or above.tag == _BOX for above in box.iterancestors())
    ]


def _rows(table: Any) -> Iterator[list[tuple[Any, int, str]]]:  # noqa: ANN401
    """The rows of a table: cells, how many columns each takes, and whether it goes on downwards."""
    for row in _below(table, f"{_W}tr"):
        if row.find(f"{_W}trPr/{_W}del") is not None:
            continue
        cells: list[tuple[Any, int, str]] = []
        for cell in _below(row, f"{_W}tc"):
            span = _attribute(cell, "tcPr/gridSpan")
            merge = cell.find(f"{_W}tcPr/{_W}vMerge")
            down = "" if merge is None else merge.get(f"{_W}val") or "continue"
            cells.append((cell, min(int(span), 63) if span.isdigit() and span != "0" else 1, down))
        yield cells


def _below(parent: Any, tag: str) -> Iterator[Any]:  # noqa: ANN401
    """Children of a kind, within content controls and tracked insertions too."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _WRAPPERS or child.tag == f"{_W}sdt":
            yield from _below(child, tag)


def _spread(rows: Iterable[list[tuple[Any, int, str]]]) -> Iterator[list[str]]:
    """The words of each cell: once across its columns, and on each of its lines down."""
    above: dict[int, str] = {}
    for row in rows:
        line: list[str] = []
        for cell, span, down in row:
            column = len(line)
            text = above.get(column, "") if down == "continue" else _cell_text(cell)
            if down:
                above[column] = text
            else:
                above.pop(column, None)
            line += [text] + [""] * (span - 1)
        yield line


def _cell_text(cell: Any) -> str:  # noqa: ANN401
    """The paragraphs of a cell, those of tables within it too."""
    return " ".join(
        text
        for p in cell.iter(f"{_W}p")
        if not any(above.tag in _UNREAD for above in p.iterancestors())
        and (text := _text(p).strip())
    )


def _attribute(element: Any, path: str) -> str:  # noqa: ANN401
    """The value of an element below another, "" where either is not there."""
    found = element.find("/".join(f"{_W}{name}" for name in path.split("/")))
    return "" if found is None else found.get(f"{_W}val") or ""
