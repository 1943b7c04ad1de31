"""What a planner's map is drawn of beside buildings: water, green, rails, streets and paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.geodata.footprints import OSM_ATTRIBUTION
from rfplatform.geodata.online import OsmServers, Tags, download_features

if TYPE_CHECKING:
    from pathlib import Path

    import geopandas as gpd
    import osmium
    import shapely

    from rfplatform.scene import Area

Kind = Literal["land_use", "green", "water", "rail", "path", "street"]

KINDS: tuple[Kind, ...] = ("land_use", "green", "water", "rail", "path", "street")
"""In the order in which they are painted, the lowest first."""

LARGE_M2 = 20_000.0
"""Land use (residential, industrial ...) is kept from this size on."""

TORN_M = 100.0
"""A coastline that ends so close to an extract's border was cut off there."""

Geometries = npt.NDArray[np.object_]
About: TypeAlias = tuple[Kind, str, int | None]
"""Kind, name and rank of a `Feature`."""

_AREAS: dict[Kind, dict[str, frozenset[str]]] = {
    "water": {
        "natural": frozenset({"water"}),
        "waterway": frozenset({"riverbank", "dock"}),
        "landuse": frozenset({"reservoir", "basin"}),
    },
    "green": {
        "leisure": frozenset({"park", "garden", "pitch", "golf_course"}),
        "landuse": frozenset(
            {"grass", "forest", "cemetery", "recreation_ground", "meadow", "village_green"}
        ),
        "natural": frozenset({"wood", "scrub", "grassland", "heath"}),
    },
    "land_use": {"landuse": frozenset({"residential", "commercial", "retail", "industrial"})},
}

_LINES: dict[Kind, dict[str, frozenset[str]]] = {
    "water": {"waterway": frozenset({"river", "stream", "canal"})},
    "rail": {"railway": frozenset({"rail", "tram", "light_rail", "subway"})},
    "path": {"highway": frozenset({"footway", "path", "cycleway", "pedestrian", "steps"})},
}

_RANKS = {
    **dict.fromkeys(("motorway", "trunk", "primary"), 1),
    **dict.fromkeys(("secondary", "tertiary"), 2),
    **dict.fromkeys(("residential", "unclassified", "living_street", "road", "busway"), 3),
    **dict.fromkeys(("service", "track"), 4),
}

_AREA_KEYS = ("natural", "waterway", "leisure", "landuse")
_KEYS = (*_AREA_KEYS, "railway", "highway")
_TOLD_BY = (*_KEYS, "name", "area", "tunnel", "location", "indoor")
# Cities map every tree as natural=tree.
_TAGS: Tags = {
    **dict.fromkeys(_KEYS, True),
    "natural": sorted({"coastline"}.union(*(keys.get("natural", ()) for keys in _AREAS.values()))),
}
_METRES_PER_DEGREE = 111_200.0
# Of coordinates, which OpenStreetMap stores to 1e-7 of a degree.
_SAME_DEG = 1e-9
# Of a face's coastline: edges of the border next to it may count by mistake.
_SURE = 0.99


@dataclass(frozen=True, eq=False)
class Feature:
    """One thing on the map.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    geometry : shapely.Polygon or shapely.LineString
        In WGS 84 longitude and latitude.
    name : str
        "" where it has none.
    rank : int, optional
        Of streets: 1 (motorway, trunk, primary), 2 (secondary, tertiary), 3 (residential and
        such), 4 (service, track).
    """

    kind: Kind
    geometry: shapely.Polygon | shapely.LineString
    name: str = ""
    rank: int | None = None


@dataclass(frozen=True, eq=False)
class Background:
    """All that is drawn below a map.

    Attributes
    ----------
    features : tuple of Feature
        In the order of `KINDS`.
    attribution : str
        Whose data it is; "" if there is none.
    """

    features: tuple[Feature, ...] = ()
    attribution: str = ""


