"""The observed wavelength grid on which noiseless spectra are drawn, and the strokes.

All spectra are drawn at one coarse logarithmic resolution (120 km/s a pixel) and interpolated to
the native pixels of a spectrograph afterwards: three times fewer pixels than DESI's, and a redshift
is a shift by a number of pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]

LIGHT_SPEED = 299_792.458  # km/s
STEP = 4e-4  # of ln(wavelength)
START = float(np.log(3580.0))
PIXELS = 2660
LN_WAVE: F8 = START + STEP * np.arange(PIXELS, dtype=np.float64)
WAVE: F8 = np.exp(LN_WAVE)  # Å, 3580 to 10372


def add_gaussians(canvas: F4, centre: F8, fwhm: F8, height: NDArray[np.floating]) -> None:
    """Add one Gaussian in ln(wavelength) to each row, in place.

    Args:
        canvas: shape [n, PIXELS].
        centre: observed wavelength, shape [n], Å; it may lie outside the canvas.
        fwhm: shape [n], km/s.
        height: peak values, shape [n].
    """
    sigma = fwhm / (2.3548 * LIGHT_SPEED * STEP)  # in pixels
    position = (np.log(centre) - START) / STEP
    reach = np.ceil(4 * sigma)
    rows = np.flatnonzero((position > -reach) & (position < PIXELS + reach) & (height != 0))
    if not len(rows):
        return
    offsets = np.arange(-reach[rows].max(), reach[rows].max() + 1)
    pixel = np.round(position[rows])[:, None] + offsets
    x = ((pixel - position[rows, None]) / sigma[rows, None]).astype(np.float32)
    value = height[rows, None].astype(np.float32) * np.exp(np.float32(-0.5) * x * x)
    inside = (pixel >= 0) & (pixel < PIXELS)
    index = (rows[:, None] * PIXELS + pixel.astype(np.int64))[inside]
    canvas.reshape(-1)[index] += value[inside]  # a row's pixels are distinct: no add.at needed


def add_emission(canvas: F4, continuum: F4, centre: F8, fwhm: F8, ew: NDArray[np.floating]) -> None:
    """Add emission lines of given observed equivalent width (Å) to each row, in place.

    The height follows from the continuum at the line, or at the canvas's edge for a line outside
    of which only a wing may be seen.
    """
    pixel = np.clip((np.log(centre) - START) / STEP, 0, PIXELS - 1).astype(np.int64)
    level = continuum[np.arange(len(canvas)), pixel]
    sigma = centre * fwhm / (2.3548 * LIGHT_SPEED)
    add_gaussians(canvas, centre, fwhm, level * ew / (sigma * np.sqrt(2 * np.pi)))


@dataclass(frozen=True)
class Templates:
    """Rest-frame spectra on a grid of the canvas's step.

    Attributes:
        ln_wave: ln of the rest wavelengths in Å, shape [npix].
        flux: shape [k, npix].
    """

    ln_wave: F8
    flux: F4

    def observed(self, weights: NDArray[np.floating], z: F8) -> F4:
        """Weighted sums of the templates, redshifted onto the canvas.

        Args:
            weights: shape [n, k].
            z: shape [n]; the templates must cover the canvas at this redshift.

        Returns:
            shape [n, PIXELS].
        """
        mixed = weights.astype(np.float32) @ self.flux
        shift = (START - np.log1p(z) - self.ln_wave[0]) / STEP
        first = np.floor(shift).astype(np.int64)
        fraction = (shift - first).astype(np.float32)
        out = np.empty((len(z), PIXELS), np.float32)
        for i, (k, f) in enumerate(zip(first, fraction, strict=True)):
            part = mixed[i, k : k + PIXELS + 1]
            np.multiply(part[1:] - part[:-1], f, out=out[i])
            out[i] += part[:-1]
        return out


def rest_grid(first: float, last: float = 10_600.0) -> F8:
    """Logarithms of rest wavelengths from ``first`` to ``last`` (Å) in the canvas's step."""
    return np.arange(float(np.log(first)), float(np.log(last)), STEP, dtype=np.float64)


def draw_from(
    rng: np.random.Generator, z: list[float], density: list[float], n: int, z_max: float = np.inf
) -> F8:
    """Draw ``n`` redshifts from a piecewise linear density, cut off at ``z_max``."""
    fine = np.linspace(z[0], min(z[-1], z_max), 400)
    cumulative = np.cumsum(np.interp(fine, z, density))
    drawn: F8 = np.interp(rng.random(n) * cumulative[-1], cumulative, fine)
    return drawn
