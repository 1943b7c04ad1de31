"""The side-by-side benchmark, on small windows whose truth is made up."""

import csv
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import shapely

from rfplatform.benchmark import evaluate
from rfplatform.benchmarks import map_entrants, map_scores, maps, unseen
from rfplatform.benchmarks.map_entrants import CASCADE, ENTRANTS, Entry, learned, samples_of
from rfplatform.benchmarks.map_scores import FLOOR_DB, Question, Study, resampled
from rfplatform.benchmarks.map_tables import table_of
from rfplatform.benchmarks.unseen import TracedLevels, UnseenWindow
from rfplatform.errors import MissingError
from rfplatform.frame import LOCAL
from rfplatform.propagation.empirical import TR38901UMa
from rfplatform.propagation.interpolation import Estimate
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.rasterize import outdoor_mask
from rfplatform.scene import Building, LocalArea, Scene

GRID = Grid(LOCAL, -80.0, -80.0, 4.0, 40, 40, 1.5)
HOUSES = ((-60.0, -60.0, -20.0, -10.0), (10.0, 0.0, 50.0, 30.0), (-40.0, 40.0, 0.0, 70.0))
SECTORS = (
    Sector("mast1", "1", -70.0, 75.0, 20.0),
    Sector("mast2", "1", 60.0, -60.0, 14.0, 100.0, 4.0, antenna="tr38901"),
)


def made_up(number):
    """A window whose truth is UMa, 7 dB lower, with shadowing, and with some cells dark."""
    buildings = tuple(
        Building(shapely.box(*bounds), 0.0, 9.0 + 2 * i, "height", "concrete", f"h{i}")
        for i, bounds in enumerate(HOUSES)
    )
    scene = Scene(LocalArea("window", -80.0, -80.0, 80.0, 80.0), LOCAL, buildings)
    made = TR38901UMa().load()(scene, SECTORS, GRID)
    rng = np.random.default_rng(number)
    shadowing = np.kron(rng.normal(0.0, 5.0, (2, 8, 8)), np.ones((5, 5)))
    truth = (made.path_gain_db - 7.0 + shadowing).astype(np.float32)
    outdoor = outdoor_mask(scene, GRID)
    truth[:, ~outdoor] = -np.inf
    truth[:, 3, :] = -np.inf

    def off(spread_db, dark):
        levels = truth + rng.normal(0.0, spread_db, truth.shape)
        levels[rng.random(truth.shape) < dark] = -np.inf
        errors = np.where(np.isfinite(levels), spread_db, np.nan)
        return TracedLevels(levels.astype(np.float32), errors.astype(np.float32))

    traced = {"truth": TracedLevels(truth, np.zeros_like(truth))}
    for name, spread_db, dark in (("again", 1.0, 0.0), ("tenth", 4.0, 0.2), ("coarse", 2.0, 0.1)):
        traced[name] = off(spread_db, dark)
    return UnseenWindow("nowhere", number, scene, SECTORS, GRID, outdoor, made.los, traced)


def done(window):
    future = Future()
    future.set_result(window)
    return future


WINDOWS = tuple(made_up(number) for number in range(3))


def study(**entrants):
    return Study([done(w) for w in WINDOWS], {**ENTRANTS, **entrants})


def told(level_db):
    """An entrant that says what a function of the truth is, [n] to [n]."""

    def estimate(window, sector, _):
        mean_db = level_db(window.truth_db(sector).astype(float), window.sampled(sector))
        return Estimate(mean_db, np.full(len(mean_db), np.nan))

    return Entry("learned", estimate)


def test_samples_are_cells_with_a_path_and_fewer_are_the_first_of_more():
    window = WINDOWS[0]
    cells = window.sampled(0)
    assert len(cells) == len(set(cells)) == unseen.MOST_SAMPLES
    assert np.isfinite(window.truth_db(0)[cells]).all()
    few, many = samples_of(window, 0, 10), samples_of(window, 0, 50)
    np.testing.assert_array_equal(few.level_db, many.level_db[:10])
    np.testing.assert_array_equal(few.level_db, window.truth_db(0)[cells[:10]])
    x_m, _ = window.cells_m()
    np.testing.assert_array_equal(few.points.x_m, x_m[cells[:10]])
    assert samples_of(window, 0, 0) is None
    assert set(cells) != set(window.sampled(1))


