"""Members run in TensorFlow: the votes of float32 in half the time."""

import numpy as np
import pytest

from qnal.ensemble.votes import Thresholds, votes
from qnal.errors import InputError
from qnal.inference.float32_recheck import (
    LINE_THRESHOLDS,
    Float32Recheck,
    OffsetError,
    uncertain_votes,
)
from qnal.inference.member_stack import MemberStack
from qnal.inference.members import SeparateMembers, forward_passes, predictions
from qnal.inference.packing import Packing
from qnal.inference.probe_spectra import probe_spectra
from qnal.network.backends.forward import Backend, forward
from qnal.network.device import has_bfloat16
from qnal.network.network import OffsetActivation, Padding
from qnal.network.precision import Precision
from qnal.spectra.grid import named_grid

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def trained(peer_networks):
    return [peer_networks[name] for name in ("net4", "net6")]


@pytest.fixture(scope="module")
def stacks(trained):
    return {p: MemberStack(trained, p) for p in Precision}


def vote(stack, x, thresholds=None):
    predicted = predictions(stack, x)
    return votes(predicted.deciding, predicted.z_best, thresholds or Thresholds())


def same(ours, theirs, members=slice(None)):
    """Equal bits."""
    np.testing.assert_array_equal(ours.confidence, theirs.confidence[:, :, members])
    np.testing.assert_array_equal(ours.z, theirs.z[:, :, members])
    np.testing.assert_array_equal(ours.bal, theirs.bal[:, :, members])


def test_a_stack_predicts_what_its_networks_do(trained, peer_answers):
    one_by_one = [(network, forward(network, Backend.tensorflow)) for network in trained]
    x = peer_answers["X"]
    expected = predictions(SeparateMembers(one_by_one), x)
    predicted = predictions(MemberStack(trained), x)
    np.testing.assert_allclose(predicted.confidence, expected.confidence, rtol=0, atol=1e-6)
    np.testing.assert_allclose(predicted.z, expected.z, rtol=0, atol=1e-5)
    np.testing.assert_allclose(predicted.bal, expected.bal, rtol=0, atol=1e-6)


@pytest.mark.parametrize("min_lines", [1, 2])
def test_votes_of_float32_on_real_and_mock_spectra(trained, peer_answers, min_lines):
    x = np.concatenate([peer_answers["X"], probe_spectra(trained[0].grid)])
    narrow = MemberStack(trained, Precision.bfloat16, min_lines)
    exact = MemberStack(trained, min_lines=min_lines)
    assert set(narrow.precisions) == {Precision.bfloat16}
    for line_threshold in LINE_THRESHOLDS:
        thresholds = Thresholds(line_threshold, min_lines)
        expected = vote(exact, x, thresholds)
        np.testing.assert_array_equal(vote(narrow, x, thresholds), expected)
    assert forward_passes(narrow, x).rechecked.any(axis=0).all()


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_few_predictions_of_trained_networks_are_rechecked(trained, peer_answers):
    x = np.concatenate([peer_answers["X"], probe_spectra(trained[0].grid)])
    for min_lines in (1, 2):
        narrow = MemberStack(trained, Precision.bfloat16, min_lines)
        assert 0 < forward_passes(narrow, x).rechecked.mean() < 0.1


