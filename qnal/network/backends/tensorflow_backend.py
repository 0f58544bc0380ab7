"""Forward passes with TensorFlow: graphs with folded batch norms and weights as arguments."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.network.network import RESCALE, Network, OffsetActivation, Padding

# Everything that a graph depends on: strides and paddings, offset activation, pixels, and shapes
# of the weights.
Structure = tuple[tuple[tuple[int, str], ...], OffsetActivation, int, tuple[tuple[int, ...], ...]]


def folded_weights(network: Network) -> list[NDArray[np.float64]]:
    """Kernel and bias of each convolution, of the dense layer, and of all heads together."""
    units, heads, parts, boxes = network.head_kernel.shape
    arrays = [array for conv in network.convs for array in conv.folded()]
    arrays += [*network.folded_dense(), network.head_kernel.reshape(units, -1)]
    return [*arrays, network.head_bias.reshape(heads * parts * boxes)]


def structure(network: Network) -> Structure:
    """Structure of a network; networks of equal structure share one graph."""
    layout = tuple((c.stride, c.padding.value) for c in network.convs)
    shapes = tuple(array.shape for array in folded_weights(network))
    heads, parts, boxes = network.head_bias.shape
    return layout, network.offset_activation, len(network.grid), (*shapes, (heads, parts, boxes))


def outputs(x: Any, weights: Sequence[Any], kind: Any, like: Structure) -> Any:
    """The graph: boxes and offsets of spectra.

    Args:
        x: spectra, shape [rows, npix], for one network; for several networks, shape
            [members, rows, npix], or [1, rows, npix] to give all of them the same spectra.
        weights: weights in the order of :func:`folded_weights`; for several networks, stacked along
            a first axis.
        kind: number format of the convolutions and the dense layer; that of the heads is the format
            of the weights.
        like: structure of the networks.

    Returns:
        Tensor of shape [rows, heads, 2, boxes] or [members, rows, heads, 2, boxes].
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
    """Insert an axis of rows into a bias that has an axis of members."""
    return bias[..., None, :] if len(bias.shape) == 2 else bias


def _convolved(y: Any, kernel: Any, bias: Any, stride: int, padding: str) -> Any:
    """Convolution of one member, [rows, pixels, in]; TensorFlow fuses the three operations."""
    from qnal.tf import tf

    y = tf.nn.conv2d(y[:, None], kernel[None], [1, stride], padding.upper())
    return tf.nn.relu(tf.nn.bias_add(y, bias))[:, 0]


def _convolved_together(y: Any, kernel: Any, bias: Any, stride: int, padding: str) -> Any:
    """Convolutions of several members, [members, rows, pixels, in], by one matrix product."""
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
    """A network as a function of spectra; its output has the shape [rows, heads, 2, boxes].

    Networks of equal structure share one compiled function.
    """
    from qnal.tf import tf

    like, kind = structure(network), tf.as_dtype(dtype)
    if (like, kind) not in _compiled:
        # The number of rows is free; all other shapes are those of the structure.
        spectra = tf.TensorSpec([None, len(network.grid)], kind)
        signature = [spectra, *(tf.TensorSpec(shape, kind) for shape in like[3][:-1])]
        _compiled[like, kind] = tf.function(
            lambda x, *weights: outputs(x, weights, kind, like), signature, autograph=False
        )
    function = _compiled[like, kind]
    weights = [tf.constant(array, kind) for array in folded_weights(network)]
    return lambda x: function(tf.constant(x, kind), *weights).numpy()
