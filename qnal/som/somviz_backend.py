"""SOMVIZ itself, where it is installed: a map fitted by the reference, as a cross-check."""

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.som.som import SelfOrganizingMap

# What the reference's scripts fit their map with.
PASSES, ETA = 200, 0.001


def fit_with_somviz(
    x: NDArray[np.floating],
    shape: tuple[int, int],
    wrap: tuple[bool, bool],
    seed: int,
    grid: str | None = None,
) -> SelfOrganizingMap:
    """A map that SOMVIZ fits online, in 200 passes of a tenth of the spectra.

    Args:
        x: spectra, shape [n, npix]; about 690 of them a second are gone through.
        shape: (rows, columns).
        wrap: whether an axis wraps round.

    Raises:
        ConfigError: SOMVIZ is not installed.
    """
    som = _package()
    signature = [-n if round_ else n for n, round_ in zip(shape, wrap, strict=True)]
    fitted = som.SelfOrganizingMap(som.Grid(*signature))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a line a pass
        fitted.fit(np.asarray(x, np.float64), maxiter=PASSES, eta=ETA, seed=seed)
    return SelfOrganizingMap(fitted._weights.T, shape, wrap, fitted._loss, seed, grid)


def _package() -> Any:
    try:
        from somviz import som
    except ImportError as error:
        raise ConfigError(
            "som.backend=somviz needs SOMVIZ, which is not installed: pip install 'qnal[somviz]'."
        ) from error
    return som
