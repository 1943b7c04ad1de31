"""How long somebody at the dashboard waits, and what comes over the wire, in a real browser.

The rival is what a day's work with Streamlit and pydeck gives: the same maps of the same solver,
sent to the browser as a picture in the page's own data, with the buildings as polygons beside it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.errors import MissingError, WorkerError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request
    from websockets.sync.client import ClientConnection

    from rfplatform.geodata.sites import SiteRow

MOVE_S = 0.5
"""From a dragged site to the new map on the screen, in 4 m cells."""

MOVES = 10
SESSIONS = 10
PERIOD_S = 5.0
"""Each of the other sessions moves a site as often."""

STARTS_WITHIN_S = 60.0
PATIENCE_MS = 90_000

_PACKAGES = ("playwright", "streamlit", "maplibre", "websockets")
_CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

_RIVAL_OPTIONS = (
    "--server.address=127.0.0.1",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--browser.gatherUsageStats=false",
)


@dataclass(frozen=True)
class Wait:
    """How long a browser waited, and what it was sent.

    Attributes
    ----------
    first_s : float
        From navigation to the first radio map on the screen. NaN: not of this case.
    first_bytes : float
        Until then.
    moves_s : tuple of float
        From each moved site to its map.
    move_bytes : float
        For one move, the median.
    is_alone : bool
        Whether the machine had nothing else to do.
    """

    first_s: float = math.nan
    first_bytes: float = math.nan
    moves_s: tuple[float, ...] = ()
    move_bytes: float = math.nan
    is_alone: bool = True

    def move_s(self, share: float) -> float:
        """What a share of the moves took at most."""
        ranked = sorted(self.moves_s)
        if share == 0.5:
            return median(ranked) if ranked else math.nan
        return ranked[math.ceil(share * len(ranked)) - 1] if ranked else math.nan


# ----------------------------------------------------------------------------------------------
# Servers
# ----------------------------------------------------------------------------------------------


class Meter(socketserver.ThreadingTCPServer):
    """A port that passes everything on to another, and counts what comes back.

    Unlike what the browser's own tools tell, it misses nothing: not the workers' requests, not the
    headers, not the frames of the WebSocket.

    Parameters
    ----------
    target : int
        The port that it is passed on to.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = target
        self.port = int(self.server_address[1])
        self.received_bytes = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that are open end with the server."""
        self.shutdown()
        self.server_close()


class _Passing(socketserver.BaseRequestHandler):
    """One connection."""

    server: Meter

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.target)) as far:
            forth = threading.Thread(target=_pass, args=(self.request, far), daemon=True)
            forth.start()
            for chunk in _chunks(far):
                self.server.received_bytes += len(chunk)
                self.request.sendall(chunk)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    while chunk := source.recv(1 << 16):
        yield chunk


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        for chunk in _chunks(source):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """A server in a process of its own, from its first answer on.

    Raises
    ------
    WorkerError
        It ended, or did not answer in time.
    """
    log = folder / "server.log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            list(command), cwd=folder, stdout=file, stderr=file, start_new_session=True
        ) as server,
    ):
        try:
            until = time.monotonic() + STARTS_WITHIN_S
            while not _answers(port):
                if server.poll() is not None or time.monotonic() > until:
                    words = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                    raise WorkerError(f"a server did not start; it said: {words[-1]}")
                time.sleep(0.1)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
        return True
    return False


# ----------------------------------------------------------------------------------------------
# The two apps
# ----------------------------------------------------------------------------------------------

# `__drawn`: when a new radio map was on the screen; `__moved`: when a site was let go. The map
# tells when a whole overlay has taken the old one's place, and the next frame shows it.
_OUR_CLOCK = """(() => {
    window.__drawn = []
    let last = ""
    const look = () => {
        const map = window.__rfMaps?.plan_map?.getContainer().closest(".rf-map")
        const overlay = map?.dataset.overlay
        if (overlay && overlay !== last) {
            last = overlay
            requestAnimationFrame(() => window.__drawn.push(performance.now()))
        }
        requestAnimationFrame(look)
    }
    look()
    addEventListener("pointerup", () => { window.__moved = performance.now() }, true)
})()"""

# deck.gl tells nobody: the picture's way into a texture does, and the next frame shows it.
_RIVAL_CLOCK = """(() => {
    window.__drawn = []
    const isMap = (value) => value?.width > 100 && value.height > 100
    for (const name of ["texImage2D", "texSubImage2D"]) {
        const upload = WebGL2RenderingContext.prototype[name]
        WebGL2RenderingContext.prototype[name] = function (...values) {
            if (values.some(isMap)) {
                requestAnimationFrame(() => window.__drawn.push(performance.now()))
            }
            return upload.apply(this, values)
        }
    }
    addEventListener("keydown", (event) => {
        if (event.key === "Enter") window.__moved = performance.now()
    }, true)
})()"""

_RIVAL = """
import base64
import io
from dataclasses import replace

import numpy as np
import pydeck as pdk
import streamlit as st
from PIL import Image

from rfplatform.formats.palette import Palette, shown_rss_dbm
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import BuiltIn, FileSource
from rfplatform.geodata.sites import place_sectors, read_sites
from rfplatform.propagation.empirical import TR38901UMa
from rfplatform.radiomap import Grid

if "warm" in st.query_params:
    st.write("ready")
    st.stop()

st.set_page_config(layout="wide")


@st.cache_resource
def city():
    scene = load_scene(FileSource(BuiltIn("helsinki").path(), "osm"))
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, 4.0)
    buildings = [
        {{
            "polygon": np.column_stack(
                scene.frame.to_lonlat(*np.asarray(building.footprint.exterior.coords).T[:2])
            ).round(6).tolist(),
            "height": building.top_m - building.base_m,
        }}
        for building in scene.buildings
    ]
    return scene, grid, buildings


@st.cache_data(max_entries=200)
def picture(lon_deg):
    scene, grid, _ = city()
    rows = list(read_sites({sites!r}))
    first = rows[0].site
    shift_deg = lon_deg - rows[0].lon_deg
    rows = [
        replace(row, lon_deg=row.lon_deg + shift_deg) if row.site == first else row for row in rows
    ]
    levels_dbm = shown_rss_dbm(TR38901UMa().load(None)(scene, place_sectors(rows, scene), grid))
    image = Image.fromarray(Palette.of(levels_dbm).rgba(levels_dbm)[::-1])
    body = io.BytesIO()
    image.save(body, "PNG")
    return "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()


