"""Suspected label errors: the margin ranks them, and confident learning marks them."""

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.evaluation.suspected_labels import suspected_labels
from qnal.ensemble.evaluation.suspected_selection import suspected_selection
from qnal.labels.label import Label


def labelled(label: list[Label], targetid: list[int] | None = None) -> pd.DataFrame:
    ids = targetid or list(range(len(label)))
    return pd.DataFrame({"SOURCE": "desi", "TARGETID": ids, "LABEL": label, "Z": 1.0})


def test_by_hand():
    label = [Label.STAR, Label.STAR, Label.QSO_LZ, Label.QSO_LZ, Label.GALAXY, Label.BAD]
    p = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.9, 0], [0.4, 0.6, 0], [np.nan] * 3,
                  [0, 1, 0]])  # fmt: skip
    table = suspected_labels(labelled(label), p)
    assert table["TARGETID"].tolist() == [1, 3, 0, 2]
    np.testing.assert_allclose(table["MARGIN"], [-0.6, 0.2, 0.8, 0.8])
    # Thresholds: NOT (0.9 + 0.2)/2 = 0.55, QSO_LZ (0.9 + 0.6)/2 = 0.75.
    assert table["SUSPECTED"].tolist() == [True, False, False, False]
    assert table.loc[0, ["LABEL", "PREDICTED"]].tolist() == ["STAR", "QSO_LZ"]


def test_exposures_of_a_target_are_averaged():
    p = np.array([[0.9, 0.1, 0], [0.1, 0.9, 0], [0.3, 0.7, 0]])
    table = suspected_labels(labelled([Label.STAR] * 3, [4, 4, 5]), p)
    assert table[["TARGETID", "SPECTRA"]].to_numpy().tolist() == [[5, 1], [4, 2]]
    assert table["P_LABEL"].tolist() == pytest.approx([0.3, 0.5])


def test_flipped_labels_come_first():
    rng = np.random.default_rng(0)
    true = rng.choice([Label.STAR, Label.QSO_LZ, Label.QSO_HZ], 1000)
    column = np.select([true == Label.STAR, true == Label.QSO_LZ], [0, 1], 2)
    p = rng.dirichlet([0.3] * 3, 1000) * 0.2
    p[np.arange(1000), column] += 0.8
    given = true.copy()
    wrong = rng.choice(1000, 20, replace=False)
    given[wrong] = np.where(true[wrong] == Label.STAR, Label.QSO_LZ, Label.STAR)
    table = suspected_labels(labelled(list(given)), p)
    assert set(table["TARGETID"][:20]) == set(wrong)
    # Every suspected label is wrong; the threshold is the mean, so about half are confident enough.
    assert table["SUSPECTED"][:20].sum() >= 10 and not table["SUSPECTED"][20:].any()


def test_nothing_to_rank():
    assert len(suspected_labels(labelled([Label.BAD]), np.array([[1.0, 0, 0]]))) == 0


def test_as_a_selection():
    """The marked targets, each with the spectrum that contradicts its label most."""
    label = [Label.STAR, Label.STAR, Label.STAR, Label.QSO_LZ, Label.STAR]
    p = np.array([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.1, 0.9, 0], [0.2, 0.8, 0], [0.1, 0.9, 0]])
    table = labelled(label, [1, 2, 2, 3, 4]).assign(EXPID=-1, FILE=list("abcde"), ROW=range(5))
    table.loc[4, "SOURCE"] = "boss"
    spectra = table.assign(OOB_SHARE=[0, 1, 1, 1, 1], OOB_Z=[0.1, 1, 1.5, 1, 1])
    spectra[["OOB_P_NOT", "OOB_P_QSO_LZ", "OOB_P_QSO_HZ"]] = p
    suspected = suspected_labels(table, p)
    assert suspected.loc[suspected["SUSPECTED"], "TARGETID"].tolist() == [4, 2]
    found = suspected_selection(suspected, spectra, lambda *key: "/".join(map(str, key)))
    row = found.loc[0]
    assert len(found) == 1
    assert (row["TARGETID"], row["FILE"], row["ROW"], row["Z"]) == (2, "desi/2/c", 2, 1.5)
    assert row["REASON"] == "labelled STAR, and the out-of-bag ensemble says QSO_LZ (80%)"
    assert row[["C_NOT", "C_QSO_LZ", "C_QSO_HZ"]].tolist() == [0, 1, 0]
    assert not len(suspected_selection(suspected[:0], spectra, lambda *key: ""))
