import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import shapely

from rfplatform.errors import InputError, MissingError
from rfplatform.geodata.online import OsmServers, download_buildings, download_features
from rfplatform.scene import Area

BOX = Area("box", 24.94, 60.16, 24.95, 60.17)
OUTLINE = shapely.geometry.mapping(shapely.box(24.94, 60.16, 24.95, 60.17))
PLACE = {
    "lat": "60.165",
    "lon": "24.945",
    "importance": 0.5,
    "boundingbox": ["60.16", "60.17", "24.94", "24.95"],
    "geojson": OUTLINE,
    "name": "Kluuvi",
}


def square(first_node, way, west, south, size=0.001, tags=None):
    east, north = west + size, south + size
    corners = [(west, south), (east, south), (east, north), (west, north)]
    nodes = [
        {"type": "node", "id": first_node + i, "lon": lon, "lat": lat}
        for i, (lon, lat) in enumerate(corners)
    ]
    refs = [*(node["id"] for node in nodes), first_node]
    return [*nodes, {"type": "way", "id": way, "nodes": refs, "tags": tags or {}}]


ELEMENTS = [
    *square(1, 10, 24.941, 60.161, tags={"building": "yes", "height": "12", "osm_id": "odd"}),
    # Half of it lies outside the box.
    *square(11, 20, 24.9495, 60.161, tags={"building:part": "yes", "min_height": "4"}),
    # Beyond the box.
    *square(21, 30, 24.97, 60.161, tags={"building": "yes"}),
    *square(31, 40, 24.945, 60.165, size=0.003),
    *square(41, 50, 24.946, 60.166),
    {
        "type": "relation",
        "id": 60,
        "tags": {"type": "multipolygon", "building": "office", "building:levels": "7"},
        "members": [
            {"type": "way", "ref": 40, "role": "outer"},
            {"type": "way", "ref": 50, "role": "inner"},
        ],
    },
    {"type": "node", "id": 99, "lon": 24.942, "lat": 60.162, "tags": {"building": "entrance"}},
]


@contextmanager
def playing(**answers):
    """A server on this machine that answers as told, and the questions that it was asked.

    The answers may change while it runs: overpass and nominatim (JSON, or bytes), status.
    """
    told = SimpleNamespace(
        **{"overpass": None, "nominatim": None, "status": 200} | answers, asked=[]
    )

    class Handler(BaseHTTPRequestHandler):
        def answer(self, answer):
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            told.asked.append((self.path, self.headers["User-Agent"]))
            self.answer(told.nominatim)

        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            told.asked.append((parse_qs(text)["data"][0], self.headers["User-Agent"]))
            self.answer(told.overpass)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", told
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def servers(tmp_path, monkeypatch):
    # Nominatim's customers wait a second before they ask; this server doesn't mind.
    monkeypatch.setattr("time.sleep", lambda _: None)

    def at(url, **changes):
        return OsmServers(f"{url}/api", f"{url}/", 2.0, 5.0, tmp_path / "cache", **changes)

    return at


def test_a_box_becomes_buildings_with_their_tags(servers):
    with playing(overpass={"elements": ELEMENTS}) as (url, told):
        area, buildings = download_buildings(BOX, servers(url))
    assert area is BOX
    assert buildings.crs == "EPSG:4326"
    assert list(buildings["osm_id"]) == ["relation/60", "way/10", "way/20"]
    by_id = buildings.set_index("osm_id")
    assert by_id.loc["way/10", "height"] == "12"
    assert by_id.loc["way/20", "building:part"] == "yes"
    assert by_id.loc["way/20", "min_height"] == "4"
    assert by_id.loc["relation/60", "building:levels"] == "7"
    # What the border cuts is whole; a courtyard stays one.
    cut = by_id.loc["way/20", "geometry"]
    assert cut.bounds == pytest.approx((24.9495, 60.161, 24.9505, 60.162))
    assert by_id.loc["relation/60", "geometry"].area == pytest.approx(0.003**2 - 0.001**2)
    assert not by_id.loc["relation/60", "geometry"].contains(shapely.Point(24.9465, 60.1665))
    query, agent = told.asked[0]
    assert query.startswith("[out:json][timeout:5];")
    assert "['building']" in query
    assert "['building:part']" in query
    assert agent.startswith("rfplatform/")


