"""The out-of-bag report: how good an ensemble is, whether its probabilities can be believed, and
whether it has members enough. Numbers, tables and pictures, of spectra that were not seen.
"""

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
    """What a training run says of its ensemble.

    Attributes:
        metrics: numbers; None where undefined.
        by_size: mean of some of them over random ensembles, by name and number of members.
        tables: by file name.
        figures: functions that draw them, by file name.
        fit: the calibration, and how it was found.
    """

    metrics: Metrics
    by_size: dict[str, dict[int, float]]
    tables: dict[str, pd.DataFrame]
    figures: dict[str, Callable[[], Figure]]
    fit: CalibrationFit


def out_of_bag_report(training_set: pd.DataFrame, oob: OutOfBag, thresholds: Thresholds) -> Report:
    """Judge an ensemble by its members' out-of-bag answers.

    Args:
        training_set: SOURCE, TARGETID, SNR, LABEL, Z and BAL of each row.
        oob: the members' answers on them.
        thresholds: when a member votes quasar.
    """
    answer = oob.answer(thresholds)
    plain = oob.probabilities(thresholds)
    fit = fit_calibration(training_set, oob, thresholds)
    cross_fitted = not np.isnan(fit.cross_fitted).all()
    kinds = {"": plain} | ({"calibrated_": fit.cross_fitted} if cross_fitted else {})
    metrics = evaluate(training_set, answer, kinds)
    metrics["calibrated"] = int(fit.calibration is not None)
    label = training_set["LABEL"].to_numpy()
    threshold = by_threshold(training_set, oob, thresholds)
    snr, redshift = by_snr(training_set, answer), by_redshift(training_set, answer)
    counts = confusion(training_set, answer)
    reliability = pd.concat(
        [reliability_table(label, p).assign(CALIBRATED=kind != "") for kind, p in kinds.items()],
        ignore_index=True,
    )
    sizes = by_ensemble_size(label, oob, thresholds)
    final = fit.cross_fitted if fit.calibration else plain
    soft = {f"OOB_P_{name}": final[:, k] for k, name in enumerate(CLASSES)}
    scores = {
        when: {k: s[k] for k in ("nll", "ece")}
        for when, s in (("before", fit.before), ("after", fit.after))
    }
    figures: dict[str, Callable[[], Figure]] = {
        "oob_redshifts.png": lambda: out_of_bag_redshifts(training_set, answer),
        "completeness_purity.png": lambda: report_figures.completeness_purity(
            threshold, snr, redshift, thresholds.line_threshold
        ),
        "confusion.png": lambda: report_figures.confusion_matrix(counts),
        "reliability.png": lambda: report_figures.reliability_diagram(reliability, scores),
        "ensemble_size.png": lambda: report_figures.ensemble_size(sizes),
    }
    tables = {
        "oob_predictions.csv": training_set.join(answer.add_prefix("OOB_")).assign(**soft),
        "thresholds.csv": threshold,
        "by_snr.csv": snr,
        "by_redshift.csv": redshift,
        "confusion.csv": counts,
        "reliability.csv": reliability,
        "ensemble_size.csv": sizes,
    }
    means = sizes.drop(columns="REPEAT").groupby("SIZE").mean()
    by_size = {str(c).lower(): dict(means[c].dropna()) for c in means.columns}
    return Report(metrics, by_size, tables, figures, fit)
