"""Maps in blocks: windows of a stored one, and Zarr and GeoTIFF of one too large for memory."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.errors import InputError
from rfplatform.formats.geotiff import BLOCK_CELLS, Band, copy_cog, map_tags
from rfplatform.formats.zarr import CHUNK_CELLS, map_dataset
from rfplatform.frame import Frame
from rfplatform.mosaic import LAYERS
from rfplatform.planning.layers import Assumptions, planning_layers
from rfplatform.radiomap import BoolArray, Grid, RadioMap, Sector, flag_word

if TYPE_CHECKING:
    import xarray as xr
    import zarr

_NOBODY = {"best_sector": "no_path", "best_server": "no_server"}
RASTERS_OF_SECTORS = tuple(_NOBODY)
"""Layers that hold indices of sectors, -1 for none."""

RASTER_CACHE_BYTES = 256 << 20
"""Of GDAL while a large raster is written."""

SECTORS_AT_ONCE = 512
"""Of a store's head, since what one sector does to another takes their square in memory."""


@dataclass(frozen=True, eq=False)
class StoredMap:
    """A map in a Zarr store, of which parts are read.

    Attributes
    ----------
    path : Path
        A directory or a ZIP file.
    grid : Grid
    sectors : tuple of Sector
    attrs : mapping
    assumptions : Assumptions or None
        Of its planning layers; None: it has none.
    layers : tuple of str
        Those of `rfplatform.mosaic.LAYERS` that it has.
    """

    path: Path
    grid: Grid
    sectors: tuple[Sector, ...]
    attrs: dict[str, Any]
    assumptions: Assumptions | None
    layers: tuple[str, ...]

    def window(self, rows: slice, columns: slice, layers: Sequence[str]) -> RadioMap:
        """A part of the map with some of its layers, without sectors that have no path there.

        Their places in `sectors` are in the attribute "sector_ids" of the part.

        Raises
        ------
        InputError
            If it can't be read.
        """
        grid = replace(
            self.grid,
            west_m=self.grid.west_m + columns.start * self.grid.resolution_m,
            south_m=self.grid.south_m + rows.start * self.grid.resolution_m,
            num_x=columns.stop - columns.start,
            num_y=rows.stop - rows.start,
        )
        with _told(self.path), _group(self.path) as group:
            gain_db = _array(group, "path_gain_db")[:, rows, columns]
            lit = np.flatnonzero(np.isfinite(gain_db).any(axis=(1, 2)))
            found: dict[str, Any] = {"standard_error_db": None}
            for name in layers:
                array = _array(group, name)
                found[name] = (
                    array[rows, columns]
                    if array.ndim == 2
                    else _of_sectors(array, lit, rows, columns)
                )
            if "raw_path_gain_db" in found:
                found["raw_path_gain_db"] = _dark(found["raw_path_gain_db"])
            return RadioMap(
                grid=grid,
                sectors=tuple(self.sectors[i] for i in lit),
                path_gain_db=_dark(gain_db[lit]),
                outdoor=_array(group, "outdoor")[rows, columns].astype(bool),
                attrs={"sector_ids": lit.tolist()},
                **found,
            )


def open_map(path: str | os.PathLike[str]) -> StoredMap:
    """The head of a map that `write_zarr` wrote.

    Raises
    ------
    InputError
        If nothing is there, or something that is no radio map.
    """
    place = Path(path)
    with _told(place), _group(place) as group:
        exact = json.loads(str(group.attrs["radio_map"]))
        planning = group.attrs.get("planning")
        columns = {
            name: np.asarray(_array(group, name)[...]).tolist()
            for name in ("sector", "site", *_SECTOR_COLUMNS)
        }
        return StoredMap(
            path=place,
            grid=Grid(**{**exact["grid"], "frame": Frame(**exact["grid"]["frame"])}),
            sectors=tuple(
                Sector(
                    site=site,
                    name=label[len(site) + 1 :],
                    **{field: columns[name][i] for name, field in _SECTOR_COLUMNS.items()},
                )
                for i, (label, site) in enumerate(
                    zip(columns["sector"], columns["site"], strict=True)
                )
            ),
            attrs=exact["attrs"],
            assumptions=None if planning is None else Assumptions(**json.loads(str(planning))),
            layers=tuple(name for name in LAYERS if name in group),
        )


