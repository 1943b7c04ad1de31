"""Site lists: the CSV of a planner, checked row by row, and its sectors placed in a scene."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rfplatform.errors import InputError
from rfplatform.radiomap import Sector
from rfplatform.scene import Area, LocalArea, Scene

if TYPE_CHECKING:
    from rfplatform.frame import Frame
    from rfplatform.units import FloatArray

COLUMNS: tuple[str, ...] = (
    "site",
    "sector",
    "lon",
    "lat",
    "height_m",
    "azimuth_deg",
    "downtilt_deg",
    "power_dbm",
    "frequency_hz",
    "bandwidth_hz",
    "antenna",
)
"""The columns of a site list; all must be in the header, in any order."""

LOCAL_COLUMNS: Mapping[str, str] = {"x_m": "lon", "y_m": "lat"}
"""What stands in place of ``lon`` and ``lat`` for a scene in local metres."""

DEFAULT_FREQUENCY_HZ = 3.5e9
DEFAULT_POWER_DBM = 43.0
DEFAULT_BANDWIDTH_HZ = 20e6
DEFAULT_ANTENNA = "isotropic"

MAX_LISTED = 5
"""Faults that one message lists before it says how many more there are."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


@dataclass(frozen=True)
class SiteRow:
    """One row of a site list: a sector as the planner wrote it, before it has a scene.

    Attributes
    ----------
    site, sector : str
        The site's name, and the sector's within it; "site/sector" is unique in a list.
    lon_deg, lat_deg : float
        WGS 84; NaN for a site in local metres.
    height_m : float
        Above ground, or above the roof where the point lies on a building.
    azimuth_deg : float
        Boresight clockwise from true north, 0 <= azimuth < 360.
    downtilt_deg : float
        Boresight below the horizon, positive downwards.
    power_dbm : float
        Power into the antenna, over the whole bandwidth.
    frequency_hz, bandwidth_hz : float
        Carrier and bandwidth.
    antenna : str
        A name of the antenna catalog, one with parameters, or the absolute path of a pattern file.
    row : int
        The line of the file that it came from, counted from 1; 0 for a site that was given as
        an option.
    local_m : tuple of float, optional
        x and y in the local metres of a scene made elsewhere, in place of `lon_deg`, `lat_deg`.
    """

    site: str
    sector: str
    lon_deg: float
    lat_deg: float
    height_m: float
    azimuth_deg: float = 0.0
    downtilt_deg: float = 0.0
    power_dbm: float = DEFAULT_POWER_DBM
    frequency_hz: float = DEFAULT_FREQUENCY_HZ
    bandwidth_hz: float = DEFAULT_BANDWIDTH_HZ
    antenna: str = DEFAULT_ANTENNA
    row: int = 0
    local_m: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """Unique name: "site/sector"."""
        return f"{self.site}/{self.sector}"


@dataclass(frozen=True)
class _Range:
    """What a number may be, and what to say when it is not."""

    low: float
    high: float
    rule: str

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


# The smallest positive number makes "greater than 0" a closed range.
_POSITIVE = math.ulp(0.0)
_FINITE = _Range(-math.inf, math.inf, "")
_RANGES: Mapping[str, _Range] = {
    "lon": _Range(-180.0, 180.0, "must lie in -180..180"),
    "lat": _Range(-90.0, 90.0, "must lie in -90..90"),
    "x_m": _Range(-1e6, 1e6, "must lie in -1e6..1e6 m"),
    "y_m": _Range(-1e6, 1e6, "must lie in -1e6..1e6 m"),
    "height_m": _Range(_POSITIVE, 10_000.0, "must be positive, 10000 m at most"),
    "azimuth_deg": _FINITE,
    "downtilt_deg": _Range(-90.0, 90.0, "must lie in -90..90"),
    "power_dbm": _Range(-100.0, 150.0, "must lie in -100..150 dBm"),
    "frequency_hz": _Range(30e6, 1e12, "must lie in 30e6..1e12 Hz (is it in MHz or GHz?)"),
    "bandwidth_hz": _Range(1e3, 1e12, "must be 1e3 Hz or more (is it in MHz?)"),
}
_REQUIRED_CELLS = ("site", "sector", "lon", "lat", "height_m")


