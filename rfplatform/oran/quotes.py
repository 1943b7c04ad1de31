"""Whether a quote really stands in a text, and where."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

LEAST_LETTERS = 8
"""A quote of fewer letters and digits stands in too many texts to prove anything."""
LEAST_SIMILARITY = 0.9
"""Share of the letters of quote and text that must agree, in order (difflib's ratio)."""

_ALIKE = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-",
                        "—": "-", "−": "-", "‹": "<", "›": ">", "⟦": "[",
                        "⟧": "]"})  # fmt: skip
_LETTERS = re.compile(r"[^\W_]+")
_MARKUP = frozenset("*`_#\\")
"""What a reader of documents or a model may add or leave out around words."""
_ARTICLES = frozenset({"", "a", "an", "the"})
_SHORTEST_SLIP = 5
"""Letters of a word that may be misspelt: a letter makes another word of "O-DU", or of "AMF"."""
_LEAST_SLIP = 0.8
"""How alike a word and its misspelling must be (difflib's ratio)."""


@dataclass(frozen=True)
class Span:
    """Where a quote stands.

    Attributes
    ----------
    start, end : int
        Of its letters in the text, the end excluded.
    similarity : float
        1 where the quote stands there word by word.
    """

    start: int
    end: int
    similarity: float = 1.0

    def of(self, text: str) -> str:
        """The words of the text itself, on one line."""
        return " ".join(text[self.start : self.end].split())


def find_quote(quote: str, text: str) -> Span | None:
    """Where a quote stands in a text; None where it does not.

    Case, white space, typographic quotes and dashes, and marks of Markdown make no difference.
    Words left out as "..." are accepted where what is before and after them stands in the text in
    this order. Of what is alike by `LEAST_SIMILARITY` a longer word may be misspelt, an article
    lost or added, and two words written as one. Nothing else may differ: "shall" is no quote of
    "shall not", nor "port 30206" of "port 30205", nor "O-CU" of "O-DU", nor "invalid" of "valid".

    Parameters
    ----------
    quote, text : str

    Returns
    -------
    Span or None
    """
    parts = [p for p in quote.replace("[...]", "…").replace("...", "…").split("…") if p.strip()]
    if sum(c.isalnum() for c in quote) < LEAST_LETTERS or not parts:
        return None
    plain = _Plain.of(text)
    spans: list[Span] = []
    start = 0
    for part in parts:
        span = _find(_Plain.of(part).letters, plain, start)
        if span is None:
            return None
        spans.append(span)
        start = span.end
    first, last = plain.places[spans[0].start], plain.places[spans[-1].end - 1]
    return Span(first, last + 1, min(span.similarity for span in spans))


@dataclass(frozen=True)
class _Plain:
    """A text without what makes no difference, and from where each of its letters comes."""

    letters: str
    places: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> _Plain:
        letters: list[str] = []
        places: list[int] = []
        for place, raw in enumerate(text):
            # Compatibility forms (ligatures of PDFs, full width) may be several letters.
            for letter in unicodedata.normalize("NFKC", raw).translate(_ALIKE).casefold():
                if letter.isspace() or letter == "|":
                    if letters and letters[-1] != " ":
                        letters.append(" ")
                        places.append(place)
                elif letter not in _MARKUP and unicodedata.category(letter) not in ("Cc", "Cf"):
                    letters.append(letter)
                    places.append(place)
        if letters and letters[-1] == " ":
            letters.pop()
            places.pop()
        return cls("".join(letters), tuple(places))


def _find(quote: str, plain: _Plain, start: int) -> Span | None:
    """A part of a quote in a plain text, from a letter on; its span there."""
    bare = quote.strip(" \"'.,;:")
    if not bare:
        return None
    for form in (quote, bare):
        # Whole words alone: "port 3642" does not stand in "port 36422".
        pattern = rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
        if found := re.compile(pattern).search(plain.letters, start):
            return Span(*found.span())
    return _find_near(bare, plain, start)


def _find_near(quote: str, plain: _Plain, start: int) -> Span | None:
    """The stretch of words that a quote is most alike."""
    words = _words(plain.letters, start)
    wanted = quote.split()
    if not words:
        return None
    told = [plain.letters[a:b] for a, b in words]
    common = SequenceMatcher(None, told, wanted, autojunk=False).find_longest_match()
    if not common.size:
        return None
    best: Span | None = None
    # The words in common tell where it would begin; words may be lost or added before them.
    begin = common.a - common.b
    for first in range(max(begin - 2, 0), min(begin + 3, len(words))):
        for last in range(first + max(len(wanted) - 3, 0), first + len(wanted) + 2):
            if last >= len(words):
                break
            a, b = words[first][0], words[last][1]
            alike = SequenceMatcher(None, plain.letters[a:b], quote, autojunk=False)
            if (
                alike.real_quick_ratio() < LEAST_SIMILARITY
                or alike.quick_ratio() < LEAST_SIMILARITY
            ):
                continue
            similarity = alike.ratio()
            if best is None or similarity > best.similarity:
                best = Span(a, b, similarity)
    if best is None or best.similarity < LEAST_SIMILARITY:
        return None
    return best if _same_words(quote, plain.letters[best.start : best.end]) else None


def _words(letters: str, start: int) -> list[tuple[int, int]]:
    """Begin and end of each word from a letter on."""
    words: list[tuple[int, int]] = []
    begin = start
    for word in letters[start:].split(" "):
        if word:
            words.append((begin, begin + len(word)))
        begin += len(word) + 1
    return words


def _same_words(quote: str, text: str) -> bool:
    """Whether two texts differ in nothing but slips of the pen."""
    ours, theirs = (["".join(_LETTERS.findall(w)) for w in t.split()] for t in (quote, text))
    changes = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    return all(kind == "equal" or _is_slip(ours[a:b], theirs[c:d]) for kind, a, b, c, d in changes)


def _is_slip(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    ours, theirs = ([w for w in words if w not in _ARTICLES] for words in (ours, theirs))
    if "".join(ours) == "".join(theirs):
        return True
    return len(ours) == len(theirs) and all(map(_is_misspelt, ours, theirs))


def _is_misspelt(one: str, other: str) -> bool:
    if one == other:
        return True
    return (
        min(len(one), len(other)) >= _SHORTEST_SLIP
        and one[0] == other[0]  # "invalid" is no misspelling of "valid"
        and (one + other).isalpha()
        and SequenceMatcher(None, one, other, autojunk=False).ratio() >= _LEAST_SLIP
    )
