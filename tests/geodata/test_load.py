"""From a source to a scene: names, ids, bounds and hints, whatever the source."""

import geopandas as gpd
import pytest
import shapely

from rfplatform.errors import InputError
from rfplatform.geodata.footprints import OSM_ATTRIBUTION, from_geodataframe, read_footprint_file
from rfplatform.geodata.load import load_scene, source_name, source_path
from rfplatform.geodata.place import (
    BoxSource,
    BuiltIn,
    FileSource,
    PlaceName,
    parse_area,
    parse_bbox,
)
from rfplatform.scene import Area

BOX = Area("box", 8.0, 50.0, 8.01, 50.01)


def table(count=3, **columns):
    shapes = [shapely.box(8.001 + k / 1e3, 50.001, 8.0016 + k / 1e3, 50.0014) for k in range(count)]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326")


def test_built_in_and_a_box_of_it():
    whole = load_scene(BuiltIn("helsinki"))
    part = load_scene(BuiltIn("helsinki"), parse_bbox("24.944,60.166,24.950,60.169"))
    assert whole.area.name == part.area.name == "Central Helsinki"
    assert 0 < len(part.buildings) < len(whole.buildings)
    assert part.area.bounds_deg == (24.944, 60.166, 24.95, 60.169)
    assert whole.attribution == OSM_ATTRIBUTION
    # Cut by the box, and still whole: the same outlines as without it, some reaching beyond.
    west, south, east, north = part.area.bounds_m(part.frame)
    view = shapely.box(west, south, east, north)
    assert any(not view.covers(b.footprint) for b in part.buildings)
    of_whole = {b.osm_id: b.footprint.area for b in whole.buildings}
    assert all(
        b.footprint.area == pytest.approx(of_whole[b.osm_id], rel=1e-3)
        for b in part.buildings
        if sum(other.osm_id == b.osm_id for other in whole.buildings) == 1
    )


@pytest.mark.parametrize("suffix", [".geojson", ".gpkg", ".parquet", ".geoparquet", ".GEOPARQUET",
                                    ".GeoJSON", ".GPKG", ".Parquet"])  # fmt: skip
def test_footprint_files_by_any_suffix(tmp_path, suffix):
    path = tmp_path / f"old town{suffix}"
    frame = table(height=["12 m", "40'", None]).to_crs("EPSG:32632")
    if "parquet" in suffix.lower():
        frame.to_parquet(path)
    else:
        frame.to_file(path, driver="GeoJSON" if "json" in suffix.lower() else "GPKG")
    source = parse_area(str(path))
    scene = load_scene(source)
    assert scene.area.name == source_name(source) == "old town"
    assert sorted(round(b.top_m, 2) for b in scene.buildings)[-1] == pytest.approx(12.19)
    assert scene.height_sources() == {"height": 2, "levels": 0, "neighbours": 1, "default": 0}
    assert scene.attribution == ""


def test_ids_of_a_table_with_and_without_osm_ids():
    frame = table(osm_id=["way/7", None, "relation/9"])
    frame.loc[3] = [None, shapely.Point(8.005, 50.005)]
    found = from_geodataframe(frame)
    assert list(found.ids) == ["way/7", "row/1", "relation/9"]
    assert found.counts == {"not polygons": 1}
    # A row's number is the table's, also behind rows that were skipped.
    assert list(from_geodataframe(frame.iloc[[3, 1]]).ids) == ["row/1"]


def test_bounds_are_of_the_polygons_or_as_given():
    frame = table()
    assert from_geodataframe(frame).bounds_deg == pytest.approx(tuple(frame.total_bounds))
    assert from_geodataframe(frame, bounds_deg=BOX.bounds_deg).bounds_deg == BOX.bounds_deg
    assert len(from_geodataframe(frame.iloc[:0], bounds_deg=BOX.bounds_deg).ids) == 0
    with pytest.raises(InputError, match="no polygons, so the area is unknown"):
        from_geodataframe(frame.iloc[:0])


