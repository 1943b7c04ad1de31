"""Dense retrieval: the chunks whose vectors point where the query's does, by exact search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rfplatform.documents.chunk import Chunk
from rfplatform.errors import InputError
from rfplatform.retrieval.embedding import Embedder, EmbeddingCache, Progress, Vectors, embed
from rfplatform.retrieval.ranking import Ranking, best

VECTORS = "vectors.npy"
_ROWS = 512
"""Vectors that are brought to float32 at a time: they stay in the processor's cache."""


@dataclass(frozen=True)
class Dense:
    """How chunks become vectors.

    Attributes
    ----------
    headings : bool
        Whether a chunk's heading goes before its text.
    precision : {"float32", "float16"}
        Of the vectors on the disk: half the size, and a slower search.
    """

    headings: bool = True
    precision: Literal["float32", "float16"] = "float32"

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float16"):
            raise InputError(
                f'precision "{self.precision}": must be float32 or float16 for vectors'
            )

    def build(
        self,
        chunks: Iterable[Chunk],
        embedder: Embedder,
        cache: EmbeddingCache | None = None,
        progress: Progress | None = None,
    ) -> DenseIndex:
        """Embed all chunks; see `embedding.embed`."""
        texts = [self.text(chunk) for chunk in chunks]
        vectors = embed(texts, embedder, cache, progress)
        return DenseIndex(vectors.astype(self.precision))

    def text(self, chunk: Chunk) -> str:
        """What is embedded of a chunk."""
        return f"{chunk.heading}\n{chunk.text}" if self.headings and chunk.heading else chunk.text


@dataclass(frozen=True, eq=False)
class DenseIndex:
    """Vectors of unit length, shape [chunks, dimensions]."""

    vectors: npt.NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, vector: Sequence[float] | Vectors, top_k: int) -> Ranking:
        """The chunks with the largest cosines.

        Raises
        ------
        InputError
            If the vector has not the index's dimensions.
        """
        query = np.asarray(vector, dtype=np.float32)
        scores = np.zeros(len(self.vectors), dtype=np.float32)
        if len(scores) and query.shape != self.vectors.shape[1:]:
            raise InputError(
                f"the query's vector has {len(query)} dimensions, those of the index "
                f"{self.vectors.shape[1]}: use the embedder that it was built with"
            )
        for start in range(0, len(scores), _ROWS):
            rows = self.vectors[start : start + _ROWS]
            scores[start : start + _ROWS] = np.asarray(rows, dtype=np.float32) @ query
        return best(scores, top_k)

    def save(self, folder: Path) -> None:
        """Write the vectors into a folder."""
        np.save(folder / VECTORS, self.vectors, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, size: int) -> DenseIndex:
        """Read what `save` wrote; vectors stay on the disk until they are needed.

        Raises
        ------
        InputError
            If they are missing, damaged or not of so many chunks.
        """
        path = folder / VECTORS
        try:
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: can't be read ({error})") from error
        if vectors.ndim != 2 or len(vectors) != size or vectors.dtype.kind != "f":
            raise InputError(f"{path}: does not belong to the index's {size:,} chunks")
        return cls(vectors)
