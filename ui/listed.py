"""A list, and beside it what is open of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

_STYLE = """<style>
div:has(> .st-key-beside-list) { min-width: min(34rem, 100%); }
</style>"""


def side_by_side(width: int | Literal["stretch"]) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two containers; where there is little room, the second is below the first.

    Parameters
    ----------
    width : int or "stretch"
        Of the first, in pixels.
    """
    st.html(_STYLE)
    row = st.container(horizontal=True, gap="medium")
    return row.container(width=width), row.container(width="stretch", key="beside-list")


def selection(row: int | None) -> Mapping[str, Any]:
    """The state of a data frame in which a row is selected, or none."""
    return {"selection": {"rows": [] if row is None else [row], "columns": [], "cells": []}}
