"""Tiles of a display: the colour of a place on Earth, found again by way of pyproj alone."""

import io
import math
import os
import time

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from pyproj import Transformer

from rfplatform.errors import InputError
from rfplatform.formats import tiles
from rfplatform.formats.display import (
    ABOUT,
    OUTDOOR_BAND,
    RASTER,
    SCALES,
    SERVER_COLORS,
    Shown,
    described,
    place_of,
    write_about,
    write_display,
    write_raster,
)
from rfplatform.formats.tiles import (
    FAINT_RGBA,
    TILE_PIXELS,
    render_tile,
    tile_bounds_m,
    tile_etag,
)
from rfplatform.frame import Frame
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid, RadioMap, Sector

HELSINKI, SYDNEY = (24.95, 60.17), (151.21, -33.87)


def tile_at(lon: float, lat: float, z: int, size: int = TILE_PIXELS):
    """Tile and pixel of a place: x, y, row, column (the scheme's own formula)."""
    across = (lon + 180.0) / 360.0 * 2**z
    down = (1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0 * 2**z
    x, y = int(across), int(down)
    return x, y, int((down - y) * size), int((across - x) * size)


def pixels_of(z: int, x: int, y: int, size: int = TILE_PIXELS):
    """Longitudes and latitudes of the pixels' centres of a tile, [size, size] each."""
    at = (np.arange(size) + 0.5) / size
    lon = (x + at) / 2**z * 360.0 - 180.0
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * (y + at) / 2**z))))
    return np.meshgrid(lon, lat)


def rgba(body: bytes):
    return np.array(Image.open(io.BytesIO(body)).convert("RGBA"))


def colors_of(values, low, high, name):
    """What matplotlib paints, within what 240 shades of 32 colours are wrong by."""
    share = (np.asarray(values) - low) / (high - low)
    return np.round(np.array(mpl.colormaps[name](share))[..., :3] * 255)


class Place:
    """A display of made-up values: SS-RSRP, best server and one sector."""

    def __init__(self, folder, crs="EPSG:32635", at=HELSINKI, cells=(230, 190), resolution_m=4.0):
        rng = np.random.default_rng(8)
        to_grid = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        east, north = to_grid.transform(*at)
        rows, columns = cells
        self.to_grid, self.folder = to_grid, folder
        self.grid = Grid(
            Frame(crs, east, north),
            -columns * resolution_m / 2 + 1.3,
            -rows * resolution_m / 2 - 0.7,
            resolution_m,
            columns,
            rows,
        )
        self.outdoor = rng.random(cells) < 0.7
        hidden = ~self.outdoor | (rng.random(cells) < 0.1)
        self.rsrp = np.where(hidden, np.nan, rng.uniform(-140, -50, cells)).astype(np.float32)
        self.server = np.where(hidden, np.nan, rng.integers(0, 5, cells)).astype(np.float32)
        self.sector = np.where(hidden, np.nan, rng.uniform(-140, -50, cells)).astype(np.float32)
        layers = [
            Shown("ss_rsrp_dbm", "SS-RSRP", "dBm", "", self.rsrp, SCALES["ss_rsrp_dbm"]),
            Shown("best_server", "Best", "", "", self.server,
                  items=[(i, f"S/{i}", SERVER_COLORS[i]) for i in range(5)]),
        ]  # fmt: skip
        self.about = {
            **place_of(self.grid),
            "layers": [described(layer, i + 1, self.outdoor) for i, layer in enumerate(layers)],
            "sector_bands": [3],
            "outdoor_band": 4,
        }
        bands = [self.rsrp, self.server, self.sector, self.outdoor.astype(np.float32)]
        names = ["ss_rsrp_dbm", "best_server", "sector:0", OUTDOOR_BAND]
        write_raster(folder / RASTER, self.grid, names, iter(bands))
        write_about(self.about, folder)

    def lonlat(self, row, column):
        """Of a cell's centre."""
        return self.to_grid.transform(
            self.grid.easting_m()[column], self.grid.northing_m()[row], direction="INVERSE"
        )

    def values_at(self, values, lon, lat):
        """Of the cells that places lie in; NaN beyond."""
        east, north = self.to_grid.transform(lon, lat)
        frame, grid = self.grid.frame, self.grid
        column = np.floor((east - frame.origin_easting_m - grid.west_m) / grid.resolution_m)
        row = np.floor((north - frame.origin_northing_m - grid.south_m) / grid.resolution_m)
        inside = (row >= 0) & (row < grid.num_y) & (column >= 0) & (column < grid.num_x)
        row, column = (np.where(inside, of, 0).astype(int) for of in (row, column))
        return np.where(inside, values[row, column], np.nan)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("town"))


