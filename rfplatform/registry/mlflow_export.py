"""An artifact as a run of an MLflow tracking server; a model becomes a model version there, too."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.card import flat, scores_of

if TYPE_CHECKING:
    from rfplatform.registry.artifact import Artifact
    from rfplatform.registry.registry import Registry

EXPERIMENT = "rfplatform"
LONGEST_PARAM, LONGEST_TAG = 6000, 5000
"""What MLflow's databases hold of a value."""

_ENVIRONMENT = {
    # Whoever exports to a server of theirs has not asked MLflow to report it elsewhere.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # MLflow's own seven tries take minutes to tell that there is no server.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


@dataclass(frozen=True)
class Export:
    """Where an artifact is to be found.

    Attributes
    ----------
    run_id, experiment : str
    model, model_version : str
        Empty for what is no model.
    """

    run_id: str
    experiment: str
    model: str = ""
    model_version: str = ""


def export_mlflow(
    registry: Registry, ref: str, tracking_uri: str, *, experiment: str = EXPERIMENT
) -> Export:
    """Log an artifact to MLflow: configuration, scores, hashes, licence, parents and files.

    Parameters
    ----------
    registry : Registry
    ref : str
    tracking_uri : str
        As MLflow takes it: ``http://host:5000``, ``sqlite:///mlflow.db``.
    experiment : str
        Made if need be.

    Returns
    -------
    Export

    Raises
    ------
    InputError
        If there is no such artifact, or MLflow can't use the URI.
    MissingError
        If MLflow is not installed, or its server does not answer.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingError(
            f"MLflow is not installed ({error}); pip install rfplatform[mlflow]"
        ) from error
    artifact = registry.get(ref)
    files = {f.path: registry.path(artifact.ref, f.path) for f in artifact.files}
    try:
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        run_id = _run(client, artifact, experiment, tracking_uri)
        try:
            _log(client, run_id, artifact, files, scores_of(registry, artifact))
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id)
        version = _model_version(client, artifact, run_id) if artifact.kind == "model" else ""
    except MlflowException as error:
        raise _told(tracking_uri, error) from error
    except OSError as error:
        raise MissingError(f"{tracking_uri}: {error}") from error
    model = _model_name(artifact) if version else ""
    return Export(run_id, experiment, model, version)


def _log(
    client: Any,  # noqa: ANN401
    run_id: str,
    artifact: Artifact,
    files: Mapping[str, Path],
    scores: Sequence[Mapping[str, Any]],
) -> None:
    for name, value in flat(artifact.config).items():
        client.log_param(run_id, _key(name), value[:LONGEST_PARAM])
    for name, number in metrics(scores).items():
        client.log_metric(run_id, _key(name), number)
    for path, local in files.items():
        client.log_artifact(run_id, str(local), path.rpartition("/")[0] or None)


def metrics(scores: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Scores by "benchmark/case/metric", each with its baseline's beside it."""
    found: dict[str, float] = {}
    for score in scores:
        name = "/".join(str(score[k]) for k in ("benchmark", "case", "metric") if score.get(k))
        for suffix, key in (("", "value"), (" baseline", "baseline_value")):
            if isinstance(score.get(key), int | float):
                found[f"{name}{suffix}"] = float(score[key])
    return found


def _run(client: Any, artifact: Artifact, experiment: str, uri: str) -> str:  # noqa: ANN401
    known = client.get_experiment_by_name(experiment)
    place = (
        known.experiment_id
        if known
        else client.create_experiment(experiment, artifact_location=_beside(uri))
    )
    tags = {name: value[:LONGEST_TAG] for name, value in _tags(artifact).items() if value}
    run = client.create_run(place, run_name=artifact.ref, tags=tags)
    return str(run.info.run_id)


def _beside(uri: str) -> str | None:
    """A folder beside a database file, which MLflow would make wherever the command runs."""
    path = uri.removeprefix("sqlite:///")
    return None if path == uri else (Path(path).absolute().parent / "mlartifacts").as_uri()


def _tags(artifact: Artifact) -> Mapping[str, str]:
    return {
        "rfplatform.ref": artifact.ref,
        "rfplatform.kind": artifact.kind,
        "rfplatform.digest": artifact.digest(),
        "rfplatform.parents": " ".join(artifact.parents),
        "rfplatform.licence": artifact.licence,
        "rfplatform.citation": artifact.citation,
        "rfplatform.schema": artifact.schema,
        "mlflow.note.content": artifact.title,
        **{f"sha256.{_key(f.path)}": f.sha256 for f in artifact.files},
    }


def _model_version(client: Any, artifact: Artifact, run_id: str) -> str:  # noqa: ANN401
    from mlflow.exceptions import MlflowException

    name = _model_name(artifact)
    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name, description=artifact.title)
    source = client.get_run(run_id).info.artifact_uri
    made = client.create_model_version(
        name, source, run_id, tags={"rfplatform.version": artifact.version}
    )
    return str(made.version)


def _model_name(artifact: Artifact) -> str:
    return artifact.name.replace("/", ".")  # MLflow's names hold no slash


def _key(name: str) -> str:
    """A name as MLflow takes it."""
    kept = "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)
    return kept[:250]


def _told(uri: str, error: Any) -> InputError | MissingError:  # noqa: ANN401
    text = " ".join(str(error).split())
    if "Max retries" in text or "Connection" in text:
        return MissingError(f"{uri}: no MLflow server answers there")
    return InputError(f"{uri}: {text[:300]}")
