"""Scores of probabilities: by hand, and compared with scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from qnal.ensemble.evaluation.reliability import (
    BINS,
    calibration_error,
    probability_scores,
    reliability_table,
    true_class,
)
from qnal.labels.label import Label

LABELS = np.array([Label.STAR, Label.GALAXY, Label.QSO_LZ, Label.QSO_HZ, Label.BAD])


def drawn(rows, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, rows), rng.dirichlet([0.6, 0.5, 0.4], rows)


def test_classes():
    assert true_class(LABELS).tolist() == [0, 0, 1, 2, -1]


def test_scores_by_hand():
    # P(quasar): 0.1, 0.5, 0.9, 0.9; the last label is BAD.
    p = np.array([[0.9, 0.1, 0], [0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.1, 0.9, 0], [0, 1, 0]])
    scores = probability_scores(LABELS, p)
    assert scores["nll"] == pytest.approx(-np.log([0.9, 0.5, 0.9, 0.9]).mean())
    assert scores["brier"] == pytest.approx((0.01 + 0.25 + 0.01 + 0.01) / 4)
    # Bins of 0.1, of 0.5 and of 0.9, which holds two.
    assert scores["ece"] == pytest.approx((0.1 + 0.5 + 0.2) / 4)
    # The last quasar's class has a probability of 0, which counts as 1e-7.
    assert scores["class_nll"] == pytest.approx(-np.log([0.9, 0.5, 0.8, 1e-7]).mean())
    squares = (0.02, 0.25 + 2 * 0.0625, 0.01 + 0.04 + 0.01, 0.01 + 0.81 + 1)
    assert scores["class_brier"] == pytest.approx(sum(squares) / 4)
    by_class = (0.1 + 0.5 + 0.2, 0.1 + 0.25 + 0.2 + 0.9, 0.25 + abs(0.1 - 0) + 1)
    assert scores["class_ece"] == pytest.approx(sum(by_class) / 4 / 3)


def test_scores_equal_those_of_scikit_learn():
    label, p = drawn(500)
    scores, use = probability_scores(label, p), label != Label.BAD
    which, p = true_class(label[use]), p[use]
    assert scores["nll"] == pytest.approx(log_loss(which > 0, 1 - p[:, 0]))
    assert scores["brier"] == pytest.approx(brier_score_loss(which > 0, 1 - p[:, 0]))
    assert scores["class_nll"] == pytest.approx(log_loss(which, p))
    assert scores["class_brier"] == pytest.approx(
        brier_score_loss(which, p, scale_by_half=False, labels=[0, 1, 2])
    )


def test_bins_equal_those_of_scikit_learn():
    from sklearn.calibration import calibration_curve

    label, p = drawn(3000)
    table = reliability_table(label, p)
    use = label != Label.BAD
    share, mean = calibration_curve(true_class(label[use]) > 0, 1 - p[use, 0], n_bins=BINS)
    of_quasars = table[table["WHAT"] == "QSO"]
    np.testing.assert_allclose(of_quasars["SHARE"], share)
    np.testing.assert_allclose(of_quasars["MEAN_P"], mean)
    difference = (of_quasars["SHARE"] - of_quasars["MEAN_P"]).abs() * of_quasars["SPECTRA"]
    error = probability_scores(label, p)["ece"]
    assert difference.sum() / use.sum() == pytest.approx(error)
    assert (table.groupby("WHAT")["SPECTRA"].sum() == use.sum()).all()


def test_calibration_error_of_honest_and_of_wrong_probabilities():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=200_000)
    truth = (rng.uniform(size=len(p)) < p).astype(float)
    assert calibration_error(p, truth) < 0.005
    assert calibration_error(1 - p, truth) == pytest.approx(0.5, abs=0.01)  # mean |1 − 2p|
    assert calibration_error(np.ones(4), np.zeros(4)) == 1


def test_scores_of_nothing_are_none():
    nothing = probability_scores(LABELS[-1:], np.array([[0.2, 0.3, 0.5]]))
    assert set(nothing.values()) == {None}
    assert set(probability_scores(LABELS, np.full((5, 3), np.nan)).values()) == {None}
    assert len(reliability_table(LABELS, np.full((5, 3), np.nan))) == 0
