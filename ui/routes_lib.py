"""The browser's libraries, served by ourselves: MapLibre GL JS, and our map over it."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

_OURS = Path(__file__).parent / "components" / "map"
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_FOREVER = "public, max-age=31536000, immutable"


def library_routes(base: str = "") -> list[BaseRoute]:
    """The routes under ``/lib/``.

    Parameters
    ----------
    base : str
        "" or "/rf": what a reverse proxy puts before every path.
    """
    from starlette.routing import Route

    return [Route(f"{base}/lib/{{name}}", _library)]


def library_url(name: str, base: str = "") -> str:
    """Where the browser finds a file; a changed file has another address.

    Parameters
    ----------
    name : str
        "maplibre-gl.js" or "maplibre-gl.css", or a script or style of our map, such as "map.js".
    base : str
        See `library_routes`.

    Raises
    ------
    InputError
        There is no such file.
    MissingError
        The package maplibre is not installed.
    """
    return f"{base}/lib/{name}?v={_version(name)}"


def _library(request: Request) -> Response:
    from starlette.responses import FileResponse, PlainTextResponse, Response

    name = request.path_params["name"]
    try:
        path, version = _path(name), _version(name)
    except (InputError, MissingError) as error:
        return PlainTextResponse(str(error), status_code=404)
    # Only an address that names this very content may be kept without asking again.
    asked = request.query_params.get("v")
    headers = {
        "Cache-Control": _FOREVER if asked == version else "no-cache",
        "ETag": f'"{version}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=_KINDS[path.suffix], headers=headers)


@cache
def _maplibre() -> Path:
    found = importlib.util.find_spec("maplibre")
    if found is None or found.origin is None:
        raise MissingError("the map needs maplibre: pip install 'rfplatform[ui]'")
    return Path(found.origin).parent / "srcjs"


def _path(name: str) -> Path:
    if name in {path.name for path in _OURS.iterdir() if path.suffix in _KINDS}:
        return _OURS / name
    if name in ("maplibre-gl.js", "maplibre-gl.css"):
        return _maplibre() / name
    raise InputError(f"no library {name[:40]!r}")


def _version(name: str) -> str:
    path = _path(name)
    return _digest(path, path.stat().st_mtime_ns)


@cache
def _digest(path: Path, _changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
