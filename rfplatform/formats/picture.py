"""A radio map as a picture for a report: levels, buildings, sites, scale and sources."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rfplatform import __version__
from rfplatform.formats.palette import Palette, shown_rss_dbm
from rfplatform.frame import LOCAL_METRES
from rfplatform.staging import staged
from rfplatform.units import FloatArray, thermal_noise_dbm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.path import Path as Outline
    from shapely import Polygon

    from rfplatform.radiomap import Grid, RadioMap, Sector
    from rfplatform.scene import Scene, Solids

OMNIDIRECTIONAL = frozenset({"isotropic", "dipole"})
"""Antennas whose azimuth says nothing, so that none is drawn."""

WEDGE_DEG = 34.0
"""Opening of a drawn sector: a pointer, narrower than a beam, so that the map shows between."""

_INK, _SOFT_INK, _FAINT_INK = "#1b1f24", "#4b535c", "#7d858e"
_BUILDING, _BUILDING_EDGE, _NO_PATH_LINE = "#dcdee1", "#7f858c", "#c3c8ce"
_FONT = "DejaVu Sans"  # matplotlib carries it, so that the picture is the same everywhere.

# Everything is laid out in inches, so that type and margins are the same for every area.
_MAP_IN = 7.0
_LEFT_IN, _RIGHT_IN, _BOTTOM_IN = 0.80, 1.15, 1.22
_MIN_CONTENT_IN = 6.0
_MIN_ASPECT, _MAX_ASPECT = 0.45, 2.6
_SYMBOL_IN = 0.26
_LEAP_M = 1.5
"""Between two cells of a roof that make a line in the picture."""

_STANDING, _HANGING, _NO_PATH = "Building", "Part overhead", "No path"

_Box = tuple[float, float, float, float]


def write_png(
    radio_map: RadioMap,
    scene: Scene,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    attribution: str = "",
    noise_figure_db: float = 7.0,
    dpi: float = 200.0,
    overwrite: bool = False,
) -> None:
    """Draw the best RSS with buildings, sites, a colour bar, a scale bar and north.

    Parameters
    ----------
    radio_map : RadioMap
    scene : Scene
        Its buildings are drawn over the map; parts that begin above the receivers in outline. Of
        a scene made elsewhere, what rays straight down have met is.
    path : path-like
        The PNG file; it appears when it is whole.
    title : str
        By default the area's name.
    attribution : str
        By default the scene's.
    noise_figure_db : float
        Of the receivers, for the noise floor in the subtitle.
    dpi : float
        Pixels an inch.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.
    """
    title, attribution = title or scene.area.name, attribution or scene.attribution
    with staged(path, overwrite) as partial:
        figure = _draw(radio_map, scene, title, attribution, noise_figure_db)
        figure.savefig(
            partial,
            format="png",
            dpi=dpi,
            metadata={
                "Title": title,
                "Copyright": attribution,
                "Software": f"rfplatform {__version__}",
            },
        )


_CONTOUR_STEPS_M = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


@dataclass(frozen=True)
class _Page:
    """Where things lie: the figure and the map in inches, and the map in projected metres."""

    width_in: float
    height_in: float
    map_x_in: float
    map_y_in: float
    map_width_in: float
    map_height_in: float
    west_m: float
    south_m: float
    m_per_in: float

    @property
    def map_right_in(self) -> float:
        return self.map_x_in + self.map_width_in

    @property
    def map_top_in(self) -> float:
        return self.map_y_in + self.map_height_in

    @property
    def map_box_in(self) -> _Box:
        """West, south, east, north of the map on the page."""
        return self.map_x_in, self.map_y_in, self.map_right_in, self.map_top_in

    def to_page(self, easting_m: float, northing_m: float) -> tuple[float, float]:
        """Inches on the page of a projected point."""
        return (
            self.map_x_in + (easting_m - self.west_m) / self.m_per_in,
            self.map_y_in + (northing_m - self.south_m) / self.m_per_in,
        )


def _page(grid: Grid, top_in: float) -> _Page:
    """A page whose map has a readable shape: around a narrow area it shows white."""
    west, south = (
        grid.west_m + grid.frame.origin_easting_m,
        grid.south_m + grid.frame.origin_northing_m,
    )
    width, height = grid.num_x * grid.resolution_m, grid.num_y * grid.resolution_m
    view_width = max(width, height * _MIN_ASPECT)
    view_height = max(height, width / _MAX_ASPECT)
    m_per_in = max(view_width, view_height) / _MAP_IN
    map_width, map_height = view_width / m_per_in, view_height / m_per_in
    page_width = max(_MIN_CONTENT_IN + 0.7, _LEFT_IN + map_width + _RIGHT_IN)
    spare = page_width - _LEFT_IN - map_width - _RIGHT_IN
    return _Page(
        width_in=page_width,
        height_in=top_in + map_height + _BOTTOM_IN,
        map_x_in=_LEFT_IN + spare / 2,
        map_y_in=_BOTTOM_IN,
        map_width_in=map_width,
        map_height_in=map_height,
        west_m=west - (view_width - width) / 2,
        south_m=south - (view_height - height) / 2,
        m_per_in=m_per_in,
    )


def _draw(
    radio_map: RadioMap, scene: Scene, title: str, attribution: str, noise_figure_db: float
) -> Figure:
    from matplotlib.figure import Figure

    grid = radio_map.grid
    narrow = _page(grid, 0.0)
    content_in = narrow.width_in - _LEFT_IN - 0.35
    subtitle = _wrapped(_facts(radio_map, noise_figure_db), content_in, 8.0)
    page = _page(grid, 0.78 + 0.17 * len(subtitle))
    levels_dbm = shown_rss_dbm(radio_map)
    palette = Palette.of(levels_dbm)

    figure = Figure(figsize=(page.width_in, page.height_in), facecolor="white")
    axes = figure.add_axes(
        (
            page.map_x_in / page.width_in,
            page.map_y_in / page.height_in,
            page.map_width_in / page.width_in,
            page.map_height_in / page.height_in,
        )
    )
    # The furniture's own axes measure the page in inches.
    sheet = figure.add_axes((0.0, 0.0, 1.0, 1.0), facecolor="none", zorder=5)
    sheet.set(xlim=(0.0, page.width_in), ylim=(0.0, page.height_in))
    sheet.set_axis_off()

    _draw_levels(axes, grid, levels_dbm, palette)
    swatches = _draw_buildings(axes, page, scene, grid.receiver_height_m)
    _draw_contours(axes, radio_map)
    _draw_frame(axes, page, grid)
    _draw_sites(sheet, page, grid, radio_map.sectors)

    left = _LEFT_IN
    heading, size_pt = _fitted(title, content_in, (16.0, 14.0, 12.0, 10.5))
    _write(sheet, left, page.height_in - 0.52, heading, size_pt, weight="bold")
    for row, line in enumerate(subtitle):
        _write(sheet, left, page.height_in - 0.76 - 0.17 * row, line, 8.0, color=_SOFT_INK)
    _draw_color_bar(figure, page, palette)
    _draw_north(sheet, page, "N" if grid.frame.crs is not None else "y")
    _draw_scale_bar(sheet, page, left)
    if np.any(radio_map.outdoor & np.isnan(levels_dbm)):
        swatches.append(_NO_PATH)
    pointers = any(s.antenna not in OMNIDIRECTIONAL for s in radio_map.sectors)
    _draw_legend(sheet, page, swatches, pointers=pointers)
    _write(sheet, left, 0.22, attribution, 6.5, color=_FAINT_INK)
    _write(
        sheet,
        page.width_in - 0.35,
        0.22,
        f"rfplatform {__version__}",
        6.5,
        color=_FAINT_INK,
        ha="right",
    )
    return figure


def _facts(radio_map: RadioMap, noise_figure_db: float) -> list[str]:
    """How the map was made, in short phrases."""
    grid, sectors, attrs = radio_map.grid, radio_map.sectors, radio_map.attrs
    facts = [str(attrs["solver"])] if attrs.get("solver") else []
    facts += [
        _span([s.frequency_hz for s in sectors]),
        f"receivers at {grid.receiver_height_m:g} m",
        f"{grid.resolution_m:g} m cells",
    ]
    bandwidth_hz = max(s.bandwidth_hz for s in sectors)
    noise_dbm = float(thermal_noise_dbm(bandwidth_hz, noise_figure_db))
    level = f"{noise_dbm:.0f}".replace("-", "\N{MINUS SIGN}")
    facts.append(
        f"noise {level} dBm in {_hertz(bandwidth_hz)} (noise figure {noise_figure_db:g} dB)"
    )
    if radio_map.standard_error_db is not None:
        counted = radio_map.outdoor & np.isfinite(radio_map.standard_error_db)
        if counted.any():
            error_db = float(np.median(radio_map.standard_error_db[counted]))
            facts.append(f"median standard error {error_db:.1f} dB")
    if attrs.get("stopped_by") == "interrupted":
        facts.append("interrupted before it converged")
    return facts


def _span(frequencies_hz: Sequence[float]) -> str:
    found = sorted(set(frequencies_hz))
    if len(found) <= 3:
        return ", ".join(_hertz(f) for f in found)
    return f"{_hertz(found[0])} to {_hertz(found[-1])}"


def _hertz(value_hz: float) -> str:
    for unit, scale in (("GHz", 1e9), ("MHz", 1e6), ("kHz", 1e3)):
        if value_hz >= scale:
            return f"{value_hz / scale:g} {unit}"
    return f"{value_hz:g} Hz"


def _width_in(text: str, size_pt: float, weight: str = "normal") -> float:
    """Width of a line of text on the page."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=_FONT, size=size_pt, weight=weight)
    # At 720 dots an inch, since the renderer rounds widths to whole dots.
    renderer: Any = RendererAgg(1, 1, 720)  # type: ignore[no-untyped-call]
    return float(renderer.get_text_width_height_descent(text, font, False)[0]) / 720.0


