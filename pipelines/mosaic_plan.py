"""Which tiles make a mosaic, whether they fit, and in which blocks they are joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.batch.collection import Member
from pipelines.scene import Report
from rfplatform.errors import InputError
from rfplatform.formats.blocks import StoredMap, open_map
from rfplatform.formats.zarr import CHUNK_CELLS
from rfplatform.frame import Frame
from rfplatform.mosaic import LAYERS, Seams, moved
from rfplatform.planning.layers import Assumptions
from rfplatform.radiomap import Grid, Sector
from rfplatform.registry.artifact import Artifact
from rfplatform.registry.store import Store
from rfplatform.scene import Area
from rfplatform.units import FloatArray

TILE_ZARR = "radio_map.zarr.zip"

CHUNKS_CELLS = (CHUNK_CELLS, 512, 256, 128)
MEMORY_BYTES = 1 << 30
BYTES_PER_CELL, BYTES_PER_SECTOR_CELL = 300, 130
"""Peak of working memory of a block for each cell, and for each sector's; measured, rounded up."""

SAME_PLACE_M = 1.0
"""Antennas of one name that stand this near are one."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A member's map and where it lies, in cells from the origin of the CRS."""

    job: str
    artifact: Artifact
    map: StoredMap
    column: int
    row: int
    core_m: tuple[float, float, float, float]

    @property
    def ref(self) -> str:
        return self.artifact.ref

    @cached_property
    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Of its columns and rows: it fades over twice what it has beyond its core."""
        grid = self.map.grid
        east, north = grid.frame.origin_easting_m, grid.frame.origin_northing_m
        beyond = (
            self.core_m[0] - grid.west_m - east,
            self.core_m[1] - grid.south_m - north,
            grid.east_m + east - self.core_m[2],
            grid.north_m + north - self.core_m[3],
        )
        return Seams(*(2.0 * max(d, 0.0) for d in beyond)).weights(grid)


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be made of which tiles."""

    tiles: tuple[Tile, ...]
    sector_ids: tuple[npt.NDArray[np.intp], ...]
    sectors: tuple[Sector, ...]
    grid: Grid
    column: int
    row: int
    layers: tuple[str, ...]
    assumptions: Assumptions
    attrs: dict[str, Any]
    chunk_cells: int
    warnings: tuple[str, ...]
    num_missing: int


def wanted(members: Sequence[Member], bbox: Area | None) -> list[Member]:
    """Members that lie in a box.

    Raises
    ------
    InputError
        None does, or their facts don't fit each other.
    """
    _require_alike(members, "CRS", lambda facts: facts["crs"])
    if members[0][1].facts["crs"] is None:
        raise InputError(f"{members[0][1].ref} is in local metres: it lies beside nothing")
    _require_alike(members, "resolution", lambda facts: f"{facts['grid']['resolution_m']:g} m")
    _require_alike(
        members, "receiver height", lambda facts: f"{facts['grid']['receiver_height_m']:g} m"
    )
    _require_alike(members, "solver", lambda facts: facts["solver"].get("solver"))
    _require_carriers(members)
    if bbox is None:
        return list(members)
    west, south, east, north = bbox.bounds_m(Frame(members[0][1].facts["crs"], 0.0, 0.0))
    inside = [
        (job, artifact)
        for job, artifact in members
        if artifact.facts["bounds_m"][0] < east
        and artifact.facts["bounds_m"][2] > west
        and artifact.facts["bounds_m"][1] < north
        and artifact.facts["bounds_m"][3] > south
    ]
    if not inside:
        raise InputError("bbox: no map lies in it (W,S,E,N: longitude before latitude)")
    return inside


def _require_alike(members: Sequence[Member], what: str, of: Any) -> None:  # noqa: ANN401
    """Refuse maps that differ in something."""
    first_job, first = members[0]
    value = of(first.facts)
    for job, artifact in members:
        other = of(artifact.facts)
        if other != value:
            raise InputError(
                f"maps of differing {what} make no mosaic: {first.ref} has {value}, "
                f"{artifact.ref} has {other}{_choice(first_job, job)}"
            )


def _choice(first: str, second: str) -> str:
    """What to do about two maps that don't fit."""
    if first == second:
        return ": take part of them with --bbox"
    return f': choose one job, as in --job "{first}" or --job "{second}"'


