"""Whether passages have to do with a question: the share of its words that the best one holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rfplatform.retrieval.retriever import Hit
from rfplatform.retrieval.tokens import token_lists

LEAST_RELEVANCE = 0.61
"""Below which a question counts as not answered by the documents.

It refuses 5 % of the questions that were written by hand for half of the open documents
(`rfplatform.benchmarks.oran_relevance`, which prints what it does to the other half, to questions
whose source was removed and to others). A model that is asked in spite of it may still say that
the passages do not answer.
"""

OTHER_CHUNKS, OTHER_HOLDING = 3_000, 9
"""Chunks of other texts that are thought beside those of an index, and how many hold each word.

In an index of a few chunks frequencies tell little of how rare a word is: its own subject is in
most of them. With these, words weigh nearly alike there, and by their frequency in a large index.
"""
BEST_OF = 5
"""Hits that are looked at, so that the measure does not grow with their number."""

_ASKING = (
    "answer answers best can could define defined describe described difference does do explain "
    "example far give good kind know list long many mean means much need often please purpose "
    "question should show stand stands tell used want way work"
)
"""Words of asking, which no passage need hold; stop words go without them."""


@dataclass(frozen=True)
class WordShare:
    """A measure of relevance that compares across indexes.

    Each word of a question weighs its inverse document frequency, smoothed: rare words say more,
    and words that no chunk holds say most. The measure is the share of this weight that the best
    hit holds, in its text or its headings. A word counts as held where another wording of it is
    held, such as what an abbreviation stands for.

    Scores of BM25 are no such measure: they grow with the number of words and of chunks.

    Attributes
    ----------
    frequency : callable
        From a token to the number of chunks that hold it.
    size : int
        Chunks in the index.
    expand : callable
        From words to other words for what they name, as `Glossary.expand`.
    """

    frequency: Callable[[str], int]
    size: int
    expand: Callable[[str], Sequence[str]] = lambda _: ()

    def __call__(self, question: str, hits: Sequence[Hit]) -> float:
        """The measure, from 0 to 1.

        Parameters
        ----------
        question : str
        hits : sequence of Hit
            The best first.
        """
        passages = [_words_of(hit) for hit in hits[:BEST_OF]]
        forms, meant = self._wordings(question)
        asked, asking, *others = token_lists([question, _ASKING, *forms, *passages])
        named = [token for token in asked if token not in asking] or asked
        weights = {token: self._weight(token) for token in named}
        tokens_of = dict(zip(forms, map(frozenset, others), strict=False))
        wordings = [(tokens_of[own] & set(weights), tokens_of[other]) for own, other in meant]
        held = (
            _held(frozenset(weights), frozenset(passage), wordings)
            for passage in others[len(forms) :]
        )
        shares = (math.fsum(weights[token] for token in tokens) for tokens in held)
        total = math.fsum(weights.values())
        return max(shares, default=0.0) / total if total else 0.0

    def _weight(self, token: str) -> float:
        holding = self.frequency(token) + OTHER_HOLDING
        return math.log((self.size + OTHER_CHUNKS) / holding)

    def _wordings(self, question: str) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
        """What the question names, with its other names; all of these, and pairs of them."""
        meant = [
            (own, other)
            for other in self.expand(question)
            for own in self.expand(other)
            if f" {_plain(own)} " in f" {_plain(question)} "
        ]
        return tuple(dict.fromkeys(form for pair in meant for form in pair)), meant


def _held(
    asked: frozenset[str],
    passage: frozenset[str],
    wordings: Iterable[tuple[frozenset[str], frozenset[str]]],
) -> frozenset[str]:
    """The tokens of a question that a passage holds, in any wording."""
    held = asked & passage
    for own, other in wordings:
        if other and other <= passage:
            held |= own
    return held


def _words_of(hit: Hit) -> str:
    return "\n".join((*hit.chunk.parents, hit.chunk.heading, hit.chunk.text))


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
