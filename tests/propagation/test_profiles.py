"""The sweep against exact shadows, and the knife edge against its formula."""

import numpy as np
import pytest
from shapely import box

from rfplatform.frame import LOCAL
from rfplatform.propagation.profiles import knife_edge_db, profiles
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import height_raster, outdoor_mask
from rfplatform.scene import Building, LocalArea, Scene
from rfplatform.units import wavelength_m

GRID = Grid(LOCAL, -128.0, -128.0, 4.0, 64, 64, 1.5)


def scene_of(*houses):
    area = LocalArea("square", -128.0, -128.0, 128.0, 128.0)
    return Scene(
        area,
        LOCAL,
        tuple(
            Building(shape, 0.0, top, "height", "concrete", f"way/{i}")
            for i, (shape, top) in enumerate(houses)
        ),
    )


def swept(scene, sector, grid=GRID):
    height_m = height_raster(scene, grid)
    return profiles(height_m, height_m > 0.0, grid, sector, grid, grid.receiver_height_m)


TOWN = scene_of(
    (box(-60, -40, -30, 40), 18.0),
    (box(20, -90, 70, -50), 12.0),
    (box(30, 20, 60, 80), 30.0),
)


@pytest.mark.parametrize("place", [(0.0, 0.0, 25.0), (-100.0, -100.0, 40.0), (5.0, 60.0, 10.0)])
def test_cells_below_their_shadow_are_those_out_of_sight(place):
    sector = Sector("A", "1", *place)
    outdoor = outdoor_mask(TOWN, GRID)
    exact = line_of_sight(TOWN, [sector], GRID)[0]
    swept_sight = swept(TOWN, sector).shadow_m <= GRID.receiver_height_m
    # They differ along the shadows' borders, by the size of a cell.
    assert np.mean((exact == swept_sight)[outdoor]) > 0.95
    assert exact[outdoor].mean() < 0.95


def test_in_the_open_nothing_is_lost():
    way = swept(scene_of(), Sector("A", "1", 3.0, -5.0, 20.0))
    assert (way.diffraction_db < 1.0).all()
    assert (way.built_m == 0.0).all()
    assert (way.shadow_m < 1.5).mean() > 0.99


def test_a_wall_costs_what_its_edge_costs():
    """Straight behind a thin wall the loss is J(v) of its top."""
    sector = Sector("A", "1", -98.0, 2.0, 25.0, frequency_hz=3.5e9)
    way = swept(scene_of((box(-2.0, -120.0, 2.0, 120.0), 20.0)), sector)
    row = int((2.0 - GRID.south_m) / 4.0)
    for column in (40, 50, 60):
        x = GRID.x_m()[column]
        d1, d2 = 98.0, x
        line = 25.0 + (1.5 - 25.0) * d1 / (d1 + d2)
        v = (20.0 - line) * np.sqrt(2.0 / wavelength_m(3.5e9) * (1 / d1 + 1 / d2))
        loss = 6.9 + 20.0 * np.log10(np.sqrt((v - 0.1) ** 2 + 1.0) + v - 0.1)
        assert way.diffraction_db[row, column] == pytest.approx(loss, abs=0.8)


def test_two_walls_cost_more_than_either():
    sector = Sector("A", "1", -98.0, 2.0, 25.0)
    near = (box(-50.0, -120.0, -46.0, 120.0), 22.0)
    far = (box(40.0, -120.0, 44.0, 120.0), 15.0)
    row, column = 32, 55
    both, first, last = (
        swept(scene_of(*walls), sector).diffraction_db[row, column]
        for walls in ((near, far), (near,), (far,))
    )
    assert both > max(first, last) + 1.0
    assert both < first + last + 6.0


def test_the_length_over_buildings_is_counted():
    sector = Sector("A", "1", -98.0, 2.0, 25.0)
    way = swept(scene_of((box(-40.0, -120.0, 0.0, 120.0), 5.0)), sector)
    assert way.built_m[32, 60] == pytest.approx(40.0, abs=8.0)
    assert way.built_m[32, 12] == 0.0


def test_grazing_an_edge_costs_six_decibels():
    loss = knife_edge_db(
        10.0,
        np.float32(10.0),
        np.float32(200.0),
        np.float32(100.0),
        np.float32(10.0),
        np.float32(0.1),
    )
    assert float(loss) == pytest.approx(6.03, abs=0.05)


def test_an_antenna_outside_the_raster_is_no_error():
    way = swept(TOWN, Sector("A", "1", 900.0, 40.0, 30.0))
    assert np.isfinite(way.diffraction_db).all()
