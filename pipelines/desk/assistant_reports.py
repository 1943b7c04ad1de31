"""Evaluations of language models that the registry holds, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rfplatform.registry.artifact import Artifact
from rfplatform.registry.registry import Registry

MOST_REPORTS = 100
"""Of a registry, the newest."""

CASES: Mapping[str, tuple[str, ...]] = {
    "macro": ("all_rows", "macro"),
    "weighted": ("all_rows", "weighted"),
    "easy": ("all_rows", "by_difficulty", "easy"),
    "medium": ("all_rows", "by_difficulty", "medium"),
    "hard": ("all_rows", "by_difficulty", "hard"),
    "usable macro": ("usable", "macro"),
    "usable weighted": ("usable", "weighted"),
    "negated": ("negated",),
    "not negated": ("plain",),
    "provided context": ("with_context",),
    "no provided context": ("without_context",),
}
"""Scores that are shown, by where they stand in `rfplatform.oran.scores.Scores`."""


@dataclass(frozen=True)
class Point:
    """An accuracy or a difference of two, with the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Scored:
    """A model, or a floor that knows nothing.

    Attributes
    ----------
    name : str
    is_model : bool
    points : mapping of str to Point
        By `CASES`; what was not asked is left out.
    unparsed : float or None
        Share of the answers that could not be read.
    failed : int
        Questions without an answer.
    repeats : int
    """

    name: str
    is_model: bool
    points: Mapping[str, Point]
    unparsed: float | None
    failed: int
    repeats: int


@dataclass(frozen=True)
class Gained:
    """How much better one run is than another, over the same questions."""

    what: str
    macro: Point | None
    weighted: Point | None


@dataclass(frozen=True)
class Reported:
    """A figure that others report."""

    name: str
    questions: str
    measure: str
    value: float
    source: str


@dataclass(frozen=True)
class Evaluated:
    """A report of `rfplatform bench oran --model`.

    Attributes
    ----------
    ref : str
        In the registry.
    made : str
        ISO 8601.
    version, platform : str
        Of rfplatform, and of the system.
    command : str
        That made it, as far as it is told.
    order : str
        Of the options.
    questions, unusable : mapping of str to int
        By difficulty; by fault.
    scored : tuple of Scored
        Models first.
    gains : tuple of Gained
    reported : tuple of Reported
    unfinished : mapping of str to str
    """

    ref: str
    made: str
    version: str
    platform: str
    command: str
    order: str
    questions: Mapping[str, int]
    unusable: Mapping[str, int]
    scored: tuple[Scored, ...]
    gains: tuple[Gained, ...]
    reported: tuple[Reported, ...]
    unfinished: Mapping[str, str]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(one.name for one in self.scored if one.is_model)


def list_evaluations(registry: Registry) -> list[Evaluated]:
    """All that the registry holds, the newest first; reports of other things are passed over.

    Raises
    ------
    InputError
        If the registry is damaged.
    """
    entries = registry.entries("report", limit=MOST_REPORTS)
    found = (_evaluated(registry.get(entry.ref)) for entry in entries)
    return [one for one in found if one is not None]


def _evaluated(artifact: Artifact) -> Evaluated | None:
    """What a report tells; one that was added by hand may hold anything."""
    told = artifact.run
    scored = [_scored(one) for one in _dicts(told.get("entrants"))]
    known = [one for one in scored if one is not None]
    if not known:
        return None
    return Evaluated(
        artifact.ref,
        artifact.created,
        str(told.get("rfplatform", "")),
        str(told.get("platform", "")),
        str(told.get("command") or artifact.title),
        str(told.get("order", "")),
        _counts(told.get("questions")),
        _counts(told.get("unusable")),
        tuple(sorted(known, key=lambda one: not one.is_model)),
        tuple(
            Gained(str(g.get("what", "")), _point(g.get("macro")), _point(g.get("weighted")))
            for g in _dicts(told.get("gains"))
        ),
        tuple(_reported(told.get("published"))),
        {str(name): str(why) for name, why in _dict(told.get("unfinished")).items()},
    )


def _scored(told: Mapping[str, Any]) -> Scored | None:
    scores = _dict(told.get("scores"))
    points = {case: _point(_at(scores, path)) for case, path in CASES.items()}
    known = {case: point for case, point in points.items() if point is not None}
    if not known or not told.get("name"):
        return None
    return Scored(
        str(told["name"]),
        told.get("kind") == "model",
        known,
        _number(scores.get("unparsed")),
        int(_number(told.get("failed")) or 0),
        int(_number(scores.get("repeats")) or 1),
    )


def _reported(told: object) -> Iterator[Reported]:
    for one in _dicts(told):
        value = _number(one.get("value"))
        if value is not None:
            name, questions, measure, source = (
                str(one.get(of, "")) for of in ("name", "questions", "measure", "source")
            )
            yield Reported(name, questions, measure, value, source)


def _at(values: Mapping[str, Any], path: tuple[str, ...]) -> object:
    found: object = values
    for name in path:
        found = _dict(found).get(name)
    return found


def _point(told: object) -> Point | None:
    values = _dict(told)
    value, low, high = (_number(values.get(name)) for name in ("value", "low", "high"))
    if value is None:
        return None
    count = int(_number(values.get("count")) or 0)
    return Point(value, value if low is None else low, value if high is None else high, count)


def _number(told: object) -> float | None:
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    return float(told) if is_number and told == told else None  # type: ignore[arg-type]


def _counts(told: object) -> dict[str, int]:
    return {str(name): int(_number(count) or 0) for name, count in _dict(told).items()}


def _dict(told: object) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def _dicts(told: object) -> list[dict[str, Any]]:
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
