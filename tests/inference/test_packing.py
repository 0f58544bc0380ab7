"""Predictions in 16 bits: how much they are rounded, and that nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnal.ensemble.votes import MemberPredictions
from qnal.inference.packing import LEVELS, PackedPredictions, Packing
from qnal.lines import rest_wavelength
from qnal.network.decode import decode
from qnal.network.network import OffsetActivation
from qnal.spectra.grid import named_grid

ROWS, MEMBERS = 5, 3


@pytest.fixture(scope="module")
def packing(random_network):
    return Packing.of([random_network()])


def drawn(packing, seed=0):
    """Predictions at all positions that offsets between −0.1 and 1.1 can give."""
    rng = np.random.default_rng(seed)
    lines, boxes = len(packing.lines), 13
    position = (rng.integers(0, boxes, (ROWS, lines, MEMBERS)) + rng.uniform(-0.1, 1.1)) / boxes
    wave = named_grid("log").wavelength(position * 443)
    rest = np.array([rest_wavelength(name) for name in packing.lines])[:, None]
    return MemberPredictions(
        rng.random((ROWS, MEMBERS), np.float32),
        rng.uniform(0, 5, (ROWS, MEMBERS)),
        rng.random((ROWS, lines, MEMBERS), np.float32),
        wave / rest - 1,
        rng.random((ROWS, len(packing.bal_lines), MEMBERS), np.float32),
    )


@given(st.integers(0, 10_000))
@settings(max_examples=50)
def test_rounding_is_within_the_documented_bounds(packing, seed):
    predictions = drawn(packing, seed)
    predicted = packing.unpack(packing.pack(predictions))
    np.testing.assert_array_equal(predicted.deciding, predictions.deciding)
    np.testing.assert_array_equal(predicted.z_best, predictions.z_best.astype(np.float32))
    for name in ("confidence", "bal"):
        error = np.abs(getattr(predicted, name).astype(float) - getattr(predictions, name))
        assert error.max() <= 0.5 / LEVELS + 1e-7 < 7.8e-6
    assert (np.abs((1 + predicted.z) / (1 + predictions.z) - 1)).max() < 8.7e-6


@pytest.mark.parametrize("grid", ["log", "linear"])
@pytest.mark.parametrize("boxes", [2, 13])
def test_no_offset_leads_out_of_the_range(random_network, grid, boxes):
    network = random_network(grid=grid, boxes=boxes)
    packing = Packing.of([network])
    heads = len(network.lines) + len(network.bal_lines)
    for box, offset in ((0, -0.1), (boxes - 1, 1.1)):
        output = np.zeros((1, heads, 2, boxes))
        output[:, :, 0, box], output[:, :, 1] = 1, offset
        predicted = decode(
            output, lines=network.lines, bal_lines=network.bal_lines, grid=network.grid
        )
        rest = np.array([rest_wavelength(name) for name in network.lines])
        assert packing.low <= np.log((1 + predicted.z) * rest).min() + 1e-9
        assert np.log((1 + predicted.z) * rest).max() <= packing.high + 1e-9


def test_linear_heads_are_kept_as_they_are(random_network):
    packing = Packing.of([random_network(offset_activation=OffsetActivation.linear)])
    predictions = drawn(packing)
    predictions.confidence[0], predictions.z[0] = 1.7, -1.5
    predicted = packing.unpack(packing.pack(predictions))
    np.testing.assert_array_equal(predicted.confidence, predictions.confidence)
    np.testing.assert_array_equal(predicted.z, predictions.z.astype(np.float32))
    assert packing.description()["packing"] == "float32"


def test_members_side_by_side_lie_as_if_computed_together(packing):
    whole = packing.pack(drawn(packing))
    parts = [whole.only([2]), whole.only([0, 1])]
    joined = PackedPredictions.side_by_side(parts, [1, 2, 0])
    for name in vars(whole):
        array = getattr(joined, name)
        np.testing.assert_array_equal(array, getattr(whole, name))
        assert array.flags.c_contiguous


def test_no_spectra(packing):
    none = PackedPredictions.of_no_spectra(packing, np.zeros(MEMBERS))
    assert none.deciding.shape == (0, MEMBERS) and none.confidence.shape == (0, 6, MEMBERS)
    assert none.confidence.dtype == np.uint16 and len(none.margins) == MEMBERS
