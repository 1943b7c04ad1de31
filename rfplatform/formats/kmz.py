"""Radio maps for Google Earth."""

from __future__ import annotations

import os
import re
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.formats.palette import Palette, masked_dbm, shown_rss_dbm
from rfplatform.formats.picture import OMNIDIRECTIONAL
from rfplatform.formats.staging import staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from rfplatform.radiomap import Grid, RadioMap, Sector

_KML = "http://www.opengis.net/kml/2.2"
_OVERLAY_PIXELS, _FINEST = 2048, 4
_POINTER_SHARE = 0.06
# Characters that XML 1.0 can't hold, escaped or not (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_kmz(
    radio_map: RadioMap,
    path: str | os.PathLike[str],
    *,
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
    title, attribution : str
        Name and source of the document, in place of those in the map's `attrs`.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    InputError
        If the path exists and `overwrite` is false.

    Notes
    -----
    The best RSS is shown, and each sector's is a choice beside it, all in the same colours.
    They are resampled to WGS 84 longitudes and latitudes, so that the box of an overlay is
    exact; cells without a path or indoors are transparent (OGC 07-147r2, 11.2).
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
        document = _document(radio_map, title, attribution, [name for name, _ in layers], earth)
        archive.writestr("doc.kml", document, zipfile.ZIP_DEFLATED)
        archive.writestr("files/legend.png", _legend_png(palette))
        archive.writestr("files/site.png", _site_png())
        for i, (_, levels_dbm) in enumerate(layers):
            picture = _png(palette.rgba(earth.sample(levels_dbm)))
            archive.writestr(_overlay_file(i), picture)


def _overlay_file(index: int) -> str:
    return f"files/rss_{index}.png" if index else "files/rss_best.png"


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


def _on_earth(grid: Grid) -> _Earth:
    """The raster over a grid: nearest cells, finer than they are so that edges stay in place."""
    from rasterio.transform import from_origin
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    frame, size = grid.frame, grid.resolution_m
    west, south = grid.west_m + frame.origin_easting_m, grid.south_m + frame.origin_northing_m
    east, north = grid.east_m + frame.origin_easting_m, grid.north_m + frame.origin_northing_m
    finer = max(1, min(_FINEST, _OVERLAY_PIXELS // max(grid.shape)))
    transform, columns, rows = calculate_default_transform(
        frame.crs,
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
        src_crs=frame.crs,
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
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _add(parent: ET.Element, tag: str, text: str = "") -> ET.Element:
    """A child element; characters that XML can't hold become U+FFFD, the rest is escaped."""
    child = ET.SubElement(parent, tag)
    child.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text) or None
    return child


def _document(
    radio_map: RadioMap, title: str, attribution: str, names: list[str], earth: _Earth
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

    _add_legend(document)
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


def _add_legend(document: ET.Element) -> None:
    screen = _add(document, "ScreenOverlay")
    _add(screen, "name", "Legend")
    _add(_add(screen, "Icon"), "href", "files/legend.png")
    for tag, x, y, units in (
        ("overlayXY", "0", "0.5", "fraction"),
        ("screenXY", "0.015", "0.5", "fraction"),
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
    _add(point, "coordinates", _coordinates(grid, [(x, y, sectors[0].z_m)]))
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
        start = (sector.x_m, sector.y_m, sector.z_m)
        _add(line, "coordinates", _coordinates(grid, [start, (*tip, sector.z_m)]))


def _coordinates(grid: Grid, points: list[tuple[float, float, float]]) -> str:
    """KML's "longitude,latitude,height" of local points."""
    lon, lat = grid.frame.to_lonlat([p[0] for p in points], [p[1] for p in points])
    return " ".join(f"{a:.8f},{b:.8f},{p[2]:.2f}" for a, b, p in zip(lon, lat, points, strict=True))


def _sentence(sector: Sector) -> str:
    return (
        f"{sector.label}: azimuth {sector.azimuth_deg:g}°, downtilt {sector.downtilt_deg:g}°, "
        f"{sector.power_dbm:g} dBm, {sector.frequency_hz / 1e6:g} MHz, "
        f"{sector.bandwidth_hz / 1e6:g} MHz wide, {sector.antenna}, "
        f"{sector.z_m:g} m above ground"
    )
