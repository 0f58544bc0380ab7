"""The primary metric on rankings made by hand."""

import numpy as np
import pytest

from qnal.learning.ranking import completeness_at_purity, confident_quasars


def ranked(kinds: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that fall from left to right; ``q`` is a quasar."""
    quasar = np.array([kind == "q" for kind in kinds])
    return np.linspace(0.9, 0.1, len(kinds)), quasar


@pytest.mark.parametrize(
    ("kinds", "purity", "expected"),
    [
        ("qqqq", 0.99, 1.0),
        ("qqqs", 0.99, 1.0),
        ("qqsq", 0.99, 2 / 3),
        ("sqqq", 0.99, 0.0),
        ("sqqq", 0.75, 1.0),  # the longest prefix, although a shorter one is less pure
        ("sqqqs", 0.75, 1.0),
        ("q" * 99 + "s" + "q", 0.99, 1.0),  # 99 of 100, exactly the purity asked for
        ("q" * 98 + "s" + "q" + "s" + "q", 0.99, 99 / 100),
        ("q" * 19 + "s" + "q", 0.95, 1.0),
        ("ssss", 0.99, None),
    ],
)
def test_longest_pure_prefix(kinds, purity, expected):
    probability, quasar = ranked(kinds)
    assert completeness_at_purity(probability, quasar, purity) == (
        None if expected is None else pytest.approx(expected)
    )


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(3)
    probability, quasar = rng.uniform(size=500).round(2), rng.uniform(size=500) < 0.5
    probability = np.where(quasar, np.sqrt(probability), probability)
    expected = completeness_at_purity(probability, quasar, 0.9)
    for _ in range(5):
        order = rng.permutation(500)
        assert completeness_at_purity(probability[order], quasar[order], 0.9) == expected


def test_equal_probabilities_are_taken_together():
    quasar = np.array([True, True, False, True])
    assert not confident_quasars(np.full(4, 0.5), quasar, 0.99).any()
    assert confident_quasars(np.full(4, 0.5), quasar, 0.75).all()


def test_unknown_probabilities_are_never_confident():
    chosen = confident_quasars(np.array([np.nan, 0.2, np.nan]), np.array([True] * 3), 0.99)
    assert chosen.tolist() == [False, True, False]


def test_against_every_prefix():
    rng = np.random.default_rng(8)
    for _ in range(50):
        probability, quasar = rng.permutation(40) / 40.0, rng.uniform(size=40) < 0.8
        order = np.argsort(-probability)
        found = [0] + [
            int(quasar[order[:n]].sum())
            for n in range(1, 41)
            if quasar[order[:n]].mean() >= 0.9 - 1e-12
        ]
        expected = found[-1] / quasar.sum()
        assert completeness_at_purity(probability, quasar, 0.9) == pytest.approx(expected)
