"""Warm processes: what they answer, and that nothing a request does harms the next one."""

import os
import queue
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from pyproj import Geod

import pipelines.map
from pipelines.desk import preview_process, previews
from pipelines.desk.area import read_area
from pipelines.desk.display import read_display
from pipelines.desk.draft import Draft
from pipelines.desk.preview_process import KEPT_PREVIEWS, Desk, answered, prune
from pipelines.desk.previews import Previews
from pipelines.desk.workspace import Workspace
from pipelines.map import example_sites, read_rows
from rfplatform.errors import InputError, MissingError, WorkerError
from rfplatform.formats.display import RASTER
from rfplatform.frame import Frame
from rfplatform.geodata.sites import SiteRow

BBOX = "24.9420,60.1650,24.9520,60.1700"
MAST = SiteRow("Mast", "1", 24.9470, 60.1675, 40.0, 0.0, 0.0, 43.0, 3.5e9, 20e6, "isotropic")
PLAN = Draft(bbox=BBOX, rows=(MAST,), solver="free-space", resolution_m=8.0)
SUBCARRIERS = 51 * 12


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace.open(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def warm(workspace):
    """One process, so that whatever a request leaves is there for the next."""
    asked = Previews(workspace, processes=1, time_limit_s=60.0)
    yield asked
    asked.close()


def child_of(asked):
    """The process that answers next."""
    return asked._idle.queue[-1]._child


def stop(asked):
    """Hold the process, as a request would that takes very long."""
    child = child_of(asked)
    os.kill(child.pid, signal.SIGSTOP)
    return child


def is_fine(asked):
    return asked.map(PLAN)[1] == asked.area(PLAN)


# ------------------------------------------------------------------------------- what is answered


def test_an_area_is_drawn_once(warm, workspace):
    key = warm.area(PLAN)
    about = read_area(workspace.areas / key)
    assert about["name"] == "Central Helsinki"
    drawn = (workspace.areas / key / "area.json").stat().st_mtime_ns
    assert warm.area(replace(PLAN, rows=(), resolution_m=2.0)) == key
    assert (workspace.areas / key / "area.json").stat().st_mtime_ns == drawn
    assert warm.area(replace(PLAN, bbox=None)) != key


def test_a_map_by_friis(warm, workspace):
    name, key = warm.map(PLAN)
    assert key == warm.area(PLAN)
    folder = workspace.previews / name
    about = read_display(folder)
    assert about["solver"] == "free-space"
    assert about["bounds"] == pytest.approx([24.942, 60.165, 24.952, 60.170], abs=5e-4)
    assert [s["label"] for s in about["sectors"]] == ["Mast/1"]
    with rasterio.open(folder / RASTER) as raster:
        rsrp_dbm = raster.read(1)
        rows, columns = np.nonzero(np.isfinite(rsrp_dbm))
        x, y = raster.xy(rows, columns)
        x0, y0 = Frame(about["crs"], 0, 0).from_lonlat([MAST.lon_deg], [MAST.lat_deg])
    distance_m = np.hypot(np.hypot(x - x0, y - y0), 40.0 - 1.5)
    expected = 43 - 10 * np.log10(SUBCARRIERS) + 20 * np.log10(0.299792458 / 3.5)
    expected -= 20 * np.log10(4 * np.pi * distance_m)
    found = rsrp_dbm[rows, columns]
    assert found.size > 1000
    assert np.abs(found - expected)[distance_m > 100].max() < 0.05
    # Nothing else stays: no site list, no half of a display.
    assert [path.name for path in workspace.previews.iterdir()] == [name]


def test_equal_drafts_are_one_map(warm, workspace):
    name, _ = warm.map(PLAN)
    made = (workspace.previews / name / RASTER).stat().st_mtime_ns
    assert warm.map(Draft.from_dict(PLAN.to_dict())) == warm.map(PLAN)
    assert (workspace.previews / name / RASTER).stat().st_mtime_ns == made
    moved = replace(PLAN, rows=(replace(MAST, lon_deg=24.9475),))
    assert warm.map(moved)[0] != name


def test_sites_of_three_sectors(warm, workspace):
    rows = read_rows(example_sites("helsinki"), 3.5e9)
    name, _ = warm.map(Draft(rows=rows, resolution_m=16.0))
    sectors = read_display(workspace.previews / name)["sectors"]
    assert [s["label"] for s in sectors] == [row.label for row in rows]
    for sector, row in zip(sectors, rows, strict=True):
        assert abs((sector["azimuth_deg"] - row.azimuth_deg + 180) % 360 - 180) < 0.02
        assert (sector["lon"], sector["lat"]) == pytest.approx((row.lon_deg, row.lat_deg), abs=1e-6)


def test_a_profile(warm):
    told = warm.profile(PLAN, "Mast/1", 24.9500, 60.1690)
    *_, length_m = Geod(ellps="WGS84").inv(24.9470, 60.1675, 24.9500, 60.1690)
    assert told["distance_m"][0] == 0.0
    # A metre of UTM is up to 0.4 per mille off one of Earth's.
    assert told["distance_m"][-1] == pytest.approx(length_m, rel=1e-3)


def test_a_difference(warm, workspace):
    first, _ = warm.map(PLAN)
    second, _ = warm.map(replace(PLAN, rows=(replace(MAST, power_dbm=46.0),)))
    folders = workspace.previews / first, workspace.previews / second
    name = warm.difference(*folders, ("old", "new"))
    about = read_display(workspace.previews / name)
    assert about["title"] == "new less old"
    assert about["layers"][0]["median"] == pytest.approx(3.0, abs=1e-3)
    assert warm.difference(*folders, ("old", "new")) == name
    assert warm.difference(*reversed(folders), ("new", "old")) != name


def test_what_is_shown_of_a_job(warm, tmp_path):
    config = pipelines.map.Config(
        "helsinki", bbox="24.946,60.167,24.948,60.168", site=("24.9470,60.1675,10",),
        solver="free-space", formats=("zarr",), out=tmp_path / "out",
    )  # fmt: skip
    pipelines.map.main(config)
    folder = warm.display(tmp_path / "out", tmp_path / "display")
    assert folder == tmp_path / "display"
    assert read_display(folder)["solver"] == "free-space"
    made = (folder / RASTER).stat().st_mtime_ns
    assert warm.display(tmp_path / "out", folder) == folder
    assert (folder / RASTER).stat().st_mtime_ns == made


# -------------------------------------------------------------------------- what is the user's own


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rows": ()}, "place a site first"),
        ({"solver": "raytraced"}, "no quick solver"),
        ({"solver": "nope"}, "no quick solver"),
        ({"area": "gone.osm.pbf"}, "no such file"),
        ({"area": "upload:../../etc/passwd"}, "no upload of the name"),
        ({"area": "upload:0123.osm"}, "no such upload"),
        ({"terrain": "upload:0123.tif"}, "no such upload"),
        ({"bbox": "1,2,3"}, "expected 4 numbers"),
        ({"bbox": "10,50,10.1,50.1"}, "lies outside"),
        ({"resolution_m": -4.0}, "resolution"),
        ({"resolution_m": 0.05}, "million cells over all sectors"),
        ({"load": 3.0}, "load"),
        ({"rows": (replace(MAST, antenna="nope"),)}, "^row 2: unknown antenna 'nope'"),
        ({"rows": (MAST, MAST)}, "already in row"),
        ({"rows": (replace(MAST, lon_deg=10.0),)}, "outside the area"),
    ],
)
def test_an_error_of_the_user_s_comes_back(warm, workspace, changed, told):
    warm.area(PLAN)
    child = child_of(warm)
    with pytest.raises(InputError, match=told) as error:
        warm.map(replace(PLAN, **changed))
    assert "\n" not in str(error.value)
    assert str(workspace.root) not in str(error.value)
    assert child_of(warm) is child
    assert not [path for path in workspace.previews.iterdir() if path.name.startswith(".")]


