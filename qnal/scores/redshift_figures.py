"""Figures of the redshifts of a pool: pile-ups, and Redrock against the ensemble."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qnal.figure_style import AFTER, BEFORE, CHOSEN, FAINT, INK, LINES, new_figure
from qnal.lines import REST_WAVELENGTH, column_names
from qnal.scores.pile_ups import JOINS, SKY_LINES, WIDTH, pile_ups
from qnal.scores.redshift_counts import (
    DZ_BIN,
    GRID_BIN,
    SMOOTHED,
    Z_BIN,
    RedshiftCounts,
    coarse,
    smooth,
)

RANGE = (3600.0, 9824.0)  # Å
WAVE_BIN = 50.0  # Å
CLASSES = ("NOT", "QSO_LZ", "QSO_HZ")
SPECTYPES = ("QSO", "GALAXY", "STAR")


def redshift_page(counts: RedshiftCounts, lines: Sequence[str]) -> Figure:
    """N(z) with pile-ups, the observed wavelengths of the lines, and sky fibres called quasars."""
    figure, _ = new_figure(11, 9.5)
    figure.clear()
    rows = figure.add_gridspec(3, 2, height_ratios=[2.4, 2.4, 1.6])
    _redshifts(figure.add_subplot(rows[0, :]), counts, lines)
    _line_positions(figure.add_subplot(rows[1, :]), counts, lines)
    _sky(figure.add_subplot(rows[2, 0]), counts.sky, "PETAL_LOC", "petal")
    _sky(figure.add_subplot(rows[2, 1]), counts.sky, "NIGHT", "night")
    return figure


def redrock_page(counts: RedshiftCounts, width: float) -> Figure:
    """Classes and redshifts of Redrock against those of the ensemble.

    Args:
        counts: of a pool with results of Redrock.
        width: of the prior, in units of 1+z.
    """
    figure, (matrix, plane, difference) = new_figure(13, 4.4, 1, 3)
    _confusion(matrix, counts.classes)
    _plane(plane, counts.pairs)
    dz, n = (counts.dz["bin"] + 0.5) * DZ_BIN, counts.dz["n"]
    difference.bar(dz, n, width=DZ_BIN, color=AFTER)
    difference.set_yscale("log")
    difference.set_xlim(-1, 1)
    for edge in (-width / 2, width / 2):
        difference.axvline(edge, color=CHOSEN, lw=1, ls="--")
    outside = int(n[np.abs(dz) > width / 2].sum())
    _title(difference, f"quasars of both: {outside:,} of {int(n.sum()):,} outside of the prior")
    difference.set_xlabel("(Z_RR − Z) / (1 + Z)")
    difference.set_ylabel("spectra")
    return figure


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=8)


def _redshifts(axes: Axes, counts: RedshiftCounts, lines: Sequence[str]) -> None:
    found = pile_ups(counts, lines)
    sources = [("ensemble", AFTER, 1)] + [("redrock", FAINT, -1)] * counts.has_redrock
    for source, colour, sign in sources:
        n = coarse(counts.histogram(source))
        z = (np.arange(len(n)) + 0.5) * WIDTH
        axes.bar(z, sign * n, width=WIDTH, color=BEFORE if sign > 0 else LINES, lw=0)
        axes.plot(z, sign * smooth(n), color=colour, lw=1.4, label=f"smooth curve ({source})")
        mine = found[found["SOURCE"] == source]
        middle = (mine["Z_LOW"] + mine["Z_HIGH"]) / 2
        axes.bar(middle, sign * mine["N"], width=WIDTH, color=CHOSEN, lw=0)
    title = f"quasars per Δz = {WIDTH:g}; orange: more than 4 σ above the curve"
    _title(axes, title + (" (Redrock below the axis)" if counts.has_redrock else ""))
    axes.axhline(0, color=FAINT, lw=0.6)
    axes.yaxis.set_major_formatter(lambda n, _: f"{abs(n):g}")
    axes.set_xlim(0, 5)
    axes.set_xlabel("redshift")
    axes.set_ylabel("spectra")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _line_positions(axes: Axes, counts: RedshiftCounts, lines: Sequence[str]) -> None:
    """Where the lines of the ensemble's quasars are observed, in σ from a smooth curve."""
    n = counts.histogram("ensemble")
    z = (np.arange(len(n)) + 0.5) * Z_BIN
    edges = np.arange(RANGE[0], RANGE[1] + WAVE_BIN, WAVE_BIN)
    expected = np.repeat(smooth(coarse(n)), SMOOTHED)[: len(n)] / SMOOTHED
    image = []
    for name in lines:
        rest = REST_WAVELENGTH[name]
        # A bin of redshift may be wider than one of wavelength: spread it over its own width.
        spread = rest * Z_BIN * np.linspace(-0.45, 0.45, 10)
        observed = (rest * (1 + z)[:, None] + spread).ravel()
        found, curve = (
            np.histogram(observed, edges, weights=np.repeat(counted / 10, 10))[0]
            for counted in (n, expected)
        )
        sigma = (found - curve) / np.sqrt(np.maximum(curve, 1))
        image.append(np.where(edges[1:] > rest, sigma, np.nan))
    shown = axes.imshow(
        np.array(image), aspect="auto", cmap="RdBu_r", vmin=-5, vmax=5, interpolation="none",
        extent=(edges[0], edges[-1], len(lines) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_facecolor(LINES)
    _title(axes, "lines of the quasars in observed wavelength (shaded: cameras join; ticks: sky)")
    for low, high in JOINS.values():
        axes.axvspan(low, high, color=CHOSEN, alpha=0.25, lw=0)
    axes.vlines(SKY_LINES, -0.5, -0.2, color=INK, lw=0.8)
    axes.set_yticks(range(len(lines)), column_names(lines))
    axes.set_xlim(*RANGE)
    axes.set_xlabel("observed wavelength [Å]")
    bar = axes.figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("σ from a smooth curve", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8, colors=FAINT)
    bar.outline.set_visible(False)


def _sky(axes: Axes, sky: pd.DataFrame, key: str, name: str) -> None:
    groups = sky.dropna(subset=[key]).groupby(key)[["spectra", "quasars"]].sum()
    share = groups["quasars"] / groups["spectra"].clip(lower=1)
    error = np.sqrt(np.maximum(share * (1 - share), 0.25 / groups["spectra"]) / groups["spectra"])
    axes.bar(range(len(groups)), share, color=AFTER, width=0.7)
    axes.errorbar(range(len(groups)), share, error, fmt="none", ecolor=INK, elinewidth=0.8)
    total = groups.sum()
    _title(axes, f"sky fibres called quasars, by {name}: {total['quasars']:,.0f} of "
           f"{total['spectra']:,.0f}")  # fmt: skip
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.01))
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g} %")
    step = max(1, len(groups) // (10 if key == "PETAL_LOC" else 4))
    names = [str(round(float(k))) for k in groups.index.to_numpy()[::step]]
    axes.set_xticks(range(0, len(groups), step), names)
    axes.set_xlabel(name)


def _confusion(axes: Axes, classes: pd.DataFrame) -> None:
    counted = classes.pivot_table(index="ensemble", columns="redrock", values="n", aggfunc="sum")
    table = counted.reindex(index=CLASSES, columns=SPECTYPES).fillna(0).to_numpy(np.int64)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(table.shape):
        axes.text(
            j, i, f"{table[i, j]:,}\n{100 * share[i, j]:.0f} %",
            ha="center", va="center", fontsize=9, color="white" if share[i, j] > 0.5 else INK,
        )  # fmt: skip
    axes.set_xticks(range(len(SPECTYPES)), SPECTYPES)
    axes.set_yticks(range(len(CLASSES)), CLASSES)
    axes.set_xlabel("Redrock")
    axes.set_ylabel("ensemble")
    _title(axes, "classes (per cent of each row)")


def _plane(axes: Axes, pairs: pd.DataFrame) -> None:
    for spectype, colour in (("QSO", AFTER), ("GALAXY", CHOSEN), ("STAR", FAINT)):
        mine = pairs[pairs["spectype"] == spectype]
        size = 6 + 14 * np.log10(mine["n"].to_numpy(float))
        x, y = (mine["z"] + 0.5) * GRID_BIN, (mine["z_rr"] + 0.5) * GRID_BIN
        axes.scatter(x, y, s=size, color=colour, lw=0, alpha=0.7, label=f"{spectype} of Redrock")
    axes.set_xlim(0, 5)
    axes.set_ylim(-0.1, 5)
    axes.set_xlabel("redshift of the ensemble")
    axes.set_ylabel("redshift of Redrock")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    _title(axes, f"quasars of the ensemble, in cells of {GRID_BIN:g}")
