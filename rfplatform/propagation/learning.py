"""From traced windows to what the cascade's network is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rfplatform.propagation.features import (
    RESIDUAL_SCALE_DB,
    Coarse,
    Surface,
    coarse_channels,
    features,
    turned,
)
from rfplatform.propagation.lesson import Lesson

Array = npt.NDArray[np.float32]

TRUSTED_ERROR_DB = 4.0
"""Cells whose teacher's standard error is as large weigh half."""

DARK_WEIGHT = 0.1
"""Of a cell in which the teacher found no path."""

CEILING_QUANTILE = 0.25
"""Of the levels out of sight that the teacher found in a map: where it found none, the level is
taken to lie below this."""

COARSE_SHARE = 0.5
"""Of the examples that are shown with a coarse map."""


@dataclass(frozen=True, eq=False)
class Example:
    """One traced map.

    Attributes
    ----------
    town : str
    channels, coarse : ndarray, [num_y, num_x, num_channels], float16
        See `features`.
    prior_db : ndarray, [num_y, num_x], float32
    target : ndarray, [num_y, num_x, 4], float16
        What `censored_nll` takes.
    level_db : ndarray, [num_y, num_x], float32
        The teacher's, NaN where none counts: indoors, or without a path.
    coarse_db : ndarray, [num_y, num_x], float32
        The coarse map's, -inf where it found none.
    """

    town: str
    channels: npt.NDArray[np.float16]
    coarse: npt.NDArray[np.float16]
    prior_db: Array
    target: npt.NDArray[np.float16]
    level_db: Array
    coarse_db: Array


def examples(lessons: Iterable[Lesson]) -> Iterator[Example]:
    """Every sector of every window."""
    for lesson in lessons:
        surface = Surface(lesson.surroundings, lesson.height_m)
        for i, sector in enumerate(lesson.sectors):
            made = features(surface, lesson.outdoor, lesson.los[i], sector, lesson.grid)
            coarse = Coarse(lesson.coarse_path_gain_db[i], lesson.coarse_standard_error_db[i])
            level_db = lesson.path_gain_db[i]
            counts = lesson.outdoor & np.isfinite(level_db)
            yield Example(
                lesson.town,
                made.channels.astype(np.float16),
                coarse_channels(coarse, made.prior_db).astype(np.float16),
                made.prior_db,
                _target(lesson, i, made.prior_db),
                np.where(counts, level_db, np.nan).astype(np.float32),
                coarse.path_gain_db.astype(np.float32),
            )


def _target(lesson: Lesson, i: int, prior_db: Array) -> npt.NDArray[np.float16]:
    level_db, error_db = lesson.path_gain_db[i], lesson.standard_error_db[i]
    counts = lesson.outdoor & np.isfinite(level_db)
    target = np.zeros((*level_db.shape, 4), dtype=np.float16)
    residual = np.where(counts, level_db - prior_db, 0.0) / RESIDUAL_SCALE_DB
    target[..., 0] = np.clip(residual, -8.0, 8.0)
    error_db = np.nan_to_num(error_db, nan=20.0)
    target[..., 1] = np.where(counts, 1.0 / (1.0 + (error_db / TRUSTED_ERROR_DB) ** 2), 0.0)
    hidden = counts & ~lesson.los[i]
    if hidden.any():
        ceiling_db = np.quantile(level_db[hidden], CEILING_QUANTILE)
        target[..., 2] = np.clip((ceiling_db - prior_db) / RESIDUAL_SCALE_DB, -8.0, 8.0)
        target[..., 3] = np.where(lesson.outdoor & ~np.isfinite(level_db), DARK_WEIGHT, 0.0)
    return target


def batches(
    shown: Sequence[Example], batch_size: int, seed: int, epoch: int
) -> Iterator[tuple[Array, Array]]:
    """An epoch of turned and mirrored examples, half of them with their coarse map.

    Parameters
    ----------
    shown : sequence of Example
    batch_size : int
        The last examples of an epoch that fill no batch wait for the next.
    seed, epoch : int
        Decide order and turns.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(shown))
    for first in range(0, len(order) - batch_size + 1, batch_size):
        chosen = [shown[i] for i in order[first : first + batch_size]]
        pairs = [_augmented(example, rng) for example in chosen]
        yield np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])


def inputs(example: Example, *, with_coarse: bool) -> Array:
    """An example's channels, [num_y, num_x, num_channels]."""
    coarse = example.coarse if with_coarse else np.zeros_like(example.coarse)
    return np.concatenate([example.channels, coarse], axis=-1).astype(np.float32)


def _augmented(example: Example, rng: np.random.Generator) -> tuple[Array, Array]:
    turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
    x = inputs(example, with_coarse=bool(rng.random() < COARSE_SHARE))
    return (
        turned(x, turns, mirrored=mirrored, directions=True),
        turned(example.target.astype(np.float32), turns, mirrored=mirrored, directions=False),
    )
