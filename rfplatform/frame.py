"""Local east-north-up metres around an origin in a projected CRS, and the way back to Earth."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rfplatform.units import FloatArray

if TYPE_CHECKING:
    from pyproj import Transformer


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> "Transformer":
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
    crs : str
        The projected CRS ("EPSG:32635").
    origin_easting_m, origin_northing_m : float
        Where the local origin lies in that CRS. Subtracting it keeps float32 coordinates
        accurate to a tenth of a millimetre within a kilometre.
    """

    crs: str
    origin_easting_m: float
    origin_northing_m: float

    def from_lonlat(
        self, lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Local x, y [m] of WGS 84 longitudes and latitudes, element by element."""
        easting, northing = _transformer("EPSG:4326", self.crs).transform(lon_deg, lat_deg)
        return (
            np.asarray(easting) - self.origin_easting_m,
            np.asarray(northing) - self.origin_northing_m,
        )

    def to_lonlat(self, x_m: npt.ArrayLike, y_m: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """WGS 84 longitude and latitude [deg] of local x, y."""
        lon, lat = _transformer(self.crs, "EPSG:4326").transform(
            np.asarray(x_m) + self.origin_easting_m, np.asarray(y_m) + self.origin_northing_m
        )
        return np.asarray(lon), np.asarray(lat)
