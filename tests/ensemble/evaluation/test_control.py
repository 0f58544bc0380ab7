"""Control labels: weights, intervals, and what they can prove."""

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.evaluation.control import (
    combined_weights,
    control_report,
    control_sample,
    controls_needed,
    errorless_needed,
    lower_limit,
)
from qnal.ensemble.evaluation.report import out_of_bag_report
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label


def design(*rows: tuple[int, bool, int | None]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["ROUND", "CONTROL", "POPULATION"])
    table["POPULATION"] = table["POPULATION"].astype("Int64")
    return table.rename_axis("TARGETID")


def test_numbers_of_the_issue():
    assert errorless_needed() == 299  # 0.99^299 < 0.05 < 0.99^298
    assert 0.99**299 < 0.05 < 0.99**298
    assert controls_needed(0.1) == 2990
    assert controls_needed(0.0) is None
    # Clopper-Pearson without failures is α^(1/n); of 8 of 10, R's binom.test gives 0.4930987.
    assert lower_limit(299, 299) == pytest.approx(0.05 ** (1 / 299))
    assert lower_limit(8, 10) == pytest.approx(0.4930987, abs=1e-6)
    assert lower_limit(0, 10) == 0 and lower_limit(0, 0) is None


def test_weights_of_one_round_are_population_over_controls():
    weights = combined_weights(design((1, True, 900), (1, True, 900), (1, False, None)))
    assert weights.tolist() == [450, 450, 0]


def test_weights_combine_rounds_and_add_up_to_the_first_pool():
    first = [(1, True, 1000)] * 2 + [(1, False, None)] * 8
    second = [(2, True, 990)] * 3 + [(2, False, None)] * 5
    weights = combined_weights(design(*first, *second))
    assert weights.iloc[0] == pytest.approx(1000 / 5 + 3 / 5)
    assert weights.iloc[2] == pytest.approx(3 / 5)
    assert weights.iloc[10] == pytest.approx(990 / 5)
    assert weights.iloc[13] == 0
    assert weights.sum() == pytest.approx(1000)


def test_combined_weights_are_unbiased():
    # The pool: 60 targets; the ten "most uncertain" are picked in round 1. The value is 1 for a
    # quarter of the pool, and for most of the picks.
    rng = np.random.default_rng(3)
    value = np.zeros(60)
    value[:8] = value[20:27] = 1
    rows = [(1, True, 60)] * 6 + [(1, False, None)] * 10 + [(2, True, 44)] * 4
    weights = combined_weights(design(*rows)).to_numpy()
    estimates = []
    for _ in range(4000):
        control_1 = rng.choice(60, 6, replace=False)
        picks = [t for t in range(60) if t not in control_1][:10]
        left = np.setdiff1d(np.arange(60), [*control_1, *picks])
        control_2 = rng.choice(left, 4, replace=False)
        estimates.append(weights @ value[[*control_1, *picks, *control_2]])
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - value.sum()) < 4 * error


def test_unknown_populations_give_no_weights():
    assert combined_weights(design((1, True, None))) is None
    assert combined_weights(design((1, False, None))) is None


def sample_of(label, quasar, members=5, control=None, population=1000):
    n = len(label)
    targets = pd.DataFrame({"SOURCE": "inspected", "TARGETID": np.arange(n), "LABEL": label})
    combined = pd.DataFrame({"MEMBERS": members, "QUASAR": quasar}, index=range(n))
    how = [(1, c, population if c else None) for c in (control or [True] * n)]
    return control_sample(targets, combined, design(*how))


