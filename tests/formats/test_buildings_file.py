from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate
from shapely import Point

from rfplatform.formats.buildings import write_buildings_parquet, write_height_geotiff
from rfplatform.radiomap import Grid
from rfplatform.rasterize import height_raster


def test_parquet_round_trip(scene, tmp_path):
    write_buildings_parquet(scene, tmp_path / "buildings.parquet")
    table = gpd.read_parquet(tmp_path / "buildings.parquet")
    assert table.crs.to_epsg() == 32635
    assert list(table.columns) == [
        "osm_id", "height_m", "base_m", "height_source", "material", "ground_m",
        "outline_id", "geometry",
    ]  # fmt: skip
    assert len(table) == len(scene.buildings)
    assert table.attrs["attribution"] == scene.attribution
    frame = scene.frame
    for building, row in zip(scene.buildings[:20], table.itertuples(), strict=False):
        assert (building.osm_id, building.top_m, building.base_m) == (
            row.osm_id, row.height_m, row.base_m,
        )  # fmt: skip
        local = np.asarray(building.footprint.centroid.coords[0])
        there = np.asarray(row.geometry.centroid.coords[0])
        assert there - local == pytest.approx([frame.origin_easting_m, frame.origin_northing_m])
        assert row.geometry.area == pytest.approx(building.footprint.area)
        assert len(row.geometry.interiors) == len(building.footprint.interiors)


def test_parquet_without_buildings(scene, tmp_path):
    write_buildings_parquet(replace(scene, buildings=()), tmp_path / "none.parquet")
    table = gpd.read_parquet(tmp_path / "none.parquet")
    assert len(table) == 0
    assert table.crs.to_epsg() == 32635


def test_heights_are_a_north_up_cog(scene, tmp_path):
    path = tmp_path / "building_heights.tif"
    grid = Grid.covering((-300.0, -200.0, 310.0, 220.0), scene.frame, 1.0)
    write_height_geotiff(scene, grid, path)
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(path) as source:
        assert source.crs.to_epsg() == 32635
        assert source.units == ("m",)
        assert source.tags()["attribution"] == scene.attribution
        assert np.array_equal(source.read(1)[::-1], height_raster(scene, grid))
        building = next(b for b in scene.buildings if b.footprint.distance(Point(100, 100)) < 60)
        inside = building.footprint.representative_point()
        east, north = scene.frame.origin_easting_m, scene.frame.origin_northing_m
        sampled = next(source.sample([(inside.x + east, inside.y + north)]))
        assert sampled[0] == np.float32(building.top_m)
