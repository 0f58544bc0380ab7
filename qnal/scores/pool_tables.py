"""What a scored pool looks like as a whole: numbers, tables and pictures."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.ensemble.votes import CLASSES
from qnal.scores.dataset import ScoresFolder
from qnal.scores.pool_summary import MEASURES, PoolSummary
from qnal.som.figures import som_panels
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.rebin import Status

Number = float | int | None


def pool_metrics(summary: PoolSummary) -> dict[str, Number]:
    """How many spectra there are, how many have an answer, and how far the members disagree."""
    total = summary.total()
    metrics: dict[str, Number] = {"spectra": int(total["spectra"]), "scored": int(total["ok"])}
    metrics |= {status.value: int(total[status.value]) for status in list(Status)[1:]}
    if total["ok"]:
        shares = _shares(total)
        names = ("disagreement", "vote_entropy_mean", "mutual_info_mean", "quasar_share")
        metrics |= {name: shares[name] for name in names}
    return metrics


def uncertainty_by_class(summary: PoolSummary) -> dict[str, dict[str, float]]:
    """Spectra by their most voted class, and how uncertain they are; quantiles to 0.01 nats."""
    classes = {}
    for k, name in enumerate(CLASSES):
        count = int(summary.histograms[k, 0].sum())
        numbers = {"spectra": float(count)}
        if count:
            for m, measure in enumerate(MEASURES):
                numbers[f"{measure}_mean"] = float(summary.totals[k, m] / count)
                numbers[f"{measure}_90"] = summary.quantile(k, m, 0.9)
        classes[name] = numbers
    return classes


def tables_of_pool(summary: PoolSummary) -> dict[str, pd.DataFrame]:
    """Spectra, quasars, disagreement and unusable rows of each tile by night and by petal."""
    return {
        "per_night.csv": _table(summary, "TILEID", "NIGHT"),
        "per_petal.csv": _table(summary, "TILEID", "PETAL_LOC"),
    }


def _table(summary: PoolSummary, *names: str) -> pd.DataFrame:
    rows = [
        dict(zip(names, key, strict=True)) | {k: int(v) for k, v in sums.items() if k in _COUNTS}
        | _shares(sums)
        for key, sums in summary.by(*names).items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(names, "Int64")) if rows else table


_COUNTS = ("spectra", *(status.value for status in Status), "dead_camera", "quasars")


def _shares(sums: dict[str, float]) -> dict[str, float]:
    """Shares and means; NaN where nothing was scored."""
    ok, spectra = sums["ok"] or math.nan, sums["spectra"]
    means = {f"{name.lower()}_mean": sums[name.lower()] / ok for name in MEASURES}
    return {
        "unusable_share": 1 - sums["ok"] / spectra,
        "dead_camera_share": sums["dead_camera"] / spectra,
        "quasar_share": sums["quasars"] / ok,
        "disagreement": sums["disagreeing"] / ok,
        **means,
    }


def som_of_pool(folder: ScoresFolder, som: SelfOrganizingMap) -> Figure:
    """The pool on the map: where its spectra, its quasars, uncertain ones and outliers lie."""
    sums = folder.cell_sums(som.fingerprint, som.cells)
    with np.errstate(invalid="ignore"):
        quasars, outliers = sums.quasars / sums.spectra, sums.outliers / sums.spectra
        uncertainty = sums.vote_entropy / sums.spectra
    return som_panels(
        som,
        sums.spectra,
        quasars=quasars,
        uncertainty=uncertainty,
        outliers=None if som.statistics is None else outliers,
    )
