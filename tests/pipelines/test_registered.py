import pytest

from pipelines.batch.run import Config, main
from rfplatform import cli
from rfplatform.registry.registry import Registry


def test_a_map_is_taken_in_with_what_it_was_made_from(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    given = ["map", "helsinki", "--solver", "free-space", "--resolution", "16", "--register"]
    assert cli.main([*given, "--formats", "zarr,tif", "--out", str(tmp_path / "out")]) == 0
    registry = Registry.default()
    (entry,) = registry.entries(kind="radio-map")
    artifact = registry.get(entry.ref)
    assert {"radio_map.zarr.zip", "radio_map.tif", "scene/scene.xml"} <= {
        f.path for f in artifact.files
    }
    parents = {parent.split("@")[0] for parent in artifact.parents}
    assert parents == {"inputs/helsinki.osm.pbf", "inputs/helsinki.csv"}
    assert registry.get("inputs/helsinki.osm.pbf").licence == "ODbL-1.0"
    assert (
        registry.path(artifact.ref, "radio_map.tif").read_bytes()
        == (tmp_path / "out" / "radio_map.tif").read_bytes()
    )
    assert registry.verify() == []


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_map_and_a_batch_of_one_extract_agree(tmp_path, monkeypatch, batch_first):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("name,area,solver,resolution\nh,helsinki,free-space,16\n")
    batch = Config(jobs, str(tmp_path / "out"), workers=1)
    given = ["map", "helsinki", "--solver", "free-space", "--resolution", "16", "--register"]
    if batch_first:
        assert main(batch)["warnings"] == []
    assert cli.main([*given, "--formats", "zarr", "--out", str(tmp_path / "map")]) == 0
    assert main(batch)["warnings"] == []
    registry = Registry.default()
    (extract,) = registry.entries(name="inputs/helsinki.osm.pbf")
    assert registry.count_children(extract.ref) == 2
    (file,) = registry.get(extract.ref).files
    assert registry.path(extract.ref, file.path).is_file()
    assert registry.verify() == []
    assert registry.verify(store=batch.store()) == []


def test_a_scene_and_a_report_are_taken_in(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    assert cli.main(["scene", "helsinki", "--out", str(tmp_path / "out"), "--register"]) == 0
    assert cli.main(["bench", "speed:start", "--register"]) == 0
    registry = Registry.default()
    assert len(registry.entries(kind="scene")) == 1
    (report,) = registry.entries(kind="report")
    rows = registry.get(report.ref).facts["metrics"]
    assert rows
    assert all(row["baseline"] for row in rows)
