"""BM25 over chunks: which of them hold a query's words, weighed by how rare the words are."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from rfplatform.documents.chunk import Chunk
from rfplatform.errors import InputError, MissingError
from rfplatform.retrieval.ranking import Ranking, best
from rfplatform.retrieval.tokens import token_lists

if TYPE_CHECKING:
    import bm25s

Variant: TypeAlias = Literal["lucene", "robertson", "atire"]

VOCABULARY = "bm25.vocabulary.json"
ARRAYS: Mapping[str, str] = {"data": "<f4", "indices": "<i4", "indptr": "<i8"}
"""The arrays of the sparse matrix [chunks, words] of scores, by column, and their types."""


@dataclass(frozen=True)
class Bm25:
    """Hyperparameters of BM25, which build an index.

    Attributes
    ----------
    k1 : float
        How much a word counts that comes again: 0 not at all.
    b : float
        How much a long chunk's words count less, from 0 to 1.
    variant : {"lucene", "robertson", "atire"}
        How term and document frequency are weighed, see C. Kamphuis et al., "Which BM25 Do You
        Mean?", ECIR 2020.
    headings, parents : int
        How often a chunk's heading, and those above it, are counted beside its text; 0: not at all.
    """

    k1: float = 1.2
    b: float = 0.75
    variant: Variant = "lucene"
    headings: int = 3
    parents: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.k1 < np.inf or not 0 <= self.b <= 1:
            raise InputError(
                f"BM25: k1 {self.k1:g}, b {self.b:g}: k1 must not be negative, b be from 0 to 1"
            )
        if self.headings < 0 or self.parents < 0:
            raise InputError(
                f"BM25: headings {self.headings}, parents {self.parents}: must not be negative"
            )
        if self.variant not in ("lucene", "robertson", "atire"):
            raise InputError(
                f'BM25: variant "{self.variant}" is unknown (known: lucene, robertson, atire)'
            )

    def build(self, chunks: Iterable[Chunk]) -> Bm25Index:
        """Count the words of all chunks.

        Raises
        ------
        MissingError
            If `bm25s` or `PyStemmer` is not installed.
        """
        vocabulary: dict[str, int] = {}
        ids = [
            [vocabulary.setdefault(token, len(vocabulary)) for token in tokens]
            for tokens in token_lists(map(self._text, chunks))
        ]
        model = self._model()
        if vocabulary:
            model.index((ids, vocabulary), create_empty_token=False, show_progress=False)
            arrays = {name: np.asarray(model.scores[name], kind) for name, kind in ARRAYS.items()}
        else:
            arrays = {name: np.zeros(int(name == "indptr"), kind) for name, kind in ARRAYS.items()}
        return Bm25Index(self, vocabulary, arrays, len(ids))

    def _text(self, chunk: Chunk) -> str:
        above = (*chunk.parents * self.parents, *[chunk.heading] * self.headings)
        return "\n".join((*above, chunk.text))

    def _model(self) -> bm25s.BM25:
        try:
            import bm25s
        except ImportError:
            raise MissingError(
                "the library bm25s is not installed: pip install 'rfplatform[oran]'"
            ) from None
        # It asks for its own debug messages, which every program that logs would show.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        return bm25s.BM25(k1=self.k1, b=self.b, method=self.variant)


class Bm25Index:
    """Every word's score in every chunk, worked out beforehand.

    X. H. Lù, "BM25S: Orders of magnitude faster lexical search via eager sparse scoring",
    arXiv:2407.03618.

    Parameters
    ----------
    config : Bm25
    vocabulary : mapping of str to int
        Columns of the words.
    arrays : mapping of str to ndarray
        Of `ARRAYS`.
    size : int
        Chunks.
    """

    def __init__(
        self,
        config: Bm25,
        vocabulary: Mapping[str, int],
        arrays: Mapping[str, npt.NDArray[Any]],
        size: int,
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.arrays = arrays
        self.size = size
        self._model = config._model()
        self._model.vocab_dict = vocabulary
        self._model.scores = {**arrays, "num_docs": size}
        self._model.nonoccurrence_array = None

    def __len__(self) -> int:
        return self.size

    def search(
        self, query: str, top_k: int, also: Sequence[str] = (), also_weight: float = 0.3
    ) -> Ranking:
        """The chunks in which the query's words weigh most.

        Parameters
        ----------
        query : str
            Any text; of one without a known word nothing is found.
        top_k : int
        also : sequence of str
            Other words for it, such as what its abbreviations stand for.
        also_weight : float
            How much their words count, beside 1 for the query's own.
        """
        own, *others = token_lists([query, *also])
        scores = self._scores(own)
        rest = [token for tokens in others for token in tokens if token not in own]
        if rest and also_weight:
            scores += np.float32(also_weight) * self._scores(list(dict.fromkeys(rest)))
        return best(scores, top_k, above=0.0)

    def _scores(self, tokens: Sequence[str]) -> npt.NDArray[np.float32]:
        known = [self.vocabulary[token] for token in tokens if token in self.vocabulary]
        if not known:
            return np.zeros(self.size, dtype=np.float32)
        scores: npt.NDArray[np.float32] = self._model.get_scores_from_ids(known)
        return scores

    def save(self, folder: Path) -> None:
        """Write it into a folder: arrays as ``.npy``, words as JSON."""
        for name, array in self.arrays.items():
            np.save(folder / f"bm25.{name}.npy", array, allow_pickle=False)
        words = json.dumps(list(self.vocabulary), ensure_ascii=False)
        (folder / VOCABULARY).write_text(words, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, config: Bm25, size: int) -> Bm25Index:
        """Read what `save` wrote; the arrays stay on the disk until they are needed.

        Parameters
        ----------
        folder : Path
        config : Bm25
        size : int
            Chunks that it must be of.

        Raises
        ------
        InputError
            If a file is missing, damaged or does not belong to so many chunks.
        """
        try:
            words = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
            arrays = {
                name: np.load(folder / f"bm25.{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in ARRAYS
            }
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{folder}: its BM25 files can't be read ({error})") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError(f"{folder / VOCABULARY}: must be a list of words")
        vocabulary = {word: number for number, word in enumerate(words)}
        if len(vocabulary) < len(words) or not _fits(arrays, len(words), size):
            raise InputError(f"{folder}: its BM25 files are damaged: index the documents anew")
        return cls(config, vocabulary, arrays, size)


def _fits(arrays: Mapping[str, npt.NDArray[Any]], words: int, chunks: int) -> bool:
    """Whether the arrays are a matrix of that shape, so that no search reads past an end."""
    data, indices, indptr = (arrays[name] for name in ARRAYS)
    if any(arrays[name].dtype != np.dtype(kind) for name, kind in ARRAYS.items()):
        return False
    if any(array.ndim != 1 for array in arrays.values()):
        return False
    return bool(
        len(data) == len(indices)
        and len(indptr) == words + 1
        and indptr[0] == 0
        and indptr[-1] == len(data)
        and (np.diff(indptr) >= 0).all()
        and (len(indices) == 0 or (indices.min() >= 0 and indices.max() < chunks))
    )
