"""Plain text, as 3GPP and the IETF write it -> sections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rfplatform.documents.content import Content
from rfplatform.documents.contents import contents_lines, running_heads
from rfplatform.documents.document import Block
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, depth, sections, split_number
from rfplatform.documents.paragraph import is_listing, joined, vocabulary
from rfplatform.documents.version import version_on_cover
from rfplatform.errors import InputError

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_NUMBERED = re.compile(
    r"(?:(?P<number>\d{1,3}[a-z]?(?:\.\d{1,4}[a-zA-Z]?)*|[A-Z](?:\.\d{1,4}[a-zA-Z]?)+)\.?"
    r"|(?:annex|appendix)\s+[A-Z0-9]{1,2})"
    r"(?=[\s:.(])[\s:.]*(?P<title>\(?[^\W_].*)",
    re.IGNORECASE,
)
_LONGEST_TITLE = 120


def decoded(data: bytes) -> str:
    """The text of UTF-8 bytes, or of UTF-16 with a byte order mark; line ends are single.

    Raises
    ------
    InputError
        Where they are neither.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8 text (byte {data[error.start]:#04x} at {error.start:,}): convert it, as "
            "with iconv -f WINDOWS-1252 -t UTF-8"
        ) from error
    if "\0" in text:
        raise InputError("not text (it holds zero bytes): give the file its right suffix")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(data: bytes) -> Content:
    """Read plain text: numbered headings, paragraphs, lists and listings.

    Form feeds part pages, whose running heads are dropped, as is a table of contents.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content

    Raises
    ------
    InputError
        Where it is not UTF-8.
    """
    text = decoded(data)
    lines, pages = _lines(text)
    found = sections(_flow(lines, pages, text))
    cover = found[0].text if found and not found[0].heading else ""
    return Content(
        found,
        title=_title(cover),
        version=version_on_cover(cover[:4_000]),
        licence=licence_in(text),
    )


def _lines(text: str) -> tuple[list[str], list[int | None]]:
    """The lines that say something of their own, and the page of each."""
    pages = [page.split("\n") for page in text.split("\f")]
    if len(pages) == 1:
        lines: list[str] = pages[0]
        numbers: list[int | None] = [None] * len(lines)
    else:
        lines, numbers = [], []
        for number, (page, heads) in enumerate(zip(pages, running_heads(pages), strict=True), 1):
            kept = [line for i, line in enumerate(page) if i not in heads]
            # A paragraph may go on behind the border, so the blanks around heads go with them.
            kept = "\n".join(kept).strip("\n").split("\n")
            if not _goes_on(lines, kept):
                kept = ["", *kept]
            lines += kept
            numbers += [number] * len(kept)
    dropped = contents_lines(lines)
    kept_lines = [i for i in range(len(lines)) if i not in dropped]
    return [lines[i] for i in kept_lines], [numbers[i] for i in kept_lines]


def _goes_on(above: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a paragraph runs over a page's border."""
    return bool(
        above
        and below
        and re.search(r"[\w,;-]$", above[-1].rstrip())
        and re.match(r"\s*[a-z(]", below[0])
    )


def _flow(
    lines: Sequence[str], pages: Sequence[int | None], text: str
) -> Iterator[Heading | Block]:
    words = vocabulary(text)
    numbers = Numbers()
    held: list[str] = []
    first = 0
    for i, line in enumerate(lines):
        blank = not line.strip()
        if (blank or is_heading(lines, i, numbers)) and held:
            yield _paragraph(held, words, pages[first])
            held = []
        if blank:
            continue
        if not held and is_heading(lines, i, numbers):
            number, title = split_number(line)
            numbers.take(number)
            yield Heading(title, depth(number), number, pages[i])
            continue
        if not held:
            first = i
        held.append(line)
    if held:
        yield _paragraph(held, words, pages[first])


def _paragraph(lines: Sequence[str], words: frozenset[str], page: int | None) -> Block:
    if is_listing(lines):
        return Block("\n".join(lines), "code", page)
    return Block(joined(lines, words), "text", page)


def is_heading(lines: Sequence[str], i: int, numbers: Numbers) -> bool:
    """Whether a line is a numbered heading.

    It stands alone or has a tab behind its number, is short, does not end like a sentence, and
    its number can follow the one before.
    """
    line = lines[i]
    found = _NUMBERED.match(line)
    if found is None or len(line) > _LONGEST_TITLE:
        return False
    title = found["title"]
    if title.rstrip().endswith((".", ",", ";", ":")) or not numbers.may_follow(
        split_number(line)[0]
    ):
        return False
    if re.match(r"\S+\t", line) and title[:1].isupper():
        return True
    above = i == 0 or not lines[i - 1].strip()
    below = i + 1 == len(lines) or not lines[i + 1].strip()
    return above and below and not title[:1].islower()


class Numbers:
    """The numbers of headings so far, which say what the next can be."""

    def __init__(self) -> None:
        self._last: tuple[str, ...] = ()

    def may_follow(self, number: str) -> bool:
        """Whether a number goes on from the last: a child of it, or later beside it or above.

        A step may skip up to ten, where clauses are void or were missed.
        """
        parts = _parts(number)
        if not parts:
            return False
        last = self._last
        if not last:
            return len(parts) <= 2 and _step("0", parts[0])
        same = 0
        while same < min(len(last), len(parts)) and last[same] == parts[same]:
            same += 1
        if same == len(parts):
            return False
        if same == len(last):
            return len(parts) <= same + 2 and _step("-1", parts[same])
        return len(parts) <= same + 2 and _step(last[same], parts[same])

    def take(self, number: str) -> None:
        self._last = _parts(number)


def _parts(number: str) -> tuple[str, ...]:
    bare = re.sub(r"^(?:annex|appendix)\s+", "", number, flags=re.IGNORECASE)
    return tuple(bare.split(".")) if bare else ()


def _step(before: str, after: str) -> bool:
    """Whether one part of a number goes on from another: 3 to 4, 3 to 3a, 3a to 4, 12 to A."""
    if not after:
        return False
    if after[0].isalpha():
        return not before[:1].isalpha() or before < after
    if before[:1].isalpha():
        return False
    low, high = int(re.match(r"-?\d+", before)[0]), int(re.match(r"\d+", after)[0])  # type: ignore[index]
    return 0 < high - low <= 11 or (high == low and before < after)


def _title(cover: str) -> str:
    """The first paragraph of a cover, if it is short enough to be a title."""
    first = " ".join(cover.split("\n\n", 1)[0].split())
    return first if len(first) <= 2 * _LONGEST_TITLE else ""
