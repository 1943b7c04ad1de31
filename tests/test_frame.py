"""Local metres, on Earth and nowhere."""

import numpy as np
import pytest
from pyproj import Geod

from rfplatform.errors import InputError
from rfplatform.frame import LOCAL, Frame
from rfplatform.scene import LocalArea


def test_metres_that_lie_nowhere_have_no_longitude():
    for ask in (lambda: LOCAL.to_lonlat(0.0, 0.0), lambda: LOCAL.from_lonlat(11.5, 48.1)):
        with pytest.raises(InputError, match="--origin LON,LAT"):
            ask()


@pytest.mark.parametrize(("lon", "lat"), [(11.575, 48.137), (-70.6, -33.4), (179.9, -16.5)])
def test_a_frame_at_a_point_begins_there(lon, lat):
    frame = Frame.at(lon, lat)
    assert np.allclose(frame.from_lonlat(lon, lat), 0.0, atol=1e-6)
    assert np.allclose(frame.to_lonlat(0.0, 0.0), (lon, lat), atol=1e-9)
    # A kilometre on the ellipsoid, by another route; UTM's scale is within 0.1 % of 1.
    east, north = frame.to_lonlat(600.0, 800.0)
    _, _, length_m = Geod(ellps="WGS84").inv(lon, lat, east, north)
    assert length_m == pytest.approx(1000.0, rel=1.1e-3)


def test_a_local_area_is_its_own_bounds():
    area = LocalArea("box", -10.0, -5.0, 20.0, 5.0)
    assert area.bounds_m(LOCAL) == (-10.0, -5.0, 20.0, 5.0)
    assert area.contains_m(20.0, 5.0)
    assert not area.contains_m(20.1, 0.0)


@pytest.mark.parametrize("bounds", [(0, 0, 0, 1), (0, 2, 1, 1), (float("nan"), 0, 1, 1)])
def test_an_empty_local_area_is_refused(bounds):
    with pytest.raises(InputError, match="local metres"):
        LocalArea("box", *bounds)
