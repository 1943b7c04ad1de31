"""A jobs file is read whole, or refused with everything that is wrong with it."""

import re
import time
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.batch.faults import JobsError
from pipelines.batch.jobs import Job, read_jobs
from pipelines.map import OPTIONS, Config
from rfplatform.errors import InputError

SITE = "24.945,60.168,5"
SITES_CSV = (
    "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,"
    "bandwidth_hz,antenna\n"
)
XML_SCENE = '<scene version="2.1.0"></scene>\n'


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "jobs.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def sites_csv(path: Path, count: int = 1) -> Path:
    rows = (f"s{i},1,24.945,60.168,5,,,,,,\n" for i in range(count))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SITES_CSV + "".join(rows))
    return path


def lines_of(path: Path) -> list[str]:
    with pytest.raises(JobsError) as refused:
        read_jobs(path)
    return list(refused.value.lines)


def test_a_row_is_a_config(write, tmp_path):
    sites = sites_csv(tmp_path / "lists" / "town.csv")
    path = write(
        "Name,area,sites,site,frequency,rays_per_sector,no-filter,scattering,no_refraction,"
        "max_depth,scs,formats,tile_m,tile_margin_m\n"
        "# what follows is a comment\n"
        f'one,helsinki,,"{SITE}; {SITE},90",3.6e9,1e6,yes,TRUE,no,3.0,30e3,"zarr, png",1000,0\n'
        "\n"
        "two,helsinki,lists/town.csv,,,,0,,,,,,,\n"
    )
    one, two = read_jobs(path)
    assert one == Job(
        "one",
        Config(
            "helsinki", site=(SITE, f"{SITE},90"), frequency_hz=3.6e9, rays_per_sector=1e6,
            reconstruct=False, diffuse_reflection=True, refraction=True, max_depth=3, scs_hz=30e3,
            formats=("zarr", "png"),
        ),
        1000.0, 0.0, 64.0, "row 3",
    )  # fmt: skip
    assert two == Job("two", Config("helsinki", sites, formats=("zarr", "tif")), where="row 5")
    assert type(one.config.max_depth) is int


