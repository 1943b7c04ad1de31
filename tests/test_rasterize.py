import numpy as np
from shapely import box, contains_xy
from shapely.affinity import rotate

from rfplatform.frame import Frame
from rfplatform.radiomap import Grid
from rfplatform.rasterize import height_raster, outdoor_mask
from rfplatform.scene import Area, Building, Scene

FRAME = Frame("EPSG:32635", 385_000.0, 6_672_000.0)
GRID = Grid(FRAME, -40.0, -20.0, 1.5, 50, 31)
AREA = Area("here", 24.9, 60.1, 25.0, 60.2)


def scene_of(*prisms) -> Scene:
    buildings = [
        Building(footprint, base, top, "height", "concrete", f"way/{i}")
        for i, (footprint, base, top) in enumerate(prisms)
    ]
    return Scene(AREA, FRAME, tuple(buildings))


def covered(footprint) -> np.ndarray:
    x, y = np.meshgrid(GRID.x_m(), GRID.y_m())
    return contains_xy(footprint, x, y)


YARD = rotate(box(-30, -12, 6, 17).difference(box(-20, -4, -3, 8)), 17)
TOWER = rotate(box(-2, -3, 21, 11), -31)


def test_highest_wins_whatever_the_order():
    expected = np.where(covered(TOWER), 30.0, np.where(covered(YARD), 12.0, 0.0))
    for prisms in [[(YARD, 0, 12), (TOWER, 0, 30)], [(TOWER, 0, 30), (YARD, 0, 12)]]:
        heights = height_raster(scene_of(*prisms), GRID)
        assert heights.dtype == np.float32
        assert np.array_equal(heights, expected)


def test_outdoor_is_outside_of_every_footprint_and_inside_of_courtyards():
    outdoor = outdoor_mask(scene_of((YARD, 0, 12), (TOWER, 0, 30)), GRID)
    assert outdoor.dtype == bool
    assert np.array_equal(outdoor, ~(covered(YARD) | covered(TOWER)))


def test_parts_above_the_receivers_leave_cells_outdoor():
    assert outdoor_mask(scene_of((TOWER, 4.0, 8.0)), GRID).all()
    low = outdoor_mask(scene_of((TOWER, 1.0, 8.0)), GRID)
    assert np.array_equal(low, ~covered(TOWER))


def test_row_zero_is_south():
    south_west = box(-40, -20, -36, -16)
    heights = height_raster(scene_of((south_west, 0, 9)), GRID)
    assert heights[0, 0] == 9
    assert heights[-1].max() == 0


def test_no_building_at_all_or_none_near():
    for scene in (scene_of(), scene_of((box(900, 900, 920, 920), 0, 9))):
        assert outdoor_mask(scene, GRID).all()
        assert not height_raster(scene, GRID).any()
