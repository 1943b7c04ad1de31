"""Run benchmarks, and gather what they scored."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfplatform import __version__
from rfplatform.benchmark import Benchmark, Given, Row, evaluate, find_benchmarks
from rfplatform.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Config:
    """What to run.

    Attributes
    ----------
    name : str, optional
        A benchmark ("speed:start"), a family ("speed"); by default all.
    out : Path, optional
        A folder for figures; each benchmark that draws any has one of its own in it.
    measurements, sites : Path, optional
    area : str, optional
        A user's drive test, its scene and its sectors, all three or none: what `name` is scored on
        in place of its own files.
    """

    name: str | None = None
    out: Path | None = None
    measurements: Path | None = None
    area: str | None = None
    sites: Path | None = None

    def given(self) -> Given | None:
        """The user's files; None where there are none.

        Raises
        ------
        InputError
            If some are missing, or no benchmark is named that they are for.
        """
        files = {"measurements": self.measurements, "area": self.area, "sites": self.sites}
        missing = [f"--{name}" for name, value in files.items() if value is None]
        if len(missing) == len(files):
            return None
        if self.measurements is None or self.area is None or self.sites is None:
            raise InputError(
                f"{' and '.join(missing)} missing: --measurements, --area and --sites go together"
            )
        if self.name is None:
            raise InputError("name the benchmark that --measurements are for, such as maps:duke")
        return Given(self.measurements, self.area, self.sites)


@dataclass(frozen=True)
class Result:
    """The rows of the benchmarks that ran, in their order, and whose files they scored, if any."""

    rows: tuple[Row, ...]
    given: Given | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with what was measured and where."""
        files: dict[str, Any] = {}
        if self.given is not None:
            named = {
                "measurements": self.given.measurements.name,
                "area": self.given.area,
                "sites": self.given.sites.name,
            }
            files = {"given": named}
        return {
            **files,
            "rfplatform": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "rows": [row.to_dict() for row in self.rows],
        }


def main(
    config: Config,
    *,
    benchmarks: Mapping[str, Benchmark[Any]] | None = None,
    report: Callable[[str], None] | None = None,
) -> Result:
    """Run the benchmarks that a name stands for.

    Parameters
    ----------
    config : Config
    benchmarks : mapping, optional
        By default `rfplatform.catalog.BENCHMARKS`.
    report : callable, optional
        Told which case runs next.

    Raises
    ------
    InputError
        If there is no benchmark of that name, or it takes no files of the user's.
    """
    rows: list[Row] = []
    given = config.given()
    for benchmark in find_benchmarks(_table(benchmarks), config.name):
        out = config.out / benchmark.name.replace(":", "-") if config.out else None

        def progress(case: str, name: str = benchmark.name) -> None:
            if report is not None:
                report(f"{name}: {case}")

        rows += evaluate(benchmark, given=given, out=out, progress=progress)
    return Result(tuple(rows), given)


def listed(
    name: str | None = None, *, benchmarks: Mapping[str, Benchmark[Any]] | None = None
) -> list[dict[str, str]]:
    """Name, summary and baseline of the benchmarks that a name stands for, or of all."""
    return [
        {"name": b.name, "summary": b.summary, "baseline": b.baseline.name}
        for b in find_benchmarks(_table(benchmarks), name)
    ]


def _table(benchmarks: Mapping[str, Benchmark[Any]] | None) -> Mapping[str, Benchmark[Any]]:
    if benchmarks is not None:
        return benchmarks
    from rfplatform.catalog import BENCHMARKS

    return BENCHMARKS


def render_list(benchmarks: Sequence[Mapping[str, str]]) -> RenderableType:
    """A table of what `listed` returned."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what it tells", overflow="fold", min_width=36)
    table.add_column("baseline", overflow="fold")
    for row in benchmarks:
        table.add_row(*(Text(row[key]) for key in ("name", "summary", "baseline")))
    return table


def render(result: Result) -> RenderableType:
    """A table for each benchmark: every score with its baseline's beside it, skips with why."""
    from rich.console import Group

    names = dict.fromkeys(row.benchmark for row in result.rows)
    return Group(*(_render_one([r for r in result.rows if r.benchmark == n]) for n in names))


def _render_one(rows: list[Row]) -> RenderableType:
    from rich.console import Group
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    first = rows[0]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("case", overflow="fold")
    table.add_column("metric", overflow="fold")
    for name in (first.subject_name, first.baseline_name, "ratio", "target"):
        table.add_column(Text(name), justify="right", overflow="fold")
    table.add_column("")
    notes: dict[str, Text] = {}
    for row in rows:
        if row.skipped:
            what = "skipped" if row.case == "*" else f"{row.case} skipped"
            notes[row.case] = Text(f"{what}: {row.skipped}", style="yellow")
            continue
        if row.note:
            notes[row.case] = Text(f"{row.case}: {row.note}", style="dim")
        unit = f", {row.unit}" if row.unit else ""
        table.add_row(
            Text(row.case),
            Text(row.metric + unit),
            Text(_number(row.value), style="bold"),
            Text(_number(row.baseline_value)),
            Text(_number(row.ratio)),
            Text(_target(row), style="dim"),
            _verdict(row.met),
        )
    title = Rule(Text(f" {first.benchmark} ", style="bold cyan"), align="left", style="cyan")
    scores = [table] if table.row_count else []
    return Group(title, *scores, *notes.values(), Text())


def _verdict(met: bool | None) -> Any:  # noqa: ANN401  (rich's own types)
    from rich.text import Text

    if met is None:
        return Text()
    return Text("met", style="green") if met else Text("missed", style="bold red")


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = "≤" if row.better == "lower" else "≥"
    return f"{'ratio ' if row.target_is_ratio else ''}{sign} {_number(row.target)}"


def _number(value: float | None) -> str:
    """Three digits or more, and thousands marked."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
