"""The process that answers at once: it keeps areas open, and maps drafts by closed formulas.

Requests are lines of JSON on standard input, answers lines of JSON on standard output. What is made
lies on the disk, and an answer says where.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.desk.area import area_key, draw_area, read_area
from pipelines.desk.display import (
    difference,
    display_of_output,
    read_display,
    required_display,
)
from pipelines.desk.draft import Draft
from pipelines.desk.quick import QuickMaps
from pipelines.desk.workspace import Workspace
from pipelines.map import checked, titled
from pipelines.scene import open_scene, parse_where
from rfplatform.errors import InputError, RfplatformError
from rfplatform.formats.display import ABOUT, write_display
from rfplatform.geodata.load import source_path
from rfplatform.geodata.place import BlendFile, SceneFile, Source, parse_area
from rfplatform.geodata.sites import place_sectors
from rfplatform.geodata.terrain import DEFAULT_RESOLUTION_M
from rfplatform.planning.layers import planning_layers
from rfplatform.propagation.path_profile import path_profile
from rfplatform.radiomap import Grid
from rfplatform.scene import Area, LocalArea, Scene
from rfplatform.staging import staged

OPEN_AREAS = 4
"""Scenes that a process keeps; the one that was used longest ago goes first."""

MOST_CELLS = 4_000_000
"""Of all sectors together, in a quick map: beyond, it would not be quick."""

KEPT_PREVIEWS = 64
KEPT_FOR_S = 3600.0
"""Previews beyond the last so many go, once they are as old as this."""

QUICK = ("tr38901-uma", "tr38901-umi", "tr38901-rma", "free-space")
"""Solvers that answer while a slider moves."""


@dataclass(frozen=True, eq=False)
class _Open:
    """An area that is open."""

    key: str
    source: Source
    bbox: Area | LocalArea | None
    scene: Scene


@dataclass
class Desk:
    """What one process holds."""

    workspace: Workspace
    areas: OrderedDict[tuple[str, str | None], _Open] = field(default_factory=OrderedDict)
    quick: QuickMaps = field(default_factory=QuickMaps)

    def area(self, draft: Draft) -> dict[str, Any]:
        """Open a draft's area and draw it, if that was not done; {"area": its key}."""
        opened = self._opened(draft)
        folder = self.workspace.areas / opened.key
        if read_area(folder) is None:
            draw_area(opened.source, opened.scene, folder, opened.bbox)
        return {"area": opened.key}

    def map(self, draft: Draft) -> dict[str, Any]:
        """Map a draft by its closed formula; {"preview": its name, "area": its area's key}."""
        if draft.solver not in QUICK:
            raise InputError(f"{draft.solver}: is no quick solver ({', '.join(QUICK)})")
        opened = self._opened(draft)
        name = _named(draft.to_dict(), opened.key)
        folder = self.workspace.previews / name
        if read_display(folder) is None:
            self._map(draft, opened, folder)
        os.utime(folder)
        return {"preview": name, **self.area(draft)}

    def _map(self, draft: Draft, opened: _Open, folder: Path) -> None:
        scene = opened.scene
        with _sites_file(folder) as sites:
            config = draft.map_config(self.workspace, sites)
            plan = checked(config, opened.source)
        sectors = place_sectors(plan.rows, scene)
        grid = Grid.covering(
            scene.area.bounds_m(scene.frame),
            scene.frame,
            config.resolution_m,
            config.receiver_height_m,
        )
        cells = grid.num_x * grid.num_y * len(sectors)
        if cells > MOST_CELLS:
            raise InputError(
                f"{cells / 1e6:.0f} million cells over all sectors are too many for a quick map "
                f"({MOST_CELLS / 1e6:.0f} million): take larger cells or a part of the area, or "
                "start a job"
            )
        place = (opened.key, draft.terrain, draft.solver)
        solved = self.quick.solve(place, plan.solver.load(None), scene, sectors, grid)
        radio_map = titled(solved, scene)
        planning = planning_layers(radio_map, plan.assumptions)
        with staged(folder, overwrite=True) as partial:
            partial.mkdir()
            write_display(
                radio_map,
                planning,
                partial,
                title=scene.area.name,
                attribution=scene.attribution,
            )

    def profile(self, draft: Draft, label: str, lon_deg: float, lat_deg: float) -> dict[str, Any]:
        """The way from a sector's antenna to a point; see `path_profile`."""
        opened = self._opened(draft)
        rows = [r for r in draft.resolved_rows(self.workspace) if r.label == label]
        if not rows:
            raise InputError(f"no sector {label!r} in this plan")
        (sector,) = place_sectors(rows, opened.scene)
        x_m, y_m = opened.scene.frame.from_lonlat([lon_deg], [lat_deg])
        if not (math.isfinite(x_m[0]) and math.isfinite(y_m[0])):
            raise InputError(f"lon {lon_deg:g}, lat {lat_deg:g}: lies far from this area")
        profile = path_profile(
            opened.scene, sector, float(x_m[0]), float(y_m[0]), draft.receiver_height_m
        )
        return profile.to_dict()

    def difference(self, first: Path, second: Path, titles: tuple[str, str]) -> dict[str, Any]:
        """A display of the second map less the first; {"preview": its name}."""
        for path in (first, second):
            required_display(path)
        named = [(str(path), (path / ABOUT).stat().st_mtime) for path in (first, second)]
        name = _named({"difference": named, "titles": titles}, "")
        folder = self.workspace.previews / name
        if read_display(folder) is None:
            difference(first, second, folder, titles=titles)
        return {"preview": name}

    def display(self, out: Path, folder: Path) -> dict[str, Any]:
        """What is shown of a finished map, if that was not made."""
        if read_display(folder) is None:
            display_of_output(out, folder)
        return {"display": str(folder)}

    def _opened(self, draft: Draft) -> _Open:
        source = parse_area(self.workspace.resolved(draft.area))
        if isinstance(source, SceneFile | BlendFile):
            raise InputError(
                f"{draft.area}: scenes made elsewhere are for `rfplatform map`; the dashboard "
                "takes extracts, footprints and boxes"
            )
        key = area_key(draft.area, draft.bbox, source_path(source))
        # The ground is in the scene, and not in what is drawn of the area.
        held = (key, draft.terrain)
        if held in self.areas:
            self.areas.move_to_end(held)
            return self.areas[held]
        box, frame = parse_where(source, draft.bbox, None)
        terrain = draft.terrain_path(self.workspace)
        scene, _ = open_scene(source, box, frame, terrain, DEFAULT_RESOLUTION_M)
        self.areas[held] = _Open(key, source, box, scene)
        while len(self.areas) > OPEN_AREAS:
            self.areas.popitem(last=False)
        return self.areas[held]


def _named(values: Mapping[str, Any], more: str) -> str:
    text = json.dumps(values, sort_keys=True) + more
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class _sites_file:  # noqa: N801  (a context manager)
    """A place for a site list, removed afterwards."""

    def __init__(self, folder: Path) -> None:
        self.path = folder.with_name(f".{folder.name}.{os.getpid()}.sites.csv")

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        self.path.unlink(missing_ok=True)
        if isinstance(error, InputError):  # Nobody has seen this file.
            raise InputError(str(error).removeprefix(f"{self.path}: ")) from error


def prune(workspace: Workspace) -> None:
    """Remove old previews beyond the last `KEPT_PREVIEWS`."""
    aged = []
    for folder in workspace.previews.iterdir():
        with suppress(FileNotFoundError):
            aged.append((folder.stat().st_mtime, folder))
    before = time.time() - KEPT_FOR_S
    for changed, folder in sorted(aged, reverse=True)[KEPT_PREVIEWS:]:
        if changed < before:
            shutil.rmtree(folder, ignore_errors=True)


def answered(desk: Desk, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request.

    Raises
    ------
    InputError
        It can't be answered, and why.
    """
    do = request["do"]
    answers: Mapping[str, Callable[[], dict[str, Any]]] = {
        "area": lambda: desk.area(Draft.from_dict(request["draft"])),
        "map": lambda: desk.map(Draft.from_dict(request["draft"])),
        "profile": lambda: desk.profile(
            Draft.from_dict(request["draft"]), request["sector"], request["lon"], request["lat"]
        ),
        "difference": lambda: desk.difference(
            Path(request["first"]), Path(request["second"]), tuple(request["titles"])
        ),
        "display": lambda: desk.display(Path(request["out"]), Path(request["folder"])),
    }
    return answers[do]()


def main(root: str) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Whatever a library prints is no answer.
    desk = Desk(Workspace.open(root))
    answers.write('{"ready": true}\n')
    answers.flush()
    for number, line in enumerate(sys.stdin):
        try:
            answer = answered(desk, json.loads(line))
        except RfplatformError as error:
            answer = {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:  # noqa: BLE001  (one request's fault must not end the next)
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}", "exit_code": 1}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if number % 20 == 0:
            prune(desk.workspace)


if __name__ == "__main__":
    main(sys.argv[1])
