import json
import time

import pytest
from streamlit.testing.v1 import AppTest

from pipelines.bench import Result
from pipelines.desk.scores import all_scores, scores_of
from pipelines.desk.workspace import Workspace
from pipelines.registered import register_report
from rfplatform.benchmark import Row
from rfplatform.registry.registry import Registry
from ui.charts.scores import by_case, number, over_time, table

START = "speed:start"


def script():
    from ui.pages.benchmarks import page

    page()


@pytest.fixture
def ws(tmp_path, monkeypatch):
    import ui.context

    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RFPLATFORM_WORKSPACE", str(tmp_path / "ws"))
    ui.context.workspace.clear()
    yield Workspace.open()
    ui.context.workspace.clear()


def row(case, value, baseline, *, benchmark=START, metric="CPU time", target=0.5, **more):
    values = () if value is None else (value,)
    baselines = () if value is None else (baseline,)
    return Row(
        benchmark, case, metric, "s", "ours", "python -c pass", values, baselines,
        target=target, **more,
    )  # fmt: skip


def result(*rows):
    return Result(rows).to_dict()


def job(ws, number, body=None, *, name=START, state="done", message="done", created=None, **more):
    folder = ws.jobs / f"20260101-00000{number}-0000"
    (folder / "out").mkdir(parents=True)
    created = time.time() - 100 + number if created is None else created
    about = {"id": folder.name, "kind": "bench", "title": name, "created": created}
    (folder / "job.json").write_text(json.dumps({**about, "options": {"name": name}}))
    (folder / "state.json").write_text(json.dumps({"state": state, "message": message, **more}))
    if body is not None:
        (folder / "out" / "result.json").write_text(json.dumps(body))
    return folder


def opened(**query):
    at = AppTest.from_function(script, default_timeout=30)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def told(at):
    texts = (one.value for one in (*at.caption, *at.markdown, *at.warning, *at.info))
    return "\n".join(texts).replace("\\", "")


@pytest.mark.usefixtures("ws")
def test_without_scores_all_are_listed_and_it_says_what_to_do():
    at = opened()
    names = list(at.dataframe[0].value["Benchmark"])
    assert START in names
    families = [name.partition(":")[0] for name in names]
    assert families == sorted(families, key=["physics", "speed", "maps", "oran"].index)
    assert "Nothing was scored" in at.info[0].value
    assert "--register" in told(at)
    assert len(at.dataframe) == 1


def test_scores_stand_beside_their_baseline_with_a_verdict_in_words(ws):
    job(
        ws,
        1,
        result(row("help", 0.4, 0.01), row("map", 0.9, 0.01), row("x", 1.0, 2.0, target=None)),
    )
    at = opened(benchmark=START)
    scores = at.dataframe[1].value
    assert list(scores["Score"]) == ["0.4", "0.9", "1"]
    assert list(scores["Baseline"]) == ["0.01", "0.01", "2"]
    assert list(scores["Ratio"]) == ["40", "90", "0.5"]
    assert list(scores["Target"]) == ["≤ 0.5", "≤ 0.5", ""]
    assert list(scores["Verdict"]) == ["✓ met", "✗ missed", ""]
    overview = at.dataframe[0].value.set_index("Benchmark")
    assert overview.loc[START, "Targets"] == "✗ 1 of 2 met"
    assert "Baseline: python -c pass" in told(at)
    assert "Measured with" not in told(at)
    assert len(at.get("vega_lite_chart")) == 1  # one run has no history


def test_the_first_that_was_scored_is_open_and_a_family_narrows_the_list(ws):
    job(ws, 1, result(row("help", 0.4, 0.01)))
    at = opened()
    assert at.subheader[0].value.replace("\\", "") == START
    at.button_group(key="family").set_value("speed").run()
    assert {name.partition(":")[0] for name in at.dataframe[0].value["Benchmark"]} == {"speed"}


def test_skips_and_notes_are_told(ws):
    body = result(
        row("help", 0.4, 0.01, note="a *note*"),
        row("far", None, None, metric="", skipped="no data here: fetch it"),
    )
    job(ws, 1, body)
    at = opened(benchmark=START)
    assert "Skipped (far): no data here: fetch it" in told(at)
    assert "a *note*" in told(at)
    assert len(at.dataframe[1].value) == 1