def _wrapped(phrases: Sequence[str], width_in: float, size_pt: float) -> list[str]:
    """Phrases joined by dots into as few lines as fit."""
    lines: list[str] = []
    for phrase in phrases:
        longer = f"{lines[-1]}  ·  {phrase}" if lines else phrase
        if lines and _width_in(longer, size_pt) <= width_in:
            lines[-1] = longer
        else:
            lines.append(phrase)
    return lines


def _fitted(text: str, width_in: float, sizes_pt: Sequence[float]) -> tuple[str, float]:
    """A bold line in the largest size that fits; in the smallest, cut with an ellipsis."""
    line = " ".join(text.split())
    for size_pt in sizes_pt:
        if _width_in(line, size_pt, "bold") <= width_in:
            return line, size_pt
    while line and _width_in(f"{line}…", sizes_pt[-1], "bold") > width_in:
        line = line[:-1].rstrip()
    return f"{line}…", sizes_pt[-1]


def _write(sheet: Axes, x_in: float, y_in: float, text: str, size_pt: float, **style: Any) -> None:  # noqa: ANN401
    """One line of text on its baseline; a name's dollar signs are no formula."""
    line = sheet.text(x_in, y_in, text, fontsize=size_pt, family=_FONT, parse_math=False, zorder=6)
    line.set(**({"color": _INK} | style))


