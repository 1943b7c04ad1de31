"""Stores in a folder, in memory and on an S3 server: whole files, artifacts that exist once."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.cleaning import clean_store
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store, read_range


@pytest.fixture
def local(tmp_path):
    place = tmp_path / "a.txt"
    place.write_text("hello")
    return place


def stored(store, local, name="maps/a", version="1", **values):
    artifact = Artifact(name, version, "radio-map", (store.put_file(local),), **values)
    return store.put_artifact(artifact)


def test_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("out").url == str(tmp_path / "out")
    assert Store(f"file://{tmp_path}/out/") == Store("out") == Store(f"file:{tmp_path}/out")
    assert Store("s3://bucket/x/").url == "s3://bucket/x"
    assert Store("s3://bucket/x").folder is None
    with pytest.raises(InputError, match="folder or a URL"):
        Store(" ")


def test_a_scheme_that_no_one_knows():
    with pytest.raises(InputError, match="nowhere"):
        Store("nowhere://a/b").has_artifact("maps/a@1")


def test_nothing_is_made_before_something_is_written(tmp_path):
    store = Store(str(tmp_path / "store"))
    assert not store.has_artifact("maps/a@1")
    assert list(store.refs()) == []
    assert store.stored_files() == store.partial_files() == {}
    assert not (tmp_path / "store").exists()


def test_a_file_in_and_out(store, local):
    file = store.put_file(local)
    assert file == File.of(local)
    assert store.has_file(file)
    assert store.size_of(file) == 5
    assert store.size_of(replace(file, path="b.txt")) is None
    with store.open_file(file) as stream:
        assert stream.read() == b"hello"
    place = f"files/{file.sha256[:2]}/{file.sha256}/a.txt"
    assert store.stored_files() == {place: 5}
    assert store.put_file(local) == file
    assert read_range(store.place_of(file), 1, 3) == b"el"
    assert read_range(store.place_of(file), 3, 99) == b"lo"
    assert read_range(store.place_of(file), 5, 99) == b""
    store.remove(place)
    assert not store.has_file(file)
    with pytest.raises(MissingError, match="is not there"):
        store.open_file(file)


def test_a_file_that_is_not_what_it_is_said_to_be(tmp_path, local):
    store = Store(str(tmp_path / "store"))
    with pytest.raises(InputError, match=r"a\.txt.*SHA-256"):
        store.put_file(local, File("a.txt", "0" * 64, 5))
    assert store.stored_files() == store.partial_files() == {}


def test_an_artifact_exists_once(store, local):
    first = stored(store, local, facts={"n": 1}, run={"seconds": 1})
    assert store.has_artifact("maps/a@1")
    assert store.artifact("maps/a@1").digest() == first.digest()
    # The same again, made by another run: the first one's record stays.
    again = stored(store, local, facts={"n": 1}, run={"seconds": 2})
    assert again.run == {"seconds": 1}
    with pytest.raises(InputError, match="something else"):
        stored(store, local, facts={"n": 2})
    assert store.artifact("maps/a@1").facts == {"n": 1}


def test_what_exists(store, local):
    for name, version in (("maps/b", "2"), ("maps/a", "1"), ("maps/a", "1.5"), ("x", "0")):
        stored(store, local, name, version)
    assert sorted(store.refs()) == ["maps/a@1", "maps/a@1.5", "maps/b@2", "x@0"]
    assert store.versions("maps/a") == {"1", "1.5"}
    assert store.versions("maps") == set()
    assert store.versions("nothing") == set()
    # A listing is not remembered: others write, too.
    other = Store(store.url)
    stored(other, local, "maps/a", "2")
    assert store.versions("maps/a") == {"1", "1.5", "2"}
    assert store.has_artifact("maps/a@2")
    store.remove_artifact("maps/a@2")
    assert not other.has_artifact("maps/a@2")
    with pytest.raises(MissingError, match="maps/a@2 is not at"):
        other.artifact("maps/a@2")


def test_of_two_writers_one_wins(store, local):
    file = store.put_file(local)
    made = [Artifact("maps/a", "1", "radio-map", (file,), facts={"n": n}) for n in range(4)]

    def write(artifact):
        try:
            return Store(store.url).put_artifact(artifact).facts["n"]
        except InputError:
            return None

    with ThreadPoolExecutor(4) as several:
        wrote = [n for n in several.map(write, made) if n is not None]
    if store.url.startswith("memory"):
        return  # this one can't create exclusively
    assert wrote == [store.artifact("maps/a@1").facts["n"]]


def test_a_damaged_record_is_named(tmp_path, local):
    store = Store(str(tmp_path / "store"))
    stored(store, local)
    record = tmp_path / "store" / "artifacts" / "maps" / "a" / "1.json"
    for text in ("", "{", "[]", '{"name": "maps/a"}', "null"):
        record.write_text(text)
        with pytest.raises(InputError):
            store.artifact("maps/a@1")


def test_a_record_must_be_the_one_that_is_asked_for(store, local):
    stored(store, local)
    body = store._fs.cat_file(f"{store.url}/artifacts/maps/a/1.json")
    store._fs.pipe_file(f"{store.url}/artifacts/maps/a/2.json", body)
    with pytest.raises(InputError, match=r"a/2\.json: holds another artifact, maps/a@1"):
        store.artifact("maps/a@2")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../outside"},
        {"version": "../../../outside"},
        {"files": [{"path": "../../../../outside", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "/outside", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": ".", "sha256": "0" * 64, "size_bytes": 1}]},
        {"files": [{"path": "a", "sha256": "../../../outside", "size_bytes": 1}]},
        {"parents": ["../outside@1"]},
    ],
)
def test_a_record_from_elsewhere_leads_nowhere_else(tmp_path, local, change):
    there, home = Store(str(tmp_path / "there")), Registry(tmp_path / "home" / "of")
    values = stored(there, local).to_dict() | change
    (tmp_path / "there/artifacts/maps/a/1.json").write_text(json.dumps(values))
    with pytest.raises(InputError):
        home.pull("maps/a@1", there.url)
    assert {p.name for p in tmp_path.iterdir()} <= {"there", "a.txt", "home"}
    assert home.count() == 0


def test_many_records_are_read_in_their_order(store, local):
    for number in range(50):
        stored(store, local, f"maps/n{number}")
    refs = [f"maps/n{number}@1" for number in (*range(49, -1, -1), 70, 3)]
    found = [made and made.ref for made in store.artifacts(iter(refs))]
    assert found == [*refs[:50], None, "maps/n3@1"]
    assert next(store.artifacts(refs)).ref == "maps/n49@1"
    assert list(store.artifacts([])) == []


def test_all_that_artifacts_were_made_from(store, local):
    stored(store, local, "a", parents=("b@1", "c@1", "gone@1"))
    stored(store, local, "b", parents=("c@1",))
    stored(store, local, "c", parents=("a@1",))  # in a circle
    stored(store, local, "d", parents=("c@1",))
    assert [made.ref for made in store.with_ancestors(["a@1", "d@1", "a@1"])] == [
        "a@1", "d@1", "b@1", "c@1",
    ]  # fmt: skip


def test_a_collection_may_be_renewed(store):
    made = Artifact("collections/a", "1", "collection", created="2026-01-01")
    store.put_artifact(made)
    assert store.put_artifact(replace(made, created="2026-02-01")).created == "2026-01-01"
    store.renew_collection(replace(made, created="2026-02-01"))
    assert store.artifact("collections/a@1").created == "2026-02-01"
    assert store.partial_files() == {}


def test_a_bare_record_becomes_whole(store, local):
    file = File.of(local)
    made = Artifact("inputs/a", "1", "dataset", (file,))
    assert store.put_artifact(made, bare=True) == made
    assert store.is_bare("inputs/a@1")
    assert store.artifact("inputs/a@1").digest() == made.digest()
    store.put_file(local)
    store.put_artifact(made)
    assert not store.is_bare("inputs/a@1")
    store.put_artifact(made, bare=True)
    assert not store.is_bare("inputs/a@1")
    assert not store.is_bare("inputs/b@1")


def test_one_listing_tells_which_files_are_there(store, local, monkeypatch):
    made = stored(store, local)
    sizes = store.stored_files()
    lacking = replace(made, files=(replace(made.files[0], path="b.txt"),))
    assert len(store.faults(lacking, contents=False, sizes=sizes)) == 1
    monkeypatch.setattr(Store, "size_of", None)
    assert store.faults(made, contents=False, sizes=sizes) == []


def test_a_server_that_does_not_answer():
    script = """
