"""Antennas by the one text that names them, in a site list and on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from rfplatform.antennas.array import ElementArray
from rfplatform.antennas.cuts import CutPattern
from rfplatform.antennas.dipole import HalfWaveDipole
from rfplatform.antennas.isotropic import Isotropic
from rfplatform.antennas.msi import read_msi
from rfplatform.antennas.nsma import read_nsma
from rfplatform.antennas.pattern import Antenna
from rfplatform.antennas.tr38901 import TR38901Element
from rfplatform.errors import InputError, unknown_name

NAMED: Mapping[str, Antenna] = MappingProxyType(
    {"isotropic": Isotropic(), "dipole": HalfWaveDipole(), "tr38901": TR38901Element()}
)
"""Read-only, so that a name means the same everywhere."""

_READERS = {".msi": read_msi, ".pln": read_msi, ".pla": read_msi, ".adf": read_nsma}
FILE_SUFFIXES: tuple[str, ...] = tuple(_READERS)
"""Endings of pattern files, in lower case."""


def antenna(name: str) -> Antenna:
    """Look an antenna up by its text.

    Parameters
    ----------
    name : str
        A name of `NAMED`; ``tr38901?key=value&key=value`` with fields of `TR38901Element` and
        `ElementArray`, such as ``tr38901?rows=8&columns=4&beam=2&polarization=+45``; or the path
        of a pattern file (`FILE_SUFFIXES`), which is read again only when it has changed.

    Raises
    ------
    InputError
        If there is none of that name (near misses and all known names are listed), a parameter is
        wrong, or the file is.
    """
    if name in NAMED:
        return NAMED[name]
    if is_file(name):
        return read_pattern(name)
    base, mark, parameters = name.partition("?")
    if mark and base == "tr38901":
        return _with_parameters(name, parameters)
    if mark and base in NAMED:
        raise InputError(f'antenna "{name}": {base} has no parameters; tr38901 has')
    raise unknown_name("antenna", name, sorted(NAMED))


def is_file(name: str) -> bool:
    """Whether a text names a pattern file, by its ending."""
    return Path(name).suffix.lower() in _READERS


def resolved(name: str, folder: str | Path = ".") -> str:
    """The text under which `antenna` finds the same from any folder; the antenna is checked.

    Parameters
    ----------
    name : str
    folder : str or Path
        What a relative path counts from.

    Returns
    -------
    str
        The absolute path of a file; anything else as it is.

    Raises
    ------
    InputError
        As `antenna`.
    """
    text = str((Path(folder) / Path(name).expanduser()).resolve()) if is_file(name) else name
    antenna(text)
    return text


def resolved_beside(name: str, folder: str | Path) -> str | None:
    """`resolved`, or None for a text that is neither a file nor has parameters."""
    return resolved(name, folder) if is_file(name) or "?" in name else None


def read_pattern(path: str | Path) -> CutPattern:
    """Read a pattern file of any format, by its ending; the last ones read are kept.

    Raises
    ------
    InputError
        With the file, the line and what to do.
    """
    place = Path(path)
    try:
        state = place.stat()
        changed = state.st_mtime_ns, state.st_size
    except (OSError, ValueError):
        changed = 0, 0  # The reader says what is wrong.
    return _read(str(place), changed)


@lru_cache(maxsize=64)
def _read(path: str, changed: tuple[int, int]) -> CutPattern:  # noqa: ARG001  (part of the key)
    reader = _READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not a pattern file; its name must end in {', '.join(_READERS)}")
    return reader(path)


@lru_cache(maxsize=64)
def _with_parameters(name: str, parameters: str) -> Antenna:
    """A TR 38.901 element with the user's values, or an array of them."""
    of_element = {f.name: f.type for f in fields(TR38901Element)}
    of_array = {f.name: f.type for f in fields(ElementArray) if f.name != "element"}
    known = {**of_element, **of_array}
    values: dict[str, float | int | str] = {}
    for part in parameters.split("&"):
        key, equals, text = (piece.strip() for piece in part.partition("="))
        if key not in known:
            near = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InputError(
                f'antenna "{name}": unknown parameter {key!r}{hint} (known: {", ".join(known)})'
            )
        if not equals or not text:
            raise InputError(f'antenna "{name}": give a value, as in {key}=...')
        if key in values:
            raise InputError(f'antenna "{name}": {key} is given twice')
        values[key] = _value(name, key, text, str(getattr(known[key], "__name__", known[key])))
    try:
        element = TR38901Element(**{k: v for k, v in values.items() if k in of_element})  # type: ignore[arg-type]
        array = {k: v for k, v in values.items() if k in of_array}
        return ElementArray(element, **array) if array else element  # type: ignore[arg-type]
    except InputError as error:
        raise InputError(f'antenna "{name}": {str(error).removeprefix("antenna ")}') from None


def _value(name: str, key: str, text: str, kind: str) -> float | int | str:
    if kind == "str":
        return text
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        what = "a whole number" if kind == "int" else "a number"
        raise InputError(f'antenna "{name}": {key} {text!r} is not {what}') from None
