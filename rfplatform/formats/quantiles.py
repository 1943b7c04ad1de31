"""Levels that are exceeded by nine, five and one of ten places, beside a map's own layers."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rfplatform.formats.geotiff import map_tags, write_cog
from rfplatform.formats.zarr import encoding_of
from rfplatform.radiomap import RadioMap
from rfplatform.units import FloatArray

TITLES: Mapping[str, str] = {
    "p10": "SS-RSRP that nine of ten readings exceed",
    "p50": "SS-RSRP that half of the readings exceed",
    "p90": "SS-RSRP that one of ten readings exceeds",
}
BEST = "best server"


def add_to_zarr(
    store: str | os.PathLike[str], radio_map: RadioMap, quantiles_dbm: Mapping[str, FloatArray]
) -> None:
    """Add every quantile of every sector to a store that `write_zarr` has just written.

    Parameters
    ----------
    store : path-like
        A directory.
    radio_map : RadioMap
        What the store holds.
    quantiles_dbm : mapping of str to ndarray, [num_sectors, num_y, num_x]
        "p10", "p50", "p90"; NaN where there is no path. They become
        ``sector_ss_rsrp_p10_dbm`` and so on.
    """
    import warnings

    import xarray as xr
    import zarr

    variables = {}
    for name, values in quantiles_dbm.items():
        attrs = {"units": "dBm", "long_name": f"{TITLES[name]}, of each sector"}
        if radio_map.grid.frame.crs is not None:
            attrs["grid_mapping"] = "spatial_ref"
        variables[f"sector_ss_rsrp_{name}_dbm"] = xr.Variable(
            ("sector", "y", "x"), np.asarray(values, dtype=np.float32), attrs
        )
    # What is appended brings its own attributes in place of the store's: so it brings these.
    dataset = xr.Dataset(variables, attrs=dict(zarr.open_group(store, mode="r").attrs))
    with warnings.catch_warnings():
        # As in `write_zarr`: consolidated metadata are an extension of Zarr v3.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        dataset.to_zarr(
            store, mode="a", zarr_format=3, consolidated=True, encoding=encoding_of(dataset)
        )


def write_quantiles(
    radio_map: RadioMap,
    best_server: npt.NDArray[np.integer],
    quantiles_dbm: Mapping[str, FloatArray],
    path: str | os.PathLike[str],
) -> None:
    """Write the quantiles of the best server and of every sector as a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    radio_map : RadioMap
    best_server : ndarray, [num_y, num_x], int
        Index of the sector that serves a cell by its median; -1 for none.
    quantiles_dbm : mapping of str to ndarray, [num_sectors, num_y, num_x]
    path : path-like
        Written straight to it.
    """
    names, layers = [], []
    served = np.maximum(best_server, 0)[None]
    for name, values in quantiles_dbm.items():
        best = np.take_along_axis(values, served, axis=0)[0]
        names.append(f"{BEST} {name.upper()} SS-RSRP [dBm]")
        layers.append(np.where(best_server < 0, np.nan, best))
    for i, sector in enumerate(radio_map.sectors):
        for name, values in quantiles_dbm.items():
            names.append(f"{sector.label} {name.upper()} SS-RSRP [dBm]")
            layers.append(values[i])
    write_cog(
        path,
        np.stack(layers),
        radio_map.grid,
        descriptions=names,
        unit="dBm",
        nodata=np.nan,
        tags=map_tags(radio_map),
    )