_SECTOR_COLUMNS = {
    "local_x_m": "x_m",
    "local_y_m": "y_m",
    "local_z_m": "z_m",
    "azimuth_deg": "azimuth_deg",
    "downtilt_deg": "downtilt_deg",
    "power_dbm": "power_dbm",
    "frequency_hz": "frequency_hz",
    "bandwidth_hz": "bandwidth_hz",
    "antenna": "antenna",
    "mount": "mount",
    "local_ground_m": "ground_m",
}


@contextmanager
def _group(path: Path) -> Iterator[zarr.Group]:
    import zarr
    from zarr.storage import ZipStore

    if path.is_dir():
        yield zarr.open_group(path, mode="r", use_consolidated=False)
        return
    if not path.is_file():
        raise InputError(f"{path}: no such directory or ZIP file")
    with ZipStore(path, mode="r") as store:
        yield zarr.open_group(store, mode="r", use_consolidated=False)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    from zipfile import BadZipFile

    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, AttributeError, BadZipFile) as error:
        raise InputError(
            f"{path}: not a radio map in Zarr ({type(error).__name__}: {error}); "
            "give a store that `rfplatform map` wrote"
        ) from error


def _array(group: zarr.Group, name: str) -> Any:  # noqa: ANN401  (zarr's own arrays)
    return group[name]


def _of_sectors(
    array: Any,  # noqa: ANN401
    ids: npt.NDArray[np.intp],
    rows: slice,
    columns: slice,
) -> npt.NDArray[Any]:
    if len(ids) == array.shape[0]:
        return np.asarray(array[:, rows, columns])
    shape = (len(ids), rows.stop - rows.start, columns.stop - columns.start)
    out = np.empty(shape, dtype=array.dtype)
    for own, i in enumerate(ids):
        out[own] = array[int(i), rows, columns]
    return out


