"""Windows of unseen towns: drawn apart, traced independently, and kept."""

import tomllib
from dataclasses import replace
from itertools import combinations
from math import dist
from pathlib import Path

import numpy as np
import pytest

from rfplatform.benchmarks import unseen
from rfplatform.errors import InputError, MissingError
from rfplatform.propagation.lesson import TeacherConfig
from rfplatform.propagation.montecarlo import rounds
from rfplatform.propagation.process import TracingProcess


def test_no_town_that_networks_are_trained_on_is_a_test():
    path = Path(unseen.__file__).resolve().parents[2] / "data" / "windows" / "towns.toml"
    listed = tomllib.loads(path.read_text())["towns"]
    areas = " ".join(town["area"].lower() for town in listed)
    assert len(listed) > 10
    assert not [town for town in unseen.TOWNS if town in areas]


def test_the_truth_is_what_training_sets_hold():
    assert unseen.tracers()["truth"] == TeacherConfig().teacher()


def test_no_two_tracings_of_a_window_share_a_lattice():
    counts = {
        name: {
            rays
            for r in rounds(config.rays_per_sector, config.seed, 10_000_000)
            for rays in (r.specular_rays, r.diffraction_rays)
            if rays
        }
        for name, config in unseen.tracers().items()
    }
    for one, other in combinations(counts, 2):
        apart = min(abs(a / b - 1) for a in counts[one] for b in counts[other])
        assert apart > 0.005, (one, other)


def test_windows_lie_apart_and_are_the_same_every_time(monkeypatch):
    windows = unseen.draw("helsinki", 3)
    centers = [window.center_m for window in windows]
    assert min(dist(a, b) for a, b in combinations(centers, 2)) >= unseen.APART_M
    again = unseen.town_of("helsinki").window(windows[2].number, unseen.WindowConfig(), unseen.SEED)
    assert again.center_m == centers[2]
    assert again.sectors == windows[2].sectors
    monkeypatch.setattr(unseen, "MOST_DRAWN", 3)
    with pytest.raises(InputError, match="only 3 of 3 windows lie 250 m apart: ask for fewer"):
        unseen.draw("helsinki", 4)


def test_a_town_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("RFPLATFORM_DATA", str(tmp_path))
    with pytest.raises(MissingError, match=r"osm/prague_vinohrady.osm.pbf is not there"):
        unseen.town_of("prague_vinohrady")


@pytest.fixture(scope="module")
def window():
    return unseen.draw("helsinki", 1)[0]


def test_a_key_holds_all_that_decides_a_window(window):
    configs = unseen.tracers()
    key = unseen.window_key(window, configs)
    assert unseen.window_key(window, unseen.tracers()) == key
    moved = replace(window, sectors=(replace(window.sectors[0], z_m=99.0), *window.sectors[1:]))
    fewer = replace(window, scene=replace(window.scene, buildings=window.scene.buildings[1:]))
    seeded = {**configs, "again": replace(configs["again"], seed=9)}
    others = [
        unseen.window_key(moved, configs),
        unseen.window_key(fewer, configs),
        unseen.window_key(window, seeded),
    ]
    assert len({key, *others}) == 4


def test_a_window_is_traced_once_and_again_where_its_file_is_damaged(monkeypatch, tmp_path, window):
    few = {
        name: replace(config, rays_per_sector=rays, max_depth=1)
        for (name, config), rays in zip(
            unseen.tracers().items(), (8000, 8400, 2000, 4000), strict=True
        )
    }
    monkeypatch.setattr(unseen, "tracers", lambda: few)
    drawn = replace(window, sectors=window.sectors[:1])
    with unseen.traced([drawn], tmp_path) as futures:
        first = futures[0].result()
    levels = {name: first.traced[name].path_gain_db for name in few}
    assert levels["truth"].shape == (1, 128, 128)
    assert not np.array_equal(levels["truth"], levels["again"])
    (file,) = tmp_path.iterdir()

    idle = TracingProcess(threads=1)
    kept = unseen.open_window(drawn, idle, tmp_path)
    assert idle.starts == 0
    for name in few:
        np.testing.assert_array_equal(kept.traced[name].path_gain_db, levels[name])
    np.testing.assert_array_equal(kept.los, first.los)

    file.write_bytes(file.read_bytes()[:5000])
    with idle:
        again = unseen.open_window(drawn, idle, tmp_path)
    assert idle.starts == 1
    # One thread: the same bits.
    np.testing.assert_array_equal(again.traced["truth"].path_gain_db, levels["truth"])
    assert len(list(tmp_path.iterdir())) == 1
