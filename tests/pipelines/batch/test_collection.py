"""The table of a batch's maps and its STAC collection, written and read back by others."""

import json
import time
from pathlib import Path

import geopandas as gpd
import pyarrow.parquet as pq
import pystac
import pytest
import shapely
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from pipelines.batch.collection import (
    each_member,
    members_of,
    put_collection,
    stac_item,
    write_catalog,
    write_stac,
)
from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.store import Store


def make(number, folder=None, store=None, **changes):
    """A map's artifact, as a batch makes it; its files are written where there is a store."""
    files = []
    for name in ("radio_map.zarr.zip", "radio_map.tif", "map.json"):
        if store is None:
            files.append(File(name, f"{number:060x}{len(name):04x}", 1000 + number))
        else:
            path = folder / name
            path.write_text(f"{name} {number}")
            files.append(store.put_file(path))
    west, south = 24.9 + 0.01 * number, 60.1
    ring = [[west, south], [west + 0.01, south], [west + 0.01, south + 0.01],
            [west, south + 0.01], [west, south]]  # fmt: skip
    facts = {
        "area": "Helsinki",
        "bounds_deg": [west, south, west + 0.01, south + 0.01],
        "footprint_lonlat": ring,
        "crs": "EPSG:32635",
        "bounds_m": [385000.0 + 500 * number, 6671000.0, 385500.0 + 500 * number, 6671400.0],
        "grid": {
            "num_x": 250, "num_y": 200, "resolution_m": 2.0, "receiver_height_m": 1.5,
            "west_easting_m": 385000.0 + 500 * number, "south_northing_m": 6671000.0,
        },
        "tile": {
            "column": number, "row": 3, "core_bounds_m": [0.0, 0.0, 1.0, 1.0],
            "margin_m": 200.0, "overlap_m": 50.0,
        },
        "sectors": [
            {"site": "Töölö", "sector": "1", "frequency_hz": 3.5e9},
            {"site": "Töölö", "sector": "2", "frequency_hz": 7e8},
        ],
        "solver": {"solver": "raytraced", "noise_db": 0.8, "stopped_by": "noise"},
        "coverage": {
            "outdoor_cells": 30000, "reached": 0.97, "rss_at_least_dbm": {"-80": 0.5, "-90": 0.6},
            "median_best_rss_dbm": -81.5, "median_sinr_db": 7.0,
        },
        "planning": {"coverage": {"medians": {"ss_rsrp_dbm": -101.5, "rate_bps": 2e8}}},
        "attribution": "© OpenStreetMap contributors, ODbL 1.0",
        "licence": "ODbL-1.0",
        "warnings": ["one"],
    }  # fmt: skip
    run = {
        "seconds": 12.5, "rays": 40_000_000, "rays_per_s": 4e6, "host": "node1",
        "finished": f"2026-03-04T05:{number % 60:02d}:07.5+02:00",
    }  # fmt: skip
    return Artifact(
        f"maps/helsinki-{number}", f"{number:032x}", "radio-map", tuple(files),
        config={"seed": 7}, facts={**facts, **changes}, run=run, licence="ODbL-1.0",
        created="2026-03-04T03:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "out"))


@pytest.fixture
def members(store, tmp_path):
    jobs = ("Town, 3.5 GHz", "Town, 3.5 GHz", "other")
    return [(job, make(n, tmp_path, store)) for n, job in enumerate(jobs)]


def test_the_table_has_a_row_for_each_map(store, members, tmp_path):
    assert write_catalog(store, iter(members)) == 3
    path = tmp_path / "out" / "catalog.parquet"
    table = gpd.read_parquet(path)
    assert table.crs.to_epsg() == 4326
    assert table["ref"].tolist() == [a.ref for _, a in members]
    row = table.iloc[1]
    assert row["geometry"].equals(shapely.box(24.91, 60.1, 24.92, 60.11))
    told = {
        "job": "Town, 3.5 GHz", "area": "Helsinki", "tile_column": 1, "tile_row": 3,
        "crs": "EPSG:32635", "resolution_m": 2.0, "num_sectors": 2, "num_sites": 1,
        "solver": "raytraced", "noise_db": 0.8, "rays": 40_000_000, "seconds": 12.5, "seed": 7,
        "reached": 0.97, "share_from_minus_80_dbm": 0.5, "median_best_rss_dbm": -81.5,
        "median_ss_rsrp_dbm": -101.5, "num_warnings": 1, "host": "node1",
        "licence": "ODbL-1.0", "size_bytes": members[1][1].size_bytes,
    }  # fmt: skip
    assert {name: row[name] for name in told} == told
    assert row["frequencies_hz"].tolist() == [7e8, 3.5e9]
    assert row["sectors"].tolist() == ["Töölö/1", "Töölö/2"]
    assert str(pq.read_schema(path).field("sectors").type) == "list<element: string>"
    assert row["finished"].isoformat() == "2026-03-04T03:01:07.500000+00:00"
    assert gpd.pd.isna(row["share_from_minus_100_dbm"])
    assert gpd.pd.isna(row["png_path"])
    assert (tmp_path / "out" / row["tif_path"]).read_text() == "radio_map.tif 1"
    near = gpd.read_parquet(path, bbox=(24.912, 60.102, 24.915, 60.105))
    assert near["ref"].tolist() == [members[1][1].ref]


def test_the_table_of_what_is_no_tile_and_of_nothing(store, tmp_path):
    bare = make(1, tile=None, planning=None, coverage=None)
    write_catalog(store, [("town", bare)])
    path = tmp_path / "out" / "catalog.parquet"
    types = pq.read_schema(path)
    row = gpd.read_parquet(path).iloc[0]
    assert gpd.pd.isna(row["tile_column"])
    assert gpd.pd.isna(row["reached"])
    assert write_catalog(store, []) == 0
    empty = gpd.read_parquet(path)
    assert len(empty) == 0
    assert pq.read_schema(path).field("rays").type == types.field("rays").type == "int64"


def local(number, folder=None, store=None):
    return make(number, folder, store, footprint_lonlat=None, crs=None, bounds_deg=None)


def test_the_table_of_maps_in_local_metres(store, tmp_path):
    path = tmp_path / "out" / "catalog.parquet"
    for members, on_earth in (
        ([("a", make(0)), ("b", local(1)), ("a", make(2))], [True, False, True]),
        ([("b", local(1))], [False]),
    ):
        write_catalog(store, members)
        table = gpd.read_parquet(path)
        assert table["geometry"].notna().tolist() == on_earth
        assert table["crs"].notna().tolist() == on_earth
        assert table.crs.to_epsg() == 4326
    write_catalog(store, [("a", make(0)), ("b", local(1))])
    near = gpd.read_parquet(path, bbox=(24.9, 60.1, 24.95, 60.2))
    assert near["job"].tolist() == ["a"]


def test_stac_of_maps_in_local_metres(store, tmp_path):
    for members, bbox in (
        ([("b", local(1)), ("a", make(0))], [24.9, 60.1, 24.91, 60.11]),
        ([("b", local(1))], [-180.0, -90.0, 180.0, 90.0]),
    ):
        write_stac(store, members)
        root = tmp_path / "out" / "stac" / "collection.json"
        collection = pystac.Collection.from_file(str(root))
        assert collection.extent.spatial.bboxes == [bbox]
        core = pystac.validation.stac_validator.JsonSchemaSTACValidator()
        core.validate_core(collection.to_dict(include_self_link=False), "Collection", "1.1.0")
        for item in collection.get_items(recursive=True):
            core.validate_core(item.to_dict(include_self_link=False), "Feature", "1.1.0")


def test_stac_is_a_collection_that_pystac_reads_and_validates(store, members, tmp_path):
    assert write_stac(store, iter(members)) == {"items": 3, "written": 6}
    root = tmp_path / "out" / "stac" / "collection.json"
    collection = pystac.Collection.from_file(str(root))
    assert [c.title for c in collection.get_children()] == ["Town, 3.5 GHz", "other"]
    items = list(collection.get_items(recursive=True))
    assert [i.properties["rfplatform:ref"] for i in items] == [a.ref for _, a in members]
    core = pystac.validation.stac_validator.JsonSchemaSTACValidator()
    for thing in (collection, *collection.get_children(), *items):
        # The core's schemas come with pystac; those of extensions would need the network.
        kind, body = thing.STAC_OBJECT_TYPE, thing.to_dict(include_self_link=False)
        core.validate_core(body, kind, "1.1.0")
    for item in items:
        assert item.get_collection().id == collection.id
        assert item.get_root().id == collection.id
        for key, asset in item.assets.items():
            place = Path(asset.get_absolute_href())
            file = File.of(place, key)
            assert FileExtension.ext(asset).size == file.size_bytes
            assert FileExtension.ext(asset).checksum == f"1220{file.sha256}"
    text = root.read_text() + "".join(p.read_text() for p in root.parent.rglob("*.json"))
    assert str(tmp_path) not in text
    assert collection.extent.spatial.bboxes == [[24.9, 60.1, 24.93, 60.11]]
    first, last = collection.extent.temporal.intervals[0]
    assert (first.minute, last.minute) == (0, 2)
    assert collection.license == "ODbL-1.0"


def test_an_item_is_what_pystac_would_write():
    artifact = make(2)
    ours = stac_item(artifact, "town")
    item = pystac.Item.from_dict(ours)
    assert item.to_dict(include_self_link=False, transform_hrefs=False) == ours
    built = pystac.Item(
        ours["id"], ours["geometry"], ours["bbox"], item.datetime, {}, collection=None,
    )  # fmt: skip
    projection = ProjectionExtension.ext(built, add_if_missing=True)
    projection.apply(
        epsg=32635, shape=[200, 250], bbox=[386000.0, 6671000.0, 386500.0, 6671400.0],
        transform=[2.0, 0.0, 386000.0, 0.0, -2.0, 6671400.0],
    )  # fmt: skip
    projected = {k: v for k, v in ours["properties"].items() if k.startswith("proj:")}
    said = {k: v for k, v in built.properties.items() if k.startswith("proj:") and v is not None}
    assert projected == said
    assert built.stac_extensions[0] == ours["stac_extensions"][0]
    asset = pystac.Asset("x")
    built.add_asset("x", asset)
    FileExtension.ext(asset, add_if_missing=True).apply(
        checksum=f"1220{artifact.files[1].sha256}", size=1002
    )
    assert built.stac_extensions == ours["stac_extensions"]
    assert asset.extra_fields.items() <= ours["assets"]["radio_map.tif"].items()
    assert built.to_dict()["properties"]["datetime"] == ours["properties"]["datetime"]


def test_what_is_there_already_is_left_alone(store, members, tmp_path):
    write_stac(store, members)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "stac").rglob("*.json")}
    assert write_stac(store, members) == {"items": 3, "written": 0}
    grown = [*members, ("other", make(7, tmp_path, store))]
    assert write_stac(store, grown) == {"items": 4, "written": 3}
    same = [p for p, time in times.items() if p.stat().st_mtime_ns == time]
    assert len(same) == 4
    broken = min(same)
    broken.write_text("")
    assert write_stac(store, grown) == {"items": 4, "written": 1}
    assert json.loads(broken.read_text())


