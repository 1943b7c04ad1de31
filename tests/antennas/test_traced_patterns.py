"""Patterns as Sionna sees them: files, arrays and slants, in one worker."""

import numpy as np
import pytest

from rfplatform.antennas import antenna, example_panel, sector_gain_dbi, write_msi
from rfplatform.propagation.raytraced import RayTraced, tracer
from rfplatform.radiomap import Grid, Sector
from rfplatform.scene import Area, Scene
from rfplatform.units import wavelength_m

AREA = Area("plain", 24.99, 0.005, 25.0, 0.015)
MOUNTS = ((20.0, 0.0), (200.0, 7.0))


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """Sectors, directions [n, 3], and Sionna's gains in dBi, [num_sectors, n]; and a bare map's."""
    path = tmp_path_factory.mktemp("antennas") / "panel.msi"
    write_msi(example_panel(), path)
    names = [
        str(path),
        "tr38901?rows=8&columns=4&beam=1&polarization=-45",
        "tr38901?polarization=H",
        "tr38901",
    ]
    sectors = [
        Sector("mast", f"{i}{j}", 0.0, 0.0, 30.0, *mount, antenna=name)
        for i, name in enumerate(names)
        for j, mount in enumerate(MOUNTS)
    ]
    rng = np.random.default_rng(5)
    direction = rng.normal(size=(90, 3))
    direction[:, 2] = rng.uniform(-0.25, 0.9, 90) * np.hypot(*direction[:, :2].T)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    scene = Scene(AREA, AREA.frame(), ())
    grid = Grid(AREA.frame(), -200.0, -200.0, 8.0, 50, 50, 1.5)
    config = RayTraced(max_depth=0, diffraction=False)
    with tracer(scene, sectors, grid, config) as trace:
        gain = trace.point_gains(np.array([0.0, 0.0, 30.0]) + 80.0 * direction)
        bare = [trace.trace(group, 4_000_000, 1, "all") for group in range(len(trace.groups))]
        exact = trace.line_of_sight()[0]
    friis = (wavelength_m(3.5e9) / (4 * np.pi * 80.0)) ** 2
    with np.errstate(divide="ignore"):
        gain_dbi = 10 * np.log10(gain / friis)
    return sectors, direction, gain_dbi, np.concatenate(bare), exact


def test_gains_over_angle_are_the_pattern_s(traced):
    sectors, direction, gain_dbi, _, _ = traced
    for sector, found in zip(sectors, gain_dbi, strict=True):
        expected = sector_gain_dbi(
            antenna(sector.antenna), sector.azimuth_deg, sector.downtilt_deg, *direction.T
        )
        # Beside a null a table is as far off as one likes, in dB; 35 dB down it is not.
        counted = expected > expected.max() - 35.0
        np.testing.assert_allclose(found[counted], expected[counted], atol=0.2)


def test_a_map_of_bare_rays_agrees_with_the_exact_line_of_sight(traced):
    """The pattern in the symbolic loop of the map solver, over the whole of the half plane."""
    sectors, _, _, bare, exact = traced
    for number, _ in enumerate(sectors):
        lit = exact[number] > exact[number].max() * 1e-3
        off = 10 * np.log10(bare[number][lit] / exact[number][lit])
        assert np.sqrt(np.mean(off**2)) < 0.5
        assert abs(np.mean(off)) < 0.1
