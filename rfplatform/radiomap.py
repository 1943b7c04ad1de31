"""Sectors, grids and radio maps: the currency that every solver pays in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from rfplatform import __version__
from rfplatform.errors import InputError
from rfplatform.frame import LOCAL_METRES, Frame
from rfplatform.scene import Scene
from rfplatform.units import FloatArray, db_to_linear, linear_to_db, thermal_noise_dbm

if TYPE_CHECKING:
    import xarray as xr

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sector:
    """One antenna of a site, placed in a scene's local metres.

    Attributes
    ----------
    site, name : str
        The site's name, and the sector's within it.
    x_m, y_m, z_m : float
        The antenna's phase centre in the scene's local metres.
    azimuth_deg : float
        Boresight, clockwise from grid north.
    downtilt_deg : float
        Boresight below the horizon, positive downwards.
    power_dbm : float
        Power into the antenna, over the whole bandwidth.
    frequency_hz, bandwidth_hz : float
        Carrier and bandwidth.
    antenna : str
        A name of `rfplatform.catalog.ANTENNAS`.
    mount : str
        What the height in the site list was measured from: "ground" or "roof".
    ground_m : float
        z of the ground under the antenna; 0 where the ground is flat.
    """

    site: str
    name: str
    x_m: float
    y_m: float
    z_m: float
    azimuth_deg: float = 0.0
    downtilt_deg: float = 0.0
    power_dbm: float = 43.0
    frequency_hz: float = 3.5e9
    bandwidth_hz: float = 20e6
    antenna: str = "isotropic"
    mount: Literal["ground", "roof"] = "ground"
    ground_m: float = 0.0

    @property
    def height_m(self) -> float:
        """The antenna above the ground under it."""
        return self.z_m - self.ground_m

    @property
    def label(self) -> str:
        """Unique name: "site/sector"."""
        return f"{self.site}/{self.name}"


@dataclass(frozen=True)
class Grid:
    """A regular grid of square cells at one height above ground; row 0 is south.

    Attributes
    ----------
    frame : Frame
        The local metres, with their CRS.
    west_m, south_m : float
        South-west corner in local metres.
    resolution_m : float
        Edge of a cell.
    num_x, num_y : int
        Cells to the east and to the north.
    receiver_height_m : float
        Height of the receivers above ground.
    """

    frame: Frame
    west_m: float
    south_m: float
    resolution_m: float
    num_x: int
    num_y: int
    receiver_height_m: float = 1.5

    @property
    def shape(self) -> tuple[int, int]:
        """(num_y, num_x)."""
        return self.num_y, self.num_x

    @property
    def east_m(self) -> float:
        """East border in local metres."""
        return self.west_m + self.num_x * self.resolution_m

    @property
    def north_m(self) -> float:
        """North border in local metres."""
        return self.south_m + self.num_y * self.resolution_m

    def x_m(self) -> FloatArray:
        """Local x of the cells' centres, [num_x]."""
        return self.west_m + (np.arange(self.num_x) + 0.5) * self.resolution_m

    def y_m(self) -> FloatArray:
        """Local y of the cells' centres, [num_y]."""
        return self.south_m + (np.arange(self.num_y) + 0.5) * self.resolution_m

    def easting_m(self) -> FloatArray:
        """Eastings of the cells' centres in the projected CRS, [num_x]."""
        return self.x_m() + self.frame.origin_easting_m

    def northing_m(self) -> FloatArray:
        """Northings of the cells' centres in the projected CRS, [num_y]."""
        return self.y_m() + self.frame.origin_northing_m

    @classmethod
    def covering(
        cls,
        bounds_m: tuple[float, float, float, float],
        frame: Frame,
        resolution_m: float,
        receiver_height_m: float = 1.5,
    ) -> Grid:
        """The smallest grid over local bounds whose lines are whole multiples of the resolution.

        The multiples are counted in the projected CRS, so that the grids of neighbouring areas
        fall on each other.

        Parameters
        ----------
        bounds_m : tuple of float
            West, south, east, north in local metres.
        frame : Frame
        resolution_m, receiver_height_m : float
        """
        if not (np.isfinite(resolution_m) and resolution_m > 0):
            raise InputError(f"resolution {resolution_m} m: must be a positive number of metres")
        if not (np.isfinite(receiver_height_m) and receiver_height_m > 0):
            raise InputError(f"receiver height {receiver_height_m} m: must be a positive number")
        west, south, east, north = bounds_m
        e0, n0 = frame.origin_easting_m, frame.origin_northing_m
        # A millionth of a cell of slack: bounds on a line must not gain a column by rounding.
        i_west = int(np.floor((west + e0) / resolution_m + 1e-6))
        i_south = int(np.floor((south + n0) / resolution_m + 1e-6))
        i_east = int(np.ceil((east + e0) / resolution_m - 1e-6))
        i_north = int(np.ceil((north + n0) / resolution_m - 1e-6))
        return cls(
            frame,
            i_west * resolution_m - e0,
            i_south * resolution_m - n0,
            resolution_m,
            max(1, i_east - i_west),
            max(1, i_north - i_south),
            receiver_height_m,
        )


