"""What an artifact was made from, and those from what, as a tree."""

# ruff: noqa: S608  (only texts of this file are pasted into SQL; values are bound)

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Lineage:
    """An artifact and what it was made from.

    Attributes
    ----------
    ref : str
    kind : str
        Empty where only the name is known: the artifact is not here.
    parents : tuple of Lineage
        In the artifact's own order.
    repeated : bool
        Whether it appeared further up, or earlier: its parents are shown there.
    """

    ref: str
    kind: str
    parents: tuple[Lineage, ...] = ()
    repeated: bool = False

    @property
    def here(self) -> bool:
        """Whether more than its name is known."""
        return bool(self.kind)


_ANCESTORS = """
WITH RECURSIVE reached (id) AS (
    SELECT ? UNION SELECT parent FROM reached JOIN parents ON child = reached.id
)
"""


def ancestors(db: sqlite3.Connection, key: int) -> list[int]:
    """Numbers of all that are here of what an artifact was made from, directly or not."""
    found = db.execute(
        f"{_ANCESTORS} SELECT id FROM reached JOIN artifacts USING (id) WHERE id != ?", (key, key)
    )
    return [i for (i,) in found]


def lineage(db: sqlite3.Connection, key: int) -> Lineage:
    """The tree above an artifact, in which each is expanded once, so that circles end, too."""
    names: dict[int, tuple[str, str]] = {
        i: (ref, kind or "")
        for i, ref, kind in db.execute(
            f"{_ANCESTORS} SELECT id, name || '@' || version, kind FROM reached"
            " JOIN refs USING (id) LEFT JOIN artifacts USING (id)",
            (key,),
        )
    }
    edges: dict[int, list[int]] = {}
    for child, parent in db.execute(
        f"{_ANCESTORS} SELECT child, parent FROM reached JOIN parents ON child = reached.id"
        " ORDER BY child, position",
        (key,),
    ):
        edges.setdefault(child, []).append(parent)
    return _grown(key, names, edges)


def _grown(root: int, names: dict[int, tuple[str, str]], edges: dict[int, list[int]]) -> Lineage:
    """Depth first, without recursion, as a chain of versions may be thousands long."""
    seen = {root}
    branch: list[tuple[int, Iterator[int], list[Lineage]]] = [(root, iter(edges.get(root, ())), [])]
    while True:
        key, rest, grown = branch[-1]
        parent = next(rest, None)
        if parent is None:
            branch.pop()
            whole = Lineage(*names[key], tuple(grown))
            if not branch:
                return whole
            branch[-1][2].append(whole)
        elif parent in seen:
            # One without parents of its own has nothing to show elsewhere.
            grown.append(Lineage(*names[parent], repeated=parent in edges))
        else:
            seen.add(parent)
            branch.append((parent, iter(edges.get(parent, ())), []))
