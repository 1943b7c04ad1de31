"""Ways from one page to another, which keep the session and say in the URL what is opened."""

from __future__ import annotations

import streamlit as st

from ui.pages import PAGES


def page_link(module: str, label: str, icon: str, **query: str) -> None:
    """A link to a page.

    Parameters
    ----------
    module : str
        Of `ui.pages`.
    label, icon : str
    **query
        What the page's URL says, such as ``run="..."``.
    """
    target = next(page for page in PAGES if page.module == module)
    # Equal to the navigation's own page, since both are known by their path.
    page = st.Page(
        target.draw, title=target.title, url_path=module, default=module == PAGES[0].module
    )
    st.page_link(page, label=label, icon=icon, query_params=query)
