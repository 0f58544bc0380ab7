"""Figures of a training run: loss curves and out-of-bag redshifts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from qnal.ensemble.evaluation.metrics import GOOD_DZ
from qnal.figure_style import FAINT, LINES, new_figure
from qnal.labels.label import is_quasar

FOUND, MISSED = "#1f5a8c", "#d1495b"
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
MANY = 20  # number of curves from which they are drawn more faintly


def panels(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` × ``height`` inches with a row of panels that have grid lines."""
    figure, axes = new_figure(width, height, columns=columns)
    for panel in axes:
        panel.grid(color=LINES, lw=0.6)
    return figure, axes


def loss_curves(losses: Sequence[Sequence[float]]) -> Figure:
    """Training loss by epoch, one line per member."""
    figure, (axes,) = panels(6.4, 4)
    opacity = np.clip(MANY / max(len(losses), 1), 0.15, 0.6)
    for loss in losses:
        axes.plot(np.arange(1, len(loss) + 1), loss, color=FOUND, alpha=opacity, lw=1)
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_formatter(PLAIN)
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    axes.tick_params(which="minor", color=FAINT, labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{len(losses)} members", loc="left", fontsize=11)
    return figure


def out_of_bag_redshifts(training_set: pd.DataFrame, combined: pd.DataFrame) -> Figure:
    """Redshift error out of bag by labelled redshift, for the labelled quasars."""
    use = is_quasar(training_set["LABEL"].to_numpy()) & (combined["MEMBERS"].to_numpy() > 0)
    z, found = training_set["Z"].to_numpy()[use], combined["QUASAR"].to_numpy()[use]
    dz = (combined["Z"].to_numpy()[use] - z) / (1 + z)
    figure, (axes,) = panels(7.2, 4)
    for mask, colour, name in ((found, FOUND, "found"), (~found, MISSED, "missed")):
        axes.scatter(z[mask], dz[mask], s=8, color=colour, alpha=0.6, lw=0, rasterized=True,
                     label=f"{name} ({mask.sum():,})")  # fmt: skip
    axes.axhspan(-GOOD_DZ, GOOD_DZ, color=FAINT, alpha=0.15, lw=0)
    axes.set_yscale("symlog", linthresh=GOOD_DZ)
    axes.yaxis.set_major_locator(FixedLocator([-1, -0.1, -GOOD_DZ, 0, GOOD_DZ, 0.1, 1, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PLAIN)
    axes.set(xlabel="redshift by inspection", ylabel="Δz / (1+z), out of bag")
    axes.set_title("Confident quasars of the labelled set", loc="left", fontsize=11)
    axes.legend(frameon=False)
    return figure


def member_spread(members: pd.DataFrame) -> Figure:
    """Completeness, purity and loss of the members out of bag, one point per member.

    Args:
        members: the table ``members.csv`` of a report.
    """
    names = {"oob_completeness": "completeness", "oob_purity": "purity", "loss": "training loss"}
    figure, axes = panels(7.2, 3, columns=len(names))
    opacity = np.clip(MANY / max(len(members), 1), 0.15, 0.7)
    for axis, (column, label) in zip(axes, names.items(), strict=True):
        known = members.dropna(subset=[column])
        values = known[column].to_numpy(float)
        axis.scatter(known["member"], values, s=12, color=FOUND, alpha=opacity, lw=0)
        if len(values):
            axis.axhline(float(np.median(values)), color=FAINT, lw=1)
        axis.set(xlabel="member")
        axis.set_title(label, loc="left", fontsize=11)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    return figure
