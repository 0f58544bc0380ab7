"""The page of figures of a comparison of two ensembles."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.figure_style import AFTER, FAINT, INK, new_figure
from qnal.scores.changes import PoolChanges


def comparison_page(metrics: pd.DataFrame, changes: PoolChanges | None, title: str) -> Figure:
    """Differences of the metrics with their intervals; and of the pool, calls and redshifts.

    Args:
        metrics: METRIC, DIFFERENCE, LOW and HIGH of each metric.
        changes: of the pool, if one was scored.
        title: title of the page.
    """
    figure, axes = new_figure(11 if changes else 5.5, 3.6, columns=3 if changes else 1)
    first = axes[0]
    y = np.arange(len(metrics))[::-1]
    first.hlines(y, metrics["LOW"], metrics["HIGH"], color=AFTER, lw=3, alpha=0.5)
    first.plot(metrics["DIFFERENCE"], y, "o", color=AFTER)
    first.axvline(0, color=INK, lw=0.8)
    first.set_yticks(y, metrics["METRIC"])
    first.set(xlabel="candidate − champion, 95 % interval")
    if changes is not None:
        _, snr, redshift = axes
        share = changes.by_snr["changed"] / changes.by_snr["spectra"]
        snr.bar(changes.by_snr["SNR"], 100 * share, color=AFTER)
        snr.set(xlabel="signal-to-noise ratio", ylabel="other class, %")
        table = changes.by_redshift
        redshift.step(table["Z"], table["before"], where="post", color=FAINT, label="champion")
        redshift.step(table["Z"], table["after"], where="post", color=AFTER, label="candidate")
        redshift.set(xlabel="redshift", ylabel="quasars of the pool")
        redshift.legend(frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure
