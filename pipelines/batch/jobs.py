"""The jobs of a batch: a CSV, Parquet or TOML file, checked as a whole before anything runs."""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import math
import re
import tomllib
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from pipelines.map import OPTIONS, Config, checked, read_rows
from pipelines.scene import slug
from rfplatform.catalog import SOLVERS
from rfplatform.errors import InputError
from rfplatform.geodata.load import source_name
from rfplatform.geodata.place import (
    BlendFile,
    BoxSource,
    BuiltIn,
    PlaceName,
    SceneFile,
    Source,
    parse_area,
)

FORMATS = ("zarr", "tif")
"""What a job writes where it does not say."""

TILE_MARGIN_M = 1000.0
TILE_OVERLAP_M = 64.0
FEWEST_TILE_CELLS = 16
MOST_JOBS = 1_000_000
"""More are a mistake in a product of lists."""

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
_MOST_LISTED = 3
_LONGEST_NAME = 200
_SEPARATORS: Mapping[str, str] = {"site": ";", "formats": ","}
"""Between several values in one text."""


class JobsError(InputError):
    """A jobs file that can't be used: one line in all, and one for each fault.

    Attributes
    ----------
    lines : tuple of str
        A fault that several jobs share is one line, with their rows.
    """

    def __init__(self, summary: str, lines: Sequence[str]) -> None:
        super().__init__(summary)
        self.lines = tuple(lines)


@dataclass(frozen=True)
class Job:
    """A map to make.

    Attributes
    ----------
    name : str
        Unique in its file.
    config : Config
        Its paths are absolute; `out` and `overwrite` are left as they are.
    tile_m : float, optional
        Edge of the tiles that the area is cut into; None: it is one map.
    tile_margin_m : float
        Around a tile, whose buildings and sites count for it.
    tile_overlap_m : float
        Shared by neighbouring tiles.
    where : str
        Where it stands in the file: "row 3", or "jobs[2], area=helsinki, frequency=3.5e9".
    """

    name: str
    config: Config
    tile_m: float | None = None
    tile_margin_m: float = TILE_MARGIN_M
    tile_overlap_m: float = TILE_OVERLAP_M
    where: str = ""


def read_jobs(path: str | Path) -> tuple[Job, ...]:
    """Read and check every job of a file, without reading the areas or touching the network.

    A column is called as the option of ``rfplatform map`` (``rays``, ``target_noise``,
    ``no_filter``; hyphens and underscores alike) or as the field of `pipelines.map.Config`
    (``rays_per_sector``). Flags have both polarities. Columns of the batch are ``name``,
    ``tile_m``, ``tile_margin_m`` and ``tile_overlap_m``. An empty cell is the default.

    Parameters
    ----------
    path : str or Path
        ``.csv``: a row for each job. ``.parquet``: the same. ``.toml``: defaults at the top, and
        a product of lists in each ``[[jobs]]``. Paths in it count from its folder.

    Returns
    -------
    tuple of Job
        In the file's order, at least one. Of jobs that say the same under two names, the first
        is kept, and its `where` tells of the others.

    Raises
    ------
    JobsError
        Everything that is wrong, at once.
    MissingError
        The machine lacks something that a job needs, such as a package with an example scene.
    """
    place = Path(path).expanduser()
    faults = _Faults()
    noun, rows = _read(place, faults)
    checks = _Checks(place.resolve().parent, faults)
    made = [checks.job(row) for row in rows]
    _refuse_names(made, faults)
    if not rows and not faults:
        faults.add("", "no jobs in it: add a row for each")
    if faults:
        raise faults.error(place, rows, noun)
    return _named([m for m in made if m is not None])


# What a column is


@cache
def _columns() -> Mapping[str, tuple[str, bool]]:
    """Field, and whether it is said the other way round, of every name that a column may have."""
    hints = get_type_hints(Config)
    known: dict[str, tuple[str, bool]] = {name: (name, False) for name in _OF_BATCH}
    for name, option in OPTIONS.items():
        called = _plain(option)
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


