import contextlib
import io
import json

import h5py
import numpy as np
import pytest

from qnal.lines import QUASARNET_LINES
from qnal.network.network import OffsetActivation, apply_numpy
from qnal.network.weights import write_network

pytestmark = pytest.mark.process  # networks are built and run for seconds

KINDS = [OffsetActivation.rescaled_sigmoid, OffsetActivation.sigmoid]


@pytest.fixture(
    scope="module", params=[(4, "log"), (6, "log"), (4, "linear")], ids=["4", "6", "linear"]
)
def layers_and_grid(request):
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_quasarnp_gives_the_same_output(tmp_path, random_network, layers_and_grid, kind):
    quasarnp = pytest.importorskip("quasarnp.io", reason="the package quasarnp is not installed")
    layers, grid = layers_and_grid
    network = random_network(layers, grid, layers=layers, offset_activation=kind)
    write_network(network, tmp_path / "net_0.h5")
    with contextlib.redirect_stdout(io.StringIO()):
        model, wave = quasarnp.load_model(str(tmp_path / "net_0.h5"))
    np.testing.assert_array_equal(wave, network.grid.wave)
    x = np.random.default_rng(0).normal(size=(4, len(network.grid)))
    output = np.stack(model.predict(x[:, :, None]), axis=1).reshape(4, 7, 2, 13)
    ours = apply_numpy(network, x)
    assert output.std() > 0.05
    np.testing.assert_allclose(output, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", list(OffsetActivation))
def test_keras_gives_the_same_output(tmp_path, random_network, layers_and_grid, kind, keras_output):
    from qnal.tf import keras

    layers, grid = layers_and_grid
    network = random_network(layers, grid, layers=layers, offset_activation=kind)
    write_network(network, tmp_path / "net_0.h5")
    model = keras.saving.load_model(tmp_path / "net_0.h5", compile=False)
    x = np.random.default_rng(0).normal(size=(4, len(network.grid))).astype(np.float32)
    np.testing.assert_allclose(
        keras_output(model, x), apply_numpy(network, x), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_layout_group_by_group(tmp_path, random_network, layers_and_grid, kind):
    """Names of groups and attributes that QuasarNP 0.2 reads (docs/formats.md)."""
    layers, grid = layers_and_grid
    network = random_network(layers, grid, layers=layers, offset_activation=kind)
    write_network(network, tmp_path / "net_0.h5")
    with h5py.File(tmp_path / "net_0.h5") as file:
        weights = file["model_weights"]
        expected = {}
        for k, conv in enumerate(network.convs, start=1):
            expected[f"conv_{k}"] = {"kernel:0": conv.kernel, "bias:0": conv.bias}
        expected["fc_common"] = {"kernel:0": network.dense_kernel, "bias:0": network.dense_bias}
        for k, norm in enumerate([*(c.norm for c in network.convs), network.dense_norm], start=1):
            expected[f"batch_normalization_{k}"] = {
                "gamma:0": norm.gamma,
                "beta:0": norm.beta,
                "moving_mean:0": norm.mean,
                "moving_variance:0": norm.variance,
            }
        for i in range(7):
            for part, name in enumerate(("box", "offset")):
                expected[f"fc_{name}_{i}"] = {
                    "kernel:0": network.head_kernel[:, i, part],
                    "bias:0": network.head_bias[i, part],
                }
        assert {k for k in weights if len(weights[k])} == set(expected)
        for layer, arrays in expected.items():
            # QuasarNP reads LAYER/LAYER/VARIABLE without its last two characters.
            assert list(weights[layer]) == [layer]
            assert set(weights[layer][layer]) == set(arrays)
            for name, array in arrays.items():
                stored = weights[layer][layer][name]
                assert stored.dtype == np.float32
                np.testing.assert_array_equal(stored[()], array)
        # With an unnumbered batch norm it would count from 0.
        assert "batch_normalization" not in weights
        # An empty group of this name turns on the rescaling.
        assert ("lambda" in weights) == (kind is OffsetActivation.rescaled_sigmoid)
        assert "lambda" not in weights or len(weights["lambda"]) == 0
        np.testing.assert_array_equal(file["model_grid"][:], network.grid.wave)
        named = json.loads(file.attrs["qnal_lines"])
        assert named == {"names": list(QUASARNET_LINES), "bal": ["CIV(1548)"]}
        by_name = {
            layer["config"]["name"]: layer["config"]
            for layer in json.loads(file.attrs["model_config"])["config"]["layers"]
        }
        for k, conv in enumerate(network.convs, start=1):
            assert by_name[f"conv_{k}"]["padding"] == conv.padding
            assert by_name[f"conv_{k}"]["strides"][0] == conv.stride
