"""Models as artifacts: ``model.json`` beside ``weights.safetensors``, and nothing that can run.

``model.json`` says which architecture the weights are for ("type"), what it is built with
("config") and what goes in ("inputs"); whoever knows the type builds it. Weights are float16 on
disk, float32 in memory.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform.errors import InputError
from rfplatform.registry.artifact import Artifact, File, parse_ref

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rfplatform.registry.registry import Registry

DESCRIPTION, WEIGHTS = "model.json", "weights.safetensors"
SCHEMA = "model.json: type, config, inputs; weights.safetensors: float16 tensors by name"
LARGE_BYTES = 16 * 2**20
"""Weights beyond this are told in the facts: a model should be easy to pass on."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model, without the code that runs it.

    Attributes
    ----------
    type : str
        Names the architecture, which the code that built it knows: "radio-unet".
    config : mapping
        What the architecture is built with, as JSON values.
    weights : mapping of str to ndarray
        float32, any shape, by name.
    inputs : mapping
        What goes in, as JSON values: channels, units, scales.
    """

    type: str
    config: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.float32]]
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Numbers in all weights."""
        return sum(array.size for array in self.weights.values())


def save_model(
    registry: Registry,
    ref: str,
    model: Model,
    *,
    parents: Sequence[str] = (),
    metrics: Sequence[Mapping[str, Any]] = (),
    title: str = "",
    licence: str = "Apache-2.0",
    citation: str = "",
    config: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
) -> Artifact:
    """Keep a model in the registry.

    Parameters
    ----------
    registry : Registry
    ref : str
        "name@version".
    model : Model
    parents : sequence of str
        What it was trained and measured on.
    metrics : sequence of mapping
        Scores in the form of a benchmark's row: "metric", "unit", "value", "baseline",
        "baseline_value", and where they are known "benchmark", "case" and "better".
    title, licence, citation : str
    config : mapping, optional
        How it was trained: epochs, learning rate, seed.
    facts : mapping, optional
        Whatever else is known of it: "limits", a list of lines, goes on its card.
    run : mapping, optional
        How the training went: seconds, host, versions.

    Returns
    -------
    Artifact

    Raises
    ------
    InputError
        If a tensor holds what is no finite number, or what float16 can't hold; if a score has no
        baseline.
    """
    name, version = parse_ref(ref)
    if version is None:
        raise InputError(f"{ref}: a model needs a version, as in {name}@1")
    for metric in metrics:
        if not {"metric", "value", "baseline", "baseline_value"} <= set(metric):
            raise InputError(
                f"{ref}: every score needs metric, value, baseline and baseline_value; "
                f"one has {', '.join(metric)}"
            )
    weights = pack_weights(model.weights)
    description = {"type": model.type, "config": model.config, "inputs": model.inputs}
    with tempfile.TemporaryDirectory(prefix="rfplatform-model-") as folder:
        local = {DESCRIPTION: Path(folder) / DESCRIPTION, WEIGHTS: Path(folder) / WEIGHTS}
        local[DESCRIPTION].write_bytes(_json(description, ref))
        local[WEIGHTS].write_bytes(weights)
        return registry.add(
            Artifact(
                name,
                version,
                "model",
                files=tuple(File.of(path) for path in local.values()),
                parents=tuple(parents),
                title=title,
                licence=licence,
                citation=citation,
                schema=SCHEMA,
                config=dict(config or {}),
                facts={
                    **(facts or {}),
                    "type": model.type,
                    "architecture": dict(model.config),
                    "inputs": dict(model.inputs),
                    "parameters": model.parameters,
                    "weights_bytes": len(weights),
                    "metrics": [dict(metric) for metric in metrics],
                    "warnings": [*(facts or {}).get("warnings", []), *_warnings(weights)],
                },
                run=dict(run or {}),
            ),
            local,
        )


def load_model(registry: Registry, ref: str) -> Model:
    """Read a model of the registry.

    Parameters
    ----------
    registry : Registry
    ref : str
        "name@version", or a bare "name" for the newest.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If it is no model, holds any other file, is damaged, or holds weights that are no finite
        float16 numbers.
    MissingError
        If it is not there.
    """
    artifact = registry.get(ref)
    if artifact.kind != "model":
        raise InputError(f"{artifact.ref} is a {artifact.kind}, not a model")
    _check_paths([f.path for f in artifact.files], artifact.ref)
    body, weights = (
        registry.path(artifact.ref, path).read_bytes() for path in (DESCRIPTION, WEIGHTS)
    )
    return _unpacked(body, weights, artifact.ref)


