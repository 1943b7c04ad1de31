from dataclasses import replace

import numpy as np
import pytest

from rfplatform.errors import InputError, MissingError
from rfplatform.frame import Frame
from rfplatform.propagation import calibration
from rfplatform.propagation.calibration import (
    CalibrationConfig,
    Conditioned,
    Ground,
    Method,
    calibrate,
    device_offsets,
    match_cells,
    observe,
    scores_by,
)
from rfplatform.propagation.measurements import Measurements
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.scene import Area, Scene

GRID = Grid(Frame("EPSG:32635", 385_000.0, 6_672_000.0), -400.0, -400.0, 8.0, 100, 100)
SECTORS = (
    Sector("S", "A", 0.0, 0.0, 25.0, azimuth_deg=30.0),
    Sector("S", "B", 0.0, 0.0, 25.0, azimuth_deg=150.0),
    Sector("S", "C", 0.0, 0.0, 25.0, azimuth_deg=270.0),
)
SHIFTS = {"A": -12.0, "B": 4.0}
DEVICES = {"one": 3.0, "two": -3.0}


def radio_map(standard_error_db=None, dark=False):
    x, y = np.meshgrid(GRID.x_m(), GRID.y_m())
    gain = -30.0 - 35.0 * np.log10(np.sqrt(x**2 + y**2 + 25.0**2))
    gains = np.stack([gain + 4 * np.cos(np.arctan2(x, y) - np.radians(s.azimuth_deg))
                      for s in SECTORS]).astype(np.float32)  # fmt: skip
    outdoor = np.ones(GRID.shape, bool)
    if dark:
        outdoor[10:20, 10:20] = False
        gains[:, 10:20, 10:20] = -np.inf
    error = None if standard_error_db is None else np.full(gains.shape, standard_error_db, "f4")
    return RadioMap(GRID, SECTORS, gains, error, outdoor, attrs={"solver": "made up"})


