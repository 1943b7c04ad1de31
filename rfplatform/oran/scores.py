"""How good answers are: accuracies with 95 % intervals, and the gain of one run on another.

Credit is 1 for a right answer, 0 for a wrong one or one that could not be read, and a share where
several options are as good as each other. Intervals are by bootstrap over groups of questions with
the same words: a question that occurs twice tells no more than one that occurs once. They say how
much a score would change with other questions, not with another run of the model; that is the
spread over repeats.

The weights of ORAN-Bench-13K's "weighted" score are taken to be the sizes of the three
difficulties, sum(n_d accuracy_d) / sum(n_d): over all its rows this is the share of right answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rfplatform.errors import InputError
from rfplatform.oran.questions import DIFFICULTIES, Question

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

RESAMPLES = 2000
LEVEL = 0.95
_BATCH = 100
"""Resamples that are drawn at once: a batch of 14,000 groups takes 11 MB."""


@dataclass(frozen=True)
class Score:
    """An accuracy, or a difference of two.

    Attributes
    ----------
    value : float
        NaN where no such question was asked.
    low, high : float
        Ends of its 95 % interval. Where all credits are alike there is nothing to resample and
        they equal the value, however few questions were asked.
    count : int
        Questions that were asked.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Part:
    """Scores over some of the rows.

    Attributes
    ----------
    by_difficulty : mapping of str to Score
        Of the difficulties that were asked.
    macro : Score
        Mean of these.
    weighted : Score
        Their mean by the number of rows that there are of each, asked or not.
    rows : int
        That there are, asked or not.
    """

    by_difficulty: Mapping[str, Score]
    macro: Score
    weighted: Score
    rows: int


@dataclass(frozen=True)
class Scores:
    """What a run is worth.

    Attributes
    ----------
    all_rows : Part
        Rows without a question or without options included, as published.
    usable : Part
        Rows that somebody could answer.
    negated, plain : Score
        Usable rows that ask what is NOT the case, and the others.
    with_context, without_context : Score
        Usable rows that speak of a provided text which is not there, and the others.
    unparsed : float
        Share of the answers, over all repeats, that could not be read; they count as wrong.
    repeats : int
        How many times each question was asked.
    spread : float
        Standard deviation of `all_rows.weighted` from repeat to repeat; NaN of one.
    """

    all_rows: Part
    usable: Part
    negated: Score
    plain: Score
    with_context: Score
    without_context: Score
    unparsed: float
    repeats: int
    spread: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not a number is None."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def score(
    questions: Sequence[Question],
    credit: ArrayLike,
    unparsed: ArrayLike | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Score the answers to questions.

    Parameters
    ----------
    questions : sequence of Question, length n
        All there are, so that a draw of them is weighted as they are.
    credit : array_like, shape (n,) or (repeats, n)
        From 0 to 1; NaN where a question was not asked.
    unparsed : array_like of bool, shape of `credit`, optional
        Answers that could not be read. They have no credit, whatever `credit` says.
    resamples : int
        Of the bootstrap.
    seed : int

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If shapes differ, a credit is not from 0 to 1, or no question was asked.
    """
    runs = _runs(questions, credit)
    unread = np.zeros(runs.shape, bool)
    if unparsed is not None:
        unread = np.atleast_2d(np.asarray(unparsed, bool))
        if unread.shape != runs.shape:
            raise InputError(f"unparsed has shape {unread.shape}, credit {runs.shape}")
    asked = ~np.isnan(runs)
    unread &= asked
    runs = np.where(unread, 0.0, runs)
    rows = _Rows(questions)
    every = np.ones(len(questions), bool)
    tallies = [
        *(rows.difficulty == d for d in range(len(DIFFICULTIES))),
        *((rows.difficulty == d) & rows.usable for d in range(len(DIFFICULTIES))),
        rows.usable & rows.negated,
        rows.usable & ~rows.negated,
        rows.usable & rows.needs_context,
        rows.usable & ~rows.needs_context,
    ]
    mean = _mean_of_runs(runs)
    parts = [rows.weights(every), rows.weights(rows.usable)]
    found = _bootstrapped(mean, rows.group, tallies, resamples, seed)
    difficulties = len(DIFFICULTIES)
    negated, plain, with_context, without_context = (
        found.score({tally: 1.0}) for tally in range(2 * difficulties, len(tallies))
    )
    return Scores(
        _part(found, 0, parts[0]),
        _part(found, difficulties, parts[1]),
        negated,
        plain,
        with_context,
        without_context,
        unparsed=float(unread.sum() / asked.sum()),
        repeats=len(runs),
        spread=_spread(runs, tallies[:difficulties], parts[0]),
    )


def gain(
    questions: Sequence[Question],
    credit: ArrayLike,
    other: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Part:
    """How much better a run is than another on the questions that both were asked.

    Pairing takes away what is hard or easy for both, so that the interval is narrower than those
    of the two scores.

    Parameters
    ----------
    questions : sequence of Question, length n
    credit, other : array_like, shape (n,) or (repeats, n)
        As in `score`; the numbers of repeats may differ.
    resamples, seed : int

    Returns
    -------
    Part
        Differences of accuracies, over all rows.

    Raises
    ------
    InputError
        As `score`; or if no question was asked in both.
    """
    ours, theirs = (_mean_of_runs(_runs(questions, run)) for run in (credit, other))
    difference = ours - theirs
    if np.isnan(difference).all():
        raise InputError("the two runs have no question in common")
    rows = _Rows(questions)
    tallies = [rows.difficulty == d for d in range(len(DIFFICULTIES))]
    found = _bootstrapped(difference, rows.group, tallies, resamples, seed)
    return _part(found, 0, rows.weights(np.ones(len(questions), bool)))


# ----------------------------------------------------------------------------------------------
# What is scored
# ----------------------------------------------------------------------------------------------


class _Rows:
    """What the questions are, as arrays of shape (n,)."""

    def __init__(self, questions: Sequence[Question]) -> None:
        index = {name: i for i, name in enumerate(DIFFICULTIES)}
        self.difficulty = np.array([index[q.difficulty] for q in questions])
        self.usable = np.array([q.usable for q in questions])
        self.negated = np.array([q.negated for q in questions])
        self.needs_context = np.array([q.needs_context for q in questions])
        self.group = np.unique([q.group for q in questions], return_inverse=True)[1]

    def weights(self, among: BoolArray) -> FloatArray:
        """Rows of each difficulty."""
        return np.bincount(self.difficulty[among], minlength=len(DIFFICULTIES)).astype(float)


def _runs(questions: Sequence[Question], credit: ArrayLike) -> FloatArray:
    runs = np.atleast_2d(np.asarray(credit, float))
    if runs.ndim != 2 or runs.shape[1] != len(questions):
        raise InputError(f"credit has shape {runs.shape} for {len(questions)} questions")
    if np.isnan(runs).all():
        raise InputError("no question was asked")
    if np.nanmin(runs) < 0.0 or np.nanmax(runs) > 1.0:
        raise InputError("credit must be from 0 to 1")
    return runs


def _mean_of_runs(runs: FloatArray) -> FloatArray:
    """Each question's mean over the repeats in which it was asked."""
    times = (~np.isnan(runs)).sum(axis=0)
    total: FloatArray = np.nansum(runs, axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, times, out=mean, where=times > 0)
    return mean


