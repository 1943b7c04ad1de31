"""Many traced windows as one Zarr v3 store in a ZIP file: the data set that a network learns from.

Windows have different numbers of sectors, so that their maps lie behind one another along one
dimension, and ``map_window`` tells whose each is. Levels are whole steps with a CF scale factor:
``xarray.open_zarr`` shows dB and metres, and `read_lessons` gives the very arrays that were traced.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.formats.archive import entry
from rfplatform.propagation.lesson import (
    NO_ERROR,
    NO_PATH,
    STEP_DB,
    STEP_M,
    Lesson,
    read_packed,
    unpacked,
)
from rfplatform.propagation.windows import WindowConfig
from rfplatform.staging import staged

if TYPE_CHECKING:
    import zarr

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

FILE = "lessons.zarr.zip"
"""What the data set is called within its artifact."""

SCHEMA = "Zarr v3 in a ZIP: traced windows of towns, see rfplatform.propagation.lesson_set"

_FORMAT = 1
_ALL = slice(None)

_OF_WINDOWS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "height_dm": (
        "height_m",
        "uint16",
        {"units": "m", "scale_factor": STEP_M, "long_name": "tops of buildings above ground"},
    ),
    "outdoor": ("outdoor", "bool", {"long_name": "cell outside of buildings"}),
}
_GAIN = {"units": "dB", "scale_factor": STEP_DB, "_FillValue": int(NO_PATH)}
_ERROR = {"units": "dB", "scale_factor": STEP_DB, "_FillValue": int(NO_ERROR)}
_OF_MAPS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "path_gain_cdb": ("path_gain_db", "int16", {**_GAIN, "long_name": "path gain"}),
    "standard_error_cdb": (
        "standard_error_db",
        "uint16",
        {**_ERROR, "long_name": "standard error of the path gain"},
    ),
    "los": ("los", "bool", {"long_name": "line of sight"}),
    "coarse_path_gain_cdb": (
        "coarse_path_gain_db",
        "int16",
        {**_GAIN, "long_name": "path gain by few rays of another seed"},
    ),
    "coarse_standard_error_cdb": (
        "coarse_standard_error_db",
        "uint16",
        {**_ERROR, "long_name": "standard error of the coarse path gain"},
    ),
}
"""Packed arrays by what they are called in the store: name, type and CF attributes."""

_SECTOR_UNITS = {
    "x_m": "m",
    "y_m": "m",
    "z_m": "m",
    "azimuth_deg": "degree",
    "downtilt_deg": "degree",
    "frequency_hz": "Hz",
}


@dataclass(frozen=True)
class Shard:
    """A file of one traced window, and the split that its town belongs to."""

    path: Path
    split: Split


@dataclass(frozen=True)
class LessonFacts:
    """What is known of a data set.

    Attributes
    ----------
    windows, maps : int
    towns : mapping of str to mapping of str to int
        By split, the number of each town's windows.
    share_with_path : float
        Of all maps' outdoor cells; NaN without any.
    noise_db : float
        Median standard error over those cells.
    carriers_hz : tuple of float
    """

    windows: int
    maps: int
    towns: Mapping[str, Mapping[str, int]]
    share_with_path: float
    noise_db: float
    carriers_hz: tuple[float, ...]


# ----------------------------------------------------------------------------------------------
# Writing
# ----------------------------------------------------------------------------------------------


def write_lessons(
    shards: Sequence[Shard],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> LessonFacts:
    """Write traced windows as one data set; never more than one of them is in memory.

    Parameters
    ----------
    shards : sequence of Shard
        At least one, in the order that they are to have; all of one size.
    path : path-like
        Ends in ".zip"; it appears when it is whole.
    title, attribution : str
        Global attributes.
    overwrite : bool
        Replace what is there.

    Raises
    ------
    InputError
        If a shard is damaged, a town is in two splits, or windows differ in size.

    Notes
    -----
    The same shards give the same bytes at any time.
    """
    import zarr

    abouts = [_about(shard.path) for shard in shards]
    _require_alike(shards, abouts)
    with (
        staged(path, overwrite) as partial,
        tempfile.TemporaryDirectory(prefix=".lessons-", dir=partial.parent) as folder,
        _quiet_zarr(),
    ):
        group = zarr.create_group(folder, zarr_format=3, attributes=_attributes(title, attribution))
        _write_coordinates(group, shards, abouts)
        tally = _Tally()
        _write_arrays(group, shards, abouts, tally)
        zarr.consolidate_metadata(folder)
        _zip(Path(folder), partial)
    return _facts(shards, abouts, tally)


def _about(path: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(read_packed(path, ("about",))["about"].tobytes())
    return about


def _require_alike(shards: Sequence[Shard], abouts: Sequence[Mapping[str, Any]]) -> None:
    if not shards:
        raise InputError("no traced windows: there is nothing to make a data set of")
    split_of: dict[str, str] = {}
    for shard, about in zip(shards, abouts, strict=True):
        if split_of.setdefault(about["town"], shard.split) != shard.split:
            raise InputError(
                f"{shard.path}: the town {about['town']} is in {split_of[about['town']]} and in "
                f"{shard.split}: a town belongs to one split"
            )
        for name in ("resolution_m", "receiver_height_m"):
            if about["windows"][name] != abouts[0]["windows"][name]:
                raise InputError(
                    f"{shard.path}: has {name} {about['windows'][name]:g}, and others "
                    f"{abouts[0]['windows'][name]:g}: a data set's windows are alike"
                )


def _attributes(title: str, attribution: str) -> dict[str, Any]:
    return {
        "Conventions": "CF-1.11",
        "lessons_format": _FORMAT,
        **{k: v for k, v in (("title", title), ("attribution", attribution)) if v},
    }


def _write_coordinates(
    group: zarr.Group, shards: Sequence[Shard], abouts: Sequence[Mapping[str, Any]]
) -> None:
    windows = WindowConfig(**abouts[0]["windows"])
    for prefix, grid in (("", windows.grid()), ("around_", windows.surroundings())):
        for axis, values in (("x", grid.x_m()), ("y", grid.y_m())):
            _put(group, f"{prefix}{axis}", (f"{prefix}{axis}",), values, {"units": "m"})
    of_windows: dict[str, npt.NDArray[Any] | list[str]] = {
        "town": [about["town"] for about in abouts],
        "split": [shard.split for shard in shards],
        "number": np.array([about["number"] for about in abouts], dtype=np.int32),
        "about": [json.dumps(about, sort_keys=True) for about in abouts],
    }
    for name, column in of_windows.items():
        _put(group, name, ("window",), column)
    counts = [len(about["sectors"]) for about in abouts]
    _put(group, "map_window", ("map",), np.repeat(np.arange(len(counts), dtype=np.int32), counts))
    sectors = [sector for about in abouts for sector in about["sectors"]]
    for name, units in _SECTOR_UNITS.items():
        levels = np.array([sector[name] for sector in sectors], dtype=np.float64)
        _put(group, f"sector_{name}", ("map",), levels, {"units": units})
    _put(group, "sector_antenna", ("map",), [sector["antenna"] for sector in sectors])


def _put(
    group: zarr.Group,
    name: str,
    dimensions: tuple[str, ...],
    values: npt.NDArray[Any] | Sequence[str],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    is_text = not isinstance(values, np.ndarray)
    array = group.create_array(
        name,
        shape=(len(values),),
        dtype=str if is_text else values.dtype,  # type: ignore[union-attr]
        chunks=(len(values),),
        dimension_names=dimensions,
        attributes=dict(attributes or {}),
    )
    array[:] = np.array(values, dtype=object) if is_text else values


def _write_arrays(
    group: zarr.Group, shards: Sequence[Shard], abouts: Sequence[Mapping[str, Any]], tally: _Tally
) -> None:
    from zarr.codecs import BloscCodec, BloscShuffle

    windows = WindowConfig(**abouts[0]["windows"])
    cells, around = windows.grid().shape, windows.surroundings().shape
    num_maps = sum(len(about["sectors"]) for about in abouts)
    arrays: dict[str, zarr.Array[Any]] = {}
    for columns, along, count in (
        (_OF_WINDOWS, "window", len(abouts)),
        (_OF_MAPS, "map", num_maps),
    ):
        for packed, (name, dtype, attributes) in columns.items():
            is_around = packed == "height_dm"
            shape = around if is_around else cells
            arrays[packed] = group.create_array(
                name,
                shape=(count, *shape),
                dtype=dtype,
                chunks=(1, *shape),
                compressors=BloscCodec(cname="zstd", clevel=5, shuffle=BloscShuffle.shuffle),
                dimension_names=(
                    along,
                    *(("around_y", "around_x") if is_around else ("y", "x")),
                ),
                attributes=attributes,
            )
    first = 0
    for number, (shard, about) in enumerate(zip(shards, abouts, strict=True)):
        kept = read_packed(shard.path, tuple(arrays))
        last = first + len(about["sectors"])
        for name, array in arrays.items():
            place = slice(first, last) if name in _OF_MAPS else slice(number, number + 1)
            values = kept[name] if name in _OF_MAPS else kept[name][None]
            if values.shape != (place.stop - place.start, *array.shape[1:]):
                raise InputError(
                    f"{shard.path}: {name} has the shape {list(kept[name].shape)}: is damaged, or "
                    "no traced window"
                )
            array[place] = values
        tally.add(kept)
        first = last


class _Tally:
    """Counts over all maps, one window after another."""

    def __init__(self) -> None:
        self.cells = 0
        self.errors = np.zeros(int(NO_ERROR) + 1, dtype=np.int64)
        self.reached = 0

    def add(self, kept: Mapping[str, npt.NDArray[Any]]) -> None:
        outdoor = np.broadcast_to(kept["outdoor"], kept["path_gain_cdb"].shape)
        reached = outdoor & (kept["path_gain_cdb"] != NO_PATH)
        self.cells += int(outdoor.sum())
        self.reached += int(reached.sum())
        self.errors += np.bincount(kept["standard_error_cdb"][reached], minlength=len(self.errors))

    def share(self) -> float:
        return self.reached / self.cells if self.cells else float("nan")

    def median_error_db(self) -> float:
        below = np.cumsum(self.errors[:-1])  # those that are known
        if not below[-1]:
            return float("nan")
        return float(np.searchsorted(below, below[-1] / 2) * STEP_DB)


def _facts(
    shards: Sequence[Shard], abouts: Sequence[Mapping[str, Any]], tally: _Tally
) -> LessonFacts:
    towns: dict[str, dict[str, int]] = {}
    for shard, about in zip(shards, abouts, strict=True):
        counts = towns.setdefault(shard.split, {})
        counts[about["town"]] = counts.get(about["town"], 0) + 1
    sectors = [sector for about in abouts for sector in about["sectors"]]
    return LessonFacts(
        windows=len(abouts),
        maps=len(sectors),
        towns={split: towns[split] for split in SPLITS if split in towns},
        share_with_path=round(tally.share(), 4),
        noise_db=round(tally.median_error_db(), 2),
        carriers_hz=tuple(sorted({float(sector["frequency_hz"]) for sector in sectors})),
    )


def _zip(folder: Path, path: Path) -> None:
    """One file after another, so that an archive may be larger than the memory."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    with ZipFile(path, "w") as archive:
        for name in sorted(files):
            archive.writestr(entry(name), files[name].read_bytes())


