"""The stretch of a passage that tells why it was found, with the words that were looked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rfplatform.oran.neutral import printable
from rfplatform.retrieval.tokens import token_lists

WIDTH = 240
"""Letters of a snippet."""

_WORD = re.compile(r"\S+")
_ROW = re.compile(r"[ \t]*\|(.*)\|[ \t]*")
_RULE = re.compile(r"[\s:|-]+")
_BAR = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Snippet:
    """A stretch of a passage on one line.

    Attributes
    ----------
    text : str
        "…" stands where words before or after it were left out.
    marks : tuple of (int, int)
        Begin and end of each word in it that was looked for.
    """

    text: str
    marks: tuple[tuple[int, int], ...]


def snippet(text: str, wanted: Sequence[str], width: int = WIDTH) -> Snippet:
    """The stretch of a text that holds most of the words that were looked for.

    Parameters
    ----------
    text : str
    wanted : sequence of str
        The query, and other words for it.
    width : int
        Most letters, but for the "…" and a longer word.
    """
    words = _WORD.findall("\n".join(map(_without_bars, printable(text).split("\n"))))
    tokens = list(token_lists([*wanted, *words]))
    looked_for = frozenset(token for found in tokens[: len(wanted)] for token in found)
    held = [frozenset(found) & looked_for for found in tokens[len(wanted) :]]
    first, last = _densest(words, held, width)
    shown = "… " if first else ""
    marks: list[tuple[int, int]] = []
    for word, found in zip(words[first:last], held[first:last], strict=True):
        if found:
            bare = word.strip(".,;:!?()[]{}<>\"'|*`_")
            begin = len(shown) + word.find(bare)
            marks.append((begin, begin + len(bare)))
        shown += f"{word} "
    return Snippet(shown.rstrip() + (" …" if last < len(words) else ""), tuple(marks))


def _without_bars(line: str) -> str:
    """A row of a table as "cell · cell;", and nothing of the rule under its head."""
    row = _ROW.fullmatch(line)
    if row is None:
        return line
    if _RULE.fullmatch(line):
        return ""
    cells = (cell.strip().replace("\\|", "|") for cell in _BAR.split(row[1]))
    return " · ".join(cell for cell in cells if cell) + ";"


def _densest(words: Sequence[str], held: Sequence[frozenset[str]], width: int) -> tuple[int, int]:
    """The words from one to another that hold most different tokens, then most of them."""
    best = (-1, -1, 0, 0)
    last = length = 0
    for first, word in enumerate(words):
        while last < len(words) and (last <= first or length + len(words[last]) < width):
            length += len(words[last]) + 1
            last += 1
        inside = held[first:last]
        score = (len(frozenset().union(*inside)), sum(map(bool, inside)))
        # Among equals the first one that begins with a word that was looked for, or the beginning.
        if score > best[:2] and (held[first] or first == 0):
            best = (*score, first, last)
        length -= len(word) + 1
    return _with_lead(words, best[2], best[3], width)


def _with_lead(words: Sequence[str], first: int, last: int, width: int) -> tuple[int, int]:
    """Some words before the first mark, where there is room or the end can spare it."""
    lead = 0
    while first and lead + len(words[first - 1]) < width // 6:
        first -= 1
        lead += len(words[first]) + 1
    while last - first > 1 and sum(len(word) + 1 for word in words[first:last]) > width + 1:
        last -= 1
    return first, last
