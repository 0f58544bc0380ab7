"""The report as a whole: of an ordinary set, and of sets that leave most of it undefined."""

import numpy as np
import pytest

from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.report import out_of_bag_report
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label
from qnal.tracking import save_figure


@pytest.fixture(scope="module")
def report(evaluated):
    return out_of_bag_report(*evaluated, Thresholds())


def test_numbers_before_and_after_of_all_and_of_each_source(report):
    metrics = report.metrics
    for prefix in ("", "boss_", "desi_"):
        for name in ("nll", "brier", "ece", "class_nll", "class_brier", "class_ece"):
            assert metrics[f"{prefix}{name}"] > 0
            assert metrics[f"{prefix}calibrated_{name}"] > 0
        assert 0 <= metrics[f"{prefix}bal_recall"] <= 1
    # The members are over-confident.
    assert metrics["calibrated"] == 1
    assert metrics["calibrated_nll"] < metrics["nll"]
    assert metrics["calibrated_ece"] < metrics["ece"]
    assert report.fit.before["nll"] == pytest.approx(metrics["nll"])
    assert report.fit.after["nll"] == pytest.approx(metrics["calibrated_nll"])
    assert metrics["spectra"] + metrics["without"] == len(report.tables["oob_predictions.csv"])


def test_tables(report, evaluated):
    assert {
        "oob_predictions.csv", "thresholds.csv", "by_snr.csv", "by_redshift.csv", "confusion.csv",
        "reliability.csv", "ensemble_size.csv",
    } == set(report.tables)  # fmt: skip
    counts = report.tables["confusion.csv"]
    of_all = counts[counts["SOURCE"] == "all"]
    assert of_all[["NOT", "QSO_LZ", "QSO_HZ"]].to_numpy().sum() == report.metrics["spectra"]
    found = of_all.set_index("LABEL").loc[["QSO_LZ", "QSO_HZ"], ["QSO_LZ", "QSO_HZ", "NOT"]]
    share = found[["QSO_LZ", "QSO_HZ"]].to_numpy().sum() / found.to_numpy().sum()
    assert share == pytest.approx(report.metrics["completeness"])
    assert set(report.tables["reliability.csv"]["CALIBRATED"]) == {False, True}
    predictions = report.tables["oob_predictions.csv"]
    soft = predictions[[f"OOB_P_{c}" for c in ("NOT", "QSO_LZ", "QSO_HZ")]].sum(axis=1)
    known = (predictions["LABEL"] != Label.BAD) & (predictions["OOB_MEMBERS"] > 0)
    np.testing.assert_allclose(soft[known], 1)
    assert report.by_size["completeness"][12] == pytest.approx(report.metrics["completeness"])


def test_figures_are_drawn(report, tmp_path):
    for name, draw in report.figures.items():
        figure = draw()
        for axes in figure.axes:
            assert axes.get_xlabel() or axes.get_ylabel() or axes.get_title(loc="left")
        save_figure(figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("rows", "members"),
    [
        (lambda t: t["LABEL"] >= 0, 0),
        (lambda t: t["LABEL"] >= 0, 1),
        (lambda t: t["LABEL"] == Label.STAR, 3),
        (lambda t: t["LABEL"] == Label.QSO_HZ, 3),
        (lambda t: t["LABEL"] == Label.BAD, 3),
        (lambda t: t.index < 3, 3),
    ],
    ids=["nobody answers", "one member", "stars", "quasars", "bad", "three spectra"],
)
def test_undefined_is_none_and_is_drawn_as_nothing(evaluated, rows, members, tmp_path):
    table, oob = evaluated
    use = np.asarray(rows(table))
    few = OutOfBag(*(a[use][:, : max(members, 1)] for a in (oob.deciding, oob.z_best, oob.bal)))
    if not members:
        few = OutOfBag(*(np.full_like(a, np.nan) for a in (few.deciding, few.z_best, few.bal)))
    report = out_of_bag_report(table[use].reset_index(drop=True), few, Thresholds())
    assert all(v is None or np.isfinite(v) for v in report.metrics.values())
    assert all(np.isfinite(v) for series in report.by_size.values() for v in series.values())
    if members != 1:
        assert report.metrics["calibrated"] == 0 and report.fit.why_not
    for name, draw in report.figures.items():
        save_figure(draw(), tmp_path / name)