# ----------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------


def read_lessons(source: str | os.PathLike[str], split: Split | None = None) -> Iterator[Lesson]:
    """Read a data set's traced windows, one after another.

    Parameters
    ----------
    source : str or path-like
        A ``.zarr.zip`` that `write_lessons` wrote, or a data set of the registry, as
        "windows/NAME@VERSION" or, for the newest, "windows/NAME".
    split : str, optional
        Only the windows of its towns; all by default.

    Yields
    ------
    Lesson
        The arrays that were traced, to the bit that is kept: steps of 0.01 dB and 0.1 m.

    Raises
    ------
    InputError
        If there is no such data set, it is damaged, or no such split.
    """
    if split is not None and split not in SPLITS:
        raise InputError(f"split {split!r}: must be one of {', '.join(SPLITS)}")
    with _opened(lessons_path(source)) as group:
        splits = [str(text) for text in _values(group, "split")]
        owners = _values(group, "map_window")
        for number, of in enumerate(splits):
            if split in (None, of):
                yield _lesson(group, number, owners)


def lesson_towns(source: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """The towns of a data set by split, with the number of each one's windows.

    Raises
    ------
    InputError
        See `read_lessons`.
    """
    found: dict[str, dict[str, int]] = {}
    with _opened(lessons_path(source)) as group:
        for town, split in zip(_values(group, "town"), _values(group, "split"), strict=True):
            counts = found.setdefault(str(split), {})
            counts[str(town)] = counts.get(str(town), 0) + 1
    return {split: found[split] for split in SPLITS if split in found}


def lessons_path(source: str | os.PathLike[str]) -> Path:
    """The file of a data set: the path itself, or where the registry keeps it, verified.

    Raises
    ------
    InputError
        If there is no such file and no such data set.
    """
    if Path(source).suffix.lower() == ".zip" or Path(source).is_file():
        return Path(source)
    from rfplatform.registry.registry import Registry

    return Registry.default().path(str(source), FILE)


def _lesson(group: zarr.Group, number: int, owners: npt.NDArray[np.int32]) -> Lesson:
    first, last = np.searchsorted(owners, [number, number + 1])
    packed: dict[str, npt.NDArray[Any]] = {
        "about": np.frombuffer(str(_values(group, "about", number)).encode(), np.uint8)
    }
    for key, (name, _, _) in _OF_WINDOWS.items():
        packed[key] = _values(group, name, number)
    for key, (name, _, _) in _OF_MAPS.items():
        packed[key] = _values(group, name, slice(int(first), int(last)))
    return unpacked(packed)


def _values(group: zarr.Group, name: str, place: int | slice = _ALL) -> npt.NDArray[Any]:
    return np.asarray(group[name][place])  # type: ignore[index]


@contextmanager
def _opened(path: Path) -> Iterator[zarr.Group]:
    import zarr
    from zarr.storage import ZipStore

    if not path.is_file():
        raise InputError(
            f"{path}: no such file; give a .zarr.zip that `rfplatform train-data` made"
        )
    try:
        # Told here what is no archive: a store that can't open can't close, either.
        with ZipFile(path), ZipStore(path, mode="r") as store, _quiet_zarr():
            group = zarr.open_group(store, mode="r")
            if group.attrs.get("lessons_format") != _FORMAT:
                raise InputError(
                    f"{path}: is no data set of traced windows, or of another version; give one "
                    "that `rfplatform train-data` made"
                )
            yield group
    except (OSError, KeyError, ValueError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{path}: is damaged, or no data set of traced windows "
            f"({type(error).__name__}: {error})"
        ) from error


@contextmanager
def _quiet_zarr() -> Iterator[None]:
    """Without its word on consolidated metadata and strings, both still outside of Zarr's core."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification")
        yield