def test_other_errors_of_the_user_s(warm, workspace, tmp_path):
    name, _ = warm.map(PLAN)
    folder = workspace.previews / name
    with pytest.raises(InputError, match="no sector 'Mast/2'"):
        warm.profile(PLAN, "Mast/2", 24.95, 60.169)
    for lon, lat in ((117.0, 0.0), (0.0, 91.0)):
        with pytest.raises(InputError, match="far from this area"):
            warm.profile(PLAN, "Mast/1", lon, lat)
    for pair in ((folder, tmp_path), (tmp_path, folder)):
        with pytest.raises(InputError, match="no such map"):
            warm.difference(*pair, ("a", "b"))
    with pytest.raises(InputError, match="no map there"):
        warm.display(tmp_path, tmp_path / "display")
    with pytest.raises(InputError, match="not a draft"):
        warm.ask({"do": "map", "draft": {"rows": [{"colour": "red"}]}})


def test_a_fault_of_our_own_is_told_and_ends_nothing(warm):
    warm.area(PLAN)
    child = child_of(warm)
    with pytest.raises(WorkerError, match="KeyError"):
        warm.ask({"do": "cook"})
    assert child_of(warm) is child
    assert is_fine(warm)


def test_what_the_machine_lacks_keeps_its_kind(workspace):
    class Answering:
        is_alive = True

        def ask(self, *_):
            return {"error": "no network", "exit_code": 4}

    asked = Previews(workspace, processes=0)
    asked._idle.put(Answering())
    with pytest.raises(MissingError, match="no network"):
        asked.area(PLAN)
    assert isinstance(asked._idle.get_nowait(), Answering)


