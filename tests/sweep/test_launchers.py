"""Sweeps as users start them: exit codes, tables and MLflow runs with each launcher."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.process

# With one job at a time joblib would start no workers.
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
SMALL = ("stage=mock", "data=mock", "data.mock.labelled=0", "data.mock.boss=0")


def weights(summary):
    return [m["sha256"] for m in json.loads(
        Path(summary["paths"]["ensemble"], "ensemble.json").read_text())["members"]]  # fmt: skip


@pytest.mark.parametrize(
    "launcher",
    [pytest.param((), id="basic", marks=pytest.mark.slow), pytest.param(JOBLIB, id="joblib")],
)
def test_a_refused_job_is_in_the_table_and_in_the_exit_code(qnal_command, tmp_path, launcher):
    done = qnal_command("-m", *SMALL, "data.mock.pool=-1,20", *launcher, f"work_dir={tmp_path}")
    assert done.returncode == 1
    assert "error: job 0 (data.mock.pool=-1): data.mock.pool=-1" in done.stderr
    assert "refused" in done.stdout and "done" in done.stdout
    (path,) = (tmp_path / "sweeps").rglob("sweep.csv")
    table = pd.read_csv(path)
    assert table.status.tolist() == ["refused", "done"]
    assert table["data.mock.pool"].tolist() == [-1, 20]
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    child = runs.pop("pool=20")
    ((title, parent),) = runs.items()
    assert title == "sweep mock: pool"
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("2 jobs, of which 1 are done; they differ in `data.mock.pool`.")
    assert "| `data.mock.pool=-1` |" in note and "mlflow.user" in parent.data.tags
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.run_id == table.mlflow_run_id.iloc[1]
    assert (child.info.status, parent.info.status) == ("FINISHED", "FAILED")
    assert parent.data.metrics == {"jobs": 2, "jobs_done": 1}
    assert [a.path for a in client.list_artifacts(parent.info.run_id)][-1] == "sweep.csv"


@pytest.mark.slow
def test_jobs_in_one_worker_are_isolated(qnal_command, tiny, tmp_path):
    """Equal seeds give equal bytes, whatever the worker has computed before."""
    given = [o for o in tiny if not o.startswith(("ensemble.n=", "train.min_steps"))]
    done = qnal_command(
        "-m", *given, "stage=train", "ensemble.n=1", "train.min_steps=0", *JOBLIB,
        "train.threads=1,2,1", "objective=oob_completeness", "tracking=none",
        f"work_dir={tmp_path}/${{hydra:job.num}}", f"hydra.sweep.dir={tmp_path}/sweep",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "sweep"
    found = [json.loads((folder / str(k) / "summary.json").read_text()) for k in range(3)]
    assert weights(found[0]) == weights(found[2])
    table = pd.read_csv(folder / "sweep.csv")
    assert table.objective.tolist() == pytest.approx(table.oob_completeness.tolist(), nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), JOBLIB], ids=["basic", "joblib"])
def test_a_killed_sweep_takes_its_processes_along(tiny, tmp_path, launcher):
    command = ["-m", *tiny, "stage=train", "seed=1,2", *launcher, f"work_dir={tmp_path}"]
    sweep = subprocess.Popen(
        [sys.executable, "-m", "qnal", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    in_training, deadline = (2 if launcher else 1), time.monotonic() + 300
    while len(list(tmp_path.glob("ensembles/*/members/.0000.lock"))) < in_training:
        assert sweep.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    processes = psutil.Process(sweep.pid).children(recursive=True)
    sweep.kill()
    sweep.wait()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("qnal").experiment_id])
    jobs = [r.info.status for r in runs if r.data.tags["qnal.stage"] == "train"]
    assert jobs == ["KILLED"] * in_training  # each has ended its run
