"""The script that Streamlit runs: navigation over `ui.pages.PAGES`, and how errors are told."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from rfplatform.errors import RfplatformError
from ui.look import STYLE
from ui.pages import PAGES, Page
from ui.telling import tell

_FOLDER = Path(__file__).parents[1]


def _guarded(page: Page) -> None:
    """Draw a page; what a user can mend is told in one line, and the rest of the app stays."""
    try:
        page.draw()
    except RfplatformError as error:
        tell(error)


def _page(page: Page, *, default: bool) -> st.Page:
    def draw() -> None:
        _guarded(page)

    return st.Page(draw, title=page.title, icon=page.icon, url_path=page.module, default=default)


st.set_page_config(
    page_title="rfplatform", page_icon=str(_FOLDER / "assets" / "mark.svg"), layout="wide"
)
st.html(f"<style>{STYLE}</style>")
st.logo(str(_FOLDER / "assets" / "wordmark.svg"), size="medium")
st.navigation(
    [_page(page, default=number == 0) for number, page in enumerate(PAGES)], position="top"
).run()