from rfplatform.errors import MissingError
from rfplatform.registry.store import Store
try:
    Store("s3://bucket/x").has_artifact("maps/a@1")
except MissingError as error:
    print("told:", error)
"""
    environment = os.environ | {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.stdout.startswith("told: s3://bucket/x: "), done.stderr


@pytest.mark.usefixtures("s3_server")
def test_a_bucket_that_is_not_there(local):
    store = Store("s3://no-such-bucket/x")
    assert not store.has_artifact("maps/a@1")
    with pytest.raises(MissingError, match=r"s3://no-such-bucket/x: .*bucket"):
        store.put_file(local)
    with pytest.raises(MissingError, match=r"s3://no-such-bucket/x: .*bucket"):
        store.put_artifact(Artifact("maps/a", "1", "radio-map"))


# What no one names


def test_unnamed_files_go_and_named_ones_stay(store, local, tmp_path):
    stored(store, local)
    (tmp_path / "b.txt").write_text("orphan")
    orphan = store.put_file(tmp_path / "b.txt")
    assert clean_store(store, dry_run=False, older_than_s=3600).files == 0  # it is young
    told = clean_store(store, dry_run=True, older_than_s=-60)
    assert (told.files, told.size_bytes, told.dry_run) == (1, 6, True)
    assert store.has_file(orphan)
    done = clean_store(store, dry_run=False, older_than_s=-60)
    assert (done.files, done.size_bytes) == (1, 6)
    assert not store.has_file(orphan)
    assert store.has_file(store.artifact("maps/a@1").files[0])


def test_a_reused_file_is_young_again(tmp_path, local):
    store = Store(str(tmp_path / "store"))
    file = store.put_file(local)
    os.utime(store.place_of(file), (0, 0))
    store.put_file(local)
    assert clean_store(store, dry_run=False, older_than_s=60).files == 0
    os.utime(store.place_of(file), (0, 0))
    assert clean_store(store, dry_run=False, older_than_s=60).files == 1


def test_what_is_put_while_it_is_set_aside_comes_back(tmp_path, local, monkeypatch):
    store = Store(str(tmp_path / "store"))
    file = store.put_file(local)
    place = Path(store.place_of(file))
    os.utime(place, (0, 0))
    rename = Path.rename

    def touched_just_before(self, target):
        os.utime(self)  # what put_file does to a file that is there
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", touched_just_before)
    inside = str(place.relative_to(store.folder))
    assert not store.remove_idle(inside, time.time() - 60)
    assert place.read_text() == "hello"
    assert store.partial_files() == {}


def test_leftovers_of_writers_go_when_they_are_old(tmp_path, local):
    store = Store(str(tmp_path / "store"))
    stored(store, local)
    for name, age_s in (("old", 7200), ("young", 10)):
        left = tmp_path / "store" / "partial" / name
        left.write_text("half")
        os.utime(left, (time.time() - age_s,) * 2)
    assert clean_store(store, dry_run=True, older_than_s=3600).files == 1
    assert clean_store(store, dry_run=False, older_than_s=3600).files == 1
    assert set(store.partial_files()) == {"partial/young"}


def test_with_a_damaged_record_nothing_is_removed(tmp_path, local):
    store = Store(str(tmp_path / "store"))
    stored(store, local)
    (tmp_path / "store" / "artifacts" / "maps" / "a" / "1.json").write_text("{")
    with pytest.raises(InputError, match="nothing was removed"):
        clean_store(store, dry_run=False, older_than_s=-60)
    assert len(store.stored_files()) == 1
