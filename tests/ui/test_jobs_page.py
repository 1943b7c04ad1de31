import json
import re
import shutil
import subprocess
import sys
import time

import pytest
from streamlit.testing.v1 import AppTest

import ui.context
import ui.jobs.batch_detail
import ui.jobs.batch_start
import ui.jobs.detail
from pipelines.batch.failures import failure, remember
from pipelines.batch.faults import JobsError
from pipelines.desk.collected import collected, planned
from pipelines.desk.workspace import Workspace, write_json_file
from rfplatform.errors import InputError
from rfplatform.registry.store import Store
from ui.jobs.batch_detail import color_of
from ui.pages.jobs import SHOWN

NOW = 1_790_000_000.0


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_WORKSPACE", str(tmp_path))
    ui.context.workspace.clear()
    yield Workspace.open()
    ui.context.workspace.clear()


def write_job(workspace, name, kind="map", *, state="done", title="", log="", options=None, **told):
    """A job's folder as `pipelines.desk.jobs` leaves it."""
    folder = workspace.jobs / name
    folder.mkdir()
    about = {"id": name, "kind": kind, "title": title or f"The {name}", "created": NOW}
    write_json_file({**about, "options": options or {}}, folder / "job.json")
    told = {"message": state, "started": NOW, **told}
    if state in ("done", "failed", "cancelled"):
        told.setdefault("ended", NOW + 65)
    write_json_file({"state": state, **told}, folder / "state.json")
    (folder / "log.txt").write_text(log)
    return folder


def running(workspace, name, kind="map", **told):
    """A job whose process is this one."""
    import psutil

    own = psutil.Process()
    return write_job(
        workspace, name, kind, state="running", pid=own.pid, create_time=own.create_time(),
        heartbeat=time.time(), **{"started": time.time() - 30, **told},
    )  # fmt: skip


def draw(job=None):
    def script():
        from ui.pages.jobs import page

        page()

    app = AppTest.from_function(script, default_timeout=30)
    if job:
        app.query_params["job"] = job
    app.run()
    assert not app.exception
    return app


def texts(app):
    """All that is written on the page."""
    kinds = ("markdown", "caption", "info", "warning", "error", "code", "subheader")
    return unescaped("\n".join(str(one.value) for kind in kinds for one in app.get(kind)))


