"""PDF -> sections (pdfplumber)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from rfplatform.documents.content import Content
from rfplatform.documents.contents import contents_lines, running_heads
from rfplatform.documents.document import Block
from rfplatform.documents.library import library
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, depth, markdown_table, sections, split_number
from rfplatform.documents.paragraph import begins_item, joined, vocabulary
from rfplatform.documents.text import Numbers
from rfplatform.documents.version import version_on_cover
from rfplatform.errors import InputError

if TYPE_CHECKING:
    from pdfplumber.page import Page
    from pdfplumber.pdf import PDF

_MONOSPACED = re.compile(r"courier|consol|mono|menlo|typewriter|cmtt|lucidacon", re.IGNORECASE)
_WORD_GAP = 0.15
"""Share of the letters' size that parts two words: TeX sets tight lines with a fifth of it."""

_BOLD = re.compile(r"bold|black|heavy|semibold|demi", re.IGNORECASE)
_NO_TITLE = re.compile(
    r"(?:microsoft word|powerpoint)\b.*|untitled.*|.*\.(?:docx?|pdf|tex|dvi)|3GPP T[SR] ab\.cde",
    re.IGNORECASE,
)
_LONGEST_TITLE = 160
_LARGER = 1.08
"""Times the size of the body, from which a line stands out."""


@dataclass(frozen=True)
class _Line:
    """A printed line.

    Attributes
    ----------
    text : str
    page : int
    size : float
        Median of its letters, points.
    bold, monospaced : bool
        Whether most of its letters are.
    left, right, top, bottom : float
        Points from the page's upper left corner.
    """

    text: str
    page: int
    size: float
    bold: bool
    monospaced: bool
    left: float
    right: float
    top: float
    bottom: float


@dataclass(frozen=True)
class _Table:
    """A table, or the part of one that is on a page.

    Attributes
    ----------
    rows : tuple of tuple of str
    page : int
    top : float
    columns : tuple of float
        Where they begin and where the last one ends, points.
    """

    rows: tuple[tuple[str, ...], ...]
    page: int
    top: float
    columns: tuple[float, ...]


@dataclass(frozen=True)
class _Entry:
    """A bookmark: its words without blanks, its level, and its page where it tells."""

    key: str
    level: int
    page: int | None


