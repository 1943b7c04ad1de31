"""The bench job and the speed benchmarks' own parts."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from rich.console import Console

from pipelines.bench import Config, listed, main, render
from rfplatform.benchmark import Benchmark, Case, Metric, Predictor, evaluate, find_benchmarks
from rfplatform.benchmarks import speed
from rfplatform.errors import InputError
from rfplatform.shipped import DATA_VARIABLE

SMALL = Benchmark(
    "family:small",
    "Doubles a number",
    lambda: [
        Case("good", 3.0, 6.5, note="hear, hear"),
        Case("bad", 1e6, 0.0),
        Case("absent", skip="osm/[absent].pbf is not there"),
    ],
    (
        Metric("error", "dB", lambda prediction, truth: abs(prediction - truth), target=1.0),
        Metric("size", "", lambda prediction, _: prediction, "higher"),
    ),
    baseline=Predictor("zero", lambda _: 0.0),
    subject=Predictor("twice", lambda x: 2.0 * x),
)
TABLE = {"family:small": SMALL, "other:small": replace(SMALL, name="other:small")}


def rendered(result):
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(render(result))
    return capture.get()


def test_rows_of_a_family_are_gathered_as_plain_json():
    told = []
    result = main(Config("family"), benchmarks=TABLE, report=told.append)
    record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [(r["case"], r["metric"], r["value"]) for r in record["rows"]] == [
        ("good", "error", 0.5),
        ("good", "size", 6.0),
        ("bad", "error", 2e6),
        ("bad", "size", 2e6),
        ("absent", "", None),
    ]
    assert told == ["family:small: good", "family:small: bad"]
    assert record["cpus"] >= 1


def test_no_name_runs_everything_in_order():
    result = main(Config(), benchmarks=TABLE)
    assert list(dict.fromkeys(r.benchmark for r in result.rows)) == list(TABLE)


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="did you mean family:small"):
        main(Config("family:smal"), benchmarks=TABLE)


def test_every_benchmark_draws_into_a_folder_of_its_own(tmp_path):
    def draw(_, folder):
        (folder / "f.csv").write_text("")
        return [folder / "f.csv"]

    table = {name: replace(b, draw=draw) for name, b in TABLE.items()}
    main(Config(out=tmp_path), benchmarks=table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["family-small", "other-small"]


def test_the_table_shows_the_baseline_the_target_and_why_a_case_was_skipped():
    text = rendered(main(Config("family"), benchmarks=TABLE))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for word in ("twice", "zero", "ratio", "target"):
        assert word in lines["case"]
    good = next(line for line in text.splitlines() if line.startswith("good") and "error" in line)
    assert good.split() == ["good", "error,", "dB", "0.5", "6.5", "0.0769", "≤", "1", "met"]
    bad = next(line for line in text.splitlines() if line.startswith("bad") and "error" in line)
    assert bad.split()[-1] == "missed"
    assert "2,000,000" in bad
    assert "absent skipped: osm/[absent].pbf is not there" in text
    assert "good: hear, hear" in text


def test_the_list_names_summary_and_baseline():
    assert listed("family", benchmarks=TABLE)[0] == {
        "name": "family:small",
        "summary": "Doubles a number",
        "baseline": "zero",
    }
    assert [b["name"] for b in listed(benchmarks=TABLE)] == list(TABLE)
    with pytest.raises(InputError, match="nothing"):
        listed("nothing", benchmarks=TABLE)


def test_the_command_lists_all_and_refuses_an_unknown_name(capsys):
    from rfplatform.cli import main as command

    assert command(["bench", "--list", "--json"]) == 0
    names = [b["name"] for b in json.loads(capsys.readouterr().out)]
    assert {"speed:start", "speed:scene", "speed:raytraced"} < set(names)
    assert command(["bench", "--list"]) == 0
    text = capsys.readouterr().out
    assert [name for name in names if name not in text] == []
    assert command(["bench", "speed:strat"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean speed:start" in error


def test_the_command_reports_a_missed_target_and_exits_with_0(capsys, monkeypatch):
    from rfplatform import catalog
    from rfplatform.cli import main as command

    monkeypatch.setattr(catalog, "BENCHMARKS", TABLE)
    assert command(["bench", "family", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [r["met"] for r in rows] == [True, None, False, None, None]
    assert command(["bench", "family"]) == 0
    assert "missed" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------
# speed
# ----------------------------------------------------------------------------------------------


def test_speed_scores_by_hand():
    run = speed.SceneRun(100, read_s=1.0, mesh_s=4.0, mesh_cpu_s=0.5, peak_bytes=3_000_000_000)
    scores = [(m.name, m.unit, m.compute(run, None), m.target) for m in speed.SCENE.metrics]
    assert scores == [
        ("geometry to meshes, one core", "buildings/s", 200.0, 20_000.0),
        ("file to scene", "s", 5.0, 30.0),
        ("file to scene", "buildings/s", 20.0, None),
        ("peak memory", "GB", 3.0, 2.0),
    ]
    trace = speed.TraceRun(seconds=2.0, rays=10)
    assert [m.compute(trace, None) for m in speed.RAYTRACED.metrics] == [2.0, 5.0]


def test_every_speed_benchmark_can_be_found():
    table = {b.name: b for b in speed.SPEED}
    assert set(table) == {"speed:scene", "speed:raytraced", "speed:start"}
    assert len(find_benchmarks(table, "speed")) == len(table)


def test_absent_monaco_is_told_not_hidden(monkeypatch, tmp_path):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    helsinki, monaco = speed._scene_cases()
    assert not helsinki.skip
    assert "osm/monaco.osm.pbf" in monaco.skip
    assert DATA_VARIABLE in monaco.skip
    (tmp_path / "osm").mkdir()
    (tmp_path / "osm" / "monaco.osm.pbf").touch()
    assert not list(speed._scene_cases())[1].skip


def test_a_file_that_is_no_extract_is_an_input_error(tmp_path):
    path = tmp_path / "bad.osm.pbf"
    path.write_bytes(b"no extract")
    with pytest.raises(InputError, match=r"bad\.osm\.pbf"):
        speed._run_scene("ours", path)


@pytest.mark.parametrize("builder", ["ours", "trimesh"])
def test_both_builders_make_all_buildings_of_an_extract(builder, tmp_path):
    path = tmp_path / "two.osm"
    path.write_text(TWO_BUILDINGS)
    run = speed._run_scene(builder, path)
    assert run.buildings == 2
    assert run.read_s > 0
    assert run.mesh_s > 0
    assert 10e6 < run.peak_bytes < 2e9


def test_the_rival_builds_the_same_solid(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    from rfplatform.mesh import prism_mesh
    from rfplatform.scene import Area, Building, Scene

    court = shapely.Polygon(
        [(0, 0), (20, 0), (20, 10), (0, 10)], [[(5, 2), (5, 8), (15, 8), (15, 2)]]
    )
    building = Building(court, 2.0, 9.0, "height", "concrete", "way/1")
    area = Area("a", 24.9, 60.1, 25.0, 60.2)
    speed._trimesh_writer()(Scene(area, area.frame(), (building,)), tmp_path)
    rival = trimesh.load(tmp_path / "building-0.ply")
    ours = prism_mesh([building])
    assert rival.is_watertight
    volume = (200.0 - 60.0) * 7.0
    assert rival.volume == pytest.approx(volume)
    assert trimesh.Trimesh(ours.vertices_m, ours.faces).volume == pytest.approx(volume)
    np.testing.assert_allclose(rival.bounds, [[0, 0, 2], [20, 10, 9]], atol=1e-5)


def test_help_imports_nothing_heavy():
    row_cpu, row_heavy = evaluate(replace(speed.START, repeats=1, warm_ups=0))
    assert row_heavy.value == 0
    assert row_cpu.value > row_cpu.baseline_value > 0


def test_a_heavy_import_is_seen():
    code = (
        "import sys, types; sys.modules['xarray'] = types; sys.stderr.write(' '.join(sys.modules))"
    )
    assert speed._start(code).heavy == ("xarray",)


def test_a_command_that_fails_is_an_error():
    with pytest.raises(InputError, match="no such thing"):
        speed._start("import sys; sys.exit('no such thing')")


TWO_BUILDINGS = """<?xml version="1.0" encoding="UTF-8"?>
<osm version="0.6">
 <bounds minlat="60.1690" minlon="24.9400" maxlat="60.1710" maxlon="24.9440"/>
 <node id="1" lat="60.1700" lon="24.9410"/><node id="2" lat="60.1700" lon="24.9412"/>
 <node id="3" lat="60.1701" lon="24.9412"/><node id="4" lat="60.1701" lon="24.9410"/>
 <node id="5" lat="60.1703" lon="24.9410"/><node id="6" lat="60.1703" lon="24.9412"/>
 <node id="7" lat="60.1704" lon="24.9412"/><node id="8" lat="60.1704" lon="24.9410"/>
 <way id="11"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><nd ref="1"/>
  <tag k="building" v="yes"/><tag k="height" v="12"/></way>
 <way id="12"><nd ref="5"/><nd ref="6"/><nd ref="7"/><nd ref="8"/><nd ref="5"/>
  <tag k="building" v="yes"/></way>
</osm>
"""
