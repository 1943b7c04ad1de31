"""A Blender file, edited or not, as the meshes that the ray tracer loads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.blender.materials import COLORS, radio_material
from rfplatform.blender.process import ask_blender
from rfplatform.errors import InputError, unknown_name
from rfplatform.formats.mitsuba import scene_xml, write_ply
from rfplatform.frame import LOCAL, LOCAL_METRES, Frame
from rfplatform.radiomap import Sector

XML = "shells.xml"
_Mesh = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class BlendObject:
    """An object of the file that has triangles.

    Attributes
    ----------
    name : str
        In Blender.
    materials : tuple of str
        Its radio materials.
    height_source : str
        Where its height came from; "" for what was added in Blender.
    osm_id : str
        "" for what was added in Blender.
    is_ground : bool
        Whether it is ground: in the collection "Terrain", or of a ground material alone.
    """

    name: str
    materials: tuple[str, ...]
    height_source: str = ""
    osm_id: str = ""
    is_ground: bool = False


@dataclass(frozen=True)
class BlendScene:
    """What a Blender file holds, and the Mitsuba scene that was made of it.

    Attributes
    ----------
    xml : Path
        The Mitsuba scene.
    frame : Frame
        `rfplatform.frame.LOCAL` for a file without a CRS.
    area_name : str
        The file's name where it does not tell.
    bounds_deg : tuple of float or None
        West, south, east, north of the area that was asked for.
    attribution : str
    bounds_m : tuple of float
        West, south, east, north of all its triangles in local metres.
    objects : tuple of BlendObject
    ground_ids : tuple of str
        Shapes of the XML that are ground; empty where the file has none.
    ground_material : str
        "" where the file has no ground.
    ground_z_m : (float, float) or None
        The lowest and the highest point of the ground.
    sectors : tuple of Sector
        The markers of the collection "Sites", where they stand and point now.
    num_hidden : int
        Objects left out because they are hidden or disabled.
    num_defaulted : int
        Objects with faces that took the default material.
    """

    xml: Path
    frame: Frame
    area_name: str
    bounds_deg: tuple[float, float, float, float] | None
    attribution: str
    bounds_m: tuple[float, float, float, float]
    objects: tuple[BlendObject, ...]
    ground_ids: tuple[str, ...]
    ground_material: str
    ground_z_m: tuple[float, float] | None
    sectors: tuple[Sector, ...] = ()
    num_hidden: int = 0
    num_defaulted: int = 0


def read_blend(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    default_material: str | None = None,
) -> BlendScene:
    """Read a Blender file and write it as a Mitsuba scene.

    Everything with triangles counts, as it stands in the viewport: with its modifiers, moved,
    turned and scaled, instances included, in the file's unit scale. What is hidden or disabled is
    left out, and so are scripts. The folder gets ``shells.xml`` and a mesh for each radio
    material, as `rfplatform.formats.mitsuba.write_scene` makes them: walls and roof of one
    building share their vertices, and undersides on the ground go to the shape "floors".

    Parameters
    ----------
    path : path-like
        A ``.blend`` file, by `write_blend` or anybody else.
    folder : path-like
        An existing directory to write into.
    default_material : str, optional
        For faces whose Blender material is no radio material, or that have none.

    Returns
    -------
    BlendScene

    Raises
    ------
    InputError
        If the file can't be read, holds nothing, or has objects without a radio material and no
        default was given; they are named.
    MissingError
        If Blender's Python module is not installed.
    WorkerError
        If Blender died.
    """
    path, folder = Path(path), Path(folder)
    if default_material is not None and default_material not in COLORS:
        raise unknown_name("radio material", default_material, COLORS)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a .blend file")
    reply = ask_blender("read", {"path": str(path.resolve())})
    values, arrays = reply.values, reply.arrays
    if not values["objects"]:
        hidden = f" ({len(values['hidden'])} are hidden)" if values["hidden"] else ""
        raise InputError(f"{path}: no object with faces to trace{hidden}")
    radio, defaulted = _radio_materials(path, values, arrays, default_material)
    is_ground = np.array([o["ground"] for o in values["objects"]])[arrays["face_object"]]
    ground_material = _most_of(radio[is_ground])
    shapes = dict(_shapes(arrays, radio, is_ground, ground_material))
    _write(shapes, folder, _title(path, values["properties"]))
    vertices = arrays["vertices"]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    properties = values["properties"]
    bounds = properties.get("rfplatform_bounds_deg")
    ground = vertices[np.unique(arrays["faces"][is_ground])]
    return BlendScene(
        xml=folder / XML,
        frame=_frame(path, properties),
        area_name=str(properties.get("rfplatform_area") or path.stem),
        bounds_deg=(bounds[0], bounds[1], bounds[2], bounds[3]) if bounds else None,
        attribution=str(properties.get("rfplatform_attribution", "")),
        bounds_m=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        objects=_objects(values["objects"], arrays, radio),
        ground_ids=tuple(name for name in shapes if name.startswith(("ground", "floors"))),
        ground_material=ground_material,
        ground_z_m=(float(ground[:, 2].min()), float(ground[:, 2].max())) if len(ground) else None,
        sectors=tuple(Sector(**s) for s in values["sectors"]),
        num_hidden=len(values["hidden"]),
        num_defaulted=defaulted,
    )


def _radio_materials(
    path: Path,
    values: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    default: str | None,
) -> tuple[npt.NDArray[np.str_], int]:
    """The radio material of every face, and how many objects needed the default."""
    known = [radio_material(name) for name in values["materials"]]
    missing = np.array([name is None for name in known])[arrays["face_material"]]
    lacking = np.unique(arrays["face_object"][missing]).tolist()
    if lacking and default is None:
        named = []
        for i in lacking[:5]:
            used = arrays["face_material"][missing & (arrays["face_object"] == i)]
            material = values["materials"][int(used[0])]
            label = f'material "{material}"' if material else "no material"
            named.append(f'"{values["objects"][i]["name"]}" ({label})')
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        plural = "s have" if len(lacking) > 1 else " has"
        raise InputError(
            f"{path}: {len(lacking)} object{plural} no radio material: {', '.join(named)}{more}; "
            "name the material itu_concrete, itu_brick, ... in Blender, or give "
            "--default-material concrete"
        )
    radio = np.array([name or default or "" for name in known])
    return radio[arrays["face_material"]], len(lacking)


def _shapes(
    arrays: Mapping[str, npt.NDArray[Any]],
    radio: npt.NDArray[np.str_],
    is_ground: npt.NDArray[np.bool_],
    ground_material: str,
) -> Iterator[tuple[str, tuple[_Mesh, str]]]:
    """Ground, floors and one shape for each material of the buildings."""
    for material in np.unique(radio[is_ground]).tolist():
        name = "ground" if material == ground_material else f"ground-{material}"
        yield name, (_subset(arrays, is_ground & (radio == material)), material)
    grounded = arrays["face_grounded"]
    if grounded.any():
        yield "floors", (_subset(arrays, grounded), ground_material)
    shell = ~is_ground & ~grounded
    for material in np.unique(radio[shell]).tolist():
        yield f"shells-{material}", (_subset(arrays, shell & (radio == material)), material)


def _subset(arrays: Mapping[str, npt.NDArray[Any]], keep: npt.NDArray[np.bool_]) -> _Mesh:
    used, faces = np.unique(arrays["faces"][keep], return_inverse=True)
    return arrays["vertices"][used].astype(np.float32), faces.reshape(-1, 3).astype(np.int32)


def _most_of(materials: npt.NDArray[np.str_]) -> str:
    """The commonest; "" of none."""
    if not len(materials):
        return ""
    names, counts = np.unique(materials, return_counts=True)
    return str(names[np.argmax(counts)])


def _objects(
    found: list[dict[str, Any]],
    arrays: Mapping[str, npt.NDArray[Any]],
    radio: npt.NDArray[np.str_],
) -> tuple[BlendObject, ...]:
    # Faces lie object by object.
    ends = np.searchsorted(arrays["face_object"], np.arange(len(found) + 1))
    return tuple(
        BlendObject(
            name=o["name"],
            materials=tuple(sorted(set(radio[ends[i] : ends[i + 1]].tolist()))),
            height_source=o["height_source"],
            osm_id=o["osm_id"],
            is_ground=o["ground"],
        )
        for i, o in enumerate(found)
    )


def _frame(path: Path, properties: Mapping[str, Any]) -> Frame:
    crs = properties.get("rfplatform_crs")
    if not crs:
        return LOCAL
    try:
        return Frame(
            str(crs),
            float(properties["rfplatform_origin_easting_m"]),
            float(properties["rfplatform_origin_northing_m"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: has a CRS ({crs}) but no origin in it: restore the scene's custom properties "
            "rfplatform_origin_easting_m and rfplatform_origin_northing_m"
        ) from error


def _title(path: Path, properties: Mapping[str, Any]) -> str:
    where = LOCAL_METRES
    if crs := properties.get("rfplatform_crs"):
        where = (
            f"local metres around easting {properties.get('rfplatform_origin_easting_m')}, "
            f"northing {properties.get('rfplatform_origin_northing_m')} in {crs}"
        )
    area = properties.get("rfplatform_area") or path.stem
    return f"{area}: {where}. {properties.get('rfplatform_attribution', '')}".strip()


def _write(shapes: Mapping[str, tuple[_Mesh, str]], folder: Path, title: str) -> None:
    meshes = folder / "meshes"
    meshes.mkdir(exist_ok=True)
    for name, ((vertices_m, faces), _) in shapes.items():
        write_ply(meshes / f"{name}.ply", vertices_m, faces)
    materials = {name: material for name, (_, material) in shapes.items()}
    (folder / XML).write_text(scene_xml(materials, title), encoding="utf-8")
