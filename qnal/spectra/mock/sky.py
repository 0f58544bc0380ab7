"""Emission lines of the night sky and residuals of their subtraction."""

import numpy as np

from qnal.spectra.mock.model_grid import F8

# The strongest lines (vacuum wavelength in Å, accurate to about 1 Å; relative strength), from
# Osterbrock et al. (1996): atomic lines, then the P and Q branches of the OH bands.
ATOMIC = ((5578.9, 3.0), (5891.6, 0.5), (5897.6, 0.3), (6302.0, 1.6), (6365.5, 0.55))
OH_WEAK = (
    *(6498.7, 6533.0, 6554.0, 6577.0, 6829.0, 6836.0, 6865.0, 6873.0, 6891.0, 6903.0, 6914.0),
    *(6925.0, 6941.0, 6950.0, 6980.0, 7246.0, 7255.0, 7286.0, 7305.0, 7720.0, 7726.0, 7760.0),
    *(7775.0, 7782.0, 8014.0, 8027.0, 8064.0, 8195.0, 8290.0, 8301.0, 8313.0, 8763.0, 8839.0),
    *(9052.0, 9105.0, 9161.0, 9219.0, 9225.0, 9246.0, 9287.0, 9319.0, 9342.0, 9368.0, 9395.0),
    *(9486.0, 9527.0, 9539.0, 9590.0, 9610.0, 9660.0, 9745.0, 9800.0),
)
OH_STRONG = (
    *(7278.3, 7286.6, 7318.3, 7331.1, 7342.9, 7360.7, 7371.4, 7394.2, 7403.9, 7526.0, 7573.8),
    *(7714.0, 7752.8, 7796.3, 7810.7, 7823.6, 7843.5, 7855.4, 7915.9, 7951.4, 7966.8, 7995.5),
    *(8346.9, 8355.1, 8384.7, 8401.5, 8417.5, 8432.5, 8454.6, 8467.7, 8495.7, 8507.0, 8770.3),
    *(8780.7, 8793.6, 8829.5, 8838.4, 8852.5, 8870.0, 8888.3, 8905.5, 8922.0, 8945.8, 8960.5),
    *(8990.8, 9003.8, 9040.6, 9312.0, 9315.0, 9378.4, 9424.0, 9442.0, 9461.0, 9479.0, 9505.3),
    *(9522.0, 9555.0, 9570.0, 9623.0, 9670.0, 9704.0, 9722.0),
)
LINES = ATOMIC + tuple((w, 0.3) for w in OH_WEAK) + tuple((w, 1.0) for w in OH_STRONG)
LINE_FLUX = 60.0  # peak flux of a line of strength 1, 1e-17 erg/s/cm²/Å
SIGMA = 0.9  # resolution of the spectrographs, Å


def line_profile(wave: F8) -> F8:
    """Sky lines at given wavelengths (Å), 1 at the peak of a strong OH line, shape [npix]."""
    profile = np.zeros_like(wave)
    for line, strength in LINES:
        near = np.abs(wave - line) < 6 * SIGMA
        profile[near] += strength * np.exp(-0.5 * ((wave[near] - line) / SIGMA) ** 2)
    return profile


def residual_modes(wave: F8, sigma: F8) -> F8:
    """Modes of sky subtraction errors, shape [3, npix], for an error of 100 %.

    Errors of line brightness, of line position (a shift by one resolution element) and of the
    continuum (five times the noise ``sigma``).
    """
    lines = LINE_FLUX * line_profile(wave)
    return np.stack([lines, np.gradient(lines, wave) * SIGMA, 5 * sigma])
