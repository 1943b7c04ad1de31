"""What a map is drawn of, from files written by hand and from real extracts."""

import time
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

import pytest
import shapely

from rfplatform.errors import InputError
from rfplatform.geodata.background import KINDS, download_background, read_background
from rfplatform.geodata.footprints import OSM_ATTRIBUTION
from rfplatform.geodata.place import parse_area
from rfplatform.scene import Area
from rfplatform.shipped import data_folder

LON, LAT = 24.9, 60.2
STEP = 1e-3  # degrees: 56 m by 111 m
LAKE = [(2, 2), (6, 2), (6, 6), (2, 6)]
HELSINKI = Area("Helsinki", 24.9351762, 60.1641550, 24.9534145, 60.1791130)


class Town:
    """Nodes, ways and relations as XML; corners on a lattice of `STEP` over a box of 10 x 10."""

    def __init__(self) -> None:
        self.nodes, self.ways, self.relations = [], [], []

    def way(self, corners, closed=False, lost=(), **tags) -> int:
        refs = []
        for i, (x, y) in enumerate(corners):
            number = len(self.nodes) + 1
            lon, lat = LON + x * STEP, LAT + y * STEP
            self.nodes.append(f'<node id="{number}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"/>')
            refs.append(99_000 + i if i in lost else number)
        refs += refs[:1] if closed else []
        number = 100 + len(self.ways)
        body = "".join(f'<nd ref="{ref}"/>' for ref in refs) + tags_xml(tags)
        self.ways.append(f'<way id="{number}" version="1">{body}</way>')
        return number

    def relation(self, members, **tags) -> None:
        number = 500 + len(self.relations)
        body = "".join(f'<member type="way" ref="{way}" role="{r}"/>' for way, r in members)
        body += tags_xml({"type": "multipolygon", **tags})
        self.relations.append(f'<relation id="{number}" version="1">{body}</relation>')

    def write(self, folder, bounds="") -> object:
        path = folder / "town.osm"
        parts = [bounds, *self.nodes, *self.ways, *self.relations]
        path.write_text(f'<osm version="0.6">{"".join(parts)}</osm>', encoding="utf-8")
        return path

    def features(self, folder, bounds=""):
        return read_background(self.write(folder, bounds), box()).features


def tags_xml(tags) -> str:
    return "".join(f"<tag k={quoteattr(k)} v={quoteattr(v)}/>" for k, v in tags.items())


def box(size=10):
    return Area("box", LON, LAT, LON + size * STEP, LAT + size * STEP)


def cells(geometry) -> float:
    """Area in squares of the lattice."""
    return shapely.area(geometry) / STEP**2


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ({"natural": "water"}, "water"),
        ({"waterway": "riverbank"}, "water"),
        ({"leisure": "park"}, "green"),
        ({"landuse": "cemetery"}, "green"),
        ({"natural": "wood"}, "green"),
        ({"natural": "water", "leisure": "park"}, "water"),
        ({"landuse": "residential"}, "land_use"),
        ({"landuse": "reservoir", "location": "underground"}, None),
        ({"leisure": "sauna"}, None),
        ({"building": "yes"}, None),
    ],
)
def test_kinds_of_areas(tmp_path, tags, kind):
    town = Town()
    town.way(LAKE, closed=True, name="Töölönlahti", **tags)
    found = town.features(tmp_path)
    assert [feature.kind for feature in found] == ([kind] if kind else [])
    for feature in found:
        assert feature.name == "Töölönlahti"
        assert feature.geometry.geom_type == "Polygon"
        assert feature.rank is None
        assert cells(feature.geometry) == pytest.approx(16, rel=1e-4)


