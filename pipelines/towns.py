"""Towns to learn from: a list on the command line or a TOML file, each with windows and a split."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.scene import slug
from rfplatform.errors import InputError, MissingError, unknown_name
from rfplatform.geodata.load import source_name
from rfplatform.geodata.place import (
    BlendFile,
    BoxSource,
    BuiltIn,
    FootprintSource,
    PlaceName,
    SceneFile,
    parse_area,
)
from rfplatform.propagation.lesson_set import SPLITS, Split

DEFAULT_WINDOWS = 10
MOST_WINDOWS = 100_000
"""Of a town: its windows' files have five digits."""

LONGEST_NAME = 60

_NUMBERS = ("rays", "least_share", "most_share")
_SETTINGS = ("name", "folder", "seed", "windows", "coarse_rays", *_NUMBERS)
_TOWN = ("name", "area", "package", "windows", "split", "sha256")


@dataclass(frozen=True)
class AskedTown:
    """A town that windows are asked of.

    Attributes
    ----------
    name : str
        With the seed and a window's number it decides where the window lies. In lower case.
    source : FootprintSource
        Where its buildings come from.
    windows : int
    split : str
        "train", "val" or "test".
    sha256 : str
        What its extract must have; "" where that is left open.
    where : str
        Where it stands, for errors.
    """

    name: str
    source: FootprintSource
    windows: int = DEFAULT_WINDOWS
    split: Split = "train"
    sha256: str = ""
    where: str = ""


@dataclass(frozen=True)
class TownList:
    """Towns, and what their list says about all of them.

    Attributes
    ----------
    towns : tuple of AskedTown
    settings : mapping of str to object
        "name", "seed", "rays", "coarse_rays", "least_share", "most_share", where they are given.
    """

    towns: tuple[AskedTown, ...]
    settings: Mapping[str, Any]


def is_list(text: str) -> bool:
    """Whether a TOWNS argument is a file with towns in place of a town."""
    return text.lower().endswith(".toml")


# ----------------------------------------------------------------------------------------------
# The command line
# ----------------------------------------------------------------------------------------------


def towns_of(
    areas: Sequence[str], windows: str = "", val: str = "", test: str = ""
) -> tuple[AskedTown, ...]:
    """The towns of areas, those that are not named for another split for training.

    Parameters
    ----------
    areas : sequence of str
        What `rfplatform.geodata.place.parse_area` knows, or NAME=AREA.
    windows : str
        Of every town, ``12``; or of some another number, ``12,monaco=30``.
    val, test : str
        Names of towns with commas between them.

    Raises
    ------
    InputError
        An area can't be used, a name is none of a town's, or a town is in two splits.
    """
    towns = [_of_area(area) for area in areas]
    _require_names(towns)
    known = [town.name for town in towns]
    split_of: dict[str, Split] = {}
    splits: tuple[tuple[Split, str], ...] = (("val", val), ("test", test))
    for split, text in splits:
        for name in _names(text, known, f"--{split}"):
            if split_of.setdefault(name, split) != split:
                raise InputError(
                    f"--{split} {name}: is in {split_of[name]}, too: a town belongs to one split"
                )
    count_of, rest = _counts(windows, known)
    return tuple(
        replace(
            town,
            split=split_of.get(town.name, "train"),
            windows=count_of.get(town.name, rest),
        )
        for town in towns
    )


def _of_area(text: str) -> AskedTown:
    # A path may hold "=", and a name is none.
    name, equals, area = text.partition("=")
    named = bool(equals) and not set(name) & set("/\\.,")
    return _town(area if named else text, name if named else None, f"town {text}")


def _town(area: str, name: str | None, where: str) -> AskedTown:
    source = parse_area(area)
    if isinstance(source, SceneFile | BlendFile):
        raise InputError(
            f"{where}: is a scene made elsewhere; windows are cut from footprints: give an "
            "extract, a file of buildings, W,S,E,N or a place name"
        )
    called = source_name(source) if name is None else name
    return AskedTown(_checked_name(called, name is not None, where), source, where=where)


def _checked_name(name: str, is_given: bool, where: str) -> str:
    # An extract's own name keeps its underscores, which `slug` would make hyphens.
    plain = name.strip().lower()
    if _is_plain(plain):
        return plain
    if is_given:
        raise InputError(
            f"{where}: name {name!r}: use up to {LONGEST_NAME} letters a to z, digits, '_' and '-'"
        )
    return slug(name)[:LONGEST_NAME].rstrip("-")


def _is_plain(name: str) -> bool:
    letters = name.replace("_", "").replace("-", "")
    return (
        len(name) <= LONGEST_NAME and name[:1].isalnum() and letters.isascii() and letters.isalnum()
    )


def _require_names(towns: Sequence[AskedTown]) -> None:
    if not towns:
        raise InputError("no towns: give areas, or a .toml that lists some")
    by_name: dict[str, AskedTown] = {}
    for town in towns:
        other = by_name.setdefault(town.name, town)
        if other is town:
            continue
        if other.split != town.split:
            raise InputError(
                f"{town.where}: {town.name} is in {other.split} and in {town.split}: a town "
                "belongs to one split"
            )
        raise InputError(
            f"{town.where}: {town.name} is listed twice: leave one out, or call one otherwise "
            "(NAME=AREA)"
        )


