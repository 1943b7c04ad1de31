"""BERT's encoder as an ONNX graph, made of the weights alone: neither PyTorch nor an export.

The graph has the inputs and the output that exports of sentence-transformers have, so that one
reader runs both: ``input_ids``, ``attention_mask`` and ``token_type_ids`` of shape [texts, tokens]
in, ``last_hidden_state`` of shape [texts, tokens, width] out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Weights = Mapping[str, npt.NDArray[np.float32]]

OPSET, IR_VERSION = 20, 9
"""Of the graph: the first in which GELU is an operator, and what onnxruntime 1.17 reads."""


@dataclass(frozen=True)
class BertShape:
    """What BERT's weights don't tell of its form.

    Attributes
    ----------
    heads : int
        Of the attention.
    norm_epsilon : float
        Added to the variance in every layer normalization.
    """

    heads: int
    norm_epsilon: float = 1e-12

    @classmethod
    def read(cls, path: Path) -> BertShape:
        """From a Hugging Face ``config.json``.

        Raises
        ------
        InputError
            If it is not that of a BERT encoder with exact GELU and absolute positions.
        """
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            shape = cls(int(config["num_attention_heads"]), float(config["layer_norm_eps"]))
            kind, gelu = config["model_type"], config["hidden_act"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is not the config.json of a BERT model ({error})") from error
        if kind != "bert" or gelu != "gelu":
            raise InputError(f"{path}: must be of BERT with gelu, not of {kind} with {gelu}")
        return shape


def bert_graph(weights: Weights, shape: BertShape) -> ModelProto:
    """The encoder of J. Devlin et al., "BERT", NAACL 2019, as an ONNX model.

    Parameters
    ----------
    weights : mapping of str to ndarray
        float32, named as in Hugging Face's `BertModel`.
    shape : BertShape

    Raises
    ------
    InputError
        If a tensor is missing.
    MissingError
        If the library `onnx` is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError:
        raise MissingError(
            "the library onnx is not installed: pip install 'rfplatform[dense]'"
        ) from None
    graph = _Graph(weights)
    width = graph.weight("embeddings.word_embeddings.weight").shape[1]
    if width % shape.heads:
        raise InputError(f"BERT weights: width {width} can't be cut into {shape.heads} heads")
    _embeddings(graph, shape)
    bias = _mask_bias(graph)
    x, layer = "embedded", 0
    while f"encoder.layer.{layer}.output.dense.weight" in weights:
        x = _layer(graph, x, bias, layer, shape)
        layer += 1
    graph.node("Identity", [x], "last_hidden_state")
    of_tokens = ["texts", "tokens"]
    names = ("input_ids", "attention_mask", "token_type_ids")
    float_, int_ = TensorProto.FLOAT, TensorProto.INT64
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert",
            [helper.make_tensor_value_info(name, int_, of_tokens) for name in names],
            [helper.make_tensor_value_info("last_hidden_state", float_, [*of_tokens, width])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="rfplatform",
    )
    checker.check_model(model)
    return model


