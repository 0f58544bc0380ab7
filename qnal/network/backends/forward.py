"""Forward passes of one network with any of the backends."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.network.backends.numpy_backend import numpy_forward
from qnal.network.backends.quasarnp_backend import quasarnp_forward
from qnal.network.backends.tensorflow_backend import tensorflow_forward
from qnal.network.decode import Lines, decode
from qnal.network.network import Network


class Backend(StrEnum):
    """Implementation of the forward pass."""

    tensorflow = "tensorflow"
    numpy = "numpy"
    quasarnp = "quasarnp"


# From spectra, shape [rows, npix], to a network's output, shape [rows, heads, 2, boxes].
Forward = Callable[[NDArray], NDArray]


def forward(network: Network, backend: Backend, dtype: type[np.floating] = np.float32) -> Forward:
    """A network as a function of spectra; batch norms are folded in, except with QuasarNP.

    Args:
        network: the network.
        backend: the implementation.
        dtype: number format of the computation, float32 or float64.

    Raises:
        ConfigError: QuasarNP is not installed, or cannot run the network.
    """
    match backend:
        case Backend.numpy:
            return numpy_forward(network, dtype)
        case Backend.quasarnp:
            return quasarnp_forward(network, dtype)
    return tensorflow_forward(network, dtype)


def member_lines(
    network: Network, function: Forward, x: NDArray[np.float32], batch_size: int = 512
) -> Lines:
    """Predictions of one network, computed in batches.

    Args:
        network: the network.
        function: its :func:`forward` function.
        x: renormalised spectra, shape [rows, npix].
        batch_size: number of spectra per forward pass.

    Raises:
        InputError: the output is not finite.
    """
    parts = [function(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
    output = np.concatenate(parts)
    if not np.isfinite(output).all():
        raise InputError("the output of a member is not finite; its weight file must be corrupt.")
    return decode(output, lines=network.lines, bal_lines=network.bal_lines, grid=network.grid)
