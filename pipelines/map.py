"""An area and a site list to a radio map with everything that belongs to it, in one directory."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.scene import (
    Report,
    describe,
    describe_file,
    describe_input,
    open_scene,
    opened,
    parse_where,
    plain,
    require_memory,
    require_output,
    require_resolution,
    scene_warnings,
    sha256,
    slug,
    versions,
    write_json,
    write_scene_files,
)
from rfplatform.antennas import is_file, resolved_beside
from rfplatform.catalog import ANTENNAS, SolverConfig, find_solver
from rfplatform.errors import InputError, MissingError
from rfplatform.frame import LOCAL_METRES, Frame
from rfplatform.geodata.load import source_name, source_path
from rfplatform.geodata.place import BuiltIn, SceneFile, Source
from rfplatform.geodata.sites import (
    DEFAULT_FREQUENCY_HZ,
    SiteRow,
    parse_site_option,
    place_sectors,
    read_sites,
)
from rfplatform.geodata.terrain import DEFAULT_RESOLUTION_M
from rfplatform.planning.coverage import describe as describe_planning
from rfplatform.planning.layers import Assumptions, PlanningLayers, planning_layers
from rfplatform.planning.numerology import numerologies
from rfplatform.propagation.montecarlo import MAX_RAYS_PER_SECTOR
from rfplatform.propagation.raytraced import TraceProgress
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.scene import Area, LocalArea, Scene
from rfplatform.shipped import shipped_folder
from rfplatform.staging import staged
from rfplatform.units import FloatArray, thermal_noise_dbm

FORMATS: Mapping[str, str] = {
    "zarr": "radio_map.zarr",
    "tif": "radio_map.tif",
    "kmz": "radio_map.kmz",
    "gpkg": "contours.gpkg",
    "png": "radio_map.png",
}
"""What ``--formats`` can name, and the files."""

RECORD = "run.json"
COVERAGE_DBM = (-80.0, -90.0, -100.0, -110.0, -120.0)
"""Levels of the best RSS whose share of the outdoor cells is told."""

BYTES_PER_CELL = 280
BYTES_PER_SECTOR_CELL = 60
BYTES_PER_TRACED_SECTOR_CELL = 160
"""Peak of working memory for each cell, and for each sector's; measured, rounded up."""


@dataclass(frozen=True)
class Config:
    """Every option of a map.

    Attributes
    ----------
    area : str
        A built-in extract, a file, ``W,S,E,N``, a place name or a scene made elsewhere.
    sites : Path, optional
        A site list. The built-in Helsinki has an example list for where neither this nor
        `site` is given.
    site : tuple of str
        Sites as ``LON,LAT,HEIGHT[,AZIMUTH]``, in place of a list; as ``X,Y,HEIGHT[,AZIMUTH]`` in
        the local metres of a scene without an origin.
    bbox : str, optional
        ``W,S,E,N`` to keep of the area; in local metres for a scene without an origin.
    origin : str, optional
        ``LON,LAT`` of the (0, 0) of a scene made elsewhere, whose y axis then is grid north.
    solver : str
        A name of `rfplatform.catalog.SOLVERS`.
    frequency_hz : float
        Carrier of `site`, and of rows of a list that leave it open.
    default_material : str, optional
        For what has no radio material in a Blender file.
    terrain : Path, optional
        An elevation model for the ground, see `rfplatform.geodata.terrain.load_terrain`.
    terrain_resolution_m : float
        Distance between the nodes of the ground.
    resolution_m : float
        Edge of a cell.
    receiver_height_m : float
        Above ground.
    noise_figure_db : float
        Of the receivers, for the SINR.
    load, scs_hz, servers_within_db, margin_db : float, float or None, float, float
        See `rfplatform.planning.layers.Assumptions`.
    model : str
        "name@version" of a trained model; "": the one that comes with rfplatform.
    max_depth, rays_per_sector, target_noise_db, seed : int, float or None, float, int
        See `rfplatform.propagation.raytraced.RayTraced`; no rays given are the solver's own.
    diffraction, diffuse_reflection, refraction, reconstruct : bool
        The same.
    delay_points : int
        The same.
    formats : tuple of str
        Of `FORMATS`; the scene and the record are always written.
    out : Path, optional
        The directory to write; by default ``out/`` and the area's name.
    overwrite : bool
        Replace an earlier output.
    """

    area: str
    sites: Path | None = None
    site: tuple[str, ...] = ()
    bbox: str | None = None
    origin: str | None = None
    solver: str = "raytraced"
    model: str = ""
    frequency_hz: float = DEFAULT_FREQUENCY_HZ
    default_material: str | None = None
    terrain: Path | None = None
    terrain_resolution_m: float = DEFAULT_RESOLUTION_M
    resolution_m: float = 4.0
    receiver_height_m: float = 1.5
    noise_figure_db: float = 7.0
    load: float = 1.0
    scs_hz: float | None = None
    servers_within_db: float = 6.0
    margin_db: float = 3.0
    max_depth: int = 8
    rays_per_sector: float | None = None
    target_noise_db: float = 1.0
    seed: int = 1
    diffraction: bool = True
    diffuse_reflection: bool = False
    refraction: bool = False
    reconstruct: bool = True
    delay_points: int = 0
    formats: tuple[str, ...] = tuple(FORMATS)
    out: Path | None = None
    overwrite: bool = False


