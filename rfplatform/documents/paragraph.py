"""Lines as they were printed -> paragraphs, lists and listings."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_BULLET = re.compile(
    r"(?:[-–—•‣◦▪●○*o\uf0b7\uf0a7]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)]|\[\d+\]"
    r"|NOTE(?: \d+)?:)\s+\S"
)
_DRAWN = re.compile(r"\S {3,}\S.* {3,}\S|[-+=|]{3,}|^\s*[|+].*[|+]\s*$|[{};]\s*$|::=|-->|<--")
_HYPHENATED = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)-$")
_FIRST_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_WIDEST = 300
_UNWRAPPED = 100
"""Characters above which a line is a paragraph of its own, rather than one of its lines."""


def vocabulary(text: str) -> frozenset[str]:
    """The words of a document in lower case, with those joined by hyphens as one."""
    return frozenset(word.lower() for word in _WORD.findall(text))


def is_listing(lines: Sequence[str]) -> bool:
    """Whether lines are code or a drawing, whose line ends and blanks mean something."""
    drawn = sum(1 for line in lines if len(line) <= _WIDEST and _DRAWN.search(line))
    return drawn * 2 >= len(lines)


def begins_item(line: str) -> bool:
    """Whether a line begins an item of a list."""
    return _BULLET.match(line.lstrip()) is not None


def joined(lines: Sequence[str], words: Collection[str] = ()) -> str:
    """A paragraph of its printed lines.

    Parameters
    ----------
    lines : sequence of str
    words : collection of str
        The document's `vocabulary`: a hyphen at a line's end is dropped where the word is known
        without it or its parts are no words, and kept in "near-real-time".

    Returns
    -------
    str
        One line, or one for each item of a list.
    """
    found: list[str] = []
    for raw in lines:
        line = " ".join(raw.split())
        if not line:
            continue
        if not found or begins_item(line) or len(raw) > _UNWRAPPED:
            found.append(line)
        else:
            found[-1] = _wrapped(found[-1], line, words)
    return "\n".join(found)


def _wrapped(above: str, line: str, words: Collection[str]) -> str:
    """A line and the one below it."""
    broken, rest = _HYPHENATED.search(above), _FIRST_WORD.match(line)
    if broken is None:
        # A path or a number ends the line, not a dash.
        return above + line if re.search(r"\S[-/]$", above) else f"{above} {line}"
    if rest is None:
        return above + line
    first, second = broken[1].lower(), rest[0]
    if first + second in words:
        return above[:-1] + line
    known = f"{first}-{second}" in words or (first in words and second in words)
    return above + line if known or "-" in first else above[:-1] + line
