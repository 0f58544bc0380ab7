"""QuasarNET as a Keras model, for the description in weight files and as a baseline of tests."""

import json
from typing import Any

from qnal.network.network import RESCALE, Network, OffsetActivation
from qnal.tf import keras

layers = keras.layers


def keras_model(network: Network, dropout: float = 0.2) -> keras.Model:
    """A Keras model with the structure of ``network`` and new random weights.

    Layers have the names that QuasarNP expects: batch norms count from 1, and the layers that
    rescale offsets are named ``lambda``, ``lambda_1``, … (QuasarNP rescales if a group ``lambda``
    exists). They are Rescaling layers, which unlike Lambda layers contain no code.
    """
    x = spectrum = keras.Input((len(network.grid), 1), name="input_1")
    for k, conv in enumerate(network.convs, start=1):
        width, _, filters = conv.kernel.shape
        x = layers.Conv1D(
            filters, width, strides=conv.stride, padding=conv.padding.value, name=f"conv_{k}"
        )(x)
        x = _norm(conv.norm.epsilon, k)(x)
        x = layers.Activation("relu", name=f"activation_{k}")(x)
        x = layers.Dropout(dropout, name=f"dropout_{k}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(len(network.dense_bias), name="fc_common")(x)
    x = _norm(network.dense_norm.epsilon, len(network.convs) + 1)(x)
    x = layers.Activation("relu", name="fc_activation")(x)
    kind = network.offset_activation
    activation = "linear" if kind is OffsetActivation.linear else "sigmoid"
    outputs = []
    for i in range(len(network.head_bias)):
        box = layers.Dense(network.boxes, activation=activation, name=f"fc_box_{i}")(x)
        offset = layers.Dense(network.boxes, activation=activation, name=f"fc_offset_{i}")(x)
        if kind is not OffsetActivation.sigmoid:
            name = "lambda" if i == 0 else f"lambda_{i}"
            offset = layers.Rescaling(*RESCALE, name=name)(offset)
        outputs.append(layers.Concatenate(name=f"conc_box_{i}")([box, offset]))
    return keras.Model(spectrum, outputs, name="QuasarNET")


def keras_config(network: Network) -> dict[str, Any]:
    """The content of ``model_config`` in a weight file."""
    config: dict[str, Any] = json.loads(keras_model(network).to_json())
    return config


def _norm(epsilon: float, k: int) -> keras.Layer:
    return layers.BatchNormalization(epsilon=epsilon, name=f"batch_normalization_{k}")
