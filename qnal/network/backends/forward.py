"""Forward passes of one network, by any of the backends."""

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
    """What computes forward passes."""

    tensorflow = "tensorflow"
    numpy = "numpy"
    quasarnp = "quasarnp"


# Answers of a network, shape [rows, heads, 2, boxes], to spectra of shape [rows, npix].
Forward = Callable[[NDArray], NDArray]


def forward(network: Network, backend: Backend, dtype: type[np.floating] = np.float32) -> Forward:
    """The network as a function, with batch norm folded in (but for QuasarNP's own code).

    Args:
        network: the network.
        backend: what computes it.
        dtype: precision of the computation, float32 or float64.

    Raises:
        ConfigError: QuasarNP is not installed, or cannot run such a network.
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
    """What one member says, batch by batch."""
    parts = [function(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
    output = np.concatenate(parts)
    if not np.isfinite(output).all():
        raise InputError("a member's answer is not finite; its weight file must be corrupt.")
    return decode(output, lines=network.lines, bal_lines=network.bal_lines, grid=network.grid)
