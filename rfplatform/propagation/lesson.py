"""A window as ray tracing lit it: what a network learns from, in arrays that fit a file.

Levels are kept in hundredths of a dB, heights in decimetres: far below what either is known to.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.propagation.process import TracingProcess
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.propagation.windows import Window, WindowConfig
from rfplatform.radiomap import BoolArray, Grid, RadioMap, Sector
from rfplatform.rasterize import height_raster
from rfplatform.staging import staged
from rfplatform.units import FloatArray

STEP_DB = 0.01
STEP_M = 0.1
NO_PATH = np.iinfo(np.int16).min
NO_ERROR = np.iinfo(np.uint16).max

PACKED_ARRAYS = (
    "height_dm",
    "outdoor",
    "path_gain_cdb",
    "standard_error_cdb",
    "los",
    "coarse_path_gain_cdb",
    "coarse_standard_error_cdb",
    "about",
)
"""What `packed` gives."""


@dataclass(frozen=True)
class TeacherConfig:
    """How windows are traced.

    Attributes
    ----------
    rays_per_sector : int
        Of the map that is learned.
    coarse_rays : tuple of int
        Of a second, coarse map with another seed; which of them, a window's number decides.
    seed : int
    max_depth : int
    """

    rays_per_sector: int = 4_000_000
    coarse_rays: tuple[int, ...] = (250_000, 1_000_000)
    seed: int = 1
    max_depth: int = 8

    def teacher(self, seed: int | None = None) -> RayTraced:
        """The tracer of the map that is learned."""
        return RayTraced(
            max_depth=self.max_depth,
            rays_per_sector=self.rays_per_sector,
            target_noise_db=0.0,
            seed=self.seed if seed is None else seed,
        )

    def coarse(self, number: int) -> RayTraced:
        """The tracer of the coarse map of a window."""
        return RayTraced(
            max_depth=self.max_depth,
            rays_per_sector=self.coarse_rays[number % len(self.coarse_rays)],
            target_noise_db=0.0,
            seed=self.seed + 1000,
        )


@dataclass(frozen=True, eq=False)
class Lesson:
    """A traced window.

    Attributes
    ----------
    town : str
    number : int
    sectors : tuple of Sector
        In the window's local metres.
    grid, surroundings : Grid
        Of the maps, and of the heights.
    height_m : ndarray, [num_y, num_x] of the surroundings, float32
        Tops of buildings above ground.
    outdoor : ndarray, [num_y, num_x], bool
    path_gain_db, standard_error_db : ndarray, [num_sectors, num_y, num_x], float32
        -inf and NaN where no path was found.
    los : ndarray, [num_sectors, num_y, num_x], bool
    coarse_path_gain_db, coarse_standard_error_db : ndarray, as `path_gain_db`
        Of fewer rays and another seed.
    about : mapping
        Where it lies and how it was traced.
    """

    town: str
    number: int
    sectors: tuple[Sector, ...]
    grid: Grid
    surroundings: Grid
    height_m: npt.NDArray[np.float32]
    outdoor: BoolArray
    path_gain_db: FloatArray
    standard_error_db: FloatArray
    los: BoolArray
    coarse_path_gain_db: FloatArray
    coarse_standard_error_db: FloatArray
    about: Mapping[str, Any]


def trace_window(
    window: Window, windows: WindowConfig, teacher: TeacherConfig, process: TracingProcess
) -> Lesson:
    """Trace a window's sectors, well and coarsely."""
    grid, around = windows.grid(), windows.surroundings()
    fine, coarse = (
        config.load(process=process)(window.scene, window.sectors, grid)
        for config in (teacher.teacher(), teacher.coarse(window.number))
    )
    return lesson(window, windows, fine, coarse, around)


def lesson(
    window: Window, windows: WindowConfig, fine: RadioMap, coarse: RadioMap, around: Grid
) -> Lesson:
    """A window with its two maps."""
    assert fine.los is not None
    assert fine.standard_error_db is not None
    assert coarse.standard_error_db is not None
    return Lesson(
        window.town,
        window.number,
        window.sectors,
        fine.grid,
        around,
        height_raster(window.scene, around),
        fine.outdoor,
        fine.path_gain_db,
        fine.standard_error_db,
        fine.los,
        coarse.path_gain_db,
        coarse.standard_error_db,
        {
            "town": window.town,
            "number": window.number,
            "center_m": window.center_m,
            "turned_deg": window.turned_deg,
            "building_share": window.building_share,
            "buildings": len(window.scene.buildings),
            "sectors": [asdict(s) for s in window.sectors],
            "windows": asdict(windows),
            "rays": fine.attrs["rays_per_sector"],
            "coarse_rays": coarse.attrs["rays_per_sector"],
            "noise_db": fine.attrs["noise_db"],
        },
    )


