"""The process in which Blender lives: ``python -m rfplatform.blender.worker``.

Nothing else imports bpy. Blender's Python module prints at its import, may crash on a broken
file, and brings libraries of its own; here all that stays among itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rfplatform.blender.materials import GROUND_MATERIALS, radio_material
from rfplatform.propagation.worker import Arrays, Handler, serve

Values: TypeAlias = dict[str, Any]
Float: TypeAlias = npt.NDArray[np.float64]

BUILDINGS, TERRAIN, SITES = "Buildings", "Terrain", "Sites"
SURFACES = frozenset({"MESH", "CURVE", "SURFACE", "FONT", "META"})
"""Types of Blender's objects that have triangles."""

GROUND_TOLERANCE_M = 1e-3
SECTOR_FIELDS = (
    "power_dbm", "frequency_hz", "bandwidth_hz", "antenna", "mount",
)  # fmt: skip

MARKER_LENGTH_M, MARKER_RADIUS_M = 12.0, 3.5
_PARALLEL = 0.9999
HEADINGS_DEG = (24.0, -24.0, 66.0, -66.0)
ELEVATION_DEG = 46.0
"""From straight down."""


# ----------------------------------------------------------------------------------------------
# Writing
# ----------------------------------------------------------------------------------------------


def write(path: str, arrays: str, **values: Any) -> tuple[Values, Arrays]:  # noqa: ANN401
    """Make a file of buildings, ground and sectors."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = "City"
    units = scene.unit_settings
    units.system, units.scale_length, units.length_unit = "METRIC", 1.0, "METERS"
    for key, value in values["properties"].items():
        scene[key] = value
    collections = {name: bpy.data.collections.new(name) for name in (BUILDINGS, TERRAIN, SITES)}
    for collection in collections.values():
        scene.collection.children.link(collection)
    materials = {name: _material(name, color) for name, color in values["materials"].items()}
    with np.load(arrays, allow_pickle=False) as stored:
        data = dict(stored)
    _add_buildings(collections[BUILDINGS], materials, values["buildings"], data)
    ground = _object("ground", _mesh("ground", data["ground_vertices"], data["ground_faces"]))
    ground.data.materials.append(materials[values["ground_material"]])
    ground["material"] = values["ground_material"]
    collections[TERRAIN].objects.link(ground)
    _add_sectors(collections[SITES], values["sectors"])
    corners = _corners(data["ground_vertices"], 30.0)
    _, heading_deg = _add_camera(scene, corners, (1600, 1000))
    _add_light(scene, heading_deg)
    _set_view(corners)
    bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False, compress=True)
    return {}, {}


def _material(name: str, color: Sequence[float]) -> Any:  # noqa: ANN401
    import bpy

    material = bpy.data.materials.new(f"itu_{name}")
    material.use_nodes = True
    material.diffuse_color = (*color, 1.0)
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*color, 1.0)
    shader.inputs["Roughness"].default_value = 0.35 if name in ("glass", "metal") else 0.85
    shader.inputs["Metallic"].default_value = 0.8 if name == "metal" else 0.0
    material["radio_material"] = name
    return material


def _mesh(name: str, vertices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> Any:  # noqa: ANN401
    """Triangles as a mesh of Blender's, flat-shaded, in a few calls whatever their number."""
    import bpy

    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(vertices, dtype=np.float32).ravel())
    mesh.loops.add(3 * len(faces))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, dtype=np.int32).ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, 3 * len(faces), 3, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.shade_flat()
    return mesh


def _object(name: str, data: Any, place: Sequence[float] = (0.0, 0.0, 0.0)) -> Any:  # noqa: ANN401
    import bpy

    made = bpy.data.objects.new(name, data)
    made.location = place
    return made


def _add_buildings(
    collection: Any,  # noqa: ANN401
    materials: Mapping[str, Any],
    buildings: Sequence[Mapping[str, Any]],
    data: Arrays,
) -> None:
    vertex = np.concatenate([[0], np.cumsum(data["num_vertices"])]).tolist()
    face = np.concatenate([[0], np.cumsum(data["num_faces"])]).tolist()
    origins = data["origin"].tolist()
    for i, building in enumerate(buildings):
        mesh = _mesh(
            building["osm_id"],
            data["vertices"][vertex[i] : vertex[i + 1]],
            data["faces"][face[i] : face[i + 1]],
        )
        mesh.materials.append(materials[building["material"]])
        made = _object(building["osm_id"], mesh, origins[i])
        for key, value in building.items():
            made[key] = value
        collection.objects.link(made)


