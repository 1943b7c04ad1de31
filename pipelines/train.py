"""A data set of traced windows to a trained model in the registry."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from pipelines.scene import Report, plain, versions
from pipelines.train_source import Data, found_data, read_data
from rfplatform.catalog import Trainable, find_trainable
from rfplatform.errors import InputError, MissingError, unknown_name
from rfplatform.formats.learning_curves import score_label, write_learning_curves
from rfplatform.propagation.lesson import Lesson
from rfplatform.propagation.unet import with_weights
from rfplatform.registry.artifact import Artifact, parse_ref
from rfplatform.registry.models import (
    DESCRIPTION,
    WEIGHTS,
    Model,
    load_model,
    pack_weights,
    save_model,
    unpack_weights,
)
from rfplatform.registry.registry import Registry
from rfplatform.staging import require_free, staged

if TYPE_CHECKING:
    import keras

    from rfplatform.nn.fit import FitProgress, Fitted, Row, Stage

RECORD = "train.json"
"""In the output's folder: what decides the training, so that it goes on only with the same."""

EVENTS = "events"
DRAWN_EVERY_S = 20.0
"""Learning curves are drawn anew no more often."""

_WATCHED = (
    "the scores are over the towns that decided when to stop: `rfplatform bench maps:unseen-town` "
    "scores towns that no training saw"
)


@dataclass(frozen=True)
class Config:
    """What to train, on what, and where to.

    Attributes
    ----------
    model : str
        Of `catalog.MODELS`.
    data : str
        A data set of the registry, "windows/NAME@VERSION" or the newest "windows/NAME"; a
        ``.zarr.zip``; a folder that `rfplatform train-data` filled; or one of single windows.
    epochs : int
        At most; of a model's later networks some share of them.
    patience : int
        Epochs without a better score after which a network's training ends.
    seed : int
        Decides first weights, order and augmentation.
    settings : tuple of str
        Hyperparameters as "NAME=VALUE".
    begin_from : str
        "models/NAME@VERSION" whose weights it begins with; "": random ones.
    val : str
        Towns for validation, with commas between them: of a folder of single windows only.
    out : Path, optional
        By default ``out/train-`` and the model.
    name : str, optional
        "models/NAME@VERSION" or "models/NAME" in the registry; by default ``models/`` and the
        model. Without a version it is the beginning of the weights' hash.
    tensorboard : bool
        Whether to write event files for TensorBoard, too.
    overwrite : bool
        Begin anew where the folder holds a training.
    """

    model: str
    data: str
    epochs: int = 40
    patience: int = 10
    seed: int = 1
    settings: tuple[str, ...] = ()
    begin_from: str = ""
    val: str = ""
    out: Path | None = None
    name: str | None = None
    tensorboard: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Progress:
    """How far it is.

    Attributes
    ----------
    stage : str
        The network that is trained.
    number, stages : int
        Which one, from 1, and how many there are.
    epoch, epochs, step, steps : int
        The epoch, from 1, and the batch.
    loss : float
        Mean of the epoch so far.
    scores : mapping of str to float
        Of the last whole epoch.
    elapsed_s : float
        Of this run.
    left_s : float or None
        Of this network at most; None before it can be told.
    """

    stage: str
    number: int
    stages: int
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    scores: Mapping[str, float]
    elapsed_s: float
    left_s: float | None


# ----------------------------------------------------------------------------------------------
# What is asked for
# ----------------------------------------------------------------------------------------------


def network_of(name: str, settings: Sequence[str] = ()) -> Trainable:
    """A model's configuration with some hyperparameters set.

    Parameters
    ----------
    name : str
        Of `catalog.MODELS`.
    settings : sequence of str
        "NAME=VALUE", read by the type that the configuration's field has; the last of a name
        counts.

    Raises
    ------
    InputError
        If there is no such model, no such hyperparameter, or it can't have that value.
    """
    config = find_trainable(name).config
    default = config()
    kinds = get_type_hints(config)
    known = [f.name for f in fields(config)]  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for text in settings:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise InputError(f"--set {text}: must be NAME=VALUE, of {', '.join(known)}")
        if key not in known:
            raise unknown_name(f"setting of {name}", key, known)
        try:
            given[key] = _value(value, kinds[key])
        except ValueError:
            as_in = f"{key}={_text(getattr(default, key))}"
            raise InputError(f"--set {text}: must be {_kind(kinds[key])}, as {as_in}") from None
    return config(**given)


