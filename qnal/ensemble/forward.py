"""Forward passes: spectra through one member or through all."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.votes import MemberAnswers, Thresholds, gather
from qnal.network.decode import decode
from qnal.network.network import RESCALE, Network, OffsetActivation, apply_numpy


class Backend(StrEnum):
    """What computes forward passes."""

    tensorflow = "tensorflow"
    numpy = "numpy"


# Answers of a network, shape [rows, heads, 2, boxes], to spectra of shape [rows, npix].
Forward = Callable[[NDArray], NDArray]


def forward(network: Network, backend: Backend) -> Forward:
    """The network as a function, with batch norm folded in, in float32."""
    if backend is Backend.numpy:
        return lambda x: apply_numpy(network, x, np.float32)
    return _tensorflow(network)


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
    """
    lines = []
    x = np.ascontiguousarray(x, np.float32)
    for network, function in members:
        parts = [function(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
        lines.append(
            decode(
                np.concatenate(parts),
                lines=network.lines,
                bal_lines=network.bal_lines,
                grid=network.grid,
            )
        )
    return gather(lines, thresholds)


_compiled: dict[tuple[Any, ...], Any] = {}


def _tensorflow(network: Network) -> Forward:
    """One compiled function serves all networks of a structure; weights are its arguments."""
    from qnal.network.tf import tf

    units, heads, _, boxes = network.head_kernel.shape
    layout = tuple((c.stride, c.padding.value.upper()) for c in network.convs)
    arrays = [array for conv in network.convs for array in conv.folded()]
    arrays += [*network.folded_dense(), network.head_kernel.reshape(units, -1)]
    arrays += [network.head_bias.reshape(-1)]
    shapes = tuple(array.shape for array in arrays)
    key = (layout, network.offset_activation, boxes, len(network.grid), shapes)

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
            y = y * [[1.0], [RESCALE[0]]] + [[0.0], [RESCALE[1]]]
        return y

    if key not in _compiled:
        # Any number of rows, but the shapes of this structure: networks of other widths in the
        # same process have functions of their own.
        spectra = tf.TensorSpec([None, len(network.grid)], tf.float32)
        signature = [spectra, *(tf.TensorSpec(shape, tf.float32) for shape in shapes)]
        _compiled[key] = tf.function(run, signature)
    function = _compiled[key]
    weights = [tf.constant(a, tf.float32) for a in arrays]
    return lambda x: function(tf.constant(x, tf.float32), *weights).numpy()
