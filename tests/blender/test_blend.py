"""Scenes to Blender and back: the same triangles, and what was edited in between."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from shapely import Polygon, box

from rfplatform.blender import process
from rfplatform.blender.materials import COLORS, radio_material
from rfplatform.blender.read import read_blend
from rfplatform.blender.write import write_blend
from rfplatform.errors import InputError, MissingError
from rfplatform.formats.mitsuba import write_scene
from rfplatform.frame import LOCAL, Frame
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import parse_area
from rfplatform.radiomap import Sector
from rfplatform.scene import Area, Building, Scene
from rfplatform.terrain import Terrain

pytestmark = pytest.mark.skipif(
    process.importlib.util.find_spec("bpy") is None, reason="bpy is not installed"
)

FRAME = Frame("EPSG:32635", 385_500.0, 6_671_800.0)
LON, LAT = FRAME.to_lonlat([-200.0, 200.0], [-150.0, 150.0])
AREA = Area("Three houses -- & a <bridge>", LON[0], LAT[0], LON[1], LAT[1])
COURT = Polygon(
    [(-100, -40), (-40, -40), (-40, 20), (-100, 20)], [[(-80, -20), (-60, -20), (-60, 0), (-80, 0)]]
)
BUILDINGS = (
    Building(COURT, 0.0, 18.0, "levels", "brick", "way/1"),
    Building(box(0, 0, 30, 20), 0.0, 12.5, "height", "concrete", "way/2"),
    Building(box(60, 0, 80, 40), 6.0, 9.0, "default", "concrete", "way/3"),
)
SCENE = Scene(AREA, FRAME, BUILDINGS, attribution="© OpenStreetMap contributors, ODbL 1.0")
SECTORS = (
    Sector("Court", "A", -70.0, 21.0, 20.5, 30.0, 6.0, 46.0, antenna="tr38901", mount="roof"),
    Sector("Court", "B", -70.0, -41.0, 20.5, 310.0, -3.0, 40.0, 2.1e9, 10e6, "dipole"),
)


def edit(path: Path, code: str) -> Path:
    """A copy of a file on which a user of Blender has worked."""
    out = path.with_name(f"edited-{abs(hash(code))}.blend")
    program = (
        "import bpy, math\n"
        f"bpy.ops.wm.open_mainfile(filepath={str(path)!r})\n"
        "o = bpy.data.objects\n"
        f"{code}\n"
        f"bpy.ops.wm.save_as_mainfile(filepath={str(out)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    head, _, body = path.read_bytes().partition(b"end_header\n")
    words = head.split()
    num_vertices, num_faces = (int(words[words.index(n) + 1]) for n in (b"vertex", b"face"))
    vertices = np.frombuffer(body, "<f4", 3 * num_vertices).reshape(-1, 3)
    rows = np.frombuffer(body, [("n", "u1"), ("v", "<i4", 3)], num_faces, offset=12 * num_vertices)
    return vertices.astype(float), rows["v"]


def shapes(xml: Path) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """Every shape's radio material, vertices and faces."""
    root = ET.parse(xml).getroot()
    types = {b.get("id"): b.find("string").get("value") for b in root.iter("bsdf")}
    return {
        s.get("id"): (
            types[s.find("ref").get("id")],
            *read_ply(xml.parent / s.find("string").get("value")),
        )
        for s in root.iter("shape")
    }


def areas_m2(xml: Path) -> dict[tuple[str, bool], float]:
    """Of the triangles of each material; ground apart."""
    found: Counter = Counter()
    for name, (material, v, f) in shapes(xml).items():
        a, b, c = (v[f[:, i]] for i in range(3))
        area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
        found[material, name.startswith(("ground", "floors"))] += float(area)
    return dict(found)


def volume_m3(v: np.ndarray, f: np.ndarray) -> float:
    """Enclosed by outward triangles (divergence theorem)."""
    return float(np.einsum("ij,ij->", v[f[:, 0]], np.cross(v[f[:, 1]], v[f[:, 2]])) / 6)


