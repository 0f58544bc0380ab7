"""The query stage, on the table of the notebook's query and where there is nothing to rank."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread


def test_notebook_selection_from_a_table(peer_data, qnal_job, tmp_path):
    golden = peer_data / "golden"
    expected = np.load(golden / "query_expected.npz")
    bmu = np.loadtxt(golden / "query_table.csv", delimiter=",", skiprows=1, usecols=6)
    side = round(np.sqrt(bmu.max() + 1))
    code, summary = qnal_job(
        tmp_path / "job",
        "stage=query",
        f"query.scores={golden / 'query_table.csv'}",
        f"query.bad_cameras={golden / 'query_bad_targetids.txt'}",
        f"query.exclude={golden / 'query_other_campaign.txt'}",
        f"query.n={len(expected['targetid'])}",
        f"som.shape=[{side},{side}]",
        f"work_dir={tmp_path}",
        "tracking=none",
    )
    assert code == 0
    rows = [n for _, n in summary["funnel"]]
    # The notebook counts after each of its steps; `science targets` takes nothing from its table.
    assert [n for n in expected["counts"] if n in rows] == list(expected["counts"])
    listed = Path(summary["paths"]["targetids"]).read_text().split()
    at_cut = np.round(expected["entropy"], 12) == np.round(expected["entropy"][-1], 12)
    sure = set(expected["targetid"][~at_cut].tolist())
    assert sure <= {int(t) for t in listed}
    assert len(listed) == len(expected["targetid"])


def table(path: Path, shares: list[tuple[float, float, float]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ["TARGETID", "TILEID", "EXPID", "C_NOT", "C_QSO_LZ", "C_QSO_HZ", "BMU"]
        writer.writerow(names)
        for k, share in enumerate(shares):
            writer.writerow([2**53 + 1 + 2 * k, 1, k, *share, k % 3])
    return path


def test_no_entropy_anywhere_is_refused(qnal_job, tmp_path):
    scores = table(tmp_path / "scores.csv", [(1, 0, 0), (0, 1, 0), (0, 0, 1)] * 5)
    code, summary = qnal_job(
        tmp_path / "job", "stage=query", f"query.scores={scores}", f"work_dir={tmp_path}",
        "tracking=none",
    )  # fmt: skip
    assert code == 1
    assert summary["status"] == "refused"
    assert "vote_entropy" in summary["error"]
    assert not (tmp_path / "job" / "targetid_selection.txt").exists()


def test_fewer_than_asked_for_is_noted(qnal_job, tmp_path):
    scores = table(tmp_path / "scores.csv", [(0.5, 0.5, 0), (1, 0, 0), (0.4, 0.4, 0.2)])
    code, summary = qnal_job(
        tmp_path / "job", "stage=query", f"query.scores={scores}", f"work_dir={tmp_path}",
        "tracking=none", "query.som_percentile=null", "query.n=10", "som.shape=[1,3]",
    )  # fmt: skip
    assert code == 0
    assert summary["metrics"]["selected"] == 2
    assert any("1 others have utility 0" in note for note in summary["notes"])
    listed = Path(summary["paths"]["targetids"]).read_text().split()
    # The target with utility 0 does not fill up the list.
    assert [int(t) for t in listed] == [2**53 + 5, 2**53 + 1]


@pytest.mark.parametrize("content", ["", "TARGETID,C_NOT\n", "a,b\n1,2\n"])
def test_a_table_without_scores_is_refused(qnal_job, tmp_path, content):
    (tmp_path / "scores.csv").write_text(content)
    code, summary = qnal_job(
        tmp_path / "job", "stage=query", f"query.scores={tmp_path / 'scores.csv'}",
        f"work_dir={tmp_path}", "tracking=none",
    )  # fmt: skip
    assert code == 1
    assert "scores.csv" in summary["error"]


def test_memory_limit_and_folder_are_keys(qnal_job, tmp_path):
    scores = table(tmp_path / "scores.csv", [(0.5, 0.5, 0), (1, 0, 0)])
    arguments = (
        "stage=query", f"query.scores={scores}", f"work_dir={tmp_path}", "tracking=none",
        "query.som_percentile=null", "query.n=1",
    )  # fmt: skip
    code, summary = qnal_job(tmp_path / "a", *arguments, "query.memory_limit=4 apples")
    assert code == 1
    assert summary["error"].startswith("query.memory_limit=4 apples cannot be used")
    code, summary = qnal_job(tmp_path / "b", *arguments, f"query.temp_dir={tmp_path / 'none'}")
    assert code == 1
    assert "there is no such folder" in summary["error"]
    folder = f"query.temp_dir={tmp_path}"
    code, _ = qnal_job(tmp_path / "c", *arguments, "query.memory_limit=200MB", folder)
    assert code == 0


def test_tensorflow_is_not_imported(tmp_path):
    scores = table(tmp_path / "scores.csv", [(0.5, 0.5, 0), (1, 0, 0)])
    arguments = ["qnal", "stage=query", f"query.scores={scores}", f"work_dir={tmp_path}"]
    code = (
        f"import sys; sys.argv = {[*arguments, 'tracking=none']}; from qnal.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


def test_control_picks_filters_and_files(pipeline_copy, qnal_job, tmp_path):
    """On the scores of a pipeline: rows, files, and labelled targets that are left out."""
    arguments = ("stage=query", f"work_dir={pipeline_copy}", "tracking=none", "query=herding",
                 "query.n=8", "som.shape=[4,4]")  # fmt: skip
    code, first = qnal_job(tmp_path / "a", *arguments, "query.control=4")
    assert code == 0, first
    rows = pq.read_table(first["paths"]["selection_parquet"]).to_pylist()
    assert [row["CONTROL"] for row in rows] == [False] * 8 + [True] * 4
    assert first["metrics"]["selected"] == 12 and first["metrics"]["control"] == 4
    population = first["metrics"]["control_population"]
    assert all("of 3 members say quasar" in row["REASON"] for row in rows)
    for name in ("picks_pool", "picks_votes", "picks_som", "selected_spectra"):
        ink = (imread(tmp_path / "a" / f"{name}.png")[..., :3].min(axis=-1) < 0.9).mean()
        assert 0.005 < ink < 0.9  # neither an empty page nor a black one
    files = (tmp_path / "a" / "prospect_files.txt").read_text().split("\n")[:-1]
    assert all(Path(file).is_file() for file in files)
    code, second = qnal_job(
        tmp_path / "b", *arguments, "query.control=4",
        f"query.labels={first['paths']['selection_parquet']}",
        "query.filters=[usable,science_targets,best_spectrum]",
    )  # fmt: skip
    assert code == 0, second
    assert second["metrics"]["control_population"] == population - 12
    again = pq.read_table(second["paths"]["selection_parquet"])["TARGETID"].to_pylist()
    assert not {row["TARGETID"] for row in rows} & set(again)


def test_a_bad_filter_is_refused_before_any_work(qnal_job, tmp_path):
    code, summary = qnal_job(
        tmp_path, "stage=query", f"work_dir={tmp_path}", "tracking=none", "query.filters=[usabel]"
    )
    assert code == 1
    assert summary["error"].startswith("query.filters[0]: there is no filter usabel; it takes one")
