"""From footprints with tags to a scene: crop, repair, parts, heights, materials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rfplatform.frame import Frame
from rfplatform.geodata.footprints import Footprints
from rfplatform.geodata.heights import (
    NEIGHBOUR_RADIUS_M,
    fill_heights,
    tagged_base_m,
    tagged_height_m,
)
from rfplatform.geodata.materials import itu_material
from rfplatform.geodata.place import require_overlap
from rfplatform.scene import Area, Building, HeightSource, Scene

MIN_FOOTPRINT_M2 = 1.0
SIMPLIFY_M = 0.02
OPENING_M = 0.01
CANOPY_THICKNESS_M = 0.5
SHORTEST_DEGREE_M = 110_500.0
"""Of latitude, at the equator; and less than one of longitude there."""

_NOT_SOLID = {"no", "entrance", "steps", "foundation", "ruins"}
Geometries = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Valid polygons in local metres, each with the index of the footprint it came from."""

    polygon: Geometries
    source: npt.NDArray[np.intp]


def build_scene(footprints: Footprints, name: str, bbox: Area | None = None) -> Scene:
    """Make a scene of a source's buildings, or of those that touch a box.

    Buildings that the box cuts are kept whole, with all their parts, and are as high as they would
    be without the box: what stands around it is looked at (and counted), too. Where building parts
    cover an outline, they stand for it, and what they leave uncovered keeps the outline's own
    height ("Simple 3D Buildings").

    Parameters
    ----------
    footprints : Footprints
    name : str
        The area's name, for titles.
    bbox : Area, optional
        What to keep; by default all of the source.

    Raises
    ------
    InputError
        If the box lies outside the source's bounds.
    """
    area = _crop(footprints.bounds_deg, name, bbox)
    frame = area.frame()
    counts: Counter[str] = Counter(footprints.counts)
    inside = _touching(footprints.geometry, area, bbox is not None)
    used = _used(footprints, inside, counts)
    pieces = _clean(footprints.geometry[used], used, frame, counts)
    is_part = np.array(["building:part" in footprints.tags[i] for i in pieces.source], dtype=bool)
    is_part &= np.array(
        [footprints.tags[i].get("building", "no") == "no" for i in pieces.source], dtype=bool
    )
    pieces, is_part, outline_of = _resolve_parts(footprints.tags, pieces, is_part, counts)
    kept = inside[pieces.source] | ((outline_of >= 0) & inside[outline_of])
    counts["building parts"] += int((is_part & kept).sum())
    buildings = _extrude(footprints, pieces, outline_of, kept, counts)
    return Scene(area, frame, buildings, attribution=footprints.attribution, counts=dict(counts))


def _crop(bounds_deg: tuple[float, float, float, float], name: str, bbox: Area | None) -> Area:
    whole = Area(name, *bounds_deg)
    if bbox is None:
        return whole
    require_overlap(bbox, whole)
    west, south = max(whole.west_deg, bbox.west_deg), max(whole.south_deg, bbox.south_deg)
    east, north = min(whole.east_deg, bbox.east_deg), min(whole.north_deg, bbox.north_deg)
    return Area(name, west, south, east, north)


def _touching(geometry: Geometries, area: Area, cropped: bool) -> npt.NDArray[np.bool_]:
    if not cropped:
        return np.ones(len(geometry), dtype=bool)
    # By their bounds: an outline that crosses itself would make the exact test raise.
    return np.asarray(shapely.intersects(shapely.envelope(geometry), shapely.box(*area.bounds_deg)))


