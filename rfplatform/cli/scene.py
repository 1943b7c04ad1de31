"""The commands `rfplatform scene` and `render`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import live
from rfplatform.cli.options import (
    HOW,
    OUTPUT,
    AreaArgument,
    BboxOption,
    JsonOption,
    OriginOption,
    OverwriteOption,
    RegisterOption,
    TerrainOption,
    TerrainResolutionOption,
)
from rfplatform.cli.show import duration, fact_table, notes, registered, show, times, title, written

if TYPE_CHECKING:
    from rich.console import RenderableType


_HEIGHT_SOURCES = {
    "height": "tagged height",
    "levels": "from levels",
    "neighbours": "median of neighbours",
    "default": "default",
}


def scene_command(
    area: AreaArgument,
    bbox: BboxOption = None,
    origin: OriginOption = None,
    terrain: TerrainOption = None,
    terrain_resolution: TerrainResolutionOption = 30.0,
    resolution: Annotated[
        float,
        typer.Option(metavar="M", help="Of the raster of building heights.", rich_help_panel=HOW),
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory to write.  [dim]default: out/AREA-scene[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    blend: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a .blend file, too, to edit in Blender.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    register: RegisterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the scene alone: Mitsuba XML with PLY meshes, buildings and their heights."""
    from pipelines.scene import Config, main

    config = Config(
        area,
        bbox=bbox,
        origin=origin,
        terrain=terrain,
        terrain_resolution_m=terrain_resolution,
        resolution_m=resolution,
        out=out,
        overwrite=overwrite,
        blend=blend,
    )
    with live() as (_, report):
        record = main(config, report=report)
    if register:
        record = registered(record, "scene")
    show(record, _scene_summary, as_json=as_json)


def render_command(
    blend: Annotated[
        Path,
        typer.Argument(
            metavar="BLEND",
            help="A .blend file, as [bold]rfplatform scene AREA --blend[/] writes it.",
            show_default=False,
        ),
    ],
    radio_map: Annotated[
        Path,
        typer.Option(
            "--radio-map",
            metavar="DIR",
            help="What [bold]rfplatform map[/] wrote.",
            show_default=False,
        ),
    ],
    layer: Annotated[
        str, typer.Option(metavar="NAME", help="A raster of the map, such as sinr_db.")
    ] = "best_rss_dbm",
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Of the picture in pixels.", rich_help_panel=OUTPUT)
    ] = "1600x1000",
    samples: Annotated[
        int, typer.Option(metavar="N", help="Rays a pixel.", rich_help_panel=OUTPUT)
    ] = 24,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="File to write.  [dim]default: the .blend file's name with .png[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw a city from a Blender file with a radio map over its ground."""
    from pipelines.render import Config, main

    config = Config(
        blend,
        radio_map,
        layer=layer,
        out=out,
        size=size,
        samples=samples,
        overwrite=overwrite,
    )
    with live() as (_, report):
        record = main(config, report=report)
    show(record, _render_summary, as_json=as_json)


def _scene_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    solids = record.get("solids")
    materials = (solids or record["buildings"])["materials"]
    listed = ", ".join(
        f"{count:,} {name}" for name, count in sorted(materials.items(), key=lambda pair: -pair[1])
    )
    facts: list[tuple[str, RenderableType]] = [
        *scene_facts(record),
        *terrain_facts(record),
        ("Materials", Text(listed or "none")),
        *([] if solids else [("Ground", Text(record["ground_material"].replace("_", " ")))]),
        ("Time", times(record["stages_s"])),
        ("Written", written(record)),
    ]
    return Group(title(record), fact_table(facts), *notes(record), Text())


def _render_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    width, height = record["size"]
    name = f"{record['name']} [{record['unit']}]" if record["unit"] else record["name"]
    facts: list[tuple[str, RenderableType]] = [
        ("Layer", Text.assemble(name, (f"   {record['layer']}", "dim"))),
        ("Picture", Text(f"{width} x {height} pixels")),
        ("Time", Text(duration(record["seconds"]))),
        ("Written", Text(record["out"], style="bold", overflow="fold")),
    ]
    return Group(title(record), fact_table(facts), *notes(record), Text())


def scene_facts(record: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    """Where a scene lies, and what stands in it."""
    from rich.text import Text

    area, buildings, solids = record["area"], record["buildings"], record.get("solids")
    size = f"{area['width_m'] / 1e3:.2f} x {area['height_m'] / 1e3:.2f} km"
    where = (
        ",".join(f"{bound:.5f}" for bound in area["bounds_deg"])
        if area["bounds_deg"]
        else ",".join(f"{bound:.1f}" for bound in area["bounds_m"]) + " m"
    )
    placed = record["crs"] or record["coordinates"]
    heights = " · ".join(
        f"{count:,} {_HEIGHT_SOURCES[source]}"
        for source, count in buildings["height_sources"].items()
        if count
    )
    events = " · ".join(
        f"{name}: {count:,}" for name, count in buildings["events"].items() if count
    )
    place = ("Area", Text.assemble(f"{size}, {placed}", (f"   {where}", "dim")))
    if solids:
        ground = ", ".join(solids["ground_names"][:3]) or "none"
        more = solids["ground_shapes"] - 3
        told = f"{ground} and {more} more" if more > 0 else ground
        return [
            place,
            ("Shapes", Text(f"{solids['shapes']:,}, {solids['triangles']:,} triangles")),
            ("Ground", Text.assemble(told, (f"   by {solids['ground_by']}", "dim"))),
        ]
    return [
        place,
        ("Buildings", Text(f"{buildings['count']:,}")),
        ("Heights", Text(heights or "none")),
        *([("Footprints", Text(events, style="dim"))] if events else []),
    ]


def terrain_facts(record: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    """What its ground is; nothing where it is flat."""
    from rich.text import Text

    terrain = record.get("terrain")
    if terrain is None:
        return []
    voids = f", {terrain['voids_filled']:,} voids filled" if terrain["voids_filled"] else ""
    text = (
        f"{terrain['lowest_m']:.0f} to {terrain['highest_m']:.0f} m, {terrain['source']} every "
        f"{terrain['resolution_m']:g} m, at most {terrain['max_error_m']:.1f} m off it{voids}"
    )
    return [("Terrain", Text(text))]
