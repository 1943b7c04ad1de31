"""NSMA and TIA-804-B pattern files: ``.adf``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rfplatform.antennas.cuts import Cut, CutPattern
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

_HORIZONTAL, _VERTICAL = ("AZ", "H"), ("EL", "V")
_COPOLAR = {"V/V": "V", "H/H": "H", "SLR/SLR": "+45", "SLL/SLL": "-45"}
_COMMENTS = ("COMNT", "DESCR")


@dataclass(frozen=True)
class _Section:
    """One PATCUT: which cut, its polarization and frequency, and where it stands."""

    kind: str
    polarization: str
    frequency_mhz: float | None
    line: int
    levels: tuple[tuple[int, float, float], ...]


def read_nsma(path: str | Path) -> CutPattern:
    """Read an NSMA file (NSMA WG16.99.050, "Standard Format for Digitized Antenna Patterns").

    Lines are ``KEYWORD:,value``. Of the cuts, an azimuth (``AZ`` or ``H``) and an elevation one
    (``EL`` or ``V``) of the same co-polarization are taken, those of the frequency that is nearest
    to the middle of the band; cross-polar cuts are passed over. Levels are dBr (relative to the
    gain), or dBi or dBd where ``GUNITS`` says so for the pattern; then the largest level of both
    cuts is the gain. Phases are passed over.

    Azimuths count clockwise from boresight and elevations upwards from the horizon. A file whose
    stated ``ELTILT`` (a downtilt) is found above the horizon counts its elevations downwards; it
    is read so, with a remark.

    Raises
    ------
    InputError
        With the line, and what to do.
    """
    source = read_source(path)
    values: dict[str, tuple[int, str]] = {}
    comments: list[str] = []
    sections: list[_Section] = []
    ended = False
    lines = iter(enumerate(source.lines, start=1))
    for line, text in lines:
        key, value = _field(source, line, text)
        if not key:
            continue
        if key == "ENDFIL":
            ended = True
            break
        if key == "PATCUT":
            sections.append(_section(source, line, value, lines, values))
        elif key.startswith(_COMMENTS):
            comments += [value] if value else []
        else:
            values[key] = line, value
    last = len(source.lines)
    if not ended:
        raise source.fault(last, "the file ends without ENDFIL:,EOF; it may be cut short")
    horizontal, vertical = _chosen(source, sections, _band(source, values))
    line, units = values.get("GUNITS", (0, "DBI/DBR"))
    gain_unit, _, level_unit = units.upper().replace(" ", "").partition("/")
    if gain_unit not in ("DBI", "DBD") or level_unit not in ("DBR", "DBI", "DBD", ""):
        raise source.fault(line, f"GUNITS {shown(units)}: must be DBI/DBR, DBD/DBR or alike")
    line, text = values.get("MDGAIN", (0, ""))
    if not text:
        raise source.fault(last, "MDGAIN is lacking: give the mid-band gain")
    gain = source.number(line, text.split(",")[0], "MDGAIN")
    gain += DBD_TO_DBI if gain_unit == "DBD" else 0.0
    reference = 0.0
    if level_unit in ("DBI", "DBD"):
        reference = max(level for s in (horizontal, vertical) for _, _, level in s.levels)
        gain = reference + (DBD_TO_DBI if level_unit == "DBD" else 0.0)
    gain = check_gain(source, line, round(gain, 10))
    tilt = _first_number(source, values, "ELTILT")
    elevation = _cut(source, vertical, reference)
    down = Cut(*_mirrored(elevation))
    down, remarks = _downwards(down, elevation, tilt)
    if vertical.polarization not in _COPOLAR:
        remarks = (*remarks, f"polarization {vertical.polarization!r} is traced as vertical")
    return CutPattern(
        gain,
        _cut(source, horizontal, reference),
        down,
        name=values.get("MODNUM", (0, ""))[1],
        make=values.get("ANTMAN", (0, ""))[1],
        frequency_mhz=_band(source, values),
        electrical_tilt_deg=tilt,
        polarization=_COPOLAR.get(vertical.polarization, "V"),
        horizontal_width_deg=_first_number(source, values, "AZWIDT"),
        vertical_width_deg=_first_number(source, values, "ELWIDT"),
        front_to_back_db=_first_number(source, values, "FRTOBA"),
        comments=tuple(comments),
        remarks=remarks,
    )


def _field(source: Source, line: int, text: str) -> tuple[str, str]:
    """Keyword and value of a line; empty for a blank one. What follows ``!`` is a remark."""
    text = text.partition("!")[0].strip(" \t\f\x1a")
    if not text:
        return "", ""
    key, colon, value = text.partition(":")
    if not colon:
        hint = "more rows than NUPOIN says" if number(text.split(",")[0]) is not None else ""
        raise source.fault(
            line, f"{shown(text)} is not KEYWORD:,value{f' ({hint})' if hint else ''}; correct it"
        )
    return key.strip().upper(), value.strip().removeprefix(",").strip()


def _section(
    source: Source,
    line: int,
    kind: str,
    lines: Iterator[tuple[int, str]],
    values: dict[str, tuple[int, str]],
) -> _Section:
    """A cut's own fields, and its rows."""
    own: dict[str, tuple[int, str]] = {}
    for row_line, text in lines:
        key, value = _field(source, row_line, text)
        if key in ("PATCUT", "ENDFIL"):
            raise source.fault(row_line, f"the cut of line {line} has no FSTLST and no rows")
        if key:
            own[key] = row_line, value
        if key == "FSTLST":
            break
    count_line, text = own.get("NUPOIN", (line, ""))
    count = source.number(count_line, text, "NUPOIN")
    if count != int(count) or not 4 <= count <= 36_000:
        raise source.fault(count_line, f"NUPOIN {text}: must be a whole number in 4..36000")
    levels: list[tuple[int, float, float]] = []
    while len(levels) < count:
        row_line, row = next(lines, (len(source.lines), "ENDFIL:"))
        row = row.partition("!")[0].strip()
        if not row:
            continue
        if ":" in row:
            raise source.fault(
                row_line,
                f"the cut of line {line} has {len(levels)} rows where NUPOIN says {count:g}; add "
                "those missing or correct the count",
            )
        parts = row.split(",")
        if len(parts) not in (2, 3):
            raise source.fault(row_line, f"{shown(row)} is not angle,level[,phase]; correct it")
        angle, level = (
            source.number(row_line, part, what)
            for part, what in zip(parts, ("angle", "level"), strict=False)
        )
        levels.append((row_line, angle, level))
    line_of_ends, ends = own.get("FSTLST", (line, ""))
    stated = [source.number(line_of_ends, end, "FSTLST") for end in ends.split(",")]
    if (
        len(stated) != 2
        or abs(stated[0] - levels[0][1]) > 1e-6
        or (abs(stated[1] - levels[-1][1]) > 1e-6)
    ):
        raise source.fault(
            line_of_ends,
            f"FSTLST {shown(ends)}, but the rows go from {levels[0][1]:g} to {levels[-1][1]:g}; "
            "correct one",
        )
    _, frequency = own.get("PATFRE", values.get("PATFRE", (0, "")))
    polarization = own.get("POLARI", values.get("POLARI", (0, "V/V")))[1]
    return _Section(
        kind.upper(), polarization.upper().replace(" ", ""), number(frequency), line, tuple(levels)
    )


