"""The registry: what is here, what came of what, copies elsewhere, and what may go."""

import os
import sqlite3
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from rfplatform.errors import InputError, MissingError, NoSpaceError
from rfplatform.registry import index
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import HOME_VARIABLE, Registry
from rfplatform.registry.store import Store


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "home")


@pytest.fixture
def other(tmp_path):
    return Registry(tmp_path / "other")


class Maker:
    """Makes artifacts whose files have given contents, below a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, ref, kind="radio-map", parents=(), files=None, **values):
        name, version = ref.split("@")
        local = {}
        for path, text in (files or {"a.txt": f"contents of {ref}"}).items():
            local[path] = self.folder / f"{name.replace('/', '-')}-{version}-{path}"
            local[path].write_bytes(text if isinstance(text, bytes) else text.encode())
        made = tuple(File.of(place, path) for path, place in local.items())
        return Artifact(name, version, kind, made, tuple(parents), **values), local


@pytest.fixture
def make(tmp_path):
    (tmp_path / "made").mkdir()
    return Maker(tmp_path / "made")


@pytest.fixture
def city(registry, make):
    """A model from a collection of two maps from one data set, of which only the model is kept."""
    for arguments, kept in (
        (("inputs/city@1", "dataset"), False),
        (("maps/a@1", "radio-map", ["inputs/city@1", "inputs/sites@9"]), False),
        (("maps/b@1", "radio-map", ["inputs/city@1"]), False),
        (("collections/all@1", "collection", ["maps/a@1", "maps/b@1"]), False),
        (("models/m@1", "model", ["collections/all@1"]), True),
    ):
        registry.add(*make(*arguments, created=f"2026-01-0{len(arguments)}"), kept=kept)
    return registry


def damage(place, how):
    text = Path(place).read_bytes()
    new = {"tampered": b"X" + text[1:], "truncated": text[:-1]}[how]
    Path(place).write_bytes(new)


# What is here


def test_the_folder_is_the_environments_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert Registry.default() == Registry(tmp_path)
    monkeypatch.setenv(HOME_VARIABLE, "")
    assert Registry.default().home.name == "rfplatform"


def test_an_empty_registry_makes_nothing(registry):
    assert registry.entries() == []
    assert registry.count() == 0
    assert not registry.has("maps/a")
    assert registry.verify() == []
    assert registry.gc().artifacts == 0
    with pytest.raises(InputError, match='unknown artifact "maps/a"'):
        registry.get("maps/a")
    assert not registry.home.exists()


def test_an_artifact_in_and_out(registry, make):
    made, local = make(
        "maps/a@1",
        parents=["inputs/x@2", "inputs/a@1"],
        files={"b.txt": "b", "a.txt": "a"},
        title="A",
        licence="ODbL-1.0",
        citation="C",
        schema="s",
        config={"n": 1.5, "ä": [None]},
        facts={"sectors": [{"site": "S"}]},
        run={"seconds": 2},
        created="2026-01-02T00:00:00+00:00",
    )
    registry.add(made, local)
    read = registry.get("maps/a@1")
    assert read.to_dict() == made.to_dict()
    assert registry.path("maps/a", "b.txt").read_text() == "b"
    assert registry.path("maps/a", "b.txt").is_relative_to(registry.home)
    (entry,) = registry.entries()
    assert entry == registry.entry("maps/a")
    assert (entry.ref, entry.kind, entry.size_bytes, entry.kept) == (
        "maps/a@1",
        "radio-map",
        2,
        True,
    )
    assert (entry.created, entry.store_url, entry.here) == (made.created, "", True)


def test_the_same_again_changes_nothing(registry, make):
    made, local = make("maps/a@1", run={"seconds": 1})
    registry.add(made, local, kept=False)
    again = registry.add(replace(made, run={"seconds": 2}, created="2030"), local)
    assert (again.run, again.created) == (made.run, made.created)
    assert registry.entry("maps/a").kept  # but it is kept now
    registry.add(made, local, kept=False)
    assert registry.entry("maps/a").kept
    assert registry.count() == 1


def test_other_contents_under_one_version_conflict(registry, make):
    registry.add(*make("maps/a@1"))
    made, local = make("maps/a@1", files={"a.txt": "other"})
    with pytest.raises(InputError, match=r"maps/a@1 conflicts.*choose another version"):
        registry.add(made, local)
    with pytest.raises(InputError, match=r"maps/a@1 conflicts"):
        registry.record([made], "/elsewhere")
    assert registry.path("maps/a", "a.txt").read_text() == "contents of maps/a@1"
    assert len(registry.store.stored_files()) == 1  # refused before anything was copied


@pytest.mark.parametrize("where", ["facts", "config", "run"])
def test_what_is_no_json_is_refused(registry, make, where):
    for value in (float("nan"), {1, 2}):
        with pytest.raises(InputError, match=r"maps/a@1: .* JSON"):
            registry.add(*make("maps/a@1", **{where: {"x": value}}))


def test_files_must_be_what_they_are_said_to_be(registry, make, tmp_path):
    made, local = make("maps/a@1")
    with pytest.raises(InputError, match=r"maps/a@1: no local file is given for a\.txt"):
        registry.add(made)
    with pytest.raises(InputError, match=r"maps/a@1 has no file 'b\.txt'"):
        registry.add(made, local | {"b.txt": tmp_path})
    with pytest.raises(InputError, match=r"maps/a@1: .*nowhere.* is no file"):
        registry.add(made, {"a.txt": tmp_path / "nowhere"})
    local["a.txt"].write_text("contents of maps/a@2")
    with pytest.raises(InputError, match=r"maps/a@1: .*SHA-256"):
        registry.add(made, local)
    assert registry.count() == 0
    assert registry.store.stored_files() == registry.store.partial_files() == {}


def test_a_damaged_file_is_replaced_when_it_is_added_again(registry, make):
    made, local = make("maps/a@1")
    registry.add(made, local)
    damage(registry.path("maps/a", "a.txt"), "tampered")
    assert len(registry.verify()) == 1
    registry.add(made, local)
    assert registry.verify() == []


def test_a_listing(registry, make):
    for i, kind in enumerate(["radio-map", "dataset", "radio-map", "model", "radio-map"]):
        registry.add(*make(f"{kind}s/n{i}@1", kind, created=f"2026-01-0{9 - i}"))
    names = ["radio-maps/n0", "datasets/n1", "radio-maps/n2", "models/n3", "radio-maps/n4"]
    assert [e.name for e in registry.entries()] == names
    assert [e.name for e in registry.entries(limit=2, offset=1)] == names[1:3]
    assert [e.name for e in registry.entries("radio-map")] == names[::2]
    assert registry.count("radio-map") == 3
    for pattern, expected in {
        "radio": names[::2],
        "radio-maps/n2": names[2:3],
        "*n2": names[2:3],
        "radio-maps/n[24]": [names[2], names[4]],
        "*s/n?": names,
        "m": ["models/n3"],
        "zz": [],
    }.items():
        assert [e.name for e in registry.entries(name=pattern)] == expected
        assert registry.count(name=pattern) == len(expected)
    assert [e.name for e in registry.entries("model", "*n*")] == ["models/n3"]
    assert registry.count("model", "*n*") == 1


def test_a_listing_of_many_of_a_name_is_the_same_as_of_few(registry, monkeypatch):
    made = [
        Artifact(f"maps/n{i:03d}", "1", "radio-map", created=f"{i * 7 % 100:03d}")
        for i in range(100)
    ]
    registry.record(made, "/elsewhere")
    few = registry.entries(name="maps/n0", limit=10, offset=5)
    monkeypatch.setattr("rfplatform.registry.index._FEW", 5)
    assert registry.entries(name="maps/n0", limit=10, offset=5) == few
    assert [e.created for e in few] == [f"{n:03d}" for n in range(94, 84, -1)]


def test_a_bare_name_is_its_newest(registry, make):
    for version, created in (("1", "2026-01-01"), ("3", "2026-03-01"), ("2", "2026-02-01")):
        registry.add(*make(f"maps/a@{version}", created=created))
    assert registry.get("maps/a").version == "3"
    assert registry.versions("maps/a") == ["3", "2", "1"]
    assert registry.has("maps/a")
    assert registry.has("maps/a@1")
    assert not registry.has("maps/a@4")


def test_an_unknown_name_tells_near_misses(city):
    with pytest.raises(InputError, match=r'unknown artifact "maps/aa".*did you mean .*maps/a'):
        city.get("maps/aa")
    with pytest.raises(InputError, match=r"did you mean maps/a@1"):
        city.get("maps/a@2")
    city.record((Artifact(f"maps/n{i}", "1", "radio-map") for i in range(3000)), "/elsewhere")
    with pytest.raises(InputError, match=r"maps/n2345") as told:
        city.get("maps/n2345x")
    assert len(str(told.value)) < 300
    with pytest.raises(InputError, match="name"):
        city.get("No Name")


# What came of what


def test_lineage(city):
    assert [e.ref for e in city.parents("maps/a@1")] == ["inputs/city@1", "inputs/sites@9"]
    assert [e.here for e in city.parents("maps/a@1")] == [True, False]
    assert {e.ref for e in city.children("inputs/city")} == {"maps/a@1", "maps/b@1"}
    assert [e.ref for e in city.children("inputs/sites@9")] == ["maps/a@1"]
    with pytest.raises(InputError, match="unknown"):
        city.children("inputs/sites")
    tree = city.lineage("models/m")
    assert (tree.ref, tree.kind, tree.here) == ("models/m@1", "model", True)
    (collection,) = tree.parents
    first, second = collection.parents
    assert [(p.ref, p.here, p.repeated) for p in first.parents] == [
        ("inputs/city@1", True, False),
        ("inputs/sites@9", False, False),
    ]
    assert [p.ref for p in second.parents] == ["inputs/city@1"]
    assert {a.ref for a in city.ancestors("models/m")} == {
        "collections/all@1",
        "maps/a@1",
        "maps/b@1",
        "inputs/city@1",
    }


def test_each_is_expanded_once_in_a_lineage(registry):
    edges = {"a": ("b", "c"), "b": ("d",), "c": ("d", "b"), "d": ("e",), "e": ()}
    registry.record(
        (
            Artifact(name, "1", "dataset", parents=tuple(f"{p}@1" for p in parents))
            for name, parents in edges.items()
        ),
        "/elsewhere",
    )

    def shape(node):
        name = node.ref[0] + ("..." if node.repeated else "")
        return {name: [shape(p) for p in node.parents]} if node.parents else name

    assert shape(registry.lineage("a")) == {"a": [{"b": [{"d": ["e"]}]}, {"c": ["d...", "b..."]}]}


def test_a_circle_and_a_long_chain_end(registry):
    chain = [Artifact(f"n{i}", "1", "dataset", parents=(f"n{i + 1}@1",)) for i in range(3000)]
    circle = [Artifact("n3000", "1", "dataset", parents=("n0@1",))]
    registry.record(chain + circle, "/elsewhere")
    node, depth = registry.lineage("n0"), 0
    while node.parents:
        (node,) = node.parents
        depth += 1
    assert (depth, node.ref, node.repeated) == (3001, "n0@1", True)
    assert len(registry.ancestors("n0")) == 3000
    assert registry.gc().artifacts == 3001


# Artifacts whose files are elsewhere


def out_with(tmp_path, make, *refs):
    store = Store(str(tmp_path / "out"))
    for ref in refs:
        made, local = make(ref)
        for path, place in local.items():
            store.put_file(place, made.file(path))
        store.put_artifact(made)
    return store


def test_recorded_artifacts_stay_in_their_store(registry, make, tmp_path):
    store = out_with(tmp_path, make, "maps/a@1", "maps/b@1")
    made = [store.artifact(ref) for ref in store.refs()]
    assert registry.record(made, store.url) == 2
    assert registry.record(made, store.url) == 0
    assert {e.store_url for e in registry.entries()} == {store.url}
    assert not any(e.kept for e in registry.entries())
    assert registry.path("maps/a", "a.txt") == Path(store.place_of(made[0].files[0]))
    assert registry.store.stored_files() == {}
    with pytest.raises(InputError, match="own folder"):
        registry.record(made, str(registry.home))
    # Taken home, it stays at home.
    registry.add(*make("maps/a@1"))
    registry.record(made, store.url)
    assert registry.entry("maps/a").store_url == ""
    # Found elsewhere, it is there from now on.
    registry.record(made[1:], "/elsewhere")
    assert registry.entry("maps/b").store_url == "/elsewhere"


def test_a_recorded_artifact_whose_folder_is_gone_gives_way(registry, make, tmp_path):
    store = out_with(tmp_path, make, "maps/a@1")
    registry.record([store.artifact("maps/a@1")], store.url)
    new, local = make("maps/a@1", files={"a.txt": "new", "b.txt": "b"})
    with pytest.raises(InputError, match="conflicts with what is at"):
        registry.add(new, local)
    (tmp_path / "out").rename(tmp_path / "gone")
    registry.add(new, local)
    assert registry.get("maps/a@1").digest() == new.digest()
    assert registry.verify() == []


@pytest.mark.parametrize("recorded_first", [True, False])
def test_where_a_file_can_be_had_is_no_part_of_what_it_is(registry, make, tmp_path, recorded_first):
    store = out_with(tmp_path, make, "inputs/x@1")
    made = store.artifact("inputs/x@1")
    at_url = replace(made, files=(replace(made.files[0], url="file:///elsewhere/a.txt"),))
    steps = [lambda: registry.record([made], store.url), lambda: registry.add(at_url)]
    for step in steps if recorded_first else steps[::-1]:
        step()
    assert registry.count() == 1
    assert store.put_artifact(at_url).files == made.files


def collection_of(*refs, name="collections/jobs", **values):
    version = "-".join(ref.split("@")[0].split("/")[1] for ref in refs)
    return Artifact(name, version, "collection", parents=refs, **values)


def test_of_a_batchs_collections_the_last_is_kept(registry, make, tmp_path):
    store = out_with(tmp_path, make, "maps/a@1", "maps/b@1")
    registry.record([store.artifact(ref) for ref in store.refs()], store.url)
    first, second = collection_of("maps/a@1"), collection_of("maps/a@1", "maps/b@1")
    others = [collection_of("maps/a@1", name="collections/more")]
    registry.record(others, store.url, kept=True)
    registry.record([collection_of("maps/b@1")], "/elsewhere", kept=True)
    for made in (first, second):
        registry.record([made], store.url, kept=True)
    kept = {entry.ref for entry in registry.entries() if entry.kept}
    assert kept == {"collections/jobs@a-b", "collections/jobs@b", "collections/more@a"}
    # What was found before is found again: it is the newest.
    registry.record([replace(first, created="2099-01-01")], store.url, kept=True)
    registry.gc(["collections/jobs@b"])
    left = {"collections/jobs@a", "collections/more@a", "maps/a@1"}
    assert {entry.ref for entry in registry.entries()} == left
    registry.record([second], store.url, kept=True)
    registry.record([replace(first, created="2099-01-02")], store.url, kept=True)
    assert registry.get("collections/jobs").version == "a"


def test_versions_that_were_added_are_all_kept(registry, make):
    for version in "12":
        registry.add(*make(f"collections/all@{version}", "collection"))
    assert registry.gc(older_than_s=-60).artifacts == 0


def test_children_page_by_page(city, make):
    city.add(*make("reports/r@1", "report", ["inputs/city@1"], created="2027"))
    assert city.count_children("inputs/city") == 3
    assert [e.ref for e in city.children("inputs/city", limit=1)] == ["reports/r@1"]
    assert [e.ref for e in city.children("inputs/city", "report")] == ["reports/r@1"]
    assert len(city.children("inputs/city", "radio-map")) == 2
    assert city.count_children("inputs/sites@9") == 1
    assert city.count_children("models/m") == 0


def test_a_file_from_its_own_url_is_fetched_once(registry, make):
    made, local = make("inputs/x@1", "dataset", files={"x.bin": b"0123456789"})
    source = local["x.bin"]
    made = replace(made, files=(replace(made.files[0], url=f"file://{source}"),))
    registry.add(made)
    assert registry.store.stored_files() == {}
    assert registry.verify() == []
    assert registry.path("inputs/x", "x.bin").read_bytes() == b"0123456789"
    source.unlink()
    assert registry.path("inputs/x", "x.bin").read_bytes() == b"0123456789"


@pytest.fixture
def site(tmp_path):
    """A web server of a folder, which knows no ranges."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (tmp_path / "site").mkdir()
    handler = partial(Quiet, directory=tmp_path / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "site", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_from_the_web(registry, make, site, monkeypatch):
    folder, url = site
    monkeypatch.setattr("rfplatform.registry.fetching.RANGE_BYTES", 1000)
    contents = os.urandom(3500)
    made, _ = make("inputs/x@1", "dataset", files={"x.bin": contents})
    registry.add(replace(made, files=(replace(made.files[0], url=f"{url}/x.bin"),)))
    with pytest.raises(InputError, match=r"inputs/x@1: x\.bin is not at http"):
        registry.path("inputs/x", "x.bin")
    (folder / "x.bin").write_bytes(contents[:3400])
    with pytest.raises(InputError, match=r"inputs/x@1: x\.bin: http.*only 3,400"):
        registry.path("inputs/x", "x.bin")
    (folder / "x.bin").write_bytes(contents)
    assert registry.path("inputs/x", "x.bin").read_bytes() == contents
    assert registry.store.partial_files() == {}


@pytest.mark.parametrize("how", ["tampered", "truncated"])
@pytest.mark.parametrize("at_home", [True, False])
def test_a_damaged_file_is_named(registry, make, tmp_path, how, at_home):
    if at_home:
        registry.add(*make("maps/a@1"))
    else:
        store = out_with(tmp_path, make, "maps/a@1")
        registry.record([store.artifact("maps/a@1")], store.url)
    damage(registry.path("maps/a", "a.txt"), how)
    with pytest.raises(InputError, match=r"maps/a@1: a\.txt at /.*(add or pull|make it) .*again"):
        registry.path("maps/a", "a.txt")
    problem = {"tampered": "contents", "truncated": "size"}[how]
    for faults in (registry.verify("maps/a@1"), registry.verify()):
        found = [(f.ref, f.path, f.problem) for f in faults]
        assert found == [("maps/a@1", "a.txt", problem)] or (not at_home and found == [])


def test_a_file_that_is_gone_is_named(registry, make):
    registry.add(*make("maps/a@1"))
    registry.path("maps/a", "a.txt").unlink()
    with pytest.raises(InputError, match=r"maps/a@1: a\.txt is not at .*again"):
        registry.path("maps/a", "a.txt")
    assert [f.problem for f in registry.verify()] == ["missing"]


def test_verify_a_store(registry, make, tmp_path):
    store = out_with(tmp_path, make, "maps/a@1", "maps/b@1", "maps/c@1", "maps/d@1", "maps/e@1")
    registry.record([store.artifact(ref) for ref in store.refs()], store.url)
    assert registry.verify(store=store) == []
    folder = Path(store.url)
    damage(store.place_of(store.artifact("maps/a@1").files[0]), "tampered")
    damage(store.place_of(store.artifact("maps/b@1").files[0]), "truncated")
    Path(store.place_of(store.artifact("maps/c@1").files[0])).unlink()
    (folder / "artifacts/maps/d/1.json").write_text("{")
    store.remove_artifact("maps/e@1")
    seen = []
    faults = registry.verify(store=store, progress=seen.append)
    assert [(f.ref, f.problem) for f in sorted(faults, key=lambda f: f.ref)] == [
        ("maps/a@1", "contents"),
        ("maps/b@1", "size"),
        ("maps/c@1", "missing"),
        ("maps/d@1", "record"),
        ("maps/e@1", "index"),
    ]
    assert all(f.ref in str(f) and (str(folder) in str(f)) for f in faults)
    assert len(seen) == 4
    assert [f.problem for f in registry.verify("maps/a@1", store)] == ["contents"]
    assert registry.verify("maps/d@1", store) == []


def test_verify_finds_a_damaged_record_at_home(registry, make):
    registry.add(*make("maps/a@1"))
    registry.add(*make("maps/b@1"))
    with sqlite3.connect(registry.index.path) as db:
        db.execute("UPDATE bodies SET body = x'00' WHERE id = 1")
    assert [(f.ref, f.problem) for f in registry.verify()] == [("maps/a@1", "record")]
    with pytest.raises(InputError, match="maps/a@1: its record is damaged"):
        registry.get("maps/a@1")


# The index itself


def test_an_index_of_a_newer_form_is_refused(registry, make):
    registry.add(*make("maps/a@1"))
    with sqlite3.connect(registry.index.path) as db:
        db.execute("PRAGMA user_version = 99")
    for use in (registry.entries, lambda: registry.add(*make("maps/b@1"))):
        with pytest.raises(InputError, match=r"index\.sqlite.*newer.*99.*update rfplatform"):
            use()


@pytest.mark.parametrize("text", [b"no index at all" * 100, b""])
def test_what_is_no_index_is_refused(registry, text):
    registry.home.mkdir()
    registry.index.path.write_bytes(text)
    with pytest.raises(InputError, match=r"index\.sqlite.*no index"):
        registry.entries()


def test_a_damaged_index_is_told_in_a_line(registry):
    registry.record((Artifact(f"n{i}", "1", "dataset") for i in range(3000)), "/elsewhere")
    with registry.index.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(200_000))
    with pytest.raises(InputError, match="damaged"):
        registry.entries()


