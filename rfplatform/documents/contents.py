"""Lines that only point into a document: tables of contents and running heads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

_LEADER = re.compile(r"(?:\.{4,}|(?:\. ){4,}\.?|…{2,}|_{6,})\s*(?:\d+|[ivxlc]+)?\s*$")
_TABBED = re.compile(r"\t\s*(?P<page>\d+)\s*$")
_ENTRY = re.compile(
    r"^\s*(?:\d+(?:\.\d+)*[a-z]?|[A-Z](?:\.\d+)+|annex\s+\w+|appendix\s+\w+)\b.*\s(?P<page>\d+)\s*$",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"^\s*(?:table\s+of\s+)?(?:contents?|figures|tables)\s*$|^\s*list\s+of\s+(?:figures|tables)\s*$",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b", re.IGNORECASE)
_PAGE_NUMBER = re.compile(
    r"\s*(?:page\s+)?[-–(]?\s*#\s*[-–)]?(?:\s*(?:/|of)\s*#)?\s*", re.IGNORECASE
)
_LONGEST = 400
_FEWEST = 3
"""Entries in a row that make a table of contents, and pages with a line that make it a head."""


def contents_lines(lines: Sequence[str]) -> frozenset[int]:
    """Which lines are a table of contents, a list of figures, or the title of one.

    Parameters
    ----------
    lines : sequence of str
        Of the whole document. Leaders of dots tell an entry, or at least three lines in a row
        that begin with a number and end with page numbers that do not fall.

    Returns
    -------
    frozenset of int
        Their indices.
    """
    # A longer line is no entry, and would be slow to search.
    lines = [line if len(line) <= _LONGEST else "-" for line in lines]
    found = {i for i, line in enumerate(lines) if _LEADER.search(line)}
    run: list[int] = []
    last_page = 0
    for i, line in enumerate([*lines, "end"]):
        if not line.strip():
            continue
        entry = _ENTRY.match(line) or (_TABBED.search(line) if line.count("\t") > 1 else None)
        page = int(entry["page"][-9:]) if entry else -1
        if entry and page >= last_page:
            run.append(i)
            last_page = page
            continue
        if len(run) >= _FEWEST:
            found.update(run)
        run, last_page = ([i], page) if entry else ([], 0)
    found |= _between(lines, found)
    found |= _titles(lines, found)
    return frozenset(found)


def _between(lines: Sequence[str], entries: set[int]) -> set[int]:
    """First lines of entries that are two lines long: what lies alone between entries."""
    order = sorted(entries)
    return {
        between[0]
        for above, below in pairwise(order)
        if len(between := [i for i in range(above + 1, below) if lines[i].strip()]) == 1
        and below - above <= 4
    }


def _titles(lines: Sequence[str], entries: set[int]) -> set[int]:
    titles = set()
    for i in (i for i, line in enumerate(lines) if _TITLE.match(line)):
        below = next((k for k in range(i + 1, len(lines)) if lines[k].strip()), None)
        if below in entries:
            titles.add(i)
    return titles


def running_heads(pages: Sequence[Sequence[str]], reach: int = 3) -> list[frozenset[int]]:
    """Which lines of each page are its running head or foot.

    Parameters
    ----------
    pages : sequence of sequences of str
        The lines of each page, from top to bottom.
    reach : int
        Lines from the top and from the bottom that are looked at.

    Returns
    -------
    list of frozenset of int
        For each page, the indices of lines that stand, but for their numbers, at the border of
        at least three pages (of two where there are three) and of a fifth of all; and of lone
        page numbers at the border.
    """
    borders = [
        [(i, _DIGITS.sub("#", " ".join(lines[i].split())).lower()) for i in _border(lines, reach)]
        for lines in pages
    ]
    counts = Counter(text for border in borders for text in {text for _, text in border})
    fewest = max(min(_FEWEST, len(pages) - 1), 2, len(pages) / 5)
    return [
        frozenset(
            i
            for i, text in border
            if counts[text] >= fewest or (len(pages) > 1 and _PAGE_NUMBER.fullmatch(text))
        )
        for border in borders
    ]


def _border(lines: Sequence[str], reach: int) -> list[int]:
    said = [i for i, line in enumerate(lines) if line.strip()]
    return sorted({*said[:reach], *said[-reach:]})
