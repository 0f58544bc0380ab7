"""Structure of a network, from the JSON description that Keras writes into weight files.

The description is the attribute ``model_config`` of an ``.h5`` file, or ``config.json`` in a
``.keras`` file. It is read as data: no layer is built from it, and no Lambda code is run.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnal.errors import InputError
from qnal.network.network import RESCALE, OffsetActivation, Padding

RESCALING = ("Lambda", "Rescaling")  # the only Lambda layer of QuasarNET rescales offsets


@dataclass(frozen=True)
class ConvConfig:
    """A convolution's layer name, stride and padding."""

    name: str
    stride: int
    padding: Padding


@dataclass(frozen=True)
class NormConfig:
    """A batch norm's layer name and epsilon."""

    name: str
    epsilon: float


@dataclass(frozen=True)
class ModelConfig:
    """Structure of a network, with the names of its layers.

    Attributes:
        layers: class and name of each layer, in the order of the file.
        convs: the convolutions, first to last.
        norms: the batch norms of the convolutions, then that of the dense layer.
        heads: number of heads.
        offset_activation: activation of the offsets.
        pixels: length of the input spectra; None if the file does not record it.
    """

    layers: tuple[tuple[str, str], ...]
    convs: tuple[ConvConfig, ...]
    norms: tuple[NormConfig, ...]
    heads: int
    offset_activation: OffsetActivation
    pixels: int | None


def model_config(text: str | bytes) -> ModelConfig:
    """Parse a JSON description.

    Raises:
        InputError: it does not describe a QuasarNET.
    """
    layers: list[dict[str, Any]] = json.loads(text)["config"]["layers"]
    convs = [layer["config"] for layer in layers if layer["class_name"] == "Conv1D"]
    norms = [layer["config"] for layer in layers if layer["class_name"] == "BatchNormalization"]
    if not convs or len(norms) != len(convs) + 1:
        raise InputError(
            f"it has {len(convs)} convolutions and {len(norms)} batch norms; a QuasarNET has one "
            "batch norm per convolution and one more."
        )
    heads = sum(layer["config"]["name"].startswith("fc_box_") for layer in layers)
    return ModelConfig(
        tuple((layer["class_name"], layer["config"]["name"]) for layer in layers),
        tuple(_conv(config) for config in convs),
        tuple(NormConfig(config["name"], float(config["epsilon"])) for config in norms),
        heads,
        _offset_activation(layers, heads),
        _pixels(layers),
    )


def _conv(config: dict[str, Any]) -> ConvConfig:
    strides, padding = np.atleast_1d(config["strides"]), config["padding"]
    if padding not in (Padding.same, Padding.valid):
        raise InputError(f"{config['name']} has padding {padding!r}; valid are same and valid.")
    if config.get("groups", 1) != 1 or np.max(config.get("dilation_rate", 1)) != 1:
        raise InputError(
            f"{config['name']} is grouped or dilated; QuasarNET's convolutions are not."
        )
    return ConvConfig(config["name"], int(strides[0]), Padding(padding))


def _pixels(layers: list[dict[str, Any]]) -> int | None:
    for layer in layers:
        config = layer["config"]
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        if layer["class_name"] == "InputLayer" and shape and len(shape) == 3:
            return None if shape[1] is None else int(shape[1])
    return None


def _offset_activation(layers: list[dict[str, Any]], heads: int) -> OffsetActivation:
    """The activation, from that of each ``fc_offset_i`` and the layers after it."""
    by_name = {layer["config"]["name"]: layer for layer in layers}
    followers: dict[str, list[dict[str, Any]]] = {}
    for layer in layers:
        for name in _names_in(layer.get("inbound_nodes", []), by_name):
            followers.setdefault(name, []).append(layer)
    kinds = {_of_head(by_name, followers, head) for head in range(heads)}
    if len(kinds) != 1:
        raise InputError(
            "its heads have different offset activations."
            if kinds
            else "it has no head (no layer named fc_box_0)."
        )
    return kinds.pop()


def _of_head(
    by_name: dict[str, dict[str, Any]], followers: dict[str, list[dict[str, Any]]], head: int
) -> OffsetActivation:
    name = f"fc_offset_{head}"
    if name not in by_name:
        raise InputError(f"it has fc_box_{head} but no {name}.")
    activation = by_name[name]["config"]["activation"]
    rescaled = False
    while (behind := followers.get(name, [])) and behind[0]["class_name"] != "Concatenate":
        layer = behind[0]
        kind, name = layer["class_name"], layer["config"]["name"]
        if rescaled or kind not in RESCALING:
            raise InputError(f"fc_offset_{head} is followed by a {kind} layer; QuasarNET has none.")
        if kind == "Rescaling":
            factors = (layer["config"]["scale"], layer["config"]["offset"])
            if not np.allclose(factors, RESCALE, rtol=0, atol=1e-6):
                raise InputError(f"{name} rescales offsets by {factors}, QuasarNET by {RESCALE}.")
        rescaled = True
    match activation, rescaled:
        case "sigmoid", True:
            return OffsetActivation.rescaled_sigmoid
        case "sigmoid", False:
            return OffsetActivation.sigmoid
        case "linear", True:
            return OffsetActivation.linear
    how = "rescaled" if rescaled else "not rescaled"
    raise InputError(
        f"fc_offset_{head} has the activation {activation!r}, {how}; valid are sigmoid, with or "
        "without rescaling, and linear with it."
    )


def _names_in(value: Any, known: dict[str, Any]) -> set[str]:
    """Layer names anywhere in ``inbound_nodes``, whose form depends on the version of Keras."""
    if isinstance(value, str):
        return {value} & known.keys()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*(_names_in(item, known) for item in value))
    return set()
