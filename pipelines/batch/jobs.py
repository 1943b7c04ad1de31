"""The jobs of a batch: a CSV, Parquet or TOML file, checked as a whole before anything runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.batch.columns import said, shortened, value_of
from pipelines.batch.faults import Faults, listed
from pipelines.batch.table import Row, read_table
from pipelines.map import Config, checked, read_rows
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
_LONGEST_NAME = 200


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
    faults = Faults()
    noun, rows = read_table(place, faults)
    checks = _Checks(place.resolve().parent, faults)
    made = [checks.job(row) for row in rows]
    _refuse_names(made, faults)
    if not rows and not faults:
        faults.add("", "no jobs in it: add a row for each")
    if faults:
        raise faults.error(place, [row.where for row in rows], noun)
    return _named([m for m in made if m is not None])


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

    def __init__(self, folder: Path, faults: Faults) -> None:
        self._folder, self._faults = folder, faults
        self._area = _Remembered(self._look_up)
        self._rows = _Remembered(read_rows)
        self._terrain = _Remembered(_require_terrain)
        self._check = _Remembered(self._require_valid)

    def job(self, row: Row) -> _Made | None:
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

    def _values(self, row: Row) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        bad = False
        for of, cell in row.cells.items():
            try:
                value = value_of(of, cell.raw)
            except InputError as error:
                self._faults.add(row.where, f"{cell.name} {shortened(cell.raw)!r} {error}")
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
        return [f"name {shortened(name)!r}: 1 to {_LONGEST_NAME} characters"]
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


def _base_name(name: str | None, area: str, row: Row, values: Mapping[str, Any]) -> str:
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
            return slug(said(of) if value else f"no-{said(of)}")
        case float() if of == "frequency_hz":
            return f"{value / 1e9:.12g}ghz"
        case int() | float():
            return f"{slug(said(of))}{value:.12g}".replace("e+", "e")
        case Path():
            return slug(value.stem)
        case str():
            return slug(value)
        case _:
            return f"{said(of)}{index + 1}"


def _refuse_names(made: Sequence[_Made | None], faults: Faults) -> None:
    """Two jobs that were given one name, and are not the same."""
    first: dict[str, Job] = {}
    for m in made:
        if m is None or not m.is_stated:
            continue
        there = first.setdefault(m.base, m.job)
        if _same(there) != _same(m.job):
            faults.add(m.job.where, f"name {shortened(m.base)!r} is that of {there.where}, too")


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
        again = listed([m.job.where for m in others]).removesuffix(": ")
        where = first.job.where + (f" (the same again: {again})" if again else "")
        jobs.append(replace(first.job, name=name, where=where))
    return tuple(jobs)