def read_pdf(data: bytes) -> Content:
    """Read a PDF.

    Headings are the bookmarks, found again in the text, and what is numbered and stands out by
    size or weight. Tables with ruled lines are tables; running heads and tables of contents are
    left out; wrapped lines are joined.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content
        Its notes tell pages without text.

    Raises
    ------
    InputError
        If it is encrypted, broken, or holds no text at all.
    """
    with library():
        import pdfplumber
        from pdfplumber.utils.exceptions import PdfminerException
    with _quiet():
        try:
            pdf = pdfplumber.open(BytesIO(data))
        except PdfminerException as error:
            raise _fault(error) from error
        with pdf:
            pages = [_page(page) for page in pdf.pages]
            bookmarks = _bookmarks(pdf)
            stated = (pdf.metadata or {}).get("Title")
    if not any(lines or tables for lines, tables in pages):
        raise InputError("no page holds text: run OCR over it first, as with ocrmypdf")
    return _content(pages, bookmarks, stated if isinstance(stated, str) else "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence pdfminer's warnings of fonts and colours, which say nothing of the text."""
    logger = logging.getLogger("pdfminer")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _fault(error: Exception) -> InputError:
    from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect

    cause = error.args[0] if error.args else None
    if isinstance(cause, (PDFPasswordIncorrect, PDFEncryptionError)):
        return InputError("encrypted: decrypt it first, as with qpdf --decrypt --password=...")
    said = " ".join(str(cause or error).split())
    return InputError(f"broken PDF ({said}): download it anew, or repair it as with qpdf")


def _content(
    pages: list[tuple[list[_Line], list[_Table]]], bookmarks: list[_Entry], stated: str
) -> Content:
    heads = running_heads([[line.text for line in lines] for lines, _ in pages])
    kept = [
        [line for i, line in enumerate(lines) if i not in dropped]
        for (lines, _), dropped in zip(pages, heads, strict=True)
    ]
    every = [line for lines in kept for line in lines]
    dropped = contents_lines([line.text for line in every])
    entries = {id(every[i]) for i in dropped}
    items: list[_Line | _Table] = []
    for lines, (_, tables) in zip(kept, pages, strict=True):
        on_page: list[_Line | _Table] = [line for line in lines if id(line) not in entries]
        items += sorted([*on_page, *tables], key=lambda item: item.top)
    found = sections(_flow(items, bookmarks))
    cover = "\n".join(line.text for lines, _ in pages[:2] for line in lines)
    title = " ".join(stated.split())
    if not title or _NO_TITLE.fullmatch(title):
        title = _largest(pages[0][0])
    empty = [i for i, (lines, tables) in enumerate(pages, 1) if not lines and not tables]
    notes: tuple[str, ...] = ()
    if empty:
        one = len(empty) == 1
        notes = (
            f"page{'' if one else 's'} {_ranges(empty)} {'holds' if one else 'hold'} no text: a "
            "scan or a drawing",
        )
    return Content(found, title, version_on_cover(cover), licence_in(cover), notes)


# ----------------------------------------------------------------------------------------------
# What is on a page
# ----------------------------------------------------------------------------------------------


def _page(page: Page) -> tuple[list[_Line], list[_Table]]:
    """A page's lines outside its tables, and its tables, from top to bottom."""
    tables = []
    boxes = []
    for table in page.find_tables():
        rows = tuple(
            tuple(" ".join((cell or "").split()) for cell in row)
            for row in table.extract(x_tolerance_ratio=_WORD_GAP)
        )
        said = sum(1 for row in rows for cell in row if cell)
        # A frame around a paragraph, or lines that only part the page, is no table.
        if len(rows) > 1 and max(map(len, rows)) > 1 and said > 2:
            columns = sorted({round(edge) for c in table.cells for edge in (c[0], c[2])})
            tables.append(_Table(rows, page.page_number, table.bbox[1], tuple(columns)))
            boxes.append(table.bbox)
    outside = page.filter(lambda item: not _in_any(item, boxes)) if boxes else page
    lines = [
        _line(found, page.page_number)
        for found in outside.extract_text_lines(
            strip=True, return_chars=True, x_tolerance_ratio=_WORD_GAP
        )
        if found["text"].strip()
    ]
    page.close()
    return lines, tables


def _in_any(item: dict[str, Any], boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    x, y = (item["x0"] + item["x1"]) / 2, (item["top"] + item["bottom"]) / 2
    return any(x0 <= x <= x1 and top <= y <= bottom for x0, top, x1, bottom in boxes)


def _line(found: dict[str, Any], page: int) -> _Line:
    letters = [char for char in found["chars"] if not char["text"].isspace()]
    fonts = [str(char["fontname"]) for char in letters]
    return _Line(
        text=found["text"].strip(),
        page=page,
        size=round(median(char["size"] for char in letters), 1),
        bold=2 * sum(1 for font in fonts if _BOLD.search(font)) > len(fonts),
        monospaced=2 * sum(1 for font in fonts if _MONOSPACED.search(font)) > len(fonts),
        left=found["x0"],
        right=found["x1"],
        top=found["top"],
        bottom=found["bottom"],
    )


def _bookmarks(pdf: PDF) -> list[_Entry]:
    """The document's bookmarks in their order; none where they are broken."""
    from pdfminer.pdfdocument import PDFNoOutlines
    from pdfminer.pdfexceptions import PDFException

    pages = {page.page_obj.pageid: page.page_number for page in pdf.pages}
    found = []
    try:
        for level, title, target, action, _ in pdf.doc.get_outlines():
            key = _key(title)
            if key:
                found.append(_Entry(key, level, _target_page(pdf, target, action, pages)))
    except (PDFNoOutlines, PDFException, KeyError, TypeError, AttributeError, ValueError):
        return found
    return found


def _target_page(pdf: PDF, target: Any, action: Any, pages: dict[Any, int]) -> int | None:  # noqa: ANN401
    from pdfminer.pdfexceptions import PDFException
    from pdfminer.pdftypes import PDFObjRef, resolve1

    try:
        if target is None and action is not None:
            target = resolve1(resolve1(action).get("D"))
        if isinstance(target, (bytes, str)):
            target = resolve1(pdf.doc.get_dest(target))
        if isinstance(target, dict):
            target = resolve1(target.get("D"))
        first = target[0] if isinstance(target, list) and target else None
        return pages.get(first.objid) if isinstance(first, PDFObjRef) else None
    except (PDFException, KeyError, TypeError, AttributeError, ValueError):
        return None


def _key(text: str) -> str:
    """Words as bookmarks and lines can be compared: blanks differ between the two."""
    return re.sub(r"[\W_]+", "", text).lower()


# ----------------------------------------------------------------------------------------------
# Lines and tables to headings and blocks
# ----------------------------------------------------------------------------------------------


def _flow(
    items: Sequence[_Line | _Table], bookmarks: Sequence[_Entry]
) -> Iterator[Heading | Block]:
    lines = [item for item in items if isinstance(item, _Line)]
    words = vocabulary("\n".join(line.text for line in lines))
    look = _Look(lines)
    marked = _Marked(bookmarks)
    numbers = Numbers()
    held: list[_Line] = []
    last_table: _Table | None = None
    skip = 0
    for i, item in enumerate(items):
        if skip:
            skip -= 1
            continue
        if isinstance(item, _Table):
            if held:
                yield look.block(held, words)
                held = []
            carried = _carried_on(last_table, item)
            last_table = carried
            yield Block(markdown_table(carried.rows), "table", item.page)
            continue
        last_table = None
        heading, taken = marked.heading(items, i)
        if heading is None:
            heading, taken = look.heading(items, i, numbers, has_bookmarks=bool(bookmarks))
        if heading is not None:
            if held:
                yield look.block(held, words)
                held = []
            if heading.number:
                numbers.take(heading.number)
            yield heading
            skip = taken - 1
            continue
        if held and look.parts(held[-1], item):
            yield look.block(held, words)
            held = []
        held.append(item)
    if held:
        yield look.block(held, words)


def _carried_on(above: _Table | None, table: _Table) -> _Table:
    """A table that goes on from the page before gets that one's header."""
    if (
        above is None
        or table.page != above.page + 1
        or len(above.columns) != len(table.columns)
        or max(abs(a - b) for a, b in zip(above.columns, table.columns, strict=True)) > 3
        or above.rows[0] == table.rows[0]
    ):
        return table
    return replace(table, rows=(above.rows[0], *table.rows))


class _Marked:
    """Bookmarks that are still to be found in the text."""

    def __init__(self, bookmarks: Sequence[_Entry]) -> None:
        self._waiting = list(bookmarks)
        self._at: dict[str, list[int]] = {}
        for i, entry in enumerate(bookmarks):
            self._at.setdefault(entry.key, []).append(i)
        self._found: set[int] = set()
        self._longest = max((len(entry.key) for entry in bookmarks), default=0)

    def heading(self, items: Sequence[_Line | _Table], i: int) -> tuple[Heading | None, int]:
        """The heading that begins at a line, and of how many lines it is."""
        text = ""
        for taken, item in enumerate(items[i : i + 4], start=1):
            if not isinstance(item, _Line):
                break
            text = f"{text} {item.text}".strip()
            key = _key(text)
            if len(key) > self._longest:
                break
            for index in self._at.get(key, ()):
                entry = self._waiting[index]
                # Without a page it is the first line of these words.
                if index in self._found or (entry.page or item.page) != items[i].page:
                    continue
                self._found.add(index)
                number, title = split_number(text)
                level = depth(number) if "." in number else entry.level
                return Heading(title, level, number, items[i].page), taken
        return None, 1


class _Look:
    """How a document looks: its body's size, how far apart its lines are, its headings' sizes."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        sizes: Counter[float] = Counter()
        for line in lines:
            sizes[line.size] += len(line.text)
        self.body = max(sizes, key=lambda size: (sizes[size], -size), default=10.0)
        body = [line for line in lines if line.size == self.body]
        gaps = [b.top - a.bottom for a, b in pairwise(body) if a.page == b.page and b.top > a.top]
        self.gap = median(gaps) if gaps else 0.3 * self.body
        self.right = max((line.right for line in body), default=0.0)
        self.left = min((line.left for line in body), default=0.0)
        # A size that a tenth of the text has is no heading's.
        total = sum(sizes.values())
        large = sorted(
            (s for s in sizes if s >= _LARGER * self.body and 10 * sizes[s] < total), reverse=True
        )
        self._levels = {size: min(rank, 6) for rank, size in enumerate(large, start=1)}

    def heading(
        self, items: Sequence[_Line | _Table], i: int, numbers: Numbers, *, has_bookmarks: bool
    ) -> tuple[Heading | None, int]:
        """The heading that begins at a line, and of how many lines it is."""
        line = items[i]
        if not isinstance(line, _Line) or line.monospaced or len(line.text) > _LONGEST_TITLE:
            return None, 1
        number, title = split_number(line.text)
        large = line.size >= _LARGER * self.body
        stands_out = large or (line.bold and line.size >= 0.95 * self.body)
        if not re.search(r"[^\W\d_]", title) or title.endswith((",", ";")):
            return None, 1
        if number and numbers.may_follow(number) and stands_out and not title.endswith("."):
            text, taken = self._whole(items, i)
            number, title = split_number(text)
            return Heading(title, depth(number), number, line.page), taken
        if number and self._stands_alone(items, i, numbers, number, title):
            return Heading(title, depth(number), number, line.page), 1
        if not number and not has_bookmarks and large and line.size in self._levels:
            text, taken = self._whole(items, i)
            if len(text) <= _LONGEST_TITLE and not text.endswith("."):
                return Heading(text, self._levels[line.size], "", line.page), taken
        return None, 1

    def _stands_alone(
        self, items: Sequence[_Line | _Table], i: int, numbers: Numbers, number: str, title: str
    ) -> bool:
        """Whether a line in the body's type is a heading by its place: "7.2 Procedures"."""
        if "." not in number or not numbers.may_follow(number) or not title[:1].isupper():
            return False
        line = items[i]
        above = items[i - 1] if i else None
        below = items[i + 1] if i + 1 < len(items) else None
        return (
            not title.endswith((".", ":"))
            and isinstance(line, _Line)
            and (not isinstance(above, _Line) or self.parts(above, line))
            and isinstance(below, _Line)
            and self.parts(line, below)
        )

    def _whole(self, items: Sequence[_Line | _Table], i: int) -> tuple[str, int]:
        """A heading with the lines that it runs on to: alike, close, and not numbered."""
        first = items[i]
        text, taken = "", 0
        for item in items[i : i + 4]:
            if not isinstance(item, _Line) or not isinstance(first, _Line):
                break
            if taken:
                last = items[i + taken - 1]
                alike = (item.size, item.bold, item.page) == (first.size, first.bold, first.page)
                close = isinstance(last, _Line) and item.top - last.bottom < 0.6 * item.size
                if not (alike and close) or split_number(item.text)[0]:
                    break
            text = f"{text} {item.text}".strip()
            taken += 1
        return text, taken

    def parts(self, above: _Line, below: _Line) -> bool:
        """Whether a paragraph ends between two lines."""
        if above.monospaced != below.monospaced:
            return True
        if above.page != below.page or below.top < above.top:
            # Over a page's border it goes on unless a sentence ended or an item begins.
            return (
                above.monospaced
                or begins_item(below.text)
                or bool(re.search(r"[.!?:;]$", above.text))
                or abs(above.size - below.size) > 0.5
            )
        if below.top - above.bottom > self.gap + 0.35 * self.body:
            return True
        if above.monospaced or begins_item(below.text):
            return False  # Lists and listings are one block.
        if abs(above.size - below.size) > 0.12 * self.body:
            return True
        ends_short = above.right < self.right - 0.25 * (self.right - self.left)
        return ends_short and above.text.endswith((".", ":")) and below.left >= self.left + 8

    def block(self, lines: Sequence[_Line], words: frozenset[str]) -> Block:
        """A paragraph, a list or a listing of its lines."""
        page = lines[0].page
        if lines[0].monospaced:
            left = min(line.left for line in lines)
            return Block(
                "\n".join(
                    " " * round((line.left - left) / (0.6 * line.size)) + line.text
                    for line in lines
                ),
                "code",
                page,
            )
        return Block(joined([line.text for line in lines], words), "text", page)


def _largest(lines: Sequence[_Line]) -> str:
    """The words in the largest type of a first page."""
    if not lines:
        return ""
    size = max(line.size for line in lines)
    text = " ".join(line.text for line in lines if line.size >= 0.98 * size)
    return text if len(text) <= 2 * _LONGEST_TITLE else ""


def _ranges(numbers: Sequence[int]) -> str:
    """1, 3-5 of 1, 3, 4, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
