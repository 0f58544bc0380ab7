"""Figures of a scored pool by night and by petal, which show a bad petal or a drift."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qnal.scores.statistics import Statistics

INK, FAINT, LINES = "#22262e", "#6b7280", "#d6d9df"
TILE, NIGHT, ODD = "#b9c4d6", "#2f5d8c", "#c8502d"
LEAST = 0.005  # lower bound of the upper end of an axis
TILES_SHOWN = 40  # rows of the heat map of petals; the most deviating tiles if there are more
FAR = 4  # standard errors from which on a petal is marked
# Title, the sum that is drawn, the number that it is divided by, and whether in per cent.
PANELS = (
    ("share voted quasar", "quasars", "ok", True),
    ("share on which members disagree", "disagreeing", "ok", True),
    ("mean vote entropy [nats]", "vote_entropy", "ok", False),
    ("share of unusable rows", "unusable", "spectra", True),
)


def by_night(statistics: Statistics) -> Figure | None:
    """Shares and means of each tile against the night, and those of whole nights as a line.

    None if no file name contains a night.
    """
    nights, tiles = _known(statistics, "NIGHT"), _known(statistics, "NIGHT", "TILEID")
    if not len(nights):
        return None
    figure = Figure(figsize=(8.4, 8.4), dpi=150, layout="constrained", facecolor="white")
    all_axes = figure.subplots(len(PANELS), 1, sharex=True)
    position = np.searchsorted(nights["NIGHT"], tiles["NIGHT"])
    for axes, (name, what, of, per_cent) in zip(all_axes, PANELS, strict=True):
        _style(axes, name, per_cent)
        axes.scatter(position, _ratios(tiles, what, of), s=9, color=TILE, lw=0, label="one tile")
        values = _ratios(nights, what, of)
        few = len(nights) < 60
        axes.plot(
            values, color=NIGHT, lw=1.4, marker="o" if few else None, ms=3.5, label="one night"
        )
        if few:
            errors = _errors(nights, what, of)
            axes.errorbar(range(len(values)), values, errors, fmt="none", ecolor=NIGHT, lw=0.8)
        _from_zero_unless_far(axes)
    last = all_axes[-1]
    last.set_xlim(-0.5, len(nights) - 0.5)
    last.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    names = [str(night) for night in nights["NIGHT"]]
    last.xaxis.set_major_formatter(
        lambda k, _: names[int(k)] if k == int(k) and 0 <= k < len(names) else ""
    )
    last.set_xlabel("night (nights without spectra are left out)", color=INK)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    spectra = statistics.total()["spectra"]
    figure.suptitle(
        f"{spectra:,.0f} spectra in {len(nights):,} nights", x=0.01, ha="left", fontsize=12
    )
    return figure


def by_petal(statistics: Statistics) -> Figure | None:
    """Petals of all tiles together, and the tiles of which a petal deviates from the others.

    None if no file name contains a tile and a petal.
    """
    petals, cells = _known(statistics, "PETAL_LOC"), _known(statistics, "TILEID", "PETAL_LOC")
    if not len(cells):
        return None
    numbers = petals["PETAL_LOC"].tolist()
    every = {what: _deviations(cells, numbers, what, of) for _, what, of, _ in PANELS}
    tiles = every["quasars"].index.to_numpy()
    shown = np.arange(len(tiles))
    if len(tiles) > TILES_SHOWN:
        oddness = np.nan_to_num(np.abs(np.stack(list(every.values())))).max(axis=(0, 2))
        shown = np.sort(np.argsort(-oddness, kind="stable")[:TILES_SHOWN])
    rows = tiles[shown].tolist()
    below = max(1.6, 0.16 * len(rows))
    figure = Figure(figsize=(11, 3.2 + below), dpi=150, layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2, len(PANELS), height_ratios=[2.2, below])
    for column, (name, what, of, per_cent) in enumerate(PANELS):
        axes = figure.add_subplot(grid[0, column])
        _style(axes, name.replace("share on which ", ""), per_cent)
        values, errors = _ratios(petals, what, of), _errors(petals, what, of)
        colours = np.where(_far(values, errors), ODD, NIGHT)
        axes.bar(range(len(petals)), values, color=colours, width=0.7)
        axes.errorbar(range(len(petals)), values, errors, fmt="none", ecolor=INK, elinewidth=0.8)
        axes.set_ylim(0, max(axes.get_ylim()[1], LEAST))
        axes.set_xticks(range(len(numbers)), numbers)
        heat, last = figure.add_subplot(grid[1, column]), column == len(PANELS) - 1
        _heat(heat, every[what].to_numpy()[shown], rows, numbers, column == 0, last)
    which = "all tiles"
    if len(rows) < len(tiles):
        which = f"the {len(rows)} most deviating of {len(tiles)} tiles"
    figure.suptitle(
        f"Petals of all tiles together (orange: more than {FAR} σ off), and of {which}",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    return figure


def _known(statistics: Statistics, *keys: str) -> pd.DataFrame:
    """Sums by these keys where all of them are known, with the number of unusable rows."""
    sums = statistics.by(*keys).dropna(subset=list(keys)).sort_values(list(keys))
    return sums.assign(unusable=sums["spectra"] - sums["ok"])


def _ratios(sums: pd.DataFrame, what: str, of: str) -> NDArray[np.float64]:
    number = sums[of].to_numpy(np.float64)
    return sums[what].to_numpy(np.float64) / np.where(number == 0, math.nan, number)


def _errors(sums: pd.DataFrame, what: str, of: str) -> NDArray[np.float64]:
    """Standard errors: binomial for counts; an entropy scatters about as much as its mean."""
    share, n = _ratios(sums, what, of), sums[of].to_numpy(np.float64)
    pooled = np.nansum(share * n) / max(n.sum(), 1)
    variance = pooled * (1 - pooled) if what != "vote_entropy" else pooled * (math.log(3) - pooled)
    return np.sqrt(np.maximum(variance, 1e-3) / np.where(n == 0, math.nan, n))


def _far(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.bool_]:
    if np.isfinite(values).sum() < 2:
        return np.zeros(len(values), bool)
    return np.abs(values - np.nanmedian(values)) > FAR * errors


def _deviations(cells: pd.DataFrame, petals: list[Any], what: str, of: str) -> pd.DataFrame:
    """Distance of each petal from the median of its tile in standard errors, tiles by petals."""
    rows = {}
    for tile, mine in cells.groupby("TILEID"):
        values, errors = _ratios(mine, what, of), _errors(mine, what, of)
        middle = np.nanmedian(values) if np.isfinite(values).any() else math.nan
        rows[tile] = pd.Series((values - middle) / errors, index=mine["PETAL_LOC"])
    return pd.DataFrame.from_dict(rows, orient="index").reindex(columns=petals).sort_index()


def _heat(
    axes: Axes,
    values: NDArray[np.float64],
    tiles: list[Any],
    petals: list[Any],
    first: bool,
    last: bool,
) -> None:
    image = axes.imshow(
        values.reshape(len(tiles), len(petals)) if values.size else np.full((1, 1), np.nan),
        aspect="auto", cmap="RdBu_r", vmin=-6, vmax=6, interpolation="none",
    )  # fmt: skip
    axes.set_facecolor(LINES)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(len(petals)), petals)
    axes.tick_params(length=0, colors=FAINT, labelsize=8)
    axes.set_xlabel("petal", color=INK, fontsize=9)
    step = max(1, len(tiles) // 20)
    axes.set_yticks(range(0, len(tiles), step), tiles[::step])
    axes.tick_params(labelleft=first)
    if first:
        axes.set_ylabel("tile", color=INK, fontsize=9)
    if last:
        bar = axes.figure.colorbar(image, ax=axes, fraction=0.06, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=FAINT, labelsize=8)
        bar.set_label("σ from the tile's median petal", color=INK, fontsize=9)


def _style(axes: Axes, title: str, per_cent: bool) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", colors=FAINT, labelsize=8)
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    if per_cent:
        axes.yaxis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g} %")


def _from_zero_unless_far(axes: Axes) -> None:
    """Begin an axis at 0, unless that would flatten a drift."""
    low, high = axes.get_ylim()
    axes.set_ylim(0 if low < 0.6 * high else low, max(high, LEAST))
