"""Errors as a page tells them."""

from __future__ import annotations

import streamlit as st

from ui.markdown import plain


def tell(error: Exception | str, *, before: str = "", after: str = "") -> None:
    """One line; what a user or a file wrote in it is text, and never markup.

    Parameters
    ----------
    error : Exception or str
    before, after : str
        Our own words around it.
    """
    st.error(before + plain(error) + after, icon=":material/error:")