def check(place, values, tile, *, threshold=None):
    """A tile's pixels against those of the cells under them; the share that is not the same."""
    z, x, y = tile
    layer = {id(place.rsrp): "ss_rsrp_dbm", id(place.sector): "sector:0"}[id(values)]
    found = rgba(render_tile(place.folder, layer, z, x, y, threshold=threshold))
    expected = place.values_at(values, *pixels_of(z, x, y))
    shade = colors_of(np.nan_to_num(expected), -125.0, -60.0, "viridis")
    same = (np.abs(found[..., :3] - shade).max(axis=-1) <= 4) & (found[..., 3] == 255)
    if threshold is not None:
        faint = (found == FAINT_RGBA).all(axis=-1)
        same = np.where(expected < threshold, faint, same)
    same = np.where(np.isnan(expected), found[..., 3] == 0, same)
    return 1.0 - same.mean(), np.isfinite(expected).mean()


# ----------------------------------------------------------------------------- what is painted


@pytest.mark.parametrize("z", [15, 16, 17, 18])
def test_a_cell_s_centre_has_its_colour(town, z):
    rng = np.random.default_rng(z)
    drawn = {}
    seen = {"faint": 0, "clear": 0, "shade": 0}
    for _ in range(400 if z < 17 else 60):
        row, column = rng.integers(town.grid.num_y), rng.integers(town.grid.num_x)
        x, y, i, j = tile_at(*town.lonlat(row, column), z)
        if (x, y) not in drawn:
            drawn[x, y] = [
                rgba(render_tile(town.folder, layer, z, x, y, threshold=-100.0))[...]
                for layer in ("ss_rsrp_dbm", "best_server", "sector:0")
            ]
        rsrp, server, sector = (tile[i, j] for tile in drawn[x, y])
        for pixel, level in ((rsrp, town.rsrp[row, column]), (sector, town.sector[row, column])):
            if np.isnan(level):
                assert pixel[3] == 0
                seen["clear"] += 1
            elif level < -100.0:
                assert tuple(pixel) == FAINT_RGBA
                seen["faint"] += 1
            else:
                wanted = colors_of(level, -125.0, -60.0, "viridis")
                assert np.abs(pixel[:3] - wanted).max() <= 4
                assert pixel[3] == 255
                seen["shade"] += 1
        best = town.server[row, column]
        if np.isnan(best):
            assert server[3] == 0
        else:
            color = np.round(255 * np.array(to_rgb(SERVER_COLORS[int(best)])))
            assert tuple(server) == (*color, 255)
    assert min(seen.values()) > 10


@pytest.mark.parametrize("threshold", [None, -93.0])
@pytest.mark.parametrize("z", [14, 15, 17])
def test_every_pixel_shows_the_cell_under_it(town, z, threshold):
    for corner in ((0, 0), (-1, -1)):  # With what lies beyond the map.
        tile = (z, *tile_at(*town.lonlat(*corner), z)[:2])
        for values in (town.rsrp, town.sector):
            wrong, covered = check(town, values, tile, threshold=threshold)
            assert wrong < 2e-3  # Pixels whose centre lies on a cell's border.
            assert 0.05 < covered < 0.9


