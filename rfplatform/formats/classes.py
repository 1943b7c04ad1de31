"""Planning layers in few colours: classes of values, with what each of them means."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.planning.layers import Layer
from rfplatform.units import FloatArray

MOST_LISTED = 24
"""Servers that a legend names; the rest is counted."""

_MISSING = -1


@dataclass(frozen=True)
class _Scale:
    """Borders of classes, in the unit that a legend shows.

    `shown` is how many of the layer's units are one of the legend's; `whole` values are counts,
    whose classes are named by what they hold and not by their borders. A `fitted` scale ends
    with the class of the highest value, because what is high depends on the carrier.
    """

    borders: tuple[float, ...]
    colormap: str = "viridis"
    unit: str = ""
    shown: float = 1.0
    whole: bool = False
    fitted: bool = False


_SCALES: Mapping[str, _Scale] = {
    "ss_rsrp_dbm": _Scale((-120, -110, -100, -90, -80, -70), unit="dBm"),
    "ss_rsrq_db": _Scale((-20, -17, -15, -13, -12, -11), unit="dB"),
    "ss_sinr_db": _Scale((-3, 0, 5, 10, 15, 20, 25), unit="dB"),
    "dominance_db": _Scale((3, 6, 10, 15, 20), unit="dB"),
    "num_servers": _Scale((1, 2, 3, 4, 5), colormap="YlOrRd", whole=True),
    "cqi": _Scale((1, 4, 7, 10, 13, 16), whole=True),
    "rate_bps": _Scale(
        (1, 5, 10, 20, 50, 100, 200, 500, 1000), unit="Mbit/s", shown=1e6, fitted=True
    ),
    "serving_mean_delay_s": _Scale((0.25, 0.5, 1, 2, 4), "magma", "µs", 1e-6, fitted=True),
    "serving_delay_spread_s": _Scale((0.03, 0.1, 0.3, 1.0), "magma", "µs", 1e-6, fitted=True),
}

# Okabe and Ito's colours for the colour-blind, then their lighter and darker kin.
SERVER_COLORS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7b5ea7",
    "#8c6d31", "#66c2a5", "#b2182b", "#1b3a5c", "#a6d854", "#fdbf6f", "#5e3c99", "#999999",
)  # fmt: skip
_BOUNDARY = "#d7191c"


@dataclass(frozen=True, eq=False)
class Classes:
    """A layer in classes.

    Attributes
    ----------
    title : str
        Head of the legend, with the unit.
    index : ndarray, [num_y, num_x], int16
        Class of every cell; -1 is transparent.
    labels : tuple of str
        Of every class.
    colors : ndarray, [num_classes, 3], uint8
        Of every class.
    is_scale : bool
        Whether the classes ascend; a legend then shows the highest on top.
    """

    title: str
    index: npt.NDArray[np.int16]
    labels: tuple[str, ...]
    colors: npt.NDArray[np.uint8]
    is_scale: bool

    @classmethod
    def of(cls, layer: Layer, covered: npt.NDArray[np.bool_]) -> Classes:
        """The classes of a planning layer; cells that are not covered are transparent.

        Parameters
        ----------
        layer : Layer
            Of `rfplatform.planning.layers.PlanningLayers.layers`.
        covered : ndarray, [num_y, num_x], bool
            Outdoor cells with a server.
        """
        if layer.name == "handover_boundary":
            index = np.where(covered & layer.values, 0, _MISSING)
            return cls(
                _headed(layer.title, ""), index.astype(np.int16), ("boundary",),
                _rgb([_BOUNDARY]), is_scale=False,
            )  # fmt: skip
        if layer.flags is not None:
            index = np.where(covered, layer.values, _MISSING)
            labels = tuple(text for value, text in layer.flags.items() if value >= 0)
            colors = _rgb([SERVER_COLORS[i % len(SERVER_COLORS)] for i in range(len(labels))])
            return cls(
                _headed(layer.title, ""), index.astype(np.int16), labels, colors, is_scale=False
            )
        scale = _SCALES[layer.name]
        return cls._of_scale(layer, scale, covered)

    @classmethod
    def _of_scale(cls, layer: Layer, scale: _Scale, covered: npt.NDArray[np.bool_]) -> Classes:
        # In the layer's own units and in double precision, so that borders are met exactly.
        values = np.asarray(layer.values, dtype=float)
        listed = scale.borders
        if scale.fitted:
            known = values[covered & np.isfinite(values)]
            highest = known.max(initial=listed[0] * scale.shown) / scale.shown
            listed = tuple(b for b in listed if b <= highest) or listed[:1]
        number = np.digitize(values, np.asarray(listed, dtype=float) * scale.shown)
        labels = _counts(listed) if scale.whole else _ranges(listed)
        if layer.name == "cqi":
            labels = labels[:-1]  # There is no CQI 16.
        elif layer.name == "num_servers":
            number, labels = number - 1, labels[1:]  # None is transparent.
        index = np.where(covered & np.isfinite(values), number, _MISSING)
        return cls(
            _headed(layer.title, scale.unit),
            index.astype(np.int16),
            tuple(labels),
            _sampled(scale.colormap, len(labels)),
            is_scale=True,
        )

    def legend(self) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """Labels and colours from top to bottom."""
        rows = list(zip(self.labels, self.colors, strict=True))
        return rows[::-1] if self.is_scale else rows


def _headed(title: str, unit: str) -> str:
    return (title[0].upper() + title[1:]) + (f" [{unit}]" if unit else "")


def _text(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _ranges(borders: Sequence[float]) -> list[str]:
    between = [f"{_text(low)} to {_text(high)}" for low, high in itertools.pairwise(borders)]
    return [f"< {_text(borders[0])}", *between, f"≥ {_text(borders[-1])}"]


def _counts(borders: Sequence[float]) -> list[str]:
    between = [
        _text(low) if high == low + 1 else f"{_text(low)} to {_text(high - 1)}"
        for low, high in itertools.pairwise(borders)
    ]
    return ["0", *between, f"{_text(borders[-1])} or more"]


def _sampled(name: str, count: int) -> npt.NDArray[np.uint8]:
    from matplotlib import colormaps

    # The palest reds would vanish on a light map.
    first = 0.25 if name == "YlOrRd" else 0.0
    rgba: FloatArray = colormaps[name](np.linspace(first, 1.0, count))
    return np.asarray(np.round(rgba[:, :3] * 255), dtype=np.uint8)


def _rgb(names: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.array([list(bytes.fromhex(name[1:])) for name in names], dtype=np.uint8)
