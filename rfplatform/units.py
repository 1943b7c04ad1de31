"""Decibels, watts, wavelengths and thermal noise."""

import numpy as np
import numpy.typing as npt

SPEED_OF_LIGHT_M_S = 299_792_458.0
BOLTZMANN_J_K = 1.380_649e-23
REFERENCE_TEMPERATURE_K = 290.0

FloatArray = npt.NDArray[np.floating]


def db_to_linear(value_db: npt.ArrayLike) -> FloatArray:
    """Power ratio of a level in dB; -inf dB is 0."""
    return np.asarray(np.power(10.0, np.asarray(value_db) / 10.0))


def linear_to_db(ratio: npt.ArrayLike) -> FloatArray:
    """Level in dB of a power ratio; 0 is -inf dB, without a warning."""
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(ratio)))


def dbm_to_w(power_dbm: npt.ArrayLike) -> FloatArray:
    """Watts of a power in dBm."""
    return 1e-3 * db_to_linear(power_dbm)


def w_to_dbm(power_w: npt.ArrayLike) -> FloatArray:
    """Power in dBm of watts."""
    return linear_to_db(np.asarray(power_w) * 1e3)


def wavelength_m(frequency_hz: float) -> float:
    """Free-space wavelength."""
    return SPEED_OF_LIGHT_M_S / frequency_hz


def thermal_noise_dbm(
    bandwidth_hz: npt.ArrayLike,
    noise_figure_db: float = 0.0,
    temperature_k: float = REFERENCE_TEMPERATURE_K,
) -> FloatArray:
    """Noise power kTB plus the receiver's noise figure (IEEE Std 145: T0 = 290 K)."""
    return w_to_dbm(BOLTZMANN_J_K * temperature_k * np.asarray(bandwidth_hz)) + noise_figure_db
