"""Out-of-bag report of an ensemble: metrics, calibration, tables and figures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.ensemble.evaluation import report_figures
from qnal.ensemble.evaluation.calibration_fit import CalibrationFit, fit_calibration
from qnal.ensemble.evaluation.curves import by_redshift, by_snr, by_threshold, confusion
from qnal.ensemble.evaluation.ensemble_size import by_ensemble_size
from qnal.ensemble.evaluation.figures import out_of_bag_redshifts
from qnal.ensemble.evaluation.metrics import evaluate
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics, reliability_table
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
    """

    metrics: Metrics
    by_size: dict[str, dict[int, float]]
    tables: dict[str, pd.DataFrame]
    figures: dict[str, Callable[[], Figure]]
    fit: CalibrationFit


def out_of_bag_report(training_set: pd.DataFrame, oob: OutOfBag, thresholds: Thresholds) -> Report:
    """Evaluate an ensemble by its out-of-bag predictions.

    Args:
        training_set: SOURCE, TARGETID, SNR, LABEL, Z and BAL of each labelled spectrum.
        oob: out-of-bag predictions for these spectra.
        thresholds: when a member votes quasar.
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
    tables = {
        "oob_predictions.csv": training_set.join(combined.add_prefix("OOB_")).assign(**soft),
        "thresholds.csv": by_threshold(training_set, oob, thresholds),
        "by_snr.csv": by_snr(training_set, combined),
        "by_redshift.csv": by_redshift(training_set, combined),
        "confusion.csv": confusion(training_set, combined),
        "reliability.csv": reliability,
        "ensemble_size.csv": by_ensemble_size(label, oob, thresholds),
    }
    scores = {
        when: {k: s[k] for k in ("nll", "ece")}
        for when, s in (("before", fit.before), ("after", fit.after))
    }
    figures: dict[str, Callable[[], Figure]] = {
        "oob_redshifts.png": lambda: out_of_bag_redshifts(training_set, combined),
        "completeness_purity.png": lambda: report_figures.completeness_purity(
            tables["thresholds.csv"],
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
    return Report(metrics, by_size, tables, figures, fit)
