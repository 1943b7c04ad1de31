"""The command `rfplatform calibrate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import live
from rfplatform.cli.options import OUTPUT, JsonOption, OverwriteOption, RegisterOption
from rfplatform.cli.show import fact_table, notes, registered, show, times, title, written

if TYPE_CHECKING:
    from rich.console import RenderableType

MEASURED = "Measurements"
METHOD = "Method"


def calibrate_command(
    radio_map: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The directory that [bold]rfplatform map[/] wrote.",
            show_default=False,
        ),
    ],
    measurements: Annotated[
        Path,
        typer.Option(
            metavar="CSV",
            help="Drive test: positions and RSRP, plain or gzipped.",
            show_default=False,
            rich_help_panel=MEASURED,
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which column is what: geo2sigmap, gnettrack, cellmapper, or a file map.toml "
            'with lines such as latitude = "Lat".  [dim]default: by their names[/]',
            rich_help_panel=MEASURED,
        ),
    ] = None,
    cells: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CELL=SITE/SECTOR",
            help="Which sector a measured cell is; may be repeated, or a TOML file.  "
            "[dim]default: by the sectors' names[/]",
            rich_help_panel=MEASURED,
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto, offset, log-distance, knn, gp, gp-prior, kriging or cascade.",
            rich_help_panel=METHOD,
        ),
    ] = "auto",
    block: Annotated[
        float,
        typer.Option(
            metavar="M", help="Edge of the blocks left out in scoring.", rich_help_panel=METHOD
        ),
    ] = 64.0,
    folds: Annotated[
        int, typer.Option(metavar="N", help="Groups of blocks.", rich_help_panel=METHOD)
    ] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed.", rich_help_panel=METHOD)] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory to write.  [dim]default: OUT-calibrated[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    register: RegisterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Calibrate a map on a drive test: corrected levels with P10, P50 and P90, and their error."""
    from pipelines.calibrate import Config, main

    config = Config(
        radio_map,
        measurements,
        columns=columns,
        method=method,
        cells=tuple(cells or ()),
        block_m=block,
        folds=folds,
        seed=seed,
        out=out,
        overwrite=overwrite,
    )
    with live() as (_, report):
        record = main(config, report=report)
    if register:
        record = registered(record, "radio-map")
    show(record, _summary, as_json=as_json)


def _summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    about = record["calibration"]
    protocol = about["protocol"]
    read = (
        f"{about['readings']:,} readings in {about['pixels']:,} pixels of "
        f"{protocol['pixel_m']:g} m and {protocol['blocks']} blocks of {protocol['block_m']:g} m"
    )
    facts: list[tuple[str, RenderableType]] = [
        ("Measured", Text(read)),
        ("Cells", _deviations(about["cells"])),
    ]
    if len(about["devices"]) > 1:
        facts.append(("Devices", _deviations(about["devices"])))
    if about["scores"]:
        facts += [("", Text()), ("Error", _scores(about["scores"], about["method"]))]
    facts += [
        ("Method", Text(about["method"], style="bold")),
        ("Time", times(record["stages_s"])),
        ("Written", written(record)),
    ]
    return Group(title(record), fact_table(facts), *notes(record), Text())


def _deviations(deviations: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.text import Text

    text = Text()
    for i, d in enumerate(deviations):
        text.append(("\n" if i else "") + (d["name"] or "unnamed"))
        text.append(f"   {d['offset_db']:+.1f} dB ± {d['standard_error_db']:.1f}", style="bold")
        text.append(f"   {d['pixels']:,} pixels", style="dim")
    return text


def _scores(scores: Sequence[Mapping[str, Any]], method: str) -> RenderableType:
    """A row for each method; the one that was taken is marked."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("dB on blocks left out", no_wrap=True)
    for name in ("RMSE", "95 %", "MAE", "bias", "P10..P90"):
        table.add_column(name, justify="right", no_wrap=True)
    for s in scores:
        table.add_row(
            s["method"],
            f"{s['rmse_db']:.2f}",
            f"{s['low_db']:.1f}..{s['high_db']:.1f}",
            f"{s['mae_db']:.2f}",
            f"{s['bias_db']:+.2f}",
            f"{s['picp80']:.0%}",
            style="bold cyan" if s["method"] == method else None,
        )
    return table
