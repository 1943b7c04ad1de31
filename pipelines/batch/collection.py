"""What a batch leaves for people and programs: a table of its maps, and a STAC collection."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.map import COVERAGE_DBM
from pipelines.scene import slug
from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import Artifact, File, canonical_json
from rfplatform.registry.store import ARTIFACTS, Store, place_within

Member = tuple[str, Artifact]
"""The name of a job, and one of its maps."""

CATALOG, STAC = "catalog.parquet", "stac"
COLLECTIONS, MAPS = "collections", "maps"

STAC_VERSION = "1.1.0"
STAC_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_SHA256_MULTIHASH = "1220"
"""Code of SHA-256 and the length of 32 bytes, in front of the digest."""

_WRITERS = 16
"""Requests to a store at once; each waits for a disk or a network."""

_FILE_COLUMNS = {
    "radio_map.zarr.zip": "zarr_path",
    "radio_map.tif": "tif_path",
    "radio_map.kmz": "kmz_path",
    "contours.gpkg": "gpkg_path",
    "radio_map.png": "png_path",
    "buildings.parquet": "buildings_path",
    "building_heights.tif": "heights_path",
    "map.json": "record_path",
}

_MEDIA: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    ".zarr.zip": ("application/zip", "Radio map and planning layers (zipped Zarr v3)", ("data",)),
    ".tif": (
        "image/tiff; application=geotiff; profile=cloud-optimized",
        "Raster",
        ("data",),
    ),
    ".kmz": ("application/vnd.google-earth.kmz", "Overlay for Google Earth", ("visual",)),
    ".gpkg": ("application/geopackage+sqlite3", "Contours", ("data",)),
    ".png": ("image/png", "Picture", ("overview",)),
    ".parquet": ("application/vnd.apache.parquet", "Buildings", ("data",)),
    ".json": ("application/json", "Record", ("metadata",)),
}
"""Media type, title and roles by the end of a file's name."""


def put_collection(store: Store, name: str, jobs: Mapping[str, Sequence[str]]) -> Artifact:
    """Put the collection of a batch's maps into its store.

    Parameters
    ----------
    store : Store
    name : str
        The jobs file's.
    jobs : mapping of str to sequence of str
        Full names of the maps of each job.
    """
    members = sorted({ref for refs in jobs.values() for ref in refs})
    of_job = {job: list(refs) for job, refs in jobs.items()}
    made = Artifact(
        f"{COLLECTIONS}/{name}",
        hashlib.sha256(canonical_json(of_job)).hexdigest()[:16],
        "collection",
        parents=tuple(members),
        title=name,
        schema="radio maps by job",
        facts={"jobs": of_job},
    )
    # The newest is the one that counts, also where the jobs are again what they were once.
    return store.renew_collection(made)


def each_member(store: Store) -> Iterator[Member]:
    """Maps of a store's newest collections, one after another; without those that went since."""
    jobs = _jobs(store)
    names = (job for job, refs in jobs.items() for _ in refs)
    found = store.artifacts(ref for refs in jobs.values() for ref in refs)
    for job, artifact in zip(names, found, strict=True):
        if artifact is not None:
            yield job, artifact


def members_of(store: Store, job: str | None = None) -> list[Member]:
    """Maps of a batch's output: those of the newest collections.

    Where no batch has ended yet, every map that is there, of a job without a name.

    Parameters
    ----------
    store : Store
    job : str, optional
        Those of this job alone.

    Raises
    ------
    InputError
        If there is no such job, or no map at all.
    MissingError
        If a map of a collection is not there.
    """
    jobs = _jobs(store)
    listed = not jobs
    if job is not None:
        if job not in jobs:
            known = ", ".join(sorted(jobs)) or "none, since no batch has ended here"
            raise InputError(f"no job {job!r} at {store.url} (known: {known})")
        jobs = {job: jobs[job]}
    elif not jobs:
        jobs = {"": [ref for ref in store.refs() if ref.startswith(f"{MAPS}/")]}
    named = {ref: name for name, refs in jobs.items() for ref in refs}
    members = []
    for ref, artifact in zip(named, store.artifacts(named), strict=True):
        if artifact is not None and artifact.kind == "radio-map":
            members.append((named[ref], artifact))
        elif artifact is None and not listed:  # else it went after it was listed
            raise MissingError(f"{ref} is not at {store.url}: run the batch again")
    if not members:
        raise InputError(f"no maps at {store.url}: give what `rfplatform batch` wrote")
    return members


