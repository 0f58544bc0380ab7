import numpy as np
import pytest

from qnal.network.optimizer import Adam
from qnal.tf import keras, tf

MEMBERS, WEIGHTS = 2, 50


def gradients(step):
    """Decreasing gradients, so that the largest second moment is not the latest one."""
    rng = np.random.default_rng(step)
    return tf.constant(rng.normal(size=(MEMBERS, WEIGHTS)) * 0.8**step, tf.float32)


@pytest.mark.parametrize("amsgrad", [False, True], ids=["adam", "amsgrad"])
def test_optimizer_is_keras_optimizer(amsgrad):
    rng = np.random.default_rng(1)
    weights = tf.Variable(rng.normal(size=(MEMBERS, WEIGHTS)).astype(np.float32))
    peer = tf.Variable(weights)
    ours, theirs = Adam(weights, 1e-2, amsgrad), keras.optimizers.Adam(1e-2, amsgrad=amsgrad)
    theirs.build([peer])
    for step in range(40):
        ours.apply(gradients(step))
        theirs.apply_gradients([(gradients(step), peer)])
    np.testing.assert_allclose(weights.numpy(), peer.numpy(), rtol=2e-6, atol=1e-6)
    if amsgrad:
        assert (ours.moments[2] > ours.moments[1]).numpy().mean() > 0.5


@pytest.mark.parametrize("amsgrad", [False, True], ids=["adam", "amsgrad"])
def test_a_member_that_rests_has_its_own_count(amsgrad):
    """Member 1 is inactive in every other step, in which its gradients are NaN."""
    both, alone = tf.Variable(tf.ones([2, WEIGHTS])), tf.Variable(tf.ones([1, WEIGHTS]))
    of_two, of_one = Adam(both, 1e-2, amsgrad), Adam(alone, 1e-2, amsgrad)
    for step in range(6):
        g = gradients(step)
        if step % 2:
            rest = tf.stack([g[0], g[1] * np.nan])
            of_two.apply(rest, tf.constant([True, False]))
        else:
            of_two.apply(g, tf.constant([True, True]))
            of_one.apply(g[1:])
    np.testing.assert_allclose(both[1].numpy(), alone[0].numpy(), rtol=1e-6)
    assert of_two.steps.numpy().tolist() == [6, 3]


def test_reset_forgets():
    weights = tf.Variable(tf.ones([1, WEIGHTS]))
    optimizer = Adam(weights, 1e-2, amsgrad=True)
    optimizer.apply(gradients(0)[:1])
    optimizer.reset()
    assert all(not np.any(v.numpy()) for v in (optimizer.steps, *optimizer.moments))
