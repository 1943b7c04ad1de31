"""Our cascade: a closed form, corrected by a U-Net, then by whatever was measured.

The U-Net also takes a coarse traced map; what it states as its spread is what decides how far a
measurement moves the cells around it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.nn.quiet import quiet_start
from rfplatform.propagation.conditioning import Misfit, Place, krige
from rfplatform.propagation.features import (
    BASE_CHANNEL,
    CHANNELS,
    COARSE_CHANNELS,
    RESIDUAL_SCALE_DB,
    Coarse,
    Surface,
    coarse_channels,
    features,
)
from rfplatform.propagation.interpolation import Samples
from rfplatform.propagation.learning import Example, batches, examples, inputs
from rfplatform.propagation.lesson import Lesson
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.propagation.unet import (
    RESOLUTION_M,
    SIZE,
    Network,
    by_windows,
    compiled,
    find_model,
    require_keras,
    resampled,
    surface_of,
    trained_grid,
    with_weights,
)
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import BoolArray, Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.rasterize import ground_layer, outdoor_mask
from rfplatform.scene import Scene
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    import keras

    from rfplatform.nn.fit import Baseline, Stage

Array = npt.NDArray[np.float32]

NAME = "cascade"
SURVEY = "survey"
NUM_INPUTS = len(CHANNELS) + len(COARSE_CHANNELS)


UNKNOWN_POWER = Misfit(offset_db=30.0, slope_db=8.0, smooth_db=6.0, smooth_m=50.0, noise_db=3.0)
"""For received levels, whose power and losses nobody told, in a place with trees and cars that no
map holds: shadow fading as of TR 38.901 Table 7.5-6 (UMa NLOS: 6 dB, 50 m), readings as far apart
as TS 36.133 clause 9.1.2 lets two of one receiver be (3 dB)."""

MOST_SAMPLES = 1000
"""That are kriged at once: time grows with their square."""

KEPT_SURVEYS = 64
"""Maps before any sample that a conditional solver keeps, for its next samples."""


class ConditionalSolver(Protocol):
    """A solver that also takes what was measured of each sector, and coarse maps.

    Levels are path gain in dB. Indoor cells of the map are those of the nearest outdoor cell.
    """

    def __call__(
        self,
        scene: Scene,
        sectors: Sequence[Sector],
        grid: Grid,
        samples: Sequence[Samples | None],
        coarse: Sequence[Coarse | None] | None = None,
    ) -> RadioMap: ...


@dataclass(frozen=True)
class CascadeNetwork:
    """What the network is built with, and how it is trained.

    Attributes
    ----------
    widths : tuple of int
        Channels of every level, the finest (8 m cells) first.
    blocks : int
        Residual blocks of a level, each way.
    detail : int
        Channels at full resolution.
    batch_size : int
    learning_rate : float
    """

    widths: tuple[int, ...] = (48, 96, 160, 224)
    blocks: int = 1
    detail: int = 16
    batch_size: int = 8
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}: must be 1 or more")

    @property
    def num_stages(self) -> int:
        """Networks that are trained one after the other."""
        return 1

    def architecture(self) -> dict[str, Any]:
        """What decides the weights' shapes, as JSON values."""
        return {
            "widths": list(self.widths),
            "blocks": self.blocks,
            "detail": self.detail,
        }

    def inputs(self) -> dict[str, Any]:
        """Channels and scales, as JSON values."""
        return {
            "cells": SIZE,
            "resolution_m": RESOLUTION_M,
            "residual_scale_db": RESIDUAL_SCALE_DB,
            SURVEY: [*CHANNELS, *COARSE_CHANNELS],
        }

    def build(self) -> keras.Model:
        """The network, not trained."""
        from rfplatform.nn.blocks import residual_unet

        return residual_unet(
            SIZE,
            NUM_INPUTS,
            2,
            widths=self.widths,
            blocks=self.blocks,
            detail=self.detail,
            base_channel=BASE_CHANNEL,
            name=SURVEY,
        )

    def stage(
        self,
        number: int,  # noqa: ARG002  (there is one alone)
        fitted: Sequence[keras.Model],  # noqa: ARG002
        training: Sequence[Lesson],
        validation: Sequence[Lesson],
        *,
        seed: int,
    ) -> Stage:
        """The network with its examples.

        Parameters
        ----------
        number : int
            Of the stage, from 0.
        fitted : sequence of keras.Model
            The stages before it.
        training, validation : sequence of Lesson
            Of different towns.
        seed : int
        """
        from rfplatform.nn.fit import Stage
        from rfplatform.nn.losses import censored_nll

        shown, kept_back = list(examples(training)), list(examples(validation))
        if len(shown) < self.batch_size:
            raise InputError(
                f"{len(shown)} maps to train on are fewer than a batch of {self.batch_size}"
            )
        return Stage(
            SURVEY,
            self.build(),
            censored_nll,
            lambda epoch: batches(shown, self.batch_size, seed, epoch),
            len(shown) // self.batch_size,
            lambda model: validation_scores(model, kept_back),
            watched="val_loss",
            learning_rate=self.learning_rate,
            baselines=baselines(kept_back),
        )


