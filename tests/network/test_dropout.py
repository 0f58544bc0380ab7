import numpy as np
import pytest

from qnal.network.dropout import Dropout, dropped_relu, split_mix
from qnal.tf import tf


def kept(rate, shape, seeds, layer=0, layers=2):
    seeds = tf.constant(seeds, tf.int32)
    return Dropout(rate, layers, seeds).keep(layer, tf.constant(shape)).numpy()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.99])
@pytest.mark.parametrize("row", [(9, 11), (20, 10)])
def test_values_are_dropped_at_the_rate_and_independently(rate, row):
    keep = kept(rate, (1, 400, *row), [[1, 2]]).reshape(-1)
    sigma = np.sqrt(rate * (1 - rate) / keep.size)
    # The rate of a step is a multiple of 1/256.
    assert abs(keep.mean() - (1 - rate)) < 5 * sigma + 1 / 256
    # Values that share 32 random bits are independent.
    quads = keep[: keep.size // 4 * 4].reshape(-1, 4)
    off_diagonal = np.corrcoef(quads.T)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(len(quads))


def test_over_the_steps_the_rate_is_exact():
    """0.2 lies between 51/256 and 52/256; either of them alone would be off by 0.002."""
    rate = 51.5 / 256
    steps = [kept(rate, (1, 10, 100, 30), [[5, step]]).mean() for step in range(200)]
    error = np.std(steps) / np.sqrt(len(steps))
    assert abs(np.mean(steps) - (1 - rate)) < 4 * error < 0.0015


def test_bits_follow_from_member_step_layer_and_row():
    shape = (2, 6, 5, 3)
    both = kept(0.3, shape, [[4, 1], [9, 7]])
    np.testing.assert_array_equal(both[1:], kept(0.3, (1, *shape[1:]), [[9, 7]]))
    np.testing.assert_array_equal(both[:, :4], kept(0.3, (2, 4, 5, 3), [[4, 1], [9, 7]]))
    for other in ([[4, 2]], [[5, 1]]):
        assert (both[:1] != kept(0.3, (1, *shape[1:]), other)).any()
    assert (both != kept(0.3, shape, [[4, 1], [9, 7]], layer=1)).any()


def test_gradient_passes_what_is_kept_and_positive():
    y = tf.constant([[-1.0, -2.0, 3.0, 4.0]])
    keep = tf.constant([[True, False, True, False]])
    with tf.GradientTape() as tape:
        tape.watch(y)
        z = dropped_relu(y, keep)
    np.testing.assert_array_equal(z, [[0, 0, 3, 0]])
    np.testing.assert_array_equal(tape.gradient(z, y, tf.constant([[5.0] * 4])), [[0, 0, 5, 0]])


def test_rate_0_keeps_all():
    assert Dropout(0.0, 2, tf.zeros([1, 2], tf.int32)).keep(0, tf.constant([1, 2])) is None


def test_bits_are_split_mix():
    """The first numbers of Java's SplittableRandom and of Vigna's splitmix64.c for seed 1234567."""
    gamma = 0x9E3779B97F4A7C15
    # splitmix64.c adds gamma before it mixes, so its first number is the second one here.
    words = split_mix(4, tf.constant(1234567, tf.int64)).numpy()
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert words[1:].tolist() == expected
    assert split_mix(1, tf.constant(1234567 + gamma - 2**64, tf.int64)).numpy()[0] == expected[0]
