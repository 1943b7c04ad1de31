"""What a column of a jobs file is called, and what its cells mean."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from pipelines.batch.faults import Faults
from pipelines.map import OPTIONS, Config
from rfplatform.errors import InputError

_REFUSED: Mapping[str, str] = {
    "out": "a batch writes every map into the one --out that it is given",
    "overwrite": "a batch never replaces a map; what is there already is not made again",
}
_OF_BATCH: Mapping[str, Any] = {
    "name": str,
    "tile_m": float,
    "tile_margin_m": float,
    "tile_overlap_m": float,
}
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
SEPARATORS: Mapping[str, str] = {"site": ";", "formats": ","}
"""Between several values in one text."""


@cache
def _columns() -> Mapping[str, tuple[str, bool]]:
    """Field, and whether it is said the other way round, of every name that a column may have."""
    hints = get_type_hints(Config)
    known: dict[str, tuple[str, bool]] = {name: (name, False) for name in _OF_BATCH}
    for name, option in OPTIONS.items():
        called = plain_name(option)
        is_flag = hints[name] is bool
        names = {name, called.removeprefix("no_") if is_flag else called}
        for each in names:
            known[each] = (name, False)
            if is_flag:
                known[f"no_{each}"] = (name, True)
    return known


@cache
def _kinds() -> Mapping[str, Any]:
    """Type of every field, without the None of those that may be left out."""
    return {**{name: _kind(hint) for name, hint in get_type_hints(Config).items()}, **_OF_BATCH}


def _kind(hint: Any) -> Any:  # noqa: ANN401  (a type hint)
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return get_origin(hint) or hint


def plain_name(name: str) -> str:
    """A column's name without regard to case, hyphens and spaces."""
    return name.strip().lower().lstrip("-").replace("-", "_").replace(" ", "_")


def said(name: str) -> str:
    """What a field is called in a file."""
    return name if name in _OF_BATCH else plain_name(OPTIONS[name]).removeprefix("no_")


def resolved(names: Sequence[str], where: str, faults: Faults) -> dict[str, tuple[str, bool]]:
    """Field and polarity of each column; those that are none are faults."""
    found: dict[str, tuple[str, bool]] = {}
    first: dict[str, str] = {}
    for name in names:
        known = _columns().get(plain_name(name))
        if known is None:
            faults.add(where, _unknown(name))
        elif known[0] in _REFUSED:
            faults.add(where, f"column {name!r}: leave it out; {_REFUSED[known[0]]}")
        elif known[0] in first:
            faults.add(where, f"columns {first[known[0]]!r} and {name!r} are the same: keep one")
        else:
            found[name], first[known[0]] = known, name
    return found


def _unknown(name: str) -> str:
    known = [each for each, (of, _) in _columns().items() if of not in _REFUSED]
    near = difflib.get_close_matches(plain_name(name), known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `rfplatform map --help`"
    return f"column {name!r}: there is no such option; {hint}"


def value_of(of: str, raw: Any) -> Any:  # noqa: ANN401  (a cell's)
    """A cell as its field's type.

    Raises
    ------
    InputError
        What it must be.
    """
    kind = _kinds()[of]
    if kind is bool:
        return _bool(raw)
    if kind in (int, float):
        return _number(raw, whole=kind is int)
    if kind is tuple:
        return _texts(raw, SEPARATORS[of])
    text = _text(raw)
    if kind is not Path:
        return text
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError("is in the home of nobody here") from None


def _bool(raw: object) -> bool:
    text = str(raw).strip().lower().removesuffix(".0")
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise InputError("must be true or false")


def _number(raw: object, *, whole: bool) -> float | int:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise InputError("must be a number")
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        hint = " (write a decimal point)" if "," in str(raw) else ""
        raise InputError(f"is not a number{hint}") from None
    if not math.isfinite(number):
        raise InputError("must be a finite number")
    if not whole:
        return number
    if number != round(number):
        raise InputError("must be a whole number")
    return round(number)


def _texts(raw: object, separator: str) -> tuple[str, ...]:
    parts = raw.split(separator) if isinstance(raw, str) else raw
    if not isinstance(parts, list | tuple):
        raise InputError(f"must be text; {separator} lies between several")
    return tuple(text for part in parts if (text := _text(part)))


def _text(raw: object) -> str:
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise InputError("must be text")
    text = str(raw).strip()
    if not text.isprintable():
        raise InputError("has characters that can't be printed")
    return text


def shortened(raw: object) -> str:
    """A value on one short line, with numbers and truth values as one types them."""
    text = str(raw)
    if isinstance(raw, bool):
        text = text.lower()
    elif isinstance(raw, float):
        text = f"{raw:.12g}" if raw < 1e6 else f"{raw:.12e}"
        digits, _, power = text.partition("e")
        text = f"{digits.rstrip('0').rstrip('.')}e{int(power)}" if power else text
    return text if len(text) <= 60 else text[:57] + "..."
