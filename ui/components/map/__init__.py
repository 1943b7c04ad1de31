"""The map of the dashboard: MapLibre GL JS in a component that keeps its camera over reruns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import streamlit as st

from ui.routes_lib import library_url
from ui.urls import base

Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

Mode = Literal["inspect", "place", "box", "none"]
"""What a click beside sites and areas does: tell the point, place a site, draw a box, nothing."""

Kind = Literal["click", "place", "cancel", "box", "site", "sector", "move", "area"]
"""What happened: see `MapEvent`."""


@dataclass(frozen=True)
class Background:
    """What the map is drawn from.

    Attributes
    ----------
    background_url, buildings_url : str
        GeoJSON on our own host; see `ui.urls.area_urls`.
    bounds : tuple of float
        Where the map opens, and where "fit" returns to. When they change, the map goes there.
    attribution : str
    """

    background_url: str
    buildings_url: str
    bounds: Bounds
    attribution: str = "© OpenStreetMap contributors, ODbL 1.0"


@dataclass(frozen=True)
class Legend:
    """What colours mean.

    Attributes
    ----------
    title, unit : str
    scale : Mapping
        The "legend" of a layer in display.json: ``{"kind": "scale", "range", "colors", "ticks"}``
        or ``{"kind": "classes", "items": [{"label", "color"}]}``.
    comment : str
        A line of small print.
    """

    title: str
    unit: str
    scale: Mapping[str, Any]
    comment: str = ""


@dataclass(frozen=True)
class Overlay:
    """A radio map.

    Attributes
    ----------
    url : str
        Template of its tiles, with {z}, {x} and {y}; see `ui.urls.tile_url`.
    bounds : tuple of float, optional
        Beyond which no tiles are asked for.
    title : str
        Shown over the map where two are compared.
    opacity : float
        0 to 1; a slider in the legend changes it from there.
    legend : Legend, optional
    """

    url: str
    bounds: Bounds | None = None
    title: str = ""
    opacity: float = 0.8
    legend: Legend | None = None


@dataclass(frozen=True)
class SectorMarker:
    """A sector of a site, as a wedge; as a ring where it radiates all around.

    Attributes
    ----------
    name : str
    azimuth_deg : float
        Clockwise from true north.
    color : str
    omnidirectional : bool
    """

    name: str
    azimuth_deg: float = 0.0
    color: str = "#1f6f8b"
    omnidirectional: bool = False


@dataclass(frozen=True)
class SiteMarker:
    """A site.

    Attributes
    ----------
    name : str
        Unique among those shown.
    lon, lat : float
    sectors : tuple of SectorMarker
    movable : bool
        Whether it can be dragged, or moved by arrow keys.
    """

    name: str
    lon: float
    lat: float
    sectors: tuple[SectorMarker, ...] = ()
    movable: bool = False


@dataclass(frozen=True)
class PointLayer:
    """Measured points.

    Attributes
    ----------
    url : str
        GeoJSON of points on our own host.
    value : str
        The property that colours them.
    range : tuple of float
        The values of the first and the last colour.
    colors : sequence of str
    tooltip : Mapping of str to str
        Properties that are told under the cursor, each with its label: {"rsrp_dbm": "RSRP, dBm"}.
    legend : Legend, optional
        Shown where no overlay brings one.
    """

    url: str
    value: str
    range: tuple[float, float]
    colors: Sequence[str]
    tooltip: Mapping[str, str] = field(default_factory=dict)
    legend: Legend | None = None


@dataclass(frozen=True)
class AreaMarker:
    """A labelled rectangle.

    Attributes
    ----------
    id, label : str
    bounds : tuple of float
    detail : str
        More lines of the tooltip.
    color : str
    """

    id: str
    label: str
    bounds: Bounds
    detail: str = ""
    color: str = "#1f6f8b"


@dataclass(frozen=True)
class Camera:
    """Where the map is seen from.

    Attributes
    ----------
    lon, lat, zoom, bearing, pitch : float
    """

    lon: float
    lat: float
    zoom: float
    bearing: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True)
class MapEvent:
    """What somebody did on the map.

    Attributes
    ----------
    kind : str
        "click" (at lon, lat), "place" (at lon, lat), "cancel" (Esc left a mode), "box" (bounds),
        "site" (it was chosen), "sector" (of site), "move" (site, to lon, lat), "area" (it was
        clicked, at lon, lat).
    serial : int
        Later events have larger ones.
    lon, lat : float, optional
    site, sector, area : str, optional
    bounds : tuple of float, optional
    pane : int
        0; 1 in the right one of two compared maps.
    """

    kind: Kind
    serial: int
    lon: float | None = None
    lat: float | None = None
    site: str | None = None
    sector: str | None = None
    area: str | None = None
    bounds: Bounds | None = None
    pane: int = 0


_LIBRARY = {
    "map_js": "map.js",
    "map_css": "map.css",
    "maplibre_js": "maplibre-gl.js",
    "maplibre_css": "maplibre-gl.css",
}

# All that Streamlit sends with every run; the map itself is a file that the browser keeps.
_LOADER = """
export default async function (component) {
  const { mount } = await import(location.origin + component.data.lib.map_js)
  return mount(component)
}
"""

_component = st.components.v2.component("rfplatform_map", js=_LOADER)


def map_view(
    *,
    key: str,
    background: Background | None = None,
    overlays: Sequence[Overlay] = (),
    sites: Sequence[SiteMarker] = (),
    selected: tuple[str, str | None] | None = None,
    mode: Mode = "inspect",
    hint: str | None = None,
    pin: tuple[float, float] | None = None,
    box: Bounds | None = None,
    points: PointLayer | None = None,
    areas: Sequence[AreaMarker] = (),
    camera: Camera | None = None,
    look_at: Camera | None = None,
    three_d: bool = False,
    height: int | str = 640,
    report_view: bool = False,
    label: str = "Map",
) -> MapEvent | None:
    """Draw the map; it stays as it is over reruns, but for what changed.

    Parameters
    ----------
    key : str
        Unique on the page. In the browser the map is ``window.__rfMaps[key]`` (the right one of two
        ``window.__rfMaps[key + ":1"]``), and its element has ``data-key``.
    background : Background, optional
    overlays : sequence of Overlay
        None, one, or two to compare side by side.
    sites : sequence of SiteMarker
    selected : tuple of str, optional
        Site and sector (or None) that stand out.
    mode : str
        What a click does.
    hint : str, optional
        Shown on the map; "place" and "box" have one of their own.
    pin : tuple of float, optional
        Longitude and latitude of the pin of the last click; it is set on the click at once.
    box : tuple of float, optional
        A rectangle to draw.
    points : PointLayer, optional
    areas : sequence of AreaMarker
    camera : Camera, optional
        Where the map opens; later changes of it do nothing.
    look_at : Camera, optional
        Whenever it changes, the map goes there; it opens there without a `camera`.
    three_d : bool
        Whether it opens in 3D.
    height : int or str
        Pixels, or a CSS length such as "calc(100dvh - 9rem)".
    report_view : bool
        Whether moving the map reruns the script, for `camera_of`.
    label : str
        What a screen reader calls it.

    Returns
    -------
    MapEvent or None
        What was done since the last run, if `map_event` has not told: once.
    """
    data = {
        "key": key,
        "label": label,
        "height": height,
        "lib": {part: library_url(name, base()) for part, name in _LIBRARY.items()},
        "background": background and asdict(background),
        "overlays": [asdict(overlay) for overlay in overlays[:2]],
        "sites": [asdict(site) for site in sites],
        "selected": selected,
        "mode": mode,
        "hint": hint,
        "pin": pin,
        "box": box,
        "points": points and asdict(points),
        "areas": [asdict(area) for area in areas],
        "camera": camera and asdict(camera),
        "look_at": look_at and asdict(look_at),
        "three_d": three_d,
        "report_view": report_view,
        # Tells the map that a run has followed its event: a move that was not taken up is undone.
        "seen": st.session_state.get(f"{key}:serial"),
    }
    found = _component(key=key, data=data, on_event_change=_nothing, on_view_change=_nothing)
    return _new_event(key, found.get("event"))


def map_event(key: str) -> MapEvent | None:
    """What was done on a map since the last run: once, and before the map is drawn again.

    Who asks at the beginning of a run draws everything once; who waits for `map_view` has to run
    again for what stands above the map.

    Parameters
    ----------
    key : str
        Of `map_view`.
    """
    return _new_event(key, (st.session_state.get(key) or {}).get("event"))


def camera_of(key: str) -> Camera | None:
    """Where a map is seen from, if it reports its view.

    Parameters
    ----------
    key : str
        Of `map_view`.
    """
    view = (st.session_state.get(key) or {}).get("view")
    return Camera(**{name: float(value) for name, value in view.items()}) if view else None


def _nothing() -> None:
    """Streamlit tells of what has a callback."""


def _new_event(key: str, told: Mapping[str, Any] | None) -> MapEvent | None:
    # A run that is cut short by another can be told of the same event again.
    seen = f"{key}:serial"
    if not told or told["serial"] <= st.session_state.get(seen, -1):
        return None
    st.session_state[seen] = told["serial"]
    bounds = told.get("bounds")
    return MapEvent(**{**told, "bounds": tuple(bounds) if bounds else None})