def validation_scores(model: keras.Model, kept_back: Sequence[Example]) -> dict[str, float]:
    """Losses and RMSE over the maps of other towns, with and without their coarse maps.

    Returns
    -------
    dict
        "val_loss" (the mean of both losses); "val_rmse_db" and "val_rmse_with_coarse_db" over
        outdoor cells that the teacher reaches.
    """
    from rfplatform.nn.losses import censored_nll

    target = np.stack([e.target for e in kept_back]).astype(np.float32)
    scores = {"val_loss": 0.0}
    for name, with_coarse in (("val_rmse_db", False), ("val_rmse_with_coarse_db", True)):
        x = np.stack([inputs(e, with_coarse=with_coarse) for e in kept_back])
        predicted = np.asarray(model.predict(x, batch_size=8, verbose=0), dtype=np.float32)
        scores["val_loss"] += float(censored_nll(target, predicted)) / 2.0
        errors = [
            (e.prior_db + RESIDUAL_SCALE_DB * p[..., 0] - e.level_db)[np.isfinite(e.level_db)]
            for e, p in zip(kept_back, predicted, strict=True)
        ]
        scores[name] = _rmse_db(errors)
    return scores


def _rmse_db(errors_db: Sequence[Array]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(errors_db).astype(float) ** 2)))


def baselines(kept_back: Sequence[Example]) -> dict[str, Baseline]:
    """What the network has to beat on the same maps: what it begins with."""
    from rfplatform.nn.fit import Baseline

    known = [np.isfinite(e.level_db) for e in kept_back]
    closed, coarse = (
        _rmse_db(
            [(level - e.level_db)[k] for level, e, k in zip(levels, kept_back, known, strict=True)]
        )
        for levels in (
            [e.prior_db for e in kept_back],
            [np.where(np.isfinite(e.coarse_db), e.coarse_db, e.prior_db) for e in kept_back],
        )
    )
    return {
        "val_rmse_db": Baseline("closed form", closed),
        "val_rmse_with_coarse_db": Baseline("coarse map", coarse),
    }


