"""MSI Planet pattern files: ``.msi``, ``.pln`` and ``.pla``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rfplatform.antennas.cuts import Cut, CutPattern
from rfplatform.antennas.pattern import SLANT_DEG
from rfplatform.antennas.patternfile import (
    DBD_TO_DBI,
    Row,
    Source,
    check_gain,
    make_cut,
    number,
    read_source,
    shown,
)
from rfplatform.errors import InputError

_CUTS = ("HORIZONTAL", "VERTICAL")
_GAIN = re.compile(r"([^\s()dD]+)\s*\(?\s*(db[id]|db)?\s*\)?", re.IGNORECASE)
_POLARIZATIONS = {
    "V": "V", "VERTICAL": "V", "V/V": "V", "H": "H", "HORIZONTAL": "H", "H/H": "H",
    "+45": "+45", "45": "+45", "+45°": "+45", "-45": "-45", "-45°": "-45",
}  # fmt: skip
_WORDS_OF_TILT = {"ELECTRICAL", "MECHANICAL", "NONE", "FIXED", ""}


def read_msi(path: str | Path) -> CutPattern:
    """Read an MSI Planet file.

    The keywords (any case) stand at the start of a line: ``NAME``, ``MAKE``, ``FREQUENCY`` (MHz
    unless it says GHz; several numbers are a range), ``GAIN`` (dBd unless it says dBi; 0 dBd is
    2.15 dBi), ``ELECTRICAL_TILT`` or a numeric ``TILT``, ``POLARIZATION``, ``H_WIDTH``,
    ``V_WIDTH``, ``FRONT_TO_BACK``, ``COMMENT``, and ``HORIZONTAL`` and ``VERTICAL`` with the
    number of rows of angle and attenuation that follow. A first line without a keyword is the
    name. Other keywords are passed over. Decimals may have a comma.

    Horizontal angles count clockwise from boresight, vertical ones downwards from the horizon.

    Raises
    ------
    InputError
        With the line, and what to do.
    """
    source = read_source(path)
    values: dict[str, tuple[int, str]] = {}
    comments: list[str] = []
    cuts: dict[str, Cut] = {}
    lines = iter(enumerate(source.lines, start=1))
    first = True
    for line, text in lines:
        key, _, rest = text.strip(" \t\f\x1a").partition(" ")
        if "\t" in key:
            key, _, rest = text.strip().partition("\t")
        if not key:
            continue
        key, rest = key.upper().rstrip(":="), rest.strip()
        if number(key) is not None:
            raise source.fault(
                line,
                f"{shown(text.strip())} stands outside a cut; put HORIZONTAL or VERTICAL and the "
                "number of rows before them",
            )
        if key in _CUTS:
            if key in cuts:
                raise source.fault(line, f"{key} is there twice; remove one")
            cuts[key] = _cut(source, key, line, rest, lines)
        elif key == "COMMENT" or key == "COMMENTS":
            comments.append(rest)
        elif first and not _is_keyword(key):
            values["NAME"] = line, text.strip()
        else:
            values.setdefault(key, (line, rest))
        first = False
    missing = [f"the {key} section" for key in _CUTS if key not in cuts]
    missing += ["GAIN"] if "GAIN" not in values else []
    if missing:
        raise source.fault(len(source.lines), f"the file ends without {' and '.join(missing)}")
    line, text = values["GAIN"]
    polarization, remarks = _polarization(values)
    return CutPattern(
        _gain_dbi(source, line, text),
        cuts["HORIZONTAL"],
        cuts["VERTICAL"],
        name=values.get("NAME", (0, ""))[1],
        make=values.get("MAKE", (0, ""))[1],
        frequency_mhz=_frequencies(source, *values.get("FREQUENCY", (0, ""))),
        electrical_tilt_deg=_tilt(source, values),
        polarization=polarization,
        horizontal_width_deg=_optional(source, values, "H_WIDTH"),
        vertical_width_deg=_optional(source, values, "V_WIDTH"),
        front_to_back_db=_optional(source, values, "FRONT_TO_BACK"),
        comments=tuple(comments),
        remarks=remarks,
    )


def _is_keyword(key: str) -> bool:
    return key in {
        "NAME", "MAKE", "FREQUENCY", "GAIN", "TILT", "ELECTRICAL_TILT", "H_WIDTH", "V_WIDTH",
        "FRONT_TO_BACK", "POLARIZATION", "POLARISATION", "PORT", "PROTOCOL", "SCALING",
    }  # fmt: skip


def _cut(source: Source, key: str, line: int, rest: str, lines: Iterator[tuple[int, str]]) -> Cut:
    """The rows of a cut, as many as its keyword says."""
    try:
        count = int(rest.split()[0])
    except (ValueError, IndexError):
        raise source.fault(
            line, f"{key} needs its number of rows, as in {key} 360; found {shown(rest)}"
        ) from None
    if not 4 <= count <= 36_000:
        raise source.fault(line, f"{key} {count}: must lie in 4..36000 rows")
    rows: list[Row] = []
    while len(rows) < count:
        row_line, text = next(lines, (len(source.lines) + 1, None))
        if text is not None and not text.strip(" \t\f\x1a"):
            continue
        parts = (text or "").split()
        if text is None or (number(parts[0]) is None and parts[0][:1].isalpha()):
            raise source.fault(
                min(row_line, len(source.lines)),
                f"{key} has {len(rows)} rows where line {line} says {count}"
                + (f" (angle {_next(rows):g} is missing)" if len(rows) > 1 else "")
                + "; add those missing or correct the count",
            )
        if len(parts) != 2:
            raise source.fault(
                row_line, f"{shown(text.strip())} is not an angle and an attenuation; give both"
            )
        rows.append(
            Row(
                row_line,
                source.number(row_line, parts[0], f"{key} angle"),
                source.number(row_line, parts[1], f"{key} attenuation"),
            )
        )
    following = source.lines[rows[-1].line].split() if rows[-1].line < len(source.lines) else []
    if following and number(following[0]) is not None:
        raise source.fault(
            rows[-1].line + 1,
            f"{key} has more rows than the {count} that line {line} says; correct the count",
        )
    return make_cut(source, key, rows)


def _next(rows: list[Row]) -> float:
    """The first angle that the rows lack."""
    usual = rows[1].angle_deg - rows[0].angle_deg
    for a, b in pairwise(rows):
        if b.angle_deg - a.angle_deg > 1.5 * usual:
            return a.angle_deg + usual
    return rows[-1].angle_deg + usual


def _gain_dbi(source: Source, line: int, text: str) -> float:
    match = _GAIN.fullmatch(text)
    value = number(match[1]) if match else None
    unit = (match[2] or "").lower() if match else ""
    if value is None:
        raise source.fault(line, f"GAIN {shown(text)}: give a number and dBi or dBd")
    if value < 0 and unit not in ("dbi", "dbd"):
        raise source.fault(line, f"GAIN {shown(text)} is negative: say dBi or dBd if it is meant")
    return check_gain(source, line, value if unit == "dbi" else round(value + DBD_TO_DBI, 10))


def _frequencies(source: Source, line: int, text: str) -> tuple[float, ...]:
    if not text:
        return ()
    found = [float(n.replace(",", ".")) for n in re.findall(r"\d+(?:[.,]\d+)?", text)]
    scale = 1000.0 if "ghz" in text.lower() else 1.0
    if not found or not all(0.0 < f * scale < 1e6 for f in found):
        raise source.fault(line, f"FREQUENCY {shown(text)}: give MHz, as in 1850 or 1710-2170")
    low, high = min(found) * scale, max(found) * scale
    return (low,) if low == high else (low, high)


def _tilt(source: Source, values: dict[str, tuple[int, str]]) -> float | None:
    for key in ("ELECTRICAL_TILT", "TILT"):
        if key not in values:
            continue
        line, text = values[key]
        words = text.upper().replace("DEG", " ").replace("°", " ").split()
        numbers = [n for n in map(number, words) if n is not None]
        others = {word for word in words if number(word) is None}
        if len(numbers) > 1 or others - _WORDS_OF_TILT:
            raise source.fault(line, f"{key} {shown(text)}: give degrees, or leave it out")
        if numbers and "MECHANICAL" not in others:
            return numbers[0]
    return None


def _polarization(values: dict[str, tuple[int, str]]) -> tuple[str, tuple[str, ...]]:
    """One of those that can be traced, and a remark where the file has another."""
    for key in ("POLARIZATION", "POLARISATION"):
        if key in values:
            text = values[key][1]
            known = _POLARIZATIONS.get(text.upper().replace(" ", ""))
            if known is None:
                return "V", (f"polarization {shown(text)} is traced as vertical",)
            return known, ()
    return "V", ()


def _optional(source: Source, values: dict[str, tuple[int, str]], key: str) -> float | None:
    line, text = values.get(key, (0, ""))
    words = re.split(r"\s|°|deg|dB", text, maxsplit=1, flags=re.IGNORECASE)
    return source.number(line, words[0], key) if text else None


def write_msi(pattern: CutPattern, path: str | Path, *, decimals: int = 3) -> None:
    """Write an MSI Planet file that `read_msi` reads back to the same pattern.

    Parameters
    ----------
    pattern : CutPattern
        Its `remarks` are not written.
    path : str or Path
        UTF-8, with CRLF line ends. Written to a temporary name first and moved when whole.
    decimals : int
        Of attenuations; angles, gain (dBi) and tilt are written as exactly as they are.

    Raises
    ------
    InputError
        If a name or comment has line breaks or spaces around it and could not be read back.
    """
    path = Path(path)
    texts = (pattern.name, pattern.make, *pattern.comments)
    for text in texts:
        if text != text.strip() or (text and not text.isprintable()):
            raise InputError(f"{path}: {shown(text)} can't be written: keep to one line of text")
    if pattern.polarization not in SLANT_DEG:
        raise InputError(f"{path}: polarization {pattern.polarization!r} can't be written")
    lines = [f"NAME {pattern.name}"]
    lines += [f"MAKE {pattern.make}"] if pattern.make else []
    if pattern.frequency_mhz:
        lines.append("FREQUENCY " + "-".join(_exact(f) for f in pattern.frequency_mhz))
    for key, value in (
        ("H_WIDTH", pattern.horizontal_width_deg),
        ("V_WIDTH", pattern.vertical_width_deg),
        ("FRONT_TO_BACK", pattern.front_to_back_db),
    ):
        lines += [f"{key} {_exact(value)}"] if value is not None else []
    lines.append(f"GAIN {_exact(pattern.gain_dbi_max)} dBi")
    if pattern.electrical_tilt_deg is not None:
        lines.append("TILT ELECTRICAL")
        lines.append(f"ELECTRICAL_TILT {_exact(pattern.electrical_tilt_deg)}")
    lines.append(f"POLARIZATION {pattern.polarization}")
    lines += [f"COMMENT {comment}".rstrip() for comment in pattern.comments]
    for key, cut in zip(_CUTS, (pattern.horizontal, pattern.vertical), strict=True):
        lines.append(f"{key} {len(cut.angle_deg)}")
        lines += [
            f"{_exact(angle)} {attenuation:.{decimals}f}"
            for angle, attenuation in zip(cut.angle_deg, cut.attenuation_db, strict=True)
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(("\r\n".join(lines) + "\r\n").encode())
    part.replace(path)


def _exact(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
