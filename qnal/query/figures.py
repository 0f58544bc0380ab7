"""Figures of a query."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qnal.figure_style import AFTER, BEFORE, CHOSEN, INK, LINES, new_figure, short
from qnal.query.selection import Selection


def utility_histogram(selection: Selection) -> Figure:
    """Utilities of all spectra and of the best spectrum of each target, with the cut."""
    figure, (axes,) = new_figure(7.2, 4.2)
    histogram, cut = selection.histogram, selection.cut
    before, after = int(histogram.before.sum()), int(histogram.after.sum())
    axes.stairs(histogram.before, histogram.edges, fill=True, color=BEFORE,
                label=f"all spectra ({before:,})")  # fmt: skip
    axes.stairs(histogram.after, histogram.edges, color=AFTER, linewidth=1.6,
                label=f"best spectrum per target ({after:,})")  # fmt: skip
    axes.axvline(cut, color=CHOSEN, linewidth=1.6)
    right_half = cut > 0.6 * histogram.edges[-1]
    axes.annotate(
        f"{len(selection) - selection.control:,} selected,\nutility ≥ {cut:.3f}",
        (cut, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if right_half else 6, 0),
        textcoords="offset points",
        ha="right" if right_half else "left",
        va="top",
        color=CHOSEN,
    )
    axes.set(yscale="log", ylim=(0.5, 4 * max(int(histogram.before.max()), 1)))
    axes.set(xlim=(histogram.edges[0], histogram.edges[-1]))
    axes.set(xlabel=selection.strategy.label, ylabel="spectra per bin")
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False)
    return figure


def funnel(selection: Selection) -> Figure:
    """Number of spectra, later of targets, that each step of the query left."""
    steps = [step for step, _ in selection.funnel]
    counts = np.array([count for _, count in selection.funnel])
    figure, (axes,) = new_figure(7.6, 0.9 + 0.42 * len(steps))
    colours = [AFTER] * (len(steps) - 1) + [CHOSEN]
    axes.barh(np.arange(len(steps)), counts, color=colours, height=0.62)
    for row, count in enumerate(counts):
        lost = int(counts[row - 1] - count) if row else 0
        less = "" if not lost or row == len(steps) - 1 else f"   −{lost:,}"
        axes.annotate(f"{count:,}{less}", (count, row), xytext=(5, 0),
                      textcoords="offset points", va="center", color=INK)  # fmt: skip
    axes.set_yticks(np.arange(len(steps)), steps)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    # Leaves room for the numbers to the right of the bars.
    axes.set(xlim=(0, 1.28 * counts.max()))
    axes.set(xlabel="spectra; targets from “best row of each target” on")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(short))
    axes.spines["left"].set_visible(False)
    return figure
