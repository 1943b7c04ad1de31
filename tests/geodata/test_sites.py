import math
import re
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from rfplatform.errors import InputError
from rfplatform.geodata.sites import (
    COLUMNS,
    SiteRow,
    parse_site_option,
    place_sectors,
    read_sites,
    write_sites,
)
from rfplatform.scene import Area, Building, Scene

HEADER = ",".join(COLUMNS)
GOOD = "Torni,1,24.9385,60.1678,3,120,6,46,3.5e9,1e8,tr38901"
AREA = Area("test", 24.93, 60.16, 24.96, 60.18)
SITES = Path(__file__).parents[2] / "data" / "sites" / "helsinki.csv"


@pytest.fixture
def write(tmp_path):
    def write_text(text, encoding="utf-8"):
        path = tmp_path / "sites.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write_text


def fault_of(path, **options):
    with pytest.raises(InputError) as caught:
        read_sites(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(str(path))


def rows_or_refusal(function, *arguments, **options):
    """What the function returns, or nothing after one line of InputError; no other error."""
    try:
        return function(*arguments, **options)
    except InputError as error:
        message = str(error)
    assert message.isprintable()
    return []


def make_row(**changes):
    return SiteRow(
        **{"site": "a", "sector": "1", "lon_deg": 24.945, "lat_deg": 60.17, "height_m": 5} | changes
    )


def make_scene(*buildings):
    frame = AREA.frame()
    return Scene(AREA, frame, tuple(buildings))


def make_block(x, y, half, base, top):
    return Building(
        shapely.box(x - half, y - half, x + half, y + half),
        base,
        top,
        "height",
        "concrete",
        "way/1",
    )


def test_a_row_is_read_as_written(write):
    (row,) = read_sites(write(f"{HEADER}\n{GOOD}\n"))
    assert row == SiteRow(
        "Torni", "1", 24.9385, 60.1678, 3.0, 120.0, 6.0, 46.0, 3.5e9, 1e8, "tr38901", row=2
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n{GOOD}",
        f"\ufeff{HEADER}\r\n{GOOD}\r\n",
        f"{HEADER}\r{GOOD}\r",
        f"# by hand\n\n{HEADER.upper()}\n,,,,,,,,,,\n  # {GOOD}\n{GOOD}\n\n",
        f"{HEADER.replace(',', ';')}\n{GOOD.replace(',', ';')}\n",
        f"{HEADER.replace(',', ';')}\n{GOOD.replace(',', ';').replace('.', ',')}\n",
        f"{HEADER.replace(',', chr(9))}\n{GOOD.replace(',', chr(9))}\n",
        ";".join(f'"{c}"' for c in COLUMNS) + f"\n{GOOD.replace(',', ';')}\n",
        f"note,{HEADER},colour\n\"a, b\",{GOOD},red\n",
        ",".join(reversed(COLUMNS)) + "\n" + ",".join(reversed(GOOD.split(","))),
    ],
    ids=["plain", "bom-crlf", "cr", "comments", "semicolon", "decimal-comma", "tab", "quoted",
         "extra-columns", "reversed"],
)  # fmt: skip
def test_dialects_read_alike(write, text):
    (row,) = read_sites(write(text))
    (plain,) = read_sites(write(f"{HEADER}\n{GOOD}\n"))
    assert {**vars(row), "row": 2} == vars(plain)


def test_empty_cells_take_the_documented_defaults(write):
    (row,) = read_sites(write(f"{HEADER}\na,1,24.9,60.1,5,,,,,,\n"), frequency_hz=2.6e9)
    assert row == make_row(lon_deg=24.9, lat_deg=60.1, frequency_hz=2.6e9, row=2)
    assert (row.azimuth_deg, row.downtilt_deg, row.power_dbm) == (0, 0, 43)
    assert (row.bandwidth_hz, row.antenna) == (20e6, "isotropic")


