"""The commands `rfplatform doctor` and `bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rfplatform.cli.live import live
from rfplatform.cli.options import OUTPUT, JsonOption, RegisterOption
from rfplatform.errors import MissingError

YOURS = "Your measurements (maps:duke)"
"""Panel of the help for what takes the place of a benchmark's own files."""


def doctor_command(as_json: JsonOption = False) -> None:
    """Look at what this machine has for radio maps, and say what to type for what it lacks."""
    from dataclasses import asdict

    from rich.console import Console

    from rfplatform.doctor import diagnose, ok, render

    with live() as (_, report):
        report("Looking around, and tracing a tiny map")
        checks = diagnose()
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        render(checks, Console())
    if not ok(checks):
        raise typer.Exit(MissingError.exit_code)


def bench_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A benchmark, or a family such as [bold]speed[/].  [dim]default: all[/]",
            show_default=False,
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Tell what there is, and run nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory for the figures of the benchmarks that draw any.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    measurements: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Drive test to score on (CSV: latitude, longitude, RSRP, cell, device).",
            rich_help_panel=YOURS,
        ),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(metavar="AREA", help="Their scene, as an extract.", rich_help_panel=YOURS),
    ] = None,
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Site list; its sectors are called what the drive test calls its cells.",
            rich_help_panel=YOURS,
        ),
    ] = None,
    register: RegisterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure accuracy and speed, with a baseline beside every score.

    A missed target is told, and is no error.
    """
    from rich.console import Console

    from pipelines.bench import Config, listed, main, render, render_list

    console = Console(highlight=False)
    if listing:
        found = listed(name)
        if as_json:
            typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            console.print(render_list(found))
        return
    with live() as (_, report):
        result = main(Config(name, out, measurements, area, sites), report=report)
    if register:
        from pipelines.registered import register_report
        from rfplatform.registry.registry import Registry

        report_ref = register_report(Registry.default(), result, name).ref
        typer.echo(f"in the registry as {report_ref}", err=True)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    else:
        console.print(render(result))
