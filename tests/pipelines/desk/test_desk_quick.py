from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.desk import quick
from pipelines.desk.quick import QuickMaps
from pipelines.map import example_sites, read_rows
from rfplatform.catalog import find_solver
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import BuiltIn
from rfplatform.geodata.sites import place_sectors
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return load_scene(BuiltIn("helsinki"))


@pytest.fixture(scope="module")
def sectors(scene: Scene) -> tuple[Sector, ...]:
    return place_sectors(read_rows(example_sites("helsinki"), 3.5e9), scene)


@pytest.fixture(scope="module")
def grid(scene: Scene) -> Grid:
    return Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, 16.0)


@pytest.mark.parametrize("name", ["tr38901-uma", "tr38901-umi", "tr38901-rma", "free-space"])
def test_it_is_the_map_of_all_sectors_at_once(
    name: str, scene: Scene, sectors: tuple[Sector, ...], grid: Grid
) -> None:
    solver = find_solver(name).config().load()
    maps = QuickMaps()
    maps.solve(name, solver, scene, sectors[3:5], grid)
    found, whole = maps.solve(name, solver, scene, sectors, grid), solver(scene, sectors, grid)
    np.testing.assert_array_equal(found.path_gain_db, whole.path_gain_db)
    np.testing.assert_array_equal(found.outdoor, whole.outdoor)
    assert found.sectors == whole.sectors
    assert (found.los is None) == (whole.los is None)
    if whole.los is not None:
        np.testing.assert_array_equal(found.los, whole.los)


def test_only_what_moved_is_computed(scene: Scene, sectors: tuple[Sector, ...], grid: Grid) -> None:
    solver = find_solver("tr38901-uma").config().load()
    asked: list[int] = []

    def counting(scene: Scene, some: list[Sector], grid: Grid):
        asked.append(len(some))
        return solver(scene, some, grid)

    maps = QuickMaps()
    maps.solve("a", counting, scene, sectors, grid)
    there = [replace(sectors[0], x_m=sectors[0].x_m + 5.0), *sectors[1:]]
    maps.solve("a", counting, scene, there, grid)
    maps.solve("a", counting, scene, sectors, grid)
    maps.solve("b", counting, scene, sectors[:2], grid)
    assert asked == [len(sectors), 1, 2]


def test_it_forgets_what_was_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, sectors: tuple[Sector, ...], grid: Grid
) -> None:
    monkeypatch.setattr(quick, "REMEMBERED_BYTES", 3 * grid.num_x * grid.num_y * 5)
    solver = find_solver("tr38901-uma").config().load()
    maps = QuickMaps()
    whole = maps.solve("a", solver, scene, sectors, grid)
    assert len(whole.sectors) == len(sectors)
    maps.solve("a", solver, scene, sectors[:1], grid)
    assert len(maps._known) <= 3
