"""ZIP archives whose bytes depend on nothing but what is in them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping

_UNIX, _MODE = 3, 0o644
_DATE = (1980, 1, 1, 0, 0, 0)
"""ZIP's first: an archive of the same contents is the same file at any time."""


def entry(name: str, *, compressed: bool = False) -> zipfile.ZipInfo:
    """The head of an archive's file, the same at any time and on any system.

    Parameters
    ----------
    name : str
        With forward slashes.
    compressed : bool
        Deflate it; what is compressed already is better stored.
    """
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    info.create_system, info.external_attr = _UNIX, _MODE << 16
    return info


def write_archive(files: Mapping[str, bytes], path: str | os.PathLike[str]) -> None:
    """Write files as one ZIP, sorted by their names and stored as they are.

    Parameters
    ----------
    files : mapping of str to bytes
        Contents by name.
    path : path-like
        Written straight to it.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            archive.writestr(entry(name), files[name])