OPTIONS: Mapping[str, str] = {
    "area": "AREA",
    "sites": "--sites",
    "site": "--site",
    "bbox": "--bbox",
    "origin": "--origin",
    "solver": "--solver",
    "model": "--model",
    "frequency_hz": "--frequency",
    "default_material": "--default-material",
    "terrain": "--terrain",
    "terrain_resolution_m": "--terrain-resolution",
    "resolution_m": "--resolution",
    "receiver_height_m": "--receiver-height",
    "noise_figure_db": "--noise-figure",
    "load": "--load",
    "scs_hz": "--scs",
    "servers_within_db": "--servers-within",
    "margin_db": "--margin",
    "max_depth": "--max-depth",
    "rays_per_sector": "--rays",
    "target_noise_db": "--target-noise",
    "seed": "--seed",
    "diffraction": "--no-diffraction",
    "diffuse_reflection": "--scattering",
    "refraction": "--refraction",
    "reconstruct": "--no-filter",
    "delay_points": "--delay-points",
    "formats": "--formats",
    "out": "--out",
    "overwrite": "--overwrite",
}
"""What the fields of `Config` are called on the command line; ``--no-...`` turns one off."""

_SOLVER_FIELDS = (
    "model",
    "max_depth",
    "rays_per_sector",
    "target_noise_db",
    "seed",
    "diffraction",
    "diffuse_reflection",
    "refraction",
    "reconstruct",
    "delay_points",
)
"""Those that only some solvers have, by the same name."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What was asked for, checked as far as it can be without reading the area.

    Attributes
    ----------
    source, bbox, frame : Source, Area or LocalArea or None, Frame
        What to read, which part of it, and the frame of a scene made elsewhere.
    formats : tuple of str
        Those that can be written.
    solver : SolverConfig
    rows : tuple of SiteRow
    sites_path : Path, optional
        Where the rows are from; None where they were given one by one.
    assumptions : Assumptions
    warnings : tuple of str
    """

    source: Source
    bbox: Area | LocalArea | None
    frame: Frame
    formats: tuple[str, ...]
    solver: SolverConfig
    rows: tuple[SiteRow, ...]
    sites_path: Path | None
    assumptions: Assumptions
    warnings: tuple[str, ...]


