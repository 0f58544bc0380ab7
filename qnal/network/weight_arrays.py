"""Arrays of a layer in a weight file, for both of Keras's layouts."""

import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from qnal.errors import InputError
from qnal.network.model_config import ModelConfig

# Arrays of a layer by variable name (kernel, bias, gamma, …).
LayerArrays = Callable[[str], dict[str, np.ndarray]]

# Order of the numbered variables of a layer in a ``.keras`` file.
_NUMBERED = {
    "Conv1D": ("kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
LARGEST = 2**30  # maximum unpacked size of a file in a .keras archive; a QuasarNET has 3 MB


def arrays_of_h5(weights: h5py.Group) -> LayerArrays:
    """The arrays in ``model_weights`` of an ``.h5`` file.

    QuasarNP's layout is ``LAYER/LAYER/VARIABLE:0``; Keras 3 leaves out ``:0`` and adds groups.
    """

    def arrays(layer: str) -> dict[str, np.ndarray]:
        if layer not in weights:
            raise InputError(f"layer {layer} has no weights.")
        found: dict[str, np.ndarray] = {}

        def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                found[name.rpartition("/")[2].removesuffix(":0")] = item[()]

        weights[layer].visititems(visit)
        return found

    return arrays


def arrays_of_keras(weights: h5py.File, config: ModelConfig) -> LayerArrays:
    """The arrays in ``model.weights.h5`` of a ``.keras`` file.

    Layers are named by their class and number among the layers of the class
    (``layers/batch_normalization_2``), and variables by their number (``vars/0``).
    """
    root = next((k for k in ("layers", "_layer_checkpoint_dependencies") if k in weights), None)
    if root is None:
        raise InputError("its model.weights.h5 has no group named layers.")
    group_of: dict[str, tuple[str, str]] = {}
    counts: dict[str, int] = {}
    for kind, name in config.layers:
        number = counts[kind] = counts.get(kind, -1) + 1
        group_of[name] = (kind, f"{_snake(kind)}_{number}" if number else _snake(kind))

    def arrays(layer: str) -> dict[str, np.ndarray]:
        kind, group = group_of[layer]
        if f"{root}/{group}/vars" not in weights:
            raise InputError(f"layer {layer} has no weights.")
        stored = weights[f"{root}/{group}/vars"]
        names = _NUMBERED[kind]
        if len(stored) != len(names):
            raise InputError(f"layer {layer} has {len(stored)} arrays, not {', '.join(names)}.")
        return {name: stored[str(i)][()] for i, name in enumerate(names)}

    return arrays


def _snake(name: str) -> str:
    """``batch_normalization`` for ``BatchNormalization``, ``conv1d`` for ``Conv1D``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


@contextmanager
def opened_keras(path: Path) -> Iterator[tuple[bytes, h5py.File]]:
    """``config.json`` and ``model.weights.h5`` of a ``.keras`` file, which is a zip archive."""
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "model.weights.h5"):
            if name not in archive.namelist():
                raise InputError(f"it has no {name}; save the whole model, not only its weights.")
            if archive.getinfo(name).file_size > LARGEST:
                raise InputError(
                    f"its {name} is larger than {LARGEST:,} bytes, too large for a QuasarNET."
                )
        config = archive.read("config.json")
        with h5py.File(BytesIO(archive.read("model.weights.h5")), "r") as weights:
            yield config, weights
