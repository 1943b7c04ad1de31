from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from rfplatform.errors import InputError
from ui.routes_lib import library_routes, library_url

CHROMIUM = Path("/usr/bin/chromium")
BOUNDS = (24.93, 60.16, 24.95, 60.17)


# ------------------------------------------------------------------------------ the Python side


def _draw() -> None:
    import streamlit as st

    from ui.components.map import Background, Camera, Overlay, SectorMarker, SiteMarker, map_view

    event = map_view(
        key="plan",
        background=Background(
            "/areas/a/background.geojson", "/areas/a/buildings.geojson", (1, 2, 3, 4)
        ),
        overlays=[
            Overlay("/tiles/previews/p/ss_rsrp_dbm/{z}/{x}/{y}.png", title=str(i)) for i in range(3)
        ],
        sites=[SiteMarker("Torni", 24.94, 60.17, (SectorMarker("1", 120.0),))],
        selected=("Torni", "1"),
        camera=Camera(24.94, 60.17, 15.0),
    )
    st.text(f"event {event}")


def _sent(app: AppTest) -> dict[str, Any]:
    [component] = app.get("bidi_component")
    return json.loads(component.proto.json)


def test_what_is_sent_is_small_and_complete():
    app = AppTest.from_function(_draw, default_timeout=30).run()
    assert not app.exception
    [component] = app.get("bidi_component")
    assert component.proto.ByteSize() < 3000
    data = _sent(app)
    assert data["sites"][0]["sectors"][0]["azimuth_deg"] == 120.0
    assert len(data["overlays"]) == 2  # a third has no room
    assert data["background"]["bounds"] == [1, 2, 3, 4]
    assert data["points"] is None
    assert data["selected"] == ["Torni", "1"]
    assert app.text[0].value == "event None"


def test_an_event_is_told_once(monkeypatch):
    import streamlit as st

    from ui.components import map as component

    state: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", state)
    told = {"kind": "box", "serial": 5, "bounds": [1, 2, 3, 4]}
    assert component._new_event("plan", told) == component.MapEvent("box", 5, bounds=(1, 2, 3, 4))
    assert component._new_event("plan", told) is None
    assert component._new_event("plan", None) is None
    later = component._new_event("plan", {"kind": "click", "serial": 6, "lon": 1.5, "lat": 2.5})
    assert (later.lon, later.lat, later.bounds) == (1.5, 2.5, None)
    assert component.camera_of("plan") is None
    state["plan"] = {"view": {"lon": 1.0, "lat": 2.0, "zoom": 3.0, "bearing": 0.0, "pitch": 0.0}}
    assert component.camera_of("plan") == component.Camera(1.0, 2.0, 3.0)