def unescaped(text):
    """As it is read: without the backslashes before what Markdown would act on."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


@pytest.mark.usefixtures("workspace")
def test_without_jobs_it_says_what_is_listed_here():
    app = draw()
    assert "No jobs yet" in app.info[0].value
    assert "opens here" in texts(app)


def test_jobs_are_listed_and_filtered(workspace):
    write_job(workspace, "20260101-000000-0001", "map", title="First")
    write_job(workspace, "20260101-000000-0002", "batch", title="Second", state="cancelled")
    running(workspace, "20260101-000000-0003", title="Third", message="Tracing", share=0.4,
            noise_db=2.51, details={"left_s": 90.0})  # fmt: skip
    app = draw()
    titles = [b.label for b in app.button if b.key and b.key.startswith("jobs.open.")]
    assert titles == ["Third", "Second", "First"]
    assert "noise 2.5 dB so far" in texts(app)
    assert "about 1 min 30 s left" in texts(app)
    bar = app.get("progress")[0]
    assert bar.value == 40
    assert bar.text == "Tracing · 40 %"
    app.get_by_key("jobs.state").set_value("Active").run()
    assert [b.label for b in app.button if b.key.startswith("jobs.open.")] == ["Third"]
    app.get_by_key("jobs.state").set_value("Failed").run()
    assert "No job is of this kind and state." in texts(app)


def test_many_jobs_are_listed_bit_by_bit(workspace):
    for number in range(SHOWN + 4):
        write_job(workspace, f"20260101-000000-{number:04d}")
    app = draw()
    assert len([b for b in app.button if b.key.startswith("jobs.open.")]) == SHOWN
    app.get_by_key("jobs.more").click().run()
    assert len([b for b in app.button if b.key.startswith("jobs.open.")]) == SHOWN + 4


def test_a_job_is_opened_by_a_click_and_kept_in_the_url(workspace):
    write_job(workspace, "20260101-000000-0001", title="First")
    write_job(workspace, "20260101-000000-0002", title="Second")
    app = draw()
    assert "#### :material/map: Second" in texts(app)
    app.get_by_key("jobs.open.20260101-000000-0001").click().run()
    assert app.query_params["job"] == "20260101-000000-0001"
    assert "#### :material/map: First" in texts(app)


def test_a_failure_is_told_with_its_last_words(workspace):
    said = "site list: row 3: no such antenna"
    log = "one\ntwo\nlast words\n"
    write_job(workspace, "20260101-000000-0001", state="failed", message=said, log=log)
    app = draw("20260101-000000-0001")
    assert unescaped(app.error[0].value) == said
    assert app.code[0].value.endswith("last words")


@pytest.mark.usefixtures("workspace")
def test_a_link_to_a_job_that_is_gone_is_told():
    app = draw("20260101-000000-0001")
    assert "it was removed, or ran on another server" in unescaped(app.warning[0].value)


def test_retry_opens_the_new_job(workspace, monkeypatch):
    write_job(workspace, "20260101-000000-0001", state="failed")
    folder = write_job(workspace, "20260101-000000-0002", title="Again")

    def again(ws, name):
        assert (ws, name) == (workspace, "20260101-000000-0001")
        return ui.jobs.detail.find_job(ws, folder.name)

    monkeypatch.setattr(ui.jobs.detail, "retry", again)
    app = draw("20260101-000000-0001")
    app.get_by_key("jobs.retry").click().run()
    assert app.query_params["job"] == folder.name


def test_a_refusal_is_told_and_the_page_stays(workspace, monkeypatch):
    write_job(workspace, "20260101-000000-0001", state="failed")

    def refuse(*_):
        raise InputError("its options serve no more")

    monkeypatch.setattr(ui.jobs.detail, "retry", refuse)
    app = draw("20260101-000000-0001")
    app.get_by_key("jobs.retry").click().run()
    assert "its options serve no more" in texts(app)


def test_cancel_says_what_stays(workspace, monkeypatch):
    asked = []
    monkeypatch.setattr(
        ui.jobs.detail, "cancel", lambda _, name, force=False: asked.append((name, force))
    )
    running(workspace, "20260101-000000-0001", message="Tracing")
    app = draw("20260101-000000-0001")
    assert "written with the rays so far" in texts(app)
    app.get_by_key("jobs.cancel").click().run()
    (workspace.jobs / "20260101-000000-0001" / "stop").touch()
    app.run()
    assert app.get_by_key("jobs.cancel").disabled
    app.get_by_key("jobs.force").click().run()
    assert asked == [("20260101-000000-0001", False), ("20260101-000000-0001", True)]


def test_remove_takes_the_job_and_closes_it(workspace):
    folder = write_job(workspace, "20260101-000000-0001")
    app = draw(folder.name)
    app.get_by_key("jobs.remove").click().run()
    assert not folder.exists()
    assert "job" not in app.query_params


def test_a_finished_map_offers_its_files(workspace):
    folder = write_job(workspace, "20260101-000000-0001", details={"stopped_by": "interrupted"})
    (folder / "out" / "radio_map.zarr" / "c").mkdir(parents=True)
    (folder / "out" / "run.json").write_text("{}")
    app = draw(folder.name)
    assert {"Zarr", "Record"} <= {b.label for b in app.get("download_button")}
    assert "the rays that it had by then" in texts(app)
    assert "Open the map" in [link.proto.label for link in app.get("page_link")]


def test_a_batch_tells_its_counts_and_what_it_set_aside(workspace):
    details = {"maps": 5, "done": 4, "failed": 1, "already": 1}
    folder = write_job(workspace, "20260101-000000-0001", "batch", details=details)
    store = Store(str(folder / "out"))
    remember(store, failure("centre", "maps/helsinki 1,2", 3, "site lies outside", "key"))
    app = draw(folder.name)
    assert {m.label: m.value for m in app.metric}["Maps done"] == "4 of 5"
    (table,) = app.dataframe
    assert table.value["last_words"].tolist() == ["site lies outside"]
    assert "No map is finished." in texts(app)


JOBS = 'name,area,site,solver,resolution\na,helsinki,"24.945,60.17,25,90",free-space,32\n'


def test_a_jobs_file_is_uploaded_looked_at_and_started(workspace, monkeypatch):
    app = draw()
    (uploader,) = app.file_uploader
    uploader.upload("city.csv", JOBS.encode(), "text/csv").run()
    assert not app.exception
    assert not app.error
    planned = {"maps": 16, "sectors": 135, "empty": 2, "jobs": [{"job": "a", "solver": "x",
               "maps": 16, "sectors": 135, "fault": ""}]}  # fmt: skip
    monkeypatch.setattr(ui.jobs.batch_start, "planned", lambda *_: planned)
    app.get_by_key("jobs.look").click().run()
    assert "**16 maps** of 1 jobs, with 135 sectors in all; 2 tiles" in texts(app)
    folder = write_job(workspace, "20260101-000000-0001", "batch")
    asked = {}

    def start(ws, **given):
        asked.update(given)
        return ui.jobs.detail.find_job(ws, folder.name)

    monkeypatch.setattr(ui.jobs.batch_start, "start_batch", start)
    app.get_by_key("jobs.start").click().run()
    assert asked["title"] == "city"
    assert asked["jobs_file"].startswith("upload:")
    assert app.query_params["job"] == folder.name


@pytest.mark.usefixtures("workspace")
def test_a_bad_jobs_file_is_one_line():
    app = draw()
    app.file_uploader[0].upload("bad.csv", b"\xff\xfe\x00", "text/csv").run()
    assert not app.exception
    assert len(app.error) == 1
    assert "\n" not in app.error[0].value


@pytest.mark.parametrize(
    ("share", "color"), [(None, "#9aa5ad"), (1.0, "#2c7fb8"), (0.0, "#e8603c")]
)
def test_shares_have_colours(share, color):
    assert color_of(share) == color


def test_faults_of_jobs_are_lines(workspace):

    (workspace.uploads / "bad.csv").write_text("name,area,solvr\nx,helsinkki,free-space\n")
    with pytest.raises(JobsError, match="2 faults") as told:
        planned(workspace, "upload:bad.csv")
    assert len(told.value.lines) == 2
    assert str(workspace.root) not in json.dumps(told.value.lines)


RUN = """
from pathlib import Path
from pipelines.batch.run import Config, main
if __name__ == "__main__":
    print(main(Config(Path("jobs.csv"), out="out", workers=1)))
