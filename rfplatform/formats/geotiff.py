"""Radio maps as Cloud Optimized GeoTIFFs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from rfplatform import __version__
from rfplatform.formats.staging import staged
from rfplatform.radiomap import Grid, RadioMap
from rfplatform.units import FloatArray

BLOCK_CELLS = 256
"""Edge of a tile in cells; smaller overviews are added until one tile holds the whole."""

BEST_RSS_BAND = "best RSS [dBm]"


def write_geotiff(
    radio_map: RadioMap,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> None:
    """Write the RSS of every sector, and of the best one, as a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    radio_map : RadioMap
    path : path-like
        The file; it appears when it is whole.
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
    Bands 1 to N are the sectors' RSS in dBm, described by their labels; the last band is the
    best RSS. North is up, and NaN (the nodata value) is a cell without a path.
    """
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
    rss_dbm = np.concatenate([radio_map.rss_dbm(), radio_map.best_rss_dbm()[None]])
    with staged(path, overwrite) as partial:
        write_cog(
            partial,
            np.where(np.isneginf(rss_dbm), np.nan, rss_dbm),
            radio_map.grid,
            descriptions=[*(s.label for s in radio_map.sectors), BEST_RSS_BAND],
            unit="dBm",
            nodata=np.nan,
            tags={key: value for key, value in tags.items() if value},
        )


def write_cog(
    path: str | os.PathLike[str],
    bands: FloatArray,
    grid: Grid,
    *,
    descriptions: Sequence[str],
    unit: str,
    nodata: float | None,
    tags: Mapping[str, str],
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
    unit : str
        Of every band.
    nodata : float or None
    tags : mapping of str to str
        Of the data set.
    """
    import rasterio
    import rasterio.shutil
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
            source.units = (unit,) * len(bands)
            source.update_tags(TIFFTAG_SOFTWARE=f"rfplatform {__version__}", **tags)
        with memory.open() as source:
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
            )
