"""The command line, run as a user runs it."""

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
    words = ("train", "som", "infer", "query", "pipeline", "mock", "demo")
    for word in (*words, "data=desi_release|files|mock"):
        assert word in asked.stdout
    # About 1 s here; importing TensorFlow or MLflow takes much longer.
    assert took < 10
    assert qnal_command().stdout == asked.stdout


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (
            "sys.argv = ['qnal', '--help']; from qnal.cli import main; main()",
            ["tensorflow", "mlflow", "pandas", "astropy", "matplotlib"],
        ),
        (
            "import qnal.config.validation, qnal.tracking, qnal.stages.query, qnal.stages.label",
            ["tensorflow", "keras", "mlflow"],
        ),
    ],
)
def test_only_what_is_needed_is_imported(code, heavy):
    code = f"import sys; {code}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


MISTAKES = [
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
    (["stage=train", "executor.max_wrokers=2"], ["Did you mean executor.max_workers?"]),
    (["stage=train", "+executor.max_wrokers=2"], ["Did you mean executor.max_workers?"]),
    (["stage=train", "executor.max_worker=2"], ["Did you mean executor.max_workers?"]),
    (["stage=train", "executor=slurm", "executor.cores=0"], ["executor.cores=0", "from 1"]),
    (["stage=train", "executor=slurm", "executor.memory=16"], ["executor.memory=16", "text"]),
    (["stage=train", "objective=-oob completeness"], ["objective=-oob completeness", "metric"]),
    (["stage=train", "+train.epocs=2"], ["Did you mean train.epochs?"]),
    (["-m", "stage=train", "train.epocs=1,2"], ["Did you mean train.epochs?"]),
    (["--config-name", "nope"], ["Cannot find primary config 'nope'"]),
    (["--config-dir", "/nowhere"], ["'/nowhere' not found"]),
    (["stage=train", "debug=fast"], ["debug=fast", "default"]),
    (["stage=train", "lines.names=[LYA,CIV(1548)]"], ["cannot be parsed", "'CIV'"]),
    (["stage=train", "query.memory_limit=much"], ["query.memory_limit=much", "4GB"]),
    (["stage=train", "executor._target_=no.Where"], ["executor._target_=no.Where", "serial"]),
    (["stage=train", "executor._target_=null"], ["executor._target_", "MPIPoolExecutor"]),
    (["stage=infer"], ["data.pool"]),
    (["stage=infer", "data.pool=/nowhere"], ["data.pool=/nowhere", "no such file"]),
    (["stage=query"], ["query.scores", "stage=infer"]),
    (["stage=mock", "data.mock.pool=9"], ["data.mock.pool", "add data=mock"]),
    (["stage=mock", "data=mock", "data.mock.mix.qso=-1"], ["data.mock.mix.qso", "positive"]),
]
# Runs the command once per line of standard input, which spares the start of a process for each.
COMMANDS = """
import contextlib, io, json, os, sys
from hydra.core.global_hydra import GlobalHydra
from qnal import cli
os.environ["HYDRA_FULL_ERROR"] = "1"
for line in sys.stdin:
    sys.argv, error, code = ["qnal", *json.loads(line)], io.StringIO(), 0
    cli._codes.clear()
    GlobalHydra.instance().clear()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, error.getvalue()]))
"""


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Exit code, standard error and work folder of each of the commands with a mistake."""
    folders = [tmp_path_factory.mktemp("refused") for _ in MISTAKES]
    lines = [
        json.dumps([*arguments, f"work_dir={folder}", "tracking=none"])
        for (arguments, _), folder in zip(MISTAKES, folders, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return [(*result, folder) for result, folder in zip(results, folders, strict=True)]


@pytest.mark.parametrize("k", range(len(MISTAKES)), ids=lambda k: " ".join(MISTAKES[k][0]))
def test_mistakes_get_one_sentence(refused, k):
    code, error, folder = refused[k]
    assert code == 1
    (line,) = [line for line in error.splitlines() if line]
    assert line.startswith("error: ")
    assert line.endswith((".", "?"))
    for word in MISTAKES[k][1]:
        assert word in line, line
    made = [p for p in folder.rglob("*") if p.is_file() and "runs" not in p.parts]
    assert [p for p in made if "sweeps" not in p.parts] == []


@pytest.mark.parametrize("value", ["", "null"])
def test_without_a_work_folder_nothing_is_made(qnal_command, tmp_path, value):
    done = qnal_command("stage=train", f"work_dir={value}", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: work_dir=")
    assert list(tmp_path.iterdir()) == []


def test_a_bug_is_not_taken_for_a_refusal(tmp_path):
    code = (
        "import sys, qnal.cli, qnal.job; qnal.job._run_stage = lambda *given: int('a bug');"
        f"sys.argv = ['qnal', 'stage=mock', 'work_dir={tmp_path}']; qnal.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ValueError: invalid literal")
    (path,) = tmp_path.rglob("summary.json")
    assert json.loads(path.read_text())["status"] == "failed"


def test_a_config_folder_of_ones_own_adds_choices_and_keeps_the_sentences(qnal_command, tmp_path):
    (tmp_path / "conf" / "train").mkdir(parents=True)
    (tmp_path / "conf" / "train" / "long.yaml").write_text(
        "defaults:\n  - reference\n  - _self_\nepochs: 99\n"
    )
    (tmp_path / "conf" / "train" / "broken.yaml").write_text("epochs: 3\nthreads: [\n")
    (tmp_path / "conf" / "train" / "wrong.yaml").write_text("epohcs: 3\n")
    folder = ("--config-dir", str(tmp_path / "conf"))
    shown = qnal_command(*folder, "train=long", "--cfg", "job")
    assert "epochs: 99" in shown.stdout
    for override, words in (
        (
            "train=lnog",
            "train=lnog: there is no such choice; valid ones: broken, long, ",
        ),
        ("train.epocs=1", "Did you mean train.epochs?"),
        ("train=wrong", "train.epohcs: there is no such key"),
        ("train=broken", "broken.yaml, line 3: this is not valid YAML ("),
    ):
        done = qnal_command(*folder, "stage=train", override, cwd=tmp_path)
        assert done.returncode == 1
        assert words in done.stderr and done.stderr.count("\n") == 1


STRATEGY = """
from qnal.query.strategies.strategy import Strategy

