"""Assistant: questions to the user's own documents, and how well models answer known ones."""

from __future__ import annotations

import streamlit as st

from ui.assistant import asking, evaluations
from ui.assistant.links import VIEW, adopt, remember


def page() -> None:
    """Draw the page."""
    st.header("Assistant", anchor=False)
    adopt()
    ask, reports = st.tabs(["Ask", "Evaluations"], key=VIEW, on_change="rerun", bind="query-params")
    with ask:
        if ask.open:
            asking.draw()
    with reports:
        if reports.open:
            evaluations.draw()
    remember()
