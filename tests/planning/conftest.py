"""Radio maps by hand: levels of RSS, one cell beside another."""

import numpy as np
import pytest

from rfplatform.frame import Frame
from rfplatform.radiomap import Grid, RadioMap, Sector


@pytest.fixture
def make_map():
    """A map of one row from levels of RSS in dBm, [num_sectors, num_cells]."""

    def make(rss_dbm, *, resolution_m=10.0, outdoor=None, frequency_hz=3.5e9, **layers):
        rss = np.asarray(rss_dbm, dtype=np.float32)
        rss = rss[:, None, :] if rss.ndim == 2 else rss
        carriers = np.broadcast_to(frequency_hz, len(rss))
        sectors = tuple(
            Sector(f"S{i}", "1", 0.0, 0.0, 20.0, power_dbm=40.0, frequency_hz=float(f))
            for i, f in enumerate(carriers)
        )
        num_y, num_x = rss.shape[1:]
        grid = Grid(Frame("EPSG:32635", 385_000.0, 6_672_000.0), 0, 0, resolution_m, num_x, num_y)
        free = np.ones((num_y, num_x), bool) if outdoor is None else np.asarray(outdoor)
        return RadioMap(grid, sectors, rss - 40.0, None, free, **layers)

    return make
