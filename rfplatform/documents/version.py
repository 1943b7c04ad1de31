"""Which version a document says that it is."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_ORAN = re.compile(
    r"(?:\bO-?RAN[._-](?:WG\d+|TIFG|SFG|nGRG|MVP|OSFG)\b[\w.-]*?[-_. ])"
    r"(?P<version>(?:R\d{3}[-_])?v\d{2}\.\d{2}(?:\.\d{2})?)",
    re.IGNORECASE,
)
_3GPP = re.compile(r"\bV(?P<version>\d{1,2}\.\d{1,2}\.\d{1,2})\s*\((?P<date>\d{4}-\d{2})\)")
_LINE = re.compile(
    r"^\W*(?:document\s+)?(?:version|revision)\s*:?\s*(?P<version>v?\d[\w.-]*)\W*$",
    re.IGNORECASE | re.MULTILINE,
)
_3GPP_NAME = re.compile(r"\d{5}(?:-\d{1,2})?-(?P<letters>[0-9a-z]{3})(?![0-9a-z])", re.IGNORECASE)
_ETSI_NAME = re.compile(r"t[sr]_\d{6}(?:\d{2})?v(?P<digits>\d{6})p", re.IGNORECASE)
_ANY_NAME = re.compile(r"(?:^|[-_. ])v(?P<version>\d+(?:\.\d+)+)(?![\w])", re.IGNORECASE)


def version_on_cover(text: str) -> str:
    """The version that a cover states.

    Parameters
    ----------
    text : str
        What stands before a document's first heading; further on, versions of other documents
        are named.

    Returns
    -------
    str
        "18.3.0" of "3GPP TS 38.331 V18.3.0 (2024-09)", "R003-v14.00" of
        "O-RAN.WG4.CUS.0-R003-v14.00", what a line "Version: 1.2" says, or "".
    """
    for pattern in (_3GPP, _ORAN, _LINE):
        if found := pattern.search(text):
            return found["version"]
    return ""


def version_in_name(name: str) -> str:
    """The version that a file's name states.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
        That of O-RAN's names, of 3GPP's ("38331-i30.docx": a character a part, i = 18), of
        ETSI's ("ts_138331v180300p.pdf"), of any name with "-v1.2", or "".
    """
    file = PurePosixPath(name).name
    if found := _ORAN.search(file):
        return found["version"]
    if found := _3GPP_NAME.match(file):
        return ".".join(str(int(letter, 36)) for letter in found["letters"].lower())
    if found := _ETSI_NAME.match(file):
        digits = found["digits"]
        return ".".join(str(int(digits[i : i + 2])) for i in (0, 2, 4))
    stem = re.sub(r"\.(?:pdf|docx|html?|md|rst|txt|yang|asn1?|jsonl(?:\.gz)?)$", "", file)
    found = _ANY_NAME.search(stem)
    return f"v{found['version']}" if found else ""
