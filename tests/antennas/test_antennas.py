import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rfplatform.antennas import (
    NAMED,
    HalfWaveDipole,
    Isotropic,
    TR38901Element,
    antenna,
    sector_gain_dbi,
    sector_orientation_rad,
)
from rfplatform.errors import InputError

SIONNA_NAMES = {"isotropic": "iso", "dipole": "hw_dipole", "tr38901": "tr38901"}
DEG = np.pi / 180

# What the child runs: it reads directions and orientations, and writes Sionna's gains in dB of
# the same directions seen by a turned antenna.
SIONNA_CHILD = """
import json, sys
import numpy as np
import mitsuba as mi
import sionna.rt
from sionna.rt import antenna_pattern as ap
from sionna.rt.utils import rotation_matrix, theta_phi_from_unit_vec

job = json.load(sys.stdin)
k = np.array(job["directions"], dtype=np.float32).T
answer = {}
for name in job["patterns"]:
    pattern = getattr(ap, f"v_{name}_pattern")
    answer[name] = []
    for angles in job["orientations"]:
        to_world = rotation_matrix(mi.Point3f(*angles))
        local = to_world.T @ mi.Vector3f(k[0], k[1], k[2])
        theta, phi = theta_phi_from_unit_vec(local)
        c = pattern(theta, phi)
        gain = np.array(c.real) ** 2 + np.array(c.imag) ** 2
        answer[name].append((10 * np.log10(np.maximum(gain, 1e-30))).tolist())
json.dump(answer, sys.stdout)
"""


def _libllvm() -> str | None:
    """A libLLVM that Dr.Jit can use: 18 or newer."""
    if named := os.environ.get("DRJIT_LIBLLVM_PATH"):
        return named
    for version in range(30, 17, -1):
        for pattern in (f"*/libLLVM.so.{version}*", f"llvm-{version}/lib/libLLVM*.so*"):
            for path in sorted(Path("/usr/lib").glob(pattern)):
                return str(path)
    return None