def test_a_full_disk_is_told_and_costs_nothing(registry, monkeypatch):
    registry.record([Artifact("maps/a", "1", "radio-map")], "/elsewhere")
    connect = index._connect

    def nearly_full(path):
        db = connect(path)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        return db

    monkeypatch.setattr(index, "_connect", nearly_full)
    with pytest.raises(NoSpaceError, match=r"index\.sqlite: the disk is full"):
        registry.record((Artifact(f"n{i}", "1", "dataset") for i in range(1500)), "/elsewhere")
    monkeypatch.undo()
    assert [e.ref for e in registry.entries()] == ["maps/a@1"]


def test_a_folder_that_can_not_be_made(tmp_path, make):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="file"):
        Registry(tmp_path / "file" / "home").add(*make("maps/a@1"))


def test_the_index_is_durable_and_writers_do_not_stop_readers(registry, make):
    registry.add(*make("maps/a@1"))
    with registry.index.opened() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    with registry.index.writing() as db:
        db.execute("DELETE FROM artifacts")
        assert registry.count() == 1
        db.execute("ROLLBACK")
        db.execute("BEGIN")


# Copies elsewhere


@pytest.mark.parametrize("with_parents", [False, True])
def test_push_and_pull(city, other, store, with_parents):
    told = []
    city.push("models/m", store.url, with_parents=with_parents, progress=lambda *a: told.append(a))
    assert set(store.refs()) == {e.ref for e in city.entries()}
    assert len(store.stored_files()) == (5 if with_parents else 1)
    assert told[-1][1:] == (told[0][2],) * 2
    assert city.verify(store=store) == []
    assert {ref for ref in store.refs() if store.is_bare(ref)} == (
        set() if with_parents else {e.ref for e in city.entries()} - {"models/m@1"}
    )
    pulled = other.pull("models/m", store.url, with_parents=with_parents)
    assert pulled.digest() == city.get("models/m").digest()
    assert other.path("models/m", "a.txt").read_text() == "contents of models/m@1"
    assert other.verify() == []
    assert {e.ref for e in other.entries() if e.kept} == {"models/m@1"}
    at_home = {e.ref for e in other.entries() if not e.store_url}
    assert len(at_home) == (5 if with_parents else 1)
    assert str(shape(other.lineage("models/m"))) == str(shape(city.lineage("models/m")))
    assert other.gc(older_than_s=-60).artifacts == 0
    assert other.store.partial_files() == {}
    # Again, it changes nothing.
    city.push("models/m", store.url, with_parents=with_parents)
    other.pull("models/m@1", store.url, with_parents=with_parents)
    assert other.count() == 5


