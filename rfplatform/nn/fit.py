"""Training: one loop for every network, with checkpoints from which it goes on after a kill."""

from __future__ import annotations

import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from rfplatform.errors import InputError
from rfplatform.nn import Tensor

Array = npt.NDArray[np.float32]
Batches = Callable[[int], Iterator[tuple[Array, Array]]]
"""From the number of an epoch to its batches, inputs and targets; the same for the same number."""

Score = Callable[[keras.Model], Mapping[str, float]]
Row = Mapping[str, float]
"""What is known of an epoch: "epoch", "loss", the scores, "seconds"."""


class Baseline(NamedTuple):
    """What a score is to be compared with: its name for people, and how well it does."""

    name: str
    value: float


@dataclass(frozen=True, eq=False)
class Stage:
    """One network of a model, ready to be trained; those of a cascade come one after the other.

    Attributes
    ----------
    name : str
        Begins the names of its weights.
    model : keras.Model
    loss : callable
        Of targets and predictions, to a scalar.
    batches : callable
        The training examples.
    steps_per_epoch : int
        How many batches of an epoch there are.
    score : callable
        Of the model after every epoch, over the validation examples.
    watched : str
        The score that decides which weights are kept; lower is better.
    learning_rate : float
        The highest; it rises over the first twentieth and falls to a hundredth along a cosine.
    epochs_share : float
        Of the epochs that were asked for.
    baselines : mapping of str to Baseline
        By the name of a score, over the same validation examples. Scores without one go into the
        history, but are not told of a model.
    """

    name: str
    model: keras.Model
    loss: Callable[[Tensor, Tensor], Tensor]
    batches: Batches
    steps_per_epoch: int
    score: Score
    watched: str
    learning_rate: float = 1e-3
    epochs_share: float = 1.0
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epochs_share"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise InputError(f"{name} {value:g}: must be more than 0")
        if self.steps_per_epoch < 1:
            raise InputError(f"{self.name}: there is not a single batch to train on")


CHECKPOINT, BEST, HISTORY = "checkpoint.npz", "best.npz", "history.json"


@dataclass(frozen=True)
class FitConfig:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        At most.
    weight_decay : float
        Of AdamW.
    clip_norm : float
        Of the gradient.
    patience : int
        Epochs without a better score after which training ends.
    """

    epochs: int
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    patience: int = 10

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be 1 or more")
        if not 0.0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay {self.weight_decay:g}: must be 0 or more")
        if not 0.0 < self.clip_norm < math.inf:
            raise InputError(f"clip_norm {self.clip_norm:g}: must be more than 0")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A training so far.

    Attributes
    ----------
    history : list of mapping
        Of each epoch: "epoch", "loss", the scores, "seconds".
    best_epoch : int
        Counted from 0; -1 before the first.
    stopped_by : str
        "epochs", "patience" or "interrupted".
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    stopped_by: str = "epochs"


@dataclass(frozen=True)
class FitProgress:
    """Where a training stands.

    Attributes
    ----------
    epoch, epochs, step, steps : int
    loss : float
        Mean of the epoch so far.
    scores : mapping
        Of the last whole epoch.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    scores: Mapping[str, float]


@keras.saving.register_keras_serializable("rfplatform")
class WarmCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A learning rate that rises linearly and falls along a cosine (Loshchilov, Hutter 2017)."""

    def __init__(self, highest: float, steps: int) -> None:
        self.highest, self.steps = highest, steps

    def __call__(self, step: Tensor) -> Tensor:
        share = ops.cast(step, "float32") / self.steps
        rise = ops.minimum(share / 0.05, 1.0)
        fall = 0.01 + 0.99 * 0.5 * (1.0 + ops.cos(math.pi * ops.minimum(share, 1.0)))
        return self.highest * rise * fall

    def get_config(self) -> dict[str, Any]:
        return {"highest": self.highest, "steps": self.steps}


def fit(
    stage: Stage,
    config: FitConfig,
    folder: Path,
    progress: Callable[[FitProgress], None] | None = None,
    after_epoch: Callable[[Sequence[Row]], None] | None = None,
) -> Fitted:
    """Train until the epochs are over or the score gets no better; the best weights stay in it.

    Begun again on the same folder, it goes on after the last whole epoch, as if it had never
    stopped: the optimizer's state and the network's random generators are kept, too.

    Parameters
    ----------
    stage : Stage
    config : FitConfig
    folder : Path
        For checkpoints and the history; made if need be.
    progress : callable, optional
        Called after every batch.
    after_epoch : callable, optional
        Called with the history after every epoch, once it is kept.

    Returns
    -------
    Fitted
        "interrupted" after Ctrl-C; what was trained since the last whole epoch is lost.

    Raises
    ------
    InputError
        If the folder holds a training with other options or of another network, or a damaged
        one; if the loss or the score is no finite number any more.
    """
    model, watched = stage.model, stage.watched
    optimizer = keras.optimizers.AdamW(
        WarmCosine(stage.learning_rate, config.epochs * stage.steps_per_epoch),
        weight_decay=config.weight_decay,
        clipnorm=config.clip_norm,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, loss=stage.loss)
    folder.mkdir(parents=True, exist_ok=True)
    history = _resumed(model, optimizer, config, folder)
    if history and _best(history, watched) == len(history) - 1:
        _save(folder / BEST, weights(model))  # a kill may have come between the two files
    stopped_by = "epochs"
    try:
        for epoch in range(len(history), config.epochs):
            if history and epoch - _best(history, watched) > config.patience:
                stopped_by = "patience"
                break
            started = time.monotonic()
            mean = _epoch(stage, epoch, config, history, progress)
            row = {"epoch": float(epoch), "loss": mean, **stage.score(model)}
            row["seconds"] = time.monotonic() - started
            _require_finite(row[watched], watched, epoch, stage)
            _checkpoint(model, optimizer, [*history, row], config, folder)
            history.append(row)
            if _best(history, watched) == epoch:
                _save(folder / BEST, weights(model))
            if after_epoch is not None:
                after_epoch(tuple(history))
    except KeyboardInterrupt:
        stopped_by = "interrupted"
    if history and (folder / BEST).is_file():
        with np.load(folder / BEST) as best:
            set_weights(model, dict(best))
    return Fitted(history, _best(history, watched) if history else -1, stopped_by)


def weights(model: keras.Model) -> dict[str, Array]:
    """Every variable of a model by its path."""
    return {v.path: np.asarray(ops.convert_to_numpy(v)) for v in model.variables if _counts(v)}


def set_weights(model: keras.Model, values: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model the variables that `weights` gave.

    Raises
    ------
    InputError
        If a variable lacks a value, has another shape, or a value has no variable.
    """
    mine = {v.path: v for v in model.variables if _counts(v)}
    if len(mine) != sum(map(_counts, model.variables)):
        raise ValueError(f"{model.name}: two of its weights have one name")
    if wrong := sorted(mine.keys() ^ values.keys()):
        raise InputError(f"weights are of another network: {', '.join(wrong[:3])} ...")
    for path, variable in mine.items():
        if tuple(variable.shape) != values[path].shape:
            raise InputError(
                f"weights of {path} have shape {values[path].shape}, expected "
                f"{tuple(variable.shape)}"
            )
        variable.assign(values[path])


