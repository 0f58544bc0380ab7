"""Weight files: those of QuasarNET, Keras and qnal are read; one format is written.

docs/formats.md describes the layouts. The structure (number of layers, filters, boxes, padding,
strides, rescaling of offsets) is read from the JSON description in the file, not from the names of
groups. No code in a file is run.
"""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from qnal.errors import InputError
from qnal.files import written_aside
from qnal.network.model_config import ModelConfig, model_config
from qnal.network.network import BatchNorm, Conv, Network
from qnal.network.weight_arrays import LayerArrays, arrays_of_h5, arrays_of_keras, opened_keras
from qnal.spectra.grid import Grid, grid_of, named_grid

LINES_ATTRIBUTE = "qnal_lines"
SUFFIXES = (".h5", ".hdf5", ".keras")


def read_network(path: Path, lines: Sequence[str], bal_lines: Sequence[str]) -> Network:
    """Read one network.

    Args:
        path: an ``.h5`` or ``.keras`` file written by QuasarNET, Keras or qnal.
        lines, bal_lines: names of the heads, for files that do not record them.

    Raises:
        InputError: the file is damaged, is not a QuasarNET, or has another number of heads.
    """
    try:
        if zipfile.is_zipfile(path):
            with opened_keras(path) as (text, file):
                config = model_config(text)
                return _read(config, arrays_of_keras(file, config), None, (lines, bal_lines))
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs or "model_weights" not in file:
                raise InputError(
                    "it has no model_config or no model_weights; save the whole model."
                )
            config = model_config(file.attrs["model_config"])
            if LINES_ATTRIBUTE in file.attrs:
                stored = json.loads(file.attrs[LINES_ATTRIBUTE])
                lines, bal_lines = stored["names"], stored["bal"]
            grid = file["model_grid"][()] if "model_grid" in file else None
            arrays = arrays_of_h5(file["model_weights"])
            return _read(config, arrays, grid, (lines, bal_lines))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # the HDF5, zip and JSON readers raise many kinds
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        what = "there is no such file" if not path.exists() else reason[0]
        raise InputError(f"{path}: not a readable QuasarNET weight file ({what}).") from error


def _read(
    config: ModelConfig,
    arrays: LayerArrays,
    grid: np.ndarray | None,
    names: tuple[Sequence[str], Sequence[str]],
) -> Network:
    lines, bal_lines = (tuple(n) for n in names)
    if config.heads != len(lines) + len(bal_lines):
        raise InputError(
            f"it has {config.heads} heads, but lines.names ({len(lines)}) and lines.bal "
            f"({len(bal_lines)}) name {len(lines) + len(bal_lines)}."
        )
    convs, channels = [], 1
    for conv, norm in zip(config.convs, config.norms[:-1], strict=True):
        kernel, bias = _kernel_bias(arrays, conv.name, 3)
        if kernel.shape[1] != channels:
            raise InputError(f"{conv.name} takes {kernel.shape[1]} channels, not {channels}.")
        channels = kernel.shape[2]
        batch_norm = _norm(arrays, norm.name, channels, norm.epsilon)
        convs.append(Conv(kernel, bias, batch_norm, conv.stride, conv.padding))
    dense_kernel, dense_bias = _kernel_bias(arrays, "fc_common", 2)
    units = len(dense_bias)
    heads = [
        [_kernel_bias(arrays, f"fc_{part}_{i}", 2) for part in ("box", "offset")]
        for i in range(config.heads)
    ]
    shapes = {kernel.shape for head in heads for kernel, _ in head}
    if len(shapes) != 1 or min(shapes)[0] != units or min(shapes)[1] < 1:
        raise InputError(f"its heads have kernels of shape {sorted(shapes)}, for {units} units.")
    network = Network(
        tuple(convs),
        dense_kernel,
        dense_bias,
        _norm(arrays, config.norms[-1].name, units, config.norms[-1].epsilon),
        np.stack([np.stack([kernel for kernel, _ in head], axis=1) for head in heads], axis=1),
        np.stack([np.stack([bias for _, bias in head]) for head in heads]),
        config.offset_activation,
        named_grid("log"),
        lines,
        bal_lines,
    )
    return _on_grid(network, grid, config.pixels)


def _on_grid(network: Network, wave: np.ndarray | None, pixels: int | None) -> Network:
    """The network with the grid that fits its dense layer; a grid stored in the file must fit."""
    if wave is not None:
        wave = _checked("model_grid", wave, 1)
        if wave[0] <= 0 or (np.diff(wave) <= 0).any():
            raise InputError("model_grid is not an array of increasing wavelengths.")
        candidates: list[Grid] = [grid_of(wave)]
    else:
        named = [named_grid("log"), named_grid("linear")]
        candidates = [grid for grid in named if pixels in (None, len(grid))]
    for grid in candidates:
        placed = replace(network, grid=grid)
        if placed.flat_size() == len(network.dense_kernel):
            return placed
    sizes = " or ".join(str(len(grid)) for grid in candidates)
    raise InputError(
        f"its dense layer does not fit spectra of {sizes} pixels."
        if candidates
        else f"it takes spectra of {pixels} pixels, but has no model_grid with their wavelengths."
    )


def _checked(name: str, array: object, dimensions: int) -> np.ndarray:
    """Check that an array from a file has the right number of dimensions and finite values."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != dimensions:
        raise InputError(f"{name} is not an array of floats with {dimensions} dimensions.")
    if not array.size or not np.isfinite(array).all():
        problem = "values that are not finite" if array.size else "no values"
        raise InputError(f"{name} has {problem}.")
    return array.astype(array.dtype.newbyteorder("="))


def _kernel_bias(arrays: LayerArrays, layer: str, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    kernel = _variable(arrays(layer), layer, "kernel", dimensions)
    return kernel, _variable(arrays(layer), layer, "bias", 1, kernel.shape[-1])


def _norm(arrays: LayerArrays, layer: str, channels: int, epsilon: float) -> BatchNorm:
    found = arrays(layer)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (_variable(found, layer, n, 1, channels) for n in names)
    if not epsilon > 0 or (variance < 0).any():
        raise InputError(f"{layer} has a negative variance or an epsilon that is not positive.")
    return BatchNorm(gamma, beta, mean, variance, epsilon)


def _variable(
    found: dict[str, np.ndarray], layer: str, name: str, dimensions: int, size: int | None = None
) -> np.ndarray:
    if name not in found:
        raise InputError(f"layer {layer} has no {name}.")
    array = _checked(f"{layer}/{name}", found[name], dimensions)
    if size is not None and len(array) != size:
        raise InputError(f"{layer}/{name} has {len(array)} values, not {size}.")
    return array


def write_network(network: Network, path: Path) -> None:
    """Write a network in a layout that QuasarNP and Keras can read, whole or not at all.

    QuasarNP can run networks with 7 heads, 13 boxes, sigmoid offsets (rescaled or not), batch norms
    of epsilon 1e-3, at most 9 convolutions and, with padding, kernels of even width. This holds for
    all networks that qnal trains with the default lines and boxes. Line names and the grid are
    stored in addition, as the attribute ``qnal_lines`` and the array ``model_grid``.
    """
    from qnal.network.keras_model import keras_config  # imports TensorFlow

    config = keras_config(network)
    arrays = network.arrays()
    with written_aside(path) as scratch, h5py.File(scratch, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = "2.15.0"  # version of the layout, by which Keras 3 reads it
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