def main(
    config: Config,
    *,
    progress: Callable[[TraceProgress], None] | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Make a radio map and write it with its scene and record, or write nothing.

    On an interrupt (Ctrl-C) while rays are traced, the map of the rays so far is written, and
    said to be partial: ``solver.stopped_by`` is "interrupted". At any other time an interrupt
    leaves nothing.

    Parameters
    ----------
    config : Config
    progress : callable, optional
        Told how far the solver is.
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        What ``run.json`` holds, and "out": the area, CRS, origin and grid, the buildings with
        the provenance of their heights, sectors with their mounts, how the solver went, the
        coverage, the planning layers' assumptions and statistics, stage times, options,
        versions, input hashes, outputs and warnings.

    Raises
    ------
    InputError
        Anything wrong with what was asked for.
    WorkerError
        The ray tracer's process died or failed.
    MissingError
        The machine lacks something: the network, libLLVM.
    """
    with opened(config.area, config.default_material) as (source, notes):
        return _make(config, source, notes, progress, report or (lambda _: None))


def _make(
    config: Config,
    source: Source,
    notes: Sequence[str],
    progress: Callable[[TraceProgress], None] | None,
    tell: Report,
) -> dict[str, Any]:
    clock = Clock()
    plan = checked(config, source, notes)
    out = config.out or Path("out") / slug(source_name(source))
    require_output(
        out,
        overwrite=config.overwrite,
        own={RECORD, "scene", *FORMATS.values()},
        inputs=[source_path(source), plan.sites_path, config.terrain],
    )
    tell("Reading the buildings")
    scene, survey = open_scene(
        plan.source, plan.bbox, plan.frame, config.terrain, config.terrain_resolution_m
    )
    sectors = place_sectors(plan.rows, scene)
    grid = Grid.covering(
        scene.area.bounds_m(scene.frame),
        scene.frame,
        config.resolution_m,
        config.receiver_height_m,
    )
    require_feasible(config, sectors, grid)
    clock.lap("scene")

    tell(f"Solving {_count(len(sectors), 'sector')}")
    radio_map = titled(plan.solver.load(progress)(scene, sectors, grid), scene)
    clock.lap("solver")

    tell("Writing the outputs")
    planning = planning_layers(radio_map, plan.assumptions)
    with staged(out, config.overwrite) as partial:
        partial.mkdir()
        write_map(radio_map, planning, scene, plan.formats, partial)
        (partial / "scene").mkdir()
        write_scene_files(scene, grid, partial / "scene")
        clock.lap("outputs")
        map_ = describe_map(config, plan.rows, radio_map, planning)
        record = {
            **describe(scene, survey),
            **map_,
            "warnings": [*plan.warnings, *scene_warnings(scene, survey), *map_["warnings"]],
            "stages_s": clock.laps,
            "options": plain(asdict(config)),
            "versions": versions(),
            "inputs": {
                "area": describe_input(plan.source),
                "sites": describe_file(plan.sites_path),
                "antennas": _describe_antennas(sectors),
                "terrain": describe_file(config.terrain),
            },
            "outputs": sorted([*(p.name for p in partial.iterdir()), RECORD]),
        }
        write_json(record, partial / RECORD)
    return {**record, "out": str(out)}


def require_feasible(config: Config, sectors: Sequence[Sector], grid: Grid) -> None:
    """Refuse, before the long work, what its end would refuse, or what memory can't hold."""
    numerologies(sectors, config.scs_hz)
    is_traced = config.solver == "raytraced" or config.rays_per_sector is not None
    per_sector = BYTES_PER_TRACED_SECTOR_CELL if is_traced else BYTES_PER_SECTOR_CELL
    require_memory(grid, BYTES_PER_CELL + per_sector * len(sectors))


def titled(radio_map: RadioMap, scene: Scene) -> RadioMap:
    """The map with its area's name and whose data it is made from."""
    attrs = {
        **plain(dict(radio_map.attrs)),
        "title": scene.area.name,
        "attribution": scene.attribution,
    }
    return replace(radio_map, attrs=attrs)


def describe_map(
    config: Config, rows: Sequence[SiteRow], radio_map: RadioMap, planning: PlanningLayers
) -> dict[str, Any]:
    """Grid, sectors, solver, coverage, planning and warnings of a map, as plain JSON values."""
    return {
        "grid": _describe_grid(radio_map.grid),
        "sectors": [
            _describe_sector(row, sector)
            for row, sector in zip(rows, radio_map.sectors, strict=True)
        ],
        "solver": {k: v for k, v in radio_map.attrs.items() if k not in _TITLES},
        "coverage": coverage(radio_map, config.noise_figure_db),
        "planning": describe_planning(radio_map, planning),
        "warnings": [*_map_warnings(config, radio_map), *planning.notes],
    }


_TITLES = ("title", "attribution")


class Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = round(now - self._last, 2)
        self._last = now


def read_rows(path: Path, frequency_hz: float) -> tuple[SiteRow, ...]:
    """Read a site list whose antennas are those of the catalog or files beside it.

    Parameters
    ----------
    path : Path
    frequency_hz : float
        Carrier of rows that leave it open.
    """
    return read_sites(
        path,
        frequency_hz=frequency_hz,
        known_antennas=ANTENNAS,
        resolve_antenna=partial(resolved_beside, folder=path.parent),
    )


def checked(
    config: Config,
    source: Source,
    notes: Sequence[str] = (),
    *,
    read: Callable[[Path, float], tuple[SiteRow, ...]] = read_rows,
) -> Plan:
    """Check every option that can be checked without reading the area.

    Parameters
    ----------
    config : Config
        Its `out` is not looked at.
    source : Source
        What `config.area` is.
    notes : sequence of str
        Warnings to begin with.
    read : callable
        Reads a site list: `read_rows`, or one that remembers what it has read.

    Raises
    ------
    InputError
        The first fault that is found.
    """
    _check_numbers(config)
    _check_formats(config.formats)
    solver = _solver(config)
    assumptions = Assumptions(
        load=config.load,
        scs_hz=config.scs_hz,
        noise_figure_db=config.noise_figure_db,
        servers_within_db=config.servers_within_db,
        margin_db=config.margin_db,
    )
    bbox, frame = parse_where(source, config.bbox, config.origin)
    is_local = isinstance(source, SceneFile) and frame.crs is None
    formats, lost = _formats_of(config.formats, is_local=is_local)
    sites_path = _sites_path(config, source)
    if sites_path is not None:
        rows = read(sites_path, config.frequency_hz)
    else:
        rows = tuple(
            parse_site_option(text, number=number, frequency_hz=config.frequency_hz, local=is_local)
            for number, text in enumerate(config.site, start=1)
        )
    warnings = [*notes, *lost, *_unused_options(config, solver, rows)]
    return Plan(
        source, bbox, frame, formats, solver, rows, sites_path, assumptions, tuple(warnings)
    )


def _check_numbers(config: Config) -> None:
    require_resolution(config.resolution_m)
    # Comparisons with NaN are false, so that it is refused too.
    if not 0.0 < config.receiver_height_m <= 1000.0:
        raise InputError(
            f"receiver height {config.receiver_height_m:g} m: must be positive, at most 1000 m"
        )
    if not 0.0 <= config.noise_figure_db <= 100.0:
        raise InputError(f"noise figure {config.noise_figure_db:g} dB: must lie in 0..100 dB")
    if not 30e6 <= config.frequency_hz <= 1e12:
        raise InputError(
            f"frequency {config.frequency_hz:g} Hz: must lie in 30e6..1e12 Hz "
            "(is it in MHz or GHz?)"
        )
    if config.rays_per_sector is not None and not 1.0 <= config.rays_per_sector <= 1e12:
        raise InputError(f"rays {config.rays_per_sector:g}: must lie in 1..1e12")


def _check_formats(names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"formats: give at least one of {', '.join(FORMATS)}")
    for name in names:
        if name not in FORMATS:
            near = difflib.get_close_matches(name, FORMATS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"unknown format {name!r}{hint} (known: {', '.join(FORMATS)})")


def _formats_of(names: tuple[str, ...], *, is_local: bool) -> tuple[tuple[str, ...], list[str]]:
    """The formats that can be written, and a warning of those that can't."""
    if not is_local or "kmz" not in names:
        return names, []
    kept = tuple(name for name in names if name != "kmz")
    if not kept:
        raise InputError(
            "formats kmz: the scene is in local metres without a CRS: place it with --origin "
            "LON,LAT, or take another format"
        )
    return kept, [f"no KMZ: the scene is in {LOCAL_METRES}; --origin LON,LAT places it"]


def _solver(config: Config) -> SolverConfig:
    """The solver with those of the options that it has."""
    kind = find_solver(config.solver).config
    values: dict[str, Any] = {
        name: getattr(config, name) for name in _SOLVER_FIELDS if name in _fields_of(kind)
    }
    rays = values.pop("rays_per_sector", None)
    if rays is not None:
        values["rays_per_sector"] = round(rays)
    return kind(**values)


def _fields_of(solver: SolverConfig | type[SolverConfig]) -> set[str]:
    assert is_dataclass(solver)
    return {field.name for field in fields(solver)}


def _unused_options(config: Config, solver: SolverConfig, rows: Sequence[SiteRow]) -> list[str]:
    """Options that were given and change nothing, each in a warning."""
    defaults = {field.name: field.default for field in fields(Config)}
    has = _fields_of(solver)
    given = [
        OPTIONS[name]
        for name in _SOLVER_FIELDS
        if name not in has and getattr(config, name) != defaults[name]
    ]
    warnings = []
    if given:
        does = "does" if len(given) == 1 else "do"
        warnings.append(f"{', '.join(given)} {does} nothing with --solver {config.solver}")
    if config.frequency_hz != defaults["frequency_hz"] and not any(
        row.frequency_hz == config.frequency_hz for row in rows
    ):
        warnings.append(
            f"--frequency {config.frequency_hz / 1e9:g} GHz is not used: every row of the site "
            "list has its own"
        )
    return warnings


def _sites_path(config: Config, source: Source) -> Path | None:
    """The site list to read; None where sites are given one by one."""
    if config.sites is not None and config.site:
        raise InputError("give --sites or --site, not both")
    if config.sites is not None:
        return config.sites
    if config.site:
        return None
    if isinstance(source, BuiltIn):
        return example_sites(source.name)
    raise InputError(
        "no sites: give a list with --sites sites.csv, or --site LON,LAT,HEIGHT[,AZIMUTH] "
        "(X,Y,HEIGHT[,AZIMUTH] in a scene's local metres)"
    )


def example_sites(name: str) -> Path:
    """The example site list of a built-in area, in a checkout or an installed package.

    Raises
    ------
    MissingError
        If it is not there.
    """
    folder = shipped_folder("sites")
    if folder is not None and (folder / f"{name}.csv").is_file():
        return folder / f"{name}.csv"
    raise MissingError(
        f"the example site list of {name} is not installed: reinstall rfplatform, or give --sites"
    )


def write_map(
    radio_map: RadioMap,
    planning: PlanningLayers,
    scene: Scene,
    formats: Sequence[str],
    directory: Path,
    *,
    zipped: bool = False,
) -> None:
    """Write a map into an existing directory.

    Parameters
    ----------
    radio_map : RadioMap
    planning : PlanningLayers
        Of it.
    scene : Scene
        What the picture is drawn over.
    formats : sequence of str
        Of `FORMATS`.
    directory : Path
    zipped : bool
        Whether the Zarr store is to be one file (``radio_map.zarr.zip``).
    """
    from rfplatform.formats.contours import write_contours
    from rfplatform.formats.geotiff import write_geotiff
    from rfplatform.formats.kmz import write_kmz
    from rfplatform.formats.picture import write_png
    from rfplatform.formats.zarr import write_zarr

    noise_figure_db = planning.assumptions.noise_figure_db
    for name in dict.fromkeys(formats):
        path = directory / FORMATS[name]
        if name == "zarr":
            store = path.with_name(f"{path.name}.zip") if zipped else path
            write_zarr(radio_map, store, planning=planning, noise_figure_db=noise_figure_db)
        elif name == "tif":
            write_geotiff(radio_map, path, planning=planning)
        elif name == "kmz":
            write_kmz(radio_map, path, planning=planning)
        elif name == "gpkg":
            write_contours(radio_map, planning, path)
        else:
            write_png(radio_map, scene, path, noise_figure_db=noise_figure_db)


def coverage(radio_map: RadioMap, noise_figure_db: float = 7.0) -> dict[str, Any]:
    """How much of the outdoor area is served, and how well.

    Parameters
    ----------
    radio_map : RadioMap
    noise_figure_db : float
        Of the receivers.

    Returns
    -------
    dict
        "outdoor_cells"; the shares of them with any path ("reached") and with the best RSS at or
        above each of `COVERAGE_DBM` ("rss_at_least_dbm"); and the medians over the reached cells
        of the best RSS and of its sector's SINR, None where none is reached.
    """
    rss_dbm = radio_map.best_rss_dbm()[radio_map.outdoor]
    noise_dbm = thermal_noise_dbm([s.bandwidth_hz for s in radio_map.sectors], noise_figure_db)
    sinr_db = radio_map.sinr_db(noise_dbm)[radio_map.outdoor]
    reached = np.isfinite(rss_dbm)
    cells = max(len(rss_dbm), 1)
    return {
        "outdoor_cells": len(rss_dbm),
        "reached": round(float(reached.sum()) / cells, 4),
        "rss_at_least_dbm": {
            f"{level:g}": round(float((rss_dbm >= level).sum()) / cells, 4)
            for level in COVERAGE_DBM
        },
        "median_best_rss_dbm": _median(rss_dbm[reached]),
        "median_sinr_db": _median(sinr_db[reached]),
    }


def _median(values: FloatArray) -> float | None:
    return round(float(np.median(values)), 1) if len(values) else None


def _map_warnings(config: Config, radio_map: RadioMap) -> list[str]:
    attrs, warnings = radio_map.attrs, []
    if attrs.get("stopped_by") == "interrupted":
        warnings.append(
            f"interrupted: the map holds the {attrs['rays_traced_per_sector']:.3g} rays per "
            "sector that were traced so far"
        )
    elif attrs.get("stopped_by") == "rays" and config.target_noise_db > 0:
        noise_db = attrs.get("noise_db")
        if noise_db is not None and noise_db > config.target_noise_db:
            # The noise falls with the square root of the rays.
            more = attrs["rays_per_sector"] * (noise_db / config.target_noise_db) ** 2
            needed = (
                f"it would take about --rays {_one_digit_up(more):.0e}"
                if more <= MAX_RAYS_PER_SECTOR
                else "no number of rays will do"
            )
            warnings.append(
                f"the noise is still {noise_db:.2g} dB, above the {config.target_noise_db:g} dB "
                f"asked for: {needed}"
            )
    nominal = attrs.get("nominal_bs_height_m")
    if nominal and not (
        attrs["lowest_bs_height_m"] >= nominal / 2 and attrs["highest_bs_height_m"] <= nominal * 2
    ):
        warnings.append(
            f"antennas {attrs['lowest_bs_height_m']:.0f} to {attrs['highest_bs_height_m']:.0f} m "
            f"above ground: {config.solver} is made for about {nominal:g} m"
        )
    beyond = attrs.get("sector_cells_beyond_maximum_distance", 0)
    if beyond:
        warnings.append(
            f"{beyond:,} cells lie beyond the distance that {config.solver} is made for: "
            "there it is extrapolated"
        )
    empty = [
        s.label
        for s, gain in zip(radio_map.sectors, radio_map.path_gain_db, strict=True)
        if not np.isfinite(gain).any()
    ]
    if empty:
        listed = ", ".join(empty[:3]) + (" ..." if len(empty) > 3 else "")
        warnings.append(f"no cell is reached from {listed}: does the antenna stand in a building?")
    return warnings


def _one_digit_up(value: float) -> float:
    digit = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / digit) * digit


