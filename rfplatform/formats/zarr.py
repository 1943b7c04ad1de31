"""Radio maps as Zarr v3 stores, in a directory or a ZIP file, that xarray opens with their CRS."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.formats.archive import write_archive
from rfplatform.frame import Frame
from rfplatform.planning.layers import PlanningLayers
from rfplatform.planning.quality import ss_rsrp_dbm
from rfplatform.radiomap import Grid, RadioMap, Sector, flag_word
from rfplatform.staging import staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    import xarray as xr
    from zarr.core.buffer import Buffer
    from zarr.storage import MemoryStore, ZipStore

CHUNK_CELLS = 1024
"""Longest edge of a chunk in cells: 4 MiB of float32, one sector each."""


def write_zarr(
    radio_map: RadioMap,
    path: str | os.PathLike[str],
    *,
    planning: PlanningLayers | None = None,
    noise_figure_db: float = 7.0,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> None:
    """Write a map and its layers as a CF-1.11 Zarr v3 store, a directory or one ZIP file.

    Parameters
    ----------
    radio_map : RadioMap
    path : path-like
        The store's directory, or its ZIP file where it ends in ".zip"; it appears when it is
        whole.
    planning : PlanningLayers, optional
        Of the same map: written beside it, with ``sector_ss_rsrp_dbm`` of every sector, the
        sectors' numerology as coordinates, and the assumptions as JSON in an attribute.
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

    Notes
    -----
    The same map gives the same bytes at any time, in a ZIP file too. It is opened where it lies,
    locally with ``xarray.open_zarr(zarr.storage.ZipStore("radio_map.zarr.zip", mode="r"),
    decode_coords="all")``, or through fsspec with
    ``xarray.open_zarr("zip::radio_map.zarr.zip", decode_coords="all")``, which takes a URL, too
    (``"zip::s3://..."``) and needs an fsspec newer than 2026.6; the bare path of a ZIP file is no
    store to zarr 3.
    """
    from zarr.storage import MemoryStore

    with staged(path, overwrite) as partial:
        dataset = map_dataset(radio_map, planning, noise_figure_db)
        dataset.attrs |= {
            key: value for key, value in (("title", title), ("attribution", attribution)) if value
        }
        if not _is_zip(path):
            _write_store(dataset, partial)
            return
        # In memory first: chunks come in any order, and an archive can't replace an entry.
        files: dict[str, Buffer] = {}
        _write_store(dataset, MemoryStore(files))
        write_archive({name: value.to_bytes() for name, value in files.items()}, partial)


def map_dataset(
    radio_map: RadioMap, planning: PlanningLayers | None, noise_figure_db: float
) -> xr.Dataset:
    """What `write_zarr` writes: a map and the planning layers upon it."""
    dataset = radio_map.to_xarray(noise_figure_db)
    if planning is not None:
        _add_planning(dataset, radio_map, planning)
    for name, values in dataset.coords.items():
        if values.dtype.kind == "U":
            # Zarr v3 specifies strings of any length, and none of a fixed one.
            dataset[name] = values.astype(object)
    return dataset


def _is_zip(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix.lower() == ".zip"


def _write_store(dataset: xr.Dataset, store: Path | MemoryStore) -> None:
    with warnings.catch_warnings():
        # Consolidated metadata are an extension of Zarr v3, which zarr warns of; without
        # them xarray warns everyone who opens the store.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        dataset.to_zarr(
            store, mode="w-", zarr_format=3, consolidated=True, encoding=encoding_of(dataset)
        )


def _add_planning(dataset: xr.Dataset, radio_map: RadioMap, planning: PlanningLayers) -> None:
    """Add the planning layers to a map's dataset as CF variables with the same CRS."""
    import xarray as xr

    variables: dict[str, xr.Variable] = {}
    for layer in planning.layers():
        attrs: dict[str, Any] = {"long_name": layer.title, "comment": layer.comment}
        if layer.flags is not None:
            attrs["flag_values"] = np.array(list(layer.flags), dtype=_flag_dtype(layer.values))
            attrs["flag_meanings"] = " ".join(flag_word(text) for text in layer.flags.values())
        elif layer.values.dtype.kind == "f":
            attrs["units"] = layer.units
        else:
            attrs["units"] = "1"
        if layer.name != "best_server":
            attrs["ancillary_variables"] = "best_server"
        variables[layer.name] = xr.Variable(("y", "x"), layer.values, attrs)
    per_sector = ss_rsrp_dbm(radio_map, planning.carriers)
    per_sector[np.isneginf(per_sector)] = np.nan
    attrs = {"units": "dBm", "long_name": "SS-RSRP of each sector"}
    if radio_map.standard_error_db is not None:
        attrs["ancillary_variables"] = "standard_error_db"
    variables["sector_ss_rsrp_dbm"] = xr.Variable(("sector", "y", "x"), per_sector, attrs)
    for name, variable in variables.items():
        dataset[name] = variable
        if "spatial_ref" in dataset.coords:
            dataset[name].encoding["grid_mapping"] = "spatial_ref"
    for name, values, about in (
        ("num_rb", [c.num_rb for c in planning.carriers], {"long_name": "resource blocks"}),
        (
            "scs_hz",
            [c.scs_hz for c in planning.carriers],
            {"long_name": "subcarrier spacing", "units": "Hz"},
        ),
    ):
        dataset.coords[name] = xr.Variable("sector", values, about, {"_FillValue": None})
    dataset.attrs["planning"] = json.dumps(asdict(planning.assumptions))


