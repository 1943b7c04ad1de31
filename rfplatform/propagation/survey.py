"""A scene made elsewhere, looked at from above: where its ground lies and how high things reach.

The XML is read here, so that what is wrong with it is said in one line; triangles are loaded and
rays are cast in the ray tracer's worker process (`rfplatform.propagation.raytraced`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.frame import LOCAL, Frame
from rfplatform.propagation.worker import Worker
from rfplatform.scene import Area, LocalArea, Scene, Solids
from rfplatform.terrain import Terrain
from rfplatform.units import FloatArray

RESOLUTION_M = 1.0
"""Cell of the raster of tops, where that makes no more than `MAX_CELLS` of them."""

MAX_CELLS = 25_000_000
MAX_NODES = 1_000_000
"""Of the ground, whose nodes are two cells apart or more."""

FEWEST_CELLS = 400
"""Along the longer side: a small scene gets cells as much smaller."""

MARGIN_M = 50.0
"""How far the area goes on beyond what stands in it, where there is ground."""

FLAT_M = 1e-3
"""Ground that keeps within this of one height is flat, and at z = 0 needs no terrain."""

INSIDE_M = 1e-3
"""How far inside its border the ground is looked for, at its border."""

LOW_M = 0.3
"""What reaches no higher above the ground (kerbs, lawns laid on it) is not in the way."""

_GROUND_WORDS = (
    "asphalt|earth|floor|floors|grass|green|ground|groundplane|landscape|lidar|pavement|plane|"
    "road|roads|sidewalk|sidewalks|soil|street|streets|surface|terrain|topography|water"
)
_GROUND_NAME = re.compile(rf"(?:{_GROUND_WORDS})(?:[\W_]+(?:{_GROUND_WORDS}))*[\W\d_]*")
_GROUND_MATERIAL = re.compile(r"(?:^|[\W_])(?:ground|terrain|asphalt|soil|road)(?:[\W\d_]|$)")
_RADIO_MATERIALS = frozenset(
    {"itu-radio-material", "radio-material", "absorber-radio-material", "holder-material"}
)
_MAX_LISTED = 3

FoundBy = Literal["given", "name", "shape", "nothing"]
"""How the ground's shapes were told: by their ids, by their or their materials' names, as the
lowest wide and flat shape, or not at all."""


@dataclass(frozen=True)
class Shape:
    """A mesh of a scene.

    Attributes
    ----------
    name, material : str
        Its id, and that of its material.
    low_m, high_m : tuple of float
        Corners of the box around it: x, y, z.
    num_faces : int
        Triangles.
    """

    name: str
    material: str
    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]
    num_faces: int


@dataclass(frozen=True, eq=False)
class Survey:
    """What rays straight down on a scene have met.

    Attributes
    ----------
    bounds_m : tuple of float
        West, south, east, north of what was looked at.
    solids : Solids
    terrain : Terrain or None
        None where the ground is flat at z = 0.
    ground : tuple of str
        The shapes that are the ground.
    ground_by : str
        How they were told.
    ground_material : str
        Of the largest of them.
    materials : mapping of str to int
        How many shapes each radio material has.
    num_shapes, num_faces : int
        Of the whole scene.
    num_without_ground : int
        Cells below which there is no ground: there it goes on from the nearest.
    """

    bounds_m: tuple[float, float, float, float]
    solids: Solids
    terrain: Terrain | None
    ground: tuple[str, ...]
    ground_by: FoundBy
    ground_material: str
    materials: Mapping[str, int]
    num_shapes: int
    num_faces: int
    num_without_ground: int


def surveyed_scene(
    xml: Path,
    *,
    name: str,
    attribution: str = "",
    frame: Frame = LOCAL,
    ground_ids: Sequence[str] | None = None,
    area: Area | LocalArea | None = None,
) -> tuple[Scene, Survey]:
    """Make a scene of a Mitsuba XML file; the ray tracer will load the file as it is.

    Parameters
    ----------
    xml : Path
        With radio materials, or materials whose names Sionna takes for such ("itu_concrete").
        Its axes are taken as east, north and up, in metres.
    name, attribution : str
        The area's, and whose data it is.
    frame : Frame
        Where the file's (0, 0) lies; by default nowhere on Earth.
    ground_ids : sequence of str, optional
        The shapes that are the ground; by default they are told by name or shape.
    area : Area or LocalArea, optional
        What to keep. By default what stands in the scene and `MARGIN_M` around it where there is
        ground; on Earth, the box of longitudes and latitudes around that.

    Returns
    -------
    Scene
        With solids in place of buildings, and terrain unless the ground is flat at z = 0.
    Survey

    Raises
    ------
    InputError
        The file is no scene that can be traced, or the area lies outside it.
    """
    made = survey(xml, ground_ids, None if area is None else area.bounds_m(frame))
    if area is None:
        local = LocalArea(name, *made.bounds_m)
        area = local if frame.crs is None else _on_earth(local, frame)
    scene = Scene(
        replace(area, name=name),
        frame,
        (),
        ground_material=made.ground_material,
        attribution=attribution,
        terrain=made.terrain,
        solids=made.solids,
    )
    return scene, made


def survey(
    xml: Path,
    ground_ids: Sequence[str] | None = None,
    bounds_m: tuple[float, float, float, float] | None = None,
    resolution_m: float = RESOLUTION_M,
) -> Survey:
    """Cast rays straight down on a scene: on what is not ground, and on the ground alone.

    Parameters
    ----------
    xml : Path
    ground_ids : sequence of str, optional
        The shapes that are the ground, with or without Blender's "mesh-" before them.
    bounds_m : tuple of float, optional
        West, south, east, north to look at; by default see `surveyed_scene`.
    resolution_m : float
        Cell of the raster of tops; coarser beyond `MAX_CELLS`, finer in a small scene.

    Raises
    ------
    InputError
        The file is no scene that can be traced, a ground shape is not in it, or the bounds lie
        outside it.

    Notes
    -----
    A raster of tops knows nothing of what is below them: bridges, passages and trees count as
    solid down to the ground for the outdoor mask and the empirical solvers. The ray tracer has the
    triangles themselves.
    """
    from rfplatform.propagation.process import environment

    xml = Path(xml).resolve()
    check_xml(xml)
    with Worker("rfplatform.propagation.raytraced", environment()) as worker:
        reply = worker.ask("shapes", scene=str(xml))
        if "fault" in reply.values:
            raise InputError(f"{xml}: Sionna can't load this scene: {reply.values['fault']}")
        shapes = [Shape(**shape) for shape in reply.values["shapes"]]
        chosen, found_by = ground_shapes(shapes, ground_ids, xml)
        rest = [i for i in range(len(shapes)) if i not in chosen]
        extent_m = _extent(shapes, rest, sorted(chosen))
        if bounds_m is None:
            bounds_m = extent_m
        elif not _overlap(bounds_m, _box(shapes)):
            raise InputError(
                f"box {_listed(bounds_m)}: lies outside {xml.name}, which spans "
                f"{_listed(_box(shapes))} (W,S,E,N in local metres)"
            )
        raster = _Raster.over(bounds_m, resolution_m, MAX_CELLS)
        nodes = _Raster.over(bounds_m, 2.0 * raster.step_m, MAX_NODES).nodes()
        worker.ask("split", ground=sorted(chosen))
        top_m = raster.cast(worker, "rest")
        ground_m = raster.cast(worker, "ground")
        node_m = nodes.cast(worker, "ground")
    if np.isnan(node_m).all() or np.isnan(ground_m).all():
        found_by = "nothing"
        lowest_m = min(shape.low_m[2] for shape in shapes)
        ground_m, node_m = np.full_like(ground_m, lowest_m), np.full_like(node_m, lowest_m)
    terrain = _terrain(raster, ground_m, nodes, node_m, xml.name)
    missing = np.isnan(ground_m)
    level_m = _filled(ground_m) if missing.any() else ground_m
    # A ray that meets the ground first meets nothing on it.
    top_m = np.where(top_m > level_m + LOW_M, top_m, np.nan).astype(np.float32)
    largest = max(chosen, key=lambda i: _width_times_depth(shapes[i]), default=None)
    return Survey(
        bounds_m,
        Solids(xml, raster.west_m, raster.south_m, raster.step_m, top_m),
        terrain,
        tuple(shapes[i].name for i in sorted(chosen)) if found_by != "nothing" else (),
        found_by,
        "none" if largest is None else _plain_material(shapes[largest].material),
        dict(sorted(Counter(_plain_material(shape.material) for shape in shapes).items())),
        len(shapes),
        sum(shape.num_faces for shape in shapes),
        int(missing.sum()),
    )


def ground_shapes(
    shapes: Sequence[Shape], ground_ids: Sequence[str] | None, xml: Path
) -> tuple[frozenset[int], FoundBy]:
    """Indices of the shapes that are the ground, and how they were told.

    A shape counts by its name if that is made of words for ground alone ("Plane", "mesh-road_12",
    "lidar_terrain"), and by its material if one of these is a word of it ("itu_wet_ground").
    Failing that, it is the widest shape that is flat (a tenth as high as wide at most), covers a
    quarter of the scene and reaches down to the scene's lowest metre.

    Raises
    ------
    InputError
        If a given id is no shape's.
    """
    if ground_ids is not None:
        index = {_bare(shape.name): i for i, shape in enumerate(shapes)}
        unknown = [name for name in ground_ids if _bare(name) not in index]
        if unknown:
            raise InputError(f"{xml}: no shape {unknown[0]!r}, which should be ground")
        return frozenset(index[_bare(name)] for name in ground_ids), "given"
    named = frozenset(
        i
        for i, shape in enumerate(shapes)
        if _GROUND_NAME.fullmatch(_bare(shape.name).casefold())
        or _GROUND_MATERIAL.search(shape.material.casefold())
    )
    if named:
        return named, "name"
    west, south, east, north = _box(shapes)
    lowest_m = min(shape.low_m[2] for shape in shapes)
    flat = [
        i
        for i, shape in enumerate(shapes)
        if shape.high_m[2] - shape.low_m[2]
        <= 0.1 * max(shape.high_m[0] - shape.low_m[0], shape.high_m[1] - shape.low_m[1])
        and _width_times_depth(shape) >= 0.25 * (east - west) * (north - south)
        and shape.low_m[2] <= lowest_m + 1.0
    ]
    if not flat:
        return frozenset(), "nothing"
    return frozenset({max(flat, key=lambda i: _width_times_depth(shapes[i]))}), "shape"


def check_xml(xml: Path) -> None:
    """Find in a scene's XML what would stop the ray tracer, without loading any mesh.

    Raises
    ------
    InputError
        Not XML, not a Mitsuba scene, a document type (whose entities could name other files), no
        shapes, meshes that are missing, or shapes whose material is no radio material.
    """
    root = _parsed(xml)
    shapes = _shapes(root)
    if not shapes:
        raise InputError(f"{xml}: holds no shapes")
    files = _mesh_files(root)
    missing = [name for name in files if not (xml.parent / name).is_file()]
    if missing:
        raise InputError(
            f"{xml}: {len(missing)} of {len(files)} meshes are missing: "
            f"{_some(missing)}; they are looked for in {xml.parent}"
        )
    kinds = {b.get("id", ""): b for b in root.iter("bsdf")}
    faults: list[str] = []
    for shape in shapes:
        name = _bare(shape.get("id", "without an id"))
        inside = shape.find("bsdf")
        refs = [ref.get("id", "") for ref in shape.findall("ref")]
        if inside is not None:
            faults += _material_faults(inside)
        elif not refs:
            faults.append(f"shape {name!r} has no material")
        else:
            faults += [f"shape {name!r}: no material {ref!r}" for ref in refs if ref not in kinds]
            faults += [
                fault for ref in refs if ref in kinds for fault in _material_faults(kinds[ref])
            ]
    if faults:
        raise InputError(f"{xml}: {_some(list(dict.fromkeys(faults)), '; ')}")


def mesh_files(xml: Path) -> list[str]:
    """The files that a scene's shapes are in, as its XML names them, each once.

    Raises
    ------
    InputError
        Not XML, or not a Mitsuba scene.
    """
    return _mesh_files(_parsed(xml))


def _mesh_files(root: ET.Element) -> list[str]:
    given = {d.get("name", ""): d.get("value", "") for d in root.iter("default")}
    return sorted({_filled_in(f, given) for s in _shapes(root) for f in _values(s, "filename")})


def _shapes(root: ET.Element) -> list[ET.Element]:
    return [s for s in root.iter("shape") if s.get("type") != "merge"]


def _material_faults(bsdf: ET.Element) -> Iterator[str]:
    name, kind = bsdf.get("id", bsdf.get("name", "")), bsdf.get("type", "")
    if kind not in _RADIO_MATERIALS and not name.removeprefix("mat-").startswith(("itu_", "itu-")):
        yield (
            f"material {name!r} ({kind}) is no radio material: name it as one of ITU-R P.2040's "
            "(itu_concrete), or make it an itu-radio-material"
        )


class _NoDocumentType(ET.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:  # noqa: ARG002
        raise InputError("a document type (<!DOCTYPE>) is not read: delete it")


def _parsed(xml: Path) -> ET.Element:
    try:
        parser = ET.XMLParser(target=_NoDocumentType())  # noqa: S314  (no document types)
        root: ET.Element = ET.parse(xml, parser).getroot()  # noqa: S314
    except InputError as error:
        raise InputError(f"{xml}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"{xml}: no such file") from None
    except (ET.ParseError, UnicodeDecodeError, ValueError, LookupError) as error:
        raise InputError(f"{xml}: not XML: {error}") from None
    except OSError as error:
        raise InputError(f"{xml}: can't be read: {error.strerror}") from None
    if root.tag != "scene":
        raise InputError(f"{xml}: not a Mitsuba scene, whose first element is <scene>")
    return root


def _values(element: ET.Element, name: str) -> list[str]:
    return [
        child.get("value", "") for child in element.findall("string") if child.get("name") == name
    ]


def _filled_in(text: str, given: Mapping[str, str]) -> str:
    """Mitsuba's ``$name`` replaced by its default."""
    return re.sub(r"\$(\w+)", lambda match: given.get(match[1], match[0]), text)


