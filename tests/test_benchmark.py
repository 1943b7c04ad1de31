"""The evaluation loop, against scores worked out by hand."""

import json
import math
from dataclasses import replace

import pytest

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor, Row, evaluate, find_benchmarks
from rfplatform.errors import InputError, MissingError, WorkerError

ERROR = Metric("error", "dB", lambda prediction, truth: abs(prediction - truth), target=1.0)
TWICE = Predictor("twice", lambda x: 2.0 * x)
ZERO = Predictor("zero", lambda _: 0.0)
DOUBLING = Benchmark(
    "family:doubling",
    "Doubles a number",
    lambda: [Case("three", 3.0, 6.5, note="a note"), Case("four", 4.0, 10.0)],
    (ERROR,),
    baseline=ZERO,
    subject=TWICE,
)


def with_cases(*cases):
    return replace(DOUBLING, dataset=lambda: cases)


def test_every_score_has_the_baselines_beside_it():
    rows = evaluate(DOUBLING)
    assert [(r.case, r.value, r.baseline_value) for r in rows] == [
        ("three", 0.5, 6.5),
        ("four", 2.0, 10.0),
    ]
    assert [r.ratio for r in rows] == pytest.approx([0.5 / 6.5, 0.2])
    assert [r.met for r in rows] == [True, False]
    assert {(r.subject_name, r.baseline_name) for r in rows} == {("twice", "zero")}
    assert [r.note for r in rows] == ["a note", ""]


def test_another_predictor_can_be_scored():
    rows = evaluate(DOUBLING, Predictor("exact", lambda x: {3.0: 6.5, 4.0: 10.0}[x]))
    assert [(r.subject_name, r.value) for r in rows] == [("exact", 0.0), ("exact", 0.0)]


def test_progress_is_told_every_case_before_it_runs():
    seen = []

    def predict(_):
        assert seen
        return 1.0

    evaluate(DOUBLING, Predictor("p", predict), progress=seen.append)
    assert seen == ["three", "four"]


def test_repeats_alternate_and_warm_ups_do_not_count():
    calls = []

    def named(name, values):
        left = iter(values)

        def predict(_):
            calls.append(name)
            return next(left)

        return Predictor(name, predict)

    timing = Benchmark(
        "t:t",
        "",
        lambda: [Case("c")],
        (Metric("time", "s", lambda run, _: run, target=1.4, target_is_ratio=True),),
        baseline=named("b", [99.0, 1.0, 10.0, 100.0]),
        subject=named("a", [999.0, 3.0, 12.0, 130.0]),
        repeats=3,
        warm_ups=1,
    )
    (row,) = evaluate(timing)
    assert calls == ["a", "b"] * 4
    assert (row.value, row.baseline_value) == (12.0, 10.0)
    assert row.values == (3.0, 12.0, 130.0)
    # Of the pairs' ratios 3, 1.2 and 1.3: neither the ratio of medians nor of means.
    assert row.ratio == pytest.approx(1.3)
    assert row.met is True


@pytest.mark.parametrize(
    ("better", "target", "value", "met"),
    [
        ("lower", 1.0, 1.0, True),
        ("lower", 1.0, 1.1, False),
        ("higher", 1.0, 1.0, True),
        ("higher", 1.0, 0.9, False),
        ("higher", None, 0.9, None),
        ("lower", 1.0, math.nan, False),
        ("lower", 1.0, math.inf, False),
    ],
)
def test_a_target_is_met_on_its_better_side(better, target, value, met):
    row = Row("b", "c", "m", "", "s", "b", (value,), (1.0,), better, target)
    assert row.met is met


def test_a_baseline_of_zero_has_no_ratio():
    row = Row("b", "c", "m", "", "s", "b", (0.0,), (0.0,))
    assert row.ratio is None
    assert row.baseline_value == 0.0


def test_a_metric_that_does_not_apply_to_the_baseline_is_none():
    row = Row("b", "c", "m", "", "s", "b", (2.0,), (math.nan,))
    assert (row.value, row.baseline_value, row.ratio) == (2.0, None, None)


