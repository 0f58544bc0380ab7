import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qnal.ensemble.votes import (
    MemberPredictions,
    Thresholds,
    consensus_z,
    gather,
    score_columns,
    score_schema,
    shares,
    soft_classes,
    votes,
)
from qnal.network.decode import Lines

LN2, LN3 = np.log(2), np.log(3)
NAMES = ("LYA", "CIV(1548)"), ("CIV(1548)",)


@pytest.mark.parametrize(
    ("confidence", "z", "vote"),
    [
        (0.95, 3.0, 0),  # the threshold itself does not pass
        (np.nextafter(np.float32(0.95), np.float32(1)), 3.0, 2),
        (0.96, 2.1, 2),  # from 2.1 on, the limit included
        (0.96, np.nextafter(2.1, 0), 1),
        (0.2, 5.0, 0),
        (1.0, -0.5, 1),
    ],
)
def test_one_vote(confidence, z, vote):
    assert votes(np.array([confidence], np.float32), np.array([z]), Thresholds()) == vote


@pytest.mark.parametrize(("min_lines", "deciding"), [(1, 0.97), (2, 0.6), (3, 0.1)])
def test_min_lines(min_lines, deciding):
    line = Lines(
        np.array([[0.6, 0.97, 0.1]]), np.array([[1.0, 2.0, 3.0]]), np.array([2.0]),
        np.array([[0.4]]),
    )  # fmt: skip
    predictions = gather([line, line], Thresholds(min_lines=min_lines))
    np.testing.assert_array_equal(predictions.deciding, np.float32([[deciding, deciding]]))
    np.testing.assert_array_equal(predictions.z_best, [[2, 2]])
    assert predictions.confidence.shape == predictions.z.shape == (1, 3, 2)
    assert predictions.bal.shape == (1, 1, 2)


def test_shares_by_hand():
    vote = np.array([[0, 1, 2, 2], [0, 0, 0, 0]], np.int8)
    np.testing.assert_array_equal(shares(vote), [[0.25, 0.25, 0.5], [1, 0, 0]])


def test_soft_classes_by_hand():
    soft = soft_classes(np.array([[0.9, 0.2]]), np.array([[2.5, 1.0]]), Thresholds())
    np.testing.assert_allclose(soft, [[[0.1, 0, 0.9], [0.8, 0.2, 0]]])


@pytest.mark.parametrize(
    ("z", "vote", "expected", "spread"),
    [
        # two vote quasar: the lower of the two, and the median of 0 and 0.4/3
        ([2.0, 2.4, 9.0], [1, 2, 0], 2.0, 0.4 / 3 / 2),
        ([9.0, 2.4, 2.0], [0, 2, 1], 2.0, 0.4 / 3 / 2),
        # none does: over all four, deviations 0, 1/3, 2/3, 1/3
        ([1.0, 2.0, 3.0, 4.0], [0, 0, 0, 0], 2.0, 1 / 3),
        ([1.0, 2.0, 5.0], [1, 1, 1], 2.0, 1 / 3),
        ([1.5, 7.0], [1, 0], 1.5, 0.0),
    ],
)
def test_consensus_by_hand(z, vote, expected, spread):
    found, scatter = consensus_z(np.array([z]), np.array([vote], np.int8))
    assert found[0] == expected
    assert scatter[0] == pytest.approx(1.4826 * spread)


def predicted(deciding, z_best, bal=None):
    """Predictions of members with two lines."""
    deciding, z_best = np.array(deciding, np.float32), np.array(z_best, float)
    confidence = np.stack([deciding, deciding / 2], axis=1)
    z = np.stack([z_best, z_best + 1], axis=1)
    bal = np.zeros((len(z), 1, z.shape[2]), np.float32) if bal is None else bal
    return MemberPredictions(deciding, z_best, confidence, z, bal)


def columns(predictions, thresholds=None, bal_trained=True):
    values = score_columns(predictions, thresholds or Thresholds(), bal_trained)
    return dict(zip(score_schema(*NAMES).names, values, strict=True))


