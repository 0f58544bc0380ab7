"""The simulated inspector's rates."""

import numpy as np
import pandas as pd
import pytest

from qnal.labels.label import Label, is_quasar
from qnal.learning.oracle import Oracle, OracleKind


def test_a_perfect_inspector_says_the_truth(labelled):
    said = Oracle.of(OracleKind.perfect).answers(labelled.table, np.random.default_rng(1))
    pd.testing.assert_frame_equal(said, labelled.table)


def test_rates_fall_with_signal_to_noise():
    cannot_tell, mistake = Oracle(0.5, 0.1, 2.0).rates(np.array([0.0, 2.0, np.nan, 100.0]))
    np.testing.assert_allclose(cannot_tell, [0.5, 0.5 / np.e, 0.5, 0], atol=1e-15)
    np.testing.assert_allclose(mistake, [0.1, 0.1 / np.e, 0.1, 0], atol=1e-15)


def test_answers_have_these_rates(labelled):
    oracle = Oracle.of(OracleKind.noisy)
    table = labelled.table[labelled.table["EXPID"] == 1]
    table = table[table["LABEL"] != Label.BAD].reset_index(drop=True)
    cannot_tell, mistake = oracle.rates(table["SNR"].to_numpy())
    said = oracle.answers(table, np.random.default_rng(2))
    unsure = (said["LABEL"] == Label.BAD).to_numpy()
    wrong = ~unsure & (said["LABEL"] != table["LABEL"]).to_numpy()
    for happened, probability in ((unsure, cannot_tell), (wrong, mistake)):
        error = np.sqrt((probability * (1 - probability)).sum())
        assert abs(happened.sum() - probability.sum()) < 3 * error
    faint = table["SNR"] < np.median(table["SNR"])
    assert unsure[faint].mean() > 2 * unsure[~faint].mean()


def test_answers_are_consistent(labelled):
    table, oracle = labelled.table, Oracle(0.5, 0.5, 3.0)
    said = oracle.answers(table, np.random.default_rng(2))
    assert (said.groupby("TARGETID")["LABEL"].nunique() == 1).all()
    truth, label = table["LABEL"].to_numpy(), said["LABEL"].to_numpy()
    assert (label[truth == Label.BAD] == Label.BAD).all()
    wrong = (label != Label.BAD) & (label != truth)
    assert wrong.sum() > 100
    # A quasar of the other redshift class would be no other class.
    assert not (is_quasar(label) & is_quasar(truth) & wrong).any()
    assert (said["Z"][wrong & ~is_quasar(label)] == 0).all()
    assert (said["Z"][wrong & is_quasar(label)] > 1).all()
    assert (said["BAL"][wrong] == 0).all()
    right = (label == truth) & (label != Label.BAD)
    pd.testing.assert_frame_equal(said[right], table[right])
    again = oracle.answers(table, np.random.default_rng(2))
    pd.testing.assert_frame_equal(said, again)


@pytest.mark.parametrize("kind", OracleKind)
def test_probabilities_are_probabilities(kind):
    oracle = Oracle.of(kind)
    assert 0 <= oracle.mistake <= oracle.cannot_tell <= oracle.cannot_tell + oracle.mistake <= 1