@pytest.fixture(scope="module")
def blend(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("blend") / "city.blend"
    write_blend(SCENE, path, SECTORS)
    return path


def back(path: Path, default: str | None = None):
    folder = path.parent / f"{path.stem}-{default}"
    folder.mkdir(exist_ok=True)
    return read_blend(path, folder, default)


def test_what_went_in_comes_out(blend):
    found = back(blend)
    assert (found.frame, found.area_name) == (FRAME, AREA.name)
    assert found.bounds_deg == AREA.bounds_deg
    assert found.attribution == SCENE.attribution
    assert (found.num_hidden, found.num_defaulted) == (0, 0)
    assert found.ground_z_m == (0.0, 0.0)
    assert found.ground_material == "medium_dry_ground"
    assert found.ground_ids == ("ground", "floors")
    houses = {o.osm_id: o for o in found.objects if not o.is_ground}
    assert {b.osm_id: (b.height_source, (b.material,)) for b in BUILDINGS} == {
        key: (o.height_source, o.materials) for key, o in houses.items()
    }
    for sector, stated in zip(sorted(found.sectors, key=lambda s: s.label), SECTORS, strict=True):
        assert (sector.x_m, sector.y_m, sector.z_m) == pytest.approx(
            (stated.x_m, stated.y_m, stated.z_m), abs=1e-4
        )
        for name in ("site", "name", "azimuth_deg", "downtilt_deg", "power_dbm", "frequency_hz",
                     "bandwidth_hz", "antenna", "mount", "ground_m"):  # fmt: skip
            assert getattr(sector, name) == getattr(stated, name), name


def test_shells_are_closed_but_for_their_floors(blend):
    made = shapes(back(blend).xml)
    assert set(made) == {"ground", "floors", "shells-brick", "shells-concrete"}
    for v, f in ((np.vstack([made["shells-brick"][1]]), made["shells-brick"][2]),):
        edges = Counter(tuple(sorted(e)) for t in f for e in zip(t, np.roll(t, 1), strict=True))
        assert set(edges.values()) == {1, 2}
        ends = {i for edge, count in edges.items() if count == 1 for i in edge}
        assert np.allclose(v[list(ends), 2], 0.0)
    _, v, f = made["shells-concrete"]
    # The bridge hangs: its underside counts.
    down = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])[:, 2] < 0
    assert np.allclose(v[f[down]][..., 2], 6.0)


def test_agrees_with_the_direct_builder_on_helsinki(tmp_path):
    scene = load_scene(parse_area("helsinki"))
    (tmp_path / "direct").mkdir()
    (tmp_path / "blender").mkdir()
    write_scene(scene, tmp_path / "direct")
    write_blend(scene, tmp_path / "city.blend")
    found = read_blend(tmp_path / "city.blend", tmp_path / "blender")
    direct = areas_m2(tmp_path / "direct" / "shells.xml")
    through = areas_m2(found.xml)
    assert len(direct) >= 4
    assert through == pytest.approx(direct, rel=1e-3)
    assert len([o for o in found.objects if not o.is_ground]) == len(scene.buildings)


def test_follows_terrain(tmp_path):
    heights = 40.0 + np.add.outer(np.arange(21.0), 2.0 * np.arange(26.0)).astype(np.float32)
    terrain = Terrain(-250.0, -200.0, 20.0, heights.astype(np.float32), source="hill.tif")
    ground = float(terrain.height_m(0.0, 0.0))
    house = Building(box(0, 0, 30, 20), 0.0, 12.5, "height", "concrete", "way/2", ground)
    scene = Scene(AREA, FRAME, (house,), terrain=terrain)
    mast = Sector("Hill", "A", 100.0, 50.0, float(terrain.height_m(100.0, 50.0)) + 30.0)
    write_blend(scene, tmp_path / "hill.blend", [mast])
    found = back(tmp_path / "hill.blend")
    (tmp_path / "direct").mkdir()
    write_scene(scene, tmp_path / "direct")
    assert found.ground_z_m == pytest.approx((40.0, 110.0))
    assert areas_m2(found.xml) == pytest.approx(
        areas_m2(tmp_path / "direct" / "shells.xml"), rel=1e-3
    )
    assert found.sectors[0].height_m == pytest.approx(30.0, abs=1e-3)
    _, v, _ = shapes(found.xml)["shells-concrete"]
    assert v[:, 2].max() == pytest.approx(ground + 12.5, abs=1e-3)


def test_edits_show(blend):
    found = back(
        edit(
            blend,
            "o['way/1'].location.x += 10\n"  # moved
            "o['way/2'].location.z += 5\n"  # raised off the ground
            "o['way/3'].scale = (1, 1, 4)\n"  # three times as high again
            "wood = bpy.data.materials.new('Wood.001')\n"
            "o['way/3'].data.materials[0] = wood\n"
            "bpy.ops.mesh.primitive_cube_add(size=20, location=(-150, 100, 10))\n"  # added
            "bpy.context.object.data.materials.append(bpy.data.materials['itu_brick'])\n"
            "bpy.context.object.modifiers.new('row', 'ARRAY').count = 2\n"  # two, side by side
            "o['Court/A'].rotation_euler[2] -= math.radians(15)\n"
            "o['Court/A'].location.z = 25\n",
        )
    )
    made = shapes(found.xml)
    _, v, f = made["shells-brick"]
    # Floors lie at z = 0 and add nothing to the volume.
    assert volume_m3(v, f) == pytest.approx((60 * 60 - 400) * 18 + 2 * 8000, rel=1e-5)
    assert v[:, 0].min() == pytest.approx(-160, abs=1e-3)
    east = v[(v[:, 1] < 21) & (v[:, 1] > -41)][:, 0]
    assert (east.min(), east.max()) == pytest.approx((-90, -30), abs=1e-3)
    _, v, f = made["shells-concrete"]
    assert (v[:, 2].min(), v[:, 2].max()) == pytest.approx((5, 17.5), abs=1e-3)
    assert volume_m3(v, f) == pytest.approx(30 * 20 * 12.5, rel=1e-5)
    _, v, f = made["shells-wood"]
    assert (v[:, 2].min(), v[:, 2].max()) == pytest.approx((6, 18), abs=1e-3)
    sector = next(s for s in found.sectors if s.name == "A")
    assert sector.azimuth_deg == pytest.approx(45.0, abs=1e-3)
    assert (sector.downtilt_deg, sector.z_m) == (6.0, 25.0)