def _flag_dtype(values: npt.NDArray[Any]) -> npt.DTypeLike:
    """CF asks for flag values of the variable's own type, and has none of a truth value."""
    return np.int8 if values.dtype.kind == "b" else values.dtype


def encoding_of(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How the variables of `map_dataset` are stored: chunks, compression, missing values."""
    from zarr.codecs import BloscCodec, BloscShuffle

    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.data_vars.items():
        rows, columns = (min(size, CHUNK_CELLS) for size in variable.shape[-2:])
        encoding[str(name)] = {
            "chunks": (1, rows, columns) if variable.ndim == 3 else (rows, columns),
            "compressors": [BloscCodec(cname="zstd", clevel=5, shuffle=BloscShuffle.shuffle)],
            # An encoding given here replaces the variable's own, where the CRS is named.
            **({"grid_mapping": "spatial_ref"} if "spatial_ref" in dataset.coords else {}),
        }
        if variable.dtype.kind == "f":
            encoding[str(name)] |= {"dtype": "float32", "_FillValue": np.float32(np.nan)}
    return encoding


def read_zarr(path: str | os.PathLike[str]) -> RadioMap:
    """Read a map that `write_zarr` wrote.

    Parameters
    ----------
    path : path-like
        The store's directory or ZIP file.

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

    place = Path(path)
    if not (place.is_file() if _is_zip(place) else place.is_dir()):
        raise InputError(
            f"{path}: no such directory or ZIP file; give the path of a radio_map.zarr or "
            "radio_map.zarr.zip"
        )
    try:
        with (
            _opened(place) as store,
            xr.open_zarr(store, consolidated=False, decode_coords="all") as stored,
        ):
            dataset = stored.load()
        exact = json.loads(dataset.attrs["radio_map"])
        grid = Grid(**{**exact["grid"], "frame": Frame(**exact["grid"]["frame"])})
        return RadioMap(
            grid=grid,
            sectors=_sectors(dataset),
            path_gain_db=_gain(dataset["path_gain_db"].to_numpy()),
            standard_error_db=_layer(dataset, "standard_error_db"),
            outdoor=dataset["outdoor"].to_numpy().astype(bool),
            los=dataset["los"].to_numpy().astype(bool) if "los" in dataset else None,
            raw_path_gain_db=_gain(dataset["raw_path_gain_db"].to_numpy())
            if "raw_path_gain_db" in dataset
            else None,
            ground_m=_layer(dataset, "ground_m"),
            mean_delay_s=_layer(dataset, "mean_delay_s"),
            delay_spread_s=_layer(dataset, "delay_spread_s"),
            attrs=exact["attrs"],
        )
    except (OSError, KeyError, ValueError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{path}: not a radio map in Zarr ({type(error).__name__}: {error}); "
            "give a store that `rfplatform map` wrote"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Path | ZipStore]:
    if not _is_zip(path):
        yield path
        return
    from zarr.storage import ZipStore

    # Told here what is no archive: a store that can't open can't close, either.
    with ZipFile(path), ZipStore(path, mode="r") as store:
        yield store


def _layer(dataset: xr.Dataset, name: str) -> FloatArray | None:
    return np.asarray(dataset[name].to_numpy()) if name in dataset else None


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
            z_m=columns["local_z_m"][i],
            azimuth_deg=columns["azimuth_deg"][i],
            downtilt_deg=columns["downtilt_deg"][i],
            power_dbm=columns["power_dbm"][i],
            frequency_hz=columns["frequency_hz"][i],
            bandwidth_hz=columns["bandwidth_hz"][i],
            antenna=columns["antenna"][i],
            mount=columns["mount"][i],
            ground_m=columns["local_ground_m"][i],
        )
        for i, (label, site) in enumerate(zip(columns["sector"], columns["site"], strict=True))
    )
