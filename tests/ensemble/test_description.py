"""Contract of the files of an ensemble: the keys of ``ensemble.json`` and of member records."""

import json

import pytest

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.description import CalibrationRecord, EnsembleDescription, ListedMember
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.member_record import MemberRecord
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import Thresholds
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid


def test_keys_of_a_description(tmp_path, evaluated):
    table, oob = evaluated
    structure = Structure(named_grid("log"), ("LYA",), ("CIV(1548)",))
    recipe = MemberRecipe(
        structure, Hyperparameters(), Thresholds(), Bootstrap.targets, seed=1, threads=1
    )
    description = EnsembleDescription.of(recipe, LabelledSet(oob.deciding, table))
    description.write(tmp_path / "ensemble.json")
    document = json.loads((tmp_path / "ensemble.json").read_text())
    assert list(document) == [
        "format_version", "calibration", "fingerprint", "training_set", "network", "lines",
        "train", "bootstrap", "seed", "thresholds", "bal_trained", "training_spectra", "classes",
        "members",
    ]  # fmt: skip
    assert list(document["network"]) == [
        "layers", "filters", "boxes", "padding", "offset_activation", "grid", "reg_conv",
        "reg_dense", "dropout",
    ]  # fmt: skip
    assert document["lines"] == {"names": ["LYA"], "bal": ["CIV(1548)"]}
    assert list(document["train"]) == [
        "epochs", "min_steps", "batch_size", "learning_rate", "amsgrad", "precision",
    ]  # fmt: skip
    assert document["thresholds"] == {"line_threshold": 0.95, "min_lines": 1, "high_z": 2.1}
    assert document["bal_trained"] and document["training_spectra"] == len(table)
    assert sum(document["classes"].values()) == len(table)
    assert EnsembleDescription.read(tmp_path / "ensemble.json") == description


def test_keys_of_calibration_members_and_records(
    tmp_path, random_network, out_of_bag_table, a_record
):
    folder = EnsembleFolder(tmp_path)
    network = random_network(layers=1, filters=2, units=3)
    record = folder.add(network, out_of_bag_table, a_record(0))
    folder.write(EnsembleDescription(calibration=CalibrationRecord(why_not="too few")))
    document = json.loads((tmp_path / "ensemble.json").read_text())
    assert list(document["calibration"]) == [
        "parameters", "why_not", "spectra", "targets", "members", "folds", "before",
        "cross_fitted",
    ]  # fmt: skip
    (member,) = document["members"]
    assert member == {
        "file": "members/0000.h5", "member": 0, "seed": [1, 0], "attempt": 0,
        "sha256": record.sha256, "threads": 1, "group": 1, "versions": {"numpy": "2.0"},
    }  # fmt: skip
    stored = json.loads((tmp_path / "members" / "0000.json").read_text())
    assert list(stored) == [
        "member", "seed", "attempt", "threads", "group", "versions", "epochs", "bag_rows",
        "oob_rows", "loss", "oob", "sha256", "oob_sha256",
    ]  # fmt: skip
    assert MemberRecord.read(tmp_path / "members" / "0000.json") == record


def test_fields_of_later_versions_are_ignored(tmp_path):
    member = {"file": "members/0000.h5", "sha256": "ab", "colour": 1}
    document = {"format_version": 1, "members": [member], "colour": 2}
    (tmp_path / "ensemble.json").write_text(json.dumps(document))
    description = EnsembleDescription.read(tmp_path / "ensemble.json")
    assert description.members == (ListedMember(file="members/0000.h5", sha256="ab"),)
    assert not description.is_calibrated


@pytest.mark.parametrize("document", ["[]", "{}", '{"member": 0}', "3"])
def test_incomplete_records(tmp_path, document):
    (tmp_path / "0000.json").write_text(document)
    with pytest.raises((ValueError, TypeError)):
        MemberRecord.read(tmp_path / "0000.json")
