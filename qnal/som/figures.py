"""Figures of a map: what its cells hold, how unlike they are, and what they look like."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from qnal.figure_style import AFTER, CHOSEN, FAINT, INK, LINES, new_figure, short
from qnal.som.som import SelfOrganizingMap

OCCUPANCY, RIDGES, SHARES = "cividis", "magma", "YlGnBu"
ACROSS = 3  # panels side by side
PROTOTYPES = 7  # rows and columns of spectra shown of a larger map


def som_map(
    som: SelfOrganizingMap,
    counts: NDArray[np.integer] | None,
    *,
    quasars: NDArray[np.floating] | None = None,
    uncertainty: NDArray[np.floating] | None = None,
    labelled: NDArray[np.integer] | None = None,
    outliers: NDArray[np.floating] | None = None,
    quasars_by: str = "voted",
    threshold: float | None = None,
) -> Figure:
    """A map's cells: how many spectra they hold, how unlike their neighbours they are, and more.

    All arrays have the shape [cells]; NaN is unknown.

    Args:
        counts: spectra in each cell; None where unknown.
        quasars: share of each cell's spectra that are quasars.
        uncertainty: mean score of each cell's spectra.
        labelled: labelled spectra in each cell.
        outliers: share of each cell's spectra that lie unusually far from it.
        quasars_by: who says that they are quasars: ``voted`` or ``labelled as``.
        threshold: cells that hold no more spectra than this are marked as dropped by the query.
    """
    given = (counts, labelled, quasars, uncertainty, outliers)
    panels = 1 + sum(values is not None for values in given)
    columns = 2 if panels == 4 else min(panels, ACROSS)
    lines = -(-panels // columns)
    height = lines * (3.3 * som.shape[0] / som.shape[1] + 0.8)
    figure, grid = new_figure(4.1 * columns, height, lines, columns)
    for left_over in grid[panels:]:
        left_over.set_axis_off()
    axes = iter(grid)
    if counts is not None:
        _occupancy(next(axes), np.asarray(counts).reshape(som.shape), threshold)
    ax, ridges = next(axes), som.u_matrix()
    _panel(ax, ridges, "distance to neighbours", RIDGES, _range(ridges))
    if any(som.wrap):
        ax.set_xlabel("opposite edges touch" if all(som.wrap) else "two opposite edges touch")
    if labelled is not None:
        number = np.asarray(labelled).reshape(som.shape)
        _counts(next(axes), number, "labelled spectra")
    for values, title, colours in (
        (quasars, f"share {quasars_by} quasar", SHARES),
        (uncertainty, "mean uncertainty", RIDGES),
        (outliers, "share of outliers", RIDGES),
    ):
        if values is not None:
            shown = np.asarray(values, float).reshape(som.shape)
            top = 1.0 if values is quasars else _range(shown).vmax
            if values is outliers:  # few cells have any
                top = np.nanmax(shown, initial=0.0) or 1.0
            _panel(next(axes), shown, title, colours, Normalize(0, top))
    return figure


def som_prototypes(
    som: SelfOrganizingMap, wave: NDArray[np.floating], counts: NDArray[np.integer] | None = None
) -> Figure:
    """The spectra that cells stand for, where they lie on the map; every so many of a large one.

    Args:
        wave: the map's grid, shape [npix], Å.
        counts: spectra in each cell, shape [cells]; a cell without any is drawn faint.
    """
    shown = [_evenly(length) for length in som.shape]
    lines, columns = map(len, shown)
    figure, grid = new_figure(0.6 + 1.75 * columns, 0.7 + 1.2 * lines, lines, columns)
    for k, axes in enumerate(grid):
        # As on the map, the first row lies at the bottom.
        row, column = shown[0][::-1][k // columns], shown[1][k % columns]
        cell = row * som.shape[1] + column
        empty = counts is not None and counts[cell] == 0
        axes.plot(wave, som.weights[cell], color=LINES if empty else AFTER, lw=0.7)
        low, high = np.percentile(som.weights[cell], [0.5, 99.5])
        margin = 0.2 * (high - low) or 1.0
        axes.set(xlim=(wave[0], wave[-1]), ylim=(low - margin, high + margin), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(axis="x", length=2, labelsize=7, labelbottom=k >= len(grid) - columns)
        holds = "" if counts is None else f"   {short(int(counts[cell]))}"
        axes.set_title(f"{row}, {column}{holds}", fontsize=7, color=FAINT, loc="left", pad=2)
    number = "" if counts is None else "   number of spectra"
    figure.suptitle(f"row, column{number}", fontsize=9, color=INK, x=0.01, ha="left")
    figure.supxlabel("observed wavelength [Å]", fontsize=9, color=INK)
    return figure


def som_loss(som: SelfOrganizingMap) -> Figure:
    """Mean distance of the spectra from their best cells, pass by pass of the fit."""
    figure, (axes,) = new_figure(5.6, 3.4)
    axes.plot(np.arange(1, len(som.loss) + 1), som.loss, color=AFTER, marker="o", markersize=3)
    axes.set(xlabel="pass", ylabel="mean distance from the best cell")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    return figure


def _occupancy(axes: Axes, counts: NDArray[np.integer], threshold: float | None) -> None:
    _counts(axes, counts, "spectra in each cell")
    dropped = "" if threshold is None else f"; {int((counts <= threshold).sum())} marked: dropped"
    axes.set_xlabel(f"{int((counts == 0).sum())} of {counts.size} cells empty{dropped}")
    if threshold is not None:
        _mark(axes, counts <= threshold)


def _counts(axes: Axes, counts: NDArray[np.integer], title: str) -> None:
    occupied = np.where(counts > 0, counts, np.nan).astype(float)
    _panel(axes, occupied, title, OCCUPANCY, LogNorm(1, max(int(counts.max()), 2)))


def _evenly(length: int) -> NDArray[np.int64]:
    """Some rows of a map, evenly over all of them; all of a small one."""
    shown = min(length, PROTOTYPES)
    return ((np.arange(shown) + 0.5) * length / shown).astype(np.int64)


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
        bar.ax.yaxis.set_major_formatter(FuncFormatter(short))
        few = (norm.vmax or 1) < 100  # too few decades for a reader to do without 2 and 5
        bar.ax.yaxis.set_minor_formatter(FuncFormatter(_two_and_five if few else _nothing))


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


def _two_and_five(value: float, _: int | None = None) -> str:
    return short(value) if f"{value:e}"[0] in "25" else ""


def _nothing(value: float, _: int | None = None) -> str:
    return ""
