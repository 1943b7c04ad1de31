"""Scenes made elsewhere: what is wrong with them, which shapes are ground, and their heights."""

import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.formats.mitsuba import write_ply
from rfplatform.frame import Frame
from rfplatform.propagation.survey import Shape, check_xml, ground_shapes, survey, surveyed_scene

ITU = '<bsdf type="itu-radio-material" id="wall"><string name="type" value="brick"/></bsdf>'
BOX_FACES = np.array(
    [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
     [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]], dtype=np.int32,
)  # fmt: skip


def box(west, south, east, north, base, top):
    corners = [(west, south), (east, south), (east, north), (west, north)]
    return np.array([(*c, z) for z in (base, top) for c in corners], dtype=np.float32), BOX_FACES


def level(z):
    return lambda _x, _y: z


def sheet(west, south, east, north, z=level(0.0)):  # noqa: B008
    corners = [(west, south), (east, south), (east, north), (west, north)]
    vertices = np.array([(x, y, z(x, y)) for x, y in corners], dtype=np.float32)
    return vertices, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)


def write(folder, meshes, bsdfs=ITU, material="wall", materials=None):
    """A scene of meshes by name, with one material for all or one for each."""
    shapes = []
    for name, (vertices, faces) in meshes.items():
        write_ply(folder / f"{name}.ply", vertices, faces)
        ref = (materials or {}).get(name, material)
        shapes.append(
            f'<shape type="ply" id="mesh-{name}"><string name="filename" value="{name}.ply"/>'
            f'<ref id="{ref}" name="bsdf"/></shape>'
        )
    path = folder / "scene.xml"
    path.write_text(f'<scene version="2.1.0">{bsdfs}{"".join(shapes)}</scene>')
    return path


