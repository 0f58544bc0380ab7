import numpy as np
import pytest

from qnal.network.hyperparameters import Schedule
from qnal.network.optimizer import Adam
from qnal.tf import keras, tf

MEMBERS, WEIGHTS = 2, 50
RATES = np.full(MEMBERS, 1e-2, np.float32)


def gradients(step):
    """Decreasing gradients, so that the largest second moment is not the latest one."""
    rng = np.random.default_rng(step)
    return tf.constant(rng.normal(size=(MEMBERS, WEIGHTS)) * 0.8**step, tf.float32)


@pytest.mark.parametrize("amsgrad", [False, True], ids=["adam", "amsgrad"])
def test_optimizer_is_keras_optimizer(amsgrad):
    rng = np.random.default_rng(1)
    weights = tf.Variable(rng.normal(size=(MEMBERS, WEIGHTS)).astype(np.float32))
    peer = tf.Variable(weights)
    ours, theirs = Adam(weights, amsgrad), keras.optimizers.Adam(1e-2, amsgrad=amsgrad)
    theirs.build([peer])
    for step in range(40):
        ours.apply(gradients(step), RATES)
        theirs.apply_gradients([(gradients(step), peer)])
    np.testing.assert_allclose(weights.numpy(), peer.numpy(), rtol=2e-6, atol=1e-6)
    if amsgrad:
        assert (ours.moments[2] > ours.moments[1]).numpy().mean() > 0.5


def test_members_have_their_own_learning_rates():
    """The rates of member 0 fall along Keras's cosine decay, those of member 1 are constant."""
    steps, start = 20, tf.ones([WEIGHTS])
    weights = tf.Variable(tf.stack([start, start]))
    ours = Adam(weights, amsgrad=False)
    peers = [tf.Variable(start), tf.Variable(start)]
    rates = [keras.optimizers.schedules.CosineDecay(1e-2, steps), 1e-2]
    theirs = [keras.optimizers.Adam(rate) for rate in rates]
    for step in range(steps):
        rate = 1e-2 * Schedule.cosine.factor(step / steps)
        ours.apply(gradients(step), tf.constant([rate, 1e-2]))
        for peer, optimizer, gradient in zip(peers, theirs, gradients(step), strict=True):
            optimizer.apply_gradients([(gradient, peer)])
    np.testing.assert_allclose(weights.numpy(), np.stack(peers), rtol=2e-6, atol=1e-6)
    assert np.abs(peers[0] - peers[1]).max() > 1e-3


@pytest.mark.parametrize("amsgrad", [False, True], ids=["adam", "amsgrad"])
def test_a_member_that_rests_has_its_own_count(amsgrad):
    """Member 1 is inactive in every other step, in which its gradients are NaN."""
    both, alone = tf.Variable(tf.ones([2, WEIGHTS])), tf.Variable(tf.ones([1, WEIGHTS]))
    of_two, of_one = Adam(both, amsgrad), Adam(alone, amsgrad)
    for step in range(6):
        g = gradients(step)
        if step % 2:
            rest = tf.stack([g[0], g[1] * np.nan])
            of_two.apply(rest, RATES, tf.constant([True, False]))
        else:
            of_two.apply(g, RATES, tf.constant([True, True]))
            of_one.apply(g[1:], RATES[1:])
    np.testing.assert_allclose(both[1].numpy(), alone[0].numpy(), rtol=1e-6)
    assert of_two.steps.numpy().tolist() == [6, 3]


def test_reset_forgets():
    weights = tf.Variable(tf.ones([1, WEIGHTS]))
    optimizer = Adam(weights, amsgrad=True)
    optimizer.apply(gradients(0)[:1], RATES[:1])
    optimizer.reset()
    assert all(not np.any(v.numpy()) for v in (optimizer.steps, *optimizer.moments))
