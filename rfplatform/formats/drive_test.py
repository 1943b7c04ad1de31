"""Drive tests: any table of positions and RSRP as CSV, with its bad rows told one by one."""

from __future__ import annotations

import csv
import gzip
import math
import re
import tomllib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError, unknown_name
from rfplatform.units import FloatArray

RSRP_RANGE_DBM = (-156.0, -31.0)
"""What a device can report: SS-RSRP in NR (3GPP TS 38.133 clause 10.1.6); RSRP in LTE lies within
it (TS 36.133 clause 9.1.4)."""

MAX_LISTED = 5
"""Faults that one message lists before it says how many more there are."""

_SEPARATORS = (",", ";", "\t")
_OTHER_RADIO = re.compile(
    r"\s*(2G|3G|GSM|GPRS|EDGE|CDMA|1xRTT|EV-?DO.*|EHRPD|W-?CDMA|UMTS|TD-?SCDMA|HSD?U?PA\+?.*"
    r"|DC-HSPA.*|WI-?FI)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what.

    Attributes
    ----------
    latitude, longitude : str
        WGS 84, degrees.
    rsrp : str
        dBm.
    cell, device, time, technology : str, optional
        Whose signal, which phone, when, and of which radio: rows of GSM, UMTS and CDMA have no
        RSRP and are left out.
    """

    latitude: str
    longitude: str
    rsrp: str
    cell: str | None = None
    device: str | None = None
    time: str | None = None
    technology: str | None = None


PRESETS: Mapping[str, Columns] = MappingProxyType(
    {
        "geo2sigmap": Columns("latitude", "longitude", "rsrp", "PCI", "device"),
        "gnettrack": Columns(
            "Latitude", "Longitude", "RSRP", "CellID", None, "Timestamp", "NetworkMode"
        ),
        "cellmapper": Columns(
            "latitude", "longitude", "signal", "CID", None, None, technology="type"
        ),
    }
)
"""Mappings by name: the CSV of Geo2SigMap's measurements, of G-NetTrack's logs as the public 4G and
5G data sets of University College Cork have them, and of CellMapper's app."""

AUTO: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "latitude": ("latitude", "lat", "latdeg", "gpslatitude", "gpslat", "y"),
        "longitude": ("longitude", "lon", "lng", "long", "londeg", "gpslongitude", "gpslon", "x"),
        "rsrp": ("rsrp", "rsrpdbm", "ssrsrp", "ssrsrpdbm", "ltersrp", "nrrsrp", "servingrsrp"),
        "cell": ("cell", "sector", "cellname", "pci", "physicalcellid", "cellid", "cid", "eci",
                 "nci", "ecgi", "cgi", "pcell"),
        "device": ("device", "ue", "phone", "deviceid", "devicename", "ueid", "model", "imei"),
        "time": ("time", "timestamp", "datetime", "date", "gpstime"),
        "technology": ("technology", "networkmode", "networktech", "rat", "radio", "tech"),
    }
)  # fmt: skip
"""Names that are found by themselves, in any case and with any spaces, underscores or units in
brackets; the first that is there."""

_REQUIRED = ("latitude", "longitude", "rsrp")


@dataclass(frozen=True)
class Fault:
    """A row that is left out: its line in the file, and why."""

    row: int
    reason: str


@dataclass(frozen=True, eq=False)
class DriveTest:
    """The rows that could be read, in the file's order.

    Attributes
    ----------
    lon_deg, lat_deg : ndarray, [n]
        WGS 84.
    rsrp_dbm : ndarray, [n]
    cell, device : ndarray, [n], str
        "" where the table has none.
    time_s : ndarray, [n]
        Seconds since 1970 (UTC where the table says no zone); NaN where there is none.
    columns : Columns
        Which columns were read.
    rows : int
        Rows of the table, bad ones included.
    faults : tuple of Fault
        Those that were left out.
    """

    lon_deg: FloatArray
    lat_deg: FloatArray
    rsrp_dbm: FloatArray
    cell: npt.NDArray[np.str_]
    device: npt.NDArray[np.str_]
    time_s: FloatArray
    columns: Columns
    rows: int
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.rsrp_dbm)

    def reasons(self) -> dict[str, int]:
        """How many rows were left out for each kind of reason, the most frequent first."""
        return dict(Counter(_kind(fault.reason) for fault in self.faults).most_common())


def read_drive_test(path: str | Path, columns: str | Path | Columns | None = None) -> DriveTest:
    """Read a drive test from a CSV file, plain or gzipped.

    The first line that is not blank and does not start with ``#`` is the header. Cells are
    separated by commas, semicolons or tabs; with semicolons or tabs numbers may have a decimal
    comma. The file is UTF-8 with or without a byte order mark.

    Parameters
    ----------
    path : str or Path
    columns : str, Path or Columns, optional
        A name of `PRESETS`, a TOML file that says which column is what (``latitude = "Lat"``),
        or that itself. None: columns are found by the names of `AUTO`.

    Returns
    -------
    DriveTest
        Rows without a position or an RSRP, with coordinates or levels that can't be, or of
        another radio are left out and told in `faults`.

    Raises
    ------
    InputError
        The file or the mapping can't be read, a column is not there, or no row is good.
    """
    place = Path(path)
    table = table_rows(place)
    try:
        number, header = next(table)
        del number
        mapping = _columns(columns, header, place)
        reader = _Reader(header, mapping)
        for line, cells in table:
            reader.read(line, cells)
    except StopIteration:
        raise InputError(
            f"{place}: empty; its first row must name the columns (latitude, longitude, rsrp)"
        ) from None
    except csv.Error as error:
        raise InputError(f"{place}: not a CSV table ({error})") from error
    return reader.done(place)


def read_columns(path: str | Path) -> Columns:
    """Read a mapping of columns from a TOML file: a line ``latitude = "Lat"`` for each.

    Raises
    ------
    InputError
        The file can't be read, lacks one that is needed, or has a key that is none of `Columns`'.
    """
    place = Path(path)
    try:
        found = tomllib.loads(place.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{place}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{place}: can't be read as TOML: {error}") from error
    known = [field.name for field in fields(Columns)]
    for key, value in found.items():
        if key not in known:
            raise InputError(f"{place}: unknown key {key!r} (known: {', '.join(known)})")
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{place}: {key} must be the name of a column, as a text")
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise InputError(f'{place}: say which column is {missing[0]}, as in {missing[0]} = "..."')
    return Columns(**found)


class _Reader:
    """Rows of cells to columns of numbers."""

    def __init__(self, header: Sequence[str], columns: Columns) -> None:
        self._header = header
        self._columns = columns
        self._index = {
            field.name: header.index(name)
            for field in fields(Columns)
            if (name := getattr(columns, field.name)) is not None
        }
        self._needed = [
            (name, self._index[name], getattr(columns, name))
            for name in ("longitude", "latitude", "rsrp")
        ]
        self._numbers: list[tuple[float, float, float]] = []
        self._texts: dict[str, list[str]] = {name: [] for name in ("cell", "device", "time")}
        self._faults: list[Fault] = []
        self._rows = 0

    def read(self, line: int, cells: Sequence[str]) -> None:
        self._rows += 1
        found = self._checked(cells)
        if isinstance(found, str):
            self._faults.append(Fault(line, found))
            return
        self._numbers.append(found)
        for name, texts in self._texts.items():
            texts.append(cells[self._index[name]].strip() if name in self._index else "")

    def _checked(self, cells: Sequence[str]) -> tuple[float, float, float] | str:
        """Longitude, latitude and level; or what is wrong."""
        if len(cells) < len(self._header):
            return f"too few cells ({len(cells)} where the header has {len(self._header)})"
        if "technology" in self._index:
            radio = cells[self._index["technology"]].strip()
            if _OTHER_RADIO.fullmatch(radio):
                return f"another radio ({_short(radio)}): it has no RSRP"
        values = []
        for name, index, column in self._needed:
            text = cells[index].strip()
            value = _number(text)
            if value is None:
                return f"no {name}" if not text else f"{column} is no number ({_short(text)})"
            values.append(value)
        lon, lat, rsrp = values
        if lon == 0.0 and lat == 0.0:
            return "no fix (position 0, 0)"
        if not -180.0 <= lon <= 180.0:
            return f"longitude out of -180..180 ({lon:g})"
        if not -90.0 <= lat <= 90.0:
            swapped = ": are latitude and longitude swapped?" if abs(lon) <= 90.0 else ""
            return f"latitude out of -90..90 ({lat:g}){swapped}"
        low, high = RSRP_RANGE_DBM
        if not low <= rsrp <= high:
            return f"RSRP out of {low:g}..{high:g} dBm ({rsrp:g})"
        return lon, lat, rsrp

    def done(self, path: Path) -> DriveTest:
        """All that was read.

        Raises
        ------
        InputError
            If no row was good.
        """
        if not self._rows:
            raise InputError(f"{path}: has no rows below its header")
        if not self._numbers:
            listed = "; ".join(f"row {f.row}: {f.reason}" for f in self._faults[:MAX_LISTED])
            more = len(self._faults) - MAX_LISTED
            raise InputError(
                f"{path}: none of {self._rows} rows is good: {listed}"
                + (f"; and {more} more" if more > 0 else "")
            )
        lon, lat, rsrp = np.array(self._numbers, dtype=float).T
        return DriveTest(
            lon,
            lat,
            rsrp,
            np.array(self._texts["cell"], dtype=np.str_),
            np.array(self._texts["device"], dtype=np.str_),
            _times(self._texts["time"]),
            self._columns,
            self._rows,
            tuple(self._faults),
        )


def table_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines of cells with their numbers, the header first; blank ones are skipped.

    Raises
    ------
    InputError
        If the file can't be read.
    """
    text = _text(path)
    lines = text.splitlines()
    start = next((i for i, s in enumerate(lines) if s.strip() and not s.startswith("#")), None)
    if start is None:
        return
    separator = max(_SEPARATORS, key=lambda s: len(next(csv.reader([lines[start]], delimiter=s))))
    reader = csv.reader(lines[start:], delimiter=separator)
    is_header = True
    for cells in reader:
        if any(cell.strip() for cell in cells):
            names = [cell.strip() for cell in cells] if is_header else cells
            yield start + reader.line_num, names
            is_header = False


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as 'CSV UTF-8'") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: can't be read: {reason}") from None


def _columns(wanted: str | Path | Columns | None, header: Sequence[str], path: Path) -> Columns:
    """The mapping, with the names as the header writes them."""
    if wanted is None:
        return _found(header, path)
    if isinstance(wanted, Columns):
        mapping = wanted
    elif str(wanted) in PRESETS:
        mapping = PRESETS[str(wanted)]
    elif str(wanted).lower().endswith(".toml"):
        mapping = read_columns(wanted)
    else:
        raise unknown_name("preset of columns", str(wanted), [*PRESETS, "a file map.toml"])
    lowered = {name.casefold(): name for name in reversed(header)}
    found: dict[str, str] = {}
    for field in fields(Columns):
        name = getattr(mapping, field.name)
        if name is None:
            continue
        actual = name if name in header else lowered.get(name.strip().casefold())
        if actual is not None:
            found[field.name] = actual
        elif field.name in _REQUIRED or isinstance(wanted, Columns) or mapping not in _presets():
            raise InputError(
                f"{path}: has no column {name!r} for {field.name} (it has: {_listed(header)})"
            )
    return Columns(**found)


def _presets() -> list[Columns]:
    return list(PRESETS.values())


def _found(header: Sequence[str], path: Path) -> Columns:
    """The mapping by the header's names alone."""
    plain = {plain_name(name): name for name in reversed(header)}
    found = {
        field: plain[name]
        for field, names in AUTO.items()
        for name in reversed(names)
        if name in plain
    }
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise InputError(
            f"{path}: no column is known as {' or '.join(missing)} (it has: {_listed(header)}): "
            f"say which with --columns, a preset ({', '.join(PRESETS)}) or a file map.toml"
        )
    return Columns(**found)


def plain_name(name: str) -> str:
    """A column's name in lower case, without units, spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[\[(].*?[\])]", "", name.lower()))


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", ".") if "," in text else text)
    except ValueError:
        return None
    # Python reads 1_000 as a number, which no tool writes.
    return value if math.isfinite(value) and "_" not in text else None


def _times(texts: Sequence[str]) -> FloatArray:
    """Seconds since 1970 of times in most forms; NaN for what is none."""
    import pandas as pd

    if not any(texts):
        return np.full(len(texts), np.nan)
    series = pd.Series(texts)
    numbers = pd.to_numeric(series, errors="coerce")
    if numbers.notna().any():
        # Milliseconds since 1970 are a thousand times any likely number of seconds.
        return np.asarray(numbers.where(numbers < 1e11, numbers / 1e3), dtype=float)
    first = next(text for text in texts if text)
    form = "%Y.%m.%d_%H.%M.%S" if re.fullmatch(r"[\d.]+_[\d.]+", first) else None
    times = pd.to_datetime(series, errors="coerce", utc=True, format=form or "mixed")
    since = (times - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    return np.asarray(since, dtype=float)


def _kind(reason: str) -> str:
    """A reason without the value that it quotes."""
    return re.sub(r" \([^()]*\)", "", reason).strip()


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:27] + "...")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
