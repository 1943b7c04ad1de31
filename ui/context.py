"""What every page has at hand: the workspace, and the processes that answer at once."""

from __future__ import annotations

import streamlit as st

from pipelines.desk.previews import Previews
from pipelines.desk.workspace import Workspace


@st.cache_resource(show_spinner=False)
def workspace() -> Workspace:
    """The dashboard's folder."""
    return Workspace.open()


@st.cache_resource(show_spinner=False)
def previews() -> Previews:
    """The processes that answer at once, shared by all sessions."""
    return Previews(workspace())
