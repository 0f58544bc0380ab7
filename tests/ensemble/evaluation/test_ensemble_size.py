"""Random ensembles of fewer members."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from qnal.ensemble.evaluation.ensemble_size import by_ensemble_size, sizes_to
from qnal.ensemble.evaluation.metrics import evaluate
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.information import entropy, mutual_information
from qnal.ensemble.votes import Thresholds, soft_classes
from qnal.labels.label import Label

THRESHOLDS = Thresholds(line_threshold=0.6)


@pytest.mark.parametrize(
    ("members", "sizes"),
    [(1, [1]), (2, [1, 2]), (8, [1, 2, 5, 8]), (200, [1, 2, 5, 10, 20, 50, 100, 200])],
)
def test_sizes(members, sizes):
    assert sizes_to(members) == sizes


def test_the_whole_ensemble_has_the_metrics_of_the_report(evaluated):
    table, oob = evaluated
    label = table["LABEL"].to_numpy()
    sizes = by_ensemble_size(label, oob, THRESHOLDS)
    whole = sizes[sizes["SIZE"] == oob.deciding.shape[1]]
    assert len(whole) == 1
    own = evaluate(table, oob.combined(THRESHOLDS), {"": oob.probabilities(THRESHOLDS)})
    for name in ("COMPLETENESS", "PURITY", "NLL"):
        assert whole[name].iloc[0] == pytest.approx(own[name.lower()], rel=1e-5)
    assert whole["ANSWERING"].iloc[0] == pytest.approx(oob.available.sum(axis=1).mean())
    for name in ("VOTE_ENTROPY", "MUTUAL_INFO"):
        assert whole[f"RANK_{name}"].iloc[0] == pytest.approx(1)
        assert whole[f"TOP_{name}"].iloc[0] == 1
        assert whole[f"RANK_OTHER_{name}"].isna().all()
    assert not sizes.loc[sizes["SIZE"] == 5, "RANK_OTHER_MUTUAL_INFO"].isna().any()


def test_one_member_is_that_member(evaluated):
    table, oob = evaluated
    sizes = by_ensemble_size(table["LABEL"].to_numpy(), oob, THRESHOLDS)
    one = sizes[sizes["SIZE"] == 1]
    alone = [
        evaluate(table, member.combined(THRESHOLDS), {"": member.probabilities(THRESHOLDS)})
        for k in range(oob.deciding.shape[1])
        for member in [OutOfBag(*(a[:, [k]] for a in (oob.deciding, oob.z_best, oob.bal)))]
    ]
    for name in ("COMPLETENESS", "PURITY", "NLL"):
        known = [m[name.lower()] for m in alone]
        assert all(min(abs(v - k) for k in known) < 1e-5 for v in one[name])
    assert one[["MUTUAL_INFO", "RANK_VOTE_ENTROPY", "TOP_MUTUAL_INFO"]].isna().all(axis=None)


def test_measures_and_ranks_by_definition():
    """With all predictions available: information as in the scores, scipy's rank correlation."""
    rng = np.random.default_rng(4)
    deciding = rng.beta(0.5, 0.5, (300, 4)).astype(np.float32)
    z = rng.uniform(1, 3, deciding.shape)
    oob = OutOfBag(deciding, z, np.full_like(deciding, np.nan))
    label = rng.choice([Label.STAR, Label.QSO_LZ], 300)
    sizes = by_ensemble_size(label, oob, THRESHOLDS, seed=5)
    soft = soft_classes(deciding, z, THRESHOLDS)
    whole = mutual_information(soft.swapaxes(0, 1))
    assert sizes["MUTUAL_INFO"].iloc[-1] == pytest.approx(whole.mean(), abs=1e-6)
    # Each pair is one of the six, so its correlation is one of six.
    known, votes = [], []
    vote = oob.votes(THRESHOLDS)
    for i in range(4):
        for j in range(i):
            pair = mutual_information(soft[:, [i, j]].swapaxes(0, 1))
            known.append(spearmanr(pair.round(6), whole.round(6)).statistic)
            both = [entropy(np.stack([(vote[:, m] == c).mean(axis=1) for c in range(3)], axis=-1))
                    for m in ([i, j], [0, 1, 2, 3])]  # fmt: skip
            votes.append(spearmanr(*both).statistic)
    of_two = sizes[sizes["SIZE"] == 2]
    for name, expected in (("RANK_MUTUAL_INFO", known), ("RANK_VOTE_ENTROPY", votes)):
        for value in of_two[name]:
            assert min(abs(value - k) for k in expected) < 1e-3
    assert (of_two["TOP_MUTUAL_INFO"].between(0, 1)).all()


def test_more_members_agree_better_with_the_whole(evaluated):
    table, oob = evaluated
    sizes = by_ensemble_size(table["LABEL"].to_numpy(), oob, THRESHOLDS)
    mean = sizes.groupby("SIZE").mean()
    assert mean["ANSWERING"].is_monotonic_increasing
    for name in ("RANK_VOTE_ENTROPY", "RANK_MUTUAL_INFO", "TOP_MUTUAL_INFO"):
        assert mean[name].dropna().is_monotonic_increasing
    again = by_ensemble_size(table["LABEL"].to_numpy(), oob, THRESHOLDS)
    assert again.equals(sizes)