def _used(
    footprints: Footprints, inside: npt.NDArray[np.bool_], counts: Counter[str]
) -> npt.NDArray[np.intp]:
    """Indices of the footprints above ground that are inside, or that those inside depend on."""
    keep = inside.copy()
    if inside.any() and not inside.all():
        envelope = shapely.envelope(footprints.geometry)
        # The neighbours whose heights are asked for, then their parts.
        for margin_m in (NEIGHBOUR_RADIUS_M, 0.0):
            west, south, east, north = shapely.total_bounds(envelope[keep])
            lat = margin_m / SHORTEST_DEGREE_M
            lon = lat / np.cos(np.radians(max(abs(south), abs(north))))
            around = shapely.box(west - lon, south - lat, east + lon, north + lat)
            keep = shapely.intersects(envelope, around)
    for i in np.flatnonzero(keep).tolist():
        if reason := _not_standing(footprints.tags[i]):
            counts[reason] += int(inside[i])
            keep[i] = False
    return np.flatnonzero(keep)


def _not_standing(tags: Mapping[str, str]) -> str | None:
    if tags.get("building", "yes") in _NOT_SOLID and "building:part" not in tags:
        return "not solid (building=no, entrance, ruins ...)"
    no_part = tags.get("building:part") == "no" and "building" not in tags
    if no_part or tags.get("location") == "underground":
        return "underground or not a part"
    try:
        below = float(tags.get("layer", "0")) < 0
    except ValueError:
        below = False
    return "underground or not a part" if below and "height" not in tags else None


