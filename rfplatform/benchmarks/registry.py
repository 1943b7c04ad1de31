"""How the registry bears a million artifacts, beside a folder of JSON records read one by one."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor

if TYPE_CHECKING:
    from rfplatform.registry.artifact import Artifact
    from rfplatform.registry.registry import Registry

ARTIFACTS = 1_000_000
FOLDER_ARTIFACTS = 20_000
"""A folder of a million records takes minutes to read; the rival has so many."""

RECORDED_PER_S = 100_000 / 60
QUERY_S = 60.0
_MORE = 10_000
_MAPS_PER_INPUT, _MAPS_PER_COLLECTION = 1_000, 10_000
_PART = 50_000
_PAGE = 50


@dataclass(frozen=True)
class RegistryRun:
    """Something that was asked of a registry.

    Attributes
    ----------
    seconds : float
    artifacts : int
        How many were written; 0 for what only reads.
    size_bytes : int
        The index's, for each artifact; 0 where it was not looked at.
    """

    seconds: float
    artifacts: int = 0
    size_bytes: float = 0.0


@dataclass(frozen=True, eq=False)
class _Question:
    name: str
    registry: Registry
    folder: Path


def _artifacts(start: int = 0) -> Iterator[Artifact]:
    """Radio maps as a batch makes them, each ten thousand of them in a collection."""
    from rfplatform.registry.artifact import Artifact

    members: list[str] = []
    for i in range(start, 1 << 62):
        made = _radio_map(i)
        members.append(made.ref)
        yield made
        if len(members) == _MAPS_PER_COLLECTION:
            name = f"collections/jobs-{i // _MAPS_PER_COLLECTION:06d}"
            yield Artifact(name, "1", "collection", parents=tuple(members))
            members = []


def _radio_map(i: int) -> Artifact:
    from rfplatform.registry.artifact import Artifact, File

    names = ("radio_map.zarr.zip", "radio_map.tif", "buildings.parquet", "contours.gpkg", "map.png")
    key = sha256(b"%d" % i).hexdigest()
    files = tuple(
        File(name, sha256(b"%d %d" % (i, j)).hexdigest(), 50_000 + 1_000 * j + i % 997)
        for j, name in enumerate(names[: 1 + i % 5])
    )
    source = i // _MAPS_PER_INPUT
    inputs = ("osm", "sites", "terrain")[: 1 + i % 3]
    column, row = i % 1000, i // 1000
    west, south = 24.0 + column * 1e-3, 60.0 + row * 1e-3
    return Artifact(
        f"maps/tile-{i:08d}",
        key[:32],
        "radio-map",
        files,
        tuple(f"inputs/{kind}@{sha256(b'%d' % source).hexdigest()[:16]}" for kind in inputs),
        licence="ODbL-1.0",
        config={"resolution_m": 5.0, "max_depth": 3, "rays_per_sector": 1e6, "solver": "raytraced"},
        facts={
            "bounds_deg": [west, south, west + 1e-3, south + 1e-3],
            "crs": "EPSG:32635",
            "tile": {"column": column, "row": row, "margin_m": 200.0},
            "sectors": [
                {"site": f"S{i}", "azimuth_deg": 120.0 * j, "lon_deg": west, "lat_deg": south}
                for j in range(3)
            ],
            "coverage": {"covered": (i % 101) / 101, "median_dbm": -80.0 - i % 37},
        },
        run={"seconds": 1.0 + i % 13, "host": "worker", "rays": 3_000_000 + i},
        created=f"2026-01-{1 + i // 50_000 % 28:02d}T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:00Z",
    )


def _cases() -> Iterator[Case]:
    from rfplatform.registry.registry import Registry

    with tempfile.TemporaryDirectory(prefix="rfplatform-") as name:
        registry, folder = Registry(Path(name, "home")), Path(name, "records")
        started = time.perf_counter()
        _fill(registry)
        took = time.perf_counter() - started
        _write_records(folder, islice(_artifacts(), FOLDER_ARTIFACTS))
        note = f"{ARTIFACTS:,} artifacts, made in {took:.0f} s; the folder has {FOLDER_ARTIFACTS:,}"
        for question in _INDEXED:
            yield Case(question, _Question(question, registry, folder), note=note)


def _fill(registry: Registry) -> None:
    """With all artifacts, from as many processes as can; most collections are kept."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    starts = range(0, ARTIFACTS, _PART)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        list(processes.map(_record_part, [registry] * len(starts), starts))
    with registry.index.writing() as db:
        db.execute("UPDATE artifacts SET kept = 1 WHERE kind = 'collection' AND id % 10")


def _record_part(registry: Registry, start: int) -> None:
    registry.record(islice(_artifacts(start), _PART), str(registry.home.parent / "out"))


def _write_records(folder: Path, artifacts: Iterator[Artifact]) -> int:
    folder.mkdir(exist_ok=True)
    written = 0
    for made in artifacts:
        Path(folder, f"{made.ref.replace('/', '--')}.json").write_text(json.dumps(made.to_dict()))
        written += 1
    return written


# What is asked of the index

