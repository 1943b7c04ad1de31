"""Scenes as Mitsuba XML and PLY: read back by hand, by trimesh and by Sionna."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import trimesh
from shapely import affinity, box

from rfplatform.errors import MissingError
from rfplatform.formats.mitsuba import write_ply, write_scene
from rfplatform.frame import Frame
from rfplatform.mesh import Surface
from rfplatform.scene import GROUND_MARGIN_M, Area, Building, Scene

FRAME = Frame("EPSG:32635", 385_520.0, 6_671_830.0)


@pytest.fixture
def village():
    """Brick with a courtyard, concrete, and a glass bridge that hangs between them."""
    (west, east), (south, north) = FRAME.to_lonlat([-100, 100], [-80, 80])
    ring = affinity.rotate(box(-50, -30, -10, 30) - box(-40, -20, -20, 20), 10)
    return Scene(
        Area("Alt---stadt & <Söhne>--", west, south, east, north),
        FRAME,
        (
            Building(ring, 0.0, 12.0, "height", "brick", "way/1"),
            Building(box(20, -150, 60, 30), 0.0, 30.0, "levels", "concrete", "way/2"),
            Building(box(-12, 0, 22, 5), 6.0, 9.0, "height", "glass", "way/3"),
        ),
        attribution="© OpenStreetMap contributors, ODbL 1.0",
    )


def shapes_of(path):
    """Mesh and material of each shape of a scene file, by its id."""
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    materials = {}
    for bsdf in root.findall("bsdf"):
        assert bsdf.get("type") == "itu-radio-material"
        materials[bsdf.get("id")] = bsdf.find("string").get("value")
    shapes = {}
    for shape in root.findall("shape"):
        assert shape.get("type") == "ply"
        mesh = trimesh.load(path.parent / shape.find("string").get("value"), process=False)
        shapes[shape.get("id")] = (mesh, materials[shape.find("ref").get("id")])
    return shapes


def test_walls_roofs_floors_and_ground_are_separate(tmp_path, village):
    mesh = write_scene(village, tmp_path)
    shapes = shapes_of(tmp_path / "scene.xml")
    names = ("brick", "concrete", "glass")
    assert {name: material for name, (_, material) in shapes.items()} == {
        "ground": "medium_dry_ground",
        "floors": "medium_dry_ground",
        **{f"walls-{name}": name for name in names},
        **{f"roofs-{name}": name for name in names},
    }
    for k, name in enumerate(names):
        building = village.buildings[k]
        roof, _ = shapes[f"roofs-{name}"]
        assert (roof.vertices[:, 2] == building.top_m).all()
        assert (roof.face_normals[:, 2] > 0.999).all()
        assert roof.area == pytest.approx(building.footprint.area, rel=1e-5)
        walls, _ = shapes[f"walls-{name}"]
        height_m = building.top_m - building.base_m
        # The underside of what hangs belongs to its walls.
        under = building.footprint.area if building.base_m else 0.0
        assert walls.area == pytest.approx(building.footprint.length * height_m + under, rel=1e-5)
    assert sum(len(s.faces) for name, (s, _) in shapes.items() if name != "ground") == len(
        mesh.faces
    )


def test_shells_are_the_same_triangles_with_roofs_and_walls_in_one_mesh(tmp_path, village):
    mesh = write_scene(village, tmp_path)
    parts, shells = (shapes_of(tmp_path / f) for f in ("scene.xml", "shells.xml"))
    assert set(shells) == {"ground", "floors", "shells-brick", "shells-concrete", "shells-glass"}

    def triangles(shapes):
        return sorted(
            map(tuple, np.concatenate([s.triangles for s, _ in shapes.values()]).reshape(-1, 9))
        )

    assert triangles(parts) == triangles(shells)
    # What hangs is closed; what stands on the ground lacks the floor alone.
    assert shells["shells-glass"][0].is_watertight
    brick = shells["shells-brick"][0]
    of_brick = (mesh.building == 0) & (mesh.surface != Surface.FLOOR)
    assert len(brick.faces) == of_brick.sum()
    edges = np.sort(brick.edges, axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    corners = 8
    assert (uses == 1).sum() == corners  # each of them an edge at the ground
    assert (uses == 2).sum() == len(uses) - corners


def test_ground_lies_under_everything(tmp_path, village):
    write_scene(village, tmp_path)
    ground, _ = shapes_of(tmp_path / "scene.xml")["ground"]
    assert (ground.vertices[:, 2] == 0).all()
    assert (ground.face_normals[:, 2] > 0.999).all()
    west, south, east, north = village.area.bounds_m(FRAME)
    m = GROUND_MARGIN_M
    # One building sticks out of the area to the south.
    expected = [[west - m, -150 - m, 0], [east + m, north + m, 0]]
    assert south > -150
    np.testing.assert_allclose(ground.bounds, expected, atol=0.01)


def test_scene_without_buildings_is_ground(tmp_path, village):
    flat = Scene(village.area, FRAME, ())
    assert len(write_scene(flat, tmp_path).faces) == 0
    for file in ("scene.xml", "shells.xml"):
        assert set(shapes_of(tmp_path / file)) == {"ground"}


def test_where_the_scene_lies_is_in_the_file(tmp_path, village):
    write_scene(village, tmp_path)
    text = (tmp_path / "scene.xml").read_text(encoding="utf-8")
    for words in ("EPSG:32635", "385520.0", "6671830.0", "© OpenStreetMap contributors"):
        assert words in text


def test_ply_round_trip(tmp_path):
    rng = np.random.default_rng(2)
    vertices = rng.normal(0, 1e4, (300, 3)).astype(np.float32)
    faces = rng.integers(0, 300, (500, 3)).astype(np.int32)
    path = tmp_path / "mesh.ply"
    write_ply(path, vertices, faces)
    content = path.read_bytes()
    header, body = content.split(b"end_header\n", 1)
    assert header.startswith(b"ply\nformat binary_little_endian 1.0\n")
    assert len(body) == 300 * 12 + 500 * 13
    found = trimesh.load(path, process=False)
    np.testing.assert_array_equal(found.vertices.astype(np.float32), vertices)
    np.testing.assert_array_equal(found.faces, faces)


SIONNA = """
import json, sys
import sionna.rt as rt
report = {}
for path in sys.argv[1:]:
    scene = rt.load_scene(path, merge_shapes=False)
    report[path] = {
        name: {
            "faces": shape.mi_mesh.face_count(),
            "low": [float(shape.mi_mesh.bbox().min[k]) for k in range(3)],
            "high": [float(shape.mi_mesh.bbox().max[k]) for k in range(3)],
            "material": shape.radio_material.itu_type,
        }
        for name, shape in scene.objects.items()
    }
print("REPORT" + json.dumps(report))
"""


def test_sionna_loads_the_same_triangles(tmp_path, village):
    # A child process: a libLLVM that does not fit would abort the tests.
    from rfplatform.propagation.process import environment

    try:
        variables = environment()
    except MissingError as error:
        pytest.skip(f"Sionna can't run here: {error}")
    write_scene(village, tmp_path)
    files = [tmp_path / "scene.xml", tmp_path / "shells.xml"]
    child = subprocess.run(
        [sys.executable, "-c", SIONNA, *map(str, files)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    report = json.loads(child.stdout.split("REPORT")[1])
    for file in files:
        expected = shapes_of(Path(file))
        found = report[str(file)]
        assert set(found) == set(expected)
        for name, (mesh, material) in expected.items():
            assert found[name]["faces"] == len(mesh.faces), name
            assert found[name]["material"] == material, name
            np.testing.assert_array_equal([found[name]["low"], found[name]["high"]], mesh.bounds)