def test_parquet_and_toml_say_the_same(write, tmp_path):
    sites_csv(tmp_path / "town.csv")
    columns = {
        "area": ["helsinki", "helsinki"],
        "site": [None, [SITE]],
        "sites": ["town.csv", None],
        "rays": [1e6, float("nan")],
        "seed": [7, None],
        "diffraction": [None, False],
        "tile_m": [None, 1000],
    }
    table = tmp_path / "jobs.parquet"
    pyarrow.parquet.write_table(pa.table(columns), table)
    comma = write(
        "area,site,sites,rays,seed,diffraction,tile_m\n"
        f'helsinki,,town.csv,1e6,7,,\nhelsinki,"{SITE}",,,,false,1000\n'
    )
    toml = write(
        'sites = "town.csv"\narea = "helsinki"\n[[jobs]]\nrays = 1e6\nseed = 7\n'
        f'[[jobs]]\nsite = ["{SITE}"]\nno_diffraction = true\ntile_m = 1000\n',
        "jobs.toml",
    )

    def told(path):
        return [(j.config, j.tile_m) for j in read_jobs(path)]

    assert told(table) == told(comma) == told(toml)
    assert [j.where for j in read_jobs(table)] == ["row 1", "row 2"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_a_byte_order_mark(write, delimiter):
    text = delimiter.join(["\ufeffarea", "seed"]) + "\r\n" + delimiter.join(["helsinki", "4"])
    assert read_jobs(write(text))[0].config.seed == 4


@pytest.mark.parametrize("name", [f.name for f in fields(Config)])
def test_every_option_is_a_column_by_its_name_and_by_its_field(write, name):
    default = getattr(Config(""), name)
    for column in (OPTIONS[name], OPTIONS[name].strip("-").replace("-", "_"), name):
        if name == "area":
            continue
        path = write(f"area,{column}\nhelsinki,\n")
        if name in ("out", "overwrite"):
            [line] = lines_of(path)
            assert column in line
            assert "leave it out" in line
            continue
        [job] = read_jobs(path)
        if name != "formats":
            assert getattr(job.config, name) == default
        if isinstance(default, bool):
            [job] = read_jobs(write(f"area,{column}\nhelsinki,yes\n"))
            assert getattr(job.config, name) is not column.strip("-").startswith("no")


def test_a_table_of_lists_is_their_product(write, tmp_path):
    sites_csv(tmp_path / "north.csv")
    sites_csv(tmp_path / "south.csv")
    path = write(
        'solver = "tr38901-umi"\n'
        "[[jobs]]\n"
        'area = "helsinki"\n'
        'sites = ["north.csv", "south.csv"]\n'
        "frequency = [700e6, 3.5e9]\n"
        'formats = ["zarr"]\n'
        "[[jobs]]\n"
        'name = "town"\n'
        'area = ["helsinki", "24.94,60.16,24.95,60.17"]\n'
        f'site = [["{SITE}"], ["{SITE}", "{SITE},90"]]\n'
        "no_filter = [true, false]\n",
        "jobs.toml",
    )
    jobs = read_jobs(path)
    assert [j.name for j in jobs] == [
        "helsinki-north-0.7ghz",
        "helsinki-north-3.5ghz",
        "helsinki-south-0.7ghz",
        "helsinki-south-3.5ghz",
        "town-helsinki-site1-no-filter",
        "town-helsinki-site1-filter",
        "town-helsinki-site2-no-filter",
        "town-helsinki-site2-filter",
        "town-24.94-60.16-24.95-60.17-site1-no-filter",
        "town-24.94-60.16-24.95-60.17-site1-filter",
        "town-24.94-60.16-24.95-60.17-site2-no-filter",
        "town-24.94-60.16-24.95-60.17-site2-filter",
    ]
    assert jobs[1].config == Config(
        "helsinki", tmp_path / "north.csv", solver="tr38901-umi", frequency_hz=3.5e9,
        formats=("zarr",),
    )  # fmt: skip
    assert jobs[1].where == "jobs[1], sites=north.csv, frequency=3.5e9"
    assert jobs[6].config.site == (SITE, f"{SITE},90")
    assert [j.config.reconstruct for j in jobs[4:6]] == [False, True]


def test_everything_wrong_is_told_at_once(write, tmp_path):
    (tmp_path / "empty.csv").write_text(SITES_CSV)
    path = write(
        "area,sites,frequncy,rays,resolution,seed,solver,terrain,no_filter,tile_m\n"
        "helsinki,,,many,4,1,raytraced,,maybe,\n"
        "helsinki,nowhere.csv,,0,0,1,raytraced,,,\n"
        'helsinki,empty.csv,,"1,5",4,1.5,raytrace,hills.tif,,\n'
        "towns/a.osm,,,,-1,,raytrace,hills.tif,,\n"
        ',,,,,,,,,\n"1,2,3",,,,,,,,,\n'
        ",,,,,3,,,,\n"
        "helsinki,,,,,,,\n"
        "helsinki,,,,,,,,,\n"
    )
    with pytest.raises(JobsError) as refused:
        read_jobs(path)
    lines = refused.value.lines
    expected = [
        "column 'frequncy': there is no such option; did you mean frequency",
        "row 2: rays 'many' is not a number",
        "row 2: no_filter 'maybe' must be true or false",
        f"row 3: {tmp_path}/nowhere.csv: no such file",
        "row 3: rays 0: must lie in",
        "row 3: resolution 0 m: must lie in",
        "row 4: rays '1,5' is not a number (write a decimal point)",
        "row 4: seed '1.5' must be a whole number",
        f"row 5: {tmp_path}/towns/a.osm: no such file",
        f"row 5: terrain {tmp_path}/hills.tif: no such file",
        'row 5: unknown solver "raytrace"; did you mean raytraced?',
        "row 5: resolution -1 m: must lie in",
        "row 7: box '1,2,3': expected 4 numbers",
        "row 8: no area",
        "row 9: 8 cells where the header has 10",
    ]
    for text in expected:
        assert any(line.startswith(text) for line in lines), text
    assert len(lines) == len(expected)
    assert [line[:5] for line in lines] == sorted(line[:5] for line in lines)  # column, row 2 ...
    assert str(refused.value) == f"{path}: {len(lines)} faults in 7 of 8 rows"
    assert "\n" not in str(refused.value)


def test_a_fault_of_many_rows_is_one_line(write):
    path = write("area,rays\n" + "helsinki,-5\n" * 12)
    [line] = lines_of(path)
    assert line.startswith("row 2; row 3; row 4 and 9 more: rays -5: must lie in")


def test_options_that_are_wrong_together_only(write):
    [line] = lines_of(write(f'area,site,origin\nhelsinki,"{SITE}","1,2"\n'))
    assert line.startswith("row 2: origin '1,2': is for scenes made elsewhere")
    path = write(f'area,site,sites\nhelsinki,"{SITE}",{sites_csv(write("", "s.csv"))}\n')
    assert lines_of(path) == ["row 2: give --sites or --site, not both"]
    [line] = lines_of(write("area,default_material\nhelsinki,concrete\n"))
    assert "Blender" in line


def test_columns_that_mean_the_same(write):
    [line] = lines_of(write("area,rays,rays_per_sector\nhelsinki,1e6,1e6\n"))
    assert line == "columns 'rays' and 'rays_per_sector' are the same: keep one"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('area = "helsinki"\n', "no jobs"),
        ('[jobs]\narea = "helsinki"\n', "[[jobs]]"),
        ("area = \n", "can't be read"),
        ('[[jobs]]\narea = "helsinki"\nseed = []\n', "jobs[1]: seed: an empty list"),
        ('[[jobs]]\narea = "helsinki"\nname = ["a", "b"]\n', "jobs[1]: name: give one"),
        ('[[jobs]]\narea = {a = 1}\n', "jobs[1]: area \"{'a': 1}\" must be text"),
        (
            '[[jobs]]\narea = "helsinki"\n'
            + "".join(f"{name} = [{'1,' * 200}]\n" for name in ("seed", "rays", "max_depth")),
            "jobs[1]: its lists make 8,000,000 jobs: 1,000,000 at most",
        ),
    ],
)  # fmt: skip
def test_tables_that_are_none(write, text, told):
    [line] = lines_of(write(text, "jobs.toml"))
    assert told in line


