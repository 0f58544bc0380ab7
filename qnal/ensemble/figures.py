"""Pictures of a training run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.ensemble.evaluation import GOOD_DZ
from qnal.spectra.label import is_quasar

FOUND, MISSED, FAINT = "#1f5a8c", "#d1495b", "#8a939c"


def loss_curves(losses: Sequence[Sequence[float]]) -> Figure:
    """Training loss by epoch, a line a member."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for loss in losses:
        axes.plot(np.arange(1, len(loss) + 1), loss, color=FOUND, alpha=0.5, lw=1)
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes.set_title(f"{len(losses)} members", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def out_of_bag_redshifts(training_set: pd.DataFrame, answer: pd.DataFrame) -> Figure:
    """Out-of-bag redshift against the inspectors', for the confident quasars."""
    use = is_quasar(training_set["LABEL"].to_numpy()) & (answer["MEMBERS"].to_numpy() > 0)
    z, found = training_set["Z"].to_numpy()[use], answer["QUASAR"].to_numpy()[use]
    dz = (answer["Z"].to_numpy()[use] - z) / (1 + z)
    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axes = figure.subplots()
    for mask, colour, name in ((found, FOUND, "found"), (~found, MISSED, "missed")):
        axes.scatter(z[mask], dz[mask], s=8, color=colour, alpha=0.6, lw=0,
                     label=f"{name} ({mask.sum():,})")  # fmt: skip
    axes.axhspan(-GOOD_DZ, GOOD_DZ, color=FAINT, alpha=0.15, lw=0)
    axes.set_yscale("symlog", linthresh=GOOD_DZ)
    axes.set(xlabel="redshift by inspection", ylabel="Δz / (1+z), out of bag")
    axes.set_title("Confident quasars of the labelled set", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
