"""Spectra to try an ensemble on before it is let loose: the same ones every time."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.model_grid import WAVE
from qnal.spectra.mock.observation import reference_noise
from qnal.spectra.mock.targets import draw_targets
from qnal.spectra.rebin import Status, renormalise

SEED = 5
SPECTRA = 128
# Half of them are quasars, on which more depends; their redshifts reach from 0 to 4.5.
MIX = {"qso": 0.5, "galaxy": 0.2, "star": 0.2, "sky": 0.05, "oddity": 0.05}


@lru_cache(maxsize=4)
def probe_spectra(grid: Grid) -> NDArray[np.float32]:
    """Renormalised spectra of mock quasars, galaxies, stars and empty fibres, [rows, npix]."""
    rng = np.random.default_rng(SEED)
    signal = draw_targets(rng, SPECTRA, MIX, MockConfig()).signal
    noise = np.interp(WAVE, WAVE[::8], reference_noise())
    flux = signal + noise * rng.standard_normal(signal.shape)
    ivar = np.broadcast_to(noise**-2, signal.shape)
    x, status = renormalise(flux, ivar, WAVE, grid)
    return x[status == Status.OK].astype(np.float32)
