"""Headings and blocks in reading order -> sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rfplatform.documents.document import Block, Section

_NUMBER = re.compile(
    r"(?P<number>"
    r"(?i:annex|appendix)\s+[A-Z0-9]{1,2}(?![\w.])"
    r"|[A-Z](?:\.\d+[a-z]?)+(?:-\d+)?"
    # Not "5G" or "2024".
    r"|\d{1,3}[a-z]?(?:\.\d+[a-zA-Z]?)*(?:\.[xX])?"
    r")"
    # A dot or a bracket closes a number ("3. Scope"); an annex goes on with its kind or its name.
    r"(?:[.)](?=\s)|:?(?=\s)|(?=:)|$)\s*(?P<title>.*)",
    re.DOTALL,
)
_SPACE = re.compile(r"[^\S\n]+")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u00ad\u200b\u2060\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class Heading:
    """A heading in the flow of a document.

    Attributes
    ----------
    title : str
    level : int
        1 for the outermost.
    number : str
    page : int, optional
    """

    title: str
    level: int
    number: str = ""
    page: int | None = None


def split_number(text: str) -> tuple[str, str]:
    """A heading's number and what it says.

    Parameters
    ----------
    text : str
        "7.2.1<tab>General", "A.3 Rates", "Annex B (informative): Examples", or words alone.

    Returns
    -------
    tuple of str
        Number and title; the number is "" where there is none.
    """
    text = " ".join(text.split())
    found = _NUMBER.match(text)
    if found is None:
        return "", text
    return found["number"], found["title"].strip()


def depth(number: str) -> int:
    """How deep a number stands: "7.2.1" and "A.2.1" 3, "7" and "Annex A" 1."""
    return number.count(".") + 1


def sections(flow: Iterable[Heading | Block]) -> tuple[Section, ...]:
    """The sections of a document.

    Parameters
    ----------
    flow : iterable of Heading or Block
        In reading order. Blocks without a word are left out.

    Returns
    -------
    tuple of Section
        What stands before the first heading is a section without a title, if there is any.
    """
    found: list[tuple[Heading, list[Block]]] = [(Heading("", 1), [])]
    for item in flow:
        if isinstance(item, Heading):
            found.append((item, []))
        elif text := printable(item.text).strip("\n").rstrip():
            block = replace(item, text=text if item.kind == "code" else text.lstrip())
            # A picture's caption often says its alternative text once more.
            if not found[-1][1] or found[-1][1][-1].text != block.text:
                found[-1][1].append(block)
    if not found[0][1]:
        del found[0]
    above: list[Section] = []
    made = []
    for heading, blocks in found:
        while above and above[-1].level >= heading.level:
            above.pop()
        section = Section(
            number=heading.number,
            title=" ".join(printable(heading.title).split()),
            level=heading.level,
            parents=tuple(parent.heading for parent in above),
            blocks=tuple(blocks),
            page=heading.page or (blocks[0].page if blocks else None),
        )
        made.append(section)
        if section.heading:
            above.append(section)
    return tuple(made)


def printable(text: str) -> str:
    """A text without control characters, soft hyphens and halves of surrogate pairs."""
    return _UNPRINTABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """Runs of blanks as one, line ends kept where they mean something."""
    lines = (_SPACE.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, a row a line; the first row is its header.

    Parameters
    ----------
    rows : sequence of sequences of str
        May be of unequal length.

    Returns
    -------
    str
        "" for a table without a word.
    """
    cells = [[" ".join(printable(cell).split()).replace("|", "\\|") for cell in r] for r in rows]
    cells = [row for row in cells if any(row)]
    if not cells:
        return ""
    width = max(map(len, cells))
    kept = [i for i in range(width) if any(i < len(row) and row[i] for row in cells)]
    lines = [[row[i] if i < len(row) else "" for i in kept] for row in cells]
    lines.insert(1, ["---"] * len(kept))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