def _draw_levels(axes: Axes, grid: Grid, levels_dbm: FloatArray, palette: Palette) -> None:
    """Cells in colour over a hatched ground that shows where there is no path."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    west = grid.west_m + grid.frame.origin_easting_m
    south = grid.south_m + grid.frame.origin_northing_m
    width, height = grid.num_x * grid.resolution_m, grid.num_y * grid.resolution_m
    axes.add_patch(
        Rectangle((west, south), width, height, fc="white", ec=_SOFT_INK, lw=0.6, zorder=1)
    )
    spacing = max(width, height) / 90.0
    starts = np.arange(-height, width, spacing)
    hatch = LineCollection(
        [((west + s, south), (west + s + height, south + height)) for s in starts],
        colors=_NO_PATH_LINE,
        linewidths=0.35,
        zorder=1.5,
    )
    axes.add_collection(hatch, autolim=False)
    hatch.set_clip_path(Rectangle((west, south), width, height, transform=axes.transData))
    axes.imshow(
        np.ma.masked_invalid(levels_dbm),
        origin="lower",
        extent=(west, west + width, south, south + height),
        interpolation="nearest",  # Cells are shown, not a blur of decibels between them.
        cmap=palette.colormap(),
        norm=palette.normalize(),
        zorder=2,
    )


def _draw_contours(axes: Axes, radio_map: RadioMap) -> None:
    """Height lines of the terrain, each fifth heavier and numbered."""
    if radio_map.ground_m is None or min(radio_map.grid.shape) < 2:
        return
    lowest, highest = np.nanmin(radio_map.ground_m), np.nanmax(radio_map.ground_m)
    step_m = next((s for s in _CONTOUR_STEPS_M if (highest - lowest) / s <= 25), 500.0)
    levels = np.arange(np.ceil(lowest / step_m), np.floor(highest / step_m) + 1) * step_m
    if not len(levels):
        return
    grid = radio_map.grid
    heavy = np.isclose(levels % (5 * step_m), 0.0)
    lines = axes.contour(
        grid.easting_m(),
        grid.northing_m(),
        radio_map.ground_m,
        levels=levels,
        colors="black",
        linewidths=np.where(heavy, 0.7, 0.35),
        alpha=0.45,
        zorder=3.5,
    )
    axes.clabel(lines, levels[heavy], fmt="%.0f m", fontsize=5.5, inline_spacing=2)


def _outline(polygon: Polygon, easting_m: float, northing_m: float) -> Outline:
    """A compound path of the exterior and the courtyards, moved by an offset."""
    from matplotlib.path import Path as Outline

    offset = np.array([easting_m, northing_m])
    rings = [np.asarray(ring.coords)[:, :2] for ring in (polygon.exterior, *polygon.interiors)]
    return Outline.make_compound_path(*(Outline(ring + offset, closed=True) for ring in rings))


def _draw_buildings(axes: Axes, page: _Page, scene: Scene, receiver_height_m: float) -> list[str]:
    """Footprints over the map; the names of the kinds that are in view."""
    from matplotlib.collections import PathCollection
    from shapely.geometry import box

    east, north = scene.frame.origin_easting_m, scene.frame.origin_northing_m
    if scene.solids is not None:
        return _draw_solids(axes, scene, scene.solids, receiver_height_m)
    west_m, south_m = page.west_m - east, page.south_m - north
    view = box(
        west_m,
        south_m,
        west_m + page.map_width_in * page.m_per_in,
        south_m + page.map_height_in * page.m_per_in,
    )
    seen = [b for b in scene.buildings if b.footprint.intersects(view)]
    drawn = []
    for name, buildings, fill, dashes in (
        (_STANDING, [b for b in seen if b.base_m < receiver_height_m], _BUILDING, "-"),
        (_HANGING, [b for b in seen if b.base_m >= receiver_height_m], "none", (0, (3, 2))),
    ):
        if not buildings:
            continue
        drawn.append(name)
        outlines = PathCollection(
            [_outline(b.footprint, east, north) for b in buildings],
            facecolors=fill,
            edgecolors=_BUILDING_EDGE,
            linewidths=0.35,
            linestyles=[dashes],
            zorder=3,
        )
        axes.add_collection(outlines, autolim=False)
    return drawn


def _draw_solids(axes: Axes, scene: Scene, solids: Solids, receiver_height_m: float) -> list[str]:
    """Cells that stand above the receivers, with lines where their heights leap."""
    from matplotlib.colors import to_rgba

    num_y, num_x = solids.top_z_m.shape
    x = solids.west_m + (np.arange(num_x) + 0.5) * solids.resolution_m
    y = solids.south_m + (np.arange(num_y) + 0.5) * solids.resolution_m
    height_m = np.nan_to_num(solids.top_z_m - scene.ground_m(x[None, :], y[:, None]), nan=0.0)
    standing = height_m > receiver_height_m
    if not standing.any():
        return []
    leap = np.zeros_like(standing)
    for axis in (0, 1):
        step = np.abs(np.diff(height_m, axis=axis)) > max(_LEAP_M, 2.0 * solids.resolution_m)
        leap |= np.pad(step, [(0, 1) if i == axis else (0, 0) for i in (0, 1)])
        leap |= np.pad(step, [(1, 0) if i == axis else (0, 0) for i in (0, 1)])
    picture = np.zeros((num_y, num_x, 4), dtype=np.float32)
    picture[standing] = to_rgba(_BUILDING)
    picture[standing & leap] = to_rgba(_BUILDING_EDGE)
    west = solids.west_m + scene.frame.origin_easting_m
    south = solids.south_m + scene.frame.origin_northing_m
    width, depth = num_x * solids.resolution_m, num_y * solids.resolution_m
    axes.imshow(
        picture,
        origin="lower",
        extent=(west, west + width, south, south + depth),
        interpolation="antialiased",
        zorder=3,
    )
    return [_STANDING]


def _draw_frame(axes: Axes, page: _Page, grid: Grid) -> None:
    """The view, and small ticks with projected coordinates."""
    east = page.west_m + page.map_width_in * page.m_per_in
    north = page.south_m + page.map_height_in * page.m_per_in
    axes.set(xlim=(page.west_m, east), ylim=(page.south_m, north), aspect="equal")
    axes.set_facecolor("white")
    for spine in axes.spines.values():
        spine.set(edgecolor=_SOFT_INK, linewidth=0.6)
    axes.tick_params(
        length=2.5, width=0.5, color=_SOFT_INK, labelcolor=_SOFT_INK, labelsize=6.5, pad=2,
        labelfontfamily=_FONT,
    )  # fmt: skip
    on_earth = grid.frame.crs is not None
    east_name = f"Easting [km], {grid.frame.crs}" if on_earth else f"x [m], {LOCAL_METRES}"
    north_name, scale_m = ("Northing [km]", 1e3) if on_earth else ("y [m]", 1.0)
    for axis, low, high, size_in, name in (
        (axes.xaxis, page.west_m, east, page.map_width_in, east_name),
        (axes.yaxis, page.south_m, north, page.map_height_in, north_name),
    ):
        ticks_m, decimals = _ticks(low, high, size_in)
        decimals = decimals if on_earth else max(0, decimals - 3)
        labels = [f"{t / scale_m:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for t in ticks_m]
        axis.set_ticks(ticks_m, labels)
        axis.set_label_text(name, fontsize=6.5, family=_FONT, color=_SOFT_INK, parse_math=False)
    for label in axes.get_yticklabels():
        label.set(rotation=90, va="center")


def _ticks(low_m: float, high_m: float, size_in: float) -> tuple[FloatArray, int]:
    """Round coordinates about every inch, and the decimals that they need in km."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=max(2, int(size_in)), steps=[1, 2, 5, 10], min_n_ticks=1)
    ticks = np.asarray(locator.tick_values(low_m, high_m))
    decimals = max(0, int(np.ceil(-np.log10((ticks[1] - ticks[0]) / 1e3) - 1e-9)))
    # Labels at the very ends would stand beyond the map's corners.
    margin_m = 0.15 * (high_m - low_m) / size_in
    return ticks[(ticks >= low_m + margin_m) & (ticks <= high_m - margin_m)], decimals


