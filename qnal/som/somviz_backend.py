"""Fit a SOM with the package SOMVIZ, as a cross-check of :mod:`qnal.som.batch_fit`."""

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.som.som import SelfOrganizingMap

# Settings of the QuasarNET active-learning scripts.
PASSES, ETA = 200, 0.001


def fit_with_somviz(
    x: NDArray[np.floating],
    shape: tuple[int, int],
    wrap: tuple[bool, bool],
    seed: int,
    grid: str | None = None,
) -> SelfOrganizingMap:
    """Fit a SOM by SOMVIZ's online updates, in 200 passes over a tenth of the spectra each.

    It processes about 690 spectra per second.

    Args:
        x: spectra, shape [n, npix].
        shape: (rows, columns).
        wrap: whether the rows and the columns are periodic.
        seed: seed of the fit.
        grid: name of the spectra's wavelength grid, stored with the SOM.

    Raises:
        ConfigError: SOMVIZ is not installed.
    """
    som = _package()
    # SOMVIZ marks periodic axes by a negative length.
    signature = [-n if periodic else n for n, periodic in zip(shape, wrap, strict=True)]
    fitted = som.SelfOrganizingMap(som.Grid(*signature))
    with contextlib.redirect_stdout(io.StringIO()):  # SOMVIZ prints one line per pass
        fitted.fit(np.asarray(x, np.float64), maxiter=PASSES, eta=ETA, seed=seed)
    return SelfOrganizingMap(fitted._weights.T, shape, wrap, fitted._loss, seed, grid)


def _package() -> Any:
    try:
        from somviz import som
    except ImportError as error:
        raise ConfigError(
            "the somviz backend needs SOMVIZ, which is not installed: pip install 'qnal[somviz]'."
        ) from error
    return som
