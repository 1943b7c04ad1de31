"""Antenna pattern files as numbered lines of text, and what all their formats have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rfplatform.antennas.cuts import Cut
from rfplatform.errors import InputError

DBD_TO_DBI = 2.15
"""Gain of the half-wave dipole that dBd count from, as antenna makers round it."""

MAX_BYTES = 5_000_000
MAX_ATTENUATION_DB = 300.0
GAIN_DBI = (-30.0, 70.0)

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Source:
    """A file's name and lines; it words the faults."""

    name: str
    lines: tuple[str, ...]

    def fault(self, line: int, what: str) -> InputError:
        """The error for a line, counted from 1."""
        return InputError(f"{self.name}: line {line}: {what}")

    def number(self, line: int, text: str, what: str) -> float:
        """A finite number, with a decimal point or comma."""
        value = number(text)
        if value is None:
            raise self.fault(line, f"{what} {shown(text)} is not a number; correct it")
        return value


def number(text: str) -> float | None:
    """The number in a text, or None."""
    text = text.strip()
    if "." not in text and text.count(",") == 1:
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def shown(text: str) -> str:
    """A text in quotes, on one line and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def read_source(path: str | Path) -> Source:
    """Read a pattern file's text.

    It may be UTF-8 or UTF-16 with a byte order mark, UTF-8 without, or Windows-1252 (Latin-1),
    with any line ends.

    Raises
    ------
    InputError
        If it can't be read, is empty, too large or no text, or mixes encodings.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size / 1e6:.0f} MB, more than an antenna pattern's "
                f"{MAX_BYTES / 1e6:.0f}; give a pattern file"
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such antenna file") from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a null character.
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: can't be read: {reason}") from None
    text = _decoded(data, str(path)).replace("\r\n", "\n").replace("\r", "\n")
    lines = tuple(text.split("\n"))
    if not text.strip():
        raise InputError(f"{path}: line 1: empty; give a pattern file")
    for line, content in enumerate(lines, start=1):
        if any(ord(c) < 32 and c not in "\t\f\x1a" for c in content):
            raise InputError(
                f"{path}: line {line}: not text (control characters); give a pattern file"
            )
    return Source(str(path), lines)


def _decoded(data: bytes, name: str) -> str:
    if data.startswith(_UTF16):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError(
                f"{name}: line 1: begins as UTF-16 but isn't; save it as UTF-8"
            ) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    lines: list[str] = []
    utf8_line = 0
    for line, content in enumerate(re.split(rb"\r\n|\r|\n", data), start=1):
        if content.isascii():
            lines.append(content.decode("ascii"))
            continue
        try:
            lines.append(content.decode("utf-8"))
            utf8_line = utf8_line or line
        except UnicodeDecodeError:
            try:
                lines.append(content.decode("cp1252"))
            except UnicodeDecodeError:
                raise InputError(
                    f"{name}: line {line}: neither UTF-8 nor Windows-1252 text; save it as UTF-8"
                ) from None
            if utf8_line or _has_utf8(content):
                raise InputError(
                    f"{name}: line {line}: mixed encodings (Windows-1252 here, UTF-8 in line "
                    f"{utf8_line or line}); save it as UTF-8"
                ) from None
            first_other = line
            rest = re.split(rb"\r\n|\r|\n", data)[line:]
            for later, other in enumerate(rest, start=first_other + 1):
                if not other.isascii() and _is_utf8(other):
                    raise InputError(
                        f"{name}: line {later}: mixed encodings (UTF-8 here, Windows-1252 in "
                        f"line {first_other}); save it as UTF-8"
                    ) from None
    return "\n".join(lines)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _has_utf8(content: bytes) -> bool:
    """Whether a line that isn't UTF-8 holds a letter of two bytes in UTF-8 all the same."""
    return re.search(rb"\xc3[\x80-\xbf]", content) is not None


@dataclass(frozen=True)
class Row:
    """One row of a cut: its line, angle and attenuation."""

    line: int
    angle_deg: float
    attenuation_db: float


def make_cut(source: Source, what: str, rows: Sequence[Row]) -> Cut:
    """A full circle of rows, checked.

    Angles must increase, by even steps but for a missing last one where the first repeats it at
    360 degrees.

    Raises
    ------
    InputError
        For an angle that is missing, out of order, twice there or out of range, or an attenuation
        that is negative or absurd; each with its line.
    """
    last = rows[-1].line
    if len(rows) < 4:
        raise source.fault(last, f"{what} has {len(rows)} angles; give a full circle")
    _check_rows(source, what, rows)
    usual = _usual_step(source, what, rows)
    first, span = rows[0], rows[-1].angle_deg - rows[0].angle_deg
    if span > 360.0 + 1e-9:
        raise source.fault(last, f"{what} angles span {span:g} degrees; give one full circle")
    if span > 360.0 - 1e-9:
        if abs(first.attenuation_db - rows[-1].attenuation_db) > 0.5:
            raise source.fault(
                last,
                f"{what} ends with {rows[-1].attenuation_db:g} dB at {rows[-1].angle_deg:g} "
                f"degrees but begins with {first.attenuation_db:g}; correct one",
            )
        rows = rows[:-1]
    elif 360.0 - span > 1.5 * usual:
        raise source.fault(
            last,
            f"{what} ends at {rows[-1].angle_deg:g} degrees: angle "
            f"{rows[-1].angle_deg + usual:g} is missing; give a full circle",
        )
    ordered = sorted((row.angle_deg % 360.0, row.attenuation_db) for row in rows)
    return Cut(tuple(a for a, _ in ordered), tuple(d for _, d in ordered))


def _check_rows(source: Source, what: str, rows: Sequence[Row]) -> None:
    """Each row by itself."""
    for row in rows:
        if not -360.0 <= row.angle_deg <= 360.0:
            raise source.fault(row.line, f"{what} angle {row.angle_deg:g}: must lie in -360..360")
        if row.attenuation_db < 0.0:
            raise source.fault(
                row.line,
                f"{what} attenuation {row.attenuation_db:g} dB is negative; give dB below the "
                "maximum, without a sign",
            )
        if row.attenuation_db > MAX_ATTENUATION_DB:
            raise source.fault(
                row.line,
                f"{what} attenuation {row.attenuation_db:g} dB: must be {MAX_ATTENUATION_DB:g} "
                "or less",
            )


def _usual_step(source: Source, what: str, rows: Sequence[Row]) -> float:
    """The median step between angles, where none is missing, out of order or there twice."""
    steps = [b.angle_deg - a.angle_deg for a, b in pairwise(rows)]
    usual = sorted(steps)[len(steps) // 2]
    for row, step in zip(rows[1:], steps, strict=True):
        if step == 0.0:
            raise source.fault(
                row.line, f"{what} angle {row.angle_deg:g} is there twice; remove one"
            )
        if step < 0.0:
            raise source.fault(
                row.line, f"{what} angle {row.angle_deg:g} is out of order; sort the angles"
            )
        if step > 1.5 * usual:
            raise source.fault(
                row.line,
                f"{what} angle {row.angle_deg - step + usual:g} is missing before "
                f"{row.angle_deg:g}; add it",
            )
    return usual


def check_gain(source: Source, line: int, gain_dbi: float) -> float:
    """The gain, if an antenna can have it."""
    low, high = GAIN_DBI
    if not low <= gain_dbi <= high:
        raise source.fault(line, f"gain {gain_dbi:g} dBi: must lie in {low:g}..{high:g}")
    return gain_dbi
