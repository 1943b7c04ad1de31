"""The colours of a level in dBm, the same in every picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

    from rfplatform.radiomap import BoolArray, RadioMap

_COLORMAP = "viridis"
_FALLBACK_DBM = (-120.0, -50.0)


@dataclass(frozen=True)
class Palette:
    """A perceptually uniform colour scale that colour-blind readers tell apart too.

    Attributes
    ----------
    low_dbm, high_dbm : float
        Levels of the first and the last colour; what lies beyond takes the nearer of the two.
    clips_low, clips_high : bool
        Whether there are levels beyond.
    """

    low_dbm: float
    high_dbm: float
    clips_low: bool = False
    clips_high: bool = False

    @classmethod
    def of(cls, levels_dbm: FloatArray) -> Palette:
        """The scale over all but the lowest and highest 1 % of levels, in steps of 5 dB.

        Parameters
        ----------
        levels_dbm : ndarray
            Any shape; NaN and -inf don't count.
        """
        known = levels_dbm[np.isfinite(levels_dbm)]
        if known.size == 0:
            return cls(*_FALLBACK_DBM)
        low, high = np.percentile(known, [1, 99])
        low_dbm, high_dbm = 5.0 * float(np.floor(low / 5.0)), 5.0 * float(np.ceil(high / 5.0))
        if high_dbm - low_dbm < 20.0:
            # A few dB stretched over all colours would show noise as if it were structure.
            middle = 5.0 * round((low_dbm + high_dbm) / 10.0)
            low_dbm, high_dbm = middle - 10.0, middle + 10.0
        return cls(low_dbm, high_dbm, bool(known.min() < low_dbm), bool(known.max() > high_dbm))

    @property
    def extend(self) -> str:
        """Which ends of a colour bar are pointed, in matplotlib's words."""
        return {
            (False, False): "neither",
            (True, False): "min",
            (False, True): "max",
            (True, True): "both",
        }[self.clips_low, self.clips_high]

    def ticks_dbm(self) -> FloatArray:
        """Whole tens of dBm within the scale; fives where the scale is short."""
        step = 10.0 if self.high_dbm - self.low_dbm > 40.0 else 5.0
        first = np.ceil(self.low_dbm / step) * step
        return np.arange(first, self.high_dbm + 0.5 * step, step)

    def colormap(self) -> Colormap:
        """The colours, with a transparent one for missing levels."""
        from matplotlib import colormaps

        return colormaps[_COLORMAP].with_extremes(bad=(0.0, 0.0, 0.0, 0.0))

    def normalize(self) -> Normalize:
        """The mapping of levels onto 0..1."""
        from matplotlib.colors import Normalize

        return Normalize(self.low_dbm, self.high_dbm)

    def rgba(self, levels_dbm: FloatArray) -> npt.NDArray[np.uint8]:
        """Colours of levels, [..., 4]; missing levels (NaN, -inf) are transparent."""
        missing = np.ma.masked_invalid(levels_dbm)
        return np.asarray(self.colormap()(self.normalize()(missing), bytes=True), dtype=np.uint8)


def shown_rss_dbm(radio_map: RadioMap) -> FloatArray:
    """Best RSS as pictures show it, [num_y, num_x]: NaN indoors and where there is no path."""
    return masked_dbm(radio_map.best_rss_dbm(), radio_map.outdoor)


def masked_dbm(levels_dbm: FloatArray, outdoor: BoolArray) -> FloatArray:
    """Levels with NaN indoors and where there is no path, the same shape."""
    return np.where(outdoor & np.isfinite(levels_dbm), levels_dbm, np.nan)
