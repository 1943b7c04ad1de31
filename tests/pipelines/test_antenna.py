import hashlib
import json
from pathlib import Path

import pytest

from pipelines.antenna import Config, facts, main
from rfplatform.antennas import example_panel, read_msi, write_msi
from rfplatform.cli import main as command
from rfplatform.errors import InputError

PANEL = Path(__file__).parents[2] / "data" / "antennas" / "panel-65deg-18dbi.msi"


def test_an_antenna_is_measured_drawn_and_written(tmp_path):
    record = main(Config(str(PANEL), out=tmp_path, msi=tmp_path / "b.msi"))
    assert record["outputs"] == [str(tmp_path / "panel-65deg-18dbi.png"), str(tmp_path / "b.msi")]
    assert (tmp_path / "panel-65deg-18dbi.png").read_bytes().startswith(b"\x89PNG")
    assert read_msi(tmp_path / "b.msi") == example_panel()
    assert record["gain_dbi"] == 18.0
    assert record["electrical_tilt_deg"] == 4.0
    assert record["frequency_mhz"] == [3400.0, 3800.0]
    assert record["warnings"] == []
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert dict(facts(record))["Front to back"] == "30.0 dB"


def test_names_with_parameters_and_nulls_are_drawn(tmp_path):
    record = main(Config("tr38901?rows=8&columns=4&beam=2", out=tmp_path / "a.png"))
    # Beam 2 of 4 is end fire, where the element lets little through.
    assert 40 < abs(record["azimuth_deg"]) < 80
    assert 12 < record["gain_dbi"] < 14
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nope", {}, "unknown antenna"),
        ("nope.msi", {}, "no such antenna file"),
        ("tr38901", {"msi": "x.msi"}, "is a formula, not two cuts"),
        (str(PANEL), {"msi": "x.txt"}, "must end in .msi"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, name, options, message):
    options = {key: tmp_path / value for key, value in options.items()}
    with pytest.raises(InputError, match=message):
        main(Config(name, out=tmp_path / "out", **options))
    assert not list(tmp_path.iterdir())


def test_the_command_prints_and_fails_in_one_line(tmp_path, capsys):
    assert command(["antenna", str(PANEL), "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "18.0 dBi" in text
    assert "65.0°" in text
    assert command(["antenna", str(PANEL), "--out", str(tmp_path), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vertical_width_deg"] == pytest.approx(
        7.18, abs=0.01
    )
    broken = tmp_path / "broken.msi"
    write_msi(example_panel(), broken)
    broken.write_bytes(broken.read_bytes().replace(b"\r\n100 ", b"\r\n101 ", 1))
    assert command(["antenna", str(broken)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "line 113" in error


def test_a_site_list_names_files_beside_it_and_the_record_keeps_their_hashes(tmp_path):
    from pipelines.map import Config as MapConfig
    from pipelines.map import main as make_map

    write_msi(example_panel(), tmp_path / "panel.msi")
    (tmp_path / "sites.csv").write_text(
        "site,sector,lon,lat,height_m,azimuth_deg,downtilt_deg,power_dbm,frequency_hz,"
        "bandwidth_hz,antenna\n"
        "A,1,24.947,60.1675,5,120,2,46,3.5e9,1e8,panel.msi\n"
        "A,2,24.947,60.1675,5,240,2,46,3.5e9,1e8,tr38901?rows=8&columns=4&beam=1\n"
    )
    config = MapConfig(
        "helsinki",
        bbox="24.946,60.167,24.948,60.168",
        sites=tmp_path / "sites.csv",
        solver="free-space",
        formats=("tif",),
        out=tmp_path / "map",
    )
    record = make_map(config)
    path = str((tmp_path / "panel.msi").resolve())
    assert [s["antenna"] for s in record["sectors"]] == [path, "tr38901?rows=8&columns=4&beam=1"]
    (kept,) = record["inputs"]["antennas"]
    assert kept["path"] == path
    assert kept["sha256"] == hashlib.sha256((tmp_path / "panel.msi").read_bytes()).hexdigest()
