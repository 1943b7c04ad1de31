"""The dashboard's server: Streamlit's app with our own routes, on this machine alone by default."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.desk.workspace import VARIABLE, Workspace
from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UPLOAD_MB = 200
"""The largest file of any kind; `pipelines.desk.uploads` has the limit of each."""

_SECURITY: Mapping[bytes, bytes] = {
    # Nothing comes from another host, whatever a library would like. Vega compiles its
    # expressions, and MapLibre's worker is a blob: both need leave.
    b"content-security-policy": (
        b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        b"worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; font-src 'self' data:; "
        b"connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; "
        b"frame-ancestors 'self'"
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}


@dataclass(frozen=True)
class Config:
    """Where to listen, and what to show.

    Attributes
    ----------
    host, port : str, int
    workspace : Path, optional
        See `Workspace.open`.
    base_path : str
        What a reverse proxy puts before every path: "/rf".
    model, model_base_url : str, optional
        The Assistant's language model and its server; by default those that the environment names.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    workspace: Path | None = None
    base_path: str = ""
    model: str | None = None
    model_base_url: str | None = None


def serve(config: Config, tell: Callable[[str], None] | None = None) -> None:
    """Serve the dashboard until it is interrupted.

    Parameters
    ----------
    config : Config
    tell : callable, optional
        Told the address, once nothing is in the way.

    Raises
    ------
    InputError
        The port is taken, the address is none of this machine, or the model is none.
    MissingError
        Streamlit is not installed, or the workspace can't be written to.
    """
    for package in ("streamlit", "maplibre"):
        if importlib.util.find_spec(package) is None:
            raise MissingError(f"the dashboard needs {package}: pip install 'rfplatform[ui]'")
    workspace = Workspace.open(config.workspace)
    _require_free(config.host, config.port)
    _name_model(config)
    os.environ[VARIABLE] = str(workspace.root)
    # A tile is too small to share among cores; other people's tiles want them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    base = f"/{config.base_path.strip('/')}" if config.base_path.strip("/") else ""
    app = _app(workspace, base)
    if tell is not None:
        tell(_address(config, base))
    app.run(config=_options(config, base))


def _name_model(config: Config) -> None:
    """Tell the processes that ask the model which one it is; a wrong name ends it here."""
    from pipelines.desk.assistant import MODEL_VARIABLE, URL_VARIABLE

    model = config.model or os.environ.get(MODEL_VARIABLE)
    url = config.model_base_url or os.environ.get(URL_VARIABLE)
    if not model:
        if url:
            raise InputError(f"a model's server is named, {url}, and no model: give --model")
        return
    from rfplatform.oran.providers import check_model

    os.environ[MODEL_VARIABLE] = check_model(model, url)
    if url:
        os.environ[URL_VARIABLE] = url


def _address(config: Config, base: str) -> str:
    here = ("127.0.0.1", "0.0.0.0", "::1", "::")  # noqa: S104
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{'localhost' if config.host in here else host}:{config.port}{base}"


def _app(workspace: Workspace, base: str) -> Any:  # noqa: ANN401  (streamlit's App)
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    from ui.routes import routes

    return App(
        Path(__file__).parent / "app" / "script.py",
        routes=routes(workspace, base),
        middleware=[Middleware(SecurityHeaders)],
    )


def _options(config: Config, base: str) -> dict[str, Any]:
    from ui.look import THEME

    return {
        "server.address": config.host,
        "server.port": config.port,
        "server.baseUrlPath": base.strip("/"),
        "server.headless": True,
        "runner.magicEnabled": False,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MAX_UPLOAD_MB,
        "server.enableXsrfProtection": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "logger.level": "warning",
        **THEME,
    }


def _require_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{host}:{port}: can't listen there ({reason}); choose another with --host and --port"
        ) from error


class SecurityHeaders:
    """Middleware that lets a browser load nothing from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY.items()]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
