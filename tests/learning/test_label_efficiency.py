"""Label efficiency and areas of known curves."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from qnal.learning.curve_area import compare_areas, curve_areas
from qnal.learning.label_efficiency import (
    LOWER_BOUND,
    NOT_REACHED,
    RANDOM_BELOW,
    headline,
    label_efficiency,
    labels_needed,
)

LABELS = np.array([100, 200, 400, 800, 1600])


def curves(repeats: int = 6, scatter: float = 0.0, **factors: float) -> pd.DataFrame:
    """Curves that rise by 0.1 per factor of two; ``name=f`` needs f times fewer labels."""
    rng = np.random.default_rng(1)
    parts = [
        pd.DataFrame(
            {
                "strategy": name,
                "repeat": k,
                "labels": LABELS,
                "metric": 0.3 + 0.1 * np.log2(LABELS * f / 100) + scatter * rng.normal(size=5),
            }
        )
        for name, f in ({"random": 1.0} | factors).items()
        for k in range(repeats)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.1, 100), (0.2, 100), (0.3, np.sqrt(2) * 100), (0.4, 200), (0.45, 400), (0.46, np.nan)],
)
def test_labels_needed(level, expected):
    # The curve falls in between: the first crossing counts.
    values = np.array([0.2, 0.4, 0.35, 0.45])[[0, 1, 3]]
    found = labels_needed(np.array([100.0, 200, 400]), values, level)
    assert found == pytest.approx(expected, nan_ok=True)


def test_the_first_crossing_counts():
    assert labels_needed(np.array([1.0, 2, 4, 8]), np.array([0, 1, 0, 2.0]), 1.0) == 2


def test_a_known_efficiency():
    table = label_efficiency(curves(fast=2.0), "metric")
    inside = table[table["level"].between(0.41, 0.699)]
    np.testing.assert_allclose(inside["efficiency"], 2, rtol=1e-9)
    np.testing.assert_allclose(inside["low"], 2, rtol=1e-9)
    assert (table[table["level"] > 0.701]["note"] == RANDOM_BELOW).all()
    assert table[table["level"] > 0.701]["efficiency"].isna().all()
    row = headline(table)["fast"]
    assert row["level"] == pytest.approx(0.7)
    assert row["efficiency"] == pytest.approx(2)
    assert row["labels"] == pytest.approx(800)


def test_a_level_that_is_not_reached():
    table = label_efficiency(curves(slow=0.5), "metric")
    row = headline(table)["slow"]
    assert row["note"] == NOT_REACHED
    assert np.isnan(row["efficiency"]) and np.isnan(row["low"])
    assert row["reached"] == 0


def test_a_level_that_is_passed_at_the_start():
    table = label_efficiency(curves(fast=8.0), "metric")
    first = table[table["level"] < 0.599]
    assert (first["note"] == LOWER_BOUND).all()
    inside = table[table["level"].between(0.601, 0.699)]
    assert (inside["note"] == "").all()
    np.testing.assert_allclose(inside["efficiency"], 8)
    assert (first["efficiency"] < 8).all() and (first["low"] <= first["efficiency"]).all()


def test_intervals_grow_with_the_scatter_and_contain_the_truth():
    widths = []
    for scatter in (0.005, 0.02):
        table = label_efficiency(curves(20, scatter, fast=2.0), "metric")
        middle = table[table["level"].between(0.5, 0.6)]
        assert (middle["reached"] == 1).all()
        assert (middle["low"] < middle["high"]).all()
        widths.append(float((np.log(middle["high"]) - np.log(middle["low"])).mean()))
        assert abs(np.log(middle["efficiency"].mean() / 2)) < 3 * widths[-1]
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("scatter", [0.01, 0.03])
def test_the_interval_at_the_highest_level_of_random_picks_contains_the_estimate(scatter):
    """Half of the samples do not reach that level of the mean; each has its own highest one."""
    row = headline(label_efficiency(curves(20, scatter, fast=2.0), "metric"))["fast"]
    assert row["low"] < row["efficiency"] < row["high"]
    assert row["reached"] == 1


def test_areas():
    table = curves(fast=2.0)
    areas = curve_areas(table, "metric")
    # The mean height of a straight line over ln labels is that of its middle.
    np.testing.assert_allclose(areas["random"], 0.5)
    np.testing.assert_allclose(areas["fast"], 0.6)


def test_areas_are_paired_by_repeat():
    rng = np.random.default_rng(2)
    base = rng.uniform(size=8)
    gain = np.array([1, 2, 3, -0.5, 4, 5, 6, 7]) / 100
    areas = pd.DataFrame({"random": base, "a": base + gain, "b": base, "c": base + 0.01 + gain})
    table = compare_areas(areas).set_index("strategy")
    assert table.loc["a", "difference"] == pytest.approx(gain.mean())
    assert table.loc["a", "p"] == wilcoxon(gain).pvalue == 2 * 2 / 2**8
    assert np.isnan(table.loc["b", "p"]) and np.isnan(table.loc["b", "p_holm"])
    # Holm 1979: the smaller of the two p-values is doubled, the other at least as large.
    assert table.loc["c", "p"] == 2 / 2**8
    assert table.loc["c", "p_holm"] == 4 / 2**8
    assert table.loc["a", "p_holm"] == 4 / 2**8
