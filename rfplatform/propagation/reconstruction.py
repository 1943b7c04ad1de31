"""The reconstruction filter: from few rays to a good map, by diffusion along the streets.

A traced map is noisy cell by cell, while the power that it estimates changes slowly along a
street. So power is let flow between neighbouring cells, as heat does: only through the edges of
cells of the same visibility (both seen by the antenna, or both not), so that it never crosses a
building or a shadow's border; the faster, the larger the cells' standard errors are and the better
these explain how much the two cells differ, so that what is known stays and a converged map is
left alone; into a cell without any path only where cells around it have one; and what leaves one
cell enters another, so that the energy is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

Number = TypeVar("Number", np.int_, np.floating, np.bool_)

SPECULAR_STEPS = 2
DIFFRACTED_STEPS = 2
"""Steps of diffusion; each spreads a cell's power with a standard deviation of 0.7 cells."""

FULL_FLOW_RELATIVE_ERROR = 0.5
"""Relative standard error at and above which power flows freely; below, with its square."""

ALIKE_STANDARD_ERRORS = 2.0
"""Standard errors that two cells may differ by and still count as alike (the width of a bell)."""

HOLE_SHARE = 0.3
"""Share of lit cells around a dark one (by the weights of one step) that makes it a hole to fill
rather than the border of the dark: a quarter lies beyond a straight border."""

LOS_ERROR, NLOS_ERROR = 0.78, 1.2
"""What the launches' spread is multiplied by to state a filtered cell's error.

A lattice fills a lit street more evenly than the independent samples that error propagation
supposes; in the shadow there are strong paths that none of a few launches has met. Found on
central Helsinki against 1e9 rays, with one factor each for 1e6, 4e6 and 16e6 rays; the benchmark
``physics:standard-error`` shows what they are worth by level.
"""

_FLOW = 1.0 / 8.0
"""Share that flows to each of the four nearest neighbours in a step; half to the diagonal ones."""

_LINKS: tuple[tuple[int, int, float], ...] = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5), (1, -1, 0.5))
_POOLING_STEPS = 2


def reconstruct(
    power: FloatArray,
    error: FloatArray,
    los: npt.NDArray[np.bool_],
    visibility: npt.NDArray[np.int_],
    steps: int,
) -> tuple[FloatArray, FloatArray]:
    """Filter the traced part of a map, and state its error.

    Parameters
    ----------
    power : ndarray, [num_sectors, num_y, num_x]
        Path gain, linear.
    error : ndarray, the same shape
        Its standard error from the spread of launches; NaN where it is not known, which leaves
        power and error as they are.
    los : ndarray of bool, the same shape
        Whether the sector sees the cell.
    visibility : ndarray of int, the same shape
        Power stays among cells of one number, and there is none in cells of 0.
    steps : int
        Of diffusion; 0 leaves the power as it is and pools the errors only.

    Returns
    -------
    power, error : ndarray, [num_sectors, num_y, num_x]
        Each sector's sum over the cells of a visibility is what it was.
    """
    smooth, smooth_error = np.where(visibility, power, 0.0), np.where(visibility, error, 0.0)
    if np.isnan(smooth_error).any():
        return smooth, error
    for sector in range(len(power)):
        links = _links(visibility[sector])
        open_flows = [_FLOW * link for link in links]
        variance = smooth_error[sector] ** 2
        flows = _flows(open_flows, smooth[sector], variance)
        # A cell's own spread over few launches may be small by chance: neighbours share theirs.
        for _ in range(_POOLING_STEPS):
            variance = _step(variance, open_flows)
        for _ in range(steps):
            smooth[sector] = _step(smooth[sector], flows)
            variance = _step(variance, flows)
        if steps:
            variance *= _sum_of_squared_weights(flows, variance.shape, steps)
            variance *= np.where(los[sector], LOS_ERROR, NLOS_ERROR) ** 2
        smooth_error[sector] = np.sqrt(variance)
    return smooth, smooth_error