@pytest.fixture(scope="module")
def sionna_gains():
    """Directions [n, 3], mounts (azimuth, downtilt), and Sionna's gains by pattern and mount."""
    libllvm = _libllvm()
    if libllvm is None:
        pytest.skip("no libLLVM of version 18 or newer under /usr/lib, which Dr.Jit needs")
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    mounts = [(90.0, 0.0), (0.0, 0.0), (215.0, 8.0), (330.0, -12.0), (47.0, 60.0)]
    job = {
        "directions": directions.tolist(),
        "patterns": list(SIONNA_NAMES.values()),
        "orientations": [sector_orientation_rad(*mount) for mount in mounts],
    }
    child = subprocess.run(
        [sys.executable, "-c", SIONNA_CHILD],
        input=json.dumps(job),
        env={**os.environ, "DRJIT_LIBLLVM_PATH": libllvm},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    return directions, mounts, json.loads(child.stdout)


@pytest.mark.parametrize("name", SIONNA_NAMES)
def test_turned_patterns_equal_sionnas(name, sionna_gains):
    directions, mounts, gains = sionna_gains
    for mount, expected in zip(mounts, gains[SIONNA_NAMES[name]], strict=True):
        ours = sector_gain_dbi(antenna(name), *mount, *directions.T)
        # Sionna computes in single precision, which near the dipole's nulls costs the most.
        np.testing.assert_allclose(ours, expected, atol=0.01, rtol=0, err_msg=str(mount))


def test_isotropic_is_0_dbi_in_the_common_shape():
    gain = Isotropic().gain_dbi(np.zeros((3, 1)), np.zeros(4))
    assert gain.shape == (3, 4)
    assert (gain == 0).all()


@pytest.mark.parametrize("pattern", NAMED.values())
def test_patterns_broadcast(pattern):
    theta, phi = np.linspace(0.1, 3, 5)[:, None], np.linspace(-3, 3, 7)
    grid = pattern.gain_dbi(theta, phi)
    assert grid.shape == (5, 7)
    for i, j in product(range(5), range(7)):
        assert grid[i, j] == pattern.gain_dbi(theta[i, 0], phi[j])


def test_dipole_is_2_16_dbi_at_the_horizon_and_has_nulls():
    gain = HalfWaveDipole().gain_dbi(np.array([0.0, np.pi / 2, np.pi]), 1.0)
    assert gain[1] == pytest.approx(2.156, abs=1e-3)
    assert gain[0] == gain[2] == -np.inf
    # Half-power beamwidth of a half-wave dipole: 78 degrees.
    assert gain[1] - HalfWaveDipole().gain_dbi(51 * DEG, 0) == pytest.approx(3.0, abs=0.05)


def test_dipole_radiates_what_it_is_fed():
    theta = (np.arange(20_000) + 0.5) * np.pi / 20_000
    power = 10 ** (HalfWaveDipole().gain_dbi(theta, 0.0) / 10)
    mean = (power * np.sin(theta)).mean() * np.pi / 2
    # The customary 1.643 is 0.1 % above 4 / Cin(2 pi) = 1.6409.
    assert mean == pytest.approx(1.643 / 1.6409, abs=1e-4)


@pytest.mark.parametrize(
    ("theta_deg", "phi_deg", "gain_dbi"),
    [
        (90, 0, 8.0),
        (90, 32.5, 5.0),
        (90, -32.5, 5.0),
        (122.5, 0, 5.0),
        (122.5, 32.5, 2.0),
        (90, 65, -4.0),
        (90, 180, -22.0),
        (0, 0, 8 - 12 * (90 / 65) ** 2),
        (180, 60, -22.0),
        (90, 360 + 32.5, 5.0),
        (90, -360 - 32.5, 5.0),
    ],
)
def test_tr38901_element_by_hand(theta_deg, phi_deg, gain_dbi):
    gain = TR38901Element().gain_dbi(theta_deg * DEG, phi_deg * DEG)
    assert gain == pytest.approx(gain_dbi, abs=1e-9)


@pytest.mark.parametrize(
    ("azimuth_deg", "direction"),
    [(0, (0, 1, 0)), (90, (1, 0, 0)), (180, (0, -1, 0)), (270, (-1, 0, 0))],
)
def test_azimuth_is_clockwise_from_north(azimuth_deg, direction):
    assert sector_gain_dbi(TR38901Element(), azimuth_deg, 0, *direction) == pytest.approx(8.0)


def test_downtilt_points_below_the_horizon():
    below = (0.0, np.cos(10 * DEG), -np.sin(10 * DEG))
    assert sector_gain_dbi(TR38901Element(), 0, 10, *below) == pytest.approx(8.0)
    above = sector_gain_dbi(TR38901Element(), 0, -10, *below)
    assert above == pytest.approx(8 - 12 * (20 / 65) ** 2)


@given(
    st.floats(-720, 720),
    st.floats(-90, 90),
    st.tuples(*[st.floats(-1e4, 1e4)] * 3).filter(lambda d: np.linalg.norm(d) > 1e-3),
    st.floats(0.01, 100),
)
def test_only_the_direction_counts(azimuth_deg, downtilt_deg, direction, length):
    d = np.array(direction)
    # Along the antenna's own axis every azimuth meets, and the table jumps from one to the next.
    azimuth, tilt = np.radians([azimuth_deg, downtilt_deg])
    axis = [np.sin(tilt) * np.sin(azimuth), np.sin(tilt) * np.cos(azimuth), np.cos(tilt)]
    assume(np.linalg.norm(np.cross(axis, d)) > 1e-6 * np.linalg.norm(d))
    here = sector_gain_dbi(TR38901Element(), azimuth_deg, downtilt_deg, *d)
    there = sector_gain_dbi(TR38901Element(), azimuth_deg + 360, downtilt_deg, *(length * d))
    assert here == pytest.approx(there, abs=1e-6)
    assert -22 <= here <= 8


def test_directly_below_is_finite_for_a_directive_antenna():
    assert np.isfinite(sector_gain_dbi(TR38901Element(), 0, 5, 0, 0, 0))


@pytest.mark.parametrize("name", SIONNA_NAMES)
def test_lookup_by_name(name):
    assert antenna(name) is NAMED[name]


def test_unknown_name_lists_near_misses_and_all_names():
    with pytest.raises(InputError, match=r'"tr38.901".*did you mean tr38901\?') as error:
        antenna("tr38.901")
    for name in NAMED:
        assert name in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="known: ") as error:
        antenna("zzz")
    assert "did you mean" not in str(error.value)


def test_names_are_read_only():
    with pytest.raises(TypeError):
        NAMED["isotropic"] = HalfWaveDipole()
