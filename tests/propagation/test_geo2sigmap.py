"""The published cascade: what its stages see, how they learn, and the maps they make."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from rfplatform.errors import InputError, MissingError
from rfplatform.frame import LOCAL
from rfplatform.propagation import geo2sigmap
from rfplatform.propagation.empirical import uma_nlos_db
from rfplatform.propagation.features import Surface
from rfplatform.propagation.geo2sigmap import (
    EMPTY_DB,
    MIDDLE_DB,
    SCALES,
    STAGES,
    UNIT_DB,
    UNIT_M,
    Geo2SigMap,
    Geo2SigMapNetwork,
    batches,
    conditioned,
    located,
    second_inputs,
    shown,
    validation_scores,
    with_first,
)
from rfplatform.propagation.interpolation import Points, Samples
from rfplatform.propagation.lesson import Lesson
from rfplatform.propagation.windows import WindowConfig
from rfplatform.radiomap import Grid, Sector
from rfplatform.registry.models import Model
from rfplatform.scene import Building, LocalArea, Scene

ROUND = Sector("mast1", "1", 22.0, -38.0, 24.3, frequency_hz=1.8e9)
PANEL = Sector("mast2", "1", -300.0, 10.0, 30.0, 90.0, 4.0, antenna="tr38901")
OTHER = replace(PANEL, name="2", azimuth_deg=270.0)


def level_db(scaled):
    return np.asarray(scaled, dtype=np.float32) * UNIT_DB + MIDDLE_DB


def form_db(sector, grid):
    along = np.hypot(grid.x_m()[None, :] - sector.x_m, grid.y_m()[:, None] - sector.y_m)
    along = np.maximum(along, 10.0)
    away = np.hypot(along, sector.z_m - grid.receiver_height_m)
    return -uma_nlos_db(along, away, sector.frequency_hz, sector.z_m, grid.receiver_height_m)


def lesson(number=0, sectors=(ROUND, PANEL, OTHER)):
    """A window with a house, whose levels are UMa NLOS, 3.3 dB lower, and dark in the north."""
    config = WindowConfig()
    grid, around = config.grid(), config.surroundings()
    height = np.zeros(around.shape, dtype=np.float32)
    height[60:80, 90 : 110 + number] = 14.0
    outdoor = height[32:160, 32:160] == 0.0
    gain = np.array([form_db(s, grid) - 3.3 for s in sectors], dtype=np.float32)
    for i, sector in enumerate(sectors):
        if sector.antenna != "isotropic":
            gain[i] += geo2sigmap._gain_dbi(sector, grid)
    gain[:, ~outdoor] = -np.inf
    gain[:, -5:] = -np.inf
    error = np.where(np.isfinite(gain), 0.5, np.nan).astype(np.float32)
    los = np.zeros(gain.shape, dtype=bool)
    return Lesson(
        "nowhere", number, sectors, grid, around, height, outdoor, gain, error, los, gain, error, {}
    )


def test_levels_are_real_numbers_and_none_indoors_or_without_a_path():
    of = lesson()
    maps = list(shown([of], 1))
    assert [m.sector.label for m in maps] == ["mast1/1", "mast2/1", "mast2/2"]
    level = level_db(maps[0].level)
    counts = of.outdoor & np.isfinite(of.path_gain_db[0])
    assert (np.isfinite(level) == counts).all()
    np.testing.assert_allclose(level[counts], of.path_gain_db[0][counts], atol=0.04)
    assert np.abs(level[counts] - np.round(level[counts])).mean() > 0.1
    # Where no path was found the level isn't known; indoors it is that of nothing.
    assert (maps[1].trusted == (counts | ~of.outdoor)).all()
    assert maps[0].height.max() * UNIT_M == pytest.approx(14.0, abs=0.01)


def test_stage_1_learns_from_directional_antennas_without_their_gain():
    of = lesson()
    bare = list(shown([of], 0))
    expected = form_db(PANEL, of.grid) - 3.3
    for m in bare[1:]:
        counts = np.isfinite(m.level)
        np.testing.assert_allclose(level_db(m.level)[counts], expected[counts], atol=0.06)
    # The panel looks at the window, the other away from it: indoors always counts.
    assert bare[1].trusted.mean() > 0.8
    assert (bare[2].trusted == ~of.outdoor).all()


def test_an_antenna_stands_in_its_cell_or_in_the_nearest():
    grid = lesson().grid
    channels = np.stack(
        [geo2sigmap._channels(np.zeros(grid.shape), s, grid) for s in (ROUND, PANEL)]
    )
    x = located(channels, 24.0)
    assert [tuple(np.argwhere(one)[0]) for one in x[..., 1]] == [(54, 69), (66, 0)]
    assert (np.count_nonzero(x[..., 1], axis=(1, 2)) == 1).all()
    assert x[..., 1].max() == pytest.approx(24.0 / UNIT_M)
    np.testing.assert_allclose(level_db(x[0, ..., 2]), form_db(ROUND, grid), atol=1e-3)


def measured(of):
    return with_first(lambda x: x[..., 2:3], list(shown([of], 1)))


def test_stage_2_sees_levels_and_target_on_one_scale():
    maps = measured(lesson())
    counted, scales = [], []
    for epoch in range(20):
        for x, y in batches(maps, 3, 7, epoch):
            sparse = level_db(x[..., 1])
            known = sparse > EMPTY_DB + 1e-3
            assert y[known][:, 2].all()
            np.testing.assert_allclose(x[known][:, 1], y[known][:, 0], atol=1e-5)
            counted += list(known.sum(axis=(1, 2)))
            # Stage 1's map is the closed form, 3.3 dB above an isotropic antenna's level.
            above = (x[..., 2] - y[..., 0]) * UNIT_DB / 3.3
            usual = [np.median(a[m > 0]) for a, m in zip(above, y[..., 2], strict=True)]
            scales += [u for u in usual if 0 < u < 1]
    assert 0 <= min(counted) < 30
    assert 170 < max(counted) <= 201
    assert np.percentile(scales, 30) > SCALES[0] * 0.9
    again = [next(batches(maps, 3, 7, 4))[0] for _ in range(2)]
    assert (again[0] == again[1]).all()
    assert (next(batches(maps, 3, 7, 5))[0] != again[0]).any()


def test_where_nothing_is_the_target_is_the_least_level():
    maps = list(shown([lesson(sectors=(ROUND,))], 0))
    _, y = next(batches(maps, 1, 1, 0))
    target = level_db(y[..., 0])
    assert (target[y[..., 2] == 0] == EMPTY_DB).all()
    assert target[y[..., 2] > 0].min() > EMPTY_DB + 5.0
    dark = maps[0].trusted == 0
    assert dark.sum() == (y[..., 1] == 0).sum() > 0


@pytest.mark.parametrize("cells", [(40, 30), (128, 128), (150, 131)])
def test_a_map_of_any_size_undoes_scale_and_offset(cells):
    grid = Grid(LOCAL, -60.0, -40.0, 4.0, *cells)
    surface = Surface(grid, np.zeros(grid.shape, dtype=np.float32))
    form = (lambda x: x[..., 2:3], lambda x: x[..., 2:3])
    made = conditioned(form, surface, ROUND, grid)
    assert made.shape == grid.shape
    np.testing.assert_allclose(made, form_db(ROUND, grid), atol=0.01)
    points = Points(
        np.array([-58.0, 1.0, 2.0, 9e9]), np.array([-38.0, 9.0, 11.0, 0.0]), np.zeros(4)
    )
    samples = Samples(points, np.array([-71.5, -80.0, -90.0, -50.0]))
    sparse = (form[0], lambda x: x[..., 1:2])
    seen = conditioned(sparse, surface, ROUND, grid, samples)
    assert seen[0, 0] == pytest.approx(-71.5, abs=0.01)
    assert seen[12, 15] == pytest.approx(-85.0, abs=0.01)  # two in one cell: their mean
    assert (seen[20:] == EMPTY_DB).all()
    # A building at the border is seen where it stands, and none beyond what is known.
    surface.height_m[0, 0] = 20.0
    tall = conditioned((form[0], lambda x: x[..., :1] * 0 - x[..., :1]), surface, ROUND, grid)
    assert np.argwhere(tall < tall.max()).tolist() == [[0, 0]]


def test_samples_are_left_out_of_scores():
    maps = measured(lesson())
    right = validation_scores(lambda x: x[..., 2:3], maps[:1])
    assert right["val_rmse_db"] == pytest.approx(3.3, abs=0.05)
    assert right["val_score_db"] == pytest.approx(3.3, abs=0.05)
    # A network that gives back what was measured, and knows nothing else, gains nothing.
    empty = (EMPTY_DB - MIDDLE_DB) / UNIT_DB + 1e-3
    copied = validation_scores(
        lambda x: np.where(x[..., 1:2] > empty, x[..., 1:2], x[..., 2:3]), maps[:1]
    )
    assert copied["val_rmse_50_db"] == pytest.approx(right["val_rmse_50_db"], abs=1e-6)
    pytest.importorskip("keras")
    least = geo2sigmap.baselines(maps)
    assert least["val_rmse_50_db"].value < least["val_rmse_db"].value


def test_inputs_are_scaled_alike():
    measured_db = np.full((4, 4), np.nan, dtype=np.float32)
    measured_db[1, 2] = -100.0
    first_db = np.full((4, 4), -100.0, dtype=np.float32)
    x = second_inputs(np.zeros((4, 4)), measured_db, first_db, 0.5, -10.0)
    assert level_db(x[1, 2, 1]) == pytest.approx(-60.0)
    assert level_db(x[0, 0, 1]) == pytest.approx(EMPTY_DB)
    assert level_db(x[..., 2]) == pytest.approx(-60.0)


keras = pytest.importorskip("keras")


def test_the_paper_s_width_has_its_weights():
    first, second = (Geo2SigMapNetwork(width=64).build(n) for n in (0, 1))
    for model in (first, second):
        assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 31_037_633
    assert [v.path for v in first.variables] == [v.path for v in second.variables]


def test_the_loss_weighs_everything_and_the_masked_part():
    from rfplatform.nn.losses import geo2sigmap_loss

    truth = np.zeros((1, 2, 2, 3), dtype=np.float32)
    truth[0, :, :, 1] = [[1, 1], [1, 0]]
    truth[0, :, :, 2] = [[1, 0], [0, 1]]
    predicted = np.array([[[[2.0], [1.0]], [[1.0], [9.0]]]], dtype=np.float32)
    loss = float(geo2sigmap_loss(truth, predicted))
    assert loss == pytest.approx(0.7 * (4 + 1 + 1) / 3 + 0.3 * 4.0, rel=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both stages, tiny and hardly trained, and the model that they make."""
    from rfplatform.nn.fit import FitConfig, fit, weights

    folder = tmp_path_factory.mktemp("fit")
    network = Geo2SigMapNetwork(width=2, batch_size=2)
    fitted, results = [], []
    for number, name in enumerate(STAGES):
        stage = network.stage(number, fitted, [lesson(0)], [lesson(3, (ROUND,))], seed=1)
        assert stage.name == name
        results.append(fit(stage, FitConfig(1), folder / name))
        assert stage.watched in results[-1].history[0]
        fitted.append(stage.model)
    named = zip(STAGES, fitted, strict=True)
    kept = {f"{name}/{path}": value for name, m in named for path, value in weights(m).items()}
    return fitted, results, Model("geo2sigmap", network.architecture(), kept)