def _add_sectors(collection: Any, sectors: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401
    if not sectors:
        return
    mesh = _mesh("sector", *_cone())
    mesh.materials.append(_material_of_marker())
    for sector in sectors:
        place = (sector["x_m"], sector["y_m"], sector["z_m"])
        made = _object(f"{sector['site']}/{sector['name']}", mesh, place)
        made.rotation_euler = (
            -math.radians(sector["downtilt_deg"]),
            0.0,
            -math.radians(sector["azimuth_deg"]),
        )
        for key, value in sector.items():
            made["sector" if key == "name" else key] = value
        collection.objects.link(made)


def _cone(sides: int = 24) -> tuple[Float, npt.NDArray[np.int32]]:
    """A closed cone from its tip at the origin, where the antenna is, to the north."""
    turn = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    rim = np.column_stack(
        [
            MARKER_RADIUS_M * np.cos(turn),
            np.full(sides, MARKER_LENGTH_M),
            MARKER_RADIUS_M * np.sin(turn),
        ]
    )
    vertices = np.vstack([np.zeros(3), [0.0, MARKER_LENGTH_M, 0.0], rim])
    here = np.arange(sides) + 2
    following = np.roll(here, -1)
    tip, middle = np.zeros(sides, dtype=int), np.ones(sides, dtype=int)
    faces = np.vstack(
        [np.column_stack([tip, here, following]), np.column_stack([middle, following, here])]
    )
    return vertices, faces.astype(np.int32)


def _material_of_marker() -> Any:  # noqa: ANN401
    import bpy

    material = bpy.data.materials.new("site marker")
    material.use_nodes = True
    material.diffuse_color = (0.85, 0.08, 0.05, 1.0)
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = material.diffuse_color
    shader.inputs["Roughness"].default_value = 0.6
    return material


def _corners(vertices: npt.NDArray[Any], above_m: float) -> Float:
    """The corners of a box over points, with something above them, [8, 3]."""
    low, high = vertices.min(axis=0).astype(float), vertices.max(axis=0).astype(float)
    high[2] += above_m
    x, y, z = np.meshgrid(*zip(low, high, strict=True), indexing="ij")
    return np.column_stack([x.ravel(), y.ravel(), z.ravel()])


def _add_light(scene: Any, heading_deg: float) -> None:  # noqa: ANN401
    """A sun from the left of a camera, so that the facades it sees differ, and a sky."""
    import bpy

    sun = bpy.data.lights.new("Sun", "SUN")
    sun.energy, sun.angle, sun.color = 2.1, math.radians(4.0), (1.0, 0.97, 0.92)
    made = _object("Sun", sun)
    made.rotation_euler = (math.radians(48.0), 0.0, math.radians(heading_deg - 70.0))
    scene.collection.objects.link(made)
    world = bpy.data.worlds.new("Sky")
    world.use_nodes = True
    background = next(n for n in world.node_tree.nodes if n.type == "BACKGROUND")
    background.inputs["Color"].default_value = (0.78, 0.86, 1.0, 1.0)
    background.inputs["Strength"].default_value = 0.5
    scene.world = world


def _add_camera(scene: Any, points: Float, size: Sequence[int]) -> tuple[Any, float]:  # noqa: ANN401
    """A camera half-way up that sees all points as large as it can, and where it stands.

    Of a few headings (degrees from south, counter-clockwise) it takes the one that fills the
    picture best, so that a long area lies along the picture's longer side.
    """
    import bpy

    lens = bpy.data.cameras.new("Camera")
    lens.lens, lens.clip_start, lens.clip_end = 70.0, 1.0, 1e5
    camera = _object("Camera", lens)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = size
    middle = points.mean(axis=0)
    fits = []
    for heading_deg in HEADINGS_DEG:
        camera.rotation_euler = (math.radians(ELEVATION_DEG), 0.0, math.radians(heading_deg))
        graph = bpy.context.evaluated_depsgraph_get()
        place, _ = camera.camera_fit_coords(graph, points.ravel().tolist())
        fits.append((float(np.linalg.norm(np.array(place) - middle)), heading_deg, tuple(place)))
    _, heading_deg, place = min(fits)
    camera.rotation_euler = (math.radians(ELEVATION_DEG), 0.0, math.radians(heading_deg))
    camera.location = place
    return camera, heading_deg


def _set_view(corners: Float) -> None:
    """What the file shows when it is opened: all of it, in the colours of its materials."""
    import bpy

    reach = float(np.ptp(corners, axis=0).max())
    for screen in bpy.data.screens:
        for area in screen.areas:
            for space in area.spaces:
                if space.type == "VIEW_3D":
                    space.clip_start, space.clip_end = 1.0, max(2e4, 10 * reach)
                    space.shading.type, space.shading.color_type = "SOLID", "MATERIAL"
                    space.shading.show_shadows = space.shading.show_cavity = True
                    region = space.region_3d
                    region.view_location = corners.mean(axis=0).tolist()
                    region.view_distance = 1.1 * reach


# ----------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------


class _UnusableError(Exception):
    """The file can't be used, and why: the caller's fault, not Blender's."""


def _telling(handler: Handler) -> Handler:
    """Answer what can't be used with the value "problem"."""

    @wraps(handler)
    def answer(**values: Any) -> tuple[Values, Arrays]:  # noqa: ANN401
        try:
            return handler(**values)
        except _UnusableError as problem:
            return {"problem": str(problem)}, {}

    return answer


def _open(path: str) -> None:
    """Open a file, its scripts left alone."""
    import bpy

    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    except RuntimeError as error:
        words = str(error).strip().splitlines()[-1].removeprefix("Error: ")
        raise _UnusableError(f"{path}: not a file that Blender opens ({words})") from error
    if bpy.data.version[:2] > bpy.app.version[:2]:
        theirs, ours = (".".join(map(str, v[:2])) for v in (bpy.data.version, bpy.app.version))
        raise _UnusableError(
            f"{path}: written by Blender {theirs}, and bpy here is {ours}: save it in a format "
            f"that {ours} reads, or update bpy"
        )


@_telling
def read(path: str) -> tuple[Values, Arrays]:
    """The triangles of a file as they would be seen, and what they are made of."""
    import bpy

    _open(path)
    scene = bpy.context.scene
    scale = float(scene.unit_settings.scale_length)
    materials: list[str] = []
    objects: list[Values] = []
    parts: list[tuple[Float, npt.NDArray[np.int32], npt.NDArray[np.int32]]] = []
    seen = set()
    for instance in bpy.context.evaluated_depsgraph_get().object_instances:
        shown = instance.object
        original = shown.original
        if original.type not in SURFACES or not instance.show_self:
            continue
        if _is_in(original, SITES) or not _is_visible(original):
            continue
        seen.add(original.name)
        part = _triangles(shown, np.array(instance.matrix_world, dtype=float), materials)
        if part is None:
            continue
        parts.append((part[0] * scale, *part[1:]))
        names = [materials[m] for m in np.unique(part[2])]
        objects.append(
            {
                "name": original.name,
                "ground": _is_ground(original, names),
                "height_source": str(original.get("height_source", "")),
                "osm_id": str(original.get("osm_id", "")),
            }
        )
    hidden = [
        o.name
        for o in scene.objects
        if o.type in SURFACES and o.name not in seen and not _is_in(o, SITES) and not _is_visible(o)
    ]
    arrays = _joined(parts)
    height = _ground_height(objects, arrays)
    arrays["face_grounded"] = _grounded(objects, arrays, height)
    properties = {
        key: _plain(value) for key, value in scene.items() if key.startswith("rfplatform_")
    }
    values = {
        "properties": properties,
        "materials": materials,
        "objects": objects,
        "hidden": hidden,
        "sectors": [_sector(o, scale, height) for o in _markers(scene)],
    }
    return values, arrays


def _is_visible(found: Any) -> bool:  # noqa: ANN401
    return bool(not found.hide_render and not found.hide_viewport and found.visible_get())


def _is_in(found: Any, collection: str) -> bool:  # noqa: ANN401
    """Whether an object lies in a collection of a name, or in a copy of that ("Sites.001")."""
    return any(
        c.name == collection or re.fullmatch(rf"{collection}\.\d+", c.name)
        for c in found.users_collection
    )


def _is_ground(found: Any, materials: Sequence[str]) -> bool:  # noqa: ANN401
    return _is_in(found, TERRAIN) or (
        bool(materials) and all(radio_material(name) in GROUND_MATERIALS for name in materials)
    )


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.to_list() if hasattr(value, "to_list") else value


def _triangles(
    shown: Any,  # noqa: ANN401
    to_world: Float,
    materials: list[str],
) -> tuple[Float, npt.NDArray[np.int32], npt.NDArray[np.int32]] | None:
    """World vertices, welded where they coincide, faces, and each face's index in `materials`.

    Modifiers have been applied; None where there is no triangle.
    """
    mesh = shown.to_mesh()
    if mesh is None:
        return None
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    if not count:
        shown.to_mesh_clear()
        return None
    vertices = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", vertices)
    faces = np.empty(3 * count, dtype=np.int32)
    mesh.loop_triangles.foreach_get("vertices", faces)
    slot = np.empty(count, dtype=np.int32)
    mesh.loop_triangles.foreach_get("material_index", slot)
    names = [s.material.name if s.material else "" for s in shown.material_slots] or [""]
    shown.to_mesh_clear()

    # Imported meshes have a corner for each face; unwelded, no edge would have two faces.
    corners, place = np.unique(vertices.reshape(-1, 3), axis=0, return_inverse=True)
    welded = place.reshape(-1)[faces].reshape(-1, 3).astype(np.int32)
    world = corners.astype(float) @ to_world[:3, :3].T + to_world[:3, 3]
    if np.linalg.det(to_world[:3, :3]) < 0:
        welded = welded[:, ::-1]  # A mirrored object is turned inside out.
    a, b, c = (world[welded[:, i]] for i in range(3))
    keep = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-9
    for name in names:
        if name not in materials:
            materials.append(name)
    index = np.array([materials.index(name) for name in names], dtype=np.int32)
    material = index[np.minimum(slot, len(index) - 1)]
    return (world, welded[keep], material[keep]) if keep.any() else None


def _joined(
    parts: Sequence[tuple[Float, npt.NDArray[np.int32], npt.NDArray[np.int32]]],
) -> Arrays:
    if not parts:
        parts = [(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros(0, np.int32))]
    sizes = [len(vertices) for vertices, _, _ in parts]
    first = np.cumsum([0, *sizes[:-1]])
    return {
        "vertices": np.concatenate([vertices for vertices, _, _ in parts]),
        "faces": np.concatenate([f + k for (_, f, _), k in zip(parts, first, strict=True)]).astype(
            np.int32
        ),
        "face_material": np.concatenate([m for _, _, m in parts]).astype(np.int32),
        "face_object": np.repeat(np.arange(len(parts)), [len(f) for _, f, _ in parts]).astype(
            np.int32
        ),
    }


class _Ground:
    """Height of the ground's triangles under points; NaN beside them."""

    def __init__(self, vertices: Float, faces: npt.NDArray[np.int32]) -> None:
        used = vertices[np.unique(faces)] if len(faces) else vertices[:0]
        self._tree: Any = None
        if not len(used):
            self._box = np.full((2, 3), np.nan)
            return
        self._box = np.array([used.min(axis=0), used.max(axis=0)])
        from mathutils.bvhtree import BVHTree

        self._tree = BVHTree.FromPolygons(vertices.tolist(), faces.tolist(), all_triangles=True)

    def __call__(self, x: float, y: float) -> float:
        if self._tree is None:
            return math.nan
        top = self._box[1, 2]
        if top - self._box[0, 2] < GROUND_TOLERANCE_M:
            inside = (self._box[0, :2] <= (x, y)).all() and ((x, y) <= self._box[1, :2]).all()
            return float(top) if inside else math.nan
        hit = self._tree.ray_cast((x, y, top + 10.0), (0.0, 0.0, -1.0))[0]
        return math.nan if hit is None else float(hit[2])


def _ground_height(objects: Sequence[Values], arrays: Arrays) -> _Ground:
    is_ground = np.array([o["ground"] for o in objects], dtype=bool)
    faces = arrays["faces"][is_ground[arrays["face_object"]]] if objects else arrays["faces"]
    used, faces = np.unique(faces, return_inverse=True)
    return _Ground(arrays["vertices"][used], faces.reshape(-1, 3).astype(np.int32))


def _grounded(objects: Sequence[Values], arrays: Arrays, height: _Ground) -> npt.NDArray[np.bool_]:
    """Undersides that lie on the ground or below it."""
    corners = arrays["vertices"][arrays["faces"]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    down = normal[:, 2] < -_PARALLEL * np.linalg.norm(normal, axis=1)
    is_ground = np.array([o["ground"] for o in objects], dtype=bool)
    grounded = np.zeros(len(corners), dtype=bool)
    if not objects:
        return grounded
    for i in np.flatnonzero(down & ~is_ground[arrays["face_object"]]).tolist():
        x, y, z = corners[i].mean(axis=0).tolist()
        grounded[i] = z <= height(x, y) + GROUND_TOLERANCE_M
    return grounded


def _markers(scene: Any) -> Iterator[Any]:  # noqa: ANN401
    """Objects that stand for sectors."""
    for found in scene.objects:
        if "site" in found and "sector" in found and _is_visible(found):
            yield found


def _sector(marker: Any, scale: float, height: _Ground) -> Values:  # noqa: ANN401
    """A sector where its marker stands, pointing where it points."""
    to_world = np.array(marker.matrix_world, dtype=float)
    x, y, z = (to_world[:3, 3] * scale).tolist()
    forward = to_world[:3, 1] / np.linalg.norm(to_world[:3, 1])
    tilt = math.degrees(math.asin(float(np.clip(-forward[2], -1.0, 1.0))))
    azimuth = math.degrees(math.atan2(forward[0], forward[1])) % 360.0
    ground = height(x, y)
    return {
        "site": str(marker["site"]),
        "name": str(marker["sector"]),
        "x_m": x,
        "y_m": y,
        "z_m": z,
        "azimuth_deg": _same_angle(azimuth, marker.get("azimuth_deg")),
        "downtilt_deg": _same_angle(tilt, marker.get("downtilt_deg")),
        "ground_m": 0.0 if math.isnan(ground) else ground,
        **{key: _plain(marker[key]) for key in SECTOR_FIELDS if key in marker.keys()},  # noqa: SIM118
    }


def _same_angle(found_deg: float, stated: Any) -> float:  # noqa: ANN401
    """The stated angle where the marker has not been turned: its matrix is of float32."""
    if isinstance(stated, int | float):
        apart = (found_deg - stated + 180.0) % 360.0 - 180.0
        if abs(apart) < 1e-3:
            return float(stated)
    return found_deg


# ----------------------------------------------------------------------------------------------
# Rendering
# ----------------------------------------------------------------------------------------------

CLAY = (0.79, 0.79, 0.78)
CONTACT_M = 14.0
SLAB = (0.74, 0.75, 0.76)


@_telling
def render(
    path: str,
    image: str,
    out: str,
    box_m: Sequence[float],
    place: Sequence[Any] | None,
    masts: Sequence[Mapping[str, Any]],
    size: Sequence[int],
    samples: int,
) -> tuple[Values, Arrays]:
    """A picture of a file with an image over its ground, and where sites are in it.

    Parameters
    ----------
    path, image, out : str
        The file, the image to drape, and the PNG to write (with a transparent background).
    box_m : sequence of float
        West, south, east, north of the image in its local metres.
    place : (str, float, float) or None
        CRS, easting and northing of the image's local metres; None: they are the file's.
    masts : sequence of mapping
        "name", "x_m", "y_m", "z_m", "height_m", "azimuths_deg" of each, in the image's metres;
        none: the file's own markers are shown.
    size : (int, int)
        Width and height in pixels.
    samples : int
        Rays a pixel.
    """
    import bpy

    _open(path)
    scene = bpy.context.scene
    scale = float(scene.unit_settings.scale_length)
    east, north = _shift(path, scene, place)
    west, south = box_m[0] + east, box_m[1] + north
    box = [west, south, box_m[2] + east, box_m[3] + north]
    drape = _drape_material(image, [b / scale for b in box])
    points = _dress(scene, drape)
    if not points:
        raise _UnusableError(f"{path}: holds nothing to show")
    shown = np.concatenate(points)[:, :2] * scale
    if (shown.max(axis=0) < box[:2]).any() or (shown.min(axis=0) > box[2:]).any():
        raise _UnusableError(f"{path}: the radio map lies elsewhere: no cell of it is here")
    tops = _add_masts(scene, masts, scale, east, north)
    for found in list(scene.objects):
        if found.type in ("LIGHT", "CAMERA"):
            bpy.data.objects.remove(found)
    camera, heading_deg = _add_camera(scene, np.concatenate(points), size)
    _add_light(scene, heading_deg)
    _set_engine(scene, size, samples)
    scene.render.filepath = out
    bpy.ops.render.render(write_still=True)
    return {
        "masts": _projected(scene, camera, tops),
        "north": _north(scene, camera, np.concatenate(points)),
        "area": str(scene.get("rfplatform_area", "")),
        "attribution": str(scene.get("rfplatform_attribution", "")),
    }, {}


def _shift(path: str, scene: Any, place: Sequence[Any] | None) -> tuple[float, float]:  # noqa: ANN401
    """From the image's local metres to the file's."""
    crs = scene.get("rfplatform_crs")
    if place is None or not crs:
        return 0.0, 0.0
    if crs != place[0]:
        raise _UnusableError(f"{path}: its CRS is {crs}, the radio map's {place[0]}")
    return (
        float(place[1] - scene["rfplatform_origin_easting_m"]),
        float(place[2] - scene["rfplatform_origin_northing_m"]),
    )


def _dress(scene: Any, drape: Any) -> list[Float]:  # noqa: ANN401
    """Give the ground its drape and all else a plain coat; the boxes of all that is shown."""
    import bpy

    clay = _coat("clay", CLAY)
    points: list[Float] = []
    for found in scene.objects:
        if found.type not in SURFACES or not _is_visible(found):
            continue
        if _is_in(found, SITES):
            continue
        names = [s.material.name if s.material else "" for s in found.material_slots]
        is_ground = _is_ground(found, names)
        if not found.material_slots:
            found.data.materials.append(None)
        for slot in found.material_slots:
            slot.material = drape if is_ground else clay
        if found.get("osm_id"):
            # Parts that are mapped twice coincide, and would cast their shadows on each other.
            found.scale = [s * (1.0 + 1e-4 * (len(points) % 7)) for s in found.scale]
        corners = np.array([tuple(c) for c in found.bound_box])
        world = np.array(found.matrix_world, dtype=float)
        points.append(corners @ world[:3, :3].T + world[:3, 3])
    bpy.context.view_layer.update()
    return points


def _coat(name: str, color: Sequence[float]) -> Any:  # noqa: ANN401
    import bpy

    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*color, 1.0)
    shader.inputs["Roughness"].default_value = 1.0
    shader.inputs["Specular IOR Level"].default_value = 0.0
    return material


def _drape_material(image: str, box: Sequence[float]) -> Any:  # noqa: ANN401
    """An image laid on a surface from straight above, in its own colours, whatever the light."""
    import bpy

    west, south, east, north = box
    material = _coat("drape", SLAB)
    tree = material.node_tree
    plain = next(n for n in tree.nodes if n.type == "BSDF_PRINCIPLED")
    output = next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL")
    place = tree.nodes.new("ShaderNodeNewGeometry")
    offset = tree.nodes.new("ShaderNodeVectorMath")
    offset.operation = "SUBTRACT"
    offset.inputs[1].default_value = (west, south, 0.0)
    shrink = tree.nodes.new("ShaderNodeVectorMath")
    shrink.operation = "DIVIDE"
    shrink.inputs[1].default_value = (east - west, north - south, 1.0)
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = bpy.data.images.load(image)
    texture.extension, texture.interpolation = "CLIP", "Linear"
    glow = tree.nodes.new("ShaderNodeEmission")
    mix = tree.nodes.new("ShaderNodeMixShader")
    # Streets darken a little along walls, so that the buildings stand instead of floating.
    shade = tree.nodes.new("ShaderNodeAmbientOcclusion")
    shade.inputs["Distance"].default_value = CONTACT_M
    shade.samples = 4
    strength = tree.nodes.new("ShaderNodeMapRange")
    strength.inputs["To Min"].default_value, strength.inputs["To Max"].default_value = 0.72, 1.0
    link = tree.links.new
    link(shade.outputs["AO"], strength.inputs["Value"])
    link(strength.outputs["Result"], glow.inputs["Strength"])
    link(place.outputs["Position"], offset.inputs[0])
    link(offset.outputs[0], shrink.inputs[0])
    link(shrink.outputs[0], texture.inputs["Vector"])
    link(texture.outputs["Color"], glow.inputs["Color"])
    link(texture.outputs["Alpha"], mix.inputs["Fac"])
    link(plain.outputs[0], mix.inputs[1])
    link(glow.outputs[0], mix.inputs[2])
    link(mix.outputs[0], output.inputs["Surface"])
    return material


def _add_masts(
    scene: Any,  # noqa: ANN401
    masts: Sequence[Mapping[str, Any]],
    scale: float,
    east_m: float,
    north_m: float,
) -> list[tuple[str, tuple[float, float, float]]]:
    """A pole with a wedge for each direction on every mast; the names and tops of the masts."""
    import bpy

    if not masts:
        return [(str(o["site"]), tuple(o.matrix_world.translation)) for o in _markers(scene)]
    for found in _markers(scene):
        found.hide_render = True
    paint = _coat("mast", (0.70, 0.03, 0.02))
    cone = _mesh("pointer", *_cone())
    pole = _mesh("pole", *_pole())
    for mesh in (cone, pole):
        mesh.materials.append(paint)
    tops = []
    for site in masts:
        x, y = (site["x_m"] + east_m) / scale, (site["y_m"] + north_m) / scale
        z = site["z_m"] / scale
        made = _object(site["name"], pole, (x, y, z))
        made.scale = (1.0, 1.0, max(site["height_m"] / scale, 1.0) + 14.0)
        made.location[2] -= max(site["height_m"] / scale, 1.0)
        scene.collection.objects.link(made)
        for azimuth in site["azimuths_deg"]:
            pointer = _object(site["name"], cone, (x, y, z + 9.0))
            pointer.rotation_euler = (0.0, 0.0, -math.radians(azimuth))
            pointer.scale = (2.4, 2.4, 1.6)
            scene.collection.objects.link(pointer)
        tops.append((site["name"], (x, y, z + 14.0)))
    bpy.context.view_layer.update()
    return tops


def _pole(radius: float = 1.1, sides: int = 12) -> tuple[Float, npt.NDArray[np.int32]]:
    """A cylinder of height 1."""
    turn = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    ring = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), np.zeros(sides)])
    vertices = np.vstack([ring, ring + np.array([0.0, 0.0, 1.0]), [[0.0, 0.0, 1.0]]])
    here = np.arange(sides)
    following = np.roll(here, -1)
    faces = np.vstack(
        [
            np.column_stack([here, following, following + sides]),
            np.column_stack([here, following + sides, here + sides]),
            np.column_stack([here + sides, following + sides, np.full(sides, 2 * sides)]),
        ]
    )
    return vertices, faces.astype(np.int32)