def read_background(path: Path, box: Area) -> Background:
    """Read what is drawn of a box from an ``.osm``, ``.osm.pbf`` or compressed file.

    Everything is cut at the box, and at the file's own bounds where it tells them. Left out is
    what lies in tunnels or underground, and areas that the extract's border tore apart. The sea
    lies to the right of a coastline; where that can't be told, the coastline is kept as a line.

    Parameters
    ----------
    path : Path
    box : Area

    Raises
    ------
    InputError
        If the file is missing, unreadable or truncated.
    """
    import osmium
    import shapely

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    drawn = _Drawn()
    try:
        elements: Any = osmium.FileProcessor(str(path))
        bounds = elements.header.box()
        elements.with_areas(osmium.filter.KeyFilter(*_AREA_KEYS))
        elements.with_filter(osmium.filter.KeyFilter(*_KEYS))
        for element in elements:
            if element.is_area():
                drawn.add_area(element)
            elif element.is_way():
                drawn.add_way(element)
    except (RuntimeError, ValueError, osmium.InvalidLocationError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: not a readable OpenStreetMap file ({reason}); "
            "it may be truncated: fetch it again, or check it with 'osmium fileinfo'"
        ) from error
    extent = shapely.box(*box.bounds_deg)
    if bounds.valid():
        low, high = bounds.bottom_left, bounds.top_right
        extent &= shapely.box(low.lon, low.lat, high.lon, high.lat)
    return _background(_geometries(drawn.wkb), drawn.about, _geometries(drawn.coast), extent)


def download_background(area: Area, servers: OsmServers | None = None) -> Background:
    """Download what is drawn of a box, or take it from the cache.

    It's the same as `read_background` has of a file, less what surrounds the whole box.

    Parameters
    ----------
    area : Area
    servers : OsmServers, optional
        The public servers by default.

    Raises
    ------
    InputError, MissingError
        As for `rfplatform.geodata.online.download_features`.
    """
    import shapely

    table = download_features(area, _TAGS, servers)
    geometry = np.asarray(table.geometry.array, dtype=object)
    told = {1: _about_line, 2: _about_area}
    shapes, coast = [], []
    about: list[About] = []
    for osm_id, tags, shape in zip(table["osm_id"], _tags(table), geometry, strict=True):
        dimension = shapely.get_dimensions(shape)
        if tags.get("natural") == "coastline" and osm_id.startswith("way/"):
            # An island that is tagged as one, too, is a polygon: its outline keeps the direction.
            coast.append(shape if dimension == 1 else shape.boundary)
        found = told[dimension](tags) if dimension in told else None
        if found is not None:
            shapes.append(shape)
            about.append(found)
    lines = shapely.get_parts(np.array(coast, dtype=object))
    extent = shapely.box(*area.bounds_deg)
    return _background(np.array(shapes, dtype=object), about, lines, extent)


def _tags(table: gpd.GeoDataFrame) -> Iterator[dict[str, str]]:
    """The tags that matter, row by row."""
    for row in table.reindex(columns=list(_TOLD_BY)).itertuples(index=False):
        yield {key: tag for key, tag in zip(_TOLD_BY, row, strict=True) if isinstance(tag, str)}


def _background(
    shapes: Geometries, about: list[About], coast: Geometries, extent: shapely.Polygon
) -> Background:
    """What lies in the extent, in the order in which it is painted."""
    if extent.area == 0.0:
        return Background((), OSM_ATTRIBUTION)
    features = _sea(coast, extent) + _cut(shapes, about, extent)
    features.sort(key=lambda feature: KINDS.index(feature.kind))
    return Background(tuple(features), OSM_ATTRIBUTION)