def _draw_color_bar(figure: Figure, page: _Page, palette: Palette) -> None:
    from matplotlib.cm import ScalarMappable

    box = figure.add_axes(
        (
            (page.map_right_in + 0.2) / page.width_in,
            page.map_y_in / page.height_in,
            0.15 / page.width_in,
            (page.map_height_in - 0.62) / page.height_in,
        )
    )
    bar = figure.colorbar(
        ScalarMappable(palette.normalize(), palette.colormap()),
        cax=box,
        extend=palette.extend,
        extendfrac=0.025,
        ticks=palette.ticks_dbm(),
    )
    bar.ax.set_yticklabels([f"{t:.0f}".replace("-", "\N{MINUS SIGN}") for t in palette.ticks_dbm()])
    bar.outline.set(linewidth=0.5, edgecolor=_SOFT_INK)
    bar.ax.tick_params(
        length=2.5, width=0.5, color=_SOFT_INK, labelcolor=_INK, labelsize=7.5, pad=3,
        labelfontfamily=_FONT,
    )  # fmt: skip
    name = "Best received signal strength [dBm]"
    if _width_in(name, 8.0) > page.map_height_in - 0.62:
        name = "Best RSS [dBm]"
    bar.set_label(name, fontsize=8, family=_FONT, color=_INK, labelpad=6)


