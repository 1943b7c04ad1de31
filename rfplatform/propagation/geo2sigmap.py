"""Geo2SigMap's cascade of two U-Nets, as a reference point beside our own.

Li, Li, Lin, Cheng, Chen, "Geo2SigMap: high-fidelity RF signal mapping using geographic databases",
IEEE DySPAN 2024. Stage 1 makes a map of an isotropic antenna from the buildings' heights and the
antenna's, counted from the path gain of TR 38.901 UMa NLOS. Stage 2 makes the map from the heights,
stage 1's map and whatever was measured; the antenna's pattern it knows through the measurements
alone, and so without any it knows none.

Layers, loss, levels (-160 dB where there is nothing, no more than 0) and augmentation are the
published ones. What is ours:

- Levels stay real numbers, the masked part of the loss is over outdoor cells with a path, the
  learning rate falls, heights are never drawn at random. (Published: whole decibels, buildings, a
  schedule that is never stepped, random heights.)
- Levels and heights are scaled to about one inside the networks; the loss is the published one but
  for a constant factor.
- Stage 1 also sees the closed form that it counts from, as a third channel. Published windows hold
  their antenna; ours, and most of those of a large map, are lit from outside. The antenna's height
  then stands in the window's cell that is nearest to it, and the closed form tells how far off it
  really is, and what the carrier is.
- Stage 1 learns from maps of directional antennas, too: their gain towards each cell is taken off.
  Cells that are both behind the antenna and out of its sight don't count, since there reflections
  of its main lobe decide.
- Outdoor cells in which the teacher found no path don't count. They are a fourth of ours (7 % of
  the published ones), as masts stand low and away, too; taken for -160 dB, they drew whole maps
  down by some 20 dB.
- Stage 2 learns levels that were scaled by 0.1 to 0.7 and moved, all alike. Inside the network they
  are counted from the mean of stage 1's map in a window, in units of its spread, and its output is
  put back: what the augmentation is to teach then holds from the start. (Without it, a thousand
  batches of eight left it unable to tell scales apart, and worse than a closed form.) Maps are made
  with one scale and offset of that range, which are undone afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rfplatform.antennas import antenna, sector_gain_dbi
from rfplatform.errors import InputError
from rfplatform.nn.quiet import quiet_start
from rfplatform.propagation.empirical import LOWEST_EFFECTIVE_HEIGHT_M, uma_nlos_db
from rfplatform.propagation.features import Coarse, Surface, turned
from rfplatform.propagation.interpolation import Samples
from rfplatform.propagation.lesson import Lesson
from rfplatform.propagation.unet import (
    BATCH,
    RESOLUTION_M,
    SIZE,
    Network,
    by_windows,
    compiled,
    find_model,
    require_keras,
    resampled,
    trained_grid,
    with_weights,
)
from rfplatform.radiomap import BoolArray, Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.rasterize import ground_layer, ground_raster, height_raster, outdoor_mask
from rfplatform.scene import Scene
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    import keras

    from rfplatform.nn.fit import Baseline, Stage

Array = npt.NDArray[np.float32]
Half = npt.NDArray[np.float16]

NAME = "geo2sigmap"
STAGES = ("isotropic", "measured")
"""What the two stages make; their weights' names begin so."""

EMPTY_DB = -160.0
"""Level where there is nothing: indoors, without a path, not measured."""

MIDDLE_DB, UNIT_DB, UNIT_M = -100.0, 30.0, 20.0
"""Levels go through the networks as ``(level - MIDDLE_DB) / UNIT_DB``, heights in `UNIT_M`."""

NEAREST_M = 10.0
"""Along the ground: closer, the closed form's loss at this distance stands (TR 38.901)."""

SCALES = (0.1, 0.7)
"""Stage 2's levels are multiplied by one of these ..."""

POWER_DBM, GAIN_DBI = (10.0, 35.0), (10.0, 20.0)
RECEIVER_GAIN_DBI, LOSS_DB = (-10.0, 10.0), (10.0, 20.0)
"""... and moved by ``-(power + gain + receiver's gain - loss)``, each drawn from its range."""

