"""Paired comparison of two ensembles on labelled spectra."""

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.evaluation.comparison import ENOUGH, Basis, Verdict, compare_calls, verdict
from qnal.labels.label import Label


def calls(found: np.ndarray, n: int = 200, trained: bool = True) -> pd.DataFrame:
    """Half quasars at z = 1, half stars; ``found`` says which are called quasar."""
    label = np.where(np.arange(n) < n // 2, Label.QSO_LZ, Label.STAR)
    return pd.DataFrame(
        {
            "SOURCE": "desi",
            "TARGETID": np.arange(n) + 2**53,
            "EXPID": 0,
            "ROW": np.arange(n),
            "LABEL": label,
            "Z": np.where(label == Label.QSO_LZ, 1.0, 0.0),
            "QUASAR": found,
            "Z_CALL": 1.001,
            "TRAINED": trained,
        }
    )


N = np.arange(200)


def test_an_ensemble_does_not_differ_from_itself():
    found = compare_calls(calls(N < 80), calls(N < 80), 200, 1)
    assert found.verdict is Verdict.no_difference
    assert (found.metrics[["DIFFERENCE", "LOW", "HIGH"]] == 0).all(axis=None)
    assert len(found.flipped) == 0


def test_differences_are_those_of_the_counts():
    found = compare_calls(calls(N < 70), calls(N < 95), 400, 1)
    rows = found.metrics.set_index("METRIC")
    assert rows.loc["completeness", "CHAMPION"] == pytest.approx(0.70)
    assert rows.loc["completeness", "CANDIDATE"] == pytest.approx(0.95)
    assert rows.loc["purity", "DIFFERENCE"] == 0
    # The variance of a mean of paired differences d of n quasars: (mean(d²) - mean(d)²) / n.
    sigma = np.sqrt((0.25 - 0.25**2) / 100)
    assert rows.loc["completeness", "LOW"] == pytest.approx(0.25 - 1.96 * sigma, abs=0.02)
    assert rows.loc["completeness", "HIGH"] == pytest.approx(0.25 + 1.96 * sigma, abs=0.02)
    assert len(found.flipped) == 25
    assert found.verdict is Verdict.better


def test_a_candidate_is_worse_if_one_decisive_metric_is():
    """More complete, but half of what it calls quasar are stars."""
    assert compare_calls(calls(N < 70), calls(N < 199), 200, 1).verdict is Verdict.worse


def test_held_out_targets_decide_alone_if_there_are_enough():
    inside, outside = calls(N < 100), calls(N[: 2 * ENOUGH] < 50, 2 * ENOUGH, trained=False)
    outside["TARGETID"] += 1000
    found = compare_calls(*[pd.concat([inside, outside])] * 2, 50, 1)
    assert (found.basis, found.spectra) == (Basis.held_out, 2 * ENOUGH)
    few = outside.iloc[: ENOUGH - 1]
    found = compare_calls(*[pd.concat([inside, few])] * 2, 50, 1)
    assert (found.basis, found.spectra) == (Basis.all, 200 + ENOUGH - 1)


def test_control_labels_decide_alone_if_there_are_enough():
    """Also those that the ensembles were trained on; labels of other sources are none."""
    inspected = calls(N < 100).assign(SOURCE="inspected")
    both = pd.concat([inspected, calls(N < 100, trained=False)])
    quasars = inspected["TARGETID"].iloc[:ENOUGH]
    found = compare_calls(both, both, 50, 1, control=[*quasars])
    assert (found.basis, found.spectra) == (Basis.control, ENOUGH)
    found = compare_calls(both, both, 50, 1, control=[*quasars[1:]])
    assert (found.basis, found.spectra) == (Basis.held_out, 200)


def test_undefined_metrics_decide_nothing():
    table = pd.DataFrame({"METRIC": ["purity_z"], "LOW": [np.nan], "HIGH": [np.nan]})
    assert verdict(table) is Verdict.no_difference
