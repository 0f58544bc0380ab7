"""What a job did: ``summary.json`` for programs, a short table for people."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qnal.files import write_text

Number = float | int | None
# Metrics of a source, a class or the BAL head, and counts of what was left out, are not printed.
DETAILS = ("oob_boss_", "oob_desi_", "oob_class_", "oob_calibrated_class_", "oob_bal_", "labels_")


@dataclass
class Summary:
    """Outcome of a stage.

    Attributes:
        stage: its name.
        status: ``done``, ``incomplete`` (some inputs failed) or ``refused`` (see ``error``).
        mlflow_run_id: its MLflow run, None without tracking.
        paths: named artifacts.
        metrics: numbers, None where undefined.
        funnel: rows left after each step of a query, [step, rows].
        failed: what failed, and why, one sentence each.
        notes: what the user should know.
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

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        document = asdict(self)
        document["metrics"] = {k: _finite(v) for k, v in self.metrics.items()}
        write_text(path, json.dumps(document, indent=2) + "\n")

    def absorb(self, other: "Summary") -> None:
        """Take over what a stage of a pipeline did."""
        self.paths |= other.paths
        self.metrics |= other.metrics
        self.funnel = other.funnel or self.funnel
        self.failed += other.failed
        self.notes += other.notes
        if other.status != "done":
            self.status = other.status

    def show(self) -> None:
        """Print what fits a terminal."""
        console = Console()
        table = Table(title=f"{self.stage}: {self.status}", title_justify="left", box=None)
        table.add_column("", style="bold", no_wrap=True)
        table.add_column("", overflow="fold")
        for name, value in self.metrics.items():
            if value is not None and not name.startswith(DETAILS):
                table.add_row(name, _readable(value))
        for step, rows in self.funnel:
            table.add_row(f"  {step}", f"{rows:,}")
        console.print(table)
        # Outside the table, so that a long path stays in one piece to be copied.
        width = max(map(len, self.paths), default=0)
        for name, path in self.paths.items():
            line = f" {name:{width}}  {_from_here(path)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        for note in self.notes:
            console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
        for failure in self.failed:
            console.print(f"failed: {failure}", markup=False, highlight=False, soft_wrap=True)


def prefixed(prefix: str, metrics: Mapping[str, Number]) -> dict[str, Number]:
    """Metrics with a prefix before each name."""
    return {f"{prefix}{name}": value for name, value in metrics.items()}


def _from_here(path: str) -> str:
    """The path relative to the current folder, if it is below."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _finite(value: Number) -> Number:
    return None if value is None or not math.isfinite(value) else value


def _readable(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