MOST_SAMPLES = 201
MAP_SCALE, MAP_OFFSET_DB = 0.6, -22.5
"""Scale and offset that maps are made with, both of what was trained."""

VALIDATION_SAMPLES = 50


@dataclass(frozen=True, eq=False)
class Shown:
    """One traced map as the stages learn it, small enough that thousands fit in memory.

    Attributes
    ----------
    town : str
    sector : Sector
    grid : Grid
    height : ndarray, [num_y, num_x], float16
        Tops of buildings in `UNIT_M`.
    level : ndarray, [num_y, num_x], float16
        The teacher's in `UNIT_DB` from `MIDDLE_DB`, NaN where none counts: indoors, or no path.
        For stage 1 without the antenna's gain.
    trusted : ndarray, [num_y, num_x], bool
        Cells that the loss of this stage counts.
    first : ndarray or None, [num_y, num_x], float16
        What stage 1 makes of it, in the same unit.
    """

    town: str
    sector: Sector
    grid: Grid
    height: Half
    level: Half
    trusted: BoolArray
    first: Half | None = None


@dataclass(frozen=True)
class Geo2SigMapNetwork:
    """What the networks are built with, and how they are trained.

    Attributes
    ----------
    width : int
        Channels of the first level; 64 in the paper, with 31 million weights a stage.
    batch_size : int
    learning_rate : float
    levelled : bool
        Whether stage 2 counts levels from stage 1's map, as told above; in the paper it doesn't.
    """

    width: int = 16
    batch_size: int = 8
    learning_rate: float = 1e-3
    levelled: bool = True

    def __post_init__(self) -> None:
        for name in ("width", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be 1 or more")

    @property
    def num_stages(self) -> int:
        """Networks that are trained one after the other."""
        return len(STAGES)

    def architecture(self) -> dict[str, Any]:
        """What decides the weights' shapes, as JSON values."""
        return {"width": self.width, "levelled": self.levelled}

    def inputs(self) -> dict[str, Any]:
        """Channels and scales, as JSON values."""
        return {
            "cells": SIZE,
            "resolution_m": RESOLUTION_M,
            "level_middle_db": MIDDLE_DB,
            "level_unit_db": UNIT_DB,
            "height_unit_m": UNIT_M,
            "empty_db": EMPTY_DB,
            STAGES[0]: ["building_height", "antenna_height", "closed_form"],
            STAGES[1]: ["building_height", "measured_level", "first_level"],
        }

    def build(self, number: int) -> keras.Model:
        """A stage's network, not trained.

        Parameters
        ----------
        number : int
            0: heights, the antenna's height in its cell, the closed form (`located`). 1: heights,
            measured levels, stage 1's map (`second_inputs`).
        """
        from rfplatform.nn.blocks import levelled, plain_unet

        network = plain_unet(
            SIZE,
            3,
            width=self.width,
            residual_channel=2 if number == 0 else None,
            name=STAGES[number],
        )
        if number == 0 or not self.levelled:
            return network
        return levelled(network, levels=(1, 2), reference=2, nothing=float(_scaled(EMPTY_DB)))

    def stage(
        self,
        number: int,
        fitted: Sequence[keras.Model],
        training: Iterable[Lesson],
        validation: Iterable[Lesson],
        *,
        seed: int,
    ) -> Stage:
        """A stage with its examples.

        Parameters
        ----------
        number : int
            From 0.
        fitted : sequence of keras.Model
            The stages before it, trained.
        training, validation : iterable of Lesson
            Of different towns; each is gone through once, and not kept.
        seed : int

        Raises
        ------
        InputError
            If there are fewer maps than a batch has.
        """
        from rfplatform.nn.fit import Stage
        from rfplatform.nn.losses import geo2sigmap_loss

        learned, kept_back = (list(shown(of, number)) for of in (training, validation))
        if len(learned) < self.batch_size:
            raise InputError(
                f"{len(learned)} maps to train on are fewer than a batch of {self.batch_size}"
            )
        if not kept_back:
            raise InputError("there are no maps to validate on")
        if number:
            learned, kept_back = (
                with_first(compiled(fitted[0]), of) for of in (learned, kept_back)
            )
        return Stage(
            STAGES[number],
            self.build(number),
            geo2sigmap_loss,
            lambda epoch: batches(learned, self.batch_size, seed, epoch),
            len(learned) // self.batch_size,
            lambda model: validation_scores(compiled(model), kept_back),
            watched="val_score_db" if number else "val_rmse_db",
            learning_rate=self.learning_rate,
            baselines=baselines(kept_back),
        )


def shown(lessons: Iterable[Lesson], number: int) -> Iterator[Shown]:
    """Every sector of every window, as a stage learns it.

    Parameters
    ----------
    lessons : iterable of Lesson
    number : int
        Of the stage: for the first, the antennas' gains are taken off.
    """
    for lesson in lessons:
        surface = Surface(lesson.surroundings, lesson.height_m)
        height = (_heights_m(surface, lesson.grid) / UNIT_M).astype(np.float16)
        for i, sector in enumerate(lesson.sectors):
            level_db = lesson.path_gain_db[i]
            counts = lesson.outdoor & np.isfinite(level_db)
            # Where our teacher found no path the level is not known to be that of nothing.
            trusted = counts | ~lesson.outdoor
            if number == 0 and sector.antenna != "isotropic":
                gain_dbi = _gain_dbi(sector, lesson.grid)
                level_db = level_db - gain_dbi
                trusted &= ~lesson.outdoor | lesson.los[i] | (gain_dbi > 0.0)
            level = np.where(counts, _scaled(level_db), np.nan).astype(np.float16)
            yield Shown(lesson.town, sector, lesson.grid, height, level, trusted)


def with_first(network: Network, maps: Sequence[Shown]) -> list[Shown]:
    """Maps with what stage 1 makes of them; sectors of one mast share it."""
    same = [
        (id(m.height), m.sector.x_m, m.sector.y_m, m.sector.z_m, m.sector.frequency_hz)
        for m in maps
    ]
    one_of = {key: i for i, key in reversed(list(enumerate(same)))}
    made: dict[tuple[float, ...], Half] = {}
    asked = list(one_of.items())
    for begin in range(0, len(asked), BATCH):
        part = asked[begin : begin + BATCH]
        x = np.stack([first_inputs(maps[i]) for _, i in part])
        for (key, _), y in zip(part, network(x), strict=True):
            made[key] = _scaled(_clipped_db(_level_db(y[..., 0]))).astype(np.float16)
    return [replace(m, first=made[key]) for m, key in zip(maps, same, strict=True)]


def batches(
    maps: Sequence[Shown], batch_size: int, seed: int, epoch: int
) -> Iterator[tuple[Array, Array]]:
    """An epoch of turned examples; for stage 2 scaled, moved, and with some cells measured.

    Parameters
    ----------
    maps : sequence of Shown
        Those of stage 2 have stage 1's map.
    batch_size : int
        The last examples of an epoch that fill no batch wait for the next.
    seed, epoch : int
        Decide order, turns, scales, offsets and measured cells.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(maps))
    for begin in range(0, len(order) - batch_size + 1, batch_size):
        pairs = [_augmented(maps[i], rng) for i in order[begin : begin + batch_size]]
        yield np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])


def _augmented(of: Shown, rng: np.random.Generator) -> tuple[Array, Array]:
    level_db = _level_db(of.level)
    if of.first is None:
        x, scale, offset_db = first_inputs(of), 1.0, 0.0
    else:
        scale = rng.uniform(*SCALES)
        power, gain, receiver, loss = (
            rng.uniform(*bounds) for bounds in (POWER_DBM, GAIN_DBI, RECEIVER_GAIN_DBI, LOSS_DB)
        )
        offset_db = -(power + gain + receiver - loss)
        measured_db = _measured_db(level_db, int(rng.integers(MOST_SAMPLES + 1)), rng)
        x = second_inputs(of.height, measured_db, _level_db(of.first), scale, offset_db)
    counts = np.isfinite(level_db)
    target_db = _clipped_db(np.where(counts, level_db, EMPTY_DB))
    y = np.stack([_scaled(scale * target_db + offset_db), of.trusted, counts], axis=-1)
    turns = int(rng.integers(4))
    x, y = (turned(a, turns, mirrored=False, directions=False) for a in (x, y.astype(np.float32)))
    return x, y


def _measured_db(level_db: Array, count: int, rng: np.random.Generator) -> Array:
    """Levels of some cells that have one, NaN elsewhere."""
    known = np.flatnonzero(np.isfinite(level_db))
    chosen = rng.choice(known, min(count, len(known)), replace=False)
    measured_db = np.full(level_db.shape, np.nan, dtype=np.float32)
    measured_db.flat[chosen] = level_db.flat[chosen]
    return measured_db


def first_inputs(of: Shown) -> Array:
    """Stage 1's channels of a map, [num_y, num_x, 3]."""
    channels = _channels(of.height * UNIT_M, of.sector, of.grid)
    return np.asarray(located(channels[None], of.sector.height_m)[0], dtype=np.float32)


def second_inputs(
    height: npt.NDArray[Any],
    measured_db: Array,
    first_db: Array,
    scale: float = MAP_SCALE,
    offset_db: float = MAP_OFFSET_DB,
) -> Array:
    """Stage 2's channels.

    Parameters
    ----------
    height : ndarray, [num_y, num_x]
        In `UNIT_M`.
    measured_db : ndarray, [num_y, num_x]
        NaN where nothing was.
    first_db : ndarray, [num_y, num_x]
        Stage 1's map.
    scale, offset_db : float
        Of both kinds of level.

    Returns
    -------
    ndarray, [num_y, num_x, 3], float32
    """
    sparse_db = np.where(np.isfinite(measured_db), scale * measured_db + offset_db, EMPTY_DB)
    layers = (height, _scaled(sparse_db), _scaled(scale * first_db + offset_db))
    return np.stack([np.asarray(layer, dtype=np.float32) for layer in layers], axis=-1)


def validation_scores(network: Network, kept_back: Sequence[Shown]) -> dict[str, float]:
    """RMSE over outdoor cells with a path of the maps of other towns.

    Returns
    -------
    dict
        Of stage 1: "val_rmse_db", over the cells that its loss counts. Of stage 2: "val_rmse_db"
        without samples; "val_rmse_50_db" with 50 of them, over the other cells; "val_score_db",
        the root of both squares' mean.
    """
    if kept_back[0].first is None:
        return {"val_rmse_db": _rmse_db(_errors_of_first(network, kept_back))}
    none, some = (
        _rmse_db(_errors_of_second(network, kept_back, count)) for count in (0, VALIDATION_SAMPLES)
    )
    score_db = float(np.sqrt((none**2 + some**2) / 2.0))
    return {"val_rmse_db": none, "val_rmse_50_db": some, "val_score_db": score_db}


def baselines(kept_back: Sequence[Shown]) -> dict[str, Baseline]:
    """What a stage has to beat on the same maps: TR 38.901 UMa NLOS, as far as it is told.

    Returns
    -------
    dict
        "val_rmse_db" of the closed form; for stage 2 also "val_rmse_50_db" of the closed form with
        the mean difference to 50 samples, over the other cells.
    """
    from rfplatform.nn.fit import Baseline

    plain, moved = [], []
    for i, of in enumerate(kept_back):
        level_db = _scored_db(of)
        error_db = _way(of.sector, of.grid)[1] - level_db
        plain.append(error_db[np.isfinite(error_db)])
        measured = np.isfinite(_validation_samples_db(level_db, i, VALIDATION_SAMPLES))
        if measured.any():
            rest_db = error_db[~measured] - error_db[measured].mean()
            moved.append(rest_db[np.isfinite(rest_db)])
    scores = {"val_rmse_db": Baseline("UMa NLOS", _rmse_db(plain))}
    if kept_back[0].first is not None:
        scores["val_rmse_50_db"] = Baseline("UMa NLOS + offset", _rmse_db(moved))
    return scores


def _errors_of_first(network: Network, maps: Sequence[Shown]) -> Iterator[FloatArray]:
    for begin in range(0, len(maps), BATCH):
        part = maps[begin : begin + BATCH]
        for of, y in zip(part, network(np.stack([first_inputs(m) for m in part])), strict=True):
            error_db = _clipped_db(_level_db(y[..., 0])) - _scored_db(of)
            yield error_db[np.isfinite(error_db)]


def _errors_of_second(network: Network, maps: Sequence[Shown], count: int) -> Iterator[FloatArray]:
    for begin in range(0, len(maps), BATCH):
        part = maps[begin : begin + BATCH]
        levels_db = [_level_db(m.level) for m in part]
        measured_db = [
            _validation_samples_db(level_db, begin + i, count)
            for i, level_db in enumerate(levels_db)
        ]
        x = np.stack(
            [
                second_inputs(m.height, known_db, _level_db(m.first))
                for m, known_db in zip(part, measured_db, strict=True)
                if m.first is not None
            ]
        )
        for y, level_db, known_db in zip(network(x), levels_db, measured_db, strict=True):
            error_db = _second_db(y[..., 0]) - level_db
            yield error_db[np.isfinite(level_db) & ~np.isfinite(known_db)]


def _scored_db(of: Shown) -> Array:
    return np.where(of.trusted, _level_db(of.level), np.nan).astype(np.float32)


def _validation_samples_db(level_db: Array, number: int, count: int) -> Array:
    """The same cells of a map in every epoch."""
    return _measured_db(level_db, count, np.random.default_rng([VALIDATION_SAMPLES, number]))


def _rmse_db(errors_db: Iterable[FloatArray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(list(errors_db)).astype(float) ** 2)))


