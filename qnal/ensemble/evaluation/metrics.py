"""Metrics of predictions for labelled spectra."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics, probability_scores
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label, is_quasar

GOOD_DZ = 0.05  # limit of |Δz|/(1+z) of a correct redshift
BAL_CONFIDENCE = 0.5  # C_BAL above which a quasar counts as predicted BAL


def classification_metrics(
    label: NDArray[np.integer],
    z: NDArray[np.floating],
    quasar: NDArray[np.bool_],
    z_predicted: NDArray[np.floating],
) -> Metrics:
    """Completeness, purity and redshift errors; undefined metrics are None.

    ``completeness`` is the share of the labelled quasars that are predicted quasar; ``purity`` the
    share of labelled quasars among the spectra predicted quasar. The ``_z`` variants also require
    ``|Δz| < 0.05(1+z)``. BAD labels are left out of both. ``z_bias`` and ``z_nmad`` are the median
    and the scaled median absolute deviation (:func:`astropy.stats.mad_std`) of Δz/(1+z) of the
    quasars found, and ``z_outliers`` the share of them without a correct redshift.

    Args:
        label: :class:`Label`, shape [rows].
        z: true redshift, shape [rows].
        quasar: whether the prediction is quasar, shape [rows].
        z_predicted: predicted redshift, shape [rows].
    """
    from astropy.stats import mad_std

    truth, confident = is_quasar(label), label != Label.BAD
    dz = np.where(truth, (z_predicted - z) / (1 + z), np.inf)
    found, good = truth & quasar, truth & quasar & (np.abs(dz) < GOOD_DZ)
    predicted = int((quasar & confident).sum())
    error = dz[found]
    return {
        "completeness": _ratio(found.sum(), truth.sum()),
        "purity": _ratio(found.sum(), predicted),
        "completeness_z": _ratio(good.sum(), truth.sum()),
        "purity_z": _ratio(good.sum(), predicted),
        "z_bias": float(np.median(error)) if len(error) else None,
        "z_nmad": float(mad_std(error)) if len(error) else None,
        "z_outliers": _ratio((np.abs(error) >= GOOD_DZ).sum(), len(error)),
    }


def _ratio(part: int | np.integer, whole: int | np.integer) -> float | None:
    return float(part / whole) if whole else None


def member_metrics(labels: pd.DataFrame, oob: pd.DataFrame, thresholds: Thresholds) -> Metrics:
    """Metrics of one member: classification, probabilities and BAL head.

    Args:
        labels: LABEL, Z and BAL of the rows that are out of bag for the member.
        oob: DECIDING, Z_BEST and, with a BAL head, BAL of these rows.
        thresholds: when the member votes quasar.
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
    """Recall and purity of the BAL head, for labelled quasars with a known BAL label.

    ``bal_recall`` is the share of the BALs whose C_BAL is above :data:`BAL_CONFIDENCE`;
    ``bal_purity`` the share of BALs among the quasars whose C_BAL is.

    Args:
        label: :class:`Label`, shape [rows].
        bal: +1 BAL, −1 non-BAL, 0 unknown, shape [rows].
        c_bal: confidence of the BAL head, shape [rows]; NaN without a prediction.
    """
    known = is_quasar(label) & (bal != 0) & ~np.isnan(c_bal)
    is_bal, predicted = bal[known] > 0, c_bal[known] > BAL_CONFIDENCE
    both = (is_bal & predicted).sum()
    return {"bal_recall": _ratio(both, is_bal.sum()), "bal_purity": _ratio(both, predicted.sum())}


def evaluate(
    training_set: pd.DataFrame,
    combined: pd.DataFrame,
    probabilities: Mapping[str, NDArray] | None = None,
) -> Metrics:
    """Metrics of the ensemble out of bag, over all sources and per source (``boss_purity``, …).

    Args:
        training_set: SOURCE, LABEL and Z of each row; and BAL, if ``combined`` has C_BAL.
        combined: :meth:`OutOfBag.combined` of these rows.
        probabilities: mean class probabilities, shape [rows, 3], by the prefix that the names of
            their scores get.
    """
    available = combined["MEMBERS"].to_numpy() > 0
    metrics: Metrics = {"spectra": int(available.sum()), "without": int((~available).sum())}
    for source in [None, *sorted(training_set["SOURCE"].unique())]:
        use = available if source is None else available & (training_set["SOURCE"] == source)
        use = np.asarray(use)
        label = training_set["LABEL"].to_numpy()[use]
        values = classification_metrics(
            label,
            training_set["Z"].to_numpy()[use],
            combined["QUASAR"].to_numpy()[use],
            combined["Z"].to_numpy()[use],
        )
        for kind, p in (probabilities or {}).items():
            scores = probability_scores(label, p[use])
            values |= {f"{kind}{name}": value for name, value in scores.items()}
        if "C_BAL" in combined:
            bal = training_set["BAL"].to_numpy()[use]
            values |= bal_metrics(label, bal, combined["C_BAL"].to_numpy()[use])
        prefix = "" if source is None else f"{source}_"
        metrics |= {f"{prefix}{name}": value for name, value in values.items()}
    return metrics
