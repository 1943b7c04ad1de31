"""Coverage as polygons in a GeoPackage: bands of level, and the area of every server."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.planning.layers import PlanningLayers
from rfplatform.radiomap import Grid, RadioMap
from rfplatform.staging import staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    import geopandas as gpd
    from shapely import MultiPolygon

CONTOUR_LEVELS: Mapping[str, tuple[float, ...]] = {
    "ss_rsrp_dbm": (-120.0, -110.0, -100.0, -90.0, -80.0, -70.0),
    "ss_sinr_db": (-3.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0),
}
"""Borders of the bands of each layer; the first and the last band are open."""


def write_contours(
    radio_map: RadioMap,
    planning: PlanningLayers,
    path: str | os.PathLike[str],
    *,
    levels: Mapping[str, Sequence[float]] = CONTOUR_LEVELS,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> None:
    """Write the outdoor coverage as polygons, the layers of one GeoPackage.

    Parameters
    ----------
    radio_map : RadioMap
    planning : PlanningLayers
        Of the same map.
    path : path-like
        The file; it appears when it is whole.
    levels : mapping of str to sequence of float
        Ascending borders of the bands, by layer ("ss_rsrp_dbm", "ss_sinr_db").
    title, attribution : str
        Metadata of the file, in place of those in the map's `attrs`.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.

    Notes
    -----
    Layers of bands have a feature for each band that occurs, with ``from_dbm`` and ``to_dbm`` (or
    ``from_db`` and ``to_db``; the lower border is in the band, and a null is an open end) and
    ``area_m2``. The layer ``best_server`` has one for each sector that serves anything, with
    ``sector``, ``site`` and ``area_m2``. Polygons are dissolved cells, on the grid's own lines:
    those of a layer do not overlap, and together are the outdoor cells that are served.
    ``last_change`` is 1970-01-01 throughout, so that the same map is the same file at any time.
    """
    attrs = radio_map.attrs
    metadata = {
        "TITLE": title or str(attrs.get("title", "Radio map")),
        "ATTRIBUTION": attribution or str(attrs.get("attribution", "")),
    }
    known = {key: value for key, value in metadata.items() if value}
    grid = radio_map.grid
    covered = radio_map.outdoor & (planning.best_server >= 0)
    tables = {
        name: band_polygons(
            np.where(covered, getattr(planning, name), np.nan), grid, borders, _unit(name)
        )
        for name, borders in levels.items()
    }
    tables["best_server"] = server_polygons(np.where(covered, planning.best_server, -1), radio_map)
    about = {layer.name: layer for layer in planning.layers()}
    with staged(path, overwrite) as partial, _undated(), warnings.catch_warnings():
        # Local metres without a CRS are what the caller asked for.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        for name, table in tables.items():
            table.to_file(
                partial,
                layer=name,
                driver="GPKG",
                engine="pyogrio",
                mode="a" if partial.exists() else "w",
                # An empty table does not tell its own type.
                geometry_type="MultiPolygon",
                layer_metadata=known,
                layer_options={
                    "IDENTIFIER": about[name].band,
                    "DESCRIPTION": " | ".join(
                        part for part in (about[name].comment, known.get("ATTRIBUTION")) if part
                    ),
                },
            )


@contextmanager
def _undated() -> Iterator[None]:
    """Let GDAL date what it writes meanwhile 1970-01-01, and not now."""
    from pyogrio import get_gdal_config_option, set_gdal_config_options

    before = get_gdal_config_option("OGR_CURRENT_DATE")
    set_gdal_config_options({"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        set_gdal_config_options({"OGR_CURRENT_DATE": before})


def band_polygons(
    values: FloatArray, grid: Grid, borders: Sequence[float], unit: str
) -> gpd.GeoDataFrame:
    """Dissolve the cells of each band of values into one feature.

    Parameters
    ----------
    values : ndarray, [num_y, num_x]
        NaN where there is nothing to cover. Row 0 is south.
    grid : Grid
    borders : sequence of float
        Ascending. A value on a border lies in the upper band.
    unit : str
        What the names of the columns end in: "dbm" or "db".

    Returns
    -------
    geopandas.GeoDataFrame
        ``from_UNIT``, ``to_UNIT``, ``area_m2`` and multipolygons in the grid's CRS, the lowest
        band first; bands that no cell lies in are left out.
    """
    if list(borders) != sorted(set(borders)):
        raise ValueError(f"borders {borders}: must ascend")
    # The comparison in double precision, so that -90 dBm of float32 lies in the band from -90.
    number = np.digitize(values.astype(np.float64), np.asarray(borders, dtype=float))
    found = _dissolved(np.where(np.isnan(values), -1, number), grid)
    open_ended = [np.nan, *borders, np.nan]
    return _table(
        {
            f"from_{unit}": [open_ended[i] for i in found],
            f"to_{unit}": [open_ended[i + 1] for i in found],
        },
        found,
        grid,
    )


def server_polygons(server: npt.NDArray[np.integer], radio_map: RadioMap) -> gpd.GeoDataFrame:
    """Dissolve the cells of each server into one feature.

    Parameters
    ----------
    server : ndarray, [num_y, num_x]
        Index of a sector, -1 for none.
    radio_map : RadioMap

    Returns
    -------
    geopandas.GeoDataFrame
        ``sector`` (the label), ``site``, ``area_m2`` and multipolygons in the grid's CRS.
    """
    found = _dissolved(server, radio_map.grid)
    sectors = [radio_map.sectors[i] for i in found]
    return _table(
        {"sector": [s.label for s in sectors], "site": [s.site for s in sectors]},
        found,
        radio_map.grid,
    )


def _table(
    columns: dict[str, list[Any]], found: Mapping[int, MultiPolygon], grid: Grid
) -> gpd.GeoDataFrame:
    import geopandas as gpd
    import pandas as pd

    dtype = {True: "float64", False: "str"}
    series = {
        name: pd.Series(values, dtype=dtype[name.startswith(("from_", "to_"))])
        for name, values in columns.items()
    }
    shapes = list(found.values())
    series["area_m2"] = pd.Series([shape.area for shape in shapes], dtype="float64")
    return gpd.GeoDataFrame(series, geometry=shapes, crs=grid.frame.crs)


def _dissolved(number: npt.NDArray[np.integer], grid: Grid) -> dict[int, MultiPolygon]:
    """The cells of each number from 0 up as one shape, in the order of the numbers."""
    import shapely
    from rasterio.features import shapes
    from rasterio.transform import from_origin

    north_up = np.ascontiguousarray(number[::-1].astype(np.int16))
    transform = from_origin(
        grid.west_m + grid.frame.origin_easting_m,
        grid.north_m + grid.frame.origin_northing_m,
        grid.resolution_m,
        grid.resolution_m,
    )
    parts: dict[int, list[list[list[tuple[float, float]]]]] = {}
    # Cells that touch at a corner alone are apart: joined there, a ring would touch itself.
    for outline, value in shapes(north_up, mask=north_up >= 0, connectivity=4, transform=transform):
        parts.setdefault(int(value), []).append(outline["coordinates"])
    if not parts:
        return {}
    found = sorted(parts)
    # All at once: a noisy map has a hundred thousand rings, and objects for each take long.
    polygons = [polygon for value in found for polygon in parts[value]]
    rings = [ring for polygon in polygons for ring in polygon]
    shaped = shapely.from_ragged_array(
        shapely.GeometryType.MULTIPOLYGON,
        np.array(list(chain.from_iterable(rings)), dtype=float),
        (
            _offsets(len(ring) for ring in rings),
            _offsets(len(polygon) for polygon in polygons),
            _offsets(len(parts[value]) for value in found),
        ),
    )
    return dict(zip(found, shaped, strict=True))


def _offsets(lengths: Iterable[int]) -> npt.NDArray[np.int64]:
    """Where each of consecutive runs begins, and where the last one ends."""
    return np.cumsum([0, *lengths], dtype=np.int64)


def _unit(name: str) -> str:
    return name.rsplit("_", 1)[-1]
