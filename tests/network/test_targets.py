import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnal.labels.label import Label
from qnal.lines import REST_WAVELENGTH
from qnal.network.decode import decode
from qnal.network.targets import targets
from qnal.spectra.grid import named_grid

LINEAR = named_grid("linear")


def of(label, z, bal, grid=LINEAR, lines=("LYA",), bal_lines=("CIV(1548)",), boxes=13):
    return targets(
        np.atleast_1d(label), np.atleast_1d(z), np.atleast_1d(bal),
        lines=lines, bal_lines=bal_lines, boxes=boxes, grid=grid,
    )  # fmt: skip


def test_by_hand():
    # LYA at 6714.4 Å, which is pixel 229 of 458: 6.5 of 13 boxes.
    t = of(Label.QSO_HZ, 6714.4 / 1215.67 - 1, 1, lines=("LYA", "Halpha"))
    assert t.boxes.shape == t.offsets.shape == (1, 3, 13) and t.weights.shape == (1, 3)
    np.testing.assert_array_equal(t.boxes[0, 0], np.eye(13)[6])
    np.testing.assert_allclose(t.offsets[0, 0, 6], 0.5, atol=1e-6)
    assert t.boxes[0, 1].sum() == 0 and t.weights[0, 1] == 1  # Halpha is outside the grid
    # CIV(1548) of the BAL head at 8551.05 Å, pixel 364.048: 10.3332 of 13 boxes.
    np.testing.assert_array_equal(t.boxes[0, 2], np.eye(13)[10])
    wave = 1548.2049 * 6714.4 / 1215.67
    np.testing.assert_allclose(t.offsets[0, 2, 10], (wave - 3600) / 13.6 / 458 * 13 - 10, atol=1e-5)


@pytest.mark.parametrize(
    ("label", "bal", "line_boxes", "bal_boxes", "bal_weight"),
    [
        (Label.QSO_HZ, 1, 1, 1, 1),
        (Label.QSO_LZ, -1, 1, 0, 1),
        (Label.QSO_HZ, 0, 1, 1, 0),
        (Label.GALAXY, -1, 0, 0, 1),
        (Label.STAR, 0, 0, 0, 0),
        (Label.BAD, 1, 0, 0, 1),
    ],
)
def test_what_each_label_asks_for(label, bal, line_boxes, bal_boxes, bal_weight):
    t = of(label, 2.5, bal)
    np.testing.assert_array_equal(t.boxes.sum(axis=2), [[line_boxes, bal_boxes]])
    np.testing.assert_array_equal(t.weights, [[1, bal_weight]])


def test_redshifts_that_say_nothing():
    z = [np.nan, 0.0, 9.0, -1.0]
    t = of([Label.QSO_LZ] * 4, z, [0] * 4)
    assert t.boxes.sum() == 0 and np.isfinite(t.offsets).all()


@given(z=st.floats(2.0, 5.0), boxes=st.integers(2, 40), grid=st.sampled_from(["log", "linear"]))
def test_decoding_gives_back_the_redshift(z, boxes, grid):
    t = of(Label.QSO_HZ, z, 1, named_grid(grid), ("LYA", "CIII(1909)"), (), boxes)
    assert (t.boxes.sum(axis=2) <= 1).all() and (t.offsets >= 0).all() and (t.offsets <= 1).all()
    output = np.stack([t.boxes, t.offsets], axis=2)
    decoded = decode(output, lines=("LYA", "CIII(1909)"), bal_lines=(), grid=named_grid(grid))
    inside = t.boxes.sum(axis=2)[0] == 1
    np.testing.assert_allclose(decoded.z[0][inside], z, atol=1e-5)
    assert inside[0] == (REST_WAVELENGTH["LYA"] * (1 + z) >= 3600)
