"""The figure of a sweep: its key metrics by job, or by the one number that was varied."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from qnal.figure_style import AFTER, CHOSEN, LINES, new_figure
from qnal.sweep.table import SweepTable

MOST_METRICS = 4
PANEL = 3.2  # inches
ROW = 0.28  # inches per job


def draw(table: SweepTable) -> Figure | None:
    """One panel per metric that differs between jobs; None if no job has any metric.

    Jobs are points above the varied number, if exactly one key was varied and has numbers as its
    values, and otherwise rows. Jobs without a value are marked with a cross.
    """
    metrics = table.compared()[:MOST_METRICS]
    if not metrics:
        return None
    numbers = _varied_number(table)
    if numbers is not None:
        return _by_number(table, metrics, numbers)
    return _by_job(table, metrics)


def _varied_number(table: SweepTable) -> list[float] | None:
    if len(table.varied) != 1:
        return None
    try:
        return [float(job.overrides[table.varied[0]]) for job in table.jobs]
    except (KeyError, ValueError):
        return None


def _by_number(table: SweepTable, metrics: list[str], numbers: list[float]) -> Figure:
    figure, panels = new_figure(PANEL * len(metrics) + 0.5, PANEL, 1, len(metrics))
    positive = [n for n in numbers if n > 0]
    for axes, metric in zip(panels, metrics, strict=True):
        values = table.values(metric)
        points = sorted((n, v) for n, v in zip(numbers, values, strict=True) if v is not None)
        axes.plot(*zip(*points, strict=True), "o-", color=AFTER, ms=5)
        missing = [n for n, v in zip(numbers, values, strict=True) if v is None]
        if missing:
            bottom = [0.03] * len(missing)
            axes.plot(missing, bottom, "x", color=CHOSEN, transform=axes.get_xaxis_transform())
        if len(positive) == len(numbers) and max(numbers) >= 10 * min(numbers):
            axes.set_xscale("log")
        axes.set(xlabel=table.varied[0], ylabel=metric)
    return figure


def _by_job(table: SweepTable, metrics: list[str]) -> Figure:
    labels = table.labels()
    height = 0.9 + ROW * len(labels)
    figure, panels = new_figure(PANEL * len(metrics) + 2, height, 1, len(metrics))
    for axes, metric in zip(panels, metrics, strict=True):
        for row, value in enumerate(table.values(metric)):
            if value is None:
                axes.plot(0.03, row, "x", color=CHOSEN, transform=axes.get_yaxis_transform())
            else:
                axes.plot(value, row, "o", color=AFTER, ms=5)
        axes.set_xlabel(metric)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", lw=0.5, color=LINES)
        axes.set_yticks(range(len(labels)), labels if axes is panels[0] else [])
        axes.set_ylim(len(labels) - 0.5, -0.5)
    return figure
