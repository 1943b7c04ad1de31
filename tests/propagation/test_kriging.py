"""Kriging on made-up shadowing, whose truth is known."""

import numpy as np
import pytest

from rfplatform.propagation.interpolation import NearestNeighbours, Offset, Points, Samples
from rfplatform.propagation.kriging import Kriging, macro_street_db
from rfplatform.radiomap import Sector

SECTOR = Sector("mast", "1", -20.0, 30.0, 24.0, 40.0, frequency_hz=3.6e9, antenna="tr38901")


def made_up(seed=1, count=500, offset_db=-30.0):
    """Levels of the macro prior with a wrong slope, correlated shadowing and noise."""
    rng = np.random.default_rng(seed)
    x_m, y_m = rng.uniform(-200.0, 200.0, (2, count))
    prior_db = macro_street_db(SECTOR, x_m, y_m)
    apart_m = np.hypot(x_m[:, None] - x_m, y_m[:, None] - y_m)
    shadowing = np.linalg.cholesky(36.0 * np.exp(-apart_m / 50.0) + 1e-6 * np.eye(count))
    level_db = prior_db + offset_db + shadowing @ rng.normal(size=count)
    level_db += 6.0 * np.log10(np.hypot(x_m - SECTOR.x_m, y_m - SECTOR.y_m) / 100.0)
    return Points(x_m, y_m, prior_db), level_db + rng.normal(0.0, 2.0, count)


def error_db(way, points, level_db, count):
    known, asked = np.arange(count), np.arange(200, len(level_db))
    told = way(Samples(points.at(known), level_db[known]), points.at(asked), SECTOR)
    return told, told.mean_db - level_db[asked]


@pytest.mark.parametrize("count", [50, 200])
def test_it_is_nearer_than_an_offset_or_neighbours(count):
    points, level_db = made_up()
    errors = [
        np.sqrt(np.mean(error_db(way, points, level_db, count)[1] ** 2))
        for way in (Kriging(), Offset(), NearestNeighbours())
    ]
    assert errors[0] < min(errors[1:])


@pytest.mark.parametrize("count", [10, 200])
def test_its_spread_is_honest(count):
    points, level_db = made_up(2)
    told, off_db = error_db(Kriging(), points, level_db, count)
    within = np.mean(np.abs(off_db) < 1.2816 * told.spread_db)
    assert 0.7 < within < 0.92


def test_without_samples_it_is_the_prior_and_one_sets_the_level():
    points, level_db = made_up()
    none = np.zeros(len(level_db), dtype=bool)
    told = Kriging()(Samples(points.at(none), level_db[none]), points, SECTOR)
    np.testing.assert_allclose(told.mean_db, points.prior_db)
    one = np.arange(1)
    told = Kriging()(Samples(points.at(one), level_db[one]), points, SECTOR)
    assert told.mean_db[0] == pytest.approx(level_db[0], abs=4.0)


def test_a_prior_in_other_units_and_with_holes_is_taken():
    points, level_db = made_up()
    told, off_db = error_db(Kriging(), points, level_db, 100)
    shifted = Points(points.x_m, points.y_m, points.prior_db + 40.0)
    again, _ = error_db(Kriging(), shifted, level_db, 100)
    np.testing.assert_allclose(again.mean_db, told.mean_db, atol=0.05)
    dark_db = points.prior_db.copy()
    dark_db[::7] = -np.inf
    holes, _ = error_db(Kriging(), Points(points.x_m, points.y_m, dark_db), level_db, 100)
    assert np.isfinite(holes.mean_db).all()
    assert np.isfinite(holes.spread_db).all()
    assert off_db.std() < 10.0


def test_a_prior_that_is_surer_is_moved_less():
    points, level_db = made_up()
    stated_db = np.where(points.x_m > 0.0, 2.0, 8.0)
    sure = Points(points.x_m, points.y_m, points.prior_db, stated_db)
    told, _ = error_db(Kriging(), sure, level_db, 20)
    east = points.x_m[200:] > 0.0
    assert told.spread_db[east].mean() < told.spread_db[~east].mean()


def test_power_leaves_by_the_front_and_less_by_the_back():
    angle = np.radians([40.0, 220.0])
    level_db = macro_street_db(
        SECTOR, SECTOR.x_m + 200.0 * np.sin(angle), SECTOR.y_m + 200.0 * np.cos(angle)
    )
    # 30 dB by the pattern alone; scattering fills up the back.
    assert 10.0 < level_db[0] - level_db[1] < 30.0


def test_an_isotropic_antenna_is_left_as_it_is():
    mast = Sector("mast", "1", 0.0, 0.0, 25.0, frequency_hz=3.5e9)
    level_db = macro_street_db(mast, np.array([100.0]), np.array([0.0]))
    d3d_m = np.hypot(100.0, 23.5)
    nlos_db = 13.54 + 39.08 * np.log10(d3d_m) + 20.0 * np.log10(3.5)
    assert level_db[0] == pytest.approx(-nlos_db, abs=0.01)
