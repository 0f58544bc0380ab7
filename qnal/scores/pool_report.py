"""Metrics, tables and the SOM figure that describe a scored pool."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.ensemble.votes import CLASSES
from qnal.scores.statistics import BIN, COUNTS, MEASURES, UNIT, Statistics
from qnal.som.figures import som_panels
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.rebin import Status

Number = float | int | None


def pool_metrics(statistics: Statistics) -> dict[str, Number]:
    """Numbers of spectra, of scored and of unusable ones, and how much the members disagree."""
    total = statistics.total()
    metrics: dict[str, Number] = {"spectra": int(total["spectra"]), "scored": int(total["ok"])}
    metrics |= {status.value: int(total[status.value]) for status in list(Status)[1:]}
    if total["ok"]:
        shares = _with_shares(total.to_frame().T).iloc[0]
        names = ("disagreement", "vote_entropy_mean", "mutual_info_mean", "quasar_share")
        metrics |= {name: float(shares[name]) for name in names}
    return metrics


def uncertainty_by_class(statistics: Statistics) -> dict[str, dict[str, float]]:
    """By most voted class: spectra, and mean and 90 % quantile of each measure, in nats."""
    found: dict[str, dict[str, float]] = {name: {"spectra": 0.0} for name in CLASSES}
    for (name, measure), bins in statistics.histograms.groupby(["class", "measure"]):
        rank = bins.sort_values("bin").set_index("bin")["spectra"].cumsum()
        spectra = rank.iloc[-1]
        found[str(name)] |= {
            "spectra": float(spectra),
            f"{measure}_mean": float(bins["total"].sum() * UNIT / spectra),
            f"{measure}_90": float(rank.index[rank >= 0.9 * spectra][0] * BIN),
        }
    return found


def pool_tables(statistics: Statistics) -> dict[str, pd.DataFrame]:
    """Spectra, quasars, disagreement and unusable rows of each tile by night and by petal."""
    tables = {}
    for name, key in (("per_night.csv", "NIGHT"), ("per_petal.csv", "PETAL_LOC")):
        table = _with_shares(statistics.by("TILEID", key))
        shares = ("unusable_share", "dead_camera_share", "quasar_share", "disagreement")
        means = [f"{measure.lower()}_mean" for measure in MEASURES]
        tables[name] = table[["TILEID", key, *COUNTS, *shares, *means]]
    return tables


def som_of_pool(statistics: Statistics, som: SelfOrganizingMap) -> Figure:
    """The pool on the SOM: where its spectra, quasars, uncertain spectra and outliers lie."""
    cells = statistics.cells.set_index("cell").reindex(range(som.cells), fill_value=0)
    spectra = cells["spectra"].to_numpy(np.int64)
    with np.errstate(invalid="ignore"):
        share = {
            name: cells[name].to_numpy(np.float64) / spectra
            for name in ("quasars", "outliers", "vote_entropy")
        }
        share["vote_entropy"] *= UNIT
    return som_panels(
        som,
        spectra,
        quasars=share["quasars"],
        uncertainty=share["vote_entropy"],
        outliers=None if som.statistics is None else share["outliers"],
    )


def _with_shares(table: pd.DataFrame) -> pd.DataFrame:
    """With shares and means; NaN where nothing was scored."""
    ok, spectra = table["ok"].replace(0, math.nan), table["spectra"]
    return table.assign(
        unusable_share=1 - table["ok"] / spectra,
        dead_camera_share=table["dead_camera"] / spectra,
        quasar_share=table["quasars"] / ok,
        disagreement=table["disagreeing"] / ok,
        **{f"{m.lower()}_mean": table[m.lower()] / ok for m in MEASURES},
    )
