"""A file that is uploaded on a page: checked, kept, and out of the way."""

from __future__ import annotations

import streamlit as st

from pipelines.desk.uploads import KINDS, Upload, list_uploads, store_upload
from rfplatform.errors import RfplatformError
from ui.context import workspace
from ui.telling import tell
from ui.words import distinct


def uploaded(kind: str, label: str, *, help: str) -> Upload | None:  # noqa: A002  (streamlit's)
    """A place for a file; the upload in the one run that follows it, and None else.

    What is wrong with a file is told in one line, for as long as the file is there.

    Parameters
    ----------
    kind : str
        Of `pipelines.desk.uploads.KINDS`.
    label, help : str
    """
    count, found, refused = (f"uploaded.{kind}.{name}" for name in ("count", "found", "refused"))
    most_mb = max(1, round(KINDS[kind].max_bytes / 1e6))
    file = st.file_uploader(
        label,
        help=f"{help} Up to {most_mb} MB.",
        max_upload_size=most_mb,
        # Another key empties it.
        key=f"uploaded.{kind}.{st.session_state.get(count, 0)}",
    )
    if file is not None:
        known: tuple[str, RfplatformError] | None = st.session_state.get(refused)
        if known is not None and known[0] == file.file_id:
            tell(known[1])  # Not read anew each time that the page is drawn.
            return None
        try:
            with st.spinner("Reading the file"):
                st.session_state[found] = store_upload(workspace(), kind, file.name, file)
        except RfplatformError as error:
            st.session_state[refused] = (file.file_id, error)
            tell(error)
            return None
        st.session_state[count] = st.session_state.get(count, 0) + 1
        st.rerun()
    upload: Upload | None = st.session_state.pop(found, None)
    return upload


def names_of_uploads(kind: str) -> dict[str, str]:
    """What users called the uploads of a kind, the newest first, by the texts that name them."""
    return distinct({upload.text: upload.original for upload in list_uploads(workspace(), kind)})