def test_normalization_does_not_depend_on_the_batch(trained):
    fitted, results, _ = trained
    assert {"val_rmse_db", "val_rmse_50_db", "val_score_db"} <= results[1].history[0].keys()
    x = np.random.default_rng(1).normal(size=(3, 128, 128, 3)).astype(np.float32)
    x[1] *= 5.0
    for model in fitted:
        together = model.predict_on_batch(x)
        np.testing.assert_allclose(model.predict_on_batch(x[:1])[0], together[0], atol=1e-4)


def test_stage_2_does_not_mind_a_common_scale_and_offset(trained):
    fitted, _, _ = trained
    rng = np.random.default_rng(2)
    first_db = rng.normal(-110.0, 20.0, (128, 128)).astype(np.float32)
    measured_db = np.where(rng.random(first_db.shape) < 0.01, first_db + 9.0, np.nan)
    made = []
    for scale, offset_db in ((0.6, -22.5), (0.2, 5.0)):
        x = second_inputs(np.zeros((128, 128)), measured_db, first_db, scale, offset_db)
        y = level_db(fitted[1].predict_on_batch(x[None]))
        made.append((y - offset_db) / scale)
    np.testing.assert_allclose(made[0], made[1], atol=0.02)


def test_a_map_of_a_scene(trained, monkeypatch):
    _, _, model = trained
    monkeypatch.setattr(geo2sigmap, "find_model", lambda *_: model)
    geo2sigmap.networks_of.cache_clear()
    house = Building(shapely.box(0.0, 0.0, 30.0, 20.0), 0.0, 12.0, "height", "concrete", "h")
    scene = Scene(LocalArea("place", -80.0, -80.0, 80.0, 80.0), LOCAL, (house,))
    grid = Grid(LOCAL, -80.0, -80.0, 4.0, 40, 40)
    solve = Geo2SigMap().load_conditional()
    made = Geo2SigMap().load()(scene, [ROUND, OTHER], grid)
    assert made.standard_error_db is None
    assert (np.isfinite(made.path_gain_db) == made.outdoor).all()
    assert made.attrs["solver"] == "geo2sigmap"
    samples = Samples(Points(np.array([-50.0]), np.array([-50.0]), np.zeros(1)), np.array([-60.0]))
    told = solve(scene, [ROUND, OTHER], grid, [samples, None])
    assert (told.path_gain_db[0] != made.path_gain_db[0]).any()
    np.testing.assert_array_equal(told.path_gain_db[1], made.path_gain_db[1])
    fine = solve(scene, [ROUND], replace(grid, resolution_m=2.0, num_x=80, num_y=80))
    blocks = fine.path_gain_db[0].reshape(40, 2, 40, 2).mean(axis=(1, 3))
    inside = np.isfinite(blocks) & made.outdoor
    assert np.abs(blocks[inside] - made.path_gain_db[0][inside]).mean() < 2.0
    with pytest.raises(ValueError, match="coarse"):
        solve(scene, [ROUND], grid, [None], [object()])
    geo2sigmap.networks_of.cache_clear()


def test_too_little_to_learn_from_is_told():
    with pytest.raises(InputError, match="fewer than a batch"):
        Geo2SigMapNetwork(batch_size=8).stage(0, [], [lesson()], [lesson()], seed=1)
    with pytest.raises(InputError, match="no maps to validate on"):
        Geo2SigMapNetwork(batch_size=2).stage(0, [], [lesson()], [], seed=1)
    with pytest.raises(InputError, match="width 0"):
        Geo2SigMapNetwork(width=0)


def test_weights_that_are_not_there_are_told(monkeypatch):
    from rfplatform.propagation import unet

    monkeypatch.setattr(unet, "shipped_folder", lambda _: None)
    with pytest.raises(MissingError, match="geo2sigmap"):
        Geo2SigMap().load()


def test_weights_that_do_not_say_so_are_not_levelled(trained):
    _, _, model = trained
    assert model.config == {"width": 2, "levelled": True}
    x = np.random.default_rng(3).normal(size=(1, 128, 128, 3)).astype(np.float32)
    _, levelled = geo2sigmap.loaded(model.config, model.weights)
    _, plain = geo2sigmap.loaded({"width": 2}, model.weights)
    assert np.abs(levelled(x) - plain(x)).max() > 1e-3
