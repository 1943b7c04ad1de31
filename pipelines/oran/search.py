"""Passages that answer to some words, without any language model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.oran.opened import opened
from pipelines.oran.passage import passage
from rfplatform.errors import InputError
from rfplatform.oran.neutral import printable
from rfplatform.oran.snippet import snippet

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
    """

    words: str
    index: Path
    top_k: int = 10
    retriever: str = ""
    embedder: str = ""


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
    found = opened(config.index, config.retriever, config.embedder)
    tell("Searching")
    started = time.perf_counter()
    hits = found.retriever(words, config.top_k)
    seconds = time.perf_counter() - started
    expansions = found.glossary.expand(words)
    return {
        "query": words,
        "expansions": list(expansions),
        "index": str(config.index),
        "retriever": found.kind,
        "documents": len(found.index.documents),
        "chunks": len(found.index.chunks),
        "hits": [
            {
                "number": number,
                "score": hit.score,
                **passage(hit.chunk),
                "snippet": asdict(snippet(hit.chunk.text, (words, *expansions))),
            }
            for number, hit in enumerate(hits, start=1)
        ],
        "seconds": seconds,
        "warnings": list(found.warnings),
    }
