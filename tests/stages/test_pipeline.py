"""A pipeline on a tiny mock survey, which is written to FITS files and read from them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread

from qnal.labels.label import Label


def test_summary_has_what_programs_look_for(pipeline):
    work, summary = pipeline
    assert summary["stage"] == "pipeline"
    assert summary["status"] == "done"
    assert {"ensemble", "som", "scores", "selection"} <= set(summary["paths"])
    assert all(Path(path).exists() for path in summary["paths"].values())
    metrics = summary["metrics"]
    assert metrics["members"] == 3
    # 100 BOSS rows of which 1 % lack a TARGETID, and 300 DESI rows that all have a label.
    assert metrics["training_spectra"] == metrics["labels_boss_labelled"] + 300
    assert 90 <= metrics["labels_boss_labelled"] <= 100
    assert metrics["oob_spectra"] + metrics["oob_without"] == metrics["training_spectra"]
    assert 0 <= metrics["oob_completeness"] <= 1
    assert 0 <= metrics["oob_purity"] <= 1
    assert metrics["spectra"] == 200
    unusable = sum(metrics[s] for s in ("no_signal", "non_finite", "zero_variance"))
    assert metrics["scored"] == 200 - unusable
    assert summary["funnel"][0] == ["scored", 200]
    rows = [n for _, n in summary["funnel"]]
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] == metrics["selected"]
    for stage in ("train", "som", "infer", "query"):
        part = json.loads((work / "job" / "summary" / f"{stage}.json").read_text())
        assert part["status"] == "done"
        assert part["stage"] == stage


def test_label_counts_add_up(pipeline):
    metrics = pipeline[1]["metrics"]
    assert sum(metrics[f"labels_{label.name}"] for label in Label) == metrics["training_spectra"]
    for source, left_out in (("boss", ("without_targetid",)), ("desi", ("absurd_jump",))):
        parts = (*left_out, "unusable", "without_label", "labelled")
        total = sum(metrics[f"labels_{source}_{part}"] for part in parts)
        assert total == metrics[f"labels_{source}_spectra"]


def test_scores_have_every_fibre_once(pipeline):
    _, summary = pipeline
    parts = sorted(Path(summary["paths"]["scores"], "parts").rglob("*.parquet"))
    tables = [pq.read_table(part).to_pandas() for part in parts]
    assert sum(len(t) for t in tables) == 200
    for part, table in zip(parts, tables, strict=True):
        assert (table["ROW"] == np.arange(len(table))).all()
        assert table["FILE"].nunique() == 1
        assert part.name == Path(table["FILE"][0]).name + ".parquet"
        assert table["EXPID"].notna().all()  # perexp: from EXP_FIBERMAP or the path
        shares = table[["C_NOT", "C_QSO_LZ", "C_QSO_HZ"]].sum(axis=1)
        soft = table[["P_NOT", "P_QSO_LZ", "P_QSO_HZ"]].sum(axis=1)
        ok = table["STATUS"] == "ok"
        assert np.allclose(shares[ok], 1, atol=1e-6)
        assert np.allclose(soft[ok], 1, atol=1e-6)
        assert (table.loc[ok, "MUTUAL_INFO"] <= table.loc[ok, "ENTROPY"] + 1e-6).all()


def test_selection_is_of_the_pool_and_in_order(pipeline):
    _, summary = pipeline
    with Path(summary["paths"]["selection"]).open() as file:
        rows = list(csv.DictReader(file))
    listed = Path(summary["paths"]["targetids"]).read_text().split()
    assert [row["TARGETID"] for row in rows] == listed
    scores = [float(row["UTILITY"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    parts = Path(summary["paths"]["scores"], "parts").rglob("*.parquet")
    pool = {t for part in parts for t in pq.read_table(part)["TARGETID"].to_pylist()}
    assert {int(t) for t in listed} <= pool
    assert all(int(t) > 0 for t in listed)  # no sky fibres


FIGURES = ("utility", "funnel", "loss", "oob_redshifts", "som", "som_of_pool", "confusion",
           "completeness_purity", "reliability", "ensemble_size", "selected_spectra")  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_show_something(pipeline, name):
    image = imread(pipeline[0] / "job" / f"{name}.png")
    ink = (image[..., :3].min(axis=-1) < 0.9).mean()
    assert 0.005 < ink < 0.9  # neither an empty page nor a black one


def test_tables_agree_with_the_metrics(pipeline):
    work, summary = pipeline
    metrics = summary["metrics"]

    def table(name):
        whole = pd.read_csv(work / "job" / f"{name}.csv")
        return whole[whole["SOURCE"] == "all"] if "SOURCE" in whole else whole

    members, predictions = table("members"), pd.read_csv(work / "job" / "oob_predictions.csv")
    assert members["member"].tolist() == [0, 1, 2]
    assert len(predictions) == metrics["training_spectra"]
    assert (predictions["OOB_MEMBERS"] > 0).sum() == metrics["oob_spectra"]
    confusion = table("confusion").set_index("LABEL")[["NOT", "QSO_LZ", "QSO_HZ"]]
    quasars = confusion.loc[["QSO_LZ", "QSO_HZ"]]
    found = quasars[["QSO_LZ", "QSO_HZ"]].to_numpy().sum()
    assert found / quasars.to_numpy().sum() == pytest.approx(metrics["oob_completeness"])
    for name in ("by_snr", "by_redshift"):
        bins = table(name)
        assert bins["QUASARS"].sum() == quasars.to_numpy().sum()
        assert bins["FOUND"].sum() == found
    assert (
        table("thresholds").query("TARGET_CLASS == 'all'")["COMPLETENESS"].is_monotonic_decreasing
    )
    sizes = table("ensemble_size").groupby("SIZE")["COMPLETENESS"].last()
    assert sizes[3] == pytest.approx(metrics["oob_completeness"])


def test_the_calibration_is_stored_and_used_but_votes_stay(pipeline, qnal_job, tmp_path):
    work, summary = pipeline
    stored = json.loads(Path(summary["paths"]["ensemble"], "ensemble.json").read_text())
    calibration = stored["calibration"]
    assert summary["metrics"]["oob_calibrated"] == (calibration["parameters"] is not None)
    assert calibration["cross_fitted"]["nll"] == summary["metrics"]["oob_calibrated_nll"]
    dataset = json.loads(Path(summary["paths"]["scores"], "_dataset.json").read_text())
    assert dataset["calibration"] == calibration["parameters"] is not None
    (pool,) = (work / "mock").glob("*/pool/tiles/perexp")
    code, plain = qnal_job(
        tmp_path,
        "stage=infer",
        f"work_dir={tmp_path}",
        f"ensemble.path={summary['paths']['ensemble']}",
        f"data.pool={pool}",
        "ensemble.line_threshold=0.6",
        "ensemble.calibrate=false",
        "tracking=none",
    )
    assert code == 0
    assert (
        json.loads(Path(plain["paths"]["scores"], "_dataset.json").read_text())["calibration"]
        is None
    )
    scores = [
        pq.read_table(Path(s["paths"]["scores"], "parts")).to_pandas() for s in (summary, plain)
    ]
    same = [c for c in scores[0] if scores[0][c].equals(scores[1][c])]
    assert [c for c in scores[0] if c not in same] == [
        "P_NOT",
        "P_QSO_LZ",
        "P_QSO_HZ",
        "ENTROPY",
        "MUTUAL_INFO",
    ]
    calibrated = scores[0]["P_NOT"].dropna()
    lowest, highest = (calibration["parameters"][k] for k in ("lowest", "highest"))
    assert (1 - calibrated).between(lowest - 1e-6, highest + 1e-6).all()


def test_the_same_command_makes_nothing_again(pipeline, pipeline_copy, qnal_job, tiny, tmp_path):
    _, summary = pipeline
    work = pipeline_copy
    made = {
        p: p.stat().st_mtime_ns
        for kind in ("ensembles", "soms", "scores", "mock")
        for p in (work / kind).rglob("*.*")
        if p.suffix in (".h5", ".npy", ".parquet", ".fits")
    }
    code, again = qnal_job(tmp_path / "job", *tiny, "stage=pipeline", f"work_dir={work}")
    assert code == 0
    assert {p: p.stat().st_mtime_ns for p in made} == made
    same = ("members", "spectra", "scored", "selected", "cut", "oob_completeness")
    assert {k: again["metrics"][k] for k in same} == {k: summary["metrics"][k] for k in same}
    lists = [Path(s["paths"]["targetids"]).read_text() for s in (summary, again)]
    assert lists[0] == lists[1]


def test_more_members_are_added_to_those_there(pipeline, qnal_job, tiny, tmp_path):
    work, summary = pipeline
    for kind in ("mock", "ensembles"):
        shutil.copytree(work / kind, tmp_path / kind)
    folder = tmp_path / "ensembles" / Path(summary["paths"]["ensemble"]).name
    first = json.loads((folder / "ensemble.json").read_text())["calibration"]
    before = [(folder / "members" / f"{k:04d}.h5").read_bytes() for k in range(3)]
    code, more = qnal_job(
        tmp_path, *tiny, "stage=train", f"work_dir={tmp_path}", "ensemble.n=4", "tracking=none"
    )
    assert code == 0
    assert more["paths"]["ensemble"] == str(folder)
    assert more["metrics"]["members"] == 4
    after = [(folder / "members" / f"{k:04d}.h5").read_bytes() for k in range(3)]
    assert after == before
    described = json.loads((folder / "ensemble.json").read_text())
    assert [m["member"] for m in described["members"]] == [0, 1, 2, 3]
    # The calibration is that of all members.
    assert (first["members"], described["calibration"]["members"]) == (3, 4)
    assert described["calibration"]["parameters"] != first["parameters"]


@pytest.mark.parametrize(
    "option",
    [
        "seed=7",
        pytest.param("train.learning_rate=3e-4", marks=pytest.mark.slow),
        pytest.param("network.dropout=0.1", marks=pytest.mark.slow),
    ],
)
def test_other_options_make_another_ensemble(pipeline, qnal_job, tiny, tmp_path, option):
    _, summary = pipeline
    survey = [o for o in tiny if not o.startswith("ensemble.n")]
    code, other = qnal_job(
        tmp_path,
        *survey,
        "data.mock.pool=0",
        "stage=train",
        f"work_dir={tmp_path}",
        "ensemble.n=1",
        "train.min_steps=10",
        "tracking=none",
        option,
    )
    assert code == 0
    assert other["paths"]["ensemble"] != summary["paths"]["ensemble"]


def test_a_bal_head_with_few_examples_is_never_reported(pipeline):
    _, summary = pipeline
    folder = Path(summary["paths"]["ensemble"])
    labels = pq.read_table(folder / "training_set.parquet").to_pandas()
    quasars = labels[labels["LABEL"].isin([Label.QSO_LZ, Label.QSO_HZ])]
    trained = all(quasars.loc[quasars["BAL"] == s, "TARGETID"].nunique() >= 20 for s in (1, -1))
    assert json.loads((folder / "ensemble.json").read_text())["bal_trained"] == trained
    assert any("BAL head is not trained" in note for note in summary["notes"]) != trained
    parts = Path(summary["paths"]["scores"], "parts").rglob("*.parquet")
    reported = any(pq.read_table(part)["C_BAL"].drop_null() for part in parts)
    assert reported == trained