lon_deg = st.number_input(
    "Longitude", value=float(st.query_params.get("lon", {lon_deg})), step=1e-5, format="%.6f"
)
scene, grid, buildings = city()
west, south = grid.x_m()[0] - 2.0, grid.y_m()[0] - 2.0
east, north = grid.x_m()[-1] + 2.0, grid.y_m()[-1] + 2.0
corners = scene.frame.to_lonlat(
    np.array([west, west, east, east]), np.array([south, north, north, south])
)
lon, lat = scene.area.center_deg
st.pydeck_chart(
    pdk.Deck(
        map_provider=None,
        initial_view_state=pdk.ViewState(longitude=lon, latitude=lat, zoom=14, pitch=30),
        layers=[
            pdk.Layer(
                "BitmapLayer",
                image='"' + picture(lon_deg) + '"',
                bounds=np.column_stack(corners).tolist(),
            ),
            pdk.Layer(
                "PolygonLayer",
                buildings,
                get_polygon="polygon",
                get_elevation="height",
                extruded=True,
                get_fill_color=[210, 205, 195, 160],
            ),
        ],
    ),
    height=600,
)
"""


@dataclass(eq=False)
class App:
    """What is common to the dashboard and its rival: a server, its meter, a browser.

    Attributes
    ----------
    browser : playwright.sync_api.Browser
    folder : Path
        Of the server's files.
    port : int
        Of the server.
    meter : Meter
        Through which the measured browser talks to it.
    warm_path : str
        A page that loads the libraries and no area.
    clock : str
        A script for the browser that notes when a map is drawn.
    """

    browser: Browser
    folder: Path
    port: int
    meter: Meter
    warm_path: str
    clock: str
    moved: int = 0
    tiles: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the meter."""
        return f"http://127.0.0.1:{self.meter.port}"

    def warm(self) -> None:
        """Have the server load its libraries."""
        context = self.browser.new_context()
        page = context.new_page()
        page.goto(f"{self.address}{self.warm_path}")
        self._idle(page)
        context.close()

    @contextmanager
    def visit(self) -> Iterator[tuple[Page, Wait]]:
        """Open the map in a browser that knows nothing; the page, and how long that took."""
        context = self.browser.new_context(viewport={"width": 1400, "height": 900})
        try:
            context.set_default_timeout(PATIENCE_MS)
            context.add_init_script(self.clock)
            page = context.new_page()
            page.on("request", self._asked)
            before = self.meter.received_bytes
            page.goto(self.address, wait_until="commit")
            page.wait_for_function("() => window.__drawn.length > 0")
            received = self.meter.received_bytes - before
            self._idle(page)
            yield page, Wait(page.evaluate("window.__drawn[0]") / 1e3, received)
        finally:
            context.close()

    def moves(self, page: Page) -> Wait:
        """Move a site again and again, each time from when the page has come to rest."""
        self._idle(page)
        seconds, received = [], []
        for _ in range(MOVES):
            before, drawn = self.meter.received_bytes, page.evaluate("window.__drawn.length")
            self.move(page)
            self.moved += 1
            page.wait_for_function("drawn => window.__drawn.length > drawn", arg=drawn)
            seconds.append(page.evaluate("window.__drawn.at(-1) - window.__moved") / 1e3)
            self._idle(page)
            received.append(self.meter.received_bytes - before)
        return Wait(moves_s=tuple(seconds), move_bytes=median(received))

    def move(self, page: Page) -> None:
        """Move a site to where it has never been."""
        raise NotImplementedError

    def query(self, session: int, move: int) -> str:
        """The query string with which another session has the site elsewhere."""
        raise NotImplementedError

    def _asked(self, request: Request) -> None:
        if found := re.search(r"/tiles/.*?(/\d+/\d+/\d+\.png.*)", request.url):
            self.tiles = list(dict.fromkeys([*self.tiles, found[1]]))[:12]

    def _idle(self, page: Page) -> None:
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


class Dashboard(App):
    """`rfplatform ui`: a site is dragged on the map."""

    def move(self, page: Page) -> None:
        """Drag the first site by a few pixels: forth for ten moves, and back beside it."""
        box = page.locator("button.rf-site .rf-site-dot").first.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        step = 6.0 if self.moved // MOVES % 2 == 0 else -6.3
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + step, y)
        page.mouse.move(x + step, y - 1.7)
        page.mouse.up()

    def query(self, session: int, move: int) -> str:
        """A plan beside those that the browser left in the workspace."""
        drafts = self.folder / "drafts"
        name = f"session-{session}-{move}"
        draft = json.loads(min(drafts.glob("[0-9a-f]*.json")).read_text(encoding="utf-8"))
        first = draft["rows"][0]["site"]
        for row in draft["rows"]:
            if row["site"] == first:
                row["lon_deg"] += 1e-6 * (session + SESSIONS * move)
        (drafts / f"{name}.json").write_text(json.dumps(draft), encoding="utf-8")
        return f"plan={name}"

    @contextmanager
    def traced(self) -> Iterator[None]:
        """A ray-traced run that a user has started, from its first rays on."""
        try:
            with self.visit() as (page, _):
                page.get_by_role("slider", name="Effort").press("End")
                self._idle(page)
                page.get_by_role("button", name="Start the run").click()
                self._wait_for_rays()
            yield
        finally:
            for state in self._runs():
                _end(state.get("pid"))

    def _wait_for_rays(self) -> None:
        until = time.monotonic() + PATIENCE_MS / 1e3
        while not any(str(run.get("message")).startswith("Tracing") for run in self._runs()):
            if time.monotonic() > until:
                raise WorkerError("a ray-traced run did not come to its first rays")
            time.sleep(0.2)

    def _runs(self) -> list[dict[str, Any]]:
        states = (self.folder / "jobs").glob("*/state.json")
        return [json.loads(state.read_text(encoding="utf-8")) for state in states]


