"""stage=compare on two small ensembles."""

import shutil

import pandas as pd
import pytest
from mlflow import MlflowClient

MODEL = "qnal-ensemble"


@pytest.fixture(scope="module")
def work(pipeline, tmp_path_factory):
    """A copy of the pipeline's work folder."""
    copy = tmp_path_factory.mktemp("compare") / "work"
    shutil.copytree(pipeline[0], copy, symlinks=True)
    return copy


def test_an_ensemble_against_itself(work, tiny, qnal_job):
    latest = (work / "latest.json").read_bytes()
    folder = work / "itself"
    code, summary = qnal_job(
        folder, *tiny, "stage=compare", f"work_dir={work}", "compare.draws=50",
        "compare.promote=true",
    )  # fmt: skip
    assert code == 0, summary
    metrics = summary["metrics"]
    assert metrics["compare_flipped"] == metrics["compare_pool_changed"] == 0
    assert metrics["compare_pool_spectra"] == 200
    assert metrics["compare_shared_picks"] == 10
    assert metrics["compare_completeness_z_low"] == metrics["compare_completeness_z_high"] == 0
    assert "no difference" in summary["notes"][0]
    assert {"comparison.csv", "comparison.png", "flipped_targetids.txt"} <= {
        p.name for p in folder.iterdir()
    }
    assert len(pd.read_csv(folder / "comparison.csv")) == 4
    assert (work / "latest.json").read_bytes() == latest


def test_another_ensemble_is_promoted_only_if_asked(work, tiny, qnal_job):
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    champion = client.get_model_version_by_alias(MODEL, "champion").version
    settings = [*tiny, f"work_dir={work}", "seed=7", "compare.draws=50", "compare.pool=false"]
    code, _ = qnal_job(work / "train", *settings, "stage=train", "train.min_steps=0")
    assert code == 0
    candidate = client.get_model_version_by_alias(MODEL, "candidate").version
    assert candidate != champion
    for promote in ("false", "true"):
        code, summary = qnal_job(
            work / promote, *settings, "stage=compare", f"compare.promote={promote}"
        )
        assert code == 0, summary
        # An ensemble that was hardly trained finds no quasar, so it is worse.
        assert summary["metrics"]["compare_completeness_z_high"] < 0
        assert client.get_model_version_by_alias(MODEL, "champion").version == champion
    assert "it is not promoted" in summary["notes"][0]


def test_only_registered_models_can_be_promoted(work, pipeline, tiny, qnal_job):
    code, summary = qnal_job(
        work / "folder", *tiny, "stage=compare", f"work_dir={work}", "compare.pool=false",
        "compare.draws=20", "compare.promote=true", "compare.candidate=latest",
    )  # fmt: skip
    assert code == 1
    assert "models:/qnal-ensemble@candidate" in summary["error"]
