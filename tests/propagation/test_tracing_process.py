"""One ray-tracing process for many maps: what it keeps, and what it must forget."""

import hashlib
import tempfile
import threading
import time
from dataclasses import asdict, replace

import numpy as np
import psutil
import pytest
import shapely

from rfplatform.errors import InputError, WorkerError
from rfplatform.geodata.terrain import stand_on
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.raytraced import RayTraced, geometry_key, tracer
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Area, Building, Scene, Solids
from rfplatform.terrain import Terrain

AREA = Area("plain", 24.99, 0.005, 25.0, 0.015)
SOLVER = RayTraced(max_depth=2, rays_per_sector=40_000, target_noise_db=0.0)


def block(west, south, east, north, top_m=20.0, material="concrete"):
    return Building(shapely.box(west, south, east, north), 0.0, top_m, "height", material, "b")


def grid(west_m=-60.0, south_m=-60.0, num_x=30, num_y=30, resolution_m=4.0):
    return Grid(AREA.frame(), west_m, south_m, resolution_m, num_x, num_y, 1.5)


def hills(height_m=10.0):
    x = np.arange(-600.0, 601.0, 30.0)
    heights = height_m * (1.0 + np.sin(x[None, :] / 60.0) * np.cos(x[:, None] / 80.0))
    return Terrain(-600.0, -600.0, 30.0, heights.astype(np.float32))


def flat_scene():
    return Scene(AREA, AREA.frame(), (block(-30.0, 10.0, 20.0, 25.0),))


FLAT = flat_scene()
MAPS = {
    "flat": (SOLVER, FLAT, [Sector("a", "1", 0.0, 0.0, 30.0, antenna="dipole")], grid()),
    # Everything else: ground, materials, pattern of our own, carrier, interactions, grid, sectors.
    "hilly": (
        replace(SOLVER, max_depth=3, refraction=True, seed=7),
        stand_on(
            replace(FLAT, buildings=(block(-9.0, 30.0, 9.0, 60.0, material="brick"),)), hills()
        ),
        [
            Sector("b", "1", 5.0, -5.0, 50.0, 20.0, 4.0, frequency_hz=28e9, antenna=antenna)
            if antenna == "isotropic"
            else Sector("b", "2", 5.0, -5.0, 50.0, 80.0, frequency_hz=700e6, antenna=antenna)
            for antenna in ("isotropic", "tr38901?rows=4&polarization=+45")
        ],
        grid(-40.0, -20.0, 24, 33, 5.0),
    ),
}


def traced(name, process, solver=None):
    its_solver, scene, sectors, where = MAPS[name]
    return (solver or its_solver).load(process=process)(scene, sectors, where)


