from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from qnal.ensemble.votes import Thresholds, score_schema
from qnal.errors import InputError
from qnal.inference.scorer import CombinationRule, Scorer
from qnal.network.backends.forward import Backend, forward

STATUS = ["ok", "no_signal", "ok", "non_finite", "zero_variance", "ok", "ok"]


@pytest.fixture(scope="module")
def scorer(random_network):
    networks = [random_network(k) for k in range(3)]
    members = [(network, forward(network, Backend.numpy)) for network in networks]
    return Scorer(members, CombinationRule(Thresholds(line_threshold=0.6)), batch_size=2)


def test_rows_are_kept_and_only_ok_ones_have_answers(scorer, spectra):
    identity = pa.table({"TARGETID": np.arange(7) + 2**60, "STATUS": STATUS})
    table = scorer.table(identity, spectra)
    network = scorer.network
    scores = score_schema(network.lines, network.bal_lines)
    assert table.column_names == ["TARGETID", "STATUS", *scores.names]
    assert table["TARGETID"].to_pylist() == list(range(2**60, 2**60 + 7))
    ok = np.array(STATUS) == "ok"
    for name in scores.names:
        assert table.schema.field(name).type == pa.float32()
        np.testing.assert_array_equal(table[name].is_valid(), ok)
    # An answer belongs to its row, whatever stands beside it.
    alone = scorer.table(identity.take([5]), spectra[[5]])
    for name in scores.names:
        np.testing.assert_allclose(alone[name][0].as_py(), table[name][5].as_py(), atol=1e-5)


def test_nothing_usable_and_nothing_at_all(scorer, spectra):
    table = scorer.table(pa.table({"STATUS": ["no_signal"] * 7}), spectra)
    assert len(table) == 7 and table["Z"].null_count == 7
    empty = scorer.table(pa.table({"STATUS": pa.array([], pa.string())}), spectra[:0])
    assert len(empty) == 0 and empty.schema == table.schema


def test_untrained_bal_head_is_null(scorer, spectra):
    identity = pa.table({"STATUS": STATUS})
    untrained = Scorer(scorer.members, replace(scorer.rule, bal_trained=False))
    assert untrained.table(identity, spectra)["C_BAL"].null_count == 7
    assert scorer.table(identity, spectra)["C_BAL"].null_count == 3


def test_never_a_silent_nan(scorer, spectra):
    broken = [(scorer.network, lambda x: np.full((len(x), 7, 2, 13), np.nan))]
    with pytest.raises(InputError, match="not finite; its weight file must be corrupt"):
        Scorer(broken, CombinationRule(Thresholds())).table(
            pa.table({"STATUS": ["ok"] * 7}), spectra
        )
