import subprocess
import sys

import fitsio
import numpy as np
import pytest

from qnal.ensemble.evaluation.metrics import classification_metrics
from qnal.ensemble.votes import Thresholds, gather, votes
from qnal.errors import ConfigError
from qnal.inference.members import SeparateMembers, predictions
from qnal.labels.label import Label, labels
from qnal.network.backends.forward import Backend, forward
from qnal.network.backends.numpy_backend import ROWS
from qnal.network.backends.quasarnp_backend import _padded_alike
from qnal.network.decode import decode
from qnal.network.network import OffsetActivation, Padding, apply_numpy

pytestmark = pytest.mark.process  # networks are built and run for seconds

PRECISION = {np.float32: 1e-4, np.float64: 1e-5}
NAMES = ("net4", "net6")


def as_quasarnp(output):
    """From [rows, heads, 2, boxes] to QuasarNP's [heads, rows, 2·boxes]."""
    return output.transpose(1, 0, 2, 3).reshape(output.shape[1], len(output), -1)


@pytest.fixture(params=list(Backend))
def backend(request):
    if request.param is Backend.quasarnp:
        pytest.importorskip("quasarnp", reason="the package quasarnp is not installed")
    return request.param


@pytest.mark.parametrize("dtype", list(PRECISION))
@pytest.mark.parametrize("name", NAMES)
def test_goldens(peer_networks, peer_answers, backend, name, dtype):
    """All spectra, compared with the output of QuasarNET."""
    network = peer_networks[name]
    x = peer_answers["X"]
    output = forward(network, backend, dtype)(x.astype(dtype))
    assert output.dtype == dtype
    expected = peer_answers[f"{name}/preds"]
    np.testing.assert_allclose(as_quasarnp(output), expected, rtol=0, atol=PRECISION[dtype])


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
@pytest.mark.parametrize("dtype", list(PRECISION))
def test_quasarnets_own_output(real_data, peer_networks, backend, dtype):
    folder = real_data / "quasarnet"
    x = np.load(folder / "coadd_x.npy")
    output = forward(peer_networks["net6"], backend, dtype)(x.astype(dtype))
    expected = np.load(folder / "qnet_output_6_layer.npy")  # stored in float32
    np.testing.assert_allclose(as_quasarnp(output), expected, rtol=0, atol=PRECISION[dtype])


@pytest.mark.parametrize("threshold", [0.5, 0.95, 0.99])
def test_same_votes_and_redshifts(peer_networks, peer_answers, backend, threshold):
    thresholds = Thresholds(line_threshold=threshold)
    members = [(peer_networks[n], forward(peer_networks[n], backend)) for n in NAMES]
    predicted = predictions(SeparateMembers(members), peer_answers["X"], batch_size=64)
    ours = votes(predicted.deciding, predicted.z_best, thresholds)
    for k, name in enumerate(NAMES):
        confidence = peer_answers[f"{name}/c_line"].max(axis=0)
        z_best = peer_answers[f"{name}/z_best"]
        quasar = confidence > threshold
        expected = quasar.astype(int) + (quasar & (z_best >= 2.1))
        np.testing.assert_array_equal(ours[:, k], expected)
        np.testing.assert_allclose(predicted.z_best[:, k], z_best, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def boss(real_data, peer_answers):
    """The 137 real BOSS spectra and their labels, in file order."""
    with fitsio.FITS(str(real_data / "boss" / "truth_dr12q.fits")) as fits:
        truth = {row["THING_ID"]: row for row in fits[1].read()}
    with fitsio.FITS(str(real_data / "boss" / "dr12_train.fits")) as fits:
        rows = [truth[thing] for thing in fits[2]["TARGETID"].read()]
    z = np.array([row["Z_VI"] for row in rows])
    spectype = np.array(
        [{1: "STAR", 4: "GALAXY", 3: "QSO", 30: "QSO"}[r["CLASS_PERSON"]] for r in rows]
    )
    confident = np.array([row["Z_CONF_PERSON"] == 3 for row in rows])
    return peer_answers["X"][-len(rows) :], labels(spectype, z, confident, 2.1), z


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_redshift_scatter_is_half_of_quasarnps(boss, peer_networks, peer_answers, backend):
    """QuasarNP overlooks Lambda layers named lambda_0, … and does not rescale the offsets."""
    x, label, z = boss
    network = peer_networks["net6"]
    predicted = predictions(SeparateMembers([(network, forward(network, backend))]), x)
    ours = classification_metrics(label, z, predicted.deciding[:, 0] > 0.5, predicted.z_best[:, 0])
    c, z_best = (peer_answers[f"net6_quasarnp/{n}"] for n in ("c_line", "z_best"))
    theirs = classification_metrics(label, z, c[:, -len(z) :].max(axis=0) > 0.5, z_best[-len(z) :])
    assert (label == Label.STAR).sum() + (label == Label.GALAXY).sum() == 19
    for metrics in (ours, theirs):  # all 118 quasars, and none of the 19 others
        assert metrics["completeness"] == metrics["purity"] == 1
    assert ours["z_nmad"] == pytest.approx(0.0029, abs=5e-5)
    assert theirs["z_nmad"] == pytest.approx(0.0058, abs=5e-5)
    assert ours["z_nmad"] < 0.51 * theirs["z_nmad"]


@pytest.mark.parametrize("kind", list(OffsetActivation))
@pytest.mark.parametrize("layers", [1, 3, 6])
@pytest.mark.parametrize("grid", ["log", "linear"])
def test_backends_agree_on_any_structure(random_network, kind, layers, grid):
    network = random_network(2, grid, offset_activation=kind, layers=layers, boxes=9, filters=5)
    x = np.random.default_rng(0).normal(size=(5, len(network.grid)))
    expected = apply_numpy(network, x)
    for dtype, tolerance in ((np.float32, 2e-6), (np.float64, 1e-12)):
        output = forward(network, Backend.tensorflow, dtype)(x)
        np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("width", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [Padding.same, Padding.valid])
def test_numpy_on_any_convolution(random_network, width, stride, padding):
    """More and fewer rows than in one pass; buffers have no values of earlier rows."""
    shape = {"width": width, "stride": stride, "padding": padding, "layers": 3, "filters": 4}
    network = random_network(1, **shape)
    x = np.random.default_rng(0).normal(size=(ROWS + 5, len(network.grid)))
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-12)):
        function = forward(network, Backend.numpy, dtype)
        for rows in (slice(None), slice(3, 4)):
            expected = apply_numpy(network, x[rows])
            np.testing.assert_allclose(function(x[rows]), expected, rtol=0, atol=tolerance)


