"""A question answered from an index by a language model, with the passages it rests on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.oran.passage import found, passage
from rfplatform.oran.answer import TOP_K, Answer, Citation, answer, check_question
from rfplatform.oran.opened import opened
from rfplatform.oran.providers import keyless, open_model
from rfplatform.oran.relevance import LEAST_RELEVANCE


@dataclass(frozen=True)
class Config:
    """What to ask whom.

    Attributes
    ----------
    question : str
    index : Path
    model : str
        PROVIDER/NAME.
    base_url : str, optional
        Of the provider's server, where it is not the usual one.
    top_k : int
        Passages that the model is shown.
    retriever : str
        "bm25", "dense" or "fused"; "" for the best that the index has.
    embedder : str
        Where the embedder of the index's vectors is, if that is not MiniLM.
    reranker : str
        A cross-encoder that puts the best passages in order: a folder, or URL#MODEL.
    anyway : bool
        Ask the model even where the passages have too little to do with the question.
    """

    question: str
    index: Path
    model: str
    base_url: str | None = None
    top_k: int = TOP_K
    retriever: str = ""
    embedder: str = ""
    reranker: str = ""
    anyway: bool = False


def main(config: Config, *, report: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Answer a question.

    Question, index, model and key are checked before anything is sent.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        JSON values: "found", "outcome" (see `Answer`), "text" with [n] marks, "citations" with
        their places and quotes, all "hits", and what it cost.

    Raises
    ------
    InputError
        If the question, the index or the model's name can't be used.
    MissingError
        If a key or a library is missing, or the model gives no answer.
    """
    tell = report or (lambda _: None)
    check_question(config.question, config.top_k)
    tell("Opening the index")
    index = opened(config.index, config.retriever, config.embedder, config.reranker)
    tell(f"Opening {config.model}")
    model = open_model(config.model, config.base_url)
    least = 0.0 if config.anyway else LEAST_RELEVANCE
    tell(f"Asking {config.model}")
    with keyless(config.model, config.base_url):
        result = asyncio.run(
            answer(
                config.question,
                index.retriever,
                model,
                relevance=index.relevance,
                least_relevance=least,
                top_k=config.top_k,
            )
        )
    wanted = (result.question, *index.glossary.expand(result.question))
    return {
        **_described(result, wanted),
        "least_relevance": least,
        "index": str(config.index),
        "retriever": index.kind,
        "warnings": [*index.warnings, *(f"dropped: {line}" for line in result.unverified)],
    }


def _described(result: Answer, wanted: tuple[str, ...]) -> dict[str, Any]:
    return {
        "question": result.question,
        "found": result.found,
        "outcome": result.outcome,
        "text": result.text,
        "citations": [_cited(citation) for citation in result.citations],
        "hits": found(result.hits, wanted),
        "relevance": result.relevance,
        "model": result.model,
        "calls": result.calls,
        "tokens": {"in": result.tokens_in, "out": result.tokens_out},
        "rejected": result.rejected,
        "seconds": result.seconds,
    }


def _cited(citation: Citation) -> Mapping[str, Any]:
    spans = zip(citation.quotes, citation.spans, strict=True)
    return {
        "number": citation.number,
        **passage(citation.chunk),
        "quotes": [{"text": text, "similarity": span.similarity} for text, span in spans],
    }
