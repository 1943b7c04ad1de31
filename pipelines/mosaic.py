"""The tiles of a batch to one map, block by block, so that its size is the disk's alone."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipelines.batch.collection import members_of
from pipelines.map import COVERAGE_DBM
from pipelines.mosaic_plan import Plan, blocks, planned, wanted
from pipelines.scene import Report, plain, require_output, versions, write_json
from rfplatform.errors import InputError
from rfplatform.formats.blocks import (
    RASTERS_OF_SECTORS,
    BlockRaster,
    BlockStore,
    small_raster_cache,
)
from rfplatform.formats.geotiff import Band, map_bands
from rfplatform.formats.zarr import map_dataset
from rfplatform.geodata.place import parse_bbox
from rfplatform.mosaic import LAYERS, Part, blend, level_at_cuts_dbm
from rfplatform.planning.layers import PlanningLayers, planning_layers
from rfplatform.radiomap import BoolArray, Grid, RadioMap
from rfplatform.registry.store import Store
from rfplatform.scene import Area, Scene, Solids
from rfplatform.staging import staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    import xarray as xr

ZARR, TIF, PNG, RECORD = "radio_map.zarr", "radio_map.tif", "radio_map.png", "mosaic.json"
MAX_SECTOR_BANDS = 32
"""Sectors up to which each has a band in the GeoTIFF; with more, only what the best gives."""
MAX_NAMED_SERVERS = 1000
"""Sectors up to which the GeoTIFF's tags tell their names."""
MAX_PICTURE_CELLS = 1200
"""Longest edge of what is drawn; of a larger mosaic every n-th cell is."""
MAX_PICTURE_SECTORS = 32
"""Sectors up to which the picture shows their sites."""


@dataclass(frozen=True)
class Config:
    """Which tiles to put together, and where to write the mosaic.

    Attributes
    ----------
    store : str
        What a batch wrote: a folder or a URL.
    out : Path
        The directory to write.
    job : str, optional
        Take the maps of this job alone.
    bbox : str, optional
        ``W,S,E,N`` to keep.
    overwrite : bool
        Replace an earlier output.
    """

    store: str
    out: Path
    job: str | None = None
    bbox: str | None = None
    overwrite: bool = False


def main(config: Config, *, report: Report | None = None) -> dict[str, Any]:
    """Write ``radio_map.zarr``, ``radio_map.tif``, ``radio_map.png`` and ``mosaic.json``.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        What ``mosaic.json`` holds, and "out".

    Raises
    ------
    InputError
        No maps are there, or they don't fit each other; then nothing is written.
    MissingError
        The store can't be read.
    """
    tell = report or (lambda _: None)
    started = time.perf_counter()
    store = Store(config.store)
    require_output(
        config.out,
        overwrite=config.overwrite,
        own={ZARR, TIF, PNG, RECORD},
        inputs=[store.folder],
    )
    bbox = None if config.bbox is None else parse_bbox(config.bbox)
    tell("Looking for maps")
    members = wanted(members_of(store, config.job), bbox)
    with staged(config.out, config.overwrite) as partial:
        partial.mkdir()
        work = partial / ".work"
        work.mkdir()
        plan = planned(members, store, work, bbox, tell)
        tally = _Tally()
        planned_s = time.perf_counter() - started
        _write_blocks(plan, partial, work, tally, tell)
        tell("Drawing the picture")
        _draw(plan, partial)
        shutil.rmtree(work)
        record = {
            **_describe(plan, tally),
            "stages_s": {
                "tiles": round(planned_s, 2),
                "mosaic": round(time.perf_counter() - started - planned_s, 2),
            },
            "options": plain(asdict(config)),
            "versions": versions(),
            "outputs": sorted([ZARR, TIF, PNG, RECORD]),
        }
        write_json(record, partial / RECORD)
    return {**record, "out": str(config.out)}


# ----------------------------------------------------------------------------------------------
# Block by block
# ----------------------------------------------------------------------------------------------