def check_model(local: Mapping[str, Path], ref: str) -> Model:
    """Read files that are to become a model, as `load_model` will.

    Parameters
    ----------
    local : mapping of str to Path
        Files by the path that each is to have.
    ref : str
        For the message.

    Raises
    ------
    InputError
        If they are no model, or hold anything else.
    """
    _check_paths(list(local), ref)
    return _unpacked(local[DESCRIPTION].read_bytes(), local[WEIGHTS].read_bytes(), ref)


def pack_weights(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Float16 tensors in the safetensors form; the same bytes for the same weights.

    Raises
    ------
    InputError
        If a tensor holds what is no finite number, or what float16 can't hold; it is named.
    """
    from safetensors.numpy import save

    if not weights:
        raise InputError("a model without weights can't be kept")
    halves: dict[str, NDArray[np.float16]] = {}
    for name, given in sorted(weights.items()):
        array = np.asarray(given)
        if array.dtype.kind != "f":
            raise InputError(f"tensor {name!r}: must hold real numbers, not {array.dtype}")
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise InputError(f"tensor {name!r}: {count:,} of {array.size:,} values are not finite")
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(array, dtype="<f2").reshape(array.shape)
        if not np.isfinite(half).all():
            raise InputError(
                f"tensor {name!r}: float16 can't hold {float(np.abs(array).max()):.6g} "
                "(the largest is 65504); scale it down"
            )
        halves[name] = half
    return bytes(save(halves))


def unpack_weights(body: bytes, where: str = WEIGHTS) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of what `pack_weights` gave.

    Raises
    ------
    InputError
        If it is no such file, or damaged; if a tensor is not of float16 or not finite.
    """
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(body)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise InputError(f"{where}: is damaged, or no safetensors file ({error})") from error
    weights: dict[str, NDArray[np.float32]] = {}
    for name, tensor in sorted(tensors):
        if tensor["dtype"] != "F16":
            raise InputError(f"{where}: tensor {name!r} is of {tensor['dtype']}, not F16")
        half = np.frombuffer(tensor["data"], dtype="<f2").reshape(tensor["shape"])
        if not np.isfinite(half).all():
            raise InputError(f"{where}: tensor {name!r} holds values that are not finite")
        weights[name] = half.astype(np.float32)
    return weights


def _check_paths(paths: Sequence[str], ref: str) -> None:
    others = sorted(set(paths) - {DESCRIPTION, WEIGHTS})
    if others:
        raise InputError(
            f"{ref} holds {', '.join(others)}: a model is {DESCRIPTION} and {WEIGHTS} alone, and "
            "nothing else is ever read"
        )
    lacking = sorted({DESCRIPTION, WEIGHTS} - set(paths))
    if lacking:
        raise InputError(f"{ref}: a model needs {' and '.join(lacking)}, too")


def _unpacked(body: bytes, weights: bytes, ref: str) -> Model:
    description = _description(body, ref)
    return Model(
        description["type"],
        description["config"],
        unpack_weights(weights, f"{ref}, {WEIGHTS}"),
        description["inputs"],
    )


def _description(body: bytes, ref: str) -> dict[str, Any]:
    where = f"{ref}, {DESCRIPTION}"
    try:
        found = json.loads(body)
    except ValueError as error:
        raise InputError(f"{where}: is no JSON ({error})") from error
    if not isinstance(found, dict) or set(found) != {"type", "config", "inputs"}:
        raise InputError(f"{where}: must hold type, config and inputs, and nothing else")
    if not isinstance(found["type"], str) or not all(
        isinstance(found[key], dict) for key in ("config", "inputs")
    ):
        raise InputError(f"{where}: type must be a text, config and inputs tables")
    return found


def _json(description: Mapping[str, Any], ref: str) -> bytes:
    try:
        text = json.dumps(
            description, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{ref}: config and inputs must be JSON values ({error})") from error
    return text.encode() + b"\n"


def _warnings(weights: bytes) -> list[str]:
    if len(weights) <= LARGE_BYTES:
        return []
    return [f"weights take {len(weights) / 2**20:.1f} MiB, more than {LARGE_BYTES // 2**20} MiB"]