def _dark(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Missing levels as -inf, in place."""
    values[np.isnan(values)] = -np.inf
    return values


class BlockStore:
    """A Zarr store of `write_zarr`'s form that is filled block by block.

    What is never written, and what is missing all over a chunk, takes no space.

    Parameters
    ----------
    path : path-like
        A directory that is not there yet; written straight to it.
    grid : Grid
    sectors : sequence of Sector
    assumptions : Assumptions
        Of the planning layers.
    layers : sequence of str
        Of `rfplatform.mosaic.LAYERS`: those that the blocks have.
    attrs : mapping
        Of the map.
    chunk_cells : int
        Longest edge of a chunk. A block begins at a whole multiple of it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        grid: Grid,
        sectors: Sequence[Sector],
        assumptions: Assumptions,
        *,
        layers: Sequence[str],
        attrs: dict[str, Any],
        chunk_cells: int = CHUNK_CELLS,
    ) -> None:
        import zarr

        self._grid = grid
        with _quiet():
            self._group = zarr.open_group(path, mode="w-", zarr_format=3)
        self._fill(_head(grid, sectors, assumptions, layers, attrs), chunk_cells, sectors)

    def _fill(self, head: xr.Dataset, chunk_cells: int, sectors: Sequence[Sector]) -> None:
        """Make the arrays as those of a dataset of one cell, in full size."""
        import zarr
        from zarr.storage import MemoryStore

        from rfplatform.formats.zarr import encoding_of

        grid, store = self._grid, MemoryStore()
        with _quiet():
            head.to_zarr(store, mode="w-", zarr_format=3, encoding=encoding_of(head))
        small = zarr.open_group(store, mode="r", use_consolidated=False)
        exact = json.loads(str(small.attrs["radio_map"]))
        exact["grid"] = asdict(grid)
        self._group.attrs.update(
            {**small.attrs.asdict(), "radio_map": json.dumps(exact, ensure_ascii=False)}
        )
        axes = {"x": grid.easting_m(), "y": grid.northing_m()}
        chunks = tuple(min(size, chunk_cells) for size in grid.shape)
        for name in small.array_keys():
            array = _array(small, name)
            if name in head.coords:
                values = np.asarray(axes.get(name, array[...]))
                made = self._made(name, array, values.shape, values.shape, array.fill_value)
                made[...] = values
                continue
            is_index = name in RASTERS_OF_SECTORS
            of_sectors = array.ndim == 3
            made = self._made(
                name,
                array,
                (len(sectors), *grid.shape) if of_sectors else grid.shape,
                (1, *chunks) if of_sectors else chunks,
                -1 if is_index else array.fill_value,
            )
            if is_index:
                made.attrs["flag_values"] = list(range(-1, len(sectors)))
                words = [flag_word(s.label) for s in sectors]
                made.attrs["flag_meanings"] = " ".join([_NOBODY[name], *words])

    def _made(
        self,
        name: str,
        like: Any,  # noqa: ANN401  (zarr's own arrays)
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        fill_value: object,
    ) -> Any:  # noqa: ANN401
        return self._group.create_array(
            name,
            shape=shape,
            dtype=str if like.dtype.kind in "OTU" else like.dtype,
            chunks=tuple(max(1, size) for size in chunks),
            compressors=like.compressors,
            filters=like.filters,
            fill_value=fill_value,
            attributes=dict(like.attrs),
            dimension_names=like.metadata.dimension_names,
        )

    def write(
        self, block: xr.Dataset, row: int, column: int, sector_ids: npt.NDArray[np.intp]
    ) -> None:
        """Write a block's dataset.

        Parameters
        ----------
        block : xarray.Dataset
            As `rfplatform.formats.zarr.map_dataset` makes it of a part of the map.
        row, column : int
            Of its first cell in the store.
        sector_ids : ndarray of int
            Which of the store's sectors its own are.
        """
        for name, variable in block.data_vars.items():
            target = _array(self._group, str(name))
            values = variable.to_numpy()
            rows = slice(row, row + values.shape[-2])
            columns = slice(column, column + values.shape[-1])
            if values.ndim == 2:
                target[rows, columns] = values
                continue
            for own, sector_id in enumerate(sector_ids):
                if values.dtype.kind != "f" or np.isfinite(values[own]).any():
                    target[sector_id, rows, columns] = values[own]

    def close(self) -> None:
        """Write the metadata of all arrays in one place, so that opening is quick."""
        import zarr

        with _quiet():
            zarr.consolidate_metadata(self._group.store)


