"""The measured benchmark on a made-up drive test, and its way through the command's job."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.bench import Config, main
from rfplatform.benchmark import Given, evaluate
from rfplatform.benchmarks import duke
from rfplatform.benchmarks.duke import BLOCKS, DUKE, OFFSET, UNSEEN, Question, Study
from rfplatform.benchmarks.survey import MOST_SAMPLES, read_survey
from rfplatform.benchmarks.survey_entrants import ENTRANTS
from rfplatform.errors import InputError
from rfplatform.frame import utm_crs
from rfplatform.geodata.sites import COLUMNS
from rfplatform.propagation.interpolation import Estimate
from rfplatform.shipped import DATA_VARIABLE

WEST, SOUTH = 24.94, 60.17
SITES = f"""{",".join(COLUMNS)}
mast,P,24.9437,60.1717,30,0,0,40,3.6e9,2e7,tr38901
mast,Q,24.9437,60.1717,30,120,0,40,3.6e9,2e7,tr38901
far,R,20.0,50.0,30,0,0,40,3.6e9,2e7,tr38901
"""
QUICK = ("constant", "free space + offset", "log-distance + azimuth", "kNN")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Two cells, one phone, in a street grid, and readings that lie elsewhere."""
    folder = tmp_path_factory.mktemp("given")
    houses = [
        {
            "type": "Feature",
            "properties": {"height": 12.0},
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[x, y], [x + s, y], [x + s, y + s / 2], [x, y + s / 2], [x, y]]],
            },
        }
        for x, y, s in ((WEST, SOUTH, 5e-4), (WEST + 70e-4, SOUTH + 32e-4, 5e-4))
    ]
    area = folder / "town.geojson"
    area.write_text(json.dumps({"type": "FeatureCollection", "features": houses}))
    rng = np.random.default_rng(1)
    lines = ["PCI,latitude,longitude,device,rsrp"]
    for cell, level_dbm in (("P", -90.0), ("Q", -80.0), ("X", -85.0)):
        for _ in range(700):
            lon, lat = WEST + rng.uniform(10e-4, 60e-4), SOUTH + rng.uniform(8e-4, 30e-4)
            fall_db = 2e3 * np.hypot(lon - 24.9437, 2.0 * (lat - 60.1717))
            level = level_dbm - fall_db + rng.normal(0.0, 2.0)
            lines.append(f"{cell},{lat:.7f},{lon:.7f},Phone,{level:.0f}")
    lines += ["P,61.0,24.9,Phone,-100"] * 3
    drive, sites = folder / "drive.csv", folder / "sites.csv"
    drive.write_text("\n".join(lines))
    sites.write_text(SITES)
    return Given(drive, str(area), sites)


@pytest.fixture(scope="module")
def survey(given):
    return read_survey(given)


def study_of(survey, names=QUICK):
    return Study(survey, {name: ENTRANTS[name] for name in names})


def test_cells_are_sectors_and_the_rest_is_told(survey):
    assert [s.label for s in survey.sets] == ["P Phone", "Q Phone"]
    assert [s.sector.name for s in survey.sets] == ["P", "Q"]
    told = "; ".join(survey.notes)
    assert "1400 of 1403 readings lie in the scene's box" in told
    assert "cells that are no sector of the list: X" in told
    assert "masts outside the scene: far/R" in told
    assert survey.scene.frame.crs == utm_crs(WEST, SOUTH)


def test_no_entrant_is_scored_on_what_it_was_shown(survey):
    shown = []

    def spy(samples, at, sector):
        del sector
        known = set(zip(samples.points.x_m, samples.points.y_m, strict=True))
        asked = set(zip(at.x_m, at.y_m, strict=True))
        shown.append((len(samples), known & asked))
        return Estimate(np.zeros(len(at)), np.ones(len(at)))

    entrant = replace(ENTRANTS["kNN"], way=spy)
    study = Study(survey, {"spy": entrant})
    for protocol in ("K = 10", "K = 200", BLOCKS):
        study.predict(Question(study, "spy", protocol))
    assert not any(common for _, common in shown)
    assert [count for count, _ in shown[:5]] == [10] * 5


