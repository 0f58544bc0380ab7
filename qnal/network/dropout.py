"""Dropout with eight random bits per value."""

from qnal.tf import tf

LEVELS = 256


class Dropout:
    """Dropout masks of one training step.

    A value is dropped if its random byte is below 256·rate. If that is not an integer, it is
    rounded up or down at random, per step and layer, so that the mean rate is exact.

    Args:
        rate: share of values to drop.
        layers: number of layers with dropout.
        seeds: two numbers per member and step, shape [members, 2], int32. The masks of a member
            depend on its own seeds only.
    """

    def __init__(self, rate: float, layers: int, seeds: tf.Tensor) -> None:
        self.rate = rate
        whole, part = divmod(rate * LEVELS, 1)
        self.keys, self.thresholds = [], []
        for seed in tf.unstack(seeds):
            self.keys.append(tf.random.stateless_uniform([layers], seed, None, None, tf.int64))
            chance = tf.random.stateless_uniform([layers], seed + [0, -1])
            self.thresholds.append(tf.cast(whole + tf.cast(chance < part, tf.float32), tf.uint8))

    @property
    def scale(self) -> float:
        """Factor of the values that are kept, which preserves the mean."""
        return 1 / (1 - self.rate)

    def keep(self, layer: int, shape: tf.Tensor) -> tf.Tensor | None:
        """Mask of the values to keep; None if all are kept.

        The mask of a row does not depend on the number of rows after it.

        Args:
            layer: number of the layer.
            shape: shape of the values, [members, rows, …].
        """
        if not self.rate:
            return None
        size = tf.reduce_prod(shape[1:])
        keep = []
        for keys, thresholds in zip(self.keys, self.thresholds, strict=True):
            words = split_mix((size + 7) // 8, keys[layer])
            bits = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
            keep.append(bits >= thresholds[layer])
        return tf.reshape(tf.stack(keep) if len(keep) > 1 else keep[0], shape)


def split_mix(count: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """``count`` words of 64 random bits by SplitMix64 (Steele, Lea & Flood 2014), from ``key`` on.

    It takes half the time of TensorFlow's own counter-based generators.
    """
    words = tf.bitcast(tf.range(tf.cast(count, tf.int64)), tf.uint64)
    z = words * tf.constant(0x9E3779B97F4A7C15, tf.uint64) + tf.bitcast(key, tf.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = _shifted_in(z, shift) * tf.constant(factor, tf.uint64)
    return _shifted_in(z, 31)


def _shifted_in(z: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, tf.constant(shift, tf.uint64)))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _dropped_relu(y: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    z = tf.nn.relu(y) * tf.cast(keep, y.dtype)

    def gradient(dz: tf.Tensor) -> tuple[tf.Tensor, None]:
        # Dropped and negative values are 0 in z, so z tells where the gradient passes.
        return tf.raw_ops.ReluGrad(gradients=dz, features=z), None

    return z, gradient


def dropped_relu(y: tf.Tensor, keep: tf.Tensor | None) -> tf.Tensor:
    """ReLU and dropout in one operation, without the factor of dropout.

    ReLU commutes with positive factors, so the factor is applied to the layer before.
    """
    return tf.nn.relu(y) if keep is None else _dropped_relu(y, keep)
