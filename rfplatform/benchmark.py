"""Benchmarks: a data set, metrics and a mandatory baseline, and the one loop that runs them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Generic, Literal, TypeVar

from rfplatform.errors import InputError, MissingError

Y = TypeVar("Y")


@dataclass(frozen=True)
class Given:
    """Files that a benchmark scores in place of its own.

    Attributes
    ----------
    measurements : Path
        A drive test.
    area : str
        What the measurements' scene is made of, as every AREA argument.
    sites : Path
        A site list with the measured sectors.
    """

    measurements: Path
    area: str
    sites: Path


@dataclass(frozen=True, eq=False)
class Case:
    """One thing to predict.

    Attributes
    ----------
    name : str
        Unique within its benchmark.
    inputs : object
        What a predictor is called with.
    truth : object
        What a metric compares the prediction with.
    note : str
        A line that is shown with the case's scores.
    skip : str
        Why the case can't run here, as where its data is absent; it is reported, not run.
    """

    name: str
    inputs: Any = None
    truth: Any = None
    note: str = ""
    skip: str = ""


@dataclass(frozen=True)
class Metric(Generic[Y]):
    """A number that tells how good a prediction is.

    Attributes
    ----------
    name, unit : str
    compute : callable
        From a prediction and its case's truth. NaN where it does not apply to this prediction; a
        metric that applies to neither subject nor baseline gives no row.
    better : {"lower", "higher"}
    target : float, optional
        What is to be reached.
    target_is_ratio : bool
        Whether the target is for the score over the baseline's, rather than for the score.
    """

    name: str
    unit: str
    compute: Callable[[Y, Any], float]
    better: Literal["lower", "higher"] = "lower"
    target: float | None = None
    target_is_ratio: bool = False


@dataclass(frozen=True)
class Predictor(Generic[Y]):
    """A named function from a case's inputs to a prediction."""

    name: str
    predict: Callable[[Any], Y]


@dataclass(frozen=True, eq=False)
class Outcome(Generic[Y]):
    """The last predictions of one case, for figures."""

    case: Case
    prediction: Y
    baseline: Y


@dataclass(frozen=True)
class Benchmark(Generic[Y]):
    """What is measured, on what, and against what.

    Attributes
    ----------
    name : str
        "family:member".
    summary : str
        What it tells, in one line.
    dataset : callable
        Makes the cases, one at a time: a generator may hold something open (a worker) while its
        case runs. `MissingError` from it means that the rest can't run here.
    metrics : sequence of Metric
    baseline : Predictor
        What every score is shown beside.
    subject : Predictor
        What is scored unless another is given.
    repeats, warm_ups : int
        Times that subject and baseline run, in turn, on every case; the first `warm_ups` do not
        count. More than one is for timings: scores are medians.
    draw : callable, optional
        Writes figures and tables of all outcomes into a folder, and returns their paths.
    dataset_of : callable, optional
        Makes the cases of a user's files, as `dataset` does those of the benchmark's own.
    """

    name: str
    summary: str
    dataset: Callable[[], Iterable[Case]]
    metrics: Sequence[Metric[Y]]
    baseline: Predictor[Y]
    subject: Predictor[Y]
    repeats: int = 1
    warm_ups: int = 0
    draw: Callable[[Sequence[Outcome[Y]], Path], Sequence[Path]] | None = None
    dataset_of: Callable[[Given], Iterable[Case]] | None = None

    def cases(self, given: Given | None = None) -> Iterable[Case]:
        """The benchmark's own cases, or those of a user's files.

        Raises
        ------
        InputError
            If files are given and the benchmark takes none.
        """
        if given is None:
            return self.dataset()
        if self.dataset_of is None:
            raise InputError(
                f"benchmark {self.name} takes no files of yours: leave out --measurements, --area "
                "and --sites, or name a benchmark that does (maps:duke)"
            )
        return self.dataset_of(given)


@dataclass(frozen=True)
class Row:
    """One score, with the baseline's beside it; or a case that was skipped, and why.

    Attributes
    ----------
    benchmark, case, metric, unit : str
        The case is "*" where the whole benchmark was skipped, the metric "" in a skipped case.
    subject_name, baseline_name : str
    values, baseline_values : tuple of float
        A score for each repeat, pair by pair. NaN: the metric does not apply.
    better : {"lower", "higher"}
    target : float, optional
    target_is_ratio : bool
    note : str
    skipped : str
        The reason; empty for a case that ran.
    """

    benchmark: str
    case: str
    metric: str
    unit: str
    subject_name: str
    baseline_name: str
    values: tuple[float, ...] = ()
    baseline_values: tuple[float, ...] = ()
    better: Literal["lower", "higher"] = "lower"
    target: float | None = None
    target_is_ratio: bool = False
    note: str = ""
    skipped: str = ""

    @property
    def value(self) -> float | None:
        """The subject's median score."""
        return _median(self.values)

    @property
    def baseline_value(self) -> float | None:
        """The baseline's median score."""
        return _median(self.baseline_values)

    @property
    def ratio(self) -> float | None:
        """Median over the pairs of the score over the baseline's; None where that is 0."""
        pairs = zip(self.values, self.baseline_values, strict=True)
        return _median([value / other if other else math.nan for value, other in pairs])

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one. A score that is not a number misses it."""
        if self.target is None or self.skipped:
            return None
        score = self.ratio if self.target_is_ratio else self.value
        if score is None:
            return False
        return score <= self.target if self.better == "lower" else score >= self.target

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; what is not a finite number is None."""
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "metric": self.metric,
            "unit": self.unit,
            "subject": self.subject_name,
            "value": _finite(self.value),
            "baseline": self.baseline_name,
            "baseline_value": _finite(self.baseline_value),
            "ratio": _finite(self.ratio),
            "better": self.better,
            "target": self.target,
            "target_is_ratio": self.target_is_ratio,
            "met": self.met,
            "values": [_finite(v) for v in self.values],
            "baseline_values": [_finite(v) for v in self.baseline_values],
            "note": self.note,
            "skipped": self.skipped or None,
        }


