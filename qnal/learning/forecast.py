"""Is another round worth it? The gain that the next batch of labels is expected to bring.

The model is a straight line in the logarithm of the number of labels, fitted to the latest rounds
by least squares with flat priors. The scatter of a measured value about the line is not known from
so few rounds, so it has an inverse χ² prior of :data:`DEGREES` degrees of freedom about
:data:`SCATTER`; predictions then follow Student's t distribution (Gelman et al. 2013, Bayesian Data
Analysis, chapter 14).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

ROUNDS = 4  # latest rounds that are fitted, since curves flatten
# Scatter of a completeness from one draw of labels and members to the next, about what
# experiment=loop-quick shows on the mock survey; it counts like five measurements.
SCATTER, DEGREES = 0.05, 4
COVERAGE = 0.8  # of the intervals
WORTH = 0.01  # gain below which a batch is not worth inspecting


class Verdict(StrEnum):
    """Whether another round is worth it, by the interval of the gain."""

    go_on = "continue"
    little = "little to gain"
    open = "inconclusive"


@dataclass(frozen=True)
class Forecast:
    """What a batch is expected to bring.

    Attributes:
        labels: number of labelled targets so far.
        batch: number of targets in the next batch.
        gain, low, high: rise of the curve and its 80 % interval.
        value_low, value_high: 80 % interval of the value that will be measured after the batch; it
            is wider, since a single measurement scatters.
    """

    labels: int
    batch: int
    gain: float
    low: float
    high: float
    value_low: float
    value_high: float

    @property
    def verdict(self) -> Verdict:
        """``continue`` if the whole interval is above :data:`WORTH`, ``little`` if it is below."""
        if self.low >= WORTH:
            return Verdict.go_on
        return Verdict.little if self.high < WORTH else Verdict.open

    def sentence(self) -> str:
        """The forecast in words."""
        return (
            f"{self.batch} more labels are expected to change completeness by {self.gain:+.3f} "
            f"({COVERAGE:.0%} interval {self.low:+.3f} to {self.high:+.3f}): {self.verdict}"
        )


def forecast(labels: Sequence[float], values: Sequence[float], batch: int) -> Forecast | None:
    """Forecast the gain of the next batch.

    Args:
        labels: number of labels after each round, ascending.
        values: the metric after each round, a completeness; NaN is left out.
        batch: number of targets in the next batch.

    Returns:
        None with fewer than two rounds.
    """
    from scipy.stats import t as student

    x, y = np.log(np.asarray(labels, float)), np.asarray(values, float)
    x, y = x[np.isfinite(y)][-ROUNDS:], y[np.isfinite(y)][-ROUNDS:]
    if len(np.unique(x)) < 2:
        return None
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    residual = y - y.mean() - slope * (x - x.mean())
    degrees = DEGREES + len(x) - 2
    scatter = np.sqrt((DEGREES * SCATTER**2 + float((residual**2).sum())) / degrees)
    reach = student.ppf(0.5 + COVERAGE / 2, degrees) * scatter
    last = float(np.asarray(labels, float)[-1])
    ahead = np.log(last + batch)
    step = ahead - np.log(last)
    gain, half = slope * step, reach * step / np.sqrt(spread)
    value = y.mean() + slope * (ahead - x.mean())
    wide = reach * np.sqrt(1 + 1 / len(x) + (ahead - x.mean()) ** 2 / spread)
    numbers = (gain, gain - half, gain + half, value - wide, value + wide)
    return Forecast(int(last), batch, *(float(v) for v in numbers))


def next_batches(curves: pd.DataFrame, metric: str) -> dict[str, Forecast]:
    """Forecast of another batch of the same size, by strategy, from the mean over the repeats.

    Args:
        curves: columns strategy, labels and the metric.
        metric: name of the metric.
    """
    found = {}
    for name, part in curves.groupby("strategy", sort=False):
        mean = part.groupby("labels")[metric].mean()
        labels = mean.index.to_numpy()
        if len(labels) > 1:
            ahead = forecast(labels.tolist(), mean.tolist(), int(labels[-1] - labels[-2]))
            if ahead is not None:
                found[str(name)] = ahead
    return found


def forecasts_in_hindsight(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Forecasts after each round of simulated loops, beside what the next round gave.

    Args:
        curves: columns strategy, repeat, labels and the metric.
        metric: name of the metric.

    Returns:
        One row per strategy, repeat and round from the second on, except the last: strategy,
        repeat, labels, batch, gain, low, high, value_low, value_high, verdict, value (measured
        after the batch) and inside (whether it lies in the interval).
    """
    rows = []
    for (name, repeat), part in curves.groupby(["strategy", "repeat"], sort=False):
        part = part.sort_values("labels")
        labels, values = part["labels"].tolist(), part[metric].tolist()
        for k in range(2, len(labels)):
            found = forecast(labels[:k], values[:k], labels[k] - labels[k - 1])
            if found is None or np.isnan(values[k]):
                continue
            inside = found.value_low <= values[k] <= found.value_high
            own = vars(found) | {"verdict": found.verdict.value}
            rows.append({"strategy": name, "repeat": repeat} | own | {"value": values[k]})
            rows[-1]["inside"] = inside
    return pd.DataFrame(rows, columns=COLUMNS)


COLUMNS = [
    *("strategy", "repeat", "labels", "batch", "gain", "low", "high", "value_low", "value_high"),
    *("verdict", "value", "inside"),
]