@pytest.mark.parametrize(
    ("crs", "at", "cells"),
    [
        ("EPSG:32756", SYDNEY, (200, 150)),
        ("EPSG:3067", (20.9, 60.3), (150, 200)),  # Six degrees from the meridian of its zone.
        ("EPSG:2056", (8.54, 47.37), (90, 90)),
        ("EPSG:32660", (179.99, -16.5), (200, 300)),
    ],
)
def test_it_is_right_anywhere_on_earth(tmp_path, crs, at, cells):
    place = Place(tmp_path, crs, at, cells)
    for z in (14, 16):
        tile = (z, *tile_at(*place.lonlat(cells[0] // 2, cells[1] // 2), z)[:2])
        wrong, covered = check(place, place.rsrp, tile)
        assert wrong < 2e-3
        assert covered > 0.02


def test_neighbours_meet(town):
    """Four tiles of half the size are the tile above them, common edges and all."""
    for z in (14, 15, 16):
        x, y, *_ = tile_at(*town.lonlat(115, 95), z)
        whole = rgba(render_tile(town.folder, "ss_rsrp_dbm", z, x, y))
        parts = [
            [
                rgba(render_tile(town.folder, "ss_rsrp_dbm", z + 1, 2 * x + i, 2 * y + j, size=256))
                for i in (0, 1)
            ]
            for j in (0, 1)
        ]
        mosaic = np.vstack([np.hstack(row) for row in parts])
        differs = (mosaic != whole).any(axis=-1)
        assert differs.mean() < 1e-3
        assert differs[:, 255:257].mean() < 0.02


def test_neighbours_in_a_row_meet_within_a_cell(town):
    """At their common edge, pixels are far smaller than cells: both sides show the same ones."""
    z = 19
    x, y, *_ = tile_at(*town.lonlat(115, 95), z)
    left, right = (rgba(render_tile(town.folder, "ss_rsrp_dbm", z, x + i, y)) for i in (0, 1))
    assert (left[:, -1] == right[:, 0]).all(axis=-1).mean() > 0.9
    above, below = (rgba(render_tile(town.folder, "ss_rsrp_dbm", z, x, y + i)) for i in (0, 1))
    assert (above[-1] == below[0]).all(axis=-1).mean() > 0.9


# --------------------------------------------------------------------------------- large and far


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """1500 x 1300 cells of one sector: SS-RSRP rises to the east, the error to the north."""
    folder = tmp_path_factory.mktemp("ramp")
    east, north = Transformer.from_crs("EPSG:4326", "EPSG:32635", always_xy=True).transform(
        *HELSINKI
    )
    grid = Grid(Frame("EPSG:32635", east, north), -3000.0, -2600.0, 4.0, 1500, 1300)
    gain_db = np.broadcast_to(np.linspace(-125, -60, 1500, dtype=np.float32), (1, 1300, 1500))
    error_db = np.broadcast_to(np.linspace(0, 8, 1300, dtype=np.float32)[:, None], gain_db.shape)
    # Into a subcarrier of 51 blocks as much as into the antenna: SS-RSRP is the path gain.
    sector = Sector("A", "1", 0.0, 0.0, 30.0, power_dbm=10 * np.log10(12 * 51))
    radio_map = RadioMap(grid, (sector,), gain_db, error_db, np.ones(grid.shape, bool))
    about = write_display(radio_map, planning_layers(radio_map), folder)
    return folder, about, grid


@pytest.mark.parametrize("z", [8, 9, 10, 11, 12, 13, 14, 16])
def test_from_afar_a_large_map_lies_where_it_should(ramp, z):
    folder, about, grid = ramp
    x, y, *_ = tile_at(*HELSINKI, z)
    to_grid = Transformer.from_crs("EPSG:4326", "EPSG:32635", always_xy=True)
    east, north = to_grid.transform(*pixels_of(z, x, y))
    across = (east - grid.easting_m()[0]) / (1499 * 4.0)
    up = (north - grid.northing_m()[0]) / (1299 * 4.0)
    pixel_m = 40_075_017 / 2**z / 512 * math.cos(math.radians(60.17))
    edge = (pixel_m + 4.0) / 5200
    well_in = (np.minimum(across, up) > edge) & (np.maximum(across, up) < 1 - edge)
    well_out = (np.minimum(across, up) < -edge) | (np.maximum(across, up) > 1 + edge)
    ranges = {layer["name"]: layer["legend"].get("range") for layer in about["layers"]}
    rsrp_db, error_db = -125 + 65 * across, 8 * up
    started = time.process_time()
    rsrp, error = (
        rgba(render_tile(folder, name, z, x, y)) for name in ("ss_rsrp_dbm", "standard_error_db")
    )
    assert time.process_time() - started < 0.5
    assert well_in.any()
    for found, values, span, layer in (
        (rsrp, rsrp_db, 65, "ss_rsrp_dbm"),
        (error, error_db, 8, "standard_error_db"),
    ):
        low, high = ranges[layer]
        assert (found[well_in][:, 3] == 255).all()
        assert (found[well_out][:, 3] == 0).all()
        # The shades that a pixel's cells have, give or take a step of the overview.
        slack = span * edge / 2
        near = np.linspace(-slack, slack, 9)[:, None] + values[well_in]
        wanted = colors_of(near, low, high, SCALES[layer].colormap)
        off = np.abs(found[well_in][:, :3] - wanted).max(axis=-1).min(axis=0)
        assert off.max() <= 6


def test_every_tile_of_the_world_can_be_asked_for(town):
    drawn = 0
    for z in range(4):
        for x in range(1 << z):
            for y in range(1 << z):
                body = render_tile(town.folder, "ss_rsrp_dbm", z, x, y)
                drawn += int((rgba(body)[..., 3] > 0).sum())
    assert drawn <= 4


def test_far_away_there_is_one_empty_tile(town):
    x, y, *_ = tile_at(*HELSINKI, 14)
    empty = render_tile(town.folder, "ss_rsrp_dbm", 14, x + 9, y)
    assert empty is render_tile(town.folder, "best_server", 14, x, y - 9, threshold=-80.0)
    assert empty is render_tile(town.folder, "sector:0", 14, 0, 0)
    image = rgba(empty)
    assert image.shape == (TILE_PIXELS, TILE_PIXELS, 4)
    assert not image[..., 3].any()
    assert len(empty) < 2000
    assert rgba(render_tile(town.folder, "ss_rsrp_dbm", 14, 0, 0, size=256)).shape[0] == 256


def test_tiles_are_indexed(town):
    x, y, *_ = tile_at(*HELSINKI, 16)
    body = render_tile(town.folder, "ss_rsrp_dbm", 16, x, y)
    assert Image.open(io.BytesIO(body)).mode == "P"


def test_all_below_and_all_above(town):
    x, y, *_ = tile_at(*town.lonlat(115, 95), 17)
    covered = rgba(render_tile(town.folder, "ss_rsrp_dbm", 17, x, y))
    low, high = (
        rgba(render_tile(town.folder, "ss_rsrp_dbm", 17, x, y, threshold=t)) for t in (-300.0, 0.0)
    )
    np.testing.assert_array_equal(low, covered)
    there = covered[..., 3] > 0
    assert (high[there] == FAINT_RGBA).all()
    assert not high[~there][:, 3].any()


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("layer", "z", "x", "y"),
    [
        ("ss_rsrp_dbm", -1, 0, 0),
        ("ss_rsrp_dbm", 25, 0, 0),
        ("ss_rsrp_dbm", 10**30, 0, 0),
        ("ss_rsrp_dbm", 3, 8, 0),
        ("ss_rsrp_dbm", 3, 0, 8),
        ("ss_rsrp_dbm", 3, -1, 0),
        ("ss_rsrp_dbm", 3, 0, -1),
        ("outdoor", 3, 1, 1),
        ("sector:1", 3, 1, 1),
        ("sector:-1", 3, 1, 1),
        ("sector:00", 3, 1, 1),
        ("sector:²", 3, 1, 1),
        ("sector:" + "9" * 5000, 3, 1, 1),
        ("sector:", 3, 1, 1),
        ("", 3, 1, 1),
        ("../../etc/passwd", 3, 1, 1),
    ],
)
def test_there_is_no_such_tile(town, layer, z, x, y):
    with pytest.raises(InputError) as told:
        render_tile(town.folder, layer, z, x, y)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 200
    assert str(town.folder) not in str(told.value)


def test_there_is_no_such_map(tmp_path):
    for call in (render_tile, tile_etag):
        with pytest.raises(InputError, match="no such map"):
            call(tmp_path / "gone", "ss_rsrp_dbm", 3, 1, 1)


# --------------------------------------------------------------------------- numbers and entities


def test_bounds_are_those_of_the_scheme():
    to_lonlat = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True)
    for z, x, y in ((0, 0, 0), (1, 1, 0), (14, 9327, 4742), (18, 1, 262_143)):
        west, south, east, north = tile_bounds_m(z, x, y)
        lon, lat = to_lonlat.transform([west, east], [south, north])
        assert lon == pytest.approx((x / 2**z * 360 - 180, (x + 1) / 2**z * 360 - 180))
        expected = [
            math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * at / 2**z)))) for at in (y + 1, y)
        ]
        assert lat == pytest.approx(expected)
        child = tile_bounds_m(z + 1, 2 * x + 1, 2 * y)
        assert child == pytest.approx(((west + east) / 2, (south + north) / 2, east, north))


