"""A dashboard that is served, and a browser that looks at it; for tests."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.desk.draft import Draft
from pipelines.desk.jobs import Job, cancel, find_job, list_jobs
from pipelines.desk.workspace import Workspace

ROOT = Path(__file__).parents[2]

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

PATIENCE_MS = 60_000
"""How long a page may take on a busy machine; none takes a tenth of it on an idle one."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Chromium; the test is skipped where it, or Playwright, is not there."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium (apt install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


# ----------------------------------------------------------------------------------------------
# The server
# ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Dashboard:
    """`rfplatform ui` in a process of its own, over a workspace that outlives it.

    Attributes
    ----------
    workspace : Workspace
    port : int
    """

    workspace: Workspace
    port: int = field(default_factory=free_port)
    _server: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "rfplatform.cli", "ui", "--port", str(self.port)]
        log = self.workspace.root / "server.log"
        with log.open("ab") as file:
            self._server = subprocess.Popen(
                [*command, "--workspace", str(self.workspace.root)],
                cwd=ROOT,
                env=dict(os.environ),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        for _ in range(300):
            assert self._server.poll() is None, log.read_text()
            with suppress(OSError):
                urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1)
                return
            time.sleep(0.1)
        raise AssertionError(f"no answer in half a minute: {log.read_text()}")

    def stop(self) -> None:
        """End it with what it has started; not jobs, which have sessions of their own."""
        assert self._server is not None
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def end_jobs(self) -> None:
        """End every job that is still at work."""
        for job in list_jobs(self.workspace):
            if job.is_active:
                cancel(self.workspace, job.id, force=True)

    def job(self, id: str) -> Job:  # noqa: A002
        return find_job(self.workspace, id)

    def only_job(self) -> Job:
        [job] = list_jobs(self.workspace)
        return job

    def wait_for(self, id: str, *states: str, within_s: float = 90.0) -> Job:  # noqa: A002
        """Wait until a job is in one of the states."""
        until = time.monotonic() + within_s
        while (job := self.job(id)).state not in states:
            assert time.monotonic() < until, f"{job.state}: {job.message}"
            assert not job.is_over, f"{job.state}: {job.message} {job.log_tail()}"
            time.sleep(0.1)
        return job

    def saved(self, draft: Draft) -> str:
        """The link to a draft."""
        return f"{self.address}/?plan={draft.saved(self.workspace)}"

    def draft_of(self, url: str) -> Draft:
        """The draft that a link opens."""
        found = re.search(r"[?&]plan=([0-9a-f]+)", url)
        assert found, url
        return Draft.opened(self.workspace, found[1])


# ----------------------------------------------------------------------------------------------
# The browser
# ----------------------------------------------------------------------------------------------


class Watch:
    """What the pages of a context ask for, and what the browser complains of."""

    def __init__(self, context: Any, address: str) -> None:
        self._address = address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("page", lambda page: page.on("websocket", lambda w: self.asked.append(w.url)))
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def forgive(self, pattern: str) -> None:
        """Forget complaints that a test brings about."""
        self.complaints = [text for text in self.complaints if not re.search(pattern, text)]

    def check(self) -> None:
        """No request left the host, and the browser had nothing to complain of."""
        host = self._address.removeprefix("http")
        own = (f"http{host}/", f"ws{host}/", "data:", "blob:")
        assert [url for url in self.asked if not url.startswith(own)] == []
        assert self.complaints == []


@dataclass(eq=False)
class View:
    """A page of the dashboard, and what is done on it.

    Attributes
    ----------
    page : playwright.sync_api.Page
    watch : Watch
    """

    page: Any
    watch: Watch

    def idle(self) -> None:
        """Wait until the script has run."""
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')

    def faults(self) -> list[str]:
        """What the boxes for errors say."""
        return self.page.get_by_test_id("stAlertContentError").all_inner_texts()

    def wait_for(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript function of the argument is true."""
        self.page.wait_for_function(condition, arg=argument)

    # ---- widgets

    def choose(self, label: str, option: str) -> None:
        """Choose from a list."""
        box = self.page.get_by_role("combobox", name=label, exact=False).first
        box.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.idle()

    def tab(self, name: str) -> Any:
        """Open a tab; its panel."""
        self.page.get_by_role("tab", name=name).click()
        return self.page.get_by_role("tabpanel", name=name)

    def upload(self, uploader: Any, name: str, content: bytes) -> None:
        """Give a file of some bytes to an uploader."""
        uploader.locator('input[type="file"]').set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )

    # ---- the map

    @property
    def map(self) -> Any:
        return self.page.locator(".rf-map")

    @property
    def overlay(self) -> str:
        """The template of the tiles that are drawn."""
        return self.map.get_attribute("data-overlay")

    def drawn(self, *, other_than: str = "") -> str:
        """Wait until a radio map, and another than the last, is on the screen; its tiles."""
        self.page.wait_for_function(
            """before => {
                const map = window.__rfMaps?.plan_map?.getContainer().closest(".rf-map")
                const { ready, overlay } = map?.dataset ?? {}
                return ready === "true" && overlay && overlay !== before
            }""",
            arg=other_than,
        )
        self.idle()
        return self.overlay

    def covered(self) -> Any:
        """Where the covered share stands."""
        metric = self.page.locator('[data-testid="stMetric"]', has_text="Covered")
        return metric.locator('[data-testid="stMetricValue"]')

    def sites(self) -> dict[str, tuple[float, float]]:
        """The pixels of the sites on the page, by name."""
        found = {}
        for handle in self.page.locator("button.rf-site").all():
            box = handle.locator(".rf-site-dot").bounding_box()
            middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            found[handle.get_attribute("data-site")] = middle
        return found

    def spot(self, right: float, down: float) -> tuple[float, float]:
        """The pixel of a place on the map, in shares of its width and height."""
        box = self.map.bounding_box()
        return round(box["x"] + right * box["width"]), round(box["y"] + down * box["height"])

    def lon_lat(self, spot: tuple[float, float]) -> tuple[float, float]:
        """Longitude and latitude at a pixel of the page."""
        return tuple(
            self.page.evaluate(
                """([x, y]) => {
                    const map = window.__rfMaps.plan_map
                    const frame = map.getContainer().getBoundingClientRect()
                    return map.unproject([x - frame.left, y - frame.top]).toArray()
                }""",
                spot,
            )
        )

    def camera(self, key: str = "plan_map") -> list[float]:
        """Longitude, latitude and zoom of a map."""
        return self.page.evaluate(
            """key => {
                const map = window.__rfMaps[key]
                return [...map.getCenter().toArray(), map.getZoom()]
            }""",
            key,
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*middle)
        self.page.mouse.move(*end)
        self.page.mouse.up()

    def colored_share(self) -> float:
        """How much of the map is drawn in strong colours, as radio maps alone are."""
        picture = Image.open(io.BytesIO(self.map.screenshot())).convert("HSV")
        return float(np.mean(np.asarray(picture)[..., 1] > 90))
