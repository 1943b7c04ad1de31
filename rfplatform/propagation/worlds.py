"""Worlds that differ from ray tracing as measured ones do, to learn from samples in.

Networks see only traced maps; reality has other powers, slopes, antennas, and foliage, cars and
walls that no map holds. Each example is therefore moved by random fields, of random size and
smoothness, and sampled as drive tests sample: here and there, or only along some blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

BLOCK_CELLS = 16
"""Edge of a block: 64 m."""


@dataclass(frozen=True)
class WorldConfig:
    """How far worlds are from the traced one.

    Attributes
    ----------
    as_traced_share : float
        Of examples that are not moved at all.
    offset_db, slope_db : float
        Standard deviation of the constant and of the slope, a decade of distance.
    pattern : float
        Of the relative error of the antenna's pattern in dB.
    field_db, field_m : tuple of float
        Least and most standard deviation, and correlation length, of each of two random fields.
    noise_db : tuple of float
        Least and most noise of a sample.
    most_samples : int
        Numbers of samples are spread evenly over the logarithm, from 1.
    blocks_share : float
        Of examples whose samples lie in some blocks alone.
    """

    as_traced_share: float = 0.4
    offset_db: float = 6.0
    slope_db: float = 6.0
    pattern: float = 0.25
    field_db: tuple[float, float] = (0.0, 6.0)
    field_m: tuple[float, float] = (8.0, 150.0)
    noise_db: tuple[float, float] = (0.0, 3.0)
    most_samples: int = 200
    blocks_share: float = 0.5


@dataclass(frozen=True, eq=False)
class Sampled:
    """A moved world and its samples.

    Attributes
    ----------
    moved_db : ndarray, [num_y, num_x], float32
        What is added to the traced levels.
    row, column : ndarray, [num_samples]
    noise_db : ndarray, [num_samples]
        Error of each sample, drawn.
    """

    moved_db: npt.NDArray[np.float32]
    row: npt.NDArray[np.intp]
    column: npt.NDArray[np.intp]
    noise_db: FloatArray


def draw_world(
    known: npt.NDArray[np.bool_],
    log_distance: npt.NDArray[np.float32],
    gain_dbi: npt.NDArray[np.float32],
    resolution_m: float,
    config: WorldConfig,
    rng: np.random.Generator,
    num_samples: int | None = None,
    as_traced: bool | None = None,
) -> Sampled:
    """Move a traced map and draw samples of it.

    Parameters
    ----------
    known : ndarray, [num_y, num_x], bool
        Cells that can be sampled; at least one.
    log_distance, gain_dbi : ndarray, [num_y, num_x]
        From the antenna, and its gain towards each cell.
    resolution_m : float
    config : WorldConfig
    rng : Generator
    num_samples : int, optional
        Drawn by default.
    as_traced : bool, optional
        Whether the world is not moved; drawn by default.
    """
    if as_traced is None:
        as_traced = bool(rng.random() < config.as_traced_share)
    moved_db = np.zeros(known.shape, dtype=np.float32)
    if not as_traced:
        middle, usual = log_distance[known].mean(), gain_dbi[known].mean()
        moved_db += np.float32(rng.normal(0.0, config.offset_db))
        moved_db += np.float32(rng.normal(0.0, config.slope_db)) * (log_distance - middle)
        moved_db += np.float32(rng.normal(0.0, config.pattern)) * (gain_dbi - usual)
        for _ in range(2):
            size_db = rng.uniform(*config.field_db)
            length_m = np.exp(rng.uniform(*np.log(config.field_m)))
            moved_db += random_field(known.shape, length_m / resolution_m, rng) * size_db
    cells = np.flatnonzero(known)
    if rng.random() < config.blocks_share:
        cells = _in_blocks(cells, known.shape, rng)
    if num_samples is None:
        num_samples = round(float(np.exp(rng.uniform(0.0, np.log(config.most_samples)))))
    chosen = rng.choice(cells, min(num_samples, len(cells)), replace=False)
    row, column = np.divmod(chosen, known.shape[1])
    noise_db = rng.normal(0.0, rng.uniform(*config.noise_db), len(chosen))
    return Sampled(moved_db, row, column, noise_db)


def random_field(
    shape: tuple[int, int], length_cells: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """A Gaussian field of unit variance with exponential correlation, periodic, float32.

    The spectrum of ``exp(-r / l)`` in two dimensions is ``(1 + (k l)^2)^(-3/2)``.
    """
    ky = 2.0 * np.pi * np.fft.fftfreq(shape[0])[:, None]
    kx = 2.0 * np.pi * np.fft.rfftfreq(shape[1])[None, :]
    amplitude = (1.0 + (kx**2 + ky**2) * length_cells**2) ** -0.75
    noise = np.fft.rfft2(rng.standard_normal(shape))
    noise[0, 0] = 0.0
    field = np.fft.irfft2(noise * amplitude, shape)
    return (field / max(float(field.std()), 1e-9)).astype(np.float32)


def _in_blocks(
    cells: npt.NDArray[np.intp], shape: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Those of the cells that lie in a random part of the blocks."""
    row, column = np.divmod(cells, shape[1])
    block = row // BLOCK_CELLS * (-(-shape[1] // BLOCK_CELLS)) + column // BLOCK_CELLS
    blocks = np.unique(block)
    number = max(1, round(len(blocks) * rng.uniform(0.1, 0.8)))
    return cells[np.isin(block, rng.choice(blocks, number, replace=False))]
