"""Figures of a study: learning curves, label efficiency, areas under the curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from qnal.figure_style import FAINT, INK, LINES, new_figure, short
from qnal.learning.forecast import Forecast
from qnal.learning.label_efficiency import NOT_REACHED, RANDOM_BELOW
from qnal.learning.plan import BASELINE

BAND = (0.16, 0.84)  # quantiles over the repeats
COLOURS = ("#2f5d8c", "#c8502d", "#3f8f5f", "#8a5aa8", "#b08a1e", "#3a9fb0", "#a8446c", "#7a7a3a")
RATIOS = (0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50)  # ticks of label efficiency
MARKERS = "osD^vP*X"
PANELS = {
    "completeness_at_purity_99": "completeness at purity 0.99",
    "completeness_at_purity_99_z": "… with the redshift right",
    "average_precision": "average precision",
}


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Metrics on the held-out targets by number of labels; lines are means over the repeats."""
    figure, panels = new_figure(13, 4.2, 1, len(PANELS))
    repeats = curves["repeat"].nunique()
    for axes, (metric, title) in zip(panels, PANELS.items(), strict=True):
        for name, colour, marker in _styles(curves):
            by_labels = curves[curves["strategy"] == name].groupby("labels")[metric]
            mean, low, high = (
                by_labels.mean(),
                by_labels.quantile(BAND[0]),
                by_labels.quantile(BAND[1]),
            )
            axes.fill_between(mean.index, low, high, color=colour, alpha=0.15, lw=0)
            style = "--" if _has_prior(name, curves) else "-"
            (line,) = axes.plot(mean.index, mean, style, color=colour, marker=marker, label=name)
            line.set(markersize=4, linewidth=1.6)
        _log_labels(axes, curves)
        axes.set_title(title, fontsize=10, color=INK)
        axes.grid(color=LINES, lw=0.5)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9
    )
    note = f"bands: 68 % of {repeats} repeats" if repeats > 1 else "one repeat"
    panels[-1].text(
        0.98, 0.03, note, transform=panels[-1].transAxes, ha="right", fontsize=8, color=FAINT
    )
    return figure


def efficiency_figure(efficiency: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Label efficiency by level reached, with 68 % bootstrap intervals."""
    figure, (axes,) = new_figure(6.4, 4.4)
    axes.axhline(1, color=FAINT, lw=1, ls="--")
    for name, colour, _ in _styles(curves):
        part = efficiency[efficiency["strategy"] == name]
        known = part[part["efficiency"].notna()]
        if known.empty:
            continue
        axes.fill_between(
            known["level"], known["low"], known["high"], color=colour, alpha=0.15, lw=0
        )
        axes.plot(known["level"], known["efficiency"], color=colour, lw=1.6, label=name)
        last = part["level"].max()
        if (beyond := part[part["note"].isin((NOT_REACHED, RANDOM_BELOW))]["level"]).any():
            who = "random" if (part["note"] == RANDOM_BELOW).any() else name
            axes.plot(
                known["level"].iloc[-1], known["efficiency"].iloc[-1], "|", color=colour, ms=12
            )
            axes.annotate(
                f"{who}: {beyond.min():.2f} not reached" if last > beyond.min() else "",
                (known["level"].iloc[-1], known["efficiency"].iloc[-1]),
                textcoords="offset points", xytext=(4, 6), fontsize=7, color=colour,
            )  # fmt: skip
    axes.set(xlabel="completeness at purity 0.99", ylabel="labels of random / labels of strategy")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    axes.yaxis.set_major_locator(FixedLocator(RATIOS))
    axes.yaxis.set_minor_locator(NullLocator())
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=9)
    return figure


def area_figure(areas: pd.DataFrame, comparison: pd.DataFrame) -> Figure:
    """Area under each curve minus that of random picks; one point per repeat."""
    others = [name for name in areas.columns if name != BASELINE]
    figure, (axes,) = new_figure(6.4, 1.2 + 0.5 * len(others))
    axes.axvline(0, color=FAINT, lw=1, ls="--")
    for k, name in enumerate(others):
        difference = areas[name] - areas[BASELINE]
        colour = COLOURS[(k + 1) % len(COLOURS)]
        axes.plot(difference, np.full(len(difference), k), "o", color=colour, ms=4, alpha=0.5)
        axes.plot(difference.mean(), k, "|", color=colour, ms=18, mew=2)
        p = float(comparison.set_index("strategy")["p_holm"][name])
        text = "too few repeats" if np.isnan(p) else f"p = {p:.2g}"
        axes.text(1.01, k, text, transform=axes.get_yaxis_transform(), fontsize=8, color=FAINT)
    axes.set_yticks(range(len(others)), others)
    axes.set_ylim(-0.6, len(others) - 0.4)
    axes.set_xlabel("mean completeness at purity 0.99, minus that of random picks")
    return figure


def next_batch_figure(
    curves: pd.DataFrame, forecasts: Mapping[str, Forecast], metric: str
) -> Figure:
    """Learning curves so far, and what another batch is expected to bring."""
    figure, (axes,) = new_figure(6.4, 4.4)
    for k, (name, colour, marker) in enumerate(_styles(curves)):
        mean = curves[curves["strategy"] == name].groupby("labels")[metric].mean()
        axes.plot(mean.index, mean, color=colour, marker=marker, ms=4, lw=1.6, label=name)
        if name not in forecasts:
            continue
        ahead = forecasts[name]
        middle = (ahead.value_low + ahead.value_high) / 2
        place = (ahead.labels + ahead.batch) * (1 + 0.02 * k)  # side by side
        error = [[middle - ahead.value_low], [ahead.value_high - middle]]
        axes.errorbar(place, middle, error, fmt=marker, ms=4, mfc="white", color=colour, lw=1)
    _log_labels(axes, curves)
    axes.set_ylabel(PANELS.get(metric, metric))
    axes.set_title("open symbols: the next batch, with 80 % intervals", fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _has_prior(name: str, curves: pd.DataFrame) -> bool:
    """Whether a curve is one of several priors, beside the first one."""
    priors = (n.removeprefix(BASELINE) for n in curves["strategy"].unique() if n != BASELINE)
    return any(p.startswith("_") and name.endswith(p) for p in priors)


def _styles(curves: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Name, colour and marker of each strategy, the baseline first and grey."""
    names = [name for name in curves["strategy"].unique() if name != BASELINE]
    others = [
        (name, COLOURS[(k + 1) % len(COLOURS)], MARKERS[(k + 1) % len(MARKERS)])
        for k, name in enumerate(sorted(names))
    ]
    return [(BASELINE, INK, MARKERS[0]), *others]


def _log_labels(axes: Axes, curves: pd.DataFrame) -> None:
    axes.set_xscale("log")
    ticks = sorted(curves["labels"].unique())
    axes.set_xticks(ticks if len(ticks) <= 6 else ticks[:: len(ticks) // 5])
    axes.xaxis.set_major_formatter(FuncFormatter(short))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("labelled targets")
