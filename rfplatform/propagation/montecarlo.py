"""How rays are split into batches on different launch lattices, and what the batches tell.

Sionna launches rays on a Fibonacci lattice that the ray count alone decides: a seed changes
nothing of line of sight and reflections, and a count that differs by one ray hardly anything.
Counts that differ by a percent or more give practically independent lattices. They come from a
small fixed set, since every new count is a new kernel to compile.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

NUM_LATTICES = 12
MIN_BATCHES = 4
"""Fewer give no spread worth the name; the first stop is looked at after these."""

MIN_RAYS_PER_BATCH = 1_000


def batch_rays(rays_per_sector: int, seed: int, max_rays_per_batch: int) -> list[int]:
    """Ray counts of the batches that a budget is spent in.

    The counts are spread over +-20 % of their mean, in an order that the seed decides (so that a
    run that stops early is not biased to small batches); together they make the budget to within
    a ray a batch.

    Parameters
    ----------
    rays_per_sector : int
        The budget.
    seed : int
    max_rays_per_batch : int
        What one launch can hold.

    Returns
    -------
    list of int
        `NUM_LATTICES` counts; more where a batch would exceed its maximum, fewer where it would
        fall below `MIN_RAYS_PER_BATCH`.
    """
    fewest = int(np.ceil(1.2 * rays_per_sector / max_rays_per_batch))
    most = max(1, rays_per_sector // MIN_RAYS_PER_BATCH)
    num = min(max(fewest, NUM_LATTICES), most)
    if num == 1:
        return [rays_per_sector]
    factors = np.linspace(0.8, 1.2, num)
    counts = np.floor(rays_per_sector * factors / num).astype(int)
    return [int(c) for c in np.random.default_rng(seed).permutation(counts)]


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
