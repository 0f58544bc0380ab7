"""Anomalous spectra (class ``oddity``): instrumental artefacts and blended objects."""

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.mock.model_grid import F4, PIXELS, WAVE

KINDS = ("blend", "fringe", "step", "slope", "scatter")


def distort(rng: np.random.Generator, flux: F4) -> NDArray[np.str_]:
    """Distort each noiseless spectrum in one of five ways, in place.

    * blend: light of another object (the next row) in the same fibre,
    * fringe: interference in the CCD, growing redward of 6500 Å,
    * step: cameras with different flux calibrations,
    * slope: an extreme tilt, as of a misplaced fibre,
    * scatter: a broad hump of scattered light.

    Args:
        rng: source of random numbers.
        flux: shape [n, PIXELS], arbitrary units.

    Returns:
        The kind of each row, shape [n].
    """
    n = len(flux)
    kind = rng.choice(np.array(KINDS), n)
    a, b, c = rng.random((3, n))
    sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    level = np.median(flux, axis=1)
    original = flux.copy()
    factor = np.ones(PIXELS)
    for i in range(n):
        if kind[i] == "blend" and n > 1:
            other = original[(i + 1) % n]
            flux[i] += other * (level[i] / max(level[(i + 1) % n], 1e-9) * (0.6 + 0.8 * a[i]))
            continue
        if kind[i] == "fringe":
            growth = 1 / (1 + np.exp(-(WAVE - 7400) / 500))
            phase = 2 * np.pi * (c[i] + 1e4 / WAVE * (150 + 200 * b[i]) / 4)
            factor = 1 + (0.3 + 0.5 * a[i]) * growth * np.sin(phase)
        elif kind[i] == "step":
            blue, red = 4 ** (sign[i] * (0.4 + 0.6 * a[i])), 4 ** (-sign[i] * (0.8 * b[i]))
            factor = np.where(WAVE < 5780, blue, np.where(WAVE < 7570, 1.0, red))
        elif kind[i] == "slope":
            factor = (WAVE / 6000) ** (sign[i] * (4 + 4 * a[i]))
        else:
            hump = np.exp(-0.5 * ((WAVE - 4200 - 5000 * b[i]) / (250 + 500 * c[i])) ** 2)
            flux[i] += ((3 + 8 * a[i]) * level[i] * hump).astype(np.float32)
            continue
        flux[i] *= factor.astype(np.float32)
    return kind