def test_no_entrant_is_scored_where_samples_are_taken():
    def good_at_samples(truth_db, sampled):
        worse_db = truth_db + 3.0
        worse_db[sampled] = truth_db[sampled]
        return worse_db

    for samples in map_scores.SAMPLES:
        made = study(s=told(good_at_samples)).predict(Question(None, "s", samples))
        assert map_scores.root_mean_square_db(made) == pytest.approx(3.0, abs=1e-4)
    cells = made.cells
    outdoor = sum(2 * int(w.outdoor.sum()) for w in WINDOWS)
    assert len(cells.true_db) == outdoor - 6 * unseen.MOST_SAMPLES


def test_every_entrant_without_a_path_is_scored_with_the_floor():
    def half_dark(truth_db, _):
        level_db = truth_db.copy()
        level_db[::2] = -np.inf
        return level_db

    made = study(s=told(half_dark)).predict(Question(None, "s"))
    cells = made.cells
    dark = np.isfinite(cells.true_db) & ~np.isfinite(made.told_db)
    share = dark.sum() / np.isfinite(cells.true_db).sum()
    assert map_scores.SCORES["cells without a path"][2](made) == pytest.approx(share)
    off = cells.true_db[dark].astype(float) - FLOOR_DB
    expected = np.sqrt(np.mean(off**2) * share)
    assert map_scores.root_mean_square_db(made) == pytest.approx(expected, rel=1e-5)
    assert map_scores.SCORES["RMSE where both have a path"][2](made) == pytest.approx(0.0, abs=1e-4)


def test_a_traced_entrant_answers_for_the_cells_it_missed():
    made = study().predict(Question(None, map_entrants.TENTH))
    missed = np.isfinite(made.cells.true_db) & ~np.isfinite(made.told_db)
    assert missed.any()
    assert (made.spread_db[missed] == 0.0).all()
    # Of the others, 80 % lie within the interval, as their spread is the true one.
    share_missed = missed.sum() / np.isfinite(made.cells.true_db).sum()
    assert map_scores.interval_share(made) == pytest.approx(0.8 * (1 - share_missed), abs=0.03)


def test_the_baseline_is_the_best_that_learned_nothing():
    of = study(**{CASCADE: told(lambda truth_db, _: truth_db)})
    for samples in (0, 50):
        rival = of.rival(Question(of, CASCADE, samples))
        takes_part = [
            name
            for name, entry in of.entrants.items()
            if entry.kind in ("closed form", "interpolation")
            and (entry.with_some if samples else entry.with_none)
        ]
        errors = {
            name: map_scores.root_mean_square_db(of.predict(Question(of, name, samples)))
            for name in takes_part
        }
        assert len(errors) == (7 if samples else 3)
        assert rival.entrant == min(errors, key=errors.get)


def test_an_offset_takes_what_a_closed_form_is_off_by():
    of = study()
    bare, offset = (of.predict(Question(of, "UMa", samples)) for samples in (0, 200))
    assert map_scores.SCORES["bias"][2](bare) == pytest.approx(7.0, abs=1.0)
    assert abs(map_scores.SCORES["bias"][2](offset)) < 0.5
    assert (bare.label, offset.label) == ("UMa", "UMa + offset")


def test_the_interval_over_windows_is_that_of_their_errors():
    same = study(s=told(lambda truth_db, _: truth_db + 2.0)).predict(Question(None, "s"))
    assert resampled(same) == pytest.approx((2.0, 2.0), abs=1e-3)
    off = iter(np.repeat([1.0, 2.0, 3.0], 2))
    other = study(s=told(lambda truth_db, _: truth_db + next(off))).predict(Question(None, "s"))
    low, high = resampled(other)
    # A draw of three windows out of three is one window thrice now and then.
    assert (low, high) == pytest.approx((1.0, 3.0), abs=0.2)
    assert resampled(other, other) == pytest.approx((1.0, 1.0))


def benchmark_of(of):
    return replace(maps.UNSEEN, dataset=lambda: maps.cases_of(of))


