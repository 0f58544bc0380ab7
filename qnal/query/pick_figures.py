"""Figures of the selected targets beside the pool that they are from."""

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from qnal.figure_style import BEFORE, CHOSEN, FAINT, INK, LINES, new_figure, short
from qnal.query.pool_distribution import (
    REDSHIFTS,
    SIGNAL_TO_NOISE,
    VOTE_BINS,
    PoolDistribution,
    binned,
)
from qnal.query.selection import Selection
from qnal.spectra.target_table import SNR


def pick_figures(
    selection: Selection, pool: PoolDistribution, shape: tuple[int, int] | None
) -> dict[str, Figure]:
    """The figures by file name, those for which the scores have the columns.

    Args:
        selection: the selected targets.
        pool: the distributions over the pool.
        shape: rows and columns of the SOM; None if it is unknown.
    """
    figures = {}
    if pool.redshifts is not None or pool.signal_to_noise is not None:
        figures["picks_pool.png"] = picks_and_pool(selection, pool)
    if pool.votes is not None and len(pool.votes):
        figures["picks_votes.png"] = vote_triangle(selection, pool.votes)
    if pool.cells is not None and shape is not None and np.prod(shape) == len(pool.cells):
        figures["picks_som.png"] = picks_on_som(selection, pool.cells, shape)
    return figures


def picks_and_pool(selection: Selection, pool: PoolDistribution) -> Figure:
    """Distributions of redshift and signal-to-noise ratio, each as a fraction of its set."""
    panels = [
        (column, label, edges, counts)
        for column, label, edges, counts in (
            ("Z", "redshift by the ensemble", REDSHIFTS[::2], pool.redshifts),
            (SNR + pool.arm, f"signal-to-noise ratio per pixel in {pool.arm}",
             SIGNAL_TO_NOISE[::3], pool.signal_to_noise),
        )
        if counts is not None
    ]  # fmt: skip
    figure, all_axes = new_figure(4.6 * len(panels), 3.6, 1, len(panels))
    for axes, (column, label, edges, counts) in zip(all_axes, panels, strict=True):
        coarse = counts.reshape(len(edges) - 1, -1).sum(axis=1)
        picks = binned(_numbers(selection, column), edges)
        styles: tuple[tuple[NDArray[np.int64], str, dict[str, Any]], ...] = (
            (coarse, "pool", {"fill": True, "color": BEFORE}),
            (picks, "selected", {"color": CHOSEN, "linewidth": 1.6}),
        )
        for number, name, style in styles:
            share = number / max(int(number.sum()), 1)
            axes.stairs(share, edges, label=f"{name} ({int(number.sum()):,})", **style)
        axes.set(xlabel=label, ylabel="fraction per bin", xlim=(edges[0], edges[-1]))
        if column != "Z":
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(short))
        axes.grid(axis="y", color=LINES, linewidth=0.6)
        axes.legend(frameon=False, fontsize=9)
    return figure


def vote_triangle(selection: Selection, votes: NDArray[np.float64]) -> Figure:
    """The three vote shares as a triangle: the pool as density, the selected targets as points."""
    figure, (axes,) = new_figure(5.8, 5.0)
    x, y = _triangle(votes[:, 0], votes[:, 1])
    size = max(72 * 4.2 / VOTE_BINS / 1.15, 7.0) ** 2
    norm = LogNorm(1, max(votes[:, 2].max(), 2))
    image = axes.scatter(
        x, y, c=votes[:, 2], s=size, marker="h", cmap="cividis", norm=norm, linewidths=0
    )
    picks_x, picks_y = _triangle(*(_numbers(selection, c) for c in ("C_QSO_LZ", "C_QSO_HZ")))
    control = selection.is_control
    axes.scatter(picks_x[~control], picks_y[~control], s=11, color=CHOSEN, linewidths=0.4,
                 edgecolors="white", label=f"selected ({int((~control).sum()):,})")  # fmt: skip
    if control.any():
        axes.scatter(picks_x[control], picks_y[control], s=14, facecolors="none", marker="s",
                     edgecolors=CHOSEN, label=f"control ({int(control.sum()):,})")  # fmt: skip
    corners = (("not a quasar", 0, 0, "right"), ("low redshift", 1, 0, "left"),
               ("high redshift", 0, 1, "center"))  # fmt: skip
    outline = [_triangle(np.array([a]), np.array([b])) for a, b in ((0, 0), (1, 0), (0, 1), (0, 0))]
    axes.plot(*(np.concatenate(v) for v in zip(*outline, strict=True)), color=FAINT, lw=0.8)
    for name, low, high, align in corners:
        (place,), (height,) = _triangle(np.array([low]), np.array([high]))
        axes.annotate(f"all vote\n{name}", (place, height), (0, 8 if high else -8),
                      textcoords="offset points", ha="center" if high else align,
                      va="bottom" if high else "top", color=INK, fontsize=9)  # fmt: skip
    axes.set(aspect="equal", xlim=(-0.25, 1.25), ylim=(-0.14, 1.02))
    axes.set_axis_off()
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("spectra of the pool", color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=FAINT, labelsize=8)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(short))
    return figure


def picks_on_som(selection: Selection, cells: NDArray[np.int64], shape: tuple[int, int]) -> Figure:
    """Number of spectra per SOM cell, and the selected targets as discs by their number."""
    figure, (axes,) = new_figure(6.0, 5.2)
    counts = np.where(cells > 0, cells, np.nan).reshape(shape).astype(float)
    norm = LogNorm(1, max(int(cells.max()), 2))
    image = axes.imshow(counts, origin="lower", cmap="cividis", norm=norm, interpolation="none")
    axes.set_facecolor(LINES)
    bmu = _numbers(selection, "BMU")
    picks = np.bincount(bmu[~np.isnan(bmu)].astype(int), minlength=len(cells))
    chosen = np.flatnonzero(picks)
    row, column = np.divmod(chosen, shape[1])
    full = (72 * 4.2 / max(shape)) ** 2 * 0.7
    sizes = np.clip(picks[chosen] / picks.max(), 0.08, 1) * full
    axes.scatter(column, row, s=sizes, color=CHOSEN, edgecolors="white", linewidths=0.4)
    axes.set(xlabel="column of the SOM", ylabel="row of the SOM")
    axes.set_title(f"{int(picks.sum()):,} selected in {len(chosen):,} cells, at most {picks.max()} "
                   "in one", loc="left", fontsize=10, color=INK)  # fmt: skip
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02)
    bar.set_label("spectra of the pool", color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which="both", colors=FAINT, labelsize=8)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(short))
    return figure


def _triangle(
    low: NDArray[np.floating], high: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Position in an equilateral triangle with unit sides."""
    return low + high / 2, high * np.sqrt(0.75)


def _numbers(selection: Selection, column: str) -> NDArray[np.float64]:
    """A column of the selection, NaN where it is null or missing, float64 [n]."""
    if column not in selection.table.column_names:
        return np.full(len(selection), np.nan)
    return np.array(
        [np.nan if v is None else v for v in selection.table[column].to_pylist()], np.float64
    )
