"""Score columns belong to the rows that have predictions."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from qnal.ensemble.combination import CombinationRule
from qnal.ensemble.votes import MemberPredictions, Thresholds, score_schema

LINES, BAL = ("LYA", "CIV(1548)"), ("CIV(1548)",)
STATUS = ["ok", "no_signal", "ok", "non_finite", "zero_variance", "ok", "ok"]
RULE = CombinationRule(Thresholds(line_threshold=0.6))


@pytest.fixture
def predictions():
    """Of three members for the four rows that are ok."""
    rng = np.random.default_rng(0)
    confidence = rng.random((4, 2, 3), np.float32)
    z, bal = rng.uniform(0, 4, (4, 2, 3)), rng.random((4, 1, 3), np.float32)
    return MemberPredictions(confidence.max(axis=1), z[:, 0], confidence, z, bal)


def test_rows_are_kept_and_only_ok_ones_have_scores(predictions):
    targets = pa.table({"TARGETID": np.arange(7) + 2**60, "STATUS": STATUS})
    table = RULE.table(targets, predictions, LINES, BAL)
    scores = score_schema(LINES, BAL)
    assert table.column_names == ["TARGETID", "STATUS", *scores.names]
    assert table["TARGETID"].to_pylist() == list(range(2**60, 2**60 + 7))
    for name in scores.names:
        assert table.schema.field(name).type == pa.float32()
        np.testing.assert_array_equal(table[name].is_valid(), np.array(STATUS) == "ok")
    share = (predictions.deciding[2] <= 0.6).mean()
    assert table["C_NOT"][5].as_py() == pytest.approx(share)


def test_no_usable_row_and_no_row(predictions):
    none = MemberPredictions(*(getattr(predictions, n)[:0] for n in vars(predictions)))
    table = RULE.table(pa.table({"STATUS": ["no_signal"] * 7}), none, LINES, BAL)
    assert len(table) == 7 and table["Z"].null_count == 7
    empty = RULE.table(pa.table({"STATUS": pa.array([], pa.string())}), none, LINES, BAL)
    assert len(empty) == 0 and empty.schema == table.schema


def test_an_untrained_bal_head_is_null(predictions):
    targets = pa.table({"STATUS": STATUS})
    untrained = replace(RULE, bal_trained=False)
    assert untrained.table(targets, predictions, LINES, BAL)["C_BAL"].null_count == 7
    assert RULE.table(targets, predictions, LINES, BAL)["C_BAL"].null_count == 3
