"""The outputs of a run, as files."""

from __future__ import annotations

import streamlit as st

from ui.files import file_buttons
from ui.plan.shown import Shown


def downloads(shown: Shown | None) -> None:
    """Buttons for all that a run wrote."""
    if shown is None or shown.kind != "jobs":
        st.info(
            "Files belong to runs: start one at the left, then choose it under **Map**. The site "
            "list of the plan is under **Sectors**.",
            icon=":material/download:",
        )
        return
    file_buttons(shown.folder.parent / "out", "plan.download")