def test_the_row_number_is_the_line_in_the_file(write):
    rows = read_sites(
        write(f"# x\n\n{HEADER}\n{GOOD}\n\n# y\n{GOOD.replace('Torni,1', 'Torni,2')}")
    )
    assert [row.row for row in rows] == [4, 7]


def test_missing_columns_are_all_named_and_a_misspelt_one_shown(write):
    header = HEADER.replace("downtilt_deg", "downtilt").replace(",power_dbm", "")
    fault = fault_of(write(f"{header}\n"))
    assert "lacks downtilt_deg, power_dbm" in fault
    assert "'downtilt'" in fault


def test_every_bad_value_is_in_one_message_with_its_row(write):
    bad = [
        "a,1,24.9,60.1,-3,0,0,43,3.5e9,2e7,isotropic",
        GOOD,
        "a,2,24.9,nan,5,0,0,43,3.5e9,2e7,isotropic",
        "a,3,24.9,60.1,5,0,0,inf,3500,2e7,isotropic",
    ]
    fault = fault_of(write("\n".join([HEADER, *bad])))
    assert fault == (
        ": row 2: height_m '-3' must be positive, 10000 m at most; "
        "row 4: lat 'nan' must be a finite number; "
        "row 5: power_dbm 'inf' must be a finite number; "
        "row 5: frequency_hz '3500' must lie in 30e6..1e12 Hz (is it in MHz or GHz?)"
    )


def test_only_five_faults_are_listed(write):
    lines = [f"a,{i},24.9,60.1,0,0,0,43,3.5e9,2e7,isotropic" for i in range(9)]
    fault = fault_of(write("\n".join([HEADER, *lines])))
    assert fault.count("must be positive") == 5
    assert fault.endswith("; and 4 more")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("site", "", "site is empty"),
        ("lon", "", "lon is empty"),
        ("lon", "180.5", "lon '180.5' must lie in -180..180"),
        ("lat", "95", "lat '95' must lie in -90..90 (are lon and lat swapped?)"),
        ("height_m", "0", "height_m '0' must be positive, 10000 m at most"),
        ("height_m", "high", "height_m 'high' is not a number"),
        ("height_m", "1_0", "height_m '1_0' is not a number"),
        ("height_m", '"3,5"', "height_m '3,5' is not a number (write a decimal point)"),
        ("height_m", "1e999", "height_m '1e999' must be a finite number"),
        ("azimuth_deg", "nan", "azimuth_deg 'nan' must be a finite number"),
        ("downtilt_deg", "91", "downtilt_deg '91' must lie in -90..90"),
        ("power_dbm", "NaN", "power_dbm 'NaN' must be a finite number"),
        ("power_dbm", "20000", "power_dbm '20000' must lie in -100..150 dBm"),
        ("frequency_hz", "-3.5e9", "frequency_hz '-3.5e9' must lie in"),
        ("bandwidth_hz", "-1", "bandwidth_hz '-1' must be 1e3 Hz or more"),
        ("bandwidth_hz", "20", "is it in MHz?"),
        ("bandwidth_hz", "8e9", "reaches below 0 Hz"),
        ("site", "a\x07b", "can't be printed"),
    ],
)
def test_each_check_speaks(write, column, value, message):
    cells = GOOD.split(",")
    cells[COLUMNS.index(column)] = value
    assert message in fault_of(write(f"{HEADER}\n{','.join(cells)}\n"))


def test_a_sector_given_twice_names_both_rows(write):
    assert fault_of(write(f"{HEADER}\n{GOOD}\n{GOOD}")) == (
        ": row 3: sector 'Torni/1' is already in row 2"
    )


def test_cells_too_many_or_too_few(write):
    fault = fault_of(write(f"{HEADER}\n{GOOD.replace('.', ',')}\nTorni,2,24.9\n{GOOD},,\n"))
    assert "row 2: 14 cells where the header has 11 (decimal commas need ;" in fault
    assert "row 3: 3 cells where the header has 11" in fault
    assert "row 4" not in fault


