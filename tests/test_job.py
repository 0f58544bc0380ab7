"""A job's objective, and what a job leaves behind when it ends badly."""

import json

import pandas as pd
import pytest

from qnal.job import objective
from qnal.summary import Summary


def test_objectives_have_a_sign():
    summary = Summary("train", metrics={"oob_z_nmad": 0.5, "members": 3, "oob_purity": None})
    assert objective(summary, "oob_z_nmad") == 0.5
    assert objective(summary, "-oob_z_nmad") == -0.5
    assert objective(summary, "+members") == 3.0
    assert objective(summary, "oob_purity") is None
    assert objective(summary, "z_nmad") is None


@pytest.mark.process
def test_a_misspelt_objective_is_noted(qnal_job, tmp_path):
    code, summary = qnal_job(
        tmp_path / "job", "stage=mock", "data=mock", "data.mock.labelled=0", "data.mock.boss=0",
        "data.mock.pool=20", "objective=-spectre", f"work_dir={tmp_path}", "tracking=none",
    )  # fmt: skip
    assert code == 0
    assert summary["notes"][-1] == (
        "objective=-spectre: stage=mock has no such metric; did you mean spectra?"
    )


@pytest.mark.slow
def test_a_killed_job_of_a_sweep_is_marked(qnal_command, tiny, tmp_path):
    """An executor that ends the process stands for the system that kills it."""
    done = qnal_command(
        "-m", *tiny, "stage=train", "seed=1,2", "executor._target_=os._exit",
        "+executor.status=9", "hydra.sweep.dir=sweep", "tracking=none", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    table = pd.read_csv(tmp_path / "sweep" / "sweep.csv")
    assert table.status.tolist() == ["failed", "failed"]
    killed = json.loads((tmp_path / "sweep" / "0" / "summary.json").read_text())
    assert "was it killed" in killed["error"]
