"""Tiles put together are the map that was never cut; where they differ, they blend as stated."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import xarray as xr

import pipelines.mosaic
import pipelines.mosaic_plan
from pipelines.mosaic import Config, main
from rfplatform.errors import InputError
from rfplatform.formats.geotiff import write_geotiff
from rfplatform.formats.zarr import read_zarr, write_zarr
from rfplatform.frame import Frame
from rfplatform.mosaic import Part, Seams, blend, level_at_cuts_dbm
from rfplatform.planning.layers import Assumptions, planning_layers
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.store import Store

CRS, EAST, NORTH = "EPSG:32635", 385_000.0, 6_671_000.0
RESOLUTION_M, TILE_M, OVERLAP_M = 5.0, 400.0, 50.0
ASSUMED = Assumptions(load=0.5, noise_figure_db=6.0)
LAYERS = (
    "path_gain_db", "standard_error_db", "outdoor", "los", "raw_path_gain_db", "ground_m",
    "mean_delay_s", "delay_spread_s",
)  # fmt: skip


def cut(whole, bounds_m, origin=(0.0, 0.0), sectors=None):
    """A part of a map, between borders in metres from its south-west corner, in another frame."""
    grid, edge = whole.grid, whole.grid.resolution_m
    west, south, east, north = (round(bound / edge) for bound in bounds_m)
    keep = list(range(len(whole.sectors))) if sectors is None else sectors
    frame = Frame(
        grid.frame.crs,
        grid.frame.origin_easting_m + origin[0],
        grid.frame.origin_northing_m + origin[1],
    )
    part = Grid(
        frame,
        grid.west_m + west * edge - origin[0],
        grid.south_m + south * edge - origin[1],
        edge,
        east - west,
        north - south,
        grid.receiver_height_m,
    )

    def of(name):
        layer = getattr(whole, name)
        if layer is None:
            return None
        layer = layer[..., south:north, west:east]
        return layer[keep] if layer.ndim == 3 else layer

    return RadioMap(
        grid=part,
        sectors=tuple(
            replace(s, x_m=s.x_m - origin[0], y_m=s.y_m - origin[1])
            for s in (whole.sectors[i] for i in keep)
        ),
        attrs=whole.attrs,
        **{name: of(name) for name in LAYERS},
    )


def facts(radio_map, core_m, tile):
    grid = radio_map.grid
    west = grid.west_m + grid.frame.origin_easting_m
    south = grid.south_m + grid.frame.origin_northing_m
    bounds = [west, south, west + grid.num_x * grid.resolution_m,
              south + grid.num_y * grid.resolution_m]  # fmt: skip
    lon, lat = grid.frame.to_lonlat(
        [grid.west_m, grid.east_m, grid.east_m, grid.west_m, grid.west_m],
        [grid.south_m, grid.south_m, grid.north_m, grid.north_m, grid.south_m],
    )
    return {
        "area": "Helsinki",
        "footprint_lonlat": [list(corner) for corner in zip(lon, lat, strict=True)],
        "crs": grid.frame.crs,
        "bounds_m": bounds,
        "grid": {
            "num_x": grid.num_x, "num_y": grid.num_y, "resolution_m": grid.resolution_m,
            "receiver_height_m": grid.receiver_height_m, "west_easting_m": west,
            "south_northing_m": south,
        },
        "tile": None if tile is None else {
            "column": tile[0], "row": tile[1], "core_bounds_m": list(core_m or bounds),
            "margin_m": 200.0, "overlap_m": OVERLAP_M,
        },
        "sectors": [
            {"site": s.site, "sector": s.name, "frequency_hz": s.frequency_hz}
            for s in radio_map.sectors
        ],
        "solver": dict(radio_map.attrs),
    }  # fmt: skip


def put(store, folder, radio_map, name, core_m=None, tile=(0, 0), planned=ASSUMED):
    """What a batch leaves of a map."""
    path = folder / "radio_map.zarr.zip"
    write_zarr(
        radio_map, path, planning=planning_layers(radio_map, planned),
        noise_figure_db=planned.noise_figure_db, overwrite=True,
    )  # fmt: skip
    file = store.put_file(path)
    assert isinstance(file, File)
    return store.put_artifact(
        Artifact(
            f"maps/{name}", file.sha256[:32], "radio-map", (file,),
            config={"area": "helsinki"}, facts=facts(radio_map, core_m, tile),
        )
    )  # fmt: skip


def collect(store, jobs, version="1", created="2026-01-01T00:00:00+00:00"):
    refs = {job: [a.ref for a in artifacts] for job, artifacts in jobs.items()}
    parents = tuple(ref for listed in refs.values() for ref in listed)
    store.put_artifact(
        Artifact(
            "collections/jobs", version, "collection", parents=parents, facts={"jobs": refs},
            created=created,
        )
    )  # fmt: skip


def tiles_of(whole, skip=()):
    """The tiles of a map: (column, row), what is mapped, and its core from the map's corner."""
    width = whole.grid.num_x * RESOLUTION_M
    height = whole.grid.num_y * RESOLUTION_M
    for row in range(int(np.ceil(height / TILE_M))):
        for column in range(int(np.ceil(width / TILE_M))):
            core = (column * TILE_M, row * TILE_M,
                    min((column + 1) * TILE_M, width), min((row + 1) * TILE_M, height))  # fmt: skip
            half = OVERLAP_M / 2
            mapped = (max(core[0] - half, 0.0), max(core[1] - half, 0.0),
                      min(core[2] + half, width), min(core[3] + half, height))  # fmt: skip
            if (column, row) not in skip:
                yield (column, row), mapped, core


