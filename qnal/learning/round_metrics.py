"""Metrics of a round: on the held-out targets, of the labels, and of the pool that is left."""

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.metrics import GOOD_DZ, bal_metrics, classification_metrics
from qnal.ensemble.evaluation.reliability import Metrics, calibration_error, probability_scores
from qnal.labels.label import Label, is_quasar
from qnal.learning.ranking import completeness_at_purity, confident_quasars

PURITIES = {"99": 0.99, "95": 0.95}
PRIMARY = "completeness_at_purity_99"
Z_EDGES = (0.0, 1.0, 2.0, 3.0, np.inf)
SNR_PARTS = ("low", "middle", "high")  # thirds of the held-out quasars
DRAWS = 200  # of the outcomes that a calibrated ensemble would predict


def held_out_metrics(truth: pd.DataFrame, scores: pd.DataFrame, seed: int = 0) -> Metrics:
    """Metrics of the predictions for held-out spectra; undefined ones are None.

    Spectra whose label is BAD (quality below 2.5) are left out. ``completeness_at_purity_99`` is
    the share of the quasars in the longest prefix of the spectra, ranked by 1 − P_NOT, of which at
    least 99 % are quasars; for ``…_z`` the redshifts of these quasars must be right, too
    (``|Δz| < 0.05(1+z)``). ``…_95`` is the same with 95 %. ``completeness_99_snr_…`` (thirds of the
    quasars by signal-to-noise) and ``completeness_99_z_…`` (by true redshift) divide the first of
    them, with one ranking for all. ``ece_if_calibrated`` is the mean calibration error if each
    spectrum were a quasar with exactly the probability that the ensemble gives.

    Args:
        truth: SNR, LABEL, Z and BAL of each spectrum.
        scores: score columns of these spectra.
        seed: seed of the outcomes for ``ece_if_calibrated``.
    """
    from sklearn.metrics import average_precision_score

    use = (truth["LABEL"] != Label.BAD).to_numpy()
    truth, scores = truth[use], scores[use]
    label, z = truth["LABEL"].to_numpy(), truth["Z"].to_numpy().astype(np.float64)
    quasar = is_quasar(label)
    p = scores[["P_NOT", "P_QSO_LZ", "P_QSO_HZ"]].to_numpy().astype(np.float64)
    z_predicted = scores["Z"].to_numpy().astype(np.float64)
    right_z = quasar & (np.abs(z_predicted - z) < GOOD_DZ * (1 + z))
    metrics: Metrics = {}
    for name, purity in PURITIES.items():
        chosen = confident_quasars(1 - p[:, 0], quasar, purity)
        metrics[f"completeness_at_purity_{name}"] = completeness_at_purity(
            1 - p[:, 0], quasar, purity
        )
        metrics[f"completeness_at_purity_{name}_z"] = _share(chosen & right_z, quasar)
    both = quasar.any() and not quasar.all()
    metrics["average_precision"] = (
        float(average_precision_score(quasar, 1 - p[:, 0])) if both else None
    )
    metrics |= classification_metrics(label, z, scores["C_NOT"].to_numpy() < 0.5, z_predicted)
    metrics |= probability_scores(label, p)
    metrics["ece_if_calibrated"] = _calibrated_error(1 - p[:, 0], seed) if len(p) else None
    c_bal = scores["C_BAL"].to_numpy(np.float64) if "C_BAL" in scores else np.full(len(p), np.nan)
    metrics |= bal_metrics(label, truth["BAL"].to_numpy(), c_bal)
    chosen = confident_quasars(1 - p[:, 0], quasar, PURITIES["99"])
    for name, part in _parts(truth["SNR"].to_numpy(), z, quasar).items():
        metrics[f"completeness_99_{name}"] = _share(chosen & part, part)
    return metrics


def label_counts(label: NDArray[np.integer]) -> Metrics:
    """Number of labelled spectra of each class, as ``labelled_STAR`` and so on."""
    return {f"labelled_{kind.name}": int((label == kind).sum()) for kind in Label}


def disagreement(scores: pd.DataFrame) -> Metrics:
    """Disagreement of the members about spectra that were not inspected.

    ``pool_disputed`` is the share of the spectra on which the votes differ; the other two are the
    means of VOTE_ENTROPY and MUTUAL_INFO, in nats. None without spectra.
    """
    if not len(scores):
        return dict.fromkeys(("pool_disputed", "pool_vote_entropy", "pool_mutual_info"))
    return {
        "pool_disputed": float((scores["VOTE_ENTROPY"] > 0).mean()),
        "pool_vote_entropy": float(scores["VOTE_ENTROPY"].mean()),
        "pool_mutual_info": float(scores["MUTUAL_INFO"].mean()),
    }


def flipped(before: pd.DataFrame, after: pd.DataFrame) -> float | None:
    """Share of the spectra, scored in both of two rounds, whose majority vote changed.

    Args:
        before, after: INDEX and C_NOT of the spectra that were not inspected.
    """
    both = before[["INDEX", "C_NOT"]].merge(after[["INDEX", "C_NOT"]], on="INDEX")
    if not len(both):
        return None
    return float(((both["C_NOT_x"] < 0.5) != (both["C_NOT_y"] < 0.5)).mean())


def _calibrated_error(p: NDArray[np.float64], seed: int) -> float:
    rng = np.random.default_rng(seed)
    outcomes = ((rng.uniform(size=len(p)) < p).astype(float) for _ in range(DRAWS))
    return float(np.mean([calibration_error(p, outcome) for outcome in outcomes]))


def _parts(
    snr: NDArray[np.floating], z: NDArray[np.floating], quasar: NDArray[np.bool_]
) -> dict[str, NDArray[np.bool_]]:
    """Quasars by thirds of signal-to-noise and by redshift."""
    parts = {}
    known = quasar & np.isfinite(snr)
    limits = np.quantile(snr[known], [1 / 3, 2 / 3]) if known.any() else [0.0, 0.0]
    third = np.searchsorted(limits, snr, side="right")
    for k, name in enumerate(SNR_PARTS):
        parts[f"snr_{name}"] = known & (third == k)
    for low, high in pairwise(Z_EDGES):
        name = f"z_{low:g}_{high:g}" if np.isfinite(high) else f"z_from_{low:g}"
        parts[name] = quasar & (z >= low) & (z < high)
    return parts


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float | None:
    return float((part & whole).sum() / whole.sum()) if whole.any() else None
