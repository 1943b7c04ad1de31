"""What is served beside the pages, asked for as a browser or a stranger would."""

import asyncio
import io
import json
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware

from pipelines.desk.workspace import Workspace, write_json_file
from rfplatform.formats.display import ABOUT, write_display
from rfplatform.formats.tiles import FAINT_RGBA
from rfplatform.frame import Frame
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid, RadioMap, Sector
from ui.routes import routes
from ui.server import SecurityHeaders

NAME = "0123456789abcdef0123"
TILE = "16/37310/18969"
"""That holds the map's middle."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self):
        return self.body.decode()


class Client:
    """Asks an ASGI app without a server, as one would: a path is decoded, a query is not."""

    def __init__(self, app):
        self._app = app

    def get(self, url, method="GET", **headers):
        return asyncio.run(self._get(url, method, headers))

    async def _get(self, url, method, headers):
        split = urlsplit(url)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": unquote(split.path), "raw_path": split.path.encode(),
            "query_string": split.query.encode(), "root_path": "", "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8501),
            "headers": [
                (name.replace("_", "-").encode(), value.encode("latin-1"))
                for name, value in headers.items()
            ],
        }  # fmt: skip
        told, asked = [], []

        async def receive():
            if asked:
                await asyncio.Event().wait()  # As a client that stays: it says nothing more.
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            told.append(message)

        await self._app(scope, receive, send)
        pairs = [(name.decode(), value.decode()) for name, value in told[0]["headers"]]
        assert len({name for name, _ in pairs}) == len(pairs), pairs
        body = b"".join(message.get("body", b"") for message in told[1:])
        return Answer(told[0]["status"], dict(pairs), body)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
    grid = Grid(Frame("EPSG:32635", 386_300.0, 6_672_100.0), -200.0, -200.0, 4.0, 100, 100)
    levels = np.random.default_rng(0).uniform(-110, -60, (1, 100, 100)).astype(np.float32)
    radio_map = RadioMap(
        grid, (Sector("A", "1", 0, 0, 30),), levels, None, np.ones((100, 100), bool)
    )
    for folder in (workspace.previews / NAME, workspace.jobs / "job-1" / "display"):
        folder.mkdir(parents=True)
        write_display(radio_map, planning_layers(radio_map), folder)
    area = workspace.areas / "area1"
    area.mkdir()
    for name in ("background", "buildings", "points"):
        write_json_file({"type": "FeatureCollection", "features": [], "of": name},
                        area / f"{name}.geojson")  # fmt: skip
    (area / "area.json").write_text("{}")
    write_json_file({"type": "FeatureCollection"}, workspace.previews / NAME / "points.geojson")
    (workspace.root / "secret.geojson").write_text("secret")
    return workspace


@pytest.fixture(scope="module")
def client(workspace):
    return Client(Starlette(routes=routes(workspace), middleware=[Middleware(SecurityHeaders)]))


def rgba(body):
    return np.array(Image.open(io.BytesIO(body)).convert("RGBA"))


def is_refused(answer, workspace):
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert 0 < len(answer.text) < 300
    assert "\n" not in answer.text
    assert str(workspace.root) not in answer.text
    assert "Traceback" not in answer.text
    assert "secret" not in answer.text


# ------------------------------------------------------------------------------------------- tiles


@pytest.mark.parametrize("place", [f"previews/{NAME}", "jobs/job-1"])
@pytest.mark.parametrize("layer", ["ss_rsrp_dbm", "best_server", "sector:0", "sector%3A0"])
def test_a_tile(client, place, layer):
    answer = client.get(f"/tiles/{place}/{layer}/{TILE}.png")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert "private" in answer.headers["cache-control"]
    image = rgba(answer.body)
    assert image.shape == (512, 512, 4)
    assert (image[..., 3] == 255).any()


def test_a_threshold_of_a_tile(client):
    url = f"/tiles/previews/{NAME}/ss_rsrp_dbm/{TILE}.png"
    whole, part = client.get(url), client.get(f"{url}?threshold=-75")
    assert whole.headers["etag"] != part.headers["etag"]
    was, now = rgba(whole.body), rgba(part.body)
    changed = (was != now).any(axis=-1)
    assert changed.any()
    assert (now[changed] == FAINT_RGBA).all()


def test_a_tile_that_is_known_is_not_sent_again(client, workspace):
    url = f"/tiles/previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold=-90"
    etag = client.get(url).headers["etag"]
    assert re.fullmatch(r'"[^"]+"', etag)
    again = client.get(url, if_none_match=etag)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == etag
    assert "content-security-policy" in again.headers
    assert client.get(url, if_none_match='"other"').status == 200
    about = workspace.previews / NAME / ABOUT
    about.write_text(about.read_text())
    assert client.get(url, if_none_match=etag).status == 200


def test_far_away_a_tile_is_empty(client):
    answer = client.get(f"/tiles/previews/{NAME}/ss_rsrp_dbm/1/0/1.png")
    assert answer.status == 200
    assert not rgba(answer.body)[..., 3].any()


@pytest.mark.parametrize(
    "path",
    [
        f"previews/{NAME}/nope/{TILE}.png",
        f"previews/{NAME}/outdoor/{TILE}.png",
        f"previews/{NAME}/sector:1/{TILE}.png",
        f"previews/{NAME}/sector:-1/{TILE}.png",
        f"previews/{NAME}/%0D%0Aset-cookie:x/{TILE}.png",
        f"previews/{NAME}/<script>/{TILE}.png",
        f"previews/{NAME}/%E2%82%AC/{TILE}.png",
        f"previews/{NAME}/ss_rsrp_dbm/3/8/0.png",
        f"previews/{NAME}/ss_rsrp_dbm/99/0/0.png",
        f"previews/{NAME}/ss_rsrp_dbm/{'9' * 60}/0/0.png",
        f"previews/{NAME}/ss_rsrp_dbm/3/{'9' * 60}/0.png",
        f"previews/gone/ss_rsrp_dbm/{TILE}.png",
        f"previews/../ss_rsrp_dbm/{TILE}.png",
        f"previews/../../etc/ss_rsrp_dbm/{TILE}.png",
        f"previews/..%2F..%2Fetc/ss_rsrp_dbm/{TILE}.png",
        f"previews/.{NAME}/ss_rsrp_dbm/{TILE}.png",
        f"previews/{NAME}%00/ss_rsrp_dbm/{TILE}.png",
        f"previews/{NAME}%0A/ss_rsrp_dbm/{TILE}.png",
        f"previews/{NAME.upper()}/ss_rsrp_dbm/{TILE}.png",
        f"previews/{'a' * 5000}/ss_rsrp_dbm/{TILE}.png",
        f"jobs/gone/ss_rsrp_dbm/{TILE}.png",
        f"jobs/%2e%2e/ss_rsrp_dbm/{TILE}.png",
        f"drafts/{NAME}/ss_rsrp_dbm/{TILE}.png",
        f"..%5C..%5C/{NAME}/ss_rsrp_dbm/{TILE}.png",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold=high",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold=",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold=nan",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold=-inf",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold=1e999",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.png?threshold={'1' * 3000}",
        f"previews/{NAME}/ss_rsrp_dbm/-1/0/0.png",
        f"previews/{NAME}/ss_rsrp_dbm/1.5/0/0.png",
        f"previews/{NAME}/ss_rsrp_dbm/a/b/c.png",
        f"previews/{NAME}/ss_rsrp_dbm/{TILE}.jpg",
        "",
    ],
)
def test_there_is_no_such_tile(client, workspace, path):
    is_refused(client.get(f"/tiles/{path}"), workspace)


# ----------------------------------------------------------------------------------------- an area


def test_what_is_drawn_of_an_area(client):
    for name in ("background", "buildings"):
        answer = client.get(f"/areas/area1/{name}.geojson")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("application/geo+json")
        assert json.loads(answer.body)["of"] == name
        again = client.get(f"/areas/area1/{name}.geojson", if_none_match=answer.headers["etag"])
        assert (again.status, again.body) == (304, b"")
    answer = client.get(f"/points/{NAME}.geojson")
    assert json.loads(answer.body) == {"type": "FeatureCollection"}


def test_a_changed_file_is_sent_again(client, workspace):
    path = workspace.areas / "area1" / "buildings.geojson"
    before = client.get("/areas/area1/buildings.geojson").headers["etag"]
    path.write_text(path.read_text() + " ")
    after = client.get("/areas/area1/buildings.geojson", if_none_match=before)
    assert after.status == 200
    assert after.headers["etag"] != before


@pytest.mark.parametrize(
    "path",
    [
        "areas/area1/area.geojson",
        "areas/area1/area.json",
        "areas/area1/..%2Farea1%2Fbuildings.geojson",
        "areas/../secret.geojson",
        "areas/..%2F../secret.geojson",
        "areas/%2e%2e/secret.geojson",
        "areas/../../etc/passwd",
        "areas/gone/buildings.geojson",
        "areas//buildings.geojson",
        "areas/area1/%3Cscript%3E.geojson",
        "points/gone.geojson",
        "points/..%2Fsecret.geojson",
        "points/...geojson",
    ],
)
def test_there_is_no_such_file(client, workspace, path):
    is_refused(client.get(f"/{path}"), workspace)


# ---------------------------------------------------------------------------------- all the others


def test_nothing_can_be_written(client):
    for method in ("POST", "PUT", "DELETE"):
        for path in (
            f"tiles/previews/{NAME}/ss_rsrp_dbm/{TILE}.png",
            "areas/area1/buildings.geojson",
        ):
            assert client.get(f"/{path}", method).status == 405
    head = client.get("/areas/area1/background.geojson", "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_libraries_come_from_here(client):
    answer = client.get("/lib/map.js")
    assert answer.status == 200
    assert client.get("/lib/other.js").status == 404


def test_every_answer_has_the_security_headers(client):
    for path in (f"tiles/previews/{NAME}/ss_rsrp_dbm/{TILE}.png", "areas/area1/background.geojson",
                 "lib/map.js", "lib/map.css", "tiles/x", "gone"):  # fmt: skip
        headers = client.get(f"/{path}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["object-src"] == "'none'"
        for sources in policy.values():
            assert "http" not in sources
            assert "*" not in sources


def test_under_a_path_of_a_proxy(workspace):
    client = Client(Starlette(routes=routes(workspace, "/rf")))
    for path in (f"tiles/previews/{NAME}/ss_rsrp_dbm/{TILE}.png", "areas/area1/background.geojson",
                 "lib/map.js", f"points/{NAME}.geojson"):  # fmt: skip
        assert client.get(f"/rf/{path}").status == 200
        assert client.get(f"/{path}").status == 404
