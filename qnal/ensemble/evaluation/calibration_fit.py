"""Fit of a calibration to out-of-bag predictions, evaluated by cross-fitting.

Averaging moves probabilities towards the middle, so the mean of calibrated members is not
calibrated. What is maximised is therefore the likelihood of the mean of the calibrated confidences.

A labelled spectrum is out of bag for about a third of the members, but the probabilities of other
spectra are means over all of them, which are less noisy and more strongly averaged, so that they
take a steeper calibration. The fit therefore lets the slope depend on the number of members.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.calibration import Calibration, clipped_logit
from qnal.ensemble.description import CalibrationRecord
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics, probability_scores
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label, is_quasar

VERSION = 2  # bump this number when the same predictions give another calibration
FOLDS = 5
TARGETS_NEEDED = 10  # number of quasars, and of other targets, that a fit takes
PRIOR_WIDTH = 2.0  # of ln slope and offset, about 0; it bounds the slope if the classes separate
# Of the change of ln slope with 1 / number of members: mean and width. The labels of a few hundred
# spectra do not determine it; docs/training.md says how the mean was measured.
BY_COUNT, BY_COUNT_WIDTH = -0.6, 0.3
DIGITS = 6  # significant digits of the parameters, so that they do not depend on rounding errors


@dataclass(frozen=True)
class CalibrationFit:
    """A calibration, and its effect on spectra that it was not fitted on.

    Attributes:
        calibration: the calibration; None if it is not to be used.
        why_not: the reason if it is not to be used.
        cross_fitted: class probabilities of each spectrum, calibrated by a fit without its target,
            shape [rows, 3]; NaN without a prediction, for BAD labels, or without any fit.
        before, after: scores without calibration and cross-fitted.
        spectra, targets, members: numbers that it was fitted on.
    """

    calibration: Calibration | None
    why_not: str | None
    cross_fitted: NDArray[np.float64]
    before: Metrics
    after: Metrics
    spectra: int
    targets: int
    members: int

    def record(self) -> CalibrationRecord:
        """The section of ``ensemble.json`` on the calibration."""
        return CalibrationRecord(
            parameters=self.calibration.parameters() if self.calibration else None,
            why_not=self.why_not,
            spectra=self.spectra,
            targets=self.targets,
            members=self.members,
            folds=FOLDS,
            before=self.before,
            cross_fitted=self.after,
        )


@dataclass(frozen=True)
class FittedCalibration:
    """A calibration of means over any number of the members.

    Call it with deciding confidences of shape [rows, members], NaN without a prediction.

    Attributes:
        of_all: the calibration for means over all members.
        members: their number.
        by_count: change of ln slope with 1 / number of members.
    """

    of_all: Calibration
    members: int
    by_count: float

    def of(self, count: int) -> Calibration:
        """The calibration for means over ``count`` members."""
        change = self.by_count * (1 / count - 1 / self.members)
        return replace(self.of_all, slope=self.of_all.slope * float(np.exp(change)))

    def __call__(self, deciding: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated confidences, of the same shape as ``deciding``; NaN stays NaN."""
        count = (~np.isnan(deciding)).sum(axis=1)
        found = np.full(deciding.shape, np.nan)
        for size in np.unique(count[count > 0]):
            found[count == size] = self.of(int(size))(deciding[count == size])
        return found