def put_tiles(store, folder, whole, skip=(), sectors=None, name="helsinki"):
    corner = (
        whole.grid.west_m + whole.grid.frame.origin_easting_m,
        whole.grid.south_m + whole.grid.frame.origin_northing_m,
    )
    return [
        put(
            store,
            folder,
            # Each in a frame of its own, as an area's own centre is its origin.
            cut(whole, mapped, (7.0 * place[0] - 3.0, 5.0 * place[1] + 1.0),
                None if sectors is None else sectors(place)),
            f"{name}-{place[0]}-{place[1]}",
            [core[0] + corner[0], core[1] + corner[1], core[2] + corner[0], core[3] + corner[1]],
            place,
        )
        for place, mapped, core in tiles_of(whole, skip)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def helsinki():
    """Three UMi sites over central Helsinki, by the closed form."""
    from rfplatform.catalog import find_solver
    from rfplatform.geodata.load import load_scene
    from rfplatform.geodata.place import BuiltIn
    from rfplatform.geodata.sites import parse_site_option, place_sectors
    from rfplatform.scene import Area

    scene = load_scene(BuiltIn("helsinki"), Area("Helsinki", 24.940, 60.1655, 24.953, 60.1710))
    rows = [
        parse_site_option(text, number=number)
        for number, text in enumerate(
            ("24.9424,60.1669,5,90", "24.9470,60.1675,12", "24.9500,60.1700,4,200",
             "24.9450,60.1690,6,300", "24.9515,60.1665,15", "24.9465,60.1660,5,0"), start=1
        )
    ]  # fmt: skip
    sectors = place_sectors(rows, scene)
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, RESOLUTION_M)
    solved = find_solver("tr38901-umi").config().load()(scene, sectors, grid)
    # What the closed form does not give, so that every layer is blended.
    lit = np.isfinite(solved.path_gain_db)
    delay_s = np.where(lit, -solved.path_gain_db * 1e-8, np.nan).astype(np.float32)
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    return replace(
        solved,
        standard_error_db=np.where(lit, 0.7, np.nan).astype(np.float32),
        raw_path_gain_db=solved.path_gain_db - np.float32(0.5),
        ground_m=(0.01 * x + 0.02 * y).astype(np.float32),
        mean_delay_s=delay_s,
        delay_spread_s=delay_s / 4,
        attrs={"solver": "tr38901-umi", "attribution": "© OpenStreetMap contributors"},
    )