@dataclass(frozen=True)
class Geo2SigMap:
    """A learned map by the published cascade, in a fraction of a second. It states no spread.

    Attributes
    ----------
    model : str
        "name@version" of the registry; "" for the weights that come with rfplatform.
    """

    model: str = ""

    def load(self, progress: Callable[[Any], None] | None = None) -> RadioMapSolver:
        """The solver; `progress` is not called.

        Raises
        ------
        MissingError
            If the weights, or Keras, are not there.
        """
        return self.load_conditional(progress)

    def load_conditional(
        self,
        progress: Callable[[Any], None] | None = None,  # noqa: ARG002  (a map is made in one go)
    ) -> Callable[..., RadioMap]:
        """The solver that also takes what was measured.

        Returns
        -------
        callable
            Of ``(scene, sectors, grid, samples, coarse)``: for each sector its `Samples` (path gain
            in dB; those outside the grid's windows are left out) or None, and None in place of a
            coarse traced map, which these networks have no channel for.

        Raises
        ------
        MissingError
            If the weights, or Keras, are not there.
        """
        require_keras()
        found = find_model(NAME, self.model)

        def solve(
            scene: Scene,
            sectors: Sequence[Sector],
            grid: Grid,
            samples: Sequence[Samples | None] = (),
            coarse: Sequence[Coarse | None] = (),
        ) -> RadioMap:
            if any(traced is not None for traced in coarse):
                raise ValueError(f"{NAME} takes no coarse traced map")
            started, inner = time.monotonic(), trained_grid(grid)
            networks = networks_of(self.model)
            outdoor = outdoor_mask(scene, grid)
            surface = _surface(scene, _at_least(inner, SIZE))
            levels_db = np.empty((len(sectors), *inner.shape), dtype=np.float32)
            known = samples or [None] * len(sectors)
            for i, (sector, measured) in enumerate(zip(sectors, known, strict=True)):
                levels_db[i] = conditioned(networks, surface, sector, inner, measured)
            path_gain_db = np.where(outdoor, resampled(levels_db, inner, grid), -np.inf)
            return RadioMap(
                grid,
                tuple(sectors),
                path_gain_db.astype(np.float32),
                None,
                outdoor,
                ground_m=ground_layer(scene, grid),
                attrs={
                    "solver": NAME,
                    **asdict(self),
                    "model": self.model or "shipped",
                    "parameters": found.parameters,
                    "samples": sum(len(s) for s in known if s is not None),
                    "solve_s": round(time.monotonic() - started, 2),
                },
            )

        return solve


@lru_cache(maxsize=2)
def networks_of(ref: str) -> tuple[Network, Network]:
    """Both stages of a model, built and loaded once a process."""
    found = find_model(NAME, ref)
    return loaded(found.config, found.weights)


def loaded(config: Mapping[str, Any], weights: Mapping[str, Array]) -> tuple[Network, Network]:
    """Both stages from a model's config and weights."""
    # Weights of both kinds have the same shapes: those that don't say were not levelled.
    levelled = bool(config.get("levelled", False))
    network = Geo2SigMapNetwork(width=int(config["width"]), levelled=levelled)
    with quiet_start():
        first, second = (
            compiled(with_weights(network.build(number), weights, name))
            for number, name in enumerate(STAGES)
        )
    return first, second


def conditioned(
    networks: tuple[Network, Network],
    surface: Surface,
    sector: Sector,
    grid: Grid,
    samples: Samples | None = None,
) -> Array:
    """One sector's map, indoors included.

    Parameters
    ----------
    networks : tuple of callable
        Both stages.
    surface : Surface
        Heights; where it doesn't reach, no building is taken to stand. Terrain moves the closed
        form alone: the networks know heights above ground.
    sector : Sector
    grid : Grid
        On the surface's cells. One that is smaller than a window is made as a part of one.
    samples : Samples, optional
        Path gain in dB; the mean of those in one cell counts.

    Returns
    -------
    ndarray, [num_y, num_x], float32
        Path gain in dB, from -160 to 0.
    """
    first, second = networks
    wide = _at_least(grid, SIZE)
    height_m = _heights_m(surface, wide)
    ground_m = None if surface.ground_m is None else _cut(surface.ground_m, surface.raster, wide)
    channels = _channels(height_m, sector, wide, ground_m)
    made = by_windows(lambda x: first(located(x, sector.height_m)), channels)
    first_db = _clipped_db(_level_db(made[..., 0]))
    x = second_inputs(height_m / UNIT_M, _sparse_db(samples, wide), first_db)
    made_db = _second_db(by_windows(second, x)[..., 0])
    return _cut(made_db, wide, grid)


