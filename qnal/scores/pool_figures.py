"""Pictures of a scored pool by night and by petal, so that a bad petal or a drift is seen."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from qnal.scores.pool_summary import Key, PoolSummary

INK, FAINT, LINES = "#22262e", "#6b7280", "#d6d9df"
TILE, NIGHT, ODD = "#b9c4d6", "#2f5d8c", "#c8502d"
LEAST = 0.005  # an axis goes at least up to here
TILES_SHOWN = 40  # rows of the map of petals; the oddest tiles where there are more
# What is drawn: its name, the sum and what it is a share of, and whether in per cent.
PANELS = (
    ("share voted quasar", "quasars", "ok", True),
    ("share on which members disagree", "disagreeing", "ok", True),
    ("mean vote entropy [nats]", "vote_entropy", "ok", False),
    ("share of unusable rows", "unusable", "spectra", True),
)
Sums = dict[str, float]


def by_night(summary: PoolSummary) -> Figure | None:
    """Each tile's shares and means against the night, and those of whole nights as a line.

    None where no file says its night.
    """
    nights = _known(summary.by("NIGHT"))
    if not nights:
        return None
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
        if few:
            errors = _errors(nights, what, of)
            axes.errorbar(range(len(values)), values, errors, fmt="none", ecolor=NIGHT, lw=0.8)
        _from_zero_unless_far(axes)
    last = all_axes[-1]
    last.set_xlim(-0.5, len(nights) - 0.5)
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


def by_petal(summary: PoolSummary) -> Figure | None:
    """Petals against each other: all tiles together, and where a tile's petal stands out.

    None where no file says its tile and petal.
    """
    petals = _known(summary.by("PETAL_LOC"))
    cells = _known(summary.by("TILEID", "PETAL_LOC"))
    if not cells:
        return None
    numbers: list[Any] = [petal for (petal,) in petals]
    tiles = sorted({tile for tile, _ in cells}, key=lambda t: t or 0)
    shown, odd = _oddest(cells, tiles, numbers)
    height = 3.2 + max(1.6, 0.16 * len(shown))
    figure = Figure(figsize=(11, height), dpi=150, layout="constrained", facecolor="white")
    grid = figure.add_gridspec(2, len(PANELS), height_ratios=[2.2, max(1.6, 0.16 * len(shown))])
    for column, (name, what, of, per_cent) in enumerate(PANELS):
        axes = figure.add_subplot(grid[0, column])
        _plain(axes, name.replace("share on which ", ""), per_cent)
        values, errors = _ratios(petals, what, of), _errors(petals, what, of)
        far = _far(values, errors)
        axes.bar(range(len(petals)), values, color=np.where(far, ODD, NIGHT), width=0.7)
        axes.errorbar(range(len(petals)), values, errors, fmt="none", ecolor=INK, elinewidth=0.8)
        axes.set_ylim(0, max(axes.get_ylim()[1], LEAST))
        axes.set_xticks(range(len(numbers)), numbers)
        heat = figure.add_subplot(grid[1, column])
        last = column == len(PANELS) - 1
        _heat(heat, _grid_of(cells, shown, numbers, what, of), shown, numbers, column == 0, last)
    below = f"of the oddest {len(shown)} of {len(tiles)} tiles" if odd else "tile by tile"
    figure.suptitle(
        f"Petals of all tiles together (orange: more than 4 σ off), and {below}",
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
    return np.sqrt(np.maximum(variance, 1e-3) / n)


def _far(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.bool_]:
    if np.isfinite(values).sum() < 2:
        return np.zeros(len(values), bool)
    return np.abs(values - np.nanmedian(values)) > 4 * errors


def _grid_of(
    cells: dict[Key, Sums], tiles: list[Any], petals: list[Any], what: str, of: str
) -> NDArray[np.float64]:
    """How far each petal is from the median of its tile's, in σ, shape [tiles, petals]."""
    grid = np.full((len(tiles), len(petals)), np.nan)
    for row, tile in enumerate(tiles):
        mine: dict[Key, Sums] = {(p,): cells[tile, p] for p in petals if (tile, p) in cells}
        values, errors = _ratios(mine, what, of), _errors(mine, what, of)
        if np.isfinite(values).any():
            where = [petals.index(key[0]) for key in mine]
            grid[row, where] = (values - np.nanmedian(values)) / errors
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


def _plain(axes: Axes, title: str, per_cent: bool) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", colors=FAINT, labelsize=8)
    axes.grid(axis="y", color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    if per_cent:
        axes.yaxis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g} %")


def _from_zero_unless_far(axes: Axes) -> None:
    """Let an axis begin at 0, unless that would flatten a drift."""
    low, high = axes.get_ylim()
    axes.set_ylim(0 if low < 0.6 * high else low, max(high, LEAST))