def test_files_that_are_none(write, tmp_path):
    assert lines_of(tmp_path / "none.csv") == ["no such file"]
    assert "empty" in lines_of(write(""))[0]
    assert "add a row" in lines_of(write("area\n"))[0]
    assert "ends in .csv, .parquet, .toml" in lines_of(write("", "jobs.xlsx"))[0]
    assert "can't be read" in lines_of(write("no table", "jobs.parquet"))[0]
    (tmp_path / "latin.csv").write_bytes("area\nMünchen\n".encode("latin-1"))
    assert "UTF-8" in lines_of(tmp_path / "latin.csv")[0]
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_jobs(tmp_path / "none.csv")


def test_paths_count_from_the_folder_of_the_file(write, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    sites_csv(tmp_path / "home" / "s.csv")
    for place in (tmp_path / "town.osm", elsewhere / "other.osm", tmp_path / "helsinki"):
        place.write_text("")
    path = write(
        "area,sites,terrain\n"
        "town.osm,~/s.csv,town.osm\n"
        "helsinki,~/s.csv,\n"
        "Helsinki,~/s.csv,\n"
        "St.Gallen,~/s.csv,\n"
    )
    here, built_in, cased, city = read_jobs(path)
    assert here.config.area == str(tmp_path / "town.osm")
    assert here.config.sites == tmp_path / "home" / "s.csv"
    assert here.config.terrain == tmp_path / "town.osm"
    assert (built_in.config.area, cased.config.area) == ("helsinki", "Helsinki")
    assert (city.config.area, city.name) == ("St.Gallen", "st.gallen")
    # What lies where the command runs is not meant.
    [line] = lines_of(write(f'area,site\nother.osm,"{SITE}"\n'))
    assert line == f"row 2: {tmp_path}/other.osm: no such file"


def test_names_are_unique_and_stated_ones_stay(write):
    jobs = read_jobs(
        write(
            "area,seed,name\nhelsinki,1,\nhelsinki,2,helsinki\nhelsinki,3,\nhelsinki,4,helsinki-2\n"
        )
    )
    assert [j.name for j in jobs] == ["helsinki-3", "helsinki", "helsinki-4", "helsinki-2"]
    [line] = lines_of(write("area,seed,name\nhelsinki,1,a\nhelsinki,2,a\n"))
    assert line == "row 3: name 'a' is that of row 2, too"


def test_the_same_job_twice_is_one(write):
    [job, other] = read_jobs(
        write(
            "area,seed,name,tile_m,tile_overlap_m\nhelsinki,1,a,,\nhelsinki,2,,,\n"
            # Without tiles, their overlap does nothing.
            "helsinki,,b,,128\nhelsinki,1,a,,\n"
        )
    )
    assert (job.name, job.where) == ("a", "row 2 (the same again: row 4; row 5)")
    assert other.config.seed == 2


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"tile_m": 60}, "tile_m 60: must be 16 cells or more (64 m)"),
        ({"tile_m": 1001}, "the nearest is 1000"),
        ({"tile_m": 1000, "resolution": 3}, "the nearest is 999"),
        ({"tile_m": 1000, "tile_margin_m": -1}, "tile_margin_m -1: must be 0 or more"),
        ({"tile_m": 1000, "tile_overlap_m": 1000}, "less than tile_m"),
        ({"tile_m": 1000, "tile_overlap_m": -8}, "must be 0 or more"),
        ({"tile_m": 1000, "tile_overlap_m": 60}, "two cells (8 m); the nearest is 64"),
        ({"tile_m": 1000, "area": "scene.xml"}, "is a scene made elsewhere"),
    ],
)
def test_tiles_that_can_not_be_cut(write, columns, told):
    write(XML_SCENE, "scene.xml")
    values = {"area": "helsinki", "site": "10,10,5", **columns}
    row = ",".join(f'"{value}"' for value in values.values())
    [line] = lines_of(write(",".join(values) + "\n" + row + "\n"))
    assert told in line