@dataclass(frozen=True, eq=False)
class RadioMap:
    """What every solver returns: the path gain of every sector at every cell.

    Attributes
    ----------
    grid : Grid
    sectors : tuple of Sector
    path_gain_db : ndarray, [num_sectors, num_y, num_x], float32
        Received over transmitted power for an isotropic receiver, the transmitting antenna's
        gain included, averaged over the cell in linear power. -inf: no path was found.
    standard_error_db : ndarray or None, the same shape, float32
        One standard deviation of the solver's own error: Monte Carlo or predictive spread.
        NaN where there is no path. None: the solver is deterministic.
    outdoor : ndarray, [num_y, num_x], bool
        Cells whose centre lies outside every building.
    los : ndarray or None, [num_sectors, num_y, num_x], bool
        Whether the sector sees the cell.
    raw_path_gain_db : ndarray or None, [num_sectors, num_y, num_x], float32
        The estimate before the reconstruction filter, where one was used.
    ground_m : ndarray or None, [num_y, num_x], float32
        z of the ground at the cells' centres; None: flat, at z = 0.
    mean_delay_s, delay_spread_s : ndarray or None, [num_sectors, num_y, num_x], float32
        Power-weighted mean and root mean square spread of the paths' delays; NaN where there is
        no path. None: the solver knows no delays.
    attrs : mapping
        How it was made: solver, rays, noise reached, what stopped it ... Plain JSON values.
    """

    grid: Grid
    sectors: tuple[Sector, ...]
    path_gain_db: FloatArray
    standard_error_db: FloatArray | None
    outdoor: BoolArray
    los: BoolArray | None = None
    raw_path_gain_db: FloatArray | None = None
    ground_m: FloatArray | None = None
    mean_delay_s: FloatArray | None = None
    delay_spread_s: FloatArray | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.sectors), *self.grid.shape)
        for name in (
            "path_gain_db",
            "standard_error_db",
            "los",
            "raw_path_gain_db",
            "mean_delay_s",
            "delay_spread_s",
        ):
            layer = getattr(self, name)
            if layer is not None and layer.shape != shape:
                raise ValueError(f"{name} has shape {layer.shape}, expected {shape}")
        if self.outdoor.shape != self.grid.shape:
            raise ValueError(f"outdoor has shape {self.outdoor.shape}, expected {self.grid.shape}")
        if self.ground_m is not None and self.ground_m.shape != self.grid.shape:
            raise ValueError(
                f"ground_m has shape {self.ground_m.shape}, expected {self.grid.shape}"
            )
        labels = [s.label for s in self.sectors]
        if len(set(labels)) != len(labels):
            raise ValueError(f"sector labels are not unique: {labels}")

    def rss_dbm(self) -> FloatArray:
        """Received signal strength over the sector's bandwidth, [num_sectors, num_y, num_x]."""
        power_dbm = np.array([s.power_dbm for s in self.sectors], dtype=np.float32)
        return self.path_gain_db + power_dbm[:, None, None]

    def best_sector(self) -> npt.NDArray[np.int16]:
        """Index of the sector with the highest RSS, [num_y, num_x]; -1 where none has a path."""
        rss = self.rss_dbm()
        lit = np.isfinite(rss.max(axis=0))
        return np.where(lit, np.argmax(rss, axis=0), -1).astype(np.int16)

    def best_rss_dbm(self) -> FloatArray:
        """RSS of the best sector, [num_y, num_x]; -inf where none has a path."""
        return np.asarray(self.rss_dbm().max(axis=0))

    def sinr_db(self, noise_dbm: npt.ArrayLike | None = None) -> FloatArray:
        """Signal to interference and noise of the best sector at full load, [num_y, num_x].

        Only sectors whose bands overlap the best sector's interfere, with the share of their
        power (taken as flat over their band) that falls into it.

        Parameters
        ----------
        noise_dbm : float or array_like of [num_sectors], optional
            Noise power in each sector's band. By default thermal noise at 290 K with a noise
            figure of 7 dB.

        Returns
        -------
        ndarray
            -inf where no sector has a path.
        """
        if noise_dbm is None:
            noise_dbm = thermal_noise_dbm([s.bandwidth_hz for s in self.sectors], 7.0)
        noise_mw = np.broadcast_to(db_to_linear(noise_dbm), (len(self.sectors),))
        rss_mw = db_to_linear(self.rss_dbm().astype(np.float64))
        overlap = band_overlap(self.sectors)
        # [num_sectors, num_y, num_x]: what arrives in each sector's band, its own power excluded.
        interference_mw = np.tensordot(overlap - np.eye(len(self.sectors)), rss_mw, axes=1)
        sinr_db = linear_to_db(rss_mw / (interference_mw + noise_mw[:, None, None]))
        best = self.best_sector()
        served = np.take_along_axis(sinr_db, np.maximum(best, 0)[None], axis=0)[0]
        return np.where(best < 0, -np.inf, served).astype(np.float32)

    def to_xarray(self, noise_figure_db: float = 7.0) -> xr.Dataset:
        """The map and its layers as a CF-1.11 dataset with dims (sector, y, x) and its CRS.

        Parameters
        ----------
        noise_figure_db : float
            Of the receivers, for the SINR over thermal noise at 290 K.

        Returns
        -------
        xarray.Dataset
            Coordinates: the sectors' labels and properties, and the eastings and northings of
            the cells' centres (y ascends: row 0 is south); in a frame without a CRS, their local
            metres, no longitudes and latitudes, and no ``spatial_ref``. Variables:
            ``path_gain_db``, ``rss_dbm``, ``best_sector``, ``best_rss_dbm``, ``sinr_db``,
            ``outdoor`` and, where the map has them, ``standard_error_db``, ``los``,
            ``raw_path_gain_db``, ``ground_m``, ``mean_delay_s``, ``delay_spread_s``. A level
            without a path is NaN. `attrs` are global attributes, the nested ones as JSON; the
            attribute ``radio_map`` is JSON that holds the grid and all of `attrs` exactly.
        """
        import xarray as xr

        grid, frame, sectors = self.grid, self.grid.frame, self.sectors
        layer, raster = ("sector", "y", "x"), ("y", "x")

        def level(
            dims: tuple[str, ...], values: FloatArray, units: str, name: str, **attrs: str
        ) -> xr.Variable:
            # NaN is what xarray, QGIS and GDAL take as missing; -inf would spoil their statistics.
            known = np.where(np.isneginf(values), np.nan, values).astype(np.float32)
            return xr.Variable(dims, known, {"units": units, "long_name": name, **attrs})

        def flag(dims: tuple[str, ...], values: BoolArray, name: str, meanings: str) -> xr.Variable:
            flags = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": meanings}
            return xr.Variable(dims, values.astype(bool), {"long_name": name, **flags})

        def column(values: Sequence[Any] | FloatArray, name: str, **attrs: str) -> xr.Variable:
            return xr.Variable("sector", np.asarray(values), {"long_name": name, **attrs})

        coords = {
            "sector": column([s.label for s in sectors], "sector, as site/sector"),
            "y": xr.Variable("y", grid.northing_m()),
            "x": xr.Variable("x", grid.easting_m()),
            "site": column([s.site for s in sectors], "site"),
            "local_x_m": column([s.x_m for s in sectors], "local x of the antenna", units="m"),
            "local_y_m": column([s.y_m for s in sectors], "local y of the antenna", units="m"),
            "local_z_m": column([s.z_m for s in sectors], "local z of the antenna", units="m"),
            "local_ground_m": column(
                [s.ground_m for s in sectors], "local z of the ground under the antenna", units="m"
            ),
            "height_m": column(
                [s.height_m for s in sectors], "height of the antenna above ground", units="m"
            ),
            "azimuth_deg": column(
                [s.azimuth_deg for s in sectors], "azimuth from grid north", units="degree"
            ),
            "downtilt_deg": column(
                [s.downtilt_deg for s in sectors], "tilt below the horizon", units="degree"
            ),
            "power_dbm": column([s.power_dbm for s in sectors], "power into antenna", units="dBm"),
            "frequency_hz": column([s.frequency_hz for s in sectors], "carrier", units="Hz"),
            "bandwidth_hz": column([s.bandwidth_hz for s in sectors], "bandwidth", units="Hz"),
            "antenna": column([s.antenna for s in sectors], "antenna"),
            "mount": column([s.mount for s in sectors], "what the listed height is measured from"),
        }
        if frame.crs is not None:
            lon, lat = frame.to_lonlat([s.x_m for s in sectors], [s.y_m for s in sectors])
            coords["lon_deg"] = column(
                lon, "longitude of the antenna", units="degrees_east", standard_name="longitude"
            )
            coords["lat_deg"] = column(
                lat, "latitude of the antenna", units="degrees_north", standard_name="latitude"
            )
        noise_dbm = thermal_noise_dbm([s.bandwidth_hz for s in sectors], noise_figure_db)
        words = [flag_word(s.label) for s in sectors]
        variables = {
            "path_gain_db": level(
                layer,
                self.path_gain_db,
                "dB",
                "path gain",
                comment="antenna gain included, mean over the cell in linear power",
            ),
            "rss_dbm": level(layer, self.rss_dbm(), "dBm", "received signal strength"),
            "best_sector": xr.Variable(
                raster,
                self.best_sector(),
                {
                    "long_name": "index of the sector with the highest RSS",
                    "flag_values": np.arange(-1, len(sectors), dtype=np.int16),
                    "flag_meanings": " ".join(["no_path", *words]),
                },
            ),
            "best_rss_dbm": level(raster, self.best_rss_dbm(), "dBm", "RSS of the best sector"),
            "sinr_db": level(
                raster,
                self.sinr_db(noise_dbm),
                "dB",
                "SINR of the best sector at full load",
                comment=f"thermal noise at 290 K, noise figure {noise_figure_db:g} dB",
            ),
            "outdoor": flag(raster, self.outdoor, "outside every building", "indoor outdoor"),
        }
        if self.standard_error_db is not None:
            variables["standard_error_db"] = level(
                layer, self.standard_error_db, "dB", "standard error of the path gain"
            )
            variables["path_gain_db"].attrs["ancillary_variables"] = "standard_error_db"
        if self.los is not None:
            variables["los"] = flag(
                layer, self.los, "line of sight to the sector", "obstructed line_of_sight"
            )
        if self.raw_path_gain_db is not None:
            variables["raw_path_gain_db"] = level(
                layer, self.raw_path_gain_db, "dB", "path gain before the reconstruction filter"
            )
        if self.ground_m is not None:
            variables["ground_m"] = level(raster, self.ground_m, "m", "local z of the ground")
        if self.mean_delay_s is not None:
            variables["mean_delay_s"] = level(
                layer, self.mean_delay_s, "s", "power-weighted mean delay of the paths"
            )
        if self.delay_spread_s is not None:
            variables["delay_spread_s"] = level(
                layer, self.delay_spread_s, "s", "root mean square delay spread of the paths"
            )
        exact = {"grid": asdict(grid), "attrs": dict(self.attrs)}
        attrs = {
            key: value
            if isinstance(value, str | int | float) and not isinstance(value, bool)
            else json.dumps(value, ensure_ascii=False)
            for key, value in self.attrs.items()
        }
        attrs |= {
            "Conventions": "CF-1.11",
            "title": str(self.attrs.get("title", "Radio map")),
            "source": f"rfplatform {__version__}",
            "receiver_height_m": grid.receiver_height_m,
            "radio_map": json.dumps(exact, ensure_ascii=False),
        }
        return _located(xr.Dataset(variables, coords, attrs), grid)