def test_a_place_becomes_its_box(servers):
    with playing(overpass={"elements": ELEMENTS}, nominatim=[PLACE]) as (url, told):
        area, buildings = download_buildings("Kluuvi, Helsinki", servers(url))
    assert area == Area("Kluuvi, Helsinki", 24.94, 60.16, 24.95, 60.17)
    assert len(buildings) == 3
    assert parse_qs(urlsplit(told.asked[0][0]).query)["q"] == ["Kluuvi, Helsinki"]


def test_answers_are_kept_for_the_day_without_a_network(servers):
    with playing(overpass={"elements": ELEMENTS}, nominatim=[PLACE]) as (url, told):
        _, first = download_buildings("Kluuvi", servers(url))
        assert len(told.asked) == 2
    _, again = download_buildings("Kluuvi", servers(url))
    assert again.equals(first)


def test_a_box_without_buildings_is_empty_rather_than_wrong(servers):
    for elements in ([], ELEMENTS[-1:]):
        with playing(overpass={"elements": elements}) as (url, _):
            _, buildings = download_buildings(BOX, servers(url))
        assert len(buildings) == 0
        assert buildings.crs == "EPSG:4326"
        assert "osm_id" in buildings


def test_other_features_come_in_all_shapes(servers):
    street = {"type": "way", "id": 70, "nodes": [1, 3, 21], "tags": {"highway": "primary"}}
    park = square(51, 80, 24.943, 60.163, tags={"leisure": "park", "osm_id": "odd"})
    elements = [*ELEMENTS, *park, street]
    with playing(overpass={"elements": elements}) as (url, told):
        tags = {"highway": True, "leisure": ["park", "garden"]}
        found = download_features(BOX, tags, servers(url))
        assert len(told.asked) == 1
    assert found.crs == "EPSG:4326"
    assert list(found["osm_id"]) == ["way/70", "way/80"]
    assert list(found.geom_type) == ["LineString", "Polygon"]
    # It is whole where it leaves the box.
    assert found.geometry[0].coords[-1] == (24.97, 60.161)
    query = told.asked[0][0]
    for part in ("['highway']", "['leisure'='park']", "['leisure'='garden']"):
        assert part in query
    # The day without a network.
    assert download_features(BOX, tags, servers(url)).equals(found)


def test_other_features_are_refused_as_buildings_are(servers):
    wide_box = Area("wide", 24.0, 60.0, 25.0, 61.0)
    with playing(overpass={"elements": []}) as (url, told):
        assert len(download_features(BOX, {"highway": True}, servers(url))) == 0
        with pytest.raises(InputError, match="too large to download"):
            download_features(wide_box, {"highway": True}, servers(url))
        told.status = 429
        with pytest.raises(MissingError, match="busy"):
            download_features(BOX, {"leisure": True}, servers(url))
    with pytest.raises(MissingError, match="no network"):
        download_features(BOX, {"natural": True}, servers(url))


def test_settings_and_name_lookup_are_put_back(servers):
    from osmnx import settings

    def state():
        return {k: v for k, v in vars(settings).items() if not k.startswith("_")}

    before, getaddrinfo = state(), socket.getaddrinfo
    with (
        playing(overpass={"elements": []}, status=500) as (url, _),
        pytest.raises(MissingError),
    ):
        download_buildings(BOX, servers(url))
    assert state() == before
    assert socket.getaddrinfo is getaddrinfo