def evaluate(
    benchmark: Benchmark[Y],
    predict: Predictor[Y] | None = None,
    *,
    given: Given | None = None,
    out: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Row]:
    """Run a benchmark: the only evaluation loop.

    Parameters
    ----------
    benchmark : Benchmark
    predict : Predictor, optional
        What to score; by default the benchmark's own subject.
    given : Given, optional
        A user's files to score on in place of the benchmark's own.
    out : Path, optional
        A folder for the benchmark's figures, where it draws any; it is made if need be.
    progress : callable, optional
        Called with the name of every case before it runs.

    Returns
    -------
    list of Row
        One for each case and metric, and one for each case that was skipped.

    Raises
    ------
    InputError
        If files are given and the benchmark takes none.
    RfplatformError
        Whatever a predictor raises, but for `MissingError`, which skips the case.
    """
    subject = predict or benchmark.subject
    rows: list[Row] = []
    outcomes: list[Outcome[Y]] = []
    keep = benchmark.draw is not None and out is not None

    def skipped(case: str, reason: str) -> Row:
        names = (subject.name, benchmark.baseline.name)
        return Row(benchmark.name, case, "", "", *names, skipped=reason)

    try:
        with _closing(benchmark.cases(given)) as cases:
            for case in cases:
                if case.skip:
                    rows.append(skipped(case.name, case.skip))
                    continue
                if progress is not None:
                    progress(case.name)
                try:
                    scored, outcome = _score(benchmark, subject, case)
                except MissingError as error:
                    rows.append(skipped(case.name, str(error)))
                    continue
                rows += scored
                if keep:
                    outcomes.append(outcome)
    except MissingError as error:
        rows.append(skipped("*", str(error)))
    if benchmark.draw is not None and out is not None and outcomes:
        out.mkdir(parents=True, exist_ok=True)
        benchmark.draw(outcomes, out)
    return rows


def _score(
    benchmark: Benchmark[Y], subject: Predictor[Y], case: Case
) -> tuple[list[Row], Outcome[Y]]:
    """Subject and baseline in turn, so that both meet the same drifts of the machine."""
    values: list[list[float]] = [[] for _ in benchmark.metrics]
    baseline_values: list[list[float]] = [[] for _ in benchmark.metrics]
    for run in range(benchmark.warm_ups + max(benchmark.repeats, 1)):
        prediction = subject.predict(case.inputs)
        baseline = benchmark.baseline.predict(case.inputs)
        if run < benchmark.warm_ups:
            continue
        for i, metric in enumerate(benchmark.metrics):
            values[i].append(float(metric.compute(prediction, case.truth)))
            baseline_values[i].append(float(metric.compute(baseline, case.truth)))
    rows = [
        Row(
            benchmark.name,
            case.name,
            metric.name,
            metric.unit,
            subject.name,
            benchmark.baseline.name,
            tuple(values[i]),
            tuple(baseline_values[i]),
            metric.better,
            metric.target,
            metric.target_is_ratio,
            case.note,
        )
        for i, metric in enumerate(benchmark.metrics)
        if not all(math.isnan(score) for score in (*values[i], *baseline_values[i]))
    ]
    return rows, Outcome(case, prediction, baseline)


def find_benchmarks(
    benchmarks: Mapping[str, Benchmark[Any]], name: str | None = None
) -> list[Benchmark[Any]]:
    """Those of a table that a name stands for: one, a whole family ("speed"), or all.

    Raises
    ------
    InputError
        If there is none of that name; the message lists near misses and all known names.
    """
    if name is None:
        return list(benchmarks.values())
    wanted = name.strip().lower()
    if wanted in benchmarks:
        return [benchmarks[wanted]]
    family = wanted.removesuffix("*").removesuffix(":")
    if members := [b for key, b in benchmarks.items() if key.split(":", 1)[0] == family]:
        return members
    families = {key.split(":", 1)[0] for key in benchmarks}
    known = [*benchmarks, *sorted(families)]
    members_of = {key.split(":", 1)[-1]: key for key in benchmarks}
    near = difflib.get_close_matches(wanted, [*known, *members_of], n=3, cutoff=0.5)
    near = list(dict.fromkeys(members_of.get(match, match) for match in near))
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise InputError(f'unknown benchmark "{name}"{hint} (known: {", ".join(benchmarks)})')


@contextmanager
def _closing(cases: Iterable[Case]) -> Iterator[Iterable[Case]]:
    """Close a generator of cases at the end, so that what it holds open is released at once."""
    try:
        yield cases
    finally:
        close = getattr(cases, "close", None)
        if close is not None:
            close()


def _median(values: Sequence[float]) -> float | None:
    known = [v for v in values if not math.isnan(v)]
    return median(known) if known else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