@pytest.fixture(scope="module")
def made(helsinki, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mosaic")
    store = Store(str(folder / "out"))
    artifacts = put_tiles(store, folder, helsinki)
    assert len(artifacts) == 4
    collect(store, {"town": artifacts})
    record = main(Config(store.url, folder / "mosaic"))
    return folder, record


def datasets(first, second):
    with (
        xr.open_zarr(first, decode_coords="all") as one,
        xr.open_zarr(second, decode_coords="all") as two,
    ):
        return one.load(), two.load()


def test_the_mosaic_of_tiles_is_the_map_that_was_never_cut(helsinki, made, tmp_path):
    folder, record = made
    planning = planning_layers(helsinki, ASSUMED)
    write_zarr(helsinki, tmp_path / "whole.zarr", planning=planning, noise_figure_db=6.0)
    ours, whole = datasets(folder / "mosaic" / "radio_map.zarr", tmp_path / "whole.zarr")
    assert set(ours.variables) == set(whole.variables)
    for name, expected in whole.variables.items():
        variable = ours.variables[name]
        assert variable.dims == expected.dims, name
        assert variable.dtype == expected.dtype, name
        own = {k: v for k, v in variable.attrs.items() if k != "GeoTransform"}
        assert str(own) == str({k: expected.attrs[k] for k in own}), name
        assert set(variable.attrs) == set(expected.attrs), name
        if name.startswith("local_"):
            continue  # From the mosaic's own origin.
        if name == "standard_error_db":
            # The tiles' errors count as independent, though here they are the same.
            ratio = variable.to_numpy() / expected.to_numpy()
            assert 0.45 < np.nanmin(ratio) < 0.51
            assert np.nanmax(ratio) == 1.0
            continue
        if expected.dtype.kind == "f" and "delay" not in str(name):
            # A float32 is rounded once more where tiles overlap.
            np.testing.assert_allclose(variable, expected, rtol=3e-7, atol=5e-4, err_msg=name)
        elif expected.dtype.kind == "f":
            # A spread is the small difference of two squares.
            np.testing.assert_allclose(variable, expected, rtol=1e-4, err_msg=name)
        elif name not in ("cqi",):
            differ = np.mean(np.asarray(variable != expected))
            assert differ < 1e-3, name
    assert ours.attrs["planning"] == whole.attrs["planning"]
    assert ours.rio.transform() == whole.rio.transform()
    assert record["tiles"] == {"count": 4, "missing": 0, "covered_share": 1.0}
    assert record["warnings"] == []


def test_alone_a_cell_keeps_its_values_to_the_last_bit(helsinki, made):
    folder, _ = made
    again = read_zarr(folder / "mosaic" / "radio_map.zarr")
    num_y, num_x = helsinki.grid.shape
    count = np.zeros((num_y, num_x), dtype=int)
    for _, mapped, _ in tiles_of(helsinki):
        west, south, east, north = (round(bound / RESOLUTION_M) for bound in mapped)
        count[south:north, west:east] += 1
    alone = count == 1
    assert 0.5 < alone.mean() < 0.9
    for name in LAYERS:
        first, second = getattr(again, name)[..., alone], getattr(helsinki, name)[..., alone]
        np.testing.assert_array_equal(first, second, err_msg=name)
    for one, two in zip(again.sectors, helsinki.sectors, strict=True):
        assert one.label == two.label
        moved = replace(
            two,
            x_m=two.x_m + helsinki.grid.frame.origin_easting_m
            - again.grid.frame.origin_easting_m,
            y_m=two.y_m + helsinki.grid.frame.origin_northing_m
            - again.grid.frame.origin_northing_m,
        )  # fmt: skip
        assert one == moved


def test_the_geotiff_is_that_of_the_whole_map(helsinki, made, tmp_path):
    folder, _ = made
    write_geotiff(helsinki, tmp_path / "w.tif", planning=planning_layers(helsinki, ASSUMED))
    with (
        rasterio.open(folder / "mosaic" / "radio_map.tif") as ours,
        rasterio.open(tmp_path / "w.tif") as whole,
    ):
        assert ours.descriptions == whole.descriptions
        assert ours.units == whole.units
        assert (ours.transform, ours.crs, ours.shape) == (
            whole.transform, whole.crs, whole.shape,
        )  # fmt: skip
        assert ours.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        for number in ours.indexes:
            assert ours.tags(number) == whole.tags(number)
            one, two = ours.read(number), whole.read(number)
            assert np.array_equal(np.isnan(one), np.isnan(two)), number
            near = np.isclose(one, two, rtol=1e-3, atol=1e-3, equal_nan=True)
            assert near.mean() > 0.999, ours.descriptions[number - 1]


def test_the_record_tells_of_what_it_is_made(made):
    folder, record = made
    written = json.loads((folder / "mosaic" / "mosaic.json").read_text())
    assert written == {k: v for k, v in record.items() if k != "out"}
    assert {p.name for p in (folder / "mosaic").iterdir()} == set(record["outputs"])
    assert record["jobs"] == ["town"]
    assert len(record["members"]) == record["tiles"]["count"]
    assert record["solver"]["solver"] == "tr38901-umi"
    assert 0.3 < record["coverage"]["reached"] <= 1.0
    assert (folder / "mosaic" / "radio_map.png").stat().st_size > 10_000


def test_small_blocks_give_what_one_block_gives(made, tmp_path, monkeypatch):
    folder, _ = made
    monkeypatch.setattr(pipelines.mosaic_plan, "CHUNKS_CELLS", (64,))
    record = main(Config(str(folder / "out"), tmp_path / "small"))
    assert record["chunk_cells"] == 64
    ours, whole = datasets(
        tmp_path / "small" / "radio_map.zarr", folder / "mosaic" / "radio_map.zarr"
    )
    xr.testing.assert_identical(ours, whole)
    with (
        rasterio.open(tmp_path / "small" / "radio_map.tif") as one,
        rasterio.open(folder / "mosaic" / "radio_map.tif") as two,
    ):
        np.testing.assert_array_equal(one.read(), two.read())


def test_a_block_knows_the_tiles_in_it_and_beside_it():
    def tile(column, row):
        grid = SimpleNamespace(num_x=10, num_y=10)
        return SimpleNamespace(column=column + 100, row=row + 200, map=SimpleNamespace(grid=grid))

    plan = SimpleNamespace(
        tiles=[tile(0, 0), tile(10, 0), tile(35, 11)], column=100, row=200, chunk_cells=10,
        grid=SimpleNamespace(num_x=45, num_y=21),
    )  # fmt: skip
    found = [
        (rows.start, columns.start, near.tolist())
        for rows, columns, near in pipelines.mosaic_plan.blocks(plan)
    ]
    # Without those that only touch a tile: nothing is known there.
    assert found == [
        (0, 0, [0, 1]), (0, 10, [0, 1]),
        (10, 30, [2]), (10, 40, [2]), (20, 30, [2]), (20, 40, [2]),
    ]  # fmt: skip


def test_a_missing_tile_stays_empty_and_is_told(helsinki, tmp_path):
    store = Store(str(tmp_path / "out"))
    collect(store, {"town": put_tiles(store, tmp_path, helsinki, skip=[(1, 0)])})
    record = main(Config(store.url, tmp_path / "mosaic"))
    assert record["tiles"]["missing"] == 1
    assert record["tiles"]["covered_share"] < 1.0
    assert "1 of 4 tiles have no map: nothing is known there" in record["warnings"]
    whole = read_zarr(tmp_path / "mosaic" / "radio_map.zarr")
    hole = (slice(0, 75), slice(85, None))
    assert np.isneginf(whole.path_gain_db[(slice(None), *hole)]).all()
    assert not whole.outdoor[hole].any()
    # Beside it a tile counts up to its border.
    beside = (slice(None), slice(0, 70), slice(76, 85))
    np.testing.assert_array_equal(whole.path_gain_db[beside], helsinki.path_gain_db[beside])
    with rasterio.open(tmp_path / "mosaic" / "radio_map.tif") as file:
        assert np.isnan(file.read()[:, ::-1][(slice(None), *hole)]).all()
    with xr.open_zarr(tmp_path / "mosaic" / "radio_map.zarr") as dataset:
        assert (dataset["best_server"].to_numpy()[hole] == -1).all()
        assert np.isnan(dataset["rate_bps"].to_numpy()[hole]).all()


def test_a_box_is_cut_out(helsinki, made, tmp_path):
    folder, _ = made
    grid = helsinki.grid
    x, y = grid.west_m + np.array([200.0, 420.0]), grid.south_m + np.array([260.0, 500.0])
    lon, lat = grid.frame.to_lonlat(x, y)
    box = f"{lon[0]},{lat[0]},{lon[1]},{lat[1]}"
    record = main(Config(str(folder / "out"), tmp_path / "box", bbox=box))
    assert abs(record["grid"]["num_x"] - 44) < 4
    part = read_zarr(tmp_path / "box" / "radio_map.zarr")
    column = round(
        (part.grid.west_m + part.grid.frame.origin_easting_m
         - grid.west_m - grid.frame.origin_easting_m) / RESOLUTION_M
    )  # fmt: skip
    row = round(
        (part.grid.south_m + part.grid.frame.origin_northing_m
         - grid.south_m - grid.frame.origin_northing_m) / RESOLUTION_M
    )  # fmt: skip
    np.testing.assert_allclose(
        part.path_gain_db,
        helsinki.path_gain_db[:, row : row + part.grid.num_y, column : column + part.grid.num_x],
        atol=1e-4,
    )
    with pytest.raises(InputError, match="no map lies in it"):
        main(Config(str(folder / "out"), tmp_path / "none", bbox="25.5,60.1,25.6,60.2"))
    assert not (tmp_path / "none").exists()


# By hand


def flat(gain_db, error_db=None, west_m=0.0, num_x=20, sectors=("a",), **about):
    """A map of one level, on 10 x num_x cells of 10 m."""
    grid = Grid(Frame(CRS, EAST, NORTH), west_m, 0.0, 10.0, num_x, 10)
    shape = (len(sectors), 10, num_x)
    return RadioMap(
        grid,
        tuple(Sector("mast", name, 150.0, 50.0, 20.0, **about) for name in sectors),
        np.full(shape, gain_db, np.float32),
        None if error_db is None else np.full(shape, error_db, np.float32),
        np.ones(grid.shape, bool),
    )


def test_seams_are_linear_and_add_up_to_one():
    grid = Grid(Frame(CRS, EAST, NORTH), 0.0, 0.0, 10.0, 20, 10)
    left, across = Seams(east_m=80.0).weights(grid)
    right, _ = Seams(west_m=80.0).weights(grid)
    np.testing.assert_allclose(left[:12], 1.0)
    np.testing.assert_allclose(left[12:], [0.9375 - 0.125 * i for i in range(8)])
    np.testing.assert_allclose(left[12:] + right[:8], 1.0)
    np.testing.assert_allclose(across, 1.0)


@pytest.mark.parametrize("of_first", [0.5, 0.8])
def test_power_is_blended_linearly_and_errors_as_those_of_independent_tiles(of_first):
    first, second = flat(-80.0, 2.0), flat(-83.0, 3.0)
    whole, covered = blend(
        first.grid,
        first.sectors,
        [
            Part(first, [0], np.full((10, 20), of_first)),
            Part(second, [0], np.full((10, 20), 1 - of_first)),
        ],
    )
    assert covered.all()
    power = of_first * 1e-8 + (1 - of_first) * 10**-8.3
    np.testing.assert_allclose(whole.path_gain_db, 10 * np.log10(power), rtol=1e-6)
    error = np.hypot(of_first * 1e-8 * 2.0, (1 - of_first) * 10**-8.3 * 3.0) / power
    np.testing.assert_allclose(whole.standard_error_db, error, rtol=1e-5)


def test_noise_falls_in_the_overlap_as_stated():
    rng = np.random.default_rng(1)
    parts = []
    for _ in range(2):
        part = flat(-80.0, 0.3, num_x=4000)
        noisy = part.path_gain_db + rng.normal(0.0, 0.3, part.path_gain_db.shape)
        parts.append(replace(part, path_gain_db=noisy.astype(np.float32)))
    weight = np.full((10, 4000), 1.0)
    whole, _ = blend(parts[0].grid, parts[0].sectors, [Part(p, [0], weight) for p in parts])
    assert np.std(parts[0].path_gain_db) == pytest.approx(0.3, rel=0.02)
    assert np.std(whole.path_gain_db) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)
    assert np.median(whole.standard_error_db) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


def test_a_sector_that_a_tile_lacks_counts_as_no_power_there():
    both, one = flat(-80.0, 1.0, sectors=("a", "b")), flat(-80.0, 1.0)
    half = np.full((10, 20), 0.5)
    whole, _ = blend(both.grid, both.sectors, [Part(both, [0, 1], half), Part(one, [0], half)])
    np.testing.assert_allclose(whole.path_gain_db[0], -80.0, atol=1e-5)
    np.testing.assert_allclose(whole.path_gain_db[1], -80.0 + 10 * np.log10(0.5), rtol=1e-6)
    np.testing.assert_allclose(whole.standard_error_db[1], 1.0, rtol=1e-6)


def test_a_sector_that_ends_at_a_margin_is_told_by_its_level_there():
    both, one = flat(-80.0, sectors=("a", "b")), flat(-80.0)
    half = np.full((10, 20), 0.5)
    parts = [Part(both, [0, 1], half), Part(one, [0], half)]
    level_dbm = level_at_cuts_dbm(both.grid, both.sectors, parts)
    assert level_dbm[0] == -np.inf  # both have it
    assert level_dbm[1] == pytest.approx(-80.0 + both.sectors[1].power_dbm)


def test_cells_that_no_part_covers_are_dark():
    left, right = flat(-80.0, num_x=5), flat(-90.0, west_m=80.0, num_x=5)
    grid = replace(left.grid, num_x=13)
    one = np.ones((10, 5))
    whole, covered = blend(grid, left.sectors, [Part(left, [0], one), Part(right, [0], one)])
    assert np.array_equal(covered, np.broadcast_to([1] * 5 + [0] * 3 + [1] * 5, (10, 13)))
    assert np.isneginf(whole.path_gain_db[0][~covered]).all()
    assert not whole.outdoor[~covered].any()
    assert (whole.path_gain_db[0][:, 8:] == -90.0).all()


