"""Figures of a SOM: contents of the cells, U-matrix, prototypes, loss."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from qnal.figure_style import AFTER, CHOSEN, FAINT, INK, LINES, new_figure, short
from qnal.som.som import SelfOrganizingMap

OCCUPANCY, UNCERTAINTY, FRACTIONS = "cividis", "magma", "YlGnBu"  # colour maps
ACROSS = 3  # panels per row
PROTOTYPES = 7  # most rows and columns of prototypes shown


def som_figures(
    som: SelfOrganizingMap,
    wave: NDArray[np.floating],
    labelled: tuple[NDArray[np.floating], NDArray[np.bool_]] | None = None,
) -> dict[str, Figure]:
    """The figures of a fitted SOM by file name.

    Args:
        som: the SOM.
        wave: its wavelength grid, shape [npix], Å.
        labelled: labelled spectra, shape [n, npix], and whether each is a quasar.
    """
    counts = None if som.statistics is None else som.statistics.count
    if labelled is None:
        panels = som_panels(som, counts)
    else:
        x, quasar = labelled
        bmu, _ = som.find_bmu(x)
        number = np.bincount(bmu, minlength=som.cells)
        quasars = np.bincount(bmu, quasar, som.cells)
        fraction = np.divide(quasars, number, where=number > 0, out=np.full(som.cells, np.nan))
        panels = som_panels(
            som, counts, labelled=number, quasars=fraction, quasars_by="labelled as"
        )
    return {
        "som.png": panels,
        "som_prototypes.png": som_prototypes(som, wave, counts),
        "som_loss.png": som_loss(som),
    }


def som_panels(
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
    """One panel per quantity of the cells, and the U-matrix.

    All arrays have the shape [cells], with NaN where a quantity is unknown. Quantities that are
    None have no panel.

    Args:
        som: the SOM.
        counts: number of spectra.
        quasars: fraction of quasars.
        uncertainty: mean utility of the spectra.
        labelled: number of labelled spectra.
        outliers: fraction of outliers.
        quasars_by: how the quasars were identified, ``voted`` or ``labelled as``.
        threshold: cells with at most this many spectra are marked as dropped by the query.
    """
    given = (counts, labelled, quasars, uncertainty, outliers)
    panels = 1 + sum(values is not None for values in given)
    columns = 2 if panels == 4 else min(panels, ACROSS)
    lines = -(-panels // columns)
    height = lines * (3.3 * som.shape[0] / som.shape[1] + 0.8)
    figure, grid = new_figure(4.1 * columns, height, lines, columns)
    for unused in grid[panels:]:
        unused.set_axis_off()
    axes = iter(grid)
    if counts is not None:
        _occupancy(next(axes), np.asarray(counts).reshape(som.shape), threshold)
    ax, u_matrix = next(axes), som.u_matrix()
    _panel(ax, u_matrix, "distance to neighbours", UNCERTAINTY, _range(u_matrix))
    if any(som.wrap):
        ax.set_xlabel("periodic" if all(som.wrap) else "periodic along one axis")
    if labelled is not None:
        number = np.asarray(labelled).reshape(som.shape)
        _counts(next(axes), number, "labelled spectra")
    for values, title, colours in (
        (quasars, f"fraction {quasars_by} quasar", FRACTIONS),
        (uncertainty, "mean uncertainty", UNCERTAINTY),
        (outliers, "fraction of outliers", UNCERTAINTY),
    ):
        if values is not None:
            shown = np.asarray(values, float).reshape(som.shape)
            top = 1.0 if values is quasars else _range(shown).vmax
            if values is outliers:  # 0 in most cells, which would make a percentile 0
                top = np.nanmax(shown, initial=0.0) or 1.0
            _panel(next(axes), shown, title, colours, Normalize(0, top))
    return figure


def som_prototypes(
    som: SelfOrganizingMap, wave: NDArray[np.floating], counts: NDArray[np.integer] | None = None
) -> Figure:
    """Prototype spectra of the cells, arranged as on the SOM; of a large SOM, a regular subset.

    Args:
        som: the SOM.
        wave: its wavelength grid, shape [npix], Å.
        counts: number of spectra per cell, shape [cells]; empty cells are drawn faint.
    """
    shown = [_evenly(length) for length in som.shape]
    lines, columns = map(len, shown)
    figure, grid = new_figure(0.6 + 1.75 * columns, 0.7 + 1.2 * lines, lines, columns)
    for k, axes in enumerate(grid):
        # The first row of cells is at the bottom, as in som_panels.
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
        spectra = "" if counts is None else f"   {short(int(counts[cell]))}"
        axes.set_title(f"{row}, {column}{spectra}", fontsize=7, color=FAINT, loc="left", pad=2)
    number = "" if counts is None else "   number of spectra"
    figure.suptitle(f"row, column{number}", fontsize=9, color=INK, x=0.01, ha="left")
    figure.supxlabel("observed wavelength [Å]", fontsize=9, color=INK)
    return figure


def som_loss(som: SelfOrganizingMap) -> Figure:
    """Mean distance of the spectra from their BMUs in each pass of the fit."""
    figure, (axes,) = new_figure(5.6, 3.4)
    axes.plot(np.arange(1, len(som.loss) + 1), som.loss, color=AFTER, marker="o", markersize=3)
    axes.set(xlabel="pass", ylabel="mean distance from the BMU")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    return figure


def _occupancy(axes: Axes, counts: NDArray[np.integer], threshold: float | None) -> None:
    _counts(axes, counts, "spectra per cell")
    dropped = "" if threshold is None else f"; {int((counts <= threshold).sum())} dropped (marked)"
    axes.set_xlabel(f"{int((counts == 0).sum())} of {counts.size} cells empty{dropped}")
    if threshold is not None:
        _mark(axes, counts <= threshold)


def _counts(axes: Axes, counts: NDArray[np.integer], title: str) -> None:
    occupied = np.where(counts > 0, counts, np.nan).astype(float)
    _panel(axes, occupied, title, OCCUPANCY, LogNorm(1, max(int(counts.max()), 2)))


def _evenly(length: int) -> NDArray[np.int64]:
    """Up to PROTOTYPES indices, evenly spaced over an axis."""
    shown = min(length, PROTOTYPES)
    return ((np.arange(shown) + 0.5) * length / shown).astype(np.int64)


def _panel(axes: Axes, values: NDArray[Any], title: str, colours: str, norm: Normalize) -> None:
    image = axes.imshow(values, origin="lower", cmap=colours, norm=norm, interpolation="none")
    axes.set_facecolor(LINES)  # colour of cells without a value
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
        few = (norm.vmax or 1) < 100  # less than two decades: label 2 and 5 as well
        bar.ax.yaxis.set_minor_formatter(FuncFormatter(_two_and_five if few else _nothing))


def _mark(axes: Axes, cells: NDArray[np.bool_]) -> None:
    row, column = np.nonzero(cells)
    # Diameter of a third of a cell.
    size = (72 * 3.2 / cells.shape[1] / 3) ** 2
    axes.scatter(column, row, s=size, color=CHOSEN, marker="o", linewidths=0)


def _range(values: NDArray[np.floating]) -> Normalize:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Normalize(0, 1)
    low, high = np.percentile(finite, [1, 99])  # ignores single extreme cells
    return Normalize(low, high if high > low else low + 1)


def _two_and_five(value: float, _: int | None = None) -> str:
    return short(value) if f"{value:e}"[0] in "25" else ""


def _nothing(value: float, _: int | None = None) -> str:
    return ""
