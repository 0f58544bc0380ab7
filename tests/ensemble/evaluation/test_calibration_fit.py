"""Fitting a calibration: what it finds, what it is evaluated on, and when there is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.evaluation.calibration_fit import (
    BY_COUNT,
    BY_COUNT_WIDTH,
    FOLDS,
    deal,
    fit_calibration,
    fit_platt,
)
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import calibration_error
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label


def synthetic(rows, sharpness, members=10, scatter=0.0, seed=0, exposures=1):
    """Members whose logit is the true one times ``sharpness``; 37 % of the rows are out of bag."""
    rng = np.random.default_rng(seed)
    t = rng.normal(0, 2, rows)
    quasar = rng.uniform(size=rows) < expit(t)
    deciding = expit(sharpness * t[:, None] + rng.normal(0, scatter, (rows, members)))
    deciding[rng.uniform(size=deciding.shape) > 0.37] = np.nan
    table = pd.DataFrame(
        {
            "TARGETID": np.arange(rows) // exposures,
            "LABEL": np.where(quasar, Label.QSO_HZ, Label.STAR),
        }
    )
    deciding = deciding.astype(np.float32)
    z = np.where(np.isnan(deciding), np.nan, 3.0)
    # −ln likelihood of each label by the probability that it was drawn with.
    table["TRUTH_NLL"] = -np.where(quasar, np.log(expit(t)), np.log(expit(-t)))
    return table, OutOfBag(deciding, z, np.full_like(deciding, np.nan))


def test_over_confident_members_are_calibrated():
    # So many that the prior of the dependence on the number of members does not matter.
    table, oob = synthetic(200_000, sharpness=4)
    fit = fit_calibration(table, oob, Thresholds())
    # All members agree, so the calibration undoes the factor.
    assert fit.calibration is not None
    assert fit.calibration.slope == pytest.approx(1 / 4, rel=0.03)
    assert fit.calibration.offset == pytest.approx(0, abs=0.05)
    truth = table["TRUTH_NLL"][oob.available.any(axis=1)].mean()
    assert fit.before["nll"] > truth + 0.3
    assert fit.after["nll"] == pytest.approx(truth, abs=0.003)
    assert fit.after["ece"] < 0.015 < 0.1 < fit.before["ece"]
    assert fit.after["brier"] < fit.before["brier"]


def test_it_is_the_mean_that_is_calibrated():
    """The mean of calibrated members is under-confident; the fit to the mean is steeper."""
    rng = np.random.default_rng(1)
    t = rng.normal(0, 3, 8000)
    quasar = rng.uniform(size=len(t)) < expit(t)
    seen = expit(0.8 * t[:, None] + rng.normal(0, 1.5, (len(t), 20))).astype(np.float32)
    alone, found = (fit_platt(part, quasar).of_all for part in (seen[:, :1], seen))
    assert alone.slope < 1 < 1.2 < found.slope

    def error(c):
        return calibration_error(c(seen).mean(axis=1), quasar.astype(float))

    assert error(found) < 0.03 and error(alone) > 2 * error(found)


def test_fit_is_at_the_minimum():
    table, oob = synthetic(400, sharpness=2, scatter=1.5)
    quasar = (table["LABEL"] == Label.QSO_HZ).to_numpy()
    use = oob.available.any(axis=1)
    found = fit_platt(oob.deciding[use], quasar[use])

    def loss(fit):
        p = np.nanmean(fit(oob.deciding[use]), axis=1)
        slope, offset = fit.of_all.slope, fit.of_all.offset
        by_count = (fit.by_count - BY_COUNT) / BY_COUNT_WIDTH
        prior = ((np.log(slope) / 2) ** 2 + (offset / 2) ** 2 + by_count**2) / 2
        return -np.log(np.where(quasar[use], p, 1 - p)).sum() + prior

    best, whole = loss(found), found.of_all
    for slope, offset in ((1.05, 0), (0.95, 0), (1, 0.05), (1, -0.05)):
        other = replace(whole, slope=whole.slope * slope, offset=whole.offset + offset)
        assert loss(replace(found, of_all=other)) > best
    for change in (0.1, -0.1):
        assert loss(replace(found, by_count=found.by_count + change)) > best


def test_means_over_more_members_get_a_steeper_calibration():
    """Out of bag, spectra have a prediction by one or two of four members; others have all four."""
    table, oob = synthetic(20_000, sharpness=1, members=4, scatter=1)
    quasar = (table["LABEL"] == Label.QSO_HZ).to_numpy()
    use = oob.available.any(axis=1)
    found = fit_platt(oob.deciding[use], quasar[use])
    assert found.by_count < -0.2
    assert found.of(1).slope < found.of(2).slope < found.of(4).slope == found.of_all.slope

    rng = np.random.default_rng(1)
    t = rng.normal(0, 2, 20_000)
    seen = expit(t[:, None] + rng.normal(0, 1, (len(t), 4)))
    truth = (rng.uniform(size=len(t)) < expit(t)).astype(float)
    # What the best fit to these very spectra leaves is the error that cannot be avoided.
    unavoidable, right, shallow = (
        calibration_error(c(seen).mean(axis=1), truth)
        for c in (fit_platt(seen, truth > 0).of_all, found.of_all, found.of(1))
    )
    assert right < 1.2 * unavoidable < 2 * unavoidable < shallow


def test_the_dependence_on_the_number_of_members_does_not_matter_where_all_are_available():
    rng = np.random.default_rng(3)
    deciding, quasar = rng.uniform(size=(100, 3)), rng.uniform(size=100) < 0.5
    found = fit_platt(deciding, quasar)
    assert found.by_count == pytest.approx(BY_COUNT, abs=1e-3)
    np.testing.assert_array_equal(found(deciding), found.of_all(deciding))
    none = np.full((1, 3), np.nan)
    assert np.isnan(found(none)).all()


def test_few_separable_spectra_give_a_moderate_slope():
    deciding = np.repeat([[0.01], [0.99]], 20, axis=0).astype(np.float32)
    quasar = np.repeat([False, True], 20)
    found = fit_platt(deciding, quasar).of_all
    assert found.lowest == pytest.approx(1 / 22, rel=1e-5)  # Laplace's rule
    assert found.highest == pytest.approx(21 / 22, rel=1e-5)
    assert 0.1 < found.slope < 10 and abs(found.offset) < 1e-3


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_folds_keep_targets_together_and_do_not_depend_on_the_order(seed):
    rng = np.random.default_rng(seed)
    targetid = rng.integers(0, 40, 120)
    quasar = targetid % 3 == 0
    fold = deal(targetid, quasar)
    assert pd.Series(fold).groupby(targetid).nunique().max() == 1
    order = rng.permutation(120)
    assert (deal(targetid[order], quasar[order]) == fold[order]).all()
    for kind in (True, False):
        targets = len(np.unique(targetid[quasar == kind]))
        per_fold = [len(np.unique(targetid[(quasar == kind) & (fold == k)])) for k in range(FOLDS)]
        assert max(per_fold) - min(per_fold) <= 1 and sum(per_fold) == targets


def test_cross_fitting_leaves_out_the_target():
    table, oob = synthetic(300, sharpness=3, exposures=3)
    fit = fit_calibration(table, oob, Thresholds())
    use = np.flatnonzero(oob.available.any(axis=1))
    targetid = table["TARGETID"].to_numpy()[use]
    quasar = (table["LABEL"] == Label.QSO_HZ).to_numpy()[use]
    fold = deal(targetid, quasar)
    for k in range(FOLDS):
        assert not np.isin(targetid[fold == k], targetid[fold != k]).any()
        without = fit_platt(oob.deciding[use[fold != k]], quasar[fold != k])
        expected = oob.rows(use[fold == k]).probabilities(Thresholds(), without)
        np.testing.assert_array_equal(fit.cross_fitted[use[fold == k]], expected)
    assert replace(fit.calibration, min_lines=1) == fit_platt(oob.deciding[use], quasar).of_all


def test_too_few_of_a_kind_or_nothing_to_gain():
    table, oob = synthetic(60, sharpness=3)
    few = table.assign(LABEL=np.where(np.arange(60) < 4, Label.STAR, Label.QSO_HZ))
    fit = fit_calibration(few, oob, Thresholds())
    assert fit.calibration is None and "of one kind" in fit.why_not
    assert np.isnan(fit.cross_fitted).all() and fit.after["nll"] is None
    assert fit.record().parameters is None
    for label in (Label.STAR, Label.BAD, Label.QSO_LZ):
        nothing = fit_calibration(table.assign(LABEL=int(label)), oob, Thresholds())
        assert nothing.calibration is None
    # Calibrated members that agree: fitted parameters can only make it worse.
    table, oob = synthetic(120, sharpness=1, seed=2)
    fit = fit_calibration(table, oob, Thresholds())
    assert fit.calibration is None and "does not improve" in fit.why_not
    assert fit.after["brier"] >= fit.before["brier"]


def test_bad_labels_are_left_out():
    table, oob = synthetic(500, sharpness=3)
    fit = fit_calibration(table, oob, Thresholds(min_lines=2))
    assert fit.calibration.min_lines == 2
    bad = pd.concat([table, table.assign(LABEL=int(Label.BAD))], ignore_index=True)
    twice = OutOfBag(*(np.concatenate([a, a]) for a in (oob.deciding, oob.z_best, oob.bal)))
    again = fit_calibration(bad, twice, Thresholds(min_lines=2))
    assert again.calibration == fit.calibration and again.spectra == fit.spectra
    assert Calibration.of(fit.record().parameters) == fit.calibration
    assert fit.record().cross_fitted["nll"] < fit.record().before["nll"]


def test_a_wrong_label_does_not_prevent_a_calibration():
    """Confidences that are too high, and a star with a low one that is labelled a quasar.

    By the likelihood, to which this label contributes most, the calibration would be rejected.
    """
    table, oob = synthetic(120, sharpness=1, seed=5)
    shifted = np.float32(expit(logit(oob.deciding) + 0.5))
    wrong = np.unravel_index(np.nanargmin(shifted), shifted.shape)[0]
    shifted[wrong] = np.where(np.isnan(shifted[wrong]), np.nan, np.float32(expit(-3)))
    table.loc[wrong, "LABEL"] = int(Label.QSO_HZ)
    fit = fit_calibration(table, replace(oob, deciding=shifted), Thresholds())
    assert fit.after["nll"] > fit.before["nll"]
    assert fit.after["brier"] < fit.before["brier"]
    assert fit.calibration is not None and fit.calibration.offset < 0