def _write_blocks(plan: Plan, partial: Path, work: Path, tally: _Tally, tell: Report) -> None:
    todo = list(blocks(plan))
    if not todo:
        raise InputError("bbox: no map lies in it (W,S,E,N: longitude before latitude)")
    store = BlockStore(
        partial / ZARR,
        plan.grid,
        plan.sectors,
        plan.assumptions,
        layers=plan.layers,
        attrs=plan.attrs,
        chunk_cells=plan.chunk_cells,
    )
    raster = BlockRaster(
        work / "bands.tif",
        plan.grid,
        plan.sectors,
        per_sector=len(plan.sectors) <= MAX_SECTOR_BANDS,
        attrs=plan.attrs,
    )
    with small_raster_cache(), raster:
        for number, (rows, columns, near) in enumerate(todo, start=1):
            tell(f"Blending block {number} of {len(todo)}")
            block = _block(plan, rows, columns, near)
            store.write(block.dataset, rows.start, columns.start, block.sector_ids)
            raster.write(block.bands, block.covered, rows, columns, block.sector_ids)
            tally.add(block.dataset, block.covered)
            tally.add_cuts(plan, block)
            del block  # Or it would lie in memory beside the next.
    store.close()
    tell("Writing the GeoTIFF")
    raster.copy_to(partial / TIF)


CUT_DBM = -100.0
"""RSS of a sector at which it matters that a tile does not have it."""


@dataclass(frozen=True, eq=False)
class _Block:
    """A block's layers, as they are in the files."""

    dataset: xr.Dataset
    bands: list[Band]
    covered: BoolArray
    sector_ids: npt.NDArray[np.intp]
    cut_dbm: FloatArray


def _block(plan: Plan, rows: slice, columns: slice, near: npt.NDArray[np.intp]) -> _Block:
    """Blend and plan a block with a cell around it, since a handover lies between two cells."""
    edge_m = plan.grid.resolution_m
    low, left = max(rows.start - 1, 0), max(columns.start - 1, 0)
    high = min(rows.stop + 1, plan.grid.num_y)
    right = min(columns.stop + 1, plan.grid.num_x)
    grid = replace(
        plan.grid,
        west_m=plan.grid.west_m + left * edge_m,
        south_m=plan.grid.south_m + low * edge_m,
        num_x=right - left,
        num_y=high - low,
    )
    parts, ids = _parts(plan, slice(low, high), slice(left, right), near)
    sectors = [plan.sectors[i] for i in ids]
    radio_map, covered = blend(grid, sectors, parts, plan.attrs)
    cut_dbm = level_at_cuts_dbm(grid, sectors, parts)
    del parts
    if len(ids) == 0:
        radio_map = _without_power(radio_map, plan)
        ids, cut_dbm = np.array([0], dtype=np.intp), np.array([-np.inf])
    planning = planning_layers(radio_map, plan.assumptions)
    dataset = map_dataset(radio_map, planning, plan.assumptions.noise_figure_db)
    for name in RASTERS_OF_SECTORS:
        dataset[name] = dataset[name].copy(data=_renumbered(dataset[name].to_numpy(), ids))
    dataset["rate_bps"] = dataset["rate_bps"].where(covered)
    inner = (
        slice(rows.start - low, rows.stop - low),
        slice(columns.start - left, columns.stop - left),
    )
    whole = _of_whole(planning, plan, ids)
    bands = map_bands(radio_map, whole, per_sector=len(plan.sectors) <= MAX_SECTOR_BANDS)
    return _Block(
        dataset.isel(y=inner[0], x=inner[1]),
        [replace(band, values=band.values[inner]) for band in bands],
        covered[inner],
        ids,
        cut_dbm,
    )


def _parts(
    plan: Plan, rows: slice, columns: slice, near: npt.NDArray[np.intp]
) -> tuple[list[Part], npt.NDArray[np.intp]]:
    """What some tiles bring into a window of the mosaic, and which sectors reach it."""
    read = []
    for i in near.tolist():
        tile, sector_ids = plan.tiles[i], plan.sector_ids[i]
        row, column = tile.row - plan.row, tile.column - plan.column
        own_rows = slice(max(rows.start - row, 0), min(rows.stop - row, tile.map.grid.num_y))
        own_columns = slice(
            max(columns.start - column, 0), min(columns.stop - column, tile.map.grid.num_x)
        )
        if own_rows.start >= own_rows.stop or own_columns.start >= own_columns.stop:
            continue
        radio_map = tile.map.window(own_rows, own_columns, plan.layers)
        of_x, of_y = tile.weights
        weight = of_y[own_rows, None] * of_x[None, own_columns]
        read.append((radio_map, sector_ids[radio_map.attrs["sector_ids"]], weight))
    ids = np.unique(np.concatenate([own for _, own, _ in read]).astype(np.intp))
    return [
        Part(radio_map, np.searchsorted(ids, own), weight) for radio_map, own, weight in read
    ], ids