class BlockRaster:
    """A raster that is written block by block, and copied as a Cloud Optimized GeoTIFF.

    Parameters
    ----------
    path : Path
        Of what is written; it goes when it is copied.
    grid : Grid
    sectors : sequence of Sector
    per_sector : bool
        Begin with a band for each sector.
    attrs : mapping
        Of the map, for the file's tags.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        sectors: Sequence[Sector],
        *,
        per_sector: bool,
        attrs: Mapping[str, Any],
    ) -> None:
        self._path, self._grid, self._attrs = path, grid, attrs
        self._sectors = tuple(sectors) if per_sector else ()
        self._file: Any = None

    def __enter__(self) -> BlockRaster:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(
        self,
        bands: Sequence[Band],
        covered: BoolArray,
        rows: slice,
        columns: slice,
        sector_ids: npt.NDArray[np.intp],
    ) -> None:
        """Write a block's bands, as `rfplatform.formats.geotiff.map_bands` makes them.

        Parameters
        ----------
        bands : sequence of Band
            Those of the block's own sectors first, where each has one.
        covered : ndarray, [num_y, num_x], bool
            Cells where something is known.
        rows, columns : slice
            The block's; row 0 is south.
        sector_ids : ndarray of int
            Which of the raster's sectors the block's own are.
        """
        from rasterio.windows import Window

        of_sectors = len(sector_ids) if self._sectors else 0
        first = len(self._sectors) + 1
        if self._file is None:
            self._open(bands[of_sectors:])
        numbers = [
            *(int(i) + 1 for i in sector_ids[:of_sectors]),
            *range(first, first + len(bands) - of_sectors),
        ]
        window = Window(
            columns.start,
            self._grid.num_y - rows.stop,
            columns.stop - columns.start,
            rows.stop - rows.start,
        )
        for number, band in zip(numbers, bands, strict=True):
            known = np.asarray(band.values, dtype=np.float32)
            known = np.where(covered & ~np.isneginf(known), known, np.float32(np.nan))
            self._file.write(known[::-1], number, window=window)

    def _open(self, others: Sequence[Band]) -> None:
        import rasterio
        from rasterio.transform import from_origin

        grid = self._grid
        of_sectors = [Band(s.label, "dBm", np.empty((0, 0))) for s in self._sectors]
        bands = [*of_sectors, *others]
        self._file = rasterio.open(
            self._path,
            "w",
            driver="GTiff",
            dtype="float32",
            count=len(bands),
            height=grid.num_y,
            width=grid.num_x,
            crs=grid.frame.crs,
            transform=from_origin(
                grid.west_m + grid.frame.origin_easting_m,
                grid.north_m + grid.frame.origin_northing_m,
                grid.resolution_m,
                grid.resolution_m,
            ),
            nodata=np.nan,
            tiled=True,
            blockxsize=BLOCK_CELLS,
            blockysize=BLOCK_CELLS,
            interleave="band",
            compress="DEFLATE",
            zlevel=1,
            sparse_ok=True,
            bigtiff="IF_SAFER",
        )
        self._file.descriptions = tuple(band.description for band in bands)
        self._file.units = tuple(band.unit for band in bands)
        empty = RadioMap(
            replace(grid, num_x=1, num_y=1),
            (),
            np.empty((0, 1, 1), dtype=np.float32),
            None,
            np.zeros((1, 1), dtype=bool),
            attrs=self._attrs,
        )
        self._file.update_tags(TIFFTAG_SOFTWARE=f"rfplatform {__version__}", **map_tags(empty))
        for number, band in enumerate(bands, start=1):
            if band.tags:
                self._file.update_tags(number, **band.tags)

    def copy_to(self, path: Path) -> None:
        """Make the Cloud Optimized GeoTIFF of what was written."""
        import rasterio

        self._file.close()
        with small_raster_cache(), rasterio.open(self._path) as source:
            copy_cog(source, path, sparse=True)
        self._path.unlink()


@contextmanager
def small_raster_cache() -> Iterator[None]:
    """Keep GDAL's cache small meanwhile: by default it is a twentieth of the machine's memory."""
    import rasterio

    with rasterio.Env(GDAL_CACHEMAX=RASTER_CACHE_BYTES):
        yield


def _head(
    grid: Grid,
    sectors: Sequence[Sector],
    assumptions: Assumptions,
    layers: Sequence[str],
    attrs: dict[str, Any],
) -> xr.Dataset:
    """The dataset of a map's first cell: names, types and attributes of all that it has."""
    import xarray as xr

    cell = replace(grid, num_x=1, num_y=1)
    parts = []
    for first in range(0, max(len(sectors), 1), SECTORS_AT_ONCE):
        some = tuple(sectors[first : first + SECTORS_AT_ONCE])
        dark = np.full((len(some), 1, 1), -np.inf, dtype=np.float32)
        missing = np.full((len(some), 1, 1), np.nan, dtype=np.float32)
        values: dict[str, Any] = {
            name: missing
            for name in ("standard_error_db", "mean_delay_s", "delay_spread_s")
            if name in layers
        }
        values |= {"raw_path_gain_db": dark} if "raw_path_gain_db" in layers else {}
        values |= {"los": np.zeros(dark.shape, bool)} if "los" in layers else {}
        values |= {"ground_m": missing[0]} if "ground_m" in layers else {}
        radio_map = RadioMap(
            grid=cell,
            sectors=some,
            path_gain_db=dark,
            outdoor=np.zeros((1, 1), dtype=bool),
            attrs=attrs,
            **{"standard_error_db": None, **values},
        )
        planning = planning_layers(radio_map, assumptions)
        parts.append(map_dataset(radio_map, planning, assumptions.noise_figure_db))
    if len(parts) == 1:
        return parts[0]
    joined: xr.Dataset = xr.concat(
        parts, dim="sector", data_vars="minimal", coords="minimal", compat="override",
        combine_attrs="override",
    )  # fmt: skip
    return joined


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        yield
