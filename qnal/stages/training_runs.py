"""Tracking of ``stage=train``: its run, one child run per member, and the ensemble's report."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qnal.config.schema import Config
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.figures import member_spread
from qnal.ensemble.evaluation.report import Report
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.member_record import MemberRecord
from qnal.files import written_aside
from qnal.stages.work_folder import NAME_LENGTH
from qnal.summary import Summary, prefixed
from qnal.tracking import Note, Run

# Metrics of the note, and those whose spread over the members is recorded.
HEADLINE = ("completeness", "purity", "completeness_z", "purity_z", "z_nmad", "calibrated_ece")
MEMBER = ("completeness", "purity", "completeness_z", "purity_z", "z_nmad", "nll", "ece")
SPREAD = ("loss", "oob_completeness", "oob_purity")


@dataclass(frozen=True)
class TrainingRuns:
    """Records an ensemble in the tracking store.

    Attributes:
        run: the run of the stage.
        folder: the ensemble.
        tags: tags that identify the ensemble.
    """

    run: Run
    folder: EnsembleFolder
    tags: dict[str, str]

    def adopt(self, records: Iterable[MemberRecord]) -> None:
        """Take over what a killed job left: its child runs, and members without a run."""
        tags = self.tags | {"qnal.stage": "member"}
        self.run.recorder.adopt(self.run, tags)
        if self.run.id:
            self.run.recorder.remove_unfinished(tags)
            recorded = self.run.recorder.tagged(tags, "qnal.member")
            for record in records:
                if str(record.member) not in recorded:
                    self.member(record)

    def member(self, record: MemberRecord) -> None:
        """Record a trained member, unless another job on this ensemble has."""
        tags = self.tags | {"qnal.stage": "member", "qnal.member": str(record.member)}
        if self.run.recorder.tagged(tags, "qnal.member"):
            return
        with self.run.recorder.run(f"member {record.member:04d}", self.run, tags) as child:
            child.curves({"epoch/loss": record.loss})  # the first chart of the UI
            counts = {name: getattr(record, name) for name in ("epochs", "bag_rows", "oob_rows")}
            oob = {name: record.oob[name] for name in MEMBER if name in record.oob}
            child.metrics(prefixed("oob_", oob) | counts)
            for path in (
                self.folder.weights(record.member),
                self.folder.out_of_bag_file(record.member),
            ):
                child.file(path)

    def report(self, report: Report, job_folder: Path) -> None:
        """Write the tables and figures of a report into the job's folder, and record them."""
        # The UI begins its lists and comparisons with what is logged first.
        names = [f"oob_{name}" for name in HEADLINE if f"oob_{name}" in report.metrics]
        first = {name: report.metrics[name] for name in names}
        self.run.metrics(first | report.metrics | spread(report.tables["members.csv"]))
        self.run.series({f"oob_by_size/{name}": v for name, v in report.by_size.items()})
        for name, table in report.tables.items():
            with written_aside(job_folder / name) as scratch:
                table.to_csv(scratch, index=False)
            self.run.file(job_folder / name, "tables")
        for name, draw in report.figures.items():
            self.run.figure(draw(), job_folder / name)
        self.run.figure(member_spread(report.tables["members.csv"]), job_folder / "members.png")
        self.run.file(self.folder.path / "ensemble.json")


def run_name(config: Config, description: EnsembleDescription) -> str:
    """Name of the run, such as ``train 100 × QuasarNET-4, 2,483 labels``."""
    network = f"{config.ensemble.n} × QuasarNET-{config.network.layers}"
    return f"train {network}, {description.training_spectra or 0:,} labels"


def record_labels(run: Run, config: Config, digest: str, rows: int | None, context: str) -> None:
    """Record labelled spectra that a run read.

    Args:
        run: the run.
        config: names the files.
        digest: fingerprint of the labelled set.
        rows: number of spectra, if known.
        context: what they are used for, such as ``training``.
    """
    sources = (config.data.desi, config.data.boss, config.data.labelled)
    paths = [p for s in sources for value in (s.spectra, s.truth) for p in _listed(value)]
    paths += _listed(config.data.labels)
    run.input("labelled spectra", digest, paths, rows, context)


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(v) for v in value] if isinstance(value, list | tuple) else [str(value)]


def spread(members: pd.DataFrame) -> dict[str, float]:
    """Smallest, median and largest value of each metric over the members."""
    found = {}
    for name in SPREAD:
        values = members[name].dropna().astype(float) if name in members else pd.Series(dtype=float)
        if len(values):
            for which in ("min", "median", "max"):
                found[f"members/{name.removeprefix('oob_')}_{which}"] = float(
                    getattr(values, which)()
                )
    return found


def note(
    summary: Summary, config: Config, description: EnsembleDescription, next_step: str
) -> Note:
    """What was trained, on what, and how good it is out of bag."""
    classes = ", ".join(f"{count:,} {name}" for name, count in description.classes.items())
    return Note(
        f"An ensemble of {summary.metrics['members']} QuasarNET networks with "
        f"{config.network.layers} convolutional layers, evaluated on labelled spectra that were "
        "out of bag.",
        {
            "ensemble": description.fingerprint[:NAME_LENGTH],
            "labels": f"{description.training_spectra:,} spectra: {classes}",
            "folder": summary.paths["ensemble"],
        },
        {name: summary.metrics.get(f"oob_{name}") for name in HEADLINE},
        "figures/completeness_purity.png",
        [*summary.notes, *(f"failed: {failure}" for failure in summary.failed)],
        {"score the pool": next_step},
    )
