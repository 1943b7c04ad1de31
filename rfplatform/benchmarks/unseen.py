"""Windows of towns that no training saw, each traced four times, and kept once they are.

Towns, windows and sectors come from the functions that training sets are drawn with, so that the
two differ in the town alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import queue
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.errors import InputError, MissingError
from rfplatform.propagation.lesson import TeacherConfig
from rfplatform.propagation.process import TracingProcess, environment
from rfplatform.propagation.raytraced import RayTraced, geometry_key
from rfplatform.propagation.windows import Town, Window, WindowConfig
from rfplatform.radiomap import BoolArray, Grid, Sector
from rfplatform.scene import Scene
from rfplatform.shipped import DATA_VARIABLE, data_folder
from rfplatform.units import FloatArray

TOWNS: Mapping[str, int] = MappingProxyType(
    {"helsinki": 5, "prague_vinohrady": 2, "melbourne_queensberry_victoria": 3}
)
"""Towns that are kept out of every training, and how many windows are drawn from each."""

SEED = 1
COARSE_RAYS = 1_000_000
MOST_SAMPLES = 200

APART_M = 250.0
"""Between the centres of a town's windows: of the first that are drawn, those that lie nearer to
one before are passed over, so that windows share hardly more than half of their cells."""

OTHER_LATTICES = 1.05
"""Rays of the teacher's second run over those of its first. A seed only changes the order of the
launches and the samples on edges: with as many rays, both would launch the very same lattices and
agree on every reflection, right or wrong. Counts that are some percent apart share none."""

MOST_PROCESSES = 8
MOST_DRAWN = 100

_LAYERS = ("path_gain_db", "standard_error_db")


def tracers() -> dict[str, RayTraced]:
    """How every window is traced.

    Returns
    -------
    dict
        "truth": as training sets are; "again": the same with another seed and other lattices;
        "tenth": with a tenth of the rays; "coarse": with `COARSE_RAYS`.
    """
    teacher = TeacherConfig()
    truth = teacher.teacher()
    rays = truth.rays_per_sector
    return {
        "truth": truth,
        "again": replace(
            teacher.teacher(truth.seed + 1), rays_per_sector=round(rays * OTHER_LATTICES)
        ),
        "tenth": replace(teacher.teacher(truth.seed + 1000), rays_per_sector=rays // 10),
        "coarse": replace(teacher.teacher(truth.seed + 1000), rays_per_sector=COARSE_RAYS),
    }


@dataclass(frozen=True, eq=False)
class TracedLevels:
    """One tracing of a window, [num_sectors, num_y, num_x] each.

    Attributes
    ----------
    path_gain_db : ndarray, float32
        -inf: no path.
    standard_error_db : ndarray, float32
        NaN: no path.
    """

    path_gain_db: FloatArray
    standard_error_db: FloatArray


@dataclass(frozen=True, eq=False)
class UnseenWindow:
    """A window with its tracings.

    Attributes
    ----------
    town : str
    number : int
    scene : Scene
    sectors : tuple of Sector
    grid : Grid
    outdoor : ndarray, [num_y, num_x], bool
    los : ndarray, [num_sectors, num_y, num_x], bool
    traced : mapping
        From the names of `tracers`.
    """

    town: str
    number: int
    scene: Scene
    sectors: tuple[Sector, ...]
    grid: Grid
    outdoor: BoolArray
    los: BoolArray
    traced: Mapping[str, TracedLevels]

    @property
    def label(self) -> str:
        """Unique name: "town number"."""
        return f"{self.town} {self.number}"

    def truth_db(self, sector: int) -> FloatArray:
        """Path gain of one sector at the outdoor cells, row by row from the south, [n]."""
        return np.asarray(self.traced["truth"].path_gain_db[sector][self.outdoor])

    def sampled(self, sector: int) -> npt.NDArray[np.intp]:
        """Cells that a sector's samples are taken at, in their order.

        Drawn from the outdoor cells in which the truth has a path: at most `MOST_SAMPLES`, and
        no more than half of them.

        Returns
        -------
        ndarray of int
            Indices into the outdoor cells. The first K are the K samples.
        """
        reached = np.flatnonzero(np.isfinite(self.truth_db(sector)))
        rng = np.random.default_rng([SEED, zlib.crc32(self.town.encode()), self.number, sector])
        return rng.permutation(reached)[: min(MOST_SAMPLES, len(reached) // 2)]

    def cells_m(self) -> tuple[FloatArray, FloatArray]:
        """X and y of the outdoor cells' centres, [n] each."""
        row, column = np.nonzero(self.outdoor)
        return self.grid.x_m()[column], self.grid.y_m()[row]


def extract_of(town: str) -> Path:
    """The file of a town.

    Raises
    ------
    MissingError
        If it is not there; the message tells what to do.
    """
    from rfplatform.geodata.place import BuiltIn

    if town == "helsinki":
        return BuiltIn(town).path()
    path = data_folder() / "osm" / f"{town}.osm.pbf"
    if not path.is_file():
        where = f"set {DATA_VARIABLE} to a folder that holds it"
        raise MissingError(f"osm/{path.name} is not there: {where}")
    return path


