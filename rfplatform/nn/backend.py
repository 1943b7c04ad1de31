"""The library that Keras runs on: its random numbers, its devices, its event files."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from rfplatform.errors import MissingError

_PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}


def seed_everything(seed: int) -> None:
    """Begin all random numbers of Python, NumPy and the backend anew.

    Parameters
    ----------
    seed : int
        0 or more. Networks that are built next have the same weights for the same seed.
    """
    keras.utils.set_random_seed(seed)


def backend_facts() -> dict[str, Any]:
    """What a training runs on.

    Returns
    -------
    dict
        "keras" and "backend_version" (texts), "backend" ("tensorflow", "jax", "torch"), "devices"
        (a list of texts: the GPUs where there is one, else the CPU).
    """
    name = keras.backend.backend()
    return {
        "keras": keras.__version__,
        "backend": name,
        "backend_version": importlib.metadata.version(_PACKAGES.get(name, name)),
        "devices": _devices(name),
    }


def _devices(backend: str) -> list[str]:
    if backend == "torch":
        import torch

        count = torch.cuda.device_count()
        return [torch.cuda.get_device_name(i) for i in range(count)] or ["cpu"]
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        told = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return [str(details.get("device_name", "gpu")) for details in told] or ["cpu"]
    return [str(device) for device in keras.distribution.list_devices()]


class EventLog:
    """Event files of a training for TensorBoard: every number of every epoch, as a scalar.

    Parameters
    ----------
    folder : Path
        Emptied first: the whole history is written into it.

    Raises
    ------
    MissingError
        If TensorFlow, which writes them, is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorflow as tf
        except ImportError as error:
            raise MissingError(
                "event files for TensorBoard are written by TensorFlow, which is missing: "
                "pip install tensorflow, or leave --tensorboard out"
            ) from error
        shutil.rmtree(folder, ignore_errors=True)
        self._summary = tf.summary
        self._writer = tf.summary.create_file_writer(str(folder))
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        self._scalar = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
        self._rows = 0

    def write(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write the epochs that it has not written yet, counted from 1."""
        with self._writer.as_default():
            for row in history[self._rows :]:
                for name, value in row.items():
                    if name != "epoch":
                        step = int(row["epoch"]) + 1
                        self._summary.write(name, value, step=step, metadata=self._scalar)
        self._rows = len(history)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