def _draw_north(sheet: Axes, page: _Page, name: str) -> None:
    """A slim needle above the colour bar; it points to grid north, or along y."""
    from matplotlib.patches import Polygon as Shape

    x, top = page.map_right_in + 0.275, page.map_top_in - 0.16
    for side, fill in ((-1, _INK), (1, "white")):
        sheet.add_patch(
            Shape(
                [(x, top), (x + side * 0.085, top - 0.30), (x, top - 0.24)],
                closed=True, fc=fill, ec=_INK, lw=0.6, joinstyle="miter",
            )
        )  # fmt: skip
    _write(sheet, x, top + 0.045, name, 8.0, weight="bold", ha="center")


def _draw_scale_bar(sheet: Axes, page: _Page, x_in: float) -> None:
    """Two fields of a round length, under the map."""
    from matplotlib.patches import Rectangle

    half_m = round_length_m(page.m_per_in * min(page.map_width_in, 4.0) * 0.2)
    half_in, y = half_m / page.m_per_in, 0.56
    for field, fill in ((0, _INK), (1, "white")):
        sheet.add_patch(
            Rectangle((x_in + field * half_in, y), half_in, 0.055, fc=fill, ec=_INK, lw=0.6)
        )
    unit, scale = ("km", 1e3) if half_m >= 1e3 else ("m", 1.0)
    for field in range(3):
        text = f"{field * half_m / scale:g}" + (f" {unit}" if field == 2 else "")
        at = x_in + field * half_in
        # The last number, not the number with its unit, stands centred under its mark.
        shift = _width_in(f" {unit}", 7.0) / 2 if field == 2 else 0.0
        _write(sheet, at + shift, y - 0.14, text, 7.0, ha="center" if field else "left")


