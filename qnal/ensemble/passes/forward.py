"""Forward passes: spectra through one member or through all."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.passes.numpy_backend import numpy_forward
from qnal.ensemble.passes.quasarnp_backend import quasarnp_forward
from qnal.ensemble.passes.stack import MemberStack
from qnal.ensemble.passes.tensorflow_backend import tensorflow_forward
from qnal.ensemble.votes import MemberAnswers, Thresholds, gather
from qnal.errors import InputError
from qnal.network.decode import Lines, decode
from qnal.network.network import Network


class Backend(StrEnum):
    """What computes forward passes."""

    tensorflow = "tensorflow"
    numpy = "numpy"
    quasarnp = "quasarnp"


# Answers of a network, shape [rows, heads, 2, boxes], to spectra of shape [rows, npix].
Forward = Callable[[NDArray], NDArray]
# An ensemble in TensorFlow, or networks and their functions.
Members = MemberStack | Sequence[tuple[Network, Forward]]


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


def answers(
    members: Members,
    x: NDArray,
    thresholds: Thresholds,
    batch_size: int = 512,
) -> MemberAnswers:
    """Answers of all members to spectra on their grid.

    A member's answers do not depend on which others are computed.

    Args:
        members: the members; they must share grid and lines.
        x: renormalised spectra, shape [rows, npix].
        thresholds: when a member votes quasar.
        batch_size: rows in one pass; it bounds memory.

    Raises:
        InputError: an answer is not finite.
    """
    x = np.ascontiguousarray(x, np.float32)
    if isinstance(members, MemberStack):
        return gather(members.lines(x, thresholds, batch_size), thresholds)
    return gather([_lines(*member, x, batch_size) for member in members], thresholds)


def _lines(network: Network, function: Forward, x: NDArray[np.float32], batch_size: int) -> Lines:
    """What one member says, batch by batch."""
    parts = [function(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
    output = np.concatenate(parts)
    if not np.isfinite(output).all():
        raise InputError("a member's answer is not finite; its weight file must be corrupt.")
    return decode(output, lines=network.lines, bal_lines=network.bal_lines, grid=network.grid)
