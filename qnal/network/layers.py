"""Layers of QuasarNET in training, for one member or for several at once.

Values have the shape [members, rows, pixels, channels]. The convolution of one member is
TensorFlow's; those of several members are one batched matrix product. Members with fewer rows than
others are padded: ``row_mask``, shape [members, rows], is 1 for real rows and 0 for padding, and
None if there is no padding.
"""

from qnal.network.network import BATCH_NORM_EPSILON, Conv
from qnal.tf import tf


def blocks(y: tf.Tensor, conv: Conv) -> tf.Tensor:
    """Reshape the input of a strided convolution for a convolution of stride 1 over blocks.

    A convolution of stride s over pixels equals one of stride 1 over blocks of s pixels, with s
    times the channels; in this form its gradients are cheapest. Padding is added, and pixels that
    no kernel reaches are removed.
    """
    pixels, channels = y.shape[2:]
    before, behind = conv.padded(pixels)
    taken = reach(conv, pixels) + before
    behind = max(0, taken - before - pixels)
    if before or behind:
        y = tf.pad(y, [[0, 0], [0, 0], [before, behind], [0, 0]])
    count = taken // conv.stride
    y = y if y.shape[2] == taken else y[:, :, :taken]
    return tf.reshape(y, [y.shape[0], -1, count, conv.stride * channels])


