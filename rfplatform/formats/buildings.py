"""A scene's buildings as GeoParquet, and their heights as a GeoTIFF."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rfplatform.formats.geotiff import write_cog
from rfplatform.rasterize import ground_raster, height_raster
from rfplatform.staging import staged

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from rfplatform.radiomap import Grid
    from rfplatform.scene import Scene


def write_buildings_parquet(
    scene: Scene,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    covering: bool = False,
    row_group_size: int | None = None,
) -> None:
    """Write footprints with heights, their provenance and materials as GeoParquet.

    Parameters
    ----------
    scene : Scene
    path : path-like
        The file; it appears when it is whole.
    overwrite : bool
        Replace an existing file.
    covering : bool
        Whether to write the boxes of the footprints, by which a part can be read back.
    row_group_size : int, optional
        Buildings of a row group, the least that is read of such a file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.

    Notes
    -----
    Geometry is in the scene's projected CRS. Columns: ``osm_id``, ``height_m`` (top above
    ground), ``base_m`` (bottom above ground), ``height_source``, ``material``, ``ground_m`` (z of
    the lowest ground under it, which the heights count from; 0 on flat ground) and ``outline_id``
    (what it is a part of; empty for a building of its own). The table's attributes carry the
    attribution.
    """
    import geopandas as gpd
    import pandas as pd
    from shapely.affinity import translate

    buildings, frame = scene.buildings, scene.frame
    table = gpd.GeoDataFrame(
        {
            "osm_id": pd.Series([b.osm_id for b in buildings], dtype="str"),
            "height_m": pd.Series([b.top_m for b in buildings], dtype="float64"),
            "base_m": pd.Series([b.base_m for b in buildings], dtype="float64"),
            "height_source": pd.Series([b.height_source for b in buildings], dtype="str"),
            "material": pd.Series([b.material for b in buildings], dtype="str"),
            "ground_m": pd.Series([b.ground_m for b in buildings], dtype="float64"),
            "outline_id": pd.Series([b.outline_id for b in buildings], dtype="str"),
        },
        geometry=[
            translate(b.footprint, frame.origin_easting_m, frame.origin_northing_m)
            for b in buildings
        ],
        crs=frame.crs,
    )
    table.attrs["attribution"] = scene.attribution
    with staged(path, overwrite) as partial:
        table.to_parquet(
            partial,
            index=False,
            compression="zstd",
            write_covering_bbox=covering,
            row_group_size=row_group_size,
        )


def write_height_geotiff(
    scene: Scene, grid: Grid, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write the buildings' heights on a grid as a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    scene : Scene
    grid : Grid
        In the scene's frame.
    path : path-like
        The file; it appears when it is whole.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.

    Notes
    -----
    One band in metres above ground, the highest building where several overlap, and 0 where
    none covers the cell's centre.
    """
    _write_raster(
        scene,
        grid,
        path,
        overwrite,
        height_raster(scene, grid),
        "building height",
        "Building heights",
    )


def write_terrain_geotiff(
    scene: Scene, grid: Grid, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write the ground's height on a grid as a Cloud Optimized GeoTIFF.

    Parameters and errors as in `write_height_geotiff`.

    Notes
    -----
    One band in metres above the elevation model's datum, at the cells' centres.
    """
    _write_raster(scene, grid, path, overwrite, ground_raster(scene, grid), "ground", "Ground")


def _write_raster(
    scene: Scene,
    grid: Grid,
    path: str | os.PathLike[str],
    overwrite: bool,
    values: npt.NDArray[np.float32],
    band: str,
    title: str,
) -> None:
    tags = {
        "TIFFTAG_IMAGEDESCRIPTION": f"{title}, {scene.area.name}",
        "TIFFTAG_COPYRIGHT": scene.attribution,
        "attribution": scene.attribution,
    }
    with staged(path, overwrite) as partial:
        write_cog(
            partial,
            values[None],
            grid,
            descriptions=[f"{band} [m]"],
            unit="m",
            nodata=None,
            tags={key: value for key, value in tags.items() if value},
        )
