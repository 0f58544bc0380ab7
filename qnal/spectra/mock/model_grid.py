"""The wavelength grid of noiseless model spectra, and functions that add lines to them.

The grid is logarithmic, with 120 km/s per pixel and a third of DESI's pixels, so that a redshift is
a shift by a number of pixels. Models are interpolated to the pixels of a spectrograph later.
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


def add_gaussians(flux: F4, centre: F8, fwhm: F8, height: NDArray[np.floating]) -> None:
    """Add one Gaussian in ln(wavelength) to each spectrum, in place.

    Args:
        flux: shape [n, PIXELS].
        centre: observed wavelength, shape [n], Å; it may lie outside the grid.
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
    flux.reshape(-1)[index] += value[inside]  # indices are distinct: np.add.at is not needed


def add_emission(flux: F4, continuum: F4, centre: F8, fwhm: F8, ew: NDArray[np.floating]) -> None:
    """Add an emission line of given observed equivalent width to each spectrum, in place.

    The continuum is taken at the centre of the line, or at the edge of the grid for a line outside.

    Args:
        flux: shape [n, PIXELS].
        continuum: shape [n, PIXELS].
        centre: observed wavelength, shape [n], Å.
        fwhm: shape [n], km/s.
        ew: equivalent width, shape [n], Å.
    """
    pixel = np.clip((np.log(centre) - START) / STEP, 0, PIXELS - 1).astype(np.int64)
    level = continuum[np.arange(len(flux)), pixel]
    sigma = centre * fwhm / (2.3548 * LIGHT_SPEED)
    add_gaussians(flux, centre, fwhm, level * ew / (sigma * np.sqrt(2 * np.pi)))


@dataclass(frozen=True)
class Templates:
    """Rest-frame spectra on a grid with the same step.

    Attributes:
        ln_wave: ln of the rest wavelengths in Å, shape [npix].
        flux: shape [k, npix].
    """

    ln_wave: F8
    flux: F4

    def observed(self, weights: NDArray[np.floating], z: F8) -> F4:
        """Weighted sums of the templates, redshifted onto the observed grid.

        Args:
            weights: shape [n, k].
            z: shape [n]; the templates must cover the observed grid at this redshift.

        Returns:
            Shape [n, PIXELS].
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
    """Logarithms of rest wavelengths from ``first`` to ``last`` (Å) in steps of STEP."""
    return np.arange(float(np.log(first)), float(np.log(last)), STEP, dtype=np.float64)


def draw_from(
    rng: np.random.Generator, z: list[float], density: list[float], n: int, z_max: float = np.inf
) -> F8:
    """Draw ``n`` redshifts below ``z_max`` from a piecewise linear density."""
    fine = np.linspace(z[0], min(z[-1], z_max), 400)
    cumulative = np.cumsum(np.interp(fine, z, density))
    drawn: F8 = np.interp(rng.random(n) * cumulative[-1], cumulative, fine)
    return drawn