def _value(text: str, kind: Any) -> Any:  # noqa: ANN401  (any field's)
    if get_origin(kind) is tuple:
        return tuple(_value(part, get_args(kind)[0]) for part in text.split(","))
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    value = kind(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _kind(kind: Any) -> str:  # noqa: ANN401
    if get_origin(kind) is tuple:
        return f"{_kind(get_args(kind)[0])}, or several with commas between them"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# ----------------------------------------------------------------------------------------------
# The run
# ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Course:
    """A run, network after network."""

    config: Config
    network: Trainable
    out: Path
    progress: Callable[[Progress], None]
    report: Report
    begun: Model | None = None
    started: float = field(default_factory=time.monotonic)
    fitted: list[keras.Model] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)

    def train(self, number: int, training: Sequence[Lesson], validation: Sequence[Lesson]) -> None:
        """Train a network, and keep it as it will be on disk: in float16."""
        from rfplatform.nn.backend import EventLog, seed_everything
        from rfplatform.nn.fit import FitConfig, fit

        config = self.config
        self.report(f"Preparing network {number + 1} of {self.network.num_stages}")
        seed_everything(config.seed + number)  # so that an earlier network's course decides nothing
        stage = self.network.stage(number, self.fitted, training, validation, seed=config.seed)
        if self.begun is not None:
            with_weights(stage.model, self.begun.weights, stage.name)
        epochs = max(1, round(config.epochs * stage.epochs_share))
        folder = self.out / stage.name
        log = EventLog(folder / EVENTS) if config.tensorboard else None
        curves = _Curves(stage, self._title(stage), self.out / f"{stage.name}.png")

        def after_epoch(history: Sequence[Row]) -> None:
            curves.draw(history)
            if log is not None:
                log.write(history)

        fitted = fit(
            stage,
            FitConfig(epochs, patience=config.patience),
            folder,
            self._teller(stage, number),
            after_epoch,
        )
        if log is not None:
            log.write(fitted.history)
            log.close()
        if fitted.history:
            curves.draw(fitted.history, last=True)
        if fitted.stopped_by == "interrupted":
            raise KeyboardInterrupt
        self._keep(stage, fitted)

    def _keep(self, stage: Stage, fitted: Fitted) -> None:
        from rfplatform.nn.fit import set_weights, weights

        self.report(f"Scoring {stage.name}")
        halves = unpack_weights(pack_weights(weights(stage.model)))
        set_weights(stage.model, halves)
        scores = {name: float(value) for name, value in stage.score(stage.model).items()}
        self.fitted.append(stage.model)
        self.weights |= {f"{stage.name}/{name}": array for name, array in halves.items()}
        self.stages.append(
            {
                "name": stage.name,
                "parameters": int(sum(array.size for array in halves.values())),
                "epochs": len(fitted.history),
                "best_epoch": fitted.best_epoch + 1,
                "stopped_by": fitted.stopped_by,
                "seconds": round(sum(row["seconds"] for row in fitted.history), 1),
                "scores": scores,
                "metrics": _metrics(stage, scores, self.network.num_stages > 1),
                "curves": str(self.out / f"{stage.name}.png"),
            }
        )

    def _title(self, stage: Stage) -> str:
        alone = self.network.num_stages == 1
        return self.config.model if alone else f"{self.config.model}: {stage.name}"

    def _teller(self, stage: Stage, number: int) -> Callable[[FitProgress], None]:
        began, first = time.monotonic(), -1

        def tell(now: FitProgress) -> None:
            nonlocal first
            at = now.epoch * now.steps + now.step
            first = at - 1 if first < 0 else first
            elapsed_s = time.monotonic() - began
            left = now.epochs * now.steps - at
            scores = {k: v for k, v in now.scores.items() if k not in ("epoch", "loss", "seconds")}
            self.progress(
                Progress(
                    stage=stage.name,
                    number=number + 1,
                    stages=self.network.num_stages,
                    epoch=now.epoch + 1,
                    epochs=now.epochs,
                    step=now.step,
                    steps=now.steps,
                    loss=now.loss,
                    scores=scores,
                    elapsed_s=time.monotonic() - self.started,
                    left_s=left * elapsed_s / (at - first) if at - first > 1 else None,
                )
            )

        return tell