def town_of(name: str) -> Town:
    """A town to draw windows from.

    Raises
    ------
    MissingError
        If its extract is not there.
    """
    from rfplatform.geodata.build import build_scene
    from rfplatform.geodata.osm import read_osm_file

    return Town.of(name, build_scene(read_osm_file(extract_of(name)), name))


def draw(town: str, count: int) -> list[Window]:
    """Windows of a town that lie `APART_M` apart, with the bounds and the seed of training sets.

    Raises
    ------
    InputError
        If the town is too small for so many.
    """
    drawn, found = town_of(town), list[Window]()
    for number in range(MOST_DRAWN):
        window = drawn.window(number, WindowConfig(), SEED)
        if all(math.dist(window.center_m, other.center_m) >= APART_M for other in found):
            found.append(window)
        if len(found) == count:
            return found
    raise InputError(
        f"{town}: only {len(found)} of {MOST_DRAWN} windows lie {APART_M:g} m apart: ask for fewer"
    )


def cache_folder() -> Path:
    """Where traced windows are kept: in the user's cache."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("rfplatform")) / "unseen-windows"


def window_key(window: Window, configs: Mapping[str, RayTraced]) -> str:
    """Hash of all that decides a window's tracings."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        sionna = version("sionna-rt")
    except PackageNotFoundError as error:
        raise MissingError("ray tracing needs sionna-rt: pip install sionna-rt") from error
    decided_by = {
        "rfplatform": __version__,
        "sionna-rt": sionna,
        "geometry": geometry_key(window.scene),
        "sectors": [asdict(sector) for sector in window.sectors],
        "windows": asdict(WindowConfig()),
        "tracers": {name: asdict(config) for name, config in configs.items()},
    }
    return hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()


def open_window(window: Window, process: TracingProcess, folder: Path) -> UnseenWindow:
    """A window with its tracings, from the cache where they are there."""
    from rfplatform.staging import staged

    configs = tracers()
    path = folder / f"{window.town}-{window.number}-{window_key(window, configs)[:16]}.npz"
    arrays = _kept(path, configs)
    if arrays is None:
        arrays = _trace(window, configs, process)
        with staged(path, overwrite=True) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return UnseenWindow(
        window.town,
        window.number,
        window.scene,
        window.sectors,
        WindowConfig().grid(),
        arrays["outdoor"],
        arrays["los"],
        {name: TracedLevels(*(arrays[f"{name}_{layer}"] for layer in _LAYERS)) for name in configs},
    )


def _trace(
    window: Window, configs: Mapping[str, RayTraced], process: TracingProcess
) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, config in configs.items():
        made = config.load(process=process)(window.scene, window.sectors, WindowConfig().grid())
        assert made.los is not None
        assert made.standard_error_db is not None
        arrays[f"{name}_path_gain_db"] = made.path_gain_db
        arrays[f"{name}_standard_error_db"] = made.standard_error_db
        arrays["outdoor"], arrays["los"] = made.outdoor, made.los
    return arrays


def _kept(path: Path, configs: Mapping[str, RayTraced]) -> dict[str, npt.NDArray[Any]] | None:
    """What a file of the cache holds; None where it is not there or not whole."""
    import zipfile

    if not path.is_file():
        return None
    try:
        with np.load(path) as kept:
            arrays = dict(kept)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    wanted = {"outdoor", "los", *(f"{name}_{layer}" for name in configs for layer in _LAYERS)}
    return arrays if wanted <= set(arrays) else None


@contextmanager
def traced(windows: Sequence[Window], folder: Path) -> Iterator[list[Future[UnseenWindow]]]:
    """Trace windows in some processes at a time: ``with traced(...) as futures``.

    Each process has one thread, so that the same window has the same bits on every CPU of a kind.
    At the end of the block, what has not been traced is given up.

    Raises
    ------
    MissingError
        If the machine lacks what ray tracing needs.
    """
    environment()
    count = max(1, min(os.cpu_count() or 1, MOST_PROCESSES, len(windows)))
    idle: queue.SimpleQueue[TracingProcess] = queue.SimpleQueue()
    with ExitStack() as stack:
        processes = [stack.enter_context(TracingProcess(threads=1)) for _ in range(count)]
        for process in processes:
            idle.put(process)
        pool = ThreadPoolExecutor(count, "unseen-window")
        # From the last to the first: take nothing new, cut short what runs, wait for that.
        stack.callback(pool.shutdown, wait=True)
        for process in processes:
            stack.callback(process.close)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)

        def one(window: Window) -> UnseenWindow:
            process = idle.get()
            try:
                return open_window(window, process, folder)
            finally:
                idle.put(process)

        yield [pool.submit(one, window) for window in windows]
