"""The list of public data, and downloads from a real server that cuts off, lies and dies."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.download import PublicFile, download, part_name
from rfplatform.registry.public import PublicData, fetch, find_public, read_public
from rfplatform.registry.registry import Registry

BODY = bytes(range(256)) * 8192  # 2 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = BODY[::-1]
LIST = Path(__file__).parents[2] / "data" / "registry.toml"


class Server(ThreadingHTTPServer):
    """Serves one body; `cut` bytes of a reply, `ranges` or none, and counts what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cut, self.ranges, self.length = BODY, None, True, True
        self.asked: list[str] = []

    def handle_error(self, *_: object) -> None: ...  # a client that has heard enough

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        body, begin = self.server.body, 0
        if self.path != "/data.bin":
            self.send_error(404)
            return
        if asked and self.server.ranges:
            begin = int(asked.removeprefix("bytes=").partition("-")[0])
            if begin >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.server.length:
            self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        self.wfile.write(body[begin:][: self.server.cut])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def public(url: str, **values: object) -> PublicFile:
    return PublicFile(
        **{"path": "data.bin", "url": url, "sha256": SHA256, "size_bytes": len(BODY)} | values
    )


def test_a_download_is_whole_and_tells_how_far_it_is(server, tmp_path):
    told = []
    part = tmp_path / "part"
    file = download(public(server.url), part, lambda *now: told.append(now))
    assert part.read_bytes() == BODY
    assert (file.sha256, file.size_bytes, file.url) == (SHA256, len(BODY), server.url)
    assert told[-1] == ("data.bin", len(BODY), len(BODY))
    assert [there for _, there, _ in told] == sorted(there for _, there, _ in told)


@pytest.mark.parametrize("length", [True, False])
def test_a_server_that_dies_midway_leaves_a_part_that_is_gone_on_with(server, tmp_path, length):
    part = tmp_path / "part"
    server.cut, server.length = 1_500_000, length
    with pytest.raises(MissingError, match=r"stopped after 1,\d+,\d+ of 2,097,152 bytes; fetch"):
        download(public(server.url), part)
    there = part.stat().st_size
    assert part.read_bytes() == BODY[:there]
    assert 1_500_000 - 2**16 < there <= 1_500_000
    server.cut = None
    assert download(public(server.url), part).sha256 == SHA256
    assert server.asked == ["", f"bytes={there}-"]
    assert part.read_bytes() == BODY