def test_rows_are_plain_json_even_where_a_score_is_infinite():
    row = Row("b", "c", "m", "dB", "s", "b", (math.inf,), (math.nan,), target=1.0)
    text = json.dumps(row.to_dict(), allow_nan=False)
    assert json.loads(text)["value"] is None
    assert json.loads(text)["met"] is False


def test_a_case_without_its_data_is_told_and_the_others_run():
    rows = evaluate(with_cases(Case("absent", skip="no file"), Case("four", 4.0, 8.0)))
    assert [(r.case, r.skipped) for r in rows] == [("absent", "no file"), ("four", "")]
    assert rows[0].met is None
    assert rows[0].to_dict()["skipped"] == "no file"


def test_a_rival_that_is_not_installed_skips_the_case_with_its_reason():
    def missing(_):
        raise MissingError("pip install rival")

    rows = evaluate(replace(DOUBLING, baseline=Predictor("rival", missing)))
    assert [r.skipped for r in rows] == ["pip install rival"] * 2
    assert all(r.value is None for r in rows)


def test_a_data_set_that_is_missing_half_way_keeps_what_was_scored():
    def cases():
        yield Case("three", 3.0, 6.0)
        raise MissingError("no network")

    rows = evaluate(replace(DOUBLING, dataset=cases))
    assert [(r.case, r.value, r.skipped) for r in rows] == [
        ("three", 0.0, ""),
        ("*", None, "no network"),
    ]


def test_any_other_error_ends_the_run_and_releases_what_the_case_held():
    closed = []

    def cases():
        try:
            yield Case("three", 3.0, 6.0)
        finally:
            closed.append(True)

    def dies(_):
        raise WorkerError("died")

    with pytest.raises(WorkerError, match="died"):
        evaluate(replace(DOUBLING, dataset=cases), Predictor("dies", dies))
    assert closed == [True]


def test_a_generator_holds_its_case_open_while_it_runs():
    open_cases = []

    def cases():
        for name in ("a", "b"):
            open_cases.append(name)
            yield Case(name, 1.0, 2.0)
            open_cases.remove(name)

    def predict(_):
        assert len(open_cases) == 1
        return 2.0

    assert len(evaluate(replace(DOUBLING, dataset=cases), Predictor("p", predict))) == 2
    assert open_cases == []


def test_figures_are_drawn_of_all_outcomes_only_into_a_folder(tmp_path):
    drawn = []

    def draw(outcomes, folder):
        drawn.extend((o.case.name, o.prediction, o.baseline) for o in outcomes)
        path = folder / "figure.csv"
        path.write_text("x")
        return [path]

    figured = replace(DOUBLING, draw=draw)
    evaluate(figured)
    assert drawn == []
    evaluate(figured, out=tmp_path / "deep" / "figures")
    assert drawn == [("three", 6.0, 0.0), ("four", 8.0, 0.0)]
    assert (tmp_path / "deep" / "figures" / "figure.csv").is_file()


TABLE = {
    name: replace(DOUBLING, name=name)
    for name in ("speed:scene", "speed:start", "physics:free-space")
}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, list(TABLE)),
        ("speed:start", ["speed:start"]),
        ("speed", ["speed:scene", "speed:start"]),
        ("speed:", ["speed:scene", "speed:start"]),
        ("speed:*", ["speed:scene", "speed:start"]),
        (" Physics ", ["physics:free-space"]),
    ],
)
def test_a_name_stands_for_one_a_family_or_all(asked, found):
    assert [b.name for b in find_benchmarks(TABLE, asked)] == found


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("speed:sceen", "did you mean speed:scene"),
        ("start", "did you mean speed:start"),
        ("sped", "did you mean speed"),
        ("qqqq", r'unknown benchmark "qqqq" \(known: speed:scene, speed:start, physics:free'),
    ],
)
def test_an_unknown_name_is_refused_with_near_misses(asked, near):
    with pytest.raises(InputError, match=near):
        find_benchmarks(TABLE, asked)
