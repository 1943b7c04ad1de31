"""Everything that is wrong with a jobs file, told at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rfplatform.errors import InputError

_MOST_LISTED = 3


class JobsError(InputError):
    """A jobs file that can't be used: one line in all, and one for each fault.

    Attributes
    ----------
    lines : tuple of str
        A fault that several jobs share is one line, with their rows.
    """

    def __init__(self, summary: str, lines: Sequence[str]) -> None:
        super().__init__(summary)
        self.lines = tuple(lines)


@dataclass
class Faults:
    """Everything that is wrong: where, by what is."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, where: str, text: str) -> None:
        self.found.setdefault(text, []).append(where)

    def error(self, path: Path, rows: Iterable[str], noun: str) -> JobsError:
        # In the file's order; what is wrong with the whole file comes first.
        found = sorted(self.found.items(), key=lambda fault: _number_of(fault[1][0]))
        lines = [listed(places) + text for text, places in found]
        bad = {_entry(place) for places in self.found.values() for place in places if place}
        total = bad | {_entry(row) for row in rows}
        count = f"{len(lines)} fault" + ("" if len(lines) == 1 else "s")
        if bad:
            return JobsError(f"{path}: {count} in {len(bad):,} of {len(total):,} {noun}", lines)
        return JobsError(f"{path}: {lines[0] if len(lines) == 1 else count}", lines)


def _entry(where: str) -> str:
    """The row or table, whatever was expanded of it."""
    return where.partition(",")[0]


def _number_of(where: str) -> int:
    digits = re.search(r"\d+", where)
    return int(digits[0]) if digits else 0


def listed(places: Sequence[str]) -> str:
    """Some places, and how many more there are, as the beginning of a line."""
    named = list(dict.fromkeys(place for place in places if place))
    if not named:
        return ""
    more = len(named) - _MOST_LISTED
    return "; ".join(named[:_MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "") + ": "