def _require_carriers(members: Sequence[Member]) -> None:
    """Refuse jobs on differing carriers; within a job each site has its own."""
    carriers: dict[str, set[float]] = defaultdict(set)
    for job, artifact in members:
        carriers[job] |= {float(s["frequency_hz"]) for s in artifact.facts["sectors"]}
    jobs = list(carriers)
    for job in jobs[1:]:
        if carriers[job] != carriers[jobs[0]]:
            first, second = (
                ", ".join(f"{f / 1e9:g}" for f in sorted(carriers[j])) for j in (jobs[0], job)
            )
            raise InputError(
                f"jobs of differing carriers make no mosaic: {first} GHz in {jobs[0]!r}, "
                f"{second} GHz in {job!r}{_choice(jobs[0], job)}"
            )


def planned(
    members: Sequence[Member],
    store: Store,
    work: Path,
    bbox: Area | None,
    tell: Report,
) -> Plan:
    """Open the maps, and refuse those that don't fit each other.

    Parameters
    ----------
    members : sequence of (str, Artifact)
        From `wanted`.
    store : Store
    work : Path
        A folder for what is fetched from a store elsewhere.
    bbox : Area, optional
        What to keep.
    tell : callable
        Told what is done next.
    """
    tiles = []
    for number, (job, artifact) in enumerate(members, start=1):
        tell(f"Opening map {number} of {len(members)}")
        tiles.append(_open(job, artifact, store, work))
    tiles.sort(key=lambda t: (t.row, t.column, t.ref))
    _require_apart(tiles)
    assumptions = _assumptions(tiles)
    grid, column, row = _grid(tiles, bbox)
    sectors, sector_ids, notes = _sectors(tiles, grid)
    layers = tuple(name for name in LAYERS if all(name in t.map.layers for t in tiles))
    lost = [
        name for name in LAYERS if name not in layers and any(name in t.map.layers for t in tiles)
    ]
    missing = 0 if bbox is not None else _num_missing(tiles)
    warnings = [
        *notes,
        *(f"{name} is left out: not every map has it" for name in lost),
    ]
    if missing:
        warnings.append(
            f"{missing} of {missing + len(tiles)} tiles have no map: nothing is known there"
        )
    plan = Plan(
        tuple(tiles),
        tuple(sector_ids),
        sectors,
        grid,
        column,
        row,
        layers,
        assumptions,
        _attrs(tiles),
        CHUNK_CELLS,
        tuple(warnings),
        missing,
    )
    return replace(plan, chunk_cells=_chunk_cells(plan))


def _open(job: str, artifact: Artifact, store: Store, work: Path) -> Tile:
    """Open a member's map; from a store elsewhere, it is fetched."""
    if all(f.path != TILE_ZARR for f in artifact.files):
        raise InputError(
            f"{artifact.ref} has no {TILE_ZARR}: run the batch with zarr among its formats"
        )
    file = artifact.file(TILE_ZARR)
    if store.folder is None:
        local = Store(str(work / "fetched"))
        local.copy_file(file, store)
        opened = open_map(local.place_of(file))
    else:
        opened = open_map(store.place_of(file))
    grid = opened.grid
    west = grid.west_m + grid.frame.origin_easting_m
    south = grid.south_m + grid.frame.origin_northing_m
    column, row = west / grid.resolution_m, south / grid.resolution_m
    if max(abs(column - round(column)), abs(row - round(row))) > 1e-3:
        raise InputError(
            f"{artifact.ref}: its cells begin at {west:.3f}, {south:.3f}, which are no whole "
            f"multiples of {grid.resolution_m:g} m: it fits no mosaic"
        )
    tile = artifact.facts.get("tile")
    core = tile["core_bounds_m"] if tile else artifact.facts["bounds_m"]
    return Tile(job, artifact, opened, round(column), round(row), tuple(core))


def _require_apart(tiles: Sequence[Tile]) -> None:
    """Refuse maps of the same ground: only what lies beside each other makes a mosaic."""
    import shapely

    slack_m = tiles[0].map.grid.resolution_m
    west, south, east, north = np.array([t.core_m for t in tiles], dtype=float).T
    boxes = shapely.box(
        west + slack_m / 2, south + slack_m / 2, east - slack_m / 2, north - slack_m / 2
    )
    first, second = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        if i < j and shapely.area(shapely.intersection(boxes[i], boxes[j])) > slack_m**2:
            raise InputError(
                f"{tiles[i].ref} and {tiles[j].ref} are maps of the same ground"
                f"{_choice(tiles[i].job, tiles[j].job)}"
            )


