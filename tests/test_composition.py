"""Composing the configuration."""

import pytest

import qnal
from qnal.composition import as_text


@pytest.mark.parametrize(
    "condition",
    [
        "OBJTYPE = 'TGT' AND has_bit(DESI_TARGET, 'QSO')",
        'MAG_R < 22.5 OR "SNR_R" > 0.3',
        "PROGRAM LIKE 'a\\\\%' and ROW in (1, 2)",
        "true",
    ],
)
def test_conditions_are_taken_as_they_are_typed(condition):
    given = qnal.compose(["stage=infer", f"infer.where={condition}"])
    assert given.infer.where == condition
    assert as_text("infer.where=null") == "infer.where=null"
    assert as_text("query.n=3") == "query.n=3"
    assert as_text("infer.where='a > 1'") == "infer.where='a > 1'"
