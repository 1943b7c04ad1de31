"""The pieces of the dashboard's benchmark, without a browser."""

import http.server
import math
import sys
import threading
import urllib.request
from dataclasses import replace

import pytest

from rfplatform.benchmark import Case, Predictor, evaluate
from rfplatform.benchmarks import ui
from rfplatform.benchmarks.ui import MOVES, UI, Meter, Wait
from rfplatform.catalog import BENCHMARKS
from rfplatform.errors import MissingError, WorkerError


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "70000")
        self.end_headers()
        self.wfile.write(b"x" * 70_000)

    def log_message(self, *_):
        pass


@pytest.fixture
def page():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_meter_passes_all_on_and_counts_what_comes_back(page):
    meter = Meter(page)
    try:
        for times in (1, 2):
            with urllib.request.urlopen(f"http://127.0.0.1:{meter.port}/", timeout=10) as answer:
                assert answer.read() == b"x" * 70_000
            assert times * 70_000 < meter.received_bytes < times * 70_500
    finally:
        meter.close()


def test_times_of_moves_are_ranked():
    wait = Wait(moves_s=(0.4, 0.1, 0.3, 0.2))
    assert wait.move_s(0.5) == pytest.approx(0.25)
    assert wait.move_s(0.95) == 0.4
    assert math.isnan(Wait(first_s=1.0).move_s(0.95))


def test_the_target_is_for_a_machine_with_nothing_else_to_do():
    waits = {
        "visit": Wait(2.0, 5e6),
        "moves": Wait(moves_s=(0.4,) * MOVES, move_bytes=1e5),
        "busy": Wait(moves_s=(0.8,) * MOVES, move_bytes=1e5, is_alone=False),
    }
    told = Predictor("told", waits.__getitem__)
    benchmark = replace(
        UI, dataset=lambda: [Case(name, name) for name in waits], baseline=told, subject=told
    )
    rows = {(row.case, row.metric): row for row in evaluate(benchmark)}
    assert {key for key, row in rows.items() if row.target is not None} == {
        ("moves", "moved site to map")
    }
    assert rows["moves", "moved site to map"].met
    assert rows["busy", "moved site to map, busy"].value == 0.8
    assert rows["visit", "sent until the first map"].value == 5.0
    assert ("visit", "sent for a move") not in rows


def test_without_a_browser_it_is_skipped_and_says_why(monkeypatch):
    monkeypatch.setattr(ui.shutil, "which", lambda _: None)
    with pytest.raises(MissingError, match="needs"):
        ui._require()
    [row] = evaluate(UI)
    assert row.skipped.startswith("the benchmark needs")


def test_a_server_that_does_not_start_says_its_last_words(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no room here')"]
    with (
        pytest.raises(WorkerError, match="no room here"),
        ui.serving(command, ui.free_port(), tmp_path),
    ):
        pass


def test_the_rival_is_a_script_that_shows_the_same_map():
    script = ui._RIVAL.format(sites=str(ui._sites_file()), lon_deg=ui._site().lon_deg)
    compile(script, "rival.py", "exec")
    assert "TR38901UMa" in script
    assert str(ui._site().lon_deg) in script


def test_it_is_registered():
    assert BENCHMARKS["speed:ui"] is UI
