"""Jobs that are killed in the middle: the same command again makes what is missing, once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient


def killed_when(arguments: list[str], ready, limit: float = 300, alone: bool = False) -> set[int]:
    """Start a job in a process of its own, and kill it as soon as ``ready()``.

    With ``alone`` its workers are left to themselves; returns their process ids.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "qnal", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    start, became_ready = time.monotonic(), False
    while not became_ready and time.monotonic() - start < limit:
        assert process.poll() is None, "the job ended before it could be killed"
        time.sleep(0.01)
        became_ready = ready()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait()
    assert became_ready, f"the job was not where it is to be killed after {limit} s"
    return {int(pid) for pid in children}


def test_killed_training_goes_on(pipeline, qnal_job, tiny, tmp_path):
    _, undisturbed = pipeline
    whole = Path(undisturbed["paths"]["ensemble"])
    job = [*tiny, "stage=train", f"work_dir={tmp_path}"]

    def second_member_begun():
        return any(tmp_path.glob("ensembles/*/members/.0001.lock"))

    killed_when(job, second_member_begun)
    (folder,) = (tmp_path / "ensembles").iterdir()
    assert folder.name == whole.name
    first = (folder / "members/0000.json").stat().st_mtime_ns
    code, summary = qnal_job(tmp_path / "again", *job)
    assert code == 0
    assert summary["metrics"]["members"] == 3
    assert (folder / "members/0000.json").stat().st_mtime_ns == first
    for k in range(3):
        name = f"members/{k:04d}.h5"
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert not list(folder.rglob("*.part*"))

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("qnal").experiment_id])
    assert {r.info.status for r in runs} == {"FINISHED", "KILLED"}
    members = [r for r in runs if r.data.tags["qnal.stage"] == "member"]
    mine = [r for r in members if r.data.tags["mlflow.parentRunId"] == summary["mlflow_run_id"]]
    finished = {r.data.tags["qnal.member"] for r in mine if r.info.status == "FINISHED"}
    assert finished == {"0", "1", "2"}  # the first was adopted from the killed run


@pytest.mark.slow
def test_workers_end_with_a_killed_job_and_the_same_command_goes_on(
    pipeline, qnal_job, tiny, tmp_path
):
    _, undisturbed = pipeline
    whole = Path(undisturbed["paths"]["ensemble"])
    job = [*tiny, "stage=train", f"work_dir={tmp_path}"]

    def in_training():
        locks = tmp_path.glob("ensembles/*/members/.[0-9]*.lock")
        return any(not lock.with_name(f"{lock.stem[1:]}.json").exists() for lock in locks)

    local = ["executor=local", "executor.max_workers=2"]
    workers = killed_when([*job, *local], in_training, alone=True)
    assert len(workers) >= 2
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in workers)

    code, summary = qnal_job(tmp_path / "again", *job)
    assert code == 0
    folder = Path(summary["paths"]["ensemble"])
    for k in range(3):
        name = f"members/{k:04d}.h5"
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("qnal").experiment_id])
    assert sorted(r.info.status for r in runs if r.data.tags["qnal.stage"] == "train") == [
        "FINISHED",
        "KILLED",
    ]
    assert not [r for r in runs if r.info.status == "RUNNING"]


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def scoring(pipeline, tmp_path) -> list[str]:
    """Scoring the pool of the undisturbed pipeline with its ensemble and map, elsewhere."""
    work, undisturbed = pipeline
    (pool,) = (work / "mock").glob("*/pool/tiles/perexp")
    return [
        "stage=infer",
        f"ensemble.path={undisturbed['paths']['ensemble']}",
        "ensemble.n=3",
        f"som.path={undisturbed['paths']['som']}",
        "ensemble.line_threshold=0.6",
        f"data.pool={pool}",
        f"work_dir={tmp_path}",
        "tracking=none",
    ]


@pytest.mark.slow  # test_faults.py kills scoring too
def test_killed_scoring_goes_on(pipeline, scoring, qnal_job, tmp_path):
    _, undisturbed = pipeline
    killed_when(scoring, lambda: any(tmp_path.glob("scores/*/parts/**/*.parquet")))
    code, summary = qnal_job(tmp_path / "again", *scoring)
    assert code == 0
    ours, theirs = (Path(s["paths"]["scores"]) for s in (summary, undisturbed))
    names = sorted(p.relative_to(theirs) for p in theirs.glob("parts/**/*.parquet"))
    assert sorted(p.relative_to(ours) for p in ours.glob("parts/**/*.parquet")) == names
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_a_survey_that_was_damaged_is_written_again(qnal_job, tmp_path):
    job = ["stage=mock", "data=mock", "data.mock.labelled=0", "data.mock.boss=0",
           "data.mock.pool=60", f"work_dir={tmp_path}", "tracking=none"]  # fmt: skip
    assert qnal_job(tmp_path / "one", *job)[0] == 0
    file = sorted(tmp_path.rglob("coadd-*.fits"))[0]
    content = file.read_bytes()
    for damage in (lambda: file.unlink(), lambda: file.write_bytes(content[:1000])):
        damage()
        code, summary = qnal_job(tmp_path / "two", *job)
        assert code == 0
        assert summary["notes"] == []
        assert file.read_bytes() == content
    _, summary = qnal_job(tmp_path / "three", *job)
    assert "nothing was written" in summary["notes"][0]


def test_a_query_says_what_is_not_scored(scoring, qnal_job, tmp_path):
    _, scored = qnal_job(tmp_path / "one", *scoring)
    parts = sorted(Path(scored["paths"]["scores"], "parts").rglob("*.parquet"))
    parts[0].unlink()
    work = [f"work_dir={tmp_path}", "tracking=none"]
    code, summary = qnal_job(tmp_path / "two", "stage=query", *work)
    assert code == 0
    said = f"1 of the pool's {len(parts)} files have no scores"
    assert any(said in note for note in summary["notes"])


@pytest.mark.slow
def test_a_damaged_member_is_trained_again(pipeline, qnal_job, tiny, tmp_path):
    job = [*tiny, "ensemble.n=1", "stage=train", f"work_dir={tmp_path}", "tracking=none"]
    _, first = qnal_job(tmp_path / "one", *job)
    members = Path(first["paths"]["ensemble"], "members")
    for name in ("0000_oob.parquet", "0000.h5", "0000.json"):
        content = (members / name).read_bytes()
        (members / name).write_bytes(b"" if name.endswith("parquet") else b"[]")
        code, _ = qnal_job(tmp_path / "two", *job)
        assert code == 0
        if name.endswith("json"):
            same = [json.loads(c)["sha256"] for c in (content, (members / name).read_bytes())]
            assert same[0] == same[1]
        else:
            assert (members / name).read_bytes() == content


@pytest.mark.slow
def test_members_that_no_run_records_are_recorded(pipeline, qnal_job, tiny, tmp_path):
    """As if a job had been killed between the end of a member and its record."""
    from mlflow import MlflowClient

    job = [*tiny, "stage=train", f"work_dir={tmp_path / 'work'}"]
    assert qnal_job(tmp_path / "job", *job, "tracking=none")[0] == 0
    for _ in range(2):
        code, _ = qnal_job(tmp_path / "job", *job)
        assert code == 0
        client = MlflowClient(f"sqlite:///{tmp_path / 'work' / 'mlflow.db'}")
        experiments = [e.experiment_id for e in client.search_experiments()]
        names = [r.info.run_name for r in client.search_runs(experiments)]
        members = sorted(n for n in names if not n.startswith("train "))
        assert members == [f"member {k:04d}" for k in range(3)]
