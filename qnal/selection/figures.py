"""Figures of a query and of a map.

All are drawn with matplotlib's objects, without pyplot's global state, so that they can be made in
any thread and leave a notebook's figures alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from qnal.selection.selected import Selection
from qnal.selection.som import SelfOrganizingMap
from qnal.selection.uncertainty import SCORES

INK, FAINT, LINES = "#22262e", "#6b7280", "#d6d9df"
BEFORE, AFTER, CHOSEN = "#b9c4d6", "#2f5d8c", "#c8502d"  # also told apart without colour
OCCUPANCY, RIDGES, SHARES = "cividis", "magma", "YlGnBu"


def entropy_histogram(selection: Selection) -> Figure:
    """Scores of all spectra and of the best of each target, and the cut above which lie the n."""
    figure, (axes,) = _figure(7.2, 4.2)
    histogram, label = selection.histogram, SCORES[selection.strategy].label
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
    figure, (axes,) = _figure(7.6, 0.9 + 0.42 * len(steps))
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
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    axes.spines["left"].set_visible(False)
    return figure


def som_map(
    som: SelfOrganizingMap,
    counts: NDArray[np.integer],
    *,
    quasars: NDArray[np.floating] | None = None,
    uncertainty: NDArray[np.floating] | None = None,
    threshold: float | None = None,
) -> Figure:
    """A map's cells: how many spectra they hold, how unlike their neighbours they are.

    Args:
        counts: spectra in each cell, shape [cells].
        quasars: share of each cell's spectra voted quasar, NaN where unknown, shape [cells].
        uncertainty: mean score of each cell's spectra, NaN where unknown, shape [cells].
        threshold: cells that hold no more spectra than this are marked as dropped by the query.
    """
    counts = np.asarray(counts).reshape(som.shape)
    panels = 2 + (quasars is not None) + (uncertainty is not None)
    figure, grid = _figure(4.1 * panels, 3.3 * som.shape[0] / som.shape[1] + 0.8, panels)
    axes = iter(grid)
    ax = next(axes)
    occupied = np.where(counts > 0, counts, np.nan).astype(float)
    most = max(int(counts.max()), 2)
    _panel(ax, occupied, "spectra in each cell", OCCUPANCY, LogNorm(1, most))
    if threshold is not None:
        _mark(ax, counts <= threshold)
    ax.set_xlabel(
        f"{int((counts == 0).sum())} of {som.cells} cells empty"
        + ("" if threshold is None else f"; {int((counts <= threshold).sum())} marked: dropped")
    )
    ridges = som.u_matrix()
    _panel(next(axes), ridges, "distance to neighbours", RIDGES, _range(ridges))
    if quasars is not None:
        share = np.asarray(quasars, float).reshape(som.shape)
        _panel(next(axes), share, "share voted quasar", SHARES, Normalize(0, 1))
    if uncertainty is not None:
        score = np.asarray(uncertainty, float).reshape(som.shape)
        _panel(next(axes), score, "mean uncertainty", RIDGES, Normalize(0, _range(score).vmax))
    return figure


def som_loss(som: SelfOrganizingMap) -> Figure:
    """Mean distance of the spectra from their best cells, pass by pass of the fit."""
    figure, (axes,) = _figure(5.6, 3.4)
    axes.plot(np.arange(1, len(som.loss) + 1), som.loss, color=AFTER, marker="o", markersize=3)
    axes.set(xlabel="pass", ylabel="mean distance from the best cell")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    return figure


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    all_axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(which="both", colors=FAINT, labelsize=9)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.set_axisbelow(True)
    return figure, all_axes


def _panel(axes: Axes, values: NDArray[Any], title: str, colours: str, norm: Normalize) -> None:
    image = axes.imshow(values, origin="lower", cmap=colours, norm=norm, interpolation="none")
    axes.set_facecolor(LINES)  # of cells without a value
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.xaxis.label.set_color(FAINT)
    axes.xaxis.label.set_fontsize(9)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which="both", colors=FAINT, labelsize=8)
    if isinstance(norm, LogNorm):
        bar.ax.yaxis.set_major_formatter(FuncFormatter(_short))
        few = (norm.vmax or 1) < 100  # too few decades for a reader to do without 2, 3, 5 …
        bar.ax.yaxis.set_minor_formatter(FuncFormatter(_short if few else _nothing))


def _mark(axes: Axes, cells: NDArray[np.bool_]) -> None:
    row, column = np.nonzero(cells)
    # Points a third of a cell wide, whatever the size of the map.
    size = (72 * 3.2 / cells.shape[1] / 3) ** 2
    axes.scatter(column, row, s=size, color=CHOSEN, marker="o", linewidths=0)


def _range(values: NDArray[np.floating]) -> Normalize:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Normalize(0, 1)
    low, high = np.percentile(finite, [1, 99])  # one odd cell should not flatten the rest
    return Normalize(low, high if high > low else low + 1)


def _nothing(value: float, _: int | None = None) -> str:
    return ""


def _short(value: float, _: int | None = None) -> str:
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def gallery(
    rows: Sequence[Mapping[str, Any]], spectra: Sequence[NDArray[Any]], wave: NDArray[Any]
) -> Figure:
    """The first selected spectra as the networks saw them, with what the members say.

    Args:
        rows: a row of the selection a spectrum (RANK, TARGETID, C_*, Z, SCORE).
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