@pytest.mark.process
def test_numpy_needs_no_tensorflow(mock_data):
    """TensorFlow is imported neither to load an ensemble nor to score with it."""
    file = mock_data / "quasarnet" / "test_weights.h5"
    script = (
        "import sys, qnal, numpy as np\n"
        "e = qnal.load_ensemble(sys.argv[1], backend='numpy')\n"
        "wave = np.arange(3600, 9800, 0.8)\n"
        "flux = 1 + np.exp(-((wave - 5000) / 40) ** 2)[None]\n"
        "table = e.score(flux, np.ones_like(flux), wave)\n"
        "assert table['STATUS'].to_pylist() == ['ok'] and not e.members.margins.any()\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)


def test_networks_of_one_structure_and_of_others_do_not_mix(random_network, spectra):
    shapes = ({}, {}, {"filters": 4}, {"boxes": 8}, {"layers": 5, "padding": Padding.same})
    networks = [random_network(k, **shape) for k, shape in enumerate(shapes)]
    functions = [forward(network, Backend.tensorflow) for network in networks]
    for network, function in reversed(list(zip(networks, functions, strict=True))):
        expected = apply_numpy(network, spectra)
        np.testing.assert_allclose(function(spectra), expected, rtol=0, atol=2e-6)


def test_batches_change_nothing_but_memory(random_network, spectra):
    networks = [random_network(k) for k in range(2)]
    members = [(network, forward(network, Backend.numpy)) for network in networks]
    whole = predictions(SeparateMembers(members), spectra, batch_size=100)
    for size in (1, 3):
        parts = predictions(SeparateMembers(members), spectra, batch_size=size)
        np.testing.assert_allclose(parts.confidence, whole.confidence, rtol=0, atol=1e-6)
        np.testing.assert_allclose(parts.z, whole.z, rtol=0, atol=1e-5)
    direct = decode(
        apply_numpy(networks[1], spectra),
        lines=networks[1].lines,
        bal_lines=networks[1].bal_lines,
        grid=networks[1].grid,
    )
    expected = gather([direct], Thresholds())
    np.testing.assert_allclose(whole.deciding[:, 1], expected.deciding[:, 0], atol=1e-6)


def test_quasarnp_that_is_not_installed(monkeypatch, random_network):
    monkeypatch.setitem(__import__("sys").modules, "quasarnp", None)
    monkeypatch.delitem(__import__("sys").modules, "quasarnp.model", raising=False)
    with pytest.raises(ConfigError, match=r"backend=quasarnp needs .* qnal\[quasarnp\]"):
        forward(random_network(), Backend.quasarnp)


def test_quasarnp_refuses_what_it_would_get_wrong(random_network):
    pytest.importorskip("quasarnp", reason="the package quasarnp is not installed")
    with pytest.raises(ConfigError, match="sigmoid offsets"):
        forward(random_network(offset_activation=OffsetActivation.linear), Backend.quasarnp)


@pytest.mark.parametrize(("width", "alike"), [(10, True), (12, True), (7, False), (3, False)])
def test_kernels_that_quasarnp_pads_alike(random_network, width, alike):
    same = random_network(width=width, layers=5, padding=Padding.same)
    assert _padded_alike(same) == alike
    assert _padded_alike(random_network(width=width, layers=3, padding=Padding.valid))
