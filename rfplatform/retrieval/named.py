"""One text names any embedder or re-ranker, as it is given on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from rfplatform.errors import InputError
from rfplatform.retrieval.encoder import OnnxFolder
from rfplatform.retrieval.minilm import MiniLM
from rfplatform.retrieval.remote import EmbeddingsUrl
from rfplatform.retrieval.rerank import OnnxReranker, RerankUrl

AnyEmbedder: TypeAlias = MiniLM | OnnxFolder | EmbeddingsUrl
AnyReranker: TypeAlias = OnnxReranker | RerankUrl


def named_embedder(text: str) -> AnyEmbedder:
    """What a name stands for; its `load()` opens it.

    Parameters
    ----------
    text : str
        "minilm", a folder with an ONNX export, or "URL#MODEL" such as
        "http://localhost:11434/v1#nomic-embed-text".

    Raises
    ------
    InputError
        If it is none of them.
    """
    if text.strip().lower() in ("minilm", "all-minilm-l6-v2"):
        return MiniLM()
    if "://" in text:
        url, _, model = text.partition("#")
        return EmbeddingsUrl(url, model)
    return OnnxFolder(_folder(text, "embedder", "minilm, a folder with an ONNX model, URL#MODEL"))


def named_reranker(text: str) -> AnyReranker:
    """What a name stands for; its `load()` opens it.

    Parameters
    ----------
    text : str
        A folder with an ONNX export of a cross-encoder, or "URL#MODEL"; "tei+URL" for a server of
        Hugging Face's Text Embeddings Inference.

    Raises
    ------
    InputError
        If it is none of them.
    """
    if "://" in text:
        url, _, model = text.partition("#")
        if url.startswith("tei+"):
            return RerankUrl(url.removeprefix("tei+"), model, "tei")
        return RerankUrl(url, model)
    return OnnxReranker(_folder(text, "re-ranker", "a folder with an ONNX model, URL#MODEL"))


def _folder(text: str, what: str, known: str) -> Path:
    path = Path(text).expanduser()
    if not text.strip() or not path.is_dir():
        raise InputError(f'{what} "{text}": is no folder (known: {known})')
    return path
