"""Re-ranking: a cross-encoder reads query and chunk together, and has the last word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.retrieval.encoder import clean, open_onnx, run
from rfplatform.retrieval.endpoint import Endpoint
from rfplatform.retrieval.retriever import Hit, Retriever

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

KEYS = ("RFPLATFORM_RERANK_API_KEY",)


class Reranker(Protocol):
    """Tells how well each text answers to a query, the higher the better; shape [texts]."""

    def __call__(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Reranked:
    """A retriever whose best hits are put in order by a re-ranker.

    Attributes
    ----------
    retriever : Retriever
    reranker : Reranker
    depth : int
        Hits that are read again, if not more are wanted.
    """

    retriever: Retriever
    reranker: Reranker
    depth: int = 30

    def __call__(self, query: str, top_k: int) -> list[Hit]:
        hits = self.retriever(query, max(self.depth, top_k))
        if not hits or top_k < 1:
            return []
        texts = [f"{hit.chunk.heading}\n{hit.chunk.text}".strip() for hit in hits]
        scores = self.reranker(query, texts)
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [Hit(hits[i].chunk, float(scores[i])) for i in order]


@dataclass(frozen=True)
class OnnxReranker:
    """A cross-encoder on the disk.

    Attributes
    ----------
    path : Path
        Holds ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``; one logit comes out,
        or several of which the last is that of "relevant".
    """

    path: Path

    def load(self) -> CrossEncoder:
        """Open the model.

        Raises
        ------
        InputError
            If the folder is not such a model.
        MissingError
            If `onnxruntime` or `tokenizers` is not installed.
        """
        return CrossEncoder(*open_onnx(self.path))


@dataclass(frozen=True, eq=False)
class CrossEncoder:
    """A cross-encoder that is open."""

    session: InferenceSession
    tokenizer: Tokenizer

    def __call__(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        pairs = [(clean(query), clean(text)) for text in texts]
        scores = []
        for encoding in self.tokenizer.encode_batch(pairs):
            logits = next(iter(run(self.session, encoding).values()))
            if logits.ndim > 2 or logits.shape[0] != 1:
                raise InputError("the re-ranker's model gives no logits for a pair of texts")
            scores.append(float(logits.ravel()[-1]))
        return np.array(scores, dtype=np.float32)


@dataclass(frozen=True)
class RerankUrl:
    """A re-ranker behind ``URL/rerank``.

    Attributes
    ----------
    url : str
        Such as "http://localhost:8000/v1". The key is read from `KEYS`.
    model : str
        "" where the server has one only.
    form : {"cohere", "tei"}
        How it is asked: as Cohere, Jina and vLLM are, or as Hugging Face's Text Embeddings
        Inference.
    timeout_s : float
    attempts : int
    """

    url: str
    model: str = ""
    form: Literal["cohere", "tei"] = "cohere"
    timeout_s: float = 60.0
    attempts: int = 5

    def load(self) -> RemoteReranker:
        """Nothing is asked of the server yet.

        Raises
        ------
        InputError
            If it is no URL.
        """
        endpoint = Endpoint(self.url, KEYS, timeout_s=self.timeout_s, attempts=self.attempts)
        return RemoteReranker(self, endpoint)


@dataclass(frozen=True)
class RemoteReranker:
    """What asks the server."""

    config: RerankUrl
    endpoint: Endpoint

    def __call__(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if not texts:
            return np.zeros(0, dtype=np.float32)
        tei = self.config.form == "tei"
        body = {"query": query, "texts" if tei else "documents": list(texts)}
        if self.config.model:
            body["model"] = self.config.model
        if tei:
            body["truncate"] = True  # type: ignore[assignment]
        answer = self.endpoint.post("rerank", body)
        rows = answer.get("results") if isinstance(answer, dict) else answer
        scores = np.full(len(texts), np.nan, dtype=np.float32)
        try:
            for row in rows or ():
                score = row["relevance_score"] if "relevance_score" in row else row["score"]
                scores[int(row["index"])] = float(score)
        except (KeyError, TypeError, ValueError, IndexError):
            scores[:] = np.nan
        if not np.isfinite(scores).all():
            raise InputError(f"{self.endpoint.shown}: did not answer with a score for each text")
        return scores
