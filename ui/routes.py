"""What the dashboard serves beside its pages: map tiles, and what is drawn of an area."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.desk.workspace import Workspace
from rfplatform.errors import InputError
from rfplatform.formats.tiles import render_tile, tile_etag

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

# What lies under a name never changes: a draft or an area that changes gets another name.
_CACHED = {"Cache-Control": "private, max-age=86400, immutable"}
_GEOJSON = "application/geo+json"


def routes(workspace: Workspace, base: str = "") -> list[BaseRoute]:
    """The routes, for a dashboard under a path.

    Parameters
    ----------
    workspace : Workspace
    base : str
        "" or "/rf": what a reverse proxy puts before every path.
    """
    from starlette.routing import Route

    from ui.routes_lib import library_routes

    def tile(request: Request) -> Response:
        return _answered(lambda: _tile(workspace, request))

    def area(request: Request) -> Response:
        key, name = request.path_params["key"], request.path_params["name"]
        return _answered(lambda: _file(request, workspace.inside(workspace.areas, key), name))

    def points(request: Request) -> Response:
        key = request.path_params["key"]
        folder = workspace.previews
        return _answered(lambda: _file(request, workspace.inside(folder, key), "points"))

    # Plain functions: Starlette runs them in threads, beside the pages.
    return [
        Route(f"{base}/tiles/{{kind}}/{{name}}/{{layer}}/{{z:int}}/{{x:int}}/{{y:int}}.png", tile),
        Route(f"{base}/areas/{{key}}/{{name}}.geojson", area),
        Route(f"{base}/points/{{key}}.geojson", points),
        *library_routes(base),
    ]


def _answered(answer: Callable[[], Response]) -> Response:
    from starlette.responses import PlainTextResponse

    try:
        return answer()
    except InputError as error:
        return PlainTextResponse(str(error), status_code=404)


def _tile(workspace: Workspace, request: Request) -> Response:
    from starlette.responses import Response

    of = request.path_params
    if of["kind"] == "previews":
        folder = workspace.inside(workspace.previews, of["name"])
    elif of["kind"] == "jobs":
        folder = workspace.inside(workspace.jobs, of["name"]) / "display"
    else:
        raise InputError(f"no tiles of {of['kind']!r}")
    place = of["layer"], of["z"], of["x"], of["y"]
    threshold = _number(request.query_params.get("threshold"))
    ends = _ends(request.query_params.get("ends"))
    etag = tile_etag(folder, *place, threshold=threshold, ends=ends)
    headers = {**_CACHED, "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    body = render_tile(folder, *place, threshold=threshold, ends=ends)
    return Response(body, media_type="image/png", headers=headers)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{text[:20]!r}: not a number")
    return number


def _ends(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, high = (_number(part) for part in (*text.split(",", 1), "")[:2])
    assert low is not None
    assert high is not None
    return low, high


def _file(request: Request, folder: Path, name: str) -> Response:
    from starlette.responses import FileResponse, Response

    path = folder / f"{name}.geojson"
    if name not in ("background", "buildings", "points") or not path.is_file():
        raise InputError(f"nothing there: {name[:40]!r}")
    about = path.stat()
    etag = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
    headers = {**_CACHED, "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, media_type=_GEOJSON, headers=headers)
