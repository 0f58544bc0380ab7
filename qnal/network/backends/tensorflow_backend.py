"""Networks as TensorFlow graphs: batch norm folded in, weights as arguments."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.network.network import RESCALE, Network, OffsetActivation, Padding

# What a graph depends on: strides and paddings, the activation, pixels, and shapes of weights.
Structure = tuple[tuple[tuple[int, str], ...], OffsetActivation, int, tuple[tuple[int, ...], ...]]


def folded_weights(network: Network) -> list[NDArray[np.float64]]:
    """Kernel and bias of every convolution, of the dense layer, and of all heads at once."""
    units, heads, parts, boxes = network.head_kernel.shape
    arrays = [array for conv in network.convs for array in conv.folded()]
    arrays += [*network.folded_dense(), network.head_kernel.reshape(units, -1)]
    return [*arrays, network.head_bias.reshape(heads * parts * boxes)]


def structure(network: Network) -> Structure:
    """Networks of equal structure are run by one graph."""
    layout = tuple((c.stride, c.padding.value) for c in network.convs)
    shapes = tuple(array.shape for array in folded_weights(network))
    heads, parts, boxes = network.head_bias.shape
    return layout, network.offset_activation, len(network.grid), (*shapes, (heads, parts, boxes))


def outputs(x: Any, weights: Sequence[Any], kind: Any, like: Structure) -> Any:
    """Boxes and offsets of spectra: the graph itself.

    Args:
        x: [rows, npix] with the weights of one network; or [members, rows, npix] (or 1 for
            ``members``, the same spectra for all) with weights stacked along a first axis.
        weights: as :func:`folded_weights` has them.
        kind: type to compute convolutions and the dense layer in; the heads follow in the type
            of the weights.
        like: the networks' structure.

    Returns:
        [rows, heads, 2, boxes], or [members, rows, heads, 2, boxes].
    """
    from qnal.tf import tf

    layout, activation, _, shapes = like
    convolved = _convolved if len(x.shape) == 2 else _convolved_together
    y = tf.cast(x, kind)[..., None]
    for (stride, padding), kernel, bias in zip(layout, weights[::2], weights[1::2], strict=False):
        y = convolved(y, tf.cast(kernel, kind), tf.cast(bias, kind), stride, padding)
    kernel, bias, head_kernel, head_bias = weights[2 * len(layout) :]
    y = tf.reshape(y, tf.concat([tf.shape(y)[:-2], [kernel.shape[-2]]], axis=0))
    y = tf.nn.relu(y @ tf.cast(kernel, kind) + _for_rows(tf.cast(bias, kind)))
    y = tf.cast(y, head_kernel.dtype) @ head_kernel + _for_rows(head_bias)
    y = tf.reshape(y, tf.concat([tf.shape(y)[:-1], shapes[-1]], axis=0))
    if activation is not OffsetActivation.linear:
        y = tf.sigmoid(y)
    if activation is not OffsetActivation.sigmoid:
        factor = tf.constant([[1.0], [RESCALE[0]]], y.dtype)
        y = y * factor + tf.constant([[0.0], [RESCALE[1]]], y.dtype)
    return y


def _for_rows(bias: Any) -> Any:
    """A bias that may have an axis of members, for values with an axis of rows."""
    return bias[..., None, :] if len(bias.shape) == 2 else bias


def _convolved(y: Any, kernel: Any, bias: Any, stride: int, padding: str) -> Any:
    """[rows, pixels, in] by one member's kernel; TensorFlow fuses these three operations."""
    from qnal.tf import tf

    y = tf.nn.conv2d(y[:, None], kernel[None], [1, stride], padding.upper())
    return tf.nn.relu(tf.nn.bias_add(y, bias))[:, 0]


def _convolved_together(y: Any, kernel: Any, bias: Any, stride: int, padding: str) -> Any:
    """[members, rows, pixels, in] by each member's kernel: one batched matrix product."""
    from qnal.tf import tf

    width = kernel.shape[1]
    if padding == Padding.same:
        out = -(-y.shape[2] // stride)
        total = max((out - 1) * stride + width - y.shape[2], 0)
        y = tf.pad(y, [[0, 0], [0, 0], [total // 2, total - total // 2], [0, 0]])
    out = (y.shape[2] - width) // stride + 1
    reach = (out - 1) * stride + 1
    windows = tf.stack([y[:, :, k : k + reach : stride] for k in range(width)], axis=3)
    members, rows = tf.shape(y)[0], tf.shape(y)[1]
    windows = tf.reshape(windows, [members, rows * out, width * kernel.shape[2]])
    kernel = tf.reshape(kernel, [-1, width * kernel.shape[2], kernel.shape[3]])
    y = tf.nn.relu(windows @ kernel + bias[:, None])
    return tf.reshape(y, [-1, rows, out, kernel.shape[2]])


_compiled: dict[tuple[Any, ...], Any] = {}


def tensorflow_forward(
    network: Network, dtype: type[np.floating] = np.float32
) -> Callable[[NDArray], NDArray]:
    """The network as a function; answers are of shape [rows, heads, 2, boxes].

    One compiled function serves all networks of a structure.
    """
    from qnal.tf import tf

    like, kind = structure(network), tf.as_dtype(dtype)
    if (like, kind) not in _compiled:
        # Any number of rows, but the shapes of this structure: networks of other widths in the
        # same process have functions of their own.
        spectra = tf.TensorSpec([None, len(network.grid)], kind)
        signature = [spectra, *(tf.TensorSpec(shape, kind) for shape in like[3][:-1])]
        _compiled[like, kind] = tf.function(
            lambda x, *weights: outputs(x, weights, kind, like), signature, autograph=False
        )
    function = _compiled[like, kind]
    weights = [tf.constant(array, kind) for array in folded_weights(network)]
    return lambda x: function(tf.constant(x, kind), *weights).numpy()