# ---------------------------------------------------------------------------------- what goes wrong


def test_a_killed_child_is_replaced(warm):
    warm.area(PLAN)
    child = child_of(warm)
    child.kill()
    child.wait()
    assert is_fine(warm)
    assert child_of(warm).pid != child.pid


def test_a_child_that_is_killed_at_work(warm):
    warm.area(PLAN)
    child = stop(warm)
    threading.Timer(0.2, child.kill).start()
    with pytest.raises(WorkerError, match="ended"):
        warm.area(PLAN)
    assert is_fine(warm)


def test_a_request_that_takes_too_long(warm, monkeypatch):
    warm.area(PLAN)
    child = stop(warm)
    monkeypatch.setattr(warm, "_time_limit_s", 0.2)
    started = time.monotonic()
    with pytest.raises(WorkerError, match="takes too long for a quick look"):
        warm.area(PLAN)
    assert time.monotonic() - started < 5.0
    assert child.poll() is not None  # Ended, and not left to go on.
    monkeypatch.undo()
    assert is_fine(warm)


def test_an_answer_nobody_waited_for_is_not_the_next_one_s(warm, monkeypatch):
    warm.area(PLAN)
    child = child_of(warm)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(previews._Process, "_next", interrupted)
    with pytest.raises(KeyboardInterrupt):
        warm.area(PLAN)
    monkeypatch.undo()
    assert "distance_m" in warm.profile(PLAN, "Mast/1", 24.95, 60.169)
    assert child.poll() is not None


def test_requests_at_once_wait_for_one_another(warm):
    expected = [warm.area(replace(PLAN, bbox=box)) for box in (BBOX, None)]
    found: queue.Queue = queue.Queue()

    def ask(number):
        box = (BBOX, None)[number % 2]
        found.put((number, warm.area(replace(PLAN, bbox=box))))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    answers = [found.get_nowait() for _ in threads]
    assert all(answer == expected[number % 2] for number, answer in answers)
    assert warm._idle.qsize() == 1


def test_closed_is_ended_and_may_be_asked_again(warm):
    warm.area(PLAN)
    child = child_of(warm)
    warm.close()
    assert child.poll() is not None
    assert warm._idle.qsize() == 1
    assert warm._idle.queue[-1] is None


# ----------------------------------------------------------------------------- within the process


def test_areas_beyond_the_last_few_are_let_go(workspace, monkeypatch):
    monkeypatch.setattr(preview_process, "OPEN_AREAS", 2)
    desk = Desk(workspace)
    boxes = [f"24.94{i},60.166,24.946,60.168" for i in range(3)]
    for box in (*boxes[:2], boxes[0], boxes[2]):
        answered(desk, {"do": "area", "draft": replace(PLAN, bbox=box).to_dict()})
    assert [opened.bbox.west_deg for opened in desk.areas.values()] == [24.940, 24.942]


def test_old_previews_go(tmp_path):
    workspace = Workspace.open(tmp_path)
    now = time.time()
    for i in range(KEPT_PREVIEWS + 30):
        folder = workspace.previews / f"p{i:03}"
        folder.mkdir()
        (folder / "display.json").write_text("{}")
        # The last three are beyond those that are kept, and older than an hour.
        os.utime(folder, (now - 40 * i + 20, now - 40 * i + 20))
    prune(workspace)
    left = sorted(path.name for path in workspace.previews.iterdir())
    assert left == [f"p{i:03}" for i in range(91)]
