"""Local east-north-up metres around an origin in a projected CRS, and the way back to Earth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError
from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from pyproj import Transformer


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> Transformer:
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def utm_crs(lon_deg: float, lat_deg: float) -> str:
    """EPSG code of the WGS 84 / UTM zone that holds a point (no Norway or Svalbard exceptions).

    Parameters
    ----------
    lon_deg, lat_deg : float
        WGS 84 longitude and latitude. UTM is defined from 80 S to 84 N.
    """
    zone = min(int((lon_deg + 180.0) // 6.0) + 1, 60)
    return f"EPSG:{(32600 if lat_deg >= 0 else 32700) + zone}"


@dataclass(frozen=True)
class Frame:
    """Local metres: x to the east, y to the north, z up from the ground.

    Attributes
    ----------
    crs : str or None
        The projected CRS ("EPSG:32635"). None: the metres of a scene made elsewhere, which lie
        nowhere on Earth; then both origins are 0.
    origin_easting_m, origin_northing_m : float
        Where the local origin lies in that CRS. Subtracting it keeps float32 coordinates
        accurate to a tenth of a millimetre within a kilometre.
    """

    crs: str | None
    origin_easting_m: float
    origin_northing_m: float

    def from_lonlat(
        self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Local x, y [m] of WGS 84 longitudes and latitudes, element by element.

        Raises
        ------
        InputError
            If the frame has no CRS.
        """
        easting, northing = _transformer("EPSG:4326", self.on_earth()).transform(lon_deg, lat_deg)
        return (
            np.asarray(easting) - self.origin_easting_m,
            np.asarray(northing) - self.origin_northing_m,
        )

    def to_lonlat(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """WGS 84 longitude and latitude [deg] of local x, y.

        Raises
        ------
        InputError
            If the frame has no CRS.
        """
        lon, lat = _transformer(self.on_earth(), "EPSG:4326").transform(
            np.asarray(x_m) + self.origin_easting_m, np.asarray(y_m) + self.origin_northing_m
        )
        return np.asarray(lon), np.asarray(lat)

    def true_north_deg(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> FloatArray:
        """Grid azimuth of true north at each point: minus the meridian convergence.

        In local metres without a CRS, the y axis is all the north there is.
        """
        if self.crs is None:
            return np.zeros(np.shape(x_m))
        lon_deg, lat_deg = self.to_lonlat(x_m, y_m)
        # Eleven metres along the meridian: far above rounding, far below its curvature.
        step_deg = 1e-4
        x0_m, y0_m = self.from_lonlat(lon_deg, lat_deg)
        x1_m, y1_m = self.from_lonlat(lon_deg, lat_deg + step_deg)
        return np.degrees(np.arctan2(x1_m - x0_m, y1_m - y0_m))

    def on_earth(self) -> str:
        """The CRS.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.crs is None:
            raise InputError(
                "the scene is in local metres without a CRS: place it with --origin LON,LAT"
            )
        return self.crs

    @classmethod
    def at(cls, lon_deg: float, lat_deg: float) -> Frame:
        """The UTM frame whose x = y = 0 is a point; its y axis points to grid north."""
        crs = utm_crs(lon_deg, lat_deg)
        easting, northing = _transformer("EPSG:4326", crs).transform(lon_deg, lat_deg)
        return cls(crs, float(easting), float(northing))


LOCAL_METRES = "local metres, no CRS"
"""What files and pictures say in place of a CRS."""

LOCAL = Frame(None, 0.0, 0.0)
"""Local metres that lie nowhere on Earth."""
