"""Probe spectra: the spectra on which the bfloat16 rounding error of a network is measured.

They are data of the package (``probe_spectra.npz``, made by ``experiments/make_probe_spectra.py``)
and not drawn from the mock survey, because stored predictions depend on them.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status, renormalise

FILE = Path(__file__).with_suffix(".npz")


@lru_cache(maxsize=4)
def probe_spectra(grid: Grid) -> NDArray[np.float32]:
    """Renormalised quasars (half of the spectra), galaxies, stars and sky, shape [rows, npix]."""
    with np.load(FILE) as arrays:
        flux = arrays["flux"].astype(np.float64)
        ivar = np.broadcast_to(arrays["ivar"], flux.shape)
        x, status = renormalise(flux, ivar, arrays["wave"], grid)
    return x[status == Status.OK].astype(np.float32)


@lru_cache(maxsize=1)
def probe_digest() -> str:
    """SHA-256 of the arrays in the file."""
    digest = hashlib.sha256()
    with np.load(FILE) as arrays:
        for name in sorted(arrays):
            digest.update(arrays[name].tobytes())
    return digest.hexdigest()
