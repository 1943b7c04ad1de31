"""Sectors as a planner edits them: placed and moved on a map, or typed into a table."""

from __future__ import annotations

import csv
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from pipelines.desk.draft import Draft
from pipelines.desk.workspace import UPLOADED, Workspace
from pipelines.map import read_rows
from rfplatform.errors import InputError
from rfplatform.geodata.sites import COLUMNS, DEFAULT_FREQUENCY_HZ, SiteRow

TABLE: Mapping[str, tuple[str, float]] = {
    "site": ("site", 1.0),
    "sector": ("sector", 1.0),
    "lon": ("lon", 1.0),
    "lat": ("lat", 1.0),
    "height_m": ("height_m", 1.0),
    "azimuth_deg": ("azimuth_deg", 1.0),
    "downtilt_deg": ("downtilt_deg", 1.0),
    "power_dbm": ("power_dbm", 1.0),
    "frequency_mhz": ("frequency_hz", 1e6),
    "bandwidth_mhz": ("bandwidth_hz", 1e6),
    "antenna": ("antenna", 1.0),
}
"""Columns of the table on the screen: those of a site list, with how many of its units one is."""


def placed(
    draft: Draft,
    lon_deg: float,
    lat_deg: float,
    *,
    azimuths_deg: Sequence[float],
    height_m: float,
    antenna: str,
    downtilt_deg: float = 0.0,
    power_dbm: float = 46.0,
    frequency_hz: float = DEFAULT_FREQUENCY_HZ,
    bandwidth_hz: float = 100e6,
) -> tuple[Draft, str]:
    """The draft with one more site, and that site's name.

    Parameters
    ----------
    draft : Draft
    lon_deg, lat_deg : float
    azimuths_deg : sequence of float
        One for each sector.
    height_m : float
        Above ground, or above the roof.
    antenna : str
    downtilt_deg, power_dbm, frequency_hz, bandwidth_hz : float
    """
    taken = {row.site for row in draft.rows}
    name = next(name for name in map("Site {}".format, count(1)) if name not in taken)
    rows = tuple(
        SiteRow(
            name,
            str(number),
            round(lon_deg, 7),
            round(lat_deg, 7),
            height_m,
            azimuth_deg % 360.0,
            downtilt_deg,
            power_dbm,
            frequency_hz,
            bandwidth_hz,
            antenna,
        )
        for number, azimuth_deg in enumerate(azimuths_deg, start=1)
    )
    return replace(draft, rows=draft.rows + rows), name


def moved(draft: Draft, site: str, lon_deg: float, lat_deg: float) -> Draft:
    """The draft with all sectors of a site at another place."""
    lon_deg, lat_deg = round(lon_deg, 7), round(lat_deg, 7)
    rows = tuple(
        replace(row, lon_deg=lon_deg, lat_deg=lat_deg) if row.site == site else row
        for row in draft.rows
    )
    return replace(draft, rows=rows)


def without(draft: Draft, site: str) -> Draft:
    """The draft without a site."""
    return replace(draft, rows=tuple(row for row in draft.rows if row.site != site))


def without_lines(rows: Sequence[SiteRow]) -> tuple[SiteRow, ...]:
    """Rows that have forgotten which line of a file they were."""
    return tuple(replace(row, row=0) for row in rows)


def as_table(rows: Sequence[SiteRow]) -> list[dict[str, Any]]:
    """Rows of the table on the screen, with the columns of `TABLE`."""
    fields = {"lon": "lon_deg", "lat": "lat_deg"}
    return [
        {
            name: value / scale if scale != 1.0 else value
            for name, (column, scale) in TABLE.items()
            for value in (getattr(row, fields.get(column, column)),)
        }
        for row in rows
    ]


def from_table(workspace: Workspace, table: Sequence[Mapping[str, Any]]) -> tuple[SiteRow, ...]:
    """The rows of an edited table, checked as a site list is.

    Parameters
    ----------
    workspace : Workspace
    table : sequence of mapping
        With the columns of `TABLE`; None, NaN and "" are empty cells. Rows without any cell are
        left out.

    Raises
    ------
    InputError
        Everything that is wrong, with its row as it is counted on the screen.
    """
    filled = [row for row in table if any(not _is_empty(value) for value in row.values())]
    if not filled:
        return ()
    antennas = {
        workspace.resolved(text): text
        for row in filled
        for text in (str(row.get("antenna") or ""),)
        if text.startswith(UPLOADED)
    }
    shown = {text: path for path, text in antennas.items()}
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        path = Path(folder) / "sectors.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in filled:
                cells = {
                    column: _cell(row.get(name), scale) for name, (column, scale) in TABLE.items()
                }
                cells["antenna"] = shown.get(cells["antenna"], cells["antenna"])
                writer.writerow(cells[column] for column in COLUMNS)
        try:
            rows = read_rows(path, DEFAULT_FREQUENCY_HZ)
        except InputError as error:
            raise InputError(_as_on_screen(str(error), path, antennas)) from error
    named = (replace(row, antenna=antennas.get(row.antenna, row.antenna)) for row in rows)
    return without_lines(tuple(named))


def _as_on_screen(text: str, path: Path, antennas: Mapping[str, str]) -> str:
    """An error of the reader, without the file that the user never saw; its rows count a header."""
    told = text.removeprefix(f"{path}: ")
    for stored, shown in antennas.items():
        told = told.replace(stored, shown)
    return re.sub(r"row (\d+)", lambda found: f"row {int(found[1]) - 1}", told)


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _cell(value: object, scale: float) -> str:
    if _is_empty(value):
        return ""
    if scale != 1.0 and isinstance(value, int | float):
        return repr(float(value) * scale)
    return str(value).strip()