class Rival(App):
    """Streamlit with pydeck: a site's longitude is typed."""

    def move(self, page: Page) -> None:
        """Type another longitude."""
        box = page.get_by_label("Longitude")
        box.fill(f"{_site().lon_deg + 5e-5 * (1 + self.moved):.6f}")
        box.press("Enter")

    def query(self, session: int, move: int) -> str:
        """Another longitude."""
        return f"lon={_site().lon_deg + 1e-6 * (session + SESSIONS * move):.6f}"


def _sites_file() -> Path:
    """The example's site list."""
    from rfplatform.shipped import shipped_folder

    folder = shipped_folder("sites")
    if folder is None:
        raise MissingError("data/sites is missing; run from a checkout or reinstall rfplatform")
    return folder / "helsinki.csv"


def _site() -> SiteRow:
    from rfplatform.geodata.sites import read_sites

    return read_sites(_sites_file())[0]


def _end(process: int | None) -> None:
    """End a process and all that it has started."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process)
        for one in [*parent.children(recursive=True), parent]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


# ----------------------------------------------------------------------------------------------
# Other sessions
# ----------------------------------------------------------------------------------------------


class Session:
    """Somebody else at the server, without a browser: moves a site every few seconds.

    It speaks Streamlit's protocol, opens the app with another query string each time, and fetches
    the tiles that the answer names, as the map would.

    Parameters
    ----------
    app : App
    number : int
    """

    def __init__(self, app: App, number: int) -> None:
        self.moves = 0
        self._app = app
        self._number = number
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Leave."""
        self._ends.set()
        self._thread.join(STARTS_WITHIN_S)

    def _run(self) -> None:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        address = f"ws://127.0.0.1:{self._app.port}/_stcore/stream"
        self._ends.wait(PERIOD_S * self._number / SESSIONS)
        with (
            suppress(ConnectionClosed, OSError),
            connect(address, subprotocols=["streamlit"], max_size=None) as socket_,  # type: ignore[list-item]
        ):
            while not self._ends.is_set():
                started = time.monotonic()
                self._move(socket_)
                self.moves += 1
                self._ends.wait(max(0.0, PERIOD_S - (time.monotonic() - started)))

    def _move(self, socket_: ClientConnection) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        asked = BackMsg()
        asked.rerun_script.query_string = self._app.query(self._number, self.moves)
        socket_.send(asked.SerializeToString())
        overlay = b""
        while not self._ends.is_set():
            answer = socket_.recv(PATIENCE_MS / 1e3, decode=False)
            if found := re.search(rb"/tiles/previews/\w+/\w+", answer):
                overlay = found[0]
            if ForwardMsg.FromString(answer).WhichOneof("type") == "script_finished":
                break
        for tile in self._app.tiles if overlay else ():
            address = f"http://127.0.0.1:{self._app.port}{overlay.decode()}{tile}"
            with suppress(OSError):
                urllib.request.urlopen(address, timeout=STARTS_WITHIN_S).read()


@contextmanager
def _crowded(app: App) -> Iterator[None]:
    """All other sessions are there, and each has moved a site."""
    sessions = [Session(app, number) for number in range(1, SESSIONS)]
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not all(session.moves for session in sessions):
            if time.monotonic() > until:
                raise WorkerError(f"{SESSIONS} sessions at once: the server does not keep up")
            time.sleep(0.1)
        yield
    finally:
        for session in sessions:
            session.end()


# ----------------------------------------------------------------------------------------------
# speed:ui
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Apps:
    """Both apps, and what is done with each in a case."""

    ours: App
    rival: App
    do: Callable[[App], Wait]