def _assumptions(tiles: Sequence[Tile]) -> Assumptions:
    """Those that all tiles were planned with."""
    first = tiles[0]
    for tile in tiles:
        if tile.map.assumptions != first.map.assumptions:
            raise InputError(
                f"{first.ref} and {tile.ref} rest on differing planning assumptions"
                f"{_choice(first.job, tile.job)}"
            )
        if ("ground_m" in tile.map.layers) != ("ground_m" in first.map.layers):
            raise InputError(
                f"of {first.ref} and {tile.ref} one lies on terrain and the other on flat ground"
                f"{_choice(first.job, tile.job)}"
            )
    return first.map.assumptions or Assumptions()


def _grid(tiles: Sequence[Tile], bbox: Area | None) -> tuple[Grid, int, int]:
    """The mosaic's grid, and its first column and row from the origin of the CRS."""
    some = tiles[0].map.grid
    edge_m = some.resolution_m
    west, south = min(t.column for t in tiles), min(t.row for t in tiles)
    east = max(t.column + t.map.grid.num_x for t in tiles)
    north = max(t.row + t.map.grid.num_y for t in tiles)
    if bbox is not None:
        box = Grid.covering(
            bbox.bounds_m(Frame(some.frame.crs, 0.0, 0.0)), Frame(some.frame.crs, 0.0, 0.0), edge_m
        )
        left, low = round(box.west_m / edge_m), round(box.south_m / edge_m)
        west, south = max(west, left), max(south, low)
        east, north = min(east, left + box.num_x), min(north, low + box.num_y)
        if west >= east or south >= north:
            raise InputError("bbox: no map lies in it (W,S,E,N: longitude before latitude)")
    frame = Frame(
        some.frame.crs,
        float(round((west + east) * edge_m / 2)),
        float(round((south + north) * edge_m / 2)),
    )
    grid = Grid(
        frame,
        west * edge_m - frame.origin_easting_m,
        south * edge_m - frame.origin_northing_m,
        edge_m,
        east - west,
        north - south,
        some.receiver_height_m,
    )
    return grid, west, south


def _sectors(
    tiles: Sequence[Tile], grid: Grid
) -> tuple[tuple[Sector, ...], list[npt.NDArray[np.intp]], list[str]]:
    """The mosaic's sectors, which of them each tile has, and what to warn of.

    One sector has one name and place; of its height, which rests on the buildings that a tile
    sees, the tile that it stands in is believed.
    """
    found: list[Sector] = []
    at_home: list[bool] = []
    by_label: dict[str, list[int]] = defaultdict(list)
    ids = []
    renamed, moved_up = set(), set()
    for tile in tiles:
        own = []
        for sector in tile.map.sectors:
            here = moved(sector, tile.map.grid, grid)
            home = _holds(tile, here, grid)
            same = [
                i
                for i in by_label[sector.label]
                if np.hypot(found[i].x_m - here.x_m, found[i].y_m - here.y_m) < SAME_PLACE_M
            ]
            if not same:
                number = len(by_label[sector.label]) + 1
                if number > 1:
                    renamed.add(sector.label)
                    here = replace(here, site=f"{here.site} ({number})")
                by_label[sector.label].append(len(found))
                own.append(len(found))
                found.append(here)
                at_home.append(home)
                continue
            i = same[0]
            _require_same(found[i], here, tile)
            if abs(found[i].z_m - here.z_m) > 0.5:
                moved_up.add(sector.label)
            if home and not at_home[i]:
                found[i], at_home[i] = replace(here, site=found[i].site), True
            own.append(i)
        ids.append(np.array(own, dtype=np.intp))
    if len(found) > np.iinfo(np.int16).max:
        raise InputError(f"{len(found):,} sectors are more than 32,767: take a smaller --bbox")
    notes = []
    if renamed:
        notes.append(
            f"{len(renamed)} names, such as {min(renamed)!r}, stand for sectors at several "
            "places: the others are numbered"
        )
    if moved_up:
        notes.append(
            f"{len(moved_up)} sectors, such as {min(moved_up)!r}, stand at differing heights in "
            "neighbouring tiles"
        )
    return tuple(found), ids, notes