def shape(node):
    return (node.ref, node.kind, [shape(p) for p in node.parents])


def test_a_parents_files_follow_later(city, other, store):
    city.push("models/m", store.url)
    with pytest.raises(InputError, match=r"a\.txt is not at"):
        other.pull("models/m", store.url, with_parents=True)
    assert other.count() == 0
    city.push("maps/a", store.url)
    assert not store.is_bare("maps/a@1")
    assert store.is_bare("maps/b@1")
    other.pull("models/m", store.url)
    # Where the files are by now, they are fetched when they are asked for.
    assert other.path("maps/a", "a.txt").read_text() == "contents of maps/a@1"
    with pytest.raises(InputError, match=r"maps/b@1: a\.txt is not at"):
        other.path("maps/b", "a.txt")


def test_a_version_that_is_something_else_there(registry, other, make, store):
    registry.add(*make("maps/a@1"))
    other.add(*make("maps/a@1", files={"a.txt": "other"}))
    registry.push("maps/a", store.url)
    before = store.stored_files()
    with pytest.raises(InputError, match=r"maps/a@1 conflicts with what is at .*another version"):
        other.push("maps/a", store.url)
    assert store.stored_files() == before
    with pytest.raises(InputError, match="maps/a@1 conflicts with what is in this registry"):
        other.pull("maps/a", store.url)
    assert other.path("maps/a", "a.txt").read_text() == "other"
    assert len(other.store.stored_files()) == 1


