"""Models: exact bytes, honest numbers, and nothing that could run."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.numpy import save

from rfplatform.errors import InputError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.models import (
    DESCRIPTION,
    LARGE_BYTES,
    WEIGHTS,
    Model,
    load_model,
    pack_weights,
    save_model,
    unpack_weights,
)
from rfplatform.registry.registry import Registry

RNG = np.random.default_rng(1)
KERNEL = RNG.normal(size=(8, 4, 3, 3)).astype(np.float32)
MODEL = Model(
    "radio-unet",
    {"depth": 3, "channels": [16, 32]},
    {"kernel": KERNEL, "bias": np.float32([0.25, -1.5]), "scale": np.float32(2.0)},
    {"channels": ["height_m", "distance_m"]},
)
SCORE = {
    "metric": "RMSE", "unit": "dB", "value": 6.1, "baseline": "free-space", "baseline_value": 12.0,
}  # fmt: skip


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "home")


def put(registry: Registry, folder: Path, ref: str, kind: str = "model", **files: bytes) -> None:
    """An artifact of any files, as it might come from elsewhere."""
    folder.mkdir(exist_ok=True)
    local = {}
    for number, (path, body) in enumerate(files.items()):
        local[path] = folder / str(number)
        local[path].write_bytes(body)
    name, _, version = ref.partition("@")
    artifact = Artifact(name, version, kind, tuple(File.of(f, p) for p, f in local.items()))
    registry.add(artifact, local)


def description(**values: object) -> bytes:
    return json.dumps({"type": "t", "config": {}, "inputs": {}} | values).encode()


GOOD = pack_weights({"a": np.ones(3, np.float32)})


def test_a_model_comes_back_as_it_went_in(registry):
    artifact = save_model(
        registry, "models/unet@1", MODEL, metrics=[SCORE], config={"epochs": 20}, parents=["d/x@1"]
    )
    back = load_model(registry, "models/unet@1")
    assert (back.type, back.config, back.inputs) == (MODEL.type, MODEL.config, MODEL.inputs)
    assert set(back.weights) == set(MODEL.weights)
    for name, array in back.weights.items():
        assert array.dtype == np.float32
        assert array.shape == np.shape(MODEL.weights[name])
        np.testing.assert_array_equal(array, np.float16(MODEL.weights[name]).astype(np.float32))
    assert artifact.facts["parameters"] == KERNEL.size + 3
    assert artifact.facts["metrics"] == [SCORE]
    assert artifact.facts["warnings"] == []
    assert artifact.parents == ("d/x@1",)
    assert artifact.config == {"epochs": 20}
    assert registry.verify() == []


def test_the_same_weights_are_the_same_bytes_in_any_order_and_layout():
    weights = {"b": KERNEL, "a": np.float32([1, 2]), "c": np.float64([[3.0]])}
    other = {
        "c": np.float32([[3.0]]),
        "a": np.float32([1, 9, 2])[::2],
        "b": np.asfortranarray(KERNEL),
    }
    assert pack_weights(weights) == pack_weights(other)


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8),
        npst.arrays(
            np.float16,
            npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
            elements=st.floats(width=16, allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_float16_number_survives(weights):
    back = unpack_weights(pack_weights(weights))
    assert set(back) == set(weights)
    for name, array in back.items():
        assert array.shape == weights[name].shape
        np.testing.assert_array_equal(array.astype(np.float16), weights[name])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.float32([1, np.nan]), "'bad': 1 of 2 values are not finite"),
        (np.float32([np.inf]), "'bad': 1 of 1 values are not finite"),
        (np.float32([-65520.0, 1]), "'bad': float16 can't hold 65520 .the largest is 65504"),
        (np.int64([1]), "'bad': must hold real numbers, not int64"),
        (np.complex64([1]), "'bad': must hold real numbers"),
        (np.array([{}]), "'bad': must hold real numbers, not object"),
    ],
)
def test_what_float16_can_t_hold_is_refused_by_the_tensor_s_name(registry, array, said):
    model = Model("t", {}, {"good": np.ones(2, np.float32), "bad": array})
    with pytest.raises(InputError, match=said):
        save_model(registry, "m@1", model)
    assert not registry.has("m@1")


def test_a_model_needs_a_version_weights_json_values_and_baselines(registry):
    with pytest.raises(InputError, match="needs a version"):
        save_model(registry, "m", MODEL)
    with pytest.raises(InputError, match="without weights"):
        save_model(registry, "m@1", Model("t", {}, {}))
    with pytest.raises(InputError, match="must be JSON values"):
        save_model(registry, "m@1", Model("t", {"a": np.ones(1)}, MODEL.weights))
    with pytest.raises(InputError, match="every score needs"):
        save_model(registry, "m@1", MODEL, metrics=[{"metric": "RMSE", "value": 1.0}])


def test_large_weights_are_told_not_refused(registry):
    weights = {"w": np.zeros(LARGE_BYTES // 2 + 1, np.float32)}
    artifact = save_model(registry, "m@1", Model("t", {}, weights))
    assert artifact.facts["warnings"] == ["weights take 16.0 MiB, more than 16 MiB"]


@pytest.mark.parametrize("name", ["model.pkl", "weights.pt", "weights.h5", "model.keras", "a.py"])
def test_any_other_file_makes_it_no_model(registry, tmp_path, name):
    files = {DESCRIPTION: description(), WEIGHTS: GOOD, name: pickle.dumps({"a": 1})}
    put(registry, tmp_path / "f", "m@1", **files)
    with pytest.raises(InputError, match=f"m@1 holds {name}: a model is model.json and"):
        load_model(registry, "m@1")


HALF_NAN = save({"a": np.float16([np.nan, 1])})
BAD = {
    "cut short": ({WEIGHTS: GOOD[:-2]}, "is damaged, or no safetensors file"),
    "header cut": ({WEIGHTS: GOOD[:20]}, "is damaged, or no safetensors file"),
    "huge header": ({WEIGHTS: b"\xff" * 8 + GOOD[8:]}, "is damaged, or no safetensors file"),
    "a pickle": ({WEIGHTS: pickle.dumps({"a": 1})}, "is damaged, or no safetensors file"),
    "empty": ({WEIGHTS: b""}, "is damaged, or no safetensors file"),
    "float32": ({WEIGHTS: save({"a": np.ones(2, np.float32)})}, "'a' is of F32, not F16"),
    "not finite": ({WEIGHTS: HALF_NAN}, "'a' holds values that are not finite"),
    "no json": ({DESCRIPTION: b"\x80\x04"}, "is no JSON"),
    "another json": ({DESCRIPTION: b"[]"}, "must hold type, config and inputs"),
    "more": ({DESCRIPTION: description(module="os")}, "and nothing else"),
    "config": ({DESCRIPTION: description(config=[1])}, "config and inputs tables"),
    "type": ({DESCRIPTION: description(type=1)}, "type must be a text"),
    "no weights": ({WEIGHTS: None}, "a model needs weights.safetensors, too"),
}


@pytest.mark.parametrize(("files", "said"), BAD.values(), ids=BAD)
def test_damaged_and_foreign_models_are_refused(registry, tmp_path, files, said):
    whole = {DESCRIPTION: description(), WEIGHTS: GOOD} | files
    whole = {path: body for path, body in whole.items() if body is not None}
    put(registry, tmp_path / "f", "m@1", **whole)
    with pytest.raises(InputError, match=said):
        load_model(registry, "m@1")


def test_a_data_set_is_no_model_and_a_changed_file_is_found(registry, tmp_path):
    put(registry, tmp_path / "f", "d@1", kind="dataset", **{WEIGHTS: GOOD})
    with pytest.raises(InputError, match="d@1 is a dataset, not a model"):
        load_model(registry, "d@1")
    save_model(registry, "m@1", MODEL)
    place = registry.path("m@1", WEIGHTS)
    place.chmod(0o644)
    body = bytearray(place.read_bytes())
    body[-1] ^= 1  # still a fine safetensors file
    place.write_bytes(body)
    with pytest.raises(InputError, match="was changed"):
        load_model(registry, "m@1")
