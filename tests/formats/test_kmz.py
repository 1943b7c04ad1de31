import io
import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from rfplatform.formats.classes import Classes
from rfplatform.formats.kmz import write_kmz
from rfplatform.formats.palette import Palette, shown_rss_dbm

KML = {"k": "http://www.opengis.net/kml/2.2"}


@pytest.fixture(scope="module")
def archive(radio_map, planning, tmp_path_factory):
    path = tmp_path_factory.mktemp("kmz") / "radio_map.kmz"
    named = [
        replace(s, site="A & <B>\x07") if s.site == "Harbour" else s for s in radio_map.sectors
    ]
    write_kmz(
        replace(radio_map, sectors=tuple(named)), path, planning=planning, title='Town "x" & <y>'
    )
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def document(archive):
    return ET.fromstring(archive.read("doc.kml"))


def test_the_document_comes_first_and_every_file_is_there(archive, document):
    assert archive.namelist()[0] == "doc.kml"
    files = {href.text for href in document.iterfind(".//k:href", KML)}
    assert files <= set(archive.namelist())
    for file in files:
        Image.open(io.BytesIO(archive.read(file))).load()


def test_names_are_escaped_and_attribution_is_given(document):
    assert document.findtext("k:Document/k:name", namespaces=KML) == 'Town "x" & <y>'
    names = {e.text for e in document.iterfind(".//k:Placemark/k:name", KML)}
    assert "A & <B>\ufffd" in names
    description = document.findtext("k:Document/k:description", namespaces=KML)
    assert "© OpenStreetMap contributors" in description


def test_only_the_best_overlay_is_visible(radio_map, planning, document):
    overlays = document.findall(".//k:GroundOverlay", KML)
    shown = [o.findtext("k:visibility", namespaces=KML) for o in overlays]
    assert shown == ["1"] + ["0"] * (len(radio_map.sectors) + len(planning.layers()))
    legends = document.findall(".//k:ScreenOverlay", KML)
    seen = [o.findtext("k:visibility", default="1", namespaces=KML) for o in legends]
    assert seen == ["1"] + ["0"] * len(planning.layers())


def folder(document, name):
    return next(
        f
        for f in document.iterfind("k:Document/k:Folder", KML)
        if f.findtext("k:name", namespaces=KML) == name
    )


def test_each_planning_layer_is_a_choice_with_its_legend_and_definition(planning, document):
    choice = folder(document, "Planning layers")
    style = "k:Style/k:ListStyle/k:listItemType"
    assert choice.findtext(style, namespaces=KML) == "radioFolder"
    groups = choice.findall("k:Folder", KML)
    assert len(groups) == len(planning.layers())
    for group, layer in zip(groups, planning.layers(), strict=True):
        assert group.findtext("k:name", namespaces=KML).lower() == layer.title.lower()
        assert group.findtext("k:description", namespaces=KML) == layer.comment
        hrefs = [e.text for e in group.iterfind(".//k:href", KML)]
        assert hrefs == [f"files/{layer.name}.png", f"files/{layer.name}_legend.png"]


def test_planning_layers_have_the_colours_of_their_classes(radio_map, planning, archive, document):
    """As below: pixels are found through longitude and latitude, and compared with the class."""
    grid = radio_map.grid
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    lon, lat = grid.frame.to_lonlat(x, y)
    covered = radio_map.outdoor & (planning.best_server >= 0)
    for layer in planning.layers():
        overlay = next(
            o
            for o in document.iterfind(".//k:GroundOverlay", KML)
            if o.findtext("k:Icon/k:href", namespaces=KML) == f"files/{layer.name}.png"
        )
        box = {e.tag.rsplit("}", 1)[1]: float(e.text) for e in overlay.find("k:LatLonBox", KML)}
        picture = Image.open(io.BytesIO(archive.read(f"files/{layer.name}.png")))
        assert picture.mode == "P"
        pixels = np.asarray(picture.convert("RGBA"))
        rows, columns = pixels.shape[:2]
        column = ((lon - box["west"]) / (box["east"] - box["west"]) * columns).astype(int)
        row = ((box["north"] - lat) / (box["north"] - box["south"]) * rows).astype(int)
        found = pixels[row, column]
        classes = Classes.of(layer, covered)
        known = classes.index >= 0
        assert known.any()
        assert np.array_equal(found[..., 3] > 0, known), layer.name
        assert np.array_equal(found[known][:, :3], classes.colors[classes.index[known]])


