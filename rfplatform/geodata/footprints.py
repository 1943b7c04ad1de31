"""Footprints with their tags, as read from any source, still in longitude and latitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    "min_height": ("min_height", "building:min_height", "min_height_m"),
    "building:min_level": ("building:min_level", "min_floor"),
    "building:material": ("building:material", "facade_material", "material", "building_material"),
    "building:part": ("building:part",),
    "building": ("building",),
    "location": ("location",),
    "layer": ("layer",),
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


def read_footprint_file(path: Path) -> Footprints:
    """Read polygons of a GeoJSON, GeoPackage or GeoParquet file.

    Columns are taken by their names in `TAG_COLUMNS` (OpenStreetMap's, Overture's ``num_floors``
    and a few usual others); the CRS is the file's own.

    Raises
    ------
    InputError
        If the file can't be read, has no CRS or holds no geometry.
    """
    import geopandas as gpd

    try:
        frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    except Exception as error:
        raise InputError(
            f"{path}: can't be read as footprints ({_first_line(error)}); "
            "give a GeoJSON, GeoPackage or GeoParquet file with polygons"
        ) from error
    if not isinstance(frame, gpd.GeoDataFrame) or frame.crs is None:
        raise InputError(f"{path}: holds no geometry with a CRS; write it with one (EPSG:4326)")
    return from_geodataframe(frame.to_crs("EPSG:4326"))


def from_geodataframe(frame: gpd.GeoDataFrame, attribution: str = "") -> Footprints:
    """Footprints of a table in EPSG:4326 whose columns are named as in `TAG_COLUMNS`."""
    kinds = frame.geom_type.isin(["Polygon", "MultiPolygon"]).to_numpy()
    counts = {"not polygons": int((~kinds).sum())} if not kinds.all() else {}
    frame = frame[kinds]
    if len(frame) == 0:
        raise InputError("the footprint file holds no polygons, so the area is unknown")
    columns = {
        tag: next(name for name in names if name in frame.columns)
        for tag, names in TAG_COLUMNS.items()
        if any(name in frame.columns for name in names)
    }
    records = frame[list(columns.values())].to_dict("records")
    tags = [
        {tag: str(row[name]) for tag, name in columns.items() if _is_given(row[name])}
        for row in records
    ]
    west, south, east, north = (float(v) for v in frame.total_bounds)
    ids = [f"row/{i}" for i in range(len(frame))]
    return Footprints(
        np.asarray(frame.geometry.array), tags, ids, (west, south, east, north), attribution, counts
    )


def _is_given(value: object) -> bool:
    return value is not None and value == value and str(value).strip() != ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
