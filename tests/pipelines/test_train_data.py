"""Towns to a data set: what is asked for, what is made again, and what the registry knows."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.towns import read_towns, towns_of
from pipelines.train_data import Config, main, planned
from pipelines.window import is_made, make_window, window_key
from rfplatform.cli import main as command
from rfplatform.errors import InputError, MissingError
from rfplatform.propagation.lesson import TeacherConfig, read_packed
from rfplatform.propagation.lesson_set import lesson_towns, read_lessons
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.windows import WindowConfig
from rfplatform.registry.registry import Registry

LIST = Path(__file__).parents[2] / "data" / "windows" / "towns.toml"
PYROSM = 'name = "b"\npackage = "pyrosm"\narea = "data/test.osm.pbf"\n'


def write_list(folder, text):
    path = folder / "list.toml"
    path.write_text(text)
    return path


# What is asked for


def test_towns_of_the_command_line_have_windows_and_splits():
    towns = towns_of(
        ["a=helsinki", "24.9,60.1,25.0,60.2", "Somewhere, Elsewhere"], "5,a=7", "a", ""
    )
    assert [town.name for town in towns] == ["a", "24.9-60.1-25.0-60.2", "somewhere-elsewhere"]
    assert [town.windows for town in towns] == [7, 5, 5]
    assert [town.split for town in towns] == ["val", "train", "train"]


@pytest.mark.parametrize(
    ("areas", "options", "words"),
    [
        ([], {}, "no towns: give areas"),
        (["helsinki", "helsinki"], {}, "helsinki is listed twice"),
        (["helsinki"], {"val": "helsinky"}, 'unknown town "helsinky"; did you mean helsinki'),
        (["helsinki"], {"val": "helsinki", "test": "helsinki"}, "a town belongs to one split"),
        (["helsinki"], {"windows": "0"}, "--windows 0: a number of windows must lie in 1"),
        (["helsinki"], {"windows": "oslo=3"}, 'unknown town "oslo"'),
        (["sionna:munich"], {}, "a scene made elsewhere"),
        (["Ö!=helsinki"], {}, "letters a to z"),
        (["none.osm.pbf"], {}, "none.osm.pbf: no such file"),
    ],
)
def test_wrong_towns_are_told_in_a_line(areas, options, words):
    with pytest.raises(InputError, match=words):
        towns_of(areas, **options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[towns]\n", "is no list of towns"),
        ("", "no towns"),
        ("seeds = 3\n", r'unknown key "seeds"; did you mean seed\?'),
        ("seed = 1.5\n", "seed must be a whole number"),
        ("coarse_rays = 1e6\n", "coarse_rays must be a list of numbers"),
        ("[[towns]]\nname = 'a'\n", r"towns\[1\]: lacks area"),
        ("[[towns]]\narea = 'helsinki'\nsplit = 'dev'\n", "split 'dev' must be one of train, val"),
        ("[[towns]]\narea = 'none.osm.pbf'\n", "no file none.osm.pbf in .*: --extracts names"),
        (
            "[[towns]]\narea = 'helsinki'\n" * 2,
            r"towns\[2\] \(helsinki\): helsinki is listed twice",
        ),
        (
            "[[towns]]\narea = 'helsinki'\n[[towns]]\narea = 'helsinki'\nsplit = 'test'\n",
            "helsinki is in train and in test: a town belongs to one split",
        ),
    ],
)
def test_a_wrong_list_is_told_in_a_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_towns(write_list(tmp_path, text))


def test_a_package_that_is_not_there_is_told(tmp_path):
    text = "[[towns]]\npackage = 'nowhere_to_be_found'\narea = 'a.osm.pbf'\n"
    with pytest.raises(MissingError, match="pip install nowhere_to_be_found"):
        read_towns(write_list(tmp_path, text))


def test_the_list_of_the_shipped_weights_keeps_the_benchmarks_towns_out(tmp_path):
    import tomllib

    listed = tomllib.loads(LIST.read_text())["towns"]
    for town in listed:
        (tmp_path / Path(town["area"]).name).touch()
    towns = read_towns(LIST, tmp_path).towns
    names = {town.name for town in towns}
    assert not names & {"helsinki", "prague_vinohrady", "melbourne_queensberry_victoria"}
    assert {town.split for town in towns} == {"train", "val"}
    assert all(len(town.sha256) == 64 for town in towns)


def test_places_of_two_splits_may_not_overlap(tmp_path):
    config = Config(("a=helsinki", "b=helsinki"), out=tmp_path / "out", test="b")
    with pytest.raises(InputError, match=r"a \(train\) and b \(test\) have the same extract"):
        planned(config)


def test_another_extract_than_the_list_was_written_for_is_refused(tmp_path):
    path = write_list(tmp_path, f"[[towns]]\n{PYROSM}sha256 = '{'0' * 64}'\n")
    with pytest.raises(InputError, match="get the extract that the list was written for"):
        planned(Config((str(path),), out=tmp_path / "out"))


def test_an_extract_that_cannot_be_read_is_told_before_anything_is_traced(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("torn.osm.pbf").write_bytes(b"no extract at all")
    assert command(["train-data", "torn.osm.pbf", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: town torn.osm.pbf: torn.osm.pbf") or "torn.osm.pbf" in error
    assert len(error.splitlines()) == 1
    assert not Path("out").exists()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="exists already"):
        planned(Config(("helsinki",), out=tmp_path))


def test_the_key_tells_all_that_decides_a_window():
    asked = ("0" * 64, "a", 3, 1, WindowConfig(), TeacherConfig())
    key = window_key(*asked)
    assert key == window_key(*asked)
    others = (
        "1" * 64,
        "b",
        4,
        2,
        WindowConfig(least_share=0.1),
        TeacherConfig(coarse_rays=(1_000_000, 250_000)),
    )
    changed = {window_key(*asked[:i], other, *asked[i + 1 :]) for i, other in enumerate(others)}
    assert len(changed | {key}) == 7


# What is made


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFPLATFORM_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory, home):  # noqa: ARG001
    """Two windows, of which one was there: by another process, with the same tracer."""
    folder = tmp_path_factory.mktemp("made")
    text = f"rays = 1e4\ncoarse_rays = [2e3]\nwindows = 2\n[[towns]]\n{PYROSM}"
    config = Config((str(write_list(folder, text)),), out=folder / "out", workers=1, name="tiny")
    plan = planned(config)
    (first, _), (second, _) = plan.tasks
    with TracingProcess(threads=1) as process:
        make_window(first, process)
        make_window(second, process)
    kept = {task.path: read_packed(task.path) for task in (first, second)}
    second.path.write_bytes(second.path.read_bytes()[:9000])  # as after a crash of the machine
    told = []
    return config, kept, (first, second), main(config, progress=told.append), told


def test_only_what_is_missing_is_made(made):
    config, _, (first, second), record, told = made
    assert (record["done"], record["made"], record["already"]) == (2, 1, 1)
    assert record["failed"] == record["undrawn"] == {}
    assert is_made(first)
    assert is_made(second)
    assert not is_made(replace(second, seed=2))
    assert told[-1].done == told[-1].windows == 2
    assert "no town for validation" in record["warnings"][0]
    files = sorted(path.name for path in (config.out / "windows").iterdir())
    assert files == ["b-00000.npz", "b-00001.npz"]


def test_a_window_has_the_same_bits_in_every_process(made):
    _, kept, (_, second), _, _ = made
    for name, values in read_packed(second.path).items():
        assert np.array_equal(values, kept[second.path][name]), name


def test_a_second_run_traces_nothing_and_gives_the_same_version(made):
    config, _, _, record, _ = made
    again = main(config)
    assert (again["made"], again["already"]) == (0, 2)
    assert again["registered"] == record["registered"]


def test_the_registry_knows_what_it_was_made_of(made):
    config, _, _, record, _ = made
    registry = Registry.default()
    artifact = registry.get(record["registered"])
    assert artifact.name == "windows/tiny"
    assert artifact.kind == "dataset"
    assert artifact.licence == "ODbL-1.0"
    assert "OpenStreetMap" in artifact.facts["attribution"]
    assert artifact.facts["towns"] == {"train": {"b": 2}}
    assert artifact.facts["windows"] == 2
    assert artifact.config["teacher"]["rays_per_sector"] == 10_000
    (parent,) = artifact.parents
    assert parent.startswith("inputs/test.osm.pbf@")
    assert parent.endswith(artifact.config["towns"][0]["sha256"][:16])
    assert lesson_towns(artifact.ref) == lesson_towns(record["data"])
    lessons = list(read_lessons(artifact.ref, "train"))
    assert [one.number for one in lessons] == [0, 1]
    assert all(json.dumps(one.about).find(str(config.out)) < 0 for one in lessons)
