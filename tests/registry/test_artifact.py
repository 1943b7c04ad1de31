"""Names, hashes and records of artifacts."""

import hashlib
import json
from dataclasses import replace

import pytest

from rfplatform.errors import InputError
from rfplatform.registry.artifact import (
    LONGEST_NAME,
    Artifact,
    File,
    canonical_json,
    parse_ref,
)

SHA = "0" * 64
MAP = Artifact(
    "maps/monaco",
    "3f2a",
    "radio-map",
    (File("radio_map.tif", "ab" * 32, 7), File("map.json", "cd" * 32, 5, "https://a.org/map.json")),
    ("inputs/monaco@0123", "inputs/sites@4567"),
    title="Monaco",
    licence="ODbL-1.0",
    config={"resolution_m": 5.0},
    facts={"bounds_deg": [7.4, 43.7, 7.5, 43.8], "noise_db": None},
    run={"seconds": 2.5},
    created="2026-01-02T03:04:05+00:00",
)


def test_a_file_of_disk_has_its_hash_and_size(tmp_path):
    local = tmp_path / "a.bin"
    local.write_bytes(b"hello")
    known = hashlib.sha256(b"hello").hexdigest()
    assert File.of(local) == File("a.bin", known, 5)
    assert File.of(local, "sub/b.bin") == File("sub/b.bin", known, 5)
    assert File.of(local, "sub/b.bin").name == "b.bin"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../a", "a/../../b", "a/..", "a\\b", "C:a", "//host/share/a"),
        *(".", "./a", "a/", "a/.", "a//b", "a\0b", "a\nb", "\x7f"),
    ],
)
def test_a_file_stays_within_its_artifact(path):
    with pytest.raises(InputError, match="within its artifact"):
        File(path, SHA, 1)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "G" * 64, "A" * 64])
def test_a_hash_is_64_lower_case_hexadecimals(sha256):
    with pytest.raises(InputError, match="SHA-256"):
        File("a", sha256, 1)


def test_a_size_is_not_negative():
    with pytest.raises(InputError, match="-1"):
        File("a", SHA, -1)


@pytest.mark.parametrize("name", ["maps/monaco", "a", "inputs/a.osm_pbf-2", "a/b/c"])
def test_names(name):
    assert parse_ref(f"{name}@v1.0+x") == (name, "v1.0+x")
    assert parse_ref(name) == (name, None)


@pytest.mark.parametrize(
    "ref",
    [
        *("", "Maps/x@1", "/a@1", "a/@1", "a//b", "../a", "a/../b", "a b", ".a", "a-", "a@"),
        *(
            "a@b@c",
            "a@../x",
            "a@x/y",
            "a@.x",
            "x" * (LONGEST_NAME + 1),
            "a@" + "1" * (LONGEST_NAME + 1),
            "ä",
        ),
    ],
)
def test_what_is_no_name(ref):
    with pytest.raises(InputError):
        parse_ref(ref)


def test_files_are_sorted_and_counted():
    assert [f.path for f in MAP.files] == ["map.json", "radio_map.tif"]
    assert MAP.size_bytes == 12
    assert MAP.ref == "maps/monaco@3f2a"
    assert MAP.file("map.json").size_bytes == 5
    with pytest.raises(InputError, match=r"has no file 'map\.tif' .*map.json, radio_map.tif"):
        MAP.file("map.tif")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Maps"},
        {"version": "a b"},
        {"kind": "map"},
        {"parents": ("not a ref",)},
        {"files": (File("a", SHA, 1), File("a", "1" * 64, 1))},
    ],
)
def test_what_is_no_artifact(change):
    with pytest.raises(InputError):
        replace(MAP, **change)


def test_a_record_reads_back_as_it_was_written():
    read = Artifact.from_dict(json.loads(json.dumps(MAP.to_dict())))
    assert read.to_dict() == MAP.to_dict() | {"parents": read.parents}
    assert (read.files, read.parents, read.digest()) == (MAP.files, MAP.parents, MAP.digest())


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        None,
        {"files": []},
        MAP.to_dict() | {"colour": "red"},
        MAP.to_dict() | {"files": None},
        MAP.to_dict() | {"files": [{"path": "a"}]},
        MAP.to_dict() | {"files": [{"path": "a", "sha256": 5, "size_bytes": 1}]},
        MAP.to_dict() | {"version": 3},
        MAP.to_dict() | {"parents": [3]},
    ],
)
def test_what_is_no_record(values):
    with pytest.raises(InputError):
        Artifact.from_dict(values)


def test_the_digest_is_of_the_thing_and_not_of_its_making():
    assert replace(MAP, run={}, created="2030-01-01").digest() == MAP.digest()
    assert replace(MAP, files=MAP.files[::-1]).digest() == MAP.digest()
    moved = tuple(replace(file, url="file:///elsewhere") for file in MAP.files)
    assert replace(MAP, files=moved).digest() == MAP.digest()
    changes = [{"facts": {}}, {"config": {"resolution_m": 4.0}}, {"title": "x"}, {"version": "4"}]
    changes += [{"files": MAP.files[:1]}, {"parents": MAP.parents[::-1]}, {"licence": ""}]
    assert len({MAP.digest(), *(replace(MAP, **change).digest() for change in changes)}) == 8


def test_canonical_json_is_one_text():
    assert canonical_json({"b": 1, "a": [1.5, "ä"]}) == '{"a":[1.5,"ä"],"b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
