"""Tracking of ``stage=train``: one child run per member, and the report of the ensemble."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qnal.ensemble.evaluation.report import Report
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.member_record import MemberRecord
from qnal.files import written_aside
from qnal.summary import prefixed
from qnal.tracking import Run


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
        self.run.recorder.adopt(self.run, self.tags)
        if self.run.id:
            tags = self.tags | {"qnal.stage": "member"}
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
            child.curves({"loss": record.loss})
            counts = {name: getattr(record, name) for name in ("epochs", "bag_rows", "oob_rows")}
            child.metrics(prefixed("oob_", record.oob) | counts)
            for path in (
                self.folder.weights(record.member),
                self.folder.out_of_bag_file(record.member),
            ):
                child.file(path)

    def report(self, report: Report, job_folder: Path) -> None:
        """Write the tables and figures of a report into the job's folder, and record them."""
        self.run.metrics(report.metrics)
        for name, values in report.by_size.items():
            self.run.series(f"oob_by_size_{name}", values)
        for name, table in report.tables.items():
            with written_aside(job_folder / name) as scratch:
                table.to_csv(scratch, index=False)
            self.run.file(job_folder / name, "tables")
        for name, draw in report.figures.items():
            self.run.figure(draw(), job_folder / name)
        self.run.file(self.folder.path / "ensemble.json")