def read_sites(
    path: str | Path,
    *,
    frequency_hz: float = DEFAULT_FREQUENCY_HZ,
    known_antennas: Collection[str] | None = None,
    resolve_antenna: Callable[[str], str | None] | None = None,
    area: Area | None = None,
) -> tuple[SiteRow, ...]:
    """Read a site list, or say in one line everything that is wrong with it.

    The header must name all of `COLUMNS`, in any order and any case; other columns are ignored.
    For a scene in local metres, ``x_m`` and ``y_m`` stand in place of ``lon`` and ``lat``.
    A column that is left out is an error rather than a default, because a misspelt
    ``downtilt_deg`` would otherwise become 0 degrees unnoticed. Instead, a *cell* may be empty:
    ``azimuth_deg`` and ``downtilt_deg`` then are 0, ``power_dbm`` 43, ``frequency_hz`` is
    `frequency_hz`, ``bandwidth_hz`` 20e6 and ``antenna`` ``isotropic``. The cells of ``site``,
    ``sector``, ``lon``, ``lat`` and ``height_m`` may not be empty.

    The file is UTF-8, with or without a byte order mark, with any line ends. Blank lines and
    lines that start with ``#`` are skipped. Cells are separated by commas, semicolons or tabs
    (whichever makes the header whole). With semicolons or tabs a decimal comma is read, unless
    the file also writes numbers with a decimal point: then a comma could be either, and is
    refused.

    Parameters
    ----------
    path : str or Path
        The CSV file.
    frequency_hz : float
        Carrier of rows whose cell is empty.
    known_antennas : collection of str, optional
        The names that ``antenna`` may have. None: any name.
    resolve_antenna : callable, optional
        Tells what else ``antenna`` may be (a file, a name with parameters): the text for
        `SiteRow.antenna`, None for what it doesn't know, or an `InputError`, which becomes a
        fault of the row.
    area : Area, optional
        Where the sites should lie, to notice coordinates that are swapped.

    Returns
    -------
    tuple of SiteRow
        In the file's order, at least one; azimuths are reduced to 0 <= azimuth < 360.

    Raises
    ------
    InputError
        The file can't be read, has no rows, lacks columns (all named), or has bad values: each
        with its row, which is the line in the file, the first `MAX_LISTED` of them.
    """
    path = Path(path)
    _check_frequency(frequency_hz)
    table = _Table.parse(_read_text(path), str(path))
    reader = _RowReader(table, frequency_hz, known_antennas, area, resolve_antenna)
    rows = [row for line, cells in table.rows if (row := reader.read(line, cells))]
    faults = [*table.faults, *reader.faults]
    if faults:
        raise InputError(f"{path}: {_listed(sorted(faults, key=lambda fault: fault[0]))}")
    if not rows:
        raise InputError(f"{path}: no sectors below the header; add a row for each")
    return tuple(rows)


def parse_site_option(
    text: str,
    *,
    number: int = 1,
    frequency_hz: float = DEFAULT_FREQUENCY_HZ,
    local: bool = False,
) -> SiteRow:
    """Read one site from a command line: ``LON,LAT,HEIGHT[,AZIMUTH]``.

    Without an azimuth the antenna is isotropic; with one it is the element pattern of 3GPP
    TR 38.901 ("tr38901"), which has a direction to point.

    Parameters
    ----------
    text : str
        Degrees, degrees, metres (above ground or roof) and degrees from true north.
    number : int
        Names the site "site {number}", where several are given. Its sector is "1".
    frequency_hz : float
        Carrier.
    local : bool
        Read ``X,Y,HEIGHT[,AZIMUTH]`` instead, for a scene in local metres.

    Raises
    ------
    InputError
        If there are not three or four numbers, or one is out of range.
    """
    _check_frequency(frequency_hz)
    parts = [part.strip() for part in text.split(",")]
    form = "X,Y,HEIGHT[,AZIMUTH] in local metres" if local else "LON,LAT,HEIGHT[,AZIMUTH]"
    if len(parts) not in (3, 4):
        raise InputError(f"site {text!r}: expected {form} (3 or 4 numbers), got {len(parts)}")
    names = (*(("x_m", "y_m") if local else ("lon", "lat")), "height_m", "azimuth_deg")
    values: dict[str, float] = {}
    faults: list[str] = []
    for name, part in zip(names, parts, strict=False):
        value = _number(name, part, decimal_comma=False)
        if isinstance(value, str):
            faults.append(value)
        else:
            values[name] = value
    faults = [fault + _out_of_range_hint(fault, values) for fault in faults]
    if faults:
        raise InputError(f"site {text!r}: {'; '.join(faults)} ({form})")
    return SiteRow(
        site=f"site {number}",
        sector="1",
        lon_deg=values.get("lon", math.nan),
        lat_deg=values.get("lat", math.nan),
        height_m=values["height_m"],
        azimuth_deg=_wrap_azimuth(values.get("azimuth_deg", 0.0)),
        frequency_hz=frequency_hz,
        antenna="tr38901" if "azimuth_deg" in values else DEFAULT_ANTENNA,
        local_m=(values["x_m"], values["y_m"]) if local else None,
    )


def write_sites(rows: Sequence[SiteRow], path: str | Path) -> None:
    """Write a site list that `read_sites` reads back to the same rows (but for `SiteRow.row`).

    Numbers are written with as many digits as they need to come back exactly.

    Parameters
    ----------
    rows : sequence of SiteRow
    path : str or Path
        Written to a temporary name first and moved when whole.

    Raises
    ------
    InputError
        If a name could not be read back: empty, not printable, or with spaces around it.
    """
    path = Path(path)
    try:
        text = sites_csv(rows)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="")
    part.replace(path)


def sites_csv(rows: Sequence[SiteRow]) -> str:
    """The text of a site list, see `write_sites`.

    Parameters
    ----------
    rows : sequence of SiteRow

    Raises
    ------
    InputError
        If a name could not be read back: empty, not printable, or with spaces around it.
    """
    local = any(row.local_m is not None for row in rows)
    if local and any(row.local_m is None for row in rows):
        raise InputError("can't hold sites in degrees beside sites in local metres")
    for row in rows:
        for name, value in (("site", row.site), ("sector", row.sector), ("antenna", row.antenna)):
            if not value or value != value.strip() or not value.isprintable():
                raise InputError(f"{name} {value!r} can't be written as a name")
    # A first cell that starts with # would read back as a comment unless it is quoted.
    quote_all = any(row.site.startswith("#") for row in rows)
    buffer = io.StringIO()
    writer = csv.writer(
        buffer,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
    )
    names = {degrees: metres for metres, degrees in LOCAL_COLUMNS.items()} if local else {}
    writer.writerow(names.get(column, column) for column in COLUMNS)
    for row in rows:
        numbers = (
            *(row.local_m or (row.lon_deg, row.lat_deg)),
            row.height_m,
            row.azimuth_deg,
            row.downtilt_deg,
            row.power_dbm,
            row.frequency_hz,
            row.bandwidth_hz,
        )
        written = (repr(float(number)).removesuffix(".0") for number in numbers)
        writer.writerow((row.site, row.sector, *written, row.antenna))
    return buffer.getvalue()


def place_sectors(rows: Sequence[SiteRow], scene: Scene) -> tuple[Sector, ...]:
    """Put a site list into a scene's local metres.

    A height is above ground, or above the roof where the point lies on a building: then above
    the highest top among all the footprints that contain the point, parts that hang included.
    `Sector.mount` says which it was. Azimuths are turned from true to grid north, which differ by
    the meridian convergence of the UTM zone (up to a few degrees).

    Parameters
    ----------
    rows : sequence of SiteRow
    scene : Scene

    Returns
    -------
    tuple of Sector
        In the order of `rows`.

    Raises
    ------
    InputError
        Sites outside the scene's area, each with its row and position; sectors named twice.
    """
    _check_frame(rows, scene)
    require_inside(rows, scene)
    labels = [row.label for row in rows]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"sector {twice[0]!r} is given {labels.count(twice[0])} times")
    if not rows:
        return ()
    positions = [_position_m(row, scene.frame) for row in rows]
    x_m, y_m = np.array([x for x, _ in positions]), np.array([y for _, y in positions])
    top_m = _roof_tops_m(x_m, y_m, scene)
    ground_m = scene.ground_m(x_m, y_m)
    turn_deg = scene.frame.true_north_deg(x_m, y_m)
    return tuple(
        Sector(
            site=row.site,
            name=row.sector,
            x_m=float(x_m[i]),
            y_m=float(y_m[i]),
            z_m=row.height_m + float(top_m[i] if np.isfinite(top_m[i]) else ground_m[i]),
            azimuth_deg=_wrap_azimuth(row.azimuth_deg + float(turn_deg[i])),
            downtilt_deg=row.downtilt_deg,
            power_dbm=row.power_dbm,
            frequency_hz=row.frequency_hz,
            bandwidth_hz=row.bandwidth_hz,
            antenna=row.antenna,
            mount="roof" if np.isfinite(top_m[i]) else "ground",
            ground_m=float(ground_m[i]),
        )
        for i, row in enumerate(rows)
    )


def _roof_tops_m(x_m: FloatArray, y_m: FloatArray, scene: Scene) -> FloatArray:
    """Highest top over each point, as z, [num_points]; -inf where no footprint contains it."""
    import shapely

    if scene.solids is not None:
        return np.nan_to_num(scene.solids.top_m(x_m, y_m), nan=-np.inf)
    top_m = np.full(len(x_m), -np.inf)
    tree = shapely.STRtree([building.footprint for building in scene.buildings])
    # "intersects" rather than "within": a mast on the very edge of a roof stands on it.
    points, buildings = tree.query(shapely.points(x_m, y_m), predicate="intersects")
    tops_m = np.array([building.top_z_m for building in scene.buildings], dtype=float)
    np.maximum.at(top_m, points, tops_m[buildings])
    return top_m


def _position_m(row: SiteRow, frame: Frame) -> tuple[float, float]:
    if row.local_m is not None:
        return row.local_m
    x_m, y_m = frame.from_lonlat(row.lon_deg, row.lat_deg)
    return float(x_m), float(y_m)


def _check_frame(rows: Sequence[SiteRow], scene: Scene) -> None:
    """Refuse positions that mean nothing in the scene's frame."""
    for row in rows:
        which = f"site {row.site!r}" + (f" (row {row.row})" if row.row else "")
        if row.local_m is None and scene.frame.crs is None:
            raise InputError(
                f"{which}: is given in degrees, and {scene.area.name} is in local metres without "
                "a CRS: place the scene with --origin LON,LAT, or give x_m,y_m in place of lon,lat"
            )
        if row.local_m is not None and scene.solids is None:
            raise InputError(
                f"{which}: x_m,y_m are for scenes made elsewhere; give lon,lat in degrees"
            )


def require_inside(rows: Sequence[SiteRow], scene: Scene) -> None:
    """Refuse sites outside a scene's area, each with its row and position."""
    area = scene.area
    outside = [row for row in rows if not _is_inside(row, scene)]
    if not outside:
        return
    sites = [
        f"site {row.site!r} sector {row.sector!r}"
        + (f" (row {row.row})" if row.row else "")
        + _where(row, area)
        for row in outside[:MAX_LISTED]
    ]
    if len(outside) > MAX_LISTED:
        sites.append(f"and {len(outside) - MAX_LISTED} more")
    on_earth = isinstance(area, Area)
    limits = area.bounds_deg if isinstance(area, Area) else area.bounds_m(scene.frame)
    bounds = ",".join(f"{bound:.6g}" for bound in limits) + ("" if on_earth else " m")
    raise InputError(
        f"{'; '.join(sites)}: outside the area {area.name} (W,S,E,N = {bounds}); "
        "move the site or widen the area"
    )


def _is_inside(row: SiteRow, scene: Scene) -> bool:
    area = scene.area
    if row.local_m is None:
        return isinstance(area, Area) and area.contains(row.lon_deg, row.lat_deg)
    if isinstance(area, LocalArea):
        return area.contains_m(*row.local_m)
    lon_deg, lat_deg = scene.frame.to_lonlat(*row.local_m)
    return area.contains(float(lon_deg), float(lat_deg))


def _where(row: SiteRow, area: Area | LocalArea) -> str:
    if row.local_m is not None:
        return f" at x {row.local_m[0]:.6g} m, y {row.local_m[1]:.6g} m"
    hint = _swap_hint(row.lon_deg, row.lat_deg, area) if isinstance(area, Area) else ""
    return f" at lon {row.lon_deg:.6g}, lat {row.lat_deg:.6g}{hint}"


def _swap_hint(lon_deg: float, lat_deg: float, area: Area) -> str:
    inside_when_swapped = area.contains(lat_deg, lon_deg) and not area.contains(lon_deg, lat_deg)
    return " (lon and lat look swapped)" if inside_when_swapped else ""


def _out_of_range_hint(fault: str, values: Mapping[str, float]) -> str:
    """A latitude beyond the poles beside a longitude that could be one was swapped."""
    if fault.startswith("lat ") and "-90..90" in fault and abs(values.get("lon", 180.0)) <= 90.0:
        return " (are lon and lat swapped?)"
    return ""


def _wrap_azimuth(azimuth_deg: float) -> float:
    wrapped = azimuth_deg % 360.0
    # A tiny negative angle rounds up to 360 itself.
    return 0.0 if wrapped == 360.0 else wrapped


def _number(name: str, text: str, *, decimal_comma: bool) -> float | str:
    """The number in a cell, or what is wrong with it."""
    shown = f"{name} {_shown(text)}"
    if _NOT_FINITE.fullmatch(text):
        return f"{shown} must be a finite number"
    if decimal_comma:
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return f"{shown} is not a number" + (" (write a decimal point)" if "," in text else "")
    value = float(text)
    if not math.isfinite(value):
        return f"{shown} must be a finite number"
    if not _RANGES[name].holds(value):
        return f"{shown} {_RANGES[name].rule}"
    return value


def _shown(text: str) -> str:
    """The text in quotes, on one line and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _check_frequency(frequency_hz: float) -> None:
    # NaN fails every comparison, so it is caught too.
    if not _RANGES["frequency_hz"].holds(frequency_hz):
        raise InputError(f"frequency {frequency_hz:g} Hz: {_RANGES['frequency_hz'].rule}")


def _listed(faults: Sequence[tuple[int, str]]) -> str:
    listed = [f"row {line}: {fault}" for line, fault in faults[:MAX_LISTED]]
    if len(faults) > MAX_LISTED:
        listed.append(f"and {len(faults) - MAX_LISTED} more")
    return "; ".join(listed)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save it as 'CSV UTF-8'") from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a null character.
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: can't be read: {reason}") from None


@dataclass(frozen=True)
class _Table:
    """A site list as text cells: the line number of each row, and its cells by column."""

    rows: tuple[tuple[int, Mapping[str, str]], ...]
    faults: tuple[tuple[int, str], ...]
    decimal_comma: bool

    @classmethod
    def parse(cls, text: str, name: str) -> _Table:
        lines = [
            (number, line)
            for number, line in enumerate(
                text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1
            )
            if line.strip() and not line.lstrip().startswith("#")
        ]
        if not lines:
            raise InputError(f"{name}: empty; the first row must be {','.join(COLUMNS)}")
        header, delimiter = _header(lines[0][1], lines[0][0], name)
        rows: list[tuple[int, Mapping[str, str]]] = []
        faults: list[tuple[int, str]] = []
        for number, line in lines[1:]:
            try:
                cells = _cells(line, delimiter)
            except csv.Error as error:
                faults.append((number, f"unreadable: {_csv_reason(error)}"))
                continue
            if not any(cells):
                continue
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            if len(cells) != len(header):
                hint = " (decimal commas need ; between cells)" if len(cells) > len(header) else ""
                faults.append(
                    (number, f"{len(cells)} cells where the header has {len(header)}{hint}")
                )
                continue
            rows.append((number, dict(zip(header, cells, strict=True))))
        numeric = [cells[column] for _, cells in rows for column in _RANGES if column in cells]
        decimal_comma = delimiter != "," and not any("." in cell for cell in numeric)
        return cls(tuple(rows), tuple(faults), decimal_comma)


def _cells(line: str, delimiter: str) -> list[str]:
    # Line by line, so that a row's number is its line in the file and a quote that was never
    # closed spoils its own row only.
    row = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    return [cell.strip() for cell in row]


def _csv_reason(error: csv.Error) -> str:
    # The csv module quotes the delimiter as it is, and a tab would not show.
    return str(error).replace("\t", "tab")


def _header(line: str, number: int, name: str) -> tuple[list[str], str]:
    """The columns' names in lower case, and the delimiter under which most are known."""
    headers: list[tuple[list[str], str]] = []
    unreadable = ""
    for candidate in (",", ";", "\t"):
        try:
            headers.append(([cell.casefold() for cell in _cells(line, candidate)], candidate))
        except csv.Error as error:
            # Quoted names are malformed under the wrong delimiter, and only there.
            unreadable = _csv_reason(error)
    if not headers:
        raise InputError(f"{name}: row {number}: unreadable header: {unreadable}")
    header, delimiter = max(headers, key=lambda found: len(set(found[0]) & set(COLUMNS)))
    local = [place for place in LOCAL_COLUMNS if place in header]
    replaced = {LOCAL_COLUMNS[place] for place in local}
    missing = [column for column in COLUMNS if column not in header and column not in replaced]
    if local and replaced & set(header):
        raise InputError(
            f"{name}: row {number}: the header has {', '.join(local)} beside "
            f"{', '.join(sorted(replaced & set(header)))}: give lon,lat in degrees or x_m,y_m in "
            "local metres"
        )
    if missing:
        others = [c for c in header if c and c not in COLUMNS and c not in LOCAL_COLUMNS]
        found = f"; found {', '.join(_shown(other) for other in others[:8])}" if others else ""
        raise InputError(
            f"{name}: row {number}: the header lacks {', '.join(missing)}{found}; it must be "
            f"{','.join(COLUMNS)}"
        )
    twice = [column for column in (*COLUMNS, *LOCAL_COLUMNS) if header.count(column) > 1]
    if twice:
        raise InputError(f"{name}: row {number}: the header has {', '.join(twice)} twice")
    return header, delimiter


class _RowReader:
    """Reads rows one after the other, and keeps every fault and every name that it has seen."""

    def __init__(
        self,
        table: _Table,
        frequency_hz: float,
        known_antennas: Collection[str] | None,
        area: Area | None,
        resolve_antenna: Callable[[str], str | None] | None,
    ) -> None:
        self.resolve_antenna = resolve_antenna
        self.decimal_comma = table.decimal_comma
        self.known_antennas = known_antennas
        self.area = area
        self.defaults = {
            "azimuth_deg": 0.0,
            "downtilt_deg": 0.0,
            "power_dbm": DEFAULT_POWER_DBM,
            "frequency_hz": frequency_hz,
            "bandwidth_hz": DEFAULT_BANDWIDTH_HZ,
        }
        self.line_of: dict[str, int] = {}
        self.faults: list[tuple[int, str]] = []

    def read(self, line: int, cells: Mapping[str, str]) -> SiteRow | None:
        """The row, or None after its faults were kept."""
        required = [name for name in (*_REQUIRED_CELLS, *LOCAL_COLUMNS) if name in cells]
        faults = [f"{name} is empty" for name in required if not cells[name]]
        values = self._numbers(cells, faults)
        faults += self._name_faults(line, cells)
        antenna = cells["antenna"] or DEFAULT_ANTENNA
        antenna, antenna_faults = self._antenna(antenna)
        faults += antenna_faults
        if self.area is not None and "lon" in values and "lat" in values:
            hint = _swap_hint(values["lon"], values["lat"], self.area)
            if hint:
                faults.append(f"lon {values['lon']:.6g}, lat {values['lat']:.6g}:{hint}")
        if faults:
            self.faults += [(line, fault) for fault in faults]
            return None
        return SiteRow(
            site=cells["site"],
            sector=cells["sector"],
            lon_deg=values.get("lon", math.nan),
            lat_deg=values.get("lat", math.nan),
            height_m=values["height_m"],
            azimuth_deg=_wrap_azimuth(values["azimuth_deg"]),
            downtilt_deg=values["downtilt_deg"],
            power_dbm=values["power_dbm"],
            frequency_hz=values["frequency_hz"],
            bandwidth_hz=values["bandwidth_hz"],
            antenna=antenna,
            row=line,
            local_m=(values["x_m"], values["y_m"]) if "x_m" in values else None,
        )

    def _antenna(self, antenna: str) -> tuple[str, list[str]]:
        """What `SiteRow.antenna` is to be, and what is wrong with the cell."""
        plain = self.known_antennas is not None and antenna in self.known_antennas
        if self.resolve_antenna is not None and not plain:
            try:
                found = self.resolve_antenna(antenna)
            except InputError as error:
                return antenna, [str(error)]
            if found is not None:
                return found, []
        return antenna, _antenna_faults(antenna, self.known_antennas)

    def _numbers(self, cells: Mapping[str, str], faults: list[str]) -> dict[str, float]:
        values = dict(self.defaults)
        bad: list[str] = []
        for name in _RANGES:
            if not cells.get(name):
                continue
            value = _number(name, cells[name], decimal_comma=self.decimal_comma)
            if isinstance(value, str):
                bad.append(value)
            else:
                values[name] = value
        faults += [fault + _out_of_range_hint(fault, values) for fault in bad]
        if not bad and values["bandwidth_hz"] >= 2.0 * values["frequency_hz"]:
            faults.append(
                f"bandwidth_hz {values['bandwidth_hz']:.6g} reaches below 0 Hz at a carrier of "
                f"{values['frequency_hz']:.6g} Hz"
            )
        return values

    def _name_faults(self, line: int, cells: Mapping[str, str]) -> list[str]:
        faults = [
            f"{name} {_shown(cells[name])} has characters that can't be printed"
            for name in ("site", "sector", "antenna")
            if not cells[name].isprintable()
        ]
        if cells["site"] and cells["sector"]:
            label = f"{cells['site']}/{cells['sector']}"
            first = self.line_of.setdefault(label, line)
            if first != line:
                faults.append(f"sector {_shown(label)} is already in row {first}")
        return faults


def _antenna_faults(antenna: str, known: Collection[str] | None) -> list[str]:
    if known is None or antenna in known:
        return []
    names = {name.casefold(): name for name in sorted(known)}
    near = difflib.get_close_matches(antenna.casefold(), names, n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(names[name] for name in near)}?"
        if near
        else f"known: {', '.join(sorted(known))}"
    )
    return [f"unknown antenna {_shown(antenna)}; {hint}"]