def _visit(app: App) -> Wait:
    with app.visit() as (_, wait):
        return wait


def _move(app: App) -> Wait:
    with app.visit() as (page, _):
        return app.moves(page)


def _move_busy(app: App) -> Wait:
    return replace(_move(app), is_alone=False)


def _move_in_a_crowd(app: App) -> Wait:
    with app.visit() as (page, _), _crowded(app):
        return replace(app.moves(page), is_alone=False)


def _cases() -> Iterator[Case]:
    with ExitStack() as stack:
        ours, rival = _opened(stack)
        for app in (ours, rival):
            app.warm()

        def case(name: str, do: Callable[[App], Wait], note: str) -> Case:
            return Case(name, Apps(ours, rival, do), note=note)

        yield case("first visit", _visit, "Helsinki, 4 m; the server has opened no area yet")
        yield case("next visit", _visit, "the same, in another browser that knows nothing")
        yield case("moves", _move, f"{MOVES} moves of a site, nine sectors in 4 m cells")
        yield case(
            "moves, ten sessions", _move_in_a_crowd, f"each moves a site every {PERIOD_S:g} s"
        )
        with ours.traced():
            yield case("moves beside a trace", _move_busy, "while a ray-traced run is at work")


def _opened(stack: ExitStack) -> tuple[Dashboard, Rival]:
    """Both apps, served, and a browser.

    Raises
    ------
    MissingError
        What they need is not here.
    """
    chromium = _require()
    from playwright.sync_api import sync_playwright

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfplatform-")))
    driver = stack.enter_context(sync_playwright())
    browser = driver.chromium.launch(executable_path=chromium, args=list(_CHROMIUM_OPTIONS))
    stack.callback(browser.close)

    def served(name: str, *command: str) -> tuple[Browser, Path, int, Meter]:
        port = free_port()
        (folder / name).mkdir()
        stack.enter_context(serving((*command, str(port)), port, folder / name))
        meter = Meter(port)
        stack.callback(meter.close)
        return browser, folder / name, port, meter

    script = folder / "rival.py"
    told = _RIVAL.format(sites=str(_sites_file()), lon_deg=_site().lon_deg)
    script.write_text(told, encoding="utf-8")
    module = (sys.executable, "-m")
    ours = (*module, "rfplatform.cli", "ui", "--workspace", str(folder / "ours"), "--port")
    theirs = (*module, "streamlit", "run", str(script), *_RIVAL_OPTIONS, "--server.port")
    return (
        Dashboard(*served("ours", *ours), "/jobs", _OUR_CLOCK),
        Rival(*served("rival", *theirs), "/?warm", _RIVAL_CLOCK),
    )


def _require() -> str:
    """The path of Chromium, if all else is there, too."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingError(f"the benchmark needs {package}: pip install {package}")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise MissingError("the benchmark needs Chromium: apt install chromium")
    return chromium


UI: Benchmark[Wait] = Benchmark(
    "speed:ui",
    "The dashboard in a browser: first map, moved sites, and what comes over the wire",
    _cases,
    (
        Metric("first map", "s", lambda wait, _: wait.first_s),
        Metric("sent until the first map", "MB", lambda wait, _: wait.first_bytes / 1e6),
        Metric(
            "moved site to map",
            "s",
            lambda wait, _: wait.move_s(0.5) if wait.is_alone else math.nan,
            "lower",
            MOVE_S,
        ),
        Metric(
            "moved site to map, busy",
            "s",
            lambda wait, _: math.nan if wait.is_alone else wait.move_s(0.5),
        ),
        Metric("moved site to map, 95 %", "s", lambda wait, _: wait.move_s(0.95)),
        Metric("sent for a move", "MB", lambda wait, _: wait.move_bytes / 1e6),
    ),
    baseline=Predictor("Streamlit and pydeck", lambda apps: apps.do(apps.rival)),
    subject=Predictor("rfplatform", lambda apps: apps.do(apps.ours)),
)
