"""The layers of a QuasarNET in training, for one member or for several at once.

Values have the shape [members, rows, pixels, channels]. One member's convolution is TensorFlow's;
those of several are one batched matrix product. Members that have fewer rows than others are
filled up; ``present`` [members, rows] is 1 for the rows that count and None where all do.
"""

from qnal.network.network import BATCH_NORM_EPSILON, Conv
from qnal.tf import tf


def blocks(y: tf.Tensor, conv: Conv) -> tf.Tensor:
    """Values as a convolution of stride 1 takes them: ``stride`` pixels are one pixel's channels.

    A convolution of stride s over pixels is one of stride 1 over blocks of s pixels, with s times
    the channels and kernels as long in blocks; that is the form in which its gradients are
    cheapest. Padding is added and pixels that no kernel reaches are left out.
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
    """How far into ``pixels`` the kernels of a convolution reach, with whole blocks."""
    width = -(-len(conv.kernel) // conv.stride) * conv.stride
    return (conv.pixels(pixels) - 1) * conv.stride + width - conv.padded(pixels)[0]


def block_kernel(kernel: tf.Tensor, conv: Conv) -> tf.Tensor:
    """Kernels [members, width, in, out] for blocks, [members, blocks, stride·in, out]."""
    width, channels, filters = kernel.shape[1:]
    missing = -width % conv.stride
    if missing:
        kernel = tf.pad(kernel, [[0, 0], [0, missing], [0, 0], [0, 0]])
    return tf.reshape(
        kernel, [-1, (width + missing) // conv.stride, conv.stride * channels, filters]
    )


def frames(y: tf.Tensor, width: int) -> tf.Tensor:
    """Windows of ``width`` pixels side by side, [members, rows, pixels − width + 1, width·in]."""
    pixels = y.shape[2] - width + 1
    return tf.concat([y[:, :, k : k + pixels] for k in range(width)], axis=3)


def convolved(y: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution of stride 1 without padding; kernels [members, width, in, out]."""
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
    """Batch norm in float32, and the batch's mean and (biased) variance, [members, channels]."""
    y = tf.cast(y, tf.float32)
    if row_mask is None and y.shape[0] == 1:
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            _of_one(y), gamma[0], beta[0], epsilon=BATCH_NORM_EPSILON, is_training=True
        )
        # The fused operation reports the unbiased variance; Keras averages the biased one.
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
    """The first convolution with its batch norm, and the batch's mean and variance.

    Its output is the largest array of all, but its windows have few values, so mean and variance
    of the output are had from those of the windows, ``wᵀm`` and ``wᵀCw``: the norm is part of the
    kernel, and no pass over the output is needed, in training either.

    Args:
        x: spectra, shape [members, rows, pixels].
        pixels: how many pixels of the output to give; the statistics are of all.
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
    # The shift is the kernel of one channel more that is 1 everywhere: its gradient comes out of
    # the same product, summed in float32.
    windows = windows[:, :, :pixels]
    windows = tf.concat([windows, tf.ones_like(windows[..., :1])], axis=3)
    kernels = tf.concat([kernels * scale[:, None], shift[:, None]], axis=1)
    y = convolved(tf.cast(windows, dtype), tf.cast(kernels[:, None], dtype))
    if members == 1:
        # With a bias, of nothing, TensorFlow computes convolution and the ReLU behind it in one.
        y = tf.nn.bias_add(y, tf.zeros([filters], dtype))
    return y, [mean, variance]


def _of_one(y: tf.Tensor) -> tf.Tensor:
    """One member's values as an image of one line; a reshape, as indices would copy."""
    return tf.reshape(y, [-1, 1, *y.shape[2:]])


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Matrix product of every member; of one, the operation that has the least overhead."""
    if a.shape[0] > 1:
        return a @ b
    y = tf.reshape(a, [-1, a.shape[2]]) @ tf.reshape(b, b.shape[1:])
    return tf.expand_dims(y, 0)


def _count(y: tf.Tensor, row_mask: tf.Tensor | None) -> tf.Tensor:
    """Values that count of each member and channel, at least 1, shape [members]."""
    shape = tf.cast(tf.shape(y), tf.float32)
    if row_mask is None:
        return tf.fill([y.shape[0]], shape[1] * shape[2])
    return tf.maximum(tf.reduce_sum(row_mask, axis=1) * shape[2], 1)


def _mean(y: tf.Tensor, row_mask: tf.Tensor | None) -> tf.Tensor:
    """Mean over rows and pixels that count, shape [members, channels]."""
    if row_mask is not None:
        y *= row_mask[:, :, None, None]
    return tf.reduce_sum(y, axis=[1, 2]) / _count(y, row_mask)[:, None]
