"""Stores in a folder, in memory and on an S3 server: whole files, artifacts that exist once."""

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