def refusal(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def shape(name, low, high, material="concrete"):
    return Shape(name, material, low, high, 2)


def test_a_box_on_flat_ground(tmp_path):
    xml = write(
        tmp_path,
        {"ground": sheet(-100, -80, 100, 80), "house": box(-20, 10, 10.5, 30, 0.0, 12.5)},
    )
    made = survey(xml)
    assert made.terrain is None
    assert made.ground == ("mesh-ground",)
    assert made.ground_by == "name"
    assert made.materials == {"wall": 2}
    assert made.num_faces == 14
    assert made.num_without_ground == 0
    # 50 m beyond the house, where there is ground.
    assert made.bounds_m == (-70.0, -40.0, 60.5, 80.0)
    solids = made.solids
    x = solids.west_m + (np.arange(solids.top_z_m.shape[1]) + 0.5) * solids.resolution_m
    y = solids.south_m + (np.arange(solids.top_z_m.shape[0]) + 0.5) * solids.resolution_m
    inside = ((x > -20) & (x < 10.5))[None, :] & ((y > 10) & (y < 30))[:, None]
    assert np.array_equal(np.isfinite(solids.top_z_m), inside)
    assert solids.top_z_m[inside] == pytest.approx(12.5, abs=1e-3)
    area_m2 = inside.sum() * solids.resolution_m**2
    assert area_m2 == pytest.approx(30.5 * 20, rel=0.02)


def test_the_ground_is_found_below_what_stands_on_it(tmp_path):
    """A slope in closed form, with a box sunk into it and one buried whole."""
    slope = sheet(0, 0, 200, 100, lambda x, y: 5.0 + 0.1 * x - 0.05 * y)
    xml = write(
        tmp_path,
        {
            "Terrain": slope,
            "house": box(80, 40, 120, 60, 0.0, 30.0),
            "cellar": box(150, 40, 170, 60, 0.0, 4.0),
        },
    )
    made = survey(xml)
    rng = np.random.default_rng(3)
    x, y = rng.uniform(31, 199, 500), rng.uniform(1, 99, 500)
    assert made.terrain.height_m(x, y) == pytest.approx(5.0 + 0.1 * x - 0.05 * y, abs=2e-3)
    # At the border a node lies up to half a metre beyond what has ground.
    assert made.terrain.max_error_m < 0.02
    assert made.solids.top_m(100.0, 50.0) == pytest.approx(30.0, abs=1e-3)
    assert np.isnan(made.solids.top_m(160.0, 50.0))
    assert np.isnan(made.solids.top_m(50.0, 50.0))


def test_lawns_on_the_ground_are_ground_and_what_is_low_is_not_in_the_way(tmp_path):
    xml = write(
        tmp_path,
        {
            "ground": sheet(-50, -50, 50, 50),
            "green_7": sheet(-20, -20, 0, 0, level(0.08)),
            "rug": box(10, 10, 20, 20, 0.0, 0.2),
            "house": box(30, 30, 40, 40, 0.0, 9.0),
        },
    )
    made = survey(xml)
    assert made.ground == ("mesh-ground", "mesh-green_7")
    assert made.terrain.height_m(-10.0, -10.0) == pytest.approx(0.08, abs=1e-3)
    assert made.terrain.height_m(-30.0, -30.0) == pytest.approx(0.0, abs=1e-3)
    assert np.isnan(made.solids.top_m(15.0, 15.0))
    assert made.solids.top_m(35.0, 35.0) == pytest.approx(9.0, abs=1e-3)


def test_level_ground_that_is_not_at_zero(tmp_path):
    xml = write(
        tmp_path,
        {"floor": sheet(0, 0, 60, 40, level(-0.03)), "house": box(20, 10, 30, 30, -1, 8)},
    )
    terrain = survey(xml).terrain
    assert terrain.heights_m.shape == (2, 2)
    assert terrain.height_m([0.0, 60.0, 31.0], [0.0, 40.0, 7.0]) == pytest.approx(-0.03, abs=1e-4)


def test_a_scene_without_ground_stands_on_its_lowest_point(tmp_path):
    xml = write(tmp_path, {"a": box(0, 0, 10, 10, 3.0, 13.0), "b": box(30, 0, 40, 10, 3.0, 23.0)})
    made = survey(xml)
    assert made.ground_by == "nothing"
    assert made.ground == ()
    assert made.terrain.height_m(20.0, 5.0) == pytest.approx(3.0, abs=1e-3)
    assert made.solids.top_m(35.0, 5.0) == pytest.approx(23.0, abs=1e-3)
    assert np.isnan(made.solids.top_m(20.0, 5.0))


def test_ground_that_does_not_reach_everywhere_goes_on_and_is_counted(tmp_path):
    xml = write(
        tmp_path,
        {
            "ground": sheet(0, 0, 50, 100, lambda _, y: 2.0 + 0.02 * y),
            "house": box(80, 40, 100, 60, 0.0, 30.0),
        },
    )
    made = survey(xml, bounds_m=(0.0, 0.0, 100.0, 100.0))
    assert made.num_without_ground / made.solids.top_z_m.size == pytest.approx(0.5, abs=0.01)
    assert made.terrain.height_m(75.0, 40.0) == pytest.approx(2.8, abs=0.03)
    assert made.terrain.num_voids > 0


def test_a_scene_on_earth_and_its_area(tmp_path):
    xml = write(
        tmp_path,
        {"lot": sheet(-100, -100, 100, 100), "house": box(-90, -90, 90, 90, 0.0, 12.5)},
    )
    frame = Frame.at(11.575, 48.137)
    scene, made = surveyed_scene(xml, name="lot", frame=frame, ground_ids=["lot"])
    assert made.ground_by == "given"
    west, south, east, north = scene.area.bounds_m(frame)
    # The box of longitudes and latitudes is turned by the meridian convergence, 1.9 degrees.
    assert (west, south) < (-100.0, -100.0)
    assert east == pytest.approx(100.0, abs=8.0)
    assert north == pytest.approx(100.0, abs=8.0)
    assert scene.solids.xml == xml.resolve()
    assert scene.ground_m(0.0, 0.0) == 0.0
    assert made.bounds_m == (-100.0, -100.0, 100.0, 100.0)


def test_a_box_beside_the_scene(tmp_path):
    xml = write(tmp_path, {"ground": sheet(-100, -100, 100, 100)})
    message = refusal(survey, xml, None, (500.0, 0.0, 600.0, 50.0))
    assert "lies outside scene.xml, which spans -100,-100,100,100" in message


def test_ground_that_is_not_there():
    assert "no shape 'roof'" in refusal(
        ground_shapes, [shape("lot", (0, 0, 0), (1, 1, 0))], ["roof"], "scene.xml"
    )


def test_what_sionna_says_of_a_scene_is_told_in_one_line(tmp_path):
    bad = ITU.replace("brick", "chocolate")
    xml = write(tmp_path, {"ground": sheet(0, 0, 1, 1)}, bsdfs=bad)
    assert "chocolate" in refusal(survey, xml)
    xml = write(tmp_path, {"ground": sheet(0, 0, 1, 1)})
    (tmp_path / "ground.ply").write_bytes(b"no mesh")
    assert "can't load this scene" in refusal(survey, xml)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<scene><shape>", "not XML"),
        ("<scene version='2'></scene>", "no shapes"),
        ("<kml></kml>", "not a Mitsuba scene"),
        ("<!DOCTYPE scene [<!ENTITY a 'b'>]><scene>&a;</scene>", "document type"),
        (
            "<scene><shape type='ply' id='mesh-a'><string name='filename' value='m/a.ply'/></shape>"
            "</scene>",
            "1 of 1 meshes are missing: m/a.ply",
        ),
        ("<scene><shape type='cube' id='mesh-a'/></scene>", "shape 'a' has no material"),
        ("<scene><shape type='cube' id='a'><ref id='x'/></shape></scene>", "no material 'x'"),
        (
            "<scene><bsdf type='diffuse' id='paint'/>"
            "<shape type='cube' id='a'><ref id='paint'/></shape></scene>",
            "'paint' (diffuse) is no radio material",
        ),
    ],
)
def test_what_is_wrong_with_the_xml_is_found_without_loading_it(tmp_path, text, said):
    path = tmp_path / "scene.xml"
    path.write_text(text)
    assert said in refusal(check_xml, path)


