"""Embeddings of any server that speaks OpenAI's protocol: vLLM, Ollama, llama.cpp, TEI, hosted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rfplatform.errors import InputError
from rfplatform.retrieval.embedding import Role, Vectors, unit_length
from rfplatform.retrieval.endpoint import Endpoint

KEYS = ("RFPLATFORM_EMBEDDINGS_API_KEY", "OPENAI_API_KEY")


@dataclass(frozen=True)
class EmbeddingsUrl:
    """A model behind ``URL/embeddings``.

    Attributes
    ----------
    url : str
        Such as "http://localhost:11434/v1".
    model : str
    query_prefix, passage_prefix : str
        What the model wants before a text.
    batch : int
        Texts in one request.
    timeout_s : float
        For one request.
    attempts : int
        Tries of one request.
    """

    url: str
    model: str
    query_prefix: str = ""
    passage_prefix: str = ""
    batch: int = 32
    timeout_s: float = 60.0
    attempts: int = 5

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("embeddings of a URL need the model's name, as URL#MODEL")
        if self.batch < 1:
            raise InputError(f"batch {self.batch}: must be 1 or more")

    def load(self) -> RemoteEncoder:
        """Nothing is asked of the server yet.

        Raises
        ------
        InputError
            If it is no URL.
        """
        return RemoteEncoder(
            self, Endpoint(self.url, KEYS, timeout_s=self.timeout_s, attempts=self.attempts)
        )


@dataclass(frozen=True)
class RemoteEncoder:
    """What asks the server."""

    config: EmbeddingsUrl
    endpoint: Endpoint

    @property
    def name(self) -> str:
        """The model's name and its prefixes: the same model may move to another server."""
        return "|".join(
            ("openai", self.config.model, self.config.query_prefix, self.config.passage_prefix)
        ).rstrip("|")

    def __call__(self, texts: Sequence[str], role: Role = "passage") -> Vectors:
        prefix = self.config.query_prefix if role == "query" else self.config.passage_prefix
        blocks = [
            self._block([prefix + text for text in texts[start : start + self.config.batch]])
            for start in range(0, len(texts), self.config.batch)
        ]
        if not blocks:
            return np.zeros((0, 0), dtype=np.float32)
        if len({block.shape[1] for block in blocks}) > 1:
            raise InputError(f"{self.endpoint.shown}: its vectors are of several sizes")
        return np.concatenate(blocks)

    def _block(self, texts: list[str]) -> Vectors:
        # An empty text is an error for many servers; a space is none.
        body = {
            "model": self.config.model,
            "input": [text or " " for text in texts],
            "encoding_format": "float",
        }
        answer = self.endpoint.post("embeddings", body)
        try:
            data = answer["data"] if isinstance(answer, dict) else []
            rows = sorted(data, key=lambda row: int(row["index"]))
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
            places = [int(row["index"]) for row in rows]
        except (KeyError, TypeError, ValueError):
            vectors, places = np.zeros(0, dtype=np.float32), []
        if vectors.ndim != 2 or places != list(range(len(texts))) or not np.isfinite(vectors).all():
            raise InputError(
                f"{self.endpoint.shown}: did not answer with an embedding for each text"
            )
        return unit_length(vectors)
