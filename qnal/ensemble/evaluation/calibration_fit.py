"""Fitting a calibration so that the out-of-bag mean can be believed, and judging it honestly.

Averaging moves probabilities towards the middle, so what makes each member calibrated does not
make their mean so. Fitted is therefore the likelihood of the mean of the mapped confidences.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.calibration import Calibration, logit, sigmoid
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics, probability_scores
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label, is_quasar

FOLDS = 5
TARGETS_NEEDED = 10  # quasars, and others, without which two parameters mean nothing
PRIOR_WIDTH = 2.0  # of ln slope and offset about 0: a few spectra that part cleanly prove little
DIGITS = 6  # of the parameters, which so do not depend on rounding errors


@dataclass(frozen=True)
class CalibrationFit:
    """A calibration, and what it does to spectra that it was not fitted on.

    Attributes:
        calibration: None where there is none to be used; ``why_not`` says why.
        cross_fitted: class probabilities of each spectrum by a calibration fitted without its
            target, shape [rows, 3]; NaN where there is no answer, a BAD label, or no fit at all.
        before, after: scores without and with it, on the rows of ``cross_fitted``.
        spectra, targets, members: how many it was fitted on, and from how many members' answers.
    """

    calibration: Calibration | None
    why_not: str | None
    cross_fitted: NDArray[np.float64]
    before: Metrics
    after: Metrics
    spectra: int
    targets: int
    members: int

    def stored(self) -> dict[str, Any]:
        """What ``ensemble.json`` says of it."""
        return {
            "parameters": self.calibration and self.calibration.parameters(),
            "why_not": self.why_not,
            "spectra": self.spectra,
            "targets": self.targets,
            "members": self.members,
            "folds": FOLDS,
            "before": self.before,
            "cross_fitted": self.after,
        }


def fit_calibration(
    training_set: pd.DataFrame, oob: OutOfBag, thresholds: Thresholds
) -> CalibrationFit:
    """The calibration of an ensemble by its out-of-bag answers.

    It is judged by cross-fitting: targets are dealt to :data:`FOLDS` folds, and each fold is
    mapped by what the others give. Where that does not improve the likelihood, or where there are
    fewer than :data:`TARGETS_NEEDED` quasars or others, there is no calibration.

    Args:
        training_set: TARGETID and LABEL of each row; BAD labels are left out.
        oob: the members' answers on these rows.
        thresholds: what they are judged with.
    """
    label, targetid = training_set["LABEL"].to_numpy(), training_set["TARGETID"].to_numpy()
    use = np.flatnonzero((label != Label.BAD) & oob.answered.any(axis=1))
    label, targetid, quasar = label[use], targetid[use], is_quasar(label[use])
    predictions = oob.rows(use)
    cross_fitted = np.full((len(oob.deciding), 3), np.nan)
    before = probability_scores(label, predictions.probabilities(thresholds))
    numbers = (len(use), len(np.unique(targetid)), oob.deciding.shape[1])
    fewest = min(len(np.unique(targetid[quasar == kind])) for kind in (True, False))
    if fewest < TARGETS_NEEDED:
        why_not = (
            f"it takes {TARGETS_NEEDED} quasars and {TARGETS_NEEDED} others with out-of-bag "
            f"answers; of one kind there are {fewest}"
        )
        nothing = dict.fromkeys(before)
        return CalibrationFit(None, why_not, cross_fitted, before, nothing, *numbers)
    fold = deal(targetid, quasar)
    found = np.empty((len(use), 3))
    for k in range(FOLDS):
        held = fold == k
        without = fit_platt(predictions.rows(~held).deciding, quasar[~held])
        found[held] = predictions.rows(held).probabilities(thresholds, without)
    cross_fitted[use] = found
    after = probability_scores(label, found)
    if not _improved(before, after):
        why_not = "it would not improve the likelihood of spectra that it was not fitted on"
        return CalibrationFit(None, why_not, cross_fitted, before, after, *numbers)
    calibration = fit_platt(predictions.deciding, quasar)
    calibration = replace(calibration, min_lines=thresholds.min_lines)
    return CalibrationFit(calibration, None, cross_fitted, before, after, *numbers)


def _improved(before: Metrics, after: Metrics) -> bool:
    first, second = before["nll"], after["nll"]
    return first is not None and second is not None and second < first


def deal(targetid: NDArray[np.int64], quasar: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Folds of the rows, shape [rows]: all rows of a target in one, quasars evenly spread.

    Always the same for the same targets, in whatever order.
    """
    _, first, index = np.unique(targetid, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(0).permutation(len(first))
    order = shuffled[np.argsort(quasar[first][shuffled], kind="stable")]
    fold = np.empty(len(first), np.intp)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[index]


def fit_platt(deciding: NDArray[np.floating], quasar: NDArray[np.bool_]) -> Calibration:
    """The calibration whose mean over the members makes the labels likeliest.

    The bounds follow from how many there are of either kind, after Laplace's rule: after n others
    none of which was a quasar, the next one is with a probability of 1/(n + 2).

    Args:
        deciding: confidences, shape [rows, members], NaN where a member may not answer; each row
            has at least one answer.
        quasar: which rows are quasars, shape [rows].
    """
    from scipy.optimize import minimize

    answered = ~np.isnan(deciding)
    count = answered.sum(axis=1)
    start = np.cumsum(count) - count  # of each row in what follows, all answers one after another
    t = logit(deciding[answered])
    lowest = 1 / (float((~quasar).sum()) + 2)
    highest = 1 - 1 / (float(quasar.sum()) + 2)

    def mean(values: NDArray) -> NDArray:
        return np.add.reduceat(values, start) / count

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        """−ln likelihood − ln prior, and its derivatives by ln slope and offset."""
        slope, offset = np.exp(parameters[0]), parameters[1]
        s = sigmoid(slope * t + offset)
        p = lowest + (highest - lowest) * mean(s)
        value = -np.log(np.where(quasar, p, 1 - p)).sum()
        by_p = np.where(quasar, -1 / p, 1 / (1 - p)) * (highest - lowest)
        ds = s * (1 - s)
        gradient = np.array([(by_p * mean(slope * t * ds)).sum(), (by_p * mean(ds)).sum()])
        value += 0.5 * ((parameters / PRIOR_WIDTH) ** 2).sum()
        return float(value), gradient + parameters / PRIOR_WIDTH**2

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-4}).x
    slope, offset = _rounded(float(np.exp(found[0]))), _rounded(float(found[1]))
    return Calibration(slope, offset, _rounded(lowest), _rounded(highest))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
