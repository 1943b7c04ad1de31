import sqlite3
import warnings
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from shapely import box

from rfplatform.errors import InputError
from rfplatform.formats.contours import CONTOUR_LEVELS, band_polygons, write_contours
from rfplatform.frame import Frame
from rfplatform.planning.layers import planning_layers
from rfplatform.radiomap import Grid

LAYERS = ("ss_rsrp_dbm", "ss_sinr_db", "best_server")


@pytest.fixture(scope="module")
def package(radio_map, planning, tmp_path_factory):
    path = tmp_path_factory.mktemp("gpkg") / "contours.gpkg"
    write_contours(radio_map, planning, path, title="Town")
    return path


@pytest.fixture(scope="module")
def tables(package):
    return {name: gpd.read_file(package, layer=name) for name in LAYERS}


def test_layers_crs_columns_and_attribution(package, tables):
    assert [name for name, _ in pyogrio.list_layers(package)] == list(LAYERS)
    for name, table in tables.items():
        assert table.crs.to_epsg() == 32635
        assert set(table.geom_type) == {"MultiPolygon"}
        metadata = pyogrio.read_info(package, layer=name)["layer_metadata"]
        assert metadata["TITLE"] == "Town"
        assert metadata["ATTRIBUTION"] == "© OpenStreetMap contributors"
    columns = {name: list(table.columns[:-1]) for name, table in tables.items()}
    assert columns == {
        "ss_rsrp_dbm": ["from_dbm", "to_dbm", "area_m2"],
        "ss_sinr_db": ["from_db", "to_db", "area_m2"],
        "best_server": ["sector", "site", "area_m2"],
    }
    with sqlite3.connect(package) as database:
        rows = database.execute("select identifier, description from gpkg_contents").fetchall()
    assert rows[0][0] == "SS-RSRP [dBm]"
    assert all("© OpenStreetMap contributors" in description for _, description in rows)


@pytest.mark.parametrize("name", LAYERS)
def test_polygons_are_valid_do_not_overlap_and_sum_to_the_covered_area(
    radio_map, planning, tables, name
):
    table = tables[name]
    covered = radio_map.outdoor & (planning.best_server >= 0)
    area = covered.sum() * radio_map.grid.resolution_m**2
    assert table.is_valid.all()
    assert table["area_m2"].to_numpy() == pytest.approx(table.area.to_numpy())
    assert table["area_m2"].sum() == pytest.approx(area)
    # As much together as one by one: nothing is covered twice.
    assert table.union_all().area == pytest.approx(area)


def test_every_covered_cell_lies_in_the_polygon_of_its_value(radio_map, planning, tables):
    grid = radio_map.grid
    covered = radio_map.outdoor & (planning.best_server >= 0)
    rows, columns = np.nonzero(covered)
    pick = np.random.default_rng(4).choice(len(rows), 3000, replace=False)
    rows, columns = rows[pick], columns[pick]
    points = gpd.GeoSeries.from_xy(
        grid.easting_m()[columns], grid.northing_m()[rows], crs=grid.frame.crs
    )
    found = gpd.sjoin(gpd.GeoDataFrame(geometry=points), tables["ss_rsrp_dbm"]).sort_index()
    assert len(found) == len(points)
    rsrp = planning.ss_rsrp_dbm[rows, columns]
    assert (rsrp >= found["from_dbm"].fillna(-np.inf)).all()
    assert (rsrp < found["to_dbm"].fillna(np.inf)).all()
    found = gpd.sjoin(gpd.GeoDataFrame(geometry=points), tables["best_server"]).sort_index()
    labels = [radio_map.sectors[i].label for i in planning.best_server[rows, columns]]
    assert found["sector"].tolist() == labels


def test_bands_ascend_and_their_ends_are_open(tables):
    table = tables["ss_sinr_db"]
    assert np.isnan(table["from_db"].iloc[0])
    assert np.isnan(table["to_db"].iloc[-1])
    assert table["to_db"].iloc[:-1].tolist() == list(CONTOUR_LEVELS["ss_sinr_db"])


def test_a_value_on_a_border_lies_above_it_and_corners_do_not_join():
    grid = Grid(Frame("EPSG:32635", 1000.0, 2000.0), 0.0, 0.0, 10.0, 3, 2)
    values = np.array([[-90.0, -90.1, np.nan], [-95.0, -85.0, -90.0]], np.float32)
    table = band_polygons(values, grid, (-90.0,), "dbm")
    assert table["area_m2"].tolist() == [200.0, 300.0]
    low, high = table.geometry
    assert low.equals(box(1010, 2000, 1020, 2010).union(box(1000, 2010, 1010, 2020)))
    assert len(low.geoms) == 2
    assert high.equals(box(1000, 2000, 1010, 2010).union(box(1010, 2010, 1030, 2020)))


def test_a_map_without_coverage_has_its_layers_and_no_features(radio_map, tmp_path):
    dark = replace(radio_map, path_gain_db=np.full_like(radio_map.path_gain_db, -np.inf), attrs={})
    write_contours(dark, planning_layers(dark), tmp_path / "dark.gpkg")
    for name in LAYERS:
        table = gpd.read_file(tmp_path / "dark.gpkg", layer=name)
        assert len(table) == 0
        assert table.crs.to_epsg() == 32635
        assert "area_m2" in table


def test_local_metres_have_no_crs(radio_map, planning, tmp_path):
    local = replace(radio_map, grid=replace(radio_map.grid, frame=Frame(None, 0.0, 0.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        write_contours(local, planning, tmp_path / "local.gpkg")
    table = gpd.read_file(tmp_path / "local.gpkg", layer="ss_rsrp_dbm")
    assert table.crs is None
    west, south, east, north = table.total_bounds
    assert local.grid.west_m <= west < east <= local.grid.east_m
    assert local.grid.south_m <= south < north <= local.grid.north_m


def test_overwrite_is_asked_for_and_failures_leave_nothing(
    radio_map, planning, package, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="--overwrite"):
        write_contours(radio_map, planning, package)

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geopandas.GeoDataFrame.to_file", fail)
    with pytest.raises(OSError, match="No space"):
        write_contours(radio_map, planning, tmp_path / "map.gpkg")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="must ascend"):
        band_polygons(np.zeros((1, 1)), radio_map.grid, (3.0, 1.0), "db")