def _generators(model: keras.Model) -> list[keras.Variable]:
    """States of a network's random generators, such as those of dropout."""
    return [v for v in model.variables if not _counts(v)]


def _counts(variable: keras.Variable) -> bool:
    """Whether a variable is a part of the network, rather than a random generator's state."""
    return "seed_generator" not in variable.path


def _epoch(
    stage: Stage,
    epoch: int,
    config: FitConfig,
    history: list[dict[str, float]],
    progress: Callable[[FitProgress], None] | None,
) -> float:
    total, steps = 0.0, 0
    for x, y in stage.batches(epoch):
        total += float(stage.model.train_on_batch(x, y))
        stage.model.reset_metrics()
        steps += 1
        _require_finite(total, "loss", epoch, stage)
        if progress is not None:
            scores = history[-1] if history else {}
            progress(
                FitProgress(
                    epoch, config.epochs, steps, stage.steps_per_epoch, total / steps, scores
                )
            )
    return total / max(steps, 1)


def _require_finite(value: float, name: str, epoch: int, stage: Stage) -> None:
    if not math.isfinite(value):
        raise InputError(
            f"{stage.name}: the {name} is {value} in epoch {epoch + 1}: lower the learning rate "
            f"({stage.learning_rate:g})"
        )


def _best(history: list[dict[str, float]], watched: str) -> int:
    return int(np.argmin([row[watched] for row in history]))


def _checkpoint(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    history: list[dict[str, float]],
    config: FitConfig,
    folder: Path,
) -> None:
    state = {f"model/{k}": v for k, v in weights(model).items()}
    # By number: Keras counts their names on in a process.
    for kind, variables in (("random", _generators(model)), ("optimizer", optimizer.variables)):
        state |= {
            f"{kind}/{i}": np.asarray(ops.convert_to_numpy(v)) for i, v in enumerate(variables)
        }
    about = json.dumps({"config": asdict(config), "history": history})
    state["about"] = np.frombuffer(about.encode(), np.uint8)
    _save(folder / CHECKPOINT, state)
    part = folder / f".{HISTORY}.part"
    part.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / HISTORY)


def _resumed(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, config: FitConfig, folder: Path
) -> list[dict[str, float]]:
    """Put model and optimizer where the checkpoint of a folder left them; the history."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as archive:
            kept = dict(archive)
        about = json.loads(kept.pop("about").tobytes())
        history: list[dict[str, float]] = about["history"]
        is_same = about["config"] == asdict(config)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: is damaged, or no checkpoint ({error}); remove it to begin anew"
        ) from error
    if not is_same:
        raise InputError(
            f"{path} is of a training with other options; give them again, or another folder"
        )
    try:
        _restore(model, optimizer, kept)
    except (InputError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is of another network ({error}); give another folder, or remove it"
        ) from error
    return history


def _restore(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    kept: Mapping[str, npt.NDArray[Any]],
) -> None:
    start = "model/"
    set_weights(model, {k.removeprefix(start): v for k, v in kept.items() if k.startswith(start)})
    for kind, variables in (("random", _generators(model)), ("optimizer", optimizer.variables)):
        for i, variable in enumerate(variables):
            variable.assign(kept[f"{kind}/{i}"])


def _save(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write, then rename: a kill leaves the old file or the new one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
