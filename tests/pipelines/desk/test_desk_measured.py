import csv
import json

import numpy as np
import pytest

from pipelines.desk import measured as desk
from pipelines.desk.measured import POINTS, matched_cells, measured, methods, predicted
from pipelines.desk.workspace import Workspace
from rfplatform import cli
from rfplatform.errors import InputError
from rfplatform.formats.zarr import read_zarr
from rfplatform.planning.numerology import numerologies
from rfplatform.planning.quality import ss_rsrp_dbm
from rfplatform.propagation.calibration import METHODS
from rfplatform.radiomap import Sector

TEST = "upload:drive.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed-form map of central Helsinki."""
    out = tmp_path_factory.mktemp("measured") / "map"
    given = ["map", "helsinki", "--solver", "free-space", "--resolution", "32", "--out", str(out)]
    assert cli.main([*given, "--formats", "zarr"]) == 0
    return out


@pytest.fixture(scope="module")
def workspace(made, tmp_path_factory):
    """With a drive test of two sectors by two phones, 20 dB below the map, and bad rows."""
    place = Workspace.open(tmp_path_factory.mktemp("workspace"))
    found = read_zarr(made / "radio_map.zarr")
    level = ss_rsrp_dbm(found, numerologies(found.sectors))
    rng = np.random.default_rng(4)
    lines = ["Lat,Lng,Level,Serving,device"]
    for i in (0, 1):
        for device, shift in (("p", 2.0), ("q", -2.0)):
            lit = np.argwhere(np.isfinite(level[i]))
            row, column = lit[rng.choice(len(lit), 40, replace=False)].T
            lon, lat = found.grid.frame.to_lonlat(found.grid.x_m()[column], found.grid.y_m()[row])
            value = level[i, row, column] - 20.0 + shift
            lines += [
                f"{a:.7f},{o:.7f},{v:.2f},{found.sectors[i].label},{device}"
                for a, o, v in zip(lat, lon, value, strict=True)
            ]
    row, column = np.argwhere(np.isfinite(level[2]))[0]
    lon, lat = found.grid.frame.to_lonlat(found.grid.x_m()[column], found.grid.y_m()[row])
    lines += [f"{lat:.7f},{lon:.7f},-90,x,p", "0,0,-90,x,p", "61.5,24.94,-91,x,p"]
    (place.uploads / "drive.csv").write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture
def without_child(monkeypatch):
    """What the child would do, here: it takes a second to start one."""
    monkeypatch.setattr(desk, "_ask_child", desk.write_measured)


COLUMNS = {
    "latitude": "Lat",
    "longitude": "Lng",
    "rsrp": "Level",
    "cell": "Serving",
    "device": "device",
}


def _points(found):
    told = json.loads((found.folder / POINTS).read_text())
    return [feature["properties"] for feature in told["features"]]


def test_levels_need_no_map(workspace):
    found = measured(workspace, TEST, columns=COLUMNS)
    assert found.folder == workspace.previews / found.key
    assert found.stats["readings"] == 162
    assert found.stats["rejected"] == {"no fix": 1}
    assert found.stats["all"] is None
    assert {point["error_db"] for point in _points(found)} == {None}
    assert {point["device"] for point in _points(found)} == {"p", "q"}


def test_a_map_is_held_against_it(workspace, made):
    found = measured(workspace, TEST, columns=COLUMNS, radio_map=made)
    stats = found.stats
    assert stats["all"]["bias_db"] == pytest.approx(20.0, abs=0.1)
    assert stats["all"]["rmse_db"] == pytest.approx(np.hypot(20.0, 2.0), abs=0.1)
    by_device = {one["name"]: one["bias_db"] for one in stats["by_device"]}
    assert by_device == {"p": pytest.approx(18.0, abs=0.1), "q": pytest.approx(22.0, abs=0.1)}
    labels = [sector.label for sector in read_zarr(made / "radio_map.zarr").sectors]
    assert [one["name"] for one in stats["by_cell"]] == sorted(labels[:2])
    assert stats["matched"] == {label: label for label in labels[:2]}
    assert stats["cells"]["x"] == 2
    assert stats["beyond"] == 1
    errors = [p["error_db"] for p in _points(found) if p["error_db"] is not None]
    assert len(errors) == stats["all"]["pixels"]
    # What stands out is told, but does not decide what is looked at.
    assert stats["bounds"][3] < 60.3


def test_it_is_found_out_once(workspace, made, monkeypatch):
    first = measured(workspace, TEST, columns=COLUMNS, radio_map=made)
    monkeypatch.setattr(desk, "_ask_child", lambda _: pytest.fail("asked again"))
    assert measured(workspace, TEST, columns=COLUMNS, radio_map=made) == first


@pytest.mark.usefixtures("without_child")
def test_cells_are_named(workspace, made):
    label = read_zarr(made / "radio_map.zarr").sectors[2].label
    found = measured(workspace, TEST, columns=COLUMNS, radio_map=made, cells={"x": label})
    assert found.stats["matched"]["x"] == label
    assert label in {one["name"] for one in found.stats["by_cell"]}


@pytest.mark.usefixtures("without_child")
def test_no_cell_of_the_map_is_a_note_and_no_error(workspace, made):
    columns = {**COLUMNS, "cell": "device"}
    found = measured(workspace, TEST, columns=columns, radio_map=made)
    assert found.stats["all"] is None
    assert "say below which is which" in found.stats["note"]
    assert found.stats["points"]["shown"] > 0


def test_many_points_are_thinned(tmp_path):
    request = desk.Request(folder=str(tmp_path / "out"), held_out=str(tmp_path / "h.csv"))
    with (tmp_path / "h.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["longitude", "latitude", "sector", "device", "readings", "measured_dbm",
                         "predicted_dbm", "spread_db", "error_db"])  # fmt: skip
        writer.writerows(
            [24.9 + i * 1e-6, 60.1, "a/1", "", 2, -90, -89, 3, 1.0] for i in range(6000)
        )
    desk.write_measured(request)
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["points"] == {"all": 6000, "shown": desk.SHOWN_POINTS}
    assert stats["all"]["rmse_db"] == pytest.approx(1.0)
    assert stats["by_device"] == []


def test_a_calibration_that_left_nothing_out_is_told(workspace, tmp_path):
    with pytest.raises(InputError, match="one block"):
        predicted(workspace, tmp_path)


def test_the_child_tells_what_is_wrong(workspace):
    (workspace.uploads / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column is known as latitude"):
        measured(workspace, "upload:bad.csv")


@pytest.mark.usefixtures("without_child")
@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("lat,lon,rsrp\n1,2,x\n", None, "none of 1 rows is good"),
        ("lat,lon,rsrp\n1,2,-90\n", {"latitude": "lat", "longitude": "lon", "rsrp": "z"},
         "has no column 'z'"),
        ("", None, "empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_without_our_paths(workspace, text, columns, message):
    (workspace.uploads / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=message) as told:
        measured(workspace, "upload:bad.csv", columns=columns)
    assert "\n" not in str(told.value)
    assert str(workspace.root) not in str(told.value)


def test_no_such_upload(workspace):
    with pytest.raises(InputError, match="no such upload"):
        measured(workspace, "upload:none.csv")


def test_cells_that_could_be_several_are_told_apart():
    sectors = [Sector("A", "1", 0, 0, 9), Sector("B", "1", 0, 0, 9), Sector("B", "2", 0, 0, 9)]
    found, unclear = matched_cells(["1", "2", "7"], sectors, {})
    assert found == {"2": 2}
    assert set(unclear) == {"1"}
    assert matched_cells(["1"], sectors, {"1": "B/1"}) == ({"1": 1}, {})


def test_methods_are_all_of_them():
    assert list(methods()) == ["auto", *METHODS]
