"""Figures of the out-of-bag report, drawn from its tables."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from qnal.ensemble.evaluation.curves import ALL, share_interval
from qnal.ensemble.evaluation.figures import FOUND, MISSED, PLAIN, panels
from qnal.ensemble.votes import CLASSES
from qnal.figure_style import FAINT, INK
from qnal.labels.label import Label

COMPLETE, PURE = "#1f5a8c", "#c8702d"  # of different lightness, to be told apart in grey
SHARES = (("COMPLETENESS", COMPLETE, "o"), ("PURITY", PURE, "s"))
CONFIDENCES = (0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.999)
READABLE = {"NOT": "no quasar", "QSO_LZ": "low-z quasar", "QSO_HZ": "high-z quasar"}
SHOWN = 5  # minimum number of spectra for a bin of completeness or purity to be drawn
MARKED = 10  # number of spectra from which a bin of the reliability diagram is filled


def completeness_purity(
    threshold: pd.DataFrame, snr: pd.DataFrame, redshift: pd.DataFrame, line_threshold: float
) -> Figure:
    """Completeness and purity by confidence threshold, signal-to-noise and redshift.

    Args:
        threshold, snr, redshift: tables of :mod:`qnal.ensemble.evaluation.curves`.
        line_threshold: the threshold in use, to be marked.
    """
    figure, axes = panels(13.5, 4.2, 3)
    lowest = 1.0
    table = threshold[threshold["SOURCE"] == ALL]
    for name, colour, marker in SHARES:
        low, high = table[f"MEMBER_{name}_16"], table[f"MEMBER_{name}_84"]
        axes[0].fill_between(table["THRESHOLD"], low, high, color=colour, alpha=0.18, lw=0)
        axes[0].plot(table["THRESHOLD"], table[name], color=colour, lw=1.8)
        shown = table["THRESHOLD"].between(CONFIDENCES[0], CONFIDENCES[-1])
        lowest = min(lowest, low[shown].min(), table[name][shown].min())
        for panel, binned, x in ((axes[1], snr, "SNR"), (axes[2], redshift, "Z")):
            whole = binned["QUASARS" if name == "COMPLETENESS" else "CALLED"]
            bins = binned[(binned["SOURCE"] == ALL) & (whole >= SHOWN)]
            if bins.empty:
                continue
            middle = _middles(bins, x)
            below, above = bins[name] - bins[f"{name}_LOW"], bins[f"{name}_HIGH"] - bins[name]
            panel.errorbar(
                middle, bins[name], np.maximum([below, above], 0), color=colour, fmt=f"{marker}-",
                ms=4.5, lw=1.2, elinewidth=1, capsize=0, alpha=0.95,
            )  # fmt: skip
            lowest = min(lowest, bins[f"{name}_LOW"].min())
    bottom = np.floor(10 * max(lowest - 0.02, 0)) / 10
    for panel in axes:
        panel.set(ylim=(bottom, 1 + 0.03 * (1 - bottom)))
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_xscale("logit")
    axes[0].set_xlim(CONFIDENCES[0], CONFIDENCES[-1])
    axes[0].xaxis.set_major_locator(FixedLocator(list(CONFIDENCES)))
    axes[0].xaxis.set_minor_locator(NullLocator())
    axes[0].xaxis.set_major_formatter(PLAIN)
    axes[0].axvline(line_threshold, color=INK, lw=1, ls=(0, (4, 3)))
    axes[0].annotate(
        f"in use: {line_threshold:g} ", (line_threshold, 0.02), ha="right", fontsize=9,
        xycoords=("data", "axes fraction"), color=INK,
    )  # fmt: skip
    axes[0].set_xlabel("confidence threshold")
    axes[1].set(xlabel="median signal-to-noise per pixel", xscale="log")
    axes[1].xaxis.set_major_formatter(PLAIN)
    axes[1].xaxis.set_minor_formatter(FuncFormatter(_some_minor))
    axes[1].tick_params(which="minor", color=FAINT, labelsize=9)
    axes[2].set_xlabel("redshift (purity: the ensemble's own)")
    axes[0].set_title("Ensemble, and 68 % of its members", loc="left", fontsize=11)
    axes[1].set_title("By signal-to-noise", loc="left", fontsize=11)
    axes[2].set_title("By redshift", loc="left", fontsize=11)
    for name, colour, marker in SHARES:
        axes[0].plot([], [], color=colour, marker=marker, ms=4.5, label=name.lower())
    axes[0].legend(frameon=False, loc="lower left", fontsize=10)
    return figure


def _middles(bins: pd.DataFrame, name: str) -> np.ndarray:
    low, high = bins[f"{name}_LOW"].to_numpy(float), bins[f"{name}_HIGH"].to_numpy(float)
    if name == "SNR":  # on a logarithmic axis; the first bin may begin below 0
        return np.sqrt(np.maximum(low, high / 3) * high)
    return (low + high) / 2


def _some_minor(value: float, _: object) -> str:
    leading = value / 10 ** np.floor(np.log10(value))
    return f"{value:g}" if round(leading) in (2, 3, 5, 7) else ""


def confusion_matrix(table: pd.DataFrame) -> Figure:
    """Confusion matrix: inspectors against ensemble, as shares of each label and as counts."""
    shown = [str(s) for s in table["SOURCE"].unique()]
    figure, axes = panels(1.2 + 3.6 * len(shown), 4.0, len(shown))
    for panel, source in zip(axes, shown, strict=True):
        counts = table[table["SOURCE"] == source].set_index("LABEL")[list(CLASSES)].to_numpy()
        total = counts.sum(axis=1, keepdims=True)
        shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
        panel.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
        for (i, j), n in np.ndenumerate(counts):
            text = f"{shares[i, j]:.1%}\n{n:,}" if total[i, 0] else "none"
            light = shares[i, j] > 0.55
            panel.text(j, i, text, ha="center", va="center", fontsize=9,
                       color="white" if light else INK)  # fmt: skip
        panel.set_xticks(range(len(CLASSES)), [READABLE[c].replace(" ", "\n", 1) for c in CLASSES])
        names = [label.name for label in Label]
        panel.set_yticks(range(len(Label)), names if panel is axes[0] else [""] * len(names))
        panel.set_xticks(np.arange(1, len(CLASSES)) - 0.5, minor=True)
        panel.set_yticks(np.arange(1, len(Label)) - 0.5, minor=True)
        panel.grid(which="minor", color="white", lw=2)
        panel.tick_params(which="minor", length=0)
        name = "all spectra" if source == ALL else source.upper()
        panel.set_title(f"{name} ({total.sum():,})", loc="left", fontsize=11)
    axes[0].set_ylabel("inspectors")
    figure.supxlabel("ensemble, out of bag", fontsize=10)
    return figure


def reliability_diagram(table: pd.DataFrame, scores: dict[str, dict[str, float | None]]) -> Figure:
    """Share of the spectra that are of a class by predicted probability, before and after
    calibration; a histogram of the probabilities is below each panel.

    Args:
        table: :func:`reliability_table` with a column CALIBRATED.
        scores: ``nll`` and ``ece`` under ``before`` and ``after``; None where undefined.
    """
    figure, axes = panels(13.5, 4.6, 3)
    kinds = (
        (False, "before", MISSED, "o", scores["before"]),
        (True, "after, cross-fitted", FOUND, "s", scores["after"]),
    )
    for panel, what in zip(axes, ("QSO", "QSO_LZ", "QSO_HZ"), strict=True):
        panel.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (4, 3)), zorder=1)
        beneath = panel.inset_axes((0, -0.36, 1, 0.2))
        beneath.spines[["top", "right"]].set_visible(False)
        beneath.spines[["left", "bottom"]].set_color(FAINT)
        for calibrated, name, colour, marker, score in kinds:
            bins = table[(table["WHAT"] == what) & (table["CALIBRATED"] == calibrated)]
            if bins.empty:
                continue
            _reliability_line(panel, bins, colour, marker)
            beneath.stairs(
                bins.set_index("LOW")["SPECTRA"].reindex(_lows(table), fill_value=0).to_numpy(),
                [*_lows(table), 1.0], color=colour, lw=1.3, baseline=None,
            )  # fmt: skip
            if panel is axes[0]:
                numbers = [f"{k.upper()} {v:.3g}" for k, v in score.items() if v is not None]
                panel.plot([], [], color=colour, marker=marker, ms=5,
                           label=f"{name}\n{', '.join(numbers)}")  # fmt: skip
        panel.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        panel.tick_params(labelbottom=False)
        beneath.set(yscale="log", xlim=(-0.03, 1.03), ylim=(0.7, None))
        beneath.tick_params(color=FAINT, labelsize=9)
        beneath.yaxis.set_minor_locator(NullLocator())
        title = "quasar" if what == "QSO" else READABLE[what]
        panel.set_title(f"Probability of a {title}", loc="left", fontsize=11)
        beneath.set_xlabel(
            f"predicted probability, {'1 − P_NOT' if what == 'QSO' else f'P_{what}'}"
        )
    axes[0].set_ylabel("share of the class")
    if not table.empty:
        axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _lows(table: pd.DataFrame) -> list[float]:
    width = float((table["HIGH"] - table["LOW"]).iloc[0])
    return list(np.arange(round(1 / width)) / round(1 / width))


def _reliability_line(panel: Axes, bins: pd.DataFrame, colour: str, marker: str) -> None:
    low, high = share_interval(bins["TRUE"].to_numpy(), bins["SPECTRA"].to_numpy())
    share = bins["SHARE"].to_numpy()
    errors = np.maximum([share - low, high - share], 0)
    full, mean = (bins["SPECTRA"] >= MARKED).to_numpy(), bins["MEAN_P"].to_numpy()
    panel.plot(mean[full], share[full], color=colour, lw=1.4)
    for which, face, alpha in ((full, colour, 1), (~full, "white", 0.45)):
        panel.errorbar(
            mean[which], share[which], errors[:, which], fmt=marker, color=colour, mfc=face,
            ms=5.5, elinewidth=1, alpha=alpha,
        )  # fmt: skip


def ensemble_size(table: pd.DataFrame) -> Figure:
    """Metrics by ensemble size: mean and scatter over random ensembles."""
    figure, axes = panels(13.5, 4.2, 3)
    for name, colour, marker in SHARES:
        _by_size(axes[0], table, name, colour, marker, name.lower())
    _by_size(axes[1], table, "NLL", COMPLETE, "o", "negative log-likelihood")
    _by_size(axes[1], table, "MUTUAL_INFO", PURE, "s", "mean mutual information")
    for name, colour, marker, words in (
        ("VOTE_ENTROPY", COMPLETE, "o", "vote entropy"),
        ("MUTUAL_INFO", PURE, "s", "mutual information"),
    ):
        _by_size(
            axes[2], table, f"RANK_{name}", colour, marker, f"{words}: with the whole ensemble"
        )
        _by_size(axes[2], table, f"RANK_OTHER_{name}", colour, marker,
                 "with an ensemble of the same size", dashed=True)  # fmt: skip
    axes[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_title("Completeness and purity", loc="left", fontsize=11)
    axes[1].set_title("Likelihood and disagreement (nats)", loc="left", fontsize=11)
    axes[2].set_title("Ranking by uncertainty (Spearman)", loc="left", fontsize=11)
    axes[1].set_ylim(0, 1.2 * axes[1].get_ylim()[1])
    axes[2].set_ylim(min(axes[2].get_ylim()[0], 0.9) - 0.4, 1.03)
    sizes = sorted(table["SIZE"].unique())
    answering = table.groupby("SIZE")["ANSWERING"].mean()
    for panel in axes:
        panel.set_xscale("log")
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticks(sizes, [f"{n}\n{answering[n]:.1f}" for n in sizes])
        panel.set_xlabel("members, and mean number of predictions per spectrum")
    axes[0].legend(frameon=False, fontsize=9, loc="center right")
    axes[1].legend(frameon=False, fontsize=9, loc="upper right")
    axes[2].legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def _by_size(
    axes: Axes, table: pd.DataFrame, name: str, colour: str, marker: str, label: str,
    *, dashed: bool = False,
) -> None:  # fmt: skip
    groups = table.dropna(subset=name).groupby("SIZE")[name]
    mean, scatter = groups.mean(), groups.std().fillna(0)
    axes.errorbar(
        mean.index, mean, scatter, color=colour, marker=marker, ms=4.5, lw=1.4, elinewidth=1,
        ls=(0, (4, 2)) if dashed else "-", mfc="white" if dashed else colour, label=label,
    )  # fmt: skip
