"""An artifact in a real MLflow tracking store; one of files, as a database takes long to make."""

import builtins

import numpy as np
import pytest

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.mlflow_export import export_mlflow
from rfplatform.registry.models import Model, save_model
from rfplatform.registry.registry import Registry


@pytest.fixture
def registry(tmp_path):
    found = Registry(tmp_path / "home")
    save_model(
        found,
        "models/unet@2",
        Model("radio-unet", {}, {"w": np.ones(10, np.float32)}),
        parents=["maps/town@1", "maps/town@2"],
        metrics=[
            {
                "benchmark": "learned:towns", "case": "one", "metric": "RMSE", "value": 6.5,
                "baseline": "tr38901-uma", "baseline_value": 11.0,
            }
        ],
        title="U-Net",
        config={"epochs": 20, "optimizer": {"name": "adam"}},
    )  # fmt: skip
    return found


def test_a_model_becomes_a_run_and_a_model_version(registry, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    export = export_mlflow(registry, "models/unet", uri)
    again = export_mlflow(registry, "models/unet", uri)
    assert (export.model, export.model_version, again.model_version) == ("models.unet", "1", "2")

    client = MlflowClient(uri, registry_uri=uri)
    run = client.get_run(export.run_id)
    artifact = registry.get("models/unet")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "20", "optimizer.name": "adam"}
    # MLflow's names hold no colon.
    assert run.data.metrics == {
        "learned_towns/one/RMSE": 6.5,
        "learned_towns/one/RMSE baseline": 11.0,
    }
    tags = run.data.tags
    assert tags["rfplatform.ref"] == "models/unet@2"
    assert tags["rfplatform.parents"] == "maps/town@1 maps/town@2"
    assert tags["rfplatform.licence"] == "Apache-2.0"
    assert tags["rfplatform.digest"] == artifact.digest()
    assert tags["sha256.weights.safetensors"] == artifact.file("weights.safetensors").sha256
    names = {entry.path for entry in client.list_artifacts(export.run_id)}
    assert names == {"model.json", "weights.safetensors"}
    version = client.get_model_version("models.unet", "1")
    assert version.run_id == export.run_id
    assert version.tags == {"rfplatform.version": "2"}

    with pytest.raises(InputError, match="unknown artifact"):
        export_mlflow(registry, "models/none", uri)


def test_without_mlflow_it_says_what_to_install(registry, monkeypatch):
    real = builtins.__import__

    def lacking(name: str, *rest: object, **more: object) -> object:
        if name.partition(".")[0] == "mlflow":
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingError, match=r"pip install rfplatform\[mlflow\]"):
        export_mlflow(registry, "models/unet", "sqlite:///x.db")
