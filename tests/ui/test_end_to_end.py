"""The dashboard as people use it: a served one, in a browser. What leaves the host fails a test."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from browser import PATIENCE_MS

from pipelines.desk.draft import Draft
from pipelines.map import example_sites, read_rows
from ui.pages import PAGES

SITES = example_sites("helsinki")

pytestmark = pytest.mark.long


@pytest.fixture
def expect(chromium):  # noqa: ARG001  (without it, there is nothing to expect)
    """Playwright's, once it is known to be there."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    return expect


def _site(dashboard, view, name):
    """Where a site of the plan on the screen stands."""
    view.wait_for("name => location.search.includes('plan=')")
    rows = dashboard.draft_of(view.page.url).rows
    return next((row.lon_deg, row.lat_deg) for row in rows if row.site == name)


def test_a_site_is_placed_moved_and_sent_as_a_link(dashboard, visit, expect):
    view = visit(dashboard.address)
    tiles = []
    view.page.on("response", lambda answer: "/tiles/" in answer.url and tiles.append(answer))
    first = view.drawn()
    assert list(view.sites()) == ["Torni", "Kaisaniemi", "Eteläranta"]
    assert view.colored_share() > 0.1
    assert {(answer.status, answer.headers["content-type"]) for answer in tiles} == {
        (200, "image/png")
    }
    share = view.covered().inner_text()
    assert re.fullmatch(r"\d+\.\d %", share)

    # A click on the map places a site where it was, to a pixel's thousandth.
    view.page.get_by_text("Place a site", exact=True).click()
    expect(view.map).to_have_attribute("data-mode", "place")
    spot = view.spot(0.47, 0.6)
    lon_lat = view.lon_lat(spot)
    view.page.mouse.click(*spot)
    placed = view.drawn(other_than=first)
    expect(view.page.locator('button.rf-site[data-site="Site 1"]')).to_be_visible()
    assert _site(dashboard, view, "Site 1") == pytest.approx(lon_lat, abs=1e-5)
    assert view.sites()["Site 1"] == pytest.approx(spot, abs=1.0)
    expect(view.covered()).not_to_have_text(share)
    share = view.covered().inner_text()
    view.page.keyboard.press("Escape")
    expect(view.map).to_have_attribute("data-mode", "inspect")
    view.idle()

    # Dragged, it makes another map; undone, the one before is there again.
    there = view.spot(0.55, 0.45)
    lon_lat = view.lon_lat(there)
    view.drag(view.sites()["Site 1"], there)
    moved = view.drawn(other_than=placed)
    assert _site(dashboard, view, "Site 1") == pytest.approx(lon_lat, abs=1e-5)
    expect(view.covered()).not_to_have_text(share)
    view.page.get_by_role("button", name="undo").click()
    assert view.drawn(other_than=moved) == placed
    view.page.get_by_role("button", name="redo").click()
    assert view.drawn(other_than=placed) == moved

    # A click tells the level of every sector there, and what lies between.
    view.page.mouse.click(*view.spot(0.4, 0.7))
    view.wait_for("() => location.search.includes('at=')")
    panel = view.tab("Point")
    expect(panel.get_by_text("m along the ground")).to_be_visible()
    expect(panel.locator('[data-testid="stVegaLiteChart"] svg.marks')).to_be_visible()
    rows = dashboard.draft_of(view.page.url).rows
    expect(panel.locator('table[role="grid"]')).to_have_attribute(
        "aria-rowcount", str(1 + len(rows))
    )
    sectors, levels = (
        panel.locator(f'[data-testid^="glide-cell-{column}-"]').all_text_contents()
        for column in (0, 1)
    )
    assert set(sectors) <= {row.label for row in rows}
    assert levels
    assert all(-200.0 < float(level) < 0.0 for level in levels)

    # Whoever gets the link sees the same.
    view.choose("Layer", "SS-SINR")
    sinr = view.drawn(other_than=moved)
    view.page.get_by_role("button", name="Zoom in").click()
    view.wait_for("() => location.search.includes('view=')")
    view.idle()
    other = visit(view.page.url, color_scheme="dark")
    assert other.drawn() == sinr
    assert set(other.sites()) == set(view.sites())
    assert _site(dashboard, other, "Site 1") == pytest.approx(lon_lat, abs=1e-5)
    assert other.camera() == pytest.approx(view.camera(), abs=1e-2)
    expect(other.map.locator(".rf-pin")).to_be_visible()
    expect(other.page.get_by_role("combobox", name="Layer")).to_have_value("SS-SINR")
    expect(other.tab("Point").get_by_text("m along the ground")).to_be_visible()


