"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WHERE, HOW, PLANNING, OUTPUT = "Where", "Propagation", "Planning", "Output"
"""Panels of the help."""

AreaArgument = Annotated[
    str,
    typer.Argument(
        metavar="AREA",
        help="[bold]helsinki[/]; a file (.osm, .osm.pbf, .geojson, .gpkg, .parquet); "
        "W,S,E,N in degrees; a place name; or a Mitsuba scene (.xml, its folder, "
        "[bold]sionna:munich[/]).",
        show_default=False,
    ),
]
BboxOption = Annotated[
    str | None,
    typer.Option(
        metavar="W,S,E,N",
        help="Keep this box of the area (metres in a scene without --origin).",
        rich_help_panel=WHERE,
    ),
]
OriginOption = Annotated[
    str | None,
    typer.Option(
        metavar="LON,LAT",
        help="Where (0, 0) of a Mitsuba scene lies; its y axis is taken as grid north.",
        rich_help_panel=WHERE,
    ),
]
TerrainOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Elevation model for the ground: GeoTIFF, .hgt or .hgt.zip.  [dim]default: flat[/]",
        rich_help_panel=WHERE,
    ),
]
TerrainResolutionOption = Annotated[
    float,
    typer.Option(metavar="M", help="Between the nodes of the ground.", rich_help_panel=WHERE),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Directory to write.  [dim]default: out/AREA[/]",
        rich_help_panel=OUTPUT,
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier output.", rich_help_panel=OUTPUT)
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT),
]
RegisterOption = Annotated[
    bool,
    typer.Option(
        "--register",
        help="Take it into the registry, with what it was made from.",
        rich_help_panel=OUTPUT,
    ),
]
