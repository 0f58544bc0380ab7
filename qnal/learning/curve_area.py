"""Area under a learning curve, compared by repeat."""

import numpy as np
import pandas as pd


def curve_areas(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean height of each learning curve over the logarithm of the number of labels.

    Args:
        curves: columns strategy, repeat, labels and the metric.
        metric: name of the metric.

    Returns:
        Shape [repeats, strategies]; NaN where the metric is undefined at a budget.
    """
    areas: dict[tuple[object, object], float] = {}
    for (name, repeat), part in curves.groupby(["strategy", "repeat"]):
        part = part.sort_values("labels")
        x, y = np.log(part["labels"].to_numpy(float)), part[metric].to_numpy(float)
        area = np.trapezoid(y, x) / (x[-1] - x[0]) if len(x) > 1 else y[0]
        areas[repeat, name] = float(area)
    return pd.Series(areas, dtype=float).unstack()


def compare_areas(areas: pd.DataFrame, baseline: str = "random") -> pd.DataFrame:
    """Difference of the areas of each strategy and the baseline, paired by repeat.

    Args:
        areas: as from :func:`curve_areas`.
        baseline: the strategy to compare with.

    Returns:
        One row per other strategy: strategy, repeats, area, difference (means), p (two-sided
        Wilcoxon signed-rank test) and p_holm (corrected for the number of strategies by Holm's
        method). p is NaN with fewer than two pairs or without any difference.
    """
    from scipy.stats import wilcoxon

    rows = []
    for name in areas.columns.drop(baseline):
        pairs = areas[[baseline, name]].dropna()
        difference = (pairs[name] - pairs[baseline]).to_numpy()
        tested = len(pairs) > 1 and bool(np.any(difference != 0))
        rows.append(
            {
                "strategy": str(name),
                "repeats": len(pairs),
                "area": float(pairs[name].mean()),
                "difference": float(difference.mean()) if len(pairs) else np.nan,
                "p": float(wilcoxon(difference).pvalue) if tested else np.nan,
            }
        )
    table = pd.DataFrame(rows, columns=["strategy", "repeats", "area", "difference", "p"])
    return table.assign(p_holm=_holm(table["p"]))


def _holm(p: "pd.Series[float]") -> "pd.Series[float]":
    """Holm 1979: the k-th smallest of m p-values times m − k, and no smaller than the one before.

    NaN values are not counted.
    """
    ordered = p.dropna().sort_values()
    factors = np.arange(len(ordered), 0, -1)
    corrected = np.minimum(np.maximum.accumulate(ordered.to_numpy() * factors), 1)
    return pd.Series(corrected, ordered.index, dtype=float).reindex(p.index)