def test_scores_by_hand():
    bal = np.array([[[0.2, 0.4, 0.6, 0.8]]], np.float32)
    c = columns(predicted([[0.96, 0.98, 0.5, 1.0]], [[2.0, 2.2, 2.4, 2.6]], bal))
    by_hand = {
        "C_NOT": 0.25,
        "C_QSO_LZ": 0.25,
        "C_QSO_HZ": 0.5,
        "P_NOT": (0.04 + 0.02 + 0.5 + 0) / 4,
        "P_QSO_LZ": 0.96 / 4,
        "P_QSO_HZ": (0.98 + 0.5 + 1.0) / 4,
        "VOTE_ENTROPY": 1.5 * LN2,
        # −0.14 ln 0.14 − 0.24 ln 0.24 − 0.62 ln 0.62
        "ENTROPY": 0.914146,
        # binary entropies 0.167944, 0.098039, ln 2 and 0
        "MUTUAL_INFO": 0.914146 - (0.167944 + 0.098039 + LN2) / 4,
        "Z": 2.2,  # of 2.0, 2.2 and 2.6, which vote quasar
        "Z_SPREAD": 1.4826 * 0.2 / 3.2,
        "C_LYA": 0.86,
        "Z_LYA": 2.3,
        "C_CIV": 0.43,
        "Z_CIV": 3.3,
        "C_BAL": 0.5,
    }
    assert set(c) == set(by_hand)
    for name, value in by_hand.items():
        assert c[name].dtype == np.float32
        assert c[name][0] == pytest.approx(value, abs=2e-6), name


def test_untrained_bal_head_is_null():
    assert columns(predicted([[0.9]], [[1.0]]), bal_trained=False)["C_BAL"] is None


def test_linear_heads_may_leave_0_to_1():
    c = columns(predicted([[1.3, -0.2]], [[1.0, 1.0]]))
    assert c["P_NOT"] == c["P_QSO_LZ"] == 0.5 and c["C_QSO_LZ"] == 0.5
    assert c["MUTUAL_INFO"][0] == pytest.approx(LN2)


def test_agreement_has_no_entropy_and_certainty_no_information():
    sure = columns(predicted([[1.0, 1.0]], [[1.0, 1.0]]))
    assert sure["VOTE_ENTROPY"] == sure["ENTROPY"] == sure["MUTUAL_INFO"] == 0
    torn = columns(predicted([[1.0, 1.0, 0.0]], [[1.0, 3.0, 3.0]]))
    for name in ("VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO"):
        assert torn[name][0] == pytest.approx(LN3, abs=1e-6)
    # All unsure in the same way: much entropy, but no disagreement.
    unsure = columns(predicted([[0.5, 0.5, 0.5]], [[1.0, 1.0, 1.0]]))
    assert unsure["ENTROPY"][0] == pytest.approx(LN2) and unsure["MUTUAL_INFO"][0] < 1e-7


@st.composite
def random_predictions(draw):
    rows, members = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    shape = (rows, members)
    deciding = draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    z_best = draw(arrays(np.float64, shape, elements=st.floats(-0.5, 7)))
    return deciding, z_best


@given(random_predictions(), st.data())
@settings(max_examples=60)
def test_properties(drawn, data):
    deciding, z_best = drawn
    predictions = predicted(deciding, z_best)
    c = columns(predictions)
    for kind in "CP":
        total = sum(c[f"{kind}_{name}"].astype(float) for name in ("NOT", "QSO_LZ", "QSO_HZ"))
        np.testing.assert_allclose(total, 1, atol=1e-6)
    for name in ("VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO"):
        assert (c[name] >= 0).all() and (c[name] <= np.float32(LN3) + 1e-6).all()
    assert (c["MUTUAL_INFO"] <= c["ENTROPY"] + 1e-6).all() and (c["Z_SPREAD"] >= 0).all()
    # Z is some member's own redshift.
    assert (z_best.astype(np.float32) == c["Z"][:, None]).any(axis=1).all()
    order = data.draw(st.permutations(range(deciding.shape[1])))
    other = columns(predicted(deciding[:, order], z_best[:, order]))
    for name, values in c.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-6, atol=1e-6)


def test_column_names():
    assert score_schema(*NAMES).names[-5:] == ["C_LYA", "Z_LYA", "C_CIV", "Z_CIV", "C_BAL"]
    assert score_schema(("LYA",), ()).names[-2:] == ["C_LYA", "Z_LYA"]
    assert score_schema(("LYA",), ("CIV(1548)", "MgII(2796)")).names[-2:] == [
        "C_BAL_CIV",
        "C_BAL_MgII",
    ]
