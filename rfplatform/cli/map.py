"""The command `rfplatform map`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import INTERRUPTED, live
from rfplatform.cli.options import (
    HOW,
    OUTPUT,
    PLANNING,
    WHERE,
    AreaArgument,
    BboxOption,
    JsonOption,
    OriginOption,
    OutOption,
    OverwriteOption,
    RegisterOption,
    TerrainOption,
    TerrainResolutionOption,
)
from rfplatform.cli.scene import scene_facts, terrain_facts
from rfplatform.cli.show import fact_table, notes, registered, short, show, times, title, written

if TYPE_CHECKING:
    from rich.console import RenderableType


_STOPPED_BY = {
    "noise": "target reached",
    "rays": "all rays spent",
    "interrupted": "interrupted",
}


def map_command(
    area: AreaArgument,
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Site list. [bold]helsinki[/] has an example of its own.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LON,LAT,HEIGHT[,AZIMUTH]",
            help="A site, in place of a list; may be repeated. Height above ground, or above "
            "the roof where there is one. X,Y in metres for a scene without --origin.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    bbox: BboxOption = None,
    origin: OriginOption = None,
    terrain: TerrainOption = None,
    terrain_resolution: TerrainResolutionOption = 30.0,
    default_material: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of what has no radio material in a .blend file, such as concrete.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    solver: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="raytraced, cascade (learned, with --rays of a coarse trace, too), geo2sigmap, "
            "tr38901-uma, tr38901-umi, tr38901-rma or free-space.",
            rich_help_panel=HOW,
        ),
    ] = "raytraced",
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME@VERSION",
            help="Trained model of the registry, for a learned solver.  [dim]default: the one "
            "that comes with rfplatform[/]",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = "",
    frequency: Annotated[
        float,
        typer.Option(
            metavar="HZ",
            help="Carrier, where the site list has none.",
            show_default="3.5e9",
            rich_help_panel=HOW,
        ),
    ] = 3.5e9,
    resolution: Annotated[
        float, typer.Option(metavar="M", help="Edge of a cell.", rich_help_panel=HOW)
    ] = 4.0,
    receiver_height: Annotated[
        float,
        typer.Option(metavar="M", help="Receivers above ground.", rich_help_panel=HOW),
    ] = 1.5,
    noise_figure: Annotated[
        float, typer.Option(metavar="DB", help="Of the receivers.", rich_help_panel=HOW)
    ] = 7.0,
    load: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Of every sector's capacity, 0..1.", rich_help_panel=PLANNING
        ),
    ] = 1.0,
    scs: Annotated[
        float | None,
        typer.Option(
            metavar="HZ",
            help="Subcarrier spacing.  [dim]default: 15e3 below 2.5 GHz, 30e3 above, 120e3 in "
            "FR2[/]",
            rich_help_panel=PLANNING,
        ),
    ] = None,
    servers_within: Annotated[
        float,
        typer.Option(
            metavar="DB", help="Count servers this near the best.", rich_help_panel=PLANNING
        ),
    ] = 6.0,
    margin: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="From Shannon's bound to a receiver, for the rate.",
            rich_help_panel=PLANNING,
        ),
    ] = 3.0,
    max_depth: Annotated[
        int, typer.Option(metavar="N", help="Most reflections of a path.", rich_help_panel=HOW)
    ] = 8,
    rays: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Most rays of each sector.  [dim]default: 2e7; none for cascade[/]",
            rich_help_panel=HOW,
        ),
    ] = None,
    target_noise: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="Stop at this median standard error; 0: spend all rays.",
            rich_help_panel=HOW,
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed.", rich_help_panel=HOW)] = 1,
    diffraction: Annotated[
        bool,
        typer.Option("--diffraction/--no-diffraction", help="Around edges.", rich_help_panel=HOW),
    ] = True,
    scattering: Annotated[
        bool,
        typer.Option(
            "--scattering/--no-scattering", help="Diffuse reflection.", rich_help_panel=HOW
        ),
    ] = False,
    refraction: Annotated[
        bool,
        typer.Option(
            "--refraction/--no-refraction",
            help="Through walls, into buildings.",
            rich_help_panel=HOW,
        ),
    ] = False,
    no_filter: Annotated[
        bool,
        typer.Option("--no-filter", help="Keep the rays' raw estimate.", rich_help_panel=HOW),
    ] = False,
    delay_points: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Cells whose mean delay and delay spread are found exactly (slow).",
            rich_help_panel=HOW,
        ),
    ] = 0,
    formats: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Of zarr, tif, kmz, gpkg and png.", rich_help_panel=OUTPUT
        ),
    ] = "zarr,tif,kmz,gpkg,png",
    out: OutOption = None,
    overwrite: OverwriteOption = False,
    register: RegisterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a radio map of an area: Zarr, GeoTIFF, KMZ, GeoPackage and picture.

    Ctrl-C while rays are traced keeps the map of the rays so far (and exits with 130).
    """
    from pipelines.map import Config, main

    config = Config(
        area,
        sites=sites,
        site=tuple(site or ()),
        bbox=bbox,
        origin=origin,
        default_material=default_material,
        terrain=terrain,
        terrain_resolution_m=terrain_resolution,
        solver=solver,
        model=model,
        frequency_hz=frequency,
        resolution_m=resolution,
        receiver_height_m=receiver_height,
        noise_figure_db=noise_figure,
        load=load,
        scs_hz=scs,
        servers_within_db=servers_within,
        margin_db=margin,
        max_depth=max_depth,
        rays_per_sector=rays,
        target_noise_db=target_noise,
        seed=seed,
        diffraction=diffraction,
        diffuse_reflection=scattering,
        refraction=refraction,
        reconstruct=not no_filter,
        delay_points=delay_points,
        formats=tuple(name.strip() for name in formats.split(",") if name.strip()),
        out=out,
        overwrite=overwrite,
    )
    with live() as (progress, report):
        record = main(config, progress=progress, report=report)
    if register:
        record = registered(record, "radio-map")
    show(record, _map_summary, as_json=as_json)
    if record["solver"].get("stopped_by") == "interrupted":
        sys.stderr.write(f"interrupted: {record['out']} holds the map of the rays so far\n")
        raise typer.Exit(INTERRUPTED)


