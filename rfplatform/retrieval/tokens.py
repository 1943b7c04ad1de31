"""Text -> the words that BM25 counts: stems, and the identifiers of RAN whole and in parts.

"O-RU" counts as "oru" and "ru", "RRC_CONNECTED" as "rrcconnect", "rrc" and "connect", "E2AP" as
"e2ap", "e2" and "ap", "7-2x" and "7.2x" both as "7.2x": whoever writes one form finds the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from rfplatform.errors import MissingError

LONGEST_TOKEN = 64
"""Letters of the longest word that is kept: what is longer is a hash, a key or a picture."""

_JOINER = r"[-._/+&'’\u2010\u2011\u2013]"
_WORD = re.compile(rf"[^\W_]+(?:{_JOINER}[^\W_]+)*")
_PIECE = re.compile(r"[^\W_]+")
_BETWEEN_DIGITS = re.compile(rf"(?<=\d){_JOINER}(?=\d)")
_ELSEWHERE = re.compile(rf"(?<!\d){_JOINER}|{_JOINER}(?!\d)")
_CASES = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+[a-z]*")
_POSSESSIVE = re.compile(r"['’]s$")
_PLURAL = re.compile(r"(?<=[A-Z0-9])s$")


def token_lists(texts: Iterable[str]) -> Iterator[list[str]]:
    """The tokens of each text, one text after the other.

    English stop words are left out unless they are in capitals ("UP" is the user plane), and so
    are single letters; everything else is in lower case, and words are stemmed (Snowball).

    Raises
    ------
    MissingError
        If `bm25s` or `PyStemmer` is not installed.
    """
    try:
        import Stemmer
        from bm25s.stopwords import STOPWORDS_EN_PLUS
    except ImportError:
        raise MissingError(
            "the libraries bm25s and PyStemmer are not installed: pip install 'rfplatform[oran]'"
        ) from None
    # A stemmer of its own for each call: two threads must not share one.
    stem = Stemmer.Stemmer("english").stemWord
    stop_words = frozenset(STOPWORDS_EN_PLUS)
    known: dict[str, tuple[str, ...]] = {}
    for text in texts:
        tokens: list[str] = []
        for word in _WORD.findall(text):
            found = known.get(word)
            if found is None:
                found = known[word] = _tokens_of(word, stem, stop_words)
            tokens += found
        yield tokens


def _tokens_of(
    word: str, stem: Callable[[str], str], stop_words: frozenset[str]
) -> tuple[str, ...]:
    word = _PLURAL.sub("", _POSSESSIVE.sub("", word))
    whole = _ELSEWHERE.sub("", _BETWEEN_DIGITS.sub(".", word))
    pieces = _PIECE.findall(word)
    parts = [part for piece in pieces if piece.isascii() for part in _CASES.findall(piece)]
    tokens: dict[str, None] = {}
    for form in (whole, *pieces, *parts):
        token = form.lower()
        if len(token) > LONGEST_TOKEN or (token in stop_words and not form.isupper()):
            continue
        if len(token) > 1 or token.isdigit():
            tokens[stem(token) if token.isalpha() else token] = None
    return tuple(tokens)