def _plain(name: str) -> str:
    return name.strip().lower().lstrip("-").replace("-", "_").replace(" ", "_")


def _said(name: str) -> str:
    """What a field is called in a file."""
    return name if name in _OF_BATCH else _plain(OPTIONS[name]).removeprefix("no_")


def _resolved(names: Sequence[str], where: str, faults: _Faults) -> dict[str, tuple[str, bool]]:
    """Field and polarity of each column; those that are none are faults."""
    found: dict[str, tuple[str, bool]] = {}
    first: dict[str, str] = {}
    for name in names:
        known = _columns().get(_plain(name))
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
    near = difflib.get_close_matches(_plain(name), known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `rfplatform map --help`"
    return f"column {name!r}: there is no such option; {hint}"


# What is wrong


@dataclass
class _Faults:
    """Everything that is wrong: where, by what is."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, where: str, text: str) -> None:
        self.found.setdefault(text, []).append(where)

    def error(self, path: Path, rows: Sequence[_Row], noun: str) -> JobsError:
        # In the file's order; what is wrong with the whole file comes first.
        found = sorted(self.found.items(), key=lambda fault: _number_of(fault[1][0]))
        lines = [_listed(places) + text for text, places in found]
        bad = {_entry(place) for places in self.found.values() for place in places if place}
        total = bad | {_entry(row.where) for row in rows}
        count = f"{len(lines)} fault" + ("" if len(lines) == 1 else "s")
        if bad:
            return JobsError(f"{path}: {count} in {len(bad):,} of {len(total):,} {noun}", lines)
        return JobsError(f"{path}: {lines[0] if len(lines) == 1 else count}", lines)


def _entry(where: str) -> str:
    """The row or table, whatever was expanded of it."""
    return where.partition(",")[0]


def _number_of(where: str) -> int:
    digits = re.search(r"\d+", where)
    return int(digits[0]) if digits else 0


def _listed(places: Sequence[str]) -> str:
    listed = list(dict.fromkeys(place for place in places if place))
    if not listed:
        return ""
    more = len(listed) - _MOST_LISTED
    return "; ".join(listed[:_MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "") + ": "


# What stands in the file


@dataclass(frozen=True)
class _Cell:
    """A value as it stands in the file, under the name that it has there."""

    name: str
    inverted: bool
    raw: Any


@dataclass(frozen=True)
class _Row:
    """A job as it stands in the file.

    `index` holds, for every field that a list was expanded of, which of its values this is.
    """

    where: str
    cells: Mapping[str, _Cell]
    index: Mapping[str, int] = field(default_factory=dict)


def _read(path: Path, faults: _Faults) -> tuple[str, list[_Row]]:
    """What a job is called in a file, and the jobs."""
    readers: Mapping[str, tuple[str, Callable[[Path, _Faults], list[_Row]]]] = {
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


def _read_csv(path: Path, faults: _Faults) -> list[_Row]:
    text = path.read_bytes().decode("utf-8-sig")
    lines = list(_lines(text, _delimiter(text)))
    if not lines:
        faults.add("", "empty; the first row names the columns, such as area,sites,frequency")
        return []
    header = [name.strip() for name in lines[0][1]]
    while header and not header[-1]:
        header.pop()
    columns = _resolved(header, "", faults)
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
        if "area" in (_plain(name.strip(' "')) for name in header.split(delimiter)):
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


def _read_parquet(path: Path, faults: _Faults) -> list[_Row]:
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = _resolved(table.column_names, "", faults)
    return [
        _row(f"row {number}", values, columns)
        for number, values in enumerate(table.to_pylist(), start=1)
    ]


def _row(where: str, values: Mapping[str, Any], columns: Mapping[str, tuple[str, bool]]) -> _Row:
    return _Row(
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


def _read_toml(path: Path, faults: _Faults) -> list[_Row]:
    stated = tomllib.loads(path.read_text(encoding="utf-8"))
    tables = stated.pop("jobs", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        faults.add("", "jobs: write each as a table below a line [[jobs]]")
        return []
    if not tables:
        faults.add("", "no jobs: write each as a table below a line [[jobs]]")
    defaults = _cells(stated, "", faults)
    rows: list[_Row] = []
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


def _cells(table: Mapping[str, Any], where: str, faults: _Faults) -> dict[str, _Cell]:
    return {
        of: _Cell(name, inverted, table[name])
        for name, (of, inverted) in _resolved(list(table), where, faults).items()
    }


def _product(where: str, cells: Mapping[str, _Cell], faults: _Faults) -> list[_Row]:
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
        told = "".join(f", {cell.name}={_short(cell.raw)}" for cell in chosen.values())
        rows.append(_Row(where + told, {**cells, **chosen}, dict(zip(lists, index, strict=True))))
    return rows


def _is_expanded(of: str, raw: object) -> bool:
    """Whether a value is a list of values; one list is one value of ``site`` and ``formats``."""
    if of in _SEPARATORS:
        return isinstance(raw, list) and bool(raw) and all(isinstance(each, list) for each in raw)
    return isinstance(raw, list)


# What a value means


def _value(of: str, raw: Any) -> Any:  # noqa: ANN401  (a cell's)
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
        return _texts(raw, _SEPARATORS[of])
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


def _short(raw: object) -> str:
    """A value on one short line, with numbers and truth values as one types them."""
    text = str(raw)
    if isinstance(raw, bool):
        text = text.lower()
    elif isinstance(raw, float):
        text = f"{raw:.12g}" if raw < 1e6 else f"{raw:.12e}"
        digits, _, power = text.partition("e")
        text = f"{digits.rstrip('0').rstrip('.')}e{int(power)}" if power else text
    return text if len(text) <= 60 else text[:57] + "..."


# What a job is


@dataclass(frozen=True)
class _Made:
    """A job before it has a name of its own."""

    job: Job
    base: str
    is_stated: bool
    """Whether its whole name was, so that it may not be changed."""


T = TypeVar("T")


class _Remembered(Generic[T]):
    """A function that is asked once for each of its arguments, whether it answers or refuses."""

    def __init__(self, function: Callable[..., T]) -> None:
        self._function = function
        self._known: dict[tuple[Any, ...], T | InputError] = {}

    def __call__(self, *arguments: Any) -> T:  # noqa: ANN401  (the function's own)
        if arguments not in self._known:
            try:
                self._known[arguments] = self._function(*arguments)
            except InputError as error:
                self._known[arguments] = error
        answer = self._known[arguments]
        if isinstance(answer, InputError):
            raise InputError(str(answer))
        return answer


class _Checks:
    """Makes jobs of rows; what many of them name is looked at once."""

    def __init__(self, folder: Path, faults: _Faults) -> None:
        self._folder, self._faults = folder, faults
        self._area = _Remembered(self._look_up)
        self._rows = _Remembered(read_rows)
        self._terrain = _Remembered(_require_terrain)
        self._check = _Remembered(self._require_valid)

    def job(self, row: _Row) -> _Made | None:
        """The job of a row; None, and faults, if it is none."""
        values = self._values(row)
        if "area" not in row.cells:
            self._faults.add(row.where, "no area")
        if values is None or "area" not in values:
            return None
        name = values.pop("name", None)
        tile_m, margin_m, overlap_m = (
            values.pop(of, None) for of in ("tile_m", "tile_margin_m", "tile_overlap_m")
        )
        wrong = _wrong_name(name)
        text, source = values["area"], None
        try:
            text, source = self._area(text)
        except InputError as error:
            wrong.append(str(error))
        config = Config(**{"formats": FORMATS, **values, "area": text})
        wrong += self._wrong(config, source)
        tiling, told = _tiling(tile_m, margin_m, overlap_m, config.resolution_m, source)
        wrong += told
        for fault in dict.fromkeys(wrong):
            self._faults.add(row.where, fault)
        if wrong or source is None:
            return None
        base = _base_name(name, slug(source_name(source)), row, values)
        is_stated = name is not None and not row.index
        return _Made(Job(base, config, *tiling, where=row.where), base, is_stated)

    def _values(self, row: _Row) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        bad = False
        for of, cell in row.cells.items():
            try:
                value = _value(of, cell.raw)
            except InputError as error:
                self._faults.add(row.where, f"{cell.name} {_short(cell.raw)!r} {error}")
                bad = True
            else:
                value = not value if cell.inverted else value
                values[of] = self._folder / value if isinstance(value, Path) else value
        return None if bad else values

    def _look_up(self, text: str) -> tuple[str, Source]:
        """AREA as it is found from anywhere, and what it is; a path counts from the folder."""
        beside = self._folder / _at_home(text)
        try:
            source = parse_area(text)
        except InputError:
            # Not where the command runs, but maybe beside the jobs file. A box has commas.
            if "," in text or not ("/" in text or "\\" in text or Path(text).suffix):
                raise
        else:
            is_example = text.casefold().startswith("sionna:")
            is_place = isinstance(source, PlaceName) and not _is_file(beside)
            if is_example or is_place or isinstance(source, BuiltIn | BoxSource):
                return text, source
        return str(beside), parse_area(str(beside))

    def _wrong(self, config: Config, source: Source | None) -> list[str]:
        """What is wrong with the options: as a whole and then, if anything is, one by one."""
        wrong = []
        if config.terrain is not None:
            wrong += _refusal(lambda: self._terrain(config.terrain))
        if config.default_material is not None and not isinstance(source, BlendFile | None):
            wrong.append("default_material: is for Blender files (.blend)")
        whole = self._checked(config, source)
        if not whole:
            return wrong
        safe = Config(config.area, site=("0,0,1",), formats=FORMATS)
        if config.solver in SOLVERS:
            safe = replace(safe, solver=config.solver)
        given = [f.name for f in fields(Config) if getattr(config, f.name) != getattr(safe, f.name)]
        groups = [("sites", "site"), *((of,) for of in given if of not in ("sites", "site"))]
        one_by_one = [
            text
            for group in groups
            for text in self._checked(
                replace(safe, **{of: getattr(config, of) for of in group}), source
            )
        ]
        return wrong + (one_by_one or whole)

    def _checked(self, config: Config, source: Source | None) -> list[str]:
        if source is None or isinstance(source, BlendFile):
            # What coordinates mean there shows when it is opened.
            site = config.site and ("0,0,1",)
            config = replace(config, bbox=None, origin=None, site=site)
        known = BuiltIn("helsinki") if source is None else source
        return _refusal(lambda: self._check(config, known))

    def _require_valid(self, config: Config, source: Source) -> None:
        checked(config, source, read=self._rows)


def _refusal(check: Callable[[], object]) -> list[str]:
    try:
        check()
    except InputError as error:
        return [str(error)]
    return []


def _at_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)  # "~someone" without a home: no such file


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # a name too long for a file is still one for the geocoder


def _require_terrain(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"terrain {path}: no such file")


def _wrong_name(name: str | None) -> list[str]:
    if name is not None and not 0 < len(name) <= _LONGEST_NAME:
        return [f"name {_short(name)!r}: 1 to {_LONGEST_NAME} characters"]
    return []


def _tiling(
    tile_m: float | None,
    margin_m: float | None,
    overlap_m: float | None,
    cell_m: float,
    source: Source | None,
) -> tuple[tuple[float | None, float, float], list[str]]:
    """How an area is cut, and what is wrong with it; without a tile's edge, the rest is idle."""
    if tile_m is None or not cell_m > 0:
        return (None, TILE_MARGIN_M, TILE_OVERLAP_M), []
    margin_m = TILE_MARGIN_M if margin_m is None else margin_m
    pair_m = 2 * cell_m
    if overlap_m is None:
        overlap_m = pair_m * math.ceil(TILE_OVERLAP_M / pair_m - 1e-9)
    wrong = []
    if isinstance(source, SceneFile | BlendFile):
        wrong.append(
            f"tile_m {tile_m:g}: {source_name(source)} is a scene made elsewhere, which can't be "
            "cut: leave it out, or give an area on Earth (a file, a built-in, a box or a place)"
        )
    if margin_m < 0:
        wrong.append(f"tile_margin_m {margin_m:g}: must be 0 or more")
    if tile_m < FEWEST_TILE_CELLS * cell_m:
        wrong.append(
            f"tile_m {tile_m:g}: must be {FEWEST_TILE_CELLS} cells or more "
            f"({FEWEST_TILE_CELLS * cell_m:g} m)"
        )
        return (tile_m, margin_m, overlap_m), wrong
    if not _is_multiple(tile_m, cell_m):
        wrong.append(
            f"tile_m {tile_m:g}: must be a multiple of the resolution ({cell_m:g} m); "
            f"the nearest is {_nearest(tile_m, cell_m):.9g}"
        )
    if not 0 <= overlap_m < tile_m:
        wrong.append(f"tile_overlap_m {overlap_m:g}: must be 0 or more, and less than tile_m")
    elif not _is_multiple(overlap_m, pair_m):
        wrong.append(
            f"tile_overlap_m {overlap_m:g}: must be a multiple of two cells ({pair_m:g} m); "
            f"the nearest is {_nearest(overlap_m, pair_m):.9g}"
        )
    return (tile_m, margin_m, overlap_m), wrong


def _is_multiple(value: float, step: float) -> bool:
    return math.isclose(value, _nearest(value, step), rel_tol=1e-9, abs_tol=1e-9)


def _nearest(value: float, step: float) -> float:
    return round(value / step) * step


# What a job is called


def _base_name(name: str | None, area: str, row: _Row, values: Mapping[str, Any]) -> str:
    """The stated name or the area's, and the values that lists were expanded to."""
    parts = [area if name is None else name]
    for of, index in row.index.items():
        if of != "area":
            parts.append(_part(of, values.get(of), index))
        elif name is not None:
            parts.append(area)
    return "-".join(parts)


def _part(of: str, value: Any, index: int) -> str:  # noqa: ANN401  (of any field)
    match value:
        case bool():
            return slug(_said(of) if value else f"no-{_said(of)}")
        case float() if of == "frequency_hz":
            return f"{value / 1e9:.12g}ghz"
        case int() | float():
            return f"{slug(_said(of))}{value:.12g}".replace("e+", "e")
        case Path():
            return slug(value.stem)
        case str():
            return slug(value)
        case _:
            return f"{_said(of)}{index + 1}"


def _refuse_names(made: Sequence[_Made | None], faults: _Faults) -> None:
    """Two jobs that were given one name, and are not the same."""
    first: dict[str, Job] = {}
    for m in made:
        if m is None or not m.is_stated:
            continue
        there = first.setdefault(m.base, m.job)
        if _same(there) != _same(m.job):
            faults.add(m.job.where, f"name {_short(m.base)!r} is that of {there.where}, too")


def _same(job: Job) -> tuple[object, ...]:
    """What makes two jobs one."""
    return job.config, job.tile_m, job.tile_margin_m, job.tile_overlap_m


def _named(made: Sequence[_Made]) -> tuple[Job, ...]:
    """Each job once, with a name of its own."""
    groups: dict[tuple[object, ...], list[_Made]] = {}
    for m in made:
        groups.setdefault(_same(m.job), []).append(m)
    taken = {m.base for group in groups.values() if (m := group[0]).is_stated}
    numbers: Counter[str] = Counter()
    jobs = []
    for first, *others in groups.values():
        name = first.base
        if not first.is_stated:
            while name in taken:
                numbers[first.base] += 1
                name = f"{first.base}-{numbers[first.base] + 1}"
            taken.add(name)
        again = _listed([m.job.where for m in others]).removesuffix(": ")
        where = first.job.where + (f" (the same again: {again})" if again else "")
        jobs.append(replace(first.job, name=name, where=where))
    return tuple(jobs)
