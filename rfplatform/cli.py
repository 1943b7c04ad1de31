"""The command line: `rfplatform map`, `scene`, `render`, `antenna`, `doctor` and `bench`.

Nothing heavy is imported until a command runs, so that help is quick. Results go to standard
output; progress, warnings and errors to standard error.

Exit codes: 0 done; 1 an error of the program's own; 2 bad input; 3 the ray tracer's process died;
4 the machine lacks something; 130 interrupted (an interrupted trace still writes its map).
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform import __version__
from rfplatform.cli_batch import batch_command
from rfplatform.cli_registry import registry_app
from rfplatform.errors import InputError, MissingError, RfplatformError, WorkerError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

    from pipelines.scene import Report
    from rfplatform.propagation.raytraced import TraceProgress

EXIT_CODES: Mapping[type[RfplatformError], int] = {InputError: 2, WorkerError: 3, MissingError: 4}
UNEXPECTED, INTERRUPTED = 1, 130

_NEGATIVE_LIST = re.compile(r"-[\d.][^,]*,.*")
"""A list of numbers whose first is negative, such as a box in the western hemisphere."""

_HEIGHT_SOURCES = {
    "height": "tagged height",
    "levels": "from levels",
    "neighbours": "median of neighbours",
    "default": "default",
}
_STOPPED_BY = {
    "noise": "target reached",
    "rays": "all rays spent",
    "interrupted": "interrupted",
}

app = typer.Typer(
    name="rfplatform",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_WHERE, _HOW, _PLANNING, _OUTPUT = "Where", "Propagation", "Planning", "Output"

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
        rich_help_panel=_WHERE,
    ),
]
OriginOption = Annotated[
    str | None,
    typer.Option(
        metavar="LON,LAT",
        help="Where (0, 0) of a Mitsuba scene lies; its y axis is taken as grid north.",
        rich_help_panel=_WHERE,
    ),
]
TerrainOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Elevation model for the ground: GeoTIFF, .hgt or .hgt.zip.  [dim]default: flat[/]",
        rich_help_panel=_WHERE,
    ),
]
TerrainResolutionOption = Annotated[
    float,
    typer.Option(metavar="M", help="Between the nodes of the ground.", rich_help_panel=_WHERE),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Directory to write.  [dim]default: out/AREA[/]",
        rich_help_panel=_OUTPUT,
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace an earlier output.", rich_help_panel=_OUTPUT)
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=_OUTPUT),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rfplatform {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand after a command, too.")
    ] = False,
) -> None:
    """Radio maps that can be trusted, from OpenStreetMap to georeferenced coverage."""


@app.command("map")
def map_command(
    area: AreaArgument,
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Site list. [bold]helsinki[/] has an example of its own.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LON,LAT,HEIGHT[,AZIMUTH]",
            help="A site, in place of a list; may be repeated. Height above ground, or above "
            "the roof where there is one. X,Y in metres for a scene without --origin.",
            rich_help_panel=_WHERE,
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
            rich_help_panel=_WHERE,
        ),
    ] = None,
    solver: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="raytraced, tr38901-uma, tr38901-umi, tr38901-rma or free-space.",
            rich_help_panel=_HOW,
        ),
    ] = "raytraced",
    frequency: Annotated[
        float,
        typer.Option(
            metavar="HZ",
            help="Carrier, where the site list has none.",
            show_default="3.5e9",
            rich_help_panel=_HOW,
        ),
    ] = 3.5e9,
    resolution: Annotated[
        float, typer.Option(metavar="M", help="Edge of a cell.", rich_help_panel=_HOW)
    ] = 4.0,
    receiver_height: Annotated[
        float,
        typer.Option(metavar="M", help="Receivers above ground.", rich_help_panel=_HOW),
    ] = 1.5,
    noise_figure: Annotated[
        float, typer.Option(metavar="DB", help="Of the receivers.", rich_help_panel=_HOW)
    ] = 7.0,
    load: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Of every sector's capacity, 0..1.", rich_help_panel=_PLANNING
        ),
    ] = 1.0,
    scs: Annotated[
        float | None,
        typer.Option(
            metavar="HZ",
            help="Subcarrier spacing.  [dim]default: 15e3 below 2.5 GHz, 30e3 above, 120e3 in "
            "FR2[/]",
            rich_help_panel=_PLANNING,
        ),
    ] = None,
    servers_within: Annotated[
        float,
        typer.Option(
            metavar="DB", help="Count servers this near the best.", rich_help_panel=_PLANNING
        ),
    ] = 6.0,
    margin: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="From Shannon's bound to a receiver, for the rate.",
            rich_help_panel=_PLANNING,
        ),
    ] = 3.0,
    max_depth: Annotated[
        int, typer.Option(metavar="N", help="Most reflections of a path.", rich_help_panel=_HOW)
    ] = 8,
    rays: Annotated[
        float,
        typer.Option(
            metavar="N",
            help="Most rays of each sector.",
            show_default="2e7",
            rich_help_panel=_HOW,
        ),
    ] = 2e7,
    target_noise: Annotated[
        float,
        typer.Option(
            metavar="DB",
            help="Stop at this median standard error; 0: spend all rays.",
            rich_help_panel=_HOW,
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed.", rich_help_panel=_HOW)] = 1,
    diffraction: Annotated[
        bool,
        typer.Option("--diffraction/--no-diffraction", help="Around edges.", rich_help_panel=_HOW),
    ] = True,
    scattering: Annotated[
        bool,
        typer.Option(
            "--scattering/--no-scattering", help="Diffuse reflection.", rich_help_panel=_HOW
        ),
    ] = False,
    refraction: Annotated[
        bool,
        typer.Option(
            "--refraction/--no-refraction",
            help="Through walls, into buildings.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    no_filter: Annotated[
        bool,
        typer.Option("--no-filter", help="Keep the rays' raw estimate.", rich_help_panel=_HOW),
    ] = False,
    delay_points: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Cells whose mean delay and delay spread are found exactly (slow).",
            rich_help_panel=_HOW,
        ),
    ] = 0,
    formats: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Of zarr, tif, kmz, gpkg and png.", rich_help_panel=_OUTPUT
        ),
    ] = "zarr,tif,kmz,gpkg,png",
    out: OutOption = None,
    overwrite: OverwriteOption = False,
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
    with _live() as (progress, report):
        record = main(config, progress=progress, report=report)
    _show(record, _map_summary, as_json=as_json)
    if record["solver"].get("stopped_by") == "interrupted":
        sys.stderr.write(f"interrupted: {record['out']} holds the map of the rays so far\n")
        raise typer.Exit(INTERRUPTED)


@app.command("scene")
def scene_command(
    area: AreaArgument,
    bbox: BboxOption = None,
    origin: OriginOption = None,
    terrain: TerrainOption = None,
    terrain_resolution: TerrainResolutionOption = 30.0,
    resolution: Annotated[
        float,
        typer.Option(metavar="M", help="Of the raster of building heights.", rich_help_panel=_HOW),
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory to write.  [dim]default: out/AREA-scene[/]",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    blend: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a .blend file, too, to edit in Blender.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
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
    with _live() as (_, report):
        record = main(config, report=report)
    _show(record, _scene_summary, as_json=as_json)


@app.command("render")
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
        str, typer.Option(metavar="WxH", help="Of the picture in pixels.", rich_help_panel=_OUTPUT)
    ] = "1600x1000",
    samples: Annotated[
        int, typer.Option(metavar="N", help="Rays a pixel.", rich_help_panel=_OUTPUT)
    ] = 24,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="File to write.  [dim]default: the .blend file's name with .png[/]",
            rich_help_panel=_OUTPUT,
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
    with _live() as (_, report):
        record = main(config, report=report)
    _show(record, _render_summary, as_json=as_json)


@app.command("antenna")
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
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    msi: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as .msi, too.", rich_help_panel=_OUTPUT),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure an antenna: gain, beam widths, front-to-back ratio, tilt; and draw its cuts."""
    from pipelines.antenna import Config, main

    with _live() as (_, report):
        report("Measuring")
        record = main(Config(name, out=out, msi=msi, overwrite=overwrite))
    _show(record, _antenna_summary, as_json=as_json)


