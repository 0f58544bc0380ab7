"""Calibration of confidences, and its use in scores and stored ensembles."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import qnal
from qnal.ensemble.calibration import Calibration
from qnal.ensemble.description import CalibrationRecord, EnsembleDescription
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.votes import MemberPredictions, Thresholds, score_columns, soft_classes
from qnal.errors import InputError

HALF = Calibration(0.5, 0.3, 0.01, 0.98)
maps = st.builds(
    Calibration,
    st.floats(0.05, 20),
    st.floats(-10, 10),
    st.floats(0, 0.4),
    st.floats(0.6, 1),
)


def test_by_hand():
    # ln(0.8/0.2) = 1.3863
    assert HALF(np.array([0.8]))[0] == pytest.approx(0.01 + 0.97 / (1 + np.exp(-0.99315)), abs=1e-5)
    same = Calibration(1, 0)
    c = np.linspace(0.001, 0.999, 99)
    np.testing.assert_allclose(same(c), c, rtol=1e-12)


@given(maps, arrays(np.float32, 30, elements=st.floats(0, 1, width=32)))
def test_increases_and_stays_within_its_bounds(calibration, c):
    mapped = calibration(np.sort(c))
    assert (np.diff(mapped) >= 0).all()
    assert (mapped >= calibration.lowest).all() and (mapped <= calibration.highest).all()


def test_nan_stays_and_certainty_does_not():
    mapped = HALF(np.array([np.nan, 0, 1], np.float32))
    assert np.isnan(mapped[0]) and 0.01 < mapped[1] < 0.02 and 0.97 < mapped[2] < 0.98


@pytest.mark.parametrize(
    "wrong",
    [
        {"slope": -1, "offset": 0},
        {"slope": 0, "offset": 0},
        {"slope": 1, "offset": float("nan")},
        {"slope": 1, "offset": 0, "lowest": 0.9, "highest": 0.1},
        {"slope": 1, "offset": 0, "knots": []},
        {"slope": "a", "offset": 0},
    ],
)
def test_parameters_of_no_increasing_function(wrong):
    with pytest.raises((ValueError, TypeError)):
        Calibration.of(wrong)


def test_votes_stay_and_soft_outputs_change():
    deciding = np.array([[0.96, 0.99, 0.3]], np.float32)
    z = np.array([[1.0, 3.0, 2.0]])
    predictions = MemberPredictions(
        deciding, z, deciding[:, None], z[:, None], np.zeros((1, 1, 3), np.float32)
    )
    plain, mapped = (score_columns(predictions, Thresholds(), True, c) for c in (None, HALF))
    same = [np.array_equal(a, b) for a, b in zip(plain, mapped, strict=True)]
    # C_*, P_*, VOTE_ENTROPY, ENTROPY, MUTUAL_INFO, Z, Z_SPREAD, one line's C and Z, C_BAL
    assert same == [True] * 3 + [False] * 3 + [True, False, False] + [True] * 5
    np.testing.assert_allclose(mapped[3], 1 - HALF(deciding).mean(), rtol=1e-6)
    soft = soft_classes(deciding, z, Thresholds(), HALF)
    np.testing.assert_allclose(soft.sum(axis=2), 1)


@pytest.fixture
def folder(tmp_path, random_network, out_of_bag_table, a_record):
    folder = EnsembleFolder(tmp_path / "ensemble")
    for k in range(2):
        folder.add(random_network(k, layers=1, filters=2), out_of_bag_table, a_record(k))
    return folder


def stored(folder, parameters):
    folder.write(EnsembleDescription(calibration=CalibrationRecord(parameters)))
    return folder.description()


def test_stored_with_the_ensemble(folder, spectra):
    assert stored(folder, None).calibration_for(Thresholds()) is None
    assert stored(folder, HALF.parameters()).calibration_for(Thresholds()) == HALF
    # With another min_lines, the confidence of another line decides.
    assert stored(folder, HALF.parameters()).calibration_for(Thresholds(min_lines=2)) is None
    calibrated, plain = (
        qnal.load_ensemble(folder.path, backend="numpy", calibrate=on) for on in (True, False)
    )
    assert calibrated.rule.calibration == HALF
    assert plain.rule.calibration is None
    flux = spectra + 5
    given = flux, np.ones_like(flux), plain.grid.wave + 0.1
    with_it, without = (e.score(*given, pandas=True) for e in (calibrated, plain))
    pd.testing.assert_series_equal(with_it["VOTE_ENTROPY"], without["VOTE_ENTROPY"])
    assert (with_it["P_NOT"] != without["P_NOT"]).all()
    # It is kept when training goes on, until the next evaluation.
    folder.start(EnsembleDescription(fingerprint="abc"), pd.DataFrame({"TARGETID": [7]}))
    assert folder.description().calibration_for(Thresholds()) == HALF


def test_damaged_parameters_are_an_error(folder):
    with pytest.raises(InputError, match="its calibration cannot be used"):
        stored(folder, {"slope": -2, "offset": 0}).calibration_for(Thresholds())
