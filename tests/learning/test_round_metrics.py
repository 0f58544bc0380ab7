"""Metrics of a round on tables made by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from qnal.labels.label import Label
from qnal.learning.round_metrics import (
    PRIMARY,
    disagreement,
    flipped,
    held_out_metrics,
    label_counts,
)


def tables(p: np.ndarray, label: np.ndarray, dz: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth and scores; redshifts are wrong by ``dz (1 + z)`` in every other row."""
    rows = len(p)
    z = np.where(label == Label.QSO_LZ, 1.5, np.where(label == Label.QSO_HZ, 2.5, 0.0))
    truth = pd.DataFrame({"SNR": np.arange(rows, dtype=np.float32), "LABEL": label, "Z": z})
    z_predicted = z + (1 + z) * dz * (np.arange(rows) % 2)
    high = z_predicted >= 2.1
    scores = pd.DataFrame(
        {
            "P_NOT": 1 - p,
            "P_QSO_LZ": np.where(high, 0, p),
            "P_QSO_HZ": np.where(high, p, 0),
            "C_NOT": (p < 0.5).astype(float),
            "Z": z_predicted,
            "VOTE_ENTROPY": np.where(p < 0.9, 0.3, 0),
            "MUTUAL_INFO": 0.1,
        }
    )
    return truth.assign(BAL=0), scores


def test_the_primary_metric_leaves_out_bad_labels_and_counts_all_else():
    label = np.array([2, 3, 4, 2, 0, 3, 1])
    p = np.array([0.9, 0.8, 0.75, 0.7, 0.6, 0.5, 0.1])
    truth, scores = tables(p, label, dz=0.2)
    metrics = held_out_metrics(truth, scores)
    assert metrics[PRIMARY] == 3 / 4  # the spectrum of BAD quality at 0.75 does not count
    assert metrics["completeness_at_purity_95"] == 3 / 4
    assert metrics[f"{PRIMARY}_z"] == 1 / 4  # rows 1 and 3 have a wrong redshift
    good = label != Label.BAD
    expected = average_precision_score(np.isin(label[good], [2, 3]), p[good])
    assert metrics["average_precision"] == pytest.approx(expected)
    assert metrics["z_outliers"] == 3 / 4  # of the four that are called quasar
    assert metrics["completeness_99_z_1_2"] == 1
    assert metrics["completeness_99_z_2_3"] == 1 / 2
    assert metrics["completeness_99_z_from_3"] is None
    assert metrics["completeness_99_snr_high"] == 0.5  # rows 3 and 5
    assert metrics["bal_recall"] is None


def test_the_calibration_error_of_a_calibrated_ensemble_is_what_is_expected():
    rng = np.random.default_rng(1)
    p = rng.beta(0.5, 0.5, 2000)
    found, expected = [], []
    for k in range(30):
        label = np.where(rng.uniform(size=2000) < p, Label.QSO_LZ, Label.STAR)
        metrics = held_out_metrics(*tables(p, label), seed=k)
        found.append(metrics["ece"])
        expected.append(metrics["ece_if_calibrated"])
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.05)
    assert np.std(expected) < 0.05 * np.mean(expected)


def test_labels_and_disagreement():
    assert label_counts(np.array([0, 0, 2, 4])) == {
        "labelled_STAR": 2,
        "labelled_GALAXY": 0,
        "labelled_QSO_LZ": 1,
        "labelled_QSO_HZ": 0,
        "labelled_BAD": 1,
    }
    _, scores = tables(np.array([0.5, 0.6, 0.95, 0.99]), np.array([2, 2, 2, 2]))
    assert disagreement(scores) == {
        "pool_disputed": 0.5,
        "pool_vote_entropy": pytest.approx(0.15),
        "pool_mutual_info": pytest.approx(0.1),
    }
    assert disagreement(scores[:0])["pool_disputed"] is None


def test_flipped_votes():
    before = pd.DataFrame({"INDEX": [1, 2, 3, 5], "C_NOT": [0.25, 0.5, 0.75, 1.0]})
    after = pd.DataFrame({"INDEX": [5, 3, 1], "C_NOT": [0.0, 0.5, 0.49]})
    assert flipped(before, after) == 1 / 3
    assert flipped(before[:1], after[:1]) is None