def test_a_parent_that_is_something_else(registry, other, make, store):
    registry.add(*make("inputs/x@1", "dataset"))
    registry.add(*make("maps/a@1", parents=["inputs/x@1"]))
    other.add(*make("inputs/x@1", "dataset", files={"a.txt": "other"}))
    other.add(*make("maps/b@1", parents=["inputs/x@1"]))
    registry.push("maps/a", store.url)
    with pytest.raises(InputError, match="inputs/x@1 conflicts"):
        other.push("maps/b", store.url)
    with pytest.raises(InputError, match="inputs/x@1 conflicts"):
        other.pull("maps/a", store.url)


def test_what_is_not_there(registry, make, store):
    registry.add(*make("maps/a@1"))
    with pytest.raises(InputError, match="maps/a is not at"):
        registry.pull("maps/a", store.url)
    registry.push("maps/a", store.url)
    with pytest.raises(InputError, match=r"version of maps/a.*12.*known: 1"):
        registry.pull("maps/a@12", store.url)
    with pytest.raises(InputError, match="unknown artifact"):
        registry.push("maps/b", store.url)
    with pytest.raises(InputError, match="own folder"):
        registry.push("maps/a", str(registry.home))


def test_the_newest_there_is_pulled(registry, other, make, store):
    for version, created in (("2", "2026-03-01"), ("10", "2026-02-01")):
        registry.add(*make(f"maps/a@{version}", created=created))
        registry.push(f"maps/a@{version}", store.url)
    assert other.pull("maps/a", store.url).version == "2"


