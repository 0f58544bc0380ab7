"""Out-of-bag report of an ordinary set, and of sets for which most metrics are undefined."""

import numpy as np
import pytest

from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.report import out_of_bag_report
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label
from qnal.tracking import save_figure

pytestmark = pytest.mark.process


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
        "suspected_labels.csv", "reliability.csv", "ensemble_size.csv",
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


def test_redshift_figure_shows_found_and_missed_quasars(report, evaluated):
    table, oob = evaluated
    combined = oob.combined(Thresholds())
    quasar = table["LABEL"].isin([Label.QSO_LZ, Label.QSO_HZ]) & (combined["MEMBERS"] > 0)
    (axes,) = report.figures["oob_redshifts.png"]().axes
    found, missed = axes.collections[:2]
    for points, which in ((found, combined["QUASAR"]), (missed, ~combined["QUASAR"])):
        z = table["Z"][quasar & which]
        dz = (combined["Z"][quasar & which] - z) / (1 + z)
        np.testing.assert_allclose(points.get_offsets(), np.column_stack([z, dz]))


def test_threshold_panel_shows_the_ensemble_and_the_threshold_in_use(report):
    axes = report.figures["completeness_purity.png"]().axes
    table = report.tables["thresholds.csv"]
    of_all = table[table["SOURCE"] == "all"]
    completeness, purity, in_use = axes[0].lines[:3]
    for line, name in ((completeness, "COMPLETENESS"), (purity, "PURITY")):
        np.testing.assert_array_equal(line.get_xdata(), of_all["THRESHOLD"])
        np.testing.assert_array_equal(line.get_ydata(), of_all[name])
    assert list(in_use.get_xdata()) == [0.95, 0.95]


def test_confusion_matrix_shows_counts(report):
    axes = report.figures["confusion.png"]().axes
    table = report.tables["confusion.csv"]
    for panel, (_, counts) in zip(axes, table.groupby("SOURCE", sort=False), strict=True):
        shown = [int(t.get_text().split("\n")[1].replace(",", "")) for t in panel.texts]
        assert shown == counts[["NOT", "QSO_LZ", "QSO_HZ"]].to_numpy().ravel().tolist()


def test_reliability_panels_show_both_kinds(report):
    table = report.tables["reliability.csv"]
    panels = report.figures["reliability.png"]().axes[:3]
    for panel, what in zip(panels, ("QSO", "QSO_LZ", "QSO_HZ"), strict=True):
        points = sum(len(c[0].get_xdata()) for c in panel.containers)
        assert points == (table["WHAT"] == what).sum()


def test_size_panels_show_means(report):
    panels = report.figures["ensemble_size.png"]().axes
    sizes = report.tables["ensemble_size.csv"]
    mean = sizes.groupby("SIZE")["COMPLETENESS"].mean()
    line = panels[0].containers[0][0]
    np.testing.assert_array_equal(line.get_xdata(), mean.index)
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), mean)


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
    ids=["no predictions", "one member", "stars", "quasars", "bad", "three spectra"],
)
def test_undefined_metrics_are_none_and_figures_are_drawn(evaluated, rows, members, tmp_path):
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
        save_figure(draw(), tmp_path / name)  # no error, no warning
