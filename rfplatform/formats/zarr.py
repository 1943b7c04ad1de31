"""Radio maps as Zarr v3 stores that xarray opens with their CRS."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform.errors import InputError
from rfplatform.formats.staging import staged
from rfplatform.frame import Frame
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    import xarray as xr

CHUNK_CELLS = 1024
"""Longest edge of a chunk in cells: 4 MiB of float32, one sector each."""


def write_zarr(
    radio_map: RadioMap,
    path: str | os.PathLike[str],
    *,
    noise_figure_db: float = 7.0,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> None:
    """Write a map and its layers as a CF-1.11 Zarr v3 store.

    Parameters
    ----------
    radio_map : RadioMap
    path : path-like
        The store's directory; it appears when it is whole.
    noise_figure_db : float
        Of the receivers, for the SINR.
    title, attribution : str
        Global attributes, in place of those in the map's `attrs`.
    overwrite : bool
        Replace an existing store.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.
    """
    with staged(path, overwrite) as partial:
        dataset = radio_map.to_xarray(noise_figure_db)
        for name, values in dataset.coords.items():
            if values.dtype.kind == "U":
                # Zarr v3 specifies strings of any length, and none of a fixed one.
                dataset[name] = values.astype(object)
        dataset.attrs |= {
            key: value for key, value in (("title", title), ("attribution", attribution)) if value
        }
        with warnings.catch_warnings():
            # Consolidated metadata are an extension of Zarr v3, which zarr warns of; without
            # them xarray warns everyone who opens the store.
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            dataset.to_zarr(
                partial, mode="w-", zarr_format=3, consolidated=True, encoding=_encoding(dataset)
            )


def _encoding(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    from zarr.codecs import BloscCodec, BloscShuffle

    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.data_vars.items():
        rows, columns = (min(size, CHUNK_CELLS) for size in variable.shape[-2:])
        encoding[str(name)] = {
            "chunks": (1, rows, columns) if variable.ndim == 3 else (rows, columns),
            "compressors": [BloscCodec(cname="zstd", clevel=5, shuffle=BloscShuffle.shuffle)],
            # An encoding given here replaces the variable's own, where the CRS is named.
            "grid_mapping": "spatial_ref",
        }
        if variable.dtype.kind == "f":
            encoding[str(name)] |= {"dtype": "float32", "_FillValue": np.float32(np.nan)}
    return encoding


def read_zarr(path: str | os.PathLike[str]) -> RadioMap:
    """Read a map that `write_zarr` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    RadioMap
        The same grid, sectors, values (-inf where there is no path) and attrs as were written.

    Raises
    ------
    InputError
        If nothing is there, or something that is no radio map.
    """
    import xarray as xr

    if not Path(path).is_dir():
        raise InputError(f"{path}: no such directory; give the path of a radio_map.zarr")
    try:
        with xr.open_zarr(path, consolidated=False, decode_coords="all") as stored:
            dataset = stored.load()
        exact = json.loads(dataset.attrs["radio_map"])
        grid = Grid(**{**exact["grid"], "frame": Frame(**exact["grid"]["frame"])})
        return RadioMap(
            grid=grid,
            sectors=_sectors(dataset),
            path_gain_db=_gain(dataset["path_gain_db"].to_numpy()),
            standard_error_db=dataset["standard_error_db"].to_numpy()
            if "standard_error_db" in dataset
            else None,
            outdoor=dataset["outdoor"].to_numpy().astype(bool),
            los=dataset["los"].to_numpy().astype(bool) if "los" in dataset else None,
            raw_path_gain_db=_gain(dataset["raw_path_gain_db"].to_numpy())
            if "raw_path_gain_db" in dataset
            else None,
            attrs=exact["attrs"],
        )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not a radio map in Zarr ({type(error).__name__}: {error}); "
            "give a store that `rfplatform map` wrote"
        ) from error


def _gain(values: FloatArray) -> FloatArray:
    return np.where(np.isnan(values), -np.inf, values).astype(np.float32)


def _sectors(dataset: xr.Dataset) -> tuple[Sector, ...]:
    columns = {name: dataset[name].to_numpy().tolist() for name in dataset.coords}
    return tuple(
        Sector(
            site=site,
            name=label[len(site) + 1 :],
            x_m=columns["local_x_m"][i],
            y_m=columns["local_y_m"][i],
            z_m=columns["height_m"][i],
            azimuth_deg=columns["azimuth_deg"][i],
            downtilt_deg=columns["downtilt_deg"][i],
            power_dbm=columns["power_dbm"][i],
            frequency_hz=columns["frequency_hz"][i],
            bandwidth_hz=columns["bandwidth_hz"][i],
            antenna=columns["antenna"][i],
            mount=columns["mount"][i],
        )
        for i, (label, site) in enumerate(zip(columns["sector"], columns["site"], strict=True))
    )