def _describe_grid(grid: Grid) -> dict[str, Any]:
    frame = grid.frame
    return {
        "num_x": grid.num_x,
        "num_y": grid.num_y,
        "resolution_m": grid.resolution_m,
        "receiver_height_m": grid.receiver_height_m,
        "west_easting_m": grid.west_m + frame.origin_easting_m,
        "south_northing_m": grid.south_m + frame.origin_northing_m,
    }


def _describe_sector(row: SiteRow, sector: Sector) -> dict[str, Any]:
    return {
        "site": sector.site,
        "sector": sector.name,
        "lon_deg": row.lon_deg if row.local_m is None else None,
        "lat_deg": row.lat_deg if row.local_m is None else None,
        "x_m": round(sector.x_m, 3),
        "y_m": round(sector.y_m, 3),
        "mount": sector.mount,
        "height_m": row.height_m,
        "height_above_ground_m": round(sector.height_m, 2),
        "ground_m": round(sector.ground_m, 2),
        "azimuth_deg": row.azimuth_deg,
        "grid_azimuth_deg": round(sector.azimuth_deg, 2),
        "downtilt_deg": sector.downtilt_deg,
        "power_dbm": sector.power_dbm,
        "frequency_hz": sector.frequency_hz,
        "bandwidth_hz": sector.bandwidth_hz,
        "antenna": sector.antenna,
    }


def _describe_antennas(sectors: Sequence[Sector]) -> list[dict[str, str]]:
    paths = sorted({s.antenna for s in sectors if is_file(s.antenna)})
    return [{"path": path, "sha256": sha256(Path(path))} for path in paths]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
