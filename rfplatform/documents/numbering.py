"""Word's automatic numbers of paragraphs, computed as Word shows them (ECMA-376, part 1, 17.9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DEEPEST = 9
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


def roman(number: int) -> str:
    """A number in small Roman numerals."""
    found = ""
    for value, letters in _ROMAN:
        count, number = divmod(number, value)
        found += letters * count
    return found


def letter(number: int) -> str:
    """Letters from a to z, then from aa to zz, as Word counts."""
    return chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1) if number > 0 else ""


_FORMATS: dict[str, Callable[[int], str]] = {
    "decimalZero": lambda number: f"{number:02d}",
    "lowerLetter": letter,
    "upperLetter": lambda number: letter(number).upper(),
    "lowerRoman": roman,
    "upperRoman": lambda number: roman(number).upper(),
    "none": lambda _: "",
}
BULLET = "-"


@dataclass(frozen=True)
class _Level:
    start: int = 1
    kind: str = "decimal"
    text: str = ""
    restart: int | None = None
    legal: bool = False
    style: str = ""


@dataclass(frozen=True)
class _List:
    """An instance of a numbering: which counters it uses, and where it begins anew."""

    abstract: str
    levels: dict[int, _Level]
    starts: dict[int, int]


@dataclass
class Numbering:
    """The numbers of a document's paragraphs, counted from its first to its last.

    Attributes
    ----------
    lists : dict
        By the id that paragraphs and styles refer to.
    """

    lists: dict[str, _List]
    _counts: dict[str, list[int | None]] = field(default_factory=dict)
    _begun: set[tuple[str, int]] = field(default_factory=set)

    def level_of_style(self, list_id: str, style_id: str) -> int:
        """The level that a list gives to a style; 0 where it names none."""
        found = self.lists.get(list_id)
        levels = found.levels if found else {}
        return next((i for i, level in levels.items() if level.style == style_id), 0)

    def next(self, list_id: str, level: int) -> str:
        """Count a paragraph, and give the number that Word shows before it.

        Parameters
        ----------
        list_id : str
        level : int
            From 0.

        Returns
        -------
        str
            Such as "7.2.1", "Annex A" or "a)"; "-" for a bullet, "" where there is none.
        """
        found = self.lists.get(list_id)
        if found is None or not 0 <= level < _DEEPEST:
            return ""
        own = found.levels.get(level, _Level())
        counts = self._counts.setdefault(found.abstract, [None] * _DEEPEST)
        if level in found.starts and (list_id, level) not in self._begun:
            counts[level] = found.starts[level]
        else:
            before = counts[level]
            counts[level] = own.start if before is None else before + 1
        self._begun.add((list_id, level))
        for above in range(level):
            if counts[above] is None:
                counts[above] = found.levels.get(above, _Level()).start
        for below in range(level + 1, _DEEPEST):
            restart = found.levels.get(below, _Level()).restart
            # By default a level begins anew after any level above it, with 0 never.
            if restart is None or level < restart:
                counts[below] = None
        if own.kind == "bullet":
            return BULLET
        return self._shown(found, own, counts)

    def _shown(self, found: _List, own: _Level, counts: list[int | None]) -> str:
        def part(match: re.Match[str]) -> str:
            index = int(match[1]) - 1
            count = counts[index]
            if count is None:
                return ""
            kind = found.levels.get(index, _Level()).kind
            if own.legal and kind not in {"none", "bullet"}:
                kind = "decimal"
            return _FORMATS.get(kind, str)(count)

        return re.sub(r"%([1-9])", part, own.text).strip()


def numbering_of(element: Any | None) -> Numbering:  # noqa: ANN401  (an element of lxml)
    """The numbering that a part ``numbering.xml`` defines.

    Parameters
    ----------
    element : lxml element, optional
        Its root; None where a document has none.
    """
    if element is None:
        return Numbering({})
    abstracts = {a.get(f"{_W}abstractNumId"): a for a in element.findall(f"{_W}abstractNum")}
    by_style = {}
    for key, abstract in abstracts.items():
        if (link := abstract.find(f"{_W}styleLink")) is not None:
            by_style[link.get(f"{_W}val")] = key
    lists = {}
    for num in element.findall(f"{_W}num"):
        key = _value(num, "abstractNumId")
        if key in abstracts:
            # A list may stand for that of a numbering style.
            key = by_style.get(_value(abstracts[key], "numStyleLink"), key)
        if key not in abstracts:
            continue
        levels = dict(_level(lvl) for lvl in abstracts[key].findall(f"{_W}lvl"))
        starts = {}
        for override in num.findall(f"{_W}lvlOverride"):
            index = _integer(override.get(f"{_W}ilvl"), 0)
            if (own := override.find(f"{_W}lvl")) is not None:
                levels[index] = _level(own)[1]
            if start := _value(override, "startOverride"):
                starts[index] = _integer(start, 1)
        lists[num.get(f"{_W}numId")] = _List(key, levels, starts)
    return Numbering(lists)


def _level(element: Any) -> tuple[int, _Level]:  # noqa: ANN401
    restart = _value(element, "lvlRestart")
    legal = element.find(f"{_W}isLgl")
    return _integer(element.get(f"{_W}ilvl"), 0), _Level(
        start=_integer(_value(element, "start"), 1),
        kind=_value(element, "numFmt") or "decimal",
        text=_value(element, "lvlText"),
        restart=_integer(restart, 0) if restart else None,
        legal=legal is not None and legal.get(f"{_W}val") not in {"0", "false"},
        style=_value(element, "pStyle"),
    )


def _value(element: Any, name: str) -> str:  # noqa: ANN401
    found = element.find(f"{_W}{name}")
    return "" if found is None else found.get(f"{_W}val") or ""


def _integer(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"-?\d{1,5}", text) else otherwise
