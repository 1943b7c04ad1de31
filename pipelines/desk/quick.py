"""Maps by closed formulas, put together of sectors: what did not move is not computed again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rfplatform.radiomap import Grid, RadioMap, RadioMapSolver, Sector
from rfplatform.scene import Scene

REMEMBERED_BYTES = 256 << 20


@dataclass
class QuickMaps:
    """A deterministic solver's maps, put together from those of single sectors.

    The closed formulas know no sector but their own: a map of many is theirs side by side.
    """

    _known: OrderedDict[Hashable, RadioMap] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def solve(
        self,
        place: Hashable,
        solver: RadioMapSolver,
        scene: Scene,
        sectors: Sequence[Sector],
        grid: Grid,
    ) -> RadioMap:
        """The map of some sectors, at least one.

        Parameters
        ----------
        place : hashable
            What the scene and the solver are known by.
        solver : RadioMapSolver
        scene : Scene
        sectors : sequence of Sector
        grid : Grid
        """
        keys = [(place, grid, sector) for sector in sectors]
        new = [s for key, s in zip(keys, sectors, strict=True) if key not in self._known]
        if new:
            solved = solver(scene, new, grid)
            for number, sector in enumerate(new):
                self._remember((place, grid, sector), _of_sector(solved, number))
        parts = [self._known[key] for key in keys]
        for key in keys:
            self._known.move_to_end(key)
        self._forget(len(keys))
        los = [part.los for part in parts if part.los is not None]
        return replace(
            parts[0],
            sectors=tuple(sectors),
            path_gain_db=np.concatenate([part.path_gain_db for part in parts]),
            los=np.concatenate(los) if len(los) == len(parts) else None,
        )

    def _remember(self, key: Hashable, part: RadioMap) -> None:
        self._known[key] = part
        self._bytes += _size(part)

    def _forget(self, in_use: int) -> None:
        """Let go of what was used longest ago."""
        while self._bytes > REMEMBERED_BYTES and len(self._known) > in_use:
            _, part = self._known.popitem(last=False)
            self._bytes -= _size(part)


def _of_sector(radio_map: RadioMap, number: int) -> RadioMap:
    one = slice(number, number + 1)
    return replace(
        radio_map,
        sectors=radio_map.sectors[one],
        path_gain_db=radio_map.path_gain_db[one].copy(),
        los=None if radio_map.los is None else radio_map.los[one].copy(),
    )


def _size(part: RadioMap) -> int:
    return part.path_gain_db.nbytes + (0 if part.los is None else part.los.nbytes)