def readings(ground, count=700, seed=0, field_db=3.0, noise_db=1.0, cells="AB"):
    """Of the map, shifted for each cell and device, with a smooth field that it does not know."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-390, 390, (2, count))
    cell, device = rng.choice(list(cells), count), rng.choice(list(DEVICES), count)
    row = ((y + 400) / 8).astype(int)
    column = ((x + 400) / 8).astype(int)
    sector = np.array(["ABC".index(c) for c in cell])
    level = ground.rsrp_dbm[sector, row, column].astype(float)
    level += np.array([SHIFTS[c] for c in cell]) + np.array([DEVICES[d] for d in device])
    level += field_db * np.sin(x / 70.0) * np.cos(y / 60.0) + rng.normal(0, noise_db, count)
    return Measurements(x, y, level, cell, device)


@pytest.fixture(scope="module")
def ground():
    return Ground.of(radio_map(), None)


@pytest.fixture(scope="module")
def observed(ground):
    measured = readings(ground)
    return observe(ground, measured, match_cells(measured.cell.tolist(), SECTORS))


def test_levels_are_of_one_resource_element(ground):
    # 20 MHz at 30 kHz in NR: 51 blocks of 12 subcarriers.
    expected = ground.radio_map.rss_dbm() - 10 * np.log10(51 * 12)
    np.testing.assert_allclose(ground.rsrp_dbm, expected, rtol=1e-5)
    np.testing.assert_allclose(ground.element_dbm, 43 - 10 * np.log10(612))


def test_offsets_of_cells_and_devices_are_found(ground, observed):
    found = calibrate(ground, observed, CalibrationConfig("offset"))
    devices = {d.name: d.offset_db for d in found.devices}
    assert devices["one"] == pytest.approx(3.0, abs=0.4)
    assert devices["two"] == pytest.approx(-3.0, abs=0.4)
    assert {c.name: round(c.offset_db) for c in found.cells} == {"S/A": -12, "S/B": 4}
    assert sum(c.readings for c in found.cells) == 700
    assert all(0.05 < c.standard_error_db < 1.0 for c in found.cells)
    for i, shift in ((0, -12.0), (1, 4.0)):
        moved = found.radio_map.path_gain_db[i] - ground.radio_map.path_gain_db[i]
        np.testing.assert_allclose(moved, shift, atol=0.6)
        np.testing.assert_allclose(
            found.rsrp_dbm[i] - found.radio_map.path_gain_db[i], ground.element_dbm[i], atol=1e-3
        )


def test_a_device_is_not_blamed_for_where_it_was(ground):
    """One phone in the west, where the map is 10 dB off, one in the east, both in the middle."""
    rng = np.random.default_rng(2)
    x = np.concatenate((rng.uniform(-390, 60, 300), rng.uniform(-60, 390, 300)))
    y = rng.uniform(-390, 390, 600)
    device = np.repeat(["west", "east"], 300)
    level = ground.rsrp_dbm[0, ((y + 400) / 8).astype(int), ((x + 400) / 8).astype(int)]
    level = level + np.where(x < -60, 10.0, 0.0) + np.where(device == "west", 2.0, -2.0)
    measured = Measurements(x, y, level.astype(float), np.repeat("A", 600), device)
    found = device_offsets(observe(ground, measured, {"A": 0}))
    assert found["west"][0] == pytest.approx(2.0, abs=1.0)
    assert found["west"][0] + found["east"][0] == pytest.approx(0.0, abs=1e-9)
    assert 0.0 < found["west"][1] < 2.0


def test_every_report_has_the_plain_baselines_and_auto_takes_the_best(ground, observed):
    found = calibrate(ground, observed.at(np.arange(len(observed)) % 3 == 0))
    score = {s.method: s for s in found.scores}
    assert list(score)[:5] == ["uncalibrated", "constant", "offset", "log-distance", "knn"]
    tried = [name for name in calibration.METHODS if name != "cascade"]
    assert set(tried) <= set(score)
    assert found.method == min(tried, key=lambda name: score[name].rmse_db)
    assert score[found.method].rmse_db < score["offset"].rmse_db < score["uncalibrated"].rmse_db
    for s in found.scores:
        assert s.points == len(found.observed)
        assert s.low_db < s.rmse_db < s.high_db
        assert s.mae_db <= s.rmse_db
    assert 0.7 < score[found.method].picp80 < 0.95
    assert found.notes == (
        "cascade was not tried: the map's area can't be read again, which a learned method needs: "
        "put it back, or take another --method",
    )


def test_a_block_is_predicted_without_its_own_readings(ground, observed):
    """Where each block is off by itself alone, nothing can be learned of it from the others."""
    rng = np.random.default_rng(5)
    blocks, which = np.unique(observed.block, return_inverse=True)
    alone = rng.normal(0, 20, len(blocks))[which]
    pixels = replace(observed.pixels, rsrp_dbm=observed.pixels.rsrp_dbm + alone)
    found = calibrate(ground, replace(observed, pixels=pixels), CalibrationConfig("knn"))
    knn = next(s for s in found.scores if s.method == "knn")
    assert knn.rmse_db > 15.0
    assert any("no better than each cell's mean" in note for note in found.notes)


def test_the_same_seed_gives_the_same_scores(ground, observed):
    first, second = (calibrate(ground, observed, CalibrationConfig("knn")) for _ in range(2))
    assert first.scores == second.scores


def test_quantiles_are_ordered_and_a_cell_without_readings_is_less_sure(ground, observed):
    found = calibrate(ground, observed, CalibrationConfig("knn"))
    levels = found.quantiles_dbm()
    assert (levels["p10"] < levels["p50"]).all()
    assert (levels["p50"] < levels["p90"]).all()
    spread = found.radio_map.standard_error_db
    assert np.median(spread[2]) > np.median(spread[:2]) + 3.0
    moved = found.rsrp_dbm[2] - ground.rsrp_dbm[2]
    np.testing.assert_allclose(moved, -4.0, atol=0.6)
    assert found.radio_map.attrs["calibration"]["method"] == "knn"
    assert found.radio_map.attrs["solver"] == "made up"


def test_dark_buildings_stay_dark_and_a_reading_by_their_wall_counts():
    ground = Ground.of(radio_map(2.0, dark=True), None)
    # Row and column 10 begin at -320 m: half a cell within the wall.
    measured = Measurements(
        np.array([-316.0, -100.0, 100.0]), np.array([-316.0, 50.0, 50.0]),
        np.array([-90.0, -85.0, -80.0]), np.repeat("A", 3), np.repeat("", 3),
    )  # fmt: skip
    found = observe(ground, measured, {"A": 0})
    assert np.isfinite(found.points.prior_db).all()
    done = calibrate(ground, found, CalibrationConfig("offset"))
    assert np.isneginf(done.radio_map.path_gain_db[:, 12:18, 12:18]).all()
    assert np.isnan(done.radio_map.standard_error_db[:, 12:18, 12:18]).all()
    assert np.isnan(done.quantiles_dbm()["p10"][:, 12:18, 12:18]).all()
    assert np.isfinite(done.radio_map.path_gain_db[:, ~ground.radio_map.outdoor == 0]).all()


def test_one_block_can_not_be_scored(ground):
    measured = Measurements(
        np.array([5.0, 15.0, 25.0]), np.array([5.0, 5.0, 5.0]), np.array([-70.0, -72.0, -74.0]),
        np.repeat("A", 3), np.repeat("", 3),
    )  # fmt: skip
    found = calibrate(ground, observe(ground, measured, {"A": 0}))
    assert (found.method, found.scores) == ("offset", ())
    assert any("nothing can be scored" in note for note in found.notes)


def test_parts_are_scored_by_themselves(ground, observed):
    config = CalibrationConfig("knn")
    found = calibrate(ground, observed, config)
    parts = scores_by(
        found,
        {name: observed.pixels.device == name for name in ("one", "two", "three")},
        config,
    )
    assert [p.method for p in parts] == ["one", "two"]
    assert sum(p.points for p in parts) == len(observed)


def test_readings_elsewhere_are_told(ground):
    far = Measurements(
        np.array([9e3]), np.array([0.0]), np.array([-90.0]), np.array(["A"]), np.array([""])
    )
    with pytest.raises(InputError, match=r"none of 1 readings .* lies on the map"):
        observe(ground, far, {"A": 0})


class TestMatching:
    def test_by_label_name_and_number(self):
        sectors = (Sector("S", "12", 0, 0, 9), Sector("T", "PCI 13", 0, 0, 9), SECTORS[0])
        names = ["s/12", "13", "pci 12", "a", "99"]
        assert match_cells(names, sectors) == {"s/12": 0, "13": 1, "pci 12": 0, "a": 2}

    def test_what_is_given_goes_first(self):
        assert match_cells(["A", "x"], SECTORS, {"A": "s/c", "x": "S/A"}) == {"A": 2, "x": 0}

    def test_without_a_cell_it_is_the_only_sector(self):
        assert match_cells(["", ""], SECTORS[:1]) == {"": 0}
        with pytest.raises(InputError, match="don't say their cell"):
            match_cells([""], SECTORS)

    def test_what_fits_nothing_or_several_is_told(self):
        twice = (Sector("S", "1", 0, 0, 9), Sector("T", "1", 0, 0, 9))
        with pytest.raises(InputError, match="'1' could be 'S/1', 'T/1'"):
            match_cells(["1"], twice)
        with pytest.raises(InputError, match="--cells 7=S/A"):
            match_cells(["7"], SECTORS)
        with pytest.raises(InputError, match="no such sector"):
            match_cells(["7"], SECTORS, {"7": "S/Z"})
        with pytest.raises(InputError, match="nothing was measured"):
            match_cells(["A"], SECTORS, {"7": "S/A"})


@pytest.mark.parametrize(
    ("given", "message"),
    [({"method": "krig"}, "unknown method"), ({"folds": 1}, "folds"), ({"block_m": 0.0}, "blocks")],
)
def test_bad_options_are_one_line(given, message):
    with pytest.raises(InputError, match=message):
        CalibrationConfig(**given)


def test_a_conditional_solver_is_a_method_like_any_other(monkeypatch, ground, observed):
    """It gets path gain of the samples, and its map and spread are taken as they are."""
    given = []

    def solve(scene, sectors, grid, samples):
        assert scene.area.name == "t"
        given.append(samples[0])
        (sector,) = sectors
        index = SECTORS.index(sector)
        gain = ground.radio_map.path_gain_db[[index]]
        shift = float(np.mean(samples[0].level_db - samples[0].points.prior_db))
        return RadioMap(grid, (sector,), gain + np.float32(shift), gain * 0 + 5, np.ones_like(
            ground.radio_map.outdoor))  # fmt: skip

    scene = Scene(Area("t", 24.9, 60.1, 25.0, 60.2), GRID.frame, ())
    methods = {
        **calibration.METHODS,
        "learned": Method(lambda g: Conditioned(solve, g), "by a network"),
    }
    monkeypatch.setattr(calibration, "METHODS", methods)
    found = calibrate(replace(ground, scene=scene), observed, CalibrationConfig("learned"))
    score = {s.method: s for s in found.scores}
    assert score["learned"].rmse_db == pytest.approx(score["offset"].rmse_db, abs=0.01)
    np.testing.assert_allclose(given[0].points.prior_db.max(), -70, atol=15)
    assert found.radio_map.standard_error_db[0].max() == 5.0
    with pytest.raises(MissingError, match="area can't be read again"):
        calibrate(ground, observed, CalibrationConfig("learned"))


def test_auto_goes_on_without_a_method_that_is_not_installed(monkeypatch, ground, observed):
    def absent(_):
        raise MissingError("the learned models need rfplatform[learn]")

    plain = {name: calibration.METHODS[name] for name in ("offset", "knn")}
    monkeypatch.setattr(calibration, "METHODS", {**plain, "learned": Method(absent, "absent")})
    found = calibrate(ground, observed)
    assert found.method in plain
    assert found.notes == ("learned was not tried: the learned models need rfplatform[learn]",)
