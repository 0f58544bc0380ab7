"""A work folder that is copied or moved goes on, and leaves its old place alone."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from qnal.labels.label_table import LabelTable


def content(folder: Path) -> dict[str, int]:
    """The time of each file."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in files}


@pytest.mark.parametrize(
    "moved", [pytest.param(False, marks=pytest.mark.slow), True], ids=["copied", "moved"]
)
def test_it_goes_on(pipeline, qnal_job, tiny, tmp_path, moved):
    """With the old place there and gone: infer, query, inspect, label, and training with labels."""
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(pipeline[0], old)
    named = str(pipeline[0])  # what files name; not in the way of a test that moves the folder
    for name in ("summary.json", "selection.json"):
        path = old / "job" / name
        path.write_text(path.read_text().replace(named, str(old)))
    shutil.copytree(old, new)
    if moved:
        shutil.rmtree(old)
    before = content(old)

    def run(stage: str, *overrides: str) -> dict:
        code, summary = qnal_job(
            new / "runs" / stage, *tiny, f"work_dir={new}", f"stage={stage}", *overrides
        )
        assert code == 0, summary
        assert all(Path(p).is_relative_to(new) for p in summary["paths"].values()), summary["paths"]
        return summary

    assert run("inspect")["metrics"]["with_member_redshifts"] == 10
    selection = pd.read_csv(new / "job" / "selection.csv")
    (truth,) = (new / "mock").glob("*/pool_truth.csv")
    labels = selection[["TARGETID"]].merge(pd.read_csv(truth), on="TARGETID")
    table = labels[["TARGETID"]].assign(
        VI_scanner="ann", VI_quality=4, VI_z=labels["Z"], VI_spectype=labels["CLASS"]
    )
    table.to_csv(new / "vi_ann.csv", index=False)
    labelled = run("label", f"label.tables={new / 'vi_ann.csv'}")
    pools = LabelTable(Path(labelled["paths"]["labels"])).current()["POOL"]
    assert pools.str.startswith("../mock/").all()
    trained = run("train", f"data.labels={labelled['paths']['labels']}")
    assert trained["metrics"]["labels_inspected_labelled"] >= 10

    shutil.rmtree(new / "scores")
    ensemble = new / Path(pipeline[1]["paths"]["ensemble"]).relative_to(pipeline[0])
    scored = run("infer", f"ensemble.path={ensemble}")
    assert scored["metrics"]["forward_passes"] == 0  # cached predictions are found
    assert Path(scored["paths"]["scores"]).name == Path(pipeline[1]["paths"]["scores"]).name
    run("query")
    assert run("train", "ensemble.n=4")["metrics"]["members"] == 4
    assert json.loads((new / "latest.json").read_text())["labels"] == "labels/labels.parquet"
    assert content(old) == before