def test_sectors_of_tiles_become_one_list(helsinki, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.mosaic_plan, "CHUNKS_CELLS", (80,))
    store = Store(str(tmp_path / "out"))
    having = {(0, 0): [0, 1, 2], (1, 0): [1, 3]}
    artifacts = put_tiles(
        store, tmp_path, helsinki, sectors=lambda place: having.get(place, [4, 5])
    )
    collect(store, {"town": artifacts})
    main(Config(store.url, tmp_path / "mosaic"))
    with xr.open_zarr(tmp_path / "mosaic" / "radio_map.zarr") as dataset:
        labels = [helsinki.sectors[i].label for i in (0, 1, 2, 3, 4, 5)]
        assert sorted(dataset.sector.to_numpy()) == sorted(labels)
        # A sector that only one tile has takes the chunks of that tile alone.
        only = dataset["path_gain_db"].sel(sector=helsinki.sectors[0].label).to_numpy()
        np.testing.assert_array_equal(
            only[:50, :50], np.where(np.isneginf(helsinki.path_gain_db[0]), np.nan,
                                     helsinki.path_gain_db[0])[:50, :50]
        )  # fmt: skip
        assert np.isnan(only[85:]).all()
        served = dataset["best_server"].to_numpy()
        rsrp = dataset["sector_ss_rsrp_dbm"].fillna(-np.inf).to_numpy()
        best = np.where(np.isfinite(rsrp.max(axis=0)), rsrp.argmax(axis=0), -1)
        np.testing.assert_array_equal(served, best)
    with rasterio.open(tmp_path / "mosaic" / "radio_map.tif") as file:
        assert list(file.descriptions[:6]) == dataset.sector.to_numpy().tolist()
        band = file.descriptions.index("best server") + 1
        shown = np.nan_to_num(file.read(band), nan=-1)[::-1]
        np.testing.assert_array_equal(shown, best)


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: replace(m, grid=replace(m.grid, receiver_height_m=3.0)), "receiver height"),
        (
            lambda m: replace(m, sectors=(replace(m.sectors[0], frequency_hz=7e8),)),
            '3.5 GHz in .*0.7 GHz in .*--job "high" or --job "low"',
        ),
        (
            lambda m: replace(
                m, grid=replace(m.grid, frame=Frame("EPSG:32634", EAST + 140.0, NORTH))
            ),
            "differing CRS.*EPSG:32635.*EPSG:32634.*--job",
        ),
        (
            lambda m: replace(m, grid=replace(m.grid, west_m=m.grid.west_m - 100.0)),
            "same ground.*--job",
        ),
        (
            lambda m: replace(m, sectors=(replace(m.sectors[0], power_dbm=30.0),)),
            "power_dbm 43.0 dBm .*30.0 dBm",
        ),
        (lambda m: replace(m, attrs={"solver": "free-space"}), "differing solver"),
    ],
)
def test_maps_that_do_not_fit_are_refused_in_one_line(tmp_path, change, message):
    store = Store(str(tmp_path / "out"))
    west, east = flat(-80.0), change(flat(-80.0, west_m=200.0))
    first = put(store, tmp_path, west, "west")
    second = put(store, tmp_path, east, "east", tile=(1, 0))
    collect(store, {"high": [first], "low": [second]})
    with pytest.raises(InputError, match=message) as refused:
        main(Config(store.url, tmp_path / "mosaic"))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "mosaic").exists()
    record = main(Config(store.url, tmp_path / "mosaic", job="high"))
    assert record["members"] == [first.ref]


