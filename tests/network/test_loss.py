import numpy as np
import pytest

from qnal.network.loss import quasarnet_loss
from qnal.tf import keras, tf

K = keras.ops


def loss(p, y, offset=0.0, target=0.0, dtype=np.float64):
    """Loss of one head of one row."""
    p, y = np.array(p, dtype), np.array(y, dtype)
    output = np.stack([p, np.full_like(p, offset)])[None, None]
    return float(quasarnet_loss(output, y[None, None], np.full_like(y, target)[None, None])[0, 0])


@pytest.mark.parametrize(
    ("p", "y", "offset", "target", "expected"),
    [
        # −ln 0.5 − ln 0.75 + 0.2²
        ([0.5, 0.25], [1, 0], 0.5, 0.3, 0.693147 + 0.287682 + 0.04),
        # no box: the mean of −ln(1−p), and no offset
        ([0.5, 0.25], [0, 0], 0.5, 0.3, (0.693147 + 0.287682) / 2),
        # three wrong boxes share a weight of 1
        ([0.9, 0.1, 0.2, 0.3], [1, 0, 0, 0], 0, 0, 0.105361 + (0.105361 + 0.223144 + 0.356675) / 3),
        # clipped at 1e-7: 2 · 16.118096
        ([0, 1], [1, 0], 0, 0, 32.236191),
        ([1, 0], [1, 0], 0, 0, 0),
    ],
)
def test_by_hand(p, y, offset, target, expected):
    assert loss(p, y, offset, target) == pytest.approx(expected, abs=1e-5)


def drawn(seed=0, dtype=np.float64, rows=6, heads=7, boxes=13):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, heads, 2, boxes)).astype(dtype)
    box = np.eye(boxes)[rng.integers(boxes, size=(rows, heads))]
    box[rng.random((rows, heads)) < 0.4] = 0
    return logits, box.astype(dtype), rng.random((rows, heads, boxes)).astype(dtype)


def test_gradient_by_finite_differences():
    logits, boxes, offsets = drawn()
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(quasarnet_loss(tf.sigmoid(variable), boxes, offsets))
    gradient = tape.gradient(total, variable).numpy()
    step = 1e-6
    for index in np.random.default_rng(1).choice(logits.size, 60, replace=False):
        shift = np.zeros(logits.size)
        shift[index] = step
        shift = shift.reshape(logits.shape)
        up, down = (
            tf.reduce_sum(quasarnet_loss(tf.sigmoid(logits + s), boxes, offsets)).numpy()
            for s in (shift, -shift)
        )
        numeric = (up - down) / (2 * step)
        np.testing.assert_allclose(gradient.flat[index], numeric, rtol=1e-6, atol=1e-8)


def test_each_head_is_the_keras_formulation():
    """Equation 1 of Busca & Balland as a Keras loss of one head, in float32."""
    logits, boxes, offsets = drawn(2, np.float32)
    output = 1 / (1 + np.exp(-4 * logits))  # some saturated
    output[0, 0, 0, :2] = 0, 1
    ours = quasarnet_loss(output, boxes, offsets).numpy()
    eps = 1e-7
    for head in range(boxes.shape[1]):
        y, p, shift = boxes[:, head], output[:, head, 0], output[:, head, 1]
        n1, n2 = K.sum(y, axis=1) + eps, K.sum(1 - y, axis=1) + eps
        hit = -K.sum(y * K.log(K.clip(p, eps, 1 - eps)), axis=1) / n1
        miss = -K.sum((1 - y) * K.log(K.clip(1 - p, eps, 1 - eps)), axis=1) / n2
        off = K.sum(y * K.square(offsets[:, head] - shift), axis=1) / n1
        np.testing.assert_allclose(ours[:, head], hit + miss + off, rtol=3e-6)
