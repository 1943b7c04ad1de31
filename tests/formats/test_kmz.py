import io
import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from rfplatform.formats.kmz import write_kmz
from rfplatform.formats.palette import Palette, shown_rss_dbm

KML = {"k": "http://www.opengis.net/kml/2.2"}


@pytest.fixture(scope="module")
def archive(radio_map, tmp_path_factory):
    path = tmp_path_factory.mktemp("kmz") / "radio_map.kmz"
    named = [
        replace(s, site="A & <B>\x07") if s.site == "Harbour" else s for s in radio_map.sectors
    ]
    write_kmz(replace(radio_map, sectors=tuple(named)), path, title='Town "x" & <y>')
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


def test_only_the_best_overlay_is_visible(radio_map, document):
    overlays = document.findall(".//k:GroundOverlay", KML)
    shown = [o.findtext("k:visibility", namespaces=KML) for o in overlays]
    assert shown == ["1"] + ["0"] * len(radio_map.sectors)
    assert document.find(".//k:ScreenOverlay", KML) is not None


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