def _without_power(radio_map: RadioMap, plan: Plan) -> RadioMap:
    """A map that no sector reaches, with one: planning needs a carrier."""
    shape = (1, *radio_map.grid.shape)
    grown: dict[str, Any] = {
        name: np.full(shape, False if name == "los" else np.nan, dtype=layer.dtype)
        for name in LAYERS
        if name != "ground_m" and (layer := getattr(radio_map, name)) is not None
    }
    if "raw_path_gain_db" in grown:
        grown["raw_path_gain_db"][...] = -np.inf
    dark = np.full(shape, -np.inf, dtype=np.float32)
    return replace(radio_map, sectors=plan.sectors[:1], path_gain_db=dark, **grown)


def _renumbered(indices: npt.NDArray[np.int16], ids: npt.NDArray[np.intp]) -> npt.NDArray[np.int16]:
    """Indices of a block's sectors as those of the mosaic's."""
    return np.where(indices < 0, -1, ids[np.maximum(indices, 0)]).astype(np.int16)


def _of_whole(planning: PlanningLayers, plan: Plan, ids: npt.NDArray[np.intp]) -> PlanningLayers:
    named = plan.sectors if len(plan.sectors) <= MAX_NAMED_SERVERS else ()
    return replace(planning, sectors=named, best_server=_renumbered(planning.best_server, ids))


# ----------------------------------------------------------------------------------------------
# What it shows
# ----------------------------------------------------------------------------------------------


class _Tally:
    """Counts over all blocks, of which shares and medians are made."""

    def __init__(self) -> None:
        self.covered = self.outdoor = self.reached = 0
        self.at_least = dict.fromkeys(COVERAGE_DBM, 0)
        self._edges = np.arange(-300.0, 101.0, 0.1)
        self._rss = np.zeros(len(self._edges) - 1, dtype=np.int64)
        self._sinr = np.zeros_like(self._rss)
        self._cut_dbm: dict[str, float] = {}

    def add(self, dataset: xr.Dataset, covered: BoolArray) -> None:
        outdoor = dataset["outdoor"].to_numpy() & covered
        rss_dbm = dataset["best_rss_dbm"].to_numpy()[outdoor]
        sinr_db = dataset["sinr_db"].to_numpy()[outdoor]
        reached = np.isfinite(rss_dbm)
        self.covered += int(covered.sum())
        self.outdoor += len(rss_dbm)
        self.reached += int(reached.sum())
        for level_dbm in self.at_least:
            self.at_least[level_dbm] += int((rss_dbm[reached] >= level_dbm).sum())
        self._rss += np.histogram(rss_dbm[reached], self._edges)[0]
        self._sinr += np.histogram(sinr_db[reached], self._edges)[0]

    def add_cuts(self, plan: Plan, block: _Block) -> None:
        """Note which sectors end at the margin of tiles, where they are still received."""
        for sector_id, level_dbm in zip(block.sector_ids, block.cut_dbm, strict=True):
            if level_dbm >= CUT_DBM:
                label = plan.sectors[sector_id].label
                self._cut_dbm[label] = max(level_dbm, self._cut_dbm.get(label, -np.inf))

    def cut_warnings(self) -> list[str]:
        """What a reader must know of sectors that end too soon."""
        if not self._cut_dbm:
            return []
        label, level_dbm = max(self._cut_dbm.items(), key=lambda item: item[1])
        more = len(self._cut_dbm) - 1
        others = f" and {more} more sector{'s' if more > 1 else ''}" if more else ""
        return [
            f"{label}{others} end where a tile begins that lies beyond their tile_margin_m, with "
            f"up to {level_dbm:.0f} dBm: a larger margin shows them farther"
        ]

    def coverage(self) -> dict[str, Any]:
        """As of a map, see `pipelines.map.coverage`."""
        cells = max(self.outdoor, 1)
        return {
            "outdoor_cells": self.outdoor,
            "reached": round(self.reached / cells, 4),
            "rss_at_least_dbm": {
                f"{level:g}": round(count / cells, 4) for level, count in self.at_least.items()
            },
            "median_best_rss_dbm": self._median(self._rss),
            "median_sinr_db": self._median(self._sinr),
        }

    def _median(self, counts: npt.NDArray[np.int64]) -> float | None:
        if not counts.sum():
            return None
        bin_ = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
        return round(float(self._edges[bin_] + 0.05), 1)