def round_length_m(length_m: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is no longer than a length.

    Parameters
    ----------
    length_m : float
        Positive.
    """
    power = 10.0 ** np.floor(np.log10(length_m))
    return float(max(m * power for m in (1.0, 2.0, 5.0) if m * power <= length_m * (1 + 1e-9)))


def _draw_legend(sheet: Axes, page: _Page, swatches: Sequence[str], *, pointers: bool) -> None:
    """Swatches in one line under the map, to the right."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    y, width, height, gap = 0.53, 0.22, 0.13, 0.26
    edge: dict[str, Any] = {"ec": _BUILDING_EDGE, "lw": 0.5}
    site = "Site and sectors" if pointers else "Site"
    names = [*swatches, site]
    x = page.width_in - 0.35 + gap - 0.07 - sum(width + gap + _width_in(n, 7.0) for n in names)
    for name in names:
        swatch = Rectangle((x, y), width, height, fc="white", **edge)
        if name == site:
            azimuths_deg = (0, 120, 240) if pointers else ()
            _draw_symbol(sheet, x + width / 2, y + height / 2 - 0.01, azimuths_deg, 0.13)
        else:
            sheet.add_patch(swatch)
        if name == _STANDING:
            swatch.set_facecolor(_BUILDING)
        elif name == _HANGING:
            swatch.set_linestyle((0, (3, 2)))
        elif name == _NO_PATH:
            strokes = np.arange(x - height, x + width, 0.075)
            hatch = LineCollection(
                [((s, y), (s + height, y + height)) for s in strokes],
                colors=_NO_PATH_LINE,
                linewidths=0.5,
            )
            sheet.add_collection(hatch, autolim=False)
            hatch.set_clip_path(swatch)
        _write(sheet, x + width + 0.07, y + 0.03, name, 7.0)
        x += width + gap + _width_in(name, 7.0)


def _draw_sites(sheet: Axes, page: _Page, grid: Grid, sectors: Sequence[Sector]) -> None:
    """A marker a site, a wedge a sector, and names where they cover the least."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    sites: dict[str, list[Sector]] = {}
    for sector in sectors:
        sites.setdefault(sector.site, []).append(sector)
    east, north = grid.frame.origin_easting_m, grid.frame.origin_northing_m
    places = {
        site: page.to_page(
            float(np.mean([s.x_m for s in group])) + east,
            float(np.mean([s.y_m for s in group])) + north,
        )
        for site, group in sites.items()
    }
    radius = _symbol_radius_in(list(places.values()))
    clip = Rectangle(
        (page.map_x_in, page.map_y_in), page.map_width_in, page.map_height_in,
        transform=sheet.transData,
    )  # fmt: skip
    for site, (x, y) in places.items():
        azimuths = [s.azimuth_deg for s in sites[site] if s.antenna not in OMNIDIRECTIONAL]
        _draw_symbol(sheet, x, y, azimuths, radius, clip)

    taken = [(x - radius, y - radius, x + radius, y + radius) for x, y in places.values()]
    size_pt = 8.0 if len(places) <= 12 else 6.5
    west, south, east_end, north_end = page.map_box_in
    for site, place in places.items():
        if not (west <= place[0] <= east_end and south <= place[1] <= north_end):
            continue  # Its marker is clipped, and a name at the edge would point at nothing.
        width, height = _width_in(site, size_pt, "bold"), size_pt / 72.0
        box = _label_box(place, width, height, radius, taken, page.map_box_in)
        taken.append(box)
        _write(
            sheet, box[0], box[1] + 0.12 * height, site, size_pt, weight="bold", zorder=9,
            path_effects=[withStroke(linewidth=2.4, foreground=(1, 1, 1, 0.92))],
        )  # fmt: skip


def _symbol_radius_in(places: Sequence[tuple[float, float]]) -> float:
    """Wedges shrink where sites stand close, down to a third."""
    nearest = min(
        (
            float(np.hypot(a[0] - b[0], a[1] - b[1]))
            for i, a in enumerate(places)
            for b in places[:i]
        ),
        default=np.inf,
    )
    return float(np.clip(0.45 * nearest, _SYMBOL_IN / 3, _SYMBOL_IN))


def _draw_symbol(
    sheet: Axes,
    x_in: float,
    y_in: float,
    azimuths_deg: Iterable[float],
    radius_in: float,
    clip: Patch | None = None,
) -> None:
    from matplotlib.patches import Circle, Wedge

    for azimuth_deg in azimuths_deg:
        middle = 90.0 - azimuth_deg  # Wedges count from east, against the clock.
        wedge = Wedge(
            (x_in, y_in), radius_in, middle - WEDGE_DEG / 2, middle + WEDGE_DEG / 2,
            fc=_INK, ec="white", lw=0.8, alpha=0.88, zorder=7, joinstyle="round",
        )  # fmt: skip
        sheet.add_patch(wedge)
        if clip is not None:
            wedge.set_clip_path(clip)
    dot = Circle((x_in, y_in), min(0.055, radius_in * 0.3), fc="white", ec=_INK, lw=0.9, zorder=8)
    sheet.add_patch(dot)
    if clip is not None:
        dot.set_clip_path(clip)


def _label_box(
    place: tuple[float, float],
    width_in: float,
    height_in: float,
    radius_in: float,
    taken: Sequence[_Box],
    page_box: _Box,
) -> _Box:
    """Where a name covers the least of what is there, and stays on the map."""
    x, y = place
    away, near = radius_in + 0.05, 0.6 * radius_in + 0.05
    right, left, middle = x + away, x - away - width_in, y - height_in / 2
    corners = (
        (right, middle),
        (left, middle),
        (x - width_in / 2, y + away),
        (x - width_in / 2, y - away - height_in),
        (x + near, y + near),
        (x - near - width_in, y + near),
        (x + near, y - near - height_in),
        (x - near - width_in, y - near - height_in),
    )
    boxes = [(cx, cy, cx + width_in, cy + height_in) for cx, cy in corners]

    def cost(box: _Box) -> float:
        off_map = width_in * height_in - _overlap(box, page_box)
        return 10.0 * off_map + sum(_overlap(box, other) for other in taken)

    return min(boxes, key=cost)


def _overlap(a: _Box, b: _Box) -> float:
    """Shared area of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