def links_of(folder):
    """Places of all that the collection names; each is read."""
    found, waiting = set(), [folder / "stac" / "collection.json"]
    while waiting:
        place = waiting.pop()
        found.add(place)
        links = json.loads(place.read_text())["links"]
        down = [link["href"] for link in links if link["rel"] in ("child", "item")]
        waiting += [(place.parent / href).resolve() for href in down]
    return found


def test_what_belongs_no_more_goes_and_readers_find_all_that_is_named(
    store, members, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    write_stac(store, members)
    by_hand = out / "stac" / "notes.txt", out / "stac" / "other.json", out / "stac/a/b/c.json"
    by_hand[2].parent.mkdir(parents=True)
    for path in by_hand:
        path.write_text("by hand")
    looks = []

    def looking(act):
        def act_and_look(self, *given):
            act(self, *given)
            looks.append(len(links_of(out)))

        return act_and_look

    for name in ("put_object", "remove"):
        monkeypatch.setattr(Store, name, looking(getattr(Store, name)))
    changed = [members[1], ("new", make(7, tmp_path, store))]
    write_stac(store, changed)
    named = links_of(out)
    assert len(named) == 5
    assert set((out / "stac").rglob("*.json")) - set(by_hand) == named
    assert not (out / "stac" / "other").exists()
    assert all(path.read_text() == "by hand" for path in by_hand)
    assert set(looks) == {6, 5}


def test_what_belongs_no_more_goes_elsewhere_too(members):
    there = Store("memory://collection-shrinks")
    write_stac(there, members)
    assert write_stac(there, members[:1])["items"] == 1
    assert len(there.object_sizes("stac")) == 3


def test_jobs_of_like_names_lie_apart(store, tmp_path):
    write_stac(store, [("Town A", make(1)), ("town-a", make(2))])
    stac = tmp_path / "out" / "stac"
    assert sorted(p.name for p in stac.iterdir()) == ["collection.json", "town-a", "town-a-2"]


def test_a_store_elsewhere(members):
    import fsspec

    there = Store("memory://collection-test")
    write_catalog(there, members)
    memory = fsspec.filesystem("memory")
    with memory.open("/collection-test/catalog.parquet") as file:
        assert len(gpd.read_parquet(file)) == 3
    assert write_stac(there, members)["written"] == 6
    assert write_stac(there, members)["written"] == 0


def test_members_are_those_of_the_newest_collections(store, members):
    with pytest.raises(InputError, match="no maps at"):
        members_of(store)
    for _, artifact in members:
        store.put_artifact(artifact)
    refs = [a.ref for _, a in members]
    assert {(job, a.ref) for job, a in members_of(store)} == {("", ref) for ref in refs}
    for version, hour, jobs in (
        ("b", 1, {"town": refs[:1]}),
        ("a", 2, {"town": refs[:2]}),
    ):
        store.put_artifact(
            Artifact("collections/jobs", version, "collection", facts={"jobs": jobs},
                     created=f"2026-03-04T0{hour}:00:00+00:00")
        )  # fmt: skip
    store.put_artifact(
        Artifact("collections/more", "1", "collection", facts={"jobs": {"other": refs[2:]}})
    )
    assert [(job, a.ref) for job, a in members_of(store)] == [
        ("town", refs[0]), ("town", refs[1]), ("other", refs[2]),
    ]  # fmt: skip
    assert [a.ref for _, a in members_of(store, "other")] == refs[2:]
    with pytest.raises(InputError, match=r"no job 'x' .*known: other, town"):
        members_of(store, "x")


def test_a_collection_is_renewed_and_never_missing(store, members, monkeypatch):
    for _, artifact in members:
        store.put_artifact(artifact)
    refs = [a.ref for _, a in members]
    monkeypatch.setattr(Store, "remove_artifact", None)
    first = put_collection(store, "jobs", {"town": refs[:1]})
    for refs_now in (refs, refs[:1]):
        time.sleep(0.002)  # a collection's time is told in milliseconds
        made = put_collection(store, "jobs", {"town": refs_now})
    assert made.ref == first.ref
    assert [a.ref for _, a in each_member(store)] == refs[:1]


def test_what_goes_meanwhile_is_left_out(store, members, monkeypatch):
    for _, artifact in members:
        store.put_artifact(artifact)
    refs = [a.ref for _, a in members]
    gone = "collections/gone@1"
    assert len(members_of(store)) == 3
    store.remove_artifact(refs[0])
    monkeypatch.setattr(Store, "refs", lambda _: iter(refs))  # listed before it went
    assert [a.ref for _, a in members_of(store)] == refs[1:]
    put_collection(store, "jobs", {"town": refs})
    versions = Store.versions
    monkeypatch.setattr(Store, "versions", lambda self, name: {*versions(self, name), "gone"})
    assert [a.ref for _, a in each_member(store)] == refs[1:], gone
    with pytest.raises(MissingError, match=f"{refs[0]} is not at .*again"):
        members_of(store)