def _chosen(
    source: Source, sections: list[_Section], band: tuple[float, ...]
) -> tuple[_Section, _Section]:
    """An azimuth and an elevation cut of one co-polarization and frequency."""
    middle = sum(band) / len(band) if band else 0.0
    pairs = [
        (h, v)
        for h in sections
        for v in sections
        if h.kind in _HORIZONTAL
        and v.kind in _VERTICAL
        and (h.polarization, h.frequency_mhz) == (v.polarization, v.frequency_mhz)
        and _is_copolar(h.polarization)
    ]
    if not pairs:
        found = ", ".join(f"{s.kind} {s.polarization} (line {s.line})" for s in sections[:6])
        raise source.fault(
            len(source.lines),
            "no azimuth (AZ) and elevation (EL) cut of one co-polarization and frequency; found "
            + (found or "no cut"),
        )
    return min(pairs, key=lambda pair: abs((pair[0].frequency_mhz or middle) - middle))


def _is_copolar(polarization: str) -> bool:
    sent, _, received = polarization.partition("/")
    return not received or sent == received


def _cut(source: Source, section: _Section, reference: float) -> Cut:
    what = f"{section.kind} cut"
    rows = []
    for line, angle, level in section.levels:
        if level > reference + 1e-9:
            raise source.fault(
                line, f"{what} level {level:g} dB is above the gain; give dB relative to it"
            )
        rows.append(Row(line, angle, abs(reference - level)))
    return make_cut(source, what, rows)


def _mirrored(cut: Cut) -> tuple[tuple[float, ...], tuple[float, ...]]:
    pairs = sorted(
        ((-a) % 360.0, d) for a, d in zip(cut.angle_deg, cut.attenuation_db, strict=True)
    )
    return tuple(a for a, _ in pairs), tuple(d for _, d in pairs)


def _downwards(down: Cut, elevation: Cut, tilt: float | None) -> tuple[Cut, tuple[str, ...]]:
    """The vertical cut with angles downwards, whichever way the file counts them."""
    peak_deg = (down.angle_deg[int(np.argmin(down.attenuation_db))] + 180.0) % 360.0 - 180.0
    if tilt is not None and tilt >= 1.0 and abs(peak_deg + tilt) <= min(1.5, 0.5 * tilt):
        return elevation, (
            f"elevations count downwards: the main lobe lies at +{-peak_deg:g} degrees and the "
            f"stated downtilt is {tilt:g}",
        )
    return down, ()


def _band(source: Source, values: dict[str, tuple[int, str]]) -> tuple[float, ...]:
    ends = [_first_number(source, values, key) for key in ("LOWFRQ", "HGHFRQ")]
    found = sorted({end for end in ends if end})
    return tuple(found)


def _first_number(source: Source, values: dict[str, tuple[int, str]], key: str) -> float | None:
    """A field's nominal value; a tolerance may follow it."""
    line, text = values.get(key, (0, ""))
    first = text.split(",")[0].strip()
    return source.number(line, first, key) if first else None
