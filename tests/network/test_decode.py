import numpy as np
import pytest

from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.decode import decode
from qnal.spectra.grid import named_grid

LOG, LINEAR = named_grid("log"), named_grid("linear")


def ours(preds):
    """From QuasarNP's [heads, rows, 2·boxes] to [rows, heads, 2, boxes]."""
    heads, rows, twice = preds.shape
    return preds.reshape(heads, rows, 2, twice // 2).transpose(1, 0, 2, 3)


@pytest.mark.parametrize(
    ("name", "clamp"), [("net4", False), ("net6", False), ("net6_quasarnp", True)]
)
def test_goldens(peer_answers, name, clamp):
    decoded = decode(
        ours(peer_answers[f"{name}/preds"]),
        lines=QUASARNET_LINES,
        bal_lines=QUASARNET_BAL_LINES,
        grid=LOG,
        clamp=clamp,
    )
    for what, array in {
        "c_line": decoded.confidence.T,
        "z_line": decoded.z.T,
        "z_best": decoded.z_best,
        "c_bal": decoded.bal_confidence.T,
    }.items():
        np.testing.assert_allclose(array, peer_answers[f"{name}/{what}"], rtol=0, atol=1e-6)


def test_clamping_matters_in_some_redshifts(peer_answers):
    preds = ours(peer_answers["net6/preds"])
    z = [
        decode(preds, lines=QUASARNET_LINES, bal_lines=QUASARNET_BAL_LINES, grid=LOG, clamp=c).z
        for c in (False, True)
    ]
    assert 0 < (np.abs(z[0] - z[1]) > 1e-6).mean() < 0.1


def test_quasarnets_own_output(real_data):
    preds = np.load(real_data / "quasarnet" / "predict_data.npy")
    decoded = decode(ours(preds), lines=QUASARNET_LINES, bal_lines=QUASARNET_BAL_LINES, grid=LOG)
    lya = np.load(real_data / "quasarnet" / "predict_lya.npy")
    np.testing.assert_allclose(decoded.confidence.T, lya, rtol=0, atol=1e-6)
    # predict_bal has the redshifts of the BAL head; all agree with extrapolation.
    bal = decode(ours(preds[6:]), lines=QUASARNET_BAL_LINES, bal_lines=(), grid=LOG)
    expected = np.load(real_data / "quasarnet" / "predict_bal.npy")
    np.testing.assert_allclose(bal.z.T, expected, rtol=0, atol=1e-6)


def boxes_of(grid, *heads):
    """Output for one spectrum, given (box, confidence, offset) per head; boxes are pixels."""
    output = np.zeros((1, len(heads), 2, len(grid)))
    for head, (box, confidence, offset) in enumerate(heads):
        output[0, head, 0, box], output[0, head, 1, box] = confidence, offset
    return output


def test_by_hand():
    # Pixel 100 of the log grid is 3600·10^0.1 Å; halfway to the next is its arithmetic mean.
    output = boxes_of(LOG, (100, 0.6, 0.0), (100, 0.9, 0.5), (7, 0.2, 0.3))
    decoded = decode(output, lines=("LYA", "MgII(2796)"), bal_lines=("CIV(1548)",), grid=LOG)
    a, b = 3600 * 10**0.1, 3600 * 10**0.101
    np.testing.assert_allclose(decoded.z[0], [a / 1215.67 - 1, (a + b) / 2 / 2796.3511 - 1])
    np.testing.assert_allclose(decoded.z[0, 0], 2.728093, atol=1e-6)
    assert decoded.z_best[0] == decoded.z[0, 1]
    np.testing.assert_array_equal(decoded.confidence, [[0.6, 0.9]])
    np.testing.assert_array_equal(decoded.bal_confidence, [[0.2]])


@pytest.mark.parametrize(
    ("box", "offset", "clamp", "wave"),
    [
        (457, 1.1, False, 9815.2 + 1.1 * 13.6),
        (457, 1.1, True, 9815.2),
        (0, -0.1, False, 3600 - 1.36),
        (0, -0.1, True, 3600.0),
        (200, 0.25, True, 3600 + 200.25 * 13.6),
    ],
)
def test_beyond_the_grid(box, offset, clamp, wave):
    output = boxes_of(LINEAR, (box, 0.5, offset))
    decoded = decode(output, lines=("LYA",), bal_lines=(), grid=LINEAR, clamp=clamp)
    np.testing.assert_allclose(decoded.z, [[wave / 1215.67 - 1]], rtol=1e-12)


def test_any_number_of_boxes():
    """Any number of boxes; QuasarNP uses the first 13 only."""
    output = np.zeros((1, 1, 2, 20))
    output[0, 0, 0, 17] = 0.8
    decoded = decode(output, lines=("LYA",), bal_lines=(), grid=LINEAR)
    np.testing.assert_allclose(decoded.z, [[(3600 + 17 * 458 / 20 * 13.6) / 1215.67 - 1]])
    assert decoded.confidence == 0.8


def test_heads_must_fit():
    with pytest.raises(ValueError, match="3 heads, but there are 1 lines and 1 BAL"):
        decode(np.zeros((1, 3, 2, 13)), lines=("LYA",), bal_lines=("CIV(1548)",), grid=LOG)
