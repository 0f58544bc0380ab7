"""Out-of-bag predictions by ensemble size, to see how many members are needed."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.out_of_bag import OutOfBag, majority, ratio, with_rest
from qnal.ensemble.evaluation.reliability import SMALLEST
from qnal.ensemble.information import entropy
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label, is_quasar

REPEATS = 10  # number of random ensembles of each size
TOP = 0.1  # share of the spectra that counts as the most uncertain ones
RANKED = 30  # minimum number of spectra for a rank correlation
ROUNDED = 6  # decimals of a measure by which spectra are ranked, so that ties are ties
MEASURES = ("VOTE_ENTROPY", "MUTUAL_INFO")
METRICS = ("ANSWERING", "COMPLETENESS", "PURITY", "NLL", "MUTUAL_INFO")
COMPARISONS = ("RANK", "TOP", "RANK_OTHER")


def sizes_to(members: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, … below ``members``, and ``members`` itself."""
    steps = [m * 10**k for k in range(len(str(members))) for m in (1, 2, 5)]
    return [*(n for n in steps if n < members), members]


def by_ensemble_size(
    label: NDArray[np.integer], oob: OutOfBag, thresholds: Thresholds, seed: int = 0
) -> pd.DataFrame:
    """Metrics of random smaller ensembles, from out-of-bag predictions without calibration.

    The labelled set stands for the pool, and its spectra are ranked by the disagreement of the
    members. Each labelled spectrum is out of bag for 37 % of the members, so an ensemble performs
    here like one of ANSWERING members on a pool.

    Args:
        label: :class:`Label` of each row.
        oob: out-of-bag predictions of all members for these rows.
        thresholds: when a member votes quasar.
        seed: seed of the random ensembles.

    Returns:
        One row per random ensemble: SIZE (members), REPEAT, ANSWERING (mean number of members with
        a prediction for a spectrum), COMPLETENESS, PURITY, NLL (of the probability of a quasar) and
        MUTUAL_INFO (mean, in nats). For each of :data:`MEASURES`, ``RANK_…`` is Spearman's rank
        correlation with the whole ensemble, ``TOP_…`` the share of the most uncertain tenth that
        the two have in common, and ``RANK_OTHER_…`` the rank correlation with another ensemble of
        the same size without common members. MUTUAL_INFO and ranks are over the spectra for which
        two members have a prediction. NaN where undefined.
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
        for repeat, ensemble in enumerate(ensembles):
            row = {"SIZE": size, "REPEAT": repeat} | ensemble.metrics(label)
            row |= ensemble.compared(whole)
            if others:
                compared = ensemble.compared(others[repeat])
                row |= {f"RANK_OTHER_{m}": compared[f"RANK_{m}"] for m in MEASURES}
            rows.append(row)
    columns = ["SIZE", "REPEAT", *METRICS, *(f"{c}_{m}" for m in MEASURES for c in COMPARISONS)]
    return pd.DataFrame(rows, columns=columns)


def _terms(oob: OutOfBag, thresholds: Thresholds) -> NDArray[np.float32]:
    """Per member, the terms whose sums over the members give all metrics, [7, members, rows].

    The terms are: has a prediction, votes QSO_LZ, votes QSO_HZ, P(QSO), P(NOT), P(QSO_HZ), and
    entropy; all are 0 without a prediction.
    """
    vote, available = oob.votes(thresholds), oob.available
    low, high = oob.soft_quasar(thresholds)
    quasar = low + high
    own = entropy(np.stack([quasar, 1 - quasar], axis=-1))
    terms = (available, vote == 1, vote == 2, quasar, (1 - quasar) * available, high, own)
    return np.stack([term.T.astype(np.float32) for term in terms])


def _summed(terms: NDArray[np.float32], drawn: NDArray[np.intp]) -> list["_SubEnsemble"]:
    """The ensembles of these members, shape [ensembles, size]; one matrix product per term."""
    which = np.zeros((len(drawn), terms.shape[1]), np.float32)
    np.put_along_axis(which, drawn, 1, axis=1)
    return [_SubEnsemble(sums) for sums in np.matmul(which, terms).swapaxes(0, 1)]


class _SubEnsemble:
    """Predictions of a random ensemble, from the sums of :func:`_terms`."""

    def __init__(self, sums: NDArray) -> None:
        sums = sums.astype(np.float64)
        self.count = sums[0]
        votes_low, votes_high, quasar, self.p_not, high, own = (
            ratio(s, self.count) for s in sums[1:]
        )
        self.p_quasar = quasar
        # A share of one half is the ratio of two integers, so comparing it is exact.
        self.quasar = majority(votes_low + votes_high, quasar)
        self.several = self.count > 1  # a single member does not disagree with itself
        measures = {
            "VOTE_ENTROPY": entropy(with_rest(votes_low, votes_high)),
            "MUTUAL_INFO": entropy(with_rest(quasar - high, high)) - own,
        }
        self.measures = {k: np.maximum(v.round(ROUNDED), 0) for k, v in measures.items()}

    def metrics(self, label: NDArray[np.integer]) -> dict[str, float]:
        """The :data:`METRICS` of the ensemble."""
        truth = is_quasar(label)
        counted = (self.count > 0) & (label != Label.BAD)
        found = self.quasar & truth & counted
        of_true = np.where(truth, self.p_quasar, self.p_not)[counted]
        return {
            "ANSWERING": float(self.count.mean()) if len(self.count) else np.nan,
            "COMPLETENESS": _share(found, truth & counted),
            "PURITY": _share(found, self.quasar & counted),
            "NLL": _mean(-np.log(np.clip(of_true, SMALLEST, 1 - SMALLEST))),
            "MUTUAL_INFO": _mean(self.measures["MUTUAL_INFO"][self.several]),
        }

    def compared(self, other: "_SubEnsemble") -> dict[str, float]:
        """Agreement of two rankings, over spectra with predictions of two members of each."""
        from scipy.stats import rankdata

        both = np.flatnonzero(self.several & other.several)
        top = int(np.ceil(TOP * len(both)))
        result: dict[str, float] = {}
        for name in MEASURES:
            mine, theirs = self.measures[name][both], other.measures[name][both]
            rank = agreement = np.nan
            if len(both) >= RANKED and np.ptp(mine) > 0 and np.ptp(theirs) > 0:
                rank = float(np.corrcoef(rankdata(mine), rankdata(theirs))[0, 1])
                # Ties go to the first row, as a query prefers the lower TARGETID.
                first, second = (np.argsort(-v, kind="stable")[:top] for v in (mine, theirs))
                agreement = len(np.intersect1d(first, second)) / top
            result |= {f"RANK_{name}": rank, f"TOP_{name}": agreement}
        return result


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else np.nan


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan
