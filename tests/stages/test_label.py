"""stage=label: labels join the table once, conflicts go out again, bad input changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from qnal.labels.label_table import LabelTable

FIRST = 39633559463397282
PAGE = "TARGETID,Redrock_spectype,Redrock_z,VI_scanner,VI_quality,VI_z,VI_spectype,VI_comment\n"
Label = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A selection of six targets, two of them control picks, with the summary of its query."""
    run = tmp_path / "work" / "runs" / "query"
    run.mkdir(parents=True)
    lines = ["RANK,TARGETID,FILE,ROW,REASON,CONTROL"]
    lines += [f"{k},{FIRST + k},a.fits,{k},split {k},{str(k > 3).lower()}" for k in range(6)]
    (run / "selection.csv").write_text("\n".join(lines) + "\n")
    (run / "summary.json").write_text(json.dumps({"metrics": {"control_population": 900}}))
    latest = {"selection": "runs/query/selection.csv"}
    (tmp_path / "work" / "latest.json").write_text(json.dumps(latest))
    return tmp_path / "work"


@pytest.fixture
def label(qnal_job: Callable[..., tuple[int, dict[str, Any]]], work: Path) -> Label:
    def run(tables: object, *overrides: str) -> tuple[int, dict[str, Any]]:
        return qnal_job(
            work / "job", "stage=label", f"work_dir={work}", "tracking=none",
            f"label.tables='{tables}'", *overrides,
        )  # fmt: skip

    return run


def page(folder: Path, inspector: str, *labels: str) -> Path:
    path = folder / f"vi_{inspector}.csv"
    rows = [f"{FIRST + int(t)},QSO,1,{inspector},{r}" for t, r in (s.split(":") for s in labels)]
    path.write_text(PAGE + "\n".join(rows) + "\n")
    return path


def test_a_round_with_a_conflict_and_its_third_look(label: Label, work: Path) -> None:
    page(work, "ann", "0:4,2.5,QSO,BAL", "1:4,0,STAR,", "4:3,1.5,QSO,", "5:4,0,STAR,")
    page(work, "bob", "0:4,2.5,QSO,", "1:4,1.0,GALAXY,", "4:3,0,STAR,")
    code, summary = label(work / "vi_*.csv")
    assert code == 0, summary
    metrics = summary["metrics"]
    assert (metrics["labels"], metrics["conflicts"], metrics["control"]) == (2, 2, 1)
    assert (metrics["new_labels"], metrics["not_returned"], metrics["not_asked"]) == (2, 2, 0)
    table = LabelTable(Path(summary["paths"]["labels"]))
    current = table.current().set_index("TARGETID")
    assert current.loc[FIRST, ["SPECTYPE", "BAL", "REASON", "FILE", "ROW"]].tolist() == [
        "QSO", 1, "split 0", "a.fits", 0,
    ]  # fmt: skip
    assert current["CONTROL"].tolist() == [False, True]
    assert current.loc[FIRST + 5, ["POPULATION", "CONTROLS", "WEIGHT"]].tolist() == [900, 2, 450]
    assert json.loads((work / "latest.json").read_text())["labels"] == "labels/labels.parquet"
    asked = (work / "job" / "not_returned.txt").read_text().split()
    assert asked == [str(FIRST + 2), str(FIRST + 3)]

    # The same command again adds nothing; the third look decides, in the same round.
    code, summary = label(work / "vi_*.csv")
    assert code == 0 and summary["metrics"]["new_labels"] == 0
    conflicts = work / "conflicts.csv"
    conflicts.write_bytes(Path(summary["paths"]["conflicts"]).read_bytes())
    third = page(work, "eve", "1:4,0,STAR,", "4:4,1.5,QSO,")
    code, summary = label(third, f"label.selection={conflicts}")
    assert code == 0 and summary["metrics"]["new_labels"] == 2
    current = table.current().set_index("TARGETID")
    assert current["ROUND"].tolist() == [1, 1, 1, 1]
    assert current["SELECTION"].nunique() == 1
    assert current.loc[FIRST + 4, ["CONTROL", "POPULATION", "CONTROLS"]].tolist() == [True, 900, 2]


def test_a_correction_keeps_the_first_label(label: Label, work: Path) -> None:
    label(page(work, "ann", "0:4,2.5,QSO,"))
    code, summary = label(page(work, "ann", "0:4,2.6,QSO,"))
    assert code == 0 and summary["metrics"]["all_labels"] == 1
    history = LabelTable(Path(summary["paths"]["labels"])).history()
    assert history[["VERSION", "Z"]].to_numpy().tolist() == [[1, 2.5], [2, 2.6]]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["90:4,2.5,QSO,", "91:4,2.5,QSO,"], "belongs to another selection"),
        (["0:4,2.5,QSO,", "91:4,2.5,QSO,"], "neither in the selection nor in the pool"),
        (["0:4,2.5,QSO,", "0:4,2.5,QSO,"], "ann labelled target"),
        (["0:4,2,5,QSO,"], "write 2.1 instead of 2,1"),
        (["0:4,2.5,QSO,", "1:4,2."], "cut off or damaged"),
    ],
    ids=["another selection", "unknown", "twice", "2,1", "half a file"],
)
def test_bad_input_changes_nothing(
    label: Label, work: Path, labels: list[str], sentence: str
) -> None:
    label(page(work, "bob", "3:4,2.5,QSO,"))
    before = {p: p.read_bytes() for p in (work / "labels").glob("*.parquet")}
    latest = (work / "latest.json").read_text()
    code, summary = label(page(work, "ann", *labels))
    assert code == 1
    assert sentence in summary["error"] and summary["error"].count(". ") <= 1
    assert {p: p.read_bytes() for p in (work / "labels").glob("*.parquet")} == before
    assert (work / "latest.json").read_text() == latest


def test_a_number_at_the_end_of_a_file_that_was_cut_off(label: Label, work: Path) -> None:
    path = work / "vi_ann.csv"
    whole = f"TARGETID,VI_quality,VI_spectype,VI_z\n{FIRST},4,QSO,2.1345\n"
    path.write_text(whole[:-4])  # ends with 2.1
    code, summary = label(path)
    assert code == 1 and "ends with 2.1 in the middle of a line" in summary["error"]
    assert not (work / "labels").exists()
    path.write_text(whole)
    assert label(path)[0] == 0


def test_a_column_that_is_there_twice_is_refused(label: Label, work: Path) -> None:
    path = work / "vi_ann.csv"
    path.write_text(f"TARGETID,VI_quality,VI_spectype,VI_z,vi_z\n{FIRST},4,QSO,2.1,0.3\n")
    code, summary = label(path)
    assert code == 1 and "the column VI_z twice" in summary["error"]


def test_a_table_without_any_agreed_label(label: Label, work: Path) -> None:
    code, summary = label(page(work, "ann", "0:999,2.5,QSO,"))  # unresolved
    assert code == 0, summary
    assert (summary["metrics"]["labels"], summary["metrics"]["conflicts"]) == (0, 1)
    page(work, "ann", "0:4,2.5,QSO,")
    page(work, "bob", "0:4,0,STAR,")
    code, summary = label(work / "vi_*.csv")
    assert code == 0, summary
    assert (summary["metrics"]["conflicts"], summary["metrics"]["all_labels"]) == (1, 0)
    assert Path(summary["paths"]["conflicts"]).is_file()


def test_what_is_missing_is_named(label: Label, work: Path, tmp_path: Path) -> None:
    assert "label.tables=" in label(tmp_path / "no.csv")[1]["error"]
    path = page(work, "ann", "0:4,2.5,QSO,")
    assert "no such file" in label(path, f"label.selection={tmp_path}/no.csv")[1]["error"]
    (work / "latest.json").unlink()
    assert "label.selection is not set" in label(path)[1]["error"]
    assert not (work / "labels").exists()


def test_a_parquet_selection_with_large_integers_and_nulls(label: Label, work: Path) -> None:
    table = pd.DataFrame({"TARGETID": [FIRST, FIRST + 1], "ROW": pd.array([3, None], "Int32")})
    table.to_parquet(work / "selection.parquet")
    path = page(work, "ann", "0:4,2.5,QSO,")
    code, summary = label(path, f"label.selection={work}/selection.parquet")
    assert code == 0, summary
    assert LabelTable(Path(summary["paths"]["labels"])).current()["TARGETID"].tolist() == [FIRST]