def test_an_overlap_by_default_is_whole_pairs_of_cells(write):
    [job] = read_jobs(write("area,resolution,tile_m\nhelsinki,5,1000\n"))
    assert (job.tile_m, job.tile_margin_m, job.tile_overlap_m) == (1000.0, 1000.0, 70.0)


def test_scenes_made_elsewhere_are_jobs_too(write, tmp_path):
    write(XML_SCENE, "square.xml")
    write("", "square.blend")
    path = write(
        'area,site,origin,default_material\nsquare.xml,"500,10,5",,\n'
        'square.xml,"24.9,60.1,5","24.9,60.1",\nsquare.blend,"500,10,5",,concrete\n'
    )
    jobs = read_jobs(path)
    assert [j.name for j in jobs] == ["square", "square-2", "square-3"]
    assert jobs[0].config.area == str(tmp_path / "square.xml")


def test_ten_thousand_rows_are_read_in_seconds(write, tmp_path):
    sites_csv(tmp_path / "s.csv", 1000)
    rows = "".join(f"helsinki,s.csv,{seed},1000\n" for seed in range(10_000))
    path = write("area,sites,seed,tile_m\n" + rows)
    started = time.perf_counter()
    jobs = read_jobs(path)
    assert time.perf_counter() - started < 5.0
    assert len({j.name for j in jobs}) == 10_000


def test_ten_thousand_bad_rows_are_refused_in_seconds(write):
    path = write("area,sites,seed,tile_m\n" + "helsinki,none.csv,-1,5\n" * 10_000)
    started = time.perf_counter()
    assert len(lines_of(path)) == 3
    assert time.perf_counter() - started < 5.0


def test_the_documents_examples_are_jobs_files(write, tmp_path):
    document = (Path(__file__).parents[3] / "docs" / "batch.md").read_text(encoding="utf-8")
    for name in ("vyborg", "centre", "all"):
        sites_csv(tmp_path / "lists" / f"{name}.csv")
    (tmp_path / "towns").mkdir()
    (tmp_path / "towns" / "vyborg.osm.pbf").touch()
    counts = {}
    for kind, text in re.findall(r"```(csv|toml)\n(.*?)```", document, re.DOTALL):
        counts[kind] = len(read_jobs(write(text, f"jobs.{kind}")))
    assert counts == {"csv": 3, "toml": 13}
