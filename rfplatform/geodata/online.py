"""Buildings and more of a box or a place from OpenStreetMap's servers, cached on disk."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rfplatform import __version__
from rfplatform.errors import InputError, MissingError
from rfplatform.scene import Area

if TYPE_CHECKING:
    import geopandas as gpd
    import requests

MAX_AREA_KM2 = 400.0
"""Largest box that is downloaded; beyond it the public servers ask for extracts instead."""

GIVE_A_FILE = (
    "give a file instead: an .osm.pbf extract (Geofabrik, BBBike), .osm, .geojson, .gpkg "
    "or .parquet"
)

Tags: TypeAlias = dict[str, bool | str | list[str]]
"""What is asked for: keys with any value (True) or some."""

_BUILDINGS: Tags = {"building": True, "building:part": True}


def _default_cache() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("rfplatform")) / "osm"


@dataclass(frozen=True)
class OsmServers:
    """Who is asked, how patiently, and where the answers are kept.

    Attributes
    ----------
    overpass_url, nominatim_url : str
        Base addresses of the two services.
    connect_timeout_s : float
        How long a server may take to answer the telephone: short, so that a machine without a
        network learns it soon.
    read_timeout_s : float
        How long a query may run, and the pause in an answer.
    cache : Path
        Folder of the answers, one a question. They don't expire: delete the folder for fresh data.
    """

    overpass_url: str = "https://overpass-api.de/api"
    nominatim_url: str = "https://nominatim.openstreetmap.org/"
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 90.0
    cache: Path = field(default_factory=_default_cache)


def download_buildings(
    place: Area | str, servers: OsmServers | None = None
) -> tuple[Area, gpd.GeoDataFrame]:
    """Download the buildings of a box or of a place, or take them from the cache.

    Parameters
    ----------
    place : Area or str
        A box, or a place name to look up with Nominatim. A place becomes its bounding box.
    servers : OsmServers, optional
        The public servers by default.

    Returns
    -------
    area : Area
        The box; named after the place where one was given.
    buildings : geopandas.GeoDataFrame
        Polygons and multipolygons in EPSG:4326 that touch the box (whole where its border cuts
        them) and have a ``building`` or a ``building:part`` tag; a column a tag, and ``osm_id``
        ("way/123"), sorted by it. Empty where there are none.

    Raises
    ------
    InputError
        No such place, a place without an outline, or a box larger than `MAX_AREA_KM2`.
    MissingError
        No network, or a server that doesn't answer, is busy or stops half-way; or a cache that
        can't be used.
    """
    servers = servers or OsmServers()
    area = place if isinstance(place, Area) else None
    if area is not None:
        _check_size(area)
    with _asking(servers):
        if area is None:
            area = _find_place(str(place))
            _check_size(area)
        features = _download(area, _BUILDINGS)
    # Entrances and fences carry building tags too; only areas have a roof.
    buildings = features[features.geom_type.isin(("Polygon", "MultiPolygon"))]
    if buildings.empty:
        return area, buildings[["osm_id", "geometry"]]
    return area, buildings.dropna(axis="columns", how="all").reset_index(drop=True)


def download_features(
    area: Area, tags: Tags, servers: OsmServers | None = None
) -> gpd.GeoDataFrame:
    """Download what carries certain tags in a box, or take it from the cache.

    Parameters
    ----------
    area : Area
    tags : dict
        Keys of which any value (True), one or some of a list are wanted.
    servers : OsmServers, optional
        The public servers by default.

    Returns
    -------
    geopandas.GeoDataFrame
        Points, lines and polygons in EPSG:4326 that touch the box (whole where its border cuts
        them; those that surround it without touching it are not found); a column a tag, and
        ``osm_id`` ("way/123"), sorted by it. Empty where there are none.

    Raises
    ------
    InputError
        A box larger than `MAX_AREA_KM2`.
    MissingError
        As for `download_buildings`.
    """
    _check_size(area)
    with _asking(servers or OsmServers()):
        return _download(area, tags)


@contextmanager
def _asking(servers: OsmServers) -> Iterator[None]:
    """Let osmnx ask these servers, and tell in one line what goes wrong."""
    import requests

    try:
        with _configured_osmnx(servers):
            yield
    except requests.exceptions.Timeout:
        raise MissingError(
            f"OpenStreetMap's servers did not answer in time; try again, or {GIVE_A_FILE}"
        ) from None
    except requests.exceptions.JSONDecodeError:
        raise MissingError(
            f"a server's answer can't be read; try again, or {GIVE_A_FILE}"
        ) from None
    except requests.exceptions.RequestException as error:
        raise MissingError(
            f"no network: the connection to {_host(error, servers)} failed; {GIVE_A_FILE}"
        ) from None
    except json.JSONDecodeError:
        raise MissingError(
            f"{servers.cache}: a cached answer is damaged; delete this folder and try again"
        ) from None
    except OSError as error:
        raise MissingError(
            f"{servers.cache}: the cache can't be used: {error.strerror or error}"
        ) from None


@contextmanager
def _configured_osmnx(servers: OsmServers) -> Iterator[None]:
    """Set osmnx's module settings, the only place that does, and put them back afterwards."""
    from osmnx import settings

    agent = f"rfplatform/{__version__}"
    wanted: dict[str, Any] = {
        "use_cache": True,
        "cache_folder": str(servers.cache),
        "cache_only_mode": False,
        "overpass_url": servers.overpass_url,
        "nominatim_url": servers.nominatim_url,
        "http_user_agent": agent,
        "http_referer": agent,
        # requests takes the pair; Overpass's own limit is written out in the query's head, where
        # osmnx would put the pair.
        "requests_timeout": (servers.connect_timeout_s, servers.read_timeout_s),
        "overpass_settings": f"[out:json][timeout:{math.ceil(servers.read_timeout_s)}]{{maxsize}}",
        # Without a network osmnx would ask a DNS server over HTTPS and then wait a minute for a
        # free slot. A server without a slot answers 429, which is told below.
        "doh_url_template": None,
        "overpass_rate_limit": False,
        "requests_kwargs": {"hooks": {"response": _check_response}},
    }
    saved = {name: getattr(settings, name) for name in wanted}
    # osmnx replaces getaddrinfo by one that holds on to a server's address.
    getaddrinfo = socket.getaddrinfo
    try:
        for name, value in wanted.items():
            setattr(settings, name, value)
        yield
    finally:
        for name, value in saved.items():
            setattr(settings, name, value)
        socket.getaddrinfo = getaddrinfo


