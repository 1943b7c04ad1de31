"""Sentence encoders in ONNX, from a folder as sentence-transformers exports it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError, MissingError
from rfplatform.retrieval.embedding import Role, Vectors, unit_length

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

MODELS = ("model.onnx", "onnx/model.onnx")
LONGEST_TOKENS = 512
"""Where the folder names no limit."""


@dataclass(frozen=True)
class OnnxFolder:
    """A sentence encoder on the disk.

    Attributes
    ----------
    path : Path
        Holds ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``, and where the model
        has them ``sentence_bert_config.json``, ``1_Pooling/config.json`` and
        ``config_sentence_transformers.json``.
    query_prefix, passage_prefix : str, optional
        What the model wants before a text; by default what its folder says, if anything.
    threads : int
        Texts at a time; 0 for one on every core.
    """

    path: Path
    query_prefix: str | None = None
    passage_prefix: str | None = None
    threads: int = 0

    def load(self, name: str = "") -> OnnxEncoder:
        """Open the model; its name is of the folder and the model's hash unless it is given.

        Raises
        ------
        InputError
            If the folder is not such a model.
        MissingError
            If `onnxruntime` or `tokenizers` is not installed.
        """
        session, tokenizer = open_onnx(self.path)
        if self.threads < 0:
            raise InputError(f"threads {self.threads}: must not be negative")
        prompts = _entry(self.path / "config_sentence_transformers.json", "prompts") or {}
        if not isinstance(prompts, dict):
            prompts = {}
        prefixes = (
            self._prefix(self.query_prefix, prompts, "query"),
            self._prefix(self.passage_prefix, prompts, "passage", "document"),
        )
        pooling = _pooling(self.path)
        if not name:
            with onnx_file(self.path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            for part in (*prefixes, pooling):
                digest.update(f"\0{part}".encode())
            name = f"{self.path.resolve().name}@{digest.hexdigest()[:12]}"
        return OnnxEncoder(
            name, session, tokenizer, *prefixes, pooling, self.threads or os.cpu_count() or 1
        )

    def _prefix(self, given: str | None, prompts: dict[str, Any], *names: str) -> str:
        if given is not None:
            return given
        found = next((prompts[n] for n in names if isinstance(prompts.get(n), str)), "")
        return str(found)


@dataclass(frozen=True, eq=False)
class OnnxEncoder:
    """A sentence encoder that is open. Each text runs alone.

    Nothing is padded then, which makes it faster on a CPU than batches are, and a text's vector has
    the same bits whatever stands beside it.
    """

    name: str
    session: InferenceSession
    tokenizer: Tokenizer
    query_prefix: str
    passage_prefix: str
    pooling: Literal["mean", "cls"]
    threads: int

    def __call__(self, texts: Sequence[str], role: Role = "passage") -> Vectors:
        prefix = self.query_prefix if role == "query" else self.passage_prefix
        encodings = self.tokenizer.encode_batch([prefix + clean(text) for text in texts])
        with ThreadPoolExecutor(self.threads) as pool:
            vectors = list(pool.map(self._vector, encodings))
        if not vectors:
            return np.zeros((0, 0), dtype=np.float32)
        return unit_length(np.stack(vectors))

    def _vector(self, encoding: Encoding) -> npt.NDArray[np.float32]:
        outputs = run(self.session, encoding)
        if "sentence_embedding" in outputs:
            pooled: npt.NDArray[np.float32] = outputs["sentence_embedding"][0]
            return pooled
        hidden = next(iter(outputs.values()))[0]
        vector: npt.NDArray[np.float32] = hidden[0] if self.pooling == "cls" else hidden.mean(0)
        return vector


# ----------------------------------------------------------------------------------------------
# What every ONNX model of texts needs
# ----------------------------------------------------------------------------------------------


def onnx_file(folder: Path) -> Path:
    """The model in a folder.

    Raises
    ------
    InputError
        If there is none.
    """
    for name in MODELS:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder}: has no model.onnx: give the folder of an ONNX export")


def open_onnx(folder: Path) -> tuple[InferenceSession, Tokenizer]:
    """A folder's model and tokenizer; the latter cuts texts at the model's limit.

    Raises
    ------
    InputError
        If one of them is missing or can't be read.
    MissingError
        If `onnxruntime` or `tokenizers` is not installed.
    """
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingError(
            "the libraries onnxruntime and tokenizers are not installed: "
            "pip install 'rfplatform[dense]'"
        ) from None
    model = onnx_file(folder)
    place = folder / "tokenizer.json"
    if not place.is_file():
        raise InputError(f"{folder}: has no tokenizer.json beside its model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        tokenizer = Tokenizer.from_file(os.fspath(place))
        session = onnxruntime.InferenceSession(
            os.fspath(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: its model or tokenizer can't be read ({said})") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(_limit(folder))
    return session, tokenizer


def run(session: InferenceSession, encoding: Encoding) -> dict[str, npt.NDArray[np.float32]]:
    """A model's outputs for one text, by their names; the first axis is the text's, of size 1."""
    given = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    wanted = [i.name for i in session.get_inputs()]
    inputs = {name: np.array([given[name]], dtype=np.int64) for name in wanted if name in given}
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, inputs), strict=True))
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"the ONNX model is no encoder of texts ({said})") from error


def clean(text: str) -> str:
    """Text that a tokenizer takes: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _limit(folder: Path) -> int:
    """Tokens after which the model cuts a text, by the folder's own account."""
    limits: Iterable[object] = (
        _entry(folder / "sentence_bert_config.json", "max_seq_length"),
        _entry(folder / "tokenizer_config.json", "model_max_length"),
        _entry(folder / "config.json", "max_position_embeddings"),
    )
    known = [int(n) for n in limits if isinstance(n, int | float) and 2 < n <= 1 << 20]
    return known[0] if known else LONGEST_TOKENS


def _pooling(folder: Path) -> Literal["mean", "cls"]:
    return "cls" if _entry(folder / "1_Pooling/config.json", "pooling_mode_cls_token") else "mean"


def _entry(path: Path, key: str) -> object:
    """An entry of a JSON file; None where the file or the entry is missing."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no JSON ({error})") from error
    return found.get(key) if isinstance(found, dict) else None