def _some(items: Sequence[str], separator: str = ", ") -> str:
    more = f"{separator}and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return separator.join(items[:_MAX_LISTED]) + more


def _bare(name: str) -> str:
    """A shape's name without what Blender's exporter puts before it, as in Sionna."""
    return name.removeprefix("mesh-")


def _plain_material(name: str) -> str:
    return re.sub(r"^(mat-)?(itu[_-])?", "", name)


def _width_times_depth(shape: Shape) -> float:
    return (shape.high_m[0] - shape.low_m[0]) * (shape.high_m[1] - shape.low_m[1])


def _box(shapes: Sequence[Shape]) -> tuple[float, float, float, float]:
    """West, south, east, north of shapes."""
    low = np.min([shape.low_m for shape in shapes], axis=0)
    high = np.max([shape.high_m for shape in shapes], axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _extent(
    shapes: Sequence[Shape], rest: Sequence[int], ground: Sequence[int]
) -> tuple[float, float, float, float]:
    """What stands there and a margin around it, as far as there is ground."""
    if not rest or not ground:
        return _box(shapes)
    standing, land = _box([shapes[i] for i in rest]), _box([shapes[i] for i in ground])
    west, south = (min(standing[i], max(standing[i] - MARGIN_M, land[i])) for i in (0, 1))
    east, north = (max(standing[i], min(standing[i] + MARGIN_M, land[i])) for i in (2, 3))
    return west, south, east, north


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _listed(bounds: Sequence[float]) -> str:
    return ",".join(f"{bound:.6g}" for bound in bounds)


@dataclass(frozen=True)
class _Raster:
    """Points in rows and columns; `west_m` and `south_m` are their cells' corner.

    Points beyond the bounds, or on them, are taken a hair inside: there the ground ends.
    """

    west_m: float
    south_m: float
    east_m: float
    north_m: float
    step_m: float
    num_x: int
    num_y: int
    first: float = 0.5

    @classmethod
    def over(cls, bounds_m: tuple[float, float, float, float], step_m: float, most: int) -> _Raster:
        """Whole cells over bounds, coarser where there would be too many, and finer if few."""
        west, south, east, north = bounds_m
        width, height = max(east - west, 1e-3), max(north - south, 1e-3)
        step = min(step_m, max(width, height) / FEWEST_CELLS)
        step = max(step, float(np.sqrt(width * height / most)))
        num_x = int(np.ceil(width / step - 1e-6))
        num_y = int(np.ceil(height / step - 1e-6))
        return cls(west, south, east, north, step, max(num_x, 1), max(num_y, 1))

    def nodes(self) -> _Raster:
        """The corners of the cells, in place of their centres."""
        return replace(self, num_x=self.num_x + 1, num_y=self.num_y + 1, first=0.0)

    def x_m(self) -> FloatArray:
        x = self.west_m + (np.arange(self.num_x) + self.first) * self.step_m
        return np.asarray(np.clip(x, self.west_m + INSIDE_M, self.east_m - INSIDE_M))

    def y_m(self) -> FloatArray:
        y = self.south_m + (np.arange(self.num_y) + self.first) * self.step_m
        return np.asarray(np.clip(y, self.south_m + INSIDE_M, self.north_m - INSIDE_M))

    def cast(self, worker: Worker, on: Literal["ground", "rest"]) -> npt.NDArray[np.float32]:
        """Z where rays straight down first meet the ground, or the rest; NaN: nowhere."""
        points = {"x_m": self.x_m().tolist(), "y_m": self.y_m().tolist()}
        return worker.ask("cast", on=on, **points).arrays["z_m"]


def _terrain(
    raster: _Raster,
    ground_m: npt.NDArray[np.float32],
    nodes: _Raster,
    node_m: npt.NDArray[np.float32],
    source: str,
) -> Terrain | None:
    """The ground on nodes; None where it is flat at z = 0."""
    low, high = float(np.nanmin(ground_m)), float(np.nanmax(ground_m))
    low, high = min(low, float(np.nanmin(node_m))), max(high, float(np.nanmax(node_m)))
    if max(abs(low), abs(high)) <= FLAT_M:
        return None
    if high - low <= FLAT_M:
        size_m = nodes.step_m * (max(nodes.num_x, nodes.num_y) - 1)
        level = np.full((2, 2), (low + high) / 2, dtype=np.float32)
        return Terrain(nodes.west_m, nodes.south_m, size_m, level, (high - low) / 2, 0, source)
    voids = int(np.isnan(node_m).sum())
    terrain = Terrain(
        nodes.west_m, nodes.south_m, nodes.step_m, _filled(node_m), 0.0, voids, source
    )
    meshed_m = terrain.height_m(raster.x_m()[None, :], raster.y_m()[:, None])
    return replace(terrain, max_error_m=float(np.nanmax(np.abs(meshed_m - ground_m))))


def _filled(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """NaN replaced by the nearest value."""
    from scipy.ndimage import distance_transform_edt

    missing = np.isnan(values)
    if not missing.any():
        return values
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)], dtype=np.float32)


def _on_earth(area: LocalArea, frame: Frame) -> Area:
    """The box of longitudes and latitudes around a box in local metres."""
    west, south, east, north = area.bounds_m(frame)
    t = np.linspace(0.0, 1.0, 33)
    x, y = west + t * (east - west), south + t * (north - south)
    lon, lat = frame.to_lonlat(
        np.concatenate([x, x, np.full_like(t, west), np.full_like(t, east)]),
        np.concatenate([np.full_like(t, south), np.full_like(t, north), y, y]),
    )
    return Area(area.name, float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))