def test_runs_of_jobs_and_reports_make_a_history(ws):
    registry = Registry.default()
    elsewhere = {**result(row("help", 0.8, 0.02)), "rfplatform": "0.0.1", "cpus": 999}
    job(ws, 1, elsewhere, created=time.time() - 1e6)
    register_report(registry, Result((row("help", 0.4, 0.01),)), START)
    runs = scores_of(all_scores(ws, registry), START)
    assert [run.source for run in runs] == ["report", "job"]
    at = opened(benchmark=START)
    assert list(at.dataframe[1].value["Score"]) == ["0.4"]
    (link,) = at.get("page_link")
    assert link.proto.page == "registry"
    assert "artifact=reports" in link.proto.query_string
    assert len(at.get("vega_lite_chart")) == 2
    assert "From run to run" in told(at)
    at.selectbox[0].select_index(1).run()
    assert list(at.dataframe[1].value["Score"]) == ["0.8"]
    assert "another version of rfplatform and another number of CPUs" in told(at)


def test_files_of_the_users_are_named(ws):
    given = {"given": {"measurements": "drive.csv", "area": "town", "sites": "sites.csv"}}
    job(ws, 1, {**result(row("help", 0.4, 0.01)), **given})
    assert "On files of your own: drive.csv, town, sites.csv" in told(opened(benchmark=START))


def test_a_run_starts_a_job_and_is_followed(ws, monkeypatch):
    started = []
    monkeypatch.setattr(
        "ui.pages.benchmarks.start_bench", lambda ws, *, name: started.append((ws.root, name))
    )
    at = opened(benchmark=START)
    (run,) = [button for button in at.button if button.label == "Run"]
    run.click().run()
    assert not at.exception
    assert started == [(ws.root, START)]
    job(ws, 2, state="running", message="speed:start: help", created=time.time())
    at.run()
    assert not at.exception
    assert any(button.label == "Stop" for button in at.button)


def test_a_failed_run_is_told_in_a_line(ws):
    job(ws, 1, state="failed", message="scene: no *such* file")
    at = opened(benchmark=START)
    assert "no *such* file" in at.error[0].value.replace("\\", "")


def test_a_link_of_a_job_opens_its_scores(ws):
    first = job(ws, 1, result(row("help", 0.8, 0.01)))
    job(ws, 2, result(row("help", 0.4, 0.01)))
    assert list(opened().dataframe[1].value["Score"]) == ["0.4"]
    assert list(opened(job=first.name).dataframe[1].value["Score"]) == ["0.8"]
    waiting = job(ws, 3, name="speed:scene", state="failed")
    assert opened(job=waiting.name).subheader[0].value.replace("\\", "") == "speed:scene"
    assert opened(job="../nothing").subheader[0].value.replace("\\", "") == START


@pytest.mark.usefixtures("ws")
def test_a_link_to_no_benchmark_is_told_in_a_line():
    at = opened(benchmark="speed:nope")
    assert "no benchmark" in at.error[0].value


@pytest.mark.parametrize("body", [{}, {"rows": 3}, {"rows": [1, {"case": "x"}]}, {"rows": None}])
def test_results_that_are_none_are_passed_over(ws, body):
    job(ws, 1, body)
    assert "No scores yet" in told(opened(benchmark=START))


def test_a_damaged_registry_leaves_the_scores_of_jobs(ws, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "index.sqlite").write_bytes(b"no database at all" * 100)
    job(ws, 1, result(row("help", 0.4, 0.01)))
    at = opened()
    assert "can't be read" in at.warning[0].value
    assert list(at.dataframe[1].value["Score"]) == ["0.4"]


def test_a_plot_has_score_baseline_and_target_of_each_case():
    ratio = row("b", 2.0, 400.0, target=1.1, target_is_ratio=True).to_dict()
    chart = by_case([row("a", 1.0, 3.0).to_dict(), ratio]).to_dict()
    (values,) = chart["datasets"].values()
    assert [v["value"] for v in values] == [1.0, 3.0, 0.5, 2.0, 400.0, pytest.approx(440.0)]
    assert chart["layer"][1]["encoding"]["x"]["scale"]["type"] == "log"


def test_a_history_keeps_runs_apart():
    runs = [
        ({"time": 86400.0 * i, "version": str(i), "platform": "here"}, row("a", i, 3.0).to_dict())
        for i in (1, 2)
    ]
    (values,) = over_time(runs).to_dict()["datasets"].values()
    assert {v["version"] for v in values} == {"1", "2"}


def test_numbers_are_as_people_write_them():
    assert [number(v) for v in (None, -0.25, 12345.6, 0.0, 1.23456)] == [
        "–", "−0.25", "12,346", "0", "1.23",
    ]  # fmt: skip
    lost = row("a", 1.0, float("nan")).to_dict()
    assert table([lost])["Baseline"][0] == "–"
    assert table([lost])["Ratio"][0] == "–"


def test_a_table_of_several_benchmarks_names_them():
    rows = [row("a", 1.0, 2.0).to_dict(), row("a", 1.0, 2.0, benchmark="maps:duke").to_dict()]
    assert list(table(rows)["Benchmark"]) == [START, "maps:duke"]
    assert "Benchmark" not in table(rows[:1])
