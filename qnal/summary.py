"""The summary of a job: ``summary.json`` for programs, a short table on the terminal."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qnal.files import write_text

Number = float | int | None  # None: the metric is undefined
# Metrics per source, per class and of the BAL head, and counts of labels, are not printed.
DETAILS = (
    "oob_boss_",
    "oob_desi_",
    "oob_inspected_",
    "oob_class_",
    "oob_calibrated_class_",
    "oob_bal_",
    "labels_",
)


@dataclass
class Summary:
    """What a stage did.

    Attributes:
        stage: name of the stage.
        status: ``done``, ``incomplete`` (some inputs failed) or ``refused`` (see ``error``).
        mlflow_run_id: the stage's MLflow run; None without tracking.
        paths: files and folders of the results, by name, such as ``ensemble`` or ``selection``.
        metrics: numbers by name, such as ``oob_completeness``; None where undefined.
        funnel: steps of a query, each with the number of rows left after it.
        failed: one sentence per input that failed.
        notes: sentences for the user.
        error: why the job was refused.
    """

    stage: str
    status: str = "done"
    mlflow_run_id: str | None = None
    paths: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Number] = field(default_factory=dict)
    funnel: list[tuple[str, int]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    @classmethod
    def read(cls, path: Path) -> "Summary":
        """Read ``summary.json``."""
        document = json.loads(path.read_text())
        document["funnel"] = [(step, rows) for step, rows in document["funnel"]]
        return cls(**document)

    def write(self, path: Path) -> None:
        """Write it as JSON, in which undefined numbers are null."""
        document = asdict(self)
        document["metrics"] = {k: _finite(v) for k, v in self.metrics.items()}
        write_text(path, json.dumps(document, indent=2) + "\n")

    def absorb(self, other: "Summary") -> None:
        """Add the results of a stage to the summary of its pipeline."""
        self.paths |= other.paths
        self.metrics |= other.metrics
        self.funnel = other.funnel or self.funnel
        self.failed += other.failed
        self.notes += other.notes
        if other.status != "done":
            self.status = other.status

    def show(self) -> None:
        """Print it to the terminal."""
        console = Console()
        table = Table(title=f"{self.stage}: {self.status}", title_justify="left", box=None)
        table.add_column("", style="bold", no_wrap=True)
        table.add_column("", overflow="fold")
        for name, value in self.metrics.items():
            if value is not None and not name.startswith(DETAILS):
                table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4g}")
        for step, rows in self.funnel:
            table.add_row(f"  {step}", f"{rows:,}")
        console.print(table)
        # Paths are printed below the table, so that long ones are not broken and can be copied.
        width = max(map(len, self.paths), default=0)
        lines = [f" {name:{width}}  {_relative(path)}" for name, path in self.paths.items()]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"failed: {failure}" for failure in self.failed]
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def prefixed(prefix: str, metrics: Mapping[str, Number]) -> dict[str, Number]:
    """Metrics with a prefix before each name."""
    return {f"{prefix}{name}": value for name, value in metrics.items()}


def _relative(path: str) -> str:
    """The path relative to the current folder, if it is inside."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _finite(value: Number) -> Number:
    return None if value is None or not math.isfinite(value) else value