class _Drawn:
    """What a file holds, as WKB and in the file's order."""

    def __init__(self) -> None:
        import osmium

        self.wkb: list[str] = []
        self.about: list[About] = []
        self.coast: list[str] = []
        self._factory = osmium.geom.WKBFactory()

    def add_area(self, area: osmium.osm.Area) -> None:
        about = _about_area({tag.k: tag.v for tag in area.tags})
        if about is None:
            return
        try:
            self.wkb.append(self._factory.create_multipolygon(area))
        except RuntimeError:  # no valid ring
            return
        self.about.append(about)

    def add_way(self, way: osmium.osm.Way) -> None:
        tags = {tag.k: tag.v for tag in way.tags}
        if tags.get("natural") == "coastline":
            self.coast += self._lines(way)
            return
        about = _about_line(tags)
        if about is None:
            return
        lines = self._lines(way)
        self.wkb += lines
        self.about += [about] * len(lines)

    def _lines(self, way: osmium.osm.Way) -> list[str]:
        """The way; in pieces where the extract's border took nodes out of it."""
        import shapely

        if all(node.location.valid() for node in way.nodes):
            try:
                return [self._factory.create_linestring(way)]
            except RuntimeError:  # all of its nodes at one place
                return []
        pieces: list[list[tuple[float, float]]] = [[]]
        for node in way.nodes:
            if node.location.valid():
                pieces[-1].append((node.lon, node.lat))
            elif pieces[-1]:
                pieces.append([])
        return [shapely.LineString(p).wkb_hex for p in pieces if len(p) > 1]


def _about_area(tags: Mapping[str, str]) -> About | None:
    kind = _kind(tags, _AREAS)
    return None if kind is None or _is_hidden(tags) else (kind, tags.get("name", ""), None)


def _about_line(tags: Mapping[str, str]) -> About | None:
    rank = _RANKS.get(tags.get("highway", "").removesuffix("_link"))
    kind: Kind | None = "street" if rank else _kind(tags, _LINES)
    # A square is an area, and its outline no path.
    if kind is None or _is_hidden(tags) or tags.get("area") == "yes":
        return None
    return kind, tags.get("name", ""), rank


def _kind(
    tags: Mapping[str, str], table: Mapping[Kind, Mapping[str, frozenset[str]]]
) -> Kind | None:
    for kind, keys in table.items():
        if any(tags.get(key) in values for key, values in keys.items()):
            return kind
    return None


def _is_hidden(tags: Mapping[str, str]) -> bool:
    """Whether it lies below what is seen from above; a passage through a house is none of it."""
    return (
        tags.get("tunnel", "no") not in ("no", "building_passage")
        or tags.get("location") == "underground"
        or tags.get("indoor") == "yes"
    )


def _geometries(wkb: list[str]) -> Geometries:
    import shapely

    return np.asarray(shapely.from_wkb(np.array(wkb, dtype=object)), dtype=object)


def _cut(geometry: Geometries, about: list[About], extent: shapely.Polygon) -> list[Feature]:
    """What lies in the extent, in single polygons and lines."""
    import shapely

    small = np.array([kind == "land_use" for kind, _, _ in about], dtype=bool)
    small &= shapely.area(geometry) * _m2_per_square_degree(extent) < LARGE_M2
    kept = np.flatnonzero(shapely.intersects(shapely.envelope(geometry), extent) & ~small)
    geometry = geometry[kept]
    dimension = shapely.get_dimensions(geometry)
    crossing = ~shapely.within(shapely.envelope(geometry), extent)
    broken = crossing & ~shapely.is_valid(geometry)
    geometry[broken] = shapely.make_valid(geometry[broken])
    geometry[crossing] = shapely.intersection(geometry[crossing], extent)
    # What is cut may be a collection of several kinds within each other.
    part, of = shapely.get_parts(geometry, return_index=True)
    part, inner = shapely.get_parts(part, return_index=True)
    of = of[inner]
    whole = (shapely.get_dimensions(part) == dimension[of]) & ~shapely.is_empty(part)
    part, of = part[whole], of[whole]
    # One name a thing: an area in pieces carries it on its largest.
    named = np.zeros(len(of), dtype=bool)
    order = np.lexsort([-shapely.area(part), of])
    named[order[np.unique(of[order], return_index=True)[1]]] = True
    named |= dimension[of] == 1
    features = []
    for shape, index, has_name in zip(part, kept[of], named, strict=True):
        kind, name, rank = about[index]
        features.append(Feature(kind, shape, name if has_name else "", rank))
    return features


