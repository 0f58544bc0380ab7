from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def spectra() -> np.ndarray:
    """Random numbers in the shape of five spectra on the log grid."""
    return np.random.default_rng(5).normal(size=(5, 443)).astype(np.float32)


@pytest.fixture(scope="session")
def quasarnet_of_keras() -> Callable:
    """QuasarNET built with Keras, which names batch norms and Lambda layers itself."""
    from qnal.tf import keras

    def build(
        layers=4, filters=5, boxes=13, heads=7, padding="valid", offset="rescaled_sigmoid",
        pixels=443, width=10, stride=2, rescaling="lambda",
    ):  # fmt: skip
        la = keras.layers
        inputs = x = keras.Input((pixels, 1))
        for k in range(layers):
            x = la.Conv1D(filters, width, strides=stride, padding=padding, name=f"conv_{k + 1}")(x)
            x = la.BatchNormalization()(x)
            x = la.Dropout(0.2)(la.Activation("relu")(x))
        x = la.Dense(20, name="fc_common")(la.Flatten()(x))
        x = la.Activation("relu", name="fc_activation")(la.BatchNormalization()(x))
        outputs = []
        for i in range(heads):
            kind = "linear" if offset == "linear" else "sigmoid"
            box = la.Dense(boxes, activation=kind, name=f"fc_box_{i}")(x)
            shift = la.Dense(boxes, activation=kind, name=f"fc_offset_{i}")(x)
            if offset != "sigmoid":
                rescale = (
                    la.Lambda(lambda s: -0.1 + 1.2 * s)
                    if rescaling == "lambda"
                    else la.Rescaling(1.2, -0.1)
                )
                shift = rescale(shift)
            outputs.append(la.Concatenate(name=f"conc_box_{i}")([box, shift]))
        model = keras.Model(inputs, outputs)
        rng = np.random.default_rng(boxes + layers)
        # Random biases and norms, with positive variances.
        model.set_weights(
            [w + rng.uniform(0, 0.3, w.shape) * (w.ndim == 1) for w in model.get_weights()]
        )
        return model

    return build


@pytest.fixture(scope="session")
def keras_output() -> Callable:
    """Output of a Keras model, reshaped to [rows, heads, 2, boxes]."""

    def answer(model, x):
        said = model(x[:, :, None], training=False)
        return np.stack([np.reshape(head, (len(x), 2, -1)) for head in said], axis=1)

    return answer