def overwrite(store, file, contents):
    store._fs.pipe_file(store.place_of(file), contents)


@pytest.mark.parametrize("how", ["tampered", "truncated", "empty", "longer", "gone"])
def test_a_damaged_file_there_is_refused(registry, other, make, store, how):
    contents = os.urandom(1000)
    made, local = make("maps/a@1", files={"a.bin": contents, "b.bin": b"b"})
    registry.add(made, local)
    registry.push("maps/a", store.url)
    file = made.file("a.bin")
    if how == "gone":
        store._fs.rm_file(store.place_of(file))
    else:
        new = {"tampered": b"X" + contents[1:], "truncated": contents[:-1], "empty": b""}
        overwrite(store, file, new.get(how, contents + b"X"))
    if how == "longer":  # what is meant is whole
        other.pull("maps/a", store.url)
        assert other.verify() == []
        return
    with pytest.raises(InputError, match=r"maps/a@1: a\.bin.*" + store.url):
        other.pull("maps/a", store.url)
    assert other.count() == 0
    assert other.store.partial_files() == {}
    assert not other.store.has_file(file)
    overwrite(store, file, contents)
    other.pull("maps/a", store.url)
    assert other.verify() == []


def test_an_interrupted_pull_goes_on(registry, other, make, store, monkeypatch):
    contents = os.urandom(10_000)
    made, local = make("maps/a@1", files={"a.bin": contents})
    registry.add(made, local)
    registry.push("maps/a", store.url)
    monkeypatch.setattr("rfplatform.registry.fetching.RANGE_BYTES", 1000)

    def stop(_, done, __):
        if done == 4000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        other.pull("maps/a", store.url, progress=stop)
    assert other.count() == 0
    ((place, size),) = other.store.partial_files().items()
    assert (place, size) == (f"partial/{made.files[0].sha256}.part", 4000)
    done = []
    other.pull("maps/a", store.url, progress=lambda _, n, __: done.append(n))
    assert done == [0, *range(5000, 11_000, 1000), 10_000]
    assert other.verify() == []
    assert other.store.partial_files() == {}