def _spread(runs: FloatArray, tallies: Iterable[BoolArray], weights: FloatArray) -> float:
    if len(runs) < 2:
        return float("nan")
    own = list(tallies)
    means = []
    for run in runs:
        known = [run[tally & ~np.isnan(run)] for tally in own]
        scores = {d: (float(k.mean()), weights[d]) for d, k in enumerate(known) if k.size}
        if scores:
            values, sizes = zip(*scores.values(), strict=True)
            means.append(np.average(values, weights=sizes))
    return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")


# ----------------------------------------------------------------------------------------------
# The bootstrap
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Bootstrap:
    """Accuracies of some tallies: as found, shape (tallies,), and of all resamples.

    NaN where a tally has no question, or none in a resample.
    """

    accuracy: FloatArray
    resampled: FloatArray
    counts: NDArray[np.int64]

    def score(self, weights: Mapping[int, float]) -> Score:
        """The mean by weights over those tallies that have a question."""
        there = [tally for tally in weights if self.counts[tally]]
        if not there:
            return Score(float("nan"), float("nan"), float("nan"), 0)
        shares = np.array([weights[tally] for tally in there])
        shares = shares / shares.sum()
        drawn = self.resampled[:, there] @ shares
        tail = (1.0 - LEVEL) / 2.0
        low, high = np.nanquantile(drawn, [tail, 1.0 - tail])
        value = float(self.accuracy[there] @ shares)
        return Score(value, float(low), float(high), int(self.counts[there].sum()))


def _bootstrapped(
    credit: FloatArray,
    group: NDArray[np.intp],
    tallies: Sequence[BoolArray],
    resamples: int,
    seed: int,
) -> _Bootstrap:
    """Resample whole groups; a group's sums are all that a resample needs of it."""
    asked = ~np.isnan(credit)
    _, group = np.unique(group[asked], return_inverse=True)
    groups = int(group.max()) + 1
    masks = [tally[asked] for tally in tallies]
    sums = np.stack([np.bincount(group, credit[asked] * mask, groups) for mask in masks], axis=1)
    sizes = np.stack([np.bincount(group, mask, groups) for mask in masks], axis=1)
    table = np.hstack([sums, sizes])
    rng = np.random.default_rng(seed)
    totals = []
    for begin in range(0, resamples, _BATCH):
        count = min(_BATCH, resamples - begin)
        drawn = rng.integers(groups, size=(count, groups))
        drawn += groups * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups)
        totals.append(times.astype(float) @ table)
    counts = np.array([mask.sum() for mask in masks])
    return _Bootstrap(
        _ratio(table.sum(axis=0)), _ratio(np.concatenate(totals)), counts.astype(np.int64)
    )


def _ratio(totals: FloatArray) -> FloatArray:
    sums, sizes = np.split(totals, 2, axis=-1)
    ratio = np.full(sums.shape, np.nan)
    np.divide(sums, sizes, out=ratio, where=sizes > 0)
    return ratio


def _part(found: _Bootstrap, first: int, weights: FloatArray) -> Part:
    """The three difficulties' tallies from `first` on."""
    names = {name: first + d for d, name in enumerate(DIFFICULTIES)}
    return Part(
        {name: found.score({t: 1.0}) for name, t in names.items() if found.counts[t]},
        found.score(dict.fromkeys(names.values(), 1.0)),
        found.score({t: float(weights[d]) for d, t in enumerate(names.values())}),
        int(weights.sum()),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