def refusal(error, place, servers):
    with pytest.raises(error) as caught:
        download_buildings(place, servers)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_place_is_the_user_s_to_mend(servers):
    with playing(nominatim=[]) as (url, _):
        assert "place 'Atlantis': not found" in refusal(InputError, "Atlantis", servers(url))


def test_a_place_without_an_outline_and_one_too_large(servers):
    point = PLACE | {"geojson": {"type": "Point", "coordinates": [24.9, 60.1]}}
    with playing(nominatim=[point]) as (url, _):
        assert "no outline" in refusal(InputError, "a tree", servers(url))
    wide = [[20.0, 60.0], [31.0, 60.0], [31.0, 70.0], [20.0, 60.0]]
    country = PLACE | {"geojson": {"type": "Polygon", "coordinates": [wide]}}
    with playing(nominatim=[country]) as (url, told):
        assert "too large to download" in refusal(InputError, "Finland", servers(url))
        assert len(told.asked) == 1
    wide_box = Area("wide", 24.0, 60.0, 25.0, 61.0)
    assert "too large to download" in refusal(InputError, wide_box, servers(url))


@pytest.mark.parametrize("status", [429, 504])
def test_a_busy_server_is_not_asked_for_ever(servers, status):
    with playing(overpass={}, status=status) as (url, told):
        assert f"busy (HTTP {status})" in refusal(MissingError, BOX, servers(url))
        assert len(told.asked) == 1


@pytest.mark.parametrize(
    ("overpass", "status", "message"),
    [
        ({"elements": ELEMENTS, "remark": "runtime error: timed out\nat 5"}, 200, "did not finish"),
        (b"<html>log in to this network</html>", 200, "can't be read"),
        ([], 200, "can't be read"),
        (b"no", 403, "refused (HTTP 403)"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_map(servers, overpass, status, message):
    with playing(overpass=overpass, status=status) as (url, told):
        assert message in refusal(MissingError, BOX, servers(url))
        # Nothing of it is taken for an answer the next time.
        told.overpass, told.status = {"elements": ELEMENTS}, 200
        assert len(download_buildings(BOX, servers(url))[1]) == 3


def test_nominatim_answering_nonsense_is_not_a_missing_place(servers):
    with playing(nominatim={"error": "sorry"}) as (url, _):
        assert "can't be read" in refusal(MissingError, "Kluuvi", servers(url))


@pytest.mark.parametrize("place", [BOX, "Kluuvi"])
def test_no_network_says_how_to_go_on(servers, monkeypatch, place):
    def unreachable(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unreachable)
    monkeypatch.setattr("osmnx._http._original_getaddrinfo", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    message = refusal(MissingError, place, servers("http://osm.invalid"))
    assert message.startswith("no network: the connection to osm.invalid failed; give a file")
    assert ".osm.pbf" in message
    assert ".gpkg" in message


def test_a_closed_port_is_no_network(servers):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "no network" in refusal(MissingError, BOX, servers(url))


def test_a_server_that_never_answers(servers, monkeypatch):
    def late(*_, **__):
        raise requests.exceptions.ReadTimeout

    monkeypatch.setattr(requests, "post", late)
    assert "did not answer in time" in refusal(MissingError, BOX, servers("http://127.0.0.1"))


def test_a_damaged_or_unusable_cache(servers, tmp_path):
    with playing(overpass={"elements": ELEMENTS}) as (url, _):
        download_buildings(BOX, servers(url))
        (kept,) = (tmp_path / "cache").iterdir()
        kept.write_text(kept.read_text()[:100])
        assert "is damaged; delete" in refusal(MissingError, BOX, servers(url))
        kept.unlink()
        (tmp_path / "cache").rmdir()
        (tmp_path / "cache").touch()
        assert "the cache can't be used" in refusal(MissingError, BOX, servers(url))


def test_the_cache_is_the_user_s():
    assert OsmServers().cache.name == "osm"
    assert "rfplatform" in OsmServers().cache.parts