def _holds(tile: Tile, sector: Sector, grid: Grid) -> bool:
    easting = sector.x_m + grid.frame.origin_easting_m
    northing = sector.y_m + grid.frame.origin_northing_m
    west, south, east, north = tile.core_m
    return west <= easting < east and south <= northing < north


def _require_same(one: Sector, other: Sector, tile: Tile) -> None:
    for name, unit in (
        ("power_dbm", "dBm"),
        ("frequency_hz", "Hz"),
        ("bandwidth_hz", "Hz"),
        ("downtilt_deg", "degrees"),
        ("antenna", ""),
    ):
        first, second = getattr(one, name), getattr(other, name)
        if name == "antenna":
            first, second = PurePath(first).name, PurePath(second).name
        if first != second:
            raise InputError(
                f"sector {one.label} has {name} {first} {unit} in one map and {second} {unit} in "
                f"{tile.ref}: these maps belong to differing networks: choose with --job"
            )


def _num_missing(tiles: Sequence[Tile]) -> int:
    """Places in the rectangle of each area's tiles where there is none."""
    lattices: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for tile in tiles:
        facts = tile.artifact.facts
        if facts.get("tile"):
            area = str(tile.artifact.config.get("area", facts["area"]))
            lattices[tile.job, area].append((facts["tile"]["column"], facts["tile"]["row"]))
    missing = 0
    for places in lattices.values():
        columns, rows = zip(*places, strict=True)
        expected = (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)
        missing += expected - len(set(places))
    return missing


def _attrs(tiles: Sequence[Tile]) -> dict[str, Any]:
    """What all maps say alike; the noise is the largest."""
    first = tiles[0].map.attrs
    attrs = {
        key: value
        for key, value in first.items()
        if all(t.map.attrs.get(key) == value for t in tiles)
    }
    noises = [t.map.attrs["noise_db"] for t in tiles if t.map.attrs.get("noise_db") is not None]
    if noises:
        attrs["noise_db"] = max(noises)
    sources = dict.fromkeys(str(t.map.attrs.get("attribution", "")) for t in tiles)
    areas = dict.fromkeys(
        str(t.artifact.config.get("area", t.artifact.facts["area"])) for t in tiles
    )
    named = ", ".join(list(areas)[:3]) + (" ..." if len(areas) > 3 else "")
    return {
        **attrs,
        "title": f"Mosaic of {len(tiles)} maps: {named}",
        "attribution": "; ".join(text for text in sources if text),
        "num_tiles": len(tiles),
    }


def _chunk_cells(plan: Plan) -> int:
    """The longest edge of a block that fits the memory."""
    for cells in CHUNKS_CELLS:
        chosen = replace(plan, chunk_cells=cells)
        edge = min(cells, max(plan.grid.shape))
        most = max(
            (
                len(np.unique(np.concatenate([plan.sector_ids[i] for i in inside])))
                for *_, inside in blocks(chosen)
            ),
            default=0,
        )
        if edge**2 * (BYTES_PER_CELL + BYTES_PER_SECTOR_CELL * most) <= MEMORY_BYTES:
            return cells
    return CHUNKS_CELLS[-1]


def blocks(plan: Plan) -> Iterator[tuple[slice, slice, npt.NDArray[np.intp]]]:
    """Rows and columns of every block that a tile lies in, and all tiles in it and next to it.

    Those next to it reach the cells around it, see `pipelines.mosaic`.
    """
    grid, edge = plan.grid, plan.chunk_cells
    west = np.array([t.column for t in plan.tiles]) - plan.column
    south = np.array([t.row for t in plan.tiles]) - plan.row
    east = west + [t.map.grid.num_x for t in plan.tiles]
    north = south + [t.map.grid.num_y for t in plan.tiles]
    for low in range(0, grid.num_y, edge):
        high = min(low + edge, grid.num_y)
        near_row = np.flatnonzero((south <= high) & (north >= low))
        for left in range(0, grid.num_x, edge):
            right = min(left + edge, grid.num_x)
            near = near_row[(west[near_row] <= right) & (east[near_row] >= left)]
            inside = (west[near] < right) & (east[near] > left)
            inside &= (south[near] < high) & (north[near] > low)
            if inside.any():
                yield slice(low, high), slice(left, right), near
