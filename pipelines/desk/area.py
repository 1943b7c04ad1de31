"""What is drawn of an area below its maps: streets, water and green, and the buildings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.desk.workspace import read_json_file, write_json_file
from pipelines.scene import scene_warnings
from rfplatform.errors import InputError, RfplatformError
from rfplatform.geodata.background import (
    Background,
    Feature,
    download_background,
    read_background,
)
from rfplatform.geodata.load import source_path
from rfplatform.geodata.place import BoxSource, BuiltIn, FileSource, PlaceName, Source
from rfplatform.scene import Area, Building, LocalArea, Scene
from rfplatform.staging import staged

if TYPE_CHECKING:
    import shapely

ABOUT = "area.json"
BACKGROUND = "background.geojson"
BUILDINGS = "buildings.geojson"

AROUND_M = 300.0
"""Streets and water are drawn so far around a box that was cut out of a larger file."""

_VERSION = 1
_DECIMALS = 6  # of degrees: 0.1 m
_METRES_PER_DEGREE = 111_200.0


def area_key(area: str, bbox: str | None, path: Path | None) -> str:
    """A name for an area's folder: another area, box or state of its file has another.

    Parameters
    ----------
    area : str
        AREA, as for `rfplatform.geodata.place.parse_area`.
    bbox : str, optional
        ``W,S,E,N`` to keep of it.
    path : Path, optional
        The file that it is read from; see `rfplatform.geodata.load.source_path`.
    """
    state = None
    if path is not None and path.exists():
        about = path.stat()
        state = [about.st_size, about.st_mtime_ns]
    text = json.dumps([_VERSION, area.strip(), bbox, state])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def draw_area(
    source: Source, scene: Scene, folder: Path, bbox: Area | LocalArea | None = None
) -> dict[str, Any]:
    """Write an area's folder: ``area.json``, ``background.geojson`` and ``buildings.geojson``.

    It is whole or not there; an earlier one is replaced. The background is read from the file or
    downloaded as the buildings were; footprints have none. Where the download fails there is none
    either, and a warning says so.

    Parameters
    ----------
    source : Source
    scene : Scene
        That `pipelines.scene.open_scene` made of it.
    folder : Path
    bbox : Area, optional
        The box that was cut out of the source.

    Returns
    -------
    dict
        What ``area.json`` holds.

    Raises
    ------
    InputError
        The scene lies nowhere on Earth, or its file can't be read again.
    """
    area = scene.area
    if not isinstance(area, Area):
        raise InputError(
            f"{area.name}: is in local metres; the dashboard needs a place on Earth: "
            "give --origin LON,LAT"
        )
    background, warnings = _background(source, area if bbox is None else _around(area))
    about: dict[str, Any] = {
        "name": area.name,
        "attribution": scene.attribution or background.attribution,
        "bounds": [round(bound, 7) for bound in area.bounds_deg],
        "crs": scene.frame.crs,
        "num_buildings": len(scene.buildings),
        "heights": scene.height_sources(),
        "warnings": [*(scene_warnings(scene) if scene.solids is None else ()), *warnings],
    }
    with staged(folder, overwrite=True) as partial:
        partial.mkdir()
        _write_features(background.features, partial / BACKGROUND)
        _write_buildings(scene, partial / BUILDINGS)
        write_json_file(about, partial / ABOUT)
    return about


def read_area(folder: Path) -> dict[str, Any] | None:
    """What ``area.json`` of an area's folder holds; None if the area was not drawn."""
    return read_json_file(folder / ABOUT)


def _around(area: Area) -> Area:
    lat = AROUND_M / _METRES_PER_DEGREE
    lon = lat / math.cos(math.radians(area.center_deg[1]))
    return replace(
        area,
        west_deg=max(area.west_deg - lon, -180.0),
        south_deg=max(area.south_deg - lat, -80.0),
        east_deg=min(area.east_deg + lon, 180.0),
        north_deg=min(area.north_deg + lat, 84.0),
    )


def _background(source: Source, box: Area) -> tuple[Background, list[str]]:
    """What lies around the buildings, and why it's missing."""
    if isinstance(source, BoxSource | PlaceName):
        try:
            return download_background(box), []
        except RfplatformError as error:
            return Background(), [f"streets, water and green are missing: {error}"]
    is_osm = isinstance(source, BuiltIn) or (
        isinstance(source, FileSource) and source.kind == "osm"
    )
    path = source_path(source) if is_osm else None
    return (Background() if path is None else read_background(path, box)), []


def _write_features(features: Iterable[Feature], path: Path) -> None:
    features = list(features)
    _write_geojson([f.geometry for f in features], [_properties(f) for f in features], path)


def _properties(feature: Feature) -> dict[str, Any]:
    found = {"kind": feature.kind, "rank": feature.rank, "name": feature.name}
    return {name: value for name, value in found.items() if value}


def _write_buildings(scene: Scene, path: Path) -> None:
    import shapely

    def lonlat(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.column_stack(scene.frame.to_lonlat(points[:, 0], points[:, 1]))

    footprints = np.array([b.footprint for b in scene.buildings], dtype=object)
    shapes = shapely.transform(footprints, lonlat)
    _write_geojson(shapes, [_heights(b) for b in scene.buildings], path)


def _heights(building: Building) -> dict[str, Any]:
    return {"height_m": round(building.top_m, 2), "base_m": round(building.base_m, 2)}


def _write_geojson(
    shapes: Iterable[shapely.Geometry], properties: Iterable[Mapping[str, Any]], path: Path
) -> None:
    """Write features without a row of Python objects for every point of them."""
    import shapely

    array = np.array(list(shapes), dtype=object)
    rounded = shapely.transform(array, lambda points: np.round(points, _DECIMALS))
    features = (
        f'{{"type":"Feature","properties":{json.dumps(about, ensure_ascii=False)},'
        f'"geometry":{geometry}}}'
        for about, geometry in zip(properties, shapely.to_geojson(rounded), strict=True)
    )
    text = '{"type":"FeatureCollection","features":[\n' + ",\n".join(features) + "\n]}\n"
    path.write_text(text, encoding="utf-8")