@app.command("doctor")
def doctor_command(as_json: JsonOption = False) -> None:
    """Look at what this machine has for radio maps, and say what to type for what it lacks."""
    from dataclasses import asdict

    from rich.console import Console

    from rfplatform.doctor import diagnose, ok, render

    with _live() as (_, report):
        report("Looking around, and tracing a tiny map")
        checks = diagnose()
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        render(checks, Console())
    if not ok(checks):
        raise typer.Exit(EXIT_CODES[MissingError])


@app.command("bench")
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
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
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
    with _live() as (_, report):
        result = main(Config(name, out=out), report=report)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    else:
        console.print(render(result))


app.command("batch")(batch_command)


@app.command("mosaic")
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
            rich_help_panel=_OUTPUT,
        ),
    ],
    job: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The maps of this job alone.", rich_help_panel=_WHERE),
    ] = None,
    bbox: Annotated[
        str | None,
        typer.Option(metavar="W,S,E,N", help="Keep this box of them.", rich_help_panel=_WHERE),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Join the tiles of a batch: one Zarr, GeoTIFF and picture, blended over their seams."""
    from pipelines.mosaic import Config, main

    with _live() as (_, report):
        record = main(Config(store, out, job=job, bbox=bbox, overwrite=overwrite), report=report)
    _show(record, _mosaic_summary, as_json=as_json)


# Further commands belong here, each an @app.command like those above.
app.add_typer(registry_app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; what the `rfplatform` script calls.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code; see the module.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # A leading space makes "-74.02,40.70,..." a value instead of an option; it is stripped later.
    given = [f" {a}" if _NEGATIVE_LIST.fullmatch(a) else a for a in given if a != "--debug"]
    try:
        with nullcontext() if debug else _quiet_libraries():
            code = typer.main.get_command(app).main(
                given, prog_name="rfplatform", standalone_mode=False
            )
    except RfplatformError as error:
        if debug:
            raise
        return _fail(str(error), EXIT_CODES[_kind(error)])
    except _Interrupted:
        return _fail("interrupted: nothing was written", INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error
            return _usage_error(error)
        if debug:
            raise
        text = _one_line(f"{type(error).__name__}: {error}")
        return _fail(f"{text} (a fault in rfplatform: --debug shows where)", UNEXPECTED)
    return code if isinstance(code, int) else 0


class _Interrupted(Exception):  # noqa: N818  (a wish, not an error)
    """Ctrl-C before there was anything to keep; typer makes a mere exit code of the original."""


def _usage_error(error: Any) -> int:  # noqa: ANN401  (click's, or typer's own copy of click's)
    """One line; or the help where nothing was asked for."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        if message:
            sys.stderr.write(message.rstrip() + "\n")
        return 2
    return _fail(message, EXIT_CODES[InputError])


def _kind(error: RfplatformError) -> type[RfplatformError]:
    return next(kind for kind in EXIT_CODES if isinstance(error, kind))


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {_one_line(message)}\n")
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep libraries' warnings out of the one line that an error is told in."""
    import logging
    import warnings

    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


# ----------------------------------------------------------------------------------------------
# While it runs
# ----------------------------------------------------------------------------------------------


@contextmanager
def _live() -> Iterator[tuple[Callable[[TraceProgress], None], Report]]:
    """A spinner, then a bar, on standard error; nothing where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    progress = _progress(console)
    task = progress.add_task("Starting", total=None, noise="", batches="", rate="")
    # Where nobody watches, a log gets the errors alone.
    progress.disable = not console.is_terminal
    with _interruptible(), progress:

        def report(text: str) -> None:
            progress.reset(task, description=text, total=None, noise="", batches="", rate="")

        def show(now: TraceProgress) -> None:
            noise = f"noise {now.noise_db:.2f} dB" if now.noise_db == now.noise_db else ""
            progress.update(
                task,
                description="Tracing",
                completed=now.rays,
                total=now.rays_budget,
                batches=f"batch {min(now.rounds + 1, now.num_rounds)}/{now.num_rounds}",
                rate=f"{_short(now.rays / max(now.elapsed_s, 1e-9))} rays/s",
                noise=noise,
            )

        yield show, report


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise _Interrupted from error


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    class TimeLeft(Remaining):
        """Time left, and nothing before it is known."""

        def render(self, task: Any) -> Any:  # noqa: ANN401  (rich's own types)
            from rich.text import Text

            if task.total is None or task.time_remaining is None:
                return Text("")
            return Text(f"{_duration(round(task.time_remaining))} left", style="progress.remaining")

    return Progress(
        SpinnerColumn(style="cyan"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28, pulse_style="grey37", complete_style="cyan"),
        TextColumn("{task.fields[batches]}"),
        TextColumn("[dim]{task.fields[rate]}"),
        TextColumn("[bold]{task.fields[noise]}"),
        TimeLeft(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


# ----------------------------------------------------------------------------------------------
# When it is done
# ----------------------------------------------------------------------------------------------


def _show(
    record: Mapping[str, Any],
    summary: Callable[[Mapping[str, Any]], RenderableType],
    *,
    as_json: bool,
) -> None:
    if as_json:
        for warning in record["warnings"]:
            sys.stderr.write(f"warning: {_one_line(warning)}\n")
        is_unicode = "utf" in (sys.stdout.encoding or "").lower()
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=not is_unicode) + "\n")
        return
    from rich.console import Console

    # A terminal that knows no Unicode must not turn a finished run into an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False)
    console.print(summary(record))


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
    return Group(Text(record["name"], style="bold"), _facts(rows), *warnings, Text())


def _map_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    grid = record["grid"]
    cells = (
        f"{grid['num_x']} x {grid['num_y']} cells of {grid['resolution_m']:g} m, "
        f"{grid['receiver_height_m']:g} m above ground"
    )
    facts: list[tuple[str, RenderableType]] = [
        *_scene_facts(record),
        *_terrain_facts(record),
        ("Grid", Text(cells)),
        ("Sites", _sites_table(record["sectors"])),
        ("Solver", _solver_text(record["solver"])),
        ("Coverage", _coverage_bars(record["coverage"], record["planning"])),
        ("Time", _times(record["stages_s"])),
        ("Written", _written(record)),
    ]
    return Group(_title(record), _facts(facts), *_notes(record), Text())


def _scene_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    solids = record.get("solids")
    materials = (solids or record["buildings"])["materials"]
    listed = ", ".join(
        f"{count:,} {name}" for name, count in sorted(materials.items(), key=lambda pair: -pair[1])
    )
    facts: list[tuple[str, RenderableType]] = [
        *_scene_facts(record),
        *_terrain_facts(record),
        ("Materials", Text(listed or "none")),
        *([] if solids else [("Ground", Text(record["ground_material"].replace("_", " ")))]),
        ("Time", _times(record["stages_s"])),
        ("Written", _written(record)),
    ]
    return Group(_title(record), _facts(facts), *_notes(record), Text())


def _terrain_facts(record: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
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


def _render_summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    width, height = record["size"]
    name = f"{record['name']} [{record['unit']}]" if record["unit"] else record["name"]
    facts: list[tuple[str, RenderableType]] = [
        ("Layer", Text.assemble(name, (f"   {record['layer']}", "dim"))),
        ("Picture", Text(f"{width} x {height} pixels")),
        ("Time", Text(_duration(record["seconds"]))),
        ("Written", Text(record["out"], style="bold", overflow="fold")),
    ]
    return Group(_title(record), _facts(facts), *_notes(record), Text())


def _title(record: Mapping[str, Any]) -> RenderableType:
    from rich.rule import Rule
    from rich.text import Text

    return Rule(Text(record["area"]["name"], style="bold cyan"), align="left", style="cyan")


def _facts(rows: Sequence[tuple[str, RenderableType]]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for number, (name, value) in enumerate(rows):
        table.add_row(name, value)
        if number + 1 < len(rows) and name in ("Grid", "Sites", "Solver", "Coverage"):
            table.add_row("", "")
    return table


def _notes(record: Mapping[str, Any]) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    notes = Table.grid(padding=(0, 1, 0, 0))
    notes.add_column(no_wrap=True)
    notes.add_column(overflow="fold")
    for warning in record["warnings"]:
        notes.add_row(Text("!", style="bold yellow"), Text(warning, style="yellow"))
    parts: list[RenderableType] = [Text(), notes] if record["warnings"] else []
    if record["attribution"]:
        parts += [Text(), Text(record["attribution"], style="dim")]
    return parts


def _scene_facts(record: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
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
    if "rays_traced_per_sector" not in solver:
        if "standard" in solver:
            text.append(f"   {solver['standard']}", style="dim")
        return text
    noise_db = solver.get("noise_db")
    noise = f"noise {noise_db:.2f} dB" if noise_db is not None else "noise unknown"
    text.append(
        f", {_short(solver['rays_traced_per_sector'])} rays a sector in "
        f"{solver['rounds']} batches, {_short(solver['rays_per_s'])} rays/s\n"
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


def _times(stages_s: Mapping[str, float]) -> RenderableType:
    from rich.text import Text

    return Text(" · ".join(f"{stage} {_duration(seconds)}" for stage, seconds in stages_s.items()))


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
        ("Time", _times(record["stages_s"])),
        ("Written", _written(record)),
    ]
    title = Rule(Text(record["title"], style="bold cyan"), align="left", style="cyan")
    return Group(title, _facts(facts), *_notes(record), Text())


def _written(record: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    text = Text(f"{record['out']}/", style="bold", overflow="fold")
    text.append("\n" + "  ".join(record["outputs"]), style="not bold")
    return text


def _short(number: float) -> str:
    """A large number in thousands, millions or billions."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:  # what three digits round up to it
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes / 60:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
