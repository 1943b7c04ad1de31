"""Radio maps for Google Earth."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal, TypeAlias
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.formats.archive import entry
from rfplatform.formats.classes import MOST_LISTED, Classes
from rfplatform.formats.palette import Palette, masked_dbm, shown_rss_dbm
from rfplatform.formats.picture import OMNIDIRECTIONAL
from rfplatform.staging import staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from rfplatform.planning.layers import Layer, PlanningLayers
    from rfplatform.radiomap import Grid, RadioMap, Sector

_KML = "http://www.opengis.net/kml/2.2"
_OVERLAY_PIXELS, _FINEST = 2048, 4
_POINTER_SHARE = 0.06
_LEGEND_DPI = 110
_TABLE_SIZE = 255  # Colours of a PNG's table beside the transparent one.

_Indexed: TypeAlias = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]
"""Classes of pixels, counted from 1, and the colours of the classes."""

# Characters that XML 1.0 can't hold, escaped or not (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_kmz(
    radio_map: RadioMap,
    path: str | os.PathLike[str],
    *,
    planning: PlanningLayers | None = None,
    title: str = "",
    attribution: str = "",
    overwrite: bool = False,
) -> None:
    """Write overlays of the RSS, a legend and the sites as one KMZ file.

    Parameters
    ----------
    radio_map : RadioMap
    path : path-like
        The file; it appears when it is whole.
    planning : PlanningLayers, optional
        Of the same map: an overlay for each of its layers, with a legend of its own.
    title, attribution : str
        Name and source of the document, in place of those in the map's `attrs`.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false, or the map is in local metres without a CRS.

    Notes
    -----
    The best RSS is shown, and each sector's is a choice beside it, all in the same colours.
    They are resampled to WGS 84 longitudes and latitudes, so that the box of an overlay is
    exact; cells without a path or indoors are transparent (OGC 07-147r2, 11.2). The planning
    layers are a second choice, none of them shown at first, in classes of few colours.
    The archive's files are dated 1980-01-01, so that the same map is the same file at any time.
    """
    title = title or str(radio_map.attrs.get("title", "Radio map"))
    attribution = attribution or str(radio_map.attrs.get("attribution", ""))
    best_dbm = shown_rss_dbm(radio_map)
    palette = Palette.of(best_dbm)
    layers = [
        ("Best RSS", best_dbm),
        *(
            (sector.label, masked_dbm(rss_dbm, radio_map.outdoor))
            for sector, rss_dbm in zip(radio_map.sectors, radio_map.rss_dbm(), strict=True)
        ),
    ]
    earth = _on_earth(radio_map.grid)
    with staged(path, overwrite) as partial, zipfile.ZipFile(partial, "w") as archive:
        # Readers take the first .kml of the archive as the document.
        planned = planning.layers() if planning is not None else ()
        names = [name for name, _ in layers]
        document = _document(radio_map, title, attribution, names, planned, earth)
        archive.writestr(entry("doc.kml", compressed=True), document)
        archive.writestr(entry("files/legend.png"), _legend_png(palette))
        archive.writestr(entry("files/site.png"), _site_png())
        for i, (_, levels_dbm) in enumerate(layers):
            picture = _png(palette.rgba(earth.sample(levels_dbm)))
            archive.writestr(entry(_overlay_file(i)), picture)
        covered = radio_map.outdoor & np.isfinite(best_dbm)
        for layer in planned:
            classes = Classes.of(layer, covered)
            picture = _classes_png(earth.sample_classes(classes))
            archive.writestr(entry(_planning_file(layer)), picture)
            archive.writestr(entry(_planning_legend(layer)), _classes_legend_png(classes))


def _overlay_file(index: int) -> str:
    return f"files/rss_{index}.png" if index else "files/rss_best.png"


def _planning_file(layer: Layer) -> str:
    return f"files/{layer.name}.png"


def _planning_legend(layer: Layer) -> str:
    return f"files/{layer.name}_legend.png"


@dataclass(frozen=True, eq=False)
class _Earth:
    """A raster in longitude and latitude: which cell of a grid each of its pixels shows.

    `cell` is [rows, columns], int32; row 0 is north, -1 is outside of the grid.
    """

    cell: npt.NDArray[np.int32]
    west_deg: float
    south_deg: float
    east_deg: float
    north_deg: float

    def sample(self, levels_dbm: FloatArray) -> FloatArray:
        """Levels of the pixels, [rows, columns], of those of the cells, [num_y, num_x]."""
        return np.where(self.cell < 0, np.nan, levels_dbm.ravel()[np.maximum(self.cell, 0)])

    def sample_classes(self, classes: Classes) -> _Indexed:
        """The pixels' classes, [rows, columns], and colours; 0 is transparent."""
        index = np.where(self.cell < 0, -1, classes.index.ravel()[np.maximum(self.cell, 0)])
        return index + 1, classes.colors