@dataclass(frozen=True)
class Cascade:
    """A learned map, in a fraction of a second; with `rays_per_sector`, of a coarse traced one.

    Attributes
    ----------
    model : str
        "name@version" of the registry; "" for the weights that come with rfplatform.
    rays_per_sector : int
        Of a coarse traced map that the network then makes a converged one of; 0: no rays.
    max_depth, seed : int
        Of those rays.
    """

    model: str = ""
    rays_per_sector: int = 0
    max_depth: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        if self.rays_per_sector:
            self._tracer()

    def load(
        self,
        progress: Callable[[Any], None] | None = None,
        process: TracingProcess | None = None,
    ) -> RadioMapSolver:
        """The solver; `progress` is told of the rays, where there are any.

        They are traced in a process of their own, or in the one that is given.

        Raises
        ------
        MissingError
            If the weights, or Keras, are not there.
        """
        require_keras()
        found = find_model(NAME, self.model)

        def solve(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> RadioMap:
            started, inner = time.monotonic(), trained_grid(grid)
            coarse = None
            if self.rays_per_sector:
                coarse = self._tracer().load(progress, process)(scene, sectors, inner)
            network = network_of(self.model)
            shown = seen_by(scene, sectors, inner, coarse)
            surveys = [survey(s, network) for s in shown]
            levels = np.stack([s.path_gain_db for s in surveys])
            spreads = np.stack([s.spread_db for s in surveys])
            if inner is grid:
                outdoor, los = shown[0].outdoor, np.stack([s.los for s in shown])
            else:
                outdoor = outdoor_mask(scene, grid)
                los = line_of_sight(scene, sectors, grid) & outdoor
            path_gain_db = np.where(outdoor, resampled(levels, inner, grid), -np.inf)
            spread_db = np.where(outdoor, resampled(spreads, inner, grid), np.nan)
            return RadioMap(
                grid,
                tuple(sectors),
                path_gain_db.astype(np.float32),
                spread_db.astype(np.float32),
                outdoor,
                los,
                ground_m=ground_layer(scene, grid),
                attrs={
                    "solver": NAME,
                    **asdict(self),
                    "model": self.model or "shipped",
                    "parameters": found.parameters,
                    "noise_db": _median_db(spread_db),
                    "solve_s": round(time.monotonic() - started, 2),
                },
            )

        return solve

    def load_conditional(self, misfit: Misfit | None = None) -> ConditionalSolver:
        """A solver that is told what was measured, too.

        Parameters
        ----------
        misfit : Misfit, optional
            By default for levels whose power is known; `UNKNOWN_POWER` for others.

        Raises
        ------
        MissingError
            If the weights, or Keras, are not there.
        """
        require_keras()
        find_model(NAME, self.model)
        first = lru_cache(maxsize=KEPT_SURVEYS)(partial(_survey_of, self.model))
        expected = misfit or Misfit()

        def solve(
            scene: Scene,
            sectors: Sequence[Sector],
            grid: Grid,
            samples: Sequence[Samples | None],
            coarse: Sequence[Coarse | None] | None = None,
        ) -> RadioMap:
            inner = trained_grid(grid)
            levels, spreads = [], []
            for i, sector in enumerate(sectors):
                made = first(scene, sector, inner, None if coarse is None else coarse[i])
                told = samples[i]
                if told is None or not len(told):
                    levels.append(made.path_gain_db)
                    spreads.append(made.spread_db)
                    continue
                mean_db, spread_db = conditioned(made, inner, told, expected)
                levels.append(mean_db)
                spreads.append(spread_db)
            layers = (
                resampled(np.stack(levels), inner, grid),
                resampled(np.stack(spreads), inner, grid),
            )
            return RadioMap(
                grid,
                tuple(sectors),
                *layers,
                outdoor_mask(scene, grid),
                ground_m=ground_layer(scene, grid),
                attrs={"solver": NAME, "model": self.model or "shipped", "conditioned": True},
            )

        return solve

    def _tracer(self) -> RayTraced:
        return RayTraced(
            max_depth=self.max_depth,
            rays_per_sector=self.rays_per_sector,
            target_noise_db=0.0,
            seed=self.seed,
        )


def _survey_of(ref: str, scene: Scene, sector: Sector, grid: Grid, coarse: Coarse | None) -> Survey:
    return survey(replace(seen_by(scene, [sector], grid)[0], coarse=coarse), network_of(ref))


@lru_cache(maxsize=2)
def network_of(ref: str) -> Network:
    """The network of a model, built and loaded once a process."""
    found = find_model(NAME, ref)
    config: Mapping[str, Any] = found.config
    with quiet_start():
        built = CascadeNetwork(tuple(config["widths"]), config["blocks"], config["detail"]).build()
        return compiled(with_weights(built, found.weights, SURVEY))


@dataclass(frozen=True, eq=False)
class Seen:
    """What the networks are shown of one sector.

    Attributes
    ----------
    surface : Surface
    outdoor, los : ndarray, [num_y, num_x] of `grid`, bool
    sector : Sector
    grid : Grid
        Of 4 m cells.
    coarse : Coarse, optional
    """

    surface: Surface
    outdoor: BoolArray
    los: BoolArray
    sector: Sector
    grid: Grid
    coarse: Coarse | None = None


@dataclass(frozen=True, eq=False)
class Survey:
    """The map before any sample of one sector, [num_y, num_x] each, float32.

    Attributes
    ----------
    channels : ndarray, [num_y, num_x, len(CHANNELS)]
    prior_db : ndarray
        Path gain by the closed form.
    residual_db, spread_db : ndarray
        What the network adds, and how sure it is. Indoors they are those of the nearest cell
        outdoors.
    """

    channels: Array
    prior_db: Array
    residual_db: Array
    spread_db: Array

    @property
    def path_gain_db(self) -> Array:
        """The map."""
        return self.prior_db + self.residual_db


def survey(seen: Seen, network: Network) -> Survey:
    """Predict without samples."""
    made = features(seen.surface, seen.outdoor, seen.los, seen.sector, seen.grid)
    x = np.concatenate([made.channels, coarse_channels(seen.coarse, made.prior_db)], axis=-1)
    residual_db, spread_db = split(by_windows(network, x))
    near = _nearest(seen.outdoor)
    level_db = (made.prior_db + residual_db)[near]
    return Survey(made.channels, made.prior_db, level_db - made.prior_db, spread_db[near])


def conditioned(
    of: Survey,
    grid: Grid,
    samples: Samples,
    misfit: Misfit,
) -> tuple[Array, Array]:
    """Move a survey by samples: krige what it misses of them, by its own spread.

    Parameters
    ----------
    of : Survey
    grid : Grid
        Its cells.
    samples : Samples
        Levels in path gain, up to the constant that `misfit` allows for; those outside the grid
        are left out, those of one cell are averaged, and where there are more than
        `MOST_SAMPLES` those of some cells together.
    misfit : Misfit

    Returns
    -------
    mean_db, spread_db : ndarray, [num_y, num_x]
    """
    row, column, inside = _cells(grid, samples.points.x_m, samples.points.y_m)
    if not inside.any():
        spread_db = np.hypot(of.spread_db, misfit.offset_db)
        return of.path_gain_db, spread_db.astype(np.float32)
    row, column = row[inside], column[inside]
    x_m, y_m = np.meshgrid(grid.x_m(), grid.y_m())
    log_distance = of.channels[..., CHANNELS.index("log_distance")] + 2.0
    at = Place(x_m.ravel(), y_m.ravel(), log_distance.ravel(), of.spread_db.ravel())
    missed_db = samples.level_db[inside] - of.path_gain_db[row, column].astype(float)
    cell, missed_db, number = _merged(row, column, missed_db, grid.num_x)
    kriged = krige(missed_db, at.part(cell), at, misfit, misfit.noise_db / np.sqrt(number))
    mean_db = of.path_gain_db + kriged.mean_db.reshape(grid.shape)
    return mean_db.astype(np.float32), kriged.spread_db.reshape(grid.shape).astype(np.float32)


def _merged(
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    missed_db: FloatArray,
    num_x: int,
) -> tuple[npt.NDArray[np.intp], FloatArray, npt.NDArray[np.intp]]:
    """Samples by blocks of cells as small as leave no more than `MOST_SAMPLES` of them.

    Returns the cell of each block's first sample, the mean of its samples, and their number.
    """
    size = 1
    while True:
        block = row // size * num_x + column // size
        _, first, of, number = np.unique(
            block, return_index=True, return_inverse=True, return_counts=True
        )
        if len(first) <= MOST_SAMPLES:
            mean_db = np.bincount(of.ravel(), missed_db) / number
            return row[first] * num_x + column[first], mean_db, number
        size += 1


def _cells(
    grid: Grid, x_m: FloatArray, y_m: FloatArray
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], BoolArray]:
    """Row and column of points, and which of them lie in the grid."""
    column = np.floor((np.asarray(x_m) - grid.west_m) / grid.resolution_m).astype(np.intp)
    row = np.floor((np.asarray(y_m) - grid.south_m) / grid.resolution_m).astype(np.intp)
    inside = (row >= 0) & (row < grid.num_y) & (column >= 0) & (column < grid.num_x)
    return row, column, inside


