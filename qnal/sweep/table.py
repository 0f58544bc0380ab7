"""The table of a sweep: a row per job, as ``sweep.csv`` and on the terminal."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from qnal.files import write_text
from qnal.job import EXIT_CODES, REFUSED, SUMMARY, as_given, objective
from qnal.summary import DETAILS, Number, Summary
from qnal.sweep.place import FILE, as_mapping, label_of, short

# Metrics that compare jobs best, in the order in which they are shown.
KEY_METRICS = (
    "oob_completeness", "oob_purity", "oob_z_nmad", "oob_z_outliers", "oob_calibrated_ece",
    "quantization_error", "topographic_error", "disagreement", "vote_entropy_mean",
    "mutual_info_mean", "selected", "cut", "members", "scored",
)  # fmt: skip
NO_SUMMARY = "it ended without a summary; was it killed, or out of memory?"


@dataclass(frozen=True)
class JobRow:
    """A job of a sweep.

    Attributes:
        number: of the job, from 0 on.
        folder: its run folder.
        overrides: values by key or group, as they were given.
        summary: what it did; of status ``failed`` if it left no summary.
    """

    number: int
    folder: Path
    overrides: dict[str, str]
    summary: Summary


@dataclass(frozen=True)
class SweepTable:
    """All jobs of a sweep that have started.

    Attributes:
        jobs: in the order of their numbers.
        varied: keys and groups in which the jobs differ.
        objective: name of the metric that the jobs return, if any, with its sign.
    """

    jobs: list[JobRow]
    varied: list[str]
    objective: str | None = None

    @classmethod
    def read(
        cls, folder: Path, hydra_folder: str | None = "hydra", metric: str | None = None
    ) -> "SweepTable":
        """The jobs below a sweep's folder, without those of an earlier sweep.

        Args:
            folder: the sweep's folder.
            hydra_folder: name of the folder in which Hydra records a job's overrides.
            metric: name of the objective, if any.
        """
        records = folder.rglob(f"{hydra_folder}/overrides.yaml") if hydra_folder else []
        files = {path: path.parent.parent for path in records}
        files |= {p: p.parent for p in folder.rglob(SUMMARY) if p.parent.name != "summary"}
        description = folder / FILE  # written when the sweep starts
        start = description.stat().st_mtime_ns if description.exists() else 0
        found = {job for path, job in files.items() if path.stat().st_mtime_ns >= start}
        jobs = []
        for number, job in enumerate(sorted(found, key=lambda path: _natural(path, folder))):
            overrides = job / (hydra_folder or "") / "overrides.yaml"
            given = as_given(OmegaConf.load(overrides)) if overrides.is_file() else []
            jobs.append(JobRow(number, job, as_mapping(given), summary_of(job)))
        keys = list(dict.fromkeys(key for job in jobs for key in job.overrides))
        varied = [k for k in keys if len({job.overrides.get(k) for job in jobs}) > 1]
        return cls(jobs, varied, metric)

    @property
    def exit_code(self) -> int:
        """The worst of the jobs' exit codes; that of a refused job if there are no jobs."""
        codes = [EXIT_CODES.get(job.summary.status, REFUSED) for job in self.jobs]
        # From the best to the worst.
        order = (EXIT_CODES["done"], EXIT_CODES["incomplete"], REFUSED)
        return max(codes, key=order.index, default=REFUSED)

    def metrics(self) -> list[str]:
        """Names of all metrics but the detailed ones, the best for a comparison first."""
        names = [name for job in self.jobs for name in job.summary.metrics]
        shown = [n for n in dict.fromkeys(names) if not n.startswith(DETAILS)]
        wanted = (self.objective or "").lstrip("+-")
        first = [n for n in (wanted, *KEY_METRICS) if n in names]
        return list(dict.fromkeys([*first, *shown]))

    def compared(self) -> list[str]:
        """Names of the key metrics that differ between jobs, or of all key metrics."""
        wanted = (self.objective or "").lstrip("+-")
        there = [n for n in self.metrics() if n in (wanted, *KEY_METRICS)]
        return [n for n in there if len(set(self.values(n)) - {None}) > 1] or there

    def values(self, metric: str) -> list[Number]:
        """Values of a metric, one per job; None where a job has none."""
        return [job.summary.metrics.get(metric) for job in self.jobs]

    def labels(self) -> list[str]:
        """What is special about each job."""
        return [label_of(job.overrides, self.varied) or f"job {job.number}" for job in self.jobs]

    def write(self, path: Path) -> None:
        """Write it as CSV: overrides, status, metrics, run ids and paths, one row per job."""
        metrics = self.metrics()
        paths = list(dict.fromkeys(name for job in self.jobs for name in job.summary.paths))
        text = StringIO()
        out = csv.writer(text, lineterminator="\n")
        goal = ["objective"] if self.objective else []
        out.writerow(["job", *self.varied, "status", *goal, *metrics, "stage", "mlflow_run_id",
                      "overrides", "folder", *paths, "error"])  # fmt: skip
        for job in self.jobs:
            summary = job.summary
            reached = [objective(summary, self.objective)] if self.objective else []
            row = [
                job.number,
                *(job.overrides.get(key) for key in self.varied),
                summary.status,
                *reached,
                *(summary.metrics.get(name) for name in metrics),
                summary.stage,
                summary.mlflow_run_id,
                " ".join(f"{key}={value}" for key, value in job.overrides.items()),
                job.folder,
                *(summary.paths.get(name) for name in paths),
                summary.error,
            ]
            out.writerow(["" if value is None else value for value in row])
        write_text(path, text.getvalue())

    def show(self, console: Console | None = None) -> None:
        """Print the varied overrides, the status and as many metrics as there is room for."""
        console = console or Console()
        metrics = self.compared()
        table = self._for_terminal(metrics)
        # A measured table is at most as wide as the terminal, hence the wide one.
        wide = Console(width=10_000)
        while metrics and wide.measure(table).maximum > console.width:
            metrics = metrics[:-1]
            table = self._for_terminal(metrics)
        console.print(table)

    def _for_terminal(self, metrics: Sequence[str]) -> Table:
        table = Table(title=f"sweep of {len(self.jobs)} jobs", title_justify="left", box=None)
        for name in ("job", *short(self.varied), "status", *metrics):
            is_number = name == "job" or name in metrics
            table.add_column(
                name, justify="right" if is_number else "left", overflow="fold",
                no_wrap=name in ("job", "status"),
            )  # fmt: skip
        for job in self.jobs:
            table.add_row(
                str(job.number),
                *(job.overrides.get(key, "") for key in self.varied),
                job.summary.status,
                *(as_text(job.summary.metrics.get(name)) for name in metrics),
            )
        return table


def _natural(path: Path, folder: Path) -> list[tuple[int, int, str]]:
    """Sort key by which 10 follows 9."""
    parts = re.split(r"(\d+)", path.relative_to(folder).as_posix())
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]


def summary_of(folder: Path) -> Summary:
    """The summary in a job's folder; one of status ``failed`` if there is none."""
    try:
        return Summary.read(folder / SUMMARY)
    except (OSError, json.JSONDecodeError):
        return Summary("", status="failed", error=NO_SUMMARY)


def as_text(value: Number) -> str:
    """A metric with as many digits as a table needs; empty without a value."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