def test_hidden_things_are_left_out_and_counted(blend):
    found = back(
        edit(
            blend,
            "o['way/1'].hide_viewport = True\n"
            "o['way/2'].hide_set(True)\n"
            "o['way/3'].hide_render = True\n",
        )
    )
    assert found.num_hidden == 3
    assert set(shapes(found.xml)) == {"ground"}


def test_feet_and_mirrors(blend):
    found = back(
        edit(
            blend,
            "bpy.context.scene.unit_settings.scale_length = 0.3048\n"
            "o['way/2'].scale = (-1, 1, 1)\n",
        )
    )
    _, v, f = shapes(found.xml)["shells-concrete"]
    expected = (30 * 20 * 12.5 + 20 * 40 * 3) * 0.3048**3
    assert volume_m3(v, f) == pytest.approx(expected, rel=1e-4)


def test_unwelded_meshes_are_welded(blend):
    found = back(
        edit(
            blend,
            "m = o['way/1'].data\n"
            "c = [tuple(m.vertices[i].co) for p in m.polygons for i in p.vertices]\n"
            "f = [(3 * i, 3 * i + 1, 3 * i + 2) for i in range(len(m.polygons))]\n"
            "n = bpy.data.meshes.new('loose')\n"
            "n.from_pydata(c, [], f)\n"
            "n.materials.append(m.materials[0])\n"
            "o['way/1'].data = n\n",
        )
    )
    _, v, _ = shapes(found.xml)["shells-brick"]
    assert len(v) == 16


def test_what_has_no_radio_material_is_named(blend):
    edited = edit(
        blend,
        "o['way/2'].data.materials[0] = bpy.data.materials.new('Paint')\n"
        "o['way/1'].data.materials.clear()\n",
    )
    with pytest.raises(InputError) as error:
        back(edited)
    text = str(error.value)
    assert "2 objects have no radio material" in text
    assert '"way/1" (no material)' in text
    assert '"way/2" (material "Paint")' in text
    assert "--default-material" in text
    assert "\n" not in text
    found = back(edited, "metal")
    assert found.num_defaulted == 2
    assert "shells-metal" in shapes(found.xml)
    with pytest.raises(InputError, match="unknown radio material"):
        back(edited, "cheese")


def test_a_file_from_elsewhere(blend):
    found = back(
        edit(
            blend,
            "bpy.ops.wm.read_homefile(use_factory_startup=True)\n"
            "bpy.data.objects['Cube'].data.materials[0].name = 'mat-itu_concrete'\n",
        )
    )
    assert (found.frame, found.bounds_deg, found.attribution) == (LOCAL, None, "")
    assert found.area_name.startswith("edited-")
    assert (found.ground_ids, found.ground_z_m) == ((), None)
    assert found.bounds_m == (-1.0, -1.0, 1.0, 1.0)
    _, v, f = shapes(found.xml)["shells-concrete"]
    assert volume_m3(v, f) == pytest.approx(8.0)


def test_an_empty_file(blend):
    empty = edit(blend, "bpy.ops.wm.read_factory_settings(use_empty=True)")
    with pytest.raises(InputError, match="no object with faces"):
        back(empty)


@pytest.mark.parametrize("content", [b"", b"hello", b"BLENDER-v500"])
def test_no_blend_file(tmp_path, content):
    path = tmp_path / "x.blend"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a file that Blender opens") as error:
        read_blend(path, tmp_path)
    assert "\n" not in str(error.value)


def test_nothing_is_overwritten_unasked(tmp_path, blend):
    with pytest.raises(InputError, match="exists already"):
        write_blend(SCENE, blend)
    with pytest.raises(InputError, match="no such file"):
        read_blend(tmp_path / "none.blend", tmp_path)


def test_without_blender(monkeypatch, tmp_path):
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match=r"pip install rfplatform\[blender\]"):
        write_blend(SCENE, tmp_path / "city.blend")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("itu_concrete", "concrete"),
        ("concrete", "concrete"),
        ("Concrete.001", "concrete"),
        ("mat-itu_concrete", "concrete"),
        ("mat-itu_wet_ground.012", "wet_ground"),
        ("itu-medium-dry-ground", "medium_dry_ground"),
        ("Paint", None),
        ("", None),
        ("concrete.wall", None),
    ],
)
def test_names_of_materials(name, expected):
    assert radio_material(name) == expected


def test_the_materials_are_those_of_the_ray_tracer():
    code = (
        "from sionna.rt.radio_materials.itu import ITU_MATERIALS_PROPERTIES as p; print(*sorted(p))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == sorted(COLORS)
