"""Under which licence a document says that it is."""

from __future__ import annotations

import re

_SPDX = re.compile(
    # In two parts, so that tools that look for such lines don't find one here.
    r"SPDX-License-"
    r"Identifier:\s*"
    r"(?P<licence>\(?[A-Za-z0-9][\w.+-]*\)?(?:\s+(?:AND|OR|WITH)\s+\(?[A-Za-z0-9][\w.+-]*\)?)*)"
)
_BSD = re.compile(r"Redistribution\s+and\s+use\s+in\s+source\s+and\s+binary\s+forms")
_NO_ENDORSEMENT = re.compile(r"Neither\s+the\s+(?:name|Members)\b|Revised\s+BSD\s+License")
_REACH = 6_000
"""Characters from the beginning within which a licence is the document's own."""


def licence_in(text: str) -> str:
    """The licence that a text states of itself near its beginning.

    Parameters
    ----------
    text : str
        As it is in the file, with its comments.

    Returns
    -------
    str
        An SPDX expression, taken from a line with that identifier or, as in the modules of
        O-RAN, told from the conditions of the BSD licences; "" where there is neither.
    """
    head = text[:_REACH]
    if found := _SPDX.search(head):
        return " ".join(found["licence"].split())
    if _BSD.search(head):
        return "BSD-3-Clause" if _NO_ENDORSEMENT.search(head) else "BSD-2-Clause"
    return ""
