"""Weight files: QuasarNP's HDF5 layout, read in all its dialects and written in one.

The layout is FORMATS.md section 6. Structure (depth, width, padding, strides, the rescaling of
offsets) is read from ``model_config``, never from the names of groups; nothing in a file is run.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from qnal.errors import InputError
from qnal.files import written_aside
from qnal.network.network import BatchNorm, Conv, Network, OffsetActivation, Padding
from qnal.spectra.grid import Grid, grid_of, named_grid

LINES_ATTRIBUTE = "qnal_lines"


def read_network(path: Path, lines: Sequence[str], bal_lines: Sequence[str]) -> Network:
    """Read one network.

    Args:
        path: an ``.h5`` file that QuasarNET, Keras or qnal wrote.
        lines, bal_lines: names of the heads, for files that do not say.

    Raises:
        InputError: the file is broken, is no QuasarNET, or has another number of heads.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(file, tuple(lines), tuple(bal_lines))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        what = "there is no such file" if not path.exists() else reason[0]
        raise InputError(f"{path}: not a readable QuasarNET weight file ({what}).") from error


def _read(file: h5py.File, lines: tuple[str, ...], bal_lines: tuple[str, ...]) -> Network:
    if "model_config" not in file.attrs or "model_weights" not in file:
        raise InputError("it has no model_config or no model_weights, which a saved QuasarNET has.")
    layers = json.loads(file.attrs["model_config"])["config"]["layers"]
    weights = file["model_weights"]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for layer in layers:
        kinds.setdefault(layer["class_name"], []).append(layer["config"])
    conv_configs, norm_configs = kinds.get("Conv1D", []), kinds.get("BatchNormalization", [])
    if not conv_configs or len(norm_configs) != len(conv_configs) + 1:
        raise InputError(
            f"it has {len(conv_configs)} convolutions and {len(norm_configs)} batch norms; a "
            "QuasarNET has one norm for each convolution and one more."
        )
    norms = [_norm(weights, config) for config in norm_configs]
    convs = tuple(
        Conv(*_kernel_bias(weights, c["name"]), norm, c["strides"][0], Padding(c["padding"]))
        for c, norm in zip(conv_configs, norms[:-1], strict=True)
    )
    heads = sum(c["name"].startswith("fc_box_") for c in kinds.get("Dense", []))
    if LINES_ATTRIBUTE in file.attrs:
        stored = json.loads(file.attrs[LINES_ATTRIBUTE])
        lines, bal_lines = tuple(stored["names"]), tuple(stored["bal"])
    if heads != len(lines) + len(bal_lines):
        raise InputError(
            f"it has {heads} heads, but lines.names ({len(lines)}) and lines.bal "
            f"({len(bal_lines)}) name {len(lines) + len(bal_lines)}."
        )
    box = [_kernel_bias(weights, f"fc_box_{i}") for i in range(heads)]
    offset = [_kernel_bias(weights, f"fc_offset_{i}") for i in range(heads)]
    network = Network(
        convs,
        *_kernel_bias(weights, "fc_common"),
        norms[-1],
        np.stack([np.stack([b[0], o[0]], axis=1) for b, o in zip(box, offset, strict=True)], 1),
        np.stack([np.stack([b[1], o[1]]) for b, o in zip(box, offset, strict=True)]),
        _offset_activation(layers),
        named_grid("log"),
        lines,
        bal_lines,
    )
    return _on_grid(network, file)


def _offset_activation(layers: list[dict[str, Any]]) -> OffsetActivation:
    by_name = {layer["config"]["name"]: layer for layer in layers}
    # Only the layers behind fc_offset_* may be Lambda or Rescaling ones.
    rescaled = any(layer["class_name"] in ("Lambda", "Rescaling") for layer in layers)
    if by_name["fc_offset_0"]["config"]["activation"] == "linear":
        return OffsetActivation.linear
    return OffsetActivation.rescaled_sigmoid if rescaled else OffsetActivation.sigmoid


def _on_grid(network: Network, file: h5py.File) -> Network:
    """The network with the grid its dense layer fits; a stored grid must fit."""
    if "model_grid" in file:
        candidates: list[Grid] = [grid_of(file["model_grid"][:])]
    else:
        candidates = [named_grid("log"), named_grid("linear")]
    for grid in candidates:
        placed = Network(**(vars(network) | {"grid": grid}))
        if placed.flat_size() == len(network.dense_kernel):
            return placed
    sizes = " or ".join(str(len(grid)) for grid in candidates)
    raise InputError(f"its dense layer does not fit spectra of {sizes} pixels.")


def _datasets(weights: h5py.Group, layer: str) -> dict[str, np.ndarray]:
    """Arrays of a layer by variable name, however deep they lie and with or without ``:0``."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.rpartition("/")[2].removesuffix(":0")] = item[()]

    weights[layer].visititems(visit)
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise InputError(f"{layer}/{name} holds values that are not finite.")
    return found


def _kernel_bias(weights: h5py.Group, layer: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = _datasets(weights, layer)
    return arrays["kernel"], arrays["bias"]


def _norm(weights: h5py.Group, config: dict[str, Any]) -> BatchNorm:
    a = _datasets(weights, config["name"])
    mean, variance = a["moving_mean"], a["moving_variance"]
    return BatchNorm(a["gamma"], a["beta"], mean, variance, config["epsilon"])


def write_network(network: Network, path: Path) -> None:
    """Write a network so that QuasarNP and Keras open it, whole or not at all.

    QuasarNP can use it if it has 7 heads, 13 boxes and sigmoid offsets (rescaled or not). The
    names of the lines and the grid are stored beside, as an attribute and as ``model_grid``.
    """
    from qnal.network.keras_model import keras_config  # imports TensorFlow

    config = keras_config(network)
    arrays: dict[str, dict[str, np.ndarray]] = {
        f"conv_{k}": {"kernel": conv.kernel, "bias": conv.bias}
        for k, conv in enumerate(network.convs, start=1)
    }
    arrays["fc_common"] = {"kernel": network.dense_kernel, "bias": network.dense_bias}
    for k, norm in enumerate([*(c.norm for c in network.convs), network.dense_norm], start=1):
        arrays[f"batch_normalization_{k}"] = {
            "gamma": norm.gamma,
            "beta": norm.beta,
            "moving_mean": norm.mean,
            "moving_variance": norm.variance,
        }
    for head in range(len(network.head_bias)):
        for part, name in enumerate(("box", "offset")):
            arrays[f"fc_{name}_{head}"] = {
                "kernel": network.head_kernel[:, head, part],
                "bias": network.head_bias[head, part],
            }
    with written_aside(path) as scratch, h5py.File(scratch, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = "2.15.0"  # the layout's version, which Keras 3 goes by
        file.attrs[LINES_ATTRIBUTE] = json.dumps(
            {"names": list(network.lines), "bal": list(network.bal_lines)}
        )
        file["model_grid"] = network.grid.wave
        weights = file.create_group("model_weights")
        names = [layer["config"]["name"] for layer in config["config"]["layers"]]
        weights.attrs["layer_names"] = np.array(names, "S")
        weights.attrs["backend"] = "tensorflow"
        weights.attrs["keras_version"] = "2.15.0"
        for name in names:
            group = weights.create_group(name)
            variables = arrays.get(name, {})
            group.attrs["weight_names"] = np.array([f"{name}/{v}:0" for v in variables], "S")
            for variable, array in variables.items():
                group[f"{name}/{variable}:0"] = array.astype(np.float32)
