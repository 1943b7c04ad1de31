"""From what AREA stands for to a scene: one way in for built-in extracts, files and the network."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from rfplatform.geodata.footprints import (
    OSM_ATTRIBUTION,
    Footprints,
    from_geodataframe,
    read_footprint_file,
)
from rfplatform.geodata.online import download_buildings
from rfplatform.geodata.osm import read_osm_file
from rfplatform.geodata.place import (
    FILE_KINDS,
    BlendFile,
    BoxSource,
    BuiltIn,
    FileKind,
    FileSource,
    FootprintSource,
    PlaceName,
    SceneFile,
    Source,
)
from rfplatform.scene import Area, Scene

_BUILT_IN_NAMES = {"helsinki": "Central Helsinki"}


def load_scene(source: FootprintSource, bbox: Area | None = None) -> Scene:
    """Make the scene of an area from footprints.

    Scenes made elsewhere (`SceneFile`) are loaded by `rfplatform.propagation.survey`.

    Parameters
    ----------
    source : FootprintSource
        What `rfplatform.geodata.place.parse_area` returned.
    bbox : Area, optional
        What to keep of it; buildings on its border are kept whole.

    Returns
    -------
    Scene
        Without buildings where the source has none: `scene.buildings` tells.

    Raises
    ------
    InputError
        The file can't be used, the box lies outside, or there is no such place.
    MissingError
        The network is needed and does not answer.
    """
    from rfplatform.geodata.build import build_scene

    name, footprints = _read(source, bbox)
    return build_scene(footprints, name, bbox)


def source_path(source: Source) -> Path | None:
    """The file that a source is read from; None for what comes from the network."""
    if isinstance(source, BuiltIn):
        return source.path()
    if isinstance(source, SceneFile):
        return source.original or source.path
    return source.path if isinstance(source, FileSource | BlendFile) else None


def source_name(source: Source) -> str:
    """A short name of a source, as it was asked for: what outputs are called after."""
    if isinstance(source, BuiltIn):
        return source.name
    if isinstance(source, FileSource):
        return _stem(source.path)
    if isinstance(source, SceneFile | BlendFile):
        return source.name
    return source.area.name if isinstance(source, BoxSource) else source.text


def _read(source: FootprintSource, bbox: Area | None) -> tuple[str, Footprints]:
    match source:
        case BuiltIn():
            return _BUILT_IN_NAMES[source.name], _read_file(source.path(), "osm", bbox)
        case FileSource():
            return _stem(source.path), _read_file(source.path, source.kind, bbox)
        case BoxSource():
            return _download(source.area)
        case PlaceName():
            return _download(source.text)
        case _:
            assert_never(source)


def _read_file(path: Path, kind: FileKind, bbox: Area | None) -> Footprints:
    if kind == "osm":
        return read_osm_file(path)
    return read_footprint_file(path, bbox.bounds_deg if bbox else None)


def _download(place: Area | str) -> tuple[str, Footprints]:
    area, table = download_buildings(place)
    return area.name, from_geodataframe(table, OSM_ATTRIBUTION, area.bounds_deg)


def _stem(path: Path) -> str:
    """The file's name without its whole suffix: "town" of ``town.osm.pbf``."""
    for suffix in sorted(FILE_KINDS, key=len, reverse=True):
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem
