"""What stands in a jobs file: CSV, Parquet or TOML, lists expanded."""

from __future__ import annotations

import csv
import io
import itertools
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.batch.columns import SEPARATORS, plain_name, resolved, shortened
from pipelines.batch.faults import Faults

MOST_JOBS = 1_000_000
"""More are a mistake in a product of lists."""


@dataclass(frozen=True)
class _Cell:
    """A value as it stands in the file, under the name that it has there."""

    name: str
    inverted: bool
    raw: Any


@dataclass(frozen=True)
class Row:
    """A job as it stands in the file.

    `index` holds, for every field that a list was expanded of, which of its values this is.
    """

    where: str
    cells: Mapping[str, _Cell]
    index: Mapping[str, int] = field(default_factory=dict)


def read_table(path: Path, faults: Faults) -> tuple[str, list[Row]]:
    """What a job is called in a file, and the jobs."""
    readers: Mapping[str, tuple[str, Callable[[Path, Faults], list[Row]]]] = {
        ".csv": ("rows", _read_csv),
        ".parquet": ("rows", _read_parquet),
        ".toml": ("jobs", _read_toml),
    }
    known = readers.get(path.suffix.lower())
    if known is None:
        faults.add("", f"a jobs file ends in {', '.join(readers)}")
        return "", []
    noun, reader = known
    try:
        return noun, reader(path, faults)
    except FileNotFoundError:
        faults.add("", "no such file")
    except UnicodeDecodeError:
        faults.add("", "not UTF-8 text; save it as 'CSV UTF-8'")
    except OSError as error:
        faults.add("", f"can't be read: {error.strerror or error}")
    except (ValueError, csv.Error) as error:
        faults.add("", f"can't be read: {' '.join(str(error).split())}")
    return noun, []


def _read_csv(path: Path, faults: Faults) -> list[Row]:
    text = path.read_bytes().decode("utf-8-sig")
    lines = list(_lines(text, _delimiter(text)))
    if not lines:
        faults.add("", "empty; the first row names the columns, such as area,sites,frequency")
        return []
    header = [name.strip() for name in lines[0][1]]
    while header and not header[-1]:
        header.pop()
    columns = resolved(header, "", faults)
    rows = []
    for number, texts in lines[1:]:
        where = f"row {number}"
        while len(texts) > len(header) and not texts[-1].strip():
            texts.pop()
        if len(texts) != len(header):
            hint = "; quote a cell that holds a comma" if len(texts) > len(header) else ""
            faults.add(where, f"{len(texts)} cells where the header has {len(header)}{hint}")
            continue
        rows.append(_row(where, dict(zip(header, texts, strict=True)), columns))
    return rows


def _delimiter(text: str) -> str:
    """The one that makes a column "area" of the header."""
    header = next((line for line in text.splitlines() if _is_content(line)), "")
    for delimiter in (",", ";", "\t"):
        if "area" in (plain_name(name.strip(' "')) for name in header.split(delimiter)):
            return delimiter
    return ","


def _is_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the line that each row begins in, and its cells; without comments."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 0
    for cells in reader:
        number, before = before + 1, reader.line_num
        if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
            yield number, cells


def _read_parquet(path: Path, faults: Faults) -> list[Row]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = resolved(table.column_names, "", faults)
    return [
        _row(f"row {number}", values, columns)
        for number, values in enumerate(table.to_pylist(), start=1)
    ]


def _row(where: str, values: Mapping[str, Any], columns: Mapping[str, tuple[str, bool]]) -> Row:
    return Row(
        where,
        {
            of: _Cell(name, inverted, values[name])
            for name, (of, inverted) in columns.items()
            if not _is_empty(values.get(name))
        },
    )


def _is_empty(raw: object) -> bool:
    if isinstance(raw, str):
        return not raw.strip()
    # Parquet's empty numbers are null, and those of pandas NaN.
    return raw is None or (isinstance(raw, float) and math.isnan(raw))


def _read_toml(path: Path, faults: Faults) -> list[Row]:
    stated = tomllib.loads(path.read_text(encoding="utf-8"))
    tables = stated.pop("jobs", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        faults.add("", "jobs: write each as a table below a line [[jobs]]")
        return []
    if not tables:
        faults.add("", "no jobs: write each as a table below a line [[jobs]]")
    defaults = _cells(stated, "", faults)
    rows: list[Row] = []
    for number, table in enumerate(tables, start=1):
        where = f"jobs[{number}]"
        own = _cells(table, where, faults)
        # Sites one by one take the place of a list by default, and the other way round.
        hidden = {"sites", "site"} if own.keys() & {"sites", "site"} else set()
        cells = {**{of: c for of, c in defaults.items() if of not in hidden}, **own}
        rows += _product(where, cells, faults)
    if len(rows) > MOST_JOBS:
        faults.add("", f"{len(rows):,} jobs: {MOST_JOBS:,} at most")
    return rows


def _cells(table: Mapping[str, Any], where: str, faults: Faults) -> dict[str, _Cell]:
    return {
        of: _Cell(name, inverted, table[name])
        for name, (of, inverted) in resolved(list(table), where, faults).items()
    }


def _product(where: str, cells: Mapping[str, _Cell], faults: Faults) -> list[Row]:
    """Every combination of a table's lists, the first of them slowest."""
    lists = {of: cell for of, cell in cells.items() if _is_expanded(of, cell.raw)}
    wrong = [f"{cell.name}: an empty list" for cell in lists.values() if not cell.raw]
    if "name" in lists:
        wrong.append("name: give one; the values of lists are appended to it")
    if (count := math.prod(len(cell.raw) for cell in lists.values())) > MOST_JOBS:
        wrong.append(f"its lists make {count:,} jobs: {MOST_JOBS:,} at most")
    for text in wrong:
        faults.add(where, text)
    if wrong:
        return []
    rows = []
    for index in itertools.product(*(range(len(cell.raw)) for cell in lists.values())):
        chosen = {
            of: replace(cell, raw=cell.raw[i])
            for (of, cell), i in zip(lists.items(), index, strict=True)
        }
        told = "".join(f", {cell.name}={shortened(cell.raw)}" for cell in chosen.values())
        rows.append(Row(where + told, {**cells, **chosen}, dict(zip(lists, index, strict=True))))
    return rows


def _is_expanded(of: str, raw: object) -> bool:
    """Whether a value is a list of values; one list is one value of ``site`` and ``formats``."""
    if of in SEPARATORS:
        return isinstance(raw, list) and bool(raw) and all(isinstance(each, list) for each in raw)
    return isinstance(raw, list)
