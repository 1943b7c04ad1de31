from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.desk.workspace import Workspace

pytest.register_assert_rewrite("browser")
from browser import PATIENCE_MS, Dashboard, View, Watch, opened_browser  # noqa: E402


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def dashboard(chromium, tmp_path_factory) -> Iterator[Dashboard]:  # noqa: ARG001
    """The served dashboard; after the browser, so that nothing starts where there is none."""
    dashboard = Dashboard(Workspace.open(tmp_path_factory.mktemp("workspace")))
    dashboard.start()
    try:
        yield dashboard
    finally:
        dashboard.end_jobs()
        dashboard.stop()


@pytest.fixture
def visit(chromium, dashboard) -> Iterator[Callable[..., View]]:
    """Opens an address in a browser that knows nothing; all of it is checked at the end."""
    views: list[View] = []

    def opened(url: str, **options: Any) -> View:
        context = chromium.new_context(
            viewport={"width": 1400, "height": 950},
            reduced_motion="reduce",
            device_scale_factor=0.5,
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        watch = Watch(context, dashboard.address)
        views.append(View(context.new_page(), watch))
        views[-1].page.goto(url)
        views[-1].idle()
        return views[-1]

    yield opened
    for view in views:
        view.watch.check()
        view.page.context.close()


@pytest.fixture(autouse=True)
def _same_main():
    """AppTest leaves its script as the main module, which processes that are spawned would run."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before
