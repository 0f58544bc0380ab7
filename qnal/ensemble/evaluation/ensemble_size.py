"""How the out-of-bag answers change with the number of members: are so many needed?"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.out_of_bag import OutOfBag, majority, over, with_rest
from qnal.ensemble.evaluation.reliability import SMALLEST
from qnal.ensemble.information import entropy
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label, is_quasar

REPEATS = 10  # random ensembles of each size
TOP = 0.1  # share of the spectra that a query would take
RANKED = 30  # spectra at least, for a rank correlation to mean anything
ROUNDED = 6  # decimals of a measure that spectra are ranked by
MEASURES = ("VOTE_ENTROPY", "MUTUAL_INFO")
METRICS = ("ANSWERING", "COMPLETENESS", "PURITY", "NLL", "MUTUAL_INFO")
COMPARISONS = ("RANK", "TOP", "RANK_OTHER")


def sizes_to(members: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, … up to ``members``, which is the last."""
    steps = [m * 10**k for k in range(len(str(members))) for m in (1, 2, 5)]
    return [*(n for n in steps if n < members), members]


def by_ensemble_size(
    label: NDArray[np.integer], oob: OutOfBag, thresholds: Thresholds, seed: int = 0
) -> pd.DataFrame:
    """Out-of-bag answers of random ensembles of fewer members.

    The labelled set stands for the pool: its spectra are ranked by how uncertain the members are.
    As a member answers for the 37 % of them that it has not seen, an ensemble does here what one
    of ANSWERING members would do on a pool. Nothing is calibrated.

    Args:
        label: :class:`Label` of each row.
        oob: all members' answers.
        thresholds: when a member votes quasar.
        seed: of the random ensembles.

    Returns:
        A row a random ensemble: SIZE (members), REPEAT, ANSWERING (mean number of members that
        answer for a spectrum), COMPLETENESS, PURITY, NLL (of the probability of a quasar), and
        the mean MUTUAL_INFO (nats); for each of :data:`MEASURES`, compared with the whole
        ensemble, ``RANK_…`` (Spearman's correlation) and ``TOP_…`` (share of the most uncertain
        tenth that is the same), and ``RANK_OTHER_…`` likewise compared with another ensemble of
        that size without a member in common. Disagreement and ranks are of the spectra that two
        members answer for. NaN where undefined.
    """
    terms = _terms(oob, thresholds)
    members = oob.deciding.shape[1]
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(members) for _ in range(REPEATS)])
    whole = _summed(terms, orders[:1])[0]
    rows = []
    for size in sizes_to(members):
        drawn = orders[: REPEATS if size < members else 1]
        ensembles = _summed(terms, drawn[:, :size])
        others = _summed(terms, drawn[:, size : 2 * size]) if 2 * size <= members else []
        for repeat, predictions in enumerate(ensembles):
            row = {"SIZE": size, "REPEAT": repeat} | predictions.metrics(label)
            row |= predictions.compared(whole)
            if others:
                compared = predictions.compared(others[repeat])
                row |= {f"RANK_OTHER_{m}": compared[f"RANK_{m}"] for m in MEASURES}
            rows.append(row)
    columns = ["SIZE", "REPEAT", *METRICS, *(f"{c}_{m}" for m in MEASURES for c in COMPARISONS)]
    return pd.DataFrame(rows, columns=columns)


def _terms(oob: OutOfBag, thresholds: Thresholds) -> NDArray[np.float32]:
    """What sums over members make all answers from, shape [7, members, rows].

    Whether a member may answer, votes QSO_LZ, votes QSO_HZ; its P(QSO), P(NOT) and P(QSO_HZ), and
    its entropy; 0 where it may not answer.
    """
    vote, answered = oob.votes(thresholds), oob.answered
    low, high = oob.soft_quasar(thresholds)
    quasar = low + high
    own = entropy(np.stack([quasar, 1 - quasar], axis=-1))
    terms = (answered, vote == 1, vote == 2, quasar, (1 - quasar) * answered, high, own)
    return np.stack([term.T.astype(np.float32) for term in terms])


def _summed(terms: NDArray[np.float32], drawn: NDArray[np.intp]) -> list["_Answers"]:
    """Answers of the ensembles of these members, shape [ensembles, size]: one product a term."""
    which = np.zeros((len(drawn), terms.shape[1]), np.float32)
    np.put_along_axis(which, drawn, 1, axis=1)
    return [_Answers(sums) for sums in np.matmul(which, terms).swapaxes(0, 1)]


class _Answers:
    """What an ensemble says of each spectrum, from the sums of :func:`_terms`."""

    def __init__(self, sums: NDArray) -> None:
        sums = sums.astype(np.float64)
        self.count = sums[0]
        votes_low, votes_high, quasar, self.p_not, high, own = (
            over(s, self.count) for s in sums[1:]
        )
        self.p_quasar = quasar
        # Of a share of the votes, one half is a whole number of members, so it is exact.
        self.quasar = majority(votes_low + votes_high, quasar)
        # One member alone agrees with itself. Rounding errors are no ranking.
        self.several = self.count > 1
        measures = {
            "VOTE_ENTROPY": entropy(with_rest(votes_low, votes_high)),
            "MUTUAL_INFO": entropy(with_rest(quasar - high, high)) - own,
        }
        self.measures = {k: np.maximum(v.round(ROUNDED), 0) for k, v in measures.items()}

    def metrics(self, label: NDArray[np.integer]) -> dict[str, float]:
        """Its :data:`METRICS`."""
        truth = is_quasar(label)
        judged = (self.count > 0) & (label != Label.BAD)
        found = self.quasar & truth & judged
        of_true = np.where(truth, self.p_quasar, self.p_not)[judged]
        return {
            "ANSWERING": float(self.count.mean()),
            "COMPLETENESS": _ratio(found, truth & judged),
            "PURITY": _ratio(found, self.quasar & judged),
            "NLL": _mean(-np.log(np.clip(of_true, SMALLEST, 1 - SMALLEST))),
            "MUTUAL_INFO": _mean(self.measures["MUTUAL_INFO"][self.several]),
        }

    def compared(self, other: "_Answers") -> dict[str, float]:
        """How alike two ensembles rank the spectra that two members of either answer for."""
        from scipy.stats import rankdata

        both = np.flatnonzero(self.several & other.several)
        top = int(np.ceil(TOP * len(both)))
        result: dict[str, float] = {}
        for name in MEASURES:
            mine, theirs = self.measures[name][both], other.measures[name][both]
            rank = agreement = np.nan
            if len(both) >= RANKED and np.ptp(mine) > 0 and np.ptp(theirs) > 0:
                rank = float(np.corrcoef(rankdata(mine), rankdata(theirs))[0, 1])
                # Of equal ones the first, as a query does that takes the lower TARGETID.
                first, second = (np.argsort(-v, kind="stable")[:top] for v in (mine, theirs))
                agreement = len(np.intersect1d(first, second)) / top
            result |= {f"RANK_{name}": rank, f"TOP_{name}": agreement}
        return result


def _ratio(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else np.nan


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan
