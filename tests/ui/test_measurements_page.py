import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import pipelines.desk.measured
import ui.context
import ui.measurements.calibration
import ui.uploading
from pipelines.desk.jobs import find_job
from pipelines.desk.measured import write_measured
from pipelines.desk.uploads import store_upload
from pipelines.desk.workspace import Workspace, write_json_file
from rfplatform import cli
from rfplatform.formats.zarr import read_zarr
from rfplatform.planning.numerology import numerologies
from rfplatform.planning.quality import ss_rsrp_dbm

MAP, CALIBRATED = "20260101-000000-0001", "20260102-000000-0001"
SCALE = {"kind": "scale", "range": [-120, -60], "colors": ["#440154", "#fde725"], "ticks": [-90]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed-form map of central Helsinki."""
    out = tmp_path_factory.mktemp("measurements") / "map"
    given = ["map", "helsinki", "--solver", "free-space", "--resolution", "32", "--out", str(out)]
    assert cli.main([*given, "--formats", "zarr"]) == 0
    return out


@pytest.fixture(scope="module")
def drive(made):
    """A drive test of two sectors by two phones, 20 dB below the map."""
    found = read_zarr(made / "radio_map.zarr")
    level = ss_rsrp_dbm(found, numerologies(found.sectors))
    lines = ["Lat,Lng,Power,Serving,device"]
    for i in (0, 1):
        for row, column in np.argwhere(np.isfinite(level[i]))[::9]:
            lon, lat = found.grid.frame.to_lonlat(found.grid.x_m()[column], found.grid.y_m()[row])
            value = level[i, row, column] - 20.0
            label = found.sectors[i].label if i else "east"
            lines.append(f"{lat:.7f},{lon:.7f},{value:.2f},{label},{'pq'[column % 2]}")
    return "\n".join(lines).encode()


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_WORKSPACE", str(tmp_path))
    # What the child would do, here: it takes a second to start one.
    monkeypatch.setattr(pipelines.desk.measured, "_ask_child", write_measured)
    ui.context.workspace.clear()
    yield Workspace.open()
    ui.context.workspace.clear()


def write_map(workspace, made, name=MAP, kind="map", options=None, state="done", **told):
    """A finished job, with what is shown of it."""
    folder = workspace.jobs / name
    folder.mkdir()
    about = {"id": name, "kind": kind, "title": "Town", "created": 1.7e9, "options": options or {}}
    write_json_file(about, folder / "job.json")
    told = {"message": state, "started": 1.7e9, "ended": 1.7e9 + 5, **told}
    write_json_file({"state": state, **told}, folder / "state.json")
    (folder / "out").symlink_to(made)
    found = read_zarr(made / "radio_map.zarr")
    sectors = [
        {"site": s.site, "sector": s.name, "label": s.label, "lon": 24.94, "lat": 60.17,
         "azimuth_deg": s.azimuth_deg, "color": "#1f6f8b", "omnidirectional": False}
        for s in found.sectors
    ]  # fmt: skip
    layers = [
        {"name": "ss_rsrp_dbm", "title": "SS-RSRP", "unit": "dBm", "band": 1, "legend": SCALE},
        {"name": "standard_error_db", "title": "Spread", "unit": "dB", "band": 2, "legend": SCALE},
    ]
    (folder / "display").mkdir()
    (folder / "display" / "display.tif").touch()
    bounds = [24.93, 60.16, 24.96, 60.18]
    write_json_file(
        {"title": "Town", "bounds": bounds, "sectors": sectors, "layers": layers, "facts": {}},
        folder / "display" / "display.json",
    )
    return folder


def draw(**query):
    def script():
        import streamlit as st

        from ui.pages.measurements import page

        if not st.session_state.get("elsewhere"):
            page()

    app = AppTest.from_function(script, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def texts(app):
    """All that is written on the page."""
    kinds = ("markdown", "caption", "info", "warning", "error")
    return unescaped("\n".join(str(one.value) for kind in kinds for one in app.get(kind)))


def unescaped(text):
    """As it is read: without the backslashes before what Markdown would act on."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


@pytest.mark.usefixtures("workspace")
def test_without_a_drive_test_it_says_what_one_is():
    app = draw()
    assert "RSRP is in dBm" in texts(app)
    assert len(app.file_uploader) == 1
    assert not app.selectbox


@pytest.mark.usefixtures("workspace")
def test_a_bad_file_is_one_line(monkeypatch):
    app = draw()
    app.file_uploader[0].upload("bad.csv", b"\xff\xfe\x00\x01", "text/csv").run()
    assert not app.exception
    assert len(app.error) == 1
    assert "bad.csv" in texts(app)
    assert "\n" not in app.error[0].value
    # It is told for as long as the file is there, and read once.
    monkeypatch.setattr(ui.uploading, "store_upload", None)
    app.run()
    assert not app.exception
    assert len(app.error) == 1


@pytest.mark.usefixtures("workspace")
def test_an_upload_is_chosen_and_its_columns_are_asked_for(drive):
    app = draw()
    app.file_uploader[0].upload("drive.csv", drive, "text/csv").run()
    assert not app.exception
    assert not app.error
    fields = {box.label.rstrip(" *"): box for box in app.selectbox}
    assert fields["Latitude"].value == "Lat"
    assert fields["Longitude"].value == "Lng"
    assert fields["Device"].value == "device"
    assert fields["RSRP"].value is None
    assert "Say which column is RSRP." in texts(app)
    assert app.dataframe[0].value["Serving"].tolist()[0] == "east"
    fields["RSRP"].set_value("Power")
    fields["Cell"].set_value("Serving")
    next(b for b in app.button if b.label == "Use these columns").click()
    app.run()
    assert not app.exception
    assert "readings" in texts(app)
    assert "No map is finished yet" in texts(app)
    assert app.query_params["test"].startswith("upload:")


@pytest.fixture
def compared(workspace, made, drive):
    """The page, with a map and a drive test whose columns are known by their names."""
    known = drive.replace(b"Power,Serving", b"RSRP,cell")
    upload = store_upload(workspace, "measurements", "drive.csv", known)
    write_map(workspace, made)
    return workspace, upload, made


def test_a_map_is_compared_by_cell_and_device(compared):
    app = draw()
    metrics = {one.label: one.value for one in app.metric}
    assert metrics["Bias"] == "20.0 dB"
    assert metrics["RMSE"] == "20.0 dB"
    assert "##### By cell" in texts(app)
    assert "##### By device" in texts(app)
    assert "Cells: 1 of 2 are sectors of the map" in [one.label for one in app.expander]
    app.get_by_key("measurements.view").set_value("Measured level").run()
    assert not app.exception
    _, upload, _ = compared
    assert dict(app.query_params) == {"test": upload.text, "map": MAP}


def test_what_was_chosen_is_there_after_a_visit_to_another_page(compared):
    workspace, upload, made = compared
    write_map(workspace, made, "20260103-000000-0001")
    app = draw(map=MAP)
    assert app.get_by_key("measurements.map").value == MAP
    app.session_state["elsewhere"] = True
    app.query_params.clear()
    app.run()
    assert not app.selectbox
    app.session_state["elsewhere"] = False
    app.run()
    assert not app.exception
    assert app.get_by_key("measurements.map").value == MAP
    assert dict(app.query_params) == {"test": upload.text, "map": MAP}


def test_it_is_calibrated_as_it_was_compared(compared, monkeypatch):
    _, upload, made = compared
    asked = {}

    def start(ws, **given):
        asked.update(given)
        write_map(ws, made, CALIBRATED, "calibrate", state="failed", message="no good",
                  options={"map": MAP, "measurements": upload.text})  # fmt: skip
        return find_job(ws, CALIBRATED)

    monkeypatch.setattr(ui.measurements.calibration, "start_calibrate", start)
    app = draw()
    app.get_by_key("measurements.method").set_value("offset").run()
    app.get_by_key("measurements.calibrate").click().run()
    assert not app.exception
    assert asked["map_job"].id == MAP
    assert asked["method"] == "offset"
    assert asked["measurements"] == upload.text
    assert asked["columns"]["rsrp"] == "RSRP"
    assert asked["cells"] == {}
    assert "no good" in [one.value for one in app.error]


def test_a_calibration_is_shown_before_and_after(compared, tmp_path):
    workspace, upload, _ = compared
    out = tmp_path / "calibrated"
    given = [
        "calibrate",
        str(workspace.jobs / MAP / "out"),
        "--method",
        "offset",
        "--out",
        str(out),
    ]
    drive_test = str(workspace.uploads / upload.name)
    assert cli.main([*given, "--measurements", drive_test]) == 0
    write_map(workspace, out, CALIBRATED, "calibrate", details={"method": "offset"},
              options={"map": MAP, "measurements": upload.text})  # fmt: skip
    app = draw(job=CALIBRATED)
    metrics = {one.label: one.value for one in app.metric}
    assert metrics["RMSE before"] == "20.0 dB"
    assert float(metrics["RMSE after"].removesuffix(" dB")) < 1.0
    files = [one.label for one in app.get("download_button")]
    assert {"Zarr", "Left out", "Offsets", "Report", "Record"} <= set(files)
    for view in ("Spread", "Residual after"):
        app.get_by_key("measurements.view").set_value(view).run()
        assert not app.exception
        assert not app.error
    assert "predicted while its block" in texts(app)


@pytest.mark.usefixtures("workspace")
def test_a_link_to_what_is_gone_is_told():
    app = draw(job=CALIBRATED)
    assert "The link can't be opened" in unescaped(app.warning[0].value)