def test_all_entrants_stand_in_one_table_and_the_cascade_has_targets(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "SAMPLES", (0, 50))
    of = study(**{CASCADE: told(lambda truth_db, _: truth_db + 0.5)})
    rows = evaluate(benchmark_of(of), out=tmp_path)
    errors = {r.case: r for r in rows if r.metric == "RMSE"}
    assert (errors["K = 0: cascade"].target, errors["K = 0: cascade"].met) == (0.65, True)
    assert (errors["K = 50: cascade"].target, errors["K = 50: cascade"].met) == (1.0, True)
    assert errors["K = 50: cascade"].note.startswith("beside ")
    assert all(r.target is None for case, r in errors.items() if "cascade" not in case)
    few_rays = f"K = 0: {map_entrants.TENTH}"
    common = {r.case: r for r in rows if r.metric == "RMSE where it and its rival have a path"}
    # Its own errors without those of the cells it missed; its rival's over the same cells.
    assert common[few_rays].value == pytest.approx(4.0, abs=0.1)
    assert common[few_rays].baseline_value == pytest.approx(
        errors[few_rays].baseline_value, rel=0.1
    )
    skipped = {r.case: r.skipped for r in rows if r.skipped}
    assert "made of samples" in skipped["K = 0: kNN"]
    assert "K = 50: kNN" not in skipped
    assert f"K = 50: {map_entrants.TENTH}" not in {r.case for r in rows}

    with (tmp_path / "unseen-town.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [r["entrant"] for r in table if r["samples"] == "50"][:2] == [
        "free space + offset",
        "UMa + offset",
    ]
    written = {(r["samples"], r["entrant"]): float(r["RMSE [dB]"]) for r in table}
    assert written["0", "cascade"] == pytest.approx(errors["K = 0: cascade"].value)
    assert "| 50 | kNN |" in (tmp_path / "unseen-town.md").read_text()
    assert {p.name for p in tmp_path.glob("*.png")} == {"unseen-town.png", "maps.png"}


def test_a_network_without_weights_is_skipped_with_its_reason():
    def load():
        raise MissingError("cascade: no weights here")

    of = study(**{CASCADE: Entry("learned", learned(load))})
    cases = replace(
        maps.UNSEEN, dataset=lambda: [c for c in maps.cases_of(of) if CASCADE in c.name]
    )
    rows = [r for r in evaluate(cases) if r.case == "K = 0: cascade"]
    assert [r.skipped for r in rows] == ["cascade: no weights here"]


def test_a_network_is_shown_samples_and_the_coarse_map_where_it_takes_them():
    seen = []

    def network(_, sectors, grid, samples, coarse):
        seen.append((len(sectors), samples[0], coarse[0]))
        levels = np.full((1, *grid.shape), -99.0, dtype=np.float32)
        return RadioMap(grid, tuple(sectors), levels, levels * 0 + 3, WINDOWS[0].outdoor)

    loads = []

    def load():
        loads.append(1)
        return network

    entrant = learned(load, with_rays=True)
    samples = samples_of(WINDOWS[0], 1, 10)
    estimate = entrant(WINDOWS[0], 1, samples)
    learned(load)(WINDOWS[0], 1, None)
    entrant(WINDOWS[0], 0, None)
    assert len(loads) == 2
    assert seen[0][:2] == (1, samples)
    coarse_db = WINDOWS[0].traced["coarse"].path_gain_db[1]
    np.testing.assert_array_equal(seen[0][2].path_gain_db, coarse_db)
    assert seen[1] == (1, None, None)
    assert estimate.mean_db.shape == (int(WINDOWS[0].outdoor.sum()),)
    assert (estimate.spread_db == 3.0).all()


def test_a_window_alone_has_a_row_of_its_error_and_no_place_in_the_table():
    of = study()
    question = Question(of, map_entrants.AGAIN, 0, 1)
    alone = replace(maps.UNSEEN, dataset=lambda: [maps._case("one", question)])
    rows = evaluate(alone)
    assert [r.metric for r in rows] == ["RMSE"]
    assert rows[0].value == pytest.approx(1.0, abs=0.1)
    assert rows[0].baseline_value > 3.0
    assert table_of([]) == []