@dataclass(eq=False)
class _Curves:
    """A picture that is drawn anew now and then."""

    stage: Stage
    title: str
    path: Path
    drawn: float = -math.inf

    def draw(self, history: Sequence[Row], *, last: bool = False) -> None:
        if not last and time.monotonic() - self.drawn < DRAWN_EVERY_S:
            return
        watched = [row[self.stage.watched] for row in history]
        write_learning_curves(
            history,
            self.path,
            title=self.title,
            baselines=self.stage.baselines,
            best_epoch=watched.index(min(watched)),
            overwrite=True,
        )
        self.drawn = time.monotonic()


def _metrics(
    stage: Stage, scores: Mapping[str, float], is_one_of_several: bool
) -> list[dict[str, Any]]:
    return [
        {
            "benchmark": "validation towns",
            **({"case": stage.name} if is_one_of_several else {}),
            "metric": score_label(name),
            "unit": "dB" if name.endswith("_db") else "",
            "value": round(scores[name], 4),
            "baseline": baseline.name,
            "baseline_value": round(float(baseline.value), 4),
            "better": "lower",
        }
        for name, baseline in stage.baselines.items()
        if name in scores
    ]


def main(
    config: Config,
    *,
    progress: Callable[[Progress], None] | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train a model, or go on training it, and take it into the registry.

    Parameters
    ----------
    config : Config
    progress : callable, optional
        Told after every batch.
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        "model", "out", "data", "registered" (its full name), "parameters", "weights_bytes",
        "stages" (of each network "name", "parameters", "epochs", "best_epoch" from 1,
        "stopped_by", "seconds", "scores", "metrics", "curves"), "training" and "validation"
        ("towns", "windows", "maps"), "backend", "seconds" (of all runs together), "outputs",
        "attribution", "warnings".

    Raises
    ------
    InputError
        Anything wrong in the options or the data; a folder with another training.
    MissingError
        If Keras or its backend is not installed.
    KeyboardInterrupt
        After Ctrl-C: what was trained up to the last whole epoch is kept.
    """
    tell = report or (lambda _: None)
    network = network_of(config.model, config.settings)
    _require_sane(config)
    registry = Registry.default()
    tell("Starting the backend")
    backend = _start_backend()
    tell("Looking for the data set")
    data = found_data(config.data, config.val)
    out = config.out or Path("out") / f"train-{config.model}"
    begun = _begun(config, network, registry)
    _prepare(out, config, network, data, registry)
    tell("Reading the data set")
    training, validation = read_data(data)
    course = _Course(config, network, out, progress or (lambda _: None), tell, begun)
    for number in range(network.num_stages):
        course.train(number, training, validation)
    tell("Writing the model")
    sides = {"training": _side(training), "validation": _side(validation)}
    artifact = _registered(registry, course, data, sides, backend)
    _copy(registry, artifact, out / "model")
    return _record(course, artifact, data, sides, backend)


def _begun(config: Config, network: Trainable, registry: Registry) -> Model | None:
    """The model to begin with, if any: it must be of the same architecture."""
    if not config.begin_from:
        return None
    found = load_model(registry, config.begin_from)
    if (found.type, found.config) != (config.model, network.architecture()):
        raise InputError(
            f"--from {config.begin_from}: is a {found.type} of another shape ({found.config}); "
            "train one of its shape (--set), or begin without it"
        )
    return found


def _require_sane(config: Config) -> None:
    for name in ("epochs", "patience"):
        if getattr(config, name) < 1:
            raise InputError(f"--{name} {getattr(config, name)}: must be 1 or more")
    if not 0 <= config.seed < 2**32 - 8:
        raise InputError(f"--seed {config.seed}: must be 0 or more, and fit 32 bits")
    parse_ref(_name(config))


def _name(config: Config) -> str:
    return config.name or f"models/{config.model}"


def _start_backend() -> dict[str, Any]:
    from rfplatform.nn.quiet import quiet_start
    from rfplatform.propagation.unet import require_keras

    require_keras()
    try:
        with quiet_start():
            from rfplatform.nn.backend import backend_facts

            return backend_facts()
    except ImportError as error:
        raise MissingError(
            f"Keras can't start its backend ({error}): install the one that KERAS_BACKEND names"
        ) from error


def _prepare(out: Path, config: Config, network: Trainable, data: Data, registry: Registry) -> None:
    """Make the folder, or see that it holds the beginning of the very same training."""
    decides = plain(
        {
            "model": config.model,
            "network": asdict(network),  # type: ignore[call-overload]
            "data": data.key,
            "val": sorted(data.val),
            "epochs": config.epochs,
            "patience": config.patience,
            "seed": config.seed,
            **({"from": config.begin_from} if config.begin_from else {}),
        }
    )
    record = out / RECORD
    before = _before(record)
    is_again = before is not None and config.overwrite
    if before is None and config.overwrite and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out} holds something else than a training: choose another --out")
    if before is None:
        require_free(out, overwrite=False)
    if before is None or is_again:
        name, version = parse_ref(_name(config))
        if version is not None and registry.has(f"{name}@{version}"):
            raise InputError(f"{name}@{version} is in the registry already: give another version")
        if is_again:
            _clear(out)
        with staged(record) as partial:
            partial.write_text(json.dumps(decides, indent=2) + "\n", encoding="utf-8")
    elif before != decides:
        others = sorted(
            k for k in decides.keys() | before.keys() if decides.get(k) != before.get(k)
        )
        raise InputError(
            f"{out} holds a training with another {', '.join(others)}: give the same again, "
            "another --out, or --overwrite to begin anew"
        )


def _before(record: Path) -> dict[str, Any] | None:
    if not record.is_file():
        return None
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{record}: is damaged ({error}); remove it to begin anew") from error
    return before if isinstance(before, dict) else {}


def _clear(out: Path) -> None:
    """Remove what an earlier training left, and nothing else; the record that it was one last."""
    from rfplatform.nn.fit import BEST, CHECKPOINT, HISTORY

    for folder in [p for p in out.iterdir() if p.is_dir()]:
        if (folder / CHECKPOINT).is_file():
            out.joinpath(f"{folder.name}.png").unlink(missing_ok=True)
            shutil.rmtree(folder / EVENTS, ignore_errors=True)
        is_model = folder.name == "model"
        for name in (DESCRIPTION, WEIGHTS) if is_model else (CHECKPOINT, BEST, HISTORY):
            folder.joinpath(name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    (out / RECORD).unlink()


# ----------------------------------------------------------------------------------------------
# What is told of it
# ----------------------------------------------------------------------------------------------


def _side(lessons: Sequence[Lesson]) -> dict[str, Any]:
    towns: dict[str, int] = {}
    for lesson in lessons:
        towns[lesson.town] = towns.get(lesson.town, 0) + 1
    sectors = [sector for lesson in lessons for sector in lesson.sectors]
    return {
        "towns": dict(sorted(towns.items())),
        "windows": len(lessons),
        "maps": len(sectors),
        "carriers_hz": sorted({float(sector.frequency_hz) for sector in sectors}),
    }


def _registered(
    registry: Registry,
    course: _Course,
    data: Data,
    sides: Mapping[str, Mapping[str, Any]],
    backend: Mapping[str, Any],
) -> Artifact:
    config, network = course.config, course.network
    name, version = parse_ref(_name(config))
    version = version or hashlib.sha256(pack_weights(course.weights)).hexdigest()[:16]
    ref = f"{name}@{version}"
    if registry.has(ref) and not config.name:
        return registry.get(ref)  # the same weights, taken in by an earlier run
    stages = [
        {k: v for k, v in stage.items() if k not in ("metrics", "curves")}
        for stage in course.stages
    ]
    return save_model(
        registry,
        ref,
        Model(config.model, network.architecture(), course.weights, network.inputs()),
        parents=[
            data.parent(registry),
            *([registry.get(config.begin_from).ref] if config.begin_from else []),
        ],
        metrics=[row for stage in course.stages for row in stage["metrics"]],
        title=f"{find_trainable(config.model).summary}",
        config={
            **plain(asdict(network)),  # type: ignore[call-overload]
            "epochs": config.epochs,
            "patience": config.patience,
            "seed": config.seed,
            **({"from": config.begin_from} if config.begin_from else {}),
        },
        facts={
            "training": dict(sides["training"]),
            "validation": dict(sides["validation"]),
            "networks": [{k: v for k, v in stage.items() if k != "seconds"} for stage in stages],
            "limits": _limits(sides["training"], network),
        },
        run={
            "seconds": round(sum(stage["seconds"] for stage in stages), 1),
            "host": platform.node(),
            "machine": f"{platform.system()} {platform.machine()}",
            **backend,
            "versions": versions(),
        },
    )


def _limits(training: Mapping[str, Any], network: Trainable) -> list[str]:
    carriers = [hz / 1e9 for hz in training["carriers_hz"]]
    seen = f"{carriers[0]:g}" if len(carriers) == 1 else f"{carriers[0]:g} to {carriers[-1]:g}"
    resolution_m = network.inputs().get("resolution_m")
    return [
        f"learned from ray-traced maps of {len(training['towns'])} towns, at {seen} GHz: what ray "
        "tracing leaves out (vegetation, vehicles, materials that differ) it does not know",
        *([f"cells of {resolution_m:g} m only"] if resolution_m else []),
        _WATCHED,
    ]


def _copy(registry: Registry, artifact: Artifact, folder: Path) -> None:
    """The two files beside the checkpoints, so that they can be passed on."""
    with staged(folder, overwrite=True) as partial:
        partial.mkdir()
        for name in (DESCRIPTION, WEIGHTS):
            shutil.copyfile(registry.path(artifact.ref, name), partial / name)


def _record(
    course: _Course,
    artifact: Artifact,
    data: Data,
    sides: Mapping[str, Any],
    backend: Mapping[str, Any],
) -> dict[str, Any]:
    stages = course.stages
    unscored = [stage["name"] for stage in stages if not stage["metrics"]]
    worse = [
        f"{stage['name']}: {row['metric']} {row['value']:.4g} is no better than {row['baseline']} "
        f"({row['baseline_value']:.4g})"
        for stage in stages
        for row in stage["metrics"]
        if row["value"] >= row["baseline_value"]
    ]
    return {
        "model": course.config.model,
        "out": str(course.out),
        "data": data.where,
        "registered": artifact.ref,
        "parameters": artifact.facts["parameters"],
        "weights_bytes": artifact.facts["weights_bytes"],
        "stages": stages,
        **sides,
        "backend": dict(backend),
        "seconds": round(sum(stage["seconds"] for stage in stages), 1),
        "outputs": sorted(
            [f"model/{DESCRIPTION}", f"model/{WEIGHTS}"] + [Path(s["curves"]).name for s in stages]
        ),
        "attribution": "",
        "warnings": [
            *artifact.facts["warnings"],
            *worse,
            *(f"{name}: has no baseline to be compared with" for name in unscored),
        ],
    }