def _links(visibility: npt.NDArray[np.int_]) -> list[npt.NDArray[np.float64]]:
    """Conductance to the neighbours of `_LINKS`: 0 between cells of different visibility.

    A diagonal link needs both cells beside it too, lest power slips through between two
    buildings that touch at a corner.
    """
    links = []
    for dy, dx, conductance in _LINKS:
        here, there = _pair(visibility, dy, dx)
        joined = (here == there) & (here > 0)
        if dy and dx:
            column, row = (visibility[:-1, 1:], visibility[1:, :-1])
            if dx < 0:
                column, row = (visibility[:-1, :-1], visibility[1:, 1:])
            joined &= (column == here) & (row == here)
        links.append(joined * conductance)
    return links


def _flows(
    open_flows: Sequence[npt.NDArray[np.float64]], power: FloatArray, variance: FloatArray
) -> list[npt.NDArray[np.float64]]:
    """Share that flows through each link in a step, from the relative errors of its two cells.

    The errors are pooled over neighbours first: a cell's own spread over few launches may be
    small by chance.
    """
    mean, pooled = _step(power, open_flows), _step(variance, open_flows)
    relative_squared = np.zeros_like(mean)
    np.divide(pooled, mean**2, out=relative_squared, where=mean > 0)
    freedom = np.clip(relative_squared / FULL_FLOW_RELATIVE_ERROR**2, 0.0, 1.0)
    lit_around = _step((power > 0).astype(float), open_flows)
    takes_part = (power > 0) | (lit_around >= HOLE_SHARE)
    flows = []
    for open_flow, (dy, dx, _) in zip(open_flows, _LINKS, strict=True):
        here, there = _pair(power, dy, dx)
        both_variances = np.add(*_pair(pooled, dy, dx))
        distance_squared = np.zeros_like(both_variances)
        np.divide(
            (there - here) ** 2, both_variances, out=distance_squared, where=both_variances > 0
        )
        alike = np.exp(-0.5 * distance_squared / ALIKE_STANDARD_ERRORS**2)
        joined = np.logical_and(*_pair(takes_part, dy, dx))
        flows.append(open_flow * joined * alike * np.maximum(*_pair(freedom, dy, dx)))
    return flows


def _sum_of_squared_weights(
    flows: Sequence[npt.NDArray[np.float64]], shape: tuple[int, int], steps: int
) -> FloatArray:
    """What the variance of independent cells is multiplied by in so many steps.

    One step is exact. In more steps the same cells are met again: with every link open the
    weights are binomial, and their squares sum to (C(4 n, 2 n) / 16^n)^2 after n steps; in
    between, the power of the single step's sum that is right there.
    """
    kept, squares = np.ones(shape), np.zeros(shape)
    for flow, (dy, dx, _) in zip(flows, _LINKS, strict=True):
        for kept_cells in _pair(kept, dy, dx):
            np.subtract(kept_cells, flow, out=kept_cells)
        for square_cells in _pair(squares, dy, dx):
            np.add(square_cells, flow**2, out=square_cells)
    once, all_steps = (2 * np.log(comb(4 * n, 2 * n) / 16**n) for n in (1, steps))
    return np.asarray((kept**2 + squares) ** (all_steps / once))


def _step(field: FloatArray, flows: Sequence[npt.NDArray[np.float64]]) -> FloatArray:
    after = field.copy()
    for flow, (dy, dx, _) in zip(flows, _LINKS, strict=True):
        here, there = _pair(field, dy, dx)
        moved = flow * (there - here)
        here_after, there_after = _pair(after, dy, dx)
        np.add(here_after, moved, out=here_after)
        np.subtract(there_after, moved, out=there_after)
    return after


def _pair(
    field: npt.NDArray[Number], dy: int, dx: int
) -> tuple[npt.NDArray[Number], npt.NDArray[Number]]:
    """Views of a field's cells and of their neighbours dy up and dx to the right."""
    rows, columns = field.shape
    if dx < 0:
        return field[: rows - dy, -dx:], field[dy:, : columns + dx]
    return field[: rows - dy, : columns - dx], field[dy:, dx:]
