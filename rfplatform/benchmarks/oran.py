"""What ORAN-Bench-13K gives away to those who know nothing: every floor over all its questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.oran.floors import FLOORS, guess
from rfplatform.oran.questions import DIFFICULTIES, Question, count_faults, load_questions
from rfplatform.oran.scores import Part, score

RESAMPLES = 1
"""The rows tell values alone, which need no interval."""


@dataclass(frozen=True, eq=False)
class Asked:
    """All questions, and the floor that is to answer them."""

    questions: Sequence[Question]
    floor: str


def _cases() -> Iterator[Case]:
    questions = load_questions()
    note = note_of(questions)
    for floor in FLOORS:
        yield Case(floor, Asked(questions, floor), note=note)
        note = ""  # once is enough


def note_of(questions: Sequence[Question]) -> str:
    """How many questions there are, and how many nobody can answer."""
    faults = count_faults(questions)
    told = " and ".join(f"{count} with {fault}" for fault, count in faults.items())
    usable = len(questions) - sum(faults.values())
    without = f", {told} included: {usable:,} are usable" if told else ""
    return f"{len(questions):,} questions as published{without}"


def _floor(asked: Asked) -> Part:
    return score(
        asked.questions, FLOORS[asked.floor](asked.questions), resamples=RESAMPLES
    ).all_rows


def _guess(asked: Asked) -> Part:
    return score(asked.questions, guess(asked.questions), resamples=RESAMPLES).all_rows


def _of(part: Part, _: object, difficulty: str) -> float:
    return next(
        (found.value for name, found in part.by_difficulty.items() if name == difficulty),
        float("nan"),
    )


FLOORS_BENCHMARK: Benchmark[Part] = Benchmark(
    "oran:floors",
    "What no knowledge at all scores on ORAN-Bench-13K: a model is worth what it scores above",
    _cases,
    (
        Metric("macro accuracy", "", lambda part, _: part.macro.value, "higher"),
        Metric("weighted accuracy", "", lambda part, _: part.weighted.value, "higher"),
        *(
            Metric(f"accuracy, {name}", "", partial(_of, difficulty=name), "higher")
            for name in DIFFICULTIES
        ),
    ),
    baseline=Predictor("fair guess", _guess),
    subject=Predictor("floor", _floor),
)
