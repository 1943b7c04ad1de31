"""Passages that answer to some words, without any language model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.oran.passage import found
from rfplatform.errors import InputError
from rfplatform.oran.neutral import printable
from rfplatform.oran.opened import opened

MOST_HITS = 1_000


@dataclass(frozen=True)
class Config:
    """What to look for, and where.

    Attributes
    ----------
    words : str
    index : Path
    top_k : int
        Passages to find.
    retriever : str
        "bm25", "dense" or "fused"; "" for the best that the index has.
    embedder : str
        Where the embedder of the index's vectors is, if that is not MiniLM.
    reranker : str
        A cross-encoder that puts the best passages in order: a folder, or URL#MODEL.
    """

    words: str
    index: Path
    top_k: int = 10
    retriever: str = ""
    embedder: str = ""
    reranker: str = ""


def main(config: Config, *, report: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Find passages.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        JSON values: "hits", the best first, each with its place, score, text, and a "snippet" with
        the words that were looked for marked; "expansions", the other words that were.

    Raises
    ------
    InputError
        If there are no words, or no index.
    MissingError
        If a library is not there.
    """
    tell = report or (lambda _: None)
    words = " ".join(printable(config.words).split())
    if not words:
        raise InputError("no words to look for: give some")
    if not 1 <= config.top_k <= MOST_HITS:
        raise InputError(f"--top-k {config.top_k} must be from 1 to {MOST_HITS:,}")
    tell("Opening the index")
    index = opened(config.index, config.retriever, config.embedder, config.reranker)
    tell("Searching")
    started = time.perf_counter()
    hits = index.retriever(words, config.top_k)
    seconds = time.perf_counter() - started
    expansions = index.glossary.expand(words)
    return {
        "query": words,
        "expansions": list(expansions),
        "index": str(config.index),
        "retriever": index.kind,
        "documents": len(index.index.documents),
        "chunks": len(index.index.chunks),
        "hits": found(hits, (words, *expansions)),
        "seconds": seconds,
        "warnings": list(index.warnings),
    }
