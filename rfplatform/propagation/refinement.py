"""What the cascade's second network is trained on: moved worlds, sampled, after the first's map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rfplatform.propagation.conditioning import Misfit, Place, krige
from rfplatform.propagation.features import (
    CHANNELS,
    RESIDUAL_SCALE_DB,
    sample_channels,
    turned,
)
from rfplatform.propagation.learning import COARSE_SHARE, Example, inputs
from rfplatform.propagation.worlds import Sampled, WorldConfig, draw_world

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[np.float32]

VALIDATION_SAMPLES = (10, 50, 200)


@dataclass(frozen=True, eq=False)
class Surveyed:
    """An example with the first network's maps of it, without and with its coarse map.

    Attributes
    ----------
    example : Example
    residual_db, spread_db : ndarray, [2, num_y, num_x], float16
    """

    example: Example
    residual_db: npt.NDArray[np.float16]
    spread_db: npt.NDArray[np.float16]


Split = Callable[[Array], tuple[Array, Array]]


def surveyed(model: keras.Model, shown: Sequence[Example], split: Split) -> list[Surveyed]:
    """Send examples through the first network."""
    made = []
    for first in range(0, len(shown), 8):
        part = shown[first : first + 8]
        residuals, spreads = [], []
        for with_coarse in (False, True):
            x = np.stack([inputs(e, with_coarse=with_coarse) for e in part])
            residual_db, spread_db = split(np.asarray(model.predict_on_batch(x), np.float32))
            residuals.append(residual_db)
            spreads.append(spread_db)
        for i, example in enumerate(part):
            made.append(
                Surveyed(
                    example,
                    np.stack([r[i] for r in residuals]).astype(np.float16),
                    np.stack([s[i] for s in spreads]).astype(np.float16),
                )
            )
    return made


@dataclass(frozen=True, eq=False)
class Lit:
    """A sampled world, ready for the second network.

    Attributes
    ----------
    x : ndarray, [num_y, num_x, num_channels], float32
    target : ndarray, [num_y, num_x, 4], float32
        What `censored_nll` takes; sampled cells don't count.
    kriged_db, truth_db : ndarray, [num_y, num_x]
        Level by kriging alone, and the world's; NaN where none counts.
    """

    x: Array
    target: Array
    kriged_db: Array
    truth_db: Array


def lit(
    of: Surveyed,
    world: Sampled,
    resolution_m: float,
    misfit: Misfit,
    *,
    with_coarse: bool,
) -> Lit:
    """Krige an example's samples and stack what the second network sees."""
    example = of.example
    survey_db = of.residual_db[int(with_coarse)].astype(np.float32)
    spread_db = of.spread_db[int(with_coarse)].astype(np.float32)
    truth_db = example.level_db + world.moved_db
    row, column = world.row, world.column
    at = place(example.channels, spread_db, resolution_m)
    cell = row * truth_db.shape[1] + column
    predicted_db = example.prior_db + survey_db
    missed_db = (truth_db - predicted_db)[row, column].astype(float) + world.noise_db
    kriged = krige(missed_db, at.part(cell), at, misfit)
    x = np.concatenate(
        [
            example.channels.astype(np.float32),
            sample_channels(survey_db, spread_db, kriged, row, column, missed_db),
        ],
        axis=-1,
    )
    target = np.zeros((*truth_db.shape, 4), dtype=np.float32)
    counts = np.isfinite(truth_db)
    counts[row, column] = False
    residual = (truth_db - example.prior_db - kriged.offset_db) / RESIDUAL_SCALE_DB
    target[..., 0] = np.where(counts, np.clip(residual, -8.0, 8.0), 0.0)
    target[..., 1] = np.where(counts, example.target[..., 1].astype(np.float32), 0.0)
    mean_db = predicted_db + kriged.mean_db.reshape(truth_db.shape)
    return Lit(x, target, mean_db.astype(np.float32), np.where(counts, truth_db, np.nan))


def place(channels: npt.NDArray[np.floating], spread_db: Array, resolution_m: float) -> Place:
    """All cells of a window, row by row."""
    num_y, num_x = spread_db.shape
    x_m, y_m = np.meshgrid(np.arange(num_x) * resolution_m, np.arange(num_y) * resolution_m)
    log_distance = channels[..., CHANNELS.index("log_distance")].astype(np.float32) + 2.0
    return Place(x_m.ravel(), y_m.ravel(), log_distance.ravel(), spread_db.ravel())


def drawn(
    of: Surveyed,
    resolution_m: float,
    config: WorldConfig,
    rng: np.random.Generator,
    num_samples: int | None = None,
    as_traced: bool | None = None,
) -> Sampled:
    """A world for an example."""
    channels = of.example.channels
    return draw_world(
        np.isfinite(of.example.level_db),
        channels[..., CHANNELS.index("log_distance")].astype(np.float32),
        channels[..., CHANNELS.index("antenna_gain")].astype(np.float32) * 10.0,
        resolution_m,
        config,
        rng,
        num_samples,
        as_traced,
    )


def batches(
    shown: Sequence[Surveyed],
    batch_size: int,
    seed: int,
    epoch: int,
    resolution_m: float,
    config: WorldConfig,
    misfit: Misfit,
) -> Iterator[tuple[Array, Array]]:
    """An epoch of worlds, each turned and mirrored; another world of every example each epoch."""
    rng = np.random.default_rng([seed, 1, epoch])
    usable = [s for s in shown if np.isfinite(s.example.level_db).any()]
    order = rng.permutation(len(usable))
    for first in range(0, len(order) - batch_size + 1, batch_size):
        xs, ys = [], []
        for i in order[first : first + batch_size]:
            of = usable[i]
            world = drawn(of, resolution_m, config, rng)
            with_coarse = bool(rng.random() < COARSE_SHARE / 2.0)
            made = lit(of, world, resolution_m, misfit, with_coarse=with_coarse)
            turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
            xs.append(turned(made.x, turns, mirrored=mirrored, directions=True))
            ys.append(turned(made.target, turns, mirrored=mirrored, directions=False))
        yield np.stack(xs), np.stack(ys)


def validation_worlds(
    kept_back: Sequence[Surveyed],
    seed: int,
    resolution_m: float,
    config: WorldConfig,
    misfit: Misfit,
) -> dict[str, list[Lit]]:
    """The same worlds after every epoch, by name: as traced and moved, of every sample count."""
    worlds: dict[str, list[Lit]] = {}
    for as_traced in (True, False):
        for count in VALIDATION_SAMPLES:
            name = f"{'traced' if as_traced else 'moved'}_{count}"
            rng = np.random.default_rng([seed, 2, count, int(as_traced)])
            worlds[name] = [
                lit(
                    of,
                    drawn(of, resolution_m, config, rng, count, as_traced),
                    resolution_m,
                    misfit,
                    with_coarse=False,
                )
                for of in kept_back[::2]
                if np.isfinite(of.example.level_db).any()
            ]
    return worlds


def rmse_db(errors_db: Sequence[Array]) -> float:
    """Over all known cells of several maps."""
    known = np.concatenate([e[np.isfinite(e)] for e in errors_db])
    return float(np.sqrt(np.mean(known.astype(float) ** 2)))