def _on_earth(grid: Grid) -> _Earth:
    """The raster over a grid: nearest cells, finer than they are so that edges stay in place."""
    from rasterio.transform import from_origin
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    frame, size = grid.frame, grid.resolution_m
    crs = frame.on_earth()
    west, south = grid.west_m + frame.origin_easting_m, grid.south_m + frame.origin_northing_m
    east, north = grid.east_m + frame.origin_easting_m, grid.north_m + frame.origin_northing_m
    finer = max(1, min(_FINEST, _OVERLAY_PIXELS // max(grid.shape)))
    transform, columns, rows = calculate_default_transform(
        crs,
        "EPSG:4326",
        grid.num_x * finer,
        grid.num_y * finer,
        left=west,
        bottom=south,
        right=east,
        top=north,
    )
    # The cells' numbers are warped, once for all layers, and not the levels themselves.
    numbers = np.arange(grid.num_y * grid.num_x, dtype=np.int32).reshape(grid.shape)
    cell = np.full((rows, columns), -1, dtype=np.int32)
    reproject(
        np.ascontiguousarray(numbers[::-1]),
        cell,
        src_transform=from_origin(west, north, size, size),
        src_crs=crs,
        src_nodata=-1,
        dst_transform=transform,
        dst_crs="EPSG:4326",
        dst_nodata=-1,
        resampling=Resampling.nearest,
    )
    return _Earth(
        cell,
        west_deg=transform.c,
        south_deg=transform.f + rows * transform.e,
        east_deg=transform.c + columns * transform.a,
        north_deg=transform.f,
    )


def _png(rgba: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(rgba, "RGBA").save(buffer, format="PNG")
    return buffer.getvalue()


def _classes_png(indexed: _Indexed) -> bytes:
    """A PNG of a colour table: a byte a pixel before compression, where RGBA takes four."""
    from PIL import Image

    index, colors = indexed
    if len(colors) > _TABLE_SIZE:
        # More servers than a table holds.
        rgba = np.zeros((*index.shape, 4), dtype=np.uint8)
        rgba[..., :3] = np.concatenate([[(0, 0, 0)], colors])[index]
        rgba[..., 3] = np.where(index > 0, 255, 0)
        return _png(rgba)
    picture = Image.fromarray(index.astype(np.uint8), "L")
    picture.putpalette([0, 0, 0, *colors.ravel().tolist()])
    buffer = BytesIO()
    picture.save(buffer, format="PNG", transparency=0)
    return buffer.getvalue()


def _classes_legend_png(classes: Classes) -> bytes:
    """A row of colour and meaning for each class, on a light card."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows = classes.legend()
    listed = rows if len(rows) <= MOST_LISTED else rows[: MOST_LISTED - 1]
    texts = [text for text, _ in listed]
    if len(listed) < len(rows):
        texts.append(f"and {len(rows) - len(listed)} more")
    # In inches throughout; the card becomes as wide as its longest text.
    step, edge, pad, ink = 0.185, 0.15, 0.13, "#1b1f24"
    height = 0.38 + step * len(texts)
    figure = Figure(figsize=(3.0, height), dpi=_LEGEND_DPI, facecolor=(1.0, 1.0, 1.0, 0.9))
    inches = figure.dpi_scale_trans
    drawn = [
        figure.text(
            pad, height - pad, classes.title, fontsize=8, weight="bold", color=ink, va="top",
            transform=inches,
        )
    ]  # fmt: skip
    for number, text in enumerate(texts):
        y = height - 0.42 - step * number
        if number < len(listed):
            color = tuple(listed[number][1] / 255)
            figure.add_artist(
                Rectangle((pad, y - edge / 2), 0.22, edge, facecolor=color, transform=inches)
            )
        drawn.append(
            figure.text(
                pad + 0.3, y, text, fontsize=8, color=ink, va="center_baseline",
                parse_math=False, transform=inches,
            )
        )  # fmt: skip
    right = max(text.get_window_extent().x1 for text in drawn)
    figure.set_size_inches(right / _LEGEND_DPI + pad, height)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_LEGEND_DPI)
    return buffer.getvalue()


def _site_png() -> bytes:
    """A white dot with a dark ring, carried along so that the file needs no network."""
    y, x = np.mgrid[-31.5:32.0, -31.5:32.0]
    radius = np.hypot(x, y)
    rgba = np.empty((64, 64, 4), dtype=np.uint8)
    rgba[..., :3] = np.clip(255.0 * (20.5 - radius), 27, 255)[..., None]
    rgba[..., 3] = np.clip(255.0 * (30.5 - radius), 0, 255)
    return _png(rgba)


def _legend_png(palette: Palette) -> bytes:
    """A colour bar on a light card, for the corner of the screen."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.15, 2.9), facecolor=(1.0, 1.0, 1.0, 0.9))
    figure.text(0.12, 0.93, "RSS [dBm]", fontsize=8, weight="bold", color="#1b1f24", va="center")
    bar = figure.colorbar(
        ScalarMappable(palette.normalize(), palette.colormap()),
        cax=figure.add_axes((0.14, 0.05, 0.18, 0.82)),
        extend=palette.extend,
        extendfrac=0.03,
        ticks=palette.ticks_dbm(),
    )
    bar.ax.set_yticklabels([f"{t:.0f}".replace("-", "\N{MINUS SIGN}") for t in palette.ticks_dbm()])
    bar.outline.set(linewidth=0.5, edgecolor="#4b535c")
    bar.ax.tick_params(length=2.5, width=0.5, labelsize=8, labelcolor="#1b1f24")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_LEGEND_DPI)
    return buffer.getvalue()


def _add(parent: ET.Element, tag: str, text: str = "") -> ET.Element:
    """A child element; characters that XML can't hold become U+FFFD, the rest is escaped."""
    child = ET.SubElement(parent, tag)
    child.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text) or None
    return child


def _document(
    radio_map: RadioMap,
    title: str,
    attribution: str,
    names: list[str],
    planned: Sequence[Layer],
    earth: _Earth,
) -> bytes:
    """The KML text (OGC 07-147r2: the order of elements is the schema's)."""
    root = ET.Element("kml", xmlns=_KML)
    document = _add(root, "Document")
    _add(document, "name", title)
    _add(document, "open", "1")
    made = f"Made with rfplatform {__version__}."
    if radio_map.attrs.get("stopped_by") == "interrupted":
        made += " Interrupted before it converged."
    _add(document, "description", f"{attribution}\n{made}".strip())
    _add_styles(document)

    levels = _add(document, "Folder")
    _add(levels, "name", "Received signal strength")
    _add(levels, "open", "1")
    # One overlay at a time: several maps over each other can't be read.
    _add(_add(_add(levels, "Style"), "ListStyle"), "listItemType", "radioFolder")
    for i, name in enumerate(names):
        _add_overlay(levels, name, _overlay_file(i), earth, visible=i == 0)

    _add_legend(document, "files/legend.png")
    if planned:
        _add_planning(document, planned, earth)
    sites = _add(document, "Folder")
    _add(sites, "name", "Sites")
    grid = radio_map.grid
    reach_m = _POINTER_SHARE * max(grid.num_x, grid.num_y) * grid.resolution_m
    by_site: dict[str, list[Sector]] = {}
    for sector in radio_map.sectors:
        by_site.setdefault(sector.site, []).append(sector)
    for site, sectors in by_site.items():
        _add_site(sites, site, sectors, grid, reach_m)
    ET.indent(root, " ")
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add_styles(document: ET.Element) -> None:
    site = _add(document, "Style")
    site.set("id", "site")
    icon = _add(site, "IconStyle")
    _add(icon, "scale", "0.9")
    _add(_add(icon, "Icon"), "href", "files/site.png")
    _add(_add(site, "LabelStyle"), "scale", "0.9")
    pointer = _add(document, "Style")
    pointer.set("id", "azimuth")
    line = _add(pointer, "LineStyle")
    _add(line, "color", "ffffffff")
    _add(line, "width", "3")


def _add_overlay(folder: ET.Element, name: str, file: str, earth: _Earth, *, visible: bool) -> None:
    ground = _add(folder, "GroundOverlay")
    _add(ground, "name", name)
    _add(ground, "visibility", "1" if visible else "0")
    _add(ground, "color", "d0ffffff")  # aabbggrr: the ground shows through a little.
    _add(_add(ground, "Icon"), "href", file)
    box = _add(ground, "LatLonBox")
    _add(box, "north", f"{earth.north_deg:.10f}")
    _add(box, "south", f"{earth.south_deg:.10f}")
    _add(box, "east", f"{earth.east_deg:.10f}")
    _add(box, "west", f"{earth.west_deg:.10f}")


def _add_planning(document: ET.Element, planned: Sequence[Layer], earth: _Earth) -> None:
    """A choice of planning layers, each of which comes and goes with its legend."""
    choice = _add(document, "Folder")
    _add(choice, "name", "Planning layers")
    _add(choice, "visibility", "0")
    _add(choice, "open", "1")
    _add(_add(_add(choice, "Style"), "ListStyle"), "listItemType", "radioFolder")
    for layer in planned:
        name = layer.title[0].upper() + layer.title[1:]
        group = _add(choice, "Folder")
        _add(group, "name", name)
        _add(group, "visibility", "0")
        _add(group, "description", layer.comment)
        _add(_add(_add(group, "Style"), "ListStyle"), "listItemType", "checkHideChildren")
        _add_overlay(group, name, _planning_file(layer), earth, visible=False)
        # On the other side than the legend of the RSS, which may be shown at the same time.
        _add_legend(group, _planning_legend(layer), visible=False, side="1")


def _add_legend(
    parent: ET.Element, file: str, *, visible: bool = True, side: Literal["0", "1"] = "0"
) -> None:
    """A card at the left ("0") or right ("1") edge of the screen."""
    screen = _add(parent, "ScreenOverlay")
    _add(screen, "name", "Legend")
    if not visible:
        _add(screen, "visibility", "0")
    _add(_add(screen, "Icon"), "href", file)
    for tag, x, y, units in (
        ("overlayXY", side, "0.5", "fraction"),
        ("screenXY", "0.015" if side == "0" else "0.985", "0.5", "fraction"),
        ("size", "0", "0", "pixels"),  # The picture's own size.
    ):
        point = _add(screen, tag)
        for key, value in (("x", x), ("y", y), ("xunits", units), ("yunits", units)):
            point.set(key, value)


def _add_site(
    folder: ET.Element, site: str, sectors: list[Sector], grid: Grid, reach_m: float
) -> None:
    """The site's place, and a line along each sector's boresight."""
    group = _add(folder, "Folder")
    _add(group, "name", site)
    place = _add(group, "Placemark")
    _add(place, "name", site)
    _add(place, "description", "\n".join(_sentence(s) for s in sectors))
    _add(place, "styleUrl", "#site")
    point = _add(place, "Point")
    _add(point, "altitudeMode", "relativeToGround")
    x = float(np.mean([s.x_m for s in sectors]))
    y = float(np.mean([s.y_m for s in sectors]))
    _add(point, "coordinates", _coordinates(grid, [(x, y, sectors[0].height_m)]))
    for sector in sectors:
        if sector.antenna in OMNIDIRECTIONAL:
            continue
        azimuth = np.radians(sector.azimuth_deg)
        tip = (sector.x_m + reach_m * np.sin(azimuth), sector.y_m + reach_m * np.cos(azimuth))
        pointer = _add(group, "Placemark")
        _add(pointer, "name", sector.label)
        _add(pointer, "description", _sentence(sector))
        _add(pointer, "styleUrl", "#azimuth")
        line = _add(pointer, "LineString")
        _add(line, "altitudeMode", "relativeToGround")
        start = (sector.x_m, sector.y_m, sector.height_m)
        _add(line, "coordinates", _coordinates(grid, [start, (*tip, sector.height_m)]))


def _coordinates(grid: Grid, points: list[tuple[float, float, float]]) -> str:
    """KML's "longitude,latitude,height" of local points."""
    lon, lat = grid.frame.to_lonlat([p[0] for p in points], [p[1] for p in points])
    return " ".join(f"{a:.8f},{b:.8f},{p[2]:.2f}" for a, b, p in zip(lon, lat, points, strict=True))


def _sentence(sector: Sector) -> str:
    return (
        f"{sector.label}: azimuth {sector.azimuth_deg:g}°, downtilt {sector.downtilt_deg:g}°, "
        f"{sector.power_dbm:g} dBm, {sector.frequency_hz / 1e6:g} MHz, "
        f"{sector.bandwidth_hz / 1e6:g} MHz wide, {sector.antenna}, "
        f"{sector.height_m:.3g} m above ground"
    )
