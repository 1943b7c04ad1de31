"""Two cuts in three dimensions, arrays in closed form, and the measures of both."""

from dataclasses import replace

import numpy as np
import pytest

from rfplatform.antennas import (
    Cut,
    ElementArray,
    HalfWaveDipole,
    TR38901Element,
    antenna,
    example_panel,
    measure,
    slant_deg,
)
from rfplatform.antennas.shape import gain_in_plane, gain_towards, remarks
from rfplatform.errors import InputError

ANGLES = np.arange(360.0)


def test_a_pattern_equals_its_cuts_in_both_planes_the_back_included():
    panel = example_panel()
    horizontal = gain_towards(panel, ANGLES, np.full_like(ANGLES, 4.0))
    np.testing.assert_allclose(
        horizontal, 18.0 - np.array(panel.horizontal.attenuation_db), atol=1e-9
    )
    vertical = gain_in_plane(panel, ANGLES)
    file = 18.0 - np.array(panel.vertical.attenuation_db)
    # The cuts meet behind at 176 degrees, and differ there by 0.05 dB; the horizontal one holds.
    np.testing.assert_allclose(vertical, file, atol=0.06)
    away = np.abs(ANGLES - 176.0) > 10.0
    np.testing.assert_allclose(vertical[away], file[away], atol=1e-9)


def test_between_degrees_levels_are_linear_and_all_is_periodic():
    cut = Cut((0.0, 90.0, 180.0, 270.0), (0.0, 10.0, 30.0, 20.0))
    np.testing.assert_allclose(cut.level_db([45.0, 315.0, -45.0, 405.0]), [-5, -10, -10, -5])


def test_contradicting_backs_do_not_disturb_the_horizontal_cut():
    """A vertical cut with a deep null behind, where the horizontal one has none."""
    panel = example_panel()
    levels = list(panel.vertical.attenuation_db)
    levels[176] = 60.0
    odd = replace(panel, vertical=Cut(panel.vertical.angle_deg, tuple(levels)))
    np.testing.assert_allclose(
        gain_towards(odd, ANGLES, np.full_like(ANGLES, 4.0)),
        18.0 - np.array(panel.horizontal.attenuation_db),
        atol=1e-9,
    )


def test_no_direction_exceeds_the_maximum_and_it_is_at_the_tilt():
    shape = measure(example_panel())
    assert shape.max_gain_dbi == pytest.approx(18.0)
    assert (shape.azimuth_deg, shape.tilt_deg) == (0.0, 4.0)
    assert shape.horizontal_width_deg == pytest.approx(65.0, abs=0.1)
    assert 6.5 < shape.vertical_width_deg < 8.0
    assert shape.front_to_back_db == pytest.approx(30.0)
    assert shape.upper_side_lobe_db < -18.0
    assert remarks(example_panel(), shape) == []


def test_two_cuts_of_a_dipole_give_the_dipole_back():
    """An omnidirectional antenna is its vertical cut, turned about the mast."""
    down = np.radians(np.minimum(ANGLES, 360 - ANGLES))
    theta = np.radians(90.0 + np.degrees(np.arcsin(np.sin(np.radians(ANGLES)))))
    gain = HalfWaveDipole().gain_dbi(theta, 0.0)
    attenuation = np.minimum(gain.max() - gain, 60.0)
    assert down.shape == attenuation.shape
    pattern = replace(
        example_panel(),
        gain_dbi_max=float(gain.max()),
        horizontal=Cut((0.0, 90.0, 180.0, 270.0), (0.0,) * 4),
        vertical=Cut(tuple(ANGLES.tolist()), tuple(attenuation.tolist())),
    )
    theta, phi = np.radians(np.arange(5.0, 176.0))[:, None], np.linspace(-4, 4, 33)[None, :]
    np.testing.assert_allclose(
        pattern.gain_dbi(theta, phi), HalfWaveDipole().gain_dbi(theta, phi), atol=1e-6
    )
    shape = measure(pattern)
    assert shape.horizontal_width_deg is None
    assert shape.front_to_back_db is None
    assert shape.vertical_width_deg == pytest.approx(78.0, abs=0.2)
    assert shape.directivity_dbi == pytest.approx(2.15, abs=0.02)


def test_an_element_s_cuts_give_its_gain_near_the_main_lobe():
    """Beyond, the element cuts off at A_max and the interpolation does not."""
    off = np.abs((ANGLES + 180) % 360 - 180)
    cut = Cut(tuple(ANGLES.tolist()), tuple(np.minimum(12 * (off / 65) ** 2, 30).tolist()))
    pattern = replace(example_panel(), gain_dbi_max=8.0, horizontal=cut, vertical=cut)
    shape = measure(pattern)
    assert shape.horizontal_width_deg == pytest.approx(65.0, abs=0.1)
    assert shape.directivity_dbi == pytest.approx(9.83, abs=1.0)


def test_disagreements_are_remarked():
    odd = replace(
        example_panel(), gain_dbi_max=25.0, electrical_tilt_deg=9.0, horizontal_width_deg=90.0
    )
    found = " | ".join(remarks(odd, measure(odd)))
    assert "directivity of 18.6 dBi differ by 6.4 dB" in found
    assert "horizontal beam width is 90 degrees, the cut's 65.0" in found
    assert "electrical tilt is 9 degrees" in found