def test_blocks_are_held_back_whole_and_all_once(survey):
    of = survey.sets[0]
    held = []
    for known, asked in of.folds():
        assert not set(of.block[known]) & set(of.block[asked])
        held += asked.tolist()
    assert sorted(held) == list(range(len(of)))


def test_every_k_is_scored_on_the_same_pixels(survey):
    study = study_of(survey)
    pixels = {
        protocol: [s.pixels for s in study.predict(Question(study, "kNN", protocol)).scores]
        for protocol in ("K = 10", "K = 200")
    }
    assert pixels["K = 10"] == pixels["K = 200"]
    assert pixels["K = 10"][0] == len(survey.sets[0]) - MOST_SAMPLES


def test_an_offset_is_fitted_on_the_samples_alone(survey):
    study = study_of(survey)
    told = study.predict(Question(study, "constant", OFFSET))
    of = survey.sets[0]
    order = of.order(0)
    known, asked = of.level_dbm[order[:MOST_SAMPLES]], of.level_dbm[order[MOST_SAMPLES:]]
    assert told.scores[0].rmse_db == pytest.approx(np.sqrt(np.mean((asked - known.mean()) ** 2)))


def test_an_unseen_cell_knows_nothing_of_its_own(survey):
    study = study_of(survey)
    told = study.predict(Question(study, "constant", UNSEEN))
    ours, other = survey.sets
    assert told.scores[0].bias_db == pytest.approx(other.level_dbm.mean() - ours.level_dbm.mean())


def test_samples_of_another_cell_are_turned_with_its_boresight(survey):
    from rfplatform.benchmarks.survey_entrants import _turned

    other, sector = survey.sets[1], survey.sets[0].sector
    x_m, y_m, _ = _turned(other, sector)
    was, now = (
        np.degrees(np.arctan2(x - s.x_m, y - s.y_m)) - s.azimuth_deg
        for x, y, s in ((other.x_m, other.y_m, other.sector), (x_m, y_m, sector))
    )
    np.testing.assert_allclose((was - now + 180.0) % 360.0 - 180.0, 0.0, atol=1e-6)


def test_files_of_ones_own_are_scored_and_drawn(given, tmp_path, monkeypatch):
    monkeypatch.setattr(duke, "ENTRANTS", {name: ENTRANTS[name] for name in QUICK})
    monkeypatch.setattr(duke, "REPEATS", 2)
    config = Config("maps:duke", tmp_path, given.measurements, given.area, given.sites)
    result = main(config, benchmarks={"maps:duke": DUKE})
    cases = {row.case: row.value for row in result.rows if row.metric == "RMSE"}
    assert cases["K = 200: kNN"] < cases["K = 10: kNN"]
    assert result.to_dict()["given"]["measurements"] == "drive.csv"
    assert "## 64 m blocks, target 6 dB" in (tmp_path / "maps-duke" / "measured.md").read_text()


def test_options_go_together_and_only_with_a_benchmark_that_takes_them(given):
    with pytest.raises(InputError, match="--area and --sites missing"):
        Config("maps:duke", measurements=given.measurements).given()
    with pytest.raises(InputError, match="name the benchmark"):
        Config(None, None, given.measurements, given.area, given.sites).given()
    with pytest.raises(InputError, match="takes no files of yours"):
        evaluate(replace(DUKE, dataset_of=None), given=given)


def test_a_drive_test_of_another_place_is_refused(given, tmp_path):
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("PCI,latitude,longitude,device,rsrp\nP,10.0,10.0,Phone,-90\n")
    with pytest.raises(InputError, match="no cell has 250 pixels"):
        read_survey(replace(given, measurements=elsewhere))


def test_without_the_data_it_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (row,) = evaluate(DUKE)
    assert "duke_cbrs_acd.csv" in row.skipped