def test_a_comma_that_may_be_a_decimal_or_not_is_refused(write):
    text = f"{HEADER}\n{GOOD}".replace(",", ";").replace(";3;", ";3,500;")
    assert "height_m '3,500' is not a number" in fault_of(write(text))


def test_an_unknown_antenna_gets_its_near_misses(write):
    known = {"isotropic", "dipole", "tr38901"}
    path = write(f"{HEADER}\n{GOOD.replace('tr38901', 'TR38.901')}\n")
    assert fault_of(path, known_antennas=known) == (
        ": row 2: unknown antenna 'TR38.901'; did you mean tr38901?"
    )
    path = write(f"{HEADER}\n{GOOD.replace('tr38901', 'zzz')}\n")
    assert "known: dipole, isotropic, tr38901" in fault_of(path, known_antennas=known)
    assert read_sites(path)[0].antenna == "zzz"


def test_antennas_beside_the_list_are_resolved_and_broken_ones_are_faults_of_their_rows(write):
    def resolve(text):
        if text == "bad.msi":
            raise InputError("bad.msi: line 3: GAIN is no number")
        return f"/abs/{text}" if text.endswith(".msi") else None

    known = {"tr38901"}
    rows = [GOOD.replace("tr38901", name) for name in ("a.msi", "tr38901", "bad.msi", "tr3890")]
    rows = [row.replace("Torni,1", f"Torni,{i}") for i, row in enumerate(rows)]
    path = write("\n".join([HEADER, *rows[:2]]))
    found = read_sites(path, known_antennas=known, resolve_antenna=resolve)
    assert [row.antenna for row in found] == ["/abs/a.msi", "tr38901"]
    fault = fault_of(
        write("\n".join([HEADER, *rows])), known_antennas=known, resolve_antenna=resolve
    )
    assert "row 4: bad.msi: line 3: GAIN is no number; row 5: unknown antenna 'tr3890'" in fault


def test_swapped_coordinates_are_noticed_where_the_area_is_known(write):
    path = write(f"{HEADER}\n{GOOD.replace('24.9385,60.1678', '60.1678,24.9385')}\n")
    assert "row 2: lon 60.1678, lat 24.9385: (lon and lat look swapped)" in fault_of(
        path, area=AREA
    )
    assert len(read_sites(path)) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (HEADER.encode(), "no sectors"),
        (b"\xff\xfe" + HEADER.encode("utf-16-le"), "UTF-8"),
        (f"{HEADER}\nEtel\xe4ranta".encode("latin-1"), "UTF-8"),
        (f"{HEADER},site\n".encode(), "site twice"),
        (f'{HEADER}\n"{GOOD}\n'.encode(), "row 2: unreadable"),
    ],
)
def test_files_that_are_no_site_lists(tmp_path, data, message):
    path = tmp_path / "sites.csv"
    path.write_bytes(data)
    assert message in fault_of(path)


def test_no_file_and_a_folder(tmp_path):
    assert "no such file" in fault_of(tmp_path / "none.csv")
    assert "can't be read" in fault_of(tmp_path)


@pytest.mark.parametrize("frequency_hz", [math.nan, -1.0, 3.5])
def test_the_default_frequency_is_checked(write, frequency_hz):
    path = write(f"{HEADER}\n{GOOD}\n")
    assert "frequency" in fault_of(path, frequency_hz=frequency_hz)
    with pytest.raises(InputError, match="frequency"):
        parse_site_option("1,2,3", frequency_hz=frequency_hz)


names = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1).filter(
    lambda name: name == name.strip()
)
finite = st.floats(allow_nan=False, allow_infinity=False)
site_rows = st.builds(
    SiteRow,
    names,
    names,
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.floats(5e-324, 1e4),
    st.floats(0, 360, exclude_max=True),
    st.floats(-90, 90),
    st.floats(-100, 150),
    st.floats(30e6, 1e12),
    st.floats(1e3, 59e6),
    names,
)


