"""The command `rfplatform batch`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import SET_ASIDE, interruptible
from rfplatform.cli.options import JsonOption
from rfplatform.cli.show import duration, fact_table, short, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipelines.batch.course import Progress
    from pipelines.batch.status import Status
    from pipelines.scene import Report


KEPT = "what is finished is kept, and the same command goes on"

MOST_FAULTS = 50
MOST_FAILURES = 8


def batch_command(
    jobs: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS",
            help="A table of maps (.csv, .parquet), or .toml, where lists expand.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|URL", help="Where the maps go.  [dim]default: out/ and the jobs' name[/]"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of this machine.  [dim]default: as many as it holds[/]"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Dask scheduler's, such as tcp://HOST:8786."),
    ] = None,
    retries: Annotated[
        int, typer.Option(metavar="N", help="Times that a failed map is tried again.")
    ] = 2,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what earlier runs set aside.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what is there, and make again what is damaged.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Tell how far the batch is, from any shell.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what there is to do, and do nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make many maps: what is there already is kept, what fails is set aside.

    Run the same again after whatever stopped it: only what is missing is made. Exits with 5 where
    maps were set aside (failures.csv).
    """
    from pipelines.batch.faults import JobsError
    from pipelines.batch.run import Config, main, plan
    from pipelines.batch.status import latest_status

    config = Config(
        jobs,
        out=out,
        workers=workers,
        scheduler=scheduler,
        retries=retries,
        retry_failed=retry_failed,
        verify=verify,
    )
    if status:
        latest = latest_status(config.store())
        _print(latest.to_dict(), lambda _: _status_summary(latest), as_json=as_json)
        return
    try:
        if dry_run:
            _print(plan(config), _plan_summary, as_json=as_json)
            return
        with _live() as (progress, report):
            record = main(config, progress=progress, report=report)
    except JobsError as error:
        if not str(error).endswith(error.lines[0]):  # else there is but one, and it is told
            _list_faults(error.lines)
        raise
    _print(record, _batch_summary, as_json=as_json)
    if record["failed"]:
        raise typer.Exit(SET_ASIDE)


def _list_faults(lines: tuple[str, ...]) -> None:
    for line in lines[:MOST_FAULTS]:
        sys.stderr.write(f"{line}\n")
    if len(lines) > MOST_FAULTS:
        sys.stderr.write(f"... and {len(lines) - MOST_FAULTS:,} more\n")


def _print(
    record: Mapping[str, Any],
    summary: Callable[[Mapping[str, Any]], RenderableType],
    *,
    as_json: bool,
) -> None:
    show({"warnings": [], **record}, summary, as_json=as_json)


# ----------------------------------------------------------------------------------------------
# While it runs
# ----------------------------------------------------------------------------------------------


@contextmanager
def _live() -> Iterator[tuple[Progress, Report]]:
    """A bar on standard error, with what runs below it; nothing where that is no terminal."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        with interruptible(KEPT):
            yield lambda _: None, lambda _: None
        return
    with interruptible(KEPT), Live(console=console, transient=True, refresh_per_second=4) as live:

        def report(text: str) -> None:
            live.update(Text(text, style="cyan"))

        def progress(now: Status) -> None:
            live.update(_bar(now))

        yield progress, report


def _bar(now: Status) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(total=max(now.maps, 1), completed=now.done, width=32, complete_style="cyan")
    table.add_row(bar, Text(f"{now.done:,} of {now.maps:,} maps", style="bold"), *_pace(now))
    lines: list[RenderableType] = [table, _counts(now)]
    if now.now:
        running = ", ".join(now.now[:6]) + (" ..." if len(now.now) > 6 else "")
        lines.append(Text(f"running  {running}", style="dim", overflow="ellipsis", no_wrap=True))
    return Group(*lines)


def _pace(now: Status) -> list[RenderableType]:
    from rich.text import Text

    rate = f"{short(now.rays_per_s)} rays/s" if now.rays_per_s else ""
    left = "" if now.left_s is None or not now.alive else f"{duration(round(now.left_s))} left"
    return [Text(rate, style="dim"), Text(left), Text(duration(round(now.elapsed_s)), style="dim")]


def _counts(now: Status) -> RenderableType:
    from rich.text import Text

    scenes = f" · {now.scenes_waiting} areas to read" if now.scenes_waiting else ""
    text = Text(
        f"{now.already:,} were there · {now.running:,} running · {now.waiting:,} waiting{scenes}",
        style="dim",
    )
    if now.failed:
        text.append(f" · {now.failed:,} set aside", style="yellow")
    return text


# ----------------------------------------------------------------------------------------------
# When it is done
# ----------------------------------------------------------------------------------------------


def _status_summary(now: Status) -> RenderableType:
    from datetime import datetime

    from rich.console import Group
    from rich.text import Text

    said = datetime.fromtimestamp(now.heartbeat).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    state = {
        "done": ("finished", "green"),
        "interrupted": ("interrupted: the same command goes on", "yellow"),
        "stopped": ("stopped by an error: the same command goes on", "yellow"),
    }.get(now.state, ("running", "cyan"))
    if now.state == "running" and not now.alive:
        state = ("silent: it was killed, most likely; the same command goes on", "red")
    head = Text.assemble(state, (f"   {said}, process {now.pid} on {now.host}", "dim"))
    return Group(head, _bar(now), Text())


def _plan_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("job", overflow="fold")
    table.add_column("solver")
    for name in ("maps", "there already", "sectors", "without a sector"):
        table.add_column(name, justify="right")
    for job in record["jobs"]:
        table.add_row(
            Text(job["job"], style="bold"),
            job["solver"],
            *(f"{job[name]:,}" for name in ("maps", "done", "sectors", "empty")),
        )
    faults = [
        Text(f"! {job['job']}: {job['fault']}", style="yellow")
        for job in record["jobs"]
        if job["fault"]
    ]
    todo = record["maps"] - record["done"]
    foot = Text(f"{todo:,} maps to make in {record['out']}; nothing was written", style="dim")
    return Group(table, Text(), *faults, foot)


def _batch_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    made = f"{record['done']:,} of {record['maps']:,}"
    detail = f"   {record['made']:,} made now, {record['already']:,} were there"
    if record["empty"]:
        detail += f"; {record['empty']:,} tiles that no sector reaches are left out"
    rows: list[tuple[str, RenderableType]] = [
        ("Maps", Text.assemble((made, "bold"), (detail, "dim"))),
        ("Time", Text(duration(record["seconds"]))),
    ]
    if record["rays_per_s"]:
        rows.append(("Rays", Text(f"{short(record['rays'])}, {short(record['rays_per_s'])}/s")))
    rows.append(("Written", Text(record["out"], style="bold", overflow="fold")))
    if record["collection"]:
        rows.append(("Collection", Text(f"{record['collection']}   catalog.parquet, stac/")))
    lines: list[RenderableType] = [fact_table(rows)]
    lines += [Text(f"! {text}", style="yellow") for text in record["warnings"]]
    failed = record["failed"]
    if failed:
        lines += [Text(), Text(f"{len(failed):,} set aside (failures.csv):", style="bold yellow")]
        lines += [
            Text(f"  {one['what']}: {one['last_words']}", style="yellow")
            for one in failed[:MOST_FAILURES]
        ]
        if len(failed) > MOST_FAILURES:
            lines.append(Text(f"  and {len(failed) - MOST_FAILURES:,} more", style="yellow"))
        lines.append(Text("  --retry-failed tries them again", style="dim"))
    return Group(*lines, Text())