# --- arrays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (8, 1), (1, 4), (8, 4), (5, 3)])
def test_boresight_gains_ten_log_of_the_number_of_elements(rows, columns):
    gain = ElementArray(rows=rows, columns=columns).gain_dbi(np.pi / 2, 0.0)
    assert gain == pytest.approx(8.0 + 10 * np.log10(rows * columns))


@pytest.mark.parametrize("beam", range(-7, 8))
def test_dft_beams_point_to_arcsin_k_over_n_d_and_null_each_other(beam):
    number, spacing = 8, 0.5
    array = ElementArray(columns=number, horizontal_spacing=spacing, beam=beam)
    alias = (beam + number // 2) % number - number // 2
    phi = np.arcsin(alias / (number * spacing))
    factor = array.gain_dbi(np.pi / 2, phi) - TR38901Element().gain_dbi(np.pi / 2, phi)
    assert factor == pytest.approx(10 * np.log10(number), abs=1e-6)
    for other in range(-number // 2 + 1, number // 2):
        if other != alias:
            null = np.arcsin(other / (number * spacing))
            assert array.gain_dbi(np.pi / 2, null) < -250.0


def test_array_factor_is_the_sum_over_elements():
    rng = np.random.default_rng(3)
    theta, phi = np.arccos(rng.uniform(-1, 1, 200)), rng.uniform(-np.pi, np.pi, 200)
    array = ElementArray(
        rows=6, columns=3, vertical_spacing=0.7, horizontal_spacing=0.6, beam=-1, tilt_deg=5.0
    )
    y, z = np.meshgrid(0.6 * np.arange(3), 0.7 * np.arange(6))
    weight = np.exp(-2j * np.pi * (y / 0.6 * (-1 / 3) + z * -np.sin(np.radians(5.0))))
    weight /= np.linalg.norm(weight)
    wave = np.exp(
        2j * np.pi * (y[..., None] * np.sin(theta) * np.sin(phi) + z[..., None] * np.cos(theta))
    )
    total = np.abs((weight[..., None] * wave).sum(axis=(0, 1))) ** 2
    expected = 10 * np.log10(total) + TR38901Element().gain_dbi(theta, phi)
    np.testing.assert_allclose(array.gain_dbi(theta, phi), expected, atol=1e-6)


def test_unit_norm_weights_keep_the_power_of_isotropic_elements_half_a_wavelength_apart():
    """There elements are orthogonal: the mean of |AF|^2 over the sphere is 1."""
    theta = (np.arange(2000) + 0.5) * np.pi / 2000
    array = ElementArray(rows=8, vertical_beam=2)
    factor = array.gain_dbi(theta, 0.0) - TR38901Element().gain_dbi(theta, 0.0)
    mean = np.average(10 ** (factor / 10), weights=np.sin(theta))
    assert mean == pytest.approx(1.0, abs=1e-5)


def test_electrical_tilt_and_vertical_beams_point_as_they_say():
    assert measure(antenna("tr38901?rows=16&tilt_deg=6")).tilt_deg == pytest.approx(6.0, abs=0.1)
    up = measure(antenna("tr38901?rows=16&vertical_beam=1")).tilt_deg
    assert up == pytest.approx(-np.degrees(np.arcsin(1 / 8)), abs=0.2)
    # Positive beams are counter-clockwise; `Shape.azimuth_deg` is clockwise.
    assert measure(antenna("tr38901?columns=16&beam=1")).azimuth_deg < -6.0


def test_names_with_parameters():
    array = antenna("tr38901?rows=8&columns=4&beam=2&polarization=+45&max_gain_dbi=6.5")
    assert array == ElementArray(
        TR38901Element(max_gain_dbi=6.5), rows=8, columns=4, beam=2, polarization="+45"
    )
    assert slant_deg(array) == 45.0
    assert slant_deg(antenna("tr38901")) == 0.0
    wide = antenna("tr38901?horizontal_beamwidth_deg=90&side_lobe_db=20")
    assert wide == TR38901Element(horizontal_beamwidth_deg=90.0, side_lobe_db=20.0)
    assert wide.gain_dbi(np.pi / 2, np.radians(45)) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tr38901?row=8", r"unknown parameter 'row'; did you mean rows"),
        ("tr38901?rows=8&zzz=1", r"unknown parameter 'zzz' \(known: max_gain_dbi"),
        ("tr38901?rows", "give a value, as in rows="),
        ("tr38901?", "unknown parameter ''"),
        ("tr38901?rows=8&rows=9", "rows is given twice"),
        ("tr38901?rows=2.5", "rows '2.5' is not a whole number"),
        ("tr38901?rows=0", r"rows 0: must lie in 1\.\.256"),
        ("tr38901?max_gain_dbi=nan", "max_gain_dbi nan: must lie"),
        ("tr38901?columns=4&beam=4", r"beam 4: must lie in -3\.\.3 for columns=4"),
        ("tr38901?polarization=45", "polarization '45': must be one of V, H"),
        ("tr38901?rows=4&tilt_deg=3&vertical_beam=1", "exclude each other"),
        ("dipole?rows=2", "dipole has no parameters"),
        ("tr3890?rows=2", "unknown antenna"),
    ],
)
def test_wrong_parameters_are_told_in_one_line(name, message):
    with pytest.raises(InputError, match=message) as error:
        antenna(name)
    assert "\n" not in str(error.value)
