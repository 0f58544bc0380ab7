"""How far probabilities can be believed: likelihood, Brier score, calibration error."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.votes import CLASSES
from qnal.labels.label import Label, is_quasar

SMALLEST = (
    1e-7  # a probability of 0 for what is true counts as this; of 1 for what is not, as 1 less
)
BINS = 15  # of equal width from 0 to 1, as Guo et al. 2017 have them
PER_BIN = 30  # spectra, for which a diagram has another bin
Metrics = dict[str, float | None]


def true_class(label: NDArray[np.integer]) -> NDArray[np.intp]:
    """Index into :data:`~qnal.ensemble.votes.CLASSES` of a confident label; −1 for BAD."""
    return np.select(
        [label == Label.QSO_LZ, label == Label.QSO_HZ, label == Label.BAD], [1, 2, -1], 0
    ).astype(np.intp)


def probability_scores(label: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Metrics:
    """Scores of soft class probabilities; BAD labels and rows without an answer are left out.

    ``nll``, ``brier`` and ``ece`` are of the probability of a quasar, 1 − P(NOT): the mean
    −ln P(what is true); the mean (P − truth)²; and Σ n_b/n ``|mean P − share of quasars|`` over
    :data:`BINS` bins b of equal width. ``class_nll`` is the mean −ln of the probability of the
    true of the three classes, ``class_brier`` the mean of the squared error summed over the
    classes, ``class_ece`` the mean over the classes of their ``ece``. With nothing to judge they
    are None.

    Args:
        label: :class:`Label`, shape [rows].
        probabilities: of NOT, QSO_LZ, QSO_HZ, shape [rows, 3]; NaN in rows without an answer.

    Source: Brier 1950; Guo et al. 2017, arXiv:1706.04599; Kull et al. 2019, arXiv:1910.12656.
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
    """−ln P(what is true) of each row; ``truth`` is 1 or 0."""
    p = np.clip(p.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return -np.where(truth > 0, np.log(p), np.log1p(-p))


def calibration_error(p: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Σ n_b/n ``|mean P − share of true|`` over :data:`BINS` bins of equal width."""
    bin_ = _bin(p, BINS)
    difference = np.bincount(bin_, p, BINS) - np.bincount(bin_, truth, BINS)
    return float(np.abs(difference).sum() / len(p))


def reliability_table(
    label: NDArray[np.integer], probabilities: NDArray[np.floating]
) -> pd.DataFrame:
    """What a reliability diagram shows, in fewer bins where there are few spectra.

    Returns:
        A row a bin that is not empty, of the probability of a quasar (WHAT is ``QSO``) and of its
        two classes: LOW, HIGH, SPECTRA, MEAN_P, TRUE (how many are of the class), SHARE.
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
