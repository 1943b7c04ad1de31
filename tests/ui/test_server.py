"""The server: where it listens, what it adds to every answer, and how it says that it can't."""

import asyncio
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from rfplatform import cli
from rfplatform.errors import InputError, MissingError
from ui import server
from ui.server import Config, SecurityHeaders, serve

HEADERS = ("content-security-policy", "x-content-type-options", "referrer-policy")


@pytest.fixture
def taken():
    """A port that someone listens on."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@pytest.fixture(autouse=True)
def _never_serve(monkeypatch, tmp_path):
    """What is started ends at once, and is kept in `started`; the workspace is the test's own."""

    class App:
        def run(self, config):
            started.append(config)

    started: list = []
    monkeypatch.setattr(server, "_app", lambda *_: App())
    monkeypatch.setattr(server, "_started", started, raising=False)
    monkeypatch.setenv("RFPLATFORM_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")


# ---------------------------------------------------------------------------------------- headers


def answered(headers, kind="http"):
    """What a client sees of an app that answers with some headers."""

    async def app(_scope, _receive, send):
        await send({"type": f"{kind}.response.start", "status": 200, "headers": headers})
        await send({"type": f"{kind}.response.body", "body": b"hello"})

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(SecurityHeaders(app)({"type": kind}, None, send))
    return sent


def test_headers_are_added_to_those_there():
    start, body = answered([(b"content-type", b"text/html")])
    assert start["status"] == 200
    names = [name.decode() for name, _ in start["headers"]]
    assert names == ["content-type", *HEADERS]
    assert body == {"type": "http.response.body", "body": b"hello"}
    names = [name for name, _ in answered([])[0]["headers"]]
    assert len(names) == 3


def test_websockets_pass_untouched():
    start, _ = answered([], kind="websocket")
    assert start["headers"] == []


# -------------------------------------------------------------------------------- what is refused


def test_a_taken_port_is_one_line(taken):
    told = []
    with pytest.raises(InputError, match=f"127.0.0.1:{taken}: can't listen there") as error:
        serve(Config(port=taken), told.append)
    assert "Address already in use" in str(error.value)
    assert "--port" in str(error.value)
    assert told == server._started == []


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "256.0.0.1.1", "", "..", "x" * 70 + ".de", "a b", "::ffff:192.0.2.1"]
)
def test_an_address_of_no_machine_of_ours(host, monkeypatch):
    found = socket.getaddrinfo

    def offline(name, *more, **options):
        if name and not any(c.isalpha() for c in name.split(":")[0]):
            return found(name, *more, **options)
        name.encode("idna")  # As the real one does, which would ask the network then.
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(server.socket, "getaddrinfo", offline)
    with pytest.raises(InputError, match="can't listen there") as error:
        serve(Config(host=host, port=free_port()))
    assert "\n" not in str(error.value)
    assert server._started == []


def test_a_port_that_is_none():
    with pytest.raises(InputError, match="can't listen there"):
        serve(Config(port=70_000))


def test_a_workspace_that_can_t_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="--workspace"):
        serve(Config(port=free_port(), workspace=tmp_path / "file" / "ws"))


def test_without_streamlit(monkeypatch):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="pip install"):
        serve(Config(port=free_port()))


# --------------------------------------------------------------------------------- what is started


@pytest.mark.parametrize(
    ("host", "base_path", "address", "base"),
    [
        ("127.0.0.1", "", "http://localhost:{}", ""),
        ("0.0.0.0", "/rf", "http://localhost:{}/rf", "rf"),
        ("127.0.0.2", "rf/", "http://127.0.0.2:{}/rf", "rf"),
        ("localhost", "/", "http://localhost:{}", ""),
    ],
)
def test_the_address_is_told_when_nothing_is_in_the_way(host, base_path, address, base, tmp_path):
    port, told = free_port(), []
    serve(Config(host, port, tmp_path / "mine", base_path), told.append)
    assert told == [address.format(port)]
    [options] = server._started
    assert (options["server.address"], options["server.port"]) == (host, port)
    assert options["server.baseUrlPath"] == base
    assert options["server.enableXsrfProtection"] is True
    assert options["browser.gatherUsageStats"] is False
    assert (tmp_path / "mine" / "jobs").is_dir()


def test_an_address_of_six_is_told_in_brackets():
    assert server._address(Config("fe80::1", 80), "/rf") == "http://[fe80::1]:80/rf"
    assert server._address(Config("::", 80), "") == "http://localhost:80"


# ----------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", "{taken}"), "Address already in use"),
        (("--port", "0"), "port"),
        (("--port", "65536"), "port"),
        (("--port", "http"), "port"),
        (("--host", "192.0.2.1", "--port", "{free}"), "192.0.2.1"),
        (("--host", "..", "--port", "{free}"), "can't listen there"),
    ],
)
def test_a_bad_address_exits_with_2_and_one_line(taken, capsys, arguments, told):
    given = [a.format(taken=taken, free=free_port()) for a in arguments]
    assert cli.main(["ui", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert told in err
    assert server._started == []


def test_the_command_says_where_it_is(capsys, tmp_path):
    port = free_port()
    workspace = tmp_path / "mine"
    assert cli.main(["ui", "--port", str(port), "--workspace", str(workspace)]) == 0
    assert capsys.readouterr().err == f"rfplatform at http://localhost:{port}  (Ctrl-C ends it)\n"
    assert len(server._started) == 1


# ------------------------------------------------------------------------------------ as a whole


def test_pages_and_tiles_of_the_real_one_have_the_headers(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "rfplatform.cli", "ui", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--workspace", str(tmp_path), "--base-path", "/rf"],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
    try:
        page = asked(f"http://127.0.0.1:{port}/rf/", process)
        assert page.status == 200
        assert b"<html" in page.read()
        for path in (
            "lib/map.js",
            "tiles/previews/gone/ss_rsrp_dbm/1/0/0.png",
            "areas/a/x.geojson",
        ):
            answer = asked(f"http://127.0.0.1:{port}/rf/{path}", process)
            assert answer.status == (200 if path == "lib/map.js" else 404)
            for name in HEADERS:
                assert len(answer.headers.get_all(name)) == 1
        for name in HEADERS:
            assert len(page.headers.get_all(name)) == 1
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text()
    assert log.read_text().count("rfplatform at http://localhost") == 1


def asked(url: str, process: subprocess.Popen):
    until = time.monotonic() + 60
    while True:
        try:
            return urllib.request.urlopen(url, timeout=30)
        except urllib.error.HTTPError as error:
            return error
        except urllib.error.URLError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)


def test_ui_imports_no_server_until_it_runs():
    """The command's help is quick: nothing of the dashboard is read for it."""
    code = (
        "import sys; import rfplatform.cli; print([m for m in sys.modules if m.startswith('ui')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert Path(server.__file__).name == "server.py"