def _draw(plan: Plan, partial: Path) -> None:
    """The picture, of every n-th cell where there are many."""
    import zarr

    from rfplatform.formats.picture import write_png

    step = -(-max(plan.grid.shape) // MAX_PICTURE_CELLS)
    grid = replace(
        plan.grid,
        resolution_m=plan.grid.resolution_m * step,
        num_x=-(-plan.grid.num_x // step),
        num_y=-(-plan.grid.num_y // step),
    )
    group: Any = zarr.open_group(partial / ZARR, mode="r")
    outdoor = group["outdoor"][::step, ::step]
    if len(plan.sectors) <= MAX_PICTURE_SECTORS:
        sectors, gain_db = plan.sectors, group["path_gain_db"][:, ::step, ::step]
    else:
        # More sites than a picture can show: it shows none, and what the best gives.
        sectors = (replace(plan.sectors[0], site="", x_m=-1e7, power_dbm=0.0),)
        gain_db = group["best_rss_dbm"][::step, ::step][None]
    gain_db[np.isnan(gain_db)] = -np.inf
    standing = ~outdoor & _covered(plan, step)
    top_z_m = np.where(standing, np.inf, np.nan).astype(np.float32)
    write_png(
        RadioMap(
            grid,
            sectors,
            gain_db,
            None,
            outdoor,
            ground_m=group["ground_m"][::step, ::step] if "ground_m" in plan.layers else None,
            attrs=plan.attrs,
        ),
        Scene(
            Area(str(plan.attrs["title"]), *_bounds_deg(plan.grid)),
            grid.frame,
            (),
            attribution=str(plan.attrs["attribution"]),
            solids=Solids(Path(), grid.west_m, grid.south_m, grid.resolution_m, top_z_m),
        ),
        partial / PNG,
        noise_figure_db=plan.assumptions.noise_figure_db,
    )


def _covered(plan: Plan, step: int) -> BoolArray:
    """Every n-th cell of the mosaic: whether it lies in a tile."""
    covered = np.zeros([-(-size // step) for size in plan.grid.shape], dtype=bool)
    for tile in plan.tiles:
        row, column = tile.row - plan.row, tile.column - plan.column
        low, left = max(-(-row // step), 0), max(-(-column // step), 0)
        high = max(-(-(row + tile.map.grid.num_y) // step), 0)
        right = max(-(-(column + tile.map.grid.num_x) // step), 0)
        covered[low:high, left:right] = True
    return covered


def _bounds_deg(grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east, north of the grid's corners."""
    lon, lat = grid.frame.to_lonlat(
        [grid.west_m, grid.east_m, grid.west_m, grid.east_m],
        [grid.south_m, grid.south_m, grid.north_m, grid.north_m],
    )
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def _describe(plan: Plan, tally: _Tally) -> dict[str, Any]:
    grid = plan.grid
    cells = grid.num_x * grid.num_y
    west = grid.west_m + grid.frame.origin_easting_m
    south = grid.south_m + grid.frame.origin_northing_m
    return {
        "title": plan.attrs["title"],
        "attribution": plan.attrs["attribution"],
        "crs": grid.frame.crs,
        "bounds_deg": [round(bound, 7) for bound in _bounds_deg(grid)],
        "bounds_m": [
            west,
            south,
            west + grid.num_x * grid.resolution_m,
            south + grid.num_y * grid.resolution_m,
        ],
        "grid": {
            "num_x": grid.num_x,
            "num_y": grid.num_y,
            "resolution_m": grid.resolution_m,
            "receiver_height_m": grid.receiver_height_m,
            "west_easting_m": west,
            "south_northing_m": south,
        },
        "jobs": sorted({t.job for t in plan.tiles if t.job}),
        "members": [t.ref for t in plan.tiles],
        "tiles": {
            "count": len(plan.tiles),
            "missing": plan.num_missing,
            "covered_share": round(tally.covered / cells, 4),
        },
        "sectors": {
            "count": len(plan.sectors),
            "sites": len({s.site for s in plan.sectors}),
            "frequencies_hz": sorted({s.frequency_hz for s in plan.sectors}),
        },
        "layers": list(plan.layers),
        "solver": {
            k: v for k, v in plan.attrs.items() if k not in ("title", "attribution", "num_tiles")
        },
        "coverage": tally.coverage(),
        "planning": {"assumptions": asdict(plan.assumptions)},
        "chunk_cells": plan.chunk_cells,
        "blending": "linear power, weights linear over the overlap; errors as of independent tiles",
        "warnings": [*plan.warnings, *tally.cut_warnings()],
    }
