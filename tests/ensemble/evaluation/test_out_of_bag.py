"""The members' answers side by side, and what they say together."""

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


def test_absent_members_do_not_answer(oob):
    assert oob.answered.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    vote = oob.votes(Thresholds())
    assert vote.tolist() == [[2, 1], [ABSENT, 1], [0, ABSENT], [ABSENT, ABSENT]]
    answer = oob.answer(Thresholds())
    assert answer["MEMBERS"].tolist() == [2, 1, 1, 0]
    assert answer["CLASS"].tolist() == ["QSO_LZ", "QSO_LZ", "NOT", ""]  # the lower median of z
    np.testing.assert_allclose(answer["C_BAL"], [0.6, 0.9, 0.1, np.nan], rtol=1e-6)
    assert OutOfBag.of([member([0], [0.5], [1.0])], 1).answer(Thresholds())["C_BAL"].isna().all()


def test_probabilities_by_hand(oob):
    p = oob.probabilities(Thresholds())
    by_hand = [
        [1 - 0.98, 0.97 / 2, 0.99 / 2],
        [0.04, 0.96, 0],
        [0.8, 0.2, 0],
        [np.nan] * 3,
    ]
    np.testing.assert_allclose(p, by_hand, atol=1e-7)


def test_where_all_answer_they_are_the_scores_own():
    """The same probabilities as the score columns, calibrated or not."""
    rng = np.random.default_rng(3)
    deciding = rng.uniform(0, 1, (50, 7)).astype(np.float32)
    z = rng.uniform(0, 4, (50, 7))
    tables = [member(np.arange(50), deciding[:, k], z[:, k]) for k in range(7)]
    oob = OutOfBag.of(tables, 50)
    for calibration in (None, Calibration(0.5, 0.3, 0.01, 0.99)):
        soft = soft_classes(deciding, z, Thresholds(), calibration).mean(axis=1)
        np.testing.assert_allclose(oob.probabilities(Thresholds(), calibration), soft, atol=1e-12)


def test_nobody_at_all():
    empty = OutOfBag.of([], 3)
    assert empty.answer(Thresholds())["MEMBERS"].tolist() == [0, 0, 0]
    assert np.isnan(empty.probabilities(Thresholds())).all()