def _located(dataset: xr.Dataset, grid: Grid) -> xr.Dataset:
    """A dataset with the grid's CRS, or with the word that it has none."""
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    from rasterio import Affine

    if grid.frame.crs is None:
        dataset.attrs["crs"] = LOCAL_METRES
        for axis in ("x", "y"):
            dataset[axis].attrs |= {"units": "m", "long_name": f"{axis}, {LOCAL_METRES}"}
        for name in dataset.coords:
            dataset[name].encoding["_FillValue"] = None
        return dataset
    corner_e, corner_n = grid.easting_m()[0], grid.northing_m()[0]
    half = grid.resolution_m / 2
    # Written out, since a single row or column does not tell its own resolution.
    transform = Affine(
        grid.resolution_m, 0.0, corner_e - half, 0.0, grid.resolution_m, corner_n - half
    )
    located: xr.Dataset = (
        dataset.rio.set_spatial_dims("x", "y")
        .rio.write_crs(grid.frame.crs)
        .rio.write_coordinate_system()
        .rio.write_transform(transform)
    )
    for name in located.coords:
        located[name].encoding["_FillValue"] = None  # CF: coordinates are never missing.
    return located


def flag_word(text: str) -> str:
    """A text as a CF flag meaning: a word of letters, digits and _-.+@ (CF-1.11 section 3.5)."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-.+@") else "_" for c in text)


def band_overlap(sectors: Sequence[Sector]) -> FloatArray:
    """Share of the power of sector j that falls into the band of sector i, [i, j], 1 for i = j."""
    frequency = np.array([s.frequency_hz for s in sectors], dtype=float)
    bandwidth = np.array([s.bandwidth_hz for s in sectors], dtype=float)
    low, high = frequency - bandwidth / 2, frequency + bandwidth / 2
    shared_hz = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    return np.asarray(np.clip(shared_hz / bandwidth, 0.0, 1.0))


class RadioMapSolver(Protocol):
    """Any way to make a radio map: closed form, ray tracing or a network."""

    def __call__(self, scene: Scene, sectors: Sequence[Sector], grid: Grid) -> RadioMap: ...
