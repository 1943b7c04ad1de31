"""The best of many scores, always in the same order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Ranking(NamedTuple):
    """Positions of chunks and their scores, the best first.

    Attributes
    ----------
    positions : ndarray of int
    scores : ndarray of float32
    """

    positions: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float32]


def best(scores: npt.NDArray[np.float32], top_k: int, above: float = -np.inf) -> Ranking:
    """The highest scores, ties by position: the order depends on nothing but the scores.

    Parameters
    ----------
    scores : ndarray of float32, shape [n]
    top_k : int
        How many at most; none or less gives none.
    above : float
        Leave out scores that are not higher.
    """
    chosen = np.flatnonzero(scores > above)
    if top_k <= 0:
        chosen = chosen[:0]
    elif len(chosen) > top_k:
        own = scores[chosen]
        least = np.partition(own, len(own) - top_k)[len(own) - top_k]
        chosen = chosen[own >= least]
    order = np.lexsort((chosen, -scores[chosen]))[: max(top_k, 0)]
    return Ranking(chosen[order], scores[chosen[order]])
