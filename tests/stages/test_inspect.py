"""The inspect stage, on the selection of a tiny pipeline and without one."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from qnal.labels.label_table import LabelTable


@pytest.fixture(scope="module")
def inspected(pipeline, qnal_job, tmp_path_factory):
    work, _ = pipeline
    folder = tmp_path_factory.mktemp("inspect")
    code, summary = qnal_job(folder, "stage=inspect", f"work_dir={work}", "tracking=none")
    assert code == 0, summary
    return summary


def targets(page: Path) -> list[dict]:
    (packed,) = re.findall(r'id="targets">([^<]*)</script>', page.read_text())
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_last_selection_is_inspected(pipeline, inspected):
    listed = Path(pipeline[1]["paths"]["targetids"]).read_text().split()
    page = Path(inspected["paths"]["page"])
    assert sorted(t["id"] for t in targets(page)) == sorted(listed)
    assert inspected["metrics"]["spectra"] == len(listed)
    assert page.stat().st_size < 5e6


def test_the_members_redshifts_are_those_of_the_scores(inspected):
    """The vote shares and the median redshift of the scores follow from what the page shows."""
    assert inspected["metrics"]["with_member_redshifts"] == inspected["metrics"]["spectra"]
    for target in targets(Path(inspected["paths"]["page"])):
        z, quasar = np.array(target["ensemble"]["members"]).T
        quasar = quasar.astype(bool)
        shares = target["ensemble"]["shares"]
        assert 1 - quasar.mean() == pytest.approx(shares[0], abs=1e-6)
        assert (quasar & (z >= 2.1)).mean() == pytest.approx(shares[2], abs=1e-6)
        voting = np.sort(z[quasar] if quasar.any() else z)
        assert voting[(len(voting) - 1) // 2] == pytest.approx(target["ensemble"]["z"], abs=1e-4)


def test_a_given_selection_in_blind_mode(pipeline, qnal_job, tmp_path):
    work, summary = pipeline
    code, found = qnal_job(
        tmp_path / "job", "stage=inspect", f"work_dir={work}", "tracking=none",
        f"inspect.selection={summary['paths']['selection']}", "inspect.blind=true",
        "inspect.per_page=6", "inspect.title=round-1",
    )  # fmt: skip
    assert code == 0
    pages = [Path(found["paths"][name]) for name in ("page", "page_2")]
    assert sum(len(targets(page)) for page in pages) == found["metrics"]["spectra"]
    assert not any("ensemble" in t for page in pages for t in targets(page))


def test_suspected_labels_are_looked_at_again(pipeline, qnal_job, tiny, tmp_path):
    """Train on a survey with wrong labels, inspect those that are doubted, and return labels.

    The work folder is moved after the training.
    """
    old, new = tmp_path / "old", tmp_path / "new"
    given = [*tiny, "tracking=none", "data.mock.label_errors=0.2"]
    code, trained = qnal_job(old / "train", *given, "stage=train", f"work_dir={old}")
    assert code == 0 and trained["metrics"]["suspected_labels"] > 0
    selection = Path(trained["paths"]["suspected"])
    assert str(selection) in " ".join(trained["notes"])
    old.rename(new)
    selection = new / selection.relative_to(old)
    common = [*given, f"work_dir={new}"]
    code, found = qnal_job(
        tmp_path / "job", *common, "stage=inspect", f"inspect.selection={selection}"
    )
    assert code == 0
    rows = pd.read_csv(selection)
    shown = targets(Path(found["paths"]["page"]))
    assert sorted(int(t["id"]) for t in shown) == sorted(rows["TARGETID"])
    assert all(t["reason"].startswith("labelled ") for t in shown)
    table = rows[["TARGETID"]].assign(
        VI_scanner="ann", VI_quality=4, VI_z="0.5000", VI_spectype="GALAXY"
    )
    table.to_csv(tmp_path / "vi_ann.csv", index=False)
    code, labelled = qnal_job(
        tmp_path / "label", *common, "stage=label", f"label.selection={selection}",
        f"label.tables={tmp_path}/vi_ann.csv",
    )  # fmt: skip
    assert code == 0 and labelled["metrics"]["new_labels"] == len(rows)
    assert "cannot use these labels" not in " ".join(labelled["notes"])
    table = LabelTable(Path(labelled["paths"]["labels"]))
    for row in table.current().itertuples():
        assert row.POOL == ".." and (table.path.parent / row.POOL / row.FILES[0]).is_file()


def test_there_is_no_selection(qnal_job, tmp_path):
    code, summary = qnal_job(
        tmp_path / "job", "stage=inspect", f"work_dir={tmp_path}", "tracking=none"
    )
    assert code == 1
    assert "run stage=query first" in summary["error"]


def test_a_table_without_a_pool_is_refused(pipeline, qnal_job, tmp_path):
    code, summary = qnal_job(
        tmp_path / "job", "stage=inspect", f"work_dir={tmp_path}", "tracking=none",
        f"inspect.selection={_copied(Path(pipeline[1]['paths']['selection']), tmp_path)}",
    )  # fmt: skip
    assert code == 1
    assert "set data.pool" in summary["error"]


def test_tensorflow_is_not_imported(pipeline):
    work, _ = pipeline
    code = (
        f"import sys; sys.argv = {['qnal', 'stage=inspect', f'work_dir={work}', 'tracking=none']}\n"
        "from qnal.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


def _copied(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    copy.write_text(path.read_text())
    return copy


def test_the_page_is_an_artifact_of_its_run(pipeline, qnal_job, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(pipeline[0], work)
    code, summary = qnal_job(tmp_path / "job", "stage=inspect", f"work_dir={work}")
    assert code == 0
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    run = client.get_run(summary["mlflow_run_id"])
    recorded = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"inspection.html", "config.yaml"} <= recorded
    assert summary["paths"]["page"] in run.data.tags["mlflow.note.content"]
    assert summary["paths"]["page"] in " ".join(summary["notes"])