def _names(text: str, known: Sequence[str], where: str) -> list[str]:
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"{where}: {unknown_name('town', name, known)}")
    return names


def _counts(text: str, known: Sequence[str]) -> tuple[dict[str, int], int]:
    count_of: dict[str, int] = {}
    rest = DEFAULT_WINDOWS
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, equals, number = part.rpartition("=")
        count = _count(number, f"--windows {part}")
        if equals:
            (known_name,) = _names(name, known, "--windows") or [""]
            count_of[known_name] = count
        else:
            rest = count
    return count_of, rest


def _count(value: object, where: str) -> int:
    try:
        count = int(str(value))
    except ValueError:
        count = 0
    if isinstance(value, bool) or not 1 <= count <= MOST_WINDOWS:
        raise InputError(f"{where}: a number of windows must lie in 1..{MOST_WINDOWS:,}")
    return count


# ----------------------------------------------------------------------------------------------
# The file
# ----------------------------------------------------------------------------------------------


def read_towns(path: Path, folder: Path | None = None) -> TownList:
    """Read a TOML file with a table ``[[towns]]`` each.

    Parameters
    ----------
    path : Path
    folder : Path, optional
        Where extracts lie; by default what the file says ("folder"), else its own folder.

    Raises
    ------
    InputError
        If it can't be read, or anything in it is wrong; the message says which town.
    MissingError
        If a package that carries an extract is not installed.
    """
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: is no list of towns ({error})") from error
    tables = listed.pop("towns", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path}: towns must be tables [[towns]]")
    _require_known(listed, _SETTINGS, str(path))
    settings = _settings(listed, str(path))
    place = folder or path.parent / settings.pop("folder", ".")
    windows = settings.pop("windows", DEFAULT_WINDOWS)
    towns = [
        _of_table(table, place, windows, f"{path}: towns[{number}]")
        for number, table in enumerate(tables, 1)
    ]
    _require_names(towns)
    return TownList(tuple(towns), settings)


def _require_known(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(f"{where}: {unknown_name('key', key, known)}")


def _settings(listed: Mapping[str, Any], where: str) -> dict[str, Any]:
    settings = dict(listed)
    for key in ("name", "folder"):
        if key in settings and not isinstance(settings[key], str):
            raise InputError(f"{where}: {key} must be a text")
    for key in _NUMBERS:
        if key in settings and not _is_number(settings[key]):
            raise InputError(f"{where}: {key} must be a number")
    if "seed" in settings and (not isinstance(settings["seed"], int) or settings["seed"] is True):
        raise InputError(f"{where}: seed must be a whole number")
    coarse = settings.get("coarse_rays", [])
    if not isinstance(coarse, list) or not all(map(_is_number, coarse)):
        raise InputError(f"{where}: coarse_rays must be a list of numbers, as [250e3, 1e6]")
    if "windows" in settings:
        settings["windows"] = _count(settings["windows"], f"{where}: windows")
    return settings


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_table(table: Mapping[str, Any], folder: Path, windows: int, where: str) -> AskedTown:
    _require_known(table, _TOWN, where)
    for key in ("name", "area", "package", "split", "sha256"):
        if key in table and not isinstance(table[key], str):
            raise InputError(f"{where}: {key} must be a text")
    if "area" not in table:
        raise InputError(
            f"{where}: lacks area: a file in the folder of extracts, or any other AREA"
        )
    split = table.get("split", "train")
    if split not in SPLITS:
        raise InputError(f"{where}: split {split!r} must be one of {', '.join(SPLITS)}")
    area = table["area"]
    called = f"{where} ({table.get('name', area)})"
    if "package" in table:
        area = str(_in_package(table["package"], area, called))
    else:
        area = _beside(area, folder, called)
    return replace(
        _town(area, table.get("name"), called),
        windows=_count(table.get("windows", windows), f"{called}: windows"),
        split=split,
        sha256=table.get("sha256", "").lower(),
    )


def _beside(area: str, folder: Path, where: str) -> str:
    """An area as it is found from anywhere: a file counts from the folder of extracts."""
    beside = folder / Path(area).expanduser()
    if beside.is_file():
        return str(beside)
    try:
        source = parse_area(area)
    except InputError as error:
        if beside.parent.is_dir() and "," not in area:
            raise InputError(
                f"{where}: no file {Path(area).name} in {beside.parent}: --extracts names the "
                "folder of the extracts"
            ) from error
        raise InputError(f"{where}: {error}") from error
    if isinstance(source, BuiltIn | BoxSource | PlaceName):
        return area
    return str(beside)  # a file of the folder that the command happens to run in is not meant


def _in_package(package: str, inside: str, where: str) -> Path:
    """A file that an installed package carries; found without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, inside)
        if path.is_file():
            return path
    raise MissingError(f"{where}: needs {inside} of the package {package}: pip install {package}")
