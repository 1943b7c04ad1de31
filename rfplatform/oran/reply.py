"""What a language model wrote, taken apart: an answer, the passages it names, and its quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOT_THERE = "not in the documents"
"""What a model is asked to write where the passages do not answer."""

_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_HEADER = re.compile(
    r"^[\s#>*_`-]*(?:supporting |exact |direct )?(?:quotes?|quotations?)[\s*_`]*:[\s*_`]*",
    re.I | re.M,
)
_LINE = re.compile(
    r"^[\s>*•-]*(?:passage\s*)?(?:[\[【(]\s*(?:passage\s*)?(\d{1,3})\s*[\]】)]|(\d{1,3})[.:)])[\s:*–—-]*(.*)$",
    re.I,
)
_MARK = re.compile(r"[\[【]\s*(?:passages?\s*)?(\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)\s*[\]】]", re.I)
_QUOTED = re.compile(r"[\"“«]([^\"“”«»]{8,}?)[\"”»]")
_MOST = 50
"""Passages that a range such as [1-5] may span."""


@dataclass(frozen=True)
class Reply:
    """A model's reply.

    Attributes
    ----------
    text : str
        The answer, with its [n] marks and without its quotes.
    cited : tuple of int
        Numbers of passages in their order, each once: those marked in the text, then those quoted.
    quotes : tuple of (int, str)
        A passage's number, 0 where none is told, and what is said to stand in it.
    denied : bool
        Whether it says that the answer is not in the documents.
    """

    text: str
    cited: tuple[int, ...]
    quotes: tuple[tuple[int, str], ...]
    denied: bool


def parse_reply(written: str) -> Reply:
    """Take a reply apart, whatever small models make of the form that was asked for.

    Parameters
    ----------
    written : str
        What the model wrote: an answer, then "QUOTES:" and a line for each quote. Thoughts in
        tags are left out. Without quotes of their own lines, those within the answer count: what
        stands between quotation marks, for the passage that is named next.

    Returns
    -------
    Reply
    """
    words = _THOUGHT.sub("", written).strip()
    header = _HEADER.search(words)
    text = (words[: header.start()] if header else words).strip()
    quotes = _listed(words[header.end() :]) if header else []
    if not quotes:
        quotes = _within(text)
    cited = [n for mark in _MARK.finditer(text) for n in numbers_of(mark[1])]
    told = dict.fromkeys([*cited, *(number for number, _ in quotes if number)])
    return Reply(text, tuple(told), tuple(quotes), NOT_THERE in " ".join(text.lower().split()))


def numbers_of(mark: str) -> list[int]:
    """The passages that the inside of a mark names: "1", "1, 3", "2-4"."""
    numbers: list[int] = []
    for part in re.split(r"\s*[,;]\s*", mark):
        ends = [int(end) for end in re.split(r"\s*[–-]\s*", part) if end]
        if len(ends) == 2 and 0 < ends[1] - ends[0] < _MOST:
            numbers += range(ends[0], ends[1] + 1)
        else:
            numbers += ends
    return numbers


def replace_marks(text: str, known: frozenset[int]) -> str:
    """The text with its marks in one form, and without those that name no known passage."""

    def mark(found: re.Match[str]) -> str:
        return "".join(f"[{n}]" for n in dict.fromkeys(numbers_of(found[1])) if n in known)

    replaced = _MARK.sub(mark, text)
    return re.sub(r"[ \t]+([.,;:!?])|[ \t]+$", r"\1", replaced, flags=re.M).strip()


def _listed(lines: str) -> list[tuple[int, str]]:
    """A quote a line, each after its number; a line without one goes on with the quote before."""
    quotes: list[tuple[int, str]] = []
    for line in lines.splitlines():
        if not line.strip():
            continue
        if found := _LINE.match(line):
            quotes.append((int(found[1] or found[2]), found[3].strip()))
        elif quotes and quotes[-1][0]:
            quotes[-1] = (quotes[-1][0], f"{quotes[-1][1]} {line.strip()}")
        else:
            quotes.append((0, line.strip()))
    return [(number, _bare(quote)) for number, quote in quotes if _bare(quote)]


def _within(text: str) -> list[tuple[int, str]]:
    """What stands between quotation marks in an answer, with the number that follows it."""
    quotes: list[tuple[int, str]] = []
    for found in _QUOTED.finditer(text):
        mark = _MARK.search(text, found.end())
        numbers = numbers_of(mark[1]) if mark else []
        quotes.append((numbers[0] if numbers else 0, found[1].strip()))
    return quotes


def _bare(quote: str) -> str:
    """A quote without its quotation marks, and without a mark that stands after it."""
    quote = _MARK.sub("", quote).strip(" \t*_`-")
    if found := re.fullmatch(r"[\"“«'‘](.*)[\"”»'’][.,;]?", quote, re.DOTALL):
        quote = found[1]
    return quote.strip(' "“”«»')
