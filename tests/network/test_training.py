from dataclasses import replace

import numpy as np
import pytest

from qnal.network.hyperparameters import Hyperparameters, Schedule
from qnal.network.network import OffsetActivation, Padding, apply_numpy
from qnal.network.precision import Precision
from qnal.network.targets import Targets
from qnal.network.training import Trainer
from qnal.network.weights import write_network
from qnal.tf import keras, tf

pytestmark = pytest.mark.process

K = keras.ops
ROWS, HEADS, BOXES = 16, 7, 13
NO_EPOCHS_ADDED = {"min_steps": 0, "dropout": 0.0, "batch_size": ROWS}


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, 443)).astype(np.float32)
    boxes = np.eye(BOXES, dtype=np.float32)[rng.integers(BOXES, size=(ROWS, HEADS))]
    boxes[rng.random((ROWS, HEADS)) < 0.4] = 0
    offsets = rng.random((ROWS, HEADS, BOXES)).astype(np.float32)
    weights = (rng.random((ROWS, HEADS)) < 0.8).astype(np.float32)
    return x, Targets(boxes, offsets, weights)


def fitted(network, labelled, seed=0, rows=None, **hyperparameters):
    x, targets = labelled
    trainer = Trainer(network, Hyperparameters(**NO_EPOCHS_ADDED | hyperparameters), x, targets)
    rows = np.arange(ROWS) if rows is None else rows
    return trainer.fit(network, rows, np.random.default_rng(seed))


def head_loss(y_true, y_pred):
    y, offset = y_true[:, :BOXES], y_true[:, BOXES:]
    p, shift = y_pred[:, :BOXES], y_pred[:, BOXES:]
    n1, n2 = K.sum(y, axis=1) + 1e-7, K.sum(1 - y, axis=1) + 1e-7
    hit = y * (K.square(offset - shift) - K.log(K.clip(p, 1e-7, 1 - 1e-7)))
    miss = (1 - y) * K.log(K.clip(1 - p, 1e-7, 1 - 1e-7))
    return K.sum(hit, axis=1) / n1 - K.sum(miss, axis=1) / n2


@pytest.fixture(scope="module")
def keras_fitted(labelled, tmp_path_factory):
    """Training of the same network by Keras: fit(), without dropout, one batch per epoch."""

    def fit(network, epochs, learning_rate, amsgrad):
        path = tmp_path_factory.mktemp("initial") / "net.h5"
        write_network(network, path)
        model = keras.saving.load_model(path, compile=False)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        optimizer = keras.optimizers.Adam(learning_rate, amsgrad=amsgrad)
        model.compile(optimizer, loss=[head_loss] * HEADS)
        x, t = labelled
        y = [np.concatenate([t.boxes[:, i], t.offsets[:, i]], axis=1) for i in range(HEADS)]
        weights = [t.weights[:, i] for i in range(HEADS)]
        history = model.fit(
            x[:, :, None], y, sample_weight=weights, batch_size=ROWS, epochs=epochs, verbose=0,
            shuffle=False,
        )  # fmt: skip
        values = {
            f"{layer.name}/{variable.name}": np.asarray(variable.value)
            for layer in model.layers
            for variable in layer.weights
            if "seed" not in variable.name
        }
        return values, history.history["loss"]

    return fit


