"""The whole circle on the mock survey: pipeline, inspection, labels, and training with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from qnal.ensemble.evaluation import comparison
from qnal.labels.label_table import LabelTable

CONTROLS = 20
PAGE = ("TARGETID", "EXPID", "NIGHT", "TILEID", "Spec_version", "Redrock_version",
        "Template_version", "Redrock_spectype", "Redrock_z", "Redrock_deltachi2", "VI_scanner",
        "VI_quality", "VI_issue", "VI_z", "VI_spectype", "VI_comment")  # fmt: skip
Job = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def circle(
    pipeline: tuple[Path, dict], qnal_job: Job, tiny: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:  # fmt: skip
    """Summaries of a query with control picks, of its labels, and of training with them."""
    work = tmp_path_factory.mktemp("circle") / "work"
    shutil.copytree(pipeline[0], work)
    common = [*tiny, f"work_dir={work}", f"query.control={CONTROLS}", "tracking=none"]

    def run(stage: str, *overrides: str) -> dict[str, Any]:
        code, summary = qnal_job(work / "runs" / stage, *common, f"stage={stage}", *overrides)
        assert code == 0, summary
        return summary

    done: dict[str, Any] = {"work": work, "query": run("query")}
    done["inspect"] = run("inspect")
    selection = pd.read_csv(done["query"]["paths"]["selection"])
    (truth_file,) = (work / "mock").glob("*/pool_truth.csv")
    truth = pd.read_csv(truth_file).set_index("TARGETID").loc[selection["TARGETID"]]
    done["truth"], done["selection"] = truth, selection
    for inspector, z in (("ann", truth["Z"]), ("bob", truth["Z"] + 0.001)):
        filled(inspector, selection, truth["CLASS"], z).to_csv(
            work / f"vi_{inspector}.csv", index=False
        )
    done["label"] = run("label", f"label.tables='{work}/vi_*.csv'")
    done["train"] = run("train", f"data.labels={done['label']['paths']['labels']}")
    return done


def filled(
    inspector: str, selection: pd.DataFrame, spectype: pd.Series, z: pd.Series
) -> pd.DataFrame:
    """A table in the columns of prospect's pages."""
    table = pd.DataFrame("", index=selection.index, columns=list(PAGE))
    return table.assign(
        TARGETID=selection["TARGETID"], TILEID=selection["TILEID"], VI_scanner=inspector,
        VI_quality=4, VI_z=z.round(4).to_numpy(), VI_spectype=spectype.to_numpy(),
    )  # fmt: skip


def test_the_page_holds_the_picks_and_the_controls(circle: dict[str, Any]) -> None:
    assert circle["inspect"]["metrics"]["spectra"] == len(circle["selection"])
    assert Path(circle["inspect"]["paths"]["page"]).is_file()


def test_labels_are_those_of_the_truth(circle: dict[str, Any]) -> None:
    metrics = circle["label"]["metrics"]
    assert metrics["labels"] == metrics["new_labels"] == len(circle["selection"])
    assert metrics["control"] == CONTROLS
    assert metrics["conflicts"] == metrics["not_returned"] == metrics["not_asked"] == 0
    assert metrics["kappa"] == pytest.approx(1)
    assert {"labels", "selection"} <= circle["label"]["paths"].keys()
    table = LabelTable(Path(circle["label"]["paths"]["labels"])).current().set_index("TARGETID")
    truth = circle["truth"]
    assert (table.loc[truth.index, "SPECTYPE"] == truth["CLASS"]).all()
    assert np.abs(table.loc[truth.index, "Z"] - truth["Z"]).max() < 0.002
    assert (table["INSPECTORS"] == "ann;bob").all()
    assert table["REASON"].str.len().min() > 0 and table["STRATEGY"].notna().all()
    population = circle["query"]["metrics"]["control_population"]
    assert (table.loc[table["CONTROL"], "POPULATION"] == population).all()


