"""A small town by hand: blocks with courtyards, a bridge, three sites of three sectors."""

import numpy as np
import pytest
from shapely import affinity, box, union_all

from rfplatform.frame import Frame
from rfplatform.planning.layers import PlanningLayers, planning_layers
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.rasterize import outdoor_mask
from rfplatform.scene import Area, Building, Scene

FRAME = Frame("EPSG:32635", 385_520.0, 6_671_830.0)


def make_scene(half_x_m: float = 574.0, half_y_m: float = 576.0, seed: int = 3) -> Scene:
    """Blocks around streets every 110 m by 90 m, turned by 12 degrees, around a square."""
    rng = np.random.default_rng(seed)
    buildings = []
    reach = int(max(half_x_m, half_y_m) / 80) + 2
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            if (i, j) in {(0, 0), (-3, 2), (-3, 3), (-4, 2)}:
                continue  # A square and a park.
            block = box(110 * i - 47, 90 * j - 38, 110 * i + 47, 90 * j + 38)
            kind = rng.random()
            if kind < 0.6:
                block = block.difference(block.buffer(-rng.uniform(11, 16), join_style="mitre"))
                gap = box(110 * i + 20, 90 * j - 50, 110 * i + 20 + rng.uniform(3, 14), 90 * j)
                block = block.difference(gap) if rng.random() < 0.5 else block
            elif kind < 0.85:
                block = union_all(
                    [
                        box(110 * i - 47 + 34 * k, 90 * j - 38, 110 * i - 22 + 34 * k, 90 * j + 30)
                        for k in range(3)
                    ]
                )
            else:
                block = affinity.rotate(block.buffer(-14), rng.uniform(-20, 20))
            block = affinity.rotate(block, 12, origin=(0, 0))
            for part in getattr(block, "geoms", [block]):
                if part.intersects(box(-half_x_m, -half_y_m, half_x_m, half_y_m)):
                    buildings.append(
                        Building(
                            part, 0.0, float(rng.integers(3, 9) * 3.1), "levels", "brick",
                            f"way/{len(buildings) + 1}",
                        )
                    )  # fmt: skip
    buildings.append(Building(box(-6, 40, 6, 60), 6.0, 9.0, "height", "concrete", "way/9000"))
    lon, lat = FRAME.to_lonlat([-half_x_m, half_x_m], [-half_y_m, half_y_m])
    area = Area("Examplestadt", lon[0], lat[0], lon[1], lat[1])
    return Scene(area, FRAME, tuple(buildings), attribution="© OpenStreetMap contributors")


def make_sectors(scale: float = 1.0) -> tuple[Sector, ...]:
    sites = {"Harbour": (-330, -270), "Market square": (12, 18), "Müller & Söhne": (350, 260)}
    return tuple(
        Sector(site, name, x * scale, y * scale, 28.0, azimuth, 6.0, 46.0, antenna="tr38901",
               mount="roof" if site == "Harbour" else "ground")
        for site, (x, y) in sites.items()
        for name, azimuth in (("A", 20.0), ("B", 140.0), ("C", 260.0))
    )  # fmt: skip


def make_map(scene: Scene, sectors: tuple[Sector, ...], grid: Grid, seed: int = 5) -> RadioMap:
    """A plausible field: a slope law, a sector pattern, shadows of the buildings on the way."""
    rng = np.random.default_rng(seed)
    outdoor = outdoor_mask(scene, grid)
    x, y = np.meshgrid(grid.x_m(), grid.y_m())
    gains, sees = [], []
    for s in sectors:
        distance = np.hypot(x - s.x_m, y - s.y_m) + 5
        off = (np.degrees(np.arctan2(x - s.x_m, y - s.y_m)) - s.azimuth_deg + 180) % 360 - 180
        blocked = np.zeros(grid.shape)
        for t in np.linspace(0, 1, 48):
            i = ((s.x_m + t * (x - s.x_m) - grid.west_m) / grid.resolution_m).astype(int)
            j = ((s.y_m + t * (y - s.y_m) - grid.south_m) / grid.resolution_m).astype(int)
            blocked += ~outdoor[j.clip(0, grid.num_y - 1), i.clip(0, grid.num_x - 1)]
        loss = 32.4 + 21 * np.log10(distance) + 20 * np.log10(3.5) + np.minimum(blocked, 16) * 2.6
        gain = 8 - np.minimum(12 * (off / 65) ** 2, 30) - loss + rng.normal(0, 1.5, grid.shape)
        gains.append(np.where(outdoor & (gain > -134), gain, -np.inf))
        sees.append(blocked == 0)
    path_gain_db = np.array(gains, np.float32)
    spread = np.where(np.isfinite(path_gain_db), 0.8, np.nan).astype(np.float32)
    return RadioMap(
        grid, sectors, path_gain_db, spread, outdoor, np.array(sees), path_gain_db - 0.25,
        attrs={"solver": "raytraced", "rays": 4_000_000, "noise_db": 0.8, "stopped_by": "rays",
               "batches": [1, 2], "attribution": scene.attribution},
    )  # fmt: skip


@pytest.fixture(scope="session")
def scene() -> Scene:
    return make_scene()


@pytest.fixture(scope="session")
def planning(radio_map: RadioMap) -> PlanningLayers:
    return planning_layers(radio_map)


@pytest.fixture(scope="session")
def radio_map(scene: Scene) -> RadioMap:
    grid = Grid.covering(scene.area.bounds_m(scene.frame), scene.frame, 4.0)
    return make_map(scene, make_sectors(), grid)