def _jobs(store: Store) -> dict[str, list[str]]:
    """References by job, those of the newest collection that has it."""
    newest: list[Artifact] = []
    for place in store.objects(f"{ARTIFACTS}/{COLLECTIONS}"):
        name = place.removeprefix(f"{ARTIFACTS}/")
        versions = store.artifacts(f"{name}@{version}" for version in store.versions(name))
        there = [collection for collection in versions if collection is not None]
        newest += sorted(there, key=lambda a: (a.created, a.version))[-1:]
    jobs: dict[str, list[str]] = {}
    for collection in sorted(newest, key=lambda a: (a.created, a.version)):
        jobs |= {job: list(refs) for job, refs in collection.facts["jobs"].items()}
    return jobs


# ----------------------------------------------------------------------------------------------
# The table
# ----------------------------------------------------------------------------------------------


def write_catalog(store: Store, members: Iterable[Member]) -> int:
    """Write ``catalog.parquet``: a row for each map, with its footprint.

    GeoParquet 1.1 in EPSG:4326 with a column of bounding boxes, so that readers skip what lies
    elsewhere. Paths are relative to the store.

    Parameters
    ----------
    store : Store
    members : iterable of (str, Artifact)
        Read once, one after another: they need not be in memory together.

    Returns
    -------
    int
        Rows written.
    """
    import geopandas as gpd
    import pandas as pd

    columns: dict[str, list[Any]] = defaultdict(list)
    corners: list[float] = []
    sizes: list[int] = []
    for job, artifact in members:
        for name, value in _row(job, artifact).items():
            columns[name].append(value)
        ring = artifact.facts["footprint_lonlat"] or ()  # a map in local metres lies nowhere
        corners.extend(value for corner in ring for value in corner[:2])
        sizes.append(len(ring))
    table = pd.DataFrame({name: _column(name, columns[name]) for name in _COLUMNS})
    frame = gpd.GeoDataFrame(table, geometry=_polygons(corners, sizes), crs="EPSG:4326")
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        local = Path(folder) / CATALOG
        frame.to_parquet(
            local,
            index=False,
            compression="zstd",
            schema_version="1.1.0",
            write_covering_bbox=True,
        )
        store.put_object(CATALOG, local)
    return len(frame)


_TEXT, _WHOLE, _REAL, _TIME, _LIST = "string", "Int64", "float64", "time", "list"

_COLUMNS: Mapping[str, str] = {
    "ref": _TEXT,
    "job": _TEXT,
    "area": _TEXT,
    "tile_column": _WHOLE,
    "tile_row": _WHOLE,
    "crs": _TEXT,
    "resolution_m": _REAL,
    "receiver_height_m": _REAL,
    "num_x": _WHOLE,
    "num_y": _WHOLE,
    "num_sectors": _WHOLE,
    "sectors": _LIST,
    "num_sites": _WHOLE,
    "frequencies_hz": _LIST,
    "solver": _TEXT,
    "stopped_by": _TEXT,
    "noise_db": _REAL,
    "seed": _WHOLE,
    "rays": _WHOLE,
    "rays_per_s": _REAL,
    "seconds": _REAL,
    "host": _TEXT,
    "outdoor_cells": _WHOLE,
    "reached": _REAL,
    **{f"share_from_minus_{-level:g}_dbm": _REAL for level in COVERAGE_DBM},
    "median_best_rss_dbm": _REAL,
    "median_sinr_db": _REAL,
    "median_ss_rsrp_dbm": _REAL,
    "median_ss_sinr_db": _REAL,
    "median_rate_bps": _REAL,
    "num_warnings": _WHOLE,
    "size_bytes": _WHOLE,
    "created": _TIME,
    "finished": _TIME,
    "licence": _TEXT,
    **dict.fromkeys(_FILE_COLUMNS.values(), _TEXT),
}
"""Of the table, with their types; then comes the footprint as ``geometry``."""


