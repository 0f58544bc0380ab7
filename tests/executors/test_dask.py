"""Dask and Slurm executors: refused settings, dead workers, and a training on a Slurm cluster."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from qnal.errors import ConfigError
from qnal.executors import dask as clusters
from qnal.executors.dask import dask, slurm
from qnal.executors.tasks import LostError, completed, made

JOB = {"jobs": 2, "cores": 1, "memory": "2GB", "walltime": "00:10:00"}


def test_there_is_no_scheduler(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT", 0.3)
    with pytest.raises(ConfigError, match=r"address=tcp://127.0.0.1:9: no Dask .*\.$"):
        made(partial(dask, "tcp://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("executor", "words"),
    [
        (partial(dask, max_workers=0), "executor.max_workers=0"),
        (partial(dask, "elsewhere://here"), "executor.address=elsewhere://here"),
        (partial(slurm, **JOB | {"jobs": 0}), "executor.jobs=0"),
    ],
)
def test_bad_values(monkeypatch, executor, words):
    monkeypatch.setattr(clusters, "CONNECT", 0.3)
    with pytest.raises(ConfigError, match=words):
        made(executor)


@pytest.mark.parametrize(
    ("executor", "package"),
    [(dask, "distributed"), (partial(slurm, **JOB), "dask_jobqueue")],
)
def test_a_missing_extra_is_named(monkeypatch, executor, package):
    monkeypatch.setattr(clusters, "which", lambda _: "sbatch")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package} .* pip install 'qnal\[dask\]'\.$"):
        made(executor)


def test_slurm_is_needed_for_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="needs sbatch"):
        made(partial(slurm, **JOB))


@pytest.mark.process
def test_a_unit_that_kills_dask_workers_is_given_up(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from units_of_work import Squares

    # Dask workers find modules through this variable.
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}")
    work = Squares(tmp_path, deadly=3, deaths=99)
    results = dict(completed(partial(dask, max_workers=2), work, range(6)))
    assert sorted(results) == list(range(6))
    lost = {k: results.pop(k) for k in range(6) if isinstance(results[k], LostError)}
    # Dask also gives up tasks that waited at the worker that died.
    assert 3 in lost and all("its worker died" in str(error) for error in lost.values())
    assert results == {k: k**2 for k in range(6) if k not in lost}
    assert os.getpid() not in work.pids()


def has_slurm() -> bool:
    return shutil.which("sinfo") is not None and subprocess.run(["sinfo"]).returncode == 0


@pytest.mark.skipif(not has_slurm(), reason="there is no Slurm here")
def test_training_in_jobs_of_slurm(qnal_job, tiny, pipeline, tmp_path):
    _, undisturbed = pipeline
    job = [*tiny[:-1], "executor=slurm", "executor.jobs=2", "executor.cores=1",
           "executor.memory=3GB", "executor.walltime=00:10:00"]  # fmt: skip
    assert tiny[-1] == "executor=serial"
    code, summary = qnal_job(
        tmp_path / "job", *job, "stage=train", f"work_dir={tmp_path}", "tracking=none"
    )
    assert code == 0 and summary["metrics"]["members"] == 3
    whole, ours = (Path(s["paths"]["ensemble"], "members") for s in (undisturbed, summary))
    for k in range(3):
        assert (ours / f"{k:04d}.h5").read_bytes() == (whole / f"{k:04d}.h5").read_bytes()
    assert list((tmp_path / "slurm").glob("*.out"))