class _Graph:
    """Nodes and constants, as they are added."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[NodeProto] = []
        self.constants: list[Any] = []
        self._known: set[str] = set()

    def weight(self, name: str) -> npt.NDArray[np.float32]:
        try:
            return self.weights[name]
        except KeyError:
            raise InputError(f"BERT weights: tensor {name!r} is missing") from None

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self._known:
            self._known.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(f"ints {values}", np.array(values, dtype=np.int64))

    def node(self, kind: str, inputs: Iterable[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output

    def dense(self, x: str, name: str, output: str) -> str:
        """``x W^T + b``."""
        matrix = self.constant(f"{name}.weight", self.weight(f"{name}.weight").T)
        bias = self.constant(f"{name}.bias", self.weight(f"{name}.bias"))
        product = self.node("MatMul", [x, matrix], f"{output} product")
        return self.node("Add", [product, bias], output)

    def norm(self, x: str, name: str, output: str, epsilon: float) -> str:
        scale = self.constant(f"{name}.weight", self.weight(f"{name}.weight"))
        shift = self.constant(f"{name}.bias", self.weight(f"{name}.bias"))
        return self.node("LayerNormalization", [x, scale, shift], output, axis=-1, epsilon=epsilon)


def _embeddings(graph: _Graph, shape: BertShape) -> None:
    """Word, kind and place of every token, added and normalized."""
    tables = {
        name: graph.constant(name, graph.weight(f"embeddings.{name}_embeddings.weight"))
        for name in ("word", "token_type", "position")
    }
    words = graph.node("Gather", [tables["word"], "input_ids"], "words")
    kinds = graph.node("Gather", [tables["token_type"], "token_type_ids"], "kinds")
    size = graph.node("Shape", ["input_ids"], "size of input")
    length = graph.node("Slice", [size, graph.ints(1), graph.ints(2)], "length")
    places = graph.node("Slice", [tables["position"], graph.ints(0), length], "places")
    both = graph.node("Add", [words, kinds], "words and kinds")
    total = graph.node("Add", [both, places], "words, kinds and places")
    graph.norm(total, "embeddings.LayerNorm", "embedded", shape.norm_epsilon)


def _mask_bias(graph: _Graph) -> str:
    """What is added to the attention: 0 for tokens, a large negative number for padding."""
    from onnx import TensorProto

    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    wide = graph.node("Unsqueeze", [mask, graph.ints(1, 2)], "wide mask")
    one = graph.constant("one", np.float32(1.0).reshape(1))
    least = graph.constant("least", np.float32(np.finfo(np.float32).min).reshape(1))
    padding = graph.node("Sub", [one, wide], "padding")
    return graph.node("Mul", [padding, least], "mask bias")


def _layer(graph: _Graph, x: str, bias: str, number: int, shape: BertShape) -> str:
    """Attention and a network of two dense layers, each added to what went in and normalized."""
    name, own = f"encoder.layer.{number}", f"layer {number} "
    width = graph.weight(f"{name}.attention.self.query.weight").shape[0]
    split = graph.ints(0, 0, shape.heads, width // shape.heads)

    def heads(part: str, perm: tuple[int, ...]) -> str:
        flat = graph.dense(x, f"{name}.attention.self.{part}", f"{own}{part}")
        cut = graph.node("Reshape", [flat, split], f"{own}{part} cut")
        return graph.node("Transpose", [cut], f"{own}{part} heads", perm=list(perm))

    query, key, value = heads("query", (0, 2, 1, 3)), heads("key", (0, 2, 3, 1)), ""
    value = heads("value", (0, 2, 1, 3))
    scale = graph.constant(
        "attention scale", np.array([(width // shape.heads) ** -0.5], dtype=np.float32)
    )
    raw = graph.node("MatMul", [query, key], f"{own}products")
    scaled = graph.node("Mul", [raw, scale], f"{own}scaled")
    masked = graph.node("Add", [scaled, bias], f"{own}masked")
    shares = graph.node("Softmax", [masked], f"{own}shares", axis=-1)
    mixed = graph.node("MatMul", [shares, value], f"{own}mixed")
    back = graph.node("Transpose", [mixed], f"{own}mixed back", perm=[0, 2, 1, 3])
    joined = graph.node("Reshape", [back, graph.ints(0, 0, width)], f"{own}joined")
    attended = graph.dense(joined, f"{name}.attention.output.dense", f"{own}attended")
    added = graph.node("Add", [attended, x], f"{own}attended and input")
    middle = graph.norm(
        added, f"{name}.attention.output.LayerNorm", f"{own}middle", shape.norm_epsilon
    )
    wide = graph.dense(middle, f"{name}.intermediate.dense", f"{own}wide")
    bent = graph.node("Gelu", [wide], f"{own}bent", approximate="none")
    narrow = graph.dense(bent, f"{name}.output.dense", f"{own}narrow")
    total = graph.node("Add", [narrow, middle], f"{own}narrow and middle")
    return graph.norm(total, f"{name}.output.LayerNorm", f"{own}output", shape.norm_epsilon)
