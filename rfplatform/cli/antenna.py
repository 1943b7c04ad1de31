"""The command `rfplatform antenna`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import live
from rfplatform.cli.options import OUTPUT, JsonOption, OverwriteOption
from rfplatform.cli.show import fact_table, show

if TYPE_CHECKING:
    from rich.console import RenderableType


def antenna_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE_OR_NAME",
            help="A pattern file (.msi, .pln, .pla, .adf); isotropic, dipole or tr38901; or "
            "[bold]tr38901?rows=8&columns=4&beam=1[/].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|PNG",
            help="Where to draw it.  [dim]default: out/antennas[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    msi: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as .msi, too.", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure an antenna: gain, beam widths, front-to-back ratio, tilt; and draw its cuts."""
    from pipelines.antenna import Config, main

    with live() as (_, report):
        report("Measuring")
        record = main(Config(name, out=out, msi=msi, overwrite=overwrite))
    show(record, _antenna_summary, as_json=as_json)


def _antenna_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from pipelines.antenna import facts

    rows: list[tuple[str, RenderableType]] = [
        (what, Text(value)) for what, value in facts(dict(record))
    ]
    rows += [("Maker", Text(record["make"]))] if record["make"] else []
    rows += [("Comment", Text(comment)) for comment in record["comments"] if comment]
    rows += [("Written", Text(path)) for path in record["outputs"]]
    warnings = [Text(f"warning: {text}", style="yellow") for text in record["warnings"]]
    return Group(Text(record["name"], style="bold"), fact_table(rows), *warnings, Text())