@pytest.mark.parametrize(
    ("tags", "kind", "rank"),
    [
        ({"highway": "motorway_link"}, "street", 1),
        ({"highway": "primary"}, "street", 1),
        ({"highway": "tertiary"}, "street", 2),
        ({"highway": "residential"}, "street", 3),
        ({"highway": "service"}, "street", 4),
        ({"highway": "service", "tunnel": "building_passage"}, "street", 4),
        ({"highway": "primary", "tunnel": "yes"}, None, None),
        ({"highway": "proposed"}, None, None),
        ({"highway": "footway"}, "path", None),
        ({"highway": "steps"}, "path", None),
        ({"highway": "footway", "indoor": "yes"}, None, None),
        ({"railway": "tram"}, "rail", None),
        ({"railway": "subway", "tunnel": "yes"}, None, None),
        ({"waterway": "stream"}, "water", None),
        ({"waterway": "stream", "tunnel": "culvert"}, None, None),
        ({"power": "line"}, None, None),
    ],
)
def test_kinds_of_lines(tmp_path, tags, kind, rank):
    town = Town()
    town.way([(1, 1), (5, 5)], **tags)
    found = town.features(tmp_path)
    assert [(f.kind, f.rank) for f in found] == ([(kind, rank)] if kind else [])
    assert all(f.geometry.geom_type == "LineString" for f in found)


def test_islands_and_what_is_painted_first(tmp_path):
    town = Town()
    outer = town.way([(1, 1), (9, 1), (9, 9), (1, 9)], closed=True)
    inner = town.way(LAKE, closed=True)
    town.way([(0, 0), (9, 9)], highway="primary", name="Pääkatu")
    town.relation([(outer, "outer"), (inner, "inner")], natural="water", name="Järvi")
    town.way(LAKE, closed=True, leisure="park")
    found = town.features(tmp_path)
    assert [f.kind for f in found] == sorted((f.kind for f in found), key=KINDS.index)
    assert [f.name for f in found] == ["", "Järvi", "Pääkatu"]
    assert cells(found[1].geometry) == pytest.approx(64 - 16, rel=1e-4)


def test_small_land_use_and_squares_are_left_out(tmp_path):
    town = Town()
    town.way([(1, 1), (2, 1), (2, 2), (1, 2)], closed=True, landuse="retail")
    town.way(LAKE, closed=True, highway="pedestrian", area="yes")
    assert town.features(tmp_path) == ()


def test_everything_is_cut_at_the_box(tmp_path):
    town = Town()
    # A U whose two arms reach into the box: two pieces, of which the larger carries the name.
    u = [(-3, 1), (4, 1), (4, 3), (-1, 3), (-1, 6), (2, 6), (2, 7), (-3, 7)]
    town.way(u, closed=True, leisure="park", name="U")
    town.way([(5, -5), (5, 15)], highway="primary")
    town.way([(20, 20), (21, 21)], highway="primary")
    park, other, street = town.features(tmp_path)
    assert sorted([cells(park.geometry), cells(other.geometry)]) == pytest.approx([2, 8], rel=1e-3)
    named = {f.name: cells(f.geometry) for f in (park, other)}
    assert named["U"] == pytest.approx(8, rel=1e-3)
    assert street.geometry.bounds == pytest.approx(
        (LON + 5 * STEP, LAT, LON + 5 * STEP, LAT + 10 * STEP)
    )


def test_nothing_is_drawn_beyond_the_file(tmp_path):
    town = Town()
    town.way([(-1, 5), (11, 5)], natural="coastline")
    half = f'<bounds minlat="{LAT}" minlon="{LON}" maxlat="{LAT + 1}" maxlon="{LON + 5 * STEP}"/>'
    (sea,) = town.features(tmp_path, half)
    assert cells(sea.geometry) == pytest.approx(25, rel=1e-3)


def test_a_way_that_lost_nodes_comes_in_pieces(tmp_path):
    town = Town()
    town.way([(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)], lost=[2], highway="service")
    found = town.features(tmp_path)
    assert [f.geometry.length / STEP for f in found] == pytest.approx([1, 1], rel=1e-3)


@pytest.mark.parametrize(
    ("ways", "sea_cells"),
    [
        # To the right of a way to the east lies the south; also if it comes in two.
        ([[(-1, 4), (11, 4)]], 40),
        ([[(-1, 4), (5, 4)], [(5, 4), (11, 4)]], 40),
        ([[(11, 4), (-1, 4)]], 60),
        # A bay that is land again beyond, and a strait between two coasts.
        ([[(3, -1), (3, 5), (7, 5), (7, -1)]], 20),
        ([[(-1, 6), (11, 6)], [(11, 2), (-1, 2)]], 40),
        # An island in the sea; an island alone, whose sea is all the rest.
        ([[(-1, 8), (11, 8)], [(2, 2), (6, 2), (6, 6), (2, 6), (2, 2)]], 80 - 16),
        ([[(2, 2), (6, 2), (6, 6), (2, 6), (2, 2)]], 100 - 16),
        # Cut off by an extract half a cell before the border.
        ([[(0.5, 4), (9.5, 4)]], 40),
    ],
)
def test_the_sea_is_to_the_right_of_the_coast(tmp_path, ways, sea_cells):
    town = Town()
    for corners in ways:
        town.way(corners, natural="coastline")
    found = town.features(tmp_path)
    assert {f.kind for f in found} == {"water"}
    assert {f.geometry.geom_type for f in found} == {"Polygon"}
    assert sum(cells(f.geometry) for f in found) == pytest.approx(sea_cells, rel=1e-3)


@pytest.mark.parametrize(
    "ways",
    [
        [[(-1, 4), (5, 4)]],  # ends in the middle
        [[(-1, 6), (11, 6)], [(-1, 2), (11, 2)]],  # between both there would be land and sea
    ],
)
def test_a_coast_that_tells_nothing_stays_a_line(tmp_path, ways):
    town = Town()
    for corners in ways:
        town.way(corners, natural="coastline")
    found = town.features(tmp_path)
    lines = [f.geometry for f in found if f.geometry.geom_type == "LineString"]
    assert len(lines) == len(ways)
    # South of the second coast there is sea all the same.
    south = [f.geometry for f in found if f.geometry.geom_type == "Polygon"]
    assert [cells(face) for face in south] == pytest.approx([20] * (len(ways) - 1), rel=1e-3)


def answer(path):
    """A file's elements as Overpass sends them."""
    elements = []
    for node in ET.parse(path).getroot():
        tags = {tag.get("k"): tag.get("v") for tag in node.iter("tag")}
        element = {"type": node.tag, "id": int(node.get("id"))} | ({"tags": tags} if tags else {})
        if node.tag == "node":
            element |= {key: float(node.get(key)) for key in ("lon", "lat")}
        elif node.tag == "way":
            element["nodes"] = [int(nd.get("ref")) for nd in node.iter("nd")]
        else:
            members = [dict(member.attrib) for member in node.iter("member")]
            element["members"] = [member | {"ref": int(member["ref"])} for member in members]
        elements.append(element)
    return {"elements": elements}


def told(background):
    return {
        (f.kind, f.name, f.rank, shapely.set_precision(f.geometry, 1e-7).normalize().wkt)
        for f in background.features
    }


def district():
    town = Town()
    outer = town.way([(1, 1), (9, 1), (9, 9), (1, 9)], closed=True)
    inner = town.way(LAKE, closed=True)
    town.relation([(outer, "outer"), (inner, "inner")], natural="wood", name="Keskuspuisto")
    town.way(
        [(-3, 1), (4, 1), (4, 3), (-1, 3), (-1, 6), (2, 6), (2, 7), (-3, 7)], True, leisure="park"
    )
    town.way([(1, 1), (2, 1), (2, 2), (1, 2)], True, landuse="retail")
    town.way([(5, 5), (8, 5), (8, 8), (5, 8)], True, natural="water", leisure="park")
    town.way([(5, 1), (6, 1), (6, 2)], True, highway="residential")  # a loop
    town.way([(7, 1), (8, 1), (8, 2)], True, highway="pedestrian", area="yes")
    town.way([(5, -5), (5, 15)], highway="primary_link", name="Pääkatu")
    town.way([(6, -5), (6, 15)], highway="primary", tunnel="yes")
    town.way([(1, 4), (4, 5)], railway="tram")
    town.way([(1, 5), (4, 6)], waterway="stream")
    town.way([(1, 6), (4, 7)], highway="steps", building="yes")
    return town