def _nearest(outdoor: BoolArray) -> tuple[npt.NDArray[np.intp], ...]:
    """Index of the nearest outdoor cell of every cell."""
    from scipy.ndimage import distance_transform_edt

    if not outdoor.any():
        return tuple(np.indices(outdoor.shape))
    return tuple(distance_transform_edt(~outdoor, return_distances=False, return_indices=True))


def seen_by(
    scene: Scene, sectors: Sequence[Sector], grid: Grid, coarse: RadioMap | None = None
) -> list[Seen]:
    """What the networks are shown of each sector in a scene."""
    outdoor = outdoor_mask(scene, grid)
    los = line_of_sight(scene, sectors, grid) & outdoor
    surface = surface_of(scene, sectors, grid)
    shown = []
    for i, sector in enumerate(sectors):
        traced = None
        if coarse is not None:
            assert coarse.standard_error_db is not None
            traced = Coarse(coarse.path_gain_db[i], coarse.standard_error_db[i])
        shown.append(Seen(surface, outdoor, los[i], sector, grid, traced))
    return shown


def split(predicted: Array) -> tuple[Array, Array]:
    """Residual and spread in dB of a network's two outputs; see `nn.losses.log_spread`."""
    from rfplatform.nn.losses import LEAST_LOG_SPREAD, MOST_LOG_SPREAD

    middle = (MOST_LOG_SPREAD + LEAST_LOG_SPREAD) / 2.0
    half = (MOST_LOG_SPREAD - LEAST_LOG_SPREAD) / 2.0
    log_sigma = middle + half * np.tanh((predicted[..., 1] - middle) / half)
    return RESIDUAL_SCALE_DB * predicted[..., 0], RESIDUAL_SCALE_DB * np.exp(log_sigma)


def _median_db(spread_db: Array) -> float | None:
    known = spread_db[np.isfinite(spread_db)]
    return float(np.median(known)) if known.size else None
