"""Figures of a query."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from qnal.figure_style import AFTER, BEFORE, CHOSEN, FAINT, INK, LINES, new_figure, short
from qnal.query.selection import Selection
from qnal.query.utility import UTILITIES


def entropy_histogram(selection: Selection) -> Figure:
    """Scores of all spectra and of the best of each target, and the cut above which lie the n."""
    figure, (axes,) = new_figure(7.2, 4.2)
    histogram, label = selection.histogram, UTILITIES[selection.strategy].label
    axes.stairs(
        histogram.before,
        histogram.edges,
        fill=True,
        color=BEFORE,
        label=f"all spectra ({histogram.before.sum():,})",
    )
    axes.stairs(
        histogram.after,
        histogram.edges,
        color=AFTER,
        linewidth=1.6,
        label=f"best of each target ({histogram.after.sum():,})",
    )
    axes.axvline(selection.cut, color=CHOSEN, linewidth=1.6)
    top = max(int(histogram.before.max()), 1)
    axes.set(yscale="log", ylim=(0.5, 4 * top), xlim=(histogram.edges[0], histogram.edges[-1]))
    left = selection.cut > 0.6 * histogram.edges[-1]
    axes.annotate(
        f"{len(selection):,} selected\nfrom {selection.cut:.3f} on",
        (selection.cut, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-6 if left else 6, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        color=CHOSEN,
    )
    axes.set(xlabel=label, ylabel="spectra in each bin")
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False)
    return figure


def funnel(selection: Selection) -> Figure:
    """How many spectra, then targets, each step of the query left."""
    steps = [step for step, _ in selection.funnel]
    counts = np.array([count for _, count in selection.funnel])
    figure, (axes,) = new_figure(7.6, 0.9 + 0.42 * len(steps))
    colours = [AFTER] * (len(steps) - 1) + [CHOSEN]
    axes.barh(np.arange(len(steps)), counts, color=colours, height=0.62)
    for row, count in enumerate(counts):
        lost = int(counts[row - 1] - count) if row else 0
        less = "" if not lost or row == len(steps) - 1 else f"   −{lost:,}"
        axes.annotate(
            f"{count:,}{less}",
            (count, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    axes.set_yticks(np.arange(len(steps)), steps)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    # The numbers stand beside the bars and need room.
    axes.set(
        xlim=(0, 1.28 * counts.max()), xlabel="spectra; targets from “best row of each target” on"
    )
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(short))
    axes.spines["left"].set_visible(False)
    return figure


def gallery(
    rows: Sequence[Mapping[str, Any]], spectra: Sequence[NDArray[Any]], wave: NDArray[Any]
) -> Figure:
    """The first selected spectra as the networks saw them, with what the members say.

    Args:
        rows: a row of the selection a spectrum (RANK, TARGETID, C_*, Z, UTILITY).
        spectra: renormalised spectra, each of shape [npix].
        wave: their grid, shape [npix], Å.
    """
    columns = min(2, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(10, 1.1 + 1.9 * lines), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for k, (row, spectrum) in enumerate(zip(rows, spectra, strict=True)):
        axes = figure.add_subplot(lines, columns, k + 1)
        axes.plot(wave, spectrum, color=AFTER, lw=0.7)
        low, high = np.percentile(spectrum, [0.5, 99.5])
        margin = 0.15 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
        axes.set_xlim(wave[0], wave[-1])
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=FAINT)
        shares = "  ".join(f"{name} {row[f'C_{name}']:.2f}" for name in ("NOT", "QSO_LZ", "QSO_HZ"))
        axes.set_title(f"{row['RANK']}. {row['TARGETID']}   z {row['Z']:.3f}\n{shares}",
                       fontsize=8.5, loc="left", color=INK)  # fmt: skip
        if k >= len(rows) - columns:
            axes.set_xlabel("observed wavelength [Å]", fontsize=9, color=INK)
    return figure