@given(st.lists(site_rows, min_size=1, max_size=6, unique_by=lambda row: row.label))
@example([make_row(site='#1, "main"', sector="'"), make_row(site="a;b", sector="-0.0")])
def test_what_is_written_reads_back_exactly(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    write_sites(rows, path)
    back = read_sites(path)
    assert [row.row for row in back] == list(range(2, len(rows) + 2))
    assert [{**vars(row), "row": 0} for row in back] == [vars(row) for row in rows]


pieces = st.sampled_from(
    (*COLUMNS, HEADER, GOOD, *',;\t\n"#1-\ufeff\x00\u2028', "\r\n", "nan", "1e9")
)


@example('""0')
@given(
    st.text()
    | st.lists(pieces).map("".join)
    | st.lists(pieces).map(lambda p: f"{HEADER}\n" + "".join(p))
)
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    rows = rows_or_refusal(read_sites, path, known_antennas=["isotropic"], area=AREA)
    assert all(row.height_m > 0 and 0 <= row.azimuth_deg < 360 for row in rows)


@given(st.text() | st.lists(finite, min_size=2, max_size=5).map(lambda v: ",".join(map(repr, v))))
def test_any_site_option_is_read_or_refused(text):
    for row in rows_or_refusal(lambda option: [parse_site_option(option)], text):
        assert row.height_m > 0
        assert 0 <= row.azimuth_deg < 360


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\tb"])
def test_names_that_would_not_read_back_are_not_written(tmp_path, name):
    with pytest.raises(InputError, match="can't be written"):
        write_sites([make_row(site=name)], tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())


def test_site_option():
    row = parse_site_option("24.945, 60.17, 5")
    assert row == make_row(site="site 1", sector="1")
    row = parse_site_option("24.945,60.17,5,-30", number=3, frequency_hz=2e9)
    assert row == make_row(site="site 3", azimuth_deg=330.0, antenna="tr38901", frequency_hz=2e9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("24.9,60.1", "got 2"),
        ("24.9,60.1,5,0,0", "got 5"),
        ("24.9,60.1,-5", "height_m '-5' must be positive, 10000 m at most"),
        ("24.9,60.1,nan", "height_m 'nan' must be a finite number"),
        ("24.9,x,", "lat 'x' is not a number; height_m '' is not a number"),
        ("-33.9,151.2,20", "are lon and lat swapped?"),
    ],
)
def test_bad_site_options(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_site_option(text)


def test_heights_count_from_the_ground_or_the_highest_roof():
    frame = AREA.frame()
    lon, lat = frame.to_lonlat([0.0, 30.0, 60.0, 10.0], [0.0, 0.0, 0.0, 0.0])
    scene = make_scene(
        make_block(0, 0, 10, 0, 20),
        make_block(0, 0, 3, 30, 34),
        make_block(0, 0, 2, 5, 8),
        make_block(30, 0, 5, 0, 12),
    )
    rows = [make_row(sector=str(i), lon_deg=float(lon[i]), lat_deg=float(lat[i])) for i in range(4)]
    sectors = place_sectors(rows, scene)
    assert [s.z_m for s in sectors[:3]] == [39, 17, 5]
    assert [s.mount for s in sectors[:3]] == ["roof", "roof", "ground"]
    np.testing.assert_allclose([s.x_m for s in sectors], [0, 30, 60, 10], atol=1e-6)
    np.testing.assert_allclose([s.y_m for s in sectors], 0, atol=1e-6)


def test_a_courtyard_is_ground():
    ring = shapely.box(-20, -20, 20, 20).difference(shapely.box(-5, -5, 5, 5))
    scene = make_scene(Building(ring, 0, 20, "height", "concrete", "way/1"))
    lon, lat = scene.frame.to_lonlat(0.0, 0.0)
    (sector,) = place_sectors([make_row(lon_deg=float(lon), lat_deg=float(lat))], scene)
    assert (sector.z_m, sector.mount) == (5, "ground")


def test_a_scene_without_buildings():
    (sector,) = place_sectors([make_row(power_dbm=40, downtilt_deg=4)], make_scene())
    assert (sector.z_m, sector.mount, sector.label) == (5, "ground", "a/1")
    assert (sector.power_dbm, sector.downtilt_deg) == (40, 4)
    assert place_sectors([], make_scene()) == ()


@pytest.mark.parametrize("azimuth_deg", [0.0, 45.0, 359.5])
def test_azimuths_turn_from_true_to_grid_north(azimuth_deg):
    # A second route: the geodesic that leaves along the azimuth, drawn in the grid.
    from pyproj import Geod

    scene = make_scene()
    (sector,) = place_sectors([make_row(azimuth_deg=azimuth_deg)], scene)
    lon, lat, _ = Geod(ellps="WGS84").fwd(24.945, 60.17, azimuth_deg, 100.0)
    x_m, y_m = scene.frame.from_lonlat(lon, lat)
    drawn = math.degrees(math.atan2(x_m - sector.x_m, y_m - sector.y_m)) % 360
    assert sector.azimuth_deg == pytest.approx(drawn, abs=0.01)
    # Convergence, first order: (lon - central meridian) sin(lat), here -1.78 degrees.
    expected = azimuth_deg - (24.945 - 27) * math.sin(math.radians(60.17))
    assert sector.azimuth_deg == pytest.approx(expected % 360, abs=0.01)


def test_sites_outside_name_the_row_the_place_and_the_area():
    rows = [
        make_row(row=7, lon_deg=25.5),
        make_row(sector="2"),
        make_row(site="b", lon_deg=60.17, lat_deg=24.945),
    ]
    with pytest.raises(InputError) as caught:
        place_sectors(rows, make_scene())
    assert str(caught.value) == (
        "site 'a' sector '1' (row 7) at lon 25.5, lat 60.17; site 'b' sector '1' at lon 60.17, "
        "lat 24.945 (lon and lat look swapped): outside the area test (W,S,E,N = "
        "24.93,60.16,24.96,60.18); move the site or widen the area"
    )


def test_place_refuses_a_sector_given_twice():
    with pytest.raises(InputError, match="'a/1' is given 2 times"):
        place_sectors([make_row(), make_row()], make_scene())


def test_the_example_sites_stand_near_the_edges_of_roofs():
    import osmium

    from rfplatform.geodata.place import BuiltIn

    rows = read_sites(SITES, known_antennas=["tr38901"])
    assert len(rows) == 9
    assert len({row.site for row in rows}) == 3
    factory = osmium.geom.WKBFactory()
    footprints = [
        shapely.from_wkb(factory.create_multipolygon(item))
        for item in osmium.FileProcessor(BuiltIn("helsinki").path()).with_areas()
        if item.is_area() and "building" in item.tags
    ]
    frame = AREA.frame()
    footprints = [
        shapely.transform(f, lambda c: np.column_stack(frame.from_lonlat(c[:, 0], c[:, 1])))
        for f in footprints
    ]
    tree = shapely.STRtree(footprints)
    for row in rows:
        point = shapely.Point(*frame.from_lonlat(row.lon_deg, row.lat_deg))
        under = tree.query(point, predicate="within")
        assert len(under) == 1, row.label
        assert 1.0 < footprints[under[0]].boundary.distance(point) < 3.5, row.label
        # Nothing else of the building stands in front: the facade is met within a few metres.
        azimuth = math.radians(row.azimuth_deg)
        ahead = shapely.Point(point.x + 8 * math.sin(azimuth), point.y + 8 * math.cos(azimuth))
        assert not footprints[under[0]].contains(ahead), row.label
