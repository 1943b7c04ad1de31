"""What a batch reads: put into its store once, and found again on every machine, whole."""

import os
import time
from pathlib import Path

import pytest

from pipelines.batch.inputs import (
    hash_of_files,
    input_artifact,
    local_file,
    local_folder,
    put_input,
)
from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.cleaning import clean_store
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    return Registry.default()


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path / "out") if request.param == "folder" else f"memory://{tmp_path}")


@pytest.fixture
def extract(tmp_path):
    path = tmp_path / "Monaco.osm.pbf"
    path.write_bytes(b"an extract")
    return path


def put(store, path, **options):
    return put_input(store, {path.name: path}, path.name, **options)


def test_an_input_is_named_by_what_is_in_it(extract):
    file = File.of(extract)
    made = input_artifact((file,), extract.name)
    assert made.ref == f"inputs/monaco.osm.pbf@{file.sha256[:16]}"
    assert (made.title, made.licence) == ("Monaco.osm.pbf", "ODbL-1.0")
    assert input_artifact((file,), "antenna.csv").licence == ""
    assert input_artifact((file,), "town", "MIT").licence == "MIT"
    several = (file, File("b", "0" * 64, 1))
    assert input_artifact(several, "town").version == hash_of_files(several)[:16]
    # What it was made from is part of what it is.
    versions = {input_artifact((file,), "a", "", parents).version for parents in ((), ("b@1",))}
    assert len(versions) == 2


def test_the_same_again_changes_nothing(store, extract):
    made = put(store, extract)
    assert put(store, extract).to_dict() == made.to_dict()
    assert store.faults(made) == []
    assert list(store.refs()) == [made.ref]


def test_a_damaged_record_and_a_lost_file_are_put_anew(store, extract):
    made = put(store, extract)
    name, version = made.ref.split("@")
    store._fs.pipe_file(f"{store.url}/artifacts/{name}/{version}.json", b"{")
    store._fs.rm_file(store.place_of(made.files[0]))
    assert put(store, extract).digest() == made.digest()
    assert store.faults(store.artifact(made.ref)) == []


def test_a_changed_file_is_put_anew_when_it_is_looked_at(store, extract):
    made = put(store, extract)
    store._fs.pipe_file(store.place_of(made.files[0]), b"another...")
    put(store, extract)
    assert len(store.faults(made)) == 1
    put(store, extract, verify=True)
    assert store.faults(made) == []


def test_a_file_that_no_artifact_names_is_made_young(tmp_path, extract):
    store = Store(str(tmp_path / "out"))
    file = store.put_file(extract)
    os.utime(store.place_of(file), (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        # A cleaning between the file and its artifact.
        create = Store.put_artifact

        def cleaned_before(self, artifact):
            assert clean_store(self, dry_run=False, older_than_s=3600).files == 0
            return create(self, artifact)

        patch.setattr(Store, "put_artifact", cleaned_before)
        made = put(store, extract)
    assert store.faults(made) == []


def test_a_bare_record_gets_its_files(store, extract):
    file = File.of(extract)
    store.put_artifact(input_artifact((file,), extract.name), bare=True)
    made = put(store, extract)
    assert store.faults(made) == []
    assert not store.is_bare(made.ref)


def test_a_file_on_this_machine(store, extract):
    made = put(store, extract)
    place = local_file(store, made.files[0])
    assert place.read_bytes() == b"an extract"
    assert local_file(store, made.files[0]) == place
    store._fs.rm_file(store.place_of(made.files[0]))
    place.unlink(missing_ok=True)
    with pytest.raises(MissingError, match="is not there"):
        local_file(store, made.files[0])


def test_contents_that_changed_are_refused_though_the_size_is_right(tmp_path, extract):
    store = Store(str(tmp_path / "out"))
    (file,) = put(store, extract).files
    local_file(store, file)
    Path(store.place_of(file)).write_bytes(b"another...")
    with pytest.raises(InputError, match=r"not what its SHA-256 says: .*--verify"):
        local_file(store, file)


def test_contents_are_read_once_in_a_process(tmp_path, extract, monkeypatch):
    store = Store(str(tmp_path / "out"))
    (file,) = put(store, extract).files
    local_file(store, file)
    monkeypatch.setattr(File, "of", None)
    local_file(store, file)


def test_a_damaged_copy_is_fetched_anew(tmp_path, extract):
    store = Store(f"memory://{tmp_path}")
    (file,) = put(store, extract).files
    for contents in (b"another...", b""):
        local_file(store, file).write_bytes(contents)
        assert local_file(store, file).read_bytes() == b"an extract"


@pytest.fixture
def scene(store, tmp_path):
    files = {"scene.xml": tmp_path / "scene.xml", "meshes/a.ply": tmp_path / "a.ply"}
    for path in files.values():
        path.write_text(path.name)
    return put_input(store, files, "town")


def test_a_folder_on_this_machine(store, scene, home):
    folder = local_folder(store, scene)
    assert {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.*")} == {
        "scene.xml": "scene.xml",
        "meshes/a.ply": "a.ply",
    }
    assert local_folder(store, scene) == folder
    assert home.cache.partial_files() == {}


@pytest.mark.parametrize("contents", [None, b"", b"b.ply", b"longer"])
def test_a_folder_is_mended(store, scene, contents):
    place = local_folder(store, scene) / "meshes" / "a.ply"
    place.unlink()
    if contents is not None:
        place.write_bytes(contents)
    local_folder(store, scene)
    assert place.read_text() == "a.ply"


def test_what_is_used_stays_in_the_cache(store, scene, home):
    folder = local_folder(store, scene)
    long_ago = time.time() - 40 * 86_400
    for place in folder.rglob("*.*"):
        os.utime(place, (long_ago,) * 2)
    local_folder(store, scene)  # without a look at the store
    assert home.gc().files == 0
    for place in folder.rglob("*.*"):
        os.utime(place, (long_ago,) * 2)
    assert home.gc().files >= 2
    assert not folder.exists()


def test_a_path_that_leads_out_of_its_folder_can_not_be_said():
    with pytest.raises(InputError, match="within its artifact"):
        Artifact("inputs/a", "1", "dataset", (File("../a", "0" * 64, 1),))