def _set_engine(scene: Any, size: Sequence[int], samples: int) -> None:  # noqa: ANN401
    import bpy

    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.use_denoising = "CPU", samples, True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.03
    cycles.max_bounces, cycles.diffuse_bounces = 2, 2
    cycles.seed = 0
    scene.render.film_transparent = True
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    # The drape's colours must leave as they came, or they would not match the legend.
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0
    scene.render.use_compositing = scene.render.use_sequencer = False
    bpy.context.view_layer.update()


def _north(scene: Any, camera: Any, points: Float) -> tuple[float, float]:  # noqa: ANN401
    """Grid north in the picture's middle, as a direction in pixels to the right and up."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    x, y, z = (points.min(axis=0) + points.max(axis=0)).tolist()
    here, there = (
        np.array(world_to_camera_view(scene, camera, Vector((x / 2, y / 2 + step, z / 2)))[:2])
        for step in (0.0, 100.0)
    )
    way = (there - here) * [scene.render.resolution_x, scene.render.resolution_y]
    across, up = (way / np.linalg.norm(way)).tolist()
    return across, up


def _projected(
    scene: Any,  # noqa: ANN401
    camera: Any,  # noqa: ANN401
    places: Sequence[tuple[str, tuple[float, float, float]]],
) -> list[Values]:
    """Where places are in the picture, from its lower left corner, 0..1."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    found = []
    for name, place in places:
        across, up, _ = world_to_camera_view(scene, camera, Vector(place))
        found.append({"name": name, "across": float(across), "up": float(up)})
    return found


if __name__ == "__main__":
    serve({"write": write, "read": read, "render": render}, "Blender")
