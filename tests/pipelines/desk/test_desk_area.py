"""An area's folder: where it lies, its buildings on Earth, and what is drawn around them."""

import json
import os
import time

import geopandas as gpd
import numpy as np
import pytest
import shapely

from pipelines.desk import area as area_module
from pipelines.desk.area import AROUND_M, area_key, draw_area, read_area
from pipelines.scene import open_scene, parse_where
from rfplatform.errors import InputError, MissingError
from rfplatform.frame import LOCAL, Frame
from rfplatform.geodata.background import Background, Feature
from rfplatform.geodata.footprints import OSM_ATTRIBUTION
from rfplatform.geodata.place import BoxSource, FileSource, PlaceName, SceneFile, parse_area
from rfplatform.scene import Area, Building, LocalArea, Scene

HELSINKI = "helsinki"
BOX = "24.940,60.166,24.946,60.170"


def opened(area, bbox=None):
    source = parse_area(area)
    box, frame = parse_where(source, bbox, None)
    return source, open_scene(source, box, frame, None, 10.0)[0], box


@pytest.fixture(scope="module")
def helsinki(tmp_path_factory):
    source, scene, box = opened(HELSINKI)
    folder = tmp_path_factory.mktemp("areas") / "made" / "helsinki"
    return scene, folder, draw_area(source, scene, folder, box)


def test_about_an_area(helsinki):
    scene, folder, about = helsinki
    assert read_area(folder) == about
    assert sorted(path.name for path in folder.iterdir()) == [
        "area.json",
        "background.geojson",
        "buildings.geojson",
    ]
    assert about["name"] == "Central Helsinki"
    assert "OpenStreetMap" in about["attribution"]
    assert about["bounds"] == pytest.approx(scene.area.bounds_deg, abs=1e-7)
    assert about["crs"] == "EPSG:32635"
    assert about["num_buildings"] == len(scene.buildings) > 400
    assert about["heights"] == scene.height_sources()
    assert about["warnings"] == []


def test_buildings_lie_where_they_stand(helsinki):
    scene, folder, _ = helsinki
    drawn = gpd.read_file(folder / "buildings.geojson")
    assert len(drawn) == len(scene.buildings)
    assert drawn["height_m"].tolist() == [round(b.top_m, 2) for b in scene.buildings]
    assert drawn["base_m"].tolist() == [round(b.base_m, 2) for b in scene.buildings]
    # 6 decimals of a degree are 11 cm.
    local = shapely.transform(
        np.array(drawn.geometry.array),
        lambda points: np.column_stack(scene.frame.from_lonlat(*points.T)),
    )
    footprints = [b.footprint for b in scene.buildings]
    np.testing.assert_allclose(
        shapely.get_coordinates(local), shapely.get_coordinates(footprints), atol=0.08
    )


def test_the_background_is_small_and_tagged(helsinki):
    _, folder, about = helsinki
    features = json.loads((folder / "background.geojson").read_text())["features"]
    kinds = {f["properties"]["kind"] for f in features}
    assert kinds == {"water", "green", "land_use", "rail", "street", "path"}
    for feature in features:
        properties = feature["properties"]
        assert set(properties) <= {"kind", "rank", "name"}
        assert ("rank" in properties) == (properties["kind"] == "street")
        assert properties.get("name") != ""
    points = shapely.get_coordinates(
        [shapely.from_geojson(json.dumps(f["geometry"])) for f in features]
    )
    np.testing.assert_array_equal(points, np.round(points, 6))
    # The extract's own data ends up to a metre within its bounds.
    west, south, east, north = about["bounds"]
    assert points.min(axis=0) == pytest.approx([west, south], abs=1e-5)
    assert points.max(axis=0) == pytest.approx([east, north], abs=1e-5)


def test_around_a_box_there_are_streets_too(tmp_path):
    source, scene, box = opened(HELSINKI, BOX)
    about = draw_area(source, scene, tmp_path / "part", box)
    assert about["bounds"] == pytest.approx([24.940, 60.166, 24.946, 60.170])
    background = gpd.read_file(tmp_path / "part" / "background.geojson")
    metres = background.to_crs(about["crs"]).total_bounds
    corners = scene.frame.from_lonlat([24.940, 24.946], [60.166, 60.170])
    width = metres[2] - metres[0] - float(np.diff(corners[0])[0])
    assert width == pytest.approx(2 * AROUND_M, rel=0.05)


def written(folder):
    return json.loads((folder / "background.geojson").read_text())["features"]