@pytest.mark.parametrize(
    "kind",
    [
        OffsetActivation.rescaled_sigmoid,
        pytest.param(OffsetActivation.sigmoid, marks=pytest.mark.slow),
        pytest.param(OffsetActivation.linear, marks=pytest.mark.slow),
    ],
)
def test_a_step_is_keras_step(random_network, labelled, keras_fitted, kind):
    """Equal initial weights and one batch give equal weights and moving averages."""
    rate = 1e-3
    # The bias of a convolution has no effect before a batch norm, and qnal does not train it.
    network = random_network(layers=2, filters=6, units=8, offset_activation=kind)
    no_bias = tuple(replace(conv, bias=conv.bias * 0) for conv in network.convs)
    network = replace(network, convs=no_bias, dense_bias=network.dense_bias * 0)
    amsgrad = kind is OffsetActivation.rescaled_sigmoid  # the optimizers are compared below
    values, loss = keras_fitted(network, 1, rate, amsgrad)
    ours, losses = fitted(network, labelled, epochs=1, learning_rate=rate, amsgrad=amsgrad)
    np.testing.assert_allclose(losses, loss, rtol=1e-6)
    before = network.arrays()
    for layer, arrays in ours.arrays().items():
        for name, array in arrays.items():
            theirs = values[f"{layer}/{name}"]
            if name == "bias" and (layer.startswith("conv") or layer == "fc_common"):
                continue
            moved = np.abs(theirs - before[layer][name]).max()
            assert moved > 0.5 * rate, f"{layer}/{name} did not move"
            # The first step of Adam magnifies rounding errors of gradients near its epsilon.
            np.testing.assert_allclose(array, theirs, rtol=1e-6, atol=1e-2 * rate)
            assert np.median(np.abs(array - theirs)) < 1e-4 * rate


def test_moving_averages_by_hand(random_network, labelled):
    """After one step: 0.99 of the old values plus 0.01 of the batch's mean and biased variance."""
    network = random_network(layers=1, filters=4, units=8)
    ours, _ = fitted(network, labelled, epochs=1)
    x, _ = labelled
    conv = network.convs[0]
    windows = np.lib.stride_tricks.sliding_window_view(x, 10, axis=1)[:, ::2]
    y = windows.astype(np.float64) @ conv.kernel[:, 0]
    norm = conv.norm
    np.testing.assert_allclose(
        ours.convs[0].norm.mean, 0.99 * norm.mean + 0.01 * y.mean((0, 1)), atol=1e-7
    )
    np.testing.assert_allclose(
        ours.convs[0].norm.variance, 0.99 * norm.variance + 0.01 * y.var((0, 1)), rtol=1e-6
    )


def test_bfloat16_is_float32_but_for_rounding(random_network, labelled):
    """Losses are close to those of float32, and weights are not rounded to 8 bits."""
    network = random_network(layers=2, filters=16, units=8)
    (ours, rounded), (theirs, exact) = (
        fitted(network, labelled, epochs=10, learning_rate=1e-3, precision=precision)
        for precision in (Precision.bfloat16, Precision.float32)
    )
    np.testing.assert_allclose(rounded, exact, rtol=5e-3)
    assert rounded != exact
    for layer, arrays in theirs.arrays().items():
        for name, array in arrays.items():
            moved = np.abs(array - network.arrays()[layer][name]).mean()
            assert np.abs(array - ours.arrays()[layer][name]).mean() <= 0.3 * moved
    low_bits = ours.dense_kernel.view(np.uint32) & 0xFFFF
    assert (low_bits != 0).mean() > 0.99


@pytest.mark.parametrize("width", [9, 10, 11])
@pytest.mark.parametrize("padding", [Padding.same, Padding.valid])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_other_shapes_of_convolutions_equal_numpy(random_network, labelled, width, padding, stride):
    """The training step equals numpy with the batch's mean and variance in the norms."""
    network = random_network(
        layers=3, filters=5, units=8, width=width, stride=stride, padding=padding
    )
    x, t = labelled
    trainer = Trainer(network, Hyperparameters(dropout=0.0), x, t)
    arrays = trainer.parameters.split(trainer.trained)
    output, averages = trainer._forward(
        tf.constant(x)[None], arrays, tf.zeros([1, 2], tf.int32), None
    )
    weights, batch = trainer.trained.numpy()[0], tf.concat(averages, axis=1).numpy()[0]
    of_the_batch = trainer.parameters.network(weights, batch)
    np.testing.assert_allclose(output.numpy(), apply_numpy(of_the_batch, x), atol=2e-5)


def test_regularisation_adds_squares(random_network, labelled):
    network = random_network(layers=2, filters=4, units=8)
    _, plain = fitted(network, labelled, epochs=1)
    _, conv = fitted(network, labelled, epochs=1, reg_conv=0.03)
    _, dense = fitted(network, labelled, epochs=1, reg_dense=0.02)
    squares = sum(float((c.kernel.astype(float) ** 2).sum()) for c in network.convs)
    np.testing.assert_allclose(conv[0] - plain[0], 0.03 * squares, rtol=1e-4)
    squares = float((network.dense_kernel.astype(float) ** 2).sum())
    np.testing.assert_allclose(dense[0] - plain[0], 0.02 * squares, rtol=1e-4)


def test_weights_of_0_teach_nothing(random_network, labelled):
    network = random_network(layers=1, filters=4, units=8)
    x, t = labelled
    _, losses = fitted(network, (x, Targets(t.boxes, t.offsets, 0 * t.weights)), epochs=1)
    assert losses == [0.0]
    # Rows of weight 0 count in the denominator of the mean.
    half = t.weights * 0
    half[: ROWS // 2] = 1
    _, some = fitted(network, (x, Targets(t.boxes, t.offsets, half)), epochs=1)
    _, rest = fitted(network, (x, Targets(t.boxes, t.offsets, 1 - half)), epochs=1)
    _, every = fitted(network, (x, Targets(t.boxes, t.offsets, 0 * half + 1)), epochs=1)
    np.testing.assert_allclose(some[0] + rest[0], every[0], rtol=1e-5)


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_same_seed_same_bits_other_seed_others(random_network, labelled, precision):
    network = random_network(layers=2, filters=4, units=8)
    rows = np.random.default_rng(0).integers(ROWS, size=40)
    options = {"dropout": 0.3, "epochs": 2, "batch_size": 8, "precision": precision}
    first, again, other = (
        fitted(network, labelled, seed, rows, **options)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.dense_kernel, again.dense_kernel)
    assert (first.dense_kernel != other.dense_kernel).any()


def test_one_trainer_fits_many_as_if_each_were_the_first(random_network, labelled):
    x, targets = labelled
    network = random_network(layers=2, filters=4, units=8)
    other = random_network(9, layers=2, filters=4, units=8)
    hyperparameters = Hyperparameters(
        **NO_EPOCHS_ADDED | {"amsgrad": True, "dropout": 0.2, "epochs": 3}
    )
    trainer = Trainer(other, hyperparameters, x, targets)
    trainer.fit(other, np.arange(ROWS), np.random.default_rng(7))
    late, _ = trainer.fit(network, np.arange(ROWS), np.random.default_rng(1))
    early, _ = Trainer(network, hyperparameters, x, targets).fit(
        network, np.arange(ROWS), np.random.default_rng(1)
    )
    for layer, arrays in early.arrays().items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, late.arrays()[layer][name])


def test_a_diverging_fit_stops(random_network, labelled):
    network = random_network(layers=1, filters=4, units=8)
    x, targets = labelled
    _, losses = fitted(network, (x * np.float32(np.nan), targets), epochs=5)
    assert len(losses) == 1 and np.isnan(losses[0])


@pytest.mark.parametrize(
    ("rows", "min_steps", "epochs"),
    [(20_000, 600, 8), (149, 600, 600), (1490, 600, 100), (149, 0, 8), (256, 9, 9), (257, 9, 8)],
)
def test_epochs_that_make_enough_steps(rows, min_steps, epochs):
    assert Hyperparameters(min_steps=min_steps).epochs_for(rows) == epochs


def test_cosine_schedule_by_hand(random_network, labelled):
    """The first of two steps has the full learning rate, the second one half of it."""
    network = random_network(layers=1, filters=4, units=8)
    (one, _), (constant, _), (cosine, _) = (
        fitted(network, labelled, epochs=epochs, learning_rate=1e-2, schedule=schedule)
        for epochs, schedule in (
            (1, Schedule.constant), (2, Schedule.constant), (2, Schedule.cosine)
        )
    )  # fmt: skip
    full = constant.dense_kernel - one.dense_kernel
    half = cosine.dense_kernel - one.dense_kernel
    assert np.abs(full).max() > 5e-3
    np.testing.assert_allclose(half, full / 2, rtol=1e-4, atol=1e-7)
