"""A scene as Mitsuba XML with PLY meshes, as Sionna loads it.

Two files describe the same triangles. ``scene.xml`` keeps walls, roofs and ground as separate
shapes, so that each can be given its own material. In ``shells.xml``, which the ray tracer uses,
walls and roofs of one material are one mesh: Sionna diffracts only at edges whose two faces are
in one mesh, and would take every roof edge of ``scene.xml`` for a loose end. The triangles of
terrain are joined there only along ridges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from rfplatform.mesh import PrismMesh, Surface, prism_mesh
from rfplatform.terrain import welded_at_ridges

if TYPE_CHECKING:
    from pathlib import Path

    from rfplatform.scene import Scene

RIDGE_FOLD_DEG = 5.0
"""Waves are diffracted over edges of the terrain that fold away by so much."""
_BASE_TOLERANCE_M = 1e-3


def write_scene(scene: Scene, directory: Path) -> PrismMesh:
    """Write ``scene.xml``, ``shells.xml`` and ``meshes/*.ply`` into an existing directory.

    Coordinates are local east-north-up metres in float32; `scene.frame` says where they are.

    Returns
    -------
    PrismMesh
        The triangles of the buildings, for whoever wants to look at them.
    """
    meshes = directory / "meshes"
    meshes.mkdir()
    prisms = prism_mesh(scene.buildings)
    parts = dict(_shapes(scene, prisms, separate=True))
    shells = dict(_shapes(scene, prisms, separate=False))
    for name, (vertices_m, faces, _) in (parts | shells).items():
        write_ply(meshes / f"{name}.ply", vertices_m, faces)
    for file, shapes in (("scene.xml", parts), ("shells.xml", shells)):
        materials = {name: material for name, (_, _, material) in shapes.items()}
        (directory / file).write_text(scene_xml(materials, _where(scene)), encoding="utf-8")
    return prisms


def _shapes(
    scene: Scene, prisms: PrismMesh, *, separate: bool
) -> Iterator[tuple[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], str]]]:
    ground = ground_mesh(scene)
    if scene.terrain is not None and not separate:
        ground = welded_at_ridges(*ground, RIDGE_FOLD_DEG)
        yield "ground-ridges", (*ground, scene.ground_material)
    else:
        yield "ground", (*ground, scene.ground_material)
    material = np.array([b.material for b in scene.buildings])
    base = np.array([b.base_m for b in scene.buildings])
    if not len(material):
        return
    # A floor that lies on the ground is no edge for waves: it goes with the ground's shapes, or
    # half of the diffraction samples would be spent on edges that nothing can reach.
    grounded = (prisms.surface == Surface.FLOOR) & (
        np.abs(base[prisms.building]) < _BASE_TOLERANCE_M
    )
    yield from _shape("floors", prisms, grounded, scene.ground_material)
    for name in np.unique(material):
        of_material = material[prisms.building] == name
        roof = of_material & (prisms.surface == Surface.ROOF)
        # The underside of a part that hangs belongs to its walls.
        wall = of_material & ~roof & ~grounded
        if separate:
            yield from _shape(f"walls-{name}", prisms, wall, name)
            yield from _shape(f"roofs-{name}", prisms, roof, name)
        else:
            yield from _shape(f"shells-{name}", prisms, wall | roof, name)


def _shape(
    name: str, prisms: PrismMesh, keep: npt.NDArray[np.bool_], material: str
) -> Iterator[tuple[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], str]]]:
    if keep.any():
        part = prisms.subset(keep)
        yield name, (part.vertices_m, part.faces, material)


def ground_mesh(
    scene: Scene,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """The terrain; without one, a rectangle at height 0 under the area and every building."""
    if scene.terrain is not None:
        return scene.terrain.mesh()
    west, south, east, north = scene.ground_bounds_m()
    corners = [(west, south, 0), (east, south, 0), (east, north, 0), (west, north, 0)]
    return np.array(corners, dtype=np.float32), np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def write_ply(
    path: Path, vertices_m: npt.NDArray[np.float32], faces: npt.NDArray[np.int32]
) -> None:
    """Write triangles as binary little-endian PLY."""
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices_m)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.empty(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces
    with path.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(np.ascontiguousarray(vertices_m, dtype="<f4").tobytes())
        file.write(rows.tobytes())


def _where(scene: Scene) -> str:
    frame = scene.frame
    return (
        f"{scene.area.name}: local east-north-up metres around\n"
        f"     easting {frame.origin_easting_m:.1f}, northing {frame.origin_northing_m:.1f}\n"
        f"     in {frame.crs}. {scene.attribution}"
    )


def scene_xml(materials: Mapping[str, str], comment: str) -> str:
    """A Mitsuba scene of the shapes ``meshes/NAME.ply``, as Sionna loads it.

    Parameters
    ----------
    materials : mapping of str to str
        The radio material of each shape's name.
    comment : str
        What the file says of itself.
    """
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f"<!-- {_comment(comment)} -->",
        '<scene version="2.1.0">',
    ]
    for material in sorted(set(materials.values())):
        lines += [
            f'  <bsdf type="itu-radio-material" id={quoteattr("itu_" + material)}>',
            f'    <string name="type" value={quoteattr(material)}/>',
            "  </bsdf>",
        ]
    for name, material in materials.items():
        lines += [
            f'  <shape type="ply" id={quoteattr(name)}>',
            f'    <string name="filename" value={quoteattr(f"meshes/{name}.ply")}/>',
            '    <boolean name="face_normals" value="true"/>',
            f'    <ref id={quoteattr("itu_" + material)} name="bsdf"/>',
            "  </shape>",
        ]
    return "\n".join([*lines, "</scene>", ""])


def _comment(text: str) -> str:
    return re.sub("-(?=-)", "- ", text)
