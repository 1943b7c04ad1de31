import gzip

import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.formats.drive_test import Columns, Fault, read_columns, read_drive_test

GOOD = "lat,lon,rsrp\n60.17,24.94,-90\n60.18,24.95,-100.5\n"


def written(tmp_path, text, name="drive.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_plain_names_are_found_by_themselves(tmp_path):
    found = read_drive_test(written(tmp_path, GOOD))
    assert found.lat_deg.tolist() == [60.17, 60.18]
    assert found.lon_deg.tolist() == [24.94, 24.95]
    assert found.rsrp_dbm.tolist() == [-90.0, -100.5]
    assert found.cell.tolist() == ["", ""]
    assert np.isnan(found.time_s).all()
    assert found.columns == Columns("lat", "lon", "rsrp")
    assert (found.rows, found.faults) == (2, ())


@pytest.mark.parametrize(
    "text",
    [
        "Latitude;Longitude;RSRP [dBm];Device ID\n60,17;24,94;-90;a\n60,18;24,95;-100,5;b\n",
        "GPS Lat\tGPS Lon\tSS-RSRP (dBm)\tUE\r\n60,17\t24,94\t-90\ta\r\n60.18\t24.95\t-100.5\tb\n",
        "# made by a tool\n\nlat,lng,rsrp_dbm,device\n\n60.17,24.94,-90,a\n60.18,24.95,-100.5,b\n",
        '\ufeff"lat","LON","Rsrp","device"\n"60.17","24.94","-90","a"\n60.18, 24.95 ,-100.5,b\n',
    ],
)
def test_separators_decimal_commas_and_marks(tmp_path, text):
    found = read_drive_test(written(tmp_path, text))
    assert found.lat_deg.tolist() == [60.17, 60.18]
    assert found.lon_deg.tolist() == [24.94, 24.95]
    assert found.rsrp_dbm.tolist() == [-90.0, -100.5]
    assert found.device.tolist() == ["a", "b"]


def test_gzipped(tmp_path):
    path = tmp_path / "drive.csv.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert len(read_drive_test(path)) == 2
    path.write_bytes(gzip.compress(GOOD.encode())[:-20])
    with pytest.raises(InputError, match="can't be read"):
        read_drive_test(path)


def test_bad_rows_are_told_with_their_line_and_do_not_stop_the_rest(tmp_path):
    text = (
        "lat,lon,rsrp\n60.17,24.94,-90\n0,0,-90\n,24.94,-90\n60.17,24.94,n/a\n\n"
        "95,24.94,-90\n60.17,224.94,-90\n60.17,24.94,2147483647\n60.17,24.94\n60.17,24.94,nan\n"
        "60.17,24.94,1_0\n"
    )
    found = read_drive_test(written(tmp_path, text))
    assert len(found) == 1
    assert found.rows == 10
    assert found.faults == (
        Fault(3, "no fix (position 0, 0)"),
        Fault(4, "no latitude"),
        Fault(5, "rsrp is no number ('n/a')"),
        Fault(7, "latitude out of -90..90 (95): are latitude and longitude swapped?"),
        Fault(8, "longitude out of -180..180 (224.94)"),
        Fault(9, "RSRP out of -156..-31 dBm (2.14748e+09)"),
        Fault(10, "too few cells (2 where the header has 3)"),
        Fault(11, "rsrp is no number ('nan')"),
        Fault(12, "rsrp is no number ('1_0')"),
    )
    assert found.reasons()["rsrp is no number"] == 3


def test_the_ends_of_the_reported_range_are_levels(tmp_path):
    found = read_drive_test(written(tmp_path, "lat,lon,rsrp\n1,1,-156\n1,1,-31\n1,1,-30.9\n"))
    assert found.rsrp_dbm.tolist() == [-156.0, -31.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("lat,lon,rsrp\n", "no rows"),
        ("lat,lon,rsrp\n0,0,-90\n0,0,-91\n", "none of 2 rows is good: row 2: no fix"),
        ("lat,lon,rssi\n1,1,-90\n", "no column is known as rsrp .*it has: lat, lon, rssi"),
    ],
)
def test_what_can_not_be_used_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_drive_test(written(tmp_path, text))


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_drive_test(tmp_path / "none.csv")
    with pytest.raises(InputError, match="not UTF-8"):
        read_drive_test(written(tmp_path, "lat,lon,rsrp,é\n1,1,-90,é\n", encoding="latin-1"))


def test_presets(tmp_path):
    text = "PCI,latitude,longitude,device,rsrp\nC,36.004,-78.939,Samsung,-124\n"
    found = read_drive_test(written(tmp_path, text), "geo2sigmap")
    assert (found.cell[0], found.device[0], found.rsrp_dbm[0]) == ("C", "Samsung", -124.0)
    text = (
        "Timestamp,Longitude,Latitude,Speed,Operatorname,CellID,NetworkMode,RSRP,RSRQ\n"
        "2017.11.22_10.07.03,-8.5,51.8,4,A,2,LTE,-119,-14\n"
        "2017.11.22_10.07.04,-8.5,51.8,4,A,2,HSPA+,-80,-14\n"
    )
    found = read_drive_test(written(tmp_path, text), "gnettrack")
    assert found.time_s.tolist() == [1511345223.0]
    assert found.faults == (Fault(3, "another radio ('HSPA+'): it has no RSRP"),)
    text = (
        "latitude,longitude,altitude,MCC,MNC,LAC,CID,signal,type,subtype,ARFCN,PSC\n"
        "49.231,-123.1,3,302,72,1,77,-101,LTE,LTE-A,2000,5\n"
        "49.231,-123.1,3,302,72,1,77,-71,GSM,EDGE,20,5\n"
    )
    found = read_drive_test(written(tmp_path, text), "cellmapper")
    assert (found.cell.tolist(), found.rsrp_dbm.tolist()) == (["77"], [-101.0])


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [("1700000000", 1.7e9), ("1700000000500", 1.7000000005e9), ("2023-11-14T22:13:20Z", 1.7e9)],
)
def test_times(tmp_path, stamp, seconds):
    path = written(tmp_path, f"time,lat,lon,rsrp\n{stamp},1,1,-90\n,1,1,-90\n")
    found = read_drive_test(path).time_s
    assert found[0] == pytest.approx(seconds)
    assert np.isnan(found[1])


def test_a_mapping_of_ones_own(tmp_path):
    path = written(tmp_path, "Nord;Est;Niveau;Mobile\n1,5;2,5;-90;x\n")
    own = tmp_path / "map.toml"
    own.write_text('latitude = "Nord"\nlongitude = "est"\nrsrp = "Niveau"\ndevice = "Mobile"\n')
    found = read_drive_test(path, own)
    assert (found.lat_deg[0], found.lon_deg[0], found.device[0]) == (1.5, 2.5, "x")
    own.write_text('latitude = "North"\nlongitude = "Est"\nrsrp = "Niveau"\n')
    with pytest.raises(InputError, match=r"no column 'North' for latitude .*it has: Nord, Est"):
        read_drive_test(path, own)
    with pytest.raises(InputError, match="unknown preset"):
        read_drive_test(path, "tems9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('latitude = "a"\nlongitude = "b"\n', "say which column is rsrp"),
        ('latitude = "a"\nlong = "b"\n', "unknown key 'long'"),
        ("latitude = 3\n", "must be the name of a column"),
        ("latitude =", "can't be read as TOML"),
    ],
)
def test_bad_mappings_are_one_line(tmp_path, text, message):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_columns(path)
