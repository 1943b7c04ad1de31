"""A scene on disk of which any part can be read back without reading the whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfplatform.errors import InputError
from rfplatform.formats.buildings import write_buildings_parquet
from rfplatform.frame import Frame
from rfplatform.scene import Area, Building, Scene

if TYPE_CHECKING:
    import numpy.typing as npt

BUILDINGS, ABOUT = "buildings.parquet", "scene.json"

BUILDINGS_PER_GROUP = 2000
"""Buildings of a row group: what is read at least."""


def write_parts(scene: Scene, folder: Path) -> None:
    """Write `BUILDINGS`, neighbours beside each other, and `ABOUT` into an existing folder.

    Parameters
    ----------
    scene : Scene
        On flat ground (a terrain is put under what is read back), of footprints.
    folder : Path
    """
    assert scene.terrain is None
    assert scene.solids is None
    assert isinstance(scene.area, Area)
    ordered = replace(scene, buildings=tuple(scene.buildings[i] for i in _along_a_curve(scene)))
    write_buildings_parquet(
        ordered, folder / BUILDINGS, covering=True, row_group_size=BUILDINGS_PER_GROUP
    )
    about = {
        "name": scene.area.name,
        "bounds_deg": list(scene.area.bounds_deg),
        "crs": scene.frame.crs,
        "origin_easting_m": scene.frame.origin_easting_m,
        "origin_northing_m": scene.frame.origin_northing_m,
        "ground_material": scene.ground_material,
        "attribution": scene.attribution,
        "counts": dict(scene.counts),
    }
    text = json.dumps(about, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def _along_a_curve(scene: Scene) -> npt.NDArray[Any]:
    """Order of the buildings along a Hilbert curve."""
    import geopandas as gpd
    import numpy as np

    if not scene.buildings:
        return np.zeros(0, dtype=int)
    distance = gpd.GeoSeries([b.footprint for b in scene.buildings]).hilbert_distance()
    return np.argsort(distance.to_numpy(), kind="stable")


def read_about(path: Path) -> Scene:
    """The scene of a `scene.json`, without its buildings.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return Scene(
            Area(about["name"], *about["bounds_deg"]),
            Frame(about["crs"], about["origin_easting_m"], about["origin_northing_m"]),
            (),
            ground_material=about["ground_material"],
            attribution=about["attribution"],
            counts=about["counts"],
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a prepared scene ({type(error).__name__})") from error


def read_part(
    buildings: Path, about: Path, bounds_m: tuple[float, float, float, float] | None = None
) -> Scene:
    """The scene, or the part of it that touches a box, in a frame around that box.

    Parameters
    ----------
    buildings, about : Path
        What `write_parts` wrote.
    bounds_m : tuple of float, optional
        West, south, east, north in eastings and northings of the scene's CRS. The part's area is
        the smallest in degrees around it, within the whole's, and its frame's origin is the box's
        centre, rounded to whole metres, so that float32 stays accurate.

    Raises
    ------
    InputError
        If the files can't be read.
    """
    import geopandas as gpd

    whole = read_about(about)
    try:
        table = gpd.read_parquet(buildings, bbox=bounds_m)
    except (OSError, ValueError) as error:
        raise InputError(f"{buildings}: not a prepared scene ({error})") from error
    scene = whole if bounds_m is None else _part(whole, bounds_m)
    return replace(scene, buildings=_buildings(table, scene.frame))


def _part(whole: Scene, bounds_m: tuple[float, float, float, float]) -> Scene:
    """The scene of a box of another, without its buildings."""
    west, south, east, north = bounds_m
    crs = whole.frame.on_earth()
    frame = Frame(crs, float(round((west + east) / 2)), float(round((south + north) / 2)))
    return replace(whole, frame=frame, area=around(whole.area.name, bounds_m, crs))


def around(name: str, bounds_m: tuple[float, float, float, float], crs: str) -> Area:
    """The smallest area around a box of eastings and northings (of its 4 x 33 border points)."""
    import numpy as np

    west, south, east, north = bounds_m
    t = np.linspace(0.0, 1.0, 33)
    x = np.concatenate(
        [west + t * (east - west)] * 2 + [np.full_like(t, west), np.full_like(t, east)]
    )
    y = np.concatenate(
        [np.full_like(t, south), np.full_like(t, north)] + [south + t * (north - south)] * 2
    )
    lon, lat = Frame(crs, 0.0, 0.0).to_lonlat(x, y)
    return Area(name, float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))


def _buildings(table: Any, frame: Frame) -> tuple[Building, ...]:  # noqa: ANN401  (a GeoDataFrame)
    import shapely

    shift = [frame.origin_easting_m, frame.origin_northing_m]
    polygons = shapely.transform(table.geometry.to_numpy(), lambda points: points - shift)
    columns = zip(
        polygons,
        table["base_m"].tolist(),
        table["height_m"].tolist(),
        table["height_source"].tolist(),
        table["material"].tolist(),
        table["osm_id"].tolist(),
        table["outline_id"].tolist(),
        strict=True,
    )
    return tuple(
        Building(polygon, base, top, source, material, osm_id, outline_id=outline)
        for polygon, base, top, source, material, osm_id, outline in columns
    )