def located(channels: Array, antenna_m: float) -> Array:
    """Windows whose second channel, the distance to the antenna, gives way to its height.

    Parameters
    ----------
    channels : ndarray, [batch, num_y, num_x, 3]
        Heights, distance along the ground, closed form.
    antenna_m : float
        Above ground.

    Returns
    -------
    ndarray, the same shape, float32
        The second channel is the antenna's height in `UNIT_M` in the cell that is nearest to it -
        its own, where the window holds it - and 0 elsewhere.
    """
    x = channels.copy()
    nearest = channels[..., 1].reshape(len(x), -1).argmin(axis=1)
    x[..., 1] = 0.0
    rows, columns = np.unravel_index(nearest, x.shape[1:3])
    x[np.arange(len(x)), rows, columns, 1] = antenna_m / UNIT_M
    return x


def _channels(
    height_m: npt.NDArray[Any], sector: Sector, grid: Grid, ground_m: Array | None = None
) -> Array:
    """What `located` takes, [num_y, num_x, 3], float32."""
    distance_m, form_db = _way(sector, grid, ground_m)
    layers = (np.asarray(height_m, dtype=np.float32) / UNIT_M, distance_m, _scaled(form_db))
    return np.stack(layers, axis=-1).astype(np.float32)


def _way(sector: Sector, grid: Grid, ground_m: Array | None = None) -> tuple[Array, Array]:
    """Distance along the ground [m] and path gain by UMa NLOS [dB], clipped, of every cell."""
    dx, dy = grid.x_m()[None, :] - sector.x_m, grid.y_m()[:, None] - sector.y_m
    distance_m = np.hypot(dx, dy)
    receiver_m = grid.receiver_height_m + (0.0 if ground_m is None else ground_m)
    along_m = np.maximum(distance_m, NEAREST_M)
    loss_db = uma_nlos_db(
        along_m,
        np.hypot(along_m, sector.z_m - receiver_m),
        sector.frequency_hz,
        max(sector.height_m, LOWEST_EFFECTIVE_HEIGHT_M),
        grid.receiver_height_m,
    )
    return distance_m.astype(np.float32), _clipped_db(-loss_db)


