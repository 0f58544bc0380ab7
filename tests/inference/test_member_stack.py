"""The ensemble as one: the votes of float32 in half the time."""

import itertools

import numpy as np
import pytest

from qnal.ensemble.votes import Thresholds, votes
from qnal.errors import InputError
from qnal.inference.float32_recheck import Float32Recheck
from qnal.inference.forward_passes import predictions
from qnal.inference.member_stack import MemberStack
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
    return {p: MemberStack.of(trained, p, Thresholds()) for p in Precision}


def vote(stack, x, thresholds=None):
    thresholds = thresholds or Thresholds()
    said = predictions(stack, x, thresholds)
    return votes(said.deciding, said.z_best, thresholds)


def same(ours, theirs, members=slice(None)):
    """Equal bits."""
    np.testing.assert_array_equal(ours.confidence, theirs.confidence[:, :, members])
    np.testing.assert_array_equal(ours.z, theirs.z[:, :, members])
    np.testing.assert_array_equal(ours.bal, theirs.bal[:, :, members])


def test_stack_gives_what_networks_give_one_by_one(trained, peer_answers):
    one_by_one = [(network, forward(network, Backend.tensorflow)) for network in trained]
    x = peer_answers["X"]
    expected = predictions(one_by_one, x, Thresholds())
    said = predictions(MemberStack(trained), x, Thresholds())
    np.testing.assert_allclose(said.confidence, expected.confidence, rtol=0, atol=1e-6)
    np.testing.assert_allclose(said.z, expected.z, rtol=0, atol=1e-5)
    np.testing.assert_allclose(said.bal, expected.bal, rtol=0, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("min_lines", [1, 2])
def test_votes_of_float32_on_real_and_mock_spectra(trained, peer_answers, threshold, min_lines):
    thresholds = Thresholds(threshold, min_lines)
    x = np.concatenate([peer_answers["X"], probe_spectra(trained[0].grid)])
    narrow = MemberStack.of(trained, Precision.bfloat16, thresholds)
    expected = vote(MemberStack(trained), x, thresholds)
    np.testing.assert_array_equal(vote(narrow, x, thresholds), expected)
    assert narrow.precision is Precision.bfloat16
    assert narrow.computed == 2 * len(x)
    assert narrow.repeated_share > 0


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_few_passes_of_trained_networks_are_repeated(trained, peer_answers):
    for line, min_lines in itertools.product((0.5, 0.95, 0.99), (1, 2)):
        thresholds = Thresholds(line, min_lines)
        narrow = MemberStack.of(trained, Precision.bfloat16, thresholds)
        vote(
            narrow, np.concatenate([peer_answers["X"], probe_spectra(trained[0].grid)]), thresholds
        )
        assert 0 < narrow.repeated_share < 0.1


def test_votes_of_float32_where_every_threshold_is_near(trained, peer_answers):
    """Thresholds put right between, on and beside the confidences of the spectra themselves."""
    x = peer_answers["X"][:40]
    deciding = predictions(MemberStack(trained), x, Thresholds()).deciding[:, 1]
    z = predictions(MemberStack(trained), x, Thresholds()).z_best[:, 1]
    narrow = MemberStack.of(trained[1:], Precision.bfloat16, Thresholds())
    exact = MemberStack(trained[1:])
    for row in range(0, 40, 4):
        for step in (-1e-4, 0, 1e-4):
            # The redshift's border as well lies at the spectrum's own redshift.
            line = float(np.clip(deciding[row] + step, 0.01, 0.999))
            thresholds = Thresholds(line, 1, float(z[row] + step))
            np.testing.assert_array_equal(vote(narrow, x, thresholds), vote(exact, x, thresholds))
    assert narrow.repeated > 0


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_bfloat16_is_another_computation_within_its_error(stacks, peer_answers):
    x = peer_answers["X"]
    narrow, exact = (
        predictions(stacks[p], x, Thresholds()) for p in (Precision.bfloat16, Precision.float32)
    )
    error = np.abs(narrow.confidence - exact.confidence).max()
    assert 1e-5 < error < 0.03


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_automatic_precision(stacks, monkeypatch, trained):
    native = has_bfloat16()
    expected = Precision.bfloat16 if native else Precision.float32
    assert stacks[Precision.auto].precision is expected
    assert stacks[Precision.float32].precision is Precision.float32
    monkeypatch.setattr("qnal.inference.member_stack.has_bfloat16", lambda: False)
    plain = MemberStack.of(trained, Precision.auto, Thresholds())
    assert plain.precisions == (Precision.float32,) * 2


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)
def test_a_member_that_bfloat16_does_not_suit_stays_float32(trained, monkeypatch, peer_answers):
    """One decides by itself: its answers must not depend on the company it is in."""
    monkeypatch.setattr("qnal.inference.member_stack.has_bfloat16", lambda: True)
    measured = Float32Recheck.measured

    def wide(*arguments):
        recheck = measured(*arguments)
        recheck.margins[0] = 50.0
        return recheck

    monkeypatch.setattr(Float32Recheck, "measured", wide)
    x, thresholds = peer_answers["X"][:30], Thresholds()
    stack = MemberStack.of(trained, Precision.auto, thresholds)
    assert stack.precisions == (Precision.float32, Precision.bfloat16)
    assert stack.precision is Precision.bfloat16
    said = predictions(stack, x, thresholds)
    alone = predictions(MemberStack(trained[:1]), x, thresholds)
    same(alone, said, slice(0, 1))


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_answers_do_not_depend_on_company(trained, precision, peer_answers):
    """Neither on other members, nor on other spectra, nor on how they are batched: equal bits."""
    x, thresholds = peer_answers["X"], Thresholds()
    said = predictions(MemberStack.of(trained, precision, thresholds), x, thresholds)
    turned = predictions(MemberStack.of(trained[::-1], precision, thresholds), x, thresholds)
    same(turned, said, [1, 0])
    alone = MemberStack.of(trained[1:], precision, thresholds)
    same(predictions(alone, x, thresholds), said, slice(1, 2))
    for size in (8, 64, 100):
        same(predictions(alone, x, thresholds, size), said, slice(1, 2))
    some = predictions(alone, x[3:24], thresholds)
    np.testing.assert_array_equal(some.confidence, said.confidence[3:24, :, 1:])
    np.testing.assert_array_equal(some.z_best, said.z_best[3:24, 1:])


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
@pytest.mark.parametrize("kind", list(OffsetActivation))
def test_members_in_one_product_as_on_a_gpu(random_network, precision, kind):
    """Groups of three, of another structure in between, padded and not."""
    shapes = [{"layers": 3, "filters": 5}] * 4 + [{"layers": 5, "padding": Padding.same}] * 2
    networks = [random_network(k, offset_activation=kind, **s) for k, s in enumerate(shapes)]
    x = probe_spectra(networks[0].grid)[:21]
    together, apart = (
        predictions(MemberStack.of(networks, precision, Thresholds(), group), x, Thresholds(), 16)
        for group in (3, 1)
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
        MemberStack([network]).lines(spectra, Thresholds())


def test_probe_spectra_are_the_same_every_time_and_usable():
    for name in ("log", "linear"):
        grid = named_grid(name)
        x = probe_spectra(grid)
        probe_spectra.cache_clear()
        np.testing.assert_array_equal(x, probe_spectra(grid))
        assert x.shape[1] == len(grid) and 100 < len(x) <= 128
        assert np.isfinite(x).all() and np.abs(x).max() > 1
