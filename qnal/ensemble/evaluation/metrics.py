"""How good an ensemble is on labelled spectra its members have not seen."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics, probability_scores
from qnal.ensemble.votes import MAD_TO_SIGMA, Thresholds
from qnal.labels.label import Label, is_quasar

GOOD_DZ = 0.05
BAL_CONFIDENCE = 0.5


def classification_metrics(
    label: NDArray[np.integer],
    z: NDArray[np.floating],
    quasar: NDArray[np.bool_],
    z_answer: NDArray[np.floating],
) -> Metrics:
    """Completeness, purity and redshift error of answers; undefined ones are None.

    Completeness is the share of confident quasars called quasar; purity the share of confident
    quasars among the confidently labelled spectra called quasar; the ``_z`` variants also ask for
    ``|Δz| < 0.05(1+z)``. BAD labels are left out of all. ``z_nmad`` is 1.4826 × the median of
    ``|Δz/(1+z) − median|`` of the quasars found.

    Args:
        label: :class:`Label`, shape [rows].
        z: true redshift, shape [rows].
        quasar: whether the answer is quasar, shape [rows].
        z_answer: its redshift, shape [rows].
    """
    truth, confident = is_quasar(label), label != Label.BAD
    dz = np.where(truth, (z_answer - z) / (1 + z), np.inf)
    found, good = truth & quasar, truth & quasar & (np.abs(dz) < GOOD_DZ)
    called = int((quasar & confident).sum())
    error = dz[found]
    return {
        "completeness": _ratio(found.sum(), truth.sum()),
        "purity": _ratio(found.sum(), called),
        "completeness_z": _ratio(good.sum(), truth.sum()),
        "purity_z": _ratio(good.sum(), called),
        "z_bias": float(np.median(error)) if len(error) else None,
        "z_nmad": (
            float(MAD_TO_SIGMA * np.median(np.abs(error - np.median(error))))
            if len(error)
            else None
        ),
        "z_outliers": _ratio((np.abs(error) >= GOOD_DZ).sum(), len(error)),
    }


def _ratio(part: int | np.integer, whole: int | np.integer) -> float | None:
    return float(part / whole) if whole else None


def combined_answer(
    members: Sequence[pd.DataFrame], rows: int, thresholds: Thresholds
) -> pd.DataFrame:
    """What stored out-of-bag tables say together, see :meth:`OutOfBag.answer`."""
    return OutOfBag.of(members, rows).answer(thresholds)


def member_metrics(labels: pd.DataFrame, oob: pd.DataFrame, thresholds: Thresholds) -> Metrics:
    """Metrics of one member: :func:`quality`, the scores of its probabilities, its BAL head.

    Args:
        labels: LABEL, Z and BAL of the rows it may answer for.
        oob: DECIDING, Z_BEST and, with a BAL head, BAL of these rows.
    """
    alone = OutOfBag.of([oob.assign(INDEX=np.arange(len(oob)))], len(oob))
    label = labels["LABEL"].to_numpy()
    vote = alone.votes(thresholds)[:, 0]
    return (
        classification_metrics(label, labels["Z"].to_numpy(), vote > 0, alone.z_best[:, 0])
        | probability_scores(label, alone.probabilities(thresholds))
        | bal_metrics(label, labels["BAL"].to_numpy(), alone.bal[:, 0])
    )


def bal_metrics(
    label: NDArray[np.integer], bal: NDArray[np.integer], c_bal: NDArray[np.floating]
) -> Metrics:
    """How well the BAL head knows BALs, of the confident quasars whose BAL is known.

    ``bal_recall`` is the share of the BALs with C_BAL above :data:`BAL_CONFIDENCE`, ``bal_purity``
    the share of BALs among the quasars with that.

    Args:
        label: :class:`Label`, shape [rows].
        bal: +1 BAL, −1 none, 0 unknown, shape [rows].
        c_bal: confidence of the head, shape [rows]; NaN where it has said nothing.
    """
    known = is_quasar(label) & (bal != 0) & ~np.isnan(c_bal)
    is_bal, said = bal[known] > 0, c_bal[known] > BAL_CONFIDENCE
    both = (is_bal & said).sum()
    return {"bal_recall": _ratio(both, is_bal.sum()), "bal_purity": _ratio(both, said.sum())}


def evaluate(
    training_set: pd.DataFrame,
    answer: pd.DataFrame,
    probabilities: Mapping[str, NDArray] | None = None,
) -> Metrics:
    """Metrics of out-of-bag answers, of all sources together and of each (``boss_purity``, …).

    Args:
        training_set: SOURCE, LABEL and Z of each row, and BAL where the answer has C_BAL.
        answer: :meth:`OutOfBag.answer` on them.
        probabilities: mean class probabilities, shape [rows, 3], by the prefix that their scores
            get.
    """
    answered = answer["MEMBERS"].to_numpy() > 0
    metrics: Metrics = {"spectra": int(answered.sum()), "without": int((~answered).sum())}
    for source in [None, *sorted(training_set["SOURCE"].unique())]:
        use = answered if source is None else answered & (training_set["SOURCE"] == source)
        use = np.asarray(use)
        label = training_set["LABEL"].to_numpy()[use]
        values = classification_metrics(
            label,
            training_set["Z"].to_numpy()[use],
            answer["QUASAR"].to_numpy()[use],
            answer["Z"].to_numpy()[use],
        )
        for kind, p in (probabilities or {}).items():
            scores = probability_scores(label, p[use])
            values |= {f"{kind}{name}": value for name, value in scores.items()}
        if "C_BAL" in answer:
            bal = training_set["BAL"].to_numpy()[use]
            values |= bal_metrics(label, bal, answer["C_BAL"].to_numpy()[use])
        prefix = "" if source is None else f"{source}_"
        metrics |= {f"{prefix}{name}": value for name, value in values.items()}
    return metrics