def _map_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    grid = record["grid"]
    cells = (
        f"{grid['num_x']} x {grid['num_y']} cells of {grid['resolution_m']:g} m, "
        f"{grid['receiver_height_m']:g} m above ground"
    )
    facts: list[tuple[str, RenderableType]] = [
        *scene_facts(record),
        *terrain_facts(record),
        ("Grid", Text(cells)),
        ("Sites", _sites_table(record["sectors"])),
        ("Solver", _solver_text(record["solver"])),
        ("Coverage", _coverage_bars(record["coverage"], record["planning"])),
        ("Time", times(record["stages_s"])),
        ("Written", written(record)),
    ]
    return Group(title(record), fact_table(facts), *notes(record), Text())


def _sites_table(sectors: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A row for each mast and kind of antenna; the masts beyond the first dozen are counted."""
    from rich.table import Table
    from rich.text import Text

    masts: dict[tuple[Any, ...], list[str]] = {}
    for s in sectors:
        key = (
            s["site"], s["mount"], f"{s['height_m']:g}", f"{s['height_above_ground_m']:.1f}",
            s["antenna"], f"{s['frequency_hz'] / 1e9:g}", f"{s['power_dbm']:g}",
        )  # fmt: skip
        masts.setdefault(key, []).append(f"{s['azimuth_deg']:.0f}°")
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for name in ("site", "antenna height", "sectors", "pattern", "carrier", "power"):
        table.add_column(name, overflow="fold")
    shown = list(masts.items())[:12]
    for (site, mount, height, above, antenna, ghz, dbm), azimuths in shown:
        high = f"{above} m" + (f" (roof + {height} m)" if mount == "roof" else " above ground")
        points = (
            " ".join(azimuths) if antenna not in ("isotropic", "dipole") else str(len(azimuths))
        )
        table.add_row(
            *(Text(cell) for cell in (site, high, points, antenna, f"{ghz} GHz", f"{dbm} dBm"))
        )
    if len(masts) > len(shown):
        table.add_row(Text(f"and {len(masts) - len(shown)} more", style="dim"))
    return table


def _solver_text(solver: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    text = Text(solver["solver"])
    if "parameters" in solver:
        rays = solver.get("rays_per_sector")
        text.append(f", {short(solver['parameters'])} weights ({solver['model']})")
        text.append(f", on {short(rays)} rays a sector" if rays else ", without rays")
        if solver.get("noise_db") is not None:
            text.append(f"\nspread {solver['noise_db']:.2f} dB", style="bold")
            text.append(" in the median", style="dim")
        return text
    if "rays_traced_per_sector" not in solver:
        if "standard" in solver:
            text.append(f"   {solver['standard']}", style="dim")
        return text
    noise_db = solver.get("noise_db")
    noise = f"noise {noise_db:.2f} dB" if noise_db is not None else "noise unknown"
    text.append(
        f", {short(solver['rays_traced_per_sector'])} rays a sector in "
        f"{solver['rounds']} batches, {short(solver['rays_per_s'])} rays/s\n"
    )
    text.append(noise, style="bold")
    text.append(f" median standard error   {_STOPPED_BY[solver['stopped_by']]}", style="dim")
    return text


def _coverage_bars(coverage: Mapping[str, Any], planning: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def minus(text: str) -> str:
        return text.replace("-", "\N{MINUS SIGN}")

    statistics = planning["coverage"]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    rows = [
        ("any path", statistics["served"]),
        *(
            (f"SS-RSRP ≥ {minus(level)} dBm", area)
            for level, area in reversed(statistics["at_least"]["ss_rsrp_dbm"].items())
        ),
    ]
    for name, area in rows:
        filled = round(area["share"] * 22)
        bar = Text("━" * filled, style="cyan").append("─" * (22 - filled), style="grey30")
        share = Text(f"{area['share']:.1%}", justify="right")
        size = Text(f"{area['km2']:.3g} km²", justify="right", style="dim")
        table.add_row(Text(name), bar, share, size)
    load = planning["assumptions"]["load"]
    head = Text(
        f"of {coverage['outdoor_cells']:,} outdoor cells, {statistics['outdoor_km2']:.3g} km², "
        f"best server, load {load:.0%}",
        style="dim",
    )
    medians = Text("median")
    for name, unit, digits, scale in (
        ("ss_rsrp_dbm", "dBm SS-RSRP", 1, 1.0),
        ("ss_sinr_db", "dB SINR", 1, 1.0),
        ("rate_bps", "Mbit/s", 0, 1e6),
    ):
        if statistics["medians"][name] is not None:
            value = minus(f"{statistics['medians'][name] / scale:.{digits}f}")
            medians.append(f"   {value} {unit}")
    return Group(head, table, medians) if coverage["reached"] else Group(head, table)
