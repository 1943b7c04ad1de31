"""How a budget of rays is split into launches, and what their spread tells.

Sionna launches rays on a Fibonacci lattice that the ray count alone decides: a seed changes
nothing of line of sight and reflections, and a count that differs by one ray hardly anything.
Counts that differ by a percent or more give practically independent lattices. They come from a
small fixed set, since every new count is a new kernel to compile.

Reflections and diffraction are launched apart. A lattice of a few million rays finds nearly every
reflection that it will ever find, but diffraction needs larger launches: Sionna only knows the
edges beside which a ray of the same launch has landed (measured on central Helsinki: launches of
1e6 rays miss a third of the edges that 60e6 find, and 1.9 dB of the median diffracted power).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

MIN_RAYS_PER_SECTOR, MAX_RAYS_PER_SECTOR = 1_000, 10**12
MIN_ROUNDS = 4
"""Fewer specular launches give no spread worth the name; the first stop is looked at then."""

RAYS_OF_MIN_ROUNDS = 4_000_000
"""Budget up to which there are `MIN_ROUNDS`; above, rounds grow with its cube root.

One lattice is more even than a union of several, so that launches should grow; and there should
be more of them, so that their spread is known better and a trace can stop in time.
"""

ROUNDS_PER_DIFFRACTION = 2
"""Diffraction is launched every so many rounds, with as many times the rays."""


@dataclass(frozen=True)
class Round:
    """Launches after which the map is whole again.

    Attributes
    ----------
    specular_rays : int
        Rays a sector for reflections (and scattering, and refraction).
    diffraction_rays : int
        Rays a sector that look for edges, and samples on those found; 0: none this round.
    """

    specular_rays: int
    diffraction_rays: int


def rounds(rays_per_sector: int, seed: int, max_rays_per_launch: int) -> list[Round]:
    """Split a budget into rounds.

    Counts are spread over +-20 % of their mean, in an order that the seed decides (so that a run
    that stops early is not biased to small launches). Reflections and diffraction are given the
    whole budget each, as one call of Sionna's solver would.

    Parameters
    ----------
    rays_per_sector : int
        The budget, at least `MIN_RAYS_PER_SECTOR`.
    seed : int
    max_rays_per_launch : int
        What one launch can hold.

    Returns
    -------
    list of Round
        An even number, at least `MIN_ROUNDS`.
    """
    per = ROUNDS_PER_DIFFRACTION
    wanted = MIN_ROUNDS * np.cbrt(max(1.0, rays_per_sector / RAYS_OF_MIN_ROUNDS))
    fewest = 1.2 * per * rays_per_sector / (max_rays_per_launch - 1)
    num = max(per * round(wanted / per), per * int(np.ceil(fewest / per)))
    order = np.random.default_rng(seed)
    specular = order.permutation(_spread(rays_per_sector, num))
    diffraction = order.permutation(_spread(rays_per_sector, num // per))
    return [
        Round(int(specular[i]), int(diffraction[i // per]) if i % per == 0 else 0)
        for i in range(num)
    ]


def _spread(rays: int, num: int) -> npt.NDArray[np.int64]:
    counts = np.floor(rays * np.linspace(0.8, 1.2, num) / num).astype(np.int64)
    counts[num - (rays - counts.sum()) :] += 1
    return counts


@dataclass(eq=False)
class RunningMean:
    """Ray-weighted mean in linear power over batches, and its standard error.

    Attributes
    ----------
    shape : tuple of int
        Of the arrays that are added.
    """

    shape: tuple[int, ...]
    num_batches: int = 0
    rays: int = 0
    _weight_squared: float = 0.0
    _mean: npt.NDArray[np.float64] = field(init=False)
    _spread: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self._mean = np.zeros(self.shape)
        self._spread = np.zeros(self.shape)

    def add(self, power: npt.NDArray[np.floating], rays: int) -> None:
        """Add a batch (West 1979, "Updating mean and variance estimates", for weighted data)."""
        self.num_batches += 1
        self.rays += rays
        self._weight_squared += float(rays) ** 2
        step = power - self._mean
        self._mean += step * (rays / self.rays)
        self._spread += rays * step * (power - self._mean)

    def mean(self) -> FloatArray:
        """The ray-weighted mean."""
        return self._mean

    def standard_error(self) -> FloatArray:
        """One standard deviation of the mean's own error; NaN before the second batch.

        With reliability weights w (sum 1), the unbiased variance of the mean is
        ``sum(w (x - m)^2) sum(w^2) / (1 - sum(w^2))``.
        """
        if self.num_batches < 2:
            return np.full(self.shape, np.nan)
        share = self._weight_squared / self.rays**2
        return np.asarray(np.sqrt(self._spread / self.rays * share / (1.0 - share)))