def _one_site(**more):
    rows = [row for row in read_rows(SITES, 3.5e9) if row.site == "Torni"]
    return Draft(rows=tuple(replace(row, row=0) for row in rows), **more)


def test_a_run_outlives_the_page_and_the_server(dashboard, visit, expect):
    view = visit(dashboard.saved(_one_site(resolution_m=16.0)))
    page = view.page
    quick = view.drawn()
    view.page.get_by_role("button", name="Zoom in").click()
    view.wait_for("() => location.search.includes('view=')")
    effort = page.get_by_role("slider", name="Effort")
    effort.press("ArrowLeft")
    expect(page.get_by_test_id("stSidebar").get_by_text("Draft", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Start the run").click()
    progress = page.get_by_test_id("stProgress")
    expect(progress).to_be_visible()
    job = dashboard.only_job()
    dashboard.wait_for(job.id, "running")

    # The page is loaded again: the same view, and the job is still at work.
    link, camera = page.url, view.camera()
    page.reload()
    assert view.drawn() == quick
    assert page.url == link
    assert view.camera() == pytest.approx(camera, abs=1e-2)
    expect(progress).to_be_visible()
    assert dashboard.job(job.id).is_active

    # The server is gone, and back: the page finds it, and the job never noticed.
    dashboard.stop()
    dashboard.start()
    assert dashboard.job(job.id).is_active
    opening = page.get_by_role("button", name="1 site, ray traced, draft")
    expect(progress.or_(opening)).to_be_visible()
    dashboard.wait_for(job.id, "done")
    opening.click()
    traced = view.drawn(other_than=quick)
    assert traced.startswith(f"/tiles/jobs/{job.id}/")
    view.watch.forgive("disconnected from server|ERR_CONNECTION|WebSocket connection")

    view.choose("Layer", "Standard error")
    noise = view.drawn(other_than=traced)
    assert "/standard_error_db/" in noise
    expect(view.map.locator(".rf-legend")).to_contain_text("Standard error")
    with page.expect_download() as download:
        view.tab("Download").get_by_role("button", name="GeoTIFF").click()
    with rasterio.open(download.value.path()) as written:
        assert written.res == (16.0, 16.0)
        assert written.count > 3
        assert np.isfinite(written.read(1, masked=True).filled(np.nan)).any()

    # Beside the quick map, from the same place; then what lies between them.
    view.choose("Layer", "SS-RSRP")
    assert view.drawn(other_than=noise) == traced
    view.choose("Compare with", "Quick map")
    view.wait_for("() => window.__rfMaps['plan_map:1']?.loaded()")
    *_, zoom = view.camera()
    page.get_by_role("button", name="Zoom in").click()
    view.wait_for("zoom => window.__rfMaps.plan_map.getZoom() > zoom + 0.9", zoom)
    view.drawn()
    assert view.camera("plan_map:1") == pytest.approx(view.camera(), abs=1e-6)
    before = view.drawn()
    page.get_by_test_id("stButtonGroup").get_by_text("Difference").click()
    view.wait_for("() => !window.__rfMaps['plan_map:1']")
    assert view.drawn(other_than=before).startswith("/tiles/previews/")
    expect(view.map.locator(".rf-legend")).to_contain_text("dB")


GOOD = SITES.read_bytes()
JUNK = bytes(range(256)) * 40
BAD_FILES = [
    ("Site list", "sites.xlsx", JUNK, "sites.xlsx: not a site list (CSV): its name must end in"),
    ("Site list", "few.csv", b"site,lon\nA,24.94\n", "few.csv: "),
    ("Site list", "large.csv", GOOD + b"\n" * 2_020_000, "File must be 2.0MB or smaller"),
    ("Site list", "../../etc/passwd", GOOD, "passwd: not a site list"),
    ("Add an area", "junk.osm.pbf", JUNK, "junk.osm.pbf: "),
]


def test_uploads_are_taken_or_told_in_one_line(dashboard, visit, expect):
    view = visit(dashboard.saved(_one_site()))
    page = view.page
    first = view.drawn()
    opened = None
    for where, name, content, told in BAD_FILES:
        uploader = page.get_by_test_id("stPopoverBody").get_by_test_id("stFileUploader").first
        if where != opened:
            page.keyboard.press("Escape")
            expect(uploader).to_have_count(0)
            page.get_by_test_id("stPopover").get_by_role("button", name=where).click()
            opened = where
        view.upload(uploader, name, content)
        expect(page.get_by_test_id("stPopoverBody")).to_contain_text(told)
        view.idle()
        lines = page.locator('[data-testid="stAlert"] p').all_inner_texts()
        assert len(lines) == 1
        assert "\n" not in lines[0]
    page.keyboard.press("Escape")
    assert view.overlay == first
    assert set(view.sites()) == {"Torni"}
    assert not list(dashboard.workspace.uploads.iterdir())

    page.get_by_test_id("stPopover").get_by_role("button", name="Site list").click()
    view.upload(page.get_by_test_id("stPopoverBody"), "three.csv", GOOD)
    view.drawn(other_than=first)
    assert set(view.sites()) == {"Torni", "Kaisaniemi", "Eteläranta"}

    page.get_by_role("link", name="Measurements").click()
    view.idle()
    spots = [(24.9400 + 0.0002 * n, 60.1690) for n in range(40)]
    lines = [f"{lon:.5f},{lat:.5f},{-80 - n % 7}" for n, (lon, lat) in enumerate(spots)]
    drive_test = "\n".join(["longitude,latitude,RSRP", *lines]).encode()
    view.upload(page.get_by_test_id("stFileUploader").first, "walk.csv", drive_test)
    expect(page.locator('.rf-map[data-ready="true"]')).to_be_visible()
    view.idle()
    assert any("/points/" in url for url in view.watch.asked)
    assert view.faults() == []


def test_every_page_opens_by_day_and_by_night(dashboard, visit):
    view = visit(dashboard.address, color_scheme="dark")
    for shown in PAGES:
        view.page.get_by_role("link", name=shown.title).click()
        view.wait_for(
            "name => location.pathname.endsWith(name)", "" if shown is PAGES[0] else shown.module
        )
        for scheme in ("light", "dark"):
            view.page.emulate_media(color_scheme=scheme)
            view.wait_for(
                """dark => {
                    const app = document.querySelector("[data-testid=stApp]")
                    const [red] = getComputedStyle(app).backgroundColor.match(/\\d+/g)
                    return (red < 128) === dark
                }""",
                scheme == "dark",
            )
            view.idle()
            assert view.faults() == []
            assert view.page.get_by_test_id("stException").count() == 0


FOCUSED = """() => {
    let at = document.activeElement
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
    const label = at?.labels?.[0]?.innerText
    return at?.getAttribute("aria-label") || label || at?.innerText || at?.tagName || ""
}"""


def test_the_keyboard_reaches_the_map_and_the_controls(dashboard, visit):
    view = visit(dashboard.saved(_one_site(resolution_m=16.0)))
    view.drawn()
    reached = []
    for _ in range(60):
        view.page.keyboard.press("Tab")
        reached.append(view.page.evaluate(FOCUSED))
        if reached[-1].startswith("Covered from"):
            break
    wanted = [
        "Area", "Place a site", "Start the run", "Map of the plan", "Site Torni", "Zoom in",
        "Map", "Layer", "Covered from",
    ]  # fmt: skip
    told = "\n".join(reached)
    assert [name for name in wanted if not re.search(rf"^.*\b{name}", told, re.M)] == []