def test_an_xml_that_can_be_traced_passes(tmp_path):
    write_ply(tmp_path / "a.ply", *box(0, 0, 1, 1, 0, 1))
    path = tmp_path / "scene.xml"
    path.write_text(
        "<scene version='2.1.0'><default name='mesh' value='a.ply'/>"
        "<bsdf type='twosided' id='mat-itu_concrete'><bsdf type='diffuse'/></bsdf>"
        "<shape type='ply' id='a'><string name='filename' value='$mesh'/>"
        "<ref id='mat-itu_concrete'/></shape></scene>"
    )
    check_xml(path)
    assert "no such file" in refusal(check_xml, tmp_path / "none.xml")


@pytest.mark.parametrize(
    "name",
    [
        "ground",
        "mesh-ground",
        "Plane",
        "Plane.001",
        "mesh-road_12",
        "lidar_terrain",
        "Ground-Plane",
    ],
)
def test_names_of_ground(name):
    shapes = [shape(name, (0, 0, 0), (1, 1, 0)), shape("tower", (0, 0, 0), (1, 1, 9))]
    assert ground_shapes(shapes, None, "scene.xml") == (frozenset({0}), "name")


@pytest.mark.parametrize("name", ["Groundwork_House", "mesh-Planetarium", "Water_Tower", "floor3b"])
def test_names_that_only_begin_so(name):
    shapes = [shape(name, (0, 0, 0), (1, 1, 9)), shape("slab", (-9, -9, 0), (9, 9, 0))]
    assert ground_shapes(shapes, None, "scene.xml") == (frozenset({1}), "shape")


def test_ground_by_its_material():
    shapes = [
        shape("a", (0, 0, 0), (1, 1, 0), "mat-itu_wet_ground"),
        shape("b", (0, 0, 0), (9, 9, 1), "background-wall"),
    ]
    assert ground_shapes(shapes, None, "scene.xml") == (frozenset({0}), "name")


def test_a_wide_flat_roof_is_no_ground():
    shapes = [
        shape("roof", (0, 0, 30), (100, 100, 30)),
        shape("walls", (0, 0, 0), (100, 100, 30)),
    ]
    assert ground_shapes(shapes, None, "scene.xml") == (frozenset(), "nothing")
