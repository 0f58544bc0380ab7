"""Judging what was trained: the out-of-bag report, into the run folder and the tracking store."""

from typing import Any

import pandas as pd

from qnal.ensemble.evaluation.figures import loss_curves
from qnal.ensemble.evaluation.metrics import member_metrics
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.report import Report, out_of_bag_report
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet, class_counts
from qnal.ensemble.votes import Thresholds
from qnal.files import written_aside
from qnal.stages import Job
from qnal.summary import Number, Summary, prefixed
from qnal.tracking import Run


def evaluate_ensemble(
    folder: EnsembleFolder,
    n: int,
    labelled: LabelledSet,
    thresholds: Thresholds,
    description: dict[str, Any],
    job: Job,
    run: Run,
) -> Summary:
    """Judge the first ``n`` members of a folder out of bag, and store their calibration with it.

    Args:
        folder: the ensemble.
        n: members beyond are left out.
        labelled: what it was trained on.
        thresholds: when a member votes quasar.
        description: what ``ensemble.json`` says, but for the calibration.
        job, run: where tables and figures go.
    """
    records = [r for r in folder.records() if r["member"] < n]
    # What an untrained head says is no answer.
    unknown = [] if description["bal_trained"] else ["BAL"]
    tables = (
        folder.out_of_bag(r["member"], thresholds.min_lines).drop(columns=unknown, errors="ignore")
        for r in records
    )
    members = []

    def noted(table: pd.DataFrame, record: dict[str, Any]) -> pd.DataFrame:
        labels = labelled.table.iloc[table["INDEX"]]
        oob = member_metrics(labels, table, thresholds)
        kept = {k: record[k] for k in ("member", "epochs", "bag_rows", "oob_rows")}
        members.append(kept | {"loss": record["loss"][-1]} | prefixed("oob_", oob))
        return table

    oob = OutOfBag.of(map(noted, tables, records), len(labelled))
    report = out_of_bag_report(labelled.table, oob, thresholds)
    folder.finish(description | {"calibration": report.fit.stored()})
    metrics: dict[str, Number] = {"members": len(records), "training_spectra": len(labelled)}
    metrics |= prefixed("oob_", report.metrics)
    metrics |= prefixed("labels_", labelled.counts | class_counts(labelled))
    run.metrics(metrics)
    _write(report, pd.DataFrame(members), job, run)
    run.figure(loss_curves([r["loss"] for r in records]), job.folder / "loss.png")
    run.file(folder.path / "ensemble.json")
    summary = Summary("train", mlflow_run_id=run.id, metrics=metrics)
    summary.paths["ensemble"] = str(folder.path)
    if report.fit.why_not:
        summary.notes.append(f"Probabilities are not calibrated: {report.fit.why_not}.")
    return summary


def _write(report: Report, members: pd.DataFrame, job: Job, run: Run) -> None:
    for name, values in report.by_size.items():
        run.series(f"oob_by_size_{name}", values)
    for name, table in ({"members.csv": members} | report.tables).items():
        path = job.folder / name
        with written_aside(path) as scratch:
            table.to_csv(scratch, index=False)
        run.file(path, "tables")
    for name, draw in report.figures.items():
        run.figure(draw(), job.folder / name)
