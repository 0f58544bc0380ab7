"""The command line as a user meets it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[1]


def test_help_names_stages_and_experiments_quickly(qnal_command):
    start = time.perf_counter()
    asked = qnal_command("--help")
    took = time.perf_counter() - start
    assert asked.returncode == 0
    for word in ("train", "som", "infer", "query", "pipeline", "mock", "demo", "data=files|mock"):
        assert word in asked.stdout
    # The promise is 2 s; TensorFlow, MLflow or pandas at import would take longer than 10.
    assert took < 10
    assert qnal_command().stdout == asked.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['qnal', '--help']; from qnal.cli import main; main();"
        "print([m for m in ('tensorflow', 'mlflow', 'pandas', 'astropy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stage=trian"], ["stage", "trian", "train", "pipeline"]),
        (["stage=train", "train.epocs=3"], ["train.epocs", "epochs", "Did you mean"]),
        (["stage=train", "trian.epochs=3"], ["trian", "Did you mean train?"]),
        (["stage=train", "data=moc"], ["data=moc", "files", "mock"]),
        (["experiment=dmeo"], ["experiment=dmeo", "demo"]),
        (["-m", "stage=train", "data=mock,moc"], ["data=moc", "mock"]),
        (["train"], ["'train'", "key=value"]),
        (["data=mock"], ["stage is not set", "train"]),
        (["stage=train", "ensemble.n=0"], ["ensemble.n=0", "from 1"]),
        (["stage=train", "ensemble.n=many"], ["ensemble.n", "many"]),
        (["stage=train", "train.learning_rate=-1"], ["train.learning_rate", "above 0"]),
        (["stage=train", "network.padding=wide"], ["network.padding", "auto", "same", "valid"]),
        (["stage=train", "lines.names=[LYA,Lyb]"], ["Lyb", "LYB", "CIV(1548)"]),
        (["stage=train", "ensemble.min_lines=9"], ["ensemble.min_lines=9", "6"]),
        (["stage=query", "query.strategy=best"], ["query.strategy", "vote_entropy", "margin"]),
        (["stage=train"], ["no labelled spectra", "data.desi.spectra", "data=mock"]),
        (["stage=train", "data.desi.spectra=/nowhere/a.fits"], ["data.desi.truth"]),
        (["stage=train", "executor=mpi"], ["executor=mpi", "serial", "local", "dask", "slurm"]),
        (["stage=train", "executor.max_workers=0"], ["executor.max_workers=0", "from 1"]),
        (["stage=train", "executor.max_wrokers=2"], ["executor.max_wrokers"]),
        (["stage=train", "executor._target_=no.Where"], ["executor._target_=no.Where", "serial"]),
        (["stage=train", "executor._target_=null"], ["executor._target_", "MPIPoolExecutor"]),
        (["stage=infer"], ["data.pool"]),
        (["stage=infer", "data.pool=/nowhere"], ["data.pool=/nowhere", "no such file"]),
        (["stage=query"], ["query.scores", "stage=infer"]),
        (["stage=mock", "data.mock.pool=9"], ["data.mock.pool", "add data=mock"]),
        (["stage=mock", "data=mock", "data.mock.mix.qso=-1"], ["data.mock.mix.qso", "positive"]),
    ],
)
def test_mistakes_get_one_sentence(qnal_command, tmp_path, arguments, words):
    done = qnal_command(*arguments, f"work_dir={tmp_path}", "tracking=none")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("error: ")
    assert line.endswith((".", "?"))
    for word in words:
        assert word in line, line
    made = [p for p in tmp_path.rglob("*") if p.is_file() and "runs" not in p.parts]
    assert [p for p in made if "sweeps" not in p.parts] == []


def test_a_refused_job_says_so_in_its_summary(qnal_command, tmp_path):
    qnal_command("stage=infer", f"work_dir={tmp_path}", "tracking=none")
    (path,) = tmp_path.rglob("summary.json")
    summary = json.loads(path.read_text())
    assert summary["status"] == "refused"
    assert "data.pool" in summary["error"]


def test_multirun_gives_comparable_runs_that_do_not_mix(qnal_command, tiny, tmp_path):
    from mlflow import MlflowClient

    done = qnal_command(
        "-m",
        *[o for o in tiny if not o.startswith(("ensemble.n=", "train.epochs", "train.min_steps"))],
        "stage=train",
        "network.layers=4,6",
        "train.epochs=1,2",
        "train.min_steps=0",
        "ensemble.n=2",
        f"work_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    summaries = [json.loads(p.read_text()) for p in sorted(tmp_path.rglob("summary.json"))]
    assert len(summaries) == 4
    assert len({s["paths"]["ensemble"] for s in summaries}) == 4
    shapes = []
    for summary in summaries:
        ensemble = json.loads(Path(summary["paths"]["ensemble"], "ensemble.json").read_text())
        record = json.loads(Path(summary["paths"]["ensemble"], "members/0001.json").read_text())
        shapes.append((ensemble["network"]["layers"], len(record["loss"])))
    assert sorted(shapes) == [(4, 1), (4, 2), (6, 1), (6, 2)]

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    runs = client.search_runs([experiment.experiment_id])
    stages = [r for r in runs if r.data.tags["qnal.stage"] == "train"]
    assert {r.info.run_id for r in stages} == {s["mlflow_run_id"] for s in summaries}
    params = {(r.data.params["network.layers"], r.data.params["train.epochs"]) for r in stages}
    assert params == {("4", "1"), ("4", "2"), ("6", "1"), ("6", "2")}
    for stage in stages:
        members = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == stage.info.run_id]
        assert len(members) == 2
        assert {r.info.status for r in members} == {"FINISHED"}


def test_one_refused_job_of_a_multirun_does_not_stop_the_others(qnal_command, tiny, tmp_path):
    done = qnal_command(
        "-m",
        *[o for o in tiny if not o.startswith("data.mock.pool")],
        "stage=mock",
        "data.mock.pool=-1,50",
        f"work_dir={tmp_path}",
        "tracking=none",
    )
    assert done.returncode == 1
    found = [json.loads(p.read_text())["status"] for p in sorted(tmp_path.rglob("summary.json"))]
    assert found == ["refused", "done"]


def test_a_wheel_works_from_any_folder(tmp_path):
    """Configuration and experiments travel with it; nothing of the checkout is looked at."""
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(".git", ".venv", "work", "*cache*", "dist", "tests"),
    )
    python = [sys.executable, "-m"]
    build = [*python, "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("qnal-*.whl")
    site = tmp_path / "site"
    install = [*python, "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True)
    shutil.rmtree(source)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {"PYTHONPATH": str(site)}

    def qnal(*arguments):
        return subprocess.run(
            [*python, "qnal", *arguments],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    where = subprocess.run(
        [sys.executable, "-c", "import qnal; print(qnal.__file__)"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(site))
    assert re.search(r"experiment=NAME.*demo", qnal("--help"))
    job = qnal("experiment=demo", "--cfg", "job")
    assert "stage: pipeline" in job
    assert "kind: mock" in job
    qnal("stage=mock", "data=mock", "data.mock.labelled=0", "data.mock.boss=0",
         "data.mock.pool=20", "tracking=none")  # fmt: skip
    assert list((elsewhere / "work").rglob("coadd-*.fits"))
