"""A file that is uploaded on a page: checked, kept, and out of the way."""

from __future__ import annotations

import streamlit as st

from pipelines.desk.uploads import KINDS, Upload, store_upload
from rfplatform.errors import RfplatformError
from ui.context import workspace
from ui.telling import tell


def uploaded(kind: str, label: str, *, help: str) -> Upload | None:  # noqa: A002  (streamlit's)
    """A place for a file; the upload in the one run that follows it, and None else.

    What is wrong with a file is told in one line, for as long as the file is there.

    Parameters
    ----------
    kind : str
        Of `pipelines.desk.uploads.KINDS`.
    label, help : str
    """
    count, found = f"uploaded.{kind}.count", f"uploaded.{kind}.found"
    most_mb = max(1, round(KINDS[kind].max_bytes / 1e6))
    file = st.file_uploader(
        label,
        help=f"{help} Up to {most_mb} MB.",
        max_upload_size=most_mb,
        # Another key empties it.
        key=f"uploaded.{kind}.{st.session_state.get(count, 0)}",
    )
    if file is not None:
        try:
            with st.spinner("Reading the file"):
                st.session_state[found] = store_upload(workspace(), kind, file.name, file)
        except RfplatformError as error:
            tell(error)
            return None
        st.session_state[count] = st.session_state.get(count, 0) + 1
        st.rerun()
    upload: Upload | None = st.session_state.pop(found, None)
    return upload
