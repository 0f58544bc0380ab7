"""A shifted mock survey: how its spectra differ from those of the usual one.

On the survey that a prior is made of, more prior always wins. Settings of training are therefore
chosen on a survey with ``data.mock.shift`` above 0, whose spectra differ systematically. All
amounts below are for a shift of 1; they are proportional to the shift, and 0 without one.
"""

from math import exp

import numpy as np

from qnal.spectra.mock.model_grid import F8

# Added to the mean
QUASAR_SLOPE = 0.35  # of the power laws of the quasars' continuum: redder
GALAXY_DUST = 0.2  # optical depth at 5500 Å
# Natural logarithms of factors
QUASAR_DUST = 0.7
IRON = 0.5  # strength of the blended FeII and Balmer continuum of quasars
WIDTHS = 0.25  # of emission lines
NEBULAR = 0.5  # equivalent width of Hβ of galaxies
REDDENING = 0.7  # of stars
TEMPERATURES = -0.4  # of the position within a star's class: cooler
# Natural logarithms of factors of a fixed pattern, up or down
LINES = 0.4  # strength of each emission line
POPULATIONS = 0.5  # weight of each stellar population in each kind of galaxy
ABSORPTION = 0.3  # depth of each metal line and molecular band of stars and stellar populations
# Instrument
NOISE = 0.4  # ln of the factor by which the noise is higher at 3600 Å and lower at 9824 Å
CALIBRATION = 0.05  # rms of each of two smooth errors of the flux calibration of a camera


def factor(size: float, shift: float) -> float:
    """exp(size · shift), 1 without a shift."""
    return exp(size * shift)


def pattern(seed: int, size: float, shift: float, *shape: int) -> F8:
    """Factors exp(±size · shift); the sign of each follows from the seed alone.

    Args:
        seed: one per pattern, so that all surveys have the same one.
        size: logarithm of the factors for a shift of 1.
        shift: shift of the survey.
        shape: shape of the result.
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], shape)
    return np.asarray(np.exp(size * shift * signs))


def noise_shape(wave: F8, shift: float) -> F8:
    """Noise relative to that of the usual survey, by wavelength (Å)."""
    place = np.log(wave / 3600.0) / np.log(9824.0 / 3600.0)
    return np.asarray(np.exp(NOISE * shift * np.cos(np.pi * place)))


def smooth_errors(rng: np.random.Generator, n: int, wave: F8, shift: float) -> F8:
    """Calibration of each spectrum relative to the true one, shape [n, npix].

    The sum of half a wave and a whole wave over the camera, with random amplitudes.
    """
    place = (wave - wave[0]) / (wave[-1] - wave[0])
    modes = np.cos(np.pi * np.outer([1, 2], place))
    return np.asarray(1 + CALIBRATION * shift * rng.normal(size=(n, 2)) @ modes)
