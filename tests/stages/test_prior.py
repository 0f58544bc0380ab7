"""``train.prior`` and ``train.init`` as jobs."""

import json
from pathlib import Path

import pytest

PRIOR = ["train.prior_spectra=60", "train.prior_weight=40", "train.min_steps=20", "ensemble.n=2"]
NO_LABELS = ["stage=train", "data.mock.labelled=0", "data.mock.boss=0"]


@pytest.fixture(scope="module")
def day_one(tmp_path_factory, qnal_job, tiny):
    """An ensemble trained on mock spectra alone."""
    work = tmp_path_factory.mktemp("prior")
    job = [*tiny, *PRIOR, *NO_LABELS, f"work_dir={work}", "network.filters=4"]
    code, summary = qnal_job(work / "job", *job, "train.prior=mix", "train.prior_weight=60")
    assert code == 0, summary
    assert any("trained on mock spectra alone" in note for note in summary["notes"])
    return work, job, Path(summary["paths"]["ensemble"])


def test_without_labels(day_one):
    _, _, ensemble = day_one
    description = json.loads((ensemble / "ensemble.json").read_text())
    assert description["training_spectra"] == 0
    assert description["train"]["prior"] == "mix"
    assert len(description["members"]) == 2


def test_pretraining_without_labels_is_the_same(day_one, qnal_job):
    work, job, ensemble = day_one
    code, summary = qnal_job(work / "alone", *job, "train.prior=pretrain")
    assert code == 0, summary
    assert summary["paths"]["ensemble"] == str(ensemble)


def test_pretraining_is_training_on_the_prior_alone(day_one, qnal_job):
    work, job, ensemble = day_one
    job = [*job, "data.mock.labelled=100", "train.prior=pretrain"]
    code, summary = qnal_job(work / "pretrain", *job)
    assert code == 0, summary
    made = {path.name for path in (work / "ensembles").iterdir()}
    assert made == {ensemble.name, Path(summary["paths"]["ensemble"]).name}
    # To start from that ensemble is the same.
    same = [*job, "train.prior=none", f"train.init={ensemble}"]
    code, again = qnal_job(work / "init", *same)
    assert code == 0, again
    assert again["paths"]["ensemble"] == summary["paths"]["ensemble"]
    code, refused = qnal_job(work / "both", *job, f"train.init={ensemble}")
    assert code == 1
    assert "set one of them" in refused["error"]