def reach(conv: Conv, pixels: int) -> int:
    """Number of the ``pixels`` that the kernels of a convolution reach, in whole blocks."""
    width = -(-len(conv.kernel) // conv.stride) * conv.stride
    return (conv.pixels(pixels) - 1) * conv.stride + width - conv.padded(pixels)[0]


def block_kernel(kernel: tf.Tensor, conv: Conv) -> tf.Tensor:
    """Reshape kernels [members, width, in, out] for :func:`blocks`.

    Returns:
        Kernels of shape [members, blocks, stride·in, out].
    """
    width, channels, filters = kernel.shape[1:]
    missing = -width % conv.stride
    if missing:
        kernel = tf.pad(kernel, [[0, 0], [0, missing], [0, 0], [0, 0]])
    return tf.reshape(
        kernel, [-1, (width + missing) // conv.stride, conv.stride * channels, filters]
    )


def frames(y: tf.Tensor, width: int) -> tf.Tensor:
    """All windows of ``width`` pixels, shape [members, rows, pixels − width + 1, width·in]."""
    pixels = y.shape[2] - width + 1
    return tf.concat([y[:, :, k : k + pixels] for k in range(width)], axis=3)


def convolved(y: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution of stride 1 without padding, with kernels [members, width, in, out]."""
    if y.shape[0] == 1:
        y = tf.nn.conv2d(_of_one(y), kernel, 1, "VALID")
        return tf.reshape(y, [1, -1, *y.shape[2:]])
    members, width, channels, filters = kernel.shape
    windows = frames(y, width)
    flat = tf.reshape(windows, [members, -1, width * channels])
    y = flat @ tf.reshape(kernel, [members, -1, filters])
    return tf.reshape(y, [members, -1, windows.shape[2], filters])


def batch_norm(
    y: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, row_mask: tf.Tensor | None
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Batch norm in float32; also returns the batch's mean and biased variance.

    Both have the shape [members, channels].
    """
    y = tf.cast(y, tf.float32)
    if row_mask is None and y.shape[0] == 1:
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            _of_one(y), gamma[0], beta[0], epsilon=BATCH_NORM_EPSILON, is_training=True
        )
        # The fused operation returns the unbiased variance, but Keras averages the biased one.
        count = tf.cast(tf.reduce_prod(tf.shape(y)[:3]), tf.float32)
        variance *= (count - 1) / tf.maximum(count, 1)
        return tf.reshape(y, [1, -1, *y.shape[2:]]), [mean[None], variance[None]]
    mean = _mean(y, row_mask)
    centred = y - mean[:, None, None]
    variance = _mean(tf.square(centred), row_mask)
    scale = gamma / tf.sqrt(variance + BATCH_NORM_EPSILON)
    return centred * scale[:, None, None] + beta[:, None, None], [mean, variance]


def first_convolution(
    x: tf.Tensor, kernel: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, conv: Conv,
    row_mask: tf.Tensor | None, pixels: int, dtype: tf.DType,
) -> tuple[tf.Tensor, list[tf.Tensor]]:  # fmt: skip
    """First convolution with its batch norm; also returns the batch's mean and variance.

    The output is the largest array of the network, but its windows have few values. Mean and
    variance of the output therefore follow from mean m and covariance C of the windows as ``wᵀm``
    and ``wᵀCw``, and the norm is folded into the kernel, without a pass over the output.

    Args:
        x: spectra, shape [members, rows, pixels].
        kernel, gamma, beta: weights of the convolution and its batch norm, per member.
        conv: structure of the convolution.
        row_mask: see the module.
        pixels: number of output pixels to return; the statistics are over all of them.
        dtype: number format of the convolution.
    """
    kernels = block_kernel(kernel, conv)
    members, width, channels, filters = kernels.shape
    kernels = tf.reshape(kernels, [members, width * channels, filters])
    windows = frames(blocks(x[..., None], conv), width)
    average = _mean(windows, row_mask)
    centred = windows - average[:, None, None]
    if row_mask is not None:
        centred *= row_mask[:, :, None, None]
    centred = tf.reshape(centred, [members, -1, width * channels])
    covariance = tf.matmul(centred, centred, transpose_a=True)
    covariance /= _count(windows, row_mask)[:, None, None]
    mean = (average[:, None] @ kernels)[:, 0]
    variance = tf.reduce_sum(kernels * (covariance @ kernels), axis=1)
    scale = gamma / tf.sqrt(variance + BATCH_NORM_EPSILON)
    shift = beta - mean * scale
    # The shift is the kernel of an additional channel that is 1 everywhere, so that its gradient
    # comes from the same product, summed in float32.
    windows = windows[:, :, :pixels]
    windows = tf.concat([windows, tf.ones_like(windows[..., :1])], axis=3)
    kernels = tf.concat([kernels * scale[:, None], shift[:, None]], axis=1)
    y = convolved(tf.cast(windows, dtype), tf.cast(kernels[:, None], dtype))
    if members == 1:
        # With a bias, here 0, TensorFlow fuses the convolution and the ReLU after it.
        y = tf.nn.bias_add(y, tf.zeros([filters], dtype))
    return y, [mean, variance]


def _of_one(y: tf.Tensor) -> tf.Tensor:
    """Values of one member as images of one line; a reshape, since indexing would copy."""
    return tf.reshape(y, [-1, 1, *y.shape[2:]])


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Matrix product per member; for one member, without the overhead of a batched product."""
    if a.shape[0] > 1:
        return a @ b
    y = tf.reshape(a, [-1, a.shape[2]]) @ tf.reshape(b, b.shape[1:])
    return tf.expand_dims(y, 0)


def _count(y: tf.Tensor, row_mask: tf.Tensor | None) -> tf.Tensor:
    """Number of unmasked values per member and channel, at least 1, shape [members]."""
    shape = tf.cast(tf.shape(y), tf.float32)
    if row_mask is None:
        return tf.fill([y.shape[0]], shape[1] * shape[2])
    return tf.maximum(tf.reduce_sum(row_mask, axis=1) * shape[2], 1)


def _mean(y: tf.Tensor, row_mask: tf.Tensor | None) -> tf.Tensor:
    """Mean over unmasked rows and all pixels, shape [members, channels]."""
    if row_mask is not None:
        y *= row_mask[:, :, None, None]
    return tf.reduce_sum(y, axis=[1, 2]) / _count(y, row_mask)[:, None]
