"""Reliability of probabilities: likelihood, Brier score, calibration error, diagram."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.votes import CLASSES
from qnal.labels.label import Label, is_quasar

SMALLEST = 1e-7  # probabilities are clipped to [1e-7, 1 − 1e-7] before the logarithm
BINS = 15  # bins of equal width from 0 to 1, as in Guo et al. 2017
PER_BIN = 30  # number of spectra per bin of a reliability diagram
Metrics = dict[str, float | None]


def true_class(label: NDArray[np.integer]) -> NDArray[np.intp]:
    """Index into :data:`~qnal.ensemble.votes.CLASSES` of a confident label; −1 for BAD."""
    return np.select(
        [label == Label.QSO_LZ, label == Label.QSO_HZ, label == Label.BAD], [1, 2, -1], 0
    ).astype(np.intp)


def probability_scores(label: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Metrics:
    """Scores of soft class probabilities; rows with a BAD label or NaN are left out.

    ``nll`` (negative log-likelihood), ``brier`` (Brier score) and ``ece`` (expected calibration
    error) score the probability of a quasar, 1 − P(NOT). Their ``class_`` variants score all three
    classes: ``class_nll`` by the probability of the true class, ``class_brier`` by the squared
    error summed over the classes, and ``class_ece`` by the mean of the calibration errors of the
    classes. All are None if no row is left.

    Args:
        label: :class:`Label`, shape [rows].
        probabilities: probabilities of NOT, QSO_LZ and QSO_HZ, shape [rows, 3]; NaN without a
            prediction.

    Sources: Brier 1950; Guo et al. 2017, arXiv:1706.04599; Kull et al. 2019, arXiv:1910.12656.
    """
    use = (label != Label.BAD) & ~np.isnan(probabilities[:, 0])
    names = ("nll", "brier", "ece")
    if not use.any():
        return dict.fromkeys([*names, *(f"class_{name}" for name in names)])
    p, is_class = probabilities[use], np.eye(len(CLASSES))[true_class(label[use])]
    p_quasar, quasar = 1 - p[:, 0], is_class[:, 1:].sum(axis=1)
    of_true = (p * is_class).sum(axis=1)
    errors = [calibration_error(p[:, k], is_class[:, k]) for k in range(len(CLASSES))]
    return {
        "nll": float(binary_nll(p_quasar, quasar).mean()),
        "brier": float(((p_quasar - quasar) ** 2).mean()),
        "ece": calibration_error(p_quasar, quasar),
        "class_nll": float(-np.log(np.maximum(of_true, SMALLEST)).mean()),
        "class_brier": float(((p - is_class) ** 2).sum(axis=1).mean()),
        "class_ece": float(np.mean(errors)),
    }


def binary_nll(p: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """−ln of the probability of the true outcome, per row; ``truth`` is 1 or 0."""
    p = np.clip(p.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return -np.where(truth > 0, np.log(p), np.log1p(-p))


def calibration_error(p: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Expected calibration error, Σ n_b/n ``|mean p − share|``, over :data:`BINS` bins b."""
    bin_ = _bin(p, BINS)
    difference = np.bincount(bin_, p, BINS) - np.bincount(bin_, truth, BINS)
    return float(np.abs(difference).sum() / len(p))


def reliability_table(
    label: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> pd.DataFrame:
    """Data of a reliability diagram, with fewer bins for small sets.

    Args:
        label, probabilities: see :func:`probability_scores`.

    Returns:
        One row per non-empty bin, for the probability of a quasar (WHAT is ``QSO``) and of either
        redshift class: LOW and HIGH (limits of the bin), SPECTRA, MEAN_P (mean probability), TRUE
        (number of spectra of the class) and SHARE (TRUE / SPECTRA).
    """
    use = (label != Label.BAD) & ~np.isnan(probabilities[:, 0])
    label, probabilities = label[use], probabilities[use]
    which = true_class(label)
    bins = int(np.clip(len(label) // PER_BIN, 5, BINS))
    edges = np.arange(bins + 1) / bins
    parts = []
    for what, p, truth in (
        ("QSO", 1 - probabilities[:, 0], is_quasar(label)),
        *((CLASSES[k], probabilities[:, k], which == k) for k in (1, 2)),
    ):
        bin_ = _bin(p, bins)
        count = np.bincount(bin_, minlength=bins)
        there = count > 0
        n = count[there]
        true = np.bincount(bin_, truth, bins)[there]
        parts.append(
            pd.DataFrame(
                {
                    "WHAT": what,
                    "LOW": edges[:-1][there],
                    "HIGH": edges[1:][there],
                    "SPECTRA": n,
                    "MEAN_P": np.bincount(bin_, p, bins)[there] / n,
                    "TRUE": true.astype(int),
                    "SHARE": true / n,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _bin(p: NDArray[np.floating], bins: int) -> NDArray[np.intp]:
    return np.clip((p * bins).astype(np.intp), 0, bins - 1)