def test_the_newest_collection_counts(tmp_path):
    store = Store(str(tmp_path / "out"))
    old = put(store, tmp_path, flat(-80.0), "west")
    new = put(store, tmp_path, flat(-81.0), "west")
    collect(store, {"town": [old]}, "b", "2026-01-01T00:00:00+00:00")
    collect(store, {"town": [new]}, "a", "2026-01-02T00:00:00+00:00")
    assert main(Config(store.url, tmp_path / "mosaic"))["members"] == [new.ref]
    with pytest.raises(InputError, match=r"no job 'city' .*known: town"):
        main(Config(store.url, tmp_path / "other", job="city"))


def test_without_a_collection_all_maps_are_taken(tmp_path):
    store = Store(str(tmp_path / "out"))
    with pytest.raises(InputError, match="no maps at"):
        main(Config(store.url, tmp_path / "mosaic"))
    put(store, tmp_path, flat(-80.0), "west")
    put(store, tmp_path, flat(-80.0, west_m=200.0), "east", tile=(1, 0))
    record = main(Config(store.url, tmp_path / "mosaic"))
    assert record["grid"]["num_x"] == 40


def test_a_store_elsewhere_gives_the_same(tmp_path):
    import fsspec

    store = Store(str(tmp_path / "out"))
    put(store, tmp_path, flat(-80.0), "west")
    fsspec.filesystem("memory").put(str(tmp_path / "out"), "/mosaic-test", recursive=True)
    record = main(Config("memory://mosaic-test", tmp_path / "mosaic"))
    assert record["grid"]["num_x"] == 20
    assert {p.name for p in (tmp_path / "mosaic").iterdir()} == set(record["outputs"])


