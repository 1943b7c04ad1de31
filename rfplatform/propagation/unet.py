"""Learned radio maps: a scene in, windows through a network, a whole map out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError, MissingError
from rfplatform.propagation.features import Surface
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import ground_raster, height_raster
from rfplatform.registry.models import DESCRIPTION, WEIGHTS, Model, check_model, load_model
from rfplatform.registry.registry import Registry
from rfplatform.scene import Scene
from rfplatform.shipped import shipped_folder

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[np.float32]
Network = Callable[[Array], Array]
"""From [batch, size, size, channels] to [batch, size, size, outputs]."""

SIZE = 128
"""Cells along each side of a window: what the networks are trained on."""

OVERLAP = 32
"""Cells that neighbouring windows share, over which one fades into the other."""

BATCH = 8
"""Windows that go through a network at once."""

RESOLUTION_M = 4.0
"""Edge of a cell that the networks are trained on."""


def find_model(name: str, ref: str = "") -> Model:
    """A model by its reference, or the one that comes with rfplatform.

    Parameters
    ----------
    name : str
        "cascade" or "geo2sigmap".
    ref : str
        "name@version" of the registry; "" for the shipped one.

    Raises
    ------
    InputError
        If it is a model of another kind, or damaged.
    MissingError
        If it is not there.
    """
    if ref:
        found = load_model(Registry.default(), ref)
    else:
        folder = shipped_folder(f"models/{name}")
        if folder is None:
            raise MissingError(
                f"the weights of {name} are missing (data/models/{name}): run from a checkout, "
                "reinstall rfplatform, or train them with `rfplatform train`"
            )
        found = check_model({DESCRIPTION: folder / DESCRIPTION, WEIGHTS: folder / WEIGHTS}, name)
    if found.type != name:
        raise InputError(f"{ref} is a model of type {found.type}, not {name}")
    return found


def require_keras() -> None:
    """Refuse, with a word on what to install, where Keras or its backend is missing.

    Raises
    ------
    MissingError
    """
    import importlib.util

    if importlib.util.find_spec("keras") is None or not any(
        importlib.util.find_spec(name) for name in ("tensorflow", "jax", "torch")
    ):
        raise MissingError(
            "learned maps need Keras and a backend: pip install 'rfplatform[learn]' "
            "(or keras with jax or torch, and KERAS_BACKEND)"
        )


def with_weights(model: keras.Model, weights: Mapping[str, Array], prefix: str) -> keras.Model:
    """A network with its part of a model's weights: those that begin with ``prefix/``."""
    from rfplatform.nn.fit import set_weights

    start = f"{prefix}/"
    set_weights(
        model, {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
    )
    return model


def compiled(model: keras.Model) -> Network:
    """A network as a function of arrays."""

    def run(x: Array) -> Array:
        return np.asarray(model.predict_on_batch(x), dtype=np.float32)

    return run


def surface_of(scene: Scene, sectors: Sequence[Sector], grid: Grid) -> Surface:
    """Heights over a grid and as far around it as the antennas stand."""
    step = grid.resolution_m
    xs, ys = [s.x_m for s in sectors], [s.y_m for s in sectors]
    west = max(0, int(np.ceil((grid.west_m - min(xs, default=0.0)) / step)) + 1)
    south = max(0, int(np.ceil((grid.south_m - min(ys, default=0.0)) / step)) + 1)
    east = max(0, int(np.ceil((max(xs, default=0.0) - grid.east_m) / step)) + 1)
    north = max(0, int(np.ceil((max(ys, default=0.0) - grid.north_m) / step)) + 1)
    raster = replace(
        grid,
        west_m=grid.west_m - west * step,
        south_m=grid.south_m - south * step,
        num_x=grid.num_x + west + east,
        num_y=grid.num_y + south + north,
    )
    ground = None if scene.terrain is None else ground_raster(scene, raster)
    return Surface(raster, height_raster(scene, raster), ground)


def by_windows(
    network: Network, channels: Array, size: int = SIZE, overlap: int = OVERLAP
) -> Array:
    """Send an area of any size through a network, in overlapping windows.

    Parameters
    ----------
    network : callable
    channels : ndarray, [num_y, num_x, num_channels]
    size, overlap : int
        Cells of a window along each side, and those that neighbours share.

    Returns
    -------
    ndarray, [num_y, num_x, outputs]
        Blended with weights that fall linearly over the overlap.
    """
    num_y, num_x, _ = channels.shape
    rows, columns = _starts(num_y, size, overlap), _starts(num_x, size, overlap)
    pad = [(0, max(0, size - n)) for n in (num_y, num_x)]
    if any(after for _, after in pad):
        channels = np.pad(channels, [*pad, (0, 0)], mode="edge")
    corners = [(row, column) for row in rows for column in columns]
    fade = _fade(size, overlap)
    total: Array | None = None
    weight = np.zeros(channels.shape[:2], dtype=np.float32)
    for first in range(0, len(corners), BATCH):
        part = corners[first : first + BATCH]
        x = np.stack([channels[r : r + size, c : c + size] for r, c in part])
        for (r, c), y in zip(part, network(x), strict=True):
            if total is None:
                total = np.zeros((*channels.shape[:2], y.shape[-1]), dtype=np.float32)
            total[r : r + size, c : c + size] += y * fade[..., None]
            weight[r : r + size, c : c + size] += fade
    assert total is not None
    return np.asarray((total / weight[..., None])[:num_y, :num_x])


def _starts(cells: int, size: int, overlap: int) -> list[int]:
    """First cells of windows that cover a row, evenly spread."""
    if cells <= size:
        return [0]
    number = int(np.ceil((cells - overlap) / (size - overlap)))
    return [int(start) for start in np.rint(np.linspace(0, cells - size, number))]


@cache
def _fade(size: int, overlap: int) -> Array:
    ramp = np.minimum(np.arange(size) + 1.0, np.arange(size)[::-1] + 1.0)
    edge = np.minimum(ramp / (overlap + 1.0), 1.0)
    return np.asarray(edge[:, None] * edge[None, :], dtype=np.float32)


def trained_grid(grid: Grid) -> Grid:
    """The grid that a map is made on: of the cells that the networks know, over all of `grid`."""
    if abs(grid.resolution_m - RESOLUTION_M) < 1e-6:
        return grid
    num_x, num_y = (
        max(1, int(np.ceil(n * grid.resolution_m / RESOLUTION_M - 1e-6)))
        for n in (grid.num_x, grid.num_y)
    )
    return replace(grid, resolution_m=RESOLUTION_M, num_x=num_x, num_y=num_y)


def resampled(layers: Array, inner: Grid, grid: Grid) -> Array:
    """Layers on a trained grid, on another's cells: their means over larger cells.

    Smaller cells take a value between the nearest four's.

    Parameters
    ----------
    layers : ndarray, [num_layers, num_y, num_x] of `inner`
    inner : Grid
        Of `trained_grid`.
    grid : Grid
    """
    if inner is grid:
        return layers
    from scipy.ndimage import map_coordinates

    # In dB, as the networks state means and spreads of levels in dB; over n x n points of a cell.
    cells = grid.resolution_m / inner.resolution_m
    n = max(1, int(np.ceil(cells - 1e-6)))
    within = ((np.arange(n) + 0.5) / n - 0.5) * cells
    row = (grid.y_m() - inner.south_m) / inner.resolution_m - 0.5
    column = (grid.x_m() - inner.west_m) / inner.resolution_m - 0.5
    at = np.meshgrid(
        (row[:, None] + within).ravel(), (column[:, None] + within).ravel(), indexing="ij"
    )
    means = [
        map_coordinates(layer, at, order=1, mode="nearest")
        .reshape(grid.num_y, n, grid.num_x, n)
        .mean(axis=(1, 3))
        for layer in layers
    ]
    return np.stack(means).astype(np.float32)