_MAP = 5_432


def _page_of_index(registry: Registry) -> int:
    assert len(registry.entries(limit=_PAGE)) == _PAGE
    assert registry.count() >= ARTIFACTS
    return 0


def _named_page_of_index(registry: Registry) -> int:
    assert registry.entries("radio-map", "maps/tile-000054*", limit=_PAGE)
    assert registry.count("radio-map", "maps/tile-000054*") == 100
    return 0


def _show_of_index(registry: Registry) -> int:
    assert registry.get(_radio_map(_MAP).ref).files
    return 0


def _lineage_of_index(registry: Registry) -> int:
    assert registry.lineage(_radio_map(_MAP).ref).parents
    assert registry.children(_radio_map(_MAP).ref)
    return 0


def _gc_of_index(registry: Registry) -> int:
    assert registry.gc(dry_run=True).artifacts > 0
    return 0


def _record_in_index(registry: Registry) -> int:
    first = 2 * ARTIFACTS + registry.count()
    return registry.record(islice(_artifacts(first), _MORE), str(registry.home.parent / "out"))


# The same of a folder of records


def _records(folder: Path) -> Iterator[dict[str, object]]:
    for path in folder.iterdir():
        yield json.loads(path.read_text())


def _page_of_folder(folder: Path) -> int:
    there = [(r["created"], r["name"], r["version"], r["kind"]) for r in _records(folder)]
    assert len(sorted(there, key=str, reverse=True)[:_PAGE]) == _PAGE
    return 0


def _named_page_of_folder(folder: Path) -> int:
    assert sum(str(r["name"]).startswith("maps/tile-000054") for r in _records(folder)) == 100
    return 0


def _show_of_folder(folder: Path) -> int:
    ref = _radio_map(_MAP).ref
    assert json.loads((folder / f"{ref.replace('/', '--')}.json").read_text())["files"]
    return 0


def _lineage_of_folder(folder: Path) -> int:
    ref = _radio_map(_MAP).ref
    assert any(ref in list(map(str, _parents(record))) for record in _records(folder))
    return 0


def _parents(record: dict[str, object]) -> list[object]:
    parents = record["parents"]
    assert isinstance(parents, list)
    return parents


def _gc_of_folder(folder: Path) -> int:
    edges = {f"{r['name']}@{r['version']}": _parents(r) for r in _records(folder)}
    needed, rest = set[object](), [ref for ref in edges if ref.startswith("collections/")][1:]
    while rest:
        ref = rest.pop()
        if ref not in needed:
            needed.add(ref)
            rest += map(str, edges.get(ref, ()))
    assert len(edges.keys() - needed) > 0
    return 0


def _record_in_folder(folder: Path) -> int:
    first = 2 * ARTIFACTS + len(list(folder.iterdir()))
    return _write_records(folder, islice(_artifacts(first), _MORE))


_INDEXED: dict[str, Callable[[Registry], int]] = {
    "first page and count": _page_of_index,
    "page of a name": _named_page_of_index,
    "show one": _show_of_index,
    "lineage of one": _lineage_of_index,
    "gc, dry run": _gc_of_index,
    "record 10,000 more": _record_in_index,
}
_IN_FOLDER: dict[str, Callable[[Path], int]] = {
    "first page and count": _page_of_folder,
    "page of a name": _named_page_of_folder,
    "show one": _show_of_folder,
    "lineage of one": _lineage_of_folder,
    "gc, dry run": _gc_of_folder,
    "record 10,000 more": _record_in_folder,
}


def _ask_index(question: _Question) -> RegistryRun:
    started = time.perf_counter()
    written = _INDEXED[question.name](question.registry)
    seconds = time.perf_counter() - started
    size = sum(p.stat().st_size for p in question.registry.home.glob("index.sqlite*"))
    return RegistryRun(seconds, written, size / question.registry.count() if written else 0.0)


def _ask_folder(question: _Question) -> RegistryRun:
    started = time.perf_counter()
    written = _IN_FOLDER[question.name](question.folder)
    seconds = time.perf_counter() - started
    if not written:
        return RegistryRun(seconds)
    sizes = [p.stat().st_size for p in question.folder.iterdir()]
    return RegistryRun(seconds, written, sum(sizes) / len(sizes))


def _pace(run: RegistryRun, _: object) -> float:
    return run.artifacts / run.seconds if run.artifacts else math.nan


REGISTRY: Benchmark[RegistryRun] = Benchmark(
    "speed:registry",
    "A registry of a million artifacts: listing, showing, lineage, cleaning, recording",
    _cases,
    (
        Metric("time", "s", lambda run, _: run.seconds, "lower", QUERY_S),
        Metric("pace", "artifacts/s", _pace, "higher", RECORDED_PER_S),
        Metric("size", "bytes/artifact", lambda run, _: run.size_bytes or math.nan),
    ),
    baseline=Predictor(f"a folder of {FOLDER_ARTIFACTS:,} JSON records", _ask_folder),
    subject=Predictor(f"the index of {ARTIFACTS:,}", _ask_index),
    repeats=3,
)
