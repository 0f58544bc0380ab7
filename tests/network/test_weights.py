import json
import re
import zipfile

import h5py
import numpy as np
import pytest

from qnal.errors import InputError
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.network import OffsetActivation, Padding, apply_numpy
from qnal.network.weights import read_network, write_network

pytestmark = pytest.mark.process  # networks are built and run for seconds

NAMES = (QUASARNET_LINES, QUASARNET_BAL_LINES)


def some_lines(heads):
    return QUASARNET_LINES[: heads - 1], QUASARNET_BAL_LINES


def renamed(path, out, names):
    """A copy of a weight file with other names of some layers, as other versions have them."""
    with h5py.File(path) as old, h5py.File(out, "w") as new:
        text = old.attrs["model_config"]
        new.attrs["model_config"] = re.sub(
            r'"(\w+)"', lambda found: f'"{names.get(found[1], found[1])}"', text
        )
        for layer, group in old["model_weights"].items():
            name = names.get(layer, layer)
            target = new.require_group(f"model_weights/{name}")
            if layer in group:
                group.copy(group[layer], target, name)
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": 6, "padding": "same"},
        {"boxes": 9, "heads": 3},
        {"layers": 3, "width": 7, "stride": 3, "filters": 8},
        {"offset": "sigmoid"},
        {"offset": "linear"},
        {"pixels": 458},
        {"layers": 5, "pixels": 458},  # the weights fit both grids; the input layer fits one
        {"rescaling": "layer"},
    ],
    ids=str,
)
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_second_keras_network_of_a_process(
    tmp_path, quasarnet_of_keras, keras_output, options, ending
):
    first, second = quasarnet_of_keras(**options), quasarnet_of_keras(**options)
    norms = [layer.name for layer in second.layers if "batch_norm" in layer.name]
    assert norms[0] != "batch_normalization" and norms != [
        layer.name for layer in first.layers if "batch_norm" in layer.name
    ]
    path = tmp_path / f"net_1{ending}"
    second.save(path)
    heads = options.get("heads", 7)
    network = read_network(path, *some_lines(heads))
    assert len(network.convs) == options.get("layers", 4)
    assert network.boxes == options.get("boxes", 13)
    assert len(network.head_bias) == heads
    assert network.offset_activation == options.get("offset", "rescaled_sigmoid")
    assert network.grid.name == ("linear" if "pixels" in options else "log")
    assert {c.padding for c in network.convs} == {Padding(options.get("padding", "valid"))}
    assert {c.stride for c in network.convs} == {options.get("stride", 2)}
    assert (network.lines, network.bal_lines) == some_lines(heads)
    x = np.random.default_rng(0).normal(size=(3, options.get("pixels", 443))).astype(np.float32)
    output = apply_numpy(network, x)
    assert output.std() > 0.05  # not saturated
    np.testing.assert_allclose(output, keras_output(second, x), rtol=1e-5, atol=1e-5)


def test_numbered_from_0_or_from_1(tmp_path, random_network, spectra):
    network = random_network()
    written = tmp_path / "one.h5"
    write_network(network, written)
    names = {f"batch_normalization_{k}": f"batch_normalization_{k - 1}" for k in range(2, 6)}
    names["batch_normalization_1"] = "batch_normalization"
    zero = renamed(written, tmp_path / "zero.h5", names)
    shifted = {f"batch_normalization_{k}": f"batch_normalization_{k + 4}" for k in range(1, 6)}
    shifted |= {"lambda": "lambda_7"}
    later = renamed(written, tmp_path / "later.h5", shifted)
    for path in (zero, later):
        assert_same(read_network(path, *NAMES), network)


def test_6_layer_peer_is_rescaled_whatever_its_lambdas_are_called(peer_networks):
    assert peer_networks["net4"].offset_activation is OffsetActivation.rescaled_sigmoid
    assert peer_networks["net6"].offset_activation is OffsetActivation.rescaled_sigmoid
    assert [len(peer_networks[name].convs) for name in ("net4", "net6")] == [4, 6]
    assert {c.padding for c in peer_networks["net6"].convs} == {Padding.same}


@pytest.mark.parametrize("kind", list(OffsetActivation))
@pytest.mark.parametrize("grid", ["log", "linear"])
def test_own_file_gives_back_every_bit(tmp_path, random_network, kind, grid):
    network = random_network(
        3, grid, offset_activation=kind, boxes=11, layers=2, lines=("LYA", "MgII(2796)"),
        bal_lines=(),
    )  # fmt: skip
    write_network(network, tmp_path / "0000.h5")
    # Names in the file take precedence over the configured ones.
    assert_same(read_network(tmp_path / "0000.h5", *NAMES), network)


def test_writing_is_repeatable_and_leaves_nothing_aside(tmp_path, random_network):
    write_network(random_network(), tmp_path / "a.h5")
    write_network(random_network(), tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_number_of_heads_must_be_that_of_the_lines(tmp_path, quasarnet_of_keras):
    quasarnet_of_keras(heads=3, layers=1).save(tmp_path / "net.h5")
    with pytest.raises(InputError, match=r"net\.h5: it has 3 heads, but lines\.names \(6\)"):
        read_network(tmp_path / "net.h5", *NAMES)


def test_keras_file_is_read_as_data(tmp_path, quasarnet_of_keras, random_network):
    """Code in a Lambda layer is not read."""
    path = tmp_path / "net.keras"
    quasarnet_of_keras(layers=1, heads=7).save(path)
    clean = read_network(path, *NAMES)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    lambdas = [la for la in config["config"]["layers"] if la["class_name"] == "Lambda"]
    assert len(lambdas) == 7
    for layer in lambdas:
        layer["config"]["function"] = "raise SystemExit"
        layer["module"] = "os"
    content["config.json"] = json.dumps(config).encode()
    content["assets/evil.pkl"] = b"cos\nsystem\n(S'touch evil'\ntR."
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert_same(read_network(path, *NAMES), clean)


def assert_same(a, b):
    assert (a.grid.name, a.lines, a.bal_lines) == (b.grid.name, b.lines, b.bal_lines)
    assert a.offset_activation == b.offset_activation
    assert [(c.stride, c.padding) for c in a.convs] == [(c.stride, c.padding) for c in b.convs]
    ours, theirs = a.arrays(), b.arrays()
    assert ours.keys() == theirs.keys()
    for layer in ours:
        for name in ours[layer]:
            np.testing.assert_array_equal(ours[layer][name], theirs[layer][name])