def _row(job: str, artifact: Artifact) -> dict[str, Any]:
    facts, run, config = artifact.facts, artifact.run, artifact.config
    tile, grid = facts.get("tile") or {}, facts["grid"]
    solver, sectors = facts.get("solver") or {}, facts["sectors"]
    coverage = facts.get("coverage") or {}
    shares = coverage.get("rss_at_least_dbm") or {}
    medians = _medians(facts)
    paths: dict[str, str | None] = dict.fromkeys(_FILE_COLUMNS.values())
    for file in artifact.files:
        if file.path in _FILE_COLUMNS:
            paths[_FILE_COLUMNS[file.path]] = place_within(file)
    return {
        "ref": artifact.ref,
        "job": job,
        "area": facts["area"],
        "tile_column": tile.get("column"),
        "tile_row": tile.get("row"),
        "crs": facts["crs"],
        "resolution_m": grid["resolution_m"],
        "receiver_height_m": grid["receiver_height_m"],
        "num_x": grid["num_x"],
        "num_y": grid["num_y"],
        "num_sectors": len(sectors),
        "sectors": _labels(sectors),
        "num_sites": len({s["site"] for s in sectors}),
        "frequencies_hz": _frequencies(sectors),
        "solver": solver.get("solver"),
        "stopped_by": solver.get("stopped_by"),
        "noise_db": solver.get("noise_db"),
        "seed": config.get("seed"),
        "rays": run.get("rays"),
        "rays_per_s": run.get("rays_per_s"),
        "seconds": run.get("seconds"),
        "host": run.get("host"),
        "outdoor_cells": coverage.get("outdoor_cells"),
        "reached": coverage.get("reached"),
        **{f"share_from_minus_{-v:g}_dbm": shares.get(f"{v:g}") for v in COVERAGE_DBM},
        "median_best_rss_dbm": coverage.get("median_best_rss_dbm"),
        "median_sinr_db": coverage.get("median_sinr_db"),
        "median_ss_rsrp_dbm": medians.get("ss_rsrp_dbm"),
        "median_ss_sinr_db": medians.get("ss_sinr_db"),
        "median_rate_bps": medians.get("rate_bps"),
        "num_warnings": len(facts.get("warnings") or ()),
        "size_bytes": artifact.size_bytes,
        "created": artifact.created,
        "finished": _finished(artifact),
        "licence": artifact.licence or facts.get("licence"),
        **paths,
    }


