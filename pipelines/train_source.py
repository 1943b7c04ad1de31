"""The data set that a model is trained on: of the registry, a file, or a folder of windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.batch.inputs import hash_of_files, input_artifact
from pipelines.registered import register_input
from pipelines.scene import sha256
from pipelines.window import FOLDER
from rfplatform.errors import InputError
from rfplatform.propagation.lesson import Lesson, read_lesson
from rfplatform.propagation.lesson_set import FILE, Split, lesson_towns, read_lessons
from rfplatform.registry.artifact import File
from rfplatform.registry.registry import Registry


@dataclass(frozen=True)
class Data:
    """A data set, found but not read.

    Attributes
    ----------
    where : str
        "name@version" of the registry, or a path.
    key : str
        What tells it from every other: the same name, or a hash of its files.
    path : Path or None
        The file, or the folder of single windows; None: the registry's.
    val : tuple of str
        Towns for validation of a folder of single windows.
    """

    where: str
    key: str
    path: Path | None = None
    val: tuple[str, ...] = ()

    def lessons(self, split: Split) -> Iterator[Lesson]:
        """The windows of "train" or "val"."""
        if self.path is None or self.path.is_file():
            yield from read_lessons(self.path or self.where, split)
            return
        for lesson in map(read_lesson, _windows(self.path)):
            if (lesson.town in self.val) == (split == "val"):
                yield lesson

    def parent(self, registry: Registry) -> str:
        """Its name in the registry, where a file that lies elsewhere is made known."""
        if self.path is None:
            return self.where
        if self.path.is_file():
            return register_input(registry, self.path, self.key)
        files = tuple(
            File(f.path, f.sha256, f.size_bytes, path.resolve().as_uri())
            for path, f in ((path, File.of(path)) for path in _windows(self.path))
        )
        return registry.add(input_artifact(files, self.path.name)).ref


def found_data(data: str, val: str = "") -> Data:
    """Find a data set, and check that no town is on both sides.

    Parameters
    ----------
    data, val : str
        See `pipelines.train.Config`.

    Raises
    ------
    InputError
        If there is none, or it has no towns for training or for validation.
    """
    path = Path(data).expanduser()
    if (path / FILE).is_file():
        path = path / FILE
    towns = tuple(filter(None, (part.strip() for part in val.split(","))))
    if path.is_dir():
        windows = _windows(path)
        if not windows:
            raise InputError(f"{path}: holds no windows (*.npz), nor {FILE}")
        if not towns:
            raise InputError(
                f"{path}: single windows tell not which towns are for validation: give --val"
            )
        return Data(str(path), hash_of_files(map(File.of, windows)), path, towns)
    if towns:
        raise InputError(f"{data}: says itself which towns are for validation: leave --val out")
    if path.is_file() or path.suffix.lower() == ".zip":
        splits = lesson_towns(path)
        found = Data(str(path), sha256(path), path)
    else:
        ref = Registry.default().get(data).ref
        splits = lesson_towns(ref)
        found = Data(ref, ref)
    for split, what in (("train", "training"), ("val", "validation")):
        if not splits.get(split):
            raise InputError(
                f"{data}: has no towns for {what}: make one with `rfplatform train-data`"
            )
    return found


def _windows(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz")) or sorted((folder / FOLDER).glob("*.npz"))


def read_data(data: Data) -> tuple[list[Lesson], list[Lesson]]:
    """Read the windows for training and those for validation.

    Raises
    ------
    InputError
        If either has none, or a town is on both sides.
    """
    training, validation = list(data.lessons("train")), list(data.lessons("val"))
    for lessons, what in ((training, "training"), (validation, "validation")):
        if not lessons:
            raise InputError(f"{data.where}: has no windows for {what}")
    if both := sorted({of.town for of in training} & {of.town for of in validation}):
        raise InputError(
            f"{data.where}: {', '.join(both)}: is both for training and for validation; a town "
            "belongs to one split"
        )
    if missing := sorted(set(data.val) - {of.town for of in validation}):
        raise InputError(f"--val {','.join(missing)}: {data.where} has no windows of that town")
    return training, validation
