"""Reciprocal-rank fusion: what several retrievers agree on comes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rfplatform.documents.chunk import Chunk
from rfplatform.errors import InputError
from rfplatform.retrieval.retriever import Hit, Retriever

K = 60
"""As G. Cormack, C. Clarke and S. Büttcher chose it, SIGIR 2009."""


@dataclass(frozen=True)
class Fused:
    """A retriever of several others.

    Attributes
    ----------
    retrievers : tuple of Retriever
    k : int
        The larger, the less the first ranks count beside the next.
    depth : int
        Hits that each retriever is asked for, if not more are wanted.
    """

    retrievers: tuple[Retriever, ...]
    k: int = K
    depth: int = 50

    def __post_init__(self) -> None:
        if not self.retrievers or self.k < 0 or self.depth < 1:
            raise InputError("fusion needs a retriever, k of 0 or more and a depth of 1 or more")

    def __call__(self, query: str, top_k: int) -> list[Hit]:
        depth = max(self.depth, top_k)
        return fuse([retriever(query, depth) for retriever in self.retrievers], top_k, self.k)


def fuse(rankings: Sequence[Sequence[Hit]], top_k: int, k: int = K) -> list[Hit]:
    """Hits by the sum of ``1 / (k + rank)`` over the rankings, with ranks from 1.

    Parameters
    ----------
    rankings : sequence of sequence of Hit
        The best first in each. Chunks are told apart by their ids.
    top_k : int
    k : int

    Returns
    -------
    list of Hit
        Of equal sums the one that an earlier ranking has, and has higher up, is first.
    """
    sums: dict[str, float] = {}
    chunks: dict[str, Chunk] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            sums[hit.chunk.id] = sums.get(hit.chunk.id, 0.0) + 1 / (k + rank)
            chunks.setdefault(hit.chunk.id, hit.chunk)
    # Sorting is stable: equal sums stay in the order in which they were met.
    order = sorted(sums, key=lambda name: -sums[name])[: max(top_k, 0)]
    return [Hit(chunks[name], sums[name]) for name in order]