def test_a_file_without_polygons_needs_a_box(tmp_path):
    path = tmp_path / "points.geojson"
    gpd.GeoDataFrame(geometry=[shapely.Point(8, 50)], crs="EPSG:4326").to_file(path)
    with pytest.raises(InputError, match=r"points\.geojson: no polygons.*--bbox"):
        load_scene(FileSource(path, "footprints"))
    scene = load_scene(FileSource(path, "footprints"), BOX)
    assert scene.buildings == ()
    assert scene.area.bounds_deg == BOX.bounds_deg
    assert scene.counts["not polygons"] == 1


def test_files_that_are_no_footprints(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_footprint_file(tmp_path / "gone.geojson")
    good = tmp_path / "town.parquet"
    table().to_parquet(good)
    short = tmp_path / "short.parquet"
    short.write_bytes(good.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"short\.parquet: can't be read") as caught:
        read_footprint_file(short)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [BoxSource(BOX), PlaceName("Old Town")])
@pytest.mark.parametrize("count", [0, 3])
def test_the_network_gives_the_box_that_was_asked_for(monkeypatch, source, count):
    asked = []

    def download(place):
        asked.append(place)
        area = place if isinstance(place, Area) else Area(place, *BOX.bounds_deg)
        return area, table(3, osm_id=["way/1", "way/2", "relation/3"]).iloc[:count]

    monkeypatch.setattr("rfplatform.geodata.load.download_buildings", download)
    scene = load_scene(source)
    assert asked == [BOX if isinstance(source, BoxSource) else "Old Town"]
    assert scene.area.bounds_deg == BOX.bounds_deg
    assert scene.area.name == source_name(source)
    assert scene.attribution == OSM_ATTRIBUTION
    assert [b.osm_id for b in scene.buildings] == ["way/1", "way/2", "relation/3"][:count]
    assert source_path(source) is None


def test_a_box_elsewhere_and_one_with_swapped_coordinates():
    with pytest.raises(InputError, match="outside Central Helsinki") as caught:
        load_scene(BuiltIn("helsinki"), BOX)
    assert "swapped" not in str(caught.value)
    with pytest.raises(InputError, match=r"swapped, did you mean 24\.944,60\.166,24\.95,60\.169\?"):
        load_scene(BuiltIn("helsinki"), parse_bbox("60.166,24.944,60.169,24.950"))


def test_names_drop_the_whole_suffix():
    for name, short in (("town.osm.pbf", "town"), ("a.b.GPKG", "a.b"), ("x.osm.bz2", "x")):
        from pathlib import Path

        assert source_name(FileSource(Path("/data") / name, "osm")) == short


def test_what_scene_wrote_reads_back_with_bases_provenance_and_attribution(tmp_path):
    from rfplatform.formats.buildings import write_buildings_parquet

    scene = load_scene(BuiltIn("helsinki"))
    write_buildings_parquet(scene, tmp_path / "buildings.parquet")
    again = load_scene(FileSource(tmp_path / "buildings.parquet", "footprints"))
    assert again.height_sources() == scene.height_sources()
    assert sorted(round(b.base_m, 3) for b in again.buildings) == sorted(
        round(b.base_m, 3) for b in scene.buildings
    )
    assert again.attribution == scene.attribution


def test_two_layers_of_polygons_are_named(tmp_path):
    path = tmp_path / "two.gpkg"
    for layer in ("aaa", "buildings"):
        table(height=["9", "9", "9"]).to_file(path, layer=layer)
    with pytest.raises(InputError, match="2 layers hold polygons \\(aaa, buildings\\)"):
        load_scene(FileSource(path, "footprints"))


def test_a_tag_is_taken_from_the_first_column_that_gives_it_row_by_row():
    frame = table(height=["12", None, None]).assign(EST_HEIGHT=["1", "9", None])
    found = from_geodataframe(frame)
    assert [tags.get("height") for tags in found.tags] == ["12", "9", None]
