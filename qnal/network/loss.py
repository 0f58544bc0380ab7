"""Training loss of QuasarNET, for all heads at once."""

from qnal.tf import tf

EPSILON = 1e-7


def quasarnet_loss(output: tf.Tensor, boxes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Loss per row and head, shape [rows, heads] (Busca & Balland 2018, equation 1).

    ``Σ_y −ln p / N1 + Σ_(1−y) −ln(1−p) / N2 + Σ_y (Δoffset)² / N1`` with N1 = Σy + ε,
    N2 = Σ(1−y) + ε and p clipped to [ε, 1−ε].

    Args:
        output: boxes and offsets of the network, shape [rows, heads, 2, boxes].
        boxes: 1 in the box that holds the line, else 0, shape [rows, heads, boxes].
        offsets: position of the line within its box, shape as ``boxes``.
    """
    p = tf.clip_by_value(output[:, :, 0], EPSILON, 1 - EPSILON)
    # Clipped separately, as QuasarNET does: in float32, 1 − (1 − ε) differs from ε.
    q = tf.clip_by_value(1 - output[:, :, 0], EPSILON, 1 - EPSILON)
    n1 = tf.reduce_sum(boxes, axis=2) + EPSILON
    n2 = tf.reduce_sum(1 - boxes, axis=2) + EPSILON
    hit = boxes * (tf.square(offsets - output[:, :, 1]) - tf.math.log(p))
    miss = (boxes - 1) * tf.math.log(q)
    return tf.reduce_sum(hit, axis=2) / n1 + tf.reduce_sum(miss, axis=2) / n2
