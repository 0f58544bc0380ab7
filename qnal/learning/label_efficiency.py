"""Label efficiency: how many random labels are worth one label of a strategy."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEVELS = 25  # levels of the metric
DRAWS = 1000  # bootstrap samples of the repeats
INTERVAL = (16, 84)  # percentiles
NOT_REACHED, RANDOM_BELOW = "not reached", "not reached by random"
LOWER_BOUND = "a lower bound"


def labels_needed(
    labels: NDArray[np.floating], values: NDArray[np.floating], level: float
) -> float:
    """Number of labels at which a learning curve first reaches a level.

    Between two budgets the curve is a straight line in the logarithm of the number of labels.

    Args:
        labels: budgets, ascending, shape [budgets].
        values: the metric at each budget, shape [budgets].
        level: a value of the metric.

    Returns:
        NaN if the curve does not reach it; the first budget if it starts there.
    """
    above = np.flatnonzero(values >= level)
    if not len(above):
        return np.nan
    k = int(above[0])
    if k == 0:
        return float(labels[0])
    part = (level - values[k - 1]) / (values[k] - values[k - 1])
    low, high = np.log(labels[k - 1]), np.log(labels[k])
    return float(np.exp(low + part * (high - low)))


def label_efficiency(
    curves: pd.DataFrame, metric: str, baseline: str = "random", seed: int = 0
) -> pd.DataFrame:
    """Labels that the baseline needs over labels that a strategy needs, by level of a metric.

    The learning curve of a strategy is the mean over the repeats. Intervals (68 %) are percentiles
    over bootstrap samples of the repeats, the same for both curves, in which both reach the level.
    Half of the samples do not reach the baseline's highest level; in its row, each sample has its
    own highest level instead.

    Args:
        curves: columns strategy, repeat, labels and the metric.
        metric: name of the metric; larger values are better.
        baseline: the strategy to compare with.
        seed: seed of the bootstrap.

    Returns:
        One row per other strategy and level, with columns strategy, level, labels_baseline, labels,
        efficiency, low, high, reached (share of the bootstrap samples in which both reach the
        level) and note: ``not reached`` where the strategy does not reach the level, ``not reached
        by random`` where only the baseline does not; both leave ``efficiency`` undefined. ``a lower
        bound`` means that the strategy is above the level from its first labels on.
    """
    tables = {
        str(name): part.pivot(index="repeat", columns="labels", values=metric)
        for name, part in curves.groupby("strategy")
    }
    base = tables.pop(baseline)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(base), size=(DRAWS, len(base)))
    rows = []
    for name, table in tables.items():
        pair = [_Curves.of(t.loc[base.index]) for t in (base, table)]
        samples = [[c.mean(drawn) for c in pair] for drawn in draws]
        means = [c.mean() for c in pair]
        levels = {*np.linspace(min(m[0] for m in means), np.max(means), LEVELS), means[0].max()}
        for level in sorted(levels):
            of_base, own = _needed(pair, means, level)
            # The highest level of the baseline is as uncertain as its curve.
            at_top = level == means[0].max()
            of_samples = [sample[0].max() if at_top else level for sample in samples]
            ratios = np.array(
                [
                    _ratio(*_needed(pair, *sample))
                    for sample in zip(samples, of_samples, strict=True)
                ]
            )
            known = ratios[~np.isnan(ratios)]
            note = NOT_REACHED if np.isnan(own) else RANDOM_BELOW if np.isnan(of_base) else ""
            ends = np.percentile(known, INTERVAL) if len(known) and not note else [np.nan, np.nan]
            if not note and means[1][0] > level:
                note = LOWER_BOUND
            ratio, reached = _ratio(of_base, own), len(known) / DRAWS
            rows.append((name, level, of_base, own, ratio, *ends, reached, note))
    columns = [
        "strategy",
        "level",
        "labels_baseline",
        "labels",
        "efficiency",
        "low",
        "high",
        "reached",
        "note",
    ]
    return pd.DataFrame(rows, columns=columns)


def headline(efficiency: pd.DataFrame) -> dict[str, pd.Series]:
    """The row of each strategy at the highest level that the baseline reaches."""
    reached = efficiency[efficiency["labels_baseline"].notna()]
    highest = reached.sort_values("level").groupby("strategy").tail(1)
    return {str(row["strategy"]): row for _, row in highest.iterrows()}


@dataclass(frozen=True)
class _Curves:
    """The learning curves of a strategy: labels [budgets], values [repeats, budgets]."""

    labels: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "_Curves":
        return cls(table.columns.to_numpy(float), table.to_numpy(float))

    def mean(self, repeats: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """The mean over the repeats, or over a sample of them."""
        return np.asarray((self.values if repeats is None else self.values[repeats]).mean(axis=0))


def _needed(pair: list[_Curves], means: list[NDArray[np.float64]], level: float) -> list[float]:
    """Labels needed by the two strategies."""
    return [labels_needed(c.labels, m, level) for c, m in zip(pair, means, strict=True)]


def _ratio(of_base: float, own: float) -> float:
    return of_base / own