def _m2_per_square_degree(extent: shapely.Polygon) -> float:
    return float(_METRES_PER_DEGREE**2 * np.cos(np.radians(extent.centroid.y)))


def _sea(coast: Geometries, extent: shapely.Polygon) -> list[Feature]:
    """The sea, from coastlines that have it on their right.

    Coastlines and the extent's border cut the extent into faces. A face is sea if the coastlines
    on its rim have it to their right; if a coastline ends within it or they contradict each other,
    nothing is known, and all coastlines are returned as lines, too.
    """
    import shapely

    coast = _joined(coast[shapely.intersects(coast, extent)], extent)
    if not len(coast):
        return []
    noded = shapely.get_parts(shapely.union_all([*coast, extent.boundary]))
    faces, cuts, dangles, _ = shapely.polygonize_full(noded)
    faces = shapely.get_parts(faces)
    faces = faces[shapely.contains(extent, shapely.point_on_surface(faces))]
    loose = shapely.get_parts([cuts, dangles])
    start, end = _segments(coast)
    tree = shapely.STRtree(shapely.linestrings(np.stack([start, end], axis=1)))
    features, is_told = [], True
    for face in faces:
        share_right = _share_right(face, tree, end - start)
        torn = bool(np.any(shapely.length(shapely.intersection(loose, face)) > _SAME_DEG))
        if torn or share_right is None or 1.0 - _SURE < share_right < _SURE:
            is_told = False
        elif share_right >= _SURE:
            features.append(Feature("water", face))
    if not is_told:
        lines = shapely.get_parts(shapely.intersection(coast, extent))
        lines = lines[shapely.get_dimensions(lines) == 1]
        features += [Feature("water", line) for line in lines]
    return features


def _joined(coast: Geometries, extent: shapely.Polygon) -> Geometries:
    """Coastlines end to end; those that an extract cut off close to its border, up to there."""
    import shapely

    merged = shapely.line_merge(shapely.multilinestrings(coast), directed=True)
    joined = []
    for line in shapely.get_parts(merged):
        points = shapely.get_coordinates(line)
        if not line.is_closed:
            first, last = _to_border(points[0], extent), _to_border(points[-1], extent)
            points = np.concatenate([first, points, last])
        joined.append(shapely.LineString(points))
    return np.array(joined, dtype=object)


def _to_border(end: npt.NDArray[np.float64], extent: shapely.Polygon) -> npt.NDArray[np.float64]:
    """Where a coastline's end inside the extent meets its border, [1, 2]; [0, 2] if it's far."""
    import shapely

    point = shapely.Point(end)
    nearest = shapely.get_coordinates(shapely.shortest_line(point, extent.boundary))[1:]
    away_m = float(np.hypot(*(nearest[0] - end))) * _METRES_PER_DEGREE
    return nearest if away_m < TORN_M and extent.contains(point) else np.empty((0, 2))


def _segments(lines: Geometries) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    import shapely

    points, line = shapely.get_coordinates(lines, return_index=True)
    goes_on = np.flatnonzero(np.diff(line) == 0)
    return points[goes_on], points[goes_on + 1]


def _share_right(
    face: shapely.Polygon, tree: shapely.STRtree, along: npt.NDArray[np.float64]
) -> float | None:
    """Share of the coastline on a face's rim that has the face on its right; None without any."""
    import shapely

    # With the face on their left.
    rings = shapely.get_rings(shapely.orient_polygons(face))
    start, end = _segments(rings)
    edge, segment = tree.query_nearest(
        shapely.points((start + end) / 2.0), max_distance=_SAME_DEG, all_matches=False
    )
    if not len(edge):
        return None
    step = (end - start)[edge]
    is_right = (step * along[segment]).sum(axis=1) < 0.0
    return float(np.average(is_right, weights=np.hypot(*step.T)))
