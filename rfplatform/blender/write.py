"""A scene as a Blender file: one object a building, with its place on Earth kept beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.blender.materials import COLORS
from rfplatform.blender.process import ask_blender
from rfplatform.errors import InputError
from rfplatform.formats.mitsuba import ground_mesh
from rfplatform.mesh import PrismMesh, prism_mesh
from rfplatform.propagation.worker import Arrays
from rfplatform.radiomap import Sector
from rfplatform.scene import Area, Scene
from rfplatform.staging import staged


def write_blend(
    scene: Scene,
    path: str | os.PathLike[str],
    sectors: Sequence[Sector] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write a scene for editing in Blender.

    The collections "Buildings", "Terrain" and "Sites" hold an object for each building (named by
    its `osm_id`, its origin at the middle of its footprint at its base), the ground, and a marker
    for each sector, whose place and direction are the antenna's. Radio materials are Blender
    materials named "itu_concrete" and so on; 1 unit is 1 m, x points east and y to grid north.
    What Blender has no word for (CRS, origin, height sources, ...) lies in custom properties.
    `rfplatform.blender.read.read_blend` reads it all back.

    Parameters
    ----------
    scene : Scene
    path : path-like
        The ``.blend`` file; it appears when it is whole.
    sectors : sequence of Sector
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false, or if the scene was made elsewhere and has
        no buildings of its own.
    MissingError
        If Blender's Python module is not installed.
    WorkerError
        If Blender died.
    """
    if scene.solids is not None:
        raise InputError(
            f"{scene.area.name}: a scene made elsewhere can't be written for Blender; "
            "open its meshes there"
        )
    prisms = prism_mesh(scene.buildings)
    ground_vertices, ground_faces = ground_mesh(scene)
    vertices, faces, num_vertices, num_faces = _by_building(prisms, len(scene.buildings))
    origin = _origins_m(scene)
    arrays: Arrays = {
        "vertices": vertices - np.repeat(origin, num_vertices, axis=0),
        "faces": faces,
        "num_vertices": num_vertices,
        "num_faces": num_faces,
        "origin": origin,
        "ground_vertices": ground_vertices,
        "ground_faces": ground_faces,
    }
    materials = sorted({b.material for b in scene.buildings} | {scene.ground_material})
    with staged(path, overwrite) as partial:
        values = {
            "path": str(partial),
            "properties": _properties(scene),
            "materials": {name: COLORS[name] for name in materials},
            "ground_material": scene.ground_material,
            "buildings": [
                {
                    "osm_id": b.osm_id,
                    "outline_id": b.outline_id,
                    "material": b.material,
                    "height_source": b.height_source,
                    "height_m": b.top_m,
                    "base_m": b.base_m,
                    "ground_m": b.ground_m,
                }
                for b in scene.buildings
            ],
            "sectors": [asdict(s) for s in sectors],
        }
        ask_blender("write", values, arrays)


def _properties(scene: Scene) -> dict[str, Any]:
    """Custom properties of Blender's scene."""
    place: dict[str, Any] = {}
    if scene.frame.crs is not None:
        place |= {
            "rfplatform_crs": scene.frame.crs,
            "rfplatform_origin_easting_m": scene.frame.origin_easting_m,
            "rfplatform_origin_northing_m": scene.frame.origin_northing_m,
        }
    if isinstance(scene.area, Area):
        place["rfplatform_bounds_deg"] = list(scene.area.bounds_deg)
    return {
        **place,
        "rfplatform_version": __version__,
        "rfplatform_area": scene.area.name,
        "rfplatform_attribution": scene.attribution,
        "rfplatform_height_datum": "flat ground at z = 0"
        if scene.terrain is None
        else f"elevation model: {scene.terrain.source}",
    }


def _origins_m(scene: Scene) -> npt.NDArray[np.float32]:
    """The middle of every footprint at the height of its base, [num_buildings, 3]."""
    import shapely

    if not scene.buildings:
        return np.zeros((0, 3), dtype=np.float32)
    middle = shapely.centroid([b.footprint for b in scene.buildings])
    base = [b.base_z_m for b in scene.buildings]
    return np.column_stack([shapely.get_coordinates(middle), base]).astype(np.float32)


def _by_building(
    prisms: PrismMesh, num_buildings: int
) -> tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
]:
    """Vertices and faces building by building, faces counted from the building's first vertex."""
    owner = np.zeros(len(prisms.vertices_m), dtype=np.int64)
    owner[prisms.faces] = prisms.building[:, None]
    order = np.argsort(owner, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    num_vertices = np.bincount(owner, minlength=num_buildings)
    num_faces = np.bincount(prisms.building, minlength=num_buildings)
    first = np.cumsum(num_vertices) - num_vertices
    by_building = np.argsort(prisms.building, kind="stable")
    faces = place[prisms.faces[by_building]] - first[prisms.building[by_building]][:, None]
    return prisms.vertices_m[order], faces.astype(np.int32), num_vertices, num_faces
