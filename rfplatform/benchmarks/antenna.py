"""Does a traced map follow the antenna file? Direction and gain over angle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rfplatform.antennas import CutPattern, example_panel, read_msi, write_msi
from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.propagation.raytraced import RayTraced, Tracer, tracer
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.scene import Area, Scene
from rfplatform.units import FloatArray, linear_to_db, wavelength_m

RADIUS_M = 200.0
HEIGHT_M = 40.0
MOUNTS = ((0.0, 0.0), (130.0, 6.0), (305.0, 2.5))
"""Azimuth and mechanical downtilt."""

MAX_ATTENUATION_DB = 25.0
"""Gains are compared where the file is within so much of its maximum."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A worker that is open on empty, flat ground, and what it traces."""

    trace: Tracer
    scene: Scene
    sector: Sector
    grid: Grid
    config: RayTraced


@dataclass(frozen=True, eq=False)
class Gains:
    """Gains towards directions, in dBi: over azimuths, over downtilts, and over the map.

    Attributes
    ----------
    azimuth_dbi : ndarray
        At `AZIMUTHS_DEG` (from north), on the cone of the main lobe.
    down_dbi : ndarray
        At `DOWN_DEG` in the vertical plane of the sector's azimuth.
    map_dbi : ndarray
        Of every cell, towards its centre, [num_y, num_x].
    """

    azimuth_dbi: FloatArray
    down_dbi: FloatArray
    map_dbi: FloatArray


AZIMUTHS_DEG = np.arange(0.0, 360.0, 1.0)
DOWN_DEG = np.arange(-40.0, 40.25, 0.25)


def _cases() -> Iterator[Case]:
    """Our own panel, written as a file and read back, at three mounts."""
    area = Area("plain", 24.99, 0.005, 25.0, 0.015)
    scene = Scene(area, area.frame(), ())
    grid = Grid(scene.frame, -400.0, -400.0, 4.0, 200, 200, 1.5)
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        path = Path(folder) / "panel.msi"
        write_msi(example_panel(), path)
        pattern = read_msi(path)
        for azimuth_deg, tilt_deg in MOUNTS:
            sector = Sector(
                "mast", "1", 0.0, 0.0, HEIGHT_M, azimuth_deg, tilt_deg, antenna=str(path)
            )
            config = RayTraced(max_depth=0, rays_per_sector=4_000_000, diffraction=False)
            with tracer(scene, [sector], grid, config) as trace:
                setting = Setting(trace, scene, sector, grid, config)
                yield Case(f"azimuth {azimuth_deg:g}, downtilt {tilt_deg:g}", setting, (
                    sector, _expected(pattern, sector, grid)
                ))  # fmt: skip


def _directions(sector: Sector) -> tuple[FloatArray, FloatArray]:
    """Unit vectors of both sweeps, [num, 3]: azimuths on the lobe's cone, and downtilts."""

    def vectors(azimuth_deg: FloatArray, down_deg: FloatArray) -> FloatArray:
        azimuth, down = np.radians(azimuth_deg), np.radians(down_deg)
        return np.stack(
            [np.sin(azimuth) * np.cos(down), np.cos(azimuth) * np.cos(down), -np.sin(down)], axis=1
        )

    lobe_deg = sector.downtilt_deg + (example_panel().electrical_tilt_deg or 0.0)
    return (
        vectors(AZIMUTHS_DEG, np.full_like(AZIMUTHS_DEG, lobe_deg)),
        vectors(np.full_like(DOWN_DEG, sector.azimuth_deg), DOWN_DEG),
    )


def _expected(pattern: CutPattern, sector: Sector, grid: Grid) -> Gains:
    """The file's gains in world directions, turned with matrices of its own."""
    sweeps = _directions(sector)
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    cells = np.stack(
        [x - sector.x_m, y - sector.y_m, np.full_like(x, grid.receiver_height_m - sector.z_m)],
        axis=-1,
    )
    return Gains(*(_turned_gain(pattern, sector, v) for v in (*sweeps, cells)))


def _turned_gain(pattern: CutPattern, sector: Sector, direction: FloatArray) -> FloatArray:
    azimuth, tilt = np.radians([sector.azimuth_deg, sector.downtilt_deg])
    ahead = np.array(
        [np.sin(azimuth) * np.cos(tilt), np.cos(azimuth) * np.cos(tilt), -np.sin(tilt)]
    )
    right = np.array([np.cos(azimuth), -np.sin(azimuth), 0.0])
    above = np.cross(right, ahead)
    length = np.linalg.norm(direction, axis=-1)
    up = np.clip(direction @ above / length, -1.0, 1.0)
    phi = -np.arctan2(direction @ right, direction @ ahead)
    return pattern.gain_dbi(np.arccos(up), phi)


def _traced(setting: Setting) -> Gains:
    """Gains out of Sionna's exact paths to points around the antenna, and out of a map."""
    made = setting.config.solve_with(setting.trace, setting.scene, [setting.sector], setting.grid)
    return _gains(setting, made)


