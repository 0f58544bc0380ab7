"""Pictures of a scored pool by night and by petal, so that a bad petal or a drift is seen."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from qnal.ensemble.pool_summary import Key, PoolSummary

INK, FAINT, LINES = "#22262e", "#6b7280", "#d6d9df"
TILE, NIGHT, ODD = "#b9c4d6", "#2f5d8c", "#c8502d"
TILES_SHOWN = 40  # rows of the map of petals; the oddest tiles where there are more
# What is drawn: its name, the sum and what it is a share of, and whether in per cent.
PANELS = (
    ("share voted quasar", "quasars", "ok", True),
    ("share on which members disagree", "disagreeing", "ok", True),
    ("mean vote entropy [nats]", "vote_entropy", "ok", False),
    ("share of unusable rows", "unusable", "spectra", True),
)
Sums = dict[str, float]


def by_night(summary: PoolSummary) -> Figure:
    """Each tile's shares and means against the night, and those of whole nights as a line."""
    nights = _known(summary.by("NIGHT"))
    tiles = _known(summary.by("NIGHT", "TILEID"))
    figure = Figure(figsize=(8.4, 8.4), dpi=150, layout="constrained", facecolor="white")
    all_axes = figure.subplots(len(PANELS), 1, sharex=True)
    place = {night: k for k, (night,) in enumerate(nights)}
    for axes, (name, what, of, per_cent) in zip(all_axes, PANELS, strict=True):
        _plain(axes, name, per_cent)
        x = [place[key[0]] for key in tiles]
        axes.scatter(x, _ratios(tiles, what, of), s=9, color=TILE, linewidths=0, label="a tile")
        values = _ratios(nights, what, of)
        few = len(nights) < 60
        axes.plot(values, color=NIGHT, lw=1.4, marker="o" if few else None, ms=3.5, label="a night")
        axes.set_ylim(bottom=0)
    if not nights:
        all_axes[0].text(0.5, 0.5, "no file says its night", transform=all_axes[0].transAxes,
                         ha="center", color=FAINT)  # fmt: skip
    last = all_axes[-1]
    last.set_xlim(-0.5, max(len(nights), 1) - 0.5)
    last.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    names = [str(night) for (night,) in nights]
    last.xaxis.set_major_formatter(
        lambda k, _: names[int(k)] if k == int(k) and 0 <= k < len(names) else ""
    )
    last.set_xlabel("night (those without spectra are left out)", color=INK)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    total = summary.total()
    figure.suptitle(
        f"{total['spectra']:,.0f} spectra in {len(nights):,} nights", x=0.01, ha="left", fontsize=12
    )
    return figure


def by_petal(summary: PoolSummary) -> Figure:
    """Petals against each other: all tiles together, and where a tile's petal stands out."""
    petals = _known(summary.by("PETAL_LOC"))
    cells = _known(summary.by("TILEID", "PETAL_LOC"))
    numbers: list[Any] = [petal for (petal,) in petals]
    tiles = sorted({tile for tile, _ in cells}, key=lambda t: t or 0)
    shown, odd = _oddest(cells, tiles, numbers)
    height = 3.2 + max(1.6, 0.16 * len(shown))
    figure = Figure(figsize=(11, height), dpi=150, layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2, len(PANELS), height_ratios=[2.2, max(1.6, 0.16 * len(shown))])
    for column, (name, what, of, per_cent) in enumerate(PANELS):
        axes = figure.add_subplot(grid[0, column])
        _plain(axes, name, per_cent)
        axes.title.set_fontsize(9)
        values, errors = _ratios(petals, what, of), _errors(petals, what, of)
        far = _far(values, errors)
        axes.bar(range(len(petals)), values, color=np.where(far, ODD, NIGHT), width=0.7)
        axes.errorbar(range(len(petals)), values, errors, fmt="none", ecolor=INK, elinewidth=0.8)
        axes.set_xticks(range(len(numbers)), numbers)
        below = figure.add_subplot(grid[1, column])
        _heat(below, _grid_of(cells, shown, numbers, what, of), shown, numbers, column == 0)
    what = f"{len(shown)} of {len(tiles)} tiles, the oddest" if odd else "tile by tile"
    figure.suptitle(
        f"Petals of all tiles (orange: further than 4 σ from the others), and {what}: "
        "difference from the tile's mean, in σ",
        x=0.01, ha="left", fontsize=11,
    )  # fmt: skip
    return figure


def _known(groups: dict[Key, Sums]) -> dict[Key, Sums]:
    """Groups of which night and petal are known, with what is unusable counted."""
    return {
        key: sums | {"unusable": sums["spectra"] - sums["ok"]}
        for key, sums in groups.items()
        if all(value is not None for value in key)
    }


def _ratios(groups: dict[Key, Sums], what: str, of: str) -> NDArray[np.float64]:
    return np.array([sums[what] / (sums[of] or math.nan) for sums in groups.values()])


def _errors(groups: dict[Key, Sums], what: str, of: str) -> NDArray[np.float64]:
    """Standard errors: binomial for counts; an entropy scatters about as widely as its mean."""
    share, n = _ratios(groups, what, of), np.array([s[of] or math.nan for s in groups.values()])
    pooled = np.nansum(share * n) / max(np.nansum(n), 1)
    variance = pooled * (1 - pooled) if what != "vote_entropy" else pooled * (math.log(3) - pooled)
    return np.sqrt(np.maximum(variance, 1e-12) / n)


def _far(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.bool_]:
    if len(values) < 2:
        return np.zeros(len(values), bool)
    return np.abs(values - np.nanmedian(values)) > 4 * errors


def _grid_of(
    cells: dict[Key, Sums], tiles: list[Any], petals: list[Any], what: str, of: str
) -> NDArray[np.float64]:
    """Difference of each petal from its tile's mean in standard errors, shape [tiles, petals]."""
    grid = np.full((len(tiles), len(petals)), np.nan)
    for row, tile in enumerate(tiles):
        mine = {p: cells[tile, p] for p in petals if (tile, p) in cells}
        n = sum(s[of] for s in mine.values())
        mean = sum(s[what] for s in mine.values()) / n if n else math.nan
        most = math.log(3) if what == "vote_entropy" else 1
        scatter = math.sqrt(max(mean * (most - mean), 1e-3)) if n else math.nan
        for p, s in mine.items():
            if s[of]:
                grid[row, petals.index(p)] = (s[what] / s[of] - mean) / scatter * math.sqrt(s[of])
    return grid


def _oddest(cells: dict[Key, Sums], tiles: list[Any], petals: list[Any]) -> tuple[list[Any], bool]:
    """The tiles to show: all, or those with the petals that differ most from the others."""
    if len(tiles) <= TILES_SHOWN:
        return tiles, False
    grids = [_grid_of(cells, tiles, petals, what, of) for _, what, of, _ in PANELS]
    oddness = np.nanmax(np.nan_to_num(np.abs(np.stack(grids))), axis=(0, 2))
    chosen = np.sort(np.argsort(-oddness, kind="stable")[:TILES_SHOWN])
    return [tiles[k] for k in chosen], True


def _heat(
    axes: Axes, values: NDArray[np.float64], tiles: list[Any], petals: list[Any], named: bool
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
    axes.set_yticks(range(0, len(tiles), step), tiles[::step] if named else [])
    if not named:
        axes.set_yticks([])
    else:
        axes.set_ylabel("tile", color=INK, fontsize=9)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=FAINT, labelsize=7)


def _plain(axes: Axes, title: str, per_cent: bool) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", colors=FAINT, labelsize=8)
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    if per_cent:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