def test_votes_that_are_not_those_of_float32_are_counted(trained, peer_answers):
    """Thresholds right beside the confidences and redshifts of the spectra themselves."""
    x = peer_answers["X"][:40]
    narrow, exact = MemberStack(trained, Precision.bfloat16), MemberStack(trained)
    packed = forward_passes(narrow, x)
    unpacked = Packing.of(trained).unpack(packed)
    float32 = predictions(exact, x)
    error = OffsetError.of(trained[0])
    wrong = counted = 0
    for row in range(40):
        line = float(np.clip(float32.deciding[row, 1], 0.01, 0.999))
        thresholds = Thresholds(line, 1, float(float32.z_best[row, 1]) + 1e-5)
        ours = votes(unpacked.deciding, unpacked.z_best, thresholds)
        theirs = votes(float32.deciding, float32.z_best, thresholds)
        uncertain = uncertain_votes(unpacked, packed, thresholds, error)
        assert (ours != theirs).sum() <= uncertain
        wrong, counted = wrong + (ours != theirs).sum(), counted + uncertain
    assert 0 < wrong <= counted
    for line in LINE_THRESHOLDS:
        assert uncertain_votes(unpacked, packed, Thresholds(line), error) == 0


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_bfloat16_is_another_computation_within_its_error(stacks, peer_answers):
    x = peer_answers["X"]
    narrow, exact = (predictions(stacks[p], x) for p in (Precision.bfloat16, Precision.float32))
    error = np.abs(narrow.confidence - exact.confidence).max()
    assert 1e-5 < error < 0.03


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_automatic_precision(stacks, monkeypatch, trained):
    expected = Precision.bfloat16 if has_bfloat16() else Precision.float32
    assert stacks[Precision.auto].precisions == (expected,) * 2
    assert (stacks[Precision.auto].margins > 0).all() == has_bfloat16()
    assert stacks[Precision.float32].precisions == (Precision.float32,) * 2
    monkeypatch.setattr("qnal.inference.member_stack.has_bfloat16", lambda: False)
    plain = MemberStack(trained, Precision.auto)
    assert plain.precisions == (Precision.float32,) * 2


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_a_member_that_bfloat16_does_not_suit_stays_float32(trained, monkeypatch, peer_answers):
    """Its predictions must not depend on the other members."""
    monkeypatch.setattr("qnal.inference.member_stack.has_bfloat16", lambda: True)
    measured = Float32Recheck.measured

    def wide(*arguments):
        recheck = measured(*arguments)
        recheck.margins[0] = 50.0
        return recheck

    monkeypatch.setattr(Float32Recheck, "measured", wide)
    x = peer_answers["X"][:30]
    stack = MemberStack(trained, Precision.auto)
    assert stack.precisions == (Precision.float32, Precision.bfloat16)
    assert stack.margins[0] == 0 < stack.margins[1]
    predicted = predictions(stack, x)
    alone = predictions(MemberStack(trained[:1]), x)
    same(alone, predicted, slice(0, 1))


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_predictions_depend_on_no_other_member_or_spectrum(trained, precision, peer_answers):
    """Nor on batches: equal bits."""
    x = peer_answers["X"]
    predicted = predictions(MemberStack(trained, precision), x)
    turned = predictions(MemberStack(trained[::-1], precision), x)
    same(turned, predicted, [1, 0])
    alone = MemberStack(trained[1:], precision)
    same(predictions(alone, x), predicted, slice(1, 2))
    for size in (8, 64, 100):
        same(predictions(alone, x, size), predicted, slice(1, 2))
    some = predictions(alone, x[3:24])
    np.testing.assert_array_equal(some.confidence, predicted.confidence[3:24, :, 1:])
    np.testing.assert_array_equal(some.z_best, predicted.z_best[3:24, 1:])


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
@pytest.mark.parametrize("kind", list(OffsetActivation))
def test_members_in_one_product_as_on_a_gpu(random_network, precision, kind):
    """Groups of three, of another structure in between, padded and not."""
    shapes = [{"layers": 3, "filters": 5}] * 4 + [{"layers": 5, "padding": Padding.same}] * 2
    networks = [random_network(k, offset_activation=kind, **s) for k, s in enumerate(shapes)]
    x = probe_spectra(networks[0].grid)[:21]
    together, apart = (
        predictions(MemberStack(networks, precision, group=group), x, 16) for group in (3, 1)
    )
    tolerance = {"rtol": 0, "atol": 1e-5 if precision is Precision.float32 else 0.05}
    if kind is not OffsetActivation.linear:  # boxes of any size, and errors with them
        np.testing.assert_allclose(together.confidence, apart.confidence, **tolerance)
    if precision is Precision.float32:
        np.testing.assert_allclose(together.z, apart.z, rtol=0, atol=1e-4)


def test_never_a_silent_nan(random_network, spectra):
    network = random_network()
    network.head_kernel[0] = np.nan
    with pytest.raises(InputError, match="not finite; its weight file must be corrupt"):
        MemberStack([network]).lines(spectra)


def test_probe_spectra_are_the_same_every_time_and_usable():
    for name in ("log", "linear"):
        grid = named_grid(name)
        x = probe_spectra(grid)
        probe_spectra.cache_clear()
        np.testing.assert_array_equal(x, probe_spectra(grid))
        assert x.shape[1] == len(grid) and 100 < len(x) <= 128
        assert np.isfinite(x).all() and np.abs(x).max() > 1