def _check_response(response: requests.Response, **_: object) -> None:
    """Stop at answers that osmnx would repeat for ever, or take for whole.

    It sleeps and asks again on 429 and 504 without an end, and returns what there is when
    Overpass runs out of time or memory half-way, which it tells in a remark.
    """
    from urllib.parse import urlsplit

    host = urlsplit(response.url).hostname
    if response.status_code in (429, 502, 503, 504):
        raise MissingError(
            f"{host} is busy (HTTP {response.status_code}); try again in a minute, or {GIVE_A_FILE}"
        )
    if response.is_redirect:
        return
    if not response.ok:
        raise MissingError(f"{host} refused (HTTP {response.status_code}); {GIVE_A_FILE}")
    answer = response.json()
    # Overpass is asked with POST and answers with elements, Nominatim with GET and a list.
    is_overpass = response.request.method == "POST"
    whole = (
        isinstance(answer, dict) and "elements" in answer
        if is_overpass
        else isinstance(answer, list)
    )
    if not whole:
        raise MissingError(f"{host} gave an answer that can't be read; {GIVE_A_FILE}")
    remark = answer.get("remark") if is_overpass else None
    if remark:
        raise MissingError(
            f"{host} did not finish: {' '.join(str(remark).split())[:200]}; take a smaller box, "
            f"or {GIVE_A_FILE}"
        )


def _find_place(name: str) -> Area:
    import osmnx
    from osmnx._errors import InsufficientResponseError

    try:
        found = osmnx.geocode_to_gdf(name)
    except InsufficientResponseError:
        raise InputError(
            f"place {name!r}: not found; check the spelling, add the country, or give W,S,E,N"
        ) from None
    except TypeError:
        # How osmnx says that the best matches are points or lines.
        raise InputError(
            f"place {name!r}: found, but it has no outline; give a box W,S,E,N around it"
        ) from None
    west, south, east, north = (float(v) for v in found.total_bounds)
    return Area(name, west, south, east, north)


def _check_size(area: Area) -> None:
    # A degree of latitude is 111.2 km on a sphere of 6371 km.
    west, south, east, north = area.bounds_deg
    width = (east - west) * 111.2 * math.cos(math.radians((south + north) / 2))
    size_km2 = width * (north - south) * 111.2
    if size_km2 > MAX_AREA_KM2:
        raise InputError(
            f"area {area.name}: {size_km2:,.0f} km2 is too large to download (at most "
            f"{MAX_AREA_KM2:,.0f} km2); give a smaller box W,S,E,N, or an .osm.pbf extract"
        )


def _download(area: Area, tags: Tags) -> gpd.GeoDataFrame:
    import geopandas as gpd
    import osmnx
    from osmnx._errors import InsufficientResponseError

    try:
        features = osmnx.features_from_bbox(area.bounds_deg, tags)
    except InsufficientResponseError:
        # Every answer was checked on arrival, so this one is whole and holds nothing.
        return gpd.GeoDataFrame({"osm_id": []}, geometry=[], crs="EPSG:4326")
    # A mapper's own tag of that name must not stand in the way.
    features = features.reset_index().drop(columns="osm_id", errors="ignore")
    features.insert(0, "osm_id", features["element"] + "/" + features["id"].astype(str))
    return features.drop(columns=["element", "id"]).dropna(axis="columns", how="all")


def _host(error: requests.exceptions.RequestException, servers: OsmServers) -> str:
    from urllib.parse import urlsplit

    url = getattr(error.request, "url", None) or servers.overpass_url
    return urlsplit(url).hostname or url