def coast(*ways, **tags):
    town = Town()
    for corners in ways:
        town.way(corners, natural="coastline")
    island = town.way([(2, 1), (4, 1), (4, 3), (2, 3)], True, natural="coastline", **tags)
    town.relation([(island, "outer")], natural="coastline", place="island")
    return town


@pytest.mark.parametrize(
    ("town", "num"),
    [
        (district(), 9),
        (coast([(-1, 4), (5, 4)], [(5, 4), (11, 4)]), 1),
        (coast([(-1, 4), (11, 4)], place="islet", leisure="park", name="Saari"), 2),
        (coast([(-1, 4), (5, 4)], place="islet"), 2),
        (Town(), 0),
    ],
)
def test_online_is_as_from_a_file(tmp_path, monkeypatch, town, num):
    path = town.write(tmp_path)
    asked = []

    def overpass(data):
        asked.append(data["data"])
        return answer(path)

    monkeypatch.setattr("osmnx._overpass._overpass_request", overpass)
    found = download_background(box())
    assert told(found) == told(read_background(path, box()))
    assert len(found.features) == num
    assert [f.kind for f in found.features] == sorted(
        (f.kind for f in found.features), key=KINDS.index
    )
    assert found.attribution == OSM_ATTRIBUTION
    (query,) = asked
    for part in ("['highway']", "['railway']", "['natural'='coastline']", "['natural'='water']"):
        assert part in query
    assert "['natural']" not in query


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_background(tmp_path / "none.osm", box())
    for content in (b"", b"<osm><node", b"no XML"):
        (tmp_path / "bad.osm").write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.osm: not a readable"):
            read_background(tmp_path / "bad.osm", box())
    torn = tmp_path / "torn.osm.pbf"
    torn.write_bytes(parse_area("helsinki").path().read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"torn\.osm\.pbf: not a readable"):
        read_background(torn, HELSINKI)
    # Another place than the file's.
    assert read_background(parse_area("helsinki").path(), Area("x", 7, 43, 8, 44)).features == ()
    (tmp_path / "empty.osm").write_text('<osm version="0.6"/>')
    assert read_background(tmp_path / "empty.osm", box()).features == ()


def test_helsinki():
    started = time.process_time()
    found = read_background(parse_area("helsinki").path(), HELSINKI)
    assert time.process_time() - started < 1.5
    assert found.attribution == OSM_ATTRIBUTION
    assert {f.kind for f in found.features} == set(KINDS)
    names = {(f.kind, f.name) for f in found.features}
    assert ("street", "Mannerheimintie") in names
    assert ("green", "Kaisaniemen puisto") in names
    frame = shapely.box(*HELSINKI.bounds_deg).buffer(1e-9)
    assert all(frame.covers(f.geometry) and f.geometry.is_valid for f in found.features)
    assert all((f.rank in (1, 2, 3, 4)) == (f.kind == "street") for f in found.features)
    # The bay of Kaisaniemi is sea, the island beyond its bridge and the railway station are not.
    water = shapely.union_all([f.geometry for f in found.features if f.kind == "water"])
    assert water.contains(shapely.Point(24.9425, 60.1778))
    assert not water.intersects(shapely.Point(24.9470, 60.1780))
    assert not water.intersects(shapely.Point(24.9412, 60.1719))


MONACO = data_folder() / "osm" / "monaco.osm.pbf"


@pytest.mark.skipif(
    not MONACO.is_file(), reason="no osm/monaco.osm.pbf in RFPLATFORM_DATA or ../shared/data"
)
def test_monaco_lies_at_the_sea():
    started = time.process_time()
    found = read_background(MONACO, Area("Monaco", 7.349, 43.71, 7.491, 43.77))
    assert time.process_time() - started < 4.0
    water = shapely.union_all([f.geometry for f in found.features if f.kind == "water"])
    assert water.contains(shapely.Point(7.46, 43.73))
    assert water.contains(shapely.Point(7.4245, 43.7350))  # the harbour
    assert not water.intersects(shapely.Point(7.4190, 43.7311))  # the palace, on its rock
    assert shapely.area(water) / (0.142 * 0.06) == pytest.approx(0.53, abs=0.1)
