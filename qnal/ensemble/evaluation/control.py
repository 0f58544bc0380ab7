"""Metrics on control labels, the only ones that hold for the pool.

Targets picked by a strategy are a biased sample of the pool. Control picks are drawn uniformly over
the N targets that could be labelled when their round was queried, so each of the n control labels
of a round stands for N/n targets.

Rounds are combined as follows. Before round r, the targets labelled in earlier rounds have left
the pool. With round r alone, a sum over the pool as it was before the first round is estimated by
the sum over those earlier labels, which are known, plus N_r/n_r times the sum over the controls of
round r. This estimate is unbiased for each round; rounds are averaged in proportion to n_r. A
label's weight is therefore

    w = [control] N_r/Σn + Σ_{s>r} n_s/Σn.

(The idea of weighting picks by the round that they left the pool in is that of Farquhar, Gal &
Rainforth 2021, arXiv:2101.11665.)
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.curves import share_interval
from qnal.ensemble.evaluation.out_of_bag import OutOfBag, majority, ratio
from qnal.ensemble.evaluation.reliability import Metrics, probability_scores
from qnal.ensemble.inspected_set import SOURCE
from qnal.labels.label import Label, is_quasar

PURITY_WANTED = 0.99
CONFIDENCE = 0.95  # of one-sided lower limits


@dataclass(frozen=True)
class ControlSample:
    """The labelled targets with a weight for the pool, and their out-of-bag predictions.

    Attributes:
        table: one row per target: TARGETID, ROUND, CONTROL, WEIGHT, INDEX (row of the labelled
            set), LABEL, MEMBERS, QUASAR.
        weighted: whether populations are known; without, each control label weighs 1 and all
            others 0.
    """

    table: pd.DataFrame
    weighted: bool

    @property
    def control(self) -> NDArray[np.bool_]:
        """Which targets are control picks, shape [targets]."""
        return self.table["CONTROL"].to_numpy(bool)


@dataclass(frozen=True)
class ControlReport:
    """Metrics on control labels.

    Attributes:
        metrics: names begin with ``control_``.
        sample: the labels that they are computed from.
        sentences: what they can prove.
    """

    metrics: Metrics
    sample: ControlSample
    sentences: list[str] = field(default_factory=list)


def combined_weights(design: pd.DataFrame) -> pd.Series | None:
    """The weight of each labelled target for sums over the pool before the first round.

    Args:
        design: index TARGETID; ROUND, CONTROL and POPULATION.

    Returns:
        By TARGETID; None if a round has controls but no POPULATION.
    """
    control = design["CONTROL"].to_numpy(bool)
    rounds = design["ROUND"].to_numpy(int)
    numbers = np.unique(rounds[control])
    n = np.array([(control & (rounds == r)).sum() for r in numbers], float)
    population = [design["POPULATION"][control & (rounds == r)].max() for r in numbers]
    if not len(numbers) or any(pd.isna(p) for p in population):
        return None
    share = n / n.sum()
    later = (share[None, :] * (numbers[None, :] > rounds[:, None])).sum(axis=1)
    stands_for = np.zeros(len(design))
    for r, size in zip(numbers, population, strict=True):
        stands_for[control & (rounds == r)] = float(size) / n.sum()
    return pd.Series(stands_for + later, design.index)


def control_sample(
    training_set: pd.DataFrame, combined: pd.DataFrame, design: pd.DataFrame
) -> ControlSample | None:
    """One row per labelled target of the label table.

    Of the spectra of a target that have a prediction, the first is used.

    Args:
        training_set: SOURCE, TARGETID and LABEL of each row.
        combined: :meth:`OutOfBag.combined` of these rows.
        design: :func:`~qnal.labels.label_table.sampling_design`.

    Returns:
        None if no control label is in the training set.
    """
    rows = pd.DataFrame(
        {
            "TARGETID": training_set["TARGETID"].to_numpy(),
            "INDEX": np.arange(len(training_set)),
            "LABEL": training_set["LABEL"].to_numpy(),
            "MEMBERS": combined["MEMBERS"].to_numpy(),
            "QUASAR": combined["QUASAR"].to_numpy(bool),
        }
    )[(training_set["SOURCE"] == SOURCE).to_numpy()]
    rows = rows.assign(WITHOUT=rows["MEMBERS"] == 0).sort_values(["TARGETID", "WITHOUT", "INDEX"])
    rows = rows.drop_duplicates("TARGETID").drop(columns="WITHOUT")
    table = rows.join(design[["ROUND", "CONTROL", "POPULATION"]], on="TARGETID", how="inner")
    if not table["CONTROL"].any():
        return None
    weights = combined_weights(table.set_index("TARGETID"))
    weight = table["CONTROL"].to_numpy(float) if weights is None else weights.to_numpy()
    table = table.assign(WEIGHT=weight).reset_index(drop=True)
    return ControlSample(table, weights is not None)


def control_report(sample: ControlSample, probabilities: NDArray[np.floating]) -> ControlReport:
    """Completeness, purity and calibration on control labels.

    Args:
        sample: the labels.
        probabilities: out-of-bag class probabilities of all rows of the labelled set, shape
            [rows, 3].

    Returns:
        Metrics: numbers of controls (``labels``, ``bad``, ``without`` a prediction, ``quasars``,
        ``called`` quasar by the ensemble); ``completeness`` and ``purity`` with the ends of their
        68 % Wilson intervals ``…_low`` and ``…_high`` and their one-sided 95 % lower limit
        ``…_limit`` (Clopper-Pearson); the share of the pool that is ``called``; negative log
        likelihood, Brier score and calibration error of the probabilities; and ``needed``, how many
        controls a lower limit of 0.99 on purity would take.
    """
    table, control = sample.table, sample.control
    used = (table["LABEL"] != Label.BAD).to_numpy() & (table["MEMBERS"] > 0).to_numpy()
    truth, called = is_quasar(table["LABEL"].to_numpy()), table["QUASAR"].to_numpy(bool)
    weight = np.where(used, table["WEIGHT"].to_numpy(float), 0)
    metrics: Metrics = {
        "labels": int(control.sum()),
        "bad": int((control & (table["LABEL"] == Label.BAD)).sum()),
        "without": int((control & (table["MEMBERS"] == 0)).sum()),
        "quasars": int((control & used & truth).sum()),
        "called": int((control & used & called).sum()),
        "population": float(table["WEIGHT"].sum()) if sample.weighted else None,
    }
    for name, whole in (("completeness", truth), ("purity", called)):
        metrics |= _share(name, called & truth, whole, weight, control)
    share_called = _mean(called, weight)
    metrics["called_share"] = share_called
    metrics["needed"] = controls_needed(share_called)
    rows = table.loc[control & used, "INDEX"].to_numpy()
    scores = probability_scores(table.loc[control & used, "LABEL"].to_numpy(), probabilities[rows])
    metrics |= {name: scores[name] for name in ("nll", "brier", "ece") if name in scores}
    sentences = _sentences(int((control & used).sum()), metrics)
    return ControlReport({f"control_{k}": v for k, v in metrics.items()}, sample, sentences)


def errorless_needed(limit: float = PURITY_WANTED, confidence: float = CONFIDENCE) -> int:
    """Number of trials without a failure from which a share has this one-sided lower limit.

    It is the smallest n with limit^n ≤ 1 − confidence.
    """
    return math.ceil(math.log(1 - confidence) / math.log(limit))


def controls_needed(share_called: float | None) -> int | None:
    """How many controls hold enough spectra called quasar; None where none is called."""
    if not share_called:
        return None
    return math.ceil(errorless_needed() / share_called)


def lower_limit(k: int, n: int, confidence: float = CONFIDENCE) -> float | None:
    """One-sided lower limit of a share (Clopper & Pearson 1934); None where ``n`` is 0."""
    from scipy.stats import beta

    if not n:
        return None
    return 0.0 if k == 0 else float(beta.ppf(1 - confidence, k, n - k + 1))


def control_thresholds(
    sample: ControlSample, oob: OutOfBag, thresholds: NDArray[np.floating]
) -> pd.DataFrame:
    """Completeness and purity on control labels by confidence threshold.

    Returns:
        One row per threshold: THRESHOLD, CONTROL_CALLED (controls called quasar), and
        CONTROL_COMPLETENESS and CONTROL_PURITY with ``_LOW`` and ``_HIGH`` (68 %) and ``_LIMIT``
        (95 %).
    """
    table, control = sample.table, sample.control
    of_sample = oob.rows(table["INDEX"].to_numpy())
    available = of_sample.available.sum(axis=1)
    used = (table["LABEL"] != Label.BAD).to_numpy() & (available > 0)
    truth = is_quasar(table["LABEL"].to_numpy())
    weight = np.where(used, table["WEIGHT"].to_numpy(float), 0)
    confidence = of_sample.mean_confidence()
    rows = []
    for threshold in thresholds:
        vote = of_sample.deciding > np.float32(threshold)
        called = used & majority(ratio(vote.sum(axis=1), available), confidence)
        row: dict[str, float | int | None] = {
            "THRESHOLD": float(threshold),
            "CONTROL_CALLED": int((control & called).sum()),
        }
        for name, whole in (("COMPLETENESS", truth), ("PURITY", called)):
            shares = _share(f"control_{name}", called & truth, whole, weight, control)
            row |= {k.upper(): v for k, v in shares.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _share(
    name: str,
    part: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    weight: NDArray[np.floating],
    control: NDArray[np.bool_],
) -> Metrics:
    """A weighted share with its interval.

    The interval is that of the effective number of controls, (Σw)²/Σw² (Kish 1965); earlier picks
    of other rounds, which are known and not sampled, do not add to it.
    """
    w = np.where(whole & (weight > 0), weight, 0)
    share = float(w[part].sum() / w.sum()) if w.sum() > 0 else None
    sampled = w[control]
    n = round(float(sampled.sum() ** 2 / (sampled**2).sum())) if sampled.any() else 0
    if share is None or not n:
        low = high = limit = None
    else:
        k = round(share * n)
        low, high = (float(end[0]) for end in share_interval(np.array([k]), np.array([n])))
        limit = lower_limit(k, n)
    return {name: share, f"{name}_low": low, f"{name}_high": high, f"{name}_limit": limit}


def _mean(which: NDArray[np.bool_], weight: NDArray[np.floating]) -> float | None:
    return float(weight[which].sum() / weight.sum()) if weight.sum() > 0 else None


def _sentences(controls: int, metrics: Metrics) -> list[str]:
    if not controls:
        return ["No control label has an out-of-bag prediction, so nothing is known of the pool."]
    points = 100 * 0.5 / math.sqrt(controls)
    called = metrics["called"]
    first = (
        f"{controls} control labels measure a share of 50 % to ±{points:.0f} percentage points; "
        f"the ensemble calls {called} of them quasars"
    )
    limit = metrics["purity_limit"]
    first += "." if limit is None else f", so purity is above {limit:.3f} with 95 % confidence."
    needed = metrics["needed"]
    share = metrics["called_share"]
    second = (
        f"For a lower limit of {PURITY_WANTED} on purity (95 %), {errorless_needed()} control "
        "labels called quasars must be right"
    )
    if needed is None or share is None:
        return [first, second + "."]
    words = (
        f"; {100 * share:.0f} % of this pool is called quasars, so that takes {needed:,} in all."
    )
    return [first, second + words]
