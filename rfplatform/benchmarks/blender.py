"""What the way through Blender costs: a scene to a file and back, beside the direct builder."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.doctor import BLENDER_REMEDY
from rfplatform.shipped import DATA_VARIABLE, data_folder

if TYPE_CHECKING:
    from rfplatform.scene import Scene

ROUND_TRIP_S = 60.0
MOST_BUILDINGS = 10_000
"""The target holds for so many; a larger extract is cut to them."""


@dataclass(frozen=True)
class BlenderRun:
    """A scene that became meshes on disk.

    Attributes
    ----------
    buildings : int
    seconds : float
        From buildings with heights to ``shells.xml`` and its meshes.
    """

    buildings: int
    seconds: float


def _cases() -> Iterator[Case]:
    from rfplatform.geodata.load import load_scene
    from rfplatform.geodata.place import BuiltIn, FileSource

    monaco = data_folder() / "osm" / "monaco.osm.pbf"
    absent = importlib.util.find_spec("bpy") is None
    for name, path in (("helsinki", BuiltIn("helsinki").path()), ("monaco", monaco)):
        if absent:
            yield Case(name, skip=f"Blender (bpy) is not installed: {BLENDER_REMEDY}")
        elif not path.is_file():
            where = f"set {DATA_VARIABLE} to a folder that holds it"
            yield Case(name, skip=f"osm/{path.name} is not there: {where}")
        else:
            scene = load_scene(FileSource(path, "osm"))
            scene = replace(scene, buildings=scene.buildings[:MOST_BUILDINGS])
            yield Case(name, scene, note=f"{len(scene.buildings):,} buildings")


def _through_blender(scene: Scene) -> BlenderRun:
    from rfplatform.blender.read import read_blend
    from rfplatform.blender.write import write_blend

    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        started = time.perf_counter()
        blend = Path(folder) / "city.blend"
        write_blend(scene, blend)
        read_blend(blend, folder)
        return BlenderRun(len(scene.buildings), time.perf_counter() - started)


def _direct(scene: Scene) -> BlenderRun:
    from rfplatform.formats.mitsuba import write_scene

    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        started = time.perf_counter()
        write_scene(scene, Path(folder))
        return BlenderRun(len(scene.buildings), time.perf_counter() - started)


BLENDER: Benchmark[BlenderRun] = Benchmark(
    "speed:blender",
    "Buildings to meshes on disk through a Blender file, written and read, beside the direct way",
    _cases,
    (
        Metric("time", "s", lambda run, _: run.seconds, "lower", ROUND_TRIP_S),
        Metric("pace", "buildings/s", lambda run, _: run.buildings / run.seconds, "higher"),
    ),
    baseline=Predictor("formats.mitsuba, direct", _direct),
    subject=Predictor("through Blender, two processes", _through_blender),
    repeats=1,
)
