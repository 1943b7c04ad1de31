"""`rfplatform registry` as a user meets it: tables, JSON alone on stdout, exit codes, one line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rfplatform import cli
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.models import Model, save_model
from rfplatform.registry.registry import Registry


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "home")


@pytest.fixture
def run(capsys):
    """Runs a command; its exit code, what it printed, and what it complained of."""

    def running(*arguments: object) -> tuple[int, str, str]:
        code = cli.main(["registry", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return running


@pytest.fixture
def town(tmp_path):
    path = tmp_path / "town.osm.pbf"
    path.write_bytes(b"map data")
    return path


def fill(registry: Registry, town: Path, num_maps: int = 12) -> None:
    """Map data, maps of it, and a model of these."""
    file = File.of(town)
    registry.add(
        Artifact("inputs/town", "1", "dataset", (file,), title="A town", licence="ODbL-1.0"),
        {file.path: town},
    )
    maps = [
        Artifact("maps/town", f"{n:032x}", "radio-map", parents=("inputs/town@1",))
        for n in range(num_maps)
    ]
    for made in maps:
        registry.add(made, kept=False)
    save_model(
        registry,
        "models/unet@1",
        Model("radio-unet", {"depth": 3}, {"w": np.ones(4, np.float32)}),
        parents=[*(made.ref for made in maps), "lost/data@9"],
        metrics=[
            {
                "benchmark": "towns", "metric": "RMSE", "unit": "dB", "value": 6.1,
                "baseline": "free-space", "baseline_value": 12.0,
            }
        ],
    )  # fmt: skip


# Listing and showing


def test_a_list_tells_what_is_here_and_what_can_be_had(run, registry, town):
    code, out, _ = run("list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert listed["artifacts"] == []
    states = {entry["ref"].partition("@")[0]: entry["state"] for entry in listed["public"]}
    assert states["sites/helsinki"] == "shipped"
    assert states["oran-bench-13k"] == "download"
    assert states["radiomapseer"] == "manual"
    assert not (registry.home).exists()  # looking makes nothing
    fill(registry, town)
    assert run("fetch", "sites/helsinki")[0] == 0
    code, out, _ = run("list", "--limit", 3)
    assert code == 0
    for text in ("sites/helsinki@1", "models/unet@1", "and 12 more: --limit", "can be fetched"):
        assert text in out
    assert max(map(len, out.splitlines())) <= 100
    listed = json.loads(run("list", "maps/", "inputs*", "--json")[1])
    assert {entry["kind"] for entry in listed["artifacts"]} == {"radio-map", "dataset"}
    assert len(listed["artifacts"]) == 13
    assert not listed["public"]
    assert "sites/helsinki" not in {e["ref"].partition("@")[0] for e in listed["public"]}
    listed = json.loads(run("list", "--kind", "model", "--json")[1])
    assert [entry["ref"] for entry in listed["artifacts"]] == ["models/unet@1"]
    assert "nothing of that name" in run("list", "zzz")[1]


def test_show_tells_everything_of_an_artifact(run, registry, town):
    fill(registry, town)
    code, out, _ = run("show", "models/unet")
    assert code == 0
    for file in registry.get("models/unet").files:
        assert file.path in out
        assert file.sha256 in out
    for text in ("radio-unet", "RMSE [dB]", "6.1", "12  free-space", "and 5 more"):
        assert text in out
    record = json.loads(run("show", "inputs/town", "--json")[1])
    assert record["licence"] == "ODbL-1.0"
    assert record["num_children"] == 12
    assert record["files"][0]["path"] == "town.osm.pbf"
    code, out, _ = run("show", "oran-bench-13k")
    assert code == 0
    assert "can be fetched" in out
    assert "MIT" in out
    assert "arXiv:2407.06245" in out


def test_a_lineage_reaches_from_weights_to_map_data(run, registry, town):
    fill(registry, town)
    code, out, _ = run("show", "models/unet", "--lineage")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("models/unet@1")
    assert sum("maps/town@" in line for line in lines) == 3
    assert "and 9 more radio maps" in out
    assert re.search(r"│   └── inputs/town@1   A town   ODbL-1.0", out)
    assert "lost/data@9   only its name is known" in out
    nodes = json.loads(run("show", "models/unet", "--lineage", "--json")[1])["lineage"]
    by_ref = {node["ref"]: node for node in nodes}
    assert len(nodes) == len(by_ref) == 1 + 12 + 1 + 1
    assert by_ref[f"maps/town@{5:032x}"]["parents"] == ["inputs/town@1"]
    assert by_ref["lost/data@9"]["kind"] == ""


def test_a_card_is_printed_as_it_is(run, registry, town):
    from rfplatform.registry.card import card

    fill(registry, town)
    assert run("show", "models/unet", "--card")[1] == card(registry, "models/unet")
    assert json.loads(run("show", "models/unet", "--card", "--json")[1])["card"].startswith("---")


# In and out


def test_what_comes_along_is_fetched_and_put_into_a_folder(run, tmp_path):
    code, out, _ = run("fetch", "sites/helsinki", "--out", "sites")
    assert code == 0
    assert "1 file, 735 B" in out
    assert (tmp_path / "sites/helsinki.csv").read_text().startswith("site,sector,lon,lat")
    assert run("fetch", "sites/helsinki", "--out", "sites")[0] == 2
    assert run("fetch", "sites/helsinki", "--out", "sites", "--overwrite")[0] == 0


def test_added_files_come_back(run, registry, tmp_path):
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.csv").write_text("a")
    (folder / "inner/b.csv").write_text("bb")
    (tmp_path / "c.csv").write_text("ccc")
    (tmp_path / "config.json").write_text('{"seed": 1}')
    code, out, _ = run(
        "add", "mine/data@1", "--kind", "dataset", folder, "c.csv", "--licence", "MIT",
        "--title", "Mine", "--parent", "inputs/x@1", "--config", "config.json", "--json",
    )  # fmt: skip
    assert code == 0
    record = json.loads(out)
    assert [f["path"] for f in record["files"]] == ["a.csv", "c.csv", "inner/b.csv"]
    assert record["warnings"] == ["parent inputs/x@1 is not in the registry: only its name is kept"]
    added = registry.get("mine/data")
    assert (added.title, added.licence, added.config) == ("Mine", "MIT", {"seed": 1})
    assert run("fetch", "mine/data", "--out", "back")[0] == 0
    assert (tmp_path / "back/inner/b.csv").read_text() == "bb"
    again = run("add", "mine/data@1", "--kind", "dataset", "c.csv")
    assert again[0] == 2
    assert "mine/data@1" in again[2]


def test_public_data_by_hand_takes_its_licence_from_the_list(run, registry, tmp_path):
    (tmp_path / "RadioMapSeer.zip").write_bytes(b"zip")
    code, _, _ = run("add", "radiomapseer@2022", "--kind", "dataset", "RadioMapSeer.zip")
    assert code == 0
    assert registry.get("radiomapseer").licence == "CC-BY-4.0"
    assert "10.21227/0gtx-6v30" in registry.get("radiomapseer").citation
    (tmp_path / "fin_E.json").write_text("not it")
    code, _, err = run("add", "oran-bench-13k@2024", "--kind", "dataset", "fin_E.json")
    assert code == 2
    assert "fin_E.json is not what the public list says" in err


def test_a_model_goes_to_a_remote_and_is_pulled_with_its_map_data(run, registry, town, tmp_path):
    fill(registry, town)
    code, out, _ = run("push", "models/unet", "remote", "--with-parents")
    assert code == 0
    assert f"To       {tmp_path}/remote" in out
    os.environ["RFPLATFORM_HOME"] = str(tmp_path / "other")  # monkeypatch puts it back
    code, out, _ = run("pull", "models/unet", "remote", "--with-parents", "--json")
    assert code == 0
    assert json.loads(out)["from"] == str(tmp_path / "remote")
    assert "inputs/town@1" in run("show", "models/unet", "--lineage")[1]
    assert run("verify", "inputs/town")[0] == 0
    assert run("pull", "models/none", "remote")[0] == 2


# Upkeep


def test_verify_names_each_faulty_file_and_exits_with_2(run, registry, town):
    fill(registry, town)
    code, out, _ = run("verify")
    assert code == 0
    assert "14 artifacts" in out
    place = registry.path("inputs/town", "town.osm.pbf")
    place.chmod(0o644)
    place.write_bytes(b"map dat4")
    registry.path("models/unet", "model.json").unlink()
    code, out, _ = run("verify")
    assert code == 2
    assert "2 faults" in " ".join(out.split())
    assert re.search(r"contents +inputs/town@1 +town.osm.pbf", out)
    assert re.search(r"missing +models/unet@1 +model.json", out)
    code, out, _ = run("verify", "--json")
    assert code == 2
    assert {f["path"] for f in json.loads(out)["faults"]} == {"town.osm.pbf", "model.json"}
    assert run("verify", "inputs/town")[0] == 2
    assert run("verify", "maps/town")[0] == 0


def test_gc_drops_what_was_named_and_all_that_only_it_needed(run, registry, town):
    fill(registry, town)
    code, out, _ = run("gc", "--drop", "inputs/town")
    assert code == 0
    assert "inputs/town@1 stays: models/unet@1 was made from it" in out
    code, out, _ = run("gc", "--drop", "models/unet", "--dry-run", "--json")
    would = json.loads(out)
    assert would["dry_run"]
    assert registry.count() == 14
    code, out, _ = run("gc", "--drop", "models/unet", "--json")
    assert {**json.loads(out), "dry_run": True} == would
    assert registry.count() == 0
    assert not list((registry.home / "files").rglob("*.pbf"))


BAD = {
    "unknown name": (["show", "models/none"], "models/none"),
    "no name": (["show", "Not A Name"], "use lower-case letters"),
    "unknown kind": (["list", "--kind", "thing"], "must be one of dataset"),
    "limit": (["list", "--limit", "0"], "must be 1 or more"),
    "by hand": (["fetch", "radiomapseer"], "can't be downloaded by a command: see https://radiom"),
    "no version": (["add", "a", "--kind", "dataset", "f.csv"], "a version is needed"),
    "no file": (["add", "a@1", "--kind", "dataset", "none.csv"], "none.csv: no such file"),
    "no files": (["add", "a@1", "--kind", "dataset", "empty"], "there are no files"),
    "bad kind": (["add", "a@1", "--kind", "thing", "f.csv"], "kind 'thing'"),
    "bad parent": (["add", "a@1", "--kind", "dataset", "f.csv", "--parent", "A b"], "name 'A b'"),
    "bad config": (["add", "a@1", "--kind", "dataset", "f.csv", "--config", "{a"], "is no JSON"),
    "no config": (["add", "a@1", "--kind", "dataset", "f.csv", "--config", "x.json"], "No such"),
    "twice": (["add", "a@1", "--kind", "dataset", "f.csv", "more"], "there are two files f.csv"),
    "no model": (["add", "a@1", "--kind", "model", "f.csv"], "a model is model.json and weights"),
    "unknown to push": (["push", "a", "remote"], "a"),
    "not there": (["pull", "a", "remote"], "a is not at"),
    "verify": (["verify", "a"], "a"),
    "drop": (["gc", "--drop", "a"], "a"),
    "hours": (["gc", "--older-than", "nan"], "must be 0 or more"),
    "no kind": (["add", "a@1", "f.csv"], "--kind"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_bad_input_gets_one_line_and_exit_code_2(run, tmp_path, arguments, said):
    (tmp_path / "f.csv").write_text("1")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/f.csv").write_text("2")
    (tmp_path / "empty").mkdir()
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert "fault in rfplatform" not in err


def test_offline_is_one_line_and_exit_code_4(run, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    code, out, err = run("fetch", "srtm3/n43e007")
    assert code == 4
    assert out == ""
    assert err.count("\n") == 1
    assert "raw.githubusercontent.com can't be reached; is this machine online?" in err


INTERRUPTED = """
import sys, pipelines.registry as job
from rfplatform import cli
from rfplatform.registry.public import PublicData
from rfplatform.registry.download import PublicFile
file = PublicFile("data.bin", sys.argv[1], "0" * 64, 2_000_000)
job.public_data = lambda: (PublicData("slow", "1", "dataset", "", "MIT", files=(file,)),)
sys.exit(cli.main(["registry", "fetch", "slow"]))
"""


def test_ctrl_c_keeps_what_has_arrived(registry):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/data.bin"
        fetching = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, url], stderr=subprocess.PIPE, text=True
        )
        with listening.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 200_000
            )
            part = registry.home / "partial" / f"{'0' * 64}.part"
            deadline = time.monotonic() + 60
            while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.02)
            fetching.send_signal(signal.SIGINT)
            _, said = fetching.communicate(timeout=60)
    assert fetching.returncode == 130
    assert said == "interrupted: the same again goes on from here\n"
    assert part.stat().st_size >= 2**16
    assert not registry.has("slow")


def test_help_is_quick_and_imports_nothing_heavy():
    check = (
        "import sys, rfplatform.cli as cli; cli.main(['registry', '--help']);"
        "sys.exit(any(name in sys.modules for name in "
        "('numpy', 'fsspec', 'pooch', 'requests', 'sqlite3', 'safetensors')))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False)
    assert done.returncode == 0
