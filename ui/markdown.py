"""Text of others within Markdown of ours."""

from __future__ import annotations

import re


def plain(text: object) -> str:
    """The same text on one line, with nothing in it that Markdown or Streamlit would act on."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(str(text).split()))
