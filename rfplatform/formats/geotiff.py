"""Radio maps as Cloud Optimized GeoTIFFs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.frame import LOCAL_METRES
from rfplatform.planning.layers import Layer, PlanningLayers
from rfplatform.radiomap import Grid, RadioMap
from rfplatform.staging import staged
from rfplatform.units import FloatArray

BLOCK_CELLS = 256
"""Edge of a tile in cells; smaller overviews are added until one tile holds the whole."""

BEST_RSS_BAND = "best RSS [dBm]"
GROUND_BAND = "ground [m]"


def write_geotiff(
    radio_map: RadioMap,
    path: str | os.PathLike[str],
    *,
    planning: PlanningLayers | None = None,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> None:
    """Write the RSS of every sector and of the best one, and what is planned upon it.

    The file is a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    radio_map : RadioMap
    path : path-like
        The file; it appears when it is whole.
    planning : PlanningLayers, optional
        Of the same map: a band for each of its layers.
    title, attribution : str
        Tags of the file, in place of those in the map's `attrs`.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.

    Notes
    -----
    Bands 1 to N are the sectors' RSS in dBm, described by their labels, and band N + 1 is the
    best RSS; then come the planning layers and, where the map has it, the ground. Every band has
    its unit, and those of indices have what their values mean as tags. North is up, and NaN (the
    nodata value) is a cell without a path.
    """
    bands = map_bands(radio_map, planning)
    stack = np.empty((len(bands), *radio_map.grid.shape), dtype=np.float32)
    for i, band in enumerate(bands):
        stack[i] = band.values
    stack[np.isneginf(stack)] = np.nan
    with staged(path, overwrite) as partial:
        write_cog(
            partial,
            stack,
            radio_map.grid,
            descriptions=[band.description for band in bands],
            unit=[band.unit for band in bands],
            nodata=np.nan,
            tags=map_tags(radio_map, title, attribution),
            band_tags=[band.tags for band in bands],
        )


@dataclass(frozen=True, eq=False)
class Band:
    """A band with its name, unit and tags; `values` are [num_y, num_x]."""

    description: str
    unit: str
    values: npt.NDArray[Any]
    tags: Mapping[str, str] = field(default_factory=dict)


def map_tags(radio_map: RadioMap, title: str = "", attribution: str = "") -> dict[str, str]:
    """Tags of a map's file."""
    attrs = radio_map.attrs
    tags = {
        "TIFFTAG_IMAGEDESCRIPTION": title or str(attrs.get("title", "Radio map")),
        "TIFFTAG_COPYRIGHT": attribution or str(attrs.get("attribution", "")),
        "attribution": attribution or str(attrs.get("attribution", "")),
        "solver": str(attrs.get("solver", "")),
        "stopped_by": str(attrs.get("stopped_by", "")),
        "noise_db": "" if attrs.get("noise_db") is None else f"{attrs['noise_db']:.3g}",
        "receiver_height_m": f"{radio_map.grid.receiver_height_m:g}",
    }
    return {key: value for key, value in tags.items() if value}


def map_bands(
    radio_map: RadioMap, planning: PlanningLayers | None = None, *, per_sector: bool = True
) -> list[Band]:
    """Bands of a map's file, in their order.

    Parameters
    ----------
    radio_map : RadioMap
    planning : PlanningLayers, optional
        Of the same map.
    per_sector : bool
        Begin with the RSS of every sector.
    """
    bands = []
    if per_sector:
        bands = [
            Band(s.label, "dBm", layer)
            for s, layer in zip(radio_map.sectors, radio_map.rss_dbm(), strict=True)
        ]
    bands.append(Band(BEST_RSS_BAND, "dBm", radio_map.best_rss_dbm()))
    if planning is not None:
        bands += [_planning_band(layer) for layer in planning.layers()]
    if radio_map.ground_m is not None:
        bands.append(Band(GROUND_BAND, "m", radio_map.ground_m))
    return bands


def _planning_band(layer: Layer) -> Band:
    tags = {"name": layer.name, "comment": layer.comment}
    values = layer.values
    if layer.flags is not None:
        tags |= {f"value_{value}": text for value, text in layer.flags.items() if value >= 0}
        if -1 in layer.flags:
            values = np.where(values < 0, np.nan, values)
    return Band(
        layer.band, {"bit s-1": "bit/s", "1": ""}.get(layer.units, layer.units), values, tags
    )


def write_cog(
    path: str | os.PathLike[str],
    bands: FloatArray,
    grid: Grid,
    *,
    descriptions: Sequence[str],
    unit: str | Sequence[str],
    nodata: float | None,
    tags: Mapping[str, str],
    band_tags: Sequence[Mapping[str, str]] = (),
) -> None:
    """Write layers on a grid as a Cloud Optimized GeoTIFF, straight to the path.

    Parameters
    ----------
    path : path-like
    bands : ndarray, [num_bands, num_y, num_x]
        Stored as float32. Row 0 is south; in the file row 0 is north.
    grid : Grid
    descriptions : sequence of str
        One for each band.
    unit : str or sequence of str
        Of every band, or of each.
    nodata : float or None
    tags : mapping of str to str
        Of the data set.
    band_tags : sequence of mapping, optional
        Of each band.
    """
    import rasterio
    from rasterio.transform import from_origin

    west, north = (
        grid.west_m + grid.frame.origin_easting_m,
        grid.north_m + grid.frame.origin_northing_m,
    )
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": len(bands),
        "height": grid.num_y,
        "width": grid.num_x,
        "crs": grid.frame.crs,
        "transform": from_origin(west, north, grid.resolution_m, grid.resolution_m),
        "nodata": nodata,
    }
    # The COG driver only copies, and takes descriptions, units and tags from what it copies.
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as source:
            source.write(np.asarray(bands, dtype=np.float32)[:, ::-1])
            source.descriptions = tuple(descriptions)
            source.units = (unit,) * len(bands) if isinstance(unit, str) else tuple(unit)
            if grid.frame.crs is None:
                source.update_tags(crs=LOCAL_METRES)
            source.update_tags(TIFFTAG_SOFTWARE=f"rfplatform {__version__}", **tags)
            for number, about in enumerate(band_tags, start=1):
                if about:
                    source.update_tags(number, **about)
        with memory.open() as source:
            copy_cog(source, path)


def copy_cog(
    source: Any,  # noqa: ANN401  (rasterio's own)
    path: str | os.PathLike[str],
    *,
    sparse: bool = False,
) -> None:
    """Copy an open raster as a Cloud Optimized GeoTIFF, straight to the path.

    Parameters
    ----------
    source : rasterio.DatasetReader
        Its descriptions, units and tags are kept.
    path : path-like
    sparse : bool
        Tiles that hold nothing take no space.
    """
    import rasterio.shutil

    rasterio.shutil.copy(
        source,
        os.fspath(path),
        driver="COG",
        compress="DEFLATE",
        predictor="YES",
        blocksize=BLOCK_CELLS,
        # A mean of decibels is the level of nothing: overviews keep cells as they are.
        overview_resampling="NEAREST",
        bigtiff="IF_SAFER",
        sparse_ok=sparse,
    )