def test_footprints_have_no_background(tmp_path):
    path = tmp_path / "town.geojson"
    houses = gpd.GeoDataFrame(
        {"height": [12.0]}, geometry=[shapely.box(24.94, 60.17, 24.941, 60.171)], crs="EPSG:4326"
    )
    houses.to_file(path)
    source, scene, box = opened(str(path))
    assert isinstance(source, FileSource)
    about = draw_area(source, scene, tmp_path / "town", box)
    assert about["num_buildings"] == 1
    assert about["heights"]["height"] == 1
    assert about["warnings"] == []
    assert written(tmp_path / "town") == []


def nowhere():
    return Scene(Area("Nowhere", 24.9, 60.1, 24.91, 60.11), Frame("EPSG:32635", 0.0, 0.0), ())


@pytest.fixture
def downloads(monkeypatch):
    """The boxes whose background was asked for; each has a street."""
    asked = []

    def download(area):
        asked.append(area)
        street = Feature("street", shapely.LineString([(24.9, 60.1), (24.91, 60.11)]), "Katu", 3)
        return Background((street,), OSM_ATTRIBUTION)

    monkeypatch.setattr(area_module, "download_background", download)
    return asked


@pytest.mark.parametrize("source", [BoxSource(nowhere().area), PlaceName("Nowhere")])
def test_boxes_and_places_have_their_background_from_the_network(tmp_path, downloads, source):
    scene = nowhere()
    about = draw_area(source, scene, tmp_path / "area")
    assert downloads == [scene.area]
    assert about["attribution"] == OSM_ATTRIBUTION
    (street,) = written(tmp_path / "area")
    assert street["properties"] == {"kind": "street", "rank": 3, "name": "Katu"}
    draw_area(source, scene, tmp_path / "area", scene.area)
    assert downloads[1].west_deg < scene.area.west_deg
    assert downloads[1].north_deg > scene.area.north_deg


def test_without_a_network_only_the_background_is_missing(tmp_path, monkeypatch):
    def offline(_):
        raise MissingError("no network: the connection to osm.invalid failed; give a file instead")

    monkeypatch.setattr(area_module, "download_background", offline)
    about = draw_area(PlaceName("Nowhere"), nowhere(), tmp_path / "area")
    assert about["warnings"] == [
        "Nowhere holds no buildings: the ground is empty",
        "streets, water and green are missing: no network: the connection to osm.invalid failed; "
        "give a file instead",
    ]
    assert read_area(tmp_path / "area") == about
    assert written(tmp_path / "area") == []


@pytest.mark.usefixtures("downloads")
def test_an_empty_area_says_so(tmp_path):
    about = draw_area(PlaceName("Nowhere"), nowhere(), tmp_path / "empty")
    assert about["warnings"] == ["Nowhere holds no buildings: the ground is empty"]
    assert json.loads((tmp_path / "empty" / "buildings.geojson").read_text())["features"] == []


def test_local_metres_are_refused(tmp_path):
    scene = Scene(LocalArea("box", 0, 0, 9, 9), LOCAL, ())
    with pytest.raises(InputError, match="--origin"):
        draw_area(SceneFile(tmp_path / "x.xml", "x", "X"), scene, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("downloads")
def test_it_is_whole_or_not_there(helsinki, tmp_path, monkeypatch):
    scene = helsinki[0]
    folder = tmp_path / "areas" / "one"
    assert read_area(folder) is None

    def failing(*_):
        raise InputError("torn")

    monkeypatch.setattr(area_module, "_write_buildings", failing)
    with pytest.raises(InputError, match="torn"):
        draw_area(PlaceName("x"), scene, folder)
    assert not folder.exists()
    assert read_area(folder) is None


def test_keys(tmp_path):
    path = tmp_path / "town.osm"
    path.write_text("one")
    key = area_key("town.osm", None, path)
    assert key == area_key(" town.osm ", None, path)
    assert key.isalnum()
    assert key.lower() == key
    others = {
        area_key("town2.osm", None, path),
        area_key("town.osm", BOX, path),
        area_key("town.osm", None, None),
        area_key("town.osm", None, tmp_path / "gone.osm"),
    }
    os.utime(path, ns=(1, 1))
    others.add(area_key("town.osm", None, path))
    assert key not in others
    assert len(others) == 4


@pytest.mark.usefixtures("downloads")
def test_many_buildings_are_written_at_once(tmp_path):
    at = np.random.default_rng(0).uniform(0, 5000, (23_000, 2))
    houses = tuple(
        Building(shapely.box(x, y, x + 9, y + 12), 0.0, 9.0, "default", "concrete", f"way/{i}")
        for i, (x, y) in enumerate(at)
    )
    area = Area("Many", 24.93, 60.16, 25.02, 60.21)
    started = time.process_time()
    draw_area(PlaceName("Many"), Scene(area, area.frame(), houses), tmp_path / "many")
    assert time.process_time() - started < 3.0
