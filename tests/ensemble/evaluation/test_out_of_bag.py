"""Out-of-bag predictions of several members, and their combination."""

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.evaluation.out_of_bag import ABSENT, OutOfBag
from qnal.ensemble.votes import Thresholds, soft_classes


def member(index, deciding, z, **more):
    deciding = np.array(deciding, np.float32)
    return pd.DataFrame({"INDEX": index, "DECIDING": deciding, "Z_BEST": z, **more})


@pytest.fixture
def oob():
    members = [
        member([0, 2], [0.99, 0.2], [3.0, 1.0], BAL=[0.5, 0.1]),
        member([0, 1], [0.97, 0.96], [1.0, 1.5], BAL=[0.7, 0.9]),
    ]
    return OutOfBag.of(members, 4)


def test_members_without_a_prediction_do_not_vote(oob):
    assert oob.available.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    vote = oob.votes(Thresholds())
    assert vote.tolist() == [[2, 1], [ABSENT, 1], [0, ABSENT], [ABSENT, ABSENT]]
    combined = oob.combined(Thresholds())
    assert combined["MEMBERS"].tolist() == [2, 1, 1, 0]
    assert combined["CLASS"].tolist() == ["QSO_LZ", "QSO_LZ", "NOT", ""]  # the lower median of z
    np.testing.assert_allclose(combined["C_BAL"], [0.6, 0.9, 0.1, np.nan], rtol=1e-6)
    assert OutOfBag.of([member([0], [0.5], [1.0])], 1).combined(Thresholds())["C_BAL"].isna().all()


def test_probabilities_by_hand(oob):
    p = oob.probabilities(Thresholds())
    by_hand = [
        [1 - 0.98, 0.97 / 2, 0.99 / 2],
        [0.04, 0.96, 0],
        [0.8, 0.2, 0],
        [np.nan] * 3,
    ]
    np.testing.assert_allclose(p, by_hand, atol=1e-7)


def test_probabilities_equal_those_of_the_scores():
    """Where all members have a prediction, calibrated or not."""
    rng = np.random.default_rng(3)
    deciding = rng.uniform(0, 1, (50, 7)).astype(np.float32)
    z = rng.uniform(0, 4, (50, 7))
    tables = [member(np.arange(50), deciding[:, k], z[:, k]) for k in range(7)]
    oob = OutOfBag.of(tables, 50)
    for calibration in (None, Calibration(0.5, 0.3, 0.01, 0.99)):
        soft = soft_classes(deciding, z, Thresholds(), calibration).mean(axis=1)
        np.testing.assert_allclose(oob.probabilities(Thresholds(), calibration), soft, atol=1e-12)


def test_no_members():
    empty = OutOfBag.of([], 3)
    assert empty.combined(Thresholds())["MEMBERS"].tolist() == [0, 0, 0]
    assert np.isnan(empty.probabilities(Thresholds())).all()


def test_majority_vote():
    members = [
        member([0, 1, 2, 3], [0.99, 0.99, 0.99, 0.1], [1.0, 3.0, 2.0, 0.5]),
        member([0, 1, 3], [0.99, 0.2, 0.96], [1.2, 5.0, 0.7]),
        member([0], [0.5], [4.0]),
    ]
    combined = OutOfBag.of(members, 5).combined(Thresholds())
    assert combined["MEMBERS"].tolist() == [3, 2, 1, 2, 0]
    np.testing.assert_allclose(combined["SHARE"], [2 / 3, 0.5, 1, 0.5, np.nan])
    # Ties are decided by the mean confidence: (0.99 + 0.2)/2 and (0.1 + 0.96)/2 are above 0.5.
    assert combined["QUASAR"].tolist() == [True, True, True, True, False]
    # Lower median over those that vote quasar; NaN without a prediction.
    np.testing.assert_allclose(combined["Z"], [1.0, 3.0, 2.0, 0.7, np.nan])
    # A tie with a lower mean confidence is not a quasar.
    tied = [member([0], [0.96], [1.0]), member([0], [0.01], [2.0])]
    assert OutOfBag.of(tied, 1).combined(Thresholds())["QUASAR"].tolist() == [False]


def test_order_of_members_does_not_matter():
    rng = np.random.default_rng(0)
    members = []
    for _ in range(6):
        index = np.sort(rng.choice(30, 11, replace=False))
        members.append(member(index, rng.uniform(0.9, 1, 11), rng.uniform(0, 4, 11)))
    forward, backward = (
        OutOfBag.of(m, 30).combined(Thresholds()) for m in (members, members[::-1])
    )
    pd.testing.assert_frame_equal(forward, backward)
