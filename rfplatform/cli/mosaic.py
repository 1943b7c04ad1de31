"""The command `rfplatform mosaic`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import live
from rfplatform.cli.options import OUTPUT, WHERE, JsonOption, OverwriteOption
from rfplatform.cli.show import fact_table, notes, show, times, written

if TYPE_CHECKING:
    from rich.console import RenderableType


def mosaic_command(
    store: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="What [bold]rfplatform batch[/] wrote: a folder or a URL.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Directory to write.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ],
    job: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The maps of this job alone.", rich_help_panel=WHERE),
    ] = None,
    bbox: Annotated[
        str | None,
        typer.Option(metavar="W,S,E,N", help="Keep this box of them.", rich_help_panel=WHERE),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Join the tiles of a batch: one Zarr, GeoTIFF and picture, blended over their seams."""
    from pipelines.mosaic import Config, main

    with live() as (_, report):
        record = main(Config(store, out, job=job, bbox=bbox, overwrite=overwrite), report=report)
    show(record, _mosaic_summary, as_json=as_json)


def _mosaic_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    grid, tiles, sectors = record["grid"], record["tiles"], record["sectors"]
    coverage, edge_m = record["coverage"], record["grid"]["resolution_m"]
    median_dbm = coverage["median_best_rss_dbm"]
    median = "" if median_dbm is None else f", median best RSS {median_dbm:g} dBm"
    facts: list[tuple[str, RenderableType]] = [
        (
            "Area",
            Text(
                f"{grid['num_x'] * edge_m / 1e3:.2f} x {grid['num_y'] * edge_m / 1e3:.2f} km, "
                f"{record['crs']}"
            ),
        ),
        ("Grid", Text(f"{grid['num_x']:,} x {grid['num_y']:,} cells of {edge_m:g} m")),
        ("Maps", Text(f"{tiles['count']:,}, over {tiles['covered_share']:.1%} of the cells")),
        ("Sectors", Text(f"{sectors['count']:,} of {sectors['sites']:,} sites")),
        ("Reached", Text(f"{coverage['reached']:.1%} of the outdoor cells{median}")),
        ("Time", times(record["stages_s"])),
        ("Written", written(record)),
    ]
    title = Rule(Text(record["title"], style="bold cyan"), align="left", style="cyan")
    return Group(title, fact_table(facts), *notes(record), Text())