def packed(of: Lesson, key: str) -> dict[str, npt.NDArray[Any]]:
    """A lesson as small arrays; `key` names what decided it."""
    about = json.dumps({**of.about, "key": key})
    return {
        "height_dm": np.round(of.height_m / STEP_M).astype(np.uint16),
        "outdoor": of.outdoor,
        "path_gain_cdb": _levels(of.path_gain_db),
        "standard_error_cdb": _errors(of.standard_error_db),
        "los": of.los,
        "coarse_path_gain_cdb": _levels(of.coarse_path_gain_db),
        "coarse_standard_error_cdb": _errors(of.coarse_standard_error_db),
        "about": np.frombuffer(about.encode(), np.uint8),
    }


def unpacked(arrays: Mapping[str, npt.NDArray[Any]]) -> Lesson:
    """What `packed` was given."""
    about = json.loads(arrays["about"].tobytes())
    windows = WindowConfig(**about["windows"])
    return Lesson(
        about["town"],
        about["number"],
        tuple(Sector(**s) for s in about["sectors"]),
        windows.grid(),
        windows.surroundings(),
        (arrays["height_dm"] * np.float32(STEP_M)).astype(np.float32),
        arrays["outdoor"],
        _levels_db(arrays["path_gain_cdb"]),
        _errors_db(arrays["standard_error_cdb"]),
        arrays["los"],
        _levels_db(arrays["coarse_path_gain_cdb"]),
        _errors_db(arrays["coarse_standard_error_cdb"]),
        about,
    )


def write_lesson(of: Lesson, path: Path, key: str) -> None:
    """Write a traced window as one file that appears when it is whole; `key` as in `packed`."""
    with staged(path, overwrite=True) as partial:
        np.savez_compressed(partial, allow_pickle=False, **packed(of, key))


def read_lesson(path: Path) -> Lesson:
    """Read a file that `write_lesson` wrote.

    Raises
    ------
    InputError
        If it is no such file.
    """
    kept = read_packed(path)
    try:
        return unpacked(kept)
    except (ValueError, KeyError, TypeError) as error:
        raise _no_window(path, error) from error


def read_packed(path: Path, names: Collection[str] = PACKED_ARRAYS) -> dict[str, npt.NDArray[Any]]:
    """Read some of a file's arrays as `packed` gave them, and their checksums with them.

    Raises
    ------
    InputError
        If it is no such file.
    """
    import zipfile
    import zlib

    try:
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in names}
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise _no_window(path, error) from error
    except (AttributeError, TypeError) as error:  # one bare array, which has no names
        raise _no_window(path, error) from error


def _no_window(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: is damaged, or no traced window ({error})")


def _levels(level_db: FloatArray) -> npt.NDArray[np.int16]:
    found = np.isfinite(level_db)
    steps = np.round(np.where(found, level_db, 0.0) / STEP_DB)
    kept = np.clip(steps, NO_PATH + 1, np.iinfo(np.int16).max)
    return np.where(found, kept, NO_PATH).astype(np.int16)


def _levels_db(steps: npt.NDArray[np.int16]) -> FloatArray:
    level = (steps * np.float32(STEP_DB)).astype(np.float32)
    return np.where(steps == NO_PATH, np.float32(-np.inf), level)


def _errors(error_db: FloatArray) -> npt.NDArray[np.uint16]:
    known = np.isfinite(error_db)
    steps = np.round(np.where(known, error_db, 0.0) / STEP_DB)
    return np.where(known, np.clip(steps, 0, NO_ERROR - 1), NO_ERROR).astype(np.uint16)


def _errors_db(steps: npt.NDArray[np.uint16]) -> FloatArray:
    error = (steps * np.float32(STEP_DB)).astype(np.float32)
    return np.where(steps == NO_ERROR, np.float32(np.nan), error)