def _medians(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    planning = facts.get("planning") or {}
    return (planning.get("coverage") or {}).get("medians") or {}


def _frequencies(sectors: Sequence[Mapping[str, Any]]) -> list[float]:
    return sorted({float(s["frequency_hz"]) for s in sectors})


def _labels(sectors: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{s['site']}/{s['sector']}" for s in sectors]


def _finished(artifact: Artifact) -> str:
    return str(artifact.run.get("finished") or artifact.created)


def _column(name: str, values: list[Any]) -> Any:  # noqa: ANN401  (pandas' own arrays)
    import pandas as pd

    kind = _COLUMNS[name]
    if kind == _LIST:
        return pd.Series(values, dtype=object)
    if kind == _TIME:
        return pd.to_datetime(pd.Series(values, dtype="string"), utc=True, format="ISO8601")
    return pd.Series(values, dtype=kind)


def _polygons(corners: Sequence[float], sizes: Sequence[int]) -> Any:  # noqa: ANN401
    """Polygons of closed rings that lie one after another in a flat list; None of an empty one."""
    import shapely

    places = np.asarray(corners, dtype=float).reshape(-1, 2)
    known = np.flatnonzero(sizes)
    rings = np.repeat(np.arange(len(known)), np.asarray(sizes, dtype=int)[known])
    polygons = np.full(len(sizes), None)
    polygons[known] = shapely.polygons(shapely.linearrings(places, indices=rings))
    return polygons


# ----------------------------------------------------------------------------------------------
# STAC
# ----------------------------------------------------------------------------------------------


@dataclass
class _Extent:
    """What the items of a collection have in common; grows with each."""

    bboxes: list[list[float]] = field(default_factory=list)
    first: str = ""
    last: str = ""
    licences: set[str] = field(default_factory=set)
    crs: set[str] = field(default_factory=set)
    resolutions_m: set[float] = field(default_factory=set)
    solvers: set[str] = field(default_factory=set)
    frequencies_hz: set[float] = field(default_factory=set)

    def add(self, artifact: Artifact, item: Mapping[str, Any]) -> None:
        if box := item.get("bbox"):
            (west, south, east, north), *_ = (*self.bboxes, box)
            self.bboxes = [
                [min(west, box[0]), min(south, box[1]), max(east, box[2]), max(north, box[3])]
            ]
        properties = item["properties"]
        time = properties["datetime"]
        self.first = min(self.first or time, time)
        self.last = max(self.last, time)
        self.licences.add(artifact.licence or str(artifact.facts.get("licence") or "other"))
        self.crs.update({properties["proj:code"]} - {None})
        self.resolutions_m.add(properties["gsd"])
        self.solvers.add(str(properties["rfplatform:solver"]))
        self.frequencies_hz.update(properties["rfplatform:frequencies_hz"])


def write_stac(
    store: Store,
    members: Iterable[Member],
    *,
    name: str = "radio-maps",
    title: str = "Radio maps",
) -> dict[str, int]:
    """Write ``stac/``: a self-contained STAC collection with a catalog for each job.

    ``stac/collection.json``, ``stac/<job>/catalog.json`` and ``stac/<job>/<map>-<version>.json``.
    All links are relative, so that the store can be moved, copied or published as it is. Whoever
    reads meanwhile finds all that a catalog names: items come first, then catalogs, then the
    collection, and then those go that it names no more.

    Parameters
    ----------
    store : Store
    members : iterable of (str, Artifact)
        Read once; an item lies beside those of its job.
    name, title : str
        Of the collection.

    Returns
    -------
    dict
        "items", and how many of the files were "written": what is there already as it should
        be is left alone.
    """
    extent, writer = _Extent(), _Writer(store)
    items: dict[str, list[dict[str, str]]] = defaultdict(list)
    folders: dict[str, str] = {}
    with writer:
        for job, artifact in members:
            folder = folders.setdefault(job, _free_slug(job or "maps", folders.values()))
            item = stac_item(artifact, job, collection=name)
            extent.add(artifact, item)
            items[job].append(_link("item", f"./{item['id']}.json", "application/geo+json"))
            writer.put(f"{STAC}/{folder}/{item['id']}.json", item)
        writer.finish()
        for job, links in items.items():
            catalog = _catalog(job or "maps", folders[job], links)
            writer.put(f"{STAC}/{folders[job]}/catalog.json", catalog)
        writer.finish()
        writer.put(f"{STAC}/collection.json", _collection(name, title, extent, folders))
        writer.finish()
        writer.remove_the_others()
    return {"items": sum(map(len, items.values())), "written": writer.written}


def _free_slug(job: str, taken: Iterable[str]) -> str:
    used, first = set(taken), slug(job)
    names = (first if n == 1 else f"{first}-{n}" for n in range(1, len(used) + 2))
    return next(name for name in names if name not in used)


def _link(rel: str, href: str, media: str = "application/json") -> dict[str, str]:
    return {"rel": rel, "href": href, "type": media}


def _catalog(job: str, folder: str, links: Sequence[dict[str, str]]) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "id": folder,
        "stac_version": STAC_VERSION,
        "description": f"Radio maps of the job {job}",
        "links": [
            _link("root", "../collection.json"),
            _link("parent", "../collection.json"),
            *links,
        ],
        "title": job,
    }


def _collection(
    name: str, title: str, extent: _Extent, folders: Mapping[str, str]
) -> dict[str, Any]:
    times = [extent.first or None, extent.last or None]
    summaries = {
        "proj:code": sorted(extent.crs),
        "gsd": sorted(extent.resolutions_m),
        "rfplatform:solver": sorted(extent.solvers),
        "rfplatform:frequencies_hz": sorted(extent.frequencies_hz),
    }
    return {
        "type": "Collection",
        "id": name,
        "stac_version": STAC_VERSION,
        "description": "Radio maps with planning layers, made by rfplatform.",
        "links": [
            _link("root", "./collection.json"),
            *(
                {**_link("child", f"./{folder}/catalog.json"), "title": job or "maps"}
                for job, folder in folders.items()
            ),
        ],
        "title": title,
        "extent": {
            "spatial": {"bbox": extent.bboxes or [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [times]},
        },
        "license": next(iter(extent.licences)) if len(extent.licences) == 1 else "other",
        "summaries": {name: values for name, values in summaries.items() if values},
    }


def stac_item(artifact: Artifact, job: str, *, collection: str = "radio-maps") -> dict[str, Any]:
    """The STAC item of a map, as it lies in ``stac/<job>/``.

    What the projection and file extensions say, the resolution as ``gsd``, and what belongs to
    radio maps alone under the prefix ``rfplatform:``. A map in local metres has no geometry.
    """
    facts, grid, run = artifact.facts, artifact.facts["grid"], artifact.run
    solver = facts.get("solver") or {}
    coverage = facts.get("coverage") or {}
    ring = facts["footprint_lonlat"]
    geometry, box = None, {}
    if ring:
        lon, lat = zip(*(corner[:2] for corner in ring), strict=True)
        geometry = {"type": "Polygon", "coordinates": [[list(corner) for corner in ring]]}
        box = {"bbox": [min(lon), min(lat), max(lon), max(lat)]}
    west = grid["west_easting_m"]
    south = grid["south_northing_m"]
    edge_m = grid["resolution_m"]
    east, north = west + grid["num_x"] * edge_m, south + grid["num_y"] * edge_m
    tile = facts.get("tile")
    own = {
        "ref": artifact.ref,
        "job": job,
        "area": facts["area"],
        "tile": [tile["column"], tile["row"]] if tile else None,
        "num_sectors": len(facts["sectors"]),
        "sectors": _labels(facts["sectors"]),
        "frequencies_hz": _frequencies(facts["sectors"]),
        "receiver_height_m": grid["receiver_height_m"],
        "solver": solver.get("solver"),
        "noise_db": solver.get("noise_db"),
        "rays": run.get("rays"),
        "seconds": run.get("seconds"),
        "seed": artifact.config.get("seed"),
        "reached": coverage.get("reached"),
        "median_best_rss_dbm": coverage.get("median_best_rss_dbm"),
        "median_ss_rsrp_dbm": _medians(facts).get("ss_rsrp_dbm"),
        "attribution": facts.get("attribution"),
        "warnings": list(facts.get("warnings") or ()),
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(STAC_EXTENSIONS),
        "id": f"{artifact.name.split('/', 1)[-1].replace('/', '-')}-{artifact.version}",
        "geometry": geometry,
        **box,
        "properties": {
            "datetime": _utc(_finished(artifact)),
            "title": artifact.title or facts["area"],
            "created": _utc(artifact.created),
            "license": artifact.licence or str(facts.get("licence") or "other"),
            "gsd": edge_m,
            "proj:code": facts["crs"],
            "proj:bbox": [west, south, east, north],
            "proj:shape": [grid["num_y"], grid["num_x"]],
            "proj:transform": [edge_m, 0.0, west, 0.0, -edge_m, north],
            **{f"rfplatform:{key}": value for key, value in own.items() if value is not None},
        },
        "links": [
            _link("root", "../collection.json"),
            _link("parent", "./catalog.json"),
            _link("collection", "../collection.json"),
        ],
        "assets": {file.path: _asset(file) for file in artifact.files},
        "collection": collection,
    }


def _asset(file: File) -> dict[str, Any]:
    media, title, roles = next(
        (about for end, about in _MEDIA.items() if file.path.endswith(end)),
        ("application/octet-stream", file.path, ("data",)),
    )
    raster = {"data_type": "float32", "nodata": "nan"} if file.path == "radio_map.tif" else {}
    return {
        "href": f"../../{place_within(file)}",
        "type": media,
        "title": title,
        **raster,
        "file:size": file.size_bytes,
        "file:checksum": f"{_SHA256_MULTIHASH}{file.sha256}",
        "roles": list(roles),
    }


@cache
def _utc(text: str) -> str:
    """A time of ISO 8601 in UTC, as STAC writes it."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return time.astimezone(UTC).isoformat(timespec="auto").replace("+00:00", "Z")


class _Writer:
    """JSON files of a store, several at once, of which those that differ are written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.written = 0
        # Before it is known what belongs there: what others write meanwhile is theirs.
        self._others = store.object_sizes(STAC)
        self._pool = ThreadPoolExecutor(_WRITERS)
        self._waiting: list[Any] = []

    def put(self, place: str, value: Mapping[str, Any]) -> None:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        if self._is_there(place, body):
            return
        self.written += 1
        self._submit(self._store.put_object, place, body)

    def _is_there(self, place: str, body: bytes) -> bool:
        if self._others.pop(place, None) != len(body):
            return False
        # Elsewhere the size has to do: to read every file takes as long as to write it.
        return self._store.folder is None or self._store.object_at(place) == body

    def remove_the_others(self) -> None:
        """Remove what an earlier writer put into jobs' folders, and was not put this time."""
        for place in self._others:
            if place.endswith(".json") and place.count("/") == 2:
                self._submit(self._store.remove, place)
        self.finish()

    def finish(self) -> None:
        """Wait for all that was asked for."""
        self._drain(0)

    def _submit(self, act: Callable[..., None], *given: Any) -> None:  # noqa: ANN401
        self._waiting.append(self._pool.submit(act, *given))
        if len(self._waiting) >= 4 * _WRITERS:
            self._drain(2 * _WRITERS)

    def _drain(self, left: int) -> None:
        while len(self._waiting) > left:
            self._waiting.pop(0).result()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