"""


@pytest.fixture(scope="module")
def batch_out(tmp_path_factory):
    """What a small batch leaves: a map of central Helsinki."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "jobs.csv").write_text("name,area,solver,resolution\na,helsinki,free-space,32\n")
    # In a process of its own: the page's tests leave no main module that workers could start from.
    (folder / "run.py").write_text(RUN)
    subprocess.run([sys.executable, "run.py"], cwd=folder, check=True)
    return folder / "out"


def test_maps_of_a_batch_lie_on_the_ground(batch_out, workspace):
    folder = write_job(workspace, "20260101-000000-0001", "batch", details={"maps": 1, "done": 1})
    (folder / "out").symlink_to(batch_out)
    [one] = collected(folder / "out")
    west, south, east, north = one.bounds
    assert west < 24.94 < east
    assert south < 60.17 < north
    assert one.shares[-120.0] > 0.5
    app = draw(folder.name)
    assert "Click a rectangle for what its map says." in texts(app)
    (table,) = app.dataframe
    assert table.value["map"].tolist() == ["helsinki"]
    app.session_state[f"jobs.map.{folder.name}"] = one.ref
    app.run()
    assert not app.exception
    assert "Median SS-RSRP" in [metric.label for metric in app.metric]
    assert "free-space · " in texts(app)


def test_maps_of_a_batch_are_found_before_it_ends(batch_out, tmp_path):
    shutil.copytree(batch_out, tmp_path / "out")
    (tmp_path / "out" / "catalog.parquet").unlink()
    shutil.rmtree(tmp_path / "out" / "artifacts" / "collections")
    [one] = collected(tmp_path / "out")
    assert one.job == ""
    assert one.files["map.json"].is_file()


def test_there_are_no_maps_where_nothing_was_made(tmp_path):
    assert collected(tmp_path / "none") == []
    (tmp_path / "empty").mkdir()
    assert collected(tmp_path / "empty") == []
