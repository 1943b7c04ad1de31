"""What an evaluation of language models came to: entrants, gains, and rows as every benchmark's."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rfplatform import __version__
from rfplatform.benchmark import Row

if TYPE_CHECKING:
    from rfplatform.oran.engine import Answers
    from rfplatform.oran.published import Published
    from rfplatform.oran.scores import Part, Score, Scores

NAME = "oran:13k"
"""What the rows are of."""

BASELINE = "longest-option"
"""What every score is shown beside in the rows: the best of the rules that a child could follow."""


@dataclass(frozen=True, eq=False)
class Entrant:
    """What was scored.

    Attributes
    ----------
    name : str
    kind : {"model", "floor"}
    scores : Scores
    answers : Answers, optional
        Of a model.
    reused : bool
        Whether its answers were all there before.
    """

    name: str
    kind: str
    scores: Scores
    answers: Answers | None = None
    reused: bool = False


@dataclass(frozen=True, eq=False)
class Gain:
    """How much better one run is than another, over the same questions.

    Attributes
    ----------
    what : str
        Such as "openai/gpt-5.2: retrieval".
    part : Part
        Differences.
    """

    what: str
    part: Part


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that came of it.

    Attributes
    ----------
    rows : tuple of Row
        As every other benchmark's.
    entrants : tuple of Entrant
        Models first.
    gains : tuple of Gain
    asked, faults : mapping of str to int
        Rows by difficulty, and those that can't be answered by the reason.
    order : str
        "shuffled" or "as published".
    published : tuple of Published
        What others report.
    unfinished : mapping of str to str
        Models whose runs lack answers: how many, and why.
    command : str
        What makes it again.
    """

    rows: tuple[Row, ...]
    entrants: tuple[Entrant, ...]
    gains: tuple[Gain, ...]
    asked: Mapping[str, int]
    faults: Mapping[str, int]
    order: str
    published: tuple[Published, ...]
    unfinished: Mapping[str, str]
    command: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with where it was run."""
        from dataclasses import asdict

        return {
            "rfplatform": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "command": self.command,
            "complete": not self.unfinished,
            "unfinished": dict(self.unfinished),
            "order": self.order,
            "questions": dict(self.asked),
            "unusable": dict(self.faults),
            "entrants": [_entrant_dict(e) for e in self.entrants],
            "gains": [{"what": g.what, **_part_dict(g.part)} for g in self.gains],
            "published": [asdict(p) for p in self.published],
            "rows": [row.to_dict() for row in self.rows],
        }


def _entrant_dict(entrant: Entrant) -> dict[str, Any]:
    told: dict[str, Any] = {"name": entrant.name, "kind": entrant.kind}
    if (answers := entrant.answers) is not None:
        told |= {
            "failed": answers.failed,
            "refused": answers.refused,
            "tokens": answers.tokens,
            "log": str(answers.log),
        }
    return told | {"scores": entrant.scores.to_dict()}


def _part_dict(part: Part) -> dict[str, Any]:
    from dataclasses import asdict

    return {"macro": asdict(part.macro), "weighted": asdict(part.weighted)}


def rows_of(entrants: Sequence[Entrant]) -> tuple[Row, ...]:
    """A row for each entrant and score, with the baseline's beside it."""
    baseline = next(e for e in entrants if e.name == BASELINE)
    beside = {case: score.value for case, score in cases_of(baseline.scores).items()}
    rows: list[Row] = []
    for entrant in entrants:
        names = (entrant.name, BASELINE)
        for case, score in cases_of(entrant.scores).items():
            note = f"95 % {score.low:.3f} to {score.high:.3f}, {score.count:,} questions"
            rows.append(
                Row(
                    NAME,
                    case,
                    "accuracy",
                    "",
                    *names,
                    (score.value,),
                    (beside.get(case, float("nan")),),
                    "higher",
                    note=note + _caveat(entrant),
                )
            )
        if entrant.kind == "model":
            unparsed = entrant.scores.unparsed
            rows.append(Row(NAME, "unparsed", "share of answers", "", *names, (unparsed,), (0.0,)))
    return tuple(rows)


def _caveat(entrant: Entrant) -> str:
    if entrant.answers is None or entrant.answers.complete:
        return ""
    return f"; unfinished, {entrant.answers.failed:,} lack an answer"


def cases_of(scores: Scores) -> dict[str, Score]:
    """Scores by the names of their cases; those that no question fell into are left out."""
    every: dict[str, Score] = {
        **scores.all_rows.by_difficulty,
        "macro": scores.all_rows.macro,
        "weighted": scores.all_rows.weighted,
        "macro, usable rows": scores.usable.macro,
        "weighted, usable rows": scores.usable.weighted,
        "negated": scores.negated,
        "not negated": scores.plain,
        "provided context": scores.with_context,
        "no provided context": scores.without_context,
    }
    return {case: score for case, score in every.items() if score.count}
