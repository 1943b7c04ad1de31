"""The commands around learning: `rfplatform train-data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import SET_ASIDE, interruptible
from rfplatform.cli.options import OUTPUT, JsonOption
from rfplatform.cli.show import duration, fact_table, show
from rfplatform.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipelines.scene import Report
    from pipelines.train_data import Progress


KEPT = "what is finished is kept, and the same command goes on"
MOST_LISTED = 8

_TOWNS, _WINDOWS = "Towns", "Windows"


def train_data_command(
    towns: Annotated[
        list[str],
        typer.Argument(
            metavar="TOWNS...",
            help="Areas ([bold]helsinki[/], extracts, W,S,E,N, place names; NAME=AREA names one), "
            "or a .toml that lists towns.",
            show_default=False,
        ),
    ],
    val: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Towns for validation; what no split names is for training.",
            rich_help_panel=_TOWNS,
        ),
    ] = "",
    test: Annotated[
        str, typer.Option(metavar="NAME,...", help="Towns for tests.", rich_help_panel=_TOWNS)
    ] = "",
    extracts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the extracts of a .toml lie.  [dim]default: as it says, else beside it[/]",
            rich_help_panel=_TOWNS,
        ),
    ] = None,
    windows: Annotated[
        str,
        typer.Option(
            metavar="N[,TOWN=N...]",
            help="Windows of every town, and of some another number.  [dim]default: 10[/]",
            rich_help_panel=_WINDOWS,
        ),
    ] = "",
    rays: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Of a sector, of the maps that are learned.  [dim]default: 4e6[/]",
            rich_help_panel=_WINDOWS,
        ),
    ] = None,
    coarse_rays: Annotated[
        str,
        typer.Option(
            metavar="N[,N...]",
            help="Of the coarse maps beside them; windows take turns.  [dim]default: 250e3,1e6[/]",
            rich_help_panel=_WINDOWS,
        ),
    ] = "",
    least_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Least of a window under buildings.  [dim]default: 0.06[/]",
            rich_help_panel=_WINDOWS,
        ),
    ] = None,
    most_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Most of it.  [dim]default: 0.7[/]", rich_help_panel=_WINDOWS
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Decides where windows lie, and the rays.  [dim]default: 1[/]",
            rich_help_panel=_WINDOWS,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes.  [dim]default: as many as the machine holds[/]"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of the data set: windows/NAME in the registry.  [dim]default: towns[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the windows go.  [dim]default: out/windows-NAME[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register/--no-register",
            help="Take the data set into the registry, with the extracts as its parents.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Trace windows of towns, for networks to learn on, into one data set.

    A town belongs to one split: what a network is scored on, it has never seen. Run the same again
    after whatever stopped it: only what is missing is made. Exits with 5 where windows were set
    aside.
    """
    from pipelines.train_data import Config, main

    config = Config(
        tuple(towns),
        out=out,
        windows=windows,
        val=val,
        test=test,
        extracts=extracts,
        name=name,
        rays=rays,
        coarse_rays=_numbers(coarse_rays, "--coarse-rays"),
        least_share=least_share,
        most_share=most_share,
        seed=seed,
        workers=workers,
        register=register,
    )
    with _windows_live() as (progress, report):
        record = main(config, progress=progress, report=report)
    show(record, _data_summary, as_json=as_json)
    if record["failed"]:
        raise typer.Exit(SET_ASIDE)


def _numbers(text: str, option: str) -> tuple[float, ...] | None:
    if not text.strip():
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option} {text!r}: must be numbers with commas between them, as 250e3,1e6"
        ) from None


@contextmanager
def _windows_live() -> Iterator[tuple[Callable[[Progress], None], Report]]:
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

        def progress(now: Progress) -> None:
            live.update(_windows_bar(now))

        yield progress, report


def _windows_bar(now: Progress) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    left = "" if now.left_s is None else f"{duration(round(now.left_s))} left"
    table.add_row(
        ProgressBar(total=now.windows, completed=now.done, width=32, complete_style="cyan"),
        Text(f"{now.done:,} of {now.windows:,} windows", style="bold"),
        Text(left),
        Text(duration(round(now.elapsed_s)), style="dim"),
    )
    counts = Text(f"{now.already:,} were there", style="dim")
    if now.failed:
        counts.append(f" · {now.failed:,} without a map", style="yellow")
    lines: list[RenderableType] = [table, counts]
    if now.running:
        running = f"tracing  {', '.join(now.running)}"
        lines.append(Text(running, style="dim", overflow="ellipsis", no_wrap=True))
    return Group(*lines)


def _data_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    facts = record["facts"]
    rows: list[tuple[str, RenderableType]] = [
        (
            "Windows",
            Text.assemble(
                (f"{record['done']:,} of {record['windows']:,}", "bold"),
                (f"   {record['made']:,} made now, {record['already']:,} were there", "dim"),
            ),
        )
    ]
    rows += [
        (f"  {split}", Text(", ".join(f"{town} {count:,}" for town, count in towns.items())))
        for split, towns in facts["towns"].items()
    ]
    share, noise_db = facts["share_with_path"], facts["noise_db"]
    told = [f"{facts['maps']:,}"]
    told += [f"{share:.1%} of outdoor cells with a path"] if share is not None else []
    told += [f"standard error {noise_db:.2f} dB (median)"] if noise_db is not None else []
    carriers = ", ".join(f"{carrier / 1e9:g}" for carrier in facts["carriers_hz"])
    rows += [
        ("Maps", Text(" · ".join(told))),
        ("Carriers", Text(f"{carriers} GHz")),
        ("Time", Text(duration(record["seconds"]))),
        ("Written", Text(record["data"], style="bold", overflow="fold")),
    ]
    if record["registered"]:
        rows.append(("Registry", Text(record["registered"], style="bold", overflow="fold")))
    lines: list[RenderableType] = [fact_table(rows)]
    lines += [Text(f"! {text}", style="yellow") for text in record["warnings"]]
    lines += _left_out("could not be drawn", record["undrawn"])
    lines += _left_out("set aside; the same command tries them again", record["failed"])
    if record["attribution"]:
        lines += [Text(), Text(record["attribution"], style="dim")]
    return Group(*lines, Text())


def _left_out(why: str, windows: Mapping[str, str]) -> list[RenderableType]:
    from rich.text import Text

    if not windows:
        return []
    lines: list[RenderableType] = [Text(f"{len(windows):,} windows {why}:", style="bold yellow")]
    shown = list(windows.items())[:MOST_LISTED]
    lines += [Text(f"  {window}: {words}", style="yellow") for window, words in shown]
    if len(windows) > MOST_LISTED:
        lines.append(Text(f"  and {len(windows) - MOST_LISTED:,} more", style="yellow"))
    return lines
