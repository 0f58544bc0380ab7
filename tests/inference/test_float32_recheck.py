"""The recheck rule, with simulated rounding on any processor."""

import numpy as np
import pytest
from scipy.special import expit

from qnal.ensemble.votes import Thresholds, votes
from qnal.inference.float32_recheck import (
    HIGH_Z,
    LINE_THRESHOLDS,
    MOST_RECHECKED,
    Float32Recheck,
    Peaks,
    recheck_rule,
)

ROWS, MEMBERS, LINES = 4000, 2, 6


def peaks_of(logit, side):
    """Peaks of lines whose redshift is below (side 0) or above HIGH_Z (side 1)."""
    confidence = expit(logit).astype(np.float32)
    sides = [np.where(side == s, confidence, 0).max(axis=2) for s in (0, 1)]
    box = np.zeros(confidence.shape, np.int32)
    return Peaks(confidence, box, box.astype(np.float32), *sides)


def z_best(peaks, side):
    best = peaks.confidence.argmax(axis=2)[..., None]
    return np.where(np.take_along_axis(side, best, axis=2)[..., 0] == 1, 3.0, 1.0)


@pytest.fixture(scope="module")
def simulated(random_network):
    """Peaks before and after rounding, of lines that are confident, unsure, and tied."""
    rng = np.random.default_rng(3)
    logit = rng.normal(0, 3, (MEMBERS, ROWS, LINES))
    logit[:, ::5, 1] = logit[:, ::5, 0] + rng.normal(0, 0.02, (MEMBERS, ROWS // 5))
    side = rng.integers(0, 2, logit.shape)
    rounded = logit + rng.normal(0, 0.01, logit.shape)
    exact, narrow = peaks_of(logit, side), peaks_of(rounded, side)
    recheck = Float32Recheck.measured(narrow, exact, random_network(), 1)
    return recheck, narrow, exact, side


@pytest.mark.parametrize("line_threshold", LINE_THRESHOLDS)
def test_a_vote_that_rounding_changes_is_rechecked(simulated, line_threshold):
    recheck, narrow, exact, side = simulated
    thresholds = Thresholds(line_threshold, 1, HIGH_Z)
    ours, theirs = (
        votes(recheck.deciding(p), z_best(p, side), thresholds) for p in (narrow, exact)
    )
    changed = ours != theirs
    assert changed.any()
    needed = recheck.needed(narrow)
    assert needed[changed].all()
    assert needed.mean() < 0.5


def test_margins_are_those_of_each_member(simulated):
    recheck = simulated[0]
    np.testing.assert_allclose(recheck.margins, 0.16, rtol=0.1)
    np.testing.assert_array_equal(recheck.of(slice(1, 2)).margins, recheck.margins[1:])


def test_bfloat16_suits_members_that_are_seldom_rechecked(simulated, random_network):
    recheck, narrow, exact, side = simulated
    z = z_best(narrow, side), z_best(exact, side)
    assert (recheck.needed(narrow).mean(axis=1) > MOST_RECHECKED).all()
    assert not recheck.suits(narrow, exact, z).any()

    rng = np.random.default_rng(4)
    logit = np.full((MEMBERS, 100, LINES), -8.0)
    logit[:, 50:, 0] = 8.0
    side = np.ones(logit.shape, int)
    rounded = logit + rng.normal(0, 0.01, logit.shape)
    exact, narrow = peaks_of(logit, side), peaks_of(rounded, side)
    recheck = Float32Recheck.measured(narrow, exact, random_network(), 1)
    z = z_best(exact, side)
    assert recheck.suits(narrow, exact, (z, z)).all()
    assert not recheck.suits(narrow, exact, (z - 2, z)).any()  # another class of redshift


def test_the_rule_names_all_it_depends_on():
    rule = recheck_rule()
    assert rule["line_thresholds"] == [0.5, 0.6, 0.95, 0.99] and rule["high_z"] == 2.1
    assert rule["version"] == 1 and rule["probe_spectra"].startswith("109dd973507078a0")
