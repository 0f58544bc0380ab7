import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.evaluation.metrics import (
    bal_metrics,
    classification_metrics,
    evaluate,
    member_metrics,
)
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label

LABELS = np.array(
    [Label.QSO_LZ, Label.QSO_HZ, Label.QSO_HZ, Label.QSO_LZ, Label.STAR, Label.GALAXY, Label.BAD]
)
Z = np.array([1.0, 3.0, 2.5, 0.5, 0.0, 0.3, 2.0])


def test_classification_by_hand():
    # Predicted quasar: three of four quasars and one star; the BAD row is left out.
    quasar = np.array([True, True, True, False, True, False, True])
    # Δz/(1+z): 0.02, −0.01, 0.1 of the quasars found
    z = np.array([1.04, 2.96, 2.85, 0.5, 1.0, 0.3, 0.0])
    metrics = classification_metrics(LABELS, Z, quasar, z)
    assert metrics == pytest.approx(
        {
            "completeness": 3 / 4,
            "purity": 3 / 4,
            "completeness_z": 2 / 4,
            "purity_z": 2 / 4,
            "z_bias": 0.02,
            "z_nmad": 1.482602 * 0.03,  # deviations from 0.02: 0, 0.03, 0.08
            "z_outliers": 1 / 3,
        }
    )


def test_limit_of_a_correct_redshift():
    """|Δz| < 0.05(1+z)."""
    one = np.array([Label.QSO_HZ])
    for z, good in ((3.19, 1), (3.21, 0)):
        metrics = classification_metrics(one, np.array([3.0]), np.array([True]), np.array([z]))
        assert metrics["completeness_z"] == metrics["purity_z"] == good


def test_undefined_is_none():
    nothing = classification_metrics(LABELS, Z, np.zeros(7, bool), Z)
    assert nothing["completeness"] == 0 and nothing["completeness_z"] == 0
    for name in ("purity", "purity_z", "z_bias", "z_nmad", "z_outliers"):
        assert nothing[name] is None
    none = np.zeros(0, int)
    empty = classification_metrics(none, none.astype(float), none.astype(bool), none.astype(float))
    assert set(empty.values()) == {None}
    stars = classification_metrics(
        np.array([Label.STAR]), np.zeros(1), np.array([True]), np.zeros(1)
    )
    assert stars["completeness"] is None and stars["purity"] == 0


def test_metrics_of_all_and_of_each_source():
    table = pd.DataFrame(
        {
            "SOURCE": ["boss", "boss", "desi", "desi"],
            "LABEL": [Label.QSO_HZ, Label.STAR, Label.QSO_HZ, Label.QSO_LZ],
            "Z": [3.0, 0.0, 2.5, 1.0],
        }
    )
    combined = pd.DataFrame(
        {"MEMBERS": [2, 1, 3, 0], "QUASAR": [True, True, False, False], "Z": [3.0, 1, 2, np.nan]}
    )
    metrics = evaluate(table, combined)
    assert metrics["spectra"] == 3 and metrics["without"] == 1
    assert metrics["completeness"] == 0.5 and metrics["purity"] == 0.5
    assert metrics["boss_completeness"] == 1 and metrics["boss_purity"] == 0.5
    assert metrics["desi_completeness"] == 0 and metrics["desi_purity"] is None


def test_probabilities_are_scored_with_their_prefix():
    table = pd.DataFrame({"SOURCE": ["boss"] * 2, "LABEL": [3, 0], "Z": [3.0, 0.0]})
    combined = pd.DataFrame({"MEMBERS": [1, 1], "QUASAR": [True, False], "Z": [3.0, 1.0]})
    p = np.array([[0.2, 0, 0.8], [0.6, 0.4, 0]])
    metrics = evaluate(table, combined, {"": p, "calibrated_": np.full((2, 3), np.nan)})
    assert metrics["nll"] == metrics["boss_nll"] == pytest.approx(-np.log([0.8, 0.6]).mean())
    assert metrics["boss_brier"] == pytest.approx((0.04 + 0.16) / 2)
    assert metrics["calibrated_nll"] is None and "bal_recall" not in metrics


def test_bal_by_hand():
    """Only confident quasars with a known BAL label and a prediction count."""
    label = np.array([Label.QSO_HZ] * 5 + [Label.STAR, Label.BAD, Label.QSO_HZ])
    bal = np.array([1, 1, 1, -1, 0, -1, 1, 1])
    c_bal = np.array([0.9, 0.6, 0.2, 0.8, 0.9, 0.9, 0.9, np.nan])
    assert bal_metrics(label, bal, c_bal) == pytest.approx(
        {"bal_recall": 2 / 3, "bal_purity": 2 / 3}
    )
    none = bal_metrics(label, bal, np.full(8, np.nan))
    assert none == {"bal_recall": None, "bal_purity": None}


def test_one_member():
    labels = pd.DataFrame({"LABEL": LABELS, "Z": Z, "BAL": [1, -1, 0, 1, -1, -1, 0]})
    deciding = np.array([0.99, 0.97, 0.2, 0.96, 0.1, 0.98, 0.5], np.float32)
    oob = pd.DataFrame({"INDEX": np.arange(7) + 40, "DECIDING": deciding, "Z_BEST": Z})
    metrics = member_metrics(labels, oob.assign(BAL=[0.7, 0.8, 0.9, 0.1, 0, 0, 0]), Thresholds())
    assert metrics["completeness"] == 3 / 4 and metrics["purity"] == 3 / 4
    p = [0.99, 0.97, 0.2, 0.96, 0.9, 0.02]
    assert metrics["nll"] == pytest.approx(-np.log(p).mean(), rel=1e-6)
    assert metrics["bal_recall"] == 1 / 2 and metrics["bal_purity"] == 1 / 2
    assert member_metrics(labels, oob, Thresholds())["bal_recall"] is None
    nothing = member_metrics(labels.iloc[:0], oob.iloc[:0], Thresholds())
    assert set(nothing.values()) == {None}
