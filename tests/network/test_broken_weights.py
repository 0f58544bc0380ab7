"""Damaged weight files are refused with one sentence that names the file."""

import io
import json
import re
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnal.errors import InputError
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.weights import read_network, write_network

NAMES = (QUASARNET_LINES, QUASARNET_BAL_LINES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, random_network):
    path = tmp_path_factory.mktemp("weights") / "net_0.h5"
    write_network(random_network(filters=3, layers=2, units=4), path)
    return path


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory, quasarnet_of_keras):
    path = tmp_path_factory.mktemp("weights") / "net_0.keras"
    quasarnet_of_keras(layers=1, filters=2).save(path)
    return path


def refused(path, sentence=""):
    with pytest.raises(InputError, match=re.escape(str(path)) + ": .*" + sentence) as caught:
        read_network(path, *NAMES)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


def test_absent_empty_folder(tmp_path):
    refused(tmp_path / "net_9.h5", "there is no such file")
    (tmp_path / "empty.h5").touch()
    refused(tmp_path / "empty.h5", "not a readable QuasarNET weight file")
    refused(tmp_path, "not a readable QuasarNET weight file")


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes(tmp_path, seed):
    for start in (b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"):
        path = tmp_path / "net_0.h5"
        path.write_bytes(start + np.random.default_rng(seed).bytes(4096))
        refused(path)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["whole", "keras_file"])
def test_truncated(tmp_path, request, kind, share):
    source = request.getfixturevalue(kind)
    data = source.read_bytes()
    path = tmp_path / source.name
    path.write_bytes(data[: int(len(data) * share)])
    refused(path)


@given(st.data())
@settings(max_examples=60)
def test_flipped_bytes_of_a_zip_are_refused_or_harmless(keras_file, tmp_path_factory, data):
    content = bytearray(keras_file.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "flipped.keras"
    path.write_bytes(content)
    try:
        network = read_network(path, *NAMES)
    except InputError:
        return
    assert all(np.isfinite(a).all() for v in network.arrays().values() for a in v.values())


def changed(whole, tmp_path, change):
    path = tmp_path / whole.name
    shutil.copy(whole, path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(name, array):
    def change(file):
        del file[f"model_weights/{name}"]
        if array is not None:
            file[f"model_weights/{name}"] = array

    return change


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("conv_1/conv_1/kernel:0", np.ones((10, 2, 3), "f4"), "takes 2 channels, not 1"),
        ("conv_2/conv_2/kernel:0", np.ones((10, 5, 3), "f4"), "takes 5 channels, not 3"),
        ("conv_2/conv_2/kernel:0", np.ones((10, 3), "f4"), "3 dimensions"),
        ("conv_2/conv_2/bias:0", np.ones(4, "f4"), "conv_2/bias has 4 values, not 3"),
        ("conv_2/conv_2/bias:0", None, "layer conv_2 has no bias"),
        ("conv_2/conv_2/bias:0", np.array([1, np.nan, 1], "f4"), "not finite"),
        ("conv_2/conv_2/bias:0", np.array([b"a", b"b", b"c"]), "array of floats"),
        ("conv_1", None, "layer conv_1 has no weights"),
        ("fc_common/fc_common/kernel:0", np.ones((7, 4), "f4"), "does not fit spectra of 443"),
        ("fc_common/fc_common/kernel:0", np.ones((0, 4), "f4"), "has no values"),
        ("fc_box_3/fc_box_3/kernel:0", np.ones((4, 12), "f4"), "fc_box_3/bias has 13"),
        ("fc_box_3/fc_box_3/kernel:0", np.ones((5, 13), "f4"), "kernels of shape .* for 4 units"),
        ("fc_box_3", None, "layer fc_box_3 has no weights"),
        (
            "batch_normalization_1/batch_normalization_1/moving_variance:0",
            np.full(3, -1, "f4"),
            "negative variance",
        ),
        (
            "batch_normalization_3/batch_normalization_3/gamma:0",
            np.ones(9, "f4"),
            "gamma has 9 values, not 4",
        ),
    ],
)
def test_wrong_arrays(whole, tmp_path, name, array, sentence):
    refused(changed(whole, tmp_path, put(name, array)), sentence)


def configured(change):
    """Change the description in a file with a function of its list of layers."""

    def rewrite(file):
        config = json.loads(file.attrs["model_config"])
        by_name = {layer["config"]["name"]: layer for layer in config["config"]["layers"]}
        change(config["config"]["layers"], by_name)
        file.attrs["model_config"] = json.dumps(config)

    return rewrite


def without(*names):
    def change(layers, by_name):
        for name in names:
            layers.remove(by_name[name])

    return change


def setting(layer, key, value):
    return lambda _, by_name: by_name[layer]["config"].update({key: value})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("conv_1", "conv_2"), "0 convolutions and 3 batch norms"),
        (without("batch_normalization_3"), "2 convolutions and 2 batch norms"),
        (without("fc_offset_2"), "fc_box_2 but no fc_offset_2"),
        (without("lambda_3"), "different offset activations"),
        (without(*(f"fc_box_{i}" for i in range(7))), "no head"),
        (setting("conv_1", "padding", "causal"), "padding 'causal'"),
        (setting("conv_1", "padding", "auto"), "padding 'auto'"),
        (setting("conv_1", "dilation_rate", [2]), "dilated"),
        (setting("lambda", "scale", 2.0), r"rescales offsets by \(2.0, -0.1\)"),
        (setting("fc_offset_0", "activation", "tanh"), "'tanh', rescaled"),
        (lambda _, n: n["lambda"].update(class_name="Softmax"), "a Softmax layer"),
        (lambda layers, _: layers.clear(), "0 convolutions"),
    ],
)
def test_other_architectures(whole, tmp_path, change, sentence):
    refused(changed(whole, tmp_path, configured(change)), sentence)


@pytest.mark.parametrize(
    "config", ["", "{", "[]", "null", '{"config": {"layers": 3}}', '{"config": {"layers": [{}]}}']
)
def test_unreadable_description(whole, tmp_path, config):
    def change(file):
        file.attrs["model_config"] = config

    refused(changed(whole, tmp_path, change))


@pytest.mark.parametrize(
    ("wave", "sentence"),
    [
        (np.full(443, np.nan), "not finite"),
        (np.arange(443.0) ** 2 + 1, "constant step"),
        (np.linspace(3600, 9000, 443)[::-1], "increasing"),
        (np.linspace(-5, 9000, 443), "increasing"),
        (np.linspace(3600, 9000, 300), "does not fit spectra of 300"),
        (np.ones((3, 3)), "1 dimensions"),
    ],
)
def test_grid_in_file(whole, tmp_path, wave, sentence):
    def change(file):
        del file["model_grid"]
        file["model_grid"] = wave

    refused(changed(whole, tmp_path, change), sentence)


def test_weights_alone_and_other_hdf5(tmp_path, quasarnet_of_keras):
    model = quasarnet_of_keras(layers=1)
    model.save_weights(tmp_path / "net.weights.h5")
    refused(tmp_path / "net.weights.h5", "it has no model_config")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("readme.txt", "no network")
    refused(tmp_path / "other.keras", r"it has no config\.json")


def test_keras_file_with_other_layers(tmp_path, keras_file):
    with zipfile.ZipFile(keras_file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(content["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        del file["layers/conv1d"]
    content["model.weights.h5"] = weights.getvalue()
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    refused(path, "layer conv_1 has no weights")
