"""The logic of the Plan page; what needs a browser is in test_end_to_end.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from pipelines.desk.draft import Draft
from pipelines.desk.jobs import find_job, list_jobs, start_map
from pipelines.desk.sectors import without_lines
from pipelines.desk.workspace import Workspace
from pipelines.map import example_sites, read_rows
from ui.context import previews, workspace

BBOX = "24.9380,60.1660,24.9440,60.1700"


def script() -> None:
    from ui.pages.plan import page

    page()


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFPLATFORM_WORKSPACE", str(tmp_path_factory.mktemp("desk")))
        workspace.clear()
        previews.clear()
        yield Workspace.open()
        previews().close()
        workspace.clear()
        previews.clear()


@pytest.fixture(scope="module")
def draft() -> Draft:
    """One site of the example in a part of its area, in coarse cells."""
    rows = without_lines(read_rows(example_sites("helsinki"), 3.5e9))
    return Draft(bbox=BBOX, rows=rows[:3], resolution_m=8.0)


def opened(**query: str) -> AppTest:
    app = AppTest.from_function(script, default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def of(app: AppTest, name: str) -> Any:
    return app.session_state[f"plan.{name}"]


def param(app: AppTest, name: str) -> str:
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


def metric(app: AppTest, label: str) -> str:
    return next(m.value for m in app.metric if m.label.startswith(label))


def errors(app: AppTest) -> list[str]:
    assert not app.exception
    return [e.value for e in app.error]


@pytest.mark.usefixtures("ws")
def test_it_opens_the_example_and_says_so_in_the_url() -> None:
    app = opened()
    assert errors(app) == []
    assert of(app, "draft").area == "helsinki"
    assert param(app, "plan") == of(app, "draft").id
    assert metric(app, "Covered").endswith("%")


def test_a_link_opens_the_same_plan_layer_and_point(ws: Workspace, draft: Draft) -> None:
    name = draft.saved(ws)
    app = opened(plan=name, layer="ss_sinr_db", at="24.940000,60.167500")
    assert errors(app) == []
    assert of(app, "draft") == draft
    assert of(app, "layer") == "ss_sinr_db"
    assert param(app, "at") == "24.940000,60.167500"
    assert any("Median, dB" in m.label for m in app.metric)


@pytest.mark.usefixtures("ws")
@pytest.mark.parametrize("plan", ["0123456789abcdef", "../../etc/passwd", "<b>x</b>"])
def test_a_link_to_nothing_is_told_in_one_line(plan: str) -> None:
    app = opened(plan=plan)
    (told,) = errors(app)
    assert "link" in told
    assert "<b>" not in told
    assert of(app, "draft").area == "helsinki"
    assert metric(app, "Covered")


def test_a_change_can_be_undone_and_done_again(ws: Workspace, draft: Draft) -> None:
    app = opened(plan=draft.saved(ws))
    before = metric(app, "Covered")
    app.slider(key=f"plan.load.{draft.load}").set_value(50).run()
    assert of(app, "draft").load == 0.5
    app.button(key="plan.undo").click().run()
    assert of(app, "draft") == draft
    assert metric(app, "Covered") == before
    app.button(key="plan.redo").click().run()
    assert of(app, "draft").load == 0.5
    assert errors(app) == []


def test_the_threshold_moves_the_covered_share(ws: Workspace, draft: Draft) -> None:
    app = opened(plan=draft.saved(ws))
    slider = next(s for s in app.slider if s.label.startswith("Covered from"))
    strict = float(metric(app, "Covered").removesuffix(" %"))
    slider.set_value(-120.0).run()
    assert float(metric(app, "Covered").removesuffix(" %")) > strict
    for layer, least in (("ss_sinr_db", None), ("ss_rsrp_dbm", -120.0)):
        next(s for s in app.selectbox if s.label == "Layer").select(layer).run()
        if least is not None:
            slider = next(s for s in app.slider if s.label.startswith("Covered from"))
            assert slider.value == least
    assert errors(app) == []


def test_another_link_in_the_session_is_undone_like_a_change(ws: Workspace, draft: Draft) -> None:
    app = opened(plan=draft.saved(ws), at="24.940000,60.167500", layer="ss_sinr_db")
    other = replace(draft, load=0.25)
    app.query_params.clear()
    app.query_params["plan"] = other.saved(ws)
    app.run()
    assert of(app, "draft") == other
    assert not of(app, "at")
    assert param(app, "layer") == "ss_rsrp_dbm"
    app.button(key="plan.undo").click().run()
    assert of(app, "draft") == draft
    assert errors(app) == []


def test_what_a_click_places_is_kept(ws: Workspace, draft: Draft) -> None:
    app = opened(plan=draft.saved(ws))
    app.toggle(key="plan.placing").set_value(True).run()
    app.number_input(key="plan.new.height").set_value(32.0).run()
    for placing in (False, True):
        app.toggle(key="plan.placing").set_value(placing).run()
    assert app.number_input(key="plan.new.height").value == 32.0
    assert errors(app) == []


def test_without_sites_it_says_what_to_do(ws: Workspace, draft: Draft) -> None:
    app = opened(plan=replace(draft, rows=()).saved(ws))
    assert errors(app) == []
    assert any("Place a site" in info.value for info in app.info)


def test_a_site_outside_the_area_is_one_line_and_can_be_undone(ws: Workspace, draft: Draft) -> None:
    far = replace(draft, rows=tuple(replace(r, lon_deg=25.2) for r in draft.rows))
    app = opened(plan=far.saved(ws))
    (told,) = errors(app)
    assert "outside" in told
    assert str(ws.root) not in told
    assert of(app, "last_area")  # where it is drawn, to be dragged back


def test_too_many_cells_for_a_quick_map_are_refused(ws: Workspace, draft: Draft) -> None:
    rows = tuple(replace(draft.rows[0], sector=str(n)) for n in range(40))
    app = opened(plan=replace(draft, bbox=None, rows=rows, resolution_m=2.0).saved(ws))
    (told,) = errors(app)
    assert "quick map" in told


def test_a_run_is_started_opened_and_compared(ws: Workspace, draft: Draft) -> None:
    app = opened(plan=draft.saved(ws))
    app.session_state["plan.run_kind"] = "Ray traced"
    job = start_map(ws, draft, solver="tr38901-umi", title="UMi of it")
    wait_for(ws, job.id)
    app.run()
    app.selectbox(key="plan.map_choice.").select(job.id).run()
    assert errors(app) == []
    assert of(app, "run") == job.id
    assert param(app, "run") == job.id
    app.selectbox(key=f"plan.versus_choice.{job.id}").select("quick").run()
    assert of(app, "how") == "side"
    app.session_state["plan.how_choice"] = "difference"
    app.run()
    assert errors(app) == []
    assert "SS-RSRP difference" in [s.label for s in app.selectbox] or any(
        "difference" in str(option) for s in app.selectbox for option in s.options
    )
    app.session_state["plan.at"] = "24.941000,60.168000"
    app.session_state["plan.tab"] = ":material/my_location: Point"
    app.run()
    assert errors(app) == []
    assert any("SS\\-RSRP difference" in text.value for text in app.markdown)
    # Runs of one title are told apart.
    twin = start_map(ws, draft, solver="tr38901-umi", title="UMi of it")
    wait_for(ws, twin.id)
    app.run()
    choice = app.selectbox(key=f"plan.map_choice.{job.id}")
    assert len(set(choice.options)) == len(choice.options)
    choice.select(twin.id).run()
    assert of(app, "run") == twin.id
    # The run's own link brings its plan along.
    again = opened(run=job.id)
    assert of(again, "draft") == draft
    assert of(again, "run") == job.id


def test_a_link_to_a_failed_run_is_told(ws: Workspace, draft: Draft) -> None:
    far = replace(draft, rows=tuple(replace(r, lon_deg=25.2) for r in draft.rows))
    job = start_map(ws, far, solver="tr38901-umi")
    wait_for(ws, job.id)
    app = opened(plan=draft.saved(ws), run=job.id)
    assert not app.exception
    assert metric(app, "Covered")


def test_the_start_button_starts_what_is_on_the_table(
    ws: Workspace, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "ui.plan.runs_panel.start_map",
        lambda _, plan, **how: started.append({"draft": plan, **how}),
    )
    app = opened(plan=draft.saved(ws))
    next(b for b in app.button if b.label == "Start the run").click().run()
    assert errors(app) == []
    assert started[0]["draft"] == draft
    assert started[0]["solver"] == "raytraced"
    assert started[0]["rays_per_sector"] == 2e7


def wait_for(ws: Workspace, name: str) -> None:
    import time

    for _ in range(600):
        if find_job(ws, name).is_over:
            return
        time.sleep(0.1)
    raise AssertionError(find_job(ws, name).log_tail() + str(list_jobs(ws)))


def test_the_page_list_names_modules_that_are_there() -> None:
    import importlib

    from ui.pages import PAGES

    for entry in PAGES:
        assert callable(importlib.import_module(f"ui.pages.{entry.module}").page)
    assert len({entry.title for entry in PAGES}) == len(PAGES)
    folder = Path("ui/pages")
    assert {p.stem for p in folder.glob("[!_]*.py")} == {entry.module for entry in PAGES}
