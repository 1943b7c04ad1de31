"""The outputs of a run, as files."""

from __future__ import annotations

import streamlit as st

from pipelines.registered import register_map
from rfplatform.errors import RfplatformError
from ui.files import file_buttons
from ui.links import page_link
from ui.markdown import plain
from ui.plan.shown import Shown
from ui.telling import tell


def downloads(shown: Shown | None) -> None:
    """Buttons for all that a run wrote."""
    if shown is None or shown.kind != "jobs":
        st.info(
            "Files belong to runs: start one at the left, then choose it under **Map**. The site "
            "list of the plan is under **Sectors**.",
            icon=":material/download:",
        )
        return
    job = shown.folder.parent
    file_buttons(job / "out", "plan.download")
    if st.button(
        "Keep in the registry",
        icon=":material/inventory_2:",
        help="Under a name and a version, with what it was made from; see Registry.",
    ):
        try:
            with st.spinner("Keeping it"):
                ref = register_map(job / "out")
        except RfplatformError as error:
            tell(error)
            return
        page_link("registry", f"Kept as {plain(ref)}", ":material/check:", artifact=ref)