def test_no_text_becomes_markup_and_no_other_host_is_asked():
    folder = Path(library_routes.__code__.co_filename).parent / "components/map"
    source = "".join(path.read_text() for path in folder.glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write", source)
    hosts = set(re.findall(r"https?://([^/\"'`]+)", source))
    assert hosts == {"www.w3.org", "www.openstreetmap.org"}  # a namespace, and the licence's link


# --------------------------------------------------------------------------------- in a browser

SCRIPT = f"""
import streamlit as st
from ui.components.map import Background, Overlay, SectorMarker, SiteMarker, map_view

sites = st.session_state.setdefault("sites", {{"<b>A</b>": (24.94, 60.165)}})
layer = st.session_state.setdefault("layer", "one")
event = map_view(
    key="plan",
    background=Background("/geo/background.geojson", "/geo/buildings.geojson", {BOUNDS}),
    overlays=[Overlay(f"/tiles/{{layer}}/{{{{z}}}}/{{{{x}}}}/{{{{y}}}}.png", {BOUNDS})],
    sites=[
        SiteMarker(name, *at, (SectorMarker("1", 90.0, "#c03"),), movable=True)
        for name, at in sites.items()
    ],
    height=500,
)
if event:
    st.session_state.last = event
    if event.kind == "move":
        sites[event.site] = (event.lon, event.lat)
    if event.kind == "click":
        st.session_state.layer = "two"
    st.rerun()
last = st.session_state.get("last")
if last:
    st.text(f"EVENT {{last.kind}} {{last.site}} {{last.lon!r}} {{last.lat!r}}")
"""

SERVER = """
import io
import sys
from PIL import Image
from streamlit.starlette import App
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from ui.routes_lib import library_routes

png = io.BytesIO()
Image.new("RGBA", (512, 512), "#08f").save(png, "PNG")
EMPTY = {"type": "FeatureCollection", "features": []}
routes = [
    Route("/geo/{name}", lambda request: JSONResponse(EMPTY)),
    Route("/tiles/{layer}/{z}/{x}/{y}", lambda request: Response(png.getvalue())),
    *library_routes(),
]
App(sys.argv[1], routes=routes).run(config={
    "server.address": "127.0.0.1", "server.port": int(sys.argv[2]), "server.headless": True,
    "browser.gatherUsageStats": False, "server.fileWatcherType": "none",
})
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    tmp_path = tmp_path_factory.mktemp("app")
    (tmp_path / "app.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(tmp_path / "app.py"), str(port)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        env={"PYTHONPATH": str(root), "HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
                    break
                except OSError:
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture
def page(address) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"no {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 640})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        browser.close()
    abroad = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert not abroad


def _get(url: str, **headers: str) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_libraries_are_kept_by_the_browser(address):
    for name in ("maplibre-gl.js", "maplibre-gl.css", "map.js", "pane.js", "map.css"):
        status, headers, body = _get(address + library_url(name))
        assert status == 200
        assert body
        assert "immutable" in headers["cache-control"]
        status, again, body = _get(f"{address}/lib/{name}", **{"If-None-Match": headers["etag"]})
        assert (status, again["cache-control"], body) == (304, "no-cache", b"")
    for name in ("pywidget.js", "..%2f__init__.py", "__init__.py"):
        assert _get(f"{address}/lib/{name}")[0] in (400, 404)
    assert library_url("map.js", "/rf").startswith("/rf/lib/map.js?v=")
    with pytest.raises(InputError, match="no library"):
        library_url("other.js")


READY = '.rf-map[data-key="plan"][data-ready="true"]'


def _told(page: Any, kind: str) -> list[str]:
    page.wait_for_function(
        "kind => document.body.innerText.includes(`EVENT ${kind}`)", arg=kind, timeout=15000
    )
    return page.get_by_text(f"EVENT {kind}").inner_text().split()[-2:]


def test_a_click_and_a_dragged_site_in_a_browser(page):
    page.wait_for_selector(READY, timeout=30000)
    page.evaluate("window.__first = window.__rfMaps.plan")
    canvas = page.locator(".rf-map canvas").bounding_box()
    assert page.locator(".rf-site-name").inner_text() == "<b>A</b>"  # text, not markup
    assert page.locator(".rf-attribution").inner_text().startswith("© OpenStreetMap")

    # A click tells exactly where it was, and another radio map takes the first one's place.
    expected = page.evaluate("window.__rfMaps.plan.unproject([200, 150])")
    page.mouse.click(canvas["x"] + 200, canvas["y"] + 150)
    lon, lat = _told(page, "click")
    assert float(lon) == pytest.approx(expected["lng"], abs=1e-9)
    assert float(lat) == pytest.approx(expected["lat"], abs=1e-9)
    assert page.locator(".rf-pin").count() == 1
    page.wait_for_selector(READY + '[data-overlay^="/tiles/two/"]', timeout=15000)

    # A site is dragged by 60, 40 pixels.
    expected = page.evaluate(
        "(() => { const m = window.__rfMaps.plan; const p = m.project([24.94, 60.165]);"
        " return m.unproject([p.x + 60, p.y + 40]) })()"
    )
    handle = page.locator(".rf-site").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y + 10)
    page.mouse.move(x + 60, y + 40)
    page.mouse.up()
    lon, lat = _told(page, "move")
    assert float(lon) == pytest.approx(expected["lng"], abs=1e-6)
    assert float(lat) == pytest.approx(expected["lat"], abs=1e-6)

    # An arrow key moves it by 5 m, here to the north.
    page.locator(".rf-site").focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function("lat => !document.body.innerText.includes(lat)", arg=lat, timeout=15000)
    north = (float(_told(page, "move")[1]) - float(lat)) * 111195
    assert north == pytest.approx(5.0, abs=0.01)

    # Reruns kept the map.
    assert page.evaluate("window.__first === window.__rfMaps.plan")
