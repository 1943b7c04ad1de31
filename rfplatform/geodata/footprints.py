"""Footprints with their tags, as read from any source, still in longitude and latitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import geopandas as gpd

OSM_ATTRIBUTION = "© OpenStreetMap contributors, ODbL 1.0"

TAG_COLUMNS: dict[str, tuple[str, ...]] = {
    "height": ("height", "building:height", "height_m", "building_height", "est_height"),
    "building:levels": ("building:levels", "levels", "num_floors", "building_levels", "floors"),
    "roof:levels": ("roof:levels", "roof_levels"),
    "min_height": ("min_height", "building:min_height", "min_height_m", "base_m"),
    "building:min_level": ("building:min_level", "min_floor"),
    "building:material": ("building:material", "facade_material", "material", "building_material"),
    "building:part": ("building:part",),
    "building": ("building",),
    "location": ("location",),
    "layer": ("layer",),
    "height_source": ("height_source",),
}
"""Tags that the scene is made from, and the columns of footprint files that carry them."""


@dataclass(frozen=True, eq=False)
class Footprints:
    """What a source holds of buildings and building parts.

    Attributes
    ----------
    geometry : ndarray of shapely geometries, [num]
        Polygons and multipolygons in WGS 84 longitude and latitude, perhaps invalid.
    tags : sequence of mappings, [num]
        OpenStreetMap tags, or the columns of a footprint file under the tags' names.
    ids : sequence of str, [num]
        "way/123", "relation/45", or "row/7".
    bounds_deg : tuple of float
        West, south, east, north of the whole extract.
    attribution : str
    counts : mapping of str to int
        What was skipped or could not be assembled, by reason.
    """

    geometry: npt.NDArray[np.object_]
    tags: Sequence[Mapping[str, str]]
    ids: Sequence[str]
    bounds_deg: tuple[float, float, float, float]
    attribution: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


def read_footprint_file(
    path: Path, bounds_if_empty_deg: tuple[float, float, float, float] | None = None
) -> Footprints:
    """Read polygons of a GeoJSON, GeoPackage or GeoParquet file.

    Columns are taken by their names in `TAG_COLUMNS` (OpenStreetMap's, Overture's ``num_floors``
    and a few usual others); the CRS is the file's own.

    Parameters
    ----------
    path : Path
    bounds_if_empty_deg : tuple of float, optional
        West, south, east, north to take where the file has no polygons, which then is no error.

    Raises
    ------
    InputError
        If the file can't be read, has no CRS, or holds no polygons and no bounds were given.
    """
    import geopandas as gpd

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    is_parquet = path.suffix.lower() in (".parquet", ".geoparquet")
    try:
        if is_parquet:
            frame = gpd.read_parquet(path)
        else:
            frame = gpd.read_file(path, layer=_only_layer(path))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: can't be read as footprints ({_first_line(error)}); "
            "give a GeoJSON, GeoPackage or GeoParquet file with polygons"
        ) from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None:
        raise InputError(f"{path}: holds no geometry with a CRS; write it with one (EPSG:4326)")
    # What `rfplatform scene` wrote says whose data it was made from.
    attribution = str(frame.attrs.get("attribution", ""))
    frame = frame.to_crs("EPSG:4326")
    bounds_deg = None if _is_area(frame).any() else bounds_if_empty_deg
    try:
        return from_geodataframe(frame, attribution, bounds_deg)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def from_geodataframe(
    frame: gpd.GeoDataFrame,
    attribution: str = "",
    bounds_deg: tuple[float, float, float, float] | None = None,
) -> Footprints:
    """Footprints of a table in EPSG:4326 whose columns are named as in `TAG_COLUMNS`.

    Parameters
    ----------
    frame : geopandas.GeoDataFrame
        Rows that are neither polygons nor multipolygons are skipped and counted. A column
        ``osm_id`` becomes the ids; rows without are "row/7", counted from 0 in the whole table.
    attribution : str
    bounds_deg : tuple of float, optional
        West, south, east, north of what the table covers; by default of its polygons. With
        them, the table may be empty.

    Raises
    ------
    InputError
        If there are no polygons and no bounds.
    """
    is_area = _is_area(frame)
    counts = {} if is_area.all() else {"not polygons": int((~is_area).sum())}
    rows = np.flatnonzero(is_area)
    frame = frame[is_area]
    if bounds_deg is None:
        if not len(rows):
            raise InputError("no polygons, so the area is unknown; give it with --bbox W,S,E,N")
        west, south, east, north = (float(v) for v in frame.total_bounds)
        bounds_deg = west, south, east, north
    # By lower-case name: shapefile-born tables shout theirs.
    own_name = {str(column).casefold(): column for column in frame.columns}
    columns = {
        tag: [own_name[name] for name in names if name in own_name]
        for tag, names in TAG_COLUMNS.items()
    }
    used = list(dict.fromkeys(name for names in columns.values() for name in names))
    tags = [_tags(row, columns) for row in frame[used].to_dict("records")]
    given = frame["osm_id"] if "osm_id" in frame.columns else [None] * len(rows)
    ids = [
        str(osm_id) if _is_given(osm_id) else f"row/{row}"
        for row, osm_id in zip(rows, given, strict=True)
    ]
    if any(name.startswith(("way/", "relation/")) for name in ids):
        attribution = attribution or OSM_ATTRIBUTION
    return Footprints(
        np.asarray(frame.geometry.array, dtype=object), tags, ids, bounds_deg, attribution, counts
    )


def _is_area(frame: gpd.GeoDataFrame) -> npt.NDArray[np.bool_]:
    kinds = frame.geom_type.isin(["Polygon", "MultiPolygon"])
    return np.asarray((kinds & ~frame.geometry.is_empty).to_numpy(), dtype=bool)


def _tags(row: Mapping[Any, Any], columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """For each tag the first of its columns that this row gives."""
    found = {
        tag: next((str(row[name]) for name in names if _is_given(row[name])), "")
        for tag, names in columns.items()
    }
    return {tag: value for tag, value in found.items() if value}


def _only_layer(path: Path) -> str | None:
    """The one layer of a GeoPackage that holds polygons; None for files of one layer.

    Raises
    ------
    InputError
        If several do: none is more right than another.
    """
    import pyogrio

    layers = pyogrio.list_layers(path)
    polygons = [str(name) for name, kind in layers if kind and "Polygon" in str(kind)]
    if len(polygons) > 1:
        raise InputError(
            f"{path}: {len(polygons)} layers hold polygons ({', '.join(polygons)}); "
            "give a file with the buildings' layer alone"
        )
    return polygons[0] if polygons else None


def _is_given(value: object) -> bool:
    return value is not None and value == value and str(value).strip() != ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
