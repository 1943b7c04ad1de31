"""What every solver of the catalog must do, whatever it is made of."""

import dataclasses
import json

import numpy as np
import pytest
from shapely import box

from rfplatform.antennas import antenna
from rfplatform.catalog import ANTENNAS, SOLVERS, find_solver
from rfplatform.errors import InputError
from rfplatform.frame import Frame
from rfplatform.propagation.empirical import free_space_db
from rfplatform.propagation.visibility import line_of_sight
from rfplatform.radiomap import Grid, Sector
from rfplatform.rasterize import outdoor_mask
from rfplatform.scene import Area, Building, Scene

FRAME = Frame("EPSG:32632", 500_000.0, 5_540_000.0)
QUICK = {"rays_per_sector": 200_000, "target_noise_db": 0.0, "max_depth": 2}


def quick(name):
    """A solver's configuration with a small budget, where it has one."""
    config = SOLVERS[name].config()
    has = {f.name for f in dataclasses.fields(config)}
    return dataclasses.replace(config, **{k: v for k, v in QUICK.items() if k in has})


@pytest.fixture(scope="module")
def scene():
    (west, east), (south, north) = FRAME.to_lonlat([-100, 100], [-100, 100])
    area = Area("Square", float(west), float(south), float(east), float(north))
    houses = (box(-60, -20, -20, 20), box(20, 30, 60, 60))
    return Scene(
        area,
        FRAME,
        tuple(
            Building(h, 0.0, 15.0, "height", "concrete", f"way/{i}") for i, h in enumerate(houses)
        ),
    )


SECTORS = (
    Sector("A", "1", 10.0, -10.0, 20.0, antenna="isotropic", power_dbm=30.0),
    Sector("A", "2", 10.0, -10.0, 20.0, azimuth_deg=90.0, antenna="tr38901"),
    Sector("B", "1", -80.0, 80.0, 25.0, frequency_hz=2.6e9, antenna="dipole"),
)
GRID = Grid(FRAME, -100.0, -100.0, 10.0, 20, 20)


@pytest.fixture(scope="module", params=list(SOLVERS))
def solved(request, scene):
    return request.param, quick(request.param).load(None)(scene, SECTORS, GRID)


def test_configurations_are_frozen_and_have_defaults():
    for name, entry in SOLVERS.items():
        config = entry.config()
        field = dataclasses.fields(config)[0].name if dataclasses.fields(config) else "anything"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field, 1)
        assert config == entry.config()
        assert json.dumps(dataclasses.asdict(config))
        assert entry.summary
        assert "\n" not in entry.summary
        assert len(entry.summary) < 80
        assert find_solver(name) is entry


def test_unknown_names_list_near_ones():
    with pytest.raises(InputError, match="did you mean tr38901-um"):
        find_solver("TR38901-uma ")
    assert all(antenna(name) is ANTENNAS[name] for name in ANTENNAS)


def test_the_map_is_of_what_was_asked(solved, scene):
    name, radio_map = solved
    assert radio_map.grid == GRID
    assert radio_map.sectors == SECTORS
    assert radio_map.path_gain_db.dtype == np.float32
    assert not np.isnan(radio_map.path_gain_db).any()
    assert radio_map.attrs["solver"] == name
    assert json.loads(json.dumps(radio_map.attrs, allow_nan=False)) == dict(radio_map.attrs)
    np.testing.assert_array_equal(radio_map.outdoor, outdoor_mask(scene, GRID))
    assert 0 < radio_map.outdoor.sum() < radio_map.outdoor.size


def test_indoors_is_dark_and_outdoors_is_not(solved):
    _, radio_map = solved
    assert np.isneginf(radio_map.path_gain_db[:, ~radio_map.outdoor]).all()
    assert np.isfinite(radio_map.path_gain_db[:, radio_map.outdoor]).mean() > 0.6
    assert radio_map.path_gain_db.max() < 0.0


def test_the_error_is_given_where_there_is_a_path(solved):
    _, radio_map = solved
    if radio_map.standard_error_db is None:
        return
    lit = np.isfinite(radio_map.path_gain_db)
    assert (radio_map.standard_error_db[lit] >= 0).all()
    assert np.isnan(radio_map.standard_error_db[~lit]).all()


def test_in_sight_it_is_near_free_space(solved, scene):
    """All models agree where nothing is in the way; an isotropic antenna leaves distance alone."""
    name, radio_map = solved
    sees = line_of_sight(scene, SECTORS[:1], GRID)[0] & radio_map.outdoor
    mast = SECTORS[0]
    dx, dy = np.meshgrid(GRID.x_m() - mast.x_m, GRID.y_m() - mast.y_m)
    distance = np.sqrt(dx**2 + dy**2 + (mast.z_m - GRID.receiver_height_m) ** 2)
    excess_db = radio_map.path_gain_db[0][sees] + free_space_db(distance, 3.5e9)[sees]
    # The published cascade is not told what sees the antenna, nor its pattern.
    assert abs(np.median(excess_db)) < (20.0 if name == "geo2sigmap" else 4.0)


def test_the_same_twice(solved, scene):
    name, radio_map = solved
    again = quick(name).load()(scene, SECTORS, GRID)
    np.testing.assert_allclose(again.path_gain_db, radio_map.path_gain_db, atol=0.01)