def fit_calibration(
    training_set: pd.DataFrame, oob: OutOfBag, thresholds: Thresholds
) -> CalibrationFit:
    """Fit the calibration of an ensemble to its out-of-bag predictions.

    It is evaluated by cross-fitting: the targets are divided into :data:`FOLDS` folds, and each
    fold is calibrated by a fit to the others. The ensemble gets no calibration if cross-fitting
    does not improve the Brier score, or if there are fewer than :data:`TARGETS_NEEDED` quasars or
    fewer than that other targets.

    Args:
        training_set: TARGETID and LABEL of each row; BAD labels are left out.
        oob: out-of-bag predictions for these rows.
        thresholds: ``min_lines`` and ``high_z`` of the soft class probabilities.
    """
    label, targetid = training_set["LABEL"].to_numpy(), training_set["TARGETID"].to_numpy()
    use = np.flatnonzero((label != Label.BAD) & oob.available.any(axis=1))
    label, targetid, quasar = label[use], targetid[use], is_quasar(label[use])
    predictions = oob.rows(use)
    cross_fitted = np.full((len(oob.deciding), 3), np.nan)
    before = probability_scores(label, predictions.probabilities(thresholds))
    numbers = (len(use), len(np.unique(targetid)), oob.deciding.shape[1])
    fewest = min(len(np.unique(targetid[quasar == kind])) for kind in (True, False))
    if fewest < TARGETS_NEEDED:
        why_not = (
            f"a fit takes {TARGETS_NEEDED} quasars and {TARGETS_NEEDED} other targets with "
            f"out-of-bag predictions; there are only {fewest} of one kind"
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
        why_not = "it does not improve the Brier score of spectra that it was not fitted on"
        return CalibrationFit(None, why_not, cross_fitted, before, after, *numbers)
    calibration = fit_platt(predictions.deciding, quasar).of_all
    calibration = replace(calibration, min_lines=thresholds.min_lines)
    return CalibrationFit(calibration, None, cross_fitted, before, after, *numbers)


def _improved(before: Metrics, after: Metrics) -> bool:
    # The likelihood of a hundred spectra hangs on one or two confident but wrong labels.
    first, second = before["brier"], after["brier"]
    return first is not None and second is not None and second < first


def deal(targetid: NDArray[np.int64], quasar: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Fold of each row, shape [rows]: one fold per target, with quasars evenly distributed.

    Folds depend on the set of targets only, not on their order.
    """
    _, first, index = np.unique(targetid, return_index=True, return_inverse=True)
    shuffled = np.random.default_rng(0).permutation(len(first))
    order = shuffled[np.argsort(quasar[first][shuffled], kind="stable")]
    fold = np.empty(len(first), np.intp)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[index]


def fit_platt(deciding: NDArray[np.floating], quasar: NDArray[np.bool_]) -> FittedCalibration:
    """Maximum a posteriori fit of a calibration to the mean over the members.

    The bounds follow from Laplace's rule of succession: after n trials without a success, the
    probability of a success is 1/(n + 2).

    Args:
        deciding: confidences, shape [rows, members]; NaN without a prediction, but each row has
            at least one prediction.
        quasar: which rows are quasars, shape [rows].
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    available = ~np.isnan(deciding)
    count = available.sum(axis=1)
    start = np.cumsum(count) - count  # first prediction of each row in the flattened array
    t = clipped_logit(deciding[available])
    lowest = 1 / (float((~quasar).sum()) + 2)
    highest = 1 - 1 / (float(quasar.sum()) + 2)
    members = deciding.shape[1]
    fewer = np.repeat(1 / count - 1 / members, count)
    centre = np.array([0, 0, BY_COUNT])
    width = np.array([PRIOR_WIDTH, PRIOR_WIDTH, BY_COUNT_WIDTH])

    def mean(values: NDArray) -> NDArray:
        return np.add.reduceat(values, start) / count

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        """−ln posterior, and its derivatives with respect to ln slope, offset and by_count."""
        slope, offset = np.exp(parameters[0] + parameters[2] * fewer), parameters[1]
        s = expit(slope * t + offset)
        p = lowest + (highest - lowest) * mean(s)
        value = -np.log(np.where(quasar, p, 1 - p)).sum()
        by_p = np.where(quasar, -1 / p, 1 / (1 - p)) * (highest - lowest)
        ds = s * (1 - s)
        by_slope = slope * t * ds
        gradient = np.array([(by_p * mean(d)).sum() for d in (by_slope, ds, by_slope * fewer)])
        deviation = (parameters - centre) / width
        return float(value + 0.5 * (deviation**2).sum()), gradient + deviation / width

    found = minimize(loss, centre, jac=True, method="BFGS", options={"gtol": 1e-4}).x
    slope, offset = _rounded(float(np.exp(found[0]))), _rounded(float(found[1]))
    of_all = Calibration(slope, offset, _rounded(lowest), _rounded(highest))
    return FittedCalibration(of_all, members, _rounded(float(found[2])))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