def test_classes_hold_the_values_that_their_labels_say(planning, radio_map):
    everywhere = np.ones(radio_map.grid.shape, bool)
    layers = {layer.name: layer for layer in planning.layers()}

    def of(name, values):
        flat = np.full(radio_map.grid.shape, values[0], layers[name].values.dtype)
        flat[0, : len(values)] = values
        classes = Classes.of(replace(layers[name], values=flat), everywhere)
        return [classes.labels[i] if i >= 0 else "" for i in classes.index[0, : len(values)]]

    assert of("ss_rsrp_dbm", [-70, -70.1, -120, -120.1, np.nan]) == [
        "≥ −70", "−80 to −70", "−120 to −110", "< −120", "",
    ]  # fmt: skip
    assert of("num_servers", [0, 1, 2, 5, 7]) == ["", "1", "2", "5 or more", "5 or more"]
    assert of("cqi", [0, 1, 3, 4, 15]) == ["0", "1 to 3", "1 to 3", "4 to 6", "13 to 15"]
    # The scale of rates ends with what there is.
    assert of("rate_bps", [0, 1e6, 20e6, 90e6]) == ["< 1", "1 to 5", "20 to 50", "≥ 50"]
    assert of("best_server", [-1, 0, 4]) == ["", "Harbour/A", "Market square/B"]
    assert of("handover_boundary", [False, True]) == ["", "boundary"]


def test_heights_are_above_the_ground(radio_map, tmp_path):
    """What Google Earth adds its own ground to must not hold the ground already."""
    hill = replace(
        radio_map, sectors=tuple(replace(s, z_m=128.0, ground_m=100.0) for s in radio_map.sectors)
    )
    write_kmz(hill, tmp_path / "hill.kmz")
    with zipfile.ZipFile(tmp_path / "hill.kmz") as opened:
        root = ET.fromstring(opened.read("doc.kml"))
    points = [e.text.split()[0].split(",") for e in root.iterfind(".//k:coordinates", KML)]
    assert {float(p[2]) for p in points} == {28.0}
    assert "28 m above ground" in root.findtext(".//k:Placemark/k:description", namespaces=KML)


def test_every_cell_is_where_its_longitude_and_latitude_say(radio_map, archive, document):
    """Points in cells go to pixels by pyproj and the box alone, and find the cell's colour."""
    overlay = document.find(".//k:GroundOverlay", KML)
    box = {
        side: float(overlay.findtext(f"k:LatLonBox/k:{side}", namespaces=KML))
        for side in ("north", "south", "east", "west")
    }
    href = overlay.findtext("k:Icon/k:href", namespaces=KML)
    pixels = np.asarray(Image.open(io.BytesIO(archive.read(href))))
    rows, columns = pixels.shape[:2]
    grid = radio_map.grid
    levels = shown_rss_dbm(radio_map)
    expected = Palette.of(levels).rgba(levels)
    assert np.all(expected[..., 3] == np.where(np.isnan(levels), 0, 255))
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    quarter = grid.resolution_m / 4
    for dx, dy in ((0, 0), (-quarter, 0), (quarter, 0), (0, -quarter), (0, quarter)):
        lon, lat = grid.frame.to_lonlat(x + dx, y + dy)
        column = ((lon - box["west"]) / (box["east"] - box["west"]) * columns).astype(int)
        row = ((box["north"] - lat) / (box["north"] - box["south"]) * rows).astype(int)
        assert np.array_equal(pixels[row, column], expected), (dx, dy)


def test_azimuth_lines_point_along_the_azimuth(radio_map, document):
    label = radio_map.sectors[4].label
    sector = radio_map.sectors[4]
    placemark = next(
        p
        for p in document.iterfind(".//k:Placemark", KML)
        if p.findtext("k:name", namespaces=KML) == label
    )
    text = placemark.findtext("k:LineString/k:coordinates", namespaces=KML)
    points = np.array([[float(v) for v in p.split(",")] for p in text.split()])
    x, y = radio_map.grid.frame.from_lonlat(points[:, 0], points[:, 1])
    assert (x[0], y[0]) == pytest.approx((sector.x_m, sector.y_m), abs=0.01)
    azimuth = np.degrees(np.arctan2(x[1] - x[0], y[1] - y[0])) % 360
    assert azimuth == pytest.approx(sector.azimuth_deg, abs=0.1)