def _gains(setting: Setting, made: RadioMap) -> Gains:
    sector, grid = setting.sector, setting.grid
    mast = np.array([sector.x_m, sector.y_m, sector.z_m])
    sweeps = []
    for direction in _directions(sector):
        # No lower than a metre, so that the ground is not in between.
        falling = np.maximum(-direction[:, 2], 1e-9)
        distance = np.minimum((HEIGHT_M - 1.0) / falling, RADIUS_M)
        gain = setting.trace.point_gains(mast + direction * distance[:, None])[0]
        sweeps.append(_without_spreading(gain, distance, sector))
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    distance = np.sqrt(
        (x - sector.x_m) ** 2 + (y - sector.y_m) ** 2 + (grid.receiver_height_m - sector.z_m) ** 2
    )
    cells = _without_spreading(
        10.0 ** (made.path_gain_db[0].astype(float) / 10.0), distance, sector
    )
    return Gains(sweeps[0], sweeps[1], cells)


def _without_spreading(gain: FloatArray, distance_m: FloatArray, sector: Sector) -> FloatArray:
    """Path gain over that of isotropic antennas (Friis), in dBi."""
    loss = 4.0 * np.pi * distance_m / wavelength_m(sector.frequency_hz)
    return linear_to_db(gain * loss**2)


def _element(setting: Setting) -> Gains:
    """What a map is without the file: the element of TR 38.901, with the file's largest gain."""
    sector = replace(setting.sector, antenna="tr38901?max_gain_dbi=18")
    with tracer(setting.scene, [sector], setting.grid, setting.config) as trace:
        return _traced(replace(setting, trace=trace, sector=sector))


def _azimuth_off_deg(prediction: Gains, truth: tuple[Sector, Gains]) -> float:
    """Between the sector's azimuth and the middle of the traced half-power beam."""
    beam = prediction.azimuth_dbi > prediction.azimuth_dbi.max() - 3.0
    turn = np.exp(1j * np.radians(AZIMUTHS_DEG[beam])).sum()
    off = np.degrees(np.angle(turn * np.exp(-1j * np.radians(truth[0].azimuth_deg))))
    return float(abs(off))


def _tilt_off_deg(prediction: Gains, truth: tuple[Sector, Gains]) -> float:
    """Between mechanical plus electrical tilt and the traced maximum."""
    lobe_deg = truth[0].downtilt_deg + (example_panel().electrical_tilt_deg or 0.0)
    return float(abs(DOWN_DEG[np.argmax(prediction.down_dbi)] - lobe_deg))


def _map_azimuth_off_deg(prediction: Gains, truth: tuple[Sector, Gains]) -> float:
    """Between the sector's azimuth and the power-weighted direction of the map's main lobe."""
    rows, columns = np.indices(prediction.map_dbi.shape)
    num_y, num_x = prediction.map_dbi.shape
    east, north = columns - (num_x - 1) / 2, rows - (num_y - 1) / 2
    # A ring, so that every azimuth has the same cells.
    distance = np.hypot(east, north)
    ring = (distance > 60) & (distance < 95) & np.isfinite(prediction.map_dbi)
    power = 10.0 ** (prediction.map_dbi[ring] / 10.0)
    turn = (power * (north[ring] + 1j * east[ring]) / distance[ring]).sum()
    off = np.degrees(np.angle(turn * np.exp(-1j * np.radians(truth[0].azimuth_deg))))
    return float(abs(off))


def _paths_off_db(prediction: Gains, truth: tuple[Sector, Gains]) -> float:
    """Largest difference between traced paths and the file, near the main lobe's level."""
    worst = 0.0
    for traced, file in (
        (prediction.azimuth_dbi, truth[1].azimuth_dbi),
        (prediction.down_dbi, truth[1].down_dbi),
    ):
        worst = max(worst, float(np.abs(traced - file)[_compared(file)].max()))
    return worst


def _map_off_db(prediction: Gains, truth: tuple[Sector, Gains]) -> float:
    """The 99th percentile of the map's differences beyond 100 m of the mast.

    A cell is a mean and the file a value at its middle: nearer, where the lobes are as narrow as
    cells, the two are not the same thing.
    """
    num_y, num_x = truth[1].map_dbi.shape
    rows, columns = np.indices((num_y, num_x))
    far = np.hypot(columns - (num_x - 1) / 2, rows - (num_y - 1) / 2) > 25
    cells = far & _compared(truth[1].map_dbi)
    return float(np.quantile(np.abs(prediction.map_dbi - truth[1].map_dbi)[cells], 0.99))


def _compared(file_dbi: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(file_dbi > example_panel().gain_dbi_max - MAX_ATTENUATION_DB)


ANTENNA: tuple[Benchmark[Gains], ...] = (
    Benchmark(
        "physics:antenna",
        "Traced free space against the antenna file: direction, and gain over angle",
        _cases,
        [
            Metric("azimuth of the main lobe off by", "deg", _azimuth_off_deg, "lower", 1.0),
            Metric("tilt of the main lobe off by", "deg", _tilt_off_deg, "lower", 1.0),
            Metric("azimuth of the map's lobe off by", "deg", _map_azimuth_off_deg, "lower", 1.0),
            Metric("gain over angle, paths: largest", "dB", _paths_off_db, "lower", 0.2),
            Metric("gain over angle, map: p99", "dB", _map_off_db, "lower", 0.2),
        ],
        Predictor("TR 38.901 element in place of the file", _element),
        Predictor("rfplatform", _traced),
    ),
)
