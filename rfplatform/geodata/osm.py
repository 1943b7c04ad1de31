"""Read buildings from OpenStreetMap files with pyosmium.

Measured on Monaco whole (23,361 buildings): 0.5 s and 43 MB against pyrosm's 2.8 s and 303 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform.errors import InputError
from rfplatform.geodata.footprints import OSM_ATTRIBUTION, TAG_COLUMNS, Footprints

if TYPE_CHECKING:
    from pathlib import Path

    import osmium

_KEYS = ("building", "building:part")


def read_osm_file(path: Path) -> Footprints:
    """Read every building and building part of an ``.osm``, ``.osm.pbf`` or compressed file.

    Multipolygon relations are assembled by libosmium. A closed way that it refuses (its outline
    crosses itself) is kept as drawn, to be repaired and counted later; what lacks nodes or
    members, as at an extract's border, is skipped and counted.

    Raises
    ------
    InputError
        If the file is missing, unreadable, truncated, or tells no area.
    """
    import osmium
    import shapely

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    wkb = osmium.geom.WKBFactory()
    counts: Counter[str] = Counter()
    shapes: list[str] = []
    tags: list[Mapping[str, str]] = []
    ids: list[str] = []
    drawn: dict[int, tuple[Any, Mapping[str, str]]] = {}
    try:
        wanted = osmium.filter.KeyFilter(*_KEYS)
        elements: Any = osmium.FileProcessor(str(path)).with_areas(wanted).with_filter(wanted)
        for element in elements:
            if element.is_area():
                way_or_relation = "way" if element.from_way() else "relation"
                try:
                    shapes.append(wkb.create_multipolygon(element))
                except RuntimeError:  # no valid ring: the way itself is looked at below
                    if way_or_relation == "relation":
                        counts["relations without a valid outline"] += 1
                    continue
                tags.append(_kept(element.tags))
                ids.append(f"{way_or_relation}/{element.orig_id()}")
                if way_or_relation == "way":
                    drawn.pop(element.orig_id(), None)
            elif element.is_way() and element.is_closed() and len(element.nodes) >= 4:
                drawn[element.id] = (_coordinates(element), _kept(element.tags))
        bounds = _header_bounds(path)
    except (RuntimeError, ValueError, osmium.InvalidLocationError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: not a readable OpenStreetMap file ({reason}); "
            "it may be truncated: fetch it again, or check it with 'osmium fileinfo'"
        ) from error

    geometry = list(shapely.from_wkb(np.array(shapes, dtype=object)))
    for way_id, (coordinates, way_tags) in drawn.items():
        if coordinates is None:
            counts["ways with missing nodes"] += 1
            continue
        geometry.append(shapely.Polygon(coordinates))
        tags.append(way_tags)
        ids.append(f"way/{way_id}")
    array = np.empty(len(geometry), dtype=object)
    array[:] = geometry
    if bounds is None:
        bounds = tuple(shapely.total_bounds(array)) if len(array) else _node_bounds(path)
    west, south, east, north = (float(v) for v in bounds)
    return Footprints(array, tags, ids, (west, south, east, north), OSM_ATTRIBUTION, dict(counts))


def _kept(tags: osmium.osm.TagList) -> dict[str, str]:
    return {tag.k: tag.v for tag in tags if tag.k in TAG_COLUMNS}


def _coordinates(way: osmium.osm.Way) -> list[tuple[float, float]] | None:
    if not all(node.location.valid() for node in way.nodes):
        return None
    return [(node.lon, node.lat) for node in way.nodes]


def _header_bounds(path: Path) -> tuple[float, float, float, float] | None:
    import osmium

    with osmium.io.Reader(str(path), osmium.osm.osm_entity_bits.NOTHING) as reader:
        box = reader.header().box()
    if not box.valid():
        return None
    low, high = box.bottom_left, box.top_right
    return low.lon, low.lat, high.lon, high.lat


def _node_bounds(path: Path) -> tuple[float, float, float, float]:
    import osmium

    nodes: Any = osmium.FileProcessor(str(path), osmium.osm.osm_entity_bits.NODE)
    lonlat = np.array([(node.lon, node.lat) for node in nodes if node.location.valid()])
    if len(lonlat) < 2:
        raise InputError(
            f"{path}: holds no buildings, no bounds and fewer than two nodes: the area is unknown"
        )
    west, south = lonlat.min(axis=0)
    east, north = lonlat.max(axis=0)
    return float(west), float(south), float(east), float(north)