class Faintest(Strategy):
    name, columns, highest, label = "faintest", ("SNR_B",), 1.0, "1 / (1 + SNR)"

    def utility(self):
        return "1 / (1 + SNR_B)"
"""


def test_a_config_folder_adds_an_experiment_a_data_set_and_a_strategy(
    qnal_command, tmp_path, monkeypatch
):
    own = {
        "data/cmx": "defaults:\n  - files\n  - _self_\npool: cmx/tiles\n",
        "query/faintest": "defaults:\n  - vote_entropy\n  - _self_\n"
        "strategy:\n  _target_: my_strategies.Faintest\n",
        "experiment/cmx": "# @package _global_\ndefaults:\n  - override /data: cmx\n"
        "  - override /query: faintest\nstage: query\nquery:\n  n: 2\n",
    }
    for name, text in own.items():
        path = tmp_path / "my" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "my_strategies.py").write_text(STRATEGY)
    rows = [f"{2**53 + k},{snr}" for k, snr in enumerate((5.0, 0.5, 2.0))]
    (tmp_path / "scores.csv").write_text("\n".join(["TARGETID,SNR_B", *rows]) + "\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    own_folder = ("--config-dir", "my", "experiment=cmx")
    done = qnal_command(*own_folder, "query.scores=scores.csv", "tracking=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (listed,) = tmp_path.rglob("targetid_selection.txt")
    assert listed.read_text().split() == [str(2**53 + 1), str(2**53 + 2)]
    assert "pool: cmx/tiles" in qnal_command(*own_folder, "--cfg", "job", cwd=tmp_path).stdout
    usage = qnal_command("--config-dir", "my", "--help", cwd=tmp_path).stdout
    assert "data=cmx|desi_release|files|mock" in usage and "bootstrap, cmx, demo" in usage


COMPLETE = """
eval "$(qnal -sc install=bash)"
for COMP_LINE in 'qnal stage=train train.ep' 'qnal network.layers=4 data=mo' 'qnal exec' \
                 'qnal --config-dir ~/my data=mock experiment=cm' 'qnal --config-dir'; do
  words=($COMP_LINE); COMP_CWORD=$((${#words[@]} - 1)); COMP_POINT=${#COMP_LINE}; COMPREPLY=()
  hydra_bash_completion
  echo "${COMPREPLY[@]}"
done
"""


def test_bash_completes_groups_and_keys(tmp_path):
    (tmp_path / "qnal").write_text(f'#!/bin/sh\nexec {sys.executable} -m qnal "$@"\n')
    (tmp_path / "qnal").chmod(0o755)
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    (tmp_path / "my" / "experiment" / "cmx.yaml").write_text("# @package _global_\nstage: query\n")
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", COMPLETE], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "train.epochs=",
        "data=mock",
        "executor. executor=",
        "experiment=cmx",
        "",
    ]


def test_hydras_own_options_work(qnal_command, tmp_path, monkeypatch):
    installed = qnal_command("-sc", "install=bash", cwd=tmp_path)
    assert installed.returncode == 0 and "complete" in installed.stdout
    monkeypatch.setenv("COMP_LINE", "qnal stage=train train=")
    choices = [f"train={name}" for name in ("reference", "short", "small")]
    assert qnal_command("-sc", "query=bash").stdout.split() == choices
    assert "Defaults List" in qnal_command("--info", "defaults", "stage=train").stdout
    assert "stage: train" in qnal_command("--cfg", "job", "--resolve", "stage=train").stdout
    assert "Hydra" in qnal_command("--hydra-help").stdout
    assert qnal_command("--version").stdout.startswith("qnal ")
    unknown = qnal_command("--nope")
    assert unknown.returncode == 1 and "--nope" in unknown.stderr


def test_debug_default_runs_a_stage_in_seconds_with_a_traceback(qnal_job, tmp_path, capsys):
    fast = ("data=mock", "debug=default", f"work_dir={tmp_path}", "tracking=none")
    code, summary = qnal_job(tmp_path / "train", "stage=train", *fast)
    assert code == 0 and summary["metrics"]["members"] == 2
    code, _ = qnal_job(tmp_path / "query", "stage=query", *fast)
    assert code == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_refused_job_says_so_in_its_summary(qnal_command, tmp_path):
    qnal_command("stage=infer", f"work_dir={tmp_path}", "tracking=none")
    (path,) = tmp_path.rglob("summary.json")
    summary = json.loads(path.read_text())
    assert summary["status"] == "refused"
    assert "data.pool" in summary["error"]


@pytest.mark.slow
def test_the_jobs_of_a_multirun_are_recorded_apart(qnal_command, tiny, tmp_path):
    from mlflow import MlflowClient

    done = qnal_command(
        "-m",
        *[o for o in tiny if not o.startswith(("ensemble.n=", "train.epochs", "train.min_steps"))],
        "stage=train",
        "network.layers=4,6",
        "data.mock.pool=0",
        "train.epochs=2",
        "train.min_steps=0",
        "ensemble.n=2",
        f"work_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    summaries = [json.loads(p.read_text()) for p in sorted(tmp_path.rglob("summary.json"))]
    assert len(summaries) == 2
    assert len({s["paths"]["ensemble"] for s in summaries}) == 2
    shapes = []
    for summary in summaries:
        ensemble = json.loads(Path(summary["paths"]["ensemble"], "ensemble.json").read_text())
        record = json.loads(Path(summary["paths"]["ensemble"], "members/0001.json").read_text())
        shapes.append((ensemble["network"]["layers"], len(record["loss"])))
    assert sorted(shapes) == [(4, 2), (6, 2)]

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    runs = client.search_runs([experiment.experiment_id])
    stages = [r for r in runs if r.data.tags["qnal.stage"] == "train"]
    assert {r.info.run_id for r in stages} == {s["mlflow_run_id"] for s in summaries}
    assert {r.data.params["network.layers"] for r in stages} == {"4", "6"}
    for stage in stages:
        members = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == stage.info.run_id]
        assert len(members) == 2
        assert {r.info.status for r in members} == {"FINISHED"}


def test_a_wheel_works_from_any_folder(tmp_path):
    """It contains the configuration and the experiments, and needs no checkout."""
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
