"""A picture of a Blender scene with a layer of a radio map over its ground."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.blender.process import ask_blender, require_blender
from rfplatform.errors import InputError
from rfplatform.formats.palette import Palette
from rfplatform.frame import Frame
from rfplatform.staging import require_free, staged
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_SIZE, MAX_SIZE = (480, 360), (7680, 7680)
_INK, _SOFT_INK, _FAINT_INK, _PAPER = "#1b1f24", "#4b535c", "#7d858e", "#ffffff"
_FONT = "DejaVu Sans"
_HEAD, _FOOT, _EDGE = 74, 92, 36
"""Pixels above, below and beside the city, in a picture of `_UNIT` pixels' width."""
_UNIT = 1600


@dataclass(frozen=True)
class Mast:
    """Antennas on one mast, to be drawn.

    Attributes
    ----------
    name : str
    x_m, y_m, z_m : float
        In the drape's local metres.
    height_m : float
        Above ground.
    azimuths_deg : tuple of float
        Directions to show, clockwise from grid north; none for antennas without one.
    """

    name: str
    x_m: float
    y_m: float
    z_m: float
    height_m: float
    azimuths_deg: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Drape:
    """A layer of a radio map to lay over the ground.

    Attributes
    ----------
    values : ndarray, [num_y, num_x]
        NaN where there is nothing to show; row 0 is south.
    west_m, south_m, resolution_m : float
        South-western corner and cell, in local metres.
    frame : Frame
        The local metres.
    name, unit : str
        For the legend: "Best received signal strength", "dBm".
    masts : tuple of Mast
    """

    values: FloatArray
    west_m: float
    south_m: float
    resolution_m: float
    frame: Frame
    name: str
    unit: str
    masts: tuple[Mast, ...] = ()

    @property
    def label(self) -> str:
        """Name and unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Credits:
    """What a picture says it shows, and whose data that is."""

    title: str
    attribution: str


def render_scene(
    blend: str | os.PathLike[str],
    drape: Drape,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    attribution: str = "",
    size: tuple[int, int] = (1600, 1000),
    samples: int = 24,
    overwrite: bool = False,
) -> Credits:
    """Render a Blender file with a map over its ground, and a legend.

    Cycles renders on the CPU; the map's colours leave it as they went in, so that they match the
    legend. Buildings get a plain light coat, and cells without a value show the bare ground.

    Parameters
    ----------
    blend : path-like
        A ``.blend`` file; it is not changed.
    drape : Drape
    path : path-like
        The PNG file; it appears when it is whole.
    title : str
        By default the area that the file names, or the file's name.
    attribution : str
        By default the file's.
    size : (int, int)
        Width and height in pixels.
    samples : int
        Rays a pixel, before denoising.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Credits
        The title and the attribution that the picture carries.

    Raises
    ------
    InputError
        If the file can't be read, the map lies in another CRS or beside the scene, or the path
        exists and `overwrite` is false.
    MissingError
        If Blender's Python module is not installed.
    WorkerError
        If Blender died.
    """
    blend = Path(blend)
    if not blend.is_file():
        raise InputError(f"{blend}: no such file; give a .blend file")
    require_size(size)
    require_free(path, overwrite=overwrite)
    require_blender()
    palette = Palette.of(drape.values)
    unit = size[0] / _UNIT
    inner = (
        size[0] - 2 * round(_EDGE * unit),
        size[1] - round(_HEAD * unit) - round(_FOOT * unit),
    )
    if inner[1] < 100:
        raise InputError(f"size {size[0]}x{size[1]}: too wide for its height; try 1600x1000")
    with staged(path, overwrite) as partial, tempfile.TemporaryDirectory() as folder:
        image, picture = Path(folder) / "drape.png", Path(folder) / "city.png"
        _write_image(palette, drape.values, image)
        num_y, num_x = drape.values.shape
        frame = drape.frame
        reply = ask_blender(
            "render",
            {
                "path": str(blend.resolve()),
                "image": str(image),
                "out": str(picture),
                "box_m": [
                    drape.west_m,
                    drape.south_m,
                    drape.west_m + num_x * drape.resolution_m,
                    drape.south_m + num_y * drape.resolution_m,
                ],
                "place": None
                if frame.crs is None
                else [frame.crs, frame.origin_easting_m, frame.origin_northing_m],
                "masts": [vars(mast) for mast in drape.masts],
                "size": list(inner),
                "samples": samples,
            },
        )
        found = reply.values
        credits_ = Credits(
            title or found["area"] or blend.stem, attribution or found["attribution"]
        )
        figure = _compose(
            picture,
            found["masts"],
            found["north"],
            drape,
            palette,
            size,
            credits_,
        )
        figure.savefig(
            partial,
            format="png",
            dpi=100,
            metadata={
                "Title": credits_.title,
                "Copyright": credits_.attribution,
                "Software": f"rfplatform {__version__}",
            },
        )
    return credits_


def require_size(size: tuple[int, int]) -> None:
    """Refuse a picture that is too small for its legend, or too large to make."""
    for given, low, high in zip(size, MIN_SIZE, MAX_SIZE, strict=True):
        if not low <= given <= high:
            raise InputError(
                f"size {size[0]}x{size[1]}: must lie between {MIN_SIZE[0]}x{MIN_SIZE[1]} and "
                f"{MAX_SIZE[0]}x{MAX_SIZE[1]} pixels"
            )


def _write_image(palette: Palette, values: FloatArray, path: Path) -> None:
    """Colours of the cells, north up; cells without a value are transparent.

    Their colour is that of the nearest cell that has one, since Blender mixes the colours of
    neighbours whatever their opacity.
    """
    from PIL import Image
    from scipy.ndimage import distance_transform_edt

    rgba = palette.rgba(values)
    known = np.isfinite(values)
    if known.any() and not known.all():
        row, column = distance_transform_edt(~known, return_distances=False, return_indices=True)
        rgba[..., :3] = rgba[row, column, :3]
    Image.fromarray(np.ascontiguousarray(rgba[::-1])).save(path)


def _compose(
    picture: Path,
    masts: Sequence[Mapping[str, Any]],
    north: Sequence[float],
    drape: Drape,
    palette: Palette,
    size: tuple[int, int],
    credits_: Credits,
) -> Figure:
    """The city on white, under a title and over a legend."""
    from matplotlib.figure import Figure
    from PIL import Image

    width, height = size
    unit = width / _UNIT
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=_PAPER)
    pixels = np.asarray(Image.open(picture))
    edge, foot = round(_EDGE * unit), round(_FOOT * unit)
    figure.figimage(_on_paper(pixels), xo=edge, yo=foot, origin="upper")
    sheet = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    sheet.set_axis_off()
    sheet.patch.set_visible(False)
    sheet.set_zorder(5)

    def write(x: float, y: float, text: str, px: float, **style: Any) -> None:  # noqa: ANN401
        style = {"color": _INK, "family": _FONT, "parse_math": False, **style}
        sheet.text(x, y, text, fontsize=px * unit * 0.72, **style)

    write(edge, height - 40 * unit, credits_.title, 27, weight="bold", va="baseline")
    write(edge, height - 66 * unit, _subtitle(drape), 15, color=_SOFT_INK, va="baseline")
    write(edge, 20 * unit, credits_.attribution, 12.5, color=_FAINT_INK, va="baseline")
    write(
        width - edge, 20 * unit, f"rfplatform {__version__}", 12.5,
        color=_FAINT_INK, ha="right", va="baseline",
    )  # fmt: skip
    _draw_names(sheet, masts, (edge, foot), (pixels.shape[1], pixels.shape[0]), unit)
    _draw_legend(figure, drape, palette, size, unit)
    _draw_north(sheet, north, (width - (_EDGE + 24) * unit, height - 52 * unit), unit)
    return figure


def _subtitle(drape: Drape) -> str:
    num = len(drape.masts)
    sites = f" · {num} site{'s' if num > 1 else ''}" if num else ""
    return f"{drape.name} · {drape.resolution_m:g} m cells{sites}"


def _on_paper(pixels: npt.NDArray[np.uint8]) -> FloatArray:
    """A picture with transparency laid on the paper, [height, width, 3], 0..1."""
    from matplotlib.colors import to_rgb

    opacity = pixels[..., 3:] / 255.0
    return np.asarray(pixels[..., :3] / 255.0 * opacity + np.array(to_rgb(_PAPER)) * (1 - opacity))


def _draw_names(
    sheet: Any,  # noqa: ANN401  (matplotlib's Axes)
    masts: Sequence[Mapping[str, Any]],
    corner: tuple[int, int],
    size: tuple[int, int],
    unit: float,
) -> None:
    """The name of each mast above its top, the nearer ones over the farther."""
    for mast in masts:
        if not (0 <= mast["across"] <= 1 and 0 <= mast["up"] <= 1):
            continue
        x, y = corner[0] + mast["across"] * size[0], corner[1] + mast["up"] * size[1]
        sheet.annotate(
            mast["name"], (x, y), (0, 9 * unit), textcoords="offset points",
            fontsize=10.5 * unit, family=_FONT, weight="bold", color=_INK, ha="center",
            va="bottom", parse_math=False, annotation_clip=False,
            bbox={"boxstyle": "round,pad=0.35", "fc": (1, 1, 1, 0.92), "ec": "none"},
            arrowprops={"arrowstyle": "-", "color": _INK, "lw": 0.9 * unit, "shrinkA": 0,
                        "shrinkB": 0},
        )  # fmt: skip


def _draw_north(
    sheet: Any,  # noqa: ANN401  (matplotlib's Axes)
    way: Sequence[float],
    middle: tuple[float, float],
    unit: float,
) -> None:
    """A slim needle that points to grid north as the picture shows it."""
    from matplotlib.patches import Polygon

    along, across = np.array(way), np.array([way[1], -way[0]])
    at = np.array(middle)
    tip, foot = at + 20 * unit * along, at - 12 * unit * along
    for side, fill in ((-1, _INK), (1, "white")):
        corner = foot - 7 * unit * along + side * 9 * unit * across
        shape = Polygon(
            [tip, corner, foot], closed=True, fc=fill, ec=_INK, lw=0.8 * unit, joinstyle="miter"
        )
        sheet.add_patch(shape)
    x, y = (tip + 11 * unit * along).tolist()
    sheet.text(
        x, y, "N", fontsize=10.5 * unit, family=_FONT, weight="bold", color=_INK, ha="center",
        va="center",
    )  # fmt: skip


def _draw_legend(
    figure: Figure, drape: Drape, palette: Palette, size: tuple[int, int], unit: float
) -> None:
    """A colour bar under the city, to the right."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator

    width, height = size
    length = min(460 * unit, 0.5 * width)
    left = width - _EDGE * unit - length
    first, last = palette.low_dbm, palette.high_dbm
    ticks = MaxNLocator(7, steps=[1, 2, 5, 10], integer=True).tick_values(first, last)
    ticks = [tick for tick in ticks if first <= tick <= last]
    box = figure.add_axes(
        (left / width, 66 * unit / height, length / width, 13 * unit / height), zorder=6
    )
    bar = figure.colorbar(
        ScalarMappable(palette.normalize(), palette.colormap()),
        cax=box,
        orientation="horizontal",
        extend=palette.extend,
        extendfrac=0.025,
        ticks=ticks,
    )
    bar.ax.set_xticklabels([f"{t:,.0f}".replace("-", "\N{MINUS SIGN}") for t in ticks])
    bar.outline.set(linewidth=0)
    bar.ax.tick_params(
        length=3 * unit, width=0.6 * unit, color=_SOFT_INK, labelcolor=_INK,
        labelsize=12.5 * unit * 0.72, pad=2 * unit, labelfontfamily=_FONT,
    )  # fmt: skip
    figure.text(
        (left - 14 * unit) / width, 72 * unit / height, drape.label,
        fontsize=13.5 * unit * 0.72, family=_FONT, color=_INK, ha="right", va="center",
        parse_math=False,
    )  # fmt: skip