@pytest.mark.parametrize("left", [b"wrong" * 100, b"x" * 20_000])
def test_a_wrong_beginning_is_fetched_anew(registry, other, make, tmp_path, left):
    contents = os.urandom(10_000)
    made, local = make("maps/a@1", files={"a.bin": contents})
    registry.add(made, local)
    registry.push("maps/a", str(tmp_path / "remote"))
    part = other.home / "partial" / f"{made.files[0].sha256}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    other.pull("maps/a", str(tmp_path / "remote"))
    assert other.verify() == []


def test_an_interrupted_push_goes_on(registry, make, store, monkeypatch):
    registry.add(*make("maps/a@1", files={"a.bin": "a", "b.bin": "b", "c.bin": "c"}))
    put, sent = Store.put_file, []

    def failing(self, local, file=None):
        if len(sent) == 2:
            sent.append("failure")
            raise MissingError("the network is down")
        sent.append(file.path)
        return put(self, local, file)

    monkeypatch.setattr(Store, "put_file", failing)
    with pytest.raises(MissingError):
        registry.push("maps/a", store.url)
    assert len(store.stored_files()) == 2
    assert list(store.refs()) == []
    registry.push("maps/a", store.url)
    assert sent == ["a.bin", "b.bin", "failure", "c.bin"]
    assert list(store.refs()) == ["maps/a@1"]
    assert registry.verify(store=store) == []


