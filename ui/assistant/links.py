"""What the Assistant's URL says, and how it is changed."""

from __future__ import annotations

import streamlit as st

INDEX, QUESTION, SECTION, REPORT, VIEW = "index", "question", "section", "report", "view"
"""Query parameters: whom to ask what, the section that is open (DOCUMENT#ORDINAL), the evaluation,
and the tab."""

_LINK = "assistant.link"
_LINKED = (INDEX, QUESTION)


def adopt() -> None:
    """Whoever comes back from another page gets what was shown before."""
    before: dict[str, str] = st.session_state.get(_LINK, {})
    if not any(name in st.query_params for name in (*_LINKED, REPORT, VIEW)):
        for name, value in before.items():
            st.query_params[name] = value


def remember() -> None:
    """Keep what is shown, for `adopt`."""
    st.session_state[_LINK] = {
        name: st.query_params[name] for name in _LINKED if name in st.query_params
    }


def show(*, index: str, question: str) -> None:
    """Have the URL ask a question of an index."""
    st.query_params[INDEX] = index
    close_section()
    if question:
        st.query_params[QUESTION] = question
    elif QUESTION in st.query_params:
        del st.query_params[QUESTION]


def open_section(document: str, ordinal: int) -> None:
    """Have it open a section of a document."""
    st.query_params[SECTION] = f"{document}#{ordinal}"


def close_section() -> None:
    """Have it open none."""
    if SECTION in st.query_params:
        del st.query_params[SECTION]


def asked_section() -> tuple[str, int] | None:
    """The section that it opens: its document's name, and its ordinal."""
    document, _, ordinal = st.query_params.get(SECTION, "").rpartition("#")
    if not document or not ordinal.isdecimal() or len(ordinal) > 9:
        return None
    return document, int(ordinal)