def test_a_server_without_ranges_starts_over(server, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(BODY[:700_000])
    server.ranges = False
    assert download(public(server.url), part).sha256 == SHA256
    assert part.read_bytes() == BODY


@pytest.mark.parametrize("begin", [OTHER[:700_000], OTHER], ids=["some", "all"])
def test_a_part_of_something_else_is_thrown_away(server, tmp_path, begin):
    part = tmp_path / "part"
    part.write_bytes(begin)
    assert download(public(server.url), part).sha256 == SHA256
    assert server.asked[-1] == ""


def test_a_part_longer_than_the_server_s_file_is_thrown_away(server, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(BODY + b"more")
    assert download(public(server.url, size_bytes=None), part).sha256 == SHA256
    assert server.asked == [f"bytes={len(BODY) + 4}-", ""]


def test_other_contents_are_refused_and_not_kept(server, tmp_path):
    part = tmp_path / "part"
    server.body = OTHER
    with pytest.raises(InputError, match=rf"SHA-256 is .*, not {SHA256[:12]}.* nothing of it"):
        download(public(server.url), part)
    assert not part.exists()


@pytest.mark.parametrize("length", [True, False])
def test_a_longer_file_is_refused_before_it_fills_the_disk(server, tmp_path, length):
    server.body, server.length = BODY * 4, length
    told = []
    with pytest.raises(InputError, match=r"8,388,608 bytes in place|more than 2,097,152 bytes"):
        download(public(server.url), tmp_path / "part", lambda *now: told.append(now))
    assert not (tmp_path / "part").exists()
    assert sum(size for _, size, _ in told[:1]) <= len(BODY)


def test_an_unpinned_file_is_taken_as_it_is_and_never_from_two_versions(server, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(OTHER[:100])
    file = download(public(server.url, sha256="", size_bytes=None), part)
    assert file.sha256 == SHA256
    assert server.asked == [""]


def test_what_is_not_there_and_who_can_t_be_reached_is_told_in_a_line(server, tmp_path):
    with pytest.raises(MissingError, match="the server says 404"):
        download(public(server.url + "x"), tmp_path / "part")
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(
        MissingError, match=r"127.0.0.1 can't be reached; is this machine online\?$"
    ):
        download(public(url), tmp_path / "part")
    assert not (tmp_path / "part").exists()
    (tmp_path / "part").write_bytes(BODY[:5])
    with pytest.raises(MissingError, match=r"\(5 of 2,097,152 bytes are kept from before\)"):
        download(public(url), tmp_path / "part")
    with pytest.raises(MissingError, match="is not there"):
        download(public((tmp_path / "none.bin").as_uri()), tmp_path / "other")


def test_a_file_url_is_read_and_gone_on_with(tmp_path):
    source, part = tmp_path / "source.bin", tmp_path / "part"
    source.write_bytes(BODY)
    part.write_bytes(BODY[:1000])
    assert download(public(source.as_uri()), part).sha256 == SHA256
    assert part.read_bytes() == BODY


def test_an_object_of_a_bucket_is_read_and_gone_on_with(s3_url, tmp_path):
    from fsspec.core import url_to_fs

    fs, place = url_to_fs(f"{s3_url}/data.bin")
    fs.pipe_file(place, BODY)
    part = tmp_path / "part"
    part.write_bytes(BODY[:700_000])
    assert download(public(f"{s3_url}/data.bin"), part).sha256 == SHA256
    assert download(public(f"{s3_url}/data.bin", sha256="", size_bytes=None), tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == BODY
    with pytest.raises(MissingError, match="is not there"):
        download(public(f"{s3_url}/none.bin"), tmp_path / "none")


def test_two_downloads_of_one_thing_do_not_mix(server, tmp_path):
    part, held, go = tmp_path / "part", threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        held.set()
        go.wait(10)

    first = threading.Thread(target=download, args=(public(server.url), part, wait))
    first.start()
    held.wait(10)
    with pytest.raises(MissingError, match="another process is downloading it"):
        download(public(server.url), part)
    go.set()
    first.join()
    assert part.read_bytes() == BODY


# The registry


def data(url: str, **values: object) -> PublicData:
    return PublicData(
        "some/data", "1", "dataset", "Some data", "MIT", files=(public(url),), **values
    )


def test_a_fetched_artifact_is_in_the_registry_and_nothing_partial_is_left(server, tmp_path):
    registry = Registry(tmp_path / "home")
    artifact = fetch(data(server.url, homepage="https://example.org"), registry)
    assert registry.path("some/data@1", "data.bin").read_bytes() == BODY
    assert artifact.licence == "MIT"
    assert artifact.facts == {"homepage": "https://example.org"}
    assert not [p for p in (tmp_path / "home" / "partial").rglob("*") if p.is_file()]
    assert fetch(data(server.url), registry).digest() == artifact.digest()
    assert len(server.asked) == 1


def test_a_fetch_that_was_cut_off_makes_no_artifact_and_is_gone_on_with(server, tmp_path):
    registry = Registry(tmp_path / "home")
    server.cut = 1_000_000
    with pytest.raises(MissingError, match="fetch again"):
        fetch(data(server.url), registry)
    assert not registry.has("some/data@1")
    there = (tmp_path / "home/partial" / part_name(public(server.url))).stat().st_size
    assert there > 900_000
    server.cut = None
    fetch(data(server.url), registry)
    assert server.asked[-1] == f"bytes={there}-"
    assert registry.verify("some/data@1") == []


def test_what_a_person_must_download_says_how(tmp_path):
    by_hand = PublicData(
        "hand", "1", "dataset", "By hand", "MIT", homepage="https://example.org", manual="Ask."
    )
    with pytest.raises(
        InputError, match=r"see https://example.org: Ask. Then run rfplatform registry add hand@1"
    ):
        fetch(by_hand, Registry(tmp_path))


# The list

ENTRY = """
[[artifact]]
name = "a"
version = "1"
kind = "dataset"
title = "A"
licence = "MIT"
"""
FILES = f'files = [{{ path = "a.bin", url = "https://example.org/a", sha256 = "{SHA256}" }}]\n'

SHIPPED = f'files = [{{ path = "a.bin", shipped = "a/b", sha256 = "{SHA256}" }}]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[artifact]", "no list of public data"),
        ("[other]", "must hold tables"),
        (ENTRY, r"artifact 1 \(a\): must have either files or manual"),
        (ENTRY.replace('title = "A"\n', "") + FILES, "lacks title"),
        (ENTRY.replace("dataset", "thing") + FILES, r"\(a\): kind 'thing'"),
        (ENTRY.replace('"a"', '"A"') + FILES, "name 'A'"),
        (ENTRY + "colour = 1\n" + FILES, "'colour' is unknown"),
        (ENTRY + 'manual = "Ask."\n', "needs the homepage"),
        (ENTRY + FILES.replace(f', sha256 = "{SHA256}"', ""), "'a.bin': lacks its sha256"),
        (ENTRY + FILES.replace(SHA256, "abc"), "is no SHA-256"),
        (ENTRY + FILES.replace("https:", "ftp:"), "must begin with https"),
        (ENTRY + FILES.replace("a.bin", "../a"), "within its artifact"),
        (ENTRY + SHIPPED.replace("a/b", "../b"), "within its artifact"),
        (ENTRY + SHIPPED.replace("a/b", "/b"), "within its artifact"),
        (ENTRY + FILES.replace("url = ", 'shipped = "a", url = '), "either url or shipped"),
        (ENTRY + FILES.replace(" }", ', size_bytes = "9" }'), "size_bytes must be"),
        (ENTRY + FILES + ENTRY + FILES, r"artifact 2 \(a\): a@1 is listed twice"),
    ],
)  # fmt: skip
def test_a_faulty_list_is_told_in_a_line(tmp_path, text, said):
    (tmp_path / "list.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_public(tmp_path / "list.toml")


def test_an_entry_is_found_by_its_name_and_a_near_miss_is_told(tmp_path):
    (tmp_path / "list.toml").write_text(
        ENTRY + FILES + ENTRY.replace('"1"', '"2"') + FILES, encoding="utf-8"
    )
    listed = read_public(tmp_path / "list.toml")
    assert find_public(listed, "a").version == "2"
    assert find_public(listed, "a@1").version == "1"
    with pytest.raises(InputError, match=r"has no version '3' .it has 1, 2."):
        find_public(listed, "a@3")
    with pytest.raises(InputError, match="did you mean a"):
        find_public(listed, "aa")


def test_the_list_that_ships_holds_and_what_comes_along_can_be_fetched(tmp_path):
    listed = read_public(LIST)
    registry = Registry(tmp_path / "home")
    shipped = [entry for entry in listed if entry.state == "shipped"]
    assert len(shipped) >= 3
    for entry in shipped:
        artifact = fetch(entry, registry)
        assert all(not f.url for f in artifact.files)  # no path of this machine
    assert registry.verify() == []
    for entry in listed:
        assert entry.licence
        assert entry.citation
        assert entry.schema
        assert entry.homepage.startswith("https://") or entry.made
        assert all(f.url.startswith("https://") for f in entry.files if not f.shipped)


def test_every_shipped_data_file_is_listed():
    listed = {f.url for entry in read_public(LIST) for f in entry.files if f.shipped}
    there = {
        path.as_uri()
        for folder in LIST.parent.iterdir()
        if folder.is_dir()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert listed == there