def test_a_changed_file_is_not_pushed(registry, make, store):
    registry.add(*make("maps/a@1"))
    damage(registry.path("maps/a", "a.txt"), "tampered")
    with pytest.raises(InputError, match=r"maps/a@1: a\.txt"):
        registry.push("maps/a", store.url)
    assert store.stored_files() == {}
    assert list(store.refs()) == []


def test_a_pull_mends_what_is_damaged_at_home(registry, make, tmp_path):
    registry.add(*make("maps/a@1"))
    registry.push("maps/a", str(tmp_path / "remote"))
    damage(registry.path("maps/a", "a.txt"), "tampered")
    registry.pull("maps/a", str(tmp_path / "remote"))
    assert registry.verify() == []


# What may go


def test_gc_keeps_what_was_kept_and_all_it_came_from(city, make):
    assert city.gc(older_than_s=-60).artifacts == 0
    city.add(*make("maps/lonely@1", files={"a.txt": "lonely!", "b.txt": "contents of maps/a@1"}))
    told = city.gc(["maps/lonely"], dry_run=True)
    assert (told.artifacts, told.files, told.size_bytes, told.dry_run) == (1, 1, 7, True)
    assert city.entry("maps/lonely").kept
    done = city.gc(["maps/lonely"])
    assert (done.artifacts, done.files, done.size_bytes, done.dry_run) == (1, 1, 7, False)
    assert not city.has("maps/lonely")
    assert city.verify() == []
    assert city.count() == 5


