"""An index that is open, with what finds passages in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rfplatform.errors import InputError
from rfplatform.oran.relevance import WordShare
from rfplatform.retrieval.glossary import Glossary
from rfplatform.retrieval.index import Index, Kind, open_index
from rfplatform.retrieval.named import named_embedder, named_reranker
from rfplatform.retrieval.retriever import Retriever

if TYPE_CHECKING:
    from rfplatform.retrieval.embedding import Embedder

KINDS = ("bm25", "dense", "fused")
MINILM = "all-MiniLM-L6-v2@"
"""How the names of MiniLM's vectors begin."""


@dataclass(frozen=True, eq=False)
class Opened:
    """An index, and how it is searched.

    Attributes
    ----------
    index : Index
    kind : {"bm25", "dense", "fused"}
    retriever : Retriever
    glossary : Glossary
        By which queries are expanded: the shipped one and the documents' own.
    warnings : tuple of str
    """

    index: Index
    kind: Kind
    retriever: Retriever
    glossary: Glossary
    warnings: tuple[str, ...] = ()

    @property
    def relevance(self) -> WordShare:
        """How much passages of this index have to do with a question."""
        bm25 = self.index.bm25

        def frequency(token: str) -> int:
            column = bm25.vocabulary.get(token)
            if column is None:
                return 0
            begin, end = bm25.arrays["indptr"][column : column + 2]
            return int(end - begin)

        return WordShare(frequency, len(bm25), self.glossary.expand)


def opened(path: Path, kind: str = "", embedder: str = "", reranker: str = "") -> Opened:
    """Open an index, and what finds passages in it.

    Parameters
    ----------
    path : Path
    kind : str
        "bm25", "dense" or "fused"; "" for fused where the index has vectors whose embedder can be
        opened, else BM25.
    embedder : str
        As `named_embedder`; "" for the one that the index was made with, where that is MiniLM.

    reranker : str
        As `named_reranker`; "" for none.

    Raises
    ------
    InputError
        If it is no index, an empty or a damaged one, or has no vectors where these are asked for.
    MissingError
        If a library or the embedder's files are not there.
    """
    if kind and kind not in KINDS:
        raise InputError(f'--retriever "{kind}" is unknown (known: {", ".join(KINDS)})')
    index = open_index(path)
    if not len(index.chunks):
        raise InputError(f"{path}: is empty: its documents hold no text; index others")
    glossary = Glossary.shipped().with_entries(index.glossary)
    made = index.manifest.dense
    warnings: tuple[str, ...] = ()
    if not kind:
        known = made is not None and (bool(embedder) or made.embedder.startswith(MINILM))
        kind = "fused" if known else "bm25"
        if made is not None and not known:
            warnings = (f"searched by words alone: --embedder tells where {made.embedder} is",)
    encoder = None if kind == "bm25" else _embedder(index, embedder)
    reader = named_reranker(reranker).load() if reranker else None
    found = index.retriever(cast(Kind, kind), embedder=encoder, glossary=glossary, reranker=reader)
    return Opened(index, cast(Kind, kind), found, glossary, warnings)


def _embedder(index: Index, text: str) -> Embedder:
    made = index.manifest.dense
    if made is None:
        raise InputError(
            f"{index.path}: has no vectors: index its documents with --dense minilm, or search by "
            "--retriever bm25"
        )
    if not text and not made.embedder.startswith(MINILM):
        raise InputError(
            f"{index.path}: its vectors are of {made.embedder}: --embedder tells where that is"
        )
    return named_embedder(text or "minilm").load()
