"""The table of a sweep, from what its jobs have written."""

import shutil
import time
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from qnal.summary import Summary
from qnal.sweep.figure import draw
from qnal.sweep.place import SweepDescription
from qnal.sweep.table import NO_SUMMARY, SweepTable


def write_job(folder, overrides, summary=None):
    (folder / "hydra").mkdir(parents=True)
    (folder / "hydra" / "overrides.yaml").write_text("".join(f"- {o}\n" for o in overrides))
    if summary is not None:
        summary.write(folder / "summary.json")
        (folder / "summary").mkdir()
        summary.write(folder / "summary" / "train.json")


@pytest.fixture
def sweep(tmp_path):
    """Twelve jobs, so that 10 must follow 9: job 1 incomplete, 2 refused, 3 killed."""
    for k in range(12):
        metrics = {"members": 8, "oob_completeness": 0.9 - 0.01 * k, "oob_boss_purity": 0.5}
        summary = Summary(
            "train", mlflow_run_id=f"run{k}", metrics=metrics, paths={"ensemble": "e"}
        )
        if k == 1:
            summary.status = "incomplete"
        if k == 2:
            summary = Summary("train", status="refused", error="wrong, here.")
        overrides = ["stage=train", f"train.learning_rate={k + 1}e-4"]
        write_job(tmp_path / str(k), overrides, None if k == 3 else summary)
    return tmp_path


def test_a_csv_with_all_jobs(sweep):
    table = SweepTable.read(sweep, metric="-oob_completeness")
    assert table.varied == ["train.learning_rate"]
    table.write(sweep / "sweep.csv")
    read = pd.read_csv(sweep / "sweep.csv")
    assert read.job.tolist() == list(range(12))
    assert read["train.learning_rate"].tolist() == pytest.approx(
        [(k + 1) * 1e-4 for k in range(12)]
    )
    assert read.status.value_counts().to_dict() == {
        "done": 9, "incomplete": 1, "refused": 1, "failed": 1
    }  # fmt: skip
    assert read.objective.iloc[11] == pytest.approx(-0.79)
    assert read.mlflow_run_id.iloc[11] == "run11"
    assert read.error.iloc[2] == "wrong, here." and read.error.iloc[3] == NO_SUMMARY
    assert read.folder.iloc[10] == str(sweep / "10")
    assert "oob_boss_purity" not in read


def test_jobs_of_an_earlier_sweep_in_the_same_folder_do_not_count(tmp_path):
    write_job(tmp_path / "0", ["seed=1"], Summary("train"))
    write_job(tmp_path / "1", ["seed=2"], Summary("train"))
    time.sleep(0.02)
    SweepDescription().write(tmp_path)
    shutil.rmtree(tmp_path / "0")
    write_job(tmp_path / "0", ["seed=3"])
    (job,) = SweepTable.read(tmp_path).jobs
    assert (job.overrides, job.summary.status) == ({"seed": "3"}, "failed")


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["done", "done"], 0),
        (["incomplete", "done"], 3),
        (["incomplete", "refused"], 1),
        (["failed", "done"], 1),
        ([None, "done"], 1),
        ([], 1),
    ],
)
def test_the_exit_code_is_the_worst(tmp_path, statuses, code):
    for k, status in enumerate(statuses):
        write_job(tmp_path / str(k), ["a=1"], status and Summary("train", status=status))
    assert SweepTable.read(tmp_path).exit_code == code


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_the_terminal(sweep, width):
    console = Console(width=width, record=True, file=StringIO())
    SweepTable.read(sweep).show(console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert len([line for line in lines if "done" in line]) == 9
    assert any("learning_rate" in line for line in lines)


def test_figures(sweep, tmp_path_factory):
    by_number = draw(SweepTable.read(sweep))
    (axes,) = by_number.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("train.learning_rate", "oob_completeness")
    points, crosses = axes.lines
    assert len(points.get_xdata()) == 10 and len(crosses.get_xdata()) == 2
    other = tmp_path_factory.mktemp("groups")
    for k, choice in enumerate(("small", "reference")):
        write_job(other / str(k), [f"train={choice}", "seed=1"], Summary("som", metrics={"cut": k}))
    by_job = draw(SweepTable.read(other))
    assert [t.get_text() for t in by_job.axes[0].get_yticklabels()] == [
        "train=small",
        "train=reference",
    ]
    write_job(other / "empty" / "0", ["a=1"])
    assert draw(SweepTable.read(other / "empty")) is None
