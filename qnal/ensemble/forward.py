"""Forward passes: spectra through one member or through all."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.quasarnp_backend import quasarnp_forward
from qnal.ensemble.votes import MemberAnswers, Thresholds, gather
from qnal.errors import InputError
from qnal.network.decode import decode
from qnal.network.network import RESCALE, Network, OffsetActivation, apply_numpy


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
            return lambda x: apply_numpy(network, x, dtype)
        case Backend.quasarnp:
            return quasarnp_forward(network, dtype)
    return _tensorflow(network, dtype)


def answers(
    members: Sequence[tuple[Network, Forward]],
    x: NDArray,
    thresholds: Thresholds,
    batch_size: int = 512,
) -> MemberAnswers:
    """Answers of all members to spectra on their grid.

    Args:
        members: networks and their functions; they must share grid and lines.
        x: renormalised spectra, shape [rows, npix].
        batch_size: rows in one pass; it bounds memory.

    Raises:
        InputError: an answer is not finite.
    """
    lines = []
    x = np.ascontiguousarray(x, np.float32)
    for network, function in members:
        parts = [function(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        output = np.concatenate(parts)
        if not np.isfinite(output).all():
            raise InputError("a member's answer is not finite; its weight file must be corrupt.")
        lines.append(
            decode(
                output,
                lines=network.lines,
                bal_lines=network.bal_lines,
                grid=network.grid,
            )
        )
    return gather(lines, thresholds)


_compiled: dict[tuple[Any, ...], Any] = {}


def _tensorflow(network: Network, dtype: type[np.floating]) -> Forward:
    """One compiled function serves all networks of a structure; weights are its arguments."""
    from qnal.network.tf import tf

    units, heads, _, boxes = network.head_kernel.shape
    layout = tuple((c.stride, c.padding.value.upper()) for c in network.convs)
    arrays = [array for conv in network.convs for array in conv.folded()]
    arrays += [*network.folded_dense(), network.head_kernel.reshape(units, -1)]
    arrays += [network.head_bias.reshape(-1)]
    shapes = tuple(array.shape for array in arrays)
    kind = tf.as_dtype(dtype)
    key = (layout, network.offset_activation, boxes, len(network.grid), shapes, kind)

    def run(x: Any, *weights: Any) -> Any:
        y = x[:, None, :, None]
        for (stride, padding), kernel, bias in zip(
            layout, weights[::2], weights[1::2], strict=False
        ):
            y = tf.nn.relu(
                tf.nn.bias_add(tf.nn.conv2d(y, kernel[None], [1, stride], padding), bias)
            )
        kernel, bias, head_kernel, head_bias = weights[2 * len(layout) :]
        y = tf.nn.relu(tf.reshape(y, [-1, kernel.shape[0]]) @ kernel + bias)
        y = tf.reshape(y @ head_kernel + head_bias, [-1, heads, 2, boxes])
        if network.offset_activation is not OffsetActivation.linear:
            y = tf.sigmoid(y)
        if network.offset_activation is not OffsetActivation.sigmoid:
            factor = tf.constant([[1.0], [RESCALE[0]]], kind)
            y = y * factor + tf.constant([[0.0], [RESCALE[1]]], kind)
        return y

    if key not in _compiled:
        # Any number of rows, but the shapes of this structure: networks of other widths in the
        # same process have functions of their own.
        spectra = tf.TensorSpec([None, len(network.grid)], kind)
        signature = [spectra, *(tf.TensorSpec(shape, kind) for shape in shapes)]
        _compiled[key] = tf.function(run, signature)
    function = _compiled[key]
    weights = [tf.constant(a, kind) for a in arrays]
    return lambda x: function(tf.constant(x, kind), *weights).numpy()
