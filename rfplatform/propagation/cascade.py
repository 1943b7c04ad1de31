"""Our cascade: closed forms, corrected by a U-Net, then by whatever was measured or traced."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.propagation import refinement
from rfplatform.propagation.conditioning import Misfit
from rfplatform.propagation.features import (
    BASE_CHANNEL,
    CHANNELS,
    COARSE_CHANNELS,
    MOVED_CHANNEL,
    RESIDUAL_SCALE_DB,
    SAMPLE_CHANNELS,
    Coarse,
    coarse_channels,
    features,
)
from rfplatform.propagation.learning import Example, batches, examples, inputs
from rfplatform.propagation.lesson import Lesson
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.propagation.unet import (
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
from rfplatform.propagation.worlds import WorldConfig
from rfplatform.radiomap import Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.rasterize import ground_layer, outdoor_mask
from rfplatform.scene import Scene

if TYPE_CHECKING:
    import keras

    from rfplatform.nn.fit import Stage

Array = npt.NDArray[np.float32]

NAME = "cascade"
SURVEY, REFINEMENT = "survey", "refinement"
NUM_INPUTS = len(CHANNELS) + len(COARSE_CHANNELS)


@dataclass(frozen=True)
class CascadeNetwork:
    """What the network is built with, and how it is trained.

    Attributes
    ----------
    widths, refinement_widths : tuple of int
        Channels of every level of the two networks, the finest (8 m cells) first.
    blocks : int
        Residual blocks of a level, each way.
    detail : int
        Channels at full resolution.
    batch_size : int
    learning_rate : float
    """

    widths: tuple[int, ...] = (48, 96, 160, 224)
    refinement_widths: tuple[int, ...] = (32, 64, 112, 160)
    blocks: int = 1
    detail: int = 16
    batch_size: int = 8
    learning_rate: float = 1e-3

    @property
    def num_stages(self) -> int:
        """Networks that are trained one after the other."""
        return 2

    def architecture(self) -> dict[str, Any]:
        """What decides the weights' shapes, as JSON values."""
        return {
            "widths": list(self.widths),
            "refinement_widths": list(self.refinement_widths),
            "blocks": self.blocks,
            "detail": self.detail,
        }

    def build(self, number: int) -> keras.Model:
        """A stage's network, not trained."""
        from rfplatform.nn.blocks import residual_unet

        channels, base, widths, name = (
            (NUM_INPUTS, BASE_CHANNEL, self.widths, SURVEY),
            (
                len(CHANNELS) + len(SAMPLE_CHANNELS),
                MOVED_CHANNEL,
                self.refinement_widths,
                REFINEMENT,
            ),
        )[number]
        return residual_unet(
            SIZE,
            channels,
            2,
            widths=widths,
            blocks=self.blocks,
            detail=self.detail,
            base_channel=base,
            name=name,
        )

    def stage(
        self,
        number: int,
        fitted: Sequence[keras.Model],
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
        shown, kept_back = list(examples(training)), list(examples(validation))
        if len(shown) < self.batch_size:
            raise InputError(
                f"{len(shown)} maps to train on are fewer than a batch of {self.batch_size}"
            )
        if number:
            return self._refinement(fitted[0], shown, kept_back, training[0].grid, seed)
        return self._survey(shown, kept_back, seed)

    def _survey(self, shown: list[Example], kept_back: list[Example], seed: int) -> Stage:
        from rfplatform.nn.fit import Stage
        from rfplatform.nn.losses import censored_nll

        return Stage(
            SURVEY,
            self.build(0),
            censored_nll,
            lambda epoch: batches(shown, self.batch_size, seed, epoch),
            len(shown) // self.batch_size,
            lambda model: validation_scores(model, kept_back),
            watched="val_loss",
            learning_rate=self.learning_rate,
        )

    def _refinement(
        self,
        survey: keras.Model,
        shown: list[Example],
        kept_back: list[Example],
        grid: Grid,
        seed: int,
    ) -> Stage:
        from rfplatform.nn.fit import Stage
        from rfplatform.nn.losses import censored_nll

        worlds, misfit, resolution_m = WorldConfig(), Misfit(), grid.resolution_m
        training, validation = (
            refinement.surveyed(survey, some, split) for some in (shown, kept_back)
        )
        fixed = refinement.validation_worlds(validation, seed, resolution_m, worlds, misfit)
        return Stage(
            REFINEMENT,
            self.build(1),
            censored_nll,
            lambda epoch: refinement.batches(
                training, self.batch_size, seed, epoch, resolution_m, worlds, misfit
            ),
            len(training) // self.batch_size,
            lambda model: refinement_scores(model, fixed),
            watched="val_loss",
            learning_rate=self.learning_rate,
            epochs_share=0.5,
        )


def validation_scores(model: keras.Model, kept_back: Sequence[Example]) -> dict[str, float]:
    """Losses and RMSE over the maps of other towns, with and without their coarse maps.

    Returns
    -------
    dict
        "val_loss" (the sum of both losses); "val_rmse_db" and "val_rmse_with_coarse_db" over
        outdoor cells that the teacher reaches.
    """
    from rfplatform.nn.losses import censored_nll

    target = np.stack([e.target for e in kept_back]).astype(np.float32)
    scores = {"val_loss": 0.0}
    for name, with_coarse in (("val_rmse_db", False), ("val_rmse_with_coarse_db", True)):
        x = np.stack([inputs(e, with_coarse=with_coarse) for e in kept_back])
        predicted = np.asarray(model.predict(x, batch_size=8, verbose=0), dtype=np.float32)
        scores["val_loss"] += float(censored_nll(target, predicted))
        errors = [
            (e.prior_db + RESIDUAL_SCALE_DB * p[..., 0] - e.level_db)[np.isfinite(e.level_db)]
            for e, p in zip(kept_back, predicted, strict=True)
        ]
        scores[name] = float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))
    return scores