def test_one_name_at_two_places_is_two_sectors(tmp_path):
    store = Store(str(tmp_path / "out"))
    east = flat(-80.0, west_m=200.0)
    east = replace(east, sectors=(replace(east.sectors[0], x_m=300.0),))
    put(store, tmp_path, flat(-80.0), "west")
    put(store, tmp_path, east, "east", tile=(1, 0))
    record = main(Config(store.url, tmp_path / "mosaic"))
    assert record["sectors"]["count"] == 2
    assert any("'mast/a'" in text for text in record["warnings"])
    with xr.open_zarr(tmp_path / "mosaic" / "radio_map.zarr") as dataset:
        assert dataset.sector.to_numpy().tolist() == ["mast/a", "mast (2)/a"]


def test_many_sectors_give_no_bands_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.mosaic, "MAX_SECTOR_BANDS", 1)
    monkeypatch.setattr(pipelines.mosaic, "MAX_PICTURE_SECTORS", 1)
    store = Store(str(tmp_path / "out"))
    put(store, tmp_path, flat(-80.0, sectors=("a", "b")), "west")
    main(Config(store.url, tmp_path / "mosaic"))
    with rasterio.open(tmp_path / "mosaic" / "radio_map.tif") as file:
        assert file.descriptions[0] == "best RSS [dBm]"
        assert "best server" in " ".join(file.descriptions)
        np.testing.assert_allclose(file.read(1), -80.0 + 43.0)