def test_metrics_by_hand():
    label = [Label.QSO_HZ] * 4 + [Label.STAR] * 4 + [Label.BAD] * 2
    quasar = [True, True, True, False, True, False, False, False, True, False]
    p = np.full((10, 3), 1 / 3)
    report = control_report(sample_of(label, quasar), p)
    metrics = report.metrics
    assert metrics["control_labels"] == 10 and metrics["control_bad"] == 2
    assert metrics["control_completeness"] == metrics["control_purity"] == pytest.approx(0.75)
    assert metrics["control_purity_limit"] == pytest.approx(0.2486, abs=1e-4)  # binom.test(3, 4)
    assert metrics["control_purity_low"] < 0.75 < metrics["control_purity_high"]
    assert metrics["control_called_share"] == pytest.approx(0.5)
    assert metrics["control_needed"] == 598
    assert metrics["control_population"] == pytest.approx(1000)
    assert "8 control labels measure a share of 50 % to ±18 " in report.sentences[0]
    assert "299 control labels called quasars" in report.sentences[1]
    assert "takes 598 in all" in report.sentences[1]


def test_fifty_controls_give_seven_points():
    label = [Label.QSO_HZ] * 25 + [Label.STAR] * 25
    report = control_report(sample_of(label, [True] * 25 + [False] * 25), np.full((50, 3), 1 / 3))
    assert "50 control labels measure a share of 50 % to ±7 " in report.sentences[0]


def test_without_called_quasars_or_predictions_metrics_are_undefined():
    report = control_report(sample_of([Label.STAR] * 3, [False] * 3), np.full((3, 3), 1 / 3))
    assert report.metrics["control_purity"] is None
    assert report.metrics["control_needed"] is None
    none = control_report(sample_of([Label.STAR], [False], members=0), np.full((1, 3), np.nan))
    assert "nothing is known" in none.sentences[0]
    assert sample_of([Label.STAR] * 2, [False] * 2, control=[False, False]) is None


def test_a_target_counts_once_with_a_spectrum_that_has_a_prediction():
    targets = pd.DataFrame(
        {"SOURCE": ["desi", *["inspected"] * 3], "TARGETID": [7, 7, 7, 8], "LABEL": 3}
    )
    combined = pd.DataFrame({"MEMBERS": [3, 0, 4, 4], "QUASAR": True})
    sample = control_sample(targets, combined, design((1, True, 9), (1, True, 9)).set_axis([7, 8]))
    assert sample.table["INDEX"].tolist() == [2, 3]
    assert sample.table["WEIGHT"].tolist() == [4.5, 4.5]


def test_thresholds_table_gains_target_classes_and_control_columns(evaluated):
    table, oob = evaluated
    table = table.assign(DESI_TARGET=np.where(table["TARGETID"] % 2, 1 << 2, 0))
    plain = out_of_bag_report(table, oob, Thresholds()).tables["thresholds.csv"]
    assert set(plain["TARGET_CLASS"]) == {"all", "QSO"}
    assert not any(name.startswith("CONTROL") for name in plain)
    table["SOURCE"] = table["SOURCE"].replace("desi", "inspected")
    targets = table.loc[table["SOURCE"] == "inspected", "TARGETID"].unique()
    how = design(*[(1, bool(k % 2), 5000 if k % 2 else None) for k in range(len(targets))])
    report = out_of_bag_report(table, oob, Thresholds(), how.set_axis(targets))
    thresholds = report.tables["thresholds.csv"]
    of_all = thresholds[(thresholds["SOURCE"] == "all") & (thresholds["TARGET_CLASS"] == "all")]
    in_use = of_all[of_all["THRESHOLD"] == 0.95].iloc[0]
    assert in_use["CONTROL_PURITY"] == pytest.approx(report.control.metrics["control_purity"])
    assert in_use["CONTROL_CALLED"] == report.control.metrics["control_called"]
    assert in_use["CONTROL_PURITY_LOW"] <= in_use["CONTROL_PURITY"] <= in_use["CONTROL_PURITY_HIGH"]
    assert (of_all["CONTROL_CALLED"].diff().dropna() <= 0).all()
    assert len(of_all) == len(plain[(plain["SOURCE"] == "all") & (plain["TARGET_CLASS"] == "all")])
    assert thresholds.loc[thresholds["SOURCE"] == "boss", "CONTROL_PURITY"].isna().all()
    assert report.tables["control.csv"]["CONTROL"].sum() == len(targets) // 2