def test_training_takes_all_exposures_of_the_labelled_targets(circle: dict[str, Any]) -> None:
    training_set = pq.read_table(
        Path(circle["train"]["paths"]["ensemble"]) / "training_set.parquet"
    ).to_pandas()
    inspected = training_set[training_set["SOURCE"] == "inspected"]
    scores = pq.read_table(Path(circle["query"]["paths"]["scores"]) / "parts").to_pandas()
    usable = scores[(scores["STATUS"] == "ok") & scores["TARGETID"].isin(circle["truth"].index)]
    expected = set(zip(usable["FILE"], usable["ROW"], usable["TARGETID"], strict=True))
    found = set(zip(inspected["FILE"], inspected["ROW"], inspected["TARGETID"], strict=True))
    assert found == expected
    assert circle["train"]["metrics"]["labels_inspected_labelled"] == len(expected)


def test_metrics_on_control_labels_say_what_they_prove(circle: dict[str, Any]) -> None:
    metrics, notes = circle["train"]["metrics"], circle["train"]["notes"]
    assert metrics["control_labels"] == CONTROLS
    population = circle["query"]["metrics"]["control_population"]
    assert metrics["control_population"] == pytest.approx(population)
    assert metrics["control_quasars"] + metrics["control_without"] <= CONTROLS
    for name in ("completeness", "purity"):
        share = metrics[f"control_{name}"]
        if share is not None:
            assert metrics[f"control_{name}_low"] <= share <= metrics[f"control_{name}_high"]
    assert any("control labels measure a share of 50 % to ±" in note for note in notes)
    control = pd.read_csv(circle["work"] / "runs" / "train" / "control.csv")
    assert control["CONTROL"].sum() == CONTROLS
    thresholds = pd.read_csv(circle["work"] / "runs" / "train" / "thresholds.csv")
    assert {"all", "QSO"} <= set(thresholds["TARGET_CLASS"])
    assert thresholds["CONTROL_CALLED"].notna().any()


def test_without_labels_the_ensemble_is_the_one_of_the_pipeline(
    circle: dict[str, Any], pipeline: tuple[Path, dict], qnal_job: Job, tiny: list[str]
) -> None:
    work = circle["work"]
    code, summary = qnal_job(
        work / "again", *tiny, f"work_dir={work}", "stage=train", "tracking=none"
    )
    assert code == 0
    names = [Path(s["paths"]["ensemble"]).name for s in (summary, pipeline[1], circle["train"])]
    assert names[0] == names[1] != names[2]
    latest = json.loads((work / "latest.json").read_text())
    assert latest["labels"] == "labels/labels.parquet"


def test_control_labels_decide_between_ensembles(
    circle: dict[str, Any], pipeline: tuple[Path, dict], qnal_job: Job, tiny: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(comparison, "ENOUGH", 3)  # quasars; there are 20 control picks only
    work = circle["work"]
    latest = (work / "latest.json").read_bytes()
    common = [*tiny, f"work_dir={work}", "tracking=none"]
    code, summary = qnal_job(
        work / "compare", *common, "stage=compare",
        f"data.labels={circle['label']['paths']['labels']}",
        f"compare.champion={pipeline[1]['paths']['ensemble']}",
        f"compare.candidate={circle['train']['paths']['ensemble']}",
        "compare.draws=50", "query.control=80",
    )  # fmt: skip
    assert code == 0, summary
    metrics = summary["metrics"]
    assert metrics["compare_control"] == 1 and metrics["compare_targets"] <= CONTROLS
    assert "(control labels)" in summary["notes"][0]
    # Control picks, which any two queries share, are no part of what is compared.
    assert metrics["compare_shared_picks"] <= 10
    assert (work / "latest.json").read_bytes() == latest

    flipped = pd.read_csv(summary["paths"]["flipped"])
    assert (flipped["TARGETID"] > 0).all() and flipped["TARGETID"].is_unique
    targetids = (work / "compare" / "flipped_targetids.txt").read_text().split()
    assert [*map(int, targetids)] == flipped["TARGETID"].tolist()
    code, inspected = qnal_job(
        work / "inspect-flipped", *common, "stage=inspect",
        f"inspect.selection={summary['paths']['flipped']}",
    )  # fmt: skip
    assert code == 0 and inspected["metrics"]["spectra"] == len(flipped)
    assert inspected["metrics"]["with_member_redshifts"] == len(flipped)
