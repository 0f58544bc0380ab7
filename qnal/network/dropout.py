"""Dropout from eight random bits a value."""

from qnal.network.tf import tf

LEVELS = 256


class Dropout:
    """Which values of one step are kept: Bernoulli of exactly ``1 − rate``, from cheap bits.

    A value is dropped if its random byte is below 256·rate. Where that is no whole number, chance
    rounds it up or down for each step and layer, so that every value is dropped at the exact rate
    over the steps.

    Args:
        rate: share of values to drop.
        layers: how many layers ask.
        seeds: two numbers a member and step, shape [members, 2], int32; a member's bits follow
            from its own alone.
    """

    def __init__(self, rate: float, layers: int, seeds: tf.Tensor) -> None:
        self.rate = rate
        self.seeds = tf.unstack(seeds)
        whole, part = divmod(rate * LEVELS, 1)
        # A seed of its own: those of the layers are 0 … layers − 1.
        chance = tf.stack([tf.random.stateless_uniform([layers], s + [layers, 0])
                           for s in self.seeds])  # fmt: skip
        self.thresholds = tf.cast(whole + tf.cast(chance < part, tf.float32), tf.uint8)

    @property
    def scale(self) -> float:
        """What kept values are multiplied by, so that the mean stays."""
        return 1 / (1 - self.rate)

    def keep(self, layer: int, shape: tf.Tensor) -> tf.Tensor | None:
        """Whether each value is kept, for values of shape [members, rows, …]; None keeps all.

        The bits of a row do not depend on how many rows follow it.
        """
        if not self.rate:
            return None
        size = tf.reduce_prod(shape[1:])
        keep = []
        for member, seed in enumerate(self.seeds):
            words = tf.random.stateless_uniform(
                [(size + 3) // 4], seed + [layer, 0], None, None, tf.int32
            )
            bits = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size]
            keep.append(bits >= self.thresholds[member, layer])
        return tf.reshape(tf.stack(keep) if len(keep) > 1 else keep[0], shape)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _dropped_relu(y: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    z = tf.nn.relu(y) * tf.cast(keep, y.dtype)

    def gradient(dz: tf.Tensor) -> tuple[tf.Tensor, None]:
        # What was dropped or negative is 0 in z, so z alone says where the gradient passes.
        return tf.raw_ops.ReluGrad(gradients=dz, features=z), None

    return z, gradient


def dropped_relu(y: tf.Tensor, keep: tf.Tensor | None) -> tf.Tensor:
    """ReLU and dropout in one, without dropout's scale: ReLU keeps positive factors, so the scale
    can go into what is before it.
    """
    return tf.nn.relu(y) if keep is None else _dropped_relu(y, keep)