def _clean(
    geometry: Geometries, source: npt.NDArray[np.intp], frame: Frame, counts: Counter[str]
) -> _Pieces:
    """Project, repair, split into polygons, drop collinear points and slivers."""

    def project(lonlat: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.column_stack(frame.from_lonlat(lonlat[:, 0], lonlat[:, 1]))

    local = shapely.transform(shapely.force_2d(geometry), project)
    valid = shapely.is_valid(local)
    if not valid.all():
        counts["outlines repaired"] += int((~valid).sum())
        local[~valid] = shapely.make_valid(local[~valid])
    polygon, part_of = shapely.get_parts(local, return_index=True)
    # make_valid may leave a collection of polygons and lines within one part.
    polygon, nested = shapely.get_parts(polygon, return_index=True)
    source = source[part_of[nested]]
    flat = shapely.get_dimensions(polygon) == 2
    polygon, source = polygon[flat], source[flat]
    polygon, opened = _open_touching_rings(shapely.simplify(polygon, SIMPLIFY_M), counts)
    polygon, source = shapely.orient_polygons(polygon), source[opened]
    good = shapely.is_valid(polygon) & (shapely.area(polygon) >= MIN_FOOTPRINT_M2)
    if not good.all():
        counts["slivers dropped"] += int((~good).sum())
    return _Pieces(polygon[good], source[good])


def _open_touching_rings(
    polygon: Geometries, counts: Counter[str]
) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Part rings that touch (a courtyard with a corner on the outline) by a gap of `OPENING_M`.

    A prism over such a polygon is no manifold: four walls would meet at one edge. Returns the
    polygons and which one each came from.
    """
    touching = np.flatnonzero(shapely.get_num_interior_rings(polygon) > 0)
    touching = touching[~shapely.is_simple(shapely.boundary(polygon[touching]))]
    if not len(touching):
        return polygon, np.arange(len(polygon))
    counts["touching rings opened"] += len(touching)
    polygon = polygon.copy()
    polygon[touching] = shapely.buffer(polygon[touching], -OPENING_M / 2, join_style="mitre")
    parts, source = shapely.get_parts(polygon, return_index=True)
    return parts, source


def _resolve_parts(
    tags: Sequence[Mapping[str, str]],
    pieces: _Pieces,
    is_part: npt.NDArray[np.bool_],
    counts: Counter[str],
) -> tuple[_Pieces, npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Cut parts out of the outlines that they lie in.

    Returns the pieces left, which of them are parts, and for each part the footprint of its
    outline (-1: none).
    """
    outline_of = np.full(len(pieces.polygon), -1, dtype=np.intp)
    parts, outlines = np.flatnonzero(is_part), np.flatnonzero(~is_part)
    if not len(parts) or not len(outlines):
        return pieces, is_part, outline_of
    tree = shapely.STRtree(pieces.polygon[outlines])
    inner = shapely.point_on_surface(pieces.polygon[parts])
    part, outline = tree.query(inner, predicate="within")
    # Where outlines overlap, a part's own is the smallest of those that tell a height, or of all:
    # it is written last.
    tells = np.array([tagged_height_m(tags[i]) is not None for i in pieces.source[outlines]])
    size = shapely.area(pieces.polygon[outlines])
    order = np.lexsort((outline, -size[outline], tells[outline]))
    part, outline = part[order], outline[order]
    outline_of[parts[part]] = pieces.source[outlines[outline]]
    remainder: dict[int, Geometries] = {}
    for o in np.unique(outline):
        inside = shapely.union_all(pieces.polygon[parts[part[outline == o]]])
        left = shapely.get_parts(
            shapely.buffer(shapely.difference(pieces.polygon[outlines[o]], inside), -0.05)
        )
        left = shapely.get_parts(shapely.buffer(left, 0.05, join_style="mitre"))
        left, _ = _open_touching_rings(shapely.simplify(left, SIMPLIFY_M), counts)
        left = shapely.orient_polygons(left)
        remainder[int(outlines[o])] = left[
            shapely.is_valid(left) & (shapely.area(left) >= MIN_FOOTPRINT_M2)
        ]
    counts["outlines given by their parts"] += sum(len(left) == 0 for left in remainder.values())
    counts["outlines cut by parts"] += sum(len(left) > 0 for left in remainder.values())
    untouched = np.setdiff1d(np.arange(len(pieces.polygon)), list(remainder))
    extra = [(polygon, i) for i, left in remainder.items() for polygon in left]
    index = np.concatenate([untouched, np.array([i for _, i in extra], dtype=np.intp)])
    polygon = np.empty(len(index), dtype=object)
    polygon[: len(untouched)] = pieces.polygon[untouched]
    polygon[len(untouched) :] = [p for p, _ in extra]
    return _Pieces(polygon, pieces.source[index]), is_part[index], outline_of[index]


def _extrude(
    footprints: Footprints,
    pieces: _Pieces,
    outline_of: npt.NDArray[np.intp],
    kept: npt.NDArray[np.bool_],
    counts: Counter[str],
) -> tuple[Building, ...]:
    """The pieces that are kept, with heights for which all of them count."""
    tagged: list[tuple[float, HeightSource] | None] = [
        _own_or_outline_height(footprints.tags, int(source), int(outline))
        for source, outline in zip(pieces.source, outline_of, strict=True)
    ]
    centroid = shapely.get_coordinates(shapely.centroid(pieces.polygon))
    top_m, from_neighbours = fill_heights([t[0] if t else None for t in tagged], centroid)
    buildings = []
    for k in np.flatnonzero(kept).tolist():
        source = pieces.source[k]
        tags = footprints.tags[source]
        base_m, height_source = tagged_base_m(tags), tagged[k][1] if tagged[k] else None  # type: ignore[index]
        if tags.get("building") == "roof" or tags.get("building:part") == "roof":
            # A canopy: a slab that rays pass under.
            base_m = max(base_m, float(top_m[k]) - CANOPY_THICKNESS_M, 0.0)
        if base_m >= top_m[k]:
            counts["min_height not below height, ignored"] += 1
            base_m = 0.0
        material = tags.get("building:material")
        if material is None and outline_of[k] >= 0:
            material = footprints.tags[outline_of[k]].get("building:material")
        buildings.append(
            Building(
                pieces.polygon[k],
                base_m,
                float(top_m[k]),
                height_source or ("neighbours" if from_neighbours[k] else "default"),
                itu_material(material),
                footprints.ids[source],
                outline_id=footprints.ids[outline_of[k]] if outline_of[k] >= 0 else "",
            )
        )
    return tuple(buildings)


def _own_or_outline_height(
    tags: Sequence[Mapping[str, str]], source: int, outline: int
) -> tuple[float, HeightSource] | None:
    own = tagged_height_m(tags[source])
    return tagged_height_m(tags[outline]) if own is None and outline >= 0 else own
