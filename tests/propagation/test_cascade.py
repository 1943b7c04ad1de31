"""The cascade with its shipped weights: without samples, with some, and what it learns from."""

import numpy as np
import pytest
from shapely import box

from rfplatform.frame import LOCAL
from rfplatform.propagation.cascade import UNKNOWN_POWER, Cascade, split
from rfplatform.propagation.empirical import FreeSpace, TR38901UMa
from rfplatform.propagation.interpolation import Points, Samples
from rfplatform.propagation.learning import DARK_WEIGHT, batches, examples
from rfplatform.propagation.lesson_set import read_lessons
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Building, LocalArea, Scene
from rfplatform.shipped import shipped_folder

GRID = Grid(LOCAL, -200.0, -160.0, 4.0, 100, 80, 1.5)
HOUSES = (
    (box(-60, -40, -28, 40), 18.0),
    (box(24, -92, 72, -52), 12.0),
    (box(40, 30, 90, 70), 25.0),
)
SCENE = Scene(
    LocalArea("square", -200.0, -160.0, 200.0, 160.0),
    LOCAL,
    tuple(
        Building(shape, 0.0, top, "height", "concrete", f"way/{i}")
        for i, (shape, top) in enumerate(HOUSES)
    ),
)
SECTOR = Sector("A", "1", -100.0, 20.0, 25.0, azimuth_deg=90.0, antenna="tr38901")


@pytest.fixture(scope="module")
def solve():
    return Cascade().load_conditional()


@pytest.fixture(scope="module")
def before(solve):
    return solve(SCENE, [SECTOR], GRID, [None])


def some(before, moved_db, number, seed=1):
    """Samples of a world that lies `moved_db` above the map."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(rng.choice(np.flatnonzero(before.outdoor), number, False), GRID.num_x)
    prior = before.path_gain_db[0][row, column].astype(float)
    points = Points(GRID.x_m()[column], GRID.y_m()[row], prior)
    return Samples(points, prior + moved_db)


def test_shadow_is_dark_and_the_spread_is_larger_there(before):
    free = FreeSpace().load()(SCENE, [SECTOR], GRID)
    los, outdoor = free.los[0], before.outdoor
    lost_db, spread_db = (free.path_gain_db - before.path_gain_db)[0], before.standard_error_db[0]
    assert abs(np.median(lost_db[outdoor & los])) < 4.0
    assert np.median(lost_db[outdoor & ~los]) > 8.0
    assert np.median(spread_db[outdoor & los]) < np.median(spread_db[outdoor & ~los]) / 1.5


def test_samples_of_a_moved_world_move_the_map(solve, before):
    told = solve(SCENE, [SECTOR], GRID, [some(before, 7.0, 20)])
    difference_db = (told.path_gain_db - before.path_gain_db)[0][before.outdoor]
    assert difference_db.mean() == pytest.approx(7.0, abs=1.0)
    assert np.mean(told.standard_error_db[0]) < np.mean(before.standard_error_db[0]) + 1.0


def test_of_an_unknown_power_only_the_shape_counts(before):
    solve = Cascade().load_conditional(UNKNOWN_POWER)
    low, high = (
        solve(SCENE, [SECTOR], GRID, [some(before, moved_db, 30)]) for moved_db in (-60.0, 40.0)
    )
    difference_db = (high.path_gain_db - low.path_gain_db)[0]
    np.testing.assert_allclose(difference_db, 100.0, atol=2.0)


def test_samples_outside_the_grid_are_left_out(solve, before):
    far = Samples(Points(np.array([9e3]), np.array([9e3]), np.zeros(1)), np.array([-80.0]))
    told = solve(SCENE, [SECTOR], GRID, [far])
    np.testing.assert_array_equal(told.path_gain_db, before.path_gain_db)


def test_other_resolutions_are_means_of_the_trained_one(before):
    coarse = Grid(LOCAL, -200.0, -160.0, 8.0, 50, 40, 1.5)
    found = Cascade().load()(SCENE, [SECTOR], coarse)
    whole = before.outdoor.reshape(40, 2, 50, 2).all(axis=(1, 3))
    mean_db = before.path_gain_db[0].reshape(40, 2, 50, 2).mean(axis=(1, 3))
    assert np.median(np.abs(found.path_gain_db[0] - mean_db)[whole]) < 1.0


def test_it_lies_between_free_space_and_nothing(before):
    uma = TR38901UMa().load()(SCENE, [SECTOR], GRID)
    difference_db = (before.path_gain_db - uma.path_gain_db)[0][before.outdoor]
    assert abs(np.median(difference_db)) < 12.0


def test_the_two_outputs_are_residual_and_bounded_spread():
    raw = np.stack([np.linspace(-2, 2, 9), np.linspace(-90, 90, 9)], axis=-1).astype(np.float32)
    residual_db, spread_db = split(raw)
    np.testing.assert_allclose(residual_db, 10.0 * raw[:, 0], rtol=1e-6)
    assert (np.diff(spread_db) >= 0).all()
    assert 0.1 < spread_db.min() < spread_db.max() < 50.0


def test_examples_count_what_the_teacher_knows():
    found = list(examples(read_lessons(shipped_folder("windows") / "sample.zarr.zip", "train")))
    assert found
    for example in found:
        target = example.target.astype(float)
        counts = np.isfinite(example.level_db)
        assert (target[..., 1][~counts] == 0.0).all()
        assert (target[..., 1][counts] > 0.0).all()
        assert (target[..., 1] <= 1.0).all()
        assert set(np.unique(np.round(target[..., 3], 3))) <= {0.0, DARK_WEIGHT}
        assert not (target[..., 3] > 0)[counts].any()
        residual_db = 10.0 * target[..., 0] + example.prior_db
        usual = counts & (np.abs(target[..., 0]) < 7.9)
        np.testing.assert_allclose(residual_db[usual], example.level_db[usual], atol=0.1)
    first, again, other = (next(batches(found, 2, seed, 0))[0].sum() for seed in (1, 1, 2))
    assert first == again
    assert first != other