def _gain_dbi(sector: Sector, grid: Grid) -> FloatArray:
    """Gain towards the receiver of every cell, on flat ground."""
    return sector_gain_dbi(
        antenna(sector.antenna),
        sector.azimuth_deg,
        sector.downtilt_deg,
        grid.x_m()[None, :] - sector.x_m,
        grid.y_m()[:, None] - sector.y_m,
        grid.receiver_height_m - sector.z_m,
    )


def _sparse_db(samples: Samples | None, grid: Grid) -> Array:
    """Means of the samples in each cell, NaN in those without."""
    found = np.full(grid.shape, np.nan, dtype=np.float32)
    if samples is None or not len(samples):
        return found
    column = np.floor((samples.points.x_m - grid.west_m) / grid.resolution_m).astype(np.int64)
    row = np.floor((samples.points.y_m - grid.south_m) / grid.resolution_m).astype(np.int64)
    inside = (row >= 0) & (row < grid.num_y) & (column >= 0) & (column < grid.num_x)
    inside &= np.isfinite(samples.level_db)
    cell = row[inside] * grid.num_x + column[inside]
    count = np.bincount(cell, minlength=found.size)
    total_db = np.bincount(cell, samples.level_db[inside], minlength=found.size)
    known = count > 0
    found.flat[np.flatnonzero(known)] = total_db[known] / count[known]
    return found


