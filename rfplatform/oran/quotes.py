"""Whether a quote really stands in a text, and where."""

from __future__ import annotations

import unicodedata
from collections import Counter
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
_MARKUP = frozenset("*`_#\\")
"""What a reader of documents or a model may add or leave out around words."""
_DENIALS = frozenset({"not", "no", "never", "none", "cannot", "without", "except", "unless"})


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
    this order. A near match (a word misspelt, an article lost) is accepted from
    `LEAST_SIMILARITY` on, but never where numbers or denials differ: "shall" is no quote of "shall
    not", nor "port 30206" of "port 30205".

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
        if (at := plain.letters.find(form, start)) >= 0:
            return Span(at, at + len(form))
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
            similarity = SequenceMatcher(None, plain.letters[a:b], quote, autojunk=False).ratio()
            if best is None or similarity > best.similarity:
                best = Span(a, b, similarity)
    if best is None or best.similarity < LEAST_SIMILARITY:
        return None
    same = _decisive(quote.split()) == _decisive(plain.letters[best.start : best.end].split())
    return best if same else None


def _words(letters: str, start: int) -> list[tuple[int, int]]:
    """Begin and end of each word from a letter on."""
    words: list[tuple[int, int]] = []
    begin = start
    for word in letters[start:].split(" "):
        if word:
            words.append((begin, begin + len(word)))
        begin += len(word) + 1
    return words


def _decisive(words: Sequence[str]) -> Counter[str]:
    """The words of which one more or less turns what is said: numbers and denials."""
    bare = (word.strip("\"'.,;:()[]{}") for word in words)
    return Counter(
        "not" if word.endswith("n't") else word
        for word in bare
        if word in _DENIALS or word.endswith("n't") or any(c.isdigit() for c in word)
    )