def test_what_something_kept_needs_is_not_dropped(city):
    done = city.gc(["inputs/city", "maps/a@1"])
    assert done.needed_by == {"inputs/city@1": ("models/m@1",), "maps/a@1": ("models/m@1",)}
    assert done.artifacts == 0
    done = city.gc(["models/m", "inputs/city"])
    assert (done.artifacts, done.files, done.needed_by) == (5, 5, {})
    assert city.count() == 0
    assert city.store.stored_files() == {}
    with city.index.reading() as db:
        for table in ("refs", "artifacts", "bodies", "parents", "files"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_what_is_to_be_dropped_must_be_known_and_one(registry, make):
    registry.add(*make("maps/a@1"))
    registry.add(*make("maps/a@2"))
    with pytest.raises(InputError, match="which version"):
        registry.gc(["maps/a"])
    with pytest.raises(InputError, match="unknown"):
        registry.gc(["maps/a@1", "maps/a@3"])
    assert registry.count() == 2


def test_recorded_artifacts_lose_their_row_alone(registry, make, tmp_path):
    store = out_with(tmp_path, make, "maps/a@1", "maps/b@1")
    registry.record([store.artifact("maps/a@1")], store.url)
    registry.record([store.artifact("maps/b@1")], store.url, kept=True)
    done = registry.gc()
    assert (done.artifacts, done.files) == (1, 0)
    assert [e.ref for e in registry.entries()] == ["maps/b@1"]
    assert len(store.stored_files()) == 2
    assert registry.gc(store=store).files == 0
    with pytest.raises(InputError, match="from the registry"):
        registry.gc(["maps/b"], store=store)


def test_orphans_and_leftovers_go_when_they_are_old(registry, make, tmp_path):
    registry.add(*make("maps/a@1"))
    orphan = tmp_path / "orphan.txt"
    orphan.write_text("orphan")
    place = Path(registry.store.place_of(registry.store.put_file(orphan)))
    left = registry.home / "partial" / "left"
    left.write_text("half")
    assert registry.gc().files == 0
    for path in (place, left):
        os.utime(path, (time.time() - 7200,) * 2)
    assert registry.gc(dry_run=True).files == 2
    done = registry.gc()
    assert (done.files, done.size_bytes) == (2, 10)
    assert not place.exists()
    assert not left.exists()
    assert registry.verify() == []


def test_a_lost_file_is_named_though_something_was_made_from_it(registry, make, tmp_path):
    store = out_with(tmp_path, make, "inputs/x@1")
    store.put_artifact(Artifact("maps/a", "1", "radio-map", parents=("inputs/x@1",)))
    assert registry.verify(store=store) == []
    Path(store.place_of(store.artifact("inputs/x@1").files[0])).unlink()
    assert [(f.ref, f.problem) for f in registry.verify(store=store)] == [("inputs/x@1", "missing")]


def test_copies_in_the_cache_go_when_they_are_not_used(registry, tmp_path):
    cache, local = registry.cache, tmp_path / "x"
    ages_d = {"old": 31, "used": 29}
    for name, age_d in ages_d.items():
        local.write_text(name)
        file = cache.put_file(local)
        cache.put_object(f"folders/{name}/sub/x", local)
        for place in (Path(cache.place_of(file)), Path(cache.url, "folders", name, "sub/x")):
            os.utime(place, (time.time() - 86_400 * age_d,) * 2)
    left = Path(cache.url, "partial", "left")
    left.write_text("half")
    os.utime(left, (time.time() - 7200,) * 2)
    told = registry.gc(dry_run=True)
    assert (told.files, told.size_bytes) == (3, 10)
    done = registry.gc()
    assert (done.files, done.size_bytes) == (3, 10)
    assert sorted(p.name for p in Path(cache.url, "folders").iterdir()) == ["used"]
    assert len(cache.stored_files()) == 1
    assert cache.partial_files() == {}
    assert not registry.index.path.exists()
    assert registry.gc().files == 0


@pytest.mark.parametrize("way", ["add", "pull"])
def test_a_file_that_goes_before_it_is_named_is_put_again(registry, make, tmp_path, way):
    text = {"a.txt": "shared"}
    registry.add(*make("maps/old@1", files=text), kept=False)
    new, local = make("maps/new@1", files=text)
    remote = Store(str(tmp_path / "remote"))
    remote.put_file(local["a.txt"], new.files[0])
    remote.put_artifact(new)
    settle, cleaned = Registry.settle, []

    def with_a_cleaning_in_between(self, files, put, write):
        def put_and_clean(file):
            put(file)  # it is there: the old one's
            if not cleaned:
                cleaned.append(self.gc())  # the old one goes, and its file

        return settle(self, files, put_and_clean, write)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "settle", with_a_cleaning_in_between)
        if way == "add":
            registry.add(new, local)
        else:
            registry.pull("maps/new", remote.url)
    assert [(c.artifacts, c.files) for c in cleaned] == [(1, 1)]
    assert registry.verify() == []
    assert registry.path("maps/new", "a.txt").read_text() == "shared"


def test_what_is_not_ours_below_files_stays(registry, make):
    registry.add(*make("maps/a@1"))
    foreign = registry.home / "files" / "README"
    foreign.write_text("by hand")
    assert registry.gc(older_than_s=-60).files == 0
    assert foreign.exists()
