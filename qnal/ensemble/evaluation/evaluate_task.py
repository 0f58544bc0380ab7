"""Task "evaluate an ensemble": out-of-bag report of its members, and their calibration."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.figures import loss_curves
from qnal.ensemble.evaluation.metrics import member_metrics
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.evaluation.reliability import Metrics
from qnal.ensemble.evaluation.report import Report, out_of_bag_report
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet, class_counts


def evaluate_ensemble(
    folder: EnsembleFolder,
    description: EnsembleDescription,
    labelled: LabelledSet,
    n: int,
    design: pd.DataFrame | None = None,
) -> Report:
    """Evaluate the first ``n`` members of an ensemble out of bag, and store their calibration.

    Args:
        folder: the ensemble; ``ensemble.json`` is written with its members and the calibration.
        description: description of the ensemble; its thresholds are used.
        labelled: the labelled set that the members were trained on.
        n: number of members.
        design: how the targets of the label table were picked
            (:func:`~qnal.labels.label_table.sampling_design`); None without a label table.

    Returns:
        The report of :func:`out_of_bag_report`, whose metrics get the prefix ``oob_``, with
        ``members``, ``training_spectra``, the counts of the labelled set (``labels_…``) and the
        metrics on control labels (``control_…``) as further metrics, the table
        ``members.csv`` and the figure ``loss.png``.
    """
    thresholds = description.thresholds
    untrained = [] if description.bal_trained else ["BAL"]
    records = folder.records(n)
    rows: list[dict[str, object]] = []

    def predictions() -> Iterator[pd.DataFrame]:
        for record in records:
            table = folder.out_of_bag(record.member, thresholds.min_lines)
            table = table.drop(columns=untrained, errors="ignore")
            labels = labelled.table.iloc[table["INDEX"]]
            names = ("member", "epochs", "bag_rows", "oob_rows")
            row = {name: getattr(record, name) for name in names} | {"loss": record.loss[-1]}
            rows.append(row | _prefixed("oob_", member_metrics(labels, table, thresholds)))
            yield table

    oob = OutOfBag.of(predictions(), len(labelled))
    report = out_of_bag_report(labelled.table, oob, thresholds, design)
    folder.write(replace(description, calibration=report.fit.record()))
    metrics: Metrics = {"members": len(records), "training_spectra": len(labelled)}
    metrics |= _prefixed("oob_", report.metrics)
    metrics |= _prefixed("labels_", labelled.counts | class_counts(labelled))
    if report.control is not None:
        metrics |= report.control.metrics
    losses = [record.loss for record in records]
    return replace(
        report,
        metrics=metrics,
        tables={"members.csv": pd.DataFrame(rows)} | report.tables,
        figures=report.figures | {"loss.png": lambda: loss_curves(losses)},
    )


def _prefixed(prefix: str, metrics: Metrics | dict[str, int]) -> Metrics:
    return {f"{prefix}{name}": value for name, value in metrics.items()}
