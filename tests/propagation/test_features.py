"""Channels turn with the world, and say what their names say."""

import numpy as np
import pytest
from shapely import box
from shapely.affinity import affine_transform

from rfplatform.frame import LOCAL
from rfplatform.propagation.features import (
    CHANNELS,
    COARSE_CHANNELS,
    Coarse,
    Surface,
    coarse_channels,
    features,
    turned,
)
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import height_raster, outdoor_mask
from rfplatform.scene import Building, LocalArea, Scene

GRID = Grid(LOCAL, -128.0, -128.0, 4.0, 64, 64, 1.5)
HOUSES = ((box(-60, -40, -28, 40), 18.0), (box(24, -92, 72, -52), 12.0))
SECTOR = Sector("A", "1", 10.0, 22.0, 25.0, azimuth_deg=30.0, downtilt_deg=6.0, antenna="tr38901")


def made(houses, sector):
    scene = Scene(
        LocalArea("square", -128.0, -128.0, 128.0, 128.0),
        LOCAL,
        tuple(
            Building(shape, 0.0, top, "height", "concrete", f"way/{i}")
            for i, (shape, top) in enumerate(houses)
        ),
    )
    outdoor = outdoor_mask(scene, GRID)
    los = line_of_sight(scene, [sector], GRID)[0] & outdoor
    return features(Surface(GRID, height_raster(scene, GRID)), outdoor, los, sector, GRID)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_turned_channels_are_those_of_the_turned_world(turns):
    angle = np.pi / 2 * turns
    c, s = round(np.cos(angle)), round(np.sin(angle))
    houses = tuple((affine_transform(h, [c, -s, s, c, 0, 0]), top) for h, top in HOUSES)
    x, y = SECTOR.x_m, SECTOR.y_m
    sector = Sector(
        "A", "1", c * x - s * y, s * x + c * y, 25.0,
        azimuth_deg=(30.0 - 90.0 * turns) % 360.0, downtilt_deg=6.0, antenna="tr38901",
    )  # fmt: skip
    there = made(houses, sector).channels
    here = turned(made(HOUSES, SECTOR).channels, turns, mirrored=False, directions=True)
    # The polar sweep falls on other points; along shadows' borders channels may differ.
    close = np.isclose(here, there, atol=2e-3)
    assert close.mean() > 0.9
    for name in ("building_height", "log_distance", "towards_antenna_x", "towards_antenna_y"):
        i = CHANNELS.index(name)
        np.testing.assert_allclose(here[..., i], there[..., i], atol=1e-4)
    i = CHANNELS.index("antenna_gain")
    np.testing.assert_allclose(here[..., i], there[..., i], atol=1e-3)


def test_a_mirrored_world():
    houses = tuple((affine_transform(h, [-1, 0, 0, 1, 0, 0]), top) for h, top in HOUSES)
    sector = Sector(
        "A", "1", -SECTOR.x_m, SECTOR.y_m, 25.0,
        azimuth_deg=330.0, downtilt_deg=6.0, antenna="tr38901",
    )  # fmt: skip
    there = made(houses, sector).channels
    here = turned(made(HOUSES, SECTOR).channels, 0, mirrored=True, directions=True)
    assert np.isclose(here, there, atol=2e-3).mean() > 0.9
    i = CHANNELS.index("towards_antenna_x")
    np.testing.assert_allclose(here[..., i], there[..., i], atol=1e-4)


def test_everything_is_finite_and_about_one():
    found = made(HOUSES, SECTOR)
    assert found.channels.shape == (64, 64, len(CHANNELS))
    assert np.isfinite(found.channels).all()
    assert np.abs(found.channels).max() < 12.0
    assert np.isfinite(found.prior_db).all()


def test_a_coarse_map_pulls_as_far_as_it_is_trusted():
    prior_db = np.full((2, 2), -100.0, np.float32)
    level_db = np.array([[-90.0, -90.0], [-90.0, -np.inf]])
    error_db = np.array([[0.0, 8.0], [20.0, np.nan]])
    channels = coarse_channels(Coarse(level_db, error_db), prior_db)
    pull = channels[..., COARSE_CHANNELS.index("coarse_pull")]
    np.testing.assert_allclose(pull, [[1.0, 0.5], [1.0 / 7.25, 0.0]], rtol=1e-5)
    assert channels[1, 1, COARSE_CHANNELS.index("coarse_reached")] == 0.0
    assert (channels[..., 0] == 1.0).all()
    assert (coarse_channels(None, prior_db) == 0.0).all()