def test_another_tile_or_display_has_another_tag(tmp_path):
    place = Place(tmp_path, cells=(5, 5))

    def tag(*of, threshold=None):
        return tile_etag(place.folder, *of, threshold=threshold)

    asked = [("ss_rsrp_dbm", 14, 1, 2), ("best_server", 14, 1, 2), ("ss_rsrp_dbm", 15, 1, 2)]
    asked += [("ss_rsrp_dbm", 14, 11, 2), ("ss_rsrp_dbm", 14, 1, 12)]
    tags = {tag(*of) for of in asked} | {tag(*asked[0], threshold=t) for t in (-99.0, -100.0, 0.0)}
    assert len(tags) == 8
    assert tag(*asked[0]) == tag(*asked[0])
    assert all(t.startswith('"') and t.endswith('"') and t.isascii() for t in tags)
    x, y, *_ = tile_at(*HELSINKI, 16)
    before = render_tile(place.folder, "ss_rsrp_dbm", 16, x, y)
    place.about["layers"][0]["legend"]["range"] = [-80.0, -10.0]
    write_about(place.about, place.folder)
    os.utime(place.folder / ABOUT, ns=(1, 1))
    assert tag(*asked[0]) not in tags
    assert render_tile(place.folder, "ss_rsrp_dbm", 16, x, y) != before


def test_a_map_of_very_many_servers(tmp_path, monkeypatch):
    """A tile has 256 colours: the sectors beyond are not painted, and nothing fails."""
    place = Place(tmp_path, cells=(20, 20))
    items = [{"value": i, "label": "", "color": "#123456"} for i in range(400)]
    place.about["layers"][1]["legend"]["items"] = items
    monkeypatch.setattr(tiles, "_parsed", lambda *_: place.about)
    x, y, *_ = tile_at(*HELSINKI, 17)
    image = rgba(render_tile(place.folder, "best_server", 17, x, y))
    assert (image[..., 3] == 255).any()