def refinement_scores(
    model: keras.Model, worlds: Mapping[str, Sequence[refinement.Lit]]
) -> dict[str, float]:
    """Loss and RMSE over sampled worlds of other towns.

    Returns
    -------
    dict
        "val_loss", the mean over all kinds of worlds; for each kind, as "moved_50", RMSE in dB
        over cells that were not sampled: of the network, and of kriging alone.
    """
    from rfplatform.nn.losses import censored_nll

    scores, losses = {"val_loss": 0.0}, []
    for name, some in worlds.items():
        x, target = np.stack([w.x for w in some]), np.stack([w.target for w in some])
        predicted = np.asarray(model.predict(x, batch_size=8, verbose=0), dtype=np.float32)
        losses.append(float(censored_nll(target, predicted)))
        missed = RESIDUAL_SCALE_DB * (predicted[..., 0] - target[..., 0])
        known = [np.isfinite(w.truth_db) for w in some]
        scores[f"{name}_rmse_db"] = refinement.rmse_db(
            [m[k] for m, k in zip(missed, known, strict=True)]
        )
        scores[f"{name}_kriged_rmse_db"] = refinement.rmse_db(
            [w.kriged_db - w.truth_db for w in some]
        )
    scores["val_loss"] = float(np.mean(losses))
    return scores


def baselines(kept_back: Sequence[Example]) -> dict[str, float]:
    """What the network has to beat on the same maps: the closed form that it begins with."""
    errors = [(e.prior_db - e.level_db)[np.isfinite(e.level_db)] for e in kept_back]
    return {"val_rmse_db": float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))}


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
            network, _ = networks_of(self.model)
            levels, spreads = _mapped(network, scene, tuple(sectors), inner, coarse)
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
                    "rays_traced_per_sector": self.rays_per_sector,
                    "noise_db": _median_db(spread_db),
                    "solve_s": round(time.monotonic() - started, 2),
                },
            )

        return solve

    def _tracer(self) -> RayTraced:
        return RayTraced(
            max_depth=self.max_depth,
            rays_per_sector=self.rays_per_sector,
            target_noise_db=0.0,
            seed=self.seed,
        )


@lru_cache(maxsize=2)
def networks_of(ref: str) -> tuple[Network, Network]:
    """The two networks of a model, built and loaded once a process."""
    found = find_model(NAME, ref)
    config: Mapping[str, Any] = found.config
    network = CascadeNetwork(
        tuple(config["widths"]),
        tuple(config["refinement_widths"]),
        config["blocks"],
        config["detail"],
    )
    survey, refined = (
        compiled(with_weights(network.build(i), found.weights, name))
        for i, name in enumerate((SURVEY, REFINEMENT))
    )
    return survey, refined


def _mapped(
    network: Network,
    scene: Scene,
    sectors: tuple[Sector, ...],
    grid: Grid,
    coarse: RadioMap | None,
) -> tuple[Array, Array]:
    """Path gain and spread of every sector, indoors too, where they mean nothing."""
    outdoor = outdoor_mask(scene, grid)
    los = line_of_sight(scene, sectors, grid) & outdoor
    surface = surface_of(scene, sectors, grid)
    path_gain_db = np.empty((len(sectors), *grid.shape), dtype=np.float32)
    spread_db = np.empty_like(path_gain_db)
    for i, sector in enumerate(sectors):
        made = features(surface, outdoor, los[i], sector, grid)
        traced = None
        if coarse is not None:
            assert coarse.standard_error_db is not None
            traced = Coarse(coarse.path_gain_db[i], coarse.standard_error_db[i])
        x = np.concatenate([made.channels, coarse_channels(traced, made.prior_db)], axis=-1)
        mean, sigma = split(by_windows(network, x))
        path_gain_db[i], spread_db[i] = made.prior_db + mean, sigma
    return path_gain_db, spread_db


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
