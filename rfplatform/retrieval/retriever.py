"""What finds chunks: a function from words to the chunks that answer to them best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rfplatform.documents.chunk import Chunk


@dataclass(frozen=True)
class Hit:
    """A chunk that was found.

    Attributes
    ----------
    chunk : Chunk
    score : float
        The higher the better; comparable within one retriever only.
    """

    chunk: Chunk
    score: float


class Retriever(Protocol):
    """Finds the chunks that answer to a query, the best first."""

    def __call__(self, query: str, top_k: int) -> list[Hit]: ...
