"""Evaluation of a trained ensemble: what it reads, returns and stores."""

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.evaluate_task import evaluate_ensemble
from qnal.ensemble.evaluation.metrics import evaluate
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.votes import Thresholds

DESCRIPTION = EnsembleDescription(fingerprint="abc")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, evaluated, random_network, a_record):
    """A folder with the out-of-bag predictions of the members, and the labelled set."""
    table, oob = evaluated
    folder = EnsembleFolder(tmp_path_factory.mktemp("ensemble"))
    network = random_network(layers=1, filters=2, units=3)
    for k in range(oob.deciding.shape[1]):
        rows = np.flatnonzero(oob.available[:, k])
        predictions = pd.DataFrame(
            {
                "INDEX": rows,
                "DECIDING": oob.deciding[rows, k],
                "Z_BEST": oob.z_best[rows, k],
                "C_LYA": oob.deciding[rows, k],
                "C_CIV": oob.deciding[rows, k] / 2,
                "BAL": oob.bal[rows, k],
            }
        )
        folder.add(network, predictions, a_record(k))
    labelled = LabelledSet(np.zeros((len(table), 1), np.float32), table, {"desi_spectra": 400})
    return folder, labelled


def test_metrics_tables_and_calibration(trained):
    folder, labelled = trained
    report = evaluate_ensemble(folder, DESCRIPTION, labelled, n=99)
    assert report.metrics["members"] == 12 and report.metrics["training_spectra"] == 600
    assert report.metrics["labels_desi_spectra"] == 400
    assert report.metrics["oob_calibrated_nll"] < report.metrics["oob_nll"]
    assert 0 < report.metrics["oob_bal_recall"] < 1
    members = report.tables["members.csv"]
    assert members.columns[:6].tolist() == [
        "member", "epochs", "bag_rows", "oob_rows", "loss", "oob_completeness",
    ]  # fmt: skip
    assert members["member"].tolist() == list(range(12)) and set(members["loss"]) == {1.0}
    assert len(report.figures["loss.png"]().axes[0].lines) == 12
    stored = folder.description()
    assert stored.fingerprint == "abc" and len(stored.members) == 12
    assert stored.calibration == report.fit.record()
    assert stored.calibration_for(Thresholds()) == report.fit.calibration


def test_first_members_only(trained):
    folder, labelled = trained
    report = evaluate_ensemble(folder, DESCRIPTION, labelled, n=3)
    assert report.metrics["members"] == 3
    assert report.tables["members.csv"]["member"].tolist() == [0, 1, 2]
    assert len(folder.description().members) == 12


def test_thresholds_and_untrained_bal_head(trained, evaluated):
    """``min_lines`` selects the deciding confidence; an untrained BAL head is ignored."""
    folder, labelled = trained
    table, oob = evaluated
    thresholds = Thresholds(0.4, min_lines=2)
    description = EnsembleDescription(thresholds=thresholds, bal_trained=False)
    report = evaluate_ensemble(folder, description, labelled, n=12)
    # The second line has half the confidence of the first.
    second = OutOfBag(oob.deciding / 2, oob.z_best, oob.bal)
    expected = evaluate(table, second.combined(thresholds))
    for name in ("completeness", "purity", "z_nmad"):
        assert report.metrics[f"oob_{name}"] == expected[name]
    assert report.metrics["oob_bal_recall"] is None
