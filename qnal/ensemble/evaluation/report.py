"""Out-of-bag report of an ensemble: metrics, calibration, tables and figures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.ensemble.evaluation import report_figures
from qnal.ensemble.evaluation.calibration_fit import CalibrationFit, fit_calibration
from qnal.ensemble.evaluation.control import (
    ControlReport,
    ControlSample,
    control_report,
    control_sample,
    control_thresholds,
)
from qnal.ensemble.evaluation.curves import ALL, by_redshift, by_snr, by_threshold, confusion
from qnal.ensemble.evaluation.ensemble_size import by_ensemble_size
from qnal.ensemble.evaluation.figures import out_of_bag_redshifts
from qnal.ensemble.evaluation.metrics import evaluate
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics, reliability_table
from qnal.ensemble.evaluation.suspected_labels import suspected_labels
from qnal.ensemble.evaluation.target_classes import target_classes
from qnal.ensemble.votes import CLASSES, Thresholds


@dataclass(frozen=True)
class Report:
    """How good an ensemble is on labelled spectra that are out of bag.

    Attributes:
        metrics: metrics by name; None where undefined.
        by_size: means of metrics over random ensembles, by name and number of members.
        tables: tables by file name.
        figures: functions that draw the figures, by file name.
        fit: the fit of the calibration.
        control: metrics on control labels; None without control labels.
    """

    metrics: Metrics
    by_size: dict[str, dict[int, float]]
    tables: dict[str, pd.DataFrame]
    figures: dict[str, Callable[[], Figure]]
    fit: CalibrationFit
    control: ControlReport | None = None


def out_of_bag_report(
    training_set: pd.DataFrame,
    oob: OutOfBag,
    thresholds: Thresholds,
    design: pd.DataFrame | None = None,
) -> Report:
    """Evaluate an ensemble by its out-of-bag predictions.

    Args:
        training_set: SOURCE, TARGETID, SNR, LABEL, Z and BAL of each labelled spectrum.
        oob: out-of-bag predictions for these spectra.
        thresholds: when a member votes quasar.
        design: how the targets of the label table were picked
            (:func:`~qnal.labels.label_table.sampling_design`); None without a label table.
    """
    combined = oob.combined(thresholds)
    uncalibrated = oob.probabilities(thresholds)
    fit = fit_calibration(training_set, oob, thresholds)
    cross_fitted = not np.isnan(fit.cross_fitted).all()
    kinds = {"": uncalibrated} | ({"calibrated_": fit.cross_fitted} if cross_fitted else {})
    metrics = evaluate(training_set, combined, kinds)
    metrics["calibrated"] = int(fit.calibration is not None)
    label = training_set["LABEL"].to_numpy()
    reliability = pd.concat(
        [reliability_table(label, p).assign(CALIBRATED=kind != "") for kind, p in kinds.items()],
        ignore_index=True,
    )
    final = fit.cross_fitted if fit.calibration else uncalibrated
    soft = {f"OOB_P_{name}": final[:, k] for k, name in enumerate(CLASSES)}
    sample = None if design is None else control_sample(training_set, combined, design)
    control = None if sample is None else control_report(sample, final)
    by_confidence = _thresholds_table(training_set, oob, thresholds, sample)
    tables = {
        "oob_predictions.csv": training_set.join(combined.add_prefix("OOB_")).assign(**soft),
        "thresholds.csv": by_confidence,
        "suspected_labels.csv": suspected_labels(training_set, final),
        "by_snr.csv": by_snr(training_set, combined),
        "by_redshift.csv": by_redshift(training_set, combined),
        "confusion.csv": confusion(training_set, combined),
        "reliability.csv": reliability,
        "ensemble_size.csv": by_ensemble_size(label, oob, thresholds),
    }
    if sample is not None:
        tables["control.csv"] = sample.table.drop(columns="INDEX")
    scores = {
        when: {k: s[k] for k in ("nll", "ece")}
        for when, s in (("before", fit.before), ("after", fit.after))
    }
    figures: dict[str, Callable[[], Figure]] = {
        "oob_redshifts.png": lambda: out_of_bag_redshifts(training_set, combined),
        "completeness_purity.png": lambda: report_figures.completeness_purity(
            by_confidence[by_confidence["TARGET_CLASS"] == ALL],
            tables["by_snr.csv"],
            tables["by_redshift.csv"],
            thresholds.line_threshold,
        ),
        "confusion.png": lambda: report_figures.confusion_matrix(tables["confusion.csv"]),
        "reliability.png": lambda: report_figures.reliability_diagram(reliability, scores),
        "ensemble_size.png": lambda: report_figures.ensemble_size(tables["ensemble_size.csv"]),
    }
    means = tables["ensemble_size.csv"].drop(columns="REPEAT").groupby("SIZE").mean()
    by_size = {str(c).lower(): dict(means[c].dropna()) for c in means.columns}
    return Report(metrics, by_size, tables, figures, fit, control)


def _thresholds_table(
    training_set: pd.DataFrame,
    oob: OutOfBag,
    thresholds: Thresholds,
    sample: ControlSample | None,
) -> pd.DataFrame:
    """:func:`by_threshold` of all spectra and of each target class, beside control labels."""
    whole = by_threshold(training_set, oob, thresholds)
    whole.insert(1, "TARGET_CLASS", ALL)
    parts = [whole]
    for name, member in target_classes(training_set):
        rows = training_set[member].reset_index(drop=True)
        table = by_threshold(rows, oob.rows(member), thresholds)
        table.insert(1, "TARGET_CLASS", name)
        parts.append(table[table["SOURCE"] == ALL])
    if sample is None:
        return pd.concat(parts, ignore_index=True)
    classes = {ALL: np.ones(len(training_set), bool)} | dict(target_classes(training_set))
    for k, part in enumerate(parts):
        member = classes[part["TARGET_CLASS"].iloc[0]][sample.table["INDEX"].to_numpy()]
        of_class = ControlSample(sample.table[member].reset_index(drop=True), sample.weighted)
        grid = part["THRESHOLD"].unique()
        measured = control_thresholds(of_class, oob, grid).assign(SOURCE=ALL)
        parts[k] = part.merge(measured, on=["SOURCE", "THRESHOLD"], how="left")
    return pd.concat(parts, ignore_index=True)