def _surface(scene: Scene, grid: Grid) -> Surface:
    ground_m = None if scene.terrain is None else ground_raster(scene, grid)
    return Surface(grid, height_raster(scene, grid), ground_m)


def _at_least(grid: Grid, cells: int) -> Grid:
    """A grid with as many cells each way, around a smaller one."""
    more_x, more_y = max(0, cells - grid.num_x), max(0, cells - grid.num_y)
    step = grid.resolution_m
    return replace(
        grid,
        west_m=grid.west_m - more_x // 2 * step,
        south_m=grid.south_m - more_y // 2 * step,
        num_x=grid.num_x + more_x,
        num_y=grid.num_y + more_y,
    )


def _heights_m(surface: Surface, grid: Grid) -> Array:
    return _cut(surface.height_m, surface.raster, grid)


def _cut(values: Array, raster: Grid, grid: Grid) -> Array:
    """A raster's values on a grid of the same cells, 0 where the raster has none."""
    column = round((grid.west_m - raster.west_m) / raster.resolution_m)
    row = round((grid.south_m - raster.south_m) / raster.resolution_m)
    found = np.zeros(grid.shape, dtype=np.float32)
    rows = slice(max(row, 0), max(min(row + grid.num_y, raster.num_y), 0))
    columns = slice(max(column, 0), max(min(column + grid.num_x, raster.num_x), 0))
    part = values[rows, columns]
    top, left = max(-row, 0), max(-column, 0)
    found[top : top + part.shape[0], left : left + part.shape[1]] = part
    return found


def _second_db(y: Array) -> Array:
    """Levels of stage 2's output, its scale and offset undone."""
    return _clipped_db((_level_db(y) - MAP_OFFSET_DB) / MAP_SCALE)


def _scaled(level_db: npt.ArrayLike) -> npt.NDArray[Any]:
    return (np.asarray(level_db) - MIDDLE_DB) / UNIT_DB


def _level_db(scaled: npt.NDArray[Any]) -> Array:
    return np.asarray(scaled, dtype=np.float32) * np.float32(UNIT_DB) + np.float32(MIDDLE_DB)


def _clipped_db(level_db: npt.NDArray[Any]) -> Array:
    return np.asarray(np.clip(level_db, EMPTY_DB, 0.0), dtype=np.float32)
