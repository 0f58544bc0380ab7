"""Forecasts of the next batch: on exact lines, on saturated curves, and their coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qnal.learning.forecast import (
    COVERAGE,
    DEGREES,
    SCATTER,
    Verdict,
    forecast,
    forecasts_in_hindsight,
)


def test_a_straight_line_goes_on():
    labels = np.array([100, 200, 400, 800])
    found = forecast(labels, 0.1 * np.log(labels), 800)
    assert found.gain == pytest.approx(0.1 * np.log(2))
    middle = (found.value_low + found.value_high) / 2
    assert middle == pytest.approx(0.1 * np.log(1600))
    # Without residuals the scatter is that of the prior, shrunk by two more degrees of freedom.
    scatter = SCATTER * np.sqrt(DEGREES / (DEGREES + 2))
    x = np.log(labels)
    error = scatter * np.log(2) / np.sqrt(((x - x.mean()) ** 2).sum())
    half = stats.t.ppf(0.9, DEGREES + 2) * error
    assert found.high - found.gain == pytest.approx(half)
    assert found.gain - found.low == pytest.approx(half)


@pytest.mark.parametrize(
    ("slope", "verdict"), [(0.5, Verdict.go_on), (0.05, Verdict.open), (-0.5, Verdict.little)]
)
def test_verdicts(slope, verdict):
    labels = np.array([100, 200, 300, 400])
    assert forecast(labels, slope * np.log(labels) - 2, 100).verdict is verdict
    assert verdict in forecast(labels, slope * np.log(labels) - 2, 100).sentence()


def test_small_batches_on_a_flat_curve_have_little_to_gain():
    labels = np.array([1000, 2000, 4000, 8000])
    assert forecast(labels, np.full(4, 0.9), 200).verdict is Verdict.little


def test_too_few_rounds():
    assert forecast([100], [0.3], 50) is None
    assert forecast([100, 200], [np.nan, 0.4], 50) is None


def test_coverage_is_that_of_the_interval():
    """The interval is right on average over the scatter that its prior expects."""
    rng = np.random.default_rng(1)
    labels = np.array([150, 300, 450, 600])
    inside = []
    for _ in range(4000):
        scatter = SCATTER * np.sqrt(DEGREES / rng.chisquare(DEGREES))
        values = 0.1 + 0.1 * np.log(labels) + scatter * rng.normal(size=4)
        found = forecast(labels[:3], values[:3], 150)
        inside.append(found.value_low <= values[3] <= found.value_high)
    assert np.mean(inside) == pytest.approx(COVERAGE, abs=0.02)


def test_in_hindsight():
    labels = np.array([100, 200, 300, 400])
    curves = pd.DataFrame(
        {
            "strategy": np.repeat(["random", "margin"], 4),
            "repeat": 0,
            "labels": np.tile(labels, 2),
            "metric": [*(0.1 * np.log(labels)), 0.1, 0.2, 0.3, 0.9],
        }
    )
    table = forecasts_in_hindsight(curves, "metric").set_index(["strategy", "labels"])
    assert len(table) == 4
    assert table.loc[("random", 300), "inside"] and not table.loc[("margin", 300), "inside"]
    assert table.loc[("margin", 300), "value"] == 0.9
    assert (table["batch"] == 100).all()