def bits(radio_map):
    """Hash of every layer's bytes."""
    layers = (
        radio_map.path_gain_db,
        radio_map.standard_error_db,
        radio_map.raw_path_gain_db,
        radio_map.los,
        radio_map.mean_delay_s,
        radio_map.delay_spread_s,
    )
    digest = hashlib.sha256()
    for layer in layers:
        digest.update(b"none" if layer is None else np.ascontiguousarray(layer).tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def process():
    """One for all tests that leave it as it was; it counts what it did."""
    with TracingProcess(threads=1) as shared:
        yield shared


def test_a_map_has_the_same_bits_whatever_was_traced_before_it(process):
    first = {name: bits(traced(name, process)) for name in ("flat", "hilly")}
    with TracingProcess(threads=1) as other:
        second = {name: bits(traced(name, other)) for name in ("hilly", "flat")}
        delays = traced("flat", other, replace(SOLVER, delay_points=1)).mean_delay_s
        assert np.isfinite(delays).sum() == 1
        third = {name: bits(traced(name, other)) for name in ("flat", "hilly")}
        assert (other.maps, other.starts) == (5, 1)
        assert other.rss_bytes > 50e6
    assert first == second == third
    assert first["flat"] != first["hilly"]
    assert bits(traced("flat", process, replace(SOLVER, seed=2))) != first["flat"]


def test_a_scene_of_the_same_triangles_is_neither_written_nor_loaded_again(
    process, monkeypatch, tmp_path
):
    traced("flat", process)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    _, _, _, where = MAPS["flat"]
    again, moved = flat_scene(), Sector("z", "1", 9.0, -9.0, 40.0, frequency_hz=2e9)
    made = SOLVER.load(process=process)(again, [moved], where)
    assert made.sectors == (moved,)
    assert process.starts == 1
    with pytest.raises(OSError, match="no such folder"):
        traced("hilly", process)


def test_the_key_of_a_scene_is_its_triangles_and_materials(tmp_path):
    assert geometry_key(FLAT) == geometry_key(replace(flat_scene(), attribution="us", counts={}))
    xml = tmp_path / "scene.xml"
    xml.write_text('<scene><shape><string name="filename" value="a.ply"/></shape></scene>')
    (tmp_path / "a.ply").write_bytes(b"one")
    solid = replace(FLAT, buildings=(), solids=Solids(xml, 0.0, 0.0, 1.0, np.zeros((1, 1))))
    house = FLAT.buildings[0]
    others = [
        replace(FLAT, ground_material="wet_ground"),
        replace(FLAT, buildings=()),
        replace(FLAT, buildings=(replace(house, top_m=20.5),)),
        replace(FLAT, buildings=(replace(house, base_m=1.0),)),
        replace(FLAT, buildings=(replace(house, ground_m=1.0),)),
        replace(FLAT, buildings=(replace(house, material="brick"),)),
        replace(FLAT, buildings=(house, house)),
        replace(FLAT, area=Area("plain", 24.98, 0.005, 25.0, 0.015)),
        replace(FLAT, terrain=hills()),
        replace(FLAT, terrain=hills(11.0)),
        replace(FLAT, terrain=replace(hills(), west_m=-601.0)),
        solid,
    ]
    keys = [geometry_key(scene) for scene in (FLAT, *others)]
    (tmp_path / "a.ply").write_bytes(b"another")
    keys.append(geometry_key(solid))
    assert len(set(keys)) == len(keys)


def test_threads_take_turns(process):
    expected = {name: bits(traced(name, process)) for name in MAPS}
    found = []

    def work(name):
        found.append((name, bits(traced(name, process))))

    crowd = [threading.Thread(target=work, args=(name,)) for name in ("flat", "hilly") * 2]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sorted(found) == sorted([*expected.items()] * 2)


def test_a_process_that_dies_or_grows_is_replaced():
    with TracingProcess(threads=1) as mortal:
        assert mortal.pid is None
        traced("flat", mortal)
        first = mortal.pid
        psutil.Process(first).kill()  # while nobody looks
        while mortal.pid is not None:
            time.sleep(0.01)

        def murder(_):
            psutil.Process(mortal.pid).kill()

        _, scene, sectors, where = MAPS["flat"]
        with pytest.raises(WorkerError, match="killed"):
            SOLVER.load(murder, process=mortal)(scene, sectors, where)
        assert (mortal.maps, mortal.starts, mortal.pid) == (1, 2, None)
        mortal.memory_limit_bytes = 10_000_000
        assert np.isfinite(traced("flat", mortal).path_gain_db).any()
        assert mortal.rss_bytes > mortal.memory_limit_bytes
        assert (mortal.maps, mortal.starts, mortal.pid) == (2, 3, None)


def test_what_goes_wrong_in_a_map_ends_the_process_and_no_more(process):
    before, starts = bits(traced("flat", process)), process.starts
    _, scene, sectors, where = MAPS["flat"]
    with (
        pytest.raises(WorkerError, match="failed"),
        tracer(scene, sectors, where, SOLVER, process) as trace,
    ):
        trace.trace(5, 1000, 1, "specular")  # there is no such group
    assert process.pid is None
    assert bits(traced("flat", process)) == before
    assert process.starts == starts + 1


def test_threads_are_no_hyperparameter_and_must_be_some():
    assert not {"threads", "process"} & set(asdict(SOLVER))
    for wrong in ({"threads": 0}, {"memory_limit_bytes": 0}):
        with pytest.raises(InputError, match="1 or more"):
            TracingProcess(**wrong)


def test_threads_are_as_many_as_asked_for(process):
    with process.map() as worker:
        alone = psutil.Process(worker.pid).num_threads()
    with TracingProcess(threads=4) as four, four.map() as worker:
        assert psutil.Process(worker.pid).num_threads() == alone + 3
    assert not psutil.pid_exists(worker.pid)
